// SPDX-License-Identifier: Apache-2.0
/*
 * CHECK inside the container: asked for object by object, nothing dumped but one interface's own addresses and routes.
 *
 * Plugins chained after ours may change what they are for: `tuning` sets another MAC (and with that this kernel
 * drops the permanent neighbour), others add routes and addresses. The final result, which CHECK gets as
 * prevResult, tells: a MAC or MTU is right if it is ours or the one in the result.
 */
#include "lib/pod/pod.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/result.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/pod/pod_priv.h"

#include <linux/rtnetlink.h>
#include <string.h>

int vw_absent_or(struct vw_err *err, int r, const char *what, const char *where)
{
	if (r == -ENODEV || r == -ENOENT || r == -ESRCH)
		return vw_differs(err, "%s is missing %s", what, where);
	return r;
}

int vw_pod_reported(const struct vw_cni_result *prev, const char *by, struct vw_pod_expect *e, struct vw_err *err)
{
	size_t index = 0;

	for (; index < prev->n_ifaces; index++) {
		const struct vw_cni_iface *i = &prev->ifaces[index];

		if (!strcmp(i->name, e->net->ifname) && i->sandbox && *i->sandbox)
			break;
	}
	if (index == prev->n_ifaces)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "prevResult has no interface %s with a sandbox", e->net->ifname);
	e->reported = &prev->ifaces[index];
	for (size_t a = 0; a < e->net->n_addr; a++) {
		char text[VW_CIDR_STRLEN];
		bool found = e->net->hidden && e->net->hidden[a];

		for (size_t i = 0; i < prev->n_ips; i++)
			found |= prev->ips[i].iface == (int)index &&
				 vw_ip_eq(&prev->ips[i].address.ip, &e->net->addr[a].ip);
		if (!found)
			return vw_differs(err, "%s gave %s the address %s, prevResult does not have it", by,
					  e->net->ifname, vw_cidr_str(&e->net->addr[a], text));
	}
	return 0;
}

int vw_pod_check_link(const struct vw_link *link, const struct vw_pod_expect *e, const char *where, struct vw_err *err)
{
	if (!(link->flags & IFF_UP))
		return vw_differs(err, "interface %s %s is down", link->name, where);
	if (link->mtu != e->mtu && link->mtu != e->reported->mtu)
		return vw_differs(err, "interface %s %s has MTU %u, not %u", link->name, where, link->mtu, e->mtu);
	return 0;
}

/* `tuning` sets a smaller MTU and does not say so in the result; a larger one than the other end's loses packets. */
static int check_link_in_pod(const struct vw_link *link, const struct vw_pod_expect *e, struct vw_err *err)
{
	if (link->flags & IFF_UP && link->mtu < e->mtu)
		return 0;
	return vw_pod_check_link(link, e, "in the pod", err);
}

static int check_mac(const struct vw_link *link, struct vw_pod_expect *e, struct vw_err *err)
{
	struct vw_mac reported;
	char text[VW_MAC_STRLEN];

	if (vw_mac_eq(&link->mac, &e->mac))
		return 0;
	if (e->reported->mac && vw_mac_parse(e->reported->mac, &reported) == 0 &&
	    vw_mac_eq(&link->mac, &reported)) {
		e->other_mac = true;
		return 0;
	}
	return vw_differs(
		err, "interface %s in the pod has MAC address %s, which neither we nor prevResult gave it",
		link->name, vw_mac_str(&link->mac, text));
}

static int check_address(struct vw_nl *nl, const struct vw_link *link, const struct vw_cidr *want,
			 struct vw_err *err)
{
	vw_auto_free struct vw_addr *addrs = NULL;
	char text[VW_CIDR_STRLEN];
	int n = vw_addr_list(nl, link->ifindex, want->ip.family, &addrs, err);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (vw_cidr_eq(&addrs[i].addr, want))
			return 0;
	}
	return vw_differs(err, "address %s is missing on %s in the pod", vw_cidr_str(want, text), link->name);
}

struct found_routes {
	bool to_gw, by_gw;
};

static int find_routes(struct vw_nl *nl, const struct vw_link *link, const struct vw_pod_net *net,
		       const struct vw_ip *gw, struct found_routes *ret, struct vw_err *err)
{
	bool near = vw_pod_gw_is_near(net, gw);
	vw_auto_free struct vw_route *routes = NULL;
	struct found_routes found = {0};
	struct vw_cidr host = vw_cidr_host(gw);
	int n = vw_route_list(nl, gw->family, RT_TABLE_MAIN, link->ifindex, 0, &routes, err);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		found.to_gw |= near ? routes[i].dst.len && vw_cidr_has(&routes[i].dst, gw) && !routes[i].via.family
				    : vw_cidr_eq(&routes[i].dst, &host);
		found.by_gw |= routes[i].dst.len == 0 && vw_ip_eq(&routes[i].via, gw);
	}
	*ret = found;
	return 0;
}

