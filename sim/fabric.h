// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

struct sim_fabric;
struct sim_instance;
struct sim_world;
struct vw_err;
struct vw_json;

/**
 * DOC: the packet fabric
 *
 * The network that the EC2 answers talk about, in the network namespace of the calling thread, which it owns
 * from then on (docs/SIM.md, "Fabric"). It follows the world as an observer: an attached ENI becomes a veth
 * pair whose far end is born in its instance's namespace, an assigned address or prefix becomes a route. What
 * has no route does not exist.
 */
#define SIM_FABRIC_MTU 9001                     /* EC2's jumbo frames */
#define SIM_FABRIC_IMDS "169.254.169.254"
#define SIM_FABRIC_API "198.18.0.10"            /* where nodes reach the EC2, STS and credentials endpoints */
#define SIM_FABRIC_INTERNET "203.0.113.10"
#define SIM_FABRIC_INTERNET6 "2001:db8:ffff::10"
#define SIM_FABRIC_ERRORS6 "2001:db8:ffff::1"   /* the routers speak of errors from here: a link-local source is not forwarded */
#define SIM_FABRIC_PEERED "192.168.100.10"
#define SIM_FABRIC_PEERED6 "fd00:db8:100::10"
#define SIM_FABRIC_ROUTER6 "fe80:ec2::1"        /* the VPC router on every link, as in EC2 */

enum sim_place { SIM_PLACE_FABRIC, SIM_PLACE_INTERNET, SIM_PLACE_PEERED, SIM_N_PLACES };

/** sim_place_str() - "fabric", "internet", "peered". */
const char *sim_place_str(enum sim_place p);

/**
 * sim_fabric_new() - routers, endpoints' addresses, internet, peered network and filter; no ENI yet.
 * @w: borrowed, must outlive the fabric. Return: 0, -errno.
 */
int sim_fabric_new(struct sim_world *w, struct sim_fabric **ret_fabric, struct vw_err *err);
/** sim_fabric_free() - takes the observer back and closes everything. Accepts NULL. */
void sim_fabric_free(struct sim_fabric *f);

/**
 * sim_fabric_add_node() - ENIs attached to @inst appear in the namespace behind @netns_fd (borrowed,
 * duplicated). Call before sim_fabric_start(). ENIs of instances without a node have no interface.
 */
int sim_fabric_add_node(struct sim_fabric *f, const struct sim_instance *inst, int netns_fd,
			struct vw_err *err);
/**
 * sim_fabric_start() - build what the world holds, then follow it.
 * What goes wrong here fails; what goes wrong later can only be logged, for the EC2 call has succeeded.
 */
int sim_fabric_start(struct sim_fabric *f, struct vw_err *err);
/**
 * sim_fabric_dhcp() - configure an instance's primary interface as an EC2 image does from DHCP: up, MTU,
 * primary address, default route to the subnet's router; IPv6 where the ENI has an address.
 */
int sim_fabric_dhcp(struct sim_fabric *f, const struct sim_instance *inst, struct vw_err *err);

/** sim_fabric_netns() - borrowed fd of a place's network namespace. */
int sim_fabric_netns(const struct sim_fabric *f, enum sim_place p);
/**
 * sim_fabric_report() - set "enis": per attached ENI its names and what was dropped; "igw_in_dropped"; into
 * @reply.
 */
int sim_fabric_report(struct sim_fabric *f, struct vw_json *reply, struct vw_err *err);
