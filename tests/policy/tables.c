#include "tests/policy/tables.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *text_of(const struct vw_json *j, const char *a, const char *b)
{
	const char *s = vw_json_string(vw_json_get(vw_json_get(j, a), b));

	return s ? s : "";
}

static bool is_kind(const struct vw_json *obj, const char *kind)
{
	const char *k = vw_json_string(vw_json_get(obj, "kind"));

	return k && strcmp(k, kind) == 0;
}

static bool runs_here(const struct vw_json *obj)
{
	const char *phase = text_of(obj, "status", "phase");
	struct vw_err err;
	bool host = false;

	vw_json_get_bool(vw_json_get(obj, "spec"), "hostNetwork", &host, &err);
	return is_kind(obj, "Pod") && !host && strcmp(phase, "Succeeded") != 0 && strcmp(phase, "Failed") != 0;
}

/* --- nodes and their pods, as the plugin would have told the daemon */

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

static size_t slot_of(const struct tables_node *n, const char *pod)
{
	for (size_t i = 0; i < n->n_slot; i++) {
		if (strcmp(n->pod[i], pod) == 0)
			return i;
	}
	return SIZE_MAX;
}

static size_t free_slot(struct tables_node *n)
{
	size_t i = slot_of(n, "");

	if (i == SIZE_MAX && n->n_slot < TABLES_PODS)
		i = n->n_slot++;
	return i;
}

static int see_pod(struct tables *t, const struct vw_json *obj, struct vw_err *err)
{
	struct tables_node *n = node_named(t, text_of(obj, "spec", "nodeName"));
	const struct vw_json *ips = vw_json_get(vw_json_get(obj, "status"), "podIPs");
	const char *ns = text_of(obj, "metadata", "namespace"), *name = text_of(obj, "metadata", "name");
	char pod[2 * FX_NAME];
	struct vw_ip ip[2] = { 0 };
	struct np_local *l;
	size_t i;

	if (!*ns)
		ns = "default";
	if (!n || vw_fmt(pod, sizeof(pod), "%s/%s", ns, name) < 0)
		return vw_err_set(err, E2BIG, 0, "too many nodes, or names too long");
	i = slot_of(n, pod);
	if (i == SIZE_MAX) {
		i = free_slot(n);
		if (i == SIZE_MAX || VW_COPY(n->pod[i], pod) < 0 || VW_COPY(n->ns[i], ns) < 0)
			return vw_err_set(err, E2BIG, 0, "too many pods on %s, or names too long", n->name);
		n->fresh[i] = true;
	}
	for (size_t k = 0; k < vw_json_len(ips); k++) {
		const char *text = vw_json_string(vw_json_get(vw_json_at(ips, k), "ip"));
		struct vw_ip one;

		if (text && vw_ip_parse(text, &one) == 0)
			ip[one.family == AF_INET6] = one;
	}
	l = &n->local[i];
	n->fresh[i] |= !vw_ip_eq(&l->ip4, &ip[0]) || !vw_ip_eq(&l->ip6, &ip[1]);
	n->seen[i] = true;
	*l = (struct np_local){ .slot = (unsigned int)i, .ns = n->ns[i], .name = strchr(n->pod[i], '/') + 1, .ip4 = ip[0], .ip6 = ip[1] };
	return 0;
}

static void see_node(struct tables *t, const struct vw_json *obj)
{
	const struct vw_json *addrs = vw_json_get(vw_json_get(obj, "status"), "addresses");
	struct tables_node *n = node_named(t, text_of(obj, "metadata", "name"));

	for (size_t i = 0; n && i < vw_json_len(addrs) && n->n_ip < VW_ARRAY_SIZE(n->ip); i++) {
		const char *text = vw_json_string(vw_json_get(vw_json_at(addrs, i), "address"));

		if (text && vw_ip_parse(text, &n->ip[n->n_ip]) == 0)
			n->n_ip++;
	}
}

static int see_all(struct tables *t, const struct vw_json *const *objs, size_t n, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < t->n_node; i++) {
		memset(t->node[i].seen, 0, sizeof(t->node[i].seen));
		memset(t->node[i].fresh, 0, sizeof(t->node[i].fresh));
		memset(t->node[i].ip, 0, sizeof(t->node[i].ip));
		t->node[i].n_ip = 0;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		if (runs_here(objs[i]))
			r = see_pod(t, objs[i], err);
		else if (is_kind(objs[i], "Node"))
			see_node(t, objs[i]);
	}
	return r;
}

