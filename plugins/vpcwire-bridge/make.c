// SPDX-License-Identifier: Apache-2.0
/*
 * The bridge itself: made by the first ADD, unmade by the last DEL. Both may be repeated, so that what a killed call has left is
 * completed or removed by the next one.
 *
 * Forwarding is switched on for the two interfaces alone where the kernel can do that (IPv6: force_forwarding, 6.17 and up).
 * Where it cannot, IPv6 is forwarded by the whole namespace, and interfaces that take router advertisements go on doing so. What
 * was switched on for all stays on: others may have come to need it.
 */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/eni/eni.h"
#include "lib/net/addr.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t families[] = {AF_INET, AF_INET6};

int br_bridges_dir(const char *state_dir, char ret[VW_PATH_MAX], struct vw_err *err)
{
	if (vw_fmt(ret, VW_PATH_MAX, "%s/bridges", state_dir) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "key 'stateDir' is too long: \"%.200s\"", state_dir);
	return 0;
}

static bool has_family(const struct eni_state *br, uint8_t family)
{
	for (size_t i = 0; i < br->addrs.n; i++) {
		if (br->addrs.v[i].ip.family == family)
			return true;
	}
	return false;
}

struct job {
	struct br_place *place;
	const char *state_dir;
	const struct eni_state *br;
	const struct vw_attach_key *newcomer;
	struct br_names names;
	struct vw_link bridge, eni;
};

/* --- links */

static int find_eni(struct br_place *p, const struct eni_state *br, struct vw_link *ret, struct vw_err *err)
{
	int r = eni_find_in(&p->nl, br, ret, err);

	return r == -ENODEV ? vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN, "ENI %s is not in the bridge's namespace: was it detached?",
					 br->host_name)
			    : r;
}

static int find_bridge(struct br_place *p, const struct br_names *n, struct vw_link *ret, struct vw_err *err)
{
	int r = vw_link_get_name(&p->nl, n->bridge, ret, err);

	if (r == 0 && (strcmp(ret->kind, "bridge") || strcmp(ret->alias, n->alias)))
		return vw_err_set(err, EEXIST, VW_CNI_KERNEL, "link %s is somebody else's (alias \"%.100s\"); it was left as it is",
				  n->bridge, ret->alias);
	return r;
}

/* The kernel takes no alias at birth: one that is nameless yet is ours too, for the name is the ENI's MAC and the file says so. */
static int make_link(struct job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct br_names *n = &job->names;
	struct vw_link_set set = {.name = n->bridge, .what = VW_LINK_ALIAS, .alias = n->alias};
	int r = vw_link_get_name(&job->place->nl, n->bridge, &job->bridge, err);

	if (r < 0 && r != -ENODEV)
		return r;
	if (r == 0 && (job->bridge.alias[0] || strcmp(job->bridge.kind, "bridge")))
		return find_bridge(job->place, n, &job->bridge, err);
	if (r == -ENODEV)
		vw_link_add_bridge(&b, n->bridge, &n->mac, job->br->mtu);
	vw_link_set(&b, &set);
	if (vw_nl_commit(&job->place->nl, &b, err) < 0)
		return -err->eno;
	return find_bridge(job->place, n, &job->bridge, err);
}

/* --- sysctls, in the bridge's namespace */

struct setting {
	uint8_t family;
	const char *key, *value;
};

static int set_all(const char *ifname, const struct setting *s, size_t n, uint8_t family, struct vw_err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i].family == family && vw_sysctl_if_set(family, ifname, s[i].key, s[i].value, err) < 0)
			return -err->eno;
	}
	return 0;
}

