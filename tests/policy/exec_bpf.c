/*
 * Executor 3: the images of executor "changes" in the maps of the real programs, which are given packets.
 */
#include "lib/base/err.h"
#include "tests/policy/lab.h"

#include <errno.h>
#include <string.h>

/* --- what changes is put into force */

static int image(void *ctx, const struct tables_node *t, struct vw_err *err)
{
	struct px_bpf *b = ctx;
	struct lab_node *n;
	int r = lab_node(b->lab, t->name, &n, err);

	return r < 0 ? r : lab_image(b->lab, n, t, err);
}

static int subject(void *ctx, const struct tables_node *t, unsigned int slot, unsigned int blob, struct vw_err *err)
{
	struct px_bpf *b = ctx;
	struct lab_node *n;
	int r = lab_node(b->lab, t->name, &n, err);

	return r < 0 ? r : lab_subject(b->lab, n, t, slot, blob, err);
}

static int gone(void *ctx, const struct tables_node *t, unsigned int slot, struct vw_err *err)
{
	struct px_bpf *b = ctx;
	struct lab_node *n;
	int r = lab_node(b->lab, t->name, &n, err);

	return r < 0 ? r : lab_gone(n, slot, err);
}

static int peer(void *ctx, const struct tables_node *t, const struct np_peer_change *c, struct vw_err *err)
{
	struct px_bpf *b = ctx;
	struct lab_node *n;
	int r = lab_node(b->lab, t->name, &n, err);

	return r < 0 ? r : lab_peer(n, c, err);
}

static int done(void *ctx, const struct tables_node *t, struct vw_err *err)
{
	struct px_bpf *b = ctx;
	struct lab_node *n;
	int r = lab_node(b->lab, t->name, &n, err);

	return r < 0 ? r : lab_settle(n, err);
}

/* --- the executor */

static int load(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	struct px_bpf *b = ctx;

	return tables_load(b->t, objs, n, strict, err);
}

static int judge(void *ctx, const struct px_half *h, char why[128], struct vw_err *err)
{
	struct px_bpf *b = ctx;
	unsigned int slot = 0, blob = 0;
	const struct tables_node *node = tables_find(b->t, h->node, h->pod, &slot);
	const struct np_image_blob *policy = node ? tables_blob(node->img, slot, &blob) : NULL;
	struct lab_node *at;
	int r;

	if (!policy)
		return vw_err_set(err, ENOENT, 0, "no subject %s on node %s", h->pod, h->node);
	r = lab_node(b->lab, h->node, &at, err);
	if (r < 0)
		return r;
	(void)snprintf(why, 128, "by slot %u's programs", slot);
	return lab_judge(b->lab, at, slot, h, tables_names(policy, h->names, h->n_names), err);
}

static int make(struct px *ret, bool live, struct vw_err *err)
{
	struct px_bpf *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	*ret = (struct px){ .name = "bpf", .ctx = b, .load = load, .judge = judge, .refuse = tables_refuse };
	b->t = tables_new();
	r = b->t ? lab_new(&b->lab, live, err) : vw_err_set(err, ENOMEM, 0, "out of memory");
	if (r < 0) {
		px_bpf_done(ret);
		return r;
	}
	b->t->by_changes = true;
	b->t->follower = (struct tables_follower){ .ctx = b, .image = image, .subject = subject, .gone = gone, .peer = peer, .done = done };
	return 0;
}

int px_bpf(struct px *ret, struct vw_err *err)
{
	return make(ret, false, err);
}

int px_bpf_live(struct px *ret, struct vw_err *err)
{
	return make(ret, true, err);
}

void px_bpf_done(struct px *x)
{
	struct px_bpf *b = x->ctx;

	if (b) {
		lab_free(b->lab);
		tables_free(b->t);
	}
	free(b);
	x->ctx = NULL;
}
