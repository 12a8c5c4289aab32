#pragma once

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "tests/unit/cm.h"

#include <sched.h>
#include <unistd.h>

/**
 * DOC: tests against the real kernel
 * Each test program that includes this makes one network namespace for itself and never touches the machine's own.
 * Without the right to make one (not root), the tests are skipped.
 */

/** netns_new() - a namespace with nothing in it but lo (down), held open by the returned fd; the caller stays where it is. */
static inline int netns_new(void)
{
	struct vw_err err;
	int home = vw_netns_open_self(&err), fd;

	assert_true(home >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = vw_netns_open_self(&err);
	assert_true(fd >= 0);
	assert_int_equal(vw_netns_enter(home, &err), 0);
	close(home);
	return fd;
}

/** netns_private() - group setup: leave the machine's namespace. *state = NULL means "skip everything". */
static inline int netns_private(void **state)
{
	static int yes = 1;

	*state = unshare(CLONE_NEWNET) == 0 ? &yes : NULL;
	if (!*state)
		print_message("# skip: making a network namespace needs root\n");
	return 0;
}

#define NETNS_OR_SKIP(state) \
	do { \
		if (!*(state)) \
			skip(); \
	} while (0)

/** ok() - fail the test with the error's own words. */
#define ok(call) \
	({ \
		int ok_r_ = (call); \
		if (ok_r_ < 0) \
			fail_msg("%s: %s", #call, err.msg); \
		ok_r_; \
	})
