/*
 * A model of the Amazon VPC CNI's pool (amazon-vpc-cni-k8s b52188387, pkg/ipamd/ipamd.go, datastore/data_store.go,
 * awsutils.go), faithful where it matters for calls, waits and idle addresses:
 *
 *   one goroutine: a pass every 5 s that is blocked by every call it makes; an ADD on an empty pool fails at once;
 *   short and over as in updateIPPoolIfRequired(), cooling addresses counted as available;
 *   a pass grows one ENI: the first with a free slot, all that fits (with a target: what is short), on an error once
 *   more with a count of 1; or else one new ENI: DescribeSubnets, Create, DescribeInstances, Attach, Modify, poll IMDS;
 *   120 s of rest after a subnet ran out, no single addresses instead of prefixes;
 *   a pod gets any free address of any ENI (Go's map order), so neither prefixes nor ENIs become free;
 *   giving back at most every 30 s, one ENI a pass: Describe, Detach, 2 s, Delete;
 *   the SDK's three tries with up to 2 s and 4 s between them.
 *
 * Where the source leaves room the kinder reading is taken: no new ENI after a failed assign, no further calls after
 * a failed Modify, no calls of reconcile or of refreshed security groups.
 */
#include "tests/bench/fleet/world.h"

#include <errno.h>
#include <stdlib.h>

#define PASS_MS 5000
#define DECREASE_MS 30000
#define MIN_ENI_LIFE_MS 60000
#define SUBNET_REST_MS 120000
#define DETACH_SLEEP_MS 2000
#define SDK_TRIES 3
#define PREFIX 16

enum step {
	STEP_START_DESCRIBE, STEP_START_TAG,
	STEP_ASSIGN, STEP_ASSIGN_ONE,
	STEP_SUBNETS, STEP_CREATE, STEP_INSTANCES, STEP_ATTACH, STEP_MODIFY, STEP_UNDO,
	STEP_UNASSIGN,
	STEP_FREE_DESCRIBE, STEP_DETACH, STEP_DELETE,
};

static const enum fleet_action action_of[] = {
	[STEP_START_DESCRIBE] = FLEET_DESCRIBE_ENIS, [STEP_START_TAG] = FLEET_TAG,
	[STEP_ASSIGN] = FLEET_ASSIGN, [STEP_ASSIGN_ONE] = FLEET_ASSIGN,
	[STEP_SUBNETS] = FLEET_DESCRIBE_SUBNETS, [STEP_CREATE] = FLEET_CREATE,
	[STEP_INSTANCES] = FLEET_DESCRIBE_INSTANCES, [STEP_ATTACH] = FLEET_ATTACH, [STEP_MODIFY] = FLEET_MODIFY,
	[STEP_UNDO] = FLEET_DELETE, [STEP_UNASSIGN] = FLEET_UNASSIGN,
	[STEP_FREE_DESCRIBE] = FLEET_DESCRIBE_ENIS, [STEP_DETACH] = FLEET_DETACH, [STEP_DELETE] = FLEET_DELETE,
};

struct awsnode {
	enum step step;
	bool ready;
	unsigned int tries, eni, count;
	unsigned int over;              /* slots still to give back in this decrease */
	uint64_t eni_created_ms[WORLD_MAX_ENIS];
	uint64_t rest_until_ms, last_decrease_ms;
};

struct view {
	int total, assigned, avail, prefixes, free_prefixes;
};

static void pass(struct world *w, uint32_t node, uint32_t unused);
static void call(struct world *w, uint32_t node, uint32_t unused);

static bool prefixes(const struct world *w)
{
	return w->opts->targets.mode == IPAM_MODE_PREFIXES;
}

static int max_i(int a, int b)
{
	return a > b ? a : b;
}

static int min_i(int a, int b)
{
	return a < b ? a : b;
}

static unsigned int width(const struct world_slot *s)
{
	return s->prefix ? PREFIX : 1;
}

static bool slot_assigned(const struct world *w, const struct world_slot *s)
{
	for (uint32_t i = s->base; i < s->base + width(s); i++)
		if (w->pod_of[i])
			return true;
	return false;
}

static bool cooling(const struct world *w, uint32_t addr)
{
	return w->freed_ms[addr] && w->freed_ms[addr] + WORLD_COOLDOWN_MS > w->now_ms;
}

static bool slot_cooling(const struct world *w, const struct world_slot *s)
{
	for (uint32_t i = s->base; i < s->base + width(s); i++)
		if (cooling(w, i))
			return true;
	return false;
}

static struct view look(const struct world *w, const struct world_node *n)
{
	struct view v = { .assigned = (int)n->pods };

