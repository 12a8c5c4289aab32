/* SPDX-License-Identifier: Apache-2.0 */
/* No descriptor is left: how often is it asked for one? Counted in turns of the loop, so that a slow machine changes nothing. */
#include "tests/unit/scarce.h"

#include "daemon/acceptor.h"
#include "daemon/loop.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURNS 2000

static unsigned int accepts;

/* before libc's, also for libraries */
int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, sa, len, flags);
}

void scarce_begin(struct rlimit *ret_was)
{
	int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
	struct rlimit files;

	assert_true(next > 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_was), 0);
	files = *ret_was;
	files.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

void scarce_end(const struct rlimit *was)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, was), 0);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

void scarce_turns(struct loop *loop)
{
	uint64_t begin_ms = vw_mono_ms();
	struct loop_timer *now;
	struct vw_err err;

	accepts = 0;
	assert_int_equal(loop_timer_new(loop, stop, loop, &now), 0);
	for (int i = 0; i < TURNS; i++) {
		loop_timer_set(now, 0);
		assert_int_equal(loop_run(loop, &err), 0);
	}
	loop_timer_free(now);
	assert_in_range(accepts, 0, 2 + (vw_mono_ms() - begin_ms) / ACCEPTOR_RETRY_MS);
}
