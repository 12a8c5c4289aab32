/*
 * What all readers of objects share: memory, messages that say where, typed members, and the parts of
 * policies that several kinds have. The limits on texts are the API server's
 * (k8s.io/apimachinery/pkg/util/validation).
 */
#include "netpolicy-bpf/user/np_read.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- memory */

#define CHUNK_MIN 256
#define ALIGN     16

void *np_mem_alloc(struct np_mem *m, size_t n, size_t size)
{
	struct np_mem_chunk *c = m->chunk;
	size_t bytes, want;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > (size_t)1 << 40)
		return NULL;
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!c || c->size - c->used < bytes) {
		want = c ? 2 * c->size : CHUNK_MIN;
		if (want < bytes)
			want = bytes;
		c = calloc(1, sizeof(*c) + ALIGN + want);
		if (!c)
			return NULL;
		c->size = want + ALIGN;
		c->used = (ALIGN - (uintptr_t)c->data % ALIGN) % ALIGN;
		c->next = m->chunk;
		m->chunk = c;
	}
	p = c->data + c->used;
	c->used += bytes;
	return p;
}

void np_mem_done(struct np_mem *m, struct np_names *names)
{
	for (size_t i = 0; i < m->n_held; i++) {
		switch (m->held[i].type) {
		case NP_HELD_STR:
			np_str_put(names, m->held[i].p);
			break;
		case NP_HELD_LABEL:
			np_label_put(names, m->held[i].p);
			break;
		case NP_HELD_SPACE:
			np_space_put(names, m->held[i].p);
			break;
		case NP_HELD_SHAPE:
			np_shape_put(names, m->held[i].p);
			break;
		}
	}
	free(m->held);
	for (struct np_mem_chunk *c = m->chunk, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*m = (struct np_mem){0};
}

/* Room for one more count to hold: before it is taken, so that it cannot be lost. */
static bool can_hold(struct np_mem *m)
{
	size_t cap = m->cap_held ? 2 * m->cap_held : 8;
	struct np_held *grown;

	if (m->n_held < m->cap_held)
		return true;
	grown = reallocarray(m->held, cap, sizeof(*grown));
	if (!grown)
		return false;
	m->held = grown;
	m->cap_held = cap;
	return true;
}

static void hold(struct np_mem *m, int type, const void *p)
{
	if (p)
		m->held[m->n_held++] = (struct np_held){type, p};
}

const struct np_str *np_keep_str(struct np_reader *r, const char *text)
{
	const struct np_str *s = can_hold(r->mem) ? np_str_get(r->names, text, strlen(text)) : NULL;

	hold(r->mem, NP_HELD_STR, s);
	return s;
}

const struct np_label *np_keep_label(struct np_reader *r, const char *key, const char *value)
{
	const struct np_label *l = can_hold(r->mem) ? np_label_get(r->names, key, value) : NULL;

	hold(r->mem, NP_HELD_LABEL, l);
	return l;
}

struct np_space *np_keep_space(struct np_reader *r, const char *name)
{
	struct np_space *s = can_hold(r->mem) ? np_space_get(r->names, name) : NULL;

	hold(r->mem, NP_HELD_SPACE, s);
	return s;
}

const struct np_shape *np_keep_shape(struct np_reader *r, struct np_space *space,
				     const struct np_label **label, unsigned int n_label,
				     const struct np_named_port *port, unsigned int n_port)
{
	const struct np_shape *s =
		can_hold(r->mem) ? np_shape_get(r->names, space, label, n_label, port, n_port) : NULL;

	hold(r->mem, NP_HELD_SHAPE, s);
	return s;
}

/* --- messages */

static void put_path(char *path, size_t size, const struct np_at *at, const char *key)
{
	const struct np_at *chain[32];
	size_t n = 0, len = 0;

	for (; at && n < sizeof(chain) / sizeof(chain[0]); at = at->up)
		chain[n++] = at;
	path[0] = 0;
	while (n) {
		at = chain[--n];
		len = strlen(path);
		if (at->index < 0)
			snprintf(path + len, size - len, "%s%s", len ? "." : "", at->key);
		else
			snprintf(path + len, size - len, "%s%s[%ld]", len ? "." : "", at->key, at->index);
	}
	len = strlen(path);
	if (key)
		snprintf(path + len, size - len, "%s%s", len ? "." : "", key);
}

int np_bad(struct np_reader *r, const struct np_at *at, const char *key, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	put_path(r->path, sizeof(r->path), at, key);
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return vw_err_set(r->err, EINVAL, VW_CNI_INVALID_CONFIG, "%s", why);
}

void np_warn(struct np_reader *r, const struct np_at *at, const char *key, const char *fmt, ...)
{
	char path[256], why[256];
	va_list ap;

	if (!r->warn)
		return;
	put_path(path, sizeof(path), at, key);
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	r->warn(r->arg, r->obj, path, why);
}

int np_no_memory(struct np_reader *r)
{
	r->path[0] = 0;
	return vw_err_set(r->err, ENOMEM, 0, "no memory");
}

/* --- members */

static const char *what_is(const struct vw_json *v, char *buf, size_t size)
{
	switch (vw_json_type(v)) {
	case VW_JSON_STRING:
		snprintf(buf, size, "the text \"%.64s\"", vw_json_string(v));
		return buf;
	case VW_JSON_INT:
	case VW_JSON_REAL:
		return "a number";
	case VW_JSON_BOOL:
		return "true or false";
	case VW_JSON_ARRAY:
		return "a list";
	case VW_JSON_OBJECT:
		return "an object";
	case VW_JSON_NULL:
		break;
	}
	return "nothing";
}

static int get_type(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		    enum vw_json_type type, const char *wanted, const struct vw_json **ret)
{
	const struct vw_json *v = vw_json_get(obj, key);
	char buf[96];

	if (vw_json_is_null(v))
		return 0;
	if (vw_json_type(v) != type)
		return np_bad(r, at, key, "is %s, wanted %s%s", what_is(v, buf, sizeof(buf)), wanted,
			      type == VW_JSON_STRING ? " (in YAML: quote it)" : "");
	*ret = v;
	return 1;
}

int np_get_obj(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
	       const struct vw_json **ret)
{
	*ret = NULL;
	return get_type(r, at, obj, key, VW_JSON_OBJECT, "an object", ret);
}

int np_get_list(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		const struct vw_json **ret)
{
	*ret = NULL;
	return get_type(r, at, obj, key, VW_JSON_ARRAY, "a list", ret);
}

int np_get_text(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		const char **ret)
{
	const struct vw_json *v = NULL;
	int found = get_type(r, at, obj, key, VW_JSON_STRING, "a text", &v);

	if (found > 0)
		*ret = vw_json_string(v);
	return found;
}

int np_get_bool(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		bool *ret)
{
	const struct vw_json *v = NULL;
	int found = get_type(r, at, obj, key, VW_JSON_BOOL, "true or false", &v);

	return found > 0 ? vw_json_get_bool(obj, key, ret, r->err) : found;
}

int np_get_int(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
	       int64_t min, int64_t max, int64_t *ret)
{
	const struct vw_json *v = NULL;
	int found = get_type(r, at, obj, key, VW_JSON_INT, "a whole number", &v);
	int64_t n;

	if (found <= 0)
		return found;
	if (vw_json_get_int(obj, key, INT64_MIN, INT64_MAX, &n, r->err) < 0)
		return np_bad(r, at, key, "is no whole number");
	if (n < min || n > max)
		return np_bad(r, at, key, "is %lld, wanted %lld to %lld", (long long)n, (long long)min,
			      (long long)max);
	*ret = n;
	return 1;
}

int np_only(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *const *keys)
{
	const struct vw_json *value;
	const char *key;
	void *iter = NULL;

	while ((key = vw_json_each(obj, &iter, &value))) {
		size_t i = 0;

		while (keys[i] && strcmp(keys[i], key) != 0)
			i++;
		if (!keys[i])
			return np_bad(r, at, NULL, "unknown field \"%.64s\"", key);
	}
	return 0;
}

int np_item(struct np_reader *r, const struct np_at *at, const struct vw_json *list, size_t i,
	    const struct vw_json **ret)
{
	char buf[96];

	*ret = vw_json_at(list, i);
	if (vw_json_type(*ret) != VW_JSON_OBJECT)
		return np_bad(r, at, NULL, "is %s, wanted an object", what_is(*ret, buf, sizeof(buf)));
	return 0;
}

/* --- texts with rules of their own */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* IsQualifiedName's name part and IsValidLabelValue: up to 63 of [-._A-Za-z0-9], alphanumeric at both
 * ends. */
static bool is_label_text(const char *s, size_t len)
{
	if (len == 0 || len > 63 || !is_alnum(s[0]) || !is_alnum(s[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(s[i]) && !strchr("-._", s[i]))
			return false;
	return true;
}

static bool is_dns_subdomain(const char *s, size_t len)
{
	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool edge = i == 0 || i + 1 == len || s[i - 1] == '.' || s[i + 1] == '.';

		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
		      (!edge && s[i] == '-') || (s[i] == '.' && i != 0 && i + 1 != len && s[i - 1] != '.')))
			return false;
	}
	return true;
}

