/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_flow.bpf.h"
#include "netpolicy-bpf/bpf/np_hot.bpf.h"

/* What programs of all hooks make of a packet, once they know whose it is. */

#define NP_MARK_OURS (NP_MARK_PENDING | NP_MARK_SLOT_MASK)

static __always_inline int in_force(__u64 pub)
{
	return !!(pub & NP_PUB_LINE_MASK);
}

static __always_inline int parse_ip(struct __sk_buff *skb, struct np_pkt *p, const int family)
{
	return family == 4 ? parse_ip4(skb, p) : parse_ip6(skb, p);
}

/** slot_of() - whose host veth has this index; NP_SLOTS = no pod's. */
static __always_inline __u32 slot_of(__u32 ifindex)
{
	__u32 index = ifindex - NP_IFINDEX_BASE, *adopted;

	if (likely(index < NP_SLOTS))
		return index;
	adopted = bpf_map_lookup_elem(&np_adopted, &ifindex);
	return adopted ? *adopted & (NP_SLOTS - 1) : NP_SLOTS;
}

/** side_of() - @s for slot @index, whose policy is in force. Return: 0 = it is not. */
static __always_inline int side_of(struct np_side *s, __u32 index)
{
	s->index = index;
	s->slot = bpf_map_lookup_elem(&np_slots, &index);
	if (!s->slot)
		return 0;
	s->pub = READ_ONCE(s->slot->pub);
	return in_force(s->pub);
}

/** complete() - all that there is to see about a packet. Return: NP_GO, or it was counted as dropped. */
static __always_inline int complete(struct __sk_buff *skb, const struct np_side *s, __u8 *saw, const int family)
{
	struct np_work *w = work();
	int r;

	*saw = 0;
	if (!w)
		return NP_GO;
	r = parse_ip(skb, &w->p, family);
	forget();
	if (r == NP_GO)
		r = parse_rest(skb, &w->p, s->index, s->hook, family);
	forget();
	if (r != NP_GO && s->node)
		return NP_GO;
	if (r == NP_GO)
		r = flow(skb, w, s, saw, family);
	if (r == NP_GO && w->p.fragment == NP_FIRST)
		frag_remember(&w->p, s->index, s->hook, family);
	if (r != NP_GO)
		drop(r);
	return r;
}

/**
 * made_anew() - IPv6 that says that it came in nowhere and is of no socket. What the node sends is of one, but for resets and errors that
 * the kernel makes by itself. And conntrack puts fragments together; where they cannot leave as they came, ip6_fragment() makes new ones,
 * to which ip6_copy_metadata() gives the mark but not skb_iif (IPv4's ip_copy_metadata() does). They begin with an extension header.
 */
static __always_inline int made_anew(const struct __sk_buff *skb)
{
	return !skb->ingress_ifindex && skb->protocol == bpf_htons(ETH_P_IPV6) && !skb->sk;
}

/** sender_of() - the slot that a pending packet comes from, or NP_SLOTS: the mark is not ours. Its veth is where it came in. */
static __always_inline __u32 sender_of(const struct __sk_buff *skb)
{
	__u32 mark = skb->mark, index = (mark & NP_MARK_SLOT_MASK) >> NP_MARK_SLOT_SHIFT;

	if (likely(!(mark & NP_MARK_PENDING)) || (slot_of(skb->ingress_ifindex) != index && !made_anew(skb)))
		return NP_SLOTS;
	return index;
}

static __always_inline int passes_hot(struct __sk_buff *skb, const struct np_side *s, const int family)
{
	struct np_pkt p;
	__u32 link;

	return parse_ip(skb, &p, family) == NP_GO && hot(skb, s, &p, &link, family);
}
