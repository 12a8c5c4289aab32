/*
 * An attachment's life: attach_add() [pool, slot, eBPF map, store] -> the plugin wires it -> attach_del() [route, map, link to
 * the dying group, store, pool] -> reap [slot and name free].
 *
 * A veth's name is made from the pod's name, as aws-node makes it, so that the same pod may need a name again while its
 * former veth waits to be reaped: attach_add() then says -EBUSY and its caller tries again after the reap. When the
 * former sandbox has not even been deleted yet (kubelet may start the new one first), its veth is put down at once
 * and its attachment is marked superseded; it keeps its address until its own DEL.
 */
#include "daemon/attach_priv.h"

#include "daemon/daemon.h"
#include "daemon/drift.h"
#include "daemon/egress.h"
#include "daemon/grow.h"
#include "daemon/hostnet.h"
#include "daemon/lease.h"
#include "daemon/policy.h"
#include "daemon/sgp.h"
#include "daemon/stale.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "lib/net/link.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <string.h>

static const struct vw_ip gateway4 = { .family = AF_INET, .b = { 169, 254, 1, 1 } };   /* aws-node's, see docs */
static const struct vw_ip gateway6 = { .family = AF_INET6, .b = { 0xfe, 0x80, [15] = 1 } };

/* --- names */

static int key_text(const struct vw_attach_key *key, char *ret, size_t size)
{
	return vw_fmt(ret, size, "%s/%s", key->container_id, key->ifname);
}

struct attachment *attach_by_text(const struct daemon *d, const char *text)
{
	struct attachment *a;

	HASH_FIND_STR(d->attach.by_key, text, a);
	return a;
}

static struct attachment *by_key(const struct daemon *d, const struct vw_attach_key *key)
{
	char text[VW_ID_MAX + IFNAMSIZ + 1];

	return key_text(key, text, sizeof(text)) > 0 ? attach_by_text(d, text) : NULL;
}

bool attach_known(const struct daemon *d, const struct vw_attach_key *key)
{
	return by_key(d, key) != NULL;
}

/* aws-node: "eni" + first 11 hex digits of sha1("<namespace>.<pod>"); other interfaces of a pod add their own name */
static int host_ifname(const char *prefix, const struct vw_rpc_req *req, char ret[IFNAMSIZ], struct vw_err *err)
{
	char text[3 * VW_ID_MAX], hex[VW_SHA1_HEXLEN];
	bool pod = req->pod_name[0] != 0;
	int n;

	if (pod && !strcmp(req->key.ifname, "eth0"))
		n = vw_fmt(text, sizeof(text), "%s.%s", req->pod_namespace, req->pod_name);
	else if (pod)
		n = vw_fmt(text, sizeof(text), "%s.%s.%s", req->pod_namespace, req->pod_name, req->key.ifname);
	else
		n = vw_fmt(text, sizeof(text), "%s.%s", req->key.container_id, req->key.ifname);
	if (n < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_ENV, "the names of container and pod are too long together");
	vw_sha1_hex(text, (size_t)n, hex);
	hex[11] = 0;
	if (vw_fmt(ret, IFNAMSIZ, "%s%s", prefix, hex) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "veth_prefix '%s' is too long (4 characters at most)",
				  prefix);
	return 0;
}

/*
 * From the address, so unique on the node without looking; ee: is locally administered and no ENI's. A pod with IPv6 alone:
 * from the end of its address, which is a number that counts pods.
 */
static struct vw_mac mac_of(uint8_t second, const struct attachment *a)
{
	const uint8_t *b = a->addr.family ? a->addr.b : a->addr6.b + 12;

	return (struct vw_mac){ { ATTACH_MAC_HEAD >> 8, a->addr.family ? second : second + 2, b[0], b[1], b[2], b[3] } };
}

/* one piece of a's text; @at: where the next one goes */
static const char *add_text(struct attachment *a, size_t *at, const char *text)
{
	size_t n = strlen(text) + 1;
	char *to = memcpy(a->text + *at, text, n);

	*at += n;
	return to;
}

struct attachment *attach_new(const struct store_attachment *row)
{
	char key[VW_ID_MAX + IFNAMSIZ + 1];
	const char *const texts[] = { key, row->key.container_id, row->key.ifname, row->network, row->pod_namespace, row->pod_name };
	struct attachment *a;
	size_t n = 0, at = 0;

