/*
 * Traces: which pods come to which nodes and when. Made before the run and from the seed alone, so that both algorithms
 * see the same. Every trace begins with nodes that start over twenty minutes and fill up; measuring starts when that
 * has settled.
 */
#include "tests/bench/fleet/world.h"

#include <errno.h>
#include <stdlib.h>

#define S UINT64_C(1000)
#define MIN (60 * S)
#define START_MS (20 * MIN)
#define MEASURE_MS (40 * MIN)
#define EVENT_MS (45 * MIN)
#define LIFE_MIN_MS (10 * MIN)
#define LIFE_MAX_MS (50 * MIN)
#define READY_MS (15 * S)       /* from a pod's creation until the one it replaces is gone */

const char *fleet_trace_str(enum fleet_trace t)
{
	static const char *const names[] = {
		[FLEET_STEADY] = "steady", [FLEET_WAVE] = "wave", [FLEET_ZERO] = "zero", [FLEET_REPLACE] = "replace",
	};

	return names[t];
}

struct maker {
	struct world *w;
	uint64_t rng;
	unsigned int *load;     /* wave's pods per node */
};

/* One after another: a pod lives for a while, then its successor comes to the same node. */
static int succession(struct maker *m, uint32_t node, uint64_t from_ms, uint64_t until_ms)
{
	int r = 0;

	for (uint64_t t = from_ms; r == 0 && t < until_ms;) {
		uint64_t life = world_between(&m->rng, LIFE_MIN_MS, LIFE_MAX_MS);
		uint64_t end = t + life < until_ms ? t + life : until_ms;

		r = trace_pod(m->w, node, t, end);
		t = end + 2 * S;
	}
	return r;
}

static int base_pods(struct maker *m, unsigned int pods, uint64_t until_ms)
{
	int r = 0;

	for (uint32_t n = 0; r == 0 && n < m->w->opts->nodes; n++) {
		uint64_t up = world_between(&m->rng, 0, START_MS);

		world_at(m->w, up, world_up, n, 0);
		for (unsigned int i = 0; r == 0 && i < pods; i++)
			r = succession(m, n, up + world_between(&m->rng, 20 * S, 80 * S), until_ms);
	}
	return r;
}

/* The scheduler: of two nodes the one with fewer of these pods. */
static uint32_t place(struct maker *m)
{
	uint32_t a = (uint32_t)(world_random(&m->rng) % m->w->opts->nodes);
	uint32_t b = (uint32_t)(world_random(&m->rng) % m->w->opts->nodes);
	uint32_t n = m->load[a] <= m->load[b] ? a : b;

	m->load[n]++;
	return n;
}

/* @n pods over @over_ms from @at_ms on, each until its place in a wave of deletions over @end_over_ms. */
static int wave(struct maker *m, uint32_t n, uint64_t at_ms, uint64_t over_ms, uint64_t end_ms, uint64_t end_over_ms)
{
	int r = 0;

	for (uint32_t i = 0; i < m->w->opts->nodes; i++)
		m->load[i] = 0;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = trace_pod(m->w, place(m), at_ms + over_ms * i / n, end_ms + end_over_ms * i / n);
	return r;
}

/* A new deployment, at the scheduler's pace; later its rolling update; later its end. */
static int deploy_wave(struct maker *m)
{
	uint32_t n = m->w->opts->nodes * 30;
	uint64_t pace = (uint64_t)n * 1000 / m->w->opts->pods_per_s;
	uint64_t update = EVENT_MS + pace + 15 * MIN, over = 2 * pace;
	uint64_t end = update + over + 15 * MIN;
	int r = base_pods(m, 8, end + 30 * MIN);

	m->w->end_ms = end + 10 * MIN;
	if (r == 0)
		r = wave(m, n, EVENT_MS, pace, update + READY_MS, over);
	return r < 0 ? r : wave(m, n, update, over, end, MIN);
}

static int scale_to_zero(struct maker *m)
{
	uint32_t n = m->w->opts->nodes * 28;
	uint64_t pace = (uint64_t)n * 1000 / m->w->opts->pods_per_s;
	uint64_t second = EVENT_MS + 15 * MIN, zero = second + pace + 10 * MIN, third = zero + 10 * MIN;
	int r;

	m->w->end_ms = third + pace + 10 * MIN;
	r = base_pods(m, 2, m->w->end_ms + MIN);
	if (r == 0)
		r = wave(m, n, START_MS + 5 * MIN, pace, EVENT_MS, MIN);
	if (r == 0)
		r = wave(m, n, second, pace, zero, MIN);
	return r < 0 ? r : wave(m, n, third, pace, UINT64_MAX / 2, 1);
}

/* Every node is replaced within half an hour (or at the pace that EC2's own limits allow larger fleets). */
static int replacement(struct maker *m)
{
	uint32_t nodes = m->w->opts->nodes;
	uint64_t over = 30 * MIN * (nodes > 1000 ? nodes / 1000 : 1);
	int r = 0;

	m->w->end_ms = EVENT_MS + over + 10 * MIN;
	for (uint32_t n = 0; r == 0 && n < nodes; n++) {
		uint64_t up = world_between(&m->rng, 0, START_MS);
		uint64_t next = EVENT_MS + over * n / nodes;

		world_at(m->w, up, world_up, n, 0);
		world_at(m->w, next, world_up, nodes + n, 0);
		world_at(m->w, next + 2 * MIN, world_down, n, 0);
		for (unsigned int i = 0; r == 0 && i < 20; i++) {
			uint64_t move = next + world_between(&m->rng, 30 * S, 50 * S);

			r = succession(m, n, up + world_between(&m->rng, 20 * S, 80 * S), move);
			if (r == 0)
				r = succession(m, nodes + n, move, m->w->end_ms + MIN);
		}
	}
	return r;
}

int trace_make(struct world *w)
{
	struct maker m = { .w = w, .rng = w->opts->seed ^ 0x7ace, .load = calloc(w->opts->nodes, sizeof(*m.load)) };
	int r = -EINVAL;

	if (!m.load)
		return -ENOMEM;
	w->measure_from_ms = MEASURE_MS;
	switch (w->opts->trace) {
	case FLEET_STEADY:
		w->end_ms = MEASURE_MS + 60 * MIN;
		r = base_pods(&m, 20, w->end_ms + MIN);
		break;
	case FLEET_WAVE:
		r = deploy_wave(&m);
		break;
	case FLEET_ZERO:
		r = scale_to_zero(&m);
		break;
	case FLEET_REPLACE:
		r = replacement(&m);
		break;
	case FLEET_TRACES_:
		break;
	}
	free(m.load);
	return r;
}
