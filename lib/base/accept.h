#pragma once

#include <sys/socket.h>

/**
 * DOC: taking a connection
 *
 * A connection that cannot be taken stays where it is, and its listening socket readable: who went on watching that would spin. So it is left
 * alone until one of our own connections has gone, or for VW_ACCEPT_RETRY_MS: a descriptor that somebody else gives back tells nobody.
 */
#define VW_ACCEPT_RETRY_MS 200

/**
 * vw_accept() - a connection that waits at @listen_fd; nonblocking and close-on-exec, the caller's to close.
 * @ret_addr: the peer's address. @ret_len: its length in bytes. Both are written on success only.
 * Return: the descriptor, -EAGAIN (none waits, or it has gone meanwhile), or -errno of want: -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM.
 */
int vw_accept(int listen_fd, struct sockaddr_storage *ret_addr, socklen_t *ret_len);
