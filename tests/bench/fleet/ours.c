/*
 * vpcwire's side: the real pool, planner and demand estimator of ipam/, with what daemon/ does around them (one job per
 * action, calls retried as daemon/ec2.c does, pauses as daemon/grow_apply.c does, ADDs that wait in a queue) on
 * virtual time.
 */
#include "tests/bench/fleet/world.h"

#include "daemon/backoff.h"
#include "ipam/demand.h"
#include "ipam/pause.h"
#include "ipam/planner.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADD_WAIT_MS 20000
#define CALL_TRIES 5            /* EC2_MAX_TRIES */
#define JOB_DEADLINE_MS 90000
#define LINK_MIN_MS 2000        /* from attach to the link in the kernel */
#define LINK_MAX_MS 5000
#define SUBNET_PAUSE_MS 120000
#define MAX_JOBS 8
#define MAX_WAITERS 1024
#define SUBNET_ID "subnet-0"

struct job {
	bool used;
	struct ipam_action a;
	unsigned int eni, step, tries;
	uint64_t wanted_ms, deadline_ms;
};

struct waiter {
	uint32_t pod;
	unsigned int attempt;
};

struct ours {
	struct ipam_pool *pool;
	struct ipam_demand demand;
	struct job jobs[MAX_JOBS];
	struct ipam_subnet subnet;
	struct ipam_why blocks[IPAM_ACT_COUNT_];
	uint64_t pause_ms[IPAM_ACT_COUNT_];
	uint64_t last_shrink_ms, wanted_ms, wake_ms;
	bool ready;
	struct waiter waiters[MAX_WAITERS];
	size_t n_waiters;
};

static void plan_node(struct world *w, uint32_t node);
static void job_step(struct world *w, uint32_t node, uint32_t job);

static bool is_growth(enum ipam_act act)
{
	return act == IPAM_ACT_CREATE_ENI || act == IPAM_ACT_ASSIGN_PREFIXES || act == IPAM_ACT_ASSIGN_ADDRS;
}

static struct vw_ip ip_of(uint32_t addr)
{
	return vw_ip4(0x0a000000 + addr);
}

static void eni_name(unsigned int e, char id[IPAM_ID_MAX])
{
	(void)!vw_fmt(id, IPAM_ID_MAX, "eni-%u", e);
}

static unsigned int eni_number(const char *id)
{
	return (unsigned int)(id[4] - '0');
}

static void key_of(uint32_t pod, char key[24])
{
	(void)!vw_fmt(key, 24, "p%u/eth0", pod);
}

/* --- pods */

static bool serve_one(struct world *w, uint32_t pod)
{
	struct ours *o = w->nodes[w->pods[pod].node].ours;
	struct ipam_addr a;
	char key[24];

	key_of(pod, key);
	if (!o->ready || ipam_pool_assign(o->pool, key, w->now_ms, &a) < 0)
		return false;
	pod_got(w, pod, vw_ip4_u32(&a.ip) - 0x0a000000);
	return true;
}

static void drop_waiter(struct ours *o, size_t i)
{
	memmove(&o->waiters[i], &o->waiters[i + 1], (--o->n_waiters - i) * sizeof(o->waiters[0]));
}

static void serve_waiters(struct world *w, uint32_t node)
{
	struct ours *o = w->nodes[node].ours;

	while (o->n_waiters && serve_one(w, o->waiters[0].pod))
		drop_waiter(o, 0);
}

static void give_up(struct world *w, uint32_t pod, uint32_t attempt)
{
	struct ours *o = w->nodes[w->pods[pod].node].ours;

	for (size_t i = 0; i < o->n_waiters; i++)
		if (o->waiters[i].pod == pod && o->waiters[i].attempt == attempt) {
			drop_waiter(o, i);
			ipam_demand_withdraw(&o->demand, w->now_ms);
			pod_failed(w, pod);
			plan_node(w, w->pods[pod].node);
			return;
		}
}

void ours_add(struct world *w, uint32_t pod)
{
	uint32_t node = w->pods[pod].node;
	struct ours *o = w->nodes[node].ours;

	ipam_demand_arrive(&o->demand, w->now_ms);
	if (o->n_waiters || !serve_one(w, pod)) {
		if (o->n_waiters == MAX_WAITERS) {
			ipam_demand_withdraw(&o->demand, w->now_ms);
			pod_failed(w, pod);
			return;
		}
		o->waiters[o->n_waiters++] = (struct waiter){ pod, w->pods[pod].attempt };
		world_at(w, w->now_ms + ADD_WAIT_MS, give_up, pod, w->pods[pod].attempt);
	}
	plan_node(w, node);
}

