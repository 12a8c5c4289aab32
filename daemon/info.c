/*
 * What the daemon says about itself: STATUS for the runtime, INFO for people and tools. Both only read.
 */
#include "daemon/info.h"

#include "daemon/daemon.h"
#include "daemon/drain.h"
#include "daemon/drift.h"
#include "daemon/egress.h"
#include "daemon/grow.h"
#include "daemon/hostnet.h"
#include "daemon/placement.h"
#include "ipam/pool.h"
#include "ipam/targets.h"
#include "ipam/v6.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>

#define INFO_PODS 128   /* INFO is one packet of 64 KiB: the first pods, and how many there are */

static void say(struct vw_rpc_status *st, int cni, const char *msg)
{
	st->cni = cni;
	(void)!vw_fmt(st->msg, sizeof(st->msg), "%.*s", (int)sizeof(st->msg) - 1, msg);
}

static unsigned int pods_of(const struct daemon *d, const struct eni *e)
{
	const struct ipam_eni *p = ipam_pool_eni(d->pool, e->row.id);
	const struct vw_cidr *block = ipam_v6_block(d->v6, e->row.id);

	return p && p->n.assigned ? p->n.assigned : block ? (unsigned int)ipam_v6_in_use(d->v6, block) : 0;
}

/* rules, tables or NAT that somebody removed, an ENI that was taken away: pods are cut off */
static bool network_broken(struct daemon *d, struct vw_err *err)
{
	struct hostnet_eni enis[ENI_MAX];
	size_t n = 0;

	for (size_t i = 0; i < d->enis.n; i++) {
		const struct eni *e = &d->enis.v[i];
		unsigned int pods = e->wired ? 0 : pods_of(d, e);

		if (pods) {
			vw_err_set(err, ENODEV, VW_CNI_LIMITED, "the link of ENI %s is gone: %u pods that have addresses of it are cut off",
				   e->row.id, pods);
			return true;
		}
		if (e->wired)
			eni_hostnet(d, e, &enis[n++]);
	}
	return hostnet_verify(d->hostnet, enis, n, err) < 0;
}

bool info_orphaned(struct daemon *d, struct vw_err *err)
{
	struct ipam_stats s;

	ipam_pool_advance(d->pool, vw_mono_ms());
	ipam_pool_stats(d->pool, &s);
	if (s.orphaned)
		vw_err_set(err, ESTALE, VW_CNI_LIMITED, "EC2 has taken away the addresses of %u pods: delete them, their controllers make "
			   "new ones", s.orphaned);
	return s.orphaned;
}

void info_status(struct daemon *d, struct vw_rpc_status *ret_st)
{
	struct ipam_stats s;
	struct vw_err err;

	*ret_st = (struct vw_rpc_status){ 0 };
	if (!d->ready) {
		say(ret_st, VW_CNI_NOT_AVAILABLE,
		    d->trouble.eno ? d->trouble.msg : "vpcwired has just started and does not know its node yet");
		return;
	}
	if (drift_contested(d, &err) || network_broken(d, &err)) {
		say(ret_st, VW_CNI_LIMITED, err.msg);
		return;
	}
	if (info_orphaned(d, &err)) {
		say(ret_st, VW_CNI_LIMITED, err.msg);
		return;
	}
	if (d->draining) {
		(void)drain_refuse(&err);
		say(ret_st, VW_CNI_NOT_AVAILABLE, err.msg);
		return;
	}
	ipam_pool_stats(d->pool, &s);
	if (d->cfg->enable_ipv4 ? s.available > d->n_hungry : eni_for_v6(d) != NULL)
		return;
	if (grow_cause(d, NULL, &err) || grow_met(d, &err))
		say(ret_st, VW_CNI_NOT_AVAILABLE, err.msg);
	else
		say(ret_st, VW_CNI_NOT_AVAILABLE, "no free address at the moment; the pool is growing");
}

