// SPDX-License-Identifier: Apache-2.0
/*
 * Transactions of nf_tables. The kernel answers when it has gone through a whole transaction: with an error for every
 * request that it refused, in their order, and an acknowledgement for those that asked for one, which here only the last
 * does. So a transaction of any size has few answers, and by the time the last one's is there so are all the others. One
 * that is refused as a whole (no permission, no memory) is answered at its first message.
 */
#include "lib/net/nftnl.h"

#include "lib/base/err.h"
#include "lib/net/nl.h"
#include "lib/net/nl_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_bpf.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

#define NFT_MSG(type) ((uint16_t)((NFNL_SUBSYS_NFTABLES << 8) | (type)))

int vw_nftnl_open(struct vw_nl *nl, struct vw_err *err)
{
	return vw_nl_socket(nl, NETLINK_NETFILTER, 0, err);
}

/* --- messages */

static void put_u32(struct nlmsghdr *nlh, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(nlh, type, htonl(v));
}

static struct nlmsghdr *begin(struct vw_nl_batch *b, uint16_t msg, uint16_t flags)
{
	const struct nfgenmsg nfg = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };

	return vw_nl_begin(b, NFT_MSG(msg), flags, &nfg, sizeof(nfg));
}

static void frame(struct vw_nl_batch *b, uint16_t type)
{
	const struct nfgenmsg nfg = { .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
	struct nlmsghdr *nlh = vw_nl_begin(b, type, 0, &nfg, sizeof(nfg));

	if (nlh)
		(void)vw_nl_end(b, nlh, "%s a transaction of nftables", type == NFNL_MSG_BATCH_BEGIN ? "beginning" : "ending");
}

void vw_nftnl_begin(struct vw_nl_batch *b)
{
	frame(b, NFNL_MSG_BATCH_BEGIN);
}

int vw_nftnl_commit(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err)
{
	size_t last = b->n ? b->n - 1 : 0;

	if (!b->sour_eno && last == 0)
		return 0;
	frame(b, NFNL_MSG_BATCH_END);
	for (size_t i = 0; !b->sour_eno && i < b->n; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(b->buf + b->ops[i].off);

		b->ops[i].quiet = i != last;
		if (b->ops[i].quiet)
			nlh->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	}
	return vw_nl_commit_whole(nl, b, err);
}

/* --- tables, chains */

void vw_nftnl_table_add(struct vw_nl_batch *b, const char *table)
{
	struct nlmsghdr *nlh = begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	put_u32(nlh, NFTA_TABLE_FLAGS, 0);
	(void)vw_nl_end(b, nlh, "adding nftables table inet %s", table);
}

void vw_nftnl_table_del(struct vw_nl_batch *b, const char *table)
{
	struct nlmsghdr *nlh;

	vw_nftnl_table_add(b, table);   /* NFT_MSG_DESTROYTABLE is of 6.3 */
	nlh = begin(b, NFT_MSG_DELTABLE, 0);
	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	(void)vw_nl_end(b, nlh, "deleting nftables table inet %s", table);
}

void vw_nftnl_chain_add(struct vw_nl_batch *b, const struct vw_nftnl_chain *c)
{
	struct nlmsghdr *nlh = begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *hook;

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, c->table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, c->name);
	hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	put_u32(nlh, NFTA_HOOK_HOOKNUM, c->hook);
	put_u32(nlh, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
	mnl_attr_nest_end(nlh, hook);
	put_u32(nlh, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, c->type);
	(void)vw_nl_end(b, nlh, "adding nftables chain %s of table inet %s", c->name, c->table);
}

/* --- sets */

void vw_nftnl_set_add(struct vw_nl_batch *b, const struct vw_nftnl_set *s, uint32_t id)
{
	struct nlmsghdr *nlh = begin(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, s->table);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, s->name);
	put_u32(nlh, NFTA_SET_FLAGS, s->data_len ? NFT_SET_MAP : 0);
	put_u32(nlh, NFTA_SET_KEY_TYPE, s->key_type);
	put_u32(nlh, NFTA_SET_KEY_LEN, s->key_len);
	if (s->data_len) {
		put_u32(nlh, NFTA_SET_DATA_TYPE, s->data_type);
		put_u32(nlh, NFTA_SET_DATA_LEN, s->data_len);
	}
	put_u32(nlh, NFTA_SET_ID, id);
	(void)vw_nl_end(b, nlh, "adding nftables set %s of table inet %s", s->name, s->table);
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, uint32_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
	mnl_attr_nest_end(nlh, nest);
}