/* A namespace that forwards takes no router advertisements any more, except by interfaces that say 2. */
static int forward_all6(struct br_place *p, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	char value[8] = "";
	int n = vw_sysctl_if_get(AF_INET6, "all", "forwarding", value, sizeof(value), err);

	if (n < 0 || !strcmp(value, "1"))
		return n;
	n = vw_link_list(&p->nl, &links, err);
	for (int i = 0; i < n; i++) {
		int r = vw_sysctl_if_get(AF_INET6, links[i].name, "accept_ra", value, sizeof(value), err);

		if (r == 0 && !strcmp(value, "1"))
			r = vw_sysctl_if_set(AF_INET6, links[i].name, "accept_ra", "2", err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return n < 0 ? n : vw_sysctl_if_set(AF_INET6, "all", "forwarding", "1", err);
}

static int forward6(struct job *job, struct vw_err *err)
{
	if (vw_sysctl_if_set(AF_INET6, job->bridge.name, "force_forwarding", "1", err) == 0)
		return vw_sysctl_if_set(AF_INET6, job->eni.name, "force_forwarding", "1", err);
	return err->eno == ENOENT ? forward_all6(job->place, err) : -err->eno;
}

/* The kernel would let who asks for the gateway wait for up to 0.8 s (arp(7)). */
static int answer_at_once(const char *ifname, struct vw_err *err)
{
	char key[64];

	if (vw_fmt(key, sizeof(key), "net/ipv4/neigh/%s/proxy_delay", ifname) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_KERNEL, "the name of %s is too long", ifname);
	return vw_sysctl_set(key, "0", err);
}

static int set_sysctls(void *arg, struct vw_err *err)
{
	/* proxy_arp: for whoever asks for the gateway */
	static const struct setting on_bridge[] = {
		{AF_INET, "forwarding", "1"}, {AF_INET, "proxy_arp", "1"}, {AF_INET, "rp_filter", "2"},
		{AF_INET6, "accept_ra", "0"}, {AF_INET6, "accept_dad", "0"},
	};
	/*
	 * rp_filter: answers of the internet come by an interface that main does not know as their way. accept_dad: the router is
	 * asked for from a link-local address, which would be tentative for a second after the ENI has come up.
	 */
	static const struct setting on_eni[] = {
		{AF_INET, "forwarding", "1"}, {AF_INET, "rp_filter", "2"}, {AF_INET6, "accept_dad", "0"},
	};
	struct job *job = arg;
	struct vw_nl *nl = &job->place->nl;

	if (has_family(job->br, AF_INET6) && (vw_pod_enable_ipv6(nl, job->bridge.ifindex, job->bridge.name, err) < 0 ||
					      vw_pod_enable_ipv6(nl, job->eni.ifindex, job->eni.name, err) < 0))
		return -err->eno;
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		if (!has_family(job->br, families[f]))
			continue;
		if (set_all(job->bridge.name, on_bridge, VW_ARRAY_SIZE(on_bridge), families[f], err) < 0 ||
		    set_all(job->eni.name, on_eni, VW_ARRAY_SIZE(on_eni), families[f], err) < 0)
			return -err->eno;
	}
	if (has_family(job->br, AF_INET) && answer_at_once(job->bridge.name, err) < 0)
		return -err->eno;
	return has_family(job->br, AF_INET6) ? forward6(job, err) : 0;
}

static int restore_eni(void *arg, struct vw_err *err)
{
	const struct job *job = arg;
	const struct eni_kept *k = &job->br->kept;
	const struct {
		uint8_t family;
		const char *key;
		int value;
	} was[] = {{AF_INET, "rp_filter", k->rp_filter}, {AF_INET, "forwarding", k->forwarding},
		   {AF_INET6, "force_forwarding", k->force_forwarding}, {AF_INET6, "accept_dad", k->accept_dad},
		   {AF_INET6, "disable_ipv6", k->disable_ipv6}};

	for (size_t i = 0; i < VW_ARRAY_SIZE(was); i++) {
		char value[16];

		snprintf(value, sizeof(value), "%d", was[i].value);
		if (vw_sysctl_if_set(was[i].family, job->eni.name, was[i].key, value, err) < 0 && err->eno != ENOENT)
			return -err->eno;
	}
	return 0;
}

/* --- addresses, routes, rules */

#define MAX_RULES (ENI_MAX_ADDRS + 2)

static size_t rules_of(const struct job *job, uint8_t family, struct vw_rule ret[MAX_RULES])
{
	const struct vw_rule to_eni = {
		.family = family, .protocol = VW_RTPROT_BRIDGE, .priority = BR_PRIO_ENI, .table = job->names.table_eni};
	size_t n = 2;

	ret[0] = ret[1] = to_eni;
	ret[0].priority = BR_PRIO_PODS;
	ret[0].table = job->names.table_pods;
	(void)VW_COPY(ret[1].iif, job->names.bridge);
	for (size_t i = 0; i < job->br->addrs.n; i++) {
		if (job->br->addrs.v[i].ip.family != family)
			continue;
		ret[n] = to_eni;
		ret[n++].from = vw_cidr_host(&job->br->addrs.v[i].ip);
	}
	return n;
}

static void add_rules(struct vw_nl_batch *b, const struct job *job, uint8_t family)
{
	struct vw_rule rules[MAX_RULES];
	size_t n = rules_of(job, family, rules);

	for (size_t i = 0; i < n; i++) {
		vw_rule_add(b, &rules[i]);
		vw_nl_tolerate(b, VW_NL_OK_EXISTS);
	}
}

/* The ENI's subnets, and out by the router. */
static void add_routes(struct vw_nl_batch *b, const struct job *job)
{
	struct vw_route route = {
		.table = job->names.table_eni, .protocol = VW_RTPROT_BRIDGE, .ifindex = job->eni.ifindex, .dev = job->eni.name};

	for (size_t i = 0; i < job->br->addrs.n; i++) {
		route.dst = vw_cidr_masked(&job->br->addrs.v[i]);
		route.scope = route.dst.ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
		if (route.dst.len < vw_ip_bits(&route.dst.ip))
			vw_route_replace(b, &route);
	}
	route.scope = RT_SCOPE_UNIVERSE;
	route.onlink = true;
	for (size_t i = 0; i < job->br->addrs.n_gw; i++) {
		route.via = job->br->addrs.gw[i];
		route.dst = (struct vw_cidr){.ip.family = route.via.family};
		vw_route_replace(b, &route);
	}
}

/* The bridge answers neighbour discovery for a router of link-local scope: that is the containers' gateway. */
static void add_gateways(struct vw_nl_batch *b, const struct job *job)
{
	static const struct vw_cidr link_local = {{.family = AF_INET6, .b = {0xfe, 0x80}}, 10};

	for (size_t i = 0; i < job->br->addrs.n_gw; i++) {
		struct vw_addr gw = {.ifindex = job->bridge.ifindex, .flags = VW_ADDR_NODAD, .dev = job->bridge.name,
				     .addr = vw_cidr_of(&job->br->addrs.gw[i], 64)};

		if (vw_cidr_has(&link_local, &gw.addr.ip))
			vw_addr_replace(b, &gw);
	}
}

static int wire(struct job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	vw_link_set_up(&b, job->bridge.ifindex, job->bridge.name);
	vw_link_set_up(&b, job->eni.ifindex, job->eni.name);
	for (size_t i = 0; i < job->br->addrs.n; i++) {
		struct vw_addr a = {
			.ifindex = job->eni.ifindex, .addr = job->br->addrs.v[i], .flags = VW_ADDR_NODAD, .dev = job->eni.name};

		vw_addr_add(&b, &a);
		vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	}
	add_gateways(&b, job);
	add_routes(&b, job);
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		if (has_family(job->br, families[f]))
			add_rules(&b, job, families[f]);
	}
	return vw_nl_commit(&job->place->nl, &b, err);
}

