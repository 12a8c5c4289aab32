/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Describe actions: one walk (ids, filters, pages) over seven kinds of objects.
 *
 * A page ends after MaxResults hits; its NextToken names the ordinal of the last one, so objects that are
 * deleted in between neither repeat nor hide others. Ordinals: ENIs and instances have their own (seq); the
 * rest never changes, so the position will do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/cidrs.h"
#include "sim/ec2.h"
#include "sim/xml_out.h"

struct kind {
	const char *name; /* of a page token */
	const char *id_param, *id_prefix, *malformed, *not_found, *what;
	const char *set;
	unsigned int max_page;
	const struct sim_filter_def *filters;
	size_t n_filters;
	const void *(*next)(struct sim_world *w, const void *prev);
	const char *(*id)(const void *obj);
	uint64_t (*seq)(const void *obj); /* NULL: the position */
	const struct sim_tags *(*tags)(const void *obj);
	void (*xml)(struct vw_buf *b, struct sim_world *w, const void *obj);
};

#define TOKEN_HASH 16

static void token_make(const struct kind *k, uint64_t after, char ret_token[64])
{
	char hex[VW_SHA256_HEXLEN], text[64];
	int n = snprintf(text, sizeof(text), "%s/%llx", k->name, (unsigned long long)after);

	vw_sha256_hex(text, (size_t)n, hex);
	snprintf(ret_token, 64, "%.*s%llx", TOKEN_HASH, hex, (unsigned long long)after);
}

static int token_read(const struct kind *k, const char *token, uint64_t *ret_after, struct sim_fail *f)
{
	char want[64];

	if (strlen(token) > TOKEN_HASH && vw_parse_hex(token + TOKEN_HASH, UINT64_MAX, ret_after) == 0) {
		token_make(k, *ret_after, want);
		if (strcmp(want, token) == 0)
			return 0;
	}
	return sim_fail(f, "InvalidNextToken", "The token '%.64s' is invalid", token);
}

static const void *find(struct sim_world *w, const struct kind *k, const char *id)
{
	const void *o = NULL;

	while ((o = k->next(w, o)))
		if (strcmp(k->id(o), id) == 0)
			return o;
	return NULL;
}

static int ids_parse(struct sim_ec2_call *c, const struct kind *k)
{
	int i, n = sim_param_list(&c->params, k->id_param, NULL, SIM_MAX_LIST, c->a.resources, &c->f);

	for (i = 0; i < n; i++) {
		const char *id = c->a.resources[i];

		if (k->id_prefix && sim_ec2_id(id, k->id_prefix, k->malformed, &c->f) < 0)
			return -EPROTO;
		if (!find(c->w, k, id))
			return sim_fail(&c->f, k->not_found,
					k->id_prefix ? "The %s '%.64s' does not exist"
						     : "The following supplied %s do not exist: [%.64s]",
					k->what, id);
	}
	c->a.n_resources = n;
	return n;
}

static int describe_parse(struct sim_ec2_call *c, const struct kind *k)
{
	const char *token;
	int r = ids_parse(c, k);

	if (r >= 0)
		r = sim_filters_parse(&c->params, &c->a.filters, &c->f);
	if (r >= 0)
		r = sim_filters_check(&c->a.filters, k->filters, k->n_filters, &c->f);
	if (r >= 0)
		r = sim_param_uint(&c->params, "MaxResults", 5, k->max_page, &c->a.max_results, &c->f);
	if (r < 0)
		return r;
	if (r > 0 && c->a.n_resources)
		return sim_fail(&c->f, "InvalidParameterCombination",
				"The parameter %s cannot be used with the parameter "
				"maxResults",
				k->id_param);
	token = sim_param(&c->params, "NextToken");
	return token && *token ? token_read(k, token, &c->a.after, &c->f) : 0;
}

static bool wanted(const struct sim_ec2_call *c, const struct kind *k, const void *o)
{
	int i;

	for (i = 0; i < c->a.n_resources; i++)
		if (strcmp(c->a.resources[i], k->id(o)) == 0)
			break;
	if (c->a.n_resources && i == c->a.n_resources)
		return false;
	return sim_filters_pass(&c->a.filters, k->filters, k->n_filters, o, k->tags ? k->tags(o) : NULL);
}

