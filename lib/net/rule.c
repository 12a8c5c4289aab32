// SPDX-License-Identifier: Apache-2.0
/* Routing rules. */
#include "lib/net/rule.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"
#include "lib/net/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

const char *vw_rule_str(const struct vw_rule *r, char buf[VW_RULE_STRLEN])
{
	char from[VW_CIDR_STRLEN], to[VW_CIDR_STRLEN], mark[32] = "";

	if (r->fwmask)
		(void)snprintf(mark, sizeof(mark), " fwmark %#x/%#x", r->fwmark, r->fwmask);
	(void)snprintf(buf, VW_RULE_STRLEN, "%u:%s%s%s%s%s%s%s lookup %u", r->priority,
		       r->from.ip.family ? " from " : "",
		       r->from.ip.family ? vw_cidr_str(&r->from, from) : "", r->to.ip.family ? " to " : "",
		       r->to.ip.family ? vw_cidr_str(&r->to, to) : "", mark, r->iif[0] ? " iif " : "", r->iif,
		       r->table);
	return buf;
}

bool vw_rule_eq(const struct vw_rule *a, const struct vw_rule *b)
{
	return a->family == b->family && a->protocol == b->protocol && a->priority == b->priority &&
	       a->fwmask == b->fwmask && a->fwmark == b->fwmark && vw_cidr_eq(&a->from, &b->from) &&
	       vw_cidr_eq(&a->to, &b->to) && strcmp(a->iif, b->iif) == 0 && a->table == b->table;
}

static bool cidr_ok(const struct vw_rule *r, const struct vw_cidr *c)
{
	return !c->ip.family || (c->ip.family == r->family && c->len <= vw_ip_bits(&c->ip));
}

static int rule_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const struct vw_rule *r,
		   const char *verb)
{
	bool del = type == RTM_DELRULE;
	struct fib_rule_hdr frh = {
		.family = r->family,
		.dst_len = r->to.ip.family ? r->to.len : 0,
		.src_len = r->from.ip.family ? r->from.len : 0,
		.table = r->table < 256 ? (uint8_t)r->table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
	};
	uint8_t protocol = r->protocol || r->unmarked || del ? r->protocol : VW_RTPROT;
	struct nlmsghdr *nlh;
	char text[VW_RULE_STRLEN];

	if ((r->family != AF_INET && r->family != AF_INET6) || !cidr_ok(r, &r->from) || !cidr_ok(r, &r->to) ||
	    !r->table)
		return vw_nl_sour(b, EINVAL, "%s rule %s: no family or table, or mixed families", verb,
				  vw_rule_str(r, text));
	nlh = vw_nl_begin(b, type, flags, &frh, sizeof(frh));
	if (!nlh)
		return -b->sour_eno;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, r->priority);
	mnl_attr_put_u32(nlh, FRA_TABLE, r->table);
	if (protocol)
		mnl_attr_put_u8(nlh, FRA_PROTOCOL, protocol);
	if (r->fwmask) {
		mnl_attr_put_u32(nlh, FRA_FWMARK, r->fwmark);
		mnl_attr_put_u32(nlh, FRA_FWMASK, r->fwmask);
	}
	if (frh.src_len)
		vw_nl_put_ip(nlh, FRA_SRC, &r->from.ip);
	if (frh.dst_len)
		vw_nl_put_ip(nlh, FRA_DST, &r->to.ip);
	if (r->iif[0])
		mnl_attr_put_strz(nlh, FRA_IIFNAME, r->iif);
	return vw_nl_end(b, nlh, "%s rule %.*s", verb, 90, vw_rule_str(r, text));
}

int vw_rule_add(struct vw_nl_batch *b, const struct vw_rule *rule)
{
	return rule_op(b, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule, "adding");
}

int vw_rule_del(struct vw_nl_batch *b, const struct vw_rule *rule)
{
	return rule_op(b, RTM_DELRULE, 0, rule, "deleting");
}

static int rule_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	struct vw_rule *r = item;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*frh))
		return 0;
	r->family = frh->family;
	r->action = frh->action;
	r->table = frh->table;
	mnl_attr_for_each(attr, nlh, sizeof(*frh))
	{
		switch (mnl_attr_get_type(attr)) {
		case FRA_PRIORITY:
			r->priority = vw_nl_get_u32(attr);
			break;
		case FRA_TABLE:
			r->table = vw_nl_get_u32(attr);
			break;
		case FRA_FWMARK:
			r->fwmark = vw_nl_get_u32(attr);
			break;
		case FRA_FWMASK:
			r->fwmask = vw_nl_get_u32(attr);
			break;
		case FRA_PROTOCOL:
			if (mnl_attr_get_payload_len(attr) >= 1)
				r->protocol = mnl_attr_get_u8(attr);
			break;
		case FRA_SRC:
			r->from.len = frh->src_len;
			(void)vw_nl_get_ip(attr, frh->family, &r->from.ip);
			break;
		case FRA_DST:
			r->to.len = frh->dst_len;
			(void)vw_nl_get_ip(attr, frh->family, &r->to.ip);
			break;
		case FRA_IIFNAME:
			vw_nl_get_str(attr, r->iif, sizeof(r->iif));
			break;
		}
	}
	return 1;
}

int vw_rule_list(struct vw_nl *nl, uint8_t family, struct vw_rule **ret_rules, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[64] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	void *items;
	int n;

	nlh->nlmsg_type = RTM_GETRULE;
	frh->family = family;
	n = vw_nl_dump(nl, nlh, rule_parse, sizeof(**ret_rules), NULL, "listing rules", &items, err);
	if (n >= 0)
		*ret_rules = items;
	return n;
}
