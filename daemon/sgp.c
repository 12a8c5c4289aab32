// SPDX-License-Identifier: Apache-2.0
/* Branch ENIs of pods, on the node: interface, table, rules. What the annotation says is read in sgp_pods.c. */
#include "daemon/sgp.h"

#include "daemon/attach.h"
#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/programs.h"
#include "daemon/sgp_pods.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/br_link.h"

#include <stdlib.h>
#include <string.h>

#define ALIAS_PREFIX "vpcwire-branch:"
#define META_EVER "pod_eni"

struct sgp {
	struct br *br;
	struct sgp_pods *pods;
};

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
	return a->branch.strict ? HOSTNET_TABLE_BRANCH + a->branch.vlan : HOSTNET_TABLE_PODS;
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

/* --- on the node */

int sgp_branch(struct daemon *d, const struct attachment *a, struct hostnet_branch *ret, struct vw_err *err)
{
	struct vw_link inner;
	int r;

	*ret = (struct hostnet_branch){
		.vlan = a->branch.vlan, .strict = a->branch.strict, .gw4 = a->branch.gw4, .ipv6 = a->branch.ip6.family != 0,
	};
	(void)VW_COPY(ret->id, a->branch.eni_id);
	inner_name(&a->branch, ret->ifname);
	attach_host_side(a, &ret->pod);
	r = vw_link_get_name(&d->nl, ret->ifname, &inner, err);
	if (r == 0)
		ret->ifindex = inner.ifindex;
	return r == -ENODEV ? 0 : r;
}

