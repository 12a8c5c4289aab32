/*
 * Interned objects. All four kinds work alike: find by content in a table, count, take out at zero. const
 * pointers are handed out because nobody but this file may change them; it takes the const away again to
 * count.
 */
#include "netpolicy-bpf/user/np_names.h"

#include <stdlib.h>
#include <string.h>

#define MUTABLE(type, p) ((type *)(uintptr_t)(p))

/* --- numbers */

static int id_take(struct np_ids *ids, uint32_t *ret)
{
	uint32_t *grown;
	size_t cap;

	if (ids->n_freed) {
		*ret = ids->freed[--ids->n_freed];
		return 0;
	}
	/* giving back must not fail, so there is room for every number that is out */
	if (ids->next == ids->cap) {
		cap = ids->cap ? 2 * ids->cap : 64;
		grown = reallocarray(ids->freed, cap, sizeof(*grown));
		if (!grown)
			return -1;
		ids->freed = grown;
		ids->cap = cap;
	}
	*ret = ids->next++;
	return 0;
}

static void id_give(struct np_ids *ids, uint32_t id)
{
	ids->freed[ids->n_freed++] = id;
}

/* An object that is made: into its table under a number, or gone. */
static int enter(struct np_table *t, struct np_ids *ids, uint64_t hash, void *p, uint32_t *ret_id)
{
	if (np_table_reserve(t, 1) < 0 || id_take(ids, ret_id) < 0)
		return -1;
	return np_table_add(t, hash, p);
}

void np_names_done(struct np_names *n)
{
	np_table_done(&n->str);
	np_table_done(&n->label);
	np_table_done(&n->space);
	np_table_done(&n->shape);
	free(n->str_ids.freed);
	free(n->label_ids.freed);
	free(n->space_ids.freed);
	free(n->shape_ids.freed);
	*n = (struct np_names){0};
}

/* --- texts */

struct text {
	const char *s;
	size_t len;
};

static bool str_is(const void *p, const void *key)
{
	const struct np_str *s = p;
	const struct text *t = key;

	return s->len == t->len && !memcmp(s->s, t->s, t->len);
}

