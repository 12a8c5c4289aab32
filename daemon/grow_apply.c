/*
 * Taking in the results of jobs. Success goes kernel -> pool -> store, so that an address is handed out only when packets to
 * it will arrive; a failure becomes state that the planner sees (struct grow), with the sentence that ADD will show.
 */
#include "daemon/grow_apply.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/grow_state.h"
#include "daemon/loop.h"
#include "daemon/placement.h"
#include "ipam/demand.h"
#include "ipam/pause.h"
#include "ipam/pool.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <stdlib.h>
#include <string.h>

#define ENI_PAUSE_MS 10000
#define FAIL_PAUSE_MIN_MS 1000
#define FAIL_PAUSE_MAX_MS 60000
#define LOOK_PAUSE_MS 15000     /* before a survey ties what could not be tied at once, or finds what an answer that was lost said */

/* --- failures */

static uint64_t jitter(struct grow *g, uint64_t ms)
{
	g->chance = g->chance * 6364136223846793005u + 1442695040888963407u;
	return ms / 2 + (g->chance >> 33) % (ms / 2 + 1);
}

uint64_t grow_next_pause(struct grow *g, uint64_t *pause_ms)
{
	*pause_ms = *pause_ms ? 2 * *pause_ms : FAIL_PAUSE_MIN_MS;
	if (*pause_ms > FAIL_PAUSE_MAX_MS)
		*pause_ms = FAIL_PAUSE_MAX_MS;
	return jitter(g, *pause_ms);
}

/* the planner's word for a failure of EC2 */
static enum ipam_cause cause_of(enum ec2_fail kind)
{
	switch (kind) {
	case EC2_THROTTLED:
		return IPAM_CAUSE_THROTTLED;
	case EC2_UNAUTHORIZED:
		return IPAM_CAUSE_DENIED;
	case EC2_NO_CREDS:
	case EC2_EXPIRED_CREDS:
	case EC2_CLOCK_SKEW:
		return IPAM_CAUSE_CREDENTIALS;
	case EC2_ATTACH_LIMIT:
		return IPAM_CAUSE_ENI_LIMIT;
	default:
		return IPAM_CAUSE_EC2;
	}
}

static bool is_growth(enum ipam_act act)
{
	return act == IPAM_ACT_CREATE_ENI || act == IPAM_ACT_ASSIGN_PREFIXES || act == IPAM_ACT_ASSIGN_ADDRS;
}

/* credentials, EC2 out of reach: the next kind of call would fare no better, and must not be tried instead */
static bool concerns_all(enum ipam_cause cause)
{
	return cause == IPAM_CAUSE_CREDENTIALS || cause == IPAM_CAUSE_EC2;
}

void grow_hurry(struct daemon *d, uint64_t now)
{
	struct grow *g = d->grow;

	for (enum ipam_act act = 0; d->n_hungry && act < IPAM_ACT_COUNT_; act++) {
		if (!is_growth(act) || g->blocks[act].cause != IPAM_CAUSE_THROTTLED)
			continue;
		(void)jitter(g, 2);
		g->blocks[act].until_ms = ipam_pause_hurry(g->blocks[act].until_ms, now, g->chance);
	}
}

struct ipam_why grow_why(const char *api, const struct ec2_error *e, uint64_t until_ms)
{
	struct ipam_why why = { .cause = cause_of(e->kind), .until_ms = until_ms };

	if (e->permission[0])
		(void)VW_COPY(why.what, e->permission);
	else if (why.cause == IPAM_CAUSE_THROTTLED && !e->code[0])
		(void)!vw_fmt(why.what, sizeof(why.what), "ec2:%s is kept to this node's own rate", api);
	else if (why.cause == IPAM_CAUSE_DENIED || why.cause == IPAM_CAUSE_THROTTLED)
		(void)!vw_fmt(why.what, sizeof(why.what), "ec2:%s", api);
	else
		(void)!vw_fmt(why.what, sizeof(why.what), "%.*s", (int)sizeof(why.what) - 1, e->why.msg);
	return why;
}

