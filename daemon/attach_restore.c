/*
 * Attachments after a start: rows of the store -> which of two sandboxes of a pod is the older -> cooling addresses -> veths of ours that the
 * store does not know, adopted if they have routes, else put away -> what was taken over from aws-node.
 */
#include "daemon/attach_priv.h"

#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/sgp.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <stdlib.h>
#include <string.h>

static int restore_addrs(struct daemon *d, const char *key, const struct store_attachment *row)
{
	int r = row->addr.family ? ipam_pool_restore(d->pool, key, &row->addr) : 0;

	if (r < 0 || !row->addr6.family)
		return r < 0 ? r : 0;
	r = ipam_v6_restore(d->v6, &row->addr6);
	if (r < 0 && row->addr.family)
		(void)ipam_pool_release(d->pool, key, vw_mono_ms(), 0, NULL);
	return r;
}

static int take_row(struct daemon *d, const struct store_attachment *row)
{
	vw_auto_free struct attachment *a = attach_new(row);
	const struct store_attachment booked = attach_booked(row);
	struct vw_err ignored;
	int r;

	if (!a)
		return -ENOMEM;
	if (row->slot >= NP_SLOTS || d->attach.slot[row->slot] != SLOT_FREE)
		return -EBADMSG;
	r = attach_table_add(d, a, &ignored);
	if (r < 0)
		return r;
	r = restore_addrs(d, a->key_text, &booked);
	if (r < 0) {
		attach_table_del(d, a);
		return r;
	}
	d->attach.slot[row->slot] = SLOT_USED;
	(void)VW_TAKE_PTR(a);
	return 0;
}

struct rows {
	struct daemon *d;
	struct vw_err *err;
};

static int restore_row(const struct store_attachment *row, void *arg)
{
	struct rows *rows = arg;
	char ip[VW_IP_STRLEN];
	int r = take_row(rows->d, row);

	/* whose address would be free, and its pod runs */
	if (r == -ENOMEM)
		return vw_err_set(rows->err, ENOMEM, 0, "no memory for a recorded attachment");
	if (r < 0)
		vw_error("a recorded attachment contradicts another, ignoring it", "container_id=%s addr=%s",
			 row->key.container_id, vw_ip_str(row->addr.family ? &row->addr : &row->addr6, ip));
	return 0;
}

static int restore_cooling(const struct vw_ip *ip, uint64_t until_ms, void *arg)
{
	struct daemon *d = arg;

	if (ip->family == AF_INET6)
		ipam_v6_restore_cooling(d->v6, ip);
	else
		(void)ipam_pool_restore_cooling(d->pool, ip, until_ms);
	return 0;
}

/* "<container id>/<ifname>", as the plugin writes it into the alias */
static int key_of_owner(const char *owner, struct vw_attach_key *ret)
{
	const char *slash = strrchr(owner, '/');
	size_t n = slash ? (size_t)(slash - owner) : 0;

	if (!n || n >= sizeof(ret->container_id))
		return -EINVAL;
	*ret = (struct vw_attach_key){ 0 };
	memcpy(ret->container_id, owner, n);
	return vw_fmt(ret->ifname, sizeof(ret->ifname), "%s", slash + 1) > 0 ? 0 : -EINVAL;
}

/* a veth of ours that the store does not know, with its route: the store was lost, the pod was not */
static bool adopt(struct daemon *d, const struct hostnet_scan *scan, const struct hostnet_found *f)
{
	struct store_attachment row = { .slot = f->pod.ifindex - VW_IFINDEX_BASE, .created_ms = vw_mono_ms() };
	struct vw_err err;
	char ip[VW_IP_STRLEN];
	int r;

	if (f->pod.ifindex < VW_IFINDEX_BASE || f->dying || key_of_owner(f->owner, &row.key) < 0)
		return false;
	r = sgp_recall(d, scan, f, &row, &err);
	if (r < 0)
		vw_error("a pod's branch ENI could not be found again: its interfaces are removed, and its runtime must start it anew",
			 "container_id=%s err=\"%s\"", row.key.container_id, err.msg);
	if (r < 0 || (r == 0 && !f->pod.n_addr))
		return false;
	for (unsigned int i = 0; r == 0 && i < f->pod.n_addr; i++)
		*(f->pod.addr[i].ip.family == AF_INET ? &row.addr : &row.addr6) = f->pod.addr[i].ip;
	(void)VW_COPY(row.host_ifname, f->pod.ifname);
	r = take_row(d, &row);
	if (r == -ENOMEM) {
		vw_error("no memory to adopt a pod, retrying at the next start", "container_id=%s", row.key.container_id);
		return true;
	}
	if (r < 0)
		return false;
	if (store_attach_put(d->store, &row, &err) < 0)
		vw_warn("an adopted pod could not be recorded, retrying at the next start", "err=\"%s\"", err.msg);
	vw_warn("a pod that the store did not know was adopted from the kernel", "container_id=%s addr=%s",
		row.key.container_id, vw_ip_str(row.addr.family ? &row.addr : &row.addr6, ip));
	return true;
}

