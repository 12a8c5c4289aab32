// SPDX-License-Identifier: Apache-2.0
/*
 * Routing of branch ENIs: for each a table, which is that of a secondary ENI, and one or two rules that lead there from an interface.
 * With strict ones the rule for local addresses stands behind those.
 */
#include "daemon/hostnet.h"

#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t families[] = { AF_INET, AF_INET6 };

/*
 * A packet for the pod may come from the node itself, and by the branch: its source is then local (accept_local); and the way back to
 * any source is not by the branch for a look-up that does not come from the pod (rp_filter). Addresses come from nobody.
 */
const struct hostnet_setting hostnet_branch_settings[HOSTNET_BRANCH_SETTINGS] = {
	{ AF_INET, "rp_filter", "2" },	{ AF_INET, "accept_local", "1" }, { AF_INET, "forwarding", "1" },
	{ AF_INET, "send_redirects", "0" }, { AF_INET6, "accept_ra", "0" }, { AF_INET6, "accept_dad", "0" },
	{ AF_INET6, "forwarding", "1" },
};

/*
 * What a strict pod answers the node passes through the node on its way to the branch. The kernel would find the node's own socket for it
 * before it has asked for a route, and ip_forward() drops what has one (aws-node: DISABLE_TCP_EARLY_DEMUX).
 */
const char *const hostnet_demux_settings[HOSTNET_DEMUX_SETTINGS] = { "net/ipv4/tcp_early_demux", "net/ipv4/udp_early_demux" };

struct hostnet_eni hostnet_branch_eni(const struct hostnet_branch *b)
{
	struct hostnet_eni e = { .ifindex = b->ifindex, .table = HOSTNET_TABLE_BRANCH + b->vlan, .gateway = b->gw4, .ipv6 = b->ipv6 };

	(void)VW_COPY(e.id, b->id);
	(void)VW_COPY(e.ifname, b->ifname);
	return e;
}

void hostnet_branch_alias(const struct hostnet_branch *b, char ret[VW_IFALIAS_MAX])
{
	(void)snprintf(ret, VW_IFALIAS_MAX, HOSTNET_BRANCH_ALIAS "%s", b->id);
}

static bool has_family(const struct hostnet_branch *b, uint8_t family)
{
	return family == AF_INET ? b->gw4.family : b->ipv6;
}

static struct vw_rule rule_of(const struct hostnet_branch *b, uint8_t family, const char *iif)
{
	struct vw_rule rule = {
		.family = family,
		.protocol = VW_RTPROT,
		.priority = b->strict ? HOSTNET_PRIO_STRICT : HOSTNET_PRIO_STANDARD,
		.table = HOSTNET_TABLE_BRANCH + b->vlan,
	};

	(void)VW_COPY(rule.iif, iif);
	return rule;
}

size_t hostnet_branch_rules(const struct hostnet_branch *b, uint8_t family, struct vw_rule rules[2])
{
	if (!has_family(b, family))
		return 0;
	rules[0] = rule_of(b, family, b->pod.ifname);
	rules[1] = rule_of(b, family, b->ifname);
	return b->strict ? 2 : 1;
}

/* --- up and down */

static int set_sysctls(const char *ifname, struct vw_err *err)
{
	for (size_t i = 0; i < HOSTNET_BRANCH_SETTINGS; i++) {
		const struct hostnet_setting *s = &hostnet_branch_settings[i];
		int r = vw_sysctl_if_set(s->family, ifname, s->key, s->value, err);

		if (r < 0 && !(s->family == AF_INET6 && r == -ENOENT))
			return r;
	}
	return 0;
}

int hostnet_branch_setup(struct hostnet *hn, const struct hostnet_branch *b, struct vw_err *err)
{
	const struct hostnet_eni e = hostnet_branch_eni(b);
	struct vw_route routes[2];
	struct vw_rule rules[2];
	char alias[VW_IFALIAS_MAX];

	hostnet_branch_alias(b, alias);
	if (set_sysctls(b->ifname, err) < 0)
		return -err->eno;
	(void)vw_link_set(&hn->batch, &(struct vw_link_set){
					      .ifindex = b->ifindex, .name = b->ifname, .what = VW_LINK_UP | VW_LINK_ALIAS, .alias = alias });
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		size_t n = hostnet_branch_rules(b, families[f], rules);

		if (n) {
			(families[f] == AF_INET ? hostnet4_eni_routes : hostnet6_eni_routes)(&e, routes);
			(void)vw_route_replace(&hn->batch, &routes[0]);
			(void)vw_route_replace(&hn->batch, &routes[1]);
		}
		for (size_t i = 0; i < n; i++) {
			(void)vw_rule_add(&hn->batch, &rules[i]);
			vw_nl_tolerate(&hn->batch, VW_NL_OK_EXISTS);
		}
	}
	return hostnet_commit(hn, err);
}

