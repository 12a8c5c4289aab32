/* aws-node's warm-pool arithmetic, with the deviations D1 to D7 that targets.h names. */
#include "ipam/targets.h"

#include "ipam/pool.h"

#include <limits.h>

static long max_l(long a, long b)
{
	return a > b ? a : b;
}

static long min_l(long a, long b)
{
	return a < b ? a : b;
}

static long ceil_prefixes(long addrs)
{
	return addrs <= 0 ? 0 : (addrs + IPAM_PREFIX4_ADDRS - 1) / IPAM_PREFIX4_ADDRS;
}

/* A target of 0 still means: not none at all. */
static long short_of(long target, long avail)
{
	return max_l(target, 1) - avail;
}

static long over_prefixes(const struct ipam_targets *t, const struct ipam_figures *f, bool by_addr)
{
	long all = f->prefixes, over = f->free_prefixes;

	if (by_addr) {
		over = min_l(over, all - ceil_prefixes((long)f->assigned + f->cooling + t->warm_ip));
		return max_l(min_l(over, all - ceil_prefixes(t->minimum_ip)), 0);
	}
	over -= t->warm_prefix;
	if (!t->warm_prefix)
		over = min_l(over, ((long)f->available - 1) / IPAM_PREFIX4_ADDRS);
	return max_l(over, 0);
}

static void need_over(const struct ipam_targets *t, const struct ipam_figures *f, bool by_addr,
		      struct ipam_need *n)
{
	long avail = f->available, total = f->total, per_eni = f->slots_per_eni;

	if (f->waiting || f->coming)
		return;
	if (t->adaptive && avail <= t->warm.keep)
		return;
	if (t->adaptive && t->mode == IPAM_MODE_PREFIXES)
		n->over_prefixes = (unsigned int)min_l(f->free_prefixes, (avail - t->warm.fill) / IPAM_PREFIX4_ADDRS);
	else if (t->adaptive)
		n->over_addrs = (unsigned int)(avail - t->warm.fill);
	else if (t->mode == IPAM_MODE_PREFIXES)
		n->over_prefixes = (unsigned int)over_prefixes(t, f, by_addr);
	else if (by_addr)
		n->over_addrs = (unsigned int)max_l(min_l(avail - t->warm_ip, total - t->minimum_ip), 0);
	else
		n->over_enis = avail >= (t->warm_eni + 1L) * per_eni && (t->warm_eni || avail > per_eni);
}

struct ipam_need ipam_need(const struct ipam_targets *t, const struct ipam_figures *f)
{
	bool by_addr = !t->adaptive && (t->warm_ip || t->minimum_ip);
	long have = (long)f->available + f->coming, total = (long)f->total + f->coming;
	long avail = have - f->waiting;
	long want, demand = max_l(-avail, 0), room = LONG_MAX, room_demand = LONG_MAX, got;
	struct ipam_need n = { 0 };

	if (t->adaptive)
		want = avail < t->warm.low ? (t->mode == IPAM_MODE_PREFIXES ? t->warm.low : t->warm.fill) - avail : 0;
	else if (by_addr)
		want = max_l(t->warm_ip - avail, t->minimum_ip - total);
	else if (t->mode == IPAM_MODE_PREFIXES)
		want = short_of((long)t->warm_prefix * IPAM_PREFIX4_ADDRS, avail);
	else
		want = short_of((long)t->warm_eni * f->slots_per_eni, avail);
	want = max_l(want, demand);
	if (f->max_pods) {
		/* for targets a cooling address is one that the node has; for a pod that waits it is none */
		room = max_l((long)f->max_pods - total, 0);
		room_demand = max_l((long)f->max_pods - f->assigned - have, 0);
	}
	n.whole_enis = !by_addr && !t->adaptive && t->mode == IPAM_MODE_ADDRS;
	n.refused = (unsigned int)(demand - min_l(demand, room_demand));
	n.demand = (unsigned int)min_l(demand, room_demand);
	got = max_l(min_l(want, room), n.demand);
	n.capped = got < want;
	n.short_addrs = (unsigned int)got;
	n.short_prefixes = t->mode == IPAM_MODE_PREFIXES ? (unsigned int)ceil_prefixes(got) : 0;
	n.room = room == LONG_MAX ? UINT_MAX : (unsigned int)max_l(room, n.demand);
	if (!n.short_addrs)
		need_over(t, f, by_addr, &n);
	return n;
}
