/*
 * One look: read the lease (1 call); with none valid take it (tag, then read again: of two that took it at
 * once the lower instance id keeps it). Then list detached ENIs of ours: the holder all of them, others their
 * own (1 call). An owner is dead when no primary ENI is attached to it any more; asked for each owner once,
 * only where there is a suspect.
 */
#include "daemon/sweep.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/leak.h"
#include "daemon/loop.h"
#include "daemon/store.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LOOK_DEADLINE_MS 120000
#define COUNT_EVERY_S    86400
#define MAX_OWNERS       64 /* of suspects, in one look */
#define MAX_DELETES      64
#define MAX_TOKENS       64

/** struct sweep - @nodes, @counted_at: the holder's count; @until: of the lease that we hold, 0 = none. */
struct sweep {
	struct loop_timer *timer;
	bool running, scheduled, told;
	uint32_t nodes;
	int64_t counted_at, until;
	uint64_t chance;
};

/** struct look - a job. @tokens: intents that are open: their ENIs are ours to finish, not to remove. */
struct look {
	struct daemon *d;
	struct ec2 *ec2;
	char instance_id[EC2_ID_LEN], primary_id[EC2_ID_LEN], vpc_id[EC2_ID_LEN], cluster[128];
	unsigned int interval_s;
	uint64_t deadline_ms;
	int64_t now;
	char tokens[MAX_TOKENS][EC2_TOKEN_MAX + 1];
	size_t n_tokens;

	/* in and out */
	uint32_t nodes;
	int64_t counted_at, until;
	/* results */
	int r;
	bool holder;
	unsigned int removed;
	struct ec2_error err;
};

/* --- the lease */

static int read_lease(struct look *l, struct leak_lease *ret)
{
	const struct ec2_kv filters[] = {{"tag-key", TAG_SWEEPER}, {"vpc-id", l->vpc_id}};
	const struct ec2_find what = {.filters = filters, .n_filters = VW_ARRAY_SIZE(filters)};
	struct ec2_enis tagged = {0};
	int r = ec2_describe_enis(l->ec2, l->deadline_ms, &what, &tagged, &l->err);

	if (r < 0)
		return r;
	leak_lease_find(&tagged, l->cluster, l->now, ret);
	ec2_enis_done(&tagged);
	return 0;
}

/* nodes with a secondary ENI of this cluster at device 1: nearly all, and one page for a thousand of them,
 * once a day */
static int count_nodes(struct look *l)
{
	const struct ec2_kv filters[] = {
		{"tag-key", TAG_INSTANCE},
		{"attachment.device-index", "1"},
		{"vpc-id", l->vpc_id},
		{"tag:" TAG_CLUSTER, l->cluster},
	};
	const struct ec2_find what = {.filters = filters,
				      .n_filters = VW_ARRAY_SIZE(filters) - !l->cluster[0]};
	size_t n = 0;
	int r;

	if (l->counted_at && l->now - l->counted_at < COUNT_EVERY_S)
		return 0;
	r = ec2_count_enis(l->ec2, l->deadline_ms, &what, &n, &l->err);
	if (r < 0)
		return r;
	l->nodes = n > 1000000 ? 1000000 : n ? (uint32_t)n : 1;
	l->counted_at = l->now;
	return 0;
}

static int write_lease(struct look *l)
{
	int64_t until = l->now + (int64_t)LEAK_LEASE_INTERVALS * l->interval_s;
	char value[256];
	const struct ec2_kv tag = {TAG_SWEEPER, leak_lease_text(until, l->nodes, l->cluster, value)};
	int r = ec2_create_tags(l->ec2, l->deadline_ms, l->primary_id, &tag, 1, &l->err);

	if (r == 0)
		l->until = until;
	return r;
}

