// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/net/link.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct eni_state;
struct vw_addr;
struct vw_attach_key;
struct vw_err;
struct vw_nl;
struct vw_route;

/**
 * DOC: an ENI's interface, on its way into another namespace and back
 */

/* --- host.c: the ENI on the host */

/**
 * struct eni_link - an ENI's interface on the host, and how it was set up there, for putting it back after a failed ADD.
 */
struct eni_link {
	struct vw_link link;
	struct vw_addr *addrs;
	struct vw_route *routes; /* of table main, both families */
	size_t n_addrs, n_routes;
};

#define ENI_LINK_INIT { 0 }
void eni_link_done(struct eni_link *l);

/**
 * eni_link_find() - by @mac, or by @name where that is zero; waits until @deadline_ms for an ENI that is being attached.
 * Where it @leaves the host, refuses what may not (VW_CNI_INVALID_CONFIG): lo, a bridge's port, the way of the host's only default
 * route, an interface by which vpcwire routes pods.
 */
int eni_link_find(struct vw_nl *host, const struct vw_mac *mac, const char *name, uint64_t deadline_ms, bool leaves,
		  struct eni_link *ret, struct vw_err *err);
/** eni_trunk_find() - likewise, for a link that stays on the host: nothing is refused. */
int eni_trunk_find(struct vw_nl *host, const struct vw_mac *mac, const char *name, uint64_t deadline_ms, struct vw_link *ret,
		   struct vw_err *err);
/** eni_link_restore() - up, addresses and routes as they were, of the link with index @ifindex. Best effort. */
void eni_link_restore(struct vw_nl *host, unsigned int ifindex, const struct eni_link *l);

/* --- alias.c: the mark of an ENI in a container: "vpcwire-eni:<name on the host>:<container id>/<ifname>" */

void eni_alias_make(const char *host_name, const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX]);
/** eni_alias_is_of() - it is the mark of this attachment. */
bool eni_alias_is_of(const char *alias, const struct vw_attach_key *key);
/** eni_alias_host_name() - the name in a mark. Return: false when it is no mark of ours: @ret stays as it is (a container writes aliases too). */
bool eni_alias_host_name(const char *alias, char ret[IFNAMSIZ]);

/* --- give_back.c: out of the container */

/**
 * eni_give_back() - the ENI of an attachment to the host under its old name, down, and the attachment's file away. It is looked
 * for in the container, on the host (where the kernel puts it when the container's namespace dies), in whatever process
 * still holds that namespace, and then waited for.
 * @host:  socket of the host's namespace, where the calling thread is (or was: @host_netns_fd).
 * @netns: CNI_NETNS, "" = none; the state's own is looked at as well.
 * Return: 0, also when the ENI is gone for good; -errno when the kernel refuses: the file stays, for another DEL.
 */
int eni_give_back(struct vw_nl *host, int host_netns_fd, const char *dir, const struct eni_state *st, const char *netns,
		  struct vw_err *err);
/** eni_settle_orphans() - ENIs that came back after the DEL of their dead container get their names. @mac: NULL = all. */
int eni_settle_orphans(struct vw_nl *host, const char *dir, const struct vw_mac *mac, struct vw_err *err);
/** eni_find_in() - an attachment's interface in the namespace of @nl, whatever it is called now. Return: 0, -ENODEV, -errno. */
int eni_find_in(struct vw_nl *nl, const struct eni_state *st, struct vw_link *ret, struct vw_err *err);