/* throttled: who can do without for a while leaves the next token to others */
static uint64_t throttle_pause(struct daemon *d, const struct grow_job *j, uint64_t now)
{
	/* an empty ENI is attached ahead of need */
	bool ahead = j->kind == GROW_CREATE_ENI && !j->n_addrs && !j->n_prefixes;
	enum ipam_act act = grow_act(j);
	struct grow *g = d->grow;
	struct ipam_stats st;
	uint64_t lasts;

	ipam_pool_stats(d->pool, &st);
	lasts = d->n_hungry ? 0 : ipam_demand_lasts_ms(&g->demand, now, st.available);
	(void)jitter(g, 2);
	return ipam_pause_next(&g->pause_ms[act], is_growth(act) && !ahead, lasts, g->chance);
}

static void block(struct daemon *d, const struct grow_job *j, uint64_t now)
{
	struct grow *g = d->grow;
	uint64_t pause = j->err.kind == EC2_THROTTLED ? throttle_pause(d, j, now) :
							grow_next_pause(g, &g->pause_ms[grow_act(j)]);
	const struct ipam_why why = grow_why(j->api, &j->err, now + pause);

	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++)
		if (act == grow_act(j) || (is_growth(act) && is_growth(grow_act(j)) && concerns_all(why.cause)))
			g->blocks[act] = why;
}

/* EC2 says that this ENI is full: leave it alone until the survey has counted its addresses again */
static void block_eni(struct daemon *d, const char *id, uint64_t now)
{
	const struct ipam_eni *known = ipam_pool_eni(d->pool, id);
	struct ipam_eni e;

	if (!known)
		return;
	e = *known;
	e.blocked_until_ms = now + ENI_PAUSE_MS;
	(void)ipam_pool_eni_put(d->pool, &e);
}

struct ipam_subnet *grow_job_subnet(struct daemon *d, const struct grow_job *j)
{
	const struct eni *e = j->kind == GROW_ASSIGN ? eni_by_id(d, j->eni_id) : NULL;

	return grow_subnet(d->grow, e ? e->row.subnet_id : j->subnet_id);
}

/* true: @j failed because its subnet is short; the planner turns to what the subnet still has */
static bool subnet_short(struct daemon *d, const struct grow_job *j, uint64_t now)
{
	struct ipam_subnet *s = grow_job_subnet(d, j);
	const unsigned int pause_s = d->cfg->subnet_retry_s;

	if (!s || (j->err.kind != EC2_SUBNET_NO_PREFIX && j->err.kind != EC2_SUBNET_NO_ADDRESS))
		return false;
	if (j->n_prefixes) {
		s->no_prefix_until_ms = now + pause_s * UINT64_C(1000);
		vw_warn("the subnet has no free /28, going on with single addresses", "subnet=%s err=\"%s\"", s->id,
			j->err.why.msg);
	} else {
		s->no_addr_until_ms = now + pause_s * UINT64_C(1000);
		vw_error("the subnet has no free address, retrying later", "subnet=%s in_s=%u err=\"%s\"", s->id, pause_s,
			 j->err.why.msg);
	}
	placement_subnet_short(d);
	return true;
}

void grow_failed(struct daemon *d, const struct grow_job *j)
{
	struct grow *g = d->grow;
	uint64_t now = vw_mono_ms();

	/* what was wanted still is, and has been since then */
	if (is_growth(grow_act(j)) && (!g->wanted_ms || j->wanted_ms < g->wanted_ms))
		g->wanted_ms = j->wanted_ms;
	if (subnet_short(d, j, now))
		return;
	if (j->kind == GROW_CREATE_ENI && !strcmp(j->err.code, "InvalidSubnetID.NotFound")) {
		placement_subnet_gone(d, j->subnet_id, &j->err.why);
		return;
	}
	/* of an ENI that was only to be made there is none to leave alone: the limits that we go by are wrong */
	if (j->err.kind == EC2_ENI_IP_LIMIT && j->kind != GROW_CREATE_ENI)
		block_eni(d, j->eni_id, now);
	else
		block(d, j, now);
	/* our view is stale: look before anything else is tried */
	g->look_again |= j->err.kind == EC2_ENI_IP_LIMIT || j->err.kind == EC2_ATTACH_LIMIT ||
			 j->err.kind == EC2_DEVICE_IN_USE || j->err.kind == EC2_NOT_FOUND || j->err.unknown;
	vw_error("a change at EC2 failed, retrying later", "action=%s kind=%s code=%s err=\"%s\"", ipam_act_str(grow_act(j)),
		 ec2_fail_name(j->err.kind), j->err.code, j->err.why.msg);
}