/* find out whether we are the holder, and become it when nobody is */
static int settle(struct look *l)
{
	struct leak_lease lease = {0};
	int r;

	/* far from its end: no need to look who else wants it */
	l->holder = l->until - l->now > (int64_t)LEAK_LEASE_INTERVALS / 2 * l->interval_s;
	if (l->holder)
		return 0;
	l->until = 0;
	r = read_lease(l, &lease);
	if (r < 0)
		return r;
	if (lease.instance_id[0] && strcmp(lease.instance_id, l->instance_id)) {
		l->nodes = lease.nodes;
		return 0;
	}
	r = count_nodes(l);
	if (r == 0)
		r = write_lease(l);
	if (r == 0)
		r = read_lease(l, &lease);
	if (r < 0)
		return r;
	l->holder = !lease.instance_id[0] || !strcmp(lease.instance_id, l->instance_id);
	if (!l->holder) {
		l->nodes = lease.nodes;
		l->until = 0;
	}
	return 0;
}

/* --- what was left */

struct owners {
	struct {
		char id[EC2_ID_LEN];
		bool dead;
	} v[MAX_OWNERS];
	size_t n;
};

static bool is_dead(struct look *l, struct owners *o, const char *id)
{
	const struct ec2_kv filters[] = {{"attachment.instance-id", id}, {"attachment.device-index", "0"}};
	const struct ec2_find what = {.filters = filters, .n_filters = VW_ARRAY_SIZE(filters)};
	size_t n = 1;

	for (size_t i = 0; i < o->n; i++)
		if (!strcmp(o->v[i].id, id))
			return o->v[i].dead;
	if (o->n == MAX_OWNERS || vw_fmt(o->v[o->n].id, EC2_ID_LEN, "%s", id) < 0)
		return false;
	if (ec2_count_enis(l->ec2, l->deadline_ms, &what, &n, &l->err) < 0)
		return false; /* not known: not dead */
	o->v[o->n].dead = n == 0;
	return o->v[o->n++].dead;
}

static bool is_open(const struct look *l, const struct ec2_eni *e)
{
	const char *token = ec2_eni_tag(e, TAG_INTENT);

	for (size_t i = 0; token && i < l->n_tokens; i++)
		if (!strcmp(l->tokens[i], token))
			return true;
	return false;
}

static void remove_one(struct look *l, const struct ec2_eni *e, const char *owner)
{
	if (ec2_delete_eni(l->ec2, l->deadline_ms, e->id, &l->err) < 0) {
		vw_warn("a leaked ENI could not be removed, trying again later", "eni=%s err=\"%s\"", e->id,
			l->err.why.msg);
		return;
	}
	l->removed++;
	vw_info("a leaked ENI is removed", "eni=%s of=%s created=%s", e->id, owner,
		ec2_eni_tag(e, TAG_CREATED));
}

static int sweep(struct look *l)
{
	const struct ec2_kv filters[] = {
		l->holder ? (struct ec2_kv){"tag-key", TAG_INSTANCE}
			  : (struct ec2_kv){"tag:" TAG_INSTANCE, l->instance_id},
		{"status", "available"},
		{"vpc-id", l->vpc_id},
	};
	const struct ec2_find what = {.filters = filters, .n_filters = VW_ARRAY_SIZE(filters)};
	struct owners *owners = calloc(1, sizeof(*owners));
	struct ec2_enis found = {0};
	int r = -ENOMEM;

	if (owners)
		r = ec2_describe_enis(l->ec2, l->deadline_ms, &what, &found, &l->err);
	for (size_t i = 0; r == 0 && i < found.n && l->removed < MAX_DELETES; i++) {
		const struct ec2_eni *e = &found.v[i];
		const char *owner = ec2_eni_tag(e, TAG_INSTANCE);
		bool own = owner && !strcmp(owner, l->instance_id);

		if (!leak_is_suspect(e, l->cluster, l->now) || (own && is_open(l, e)))
			continue;
		if (own || is_dead(l, owners, owner))
			remove_one(l, e, owner);
	}
	ec2_enis_done(&found);
	free(owners);
	return r;
}

static void look_work(void *arg)
{
	struct look *l = arg;

	l->now = vw_unix_s() + ec2_clock_skew_s(l->ec2);
	l->r = settle(l);
	if (l->r == 0)
		l->r = sweep(l);
}

