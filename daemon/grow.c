/*
 * From plan to jobs. The planner is asked after every change; it sees what is under way, so that nothing is asked for
 * twice. Each action becomes a job in a worker; its result is taken in by grow_apply.c and the planner is asked again.
 */
#include "daemon/grow.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/discover.h"
#include "daemon/grow6.h"
#include "daemon/grow_apply.h"
#include "daemon/grow_state.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "daemon/placement.h"
#include "daemon/store.h"
#include "ipam/demand.h"
#include "ipam/planner.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"

#include <string.h>
#include <sys/random.h>

#define JOB_DEADLINE_MS 90000
#define DEMAND_KEY "demand"
#define LEFTOVER_PAUSE_MS 15000 /* between two tries to finish an ENI that is half made or half gone */
#define DELETE_KIND "delete-eni"        /* an intent whose token is the ENI's id */
#define DEMAND_SAVE_MS 30000    /* what a crash may forget */

struct ipam_subnet *grow_subnet(struct grow *g, const char *id)
{
	for (size_t i = 0; i < g->n_subnets; i++)
		if (!strcmp(g->subnets[i].id, id))
			return &g->subnets[i];
	if (g->n_subnets == GROW_MAX_SUBNETS || strlen(id) >= sizeof(g->subnets[0].id))
		return NULL;
	g->subnets[g->n_subnets] = (struct ipam_subnet){ .free4 = IPAM_FREE4_UNKNOWN };
	(void)VW_COPY(g->subnets[g->n_subnets].id, id);
	return &g->subnets[g->n_subnets++];
}

enum ipam_act grow_act(const struct grow_job *j)
{
	switch (j->kind) {
	case GROW_CREATE_ENI:
		return IPAM_ACT_CREATE_ENI;
	case GROW_ASSIGN:
		return j->n_prefixes ? IPAM_ACT_ASSIGN_PREFIXES : IPAM_ACT_ASSIGN_ADDRS;
	case GROW_UNASSIGN:
		return IPAM_ACT_UNASSIGN;
	case GROW_DELETE_ENI:
	case GROW_ASSIGN6:
	case GROW_TIE:
		break;
	}
	return IPAM_ACT_REMOVE_ENI;
}

/* --- jobs */

static int save_eni(struct daemon *d, const char *id)
{
	const struct eni *e = eni_by_id(d, id);
	struct vw_err err;
	int r = e ? eni_save(d, e, &err) : 0;

	if (r < 0)
		vw_warn("an ENI could not be recorded", "eni=%s err=\"%s\"", id, err.msg);
	return r;
}

/*
 * What was taken out of service for a shrink that EC2 refused serves again. When nobody knows whether EC2 did it, it must not:
 * the next survey says which.
 */
static void undo_shrink(struct daemon *d, const struct grow_job *j)
{
	if (j->kind != GROW_UNASSIGN && j->kind != GROW_DELETE_ENI)
		return;
	if (j->detached || j->err.unknown) {
		d->grow->look_again |= j->kind == GROW_UNASSIGN;
		for (size_t i = 0; j->kind == GROW_UNASSIGN && i < j->n_known; i++)
			settle_gave(&d->grow->given, &j->known[i], vw_mono_ms());
		return;
	}
	for (size_t i = 0; j->kind == GROW_UNASSIGN && i < j->n_known; i++)
		(void)ipam_pool_slot_retire(d->pool, &j->known[i], false);
	if (j->kind == GROW_UNASSIGN)
		(void)save_eni(d, j->eni_id);
	if (j->kind == GROW_DELETE_ENI)
		eni_keep(d, j->eni_id);
}

/* EC2 has nothing of it, or all of it is ours, or nothing of it was done; otherwise the next survey's end goes on with it */
static bool intent_over(const struct grow_job *j)
{
	if (j->kind == GROW_CREATE_ENI)
		return j->attached || (!j->created && !j->err.unknown && !j->left);
	return j->kind == GROW_DELETE_ENI && (j->r == 0 || (!j->detached && !j->err.unknown));
}

