/*
 * Taking in a survey: identity -> store, each managed ENI -> eni_learn(), what both EC2 and IMDS no longer show -> dropped
 * unless in use, VPC ranges -> NAT. Then the daemon is ready, open intents are resumed and the planner runs.
 *
 * EC2 and IMDS are two witnesses, for ENIs the kernel is a third. Something new counts when EC2 or IMDS show it attached.
 * Something old goes only when nothing uses it, EC2 answered and does not show it, and no change of ours was under way
 * meanwhile (the answer may be older than its result). An ENI goes when IMDS does not show it either, or there is no link;
 * a young one only when all three agree, because what EC2 shows may be older than itself. Where they do not agree, a survey
 * follows until they do.
 */
#include "daemon/discover.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/grow.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "ipam/pool.h"
#include "daemon/placement.h"
#include "daemon/policy.h"
#include "daemon/ranges.h"
#include "daemon/settle.h"
#include "daemon/sweep.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <string.h>

#define SURVEY_DEADLINE_MS 60000
#define YOUNG_MS 60000          /* an attachment that EC2 or IMDS may not show yet */
#define IMDS_ONLY_MS 60000      /* nothing else tells of an ENI that was attached since; costs no call to EC2 */

struct discover_job {
	struct daemon *d;
	uint64_t changes;               /* grow_changes() when it began */
	uint64_t asked_ms;              /* when it began */
	struct survey survey;
	int r;
	struct vw_err err;
};

static void discover_work(void *arg)
{
	struct discover_job *j = arg;

	j->r = cloud_survey(&j->survey, &j->err);
}

static const struct imds_eni *imds_by_id(const struct survey *s, const char *id)
{
	for (size_t i = 0; i < s->n_imds_enis; i++)
		if (!strcmp(s->imds_enis[i].id, id))
			return &s->imds_enis[i];
	return NULL;
}

static const struct ec2_eni *ec2_by_id(const struct survey *s, const char *id)
{
	for (size_t i = 0; i < s->ec2_enis.n; i++)
		if (!strcmp(s->ec2_enis.v[i].id, id))
			return &s->ec2_enis.v[i];
	return NULL;
}

static void take_identity(struct daemon *d, const struct survey *s)
{
	struct node *n = &d->node;
	const struct imds_eni *primary = NULL;
	bool same = !strcmp(n->instance_id, s->id.instance_id);

	/* IMDS texts are shorter than these arrays by their own caps; a cut would only shorten a log line */
	(void)VW_COPY(n->instance_id, s->id.instance_id);
	(void)VW_COPY(n->instance_type, s->id.instance_type);
	(void)VW_COPY(n->zone, s->id.az);
	(void)VW_COPY(n->region, s->id.region);
	n->primary_mac = s->id.primary_mac;
	for (size_t i = 0; i < s->n_imds_enis; i++)
		if (vw_mac_eq(&s->imds_enis[i].mac, &s->id.primary_mac))
			primary = &s->imds_enis[i];
	if (primary) {
		(void)node_take_ranges(n, primary->vpc4, primary->n_vpc4);
		if (primary->n_groups) {        /* likewise: every ENI has one */
			memcpy(n->groups, primary->groups, sizeof(n->groups));
			n->n_groups = primary->n_groups;
		}
		(void)VW_COPY(n->subnet_id, primary->subnet_id);
		(void)VW_COPY(n->vpc_id, primary->vpc_id);
		(void)VW_COPY(d->account, primary->owner_id);
	}
	if (s->limits_ok) {
		n->max_enis = s->limits.card_enis[0] ? s->limits.card_enis[0] : s->limits.max_enis;
		n->n_cards = s->limits.n_cards;
		memcpy(n->card_enis, s->limits.card_enis, sizeof(n->card_enis));
		n->ips_per_eni = s->limits.ipv4_per_eni;
		n->prefixes = s->limits.nitro;
	}
	if (!same)
		policy_instance_known(d);
}

