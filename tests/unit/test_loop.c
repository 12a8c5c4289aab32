/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose libraries call exit() while jobs run. */
#include "daemon/loop.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS     7
#define PATIENCE_S 20   /* only a test that fails waits for it */

static void never_ends(void *arg)
{
	char c;

	(void)arg;
	/* nobody writes */
	(void)!read(STDIN_FILENO, &c, 1);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void end_here(void *arg)
{
	(void)arg;
	exit(STATUS);
}

static void live(int read_fd)
{
	struct loop_timer *timer;
	struct loop *loop;
	struct vw_err err;

	alarm(PATIENCE_S);
	if (dup2(read_fd, STDIN_FILENO) < 0 || loop_new(&loop, &err) < 0 || loop_job(loop, never_ends, nothing, NULL) < 0 ||
	    loop_timer_new(loop, end_here, NULL, &timer) < 0)
		_exit(1);
	loop_timer_set(timer, 0);
	(void)loop_run(loop, &err);
	_exit(2);
}

static void test_exit_waits_for_no_job(void **state)
{
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		live(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d: it waited", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), STATUS);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_exit_waits_for_no_job) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
