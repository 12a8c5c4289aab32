// SPDX-License-Identifier: Apache-2.0
/* bpf(2) by hand: load a program, open a pin, ask for an id, attach by tcx. */
#include "lib/net/bpf.h"

#include "lib/base/err.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/bpf.h of 6.6 and up has these as BPF_TCX_INGRESS and BPF_TCX_EGRESS; Debian 12's is older. */
#define TCX_INGRESS   46
#define TCX_EGRESS    47
#define TCX_PROGS_MAX 64 /* BPF_MPROG_MAX, include/linux/bpf_mprog.h */

static int sys_bpf(int cmd, union bpf_attr *attr, unsigned int size)
{
	return (int)syscall(__NR_bpf, cmd, attr, size);
}

static unsigned int attach_type(enum vw_tc_dir dir)
{
	return dir == VW_TC_INGRESS ? TCX_INGRESS : TCX_EGRESS;
}

int vw_bpf_pin_open(const char *path, struct vw_err *err)
{
	union bpf_attr attr = {0};
	int fd;

	attr.pathname = (uint64_t)(uintptr_t)path;
	fd = sys_bpf(BPF_OBJ_GET, &attr, sizeof(attr)); /* close-on-exec by itself */
	if (fd < 0 && errno == ENOENT)
		return vw_err_set(err, ENOENT, VW_CNI_KERNEL,
				  "the pinned eBPF program '%s' is gone: is bpffs mounted there? Restart "
				  "vpcwired to pin it again",
				  path);
	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "opening the pinned eBPF program '%s'", path);
	return fd;
}

int vw_bpf_prog_id(int prog_fd, uint32_t *ret_id, struct vw_err *err)
{
	struct bpf_prog_info info = {0};
	union bpf_attr attr = {0};

	attr.info.bpf_fd = (uint32_t)prog_fd;
	attr.info.info = (uint64_t)(uintptr_t)&info;
	attr.info.info_len = sizeof(info);
	if (sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "identifying an eBPF program");
	*ret_id = info.id;
	return 0;
}

int vw_bpf_tcx_attach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err)
{
	union bpf_attr attr = {0};

	attr.target_fd = ifindex; /* shares its place with target_ifindex */
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = attach_type(dir);
	if (sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno == EINVAL)
		return vw_err_set(
			err, EINVAL, VW_CNI_KERNEL,
			"this kernel takes no tcx program (6.6 and up do): use \"attach\": \"clsact\"");
	return vw_err_sys(err, errno, VW_CNI_KERNEL, "attaching a tcx program to interface %u", ifindex);
}

int vw_bpf_tcx_has(unsigned int ifindex, enum vw_tc_dir dir, uint32_t prog_id, struct vw_err *err)
{
	uint32_t ids[TCX_PROGS_MAX] = {0};
	union bpf_attr attr = {0};

	attr.query.target_fd = ifindex;
	attr.query.attach_type = attach_type(dir);
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = TCX_PROGS_MAX;
	if (sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr)) < 0)
		return errno == ENOENT ? 0
				       : vw_err_sys(err, errno, VW_CNI_KERNEL,
						    "listing tcx programs of interface %u", ifindex);
	for (unsigned int i = 0; i < attr.query.prog_cnt && i < TCX_PROGS_MAX; i++) {
		if (ids[i] == prog_id)
			return 1;
	}
	return 0;
}

int vw_bpf_prog_load(const struct bpf_insn *insns, size_t n, const char *name, struct vw_err *err)
{
	union bpf_attr attr = {0};
	int fd;

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t) "Dual BSD/GPL";
	memccpy(attr.prog_name, name, 0, sizeof(attr.prog_name) - 1);
	fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr)); /* close-on-exec by itself */
	return fd < 0 ? vw_err_sys(err, errno, VW_CNI_KERNEL, "loading the eBPF program %s", name) : fd;
}
