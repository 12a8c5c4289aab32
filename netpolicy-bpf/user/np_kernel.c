// SPDX-License-Identifier: Apache-2.0
#include "netpolicy-bpf/user/np_kernel.h"

#include "lib/base/cleanup.h"
#include "netpolicy-bpf/abi/np_ct.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INSN_ATOMIC (BPF_STX | BPF_ATOMIC)      /* with BPF_DW or BPF_W; imm 0 = BPF_ADD, which has always been there */

bool np_kernel_has_exchange(void)
{
	const struct bpf_insn probe[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = INSN_ATOMIC | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_1, .off = -8, .imm = BPF_CMPXCHG },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	vw_auto_close int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "np_probe", "GPL", probe, VW_ARRAY_SIZE(probe), NULL);

	return fd >= 0;
}

int np_without_exchange(struct bpf_program *prog)
{
	size_t n = bpf_program__insn_cnt(prog);
	vw_auto_free struct bpf_insn *insns = calloc(n, sizeof(*insns));

	if (!insns)
		return -ENOMEM;
	memcpy(insns, bpf_program__insns(prog), n * sizeof(*insns));
	for (size_t i = 0; i < n; i++) {
		if (insns[i].code == (BPF_ALU64 | BPF_MOV | BPF_K) && insns[i].imm == NP_CT_EXCHANGE)
			insns[i].imm = 0;
		else if ((insns[i].code & ~BPF_DW) == INSN_ATOMIC && insns[i].imm != BPF_ADD)
			insns[i].imm = BPF_ADD;
	}
	return bpf_program__set_insns(prog, insns, n);
}
