/*
 * The warm-target arithmetic against aws-node's, over a whole grid. The oracle below is the reference's
 * formulas as they stand there; where ours differ the deviation is named (D1 to D7 of ipam/targets.h) and its
 * own rule is tested.
 */
#include "ipam/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int max_i(int a, int b)
{
	return a > b ? a : b;
}

static int min_i(int a, int b)
{
	return a < b ? a : b;
}

static int div_up(int a, int b)
{
	return (a + b - 1) / b;
}

/* datastoreTargetState: WARM_IP_TARGET or MINIMUM_IP_TARGET set. In prefix mode short and over are in prefixes. */
static void aws_by_addr(const struct ipam_targets *t, const struct ipam_figures *f, int *ret_short, int *ret_over)
{
	int warm = (int)t->warm_ip, min = (int)t->minimum_ip, total = (int)f->total;
	int avail = total - (int)f->assigned;

	*ret_short = max_i(warm - avail, 0);
	*ret_short = max_i(*ret_short, min - total);
	*ret_over = max_i(avail - warm, 0);
	*ret_over = max_i(min_i(*ret_over, total - min), 0);
	if (t->mode == IPAM_MODE_PREFIXES) {
		*ret_short = div_up(*ret_short, 16);
		*ret_over = max_i(min_i((int)f->free_prefixes,
					(int)f->prefixes - div_up((int)f->assigned + warm, 16)), 0);
		*ret_over = max_i(min_i(*ret_over, (int)f->prefixes - div_up(min, 16)), 0);
	}
}

/* isDatastorePoolTooLow, isDatastorePoolTooHigh, shouldRemoveExtraENIs without address targets. */
static void aws_by_unit(const struct ipam_targets *t, const struct ipam_figures *f, bool *ret_low, int *ret_over,
			bool *ret_extra)
{
	bool pd = t->mode == IPAM_MODE_PREFIXES;
	int target = (int)(pd ? t->warm_prefix : t->warm_eni), unit = pd ? 16 : (int)f->slots_per_eni;
	int avail = (int)(f->total - f->assigned);

	*ret_low = avail < target * unit || (target == 0 && avail == 0);
	*ret_over = pd && (int)f->free_prefixes > target ? (int)f->free_prefixes - target : 0;
	*ret_extra = !pd && avail >= (target + 1) * unit;
}

/* Figures of a node without cooling, waiting or anything under way: there ours must be aws-node's own. */
static struct ipam_figures at_rest(unsigned int total, unsigned int assigned, unsigned int slots)
{
	return (struct ipam_figures){ .total = total, .assigned = assigned, .available = total - assigned,
				      .slots_per_eni = slots };
}

/* Prefixes packed as our pool packs them: the begun one first. */
static struct ipam_figures packed(unsigned int prefixes, unsigned int assigned, unsigned int slots)
{
	struct ipam_figures f = at_rest(prefixes * 16, assigned, slots);

	f.prefixes = prefixes;
	f.free_prefixes = prefixes - (assigned + 15) / 16;
	return f;
}

#define CHECK(cond, t, f) \
	do { \
		if (!(cond)) \
			fail_msg("%s: mode %d warm_eni %u warm_ip %u min %u warm_prefix %u, total %u assigned %u free %u", \
				 #cond, (t).mode, (t).warm_eni, (t).warm_ip, (t).minimum_ip, (t).warm_prefix, \
				 (f).total, (f).assigned, (f).free_prefixes); \
	} while (0)

static void one_by_addr(const struct ipam_targets *t, const struct ipam_figures *f)
{
	struct ipam_need n = ipam_need(t, f);
	int want_short, want_over;

	aws_by_addr(t, f, &want_short, &want_over);
	if (t->mode == IPAM_MODE_PREFIXES) {
		CHECK((int)n.short_prefixes == want_short, *t, *f);
		CHECK((int)n.over_prefixes == (want_short ? 0 : want_over), *t, *f);
		CHECK(!n.over_addrs, *t, *f);
	} else {
		CHECK((int)n.short_addrs == want_short, *t, *f);
		CHECK((int)n.over_addrs == want_over, *t, *f);
		CHECK(!n.over_prefixes, *t, *f);
	}
	CHECK(!n.whole_enis && !n.over_enis && !n.capped && !n.refused, *t, *f);
}

static void test_grid_by_address(void **state)
{
	unsigned int cases = 0;

	for (unsigned int warm = 0; warm <= 20; warm++)
		for (unsigned int min = warm ? 0 : 4; min <= 40; min += 4)
			for (unsigned int total = 0; total <= 60; total++)
				for (unsigned int assigned = 0; assigned <= total; assigned += 3, cases++) {
					struct ipam_targets t = { IPAM_MODE_ADDRS, 1, warm, min, 1 };
					struct ipam_figures f = at_rest(total, assigned, 14);

					one_by_addr(&t, &f);
				}
	assert_true(cases > 100000);
}

