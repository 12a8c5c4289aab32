/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WATCHED -> (no place) PAUSED, until a connection has gone; -> (no descriptor, no memory) PAUSED, until one has gone or the timer runs out.
 * As daemon/acceptor.c, on the simulator's loop.
 */
#include "sim/acceptor.h"

#include <sys/epoll.h>

static void on_acceptable(void *arg, uint32_t events);

static void on_retry(void *arg)
{
	sim_acceptor_resume(arg);
}

void sim_acceptor_resume(struct sim_acceptor *a)
{
	if (!a->loop || !a->paused)
		return;
	sim_timer_clear(&a->retry);
	if (sim_loop_watch(a->loop, a->accept.listen_fd, EPOLLIN, on_acceptable, a) < 0)
		sim_timer_set(a->loop, &a->retry, VW_ACCEPT_RETRY_MS, on_retry, a);
	else
		a->paused = false;
}

/* one at a time: the loop's other watches are not to starve behind a burst */
static void on_acceptable(void *arg, uint32_t events)
{
	struct sim_acceptor *a = arg;
	enum vw_accept_turn turn = vw_accept_turn(&a->accept);

	if (turn == VW_ACCEPT_FULL || turn == VW_ACCEPT_SHORT) {
		sim_loop_unwatch(a->loop, a->accept.listen_fd);
		a->paused = true;
	}
	if (turn == VW_ACCEPT_SHORT)
		sim_timer_set(a->loop, &a->retry, VW_ACCEPT_RETRY_MS, on_retry, a);
}

int sim_acceptor_start(struct sim_acceptor *a, struct sim_loop *loop, int listen_fd, const char *what, const struct vw_accept_ops *ops, void *arg)
{
	int r = sim_loop_watch(loop, listen_fd, EPOLLIN, on_acceptable, a);

	if (r == 0)
		*a = (struct sim_acceptor){ .loop = loop, .accept = { .listen_fd = listen_fd, .what = what, .ops = ops, .arg = arg } };
	return r;
}

void sim_acceptor_stop(struct sim_acceptor *a)
{
	if (!a->loop)
		return;
	sim_timer_clear(&a->retry);
	sim_loop_unwatch(a->loop, a->accept.listen_fd);
	a->loop = NULL;
}