static int add_pool(struct daemon *d, struct vw_json *root)
{
	struct vw_json *pool = vw_json_new_object();
	struct ipam_stats s;
	struct ipam_warm warm;

	ipam_pool_advance(d->pool, vw_mono_ms());
	ipam_pool_stats(d->pool, &s);
	if (grow_warm(d, &warm) &&
	    (vw_json_set_int(pool, "warm_low", warm.low) < 0 || vw_json_set_int(pool, "warm_fill", warm.fill) < 0 ||
	     vw_json_set_int(pool, "warm_keep", warm.keep) < 0)) {
		vw_json_free(pool);
		return -ENOMEM;
	}
	if (vw_json_set_int(pool, "total", s.total) < 0 || vw_json_set_int(pool, "assigned", s.assigned) < 0 ||
	    vw_json_set_int(pool, "cooling", s.cooling + s.orphaned_cooling) < 0 ||
	    vw_json_set_int(pool, "available", s.available) < 0 || vw_json_set_int(pool, "orphaned", s.orphaned) < 0 ||
	    vw_json_set_int(pool, "prefixes", s.prefixes) < 0 ||
	    vw_json_set_int(pool, "free_prefixes", s.free_prefixes) < 0 ||
	    vw_json_set_int(pool, "secondary_addresses", s.singles) < 0 ||
	    vw_json_set_int(pool, "waiting", d->n_waiters) < 0 ||
	    vw_json_set_int(pool, "actions_under_way", (int64_t)grow_in_flight(d)) < 0) {
		vw_json_free(pool);
		return -ENOMEM;
	}
	return vw_json_set(root, "pool", pool);
}

/* a slot's addresses in order: '#' a pod has it, '~' it cools down, '.' it is free */
static struct vw_json *use_json(const struct daemon *d, const struct vw_cidr *slot)
{
	char text[IPAM_PREFIX4_ADDRS + 1] = "";
	size_t n = slot->len == IPAM_PREFIX4_LEN ? IPAM_PREFIX4_ADDRS : 1;
	struct vw_ip ip = slot->ip;
	struct ipam_addr a;

	for (size_t i = 0; i < n; i++) {
		ip.b[3] = (uint8_t)(slot->ip.b[3] + i);         /* aligned: no carry */
		text[i] = !ipam_pool_by_ip(d->pool, &ip, &a) || a.state == IPAM_FREE ? '.' : a.state == IPAM_COOLING ? '~' : '#';
	}
	return vw_json_new_string(text);
}

static struct vw_json *eni_json(struct daemon *d, const struct eni *e, bool whole)
{
	const struct ipam_eni *p = ipam_pool_eni(d->pool, e->row.id);
	struct vw_json *o = vw_json_new_object(), *slots = vw_json_new_array(), *use = vw_json_new_array();
	char text[VW_CIDR_STRLEN];
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->row.n_slots; i++) {
		r = vw_json_append(slots, vw_json_new_string(vw_cidr_str(&e->row.slots[i], text)));
		if (r == 0 && whole)
			r = vw_json_append(use, use_json(d, &e->row.slots[i]));
	}
	if (vw_json_set(o, "use", use) < 0)
		r = -ENOMEM;
	if (vw_json_set(o, "slots", slots) < 0 || r < 0 || vw_json_set_str(o, "id", e->row.id) < 0 ||
	    vw_json_set_str(o, "ifname", e->ifname) < 0 || vw_json_set_str(o, "mac", vw_mac_str(&e->row.mac, text)) < 0 ||
	    vw_json_set_str(o, "address", vw_ip_str(&e->row.primary_ip, text)) < 0 ||
	    vw_json_set_str(o, "address6", e->row.ip6.family ? vw_ip_str(&e->row.ip6, text) : NULL) < 0 ||
	    vw_json_set_str(o, "ipv6_prefix", e->row.block6.ip.family ? vw_cidr_str(&e->row.block6, text) : NULL) < 0 ||
	    vw_json_set_str(o, "subnet_id", e->row.subnet_id) < 0 || vw_json_set_int(o, "number", e->row.number) < 0 ||
	    vw_json_set_int(o, "device", e->row.device) < 0 || vw_json_set_int(o, "card", e->row.card) < 0 ||
	    vw_json_set_bool(o, "primary", e->row.primary) < 0 || vw_json_set_bool(o, "wired", e->wired) < 0 ||
	    vw_json_set_int(o, "addresses", p ? p->n.addrs : 0) < 0 ||
	    vw_json_set_int(o, "assigned", p ? p->n.assigned : 0) < 0) {
		vw_json_free(o);
		return NULL;
	}
	return o;
}

static struct vw_json *pod_json(const struct attachment *a)
{
	const struct store_attachment row = attach_row(a), own = egress_less(&row);
	const struct vw_ip *out = egress_is(&a->addr) ? &a->addr : egress_is(&a->addr6) ? &a->addr6 : NULL;
	struct vw_json *o = vw_json_new_object();
	char ip[VW_IP_STRLEN];

