/*
 * Things, and the atoms that they satisfy. Shapes are numbered by namespace, so that "this namespace" is
 * a range of bits; for each label and each key there is a list of shapes that have it, so that a selector
 * costs what it selects, not what there is. The resulting matrix, atoms by things, is turned 64 x 64 bits
 * at a time into rows by thing.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_MATRIX_BYTES ((size_t)64 << 20)

/* Who has each label or key that is @wanted: list[first[id]] to list[first[id + 1]] (excluded), ascending. */
struct postings {
	uint32_t *first, *list;
	uint8_t *wanted;
	size_t n;
};

struct work {
	struct np_build *b;
	struct postings labels, keys;
	uint64_t *some, *any;   /* one set of things each, for one selector at a time */
	struct np_table spaces; /* struct chosen, by selector */
};

/* Namespaces that a selector selects, by id. */
struct chosen {
	const struct np_selector *by;
	uint64_t bits[];
};

/* --- which things there are */

static bool is_peer(const struct np_pod *pod)
{
	return !pod->host_network && !pod->done && (pod->ip4.family || pod->ip6.family);
}

/* Shapes of pods that are peers, by namespace. */
static int number_shapes(struct np_build *b, const struct np_shape **used, size_t n_used)
{
	size_t at;

	b->space_first = np_mem_alloc(&b->mem, b->n_space + 2, sizeof(*b->space_first));
	b->thing_of_shape = np_mem_alloc(&b->mem, b->n_shape_id + 1, sizeof(*b->thing_of_shape));
	if (!b->space_first || !b->thing_of_shape)
		return np_oom(b);
	b->n_thing_of_shape = b->n_shape_id;
	memset(b->thing_of_shape, 0xff, b->n_shape_id * sizeof(*b->thing_of_shape));
	for (size_t i = 0; i < n_used; i++)
		b->space_first[used[i]->space->id + 1]++;
	for (size_t i = 0; i <= b->n_space; i++)
		b->space_first[i + 1] += b->space_first[i];
	for (size_t i = 0; i < n_used; i++) {
		at = b->space_first[used[i]->space->id]++;
		b->thing[at] = (struct np_thing){.shape = used[i], .serial = used[i]->serial};
		b->thing_of_shape[used[i]->id] = (uint32_t)at;
	}
	/* each has moved to where the next begins */
	memmove(b->space_first + 1, b->space_first, b->n_space * sizeof(*b->space_first));
	b->space_first[0] = 0;
	b->n_shape = n_used;
	return 0;
}

static void use_shape(const struct np_shape *s, uint8_t *seen, const struct np_shape **used, size_t *n)
{
	if (!s || seen[s->id])
		return;
	seen[s->id] = 1;
	used[(*n)++] = s;
}

int np_things_find(struct np_build *b)
{
	const struct np_names *names = np_world_names(b->w);
	const struct np_list *pods = np_world_list(b->w, NP_KIND_POD),
			     *nodes = np_world_list(b->w, NP_KIND_NODE);
	const struct np_shape **used = reallocarray(NULL, names->shape.n + b->n_who + 1, sizeof(*used));
	uint8_t *seen = calloc(b->n_shape_id + 1, 1);
	size_t n = 0;
	int r = -ENOMEM;

	b->thing = np_mem_alloc(&b->mem, names->shape.n + b->n_who + nodes->n + 1, sizeof(*b->thing));
	if (!used || !seen || !b->thing) {
		np_oom(b);
		goto out;
	}
	for (size_t i = 0; i < pods->n; i++)
		if (is_peer((const struct np_pod *)pods->v[i]))
			use_shape(((const struct np_pod *)pods->v[i])->shape, seen, used, &n);
	for (size_t i = 0; i < b->n_who; i++)
		use_shape(b->who[i].shape, seen, used, &n);
	r = number_shapes(b, used, n);
	if (r < 0)
		goto out;
	b->n_thing = n;
	for (size_t i = 0; i < nodes->n; i++)
		b->thing[b->n_thing++].node = (const struct np_node *)nodes->v[i];
	b->n_thing++; /* this node */
out:
	free(used);
	free(seen);
	return r;
}

/* --- who has which label */

static void want_labels(struct work *w, const struct np_selector *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct np_req *q = &s->req[i];

		if (q->op == NP_OP_EXISTS || q->op == NP_OP_ABSENT)
			w->keys.wanted[q->key->id] = 1;
		for (unsigned int k = 0; k < q->n_label; k++)
			w->labels.wanted[q->label[k]->id] = 1;
	}
}