int hostnet_branch_remove(struct hostnet *hn, const struct hostnet_branch *b, struct vw_err *err)
{
	struct vw_rule rules[2];

	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		size_t n = hostnet_branch_rules(b, families[f], rules);

		for (size_t i = 0; i < n; i++) {
			(void)vw_rule_del(&hn->batch, &rules[i]);
			vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
		}
	}
	return hostnet_commit(hn, err);
}

struct prune {
	bool (*has)(uint32_t table, const void *arg);
	const void *arg;
};

static bool about_none(const struct vw_rule *r, const void *arg)
{
	const struct prune *p = arg;

	return (r->priority == HOSTNET_PRIO_STRICT || r->priority == HOSTNET_PRIO_STANDARD) && !p->has(r->table, p->arg);
}

int hostnet_branch_prune(struct hostnet *hn, bool (*has)(uint32_t table, const void *arg), const void *arg, struct vw_err *err)
{
	const struct prune p = { has, arg };
	int r = hostnet_rules_converge(hn, AF_INET, NULL, 0, about_none, &p, err);

	if (r == 0 && hostnet_have_ipv6())
		r = hostnet_rules_converge(hn, AF_INET6, NULL, 0, about_none, &p, err);
	if (r == 0)
		return hostnet_commit(hn, err);
	vw_nl_batch_reset(&hn->batch);
	return r;
}

/* --- the rule for local addresses */

/*
 * Neighbour discovery is between a pod or the VPC's router and the node itself, so link-local and multicast addresses come before strict
 * pods' rules (IPv4 has ARP for it).
 */
size_t hostnet_local_rules(uint8_t family, struct vw_rule rules[HOSTNET_LOCAL_RULES])
{
	/* not marked as ours: who cleans up after us (hostnet_down()) must not leave the machine without its addresses */
	rules[0] = (struct vw_rule){
		.family = family, .protocol = RTPROT_KERNEL, .priority = HOSTNET_PRIO_LOCAL, .table = RT_TABLE_LOCAL,
	};
	for (size_t i = 1; i < HOSTNET_LOCAL_RULES; i++)
		rules[i] = (struct vw_rule){
			.family = family, .protocol = VW_RTPROT, .priority = HOSTNET_PRIO_LINK_LOCAL, .table = RT_TABLE_LOCAL,
		};
	(void)vw_cidr_parse("fe80::/10", &rules[1].to);
	(void)vw_cidr_parse("ff00::/8", &rules[2].to);
	return family == AF_INET6 ? HOSTNET_LOCAL_RULES : 1;
}

static bool has_later(const struct vw_rule *rules, int n)
{
	for (int i = 0; i < n; i++)
		if (rules[i].priority == HOSTNET_PRIO_LOCAL && rules[i].table == RT_TABLE_LOCAL)
			return true;
	return false;
}

static void put_rule(struct hostnet *hn, const struct vw_rule *rule, bool add)
{
	struct vw_rule any = *rule;

	if (add) {
		(void)vw_rule_add(&hn->batch, rule);
	} else {
		any.protocol = 0;       /* whoever made it */
		(void)vw_rule_del(&hn->batch, &any);
	}
	vw_nl_tolerate(&hn->batch, add ? VW_NL_OK_EXISTS : VW_NL_OK_GONE);
}

/* There is no moment without one. Return: 1 = it was moved, 0, -errno. */
static int place_local_rule(struct hostnet *hn, uint8_t family, bool behind, struct vw_err *err)
{
	vw_auto_free struct vw_rule *have = NULL;
	const struct vw_rule first = { .family = family, .protocol = RTPROT_KERNEL, .priority = 0, .table = RT_TABLE_LOCAL };
	struct vw_rule later[HOSTNET_LOCAL_RULES];
	size_t n_later = hostnet_local_rules(family, later);
	int n = vw_rule_list(&hn->nl, family, &have, err);

	if (n < 0)
		return n == -EAFNOSUPPORT ? 0 : n;
	if (!behind && !has_later(have, n))
		return 0;
	if (!behind)
		put_rule(hn, &first, true);
	for (size_t i = 0; i < n_later; i++)
		put_rule(hn, &later[i], behind);
	if (behind)
		put_rule(hn, &first, false);
	return hostnet_commit(hn, err) < 0 ? -err->eno : 1;
}

static int set_early_demux(bool on, struct vw_err *err)
{
	for (size_t i = 0; i < HOSTNET_DEMUX_SETTINGS; i++) {
		int r = vw_sysctl_set(hostnet_demux_settings[i], on ? "1" : "0", err);

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

int hostnet_local_behind(struct hostnet *hn, bool behind, struct vw_err *err)
{
	int moved = 0;

	hn->local_behind = behind;
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		int r = place_local_rule(hn, families[f], behind, err);

		if (r < 0)
			return vw_err_wrap(err, "the rule for local addresses");
		moved |= r;
	}
	return behind || moved ? set_early_demux(!behind, err) : 0;
}
