// SPDX-License-Identifier: Apache-2.0
/*
 * The socket and the batch. A commit is: number the messages, one sendmsg, then read acknowledgements until
 * each message has one, or until the deadline. rtnetlink works synchronously, so by the time sendmsg returns
 * all of them wait in the receive buffer; VW_NL_BATCH_CHUNK keeps them below its default size (~0.8 KiB of
 * accounting for each). A late answer to a request that was given up has an old sequence number and is
 * dropped.
 */
#include "lib/net/nl.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/net/items.h"
#include "lib/net/netns.h"
#include "lib/net/nl_priv.h"

#include <poll.h>
#include <stdalign.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_ERRNO 4095          /* include/linux/err.h: the kernel has no others */

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

int vw_nl_socket(struct vw_nl *nl, int protocol, uint32_t groups, struct vw_err *err)
{
	vw_auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
	socklen_t len = sizeof(addr);
	int on = 1;

	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "opening a netlink socket");
	/* Both are about the quality of error messages; without them a failure is still a failure. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "binding a netlink socket");
	*nl = (struct vw_nl){ .fd = VW_TAKE_FD(fd), .portid = addr.nl_pid, .seq = 1, .timeout_ms = 5000};
	return 0;
}

int vw_nl_open(struct vw_nl *nl, struct vw_err *err)
{
	return vw_nl_socket(nl, NETLINK_ROUTE, 0, err);
}

static int open_there(void *arg, struct vw_err *err)
{
	return vw_nl_open(arg, err);
}

int vw_nl_open_at(struct vw_nl *nl, int netns_fd, struct vw_err *err)
{
	if (netns_fd < 0)
		return vw_nl_open(nl, err);
	return vw_netns_run(netns_fd, open_there, nl, err);
}

void vw_nl_close(struct vw_nl *nl)
{
	vw_close_fd(&nl->fd);
}

int vw_nl_recv(struct vw_nl *nl, void *buf, size_t size, uint64_t deadline_ms, struct vw_err *err)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = { .iov_base = buf, .iov_len = size };
		struct msghdr msg = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		struct pollfd pfd = { .fd = nl->fd, .events = POLLIN };
		ssize_t n = recvmsg(nl->fd, &msg, MSG_DONTWAIT);
		int left;

		if (n >= 0) {
			if (msg.msg_namelen != sizeof(from) || from.nl_pid != 0)
				continue; /* another process wrote to our port */
			if (msg.msg_flags & MSG_TRUNC)
				return vw_err_set(err, EMSGSIZE, VW_CNI_KERNEL,
						  "a netlink answer larger than %zu bytes", size);
			return (int)n;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return vw_err_sys(err, errno, VW_CNI_KERNEL, "reading from a netlink socket");
		left = vw_deadline_left(deadline_ms);
		if (left == 0)
			return vw_err_set(err, ETIMEDOUT, VW_CNI_KERNEL,
					  "the kernel did not answer a netlink request in time");
		if (poll(&pfd, 1, left) < 0 && errno != EINTR)
			return vw_err_sys(err, errno, VW_CNI_KERNEL, "waiting on a netlink socket");
	}
}

static int nl_send(struct vw_nl *nl, const void *buf, size_t len, struct vw_err *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n;

	do {
		n = sendto(nl->fd, buf, len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "sending a netlink request");
	if ((size_t)n != len)
		return vw_err_set(err, EIO, VW_CNI_KERNEL,
				  "the kernel took %zd of %zu bytes of a netlink request", n, len);
	return 0;
}

/**
 * ack_read() - the errno of an NLMSG_ERROR or NLMSG_DONE message and the kernel's explanation, if any.
 * @text: "" or the extended acknowledgement. Return: 0 or positive errno.
 */
static int ack_read(const struct nlmsghdr *nlh, char *text, size_t size)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t payload = mnl_nlmsg_get_payload_len(nlh);
	size_t skip = sizeof(int);
	const struct nlattr *attr;

	text[0] = 0;
	if (payload < sizeof(int))
		return nlh->nlmsg_type == NLMSG_DONE ? 0 : EBADMSG;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (payload < sizeof(*e))
			return EBADMSG;
		skip = sizeof(*e);
		if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len >= sizeof(struct nlmsghdr))
			skip += MNL_ALIGN(e->msg.nlmsg_len) - sizeof(struct nlmsghdr);
	}
	if ((nlh->nlmsg_flags & NLM_F_ACK_TLVS) && skip < payload) {
		const char *base = mnl_nlmsg_get_payload(nlh);

		mnl_attr_for_each_payload((const void *)(base + MNL_ALIGN(skip)), payload - MNL_ALIGN(skip))
		{
			if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
				vw_nl_get_str(attr, text, size);
		}
	}
	if (e->error > 0 || e->error < -MAX_ERRNO)
		return EBADMSG;
	return -e->error;
}

