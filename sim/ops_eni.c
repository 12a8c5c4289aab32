/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of an ENI: create -> attach -> detach -> delete, and of the instances that carry them.
 *
 *   available --attach--> attaching --delay--> in-use --detach--> detaching --delay--> available --delete-->
 * gone
 *
 * With a delay of 0 the transient states are passed within the call.
 */
#include "sim/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/ops_addr.h"

void sim_make_id(struct sim_world *w, const char *prefix, char ret_id[SIM_ID_LEN])
{
	char seed[96], hex[VW_SHA256_HEXLEN];
	int n = snprintf(seed, sizeof(seed), "%s/%s/%s/%llu", w->region, w->account, prefix,
			 (unsigned long long)w->id_next++);

	vw_sha256_hex(seed, (size_t)n, hex);
	/* all of EC2's long ids begin with 0 */
	snprintf(ret_id, SIM_ID_LEN, "%s-0%.16s", prefix, hex);
}

static void make_mac(const struct sim_eni *e, struct vw_mac *ret_mac)
{
	uint8_t d[VW_SHA256_LEN];

	vw_sha256(e->id, strlen(e->id), d);
	memcpy(ret_mac->b, d, sizeof(ret_mac->b));
	ret_mac->b[0] = 0x02; /* locally administered unicast, as EC2's are */
}

static int set_groups(struct sim_eni *e, const struct sim_sg *const *groups, size_t n, struct sim_fail *f)
{
	const struct sim_sg **copy;
	size_t i;

	for (i = 0; i < n; i++)
		if (groups[i]->vpc != e->subnet->vpc)
			return sim_fail(f, "InvalidParameterCombination",
					"You have specified two resources that belong to "
					"different networks.");
	copy = calloc(n ? n : 1, sizeof(*copy));
	if (!copy)
		return sim_fail_nomem(f);
	for (i = 0; i < n; i++)
		copy[i] = groups[i];
	free(e->groups);
	e->groups = copy;
	e->n_groups = n;
	return 0;
}

static int default_group(struct sim_world *w, struct sim_eni *e, struct sim_fail *f)
{
	const struct sim_sg *g;

	TAILQ_FOREACH(g, &w->sgs, link)
		if (g->vpc == e->subnet->vpc)
			return set_groups(e, &g, 1, f);
	return 0;
}

static int fill(struct sim_eni *e, const struct sim_create *c, struct sim_fail *f)
{
	struct sim_want primary = { .n_addrs = c->primary.family ? 0 : 1 };
	struct vw_cidr host = vw_cidr_host(&c->primary);
	int r;

	if (c->primary.family && sim_cidrs_add(&primary.list, &host) < 0)
		return sim_fail_nomem(f);
	r = sim_eni_take(e, AF_INET, &primary, f);
	sim_cidrs_done(&primary.list);
	if (r == 0)
		r = sim_eni_take(e, AF_INET, &c->v4, f);
	if (r == 0)
		r = sim_eni_take(e, AF_INET6, &c->v6, f);
	if (r == 0)
		r = c->n_groups ? set_groups(e, c->groups, c->n_groups, f) : default_group(e->world, e, f);
	if (r == 0 && c->tags && sim_tags_set_all(&e->tags, c->tags) < 0)
		r = sim_fail_nomem(f);
	if (r == 0 &&
	    vw_fmt(e->description, sizeof(e->description), "%s", c->description ? c->description : "") < 0)
		r = sim_fail(f, "InvalidParameterValue", "Description is too long");
	return r;
}

static void give_all(struct sim_eni *e)
{
	size_t i;

	for (i = 0; i < e->v4.n; i++)
		sim_alloc_give(e->subnet, &e->v4.v[i]);
}

/* As sim_eni_create(), but nobody is told. */
static int create_silent(struct sim_world *w, const struct sim_create *c, struct sim_eni **ret_eni,
			 struct sim_fail *f)
{
	struct sim_eni *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return sim_fail_nomem(f);
	e->world = w;
	e->subnet = c->subnet;
	e->type = c->type;
	e->source_dest_check = true;
	sim_make_id(w, "eni", e->id);
	make_mac(e, &e->mac);
	/* in the list first: the search for a free IPv6 address looks at the lists of all ENIs */
	TAILQ_INSERT_TAIL(&w->enis, e, link);
	r = fill(e, c, f);
	if (r < 0) {
		give_all(e);
		TAILQ_REMOVE(&w->enis, e, link);
		sim_eni_free(e);
		return r;
	}
	e->seq = ++w->eni_seq;
	*ret_eni = e;
	return 0;
}

int sim_eni_create(struct sim_world *w, const struct sim_create *c, struct sim_eni **ret_eni,
		   struct sim_fail *f)
{
	int r = create_silent(w, c, ret_eni, f);

	if (r == 0)
		sim_notify_eni(*ret_eni, SIM_EV_CREATED);
	return r;
}

static void attach_done(void *arg)
{
	struct sim_eni *e = arg;

	e->att.state = SIM_ATT_ATTACHED;
	sim_notify_eni(e, SIM_EV_ATTACHED);
}

