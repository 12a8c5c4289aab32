/* SPDX-License-Identifier: Apache-2.0 */
/* No descriptor is left: how often is it asked for one? Counted in turns of the loop, so that a slow machine changes nothing. */
#include "tests/unit/scarce.h"

#include "lib/base/accept.h"
#include "lib/base/clock.h"
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

void scarce_turns(void (*turn)(void *arg), void *arg)
{
	uint64_t begin_ms = vw_mono_ms();

	accepts = 0;
	for (int i = 0; i < TURNS; i++)
		turn(arg);
	assert_in_range(accepts, 0, 2 + (vw_mono_ms() - begin_ms) / VW_ACCEPT_RETRY_MS);
}