static void put_elem(struct nlmsghdr *nlh, const struct vw_nftnl_set *s, const struct vw_nftnl_elem *e, bool with_data)
{
	struct nlattr *list, *elem;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, s->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, s->name);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_value(nlh, NFTA_SET_ELEM_KEY, e->key, s->key_len);
	if (with_data && s->data_len)
		put_value(nlh, NFTA_SET_ELEM_DATA, e->data, s->data_len);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
}

static bool elem_ok(struct vw_nl_batch *b, const struct vw_nftnl_set *s)
{
	if (s->key_len <= VW_NFTNL_KEY_MAX && s->data_len <= VW_NFTNL_KEY_MAX)
		return true;
	(void)vw_nl_sour(b, EINVAL, "a key or datum of nftables set %s has more than %d bytes", s->name, VW_NFTNL_KEY_MAX);
	return false;
}

static void elem_op(struct vw_nl_batch *b, uint16_t msg, uint16_t flags, const char *verb, const struct vw_nftnl_set *s,
		    const struct vw_nftnl_elem *e, const char *what)
{
	struct nlmsghdr *nlh = elem_ok(b, s) ? begin(b, msg, flags) : NULL;

	if (!nlh)
		return;
	put_elem(nlh, s, e, msg == NFT_MSG_NEWSETELEM);
	(void)vw_nl_end(b, nlh, "%s nftables set %s: %s", verb, s->name, what);
}

void vw_nftnl_elem_add(struct vw_nl_batch *b, const struct vw_nftnl_set *s, const struct vw_nftnl_elem *e, const char *what)
{
	elem_op(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, "adding to", s, e, what);
}

void vw_nftnl_elem_del(struct vw_nl_batch *b, const struct vw_nftnl_set *s, const struct vw_nftnl_elem *e, const char *what)
{
	elem_op(b, NFT_MSG_DELSETELEM, 0, "deleting from", s, e, what);
}

static struct nlmsghdr *request(void *buf, uint16_t msg)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = NFT_MSG(msg);
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static const struct nlattr *within(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static void take_value(const struct nlattr *nest, uint8_t *ret, uint32_t len)
{
	const struct nlattr *value = nest ? within(nest, NFTA_DATA_VALUE) : NULL;

	if (value && mnl_attr_get_payload_len(value) == len)
		memcpy(ret, mnl_attr_get_payload(value), len);
}

static int parse_elem(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct vw_nftnl_set *s = arg;
	struct vw_nftnl_elem *e = item;
	const struct nlattr *attr, *elem;

	if (nlh->nlmsg_type != NFT_MSG(NFT_MSG_NEWSETELEM) || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		elem = within(attr, NFTA_LIST_ELEM);
		if (!elem)
			continue;
		take_value(within(elem, NFTA_SET_ELEM_KEY), e->key, s->key_len);
		take_value(within(elem, NFTA_SET_ELEM_DATA), e->data, s->data_len);
		return 1;
	}
	return 0;
}

int vw_nftnl_elem_get(struct vw_nl *nl, const struct vw_nftnl_set *s, const struct vw_nftnl_elem *e,
		      struct vw_nftnl_elem *ret, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX] = { 0 };
	struct nlmsghdr *req = request(buf, NFT_MSG_GETSETELEM);

	if (s->key_len > VW_NFTNL_KEY_MAX || s->data_len > VW_NFTNL_KEY_MAX)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "a key or datum of nftables set %s is too long", s->name);
	put_elem(req, s, e, false);
	return vw_nl_ask(nl, req, parse_elem, ret, sizeof(*ret), s, "asking for an element of an nftables set", err);
}

/* --- rules */

void vw_nftnl_rule_begin(struct vw_nftnl_rule *r, struct vw_nl_batch *b, const char *table, const char *chain)
{
	*r = (struct vw_nftnl_rule){ .b = b, .nlh = begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), .table = table, .chain = chain };
	if (!r->nlh)
		return;
	mnl_attr_put_strz(r->nlh, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(r->nlh, NFTA_RULE_CHAIN, chain);
	r->exprs = mnl_attr_nest_start(r->nlh, NFTA_RULE_EXPRESSIONS);
}

void vw_nftnl_rule_end(struct vw_nftnl_rule *r)
{
	if (!r->nlh)
		return;
	mnl_attr_nest_end(r->nlh, r->exprs);
	(void)vw_nl_end(r->b, r->nlh, "adding a rule to nftables chain %s of table inet %s", r->chain, r->table);
}

struct expr {
	struct nlattr *elem, *data;
};

