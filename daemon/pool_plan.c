/* The plan, for people: figures, targets, what is under way, what is held up, and the actions that would follow. */
#include "daemon/pool_plan.h"

#include "daemon/daemon.h"
#include "daemon/grow.h"
#include "daemon/grow_state.h"
#include "ipam/planner.h"
#include "ipam/pool.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WHY_LEN 512

/** struct asked - the question and the answer. Large: on the heap. */
struct asked {
	struct grow_input in;
	struct ipam_plan plan;
	struct ipam_stats pool;
	uint64_t now;
};

static int set_id(struct vw_json *o, const char *key, const char *id)
{
	return vw_json_set_str(o, key, *id ? id : NULL);
}

static struct vw_json *figures_json(const struct asked *a, const struct daemon *d)
{
	const struct ipam_stats *s = &a->pool;
	struct vw_json *o = vw_json_new_object();
	int failed = vw_json_set_int(o, "total", s->total) | vw_json_set_int(o, "assigned", s->assigned) |
		     vw_json_set_int(o, "available", s->available) | vw_json_set_int(o, "cooling", s->cooling) |
		     vw_json_set_int(o, "prefixes", s->prefixes) | vw_json_set_int(o, "free_prefixes", s->free_prefixes) |
		     vw_json_set_int(o, "enis", s->enis) | vw_json_set_int(o, "waiting", d->n_hungry);

	return vw_json_whole(o, failed);
}

static struct vw_json *targets_json(const struct asked *a)
{
	const struct ipam_targets *t = &a->in.in.targets;
	struct vw_json *o = vw_json_new_object();
	int failed = vw_json_set_bool(o, "follows_demand", t->adaptive);

	if (t->adaptive) {
		failed |= vw_json_set_int(o, "low", t->warm.low) | vw_json_set_int(o, "fill", t->warm.fill) |
			  vw_json_set_int(o, "keep", t->warm.keep) | vw_json_set_int(o, "spare", t->warm.spare);
	} else {
		failed |= vw_json_set_int(o, "warm_eni_target", t->warm_eni) | vw_json_set_int(o, "warm_ip_target", t->warm_ip) |
			  vw_json_set_int(o, "minimum_ip_target", t->minimum_ip) | vw_json_set_int(o, "warm_prefix_target", t->warm_prefix);
	}
	return vw_json_whole(o, failed);
}

static struct vw_json *limits_json(const struct asked *a)
{
	const struct ipam_limits *l = &a->in.in.limits;
	struct vw_json *o = vw_json_new_object();
	int failed = vw_json_set_int(o, "enis", l->max_eni && l->max_eni < l->max_enis ? l->max_eni : l->max_enis) |
		     vw_json_set_int(o, "other_enis", l->other_enis) | vw_json_set_int(o, "slots_per_eni", l->slots_per_eni) |
		     vw_json_set_int(o, "max_pods", l->max_pods) |
		     vw_json_set_int(o, "addresses", ipam_limits_capacity(l, a->in.in.targets.mode));

	return vw_json_whole(o, failed);
}

static struct vw_json *action_json(const struct ipam_action *x)
{
	struct vw_json *o = vw_json_new_object(), *cidrs = vw_json_new_array();
	char text[VW_CIDR_STRLEN];
	int failed = vw_json_set_str(o, "action", ipam_act_str(x->act)) | set_id(o, "eni", x->eni_id) | set_id(o, "subnet", x->subnet_id) |
		     vw_json_set_int(o, "prefixes", x->n_prefixes) | vw_json_set_int(o, "addresses", x->n_addrs);

	for (size_t i = 0; i < x->n_cidrs; i++)
		failed |= vw_json_append(cidrs, vw_json_new_string(vw_cidr_str(&x->cidrs[i], text)));
	return vw_json_whole(o, failed | vw_json_set(o, "cidrs", cidrs));
}

static struct vw_json *actions_json(const struct asked *a)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < a->plan.n; i++)
		failed |= vw_json_append(arr, action_json(&a->plan.v[i]));
	return vw_json_whole(arr, failed);
}

static struct vw_json *under_way_json(const struct asked *a)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < a->in.in.n_inflight; i++) {
		const struct ipam_inflight *f = &a->in.in.inflight[i];
		struct ipam_action x = { .act = f->act, .n_prefixes = f->n_prefixes, .n_addrs = f->n_addrs };

		(void)VW_COPY(x.eni_id, f->eni_id);
		(void)VW_COPY(x.subnet_id, f->subnet_id);
		failed |= vw_json_append(arr, action_json(&x));
	}
	return vw_json_whole(arr, failed);
}

static struct vw_json *cause_json(const struct ipam_why *why, const char *action, uint64_t now)
{
	struct vw_json *o = vw_json_new_object();
	char text[WHY_LEN];
	int failed = vw_json_set_str(o, "action", action) | vw_json_set_str(o, "cause", ipam_cause_str(why->cause)) |
		     vw_json_set_str(o, "why", ipam_why_text(why, now, text, sizeof(text))) |
		     (why->until_ms > now ? vw_json_set_int(o, "again_in_ms", (int64_t)(why->until_ms - now)) : 0);

