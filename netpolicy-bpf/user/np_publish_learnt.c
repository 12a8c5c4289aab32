// SPDX-License-Identifier: Apache-2.0
/*
 * What DNS answers have taught is kept by list of patterns. A pod that gets another list keeps what it learnt by names that the
 * new one means as well: before the switch it is copied, so that flows and new connections find it, and once more when no packet
 * is under way that could have added to the former. Ends stay as they were; also past ones, by which flows live that are there.
 */
#include "netpolicy-bpf/user/np_publish_priv.h"

#include "netpolicy-bpf/user/np_explain.h"
#include "netpolicy-bpf/user/np_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t set_of(const struct np_line *head)
{
	return ((const struct np_blob *)head)->magic == NP_BLOB_MAGIC ? ((const struct np_blob *)head)->fqdn_set : 0;
}

/* --- which patterns mean which */

/**
 * old_texts() - the patterns of set @from by bit, NULL where unknown. From the image in force; a process that has none yet knows
 * from np_dns those that @to has as well.
 */
static void old_texts(const struct np_publish *p, uint32_t from, const struct np_image_blob *to, const char *ret[NP_FQDN_NAMES])
{
	memset(ret, 0, NP_FQDN_NAMES * sizeof(*ret));
	for (unsigned int b = 0; p->img && b < p->img->n_blob; b++) {
		const struct np_image_blob *old = &p->img->blob[b];

		if (!old->line || set_of(old->line) != from)
			continue;
		for (unsigned int i = 0; i < old->n_fqdn && i < NP_FQDN_NAMES; i++)
			ret[i] = old->fqdn[i];
		return;
	}
	for (unsigned int i = 0; i < to->n_fqdn; i++) {
		int bit = np_publish_name_bit(p, from, to->fqdn[i]);

		if (bit >= 0)
			ret[bit] = to->fqdn[i];
	}
}

/** denied() - patterns of @b by which something is denied: what is known by them passed a tier that others did not. */
static uint64_t denied(const struct np_image_blob *b)
{
	const struct np_blob *head = (const struct np_blob *)b->line;
	const struct np_blob_dir *d = &head->dir[NP_EGRESS];
	size_t rows = 0;
	uint64_t ret = 0;

	for (unsigned int i = 0; i < head->n_class; i++) {
		size_t row = b->line[d->row + i / 32].h[i % 32];

		rows = row >= rows ? row + 1 : rows;
	}
	for (size_t i = 0; i < rows * d->ncol; i++) {
		uint32_t v = b->line[d->mtx + i / NP_LINE_WORDS].w[i % NP_LINE_WORDS];
		const struct np_chain *c = (const struct np_chain *)(b->line + NP_VERDICT_ARG(v));

		for (; NP_VERDICT_ACTION(v) == NP_CHAIN && c->names; c++)
			ret |= NP_VERDICT_ACTION(c->verdict) == NP_DENY ? c->names : 0;
	}
	return ret;
}

static bool has_text(const char *const text[NP_FQDN_NAMES], const char *pattern)
{
	for (unsigned int i = 0; i < NP_FQDN_NAMES; i++)
		if (text[i] && strcmp(text[i], pattern) == 0)
			return true;
	return false;
}

/**
 * map_bits() - for each pattern of the former list those of @to that mean all of its names. None when @to has a new, narrower
 * pattern by which something is denied: whether an address is known by that one, nobody wrote down.
 */
static bool map_bits(const char *const old[NP_FQDN_NAMES], const struct np_image_blob *to, uint64_t ret[NP_FQDN_NAMES])
{
	uint64_t no = denied(to), any = 0;

	memset(ret, 0, NP_FQDN_NAMES * sizeof(*ret));
	for (unsigned int i = 0; i < NP_FQDN_NAMES; i++) {
		bool unclear = false;

		for (unsigned int k = 0; old[i] && k < to->n_fqdn; k++) {
			if (np_domain_matches(to->fqdn[k], old[i]))
				ret[i] |= 1ull << k;
			else if (no >> k & 1 && np_domain_matches(old[i], to->fqdn[k]) && !has_text(old, to->fqdn[k]))
				unclear = true;
		}
		if (unclear)
			ret[i] = 0;
		any |= ret[i];
	}
	return any;
}

int np_publish_keep_learnt(struct np_publish *p, unsigned int slot, const struct np_image_blob *to)
{
	uint32_t line = p->io.slots[slot].pub & NP_PUB_LINE_MASK, set = set_of(to->line), from;
	const char *old[NP_FQDN_NAMES];
	struct carry *c;

	if (!line || line == NP_LINE_NONE || line >= NP_ARENA_LINES)
		return 0;
	from = set_of(&p->io.arena[line]);
	if (!from || !set || from == set)
		return 0;
	for (size_t i = 0; i < p->n_carry; i++)
		if (p->carry[i].from == from && p->carry[i].to == set)
			return 0;
	if (p->n_carry == p->carry_room) {
		size_t room = p->carry_room ? 2 * p->carry_room : 8;

		c = reallocarray(p->carry, room, sizeof(*c));
		if (!c)
			return -ENOMEM;
		p->carry = c;
		p->carry_room = room;
	}
	c = &p->carry[p->n_carry];
	*c = (struct carry){ .from = from, .to = set };
	old_texts(p, from, to, old);
	c->any = map_bits(old, to, c->bits);
	p->n_carry++;
	return 0;
}

