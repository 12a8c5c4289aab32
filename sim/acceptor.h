/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "sim/loop.h"

/**
 * DOC: taking connections
 *
 * What a listening socket has waiting becomes connections, as long as there is a place and a descriptor for them; else it waits in the kernel's
 * backlog, and the socket is not watched (lib/base/accept.h says why).
 */
struct sim_acceptor_ops {
	/* whether there is a place for one more; if not, sim_acceptor_resume() follows when there is. NULL: always */
	bool (*has_place)(void *arg);
	/* a new connection, nonblocking and close-on-exec; its address is borrowed */
	void (*take)(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg);
};

/** struct sim_acceptor - embedded in its owner, all zero when idle. @is_short: since the last connection that was taken: it is said once. */
struct sim_acceptor {
	struct sim_loop *loop; /* NULL when idle */
	int listen_fd;
	const struct sim_acceptor_ops *ops;
	void *arg;
	struct sim_timer retry;
	bool paused, is_short;
};

/** sim_acceptor_start() - @listen_fd: borrowed, nonblocking; open until sim_acceptor_stop(). Return: 0, -errno. */
int sim_acceptor_start(struct sim_acceptor *a, struct sim_loop *loop, int listen_fd, const struct sim_acceptor_ops *ops, void *arg);
/** sim_acceptor_resume() - a connection has gone: there may be a place, and a descriptor. */
void sim_acceptor_resume(struct sim_acceptor *a);
/** sim_acceptor_stop() - does nothing when idle. Not from its own ops. */
void sim_acceptor_stop(struct sim_acceptor *a);
