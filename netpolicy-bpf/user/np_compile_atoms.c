/* Atoms: peers and ports of rules, each content once, however many rules and policies say the same. */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

/* --- hashing and comparing what rules say of peers */

static uint64_t add_hash(uint64_t h, uint64_t v)
{
	return np_mix(h ^ v) + 0x9e3779b97f4a7c15ull;
}

static uint64_t hash_selector(uint64_t h, const struct np_selector *s)
{
	h = add_hash(h, s->n);
	for (unsigned int i = 0; i < s->n; i++) {
		h = add_hash(h, s->req[i].op ^ s->req[i].key->hash);
		for (unsigned int k = 0; k < s->req[i].n_label; k++)
			h = add_hash(h, s->req[i].label[k]->value->hash);
	}
	return h;
}

static bool same_selector(const struct np_selector *a, const struct np_selector *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned int i = 0; i < a->n; i++) {
		const struct np_req *p = &a->req[i], *q = &b->req[i];

		if (p->op != q->op || p->key != q->key || p->n_label != q->n_label ||
		    (p->n_label && memcmp(p->label, q->label, p->n_label * sizeof(*p->label)) != 0))
			return false;
	}
	return true;
}

static uint64_t hash_cidr(uint64_t h, const struct vw_cidr *c)
{
	return add_hash(h, np_hash(c->len, &c->ip, sizeof(c->ip)));
}

static uint64_t hash_peer(uint64_t h, const struct np_peer_rule *p, const struct np_space *space)
{
	h = add_hash(h, p->type);
	switch (p->type) {
	case NP_PEER_PODS:
		h = p->own_ns ? add_hash(h, space->name->hash) : hash_selector(h, &p->spaces);
		return hash_selector(h, &p->pods);
	case NP_PEER_NODES:
		return hash_selector(h, &p->pods);
	case NP_PEER_CIDR:
		h = hash_cidr(h, &p->cidr);
		for (unsigned int i = 0; i < p->n_except; i++)
			h = hash_cidr(h, &p->except[i]);
		return h;
	case NP_PEER_DOMAIN:
		break;
	}
	return h;
}

static bool same_peer(const struct np_peer_rule *a, const struct np_peer_rule *b, bool same_space)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case NP_PEER_PODS:
		if (a->own_ns != b->own_ns ||
		    (a->own_ns ? !same_space : !same_selector(&a->spaces, &b->spaces)))
			return false;
		return same_selector(&a->pods, &b->pods);
	case NP_PEER_NODES:
		return same_selector(&a->pods, &b->pods);
	case NP_PEER_CIDR:
		if (!vw_cidr_eq(&a->cidr, &b->cidr) || a->n_except != b->n_except)
			return false;
		for (unsigned int i = 0; i < a->n_except; i++)
			if (!vw_cidr_eq(&a->except[i], &b->except[i]))
				return false;
		return true;
	case NP_PEER_DOMAIN:
		break;
	}
	return true;
}

/* The next peer at or after @i that is no domain. */
static unsigned int next_peer(const struct np_policy_rule *r, unsigned int i)
{
	while (i < r->n_peer && r->peer[i].type == NP_PEER_DOMAIN)
		i++;
	return i;
}

static uint64_t hash_atom(const struct np_atom *a)
{
	uint64_t h = a->name ? add_hash(a->name->hash, (uint64_t)a->port << 8 | a->proto) : 0;

	if (a->own_node)
		return 1;
	if (a->rule->any_peer)
		return add_hash(h, 2);
	for (unsigned int i = next_peer(a->rule, 0); i < a->rule->n_peer; i = next_peer(a->rule, i + 1))
		h = hash_peer(h, &a->rule->peer[i], a->space);
	return h;
}

static bool same_atom(const struct np_atom *a, const struct np_atom *b)
{
	const struct np_policy_rule *x = a->rule, *y = b->rule;
	unsigned int i, k;

	if (a->own_node || b->own_node)
		return a->own_node && b->own_node;
	if (a->name != b->name || a->port != b->port || a->proto != b->proto || x->any_peer != y->any_peer)
		return false;
	if (x->any_peer)
		return true;
	for (i = next_peer(x, 0), k = next_peer(y, 0); i < x->n_peer && k < y->n_peer;
	     i = next_peer(x, i + 1), k = next_peer(y, k + 1))
		if (!same_peer(&x->peer[i], &y->peer[k], a->space == b->space))
			return false;
	return i >= x->n_peer && k >= y->n_peer;
}

/* --- peers */

struct atom_key {
	const struct np_build *b;
	const struct np_atom *atom;
};

static bool is_atom(const void *p, const void *key)
{
	const struct atom_key *k = key;

	return same_atom(&k->b->atom[(uintptr_t)p - 1], k->atom);
}

