/*
 * Links of ENIs, as the kernel tells of them.
 *
 *           link gone                        EC2 and one more witness: detached
 *   wired ------------> lost (attaching) ---------------------------------------> forgotten; with pods: gone, until the last
 *     ^ <-----------------'   link back                                           of them has left
 *
 * Lost addresses count as coming for a minute, so that a driver that is reset does not make another ENI be created. An
 * ENI that we remove ourselves is expected to lose its link.
 */
#include "daemon/eni_watch.h"

#include "daemon/daemon.h"
#include "daemon/discover.h"
#include "daemon/eni.h"
#include "ipam/pool.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/view/view.h"

#include <string.h>

static struct eni *by_ifindex(struct daemon *d, unsigned int ifindex)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].ifindex == ifindex)
			return &d->enis.v[i];
	return NULL;
}

static struct eni *by_mac(struct daemon *d, const struct vw_mac *mac)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (vw_mac_eq(&d->enis.v[i].row.mac, mac))
			return &d->enis.v[i];
	return NULL;
}

static void lost(struct daemon *d, struct eni *e)
{
	const struct ipam_eni *p = ipam_pool_eni(d->pool, e->row.id);
	bool expected = p && p->state == IPAM_ENI_REMOVING;
	struct vw_err err;

	if (!expected)
		vw_warn("the link of an ENI is gone: its free addresses are kept back, asking EC2", "eni=%s ifname=%s pods=%u",
			e->row.id, e->ifname, p ? p->n.assigned : 0);
	if (eni_relink(d, e, NULL, &err) < 0)
		vw_warn("the pool could not be told of a change", "eni=%s err=\"%s\"", e->row.id, err.msg);
	if (!expected)
		discover_start(d);
	daemon_pool_changed(d);
}

static void seen(struct daemon *d, struct eni *e, const struct vw_link *l)
{
	struct eni_link link = { .mac = l->mac, .ifindex = l->ifindex };
	bool renamed = strcmp(e->ifname, l->name) != 0, back = e->lost_ms != 0;
	struct vw_err err;

	if (e->wired && e->ifindex == l->ifindex && !renamed)
		return;
	memcpy(link.ifname, l->name, sizeof(link.ifname));
	if (eni_relink(d, e, &link, &err) < 0) {
		vw_warn("the link of an ENI could not be set up, retrying", "eni=%s err=\"%s\"", e->row.id, err.msg);
		discover_start(d);
		return;
	}
	vw_info("an ENI has its link", "eni=%s ifname=%s", e->row.id, e->ifname);
	if (renamed && e->row.primary && daemon_nat_apply(d, &err) < 0)
		vw_error("NAT could not be set up for the new name of the primary ENI's link", "err=\"%s\"", err.msg);
	/* it may be another attachment, with other addresses */
	if (back)
		discover_start(d);
	daemon_pool_changed(d);
}

/* events were dropped: look at each link once */
static void look(struct daemon *d)
{
	struct vw_link l;
	struct vw_err err;

	for (size_t i = 0; i < d->enis.n; i++) {
		struct eni *e = &d->enis.v[i];
		int r = vw_link_wait_mac(-1, &e->row.mac, 0, &l, &err);

		if (r == 0)
			seen(d, e, &l);
		else if (r == -ETIMEDOUT && e->ifindex)
			lost(d, e);
	}
}

void eni_watch(struct daemon *d, const struct vw_event *ev)
{
	struct eni *e;

	if (ev->kind == VW_EVENT_LOST) {
		look(d);
	} else if (ev->gone) {
		e = by_ifindex(d, ev->link.ifindex);
		if (e)
			lost(d, e);
	} else if (vw_link_is_device(&ev->link)) {
		e = by_mac(d, &ev->link.mac);
		if (e)
			seen(d, e, &ev->link);
	}
}
