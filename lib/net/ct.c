// SPDX-License-Identifier: Apache-2.0
/*
 * Conntrack entries by ctnetlink. A dump picks entries (the kernel's filter only makes it shorter: what it brings is looked at
 * again), then they are deleted one by one by their original tuple and id, so that an entry that was made anew meanwhile under
 * the same tuple stays. Who sent first is the source of the original tuple, who answers the source of the reply's: that covers
 * plain connections, those translated to an address (node ports, services) and those translated from it.
 */
#include "lib/net/ct.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/nl.h"
#include "lib/net/nl_priv.h"
#include "lib/net/sysctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

#define CT_MSG(type) ((NFNL_SUBSYS_CTNETLINK << 8) | (type))
#define FILTER_IP_SRC 1         /* CTA_FILTER_F_CTA_IP_SRC, net/netfilter/nf_internals.h */
#define TUPLE_MAX 200           /* the longest, ICMPv6 or SCTP over IPv6 with a zone, is below 120 */

/** struct entry - what a deletion needs. */
struct entry {
	uint8_t family;
	uint16_t tuple_len;
	bool has_id, has_zone;
	uint32_t id;            /* network byte order, as the kernel gave it */
	uint16_t zone;
	unsigned char tuple[TUPLE_MAX];
};

struct to {
	struct vw_ip dst;
	uint8_t proto;
	uint16_t port;
};

/** struct pick - which entries: those with an address that is @gone, or sent @to somewhere. */
struct pick {
	bool (*gone)(const struct vw_ip *ip, const void *arg);
	const void *arg;
	const struct to *to;
};

/** tuple_source() - Return: false when there is none. */
static bool tuple_source(const struct nlattr *tuple, struct vw_ip *ret)
{
	const struct nlattr *part, *addr;

	mnl_attr_for_each_nested(part, tuple) {
		if (mnl_attr_get_type(part) != CTA_TUPLE_IP)
			continue;
		mnl_attr_for_each_nested(addr, part) {
			if (mnl_attr_get_type(addr) == CTA_IP_V4_SRC)
				return vw_nl_get_ip(addr, AF_INET, ret);
			if (mnl_attr_get_type(addr) == CTA_IP_V6_SRC)
				return vw_nl_get_ip(addr, AF_INET6, ret);
		}
	}
	return false;
}

static bool addr_is(const struct nlattr *part, const struct vw_ip *dst)
{
	const uint16_t type = dst->family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST;
	const struct nlattr *attr;
	struct vw_ip ip;

	mnl_attr_for_each_nested(attr, part) {
		if (mnl_attr_get_type(attr) == type && vw_nl_get_ip(attr, dst->family, &ip))
			return vw_ip_eq(&ip, dst);
	}
	return false;
}

static bool port_is(const struct nlattr *part, const struct to *to)
{
	const uint16_t port = htons(to->port);
	const struct nlattr *attr;
	bool proto_is = false, port_is = false;

	mnl_attr_for_each_nested(attr, part) {
		if (mnl_attr_get_type(attr) == CTA_PROTO_NUM && mnl_attr_get_payload_len(attr))
			proto_is = mnl_attr_get_u8(attr) == to->proto;
		else if (mnl_attr_get_type(attr) == CTA_PROTO_DST_PORT && mnl_attr_get_payload_len(attr) == sizeof(port))
			port_is = !memcmp(mnl_attr_get_payload(attr), &port, sizeof(port));
	}
	return proto_is && port_is;
}

static bool tuple_is_to(const struct nlattr *tuple, const struct to *to)
{
	const struct nlattr *part;
	bool addr = false, port = false;

	mnl_attr_for_each_nested(part, tuple) {
		if (mnl_attr_get_type(part) == CTA_TUPLE_IP)
			addr = addr_is(part, &to->dst);
		else if (mnl_attr_get_type(part) == CTA_TUPLE_PROTO)
			port = port_is(part, to);
	}
	return addr && port;
}

static int parse_entry(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct pick *pick = arg;
	struct entry *e = item;
	const struct nlattr *attr;
	struct vw_ip ip;
	bool wanted = false;

	if (nlh->nlmsg_type != CT_MSG(IPCTNL_MSG_CT_NEW) || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return 0;
	e->family = ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		const uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

		if (type == CTA_TUPLE_ORIG || type == CTA_TUPLE_REPLY)
			wanted |= pick->gone && tuple_source(attr, &ip) && pick->gone(&ip, pick->arg);
		if (type == CTA_TUPLE_ORIG && pick->to)
			wanted |= tuple_is_to(attr, pick->to);
		if (type == CTA_TUPLE_ORIG && len <= sizeof(e->tuple)) {
			e->tuple_len = len;
			memcpy(e->tuple, mnl_attr_get_payload(attr), len);
		} else if (type == CTA_ID && len == sizeof(e->id)) {
			e->has_id = true;
			e->id = mnl_attr_get_u32(attr);
		} else if (type == CTA_ZONE && len == sizeof(e->zone)) {
			e->has_zone = true;
			memcpy(&e->zone, mnl_attr_get_payload(attr), sizeof(e->zone));
		}
	}
	return wanted && e->tuple_len;
}

