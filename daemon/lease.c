// SPDX-License-Identifier: Apache-2.0
/*
 * Which addresses an ADD gets. IPv4 first, since it says which ENI the pod is on; IPv6 from that ENI's /80. A runtime may want
 * certain ones (capability "ips"): they must be the node's and free, and nothing that the planner could do would help if not.
 */
#include "daemon/lease.h"

#include "daemon/daemon.h"
#include "daemon/stale.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct vw_ip *wanted(const struct vw_rpc_req *req, int family)
{
	for (unsigned int i = 0; i < req->n_want; i++)
		if (req->want[i].family == family)
			return &req->want[i];
	return NULL;
}

static int cannot_have(const struct vw_ip *ip, int eno, int cni, const char *why, struct vw_err *err)
{
	char text[VW_IP_STRLEN];

	return vw_err_set(err, eno, cni, "the address %s was asked for, but it %s", vw_ip_str(ip, text), why);
}

static int want4(struct daemon *d, const char *key, const struct vw_ip *ip, struct lease *l, struct vw_err *err)
{
	struct ipam_slot slot;
	struct ipam_addr a;
	int r;

	ipam_pool_advance(d->pool, vw_mono_ms());
	if (!ipam_pool_by_ip(d->pool, ip, &a) || a.orphaned || !a.eni || !a.eni->usable || a.eni->state != IPAM_ENI_READY)
		return cannot_have(ip, EADDRNOTAVAIL, VW_CNI_INVALID_CONFIG, "is none of those that this node has for pods", err);
	if (a.state == IPAM_ASSIGNED)
		return cannot_have(ip, EADDRINUSE, VW_CNI_TRY_AGAIN, "belongs to another pod", err);
	if (a.state == IPAM_COOLING)
		return cannot_have(ip, EADDRINUSE, VW_CNI_TRY_AGAIN, "was given up a moment ago and still rests", err);
	if (ipam_pool_slot(d->pool, &a.slot, &slot) && slot.retiring)
		return cannot_have(ip, EADDRINUSE, VW_CNI_TRY_AGAIN, "is being given back to the subnet", err);
	l->eni_id = a.eni->id;
	r = ipam_pool_restore(d->pool, key, ip);
	if (r < 0)
		return vw_err_sys(err, r, 0, "taking an address from the pool");
	l->ip4 = *ip;
	return 0;
}

#define MAX_BESIDE 8    /* interfaces of a container that are looked at: more network cards there are on no instance type */

/* The container's addresses by other interfaces. Its first one, which all but a few are, has none: nothing is searched for it. */
static size_t beside(const struct daemon *d, const struct vw_attach_key *key, struct vw_ip ret[MAX_BESIDE])
{
	const struct attachment *a;
	size_t n = 0;

	if (!strcmp(key->ifname, "eth0"))
		return 0;
	for (a = d->attach.by_key; a && n < MAX_BESIDE; a = a->hh.next) {
		if (a->addr.family && !strcmp(a->container_id, key->container_id))
			ret[n++] = a->addr;
	}
	return n;
}

static int take4(struct daemon *d, const struct vw_attach_key *who, const char *key, struct lease *l, struct vw_err *err)
{
	struct vw_ip others[MAX_BESIDE];
	struct ipam_addr a;
	size_t n = beside(d, who, others);
	int r = ipam_pool_assign_beside(d->pool, key, others, n, vw_mono_ms(), &a);

	if (r < 0)
		return r == -EAGAIN ? vw_err_set(err, EAGAIN, VW_CNI_TRY_AGAIN, "no free address in the pool") :
				      vw_err_sys(err, r, 0, "taking an address from the pool");
	l->ip4 = a.ip;
	l->eni_id = a.eni->id;
	return 0;
}

/* It rests for no cool-down: that is counted by numbers that come round (ipam/v6.h), and this one was asked for. */
static int want6(struct daemon *d, const struct vw_ip *ip, struct lease *l, struct vw_err *err)
{
	const char *eni_id = ipam_v6_eni(d->v6, ip);
	const struct vw_cidr *block = eni_id ? ipam_v6_block(d->v6, eni_id) : NULL;
	int r;

	if (!block || vw_ip_eq(&block->ip, ip))
		return cannot_have(ip, EADDRNOTAVAIL, VW_CNI_INVALID_CONFIG, "is none of those that this node has for pods", err);
	if (strcmp(eni_id, l->eni_id))
		return cannot_have(ip, EADDRNOTAVAIL, VW_CNI_INVALID_CONFIG,
				   "is on another network interface than the pod's IPv4 address: ask for both", err);
	r = ipam_v6_restore(d->v6, ip);
	if (r == -EEXIST)
		return cannot_have(ip, EADDRINUSE, VW_CNI_TRY_AGAIN, "belongs to another pod", err);
	if (r < 0)
		return vw_err_sys(err, r, 0, "taking an IPv6 address");
	l->ip6 = *ip;
	return 0;
}

static int take6(struct daemon *d, struct lease *l, struct vw_err *err)
{
	int r = ipam_v6_assign(d->v6, l->eni_id, &l->ip6);

	if (r == -EAGAIN)
		return vw_err_set(err, EAGAIN, VW_CNI_TRY_AGAIN, "this node's network interfaces have no IPv6 prefix yet");
	return r < 0 ? vw_err_sys(err, r, 0, "taking an IPv6 address") : 0;
}

void lease_end(struct daemon *d, const char *key, const struct lease *l)
{
	if (l->ip4.family)
		(void)ipam_pool_release(d->pool, key, vw_mono_ms(), 0, NULL);
	if (l->ip6.family)
		ipam_v6_release(d->v6, &l->ip6);
}

static int take(struct daemon *d, const struct vw_attach_key *who, const char *key, const struct vw_ip *ip4,
		const struct vw_ip *ip6, struct lease *ret, struct vw_err *err)
{
	const struct eni *e = d->cfg->enable_ipv4 ? NULL : eni_for_v6(d);
	struct lease l = { .eni_id = e ? e->row.id : "" };
	int r = 0;

	if (ip4 && !d->cfg->enable_ipv4)
		return cannot_have(ip4, EAFNOSUPPORT, VW_CNI_INVALID_CONFIG, "is of a family that this node's pods do not get", err);
	if (ip6 && !d->cfg->enable_ipv6)
		return cannot_have(ip6, EAFNOSUPPORT, VW_CNI_INVALID_CONFIG, "is of a family that this node's pods do not get", err);
	if (d->cfg->enable_ipv4)
		r = ip4 ? want4(d, key, ip4, &l, err) : take4(d, who, key, &l, err);
	if (r == 0 && l.ip4.family && stale_address(d, &l.ip4))
		r = vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN, "connections of the address's former pod are still being forgotten");
	if (r == 0 && d->cfg->enable_ipv6)
		r = ip6 ? want6(d, ip6, &l, err) : take6(d, &l, err);
	if (r < 0)
		lease_end(d, key, &l);
	else
		*ret = l;
	return r;
}

int lease_take(struct daemon *d, const struct vw_rpc_req *req, const char *key, struct lease *ret, struct vw_err *err)
{
	int r = take(d, &req->key, key, wanted(req, AF_INET), wanted(req, AF_INET6), ret, err);

	return r < 0 && r != -EAGAIN && r != -EBUSY && req->want_optional ? take(d, &req->key, key, NULL, NULL, ret, err) : r;
}
