/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_parse.bpf.h"

/* A pod sends from its own address, or neighbour discovery from a link-local one; nothing else. */

/* ARP for IPv4 over Ethernet, RFC 826 (linux/if_arp.h pulls in libc and lacks half of it) */
#define ARPHRD_ETHER 1
struct arp_ip4 {
	__be16 hrd, pro;
	__u8 hln, pln;
	__be16 op;
	__u8 sha[ETH_ALEN];
	__u8 spa[4];
	__u8 tha[ETH_ALEN];
	__u8 tpa[4];
};
_Static_assert(sizeof(struct arp_ip4) == 28, "as on the wire");

/** local6() - link-local or unspecified. */
static __always_inline int local6(const __u32 *a)
{
	return (a[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000) || !(a[0] | a[1] | a[2] | a[3]);
}

static __always_inline int same6(const __u32 *a, const __u8 *bytes)
{
	const __u32 *b = (const __u32 *)bytes;  /* aligned: offset 16 of struct np_slot */

	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

static __always_inline int guard_ip4(const struct np_slot *slot, const struct np_pkt *p)
{
	return slot->flags & NP_SLOT_IP4 && p->src[0] == slot->ip4 ? NP_GO : NP_DROP_SPOOF4;
}

/** guard_local6() - neighbour discovery between pod and host; everything else from such an address is noise. */
static __always_inline int guard_local6(struct __sk_buff *skb, const struct np_pkt *p)
{
	NP_HDR(__u8, type);

	/* hop limit 255: RFC 4861, 7.1; no router advertisements or redirects from a pod to the host */
	if (p->proto != IPPROTO_ICMPV6 || p->hops != 255 || !NP_AT(skb, type, NP_L2 + sizeof(struct ipv6hdr)) ||
	    (*type != ND_SOLICIT && *type != ND_ADVERT))
		return NP_DROP_LOCAL6;
	return NP_GO;
}

static __always_inline int guard_arp(struct __sk_buff *skb, const struct np_slot *slot)
{
	NP_HDR(struct arp_ip4, arp);
	__be32 sender;

	if (!NP_AT(skb, arp, NP_L2))
		return NP_DROP_TRUNCATED;
	if (arp->hrd != bpf_htons(ARPHRD_ETHER) || arp->pro != bpf_htons(ETH_P_IP) || arp->hln != ETH_ALEN || arp->pln != 4)
		return NP_DROP_MALFORMED;
	__builtin_memcpy(&sender, arp->spa, sizeof(sender));
	/* 0.0.0.0 asks whether an address is taken (RFC 5227) and claims nothing */
	if (sender && (!(slot->flags & NP_SLOT_IP4) || sender != slot->ip4))
		return NP_DROP_SPOOF_ARP;
	return NP_GO;
}
