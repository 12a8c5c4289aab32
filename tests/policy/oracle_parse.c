/*
 * The oracle's reader, first half: memory, texts, selectors, and the objects that are not policies. What Kubernetes' API server
 * would have filled in or refused is filled in or refused here, because a manifest from a file never met one.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "tests/policy/oracle_model.h"

#include <string.h>

struct o_chunk {
	struct o_chunk *next;
	_Alignas(16) char data[];
};

void *o_alloc(struct oracle *o, size_t n, size_t size)
{
	struct o_chunk *c;

	if (size && n > SIZE_MAX / 2 / size)
		return NULL;
	c = calloc(1, sizeof(*c) + n * size + 1);
	if (!c)
		return NULL;
	c->next = o->chunks;
	o->chunks = c;
	return c->data;
}

static size_t text_hash(const char *s)
{
	uint64_t h = 14695981039346656037u;     /* FNV-1a */

	while (*s)
		h = (h ^ (unsigned char)*s++) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static int intern_grow(struct oracle *o)
{
	size_t cap = o->cap_interned ? 2 * o->cap_interned : 256;
	const char **table = calloc(cap, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < o->cap_interned; i++) {
		size_t at;

		if (!o->interned[i])
			continue;
		for (at = text_hash(o->interned[i]) & (cap - 1); table[at]; at = (at + 1) & (cap - 1))
			;
		table[at] = o->interned[i];
	}
	free(o->interned);
	o->interned = table;
	o->cap_interned = cap;
	return 0;
}