static void job_done(void *arg)
{
	struct grow_job *j = arg;
	struct daemon *d = j->d;
	struct grow *g = d->grow;
	struct vw_err err;

	g->changes++;
	for (size_t i = 0; i < g->n_jobs; i++)
		if (g->jobs[i] == j)
			g->jobs[i] = g->jobs[--g->n_jobs];
	if (j->kind == GROW_ASSIGN6) {
		grow6_done(d, j);
	} else if (j->kind == GROW_TIE) {
		grow_tied(d, j);
	} else if (j->attached) {
		grow_created(d, j);
	} else if (j->r < 0) {
		undo_shrink(d, j);
		grow_failed(d, j);
	} else if (j->kind == GROW_ASSIGN) {
		grow_assigned(d, j);
	} else if (j->kind == GROW_UNASSIGN) {
		grow_unassigned(d, j);
	} else if (j->kind == GROW_DELETE_ENI) {
		grow_deleted(d, j);
	}
	/* not at once: what EC2 refuses now it will refuse in a moment, too */
	if (j->token[0] && !intent_over(j) && !loop_timer_active(d->retry_timer))
		loop_timer_set(d->retry_timer, LEFTOVER_PAUSE_MS);
	if (intent_over(j) && store_intent_del(d->store, j->token, &err) < 0)
		vw_warn("a finished intent could not be removed, the next start looks at it again", "err=\"%s\"", err.msg);
	grow_job_free(j);
	if (d->stopping)
		return;
	if (g->look_again) {
		g->look_again = false;
		discover_start(d);
	}
	daemon_pool_changed(d);
}

int grow_job_start(struct daemon *d, struct grow_job *j)
{
	struct grow *g = d->grow;

	j->d = d;
	j->cloud = d->cloud;
	j->deadline_ms = vw_mono_ms() + JOB_DEADLINE_MS;
	j->wanted_ms = g->wanted_ms ? g->wanted_ms : vw_mono_ms();
	if (g->n_jobs == GROW_MAX_JOBS || loop_job(d->loop, grow_job_work, job_done, j) < 0) {
		grow_job_free(j);
		return -EAGAIN;
	}
	g->jobs[g->n_jobs++] = j;
	g->changes++;
	return 0;
}

static int tag(struct grow_job *j, const char *key, const char *value)
{
	if (j->n_tags == GROW_MAX_TAGS)
		return -ENOSPC;
	if (vw_fmt(j->tag_text[j->n_tags][0], sizeof(j->tag_text[0][0]), "%s", key) < 0 ||
	    vw_fmt(j->tag_text[j->n_tags][1], sizeof(j->tag_text[0][1]), "%s", value) < 0)
		return -ENAMETOOLONG;
	j->n_tags++;
	return 0;
}

/* the same for the same intent, also in another life: EC2 refuses a token that comes with other parameters */
static int fill_tags(struct daemon *d, struct grow_job *j, const struct store_intent *i)
{
	char created[VW_TIME_STRLEN];
	int r = tag(j, TAG_INSTANCE, d->node.instance_id);

	if (r == 0)
		r = tag(j, TAG_CREATED, vw_time_str((int64_t)i->created_unix, created));
	if (r == 0)
		r = tag(j, TAG_INTENT, i->token);
	if (r == 0 && d->cfg->cluster_name[0])
		r = tag(j, TAG_CLUSTER, d->cfg->cluster_name);
	for (size_t k = 0; r == 0 && k < d->cfg->n_additional_eni_tags; k++)
		r = tag(j, d->cfg->additional_eni_tags[k].key, d->cfg->additional_eni_tags[k].value);
	return r;
}

static void fill_groups(const struct daemon *d, struct grow_job *j)
{
	const struct place *p = placement(d);

	memcpy(j->groups, p->groups, sizeof(j->groups));
	j->n_groups = p->n_groups;
}

static int pick_device(const struct daemon *d, struct grow_job *j)
{
	node_cards(&d->node, d->cfg->multi_nic, &j->cards);
	for (uint32_t i = 0; i < j->cards.n; i++)
		j->cards.taken[i] |= d->enis.unmanaged.taken[i];
	for (size_t i = 0; i < d->grow->n_jobs; i++)
		if (d->grow->jobs[i]->kind == GROW_CREATE_ENI)
			cards_take(&j->cards, d->grow->jobs[i]->card, d->grow->jobs[i]->device);
	for (size_t i = 0; i < d->enis.n; i++)
		if (!d->enis.v[i].unrouted)
			cards_take(&j->cards, d->enis.v[i].row.card, d->enis.v[i].row.device);
	return cards_pick(&j->cards, &j->card, &j->device);
}