static int describe_run(struct sim_ec2_call *c, const struct kind *k)
{
	uint64_t pos = 0, last = 0, seq;
	unsigned int n = 0;
	bool more = false;
	const void *o = NULL;
	char token[64];

	sim_xml_open(c->out, k->set);
	while ((o = k->next(c->w, o))) {
		seq = k->seq ? k->seq(o) : ++pos;
		if (seq <= c->a.after || !wanted(c, k, o))
			continue;
		if (c->a.max_results && n == c->a.max_results) {
			more = true;
			break;
		}
		sim_xml_open(c->out, "item");
		k->xml(c->out, c->w, o);
		sim_xml_close(c->out, "item");
		last = seq;
		n++;
	}
	sim_xml_close(c->out, k->set);
	if (more) {
		token_make(k, last, token);
		sim_xml_text(c->out, "nextToken", token);
	}
	return 0;
}

static bool ip_hit(const struct sim_filter *f, const struct vw_ip *ip)
{
	char text[VW_IP_STRLEN];

	return ip->family && sim_filter_hit(f, vw_ip_str(ip, text));
}

static bool cidr_hit(const struct sim_filter *f, const struct vw_cidr *c)
{
	char text[VW_CIDR_STRLEN];

	return c->ip.family && sim_filter_hit(f, vw_cidr_str(c, text));
}

static bool bool_hit(const struct sim_filter *f, bool v)
{
	return sim_filter_hit(f, v ? "true" : "false");
}

static bool uint_hit(const struct sim_filter *f, unsigned int v)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", v);
	return sim_filter_hit(f, text);
}

static bool list_hit(const struct sim_filter *f, const struct sim_cidrs *l, bool prefixes)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (sim_eni_is_prefix(&l->v[i]) == prefixes &&
		    (prefixes ? cidr_hit(f, &l->v[i]) : ip_hit(f, &l->v[i].ip)))
			return true;
	return false;
}

/* One filter: FILTER(name of the function, type of the object, expression over `o` and `f`). */
#define FILTER(fn, type, expr)                                                                               \
	static bool fn(const void *obj, const struct sim_filter *f)                                          \
	{                                                                                                    \
		const struct type *o = obj;                                                                  \
                                                                                                             \
		return expr;                                                                                 \
	}

/* Walking a list of the world: NEXT(function, type, head). */
#define NEXT(fn, type, head)                                                                                 \
	static const void *fn(struct sim_world *w, const void *prev)                                         \
	{                                                                                                    \
		return prev ? TAILQ_NEXT((const struct type *)prev, link) : TAILQ_FIRST(&w->head);           \
	}                                                                                                    \
	static const char *fn##_id(const void *obj)                                                          \
	{                                                                                                    \
		return ((const struct type *)obj)->id;                                                       \
	}                                                                                                    \
	static const struct sim_tags *fn##_tags(const void *obj)                                             \
	{                                                                                                    \
		return &((const struct type *)obj)->tags;                                                    \
	}

/* The two functions that the table of actions names. */
#define DESCRIBE(name, kind)                                                                                 \
	int sim_ec2_##name##_parse(struct sim_ec2_call *c)                                                   \
	{                                                                                                    \
		return describe_parse(c, &kind);                                                             \
	}                                                                                                    \
	int sim_ec2_##name##_run(struct sim_ec2_call *c)                                                     \
	{                                                                                                    \
		return describe_run(c, &kind);                                                               \
	}

/* --- network interfaces --- */

static bool eni_group_hit(const struct sim_filter *f, const struct sim_eni *e, bool by_name)
{
	size_t i;

	for (i = 0; i < e->n_groups; i++)
		if (sim_filter_hit(f, by_name ? e->groups[i]->name : e->groups[i]->id))
			return true;
	return false;
}

static bool mac_hit(const struct sim_filter *f, const struct sim_eni *e)
{
	char text[VW_MAC_STRLEN];

	return sim_filter_hit(f, vw_mac_str(&e->mac, text));
}

