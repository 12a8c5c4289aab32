/*
 * The planner's shrinking half. Nothing is given back that would be short at once: each removal is tried on a
 * copy of the figures first, and taken only if ipam_need() still finds nothing short. That makes every plan a
 * fixed point: the next one neither grows nor takes back. Only free addresses go (a cooling one is not free),
 * never those of the primary ENI as a whole.
 */
#include "ipam/plan_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * @fig less @addrs free addresses, of which @prefixes are whole free /28s. Return: nothing is short then; with a
 * target that has hysteresis, nor is it nearly so.
 */
static bool can_lose(const struct ipam_work *w, unsigned int addrs, unsigned int prefixes)
{
	struct ipam_figures f = w->fig;

	if (addrs > f.available || addrs > f.total)
		return false;
	f.available -= addrs;
	f.total -= addrs;
	f.prefixes -= prefixes;
	f.free_prefixes -= prefixes;
	if (w->in->targets.adaptive && addrs && f.available < w->in->targets.warm.fill)
		return false;
	return !ipam_need(&w->in->targets, &f).short_addrs;
}

static void lose(struct ipam_work *w, unsigned int addrs, unsigned int prefixes)
{
	w->fig.available -= addrs;
	w->fig.total -= addrs;
	w->fig.prefixes -= prefixes;
	w->fig.free_prefixes -= prefixes;
}

/* An ENI attached ahead of need stays; it goes when the others have room for half an ENI beyond that. */
static bool can_spare(const struct ipam_work *w, const struct ipam_eni *e)
{
	return !w->in->targets.adaptive || w->in->drain ||
	       ipam_work_spare(w, e) >= w->in->limits.slots_per_eni * 3 / 2;
}

static bool rested(struct ipam_work *w)
{
	uint64_t next = w->in->last_shrink_ms + w->in->limits.shrink_interval_ms;

	if (!w->in->last_shrink_ms || next <= w->now_ms)
		return true;
	ipam_work_again(w, next);
	return false;
}

/* EC2 refused it of late: nobody waits for a shrink, so it waits */
static bool held_back(struct ipam_work *w, enum ipam_act act)
{
	const struct ipam_why *b = &w->in->blocks[act];

	if (b->cause == IPAM_CAUSE_NONE || b->until_ms <= w->now_ms)
		return false;
	ipam_work_again(w, b->until_ms);
	return true;
}

/* A whole ENI, the newest first: what has been there for long is more likely known to others. */
static bool remove_eni(struct ipam_work *w)
{
	const struct ipam_eni *found = NULL;
	uint64_t min_age = w->in->limits.eni_min_age_ms;
	struct ipam_action *a;
	bool over = !w->in->targets.adaptive || w->plan->need.over_addrs || w->plan->need.over_prefixes;

	/* WARM_ENI keeps a whole ENI's worth; the other targets are the test that can_lose() makes */
	if (w->plan->need.whole_enis && !w->plan->need.over_enis)
		return false;
	for (const struct ipam_eni *e = ipam_pool_eni_next(w->p, NULL); e; e = ipam_pool_eni_next(w->p, e)) {
		if (e->primary || !e->usable || e->state != IPAM_ENI_READY || e->n.assigned || e->n.cooling ||
		    e->n.held || (e->n.free && !over) || !can_spare(w, e) ||
		    !can_lose(w, e->n.free, e->n.prefixes))
			continue;
		if (e->created_ms + min_age > w->now_ms)
			ipam_work_again(w, e->created_ms + min_age);
		else
			found = e;
	}
	if (!found || held_back(w, IPAM_ACT_REMOVE_ENI) || !rested(w))
		return found != NULL;
	a = ipam_work_action(w, IPAM_ACT_REMOVE_ENI);
	if (a)
		memcpy(a->eni_id, found->id, sizeof(a->eni_id));
	return true;
}

/* Free slots of one kind, taken from one ENI at a time. */
struct harvest {
	struct ipam_work *w;
	bool prefix;
	unsigned int left;      /* slots still to give back */
	struct ipam_action *a;
};