/** forget_gone() - slots whose pod is no more become free. */
static void forget_gone(struct tables_node *n)
{
	for (size_t i = 0; i < n->n_slot; i++) {
		if (!n->seen[i])
			n->pod[i][0] = 0;
	}
}

/* --- images */

static int compile(struct tables *t, struct tables_node *n, struct vw_err *err)
{
	const struct np_compile_conf conf = { .node_name = n->name, .node_ip = n->ip, .n_node_ip = n->n_ip, .strict = t->strict };
	struct np_local local[TABLES_PODS];
	struct np_image *next = NULL;
	size_t n_local = 0;
	int r;

	forget_gone(n);
	for (size_t i = 0; i < n->n_slot; i++) {
		if (n->pod[i][0])
			local[n_local++] = n->local[i];
	}
	t->compiled++;
	r = np_compile(t->w, &conf, local, n_local, n->img, &next, err);
	if (r < 0)
		return r;
	np_image_free(n->prev);
	n->prev = n->img;
	n->img = next;
	return t->follower.image ? t->follower.image(t->follower.ctx, n, err) : 0;
}

static int follow_subject(struct tables *t, struct tables_node *n, size_t slot, struct vw_err *err)
{
	unsigned int blob = 0;
	int r = np_image_add_subject(n->img, t->w, &n->local[slot], &blob, err);

	return r == 0 && t->follower.subject ? t->follower.subject(t->follower.ctx, n, (unsigned int)slot, blob, err) : r;
}

static int follow_peer(struct tables *t, struct tables_node *n, const struct np_pod_name *pod, struct vw_err *err)
{
	struct np_peer_change c[NP_PEER_CHANGES];
	size_t n_change = 0;
	int r = np_image_add_peer(n->img, t->w, pod->ns, pod->name, c, &n_change, err);

	for (size_t i = 0; i < n_change && r == 0 && t->follower.peer; i++)
		r = t->follower.peer(t->follower.ctx, n, &c[i], err);
	return r;
}

/** follow() - only pods have changed. Return: 0; -EAGAIN, -ENOSPC: it takes an image. */
static int follow(struct tables *t, struct tables_node *n, const struct np_changes *ch, struct vw_err *err)
{
	char pod[2 * FX_NAME];
	int r = 0;

	for (size_t i = 0; i < n->n_slot && r == 0; i++) {
		if (!n->pod[i][0] || n->seen[i])
			continue;
		np_image_drop_subject(n->img, (unsigned int)i);
		if (t->follower.gone)
			r = t->follower.gone(t->follower.ctx, n, (unsigned int)i, err);
	}
	forget_gone(n);
	for (size_t i = 0; i < n->n_slot && r == 0; i++) {
		if (n->pod[i][0] && n->fresh[i])
			r = follow_subject(t, n, i, err);
	}
	for (size_t i = 0; i < ch->n_pod && r == 0; i++) {
		size_t slot = vw_fmt(pod, sizeof(pod), "%s/%s", ch->pod[i].ns, ch->pod[i].name) < 0 ? SIZE_MAX : slot_of(n, pod);

		if (slot != SIZE_MAX && !n->fresh[slot])
			r = follow_subject(t, n, slot, err);
		if (r == 0)
			r = follow_peer(t, n, &ch->pod[i], err);
	}
	t->followed += r == 0;
	return r == 0 && t->follower.done ? t->follower.done(t->follower.ctx, n, err) : r;
}

int tables_load(struct tables *t, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct np_changes ch;
	bool all;
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
	if (r == 0)
		r = see_all(t, objs, n, err);
	if (r < 0)
		return r;
	(void)np_world_changes(t->w, &ch);
	all = !t->by_changes || ch.rules || ch.many || strict != t->strict;
	t->strict = strict;
	for (size_t i = 0; i < t->n_node && r == 0; i++) {
		struct tables_node *node = &t->node[i];

		r = all || !node->img ? -EAGAIN : follow(t, node, &ch, err);
		if (r == -EAGAIN || r == -ENOSPC)
			r = node->n_slot ? compile(t, node, err) : 0;
	}
	return r;
}

const struct tables_node *tables_find(const struct tables *t, const char *node, const char *pod, unsigned int *ret_slot)
{
	for (size_t i = 0; i < t->n_node; i++) {
		const struct tables_node *n = &t->node[i];
		size_t slot = strcmp(n->name, node) == 0 ? slot_of(n, pod) : SIZE_MAX;

		if (slot != SIZE_MAX) {
			*ret_slot = (unsigned int)slot;
			return n;
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