	if (key_text(&row->key, key, sizeof(key)) < 0)
		return NULL;
	for (size_t i = 0; i < VW_ARRAY_SIZE(texts); i++)
		n += strlen(texts[i]) + 1;
	a = calloc(1, sizeof(*a) + n);
	if (!a)
		return NULL;
	a->key_text = add_text(a, &at, texts[0]);
	a->container_id = add_text(a, &at, texts[1]);
	a->ifname = add_text(a, &at, texts[2]);
	a->network = add_text(a, &at, texts[3]);
	a->pod_namespace = add_text(a, &at, texts[4]);
	a->pod_name = add_text(a, &at, texts[5]);
	a->addr = row->addr;
	a->addr6 = row->addr6;
	a->slot = row->slot;
	a->created_ms = row->created_ms;
	(void)VW_COPY(a->host_ifname, row->host_ifname);
	(void)VW_COPY(a->eni_id, row->eni_id);
	a->branch = row->branch;
	a->adopted = row->adopted;
	return a;
}

struct store_attachment attach_row(const struct attachment *a)
{
	struct store_attachment row = {
		.addr = a->addr, .addr6 = a->addr6, .slot = a->slot, .created_ms = a->created_ms, .branch = a->branch,
		.adopted = a->adopted,
	};

	(void)VW_COPY(row.key.container_id, a->container_id);
	(void)VW_COPY(row.key.ifname, a->ifname);
	return row;
}

struct store_attachment attach_booked(const struct store_attachment *row)
{
	struct store_attachment r = egress_less(row);

	if (r.branch.vlan)
		r.addr = r.addr6 = (struct vw_ip){ 0 };
	return r;
}

/* --- slots */

unsigned int attach_ifindex(const struct attachment *a)
{
	return a->adopted.ifindex ? a->adopted.ifindex : VW_IFINDEX_BASE + a->slot;
}

const struct attachment *attach_by_ifindex(const struct daemon *d, unsigned int ifindex)
{
	struct attachment *a, *tmp;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (attach_ifindex(a) == ifindex)
			return a;
	return NULL;
}

static int slot_take(struct attach_table *t)
{
	/* round and round, so that a slot rests as long as possible before it is somebody else's */
	for (unsigned int i = 0; i < NP_SLOTS; i++) {
		unsigned int s = (t->next_slot + i) % NP_SLOTS;

		if (t->slot[s] == SLOT_FREE) {
			t->slot[s] = SLOT_USED;
			t->next_slot = (s + 1) % NP_SLOTS;
			return (int)s;
		}
	}
	return -ENOSPC;
}

/* the ENI that has the address now, as the pool knows it; what was recorded when the pool does not know (yet) */
static struct eni *eni_of(struct daemon *d, const struct attachment *a)
{
	struct ipam_addr addr;
	const char *id;

	if (a->addr.family && ipam_pool_by_ip(d->pool, &a->addr, &addr) && addr.eni)
		return eni_by_id(d, addr.eni->id);
	id = a->addr6.family ? ipam_v6_eni(d->v6, &a->addr6) : NULL;
	if (id)
		return eni_by_id(d, id);
	return eni_by_id(d, a->eni_id);
}

static int slot_publish(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	const struct eni *e = eni_of(d, a);
	const struct np_pod_conf pod = { .ip4 = a->addr, .ip6 = a->addr6, .eni = e ? e->row.number : 0 };

	return np_slot_publish(d->np, a->slot, &pod, err);
}

/* a slot that was empty: first the policy, so that nothing of the pod goes unjudged */
static int slot_open(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	uint64_t since_us = vw_mono_us();
	int r = policy_admit(d, a, err);

	if (r == 0)
		r = slot_publish(d, a, err);
	if (r == 0 && a->adopted.ifindex)
		r = np_adopt(d->np, a->adopted.ifindex, a->slot, err);
	if (r == 0)
		metrics_took(d, METRIC_ADD_POLICY, since_us);
	return r;
}

void attach_slot_clear(struct daemon *d, unsigned int slot)
{
	struct vw_err err;

	if (np_slot_clear(d->np, slot, &err) < 0)
		vw_error("a stopped pod's slot could not be emptied", "slot=%u err=\"%s\"", slot, err.msg);
}

void attach_republish(struct daemon *d)
{
	struct attachment *a, *tmp;
	struct vw_err err;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (!a->superseded && slot_publish(d, a, &err) < 0)
			vw_error("a pod's slot could not be published", "container_id=%s err=\"%s\"", a->container_id, err.msg);
}

