// SPDX-License-Identifier: Apache-2.0
/* Branch ENIs of pods, on the node: interface, table, rules. What the annotation says is read in sgp_pods.c. */
#include "daemon/sgp.h"

#include "daemon/attach.h"
#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/sgp_pods.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "netpolicy-bpf/user/br_link.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS_PREFIX "vpcwire-branch:"
#define META_EVER "pod_eni"

struct sgp {
	struct br *br;
	struct sgp_pods *pods;
};

static const uint8_t families[] = {AF_INET, AF_INET6};

/* --- names */

static void inner_name(const struct store_branch *b, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "vlan.eth.%u", b->vlan % 10000);        /* aws-node's, and at most 13 characters */
}

static void outer_name(const struct store_branch *b, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "vlan.tag.%u", b->vlan % 10000);
}

static void alias_of(const struct attachment *a, char ret[VW_IFALIAS_MAX])
{
	snprintf(ret, VW_IFALIAS_MAX, ALIAS_PREFIX "%.200s/%s", a->container_id, a->ifname);
}

unsigned int sgp_table(const struct attachment *a)
{
	return a->branch.strict ? SGP_TABLE + a->branch.vlan : HOSTNET_TABLE_PODS;
}

/* --- what the daemon keeps of it */

static int open_all(struct daemon *d, struct vw_err *err)
{
	if (!d->sgp) {
		d->sgp = calloc(1, sizeof(*d->sgp));
		if (d->sgp)
			d->sgp->pods = sgp_pods_new();
	}
	if (!d->sgp || !d->sgp->pods)
		return vw_err_set(err, ENOMEM, 0, "no memory for security groups of pods");
	return d->sgp->br ? 0 : br_open(d->cfg->bpf_dir, &d->sgp->br, err);
}

void sgp_free(struct daemon *d)
{
	if (!d->sgp)
		return;
	br_close(d->sgp->br);
	sgp_pods_free(d->sgp->pods);
	free(d->sgp);
	d->sgp = NULL;
}

/* --- ADD */

static int find_trunk(struct daemon *d, struct vw_link *ret, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	char mac[VW_MAC_STRLEN];
	int n;

	if (vw_mac_is_zero(&d->enis.trunk_mac))
		return vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN,
				  "this node has no trunk ENI (yet): the VPC resource controller attaches one to nodes of supported instance types");
	n = vw_link_list(&d->nl, &links, err);
	for (int i = 0; i < n; i++) {
		if (!vw_mac_eq(&links[i].mac, &d->enis.trunk_mac) || !vw_link_is_device(&links[i]))
			continue;
		*ret = links[i];
		return 0;
	}
	return n < 0 ? n : vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN, "the trunk ENI with MAC address %s has no interface on this node",
				      vw_mac_str(&d->enis.trunk_mac, mac));
}

int sgp_wanted(struct daemon *d, const struct vw_rpc_req *req, struct store_branch *ret_branch, struct vw_err *err)
{
	struct store_branch b = {0};
	struct vw_link trunk = {0};
	int r;

	if (!d->cfg->enable_pod_eni || !req->pod_name[0] || strcmp(req->key.ifname, "eth0"))
		return 0;
	if (open_all(d, err) < 0)
		return -err->eno;
	r = sgp_pods_find(d->sgp->pods, d->cfg->policy_dir, req->pod_namespace, req->pod_name, req->pod_uid, &b, err);
	if (r <= 0)
		return r;
	if (!d->cfg->enable_ipv4)
		b.ip4 = (struct vw_ip){0};
	if (!d->cfg->enable_ipv6)
		b.ip6 = (struct vw_ip){0};
	if (!b.ip4.family && !b.ip6.family)
		return vw_err_set(err, EAFNOSUPPORT, VW_CNI_INVALID_CONFIG,
				  "pod %s/%s: its branch ENI %s has no address of a family that this node gives to pods", req->pod_namespace,
				  req->pod_name, b.eni_id);
	if (find_trunk(d, &trunk, err) < 0)
		return -err->eno;
	b.trunk = trunk.ifindex;
	b.strict = d->cfg->pod_sg_mode == CONFIG_POD_SG_STRICT;
	*ret_branch = b;
	return 1;
}

/*
 * A packet for the pod may come from the node itself, and by the branch: its source is then local (accept_local); and the way back to
 * any source is not by the branch for a look-up that does not come from the pod (rp_filter). Addresses come from nobody.
 */
