// SPDX-License-Identifier: Apache-2.0
/*
 * One table of family inet for each bridge:
 *
 *   map  ports4   ENI's address . protocol . port : container's address . port
 *   set  self4    container's address twice: a container that comes to itself by a port of the ENI needs another source
 *   set  private4 containers' addresses that the VPC does not know: out under the ENI's address
 *   set  vpc4     those that it knows: out of the VPC (vpcCIDRs) under the ENI's first address, inside under their own
 *   (and all but vpc4 for IPv6, which is not translated when the VPC knows it)
 *
 *   chain arrive  prerouting, own  output:    dnat ... map @ports4
 *   chain leave   postrouting
 *   chain quiet   output: no redirects to containers. What they say to each other goes in and out by the bridge, which is where a
 *                 router tells its hosts of a shorter way; by that, nobody would translate anything.
 *
 * Rules are of the bridge and do not change with its containers: those are elements, so that an ADD costs the same whatever is
 * there. NAT chains see the first packet of a connection alone.
 */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/pod/pod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PORTS4, PORTS6, SELF4, SELF6, PRIVATE4, PRIVATE6, VPC4, N_SETS };

/* offsets in the headers: RFC 791, RFC 8200 */
static const struct family {
	uint8_t family, nfproto;
	uint8_t icmp, redirect;         /* protocol; type: RFC 792, RFC 4861 */
	uint32_t len, saddr, daddr;
	int ports, self, private, vpc;
} families[] = {
	{AF_INET, NFPROTO_IPV4, IPPROTO_ICMP, 5, 4, 12, 16, PORTS4, SELF4, PRIVATE4, VPC4},
	{AF_INET6, NFPROTO_IPV6, IPPROTO_ICMPV6, 137, 16, 8, 24, PORTS6, SELF6, PRIVATE6, -1},
};

static const struct family *family_of(uint8_t family)
{
	return family == AF_INET ? &families[0] : &families[1];
}

static void sets_of(const char *table, struct vw_nftnl_set ret[N_SETS])
{
	const uint32_t ip4 = VW_NFTNL_IP4, ip6 = VW_NFTNL_IP6, proto = VW_NFTNL_PROTO, port = VW_NFTNL_PORT;
	const struct vw_nftnl_set sets[N_SETS] = {
		[PORTS4] = {table, "ports4", VW_NFTNL_CAT(VW_NFTNL_CAT(ip4, proto), port), 12, VW_NFTNL_CAT(ip4, port), 8},
		[PORTS6] = {table, "ports6", VW_NFTNL_CAT(VW_NFTNL_CAT(ip6, proto), port), 24, VW_NFTNL_CAT(ip6, port), 20},
		[SELF4] = {table, "self4", VW_NFTNL_CAT(ip4, ip4), 8, 0, 0},
		[SELF6] = {table, "self6", VW_NFTNL_CAT(ip6, ip6), 32, 0, 0},
		[PRIVATE4] = {table, "private4", ip4, 4, 0, 0},
		[PRIVATE6] = {table, "private6", ip6, 16, 0, 0},
		[VPC4] = {table, "vpc4", ip4, 4, 0, 0},
	};

	memcpy(ret, sets, sizeof(sets));
}

static const struct vw_ip *first_of(const struct eni_state *br, uint8_t family)
{
	for (size_t i = 0; i < br->addrs.n; i++) {
		if (br->addrs.v[i].ip.family == family)
			return &br->addrs.v[i].ip;
	}
	return NULL;
}

/* In a subnet of the ENI: the VPC delivers it, as long as it is one of the ENI's secondary addresses. */
static bool is_vpcs(const struct eni_state *br, const struct vw_ip *ip)
{
	for (size_t i = 0; i < br->addrs.n; i++) {
		if (vw_cidr_has(&br->addrs.v[i], ip))
			return true;
	}
	return false;
}

/* --- rules */

static void is_family(struct vw_nftnl_rule *r, const struct family *f)
{
	vw_nftnl_meta(r, NFT_META_NFPROTO, 0);
	vw_nftnl_cmp(r, 0, &f->nfproto, 1);
}

static void leaves_by(struct vw_nftnl_rule *r, const char *ifname)
{
	char name[IFNAMSIZ] = "";

	snprintf(name, sizeof(name), "%s", ifname);
	vw_nftnl_meta(r, NFT_META_OIFNAME, 0);
	vw_nftnl_cmp(r, 0, name, sizeof(name));
}

static void add_dnat(struct vw_nl_batch *b, const char *chain, const struct vw_nftnl_set *ports, const struct family *f)
{
	const uint32_t words = f->len / 4;
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, ports->table, chain);
	is_family(&r, f);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, f->daddr, f->len, 0);
	vw_nftnl_meta(&r, NFT_META_L4PROTO, words);
	vw_nftnl_payload(&r, VW_NFTNL_TRANSPORT, 2, 2, words + 1);
	vw_nftnl_lookup(&r, ports, 0);
	vw_nftnl_dnat(&r, f->family, 0, words);
	vw_nftnl_rule_end(&r);
}

