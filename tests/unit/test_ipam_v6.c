/* IPv6 addresses: unique, in the block of their ENI, never soon again, also after a restart. */
#include "tests/unit/cm.h"

#include "ipam/v6.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text, &c), 0);
	return c;
}

static struct vw_ip ip(const char *text)
{
	struct vw_ip i;

	assert_int_equal(vw_ip_parse(text, &i), 0);
	return i;
}

static void put(struct ipam_v6 *v, const char *eni, const char *block)
{
	const struct vw_cidr c = cidr(block);

	assert_int_equal(ipam_v6_block_put(v, eni, &c), 0);
}

static void assert_next(struct ipam_v6 *v, const char *eni, const char *want)
{
	char text[VW_IP_STRLEN];
	struct vw_ip got;

	assert_int_equal(ipam_v6_assign(v, eni, &got), 0);
	assert_string_equal(vw_ip_str(&got, text), want);
}

static int setup(void **state)
{
	struct ipam_v6 *v = ipam_v6_new();

	*state = v;
	return v ? 0 : -1;
}

static int teardown(void **state)
{
	ipam_v6_free(*state);
	return 0;
}

static void test_counts_across_enis(void **state)
{
	struct ipam_v6 *v = *state;

	put(v, "eni-a", "2001:db8:0:1:1::/80");
	put(v, "eni-b", "2001:db8:0:2:7::/80");
	assert_next(v, "eni-a", "2001:db8:0:1:1::1");
	assert_next(v, "eni-b", "2001:db8:0:2:7::2");
	assert_next(v, "eni-a", "2001:db8:0:1:1::3");
}

static void test_released_is_not_next(void **state)
{
	struct ipam_v6 *v = *state;
	struct vw_ip a, b;

	put(v, "eni-a", "2001:db8:0:1:1::/80");
	assert_int_equal(ipam_v6_assign(v, "eni-a", &a), 0);
	ipam_v6_release(v, &a);
	ipam_v6_release(v, &a);         /* twice is once */
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ipam_v6_assign(v, "eni-a", &b), 0);
		assert_false(vw_ip_eq(&a, &b));
		ipam_v6_release(v, &b);
	}
}

static void test_restart_goes_on_behind(void **state)
{
	const struct vw_ip held = ip("2001:db8:0:1:1::5"), other = ip("2001:db8:0:2:7::3"), cooling = ip("2001:db8:0:1:1::9");
	const struct vw_ip v4 = ip("10.0.0.1");
	struct ipam_v6 *v = *state;

	assert_int_equal(ipam_v6_restore(v, &held), 0);
	assert_int_equal(ipam_v6_restore(v, &held), -EEXIST);
	assert_int_equal(ipam_v6_restore(v, &v4), -EAFNOSUPPORT);
	ipam_v6_restore_cooling(v, &cooling);
	ipam_v6_restore_cooling(v, &v4);
	assert_int_equal(ipam_v6_restore(v, &other), 0);        /* lower: the counter does not go back */
	put(v, "eni-a", "2001:db8:0:1:1::/80");
	assert_next(v, "eni-a", "2001:db8:0:1:1::a");
}

static void test_wraps_around_what_is_in_use(void **state)
{
	const struct vw_ip last = ip("2001:db8:0:1:1:ffff:ffff:ffff"), first = ip("2001:db8:0:1:1::1");
	struct ipam_v6 *v = *state;

	put(v, "eni-a", "2001:db8:0:1:1::/80");
	assert_int_equal(ipam_v6_restore(v, &last), 0);
	assert_int_equal(ipam_v6_restore(v, &first), 0);
	assert_next(v, "eni-a", "2001:db8:0:1:1::2");
}

/* a runtime may ask for any address (capability "ips"): those that others gave up a moment ago rest all the same */
static void test_who_asks_for_a_high_one_does_not_turn_the_count_round(void **state)
{
	const struct vw_ip asked = ip("2001:db8:0:1:1:ffff:ffff:ffff");
	struct ipam_v6 *v = *state;
	struct vw_ip given;

	put(v, "eni-a", "2001:db8:0:1:1::/80");
	assert_int_equal(ipam_v6_assign(v, "eni-a", &given), 0);
	ipam_v6_release(v, &given);
	assert_int_equal(ipam_v6_restore(v, &asked), 0);
	assert_next(v, "eni-a", "2001:db8:0:1:1::2");
	ipam_v6_release(v, &asked);
	ipam_v6_restore_cooling(v, &asked);     /* as a restart does */
	assert_next(v, "eni-a", "2001:db8:0:1:1::3");
}

