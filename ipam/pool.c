/*
 * The pool. Every change of a slot or of an address in it happens between slot_uncount(), which takes the
 * slot's whole contribution out of the ENI's figures and lists, and slot_count(), which puts the new one in:
 * no counter is ever adjusted anywhere else, so none can drift. Slots that EC2 took away while addresses in
 * them were in use stay as "gone" ones until the last address is free; that is all that an orphan is.
 */
#include "ipam/pool.h"

#include "ipam/pool_priv.h"
#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- slots: figures and ranks ---- */

/*
 * Higher ranks are taken first. A prefix in use stands above single addresses, and those above a wholly free
 * prefix: each single address can be given back by itself, a prefix only when nothing in it is in use. Of two
 * prefixes with as many pods the one with cooling addresses is the further one from being free.
 */
uint8_t ipam_mslot_rank(const struct ipam_mslot *s)
{
	if (!s->live || s->retiring || !s->n[IPAM_FREE])
		return IPAM_RANK_NONE;
	if (!ipam_mslot_is_prefix(s))
		return IPAM_RANK_SINGLE;
	if (s->n[IPAM_FREE] == s->n_addrs)
		return 0;
	return (uint8_t)(IPAM_RANK_SINGLE + 1 + 2 * s->n[IPAM_ASSIGNED] - (s->n[IPAM_COOLING] ? 0 : 1));
}

static void slot_figures(struct ipam_pool *p, struct ipam_mslot *s, unsigned int sign)
{
	struct ipam_counts *n;

	if (!s->live) {
		p->orphaned += sign * s->n[IPAM_ASSIGNED];
		p->orphaned_cooling += sign * s->n[IPAM_COOLING];
		return;
	}
	n = &s->eni->pub.n;
	n->addrs += sign * s->n_addrs;
	n->free += sign * s->n[IPAM_FREE];
	n->cooling += sign * s->n[IPAM_COOLING];
	n->assigned += sign * s->n[IPAM_ASSIGNED];
	n->held += s->retiring ? sign * s->n[IPAM_FREE] : 0;
	if (ipam_mslot_is_prefix(s)) {
		n->prefixes += sign;
		n->free_prefixes += !s->retiring && s->n[IPAM_FREE] == s->n_addrs ? sign : 0;
	} else {
		n->singles += sign;
	}
}

static void slot_uncount(struct ipam_pool *p, struct ipam_mslot *s)
{
	slot_figures(p, s, -1u);
	if (s->rank == IPAM_RANK_NONE)
		return;
	TAILQ_REMOVE(&s->eni->ranked[s->rank], s, rank_link);
	if (TAILQ_EMPTY(&s->eni->ranked[s->rank]))
		s->eni->ranks &= ~(UINT64_C(1) << s->rank);
	s->rank = IPAM_RANK_NONE;
}

static void slot_count(struct ipam_pool *p, struct ipam_mslot *s)
{
	slot_figures(p, s, 1);
	s->rank = ipam_mslot_rank(s);
	if (s->rank == IPAM_RANK_NONE)
		return;
	TAILQ_INSERT_TAIL(&s->eni->ranked[s->rank], s, rank_link);
	s->eni->ranks |= UINT64_C(1) << s->rank;
}

/* A new slot of free addresses, in the table but in no list, counted nowhere. */
static struct ipam_mslot *slot_new(struct ipam_pool *p, const struct vw_cidr *cidr)
{
	unsigned int n = 1u << (vw_ip_bits(&cidr->ip) - cidr->len);
	struct ipam_mslot *s = calloc(1, sizeof(*s) + n * sizeof(s->addrs[0]));

