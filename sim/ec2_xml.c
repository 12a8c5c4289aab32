/* SPDX-License-Identifier: Apache-2.0 */
/* The XML of single EC2 objects; element names are botocore's (service-2.json, 2016-11-15). */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/ec2.h"
#include "sim/xml_out.h"

void sim_ec2_xml_tags(struct vw_buf *b, const struct sim_tags *t)
{
	size_t i;

	sim_xml_open(b, "tagSet");
	for (i = 0; i < t->n; i++) {
		sim_xml_open(b, "item");
		sim_xml_text(b, "key", t->v[i].key);
		sim_xml_text(b, "value", t->v[i].value);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "tagSet");
}

static void xml_ip(struct vw_buf *b, const char *name, const struct vw_ip *ip)
{
	char text[VW_IP_STRLEN];

	sim_xml_text(b, name, vw_ip_str(ip, text));
}

static void xml_cidr(struct vw_buf *b, const char *name, const struct vw_cidr *c)
{
	char text[VW_CIDR_STRLEN];

	sim_xml_text(b, name, vw_cidr_str(c, text));
}

static void xml_association(struct vw_buf *b, const struct sim_eni *e)
{
	if (!e->public_ip.family)
		return;
	sim_xml_open(b, "association");
	xml_ip(b, "publicIp", &e->public_ip);
	sim_xml_text(b, "ipOwnerId", "amazon");
	sim_xml_close(b, "association");
}

static void xml_private_dns(struct vw_buf *b, const struct sim_world *w, const struct vw_ip *ip)
{
	uint32_t v = vw_ip4_u32(ip);
	char name[96];

	snprintf(name, sizeof(name), "ip-%u-%u-%u-%u.%s.compute.internal", v >> 24, v >> 16 & 255,
		 v >> 8 & 255, v & 255, w->region);
	sim_xml_text(b, "privateDnsName", name);
}

static void xml_v4(struct vw_buf *b, const struct sim_world *w, const struct sim_eni *e)
{
	size_t i;

	sim_xml_open(b, "privateIpAddressesSet");
	for (i = 0; i < e->v4.n; i++) {
		if (sim_eni_is_prefix(&e->v4.v[i]))
			continue;
		sim_xml_open(b, "item");
		xml_ip(b, "privateIpAddress", &e->v4.v[i].ip);
		xml_private_dns(b, w, &e->v4.v[i].ip);
		sim_xml_bool(b, "primary", i == 0);
		if (i == 0)
			xml_association(b, e);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "privateIpAddressesSet");
}

static void xml_set(struct vw_buf *b, const char *set, const char *name, const struct sim_cidrs *l,
		    bool prefixes)
{
	size_t i;

	sim_xml_open(b, set);
	for (i = 0; i < l->n; i++) {
		if (sim_eni_is_prefix(&l->v[i]) != prefixes)
			continue;
		sim_xml_open(b, "item");
		if (prefixes)
			xml_cidr(b, name, &l->v[i]);
		else
			xml_ip(b, name, &l->v[i].ip);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, set);
}

static void xml_groups(struct vw_buf *b, const struct sim_eni *e)
{
	size_t i;

	sim_xml_open(b, "groupSet");
	for (i = 0; i < e->n_groups; i++) {
		sim_xml_open(b, "item");
		sim_xml_text(b, "groupId", e->groups[i]->id);
		sim_xml_text(b, "groupName", e->groups[i]->name);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "groupSet");
}

static void xml_attachment(struct vw_buf *b, const struct sim_world *w, const struct sim_attachment *a)
{
	if (a->state == SIM_ATT_NONE)
		return;
	sim_xml_open(b, "attachment");
	sim_xml_text(b, "attachmentId", a->id);
	sim_xml_text(b, "instanceId", a->instance->id);
	sim_xml_text(b, "instanceOwnerId", w->account);
	sim_xml_uint(b, "deviceIndex", a->device);
	sim_xml_uint(b, "networkCardIndex", a->card);
	sim_xml_text(b, "status", sim_att_state_str(a->state));
	sim_xml_time(b, "attachTime", a->time);
	sim_xml_bool(b, "deleteOnTermination", a->delete_on_termination);
	sim_xml_close(b, "attachment");
}

