/*
 * The settled steady hour: pods come and go one by one, then nothing happens at all, and the whole daemon (planner, surveys, jobs)
 * asks EC2 for nothing, in each mode. With WARM_IP_TARGET only the quiet hour is free, which model_calm() sees to: it counts single
 * addresses, and one that cools is missing.
 */
#include "tests/unit/model.h"

#include "lib/base/parse.h"

#include <stdlib.h>

#define HOUR_MS 3600000u

static void come_and_go(struct model *m, unsigned int pods, unsigned int ms)
{
	for (unsigned int t = 0, i = 0; t < ms; t += 60000, i = (i + 1) % pods) {
		model_del(m, &m->box[i], DEL_NETNS_GONE);
		model_run_dry(m, 5000);
		model_add(m, &m->box[i]);
		model_run_dry(m, 55000);
	}
}

static void steady(bool prefixes, const char *settings, unsigned int pods)
{
	struct model *m = calloc(1, sizeof(*m));
	uint64_t calls;

	assert_non_null(m);
	model_setup(m, 60, prefixes, settings);
	model_run_dry(m, 120000);
	for (unsigned int i = 0; i < pods; i++) {
		model_add(m, &m->box[i]);
		model_run_dry(m, 10000);
	}
	/* what the start's burst had left goes within half a day, when the pool follows demand */
	come_and_go(m, pods, 12 * HOUR_MS);
	calls = m->w->calls;
	assert_true(calls > 0);
	come_and_go(m, pods, HOUR_MS);
	model_run_dry(m, HOUR_MS);
	if (m->w->calls != calls)
		fail_msg("%s: two steady hours made %llu calls", settings, (unsigned long long)(m->w->calls - calls));
	check_books(m);
	model_teardown(m);
	free(m);
}

#define DUAL "\"enable_ipv6\":true,"
#define IPV6_ALONE "\"enable_ipv6\":true,\"enable_ipv4\":false,"
#define BY_DEMAND "\"leak_check_s\":3600"

static void test_addresses(void **state)
{
	steady(false, "\"warm_eni_target\":1", 8);
	steady(false, BY_DEMAND, 8);
}

static void test_prefixes(void **state)
{
	steady(true, "\"warm_prefix_target\":1", 20);
	steady(true, BY_DEMAND, 20);
}

static void test_ipv6(void **state)
{
	steady(true, DUAL BY_DEMAND, 20);
	steady(false, DUAL "\"warm_eni_target\":1", 8);
	steady(true, IPV6_ALONE BY_DEMAND, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests_name("steady", tests, NULL, NULL);
}
