/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world: creation, look-ups, observers. Everything here only reads or builds; what EC2 would check before
 * a change is in ops_*.c.
 */
#include "sim/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "sim/cidrs.h"
#include "sim/ops.h"

int sim_world_new(struct sim_loop *loop, struct sim_world **ret_world)
{
	struct sim_world *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	TAILQ_INIT(&w->vpcs);
	TAILQ_INIT(&w->subnets);
	TAILQ_INIT(&w->sgs);
	TAILQ_INIT(&w->instances);
	TAILQ_INIT(&w->enis);
	TAILQ_INIT(&w->observers);
	*ret_world = w;
	return 0;
}

void sim_eni_free(struct sim_eni *e)
{
	sim_timer_clear(&e->timer);
	sim_cidrs_done(&e->v4);
	sim_cidrs_done(&e->v6);
	sim_tags_done(&e->tags);
	free(e->groups);
	free(e);
}

void sim_subnet_delete(struct sim_world *w, struct sim_subnet *s)
{
	TAILQ_REMOVE(&w->subnets, s, link);
	sim_tags_done(&s->tags);
	free(s->use);
	free(s->rsv);
	free(s);
}

static void free_static_parts(struct sim_world *w)
{
	struct sim_subnet *s;
	struct sim_vpc *v;
	struct sim_sg *g;

	while ((s = TAILQ_FIRST(&w->subnets)))
		sim_subnet_delete(w, s);
	while ((g = TAILQ_FIRST(&w->sgs))) {
		TAILQ_REMOVE(&w->sgs, g, link);
		sim_sg_free(g);
	}
	while ((v = TAILQ_FIRST(&w->vpcs))) {
		TAILQ_REMOVE(&w->vpcs, v, link);
		sim_cidrs_done(&v->v4);
		sim_cidrs_done(&v->v6);
		sim_tags_done(&v->tags);
		free(v);
	}
}

void sim_world_free(struct sim_world *w)
{
	struct sim_instance *i;
	struct sim_eni *e;

	if (!w)
		return;
	while ((e = TAILQ_FIRST(&w->enis))) {
		TAILQ_REMOVE(&w->enis, e, link);
		sim_eni_free(e);
	}
	while ((i = TAILQ_FIRST(&w->instances))) {
		TAILQ_REMOVE(&w->instances, i, link);
		sim_tags_done(&i->tags);
		free(i);
	}
	free_static_parts(w);
	free(w->itypes);
	free(w);
}

int64_t sim_now(const struct sim_world *w)
{
	return vw_unix_s() + w->clock_offset_s;
}

#define NOTIFY(w, call, ...)                                                                                 \
	do {                                                                                                 \
		struct sim_observer *o_, *next_;                                                             \
		for (o_ = TAILQ_FIRST(&(w)->observers); o_; o_ = next_) {                                    \
			next_ = TAILQ_NEXT(o_, link);                                                        \
			if (o_->call)                                                                        \
				o_->call(o_->arg, __VA_ARGS__);                                              \
		}                                                                                            \
	} while (0)

void sim_notify_instance(struct sim_world *w, const struct sim_instance *i)
{
	if (i->terminated)
		NOTIFY(w, instance_terminated, i);
	else
		NOTIFY(w, instance_added, i);
}

void sim_notify_sg(struct sim_world *w, const struct sim_sg *g)
{
	NOTIFY(w, sg_changed, g);
}

void sim_notify_eni(struct sim_eni *e, enum sim_event ev)
{
	struct sim_world *w = e->world;

	switch (ev) {
	case SIM_EV_CREATED:
		w->changes.created++;
		NOTIFY(w, eni_created, e);
		break;
	case SIM_EV_ATTACHED:
		w->changes.attached++;
		NOTIFY(w, eni_attached, e);
		break;
	case SIM_EV_DETACHED:
		w->changes.detached++;
		NOTIFY(w, eni_detached, e);
		break;
	case SIM_EV_DELETED:
		w->changes.deleted++;
		NOTIFY(w, eni_deleted, e);
		break;
	case SIM_EV_ADDRESSES:
		NOTIFY(w, eni_addresses_changed, e);
		break;
	case SIM_EV_SOURCE_DEST_CHECK:
		NOTIFY(w, eni_source_dest_check_changed, e);
		break;
	case SIM_EV_GROUPS:
		NOTIFY(w, eni_groups_changed, e);
		break;
	case SIM_EV_ASSOCIATED:
		NOTIFY(w, eni_associated, e);
		break;
	case SIM_EV_DISASSOCIATED:
		NOTIFY(w, eni_disassociated, e);
		break;
	}
}

