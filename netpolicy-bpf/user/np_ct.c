// SPDX-License-Identifier: Apache-2.0
/*
 * Sweeping. Flows are read where they lie: who has a tag is copied, judged, and looked at again before it dies. Names are in hash
 * maps: they are copied out, and what has expired is deleted one by one.
 */
#include "netpolicy-bpf/user/np_ct.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_walk.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define REST_TICKS 2            /* more than 1 s; a program runs for microseconds */
#define NAME_REST_TICKS 300     /* how long an expired name stays without a flow: the next answer most likely brings it again */

const uint32_t np_ct_timeout_s[NP_CT_CLASSES][NP_CT_STATES] = {
	/*
	 * new, replied, established, closing, closed, denied (struct np_ct says why 5 minutes). TCP established: RFC 5382 asks for
	 * 2 h 4 min at least; EC2's own is 5 days.
	 */
	[NP_CT_TCP] = { 30, 60, 8 * 3600, 60, 10, 300 },
	[NP_CT_UDP] = { 30, 60, 180, 30, 30, 300 },
	[NP_CT_SCTP] = { 30, 60, 3600, 30, 10, 300 },
	[NP_CT_OTHER] = { 30, 30, 60, 30, 30, 300 },
};

static enum np_ct_class class_of(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return NP_CT_TCP;
	case IPPROTO_UDP:
		return NP_CT_UDP;
	case IPPROTO_SCTP:
		return NP_CT_SCTP;
	default:
		return NP_CT_OTHER;
	}
}

/** expired() - @ct, of @proto, as if it were in @state. */
static bool expired(uint8_t proto, const struct np_ct *ct, unsigned int state, uint32_t now)
{
	/* unsigned: a tick that the kernel wrote while we were reading the clock is "very old" unless told apart */
	int32_t age = (int32_t)(now - ct->last);
	uint64_t seconds = age > 0 ? ((uint64_t)age << NP_TICK_SHIFT) / 1000000000u : 0;

	return seconds > np_ct_timeout_s[class_of(proto)][state < NP_CT_STATES ? state : NP_CT_NEW];
}

/* --- one entry */

static struct np_flow flow_of(const struct np_ct_key *k, const struct np_ct *v)
{
	struct np_flow f = { .slot = NP_CT_ID_SLOT(k->id), .gen = NP_CT_ID_GEN(k->id), .proto = NP_CT_ID_PROTO(k->id),
			     .rport = ntohs(NP_CT_ID_RPORT(k->id)), .lport = ntohs(NP_CT_ID_LPORT(k->id)), .ct = *v,
			     .post = k->id & NP_CT_ID_POST };
	const bool ip6 = k->id & NP_CT_ID_IP6;

	f.remote.family = ip6 ? AF_INET6 : AF_INET;
	memcpy(f.remote.b, k->ip, ip6 ? 16 : 4);
	return f;
}

static struct np_ct_key key_of(const struct np_flow *f)
{
	const bool ip6 = f->remote.family == AF_INET6;
	struct np_ct_key k = { .id = NP_CT_ID(f->slot % NP_SLOTS, f->gen, f->proto, htons(f->rport), htons(f->lport),
					      (ip6 ? NP_CT_ID_IP6 : 0) | (f->post ? NP_CT_ID_POST : 0)) };

	memcpy(k.ip, f->remote.b, ip6 ? 16 : 4);
	return k;
}

static uint64_t hash_of(const struct np_ct_maps *m, const struct np_ct_key *k)
{
	return np_ct_hash(m->conf->ct_key, k, !!(k->id & NP_CT_ID_IP6));
}

static struct np_ct_entry *find(const struct np_ct_maps *m, const struct np_flow *f)
{
	const struct np_ct_key k = key_of(f);
	const uint64_t hash = hash_of(m, &k);

	return np_ct_search(&m->ct[np_ct_group_of(hash, m->groups)], &k, hash, f->remote.family == AF_INET6, NP_CT_STEPS);
}

