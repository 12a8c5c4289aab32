/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_event.bpf.h"
#include "netpolicy-bpf/bpf/np_link.bpf.h"
#include "netpolicy-bpf/bpf/np_related.bpf.h"

/*
 * flow(): may this packet pass for this pod, in this direction?
 *
 *   entry of the same revision            yes
 *   entry of another revision             judged again in the direction in which it was opened: stays, or becomes NP_CT_DENIED
 *   NP_CT_DENIED                          no, until the revision changes
 *   SYN, INIT                             always judged, whatever entry there is: it opens something new
 *   no entry                              judged; within the slot's pickup time also as an answer
 *   answer of a service                   besides, by the entry behind the service's address (np_link.bpf.h)
 *
 * An entry is what makes answers pass, so none is made for what cannot open a flow (ICMP errors, answers, resets), and an entry
 * that a policy cut stays as NP_CT_DENIED: without it, the next packet of the other end would open the same flow the other way.
 */

/** struct np_case - a packet that no entry lets through just so, and what became of it. */
struct np_case {
	__u64 j;                /* judge() */
	__u32 reason;           /* enum np_drop, or NP_DROP_MAX: it passes */
	__u8 dir;               /* enum np_dir that was judged */
	__u8 flags;             /* NP_CT_* for its entry */
	__u8 how;               /* NP_Q_* to ask with */
	__u8 flip;              /* it may as well be of a flow that was opened the other way */
};

static __always_inline __u8 other_dir(__u8 dir)
{
	return dir == NP_EGRESS ? NP_INGRESS : NP_EGRESS;
}

/** struct np_work - what a program knows of a packet; in np_scratch, for forget(). */
struct np_work {
	struct np_pkt p, quoted;
	struct np_case k;
	struct np_classes classes;
	struct np_ct_key key;
	struct np_ct ct;
	__u32 mode;             /* NP_CONF_* */
	__u32 known;            /* it has an entry and does not open anew */
	__u32 told;             /* an answer of a service: answer_judge() is to be asked, too */
	__u32 behind;           /* judged there: by the entry behind the service's address */
	__u32 link;             /* NP_CT_LINK() of its entry, 0 = it has none */
};
_Static_assert(sizeof(struct np_work) <= NP_SCRATCH, "np_scratch is large enough");

static __always_inline struct np_work *work(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&np_scratch, &zero);
}

/** ask() - may the flow open in the direction of @k or, if that is a guess, in the other? */
static __always_inline void ask(struct np_work *w, const struct np_side *s, const int family)
{
	const __be16 rport = NP_CT_ID_RPORT(w->key.id), lport = NP_CT_ID_LPORT(w->key.id);
	const __u32 *remote = (const __u32 *)w->key.ip;
	__u8 dir = w->k.dir;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 2; i++) {
		const int egress = dir == NP_EGRESS;
		__u32 how = w->k.how | (s->post || w->behind ? NP_Q_POST : 0) | (egress ? NP_Q_EGRESS : 0);
		__u64 j = judge(&w->classes, s->pub, remote, NP_Q(egress ? rport : lport, w->p.proto, how), family);

		if (i == 0 || allows(j)) {
			w->k.j = j;
			w->k.dir = dir;
		}
		forget();
		if (allows(w->k.j) || !w->k.flip)
			break;
		dir = other_dir(dir);
	}
}

/** may_pick_up() - could it be the middle of something? What is judged behind a service's address passed as the pod's own flow. */
static __always_inline int may_pick_up(const struct np_side *s, const struct np_pkt *p)
{
	return !s->post && !(p->what & (NP_L4_OPEN | NP_L4_QUERY | NP_L4_ERROR | NP_L4_PLAIN | NP_L4_LATER)) &&
	       past(tick(), READ_ONCE(s->slot->pickup_until));
}

