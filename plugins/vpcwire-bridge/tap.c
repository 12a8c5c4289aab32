// SPDX-License-Identifier: Apache-2.0
/* The names of lib/pod/tap.h for a container on a bridge. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/pod/tap.h"

#include <stdio.h>

void br_tap_names(const struct vw_attach_key *key, char ret_peer[IFNAMSIZ], char ret_bridge[IFNAMSIZ])
{
	char end[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_mac mac;

	br_host_end(key, end, alias, &mac);
	snprintf(ret_peer, IFNAMSIZ, "vbp%.12s", end + 3);
	snprintf(ret_bridge, IFNAMSIZ, "vbt%.12s", end + 3);
}

struct names {
	char peer[IFNAMSIZ], bridge[IFNAMSIZ], alias[VW_IFALIAS_MAX];
};

static struct vw_tap_bridge tap_of(const struct eni_state *st, int64_t owner, struct names *names)
{
	char end[IFNAMSIZ];
	struct vw_mac mac;

	br_tap_names(&st->key, names->peer, names->bridge);
	br_host_end(&st->key, end, names->alias, &mac);
	return (struct vw_tap_bridge){
		.tap = st->key.ifname,
		.port = names->peer,
		.bridge = names->bridge,
		.alias = names->alias,
		.mtu = st->mtu,
		.owner = owner,
		.group = -1,
	};
}

int br_tap_make(struct vw_nl *pod, const struct eni_state *st, int64_t owner, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, owner, &names);

	return vw_tap_bridge_make(pod, &t, err);
}

int br_tap_check(struct vw_nl *pod, const struct eni_state *st, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, -1, &names);

	return vw_tap_bridge_check(pod, &t, err);
}

int br_tap_remove(const struct eni_state *st, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, -1, &names);

	return vw_tap_bridge_remove(st->netns, &st->netns_id, &t, err);
}