static void detach_done(void *arg)
{
	struct sim_eni *e = arg;

	sim_notify_eni(e, SIM_EV_DETACHED);
	e->att = (struct sim_attachment){ .state = SIM_ATT_NONE };
}

/* Slots on the card, and of the whole instance. */
static int check_room(struct sim_world *w, const struct sim_instance *inst, unsigned int card,
		      struct sim_fail *f)
{
	unsigned int all = 0, on_card = 0;
	const struct sim_eni *e;

	TAILQ_FOREACH(e, &w->enis, link) {
		if (e->att.instance != inst)
			continue;
		all++;
		on_card += e->att.card == card;
	}
	if (all >= inst->type->max_enis || on_card >= inst->type->card_max_enis[card])
		return sim_fail(f, "AttachmentLimitExceeded", "Interface count %u exceeds the limit for %s",
				all + 1, inst->type->name);
	return 0;
}

static int check_slot(struct sim_eni *e, struct sim_instance *inst, unsigned int card, unsigned int device,
		      struct sim_fail *f)
{
	const struct sim_itype *t = inst->type;
	int r;

	if (card >= t->n_cards)
		return sim_fail(f, "InvalidParameterValue",
				"Network card index '%u' exceeds the limit of %u network "
				"card(s) for '%s'",
				card, t->n_cards, t->name);
	if (sim_eni_at(e->world, inst, card, device))
		return sim_fail(f, "InvalidParameterValue",
				"Instance '%s' already has an interface attached at device "
				"index '%u'.",
				inst->id, device);
	r = check_room(e->world, inst, card, f);
	if (r < 0)
		return r;
	return sim_check_limits(t, e->v4.n, e->v6.n, f);
}

static int check_attach(struct sim_eni *e, struct sim_instance *inst, struct sim_fail *f)
{
	if (e->att.state != SIM_ATT_NONE)
		return sim_fail(f, "InvalidNetworkInterface.InUse", "Interface: [%s] in use.", e->id);
	if (inst->terminated)
		return sim_fail(f, "IncorrectState", "Instance '%s' is not 'running'.", inst->id);
	if (e->subnet->vpc != inst->subnet->vpc)
		return sim_fail(f, "InvalidParameterCombination",
				"You have specified two resources that belong to "
				"different networks.");
	if (strcmp(e->subnet->az, inst->subnet->az) != 0)
		return sim_fail(f, "InvalidParameterCombination",
				"You may not attach a network interface to an instance "
				"if they are not in the same availability zone");
	if (e->type == SIM_ENI_TRUNK && !inst->type->trunking)
		return sim_fail(f, "InvalidParameterCombination",
				"The instance type '%s' does not support trunk "
				"interfaces",
				inst->type->name);
	if (e->type == SIM_ENI_TRUNK && sim_trunk_check_limit(e, inst, sim_trunk_branches(e), f) < 0)
		return -EPROTO;
	if (e->type == SIM_ENI_BRANCH)
		return sim_fail(f, "InvalidParameterCombination",
				"The network interface '%s' of type branch cannot be "
				"attached to an instance",
				e->id);
	return 0;
}

int sim_eni_attach(struct sim_eni *e, struct sim_instance *inst, unsigned int card, unsigned int device,
		   struct sim_fail *f)
{
	struct sim_world *w = e->world;
	int r = check_attach(e, inst, f);

	if (r == 0)
		r = check_slot(e, inst, card, device, f);
	if (r < 0)
		return r;
	e->att = (struct sim_attachment){ .state = SIM_ATT_ATTACHING,
					  .instance = inst,
					  .device = device,
					  .card = card,
					  .time = sim_now(w) };
	sim_make_id(w, "eni-attach", e->att.id);
	if (w->attach_delay_ms)
		sim_timer_set(w->loop, &e->timer, w->attach_delay_ms, attach_done, e);
	else
		attach_done(e);
	return 0;
}

/* Whatever the state: afterwards the ENI is available. */
static void detach_now(struct sim_eni *e)
{
	bool seen = e->att.state == SIM_ATT_ATTACHED || e->att.state == SIM_ATT_DETACHING;

	sim_timer_clear(&e->timer);
	if (seen)
		detach_done(e);
	else
		e->att = (struct sim_attachment){ .state = SIM_ATT_NONE };
}

int sim_eni_detach(struct sim_eni *e, bool force, struct sim_fail *f)
{
	struct sim_world *w = e->world;

	if (e->att.instance && e == e->att.instance->primary)
		return sim_fail(f, "OperationNotPermitted",
				"The network interface at device index 0 and networkCard index "
				"0 cannot be detached.");
	if (e->att.state == SIM_ATT_NONE || (e->att.state != SIM_ATT_ATTACHED && !force))
		return sim_fail(f, "IncorrectState", "Interface attachment '%s' is in state '%s'", e->att.id,
				sim_att_state_str(e->att.state));
	if (sim_trunk_branches(e) && !force)
		return sim_fail(f, "OperationNotPermitted",
				"The network interface '%s' has %u associated branch interface(s)", e->id, sim_trunk_branches(e));
	if (force || !w->detach_delay_ms) {
		sim_trunk_clear(e);
		detach_now(e);
		return 0;
	}
	e->att.state = SIM_ATT_DETACHING;
	sim_timer_set(w->loop, &e->timer, w->detach_delay_ms, detach_done, e);
	return 0;
}

