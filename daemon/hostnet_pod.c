// SPDX-License-Identifier: Apache-2.0
/*
 * The host side of pods that go, and what a restarted daemon finds.
 *
 * A tracked connection outlives its pod: a client of a node port that goes on sending would be translated to the address for as
 * long as it does, whoever has it then. So the entries of an address go before anybody else gets it. First the route goes (from
 * then on nothing to the address gets as far as being tracked, see hostnet_free.c) and the slot (nothing from it does), then the
 * entries, a round at a time; in between the address is stale.
 *
 * Deleting one veth waits ~16 ms for RCU, a whole group little more. So a DEL takes the routes away, moves the link into
 * the dying group; the reaper deletes the group. (It stays up: bringing it down waits for RCU as well, and with its slot
 * cleared and its routes gone it carries nothing.) A link is listed from then until it is surely gone: `dying`, then
 * `reaping` from the start of a round on. The kernel's group is the truth that survives a restart: hostnet_scan() reads it.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/ct.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/net/view/view.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

static bool listed(const struct hostnet_dying_list *l, const char *ifname, unsigned int ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if ((ifindex && l->items[i].ifindex == ifindex) || (ifname && strcmp(l->items[i].ifname, ifname) == 0))
			return true;
	return false;
}

static int list_add(struct hostnet_dying_list *l, const struct hostnet_dying *d)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct hostnet_dying *grown = reallocarray(l->items, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->items = grown;
		l->cap = cap;
	}
	l->items[l->n++] = *d;
	return 0;
}

static int dying_add(struct hostnet *hn, unsigned int ifindex, const char *ifname, struct vw_err *err)
{
	struct hostnet_dying d = { .ifindex = ifindex };

	if (listed(&hn->dying, NULL, ifindex) || listed(&hn->reaping, NULL, ifindex))
		return 0;
	(void)snprintf(d.ifname, sizeof(d.ifname), "%s", ifname);
	if (list_add(&hn->dying, &d) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory for the reaper's list");
	return 0;
}

static bool among(const struct hostnet_ips *l, const struct vw_ip *ip)
{
	for (size_t i = 0; i < l->n; i++)
		if (vw_ip_eq(&l->items[i], ip))
			return true;
	return false;
}

static int stale_add(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err)
{
	struct hostnet_ips *l = &hn->stale;

	for (unsigned int i = 0; i < pod->n_addr && i < 2; i++) {
		if (among(l, &pod->addr[i].ip))
			continue;
		if (l->n == l->cap) {
			size_t cap = l->cap ? l->cap * 2 : 32;
			struct vw_ip *grown = reallocarray(l->items, cap, sizeof(*grown));

			if (!grown)
				return vw_err_set(err, ENOMEM, 0, "out of memory for the reaper's list");
			l->items = grown;
			l->cap = cap;
		}
		l->items[l->n++] = pod->addr[i].ip;
	}
	return 0;
}

bool hostnet_is_stale(const struct hostnet *hn, const struct vw_ip *ip)
{
	return among(&hn->stale, ip) || among(&hn->purging, ip);
}

static void put_route_del(struct hostnet *hn, const struct hostnet_pod *pod)
{
	for (unsigned int i = 0; i < pod->n_addr && i < 2; i++) {
		(void)vw_route_del(&hn->batch, &(struct vw_route){
						       .dst = pod->addr[i],
						       .table = pod->table ? pod->table : HOSTNET_TABLE_PODS,
						       .protocol = VW_RTPROT,
						       .ifindex = pod->ifindex,
						       .dev = pod->ifname,
					       });
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	}
}

int hostnet_pod_forget(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err)
{
	struct vw_link_set set = {
		.ifindex = pod->ifindex,
		.name = pod->ifname,
		.what = VW_LINK_GROUP,
		.group = HOSTNET_GROUP_DYING,
	};
	bool there;
	int op, r;

	if (pod->ifindex < VW_IFINDEX_BASE && !pod->adopted)
		return vw_err_set(err, EINVAL, 0, "%s (index %u) is no pod's interface", pod->ifname, pod->ifindex);
	if (stale_add(hn, pod, err) < 0)
		return -err->eno;
	put_route_del(hn, pod);
	op = vw_link_set(&hn->batch, &set);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	r = vw_nl_commit(&hn->nl, &hn->batch, err);
	there = vw_nl_op_done(&hn->batch, op);
	vw_nl_batch_reset(&hn->batch);
	if (there) {
		int added = dying_add(hn, pod->ifindex, pod->ifname, err);

		if (added < 0)
			return added;
	}
	return r < 0 ? r : there;
}

int hostnet_link_forget(struct hostnet *hn, unsigned int ifindex, const char *ifname, struct vw_err *err)
{
	struct vw_link_set set = { .ifindex = ifindex, .name = ifname, .what = VW_LINK_GROUP, .group = HOSTNET_GROUP_DYING };

	(void)vw_link_set(&hn->batch, &set);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	return hostnet_commit(hn, err) < 0 ? -err->eno : dying_add(hn, ifindex, ifname, err);
}

size_t hostnet_dying(const struct hostnet *hn)
{
	return hn->dying.n + hn->reaping.n + hn->stale.n + hn->purging.n;
}

bool hostnet_is_dying(const struct hostnet *hn, const char *ifname, unsigned int ifindex)
{
	return listed(&hn->dying, ifname, ifindex) || listed(&hn->reaping, ifname, ifindex);
}

/* --- the reaper */

