/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "lib/base/accept.h"
#include "sim/loop.h"

/**
 * DOC: taking connections
 *
 * What a listening socket has waiting becomes connections, as long as there is a place and a descriptor for them; else it waits in the kernel's
 * backlog, and the socket is not watched (lib/base/accept.h says why).
 */

/** struct sim_acceptor - embedded in its owner, all zero when idle. */
struct sim_acceptor {
	struct sim_loop *loop; /* NULL when idle */
	struct vw_accept accept;
	struct sim_timer retry;
	bool paused;
};

/**
 * sim_acceptor_start() - @listen_fd: borrowed, nonblocking; open until sim_acceptor_stop(). @what: for the log, of static storage. Where @ops had no
 * place, sim_acceptor_resume() follows when there is one. Return: 0, -errno.
 */
int sim_acceptor_start(struct sim_acceptor *a, struct sim_loop *loop, int listen_fd, const char *what, const struct vw_accept_ops *ops, void *arg);
/** sim_acceptor_resume() - a connection has gone: there may be a place, and a descriptor. */
void sim_acceptor_resume(struct sim_acceptor *a);
/** sim_acceptor_stop() - does nothing when idle. Not from its own ops. */
void sim_acceptor_stop(struct sim_acceptor *a);