void attach_reaped(unsigned int ifindex, void *daemon)
{
	struct daemon *d = daemon;

	/* a slot that an attachment still has (superseded, or its DEL was cut short by a restart) stays its own until its DEL */
	if (ifindex - VW_IFINDEX_BASE < NP_SLOTS && d->attach.slot[ifindex - VW_IFINDEX_BASE] == SLOT_DYING)
		d->attach.slot[ifindex - VW_IFINDEX_BASE] = SLOT_FREE;
}

/* --- putting a veth and its route away */

void attach_host_side(const struct attachment *a, struct hostnet_pod *ret)
{
	*ret = (struct hostnet_pod){
		.ifindex = attach_ifindex(a), .table = sgp_table(a), .mac = mac_of(0x56, a), .mtu = a->mtu,
	};
	if (a->adopted.ifindex) {
		ret->adopted = true;
		ret->mac = a->adopted.mac;
		ret->mtu = a->adopted.mtu;
	}
	if (a->addr.family)
		ret->addr[ret->n_addr++] = vw_cidr_host(&a->addr);
	if (a->addr6.family)
		ret->addr[ret->n_addr++] = vw_cidr_host(&a->addr6);
	(void)VW_COPY(ret->ifname, a->host_ifname);
}

void attach_owner(const struct attachment *a, char ret[ATTACH_OWNER_MAX])
{
	(void)snprintf(ret, ATTACH_OWNER_MAX, "%.230s/%s", a->container_id, a->ifname);
}

static int unwire(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	struct hostnet_pod pod;
	struct vw_err again;
	int r;

	attach_host_side(a, &pod);
	attach_slot_clear(d, a->slot);     /* from here on nothing that the pod sends gets through */
	if (a->adopted.ifindex && np_disown(d->np, a->adopted.ifindex, err) < 0)
		return -err->eno;
	r = hostnet_pod_forget(d->hostnet, &pod, err);
	if (r < 0) {
		(void)slot_open(d, a, &again);
		return r;
	}
	if (a->branch.vlan && sgp_down(d, a, err) < 0)
		return -err->eno;
	daemon_links_dying(d);          /* its addresses' connections wait even where the link is gone */
	return 0;
}

int attach_table_add(struct daemon *d, struct attachment *a, struct vw_err *err)
{
	HASH_ADD_KEYPTR(hh, d->attach.by_key, a->key_text, strlen(a->key_text), a);
	if (!a->hh.tbl)
		return vw_err_set(err, ENOMEM, 0, "no memory for an attachment");
	d->attach.n++;
	return 0;
}

void attach_table_del(struct daemon *d, struct attachment *a)
{
	HASH_DEL(d->attach.by_key, a);
	d->attach.n--;
}

static void forget(struct daemon *d, struct attachment *a)
{
	bool dying = hostnet_is_dying(d->hostnet, NULL, VW_IFINDEX_BASE + a->slot);

	d->attach.slot[a->slot] = dying ? SLOT_DYING : SLOT_FREE;
	attach_table_del(d, a);
	policy_dismiss(d, a);
	free(a);
}

static int supersede(struct daemon *d, struct attachment *old, struct vw_err *err)
{
	int r;

	vw_info("a new sandbox of a pod takes the place of one that was not deleted", "container_id=%s ifname=%s",
		old->container_id, old->host_ifname);
	r = unwire(d, old, err);
	if (r == 0)
		old->superseded = true;
	return r;
}

static int still_dying(struct daemon *d, const char *ifname, struct vw_err *err)
{
	daemon_links_awaited(d);
	return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "the former interface %s of this pod is still being deleted", ifname);
}

/* 0: the name is free; -EBUSY: it will be after the next reap */
static int name_claim(struct daemon *d, const char *ifname, struct vw_err *err)
{
	struct attachment *a, *tmp;
	int r;

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		if (a->superseded || strcmp(a->host_ifname, ifname))
			continue;
		r = supersede(d, a, err);
		if (r < 0)
			return r;
	}
	return hostnet_is_dying(d->hostnet, ifname, 0) ? still_dying(d, ifname, err) : 0;
}

/* --- ADD */

