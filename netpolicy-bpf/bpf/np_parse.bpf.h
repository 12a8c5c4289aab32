/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_base.bpf.h"

/*
 * From a frame to struct np_pkt. Lengths are believed only as far as the frame reaches; IPv4 options and IPv6 extension headers
 * are skipped, not taken for what follows; later fragments find their ports in np_frag, where the first one left them when it
 * was let through. Whatever cannot be told for sure has a reason to be dropped.
 */

#define NP_EXT_MAX 8            /* IPv6 extension headers */
#define NP_EXT_BYTES 2048       /* and how far they may reach */
#define NP_FRAG_TICKS 60        /* IPv6 reassembly waits for 60 s, IPv4 for 30 s */

#define IP4_FRAG_MORE 0x2000
#define IP4_FRAG_OFFSET 0x1fff

#define ICMP4_ECHO_REPLY 0
#define ICMP4_UNREACH 3
#define ICMP4_QUENCH 4
#define ICMP4_ECHO 8
#define ICMP4_TIME 11
#define ICMP4_PARAM 12
#define ICMP4_STAMP 13          /* 13-18: three more pairs of question and answer */
#define ICMP4_MASK_REPLY 18
#define ICMP6_UNREACH 1
#define ICMP6_PARAM 4
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_MLD_QUERY 130
#define ICMP6_MLD_DONE 132
#define ICMP6_MLD2_REPORT 143
#define ND_ROUTER_SOLICIT 133
#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_REDIRECT 137

/* struct np_pkt.what */
#define NP_L4_PORTS (1u << 0)   /* TCP, UDP, SCTP */
#define NP_L4_STREAM (1u << 1)  /* says itself when it opens: TCP, SCTP */
#define NP_L4_OPEN (1u << 2)    /* SYN without ACK, INIT */
#define NP_L4_CLOSE (1u << 3)   /* FIN, SHUTDOWN */
#define NP_L4_ABORT (1u << 4)   /* RST, ABORT, SHUTDOWN COMPLETE */
#define NP_L4_QUERY (1u << 5)   /* ICMP that asks */
#define NP_L4_ANSWER (1u << 6)  /* ICMP that answers */
#define NP_L4_ERROR (1u << 7)   /* ICMP about another packet */
#define NP_L4_PLAIN (1u << 8)   /* ICMP that is none of these: opens no flow */
#define NP_L4_ALWAYS (1u << 9)  /* neighbour discovery on this link, multicast listeners */
#define NP_L4_LATER (1u << 10)  /* a fragment without header */
#define NP_L4_ACCEPT (1u << 11) /* SYN and ACK */

enum np_fragment { NP_WHOLE, NP_FIRST, NP_LATER };

/**
 * struct np_pkt - @src, @dst: IPv4 in [0]. @sport, @dport: ports; ICMP: type and code, identifier. @proto: behind extension
 * headers. @len: of the IP packet. @l4: offset of its payload in the frame.
 */
struct np_pkt {
	__u32 src[4], dst[4];
	__be16 sport, dport;
	__u16 what;
	__u8 proto;
	__u8 fragment;          /* enum np_fragment */
	__u32 len;
	__u32 l4;
	__u32 room;             /* bytes of payload, by the IP header */
	__u32 frag_id;
	__u16 frag_at;          /* first fragment: where it ends; later one: where it begins */
	__u8 frag_proto;
	__u8 hops;
};

struct tcp_start {
	__be16 sport, dport;
	__be32 seq, ack;
	__u8 off, flags;
	__be16 window, sum, urg;
};
struct udp_start {
	__be16 sport, dport, len, sum;
};
struct l4_start {
	__be16 w[4];
};
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define SCTP_INIT 1
#define SCTP_ABORT 6
#define SCTP_SHUTDOWN 7
#define SCTP_SHUTDOWN_COMPLETE 14
#define SCTP_HEADER 12

