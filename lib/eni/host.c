// SPDX-License-Identifier: Apache-2.0
/* An ENI's interface on the host: which one it is, whether it may be given away, how to put it back. */
#include "lib/eni/eni.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/eni/state.h"
#include "lib/net/addr.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"

#include <linux/rtnetlink.h>
#include <string.h>

#define refuse(err, ...) vw_err_set((err), EPERM, VW_CNI_INVALID_CONFIG, __VA_ARGS__)

static const uint8_t families[] = {AF_INET, AF_INET6};

void eni_link_done(struct eni_link *l)
{
	free(l->addrs);
	free(l->routes);
	*l = (struct eni_link)ENI_LINK_INIT;
}

static int find(struct vw_nl *host, const struct vw_mac *mac, const char *name, uint64_t deadline_ms, struct vw_link *ret,
		struct vw_err *err)
{
	char text[VW_MAC_STRLEN];
	int r;

	if (vw_mac_is_zero(mac)) {
		r = vw_link_get_name(host, name, ret, err);
		return r == -ENODEV ? vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN, "the host has no interface %s", name)
				    : r;
	}
	r = vw_link_wait_mac(-1, mac, deadline_ms, ret, err);
	if (r == -ETIMEDOUT)
		return vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN,
				  "the host has no interface with MAC address %s: is the ENI attached to this instance, and in no "
				  "container?",
				  vw_mac_str(mac, text));
	return r;
}

int eni_trunk_find(struct vw_nl *host, const struct vw_mac *mac, const char *name, uint64_t deadline_ms, struct vw_link *ret,
		   struct vw_err *err)
{
	return find(host, mac, name, deadline_ms, ret, err);
}

/* --- what may not leave */

/* All of the host's default routes of a family lead out by it: without it the host is cut off. */
static int refuse_only_way(struct vw_nl *host, const struct vw_link *link, struct vw_err *err)
{
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		vw_auto_free struct vw_route *routes = NULL;
		int n = vw_route_list(host, families[f], RT_TABLE_MAIN, 0, 0, &routes, err), by_it = 0, others = 0;

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			if (routes[i].dst.len || routes[i].type != RTN_UNICAST)
				continue;
			by_it += routes[i].ifindex == link->ifindex;
			others += routes[i].ifindex != link->ifindex;
		}
		if (by_it && !others)
			return refuse(err, "the host's only default route is by %s: it would be cut off without it",
				      link->name);
	}
	return 0;
}

/* Tables that our rules lead to: the daemon's and those of bridge mode. */
static int refuse_in_use(struct vw_nl *host, const struct vw_link *link, struct vw_err *err)
{
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		vw_auto_free struct vw_rule *rules = NULL;
		int n = vw_rule_list(host, families[f], &rules, err);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			vw_auto_free struct vw_route *routes = NULL;
			int found;

			if ((rules[i].protocol != VW_RTPROT && rules[i].protocol != VW_RTPROT_BRIDGE) || rules[i].table == RT_TABLE_MAIN)
				continue;
			found = vw_route_list(host, families[f], rules[i].table, link->ifindex, rules[i].protocol, &routes, err);
			if (found < 0)
				return found;
			if (found > 0)
				return refuse(err,
					      "vpcwire uses %s for other pods (routes in table %u); an ENI that is to be given away "
					      "carries the tag node.k8s.amazonaws.com/no_manage=true",
					      link->name, rules[i].table);
		}
	}
	return 0;
}

static int refuse_what_stays(struct vw_nl *host, const struct vw_link *link, struct vw_err *err)
{
	if (link->flags & IFF_LOOPBACK)
		return refuse(err, "%s is the loopback interface", link->name);
	if (link->master)
		return refuse(err, "%s is a port of another interface (index %u)", link->name, link->master);
	if (refuse_only_way(host, link, err) < 0)
		return -err->eno;
	return refuse_in_use(host, link, err);
}

/* --- how it was */

static int remember_routes(struct vw_nl *host, struct eni_link *l, struct vw_err *err)
{
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		vw_auto_free struct vw_route *routes = NULL;
		struct vw_route *grown;
		int n = vw_route_list(host, families[f], RT_TABLE_MAIN, l->link.ifindex, 0, &routes, err);

		if (n <= 0) {
			if (n < 0)
				return n;
			continue;
		}
		grown = reallocarray(l->routes, l->n_routes + (size_t)n, sizeof(*grown));
		if (!grown)
			return vw_err_sys(err, ENOMEM, 0, "remembering the routes of %s", l->link.name);
		memcpy(grown + l->n_routes, routes, (size_t)n * sizeof(*grown));
		l->routes = grown;
		l->n_routes += (size_t)n;
	}
	return 0;
}

int eni_link_find(struct vw_nl *host, const struct vw_mac *mac, const char *name, uint64_t deadline_ms, bool leaves,
		  struct eni_link *ret, struct vw_err *err)
{
	vw_auto(eni_link_done) struct eni_link l = ENI_LINK_INIT;
	int n;

	if (find(host, mac, name, deadline_ms, &l.link, err) < 0 || (leaves && refuse_what_stays(host, &l.link, err) < 0))
		return -err->eno;
	n = vw_addr_list(host, l.link.ifindex, 0, &l.addrs, err);
	if (n < 0 || remember_routes(host, &l, err) < 0)
		return -err->eno;
	l.n_addrs = (size_t)n;
	*ret = l;
	l = (struct eni_link)ENI_LINK_INIT;
	return 0;
}

/* The kernel makes its own (subnets, link-local) again by itself. */
static bool is_kernels(const struct vw_route *r)
{
	return r->protocol == RTPROT_KERNEL || r->type != RTN_UNICAST;
}

void eni_link_restore(struct vw_nl *host, unsigned int ifindex, const struct eni_link *l)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err err;

	if (!(l->link.flags & IFF_UP))
		return;
	vw_link_set_up(&b, ifindex, l->link.name);
	for (size_t i = 0; i < l->n_addrs; i++) {
		struct vw_addr a = l->addrs[i];
		static const struct vw_cidr ll = {{.family = AF_INET6, .b = {0xfe, 0x80}}, 10};

		if (vw_cidr_has(&ll, &a.addr.ip))
			continue;
		a.ifindex = ifindex;
		a.dev = l->link.name;
		a.flags &= VW_ADDR_NOPREFIXROUTE;
		a.flags |= VW_ADDR_NODAD;
		vw_addr_replace(&b, &a);
	}
	for (size_t i = 0; i < l->n_routes; i++) {
		struct vw_route r = l->routes[i];

		if (is_kernels(&r))
			continue;
		r.ifindex = ifindex;
		r.dev = l->link.name;
		vw_route_replace(&b, &r);
	}
	if (vw_nl_commit(host, &b, &err) < 0)
		vw_warn("an interface could not be put back wholly, ignoring", "ifname=%s err=\"%s\"", l->link.name, err.msg);
}
