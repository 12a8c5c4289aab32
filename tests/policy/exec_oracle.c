/*
 * Executor 1: the oracle.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/policy/oracle.h"
#include "tests/policy/run.h"

#include <string.h>

static int load(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	const struct oracle_conf conf = { .strict = strict };
	struct oracle **o = ctx, *next = NULL;
	int r = oracle_new(objs, n, &conf, &next, err);

	if (r < 0)
		return r;
	oracle_free(*o);
	*o = next;
	return 0;
}

static int refuse(void *ctx, const struct vw_json *obj, struct vw_err *err)
{
	const struct oracle_conf conf = { 0 };
	struct oracle *o = NULL;
	int r = oracle_new(&obj, 1, &conf, &o, err);

	oracle_free(o);
	return r;
}

static const char *const tier_name[] = { "none", "Admin", "NetworkPolicy", "Baseline", "default" };

static int judge(void *ctx, const struct px_half *h, char why[128], struct vw_err *err)
{
	const struct oracle *o = *(struct oracle **)ctx;
	struct oracle_query q = { .pod = oracle_pod(o, h->pod), .dir = h->egress ? ORACLE_EGRESS : ORACLE_INGRESS, .peer = h->peer,
				  .proto = h->proto, .port = h->port, .node_local = h->node_local, .names = h->names,
				  .n_names = h->n_names };
	struct oracle_verdict v;

	if (q.pod < 0)
		return vw_err_set(err, ENOENT, 0, "no pod %s", h->pod);
	if (h->vip.family) {
		struct oracle_backend b[2];
		int n = oracle_backends(o, &h->vip, h->proto, h->vip_port, b, (int)VW_ARRAY_SIZE(b));

		if (n != 1)
			return vw_err_set(err, EINVAL, 0, "the service has %d backends, not one", n);
		q.peer = b[0].ip;       /* the verdict is on the real destination */
		q.port = b[0].port;
	}
	oracle_judge(o, &q, &v);
	(void)snprintf(why, 128, "%s %.60s rule %d", tier_name[v.tier], v.policy ? v.policy : "-", v.rule);
	return v.allow;
}

struct px px_oracle(void)
{
	return (struct px){ .name = "oracle", .ctx = calloc(1, sizeof(struct oracle *)), .load = load, .judge = judge,
			    .refuse = refuse };
}

/** load_reversed() - the order of objects means nothing: neither of policies nor of pods. */
static int load_reversed(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err)
{
	const struct vw_json **turned = calloc(n + 1, sizeof(*turned));
	int r;

	if (!turned)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t i = 0; i < n; i++)
		turned[i] = objs[n - 1 - i];
	r = load(ctx, turned, n, strict, err);
	free(turned);
	return r;
}

struct px px_oracle_reversed(void)
{
	struct px x = px_oracle();

	x.name = "oracle-reversed";
	x.load = load_reversed;
	return x;
}

void px_oracle_done(struct px *x)
{
	if (x->ctx)
		oracle_free(*(struct oracle **)x->ctx);
	free(x->ctx);
}