/** parse_ip4() - the header; not yet what is behind it. */
static __always_inline int parse_ip4(struct __sk_buff *skb, struct np_pkt *p)
{
	NP_HDR(struct iphdr, ip);
	__u32 hlen, total, frag;

	if (!NP_AT(skb, ip, NP_L2))
		return NP_DROP_TRUNCATED;
	hlen = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || hlen < sizeof(*ip))
		return NP_DROP_MALFORMED;
	if (total == 0 && skb->gso_segs > 1)    /* BIG TCP: does not fit 16 bits */
		total = skb->len - NP_L2;
	if (total < hlen)
		return NP_DROP_MALFORMED;
	if (total > skb->len - NP_L2)
		return NP_DROP_TRUNCATED;
	p->src[0] = ip->saddr;
	p->dst[0] = ip->daddr;
	p->proto = p->frag_proto = ip->protocol;
	p->hops = ip->ttl;
	p->len = total;
	p->l4 = NP_L2 + hlen;
	p->room = total - hlen;
	p->what = 0;
	frag = bpf_ntohs(ip->frag_off);
	p->frag_id = ip->id;
	p->fragment = NP_WHOLE;
	if (unlikely(frag & (IP4_FRAG_MORE | IP4_FRAG_OFFSET))) {
		p->fragment = frag & IP4_FRAG_OFFSET ? NP_LATER : NP_FIRST;
		p->frag_at = p->fragment == NP_LATER ? (frag & IP4_FRAG_OFFSET) * 8 : p->room;
	}
	return NP_GO;
}

/** source_routed4() - RFC 791 source routes: the destination is that of the next hop only. @end: of the options. */
static __always_inline int source_routed4(struct __sk_buff *skb, __u32 end)
{
	__u32 off = NP_L2 + sizeof(struct iphdr);
	__u8 opt[2];

#pragma clang loop unroll(disable)
	for (int i = 0; i < 40 && off < end; i++) {
		opt[1] = 0;
		if (bpf_skb_load_bytes(skb, off, opt, off + 1 < end ? 2 : 1))
			return 1;
		if (opt[0] == 0)
			return 0;
		if (opt[0] == 131 || opt[0] == 137 || (opt[0] != 1 && opt[1] < 2))
			return 1;
		off += opt[0] == 1 ? 1 : opt[1];
	}
	return 0;
}

