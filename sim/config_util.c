/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for reading the configuration strictly. */
#include "sim/config_util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cidrs.h"
#include "sim/ops.h"

int sim_cfg_keys(const struct vw_json *obj, const char *keys, const char *where, struct vw_err *err)
{
	const struct vw_json *value;
	void *iter = NULL;
	const char *key;

	if (vw_json_type(obj) != VW_JSON_OBJECT)
		return vw_err_set(err, EINVAL, 0, "%s must be an object", where);
	while ((key = vw_json_each(obj, &iter, &value))) {
		const char *p = keys;
		size_t n = strlen(key);

		for (; *p; p += strcspn(p, " "), p += *p == ' ')
			if (strncasecmp(p, key, n) == 0 && (p[n] == ' ' || !p[n]))
				break;
		if (!*p)
			return vw_err_set(err, EINVAL, 0, "%s has an unknown key '%s'; known are: %s", where,
					  key, keys);
	}
	return 0;
}

int sim_cfg_text(const struct vw_json *obj, const char *key, char *to, size_t size, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(obj, key, &s, err);

	if (r <= 0)
		return r;
	if (vw_fmt(to, size, "%s", s) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is longer than %zu characters", key, size - 1);
	return 1;
}

int sim_cfg_uint(const struct vw_json *obj, const char *key, unsigned int max, unsigned int *ret,
		 struct vw_err *err)
{
	int64_t v = 0;
	int r = vw_json_get_int(obj, key, 0, max, &v, err);

	if (r == 1)
		*ret = (unsigned int)v;
	return r;
}

int sim_cfg_ip(const struct vw_json *obj, const char *key, struct vw_ip *ret, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(obj, key, &s, err);

	if (r <= 0)
		return r;
	if (vw_ip_parse(s, ret) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s': '%s' is not an address", key, s);
	return 1;
}

static int parse_cidr(const char *key, const char *s, int family, struct vw_cidr *ret, struct vw_err *err)
{
	if (!s || vw_cidr_parse(s, ret) < 0 || ret->ip.family != family || !vw_cidr_is_masked(ret))
		return vw_err_set(err, EINVAL, 0,
				  "'%s': '%s' is not an IPv%c network (address/length, no host bits)", key,
				  s ? s : "(no text)", family == AF_INET6 ? '6' : '4');
	return 1;
}

int sim_cfg_cidr(const struct vw_json *obj, const char *key, int family, struct vw_cidr *ret,
		 struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(obj, key, &s, err);

	return r <= 0 ? r : parse_cidr(key, s, family, ret, err);
}

int sim_cfg_cidrs(const struct vw_json *obj, const char *key, int family, struct sim_cidrs *ret,
		  struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	int r = vw_json_get_arr(obj, key, &arr, err);
	struct vw_cidr c;
	size_t i;

	for (i = 0; r > 0 && i < vw_json_len(arr); i++) {
		r = parse_cidr(key, vw_json_string(vw_json_at(arr, i)), family, &c, err);
		if (r > 0 && sim_cidrs_add(ret, &c) < 0)
			return vw_err_sys(err, ENOMEM, 0, "reading '%s'", key);
	}
	return r;
}

int sim_cfg_tags(const struct vw_json *obj, struct sim_tags *ret, struct vw_err *err)
{
	const struct vw_json *tags = NULL, *value;
	int r = vw_json_get_obj(obj, "tags", &tags, err);
	void *iter = NULL;
	const char *key;

	if (r <= 0)
		return r;
	while ((key = vw_json_each(tags, &iter, &value)))
		if (!vw_json_string(value) || sim_tags_set(ret, key, vw_json_string(value)) < 0)
			return vw_err_set(err, EINVAL, 0, "tag '%s' must be a short text", key);
	return 1;
}

int sim_cfg_each(const struct vw_json *obj, const char *key, sim_cfg_fn *fn, void *arg, struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	int r = vw_json_get_arr(obj, key, &arr, err);
	char where[64];
	size_t i;

	for (i = 0; r >= 0 && i < vw_json_len(arr); i++) {
		snprintf(where, sizeof(where), "%s[%zu]", key, i);
		r = fn(arg, vw_json_at(arr, i), where, err);
		if (r < 0)
			return vw_err_wrap(err, "%s", where);
	}
	return r < 0 ? r : 0;
}

int sim_cfg_id(struct sim_world *w, const struct vw_json *obj, const char *prefix, char ret_id[SIM_ID_LEN],
	       struct vw_err *err)
{
	size_t n = strlen(prefix);
	int r = sim_cfg_text(obj, "id", ret_id, SIM_ID_LEN, err);

	if (r < 0)
		return r;
	if (r == 0) {
		sim_make_id(w, prefix, ret_id);
		return 0;
	}
	if (strncmp(ret_id, prefix, n) != 0 || ret_id[n] != '-' || !ret_id[n + 1] ||
	    ret_id[n + 1 + strspn(ret_id + n + 1, "0123456789abcdef")])
		return vw_err_set(err, EINVAL, 0, "id '%s' must be \"%s-\" and hex digits", ret_id, prefix);
	return 0;
}
