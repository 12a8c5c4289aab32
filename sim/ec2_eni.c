/* SPDX-License-Identifier: Apache-2.0 */
/* EC2 actions on network interfaces: create, attach, detach, delete, modify. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/parse.h"
#include "sim/cidrs.h"
#include "sim/ec2.h"
#include "sim/ec2_want.h"
#include "sim/xml_out.h"

#define MAX_TOKENS 4096

int sim_ec2_id(const char *id, const char *prefix, const char *what, struct sim_fail *f)
{
	size_t n = strlen(prefix), hex = strlen(id) > n ? strspn(id + n + 1, "0123456789abcdef") : 0;

	if (strncmp(id, prefix, n) == 0 && id[n] == '-' && hex >= 1 && id[n + 1 + hex] == '\0' &&
	    strlen(id) < SIM_ID_LEN)
		return 0;
	return sim_fail(f, what, "Invalid id: \"%.64s\" (expecting \"%s-...\")", id, prefix);
}

int sim_ec2_eni_param(struct sim_ec2_call *c, struct sim_eni **ret_eni)
{
	const char *id;
	int r = sim_param_need(&c->params, "NetworkInterfaceId", &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "eni", "InvalidNetworkInterfaceId.Malformed", &c->f);
	if (r < 0)
		return r;
	*ret_eni = sim_eni_find(c->w, id);
	if (!*ret_eni)
		return sim_fail(&c->f, "InvalidNetworkInterfaceID.NotFound",
				"The networkInterface ID '%s' does not exist", id);
	return 0;
}

static int subnet_param(struct sim_ec2_call *c, struct sim_subnet **ret_subnet)
{
	const char *id;
	int r = sim_param_need(&c->params, "SubnetId", &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "subnet", "InvalidSubnetId.Malformed", &c->f);
	if (r < 0)
		return r;
	*ret_subnet = sim_subnet_find(c->w, id);
	if (!*ret_subnet)
		return sim_fail(&c->f, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id);
	return 0;
}

static int instance_param(struct sim_ec2_call *c, struct sim_instance **ret_inst)
{
	const char *id;
	int r = sim_param_need(&c->params, "InstanceId", &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "i", "InvalidInstanceID.Malformed", &c->f);
	if (r < 0)
		return r;
	*ret_inst = sim_instance_find(c->w, id);
	if (!*ret_inst)
		return sim_fail(&c->f, "InvalidInstanceID.NotFound", "The instance ID '%s' does not exist",
				id);
	return 0;
}

int sim_ec2_groups_param(struct sim_ec2_call *c)
{
	const char *ids[SIM_MAX_GROUPS];
	int i, n = sim_param_list(&c->params, "SecurityGroupId", NULL, SIM_MAX_GROUPS, ids, &c->f);

	for (i = 0; i < n; i++) {
		if (sim_ec2_id(ids[i], "sg", "InvalidGroupId.Malformed", &c->f) < 0)
			return -EPROTO;
		c->a.groups[i] = sim_sg_find(c->w, ids[i]);
		if (!c->a.groups[i])
			return sim_fail(&c->f, "InvalidGroup.NotFound",
					"The security group '%s' does not exist", ids[i]);
	}
	if (n >= 0)
		c->a.n_groups = (size_t)n;
	return n;
}

void sim_ec2_return_true(struct sim_ec2_call *c)
{
	sim_xml_bool(c->out, "return", true);
}

int sim_ec2_tag_specs(struct sim_ec2_call *c, const char *type)
{
	const char *types[8];
	char key[64];
	int i, r, n = sim_param_list(&c->params, "TagSpecification", "ResourceType", 8, types, &c->f);

	for (i = 0; i < n; i++) {
		if (strcmp(types[i], type) != 0)
			return sim_fail(&c->f, "InvalidParameterValue",
					"'%s' is not a valid taggable resource type for this "
					"operation.",
					types[i]);
	}
	for (i = 1; i <= 8; i++) {
		if (vw_fmt(key, sizeof(key), "TagSpecification.%d.Tag", i) < 0)
			return sim_fail_nomem(&c->f);
		r = sim_param_tags(&c->params, key, &c->a.tags, &c->f);
		if (r < 0)
			return r;
	}
	return n < 0 ? n : sim_ec2_tags_check(&c->a.tags, &c->f);
}

/* PrivateIpAddresses.N.{PrivateIpAddress,Primary}: one of the list may be the primary address. */
static int primary_of_list(struct sim_ec2_call *c)
{
	struct sim_create *k = &c->a.create;
	char key[64];
	unsigned int i;
	int r;

	for (i = 1; i <= SIM_MAX_LIST; i++) {
		bool primary = false;
		struct vw_cidr host;
		const char *text;

		if (vw_fmt(key, sizeof(key), "PrivateIpAddresses.%u.Primary", i) < 0)
			return sim_fail_nomem(&c->f);
		r = sim_param_bool(&c->params, key, &primary, &c->f);
		if (r < 0)
			return r;
		if (!primary)
			continue;
		if (k->primary.family)
			return sim_fail(&c->f, "InvalidParameterCombination",
					"Only one primary private IP address can be "
					"specified");
		if (vw_fmt(key, sizeof(key), "PrivateIpAddresses.%u.PrivateIpAddress", i) < 0)
			return sim_fail_nomem(&c->f);
		text = sim_param(&c->params, key);
		if (!text || vw_ip_parse(text, &k->primary) < 0)
			return sim_fail(&c->f, "InvalidParameterValue", "Invalid primary private IP address");
		host = vw_cidr_host(&k->primary);
		sim_cidrs_del(&k->v4.list, &host);
	}
	return 0;
}

