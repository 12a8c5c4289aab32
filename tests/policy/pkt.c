#include "tests/policy/pkt.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_ether.h>
#include <string.h>

static void add(struct pkt *p, const void *data, size_t len)
{
	assert(p->len + len <= sizeof(p->b));
	memcpy(p->b + p->len, data, len);
	p->len += len;
}

static void add16(struct pkt *p, unsigned int v)
{
	const uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	add(p, b, sizeof(b));
}

/** add_l4() - the transport's header, as the sender @from of the flow writes it. */
static void add_l4(struct pkt *p, const struct pkt_flow *f, enum pkt_turn turn)
{
	uint16_t from = turn == PKT_ANSWER ? f->dport : f->sport, to = turn == PKT_ANSWER ? f->sport : f->dport;
	uint8_t rest[16] = { 0 };
	static const uint8_t tcp_flags[] = { 0x02, 0x12, 0x10 }, sctp_chunk[] = { 1, 2, 10 };

	switch (f->proto) {
	case IPPROTO_TCP:
		add16(p, from);
		add16(p, to);
		rest[8] = 5 << 4;
		rest[9] = tcp_flags[turn];
		add(p, rest, 16);
		return;
	case IPPROTO_UDP:
		add16(p, from);
		add16(p, to);
		add16(p, 8);
		add16(p, 0);
		return;
	case IPPROTO_SCTP:
		add16(p, from);
		add16(p, to);
		rest[8] = sctp_chunk[turn];     /* behind verification tag and checksum */
		rest[11] = 4;
		add(p, rest, 12);
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		add16(p, f->proto == IPPROTO_ICMP ? (turn == PKT_ANSWER ? 0 : 0x0800) : turn == PKT_ANSWER ? 0x8100 : 0x8000);
		add16(p, 0);
		add16(p, f->sport);
		add16(p, 1);
		return;
	default:
		add(p, rest, sizeof(rest));
	}
}

static void make4(const struct vw_ip *src, const struct vw_ip *dst, uint8_t proto, enum pkt_dress dress, const struct pkt *l4,
		  struct pkt *ret)
{
	const uint8_t options[] = { 1, 7, 7, 4, 0, 0, 0, 0 };   /* a no-op, and a record of a route not yet taken */
	size_t opt = dress == PKT_OPTIONS ? sizeof(options) : 0;
	const uint8_t head[2] = { (uint8_t)(0x45 + opt / 4), 0 }, ttl[2] = { 64, proto };

	add(ret, head, 2);
	add16(ret, (unsigned int)(20 + opt + l4->len));
	add16(ret, 0x1234);
	add16(ret, dress == PKT_FIRST ? 0x2000 : 0);
	add(ret, ttl, 2);
	add16(ret, 0);
	add(ret, src->b, 4);
	add(ret, dst->b, 4);
	add(ret, options, opt);
	add(ret, l4->b, l4->len);
}

static void make6(const struct vw_ip *src, const struct vw_ip *dst, uint8_t proto, enum pkt_dress dress, const struct pkt *l4,
		  struct pkt *ret)
{
	const uint8_t head[4] = { 0x60 }, hops[] = { IPPROTO_DSTOPTS, 0, 1, 4 }, dest[] = { proto, 1, 1, 12 };
	const uint8_t frag[8] = { proto, 0, 0, 1, 0, 0, 0x12, 0x34 }, zero[12] = { 0 };
	size_t ext = dress == PKT_OPTIONS ? 24 : dress == PKT_FIRST ? 8 : 0;
	const uint8_t next[2] = { dress == PKT_OPTIONS ? IPPROTO_HOPOPTS : dress == PKT_FIRST ? IPPROTO_FRAGMENT : proto, 64 };

	add(ret, head, 4);
	add16(ret, (unsigned int)(ext + l4->len));
	add(ret, next, 2);
	add(ret, src->b, 16);
	add(ret, dst->b, 16);
	if (dress == PKT_OPTIONS) {
		add(ret, hops, 4);
		add(ret, zero, 4);
		add(ret, dest, 4);
		add(ret, zero, 12);
	} else if (dress == PKT_FIRST) {
		add(ret, frag, 8);
	}
	add(ret, l4->b, l4->len);
}

void pkt_make(const struct pkt_flow *f, enum pkt_turn turn, enum pkt_dress dress, struct pkt *ret)
{
	const struct vw_ip *src = turn == PKT_ANSWER ? &f->dst : &f->src, *dst = turn == PKT_ANSWER ? &f->src : &f->dst;
	const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 }, bytes[24] = { 0 };
	struct pkt l4 = { .len = 0 };

	*ret = (struct pkt){ .len = 0 };
	add(ret, macs, sizeof(macs));
	add16(ret, f->src.family == AF_INET6 ? ETH_P_IPV6 : ETH_P_IP);
	add_l4(&l4, f, turn);
	if (dress == PKT_FIRST || dress == PKT_LONG)
		add(&l4, bytes, 24);
	if (dress == PKT_FIRST)
		l4.len &= ~(size_t)7;
	if (f->src.family == AF_INET6)
		make6(src, dst, f->proto, dress, &l4, ret);
	else
		make4(src, dst, f->proto, dress, &l4, ret);
}
