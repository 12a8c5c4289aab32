// SPDX-License-Identifier: Apache-2.0
/* Reading back: the way that a packet of a new flow goes through the maps, for people. */
#include "netpolicy-bpf/user/np_publish_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static uint16_t half(const struct np_line *line, uint32_t first, unsigned int i)
{
	return line[first + i / (2 * NP_LINE_WORDS)].h[i % (2 * NP_LINE_WORDS)];
}

static unsigned int port_class(const struct np_publish *p, unsigned int parity, uint8_t proto, uint16_t port)
{
	static const struct {
		uint8_t proto;
		enum np_port_proto table;
	} tables[] = { { IPPROTO_TCP, NP_PORT_TCP }, { IPPROTO_UDP, NP_PORT_UDP }, { IPPROTO_SCTP, NP_PORT_SCTP } };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].proto == proto)
			return p->io.ports[NP_PORT_LINE(parity, tables[i].table, port)].h[port % (2 * NP_LINE_WORDS)];
	return 0;
}

/* the entry of the chain that decides; -EBADMSG when none does */
static int chain(const struct np_publish *p, uint32_t line, uint64_t names, uint32_t *ret)
{
	for (unsigned int i = 0; i < NP_CHAIN_MAX; i++) {
		struct np_chain c;

		if (line + i / 4 >= NP_ARENA_LINES)
			return -EBADMSG;
		memcpy(&c, &p->io.arena[line + i / 4].q[i % 4 * 2], sizeof(c));
		if (!c.names || (c.names & names)) {
			*ret = c.verdict;
			return NP_VERDICT_ACTION(c.verdict) == NP_CHAIN ? -EBADMSG : 0;
		}
	}
	return -EBADMSG;
}

/* every index is measured: what is read back is what somebody else may have written */
static int cell(const struct np_publish *p, uint32_t line, struct np_lookup *l)
{
	const struct np_blob *b = (const struct np_blob *)&p->io.arena[line];
	const struct np_blob_dir *d = &b->dir[l->dir];
	uint64_t at;

	if (b->magic != NP_BLOB_MAGIC || l->cls >= b->n_class || l->port_cls >= b->n_port_class ||
	    (uint64_t)d->row + l->cls / 32 >= NP_ARENA_LINES || (uint64_t)d->col + l->port_cls / 32 >= NP_ARENA_LINES)
		return -EBADMSG;
	l->row = half(p->io.arena, d->row, l->cls);
	l->col = half(p->io.arena, d->col, l->port_cls);
	at = (uint64_t)l->row * d->ncol + l->col;
	if (l->col >= d->ncol || d->mtx + at / NP_LINE_WORDS >= NP_ARENA_LINES)
		return -EBADMSG;
	l->verdict = p->io.arena[d->mtx + at / NP_LINE_WORDS].w[at % NP_LINE_WORDS];
	if (NP_VERDICT_ACTION(l->verdict) == NP_CHAIN)
		return chain(p, NP_VERDICT_ARG(l->verdict), l->names, &l->verdict);
	return 0;
}

int np_publish_look(const struct np_publish *p, struct np_lookup *l)
{
	uint64_t pub;
	unsigned int parity;
	struct np_ident id;
	uint32_t ident;
	int r;

	if (l->slot >= NP_SLOTS || l->dir >= NP_DIRS)
		return -EINVAL;
	pub = __atomic_load_n(&p->io.slots[l->slot].pub, __ATOMIC_ACQUIRE);
	l->off = !(pub & NP_PUB_LINE_MASK);
	if (l->off || (pub & NP_PUB_LINE_MASK) >= NP_ARENA_LINES)
		return l->off ? 0 : -EBADMSG;
	r = p->io.ident_of(p->io.arg, &l->peer, &ident);
	if (r < 0)
		return r;
	if (ident >= NP_IDENTS)
		return -EBADMSG;
	parity = !!(pub & NP_PUB_PARITY);
	id = np_publish_ident(p, ident);
	l->cls = id.cls[parity];
	l->flags = id.flags;
	l->port_cls = (uint16_t)port_class(p, parity, l->proto, l->port);
	return cell(p, (uint32_t)(pub & NP_PUB_LINE_MASK), l);
}
