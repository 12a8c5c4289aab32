// SPDX-License-Identifier: Apache-2.0
/* The tap of a microVM. Who opens it configures itself, with the addresses and the MAC of the result. */
#include "lib/pod/tap.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/net/tap.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <string.h>

#define LO_IFINDEX 1

/* One link joins the bridge and comes up; @bridge: 0 = it is the bridge. None has an IPv6 address: they are no hosts. */
static int join(struct vw_nl *pod, const char *name, const struct vw_tap_bridge *t, unsigned int bridge, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_set set = {.name = name, .mtu = t->mtu, .master = bridge, .alias = t->alias};
	struct vw_link link;

	if (vw_link_get_name(pod, name, &link, err) < 0)
		return -err->eno;
	set.ifindex = link.ifindex;
	set.what = VW_LINK_ALIAS | VW_LINK_MTU | (bridge ? VW_LINK_MASTER : 0);
	vw_link_set(&b, &set);
	vw_link_no_ll6(&b, link.ifindex, name);
	vw_link_set_up(&b, link.ifindex, name);
	return vw_nl_commit(pod, &b, err);
}

int vw_tap_bridge_make(struct vw_nl *pod, const struct vw_tap_bridge *t, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	static const struct vw_mac any;
	struct vw_link link;

	vw_link_add_bridge(&b, t->bridge, &any, t->mtu);
	vw_link_set_up(&b, LO_IFINDEX, "lo");
	if (vw_tap_add(t->tap, t->owner, t->group, err) < 0 || vw_nl_commit(pod, &b, err) < 0 ||
	    vw_link_get_name(pod, t->bridge, &link, err) < 0 || join(pod, t->bridge, t, 0, err) < 0 ||
	    join(pod, t->port, t, link.ifindex, err) < 0)
		return -err->eno;
	return join(pod, t->tap, t, link.ifindex, err);
}

int vw_tap_bridge_check(struct vw_nl *pod, const struct vw_tap_bridge *t, struct vw_err *err)
{
	const char *const names[] = {t->bridge, t->port, t->tap};
	struct vw_link links[3];

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		int r = vw_link_get_name(pod, names[i], &links[i], err);

		if (r < 0)
			return vw_absent_or(err, r, names[i], "in the pod");
		if (!(links[i].flags & IFF_UP))
			return vw_differs(err, "interface %s in the pod is down", names[i]);
		if (i && links[i].master != links[0].ifindex)
			return vw_differs(err, "interface %s in the pod is no port of bridge %s", names[i], t->bridge);
	}
	return strcmp(links[2].kind, "tun") ? vw_differs(err, "interface %s in the pod is no tap", t->tap) : 0;
}

static void remove_ours(struct vw_nl *pod, struct vw_nl_batch *b, const char *name, const char *kind, const char *alias)
{
	struct vw_link link;
	struct vw_err ignored;

	/* one without alias is of an ADD that was killed in between */
	if (vw_link_get_name(pod, name, &link, &ignored) < 0 || strcmp(link.kind, kind) ||
	    (link.alias[0] && strcmp(link.alias, alias)))
		return;
	vw_link_del(b, link.ifindex);
	vw_nl_tolerate(b, VW_NL_OK_GONE);
}

int vw_tap_bridge_remove(const char *netns, const struct vw_netns_id *want, const struct vw_tap_bridge *t, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl pod = VW_NL_INIT;
	struct vw_netns_id id;
	struct vw_err gone;
	vw_auto_close int fd = vw_netns_open(netns, &gone);

	if (fd < 0 || vw_netns_id(fd, &id, &gone) < 0 || id.dev != want->dev || id.ino != want->ino)
		return 0;
	if (vw_nl_open_at(&pod, fd, err) < 0)
		return -err->eno;
	remove_ours(&pod, &b, t->tap, "tun", t->alias);
	remove_ours(&pod, &b, t->bridge, "bridge", t->alias);
	return vw_nl_commit(&pod, &b, err);
}