/** entry_copy() - programs write to it at the same time: what does not change, then what may be a moment old. Return: it is live. */
static bool entry_copy(const struct np_ct_entry *e, struct np_ct_key *key, struct np_ct *ct)
{
	key->id = __atomic_load_n(&e->key.id, __ATOMIC_ACQUIRE);
	key->ip[0] = e->key.ip[0];
	key->ip[1] = e->key.ip[1];
	*ct = e->ct;
	ct->last = __atomic_load_n(&e->ct.last, __ATOMIC_RELAXED);
	return key->id & NP_CT_ID_LIVE;
}

/** entry_kill() - nobody finds it any more; its place is taken until nobody can hold it either. */
static void entry_kill(const struct np_ct_maps *m, struct np_ct_entry *e, uint32_t now)
{
	const uint64_t id = e->key.id;

	__atomic_store_n(&e->ct.start, now, __ATOMIC_RELAXED);
	__atomic_store_n(&e->key.id, (id & ~NP_CT_ID_LIVE) | NP_CT_ID_DEAD, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&m->rt[NP_CT_ID_SLOT(id)].ct_used, 1, __ATOMIC_RELAXED);
}

/** passed_by() - an entry that went from its first bucket to @last is gone. One that could not lie there is nonsense, and no matter. */
static void passed_by(struct np_ct_group *g, uint64_t hash, unsigned int last)
{
	unsigned int bucket = NP_CT_BUCKET(hash), n = 0;

	while (bucket != last && ++n < NP_CT_PROBES)
		bucket = NP_CT_NEXT(bucket, hash);
	if (bucket != last)
		return;
	for (bucket = NP_CT_BUCKET(hash); bucket != last; bucket = NP_CT_NEXT(bucket, hash))
		if (__atomic_load_n(&g->tags[bucket], __ATOMIC_RELAXED) >= NP_CT_PASSED_ONE)
			__atomic_fetch_sub(&g->tags[bucket], NP_CT_PASSED_ONE, __ATOMIC_RELAXED);
}

/** place_free() - of a dead entry. The tag goes last, for from then on the place may be another's. */
static void place_free(const struct np_ct_maps *m, struct np_ct_group *g, unsigned int place)
{
	const unsigned int bucket = place / NP_CT_WAYS, shift = 8 * (place % NP_CT_WAYS);
	struct np_ct_entry *e = &g->entry[place];
	struct np_ct_key key = e->key;

	key.id = (key.id & ~NP_CT_ID_DEAD) | NP_CT_ID_LIVE;
	passed_by(g, hash_of(m, &key), bucket);
	memset(e, 0, sizeof(*e));
	__atomic_fetch_and(&g->tags[bucket], ~(0xffull << shift), __ATOMIC_RELEASE);
}

bool np_ct_get(const struct np_ct_maps *m, struct np_flow *f)
{
	const struct np_ct_entry *e = find(m, f);
	struct np_ct_key key;

	return e && entry_copy(e, &key, &f->ct);
}

bool np_ct_forget(const struct np_ct_maps *m, const struct np_flow *f)
{
	struct np_ct_entry *e = find(m, f);
	size_t group = e ? (size_t)((char *)e - (char *)m->ct) / sizeof(*m->ct) : 0;

	if (!e)
		return false;
	entry_kill(m, e, 0);
	place_free(m, &m->ct[group], (unsigned int)(e - m->ct[group].entry));
	return true;
}

void np_ct_clear(const struct np_ct_maps *m)
{
	memset(m->ct, 0, m->groups * sizeof(*m->ct));
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		m->rt[s].ct_used = 0;
}

struct np_ct_maps np_ct_maps_of(const struct np *np)
{
	return (struct np_ct_maps){
		.ct = np_map_mem(np, NP_M_CT),
		.groups = np_map_max(np, NP_M_CT),
		.conf = np_map_mem(np, NP_M_CONF),
		.rt = np_map_mem(np, NP_M_RT),
		.slots = np_map_mem(np, NP_M_SLOTS),
		.fqdn4 = np_map_fd(np, NP_M_FQDN4),
		.fqdn6 = np_map_fd(np, NP_M_FQDN6),
	};
}

/* --- all entries */

