/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sim_fail;
struct sim_params;
struct sim_tags;

/**
 * DOC: Describe filters
 *
 * All filters must hold; of one filter's values any. '*' and '?' are wildcards, '\' takes their meaning away.
 */
#define SIM_MAX_FILTERS       50
#define SIM_MAX_FILTER_VALUES 200

struct sim_filter {
	const char *name;
	const char **values;
	int n;
};

struct sim_filters {
	struct sim_filter *v;
	int n;
};

/** struct sim_filter_def - a filter that a kind of object knows. @hit: whether the object passes @f. */
struct sim_filter_def {
	const char *name;
	bool (*hit)(const void *obj, const struct sim_filter *f);
};

/** sim_filters_parse() - "Filter.N.Name", "Filter.N.Value.M". Borrows from @p. Return: 0, -EPROTO. */
int sim_filters_parse(const struct sim_params *p, struct sim_filters *ret, struct sim_fail *f);
void sim_filters_done(struct sim_filters *fs);
/** sim_filters_check() - every filter is in @defs or is tag:KEY or tag-key. Return: 0, -EPROTO. */
int sim_filters_check(const struct sim_filters *fs, const struct sim_filter_def *defs, size_t n,
		      struct sim_fail *f);
bool sim_filters_pass(const struct sim_filters *fs, const struct sim_filter_def *defs, size_t n,
		      const void *obj, const struct sim_tags *tags);
/** sim_filter_hit() - @value matches one of the filter's values. */
bool sim_filter_hit(const struct sim_filter *f, const char *value);
