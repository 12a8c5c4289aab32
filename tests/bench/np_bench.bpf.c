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

/* --- models of other layouts, of the way of an IPv4 packet that opens a flow from a pod; they judge, and do nothing else */

#define MODEL_SLOTS 24

/** struct model_ports - per-pod LPM: what a prefix allows. Ports in host order; proto 0: an empty slot. */
struct model_ports {
	struct {
		__u16 first, last;
		__u32 proto;
	} slot[MODEL_SLOTS];
};

struct model_prefix {
	__u32 len;
	__be32 ip;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct model_prefix);
	__type(value, struct model_ports);
} model_peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct model_prefix);
	__type(value, __u32);
} model_labels SEC(".maps");

struct model_rule {
	__u32 label;
	__u16 port;
	__u16 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct model_rule);
	__type(value, __u32);
} model_rules SEC(".maps");

static __always_inline int model_read(struct __sk_buff *skb, struct model_prefix *ip, __u16 *port, __u32 *proto)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + ETH_HLEN + sizeof(struct iphdr) + 4 > end)
		return -1;
	*proto = *(__u8 *)(data + ETH_HLEN + 9);
	ip->len = 32;
	ip->ip = *(__be32 *)(data + ETH_HLEN + 16);
	*port = bpf_ntohs(*(__be16 *)(data + ETH_HLEN + sizeof(struct iphdr) + 2));
	return 0;
}

/* one trie for each pod; an entry has up to 24 ports */
SEC("tc")
int model_lpm_ports(struct __sk_buff *skb)
{
	struct model_prefix ip;
	struct model_ports *v;
	__u32 proto;
	__u16 port;

	vary(skb, 4);
	if (model_read(skb, &ip, &port, &proto) < 0)
		return TC_ACT_SHOT;
	v = bpf_map_lookup_elem(&model_peers, &ip);
	if (!v)
		return TC_ACT_SHOT;
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (v->slot[i].proto == proto && port >= v->slot[i].first && port <= v->slot[i].last)
			return TC_ACT_UNSPEC;
	return TC_ACT_SHOT;
}

/* one trie for all gives a label; a hash of (label, port) says yes, else one of (label, any), else one of (any, port) */
SEC("tc")
int model_lpm_labels(struct __sk_buff *skb)
{
	struct model_rule rule = { 0 };
	struct model_prefix ip;
	__u32 proto, *label;
	__u16 port;

	vary(skb, 4);
	if (model_read(skb, &ip, &port, &proto) < 0)
		return TC_ACT_SHOT;
	label = bpf_map_lookup_elem(&model_labels, &ip);
	rule = (struct model_rule){ label ? *label : 0, port, (__u16)proto };
	if (bpf_map_lookup_elem(&model_rules, &rule))
		return TC_ACT_UNSPEC;
	rule.port = rule.proto = 0;
	if (bpf_map_lookup_elem(&model_rules, &rule))
		return TC_ACT_UNSPEC;
	rule = (struct model_rule){ 0, port, (__u16)proto };
	return bpf_map_lookup_elem(&model_rules, &rule) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
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