static void known_subnet(const struct daemon *d, struct grow_job *j)
{
	const struct ec2_subnet *s = place_known(placement(d), j->subnet_id);

	if (s)
		j->subnet = s->cidr4;
	for (size_t i = 0; i < d->enis.n; i++)
		if (!strcmp(d->enis.v[i].row.subnet_id, j->subnet_id))
			j->subnet = d->enis.v[i].row.subnet;
}

static int start_intent(struct daemon *d, const struct store_intent *i, bool resumed)
{
	struct grow_job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->kind = GROW_CREATE_ENI;
	j->n_prefixes = i->n_prefixes;
	j->n_addrs = i->n_addrs;
	j->n_prefixes6 = d->cfg->enable_ipv6;
	j->intent_unix = i->created_unix;
	j->resumed = resumed;
	(void)VW_COPY(j->subnet_id, i->subnet_id);
	(void)VW_COPY(j->token, i->token);
	(void)VW_COPY(j->instance_id, d->node.instance_id);
	fill_groups(d, j);
	known_subnet(d, j);
	j->abandon = pick_device(d, j) < 0;
	if (fill_tags(d, j, i) < 0 || (j->abandon && !d->node.max_enis)) {
		grow_job_free(j);
		return -ENOSPC;
	}
	return grow_job_start(d, j);
}

/* A token for EC2 must not come twice for different ENIs, also after the store was lost: instance, time and chance */
static void make_token(const struct daemon *d, char ret[EC2_TOKEN_MAX + 1])
{
	struct {
		char instance[IMDS_ID_LEN];
		uint64_t when, chance;
	} seed = { .when = vw_mono_us() };
	char hex[VW_SHA256_HEXLEN];

	(void)VW_COPY(seed.instance, d->node.instance_id);
	if (getrandom(&seed.chance, sizeof(seed.chance), 0) < 0)
		seed.chance = seed.when;
	vw_sha256_hex(&seed, sizeof(seed), hex);
	memcpy(ret, hex, EC2_TOKEN_MAX);
	ret[EC2_TOKEN_MAX] = 0;
}

static int start_create(struct daemon *d, const struct ipam_action *a)
{
	struct store_intent i = {
		.kind = "create-eni",
		.n_prefixes = a->n_prefixes,
		.n_addrs = a->n_addrs,
		.created_unix = (uint64_t)vw_unix_s(),
	};
	struct vw_err err;
	int r;

	make_token(d, i.token);
	(void)!vw_fmt(i.subnet_id, sizeof(i.subnet_id), "%s", a->subnet_id);
	if (store_intent_put(d->store, &i, &err) < 0) {
		vw_error("an intent could not be recorded, no ENI is created", "err=\"%s\"", err.msg);
		return -EIO;
	}
	vw_info("creating an ENI", "subnet=%s prefixes=%u addresses=%u", i.subnet_id, i.n_prefixes, i.n_addrs);
	r = start_intent(d, &i, false);
	/* EC2 has not heard of it: the next survey must not finish what the planner asks for anew by then */
	if (r < 0 && store_intent_del(d->store, i.token, &err) < 0)
		vw_warn("a void intent could not be removed, the next survey carries it out", "err=\"%s\"", err.msg);
	return r;
}

static int start_on_eni(struct daemon *d, const struct ipam_action *a, enum grow_kind kind)
{
	const struct eni *e = eni_by_id(d, a->eni_id);
	struct grow_job *j = calloc(1, sizeof(*j));
	const struct vw_cidr *cidrs = kind == GROW_UNASSIGN ? a->cidrs : e ? e->row.slots : NULL;
	size_t n = kind == GROW_UNASSIGN ? a->n_cidrs : e ? e->row.n_slots : 0;

	if (!e || !j || !(j->known = calloc(n + SETTLE_MAX, sizeof(*j->known)))) {
		grow_job_free(j);
		return -ENOMEM;
	}
	j->kind = kind;
	j->n_prefixes = a->n_prefixes;
	j->n_addrs = a->n_addrs;
	(void)VW_COPY(j->eni_id, e->row.id);
	if (kind == GROW_DELETE_ENI)
		(void)VW_COPY(j->token, e->row.id);
	(void)VW_COPY(j->attachment_id, e->row.attachment_id);
	for (size_t i = 0; i < n; i++)
		j->known[j->n_known++] = cidrs[i];
	/* when the answer is lost, a describe that shows what was given back a moment ago is old, and not the answer */
	if (kind == GROW_ASSIGN)
		j->n_known += settle_list(&d->grow->given, vw_mono_ms(), &j->known[n]);
	return grow_job_start(d, j);
}