const char *o_intern(struct oracle *o, const char *text)
{
	size_t at, len = strlen(text);
	char *copy;

	if (2 * o->n_interned >= o->cap_interned && intern_grow(o) < 0)
		return NULL;
	for (at = text_hash(text) & (o->cap_interned - 1); o->interned[at]; at = (at + 1) & (o->cap_interned - 1)) {
		if (strcmp(o->interned[at], text) == 0)
			return o->interned[at];
	}
	copy = o_alloc(o, 1, len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	o->interned[at] = copy;
	o->n_interned++;
	return copy;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	while (o->chunks) {
		struct o_chunk *c = o->chunks;

		o->chunks = c->next;
		free(c);
	}
	free(o->interned);
	free(o);
}

int o_fail(struct o_reader *r, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return vw_err_set(r->err, EINVAL, 0, "%s: %s: %s", r->what, r->path, why);
}

size_t o_enter(struct o_reader *r, const char *key, long index)
{
	size_t mark = strlen(r->path);

	if (key)
		(void)snprintf(r->path + mark, sizeof(r->path) - mark, "%s%s", mark ? "." : "", key);
	else
		(void)snprintf(r->path + mark, sizeof(r->path) - mark, "[%ld]", index);
	return mark;
}

void o_leave(struct o_reader *r, size_t mark)
{
	r->path[mark] = 0;
}

int o_read_proto(struct o_reader *r, const char *text, uint8_t *ret)
{
	if (!text || strcmp(text, "TCP") == 0)
		*ret = IPPROTO_TCP;
	else if (strcmp(text, "UDP") == 0)
		*ret = IPPROTO_UDP;
	else if (strcmp(text, "SCTP") == 0)
		*ret = IPPROTO_SCTP;
	else
		return o_fail(r, "protocol '%s' is none of TCP, UDP, SCTP", text);
	return 0;
}

/** o_read_labels() - an object of texts; NULL = none. */
int o_read_labels(struct o_reader *r, const struct vw_json *obj, struct o_labels *ret)
{
	const struct vw_json *value;
	void *iter = NULL;
	const char *key;

	*ret = (struct o_labels){ 0 };
	if (vw_json_is_null(obj))
		return 0;
	if (vw_json_type(obj) != VW_JSON_OBJECT)
		return o_fail(r, "labels are not an object");
	ret->v = o_alloc(r->o, vw_json_len(obj) + 1, sizeof(*ret->v));          /* one more: a namespace's own name */
	if (!ret->v)
		return -ENOMEM;
	while ((key = vw_json_each(obj, &iter, &value))) {
		const char *text = vw_json_string(value);

		if (!text)
			return o_fail(r, "label '%s' is not a text", key);
		ret->v[ret->n++] = (struct o_label){ o_intern(r->o, key), o_intern(r->o, text) };
	}
	return 0;
}

static int read_req(struct o_reader *r, const struct vw_json *e, struct o_req *ret)
{
	static const char *const names[] = { "In", "NotIn", "Exists", "DoesNotExist" };
	const char *key = vw_json_string(vw_json_get(e, "key")), *op = vw_json_string(vw_json_get(e, "operator"));
	const struct vw_json *values = vw_json_get(e, "values");
	size_t i;

	if (!key || !*key)
		return o_fail(r, "no key");
	for (i = 0; i < VW_ARRAY_SIZE(names) && (!op || strcmp(op, names[i]) != 0); i++)
		;
	if (i == VW_ARRAY_SIZE(names))
		return o_fail(r, "operator '%s' is none of In, NotIn, Exists, DoesNotExist", op ? op : "");
	ret->key = o_intern(r->o, key);
	ret->op = (enum o_op)i;
	if ((ret->op == O_IN || ret->op == O_NOT_IN) != (vw_json_len(values) > 0))
		return o_fail(r, "operator %s %s values", op, vw_json_len(values) ? "takes no" : "needs");
	ret->value = o_alloc(r->o, vw_json_len(values), sizeof(*ret->value));
	for (i = 0; i < vw_json_len(values); i++) {
		const char *text = vw_json_string(vw_json_at(values, i));

		if (!text)
			return o_fail(r, "values[%zu] is not a text", i);
		ret->value[ret->n_value++] = o_intern(r->o, text);
	}
	return 0;
}

int o_read_selector(struct o_reader *r, const struct vw_json *parent, const char *key, struct o_selector *ret)
{
	const struct vw_json *s = vw_json_get(parent, key), *labels, *exprs;
	size_t mark = o_enter(r, key, 0);
	struct o_labels l;

	*ret = (struct o_selector){ 0 };
	if (vw_json_is_null(s)) {
		o_leave(r, mark);
		return 0;
	}
	if (vw_json_type(s) != VW_JSON_OBJECT)
		return o_fail(r, "not an object");
	ret->given = true;
	labels = vw_json_get(s, "matchLabels");
	exprs = vw_json_get(s, "matchExpressions");
	if (o_read_labels(r, labels, &l) < 0)
		return -EINVAL;
	ret->req = o_alloc(r->o, l.n + vw_json_len(exprs), sizeof(*ret->req));
	for (size_t i = 0; i < l.n; i++) {
		struct o_req *q = &ret->req[ret->n_req++];

		*q = (struct o_req){ .key = l.v[i].key, .op = O_IN, .value = o_alloc(r->o, 1, sizeof(*q->value)), .n_value = 1 };
		q->value[0] = l.v[i].value;
	}
	for (size_t i = 0; i < vw_json_len(exprs); i++) {
		size_t inner = o_enter(r, "matchExpressions", 0), at = o_enter(r, NULL, (long)i);

		if (read_req(r, vw_json_at(exprs, i), &ret->req[ret->n_req]) < 0)
			return -EINVAL;
		ret->n_req++;
		o_leave(r, at);
		o_leave(r, inner);
	}
	o_leave(r, mark);
	return 0;
}

static int add_ip(struct o_reader *r, const char *text, struct vw_ip ip[O_IPS], size_t *n)
{
	if (!text)
		return 0;
	if (*n == O_IPS)
		return o_fail(r, "more than %d addresses", O_IPS);
	if (vw_ip_parse(text, &ip[*n]) < 0)
		return o_fail(r, "'%s' is not an address", text);
	for (size_t i = 0; i < *n; i++) {
		if (vw_ip_eq(&ip[i], &ip[*n]))
			return 0;
	}
	(*n)++;
	return 0;
}

static int read_container_ports(struct o_reader *r, const struct vw_json *list, bool init, struct o_pod *pod)
{
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const struct vw_json *c = vw_json_at(list, i), *ports = vw_json_get(c, "ports");
		const char *restart = vw_json_string(vw_json_get(c, "restartPolicy"));

		if (init && (!restart || strcmp(restart, "Always") != 0))
			continue;               /* only an init container that stays (a sidecar) serves anything */
		for (size_t k = 0; k < vw_json_len(ports); k++) {
			const struct vw_json *p = vw_json_at(ports, k);
			const char *name = vw_json_string(vw_json_get(p, "name"));
			struct o_pod_port *out;
			int64_t number = 0;

			if (vw_json_get_int(p, "containerPort", 1, 65535, &number, r->err) <= 0)
				return o_fail(r, "containerPort is not 1..65535");
			if (!name)
				continue;
			out = o_alloc(r->o, pod->n_port + 1, sizeof(*out));
			if (!out)
				return -ENOMEM;
			if (pod->n_port)
				memcpy(out, pod->port, pod->n_port * sizeof(*out));
			out[pod->n_port].name = o_intern(r->o, name);
			out[pod->n_port].port = (uint16_t)number;
			if (o_read_proto(r, vw_json_string(vw_json_get(p, "protocol")), &out[pod->n_port].proto) < 0)
				return -EINVAL;
			pod->port = out;
			pod->n_port++;
		}
	}
	return 0;
}

