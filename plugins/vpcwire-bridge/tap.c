// SPDX-License-Identifier: Apache-2.0
/* The tap of a microVM. Who opens it configures itself, with the addresses and the MAC of the result. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/netns.h"
#include "lib/net/tap.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LO_IFINDEX 1

void br_tap_names(const struct vw_attach_key *key, char ret_peer[IFNAMSIZ], char ret_bridge[IFNAMSIZ])
{
	char end[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_mac mac;

	br_host_end(key, end, alias, &mac);
	snprintf(ret_peer, IFNAMSIZ, "vbp%.12s", end + 3);
	snprintf(ret_bridge, IFNAMSIZ, "vbt%.12s", end + 3);
}

/* One link joins the bridge and comes up; @bridge: 0 = it is the bridge. None has an IPv6 address: they are no hosts. */
static int join(struct vw_nl *pod, const char *name, const struct eni_state *st, unsigned int bridge, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char end[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_link link;
	struct vw_mac mac;
	struct vw_link_set set = {.name = name, .mtu = st->mtu, .master = bridge, .alias = alias};

	br_host_end(&st->key, end, alias, &mac);
	if (vw_link_get_name(pod, name, &link, err) < 0)
		return -err->eno;
	set.ifindex = link.ifindex;
	set.what = VW_LINK_ALIAS | VW_LINK_MTU | VW_LINK_NO_LL6 | (bridge ? VW_LINK_MASTER : 0);
	vw_link_set(&b, &set);
	vw_link_set_up(&b, link.ifindex, name);
	return vw_nl_commit(pod, &b, err);
}

int br_tap_make(struct vw_nl *pod, const struct eni_state *st, int64_t owner, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	static const struct vw_mac any;
	char peer[IFNAMSIZ], bridge[IFNAMSIZ];
	struct vw_link link;

	br_tap_names(&st->key, peer, bridge);
	vw_link_add_bridge(&b, bridge, &any, st->mtu);
	vw_link_set_up(&b, LO_IFINDEX, "lo");
	if (vw_tap_add(st->key.ifname, owner, -1, err) < 0 || vw_nl_commit(pod, &b, err) < 0 ||
	    vw_link_get_name(pod, bridge, &link, err) < 0 || join(pod, bridge, st, 0, err) < 0 ||
	    join(pod, peer, st, link.ifindex, err) < 0)
		return -err->eno;
	return join(pod, st->key.ifname, st, link.ifindex, err);
}

int br_tap_check(struct vw_nl *pod, const struct eni_state *st, struct vw_err *err)
{
	char peer[IFNAMSIZ], bridge[IFNAMSIZ];
	const char *const names[] = {bridge, peer, st->key.ifname};
	struct vw_link links[3];

	br_tap_names(&st->key, peer, bridge);
	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		int r = vw_link_get_name(pod, names[i], &links[i], err);

		if (r < 0)
			return vw_absent_or(err, r, names[i], "in the pod");
		if (!(links[i].flags & IFF_UP))
			return vw_differs(err, "interface %s in the pod is down", names[i]);
		if (i && links[i].master != links[0].ifindex)
			return vw_differs(err, "interface %s in the pod is no port of bridge %s", names[i], bridge);
	}
	return 0;
}

static void remove_ours(struct vw_nl *pod, struct vw_nl_batch *b, const char *name, const char *alias, bool is_tap)
{
	struct vw_link link;
	struct vw_err ignored;

	/* a tap without alias is of an ADD that was killed in between */
	if (vw_link_get_name(pod, name, &link, &ignored) < 0 ||
	    (link.alias[0] ? strcmp(link.alias, alias) != 0 : is_tap && strcmp(link.kind, "tun")))
		return;
	vw_link_del(b, link.ifindex);
	vw_nl_tolerate(b, VW_NL_OK_GONE);
}

int br_tap_remove(const struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl pod = VW_NL_INIT;
	char peer[IFNAMSIZ], bridge[IFNAMSIZ], end[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_netns_id id;
	struct vw_mac mac;
	struct vw_err gone;
	vw_auto_close int fd = vw_netns_open(st->netns, &gone);

	if (fd < 0 || vw_netns_id(fd, &id, &gone) < 0 || id.dev != st->netns_id.dev || id.ino != st->netns_id.ino)
		return 0;
	if (vw_nl_open_at(&pod, fd, err) < 0)
		return -err->eno;
	br_tap_names(&st->key, peer, bridge);
	br_host_end(&st->key, end, alias, &mac);
	remove_ours(&pod, &b, st->key.ifname, alias, true);
	remove_ours(&pod, &b, bridge, alias, false);
	return vw_nl_commit(&pod, &b, err);
}
