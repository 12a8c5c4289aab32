// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

struct vw_err;
struct vw_netns_id;
struct vw_nl;

/**
 * DOC: a microVM's way in
 *
 * A tap, and a link that leads out of the namespace, as ports of a bridge in it. The VMM opens the tap by its name, and the guest's
 * interface has the MAC and the addresses of the CNI result. None of the three links may have that MAC (a bridge keeps frames
 * to a port's own MAC), and none has an address.
 */

/**
 * struct vw_tap_bridge - all borrowed. @port: the link that leads out, in the namespace already. @alias: the mark of all three.
 * @owner, @group: of the tap, as vw_tap_add() takes them; for making alone.
 */
struct vw_tap_bridge {
	const char *tap, *port, *bridge, *alias;
	unsigned int mtu;
	int64_t owner, group;
};

/**
 * vw_tap_bridge_make() - all up. The calling thread is in the container's namespace, and so is @pod. What was done until a failure
 * stays, for vw_tap_bridge_remove(). -EEXIST: there is a link of the bridge's name.
 */
int vw_tap_bridge_make(struct vw_nl *pod, const struct vw_tap_bridge *t, struct vw_err *err);
/** vw_tap_bridge_check() - Fails with VW_CNI_CHECK_FAILED and the first difference. */
int vw_tap_bridge_check(struct vw_nl *pod, const struct vw_tap_bridge *t, struct vw_err *err);
/**
 * vw_tap_bridge_remove() - tap and bridge, by name and mark (or without one yet), not the port; from the namespace at @netns, if that
 * still is @id. Gone is no error.
 */
int vw_tap_bridge_remove(const char *netns, const struct vw_netns_id *id, const struct vw_tap_bridge *t, struct vw_err *err);
