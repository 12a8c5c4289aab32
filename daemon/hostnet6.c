// SPDX-License-Identifier: Apache-2.0
/*
 * IPv6 of the node: forwarding, the rules and tables of its ENIs. As in hostnet.c, each setup states what must be there. What
 * differs from IPv4: the router has a link-local address that is the same on every link, routes have a metric of their own
 * (1024), and router advertisements write into the main table.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/addrlabel.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define METRIC 1024             /* IP6_RT_PRIO_USER, include/uapi/linux/ipv6_route.h: what the kernel makes of 0 */

/* 1 means "unless the node forwards", and it is about to */
static int keep_taking_ra(const char *ifname, struct vw_err *err)
{
	char value[8];
	int r = vw_sysctl_if_get(AF_INET6, ifname, "accept_ra", value, sizeof(value), err);

	if (r == -ENOENT)
		return 0;       /* the interface has just gone, or has no IPv6 (an MTU below 1280) */
	if (r < 0 || strcmp(value, "1") != 0)
		return r;
	return vw_sysctl_if_set(AF_INET6, ifname, "accept_ra", "2", err);
}

static int keep_all_taking_ra(struct vw_err *err)
{
	struct if_nameindex *ifs = if_nameindex();
	int r = 0;

	if (!ifs)
		return vw_err_sys(err, errno, 0, "listing interfaces");
	for (size_t i = 0; r == 0 && ifs[i].if_index; i++)
		if (ifs[i].if_index < VW_IFINDEX_BASE)
			r = keep_taking_ra(ifs[i].if_name, err);
	if_freenameindex(ifs);
	return r;
}

int hostnet_init6(struct hostnet *hn, struct vw_err *err)
{
	char off[8];
	int r;

	if (!hostnet_have_ipv6())
		return vw_err_set(err, ENOSYS, 0, "IPv6 is asked for, and this kernel has none (enable_ipv6)");
	r = vw_sysctl_if_get(AF_INET6, "all", "disable_ipv6", off, sizeof(off), err);
	if (r == 0 && strcmp(off, "0") != 0)
		r = vw_sysctl_if_set(AF_INET6, "all", "disable_ipv6", "0", err);
	if (r == 0)
		r = keep_all_taking_ra(err);
	if (r == 0)
		r = vw_sysctl_if_set(AF_INET6, "all", "forwarding", "1", err);
	if (r < 0)
		return vw_err_wrap(err, "a node must forward packets");
	hn->ipv6 = true;
	return 0;
}

/* --- ENIs */

static struct vw_ip router(void)
{
	struct vw_ip ip;

	(void)vw_ip_parse(HOSTNET_ROUTER6, &ip);
	return ip;
}

void hostnet6_eni_routes(const struct hostnet_eni *eni, struct vw_route routes[2])
{
	const struct vw_ip gw = router();

	routes[0] = (struct vw_route){
		.dst = vw_cidr_host(&gw),
		.table = eni->table,
		.protocol = VW_RTPROT,
		.type = RTN_UNICAST,
		.ifindex = eni->ifindex,
		.priority = METRIC,
		.dev = eni->ifname,
	};
	routes[1] = routes[0];
	routes[1].dst = (struct vw_cidr){ .ip = { .family = AF_INET6 } };
	routes[1].via = gw;
	routes[1].onlink = true;        /* not to depend on the interface's own link-local address */
}

int hostnet6_eni_before(const struct hostnet_eni *eni, struct vw_err *err)
{
	int r;

	if (eni->number == 0)
		return keep_taking_ra(eni->ifname, err);
	r = vw_sysctl_if_set(AF_INET6, eni->ifname, "disable_ipv6", "0", err);
	if (r == 0)
		r = vw_sysctl_if_set(AF_INET6, eni->ifname, "accept_ra", "0", err);
	return r < 0 ? r : vw_sysctl_if_set(AF_INET6, eni->ifname, "accept_dad", "0", err);
}

