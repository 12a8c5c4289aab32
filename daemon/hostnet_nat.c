// SPDX-License-Identifier: Apache-2.0
/*
 * Tables `ip vpcwire` and `ip6 vpcwire`: which connections leave the VPC, by which ENI, with which source.
 *
 * Two marks of one bit, 0x80 unless configured: the connection's (set once, on its first packet) and the packet's
 * (restored from it for what pods send, OR-ed in, so the ENI number in the low bits survives). Where the rule at 1024 sees
 * the packet's, main decides. Pods are known by the group of their host ends, whatever those are called.
 *
 *  arrive  before kube-proxy's DNAT (mangle): a connection that comes in by the primary ENI for one of its own addresses,
 *          a NodePort or host port, is marked, so that a pod behind any ENI answers it by the primary.
 *  leave   after DNAT (dstnat + 10): only now is the real destination known; a ClusterIP would always look foreign. A filter
 *          chain, because NAT chains are not run any more once another has translated the connection.
 *  source  srcnat: what is marked, leaves by the primary and is not for the VPC gets the primary's address. IPv6: only what
 *          comes from the addresses for pods without IPv6, which are marked wherever they send to.
 *  refuse  nobody may connect to such an address.
 *  own     what the node itself sends from an address of secondary ENI n gets mark n, and is routed again (type route):
 *          one rule of the kernel for an ENI serves pods and node alike.
 *
 * The tables are always written whole, in one transaction. What nft lists right afterwards is kept, to see later whether
 * somebody has changed them.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/view/nft.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LIST4 "list table ip " HOSTNET_NFT_TABLE
#define LIST6 "list table ip6 " HOSTNET_NFT_TABLE

/* --- composing */

static int put_set(struct vw_buf *b, const char *name, const struct vw_cidr *cidrs, size_t n, struct vw_err *err)
{
	char text[VW_CIDR_STRLEN];
	struct vw_cidr c;

	vw_buf_printf(b, "\tset %s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n", name);
	for (size_t i = 0; i < n; i++) {
		if (cidrs[i].ip.family != AF_INET || cidrs[i].len > 32)
			return vw_err_set(err, EINVAL, 0, "%s is no IPv4 network", vw_cidr_str(&cidrs[i], text));
		c = vw_cidr_masked(&cidrs[i]);
		vw_buf_printf(b, "%s%s", i ? ", " : "\t\telements = { ", vw_cidr_str(&c, text));
	}
	vw_buf_puts(b, n ? " }\n\t}\n" : "\t}\n");
	return 0;
}

/** name_ok() - the text goes into nft's quotes. */
static bool name_ok(const char *name)
{
	return name[0] && !strpbrk(name, "\"\\*\n ");
}

static const char *random_flag(enum hostnet_snat_random r)
{
	switch (r) {
	case HOSTNET_SNAT_PRNG:
		return " fully-random";
	case HOSTNET_SNAT_HASHRANDOM:
		return " random";
	case HOSTNET_SNAT_NONE:
		break;
	}
	return "";
}

static void put_arrive(struct vw_buf *b, const struct hostnet_nat *nat, uint32_t mark)
{
	vw_buf_puts(b, "\tchain arrive {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n");
	if (nat->nodeport)
		vw_buf_printf(b, "\t\tiifname \"%s\" ct state new ct direction original fib daddr . iif type local "
				 "ct mark set ct mark or %#x\n",
			      nat->primary_ifname, mark);
	vw_buf_puts(b, "\t}\n");
}

/** put_leave() - @which: what goes by the primary ENI, nft matches; NULL = nothing. */
static void put_leave(struct vw_buf *b, const char *const which[2], uint32_t mark)
{
	vw_buf_printf(b, "\tchain leave {\n\t\ttype filter hook prerouting priority dstnat + 10; policy accept;\n"
			 "\t\tiifgroup != %u accept\n",
		      VW_GROUP_PODS);
	for (int i = 0; i < 2; i++)
		if (which[i])
			vw_buf_printf(b, "\t\tct state new ct direction original %s fib daddr type unicast ct mark set ct mark or %#x\n",
				      which[i], mark);
	vw_buf_printf(b, "\t\tct mark and %#x == %#x meta mark set meta mark or %#x\n\t}\n", mark, mark, mark);
}