void sim_ec2_xml_eni(struct vw_buf *b, const struct sim_world *w, const struct sim_eni *e)
{
	char mac[VW_MAC_STRLEN];

	sim_xml_text(b, "networkInterfaceId", e->id);
	sim_xml_text(b, "subnetId", e->subnet->id);
	sim_xml_text(b, "vpcId", e->subnet->vpc->id);
	sim_xml_text(b, "availabilityZone", e->subnet->az);
	sim_xml_text(b, "description", e->description);
	sim_xml_text(b, "ownerId", w->account);
	sim_xml_bool(b, "requesterManaged", false);
	sim_xml_text(b, "status", sim_eni_status_str(e));
	sim_xml_text(b, "macAddress", vw_mac_str(&e->mac, mac));
	xml_ip(b, "privateIpAddress", &e->v4.v[0].ip);
	xml_private_dns(b, w, &e->v4.v[0].ip);
	sim_xml_bool(b, "sourceDestCheck", e->source_dest_check);
	sim_xml_text(b, "interfaceType", sim_eni_type_str(e->type));
	xml_groups(b, e);
	xml_attachment(b, w, &e->att);
	xml_association(b, e);
	xml_v4(b, w, e);
	xml_set(b, "ipv4PrefixSet", "ipv4Prefix", &e->v4, true);
	xml_set(b, "ipv6AddressesSet", "ipv6Address", &e->v6, false);
	xml_set(b, "ipv6PrefixSet", "ipv6Prefix", &e->v6, true);
	sim_ec2_xml_tags(b, &e->tags);
}

static void xml_state(struct vw_buf *b, const struct sim_instance *i)
{
	sim_xml_open(b, "instanceState");
	sim_xml_uint(b, "code", i->terminated ? 48 : 16);
	sim_xml_text(b, "name", i->terminated ? "terminated" : "running");
	sim_xml_close(b, "instanceState");
}

static void xml_primary(struct vw_buf *b, const struct sim_instance *i)
{
	if (!i->primary)
		return;
	sim_xml_text(b, "subnetId", i->subnet->id);
	sim_xml_text(b, "vpcId", i->subnet->vpc->id);
	xml_ip(b, "privateIpAddress", &i->primary->v4.v[0].ip);
	if (i->primary->public_ip.family)
		xml_ip(b, "ipAddress", &i->primary->public_ip);
	sim_xml_bool(b, "sourceDestCheck", i->primary->source_dest_check);
	xml_groups(b, i->primary);
}

void sim_ec2_xml_instance(struct vw_buf *b, struct sim_world *w, const struct sim_instance *i)
{
	const struct sim_eni *e;
	char res[SIM_ID_LEN];

	snprintf(res, sizeof(res), "r-%.20s", i->id + (strlen(i->id) > 2 ? 2 : 0));
	sim_xml_text(b, "reservationId", res);
	sim_xml_text(b, "ownerId", w->account);
	sim_xml_open(b, "instancesSet");
	sim_xml_open(b, "item");
	sim_xml_text(b, "instanceId", i->id);
	sim_xml_text(b, "imageId", "ami-00000000000000000");
	xml_state(b, i);
	sim_xml_text(b, "privateDnsName", i->hostname);
	sim_xml_text(b, "instanceType", i->type->name);
	sim_xml_time(b, "launchTime", i->launch_time);
	sim_xml_open(b, "placement");
	sim_xml_text(b, "availabilityZone", i->subnet->az);
	sim_xml_text(b, "tenancy", "default");
	sim_xml_close(b, "placement");
	xml_primary(b, i);
	sim_xml_text(b, "architecture", "x86_64");
	sim_xml_text(b, "hypervisor", i->type->nitro ? "nitro" : "xen");
	sim_ec2_xml_tags(b, &i->tags);
	sim_xml_open(b, "networkInterfaceSet");
	TAILQ_FOREACH(e, &w->enis, link) {
		if (e->att.instance != i)
			continue;
		sim_xml_open(b, "item");
		sim_ec2_xml_eni(b, w, e);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "networkInterfaceSet");
	sim_xml_close(b, "item");
	sim_xml_close(b, "instancesSet");
}

