// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Branch ENIs by tag: see branch_abi.h. What is not ours passes to the next filter and the stack: untagged frames of the
 * trunk, tags that nobody asked for (a VLAN device of somebody else's may want them).
 */
#include <linux/types.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "netpolicy-bpf/abi/branch_abi.h"

#define VLAN_VID_MASK 0x0fff    /* linux/if_vlan.h pulls in libc */

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BR_BRANCHES);
	__type(key, struct br_key);
	__type(value, struct br_in);
} br_in SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BR_BRANCHES);
	__type(key, __u32);
	__type(value, struct br_out);
} br_out SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BR_DROP_MAX);
	__type(key, __u32);
	__type(value, __u64);
} br_drops SEC(".maps");

static __always_inline int drop(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&br_drops, &reason);

	if (n)
		(*n)++;
	return TC_ACT_SHOT;
}

SEC("tc")
int br_from_pod(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex;
	const struct br_out *out = bpf_map_lookup_elem(&br_out, &index);
	const struct ethhdr *eth;

	if (!out)
		return drop(BR_DROP_UNKNOWN);
	if (skb->vlan_present)
		return drop(BR_DROP_TAGGED);
	eth = (const void *)(long)skb->data;
	if ((const void *)(eth + 1) > (const void *)(long)skb->data_end)
		return drop(BR_DROP_SHORT);
	if (eth->h_proto == bpf_htons(ETH_P_8021Q) || eth->h_proto == bpf_htons(ETH_P_8021AD))
		return drop(BR_DROP_TAGGED);
	for (int i = 0; i < ETH_ALEN; i++)
		if (eth->h_source[i] != out->mac[i])
			return drop(BR_DROP_MAC);
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), out->vlan))
		return drop(BR_DROP_PUSH);
	return bpf_redirect(out->trunk, 0);
}

SEC("tc")
int br_from_trunk(struct __sk_buff *skb)
{
	struct br_key key = {.trunk = skb->ifindex};
	const struct br_in *in;

	if (!skb->vlan_present || skb->vlan_proto != bpf_htons(ETH_P_8021Q))
		return TC_ACT_UNSPEC;
	key.vlan = skb->vlan_tci & VLAN_VID_MASK;
	in = bpf_map_lookup_elem(&br_in, &key);
	if (!in)
		return TC_ACT_UNSPEC;
	if (bpf_skb_vlan_pop(skb))
		return drop(BR_DROP_POP);
	return bpf_redirect(in->ifindex, 0);
}