	for (unsigned int e = 0; e < WORLD_MAX_ENIS; e++) {
		for (unsigned int i = 0; n->enis[e].attached && i < n->enis[e].n_slots; i++) {
			const struct world_slot *s = &n->enis[e].slots[i];

			v.total += (int)width(s);
			v.prefixes += s->prefix;
			v.free_prefixes += s->prefix && !slot_assigned(w, s);
		}
	}
	v.avail = v.total - v.assigned;
	return v;
}

/* --- short and over */

static bool by_addr(const struct world *w)
{
	return w->opts->targets.warm_ip || w->opts->targets.minimum_ip;
}

static int short_addrs(const struct world *w, const struct view *v)
{
	const struct ipam_targets *t = &w->opts->targets;

	return max_i(max_i((int)t->warm_ip - v->avail, 0), (int)t->minimum_ip - v->total);
}

static bool too_low(const struct world *w, const struct view *v)
{
	const struct ipam_targets *t = &w->opts->targets;
	int max_pods = prefixes(w) ? 110 : 58, target;

	if (v->total >= max_pods)
		return false;
	if (by_addr(w))
		return short_addrs(w, v) > 0;
	target = prefixes(w) ? (int)t->warm_prefix * PREFIX : (int)t->warm_eni * WORLD_SLOTS;
	return v->avail < target || (!target && !v->avail);
}

/* slots to give back; with plain addresses and WARM_ENI there is no such thing */
static int over_slots(const struct world *w, const struct view *v)
{
	const struct ipam_targets *t = &w->opts->targets;
	int over;

	if (!prefixes(w)) {
		if (!by_addr(w))
			return 0;
		over = max_i(v->avail - (int)t->warm_ip, 0);
		return max_i(min_i(over, v->total - (int)t->minimum_ip), 0);
	}
	if (!by_addr(w))
		return max_i(v->free_prefixes - (int)t->warm_prefix, 0);
	over = v->prefixes - (v->assigned + (int)t->warm_ip + PREFIX - 1) / PREFIX;
	over = max_i(min_i(v->free_prefixes, over), 0);
	return max_i(min_i(over, v->prefixes - ((int)t->minimum_ip + PREFIX - 1) / PREFIX), 0);
}

static int ask(const struct world *w, const struct view *v)
{
	int n = short_addrs(w, v);

	if (!prefixes(w))
		return by_addr(w) ? min_i(n, WORLD_SLOTS) : WORLD_SLOTS;
	n = by_addr(w) ? (n + PREFIX - 1) / PREFIX : (int)w->opts->targets.warm_prefix - v->free_prefixes;
	return min_i(max_i(n, 1), WORLD_SLOTS);
}

static bool deletable(const struct world *w, const struct world_node *n, const struct view *v, unsigned int e)
{
	const struct ipam_targets *t = &w->opts->targets;
	const struct world_eni *eni = &n->enis[e];
	int addrs = 0;

	if (!eni->attached || n->aws->eni_created_ms[e] + MIN_ENI_LIFE_MS > w->now_ms)
		return false;
	for (unsigned int i = 0; i < eni->n_slots; i++) {
		if (slot_assigned(w, &eni->slots[i]) || slot_cooling(w, &eni->slots[i]))
			return false;
		addrs += (int)width(&eni->slots[i]);
	}
	if (by_addr(w))
		return v->avail - addrs >= (int)t->warm_ip && v->total - addrs >= (int)t->minimum_ip;
	if (prefixes(w))
		return v->free_prefixes - (int)eni->n_slots >= (int)t->warm_prefix;
	return v->avail >= ((int)t->warm_eni + 1) * WORLD_SLOTS;
}

/* --- pods: any free address of any ENI */

void aws_add(struct world *w, uint32_t pod)
{
	struct world_node *n = &w->nodes[w->pods[pod].node];
	unsigned int e0 = (unsigned int)world_random(&w->rng);

	for (unsigned int k = 0; n->aws->ready && k < WORLD_MAX_ENIS; k++) {
		const struct world_eni *e = &n->enis[(e0 + k) % WORLD_MAX_ENIS];
		unsigned int s0 = (unsigned int)world_random(&w->rng);

		for (unsigned int i = 0; e->attached && i < e->n_slots; i++) {
			const struct world_slot *s = &e->slots[(s0 + i) % e->n_slots];

			for (uint32_t a = s->base; a < s->base + width(s); a++)
				if (!w->pod_of[a] && !cooling(w, a)) {
					pod_got(w, pod, a);
					return;
				}
		}
	}
	pod_failed(w, pod);
}

void aws_del(struct world *w, uint32_t pod)
{
	if (w->pods[pod].state == POD_RUNNING)
		w->freed_ms[w->pods[pod].addr] = w->now_ms;
}

/* --- calls, one at a time */

static void finish(struct world *w, uint32_t node)
{
	world_at(w, w->now_ms + PASS_MS, pass, node, 0);
}

