/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_ct.bpf.h"

/*
 * The shortest way: a whole TCP or UDP packet without options or extension headers, of a flow that the policy in force let through,
 * established, or of UDP and no different afterwards. One look-up, one cache line written. Everything else is for flow(), in another
 * program, so that the verifier and the instruction cache see little here.
 */

/**
 * stays() - does a packet of UDP in direction @dir leave the flow's state as it is? As in ct_next_state(). One that asks, or answers, without
 * end is as good as established: a stream whose other side has said one thing only.
 */
static __always_inline int stays(const struct np_ct *ct, __u8 dir)
{
	const int forth = ct_opener(ct) == dir;

	if (ct->state == NP_CT_NEW)
		return forth;
	return ct->state == NP_CT_REPLIED && !(forth && NP_CT_PKTS(ct->sum[!dir]) > 1);
}

/**
 * hot() - @p: from parse_ip4() or parse_ip6(). Return: NP_CT_* of its entry | NP_HOT, or 0: ask flow(). @ret_link: of what a pod sends to
 * a service, NP_CT_LINK() for skb->hash.
 */
#define NP_HOT (1u << 8)
#define NP_HOT_STEPS 4          /* whoever is found later than that is a matter for flow() */
static __always_inline __u32 hot(struct __sk_buff *skb, const struct np_side *s, struct np_pkt *p, __u32 *ret_link, const int family)
{
	struct np_ct_key key;
	struct np_ct *ct;
	__u32 now, place;

	if (unlikely(p->fragment != NP_WHOLE || p->l4 != NP_L2 + (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr))))
		return 0;
	if (p->proto == IPPROTO_TCP) {
		NP_HDR(struct tcp_start, tcp);

		if (p->room < sizeof(*tcp) || !NP_AT(skb, tcp, p->l4) || tcp->flags & (TCP_FIN | TCP_SYN | TCP_RST))
			return 0;
		p->sport = tcp->sport;
		p->dport = tcp->dport;
	} else if (p->proto == IPPROTO_UDP) {
		NP_HDR(struct udp_start, udp);

		if (p->room < sizeof(*udp) || !NP_AT(skb, udp, p->l4))
			return 0;
		p->sport = udp->sport;
		p->dport = udp->dport;
	} else {
		return 0;
	}
	p->what = NP_L4_PORTS;
	ct_key(&key, s, p, s->dir, family);
	ct = ct_find(&key, NP_HOT_STEPS, &place, family);
	if (unlikely(!ct || ct->rev[s->dir & 1] != rev_of(s) || ct->flags & NP_CT_AUDIT))
		return 0;
	/* the pod's entry is another one than that of the last packet, or waits for a word from here */
	if (s->post && unlikely(ct->link != skb->hash))
		return 0;
	if (unlikely(ct->state != NP_CT_ESTABLISHED) && !(p->proto == IPPROTO_UDP && stays(ct, s->dir)))
		return 0;
	now = tick();
	if (unlikely(ct->last != now))
		ct->last = now;
	ct->sum[s->dir & 1] += NP_CT_SUM(1, p->len);
	if (!s->post && s->dir == NP_EGRESS && ct->flags & NP_CT_VIP)
		*ret_link = NP_CT_LINK(place, !ct->link || ct->rev[NP_INGRESS] != rev_of(s));
	return NP_HOT | ct->flags;
}