static int intern_atom(struct np_build *b, struct np_atom *a, uint32_t *ret)
{
	void *found;

	a->key = hash_atom(a);
	found = np_table_find(&b->atom_by_key, a->key, is_atom, &(struct atom_key){b, a});
	if (found) {
		*ret = (uint32_t)((uintptr_t)found - 1);
		return 0;
	}
	if (b->frozen)
		return -EAGAIN;
	if (np_grow(&b->atom, b->n_atom, &b->cap_atom, sizeof(*b->atom)) < 0 ||
	    np_table_add(&b->atom_by_key, a->key, (void *)(b->n_atom + 1)) < 0)
		return np_oom(b);
	b->atom[b->n_atom] = *a;
	*ret = (uint32_t)b->n_atom++;
	return 0;
}

int np_atom_get(struct np_build *b, const struct np_policy_rule *rule, const struct np_space *space,
		const struct np_named *named, uint32_t *ret)
{
	struct np_atom a = {.rule = rule, .space = space};

	if (named) {
		a.name = named->name;
		a.proto = named->proto;
		a.port = named->port;
	} else if (rule->any_peer) {
		*ret = NP_ANY;
		return 0;
	}
	if (!rule->any_peer && next_peer(rule, 0) >= rule->n_peer) {
		*ret = NP_NONE;
		return 0;
	}
	return intern_atom(b, &a, ret);
}

int np_atom_own_node(struct np_build *b, uint32_t *ret)
{
	struct np_atom a = {.own_node = true};

	return intern_atom(b, &a, ret);
}

static bool has_shape(const struct np_atom *a, const struct np_shape *shape)
{
	if (a->rule->any_peer)
		return true;
	for (unsigned int i = 0; i < a->rule->n_peer; i++) {
		const struct np_peer_rule *p = &a->rule->peer[i];

		if (p->type != NP_PEER_PODS)
			continue;
		if (p->own_ns ? a->space != shape->space : !np_selects_space(&p->spaces, shape->space))
			continue;
		if (np_selects(&p->pods, shape->label, shape->n_label))
			return true;
	}
	return false;
}

bool np_atom_has_shape(const struct np_atom *a, const struct np_shape *shape)
{
	if (a->own_node || (a->name && np_shape_port(shape, a->name, a->proto) != a->port))
		return false;
	return has_shape(a, shape);
}

bool np_atom_has_node(const struct np_atom *a, const struct np_node *node)
{
	if (a->own_node || a->name)
		return false;
	for (unsigned int i = 0; i < a->rule->n_peer; i++)
		if (a->rule->peer[i].type == NP_PEER_NODES &&
		    np_selects(&a->rule->peer[i].pods, node->labels.v, node->labels.n))
			return true;
	return false;
}

/* --- ports */

static int by_range(const void *a, const void *b)
{
	const struct np_range *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto - y->proto;
	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

static unsigned int join_ranges(struct np_range *v, unsigned int n)
{
	unsigned int kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), by_range);
	for (unsigned int i = 0; i < n; i++) {
		struct np_range *last = kept ? &v[kept - 1] : NULL;

		if (!last || last->proto != v[i].proto || (uint32_t)last->last + 1 < v[i].first)
			v[kept++] = v[i];
		else if (v[i].last > last->last)
			last->last = v[i].last;
	}
	return kept;
}

struct port_key {
	const struct np_build *b;
	const struct np_range *range;
	unsigned int n;
};

static bool is_port_atom(const void *p, const void *key)
{
	const struct port_key *k = key;
	const struct np_port_atom *a = &k->b->port_atom[(uintptr_t)p - 1];

	if (a->n != k->n)
		return false;
	for (unsigned int i = 0; i < k->n; i++)
		if (by_range(&a->range[i], &k->range[i]) != 0)
			return false;
	return true;
}

int np_port_atom_get(struct np_build *b, struct np_range *range, unsigned int n, uint32_t *ret)
{
	struct np_port_atom *a;
	uint64_t key = 0;
	void *found;

	n = join_ranges(range, n);
	*ret = NP_NONE;
	if (!n)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		key = add_hash(key, (uint64_t)range[i].proto << 32 | (uint32_t)range[i].first << 16 |
					    range[i].last);
	found = np_table_find(&b->port_atom_by_key, key, is_port_atom, &(struct port_key){b, range, n});
	if (found) {
		*ret = (uint32_t)((uintptr_t)found - 1);
		return 0;
	}
	if (b->frozen)
		return -EAGAIN;
	if (np_grow(&b->port_atom, b->n_port_atom, &b->cap_port_atom, sizeof(*b->port_atom)) < 0 ||
	    np_table_add(&b->port_atom_by_key, key, (void *)(b->n_port_atom + 1)) < 0)
		return np_oom(b);
	a = &b->port_atom[b->n_port_atom];
	*a = (struct np_port_atom){.range = np_mem_alloc(&b->mem, n, sizeof(*range)), .n = n, .key = key};
	if (!a->range)
		return np_oom(b);
	memcpy(a->range, range, n * sizeof(*range));
	*ret = (uint32_t)b->n_port_atom++;
	return 0;
}
