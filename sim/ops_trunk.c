/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Branch ENIs: associated with a trunk, under a VLAN id that is unique on it. A branch is reachable while its trunk is
 * attached. EC2 documents neither error codes nor order of these calls; what is chosen here stands in docs/SIM.md.
 */
#include "sim/ops.h"

#include <errno.h>
#include <string.h>

unsigned int sim_trunk_branches(const struct sim_eni *trunk)
{
	const struct sim_eni *e;
	unsigned int n = 0;

	TAILQ_FOREACH(e, &trunk->world->enis, link)
		n += e->trunk == trunk;
	return n;
}

int sim_trunk_check_limit(const struct sim_eni *trunk, const struct sim_instance *inst, unsigned int n, struct sim_fail *f)
{
	const struct sim_eni *e;
	unsigned int all = n;

	TAILQ_FOREACH(e, &trunk->world->enis, link)
		all += e->trunk && e->trunk != trunk && e->trunk->att.instance == inst;
	if (all <= inst->type->branch_enis)
		return 0;
	return sim_fail(f, "BranchInterfaceLimitExceeded", "Branch interface count %u exceeds the limit of %u for %s", all,
			inst->type->branch_enis, inst->type->name);
}

static int check_types(const struct sim_eni *branch, const struct sim_eni *trunk, struct sim_fail *f)
{
	if (branch->type != SIM_ENI_BRANCH || trunk->type != SIM_ENI_TRUNK)
		return sim_fail(f, "InvalidParameterCombination",
				"A branch interface is associated with a trunk interface; '%s' is of type %s, '%s' of type %s", branch->id,
				sim_eni_type_str(branch->type), trunk->id, sim_eni_type_str(trunk->type));
	if (branch->subnet->vpc != trunk->subnet->vpc || strcmp(branch->subnet->az, trunk->subnet->az) != 0)
		return sim_fail(f, "InvalidParameterCombination",
				"Trunk and branch interface must be in the same VPC and availability zone");
	return 0;
}

int sim_trunk_associate(struct sim_eni *branch, struct sim_eni *trunk, unsigned int vlan, struct sim_fail *f)
{
	const struct sim_eni *e;

	if (check_types(branch, trunk, f) < 0)
		return -EPROTO;
	if (branch->trunk)
		return sim_fail(f, "Resource.AlreadyAssociated", "Interface '%s' is already associated with '%s'", branch->id,
				branch->trunk->id);
	TAILQ_FOREACH(e, &branch->world->enis, link)
		if (e->trunk == trunk && e->vlan == vlan)
			return sim_fail(f, "InvalidParameterValue", "VLAN ID %u is already in use on trunk interface '%s'", vlan,
					trunk->id);
	if (trunk->att.instance &&
	    sim_trunk_check_limit(trunk, trunk->att.instance, sim_trunk_branches(trunk) + 1, f) < 0)
		return -EPROTO;
	branch->trunk = trunk;
	branch->vlan = vlan;
	sim_make_id(branch->world, "trunk-assoc", branch->assoc_id);
	sim_notify_eni(branch, SIM_EV_ASSOCIATED);
	return 0;
}

void sim_trunk_disassociate(struct sim_eni *branch)
{
	if (!branch->trunk)
		return;
	sim_notify_eni(branch, SIM_EV_DISASSOCIATED);
	branch->trunk = NULL;
	branch->vlan = 0;
	branch->assoc_id[0] = '\0';
}

void sim_trunk_clear(struct sim_eni *trunk)
{
	struct sim_eni *e;

	TAILQ_FOREACH(e, &trunk->world->enis, link)
		if (e->trunk == trunk)
			sim_trunk_disassociate(e);
}