static __always_inline int parse_ip6(struct __sk_buff *skb, struct np_pkt *p)
{
	NP_HDR(struct ipv6hdr, ip);

	if (!NP_AT(skb, ip, NP_L2))
		return NP_DROP_TRUNCATED;
	if (ip->version != 6)
		return NP_DROP_MALFORMED;
	p->room = bpf_ntohs(ip->payload_len);
	if (p->room > skb->len - NP_L2 - sizeof(*ip))
		return NP_DROP_TRUNCATED;
	if (p->room == 0 && skb->gso_segs > 1)
		p->room = skb->len - NP_L2 - sizeof(*ip);
	__builtin_memcpy(p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(p->dst, &ip->daddr, sizeof(p->dst));
	p->proto = p->frag_proto = ip->nexthdr;
	p->hops = ip->hop_limit;
	p->len = sizeof(*ip) + p->room;
	p->l4 = NP_L2 + sizeof(*ip);
	p->what = 0;
	p->fragment = NP_WHOLE;
	p->frag_id = 0;
	return NP_GO;
}

static __always_inline int is_ext6(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_AH;
}

/** frag6() - @p is a fragment: its header is @h, @end the packet's. */
static __always_inline void frag6(struct np_pkt *p, const __u8 *h, __u32 end)
{
	p->frag_proto = h[0];
	__builtin_memcpy(&p->frag_id, h + 4, sizeof(p->frag_id));
	p->frag_at = h[2] << 8 | (h[3] & ~7);
	p->fragment = p->frag_at ? NP_LATER : NP_FIRST;
	if (p->fragment == NP_FIRST)
		p->frag_at = end - p->l4 - 8;
}

/** skip_ext6() - @p as if it had no extension headers. Behind a later fragment's header there are none to be seen. */
static __always_inline int skip_ext6(struct __sk_buff *skb, struct np_pkt *p)
{
	const __u32 end = p->l4 + p->room;
	__u8 h[8];

#pragma clang loop unroll(disable)
	for (int i = 0; i <= NP_EXT_MAX; i++) {
		__u32 size, off;
		__u8 next;

		forget();
		off = p->l4;
		next = p->proto;
		if (off > end || off > NP_EXT_BYTES)
			return NP_DROP_HEADERS;
		p->room = end - off;
		if (!is_ext6(next) || p->fragment == NP_LATER)
			return NP_GO;
		if (bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return NP_DROP_HEADERS;
		size = (h[1] + 1) * 8;
		if (next == IPPROTO_AH)
			size = (h[1] + 2) * 4;
		if (next == IPPROTO_ROUTING && h[3])            /* segments left */
			return NP_DROP_SOURCE_ROUTE;
		if (next == IPPROTO_FRAGMENT) {
			size = 8;
			if (p->fragment != NP_WHOLE)
				return NP_DROP_HEADERS;
			if (h[2] || h[3] & ~6u)         /* else it is whole all the same: RFC 6946 */
				frag6(p, h, end);
		}
		p->proto = h[0];
		p->l4 = off + size;
	}
	return NP_DROP_HEADERS;
}

/** link6() - an address that no router sends on: link-local, or multicast of that scope. */
static __always_inline int link6(const __u32 *a)
{
	return (a[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000) || (a[0] & bpf_htonl(0xff0f0000)) == bpf_htonl(0xff020000);
}

/** icmp_kind() - of @type. Discovery and listeners are what they say only between addresses of the link; else anybody could write to anybody by them. */
static __always_inline __u16 icmp_kind(const struct np_pkt *p, __u8 type, const int family)
{
	if (family == 4) {
		if (type == ICMP4_ECHO)
			return NP_L4_QUERY;
		if (type == ICMP4_ECHO_REPLY)
			return NP_L4_ANSWER;
		if (type == ICMP4_UNREACH || type == ICMP4_QUENCH || type == ICMP4_TIME || type == ICMP4_PARAM)
			return NP_L4_ERROR;
		if (type >= ICMP4_STAMP && type <= ICMP4_MASK_REPLY)
			return type & 1 ? NP_L4_QUERY : NP_L4_ANSWER;
		return NP_L4_PLAIN;
	}
	if (type == ICMP6_ECHO)
		return NP_L4_QUERY;
	if (type == ICMP6_ECHO_REPLY)
		return NP_L4_ANSWER;
	if (type >= ICMP6_UNREACH && type <= ICMP6_PARAM)
		return NP_L4_ERROR;
	if (p->fragment != NP_WHOLE || (!link6(p->src) && !link6(p->dst)))
		return NP_L4_PLAIN;
	if (type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT && p->hops == 255)
		return NP_L4_ALWAYS;
	if (p->hops == 1 && ((type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE) || type == ICMP6_MLD2_REPORT))
		return NP_L4_ALWAYS;
	return NP_L4_PLAIN;
}

static __always_inline __u16 tcp_what(__u8 flags)
{
	__u16 what = NP_L4_PORTS | NP_L4_STREAM;

	if (flags & (TCP_FIN | TCP_SYN | TCP_RST)) {
		if (flags & TCP_SYN)
			what |= flags & TCP_ACK ? NP_L4_ACCEPT : NP_L4_OPEN;
		if (flags & TCP_FIN)
			what |= NP_L4_CLOSE;
		if (flags & TCP_RST)
			what |= NP_L4_ABORT;
	}
	return what;
}

static __always_inline __u16 sctp_what(__u8 chunk)
{
	__u16 what = NP_L4_PORTS | NP_L4_STREAM;

	if (chunk == SCTP_INIT)
		what |= NP_L4_OPEN;
	else if (chunk == SCTP_SHUTDOWN)
		what |= NP_L4_CLOSE;
	else if (chunk == SCTP_ABORT || chunk == SCTP_SHUTDOWN_COMPLETE)
		what |= NP_L4_ABORT;
	return what;
}

/** parse_l4() - ports and what it does; @p->l4 is where a whole header must be. */
static __always_inline int parse_l4(struct __sk_buff *skb, struct np_pkt *p, const int family)
{
	const __u32 off = p->l4;
	NP_HDR(struct l4_start, l4);

	p->sport = p->dport = 0;
	if (unlikely(off > NP_L2 + sizeof(struct ipv6hdr) + NP_EXT_BYTES))
		return NP_DROP_HEADERS;
	if (likely(p->proto == IPPROTO_TCP)) {
		NP_HDR(struct tcp_start, tcp);

		if (p->room < sizeof(*tcp) || !NP_AT(skb, tcp, off))
			return NP_DROP_L4;
		p->sport = tcp->sport;
		p->dport = tcp->dport;
		p->what = tcp_what(tcp->flags);
		return NP_GO;
	}
	if (p->proto != IPPROTO_UDP && p->proto != IPPROTO_SCTP &&
	    p->proto != (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return NP_GO;
	if (p->room < sizeof(*l4) || !NP_AT(skb, l4, off))
		return NP_DROP_L4;
	p->sport = l4->w[0];
	p->dport = l4->w[1];
	if (likely(p->proto == IPPROTO_UDP)) {
		p->what = NP_L4_PORTS;
	} else if (p->proto == IPPROTO_SCTP) {
		__u8 chunk = 0;

		if (p->room < SCTP_HEADER || skb->len < off + SCTP_HEADER)
			return NP_DROP_L4;
		if (p->room > SCTP_HEADER)
			(void)bpf_skb_load_bytes(skb, off + SCTP_HEADER, &chunk, 1);
		p->what = sctp_what(chunk);
	} else {
		p->dport = l4->w[2];
		p->what = icmp_kind(p, bpf_ntohs(p->sport) >> 8, family);
	}
	return NP_GO;
}

/* --- fragments */

static __always_inline void frag_key(struct np_frag_key *k, const struct np_pkt *p, __u32 slot, const int hook, const int family)
{
	const int words = family == 4 ? 1 : 4;

	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->src, p->src, words * sizeof(__u32));
	__builtin_memcpy(k->dst, p->dst, words * sizeof(__u32));
	k->id = p->frag_id;
	k->slot = slot;
	k->proto = p->frag_proto;
	k->family = family;
	k->hook = hook;
}

/** parse_later() - what the first fragment said. */
static __always_inline int parse_later(struct np_pkt *p, __u32 slot, const int hook, const int family)
{
	struct np_frag_key key;
	struct np_frag *f;

	p->sport = p->dport = 0;
	frag_key(&key, p, slot, hook, family);
	f = bpf_map_lookup_elem(&np_frag, &key);
	/* one that reaches into the first could change what that one said: RFC 1858, 3128, 5722 */
	if (!f || past(f->last + NP_FRAG_TICKS, tick()) || p->frag_at < f->end)
		return NP_DROP_FRAGMENT;
	p->sport = f->sport;
	p->dport = f->dport;
	p->proto = f->proto;
	p->what = NP_L4_LATER;
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_SCTP)
		p->what |= NP_L4_PORTS | NP_L4_STREAM;
	else if (p->proto == IPPROTO_UDP)
		p->what |= NP_L4_PORTS;
	else if (p->proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		p->what |= icmp_kind(p, bpf_ntohs(p->sport) >> 8, family);
	return NP_GO;
}

/** frag_remember() - a first fragment was let through: so may the later ones. */
static __always_inline void frag_remember(const struct np_pkt *p, __u32 slot, const int hook, const int family)
{
	struct np_frag f = { .sport = p->sport, .dport = p->dport, .last = tick(), .proto = p->proto,
			     .end = p->frag_at };
	struct np_frag_key key;

	frag_key(&key, p, slot, hook, family);
	(void)bpf_map_update_elem(&np_frag, &key, &f, BPF_ANY);
}

/** parse_rest() - everything behind the IP header. */
static __always_inline int parse_rest(struct __sk_buff *skb, struct np_pkt *p, __u32 slot, const int hook, const int family)
{
	int r = NP_GO;

	if (family == 6 && unlikely(is_ext6(p->proto)))
		r = skip_ext6(skb, p);
	else if (family == 4 && unlikely(p->l4 != NP_L2 + sizeof(struct iphdr)) && source_routed4(skb, p->l4))
		r = NP_DROP_SOURCE_ROUTE;
	if (r != NP_GO)
		return r;
	if (unlikely(p->fragment == NP_LATER))
		return parse_later(p, slot, hook, family);
	return parse_l4(skb, p, family);
}