/* what would not fit is seen before it is written. @most: bytes that its attributes take */
static bool expr_begin_long(struct vw_nftnl_rule *r, const char *name, struct expr *e, size_t most)
{
	if (!r->nlh)
		return false;
	if (r->nlh->nlmsg_len + most > VW_NL_MSG_MAX) {
		(void)vw_nl_sour(r->b, EMSGSIZE, "a rule of nftables chain %s is too long", r->chain);
		r->nlh = NULL;
		return false;
	}
	e->elem = mnl_attr_nest_start(r->nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->nlh, NFTA_EXPR_NAME, name);
	e->data = mnl_attr_nest_start(r->nlh, NFTA_EXPR_DATA);
	return true;
}

/* the longest of the others, a mask of 16 bytes, takes less than 120 */
static bool expr_begin(struct vw_nftnl_rule *r, const char *name, struct expr *e)
{
	return expr_begin_long(r, name, e, 160);
}

static void expr_end(struct vw_nftnl_rule *r, struct expr *e)
{
	mnl_attr_nest_end(r->nlh, e->data);
	mnl_attr_nest_end(r->nlh, e->elem);
}

static void put_reg(struct vw_nftnl_rule *r, uint16_t type, uint32_t reg)
{
	put_u32(r->nlh, type, NFT_REG32_00 + reg);
}

static void load_key(struct vw_nftnl_rule *r, const char *name, uint16_t key_type, uint32_t key, uint16_t reg_type, uint32_t reg)
{
	struct expr e;

	if (!expr_begin(r, name, &e))
		return;
	put_u32(r->nlh, key_type, key);
	put_reg(r, reg_type, reg);
	expr_end(r, &e);
}

void vw_nftnl_meta(struct vw_nftnl_rule *r, uint32_t key, uint32_t reg)
{
	load_key(r, "meta", NFTA_META_KEY, key, NFTA_META_DREG, reg);
}

void vw_nftnl_ct(struct vw_nftnl_rule *r, uint32_t key, uint32_t reg)
{
	load_key(r, "ct", NFTA_CT_KEY, key, NFTA_CT_DREG, reg);
}

void vw_nftnl_bpf(struct vw_nftnl_rule *r, int prog_fd)
{
	const struct xt_bpf_info_v1 info = { .mode = XT_BPF_MODE_FD_ELF, .fd = prog_fd };
	struct expr e;

	if (!expr_begin_long(r, "match", &e, sizeof(info) + 160))
		return;
	mnl_attr_put_strz(r->nlh, NFTA_MATCH_NAME, "bpf");
	put_u32(r->nlh, NFTA_MATCH_REV, 1);
	mnl_attr_put(r->nlh, NFTA_MATCH_INFO, sizeof(info), &info);
	expr_end(r, &e);
}

void vw_nftnl_payload(struct vw_nftnl_rule *r, enum vw_nftnl_base base, uint32_t off, uint32_t len, uint32_t reg)
{
	struct expr e;

	if (!expr_begin(r, "payload", &e))
		return;
	put_reg(r, NFTA_PAYLOAD_DREG, reg);
	put_u32(r->nlh, NFTA_PAYLOAD_BASE, base);
	put_u32(r->nlh, NFTA_PAYLOAD_OFFSET, off);
	put_u32(r->nlh, NFTA_PAYLOAD_LEN, len);
	expr_end(r, &e);
}

