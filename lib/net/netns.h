#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vw_err;

/**
 * struct vw_netns_id - which namespace: two are the same exactly when both fields are. Valid while one
 * is open.
 */
struct vw_netns_id {
	uint64_t dev, ino;
};

/**
 * vw_netns_open() - open a namespace file and make sure that it is a network namespace.
 * Does not block on a FIFO in its place. Return: fd that the caller closes; -ENOENT, -EINVAL (not a
 * netns), -errno,
 * with the CNI code for a bad netns in @err.
 */
int vw_netns_open(const char *path, struct vw_err *err);
/** vw_netns_open_self() - the calling thread's own. */
int vw_netns_open_self(struct vw_err *err);

int vw_netns_id(int netns_fd, struct vw_netns_id *ret_id, struct vw_err *err);
/** vw_netns_same() - by device and inode. Return: 1, 0, -errno. */
int vw_netns_same(int a_fd, int b_fd, struct vw_err *err);

/** vw_netns_enter() - move the calling thread there for good. Return: 0, -errno. */
int vw_netns_enter(int netns_fd, struct vw_err *err);
/**
 * vw_netns_run() - run @fn in the namespace behind @netns_fd, then return to the one before.
 * A process that cannot get back would work on the wrong network: that, which no kernel path is known to
 * cause,
 * ends it by abort(). Return: what @fn returned (by convention >= 0 or -errno with @err filled), or -errno.
 */
int vw_netns_run(int netns_fd, int (*fn)(void *arg, struct vw_err *err), void *arg, struct vw_err *err);