static int nl_fail(struct vw_err *err, int eno, const char *what, const char *text)
{
	const char *why = vw_err_text(eno);

	if (!why)
		why = "unknown error";
	if (text[0])
		return vw_err_set(err, eno, VW_CNI_KERNEL, "%s: %s (%s)", what, why, text);
	return vw_err_set(err, eno, VW_CNI_KERNEL, "%s: %s", what, why);
}

/* --- batch */

void vw_nl_batch_done(struct vw_nl_batch *b)
{
	if (b->buf != b->first)
		free(b->buf);
	if (b->ops != b->first_ops)
		free(b->ops);
	b->buf = NULL;
	b->ops = NULL;
	b->cap = b->cap_ops = 0;
	vw_nl_batch_reset(b);
}

void vw_nl_batch_reset(struct vw_nl_batch *b)
{
	b->len = 0;
	b->n = 0;
	b->sour_eno = 0;
	b->sour[0] = 0;
}

int vw_nl_sour(struct vw_nl_batch *b, int eno, const char *fmt, ...)
{
	va_list ap;

	if (b->sour_eno)
		return -b->sour_eno;
	b->sour_eno = eno;
	va_start(ap, fmt);
	(void)vsnprintf(b->sour, sizeof(b->sour), fmt, ap);
	va_end(ap);
	return -eno;
}

/* @first: where @old is as long as nothing was allocated. */
static void *grow(void *old, const void *first, size_t used, size_t size)
{
	void *buf;

	if (old != first)
		return realloc(old, size);
	buf = malloc(size);
	if (buf)
		memcpy(buf, first, used);
	return buf;
}

static bool batch_grow(struct vw_nl_batch *b)
{
	if (!b->buf) {
		b->buf = b->first;
		b->cap = sizeof(b->first);
		b->ops = b->first_ops;
		b->cap_ops = sizeof(b->first_ops) / sizeof(b->first_ops[0]);
	}
	if (b->cap - b->len < VW_NL_MSG_MAX) {
		size_t cap = b->buf == b->first ? 8 * VW_NL_MSG_MAX : b->cap * 2;
		char *buf = grow(b->buf, b->first, b->len, cap);

		if (!buf)
			return false;
		b->buf = buf;
		b->cap = cap;
	}
	if (b->n == b->cap_ops) {
		size_t cap = b->cap_ops * 2;
		struct vw_nl_op *ops = grow(b->ops, b->first_ops, b->n * sizeof(*ops), cap * sizeof(*ops));

		if (!ops)
			return false;
		b->ops = ops;
		b->cap_ops = cap;
	}
	return true;
}

struct nlmsghdr *vw_nl_begin(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const void *hdr,
			     size_t hdr_len)
{
	struct nlmsghdr *nlh;

	if (b->sour_eno)
		return NULL;
	if (!batch_grow(b)) {
		(void)vw_nl_sour(b, ENOMEM, "out of memory for a netlink batch");
		return NULL;
	}
	memset(b->buf + b->len, 0, VW_NL_MSG_MAX);
	nlh = mnl_nlmsg_put_header(b->buf + b->len);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(mnl_nlmsg_put_extra_header(nlh, hdr_len), hdr, hdr_len);
	return nlh;
}

int vw_nl_end(struct vw_nl_batch *b, const struct nlmsghdr *nlh, const char *fmt, ...)
{
	struct vw_nl_op *op = &b->ops[b->n];
	va_list ap;

	*op = (struct vw_nl_op){ .off = b->len, .len = nlh->nlmsg_len};
	va_start(ap, fmt);
	(void)vsnprintf(op->what, sizeof(op->what), fmt, ap);
	va_end(ap);
	b->len += MNL_ALIGN(nlh->nlmsg_len);
	return (int)b->n++;
}

void vw_nl_tolerate(struct vw_nl_batch *b, unsigned int tolerate)
{
	if (b->n && !b->sour_eno)
		b->ops[b->n - 1].tolerate = tolerate;
}

bool vw_nl_op_done(const struct vw_nl_batch *b, int i)
{
	return i >= 0 && (size_t)i < b->n && b->ops[i].outcome == VW_NL_DONE;
}

