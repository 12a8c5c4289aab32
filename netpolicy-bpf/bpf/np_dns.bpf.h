/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_event.bpf.h"

/*
 * What a pod learns from a DNS answer, its policy learns before the pod does: the answer is read on its way into the pod, so that the
 * first packet to the address finds it in np_fqdn4 or np_fqdn6.
 *
 * dns(): whole message into scratch memory; the queried name in lower case, its suffixes looked up in np_dns; only if some pattern of
 * the pod's policy matches it, dns_records() reads the answers, two names a run, and jumps to itself until all are read. A name is
 * known by a keyed hash of its bytes, so it does not matter how the server compressed it. Addresses count if their record's owner is
 * the queried name, or what CNAME records of the same message made of it; a pointer must lead backwards, so no walk is endless.
 *
 * An answer that cannot be read is delivered all the same, counted, and told: what it would have taught is missing.
 */

#define DNS_PORT 53
#define DNS_HEADER 12
#define DNS_QR 0x8000
#define DNS_OPCODE 0x7800
#define DNS_TC 0x0200
#define DNS_RCODE 0x000f
#define DNS_A 1
#define DNS_CNAME 5
#define DNS_AAAA 28
#define DNS_IN 1
#define DNS_NAME_MAX 255        /* RFC 1035, 2.3.4, the root's 0 included */
#define DNS_TTL_MAX 604800      /* a week */

/** struct np_dns_work - a message and how far it was read; in np_dns_work, per CPU, from one program to the next. */
struct np_dns_work {
	__u8 msg[NP_DNS_MAX];
	__u8 begins[256];       /* of the queried name: a label begins here */
	__u64 names;            /* patterns that match the queried name */
	__u64 hash, target;     /* of the name being read; of the one whose addresses count */
	__u32 label;            /* bytes left of its label */
	__u32 at, size;         /* where in it, bytes so far */
	__u32 low, end;         /* below which alone pointers may lead; where it ends, if one was followed */
	__u32 set, slot, rev, len, ip_len;
	__u32 family;
	__u32 resolver[4];
	__u32 qlen;
	__u32 pos;              /* where the next record, or CNAME's name, begins */
	__u32 left;             /* records */
	__u32 ttl;              /* least of the CNAME records so far */
	__u32 in_cname;         /* @pos is a CNAME's name; its record ends at @after */
	__u32 after;
	__u32 learnt;
	__u32 cut;              /* the server cut it short */
	__u32 more;             /* there are more than NP_DNS_ANSWERS */
};
NP_PERCPU(np_dns_work, struct np_dns_work, 1);
_Static_assert((NP_DNS_MAX & (NP_DNS_MAX - 1)) == 0, "a mask");

static __always_inline struct np_dns_work *dns_work(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&np_dns_work, &zero);
}

static __always_inline __u8 dns_byte(const struct np_dns_work *d, __u32 at)
{
	return d->msg[at & (NP_DNS_MAX - 1)];
}

static __always_inline __u32 dns_be16(const struct np_dns_work *d, __u32 at)
{
	return dns_byte(d, at) << 8 | dns_byte(d, at + 1);
}

static __always_inline __u8 lower(__u8 c)
{
	return c + (((__u8)(c - 'A') < 26) << 5);
}

/** dns_event() - @what: NP_STAT_DNS_*. */
static __always_inline void dns_event(const struct np_dns_work *d, __u32 what)
{
	const struct np_conf *c = conf();
	__u32 index = d->slot;
	struct np_event_dns *e;
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
	e->set = d->set;
	e->rev = d->rev;
	e->len = d->ip_len;
	e->suppressed = rt->suppressed;
	e->slot = d->slot;
	e->kind = NP_EVENT_DNS;
	e->what = what;
	e->family = d->family;
	e->n_addr = d->learnt;
	e->qlen = d->qlen;
	e->names = d->names;
	__builtin_memset(e->ip_resolver, 0, sizeof(e->ip_resolver));
	__builtin_memcpy(e->ip_resolver, d->resolver, 4);
	if (d->family == 6)
		__builtin_memcpy(e->ip_resolver, d->resolver, 16);
	__builtin_memcpy(e->qname, d->msg + DNS_HEADER, sizeof(e->qname));
	bpf_ringbuf_submit(e, 0);
}

/** dns_end() - @what: enum np_stat. Return: the verdict: it is delivered in any case. */
static __always_inline int dns_end(const struct np_dns_work *d, __u32 what)
{
	const struct np_conf *c = conf();

	if (what == NP_STAT_DNS_ANSWERS && d->cut)
		what = NP_STAT_DNS_TRUNCATED;
	if (what == NP_STAT_DNS_ANSWERS && !d->learnt)
		return TC_ACT_UNSPEC;
	stat(what);
	if (what != NP_STAT_DNS_ANSWERS || (c && c->flags & NP_CONF_LOG_DNS))
		dns_event(d, what);
	return TC_ACT_UNSPEC;
}

