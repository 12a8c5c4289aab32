// SPDX-License-Identifier: Apache-2.0
/*
 * A branch ENI in the kernel: an interface of the fabric like any other ENI's, whose frames travel over its trunk's link with
 * a VLAN tag. This kernel need not know VLAN devices: two small programs for each branch do it, one that tags what the
 * branch's interface sends and puts it on the trunk's link, one that takes the tag off what comes from there and lets
 * the branch's interface receive it. What has another tag falls through, and the stack drops it.
 *
 * They are written as instructions and share nothing with the programs of netpolicy-bpf that do the same on the node's end:
 * what one of them gets wrong, the other does not get wrong alike.
 */
#include "sim/fabric_priv.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/bpf.h"
#include "lib/net/tc.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#define R(n) BPF_REG_##n
/* one instruction each; names as in the kernel's filter.h */
#define MOV(d, s)           {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (d), .src_reg = (s)}
#define MOVI(d, i)          {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (d), .imm = (i)}
#define ANDI(d, i)          {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = (d), .imm = (i)}
#define LOAD(d, s, field)   {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (d), .src_reg = (s), \
			     .off = (short)offsetof(struct __sk_buff, field)}
#define JEQ(d, i, over)     {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (d), .off = (over), .imm = (i)}
#define CALL(helper)        {.code = BPF_JMP | BPF_CALL, .imm = (helper)}
#define EXIT()              {.code = BPF_JMP | BPF_EXIT}

static int load_tag(unsigned int vlan, unsigned int trunk_ifindex, struct vw_err *err)
{
	const struct bpf_insn prog[] = {
		MOV(R(6), R(1)),
		MOVI(R(2), htons(ETH_P_8021Q)),
		MOVI(R(3), (int)vlan),
		CALL(BPF_FUNC_skb_vlan_push),
		JEQ(R(0), 0, 2),
		MOVI(R(0), TC_ACT_SHOT),
		EXIT(),
		MOVI(R(1), (int)trunk_ifindex),
		MOVI(R(2), 0),
		CALL(BPF_FUNC_redirect),
		EXIT(),
	};

	return vw_bpf_prog_load(prog, VW_ARRAY_SIZE(prog), "sim_tag", err);
}

static int load_untag(unsigned int vlan, unsigned int branch_ifindex, struct vw_err *err)
{
	const struct bpf_insn prog[] = {
		MOV(R(6), R(1)),
		LOAD(R(2), R(6), vlan_present),
		JEQ(R(2), 0, 3),
		LOAD(R(2), R(6), vlan_tci),
		ANDI(R(2), 0xfff),
		JEQ(R(2), (int)vlan, 2),
		MOVI(R(0), TC_ACT_UNSPEC),
		EXIT(),
		MOV(R(1), R(6)),
		CALL(BPF_FUNC_skb_vlan_pop),
		JEQ(R(0), 0, 2),
		MOVI(R(0), TC_ACT_SHOT),
		EXIT(),
		MOVI(R(1), (int)branch_ifindex),
		MOVI(R(2), BPF_F_INGRESS),
		CALL(BPF_FUNC_redirect),
		EXIT(),
	};

	return vw_bpf_prog_load(prog, VW_ARRAY_SIZE(prog), "sim_untag", err);
}

static struct vw_filter untag_filter(const struct fab_eni *fe, int prog_fd)
{
	return (struct vw_filter){
		.ifindex = fe->trunk->ifindex,
		.dir = VW_TC_INGRESS,
		.handle = fe->eni->vlan,
		.prog_fd = prog_fd,
		.name = "sim_untag",
		.dev = fe->trunk->ifname,
	};
}

int fab_branch_hook(struct sim_fabric *f, const struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_close int tag = load_tag(fe->eni->vlan, fe->trunk->ifindex, err), untag = -EBADF;
	struct vw_filter out = {
		.ifindex = fe->ifindex, .dir = VW_TC_EGRESS, .prog_fd = tag, .name = "sim_tag", .dev = fe->ifname};
	struct vw_filter in;

	if (tag < 0)
		return tag;
	untag = load_untag(fe->eni->vlan, fe->ifindex, err);
	if (untag < 0)
		return untag;
	in = untag_filter(fe, untag);
	vw_clsact_add(&b, fe->ifindex, fe->ifname);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	vw_filter_replace(&b, &out);
	vw_clsact_add(&b, fe->trunk->ifindex, fe->trunk->ifname);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	vw_filter_replace(&b, &in);
	return vw_nl_commit(&f->nl, &b, err);
}

int fab_branch_unhook(struct sim_fabric *f, const struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_filter in = untag_filter(fe, -1);

	vw_filter_del(&b, &in);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(&f->nl, &b, err);
}
