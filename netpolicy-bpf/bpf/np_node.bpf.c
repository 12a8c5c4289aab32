// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * at_node4, at_node6: what a pod sends to a service's address or a port of its node, and what DNAT then gives to a socket of the node
 * itself. It leaves by no device, so none of the hooks of tc sees it behind DNAT. netfilter's does: a rule of ours at its input
 * (daemon/hostnet_judge.c) asks these programs by xt_bpf, which older kernels have too and which takes socket filters alone.
 *
 * They are the same as post4, post6 of np_pod.bpf.c, made once more for that kind: it copies headers (NP_HDR()), begins at the IP
 * header (NP_L2), and uses no map that has a lock in it. Fragments are whole again at that hook. No device is behind it, so the mark
 * stays as it is.
 */
#define NP_FILTER
#include "netpolicy-bpf/bpf/np_whole.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* what xt_bpf makes of it: the rule matches, which is to drop; or it does not */
#define MATCH 1
#define NO_MATCH 0

static __always_inline int at_node(struct __sk_buff *skb, const int family)
{
	struct np_side s = { .dir = NP_EGRESS, .post = 1, .hook = NP_FRAG_POST };
	__u32 index = sender_of(skb);
	__u8 saw;

	if (index == NP_SLOTS || !side_of(&s, index) || passes_hot(skb, &s, family))
		return NO_MATCH;
	return complete(skb, &s, &saw, family) == NP_GO ? NO_MATCH : MATCH;
}

SEC("socket")
int at_node4(struct __sk_buff *skb)
{
	return at_node(skb, 4);
}

SEC("socket")
int at_node6(struct __sk_buff *skb)
{
	return at_node(skb, 6);
}