int hostnet_reap_begin(struct hostnet *hn)
{
	if (hn->running)
		return -EBUSY;
	/* Out of memory: the others are in the group and die with these, but are only reported by the round after. */
	while (hn->dying.n > 0 && list_add(&hn->reaping, &hn->dying.items[hn->dying.n - 1]) == 0)
		hn->dying.n--;
	free(hn->purging.items);
	hn->purging = hn->stale;
	hn->stale = (struct hostnet_ips){ 0 };
	hn->running = hn->reaping.n > 0 || hn->purging.n > 0;
	return (int)(hn->reaping.n + hn->purging.n);
}

static int reap(struct vw_nl *nl, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	(void)vw_link_del_group(&b, HOSTNET_GROUP_DYING);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(nl, &b, err);
}

int hostnet_purge(bool (*gone)(const struct vw_ip *ip, const void *arg), const void *arg, struct vw_err *err)
{
	return vw_ct_purge_if(gone, arg, err);
}

int hostnet_reap_work(const struct hostnet *hn, struct vw_err *ret_ct, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = 0;

	if (vw_ct_purge(hn->purging.items, hn->purging.n, ret_ct) >= 0)
		*ret_ct = (struct vw_err){ 0 };
	if (hn->reaping.n == 0)
		return 0;
	r = vw_nl_open(&nl, err);
	return r < 0 ? r : reap(&nl, err);
}

int hostnet_reap_end(struct hostnet *hn, int result, void (*reaped)(unsigned int ifindex, void *arg), void *arg)
{
	struct hostnet_dying_list gone = hn->reaping;

	hn->running = false;
	hn->purging.n = 0;
	if (result < 0)
		return 0;
	/* Off the list before anybody is told: @reaped may make a pod of the same name, or forget another. */
	hn->reaping = (struct hostnet_dying_list){ 0 };
	for (size_t i = 0; i < gone.n && reaped; i++)
		reaped(gone.items[i].ifindex, arg);
	free(gone.items);
	return (int)gone.n;
}

int hostnet_reap(struct hostnet *hn, void (*reaped)(unsigned int ifindex, void *arg), void *arg, struct vw_err *err)
{
	struct vw_err ct;
	int r = hostnet_reap_begin(hn);

	if (r == -EBUSY)
		return vw_err_set(err, EBUSY, 0, "a reaper is at work already");
	if (r == 0)
		return 0;
	r = hostnet_reap_work(hn, &ct, err);
	if (r < 0) {
		(void)hostnet_reap_end(hn, r, NULL, NULL);
		return r;
	}
	return hostnet_reap_end(hn, 0, reaped, arg);
}

/* --- what is there */

void hostnet_scan_done(struct hostnet_scan *scan)
{
	free(scan->pods);
	free(scan->devices);
	free(scan->orphans);
	*scan = (struct hostnet_scan){ 0 };
}