void ours_del(struct world *w, uint32_t pod)
{
	uint32_t node = w->pods[pod].node;
	struct ours *o = w->nodes[node].ours;
	char key[24];

	if (w->pods[pod].state == POD_RUNNING) {
		key_of(pod, key);
		if (ipam_pool_release(o->pool, key, w->now_ms, WORLD_COOLDOWN_MS, NULL) < 0)
			world_violation(w);
		ipam_demand_leave(&o->demand, w->now_ms);
	}
	for (size_t i = 0; i < o->n_waiters; i++)
		if (o->waiters[i].pod == pod) {
			drop_waiter(o, i);
			ipam_demand_withdraw(&o->demand, w->now_ms);
		}
	plan_node(w, node);
}

/* --- what EC2 has, into the pool */

static void learn_eni(struct world *w, struct world_node *n, unsigned int e)
{
	struct ipam_eni eni = {
		.number = e,
		.device = e,
		.max_slots = WORLD_SLOTS,
		.primary = e == 0,
		.usable = true,
		.state = IPAM_ENI_READY,
		.created_ms = w->now_ms,
	};

	eni_name(e, eni.id);
	memcpy(eni.subnet_id, SUBNET_ID, sizeof(SUBNET_ID));
	if (ipam_pool_eni_put(n->ours->pool, &eni) < 0)
		world_violation(w);
	for (unsigned int i = 0; i < n->enis[e].n_slots; i++) {
		const struct world_slot *s = &n->enis[e].slots[i];
		struct vw_ip ip = ip_of(s->base);
		struct vw_cidr c = vw_cidr_of(&ip, s->prefix ? 28 : 32);

		if (ipam_pool_slot_add(n->ours->pool, eni.id, &c) < 0)
			world_violation(w);
	}
}

static void learn_slots(struct world *w, struct world_node *n, unsigned int e)
{
	char id[IPAM_ID_MAX];

	eni_name(e, id);
	for (unsigned int i = 0; i < n->enis[e].n_slots; i++) {
		const struct world_slot *s = &n->enis[e].slots[i];
		struct vw_ip ip = ip_of(s->base);
		struct vw_cidr c = vw_cidr_of(&ip, s->prefix ? 28 : 32);

		if (ipam_pool_slot_add(n->ours->pool, id, &c) < 0)
			world_violation(w);
	}
}

/* --- jobs: steps of calls */

static enum fleet_action call_of(const struct job *j)
{
	static const enum fleet_action create[] = { FLEET_CREATE, FLEET_ATTACH, FLEET_MODIFY };
	static const enum fleet_action removal[] = { FLEET_DETACH, FLEET_DELETE };

	switch (j->a.act) {
	case IPAM_ACT_CREATE_ENI:
		return create[j->step];
	case IPAM_ACT_UNASSIGN:
		return FLEET_UNASSIGN;
	case IPAM_ACT_REMOVE_ENI:
		return removal[j->step];
	default:
		return FLEET_ASSIGN;
	}
}

static unsigned int steps_of(const struct job *j)
{
	return j->a.act == IPAM_ACT_CREATE_ENI ? 3 : j->a.act == IPAM_ACT_REMOVE_ENI ? 2 : 1;
}

static void undo_shrink(struct ours *o, const struct job *j)
{
	if (j->a.act == IPAM_ACT_UNASSIGN)
		for (size_t i = 0; i < j->a.n_cidrs; i++)
			(void)ipam_pool_slot_retire(o->pool, &j->a.cidrs[i], false);
	else if (j->a.act == IPAM_ACT_REMOVE_ENI)
		(void)ipam_pool_eni_state(o->pool, j->a.eni_id, IPAM_ENI_READY);
}

/* an empty ENI: nobody needs it yet */
static bool is_ahead(const struct job *j)
{
	return j->a.act == IPAM_ACT_CREATE_ENI && !j->a.n_addrs && !j->a.n_prefixes;
}

static void job_throttled(struct world *w, struct ours *o, struct job *j)
{
	uint64_t lasts, until;
	struct ipam_stats st;

	ipam_pool_stats(o->pool, &st);
	lasts = o->n_waiters ? 0 : ipam_demand_lasts_ms(&o->demand, w->now_ms, st.available);
	until = w->now_ms + ipam_pause_next(&o->pause_ms[j->a.act], is_growth(j->a.act) && !is_ahead(j), lasts, world_random(&w->rng));

	undo_shrink(o, j);
	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++)
		if (act == j->a.act)
			o->blocks[act] = (struct ipam_why){ .cause = IPAM_CAUSE_THROTTLED, .until_ms = until };
	if (is_growth(j->a.act) && (!o->wanted_ms || j->wanted_ms < o->wanted_ms))
		o->wanted_ms = j->wanted_ms;
}

