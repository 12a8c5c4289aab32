/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of what does not move: VPCs, subnets, security groups, instance types. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/config_net.h"
#include "sim/config_util.h"
#include "sim/itypes.h"
#include "sim/ops.h"

static const char subnet_keys[] = "id vpc az az_id cidr ipv6 tags fragment reserved map_public_ip";
static const char itype_keys[] =
	"name max_enis ipv4_per_eni ipv6_per_eni network_cards nitro bare_metal vcpus "
	"memory_mib branch_enis trunking";

static int no_memory(struct vw_err *err)
{
	return vw_err_sys(err, ENOMEM, 0, "building the world");
}

static bool named(const char *id, const struct sim_tags *tags, const char *want)
{
	const char *name = sim_tags_get(tags, "Name");

	return strcmp(id, want) == 0 || (name && strcmp(name, want) == 0);
}

struct sim_vpc *sim_cfg_vpc(struct sim_world *w, const char *want)
{
	struct sim_vpc *v;

	TAILQ_FOREACH(v, &w->vpcs, link)
		if (!want[0] || named(v->id, &v->tags, want))
			return v;
	return NULL;
}

struct sim_subnet *sim_cfg_subnet(struct sim_world *w, const char *want)
{
	struct sim_subnet *s;

	TAILQ_FOREACH(s, &w->subnets, link)
		if (!want[0] || named(s->id, &s->tags, want))
			return s;
	return NULL;
}

struct sim_sg *sim_cfg_sg(struct sim_world *w, const char *want)
{
	struct sim_sg *g;

	TAILQ_FOREACH(g, &w->sgs, link)
		if (strcmp(g->id, want) == 0 || strcmp(g->name, want) == 0)
			return g;
	return NULL;
}

static int vpc(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_world *w = arg;
	struct sim_vpc *v = calloc(1, sizeof(*v));
	struct vw_cidr c;
	int r;

	if (!v)
		return no_memory(err);
	TAILQ_INSERT_TAIL(&w->vpcs, v, link); /* the world frees it, also after a failure */
	if (sim_cfg_keys(j, "id cidr cidrs ipv6_cidrs tags default", where, err) < 0 ||
	    sim_cfg_id(w, j, "vpc", v->id, err) < 0)
		return -EINVAL;
	r = sim_cfg_cidr(j, "cidr", AF_INET, &c, err);
	if (r > 0 && sim_cidrs_add(&v->v4, &c) < 0)
		return no_memory(err);
	if (r < 0 || sim_cfg_cidrs(j, "cidrs", AF_INET, &v->v4, err) < 0 ||
	    sim_cfg_cidrs(j, "ipv6_cidrs", AF_INET6, &v->v6, err) < 0 || sim_cfg_tags(j, &v->tags, err) < 0 ||
	    vw_json_get_bool(j, "default", &v->is_default, err) < 0)
		return -EINVAL;
	return v->v4.n ? 0 : vw_err_set(err, EINVAL, 0, "a VPC needs 'cidr' or 'cidrs'");
}

static int reservation(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_subnet *s = arg;
	char type[16] = "explicit", text[VW_CIDR_STRLEN];
	struct vw_cidr c;
	int r;

	if (vw_json_string(j)) {
		r = vw_cidr_parse(vw_json_string(j), &c) < 0 || !vw_cidr_is_masked(&c) ? -EINVAL : 1;
		if (r < 0)
			return vw_err_set(err, EINVAL, 0, "'%s' is not a network", vw_json_string(j));
	} else {
		if (sim_cfg_keys(j, "cidr type", where, err) < 0 ||
		    sim_cfg_text(j, "type", type, sizeof(type), err) < 0)
			return -EINVAL;
		r = sim_cfg_cidr(j, "cidr", AF_INET, &c, err);
	}
	if (r < 0)
		return r;
	if (r == 0 || (strcmp(type, "explicit") != 0 && strcmp(type, "prefix") != 0))
		return vw_err_set(err, EINVAL, 0,
				  "a reservation needs 'cidr', and 'type' explicit or prefix");
	r = sim_subnet_reserve(s, &c, type[0] == 'p');
	if (r < 0)
		return vw_err_set(err, EINVAL, 0,
				  "reservation %s is outside of the subnet or overlaps another",
				  vw_cidr_str(&c, text));
	return 0;
}