/* addresses and prefixes as slots; the primary address is none */
static int slots_of(struct store_eni *row, const struct ec2_eni *e, const struct imds_eni *i)
{
	size_t max = (e ? e->n_addr4 + e->n_prefix4 : 0) + (i ? i->n_ipv4 + i->n_prefix4 : 0);

	row->slots = calloc(max ? max : 1, sizeof(*row->slots));
	if (!row->slots)
		return -ENOMEM;
	if (e) {
		for (size_t k = 0; k < e->n_addr4; k++)
			row->slots[row->n_slots++] = vw_cidr_host(&e->addr4[k]);
		for (size_t k = 0; k < e->n_prefix4; k++)
			row->slots[row->n_slots++] = e->prefix4[k];
		return 0;
	}
	for (size_t k = 1; k < i->n_ipv4; k++)
		row->slots[row->n_slots++] = vw_cidr_host(&i->ipv4[k]);
	for (size_t k = 0; k < i->n_prefix4; k++)
		row->slots[row->n_slots++] = i->prefix4[k];
	return 0;
}

/* its own IPv6 address, and the /80 for pods: the one that is known, else the first */
static void facts6_of(struct store_eni *row, const struct ec2_eni *e, const struct imds_eni *i, const struct eni *known)
{
	const struct vw_cidr *prefixes = e ? e->prefix6 : i->prefix6;
	size_t n = e ? e->n_prefix6 : i->n_prefix6, n_ips = e ? e->n_addr6 : i->n_ipv6;

	if (n_ips)
		row->ip6 = e ? e->addr6[0] : i->ipv6[0];
	for (size_t k = 0; k < n; k++)
		if (!row->block6.ip.family || (known && vw_cidr_eq(&prefixes[k], &known->row.block6)))
			row->block6 = prefixes[k];
}

static int facts_of(struct store_eni *row, const struct ec2_eni *e, const struct imds_eni *i)
{
	*row = (struct store_eni){ 0 };
	(void)VW_COPY(row->id, e ? e->id : i->id);
	(void)VW_COPY(row->attachment_id, e ? e->attachment.id : "");
	(void)VW_COPY(row->subnet_id, e ? e->subnet_id : i->subnet_id);
	row->mac = e ? e->mac : i->mac;
	row->device = e ? e->attachment.device : i->device;
	row->card = e ? e->attachment.card : i->card;
	row->primary = row->device == 0 && row->card == 0;
	row->primary_ip = e ? e->primary4 : i->ipv4[0];
	if (i)
		row->subnet = i->subnet4;
	return slots_of(row, e, i);
}

/* an interface that EC2 shows and IMDS not yet has no subnet range here; its subnet may be known from another */
static bool subnet_known(struct daemon *d, const struct survey *s, struct store_eni *row)
{
	const struct eni *known = eni_by_id(d, row->id);

	if (row->subnet.ip.family)
		return true;
	if (known)
		row->subnet = known->row.subnet;
	for (size_t i = 0; i < s->n_imds_enis && !row->subnet.ip.family; i++)
		if (!strcmp(s->imds_enis[i].subnet_id, row->subnet_id))
			row->subnet = s->imds_enis[i].subnet4;
	return row->subnet.ip.family != 0;
}

/* what was given back a moment ago is not ours because somebody still shows it */
static size_t drop_doubtful(const struct daemon *d, struct store_eni *row, uint64_t asked_ms)
{
	size_t kept = 0, n = row->n_slots;

	for (size_t i = 0; i < n; i++)
		if (!grow_doubts(d, &row->slots[i], asked_ms))
			row->slots[kept++] = row->slots[i];
	row->n_slots = kept;
	return n - kept;
}

/* fewer slots than a moment ago: what was given since then may not be shown yet */
static bool shows_less(struct daemon *d, const struct store_eni *row, uint64_t asked_ms)
{
	const struct eni *e = eni_by_id(d, row->id);
	size_t n = 0;

	if (!e || !e->grown_ms || asked_ms >= e->grown_ms + SETTLE_MS)
		return false;
	for (size_t i = 0; i < e->row.n_slots; i++)
		for (size_t k = 0; k < row->n_slots; k++)
			n += vw_cidr_eq(&e->row.slots[i], &row->slots[k]);
	return n < e->row.n_slots;
}

