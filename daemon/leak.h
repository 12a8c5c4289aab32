#pragma once

#include "daemon/ec2.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: leaked ENIs: decisions without I/O
 *
 * A node that dies between two steps can leave an ENI that is attached to nothing. One node of the cluster,
 * the holder of a lease, looks for them; the others look at the lease, so rarely that all of them together
 * ask about once in an interval: the lease says how many nodes there are. docs/ARCHITECTURE.md has the sums.
 *
 * The lease is a tag on the holder's primary ENI, "until=UNIX nodes=N cluster=NAME", so it goes with the
 * holder.
 */
#define LEAK_MIN_AGE_S 300 /* aws-node's: younger ones may be on their way to an instance */
#define LEAK_LEASE_INTERVALS                                                                                 \
	6 /* how long a lease is good for, in intervals; renewed when half of it is left */

struct leak_lease {
	int64_t until;
	uint32_t nodes;
	char instance_id[EC2_ID_LEN]; /* "" = there is none */
};

/** leak_lease_text() - a tag's value. */
const char *leak_lease_text(int64_t until, uint32_t nodes, const char *cluster, char buf[256]);
/**
 * leak_lease_find() - the valid lease among ENIs that carry the tag: of several (two nodes took it at once)
 * the one with the lowest instance id counts, for every reader alike.
 */
void leak_lease_find(const struct ec2_enis *tagged, const char *cluster, int64_t now, struct leak_lease *ret);

/**
 * leak_is_suspect() - detached, ours by its tags, of this cluster, and old enough.
 * @cluster: "" = none: then only ENIs without a cluster's tag are.
 */
bool leak_is_suspect(const struct ec2_eni *e, const char *cluster, int64_t now);

/**
 * leak_next_s() - until the next look.
 * @holder: this node holds the lease. @nodes: what the lease says. @chance: anything random.
 */
uint64_t leak_next_s(bool holder, uint32_t nodes, unsigned int interval_s, uint64_t chance);
/** leak_first_s() - after a start: not at once, because a cluster may be starting. */
uint64_t leak_first_s(unsigned int interval_s, uint64_t chance);
