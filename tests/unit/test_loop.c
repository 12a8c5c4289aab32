/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose libraries call exit() while jobs run; a loop that goes while one does. */
#include "daemon/loop.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <signal.h>
#include <stdbool.h>
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

struct late {
	struct loop_timer *timer;
	int go[2], active;
	bool done;
};

static void wait_for_go(void *arg)
{
	struct late *l = arg;
	char c;

	(void)!read(l->go[0], &c, 1);
}

static void set_a_timer(void *arg)
{
	struct late *l = arg;

	loop_timer_stop(l->timer);
	loop_timer_set(l->timer, 0);
	l->active = loop_timer_active(l->timer);
	loop_timer_free(l->timer);
	l->done = true;
}

/* closed in the turn of the loop in which the job is let go: so the timers have gone, and a moment later the job ends */
static void let_go(void *arg)
{
	struct late *l = arg;

	(void)!write(l->go[1], "", 1);
}

/* what the daemon does when it is stopped in the middle of a call to EC2 */
static void test_a_job_ends_after_the_timers(void **state)
{
	struct late l = { .active = -1 };
	struct loop *loop;
	struct vw_err err;

	assert_int_equal(pipe(l.go), 0);
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(loop_timer_new(loop, nothing, NULL, &l.timer), 0);
	assert_int_equal(loop_job(loop, wait_for_go, set_a_timer, &l), 0);
	/* its end comes in a turn of its own, at the earliest the one after that which closes the timers */
	assert_int_equal(loop_job(loop, nothing, let_go, &l), 0);
	loop_free(loop);
	assert_true(l.done);
	assert_int_equal(l.active, 0);
	close(l.go[0]);
	close(l.go[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_waits_for_no_job),
		cmocka_unit_test(test_a_job_ends_after_the_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