/* --- success */

/* what was short in @j's subnet is not, as far as @j took some of it */
static void subnet_gave(struct daemon *d, const struct grow_job *j)
{
	struct ipam_subnet *s = grow_job_subnet(d, j);

	if (s)
		s->no_addr_until_ms = 0;
	if (s && j->n_prefixes)
		s->no_prefix_until_ms = 0;
}

static void grew(struct daemon *d, const struct grow_job *j)
{
	struct grow *g = d->grow;
	uint64_t now = vw_mono_ms();

	if (is_growth(grow_act(j))) {
		ipam_demand_grew(&g->demand, now, now - j->wanted_ms);
		subnet_gave(d, j);
	}
	if (g->blocks[grow_act(j)].cause == IPAM_CAUSE_THROTTLED)
		ipam_pause_ease(&g->pause_ms[grow_act(j)]);
	else
		g->pause_ms[grow_act(j)] = 0;
	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++)
		if (act == grow_act(j) || concerns_all(g->blocks[act].cause))
			g->blocks[act] = (struct ipam_why){ 0 };
}

static int eni_row(const struct grow_job *j, struct store_eni *row)
{
	const struct ec2_eni *e = &j->eni;

	*row = (struct store_eni){
		.mac = e->mac,
		.device = j->device,
		.card = j->card,
		.subnet = j->subnet,
		.primary_ip = e->primary4,
		.block6 = e->n_prefix6 ? e->prefix6[0] : (struct vw_cidr){ 0 },
		.ip6 = e->n_addr6 ? e->addr6[0] : (struct vw_ip){ 0 },
	};
	if (vw_fmt(row->id, sizeof(row->id), "%s", e->id) < 0 ||
	    vw_fmt(row->attachment_id, sizeof(row->attachment_id), "%s", j->new_attachment_id) < 0 ||
	    vw_fmt(row->subnet_id, sizeof(row->subnet_id), "%s", e->subnet_id) < 0)
		return -ENAMETOOLONG;
	row->slots = calloc(e->n_addr4 + e->n_prefix4 + 1, sizeof(*row->slots));
	if (!row->slots)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_addr4; i++)
		row->slots[row->n_slots++] = vw_cidr_host(&e->addr4[i]);
	for (size_t i = 0; i < e->n_prefix4; i++)
		row->slots[row->n_slots++] = e->prefix4[i];
	return 0;
}

/* of what EC2 has just given: nobody else has it, and pods that have addresses of it already go by this ENI from now on */
static int take_in(struct daemon *d, const struct store_eni *row, const struct eni_link *link, struct vw_err *err)
{
	struct ipam_stats st;
	int r;

	for (size_t i = 0; i < row->n_slots; i++)
		settle_got(&d->grow->given, &row->slots[i]);
	for (size_t i = 0; i < row->n_slots; i++)
		eni_given(d, row->id, &row->slots[i]);
	ipam_pool_stats(d->pool, &st);
	r = eni_learn(d, row, link, err);
	if (r >= 0 && st.orphaned)
		attach_republish(d);
	if (r >= 0)
		eni_by_id(d, row->id)->grown_ms = vw_mono_ms();
	return r;
}

static void look_later(struct daemon *d)
{
	if (!loop_timer_active(d->retry_timer))
		loop_timer_set(d->retry_timer, LOOK_PAUSE_MS);
}

static void tie(struct daemon *d, const struct grow_job *created)
{
	struct grow_job *j = d->stopping ? NULL : calloc(1, sizeof(*j));

	if (!j) {
		look_later(d);
		return;
	}
	j->kind = GROW_TIE;
	(void)VW_COPY(j->eni_id, created->eni.id);
	(void)VW_COPY(j->attachment_id, created->new_attachment_id);
	if (grow_job_start(d, j) < 0)
		look_later(d);
}

