/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include <linux/types.h>

/**
 * DOC: what eBPF programs and the daemon share
 *
 * Any change of layout or meaning here raises NP_ABI, which is part of the pin path: <bpf_dir>/v<NP_ABI>/. Pins of another
 * version are never opened, and removed when the pods have this version's programs; flows are then picked up in mid-stream.
 * Only fixed-size types, explicit padding, zeroed before every update.
 */
#ifndef NP_ABI          /* the upgrade's test builds a release with another one */
#define NP_ABI 6
#endif

#define NP_SLOTS 4096
#define NP_IFINDEX_BASE 0x20000000u     /* host veth's ifindex = this + slot */
#define NP_MARK_ENI_MASK 0x7fu          /* low bits of skb->mark: ENI number, 0 = the primary */

#define NP_SLOT_USED (1u << 0)
#define NP_SLOT_IP4 (1u << 1)
#define NP_SLOT_IP6 (1u << 2)

/**
 * struct np_slot - what a pod is, by slot. Flags 0 = empty: whatever its veth brings is dropped.
 * @pub: the policy in force, NP_PUB_* of np_policy.h; 0 = policy is switched off. Written by the publisher alone.
 * @ip4, @ip6: the only source addresses it may send from, valid when their flag is set; network byte order.
 * @eni: number of the ENI it leaves by, 0..127.
 * @gen: counts the pods that the slot has had; part of each key of np_ct, so that no flow of one is ever
 * taken for a flow of the next. Never reset.
 * @pickup_until: tick (NP_TICK_SHIFT) until which flows may be picked up in mid-stream; 0 = not.
 * Published before the veth exists and cleared when the pod is gone, so no packet of a living pod meets
 * a half-written slot: @flags are written last, and cleared first.
 */
struct np_slot {
	__u64 pub;
	__u32 flags;
	__be32 ip4;
	__u8 ip6[16];
	__u8 eni;
	__u8 gen;
	__u16 pad0;
	__u32 pickup_until;
	__u32 pad[6];
};

_Static_assert(sizeof(struct np_slot) == 64, "struct np_slot is ABI, and a cache line");
_Static_assert(__builtin_offsetof(struct np_slot, ip6) == 16, "struct np_slot is ABI");
_Static_assert(__builtin_offsetof(struct np_slot, eni) == 32, "struct np_slot is ABI");

/** enum np_drop - why a packet was dropped: index into the per-CPU counters np_drops. */
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
	/* from here on only under a policy (np_policy.h) */
	NP_DROP_INGRESS,        /* denied by a rule or by isolation */
	NP_DROP_EGRESS,
	NP_DROP_REVOKED,        /* of a flow that a later policy denies */
	NP_DROP_STALE,          /* the tables contradict each other: a class without a row, an address without a class */
	NP_DROP_FRAGMENT,       /* later fragment without a first one, or one that could overwrite ports */
	NP_DROP_L4,             /* first fragment or packet without a whole TCP, UDP, SCTP or ICMP header */
	NP_DROP_HEADERS,        /* more than 8 IPv6 extension headers, or broken ones */
	NP_DROP_SOURCE_ROUTE,   /* its destination is not the last one */
	NP_DROP_TAIL,           /* a part of the programs was not in place */
	NP_DROP_MAX,
};

#define NP_PROG_FROM_POD "from_pod"     /* clsact ingress of the host veth: what the pod sends */
#define NP_PROG_TO_POD "to_pod"         /* clsact egress of the host veth: what it is sent */
#define NP_PROG_TO_WIRE "to_wire"       /* clsact egress of each ENI: what leaves the node behind a service's address */
/* socket filters, asked at netfilter's input: what is for the node itself behind a service's address; not 0: drop it */
#define NP_PROG_AT_NODE4 "at_node4"
#define NP_PROG_AT_NODE6 "at_node6"