	if (vw_json_set_str(o, "container_id", a->container_id) < 0 ||
	    vw_json_set_str(o, "ifname", a->ifname) < 0 || vw_json_set_str(o, "pod_namespace", a->pod_namespace) < 0 ||
	    vw_json_set_str(o, "pod_name", a->pod_name) < 0 ||
	    vw_json_set_str(o, "address", own.addr.family ? vw_ip_str(&own.addr, ip) : NULL) < 0 ||
	    vw_json_set_str(o, "address6", own.addr6.family ? vw_ip_str(&own.addr6, ip) : NULL) < 0 ||
	    vw_json_set_str(o, "egress", out ? vw_ip_str(out, ip) : NULL) < 0 ||
	    vw_json_set_str(o, "host_ifname", a->host_ifname) < 0 || vw_json_set_int(o, "slot", a->slot) < 0) {
		vw_json_free(o);
		return NULL;
	}
	return o;
}

static int add_lists(struct daemon *d, struct vw_json *root, bool whole, bool with_pods)
{
	struct vw_json *enis = vw_json_new_array(), *pods = vw_json_new_array();
	struct attachment *a, *tmp;
	unsigned int n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->enis.n; i++)
		r = vw_json_append(enis, eni_json(d, &d->enis.v[i], whole));
	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (r == 0 && with_pods && (n++ < INFO_PODS || whole))
			r = vw_json_append(pods, pod_json(a));
	if (vw_json_set(root, "enis", enis) < 0 || vw_json_set(root, "pods", pods) < 0)
		r = -ENOMEM;
	return r;
}

/* where new ENIs go, or why nowhere */
static int add_placement(struct daemon *d, struct vw_json *root)
{
	const struct place *p = placement(d);
	struct vw_json *o = vw_json_new_object(), *subnets = vw_json_new_array(), *groups = vw_json_new_array();
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n; i++)
		r = vw_json_append(subnets, vw_json_new_string(p->v[i].id));
	for (size_t i = 0; r == 0 && i < p->n_groups; i++)
		r = vw_json_append(groups, vw_json_new_string(p->groups[i]));
	if (vw_json_set(o, "subnets", subnets) < 0 || vw_json_set(o, "security_groups", groups) < 0 || r < 0 ||
	    vw_json_set_str(o, "trouble", p->why.eno ? p->why.msg : NULL) < 0) {
		vw_json_free(o);
		return -ENOMEM;
	}
	return vw_json_set(root, "placement", o);
}

static int add_drift(struct daemon *d, struct vw_json *root)
{
	struct vw_json *drift;
	struct vw_err err;
	int r = drift_query(d, NULL, &drift, &err);

	return r < 0 ? r : vw_json_set(root, "drift", drift);
}

/* which configuration is in force, and why one that was written since is not */
static int add_config(const struct daemon *d, struct vw_json *root)
{
	struct vw_json *o = vw_json_new_object();

	if (vw_json_set_int(o, "loads", d->config_loads) < 0 || vw_json_set_str(o, "path", d->config_path) < 0 ||
	    vw_json_set_str(o, "refused", d->config_refused.eno ? d->config_refused.msg : NULL) < 0) {
		vw_json_free(o);
		return -ENOMEM;
	}
	return vw_json_set(root, "config", o);
}

int info_fill(struct daemon *d, struct vw_json *root, bool whole, bool with_pods)
{
	return vw_json_set_str(root, "version", VW_VERSION) < 0 ||
	       vw_json_set_str(root, "instance_id", d->node.instance_id) < 0 ||
	       vw_json_set_str(root, "instance_type", d->node.instance_type) < 0 || vw_json_set_str(root, "zone", d->node.zone) < 0 ||
	       vw_json_set_bool(root, "ready", d->ready) < 0 || vw_json_set_bool(root, "discovered", d->discovered) < 0 ||
	       vw_json_set_bool(root, "surveying", d->discovering) < 0 || vw_json_set_bool(root, "draining", d->draining) < 0 ||
	       vw_json_set_str(root, "trouble", d->trouble.eno ? d->trouble.msg : NULL) < 0 || add_pool(d, root) < 0 ||
	       add_placement(d, root) < 0 || add_drift(d, root) < 0 || add_config(d, root) < 0 ||
	       vw_json_set_int(root, "n_pods", d->attach.n) < 0 || add_lists(d, root, whole, with_pods) < 0 ?
		       -ENOMEM : 0;
}

int info_print(struct daemon *d, unsigned int v, struct vw_buf *buf, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();

	if (vw_json_set_int(root, "v", v) < 0 || info_fill(d, root, false, true) < 0 || vw_json_print(root, 0, buf) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the node's state");
	return vw_buf_err(buf) < 0 ? vw_err_set(err, EMSGSIZE, 0, "the node's state does not fit into one reply") : 0;
}
