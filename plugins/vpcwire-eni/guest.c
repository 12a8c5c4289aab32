// SPDX-License-Identifier: Apache-2.0
/*
 * A branch ENI for a microVM. Its link in the container is called as the one on the host, and CNI_IFNAME is what the VMM opens:
 *
 *   tap:      trunk == eth1.7 ─veth─ eth1.7 ── tapbr7 ── CNI_IFNAME ── the guest, with the branch's MAC
 *   macvtap:  trunk == eth1.7 ─veth─ eth1.7 ── CNI_IFNAME ── the guest; all of them in the container have the branch's MAC
 *
 * The names are those of vpc-branch-eni. A macvtap goes with the pair; tap and bridge do not, and are removed first.
 */
#include "plugins/vpcwire-eni/eni.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"
#include "lib/pod/tap.h"

#include <stdio.h>
#include <string.h>

struct names {
	char bridge[IFNAMSIZ], alias[VW_IFALIAS_MAX];
};

static struct vw_tap_bridge tap_of(const struct eni_state *st, int64_t uid, int64_t gid, struct names *names)
{
	snprintf(names->bridge, sizeof(names->bridge), "tapbr%u", st->vlan % 10000);
	eni_alias_make(st->host_name, &st->key, names->alias);
	return (struct vw_tap_bridge){
		.tap = st->key.ifname,
		.port = st->host_name,
		.bridge = names->bridge,
		.alias = names->alias,
		.mtu = st->mtu,
		.owner = uid,
		.group = gid,
	};
}

static int refuse_name(struct vw_nl *pod, const struct eni_state *st, const char *name, struct vw_err *err)
{
	struct vw_link link;
	int r;

	if (!strcmp(name, st->key.ifname))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "CNI_IFNAME is %s, as a link of the branch's own in the container is called; choose another name", name);
	r = vw_link_get_name(pod, name, &link, err);
	if (r == 0)
		return vw_err_set(err, EEXIST, VW_CNI_TRY_AGAIN, "interface %s is in the container already; it was left as it is", name);
	return r == -ENODEV ? 0 : r;
}

int guest_refuse_taken_names(struct vw_nl *pod, const struct eni_state *st, struct vw_err *err)
{
	struct names names;

	(void)tap_of(st, -1, -1, &names);
	if (st->iface == ENI_IFACE_VLAN)
		return 0;
	if (st->iface == ENI_IFACE_TAP && refuse_name(pod, st, names.bridge, err) < 0)
		return -err->eno;
	return refuse_name(pod, st, st->host_name, err);
}

/* Neither link is a host: without an IPv6 address of their own they send nothing under the guest's MAC. */
static int make_macvtap(struct vw_nl *pod, const struct eni_state *st, const char *alias, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_set set = {.name = st->host_name, .what = VW_LINK_ALIAS, .alias = alias};
	struct vw_link parent;
	int r;

	if (vw_link_get_name(pod, st->host_name, &parent, err) < 0)
		return -err->eno;
	vw_link_add_macvtap(&b, st->key.ifname, parent.ifindex);
	r = vw_nl_commit(pod, &b, err);
	if (r == -EOPNOTSUPP)
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_KERNEL,
				  "macvtap %s cannot be made: the kernel has no macvtap (modprobe macvtap)", st->key.ifname);
	if (r < 0)
		return r;
	vw_nl_batch_reset(&b);
	vw_link_set(&b, &set);
	vw_link_no_ll6(&b, 0, st->host_name);
	vw_link_set_up(&b, parent.ifindex, st->host_name);
	set.name = st->key.ifname;
	vw_link_set(&b, &set);
	vw_link_no_ll6(&b, 0, st->key.ifname);
	return vw_nl_commit(pod, &b, err);
}

int guest_make(struct vw_nl *pod, const struct eni_state *st, int64_t uid, int64_t gid, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, uid, gid, &names);

	return st->iface == ENI_IFACE_TAP ? vw_tap_bridge_make(pod, &t, err) : make_macvtap(pod, st, names.alias, err);
}

/* --- CHECK */

static int check_macvtap(struct vw_nl *pod, const struct eni_state *st, const struct vw_link *link, struct vw_err *err)
{
	struct vw_link parent;
	int r = vw_link_get_name(pod, st->host_name, &parent, err);

	if (r < 0)
		return vw_absent_or(err, r, st->host_name, "in the pod");
	if (strcmp(link->kind, "macvtap") || link->peer_ifindex != parent.ifindex)
		return vw_differs(err, "interface %s in the pod is no macvtap of %s", link->name, parent.name);
	return parent.flags & IFF_UP ? 0 : vw_differs(err, "interface %s in the pod is down", parent.name);
}

int guest_check(struct vw_nl *pod, const struct eni_state *st, unsigned int outer, struct vw_pod_expect *e, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, -1, -1, &names);
	struct vw_pod_net net = eni_net_of(st, 0);
	struct vw_link link, port;
	int r = vw_link_get_name(pod, st->key.ifname, &link, err);

	if (r < 0)
		return vw_absent_or(err, r, st->key.ifname, "in the pod");
	r = st->iface == ENI_IFACE_TAP ? vw_tap_bridge_check(pod, &t, err) : check_macvtap(pod, st, &link, err);
	if (r < 0 || vw_link_get_name(pod, st->host_name, &port, err) < 0)
		return -err->eno;
	if (port.peer_ifindex != outer)
		return vw_differs(err, "interface %s in the pod is not the other end of %s on the host", port.name, st->host_name);
	/* the tap's own MAC is nobody's; the guest has the branch's */
	if (st->iface == ENI_IFACE_TAP)
		e->mac = link.mac;
	net.n_addr = net.n_gw = 0;
	e->net = &net;
	return vw_pod_check(pod, &link, e, err);
}

/* --- DEL */

int guest_remove(const struct eni_state *st, const char *netns, struct vw_err *err)
{
	struct names names;
	struct vw_tap_bridge t = tap_of(st, -1, -1, &names);

	if (st->iface != ENI_IFACE_TAP)
		return 0;
	if (vw_tap_bridge_remove(st->netns, &st->netns_id, &t, err) < 0)
		return -err->eno;
	return netns[0] && strcmp(netns, st->netns) ? vw_tap_bridge_remove(netns, &st->netns_id, &t, err) : 0;
}
