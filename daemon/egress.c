// SPDX-License-Identifier: Apache-2.0
/* Slot numbers as addresses. */
#include "daemon/egress.h"

#include "daemon/daemon.h"
#include "daemon/hostnet.h"

#include <sys/socket.h>

_Static_assert(NP_SLOTS <= 4096, "HOSTNET_EGRESS4 and HOSTNET_EGRESS6 have 12 bits for the slot");

static const struct eni *primary(const struct daemon *d)
{
	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].row.primary)
			return &d->enis.v[i];
	return NULL;
}

bool egress_wanted(const struct daemon *d, int family)
{
	const struct eni *e = primary(d);

	if (family == AF_INET)
		return d->cfg->v4_egress && !d->cfg->enable_ipv4;
	/* IPv4 every node has; without an IPv6 address there is no way out */
	return d->cfg->v6_egress && !d->cfg->enable_ipv6 && e && e->row.ip6.family;
}

bool egress_used(const struct daemon *d, int family)
{
	struct attachment *a, *tmp;

	if (egress_wanted(d, family))
		return true;
	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (egress_is(family == AF_INET ? &a->addr : &a->addr6))
			return true;
	return false;
}

struct vw_cidr egress_range(int family)
{
	struct vw_cidr c = { 0 };

	(void)vw_cidr_parse(family == AF_INET ? HOSTNET_EGRESS4 : HOSTNET_EGRESS6, &c);
	return c;
}

struct vw_ip egress_addr(int family, unsigned int slot)
{
	const struct vw_cidr range = egress_range(family);

	return vw_ip_add(&range.ip, slot);
}

bool egress_is(const struct vw_ip *ip)
{
	const struct vw_cidr range = egress_range(ip->family);

	return ip->family && vw_cidr_has(&range, ip);
}

void egress_add(const struct daemon *d, struct store_attachment *row)
{
	if (!row->addr.family && egress_wanted(d, AF_INET))
		row->addr = egress_addr(AF_INET, row->slot);
	if (!row->addr6.family && egress_wanted(d, AF_INET6))
		row->addr6 = egress_addr(AF_INET6, row->slot);
}

struct store_attachment egress_less(const struct store_attachment *row)
{
	struct store_attachment r = *row;

	if (egress_is(&r.addr))
		r.addr = (struct vw_ip){ 0 };
	if (egress_is(&r.addr6))
		r.addr6 = (struct vw_ip){ 0 };
	return r;
}
