/* SPDX-License-Identifier: Apache-2.0 */
/* EC2 actions on security groups: create, delete, authorize, revoke. Describe... is with the others. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "sim/ec2.h"
#include "sim/ec2_want.h"
#include "sim/xml_out.h"

#define MAX_ENTRIES 60 /* of any list inside a permission: EC2's default quota of rules */

int sim_sg_proto_parse(const char *text, int *ret_proto)
{
	static const struct {
		const char *name;
		int proto;
	} names[] = {{"-1", -1}, {"all", -1}, {"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmpv6", 58}};
	uint64_t n;

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].name, text) == 0) {
			*ret_proto = names[i].proto;
			return 0;
		}
	}
	if (vw_parse_u64(text, 0, 255, &n) < 0)
		return -EINVAL;
	*ret_proto = (int)n;
	return 0;
}

const char *sim_sg_proto_str(int proto, char buf[12])
{
	snprintf(buf, 12, "%d", proto);
	return proto == 6 ? "tcp" : proto == 17 ? "udp" : proto == 1 ? "icmp" : proto == 58 ? "icmpv6" : buf;
}

bool sim_sg_has_ports(int proto)
{
	return proto == 6 || proto == 17 || proto == 1 || proto == 58;
}

/* "<name>.<N>.<member>" or, with @n 0, "<member>". */
static const char *member(struct sim_ec2_call *c, const char *name, unsigned int n, const char *what, char buf[128])
{
	if (n)
		snprintf(buf, 128, "%s.%u.%s", name, n, what);
	else
		snprintf(buf, 128, "%s", what);
	return sim_param(&c->params, buf);
}

static int port(struct sim_ec2_call *c, const char *name, unsigned int n, const char *what, int *ret)
{
	char buf[128];
	const char *text = member(c, name, n, what, buf);
	int64_t v;

	*ret = -1;
	if (!text)
		return 0;
	if (vw_parse_i64(text, -1, 65535, &v) < 0)
		return sim_fail(&c->f, "InvalidParameterValue", "Invalid value '%.32s' for %s", text, what);
	*ret = (int)v;
	return 0;
}

static int add(struct sim_ec2_call *c, const struct sim_sg_rule *rule)
{
	if (c->a.n_rules == SIM_MAX_RULES)
		return sim_fail(&c->f, "InvalidParameterValue", "More than %d rules in one request", SIM_MAX_RULES);
	c->a.rules[c->a.n_rules++] = *rule;
	return 0;
}

static int cidrs(struct sim_ec2_call *c, const struct sim_sg_rule *base, const char *list, const char *what, int family)
{
	char key[128];

	for (unsigned int i = 1; i <= MAX_ENTRIES; i++) {
		struct sim_sg_rule rule = *base;
		const char *text = member(c, list, i, what, key), *description = member(c, list, i, "Description", (char[128]){0});

		if (!text)
			continue;
		if (vw_cidr_parse(text, &rule.cidr) < 0 || rule.cidr.ip.family != family || !vw_cidr_is_masked(&rule.cidr))
			return sim_fail(&c->f, "InvalidParameterValue", "CIDR block %.64s is malformed", text);
		if (description && vw_fmt(rule.description, sizeof(rule.description), "%s", description) < 0)
			return sim_fail(&c->f, "InvalidParameterValue", "The description of a rule is too long");
		if (add(c, &rule) < 0)
			return -EPROTO;
	}
	return 0;
}

static int groups(struct sim_ec2_call *c, const struct sim_sg_rule *base, const char *list)
{
	char key[128];

	for (unsigned int i = 1; i <= MAX_ENTRIES; i++) {
		struct sim_sg_rule rule = *base;
		const char *id = member(c, list, i, "GroupId", key);

		(void)member(c, list, i, "UserId", key);
		(void)member(c, list, i, "Description", key);
		(void)member(c, list, i, "VpcId", key);
		if (!id)
			continue;
		rule.ref = sim_sg_find(c->w, id);
		if (!rule.ref)
			return sim_fail(&c->f, "InvalidGroup.NotFound", "The security group '%.64s' does not exist", id);
		if (add(c, &rule) < 0)
			return -EPROTO;
	}
	return 0;
}