/* Most labels no selector asks for: a pod's own name, its template's hash. */
static void want_all(struct work *w)
{
	for (size_t i = 0; i < w->b->n_atom; i++) {
		const struct np_policy_rule *r = w->b->atom[i].rule;

		for (unsigned int k = 0; r && k < r->n_peer; k++)
			if (r->peer[k].type == NP_PEER_PODS)
				want_labels(w, &r->peer[k].pods);
	}
}

static int postings_init(struct np_build *b, struct postings *p, size_t n_ids)
{
	p->n = n_ids;
	p->first = calloc(n_ids + 2, sizeof(*p->first));
	p->wanted = calloc(n_ids + 1, sizeof(*p->wanted));
	return p->first && p->wanted ? 0 : np_oom(b);
}

static void postings_done(struct postings *p)
{
	free(p->first);
	free(p->wanted);
	free(p->list);
}

/* From how many there are of each to where the one before begins: filling moves it on. */
static int postings_begin(struct np_build *b, struct postings *p)
{
	for (size_t i = 2; i < p->n + 2; i++)
		p->first[i] += p->first[i - 1];
	p->list = reallocarray(NULL, (size_t)p->first[p->n + 1] + 1, sizeof(*p->list));
	return p->list ? 0 : np_oom(b);
}

static int index_shapes(struct work *w)
{
	const struct np_names *names = np_world_names(w->b->w);
	struct np_build *b = w->b;
	int r = postings_init(b, &w->labels, names->label_ids.next);

	r = r < 0 ? r : postings_init(b, &w->keys, names->str_ids.next);
	if (r < 0)
		return r;
	want_all(w);
	for (size_t i = 0; i < b->n_shape; i++) {
		const struct np_shape *s = b->thing[i].shape;

		for (unsigned int k = 0; k < s->n_label; k++) {
			w->labels.first[s->id_of[k].label + 2] += w->labels.wanted[s->id_of[k].label];
			w->keys.first[s->id_of[k].key + 2] += w->keys.wanted[s->id_of[k].key];
		}
	}
	r = postings_begin(b, &w->labels);
	r = r < 0 ? r : postings_begin(b, &w->keys);
	for (size_t i = 0; r == 0 && i < b->n_shape; i++) {
		const struct np_shape *s = b->thing[i].shape;

		for (unsigned int k = 0; k < s->n_label; k++) {
			if (w->labels.wanted[s->id_of[k].label])
				w->labels.list[w->labels.first[s->id_of[k].label + 1]++] = (uint32_t)i;
			if (w->keys.wanted[s->id_of[k].key])
				w->keys.list[w->keys.first[s->id_of[k].key + 1]++] = (uint32_t)i;
		}
	}
	return r;
}

/* Bits of @id's shapes between words @lo and @hi. */
static void set_postings(const struct postings *p, uint32_t id, size_t lo, size_t hi, uint64_t *bits)
{
	uint32_t from, to, end;

	if (id >= p->n)
		return;
	from = p->first[id];
	end = to = p->first[id + 1];
	while (from < to) {
		uint32_t mid = (from + to) / 2;

		if (p->list[mid] < 64 * lo)
			from = mid + 1;
		else
			to = mid;
	}
	for (; from < end && p->list[from] < 64 * hi; from++)
		np_bit_set(bits, p->list[from]);
}

/* --- namespaces */

static bool is_chosen(const void *p, const void *key)
{
	const struct chosen *c = p;

	return c->by == key;
}

static int choose_spaces(struct work *w, const struct np_selector *s, const struct chosen **ret)
{
	struct np_build *b = w->b;
	uint64_t hash = np_mix((uintptr_t)s);
	struct chosen *c = np_table_find(&w->spaces, hash, is_chosen, s);

	if (!c) {
		c = calloc(1, sizeof(*c) + np_words(b->n_space + 1) * sizeof(*c->bits));
		if (!c || np_table_add(&w->spaces, hash, c) < 0) {
			free(c);
			return np_oom(b);
		}
		c->by = s;
		for (size_t i = 0; i < b->n_space; i++)
			if (b->space_first[i] < b->space_first[i + 1] &&
			    np_selects_space(s, b->thing[b->space_first[i]].shape->space))
				np_bit_set(c->bits, i);
	}
	*ret = c;
	return 0;
}