bool np_is_dns_name(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len <= max && is_dns_subdomain(text, len);
}

int np_check_label(struct np_reader *r, const struct np_at *at, const char *key, const char *label_key,
		   const char *label_value)
{
	const char *slash = strchr(label_key, '/'), *name = slash ? slash + 1 : label_key;

	if (!is_label_text(name, strlen(name)) ||
	    (slash && !is_dns_subdomain(label_key, (size_t)(slash - label_key))))
		return np_bad(r, at, key, "\"%.64s\" is no label key", label_key);
	if (*label_value && !is_label_text(label_value, strlen(label_value)))
		return np_bad(r, at, key, "\"%.64s\" is no label value", label_value);
	return 0;
}

/* IsValidPortName: 1 to 15 of [-a-z0-9], a letter among them, no '-' at an end or twice in a row. */
int np_check_port_name(struct np_reader *r, const struct np_at *at, const char *key, const char *name)
{
	size_t len = strlen(name);
	bool letter = false, good = len >= 1 && len <= 15 && name[0] != '-' && name[len - 1] != '-';

	for (size_t i = 0; good && i < len; i++) {
		letter = letter || (name[i] >= 'a' && name[i] <= 'z');
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
		       (name[i] == '-' && name[i + 1] != '-');
	}
	if (good && letter)
		return 0;
	return np_bad(r, at, key,
		      "\"%.64s\" is no port name (at most 15 of a-z, 0-9 and '-', with a letter)%s", name,
		      len && strspn(name, "0123456789") == len ? "; a number must not be quoted" : "");
}

