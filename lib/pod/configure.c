// SPDX-License-Identifier: Apache-2.0
/*
 * An interface in a container's namespace: blackholes -> up -> addresses -> routes -> neighbours, in one batch; and, when main
 * turned out to have a default route already, a second batch with a table of the interface's own.
 */
#include "lib/pod/pod.h"

#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/pod/pod_priv.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define LO_IFINDEX 1 /* in every namespace: LOOPBACK_IFINDEX, include/net/flow.h */
#define IPV6_MIN_MTU 1280

/* EC2 User Guide, instancedata-data-retrieval.html */
static const struct vw_cidr metadata[VW_POD_METADATA] = {
	{{.family = AF_INET, .b = {169, 254, 169, 254}}, 32},
	{{.family = AF_INET6, .b = {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54}}, 128},
};

const struct vw_cidr *vw_pod_metadata(size_t i)
{
	return &metadata[i];
}

bool vw_pod_gw_is_near(const struct vw_pod_net *net, const struct vw_ip *gw)
{
	for (size_t i = 0; i < net->n_addr; i++) {
		if (net->addr[i].len < vw_ip_bits(gw) && vw_cidr_has(&net->addr[i], gw))
			return true;
	}
	/* every IPv6 interface has a route to fe80::/64, but perhaps not of the table that is asked for */
	return false;
}

/*
 * The routes by one gateway, in @table (0: main). In main they may be there already, made by whoever wired the
 * container's first interface.
 */
static void add_routes(struct vw_nl_batch *b, const struct vw_pod_net *net, const struct vw_ip *gw,
		       uint32_t table)
{
	uint8_t scope = gw->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	struct vw_route to_gw = {
		.dst = vw_cidr_host(gw),
		.table = table,
		.scope = scope,
		.ifindex = net->ifindex,
		.dev = net->ifname,
	};
	struct vw_route by_gw = {.table = table, .via = *gw, .ifindex = net->ifindex, .dev = net->ifname};

	by_gw.dst.ip.family = gw->family;
	by_gw.onlink = true; /* else the kernel looks the gateway up in main, and may find it behind the first
				interface */
	if (table || !vw_pod_gw_is_near(net, gw)) {
		vw_route_add(b, &to_gw);
		if (!table)
			vw_nl_tolerate(b, VW_NL_OK_EXISTS);
	}
	vw_route_add(b, &by_gw);
	if (!table)
		vw_nl_tolerate(b, VW_NL_OK_EXISTS);
}

/*
 * A second interface: a table of its own, for what comes from its addresses. In main there is only its way to the gateway, last
 * in line, so that others can make routes by it (`sbr` does): the kernel looks for a gateway there.
 */
static int configure_second(struct vw_nl *nl, const struct vw_pod_net *net, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	uint32_t table = vw_pod_table(net->ifindex);

	for (size_t i = 0; i < net->n_gw; i++) {
		struct vw_route to_gw = {
			.dst = vw_cidr_host(&net->gw[i]),
			.scope = net->gw[i].family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
			.ifindex = net->ifindex,
			.priority = table,
			.dev = net->ifname,
		};

		add_routes(&b, net, &net->gw[i], table);
		if (vw_pod_gw_is_near(net, &net->gw[i]))
			continue;
		vw_route_add(&b, &to_gw);
		vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	}
	for (size_t i = 0; i < net->n_addr; i++) {
		struct vw_rule rule = {
			.family = net->addr[i].ip.family,
			.priority = VW_POD_RULE_PRIORITY,
			.from = vw_cidr_host(&net->addr[i].ip),
			.table = table,
		};

		vw_rule_add(&b, &rule);
		vw_nl_tolerate(&b,
			       VW_NL_OK_EXISTS); /* of an interface that went without us being asked inside */
	}
	return vw_nl_commit(nl, &b, err);
}

static bool has_family(const struct vw_pod_net *net, uint8_t family)
{
	for (size_t i = 0; i < net->n_addr; i++) {
		if (net->addr[i].ip.family == family)
			return true;
	}
	return false;
}

int vw_pod_enable_ipv6(struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err)
{
	struct vw_link link;
	int r = vw_sysctl_if_set(AF_INET6, ifname, "disable_ipv6", "0", err);

	if (r != -ENOENT)
		return r;
	if (vw_link_get(nl, ifindex, &link, err) < 0)
		return -err->eno;
	if (link.mtu < IPV6_MIN_MTU)
		return vw_err_set(err, EAFNOSUPPORT, VW_CNI_INVALID_CONFIG, "interface %s has an MTU of %u, IPv6 needs %d (RFC 8200)", ifname,
				  link.mtu, IPV6_MIN_MTU);
	return vw_err_set(err, EAFNOSUPPORT, VW_CNI_KERNEL, "interface %s has no IPv6: is this kernel without (ipv6.disable=1)?", ifname);
}

static int enable_ipv6(struct vw_nl *nl, const struct vw_pod_net *net, struct vw_err *err)
{
	if (!has_family(net, AF_INET6))
		return 0;
	if (vw_pod_enable_ipv6(nl, LO_IFINDEX, "lo", err) < 0)
		return -err->eno;
	return vw_pod_enable_ipv6(nl, net->ifindex, net->ifname, err);
}

/*
 * IPv6 is blocked even where the container is given none: a router's advertisement may give it an address later. A
 * blackhole needs IPv6 on lo (ip6_route_info_create() says EACCES); a kernel without IPv6 has nothing to block.
 */
static int block_metadata(struct vw_nl *nl, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err absent;

	for (size_t i = 0; i < VW_POD_METADATA; i++) {
		struct vw_route hole = {.dst = metadata[i], .type = RTN_BLACKHOLE};

		if (hole.dst.ip.family == AF_INET6 &&
		    vw_sysctl_if_set(AF_INET6, "lo", "disable_ipv6", "0", &absent) == -ENOENT)
			continue;
		vw_route_replace(&b, &hole);
	}
	vw_link_set_up(&b, LO_IFINDEX, "lo");
	return vw_nl_commit(nl, &b, err);
}

int vw_pod_configure(struct vw_nl *nl, const struct vw_pod_net *net, bool *ret_second, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	bool second = false;

	if ((net->block_metadata && block_metadata(nl, err) < 0) || enable_ipv6(nl, net, err) < 0)
		return -err->eno;
	vw_link_set_up(&b, LO_IFINDEX, "lo");
	vw_link_set_up(&b, net->ifindex, net->ifname);
	for (size_t i = 0; i < net->n_addr; i++) {
		struct vw_addr addr = {
			.ifindex = net->ifindex, .addr = net->addr[i], .flags = VW_ADDR_NODAD, .dev = net->ifname};

		vw_addr_add(&b, &addr);
	}
	for (size_t i = 0; i < net->n_gw; i++) {
		struct vw_neigh gw = {.ifindex = net->ifindex, .ip = net->gw[i], .dev = net->ifname};

		add_routes(&b, net, &net->gw[i], 0);
		if (!net->gw_mac)
			continue;
		gw.mac = *net->gw_mac;
		vw_neigh_replace(&b, &gw);
	}
	if (vw_nl_commit(nl, &b, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < b.n; i++)
		second |= b.ops[i].outcome == VW_NL_WAS_SO;
	*ret_second = second;
	return second ? configure_second(nl, net, err) : 0;
}