void sim_world_observe(struct sim_world *w, struct sim_observer *o)
{
	struct sim_instance *i;
	struct sim_eni *e;

	TAILQ_INSERT_TAIL(&w->observers, o, link);
	TAILQ_FOREACH(i, &w->instances, link)
		if (o->instance_added && !i->terminated)
			o->instance_added(o->arg, i);
	TAILQ_FOREACH(e, &w->enis, link) {
		if (o->eni_created)
			o->eni_created(o->arg, e);
		if (o->eni_attached &&
		    (e->att.state == SIM_ATT_ATTACHED || e->att.state == SIM_ATT_DETACHING))
			o->eni_attached(o->arg, e);
		if (o->eni_associated && e->trunk)
			o->eni_associated(o->arg, e);
	}
}

void sim_world_unobserve(struct sim_world *w, struct sim_observer *o)
{
	TAILQ_REMOVE(&w->observers, o, link);
}

#define FIND(head, var, cond)                                                                                \
	do {                                                                                                 \
		TAILQ_FOREACH(var, head, link)                                                               \
			if (cond)                                                                            \
				return var;                                                                  \
		return NULL;                                                                                 \
	} while (0)

struct sim_vpc *sim_vpc_find(struct sim_world *w, const char *id)
{
	struct sim_vpc *v;

	FIND(&w->vpcs, v, strcmp(v->id, id) == 0);
}

struct sim_subnet *sim_subnet_find(struct sim_world *w, const char *id)
{
	struct sim_subnet *s;

	FIND(&w->subnets, s, strcmp(s->id, id) == 0);
}

struct sim_sg *sim_sg_find(struct sim_world *w, const char *id)
{
	struct sim_sg *g;

	FIND(&w->sgs, g, strcmp(g->id, id) == 0);
}

const struct sim_itype *sim_itype_find(const struct sim_world *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->n_itypes; i++)
		if (strcmp(w->itypes[i].name, name) == 0)
			return &w->itypes[i];
	return NULL;
}

struct sim_instance *sim_instance_find(struct sim_world *w, const char *id_or_name)
{
	struct sim_instance *i;

	FIND(&w->instances, i, strcmp(i->id, id_or_name) == 0 || strcmp(i->name, id_or_name) == 0);
}

struct sim_eni *sim_eni_find(struct sim_world *w, const char *id)
{
	struct sim_eni *e;

	FIND(&w->enis, e, strcmp(e->id, id) == 0);
}

struct sim_eni *sim_eni_by_mac(struct sim_world *w, const struct vw_mac *mac)
{
	struct sim_eni *e;

	FIND(&w->enis, e, vw_mac_eq(&e->mac, mac));
}

struct sim_eni *sim_eni_by_addr(struct sim_world *w, const struct vw_ip *ip)
{
	struct sim_eni *e;

	FIND(&w->enis, e, sim_cidrs_holds(&e->v4, ip) || sim_cidrs_holds(&e->v6, ip));
}

struct sim_instance *sim_eni_instance(const struct sim_eni *eni)
{
	return eni->trunk ? eni->trunk->att.instance : eni->att.instance;
}

struct sim_eni *sim_assoc_find(struct sim_world *w, const char *assoc_id)
{
	struct sim_eni *e;

	FIND(&w->enis, e, e->trunk && strcmp(e->assoc_id, assoc_id) == 0);
}

struct sim_instance *sim_instance_by_addr(struct sim_world *w, const struct vw_ip *ip)
{
	struct sim_eni *e = sim_eni_by_addr(w, ip);

	return e ? sim_eni_instance(e) : NULL;
}

struct sim_eni *sim_eni_at(struct sim_world *w, const struct sim_instance *inst, unsigned int card,
			   unsigned int device)
{
	struct sim_eni *e;

	FIND(&w->enis, e, e->att.instance == inst && e->att.card == card && e->att.device == device);
}

bool sim_eni_is_prefix(const struct vw_cidr *c)
{
	return c->len < vw_ip_bits(&c->ip);
}

const char *sim_eni_type_str(enum sim_eni_type t)
{
	static const char *const names[] = { "interface", "trunk", "branch", "efa", "efa-only" };

	return names[t];
}

int sim_eni_type_parse(const char *text, enum sim_eni_type *ret_type)
{
	enum sim_eni_type t;

	for (t = SIM_ENI_INTERFACE; t <= SIM_ENI_EFA_ONLY; t++) {
		if (strcmp(text, sim_eni_type_str(t)) == 0) {
			*ret_type = t;
			return 0;
		}
	}
	return -EINVAL;
}

const char *sim_eni_status_str(const struct sim_eni *eni)
{
	static const char *const names[] = { "available", "attaching", "in-use", "detaching" };

	return eni->trunk ? "associated" : names[eni->att.state];
}

const char *sim_att_state_str(enum sim_att_state s)
{
	static const char *const names[] = { "detached", "attaching", "attached", "detaching" };

	return names[s];
}

struct vw_ip sim_subnet_router(const struct sim_subnet *s)
{
	return vw_ip_add(&s->v4.ip, 1);
}