static void put_source(struct vw_buf *b, const struct hostnet_nat *nat, uint32_t mark)
{
	char addr[VW_IP_STRLEN];

	vw_buf_puts(b, "\tchain source {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
	if (nat->egress4)
		vw_buf_printf(b, "\t\toifname \"%s\" ip saddr " HOSTNET_EGRESS4 " snat to %s%s\n", nat->primary_ifname,
			      vw_ip_str(&nat->primary_addr, addr), random_flag(nat->random));
	if (!nat->external_snat)
		vw_buf_printf(b, "\t\toifname \"%s\" meta mark and %#x == %#x ip daddr != @vpc ip daddr != @excluded "
				 "snat to %s%s\n",
			      nat->primary_ifname, mark, mark, vw_ip_str(&nat->primary_addr, addr), random_flag(nat->random));
	vw_buf_puts(b, "\t}\n");
}

static void put_source6(struct vw_buf *b, const struct hostnet_nat *nat)
{
	char addr[VW_IP_STRLEN];

	vw_buf_printf(b, "\tchain source {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
			 "\t\toifname \"%s\" ip6 saddr " HOSTNET_EGRESS6 " snat to %s%s\n\t}\n",
		      nat->primary_ifname, vw_ip_str(&nat->primary_addr6, addr), random_flag(nat->random));
}

/* the addresses for the way out are no way in: only the node itself may ask there */
static void put_refuse(struct vw_buf *b, uint8_t family)
{
	vw_buf_printf(b, "\tchain refuse {\n\t\ttype filter hook forward priority filter; policy accept;\n"
			 "\t\t%s daddr %s ct state new reject with %s type admin-prohibited\n\t}\n",
		      family == AF_INET ? "ip" : "ip6", family == AF_INET ? HOSTNET_EGRESS4 : HOSTNET_EGRESS6,
		      family == AF_INET ? "icmp" : "icmpv6");
}

/* a chain for each ENI, because nft cannot put a looked-up value into some bits of the mark and leave the others */
static void put_own(struct vw_buf *b, const struct hostnet_nat_state *st, uint8_t family, uint32_t mark)
{
	vw_auto_buf struct vw_buf map = VW_BUF_INIT;
	char addr[VW_IP_STRLEN];

	for (size_t i = 0; i < st->n_enis; i++) {
		const struct hostnet_eni *e = &st->enis[i];
		const struct vw_ip *a = family == AF_INET ? &e->addr.ip : &e->addr6;

		if (a->family != family)
			continue;
		vw_buf_printf(b, "\tchain eni%u {\n\t\tmeta mark set meta mark and %#x or %#x\n\t}\n", e->number,
			      ~(uint32_t)HOSTNET_MARK_ENI_MASK, e->number);
		vw_buf_printf(&map, "%s%s : goto eni%u", map.len ? ", " : "", vw_ip_str(a, addr), e->number);
	}
	if (map.len)
		vw_buf_printf(b, "\tchain own {\n\t\ttype route hook output priority mangle; policy accept;\n"
				 "\t\tmeta mark and %#x == 0 %s saddr vmap { %s }\n\t}\n",
			      mark | HOSTNET_MARK_ENI_MASK, family == AF_INET ? "ip" : "ip6", vw_buf_str(&map));
}

/* "add, delete, add": the deletion must not fail where there is none yet */
static void put_table(struct vw_buf *b, const char *family)
{
	vw_buf_printf(b, "table %s %s\ndelete table %s %s\n", family, HOSTNET_NFT_TABLE, family, HOSTNET_NFT_TABLE);
}

static int compose(const struct hostnet *hn, struct vw_buf *b, struct vw_err *err)
{
	const struct hostnet_nat *nat = &hn->nat.conf;
	int r;

	put_table(b, "ip");
	vw_buf_puts(b, "table ip " HOSTNET_NFT_TABLE " {\n");
	r = put_set(b, "vpc", nat->vpc, nat->n_vpc, err);
	if (r == 0)
		r = put_set(b, "excluded", nat->excluded, nat->n_excluded, err);
	if (r < 0)
		return r;
	put_arrive(b, nat, hn->mark);
	put_leave(b, (const char *[]){ nat->egress4 ? "ip saddr " HOSTNET_EGRESS4 : NULL,
				       nat->external_snat ? NULL : "ip daddr != @vpc ip daddr != @excluded" }, hn->mark);
	put_source(b, nat, hn->mark);
	if (nat->egress4)
		put_refuse(b, AF_INET);
	put_own(b, &hn->nat, AF_INET, hn->mark);
	vw_buf_puts(b, "}\n");
	if (hn->ipv6) {
		put_table(b, "ip6");
		vw_buf_puts(b, "table ip6 " HOSTNET_NFT_TABLE " {\n");
		put_arrive(b, nat, hn->mark);
		put_leave(b, (const char *[]){ nat->primary_addr6.family ? "ip6 saddr " HOSTNET_EGRESS6 : NULL, NULL }, hn->mark);
		if (nat->primary_addr6.family) {
			put_source6(b, nat);
			put_refuse(b, AF_INET6);
		}
		put_own(b, &hn->nat, AF_INET6, hn->mark);
		vw_buf_puts(b, "}\n");
	}
	return vw_buf_err(b) ? vw_err_set(err, vw_buf_err(b), 0, "composing the nftables tables") : 0;
}

/* --- writing */

static int list(const char *command, char **ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT;
	int r = vw_nft_query(command, &out, err);

	if (r < 0)
		return r;
	free(*ret);
	*ret = vw_buf_take(&out);
	return *ret ? 0 : vw_err_set(err, ENOMEM, 0, "no memory for a listing of the nftables tables");
}

int hostnet_nat_write(struct hostnet *hn, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	int r = compose(hn, &b, err);

	if (r == 0)
		r = vw_nft_run(vw_buf_str(&b), err);
	if (r == 0)
		r = list(LIST4, &hn->nat.seen4, err);
	return r == 0 && hn->ipv6 ? list(LIST6, &hn->nat.seen6, err) : r;
}

/* what the caller lent is gone after the call; the tables may have to be written again */
static int conf_copy(const struct hostnet_nat *nat, struct hostnet_nat *ret, struct vw_cidr **ret_cidrs, struct vw_err *err)
{
	struct vw_cidr *cidrs = calloc(nat->n_vpc + nat->n_excluded + 1, sizeof(*cidrs));

	if (!cidrs)
		return vw_err_set(err, ENOMEM, 0, "no memory for the networks of the NAT table");
	for (size_t i = 0; i < nat->n_vpc; i++)
		cidrs[i] = nat->vpc[i];
	for (size_t i = 0; i < nat->n_excluded; i++)
		cidrs[nat->n_vpc + i] = nat->excluded[i];
	*ret = *nat;
	ret->vpc = cidrs;
	ret->excluded = cidrs + nat->n_vpc;
	*ret_cidrs = cidrs;
	return 0;
}

int hostnet_nat_apply(struct hostnet *hn, const struct hostnet_nat *nat, struct vw_err *err)
{
	struct hostnet_nat_state before = hn->nat;
	int r;

	if (!name_ok(nat->primary_ifname) || nat->primary_addr.family != AF_INET)
		return vw_err_set(err, EINVAL, 0, "NAT needs the primary ENI's name and IPv4 address");
	r = conf_copy(nat, &hn->nat.conf, &hn->nat.cidrs, err);
	if (r < 0)
		return r;
	r = hostnet_nat_write(hn, err);
	if (r < 0) {
		free(hn->nat.cidrs);
		hn->nat.conf = before.conf;
		hn->nat.cidrs = before.cidrs;
		return r;
	}
	free(before.cidrs);
	hn->nat.known = true;
	return 0;
}

/* --- ENIs */

static struct hostnet_eni *find(struct hostnet *hn, const struct hostnet_eni *eni)
{
	for (size_t i = 0; i < hn->nat.n_enis; i++)
		if (hn->nat.enis[i].number == eni->number)
			return &hn->nat.enis[i];
	return NULL;
}

int hostnet_nat_eni(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	struct hostnet_eni *e = find(hn, eni);

	if (e && vw_cidr_eq(&e->addr, &eni->addr) && vw_ip_eq(&e->addr6, &eni->addr6))
		return 0;
	if (!e) {
		e = reallocarray(hn->nat.enis, hn->nat.n_enis + 1, sizeof(*e));
		if (!e)
			return vw_err_set(err, ENOMEM, 0, "no memory for another ENI");
		hn->nat.enis = e;
		e += hn->nat.n_enis++;
	}
	*e = *eni;
	return hn->nat.known ? hostnet_nat_write(hn, err) : 0;
}

int hostnet_nat_eni_gone(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	struct hostnet_eni *e = find(hn, eni);

	if (!e)
		return 0;
	*e = hn->nat.enis[--hn->nat.n_enis];
	return hn->nat.known ? hostnet_nat_write(hn, err) : 0;
}

/* --- truth and removal */

static int verify_table(const char *command, const char *table, const char *want, const char *const *chains,
			struct vw_err *err)
{
	vw_auto_buf struct vw_buf now = VW_BUF_INIT;
	char name[64];
	int r = vw_nft_query(command, &now, err);

	if (r == -ENOENT)
		return vw_err_set(err, ESTALE, 0, "nftables table %s is missing", table);
	for (; r == 0 && *chains; chains++) {
		(void)snprintf(name, sizeof(name), "\"name\": \"%s\"", *chains);
		if (!strstr(vw_buf_str(&now), name))
			return vw_err_set(err, ESTALE, 0, "chain %s of nftables table %s is missing", *chains, table);
	}
	if (r == 0 && want && strcmp(want, vw_buf_str(&now)) != 0)
		return vw_err_set(err, ESTALE, 0, "nftables table %s is not as vpcwired made it", table);
	return r;
}

int hostnet_nat_verify(struct hostnet *hn, struct vw_err *err)
{
	static const char *const chains4[] = { "arrive", "leave", "source", NULL };
	static const char *const chains6[] = { "arrive", "leave", NULL };
	int r = verify_table(LIST4, "ip " HOSTNET_NFT_TABLE, hn->nat.seen4, chains4, err);

	if (r == 0 && hn->ipv6)
		r = verify_table(LIST6, "ip6 " HOSTNET_NFT_TABLE, hn->nat.seen6, chains6, err);
	return r;
}

int hostnet_nat_down(struct hostnet *hn, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	hn->nat.known = false;
	put_table(&b, "ip");
	if (hostnet_have_ipv6())
		put_table(&b, "ip6");
	return vw_buf_err(&b) ? vw_err_set(err, ENOMEM, 0, "out of memory") : vw_nft_run(vw_buf_str(&b), err);
}

void hostnet_nat_done(struct hostnet *hn)
{
	free(hn->nat.cidrs);
	free(hn->nat.enis);
	free(hn->nat.seen4);
	free(hn->nat.seen6);
	hn->nat = (struct hostnet_nat_state){ 0 };
}
