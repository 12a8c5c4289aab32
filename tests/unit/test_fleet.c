/* The fleet, small: no address twice, EC2's limits kept, every pod served, the same seed the same figures. */
#include "tests/bench/fleet/fleet.h"

#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <string.h>

#define NODES 50

static void run(enum fleet_algo algo, enum fleet_trace trace, struct ipam_targets targets, uint64_t seed,
		struct fleet_result *ret)
{
	struct fleet_opts o = {
		.algo = algo, .trace = trace, .targets = targets, .nodes = NODES, .pods_per_s = 50, .seed = seed,
	};
	struct vw_err err;

	if (fleet_run(&o, ret, &err) < 0)
		fail_msg("%s", err.msg);
}

static const struct ipam_targets ours[] = {
	{ .mode = IPAM_MODE_ADDRS, .adaptive = true },
	{ .mode = IPAM_MODE_PREFIXES, .adaptive = true },
	{ .mode = IPAM_MODE_ADDRS, .warm_eni = 1 },
	{ .mode = IPAM_MODE_PREFIXES, .warm_ip = 5, .minimum_ip = 20 },
};

static void test_invariants(void **state)
{
	struct fleet_result *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (enum fleet_trace t = 0; t < FLEET_TRACES_; t++) {
		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
			run(FLEET_OURS, t, ours[i], 7, r);
			assert_int_equal(r->violations, 0);
			assert_true(r->pods > NODES * 10);
			assert_int_equal(r->never, 0);
			assert_true(r->idle > 0);
			assert_true(r->n_throttled <= r->n_calls);
		}
	}
	free(r);
}

/* The model keeps the same rules, or a comparison would be worth nothing. */
static void test_model(void **state)
{
	static const struct ipam_targets theirs[] = {
		{ .mode = IPAM_MODE_ADDRS, .warm_eni = 1 },
		{ .mode = IPAM_MODE_ADDRS, .warm_ip = 5, .minimum_ip = 10 },
		{ .mode = IPAM_MODE_PREFIXES, .warm_prefix = 1 },
	};
	struct fleet_result *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (enum fleet_trace t = 0; t < FLEET_TRACES_; t++) {
		for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
			run(FLEET_AWSNODE, t, theirs[i], 7, r);
			assert_int_equal(r->violations, 0);
			assert_true(r->pods > NODES * 10);
			assert_true(r->never <= r->pods / 100);
		}
	}
	free(r);
}

static void test_steady_hour_makes_hardly_a_call(void **state)
{
	struct fleet_result *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (size_t i = 0; i < 2; i++) {
		run(FLEET_OURS, FLEET_STEADY, ours[i], 3, r);
		/* some 2,000 pods; each node gives back once what its start's burst left, chance crosses a mark on a few */
		assert_true(r->n_calls <= NODES + NODES / 5);
		assert_int_equal(r->waited, 0);
	}
	free(r);
}

static void test_seed_decides(void **state)
{
	struct fleet_result *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	assert_non_null(a);
	assert_non_null(b);
	for (enum fleet_algo algo = FLEET_OURS; algo <= FLEET_AWSNODE; algo++) {
		struct ipam_targets t = { .mode = IPAM_MODE_ADDRS, .adaptive = algo == FLEET_OURS, .warm_eni = 1 };

		run(algo, FLEET_WAVE, t, 11, a);
		run(algo, FLEET_WAVE, t, 11, b);
		assert_memory_equal(a, b, sizeof(*a));
		run(algo, FLEET_WAVE, t, 12, b);
		assert_memory_not_equal(a, b, sizeof(*a));
	}
	free(a);
	free(b);
}

static void test_no_nodes(void **state)
{
	const struct fleet_opts o = { .pods_per_s = 1 };
	struct fleet_result *r = calloc(1, sizeof(*r));
	struct vw_err err;

	assert_non_null(r);
	assert_true(fleet_run(&o, r, &err) < 0);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invariants),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_steady_hour_makes_hardly_a_call),
		cmocka_unit_test(test_seed_decides),
		cmocka_unit_test(test_no_nodes),
	};

	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
