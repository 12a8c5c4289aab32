/*
 * kill -9 at every write to the store and at every step at EC2, enumerated: each scene (ADD, DEL, GC, growing, shrinking, cooling
 * down, starting, ...) is played until it has been killed at its first point, its second, ... and then not at all any more.
 * Points are before and after each write to store, eBPF map and kernel, before each EC2 call and after its commit, and
 * before each answer (model_world.c, model_ec2.c). A request that is on the wire when the daemon dies is lost in one turn and
 * arrives in the next. Then the next life is killed likewise, at each of *its* points, where the scene asks for it.
 * After each death: start, come to rest, and store, memory, EC2 and kernel say the same; nothing leaked, nothing twice, no pod
 * without its address, none given again too soon. Then all pods go, and nothing is left of them.
 * KILL_TWICE=1 (`make check`) does the latter where a scene says so, KILL_TWICE=all (`make bench-kills`) for each. KILL_SCENE=name picks one, MODEL_LOG=1 shows what happens.
 */
#include "tests/unit/model.h"

#include "daemon/discover.h"
#include "daemon/store.h"
#include "ipam/pool.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <stdlib.h>
#include <string.h>

/**
 * struct scene - @before: plays undisturbed; the daemon may be dead afterwards. @act: what is killed. @floor: points that it
 * has at least, so that none goes missing unnoticed. @twice: `make check` kills its recovery at each point, too.
 */
struct scene {
	const char *name, *settings;
	bool prefixes, twice;
	void (*before)(struct model *m);
	void (*act)(struct model *m);
	unsigned int floor;
};

static void add(struct model *m, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		model_add(m, &m->box[i]);
		world_turn(m->w);
	}
}

static void del(struct model *m, unsigned int from, unsigned int to, unsigned int how)
{
	for (unsigned int i = from; i < to; i++) {
		model_del(m, &m->box[i], how);
		world_turn(m->w);
	}
}

/* --- scenes */

static void rest(struct model *m)
{
	model_run_dry(m, 120000);
}

static void some_pods(struct model *m)
{
	rest(m);
	add(m, 0, 6);
	rest(m);
}

static void dead_with_pods(struct model *m)
{
	some_pods(m);
	model_died(m);
}

static void start(struct model *m)
{
	model_live(m);
	model_run_dry(m, 5000);
}

static void act_add(struct model *m)
{
	add(m, 0, 3);
	model_add(m, &m->box[0]);       /* the same again */
	model_run_dry(m, 1000);
}

/* kubelet starts the new sandbox before the old one is deleted */
static void act_replace(struct model *m)
{
	add(m, PODS, PODS + 2);
	model_run_dry(m, 1000);
	del(m, 0, 2, 0);
	model_run_dry(m, 1000);
}

static void act_del(struct model *m)
{
	del(m, 0, 2, 0);
	del(m, 2, 4, DEL_NETNS_GONE);
	model_add(m, &m->box[10]);
	model_del(m, &m->box[10], DEL_UNDO);
	model_run_dry(m, 1000);
}

static void act_gc(struct model *m)
{
	bool listed[BOXES] = { true, true };

	model_netns_dies(m, &m->box[3]);
	model_netns_dies(m, &m->box[4]);
	model_gc(m, listed);
	model_run_dry(m, 1000);
}

/* more than the ENI holds: addresses, then another ENI */
static void act_grow(struct model *m)
{
	add(m, 20, 24);
	model_run_dry(m, 10000);
}

static void many_pods(struct model *m)
{
	rest(m);
	add(m, 0, 14);
	rest(m);
}

static void pods_that_go(struct model *m)
{
	many_pods(m);
	del(m, 0, 14, DEL_NETNS_GONE);
}

static void act_shrink(struct model *m)
{
	model_run_dry(m, 400000);
}

/* an ENI and six prefixes too many for the next life */
static void too_many(struct model *m)
{
	some_pods(m);
	model_died(m);
	model_configure(m, "\"warm_prefix_target\":1");
	model_live(m);
}

static void cooling(struct model *m)
{
	some_pods(m);
	del(m, 0, 6, 0);
	model_run_dry(m, 10000);
	model_died(m);
}

/* all that is there is asked for again, sooner than it may be given */
static void act_cool(struct model *m)
{
	model_live(m);
	model_run_dry(m, 2000);
	add(m, 20, 32);
	model_run_dry(m, 60000);
}

static void store_lost(struct model *m)
{
	dead_with_pods(m);
	model_run_dry(m, 2 * COOL_MS);  /* cool-downs were in it */
	model_lose_store(m);
}

static void buried(struct model *m)
{
	dead_with_pods(m);
	for (unsigned int i = 0; i < 3; i++)
		model_bury(m, &m->box[i]);
}

