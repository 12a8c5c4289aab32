/* SPDX-License-Identifier: Apache-2.0 */
/* Query parameters: form decoding, typed access, and the record of what was never asked for. */
#include "sim/params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/cidrs.h"
#include "sim/fail.h"
#include "sim/ops.h"

static int hexval(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; '+' is a blank in forms. NUL and broken escapes are refused. */
static int decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		int hi, lo;

		if (*s == '+') {
			*to++ = ' ';
			continue;
		}
		if (*s != '%') {
			*to++ = *s;
			continue;
		}
		hi = hexval(s[1]);
		lo = hi < 0 ? -1 : hexval(s[2]);
		if (lo < 0 || (hi == 0 && lo == 0))
			return -EINVAL;
		*to++ = (char)(hi << 4 | lo);
		s += 2;
	}
	*to = '\0';
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sim_param *)a)->name, ((const struct sim_param *)b)->name);
}

static int split(struct sim_params *p)
{
	char *rest = p->text, *pair;

	while ((pair = strsep(&rest, "&"))) {
		char *value = pair, *name = strsep(&value, "=");

		if (!*name && !value)
			continue;
		if (p->n == SIM_MAX_PARAMS)
			return -E2BIG;
		if (!value)
			value = name + strlen(name);
		if (decode(name) < 0 || decode(value) < 0)
			return -EINVAL;
		p->v[p->n++] = (struct sim_param){ name, value, false };
	}
	return 0;
}

int sim_params_parse(const char *body, size_t len, struct sim_params *ret_params, struct sim_fail *f)
{
	struct sim_params p = { 0 };
	size_t i;

	if (memchr(body, '\0', len))
		return sim_fail(f, "MalformedQueryString", "The query string contains a NUL byte");
	p.text = strndup(body, len);
	p.v = calloc(SIM_MAX_PARAMS, sizeof(*p.v));
	if (!p.text || !p.v) {
		sim_params_done(&p);
		return sim_fail_nomem(f);
	}
	if (split(&p) < 0) {
		sim_params_done(&p);
		return sim_fail(f, "MalformedQueryString",
				"The query string contains a syntax error or too many parameters");
	}
	qsort(p.v, p.n, sizeof(*p.v), by_name);
	for (i = 1; i < p.n; i++) {
		if (strcmp(p.v[i - 1].name, p.v[i].name) == 0) {
			sim_fail(f, "MalformedQueryString", "The parameter '%s' is there twice", p.v[i].name);
			sim_params_done(&p);
			return -EPROTO;
		}
	}
	*ret_params = p;
	return 0;
}

void sim_params_done(struct sim_params *p)
{
	free(p->v);
	free(p->text);
	*p = (struct sim_params){ 0 };
}

const char *sim_param(const struct sim_params *p, const char *name)
{
	char *key = (char *)(uintptr_t)name;
	struct sim_param want = { .name = key }, *hit = bsearch(&want, p->v, p->n, sizeof(*p->v), by_name);

	if (!hit)
		return NULL;
	hit->used = true;
	return hit->value;
}

/* "SubnetId" -> "subnetId": EC2 names parameters that way in its messages. */
static const char *lower_first(const char *name, char buf[96])
{
	snprintf(buf, 96, "%s", name);
	if (buf[0] >= 'A' && buf[0] <= 'Z')
		buf[0] = (char)(buf[0] - 'A' + 'a');
	return buf;
}

int sim_param_need(const struct sim_params *p, const char *name, const char **ret, struct sim_fail *f)
{
	const char *v = sim_param(p, name);
	char buf[96];

	if (!v || !*v)
		return sim_fail(f, "MissingParameter", "The request must contain the parameter %s",
				lower_first(name, buf));
	*ret = v;
	return 0;
}

int sim_param_uint(const struct sim_params *p, const char *name, uint64_t min, uint64_t max,
		   unsigned int *ret, struct sim_fail *f)
{
	const char *v = sim_param(p, name);
	char buf[96];
	uint64_t n;

	if (!v)
		return 0;
	if (vw_parse_u64(v, min, max, &n) < 0)
		return sim_fail(f, "InvalidParameterValue",
				"Value (%s) for parameter %s is invalid. Expecting a value "
				"between %llu and %llu.",
				v, lower_first(name, buf), (unsigned long long)min, (unsigned long long)max);
	*ret = (unsigned int)n;
	return 1;
}

int sim_param_bool(const struct sim_params *p, const char *name, bool *ret, struct sim_fail *f)
{
	const char *v = sim_param(p, name);
	char buf[96];

	if (!v)
		return 0;
	if (vw_parse_bool(v, ret) < 0)
		return sim_fail(f, "InvalidParameterValue",
				"Value (%s) for parameter %s is invalid. Expecting a boolean.", v,
				lower_first(name, buf));
	return 1;
}

bool sim_param_has(const struct sim_params *p, const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < p->n; i++)
		if (strncmp(p->v[i].name, name, len) == 0 && p->v[i].name[len] == '.')
			return true;
	return false;
}

struct entry {
	uint64_t n;
	const char *value;
};

static int by_n(const void *a, const void *b)
{
	uint64_t x = ((const struct entry *)a)->n, y = ((const struct entry *)b)->n;

	return x < y ? -1 : x > y;
}

