/* The pool as others see it: lookups, walks, figures. Nothing here changes it. */
#include "ipam/pool.h"

#include "ipam/pool_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct ipam_mslot *ipam_mslot_find(const struct ipam_pool *p, const struct vw_cidr *cidr)
{
	struct ipam_mslot *s;

	HASH_FIND(hh, p->slots, cidr, sizeof(*cidr), s);
	return s;
}

struct vw_cidr ipam_prefix_of(const struct vw_ip *ip)
{
	struct vw_cidr c = vw_cidr_of(ip, IPAM_PREFIX4_LEN);

	return vw_cidr_masked(&c);
}

struct vw_ip ipam_maddr_ip(const struct ipam_maddr *a)
{
	return vw_ip_add(&a->slot->cidr.ip, a->index);
}

struct ipam_holder *ipam_holder_find(const struct ipam_pool *p, const char *key)
{
	struct ipam_holder *h;

	HASH_FIND(hh, p->holders, key, strlen(key), h);
	return h;
}

struct ipam_meni *ipam_meni_find(const struct ipam_pool *p, const char *id)
{
	for (unsigned int i = 0; i < IPAM_MAX_ENIS; i++)
		if (p->enis[i] && !strcmp(p->enis[i]->pub.id, id))
			return p->enis[i];
	return NULL;
}

/*
 * The record of @ip: that of a live slot if there is one, else of a gone one. An address has a state other
 * than free in one slot only, and in the live one if there is one (slot_add adopts).
 */
struct ipam_maddr *ipam_maddr_find(const struct ipam_pool *p, const struct vw_ip *ip)
{
	struct vw_cidr host = vw_cidr_host(ip), prefix = ipam_prefix_of(ip);
	struct ipam_mslot *one = ipam_mslot_find(p, &host), *many = ipam_mslot_find(p, &prefix);

	if (one && (one->live || !many || !many->live))
		return &one->addrs[0];
	return many ? &many->addrs[vw_ip4_u32(ip) & (IPAM_PREFIX4_ADDRS - 1)] : NULL;
}

void ipam_maddr_snapshot(const struct ipam_maddr *a, struct ipam_addr *ret)
{
	*ret = (struct ipam_addr){
		.ip = ipam_maddr_ip(a),
		.slot = a->slot->cidr,
		.state = a->state,
		.key = a->holder ? a->holder->key : NULL,
		.until_ms = a->until_ms,
		.eni = a->slot->eni ? &a->slot->eni->pub : NULL,
		.orphaned = !a->slot->live,
	};
}

/* ---- time ---- */

uint64_t ipam_pool_now(const struct ipam_pool *p)
{
	return p->now_ms;
}

uint64_t ipam_pool_next_free_ms(const struct ipam_pool *p)
{
	const struct ipam_maddr *a = TAILQ_FIRST(&p->cooling);

	return a ? a->until_ms : IPAM_NEVER;
}

uint64_t ipam_pool_steps(const struct ipam_pool *p)
{
	return p->steps;
}

/* ---- ENIs ---- */

const struct ipam_eni *ipam_pool_eni(const struct ipam_pool *p, const char *id)
{
	const struct ipam_meni *e = ipam_meni_find(p, id);

	return e ? &e->pub : NULL;
}

const struct ipam_eni *ipam_pool_eni_by_number(const struct ipam_pool *p, unsigned int number)
{
	return number < IPAM_MAX_ENIS && p->enis[number] ? &p->enis[number]->pub : NULL;
}

const struct ipam_eni *ipam_pool_eni_next(const struct ipam_pool *p, const struct ipam_eni *prev)
{
	for (unsigned int i = prev ? prev->number + 1 : 0; i < IPAM_MAX_ENIS; i++)
		if (p->enis[i])
			return &p->enis[i]->pub;
	return NULL;
}

int ipam_pool_free_number(const struct ipam_pool *p)
{
	for (int i = 1; i <= IPAM_NUMBER_MAX; i++)
		if (!p->enis[i])
			return i;
	return -ENOSPC;
}

/* ---- slots ---- */

static void slot_snapshot(const struct ipam_mslot *s, struct ipam_slot *ret)
{
	*ret = (struct ipam_slot){
		.cidr = s->cidr,
		.eni = &s->eni->pub,
		.addrs = s->n_addrs,
		.free = s->n[IPAM_FREE],
		.cooling = s->n[IPAM_COOLING],
		.assigned = s->n[IPAM_ASSIGNED],
		.prefix = ipam_mslot_is_prefix(s),
		.retiring = s->retiring,
	};
}