/* the pair of interfaces, and what the trunk needs */
static int make_pair(struct daemon *d, const struct attachment *a, const struct vw_link *trunk, struct vw_err *err)
{
	char inner[IFNAMSIZ], outer[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	const struct br_link l = {
		.trunk = trunk, .vlan = a->branch.vlan, .mac = a->branch.mac, .outer = outer, .alias = alias, .inner = inner, .netns_fd = -1,
	};
	unsigned int ifindex;

	inner_name(&a->branch, inner);
	outer_name(&a->branch, outer);
	alias_of(a, alias);
	return br_link_make(d->sgp->br, &d->nl, &l, &ifindex, err);
}

int sgp_up(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	struct hostnet_branch b;
	struct vw_err ignored;
	struct vw_link trunk;
	char outer[IFNAMSIZ];

	outer_name(&a->branch, outer);
	if (hostnet_is_dying(d->hostnet, outer, 0)) {
		daemon_links_dying(d);
		return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "the former interface %s of branch ENI %s is still being deleted", outer,
				  a->branch.eni_id);
	}
	if (vw_link_get(&d->nl, a->branch.trunk, &trunk, err) < 0 || make_pair(d, a, &trunk, err) < 0)
		return vw_err_wrap(err, "branch ENI %s", a->branch.eni_id);
	if (sgp_branch(d, a, &b, err) < 0 || programs_attach_branch(d, &b, err) < 0 || hostnet_branch_setup(d->hostnet, &b, err) < 0) {
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
	struct br_branch branch = {.trunk = a->branch.trunk, .vlan = a->branch.vlan, .mac = a->branch.mac};
	struct hostnet_branch b;
	struct vw_link outer;
	int r;

	if (open_all(d, err) < 0)
		return -err->eno;
	r = find_outer(d, a, &outer, err);
	if (r < 0)
		return r;
	if (sgp_branch(d, a, &b, err) < 0 || hostnet_branch_remove(d->hostnet, &b, err) < 0)
		return -err->eno;
	if (r == 0)
		return br_trunk_tidy(d->sgp->br, &d->nl, a->branch.trunk, err);
	branch.ifindex = outer.ifindex;
	if (br_withdraw(d->sgp->br, &branch, err) < 0 || hostnet_link_forget(d->hostnet, outer.ifindex, outer.name, err) < 0)
		return -err->eno;
	daemon_links_dying(d);
	return br_trunk_tidy(d->sgp->br, &d->nl, a->branch.trunk, err);
}

/* --- repair */

bool sgp_has_link(const struct daemon *d, unsigned int ifindex)
{
	const struct attachment *a;

	for (a = d->attach.by_key; a; a = a->hh.next)
		if (a->branch.vlan && (a->branch.trunk == ifindex || a->branch_ends[0] == ifindex || a->branch_ends[1] == ifindex))
			return true;
	return false;
}

bool sgp_has_table(const struct daemon *d, uint32_t table)
{
	const struct attachment *a;

	for (a = d->attach.by_key; a; a = a->hh.next)
		if (a->branch.vlan && table == HOSTNET_TABLE_BRANCH + a->branch.vlan)
			return true;
	return false;
}

/* Return: 1 = the pair is there, 0 = it is not and cannot be (now), -errno */
static int repair_pair(struct daemon *d, const struct attachment *a, const struct hostnet_truth *t, struct vw_link *ret_outer,
		       struct vw_err *err)
{
	char what[160], inner[IFNAMSIZ];
	struct vw_link trunk;
	int r = find_outer(d, a, ret_outer, err);

	if (r != 0)
		return r;
	r = vw_link_get(&d->nl, a->branch.trunk, &trunk, err);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	inner_name(&a->branch, inner);
	(void)snprintf(what, sizeof(what), "interface %s of %s is missing", inner, a->branch.eni_id);
	if (!t->found(HOSTNET_LINK, what, t->arg))
		return 0;
	return make_pair(d, a, &trunk, err) < 0 ? -err->eno : find_outer(d, a, ret_outer, err);
}

static int repair_tag(struct daemon *d, const struct attachment *a, unsigned int outer, const struct hostnet_truth *t, struct vw_err *err)
{
	const struct br_branch want = {.trunk = a->branch.trunk, .vlan = a->branch.vlan, .mac = a->branch.mac, .ifindex = outer};
	struct br_branch have;
	char what[160];
	int r = br_find(d->sgp->br, want.trunk, want.vlan, &have, err);

	if (r < 0 || (r > 0 && have.ifindex == outer && vw_mac_eq(&have.mac, &want.mac)))
		return r < 0 ? r : 0;
	(void)snprintf(what, sizeof(what), "tag %u of %s is missing in the maps", want.vlan, a->branch.eni_id);
	return t->found(HOSTNET_FILTER, what, t->arg) ? br_publish(d->sgp->br, &want, err) : 0;
}

/* Return: 1 = it was down and is up again, 0, -errno */
static int repair_up(struct daemon *d, const struct attachment *a, const struct vw_link *l, const struct hostnet_truth *t, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char what[160];

	if (l->flags & IFF_UP)
		return 0;
	(void)snprintf(what, sizeof(what), "interface %s of %s is down", l->name, a->branch.eni_id);
	if (!t->found(HOSTNET_LINK, what, t->arg))
		return 0;
	(void)vw_link_set_up(&b, l->ifindex, l->name);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(&d->nl, &b, err);
}

static int repair_programs(struct daemon *d, const struct vw_link *outer, const struct vw_link *trunk, const struct hostnet_truth *t,
			   struct vw_err *err)
{
	const struct vw_filter filters[] = {
		{.ifindex = outer->ifindex, .dir = VW_TC_INGRESS, .prog_fd = br_from_pod_fd(d->sgp->br), .name = BR_PROG_FROM_POD, .dev = outer->name},
		{.ifindex = trunk->ifindex, .dir = VW_TC_INGRESS, .prog_fd = br_from_trunk_fd(d->sgp->br), .name = BR_PROG_FROM_TRUNK,
		 .dev = trunk->name},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(filters); i++) {
		enum attach_hung hung = ATTACH_HUNG_CLSACT;

		r = programs_repair(d, &filters[i], &hung, t, err);
	}
	return r;
}

int sgp_repair(struct daemon *d, struct attachment *a, const struct hostnet_truth *t, struct hostnet_branch *ret, struct vw_err *err)
{
	struct vw_link outer, trunk;
	int r;

	if (open_all(d, err) < 0)
		return -err->eno;
	r = repair_pair(d, a, t, &outer, err);
	if (r < 0 || sgp_branch(d, a, ret, err) < 0)
		return -err->eno;
	if (r == 0)
		return 0;
	a->branch_ends[0] = ret->ifindex;
	a->branch_ends[1] = outer.ifindex;
	r = vw_link_get(&d->nl, a->branch.trunk, &trunk, err);
	if (r < 0)
		return r == -ENODEV ? 0 : r;    /* it was detached: nothing comes or goes any more */
	if (repair_up(d, a, &outer, t, err) < 0 || repair_up(d, a, &trunk, t, err) < 0 || repair_tag(d, a, outer.ifindex, t, err) < 0)
		return -err->eno;
	return repair_programs(d, &outer, &trunk, t, err) < 0 ? -err->eno : programs_repair_branch(d, ret, t, err);
}

/* --- after the loss of the store */

static const struct vw_link *outer_of(const struct hostnet_scan *scan, const char *owner)
{
	for (size_t i = 0; i < scan->n_devices; i++) {
		const struct vw_link *l = &scan->devices[i];

		if (!strncmp(l->alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) && !strcmp(l->alias + strlen(ALIAS_PREFIX), owner) &&
		    l->group != HOSTNET_GROUP_DYING)
			return l;
	}
	return NULL;
}

/* the pod's own routes and the way out: a strict pod's addresses are nowhere else. Return: 0, -errno */
static int recall_table(struct daemon *d, unsigned int pod, unsigned int inner, uint8_t family, struct store_branch *b, struct vw_err *err)
{
	vw_auto_free struct vw_route *routes = NULL;
	int n = vw_route_list(&d->nl, family, HOSTNET_TABLE_BRANCH + b->vlan, 0, VW_RTPROT, &routes, err);

	for (int i = 0; i < n; i++) {
		const struct vw_route *r = &routes[i];

		if (r->ifindex == pod)
			*(family == AF_INET ? &b->ip4 : &b->ip6) = r->dst.ip;
		else if (r->ifindex == inner && r->dst.len == 0 && family == AF_INET)
			b->gw4 = r->via;
	}
	return n < 0 ? n : 0;
}

static int recall(struct daemon *d, const struct vw_link *outer, const struct hostnet_found *f, struct store_branch *b, struct vw_err *err)
{
	struct br_branch tagged;
	struct vw_link inner;
	char name[IFNAMSIZ];

	if (open_all(d, err) < 0)
		return -err->eno;
	if (br_of(d->sgp->br, outer->ifindex, &tagged, err) <= 0)
		return vw_err_set(err, ENODATA, 0, "%s has no tag in the maps", outer->name);
	*b = (struct store_branch){.mac = tagged.mac, .vlan = tagged.vlan, .trunk = tagged.trunk, .strict = f->pod.n_addr == 0};
	inner_name(b, name);
	if (vw_link_get_name(&d->nl, name, &inner, err) < 0)
		return -err->eno;
	if (!strncmp(inner.alias, HOSTNET_BRANCH_ALIAS, strlen(HOSTNET_BRANCH_ALIAS)))
		(void)VW_COPY(b->eni_id, inner.alias + strlen(HOSTNET_BRANCH_ALIAS));
	if (recall_table(d, f->pod.ifindex, inner.ifindex, AF_INET, b, err) < 0 ||
	    recall_table(d, f->pod.ifindex, inner.ifindex, AF_INET6, b, err) < 0)
		return -err->eno;
	for (unsigned int i = 0; i < f->pod.n_addr; i++)
		*(f->pod.addr[i].ip.family == AF_INET ? &b->ip4 : &b->ip6) = f->pod.addr[i].ip;
	if ((!b->ip4.family && !b->ip6.family) || (b->ip4.family && !b->gw4.family))
		return vw_err_set(err, ENODATA, 0, "its routes are gone");
	return 0;
}

int sgp_recall(struct daemon *d, const struct hostnet_scan *scan, const struct hostnet_found *f, struct store_attachment *row, struct vw_err *err)
{
	const struct vw_link *outer = outer_of(scan, f->owner);
	int r = outer ? recall(d, outer, f, &row->branch, err) : 0;

	if (r < 0)
		return vw_err_wrap(err, "branch ENI of %.100s", f->owner);
	if (!outer)
		return 0;
	row->addr = row->branch.ip4;
	row->addr6 = row->branch.ip6;
	(void)VW_COPY(row->eni_id, row->branch.eni_id);
	return 1;
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

static bool has_table(uint32_t table, const void *daemon)
{
	return sgp_has_table(daemon, table);
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
	return n < 0 ? n : hostnet_branch_prune(d->hostnet, has_table, d, err);
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

static bool some_pod(const struct daemon *d)
{
	for (const struct attachment *a = d->attach.by_key; a; a = a->hh.next)
		if (a->branch.vlan)
			return true;
	return false;
}

/* Return: 1 = the node has, or once had, something of this; 0; -errno */
static int ever_used(struct daemon *d, struct vw_err *err)
{
	vw_auto_buf struct vw_buf was = VW_BUF_INIT;
	int r = store_meta_get(d->store, META_EVER, &was, err);

	/* some pod: of a store that was lost, which would have said so */
	if (r != 0 || (!d->cfg->enable_pod_eni && !some_pod(d)))
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
	return r < 0 ? r : hostnet_local_behind(d->hostnet, strict_used(d), err);
}

void sgp_config_changed(struct daemon *d)
{
	struct vw_err err;
	int r = ever_used(d, &err);

	if (r < 0 || (r > 0 && hostnet_local_behind(d->hostnet, strict_used(d), &err) < 0))
		vw_error("the rules for security groups of pods are not as the configuration asks", "err=\"%s\"", err.msg);
}
