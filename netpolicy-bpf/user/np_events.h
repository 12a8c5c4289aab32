#pragma once

#include "netpolicy-bpf/abi/np_policy.h"

#include <stdint.h>

struct vw_err;

/**
 * DOC: what the programs report
 *
 * np_events is a ring buffer that np_events_read() empties. The ring wakes its reader by an epoll fd, so nothing polls.
 */
struct np_events;

/** struct np_events_ops - called by np_events_read() for each event, which they borrow. */
struct np_events_ops {
	void (*verdict)(void *arg, const struct np_event *e);
	void (*dns)(void *arg, const struct np_event_dns *e);
};

/** np_events_new() - @map_fd: of np_events, borrowed. @ops: must live as long. Return: 0, -errno. */
int np_events_new(int map_fd, const struct np_events_ops *ops, void *arg, struct np_events **ret, struct vw_err *err);
struct np_events *np_events_free(struct np_events *ev);
/** np_events_fd() - readable when there is something to read. Owned by @ev. */
int np_events_fd(const struct np_events *ev);
/** np_events_read() - all that is there. Return: how many, -errno. */
int np_events_read(struct np_events *ev);
/** np_events_strange() - records of a size or kind that this version does not know. */
uint64_t np_events_strange(const struct np_events *ev);