static bool tolerated(unsigned int tolerate, int eno)
{
	if (eno == EEXIST)
		return tolerate & VW_NL_OK_EXISTS;
	if (eno == ENOENT || eno == ESRCH || eno == ENODEV || eno == EADDRNOTAVAIL)
		return tolerate & VW_NL_OK_GONE;
	if (eno == EAFNOSUPPORT)
		return tolerate & VW_NL_OK_NO_IPV6;
	return false;
}

/** struct commit - one chunk on its way: ops first..end with sequence numbers from seq0. */
struct commit {
	struct vw_nl_batch *b;
	size_t first, end;
	uint32_t seq0;
	size_t waiting;
	size_t failed;  /* index of the first failed op, end = none */
	char text[160]; /* of that one */
};

static void commit_answer(struct commit *c, const struct nlmsghdr *nlh)
{
	size_t i = c->first + (nlh->nlmsg_seq - c->seq0);
	struct vw_nl_op *op;
	char text[sizeof(c->text)];

	if (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_seq - c->seq0 >= c->end - c->first)
		return; /* an answer to something older */
	op = &c->b->ops[i];
	if (op->outcome != VW_NL_NOT_SENT)
		return;
	op->eno = ack_read(nlh, text, sizeof(text));
	if (!op->quiet)
		c->waiting--;
	else if (i == c->first && op->eno)
		c->waiting = 0; /* it speaks for all */
	if (!op->eno) {
		op->outcome = VW_NL_DONE;
	} else if (tolerated(op->tolerate, op->eno)) {
		op->outcome = VW_NL_WAS_SO;
	} else {
		op->outcome = VW_NL_FAILED;
		if (i < c->failed) {
			c->failed = i;
			memcpy(c->text, text, sizeof(c->text));
		}
	}
}

static int commit_chunk(struct vw_nl *nl, struct vw_nl_batch *b, size_t first, size_t end, uint64_t deadline,
			struct vw_err *err)
{
	struct commit c = {
		.b = b, .first = first, .end = end, .seq0 = nl->seq, .failed = end};
	size_t from = b->ops[first].off;
	size_t to = b->ops[end - 1].off + MNL_ALIGN(b->ops[end - 1].len);
	alignas(struct nlmsghdr) char buf[VW_NL_RECV_SIZE / 4];
	int n;

	for (size_t i = first; i < end; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(b->buf + b->ops[i].off);

		nlh->nlmsg_seq = nl->seq++;
		nlh->nlmsg_pid = nl->portid;
		c.waiting += !b->ops[i].quiet;
	}
	n = nl_send(nl, b->buf + from, to - from, err);
	if (n < 0)
		return vw_err_wrap(err, "%s", b->ops[first].what);
	while (c.waiting) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;

		n = vw_nl_recv(nl, buf, sizeof(buf), deadline, err);
		if (n < 0)
			return vw_err_wrap(err, "%s", b->ops[first].what);
		for (; vw_nl_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n))
			if (nlh->nlmsg_pid == nl->portid)
				commit_answer(&c, nlh);
	}
	if (c.failed < end)
		return nl_fail(err, b->ops[c.failed].eno, b->ops[c.failed].what, c.text);
	return 0;
}

static int commit(struct vw_nl *nl, struct vw_nl_batch *b, size_t chunk, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + (uint64_t)nl->timeout_ms;

	for (size_t i = 0; i < b->n; i++) {
		b->ops[i].outcome = VW_NL_NOT_SENT;
		b->ops[i].eno = 0;
	}
	if (b->sour_eno)
		return vw_err_set(err, b->sour_eno, VW_CNI_KERNEL, "%s", b->sour);
	for (size_t first = 0; first < b->n; first += chunk) {
		size_t end = chunk < b->n - first ? first + chunk : b->n;
		int r = commit_chunk(nl, b, first, end, deadline, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int vw_nl_commit(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err)
{
	return commit(nl, b, VW_NL_BATCH_CHUNK, err);
}

int vw_nl_commit_whole(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err)
{
	return commit(nl, b, SIZE_MAX, err);
}

/* --- questions */

static int ask_send(struct vw_nl *nl, struct nlmsghdr *req, uint16_t flags, const char *what,
		    struct vw_err *err)
{
	req->nlmsg_flags |= NLM_F_REQUEST | flags;
	req->nlmsg_seq = nl->seq++;
	req->nlmsg_pid = nl->portid;
	if (nl_send(nl, req, req->nlmsg_len, err) < 0)
		return vw_err_wrap(err, "%s", what);
	return 0;
}

int vw_nl_ask(struct vw_nl *nl, struct nlmsghdr *req, vw_nl_parse_fn parse, void *item, size_t item_size,
	      const void *arg, const char *what, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + (uint64_t)nl->timeout_ms;
	alignas(struct nlmsghdr) char buf[VW_NL_RECV_SIZE];
	char text[160];
	bool have = false;
	int n, eno;

	if (ask_send(nl, req, NLM_F_ACK, what, err) < 0)
		return -err->eno;
	for (;;) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;

		n = vw_nl_recv(nl, buf, sizeof(buf), deadline, err);
		if (n < 0)
			return vw_err_wrap(err, "%s", what);
		for (; vw_nl_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n)) {
			if (nlh->nlmsg_pid != nl->portid || nlh->nlmsg_seq != req->nlmsg_seq)
				continue;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				eno = ack_read(nlh, text, sizeof(text));
				if (eno || !have)
					return nl_fail(err, eno ? eno : ENOENT, what, text);
				return 0;
			}
			if (!have) {
				memset(item, 0, item_size);
				have = parse(nlh, item, arg) > 0;
			}
		}
	}
}