/** dns_message() - the message into @d. Return: NP_STAT_MAX, or the NP_STAT_DNS_* why not. */
static __always_inline __u32 dns_message(struct __sk_buff *skb, struct np_dns_work *d, struct np_pkt *p, const int family)
{
	__u32 len;

	if (p->fragment != NP_WHOLE || (family == 6 && p->proto == IPPROTO_FRAGMENT))
		return NP_STAT_DNS_TOO_LONG;
	if (p->proto == IPPROTO_TCP)
		return NP_STAT_DNS_TCP;
	/* behind extension headers: nothing that a resolver sends */
	if (p->proto != IPPROTO_UDP || p->room < 8 + DNS_HEADER)
		return NP_STAT_DNS_BROKEN;
	len = p->room - 8;
	if (len > NP_DNS_MAX)
		return NP_STAT_DNS_TOO_LONG;
	if (len < DNS_HEADER || bpf_skb_load_bytes(skb, p->l4 + 8, d->msg, len))
		return NP_STAT_DNS_BROKEN;
	d->len = len;
	return NP_STAT_MAX;
}

/** dns_question() - the queried name: lower case, its labels' beginnings, its hash. Return: its length, 0 = broken. */
static __always_inline __u32 dns_question(struct np_dns_work *d, const struct np_conf *c)
{
	d->label = 0;
	d->hash = c->dns_key[0];
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < DNS_NAME_MAX; i++) {
		__u8 byte = d->msg[DNS_HEADER + i];
		const int begins = !d->label;

		if (DNS_HEADER + i >= d->len || (begins && byte & 0xc0))       /* a pointer to what? */
			return 0;
		d->label = begins ? byte : d->label - 1;
		if (!begins)
			d->msg[DNS_HEADER + i] = byte = lower(byte);
		d->begins[i] = begins && byte;
		d->hash = np_dns_byte(c->dns_key, d->hash, byte);
		if (begins && !byte)
			return i + 1;
		forget();
	}
	return 0;
}

/** dns_patterns() - @d->names = those of @d->set that match the queried name. From its end, so that each label's hash is a suffix's. */
static __always_inline void dns_patterns(struct np_dns_work *d, const struct np_conf *c)
{
	d->names = 0;
	d->hash = c->dns_key[0];
	d->label = 0;                           /* how many */
#pragma clang loop unroll(disable)
	for (int i = DNS_NAME_MAX - 1; i >= 0; i--) {
		const struct np_dns_names *n;
		struct np_dns_key key;

		forget();
		if (i >= (int)d->qlen)
			continue;
		d->hash = np_dns_byte(c->dns_key, d->hash, d->msg[DNS_HEADER + i]);
		if (!d->begins[i] || (++d->label > NP_DNS_LABELS && i))
			continue;
		key = (struct np_dns_key){ .hash = d->hash, .set = d->set };
		n = bpf_map_lookup_elem(&np_dns, &key);
		if (n)
			d->names |= i ? n->wild : n->exact;
	}
}

/**
 * dns_name() - hash of the name at @d->pos, following pointers. Return: where it ends in the place where it began, 0 = broken.
 */
static __always_inline __u32 dns_name(struct np_dns_work *d, const struct np_conf *c)
{
	d->hash = c->dns_key[0];
	d->label = d->size = d->end = 0;
	d->at = d->low = d->pos;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < DNS_NAME_MAX + 32; i++) {        /* and some pointers */
		int begins;
		__u32 at;
		__u8 byte;

		forget();
		at = d->at;
		begins = !d->label;
		byte = dns_byte(d, at);
		if (at >= d->len)
			return 0;
		if (begins && (byte & 0xc0) == 0xc0) {
			if (at + 1 >= d->len)
				return 0;
			if (!d->end)
				d->end = at + 2;
			d->at = (byte & 0x3f) << 8 | dns_byte(d, at + 1);
			if (d->at >= d->low)
				return 0;
			d->low = d->at;
			continue;
		}
		if (begins && byte & 0xc0)
			return 0;
		d->label = begins ? byte : d->label - 1;
		d->hash = np_dns_byte(c->dns_key, d->hash, begins ? byte : lower(byte));
		d->at = at + 1;
		if (begins && !byte)
			return d->end ? d->end : at + 1;
		if (++d->size >= DNS_NAME_MAX)
			return 0;
	}
	return 0;
}

/* --- what was learnt */