void sim_ec2_xml_itype(struct vw_buf *b, const struct sim_itype *t)
{
	unsigned int k;

	sim_xml_text(b, "instanceType", t->name);
	sim_xml_bool(b, "currentGeneration", true);
	sim_xml_bool(b, "bareMetal", t->bare_metal);
	if (!t->bare_metal)
		sim_xml_text(b, "hypervisor", t->nitro ? "nitro" : "xen");
	sim_xml_open(b, "vCpuInfo");
	sim_xml_uint(b, "defaultVCpus", t->vcpus);
	sim_xml_close(b, "vCpuInfo");
	sim_xml_open(b, "memoryInfo");
	sim_xml_uint(b, "sizeInMiB", t->memory_mib);
	sim_xml_close(b, "memoryInfo");
	sim_xml_open(b, "networkInfo");
	sim_xml_uint(b, "maximumNetworkInterfaces", t->max_enis);
	sim_xml_uint(b, "maximumNetworkCards", t->n_cards);
	sim_xml_uint(b, "defaultNetworkCardIndex", 0);
	sim_xml_open(b, "networkCards");
	for (k = 0; k < t->n_cards; k++) {
		sim_xml_open(b, "item");
		sim_xml_uint(b, "networkCardIndex", k);
		sim_xml_uint(b, "maximumNetworkInterfaces", t->card_max_enis[k]);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "networkCards");
	sim_xml_uint(b, "ipv4AddressesPerInterface", t->v4_per_eni);
	sim_xml_uint(b, "ipv6AddressesPerInterface", t->v6_per_eni);
	sim_xml_bool(b, "ipv6Supported", t->v6_per_eni > 0);
	sim_xml_text(b, "enaSupport", t->nitro ? "required" : "unsupported");
	sim_xml_close(b, "networkInfo");
}

static void xml_v6_blocks(struct vw_buf *b, const struct vw_cidr *v, size_t n, const char *owner)
{
	char id[64];
	size_t i;

	sim_xml_open(b, "ipv6CidrBlockAssociationSet");
	for (i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "%s-cidr-assoc-%s-%zu", strncmp(owner, "vpc", 3) ? "subnet" : "vpc",
			 strchr(owner, '-') ? strchr(owner, '-') + 1 : owner, i);
		sim_xml_open(b, "item");
		sim_xml_text(b, "associationId", id);
		xml_cidr(b, "ipv6CidrBlock", &v[i]);
		sim_xml_open(b, "ipv6CidrBlockState");
		sim_xml_text(b, "state", "associated");
		sim_xml_close(b, "ipv6CidrBlockState");
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "ipv6CidrBlockAssociationSet");
}

void sim_ec2_xml_subnet(struct vw_buf *b, const struct sim_world *w, const struct sim_subnet *s)
{
	char arn[128];

	snprintf(arn, sizeof(arn), "arn:aws:ec2:%s:%s:subnet/%s", w->region, w->account, s->id);
	sim_xml_text(b, "subnetId", s->id);
	sim_xml_text(b, "subnetArn", arn);
	sim_xml_text(b, "state", "available");
	sim_xml_text(b, "ownerId", w->account);
	sim_xml_text(b, "vpcId", s->vpc->id);
	xml_cidr(b, "cidrBlock", &s->v4);
	xml_v6_blocks(b, &s->v6, s->v6.ip.family ? 1 : 0, s->id);
	sim_xml_uint(b, "availableIpAddressCount", sim_subnet_available(s));
	sim_xml_text(b, "availabilityZone", s->az);
	sim_xml_text(b, "availabilityZoneId", s->az_id);
	sim_xml_bool(b, "defaultForAz", false);
	sim_xml_bool(b, "mapPublicIpOnLaunch", s->map_public_ip);
	sim_xml_bool(b, "assignIpv6AddressOnCreation", false);
	sim_ec2_xml_tags(b, &s->tags);
}

void sim_ec2_xml_vpc(struct vw_buf *b, const struct sim_world *w, const struct sim_vpc *v)
{
	char id[64];
	size_t i;

	sim_xml_text(b, "vpcId", v->id);
	sim_xml_text(b, "ownerId", w->account);
	sim_xml_text(b, "state", "available");
	xml_cidr(b, "cidrBlock", &v->v4.v[0]);
	sim_xml_open(b, "cidrBlockAssociationSet");
	for (i = 0; i < v->v4.n; i++) {
		snprintf(id, sizeof(id), "vpc-cidr-assoc-%s-%zu", v->id + (strlen(v->id) > 4 ? 4 : 0), i);
		sim_xml_open(b, "item");
		sim_xml_text(b, "associationId", id);
		xml_cidr(b, "cidrBlock", &v->v4.v[i]);
		sim_xml_open(b, "cidrBlockState");
		sim_xml_text(b, "state", "associated");
		sim_xml_close(b, "cidrBlockState");
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "cidrBlockAssociationSet");
	xml_v6_blocks(b, v->v6.v, v->v6.n, v->id);
	sim_xml_text(b, "instanceTenancy", "default");
	sim_xml_bool(b, "isDefault", v->is_default);
	sim_ec2_xml_tags(b, &v->tags);
}

