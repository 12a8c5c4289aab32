// SPDX-License-Identifier: Apache-2.0
/*
 * The node's rules and the tables of its ENIs. Each setup states what must be there and makes the kernel agree: what is
 * there already is tolerated, what carries our mark and is not wanted goes; one netlink batch where it can be.
 */
#include "daemon/hostnet.h"

#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LO_IFINDEX 1            /* in every namespace: LOOPBACK_IFINDEX, include/net/flow.h */

int hostnet_new(struct hostnet **ret_hn, struct vw_err *err)
{
	struct hostnet *hn = calloc(1, sizeof(*hn));
	int r;

	if (!hn)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	hn->mark = HOSTNET_MARK_PRIMARY;
	r = vw_nl_open(&hn->nl, err);
	if (r < 0) {
		free(hn);
		return r;
	}
	*ret_hn = hn;
	return 0;
}

struct hostnet *hostnet_free(struct hostnet *hn)
{
	if (hn) {
		vw_nl_close(&hn->nl);
		vw_nl_batch_done(&hn->batch);
		free(hn->dying.items);
		free(hn->reaping.items);
		free(hn->stale.items);
		free(hn->purging.items);
		free(hn->frees);
		hostnet_nat_done(hn);
	}
	free(hn);
	return NULL;
}

uint32_t hostnet_port(const struct hostnet *hn)
{
	return hn->nl.portid;
}

int hostnet_commit(struct hostnet *hn, struct vw_err *err)
{
	int r = vw_nl_commit(&hn->nl, &hn->batch, err);

	vw_nl_batch_reset(&hn->batch);
	return r;
}

bool hostnet_have_ipv6(void)
{
	return access("/proc/sys/net/ipv6", F_OK) == 0;
}

/* --- the rules that do not depend on ENIs */

size_t hostnet_base_rules(const struct hostnet *hn, struct vw_rule rules[HOSTNET_BASE_RULES])
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	size_t n = 0;

	for (size_t f = 0; f < (hostnet_have_ipv6() ? 2 : 1); f++) {
		rules[n++] = (struct vw_rule){
			.family = families[f], .protocol = VW_RTPROT, .priority = HOSTNET_PRIO_PODS, .table = HOSTNET_TABLE_PODS,
		};
		rules[n++] = (struct vw_rule){
			.family = families[f],
			.protocol = VW_RTPROT,
			.priority = HOSTNET_PRIO_PRIMARY,
			.fwmark = hn->mark,
			.fwmask = hn->mark,
			.table = RT_TABLE_MAIN,
		};
	}
	return n;
}