/** fqdn_until() - @names are good until @until: in an end of that time, a free or past one, or else joined to the nearest. */
static __always_inline void fqdn_until(struct np_fqdn *f, __u64 names, __u32 until, __u32 now)
{
	__u32 best = NP_FQDN_ENDS, latest = 0, near = NP_FQDN_ENDS;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < NP_FQDN_ENDS; i++) {
		const int live = f->names[i] && !past(f->expires[i], now);

		if (live && (f->names[i] & names) == names && !past(f->expires[i], until))
			return;                         /* known for longer */
		if (!live)
			best = i;
		else if (f->expires[i] == until)
			near = i;
	}
	if (near < NP_FQDN_ENDS) {
		best = near;
	} else if (best == NP_FQDN_ENDS) {
#pragma clang loop unroll(full)
		for (__u32 i = 0; i < NP_FQDN_ENDS; i++) {
			if (past(f->expires[latest & 3], f->expires[i]))
				latest = i;
			if (!past(f->expires[i], until) && (near == NP_FQDN_ENDS || past(f->expires[i], f->expires[near & 3])))
				near = i;
		}
		best = near < NP_FQDN_ENDS ? near : latest;
		if (past(f->expires[best & 3], until))
			WRITE_ONCE(f->expires[best & 3], until);
	} else {
		/* nobody may see the old names with the new time: names_in() reads the time first */
		WRITE_ONCE(f->names[best & 3], 0);
		WRITE_ONCE(f->expires[best & 3], until);
	}
	WRITE_ONCE(f->names[best & 3], f->names[best & 3] | names);
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < NP_FQDN_ENDS; i++)
		if (i != best && past(f->expires[i], until))
			WRITE_ONCE(f->names[i], f->names[i] & ~names);
}
_Static_assert(NP_FQDN_ENDS == 4, "masks above");

static __always_inline void dns_learn(struct np_dns_work *d, const struct np_conf *c, __u32 at, __u32 ttl, const int family)
{
	const struct np_fqdn empty = { 0 };
	const __u32 now = tick();
	struct np_fqdn4_key k4;
	struct np_fqdn6_key k6;
	struct np_fqdn *f;
	void *map = family == 4 ? (void *)&np_fqdn4 : (void *)&np_fqdn6;
	void *key = family == 4 ? (void *)&k4 : (void *)&k6;
	__u8 *ip = family == 4 ? (__u8 *)&k4.ip : k6.ip;

	if (ttl > d->ttl)
		ttl = d->ttl;
	if (ttl < c->dns_min_ttl)
		ttl = c->dns_min_ttl;
	k4.set = k6.set = d->set;
#pragma clang loop unroll(full)
	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		ip[i] = dns_byte(d, at + i);
	f = bpf_map_lookup_elem(map, key);
	if (!f) {
		(void)bpf_map_update_elem(map, key, &empty, BPF_NOEXIST);
		f = bpf_map_lookup_elem(map, key);
	}
	if (!f) {
		stat(NP_STAT_DNS_FULL);
		return;
	}
	/* one tick is 1.07 s, and this one has begun already */
	ttl = now + 2 + (((__u64)ttl * 1000000000ull) >> NP_TICK_SHIFT);
	bpf_spin_lock(&f->lock);
	fqdn_until(f, d->names, ttl, now);
	bpf_spin_unlock(&f->lock);
	d->learnt++;
}

/** dns_record() - what follows an owner's name, at @at. Return: 1 = go on, 0 = broken. */
static __always_inline int dns_record(struct np_dns_work *d, const struct np_conf *c, __u32 at)
{
	__u32 type = dns_be16(d, at), class = dns_be16(d, at + 2), size = dns_be16(d, at + 8);
	__u32 ttl = dns_be16(d, at + 4) << 16 | dns_be16(d, at + 6);
	const int ours = d->hash == d->target && class == DNS_IN;

	if (at + 10 + size > d->len)
		return 0;
	if (ttl > DNS_TTL_MAX)
		ttl = ttl >> 31 ? 0 : DNS_TTL_MAX;      /* RFC 2181, 8 */
	d->after = at + 10 + size;
	d->pos = d->after;
	if (ours && type == DNS_CNAME) {
		if (ttl < d->ttl)
			d->ttl = ttl;
		d->pos = at + 10;
		d->in_cname = 1;
		return 1;
	}
	d->left--;
	if (ours && type == DNS_A && size == 4)
		dns_learn(d, c, at + 10, ttl, 4);
	else if (ours && type == DNS_AAAA && size == 16)
		dns_learn(d, c, at + 10, ttl, 6);
	return 1;
}

/** dns_step() - one name and what follows it. Return: 1 = go on, 0 = broken. */
static __always_inline int dns_step(struct np_dns_work *d, const struct np_conf *c)
{
	d->end = dns_name(d, c);
	forget();
	if (!d->end)
		return 0;
	if (d->in_cname) {
		d->target = d->hash;
		d->in_cname = 0;
		d->pos = d->after;
		d->left--;
		return 1;
	}
	return dns_record(d, c, d->end);
}
