// SPDX-License-Identifier: Apache-2.0
/*
 * Slots and counters. Slots are written through the mapping while programs read them: a slot without flags is dropped, so
 * flags go first when something is taken away and last when something is given.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct np_slot *slot_at(const struct np *np, unsigned int slot)
{
	return &((struct np_slot *)np->map[NP_M_SLOTS].mem)[slot];
}

static int slot_in_range(unsigned int slot, struct vw_err *err)
{
	if (slot >= NP_SLOTS)
		return vw_err_set(err, ERANGE, 0, "pod slot %u: there are %d", slot, NP_SLOTS);
	return 0;
}

static int slot_of_pod(unsigned int slot, const struct np_pod_conf *pod, struct np_slot *s, struct vw_err *err)
{
	memset(s, 0, sizeof(*s));
	s->flags = NP_SLOT_USED;
	if (pod->ip4.family == AF_INET) {
		s->flags |= NP_SLOT_IP4;
		memcpy(&s->ip4, pod->ip4.b, sizeof(s->ip4));
	}
	if (pod->ip6.family == AF_INET6) {
		s->flags |= NP_SLOT_IP6;
		memcpy(s->ip6, pod->ip6.b, sizeof(s->ip6));
	}
	if (!(s->flags & (NP_SLOT_IP4 | NP_SLOT_IP6)) || pod->eni > NP_MARK_ENI_MASK)
		return vw_err_set(err, EINVAL, 0, "pod slot %u: needs an address and an ENI number up to %u", slot,
				  NP_MARK_ENI_MASK);
	s->eni = (__u8)pod->eni;
	return 0;
}

static bool same_pod(const struct np_slot *a, const struct np_slot *b)
{
	return a->flags == b->flags && a->ip4 == b->ip4 && memcmp(a->ip6, b->ip6, sizeof(a->ip6)) == 0 && a->eni == b->eni;
}

int np_slot_publish(struct np *np, unsigned int slot, const struct np_pod_conf *pod, struct vw_err *err)
{
	struct np_slot s, *live;
	int r = slot_in_range(slot, err);

	if (r == 0)
		r = slot_of_pod(slot, pod, &s, err);
	if (r < 0)
		return r;
	live = slot_at(np, slot);
	if (same_pod(live, &s))
		return 0;
	__atomic_store_n(&live->flags, 0, __ATOMIC_SEQ_CST);
	if (live->ip4 != s.ip4 || memcmp(live->ip6, s.ip6, sizeof(s.ip6)) != 0)
		live->gen++;
	live->ip4 = s.ip4;
	memcpy(live->ip6, s.ip6, sizeof(live->ip6));
	live->eni = s.eni;
	live->pad0 = 0;
	memset(live->pad, 0, sizeof(live->pad));
	__atomic_store_n(&live->flags, s.flags, __ATOMIC_RELEASE);
	return 0;
}

int np_slot_clear(struct np *np, unsigned int slot, struct vw_err *err)
{
	struct np_slot *live;
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	live = slot_at(np, slot);
	__atomic_store_n(&live->flags, 0, __ATOMIC_SEQ_CST);
	/* a packet that is past the flags reads it next: 0 would mean that policy is off */
	if (live->pub & NP_PUB_LINE_MASK)
		__atomic_store_n(&live->pub, (live->pub & ~NP_PUB_LINE_MASK) | NP_LINE_NONE, __ATOMIC_SEQ_CST);
	live->ip4 = 0;
	memset(live->ip6, 0, sizeof(live->ip6));
	live->eni = 0;
	live->pickup_until = 0;
	return 0;
}

int np_slot_get(struct np *np, unsigned int slot, struct np_pod_conf *ret_pod, struct vw_err *err)
{
	static const struct np_slot zero;
	const __u32 known = NP_SLOT_USED | NP_SLOT_IP4 | NP_SLOT_IP6;
	struct np_pod_conf pod = { 0 };
	struct np_slot s;
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	s = *slot_at(np, slot);
	if (s.flags == 0)
		return 0;
	if ((s.flags & ~known) || !(s.flags & NP_SLOT_USED) || !(s.flags & (NP_SLOT_IP4 | NP_SLOT_IP6)) ||
	    s.eni > NP_MARK_ENI_MASK || s.pad0 || memcmp(s.pad, zero.pad, sizeof(s.pad)) != 0)
		return vw_err_set(err, EBADMSG, 0, "pod slot %u holds what this version never writes", slot);
	if (s.flags & NP_SLOT_IP4) {
		pod.ip4.family = AF_INET;
		memcpy(pod.ip4.b, &s.ip4, sizeof(s.ip4));
	}
	if (s.flags & NP_SLOT_IP6) {
		pod.ip6.family = AF_INET6;
		memcpy(pod.ip6.b, s.ip6, sizeof(s.ip6));
	}
	pod.eni = s.eni;
	*ret_pod = pod;
	return 1;
}

uint32_t np_tick(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)(((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) >> NP_TICK_SHIFT);
}

int np_slot_pickup(struct np *np, unsigned int slot, unsigned int seconds, struct vw_err *err)
{
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	__atomic_store_n(&slot_at(np, slot)->pickup_until, seconds ? np_tick() + seconds : 0, __ATOMIC_RELAXED);
	return 0;
}

/* --- host veths of others */

int np_adopt(struct np *np, unsigned int ifindex, unsigned int slot, struct vw_err *err)
{
	uint32_t key = ifindex, value = slot;
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	r = vw_bpf_map_set(np_map_fd(np, NP_M_ADOPTED), &key, &value, false);
	return r < 0 ? vw_err_sys(err, r, 0, "telling the eBPF programs of interface %u", ifindex) : 0;
}

