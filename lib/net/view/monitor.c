// SPDX-License-Identifier: Apache-2.0
/*
 * Changes of route netlink over libnl. What nobody wants is dropped by a socket filter, before a datagram is queued and anybody
 * woken: a node with many pods makes thousands of events, by our own doing.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/route.h"
#include "lib/net/view/convert.h"
#include "lib/net/view/view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

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

/* libnl's objects of these two would say no more than their headers */
static bool monitor_plain(struct vw_monitor *m, struct nlmsghdr *nlh)
{
	struct vw_event ev = { .gone = m->gone };
	const struct tcmsg *tcm;
	const struct nlattr *index;

	switch (nlh->nlmsg_type) {
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
		if (!nlmsg_valid_hdr(nlh, sizeof(*tcm)))
			return true;
		tcm = nlmsg_data(nlh);
		ev.kind = VW_EVENT_TC;
		ev.ifindex = tcm->tcm_ifindex;
		break;
	case RTM_NEWNETCONF:
	case RTM_DELNETCONF:
		index = nlmsg_valid_hdr(nlh, sizeof(struct netconfmsg)) ?
			nlmsg_find_attr(nlh, sizeof(struct netconfmsg), NETCONFA_IFINDEX) : NULL;
		if (!index || nla_len(index) < (int)sizeof(int32_t))
			return true;
		ev.kind = VW_EVENT_SYSCTL;
		ev.ifindex = nla_get_s32(index);
		break;
	default:
		/* chains and actions come with qdiscs and filters */
		return nlh->nlmsg_type > RTM_DELRULE;
	}
	monitor_emit(m, &ev);
	return true;
}

static int monitor_msg(struct nl_msg *msg, void *arg)
{
	struct vw_monitor *m = arg;
	int type = nlmsg_hdr(msg)->nlmsg_type;

	m->gone = type == RTM_DELLINK || type == RTM_DELADDR || type == RTM_DELROUTE || type == RTM_DELRULE ||
		  type == RTM_DELQDISC || type == RTM_DELTFILTER || type == RTM_DELNETCONF;
	if (!monitor_plain(m, nlmsg_hdr(msg)) && vw_libnl_parse(msg, monitor_object, m) < 0)
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
		{ VW_EVENT_TC, RTNLGRP_TC },
		{ VW_EVENT_SYSCTL, RTNLGRP_IPV4_NETCONF },
		{ VW_EVENT_SYSCTL, RTNLGRP_IPV6_NETCONF },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(groups); i++)
		if (kinds & VW_EVENT_BIT(groups[i].kind))
			r = nl_socket_add_membership(sk, groups[i].group);
	return r;
}

/* --- the filter: an event is one message, its header first. Loads are big-endian, the kernel's words are not: hton*() below.
 * With vw_monitor_want.losses it has a list of what comes, otherwise of what does not. */

#define AT_LEN offsetof(struct nlmsghdr, nlmsg_len)
#define AT_TYPE offsetof(struct nlmsghdr, nlmsg_type)
#define AT_FLAGS offsetof(struct nlmsghdr, nlmsg_flags)
#define AT_PORT offsetof(struct nlmsghdr, nlmsg_pid)
#define AT_INDEX (NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_index))
#define AT_LINK_FLAGS (NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_flags))
#define AT_LINK_CHANGE (NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_change))
#define AT_PROTOCOL (NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol))
/* of RTM_NEWNETCONF the first attribute is the index; one with a single further attribute is a change, with more the start */
#define AT_CONF_INDEX (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct netconfmsg)) + NLA_HDRLEN)
#define CONF_CHANGE_LEN (AT_CONF_INDEX + sizeof(int32_t) + NLA_HDRLEN + sizeof(int32_t))

_Static_assert(offsetof(struct tcmsg, tcm_ifindex) == offsetof(struct ifinfomsg, ifi_index), "AT_INDEX is for both");
_Static_assert(offsetof(struct ifaddrmsg, ifa_index) == offsetof(struct ifinfomsg, ifi_index), "AT_INDEX is for both");

#define WORD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(at))
#define HALF(at) BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(at))
#define BYTE(at) BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(at))
#define IF_EQ(v, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(v), (yes), (no))
#define IF_BITS(v, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(v), (yes), (no))
#define DROP BPF_STMT(BPF_RET | BPF_K, 0)
#define KEEP BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)

/* A = where the attribute @type of a link's message is, 0 = it has none; its value is 4 bytes behind */
#define FIND_ATTR(at, type) \
	BPF_STMT(BPF_LDX | BPF_IMM, (type)), BPF_STMT(BPF_LD | BPF_IMM, (uint32_t)(at)), \
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR))
#define TO_X BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define VALUE(size, at) BPF_STMT(BPF_LD | (size) | BPF_IND, (uint32_t)(NLA_HDRLEN + (at)))
#define AT_LINK_ATTRS (NLMSG_HDRLEN + sizeof(struct ifinfomsg))
#define AT_ADDR_ATTRS (NLMSG_HDRLEN + sizeof(struct ifaddrmsg))

#define FILTER_MAX 128

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short n;
};

/* "messages of @type: @body", which ends with DROP or KEEP on each way */
static void on_type(struct filter *f, uint16_t type, const struct sock_filter *body, size_t n)
{
	const struct sock_filter head[] = { HALF(AT_TYPE), IF_EQ(htons(type), 0, (uint8_t)n) };

	memcpy(f->code + f->n, head, sizeof(head));
	memcpy(f->code + f->n + 2, body, n * sizeof(*body));
	f->n = (unsigned short)(f->n + 2 + n);
}

#define ON(f, type, ...) \
	do { \
		const struct sock_filter body_[] = { __VA_ARGS__ }; \
		on_type((f), (type), body_, VW_ARRAY_SIZE(body_)); \
	} while (0)

