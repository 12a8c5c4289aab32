#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>

struct daemon;
struct store_attachment;

/**
 * DOC: the way out in the family that a pod does not have
 *
 * A pod with IPv6 alone reaches IPv4 hosts, and the reverse, under the node's address (aws-node: the egress-cni plugin). On its
 * one interface it has a second address for that, which means nothing outside of the node: number of its slot in
 * HOSTNET_EGRESS4 or HOSTNET_EGRESS6. So no address has to be kept books on, the eBPF program and policies see the pod as with any
 * other address, and one rule of nftables is enough for all. CNI results do not show it: it is not an address of the pod to others.
 */

/** egress_wanted() - new pods get an address of @family (AF_INET, AF_INET6) for this. */
bool egress_wanted(const struct daemon *d, int family);
/** egress_used() - likewise, or a living pod of a former configuration has one. */
bool egress_used(const struct daemon *d, int family);
struct vw_ip egress_addr(int family, unsigned int slot);
/** egress_is() - @ip is such an address. */
bool egress_is(const struct vw_ip *ip);
/** egress_add() - @row, whose slot is known, gets those that new pods get. */
void egress_add(const struct daemon *d, struct store_attachment *row);
/** egress_less() - @row with only those addresses that pool and /80s keep books on. */
struct store_attachment egress_less(const struct store_attachment *row);
/** egress_range() - all of @family. */
struct vw_cidr egress_range(int family);