/* One permission: IpPermissions.<n>, or with @n 0 the members at the top of the request. */
static int permission(struct sim_ec2_call *c, unsigned int n, bool egress)
{
	struct sim_sg_rule base = {.egress = egress};
	char key[128], list[64];
	const char *proto = member(c, "IpPermissions", n, "IpProtocol", key), *cidr;

	if (!proto)
		return n ? sim_fail(&c->f, "MissingParameter", "The request must contain the parameter ipProtocol") : 0;
	if (sim_sg_proto_parse(proto, &base.proto) < 0)
		return sim_fail(&c->f, "InvalidParameterValue", "Invalid value '%.32s' for IP protocol. Unknown protocol.", proto);
	if (port(c, "IpPermissions", n, "FromPort", &base.from) < 0 || port(c, "IpPermissions", n, "ToPort", &base.to) < 0)
		return -EPROTO;
	if (!sim_sg_has_ports(base.proto))
		base.from = base.to = -1;
	if ((base.proto == 6 || base.proto == 17) && (base.from < 0) != (base.to < 0))
		return sim_fail(&c->f, "InvalidParameterValue", "Invalid value for portRange. Both ports must be given");
	if ((base.proto == 6 || base.proto == 17) && base.from > base.to)
		return sim_fail(&c->f, "InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", base.from, base.to);
	cidr = n ? NULL : sim_param(&c->params, "CidrIp");
	if (cidr) {
		if (vw_cidr_parse(cidr, &base.cidr) < 0 || base.cidr.ip.family != AF_INET || !vw_cidr_is_masked(&base.cidr))
			return sim_fail(&c->f, "InvalidParameterValue", "CIDR block %.64s is malformed", cidr);
		return add(c, &base);
	}
	snprintf(list, sizeof(list), "IpPermissions.%u.IpRanges", n);
	if (cidrs(c, &base, list, "CidrIp", AF_INET) < 0)
		return -EPROTO;
	snprintf(list, sizeof(list), "IpPermissions.%u.Ipv6Ranges", n);
	if (cidrs(c, &base, list, "CidrIpv6", AF_INET6) < 0)
		return -EPROTO;
	snprintf(list, sizeof(list), "IpPermissions.%u.Groups", n);
	return groups(c, &base, list);
}

static int group_param(struct sim_ec2_call *c)
{
	const char *id;
	int r = sim_param_need(&c->params, "GroupId", &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "sg", "InvalidGroupId.Malformed", &c->f);
	if (r < 0)
		return r;
	c->a.sg = sim_sg_find(c->w, id);
	return c->a.sg ? 0 : sim_fail(&c->f, "InvalidGroup.NotFound", "The security group '%s' does not exist", id);
}

static int rules_parse(struct sim_ec2_call *c, bool egress)
{
	char key[32];

	if (group_param(c) < 0 || permission(c, 0, egress) < 0)
		return -EPROTO;
	for (unsigned int i = 1; i <= MAX_ENTRIES; i++) {
		if (vw_fmt(key, sizeof(key), "IpPermissions.%u", i) < 0)
			return sim_fail_nomem(&c->f);
		if (sim_param_has(&c->params, key) && permission(c, i, egress) < 0)
			return -EPROTO;
	}
	if (!c->a.n_rules)
		return sim_fail(&c->f, "MissingParameter", "The request must contain the parameter ipPermissions");
	return 0;
}

int sim_ec2_ingress_parse(struct sim_ec2_call *c)
{
	return rules_parse(c, false);
}

int sim_ec2_egress_parse(struct sim_ec2_call *c)
{
	return rules_parse(c, true);
}

int sim_ec2_authorize_run(struct sim_ec2_call *c)
{
	struct sim_sg *g = c->a.sg;
	size_t before = g->n_rules;

	if (sim_sg_authorize(c->w, g, c->a.rules, c->a.n_rules, &c->f) < 0)
		return -EPROTO;
	sim_ec2_return_true(c);
	sim_xml_open(c->out, "securityGroupRuleSet");
	for (size_t i = before; i < g->n_rules; i++) {
		sim_xml_open(c->out, "item");
		sim_ec2_xml_rule(c->out, c->w, g, &g->rules[i]);
		sim_xml_close(c->out, "item");
	}
	sim_xml_close(c->out, "securityGroupRuleSet");
	return 0;
}

int sim_ec2_revoke_run(struct sim_ec2_call *c)
{
	if (sim_sg_revoke(c->w, c->a.sg, c->a.rules, c->a.n_rules, &c->f) < 0)
		return -EPROTO;
	sim_ec2_return_true(c);
	return 0;
}

int sim_ec2_create_sg_parse(struct sim_ec2_call *c)
{
	const char *id, *description;
	int r = sim_param_need(&c->params, "GroupName", &c->a.name, &c->f);

	if (r == 0)
		r = sim_param_need(&c->params, "GroupDescription", &description, &c->f);
	if (r < 0)
		return r;
	c->a.description = description;
	id = sim_param(&c->params, "VpcId");
	c->a.vpc = id ? sim_vpc_find(c->w, id) : TAILQ_FIRST(&c->w->vpcs);
	if (!c->a.vpc)
		return sim_fail(&c->f, "InvalidVpcID.NotFound", "The vpc ID '%.64s' does not exist", id ? id : "");
	return sim_ec2_tag_specs(c, "security-group");
}

int sim_ec2_create_sg_run(struct sim_ec2_call *c)
{
	struct sim_sg *g;

	if (sim_sg_create(c->w, c->a.vpc, c->a.name, c->a.description, &c->a.tags, &g, &c->f) < 0)
		return -EPROTO;
	sim_ec2_return_true(c);
	sim_xml_text(c->out, "groupId", g->id);
	sim_ec2_xml_tags(c->out, &g->tags);
	return 0;
}

int sim_ec2_delete_sg_parse(struct sim_ec2_call *c)
{
	return group_param(c);
}

int sim_ec2_delete_sg_run(struct sim_ec2_call *c)
{
	if (sim_sg_delete(c->w, c->a.sg, &c->f) < 0)
		return -EPROTO;
	sim_ec2_return_true(c);
	return 0;
}