static void test_grid_by_address_with_prefixes(void **state)
{
	unsigned int cases = 0;

	for (unsigned int warm = 0; warm <= 40; warm += 3)
		for (unsigned int min = warm ? 0 : 5; min <= 100; min += 5)
			for (unsigned int prefixes = 0; prefixes <= 8; prefixes++)
				for (unsigned int assigned = 0; assigned <= prefixes * 16; assigned++, cases++) {
					struct ipam_targets t = { IPAM_MODE_PREFIXES, 1, warm, min, 1 };
					struct ipam_figures f = packed(prefixes, assigned, 14);

					one_by_addr(&t, &f);
				}
	assert_true(cases > 100000);
}

static void test_grid_warm_prefix(void **state)
{
	for (unsigned int target = 0; target <= 4; target++)
		for (unsigned int prefixes = 0; prefixes <= 12; prefixes++)
			for (unsigned int assigned = 0; assigned <= prefixes * 16; assigned++) {
				/* WARM_ENI_TARGET is set too, and ignored */
				struct ipam_targets t = { IPAM_MODE_PREFIXES, 5, 0, 0, target };
				struct ipam_figures f = packed(prefixes, assigned, 14);
				struct ipam_need n = ipam_need(&t, &f);
				int over, amount = max_i(1, (int)target - (int)f.free_prefixes);
				bool low, extra;

				aws_by_unit(&t, &f, &low, &over, &extra);
				CHECK((n.short_prefixes > 0) == low, t, f);
				/* D5: with packed prefixes the amounts are equal */
				CHECK(!low || (int)n.short_prefixes == amount, t, f);
				/* D7: the last available addresses stay */
				if (!target && over && f.available == 16 * (unsigned int)over)
					over--;
				CHECK((int)n.over_prefixes == over, t, f);
				CHECK(!n.whole_enis && !n.over_addrs && !n.over_enis, t, f);
			}
}

static void test_grid_warm_eni(void **state)
{
	for (unsigned int target = 0; target <= 3; target++)
		for (unsigned int slots = 1; slots <= 29; slots += 7)
			for (unsigned int total = 0; total <= 5 * slots; total++)
				for (unsigned int assigned = 0; assigned <= total; assigned++) {
					/* WARM_PREFIX_TARGET is set too, and ignored */
					struct ipam_targets t = { IPAM_MODE_ADDRS, target, 0, 0, 7 };
					struct ipam_figures f = at_rest(total, assigned, slots);
					struct ipam_need n = ipam_need(&t, &f);
					bool low, extra;
					int over;

					aws_by_unit(&t, &f, &low, &over, &extra);
					CHECK((n.short_addrs > 0) == low, t, f);
					CHECK(n.whole_enis, t, f);
					if (!target && f.available == slots)
						extra = false;  /* D7 */
					CHECK(n.over_enis == extra, t, f);
					CHECK(!n.over_addrs && !n.over_prefixes, t, f);
				}
}

static void test_precedence(void **state)
{
	struct ipam_targets t = { IPAM_MODE_ADDRS, 3, 2, 0, 4 };
	struct ipam_figures f = at_rest(10, 9, 9);

	assert_int_equal(ipam_need(&t, &f).short_addrs, 1);     /* WARM_IP over WARM_ENI */
	t.warm_ip = 0;
	t.minimum_ip = 12;
	assert_int_equal(ipam_need(&t, &f).short_addrs, 2);     /* MINIMUM_IP over WARM_ENI */
	t.minimum_ip = 0;
	assert_int_equal(ipam_need(&t, &f).short_addrs, 26);    /* WARM_ENI: 3 * 9 - 1 */
	t.mode = IPAM_MODE_PREFIXES;
	assert_int_equal(ipam_need(&t, &f).short_addrs, 63);    /* WARM_PREFIX over WARM_ENI: 4 * 16 - 1 */
	assert_int_equal(ipam_need(&t, &f).short_prefixes, 4);
}