static void snat_to(struct vw_nftnl_rule *r, const struct family *f, const struct vw_ip *ip)
{
	vw_nftnl_load(r, 0, ip->b, f->len);
	vw_nftnl_snat(r, f->family, 0);
	vw_nftnl_rule_end(r);
}

static void add_self(struct vw_nl_batch *b, const struct vw_nftnl_set *self, const struct family *f, const struct vw_ip *ip)
{
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, self->table, "leave");
	is_family(&r, f);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, f->saddr, 2 * f->len, 0);        /* saddr and daddr stand side by side */
	vw_nftnl_lookup(&r, self, 0);
	snat_to(&r, f, ip);
}

static void add_snat(struct vw_nl_batch *b, const struct eni_state *br, const struct vw_nftnl_set *from, const struct family *f,
		     const struct vw_ip *ip)
{
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, from->table, "leave");
	is_family(&r, f);
	leaves_by(&r, br->host_name);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, f->saddr, f->len, 0);
	vw_nftnl_lookup(&r, from, 0);
	snat_to(&r, f, ip);
}

static void add_quiet(struct vw_nl_batch *b, const struct br_names *n, const struct family *f)
{
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, n->nft, "quiet");
	is_family(&r, f);
	leaves_by(&r, n->bridge);
	vw_nftnl_meta(&r, NFT_META_L4PROTO, 0);
	vw_nftnl_cmp(&r, 0, &f->icmp, 1);
	vw_nftnl_payload(&r, VW_NFTNL_TRANSPORT, 0, 1, 0);
	vw_nftnl_cmp(&r, 0, &f->redirect, 1);
	vw_nftnl_drop(&r);
	vw_nftnl_rule_end(&r);
}

static void add_inside(struct vw_nl_batch *b, const char *table, const struct family *f, const struct vw_cidr *vpc)
{
	struct vw_cidr net = vw_cidr_masked(vpc);
	uint32_t mask = htonl(vpc->len ? ~0u << (32 - vpc->len) : 0);
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, table, "leave");
	is_family(&r, f);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, f->daddr, f->len, 0);
	vw_nftnl_mask(&r, 0, &mask, sizeof(mask));
	vw_nftnl_cmp(&r, 0, net.ip.b, f->len);
	vw_nftnl_return(&r);
	vw_nftnl_rule_end(&r);
}

/* Return: how many rules. */
static int add_family(struct vw_nl_batch *b, const struct eni_state *br, const struct br_names *names,
		      const struct vw_nftnl_set *sets, const struct family *f)
{
	const struct vw_ip *ip = first_of(br, f->family);
	int n = 5;

	if (!ip)
		return 0;
	add_dnat(b, "arrive", &sets[f->ports], f);
	add_dnat(b, "own", &sets[f->ports], f);
	add_self(b, &sets[f->self], f, ip);
	add_snat(b, br, &sets[f->private], f, ip);
	add_quiet(b, names, f);
	if (f->vpc < 0 || !br->vpc.n)
		return n;
	for (size_t i = 0; i < br->vpc.n; i++) {
		if (br->vpc.v[i].ip.family != f->family)
			continue;
		add_inside(b, sets->table, f, &br->vpc.v[i]);
		n++;
	}
	add_snat(b, br, &sets[f->vpc], f, ip);
	return n + 1;
}

static int add_all(struct vw_nl_batch *b, const struct eni_state *br, const struct br_names *n)
{
	const struct vw_nftnl_chain chains[] = {
		{n->nft, "arrive", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST},
		{n->nft, "own", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST},
		{n->nft, "leave", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC},
		{n->nft, "quiet", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER},
	};
	struct vw_nftnl_set sets[N_SETS];
	int rules = 0;

	vw_nftnl_table_del(b, n->nft);
	vw_nftnl_table_add(b, n->nft);
	sets_of(n->nft, sets);
	for (uint32_t i = 0; i < N_SETS; i++)
		vw_nftnl_set_add(b, &sets[i], i + 1);
	for (size_t i = 0; i < VW_ARRAY_SIZE(chains); i++)
		vw_nftnl_chain_add(b, &chains[i]);
	for (size_t i = 0; i < VW_ARRAY_SIZE(families); i++)
		rules += add_family(b, br, n, sets, &families[i]);
	return rules;
}

void br_nat_make(struct vw_nl_batch *b, const struct eni_state *br)
{
	struct br_names n;

	br_names_of(&br->mac, &n);
	(void)add_all(b, br, &n);
}

/* --- a container's elements */

struct elems {
	struct vw_nftnl_set sets[N_SETS];
	int (*fn)(const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what, void *arg, struct vw_err *err);
	void *arg;
	struct vw_err *err;
};