static int read_pod(struct o_reader *r, const struct vw_json *obj, const char *ns, const char *name, struct o_pod *ret)
{
	const struct vw_json *meta = vw_json_get(obj, "metadata"), *spec = vw_json_get(obj, "spec"), *status = vw_json_get(obj, "status");
	const struct vw_json *ips = vw_json_get(status, "podIPs");
	const char *phase = vw_json_string(vw_json_get(status, "phase")), *node = vw_json_string(vw_json_get(spec, "nodeName"));

	*ret = (struct o_pod){ .ns = o_intern(r->o, ns), .name = o_intern(r->o, name), .node = o_intern(r->o, node ? node : "") };
	if (o_read_labels(r, vw_json_get(meta, "labels"), &ret->labels) < 0)
		return -EINVAL;
	if (vw_json_get_bool(spec, "hostNetwork", &ret->host_network, r->err) < 0)
		return o_fail(r, "hostNetwork is not true or false");
	ret->over = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
	if (add_ip(r, vw_json_string(vw_json_get(status, "podIP")), ret->ip, &ret->n_ip) < 0)
		return -EINVAL;
	for (size_t i = 0; i < vw_json_len(ips); i++) {
		if (add_ip(r, vw_json_string(vw_json_get(vw_json_at(ips, i), "ip")), ret->ip, &ret->n_ip) < 0)
			return -EINVAL;
	}
	if (read_container_ports(r, vw_json_get(spec, "containers"), false, ret) < 0)
		return -EINVAL;
	return read_container_ports(r, vw_json_get(spec, "initContainers"), true, ret);
}

static int read_node(struct o_reader *r, const struct vw_json *obj, const char *name, struct o_node *ret)
{
	const struct vw_json *addrs = vw_json_get(vw_json_get(obj, "status"), "addresses");

	*ret = (struct o_node){ .name = o_intern(r->o, name) };
	for (size_t i = 0; i < vw_json_len(addrs); i++) {
		const char *text = vw_json_string(vw_json_get(vw_json_at(addrs, i), "address"));
		struct vw_ip ip;

		if (text && vw_ip_parse(text, &ip) == 0 && add_ip(r, text, ret->ip, &ret->n_ip) < 0)
			return -EINVAL;         /* what is no address is a Hostname */
	}
	return o_read_labels(r, vw_json_get(vw_json_get(obj, "metadata"), "labels"), &ret->labels);
}

static int read_svc_port(struct o_reader *r, const struct vw_json *p, bool slice, struct o_svc_port *ret)
{
	const struct vw_json *target = vw_json_get(p, "targetPort");
	const char *name = vw_json_string(vw_json_get(p, "name")), *text = vw_json_string(target);
	int64_t port = 0, number;

	if (vw_json_get_int(p, "port", 1, 65535, &port, r->err) <= 0)
		return o_fail(r, "port is not 1..65535");
	number = port;
	ret->name = o_intern(r->o, name ? name : "");
	ret->port = (uint16_t)port;
	if (!slice && text)
		ret->target_name = o_intern(r->o, text);
	else if (!slice && vw_json_get_int(p, "targetPort", 1, 65535, &number, r->err) < 0)
		return o_fail(r, "targetPort is not 1..65535");
	ret->target = (uint16_t)number;
	return o_read_proto(r, vw_json_string(vw_json_get(p, "protocol")), &ret->proto);
}

