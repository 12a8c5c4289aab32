// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * from_pod: clsact ingress of every pod's host veth, so it sees what the pod sends.
 *
 * The slot follows from the interface's index. A packet must come from the pod's own address; then the number of its
 * ENI goes into the low bits of the mark, where the rules at 1536+n find it. What cannot be judged is dropped with a
 * counted reason. A pass is TC_ACT_UNSPEC, so that filters of other tools on the same hook still run.
 */
#include <linux/types.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "netpolicy-bpf/bpf/np_maps.bpf.h"

#define ND_SOLICIT 135
#define ND_ADVERT 136

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, NP_TAILS);
	__type(key, __u32);
	__type(value, __u32);
} np_tails SEC(".maps");

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

static __always_inline int drop(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&np_drops, &reason);

	if (n)
		(*n)++;
	return TC_ACT_SHOT;
}

/** reach() - the first @len bytes can be read directly; pulls them into the linear part if they are elsewhere. */
static __always_inline int reach(struct __sk_buff *skb, __u32 len)
{
	if ((void *)(long)skb->data + len <= (void *)(long)skb->data_end)
		return 1;
	return bpf_skb_pull_data(skb, len) == 0;
}

static __always_inline int pass(struct __sk_buff *skb, const struct np_slot *slot)
{
	skb->mark = (skb->mark & ~NP_MARK_ENI_MASK) | (slot->eni & NP_MARK_ENI_MASK);
	return TC_ACT_UNSPEC;
}

static __always_inline int from_ip4(struct __sk_buff *skb, const struct np_slot *slot)
{
	struct iphdr *ip;
	__u32 hlen, total;

	if (!reach(skb, ETH_HLEN + sizeof(*ip)))
		return drop(NP_DROP_TRUNCATED);
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return drop(NP_DROP_TRUNCATED);
	hlen = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || hlen < sizeof(*ip))
		return drop(NP_DROP_MALFORMED);
	if (total == 0 && skb->gso_segs > 1)    /* BIG TCP: does not fit 16 bits */
		total = skb->len - ETH_HLEN;
	if (total < hlen)
		return drop(NP_DROP_MALFORMED);
	if (total > skb->len - ETH_HLEN)
		return drop(NP_DROP_TRUNCATED);
	if (!(slot->flags & NP_SLOT_IP4) || ip->saddr != slot->ip4)
		return drop(NP_DROP_SPOOF4);
	return pass(skb, slot);
}

/** local6() - link-local or unspecified. */
static __always_inline int local6(const struct in6_addr *a)
{
	if (a->s6_addr[0] == 0xfe && (a->s6_addr[1] & 0xc0) == 0x80)
		return 1;
	return !(a->s6_addr32[0] | a->s6_addr32[1] | a->s6_addr32[2] | a->s6_addr32[3]);
}

static __always_inline int same6(const struct in6_addr *a, const __u8 *bytes)
{
	const __u32 *b = (const __u32 *)bytes;  /* aligned: offset 8 of struct np_slot */

	return !((a->s6_addr32[0] ^ b[0]) | (a->s6_addr32[1] ^ b[1]) | (a->s6_addr32[2] ^ b[2]) |
		 (a->s6_addr32[3] ^ b[3]));
}

/** from_local6() - neighbour discovery between pod and host; everything else from such an address is noise. */
static __always_inline int from_local6(struct __sk_buff *skb, const struct np_slot *slot)
{
	const __u32 end = ETH_HLEN + sizeof(struct ipv6hdr) + 1;
	struct ipv6hdr *ip;
	__u8 *type;

	if (!reach(skb, end) || (void *)(long)skb->data + end > (void *)(long)skb->data_end)
		return drop(NP_DROP_LOCAL6);
	ip = (void *)(long)skb->data + ETH_HLEN;
	type = (__u8 *)(ip + 1);
	/* hop limit 255: RFC 4861, 7.1; no router advertisements or redirects from a pod to the host */
	if (ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit != 255 || (*type != ND_SOLICIT && *type != ND_ADVERT))
		return drop(NP_DROP_LOCAL6);
	return pass(skb, slot);
}

static __always_inline int from_ip6(struct __sk_buff *skb, const struct np_slot *slot)
{
	struct ipv6hdr *ip;

	if (!reach(skb, ETH_HLEN + sizeof(*ip)))
		return drop(NP_DROP_TRUNCATED);
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return drop(NP_DROP_TRUNCATED);
	if (ip->version != 6)
		return drop(NP_DROP_MALFORMED);
	if (bpf_ntohs(ip->payload_len) > skb->len - ETH_HLEN - sizeof(*ip))
		return drop(NP_DROP_TRUNCATED);
	if ((slot->flags & NP_SLOT_IP6) && same6(&ip->saddr, slot->ip6))
		return pass(skb, slot);
	if (!local6(&ip->saddr))
		return drop(NP_DROP_SPOOF6);
	if (!(slot->flags & NP_SLOT_IP6))
		return drop(NP_DROP_LOCAL6);
	return from_local6(skb, slot);
}

static __always_inline int from_arp(struct __sk_buff *skb, const struct np_slot *slot)
{
	struct arp_ip4 *arp;
	__be32 sender;

	if (!reach(skb, ETH_HLEN + sizeof(*arp)))
		return drop(NP_DROP_TRUNCATED);
	arp = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return drop(NP_DROP_TRUNCATED);
	if (arp->hrd != bpf_htons(ARPHRD_ETHER) || arp->pro != bpf_htons(ETH_P_IP) ||
	    arp->hln != ETH_ALEN || arp->pln != 4)
		return drop(NP_DROP_MALFORMED);
	__builtin_memcpy(&sender, arp->spa, sizeof(sender));
	/* 0.0.0.0 asks whether an address is taken (RFC 5227) and claims nothing */
	if (sender && (!(slot->flags & NP_SLOT_IP4) || sender != slot->ip4))
		return drop(NP_DROP_SPOOF_ARP);
	return pass(skb, slot);
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex - NP_IFINDEX_BASE;
	struct np_slot *slot;
	struct ethhdr *eth;

	slot = bpf_map_lookup_elem(&np_slots, &index);
	if (!slot || !(slot->flags & NP_SLOT_USED))
		return drop(NP_DROP_NO_SLOT);
	if (!reach(skb, ETH_HLEN))
		return drop(NP_DROP_TRUNCATED);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return drop(NP_DROP_TRUNCATED);
	if (skb->vlan_present)
		return drop(NP_DROP_VLAN);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return from_ip4(skb, slot);
	case bpf_htons(ETH_P_IPV6):
		return from_ip6(skb, slot);
	case bpf_htons(ETH_P_ARP):
		return from_arp(skb, slot);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return drop(NP_DROP_VLAN);
	default:
		return drop(NP_DROP_ETHERTYPE);
	}
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int to_wire(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
