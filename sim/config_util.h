/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sim/model.h"

struct vw_err;
struct vw_json;

/* Helpers of config*.c: typed members with ranges, unknown keys refused. Return: 1 = found, 0 = absent,
 * -EINVAL. */

/** sim_cfg_keys() - every key of @obj is one of the blank-separated @keys. @where: "subnets[1]". */
int sim_cfg_keys(const struct vw_json *obj, const char *keys, const char *where, struct vw_err *err);
int sim_cfg_text(const struct vw_json *obj, const char *key, char *to, size_t size, struct vw_err *err);
int sim_cfg_uint(const struct vw_json *obj, const char *key, unsigned int max, unsigned int *ret,
		 struct vw_err *err);
int sim_cfg_ip(const struct vw_json *obj, const char *key, struct vw_ip *ret, struct vw_err *err);
/** sim_cfg_cidr() - a network of @family without host bits. */
int sim_cfg_cidr(const struct vw_json *obj, const char *key, int family, struct vw_cidr *ret,
		 struct vw_err *err);
/** sim_cfg_cidrs() - a list of such. */
int sim_cfg_cidrs(const struct vw_json *obj, const char *key, int family, struct sim_cidrs *ret,
		  struct vw_err *err);
int sim_cfg_tags(const struct vw_json *obj, struct sim_tags *ret, struct vw_err *err);

typedef int sim_cfg_fn(void *arg, const struct vw_json *item, const char *where, struct vw_err *err);
/** sim_cfg_each() - call @fn for every element of the array @key. */
int sim_cfg_each(const struct vw_json *obj, const char *key, sim_cfg_fn *fn, void *arg, struct vw_err *err);

/** sim_cfg_id() - the member "id" checked, or a made-up one. */
int sim_cfg_id(struct sim_world *w, const struct vw_json *obj, const char *prefix, char ret_id[SIM_ID_LEN],
	       struct vw_err *err);