static int start_unassign(struct daemon *d, const struct ipam_action *a)
{
	size_t i;

	for (i = 0; i < a->n_cidrs; i++)
		if (ipam_pool_slot_retire(d->pool, &a->cidrs[i], true) < 0)
			break;
	if (i == a->n_cidrs && save_eni(d, a->eni_id) == 0 && start_on_eni(d, a, GROW_UNASSIGN) == 0)
		return 0;
	while (i-- > 0)
		(void)ipam_pool_slot_retire(d->pool, &a->cidrs[i], false);
	(void)save_eni(d, a->eni_id);
	return -EAGAIN;
}

static int start_remove(struct daemon *d, const struct ipam_action *a)
{
	struct store_intent i = { .kind = DELETE_KIND, .created_unix = (uint64_t)vw_unix_s() };
	struct vw_err err;

	if (ipam_pool_eni_state(d->pool, a->eni_id, IPAM_ENI_REMOVING) < 0)
		return -EAGAIN;
	(void)eni_free_routes(d, eni_by_id(d, a->eni_id));
	/* between detach and delete nothing at EC2 says that it was this node's */
	(void)!vw_fmt(i.token, sizeof(i.token), "%s", a->eni_id);
	if (store_intent_put(d->store, &i, &err) < 0) {
		vw_error("an intent could not be recorded, no ENI is deleted", "err=\"%s\"", err.msg);
	} else {
		if (start_on_eni(d, a, GROW_DELETE_ENI) == 0)
			return 0;
		(void)store_intent_del(d->store, i.token, &err);
	}
	eni_keep(d, a->eni_id);
	return -EAGAIN;
}

static int start_action(struct daemon *d, const struct ipam_action *a)
{
	switch (a->act) {
	case IPAM_ACT_CREATE_ENI:
		return start_create(d, a);
	case IPAM_ACT_ASSIGN_PREFIXES:
	case IPAM_ACT_ASSIGN_ADDRS:
		return start_on_eni(d, a, GROW_ASSIGN);
	case IPAM_ACT_UNASSIGN:
		d->grow->last_shrink_ms = vw_mono_ms();
		return start_unassign(d, a);
	case IPAM_ACT_REMOVE_ENI:
		d->grow->last_shrink_ms = vw_mono_ms();
		return start_remove(d, a);
	case IPAM_ACT_COUNT_:
		break;
	}
	return -EINVAL;
}

/* --- plans */

static void fill_inflight(const struct grow *g, struct grow_input *p)
{
	p->in.n_inflight = 0;
	for (size_t i = 0; i < g->n_jobs; i++) {
		const struct grow_job *j = g->jobs[i];
		struct ipam_inflight *f = &p->inflight[p->in.n_inflight];

		if (j->kind == GROW_ASSIGN6 || j->kind == GROW_TIE)
			continue;
		p->in.n_inflight++;
		*f = (struct ipam_inflight){ .act = grow_act(j), .n_prefixes = j->n_prefixes, .n_addrs = j->n_addrs };
		(void)VW_COPY(f->eni_id, j->eni_id);
		(void)VW_COPY(f->subnet_id, j->subnet_id);
	}
	p->in.inflight = p->inflight;
}

