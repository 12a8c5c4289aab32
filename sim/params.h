/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_cidrs;
struct sim_fail;
struct sim_tags;

/**
 * DOC: parameters of an EC2 Query request
 *
 * application/x-www-form-urlencoded, parsed once into names and values. A getter marks what it reads; what no
 * parser asked for is an UnknownParameter, as in EC2. Lists are "Name.1", "Name.2", ... (gaps allowed),
 * structures dotted.
 *
 * Getters return 1 = present, 0 = absent (*ret stays), -EPROTO with the EC2 error in @f.
 */
#define SIM_MAX_PARAMS 2000

struct sim_param {
	char *name, *value;
	bool used;
};

struct sim_params {
	struct sim_param *v;
	size_t n;
	char *text; /* decoded in place; names and values point into it */
};

/** sim_params_parse() - @f: MalformedQueryString on bad escapes, embedded NUL, duplicates, too many. */
int sim_params_parse(const char *body, size_t len, struct sim_params *ret_params, struct sim_fail *f);
void sim_params_done(struct sim_params *p);

/** sim_param() - the value, marked used; NULL if absent. */
const char *sim_param(const struct sim_params *p, const char *name);
/** sim_param_need() - as above; MissingParameter if absent or empty. Return: 0, -EPROTO. */
int sim_param_need(const struct sim_params *p, const char *name, const char **ret, struct sim_fail *f);
int sim_param_uint(const struct sim_params *p, const char *name, uint64_t min, uint64_t max,
		   unsigned int *ret, struct sim_fail *f);
int sim_param_bool(const struct sim_params *p, const char *name, bool *ret, struct sim_fail *f);

/**
 * sim_param_list() - values of "<name>.N" or "<name>.N.<member>", in order of N.
 * @max: longest list accepted. @ret: array of @max borrowed strings. Return: the number, -EPROTO.
 */
int sim_param_list(const struct sim_params *p, const char *name, const char *member, size_t max,
		   const char **ret, struct sim_fail *f);
/** sim_param_has() - some parameter is "<name>.<anything>"; marks nothing. */
bool sim_param_has(const struct sim_params *p, const char *name);
/**
 * sim_param_cidrs() - a list (as above) of addresses (@prefix_len 0) or prefixes of that length, appended to
 * @ret. Return: the number, -EPROTO (InvalidParameterValue).
 */
int sim_param_cidrs(const struct sim_params *p, const char *name, const char *member, int family,
		    unsigned int prefix_len, struct sim_cidrs *ret, struct sim_fail *f);
/** sim_param_tags() - "<name>.N.Key", "<name>.N.Value". Return: the number, -EPROTO. */
int sim_param_tags(const struct sim_params *p, const char *name, struct sim_tags *ret, struct sim_fail *f);

/** sim_params_unused() - the first one no getter asked for; NULL if none. */
const char *sim_params_unused(const struct sim_params *p);
/** sim_params_hash() - of everything but Action, Version, DryRun; equal for equal requests. @ret_hex: 65
 * bytes. */
int sim_params_hash(const struct sim_params *p, char *ret_hex);
