/* SPDX-License-Identifier: Apache-2.0 */
/* The world as JSON, for tests and people. */
#include "sim/state_json.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "sim/alloc.h"
#include "sim/model.h"

static struct vw_json *cidrs_json(const struct sim_cidrs *l)
{
	struct vw_json *a = vw_json_new_array();
	char text[VW_CIDR_STRLEN];
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (sim_eni_is_prefix(&l->v[i]))
			vw_cidr_str(&l->v[i], text);
		else
			vw_ip_str(&l->v[i].ip, text);
		if (vw_json_append(a, vw_json_new_string(text)) < 0) {
			vw_json_free(a);
			return NULL;
		}
	}
	return a;
}

static struct vw_json *tags_json(const struct sim_tags *t)
{
	struct vw_json *o = vw_json_new_object();
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (vw_json_set_str(o, t->v[i].key, t->v[i].value) < 0) {
			vw_json_free(o);
			return NULL;
		}
	}
	return o;
}

static int eni_attachment(struct vw_json *o, const struct sim_eni *e)
{
	int r = 0;

	if (e->att.state == SIM_ATT_NONE)
		return 0;
	r |= vw_json_set_str(o, "instance", e->att.instance->id);
	r |= vw_json_set_str(o, "node", e->att.instance->name);
	r |= vw_json_set_str(o, "attachment", e->att.id);
	r |= vw_json_set_int(o, "device", e->att.device);
	r |= vw_json_set_int(o, "card", e->att.card);
	r |= vw_json_set_bool(o, "delete_on_termination", e->att.delete_on_termination);
	return r;
}

static struct vw_json *eni_json(const struct sim_eni *e)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();
	char text[VW_IP_STRLEN];
	int r = 0;

	r |= vw_json_set_str(o, "id", e->id);
	r |= vw_json_set_int(o, "seq", e->seq);
	r |= vw_json_set_str(o, "mac", vw_mac_str(&e->mac, text));
	r |= vw_json_set_str(o, "status", sim_eni_status_str(e));
	r |= vw_json_set_str(o, "type", sim_eni_type_str(e->type));
	r |= vw_json_set_str(o, "subnet", e->subnet->id);
	r |= vw_json_set_str(o, "description", e->description);
	r |= vw_json_set_bool(o, "source_dest_check", e->source_dest_check);
	r |= vw_json_set_str(o, "public_ip", e->public_ip.family ? vw_ip_str(&e->public_ip, text) : NULL);
	r |= vw_json_set(o, "v4", cidrs_json(&e->v4));
	r |= vw_json_set(o, "v6", cidrs_json(&e->v6));
	r |= vw_json_set(o, "tags", tags_json(&e->tags));
	r |= eni_attachment(o, e);
	if (e->trunk) {
		r |= vw_json_set_str(o, "trunk", e->trunk->id);
		r |= vw_json_set_int(o, "vlan", e->vlan);
	}
	return r ? NULL : VW_TAKE_PTR(o);
}

static struct vw_json *instance_json(const struct sim_instance *i)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();
	int r = 0;

	r |= vw_json_set_str(o, "id", i->id);
	r |= vw_json_set_str(o, "name", i->name);
	r |= vw_json_set_str(o, "type", i->type->name);
	r |= vw_json_set_str(o, "subnet", i->subnet->id);
	r |= vw_json_set_str(o, "state", i->terminated ? "terminated" : "running");
	r |= vw_json_set_str(o, "primary_eni", i->primary ? i->primary->id : NULL);
	r |= vw_json_set(o, "tags", tags_json(&i->tags));
	return r ? NULL : VW_TAKE_PTR(o);
}

static struct vw_json *subnet_json(const struct sim_subnet *s)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();
	char text[VW_CIDR_STRLEN];
	int r = 0;

	r |= vw_json_set_str(o, "id", s->id);
	r |= vw_json_set_str(o, "vpc", s->vpc->id);
	r |= vw_json_set_str(o, "az", s->az);
	r |= vw_json_set_str(o, "cidr", vw_cidr_str(&s->v4, text));
	r |= vw_json_set_str(o, "ipv6", s->v6.ip.family ? vw_cidr_str(&s->v6, text) : NULL);
	r |= vw_json_set_int(o, "available", (int64_t)sim_subnet_available(s));
	r |= vw_json_set_int(o, "free_prefixes", (int64_t)sim_subnet_free_prefixes(s));
	r |= vw_json_set(o, "tags", tags_json(&s->tags));
	return r ? NULL : VW_TAKE_PTR(o);
}

static int vpcs_into(struct sim_world *w, struct vw_json *o)
{
	struct vw_json *a = vw_json_new_array(), *j;
	const struct sim_vpc *v;
	int r = 0;

	TAILQ_FOREACH(v, &w->vpcs, link) {
		j = vw_json_new_object();
		r |= vw_json_set_str(j, "id", v->id);
		r |= vw_json_set(j, "cidrs", cidrs_json(&v->v4));
		r |= vw_json_set(j, "ipv6_cidrs", cidrs_json(&v->v6));
		r |= vw_json_append(a, j);
	}
	return vw_json_set(o, "vpcs", a) | r;
}

/* "name": [one object for each of the list]. */
#define LIST(o, name, head, var, make)                                                                       \
	do {                                                                                                 \
		struct vw_json *a_ = vw_json_new_array();                                                    \
		TAILQ_FOREACH(var, head, link)                                                               \
			r |= vw_json_append(a_, make(var));                                                  \
		r |= vw_json_set(o, name, a_);                                                               \
	} while (0)

struct vw_json *sim_state_json(struct sim_world *w)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();
	const struct sim_instance *i;
	const struct sim_subnet *s;
	const struct sim_eni *e;
	int r = 0;

	r |= vw_json_set_str(o, "region", w->region);
	r |= vw_json_set_str(o, "account", w->account);
	r |= vpcs_into(w, o);
	LIST(o, "subnets", &w->subnets, s, subnet_json);
	LIST(o, "instances", &w->instances, i, instance_json);
	LIST(o, "enis", &w->enis, e, eni_json);
	return r ? NULL : VW_TAKE_PTR(o);
}
