/* Leaked ENIs: what counts as one, who holds the lease, and how often a whole cluster asks. */
#include "daemon/leak.h"

#include "daemon/cloud.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <string.h>

#define NOW INT64_C(1795462000)
#define MAX_TAGS 4

struct tagged {
	struct ec2_eni e;
	struct ec2_tag tags[MAX_TAGS];
	char text[MAX_TAGS][2][256];
};

static void tag(struct tagged *t, const char *key, const char *value)
{
	size_t n = t->e.n_tags;

	if (!value)
		return;
	assert_true(n < MAX_TAGS && VW_COPY(t->text[n][0], key) >= 0 && VW_COPY(t->text[n][1], value) >= 0);
	t->tags[n] = (struct ec2_tag){ t->text[n][0], t->text[n][1] };
	t->e.tags = t->tags;
	t->e.n_tags++;
}

static void test_suspects(void **state)
{
	static const struct {
		enum ec2_eni_status status;
		const char *attached, *owner, *cluster, *no_manage;
		int64_t age;            /* -1: no date */
		bool want;
	} rows[] = {
		{ EC2_ENI_AVAILABLE, "", "i-1", "c", NULL, 301, true },
		{ EC2_ENI_AVAILABLE, "", "i-1", "c", "false", 100000, true },
		{ EC2_ENI_AVAILABLE, "", "i-1", "c", NULL, 300, false },        /* on its way, perhaps */
		{ EC2_ENI_AVAILABLE, "", "i-1", "c", NULL, -1, false },
		{ EC2_ENI_AVAILABLE, "", "i-1", "c", "true", 301, false },
		{ EC2_ENI_AVAILABLE, "", "i-1", "other", NULL, 301, false },
		{ EC2_ENI_AVAILABLE, "", "i-1", NULL, NULL, 301, false },
		{ EC2_ENI_AVAILABLE, "", NULL, "c", NULL, 301, false },         /* nobody's we know */
		{ EC2_ENI_IN_USE, "i-1", "i-1", "c", NULL, 301, false },
		{ EC2_ENI_DETACHING, "i-1", "i-1", "c", NULL, 301, false },
		{ EC2_ENI_ATTACHING, "i-1", "i-1", "c", NULL, 301, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tagged t = { .e = { .status = rows[i].status } };
		char when[VW_TIME_STRLEN];

		assert_true(VW_COPY(t.e.attachment.instance_id, rows[i].attached) >= 0);
		tag(&t, TAG_INSTANCE, rows[i].owner);
		tag(&t, TAG_CLUSTER, rows[i].cluster);
		tag(&t, TAG_NO_MANAGE, rows[i].no_manage);
		tag(&t, TAG_CREATED, rows[i].age < 0 ? NULL : vw_time_str(NOW - rows[i].age, when));
		if (leak_is_suspect(&t.e, "c", NOW) != rows[i].want)
			fail_msg("row %zu", i);
	}
}

static void test_without_a_cluster(void **state)
{
	struct tagged t = { .e = { .status = EC2_ENI_AVAILABLE } };

	tag(&t, TAG_INSTANCE, "i-1");
	tag(&t, TAG_CREATED, "2026-01-01T00:00:00Z");
	assert_true(leak_is_suspect(&t.e, "", NOW));
	tag(&t, TAG_CLUSTER, "c");
	assert_false(leak_is_suspect(&t.e, "", NOW));
}

static void test_lease(void **state)
{
	static const struct {
		const char *instance, *value;
	} rows[] = {
		{ "i-5", "until=1795462001 nodes=40 cluster=my cluster" },
		{ "i-3", "until=1795462001 nodes=30 cluster=my cluster" },      /* the lowest of the valid ones */
		{ "i-1", "until=1795462000 nodes=10 cluster=my cluster" },      /* over */
		{ "i-0", "until=1795462001 nodes=10 cluster=my" },              /* another cluster's */
		{ "", "until=1795462001 nodes=10 cluster=my cluster" },         /* attached to nothing */
		{ "i-0", "until=x nodes=10 cluster=my cluster" },
		{ "i-0", "until=1795462001 nodes=0 cluster=my cluster" },
		{ "i-0", "nonsense" },
	};
	struct tagged t[sizeof(rows) / sizeof(rows[0])];
	struct ec2_eni v[sizeof(rows) / sizeof(rows[0])];
	struct ec2_enis all = { v, 0 };
	struct leak_lease l;
	char text[256];

	leak_lease_find(&all, "my cluster", NOW, &l);
	assert_string_equal(l.instance_id, "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t[i] = (struct tagged){ 0 };
		assert_true(VW_COPY(t[i].e.attachment.instance_id, rows[i].instance) >= 0);
		tag(&t[i], TAG_SWEEPER, rows[i].value);
		v[all.n++] = t[i].e;
	}
	leak_lease_find(&all, "my cluster", NOW, &l);
	assert_string_equal(l.instance_id, "i-3");
	assert_int_equal(l.nodes, 30);
	leak_lease_find(&all, "my cluster", NOW + 1, &l);
	assert_string_equal(l.instance_id, "");
	assert_string_equal(leak_lease_text(1795462001, 40, "my cluster", text), rows[0].value);
}

/* What the promise is: all nodes together look as often as one, whatever their number. */
static void test_the_cluster_asks_once_in_an_interval(void **state)
{
	static const uint32_t sizes[] = { 2, 10, 100, 1000, 5000 };
	const unsigned int interval = 3600;
	uint64_t seed = 1;

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		const uint64_t draws = 20000;
		double sum = 0, per_interval;

		for (uint64_t i = 0; i < draws; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			sum += (double)leak_next_s(false, sizes[k], interval, seed >> 20);
		}
		per_interval = (sizes[k] - 1) / (sum / (double)draws / interval);
		if (per_interval > 1.1 || (sizes[k] >= 10 && per_interval < 0.7))
			fail_msg("%u nodes look %.2f times in an interval", sizes[k], per_interval);
	}
	assert_int_equal(leak_next_s(true, 5000, interval, seed), interval);
	for (uint64_t c = 0; c < 1000; c++) {
		assert_in_range(leak_first_s(interval, c * 7919), 300, 600);
		assert_in_range(leak_next_s(false, 0, 1, c), 1, 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suspects),
		cmocka_unit_test(test_without_a_cluster),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_the_cluster_asks_once_in_an_interval),
	};

	return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
