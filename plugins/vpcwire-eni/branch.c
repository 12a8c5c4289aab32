// SPDX-License-Identifier: Apache-2.0
/*
 * A branch ENI for a container: the inner end of netpolicy-bpf/user/br_link.h is born there, so nothing is moved.
 */
#include "plugins/vpcwire-eni/eni.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"
#include "netpolicy-bpf/user/br_link.h"

#include <string.h>

static void close_br(struct br **br)
{
	*br = br_close(*br);
}

#define auto_br vw_auto(close_br) struct br

void branch_name(const struct vw_link *trunk, unsigned int vlan, char ret[IFNAMSIZ])
{
	/* the second form always fits: an index has at most 6 digits until a host has made a million interfaces */
	if (vw_fmt(ret, IFNAMSIZ, "%s.%u", trunk->name, vlan) < 0)
		snprintf(ret, IFNAMSIZ, "br%u.%u", trunk->ifindex % 1000000, vlan % 10000);
}

int branch_make(struct br *br, struct vw_nl *host, const struct eni_state *st, const struct vw_link *trunk, int pod_netns_fd,
		struct vw_err *err)
{
	char alias[VW_IFALIAS_MAX];
	struct br_link l = {
		.trunk = trunk,
		.vlan = st->vlan,
		.mac = st->mac,
		.outer = st->host_name,
		.alias = alias,
		/* a guest's interface is another one, and behind a bridge the branch's MAC is the guest's alone */
		.inner = st->iface == ENI_IFACE_VLAN ? st->key.ifname : st->host_name,
		.other_mac = st->iface == ENI_IFACE_TAP,
		.netns_fd = pod_netns_fd,
		.mtu = st->mtu,
	};
	unsigned int ifindex;

	eni_alias_make(st->host_name, &st->key, alias);
	return br_link_make(br, host, &l, &ifindex, err);
}

/* Whose the tag is. Return: 1 = ours, and *ret says so; 0 = nobody's, or somebody else's; -errno. */
static int find_ours(struct br *br, struct vw_nl *host, const struct eni_state *st, struct br_branch *ret, struct vw_err *err)
{
	char alias[VW_IFALIAS_MAX];
	struct vw_link link;
	struct vw_err gone;
	int r = vw_link_get_name(host, st->host_name, &link, &gone);

	eni_alias_make(st->host_name, &st->key, alias);
	if (r == 0 && br_link_is_of(&link, alias, &st->mac)) {
		*ret = (struct br_branch){.trunk = st->trunk, .vlan = st->vlan, .ifindex = link.ifindex, .mac = st->mac};
		return 1;
	}
	if (r < 0 && r != -ENODEV)
		return *err = gone, r;
	/* the pair went with the container's namespace: its entries stand for a link that is not there */
	r = br ? br_find(br, st->trunk, st->vlan, ret, err) : 0;
	if (r <= 0)
		return r;
	return vw_link_get(host, ret->ifindex, &link, &gone) == -ENODEV;
}

int branch_remove(struct vw_nl *host, const char *bpf_dir, const struct eni_state *st, struct vw_err *err)
{
	auto_br *br = NULL;
	char alias[VW_IFALIAS_MAX];
	struct br_branch b;
	int r = br_open(bpf_dir, &br, err);

	/* no bpf file system (any more): what was pinned there went with it */
	if (r < 0 && r != -EINVAL)
		return r;
	r = find_ours(br, host, st, &b, err);
	if (r == 0)
		return br ? br_trunk_tidy(br, host, st->trunk, err) : 0;
	if (r < 0)
		return r;
	eni_alias_make(st->host_name, &st->key, alias);
	return br_link_remove(br, host, &b, alias, err);
}

int branch_check(struct vw_nl *host, const char *bpf_dir, const struct eni_state *st, unsigned int *ret_ifindex, struct vw_err *err)
{
	auto_br *br = NULL;
	struct br_branch b;
	struct vw_link link;
	int r = vw_link_get_name(host, st->host_name, &link, err);

	if (r < 0)
		return vw_absent_or(err, r, st->host_name, "on the host");
	if (!eni_alias_is_of(link.alias, &st->key))
		return vw_differs(err, "interface %s on the host is another's (alias \"%.100s\")", link.name, link.alias);
	if (!(link.flags & IFF_UP))
		return vw_differs(err, "interface %s on the host is down", link.name);
	b = (struct br_branch){.trunk = st->trunk, .vlan = st->vlan, .ifindex = link.ifindex, .mac = st->mac};
	if (br_open(bpf_dir, &br, err) < 0 || br_link_check(br, host, &b, err) < 0)
		return -err->eno;
	*ret_ifindex = link.ifindex;
	return 0;
}

int branch_is_free(struct vw_nl *host, const struct eni_conf *conf, const struct vw_link *trunk, struct vw_err *err)
{
	char name[IFNAMSIZ];
	struct vw_link link;
	struct vw_err absent;

	branch_name(trunk, conf->vlan, name);
	if (vw_link_get_name(host, name, &link, &absent) < 0)
		return 0;
	return vw_err_set(err, EBUSY, VW_CNI_NOT_AVAILABLE, "VLAN %u of trunk %s is in use: interface %s (alias \"%.100s\")", conf->vlan,
			  trunk->name, name, link.alias);
}
