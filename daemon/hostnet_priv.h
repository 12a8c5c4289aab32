#pragma once

#include "daemon/hostnet.h"
#include "lib/net/nl.h"

/** DOC: inside hostnet*.c only */

/** struct hostnet_dying - a host veth in the dying group. */
struct hostnet_dying {
	unsigned int ifindex;
	char ifname[IFNAMSIZ];
};

struct hostnet_dying_list {
	struct hostnet_dying *items;
	size_t n, cap;
};

/**
 * struct hostnet
 * @batch:   scratch; empty between calls.
 * @dying:   links that wait for the next round of the reaper.
 * @reaping: links that the round which runs, or the last one if it failed, is about.
 * @running: a round runs.
 * @mark:    of what leaves by the primary ENI, in packets and connections.
 */
struct hostnet {
	struct vw_nl nl;
	struct vw_nl_batch batch;
	struct hostnet_dying_list dying, reaping;
	bool running;
	uint32_t mark;
};

/** hostnet_commit() - send the scratch batch and empty it, whatever happens. */
int hostnet_commit(struct hostnet *hn, struct vw_err *err);

/** hostnet_nat_verify() - table and chains are there. Return: 0, -ESTALE, -errno. */
int hostnet_nat_verify(struct vw_err *err);
/** hostnet_nat_down() - remove the table; absent is fine. */
int hostnet_nat_down(struct vw_err *err);