/* --- the timer */

static uint64_t chance(struct sweep *s)
{
	s->chance = s->chance * 6364136223846793005u + 1442695040888963407u;
	return s->chance >> 20;
}

static void look_done(void *arg)
{
	struct look *l = arg;
	struct daemon *d = l->d;
	struct sweep *s = d->sweep;
	bool held = s->until != 0;

	s->running = false;
	s->nodes = l->nodes;
	s->counted_at = l->counted_at;
	s->until = l->until;
	if (l->r < 0 && !d->stopping && !s->told)
		vw_warn("leaked ENIs could not be looked for, trying again later", "err=\"%s\"",
			l->err.why.msg);
	s->told = l->r < 0;
	if (l->r == 0 && l->holder && !held)
		vw_info("this node looks for leaked ENIs of the cluster from now on", "nodes=%u", l->nodes);
	else if (l->r == 0 && !l->holder && held)
		vw_info("another node looks for leaked ENIs of the cluster from now on");
	if (!d->stopping && s->scheduled)
		loop_timer_set(s->timer, 1000 * leak_next_s(l->r == 0 && l->holder, l->nodes,
							    d->cfg->leak_check_s, chance(s)));
	free(l);
}

static int add_token(const struct store_intent *i, void *arg)
{
	struct look *l = arg;

	if (l->n_tokens == MAX_TOKENS)
		return -E2BIG;
	memcpy(l->tokens[l->n_tokens++], i->token, sizeof(i->token));
	return 0;
}

static const char *primary_id(const struct daemon *d)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].row.primary)
			return d->enis.v[i].row.id;
	return "";
}

static void on_timer(void *arg)
{
	struct daemon *d = arg;
	struct sweep *s = d->sweep;
	struct look *l;
	struct vw_err err;

	if (s->running || d->stopping)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		goto later;
	l->d = d;
	l->ec2 = d->cloud->ec2;
	l->interval_s = d->cfg->leak_check_s;
	l->deadline_ms = vw_mono_ms() + LOOK_DEADLINE_MS;
	l->nodes = s->nodes;
	l->counted_at = s->counted_at;
	l->until = s->until;
	if (!l->ec2 || VW_COPY(l->instance_id, d->node.instance_id) <= 0 ||
	    VW_COPY(l->vpc_id, d->node.vpc_id) <= 0 || VW_COPY(l->primary_id, primary_id(d)) <= 0 ||
	    VW_COPY(l->cluster, d->cfg->cluster_name) < 0 ||
	    store_intent_each(d->store, add_token, l, &err) < 0 ||
	    loop_job(d->loop, look_work, look_done, l) < 0)
		goto later;
	s->running = true;
	return;
later:
	free(l);
	loop_timer_set(s->timer, 1000 * (uint64_t)d->cfg->leak_check_s);
}

bool sweep_scheduled(const struct daemon *d)
{
	return d->sweep->scheduled;
}

void sweep_schedule(struct daemon *d)
{
	struct sweep *s = d->sweep;

	s->scheduled = !d->cfg->disable_leaked_eni_cleanup;
	if (s->scheduled)
		loop_timer_set(s->timer, 1000 * leak_first_s(d->cfg->leak_check_s, chance(s)));
	else
		loop_timer_stop(s->timer);
}

int sweep_new(struct daemon *d, struct sweep **ret_sweep, struct vw_err *err)
{
	struct sweep *s = calloc(1, sizeof(*s));

	if (!s || loop_timer_new(d->loop, on_timer, d, &s->timer) < 0) {
		free(s);
		return vw_err_set(err, ENOMEM, 0, "no memory for the search for leaked ENIs");
	}
	if (getrandom(&s->chance, sizeof(s->chance), 0) < 0)
		s->chance = vw_mono_us();
	*ret_sweep = s;
	return 0;
}

void sweep_free(struct sweep *s)
{
	free(s); /* the timer went with the loop */
}
