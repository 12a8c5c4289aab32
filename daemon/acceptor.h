#pragma once

#include "lib/base/accept.h"

struct loop;

/**
 * DOC: taking connections
 *
 * What a listening socket of the daemon has waiting becomes connections, a few in each turn of the loop. As long as there is no place for
 * another one, none is taken and they wait in the kernel's backlog; so do they when the process has no descriptor left, or the machine
 * no memory: then it is not watched until acceptor_resume(), or until VW_ACCEPT_RETRY_MS have passed (lib/base/accept.h).
 */

struct acceptor;

/**
 * acceptor_new() - from the loop's next turn on. Where @ops had no place, acceptor_resume() follows when there is one.
 * @listen_fd: borrowed, nonblocking; open until acceptor_free(). @what: for the log: "the socket", of static storage. Return: 0, -errno.
 */
int acceptor_new(struct loop *loop, int listen_fd, const char *what, const struct vw_accept_ops *ops, void *arg, struct acceptor **ret_acceptor);
/** acceptor_resume() - a connection has gone: there may be a place, and a descriptor. */
void acceptor_resume(struct acceptor *a);
/** acceptor_free() - NULL is fine. Not from its own ops. */
void acceptor_free(struct acceptor *a);