static int primary_param(struct sim_ec2_call *c)
{
	const char *text = sim_param(&c->params, "PrivateIpAddress");
	struct sim_create *k = &c->a.create;

	if (text && (vw_ip_parse(text, &k->primary) < 0 || k->primary.family != AF_INET))
		return sim_fail(&c->f, "InvalidParameterValue",
				"Value (%s) for parameter privateIpAddress is invalid. "
				"Expecting an IPv4 address.",
				text);
	return primary_of_list(c);
}

int sim_ec2_create_parse(struct sim_ec2_call *c)
{
	static const struct sim_ec2_want_names v4 = { "PrivateIpAddresses",
						      "PrivateIpAddress",
						      "Ipv4Prefix",
						      "Ipv4Prefix",
						      "SecondaryPrivateIpAddressCount",
						      "Ipv4PrefixCount" };
	static const struct sim_ec2_want_names v6 = {
		"Ipv6Addresses", "Ipv6Address",      "Ipv6Prefix",
		"Ipv6Prefix",    "Ipv6AddressCount", "Ipv6PrefixCount"
	};
	struct sim_create *k = &c->a.create;
	const char *type = sim_param(&c->params, "InterfaceType");
	bool primary6 = false;
	int r = subnet_param(c, &k->subnet);

	k->description = sim_param(&c->params, "Description");
	if (r == 0)
		r = sim_ec2_token_param(c);
	if (r == 0)
		r = sim_param_bool(&c->params, "EnablePrimaryIpv6", &primary6, &c->f);
	if (r >= 0)
		r = sim_ec2_groups_param(c);
	if (r >= 0)
		r = sim_ec2_tag_specs(c, "network-interface");
	if (r >= 0)
		r = sim_ec2_want_lists(c, AF_INET, &v4, &k->v4);
	if (r >= 0)
		r = primary_param(c);
	if (r >= 0)
		r = sim_ec2_want_counts(c, &v4, &k->v4);
	if (r >= 0)
		r = sim_ec2_want_lists(c, AF_INET6, &v6, &k->v6);
	if (r >= 0)
		r = sim_ec2_want_counts(c, &v6, &k->v6);
	if (r < 0)
		return r;
	if (type && sim_eni_type_parse(type, &k->type) < 0)
		return sim_fail(&c->f, "InvalidParameterValue", "Invalid value '%s' for InterfaceType", type);
	k->groups = c->a.groups;
	k->n_groups = c->a.n_groups;
	k->tags = &c->a.tags;
	return 0;
}

int sim_ec2_token_param(struct sim_ec2_call *c)
{
	c->a.client_token = sim_param(&c->params, "ClientToken");
	if (c->a.client_token && strlen(c->a.client_token) > 64)
		return sim_fail(&c->f, "InvalidParameterValue", "ClientToken is longer than 64 characters");
	return 0;
}

static struct sim_token *token_find(struct sim_service *s, const char *token)
{
	struct sim_token *t;