	return vw_json_whole(o, failed);
}

/* what failed and is paused; what was throttled stays named after its pause, until it succeeds */
static struct vw_json *held_json(const struct asked *a)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++) {
		const struct ipam_why *why = &a->in.in.blocks[act];

		if (why->cause != IPAM_CAUSE_NONE && (why->until_ms > a->now || why->cause == IPAM_CAUSE_THROTTLED))
			failed |= vw_json_append(arr, cause_json(why, ipam_act_str(act), a->now));
	}
	return vw_json_whole(arr, failed);
}

static void target_text(const struct asked *a, char *buf, size_t size)
{
	const struct ipam_targets *t = &a->in.in.targets;

	if (t->adaptive)
		(void)!vw_fmt(buf, size, "demand asks for at least %u, fills to %u and gives back above %u", t->warm.low, t->warm.fill, t->warm.keep);
	else if (t->warm_ip || t->minimum_ip)
		(void)!vw_fmt(buf, size, "warm_ip_target %u, minimum_ip_target %u", t->warm_ip, t->minimum_ip);
	else if (t->mode == IPAM_MODE_PREFIXES)
		(void)!vw_fmt(buf, size, "warm_prefix_target %u (16 addresses each)", t->warm_prefix);
	else
		(void)!vw_fmt(buf, size, "warm_eni_target %u (%u addresses each)", t->warm_eni, a->in.in.limits.slots_per_eni);
}

/* one sentence: why these actions, or why none */
static void reason_text(const struct daemon *d, const struct asked *a, char ret[WHY_LEN])
{
	const struct ipam_need *n = &a->plan.need;
	char target[128];

	target_text(a, target, sizeof(target));
	if (!d->discovered)
		(void)!vw_fmt(ret, WHY_LEN, "nothing is planned before IMDS and EC2 have been heard");
	else if (a->in.in.disabled)
		(void)!vw_fmt(ret, WHY_LEN, "provisioning is switched off (disable_provisioning, imds_only)");
	else if (n->short_addrs)
		(void)!vw_fmt(ret, WHY_LEN, "%u addresses are free and %u pods wait: %u are short (%s)", a->pool.available, d->n_hungry,
			      n->short_addrs, target);
	else if (a->plan.n && (n->over_addrs || n->over_prefixes || n->over_enis))
		(void)!vw_fmt(ret, WHY_LEN, "%u addresses are free, more than is wanted (%s)", a->pool.available, target);
	else if (a->plan.n)
		(void)!vw_fmt(ret, WHY_LEN, "%u addresses are free; an ENI is made ready ahead of need (%s)", a->pool.available, target);
	else if (n->over_addrs || n->over_prefixes || n->over_enis)
		(void)!vw_fmt(ret, WHY_LEN, "%u addresses are free, more than is wanted (%s); what is in use, too young or was given back a "
			      "moment ago stays for now", a->pool.available, target);
	else
		(void)!vw_fmt(ret, WHY_LEN, "%u addresses are free, as is wanted (%s)", a->pool.available, target);
}

static int put_all(const struct daemon *d, const struct asked *a, struct vw_json *root)
{
	char reason[WHY_LEN];
	int failed = vw_json_set_str(root, "mode", a->in.in.targets.mode == IPAM_MODE_PREFIXES ? "prefixes" : "addresses");

	reason_text(d, a, reason);
	failed |= vw_json_set_str(root, "reason", reason) | vw_json_set(root, "actions", actions_json(a)) |
		  vw_json_set_int(root, "short", a->plan.need.short_addrs) | vw_json_set_int(root, "unmet", a->plan.unmet) |
		  vw_json_set(root, "under_way", under_way_json(a)) | vw_json_set(root, "held_up", held_json(a)) |
		  vw_json_set(root, "pool", figures_json(a, d)) | vw_json_set(root, "targets", targets_json(a)) |
		  vw_json_set(root, "limits", limits_json(a));
	if (a->plan.why.cause != IPAM_CAUSE_NONE)
		failed |= vw_json_set(root, "unmet_because", cause_json(&a->plan.why, NULL, a->now));
	if (a->plan.again_ms != IPAM_NEVER)
		failed |= vw_json_set_int(root, "again_in_ms", a->plan.again_ms > a->now ? (int64_t)(a->plan.again_ms - a->now) : 0);
	return failed;
}

int pool_plan_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	struct vw_json *root = vw_json_new_object();
	struct asked *a = calloc(1, sizeof(*a));
	int failed = !a;

	if (a) {
		a->now = vw_mono_ms();
		ipam_pool_advance(d->pool, a->now);
		ipam_pool_stats(d->pool, &a->pool);
		grow_input(d, &a->in);
		if (d->discovered)
			ipam_plan(d->pool, &a->in.in, &a->plan);
		else
			a->plan.again_ms = IPAM_NEVER;
		failed = put_all(d, a, root);
	}
	free(a);
	if (failed) {
		vw_json_free(root);
		return vw_err_set(err, ENOMEM, 0, "no memory for a plan");
	}
	*ret = root;
	return 0;
}