static void restore_veth(struct daemon *d, const struct hostnet_scan *scan, const struct hostnet_found *f)
{
	unsigned int slot = f->pod.ifindex - VW_IFINDEX_BASE;
	struct vw_err err;

	if (slot >= NP_SLOTS || (!f->dying && d->attach.slot[slot] == SLOT_USED) || adopt(d, scan, f))
		return;
	if (!f->dying) {
		vw_info("a veth that no pod owns is removed", "ifname=%s", f->pod.ifname);
		if (hostnet_pod_forget(d->hostnet, &f->pod, &err) < 0) {
			vw_warn("it could not be put down, retrying at the next start", "ifname=%s err=\"%s\"", f->pod.ifname, err.msg);
			return;
		}
	}
	if (d->attach.slot[slot] == SLOT_FREE)
		d->attach.slot[slot] = SLOT_DYING;
	daemon_links_dying(d);
}

static int by_name_and_age(const void *va, const void *vb)
{
	const struct attachment *a = *(struct attachment *const *)va, *b = *(struct attachment *const *)vb;
	int r = strcmp(a->host_ifname, b->host_ifname);

	return r ? r : (a->created_ms > b->created_ms) - (a->created_ms < b->created_ms);
}

/* of two sandboxes of one pod the older one has lost its veth's name: nothing in the store says so but its age */
static int restore_superseded(struct daemon *d, struct vw_err *err)
{
	vw_auto_free struct attachment **all = calloc(d->attach.n + 1, sizeof(struct attachment *));
	struct attachment *a, *tmp;
	size_t n = 0;

	if (!all)
		return vw_err_set(err, ENOMEM, 0, "no memory to restore %u attachments", d->attach.n);
	HASH_ITER(hh, d->attach.by_key, a, tmp)
		all[n++] = a;
	qsort(all, n, sizeof(struct attachment *), by_name_and_age);
	for (size_t i = 0; i + 1 < n; i++)
		if (!strcmp(all[i]->host_ifname, all[i + 1]->host_ifname) && all[i]->created_ms < all[i + 1]->created_ms)
			all[i]->superseded = true;
	return 0;
}

static bool is_adopted(unsigned int ifindex, unsigned int slot, void *daemon)
{
	const struct attachment *a = attach_by_ifindex(daemon, ifindex);

	return a && a->slot == slot;
}

/* what aws-node made has no route in our table yet when it is seen for the first time; its programs hang by programs_renew() */
static int restore_adopted(struct daemon *d, struct vw_err *err)
{
	struct attachment *a, *tmp;
	struct hostnet_pod pod;
	struct vw_err one;

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		if (!a->adopted.ifindex || a->superseded)
			continue;
		attach_host_side(a, &pod);
		if (np_adopt(d->np, a->adopted.ifindex, a->slot, &one) < 0 || hostnet_pod_route(d->hostnet, &pod, &one) < 0)
			vw_error("a pod that was taken over could not be wired", "container_id=%s err=\"%s\"", a->container_id, one.msg);
	}
	return np_adopted_end(d->np, is_adopted, d, err);
}

int attach_restore(struct daemon *d, const struct hostnet_scan *scan, struct vw_err *err)
{
	struct rows rows = { d, err };
	struct vw_err ignored;
	int r = store_attach_each(d->store, restore_row, &rows, err);

	if (r == 0)
		r = restore_superseded(d, err);
	if (r == 0)
		r = store_cooling_each(d->store, vw_mono_ms(), restore_cooling, d, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < scan->n_pods; i++)
		restore_veth(d, scan, &scan->pods[i]);
	for (size_t i = 0; i < scan->n_orphans; i++)
		if (hostnet_orphan_del(d->hostnet, &scan->orphans[i], &ignored) < 0)
			vw_warn("a route that no pod owns could not be removed, ignoring", "err=\"%s\"", ignored.msg);
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (d->attach.slot[s] != SLOT_USED)
			attach_slot_clear(d, s);
	attach_republish(d);
	return restore_adopted(d, err);
}