static int set_sysctls(const char *ifname, struct vw_err *err)
{
	static const struct {
		uint8_t family;
		const char *key, *value;
	} wanted[] = {
		{AF_INET, "rp_filter", "2"},   {AF_INET, "accept_local", "1"}, {AF_INET, "forwarding", "1"}, {AF_INET, "send_redirects", "0"},
		{AF_INET6, "accept_ra", "0"}, {AF_INET6, "accept_dad", "0"},  {AF_INET6, "forwarding", "1"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(wanted); i++) {
		int r = vw_sysctl_if_set(wanted[i].family, ifname, wanted[i].key, wanted[i].value, err);

		if (r < 0 && !(wanted[i].family == AF_INET6 && r == -ENOENT))
			return r;
	}
	return 0;
}

static void add_way_out(struct vw_nl_batch *b, const struct vw_ip *gateway, unsigned int table, const struct vw_link *inner)
{
	struct vw_route to_gw = {
		.dst = vw_cidr_host(gateway),
		.table = table,
		.scope = gateway->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.protocol = VW_RTPROT,
		.ifindex = inner->ifindex,
		.dev = inner->name,
	};
	struct vw_route by_gw = {.table = table, .via = *gateway, .protocol = VW_RTPROT, .onlink = true, .ifindex = inner->ifindex,
				 .dev = inner->name};

	by_gw.dst.ip.family = gateway->family;
	vw_route_replace(b, &to_gw);
	vw_route_replace(b, &by_gw);
}

static struct vw_rule rule_of(const struct attachment *a, uint8_t family, const char *iif)
{
	struct vw_rule rule = {
		.family = family,
		.protocol = VW_RTPROT,
		.priority = a->branch.strict ? SGP_PRIO_STRICT : SGP_PRIO_STANDARD,
		.table = SGP_TABLE + a->branch.vlan,
	};

	(void)VW_COPY(rule.iif, iif);
	return rule;
}

/* @change: vw_rule_add() or vw_rule_del(); @tolerate: what it answers when it was so already. */
static void each_rule(struct vw_nl_batch *b, const struct attachment *a, int (*change)(struct vw_nl_batch *, const struct vw_rule *),
		      unsigned int tolerate)
{
	char inner[IFNAMSIZ];

	inner_name(&a->branch, inner);
	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		const struct vw_rule out = rule_of(a, families[f], a->host_ifname), in = rule_of(a, families[f], inner);

		if (!(families[f] == AF_INET ? a->branch.ip4 : a->branch.ip6).family)
			continue;
		(void)change(b, &out);
		vw_nl_tolerate(b, tolerate);
		if (!a->branch.strict)
			continue;
		(void)change(b, &in);
		vw_nl_tolerate(b, tolerate);
	}
}

static int route_it(struct daemon *d, const struct attachment *a, const struct vw_link *inner, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	unsigned int table = SGP_TABLE + a->branch.vlan;
	struct vw_ip router6;

	if (set_sysctls(inner->name, err) < 0)
		return -err->eno;
	vw_link_set_up(&b, inner->ifindex, inner->name);
	if (a->branch.ip4.family)
		add_way_out(&b, &a->branch.gw4, table, inner);
	if (a->branch.ip6.family && vw_ip_parse(HOSTNET_ROUTER6, &router6) == 0)
		add_way_out(&b, &router6, table, inner);
	each_rule(&b, a, vw_rule_add, VW_NL_OK_EXISTS);
	return vw_nl_commit(&d->nl, &b, err);
}

int sgp_up(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	char inner[IFNAMSIZ], outer[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_link trunk, link;
	struct br_link l = {
		.trunk = &trunk, .vlan = a->branch.vlan, .mac = a->branch.mac, .outer = outer, .alias = alias, .inner = inner, .netns_fd = -1,
	};
	unsigned int ifindex;
	struct vw_err ignored;

	inner_name(&a->branch, inner);
	outer_name(&a->branch, outer);
	alias_of(a, alias);
	if (hostnet_is_dying(d->hostnet, outer, 0)) {
		daemon_links_dying(d);
		return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "the former interface %s of branch ENI %s is still being deleted", inner,
				  a->branch.eni_id);
	}
	if (vw_link_get(&d->nl, a->branch.trunk, &trunk, err) < 0 || br_link_make(d->sgp->br, &d->nl, &l, &ifindex, err) < 0)
		return vw_err_wrap(err, "branch ENI %s", a->branch.eni_id);
	if (vw_link_get_name(&d->nl, inner, &link, err) < 0 || route_it(d, a, &link, err) < 0) {
		(void)sgp_down(d, a, &ignored);
		return vw_err_wrap(err, "branch ENI %s", a->branch.eni_id);
	}
	return 0;
}

/* --- DEL */

/* the outer end of @a's branch. Return: 1, 0 = it has none, -errno */
static int find_outer(struct daemon *d, const struct attachment *a, struct vw_link *ret, struct vw_err *err)
{
	char name[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	int r;

	outer_name(&a->branch, name);
	alias_of(a, alias);
	r = vw_link_get_name(&d->nl, name, ret, err);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	return br_link_is_of(ret, alias, &a->branch.mac);
}

int sgp_down(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct br_branch branch = {.trunk = a->branch.trunk, .vlan = a->branch.vlan, .mac = a->branch.mac};
	struct vw_link outer;
	int r;

	if (open_all(d, err) < 0)
		return -err->eno;
	r = find_outer(d, a, &outer, err);
	if (r < 0)
		return r;
	each_rule(&b, a, vw_rule_del, VW_NL_OK_GONE);
	if (vw_nl_commit(&d->nl, &b, err) < 0)
		return -err->eno;
	if (r == 0)
		return br_trunk_tidy(d->sgp->br, &d->nl, a->branch.trunk, err);
	branch.ifindex = outer.ifindex;
	if (br_withdraw(d->sgp->br, &branch, err) < 0 || hostnet_link_forget(d->hostnet, outer.ifindex, outer.name, err) < 0)
		return -err->eno;
	daemon_links_dying(d);
	return br_trunk_tidy(d->sgp->br, &d->nl, a->branch.trunk, err);
}

/* --- start */

static bool has_owner(const struct daemon *d, const char *alias)
{
	struct attachment *a, *tmp;
	char text[VW_IFALIAS_MAX];

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		alias_of(a, text);
		if (a->branch.vlan && !a->superseded && !strcmp(text, alias))
			return true;
	}
	return false;
}