static int each_address(const struct elems *el, const struct eni_state *br, const struct vw_ip *ip)
{
	const struct family *f = family_of(ip->family);
	struct vw_nftnl_elem once = {0}, twice = {0};
	char what[VW_IP_STRLEN];
	int set = is_vpcs(br, ip) ? f->vpc : f->private;

	memcpy(once.key, ip->b, f->len);
	memcpy(twice.key, ip->b, f->len);
	memcpy(twice.key + f->len, ip->b, f->len);
	(void)vw_ip_str(ip, what);
	if (el->fn(&el->sets[f->self], &twice, what, el->arg, el->err) < 0)
		return -el->err->eno;
	return set < 0 ? 0 : el->fn(&el->sets[set], &once, what, el->arg, el->err);
}

static int each_port_at(const struct elems *el, const struct eni_port *p, const struct vw_ip *at, const struct vw_ip *ip)
{
	const struct family *f = family_of(at->family);
	const uint16_t host = htons(p->host), pod = htons(p->pod);
	struct vw_nftnl_elem e = {0};
	char what[96], text[VW_IP_STRLEN];

	memcpy(e.key, at->b, f->len);
	e.key[f->len] = p->proto;
	memcpy(e.key + f->len + 4, &host, sizeof(host));
	memcpy(e.data, ip->b, f->len);
	memcpy(e.data + f->len, &pod, sizeof(pod));
	snprintf(what, sizeof(what), "port %u/%s of %s", p->host, eni_proto_str(p->proto), vw_ip_str(at, text));
	return el->fn(&el->sets[f->ports], &e, what, el->arg, el->err);
}

static int each_port(const struct elems *el, const struct eni_state *br, const struct eni_state *st, const struct eni_port *p)
{
	for (size_t i = 0; i < br->addrs.n; i++) {
		const struct vw_ip *at = &br->addrs.v[i].ip, *ip = first_of(st, at->family);

		if (!ip || (p->at.family && !vw_ip_eq(&p->at, at)))
			continue;
		if (each_port_at(el, p, at, ip) < 0)
			return -el->err->eno;
	}
	return 0;
}

static int each_elem(struct elems *el, const struct eni_state *br, const struct eni_state *st)
{
	struct br_names n;

	br_names_of(&br->mac, &n);
	sets_of(n.nft, el->sets);
	for (size_t i = 0; i < st->addrs.n; i++) {
		if (each_address(el, br, &st->addrs.v[i].ip) < 0)
			return -el->err->eno;
	}
	for (size_t i = 0; i < st->ports.n; i++) {
		if (each_port(el, br, st, &st->ports.v[i]) < 0)
			return -el->err->eno;
	}
	return 0;
}

static int add_one(const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what, void *arg, struct vw_err *err)
{
	vw_nftnl_elem_add(arg, set, e, what);
	return 0;
}

void br_nat_add(struct vw_nl_batch *b, const struct eni_state *br, const struct eni_state *st)
{
	struct vw_err none;
	struct elems el = {.fn = add_one, .arg = b, .err = &none};

	(void)each_elem(&el, br, st);
}

struct removal {
	struct vw_nl *nft;
	struct vw_nl_batch b;
};

/* What is not there, or leads to somebody else, is not this container's to remove. */
static int remove_one(const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what, void *arg, struct vw_err *err)
{
	struct removal *rm = arg;
	struct vw_nftnl_elem found;
	int r = vw_nftnl_elem_get(rm->nft, set, e, &found, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!set->data_len || !memcmp(found.data, e->data, set->data_len))
		vw_nftnl_elem_del(&rm->b, set, e, what);
	return 0;
}

int br_nat_remove(struct vw_nl *nft, const struct eni_state *br, const struct eni_state *st, struct vw_err *err)
{
	struct removal rm = {.nft = nft, .b = VW_NL_BATCH_INIT};
	struct elems el = {.fn = remove_one, .arg = &rm, .err = err};
	int r;

	vw_nftnl_begin(&rm.b);
	r = each_elem(&el, br, st);
	if (r == 0)
		r = vw_nftnl_commit(nft, &rm.b, err);
	vw_nl_batch_done(&rm.b);
	return r;
}

/* --- CHECK */

static int check_one(const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what, void *arg, struct vw_err *err)
{
	struct vw_nftnl_elem found;
	int r = vw_nftnl_elem_get(arg, set, e, &found, err);

	if (r == -ENOENT)
		return vw_differs(err, "%s is missing in set %s of nftables table inet %s", what, set->name, set->table);
	if (r == 0 && memcmp(found.data, e->data, set->data_len))
		return vw_differs(err, "%s leads to another container (set %s of nftables table inet %s)", what, set->name, set->table);
	return r;
}

int br_nat_check(struct vw_nl *nft, const struct eni_state *br, const struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct elems el = {.fn = check_one, .arg = nft, .err = err};
	struct br_names n;
	int want, found;

	br_names_of(&br->mac, &n);
	want = add_all(&b, br, &n);
	found = vw_nftnl_rule_count(nft, n.nft, err);
	if (found < 0)
		return found;
	if (found != want)
		return vw_differs(err, "nftables table inet %s has %d rules, not %d", n.nft, found, want);
	return st ? each_elem(&el, br, st) : 0;
}
