/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_parse.bpf.h"

/*
 * Flows of a slot: found, kept, made. Entries are preallocated, so one that user space deletes at this very moment may be
 * another flow's already when it is written to here: what is written is then wrong by a packet's worth of counters, or sends
 * that flow through the tables once more. Nothing here lets a packet through because of what was written, except by @rev,
 * which only flow.h sets, after it has judged.
 */

/**
 * struct np_side - one end of a packet: the pod that it is judged for. @dir: enum np_dir, seen from that pod. @post: its
 * destination was a service's and is now the real one. @node: sent by this node itself.
 */
struct np_side {
	struct np_slot *slot;
	__u64 pub;
	__u16 index;
	__u8 dir;
	__u8 post;
	__u8 node;
	__u8 hook;              /* enum np_frag_hook */
};

static __always_inline __u32 rev_of(const struct np_side *s)
{
	return s->pub >> NP_PUB_REV_SHIFT;
}

union np_ct_key {
	struct np_ct4_key v4;
	struct np_ct6_key v6;
};

static __always_inline const __u32 *remote_of(const struct np_pkt *p, __u8 dir)
{
	return dir == NP_EGRESS ? p->dst : p->src;
}

/** echo_key() - which of the two asks, and what kind of question. */
static __always_inline __be16 echo_key(const struct np_pkt *p, __u8 dir)
{
	__u8 type = bpf_ntohs(p->sport) >> 8;
	int asks = (dir == NP_EGRESS) == !!(p->what & NP_L4_QUERY);

	if (type >= ICMP4_STAMP && type <= ICMP4_MASK_REPLY)
		type -= !(type & 1);
	else
		type = 0;
	return bpf_htons(type << 8 | (asks ? NP_CT_ECHO_OUT : NP_CT_ECHO_IN));
}

/** ct_key() - of a packet in direction @dir. */
static __always_inline void ct_key(union np_ct_key *k, const struct np_side *s, const struct np_pkt *p, __u8 dir, const int family)
{
	const int egress = dir == NP_EGRESS;
	__be16 rport = 0, lport = 0;

	if (likely(p->what & NP_L4_PORTS)) {
		rport = egress ? p->dport : p->sport;
		lport = egress ? p->sport : p->dport;
	} else if (p->what & (NP_L4_QUERY | NP_L4_ANSWER)) {
		rport = echo_key(p, dir);
		lport = p->dport;
	}
	if (family == 4) {
		k->v4.slot = s->index;
		k->v4.proto = p->proto;
		k->v4.gen = s->slot->gen;
		k->v4.remote = remote_of(p, dir)[0];
		k->v4.rport = rport;
		k->v4.lport = lport;
	} else {
		k->v6.slot = s->index;
		k->v6.proto = p->proto;
		k->v6.gen = s->slot->gen;
		k->v6.rport = rport;
		k->v6.lport = lport;
		__builtin_memcpy(k->v6.remote, remote_of(p, dir), sizeof(k->v6.remote));
	}
}

static __always_inline struct np_ct *ct_find(const union np_ct_key *k, const int family)
{
	return family == 4 ? bpf_map_lookup_elem(&np_ct4, &k->v4) : bpf_map_lookup_elem(&np_ct6, &k->v6);
}

/** ct_opened_by() - which way did its first packet go? */
static __always_inline int ct_opener(const struct np_ct *ct)
{
	return ct->flags & NP_CT_EGRESS ? NP_EGRESS : NP_INGRESS;
}

static __always_inline __u8 ct_next_state(const struct np_ct *ct, const struct np_side *s, const struct np_pkt *p)
{
	const int forth = ct_opener(ct) == s->dir;

	if (p->what & NP_L4_ABORT)
		return NP_CT_CLOSED;
	if (p->what & NP_L4_CLOSE)
		return ct->state < NP_CT_CLOSING ? NP_CT_CLOSING : ct->state;
	if (ct->state == NP_CT_NEW) {
		if (ct->flags & NP_CT_POST)     /* never sees answers */
			return p->what & NP_L4_OPEN ? NP_CT_NEW : NP_CT_ESTABLISHED;
		return forth ? NP_CT_NEW : NP_CT_REPLIED;
	}
	if (ct->state == NP_CT_REPLIED && forth && (p->what & NP_L4_STREAM || NP_CT_PKTS(ct->sum[!s->dir]) > 1))
		return NP_CT_ESTABLISHED;
	return ct->state;
}

/** ct_touch() - a packet of a live flow. */
static __always_inline void ct_touch(struct np_ct *ct, const struct np_side *s, const struct np_pkt *p, __u32 now)
{
	if (unlikely(ct->last != now))
		ct->last = now;
	ct->sum[s->dir & 1] += NP_CT_SUM(1, p->len);
	if (unlikely(ct->state != NP_CT_ESTABLISHED || p->what & (NP_L4_CLOSE | NP_L4_ABORT))) {
		__u8 next = ct_next_state(ct, s, p);

		if (next != ct->state)
			ct->state = next;
	}
}

/**
 * ct_make() - a new entry. When there is no room the flow has none: each of its packets is judged alone, in the direction in which
 * it goes. Never at the cost of another flow.
 */
static __always_inline void ct_make(const union np_ct_key *k, const struct np_side *s, const struct np_ct *ct, const int family)
{
	const struct np_conf *c = conf();
	__u32 index = s->index;
	struct np_rt *rt = bpf_map_lookup_elem(&np_rt, &index);
	long r;

	if (!c || !rt)
		return;
	if (READ_ONCE(rt->ct_used) >= c->ct_quota) {
		stat(NP_STAT_CT_QUOTA);
		return;
	}
	r = family == 4 ? bpf_map_update_elem(&np_ct4, &k->v4, ct, BPF_NOEXIST) :
			  bpf_map_update_elem(&np_ct6, &k->v6, ct, BPF_NOEXIST);
	if (r == 0)
		__sync_fetch_and_add(&rt->ct_used, 1);
	else if (r != -17)      /* EEXIST: another CPU was faster */
		stat(NP_STAT_CT_FULL);
}