static void subnet_short(struct world *w, struct ours *o, const struct job *j)
{
	if (j->a.n_prefixes)
		o->subnet.no_prefix_until_ms = w->now_ms + SUBNET_PAUSE_MS;
	else
		o->subnet.no_addr_until_ms = w->now_ms + SUBNET_PAUSE_MS;
	if (!o->wanted_ms || j->wanted_ms < o->wanted_ms)
		o->wanted_ms = j->wanted_ms;
}

static void grew(struct world *w, struct ours *o, const struct job *j)
{
	o->blocks[j->a.act] = (struct ipam_why){ 0 };
	ipam_pause_ease(&o->pause_ms[j->a.act]);
	ipam_demand_grew(&o->demand, w->now_ms, w->now_ms - j->wanted_ms);
}

/* every call has been answered */
static void job_end(struct world *w, uint32_t node, uint32_t job)
{
	struct world_node *n = &w->nodes[node];
	struct ours *o = n->ours;
	struct job *j = &o->jobs[job];

	if (!n->up)
		return;
	j->used = false;
	if (j->a.act == IPAM_ACT_CREATE_ENI) {
		n->enis[j->eni].attached = true;
		learn_eni(w, n, j->eni);
		grew(w, o, j);
	} else if (is_growth(j->a.act)) {
		learn_slots(w, n, j->eni);
		grew(w, o, j);
	} else {
		o->pause_ms[j->a.act] = 0;
		o->blocks[j->a.act] = (struct ipam_why){ 0 };
	}
	serve_waiters(w, node);
	plan_node(w, node);
}

static void remove_slots(struct world *w, struct world_node *n, const struct job *j)
{
	struct world_eni *e = &n->enis[j->eni];

	for (size_t i = 0; i < j->a.n_cidrs; i++) {
		uint32_t base = vw_ip4_u32(&j->a.cidrs[i].ip) - 0x0a000000;

		for (unsigned int k = 0; k < e->n_slots; k++)
			if (e->slots[k].base == base) {
				account_remove(w, n, j->eni, k);
				break;
			}
		if (ipam_pool_slot_del(n->ours->pool, &j->a.cidrs[i]) < 0)
			world_violation(w);
	}
}

/* EC2 has carried out the step's call. Return: -ENOSPC when the subnet is short. */
static int step_done(struct world *w, struct world_node *n, struct job *j)
{
	unsigned int count = j->a.n_prefixes + j->a.n_addrs;
	int r = 0;

	switch (call_of(j)) {
	case FLEET_CREATE:
		r = account_eni(w, n, j->eni);
		if (r == 0) {
			r = account_add(w, n, j->eni, count, j->a.n_prefixes > 0);
			if (r < 0)
				account_eni_gone(w, n, j->eni);
		}
		break;
	case FLEET_ASSIGN:
		r = account_add(w, n, j->eni, count, j->a.n_prefixes > 0);
		break;
	case FLEET_UNASSIGN:
		remove_slots(w, n, j);
		break;
	case FLEET_DELETE:
		account_eni_gone(w, n, j->eni);
		if (ipam_pool_eni_del(n->ours->pool, j->a.eni_id) < 0)
			world_violation(w);
		break;
	default:
		break;
	}
	return r;
}

/* throttled once more: again after a wait, unless tries or deadline are used up (daemon/ec2.c, next_step()) */
static bool call_again(struct world *w, uint32_t node, uint32_t job)
{
	struct job *j = &w->nodes[node].ours->jobs[job];
	uint64_t wait;

	/* what a plan asked for is planned anew, perhaps as a larger request */
	if (j->step == 0)
		return false;
	/* detached and not yet deleted: there is no way back, the daemon's next plans go on with it */
	if (++j->tries >= CALL_TRIES && call_of(j) != FLEET_DELETE)
		return false;
	wait = backoff_ms(j->tries, 1000, 20000, (uint32_t)world_random(&w->rng));
	if (wait < 1000)
		wait = 1000;            /* the node's own bucket is empty after a throttle: 1 a second */
	if (w->now_ms + wait >= j->deadline_ms && call_of(j) != FLEET_DELETE)
		return false;
	world_at(w, w->now_ms + wait, job_step, node, job);
	return true;
}

