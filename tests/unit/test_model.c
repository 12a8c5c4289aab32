/*
 * Property test: the whole daemon (its real attachments, pool, planner, jobs, survey and SQLite store) lives a million random
 * steps: ADD, DEL, GC, runtimes that lose patience, sandboxes that replace others, EC2 that refuses, does and does not
 * say so, or takes things away, kill -9 between any two things that it does. Beside it stands a model that a person can
 * check: who was told which address, and when each was given back. MODEL_STEPS, MODEL_SEED and MODEL_LOG=1 change a run.
 * MODEL_DEATHS=n (`make bench-kills`) asks for n deaths instead, in lives that are short and full of growing and shrinking.
 */
#include "daemon/grow.h"
#include "daemon/grow_state.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "daemon/discover.h"
#include "tests/unit/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the walk */

static void meddle(struct model *m)
{
	struct world_eni *e = &m->w->enis[world_rnd(m->w, WORLD_ENIS)];

	if (world_rnd(m->w, m->w->full ? 2 : 4) == 0) {
		m->w->full = !m->w->full;
		return;
	}
	if (!e->exists || !e->attached)
		return;
	/* of an address nobody tells; of a link the kernel does */
	if (e->n_slots && (e->primary || world_rnd(m->w, 2))) {
		m->behind = true;
		world_take_slot(m->w, e, world_rnd(m->w, (unsigned int)e->n_slots));
	} else if (!e->primary) {
		world_detach(m->w, e);
	}
	if (world_rnd(m->w, 2))
		discover_start(m->d);
}

static void random_del(struct model *m, struct box *b)
{
	unsigned int how = b->state == BOX_HAS && world_rnd(m->w, 2) ? DEL_NETNS_GONE : 0;

	/* an ADD that undoes itself: only one that has just been answered, its address was never used */
	if (b->state == BOX_HAS && !m->freed[b->addr[0]] && !world_rnd(m->w, 32))
		how |= DEL_UNDO;
	model_del(m, b, how);
}

static void random_gc(struct model *m)
{
	bool listed[BOXES];

	for (size_t i = 0; i < BOXES; i++) {
		listed[i] = m->box[i].state == BOX_HAS && world_rnd(m->w, 16);
		if (!listed[i] && m->box[i].state == BOX_HAS && world_rnd(m->w, 2))
			model_netns_dies(m, &m->box[i]);
	}
	model_gc(m, listed);
}

static void act(struct model *m)
{
	unsigned int what = world_rnd(m->w, 100), has = 0;
	struct box *b = &m->box[world_rnd(m->w, BOXES)];

	for (size_t i = 0; i < BOXES; i++)
		has += m->box[i].state != BOX_NONE;
	if (what < 50) {
		if (has < m->want || b->state == BOX_HAS) {
			if (b->state != BOX_HAS || what < 5 || b->unheard)
				model_add(m, b);
			else if (has >= m->want)
				random_del(m, b);
		}
	} else if (what < 60) {
		if (b->state != BOX_NONE || what < 51)
			random_del(m, b);
	} else if (what == 60) {
		model_hang_up(m, b);
	} else if (what == 61 && !world_rnd(m->w, 8)) {
		random_gc(m);
	} else if (what < 70) {
		world_advance(m->w, world_rnd(m->w, world_rnd(m->w, 20) ? 300 : 20000));
	} else {
		(void)world_job_step(m->w);
	}
	if (world_rnd(m->w, 4))
		world_events(m->w);
	if (world_rnd(m->w, 4))
		world_turn(m->w);
}

static void again(struct model *m)
{
	for (unsigned int n = world_rnd(m->w, 4); n > 0; n--)
		model_bury(m, &m->box[world_rnd(m->w, BOXES)]);
	/* it may die while it starts, too: what it has allocated by then is lost */
	m->w->dead = false;
	m->d = NULL;
	if (!world_rnd(m->w, 4) && setjmp(m->w->die) == 0) {
		m->w->crash_in = 1 + world_rnd(m->w, 12);
		model_start(m);
	}
	if (m->d || m->w->dead)
		model_died(m);
	model_live(m);
}

static void step(struct model *m, uint64_t i)
{
	if (setjmp(m->w->die)) {
		m->w->ghosts = world_rnd(m->w, 2);
		model_died(m);
		again(m);
		return;
	}
	if (!world_rnd(m->w, 800))
		m->w->crash_in = 1 + world_rnd(m->w, 30);
	act(m);
	/* over and under what the node can hold: four ENIs of six slots */
	if (!world_rnd(m->w, 2000))
		m->want = 2 + world_rnd(m->w, m->prefixes ? BOXES : 30);
	if (!world_rnd(m->w, 3000))
		meddle(m);
	if (i % 256 == 0)
		check_books(m);
	if (i % 20000 == 19999) {
		model_calm(m);
		m->w->faults = true;
	}
}

#ifdef __SANITIZE_ADDRESS__
#define STEPS 220000            /* ten times as slow */
#else
#define STEPS 1100000
#endif

static uint64_t number(const char *name, uint64_t def)
{
	const char *text = getenv(name);
	uint64_t v;

	return text && vw_parse_u64(text, 1, UINT64_MAX, &v) == 0 ? v : def;
}

#define DUAL "\"enable_ipv6\":true,"
#define IPV6_ALONE "\"enable_ipv6\":true,\"enable_ipv4\":false,"