/* --- nftables */

struct refill {
	const struct eni_state *br;
	const struct vw_attach_key *newcomer;
	struct vw_nl_batch b;
};

static int refill_one(const struct eni_state *st, void *arg)
{
	struct refill *f = arg;

	if (vw_mac_eq(&st->mac, &f->br->mac) && !vw_attach_key_eq(&st->key, f->newcomer))
		br_nat_add(&f->b, f->br, st);
	return 0;
}

/* A table that was there may have lost anything: it is made anew, with whoever is on the bridge already. */
static int make_nat(struct job *job, struct vw_err *err)
{
	struct refill f = {.br = job->br, .newcomer = job->newcomer, .b = VW_NL_BATCH_INIT};
	int r;

	vw_nftnl_begin(&f.b);
	br_nat_make(&f.b, job->br);
	r = eni_state_each(job->state_dir, refill_one, &f, err);
	if (r == 0)
		r = vw_nftnl_commit(&job->place->nft, &f.b, err);
	vw_nl_batch_done(&f.b);
	return r;
}

int br_make(struct br_place *p, const char *state_dir, const struct eni_state *br, const struct vw_attach_key *newcomer,
	    struct vw_err *err)
{
	struct job job = {.place = p, .state_dir = state_dir, .br = br, .newcomer = newcomer};