static void set_range(uint64_t *bits, size_t from, size_t to)
{
	for (; from < to && from % 64; from++)
		np_bit_set(bits, from);
	for (; from + 64 <= to; from += 64)
		bits[from / 64] = UINT64_MAX;
	for (; from < to; from++)
		np_bit_set(bits, from);
}

/* --- one atom */

/* Shapes that fit @p, of those in w->some between words @lo and @hi. */
static void filter(struct work *w, const struct np_selector *s, size_t lo, size_t hi)
{
	size_t bytes = (hi - lo) * sizeof(uint64_t);

	for (unsigned int i = 0; i < s->n; i++) {
		const struct np_req *q = &s->req[i];

		memset(w->any + lo, 0, bytes);
		if (q->op == NP_OP_EXISTS || q->op == NP_OP_ABSENT)
			set_postings(&w->keys, q->key->id, lo, hi, w->any);
		for (unsigned int k = 0; k < q->n_label; k++)
			set_postings(&w->labels, q->label[k]->id, lo, hi, w->any);
		if (q->op == NP_OP_IN || q->op == NP_OP_EXISTS)
			for (size_t x = lo; x < hi; x++)
				w->some[x] &= w->any[x];
		else
			for (size_t x = lo; x < hi; x++)
				w->some[x] &= ~w->any[x];
	}
}

static int judge_pods(struct work *w, struct np_atom *a, const struct np_selector *spaces,
		      const struct np_selector *pods)
{
	const struct np_build *b = w->b;
	size_t hi = a->hi < np_words(b->n_shape) ? a->hi : np_words(b->n_shape);
	const struct chosen *c = NULL;
	int r;

	if (hi <= a->lo)
		return 0;
	memset(w->some + a->lo, 0, (hi - a->lo) * sizeof(*w->some));
	if (!spaces) {
		set_range(w->some, b->space_first[a->space->id], b->space_first[a->space->id + 1]);
	} else if (!spaces->n) {
		set_range(w->some, 64 * a->lo, 64 * hi < b->n_shape ? 64 * hi : b->n_shape);
	} else {
		r = choose_spaces(w, spaces, &c);
		if (r < 0)
			return r;
		for (size_t i = 0; i < b->n_space; i++)
			if (np_bit(c->bits, i))
				set_range(w->some, b->space_first[i], b->space_first[i + 1]);
	}
	filter(w, pods, a->lo, hi);
	for (size_t x = a->lo; x < hi; x++)
		a->bits[x - a->lo] |= w->some[x];
	return 0;
}

static void judge_nodes(struct work *w, struct np_atom *a, const struct np_selector *s)
{
	const struct np_build *b = w->b;

	for (size_t i = b->n_shape; i + 1 < b->n_thing; i++)
		if (np_selects(s, b->thing[i].node->labels.v, b->thing[i].node->labels.n))
			np_bit_set(a->bits, i - 64 * a->lo);
}

/* Which words can have bits at all. A namespace that no shape is in has none. */
static void bound(const struct np_build *b, struct np_atom *a)
{
	size_t lo = SIZE_MAX, hi = 0, from, to;

	for (unsigned int i = 0; !a->own_node && i < a->rule->n_peer; i++) {
		const struct np_peer_rule *p = &a->rule->peer[i];

		from = 0;
		to = 0;
		if (p->type == NP_PEER_NODES) {
			from = b->n_shape;
			to = b->n_thing;
		} else if (p->type == NP_PEER_PODS && !p->own_ns) {
			to = b->n_shape;
		} else if (p->type == NP_PEER_PODS && a->space->id < b->n_space) {
			from = b->space_first[a->space->id];
			to = b->space_first[a->space->id + 1];
		}
		if (from == to)
			continue;
		lo = from / 64 < lo ? from / 64 : lo;
		hi = np_words(to) > hi ? np_words(to) : hi;
	}
	if (a->own_node || a->rule->any_peer) {
		lo = a->own_node ? b->n_shape / 64 : 0;
		hi = np_words(b->n_thing);
	}
	a->lo = lo == SIZE_MAX ? 0 : lo;
	a->hi = hi;
}

static bool is_own_node(const struct np_build *b, const struct np_thing *t)
{
	return !t->node || !strcmp(t->node->o.name->s, b->node_name);
}

static void keep_named(const struct np_build *b, struct np_atom *a)
{
	for (size_t i = 64 * a->lo; i < 64 * a->hi && i < b->n_thing; i++)
		if (np_bit(a->bits, i - 64 * a->lo) &&
		    (i >= b->n_shape || np_shape_port(b->thing[i].shape, a->name, a->proto) != a->port))
			a->bits[i / 64 - a->lo] &= ~(1ull << (i % 64));
}

