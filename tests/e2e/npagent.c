// SPDX-License-Identifier: Apache-2.0
/*
 * What aws-network-policy-agent leaves on a pod's host veth, by a hand that is not its.
 *
 *   npagent IFNAME DENIED-IPV4 NAME@NAMESPACE
 *
 * Two filters by the names, priority and handle that aws-ebpf-sdk-go gives (pkg/tc): handle_ingress on the link's egress, which drops what
 * comes from DENIED-IPV4, and handle_egress on its ingress, which lets all pass (TC_ACT_OK, as the agent's do). Programs and one map are
 * pinned where the agent pins them.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/tc.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PINS "/sys/fs/bpf/globals/aws"
#define IP_SADDR (ETH_HLEN + 12)
#define ETH_HLEN 14

/* Return: fd, -errno */
static int program(const char *name, uint32_t denied, struct vw_err *err)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		{ .code = BPF_LD | BPF_ABS | BPF_H, .imm = offsetof(struct ether_header, ether_type) },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_0, .off = 4, .imm = ETHERTYPE_IP },
		{ .code = BPF_LD | BPF_ABS | BPF_W, .imm = IP_SADDR },
		{ .code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = BPF_REG_0, .off = 2, .imm = (int)denied },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT },
		{ .code = BPF_JMP | BPF_EXIT },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_OK },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return vw_bpf_prog_load(insns, sizeof(insns) / sizeof(insns[0]), name, err);
}

static int map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 1, .max_entries = 2 };
	long fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

static int pin(int fd, const char *folder, const char *pod, const char *name, struct vw_err *err)
{
	char path[256];

	if (vw_fmt(path, sizeof(path), PINS "/%s/%s_%s", folder, pod, name) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", pod);
	return vw_bpf_obj_pin(fd, path, err);
}

static int enforce(const char *ifname, const struct vw_ip *denied, const char *pod, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_close int in = program("handle_ingress", vw_ip4_u32(denied), err), out = -EBADF, state = map();
	struct vw_filter f = { .prio = 1, .handle = 1, .dev = ifname };
	struct vw_link link;
	int r = in < 0 ? in : vw_nl_open(&nl, err);

	if (r == 0)
		r = out = program("handle_egress", 0, err);
	if (r >= 0)
		r = state < 0 ? vw_err_sys(err, state, 0, "making a map") : vw_link_get_name(&nl, ifname, &link, err);
	if (r < 0 || vw_mkdir_p(PINS "/programs", 0700, err) < 0 || vw_mkdir_p(PINS "/maps", 0700, err) < 0 ||
	    pin(in, "programs", pod, "handle_ingress", err) < 0 || pin(out, "programs", pod, "handle_egress", err) < 0 ||
	    pin(state, "maps", pod, "ingress_pod_state_map", err) < 0)
		return -err->eno;
	f.ifindex = link.ifindex;
	(void)vw_clsact_add(&b, f.ifindex, ifname);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	for (f.dir = VW_TC_INGRESS; f.dir <= VW_TC_EGRESS; f.dir++) {
		f.prog_fd = f.dir == VW_TC_EGRESS ? in : out;
		f.name = f.dir == VW_TC_EGRESS ? "handle_ingress" : "handle_egress";
		(void)vw_filter_replace(&b, &f);
	}
	return vw_nl_commit(&nl, &b, err);
}

int main(int argc, char **argv)
{
	struct vw_err err = { 0 };
	struct vw_ip denied;

	if (argc != 4 || vw_ip_parse(argv[2], &denied) < 0 || denied.family != AF_INET) {
		fputs("usage: npagent IFNAME DENIED-IPV4 NAME@NAMESPACE\n", stderr);
		return 2;
	}
	if (enforce(argv[1], &denied, argv[3], &err) == 0)
		return 0;
	fprintf(stderr, "npagent: %s\n", err.msg);
	return 1;
}