static void job_step(struct world *w, uint32_t node, uint32_t job)
{
	struct world_node *n = &w->nodes[node];
	struct ours *o = n->ours;
	struct job *j = &o->jobs[job];
	enum fleet_action a = call_of(j);
	uint64_t ms;

	if (!n->up || !j->used)
		return;
	if (!account_call(w, a)) {
		if (call_again(w, node, job))
			return;
		/* an ENI that could not be attached is deleted; delete-on-termination is done by a later survey */
		if (a == FLEET_ATTACH) {
			(void)account_call(w, FLEET_DELETE);
			account_eni_gone(w, n, j->eni);
		}
		if (a != FLEET_MODIFY) {
			j->used = false;
			job_throttled(w, o, j);
			plan_node(w, node);
			return;
		}
	} else if (step_done(w, n, j) < 0) {
		j->used = false;
		subnet_short(w, o, j);
		plan_node(w, node);
		return;
	}
	ms = account_latency(w, a);
	j->tries = 0;
	if (++j->step < steps_of(j)) {
		world_at(w, w->now_ms + ms, job_step, node, job);
		return;
	}
	if (j->a.act == IPAM_ACT_CREATE_ENI)
		ms += world_between(&w->rng, LINK_MIN_MS, LINK_MAX_MS);
	world_at(w, w->now_ms + ms, job_end, node, job);
}

static void start_shrink(struct world *w, struct ours *o, const struct ipam_action *a)
{
	if (!is_growth(a->act))
		o->last_shrink_ms = w->now_ms;
	if (a->act == IPAM_ACT_UNASSIGN)
		for (size_t i = 0; i < a->n_cidrs; i++)
			if (ipam_pool_slot_retire(o->pool, &a->cidrs[i], true) < 0)
				world_violation(w);
	if (a->act == IPAM_ACT_REMOVE_ENI && ipam_pool_eni_state(o->pool, a->eni_id, IPAM_ENI_REMOVING) < 0)
		world_violation(w);
}

static void start_job(struct world *w, uint32_t node, const struct ipam_action *a)
{
	struct world_node *n = &w->nodes[node];
	struct ours *o = n->ours;
	unsigned int eni = a->eni_id[0] ? eni_number(a->eni_id) : 0, k;

	if (a->act == IPAM_ACT_CREATE_ENI) {
		uint32_t taken = 0;

		for (unsigned int e = 0; e < WORLD_MAX_ENIS; e++)
			taken |= n->enis[e].exists ? 1u << e : 0;
		for (k = 0; k < MAX_JOBS; k++)
			taken |= o->jobs[k].used && o->jobs[k].a.act == IPAM_ACT_CREATE_ENI ? 1u << o->jobs[k].eni : 0;
		while (taken & 1u << eni)
			eni++;
	}
	if (eni >= WORLD_MAX_ENIS) {
		world_violation(w);
		return;
	}
	for (k = 0; k < MAX_JOBS && o->jobs[k].used; k++)
		;
	if (k == MAX_JOBS)
		return;
	start_shrink(w, o, a);
	o->jobs[k] = (struct job){
		.used = true,
		.a = *a,
		.eni = eni,
		.wanted_ms = o->wanted_ms ? o->wanted_ms : w->now_ms,
		.deadline_ms = w->now_ms + JOB_DEADLINE_MS,
	};
	world_at(w, w->now_ms, job_step, node, k);
}

/* --- plans */

static void wake(struct world *w, uint32_t node, uint32_t unused)
{
	struct world_node *n = &w->nodes[node];

	if (!n->up || n->ours->wake_ms != w->now_ms)
		return;
	ipam_pool_advance(n->ours->pool, w->now_ms);
	serve_waiters(w, node);
	plan_node(w, node);
}

static size_t inflight(const struct ours *o, struct ipam_inflight v[MAX_JOBS])
{
	size_t n = 0;

	for (unsigned int k = 0; k < MAX_JOBS; k++) {
		const struct job *j = &o->jobs[k];

		if (!j->used)
			continue;
		v[n] = (struct ipam_inflight){ .act = j->a.act, .n_prefixes = j->a.n_prefixes, .n_addrs = j->a.n_addrs };
		memcpy(v[n].eni_id, j->a.eni_id, sizeof(v[n].eni_id));
		memcpy(v[n].subnet_id, SUBNET_ID, sizeof(SUBNET_ID));
		n++;
	}
	return n;
}

