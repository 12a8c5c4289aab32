/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_ct.bpf.h"
#include "netpolicy-bpf/bpf/np_guard.bpf.h"

/* ICMP errors belong to the flow of the packet that they quote, when they go to who sent that. */

/** inner4() - what is quoted at offset @off. Return: 0, or -1: not to be told. */
static __always_inline int inner4(struct __sk_buff *skb, __u32 off, struct np_pkt *in)
{
	struct iphdr ip;
	__be16 l4[4];

	if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return -1;
	in->src[0] = ip.saddr;
	in->dst[0] = ip.daddr;
	in->proto = ip.protocol;
	if (ip.frag_off & bpf_htons(IP4_FRAG_OFFSET) || bpf_skb_load_bytes(skb, off + ip.ihl * 4, l4, sizeof(l4)))
		return -1;
	in->sport = l4[0];
	in->dport = in->proto == IPPROTO_ICMP ? l4[2] : l4[1];
	return 0;
}

static __always_inline int inner6(struct __sk_buff *skb, __u32 off, struct np_pkt *in)
{
	struct ipv6hdr ip;
	__be16 l4[4];

	if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	__builtin_memcpy(in->src, &ip.saddr, sizeof(in->src));
	__builtin_memcpy(in->dst, &ip.daddr, sizeof(in->dst));
	in->proto = ip.nexthdr;
	in->fragment = NP_WHOLE;
	in->l4 = off + sizeof(ip);
	in->room = NP_EXT_BYTES;
	if (is_ext6(in->proto) && (skip_ext6(skb, in) != NP_GO || in->fragment == NP_LATER))
		return -1;
	if (bpf_skb_load_bytes(skb, in->l4, l4, sizeof(l4)))
		return -1;
	in->sport = l4[0];
	in->dport = in->proto == IPPROTO_ICMPV6 ? l4[2] : l4[1];
	return 0;
}

/** related_key() - of the flow whose packet the ICMP error @p quotes. @in: for that packet. Return: 0 = there is none. */
static __always_inline int related_key(struct __sk_buff *skb, const struct np_side *s, const struct np_pkt *p, struct np_pkt *in,
				       struct np_ct_key *key, const int family)
{
	/* what went one way is answered the other way */
	const __u8 dir = s->dir == NP_EGRESS ? NP_INGRESS : NP_EGRESS;
	const __u32 *own;

	if ((family == 4 ? inner4(skb, p->l4 + 8, in) : inner6(skb, p->l4 + 8, in)))
		return 0;
	own = dir == NP_EGRESS ? in->src : in->dst;
	if (family == 4 ? own[0] != s->slot->ip4 : !same6(own, s->slot->ip6))
		return 0;
	/* who sent it is told; else a pod could write to anybody as long as it talks to somebody */
	if (family == 4 ? in->src[0] != p->dst[0] : !same6(in->src, (const __u8 *)p->dst))
		return 0;
	in->what = 0;
	in->fragment = NP_WHOLE;
	in->hops = 0;
	if (in->proto == IPPROTO_TCP || in->proto == IPPROTO_UDP || in->proto == IPPROTO_SCTP)
		in->what = NP_L4_PORTS;
	else if (in->proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		in->what = icmp_kind(in, bpf_ntohs(in->sport) >> 8, family);
	ct_key(key, s, in, dir, family);
	return 1;
}