	TAILQ_FOREACH(t, &s->tokens, link)
		if (strcmp(t->token, token) == 0)
			return t;
	return NULL;
}

int sim_ec2_token_keep(struct sim_ec2_call *c, const char *hash, const struct sim_eni *e)
{
	struct sim_token *t, *o;
	unsigned int n = 0;

	if (!c->a.client_token)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t || vw_fmt(t->token, sizeof(t->token), "%s", c->a.client_token) < 0 ||
	    vw_fmt(t->hash, sizeof(t->hash), "%s", hash) < 0 ||
	    vw_fmt(t->eni, sizeof(t->eni), "%s", e->id) < 0) {
		free(t);
		return sim_fail_nomem(&c->f);
	}
	TAILQ_FOREACH(o, &c->s->tokens, link)
		n++;
	if (n >= MAX_TOKENS) {
		o = TAILQ_FIRST(&c->s->tokens);
		TAILQ_REMOVE(&c->s->tokens, o, link);
		free(o);
	}
	TAILQ_INSERT_TAIL(&c->s->tokens, t, link);
	return 0;
}

int sim_ec2_token_check(struct sim_ec2_call *c, char ret_hash[65], struct sim_eni **ret_eni)
{
	const struct sim_token *t = c->a.client_token ? token_find(c->s, c->a.client_token) : NULL;

	if (sim_params_hash(&c->params, ret_hash) < 0)
		return sim_fail_nomem(&c->f);
	if (!t)
		return 0;
	if (strcmp(t->hash, ret_hash) != 0)
		return sim_fail(&c->f, "IdempotentParameterMismatch",
				"Arguments on this idempotent request are inconsistent "
				"with arguments used in previous request(s).");
	*ret_eni = sim_eni_find(c->w, t->eni);
	if (!*ret_eni)
		return sim_fail(&c->f, "InvalidNetworkInterfaceID.NotFound",
				"The networkInterface ID '%s' does not exist", t->eni);
	return 1;
}

int sim_ec2_create_run(struct sim_ec2_call *c)
{
	struct sim_eni *e = NULL;
	char hash[65] = "";
	int r = sim_ec2_token_check(c, hash, &e);

	if (r == 0) {
		r = sim_eni_create(c->w, &c->a.create, &e, &c->f);
		if (r == 0)
			r = sim_ec2_token_keep(c, hash, e);
	}
	if (r < 0)
		return r;
	sim_xml_open(c->out, "networkInterface");
	sim_ec2_xml_eni(c->out, c->w, e);
	sim_xml_close(c->out, "networkInterface");
	if (c->a.client_token)
		sim_xml_text(c->out, "clientToken", c->a.client_token);
	return 0;
}

int sim_ec2_attach_parse(struct sim_ec2_call *c)
{
	unsigned int queues;
	bool srd;
	int r = sim_ec2_eni_param(c, &c->a.eni);

	if (r == 0)
		r = instance_param(c, &c->a.inst);
	if (r == 0)
		r = sim_param_uint(&c->params, "DeviceIndex", 0, 127, &c->a.device, &c->f);
	if (r == 0)
		return sim_fail(&c->f, "MissingParameter",
				"The request must contain the parameter deviceIndex");
	if (r > 0)
		r = sim_param_uint(&c->params, "NetworkCardIndex", 0, SIM_MAX_CARDS - 1, &c->a.card, &c->f);
	/* ENA Express and queues: accepted, without effect on the state */
	if (r >= 0)
		r = sim_param_bool(&c->params, "EnaSrdSpecification.EnaSrdEnabled", &srd, &c->f);
	if (r >= 0)
		r = sim_param_bool(&c->params, "EnaSrdSpecification.EnaSrdUdpSpecification.EnaSrdUdpEnabled",
				   &srd, &c->f);
	if (r >= 0)
		r = sim_param_uint(&c->params, "EnaQueueCount", 0, 128, &queues, &c->f);
	return r < 0 ? r : 0;
}

int sim_ec2_attach_run(struct sim_ec2_call *c)
{
	int r = sim_eni_attach(c->a.eni, c->a.inst, c->a.card, c->a.device, &c->f);

	if (r < 0)
		return r;
	sim_xml_text(c->out, "attachmentId", c->a.eni->att.id);
	sim_xml_uint(c->out, "networkCardIndex", c->a.card);
	return 0;
}

