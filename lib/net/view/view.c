// SPDX-License-Identifier: Apache-2.0
/*
 * Dumps over libnl. libnl's own caches refill in an endless loop while the kernel marks dumps as interrupted, so the
 * loop is ours: send, parse into an array, and start over when interrupted, VW_VIEW_TRIES times at most.
 */
#include "lib/net/view/view.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/items.h"
#include "lib/net/view/convert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

struct vw_view {
	struct nl_sock *sk;
};

struct vw_view *vw_view_free(struct vw_view *v)
{
	if (v)
		nl_socket_free(v->sk);
	free(v);
	return NULL;
}

/** from_kernel() - before anything is parsed: skip what another process sent to our port. */
static int from_kernel(struct nl_msg *msg, void *arg)
{
	return nlmsg_get_src(msg)->nl_pid == 0 ? NL_OK : NL_SKIP;
}

int vw_view_new(struct vw_view **ret_view, struct vw_err *err)
{
	/* The kernel answers dumps at once; the limit is for the case that it does not. */
	struct timeval limit = { .tv_sec = 5 };
	struct vw_view *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return vw_err_set(err, ENOMEM, 0, "out of memory for a view of the kernel");
	v->sk = nl_socket_alloc();
	r = v->sk ? nl_connect(v->sk, NETLINK_ROUTE) : -NLE_NOMEM;
	if (r == 0)
		r = nl_socket_modify_cb(v->sk, NL_CB_MSG_IN, NL_CB_CUSTOM, from_kernel, NULL);
	if (r < 0) {
		vw_view_free(v);
		return vw_libnl_err(err, r, "opening a route-netlink socket");
	}
	(void)setsockopt(nl_socket_get_fd(v->sk), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*ret_view = v;
	return 0;
}

struct collect {
	struct vw_items items;
	int (*conv)(struct nl_object *obj, void *item);
	bool (*keep)(const void *item, const void *arg);
	const void *arg;
	int eno;
};

static void collect_object(struct nl_object *obj, void *arg)
{
	struct collect *c = arg;
	void *item = vw_items_next(&c->items);

	if (!item)
		c->eno = ENOMEM;
	else if (c->conv(obj, item) > 0 && (!c->keep || c->keep(item, c->arg)))
		c->items.n++;
}

static int collect_msg(struct nl_msg *msg, void *arg)
{
	struct collect *c = arg;
	int r = nl_msg_parse(msg, collect_object, c);

	/* An object that libnl cannot parse would make the list silently short. */
	if (r < 0 && !c->eno)
		c->eno = r == -NLE_NOMEM ? ENOMEM : EBADMSG;
	return NL_OK;
}

/* Counters are half of what the kernel says of a link, and nobody here asks for them. */
static int send_dump(struct nl_sock *sk, int type, void *hdr, size_t hdr_len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_DUMP);
	int r;

	if (!msg)
		return -NLE_NOMEM;
	r = nlmsg_append(msg, hdr, hdr_len, NLMSG_ALIGNTO);
	if (r >= 0 && type == RTM_GETLINK)
		r = nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (r >= 0)
		r = nl_send_auto(sk, msg);
	nlmsg_free(msg);
	return r;
}

static int dump(struct vw_view *v, int type, void *hdr, size_t hdr_len, struct collect *c, const char *what, void **ret,
		struct vw_err *err)
{
	int r = -NLE_DUMP_INTR;

	nl_socket_modify_cb(v->sk, NL_CB_VALID, NL_CB_CUSTOM, collect_msg, c);
	for (int tries = 0; tries < VW_VIEW_TRIES && r == -NLE_DUMP_INTR; tries++) {
		c->items.n = 0;
		c->eno = 0;
		r = send_dump(v->sk, type, hdr, hdr_len);
		if (r >= 0)
			r = nl_recvmsgs_default(v->sk);
	}
	if (r < 0)
		r = vw_libnl_err(err, r, what);
	else if (c->eno)
		r = vw_err_set(err, c->eno, VW_CNI_KERNEL, "%s: an answer that cannot be read", what);
	if (r < 0) {
		(void)vw_items_done(&c->items, NULL);
		return r;
	}
	return vw_items_done(&c->items, ret);
}

