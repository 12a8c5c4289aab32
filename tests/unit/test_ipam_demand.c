/* The mode without targets: the estimator by itself, then with the planner over the life of a node. */
#include "ipam/demand.h"

#include "ipam/planner.h"
#include "lib/base/parse.h"
#include "tests/unit/ipam_node.h"

#include <errno.h>
#include <string.h>

#define T0 UINT64_C(1000000)
#define HOUR UINT64_C(3600000)

static struct ipam_warm warm_at(const struct ipam_demand *d, uint64_t now)
{
	struct ipam_warm w = ipam_demand_warm(d, now, IPAM_MODE_ADDRS, 0);

	assert_true(w.low >= 1);
	assert_true(w.low < w.fill);
	assert_true(w.fill < w.keep);
	assert_true(w.keep <= IPAM_DEMAND_MAX);
	return w;
}

/* @n arrivals, @gap_ms apart; returns the time of the last */
static uint64_t arrivals(struct ipam_demand *d, uint64_t at, unsigned int n, uint64_t gap_ms)
{
	for (unsigned int i = 0; i < n; i++, at += gap_ms)
		ipam_demand_arrive(d, at);
	return at - gap_ms;
}

static void test_idle_node_holds_little(void **state)
{
	struct ipam_demand d;
	struct ipam_warm first, later;

	ipam_demand_init(&d, T0);
	first = warm_at(&d, T0);
	assert_true(first.fill >= IPAM_DEMAND_FIRST);
	for (uint64_t h = 0; h < 48; h++) {
		later = warm_at(&d, T0 + h * HOUR);
		assert_true(later.low <= first.low && later.fill <= first.fill && later.keep <= first.keep);
		first = later;
	}
	assert_true(later.low <= IPAM_DEMAND_FLOOR + 1);
	assert_true(later.keep <= 2 * IPAM_DEMAND_FLOOR + 1 + IPAM_DEMAND_BAND);
}

static void test_burst_is_remembered(void **state)
{
	struct ipam_demand d;
	uint64_t end;

	ipam_demand_init(&d, T0);
	end = arrivals(&d, T0, 40, 100);
	/* the same burst again will find half of its addresses before anything is asked for, all of them soon after */
	assert_true(warm_at(&d, end + HOUR / 4).low >= 20);
	assert_true(warm_at(&d, end + HOUR).fill >= 25);
	assert_true(warm_at(&d, end + 24 * HOUR).keep <= 2 * IPAM_DEMAND_FLOOR + 1 + IPAM_DEMAND_BAND);
}

static void test_what_has_come_is_not_expected_again(void **state)
{
	struct ipam_demand d, unseen;
	uint64_t end, again;

	ipam_demand_init(&d, T0);
	end = arrivals(&d, T0, 40, 100);
	again = end + HOUR / 4;
	/* EC2 throttles, so much that a minute's arrivals would be due */
	ipam_demand_grew(&d, again, IPAM_DEMAND_LEAD_MAX_MS);
	(void)arrivals(&d, again, 30, 100);
	/* of 40 some 10 are left to come: who has those asks for nothing */
	assert_true(warm_at(&d, again + 3000).low <= IPAM_DEMAND_FLOOR + 10 + 10 / 2 + 1);
	assert_true(warm_at(&d, again + 3000).low >= 6);
	/* a burst larger than any before may go on: a quarter more */
	ipam_demand_init(&unseen, T0);
	ipam_demand_grew(&unseen, T0, IPAM_DEMAND_LEAD_MAX_MS);
	(void)arrivals(&unseen, T0, 80, 100);
	assert_true(warm_at(&unseen, T0 + 8000).low >= IPAM_DEMAND_FLOOR + 15);
	assert_true(warm_at(&unseen, T0 + 8000).low <= IPAM_DEMAND_FLOOR + 21);
}

static void test_steady_arrivals_cover_the_lead_time(void **state)
{
	struct ipam_demand slow, fast;
	uint64_t end;

	ipam_demand_init(&slow, T0);
	ipam_demand_init(&fast, T0);
	end = arrivals(&slow, T0, 600, 1000);
	(void)arrivals(&fast, T0, 600, 1000);
	/* one a second, 5 s ahead */
	assert_true(warm_at(&slow, end).low >= 5);
	/* the account is throttled: growth took 60 s, so 60 pods come meanwhile */
	ipam_demand_grew(&slow, end, 60000);
	assert_true(warm_at(&slow, end).low >= 60);
	assert_true(warm_at(&slow, end).low > warm_at(&fast, end).low);
	/* and falls slowly */
	for (int i = 0; i < 20; i++)
		ipam_demand_grew(&slow, end, 1000);
	assert_int_equal(warm_at(&slow, end).low, warm_at(&fast, end).low);
	/* absurd figures are bounded: as if growth took two minutes, and half of what came in three */
	ipam_demand_grew(&slow, end, UINT64_MAX);
	assert_true(warm_at(&slow, end).low <= 2 * IPAM_DEMAND_LEAD_MAX_MS / 1000 + 140);
}

