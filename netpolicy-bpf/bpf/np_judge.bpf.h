/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_ct.bpf.h"

/*
 * What the tables say about a peer and a port: np_policy.h. A contradiction in them (it cannot be, if the publisher keeps its
 * promises) denies as NP_DROP_STALE.
 */

/*
 * The question: the pod's policy, the peer's address, NP_Q(). The answer: the verdict in the low half (of the entry, when a chain
 * decided), with NP_J_* in bits that verdicts do not use; then class and port class. One number each, so that the verifier has
 * little to keep apart.
 */
#define NP_Q(port_be, proto, flags) ((__u32)(port_be) | (__u32)(proto) << 16 | (__u32)(flags) << 24)
#define NP_Q_EGRESS (1u << 0)   /* may a flow open from the pod? else: to it */
#define NP_Q_EVER (1u << 1)     /* it did already: a name that ended still counts */
#define NP_Q_POST (1u << 2)     /* a service's address stands for nothing but itself */

#define NP_J_VIP (1u << 3)      /* to a service: allowed for now */
#define NP_J_STALE (1u << 4)    /* the tables contradict each other */
#define NP_J_CHAIN (1u << 5)    /* a domain name decided */
#define NP_J_BITS (NP_J_VIP | NP_J_STALE | NP_J_CHAIN)

static __always_inline struct np_line *arena(__u32 line)
{
	return bpf_map_lookup_elem(&np_arena, &line);
}

static __always_inline __u32 port_class(__u32 parity, __u8 proto, __be16 port_be)
{
	__u32 port = bpf_ntohs(port_be), at, line;
	struct np_line *l;

	if (proto == IPPROTO_TCP)
		at = NP_PORT_TCP;
	else if (proto == IPPROTO_UDP)
		at = NP_PORT_UDP;
	else if (proto == IPPROTO_SCTP)
		at = NP_PORT_SCTP;
	else
		return 0;
	line = NP_PORT_LINE(parity, at, port);
	l = bpf_map_lookup_elem(&np_ports, &line);
	return l ? l->h[port % 32] : 0;
}

/** names_in() - by which names is an address known? @ever: those that ended count as well. */
static __always_inline __u64 names_in(const struct np_fqdn *f, int ever)
{
	__u32 now = tick();
	__u64 names = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < NP_FQDN_ENDS; i++)
		if (ever || !past(f->expires[i], now))
			names |= READ_ONCE(f->names[i]);
	return names;
}

/** chain_verdict() - the first entry that knows one of @names, or the last. */
static __always_inline __u32 chain_verdict(__u32 line, __u64 names)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NP_CHAIN_MAX / 4; i++) {
		struct np_line *l = arena(line + i);
		const struct np_chain *c = (const struct np_chain *)l;

		if (!l)
			break;
#pragma clang loop unroll(full)
		for (int at = 0; at < 4; at++)
			if (!c[at].names || c[at].names & names)
				return c[at].verdict;
	}
	return NP_VERDICT(NP_CHAIN, 0);         /* no end: as good as no verdict */
}
_Static_assert(sizeof(struct np_line) == 4 * sizeof(struct np_chain), "4 a line");

/** cell_of() - the verdict of (class, port class), or NP_J_STALE. */
static __always_inline __u32 cell_of(const struct np_blob *b, __u32 cls, __u32 port_cls, int egress)
{
	const struct np_blob_dir *d = egress ? &b->dir[NP_EGRESS] : &b->dir[NP_INGRESS];
	struct np_line *l;
	__u32 row, col, cell;

	if (cls >= b->n_class || port_cls >= b->n_port_class)
		return NP_J_STALE;
	l = arena(d->row + cls / 32);
	if (!l)
		return NP_J_STALE;
	row = l->h[cls % 32];
	l = arena(d->col + port_cls / 32);
	if (!l)
		return NP_J_STALE;
	col = l->h[port_cls % 32];
	cell = row * d->ncol + col;
	l = arena(d->mtx + cell / NP_LINE_WORDS);
	if (col >= d->ncol || !l)
		return NP_J_STALE;
	return l->w[cell % NP_LINE_WORDS] & ~NP_J_BITS;
}