/*
 * Right after a start: what pods have may be so new that EC2 does not show it yet. The rest of what it does not show is given to nobody.
 * Return: how many slots were added to @row, -ENOMEM.
 */
static int keep_used(struct daemon *d, struct store_eni *row, uint64_t asked_ms)
{
	const struct eni *e = eni_by_id(d, row->id);
	size_t shown = row->n_slots;
	struct vw_cidr *slots;
	struct ipam_slot slot;

	if (!e || !e->recalled_ms || asked_ms >= e->recalled_ms + SETTLE_MS)
		return 0;
	slots = reallocarray(row->slots, shown + e->row.n_slots + 1, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	row->slots = slots;
	for (size_t i = 0; i < e->row.n_slots; i++) {
		bool known = false;

		for (size_t k = 0; k < shown && !known; k++)
			known = vw_cidr_eq(&e->row.slots[i], &slots[k]);
		if (!known && ipam_pool_slot(d->pool, &e->row.slots[i], &slot) && slot.assigned)
			slots[row->n_slots++] = e->row.slots[i];
	}
	return (int)(row->n_slots - shown);
}

static bool take_eni(struct daemon *d, const struct survey *s, const struct ec2_eni *e, const struct imds_eni *i,
		     bool may_drop, uint64_t asked_ms)
{
	const struct eni_link *link;
	struct store_eni row;
	struct vw_err err;
	bool whole = true, settled;
	int r;

	if (facts_of(&row, e, i) < 0)
		return false;
	facts6_of(&row, e, i, eni_by_id(d, row.id));
	/* IMDS alone may be old and show what has been given back since: of an ENI that we keep books on it proves nothing new */
	if (!e && eni_by_id(d, row.id) && !d->cfg->disable_provisioning)
		row.n_slots = 0;
	settled = !drop_doubtful(d, &row, asked_ms);
	link = survey_link(s, &row.mac);
	if (!subnet_known(d, s, &row)) {
		vw_info("the subnet of an ENI is not known yet, asking again later", "eni=%s", row.id);
		whole = false;
	} else if ((r = eni_learn(d, &row, link, &err)) < 0) {
		vw_warn("an ENI could not be taken into use, retrying", "eni=%s err=\"%s\"", row.id, err.msg);
		whole = false;
	} else if (r > 0) {
		vw_info("EC2 shows an address on another ENI than before, looking again", "eni=%s", row.id);
		settled = false;
	}
	if (whole && !link) {
		vw_info("the link of an ENI has not appeared yet, looking again later", "eni=%s", row.id);
		whole = false;
	}
	if (e && whole && shows_less(d, &row, asked_ms)) {
		settled = false;
	} else if (e && whole && may_drop && (r = keep_used(d, &row, asked_ms)) >= 0) {
		settled &= r == 0;
		eni_drop_slots(d, row.id, row.slots, row.n_slots);
		if (!row.block6.ip.family)
			eni_drop_block6(d, row.id);
		/* nothing is under way: what is still there was not given back */
		for (size_t k = 0; k < row.n_slots; k++)
			(void)ipam_pool_slot_retire(d->pool, &row.slots[k], false);
		if (eni_by_id(d, row.id) && eni_save(d, eni_by_id(d, row.id), &err) < 0)
			vw_warn("an ENI could not be recorded", "eni=%s err=\"%s\"", row.id, err.msg);
	}
	free(row.slots);
	return whole && settled;
}

static bool is_primary(uint32_t card, uint32_t device)
{
	return card == 0 && device == 0;
}

/* of one that EC2 does not show, or was not asked about: does the rest agree? */
static bool others_agree(struct daemon *d, const struct survey *s, const struct eni *e)
{
	const struct ipam_eni *p = ipam_pool_eni(d->pool, e->row.id);
	bool young = p && vw_mono_ms() - p->created_ms < YOUNG_MS, imds = imds_by_id(s, e->row.id) != NULL;
	bool link = survey_link(s, &e->row.mac) != NULL;

	return s->ec2_ok ? !link || (!imds && !young) : !link && !imds;
}

static bool is_leaving(const struct ec2_eni *e)
{
	return e->attachment.status == EC2_DETACHING || e->attachment.status == EC2_DETACHED;
}

/* its link may be there for minutes, and who got an address of it would lose it with the link */
static void leaves(struct daemon *d, const struct eni *e)
{
	if (!e->gone)
		vw_info("EC2 is detaching an ENI: no address of it is given out, looking again", "eni=%s", e->row.id);
	eni_gone(d, e->row.id);
}

/* false: what the witnesses say is not the same yet */
static bool drop_enis(struct daemon *d, const struct survey *s, bool may_drop)
{
	bool whole = true;

	for (size_t i = d->enis.n; (s->ec2_ok || s->imds_only) && i-- > 0;) {
		struct eni *e = &d->enis.v[i];
		const struct ec2_eni *shown = ec2_by_id(s, e->row.id);
		char id[sizeof(e->row.id)];
		struct vw_err err;

		e->at_ec2 = shown && !is_leaving(shown);
		if (e->at_ec2 || (s->imds_only && imds_by_id(s, e->row.id)))
			continue;
		if (shown && grow_has_token(d, e->row.id))
			continue;       /* our own doing, which is under way */
		if (shown) {
			leaves(d, e);
			whole = false;
			continue;
		}
		if (!may_drop || !others_agree(d, s, e)) {
			whole = false;
			continue;
		}
		memcpy(id, e->row.id, sizeof(id));
		if (eni_forget(d, id, &err) < 0) {
			vw_warn("an ENI is gone while pods use it, keeping what is known of it", "eni=%s err=\"%s\"", id,
				err.msg);
			eni_gone(d, id);
		} else {
			vw_info("an ENI that is not attached any more is forgotten", "eni=%s", id);
		}
	}
	return whole;
}

static bool take_enis(struct daemon *d, const struct survey *s, bool may_drop, uint64_t asked_ms)
{
	bool whole = true;

	if (s->ec2_ok)
		foreign_told(d, s);
	/* the primary first: NAT and the main table stand on it */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < s->ec2_enis.n; i++) {
			const struct ec2_eni *e = &s->ec2_enis.v[i];

			if (is_primary(e->attachment.card, e->attachment.device) != (pass == 0) || foreign_shows(d, e) || is_leaving(e))
				continue;
			whole &= take_eni(d, s, e, imds_by_id(s, e->id), may_drop, asked_ms);
		}
		for (size_t i = 0; !s->ec2_ok && i < s->n_imds_enis; i++)
			if (is_primary(s->imds_enis[i].card, s->imds_enis[i].device) == (pass == 0) && !foreign_is(d, s->imds_enis[i].id) &&
			    s->imds_enis[i].n_ipv4 > 0 && (!s->imds_enis[i].card || d->cfg->multi_nic))
				whole &= take_eni(d, s, NULL, &s->imds_enis[i], false, asked_ms);
	}
	return drop_enis(d, s, may_drop) && whole;
}

