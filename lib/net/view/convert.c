// SPDX-License-Identifier: Apache-2.0
/* libnl-route objects to plain structs. */
#include "lib/net/view/convert.h"

#include "lib/base/err.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <string.h>

int vw_libnl_err(struct vw_err *err, int code, const char *what)
{
	static const struct {
		int nle, eno;
	} map[] = {
		{ NLE_NOMEM, ENOMEM }, { NLE_AGAIN, EAGAIN },         { NLE_DUMP_INTR, EINTR },
		{ NLE_PERM, EPERM },   { NLE_OBJ_NOTFOUND, ENOENT }, { NLE_NODEV, ENODEV },
	};
	int eno = EIO;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].nle == -code)
			eno = map[i].eno;
	return vw_err_set(err, eno, VW_CNI_KERNEL, "%s: %s", what, nl_geterror(code));
}

static void copy_str(char *buf, size_t size, const char *text)
{
	(void)snprintf(buf, size, "%s", text ? text : "");
}

/** conv_ip() - Return: false when @a is absent or not an address of @family. */
static bool conv_ip(struct nl_addr *a, int family, struct vw_ip *ret_ip)
{
	unsigned int want = family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;

	if (!a || !want || nl_addr_get_len(a) != want)
		return false;
	*ret_ip = (struct vw_ip){ .family = (uint8_t)family };
	memcpy(ret_ip->b, nl_addr_get_binary_addr(a), want);
	return true;
}

/** conv_cidr() - like conv_ip(); a default route's destination has no bytes, only its family. */
static bool conv_cidr(struct nl_addr *a, int family, struct vw_cidr *ret_cidr)
{
	if (!a)
		return false;
	if (nl_addr_get_len(a) == 0) {
		*ret_cidr = (struct vw_cidr){ .ip.family = (uint8_t)family };
		return true;
	}
	if (!conv_ip(a, family, &ret_cidr->ip))
		return false;
	ret_cidr->len = (uint8_t)nl_addr_get_prefixlen(a);
	return true;
}

int vw_conv_link(struct nl_object *obj, void *item)
{
	struct rtnl_link *rl = (struct rtnl_link *)obj;
	struct nl_addr *mac = rtnl_link_get_addr(rl);
	struct vw_link *l = item;
	int32_t netnsid;

	if (rtnl_link_get_family(rl) != AF_UNSPEC || rtnl_link_get_ifindex(rl) <= 0)
		return 0;
	l->ifindex = (unsigned int)rtnl_link_get_ifindex(rl);
	copy_str(l->name, sizeof(l->name), rtnl_link_get_name(rl));
	copy_str(l->kind, sizeof(l->kind), rtnl_link_get_type(rl));
	copy_str(l->alias, sizeof(l->alias), rtnl_link_get_ifalias(rl));
	l->flags = rtnl_link_get_flags(rl);
	l->mtu = rtnl_link_get_mtu(rl);
	l->group = rtnl_link_get_group(rl);
	l->master = (unsigned int)rtnl_link_get_master(rl);
	l->peer_ifindex = (unsigned int)rtnl_link_get_link(rl);
	l->peer_netnsid = rtnl_link_get_link_netnsid(rl, &netnsid) == 0 ? netnsid : -1;
	l->operstate = rtnl_link_get_operstate(rl);
	if (mac && nl_addr_get_len(mac) == sizeof(l->mac.b))
		memcpy(l->mac.b, nl_addr_get_binary_addr(mac), sizeof(l->mac.b));
	return 1;
}

int vw_conv_addr(struct nl_object *obj, void *item)
{
	struct rtnl_addr *ra = (struct rtnl_addr *)obj;
	unsigned int f = rtnl_addr_get_flags(ra);
	struct vw_addr *a = item;

	if (!conv_ip(rtnl_addr_get_local(ra), rtnl_addr_get_family(ra), &a->addr.ip))
		return 0;
	a->addr.len = (uint8_t)rtnl_addr_get_prefixlen(ra);
	a->ifindex = (unsigned int)rtnl_addr_get_ifindex(ra);
	a->scope = (uint8_t)rtnl_addr_get_scope(ra);
	a->flags = (f & IFA_F_NODAD ? VW_ADDR_NODAD : 0) | (f & IFA_F_NOPREFIXROUTE ? VW_ADDR_NOPREFIXROUTE : 0) |
		   (f & IFA_F_SECONDARY ? VW_ADDR_SECONDARY : 0) | (f & IFA_F_TENTATIVE ? VW_ADDR_TENTATIVE : 0) |
		   (f & IFA_F_PERMANENT ? VW_ADDR_PERMANENT : 0);
	return 1;
}

