// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The policy programs as they are, behind a step that makes another packet of each: BPF_PROG_TEST_RUN repeats one packet, and one
 * flow is all in the cache. The empty program takes the same step, so the difference is what the policy costs.
 */
#include "netpolicy-bpf/bpf/np_pod.bpf.c"

/** struct bench - what varies: @peer adds a number below @peers to the peer's address, @port one below @ports to the pod's port. */
struct bench {
	__u32 peers, ports;
	__u32 egress;           /* the peer is the destination */
	__u32 seed;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bench);
} np_bench SEC(".maps");

static __always_inline void vary(struct __sk_buff *skb, const int family)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u32 zero = 0, l4 = ETH_HLEN + (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	const __u32 src = ETH_HLEN + (family == 4 ? 12 : 8), size = family == 4 ? 4 : 16;
	struct bench *b = bpf_map_lookup_elem(&np_bench, &zero);
	__u32 x, host;

	if (!b || data + l4 + 4 > end)
		return;
	x = b->seed * 1664525 + 1013904223;
	b->seed = x;
	/* the peer's last two bytes, and the pod's port */
	host = (((__u64)x * b->peers) >> 32) + 256;
	x = ((__u64)(x * 2654435761u) * b->ports) >> 32;
	if (b->egress) {
		*(__be16 *)(data + src + size + size - 2) = bpf_htons(host);
		*(__be16 *)(data + l4) = bpf_htons(10000 + x);
	} else {
		*(__be16 *)(data + src + size - 2) = bpf_htons(host);
		*(__be16 *)(data + l4 + 2) = bpf_htons(10000 + x);
	}
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

#define VARIED(family) \
	SEC("tc") int nothing_##family(struct __sk_buff *skb) \
	{ \
		vary(skb, family); \
		return TC_ACT_UNSPEC; \
	} \
	SEC("tc") int from_pod_##family(struct __sk_buff *skb) \
	{ \
		vary(skb, family); \
		return on_from_pod(skb); \
	} \
	SEC("tc") int to_pod_##family(struct __sk_buff *skb) \
	{ \
		vary(skb, family); \
		return on_to_pod(skb); \
	}

VARIED(4)
VARIED(6)