int np_disown(struct np *np, unsigned int ifindex, struct vw_err *err)
{
	uint32_t key = ifindex;
	int r = vw_bpf_map_del(np_map_fd(np, NP_M_ADOPTED), &key);

	return r < 0 && r != -ENOENT ? vw_err_sys(err, r, 0, "forgetting the adopted interface %u", ifindex) : 0;
}

int np_adopted_end(struct np *np, bool (*keep)(unsigned int ifindex, unsigned int slot, void *arg), void *arg, struct vw_err *err)
{
	int fd = np_map_fd(np, NP_M_ADOPTED), r = 0;
	uint32_t key, next, slot;
	bool more = vw_bpf_map_next(fd, NULL, &key) == 0;

	while (r == 0 && more) {
		more = vw_bpf_map_next(fd, &key, &next) == 0;
		if (vw_bpf_map_get(fd, &key, &slot) == 0 && !keep(key, slot, arg))
			r = vw_bpf_map_del(fd, &key);
		key = next;
	}
	return r < 0 && r != -ENOENT ? vw_err_sys(err, r, 0, "forgetting an adopted interface") : 0;
}

/* --- counters */

static int sum_counters(int fd, uint64_t *ret, unsigned int n, struct vw_err *err)
{
	int cpus = libbpf_num_possible_cpus();
	vw_auto_free __u64 *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;

	if (!values)
		return vw_err_set(err, cpus > 0 ? ENOMEM : -cpus, 0, "reading counters of the eBPF programs");
	for (__u32 i = 0; i < n; i++) {
		if (bpf_map_lookup_elem(fd, &i, values) < 0)
			return vw_err_sys(err, errno, 0, "reading counter %u of the eBPF programs", i);
		ret[i] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret[i] += values[cpu];
	}
	return 0;
}

int np_drops(struct np *np, uint64_t ret_drops[NP_DROP_MAX], struct vw_err *err)
{
	return sum_counters(np->map[NP_M_DROPS].fd, ret_drops, NP_DROP_MAX, err);
}

int np_stats(struct np *np, uint64_t ret_stats[NP_STAT_MAX], struct vw_err *err)
{
	return sum_counters(np->map[NP_M_STATS].fd, ret_stats, NP_STAT_MAX, err);
}

const char *np_drop_name(unsigned int reason)
{
	static const char *const names[NP_DROP_MAX] = {
		[NP_DROP_NO_SLOT] = "no_slot",
		[NP_DROP_TRUNCATED] = "truncated",
		[NP_DROP_MALFORMED] = "malformed",
		[NP_DROP_ETHERTYPE] = "ethertype",
		[NP_DROP_VLAN] = "vlan",
		[NP_DROP_SPOOF4] = "spoof_ip4",
		[NP_DROP_SPOOF6] = "spoof_ip6",
		[NP_DROP_SPOOF_ARP] = "spoof_arp",
		[NP_DROP_LOCAL6] = "local_ip6",
		[NP_DROP_INGRESS] = "policy_ingress",
		[NP_DROP_EGRESS] = "policy_egress",
		[NP_DROP_REVOKED] = "policy_revoked",
		[NP_DROP_STALE] = "policy_stale",
		[NP_DROP_FRAGMENT] = "fragment",
		[NP_DROP_L4] = "l4_header",
		[NP_DROP_HEADERS] = "ip6_headers",
		[NP_DROP_SOURCE_ROUTE] = "source_route",
		[NP_DROP_TAIL] = "no_program",
	};

	return reason < NP_DROP_MAX ? names[reason] : NULL;
}

const char *np_stat_name(unsigned int stat)
{
	static const char *const names[NP_STAT_MAX] = {
		[NP_STAT_CT_FULL] = "ct_full",
		[NP_STAT_CT_QUOTA] = "ct_quota",
		[NP_STAT_PICKUP] = "pickup",
		[NP_STAT_RELATED] = "related_icmp",
		[NP_STAT_REJUDGED] = "rejudged",
		[NP_STAT_REVOKED] = "revoked",
		[NP_STAT_AUDIT] = "audit",
		[NP_STAT_EVENT_LOST] = "event_lost",
		[NP_STAT_DNS_ANSWERS] = "dns_answers",
		[NP_STAT_DNS_TCP] = "dns_tcp",
		[NP_STAT_DNS_TRUNCATED] = "dns_truncated",
		[NP_STAT_DNS_TOO_LONG] = "dns_too_long",
		[NP_STAT_DNS_BROKEN] = "dns_broken",
		[NP_STAT_DNS_TOO_MANY] = "dns_too_many",
		[NP_STAT_DNS_FULL] = "dns_full",
	};

	return stat < NP_STAT_MAX ? names[stat] : NULL;
}

int np_rule_count(struct np *np, unsigned int id, struct np_count *ret)
{
	int cpus = libbpf_num_possible_cpus();
	vw_auto_free struct np_count *each = cpus > 0 ? calloc((size_t)cpus, sizeof(*each)) : NULL;

	if (!each)
		return cpus > 0 ? -ENOMEM : cpus;
	if (id >= NP_RULES)
		return -ERANGE;
	if (bpf_map_lookup_elem(np->map[NP_M_COUNTS].fd, &id, each) < 0)
		return -errno;
	*ret = (struct np_count){ 0 };
	for (int cpu = 0; cpu < cpus; cpu++) {
		ret->pkts += each[cpu].pkts;
		ret->bytes += each[cpu].bytes;
	}
	return 0;
}