/* "<name>.<N>[.<member>]" -> N. */
static int index_of(const char *text, const char *name, const char *member, uint64_t *ret_n)
{
	size_t len = strlen(name), digits;
	char num[12];

	if (strncmp(text, name, len) != 0 || text[len] != '.')
		return -ENOENT;
	text += len + 1;
	digits = strspn(text, "0123456789");
	if (!digits || digits >= sizeof(num))
		return -ENOENT;
	memcpy(num, text, digits);
	num[digits] = '\0';
	text += digits;
	if (member ? text[0] != '.' || strcmp(text + 1, member) != 0 : text[0] != '\0')
		return -ENOENT;
	return vw_parse_u64(num, 0, UINT32_MAX, ret_n);
}

int sim_param_list(const struct sim_params *p, const char *name, const char *member, size_t max,
		   const char **ret, struct sim_fail *f)
{
	vw_auto_free struct entry *e = calloc(max + 1, sizeof(*e));
	size_t i, n = 0;
	uint64_t k;

	if (!e)
		return sim_fail_nomem(f);
	for (i = 0; i < p->n; i++) {
		if (index_of(p->v[i].name, name, member, &k) < 0)
			continue;
		if (n == max)
			return sim_fail(f, "InvalidParameterValue", "The list %s has more than %zu entries",
					name, max);
		p->v[i].used = true;
		e[n++] = (struct entry){ k, p->v[i].value };
	}
	qsort(e, n, sizeof(*e), by_n);
	for (i = 0; i < n; i++)
		ret[i] = e[i].value;
	return (int)n;
}

static int parse_one(const char *text, int family, unsigned int prefix_len, struct vw_cidr *ret_cidr)
{
	struct vw_ip ip;

	if (prefix_len) {
		if (!strchr(text, '/') || vw_cidr_parse(text, ret_cidr) < 0 || ret_cidr->len != prefix_len ||
		    !vw_cidr_is_masked(ret_cidr))
			return -EINVAL;
		return ret_cidr->ip.family == family ? 0 : -EINVAL;
	}
	if (vw_ip_parse(text, &ip) < 0 || ip.family != family)
		return -EINVAL;
	*ret_cidr = vw_cidr_host(&ip);
	return 0;
}

int sim_param_cidrs(const struct sim_params *p, const char *name, const char *member, int family,
		    unsigned int prefix_len, struct sim_cidrs *ret, struct sim_fail *f)
{
	const char *text[SIM_MAX_LIST];
	int i, n = sim_param_list(p, name, member, SIM_MAX_LIST, text, f);
	struct vw_cidr c;

	for (i = 0; i < n; i++) {
		if (parse_one(text[i], family, prefix_len, &c) < 0) {
			if (prefix_len)
				return sim_fail(f, "InvalidParameterValue",
						"Value (%s) for parameter %s is invalid. "
						"Expecting a /%u prefix.",
						text[i], name, prefix_len);
			return sim_fail(f, "InvalidParameterValue",
					"Value (%s) for parameter %s is invalid. Expecting "
					"an IPv%c address.",
					text[i], name, family == AF_INET6 ? '6' : '4');
		}
		if (sim_cidrs_has(ret, &c))
			return sim_fail(f, "InvalidParameterValue", "The address or prefix %s is there twice",
					text[i]);
		if (sim_cidrs_add(ret, &c) < 0)
			return sim_fail_nomem(f);
	}
	return n;
}

int sim_param_tags(const struct sim_params *p, const char *name, struct sim_tags *ret, struct sim_fail *f)
{
	const char *keys[SIM_MAX_LIST];
	char value_name[128];
	uint64_t k;
	size_t i;
	int n = 0, r;

	/* keys and values pair up by their number, which may have gaps, so walk the keys by number */
	r = sim_param_list(p, name, "Key", SIM_MAX_LIST, keys, f);
	if (r < 0)
		return r;
	for (i = 0; i < p->n; i++) {
		const char *value;

		if (index_of(p->v[i].name, name, "Key", &k) < 0)
			continue;
		if (vw_fmt(value_name, sizeof(value_name), "%s.%llu.Value", name, (unsigned long long)k) < 0)
			return sim_fail_nomem(f);
		value = sim_param(p, value_name);
		r = sim_tags_set(ret, p->v[i].value, value ? value : "");
		if (r == -ENAMETOOLONG)
			return sim_fail(f, "InvalidParameterValue",
					"Tag key '%s' or its value exceeds the maximum length",
					p->v[i].value);
		if (r < 0)
			return sim_fail_nomem(f);
		n++;
	}
	return n;
}

const char *sim_params_unused(const struct sim_params *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (!p->v[i].used)
			return p->v[i].name;
	return NULL;
}

int sim_params_hash(const struct sim_params *p, char *ret_hex)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	size_t i;

	for (i = 0; i < p->n; i++) {
		const char *name = p->v[i].name;

		if (strcmp(name, "Action") == 0 || strcmp(name, "Version") == 0 ||
		    strcmp(name, "DryRun") == 0)
			continue;
		vw_buf_url(&b, name);
		vw_buf_putc(&b, '=');
		vw_buf_url(&b, p->v[i].value);
		vw_buf_putc(&b, '&');
	}
	if (vw_buf_err(&b) < 0)
		return vw_buf_err(&b);
	vw_sha256_hex(vw_buf_str(&b), b.len, ret_hex);
	return 0;
}