void grow_tied(struct daemon *d, const struct grow_job *j)
{
	if (j->r == 0 || j->err.kind == EC2_NOT_FOUND)
		return;
	vw_warn("a new ENI would outlive the instance, retrying", "eni=%s err=\"%s\"", j->eni_id, j->err.why.msg);
	look_later(d);
}

void grow_created(struct daemon *d, const struct grow_job *j)
{
	struct store_eni row;
	struct vw_err err;

	tie(d, j);
	placement_took(d, j->subnet_id, 1 + j->n_addrs + j->n_prefixes * IPAM_PREFIX4_ADDRS);
	if (eni_row(j, &row) < 0) {
		vw_error("no memory for a new ENI, the next survey will find it", "eni=%s", j->eni.id);
		d->grow->look_again = true;
		return;
	}
	if (take_in(d, &row, j->have_link ? &j->link : NULL, &err) < 0) {
		vw_error("a new ENI could not be taken into use, retrying", "eni=%s err=\"%s\"", j->eni.id, err.msg);
		d->grow->look_again = true;
	} else if (!j->have_link) {
		vw_warn("a new ENI is attached but its link has not appeared, looking again", "eni=%s err=\"%s\"", j->eni.id,
			j->link_err.msg);
		d->grow->look_again = true;
	} else {
		vw_info("a new ENI serves pods", "eni=%s ifname=%s device=%u slots=%zu", j->eni.id, j->link.ifname, j->device,
			row.n_slots);
		grew(d, j);
	}
	free(row.slots);
}

void grow_assigned(struct daemon *d, const struct grow_job *j)
{
	const struct eni *e = eni_by_id(d, j->eni_id);
	struct store_eni row;
	struct eni_link link = { 0 };
	struct vw_err err;
	vw_auto_free struct vw_cidr *slots = calloc(j->assigned.n + 1, sizeof(*slots));

	if (!e || !slots) {
		d->grow->look_again = true;
		return;
	}
	if (j->assigned.unsure)
		look_later(d);
	row = e->row;
	placement_took(d, row.subnet_id, (unsigned int)j->assigned.n * (j->n_prefixes ? IPAM_PREFIX4_ADDRS : 1));
	memcpy(slots, j->assigned.v, j->assigned.n * sizeof(*slots));
	row.slots = slots;
	row.n_slots = j->assigned.n;
	link.mac = row.mac;
	link.ifindex = e->ifindex;
	(void)VW_COPY(link.ifname, e->ifname);
	if (take_in(d, &row, e->ifindex ? &link : NULL, &err) < 0) {
		vw_error("new addresses could not be taken into use, retrying", "eni=%s err=\"%s\"", j->eni_id, err.msg);
		d->grow->look_again = true;
		return;
	}
	vw_info("an ENI has more addresses", "eni=%s %s=%zu", j->eni_id, j->n_prefixes ? "prefixes" : "addresses", j->assigned.n);
	grew(d, j);
}

void grow_unassigned(struct daemon *d, const struct grow_job *j)
{
	const struct eni *e = eni_by_id(d, j->eni_id);
	struct vw_cidr *keep;
	size_t n = 0;

	if (!e)
		return;
	keep = calloc(e->row.n_slots + 1, sizeof(*keep));
	if (!keep) {
		d->grow->look_again = true;
		return;
	}
	for (size_t i = 0; i < e->row.n_slots; i++) {
		bool gone = false;

		for (size_t k = 0; k < j->n_known && !gone; k++)
			gone = vw_cidr_eq(&e->row.slots[i], &j->known[k]);
		if (!gone)
			keep[n++] = e->row.slots[i];
	}
	for (size_t i = 0; i < j->n_known; i++)
		settle_gave(&d->grow->given, &j->known[i], vw_mono_ms());
	eni_drop_slots(d, j->eni_id, keep, n);
	free(keep);
	grew(d, j);
	vw_info("an ENI gave addresses back", "eni=%s slots=%zu", j->eni_id, j->n_known);
}

void grow_deleted(struct daemon *d, const struct grow_job *j)
{
	struct vw_err err;

	if (eni_forget(d, j->eni_id, &err) < 0)
		vw_error("a deleted ENI could not be forgotten", "eni=%s err=\"%s\"", j->eni_id, err.msg);
	else
		vw_info("an ENI that no pod used is deleted", "eni=%s", j->eni_id);
}