static void test_steps_do_not_matter(void **state)
{
	struct ipam_demand a, b;

	ipam_demand_init(&a, T0);
	(void)arrivals(&a, T0, 30, 300);
	b = a;
	/* a withdrawn arrival at each step moves time on and, of nothing, takes nothing */
	for (uint64_t t = 20000; t <= 3 * HOUR; t += 1777)
		ipam_demand_grew(&b, T0 + t, IPAM_DEMAND_LEAD_FIRST_MS);
	assert_memory_equal(&(struct ipam_warm[]){ ipam_demand_warm(&a, T0 + 3 * HOUR, IPAM_MODE_ADDRS, 0) },
			    &(struct ipam_warm[]){ ipam_demand_warm(&b, T0 + 3 * HOUR, IPAM_MODE_ADDRS, 0) }, sizeof(struct ipam_warm));
	/* time that goes back changes nothing */
	ipam_demand_arrive(&a, T0 - 5);
	assert_true(a.at_ms >= T0);
}

static void test_withdrawn_arrivals_do_not_count(void **state)
{
	struct ipam_demand a, b;

	ipam_demand_init(&a, T0);
	b = a;
	/* 20 ADDs fail and are tried again each 15 s for five minutes: they are 20 pods, not 400 */
	for (uint64_t t = T0; t < T0 + 300000; t += 15000)
		for (int i = 0; i < 20; i++)
			ipam_demand_arrive(&a, t), ipam_demand_withdraw(&a, t + 14000);
	(void)arrivals(&b, T0, 20, 0);
	assert_true(warm_at(&a, T0 + 300000).fill <= ipam_demand_warm(&b, T0, IPAM_MODE_ADDRS, 0).fill);
	ipam_demand_init(&a, T0);
	ipam_demand_withdraw(&a, T0);
	assert_true(a.recent >= 0);
}

static void test_falls(void **state)
{
	struct ipam_demand d;
	uint64_t end, at;

	ipam_demand_init(&d, T0);
	end = arrivals(&d, T0, 25, 50);
	for (unsigned int avail = 1; avail < 120; avail++) {
		at = ipam_demand_falls_ms(&d, end, IPAM_MODE_ADDRS, 0, avail);
		if (at == IPAM_NEVER) {
			assert_true(warm_at(&d, end + 1000 * HOUR).keep >= avail);
			continue;
		}
		assert_true(warm_at(&d, at).keep < avail);
		if (at > end)
			assert_true(warm_at(&d, at - 1).keep >= avail);
	}
}

static void test_restart_keeps_it(void **state)
{
	static const char *const bad[] = {
		"", "1", "2 1 1 1 1 1 1", "1 1 1 1 1 1", "1 1 1 1 1 1 1 ", "1 1 1 1 1 1 1 1", "1 x 1 1 1 1 1", "1 1 -1 1 1 1 1",
		"1 1 99999999999 1 1 1 1", " 1 1 1 1 1 1 1", "1  1 1 1 1 1 1", "1 1 1 1 1 1 111111111111111111111111111111",
	};
	struct ipam_demand d, e;
	char text[IPAM_DEMAND_TEXT], again[IPAM_DEMAND_TEXT];
	uint64_t end;

	ipam_demand_init(&d, T0);
	end = arrivals(&d, T0, 33, 777);
	ipam_demand_leave(&d, end);
	ipam_demand_grew(&d, end, 17000);
	assert_int_equal(ipam_demand_parse(&e, ipam_demand_print(&d, text), end), 0);
	assert_string_equal(ipam_demand_print(&e, again), text);
	for (uint64_t t = end; t < end + 3 * HOUR; t += 99999)
		assert_true(warm_at(&e, t).keep - warm_at(&d, t).keep + 1 <= 2);
	/* another boot's clock: as of now, and not in the future for ever */
	assert_int_equal(ipam_demand_parse(&e, text, 5), 0);
	assert_int_equal(e.at_ms, 5);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e = d;
		assert_int_equal(ipam_demand_parse(&e, bad[i], end), -EINVAL);
		assert_memory_equal(&e, &d, sizeof(d));
	}
}

/* ---- with the planner ---- */