static int table_routes6(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	struct vw_route want[2];
	int n = vw_route_list(&hn->nl, AF_INET6, eni->table, 0, VW_RTPROT, &have, err);

	if (n < 0)
		return n;
	hostnet6_eni_routes(eni, want);
	for (int w = 0; w < 2; w++)
		if (!hostnet_holds_route(have, n, &want[w])) {
			(void)vw_route_add(&hn->batch, &want[w]);
			vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
		}
	/* after the adds; IPv6 takes several routes of one destination and metric, so that both may be there for a moment */
	for (int i = 0; i < n; i++) {
		if (hostnet_holds_route(want, 2, &have[i]))
			continue;
		have[i].dev = eni->ifname;
		(void)vw_route_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return 0;
}

/* what an advertisement or the image's DHCP client has put into main before we came; the link's own fe80::/64 stays */
static int main_routes6(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	int n = vw_route_list(&hn->nl, AF_INET6, RT_TABLE_MAIN, eni->ifindex, 0, &have, err);
	struct vw_cidr link_local;

	(void)vw_cidr_parse("fe80::/10", &link_local);
	for (int i = 0; i < n; i++) {
		if (have[i].dst.len && vw_cidr_covers(&link_local, &have[i].dst))
			continue;
		have[i].dev = eni->ifname;
		(void)vw_route_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

/* host addresses of the ENI that it does not have any more: a former own one, a former block's */
static int drop_addrs6(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_addr *have = NULL;
	int n = vw_addr_list(&hn->nl, eni->ifindex, AF_INET6, &have, err);

	for (int i = 0; i < n; i++) {
		if (have[i].addr.len < 128 || have[i].scope != RT_SCOPE_UNIVERSE || vw_ip_eq(&have[i].addr.ip, &eni->addr6))
			continue;
		have[i].dev = eni->ifname;
		(void)vw_addr_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

/* @ifindex, @keep: of this interface all but this one; 0, NULL: all of ours */
static int drop_labels(struct hostnet *hn, unsigned int ifindex, const struct vw_ip *keep, struct vw_err *err)
{
	vw_auto_free struct vw_addrlabel *have = NULL;
	int n = vw_addrlabel_list(&hn->nl, &have, err);

	for (int i = 0; i < n; i++) {
		if (have[i].label != HOSTNET_LABEL_ENI || (ifindex && have[i].ifindex != ifindex) ||
		    (keep && vw_ip_eq(&have[i].prefix.ip, keep)))
			continue;
		(void)vw_addrlabel_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

int hostnet6_labels_down(struct hostnet *hn, struct vw_err *err)
{
	return drop_labels(hn, 0, NULL, err);
}

struct vw_addr hostnet6_eni_addr(const struct hostnet_eni *eni)
{
	return (struct vw_addr){
		.ifindex = eni->ifindex,
		.addr = vw_cidr_host(&eni->addr6),
		.flags = VW_ADDR_NODAD | VW_ADDR_NOPREFIXROUTE,
		.dev = eni->ifname,
	};
}

void hostnet6_put_addr(struct hostnet *hn, const struct hostnet_eni *eni)
{
	const struct vw_addrlabel label = {
		.prefix = vw_cidr_host(&eni->addr6), .ifindex = eni->ifindex, .label = HOSTNET_LABEL_ENI, .dev = eni->ifname,
	};
	const struct vw_addr addr = hostnet6_eni_addr(eni);

	(void)vw_addrlabel_set(&hn->batch, &label);
	(void)vw_addr_add(&hn->batch, &addr);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
}

/*
 * What leaves by the ENI and is masqueraded gets this address. The label keeps the node's own sockets from choosing it for
 * whoever has a similar one, as the pods of this ENI have; what goes out by the ENI itself is decided before labels are
 * looked at (RFC 6724, rules 5 and 6).
 */
static int own_addr6(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	int r = drop_addrs6(hn, eni, err);

	if (r == 0)
		r = drop_labels(hn, eni->ifindex, &eni->addr6, err);
	if (r == 0 && eni->addr6.family)
		hostnet6_put_addr(hn, eni);
	return r;
}

int hostnet6_eni_setup(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	const struct vw_rule rule = hostnet_eni_rule(eni, AF_INET6);
	int r;

	r = own_addr6(hn, eni, err);
	if (r == 0)
		r = table_routes6(hn, eni, err);
	if (r == 0)
		r = hostnet_rules_converge(hn, AF_INET6, &rule, 1, hostnet_about_eni, eni, err);
	if (r == 0)
		r = main_routes6(hn, eni, err);
	return r < 0 ? r : hostnet_commit(hn, err);
}

int hostnet6_eni_remove(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	int r;

	if (!hostnet_have_ipv6())
		return 0;
	r = hostnet_rules_converge(hn, AF_INET6, NULL, 0, hostnet_about_eni, eni, err);
	if (r == 0)
		r = drop_labels(hn, eni->ifindex, NULL, err);
	return r < 0 ? r : hostnet_routes_del(hn, AF_INET6, eni->table, err);
}