/** lives() - does its entry let it through just so? @dir: enum np_dir, the direction asked about. */
static __always_inline int lives(const struct np_ct *ct, const struct np_side *s, __u32 mode, const __u8 dir)
{
	if (ct->state == NP_CT_DENIED || (ct->flags & NP_CT_AUDIT && !(mode & NP_CONF_AUDIT)))
		return 0;
	return ct->rev[dir & 1] == rev_of(s) || mode & NP_CONF_KEEP;
}

/**
 * case_of() - how a packet is to be judged. @ct: its flow, let through under another revision, cut, or alive in audit mode alone; it
 * is judged as when it was opened. NULL: a new one. Return: 0 = there is nothing to ask, @k is decided.
 */
static __always_inline int case_of(struct np_case *k, const struct np_side *s, const struct np_pkt *p, const struct np_ct *ct, __u32 mode)
{
	k->j = NP_VERDICT(NP_ALLOW, 0);
	k->how = k->flip = 0;
	if (!ct) {
		k->dir = s->dir;
		k->flags = s->node ? NP_CT_NODE : 0;
		k->flip = may_pick_up(s, p);
		return !s->node;
	}
	k->dir = ct_opener(ct);
	k->flags = ct->flags & (NP_CT_PICKUP | NP_CT_NODE | NP_CT_POST);
	if (ct->state == NP_CT_DENIED && ct->rev[s->dir & 1] == rev_of(s) && !(mode & NP_CONF_AUDIT)) {
		k->j = NP_VERDICT(NP_DENY, ct->rule);
		return 0;
	}
	stat(NP_STAT_REJUDGED);
	k->how = ct->flags & NP_CT_CHAIN ? NP_Q_EVER : 0;
	/* what is behind a service's address was opened by the pod: that is no guess */
	k->flip = (ct->flags & (NP_CT_PICKUP | NP_CT_POST)) == NP_CT_PICKUP;
	return !(ct->flags & NP_CT_NODE);
}

/** settle() - the outcome: counted, told, and let through all the same in audit mode. Return: 1 = it passes. */
static __always_inline int settle(struct np_work *w, const struct np_side *s, int known, const int family)
{
	struct np_case *k = &w->k;
	const int denied = !allows(k->j);
	__u8 told = 0;

	if (!denied)
		k->reason = NP_DROP_MAX;
	else if (k->j & NP_J_STALE)
		k->reason = NP_DROP_STALE;
	else if (known)
		k->reason = NP_DROP_REVOKED;
	else
		k->reason = k->dir == NP_EGRESS ? NP_DROP_EGRESS : NP_DROP_INGRESS;
	if (k->j & NP_J_VIP)
		k->flags |= NP_CT_VIP;
	if (k->j & NP_J_CHAIN)
		k->flags |= NP_CT_CHAIN;
	if (s->post)
		k->flags |= NP_CT_POST;
	if (k->dir == NP_EGRESS)
		k->flags |= NP_CT_EGRESS;
	if (denied && w->mode & NP_CONF_AUDIT) {
		stat(NP_STAT_AUDIT);
		k->flags |= NP_CT_AUDIT;
		told = NP_EVENT_AUDIT;
	}
	forget();
	/* a flow that goes on as it did is neither new nor denied: struct np_count, NP_CONF_LOG_ALLOW */
	if (denied || !known)
		count(rule_id(k->j), w->p.len);
	if (denied || (!known && (k->j & NP_VERDICT_LOG || w->mode & NP_CONF_LOG_ALLOW)))
		event(s, &w->p, &w->key, k->j, k->dir, k->reason, told | (s->post || w->behind ? NP_EVENT_POST_DNAT : 0), family);
	return k->reason == NP_DROP_MAX || k->flags & NP_CT_AUDIT;
}

/** ct_pass() - @ct was judged under the revision in force: both directions, but to a service (@vip) only the pod's packets. */
static __always_inline void ct_pass(struct np_ct *ct, const struct np_side *s, int vip)
{
	if (!vip)
		WRITE_ONCE(ct->rev[NP_INGRESS], rev_of(s));
	WRITE_ONCE(ct->rev[NP_EGRESS], rev_of(s));
}

