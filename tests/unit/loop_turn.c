/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/loop_turn.h"

#include "daemon/loop.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

static void stop(void *arg)
{
	loop_stop(arg);
}

void loop_turn(void *loop)
{
	struct loop_timer *now;
	struct vw_err err;

	assert_int_equal(loop_timer_new(loop, stop, loop, &now), 0);
	loop_timer_set(now, 0);
	assert_int_equal(loop_run(loop, &err), 0);
	loop_timer_free(now);
}