static void start(struct world *w, uint32_t node, enum step step)
{
	w->nodes[node].aws->step = step;
	w->nodes[node].aws->tries = 0;
	call(w, node, 0);
}

static void fresh(struct world *w, const struct world_eni *e, unsigned int from)
{
	for (unsigned int i = from; i < e->n_slots; i++)
		for (uint32_t a = e->slots[i].base; a < e->slots[i].base + width(&e->slots[i]); a++)
			w->freed_ms[a] = 0;
}

static int assign(struct world *w, struct world_node *n, unsigned int count)
{
	struct world_eni *e = &n->enis[n->aws->eni];
	unsigned int had = e->n_slots;
	int r = account_add(w, n, n->aws->eni, count, prefixes(w));

	fresh(w, e, had);
	if (r < 0)
		n->aws->rest_until_ms = w->now_ms + SUBNET_REST_MS;
	return r;
}

static int create(struct world *w, struct world_node *n)
{
	int r = account_eni(w, n, n->aws->eni);

	if (r == 0)
		r = assign(w, n, n->aws->count);
	if (r < 0) {
		account_eni_gone(w, n, n->aws->eni);
		n->aws->rest_until_ms = w->now_ms + SUBNET_REST_MS;
	}
	return r;
}

/* free slots of one ENI, as many as are over; false: this ENI has none */
static bool unassign(struct world *w, struct world_node *n, bool dry)
{
	struct world_eni *e = &n->enis[n->aws->eni];
	bool any = false;

	for (unsigned int i = e->n_slots; i-- > 0 && n->aws->over;) {
		if (slot_assigned(w, &e->slots[i]) || slot_cooling(w, &e->slots[i]))
			continue;
		any = true;
		if (dry)
			break;
		account_remove(w, n, n->aws->eni, i);
		n->aws->over--;
	}
	return any;
}

static void unassign_next(struct world *w, uint32_t node)
{
	struct world_node *n = &w->nodes[node];

	while (n->aws->eni < WORLD_MAX_ENIS && !(n->enis[n->aws->eni].attached && unassign(w, n, true)))
		n->aws->eni++;
	if (n->aws->eni < WORLD_MAX_ENIS)
		start(w, node, STEP_UNASSIGN);
	else
		finish(w, node);
}

/* IMDS is asked after 100 ms, then after twice that each time */
static uint64_t visible_ms(struct world *w)
{
	uint64_t there = world_between(&w->rng, 2000, 5000), at = 0;

	for (uint64_t step = 100; at < there; step *= 2)
		at += step;
	return at;
}

static void attached(struct world *w, uint32_t node, uint32_t eni)
{
	struct world_node *n = &w->nodes[node];

	if (!n->up)
		return;
	n->enis[eni].attached = true;
	n->aws->eni_created_ms[eni] = w->now_ms;
	finish(w, node);
}

static void next(struct world *w, uint32_t node, enum step step)
{
	struct world_node *n = &w->nodes[node];

	switch (step) {
	case STEP_START_DESCRIBE:
		start(w, node, STEP_START_TAG);
		break;
	case STEP_START_TAG:
		n->aws->ready = true;
		pass(w, node, 0);
		break;
	case STEP_SUBNETS:
		start(w, node, STEP_CREATE);
		break;
	case STEP_CREATE:
		start(w, node, STEP_INSTANCES);
		break;
	case STEP_INSTANCES:
		start(w, node, STEP_ATTACH);
		break;
	case STEP_ATTACH:
		start(w, node, STEP_MODIFY);
		break;
	case STEP_MODIFY:
		world_at(w, w->now_ms + visible_ms(w), attached, node, n->aws->eni);
		break;
	case STEP_UNASSIGN:
		n->aws->eni++;
		unassign_next(w, node);
		break;
	case STEP_FREE_DESCRIBE:
		start(w, node, STEP_DETACH);
		break;
	case STEP_DETACH:
		n->aws->step = STEP_DELETE;
		n->aws->tries = 0;
		world_at(w, w->now_ms + DETACH_SLEEP_MS, call, node, 0);
		break;
	default:
		finish(w, node);
		break;
	}
}

static void answered(struct world *w, uint32_t node, uint32_t step)
{
	if (w->nodes[node].up)
		next(w, node, step);
}

/* the SDK has given up */
static void failed(struct world *w, uint32_t node)
{
	struct awsnode *a = w->nodes[node].aws;

	switch (a->step) {
	case STEP_START_DESCRIBE:
	case STEP_START_TAG:
	case STEP_DELETE:
		a->tries = 0;
		world_at(w, w->now_ms + 1000, call, node, 0);
		break;
	case STEP_ASSIGN:
		start(w, node, STEP_ASSIGN_ONE);
		break;
	case STEP_SUBNETS:
		start(w, node, STEP_CREATE);    /* in the primary ENI's subnet */
		break;
	case STEP_INSTANCES:
	case STEP_ATTACH:
		start(w, node, STEP_UNDO);
		break;
	case STEP_UNDO:
		/* leaked for an hour in truth; freed here */
		account_eni_gone(w, &w->nodes[node], a->eni);
		finish(w, node);
		break;
	case STEP_FREE_DESCRIBE:
	case STEP_DETACH:
		w->nodes[node].enis[a->eni].attached = true;    /* reconcile puts it back */
		finish(w, node);
		break;
	case STEP_MODIFY:
	case STEP_UNASSIGN:
		next(w, node, a->step);
		break;
	default:
		finish(w, node);
		break;
	}
}

