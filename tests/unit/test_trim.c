/* Giving memory back: after a job and not during one; what was dropped is there again when it is used. */
#include "daemon/loop.h"
#include "daemon/trim.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 4096
#define BLOCK 4000

/* KiB of this process's that are in memory: "RssAnon:", "RssFile:" */
static uint64_t resident(const char *what)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	uint64_t kib = 0;
	char *at, *end;

	assert_int_equal(vw_read_file("/proc/self/status", 1 << 16, &b, &err), 0);
	at = strstr(vw_buf_str(&b), what);
	assert_non_null(at);
	at += strlen(what);
	at += strspn(at, " \t");
	end = at + strcspn(at, " ");
	*end = 0;
	assert_int_equal(vw_parse_u64(at, 0, UINT64_MAX, &kib), 0);
	return kib;
}

static void test_text_goes_and_comes_back(void **state)
{
	uint64_t before = resident("RssFile:"), after;
	struct vw_ip ip;

	trim_memory();
	after = resident("RssFile:");
	/* what read the figure is in again; the libraries that nothing here has used are not */
	assert_true(after < before);
	/* relocated tables, constants and code are as they were */
	assert_int_equal(vw_ip_parse("10.1.2.3", &ip), 0);
	assert_int_equal(vw_ip4_u32(&ip), 0x0a010203);
	trim_memory();
	assert_int_equal(vw_ip_parse("fd00::1", &ip), 0);
	assert_string_equal(strerror(ENOENT), "No such file or directory");
}

static void test_free_heap_goes(void **state)
{
	char **v = calloc(BLOCKS, sizeof(*v));
	uint64_t full, after;

	assert_non_null(v);
	for (size_t i = 0; i < BLOCKS; i++) {
		v[i] = malloc(BLOCK);
		assert_non_null(v[i]);
		memset(v[i], 1, BLOCK);
	}
	full = resident("RssAnon:");
	/* one that stays on top keeps the heap from shrinking by itself */
	for (size_t i = 0; i < BLOCKS - 1; i++)
		free(v[i]);
	trim_memory();
	after = resident("RssAnon:");
	assert_int_equal(v[BLOCKS - 1][BLOCK - 1], 1);
	free(v[BLOCKS - 1]);
	free(v);
	/* a sanitizer's heap is its own affair */
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(after + BLOCKS * (BLOCK / 1024) / 2 < full);
#else
	(void)full;
	(void)after;
#endif
}

struct jobs {
	struct loop *loop;
	struct loop_timer *longest;
	unsigned int running, rests, running_at_rest;
	bool again;
};

static void no_work(void *arg)
{
}

static void job_ended(void *arg)
{
	((struct jobs *)arg)->running--;
}

static void start_job(struct jobs *j)
{
	j->running++;
	assert_int_equal(loop_job(j->loop, no_work, job_ended, j), 0);
}

static void on_rest(void *arg)
{
	struct jobs *j = arg;

	j->rests++;
	j->running_at_rest += j->running;
	if (!j->again) {
		loop_stop(j->loop);
		return;
	}
	j->again = false;
	for (int i = 0; i < 10; i++)
		start_job(j);
}

static void too_long(void *arg)
{
	loop_stop(((struct jobs *)arg)->loop);
}

static void test_rest_comes_after_jobs(void **state)
{
	struct jobs j = { .again = true };
	struct vw_err err;

	assert_int_equal(loop_new(&j.loop, &err), 0);
	assert_int_equal(loop_rest(j.loop, 1, on_rest, &j), 0);
	assert_int_equal(loop_timer_new(j.loop, too_long, &j, &j.longest), 0);
	loop_timer_set(j.longest, 30000);
	start_job(&j);
	assert_int_equal(loop_run(j.loop, &err), 0);
	loop_free(j.loop);
	/* once for the first job, once for the ten that followed it */
	assert_int_equal(j.rests, 2);
	assert_int_equal(j.running_at_rest, 0);
	assert_int_equal(j.running, 0);
}

/* a loop that ends while a job runs still hears of its end, and no longer of a rest */
static void test_loop_ends_before_rest(void **state)
{
	struct jobs j = { 0 };
	struct vw_err err;

	assert_int_equal(loop_new(&j.loop, &err), 0);
	assert_int_equal(loop_rest(j.loop, 0, on_rest, &j), 0);
	start_job(&j);
	loop_free(j.loop);
	assert_int_equal(j.running, 0);
	assert_int_equal(j.rests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_goes_and_comes_back),
		cmocka_unit_test(test_free_heap_goes),
		cmocka_unit_test(test_rest_comes_after_jobs),
		cmocka_unit_test(test_loop_ends_before_rest),
	};

	trim_init_process();
	return cmocka_run_group_tests_name("trim", tests, NULL, NULL);
}