static void test_blocks(void **state)
{
	const struct vw_cidr a = cidr("2001:db8:0:1:1::/80"), b = cidr("2001:db8:0:1:2::/80");
	static const char *const bad[] = { "2001:db8:0:1::/64", "2001:db8:0:1:1::1/80", "10.0.0.0/28", "2001:db8:0:1:1::/128" };
	struct ipam_v6 *v = *state;
	struct vw_ip got;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct vw_cidr c = cidr(bad[i]);

		assert_int_equal(ipam_v6_block_put(v, "eni-a", &c), -EINVAL);
	}
	assert_int_equal(ipam_v6_assign(v, "eni-a", &got), -EAGAIN);
	put(v, "eni-a", "2001:db8:0:1:1::/80");
	put(v, "eni-a", "2001:db8:0:1:1::/80");
	assert_int_equal(ipam_v6_block_put(v, "eni-b", &a), -EEXIST);
	assert_int_equal(ipam_v6_assign(v, "eni-a", &got), 0);
	assert_string_equal(ipam_v6_eni(v, &got), "eni-a");
	assert_int_equal(ipam_v6_in_use(v, &a), 1);
	assert_int_equal(ipam_v6_block_put(v, "eni-a", &b), -EBUSY);
	assert_int_equal(ipam_v6_block_del(v, "eni-a"), -EBUSY);
	ipam_v6_release(v, &got);
	assert_int_equal(ipam_v6_block_put(v, "eni-a", &b), 0);
	assert_true(vw_cidr_eq(ipam_v6_block(v, "eni-a"), &b));
	assert_null(ipam_v6_eni(v, &got));
	assert_int_equal(ipam_v6_block_del(v, "eni-a"), 0);
	assert_int_equal(ipam_v6_block_del(v, "eni-a"), 0);
	assert_null(ipam_v6_block(v, "eni-a"));
}

#define LIVE 64
#define RESTING 32

/* a restart: what is in use and what cools is all that is known of the life before */
static struct ipam_v6 *again(struct ipam_v6 *old, const struct vw_ip *live, size_t n, const struct vw_ip *resting)
{
	struct ipam_v6 *v = ipam_v6_new();

	ipam_v6_free(old);
	assert_non_null(v);
	for (size_t i = 0; i < RESTING; i++)
		ipam_v6_restore_cooling(v, &resting[i]);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ipam_v6_restore(v, &live[i]), 0);
	put(v, "eni-0", "2001:db8:0:1:1::/80");
	put(v, "eni-1", "2001:db8:0:2:1::/80");
	return v;
}

/* 200,000 random steps: no address twice, none lost, none of the last 32 released given out, also across restarts */
static void test_random_lives(void **state)
{
	struct vw_ip live[LIVE] = { 0 }, resting[RESTING] = { 0 }, ip;
	uint64_t seed = 76;
	size_t n = 0, next = 0;
	struct ipam_v6 *v = *state = again(*state, live, 0, resting);

	for (int step = 0; step < 200000; step++) {
		unsigned int r = (unsigned int)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33);

		if (r % 1000 == 0) {
			*state = v = again(v, live, n, resting);
		} else if (n < LIVE && (r & 1)) {
			assert_int_equal(ipam_v6_assign(v, r & 2 ? "eni-0" : "eni-1", &ip), 0);
			assert_string_equal(ipam_v6_eni(v, &ip), r & 2 ? "eni-0" : "eni-1");
			for (size_t i = 0; i < n; i++)
				assert_false(vw_ip_eq(&live[i], &ip));
			for (size_t i = 0; i < RESTING; i++)
				assert_false(vw_ip_eq(&resting[i], &ip));
			live[n++] = ip;
		} else if (n > 0 && !(r & 1)) {
			size_t which = (r >> 2) % n;

			ipam_v6_release(v, &live[which]);
			resting[next++ % RESTING] = live[which];
			live[which] = live[--n];
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts_across_enis, setup, teardown),
		cmocka_unit_test_setup_teardown(test_released_is_not_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_goes_on_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wraps_around_what_is_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_asks_for_a_high_one_does_not_turn_the_count_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_lives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
