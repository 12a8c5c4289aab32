// SPDX-License-Identifier: Apache-2.0
/*
 * Table `inet vpcwire`: what pods send to a service's address, or to a port of this node, and DNAT then gives to a socket of this
 * node. No device sees it behind DNAT, so netfilter's input asks the eBPF programs (np_node.bpf.c):
 *
 *  judge   input, behind all filters of others: marked as pending, original direction, translated: dropped if the program says so
 *
 * What was not translated has been judged where the pod sent it. The table is written whole, in one transaction, by netlink: the
 * text language has no word for an expression that asks a program.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/err.h"
#include "lib/net/nftnl.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>

#define CHAIN "judge"
#define RULES 2
#define PRIORITY 99             /* before NAT of sources (100), behind what filters (0) */

static void is_u32(struct vw_nftnl_rule *r, uint32_t bits)
{
	vw_nftnl_mask(r, 0, &bits, sizeof(bits));
	vw_nftnl_cmp(r, 0, &bits, sizeof(bits));
}

static void put_rule(struct vw_nl_batch *b, uint8_t family, int prog_fd)
{
	static const uint8_t original = 0;      /* IP_CT_DIR_ORIGINAL */
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, HOSTNET_NFT_TABLE, CHAIN);
	vw_nftnl_meta(&r, NFT_META_MARK, 0);
	is_u32(&r, NP_MARK_PENDING);
	vw_nftnl_meta(&r, NFT_META_NFPROTO, 0);
	vw_nftnl_cmp(&r, 0, &family, sizeof(family));
	vw_nftnl_ct(&r, NFT_CT_STATUS, 0);
	is_u32(&r, IPS_DST_NAT);
	vw_nftnl_ct(&r, NFT_CT_DIRECTION, 0);
	vw_nftnl_cmp(&r, 0, &original, sizeof(original));
	vw_nftnl_bpf(&r, prog_fd);
	vw_nftnl_drop(&r);
	vw_nftnl_rule_end(&r);
}

static int commit(struct vw_nl_batch *b, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nftnl_open(&nl, err);

	return r < 0 ? r : vw_nftnl_commit(&nl, b, err);
}

int hostnet_judge_write(struct hostnet *hn, struct vw_err *err)
{
	static const struct vw_nftnl_chain chain = { HOSTNET_NFT_TABLE, CHAIN, "filter", NF_INET_LOCAL_IN, PRIORITY };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	vw_nftnl_begin(&b);
	vw_nftnl_table_del(&b, HOSTNET_NFT_TABLE);
	vw_nftnl_table_add(&b, HOSTNET_NFT_TABLE);
	vw_nftnl_chain_add(&b, &chain);
	put_rule(&b, NFPROTO_IPV4, hn->judge.prog4_fd);
	put_rule(&b, NFPROTO_IPV6, hn->judge.prog6_fd);
	return commit(&b, err);
}

int hostnet_judge_apply(struct hostnet *hn, int prog4_fd, int prog6_fd, struct vw_err *err)
{
	int r;

	hn->judge = (struct hostnet_judge_state){ .prog4_fd = prog4_fd, .prog6_fd = prog6_fd };
	r = hostnet_judge_write(hn, err);
	hn->judge.known = r == 0;
	return r;
}

int hostnet_judge_verify(struct hostnet *hn, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nftnl_open(&nl, err);

	if (r == 0)
		r = vw_nftnl_rule_count(&nl, HOSTNET_NFT_TABLE, err);
	if (r < 0 || r == RULES)
		return r < 0 ? r : 0;
	return vw_err_set(err, ESTALE, 0, "nftables table inet " HOSTNET_NFT_TABLE " has %d of %d rules", r, RULES);
}

int hostnet_judge_down(struct hostnet *hn, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	hn->judge.known = false;
	vw_nftnl_begin(&b);
	vw_nftnl_table_del(&b, HOSTNET_NFT_TABLE);
	return commit(&b, err);
}
