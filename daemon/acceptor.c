// SPDX-License-Identifier: Apache-2.0
/*
 * WATCHED -> (no place) FULL, until a connection has gone; -> (no descriptor, no memory) SHORT, until one has gone or the timer runs out.
 * Whoever waits for a descriptor has it as soon as any is closed by a connection of ours, and a moment later by anybody else.
 */
#include "daemon/acceptor.h"

#include "daemon/loop.h"
#include "lib/base/accept.h"
#include "lib/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* a few per turn: timers and results of jobs must not starve behind a burst of ADDs */
#define PER_TURN 16

struct acceptor {
	int listen_fd;
	const char *what;
	const struct acceptor_ops *ops;
	void *arg;
	struct loop_fd *watch;
	struct loop_timer *retry;
	bool paused;
	bool is_short;          /* since the last connection that was taken: it is said once */
};

static void pause_accepting(struct acceptor *a)
{
	loop_fd_pause(a->watch);
	a->paused = true;
}

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

static void run_short(struct acceptor *a, int eno)
{
	if (!a->is_short)
		vw_warn("a connection cannot be taken, retrying until it can", "of=\"%s\" err=\"%s\"", a->what, strerror(eno));
	a->is_short = true;
	pause_accepting(a);
	loop_timer_set(a->retry, VW_ACCEPT_RETRY_MS);
}

static void on_acceptable(void *arg)
{
	struct acceptor *a = arg;
	struct sockaddr_storage ss;

	for (int i = 0; i < PER_TURN; i++) {
		socklen_t len;
		int fd;

		if (!a->ops->has_place(a->arg)) {
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
}

int acceptor_new(struct loop *loop, int listen_fd, const char *what, const struct acceptor_ops *ops, void *arg, struct acceptor **ret_acceptor)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct acceptor){ .listen_fd = listen_fd, .what = what, .ops = ops, .arg = arg };
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