	if (!s)
		return NULL;
	s->cidr = *cidr;
	s->n_addrs = (uint8_t)n;
	s->rank = IPAM_RANK_NONE;
	s->n[IPAM_FREE] = n;
	TAILQ_INIT(&s->free);
	for (unsigned int i = 0; i < n; i++) {
		s->addrs[i] = (struct ipam_maddr){ .slot = s, .index = (uint8_t)i, .state = IPAM_FREE };
		TAILQ_INSERT_TAIL(&s->free, &s->addrs[i], link);
	}
	HASH_ADD(hh, p->slots, cidr, sizeof(s->cidr), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	return s;
}

/* A gone slot in which nothing is in use any more has no reason to stay. */
static bool slot_reap(struct ipam_pool *p, struct ipam_mslot *s)
{
	if (s->live || s->n[IPAM_FREE] != s->n_addrs)
		return false;
	TAILQ_REMOVE(&p->gone, s, link);
	HASH_DELETE(hh, p->slots, s);
	free(s);
	return true;
}

/* From live to gone. @s may not exist afterwards. */
static void slot_gone(struct ipam_pool *p, struct ipam_mslot *s)
{
	slot_uncount(p, s);
	TAILQ_REMOVE(&s->eni->slots, s, link);
	s->live = s->retiring = false;
	TAILQ_INSERT_TAIL(&p->gone, s, link);
	slot_count(p, s);
	slot_reap(p, s);
}

/* ---- addresses: states ---- */

/* Nearly always the end: cool-downs are equally long. Restored ones, or a changed setting, walk. */
static void cooling_insert(struct ipam_pool *p, struct ipam_maddr *a)
{
	struct ipam_maddr *after = TAILQ_LAST(&p->cooling, ipam_addr_list);

	for (; after && after->until_ms > a->until_ms; p->steps++)
		after = TAILQ_PREV(after, ipam_addr_list, link);
	if (after)
		TAILQ_INSERT_AFTER(&p->cooling, after, a, link);
	else
		TAILQ_INSERT_HEAD(&p->cooling, a, link);
}

static void addr_unlink(struct ipam_pool *p, struct ipam_maddr *a)
{
	if (a->state == IPAM_FREE)
		TAILQ_REMOVE(&a->slot->free, a, link);
	else if (a->state == IPAM_COOLING)
		TAILQ_REMOVE(&p->cooling, a, link);
}

/* The one place where an address changes its state. slot_reap() is the caller's: @a would not survive it. */
static void addr_set(struct ipam_pool *p, struct ipam_maddr *a, enum ipam_addr_state state, uint64_t until_ms,
		     struct ipam_holder *holder)
{
	struct ipam_mslot *s = a->slot;