int vw_conv_route(struct nl_object *obj, void *item)
{
	struct rtnl_route *rr = (struct rtnl_route *)obj;
	int family = rtnl_route_get_family(rr);
	struct rtnl_nexthop *nh = NULL;
	struct vw_route *r = item;

	if (rtnl_route_get_flags(rr) & RTM_F_CLONED)
		return 0;
	if (!conv_cidr(rtnl_route_get_dst(rr), family, &r->dst))
		return 0;
	r->table = rtnl_route_get_table(rr);
	r->protocol = rtnl_route_get_protocol(rr);
	r->scope = rtnl_route_get_scope(rr);
	r->type = rtnl_route_get_type(rr);
	r->priority = rtnl_route_get_priority(rr);
	(void)conv_ip(rtnl_route_get_pref_src(rr), family, &r->src);
	if (rtnl_route_get_nnexthops(rr) > 0)
		nh = rtnl_route_nexthop_n(rr, 0);
	if (nh) {
		r->ifindex = (unsigned int)rtnl_route_nh_get_ifindex(nh);
		r->onlink = rtnl_route_nh_get_flags(nh) & RTNH_F_ONLINK;
		(void)conv_ip(rtnl_route_nh_get_gateway(nh), family, &r->via);
	}
	return 1;
}

int vw_conv_rule(struct nl_object *obj, void *item)
{
	struct rtnl_rule *rr = (struct rtnl_rule *)obj;
	int family = rtnl_rule_get_family(rr);
	struct vw_rule *r = item;

	if (family != AF_INET && family != AF_INET6)
		return 0;
	r->family = (uint8_t)family;
	r->action = rtnl_rule_get_action(rr);
	r->priority = rtnl_rule_get_prio(rr);
	r->table = rtnl_rule_get_table(rr);
	r->fwmark = rtnl_rule_get_mark(rr);
	r->fwmask = rtnl_rule_get_mask(rr);
	(void)rtnl_rule_get_protocol(rr, &r->protocol);
	(void)conv_cidr(rtnl_rule_get_src(rr), family, &r->from);
	(void)conv_cidr(rtnl_rule_get_dst(rr), family, &r->to);
	copy_str(r->iif, sizeof(r->iif), rtnl_rule_get_iif(rr));
	return 1;
}

/* --- what libnl does not look at itself */

/* it takes the size of the address from that of the attribute, and copies as many bytes */
static bool vias_are_whole(struct nlattr *attrs, int len)
{
	struct nlattr *a;
	int rest;

	nla_for_each_attr(a, attrs, len, rest)
		if (nla_type(a) == RTA_VIA && nla_len(a) < (int)offsetof(struct rtvia, rtvia_addr))
			return false;
	return true;
}

/* it goes on by the aligned length of a hop, whatever is left */
static bool hops_are_whole(const struct nlattr *multipath)
{
	char *at = nla_data(multipath), *end = at + nla_len(multipath);

	while (end - at >= (ptrdiff_t)sizeof(struct rtnexthop)) {
		struct rtnexthop *hop = (struct rtnexthop *)at;

		if (hop->rtnh_len < sizeof(*hop) || RTNH_ALIGN(hop->rtnh_len) > end - at ||
		    !vias_are_whole((struct nlattr *)RTNH_DATA(hop), hop->rtnh_len - (int)sizeof(*hop)))
			return false;
		at += RTNH_ALIGN(hop->rtnh_len);
	}
	return true;
}

static bool route_is_whole(struct nlmsghdr *nlh)
{
	struct nlattr *a;
	int rest;

	if (!nlmsg_valid_hdr(nlh, sizeof(struct rtmsg)))
		return false;
	nlmsg_for_each_attr(a, nlh, sizeof(struct rtmsg), rest)
		if (nla_type(a) == RTA_MULTIPATH && !hops_are_whole(a))
			return false;
	return vias_are_whole(nlmsg_attrdata(nlh, sizeof(struct rtmsg)), nlmsg_attrlen(nlh, sizeof(struct rtmsg)));
}

int vw_libnl_parse(struct nl_msg *msg, void (*cb)(struct nl_object *obj, void *arg), void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);

	/* to libnl a question is a route too */
	if (nlh->nlmsg_type >= RTM_NEWROUTE && nlh->nlmsg_type <= RTM_GETROUTE && !route_is_whole(nlh))
		return -NLE_MSG_TOOSHORT;
	return nl_msg_parse(msg, cb, arg);
}