static void delete_now(struct sim_eni *e)
{
	TAILQ_REMOVE(&e->world->enis, e, link);
	give_all(e);
	sim_notify_eni(e, SIM_EV_DELETED);
	sim_eni_free(e);
}

int sim_eni_delete(struct sim_eni *e, struct sim_fail *f)
{
	/* EC2 says InvalidParameterValue here, although its manual has InvalidNetworkInterface.InUse */
	if (e->att.state != SIM_ATT_NONE || e->trunk || sim_trunk_branches(e))
		return sim_fail(f, "InvalidParameterValue", "Network interface '%s' is currently in use.",
				e->id);
	delete_now(e);
	return 0;
}

int sim_eni_set_groups(struct sim_eni *e, const struct sim_sg *const *groups, size_t n, struct sim_fail *f)
{
	int r = set_groups(e, groups, n, f);

	if (r == 0)
		sim_notify_eni(e, SIM_EV_GROUPS);
	return r;
}

void sim_eni_set_source_dest_check(struct sim_eni *e, bool on)
{
	if (e->source_dest_check == on)
		return;
	e->source_dest_check = on;
	sim_notify_eni(e, SIM_EV_SOURCE_DEST_CHECK);
}

static int name_instance(struct sim_world *w, struct sim_instance *i, const struct sim_run *run,
			 struct sim_fail *f)
{
	char ip[VW_IP_STRLEN], *dot;

	if (!run->id)
		sim_make_id(w, "i", i->id);
	else if (vw_fmt(i->id, sizeof(i->id), "%s", run->id) < 0)
		return sim_fail(f, "InvalidParameterValue", "The instance ID '%s' is too long", run->id);
	if (vw_fmt(i->name, sizeof(i->name), "%s", run->name ? run->name : i->id) < 0)
		return sim_fail(f, "InvalidParameterValue", "The instance name '%s' is too long", run->name);
	if (sim_instance_find(w, i->id) || sim_instance_find(w, i->name))
		return sim_fail(f, "InvalidParameterValue", "There is already an instance '%s'", i->name);
	if (vw_fmt(i->role, sizeof(i->role), "%s", run->role ? run->role : "") < 0)
		return sim_fail(f, "InvalidParameterValue", "The role name '%s' is too long", run->role);
	if (run->tags && sim_tags_set_all(&i->tags, run->tags) < 0)
		return sim_fail_nomem(f);
	vw_ip_str(&i->primary->v4.v[0].ip, ip);
	for (dot = ip; *dot; dot++)
		if (*dot == '.')
			*dot = '-';
	snprintf(i->hostname, sizeof(i->hostname), "ip-%s.%s.compute.internal", ip, w->region);
	return 0;
}

int sim_instance_run(struct sim_world *w, const struct sim_run *run, struct sim_instance **ret_inst,
		     struct sim_fail *f)
{
	struct sim_instance *i;
	struct sim_eni *e = NULL;
	int r = create_silent(w, &run->eni, &e, f);

	if (r < 0)
		return r;
	i = calloc(1, sizeof(*i));
	if (!i) {
		r = sim_fail_nomem(f);
		goto undo;
	}
	i->type = run->type;
	i->subnet = run->eni.subnet;
	i->primary = e;
	i->launch_time = sim_now(w);
	r = name_instance(w, i, run, f);
	if (r == 0)
		r = sim_check_limits(i->type, e->v4.n, e->v6.n, f);
	if (r < 0)
		goto undo;
	i->seq = ++w->instance_seq;
	e->public_ip = run->public_ip;
	e->att = (struct sim_attachment){ .state = SIM_ATT_ATTACHED,
					  .instance = i,
					  .delete_on_termination = true,
					  .time = i->launch_time };
	sim_make_id(w, "eni-attach", e->att.id);
	TAILQ_INSERT_TAIL(&w->instances, i, link);
	sim_notify_instance(w, i);
	sim_notify_eni(e, SIM_EV_CREATED);
	sim_notify_eni(e, SIM_EV_ATTACHED);
	*ret_inst = i;
	return 0;
undo:
	give_all(e);
	TAILQ_REMOVE(&w->enis, e, link);
	sim_eni_free(e);
	if (i)
		sim_tags_done(&i->tags);
	free(i);
	return r;
}

void sim_instance_terminate(struct sim_world *w, struct sim_instance *inst)
{
	struct sim_eni *e, *next;

	if (inst->terminated)
		return;
	/* first, so that no observer follows the pointer to an ENI that goes in this loop */
	inst->terminated = true;
	inst->primary = NULL;
	for (e = TAILQ_FIRST(&w->enis); e; e = next) {
		bool gone;

		next = TAILQ_NEXT(e, link);
		if (e->att.instance != inst)
			continue;
		gone = e->att.delete_on_termination;
		sim_trunk_clear(e);
		detach_now(e);
		if (gone)
			delete_now(e);
	}
	sim_notify_instance(w, inst);
}
