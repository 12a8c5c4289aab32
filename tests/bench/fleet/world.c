/*
 * The event queue, kubelet and the measuring. A pod: COMING -> (ADD) WAITING -> RUNNING -> GONE; an ADD that fails is
 * tried again by kubelet, which counts as the same wait.
 */
#include "tests/bench/fleet/world.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* kubelet, pod_workers.go: a sandbox that failed comes again after wait.Jitter(backOffPeriod 10 s, 0.5) */
#define RETRY_MIN_MS 10000
#define RETRY_MAX_MS 15000

/* --- time and chance */

uint64_t world_random(uint64_t *rng)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = (*rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t world_between(uint64_t *rng, uint64_t lo, uint64_t hi)
{
	return lo + world_random(rng) % (hi - lo + 1);
}

static bool before(const struct world_event *a, const struct world_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

void world_at(struct world *w, uint64_t at_ms, world_fn *fn, uint32_t who, uint32_t what)
{
	struct world_event e = { at_ms > w->now_ms ? at_ms : w->now_ms, w->seq++, fn, who, what };
	size_t i;

	if (w->n_heap == w->cap_heap) {
		size_t cap = w->cap_heap ? 2 * w->cap_heap : 4096;
		struct world_event *more = realloc(w->heap, cap * sizeof(*more));

		if (!more) {
			w->failed = true;
			return;
		}
		w->heap = more;
		w->cap_heap = cap;
	}
	for (i = w->n_heap++; i && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static bool next_event(struct world *w, struct world_event *ret)
{
	struct world_event last;
	size_t i = 0;

	if (!w->n_heap)
		return false;
	*ret = w->heap[0];
	last = w->heap[--w->n_heap];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->n_heap)
			break;
		if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!before(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return true;
}

void world_violation(struct world *w)
{
	w->res->violations++;
}

/* --- pods */

static bool measured(const struct world *w, const struct world_pod *p)
{
	return p->first_add_ms >= w->measure_from_ms;
}

static void record_wait(struct world *w, const struct world_pod *p)
{
	uint64_t wait = w->now_ms - p->first_add_ms;

	if (!measured(w, p))
		return;
	w->waits_ms[w->n_waits++] = (uint32_t)wait;
	w->res->waited += wait > 0;
}

void pod_got(struct world *w, uint32_t pod, uint32_t addr)
{
	struct world_pod *p = &w->pods[pod];

	if (p->state != POD_WAITING || addr >= w->n_addrs || w->pod_of[addr] || w->owner[addr] != p->node + 1) {
		world_violation(w);
		return;
	}
	w->pod_of[addr] = pod + 1;
	w->nodes[p->node].waiting--;
	w->nodes[p->node].pods++;
	p->addr = addr;
	p->state = POD_RUNNING;
	record_wait(w, p);
}

static void try_add(struct world *w, uint32_t pod, uint32_t attempt)
{
	struct world_pod *p = &w->pods[pod];

	if (p->state != POD_WAITING || p->attempt != attempt || !w->nodes[p->node].up)
		return;
	if (w->opts->algo == FLEET_OURS)
		ours_add(w, pod);
	else
		aws_add(w, pod);
}

void pod_failed(struct world *w, uint32_t pod)
{
	struct world_pod *p = &w->pods[pod];

	p->attempt++;
	world_at(w, w->now_ms + world_between(&w->rng, RETRY_MIN_MS, RETRY_MAX_MS), try_add, pod, p->attempt);
}

static void pod_create(struct world *w, uint32_t pod, uint32_t unused)
{
	struct world_pod *p = &w->pods[pod];

	if (!w->nodes[p->node].up) {
		p->state = POD_GONE;
		return;
	}
	p->state = POD_WAITING;
	p->first_add_ms = w->now_ms;
	w->nodes[p->node].waiting++;
	w->res->pods += measured(w, p);
	try_add(w, pod, p->attempt);
}

static void pod_delete(struct world *w, uint32_t pod, uint32_t unused)
{
	struct world_pod *p = &w->pods[pod];
	struct world_node *n = &w->nodes[p->node];
	enum pod_state was = p->state;

	if (was != POD_WAITING && was != POD_RUNNING)
		return;
	if (was == POD_RUNNING) {
		w->pod_of[p->addr] = 0;
		n->pods--;
	} else {
		record_wait(w, p);
		w->res->never += measured(w, p);
		n->waiting--;
	}
	if (n->up && w->opts->algo == FLEET_OURS)
		ours_del(w, pod);
	else if (n->up)
		aws_del(w, pod);
	p->state = POD_GONE;
}

int trace_pod(struct world *w, uint32_t node, uint64_t create_ms, uint64_t delete_ms)
{
	if (w->n_pods == w->cap_pods) {
		uint32_t cap = w->cap_pods ? 2 * w->cap_pods : 65536;
		struct world_pod *more = realloc(w->pods, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->pods = more;
		w->cap_pods = cap;
	}
	w->pods[w->n_pods++] = (struct world_pod){ .node = node, .create_ms = create_ms, .delete_ms = delete_ms };
	return 0;
}

/* --- nodes */

void world_up(struct world *w, uint32_t node, uint32_t unused)
{
	struct world_node *n = &w->nodes[node];

	n->up = true;
	if (account_eni(w, n, 0) < 0)
		world_violation(w);
	n->enis[0].attached = true;
	if (w->opts->algo == FLEET_OURS)
		ours_up(w, node, 0);
	else
		aws_up(w, node, 0);
}

/* the instance is terminated: its ENIs go with it (delete on termination), its pods were moved by the trace */
void world_down(struct world *w, uint32_t node, uint32_t unused)
{
	struct world_node *n = &w->nodes[node];

	for (uint32_t i = 0; n->pods && i < w->n_pods; i++)
		if (w->pods[i].node == node)
			pod_delete(w, i, 0);
	n->up = false;
	for (unsigned int e = 0; e < WORLD_MAX_ENIS; e++)
		account_eni_gone(w, n, e);
}

/* --- measuring */

static void sample(struct world *w, uint32_t unused, uint32_t unused2)
{
	struct fleet_result *r = w->res;
	struct fleet_sample s = { 0 };
	uint64_t held = 0, up = 0;

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		const struct world_node *n = &w->nodes[i];

		up += n->up;
		s.pods += n->pods;
		s.waiting += n->waiting;
		for (unsigned int e = 0; n->up && e < WORLD_MAX_ENIS; e++) {
			s.enis += n->enis[e].exists;
			for (unsigned int k = 0; k < n->enis[e].n_slots; k++)
				held += n->enis[e].slots[k].prefix ? 16 : 1;
		}
	}
	s.idle = (unsigned int)(held - s.pods);
	for (enum fleet_action a = 0; a < FLEET_ACTIONS_; a++) {
		s.calls += r->calls[a];
		s.throttled += r->throttled[a];
	}
	if (w->now_ms >= w->measure_from_ms && up) {
		double idle = (double)s.idle / (double)up;

		w->idle_sum += idle;
		w->enis_sum += (double)s.enis / (double)up;
		w->frag_sum += account_fragmentation(w);
		r->idle_max = idle > r->idle_max ? idle : r->idle_max;
		if (r->n_samples < FLEET_SAMPLES)
			r->samples[r->n_samples++] = s;
	}
	if (w->now_ms + FLEET_SAMPLE_MS <= w->end_ms)
		world_at(w, w->now_ms + FLEET_SAMPLE_MS, sample, 0, 0);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void conclude(struct world *w)
{
	struct fleet_result *r = w->res;
	double sum = 0;

	for (enum fleet_action a = 0; a < FLEET_ACTIONS_; a++) {
		r->n_calls += r->calls[a];
		r->n_throttled += r->throttled[a];
	}
	/* those who still wait have waited this long at least */
	for (uint32_t i = 0; i < w->n_pods; i++)
		if (w->pods[i].state == POD_WAITING) {
			record_wait(w, &w->pods[i]);
			r->never += measured(w, &w->pods[i]);
		}
	qsort(w->waits_ms, w->n_waits, sizeof(*w->waits_ms), by_value);
	for (uint32_t i = 0; i < w->n_waits; i++)
		sum += w->waits_ms[i];
	if (w->n_waits) {
		r->wait_p50_ms = w->waits_ms[(uint64_t)(w->n_waits - 1) * 50 / 100];
		r->wait_p99_ms = w->waits_ms[(uint64_t)(w->n_waits - 1) * 99 / 100];
		r->wait_max_ms = w->waits_ms[w->n_waits - 1];
		r->wait_mean_ms = sum / w->n_waits;
	}
	if (r->pods)
		r->calls_per_pod = (double)r->n_calls / r->pods;
	if (r->n_calls)
		r->throttled_share = (double)r->n_throttled / (double)r->n_calls;
	if (r->n_samples) {
		r->idle = w->idle_sum / (double)r->n_samples;
		r->enis = w->enis_sum / (double)r->n_samples;
		r->fragmentation = w->frag_sum / (double)r->n_samples;
	}
}

static int prepare(struct world *w)
{
	int r;

	w->nodes = calloc(w->n_nodes, sizeof(*w->nodes));
	if (!w->nodes)
		return -ENOMEM;
	r = account_init(w);
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		w->nodes[i].id = i;
		w->nodes[i].subnet = i % w->n_subnets;
	}
	if (r == 0)
		r = w->opts->algo == FLEET_OURS ? ours_init(w) : aws_init(w);
	if (r == 0)
		r = trace_make(w);
	if (r < 0)
		return r;
	w->waits_ms = calloc(w->n_pods + 1, sizeof(*w->waits_ms));
	if (!w->waits_ms)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_pods; i++) {
		world_at(w, w->pods[i].create_ms, pod_create, i, 0);
		if (w->pods[i].delete_ms < w->end_ms)
			world_at(w, w->pods[i].delete_ms, pod_delete, i, 0);
	}
	world_at(w, w->measure_from_ms, sample, 0, 0);
	return 0;
}

static void world_done(struct world *w)
{
	if (w->nodes && w->opts->algo == FLEET_OURS)
		ours_done(w);
	else if (w->nodes)
		aws_done(w);
	free(w->nodes);
	free(w->heap);
	free(w->owner);
	free(w->pod_of);
	free(w->near);
	free(w->pods);
	free(w->waits_ms);
}

int fleet_run(const struct fleet_opts *opts, struct fleet_result *ret, struct vw_err *err)
{
	struct world w = { .opts = opts, .res = ret, .rng = opts->seed };
	struct world_event e;
	int r;

	if (!opts->nodes)
		return vw_err_set(err, EINVAL, 0, "a fleet needs nodes");
	memset(ret, 0, sizeof(*ret));
	/* replacement starts a second node for each */
	w.n_nodes = opts->trace == FLEET_REPLACE ? 2 * opts->nodes : opts->nodes;
	r = prepare(&w);
	while (r == 0 && next_event(&w, &e) && e.at_ms <= w.end_ms) {
		w.now_ms = e.at_ms;
		e.fn(&w, e.who, e.what);
		if (w.failed)
			r = -ENOMEM;
	}
	if (r == 0)
		conclude(&w);
	world_done(&w);
	return r < 0 ? vw_err_set(err, -r, 0, "no memory for a fleet of %u nodes", opts->nodes) : 0;
}
