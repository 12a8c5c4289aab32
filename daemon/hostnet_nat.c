// SPDX-License-Identifier: Apache-2.0
/*
 * Table `ip vpcwire`: which connections leave the VPC, by which ENI, with which source.
 *
 * Two marks of one bit, 0x80 unless configured: the connection's (set once, on its first packet) and the packet's
 * (restored from it for what pods send, OR-ed in, so the ENI number in the low bits survives). Where the rule at 1024 sees
 * the packet's, main decides.
 *
 *  arrive  before kube-proxy's DNAT (mangle): a connection that comes in by the primary ENI for one of its own addresses,
 *          a NodePort or host port, is marked, so that a pod behind any ENI answers it by the primary.
 *  leave   after DNAT (dstnat + 10): only now is the real destination known; a ClusterIP would always look foreign. A filter
 *          chain, because NAT chains are not run any more once another has translated the connection.
 *  source  srcnat: what is marked, leaves by the primary and is not for the VPC gets the primary's address.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/view/nft.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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

static void put_chains(struct vw_buf *b, const struct hostnet_nat *nat, uint32_t mark)
{
	const char *primary = nat->primary_ifname, *pods = nat->pod_prefix;
	char addr[VW_IP_STRLEN];

	vw_buf_puts(b, "\tchain arrive {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n");
	if (nat->nodeport)
		vw_buf_printf(b, "\t\tiifname \"%s\" ct state new ct direction original fib daddr . iif type local "
				 "ct mark set ct mark or %#x\n",
			      primary, mark);
	vw_buf_puts(b, "\t}\n\tchain leave {\n\t\ttype filter hook prerouting priority dstnat + 10; policy accept;\n");
	if (!nat->external_snat)
		vw_buf_printf(b, "\t\tiifname \"%s*\" ct state new ct direction original ip daddr != @vpc ip daddr != @excluded "
				 "fib daddr type unicast ct mark set ct mark or %#x\n",
			      pods, mark);
	vw_buf_printf(b, "\t\tiifname \"%s*\" ct mark and %#x == %#x meta mark set meta mark or %#x\n\t}\n", pods, mark,
		      mark, mark);
	vw_buf_puts(b, "\tchain source {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
	if (!nat->external_snat)
		vw_buf_printf(b, "\t\toifname \"%s\" meta mark and %#x == %#x ip daddr != @vpc ip daddr != @excluded "
				 "snat to %s%s\n",
			      primary, mark, mark, vw_ip_str(&nat->primary_addr, addr), random_flag(nat->random));
	vw_buf_puts(b, "\t}\n");
}

int hostnet_nat_apply(struct hostnet *hn, const struct hostnet_nat *nat, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	int r;

	if (!name_ok(nat->primary_ifname) || !name_ok(nat->pod_prefix) || nat->primary_addr.family != AF_INET)
		return vw_err_set(err, EINVAL, 0, "NAT needs the primary ENI's name and IPv4 address and the pods' prefix");
	/* "add, delete, add": the deletion must not fail where there is none yet */
	vw_buf_puts(&b, "table ip " HOSTNET_NFT_TABLE "\ndelete table ip " HOSTNET_NFT_TABLE
			"\ntable ip " HOSTNET_NFT_TABLE " {\n");
	r = put_set(&b, "vpc", nat->vpc, nat->n_vpc, err);
	if (r == 0)
		r = put_set(&b, "excluded", nat->excluded, nat->n_excluded, err);
	if (r < 0)
		return r;
	put_chains(&b, nat, hn->mark);
	vw_buf_puts(&b, "}\n");
	if (vw_buf_err(&b))
		return vw_err_set(err, vw_buf_err(&b), 0, "composing the nftables table");
	return vw_nft_run(vw_buf_str(&b), err);
}

int hostnet_nat_verify(struct vw_err *err)
{
	static const char *const chains[] = { "arrive", "leave", "source" };
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char want[64];
	int r = vw_nft_query("list table ip " HOSTNET_NFT_TABLE, &b, err);

	if (r == -ENOENT)
		return vw_err_set(err, ESTALE, 0, "nftables table ip " HOSTNET_NFT_TABLE " is missing");
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]) && r == 0; i++) {
		(void)snprintf(want, sizeof(want), "\"name\": \"%s\"", chains[i]);
		if (!strstr(vw_buf_str(&b), want))
			r = vw_err_set(err, ESTALE, 0, "chain %s of nftables table ip " HOSTNET_NFT_TABLE " is missing",
				       chains[i]);
	}
	return r;
}

int hostnet_nat_down(struct vw_err *err)
{
	return vw_nft_run("table ip " HOSTNET_NFT_TABLE "\ndelete table ip " HOSTNET_NFT_TABLE "\n", err);
}