static void found_link(struct hostnet_found *f, const struct vw_link *l)
{
	*f = (struct hostnet_found){ .mac = l->mac, .up = l->flags & IFF_UP, .dying = l->group == HOSTNET_GROUP_DYING };
	f->pod.ifindex = l->ifindex;
	f->pod.adopted = l->ifindex < VW_IFINDEX_BASE;
	memcpy(f->pod.ifname, l->name, sizeof(f->pod.ifname));
	if (strncmp(l->alias, HOSTNET_ALIAS_PREFIX, strlen(HOSTNET_ALIAS_PREFIX)) == 0)
		(void)snprintf(f->owner, sizeof(f->owner), "%s", l->alias + strlen(HOSTNET_ALIAS_PREFIX));
}

/* made by a release that knew pods by their names, or taken out by somebody */
static void put_into_group(struct hostnet *hn, const struct vw_link *l)
{
	(void)vw_link_set(&hn->batch, &(struct vw_link_set){
					      .ifindex = l->ifindex, .name = l->name, .what = VW_LINK_GROUP, .group = VW_GROUP_PODS });
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
}

static int scan_links(struct hostnet *hn, struct vw_view *v, struct hostnet_scan *scan, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	int n = vw_view_links(v, &links, err);

	if (n < 0)
		return n;
	scan->pods = calloc((size_t)n + 1, sizeof(*scan->pods));
	if (!scan->pods)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (int i = 0; i < n; i++) {
		bool veth = strcmp(links[i].kind, "veth") == 0;
		bool adopted = veth && links[i].ifindex < VW_IFINDEX_BASE &&
			       strncmp(links[i].alias, HOSTNET_ALIAS_PREFIX, strlen(HOSTNET_ALIAS_PREFIX)) == 0;

		if (links[i].ifindex < VW_IFINDEX_BASE && !adopted) {
			if (veth || !links[i].kind[0])
				links[scan->n_devices++] = links[i];
			continue;
		}
		if (!veth)
			continue;
		found_link(&scan->pods[scan->n_pods], &links[i]);
		if (!links[i].group && scan->pods[scan->n_pods].owner[0])
			put_into_group(hn, &links[i]);
		if (scan->pods[scan->n_pods++].dying && dying_add(hn, links[i].ifindex, links[i].name, err) < 0)
			return -err->eno;
	}
	scan->devices = VW_TAKE_PTR(links);
	return hostnet_commit(hn, err);
}

static int by_ifindex(const void *a, const void *b)
{
	const struct hostnet_found *x = a, *y = b;

	return (x->pod.ifindex > y->pod.ifindex) - (x->pod.ifindex < y->pod.ifindex);
}

static int scan_routes(struct vw_view *v, struct hostnet_scan *scan, struct vw_err *err)
{
	vw_auto_free struct vw_route *routes = NULL;
	int n = vw_view_routes(v, 0, HOSTNET_TABLE_PODS, &routes, err);

	if (n < 0)
		return n;
	scan->orphans = calloc((size_t)n + 1, sizeof(*scan->orphans));
	if (!scan->orphans)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (int i = 0; i < n; i++) {
		struct hostnet_found key = { .pod.ifindex = routes[i].ifindex }, *f;

		if (routes[i].protocol != VW_RTPROT || routes[i].type != RTN_UNICAST)
			continue;
		f = bsearch(&key, scan->pods, scan->n_pods, sizeof(key), by_ifindex);
		if (f && f->pod.n_addr < 2) {
			f->pod.addr[f->pod.n_addr++] = routes[i].dst;
			continue;
		}
		scan->orphans[scan->n_orphans++] = (struct hostnet_pod){
			.ifindex = routes[i].ifindex, .addr = { routes[i].dst }, .n_addr = 1,
		};
	}
	return 0;
}

int hostnet_scan(struct hostnet *hn, struct hostnet_scan *ret_scan, struct vw_err *err)
{
	struct hostnet_scan scan = { 0 };
	struct vw_view *v;
	int r = vw_view_new(&v, err);

	if (r < 0)
		return r;
	r = scan_links(hn, v, &scan, err);
	if (r == 0) {
		qsort(scan.pods, scan.n_pods, sizeof(*scan.pods), by_ifindex);
		r = scan_routes(v, &scan, err);
	}
	vw_view_free(v);
	if (r < 0) {
		hostnet_scan_done(&scan);
		return r;
	}
	*ret_scan = scan;
	return 0;
}

int hostnet_orphan_del(struct hostnet *hn, const struct hostnet_pod *orphan, struct vw_err *err)
{
	put_route_del(hn, orphan);
	return hostnet_commit(hn, err);
}
