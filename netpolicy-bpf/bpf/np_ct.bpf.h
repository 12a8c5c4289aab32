/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_parse.bpf.h"

/*
 * Flows of a slot: found, kept, made. Where they lie: np_ct.h. An entry that user space takes away at this very moment may still be
 * written to: its place is another flow's only when no program can hold it any more.
 */

/**
 * struct np_side - one end of a packet: the pod that it is judged for. @dir: enum np_dir, seen from that pod. @post: where its
 * destination, if it was a service's, is the real one. @node: sent by this node itself.
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
static __always_inline void ct_key(struct np_ct_key *k, const struct np_side *s, const struct np_pkt *p, __u8 dir, const int family)
{
	const int egress = dir == NP_EGRESS;
	const __u32 *remote = remote_of(p, dir);
	__be16 rport = 0, lport = 0;

	if (likely(p->what & NP_L4_PORTS)) {
		rport = egress ? p->dport : p->sport;
		lport = egress ? p->sport : p->dport;
	} else if (p->what & (NP_L4_QUERY | NP_L4_ANSWER)) {
		rport = echo_key(p, dir);
		lport = p->dport;
	}
	k->id = NP_CT_ID(s->index, s->slot->gen, p->proto, rport, lport, family == 4 ? 0 : NP_CT_ID_IP6);
	if (s->post)
		k->id |= NP_CT_ID_POST;
	k->ip[0] = family == 4 ? remote[0] : remote[0] | (__u64)remote[1] << 32;
	k->ip[1] = family == 4 ? 0 : remote[2] | (__u64)remote[3] << 32;
}

static __always_inline __u64 ct_hash(const struct np_conf *c, const struct np_ct_key *k, const int family)
{
	return np_ct_hash(c->ct_key, k, family == 6);
}

/** ct_find() - the live entry of @k, or NULL. @steps: NP_CT_STEPS, or fewer when NULL may mean "not at once". @ret_place: NP_CT_PLACE(). */
static __always_inline struct np_ct *ct_find(const struct np_ct_key *k, const __u32 steps, __u32 *ret_place, const int family)
{
	const struct np_conf *c = conf();
	struct np_ct_entry *e = NULL;
	struct np_ct_group *g;
	__u32 index, at = 0;
	__u64 hash;

	if (!c)
		return NULL;
	hash = ct_hash(c, k, family);
	index = np_ct_group_of(hash, c->ct_groups);
	g = bpf_map_lookup_elem(&np_ct, &index);
	if (g)
		e = np_ct_walk(g, k, hash, family == 6, steps, 0, NP_CT_PASSED_ONE, &at);
	if (!e)
		return NULL;
	*ret_place = NP_CT_PLACE(index, at);
	return &e->ct;
}

/** ct_at() - the entry at @place, whoever's it is. */
static __always_inline struct np_ct_entry *ct_at(__u32 place)
{
	__u32 index = NP_CT_PLACE_GROUP(place), at = NP_CT_PLACE_AT(place);
	struct np_ct_group *g = bpf_map_lookup_elem(&np_ct, &index);

	if (!g || at >= NP_CT_GROUP_FLOWS)
		return NULL;
	asm volatile("" : "+r"(g), "+r"(at));   /* the verifier wants nothing added before that is known */
	return &g->entry[at];
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

/** has_exchange() - NP_CT_EXCHANGE. */
static __always_inline int has_exchange(void)
{
	__u64 yes;

#ifdef __bpf__
	asm volatile("%0 = %1" : "=r"(yes) : "i"(NP_CT_EXCHANGE));
#else
	yes = 1;        /* compiled for this machine, to be fuzzed: tests/fuzz/np_host.c */
#endif
	return !!yes;
}

static __always_inline void ct_store(struct np_ct_entry *e, const struct np_ct_key *k, const struct np_ct *ct)
{
	e->ct = *ct;
	e->key.ip[0] = k->ip[0];
	e->key.ip[1] = k->ip[1];
	forget();
	WRITE_ONCE(e->key.id, k->id);
}

/**
 * ct_insert() - an entry for @k with @ct, at @ret_place. Return: which of its group it is; NP_CT_FULL, NP_CT_THERE: none was made.
 */
static __always_inline __u32 ct_insert(const struct np_conf *c, const struct np_ct_key *k, const struct np_ct *ct, __u32 *ret_place,
				       const int family)
{
	const __u64 hash = ct_hash(c, k, family);
	__u32 index = np_ct_group_of(hash, c->ct_groups), place;
	struct np_ct_group *g = bpf_map_lookup_elem(&np_ct, &index);

	if (!g)
		return NP_CT_FULL;
	if (has_exchange()) {
		place = np_ct_take(g, k, hash, family == 6);
		if (place < NP_CT_GROUP_FLOWS)
			ct_store(&g->entry[place], k, ct);
		*ret_place = NP_CT_PLACE(index, place);
		return place;
	}
#ifdef NP_FILTER
	return NP_CT_FULL;      /* a socket filter may take no lock: judged packet by packet */
#else
	struct np_ct_lock *l = bpf_map_lookup_elem(&np_ct_locks, &index);

	if (!l)
		return NP_CT_FULL;
	bpf_spin_lock(&l->lock);
	place = np_ct_take_locked(g, k, hash, family == 6);
	if (place < NP_CT_GROUP_FLOWS)
		ct_store(&g->entry[place], k, ct);
	bpf_spin_unlock(&l->lock);
	*ret_place = NP_CT_PLACE(index, place);
	return place;
#endif
}

/**
 * ct_make() - a new entry. When there is no room the flow has none: each of its packets is judged alone, in the direction in which
 * it goes. Never at the cost of another flow. Return: NP_CT_LINK() of the entry, 0 = none was made.
 */
static __always_inline __u32 ct_make(const struct np_ct_key *k, const struct np_side *s, const struct np_ct *ct, const int family)
{
	const struct np_conf *c = conf();
	__u32 index = s->index;
	struct np_rt *rt = bpf_map_lookup_elem(&np_rt, &index);
	__u32 at, place = 0;

	if (!c || !rt)
		return 0;
	if (READ_ONCE(rt->ct_used) >= c->ct_quota) {
		stat(NP_STAT_CT_QUOTA);
		return 0;
	}
	__sync_fetch_and_add(&rt->ct_used, 1);  /* before what is in no cache yet is written: np_ct.h */
	at = ct_insert(c, k, ct, &place, family);
	if (at < NP_CT_GROUP_FLOWS)
		return NP_CT_LINK(place, 0);
	__sync_fetch_and_add(&rt->ct_used, -1);
	if (at == NP_CT_FULL)
		stat(NP_STAT_CT_FULL);
	return 0;
}