/** dump_once() - Return: 1 = complete, 0 = interrupted, -errno. Without memory it is read to its end all the same: else the next one is EBUSY. */
static int dump_once(struct vw_nl *nl, struct nlmsghdr *req, vw_nl_parse_fn parse, const void *arg,
		     const char *what, struct vw_items *it, uint64_t deadline, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_RECV_SIZE];
	char text[160];
	bool interrupted = false, full = false;
	void *item;
	int n, eno;

	it->n = 0;
	if (ask_send(nl, req, NLM_F_DUMP, what, err) < 0)
		return -err->eno;
	for (;;) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;

		n = vw_nl_recv(nl, buf, sizeof(buf), deadline, err);
		if (n < 0)
			return vw_err_wrap(err, "%s", what);
		for (; vw_nl_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n)) {
			if (nlh->nlmsg_pid != nl->portid || nlh->nlmsg_seq != req->nlmsg_seq)
				continue;
			interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
			if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
				eno = ack_read(nlh, text, sizeof(text));
				if (full)
					return vw_err_set(err, ENOMEM, 0, "%s: out of memory", what);
				return eno ? nl_fail(err, eno, what, text) : !interrupted;
			}
			item = full ? NULL : vw_items_next(it);
			full = !item;
			if (item && parse(nlh, item, arg) > 0)
				it->n++;
		}
	}
}

int vw_nl_dump(struct vw_nl *nl, struct nlmsghdr *req, vw_nl_parse_fn parse, size_t item_size,
	       const void *arg, const char *what, void **ret_items, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + (uint64_t)nl->timeout_ms;
	struct vw_items it = { .size = item_size };
	int on = 1, r = 0, n;

	/* Without strict checking the kernel ignores the filters of a dump request and we would get
	 * everything. */
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL,
				  "%s: the kernel is too old for filtered dumps (4.20)", what);
	for (int tries = 0; tries < VW_NL_DUMP_TRIES && r == 0; tries++)
		r = dump_once(nl, req, parse, arg, what, &it, deadline, err);
	if (r == 0)
		r = vw_err_set(err, EINTR, VW_CNI_KERNEL, "%s: interrupted by changes %d times", what,
			       VW_NL_DUMP_TRIES);
	n = vw_items_done(&it, r < 0 ? NULL : ret_items);
	return r < 0 ? r : n;
}

/* --- attributes */

void vw_nl_put_ip(struct nlmsghdr *nlh, uint16_t type, const struct vw_ip *ip)
{
	mnl_attr_put(nlh, type, vw_ip_bits(ip) / 8, ip->b);
}

bool vw_nl_get_ip(const struct nlattr *attr, uint8_t family, struct vw_ip *ret_ip)
{
	size_t len = family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;

	if (!len || mnl_attr_get_payload_len(attr) != len)
		return false;
	*ret_ip = (struct vw_ip){ .family = family};
	memcpy(ret_ip->b, mnl_attr_get_payload(attr), len);
	return true;
}

uint32_t vw_nl_get_u32(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

void vw_nl_get_str(const struct nlattr *attr, char *buf, size_t size)
{
	size_t len = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));

	if (len >= size)
		len = size - 1;
	memcpy(buf, mnl_attr_get_payload(attr), len);
	buf[len] = 0;
}

const char *vw_dev_name(const char *name, unsigned int ifindex, char buf[16])
{
	if (name && name[0])
		return name;
	(void)snprintf(buf, 16, "#%u", ifindex);
	return buf;
}