#define ATTACHED(o) ((o)->att.state != SIM_ATT_NONE)
FILTER(eni_instance, sim_eni, ATTACHED(o) && sim_filter_hit(f, o->att.instance->id))
FILTER(eni_att_id, sim_eni, ATTACHED(o) && sim_filter_hit(f, o->att.id))
FILTER(eni_att_status, sim_eni, ATTACHED(o) && sim_filter_hit(f, sim_att_state_str(o->att.state)))
FILTER(eni_device, sim_eni, ATTACHED(o) && uint_hit(f, o->att.device))
FILTER(eni_dot, sim_eni, ATTACHED(o) && bool_hit(f, o->att.delete_on_termination))
FILTER(eni_az, sim_eni, sim_filter_hit(f, o->subnet->az))
FILTER(eni_descr, sim_eni, sim_filter_hit(f, o->description))
FILTER(eni_group, sim_eni, eni_group_hit(f, o, false))
FILTER(eni_group_name, sim_eni, eni_group_hit(f, o, true))
FILTER(eni_type, sim_eni, sim_filter_hit(f, sim_eni_type_str(o->type)))
FILTER(eni_mac, sim_eni, mac_hit(f, o))
FILTER(eni_id, sim_eni, sim_filter_hit(f, o->id))
FILTER(eni_ip, sim_eni, ip_hit(f, &o->v4.v[0].ip))
FILTER(eni_ips, sim_eni, list_hit(f, &o->v4, false))
FILTER(eni_prefixes, sim_eni, list_hit(f, &o->v4, true))
FILTER(eni_ip6s, sim_eni, list_hit(f, &o->v6, false))
FILTER(eni_prefixes6, sim_eni, list_hit(f, &o->v6, true))
FILTER(eni_sdc, sim_eni, bool_hit(f, o->source_dest_check))
FILTER(eni_status, sim_eni, sim_filter_hit(f, sim_eni_status_str(o)))
FILTER(eni_subnet, sim_eni, sim_filter_hit(f, o->subnet->id))
FILTER(eni_vpc, sim_eni, sim_filter_hit(f, o->subnet->vpc->id))

static const struct sim_filter_def eni_filters[] = {
	{ "addresses.private-ip-address", eni_ips },
	{ "attachment.attachment-id", eni_att_id },
	{ "attachment.delete-on-termination", eni_dot },
	{ "attachment.device-index", eni_device },
	{ "attachment.instance-id", eni_instance },
	{ "attachment.status", eni_att_status },
	{ "availability-zone", eni_az },
	{ "description", eni_descr },
	{ "group-id", eni_group },
	{ "group-name", eni_group_name },
	{ "interface-type", eni_type },
	{ "ipv4-prefix.ipv4-prefix", eni_prefixes },
	{ "ipv6-addresses.ipv6-address", eni_ip6s },
	{ "ipv6-prefix.ipv6-prefix", eni_prefixes6 },
	{ "mac-address", eni_mac },
	{ "network-interface-id", eni_id },
	{ "private-ip-address", eni_ip },
	{ "source-dest-check", eni_sdc },
	{ "status", eni_status },
	{ "subnet-id", eni_subnet },
	{ "vpc-id", eni_vpc },
};

NEXT(eni_next, sim_eni, enis)

static uint64_t eni_seq(const void *obj)
{
	return ((const struct sim_eni *)obj)->seq;
}

static void eni_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_eni(b, w, obj);
}

static const struct kind eni_kind = {
	"eni",
	"NetworkInterfaceId",
	"eni",
	"InvalidNetworkInterfaceId.Malformed",
	"InvalidNetworkInterfaceID.NotFound",
	"networkInterface ID",
	"networkInterfaceSet",
	1000,
	eni_filters,
	VW_ARRAY_SIZE(eni_filters),
	eni_next,
	eni_next_id,
	eni_seq,
	eni_next_tags,
	eni_xml,
};
DESCRIBE(enis, eni_kind)

/* --- associations of branch with trunk interfaces: a branch that has a trunk --- */

FILTER(assoc_trunk, sim_eni, sim_filter_hit(f, o->trunk->id))
FILTER(assoc_protocol, sim_eni, o->trunk && sim_filter_hit(f, "VLAN"))
FILTER(assoc_gre, sim_eni, !o->trunk && f)

static const struct sim_filter_def assoc_filters[] = {
	{ "gre-key", assoc_gre },
	{ "interface-protocol", assoc_protocol },
	{ "trunk-interface-association.trunk-interface-id", assoc_trunk },
};