/** ct_fill() - as a flow that opens now. */
static __always_inline void ct_fill(struct np_ct *ct, const struct np_case *k, const struct np_side *s)
{
	ct->last = ct->start = tick();
	ct->rule = rule_id(k->j);
	ct->flags = k->flags;
	WRITE_ONCE(ct->state, k->flags & NP_CT_PICKUP ? NP_CT_ESTABLISHED : NP_CT_NEW);
	WRITE_ONCE(ct->rev[NP_INGRESS], ~rev_of(s));
	ct_pass(ct, s, k->flags & NP_CT_VIP);
}

/* what cannot open a flow */
#define NP_NO_ENTRY (NP_L4_ANSWER | NP_L4_ERROR | NP_L4_PLAIN | NP_L4_LATER | NP_L4_ABORT)

/** ct_open() - a flow was let through: make its entry, or begin anew with the one that is there. */
static __always_inline void ct_open(struct np_work *w, struct np_ct *old, const struct np_side *s, const int family)
{
	const int turned = w->k.dir != s->dir;
	const __u16 what = w->p.what;

	if (what & NP_NO_ENTRY && (!turned || what & NP_L4_ABORT))
		return;
	if (turned || (what & (NP_L4_STREAM | NP_L4_OPEN)) == NP_L4_STREAM) {
		w->k.flags |= NP_CT_PICKUP;
		stat(NP_STAT_PICKUP);
	}
	forget();
	if (!old) {
		__builtin_memset(&w->ct, 0, sizeof(w->ct));
		ct_fill(&w->ct, &w->k, s);
		w->ct.sum[s->dir & 1] = NP_CT_SUM(1, w->p.len);
		w->link = ct_make(&w->key, s, &w->ct, family);
		return;
	}
	old->sum[s->dir & 1] += NP_CT_SUM(1, w->p.len);
	/* else: a SYN the other way does not turn a living connection around */
	if (ct_opener(old) == w->k.dir || (old->state != NP_CT_REPLIED && old->state != NP_CT_ESTABLISHED))
		ct_fill(old, &w->k, s);
}

/** ct_settle() - the entry after it was judged again. State before revision: who sees one without the other judges again. */
static __always_inline void ct_settle(struct np_ct *ct, const struct np_case *k, const struct np_side *s, int passes)
{
	ct->rule = rule_id(k->j);
	if (passes) {
		ct->flags = k->flags;
		if (ct->state == NP_CT_DENIED)
			WRITE_ONCE(ct->state, NP_CT_ESTABLISHED);
	} else {
		if (ct->state != NP_CT_DENIED)
			stat(NP_STAT_REVOKED);
		WRITE_ONCE(ct->state, NP_CT_DENIED);
		ct->last = tick();
	}
	ct_pass(ct, s, passes && k->flags & NP_CT_VIP);
}

/** judged() - by the tables or, if it was denied under this revision, by what is known. @by: its flow's entry, if that is judged again. */
static __always_inline int judged(struct np_work *w, struct np_ct *by, const struct np_side *s, const int family)
{
	int passes;

	forget();
	if (case_of(&w->k, s, &w->p, w->known ? by : NULL, w->mode)) {
		forget();
		ask(w, s, family);
	}
	forget();
	passes = settle(w, s, w->known, family);
	forget();
	if (by && w->known)
		ct_settle(by, &w->k, s, passes);
	return passes;
}

/** flow_judge() - @ct is NULL, or judged again (@w->known), or in the way of a new flow. */
static __always_inline int flow_judge(struct np_work *w, struct np_ct *ct, const struct np_side *s, __u8 *saw, const int family)
{
	if (!judged(w, ct, s, family))
		return w->k.reason;
	forget();
	*saw = w->k.flags;
	if (!w->known) {
		*saw &= ~NP_CT_EGRESS;
		ct_open(w, ct, s, family);
	} else if (ct && !w->told) {
		ct_touch(ct, s, &w->p, tick());
	}
	return NP_GO;
}