int sim_cfg_fragment(struct sim_subnet *s, const struct vw_json *j, struct vw_err *err)
{
	unsigned int keep = 0, held = 1;
	bool on = true;

	if (vw_json_type(j) == VW_JSON_BOOL) {
		vw_auto_json struct vw_json *o = vw_json_new_object();

		if (vw_json_set(o, "v", vw_json_copy(j)) < 0 || vw_json_get_bool(o, "v", &on, err) < 0)
			return no_memory(err);
	} else if (sim_cfg_uint(j, "free_prefixes", 4096, &keep, err) < 0 ||
		   sim_cfg_uint(j, "held_per_block", 16, &held, err) < 0) {
		return -EINVAL;
	}
	if (!held)
		return vw_err_set(err, EINVAL, 0, "'held_per_block' is 1 to 16");
	if (on)
		sim_subnet_fragment(s, keep, held);
	else
		sim_subnet_unfragment(s);
	return 0;
}

static int subnet_place(struct sim_world *w, struct sim_subnet *s, const struct vw_json *j,
			struct vw_err *err)
{
	char in[64] = "", text[VW_CIDR_STRLEN];
	size_t n = strlen(w->region);
	struct sim_subnet *o;

	if (sim_cfg_text(j, "vpc", in, sizeof(in), err) < 0)
		return -EINVAL;
	s->vpc = sim_cfg_vpc(w, in);
	if (!s->vpc)
		return vw_err_set(err, EINVAL, 0, "there is no VPC '%s'", in);
	if (vw_fmt(s->az, sizeof(s->az), "%sa", w->region) < 0 ||
	    sim_cfg_text(j, "az", s->az, sizeof(s->az), err) < 0)
		return -EINVAL;
	if (strlen(s->az) == 1) { /* "b" is short for the region's b */
		char zone = s->az[0];

		if (vw_fmt(s->az, sizeof(s->az), "%s%c", w->region, zone) < 0)
			return -EINVAL;
	}
	if (vw_fmt(s->az_id, sizeof(s->az_id), "%.6s-az%d", w->region,
		   s->az[n] >= 'a' ? s->az[n] - 'a' + 1 : 1) < 0 ||
	    sim_cfg_text(j, "az_id", s->az_id, sizeof(s->az_id), err) < 0)
		return -EINVAL;
	if (!sim_cidrs_holds(&s->vpc->v4, &s->v4.ip))
		return vw_err_set(err, EINVAL, 0, "%s is not in the VPC's networks",
				  vw_cidr_str(&s->v4, text));
	TAILQ_FOREACH(o, &w->subnets, link)
		if (o != s && o->vpc == s->vpc && vw_cidr_overlaps(&o->v4, &s->v4))
			return vw_err_set(err, EINVAL, 0, "%s overlaps subnet %s", vw_cidr_str(&s->v4, text),
					  o->id);
	return 0;
}

static int subnet(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_world *w = arg;
	struct sim_subnet *s = calloc(1, sizeof(*s));
	const struct vw_json *frag;
	int r;

	if (!s)
		return no_memory(err);
	TAILQ_INSERT_TAIL(&w->subnets, s, link);
	if (sim_cfg_keys(j, subnet_keys, where, err) < 0 || sim_cfg_id(w, j, "subnet", s->id, err) < 0 ||
	    sim_cfg_tags(j, &s->tags, err) < 0 ||
	    vw_json_get_bool(j, "map_public_ip", &s->map_public_ip, err) < 0)
		return -EINVAL;
	r = sim_cfg_cidr(j, "cidr", AF_INET, &s->v4, err);
	if (r == 0 || (r > 0 && (s->v4.len < 16 || s->v4.len > 28)))
		return vw_err_set(err, EINVAL, 0, "a subnet needs 'cidr', /16 to /28");
	if (r < 0 || subnet_place(w, s, j, err) < 0)
		return -EINVAL;
	r = sim_cfg_cidr(j, "ipv6", AF_INET6, &s->v6, err);
	if (r < 0)
		return r;
	if (r > 0 && s->v6.len != 64)
		return vw_err_set(err, EINVAL, 0, "'ipv6' must be a /64");
	if (sim_subnet_init_use(s) < 0)
		return no_memory(err);
	r = sim_cfg_each(j, "reserved", reservation, s, err);
	frag = vw_json_get(j, "fragment");
	return r < 0 || vw_json_is_null(frag) ? r : sim_cfg_fragment(s, frag, err);
}

