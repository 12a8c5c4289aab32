/* Recount a pool from its addresses up and compare with the figures, lists and tables that it keeps. */
#include "ipam/pool.h"

#include "ipam/pool_priv.h"
#include "lib/base/err.h"

#include <errno.h>
#include <string.h>

/* what the walk over the slots found, to be compared with the tables */
struct tally {
	unsigned int slots, holders, cooling, orphaned, orphaned_cooling;
};

#define BAD(...) vw_err_set(err, EUCLEAN, 0, __VA_ARGS__)

static int check_addr(const struct ipam_pool *p, const struct ipam_maddr *a, const char *where,
		      struct vw_err *err)
{
	struct vw_ip ip = ipam_maddr_ip(a);
	char text[VW_IP_STRLEN];
	const struct ipam_holder *h;
	struct ipam_addr found;

	vw_ip_str(&ip, text);
	if ((a->state == IPAM_ASSIGNED) != (a->holder != NULL))
		return BAD("%s in %s: state %u, but holder %p", text, where, a->state, (void *)a->holder);
	if (a->state == IPAM_COOLING && a->until_ms <= p->now_ms)
		return BAD("%s in %s cools until the past", text, where);
	if (a->state != IPAM_COOLING && a->until_ms)
		return BAD("%s in %s does not cool, but has an end of it", text, where);
	if (a->state == IPAM_FREE)
		return 0;
	if (!ipam_pool_by_ip(p, &ip, &found) || found.state != (enum ipam_addr_state)a->state ||
	    !vw_cidr_eq(&found.slot, &a->slot->cidr))
		return BAD("%s in %s is in use in another slot too", text, where);
	if (!a->holder)
		return 0;
	h = ipam_holder_find(p, a->holder->key);
	if (h != a->holder || h->addr != a)
		return BAD("%s in %s: its key leads elsewhere", text, where);
	return 0;
}

static int check_slot(const struct ipam_pool *p, const struct ipam_mslot *s, struct tally *t,
		      struct vw_err *err)
{
	char where[VW_CIDR_STRLEN];
	unsigned int n[3] = { 0 }, listed = 0;
	const struct ipam_maddr *a;
	int r;

	vw_cidr_str(&s->cidr, where);
	if (ipam_mslot_find(p, &s->cidr) != s)
		return BAD("slot %s is not in the table", where);
	for (unsigned int i = 0; i < s->n_addrs; i++) {
		if (s->addrs[i].slot != s || s->addrs[i].index != i || s->addrs[i].state > IPAM_ASSIGNED)
			return BAD("slot %s: address %u is damaged", where, i);
		n[s->addrs[i].state]++;
		r = check_addr(p, &s->addrs[i], where, err);
		if (r < 0)
			return r;
	}
	TAILQ_FOREACH(a, &s->free, link)
		listed += a->slot == s && a->state == IPAM_FREE;
	if (memcmp(n, s->n, sizeof(n)) != 0 || listed != n[IPAM_FREE])
		return BAD("slot %s: %u/%u/%u counted, %u/%u/%u kept, %u in the free list", where, n[0], n[1],
			   n[2], s->n[0], s->n[1], s->n[2], listed);
	if (s->rank != ipam_mslot_rank(s))
		return BAD("slot %s has rank %u, not %u", where, s->rank, ipam_mslot_rank(s));
	if (!s->live && n[IPAM_FREE] == s->n_addrs)
		return BAD("slot %s is gone and of no use, but still there", where);
	t->slots++;
	t->holders += n[IPAM_ASSIGNED];
	t->cooling += n[IPAM_COOLING];
	t->orphaned += s->live ? 0 : n[IPAM_ASSIGNED];
	t->orphaned_cooling += s->live ? 0 : n[IPAM_COOLING];
	return 0;
}

static int check_ranks(const struct ipam_meni *e, unsigned int want, struct vw_err *err)
{
	unsigned int n = 0;
	const struct ipam_mslot *s;

	for (unsigned int i = 0; i < IPAM_RANKS; i++) {
		TAILQ_FOREACH(s, &e->ranked[i], rank_link) {
			if (s->rank != i || s->eni != e)
				return BAD("ENI %s: rank %u stands in list %u", e->pub.id, s->rank, i);
			n++;
		}
		if (!TAILQ_EMPTY(&e->ranked[i]) != !!(e->ranks & UINT64_C(1) << i))
			return BAD("ENI %s: bit %u of its ranks is wrong", e->pub.id, i);
	}
	if (n != want)
		return BAD("ENI %s: %u slots can give an address, %u are ranked", e->pub.id, want, n);
	return 0;
}