static void test_d1_cooling_is_not_available(void **state)
{
	struct ipam_targets warm = { .warm_ip = 5 }, min = { .minimum_ip = 10 };
	struct ipam_targets pd = { .mode = IPAM_MODE_PREFIXES, .warm_ip = 5 };
	/* aws-node sees 6 available here and does nothing, while no pod can start */
	struct ipam_figures f = { .total = 10, .assigned = 4, .cooling = 6, .slots_per_eni = 9 };

	assert_int_equal(ipam_need(&warm, &f).short_addrs, 5);
	/* but MINIMUM_IP is about what the node holds: a DEL alone asks for nothing */
	assert_int_equal(ipam_need(&min, &f).short_addrs, 0);
	/* what is left after giving prefixes back must hold the cooling ones too */
	f = (struct ipam_figures){ .total = 48, .assigned = 1, .cooling = 12, .available = 35, .prefixes = 3,
				   .free_prefixes = 2, .slots_per_eni = 9 };
	assert_int_equal(ipam_need(&pd, &f).over_prefixes, 1);
}

static void test_d2_waiting_adds_are_need(void **state)
{
	struct ipam_targets min = { .minimum_ip = 10 }, warm = { .warm_ip = 2 };
	struct ipam_targets pd = { .mode = IPAM_MODE_PREFIXES };
	struct ipam_figures f = { .total = 10, .assigned = 4, .cooling = 6, .waiting = 3, .slots_per_eni = 9 };
	struct ipam_need n = ipam_need(&min, &f);

	assert_int_equal(n.short_addrs, 3);
	assert_int_equal(n.demand, 3);
	n = ipam_need(&warm, &f);
	assert_int_equal(n.short_addrs, 5);     /* they take what comes, the warm ones stand behind them */
	assert_int_equal(n.demand, 3);
	f.waiting = 17;
	n = ipam_need(&pd, &f);
	assert_int_equal(n.short_prefixes, 2);
	assert_int_equal(n.short_addrs, 18);    /* a target of 0: not none at all */
	f.available = 17;
	assert_int_equal(ipam_need(&min, &f).demand, 0);
}

static void test_d3_never_more_than_pods_can_use(void **state)
{
	struct ipam_targets eni = { .warm_eni = 1 }, pd = { .mode = IPAM_MODE_PREFIXES, .warm_prefix = 1 };
	struct ipam_figures f = at_rest(25, 20, 9);
	struct ipam_need n;

	f.max_pods = 29;
	n = ipam_need(&eni, &f);
	assert_int_equal(n.room, 4);            /* aws-node adds an ENI with 9 */
	assert_int_equal(n.short_addrs, 4);
	f = packed(6, 95, 9);
	f.max_pods = 96;
	n = ipam_need(&pd, &f);
	assert_int_equal(n.short_addrs, 0);
	assert_true(n.capped);
	/* all that the node may have cools down: targets ask for nothing, pods that wait for what they need */
	f = (struct ipam_figures){ .total = 29, .assigned = 9, .cooling = 20, .slots_per_eni = 9, .max_pods = 29 };
	assert_int_equal(ipam_need(&eni, &f).short_addrs, 0);
	f.waiting = 4;
	n = ipam_need(&eni, &f);
	assert_int_equal(n.short_addrs, 4);
	assert_int_equal(n.room, 4);
	f.waiting = 25;
	n = ipam_need(&eni, &f);
	assert_int_equal(n.demand, 20);
	assert_int_equal(n.refused, 5);
}

static void test_d4_what_is_coming_counts(void **state)
{
	struct ipam_targets warm = { .warm_ip = 8 };
	struct ipam_figures f = at_rest(10, 8, 9);

	f.coming = 4;
	assert_int_equal(ipam_need(&warm, &f).short_addrs, 2);
	f.coming = 16;
	assert_int_equal(ipam_need(&warm, &f).short_addrs, 0);
}

static void test_d6_nothing_is_over_while_things_move(void **state)
{
	struct ipam_targets warm = { .warm_ip = 1 };
	struct ipam_figures f = at_rest(10, 4, 9);

	assert_int_equal(ipam_need(&warm, &f).over_addrs, 5);
	f.waiting = 1;
	assert_int_equal(ipam_need(&warm, &f).over_addrs, 0);
	f.waiting = 0;
	f.coming = 1;
	assert_int_equal(ipam_need(&warm, &f).over_addrs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid_by_address),
		cmocka_unit_test(test_grid_by_address_with_prefixes),
		cmocka_unit_test(test_grid_warm_prefix),
		cmocka_unit_test(test_grid_warm_eni),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_d1_cooling_is_not_available),
		cmocka_unit_test(test_d2_waiting_adds_are_need),
		cmocka_unit_test(test_d3_never_more_than_pods_can_use),
		cmocka_unit_test(test_d4_what_is_coming_counts),
		cmocka_unit_test(test_d6_nothing_is_over_while_things_move),
	};

	return cmocka_run_group_tests_name("ipam_targets", tests, NULL, NULL);
}