static void act_detached(struct model *m)
{
	for (size_t i = WORLD_ENIS; i-- > 0;)
		if (m->w->enis[i].exists && !m->w->enis[i].primary) {
			world_detach(m->w, &m->w->enis[i]);
			break;
		}
	model_run_dry(m, 20000);
	del(m, 0, 4, 0);
	model_run_dry(m, 20000);
}

/* addresses that do not cool, and are too many before their connections are forgotten */
static void act_undo_many(struct model *m)
{
	for (unsigned int i = 0; i < 6; i++)
		model_del(m, &m->box[i], DEL_UNDO);
	model_run_dry(m, 400000);
}

static struct vw_cidr host_of(const struct box *b)
{
	struct vw_ip ip = vw_ip4(BASE + b->addr[0]);

	return vw_cidr_host(&ip);
}

static struct world_eni *eni_of(struct model *m, const struct box *b, size_t *ret_slot)
{
	const struct vw_cidr c = host_of(b);

	for (size_t i = 0; i < WORLD_ENIS; i++)
		for (*ret_slot = 0; *ret_slot < m->w->enis[i].n_slots; ++*ret_slot)
			if (vw_cidr_eq(&m->w->enis[i].slots[*ret_slot], &c))
				return &m->w->enis[i];
	fail_msg("EC2 does not know address %u", b->addr[0]);
	return NULL;
}

/* EC2 takes the first pod's address away, and the daemon hears of it */
static void first_is_orphan(struct model *m)
{
	size_t slot;
	struct world_eni *e;

	some_pods(m);
	e = eni_of(m, &m->box[0], &slot);
	world_take_slot(m->w, e, slot);
	m->behind = true;
	discover_start(m->d);
	rest(m);
}

/* its ADD is undone, and in the next life it is there again */
static void act_undo_orphan(struct model *m)
{
	const struct vw_cidr c = host_of(&m->box[0]);
	size_t slot;
	struct world_eni *e = eni_of(m, &m->box[1], &slot);

	world_give_slot(m->w, e, &c);
	model_del(m, &m->box[0], DEL_UNDO);
	model_run_dry(m, 1000);
}

#define WARM_ENI "\"warm_eni_target\":1"
#define WARM_IP "\"warm_ip_target\":2"
#define WARM_PREFIX "\"warm_prefix_target\":1"
#define DUAL "\"enable_ipv6\":true,"
#define IPV6_ALONE "\"enable_ipv6\":true,\"enable_ipv4\":false,"
#define PREFIXES_OF_TWO_ENIS "\"warm_prefix_target\":8"

static const struct scene scenes[] = {
	{ "add", WARM_PREFIX, true, false, rest, act_add, 16 },
	{ "replace", WARM_PREFIX, true, false, some_pods, act_replace, 19 },
	{ "del", WARM_PREFIX, true, false, some_pods, act_del, 30 },
	{ "gc", WARM_PREFIX, true, false, some_pods, act_gc, 9 },
	{ "first start, addresses", WARM_ENI, false, true, model_died, start, 13 },
	{ "first start, prefixes", PREFIXES_OF_TWO_ENIS, true, true, model_died, start, 24 },
	{ "grow, addresses", WARM_IP, false, false, some_pods, act_grow, 22 },
	{ "grow, prefixes", WARM_PREFIX, true, false, many_pods, act_grow, 18 },
	{ "grow, by demand", "\"leak_check_s\":3600", false, false, rest, act_grow, 15 },
	{ "shrink, addresses", WARM_IP, false, false, pods_that_go, act_shrink, 25 },
	{ "shrink, prefixes", PREFIXES_OF_TWO_ENIS, true, true, too_many, act_shrink, 36 },
	{ "cool down", WARM_IP, false, false, cooling, act_cool, 100 },
	{ "start", WARM_IP, false, false, dead_with_pods, start, 29 },
	{ "start without store", WARM_IP, false, false, store_lost, start, 35 },
	{ "start with tombstones", WARM_IP, false, false, buried, start, 38 },
	{ "undo, and shrink", WARM_IP, false, false, many_pods, act_undo_many, 40 },
	{ "undo of an orphan", WARM_IP, false, false, first_is_orphan, act_undo_orphan, 5 },
	{ "dual stack: first start", DUAL WARM_IP, false, false, model_died, start, 14 },
	{ "dual stack: add", DUAL WARM_PREFIX, true, false, rest, act_add, 16 },
	{ "dual stack: del", DUAL WARM_PREFIX, true, false, some_pods, act_del, 30 },
	{ "dual stack: grow", DUAL WARM_IP, false, false, some_pods, act_grow, 22 },
	{ "dual stack: cool down", DUAL WARM_IP, false, false, cooling, act_cool, 60 },
	{ "dual stack: start", DUAL WARM_IP, false, false, dead_with_pods, start, 29 },
	{ "dual stack: start without store", DUAL WARM_IP, false, false, store_lost, start, 35 },
	{ "dual stack: detached", DUAL WARM_IP, false, false, many_pods, act_detached, 40 },
	{ "IPv6 alone: first start", IPV6_ALONE WARM_PREFIX, true, true, model_died, start, 8 },
	{ "IPv6 alone: add", IPV6_ALONE WARM_PREFIX, true, false, rest, act_add, 12 },
	{ "IPv6 alone: replace", IPV6_ALONE WARM_PREFIX, true, false, some_pods, act_replace, 15 },
	{ "IPv6 alone: del", IPV6_ALONE WARM_PREFIX, true, false, some_pods, act_del, 25 },
	{ "IPv6 alone: gc", IPV6_ALONE WARM_PREFIX, true, false, some_pods, act_gc, 9 },
	{ "IPv6 alone: cool down", IPV6_ALONE WARM_PREFIX, true, false, cooling, act_cool, 20 },
	{ "IPv6 alone: start", IPV6_ALONE WARM_PREFIX, true, false, dead_with_pods, start, 15 },
	{ "IPv6 alone: start without store", IPV6_ALONE WARM_PREFIX, true, false, store_lost, start, 15 },
	{ "IPv6 alone: start with tombstones", IPV6_ALONE WARM_PREFIX, true, false, buried, start, 15 },
	{ "detached", WARM_IP, false, false, many_pods, act_detached, 60 },
};