int np_read_cidr(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
		 struct vw_cidr *ret)
{
	struct vw_cidr c;

	if (!strchr(text, '/') || vw_cidr_parse(text, &c) < 0)
		return np_bad(r, at, key, "\"%.64s\" is not a CIDR", text);
	*ret = vw_cidr_masked(&c); /* host bits are legal and mean nothing */
	return 0;
}

int np_read_proto(struct np_reader *r, const struct np_at *at, const struct vw_json *json, uint8_t *ret)
{
	const char *name = "TCP";
	int found = np_get_text(r, at, json, "protocol", &name);

	if (found < 0)
		return found;
	if (!strcmp(name, "TCP"))
		*ret = NP_PORT_TCP;
	else if (!strcmp(name, "UDP"))
		*ret = NP_PORT_UDP;
	else if (!strcmp(name, "SCTP"))
		*ret = NP_PORT_SCTP;
	else
		return np_bad(r, at, "protocol", "is \"%.64s\", wanted TCP, UDP or SCTP", name);
	return 0;
}

/* ^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$, and
 * what DNS can carry */
static bool is_domain(const char *s, size_t len)
{
	size_t labels = 0, start = 0;

	if (len > 2 && s[0] == '*' && s[1] == '.')
		start = 2;
	if (len - start > 253)
		return false;
	for (size_t i = start; i <= len; i++) {
		if (i < len && s[i] != '.') {
			if (!is_alnum(s[i]) && !strchr("-_", s[i]))
				return false;
			continue;
		}
		if (i == start || i - start > 63 || !is_alnum(s[start]) || !is_alnum(s[i - 1]))
			return false;
		labels++;
		start = i + 1;
	}
	return labels >= 2;
}

static unsigned int count_labels(const char *s, size_t len)
{
	unsigned int n = 1;

	for (size_t i = 0; i < len; i++)
		n += s[i] == '.';
	return n;
}