static void xml_ports(struct vw_buf *b, const struct sim_sg_rule *r)
{
	char text[16];

	if (!sim_sg_has_ports(r->proto))
		return;
	snprintf(text, sizeof(text), "%d", r->from);
	sim_xml_text(b, "fromPort", text);
	snprintf(text, sizeof(text), "%d", r->to);
	sim_xml_text(b, "toPort", text);
}

void sim_ec2_xml_rule(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g, const struct sim_sg_rule *r)
{
	char proto[12];

	sim_xml_text(b, "securityGroupRuleId", r->id);
	sim_xml_text(b, "groupId", g->id);
	sim_xml_text(b, "groupOwnerId", w->account);
	sim_xml_bool(b, "isEgress", r->egress);
	sim_xml_text(b, "ipProtocol", sim_sg_proto_str(r->proto, proto));
	xml_ports(b, r);
	if (r->ref) {
		sim_xml_open(b, "referencedGroupInfo");
		sim_xml_text(b, "groupId", r->ref->id);
		sim_xml_text(b, "userId", w->account);
		sim_xml_close(b, "referencedGroupInfo");
	} else {
		xml_cidr(b, r->cidr.ip.family == AF_INET ? "cidrIpv4" : "cidrIpv6", &r->cidr);
	}
	if (r->description[0])
		sim_xml_text(b, "description", r->description);
	sim_ec2_xml_tags(b, &(struct sim_tags){0});
}

/* The ranges of one kind that rules like @like have; EC2 puts rules of one protocol and port range into one item. */
static void xml_ranges(struct vw_buf *b, const struct sim_sg *g, const struct sim_sg_rule *like, int family)
{
	sim_xml_open(b, family == AF_INET ? "ipRanges" : "ipv6Ranges");
	for (size_t i = 0; i < g->n_rules; i++) {
		const struct sim_sg_rule *r = &g->rules[i];

		if (r->ref || r->egress != like->egress || r->proto != like->proto || r->from != like->from ||
		    r->to != like->to || r->cidr.ip.family != family)
			continue;
		sim_xml_open(b, "item");
		xml_cidr(b, family == AF_INET ? "cidrIp" : "cidrIpv6", &r->cidr);
		if (r->description[0])
			sim_xml_text(b, "description", r->description);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, family == AF_INET ? "ipRanges" : "ipv6Ranges");
}

static void xml_referenced(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g, const struct sim_sg_rule *like)
{
	sim_xml_open(b, "groups");
	for (size_t i = 0; i < g->n_rules; i++) {
		const struct sim_sg_rule *r = &g->rules[i];

		if (!r->ref || r->egress != like->egress || r->proto != like->proto || r->from != like->from || r->to != like->to)
			continue;
		sim_xml_open(b, "item");
		sim_xml_text(b, "groupId", r->ref->id);
		sim_xml_text(b, "userId", w->account);
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, "groups");
}

static bool is_first_alike(const struct sim_sg *g, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (g->rules[k].egress == g->rules[i].egress && g->rules[k].proto == g->rules[i].proto &&
		    g->rules[k].from == g->rules[i].from && g->rules[k].to == g->rules[i].to)
			return false;
	return true;
}

static void xml_permissions(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g, bool egress)
{
	const char *set = egress ? "ipPermissionsEgress" : "ipPermissions";
	char proto[12];

	sim_xml_open(b, set);
	for (size_t i = 0; i < g->n_rules; i++) {
		const struct sim_sg_rule *r = &g->rules[i];

		if (r->egress != egress || !is_first_alike(g, i))
			continue;
		sim_xml_open(b, "item");
		sim_xml_text(b, "ipProtocol", sim_sg_proto_str(r->proto, proto));
		xml_ports(b, r);
		xml_ranges(b, g, r, AF_INET);
		xml_ranges(b, g, r, AF_INET6);
		xml_referenced(b, w, g, r);
		sim_xml_open(b, "prefixListIds");
		sim_xml_close(b, "prefixListIds");
		sim_xml_close(b, "item");
	}
	sim_xml_close(b, set);
}

void sim_ec2_xml_sg(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g)
{
	sim_xml_text(b, "groupId", g->id);
	sim_xml_text(b, "groupName", g->name);
	sim_xml_text(b, "groupDescription", g->description);
	sim_xml_text(b, "ownerId", w->account);
	sim_xml_text(b, "vpcId", g->vpc->id);
	xml_permissions(b, w, g, false);
	xml_permissions(b, w, g, true);
	sim_ec2_xml_tags(b, &g->tags);
}