static void fill_wiring(struct daemon *d, const struct attachment *a, bool existing, struct vw_rpc_wiring *w)
{
	const struct eni *e = eni_of(d, a);

	*w = (struct vw_rpc_wiring){
		.existing = existing,
		.mtu = a->adopted.ifindex ? a->adopted.mtu : d->cfg->pod_mtu,
		.host_ifindex = attach_ifindex(a),
		.adopted = a->adopted.ifindex != 0,
		.host_mac = a->adopted.ifindex ? a->adopted.mac : mac_of(0x56, a),
		.pod_mac = mac_of(0x57, a),
		.slot = a->slot,
		.pods_table = sgp_table(a),
		.apart = a->branch.strict,
		.attach = d->cfg->attach,
	};
	if (a->addr.family) {
		w->egress[w->n_addr] = egress_is(&a->addr);
		w->addr[w->n_addr] = vw_cidr_host(&a->addr);
		w->gateway[w->n_addr++] = gateway4;
	}
	if (a->addr6.family) {
		w->egress[w->n_addr] = egress_is(&a->addr6);
		w->addr[w->n_addr] = vw_cidr_host(&a->addr6);
		w->gateway[w->n_addr++] = gateway6;
	}
	(void)VW_COPY(w->host_ifname, a->host_ifname);
	if (a->branch.vlan)
		(void)VW_COPY(w->eni_id, a->branch.eni_id);
	if (e) {
		(void)VW_COPY(w->eni_id, e->row.id);
		(void)VW_COPY(w->eni_ifname, e->ifname);
	}
	(void)!vw_fmt(w->pin_from_pod, sizeof(w->pin_from_pod), "%s", np_from_pod_path(d->np));
	(void)!vw_fmt(w->pin_to_pod, sizeof(w->pin_to_pod), "%s", np_to_pod_path(d->np));
}

static int row_of(const struct vw_rpc_req *req, const struct lease *lease, int slot, const char *ifname,
		  struct store_attachment *row, struct vw_err *err)
{
	*row = (struct store_attachment){ .key = req->key, .addr = lease->ip4, .addr6 = lease->ip6,
					  .slot = (unsigned int)slot, .created_ms = vw_mono_ms() };
	if (vw_fmt(row->network, sizeof(row->network), "%s", req->network) < 0 ||
	    vw_fmt(row->netns, sizeof(row->netns), "%s", req->netns) < 0 ||
	    vw_fmt(row->pod_namespace, sizeof(row->pod_namespace), "%s", req->pod_namespace) < 0 ||
	    vw_fmt(row->pod_name, sizeof(row->pod_name), "%s", req->pod_name) < 0 ||
	    vw_fmt(row->pod_uid, sizeof(row->pod_uid), "%s", req->pod_uid) < 0 ||
	    vw_fmt(row->host_ifname, sizeof(row->host_ifname), "%s", ifname) < 0 ||
	    vw_fmt(row->eni_id, sizeof(row->eni_id), "%s", lease->eni_id) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_DAEMON, "a name in the request is too long");
	return 0;
}

/* like any address, not before its former pod's connections are forgotten */
static int give_egress(struct daemon *d, struct store_attachment *row, struct vw_err *err)
{
	egress_add(d, row);
	if ((egress_is(&row->addr) && stale_address(d, &row->addr)) || (egress_is(&row->addr6) && stale_address(d, &row->addr6)))
		return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "connections of the address's former pod are still being forgotten");
	return 0;
}

/* the pod's branch ENI's, else the pool's */
static int take_addresses(struct daemon *d, const struct vw_rpc_req *req, const char *key, const struct store_branch *branch,
			  struct lease *ret, struct vw_err *err)
{
	char ip[VW_IP_STRLEN];

	if (!branch->vlan)
		return lease_take(d, req, key, ret, err);
	for (unsigned int i = 0; i < req->n_want && !req->want_optional; i++)
		if (!vw_ip_eq(&req->want[i], &branch->ip4) && !vw_ip_eq(&req->want[i], &branch->ip6))
			return vw_err_set(err, EADDRNOTAVAIL, VW_CNI_INVALID_CONFIG, "address %s is not of the pod's branch ENI %s",
					  vw_ip_str(&req->want[i], ip), branch->eni_id);
	if (stale_address(d, &branch->ip4) || stale_address(d, &branch->ip6))
		return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "connections of the address's former pod are still being forgotten");
	*ret = (struct lease){ .ip4 = branch->ip4, .ip6 = branch->ip6, .eni_id = branch->eni_id };
	return 0;
}

