#pragma once

#include "lib/net/tc.h"

#include <stdbool.h>
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
/* --- maps, pins, the file system that they are in */

/** vw_bpffs_require() - @path is absolute and on a bpf file system, or its nearest ancestor that exists is. Return: 0, -EINVAL, -errno. */
int vw_bpffs_require(const char *path, struct vw_err *err);
/** vw_bpf_obj_open() - a pinned map or program. Return: fd that the caller closes, -ENOENT, -errno; @err is not filled. */
int vw_bpf_obj_open(const char *path);
/** vw_bpf_obj_pin() - at @path, atomically in the place of whatever is pinned there. */
int vw_bpf_obj_pin(int fd, const char *path, struct vw_err *err);

/** struct vw_bpf_map_shape - @type: enum bpf_map_type. Sizes in bytes. Two maps of one shape compare equal by memcmp(). */
struct vw_bpf_map_shape {
	uint32_t type, key_size, value_size, max_entries;
};
int vw_bpf_map_shape(int map_fd, struct vw_bpf_map_shape *ret_shape);
/** vw_bpf_map_id() - the kernel's id of a map: no other has it until the machine starts again. Return: 0, -errno. */
int vw_bpf_map_id(int map_fd, uint32_t *ret_id);
/*
 * Plain bpf(2): @key and @value have the sizes of the map. vw_bpf_map_set() with @only_new fails with -EEXIST when the key is
 * there. Return: 0, -ENOENT, -E2BIG (full), -errno.
 */
int vw_bpf_map_get(int map_fd, const void *key, void *ret_value);
int vw_bpf_map_set(int map_fd, const void *key, const void *value, bool only_new);
int vw_bpf_map_del(int map_fd, const void *key);
/** vw_bpf_map_next() - the key behind @key, the first one for NULL. Return: 0, -ENOENT at the end, -errno. */
int vw_bpf_map_next(int map_fd, const void *key, void *ret_key);
/** vw_bpf_possible_cpus() - how many values of 8 bytes an element of a per-CPU map has. Return: > 0, -errno. */
int vw_bpf_possible_cpus(void);

struct bpf_insn;
/** vw_bpf_prog_load() - a classifier (BPF_PROG_TYPE_SCHED_CLS) from instructions. Return: fd that the caller closes, -errno. */
int vw_bpf_prog_load(const struct bpf_insn *insns, size_t n, const char *name, struct vw_err *err);
/**
 * vw_bpf_tcx_attach() - hang @prog_fd on a device, without a qdisc; it stays until the device goes (kernel 6.6 and up).
 * The first one on a device takes 8 to 16 ms (the kernel waits for RCU).
 */
int vw_bpf_tcx_attach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err);
/** vw_bpf_tcx_replace() - in place: packets meet @old_fd or @prog_fd, never both or none. Return: 0, -ENOENT (@old_fd is not there), -errno. */
int vw_bpf_tcx_replace(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, int old_fd, struct vw_err *err);
/** vw_bpf_tcx_detach() - Return: 0, also when it is not there, -errno. */
int vw_bpf_tcx_detach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err);
/** vw_bpf_tcx_list() - ids of the programs that hang there, in order, at most @max of them. Return: how many hang, 0 without tcx, -errno. */
int vw_bpf_tcx_list(unsigned int ifindex, enum vw_tc_dir dir, uint32_t *ret_ids, unsigned int max, struct vw_err *err);
/** vw_bpf_tcx_has() - whether the program @prog_id hangs there. Return: 1, 0, -errno. */
int vw_bpf_tcx_has(unsigned int ifindex, enum vw_tc_dir dir, uint32_t prog_id, struct vw_err *err);
