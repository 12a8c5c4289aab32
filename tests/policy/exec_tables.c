/*
 * Executor 2: what the compiler makes of the same objects, walked in user space. One world for the executor's life, whose one file
 * is replaced at every load, and images that are made with their predecessor at hand: so that nothing is fresh but the first.
 */
#include "tests/policy/tables.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <string.h>
#include <strings.h>

static const char *text_of(const struct vw_json *j, const char *a, const char *b)
{
	const char *s = vw_json_string(vw_json_get(vw_json_get(j, a), b));

	return s ? s : "";
}

static bool runs_here(const struct vw_json *obj)
{
	const char *kind = vw_json_string(vw_json_get(obj, "kind")), *phase = text_of(obj, "status", "phase");
	struct vw_err err;
	bool host = false;

	vw_json_get_bool(vw_json_get(obj, "spec"), "hostNetwork", &host, &err);
	return kind && strcmp(kind, "Pod") == 0 && !host && strcmp(phase, "Succeeded") != 0 && strcmp(phase, "Failed") != 0;
}

static struct tables_node *node_named(struct tables *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n_node; i++) {
		if (strcmp(t->node[i].name, name) == 0)
			return &t->node[i];
	}
	if (t->n_node == TABLES_NODES || VW_COPY(t->node[i].name, name) < 0)
		return NULL;
	t->n_node++;
	return &t->node[i];
}

/** add_local() - as the pod's ADD would have told the daemon. */
static int add_local(struct tables *t, const struct vw_json *obj, struct vw_err *err)
{
	struct tables_node *node = node_named(t, text_of(obj, "spec", "nodeName"));
	const struct vw_json *ips = vw_json_get(vw_json_get(obj, "status"), "podIPs");
	const char *ns = text_of(obj, "metadata", "namespace"), *name = text_of(obj, "metadata", "name");
	struct np_local *l;

	if (!node || node->n_local == TABLES_PODS)
		return vw_err_set(err, E2BIG, 0, "too many nodes, or pods of one");
	if (!*ns)
		ns = "default";
	l = &node->local[node->n_local];
	*l = (struct np_local){ .slot = (unsigned int)node->n_local, .ns = ns, .name = name };
	if (vw_fmt(node->pod[node->n_local], sizeof(node->pod[0]), "%s/%s", ns, name) < 0)
		return vw_err_set(err, EINVAL, 0, "name of pod %s/%s", ns, name);
	for (size_t i = 0; i < vw_json_len(ips); i++) {
		const char *text = vw_json_string(vw_json_get(vw_json_at(ips, i), "ip"));
		struct vw_ip ip;

		if (text && vw_ip_parse(text, &ip) == 0)
			*(ip.family == AF_INET6 ? &l->ip6 : &l->ip4) = ip;
	}
	node->n_local++;
	return 0;
}

static void add_node_ips(struct tables *t, const struct vw_json *obj)
{
	const struct vw_json *addrs = vw_json_get(vw_json_get(obj, "status"), "addresses");
	struct tables_node *node = node_named(t, text_of(obj, "metadata", "name"));

	for (size_t i = 0; node && i < vw_json_len(addrs) && node->n_ip < VW_ARRAY_SIZE(node->ip); i++) {
		const char *text = vw_json_string(vw_json_get(vw_json_at(addrs, i), "address"));

		if (text && vw_ip_parse(text, &node->ip[node->n_ip]) == 0)
			node->n_ip++;
	}
}

static int compile(struct tables *t, struct tables_node *node, struct vw_err *err)
{
	const struct np_compile_conf conf = { .node_name = node->name, .node_ip = node->ip, .n_node_ip = node->n_ip, .strict = t->strict };
	struct np_image *next = NULL;
	int r = np_compile(t->w, &conf, node->local, node->n_local, node->img, &next, err);

	if (r < 0)
		return r;
	np_image_free(node->prev);
	node->prev = node->img;
	node->img = next;
	return 0;
}