/** each_place() - @fn for every place that has a tag. Return: the first that is not 0. */
static int each_place(const struct np_ct_maps *m, int (*fn)(void *arg, struct np_ct_group *g, unsigned int place), void *arg)
{
	for (unsigned int g = 0; g < m->groups; g++)
		for (unsigned int b = 0; b < NP_CT_BUCKETS; b++) {
			uint64_t tags = __atomic_load_n(&m->ct[g].tags[b], __ATOMIC_ACQUIRE) & ~(0xffull << 56);

			for (unsigned int way = 0; tags; way++, tags >>= 8) {
				int r = tags & 0xff ? fn(arg, &m->ct[g], b * NP_CT_WAYS + way) : 0;

				if (r)
					return r;
			}
		}
	return 0;
}

static unsigned int place_in(const struct np_ct_maps *m, const struct np_ct_group *g, unsigned int place)
{
	return (unsigned int)(g - m->ct) * NP_CT_GROUP_FLOWS + place;
}

struct each {
	const struct np_ct_maps *m;
	int (*fn)(void *arg, const struct np_flow *f);
	void *arg;
};

static int give(void *arg, struct np_ct_group *g, unsigned int place)
{
	const struct each *e = arg;
	struct np_ct_key key;
	struct np_flow f;
	struct np_ct ct;

	if (!entry_copy(&g->entry[place], &key, &ct))
		return 0;
	f = flow_of(&key, &ct);
	f.place = place_in(e->m, g, place);
	return e->fn(e->arg, &f);
}

int np_ct_each(const struct np_ct_maps *m, int (*fn)(void *arg, const struct np_flow *f), void *arg)
{
	struct each e = { m, fn, arg };

	return each_place(m, give, &e);
}

/* --- the sweep */

/** struct relied - an address that a live flow was let through to by its name. */
struct relied {
	struct vw_ip ip;
	UT_hash_handle hh;
};

struct sweep {
	const struct np_ct_maps *m;
	uint32_t now;
	void (*ended)(void *arg, const struct np_flow *f);
	void *arg;
	struct np_ct_stats *st;
	int fd;
	struct relied *relied;
};

static int rely(struct sweep *s, const struct vw_ip *ip)
{
	struct relied *r;

	HASH_FIND(hh, s->relied, ip, sizeof(*ip), r);
	if (r)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ip = *ip;
	HASH_ADD(hh, s->relied, ip, sizeof(r->ip), r);
	if (!r->hh.tbl) {
		free(r);
		return -ENOMEM;
	}
	return 0;
}

/** rest() - a place whose entry is dead. One that never lived is being filled just now. */
static int rest(struct sweep *s, struct np_ct_group *g, unsigned int place)
{
	const struct np_ct_entry *e = &g->entry[place];

	if (e->key.id & NP_CT_ID_DEAD && (int32_t)(s->now - e->ct.start) >= REST_TICKS)
		place_free(s->m, g, place);
	else
		s->st->resting++;
	return 0;
}

/** other_of() - the live entry that @e is linked to, if that is linked to @e, at @place; copied. Return: there is one. */
static bool other_of(const struct np_ct_maps *m, const struct np_ct_entry *e, uint32_t place, struct np_ct_entry *ret)
{
	const uint32_t link = __atomic_load_n(&e->ct.link, __ATOMIC_RELAXED), other = NP_CT_LINK_PLACE(link);

	if (!link || NP_CT_PLACE_GROUP(other) >= m->groups || NP_CT_PLACE_AT(other) >= NP_CT_GROUP_FLOWS)
		return false;
	return entry_copy(&m->ct[NP_CT_PLACE_GROUP(other)].entry[NP_CT_PLACE_AT(other)], &ret->key, &ret->ct) &&
	       ret->ct.link == NP_CT_LINK(place, 0);
}

/**
 * is_over() - @f, copied from @e. The two entries of a flow to a service hold each other: answers use the pod's alone, and must find the
 * other one, which says whether they may pass; and while that says no, the pod's is needed as long as any that was denied.
 */