static int check_eni(const struct ipam_pool *p, const struct ipam_meni *e, struct tally *t,
		     struct vw_err *err)
{
	struct ipam_counts n = { 0 };
	unsigned int giving = 0;
	const struct ipam_mslot *s;
	int r;

	TAILQ_FOREACH(s, &e->slots, link) {
		if (!s->live || s->eni != e)
			return BAD("ENI %s lists a slot that is not its own", e->pub.id);
		r = check_slot(p, s, t, err);
		if (r < 0)
			return r;
		n.addrs += s->n_addrs;
		n.free += s->n[IPAM_FREE];
		n.held += s->retiring ? s->n[IPAM_FREE] : 0;
		n.cooling += s->n[IPAM_COOLING];
		n.assigned += s->n[IPAM_ASSIGNED];
		n.prefixes += ipam_mslot_is_prefix(s);
		n.singles += !ipam_mslot_is_prefix(s);
		n.free_prefixes += ipam_mslot_is_prefix(s) && !s->retiring && s->n[IPAM_FREE] == s->n_addrs;
		giving += s->rank != IPAM_RANK_NONE;
	}
	if (memcmp(&n, &e->pub.n, sizeof(n)) != 0)
		return BAD("ENI %s keeps %u addresses (%u free, %u held, %u cooling, %u assigned), not %u "
			   "(%u, %u, %u, %u)",
			   e->pub.id, e->pub.n.addrs, e->pub.n.free, e->pub.n.held, e->pub.n.cooling,
			   e->pub.n.assigned, n.addrs, n.free, n.held, n.cooling, n.assigned);
	return check_ranks(e, giving, err);
}

static int check_tables(const struct ipam_pool *p, const struct tally *t, struct vw_err *err)
{
	unsigned int cooling = 0;
	uint64_t last = 0;
	const struct ipam_maddr *a;
	struct ipam_stats st;

	TAILQ_FOREACH(a, &p->cooling, link) {
		if (a->state != IPAM_COOLING || a->until_ms < last)
			return BAD("the list of cooling addresses is out of order");
		last = a->until_ms;
		cooling++;
	}
	if (cooling != t->cooling)
		return BAD("%u addresses cool, %u are listed", t->cooling, cooling);
	if (HASH_COUNT(p->slots) != t->slots || HASH_COUNT(p->holders) != t->holders)
		return BAD("tables hold %u slots and %u keys, reachable are %u and %u", HASH_COUNT(p->slots),
			   HASH_COUNT(p->holders), t->slots, t->holders);
	if (p->orphaned != t->orphaned || p->orphaned_cooling != t->orphaned_cooling)
		return BAD("%u and %u orphans kept, %u and %u counted", p->orphaned, p->orphaned_cooling,
			   t->orphaned, t->orphaned_cooling);
	ipam_pool_stats(p, &st);
	if (st.total != st.assigned - st.orphaned + st.cooling + st.available + st.pending + st.unusable)
		return BAD("the figures do not add up to %u addresses", st.total);
	return 0;
}

int ipam_pool_check(const struct ipam_pool *p, struct vw_err *err)
{
	struct tally t = { 0 };
	const struct ipam_mslot *s;
	int r;

	for (unsigned int i = 0; i < IPAM_MAX_ENIS; i++) {
		if (!p->enis[i])
			continue;
		if (p->enis[i]->pub.number != i)
			return BAD("ENI %s stands at number %u", p->enis[i]->pub.id, i);
		r = check_eni(p, p->enis[i], &t, err);
		if (r < 0)
			return r;
	}
	TAILQ_FOREACH(s, &p->gone, link) {
		if (s->live)
			return BAD("a live slot is listed as gone");
		r = check_slot(p, s, &t, err);
		if (r < 0)
			return r;
	}
	return check_tables(p, &t, err);
}
