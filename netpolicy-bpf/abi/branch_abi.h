/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include <linux/types.h>

/**
 * DOC: branch ENIs without VLAN devices: what eBPF programs and user space share
 *
 * A branch ENI's frames travel over its trunk's link with a VLAN tag. br_from_pod tags what an interface sends and puts it
 * on the trunk's link, br_from_trunk takes the tag off what comes from there and lets the interface have it. Both are hung
 * on links and look in the two maps, which user space keeps in step: br_out first when a branch comes, br_in first when it goes.
 *
 * Any change of layout or meaning here raises BR_ABI, which is part of the pin path: <bpf_dir>/branch<BR_ABI>/. Only
 * fixed-size types, explicit padding, zeroed before every update.
 */
#define BR_ABI 1

#define BR_BRANCHES 1024        /* of a node; EC2's largest types have 120 */

/** struct br_key - where a frame comes in. @trunk: the trunk's interface index. @vlan: 1..4094, host byte order. */
struct br_key {
	__u32 trunk;
	__u16 vlan;
	__u16 pad;
};

/** struct br_in - whose it is. @ifindex: on the host, whose other end is the container's. */
struct br_in {
	__u32 ifindex;
	__u32 pad;
};

/** struct br_out - of an interface on the host (by its index): what its container's frames become. @mac: the only source allowed. */
struct br_out {
	__u32 trunk;
	__u16 vlan;
	__u8 mac[6];
	__u8 pad[4];
};

_Static_assert(sizeof(struct br_key) == 8, "struct br_key is ABI");
_Static_assert(sizeof(struct br_in) == 8, "struct br_in is ABI");
_Static_assert(sizeof(struct br_out) == 16, "struct br_out is ABI");
_Static_assert(__builtin_offsetof(struct br_out, mac) == 6, "struct br_out is ABI");

/** enum br_drop - why a frame was dropped: index into the per-CPU counters. */
enum br_drop {
	BR_DROP_UNKNOWN,        /* from an interface that has no branch (any more) */
	BR_DROP_SHORT,          /* no Ethernet header */
	BR_DROP_TAGGED,         /* from a container, with a tag of its own */
	BR_DROP_MAC,            /* from a container, with another source than the branch's */
	BR_DROP_PUSH,           /* the kernel could not put the tag on */
	BR_DROP_POP,            /* ... or take it off */
	BR_DROP_MAX,
};

#define BR_MAP_IN "br_in"
#define BR_MAP_OUT "br_out"
#define BR_MAP_DROPS "br_drops"
#define BR_PROG_FROM_POD "br_from_pod"
#define BR_PROG_FROM_TRUNK "br_from_trunk"