/* A node whose actions end at once: what a plan asks for is there when it is next asked. Counts the calls. */
struct live {
	struct node n;
	struct ipam_demand d;
	uint64_t now;
	unsigned int grew, shrank, next_slot, next_eni, next_pod, oldest_pod;
};

static void live_slots(struct live *l, const char *eni, unsigned int n, unsigned int len)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vw_ip ip = vw_ip4(0x0a000000 + 16 * l->next_slot++);
		struct vw_cidr c = vw_cidr_of(&ip, len);

		assert_int_equal(ipam_pool_slot_add(l->n.p, eni, &c), 0);
	}
}

static void live_eni(struct live *l, unsigned int number)
{
	char id[16];
	struct ipam_eni e;

	node_add_eni(&l->n, number, "subnet-a");
	assert_true(vw_fmt(id, sizeof(id), "eni-%u", number) > 0);
	e = *ipam_pool_eni(l->n.p, id);
	e.max_slots = l->n.in.limits.slots_per_eni;
	e.created_ms = l->now;
	assert_int_equal(ipam_pool_eni_put(l->n.p, &e), 0);
}

static void live_carry_out(struct live *l, const struct ipam_action *a)
{
	char id[16];

	switch (a->act) {
	case IPAM_ACT_CREATE_ENI:
		assert_true(vw_fmt(id, sizeof(id), "eni-%u", ++l->next_eni) > 0);
		live_eni(l, l->next_eni);
		live_slots(l, id, a->n_prefixes, 28);
		live_slots(l, id, a->n_addrs, 32);
		l->grew++;
		break;
	case IPAM_ACT_ASSIGN_PREFIXES:
	case IPAM_ACT_ASSIGN_ADDRS:
		live_slots(l, a->eni_id, a->n_prefixes, 28);
		live_slots(l, a->eni_id, a->n_addrs, 32);
		l->grew++;
		break;
	case IPAM_ACT_UNASSIGN:
		for (size_t i = 0; i < a->n_cidrs; i++)
			assert_int_equal(ipam_pool_slot_del(l->n.p, &a->cidrs[i]), 0);
		l->shrank++;
		break;
	case IPAM_ACT_REMOVE_ENI:
		assert_int_equal(ipam_pool_eni_del(l->n.p, a->eni_id), 0);
		l->shrank++;
		break;
	case IPAM_ACT_COUNT_:
		fail();
	}
	if (a->act == IPAM_ACT_UNASSIGN || a->act == IPAM_ACT_REMOVE_ENI)
		l->n.in.last_shrink_ms = l->now;
}

/* Plan at @now until there is nothing to do; the fixed point comes soon, or something flaps. */
static void live_settle(struct live *l, uint64_t now)
{
	l->now = now;
	ipam_pool_advance(l->n.p, now);
	for (int i = 0; i < 8; i++) {
		l->n.in.targets.warm = ipam_demand_warm(&l->d, now, l->n.in.targets.mode,
							ipam_limits_capacity(&l->n.in.limits, l->n.in.targets.mode));
		ipam_plan(l->n.p, &l->n.in, &l->n.plan);
		if (!l->n.plan.n)
			return;
		for (size_t k = 0; k < l->n.plan.n; k++)
			live_carry_out(l, &l->n.plan.v[k]);
	}
	fail_msg("the plan does not come to rest");
}

static void live_init(struct live *l, enum ipam_mode mode)
{
	memset(l, 0, sizeof(*l));
	node_init(&l->n, mode);
	l->n.in.targets.adaptive = true;
	l->n.in.limits.max_enis = 4;
	l->n.in.limits.slots_per_eni = 14;
	l->n.in.limits.eni_min_age_ms = IPAM_ENI_MIN_AGE_MS;
	l->n.in.limits.shrink_interval_ms = IPAM_SHRINK_INTERVAL_MS;
	l->n.in.shrink = true;
	ipam_demand_init(&l->d, T0);
	live_eni(l, 0);
	live_settle(l, T0);
}

static void live_done(struct live *l)
{
	node_done(&l->n);
}

static void live_add(struct live *l, uint64_t now)
{
	struct ipam_addr a;
	char key[24];

	assert_true(vw_fmt(key, sizeof(key), "pod-%u", l->next_pod++) > 0);
	ipam_demand_arrive(&l->d, now);
	assert_int_equal(ipam_pool_assign(l->n.p, key, now, &a), 0);
	live_settle(l, now);
}