static int read_svc(struct o_reader *r, const struct vw_json *obj, const char *ns, const char *name, struct o_svc *ret)
{
	const struct vw_json *spec = vw_json_get(obj, "spec"), *ports = vw_json_get(spec, "ports");
	const struct vw_json *lists[] = { vw_json_get(spec, "clusterIPs"), vw_json_get(spec, "externalIPs") };
	const struct vw_json *lb = vw_json_get(vw_json_get(vw_json_get(obj, "status"), "loadBalancer"), "ingress");
	const char *one = vw_json_string(vw_json_get(spec, "clusterIP"));

	*ret = (struct o_svc){ .ns = o_intern(r->o, ns), .name = o_intern(r->o, name) };
	if (one && *one && strcmp(one, "None") != 0 && add_ip(r, one, ret->ip, &ret->n_ip) < 0)
		return -EINVAL;
	for (size_t l = 0; l < VW_ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < vw_json_len(lists[l]); i++) {
			const char *text = vw_json_string(vw_json_at(lists[l], i));

			if (text && strcmp(text, "None") != 0 && add_ip(r, text, ret->ip, &ret->n_ip) < 0)
				return -EINVAL;
		}
	}
	for (size_t i = 0; i < vw_json_len(lb); i++) {
		if (add_ip(r, vw_json_string(vw_json_get(vw_json_at(lb, i), "ip")), ret->ip, &ret->n_ip) < 0)
			return -EINVAL;
	}
	ret->port = o_alloc(r->o, vw_json_len(ports), sizeof(*ret->port));
	for (size_t i = 0; i < vw_json_len(ports); i++) {
		if (read_svc_port(r, vw_json_at(ports, i), false, &ret->port[ret->n_port++]) < 0)
			return -EINVAL;
	}
	return o_read_labels(r, vw_json_get(spec, "selector"), &ret->selector);
}