/* an ENI that carries an intent's token and is attached here: that intent is done, whichever life carried it out */
static void end_intents(struct daemon *d, const struct survey *s)
{
	for (size_t i = 0; i < s->ec2_enis.n; i++) {
		const struct ec2_eni *e = &s->ec2_enis.v[i];
		const char *token = ec2_eni_tag(e, TAG_INTENT);
		struct vw_err err;

		if (token && e->attachment.status == EC2_ATTACHED && !grow_has_token(d, token) &&
		    store_intent_del(d->store, token, &err) < 0)
			vw_warn("a finished intent could not be removed, retrying", "eni=%s err=\"%s\"", e->id, err.msg);
	}
}

static void retry_later(struct daemon *d)
{
	if (d->discover_wait_ms < 1000)
		d->discover_wait_ms = 1000;
	loop_timer_set(d->retry_timer, d->discover_wait_ms);
	d->discover_wait_ms = d->discover_wait_ms < 30000 ? 2 * d->discover_wait_ms : 60000;
}

static void discover_done(void *arg)
{
	struct discover_job *j = arg;
	struct daemon *d = j->d;
	struct vw_err err;
	bool whole, quiet;

	d->discovering = false;
	cloud_take_clients(d->cloud, &j->survey);
	if (d->stopping) {
		survey_done(&j->survey);
		free(j);
		return;
	}
	if (j->r < 0) {
		vw_error("asking who this node is failed, retrying", "err=\"%s\"", j->err.msg);
		d->trouble = j->err;
		retry_later(d);
		survey_done(&j->survey);
		free(j);
		return;
	}
	if (!j->survey.ec2_ok && !j->survey.imds_only)
		vw_warn("EC2 did not answer, going on with what IMDS says", "err=\"%s\"", j->survey.ec2_err.why.msg);
	take_identity(d, &j->survey);
	placement_surveyed(d, &j->survey);
	quiet = j->changes != UINT64_MAX && j->changes == grow_changes(d);
	whole = take_enis(d, &j->survey, quiet, j->asked_ms);
	if (daemon_nat_apply(d, &err) < 0) {
		vw_error("NAT could not be set up, retrying", "err=\"%s\"", err.msg);
		d->trouble = err;
		whole = false;
	} else if (j->survey.ec2_ok || j->survey.imds_only) {
		d->trouble = (struct vw_err){ 0 };
	} else {
		d->trouble = j->survey.ec2_err.why;
	}
	if (node_save(d->store, &d->node, &err) < 0)
		vw_warn("the node's identity could not be recorded, ignoring", "err=\"%s\"", err.msg);
	if (!d->discovered)
		vw_info("this node is known", "instance=%s type=%s enis=%zu ec2=%s", d->node.instance_id,
			d->node.instance_type, d->enis.n, j->survey.imds_only ? "not asked" : j->survey.ec2_ok ? "ok" : "no");
	d->discovered = true;
	d->ready = d->enis.n > 0 && (d->ready || whole || d->enis.v[0].wired);
	if (!whole || j->survey.untied || (!j->survey.imds_only && (!j->survey.ec2_ok || !d->node.max_enis)))
		retry_later(d);
	else if (j->survey.imds_only)
		loop_timer_set(d->retry_timer, IMDS_ONLY_MS);
	else
		d->discover_wait_ms = 0;
	attach_republish(d);
	if (j->survey.ec2_ok) {
		end_intents(d, &j->survey);
		grow_resume(d, quiet);
		if (!sweep_scheduled(d))
			sweep_schedule(d);
	}
	survey_done(&j->survey);
	free(j);
	daemon_creds_schedule(d);
	ranges_later(d);
	daemon_pool_changed(d);
	if (d->discover_again)
		discover_start(d);
}

void discover_start(struct daemon *d)
{
	struct discover_job *j;

	if (d->stopping)
		return;
	if (d->discovering) {
		d->discover_again = true;
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		retry_later(d);
		return;
	}
	j->d = d;
	j->changes = grow_changes(d);
	j->asked_ms = vw_mono_ms();
	j->survey.cloud = d->cloud;
	j->survey.creds = d->cloud->creds;
	j->survey.ec2 = d->cloud->ec2;
	j->survey.limits_known = d->node.max_enis != 0;
	j->survey.imds_only = d->cfg->imds_only;
	j->survey.read_only = d->cfg->disable_provisioning;
	j->survey.want_subnets = placement_wants_subnets(d);
	j->survey.deadline_ms = vw_mono_ms() + SURVEY_DEADLINE_MS;
	(void)VW_COPY(j->survey.region, d->cfg->region);
	(void)VW_COPY(j->survey.endpoint_ec2, d->cfg->endpoint_ec2);
	(void)VW_COPY(j->survey.endpoint_sts, d->cfg->endpoint_sts);
	if (loop_job(d->loop, discover_work, discover_done, j) < 0) {
		free(j);
		retry_later(d);
		return;
	}
	d->discovering = true;
	d->discover_again = false;
}