static int judge_atom(struct work *w, struct np_atom *a)
{
	const struct np_build *b = w->b;
	int r = 0;

	if (a->own_node) {
		for (size_t i = b->n_shape; i < b->n_thing; i++)
			if (is_own_node(b, &b->thing[i]))
				np_bit_set(a->bits, i - 64 * a->lo);
		return 0;
	}
	if (a->rule->any_peer)
		set_range(a->bits, 0, b->n_shape);
	for (unsigned int i = 0; r == 0 && i < a->rule->n_peer && !a->rule->any_peer; i++) {
		const struct np_peer_rule *p = &a->rule->peer[i];

		if (p->type == NP_PEER_PODS && (!p->own_ns || a->space->id < b->n_space))
			r = judge_pods(w, a, p->own_ns ? NULL : &p->spaces, &p->pods);
		else if (p->type == NP_PEER_NODES)
			judge_nodes(w, a, &p->pods);
	}
	if (r == 0 && a->name)
		keep_named(b, a);
	return r;
}

static int judge_atoms(struct work *w)
{
	struct np_build *b = w->b;
	size_t bytes = 0;
	int r = 0;

	for (size_t i = 0; i < b->n_atom; i++) {
		bound(b, &b->atom[i]);
		bytes += (b->atom[i].hi - b->atom[i].lo) * sizeof(uint64_t);
	}
	if (bytes > MAX_MATRIX_BYTES)
		return vw_err_set(b->err, E2BIG, 0,
				  "%zu selectors of policies and %zu kinds of pods are too many together",
				  b->n_atom, b->n_thing);
	for (size_t i = 0; r == 0 && i < b->n_atom; i++) {
		struct np_atom *a = &b->atom[i];

		if (a->hi == a->lo)
			continue;
		a->bits = calloc(a->hi - a->lo, sizeof(*a->bits));
		if (!a->bits)
			return np_oom(b);
		r = judge_atom(w, a);
	}
	return r;
}

/* --- rows */

/* 64 things at a time: a word of each atom, turned around. */
static int make_rows(struct np_build *b)
{
	size_t words = b->rows.words, blocks = np_words(b->n_atom);
	uint64_t *row = calloc(64 * (words ? words : 1), sizeof(*row));
	int r = row ? 0 : np_oom(b);

	for (size_t x = 0; r == 0 && x < np_words(b->n_thing); x++) {
		memset(row, 0, 64 * words * sizeof(*row));
		for (size_t k = 0; k < blocks; k++) {
			uint64_t m[64], some = 0;

			for (size_t i = 0; i < 64; i++) {
				const struct np_atom *a =
					64 * k + i < b->n_atom ? &b->atom[64 * k + i] : NULL;

				m[i] = a && x >= a->lo && x < a->hi ? a->bits[x - a->lo] : 0;
				some |= m[i];
			}
			if (!some)
				continue;
			np_bits_transpose(m);
			for (size_t i = 0; i < 64; i++)
				row[i * words + k] = m[i];
		}
		for (size_t i = 0; r == 0 && i < 64 && 64 * x + i < b->n_thing; i++)
			if (np_rows_get(&b->rows, row + i * words, &b->thing[64 * x + i].row) < 0)
				r = np_oom(b);
	}
	free(row);
	return r;
}

int np_things_judge(struct np_build *b)
{
	size_t words = np_words(b->n_thing);
	struct work w = {
		.b = b, .some = calloc(words, sizeof(uint64_t)), .any = calloc(words, sizeof(uint64_t))};
	int r = w.some && w.any ? 0 : np_oom(b);

	r = r < 0 ? r : index_shapes(&w);
	r = r < 0 ? r : judge_atoms(&w);
	if (r == 0)
		r = np_rows_init(&b->rows, np_words(b->n_atom), true) < 0 ? np_oom(b) : make_rows(b);
	/* the sets have become rows */
	for (size_t i = 0; i < b->n_atom; i++) {
		free(b->atom[i].bits);
		b->atom[i].bits = NULL;
	}
	for (size_t i = 0; i < w.spaces.cap; i++)
		free(w.spaces.slot[i].p);
	np_table_done(&w.spaces);
	postings_done(&w.labels);
	postings_done(&w.keys);
	free(w.some);
	free(w.any);
	return r;
}
