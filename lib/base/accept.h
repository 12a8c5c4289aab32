#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/**
 * DOC: taking connections, whatever the loop
 *
 * A connection that cannot be taken stays where it is, and its listening socket readable: who went on watching that would spin. So it is left
 * alone until one of our own connections has gone, or, where a descriptor or memory is wanting, for VW_ACCEPT_RETRY_MS: what somebody else gives
 * back tells nobody.
 */
#define VW_ACCEPT_RETRY_MS 200

struct vw_accept_ops {
	/* whether there is a place for one more. NULL: always */
	bool (*has_place)(void *arg);
	/* a new connection, nonblocking and close-on-exec; its address is borrowed */
	void (*take)(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg);
};

/**
 * struct vw_accept - @listen_fd: borrowed, nonblocking. @what: for the log: "the socket", of static storage.
 * @is_short: since the last connection that was taken: it is said once.
 */
struct vw_accept {
	int listen_fd;
	const char *what;
	const struct vw_accept_ops *ops;
	void *arg;
	bool is_short;
};

enum vw_accept_turn {
	VW_ACCEPT_TAKEN,
	VW_ACCEPT_NONE,         /* none waits, or it has gone meanwhile */
	VW_ACCEPT_FULL,         /* no place: leave the socket alone until a connection has gone */
	VW_ACCEPT_SHORT,        /* no descriptor, no memory: until one has gone, or for VW_ACCEPT_RETRY_MS */
};

/** vw_accept_turn() - take one connection that waits. */
enum vw_accept_turn vw_accept_turn(struct vw_accept *a);
