/*
 * Regions: the prefixes that rules name, in the order of a walk through the tree of prefixes, and what
 * each satisfies. An atom counts how many of its blocks cover the place: an ipBlock adds one, its excepts
 * take one away each (none lies within another of the same block), so that blocks that overlap, and an
 * except that another block fills, come out right.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_DEPTH 260 /* 129 lengths, twice */

/* At @cidr, atom @atom (NP_NONE: only a flag) covers @add more. */
struct event {
	struct vw_cidr cidr;
	uint32_t atom;
	int8_t add;
	uint16_t flags;
};

struct events {
	struct event *v;
	size_t n;
};

static int by_place(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	int d = vw_ip_cmp(&x->cidr.ip, &y->cidr.ip);

	return d ? d : x->cidr.len - y->cidr.len;
}

static void add_event(struct events *e, const struct vw_cidr *cidr, uint32_t atom, int add, uint16_t flags)
{
	e->v[e->n++] = (struct event){*cidr, atom, (int8_t)add, flags};
}

static int collect(struct np_build *b, struct events *e)
{
	static const struct vw_cidr all4 = {{.family = AF_INET}, 0}, all6 = {{.family = AF_INET6}, 0};
	size_t n = 2 + b->n_service_cidr;

	for (size_t i = 0; i < b->n_atom; i++) {
		const struct np_policy_rule *r = b->atom[i].name ? NULL : b->atom[i].rule;

		for (unsigned int k = 0; r && k < r->n_peer; k++)
			if (r->peer[k].type == NP_PEER_CIDR)
				n += 1 + r->peer[k].n_except;
	}
	e->v = reallocarray(NULL, n, sizeof(*e->v));
	if (!e->v)
		return np_oom(b);
	add_event(e, &all4, NP_NONE, 0, 0);
	add_event(e, &all6, NP_NONE, 0, 0);
	for (size_t i = 0; i < b->n_service_cidr; i++)
		add_event(e, &b->service_cidr[i], NP_NONE, 0, NP_IDENT_VIP);
	for (size_t i = 0; i < b->n_atom; i++) {
		const struct np_policy_rule *r = b->atom[i].name ? NULL : b->atom[i].rule;

		for (unsigned int k = 0; r && k < r->n_peer; k++) {
			const struct np_peer_rule *p = &r->peer[k];

			if (p->type != NP_PEER_CIDR)
				continue;
			add_event(e, &p->cidr, (uint32_t)i, 1, 0);
			for (unsigned int x = 0; x < p->n_except; x++)
				add_event(e, &p->except[x], (uint32_t)i, -1, 0);
		}
	}
	qsort(e->v, e->n, sizeof(*e->v), by_place);
	return 0;
}

struct walk {
	struct np_build *b;
	const struct events *e;
	uint32_t *count; /* by atom */
	uint64_t *now;   /* atoms whose count is not 0 */
	struct level {
		uint32_t region;
		size_t from, to; /* its events */
	} stack[MAX_DEPTH];
	size_t depth;
};

static void apply(struct walk *w, size_t from, size_t to, int sign)
{
	for (size_t i = from; i < to; i++) {
		uint32_t a = w->e->v[i].atom;

		if (a == NP_NONE)
			continue;
		w->count[a] += (uint32_t)(sign * w->e->v[i].add);
		if (w->count[a])
			w->now[a / 64] |= 1ull << (a % 64);
		else
			w->now[a / 64] &= ~(1ull << (a % 64));
	}
}

/* Into the region of events @from to @to, out of those that do not cover it. */
static int enter(struct walk *w, size_t from, size_t to)
{
	struct np_build *b = w->b;
	const struct vw_cidr *cidr = &w->e->v[from].cidr;
	struct np_region *r = &b->region[b->n_region];

	while (w->depth && !vw_cidr_covers(&b->region[w->stack[w->depth - 1].region].cidr, cidr)) {
		const struct level *l = &w->stack[--w->depth];

		apply(w, l->from, l->to, -1);
	}
	*r = (struct np_region){.cidr = *cidr, .up = w->depth ? w->stack[w->depth - 1].region : NP_NONE};
	if (r->up != NP_NONE)
		r->flags = b->region[r->up].flags;
	for (size_t i = from; i < to; i++)
		r->flags |= w->e->v[i].flags;
	apply(w, from, to, 1);
	if (np_rows_get(&b->rows, w->now, &r->row) < 0)
		return np_oom(b);
	w->stack[w->depth++] = (struct level){(uint32_t)b->n_region++, from, to};
	return 0;
}

int np_regions_make(struct np_build *b)
{
	struct events e = {0};
	struct walk w = {.b = b, .e = &e};
	int r = collect(b, &e);

	w.count = calloc(b->n_atom + 1, sizeof(*w.count));
	w.now = calloc(b->rows.words + 1, sizeof(*w.now));
	b->region = np_mem_alloc(&b->mem, e.n, sizeof(*b->region));
	if (r == 0 && (!w.count || !w.now || !b->region))
		r = np_oom(b);
	for (size_t i = 0, to; r == 0 && i < e.n; i = to) {
		for (to = i + 1; to < e.n && by_place(&e.v[i], &e.v[to]) == 0;)
			to++;
		r = enter(&w, i, to);
	}
	free(w.count);
	free(w.now);
	free(e.v);
	return r;
}

uint64_t np_ip_hash(uint64_t seed, const struct vw_ip *ip)
{
	uint64_t hi, lo;

	memcpy(&hi, ip->b, sizeof(hi));
	memcpy(&lo, ip->b + sizeof(hi), sizeof(lo));
	return np_mix(np_mix(hi ^ seed ^ ip->family) + lo);
}

/* vw_cidr_has() without its copies: @c has no host bits. */
static bool covers(const struct vw_cidr *c, const struct vw_ip *ip)
{
	size_t bytes = c->len / 8;
	unsigned int rest = c->len % 8;

	if (c->ip.family != ip->family || memcmp(c->ip.b, ip->b, bytes) != 0)
		return false;
	return !rest || ((c->ip.b[bytes] ^ ip->b[bytes]) & (0xff00u >> rest)) == 0;
}

uint32_t np_region_of(const struct np_build *b, const struct vw_ip *ip)
{
	size_t lo = 0, hi = b->n_region;

	/* the last that is not behind it in the walk; it, or one around it, is the longest that covers it */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (vw_ip_cmp(&b->region[mid].cidr.ip, ip) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	lo--;
	while (!covers(&b->region[lo].cidr, ip))
		lo = b->region[lo].up;
	return (uint32_t)lo;
}
