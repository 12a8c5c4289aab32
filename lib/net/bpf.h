#pragma once

#include "lib/net/tc.h"

#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: pinned programs, without libbpf
 * The plugin only has to open a program that the daemon loaded and to hang it on a device; libbpf would cost it more
 * start-up time than everything else together.
 */

/** vw_bpf_pin_open() - a pinned program. Return: fd that the caller closes, -ENOENT, -errno. */
int vw_bpf_pin_open(const char *path, struct vw_err *err);
/** vw_bpf_prog_id() - the kernel's id of a program, as struct vw_filter_info has it. Return: 0, -errno. */
int vw_bpf_prog_id(int prog_fd, uint32_t *ret_id, struct vw_err *err);
struct bpf_insn;
/** vw_bpf_prog_load() - a classifier (BPF_PROG_TYPE_SCHED_CLS) from instructions. Return: fd that the caller closes, -errno. */
int vw_bpf_prog_load(const struct bpf_insn *insns, size_t n, const char *name, struct vw_err *err);
/**
 * vw_bpf_tcx_attach() - hang @prog_fd on a device, without a qdisc; it stays until the device goes (kernel 6.6 and up).
 * The first one on a device takes 8 to 16 ms (the kernel waits for RCU).
 */
int vw_bpf_tcx_attach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err);
/** vw_bpf_tcx_has() - whether the program @prog_id hangs there. Return: 1, 0, -errno. */
int vw_bpf_tcx_has(unsigned int ifindex, enum vw_tc_dir dir, uint32_t prog_id, struct vw_err *err);