int hostnet_rules_converge(struct hostnet *hn, uint8_t family, const struct vw_rule *want, size_t n_want,
			   bool (*about)(const struct vw_rule *r, const void *arg), const void *arg, struct vw_err *err)
{
	vw_auto_free struct vw_rule *have = NULL;
	int n = vw_rule_list(&hn->nl, family, &have, err);
	bool there;

	if (n < 0)
		return n;
	for (size_t w = 0; w < n_want; w++) {
		there = false;
		for (int i = 0; i < n; i++)
			there |= vw_rule_eq(&have[i], &want[w]);
		if (there || want[w].family != family)
			continue;
		(void)vw_rule_add(&hn->batch, &want[w]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
	}
	/* after the adds: never a moment without the right rule */
	for (int i = 0; i < n; i++) {
		there = have[i].protocol != VW_RTPROT || !about(&have[i], arg);
		for (size_t w = 0; w < n_want; w++)
			there |= vw_rule_eq(&have[i], &want[w]);
		if (there)
			continue;
		(void)vw_rule_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return 0;
}

static bool about_base(const struct vw_rule *r, const void *arg)
{
	return r->priority == HOSTNET_PRIO_PODS || r->priority == HOSTNET_PRIO_PRIMARY;
}

struct vw_addr hostnet_gateway(void)
{
	return (struct vw_addr){
		.ifindex = LO_IFINDEX,
		.addr = { .ip = vw_ip4(0xa9fe0101), .len = 32 },
		.scope = RT_SCOPE_HOST,
		.dev = "lo",
	};
}

int hostnet_init(struct hostnet *hn, uint32_t mark_primary, struct vw_err *err)
{
	const struct vw_addr gw = hostnet_gateway();
	struct vw_rule want[HOSTNET_BASE_RULES];
	size_t n;
	int r;

	if ((mark_primary & HOSTNET_MARK_ENI_MASK) || (mark_primary & (mark_primary - 1)))
		return vw_err_set(err, EINVAL, 0, "mark %#x is not one bit above %#x", mark_primary, HOSTNET_MARK_ENI_MASK);
	hn->mark = mark_primary ? mark_primary : HOSTNET_MARK_PRIMARY;
	n = hostnet_base_rules(hn, want);
	r = vw_sysctl_set("net/ipv4/ip_forward", "1", err);
	if (r < 0)
		return vw_err_wrap(err, "a node must forward packets");
	(void)vw_link_set_up(&hn->batch, LO_IFINDEX, "lo");
	(void)vw_addr_add(&hn->batch, &gw);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
	r = hostnet_rules_converge(hn, AF_INET, want, n, about_base, NULL, err);
	if (r == 0 && hostnet_have_ipv6())
		r = hostnet_rules_converge(hn, AF_INET6, want, n, about_base, NULL, err);
	if (r < 0) {
		vw_nl_batch_reset(&hn->batch);
		return r;
	}
	return hostnet_commit(hn, err);
}

/* --- ENIs */

uint32_t hostnet_eni_table(unsigned int card, unsigned int device)
{
	return card == 0 ? device + 1 : 10000 + device + 100 * card;
}

struct vw_rule hostnet_eni_rule(const struct hostnet_eni *eni, uint8_t family)
{
	return (struct vw_rule){
		.family = family,
		.protocol = VW_RTPROT,
		.priority = HOSTNET_PRIO_ENI + eni->number,
		.fwmark = eni->number,
		.fwmask = HOSTNET_MARK_ENI_MASK,
		.table = eni->table,
	};
}

void hostnet4_eni_routes(const struct hostnet_eni *eni, struct vw_route routes[2])
{
	routes[0] = (struct vw_route){
		.dst = vw_cidr_host(&eni->gateway),
		.table = eni->table,
		.protocol = VW_RTPROT,
		.scope = RT_SCOPE_LINK,
		.type = RTN_UNICAST,
		.ifindex = eni->ifindex,
		.dev = eni->ifname,
	};
	routes[1] = (struct vw_route){
		.dst = { .ip = { .family = AF_INET } },
		.table = eni->table,
		.protocol = VW_RTPROT,
		.type = RTN_UNICAST,
		.via = eni->gateway,
		.ifindex = eni->ifindex,
		.dev = eni->ifname,
	};
}

bool hostnet_about_eni(const struct vw_rule *r, const void *arg)
{
	const struct hostnet_eni *eni = arg;

	/* the latter: former releases had one for the node's own sockets */
	return r->priority == HOSTNET_PRIO_ENI + eni->number || r->table == eni->table ||
	       (r->from.ip.family && vw_ip_eq(&r->from.ip, r->from.ip.family == AF_INET ? &eni->addr.ip : &eni->addr6));
}

static int eni_check(const struct hostnet_eni *eni, struct vw_err *err)
{
	if (!eni->ifindex || !eni->ifname[0])
		return vw_err_set(err, EINVAL, 0, "%s has no interface", eni->id);
	if (eni->number == 0)
		return 0;
	if (eni->number > HOSTNET_ENI_MAX || eni->table <= 1 || eni->table >= HOSTNET_TABLE_PODS ||
	    (eni->table >= RT_TABLE_COMPAT && eni->table <= RT_TABLE_LOCAL))
		return vw_err_set(err, EINVAL, 0, "%s: number %u or table %u is out of range", eni->id, eni->number,
				  eni->table);
	if (eni->addr.ip.family != AF_INET || eni->gateway.family != AF_INET)
		return vw_err_set(err, EINVAL, 0, "%s has no IPv4 address or gateway", eni->id);
	return 0;
}

struct vw_addr hostnet4_eni_addr(const struct hostnet_eni *eni)
{
	/* with a prefix route it would bring the subnet route back at every link flap */
	return (struct vw_addr){ .ifindex = eni->ifindex, .addr = eni->addr, .flags = VW_ADDR_NOPREFIXROUTE, .dev = eni->ifname };
}

/** eni_addresses() - exactly the primary address; the image's DHCP client may have put others or a subnet route there. */
static int eni_addresses(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_addr *have = NULL;
	const struct vw_addr want = hostnet4_eni_addr(eni);
	int n = vw_addr_list(&hn->nl, eni->ifindex, AF_INET, &have, err);
	bool there = false;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (vw_cidr_eq(&have[i].addr, &want.addr) && (have[i].flags & VW_ADDR_NOPREFIXROUTE)) {
			there = true;
			continue;
		}
		have[i].dev = eni->ifname;
		(void)vw_addr_del(&hn->batch, &have[i]);
		/* deleting a primary address takes its secondaries along, so a later one may be gone already */
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	/* Last, for the same reason: the wanted one may have been a secondary of one that went. */
	if (!there || n > 1) {
		(void)vw_addr_add(&hn->batch, &want);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
	}
	return 0;
}

/** eni_main_routes() - nothing in main leads through a secondary ENI, or the node's own traffic would leave by it. */
static int eni_main_routes(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	int n = vw_route_list(&hn->nl, AF_INET, RT_TABLE_MAIN, eni->ifindex, 0, &have, err);

	for (int i = 0; i < n; i++) {
		have[i].dev = eni->ifname;
		(void)vw_route_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

static int eni_table_routes(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	struct vw_route want[2];
	int n = vw_route_list(&hn->nl, AF_INET, eni->table, 0, VW_RTPROT, &have, err);

	if (n < 0)
		return n;
	hostnet4_eni_routes(eni, want);
	for (int i = 0; i < n; i++) {
		/* of the same destination and metric: replaced below */
		if (have[i].priority == 0 && (vw_cidr_eq(&have[i].dst, &want[0].dst) || have[i].dst.len == 0))
			continue;
		(void)vw_route_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	(void)vw_route_replace(&hn->batch, &want[0]);
	(void)vw_route_replace(&hn->batch, &want[1]);
	return 0;
}

int hostnet_eni_setup(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	struct vw_link_set set = {
		.ifindex = eni->ifindex, .name = eni->ifname, .what = VW_LINK_UP | (eni->mtu ? VW_LINK_MTU : 0),
		.mtu = eni->mtu,
	};
	const struct vw_rule rule = hostnet_eni_rule(eni, AF_INET);
	int r = eni_check(eni, err);

	if (r == 0)
		r = vw_sysctl_if_set(AF_INET, eni->ifname, "rp_filter", "2", err);
	if (r == 0 && eni->ipv6)
		r = hostnet6_eni_before(eni, err);
	if (r < 0)
		return vw_err_wrap(err, "setting up %s", eni->id);
	(void)vw_link_set(&hn->batch, &set);
	if (eni->number > 0)
		r = eni_addresses(hn, eni, err);
	/* The address may bring a subnet route into main, so what is there is looked at after it. */
	if (r == 0)
		r = hostnet_commit(hn, err);
	if (r == 0 && eni->number > 0) {
		r = eni_table_routes(hn, eni, err);
		if (r == 0)
			r = hostnet_rules_converge(hn, AF_INET, &rule, 1, hostnet_about_eni, eni, err);
		if (r == 0)
			r = eni_main_routes(hn, eni, err);
		if (r == 0)
			r = hostnet_commit(hn, err);
		if (r == 0 && eni->ipv6)
			r = hostnet6_eni_setup(hn, eni, err);
		if (r == 0)
			r = hostnet_nat_eni(hn, eni, err);
	}
	if (r < 0) {
		vw_nl_batch_reset(&hn->batch);
		return vw_err_wrap(err, "setting up %s (%s)", eni->id, eni->ifname);
	}
	return 0;
}

int hostnet_routes_del(struct hostnet *hn, uint8_t family, uint32_t table, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	int n = vw_route_list(&hn->nl, family, table, 0, VW_RTPROT, &have, err);

	for (int i = 0; i < n; i++) {
		(void)vw_route_del(&hn->batch, &have[i]);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

int hostnet_eni_remove(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	int r;

	if (eni->number == 0)
		return vw_err_set(err, EINVAL, 0, "%s is the primary ENI and stays", eni->id);
	r = hostnet_rules_converge(hn, AF_INET, NULL, 0, hostnet_about_eni, eni, err);
	if (r == 0)
		r = hostnet_routes_del(hn, AF_INET, eni->table, err);
	if (r == 0)
		r = hostnet6_eni_remove(hn, eni, err);
	if (r == 0)
		r = hostnet_commit(hn, err);
	vw_nl_batch_reset(&hn->batch);
	if (r == 0)
		r = hostnet_nat_eni_gone(hn, eni, err);
	return r < 0 ? vw_err_wrap(err, "removing the routing of %s", eni->id) : 0;
}

/* --- removal */

int hostnet_eni_bare(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err)
{
	const struct vw_addr four = hostnet4_eni_addr(eni), six = hostnet6_eni_addr(eni);
	int r = hostnet_eni_remove(hn, eni, err);

	if (r < 0 || !eni->ifindex)
		return r;
	(void)vw_addr_del(&hn->batch, &four);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	if (six.addr.ip.family) {
		(void)vw_addr_del(&hn->batch, &six);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
	return hostnet_commit(hn, err);
}

static bool about_all(const struct vw_rule *r, const void *arg)
{
	return true;
}

/* where another master has routes to the pods already (migrate.h), none must become unreachable on the way */
static int pods_rule_down(struct hostnet *hn, const struct vw_rule *rules, int n, struct vw_err *err)
{
	for (int i = 0; i < n; i++)
		if (rules[i].protocol == VW_RTPROT && rules[i].table == HOSTNET_TABLE_PODS) {
			(void)vw_rule_del(&hn->batch, &rules[i]);
			vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
		}
	return hostnet_commit(hn, err);
}

static int family_down(struct hostnet *hn, uint8_t family, struct vw_err *err)
{
	vw_auto_free struct vw_rule *rules = NULL;
	int n = vw_rule_list(&hn->nl, family, &rules, err);
	int r = n < 0 ? n : pods_rule_down(hn, rules, n, err);

	if (r == 0)
		r = hostnet_routes_del(hn, family, HOSTNET_TABLE_PODS, err);
	for (int i = 0; i < n && r == 0; i++)
		if (rules[i].protocol == VW_RTPROT && rules[i].table != RT_TABLE_MAIN &&
		    rules[i].table != HOSTNET_TABLE_PODS)
			r = hostnet_routes_del(hn, family, rules[i].table, err);
	return r < 0 ? r : hostnet_rules_converge(hn, family, NULL, 0, about_all, NULL, err);
}

int hostnet_down(struct hostnet *hn, struct vw_err *err)
{
	const struct vw_addr gw = hostnet_gateway();
	int r = family_down(hn, AF_INET, err);

	hn->frees_known = false;

	(void)vw_addr_del(&hn->batch, &gw);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	if (r == 0 && hostnet_have_ipv6())
		r = family_down(hn, AF_INET6, err);
	if (r == 0 && hostnet_have_ipv6())
		r = hostnet6_labels_down(hn, err);
	if (r == 0)
		r = hostnet_commit(hn, err);
	vw_nl_batch_reset(&hn->batch);
	if (r == 0)
		r = hostnet_judge_down(hn, err);
	return r < 0 ? r : hostnet_nat_down(hn, err);
}