static int drop_orphans(struct daemon *d, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	int n = vw_link_list(&d->nl, &links, err);

	for (int i = 0; i < n; i++) {
		if (strncmp(links[i].alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) || has_owner(d, links[i].alias))
			continue;
		vw_info("the interface of a branch ENI that no pod has is removed", "ifname=%s", links[i].name);
		if (hostnet_link_forget(d->hostnet, links[i].ifindex, links[i].name, err) < 0)
			return -err->eno;
		daemon_links_dying(d);
	}
	return n < 0 ? n : 0;
}

static bool has_local(const struct vw_rule *rules, int n, uint32_t priority)
{
	for (int i = 0; i < n; i++)
		if (rules[i].priority == priority && rules[i].table == RT_TABLE_LOCAL)
			return true;
	return false;
}

/*
 * Strict pods' packets to the node itself go by their branch, so the rule for local addresses stands behind theirs; there is no moment
 * without one. It goes back where it was when the mode does. Return: 1 = it was moved, 0, -errno.
 */
static int place_local_rule(struct daemon *d, uint8_t family, bool behind, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_free struct vw_rule *rules = NULL;
	struct vw_rule first = {.family = family, .protocol = RTPROT_KERNEL, .priority = 0, .table = RT_TABLE_LOCAL};
	/* not marked as ours: who cleans up after us (hostnet_down()) must not leave the machine without its addresses */
	struct vw_rule later = {.family = family, .protocol = RTPROT_KERNEL, .priority = SGP_PRIO_LOCAL, .table = RT_TABLE_LOCAL};
	int n = vw_rule_list(&d->nl, family, &rules, err);

	if (n < 0)
		return n == -EAFNOSUPPORT ? 0 : n;
	if (!behind && !has_local(rules, n, SGP_PRIO_LOCAL))
		return 0;
	(void)vw_rule_add(&b, behind ? &later : &first);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	(behind ? &first : &later)->protocol = 0;
	(void)vw_rule_del(&b, behind ? &first : &later);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(&d->nl, &b, err) < 0 ? -err->eno : 1;
}

/* also as long as a strict pod of a former configuration lives */
static bool strict_used(const struct daemon *d)
{
	struct attachment *a, *tmp;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (a->branch.vlan && a->branch.strict)
			return true;
	return d->cfg->enable_pod_eni && d->cfg->pod_sg_mode == CONFIG_POD_SG_STRICT;
}

/*
 * What a strict pod answers the node passes through the node on its way to the branch. The kernel would find the node's own socket for it
 * before it has asked for a route, and ip_forward() drops what has one (aws-node: DISABLE_TCP_EARLY_DEMUX).
 */
static int set_early_demux(bool on, struct vw_err *err)
{
	static const char *const keys[] = {"net/ipv4/tcp_early_demux", "net/ipv4/udp_early_demux"};

	for (size_t i = 0; i < VW_ARRAY_SIZE(keys); i++) {
		int r = vw_sysctl_set(keys[i], on ? "1" : "0", err);

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int place_local_rules(struct daemon *d, struct vw_err *err)
{
	bool strict = strict_used(d);
	int moved = 0;

	for (size_t f = 0; f < VW_ARRAY_SIZE(families); f++) {
		int r = place_local_rule(d, families[f], strict, err);

		if (r < 0)
			return vw_err_wrap(err, "the rule for local addresses");
		moved |= r;
	}
	return strict || moved ? set_early_demux(!strict, err) : 0;
}

/* Return: 1 = the node has, or once had, something of this; 0; -errno */
static int ever_used(struct daemon *d, struct vw_err *err)
{
	vw_auto_buf struct vw_buf was = VW_BUF_INIT;
	int r = store_meta_get(d->store, META_EVER, &was, err);

	if (r != 0 || !d->cfg->enable_pod_eni)
		return r;
	return store_meta_put(d->store, META_EVER, "1", err) < 0 ? -err->eno : 1;
}

int sgp_start(struct daemon *d, struct vw_err *err)
{
	int r = ever_used(d, err);

	if (r > 0)
		r = drop_orphans(d, err);
	else if (r == 0)
		return 0;
	return r < 0 ? r : place_local_rules(d, err);
}

void sgp_config_changed(struct daemon *d)
{
	struct vw_err err;
	int r = ever_used(d, &err);

	if (r < 0 || (r > 0 && place_local_rules(d, &err) < 0))
		vw_error("the rules for security groups of pods are not as the configuration asks", "err=\"%s\"", err.msg);
}