int np_read_domain_text(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
			const struct np_str **ret)
{
	size_t len = strlen(text);
	char lower[256 + 2];

	if (len && text[len - 1] == '.')
		len--;
	if (text[0] == '*' && count_labels(text, len) - 1 > NP_DNS_LABELS)
		return np_bad(r, at, key, "\"%.64s\" has more than %d labels behind \"*.\"", text,
			      NP_DNS_LABELS);
	if (len >= sizeof(lower) || !is_domain(text, len))
		return np_bad(r, at, key,
			      "\"%.64s\" is no domain name (\"www.example.com\" or \"*.example.com\")", text);
	for (size_t k = 0; k < len; k++)
		lower[k] = text[k] >= 'A' && text[k] <= 'Z' ? (char)(text[k] - 'A' + 'a') : text[k];
	lower[len] = 0;
	*ret = np_keep_str(r, lower);
	return *ret ? 0 : np_no_memory(r);
}

int np_read_domain(struct np_reader *r, const struct np_at *at, const struct vw_json *list, size_t i,
		   const struct np_str **ret)
{
	const char *text = vw_json_string(vw_json_at(list, i));

	return text ? np_read_domain_text(r, at, NULL, text, ret) : np_bad(r, at, NULL, "is no text");
}

/* --- parts of objects */

static int by_key(const void *a, const void *b)
{
	const struct np_label *const *x = a, *const *y = b;

	return strcmp((*x)->key->s, (*y)->key->s);
}

int np_read_labels(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		   struct np_labels *ret)
{
	const struct vw_json *map, *value;
	const struct np_at here = {at, key, -1};
	const char *name;
	void *iter = NULL;
	int found = np_get_obj(r, at, obj, key, &map);
	char buf[96];

	if (found <= 0)
		return found;
	ret->v = np_mem_alloc(r->mem, vw_json_len(map), sizeof(*ret->v));
	if (!ret->v)
		return np_no_memory(r);
	while ((name = vw_json_each(map, &iter, &value))) {
		if (!vw_json_is_null(value) && vw_json_type(value) != VW_JSON_STRING)
			return np_bad(r, &here, name, "is %s, wanted a text (in YAML: quote it)",
				      what_is(value, buf, sizeof(buf)));
		ret->v[ret->n] = np_keep_label(r, name, vw_json_is_null(value) ? "" : vw_json_string(value));
		if (!ret->v[ret->n++])
			return np_no_memory(r);
	}
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_key);
	return 1;
}

static int read_op(struct np_reader *r, const struct np_at *at, const struct vw_json *json, size_t n_values,
		   enum np_op *ret)
{
	static const char *const names[] = {[NP_OP_IN] = "In",
					    [NP_OP_NOT_IN] = "NotIn",
					    [NP_OP_EXISTS] = "Exists",
					    [NP_OP_ABSENT] = "DoesNotExist"};
	const char *op = "";
	int found = np_get_text(r, at, json, "operator", &op);

	if (found < 0)
		return found;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], op) != 0)
			continue;
		*ret = (enum np_op)i;
		if ((*ret == NP_OP_IN || *ret == NP_OP_NOT_IN) && !n_values)
			return np_bad(r, at, "values", "%s needs at least one", op);
		if ((*ret == NP_OP_EXISTS || *ret == NP_OP_ABSENT) && n_values)
			return np_bad(r, at, "values", "%s takes none", op);
		return 0;
	}
	return np_bad(r, at, "operator", "is \"%.64s\", wanted In, NotIn, Exists or DoesNotExist", op);
}

