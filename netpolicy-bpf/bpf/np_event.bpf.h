/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_judge.bpf.h"

/* What user space is told: counters by rule, and events as far as the slot has tokens for them. */

static __always_inline void count(__u32 rule, __u32 bytes)
{
	struct np_count *c = bpf_map_lookup_elem(&np_counts, &rule);

	if (c) {
		c->pkts++;
		c->bytes += bytes;
	}
}

/**
 * event_token() - may this slot send an event now? A second has 2^30 / 2^20 = 1024 (not quite) units of @refilled, so that a token,
 * 1024 parts, comes @rate times in 1.07 s. Two CPUs at once may both take the last one: a limit, not an account.
 */
static __always_inline int event_token(struct np_rt *rt, const struct np_conf *c)
{
	__u32 now = bpf_ktime_get_ns() >> 20, gone = now - rt->refilled;
	__u32 most = (c->event_burst & 0x1ffff) << 10;
	__u64 tokens = rt->tokens;

	if (gone) {
		tokens += (__u64)gone * (c->event_rate & 0x1fff);
		rt->refilled = now;
	}
	if (tokens > most)
		tokens = most;
	if (tokens < 1024) {
		rt->tokens = tokens;
		return 0;
	}
	rt->tokens = tokens - 1024;
	return 1;
}

static __always_inline void event_ips(struct np_event *e, const struct np_side *s, const __u32 *remote, const int family)
{
	__builtin_memset(e->ip_pod, 0, sizeof(e->ip_pod) + sizeof(e->ip_peer));
	if (family == 4) {
		__builtin_memcpy(e->ip_pod, &s->slot->ip4, 4);
		__builtin_memcpy(e->ip_peer, remote, 4);
	} else {
		__builtin_memcpy(e->ip_pod, s->slot->ip6, 16);
		__builtin_memcpy(e->ip_peer, remote, 16);
	}
}

/**
 * event() - ruling @j on direction @dir, if the slot has a token. @reason: enum np_drop or NP_DROP_MAX. @key: the peer's address and port.
 */
static __always_inline void event(const struct np_side *s, const struct np_pkt *p, const struct np_ct_key *key, __u64 j, __u8 dir,
				  __u32 reason, __u8 flags, const int family)
{
	const int egress = s->dir == NP_EGRESS;
	const struct np_conf *c = conf();
	__u32 index = s->index;
	struct np_event *e;
	struct np_rt *rt;

	rt = bpf_map_lookup_elem(&np_rt, &index);
	if (!c || !rt)
		return;
	if (!event_token(rt, c)) {
		__sync_fetch_and_add(&rt->suppressed, 1);
		return;
	}
	e = bpf_ringbuf_reserve(&np_events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&rt->suppressed, 1);
		stat(NP_STAT_EVENT_LOST);
		return;
	}
	e->ns = bpf_ktime_get_ns();
	e->verdict = verdict_of(j);
	e->rev = rev_of(s);
	e->len = p->len;
	e->suppressed = rt->suppressed;
	e->slot = s->index;
	e->kind = NP_EVENT_VERDICT;
	e->dir = dir;
	e->family = family;
	e->proto = p->proto;
	e->reason = reason;
	e->flags = flags;
	event_ips(e, s, (const __u32 *)key->ip, family);
	if (p->what & NP_L4_PORTS) {
		e->port_pod = egress ? p->sport : p->dport;
		e->port_peer = NP_CT_ID_RPORT(key->id);
	} else {
		e->port_pod = p->dport;
		e->port_peer = p->sport;
	}
	e->cls = j >> 32;
	e->port_cls = j >> 48;
	bpf_ringbuf_submit(e, 0);
}