static void fill_subnets(const struct daemon *d, struct grow_input *p)
{
	const struct place *pl = placement(d);
	size_t n = 0;

	/* first those where ENIs may be created, in order; then the others that ENIs are in */
	for (size_t i = 0; i < pl->n; i++) {
		const struct ipam_subnet *s = grow_subnet(d->grow, pl->v[i].id);

		if (!s)
			continue;
		p->subnets[n] = *s;
		p->subnets[n].create = true;
		p->subnets[n++].free4 = pl->v[i].free4;
	}
	for (size_t i = 0; i < d->enis.n; i++)
		(void)grow_subnet(d->grow, d->enis.v[i].row.subnet_id);
	for (size_t i = 0; i < d->grow->n_subnets; i++) {
		bool there = false;

		for (size_t k = 0; k < pl->n && !there; k++)
			there = !strcmp(pl->v[k].id, d->grow->subnets[i].id);
		if (!there)
			p->subnets[n++] = d->grow->subnets[i];
	}
	p->in.subnets = p->subnets;
	p->in.n_subnets = n;
}

static enum ipam_mode plan_mode(const struct daemon *d)
{
	return d->cfg->prefix_delegation && d->node.prefixes ? IPAM_MODE_PREFIXES : IPAM_MODE_ADDRS;
}

static struct ipam_limits plan_limits(const struct daemon *d)
{
	struct cards cards;
	unsigned int gone = 0;

	for (size_t i = 0; i < d->enis.n; i++)
		gone += d->enis.v[i].unrouted;
	node_cards(&d->node, d->cfg->multi_nic, &cards);
	return (struct ipam_limits){
		.max_enis = cards_total(&cards) ? cards_total(&cards) + gone : 0,
		.max_eni = d->cfg->max_eni ? d->cfg->max_eni + gone : 0,
		.other_enis = d->enis.n_unmanaged,
		.slots_per_eni = d->node.ips_per_eni ? d->node.ips_per_eni - 1 : 0,
		.max_pods = d->cfg->max_pods,
		.eni_min_age_ms = IPAM_ENI_MIN_AGE_MS,
		.shrink_interval_ms = IPAM_SHRINK_INTERVAL_MS,
	};
}

static unsigned int plan_capacity(const struct daemon *d)
{
	const struct ipam_limits limits = plan_limits(d);

	return ipam_limits_capacity(&limits, plan_mode(d));
}

void grow_limits(const struct daemon *d, unsigned int *ret_enis, unsigned int *ret_addrs)
{
	const struct ipam_limits limits = plan_limits(d);

	*ret_enis = limits.max_eni && limits.max_eni < limits.max_enis ? limits.max_eni : limits.max_enis;
	*ret_addrs = plan_capacity(d);
}

void grow_input(const struct daemon *d, struct grow_input *p)
{
	const struct vwired_config *c = d->cfg;

	*p = (struct grow_input){ 0 };
	p->in.targets = (struct ipam_targets){
		.mode = plan_mode(d),
		.warm_eni = c->warm_eni_target,
		.warm_ip = c->warm_ip_target,
		.minimum_ip = c->minimum_ip_target,
		.warm_prefix = c->warm_prefix_target,
	};
	p->in.targets.adaptive = grow_warm(d, &p->in.targets.warm);
	p->in.limits = plan_limits(d);
	p->in.drain = d->draining;
	if (d->draining) {      /* nothing is kept, and nobody waits for it to grow old */
		p->in.targets = (struct ipam_targets){ .mode = plan_mode(d), .adaptive = true };
		p->in.limits.eni_min_age_ms = p->in.limits.shrink_interval_ms = 0;
	}
	fill_inflight(d->grow, p);
	fill_subnets(d, p);
	memcpy(p->in.blocks, d->grow->blocks, sizeof(p->in.blocks));
	p->in.waiting = d->n_hungry;
	/*
	 * What leaves the node is no longer known to be ours: after a death its connections would not be forgotten, and a slot that
	 * EC2 had not taken back by then comes again with them. The end of the reap, or of the sweep, plans anew.
	 */
	p->in.shrink = d->discovered && !d->all_stale && !hostnet_dying(d->hostnet);
	p->in.last_shrink_ms = d->grow->last_shrink_ms;
	p->in.disabled = c->disable_provisioning;
}

/* --- demand */

void grow_demand(struct daemon *d, enum grow_demand event)
{
	struct ipam_demand *m = &d->grow->demand;
	uint64_t now = vw_mono_ms();

	switch (event) {
	case GROW_ARRIVED:
		ipam_demand_arrive(m, now);
		break;
	case GROW_WITHDRAWN:
		ipam_demand_withdraw(m, now);
		break;
	case GROW_LEFT:
		ipam_demand_leave(m, now);
		break;
	}
}