static const struct vw_cidr *first_of_family(const struct vw_pod_net *net, uint8_t family)
{
	for (size_t i = 0; i < net->n_addr; i++) {
		if (net->addr[i].ip.family == family)
			return &net->addr[i];
	}
	return NULL;
}

/* Addresses that nobody has a route of its own to: IETF protocol assignments (RFC 6890), discard-only (RFC 6666). */
static const struct vw_ip anywhere4 = {.family = AF_INET, .b = {192, 0, 0, 200}};
static const struct vw_ip anywhere6 = {.family = AF_INET6, .b = {0x01, 0, [15] = 200}};

/*
 * Not in main: a second interface has a table of its own, and `sbr` moves the routes of any into one. What counts is
 * where the kernel sends what comes from the address.
 */
static void find_by_source(struct vw_nl *nl, const struct vw_link *link, const struct vw_cidr *addr,
			   const struct vw_ip *gw, struct found_routes *ret)
{
	struct vw_route_query to_gw = {.dst = *gw, .src = addr->ip};
	struct vw_route_query away = {.dst = gw->family == AF_INET ? anywhere4 : anywhere6, .src = addr->ip};
	struct vw_err ignored;
	struct vw_route route;

	ret->to_gw = vw_route_lookup(nl, &to_gw, &route, &ignored) == 0 && route.ifindex == link->ifindex;
	ret->by_gw = vw_route_lookup(nl, &away, &route, &ignored) == 0 && route.ifindex == link->ifindex &&
		     route.dst.len == 0 && vw_ip_eq(&route.via, gw);
}

static int check_routes(struct vw_nl *nl, const struct vw_link *link, const struct vw_pod_net *net,
			const struct vw_ip *gw, struct vw_err *err)
{
	const struct vw_cidr *addr = first_of_family(net, gw->family);
	struct found_routes found;
	char text[VW_IP_STRLEN];

	if (find_routes(nl, link, net, gw, &found, err) < 0)
		return -err->eno;
	if (!found.by_gw && addr)
		find_by_source(nl, link, addr, gw, &found);
	if (!found.by_gw)
		return vw_differs(err, "the default route of %s by %s is missing in the pod", link->name,
				  vw_ip_str(gw, text));
	if (!found.to_gw)
		return vw_differs(err, "the route to the gateway %s by %s is missing in the pod",
				  vw_ip_str(gw, text), link->name);
	return 0;
}

static int check_neigh(struct vw_nl *nl, const struct vw_link *link, const struct vw_ip *gw,
		       const struct vw_pod_expect *e, struct vw_err *err)
{
	struct vw_neigh found;
	char text[VW_IP_STRLEN];
	int r = vw_neigh_get(nl, link->ifindex, gw, &found, err);

	/* Changing the MAC made the kernel forget it; the gateway answers ARP too. */
	if (e->other_mac && r < 0)
		return 0;
	if (r < 0)
		return r == -ENOENT
			       ? vw_differs(err, "the neighbour entry of the gateway %s is missing in the pod",
					    vw_ip_str(gw, text))
			       : r;
	if (!e->other_mac && !found.permanent)
		return vw_differs(err, "the neighbour entry of the gateway %s is not permanent",
				  vw_ip_str(gw, text));
	if (!vw_mac_eq(&found.mac, e->net->gw_mac))
		return vw_differs(err,
				  "the neighbour entry of the gateway %s has another MAC address than it was given",
				  vw_ip_str(gw, text));
	return 0;
}

static int check_metadata_blocked(struct vw_nl *nl, struct vw_err *err)
{
	for (size_t i = 0; i < VW_POD_METADATA; i++) {
		const struct vw_cidr *hole = vw_pod_metadata(i);
		struct vw_route_query q = {.dst = hole->ip};
		struct vw_route route;
		char text[VW_IP_STRLEN];
		struct vw_err ignored;

		if (vw_route_lookup(nl, &q, &route, &ignored) == 0 && route.type != RTN_BLACKHOLE)
			return vw_differs(err, "the instance metadata service at %s is not blocked in the pod",
					  vw_ip_str(&hole->ip, text));
	}
	return 0;
}

int vw_pod_check(struct vw_nl *nl, const struct vw_link *link, struct vw_pod_expect *e, struct vw_err *err)
{
	const struct vw_pod_net *net = e->net;

	if (check_link_in_pod(link, e, err) < 0 || check_mac(link, e, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < net->n_addr; i++) {
		if (check_address(nl, link, &net->addr[i], err) < 0)
			return -err->eno;
	}
	for (size_t i = 0; i < net->n_gw; i++) {
		if (check_routes(nl, link, net, &net->gw[i], err) < 0 ||
		    (net->gw_mac && check_neigh(nl, link, &net->gw[i], e, err) < 0))
			return -err->eno;
	}
	return net->block_metadata ? check_metadata_blocked(nl, err) : 0;
}
