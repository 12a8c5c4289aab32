/* A folder that is watched: what has a dot in front of its name (vpcwire-feed's state, every 10 s) wakes nobody. */
#include "daemon/loop.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <stdlib.h>
#include <unistd.h>

struct watched {
	struct loop *loop;
	unsigned int calls;
	bool last;
};

static void on_change(void *arg)
{
	struct watched *w = arg;

	w->calls++;
	if (w->last)
		loop_stop(w->loop);
}

static void put(const char *dir, const char *name)
{
	char path[128];
	struct vw_err err;

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", dir, name) > 0);
	assert_int_equal(vw_replace_file(path, "x", 1, 0600, &err), 0);
}

static void forget(const char *dir, const char *name)
{
	char path[128];

	assert_true(vw_fmt(path, sizeof(path), "%s/%s", dir, name) > 0);
	assert_int_equal(unlink(path), 0);
}

/* events come in order: when the second folder's has come, the first one's would have */
static void hidden_files_wake_nobody(void **state)
{
	char first[] = "/tmp/vpcwire-loop-XXXXXX", second[] = "/tmp/vpcwire-loop-XXXXXX";
	struct watched a = { 0 }, b = { .last = true };
	struct vw_err err;

	(void)state;
	assert_non_null(mkdtemp(first));
	assert_non_null(mkdtemp(second));
	assert_int_equal(loop_new(&a.loop, &err), 0);
	b.loop = a.loop;
	assert_int_equal(loop_dir_watch(a.loop, first, on_change, &a, &err), 0);
	assert_int_equal(loop_dir_watch(a.loop, second, on_change, &b, &err), 0);
	put(first, ".state.json");
	put(first, ".state.json");
	put(second, "pods_a_b.json");
	assert_int_equal(loop_run(a.loop, &err), 0);
	assert_int_equal(a.calls, 0);
	assert_true(b.calls > 0);
	loop_free(a.loop);
	forget(first, ".state.json");
	forget(second, "pods_a_b.json");
	assert_int_equal(rmdir(first), 0);
	assert_int_equal(rmdir(second), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(hidden_files_wake_nobody) };

	return cmocka_run_group_tests_name("loop_dir", tests, NULL, NULL);
}