int vw_view_links(struct vw_view *v, struct vw_link **ret, struct vw_err *err)
{
	struct ifinfomsg hdr = { .ifi_family = AF_UNSPEC };
	struct collect c = { .items.size = sizeof(**ret), .conv = vw_conv_link };
	void *items;
	int n = dump(v, RTM_GETLINK, &hdr, sizeof(hdr), &c, "listing links", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}

int vw_view_addrs(struct vw_view *v, uint8_t family, struct vw_addr **ret, struct vw_err *err)
{
	struct ifaddrmsg hdr = { .ifa_family = family };
	struct collect c = { .items.size = sizeof(**ret), .conv = vw_conv_addr };
	void *items;
	int n = dump(v, RTM_GETADDR, &hdr, sizeof(hdr), &c, "listing addresses", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}

static bool in_table(const void *item, const void *arg)
{
	const struct vw_route *r = item;
	const uint32_t *table = arg;

	return !*table || r->table == *table;
}

int vw_view_routes(struct vw_view *v, uint8_t family, uint32_t table, struct vw_route **ret, struct vw_err *err)
{
	struct rtmsg hdr = { .rtm_family = family };
	struct collect c = {
		.items.size = sizeof(**ret), .conv = vw_conv_route, .keep = in_table, .arg = &table,
	};
	void *items;
	int n = dump(v, RTM_GETROUTE, &hdr, sizeof(hdr), &c, "listing routes", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}

int vw_view_rules(struct vw_view *v, uint8_t family, struct vw_rule **ret, struct vw_err *err)
{
	struct fib_rule_hdr hdr = { .family = family };
	struct collect c = { .items.size = sizeof(**ret), .conv = vw_conv_rule };
	void *items;
	int n = dump(v, RTM_GETRULE, &hdr, sizeof(hdr), &c, "listing rules", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}

/* --- monitor */

struct vw_monitor {
	struct nl_sock *sk;
	void (*fn)(const struct vw_event *ev, void *arg);
	void *arg;
	bool gone;              /* of the message being parsed */
	int events;             /* handed over by the current vw_monitor_read() */
};

/* Datagrams per vw_monitor_read(): the owner's loop has other work too. */
#define MONITOR_BURST 64
/* A rebuild of 1000 pods' links, addresses and routes fits; more is VW_EVENT_LOST, which is handled. */
#define MONITOR_RCVBUF (4 * 1024 * 1024)

struct vw_monitor *vw_monitor_free(struct vw_monitor *m)
{
	if (m)
		nl_socket_free(m->sk);
	free(m);
	return NULL;
}

static void monitor_emit(struct vw_monitor *m, const struct vw_event *ev)
{
	m->fn(ev, m->arg);
	m->events++;
}

static void monitor_object(struct nl_object *obj, void *arg)
{
	struct vw_monitor *m = arg;
	struct vw_event ev = { .gone = m->gone };
	int r = 0;

	switch (nl_object_get_msgtype(obj)) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		ev.kind = VW_EVENT_LINK;
		r = vw_conv_link(obj, &ev.link);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		ev.kind = VW_EVENT_ADDR;
		r = vw_conv_addr(obj, &ev.addr);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		ev.kind = VW_EVENT_ROUTE;
		r = vw_conv_route(obj, &ev.route);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		ev.kind = VW_EVENT_RULE;
		r = vw_conv_rule(obj, &ev.rule);
		break;
	}
	if (r > 0)
		monitor_emit(m, &ev);
}

static int monitor_msg(struct nl_msg *msg, void *arg)
{
	struct vw_monitor *m = arg;
	int type = nlmsg_hdr(msg)->nlmsg_type;

	m->gone = type == RTM_DELLINK || type == RTM_DELADDR || type == RTM_DELROUTE || type == RTM_DELRULE;
	if (nl_msg_parse(msg, monitor_object, m) < 0)
		monitor_emit(m, &(struct vw_event){ .kind = VW_EVENT_LOST });
	return NL_OK;
}

static int monitor_join(struct nl_sock *sk, unsigned int kinds)
{
	static const struct {
		enum vw_event_kind kind;
		int group;
	} groups[] = {
		{ VW_EVENT_LINK, RTNLGRP_LINK },
		{ VW_EVENT_ADDR, RTNLGRP_IPV4_IFADDR },
		{ VW_EVENT_ADDR, RTNLGRP_IPV6_IFADDR },
		{ VW_EVENT_ROUTE, RTNLGRP_IPV4_ROUTE },
		{ VW_EVENT_ROUTE, RTNLGRP_IPV6_ROUTE },
		{ VW_EVENT_RULE, RTNLGRP_IPV4_RULE },
		{ VW_EVENT_RULE, RTNLGRP_IPV6_RULE },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(groups); i++)
		if (kinds & VW_EVENT_BIT(groups[i].kind))
			r = nl_socket_add_membership(sk, groups[i].group);
	return r;
}

/* An event is one message, its header first: the type is at byte 4, a link's index at byte 20, both in host order. */
static int monitor_leave_out(int fd, unsigned int links_below)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWLINK), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELLINK), 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_index)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htonl(~(links_below - 1)), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog prog = { .len = VW_ARRAY_SIZE(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

int vw_monitor_new(const struct vw_monitor_want *want, void (*fn)(const struct vw_event *ev, void *arg), void *arg,
		   struct vw_monitor **ret_monitor, struct vw_err *err)
{
	int rcvbuf = MONITOR_RCVBUF;
	struct vw_monitor *m;
	int r;

	if (want->links_below & (want->links_below - 1))
		return vw_err_set(err, EINVAL, 0, "a monitor of the kernel: %u is no power of two", want->links_below);
	m = calloc(1, sizeof(*m));
	if (!m)
		return vw_err_set(err, ENOMEM, 0, "out of memory for a monitor of the kernel");
	m->fn = fn;
	m->arg = arg;
	m->sk = nl_socket_alloc();
	r = m->sk ? 0 : -NLE_NOMEM;
	if (r == 0) {
		nl_socket_disable_seq_check(m->sk);     /* events answer no request */
		r = nl_connect(m->sk, NETLINK_ROUTE);
	}
	if (r == 0 && want->links_below && monitor_leave_out(nl_socket_get_fd(m->sk), want->links_below) < 0)
		r = -NLE_FAILURE;
	if (r == 0)
		r = monitor_join(m->sk, want->kinds);
	if (r == 0)
		r = nl_socket_set_nonblocking(m->sk);
	if (r == 0)
		r = nl_socket_modify_cb(m->sk, NL_CB_MSG_IN, NL_CB_CUSTOM, from_kernel, NULL);
	if (r == 0)
		r = nl_socket_modify_cb(m->sk, NL_CB_VALID, NL_CB_CUSTOM, monitor_msg, m);
	if (r < 0) {
		vw_monitor_free(m);
		return vw_libnl_err(err, r, "subscribing to changes of links and routes");
	}
	(void)setsockopt(nl_socket_get_fd(m->sk), SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf));
	*ret_monitor = m;
	return 0;
}

int vw_monitor_fd(const struct vw_monitor *m)
{
	return nl_socket_get_fd(m->sk);
}

int vw_monitor_read(struct vw_monitor *m, struct vw_err *err)
{
	m->events = 0;
	for (int i = 0; i < MONITOR_BURST; i++) {
		int r = nl_recvmsgs_default(m->sk);

		if (r == -NLE_AGAIN)
			break;
		if (r == -NLE_NOMEM)    /* ENOBUFS: the kernel dropped events */
			monitor_emit(m, &(struct vw_event){ .kind = VW_EVENT_LOST });
		else if (r < 0)
			return vw_libnl_err(err, r, "reading changes of links and routes");
	}
	return m->events;
}
