/* SPDX-License-Identifier: Apache-2.0 */
/* EC2 actions on addresses: assign and unassign, both families. */
#include <errno.h>
#include <sys/socket.h>

#include "sim/cidrs.h"
#include "sim/ec2.h"
#include "sim/ec2_want.h"
#include "sim/xml_out.h"

static const struct sim_ec2_want_names names4 = {
	"PrivateIpAddress", NULL, "Ipv4Prefix", NULL, "SecondaryPrivateIpAddressCount", "Ipv4PrefixCount"
};
static const struct sim_ec2_want_names names6 = { "Ipv6Addresses",    NULL,
						  "Ipv6Prefix",       NULL,
						  "Ipv6AddressCount", "Ipv6PrefixCount" };

int sim_ec2_want_lists(struct sim_ec2_call *c, int family, const struct sim_ec2_want_names *n,
		       struct sim_want *w)
{
	unsigned int len = family == AF_INET6 ? SIM_V6_PREFIX_LEN : SIM_V4_PREFIX_LEN;
	int r = sim_param_cidrs(&c->params, n->addrs, n->addr_member, family, 0, &w->list, &c->f);

	if (r >= 0)
		r = sim_param_cidrs(&c->params, n->prefixes, n->prefix_member, family, len, &w->list, &c->f);
	return r < 0 ? r : 0;
}

int sim_ec2_want_counts(struct sim_ec2_call *c, const struct sim_ec2_want_names *n, struct sim_want *w)
{
	bool addrs = false, prefixes = false;
	size_t i;
	int r;

	r = sim_param_uint(&c->params, n->addr_count, 0, SIM_MAX_LIST, &w->n_addrs, &c->f);
	if (r >= 0)
		r = sim_param_uint(&c->params, n->prefix_count, 0, SIM_MAX_LIST, &w->n_prefixes, &c->f);
	if (r < 0)
		return r;
	for (i = 0; i < w->list.n; i++) {
		addrs |= !sim_eni_is_prefix(&w->list.v[i]);
		prefixes |= sim_eni_is_prefix(&w->list.v[i]);
	}
	if (addrs + prefixes + (w->n_addrs > 0) + (w->n_prefixes > 0) > 1)
		return sim_fail(&c->f, "InvalidParameterCombination",
				"You may specify only one of %s, %s, %s and %s", n->addrs, n->addr_count,
				n->prefixes, n->prefix_count);
	return (int)(w->list.n + w->n_addrs + w->n_prefixes);
}

static int assign_parse(struct sim_ec2_call *c, int family, const struct sim_ec2_want_names *n,
			struct sim_want *w)
{
	int r = sim_ec2_eni_param(c, &c->a.eni);

	if (r == 0)
		r = sim_ec2_want_lists(c, family, n, w);
	if (r == 0)
		r = sim_ec2_want_counts(c, n, w);
	if (r == 0)
		return sim_fail(&c->f, "MissingParameter",
				"The request must contain exactly one of %s, %s, %s or %s", n->addrs,
				n->addr_count, n->prefixes, n->prefix_count);
	return r < 0 ? r : 0;
}

static int unassign_parse(struct sim_ec2_call *c, int family, const struct sim_ec2_want_names *n)
{
	struct sim_want w = { 0 };
	int r = sim_ec2_eni_param(c, &c->a.eni);

	if (r == 0)
		r = sim_ec2_want_lists(c, family, n, &w);
	c->a.list = w.list;
	if (r == 0 && !w.list.n)
		return sim_fail(&c->f, "MissingParameter", "The request must contain the parameter %s or %s",
				n->addrs, n->prefixes);
	return r;
}

int sim_ec2_assign4_parse(struct sim_ec2_call *c)
{
	int r = sim_param_bool(&c->params, "AllowReassignment", &c->a.create.v4.reassign, &c->f);

	return r < 0 ? r : assign_parse(c, AF_INET, &names4, &c->a.create.v4);
}

int sim_ec2_assign6_parse(struct sim_ec2_call *c)
{
	return assign_parse(c, AF_INET6, &names6, &c->a.create.v6);
}

int sim_ec2_unassign4_parse(struct sim_ec2_call *c)
{
	return unassign_parse(c, AF_INET, &names4);
}

int sim_ec2_unassign6_parse(struct sim_ec2_call *c)
{
	return unassign_parse(c, AF_INET6, &names6);
}

/* @item: name of the element inside <item>; NULL: the text stands in <item> itself, as the IPv6 actions have
 * it. */
static void xml_list(struct vw_buf *b, const char *set, const char *item, const struct sim_cidrs *l,
		     bool prefixes)
{
	char text[VW_CIDR_STRLEN];
	size_t i;

	sim_xml_open(b, set);
	for (i = 0; i < l->n; i++) {
		if (sim_eni_is_prefix(&l->v[i]) != prefixes)
			continue;
		if (prefixes)
			vw_cidr_str(&l->v[i], text);
		else
			vw_ip_str(&l->v[i].ip, text);
		if (item) {
			sim_xml_open(b, "item");
			sim_xml_text(b, item, text);
			sim_xml_close(b, "item");
		} else {
			sim_xml_text(b, "item", text);
		}
	}
	sim_xml_close(b, set);
}

int sim_ec2_assign4_run(struct sim_ec2_call *c)
{
	struct sim_cidrs given = { 0 };
	int r = sim_eni_assign(c->a.eni, AF_INET, &c->a.create.v4, &given, &c->f);

	if (r == 0) {
		sim_xml_text(c->out, "networkInterfaceId", c->a.eni->id);
		xml_list(c->out, "assignedPrivateIpAddressesSet", "privateIpAddress", &given, false);
		xml_list(c->out, "assignedIpv4PrefixSet", "ipv4Prefix", &given, true);
		sim_ec2_return_true(c);
	}
	sim_cidrs_done(&given);
	return r;
}

int sim_ec2_assign6_run(struct sim_ec2_call *c)
{
	struct sim_cidrs given = { 0 };
	int r = sim_eni_assign(c->a.eni, AF_INET6, &c->a.create.v6, &given, &c->f);

	if (r == 0) {
		sim_xml_text(c->out, "networkInterfaceId", c->a.eni->id);
		xml_list(c->out, "assignedIpv6Addresses", NULL, &given, false);
		xml_list(c->out, "assignedIpv6PrefixSet", NULL, &given, true);
	}
	sim_cidrs_done(&given);
	return r;
}

int sim_ec2_unassign4_run(struct sim_ec2_call *c)
{
	int r = sim_eni_unassign(c->a.eni, AF_INET, &c->a.list, &c->f);

	if (r == 0)
		sim_ec2_return_true(c);
	return r;
}

int sim_ec2_unassign6_run(struct sim_ec2_call *c)
{
	int r = sim_eni_unassign(c->a.eni, AF_INET6, &c->a.list, &c->f);

	if (r < 0)
		return r;
	sim_xml_text(c->out, "networkInterfaceId", c->a.eni->id);
	xml_list(c->out, "unassignedIpv6Addresses", NULL, &c->a.list, false);
	xml_list(c->out, "unassignedIpv6PrefixSet", NULL, &c->a.list, true);
	return 0;
}