static void walk(uint64_t seed, bool prefixes, const char *families, uint64_t steps)
{
	char settings[128];
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	assert_true(vw_fmt(settings, sizeof(settings), "%s\"warm_prefix_target\":1,\"warm_eni_target\":1", families) > 0);
	model_setup(m, seed, prefixes, settings);
	m->w->faults = true;
	print_message("# seed %llu, %s %s\n", (unsigned long long)seed, prefixes ? "prefixes" : "addresses", families);
	for (uint64_t i = 0; i < steps; i++)
		step(m, i);
	m->w->crash_in = 0;       /* a death that was still to come has no step to go back to */
	print_message("# %llu steps: %llu ADDs, %llu waited, %llu failed, %llu DELs, %llu deaths, %llu EC2 calls (%llu unheard)\n",
		      (unsigned long long)steps, (unsigned long long)m->n_add, (unsigned long long)m->n_wait,
		      (unsigned long long)m->n_fail, (unsigned long long)m->n_del, (unsigned long long)m->n_crash,
		      (unsigned long long)m->w->calls, (unsigned long long)m->w->commits_unheard);
	/* a walk that does not get around proves nothing */
	assert_true(m->n_add > steps / 50 && m->n_del > steps / 50 && m->n_crash > steps / 4000 && m->n_calm + 1 >= steps / 20000);
	model_teardown(m);
	free(m);
}

static void test_prefixes(void **state)
{
	walk(number("MODEL_SEED", 20261123), true, "", number("MODEL_STEPS", STEPS) / 3);
}

static void test_addresses(void **state)
{
	walk(number("MODEL_SEED", 20261124), false, "", number("MODEL_STEPS", STEPS) / 3);
}

static void test_dual_stack(void **state)
{
	walk(number("MODEL_SEED", 20261127), true, DUAL, number("MODEL_STEPS", STEPS) / 6);
	walk(number("MODEL_SEED", 20261128), false, DUAL, number("MODEL_STEPS", STEPS) / 12);
}

static void test_ipv6_alone(void **state)
{
	walk(number("MODEL_SEED", 20261129), true, IPV6_ALONE, number("MODEL_STEPS", STEPS) / 12);
}

/* --- short lives */

static unsigned int boxes_in_use(const struct model *m)
{
	unsigned int n = 0;

	for (size_t i = 0; i < BOXES; i++)
		n += m->box[i].state != BOX_NONE;
	return n;
}

/* pods come or go until there are as many as wanted, then the pool follows; somewhere in it the daemon may die */
static void episode(struct model *m)
{
	unsigned int want;
	bool early;

	if (setjmp(m->w->die)) {
		m->w->ghosts = world_rnd(m->w, 2);
		model_died(m);
		again(m);
		return;
	}
	want = 1 + world_rnd(m->w, m->prefixes ? BOXES : 30);
	early = !world_rnd(m->w, 4);
	if (early)
		m->w->crash_in = 1 + world_rnd(m->w, 150);
	for (unsigned int i = 0; i < 4 * BOXES && boxes_in_use(m) != want; i++) {
		struct box *b = &m->box[world_rnd(m->w, BOXES)];

		if (boxes_in_use(m) < want && b->state == BOX_NONE)
			model_add(m, b);
		else if (boxes_in_use(m) > want && b->state != BOX_NONE)
			random_del(m, b);
		world_turn(m->w);
	}
	if (!world_rnd(m->w, 8))
		meddle(m);
	if (!early)
		m->w->crash_in = 1 + world_rnd(m->w, 40);
	for (unsigned int i = 0; i < 60; i++) {
		world_events(m->w);
		if (!world_job_step(m->w))
			world_advance(m->w, world_rnd(m->w, 10000));
	}
	m->w->crash_in = 0;
}

static void short_lives(uint64_t seed, bool prefixes, const char *settings, uint64_t deaths)
{
	struct model *m = calloc(1, sizeof(*m));
	uint64_t audited = 0, episodes = 0;

	assert_non_null(m);
	model_setup(m, seed, prefixes, settings);
	while (m->n_crash < deaths) {
		m->w->faults = true;
		episode(m);
		episodes++;
		if (m->n_crash < audited + 25)
			continue;
		audited = m->n_crash;
		model_calm(m);
	}
	print_message("# %s: %llu deaths in %llu lives' episodes, %llu ADDs, %llu EC2 calls, %llu audits at rest: 0 leaked, 0 twice\n",
		      settings, (unsigned long long)m->n_crash, (unsigned long long)episodes,
		      (unsigned long long)m->n_add, (unsigned long long)m->w->calls, (unsigned long long)m->n_calm);
	assert_true(m->n_calm >= deaths / 26);
	model_teardown(m);
	free(m);
}

static void test_short_lives(void **state)
{
	uint64_t deaths = number("MODEL_DEATHS", 200);

	short_lives(number("MODEL_SEED", 20261125), true, "\"warm_prefix_target\":1", 2 * deaths / 5);
	short_lives(number("MODEL_SEED", 20261126), false, "\"warm_ip_target\":2", 2 * deaths / 5);
	short_lives(number("MODEL_SEED", 20261130), true, DUAL "\"warm_prefix_target\":1", deaths / 10);
	short_lives(number("MODEL_SEED", 20261131), true, IPV6_ALONE "\"warm_prefix_target\":1", deaths / 10);
}

int main(void)
{
	const struct CMUnitTest lives[] = {
		cmocka_unit_test(test_short_lives),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_lives),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_dual_stack),
		cmocka_unit_test(test_ipv6_alone),
	};

	if (getenv("MODEL_DEATHS"))
		return cmocka_run_group_tests_name("deaths", lives, NULL, NULL);
	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