/* Return: 0 and the attachment, which belongs to the table */
static int add_fresh(struct daemon *d, const struct vw_rpc_req *req, struct attachment **ret, struct vw_err *err)
{
	char ifname[IFNAMSIZ], key[VW_ID_MAX + IFNAMSIZ + 1];
	vw_auto_free struct attachment *a = NULL;
	struct store_attachment row;
	struct store_branch branch = { 0 };
	struct lease lease;
	struct vw_err ignored;
	uint64_t since_us;
	int slot, r = sgp_wanted(d, req, &branch, err);

	if (r >= 0)
		r = host_ifname(branch.strict ? "vlan" : d->cfg->veth_prefix, req, ifname, err);
	if (r == 0)
		r = name_claim(d, ifname, err);
	if (r < 0)
		return r;
	if (key_text(&req->key, key, sizeof(key)) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_DAEMON, "a name in the request is too long");
	r = take_addresses(d, req, key, &branch, &lease, err);
	if (r < 0)
		return r;
	slot = slot_take(&d->attach);
	if (slot < 0) {
		r = vw_err_set(err, hostnet_dying(d->hostnet) ? EBUSY : ENOSPC, VW_CNI_TRY_AGAIN,
			       "all %u pod slots of this node are in use", NP_SLOTS);
		goto undo_lease;
	}
	r = row_of(req, &lease, slot, ifname, &row, err);
	row.branch = branch;
	if (r == 0 && !branch.vlan)
		r = give_egress(d, &row, err);
	if (r < 0)
		goto undo_slot;
	a = attach_new(&row);
	r = a ? 0 : vw_err_set(err, ENOMEM, 0, "no memory for an attachment");
	if (r == 0 && branch.vlan)
		r = sgp_up(d, a, err);
	if (r < 0)
		goto undo_slot;
	r = slot_open(d, a, err);
	if (r == 0)
		r = attach_table_add(d, a, err);
	since_us = vw_mono_us();
	if (r == 0) {
		r = store_attach_put(d->store, &row, err);
		if (r < 0)
			attach_table_del(d, a);
	}
	if (r == 0) {
		metrics_took(d, METRIC_ADD_STORE, since_us);
		*ret = VW_TAKE_PTR(a);
		return 0;
	}
	attach_slot_clear(d, (unsigned int)slot);
	policy_dismiss(d, a);
	if (branch.vlan)
		(void)sgp_down(d, a, &ignored);
undo_slot:
	d->attach.slot[slot] = SLOT_FREE;
undo_lease:
	if (!branch.vlan)
		lease_end(d, key, &lease);
	return r;
}

static bool has_wanted(const struct attachment *a, const struct vw_rpc_req *req)
{
	for (unsigned int i = 0; i < req->n_want && !req->want_optional; i++)
		if (!vw_ip_eq(&req->want[i], &a->addr) && !vw_ip_eq(&req->want[i], &a->addr6))
			return false;
	return true;
}

int attach_add(struct daemon *d, const struct vw_rpc_req *req, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	struct attachment *a = by_key(d, &req->key);
	int r;

	if (a && a->superseded)
		return vw_err_set(err, EEXIST, VW_CNI_INTERFACE_EXISTS,
				  "container %s was replaced by a newer sandbox of its pod; delete it first", req->key.container_id);
	if (a && !has_wanted(a, req))
		return vw_err_set(err, EEXIST, VW_CNI_INTERFACE_EXISTS,
				  "container %s has interface %s already, with another address than the one asked for",
				  req->key.container_id, req->key.ifname);
	/* its answer was lost with the daemon, and another sandbox of the pod, gone since, has left a veth of its name */
	if (a && hostnet_is_dying(d->hostnet, a->host_ifname, 0))
		return still_dying(d, a->host_ifname, err);
	if (a) {
		fill_wiring(d, a, true, ret_w);
		return 0;
	}
	r = add_fresh(d, req, &a, err);
	if (r < 0)
		return r;
	a->mtu = req->mtu ? req->mtu : d->cfg->pod_mtu;
	a->hung = (req->own_attach ? req->attach : d->cfg->attach) == VW_ATTACH_TCX ? ATTACH_HUNG_TCX : ATTACH_HUNG_CLSACT;
	if (a->hung == ATTACH_HUNG_TCX)
		drift_look_too(d);
	fill_wiring(d, a, false, ret_w);
	return 0;
}