static struct nlmsghdr *put_header(void *buf, uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = CT_MSG(IPCTNL_MSG_CT_GET);
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

/** put_filter() - only entries whose @which tuple has this source. A kernel that does not know the attribute sends all. */
static void put_filter(struct nlmsghdr *nlh, uint16_t which, const struct vw_ip *source)
{
	struct nlattr *tuple, *ip, *filter;

	tuple = mnl_attr_nest_start(nlh, which);
	ip = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	vw_nl_put_ip(nlh, source->family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_nest_end(nlh, tuple);
	filter = mnl_attr_nest_start(nlh, CTA_FILTER);
	mnl_attr_put_u32(nlh, which == CTA_TUPLE_ORIG ? CTA_FILTER_ORIG_FLAGS : CTA_FILTER_REPLY_FLAGS, FILTER_IP_SRC);
	mnl_attr_nest_end(nlh, filter);
}

static void put_delete(struct vw_nl_batch *b, const struct entry *e)
{
	const struct nfgenmsg nfg = { .nfgen_family = e->family, .version = NFNETLINK_V0 };
	struct nlmsghdr *nlh = vw_nl_begin(b, CT_MSG(IPCTNL_MSG_CT_DELETE), 0, &nfg, sizeof(nfg));

	if (!nlh)
		return;
	mnl_attr_put(nlh, CTA_TUPLE_ORIG | NLA_F_NESTED, e->tuple_len, e->tuple);
	if (e->has_id)
		mnl_attr_put(nlh, CTA_ID, sizeof(e->id), &e->id);
	if (e->has_zone)
		mnl_attr_put(nlh, CTA_ZONE, sizeof(e->zone), &e->zone);
	(void)vw_nl_end(b, nlh, "deleting a connection of an address that is not in use any more");
	vw_nl_tolerate(b, VW_NL_OK_GONE);
}

/** purge_dump() - Return: how many went. */
static int purge_dump(struct vw_nl *nl, struct nlmsghdr *req, const struct pick *pick, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	void *list = NULL;
	int gone = 0, n = vw_nl_dump(nl, req, parse_entry, sizeof(struct entry), pick, "listing tracked connections", &list, err);
	vw_auto_free struct entry *entries = list;
	int r;

	for (int i = 0; i < n; i++)
		put_delete(&b, &entries[i]);
	r = n < 0 ? n : vw_nl_commit(nl, &b, err);
	for (int i = 0; i < n; i++)
		gone += vw_nl_op_done(&b, i);
	return r < 0 ? r : gone;
}

int vw_ct_purge_if(bool (*gone)(const struct vw_ip *ip, const void *arg), const void *arg, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX] = { 0 };
	const struct pick pick = { .gone = gone, .arg = arg };
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_socket(&nl, NETLINK_NETFILTER, 0, err);

	return r < 0 ? r : purge_dump(&nl, put_header(buf, AF_UNSPEC), &pick, err);
}

int vw_ct_purge_to(const struct vw_ip *dst, uint8_t proto, uint16_t port, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX] = { 0 };
	const struct to to = { .dst = *dst, .proto = proto, .port = port };
	const struct pick pick = { .to = &to };
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_socket(&nl, NETLINK_NETFILTER, 0, err);

	return r < 0 ? r : purge_dump(&nl, put_header(buf, dst->family), &pick, err);
}

struct addresses {
	const struct vw_ip *ips;
	size_t n;
};

static bool is_one_of(const struct vw_ip *ip, const void *arg)
{
	const struct addresses *a = arg;

	for (size_t i = 0; i < a->n; i++)
		if (vw_ip_eq(&a->ips[i], ip))
			return true;
	return false;
}

/* Of this namespace; many where nobody tells. */
static uint64_t entries(void)
{
	char text[24];
	struct vw_err ignored;
	uint64_t count;

	if (vw_sysctl_get("net/netfilter/nf_conntrack_count", text, sizeof(text), &ignored) < 0 ||
	    vw_parse_u64(text, 0, UINT64_MAX, &count) < 0)
		return UINT64_MAX;
	return count;
}

int vw_ct_purge(const struct vw_ip *ips, size_t n, struct vw_err *err)
{
	static const uint16_t tuples[] = { CTA_TUPLE_ORIG, CTA_TUPLE_REPLY };
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX];
	const struct addresses a = { .ips = ips, .n = n };
	const struct pick pick = { .gone = is_one_of, .arg = &a };
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	const uint64_t count = entries();
	int gone = 0, r;

	if (!count)
		return 0;
	if (n > VW_CT_FILTERED || count <= VW_CT_FEW)
		return vw_ct_purge_if(is_one_of, &a, err);
	r = vw_nl_socket(&nl, NETLINK_NETFILTER, 0, err);
	for (size_t i = 0; i < 2 * n && r >= 0; i++) {
		struct nlmsghdr *req;

		memset(buf, 0, sizeof(buf));
		req = put_header(buf, ips[i / 2].family);
		put_filter(req, tuples[i % 2], &ips[i / 2]);
		r = purge_dump(&nl, req, &pick, err);
		gone += r > 0 ? r : 0;
	}
	return r < 0 ? r : gone;
}
