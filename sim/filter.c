/* SPDX-License-Identifier: Apache-2.0 */
/* Describe filters: parsing and wildcard matching. */
#include "sim/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "sim/fail.h"
#include "sim/model.h"
#include "sim/params.h"

static int parse_one(const struct sim_params *p, unsigned int k, struct sim_filters *ret, struct sim_fail *f)
{
	const char *values[SIM_MAX_FILTER_VALUES], *name;
	struct sim_filter *x = &ret->v[ret->n];
	char key[64];
	int n;

	snprintf(key, sizeof(key), "Filter.%u.Name", k);
	name = sim_param(p, key);
	if (!name)
		return 0;
	snprintf(key, sizeof(key), "Filter.%u.Value", k);
	n = sim_param_list(p, key, NULL, SIM_MAX_FILTER_VALUES, values, f);
	if (n < 0)
		return n;
	x->values = calloc((size_t)n + 1, sizeof(*x->values));
	if (!x->values)
		return sim_fail_nomem(f);
	memcpy(x->values, values, (size_t)n * sizeof(*values));
	x->name = name;
	x->n = n;
	ret->n++;
	return 0;
}

int sim_filters_parse(const struct sim_params *p, struct sim_filters *ret, struct sim_fail *f)
{
	unsigned int k;
	int r = 0;

	if (!sim_param_has(p, "Filter"))
		return 0;
	ret->v = calloc(SIM_MAX_FILTERS + 1, sizeof(*ret->v));
	if (!ret->v)
		return sim_fail_nomem(f);
	for (k = 0; k <= SIM_MAX_FILTERS && r == 0; k++)
		r = parse_one(p, k, ret, f);
	return r;
}

void sim_filters_done(struct sim_filters *fs)
{
	int i;

	for (i = 0; i < fs->n; i++)
		free(fs->v[i].values);
	free(fs->v);
	*fs = (struct sim_filters){ 0 };
}

static const struct sim_filter_def *find(const struct sim_filter_def *defs, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(defs[i].name, name) == 0)
			return &defs[i];
	return NULL;
}

int sim_filters_check(const struct sim_filters *fs, const struct sim_filter_def *defs, size_t n,
		      struct sim_fail *f)
{
	int i;

	for (i = 0; i < fs->n; i++) {
		const char *name = fs->v[i].name;

		if (strncmp(name, "tag:", 4) != 0 && strcmp(name, "tag-key") != 0 && !find(defs, n, name))
			return sim_fail(f, "InvalidParameterValue", "The filter '%s' is invalid", name);
	}
	return 0;
}

/* Backtracks to the last '*' only, so it is linear in practice and never worse than |pattern| * |text|. */
static bool glob(const char *p, const char *s)
{
	const char *star = NULL, *mark = NULL;

	while (*s) {
		if (*p == '*') {
			star = ++p;
			mark = s;
		} else if (*p == '?') {
			p++;
			s++;
		} else if (*p == '\\' && p[1] ? p[1] == *s : *p == *s) {
			p += *p == '\\' && p[1] ? 2 : 1;
			s++;
		} else if (star) {
			p = star;
			s = ++mark;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return !*p;
}

bool sim_filter_hit(const struct sim_filter *f, const char *value)
{
	int i;

	for (i = 0; i < f->n; i++)
		if (glob(f->values[i], value))
			return true;
	return false;
}

static bool tag_hit(const struct sim_filter *f, const struct sim_tags *tags)
{
	size_t i;

	for (i = 0; i < tags->n; i++) {
		if (strcmp(f->name, "tag-key") == 0
			    ? sim_filter_hit(f, tags->v[i].key)
			    : strcmp(f->name + 4, tags->v[i].key) == 0 && sim_filter_hit(f, tags->v[i].value))
			return true;
	}
	return false;
}

bool sim_filters_pass(const struct sim_filters *fs, const struct sim_filter_def *defs, size_t n,
		      const void *obj, const struct sim_tags *tags)
{
	int i;

	for (i = 0; i < fs->n; i++) {
		const struct sim_filter *f = &fs->v[i];
		const struct sim_filter_def *d = find(defs, n, f->name);

		if (d ? !d->hit(obj, f) : !tags || !tag_hit(f, tags))
			return false;
	}
	return true;
}
