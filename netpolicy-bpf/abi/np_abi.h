/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include <linux/types.h>

/**
 * DOC: what eBPF programs and the daemon share
 *
 * Any change of layout or meaning here raises NP_ABI, which is part of the pin path:
 * <bpf_dir>/v<NP_ABI>/. Pins of another
 * version are never opened. Only fixed-size types, explicit padding, zeroed before every update.
 */
#define NP_ABI 1

#define NP_SLOTS 4096
#define NP_IFINDEX_BASE 0x20000000u     /* host veth's ifindex = this + slot */
#define NP_MARK_ENI_MASK 0x7fu          /* low bits of skb->mark: ENI number, 0 = the primary */

#define NP_SLOT_USED (1u << 0)
#define NP_SLOT_IP4 (1u << 1)
#define NP_SLOT_IP6 (1u << 2)

/**
 * struct np_slot - what a pod is, by slot. All zero = empty.
 * @ip4, @ip6: the only source addresses it may send from, valid when their flag is set; network byte order.
 * @eni: number of the ENI it leaves by, 0..127.
 * Published before the veth exists and cleared when the pod is gone, so no packet of a living pod meets
 * a half-written slot.
 */
struct np_slot {
	__u32 flags;
	__be32 ip4;
	__u8 ip6[16];
	__u8 eni;
	__u8 pad[7];
};

_Static_assert(sizeof(struct np_slot) == 32, "struct np_slot is ABI");
_Static_assert(__builtin_offsetof(struct np_slot, ip6) == 8, "struct np_slot is ABI");
_Static_assert(__builtin_offsetof(struct np_slot, eni) == 24, "struct np_slot is ABI");

/** enum np_drop - why from_pod dropped a packet: index into the per-CPU counters. */
enum np_drop {
	NP_DROP_NO_SLOT,        /* interface outside the range, or its slot is empty */
	NP_DROP_TRUNCATED,      /* shorter than its headers say */
	NP_DROP_MALFORMED,      /* IP version or header length wrong, ARP not for IPv4 over Ethernet */
	NP_DROP_ETHERTYPE,      /* neither IPv4, IPv6 nor ARP */
	NP_DROP_VLAN,           /* tagged: a pod has no business on a VLAN */
	NP_DROP_SPOOF4,         /* source is not the pod's IPv4 address */
	NP_DROP_SPOOF6,         /* source is not the pod's IPv6 address */
	NP_DROP_SPOOF_ARP,      /* ARP sender is not the pod's address */
	NP_DROP_LOCAL6,         /* link-local or unspecified source and not neighbour discovery (routine noise) */
	NP_DROP_MAX,
};

#define NP_MAP_SLOTS "np_slots"
#define NP_MAP_DROPS "np_drops"
#define NP_PROG_FROM_POD "from_pod"
