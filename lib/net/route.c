// SPDX-License-Identifier: Apache-2.0
/* Routes. */
#include "lib/net/route.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

const char *vw_route_str(const struct vw_route *r, char buf[VW_ROUTE_STRLEN])
{
	char dst[VW_CIDR_STRLEN], via[VW_IP_STRLEN], dev[16];
	const char *type = r->type == RTN_BLACKHOLE     ? "blackhole "
			   : r->type == RTN_UNREACHABLE ? "unreachable "
							: "";

	(void)snprintf(buf, VW_ROUTE_STRLEN, "%s%s%s%s%s%s table %u", type,
		       r->dst.len ? vw_cidr_str(&r->dst, dst) : "default", r->via.family ? " via " : "",
		       r->via.family ? vw_ip_str(&r->via, via) : "", r->ifindex ? " dev " : "",
		       r->ifindex ? vw_dev_name(r->dev, r->ifindex, dev) : "",
		       r->table ? r->table : RT_TABLE_MAIN);
	return buf;
}

static int route_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const struct vw_route *r,
		    const char *verb)
{
	bool del = type == RTM_DELROUTE;
	uint32_t table = r->table ? r->table : RT_TABLE_MAIN;
	struct rtmsg rtm = {
		.rtm_family = r->dst.ip.family,
		.rtm_dst_len = r->dst.len,
		.rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC,
		.rtm_protocol = r->protocol || del ? r->protocol : VW_RTPROT,
		.rtm_scope = r->scope || !del ? r->scope : RT_SCOPE_NOWHERE, /* NOWHERE: any, when deleting */
		.rtm_type = r->type || del ? r->type : RTN_UNICAST,
		.rtm_flags = r->onlink ? RTNH_F_ONLINK : 0,
	};
	struct nlmsghdr *nlh;
	char text[VW_ROUTE_STRLEN];

	if (!vw_ip_bits(&r->dst.ip) || !vw_cidr_is_masked(&r->dst) || r->dst.len > vw_ip_bits(&r->dst.ip))
		return vw_nl_sour(b, EINVAL, "%s route %s: not a network", verb, vw_route_str(r, text));
	nlh = vw_nl_begin(b, type, flags, &rtm, sizeof(rtm));
	if (!nlh)
		return -b->sour_eno;
	if (r->dst.len)
		vw_nl_put_ip(nlh, RTA_DST, &r->dst.ip);
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	if (r->ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, r->ifindex);
	if (r->via.family)
		vw_nl_put_ip(nlh, RTA_GATEWAY, &r->via);
	if (r->src.family)
		vw_nl_put_ip(nlh, RTA_PREFSRC, &r->src);
	if (r->priority)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, r->priority);
	return vw_nl_end(b, nlh, "%s route %.*s", verb, 90, vw_route_str(r, text));
}

int vw_route_add(struct vw_nl_batch *b, const struct vw_route *route)
{
	return route_op(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, "adding");
}

int vw_route_replace(struct vw_nl_batch *b, const struct vw_route *route)
{
	return route_op(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, "setting");
}

int vw_route_del(struct vw_nl_batch *b, const struct vw_route *route)
{
	return route_op(b, RTM_DELROUTE, 0, route, "deleting");
}

static int route_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct vw_route *r = item;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return 0;
	r->dst.ip.family = rtm->rtm_family;
	r->dst.len = rtm->rtm_dst_len;
	if (!vw_ip_bits(&r->dst.ip) || (rtm->rtm_flags & RTM_F_CLONED))
		return 0;
	r->table = rtm->rtm_table;
	r->protocol = rtm->rtm_protocol;
	r->scope = rtm->rtm_scope;
	r->type = rtm->rtm_type;
	r->onlink = rtm->rtm_flags & RTNH_F_ONLINK;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			(void)vw_nl_get_ip(attr, rtm->rtm_family, &r->dst.ip);
			break;
		case RTA_TABLE:
			r->table = vw_nl_get_u32(attr);
			break;
		case RTA_OIF:
			r->ifindex = vw_nl_get_u32(attr);
			break;
		case RTA_GATEWAY:
			(void)vw_nl_get_ip(attr, rtm->rtm_family, &r->via);
			break;
		case RTA_PREFSRC:
			(void)vw_nl_get_ip(attr, rtm->rtm_family, &r->src);
			break;
		case RTA_PRIORITY:
			r->priority = vw_nl_get_u32(attr);
			break;
		}
	}
	return 1;
}

int vw_route_lookup(struct vw_nl *nl, const struct vw_route_query *q, struct vw_route *ret_route,
		    struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[160] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	char what[80], text[VW_IP_STRLEN];

	if (!vw_ip_bits(&q->dst))
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "looking up a route to no address");
	nlh->nlmsg_type = RTM_GETROUTE;
	rtm->rtm_family = q->dst.family;
	rtm->rtm_dst_len = (uint8_t)vw_ip_bits(&q->dst);
	/* FIB_MATCH: answer with the route itself and its table, not with the per-destination copy of it */
	rtm->rtm_flags = RTM_F_FIB_MATCH;
	if (q->dst.family == AF_INET)
		rtm->rtm_flags |= RTM_F_LOOKUP_TABLE; /* IPv6 always tells, and refuses to be asked */
	vw_nl_put_ip(nlh, RTA_DST, &q->dst);
	if (q->src.family) {
		rtm->rtm_src_len = (uint8_t)vw_ip_bits(&q->src);
		vw_nl_put_ip(nlh, RTA_SRC, &q->src);
	}
	if (q->iif)
		mnl_attr_put_u32(nlh, RTA_IIF, q->iif);
	if (q->oif)
		mnl_attr_put_u32(nlh, RTA_OIF, q->oif);
	if (q->mark)
		mnl_attr_put_u32(nlh, RTA_MARK, q->mark);
	(void)snprintf(what, sizeof(what), "looking up the route to %s", vw_ip_str(&q->dst, text));
	return vw_nl_ask(nl, nlh, route_parse, ret_route, sizeof(*ret_route), NULL, what, err);
}

int vw_route_list(struct vw_nl *nl, uint8_t family, uint32_t table, unsigned int ifindex, uint8_t protocol,
		  struct vw_route **ret_routes, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[96] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	void *items;
	int n;

	nlh->nlmsg_type = RTM_GETROUTE;
	rtm->rtm_family = family;
	rtm->rtm_protocol = protocol;
	mnl_attr_put_u32(nlh, RTA_TABLE, table ? table : RT_TABLE_MAIN);
	if (ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	n = vw_nl_dump(nl, nlh, route_parse, sizeof(**ret_routes), NULL, "listing routes", &items, err);
	if (n == -ENOENT) { /* a table exists from its first route on */
		items = NULL;
		n = 0;
	}
	if (n >= 0)
		*ret_routes = items;
	return n;
}