void vw_nftnl_cmp(struct vw_nftnl_rule *r, uint32_t reg, const void *data, uint32_t len)
{
	struct expr e;

	if (!expr_begin(r, "cmp", &e))
		return;
	put_reg(r, NFTA_CMP_SREG, reg);
	put_u32(r->nlh, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(r->nlh, NFTA_CMP_DATA, data, len);
	expr_end(r, &e);
}

void vw_nftnl_mask(struct vw_nftnl_rule *r, uint32_t reg, const void *mask, uint32_t len)
{
	static const uint8_t zero[16];
	struct expr e;

	if (!expr_begin(r, "bitwise", &e))
		return;
	put_reg(r, NFTA_BITWISE_SREG, reg);
	put_reg(r, NFTA_BITWISE_DREG, reg);
	put_u32(r->nlh, NFTA_BITWISE_LEN, len);
	put_value(r->nlh, NFTA_BITWISE_MASK, mask, len);
	put_value(r->nlh, NFTA_BITWISE_XOR, zero, len);
	expr_end(r, &e);
}

void vw_nftnl_lookup(struct vw_nftnl_rule *r, const struct vw_nftnl_set *s, uint32_t reg)
{
	struct expr e;

	if (!expr_begin(r, "lookup", &e))
		return;
	mnl_attr_put_strz(r->nlh, NFTA_LOOKUP_SET, s->name);
	put_reg(r, NFTA_LOOKUP_SREG, reg);
	if (s->data_len)
		put_reg(r, NFTA_LOOKUP_DREG, reg);
	expr_end(r, &e);
}

void vw_nftnl_load(struct vw_nftnl_rule *r, uint32_t reg, const void *data, uint32_t len)
{
	struct expr e;

	if (!expr_begin(r, "immediate", &e))
		return;
	put_reg(r, NFTA_IMMEDIATE_DREG, reg);
	put_value(r->nlh, NFTA_IMMEDIATE_DATA, data, len);
	expr_end(r, &e);
}

static void verdict(struct vw_nftnl_rule *r, uint32_t code)
{
	struct nlattr *data, *nest;
	struct expr e;

	if (!expr_begin(r, "immediate", &e))
		return;
	put_u32(r->nlh, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(r->nlh, NFTA_IMMEDIATE_DATA);
	nest = mnl_attr_nest_start(r->nlh, NFTA_DATA_VERDICT);
	put_u32(r->nlh, NFTA_VERDICT_CODE, code);
	mnl_attr_nest_end(r->nlh, nest);
	mnl_attr_nest_end(r->nlh, data);
	expr_end(r, &e);
}

void vw_nftnl_return(struct vw_nftnl_rule *r)
{
	verdict(r, (uint32_t)NFT_RETURN);
}

void vw_nftnl_drop(struct vw_nftnl_rule *r)
{
	verdict(r, NF_DROP);
}

static void nat(struct vw_nftnl_rule *r, uint32_t type, uint8_t family, uint32_t addr, const uint32_t *port, uint32_t flags)
{
	struct expr e;

	if (!expr_begin(r, "nat", &e))
		return;
	put_u32(r->nlh, NFTA_NAT_TYPE, type);
	put_u32(r->nlh, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put_reg(r, NFTA_NAT_REG_ADDR_MIN, addr);
	if (port)
		put_reg(r, NFTA_NAT_REG_PROTO_MIN, *port);
	if (flags)
		put_u32(r->nlh, NFTA_NAT_FLAGS, flags);
	expr_end(r, &e);
}

void vw_nftnl_dnat(struct vw_nftnl_rule *r, uint8_t family, uint32_t addr, uint32_t port)
{
	nat(r, NFT_NAT_DNAT, family, addr, &port, 0);
}

void vw_nftnl_snat(struct vw_nftnl_rule *r, uint8_t family, uint32_t addr)
{
	nat(r, NFT_NAT_SNAT, family, addr, NULL, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static int parse_rule(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct nlattr *attr;
	char table[NFT_TABLE_MAXNAMELEN] = "";

	if (nlh->nlmsg_type != NFT_MSG(NFT_MSG_NEWRULE) || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_RULE_TABLE)
			vw_nl_get_str(attr, table, sizeof(table));
	}
	return !strcmp(table, arg);
}

int vw_nftnl_rule_count(struct vw_nl *nl, const char *table, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX] = { 0 };
	struct nlmsghdr *req = request(buf, NFT_MSG_GETRULE);
	void *items = NULL;
	int n;

	mnl_attr_put_strz(req, NFTA_RULE_TABLE, table);
	n = vw_nl_dump(nl, req, parse_rule, 1, table, "listing the rules of an nftables table", &items, err);
	free(items);
	return n == -ENOENT ? 0 : n;
}

static int parse_chain(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	struct vw_nftnl_chain_name *c = item;
	const struct nlattr *attr;

	(void)arg;
	if (nlh->nlmsg_type != NFT_MSG(NFT_MSG_NEWCHAIN) || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return 0;
	c->family = ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE)
			vw_nl_get_str(attr, c->table, sizeof(c->table));
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_NAME)
			vw_nl_get_str(attr, c->chain, sizeof(c->chain));
	}
	return 1;
}

int vw_nftnl_chain_list(struct vw_nl *nl, struct vw_nftnl_chain_name **ret, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_MSG_MAX] = { 0 };
	struct nlmsghdr *req = request(buf, NFT_MSG_GETCHAIN);
	void *items = NULL;
	int n;

	((struct nfgenmsg *)mnl_nlmsg_get_payload(req))->nfgen_family = NFPROTO_UNSPEC;
	n = vw_nl_dump(nl, req, parse_chain, sizeof(**ret), NULL, "listing the chains of nftables", &items, err);
	if (n >= 0)
		*ret = items;
	return n;
}