static bool is_over(const struct sweep *s, const struct np_ct_entry *e, uint32_t place, const struct np_flow *f)
{
	struct np_ct_entry other;

	if (!expired(f->proto, &f->ct, f->ct.state, s->now))
		return false;
	if (!other_of(s->m, e, place, &other))
		return true;
	if (f->post)
		return !other.ct.last || expired(f->proto, &other.ct, other.ct.state, s->now);
	return other.ct.state != NP_CT_DENIED || expired(f->proto, &f->ct, NP_CT_DENIED, s->now);
}

static int consider(void *arg, struct np_ct_group *g, unsigned int place)
{
	struct np_ct_entry *e = &g->entry[place];
	struct sweep *s = arg;
	struct np_ct_key key;
	struct np_flow f;
	struct np_ct ct;
	bool orphan;

	if (!entry_copy(e, &key, &ct))
		return rest(s, g, place);
	f = flow_of(&key, &ct);
	f.place = place_in(s->m, g, place);
	*(f.remote.family == AF_INET ? &s->st->flows4 : &s->st->flows6) += 1;
	orphan = !(s->m->slots[f.slot].flags & NP_SLOT_USED) || s->m->slots[f.slot].gen != f.gen;
	if (!orphan && (!ct.last || !is_over(s, e, NP_CT_PLACE(g - s->m->ct, place), &f))) {    /* 0: being filled */
		s->st->flows[f.slot]++;
		return f.ct.flags & NP_CT_CHAIN ? rely(s, &f.remote) : 0;
	}
	/* a packet may have come since it was copied */
	if (!orphan && __atomic_load_n(&e->ct.last, __ATOMIC_RELAXED) != ct.last)
		return 0;
	entry_kill(s->m, e, s->now);
	*(orphan ? &s->st->orphaned : &s->st->expired) += 1;
	if (s->ended)
		s->ended(s->arg, &f);
	return 0;
}

/* --- names. What has expired lets no new flow through, but a flow that it let through is judged by it again */

static int sweep_name(struct sweep *s, const void *key, const struct vw_ip *ip, const struct np_fqdn *v)
{
	const struct relied *r;

	s->st->fqdn++;
	for (int i = 0; i < NP_FQDN_ENDS; i++)
		if (v->names[i] && (int32_t)(s->now - v->expires[i]) <= NAME_REST_TICKS)
			return 0;
	HASH_FIND(hh, s->relied, ip, sizeof(*ip), r);
	if (r)
		return 0;
	s->st->fqdn_expired++;
	return bpf_map_delete_elem(s->fd, key) < 0 && errno != ENOENT ? -errno : 0;
}

static int sweep_name4(void *arg, const void *key, const void *value)
{
	const struct np_fqdn4_key *k = key;
	struct vw_ip ip = { .family = AF_INET };

	memcpy(ip.b, &k->ip, sizeof(k->ip));
	return sweep_name(arg, key, &ip, value);
}

static int sweep_name6(void *arg, const void *key, const void *value)
{
	const struct np_fqdn6_key *k = key;
	struct vw_ip ip = { .family = AF_INET6 };

	memcpy(ip.b, k->ip, sizeof(k->ip));
	return sweep_name(arg, key, &ip, value);
}

int np_ct_sweep(const struct np_ct_maps *m, uint32_t now, void (*ended)(void *arg, const struct np_flow *f), void *arg,
		struct np_ct_stats *ret, struct vw_err *err)
{
	struct sweep s = { .m = m, .now = now, .ended = ended, .arg = arg, .st = ret };
	struct relied *rel, *tmp;
	int r;

	const struct np_walk names[] = {
		{ m->fqdn4, sizeof(struct np_fqdn4_key), sizeof(struct np_fqdn), sweep_name4, &s, false },
		{ m->fqdn6, sizeof(struct np_fqdn6_key), sizeof(struct np_fqdn), sweep_name6, &s, false },
	};

	memset(ret, 0, sizeof(*ret));
	r = each_place(m, consider, &s);
	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(names) && names[i].fd >= 0; i++) {
		s.fd = names[i].fd;
		r = np_walk(&names[i]);
	}
	HASH_ITER(hh, s.relied, rel, tmp) {
		HASH_DEL(s.relied, rel);
		free(rel);
	}
	return r < 0 ? vw_err_sys(err, r, 0, "sweeping the flow table") : 0;
}