	slot_uncount(p, s);
	addr_unlink(p, a);
	s->n[a->state]--;
	s->n[state]++;
	a->state = (uint8_t)state;
	a->until_ms = until_ms;
	a->holder = holder;
	if (holder)
		holder->addr = a;
	if (state == IPAM_FREE)
		TAILQ_INSERT_TAIL(&s->free, a, link);
	else if (state == IPAM_COOLING)
		cooling_insert(p, a);
	slot_count(p, s);
}

/* The orphan @from of a gone slot lives on in @to, the same address in a slot that has come. */
static void addr_adopt(struct ipam_pool *p, struct ipam_maddr *from, struct ipam_maddr *to)
{
	enum ipam_addr_state state = from->state;
	uint64_t until_ms = from->until_ms;
	struct ipam_holder *holder = from->holder;

	if (state == IPAM_FREE)
		return;
	addr_set(p, from, IPAM_FREE, 0, NULL);
	addr_set(p, to, state, until_ms, holder);
}

static int holder_new(struct ipam_pool *p, const char *key, struct ipam_holder **ret)
{
	size_t len = strnlen(key, IPAM_KEY_MAX);
	struct ipam_holder *h;

	if (!len || len >= IPAM_KEY_MAX)
		return -EINVAL;
	h = calloc(1, sizeof(*h) + len + 1);
	if (!h)
		return -ENOMEM;
	memcpy(h->key, key, len);
	HASH_ADD_KEYPTR(hh, p->holders, h->key, len, h);
	if (!h->hh.tbl) {
		free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

static void holder_free(struct ipam_pool *p, struct ipam_holder *h)
{
	HASH_DELETE(hh, p->holders, h);
	free(h);
}

/* ---- life and time ---- */

struct ipam_pool *ipam_pool_new(void)
{
	struct ipam_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	TAILQ_INIT(&p->cooling);
	TAILQ_INIT(&p->gone);
	return p;
}

void ipam_pool_free(struct ipam_pool *p)
{
	struct ipam_mslot *s, *s_next;
	struct ipam_holder *h, *h_next;

	if (!p)
		return;
	HASH_ITER(hh, p->slots, s, s_next) {
		HASH_DELETE(hh, p->slots, s);
		free(s);
	}
	HASH_ITER(hh, p->holders, h, h_next)
		holder_free(p, h);
	for (unsigned int i = 0; i < IPAM_MAX_ENIS; i++)
		free(p->enis[i]);
	free(p);
}

void ipam_pool_freep(struct ipam_pool **p)
{
	ipam_pool_free(*p);
	*p = NULL;
}

void ipam_pool_advance(struct ipam_pool *p, uint64_t now_ms)
{
	struct ipam_maddr *a;

	if (now_ms > p->now_ms)
		p->now_ms = now_ms;
	while ((a = TAILQ_FIRST(&p->cooling)) && a->until_ms <= p->now_ms) {
		struct ipam_mslot *s = a->slot;

		addr_set(p, a, IPAM_FREE, 0, NULL);
		slot_reap(p, s);
	}
}

/* ---- ENIs ---- */

static struct ipam_meni *eni_new(const struct ipam_eni *eni)
{
	struct ipam_meni *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->pub = *eni;
	e->pub.n = (struct ipam_counts){ 0 };
	TAILQ_INIT(&e->slots);
	for (unsigned int i = 0; i < IPAM_RANKS; i++)
		TAILQ_INIT(&e->ranked[i]);
	return e;
}

static bool eni_in_use(const struct ipam_meni *e)
{
	return e->pub.n.assigned || e->pub.n.cooling;
}

int ipam_pool_eni_put(struct ipam_pool *p, const struct ipam_eni *eni)
{
	struct ipam_meni *e, *other;
	struct ipam_counts n;

	if (!eni->id[0] || eni->number > IPAM_NUMBER_MAX)
		return -EINVAL;
	e = ipam_meni_find(p, eni->id);
	other = p->enis[eni->number];
	if (other && other != e)
		return -EEXIST;
	if (!e) {
		e = eni_new(eni);
		if (!e)
			return -ENOMEM;
		p->enis[eni->number] = e;
		return 0;
	}
	if (eni->state == IPAM_ENI_REMOVING && eni_in_use(e))
		return -EBUSY;
	p->enis[e->pub.number] = NULL;
	p->enis[eni->number] = e;
	n = e->pub.n;
	e->pub = *eni;
	e->pub.n = n;
	return 0;
}

int ipam_pool_eni_state(struct ipam_pool *p, const char *id, enum ipam_eni_state state)
{
	struct ipam_meni *e = ipam_meni_find(p, id);

	if (!e)
		return -ENOENT;
	if (state == IPAM_ENI_REMOVING && eni_in_use(e))
		return -EBUSY;
	e->pub.state = state;
	return 0;
}

int ipam_pool_eni_del(struct ipam_pool *p, const char *id)
{
	struct ipam_meni *e = ipam_meni_find(p, id);
	struct ipam_mslot *s;

	if (!e)
		return -ENOENT;
	while ((s = TAILQ_FIRST(&e->slots)))
		slot_gone(p, s);
	TAILQ_FOREACH(s, &p->gone, link)
		if (s->eni == e)
			s->eni = NULL;
	p->enis[e->pub.number] = NULL;
	free(e);
	return 0;
}

/* ---- slots ---- */

/* Slots of the other length that overlap @cidr: at most 16. Return: how many. */
static unsigned int slots_across(const struct ipam_pool *p, const struct vw_cidr *cidr,
				 struct ipam_mslot *ret[IPAM_PREFIX4_ADDRS])
{
	unsigned int n = 0;
	struct vw_cidr c;

	if (cidr->len != IPAM_PREFIX4_LEN) {
		c = ipam_prefix_of(&cidr->ip);
		ret[0] = ipam_mslot_find(p, &c);
		return ret[0] ? 1 : 0;
	}
	for (unsigned int i = 0; i < IPAM_PREFIX4_ADDRS; i++) {
		struct vw_ip ip = vw_ip_add(&cidr->ip, i);

		c = vw_cidr_host(&ip);
		ret[n] = ipam_mslot_find(p, &c);
		n += ret[n] ? 1 : 0;
	}
	return n;
}

/* What is in use in the gone slots @from moves to @s. */
static void slot_adopt(struct ipam_pool *p, struct ipam_mslot *s, struct ipam_mslot **from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < from[i]->n_addrs; k++) {
			struct ipam_maddr *a = &from[i]->addrs[k];
			struct vw_ip ip = ipam_maddr_ip(a);

			if (vw_cidr_has(&s->cidr, &ip))
				addr_adopt(p, a, &s->addrs[vw_ip4_u32(&ip) - vw_ip4_u32(&s->cidr.ip)]);
		}
		slot_reap(p, from[i]);
	}
}

int ipam_pool_slot_add(struct ipam_pool *p, const char *eni_id, const struct vw_cidr *cidr)
{
	struct ipam_mslot *across[IPAM_PREFIX4_ADDRS], *s;
	struct ipam_meni *e = ipam_meni_find(p, eni_id);
	unsigned int n;

	if (!e)
		return -ENOENT;
	if (cidr->ip.family != AF_INET)
		return -EAFNOSUPPORT;
	if ((cidr->len != 32 && cidr->len != IPAM_PREFIX4_LEN) || !vw_cidr_is_masked(cidr))
		return -EINVAL;
	s = ipam_mslot_find(p, cidr);
	if (s && s->live)
		return s->eni == e ? 1 : -EEXIST;
	n = slots_across(p, cidr, across);
	for (unsigned int i = 0; i < n; i++)
		if (across[i]->live)
			return -EEXIST;
	if (s) {
		slot_uncount(p, s);
		TAILQ_REMOVE(&p->gone, s, link);
	} else {
		s = slot_new(p, cidr);
		if (!s)
			return -ENOMEM;
	}
	s->live = true;
	s->eni = e;
	TAILQ_INSERT_TAIL(&e->slots, s, link);
	slot_count(p, s);
	slot_adopt(p, s, across, n);
	return 0;
}

int ipam_pool_slot_del(struct ipam_pool *p, const struct vw_cidr *cidr)
{
	struct ipam_mslot *s = ipam_mslot_find(p, cidr);

	if (!s || !s->live)
		return -ENOENT;
	slot_gone(p, s);
	return 0;
}

int ipam_pool_slot_retire(struct ipam_pool *p, const struct vw_cidr *cidr, bool on)
{
	struct ipam_mslot *s = ipam_mslot_find(p, cidr);

	if (!s || !s->live)
		return -ENOENT;
	if (on && s->n[IPAM_FREE] != s->n_addrs)
		return -EBUSY;
	slot_uncount(p, s);
	s->retiring = on;
	slot_count(p, s);
	return 0;
}

/* ---- addresses ---- */

/* How far @e is from what a container has: 2 = on another network card, 1 = on another ENI, 0 = on one of its own. */
static unsigned int eni_apart(const struct ipam_pool *p, const struct ipam_meni *e, const struct vw_ip *others, size_t n)
{
	unsigned int apart = 2;

	for (size_t i = 0; i < n; i++) {
		const struct ipam_maddr *a = ipam_maddr_find(p, &others[i]);

		if (a && a->slot->eni == e)
			return 0;
		if (a && a->slot->eni && a->slot->eni->pub.card == e->pub.card)
			apart = 1;
	}
	return apart;
}

/* Pods on the primary ENI keep nothing from being given back; otherwise the fullest ENI first. */
static bool eni_better(const struct ipam_meni *e, const struct ipam_meni *best)
{
	return e->pub.primary || (!best->pub.primary && e->pub.n.assigned > best->pub.n.assigned);
}

static struct ipam_meni *eni_choose(struct ipam_pool *p, const struct vw_ip *others, size_t n)
{
	struct ipam_meni *best = NULL;
	unsigned int best_apart = 0;

