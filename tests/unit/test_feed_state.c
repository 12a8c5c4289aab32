/* What vpcwire-feed says of itself: there and back, what is refused, and what is said of which age. */
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/rpc/feed_state.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 10000000ull

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	(void)VW_COPY(dir, "/tmp/vpcwire-feed-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	return vw_fmt(path, sizeof(path), "%s/" VW_FEED_STATE, dir) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

static void there_and_back(void **state)
{
	struct vw_feed_state in = { .written_ms = 7, .heard_ms = 1ull << 40, .listed = true, .why = "pods: \"x\"" }, out = { 0 };
	struct vw_err err;
	struct stat st;

	(void)state;
	assert_int_equal(vw_feed_state_read(dir, &out, &err), -ENOENT);
	assert_int_equal(vw_feed_state_write(dir, &in, &err), 0);
	assert_int_equal(vw_feed_state_read(dir, &out, &err), 0);
	assert_true(out.written_ms == in.written_ms && out.heard_ms == in.heard_ms && out.listed && !strcmp(out.why, in.why));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void what_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "{}", "{\"written_ms\":1,\"heard_ms\":2,\"listed\":true}", "{\"heard_ms\":2,\"why\":\"\"}",
					   "{\"written_ms\":-1,\"heard_ms\":2,\"why\":\"\"}", "{\"written_ms\":1,\"heard_ms\":\"x\",\"why\":\"\"}",
					   "{\"written_ms\":1,\"heard_ms\":2,\"listed\":true,\"why\":7}" };
	struct vw_feed_state out = { .written_ms = 99 };
	char huge[8192];
	struct vw_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vw_replace_file(path, bad[i], strlen(bad[i]), 0644, &err), 0);
		assert_true(vw_feed_state_read(dir, &out, &err) < 0);
	}
	memset(huge, ' ', sizeof(huge));
	assert_int_equal(vw_replace_file(path, huge, sizeof(huge), 0644, &err), 0);
	assert_true(vw_feed_state_read(dir, &out, &err) < 0);
	assert_int_equal(out.written_ms, 99);
}

static void what_is_said(void **state)
{
	static const struct {
		struct vw_feed_state st;
		bool runs, hears;
		const char *says;
	} cases[] = {
		{ { .written_ms = NOW, .heard_ms = NOW }, true, true, NULL },
		{ { .written_ms = NOW - VW_FEED_DEAD_MS + 1, .heard_ms = NOW - VW_FEED_SILENT_MS + 1 }, true, true, NULL },
		{ { .written_ms = NOW - VW_FEED_DEAD_MS, .heard_ms = NOW }, false, true, "vpcwire-feed does not run: not for 60 s" },
		{ { .written_ms = NOW + 1, .heard_ms = NOW + 1 }, false, false, "vpcwire-feed does not run: not since this machine was started" },
		{ { .written_ms = NOW, .heard_ms = NOW - VW_FEED_SILENT_MS }, true, false,
		  "the API server has not been heard for 420 s: its watches are open and silent" },
		{ { .written_ms = NOW, .heard_ms = NOW - VW_FEED_FAILING_MS + 1, .why = "pods: HTTP status 503" }, true, true, NULL },
		{ { .written_ms = NOW, .heard_ms = NOW - VW_FEED_FAILING_MS, .why = "pods: HTTP status 503" }, true, false,
		  "the API server has not been heard for 60 s: pods: HTTP status 503" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[320] = "";

		assert_int_equal(vw_feed_runs(&cases[i].st, NOW), cases[i].runs);
		assert_int_equal(vw_feed_hears(&cases[i].st, NOW), cases[i].hears);
		assert_int_equal(vw_feed_explain(&cases[i].st, NOW, text, sizeof(text)), cases[i].says != NULL);
		assert_string_equal(text, cases[i].says ? cases[i].says : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_none_is_refused, setup, teardown),
		cmocka_unit_test(what_is_said),
	};

	return cmocka_run_group_tests_name("feed_state", tests, NULL, NULL);
}
