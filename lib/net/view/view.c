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

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/** struct vw_view - @broken: a dump has failed. What is left of its answer would be taken for the next one's. */
struct vw_view {
	struct nl_sock *sk;
	bool broken;
};

struct vw_view *vw_view_free(struct vw_view *v)
{
	if (v)
		nl_socket_free(v->sk);
	free(v);
	return NULL;
}

int vw_libnl_from_kernel(struct nl_msg *msg, void *arg)
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
		r = nl_socket_modify_cb(v->sk, NL_CB_MSG_IN, NL_CB_CUSTOM, vw_libnl_from_kernel, NULL);
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
	int type;               /* of the messages: RTM_NEW* */
	int (*conv)(struct nl_object *obj, void *item);
	bool (*keep)(const void *item, const void *arg);
	const void *arg;
	int eno;
	bool done;              /* the kernel said that this was all */
};

static void collect_object(struct nl_object *obj, void *arg)
{
	struct collect *c = arg;
	void *item;

	/* conv() believes that the object is of its kind */
	if (nl_object_get_msgtype(obj) != c->type) {
		c->eno = EBADMSG;
		return;
	}
	item = vw_items_next(&c->items);
	if (!item)
		c->eno = ENOMEM;
	else if (c->conv(obj, item) > 0 && (!c->keep || c->keep(item, c->arg)))
		c->items.n++;
}

static int collect_msg(struct nl_msg *msg, void *arg)
{
	struct collect *c = arg;
	int r = vw_libnl_parse(msg, collect_object, c);

	/* An object that libnl cannot parse would make the list silently short. */
	if (r < 0 && !c->eno)
		c->eno = r == -NLE_NOMEM ? ENOMEM : EBADMSG;
	return NL_OK;
}

static int collect_end(struct nl_msg *msg, void *arg)
{
	((struct collect *)arg)->done = true;
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

	if (v->broken)
		return vw_err_set(err, EBADF, VW_CNI_KERNEL, "%s: this view of the kernel has failed before", what);
	nl_socket_modify_cb(v->sk, NL_CB_VALID, NL_CB_CUSTOM, collect_msg, c);
	nl_socket_modify_cb(v->sk, NL_CB_FINISH, NL_CB_CUSTOM, collect_end, c);
	for (int tries = 0; tries < VW_VIEW_TRIES && r == -NLE_DUMP_INTR; tries++) {
		c->items.n = 0;
		c->eno = 0;
		c->done = false;
		r = send_dump(v->sk, type, hdr, hdr_len);
		if (r >= 0)
			r = nl_recvmsgs_default(v->sk);
	}
	if (r < 0)
		r = vw_libnl_err(err, r, what);
	else if (c->eno)
		r = vw_err_set(err, c->eno, VW_CNI_KERNEL, "%s: an answer that cannot be read", what);
	else if (!c->done)      /* libnl takes an empty datagram for the end */
		r = vw_err_set(err, EBADMSG, VW_CNI_KERNEL, "%s: an answer without an end", what);
	if (r < 0) {
		v->broken = true;
		(void)vw_items_done(&c->items, NULL);
		return r;
	}
	return vw_items_done(&c->items, ret);
}

int vw_view_links(struct vw_view *v, struct vw_link **ret, struct vw_err *err)
{
	struct ifinfomsg hdr = { .ifi_family = AF_UNSPEC };
	struct collect c = { .items.size = sizeof(**ret), .type = RTM_NEWLINK, .conv = vw_conv_link };
	void *items;
	int n = dump(v, RTM_GETLINK, &hdr, sizeof(hdr), &c, "listing links", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}

int vw_view_addrs(struct vw_view *v, uint8_t family, struct vw_addr **ret, struct vw_err *err)
{
	struct ifaddrmsg hdr = { .ifa_family = family };
	struct collect c = { .items.size = sizeof(**ret), .type = RTM_NEWADDR, .conv = vw_conv_addr };
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
		.items.size = sizeof(**ret), .type = RTM_NEWROUTE, .conv = vw_conv_route, .keep = in_table, .arg = &table,
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
	struct collect c = { .items.size = sizeof(**ret), .type = RTM_NEWRULE, .conv = vw_conv_rule };
	void *items;
	int n = dump(v, RTM_GETRULE, &hdr, sizeof(hdr), &c, "listing rules", &items, err);

	if (n >= 0)
		*ret = items;
	return n;
}