static void plan_node(struct world *w, uint32_t node)
{
	struct ours *o = w->nodes[node].ours;
	struct ipam_inflight fly[MAX_JOBS];
	struct ipam_plan_in in = {
		.targets = w->opts->targets,
		.limits = { .max_enis = WORLD_MAX_ENIS, .slots_per_eni = WORLD_SLOTS, .max_pods = 0,
			    .eni_min_age_ms = IPAM_ENI_MIN_AGE_MS, .shrink_interval_ms = IPAM_SHRINK_INTERVAL_MS },
		.subnets = &o->subnet,
		.n_subnets = 1,
		.inflight = fly,
		.waiting = (unsigned int)o->n_waiters,
		.shrink = true,
		.last_shrink_ms = o->last_shrink_ms,
	};
	unsigned int capacity = ipam_limits_capacity(&in.limits, in.targets.mode);
	struct ipam_plan plan;
	struct ipam_stats st;
	uint64_t falls;

	if (!o->ready)
		return;
	ipam_pool_advance(o->pool, w->now_ms);
	in.n_inflight = inflight(o, fly);
	for (enum ipam_act act = 0; o->n_waiters && act < IPAM_ACT_COUNT_; act++)
		if (is_growth(act) && o->blocks[act].cause == IPAM_CAUSE_THROTTLED)
			o->blocks[act].until_ms = ipam_pause_hurry(o->blocks[act].until_ms, w->now_ms, world_random(&w->rng));
	memcpy(in.blocks, o->blocks, sizeof(in.blocks));
	in.targets.warm = ipam_demand_warm(&o->demand, w->now_ms, in.targets.mode, capacity);
	ipam_plan(o->pool, &in, &plan);
	if (!plan.need.short_addrs)
		o->wanted_ms = 0;
	else if (!o->wanted_ms)
		o->wanted_ms = w->now_ms;
	for (size_t i = 0; i < plan.n; i++)
		start_job(w, node, &plan.v[i]);
	if (in.targets.adaptive) {
		ipam_pool_stats(o->pool, &st);
		falls = ipam_demand_falls_ms(&o->demand, w->now_ms, in.targets.mode, capacity, st.available);
		if (falls > w->now_ms && falls < plan.again_ms)
			plan.again_ms = falls;
	}
	if (plan.again_ms < w->end_ms && (plan.again_ms != o->wake_ms || o->wake_ms <= w->now_ms)) {
		o->wake_ms = plan.again_ms > w->now_ms ? plan.again_ms : w->now_ms + 1;
		world_at(w, o->wake_ms, wake, node, 0);
	}
}

/* --- life */

int ours_init(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		w->nodes[i].ours = calloc(1, sizeof(struct ours));
		if (!w->nodes[i].ours)
			return -ENOMEM;
	}
	return 0;
}

static void ready(struct world *w, uint32_t node, uint32_t unused)
{
	struct ours *o = w->nodes[node].ours;

	learn_eni(w, &w->nodes[node], 0);
	ipam_demand_init(&o->demand, w->now_ms);
	o->ready = true;
	serve_waiters(w, node);
	plan_node(w, node);
}

/* a new daemon's survey: who it is, its type's limits, its ENIs, their subnet */
void ours_up(struct world *w, uint32_t node, uint32_t step)
{
	static const enum fleet_action survey[] = { FLEET_DESCRIBE_TYPES, FLEET_DESCRIBE_ENIS, FLEET_DESCRIBE_SUBNETS };
	struct ours *o = w->nodes[node].ours;

	if (!w->nodes[node].up)
		return;
	if (step == 0) {
		o->pool = ipam_pool_new();
		memcpy(o->subnet.id, SUBNET_ID, sizeof(SUBNET_ID));
		o->subnet.free4 = IPAM_FREE4_UNKNOWN;
		o->subnet.create = true;
		w->failed |= !o->pool;
	}
	if (!o->pool)
		return;
	if (!account_call(w, survey[step])) {
		world_at(w, w->now_ms + world_between(&w->rng, 1000, 4000), ours_up, node, step);
		return;
	}
	step++;
	world_at(w, w->now_ms + account_latency(w, survey[step - 1]), step < 3 ? ours_up : ready, node, step);
}

void ours_done(struct world *w)
{
	struct vw_err err;

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct ours *o = w->nodes[i].ours;

		if (o && o->pool && ipam_pool_check(o->pool, &err) < 0)
			world_violation(w);
		if (o)
			ipam_pool_free(o->pool);
		free(o);
	}
}