static const void *assoc_next(struct sim_world *w, const void *prev)
{
	const struct sim_eni *e = prev ? TAILQ_NEXT((const struct sim_eni *)prev, link) : TAILQ_FIRST(&w->enis);

	while (e && !e->trunk)
		e = TAILQ_NEXT(e, link);
	return e;
}

static const char *assoc_id(const void *obj)
{
	return ((const struct sim_eni *)obj)->assoc_id;
}

static void assoc_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_association(b, obj);
}

/* the walk is in order of the ENIs, so pages go by theirs */
static const struct kind assoc_kind = {
	"assoc",
	"AssociationId",
	"trunk-assoc",
	"InvalidAssociationID.Malformed",
	"InvalidAssociationID.NotFound",
	"association ID",
	"interfaceAssociationSet",
	255,
	assoc_filters,
	VW_ARRAY_SIZE(assoc_filters),
	assoc_next,
	assoc_id,
	eni_seq,
	NULL,
	assoc_xml,
};
DESCRIBE(assocs, assoc_kind)

/* --- instances --- */

FILTER(inst_id, sim_instance, sim_filter_hit(f, o->id))
FILTER(inst_state, sim_instance, sim_filter_hit(f, o->terminated ? "terminated" : "running"))
FILTER(inst_type, sim_instance, sim_filter_hit(f, o->type->name))
FILTER(inst_az, sim_instance, sim_filter_hit(f, o->subnet->az))
FILTER(inst_subnet, sim_instance, sim_filter_hit(f, o->subnet->id))
FILTER(inst_vpc, sim_instance, sim_filter_hit(f, o->subnet->vpc->id))
FILTER(inst_dns, sim_instance, sim_filter_hit(f, o->hostname))
FILTER(inst_ip, sim_instance, o->primary &&ip_hit(f, &o->primary->v4.v[0].ip))

static const struct sim_filter_def inst_filters[] = {
	{ "availability-zone", inst_az },      { "instance-id", inst_id },
	{ "instance-state-name", inst_state }, { "instance-type", inst_type },
	{ "private-dns-name", inst_dns },      { "private-ip-address", inst_ip },
	{ "subnet-id", inst_subnet },          { "vpc-id", inst_vpc },
};

NEXT(inst_next, sim_instance, instances)

static uint64_t inst_seq(const void *obj)
{
	return ((const struct sim_instance *)obj)->seq;
}

static void inst_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_instance(b, w, obj);
}

static const struct kind inst_kind = {
	"instance",
	"InstanceId",
	"i",
	"InvalidInstanceID.Malformed",
	"InvalidInstanceID.NotFound",
	"instance ID",
	"reservationSet",
	1000,
	inst_filters,
	VW_ARRAY_SIZE(inst_filters),
	inst_next,
	inst_next_id,
	inst_seq,
	inst_next_tags,
	inst_xml,
};
DESCRIBE(instances, inst_kind)

/* --- instance types --- */

FILTER(itype_name, sim_itype, sim_filter_hit(f, o->name))
FILTER(itype_hyper, sim_itype, sim_filter_hit(f, o->nitro ? "nitro" : "xen"))
FILTER(itype_metal, sim_itype, bool_hit(f, o->bare_metal))
FILTER(itype_enis, sim_itype, uint_hit(f, o->max_enis))

static const struct sim_filter_def itype_filters[] = {
	{ "bare-metal", itype_metal },
	{ "hypervisor", itype_hyper },
	{ "instance-type", itype_name },
	{ "network-info.maximum-network-interfaces", itype_enis },
};

static const void *itype_next(struct sim_world *w, const void *prev)
{
	size_t i = prev ? (size_t)((const struct sim_itype *)prev - w->itypes) + 1 : 0;

	return i < w->n_itypes ? &w->itypes[i] : NULL;
}

static const char *itype_id(const void *obj)
{
	return ((const struct sim_itype *)obj)->name;
}

static void itype_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_itype(b, obj);
}

static const struct kind itype_kind = {
	"itype",          "InstanceType",    NULL, NULL,          "InvalidInstanceType",
	"instance types", "instanceTypeSet", 100,  itype_filters, VW_ARRAY_SIZE(itype_filters),
	itype_next,       itype_id,          NULL, NULL,          itype_xml,
};
DESCRIBE(itypes, itype_kind)

/* --- subnets --- */