/* --- playing them */

/* a runtime whose ADD or DEL was not answered asks again; in the end all pods go */
static void audit(struct model *m)
{
	struct ipam_stats st;
	struct vw_err err;

	check_books(m);
	model_rest(m);
	for (size_t i = 0; i < BOXES; i++)
		if (m->box[i].state != BOX_NONE)
			model_del(m, &m->box[i], DEL_NETNS_GONE);
	model_calm(m);
	ipam_pool_stats(m->d->pool, &st);
	if (st.assigned || st.cooling || st.orphaned || st.orphaned_cooling || st.unusable)
		fail_msg("no pod is left, and addresses are: %u assigned, %u cooling, %u unusable", st.assigned, st.cooling, st.unusable);
	assert_int_equal(m->d->attach.n, 0);
	assert_int_equal(store_attach_each(m->d->store, model_no_row, NULL, &err), 0);
}

/* Return: how many points it passed; it died at the @n'th, if that many */
static unsigned int dies(struct model *m, void (*act)(struct model *m), unsigned int n)
{
	uint64_t before = m->w->points;

	m->w->crash_in = n;
	if (setjmp(m->w->die) == 0) {
		act(m);
		m->w->crash_in = 0;
		return (unsigned int)(m->w->points - before);
	}
	model_died(m);
	return n;
}

/* Return: points passed by the act, and in @ret_again by the life after it */
static unsigned int play(const struct scene *s, unsigned int n, unsigned int again, bool ghosts, unsigned int *ret_again)
{
	struct model *m = calloc(1, sizeof(*m));
	unsigned int passed;

	assert_non_null(m);
	model_setup(m, 4711, s->prefixes, s->settings);
	m->w->ghosts = ghosts;
	s->before(m);
	passed = dies(m, s->act, n);
	*ret_again = 0;
	if (!m->d && again)
		*ret_again = dies(m, start, again);
	if (!m->d)
		model_live(m);
	/* all that the store says is there is asked for before EC2 has been */
	add(m, 33, 60);
	audit(m);
	model_teardown(m);
	free(m);
	return passed;
}

struct tally {
	unsigned int points, deaths, second;
};

static void enumerate(const struct scene *s, struct tally *t)
{
	const char *how = getenv("KILL_TWICE");
	unsigned int ignored, points = 0, second = 0;
	bool twice = how && (s->twice || !strcmp(how, "all"));

#ifdef __SANITIZE_ADDRESS__
	twice = false;                  /* ten times as slow */
#endif
	for (unsigned int n = 1; play(s, n, 0, n % 2, &ignored) == n; n++) {
		points = n;
		(void)play(s, n, 0, n % 2 == 0, &ignored);
		for (unsigned int k = 1; twice; k++) {
			(void)play(s, n, k, true, &ignored);
			if (ignored != k)
				break;
			second++;
		}
	}
	print_message("# %s: %u points, %u deaths, %u of them in the life after\n", s->name, points, 2 * points + second, second);
	if (points < s->floor)
		fail_msg("%s: only %u points, there were %u", s->name, points, s->floor);
	t->points += points;
	t->deaths += 2 * points + second;
	t->second += second;
}

static void test_every_point(void **state)
{
	const char *only = getenv("KILL_SCENE");
	struct tally t = { 0 };

	for (size_t i = 0; i < VW_ARRAY_SIZE(scenes); i++)
		if (!only || !strcmp(only, scenes[i].name))
			enumerate(&scenes[i], &t);
	print_message("# together: %u points, %u deaths, %u of them in the life after\n", t.points, t.deaths, t.second);
	if (!only)
		assert_true(t.points >= 500 && t.deaths >= 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_point),
	};

	return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
