/*
 * A hundred thousand times ADD and DEL, and the whole daemon has the memory that it had before: counted in blocks and bytes
 * that its code has allocated, those that SQLite has, and the size of its files. Nothing is timed.
 */
#include "tests/unit/model.h"
#include "tests/unit/model_heap.h"

#include "daemon/store.h"
#include "lib/base/parse.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CHURN 20                /* pods that come and go in a round; they fit onto the node twice over: some cool */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 500u             /* ten times as slow */
#else
#define ROUNDS 5000u
#endif
/* what may differ: how many slots the pool has at the moment, and how many pages SQLite keeps. A block for each 1,000 pairs is a leak. */
#define SPARE_BLOCKS 20u
#define SPARE_BYTES (64u << 10)

struct figures {
	struct heap_live heap;
	uint64_t sqlite_bytes, file_bytes;
};

static uint64_t size_of(const struct model *m, const char *name)
{
	char path[160];
	struct stat st;

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", m->dir, name) > 0);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static struct figures measure(const struct model *m)
{
	return (struct figures){ heap_live(), (uint64_t)sqlite3_memory_used(), size_of(m, "state.db") + size_of(m, "state.db-wal") };
}

static void rounds(struct model *m, unsigned int n)
{
	for (unsigned int k = 0; k < n; k++) {
		for (unsigned int i = 0; i < CHURN; i++) {
			model_add(m, &m->box[i]);
			world_turn(m->w);
		}
		model_run_dry(m, 1000);
		for (unsigned int i = 0; i < CHURN; i++) {
			model_del(m, &m->box[i], k % 2 ? DEL_NETNS_GONE : 0);
			world_turn(m->w);
		}
		model_run_dry(m, COOL_MS);
	}
	model_run_dry(m, 3600000);
	check_books(m);
}

static void churn(bool prefixes, const char *settings, unsigned int n)
{
	struct model *m = calloc(1, sizeof(*m));
	struct figures before, after;

	assert_non_null(m);
	model_setup(m, 737, prefixes, settings);
	rounds(m, n / 5);
	before = measure(m);
	rounds(m, n);
	after = measure(m);
	print_message("# %s: %u ADD + DEL: %zu blocks, %zu bytes, SQLite %llu, files %llu; then %zu, %zu, %llu, %llu\n", settings, n * CHURN,
		      before.heap.blocks, before.heap.bytes, (unsigned long long)before.sqlite_bytes, (unsigned long long)before.file_bytes,
		      after.heap.blocks, after.heap.bytes, (unsigned long long)after.sqlite_bytes, (unsigned long long)after.file_bytes);
	assert_int_equal(m->n_add, (n + n / 5) * CHURN);
	assert_true(after.heap.blocks <= before.heap.blocks + SPARE_BLOCKS);
	assert_true(after.heap.bytes <= before.heap.bytes + SPARE_BYTES);
	assert_true(after.sqlite_bytes <= before.sqlite_bytes + SPARE_BYTES);
	assert_true(after.file_bytes <= before.file_bytes + SPARE_BYTES);
	model_teardown(m);
	free(m);
}

static void test_addresses(void **state)
{
	churn(false, "\"warm_ip_target\":2", ROUNDS);
}

static void test_prefixes_by_demand(void **state)
{
	churn(true, "\"leak_check_s\":3600", ROUNDS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_prefixes_by_demand),
	};

	return cmocka_run_group_tests_name("flat", tests, NULL, NULL);
}
