#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

#define VW_RTPROT 0x56          /* rtm_protocol, FRA_PROTOCOL of what vpcwire makes: 'V', 86 */

#define VW_RTPROT_BRIDGE 0x57   /* of what vpcwire-bridge makes, which the daemon leaves alone */

/**
 * struct vw_route - a route with at most one next hop. Zero fields = the kernel's default.
 * @dst:      masked; len 0 with its family = default route.
 * @table:    0 = main.
 * @protocol: RTPROT_*; 0 = VW_RTPROT when adding, any when deleting.
 * @scope:    RT_SCOPE_*; 0 = universe. Use RT_SCOPE_LINK for on-link routes without @via.
 * @type:     RTN_*; 0 = RTN_UNICAST. RTN_BLACKHOLE and RTN_UNREACHABLE take no device.
 * @via:      next hop, family 0 = none. @onlink: do not check that it is on a connected subnet.
 * @src:      preferred source, family 0 = none.
 * @priority: metric.
 * @dev:      name of @ifindex, for messages only; borrowed, may be NULL. NULL in what is read.
 */
struct vw_route {
	struct vw_cidr dst;
	uint32_t table;
	uint8_t protocol;
	uint8_t scope;
	uint8_t type;
	bool onlink;
	struct vw_ip via;
	struct vw_ip src;
	unsigned int ifindex;
	uint32_t priority;
	const char *dev;
};

/** vw_route_add() - EEXIST when there is one with this destination, table and priority. */
int vw_route_add(struct vw_nl_batch *b, const struct vw_route *route);
/** vw_route_replace() - add, or put in the place of the one with this destination, table and priority. */
int vw_route_replace(struct vw_nl_batch *b, const struct vw_route *route);
/** vw_route_del() - ESRCH when there is none. Fields that are set must match. */
int vw_route_del(struct vw_nl_batch *b, const struct vw_route *route);

/**
 * struct vw_route_query - a packet whose way is asked for.
 * @iif: 0 = sent by this host. @mark: the packet's fwmark.
 */
struct vw_route_query {
	struct vw_ip dst, src;
	unsigned int iif, oif;
	uint32_t mark;
};

/**
 * vw_route_lookup() - which route the kernel would take, rules and all: its prefix, table, device and
 * next hop.
 * One request, no dump. Return: 0, -ENETUNREACH, -EHOSTUNREACH (and what a blackhole says: -EINVAL), -errno.
 */
int vw_route_lookup(struct vw_nl *nl, const struct vw_route_query *q, struct vw_route *ret_route,
		    struct vw_err *err);

/**
 * vw_route_list() - routes of one table, filtered by the kernel. IPv6 local and cached routes are left out.
 * @ifindex, @protocol: 0 = any. @ret_routes: the caller frees, NULL when empty. Return: how many, -errno.
 */
int vw_route_list(struct vw_nl *nl, uint8_t family, uint32_t table, unsigned int ifindex, uint8_t protocol,
		  struct vw_route **ret_routes, struct vw_err *err);

#define VW_ROUTE_STRLEN 200
/** vw_route_str() - "10.0.0.0/24 via 10.0.1.1 dev eth1 table 3", cut off when too long. Return: @buf. */
const char *vw_route_str(const struct vw_route *r, char buf[VW_ROUTE_STRLEN]);