static int harvest_slot(const struct ipam_slot *s, void *arg)
{
	struct harvest *h = arg;
	unsigned int n_prefix = h->prefix ? 1 : 0;

	if (!h->left)
		return 1;
	if (s->prefix != h->prefix || s->retiring || s->free != s->addrs)
		return 0;
	if (!can_lose(h->w, s->addrs, n_prefix)) {
		h->left = 0;
		return 1;
	}
	if (!h->a) {
		h->a = ipam_work_action(h->w, IPAM_ACT_UNASSIGN);
		if (!h->a) {
			h->left = 0;
			return 1;
		}
		memcpy(h->a->eni_id, s->eni->id, sizeof(h->a->eni_id));
	}
	h->a->cidrs[h->a->n_cidrs++] = s->cidr;
	lose(h->w, s->addrs, n_prefix);
	h->left--;
	return h->a->n_cidrs == IPAM_PLAN_CIDRS;
}

/* The ENI with the fewest pods first, the primary one last: so that an ENI becomes free as a whole. */
static int by_pods(const void *va, const void *vb)
{
	const struct ipam_eni *a = *(const struct ipam_eni *const *)va;
	const struct ipam_eni *b = *(const struct ipam_eni *const *)vb;

	if (a->primary != b->primary)
		return a->primary ? 1 : -1;
	if (a->n.assigned != b->n.assigned)
		return a->n.assigned < b->n.assigned ? -1 : 1;
	return a->number < b->number ? 1 : -1;
}

static unsigned int enis_by_pods(const struct ipam_work *w, const struct ipam_eni *ret[IPAM_MAX_ENIS])
{
	unsigned int n = 0;

	for (const struct ipam_eni *e = ipam_pool_eni_next(w->p, NULL); e; e = ipam_pool_eni_next(w->p, e))
		if (e->usable && e->state == IPAM_ENI_READY)
			ret[n++] = e;
	qsort(ret, n, sizeof(ret[0]), by_pods);
	return n;
}

static void give_back(struct ipam_work *w, bool prefix, unsigned int slots)
{
	const struct ipam_eni *enis[IPAM_MAX_ENIS];
	unsigned int n = enis_by_pods(w, enis);
	struct harvest h = { .w = w, .prefix = prefix, .left = slots };

	for (unsigned int i = 0; i < n && h.left; i++) {
		const struct ipam_subnet *s = ipam_work_subnet(w, enis[i]->subnet_id);

		/* Single addresses that stand in for prefixes stay until the subnet has prefixes again. */
		if (!prefix && w->in->targets.mode == IPAM_MODE_PREFIXES && s &&
		    s->no_prefix_until_ms > w->now_ms) {
			if (enis[i]->n.singles)
				ipam_work_again(w, s->no_prefix_until_ms);
			continue;
		}
		h.a = NULL;
		(void)ipam_pool_slot_each(w->p, enis[i]->id, harvest_slot, &h);
		/* there is no hurry: one call at a time, or a whole fleet that was scaled down asks at once */
		if (h.a && w->in->targets.adaptive) {
			ipam_work_again(w, w->now_ms + w->in->limits.shrink_interval_ms);
			break;
		}
	}
}

/* Whether give_back() would find anything is cheap to know from the figures: do not wake up for nothing. */
static bool has_other_mode(const struct ipam_work *w)
{
	if (w->in->targets.mode == IPAM_MODE_ADDRS)
		return w->fig.free_prefixes && can_lose(w, IPAM_PREFIX4_ADDRS, 1);
	for (const struct ipam_eni *e = ipam_pool_eni_next(w->p, NULL); e; e = ipam_pool_eni_next(w->p, e))
		if (e->usable && e->state == IPAM_ENI_READY && e->n.singles)
			return can_lose(w, 1, 0);
	return false;
}

void ipam_work_shrink(struct ipam_work *w)
{
	const struct ipam_need *need = &w->plan->need;
	bool prefixes = w->in->targets.mode == IPAM_MODE_PREFIXES, other;

	/* the end of a cool-down may be what makes a slot or an ENI free */
	ipam_work_again(w, ipam_pool_next_free_ms(w->p));
	if (remove_eni(w))
		return;
	other = has_other_mode(w);
	if ((!need->over_addrs && !need->over_prefixes && !other) || held_back(w, IPAM_ACT_UNASSIGN) || !rested(w))
		return;
	if (need->over_prefixes)
		give_back(w, true, need->over_prefixes);
	if (need->over_addrs)
		give_back(w, false, need->over_addrs);
	/* what the other mode left behind */
	if (other && !w->plan->n)
		give_back(w, !prefixes, IPAM_PLAN_CIDRS);
}
