/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WATCHED -> (no place) PAUSED, until a connection has gone; -> (no descriptor, no memory) PAUSED, until one has gone or the timer runs out.
 * As daemon/acceptor.c, on the simulator's loop.
 */
#include "sim/acceptor.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/base/accept.h"
#include "lib/base/log.h"

static void on_acceptable(void *arg, uint32_t events);

static void pause_accepting(struct sim_acceptor *a)
{
	sim_loop_unwatch(a->loop, a->listen_fd);
	a->paused = true;
}

static void on_retry(void *arg)
{
	sim_acceptor_resume(arg);
}

void sim_acceptor_resume(struct sim_acceptor *a)
{
	if (!a->loop || !a->paused)
		return;
	sim_timer_clear(&a->retry);
	if (sim_loop_watch(a->loop, a->listen_fd, EPOLLIN, on_acceptable, a) < 0)
		sim_timer_set(a->loop, &a->retry, VW_ACCEPT_RETRY_MS, on_retry, a);
	else
		a->paused = false;
}

static void run_short(struct sim_acceptor *a, int eno)
{
	if (!a->is_short)
		vw_warn("a connection cannot be taken, retrying until it can", "err=\"%s\"", strerror(eno));
	a->is_short = true;
	pause_accepting(a);
	sim_timer_set(a->loop, &a->retry, VW_ACCEPT_RETRY_MS, on_retry, a);
}

/* one at a time: the loop's other watches are not to starve behind a burst */
static void on_acceptable(void *arg, uint32_t events)
{
	struct sim_acceptor *a = arg;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	if (a->ops->has_place && !a->ops->has_place(a->arg)) {
		pause_accepting(a);
		return;
	}
	fd = vw_accept(a->listen_fd, &ss, &len);
	if (fd < 0) {
		if (fd != -EAGAIN)
			run_short(a, -fd);
		return;
	}
	a->is_short = false;
	a->ops->take(fd, (struct sockaddr *)&ss, len, a->arg);
}

int sim_acceptor_start(struct sim_acceptor *a, struct sim_loop *loop, int listen_fd, const struct sim_acceptor_ops *ops, void *arg)
{
	int r = sim_loop_watch(loop, listen_fd, EPOLLIN, on_acceptable, a);

	if (r == 0)
		*a = (struct sim_acceptor){ .loop = loop, .listen_fd = listen_fd, .ops = ops, .arg = arg };
	return r;
}

void sim_acceptor_stop(struct sim_acceptor *a)
{
	if (!a->loop)
		return;
	sim_timer_clear(&a->retry);
	sim_loop_unwatch(a->loop, a->listen_fd);
	a->loop = NULL;
}