static int cards(const struct vw_json *j, struct sim_itype *t, struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	int r = vw_json_get_arr(j, "network_cards", &arr, err);
	size_t i;

	if (r < 0)
		return r;
	if (r == 0) {
		t->n_cards = 1;
		t->card_max_enis[0] = t->max_enis;
		return 0;
	}
	if (!vw_json_len(arr) || vw_json_len(arr) > SIM_MAX_CARDS)
		return vw_err_set(err, EINVAL, 0, "'network_cards' has 1 to %d entries", SIM_MAX_CARDS);
	t->n_cards = (unsigned int)vw_json_len(arr);
	for (i = 0; i < t->n_cards; i++)
		if (sim_cfg_uint(vw_json_at(arr, i), "max_enis", 64, &t->card_max_enis[i], err) < 0)
			return -EINVAL;
	return 0;
}

static int itype(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_itype t = {
		.v4_per_eni = 10, .max_enis = 3, .vcpus = 2, .memory_mib = 4096, .nitro = true
	};

	if (sim_cfg_keys(j, itype_keys, where, err) < 0 ||
	    sim_cfg_text(j, "name", t.name, sizeof(t.name), err) < 0 ||
	    sim_cfg_uint(j, "max_enis", 64, &t.max_enis, err) < 0 ||
	    sim_cfg_uint(j, "ipv4_per_eni", SIM_MAX_LIST, &t.v4_per_eni, err) < 0)
		return -EINVAL;
	t.v6_per_eni = t.v4_per_eni;
	if (sim_cfg_uint(j, "ipv6_per_eni", SIM_MAX_LIST, &t.v6_per_eni, err) < 0 || cards(j, &t, err) < 0 ||
	    vw_json_get_bool(j, "nitro", &t.nitro, err) < 0 ||
	    vw_json_get_bool(j, "bare_metal", &t.bare_metal, err) < 0 ||
	    sim_cfg_uint(j, "vcpus", 1024, &t.vcpus, err) < 0 ||
	    sim_cfg_uint(j, "memory_mib", 1U << 30, &t.memory_mib, err) < 0 ||
	    sim_cfg_uint(j, "branch_enis", 1024, &t.branch_enis, err) < 0 ||
	    vw_json_get_bool(j, "trunking", &t.trunking, err) < 0)
		return -EINVAL;
	if (!t.name[0] || !t.max_enis || !t.v4_per_eni)
		return vw_err_set(err, EINVAL, 0,
				  "an instance type needs 'name', and at least one ENI with one address");
	return sim_itypes_add(arg, &t) < 0 ? no_memory(err) : 0;
}

static const char default_net[] =
	"{\"vpcs\":[{\"cidr\":\"10.0.0.0/16\",\"ipv6_cidrs\":[\"2001:db8:7600::/56\"],\"tags\":{\"Name\":\"vpc\"}}],"
	"\"subnets\":["
	"{\"cidr\":\"10.0.0.0/20\",\"ipv6\":\"2001:db8:7600::/64\",\"az\":\"a\",\"tags\":{\"Name\":\"subnet-a\"}},"
	"{\"cidr\":\"10.0.16.0/20\",\"ipv6\":\"2001:db8:7600:1::/64\",\"az\":\"b\",\"tags\":{\"Name\":\"subnet-b\"}}],"
	"\"security_groups\":[{\"name\":\"default\",\"description\":\"default VPC security group\"}]}";

int sim_config_net(struct sim_world *w, const struct vw_json *j, struct vw_err *err)
{
	vw_auto_json struct vw_json *def = NULL;
	int r = sim_itypes_builtin(w);

	if (r < 0)
		return no_memory(err);
	r = vw_json_parse(default_net, strlen(default_net), NULL, "the default network", &def, err);
	if (r == 0)
		r = sim_cfg_each(j, "instance_types", itype, w, err);
	if (r == 0)
		r = sim_cfg_each(vw_json_get(j, "vpcs") ? j : def, "vpcs", vpc, w, err);
	if (r == 0)
		r = sim_cfg_each(vw_json_get(j, "vpcs") ? j : def, "subnets", subnet, w, err);
	if (r == 0)
		r = sim_config_sgs(w, vw_json_get(j, "security_groups") ? j : def, err);
	return r;
}