bool ipam_pool_slot(const struct ipam_pool *p, const struct vw_cidr *cidr, struct ipam_slot *ret_slot)
{
	const struct ipam_mslot *s = ipam_mslot_find(p, cidr);

	if (!s || !s->live)
		return false;
	slot_snapshot(s, ret_slot);
	return true;
}

int ipam_pool_slot_each(const struct ipam_pool *p, const char *eni_id,
			int (*fn)(const struct ipam_slot *slot, void *arg), void *arg)
{
	const struct ipam_meni *e = ipam_meni_find(p, eni_id);
	const struct ipam_mslot *s;
	struct ipam_slot snap;
	int r = 0;

	if (!e)
		return 0;
	TAILQ_FOREACH(s, &e->slots, link) {
		slot_snapshot(s, &snap);
		r = fn(&snap, arg);
		if (r)
			break;
	}
	return r;
}

/* ---- addresses ---- */

bool ipam_pool_by_key(const struct ipam_pool *p, const char *key, struct ipam_addr *ret_addr)
{
	const struct ipam_holder *h = ipam_holder_find(p, key);

	if (!h)
		return false;
	ipam_maddr_snapshot(h->addr, ret_addr);
	return true;
}

bool ipam_pool_by_ip(const struct ipam_pool *p, const struct vw_ip *ip, struct ipam_addr *ret_addr)
{
	const struct ipam_maddr *a = ip->family == AF_INET ? ipam_maddr_find(p, ip) : NULL;

	/* the free rest of a gone slot is no address of ours */
	if (!a || (!a->slot->live && a->state == IPAM_FREE))
		return false;
	ipam_maddr_snapshot(a, ret_addr);
	return true;
}

static int each_in_list(const struct ipam_slot_list *list, int (*fn)(const struct ipam_addr *addr, void *arg),
			void *arg)
{
	const struct ipam_mslot *s;
	struct ipam_addr snap;
	int r;

	TAILQ_FOREACH(s, list, link) {
		for (unsigned int i = 0; i < s->n_addrs; i++) {
			if (!s->live && s->addrs[i].state == IPAM_FREE)
				continue;
			ipam_maddr_snapshot(&s->addrs[i], &snap);
			r = fn(&snap, arg);
			if (r)
				return r;
		}
	}
	return 0;
}

int ipam_pool_each(const struct ipam_pool *p, int (*fn)(const struct ipam_addr *addr, void *arg), void *arg)
{
	int r = 0;

	for (unsigned int i = 0; i < IPAM_MAX_ENIS && !r; i++)
		if (p->enis[i])
			r = each_in_list(&p->enis[i]->slots, fn, arg);
	return r ? r : each_in_list(&p->gone, fn, arg);
}

static void stats_eni(const struct ipam_eni *e, struct ipam_stats *st)
{
	unsigned int slots = e->n.prefixes + e->n.singles;
	bool gives = e->usable && e->state != IPAM_ENI_REMOVING;

	st->enis++;
	st->enis_ready += e->state == IPAM_ENI_READY;
	st->total += e->n.addrs;
	st->assigned += e->n.assigned;
	st->cooling += e->n.cooling;
	st->unusable += gives ? e->n.held : e->n.free;
	if (!gives)
		return;
	if (e->state == IPAM_ENI_READY)
		st->available += e->n.free - e->n.held;
	else
		st->pending += e->n.free - e->n.held;
	st->prefixes += e->n.prefixes;
	st->free_prefixes += e->n.free_prefixes;
	st->singles += e->n.singles;
	if (e->state == IPAM_ENI_READY && e->max_slots > slots)
		st->slots_free += e->max_slots - slots;
}

void ipam_pool_stats(const struct ipam_pool *p, struct ipam_stats *ret_stats)
{
	*ret_stats = (struct ipam_stats){ .assigned = p->orphaned, .orphaned = p->orphaned,
					  .orphaned_cooling = p->orphaned_cooling };
	for (unsigned int i = 0; i < IPAM_MAX_ENIS; i++)
		if (p->enis[i])
			stats_eni(&p->enis[i]->pub, ret_stats);
}