bool grow_warm(const struct daemon *d, struct ipam_warm *ret_warm)
{
	if (!d->cfg->warm_auto)
		return false;
	*ret_warm = ipam_demand_warm(&d->grow->demand, vw_mono_ms(), plan_mode(d), plan_capacity(d));
	return true;
}

void grow_save(struct daemon *d)
{
	char text[IPAM_DEMAND_TEXT];
	struct vw_err err;

	if (!d->grow || !d->store || !memcmp(&d->grow->demand, &d->grow->demand_stored, sizeof(d->grow->demand)))
		return;
	d->grow->demand_stored = d->grow->demand;
	if (store_meta_put(d->store, DEMAND_KEY, ipam_demand_print(&d->grow->demand, text), &err) < 0)
		vw_warn("the memory of demand could not be recorded, a restart begins without it", "err=\"%s\"", err.msg);
}

static void load_demand(struct daemon *d, struct grow *g)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	uint64_t now = vw_mono_ms();
	struct vw_err err;
	int r = store_meta_get(d->store, DEMAND_KEY, &text, &err);

	ipam_demand_init(&g->demand, now);
	if (r < 0)
		vw_warn("the memory of demand could not be read, beginning without it", "err=\"%s\"", err.msg);
	else if (r && ipam_demand_parse(&g->demand, vw_buf_str(&text), now) < 0)
		vw_warn("the memory of demand is not readable, beginning without it", "text=\"%.64s\"", vw_buf_str(&text));
	g->demand_stored = g->demand;
}

/* The store is written at most so often: no ADD pays for it. Return: when to look again, IPAM_NEVER. */
static uint64_t demand_due(struct daemon *d, const struct ipam_targets *t, uint64_t now)
{
	const struct grow *g = d->grow;
	struct ipam_stats st;
	uint64_t due = IPAM_NEVER, falls;

	/* by the clock, not by the last demand: the time of that stands still when nothing more comes */
	if (g->demand.at_ms != g->demand_stored.at_ms && now >= g->demand_stored.at_ms + DEMAND_SAVE_MS)
		grow_save(d);
	else if (g->demand.at_ms != g->demand_stored.at_ms)
		due = g->demand_stored.at_ms + DEMAND_SAVE_MS;
	if (!t->adaptive)
		return due;
	ipam_pool_stats(d->pool, &st);
	falls = ipam_demand_falls_ms(&g->demand, now, t->mode, plan_capacity(d), st.available);
	return falls > now && falls < due ? falls : due;
}

/* Return: when to plan again even if nothing happens, IPAM_NEVER */
static uint64_t plan4(struct daemon *d, uint64_t now)
{
	struct grow_input p;
	struct ipam_plan plan;
	uint64_t due;

	ipam_pool_advance(d->pool, now);
	grow_hurry(d, now);
	grow_input(d, &p);
	ipam_plan(d->pool, &p.in, &plan);
	if (!plan.need.short_addrs)
		d->grow->wanted_ms = 0;
	else if (!d->grow->wanted_ms)
		d->grow->wanted_ms = now;
	for (size_t i = 0; i < plan.n; i++) {
		if (start_action(d, &plan.v[i]) < 0) {
			vw_warn("an action could not be started, retrying", "action=%s eni=%s", ipam_act_str(plan.v[i].act),
				plan.v[i].eni_id);
			plan.again_ms = now + 1000;
		}
	}
	due = demand_due(d, &p.in.targets, now);
	return due < plan.again_ms ? due : plan.again_ms;
}

void grow_plan(struct daemon *d)
{
	uint64_t again4, again, now = vw_mono_ms();

	if (!d->cloud->ec2 || !d->discovered || d->stopping)
		return;
	again = grow6_plan(d, now);
	again4 = d->cfg->enable_ipv4 ? plan4(d, now) : IPAM_NEVER;
	if (again4 < again)
		again = again4;
	if (again != IPAM_NEVER)
		loop_timer_set(d->grow->replan, again > now ? again - now : 1);
	else
		loop_timer_stop(d->grow->replan);
}

static void on_replan(void *arg)
{
	daemon_pool_changed(arg);
}