static int read_expression(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			   struct np_req *ret)
{
	static const char *const known[] = {"key", "operator", "values", NULL};
	const struct vw_json *values;
	const char *key = "";
	int bad = np_only(r, at, json, known);

	bad = bad < 0 ? bad : np_get_text(r, at, json, "key", &key);
	bad = bad < 0 ? bad : np_get_list(r, at, json, "values", &values);
	bad = bad < 0 ? bad : np_check_label(r, at, "key", key, "");
	bad = bad < 0 ? bad : read_op(r, at, json, vw_json_len(values), &ret->op);
	if (bad < 0)
		return bad;
	ret->key = np_keep_str(r, key);
	ret->label = np_mem_alloc(r->mem, vw_json_len(values), sizeof(*ret->label));
	if (!ret->key || !ret->label)
		return np_no_memory(r);
	for (size_t i = 0; i < vw_json_len(values); i++) {
		const struct np_at here = {at, "values", (long)i};
		const char *value = vw_json_string(vw_json_at(values, i));

		if (!value)
			return np_bad(r, &here, NULL, "is no text (in YAML: quote it)");
		bad = np_check_label(r, &here, NULL, key, value);
		if (bad < 0)
			return bad;
		ret->label[ret->n_label] = np_keep_label(r, key, value);
		if (!ret->label[ret->n_label++])
			return np_no_memory(r);
	}
	return 0;
}

static int read_match_labels(struct np_reader *r, const struct np_at *at, const struct np_labels *labels,
			     struct np_selector *ret)
{
	for (unsigned int i = 0; i < labels->n; i++) {
		struct np_req *q = &ret->req[ret->n++];
		int bad = np_check_label(r, at, NULL, labels->v[i]->key->s, labels->v[i]->value->s);

		if (bad < 0)
			return bad;
		*q = (struct np_req){NP_OP_IN, labels->v[i]->key, &labels->v[i], 1};
	}
	return 0;
}

int np_read_selector(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_selector *ret)
{
	static const char *const known[] = {"matchLabels", "matchExpressions", NULL};
	const struct np_at map = {at, "matchLabels", -1};
	struct np_labels labels = {0};
	const struct vw_json *list, *item;
	int bad = np_only(r, at, json, known);

	bad = bad < 0 ? bad : np_read_labels(r, at, json, "matchLabels", &labels);
	bad = bad < 0 ? bad : np_get_list(r, at, json, "matchExpressions", &list);
	if (bad < 0)
		return bad;
	ret->req = np_mem_alloc(r->mem, labels.n + vw_json_len(list), sizeof(*ret->req));
	if (!ret->req)
		return np_no_memory(r);
	bad = read_match_labels(r, &map, &labels, ret);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "matchExpressions", (long)i};

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_expression(r, &here, item, &ret->req[ret->n++]);
	}
	return bad < 0 ? bad : 0;
}

static int by_address(const void *a, const void *b)
{
	const struct vw_cidr *x = a, *y = b;
	int d = vw_ip_cmp(&x->ip, &y->ip);

	return d ? d : x->len - y->len;
}

/* Keep only excepts that no other of the block covers: each then takes its addresses away once. */
static unsigned int drop_covered(struct vw_cidr *v, unsigned int n)
{
	unsigned int kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), by_address);
	for (unsigned int i = 0; i < n; i++)
		if (!kept || !vw_cidr_covers(&v[kept - 1], &v[i]))
			v[kept++] = v[i];
	return kept;
}

int np_read_ipblock(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		    struct np_peer_rule *ret)
{
	const struct vw_json *excepts;
	const char *text = "";
	int bad = np_get_text(r, at, json, "cidr", &text);

	bad = bad < 0 ? bad : np_read_cidr(r, at, "cidr", text, &ret->cidr);
	bad = bad < 0 ? bad : np_get_list(r, at, json, "except", &excepts);
	if (bad < 0)
		return bad;
	ret->type = NP_PEER_CIDR;
	if (vw_json_len(excepts) > NP_CIDRS)
		return np_bad(r, at, "except", "has more than %u entries", NP_CIDRS);
	ret->except = np_mem_alloc(r->mem, vw_json_len(excepts), sizeof(*ret->except));
	if (!ret->except)
		return np_no_memory(r);
	for (size_t i = 0; i < vw_json_len(excepts); i++) {
		const struct np_at here = {at, "except", (long)i};
		struct vw_cidr *e = &ret->except[ret->n_except++];

		text = vw_json_string(vw_json_at(excepts, i));
		bad = np_read_cidr(r, &here, NULL, text ? text : "", e);
		if (bad < 0)
			return bad;
		if (!vw_cidr_covers(&ret->cidr, e) || e->len <= ret->cidr.len)
			return np_bad(r, &here, NULL, "\"%.64s\" is not within cidr, or not smaller", text);
	}
	ret->n_except = drop_covered(ret->except, ret->n_except);
	return 0;
}