FILTER(subnet_az, sim_subnet, sim_filter_hit(f, o->az))
FILTER(subnet_az_id, sim_subnet, sim_filter_hit(f, o->az_id))
FILTER(subnet_id, sim_subnet, sim_filter_hit(f, o->id))
FILTER(subnet_vpc, sim_subnet, sim_filter_hit(f, o->vpc->id))
FILTER(subnet_cidr, sim_subnet, cidr_hit(f, &o->v4))
FILTER(subnet_cidr6, sim_subnet, cidr_hit(f, &o->v6))
FILTER(subnet_state, sim_subnet, o->id[0] && sim_filter_hit(f, "available"))

static const struct sim_filter_def subnet_filters[] = {
	{ "availability-zone", subnet_az },
	{ "availability-zone-id", subnet_az_id },
	{ "cidr", subnet_cidr },
	{ "cidr-block", subnet_cidr },
	{ "cidrBlock", subnet_cidr },
	{ "ipv6-cidr-block-association.ipv6-cidr-block", subnet_cidr6 },
	{ "state", subnet_state },
	{ "subnet-id", subnet_id },
	{ "vpc-id", subnet_vpc },
};

NEXT(subnet_next, sim_subnet, subnets)

static void subnet_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_subnet(b, w, obj);
}

static const struct kind subnet_kind = {
	"subnet",
	"SubnetId",
	"subnet",
	"InvalidSubnetId.Malformed",
	"InvalidSubnetID.NotFound",
	"subnet ID",
	"subnetSet",
	1000,
	subnet_filters,
	VW_ARRAY_SIZE(subnet_filters),
	subnet_next,
	subnet_next_id,
	NULL,
	subnet_next_tags,
	subnet_xml,
};
DESCRIBE(subnets, subnet_kind)

/* --- VPCs --- */

FILTER(vpc_id, sim_vpc, sim_filter_hit(f, o->id))
FILTER(vpc_cidr, sim_vpc, cidr_hit(f, &o->v4.v[0]))
FILTER(vpc_cidrs, sim_vpc, list_hit(f, &o->v4, true))
FILTER(vpc_default, sim_vpc, bool_hit(f, o->is_default))

static const struct sim_filter_def vpc_filters[] = {
	{ "cidr", vpc_cidr },
	{ "cidr-block-association.cidr-block", vpc_cidrs },
	{ "is-default", vpc_default },
	{ "vpc-id", vpc_id },
};

NEXT(vpc_next, sim_vpc, vpcs)

static void vpc_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_vpc(b, w, obj);
}

static const struct kind vpc_kind = {
	"vpc",
	"VpcId",
	"vpc",
	"InvalidVpcId.Malformed",
	"InvalidVpcID.NotFound",
	"vpc ID",
	"vpcSet",
	1000,
	vpc_filters,
	VW_ARRAY_SIZE(vpc_filters),
	vpc_next,
	vpc_next_id,
	NULL,
	vpc_next_tags,
	vpc_xml,
};
DESCRIBE(vpcs, vpc_kind)

/* --- security groups --- */

FILTER(sg_id, sim_sg, sim_filter_hit(f, o->id))
FILTER(sg_name, sim_sg, sim_filter_hit(f, o->name))
FILTER(sg_descr, sim_sg, sim_filter_hit(f, o->description))
FILTER(sg_vpc, sim_sg, sim_filter_hit(f, o->vpc->id))

static const struct sim_filter_def sg_filters[] = {
	{ "description", sg_descr },
	{ "group-id", sg_id },
	{ "group-name", sg_name },
	{ "vpc-id", sg_vpc },
};

NEXT(sg_next, sim_sg, sgs)

static void sg_xml(struct vw_buf *b, struct sim_world *w, const void *obj)
{
	sim_ec2_xml_sg(b, w, obj);
}

static const struct kind sg_kind = {
	"sg",
	"GroupId",
	"sg",
	"InvalidGroupId.Malformed",
	"InvalidGroup.NotFound",
	"security group",
	"securityGroupInfo",
	1000,
	sg_filters,
	VW_ARRAY_SIZE(sg_filters),
	sg_next,
	sg_next_id,
	NULL,
	sg_next_tags,
	sg_xml,
};
DESCRIBE(sgs, sg_kind)