int attach_wiring(struct daemon *d, const struct vw_attach_key *key, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	const struct attachment *a = by_key(d, key);

	if (!a || a->superseded)
		return vw_err_set(err, ENOENT, VW_CNI_UNKNOWN_CONTAINER, "container %s has no interface %s from vpcwire on this node",
				  key->container_id, key->ifname);
	fill_wiring(d, a, true, ret_w);
	return 0;
}

/* --- DEL, GC */

/*
 * An ADD that undoes itself has hardly used its address. One whose slot has left the node cools all the same: nobody waits for
 * it, and if slot and daemon come back, the record is what says that its connections are to be forgotten first.
 */
static uint64_t cools_for(const struct daemon *d, const struct attachment *a, bool failed)
{
	struct ipam_addr known;

	if (failed && !(ipam_pool_by_key(d->pool, a->key_text, &known) && known.orphaned))
		return 0;
	return (uint64_t)d->cfg->ip_cooldown_s * 1000;
}

static int release(struct daemon *d, struct attachment *a, bool failed, struct vw_err *err)
{
	uint64_t now = vw_mono_ms(), cool = cools_for(d, a, failed);
	const struct store_attachment row = attach_row(a), booked = attach_booked(&row);
	int r = a->superseded ? 0 : unwire(d, a, err);

	if (r < 0)
		return r;
	r = store_attach_del(d->store, &booked, cool ? now + cool : 0, err);
	if (r < 0) {
		a->superseded = true;   /* its kernel side is gone; a repeated DEL only has to record that */
		return r;
	}
	if (!a->branch.vlan) {
		(void)ipam_pool_release(d->pool, a->key_text, now, cool, NULL);
		ipam_v6_release(d->v6, &booked.addr6);
		grow_demand(d, failed ? GROW_WITHDRAWN : GROW_LEFT);
	}
	forget(d, a);
	return 0;
}

int attach_del(struct daemon *d, const struct vw_attach_key *key, bool failed, struct vw_err *err)
{
	struct attachment *a = by_key(d, key);

	return a ? release(d, a, failed, err) : 0;
}

static bool listed(const struct vw_rpc_req *req, const struct attachment *a)
{
	for (size_t i = 0; i < req->n_valid; i++)
		if (!strcmp(req->valid[i].container_id, a->container_id) && !strcmp(req->valid[i].ifname, a->ifname))
			return true;
	return false;
}

/*
 * The peer lives in the pod's namespace: the veth is there as long as that namespace is, and up while it is in use. A kernel
 * that does not answer has not said that it is gone.
 */
static bool interface_alive(struct daemon *d, const struct attachment *a)
{
	struct vw_link link;
	struct vw_err err;
	int r = vw_link_get(&d->nl, attach_ifindex(a), &link, &err);

	return r < 0 ? r != -ENODEV : (link.flags & IFF_RUNNING) != 0;
}

int attach_gc(struct daemon *d, const struct vw_rpc_req *req, struct vw_err *err)
{
	vw_auto_buf struct vw_buf causes = VW_BUF_INIT;
	struct attachment *a, *tmp;
	unsigned int freed = 0, kept = 0;
	struct vw_err one, first = { 0 };

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		/* one that was adopted from the kernel does not know its network: any list that names it keeps it */
		if ((a->network[0] && strcmp(a->network, req->network)) || listed(req, a))
			continue;
		if (!a->superseded && interface_alive(d, a)) {
			vw_warn("the runtime does not list a container whose interface lives, keeping its address",
				"container_id=%s ifname=%s", a->container_id, a->host_ifname);
			kept++;
		} else if (release(d, a, false, &one) < 0) {
			/* go on, and tell all, as far as they fit into one message */
			if (causes.len < sizeof(one.msg))
				vw_buf_printf(&causes, "%s%s: %s", causes.len ? "; " : "", a->key_text, one.msg);
			if (!first.eno)
				first = one;
		} else {
			freed++;
		}
	}
	if (freed || kept)
		vw_info("garbage collected", "network=%s freed=%u kept=%u", req->network, freed, kept);
	return first.eno ? vw_err_set(err, first.eno, first.cni, "%s", vw_buf_str(&causes)) : 0;
}

void attach_table_done(struct daemon *d)
{
	struct attachment *a, *tmp;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		forget(d, a);
}