	for (unsigned int i = 0; i < IPAM_MAX_ENIS; i++) {
		struct ipam_meni *e = p->enis[i];
		unsigned int apart;

		p->steps++;
		if (!e || !e->ranks || e->pub.state != IPAM_ENI_READY || !e->pub.usable)
			continue;
		if (e->pub.primary && !n)
			return e;
		apart = eni_apart(p, e, others, n);
		if (best && (apart < best_apart || (apart == best_apart && !eni_better(e, best))))
			continue;
		best = e;
		best_apart = apart;
	}
	return best;
}

int ipam_pool_assign(struct ipam_pool *p, const char *key, uint64_t now_ms, struct ipam_addr *ret_addr)
{
	return ipam_pool_assign_beside(p, key, NULL, 0, now_ms, ret_addr);
}

int ipam_pool_assign_beside(struct ipam_pool *p, const char *key, const struct vw_ip *others, size_t n, uint64_t now_ms,
			    struct ipam_addr *ret_addr)
{
	struct ipam_holder *h = ipam_holder_find(p, key);
	struct ipam_meni *e;
	struct ipam_mslot *s;
	int r;

	ipam_pool_advance(p, now_ms);
	if (h) {
		ipam_maddr_snapshot(h->addr, ret_addr);
		return 1;
	}
	e = eni_choose(p, others, n);
	if (!e)
		return -EAGAIN;
	r = holder_new(p, key, &h);
	if (r < 0)
		return r;
	s = TAILQ_FIRST(&e->ranked[63 - __builtin_clzll(e->ranks)]);
	addr_set(p, TAILQ_FIRST(&s->free), IPAM_ASSIGNED, 0, h);
	ipam_maddr_snapshot(h->addr, ret_addr);
	return 0;
}

int ipam_pool_release(struct ipam_pool *p, const char *key, uint64_t now_ms, uint64_t cooldown_ms,
		      struct ipam_addr *ret_addr)
{
	struct ipam_holder *h;
	struct ipam_maddr *a;
	struct ipam_mslot *s;