void grow_ask_why(const struct daemon *d, struct ipam_why *ret_why)
{
	struct grow_input p;

	grow_input(d, &p);
	ipam_plan_why(d->pool, &p.in, ret_why);
}

bool grow_has_token(const struct daemon *d, const char *token)
{
	for (size_t k = 0; k < d->grow->n_jobs; k++)
		if (!strcmp(d->grow->jobs[k]->token, token))
			return true;
	return false;
}

/* EC2 has just been asked: an ENI that it shows attached was not begun to be removed; another one is to be deleted */
static int resume_delete(struct daemon *d, const char *eni_id)
{
	const struct eni *e = eni_by_id(d, eni_id);
	struct grow_job *j;
	struct vw_err err;

	if (!d->grow->resume_deletes) {
		loop_timer_set(d->retry_timer, LEFTOVER_PAUSE_MS);
		return 0;
	}
	if (e && e->at_ec2) {
		eni_keep(d, eni_id);
		if (store_intent_del(d->store, eni_id, &err) < 0)
			vw_warn("a void intent could not be removed, retrying", "eni=%s err=\"%s\"", eni_id, err.msg);
		return 0;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return 0;
	j->kind = GROW_DELETE_ENI;
	j->detached = true;
	(void)VW_COPY(j->eni_id, eni_id);
	(void)VW_COPY(j->token, eni_id);
	vw_info("deleting an ENI that an earlier life detached", "eni=%s", eni_id);
	(void)grow_job_start(d, j);
	return 0;
}

static int resume_one(const struct store_intent *i, void *arg)
{
	struct daemon *d = arg;

	if (grow_has_token(d, i->token))
		return 0;
	if (!strcmp(i->kind, DELETE_KIND))
		return resume_delete(d, i->token);
	vw_info("finishing an ENI that an earlier life began", "subnet=%s", i->subnet_id);
	if (start_intent(d, i, true) < 0)
		vw_warn("it could not be started, retrying", "subnet=%s", i->subnet_id);
	return 0;
}

void grow_resume(struct daemon *d, bool quiet)
{
	struct vw_err err;

	if (!d->cloud->ec2 || d->stopping || d->cfg->disable_provisioning)
		return;
	d->grow->resume_deletes = quiet;
	if (store_intent_each(d->store, resume_one, d, &err) < 0)
		vw_warn("open intents could not be read, retrying", "err=\"%s\"", err.msg);
}

static int restore_one(const struct store_intent *i, void *arg)
{
	struct daemon *d = arg;

	if (!strcmp(i->kind, DELETE_KIND))
		(void)ipam_pool_eni_state(d->pool, i->token, IPAM_ENI_REMOVING);
	if (!strcmp(i->kind, DELETE_KIND))
		(void)eni_free_routes(d, eni_by_id(d, i->token));
	return 0;
}

int grow_restore(struct daemon *d, struct vw_err *err)
{
	return store_intent_each(d->store, restore_one, d, err);
}

uint64_t grow_changes(const struct daemon *d)
{
	return d->grow->n_jobs ? UINT64_MAX : d->grow->changes;
}

bool grow_doubts(const struct daemon *d, const struct vw_cidr *c, uint64_t asked_ms)
{
	return settle_doubts(&d->grow->given, c, asked_ms);
}

bool grow_brings(const struct grow_job *j)
{
	return j->kind == GROW_CREATE_ENI || j->kind == GROW_ASSIGN || j->kind == GROW_ASSIGN6;
}

size_t grow_in_flight(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->grow->n_jobs; i++)
		n += grow_brings(d->grow->jobs[i]);
	return n;
}

int grow_new(struct daemon *d, struct grow **ret_grow, struct vw_err *err)
{
	struct grow *g = calloc(1, sizeof(*g));

	if (!g || loop_timer_new(d->loop, on_replan, d, &g->replan) < 0) {
		free(g);
		return vw_err_set(err, ENOMEM, 0, "no memory for the planner's state");
	}
	if (getrandom(&g->chance, sizeof(g->chance), 0) < 0)
		g->chance = vw_mono_us();
	load_demand(d, g);
	*ret_grow = g;
	return 0;
}

void grow_free(struct grow *g)
{
	free(g);        /* the timer went with the loop, the jobs with their results */
}