/* --- entries */

/** struct learnt - an entry. All are read before the first is written: a walk must not meet what it adds. */
struct learnt {
	uint32_t set;
	struct vw_ip ip;
	struct np_fqdn f;
};

struct learnts {
	const struct np_publish *p;
	struct learnt *v;
	size_t n, room;
};

static int collect(void *arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f)
{
	struct learnts *l = arg;
	size_t i = 0;

	while (i < l->p->n_carry && (!l->p->carry[i].any || l->p->carry[i].from != set))
		i++;
	if (i == l->p->n_carry)
		return 0;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct learnt *grown = reallocarray(l->v, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->v = grown;
		l->room = room;
	}
	l->v[l->n++] = (struct learnt){ set, *ip, *f };
	return 0;
}

/** struct ends - the names of an address by when they end, the latest first. Ticks wrap. */
struct ends {
	uint64_t names[2 * NP_FQDN_ENDS];
	uint32_t until[2 * NP_FQDN_ENDS];
	unsigned int n;
};

static void ends_add(struct ends *e, uint64_t names, uint32_t until)
{
	unsigned int at = e->n;

	if (!names)
		return;
	for (; at && (int32_t)(e->until[at - 1] - until) < 0; at--) {
		e->names[at] = e->names[at - 1];
		e->until[at] = e->until[at - 1];
	}
	e->names[at] = names;
	e->until[at] = until;
	e->n++;
}

static void ends_drop(struct ends *e, unsigned int at)
{
	for (e->n--; at < e->n; at++) {
		e->names[at] = e->names[at + 1];
		e->until[at] = e->until[at + 1];
	}
}

/** ends_fit() - a name counts by its latest end; of more than NP_FQDN_ENDS, the two nearest become the earlier: no TTL grows. */
static struct np_fqdn ends_fit(struct ends *e)
{
	struct np_fqdn f = { 0 };
	uint64_t seen = 0;

	for (unsigned int i = 0; i < e->n;) {
		e->names[i] &= ~seen;
		seen |= e->names[i];
		if (!e->names[i]) {
			ends_drop(e, i);
		} else if (i && e->until[i] == e->until[i - 1]) {
			e->names[i - 1] |= e->names[i];
			ends_drop(e, i);
		} else {
			i++;
		}
	}
	while (e->n > NP_FQDN_ENDS) {
		unsigned int near = 0;

		for (unsigned int i = 1; i + 1 < e->n; i++)
			if (e->until[i] - e->until[i + 1] < e->until[near] - e->until[near + 1])
				near = i;
		e->names[near + 1] |= e->names[near];
		ends_drop(e, near);
	}
	memcpy(f.names, e->names, e->n * sizeof(*f.names));
	memcpy(f.expires, e->until, e->n * sizeof(*f.expires));
	return f;
}

static uint64_t mapped(const struct carry *c, uint64_t names)
{
	uint64_t ret = 0;

	for (; names; names &= names - 1)
		ret |= c->bits[__builtin_ctzll(names)];
	return ret;
}

/**
 * copy() - @l to the list @c->to. Where the pods of that list have learnt of the address themselves, both count. (What a program
 * adds to that very entry between get and set is lost: the next answer brings it again.)
 */
static int copy(struct np_publish *p, const struct carry *c, const struct learnt *l)
{
	struct ends was = { 0 }, both = { 0 };
	struct np_fqdn there, before, after;
	int r;

	for (int i = 0; i < NP_FQDN_ENDS; i++)
		ends_add(&both, mapped(c, l->f.names[i]), l->f.expires[i]);
	if (!both.n)
		return 0;
	r = p->io.fqdn_get(p->io.arg, c->to, &l->ip, &there);
	if (r < 0 && r != -ENOENT)
		return r;
	for (int i = 0; r == 0 && i < NP_FQDN_ENDS; i++) {
		ends_add(&was, there.names[i], there.expires[i]);
		ends_add(&both, there.names[i], there.expires[i]);
	}
	before = ends_fit(&was);
	after = ends_fit(&both);
	if (memcmp(&before, &after, sizeof(after)) == 0)
		return 0;
	r = p->io.fqdn_set(p->io.arg, c->to, &l->ip, &after);
	/* a map that is full holds up no change of policy: the pod asks again */
	return r == -E2BIG ? 0 : r;
}

int np_publish_copy_learnt(struct np_publish *p)
{
	struct learnts l = { .p = p };
	bool any = false;
	int r;

	for (size_t k = 0; k < p->n_carry; k++)
		any |= p->carry[k].any;
	r = any ? p->io.each_fqdn(p->io.arg, collect, &l) : 0;
	for (size_t i = 0; r == 0 && i < l.n; i++)
		for (size_t k = 0; r == 0 && k < p->n_carry; k++)
			if (p->carry[k].from == l.v[i].set)
				r = copy(p, &p->carry[k], &l.v[i]);
	free(l.v);
	return r;
}