static void call(struct world *w, uint32_t node, uint32_t unused)
{
	struct world_node *n = &w->nodes[node];
	struct awsnode *a = n->aws;
	int r = 0;

	if (!n->up)
		return;
	if (!account_call(w, action_of[a->step])) {
		if (++a->tries < SDK_TRIES)
			world_at(w, w->now_ms + world_between(&w->rng, 0, UINT64_C(1000) << a->tries), call, node, 0);
		else
			failed(w, node);
		return;
	}
	if (a->step == STEP_ASSIGN)
		r = assign(w, n, a->count);
	else if (a->step == STEP_ASSIGN_ONE)
		r = assign(w, n, 1);
	else if (a->step == STEP_CREATE)
		r = create(w, n);
	else if (a->step == STEP_UNASSIGN)
		(void)unassign(w, n, false);
	else if (a->step == STEP_DELETE || a->step == STEP_UNDO)
		account_eni_gone(w, n, a->eni);
	if (r < 0 && a->step == STEP_ASSIGN)
		start(w, node, STEP_ASSIGN_ONE);
	else if (r < 0)
		finish(w, node);
	else
		world_at(w, w->now_ms + account_latency(w, action_of[a->step]), answered, node, a->step);
}

/* --- the loop */

static bool increase(struct world *w, uint32_t node, const struct view *v)
{
	struct world_node *n = &w->nodes[node];
	unsigned int e;

	if (n->aws->rest_until_ms > w->now_ms)
		return false;
	n->aws->count = (unsigned int)ask(w, v);
	for (e = 0; e < WORLD_MAX_ENIS; e++)
		if (n->enis[e].attached && n->enis[e].n_slots < WORLD_SLOTS) {
			n->aws->eni = e;
			n->aws->count = (unsigned int)min_i((int)n->aws->count, WORLD_SLOTS - (int)n->enis[e].n_slots);
			start(w, node, STEP_ASSIGN);
			return true;
		}
	for (e = 0; e < WORLD_MAX_ENIS; e++)
		if (!n->enis[e].exists) {
			n->aws->eni = e;
			start(w, node, STEP_SUBNETS);
			return true;
		}
	return false;
}

static void pass(struct world *w, uint32_t node, uint32_t unused)
{
	struct world_node *n = &w->nodes[node];
	struct view v;
	int over;

	if (!n->up)
		return;
	v = look(w, n);
	if (too_low(w, &v)) {
		if (increase(w, node, &v))
			return;
	} else {
		over = over_slots(w, &v);
		if (over && n->aws->last_decrease_ms + DECREASE_MS <= w->now_ms) {
			n->aws->last_decrease_ms = w->now_ms;
			n->aws->over = (unsigned int)over;
			n->aws->eni = 0;
			unassign_next(w, node);
			return;
		}
	}
	for (unsigned int e = 1; e < WORLD_MAX_ENIS; e++)
		if (deletable(w, n, &v, e)) {
			n->aws->eni = e;
			n->enis[e].attached = false;    /* it leaves the datastore first */
			start(w, node, STEP_FREE_DESCRIBE);
			return;
		}
	finish(w, node);
}

/* --- life */

int aws_init(struct world *w)
{
	w->freed_ms = calloc(w->n_addrs, sizeof(*w->freed_ms));
	if (!w->freed_ms)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		w->nodes[i].aws = calloc(1, sizeof(struct awsnode));
		if (!w->nodes[i].aws)
			return -ENOMEM;
	}
	return 0;
}

/* every hour, some minutes later, each node looks through the account for leaked ENIs */
static void sweep(struct world *w, uint32_t node, uint32_t unused)
{
	if (!w->nodes[node].up)
		return;
	(void)account_call(w, FLEET_DESCRIBE_ENIS);
	world_at(w, w->now_ms + 3600000 + world_between(&w->rng, 0, 300000), sweep, node, 0);
}

void aws_up(struct world *w, uint32_t node, uint32_t unused)
{
	start(w, node, STEP_START_DESCRIBE);
	world_at(w, w->now_ms + world_between(&w->rng, 0, 300000), sweep, node, 0);
}

void aws_done(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++)
		free(w->nodes[i].aws);
	free(w->freed_ms);
}
