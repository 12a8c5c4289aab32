// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "netpolicy-bpf/user/br_loader.h"

#include <stdbool.h>
#include <stdint.h>

struct vw_err;
struct vw_link;
struct vw_nl;

/**
 * DOC: a branch ENI as an interface
 *
 * What a VLAN device would be, without one: a veth pair. The *inner* end is the branch: it has its MAC, and its namespace has what
 * the branch carries. The *outer* end is on the host, beside the trunk; br_from_pod on it tags what comes from the
 * inner one, br_from_trunk on the trunk takes the tag off and puts the frame there. The pair goes with the namespace of its inner
 * end; what is left in the maps then is taken over by whoever asks for the tag next.
 *
 * Those who make and remove branches wait for each other (br_lock()): the trunk's filter comes with the first and goes with the last.
 */

/**
 * struct br_link - a branch as an interface. All borrowed.
 * @trunk:     its link, on the host; it is set up if it is down.
 * @outer:     name of the outer end. @alias: its mark. @group: of the outer end, 0 = none.
 * @inner:     name of the inner end, born in @netns_fd (-1 = the host).
 * @other_mac: the inner end has a MAC of its own, the kernel's choice: it is a bridge's port, and @mac is somebody's behind it.
 * @mtu:       of both, 0 = the trunk's.
 */
struct br_link {
	const struct vw_link *trunk;
	unsigned int vlan;
	struct vw_mac mac;
	const char *outer, *alias, *inner;
	bool other_mac;
	int netns_fd;
	unsigned int mtu;
};

/**
 * br_link_make() - Return: 0 and the outer end's index; -EEXIST (VW_CNI_TRY_AGAIN): the tag belongs to another interface that
 * lives, or a link of one of the names is there; -errno. Nothing is left of a failure.
 */
int br_link_make(struct br *br, struct vw_nl *host, const struct br_link *l, unsigned int *ret_ifindex, struct vw_err *err);
/**
 * br_link_is_of() - @outer is the outer end of the branch with this mark and MAC: by its mark, or, where br_link_make() was killed
 * before it could mark it, by the MAC that it gives outer ends.
 */
bool br_link_is_of(const struct vw_link *outer, const char *alias, const struct vw_mac *mac);
/**
 * br_link_remove() - the pair, if br_link_is_of() the link @b->ifindex, and its entries in the maps. Gone is no error. The
 * last branch takes the trunk's filter along. @br: NULL = the maps are gone, only the pair may be there.
 */
int br_link_remove(struct br *br, struct vw_nl *host, const struct br_branch *b, const char *alias, struct vw_err *err);
/** br_trunk_tidy() - the trunk's filter goes if no tag of it belongs to anybody: after an br_link_make() that was killed. */
int br_trunk_tidy(struct br *br, struct vw_nl *host, unsigned int trunk, struct vw_err *err);
/** br_link_check() - both filters hang, and the maps say what @b says. Fails with VW_CNI_CHECK_FAILED and the difference. */
int br_link_check(struct br *br, struct vw_nl *host, const struct br_branch *b, struct vw_err *err);
