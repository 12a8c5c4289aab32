// SPDX-License-Identifier: Apache-2.0
/*
 * WATCHED -> (no place) FULL, until a connection has gone; -> (no descriptor, no memory) SHORT, until one has gone or the timer runs out.
 * Whoever waits for a descriptor has it as soon as any is closed by a connection of ours, and a moment later by anybody else.
 */
#include "daemon/acceptor.h"

#include "daemon/loop.h"

#include <errno.h>
#include <stdlib.h>

/* a few per turn: timers and results of jobs must not starve behind a burst of ADDs */
#define PER_TURN 16

struct acceptor {
	struct vw_accept accept;
	struct loop_fd *watch;
	struct loop_timer *retry;
	bool paused;
};

void acceptor_resume(struct acceptor *a)
{
	if (!a->paused)
		return;
	loop_timer_stop(a->retry);
	loop_fd_resume(a->watch);
	a->paused = false;
}

static void on_retry(void *arg)
{
	acceptor_resume(arg);
}

static void on_acceptable(void *arg)
{
	struct acceptor *a = arg;
	enum vw_accept_turn turn = VW_ACCEPT_TAKEN;

	for (int i = 0; i < PER_TURN && turn == VW_ACCEPT_TAKEN; i++)
		turn = vw_accept_turn(&a->accept);
	if (turn == VW_ACCEPT_FULL || turn == VW_ACCEPT_SHORT) {
		loop_fd_pause(a->watch);
		a->paused = true;
	}
	if (turn == VW_ACCEPT_SHORT)
		loop_timer_set(a->retry, VW_ACCEPT_RETRY_MS);
}

int acceptor_new(struct loop *loop, int listen_fd, const char *what, const struct vw_accept_ops *ops, void *arg, struct acceptor **ret_acceptor)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct acceptor){ .accept = { .listen_fd = listen_fd, .what = what, .ops = ops, .arg = arg } };
	r = loop_timer_new(loop, on_retry, a, &a->retry);
	if (r == 0)
		r = loop_fd_watch(loop, listen_fd, on_acceptable, a, &a->watch);
	if (r < 0) {
		acceptor_free(a);
		return r;
	}
	*ret_acceptor = a;
	return 0;
}

void acceptor_free(struct acceptor *a)
{
	if (!a)
		return;
	loop_fd_unwatch(a->watch);
	loop_timer_free(a->retry);
	free(a);
}