static void filter_own(struct filter *f, uint32_t port)
{
	const struct sock_filter code[] = { WORD(AT_PORT), IF_EQ(htonl(port), 0, 1), DROP };

	memcpy(f->code + f->n, code, sizeof(code));
	f->n = (unsigned short)(f->n + VW_ARRAY_SIZE(code));
}

/*
 * Of links of pods "somebody has put it down" comes: then IFF_UP alone has changed. In a link that is deleted IFF_RUNNING
 * changes with it (dev_close_many()). And what is not as it was made: the plugin gives a link its group, MTU and MAC in the message
 * that makes it, so what it does afterwards shows them as they should be. (Group numbers are the kernel's words, MACs are bytes.)
 */
static void filter_links(struct filter *f, uint32_t pods, const struct vw_monitor_want *want)
{
	const uint32_t group = htonl(want->as_made.group), dying = htonl(want->as_made.dying), mtu = htonl(want->as_made.mtu);

	if (want->losses && want->as_made.group)
		ON(f, RTM_NEWLINK, WORD(AT_INDEX), IF_BITS(pods, 1, 0), KEEP,
		   WORD(AT_LINK_CHANGE), IF_EQ(htonl(IFF_UP), 0, 3), WORD(AT_LINK_FLAGS), IF_BITS(htonl(IFF_UP), 1, 0), KEEP,
		   FIND_ATTR(AT_LINK_ATTRS, IFLA_GROUP), IF_EQ(0, 4, 0), TO_X, VALUE(BPF_W, 0), IF_EQ(dying, 14, 0), IF_EQ(group, 0, 14),
		   FIND_ATTR(AT_LINK_ATTRS, IFLA_MTU), TO_X, VALUE(BPF_W, 0), IF_EQ(mtu, 0, 8),
		   FIND_ATTR(AT_LINK_ATTRS, IFLA_ADDRESS), TO_X, VALUE(BPF_H, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff0),
		   IF_EQ(want->as_made.mac & 0xfff0, 0, 1), DROP, KEEP);
	else if (want->losses)
		ON(f, RTM_NEWLINK, WORD(AT_INDEX), IF_BITS(pods, 1, 0), KEEP, WORD(AT_LINK_CHANGE), IF_EQ(htonl(IFF_UP), 0, 2),
		   WORD(AT_LINK_FLAGS), IF_BITS(htonl(IFF_UP), 0, 1), DROP, KEEP);
	else
		ON(f, RTM_NEWLINK, WORD(AT_INDEX), IF_BITS(pods, 0, 1), DROP, KEEP);
	ON(f, RTM_DELLINK, WORD(AT_INDEX), IF_BITS(pods, 0, 1), DROP, KEEP);
}

static void filter_losses(struct filter *f, uint32_t pods)
{
	/* of a pod's link the gateway's fe80::1 alone: the kernel's own come and go with it */
	ON(f, RTM_DELADDR, WORD(AT_INDEX), IF_BITS(pods, 1, 0), KEEP,
	   FIND_ATTR(AT_ADDR_ATTRS, IFA_ADDRESS), IF_EQ(0, 6, 0), TO_X, VALUE(BPF_W, 0), IF_EQ(0xfe800000, 0, 3),
	   VALUE(BPF_W, 12), IF_EQ(1, 0, 1), KEEP, DROP);
	ON(f, RTM_DELRULE, KEEP);
	ON(f, RTM_NEWROUTE, HALF(AT_FLAGS), IF_BITS(htons(NLM_F_REPLACE), 1, 0), DROP, BYTE(AT_PROTOCOL), IF_EQ(VW_RTPROT, 0, 1),
	   DROP, KEEP);
	ON(f, RTM_DELROUTE, BYTE(AT_PROTOCOL), IF_EQ(VW_RTPROT, 1, 0), DROP, KEEP);
	ON(f, RTM_DELQDISC, KEEP);
	ON(f, RTM_DELTFILTER, KEEP);
	ON(f, RTM_NEWTFILTER, HALF(AT_FLAGS), IF_BITS(htons(NLM_F_EXCL), 0, 1), DROP, KEEP);
	/* "all" and "default" are -1 and -2 */
	ON(f, RTM_NEWNETCONF, WORD(AT_CONF_INDEX), IF_BITS(htonl(1u << 31), 1, 0), IF_BITS(pods, 1, 0), KEEP, WORD(AT_LEN),
	   IF_EQ(htonl(CONF_CHANGE_LEN), 1, 0), DROP, KEEP);
}

static int monitor_leave_out(int fd, const struct vw_monitor_want *want)
{
	const uint32_t pods = want->links_below ? htonl(~(want->links_below - 1)) : 0;
	struct filter f = { .n = 0 };
	const struct sock_filter others[] = { KEEP, DROP };
	struct sock_fprog prog = { .filter = f.code };

	for (size_t i = 0; i < VW_ARRAY_SIZE(want->own); i++)
		if (want->own[i])
			filter_own(&f, want->own[i]);
	if (pods || want->losses)
		filter_links(&f, pods, want);
	if (want->losses)
		filter_losses(&f, pods);
	f.code[f.n++] = others[want->losses];
	prog.len = f.n;
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
	if (r == 0 && monitor_leave_out(nl_socket_get_fd(m->sk), want) < 0)
		r = -NLE_FAILURE;
	if (r == 0)
		r = monitor_join(m->sk, want->kinds);
	if (r == 0)
		r = nl_socket_set_nonblocking(m->sk);
	if (r == 0)
		r = nl_socket_modify_cb(m->sk, NL_CB_MSG_IN, NL_CB_CUSTOM, vw_libnl_from_kernel, NULL);
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