static int read_slice(struct o_reader *r, const struct vw_json *obj, const char *ns, struct o_slice *ret)
{
	const struct vw_json *labels = vw_json_get(vw_json_get(obj, "metadata"), "labels"), *ports = vw_json_get(obj, "ports");
	const struct vw_json *ends = vw_json_get(obj, "endpoints");
	const char *svc = vw_json_string(vw_json_get(labels, "kubernetes.io/service-name"));

	*ret = (struct o_slice){ .ns = o_intern(r->o, ns), .svc = o_intern(r->o, svc ? svc : "") };
	ret->port = o_alloc(r->o, vw_json_len(ports), sizeof(*ret->port));
	for (size_t i = 0; i < vw_json_len(ports); i++) {
		if (read_svc_port(r, vw_json_at(ports, i), true, &ret->port[ret->n_port++]) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; i < vw_json_len(ends); i++) {
		const struct vw_json *e = vw_json_at(ends, i), *addrs = vw_json_get(e, "addresses");
		bool ready = true;

		if (vw_json_get_bool(vw_json_get(e, "conditions"), "ready", &ready, r->err) < 0)
			return o_fail(r, "conditions.ready is not true or false");
		for (size_t k = 0; ready && k < vw_json_len(addrs); k++) {
			const char *text = vw_json_string(vw_json_at(addrs, k));
			struct vw_ip *ip = o_alloc(r->o, ret->n_ip + 1, sizeof(*ip));

			if (!text || vw_ip_parse(text, &ip[ret->n_ip]) < 0)
				return o_fail(r, "endpoints[%zu].addresses[%zu] is not an address", i, k);
			if (ret->n_ip)
				memcpy(ip, ret->ip, ret->n_ip * sizeof(*ip));
			ret->ip = ip;
			ret->n_ip++;
		}
	}
	return 0;
}

static int read_object(struct oracle *o, const struct vw_json *obj, struct vw_err *err)
{
	const char *kind = vw_json_string(vw_json_get(obj, "kind")), *api = vw_json_string(vw_json_get(obj, "apiVersion"));
	const struct vw_json *meta = vw_json_get(obj, "metadata");
	const char *name = vw_json_string(vw_json_get(meta, "name")), *ns = vw_json_string(vw_json_get(meta, "namespace"));
	struct o_reader r = { .o = o, .err = err };
	char what[600];
	int n;

	if (!kind || !name)
		return vw_err_set(err, EINVAL, 0, "an object without kind or metadata.name");
	if (!ns)
		ns = "default";
	(void)snprintf(what, sizeof(what), "%s %s/%s", kind, ns, name);
	r.what = what;
	if (strcmp(kind, "Pod") == 0)
		return read_pod(&r, obj, ns, name, &o->pod[o->n_pod++]);
	if (strcmp(kind, "Node") == 0)
		return read_node(&r, obj, name, &o->node[o->n_node++]);
	if (strcmp(kind, "Service") == 0)
		return read_svc(&r, obj, ns, name, &o->svc[o->n_svc++]);
	if (strcmp(kind, "EndpointSlice") == 0)
		return read_slice(&r, obj, ns, &o->slice[o->n_slice++]);
	if (strcmp(kind, "Namespace") == 0) {
		o->ns[o->n_ns].name = o_intern(o, name);
		return o_read_labels(&r, vw_json_get(meta, "labels"), &o->ns[o->n_ns++].labels);
	}
	n = o_read_policy(&r, obj, kind, api ? api : "", &o->policy[o->n_policy]);
	if (n > 0)
		o->n_policy++;
	return n < 0 ? n : 0;
}

/** name_namespaces() - every namespace has the label of its name (the API server sees to it), also one that nobody described. */
static int name_namespaces(struct oracle *o)
{
	const char *key = o_intern(o, "kubernetes.io/metadata.name");

	for (size_t i = 0; i < o->n_pod; i++) {
		size_t k;

		for (k = 0; k < o->n_ns && o->ns[k].name != o->pod[i].ns; k++)
			;
		if (k == o->n_ns)
			o->ns[o->n_ns++] = (struct o_ns){ .name = o->pod[i].ns };
	}
	for (size_t i = 0; i < o->n_ns; i++) {
		struct o_labels *l = &o->ns[i].labels;
		size_t k;

		if (!l->v)
			l->v = o_alloc(o, 1, sizeof(*l->v));
		if (!l->v)
			return -ENOMEM;
		for (k = 0; k < l->n && l->v[k].key != key; k++)
			;
		l->v[k] = (struct o_label){ key, o->ns[i].name };
		if (k == l->n)
			l->n++;
	}
	return 0;
}

static int by_precedence(const void *a, const void *b)
{
	const struct o_policy *p = a, *q = b;

	if (p->tier != q->tier)
		return p->tier < q->tier ? -1 : 1;
	if (p->priority != q->priority)
		return p->priority < q->priority ? -1 : 1;
	/* undefined by the API; we choose: by name, then by kind */
	return strcmp(p->full, q->full) ? strcmp(p->full, q->full) : strcmp(p->kind, q->kind);
}

int oracle_new(const struct vw_json *const *objs, size_t n, const struct oracle_conf *conf, struct oracle **ret,
	       struct vw_err *err)
{
	struct oracle *o = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	o->conf = *conf;
	o->ns = o_alloc(o, 2 * n + 1, sizeof(*o->ns));  /* and those that pods alone speak of */
	o->pod = o_alloc(o, n, sizeof(*o->pod));
	o->node = o_alloc(o, n, sizeof(*o->node));
	o->svc = o_alloc(o, n, sizeof(*o->svc));
	o->slice = o_alloc(o, n, sizeof(*o->slice));
	o->policy = o_alloc(o, n, sizeof(*o->policy));
	if (!o->ns || !o->pod || !o->node || !o->svc || !o->slice || !o->policy)
		r = vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t i = 0; i < n && r == 0; i++)
		r = read_object(o, objs[i], err);
	if (r == 0)
		r = name_namespaces(o);
	if (r < 0) {
		oracle_free(o);
		return r;
	}
	if (o->n_policy)
		qsort(o->policy, o->n_policy, sizeof(*o->policy), by_precedence);
	*ret = o;
	return 0;
}
