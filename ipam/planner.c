/*
 * The planner's growing half. The shortage that ipam_need() finds is spent step by step on the cheapest
 * remedies: free slots of ENIs that are there, what a busy or coming ENI will have room for, new ENIs.
 * Whatever stands in the way is noted; if addresses are still short at the end, the first obstacle is the
 * plan's cause.
 */
#include "ipam/planner.h"

#include "ipam/plan_priv.h"
#include "lib/base/cleanup.h"

#include <stdio.h>
#include <string.h>

/* Warm addresses while a subnet has no /28 left: each costs a slot that could hold 16 of them again later. */
#define FALLBACK_WARM 4

static unsigned int min_u(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

struct ipam_action *ipam_work_action(struct ipam_work *w, enum ipam_act act)
{
	struct ipam_action *a;

	if (w->plan->n == IPAM_PLAN_ACTIONS) {
		ipam_work_again(w, w->now_ms);
		return NULL;
	}
	a = &w->plan->v[w->plan->n++];
	*a = (struct ipam_action){ .act = act };
	return a;
}

void ipam_work_again(struct ipam_work *w, uint64_t at_ms)
{
	if (at_ms < w->plan->again_ms)
		w->plan->again_ms = at_ms;
}

const struct ipam_subnet *ipam_work_subnet(const struct ipam_work *w, const char *id)
{
	for (size_t i = 0; i < w->in->n_subnets; i++)
		if (!strcmp(w->in->subnets[i].id, id))
			return &w->in->subnets[i];
	return NULL;
}

/* An obstacle. The first kind met is kept; further subnets are added to its names. */
static void note(struct ipam_work *w, enum ipam_cause cause, uint64_t until_ms, const char *what)
{
	struct ipam_why *y = &w->why;
	size_t len = strlen(y->what);

	if (until_ms > w->now_ms)
		ipam_work_again(w, until_ms);
	if (y->cause == IPAM_CAUSE_NONE) {
		*y = (struct ipam_why){ .cause = cause, .until_ms = until_ms };
		snprintf(y->what, sizeof(y->what), "%s", what);
		return;
	}
	if (y->cause != cause)
		return;
	if (until_ms && (!y->until_ms || until_ms < y->until_ms))
		y->until_ms = until_ms;
	if (cause == IPAM_CAUSE_SUBNET_EXHAUSTED && !strstr(y->what, what))
		snprintf(y->what + len, sizeof(y->what) - len, ", %s", what);
}

static bool blocked(struct ipam_work *w, enum ipam_act act)
{
	const struct ipam_why *b = &w->in->blocks[act];

	if (b->cause == IPAM_CAUSE_NONE || b->until_ms <= w->now_ms)
		return false;
	note(w, b->cause, b->until_ms, b->what);
	return true;
}

/* Until when @s has none of what @prefix says; 0 when it may have. */
static uint64_t exhausted_until(const struct ipam_work *w, const struct ipam_subnet *s, bool prefix)
{
	uint64_t until;

	if (!s)
		return 0;
	until = s->no_addr_until_ms;
	if (prefix && s->no_prefix_until_ms > until)
		until = s->no_prefix_until_ms;
	return until > w->now_ms ? until : 0;
}

/* Prefix mode falls back to single addresses where prefixes have run out, and only there. */
static bool fits_pass(const struct ipam_work *w, const struct ipam_subnet *s, bool prefix)
{
	if (w->in->targets.mode == IPAM_MODE_ADDRS || prefix)
		return true;
	return exhausted_until(w, s, true) != 0;
}

/* It was throttled when last tried, and another one of its kind is to find out whether it still is: two would only both fail. */
static bool probing(const struct ipam_work *w, enum ipam_act act)
{
	if (w->in->blocks[act].cause != IPAM_CAUSE_THROTTLED)
		return false;
	for (size_t i = 0; i < w->in->n_inflight; i++)
		if (w->in->inflight[i].act == act)
			return true;
	for (size_t i = 0; i < w->plan->n; i++)
		if (w->plan->v[i].act == act)
			return true;
	return false;
}

static bool is_growth(enum ipam_act act)
{
	return act == IPAM_ACT_CREATE_ENI || act == IPAM_ACT_ASSIGN_PREFIXES || act == IPAM_ACT_ASSIGN_ADDRS;
}

static bool eni_busy(const struct ipam_work *w, const struct ipam_eni *e)
{
	if (e->state == IPAM_ENI_ATTACHING)
		return true;
	for (size_t i = 0; i < w->in->n_inflight; i++)
		if (!strcmp(w->in->inflight[i].eni_id, e->id))
			return true;
	/* or it got an action earlier in this very plan */
	for (size_t i = 0; i < w->plan->n; i++)
		if (!strcmp(w->plan->v[i].eni_id, e->id))
			return true;
	return false;
}

static unsigned int eni_slots_left(const struct ipam_work *w, const struct ipam_eni *e)
{
	unsigned int used = e->n.prefixes + e->n.singles;

	for (size_t i = 0; i < w->in->n_inflight; i++) {
		const struct ipam_inflight *f = &w->in->inflight[i];

		if (is_growth(f->act) && !strcmp(f->eni_id, e->id))
			used += f->n_prefixes + f->n_addrs;
	}
	for (size_t i = 0; i < w->plan->n; i++)
		if (!strcmp(w->plan->v[i].eni_id, e->id))
			used += w->plan->v[i].n_prefixes + w->plan->v[i].n_addrs;
	return e->max_slots > used ? e->max_slots - used : 0;
}

/* How many slots to fill: what is short, or with whole_enis all of them, within what max pods can use. */
static unsigned int want_slots(const struct ipam_work *w, unsigned int slots, unsigned int per)
{
	unsigned int n = (unsigned int)(w->left + per - 1) / per;
	unsigned int room = w->plan->need.room, asked = w->plan->need.short_addrs - (unsigned int)w->left;

	/* a call costs the same for more: as much again as is short, while the ENI is at it; not where each takes the place of a prefix */
	if (w->in->targets.adaptive && w->in->targets.mode == IPAM_MODE_ADDRS)
		n = min_u(n + w->in->targets.warm.fill, room == UINT32_MAX ? slots : room > asked ? room - asked : 0);
	if (w->plan->need.whole_enis)
		n = room == UINT32_MAX ? slots : room > asked ? room - asked : 0;
	return min_u(n, slots);
}

static void grow_eni(struct ipam_work *w, const struct ipam_eni *e, bool prefix)
{
	const struct ipam_subnet *s = ipam_work_subnet(w, e->subnet_id);
	enum ipam_act act = prefix ? IPAM_ACT_ASSIGN_PREFIXES : IPAM_ACT_ASSIGN_ADDRS;
	unsigned int per = prefix ? IPAM_PREFIX4_ADDRS : 1, slots = eni_slots_left(w, e), n;
	uint64_t until = exhausted_until(w, s, prefix);
	struct ipam_action *a;

	if (!e->usable || e->state == IPAM_ENI_REMOVING || !slots || !fits_pass(w, s, prefix))
		return;
	if (until) {
		note(w, IPAM_CAUSE_SUBNET_EXHAUSTED, until, e->subnet_id);
		return;
	}
	if (e->blocked_until_ms > w->now_ms) {
		note(w, IPAM_CAUSE_EC2, e->blocked_until_ms, "EC2 says that an ENI is full which is not");
		return;
	}
	if (eni_busy(w, e)) {
		w->left -= (long)slots * per;   /* room for the next call, not for another ENI now */
		return;
	}
	if (blocked(w, act)) {
		/* throttled: its turn comes, and another ENI instead is worth five calls only to those who wait */
		if (w->in->blocks[act].cause == IPAM_CAUSE_THROTTLED && prefix && !w->in->waiting)
			w->left -= (long)slots * per;
		return;
	}
	if (probing(w, act)) {
		w->left -= (long)slots * per;
		return;
	}
	n = want_slots(w, slots, per);
	a = n ? ipam_work_action(w, act) : NULL;
	if (!a)
		return;
	memcpy(a->eni_id, e->id, sizeof(a->eni_id));
	memcpy(a->subnet_id, e->subnet_id, sizeof(a->subnet_id));
	*(prefix ? &a->n_prefixes : &a->n_addrs) = n;
	w->left -= (long)n * per;
}

static void grow_existing(struct ipam_work *w, bool prefix)
{
	for (const struct ipam_eni *e = ipam_pool_eni_next(w->p, NULL); e && w->left > 0;
	     e = ipam_pool_eni_next(w->p, e))
		grow_eni(w, e, prefix);
}

/* ENIs that are being created, and not in the pool yet, will have slots to spare. */
static void wait_for_coming(struct ipam_work *w, bool prefix)
{
	unsigned int per = prefix ? IPAM_PREFIX4_ADDRS : 1, slots = w->in->limits.slots_per_eni;

	for (size_t i = 0; i < w->in->n_inflight; i++) {
		const struct ipam_inflight *f = &w->in->inflight[i];
		const struct ipam_subnet *s = ipam_work_subnet(w, f->subnet_id);
		unsigned int used = f->n_prefixes + f->n_addrs;

		if (f->act != IPAM_ACT_CREATE_ENI || (f->eni_id[0] && ipam_pool_eni(w->p, f->eni_id)))
			continue;
		if (used < slots && fits_pass(w, s, prefix) && !exhausted_until(w, s, prefix))
			w->left -= (long)(slots - used) * per;
	}
}

/*
 * The first subnet for new ENIs that may have what is wanted. The figure of free addresses is old news: a low
 * one puts a subnet behind the others, but only EC2's own word rules it out.
 */
static const struct ipam_subnet *choose_subnet(struct ipam_work *w, bool prefix)
{
	const struct ipam_subnet *scarce = NULL;
	bool any = false;

	for (size_t i = 0; i < w->in->n_subnets; i++) {
		const struct ipam_subnet *s = &w->in->subnets[i];
		uint64_t until = exhausted_until(w, s, prefix);

		if (!s->create)
			continue;
		any = true;
		if (!fits_pass(w, s, prefix))
			continue;
		/* an ENI takes one address for itself */
		if (!until && s->free4 > (prefix ? IPAM_PREFIX4_ADDRS : 1))
			return s;
		if (until)
			note(w, IPAM_CAUSE_SUBNET_EXHAUSTED, until, s->id);
		else if (!scarce)
			scarce = s;
	}
	if (!any)
		note(w, IPAM_CAUSE_NO_LIMITS, 0, "the subnet for new ENIs");
	return scarce;
}

unsigned int ipam_limits_capacity(const struct ipam_limits *l, enum ipam_mode mode)
{
	unsigned int enis = l->max_eni ? min_u(l->max_eni, l->max_enis) : l->max_enis;
	unsigned int n = enis * l->slots_per_eni * (mode == IPAM_MODE_PREFIXES ? IPAM_PREFIX4_ADDRS : 1);

	return l->max_pods && (!n || l->max_pods < n) ? l->max_pods : n;
}

static bool may_create(struct ipam_work *w)
{
	const struct ipam_limits *l = &w->in->limits;
	unsigned int max = min_u(l->max_eni ? min_u(l->max_eni, l->max_enis) : l->max_enis, IPAM_MAX_ENIS);
	char what[96];

	if (!l->max_enis || !l->slots_per_eni) {
		note(w, IPAM_CAUSE_NO_LIMITS, 0, "the instance type's limits");
		return false;
	}
	if (w->enis >= max) {
		snprintf(what, sizeof(what), "%u of %u ENIs%s", w->enis, max,
			 l->max_eni && l->max_eni < l->max_enis ? " (MAX_ENI)" : "");
		note(w, IPAM_CAUSE_ENI_LIMIT, 0, what);
		return false;
	}
	return !blocked(w, IPAM_ACT_CREATE_ENI);
}

static void grow_new(struct ipam_work *w, bool prefix)
{
	unsigned int per = prefix ? IPAM_PREFIX4_ADDRS : 1, n;
	const struct ipam_subnet *s;
	struct ipam_action *a;

	wait_for_coming(w, prefix);
	while (w->left > 0 && may_create(w)) {
		s = choose_subnet(w, prefix);
		if (!s)
			return;
		if (probing(w, IPAM_ACT_CREATE_ENI)) {
			w->left -= (long)w->in->limits.slots_per_eni * per;     /* its turn comes */
			w->enis++;
			continue;
		}
		n = want_slots(w, w->in->limits.slots_per_eni, per);
		if (s->free4 != IPAM_FREE4_UNKNOWN && s->free4 > per)
			n = min_u(n, (s->free4 - 1) / per);
		a = n ? ipam_work_action(w, IPAM_ACT_CREATE_ENI) : NULL;
		if (!a)
			return;
		memcpy(a->subnet_id, s->id, sizeof(a->subnet_id));
		*(prefix ? &a->n_prefixes : &a->n_addrs) = n;
		w->left -= (long)n * per;
		w->enis++;
	}
}

/* Single addresses in prefix mode: for those who wait and a few more, unless the targets count addresses. */
static void clip_fallback(struct ipam_work *w)
{
	const struct ipam_targets *t = &w->in->targets;
	long have = (long)w->fig.available + w->fig.coming + ((long)w->plan->need.short_addrs - w->left);
	long want = FALLBACK_WARM + (long)w->fig.waiting - have;

	if (!t->warm_ip && !t->minimum_ip && want < w->left) {
		w->warm_left -= w->left - want;
		w->left = want;
	}
}

unsigned int ipam_work_spare(const struct ipam_work *w, const struct ipam_eni *except)
{
	unsigned int slots = 0, per = w->in->targets.mode == IPAM_MODE_PREFIXES ? IPAM_PREFIX4_ADDRS : 1;

	for (const struct ipam_eni *e = ipam_pool_eni_next(w->p, NULL); e; e = ipam_pool_eni_next(w->p, e))
		if (e != except && e->usable && e->state != IPAM_ENI_REMOVING)
			slots += eni_slots_left(w, e);
	return slots * per;
}

/*
 * To attach an ENI takes seconds and three calls, to give it an address half a second and one. So the ENI comes before it
 * is needed; it holds no address but its own. Not while anything else is under way, and for no pod beyond max pods.
 */
static void attach_ahead(struct ipam_work *w)
{
	const struct ipam_limits *l = &w->in->limits;
	const struct ipam_subnet *s;
	struct ipam_action *a;

	unsigned int want = min_u(w->in->targets.warm.spare, l->slots_per_eni);

	if (!w->in->targets.adaptive || w->plan->n || w->in->n_inflight || w->in->waiting || w->in->disabled ||
	    ipam_work_spare(w, NULL) >= want ||
	    (l->max_pods && w->fig.total + want > l->max_pods) || !may_create(w))
		return;
	s = choose_subnet(w, w->in->targets.mode == IPAM_MODE_PREFIXES);
	a = s ? ipam_work_action(w, IPAM_ACT_CREATE_ENI) : NULL;
	if (a)
		memcpy(a->subnet_id, s->id, sizeof(a->subnet_id));
}

static void grow(struct ipam_work *w)
{
	bool prefixes = w->in->targets.mode == IPAM_MODE_PREFIXES;

	w->left = w->plan->need.short_addrs;
	w->warm_left = w->left - w->plan->need.demand;
	if (w->left > 0 && w->in->disabled) {
		note(w, IPAM_CAUSE_DISABLED, 0, "");
	} else if (w->left > 0) {
		if (prefixes) {
			grow_existing(w, true);
			grow_new(w, true);
			clip_fallback(w);
		}
		if (w->left > 0)
			grow_existing(w, false);
		if (w->left > 0)
			grow_new(w, false);
	}
	/* those who wait come first: what is still short is short of warm addresses as far as there are any */
	w->plan->unmet = (unsigned int)(w->left > 0 ? w->left : 0) + w->plan->need.refused;
	w->plan->unserved = w->plan->need.refused;
	if (w->left > w->warm_left)
		w->plan->unserved += (unsigned int)(w->left - (w->warm_left > 0 ? w->warm_left : 0));
	if (w->plan->need.refused)
		note(w, IPAM_CAUSE_MAX_PODS, 0, "");
	if (w->plan->unmet)
		w->plan->why = w->why;
}

static void figures(struct ipam_work *w)
{
	const struct ipam_plan_in *in = w->in;
	struct ipam_stats st;

	ipam_pool_stats(w->p, &st);
	w->fig = (struct ipam_figures){
		.total = st.total - st.unusable + st.orphaned,
		.assigned = st.assigned,
		.available = st.available + st.pending,
		.cooling = st.cooling,
		.waiting = in->waiting,
		.prefixes = st.prefixes,
		.free_prefixes = st.free_prefixes,
		.slots_per_eni = in->limits.slots_per_eni,
		.max_pods = in->limits.max_pods,
	};
	w->enis = st.enis + in->limits.other_enis;
	for (size_t i = 0; i < in->n_inflight; i++) {
		const struct ipam_inflight *f = &in->inflight[i];

		if (!is_growth(f->act))
			continue;
		w->fig.coming += f->n_prefixes * IPAM_PREFIX4_ADDRS + f->n_addrs;
		w->enis += f->act == IPAM_ACT_CREATE_ENI && !(f->eni_id[0] && ipam_pool_eni(w->p, f->eni_id));
	}
}

void ipam_plan(const struct ipam_pool *p, const struct ipam_plan_in *in, struct ipam_plan *ret_plan)
{
	struct ipam_work w = { .p = p, .in = in, .plan = ret_plan, .now_ms = ipam_pool_now(p) };

	ret_plan->n = 0;
	ret_plan->unmet = ret_plan->unserved = 0;
	ret_plan->why = (struct ipam_why){ 0 };
	ret_plan->again_ms = IPAM_NEVER;
	figures(&w);
	ret_plan->need = ipam_need(&in->targets, &w.fig);
	grow(&w);
	if (!ret_plan->need.short_addrs)
		attach_ahead(&w);
	if (in->waiting)
		ipam_work_again(&w, ipam_pool_next_free_ms(p));
	if (in->shrink && !in->disabled && !in->waiting && !in->n_inflight && !ret_plan->n &&
	    !ret_plan->need.short_addrs)
		ipam_work_shrink(&w);
}

void ipam_plan_why(const struct ipam_pool *p, const struct ipam_plan_in *in, struct ipam_why *ret_why)
{
	struct ipam_plan_in asked = *in;
	struct ipam_stats st;
	struct ipam_plan plan;

	*ret_why = (struct ipam_why){ 0 };
	if (!asked.waiting)
		asked.waiting = 1;
	ipam_pool_stats(p, &st);
	if (st.available >= asked.waiting)
		return;
	ipam_plan(p, &asked, &plan);
	/* a warm target out of reach stops nobody while what is planned or coming serves those who wait */
	if (plan.unserved)
		*ret_why = plan.why;
	else if (!plan.n)
		ret_why->cause = IPAM_CAUSE_UNDER_WAY;
}