/** ident_of() - who is @ip? NULL = nobody, which cannot be: 0.0.0.0/0 and ::/0 are in the tries. */
static __always_inline const struct np_ident *ident_of(const __u32 *ip, const int family)
{
	__u32 *id;

	if (family == 4) {
		id = bpf_map_lookup_elem(&np_ip4, ip);
		if (!id) {
			struct np_cidr4_key key = { .len = 32, .ip = ip[0] };

			id = bpf_map_lookup_elem(&np_cidr4, &key);
		}
	} else {
		id = bpf_map_lookup_elem(&np_ip6, ip);
		if (!id) {
			struct np_cidr6_key key = { .len = 128 };

			__builtin_memcpy(key.ip, ip, sizeof(key.ip));
			id = bpf_map_lookup_elem(&np_cidr6, &key);
		}
	}
	return id ? bpf_map_lookup_elem(&np_idents, id) : NULL;
}

static __always_inline const struct np_fqdn *fqdn_of(__u32 set, const __u32 *ip, const int family)
{
#ifdef NP_FILTER
	return NULL;            /* a socket filter may use no map with a lock in it: nobody has a name */
#else
	if (family == 4) {
		struct np_fqdn4_key key = { .set = set, .ip = ip[0] };

		return bpf_map_lookup_elem(&np_fqdn4, &key);
	} else {
		struct np_fqdn6_key key = { .set = set };

		__builtin_memcpy(key.ip, ip, sizeof(key.ip));
		return bpf_map_lookup_elem(&np_fqdn6, &key);
	}
#endif
}

/** struct np_classes - where it was looked. In mapped memory, for forget(). */
struct np_classes {
	__u32 cls, port_cls;
};

static __always_inline __u64 judge(struct np_classes *at, __u64 pub, const __u32 *ip, __u32 q, const int family)
{
	const __u32 parity = !!(pub & NP_PUB_PARITY);
	const int egress = !!(q & NP_Q(0, 0, NP_Q_EGRESS));
	const struct np_ident *who = ident_of(ip, family);
	const struct np_conf *c;
	const struct np_blob *b;
	__u32 verdict, flags;
	__u64 ident;

	b = (const struct np_blob *)arena(pub & NP_PUB_LINE_MASK);
	if (!who || !b || b->magic != NP_BLOB_MAGIC)
		return NP_J_STALE;
	ident = READ_ONCE(*(const __u64 *)who);
	flags = ident >> 32;
	if (egress && flags & NP_IDENT_VIP && !(q & NP_Q(0, 0, NP_Q_POST)))
		return NP_VERDICT(NP_ALLOW, 0) | NP_J_VIP;
	if (!egress && flags & NP_IDENT_OWN_NODE) {
		c = conf();
		if (c && c->flags & NP_CONF_NODE_IP)
			return NP_VERDICT(NP_ALLOW, 0);
	}
	at->cls = (parity ? ident >> 16 : ident) & 0xffff;
	at->port_cls = port_class(parity, q >> 16, q);
	forget();
	verdict = cell_of(b, at->cls, at->port_cls, egress);
	if (unlikely(NP_VERDICT_ACTION(verdict) == NP_CHAIN)) {
		const struct np_fqdn *f = fqdn_of(b->fqdn_set, ip, family);

		verdict = chain_verdict(NP_VERDICT_ARG(verdict), f ? names_in(f, !!(q & NP_Q(0, 0, NP_Q_EVER))) : 0);
		verdict = (verdict & ~NP_J_BITS) | NP_J_CHAIN;
	}
	if (NP_VERDICT_ACTION(verdict) >= NP_CHAIN)
		verdict |= NP_J_STALE;
	/* one of its ports may lead to any pod, as a service's address does */
	if (egress && flags & NP_IDENT_OWN_NODE && !(q & NP_Q(0, 0, NP_Q_POST)))
		verdict |= NP_J_VIP;
	return verdict | (__u64)at->cls << 32 | (__u64)at->port_cls << 48;
}

static __always_inline __u32 verdict_of(__u64 j)
{
	return (__u32)j & ~NP_J_BITS;
}

static __always_inline int allows(__u64 j)
{
	return NP_VERDICT_ACTION(j) == NP_ALLOW && !(j & NP_J_STALE);
}

static __always_inline __u32 rule_id(__u64 j)
{
	__u32 id = NP_VERDICT_ARG((__u32)j);

	return id < NP_RULES ? id : 0;
}