static void live_del(struct live *l, uint64_t now)
{
	char key[24];

	assert_true(vw_fmt(key, sizeof(key), "pod-%u", l->oldest_pod++) > 0);
	ipam_demand_leave(&l->d, now);
	assert_int_equal(ipam_pool_release(l->n.p, key, now, 30000, NULL), 0);
	live_settle(l, now);
}

static unsigned int live_available(const struct live *l)
{
	struct ipam_stats st;

	ipam_pool_stats(l->n.p, &st);
	return st.available;
}

#define LIVE(mode) \
	struct live l __attribute__((cleanup(live_done))); \
	live_init(&l, mode)

static void test_steady_hour_asks_for_nothing(void **state)
{
	static const enum ipam_mode modes[] = { IPAM_MODE_ADDRS, IPAM_MODE_PREFIXES };

	for (size_t m = 0; m < 2; m++) {
		LIVE(modes[m]);
		unsigned int calls;

		/* a pod comes and one goes every 20 s; the first hour is for finding the level */
		for (uint64_t t = 0; t < 2 * HOUR; t += 20000) {
			if (t == HOUR)
				calls = l.grew + l.shrank;
			live_add(&l, T0 + t);
			if (t >= 100000)
				live_del(&l, T0 + t + 10000);
		}
		assert_int_equal(l.grew + l.shrank, calls);
	}
}

static void test_deploy_wave_takes_few_calls(void **state)
{
	LIVE(IPAM_MODE_PREFIXES);
	uint64_t t = T0 + HOUR;
	unsigned int before = l.grew;

	for (int i = 0; i < 60; i++, t += 1000)
		live_add(&l, t);
	assert_true(l.grew - before <= (60 + l.n.in.targets.warm.low) / IPAM_PREFIX4_ADDRS + 1);
	before = l.grew;
	/* the rolling update that replaces them: what cools is missing for a while, no more */
	for (int i = 0; i < 60; i++, t += 1000) {
		live_add(&l, t);
		live_del(&l, t + 500);
	}
	assert_true(l.grew - before <= 5);
}

static void test_scale_to_zero_and_back(void **state)
{
	static const enum ipam_mode modes[] = { IPAM_MODE_ADDRS, IPAM_MODE_PREFIXES };

	for (size_t m = 0; m < 2; m++) {
		LIVE(modes[m]);
		uint64_t t = T0;
		unsigned int grew, peak;

		for (int i = 0; i < 40; i++, t += 500)
			live_add(&l, t);
		peak = live_available(&l) + 40;
		grew = l.grew;
		for (int i = 0; i < 40; i++, t += 100)
			live_del(&l, t);
		/* back within the minute: nothing was given away; at most an ENI comes ahead for a third burst */
		t += 40000;
		live_settle(&l, t);
		for (int i = 0; i < 40; i++, t += 500)
			live_add(&l, t);
		assert_true(l.grew <= grew + 1);
		grew = l.grew;
		/* to zero for good: what the pool holds goes down, in few steps, to little */
		for (int i = 0; i < 40; i++, t += 100)
			live_del(&l, t);
		for (unsigned int h = 0; h < 24 * 60; h++)
			live_settle(&l, t + h * 60000);
		assert_int_equal(l.grew, grew);
		assert_true(live_available(&l) < peak / 2);
		assert_true(live_available(&l) <= (modes[m] == IPAM_MODE_ADDRS ? 2 * IPAM_DEMAND_FLOOR + 1 + IPAM_DEMAND_BAND : 16));
		assert_true(l.shrank <= 12);
	}
}

static void test_bounds(void **state)
{
	LIVE(IPAM_MODE_PREFIXES);
	struct ipam_stats st;

	/* never more than pods can use, whatever the estimate */
	(void)arrivals(&l.d, T0, 500, 1);
	l.n.in.limits.max_pods = 29;
	live_settle(&l, T0 + 1000);
	ipam_pool_stats(l.n.p, &st);
	assert_true(st.total < 29 + IPAM_PREFIX4_ADDRS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_node_holds_little),
		cmocka_unit_test(test_burst_is_remembered),
		cmocka_unit_test(test_what_has_come_is_not_expected_again),
		cmocka_unit_test(test_steady_arrivals_cover_the_lead_time),
		cmocka_unit_test(test_steps_do_not_matter),
		cmocka_unit_test(test_withdrawn_arrivals_do_not_count),
		cmocka_unit_test(test_falls),
		cmocka_unit_test(test_restart_keeps_it),
		cmocka_unit_test(test_steady_hour_asks_for_nothing),
		cmocka_unit_test(test_deploy_wave_takes_few_calls),
		cmocka_unit_test(test_scale_to_zero_and_back),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("ipam_demand", tests, NULL, NULL);
}
