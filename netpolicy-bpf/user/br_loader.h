// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/branch_abi.h"

#include <stdint.h>

struct vw_err;

/**
 * DOC: branch ENIs by tag
 *
 * Programs and maps of netpolicy-bpf/bpf/branch.bpf.c, pinned under <bpf_dir>/branch<BR_ABI>/: whoever opens them first
 * loads them, daemon or plugin; all others share them. They outlive both. Any change of a program raises BR_ABI as well, so
 * what is pinned there is what this header describes; its shape is checked, and what does not fit is replaced.
 *
 * No libbpf is needed: the programs come as a light skeleton.
 */
struct br;

/**
 * br_open() - load and pin, or take over what is pinned.
 * @bpf_dir: on a bpf file system, made if need be. Return: 0; -EINVAL: not on one (the message says what to mount);
 * -EOPNOTSUPP: the kernel refused the programs; -errno.
 */
int br_open(const char *bpf_dir, struct br **ret_br, struct vw_err *err);
/** br_close() - pins stay. Accepts NULL. Return: NULL. */
struct br *br_close(struct br *br);
/** br_unpin() - remove what br_open() pinned; absent is fine. Links keep their programs. */
int br_unpin(const char *bpf_dir, struct vw_err *err);

/** br_lock() - held while the returned fd is open: those who make and remove branches of this @bpf_dir wait for each other. -errno. */
int br_lock(const struct br *br, struct vw_err *err);

/** br_from_pod_path(), br_from_trunk_path() - the pinned programs, for the ingress of a container's link on the host and of a trunk. */
const char *br_from_pod_path(const struct br *br);
const char *br_from_trunk_path(const struct br *br);
/** br_from_pod_fd(), br_from_trunk_fd() - the same as an fd, owned by @br. */
int br_from_pod_fd(const struct br *br);
int br_from_trunk_fd(const struct br *br);

/**
 * struct br_branch - a branch in use.
 * @trunk: interface index of its trunk. @vlan: 1..4094. @ifindex: of the container's link on the host. @mac: the branch's.
 */
struct br_branch {
	unsigned int trunk, vlan, ifindex;
	struct vw_mac mac;
};

/**
 * br_publish() - frames of this tag go to that interface, and its own get the tag. Again with the same content changes nothing.
 * Return: 0; -EEXIST: the tag belongs to another interface (left as it is); -E2BIG: BR_BRANCHES are in use; -EINVAL; -errno.
 */
int br_publish(struct br *br, const struct br_branch *b, struct vw_err *err);
/** br_withdraw() - of this interface alone: a tag that is another's by now stays. Nothing there is no error. */
int br_withdraw(struct br *br, const struct br_branch *b, struct vw_err *err);
/** br_find() - who has a tag. Return: 1 = *ret_branch is filled, 0 = nobody, -errno. */
int br_find(struct br *br, unsigned int trunk, unsigned int vlan, struct br_branch *ret_branch, struct vw_err *err);
/** br_of() - the branch whose frames an interface sends. Return: 1 = *ret_branch is filled, 0 = it is nobody's, -errno. */
int br_of(struct br *br, unsigned int ifindex, struct br_branch *ret_branch, struct vw_err *err);
/** br_in_use() - whether any tag of a trunk belongs to somebody. Return: 1, 0, -errno. */
int br_in_use(struct br *br, unsigned int trunk, struct vw_err *err);
/** br_drops() - frames dropped since the maps were made, all CPUs, by enum br_drop. */
int br_drops(struct br *br, uint64_t ret_drops[BR_DROP_MAX], struct vw_err *err);
/** br_drop_name() - "unknown", "short", ...; NULL when out of range. */
const char *br_drop_name(unsigned int reason);
