/* SPDX-License-Identifier: Apache-2.0 */
/* The two small array types of the state model: lists of addresses and prefixes, and tags. */
#include "sim/cidrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/parse.h"

int sim_cidrs_add(struct sim_cidrs *s, const struct vw_cidr *c)
{
	struct vw_cidr *v = realloc(s->v, (s->n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	s->v = v;
	s->v[s->n++] = *c;
	return 0;
}

bool sim_cidrs_del(struct sim_cidrs *s, const struct vw_cidr *c)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (!vw_cidr_eq(&s->v[i], c))
			continue;
		memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof(*s->v));
		s->n--;
		return true;
	}
	return false;
}

bool sim_cidrs_has(const struct sim_cidrs *s, const struct vw_cidr *c)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (vw_cidr_eq(&s->v[i], c))
			return true;
	return false;
}

bool sim_cidrs_holds(const struct sim_cidrs *s, const struct vw_ip *ip)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (vw_cidr_has(&s->v[i], ip))
			return true;
	return false;
}

void sim_cidrs_done(struct sim_cidrs *s)
{
	free(s->v);
	*s = (struct sim_cidrs){ 0 };
}

int sim_tags_set(struct sim_tags *t, const char *key, const char *value)
{
	struct sim_tag *v, tag;
	size_t i;

	if (vw_fmt(tag.key, sizeof(tag.key), "%s", key) < 0 ||
	    vw_fmt(tag.value, sizeof(tag.value), "%s", value) < 0)
		return -ENAMETOOLONG;
	for (i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].key, key) == 0) {
			t->v[i] = tag;
			return 0;
		}
	}
	v = realloc(t->v, (t->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->v = v;
	t->v[t->n++] = tag;
	return 0;
}

bool sim_tags_unset(struct sim_tags *t, const char *key, const char *value)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].key, key) != 0 || (value && strcmp(t->v[i].value, value) != 0))
			continue;
		memmove(&t->v[i], &t->v[i + 1], (t->n - i - 1) * sizeof(*t->v));
		t->n--;
		return true;
	}
	return false;
}

const char *sim_tags_get(const struct sim_tags *t, const char *key)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->v[i].key, key) == 0)
			return t->v[i].value;
	return NULL;
}

int sim_tags_set_all(struct sim_tags *t, const struct sim_tags *from)
{
	size_t i;
	int r = 0;

	for (i = 0; i < from->n && r == 0; i++)
		r = sim_tags_set(t, from->v[i].key, from->v[i].value);
	return r;
}

void sim_tags_done(struct sim_tags *t)
{
	free(t->v);
	*t = (struct sim_tags){ 0 };
}