	ipam_pool_advance(p, now_ms);
	h = ipam_holder_find(p, key);
	if (!h)
		return -ENOENT;
	a = h->addr;
	s = a->slot;
	if (cooldown_ms)
		addr_set(p, a, IPAM_COOLING, p->now_ms + cooldown_ms, NULL);
	else
		addr_set(p, a, IPAM_FREE, 0, NULL);
	holder_free(p, h);
	if (ret_addr) {
		ipam_maddr_snapshot(a, ret_addr);
		if (!s->live && s->n[IPAM_FREE] == s->n_addrs)
			ret_addr->eni = NULL;
	}
	slot_reap(p, s);
	return 0;
}

/* The record of @ip, made as an orphan if there is none. */
static int addr_obtain(struct ipam_pool *p, const struct vw_ip *ip, struct ipam_maddr **ret)
{
	struct vw_cidr host = vw_cidr_host(ip);
	struct ipam_maddr *a;
	struct ipam_mslot *s;

	if (ip->family != AF_INET)
		return -EAFNOSUPPORT;
	a = ipam_maddr_find(p, ip);
	if (!a) {
		s = slot_new(p, &host);
		if (!s)
			return -ENOMEM;
		TAILQ_INSERT_TAIL(&p->gone, s, link);
		a = &s->addrs[0];
	}
	*ret = a;
	return 0;
}

int ipam_pool_restore(struct ipam_pool *p, const char *key, const struct vw_ip *ip)
{
	struct ipam_holder *h = ipam_holder_find(p, key);
	struct ipam_maddr *a;
	struct ipam_mslot *s;
	struct vw_ip held;
	int r;

	if (h) {
		held = ipam_maddr_ip(h->addr);
		return vw_ip_eq(&held, ip) ? 1 : -EEXIST;
	}
	r = addr_obtain(p, ip, &a);
	if (r < 0)
		return r;
	s = a->slot;
	r = a->state == IPAM_ASSIGNED ? -EEXIST : holder_new(p, key, &h);
	if (r < 0) {
		slot_reap(p, s);
		return r;
	}
	addr_set(p, a, IPAM_ASSIGNED, 0, h);
	return 0;
}

int ipam_pool_restore_cooling(struct ipam_pool *p, const struct vw_ip *ip, uint64_t until_ms)
{
	struct ipam_maddr *a;
	int r;

	if (until_ms <= p->now_ms)
		return 1;
	r = addr_obtain(p, ip, &a);
	if (r < 0)
		return r;
	if (a->state == IPAM_ASSIGNED)
		return -EEXIST;
	addr_set(p, a, IPAM_COOLING, until_ms, NULL);
	return 0;
}