int tables_load(struct tables *t, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int r;

	vw_buf_puts(&text, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
	for (size_t i = 0; i < n; i++) {
		vw_buf_puts(&text, i ? "," : "");
		vw_json_print(objs[i], 0, &text);
	}
	vw_buf_puts(&text, "]}");
	if (vw_buf_err(&text) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	r = np_world_take(t->w, "fixture.json", text.data, text.len, err);
	if (r < 0)
		return r;
	t->strict = strict;
	for (size_t i = 0; i < t->n_node; i++)
		t->node[i].n_local = t->node[i].n_ip = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (runs_here(objs[i]))
			r = add_local(t, objs[i], err);
		else if (strcmp(vw_json_string(vw_json_get(objs[i], "kind")), "Node") == 0)
			add_node_ips(t, objs[i]);
	}
	for (size_t i = 0; i < t->n_node && r == 0; i++) {
		if (t->node[i].n_local)
			r = compile(t, &t->node[i], err);
	}
	return r;
}

const struct tables_node *tables_find(const struct tables *t, const char *node, const char *pod, unsigned int *ret_slot)
{
	for (size_t i = 0; i < t->n_node; i++) {
		const struct tables_node *n = &t->node[i];

		if (strcmp(n->name, node) != 0)
			continue;
		for (size_t k = 0; k < n->n_local; k++) {
			if (strcmp(n->pod[k], pod) == 0) {
				*ret_slot = (unsigned int)k;
				return n;
			}
		}
	}
	return NULL;
}

const struct np_image_blob *tables_blob(const struct np_image *img, unsigned int slot, unsigned int *ret_blob)
{
	for (size_t i = 0; i < img->n_subject; i++) {
		if (img->subject[i].slot == slot) {
			*ret_blob = img->subject[i].blob;
			return &img->blob[*ret_blob];
		}
	}
	return NULL;
}

/** is_known_as() - @pattern is lower case: "*.x.y" or "x.y". */
static bool is_known_as(const char *pattern, const char *name)
{
	size_t n = strlen(name), p = strlen(pattern);

	if (n && name[n - 1] == '.')
		n--;
	if (*pattern == '*')
		return n > --p && strncasecmp(name + n - p, pattern + 1, p) == 0;
	return n == p && strncasecmp(name, pattern, n) == 0;
}

uint64_t tables_names(const struct np_image_blob *b, const char *const *names, size_t n)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < b->n_fqdn; i++) {
		for (size_t k = 0; k < n; k++) {
			if (is_known_as(b->fqdn[i], names[k]))
				bits |= 1ull << i;
		}
	}
	return bits;
}

static int load(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	return tables_load(ctx, objs, n, strict, err);
}

static int judge(void *ctx, const struct px_half *h, char why[128], struct vw_err *err)
{
	unsigned int slot = 0, blob = 0;
	const struct tables_node *node = tables_find(ctx, h->node, h->pod, &slot);
	const struct np_image_blob *b = node ? tables_blob(node->img, slot, &blob) : NULL;
	struct np_query q = { .dir = h->egress ? NP_EGRESS : NP_INGRESS, .peer = h->peer, .proto = h->proto, .port = h->port,
			      .node_local = h->node_local };
	const struct np_rule *rule;
	uint16_t cls, port_cls;
	uint32_t v;

	if (!b)
		return vw_err_set(err, ENOENT, 0, "no subject %s on node %s", h->pod, h->node);
	if (h->vip.family) {
		const struct np_peer *p = np_image_find_peer(node->img, &h->vip);

		if (!p || !(p->flags & NP_IDENT_VIP))
			return vw_err_set(err, EINVAL, 0, "the service's address is not known as one");
	}
	q.blob = blob;
	q.names = tables_names(b, h->names, h->n_names);
	v = np_image_judge(node->img, &q, &cls, &port_cls);
	if (NP_VERDICT_ARG(v) >= node->img->n_rule)
		return vw_err_set(err, EINVAL, 0, "verdict %#x names no rule", v);
	rule = &node->img->rule[NP_VERDICT_ARG(v)];
	(void)snprintf(why, 128, "verdict %#x class %u/%u %.20s %.40s %.20s", v, cls, port_cls, rule->kind ? rule->kind : "-",
		       rule->policy ? rule->policy : "-", rule->path ? rule->path : "-");
	return NP_VERDICT_ACTION(v) == NP_ALLOW;
}

int tables_refuse(void *ctx, const struct vw_json *obj, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct np_world *w = np_world_new();
	int r;

	if (!w || vw_json_print(obj, 0, &text) < 0)
		r = 0;
	else
		r = np_world_take(w, "refused.json", text.data, text.len, err);
	np_world_free(w);
	return r;
}

struct tables *tables_new(void)
{
	struct tables *t = calloc(1, sizeof(*t));

	if (t)
		t->w = np_world_new();
	return t;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_node; i++) {
		np_image_free(t->node[i].img);
		np_image_free(t->node[i].prev);
	}
	np_world_free(t->w);
	free(t);
}

struct px px_tables(void)
{
	return (struct px){ .name = "tables", .ctx = tables_new(), .load = load, .judge = judge, .refuse = tables_refuse };
}

void px_tables_done(struct px *x)
{
	tables_free(x->ctx);
	x->ctx = NULL;
}
