/* SPDX-License-Identifier: Apache-2.0 */
/* EC2 actions on associations of branch with trunk interfaces. Describe... is with the others, in ec2_describe.c. */
#include <errno.h>
#include <string.h>

#include "sim/ec2.h"
#include "sim/xml_out.h"

static int eni_named(struct sim_ec2_call *c, const char *param, struct sim_eni **ret)
{
	const char *id;
	int r = sim_param_need(&c->params, param, &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "eni", "InvalidNetworkInterfaceId.Malformed", &c->f);
	if (r < 0)
		return r;
	*ret = sim_eni_find(c->w, id);
	if (!*ret)
		return sim_fail(&c->f, "InvalidNetworkInterfaceID.NotFound",
				"The networkInterface ID '%s' does not exist", id);
	return 0;
}

int sim_ec2_associate_parse(struct sim_ec2_call *c)
{
	int r = eni_named(c, "BranchInterfaceId", &c->a.eni);

	if (r == 0)
		r = eni_named(c, "TrunkInterfaceId", &c->a.trunk);
	if (r == 0 && sim_param(&c->params, "GreKey"))
		return sim_fail(&c->f, "InvalidParameterValue", "GRE associations are not supported");
	if (r == 0)
		r = sim_param_uint(&c->params, "VlanId", 1, SIM_MAX_VLAN, &c->a.vlan, &c->f);
	if (r == 0)
		return sim_fail(&c->f, "MissingParameter", "The request must contain the parameter vlanId");
	return r < 0 ? r : sim_ec2_token_param(c);
}

void sim_ec2_xml_association(struct vw_buf *b, const struct sim_eni *e)
{
	sim_xml_text(b, "associationId", e->assoc_id);
	sim_xml_text(b, "branchInterfaceId", e->id);
	sim_xml_text(b, "trunkInterfaceId", e->trunk->id);
	sim_xml_text(b, "interfaceProtocol", "VLAN");
	sim_xml_uint(b, "vlanId", e->vlan);
}

int sim_ec2_associate_run(struct sim_ec2_call *c)
{
	struct sim_eni *e = c->a.eni;
	char hash[65] = "";
	int r = sim_ec2_token_check(c, hash, &e);

	/* the same request again, while what it asked for holds, is answered alike */
	if (r > 0 && e->trunk != c->a.trunk)
		r = 0;
	if (r == 0) {
		r = sim_trunk_associate(e, c->a.trunk, c->a.vlan, &c->f);
		if (r == 0)
			r = sim_ec2_token_keep(c, hash, e);
	}
	if (r < 0)
		return r;
	sim_xml_open(c->out, "interfaceAssociation");
	sim_ec2_xml_association(c->out, e);
	sim_xml_close(c->out, "interfaceAssociation");
	if (c->a.client_token)
		sim_xml_text(c->out, "clientToken", c->a.client_token);
	return 0;
}

int sim_ec2_disassociate_parse(struct sim_ec2_call *c)
{
	const char *id;
	int r = sim_param_need(&c->params, "AssociationId", &id, &c->f);

	if (r == 0)
		r = sim_ec2_id(id, "trunk-assoc", "InvalidAssociationID.Malformed", &c->f);
	if (r < 0)
		return r;
	c->a.eni = sim_assoc_find(c->w, id);
	if (!c->a.eni)
		return sim_fail(&c->f, "InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id);
	return sim_ec2_token_param(c);
}

int sim_ec2_disassociate_run(struct sim_ec2_call *c)
{
	sim_trunk_disassociate(c->a.eni);
	sim_ec2_return_true(c);
	if (c->a.client_token)
		sim_xml_text(c->out, "clientToken", c->a.client_token);
	return 0;
}