/**
 * answer_judge() - an answer of a service, as far as the entry behind the service's address has a say in it: @w->link is the pod's own.
 * Return: NP_GO, or a reason that is still to be counted.
 */
static __always_inline int answer_judge(struct np_work *w, const struct np_side *s, const int family)
{
	struct np_ct_entry *own = ct_is_at(w->link, w->key.id, 0), *e = own ? ct_behind(&own->ct, w->key.id, w->link) : NULL;

	if (!own)
		return NP_GO;           /* it has just ended */
	if (e && !lives(&e->ct, s, w->mode, NP_EGRESS)) {
		w->behind = w->known = 1;
		w->key = e->key;
		if (!judged(w, &e->ct, s, family)) {
			own->ct.last = tick();
			return w->k.reason;
		}
	}
	if (!e || ct_allows(&e->ct, s))
		WRITE_ONCE(own->ct.rev[NP_INGRESS], rev_of(s));
	ct_touch(&own->ct, s, &w->p, tick());
	return NP_GO;
}

/** is_related() - an ICMP error about a flow that lives. */
static __always_inline int is_related(struct __sk_buff *skb, struct np_work *w, const struct np_side *s, __u8 *saw, const int family)
{
	__u32 place, rev;
	struct np_ct *ct;

	if (!(w->p.what & NP_L4_ERROR) || !related_key(skb, s, &w->p, &w->quoted, &w->key, family))
		return 0;
	forget();
	ct = ct_find(&w->key, NP_CT_STEPS, &place, family);
	if (!ct || ct->state == NP_CT_DENIED)
		return 0;
	rev = s->dir == NP_INGRESS && ct->link ? ct->rev[NP_INGRESS] : ct->rev[NP_EGRESS];
	if (rev != rev_of(s) && !(w->mode & NP_CONF_KEEP))
		return 0;
	stat(NP_STAT_RELATED);
	*saw = ct->flags & NP_CT_VIP;
	return 1;
}

/**
 * flow() - may @w->p pass at side @s? Return: NP_GO or enum np_drop, counted and told by rule. @saw: NP_CT_VIP (it is to be judged
 * behind the service's address) and NP_CT_EGRESS (the pod opened the flow, and this is not its first packet).
 */
static __always_inline int flow(struct __sk_buff *skb, struct np_work *w, const struct np_side *s, __u8 *saw, const int family)
{
	const struct np_conf *c = conf();
	struct np_ct *ct = NULL;
	__u32 place = 0;
	int r = NP_GO;

	*saw = 0;
	w->mode = c ? c->flags : 0;
	w->told = w->behind = w->link = 0;
	if (w->p.what & NP_L4_ALWAYS || is_related(skb, w, s, saw, family))
		return NP_GO;
	ct_key(&w->key, s, &w->p, s->dir, family);
	forget();
	if (!(w->p.what & (NP_L4_ERROR | NP_L4_PLAIN)))
		ct = ct_find(&w->key, NP_CT_STEPS, &place, family);
	if (ct)
		w->link = NP_CT_LINK(place, 0);
	w->known = ct && !(w->p.what & NP_L4_OPEN);
	w->told = s->dir == NP_INGRESS && w->known && ct->flags & NP_CT_VIP && !lives(ct, s, w->mode, NP_INGRESS);
	if (w->known && lives(ct, s, w->mode, w->told ? NP_EGRESS : s->dir)) {
		*saw = ct->flags;
		if (!w->told)
			ct_touch(ct, s, &w->p, tick());
	} else {
		r = flow_judge(w, ct, s, saw, family);
	}
	if (s->post)
		ct_link(skb->hash, &w->key, w->link, s, r == NP_GO);
	return r;
}