const struct np_str *np_str_get(struct np_names *n, const char *text, size_t len)
{
	const struct text key = {text, len};
	uint64_t hash = np_hash(n->seed, text, len);
	struct np_str *s = np_table_find(&n->str, hash, str_is, &key);

	if (s) {
		s->refs++;
		return s;
	}
	s = malloc(sizeof(*s) + len + 1);
	if (!s)
		return NULL;
	*s = (struct np_str){.refs = 1, .hash = hash, .len = len};
	memcpy(s->s, text, len);
	s->s[len] = 0;
	if (enter(&n->str, &n->str_ids, hash, s, &s->id) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

const struct np_str *np_str_find(const struct np_names *n, const char *text)
{
	const struct text key = {text, strlen(text)};

	return np_table_find(&n->str, np_hash(n->seed, text, key.len), str_is, &key);
}

void np_str_put(struct np_names *n, const struct np_str *s)
{
	struct np_str *own = MUTABLE(struct np_str, s);

	if (!own || --own->refs)
		return;
	np_table_del(&n->str, own->hash, own);
	id_give(&n->str_ids, own->id);
	free(own);
}

/* --- labels */

static uint64_t label_hash(const struct np_str *key, const struct np_str *value)
{
	return np_mix(key->hash ^ np_mix(value->hash));
}

static bool label_is(const void *p, const void *key)
{
	const struct np_label *a = p, *b = key;

	return a->key == b->key && a->value == b->value;
}

const struct np_label *np_label_get(struct np_names *n, const char *key, const char *value)
{
	struct np_label want = {.key = np_str_get(n, key, strlen(key)),
				.value = np_str_get(n, value, strlen(value))},
			*l = NULL;
	uint64_t hash;

	if (!want.key || !want.value)
		goto out;
	hash = label_hash(want.key, want.value);
	l = np_table_find(&n->label, hash, label_is, &want);
	if (l) {
		l->refs++;
		goto out;
	}
	l = malloc(sizeof(*l));
	if (!l)
		goto out;
	*l = (struct np_label){.refs = 1, .key = want.key, .value = want.value};
	if (enter(&n->label, &n->label_ids, hash, l, &l->id) == 0)
		return l;
	free(l);
	l = NULL;
out:
	np_str_put(n, want.key);
	np_str_put(n, want.value);
	return l;
}

const struct np_label *np_label_find(const struct np_names *n, const char *key, const char *value)
{
	struct np_label want = {.key = np_str_find(n, key), .value = np_str_find(n, value)};

	if (!want.key || !want.value)
		return NULL;
	return np_table_find(&n->label, label_hash(want.key, want.value), label_is, &want);
}

void np_label_put(struct np_names *n, const struct np_label *l)
{
	struct np_label *own = MUTABLE(struct np_label, l);

	if (!own || --own->refs)
		return;
	np_table_del(&n->label, label_hash(own->key, own->value), own);
	id_give(&n->label_ids, own->id);
	np_str_put(n, own->key);
	np_str_put(n, own->value);
	free(own);
}

/* --- namespaces */

static bool space_is(const void *p, const void *key)
{
	return ((const struct np_space *)p)->name == key;
}

struct np_space *np_space_get(struct np_names *n, const char *name)
{
	const struct np_str *str = np_str_get(n, name, strlen(name));
	struct np_space *s;

	if (!str)
		return NULL;
	s = np_table_find(&n->space, str->hash, space_is, str);
	if (s) {
		np_str_put(n, str);
		s->refs++;
		return s;
	}
	s = malloc(sizeof(*s));
	if (s) {
		*s = (struct np_space){
			.refs = 1, .name = str, .implied = np_label_get(n, NP_METADATA_NAME, name)};
		if (s->implied && enter(&n->space, &n->space_ids, str->hash, s, &s->id) == 0)
			return s;
		np_label_put(n, s->implied);
		free(s);
	}
	np_str_put(n, str);
	return NULL;
}

struct np_space *np_space_find(const struct np_names *n, const char *name)
{
	const struct np_str *str = np_str_find(n, name);

	return str ? np_table_find(&n->space, str->hash, space_is, str) : NULL;
}

void np_space_put(struct np_names *n, const struct np_space *s)
{
	struct np_space *own = MUTABLE(struct np_space, s);

	if (!own || --own->refs)
		return;
	np_table_del(&n->space, own->name->hash, own);
	id_give(&n->space_ids, own->id);
	np_label_put(n, own->implied);
	np_str_put(n, own->name);
	free(own);
}

/* --- shapes */

static int by_key(const void *a, const void *b)
{
	const struct np_label *const *x = a, *const *y = b;

	return strcmp((*x)->key->s, (*y)->key->s);
}

static bool shape_is(const void *p, const void *key)
{
	const struct np_shape *a = p, *b = key;

	if (a->space != b->space || a->n_label != b->n_label || a->n_port != b->n_port)
		return false;
	for (unsigned int i = 0; i < a->n_label; i++)
		if (a->label[i] != b->label[i])
			return false;
	for (unsigned int i = 0; i < a->n_port; i++)
		if (a->port[i].name != b->port[i].name || a->port[i].port != b->port[i].port ||
		    a->port[i].proto != b->port[i].proto)
			return false;
	return true;
}

static uint64_t shape_hash(const struct np_shape *s)
{
	uint64_t h = s->space->name->hash ^ s->n_label;

	for (unsigned int i = 0; i < s->n_label; i++)
		h = np_mix(h ^ label_hash(s->label[i]->key, s->label[i]->value));
	for (unsigned int i = 0; i < s->n_port; i++)
		h = np_mix(h ^ s->port[i].name->hash ^ (uint64_t)s->port[i].port << 8 ^ s->port[i].proto);
	return h;
}

/* A copy with counts of its own on all that it names. */
static struct np_shape *shape_new(const struct np_shape *like)
{
	struct np_shape *s = malloc(sizeof(*s) + like->n_label * (sizeof(*s->label) + sizeof(*s->id_of)) +
				    like->n_port * sizeof(*s->port));

	if (!s)
		return NULL;
	*s = *like;
	s->refs = 1;
	s->label = (const struct np_label **)(s + 1);
	s->port = (struct np_named_port *)(s->label + s->n_label);
	s->id_of = (struct np_label_id *)(s->port + s->n_port);
	if (s->n_port)
		memcpy(s->port, like->port, s->n_port * sizeof(*s->port));
	s->space->refs++;
	for (unsigned int i = 0; i < s->n_label; i++) {
		struct np_label *l = MUTABLE(struct np_label, like->label[i]);

		l->refs++;
		s->label[i] = l;
		s->id_of[i] = (struct np_label_id){l->id, l->key->id};
	}
	for (unsigned int i = 0; i < s->n_port; i++)
		MUTABLE(struct np_str, s->port[i].name)->refs++;
	return s;
}

static void shape_free(struct np_names *n, struct np_shape *s)
{
	for (unsigned int i = 0; i < s->n_port; i++)
		np_str_put(n, s->port[i].name);
	for (unsigned int i = 0; i < s->n_label; i++)
		np_label_put(n, s->label[i]);
	np_space_put(n, s->space);
	free(s);
}

const struct np_shape *np_shape_get(struct np_names *n, struct np_space *space, const struct np_label **label,
				    unsigned int n_label, const struct np_named_port *port,
				    unsigned int n_port)
{
	struct np_shape want = {.space = space,
				.n_label = n_label,
				.n_port = n_port,
				.label = label,
				.port = MUTABLE(struct np_named_port, port)},
			*s;

	if (n_label > 1)
		qsort(label, n_label, sizeof(*label), by_key);
	want.hash = shape_hash(&want);
	s = np_table_find(&n->shape, want.hash, shape_is, &want);
	if (s) {
		s->refs++;
		return s;
	}
	want.serial = ++n->serial;
	s = shape_new(&want);
	if (!s)
		return NULL;
	if (enter(&n->shape, &n->shape_ids, s->hash, s, &s->id) < 0) {
		shape_free(n, s);
		return NULL;
	}
	return s;
}

void np_shape_put(struct np_names *n, const struct np_shape *s)
{
	struct np_shape *own = MUTABLE(struct np_shape, s);

	if (!own || --own->refs)
		return;
	np_table_del(&n->shape, own->hash, own);
	id_give(&n->shape_ids, own->id);
	shape_free(n, own);
}
