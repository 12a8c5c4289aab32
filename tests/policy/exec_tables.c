/*
 * Executor 2: what the compiler makes of the same objects, walked in user space.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "tests/policy/tables.h"

#include <errno.h>

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

	(void)ctx;
	if (!w || vw_json_print(obj, 0, &text) < 0)
		r = 0;
	else
		r = np_world_take(w, "refused.json", text.data, text.len, err);
	np_world_free(w);
	return r;
}

struct px px_tables(void)
{
	return (struct px){ .name = "tables", .ctx = tables_new(), .load = load, .judge = judge, .refuse = tables_refuse };
}

struct px px_changes(void)
{
	struct px x = px_tables();
	struct tables *t = x.ctx;

	x.name = "changes";
	if (t)
		t->by_changes = true;
	return x;
}

void px_tables_done(struct px *x)
{
	tables_free(x->ctx);
	x->ctx = NULL;
}