	br_names_of(&br->mac, &job.names);
	if (find_eni(p, br, &job.eni, err) < 0 || make_link(&job, err) < 0 || vw_netns_run(p->fd, set_sysctls, &job, err) < 0 ||
	    wire(&job, err) < 0 || make_nat(&job, err) < 0)
		return vw_err_wrap(err, "making bridge %s", job.names.bridge);
	return 0;
}

/* --- the end */

static int drop_table(struct vw_nl *nl, struct vw_nl_batch *b, uint8_t family, uint32_t table, struct vw_err *err)
{
	vw_auto_free struct vw_route *routes = NULL;
	int n = vw_route_list(nl, family, table, 0, VW_RTPROT_BRIDGE, &routes, err);

	for (int i = 0; i < n; i++) {
		vw_route_del(b, &routes[i]);
		vw_nl_tolerate(b, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

static int drop_rules(struct vw_nl *nl, struct vw_nl_batch *b, uint8_t family, const struct br_names *names, struct vw_err *err)
{
	vw_auto_free struct vw_rule *rules = NULL;
	int n = vw_rule_list(nl, family, &rules, err);

	for (int i = 0; i < n; i++) {
		if (rules[i].protocol != VW_RTPROT_BRIDGE ||
		    (rules[i].table != names->table_pods && rules[i].table != names->table_eni))
			continue;
		vw_rule_del(b, &rules[i]);
		vw_nl_tolerate(b, VW_NL_OK_GONE);
	}
	return n < 0 ? n : 0;
}

static int drop_routing(struct job *job, struct vw_nl_batch *b, struct vw_err *err)
{
	struct vw_nl *nl = &job->place->nl;

	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		if (drop_rules(nl, b, families[f], &job->names, err) < 0 ||
		    drop_table(nl, b, families[f], job->names.table_pods, err) < 0 ||
		    drop_table(nl, b, families[f], job->names.table_eni, err) < 0)
			return -err->eno;
	}
	return 0;
}

/* An ENI that never left is as it was: without the addresses that we gave it. */
static int restore(struct job *job, struct vw_nl_batch *b, struct vw_err *err)
{
	const struct eni_state *br = job->br;

	if (*br->netns || !br->kept.known || eni_find_in(&job->place->nl, br, &job->eni, err) < 0)
		return 0;
	for (size_t i = 0; i < br->kept.added.n; i++) {
		struct vw_addr a = {.ifindex = job->eni.ifindex, .addr = br->kept.added.v[i], .dev = job->eni.name};

		vw_addr_del(b, &a);
		vw_nl_tolerate(b, VW_NL_OK_GONE);
	}
	if (br->kept.was_down) {
		struct vw_link_set down = {.ifindex = job->eni.ifindex, .name = job->eni.name, .what = VW_LINK_DOWN};

		vw_link_set(b, &down);
	}
	return vw_netns_run(job->place->fd, restore_eni, job, err);
}

static int drop(struct job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch nft = VW_NL_BATCH_INIT, b = VW_NL_BATCH_INIT;

	vw_nftnl_begin(&nft);
	vw_nftnl_table_del(&nft, job->names.nft);
	if (vw_nftnl_commit(&job->place->nft, &nft, err) < 0 || drop_routing(job, &b, err) < 0 || restore(job, &b, err) < 0)
		return -err->eno;
	vw_link_del_group(&b, BR_DYING);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	if (vw_link_get_name(&job->place->nl, job->names.bridge, &job->bridge, err) == 0 && !strcmp(job->bridge.kind, "bridge") &&
	    (!job->bridge.alias[0] || !strcmp(job->bridge.alias, job->names.alias))) {
		vw_link_del(&b, job->bridge.ifindex);
		vw_nl_tolerate(&b, VW_NL_OK_GONE);
	}
	return vw_nl_commit(&job->place->nl, &b, err);
}

int br_unmake(struct br_place *p, const char *state_dir, const struct eni_state *br, struct vw_err *err)
{
	struct job job = {.place = p, .state_dir = state_dir, .br = br};
	char dir[VW_PATH_MAX];

	br_names_of(&br->mac, &job.names);
	if (br_bridges_dir(state_dir, dir, err) < 0)
		return -err->eno;
	if (p->fd >= 0 && drop(&job, err) < 0)
		return vw_err_wrap(err, "removing bridge %s", job.names.bridge);
	if (!*br->netns)
		return eni_state_remove(dir, &br->key, err);
	return eni_give_back(&p->host, p->host_fd, dir, br, "", err);
}

/* --- CHECK, STATUS */

static int check_rules(struct br_place *p, const struct job *job, uint8_t family, struct vw_err *err)
{
	vw_auto_free struct vw_rule *rules = NULL;
	int n = vw_rule_list(&p->nl, family, &rules, err);
	struct vw_rule want[MAX_RULES];
	size_t n_want = rules_of(job, family, want);
	char text[VW_RULE_STRLEN];

	if (n < 0)
		return n;
	for (size_t i = 0; i < n_want; i++) {
		bool found = false;

		for (int k = 0; k < n; k++)
			found |= vw_rule_eq(&rules[k], &want[i]);
		if (!found)
			return vw_differs(err, "rule \"%s\" is missing at the bridge", vw_rule_str(&want[i], text));
	}
	return 0;
}

static int check_routes(struct br_place *p, const struct job *job, struct vw_err *err)
{
	for (size_t i = 0; i < job->br->addrs.n_gw; i++) {
		const struct vw_ip *gw = &job->br->addrs.gw[i];
		vw_auto_free struct vw_route *routes = NULL;
		char text[VW_IP_STRLEN];
		bool found = false;
		int n = vw_route_list(&p->nl, gw->family, job->names.table_eni, job->eni.ifindex, 0, &routes, err);

		if (n < 0)
			return n;
		for (int k = 0; k < n; k++)
			found |= routes[k].dst.len == 0 && vw_ip_eq(&routes[k].via, gw);
		if (!found)
			return vw_differs(err, "the bridge's default route by %s dev %s is missing in table %u",
					  vw_ip_str(gw, text), job->eni.name, job->names.table_eni);
	}
	return 0;
}

static int check_links(struct br_place *p, struct job *job, struct vw_err *err)
{
	int r = find_bridge(p, &job->names, &job->bridge, err);

	if (r == -EEXIST)
		err->cni = VW_CNI_CHECK_FAILED;
	if (r < 0)
		return vw_absent_or(err, r, job->names.bridge, "at the bridge");
	if (!(job->bridge.flags & IFF_UP))
		return vw_differs(err, "bridge %s is down", job->names.bridge);
	r = eni_find_in(&p->nl, job->br, &job->eni, err);
	if (r < 0)
		return vw_absent_or(err, r, job->br->host_name, "at the bridge");
	return job->eni.flags & IFF_UP ? 0 : vw_differs(err, "ENI %s of the bridge is down", job->eni.name);
}

int br_is_whole(struct br_place *p, const struct eni_state *br, struct vw_link *ret_bridge, struct vw_err *why)
{
	struct job job = {.place = p, .br = br};

	br_names_of(&br->mac, &job.names);
	if (p->fd < 0) {
		(void)vw_differs(why, "the bridge's namespace '%.200s' is gone", br->netns);
		return 0;
	}
	if (check_links(p, &job, why) < 0 || check_routes(p, &job, why) < 0)
		return why->cni == VW_CNI_CHECK_FAILED ? 0 : -why->eno;
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		if (has_family(br, families[f]) && check_rules(p, &job, families[f], why) < 0)
			return why->cni == VW_CNI_CHECK_FAILED ? 0 : -why->eno;
	}
	if (br_nat_check(&p->nft, br, NULL, why) < 0)
		return why->cni == VW_CNI_CHECK_FAILED ? 0 : -why->eno;
	*ret_bridge = job.bridge;
	return 1;
}