static struct sim_eni *by_attachment(struct sim_world *w, const char *id)
{
	struct sim_eni *e;

	TAILQ_FOREACH(e, &w->enis, link)
		if (e->att.state != SIM_ATT_NONE && strcmp(e->att.id, id) == 0)
			return e;
	return NULL;
}

int sim_ec2_detach_parse(struct sim_ec2_call *c)
{
	const char *id;
	int r = sim_param_need(&c->params, "AttachmentId", &id, &c->f);

	if (r == 0)
		r = sim_param_bool(&c->params, "Force", &c->a.force, &c->f);
	if (r >= 0)
		r = sim_ec2_id(id, "eni-attach", "InvalidAttachmentID.Malformed", &c->f);
	if (r < 0)
		return r;
	c->a.eni = by_attachment(c->w, id);
	if (!c->a.eni)
		return sim_fail(&c->f, "InvalidAttachmentID.NotFound",
				"The attachment ID '%s' does not exist", id);
	return 0;
}

int sim_ec2_detach_run(struct sim_ec2_call *c)
{
	int r = sim_eni_detach(c->a.eni, c->a.force, &c->f);

	if (r == 0)
		sim_ec2_return_true(c);
	return r;
}

int sim_ec2_delete_parse(struct sim_ec2_call *c)
{
	return sim_ec2_eni_param(c, &c->a.eni);
}

int sim_ec2_delete_run(struct sim_ec2_call *c)
{
	int r = sim_eni_delete(c->a.eni, &c->f);

	if (r == 0)
		sim_ec2_return_true(c);
	return r;
}

/* Attachment.{AttachmentId,DeleteOnTermination}. Return: 1 = asked for, 0, -EPROTO. */
static int attachment_param(struct sim_ec2_call *c)
{
	const char *id = sim_param(&c->params, "Attachment.AttachmentId");
	bool v = false;
	int r = sim_param_bool(&c->params, "Attachment.DeleteOnTermination", &v, &c->f);

	if (r < 0)
		return r;
	if (r == 0 && !id)
		return 0;
	if (r == 0 || !id)
		return sim_fail(&c->f, "MissingParameter",
				"The request must contain the parameter attachment.%s",
				id ? "deleteOnTermination" : "attachmentId");
	if (strcmp(c->a.eni->att.id, id) != 0)
		return sim_fail(&c->f, "InvalidAttachmentID.NotFound",
				"The attachment ID '%s' does not exist", id);
	c->a.delete_on_termination = v;
	return 1;
}

int sim_ec2_modify_parse(struct sim_ec2_call *c)
{
	bool check = false;
	int r = sim_ec2_eni_param(c, &c->a.eni), att, sdc, groups;

	if (r < 0)
		return r;
	att = attachment_param(c);
	sdc = att < 0 ? att : sim_param_bool(&c->params, "SourceDestCheck.Value", &check, &c->f);
	groups = sdc < 0 ? sdc : sim_ec2_groups_param(c);
	if (groups < 0)
		return groups;
	if (sdc)
		c->a.source_dest_check = check;
	c->a.description = sim_param(&c->params, "Description.Value");
	if (c->a.description && strlen(c->a.description) >= sizeof(c->a.eni->description))
		return sim_fail(&c->f, "InvalidParameterValue", "Description is too long");
	if (att + sdc + (groups > 0) + (c->a.description != NULL) != 1)
		return sim_fail(&c->f, "InvalidParameterCombination",
				att || sdc || groups || c->a.description
					? "Fields for multiple attribute types specified"
					: "No attributes specified.");
	return 0;
}

int sim_ec2_modify_run(struct sim_ec2_call *c)
{
	struct sim_eni *e = c->a.eni;
	int r = 0;

	if (c->a.delete_on_termination >= 0)
		e->att.delete_on_termination = c->a.delete_on_termination;
	else if (c->a.source_dest_check >= 0)
		sim_eni_set_source_dest_check(e, c->a.source_dest_check);
	else if (c->a.description)
		r = vw_fmt(e->description, sizeof(e->description), "%s", c->a.description);
	else
		r = sim_eni_set_groups(e, c->a.groups, c->a.n_groups, &c->f);
	if (r < 0)
		return r;
	sim_ec2_return_true(c);
	return 0;
}
