/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "lib/base/buf.h"
#include "sim/fail.h"
#include "sim/filter.h"
#include "sim/ops.h"
#include "sim/params.h"
#include "sim/service.h"

/**
 * DOC: the EC2 Query API
 *
 * An action is a row of a table: a parser, which fills struct sim_ec2_args from the parameters and changes
 * nothing, and a runner, which does it and writes the inside of the answer. Between the two the dispatcher
 * refuses parameters that the parser did not ask for, and answers DryRun.
 */
#define SIM_MAX_GROUPS 16
#define SIM_MAX_RULES  60 /* of one request */

struct sim_ec2_args {
	struct sim_eni *eni, *trunk;
	struct sim_instance *inst;
	unsigned int vlan;
	struct sim_create create; /* CreateNetworkInterface; .v4/.v6 also for Assign... */
	struct sim_cidrs list;    /* Unassign... */
	const struct sim_sg *groups[SIM_MAX_GROUPS];
	size_t n_groups;
	struct sim_sg *sg;
	struct sim_vpc *vpc;
	const char *name;
	struct sim_sg_rule rules[SIM_MAX_RULES];
	size_t n_rules;
	struct sim_tags tags;
	const char *client_token;
	unsigned int device, card;
	bool force, any_value;
	const char *description;
	int source_dest_check;     /* -1 = not asked for */
	int delete_on_termination; /* -1 = not asked for */
	const char *resources[SIM_MAX_LIST];
	int n_resources;
	struct sim_filters filters;
	unsigned int max_results; /* 0 = all */
	uint64_t after;           /* where the previous page ended */
};

struct sim_ec2_call {
	struct sim_service *s;
	struct sim_world *w;
	struct sim_params params;
	struct sim_ec2_args a;
	struct vw_buf *out;
	struct sim_fail f;
};

struct sim_ec2_action {
	const char *name;
	int (*parse)(struct sim_ec2_call *c);
	int (*run)(struct sim_ec2_call *c);
};

/** sim_ec2_args_done() - frees what a parser collected. */
void sim_ec2_args_done(struct sim_ec2_args *a);

/** sim_ec2_action_find() - NULL if there is none. */
const struct sim_ec2_action *sim_ec2_action_find(const char *name);

/* Parsers and runners, by file. Return: 0, -EPROTO with c->f filled. */
int sim_ec2_create_parse(struct sim_ec2_call *c);
int sim_ec2_create_run(struct sim_ec2_call *c);
int sim_ec2_attach_parse(struct sim_ec2_call *c);
int sim_ec2_attach_run(struct sim_ec2_call *c);
int sim_ec2_detach_parse(struct sim_ec2_call *c);
int sim_ec2_detach_run(struct sim_ec2_call *c);
int sim_ec2_delete_parse(struct sim_ec2_call *c);
int sim_ec2_delete_run(struct sim_ec2_call *c);
int sim_ec2_modify_parse(struct sim_ec2_call *c);
int sim_ec2_modify_run(struct sim_ec2_call *c);
int sim_ec2_assign4_parse(struct sim_ec2_call *c);
int sim_ec2_assign4_run(struct sim_ec2_call *c);
int sim_ec2_unassign4_parse(struct sim_ec2_call *c);
int sim_ec2_unassign4_run(struct sim_ec2_call *c);
int sim_ec2_assign6_parse(struct sim_ec2_call *c);
int sim_ec2_assign6_run(struct sim_ec2_call *c);
int sim_ec2_unassign6_parse(struct sim_ec2_call *c);
int sim_ec2_unassign6_run(struct sim_ec2_call *c);
int sim_ec2_associate_parse(struct sim_ec2_call *c);
int sim_ec2_associate_run(struct sim_ec2_call *c);
int sim_ec2_disassociate_parse(struct sim_ec2_call *c);
int sim_ec2_disassociate_run(struct sim_ec2_call *c);
int sim_ec2_ingress_parse(struct sim_ec2_call *c);
int sim_ec2_egress_parse(struct sim_ec2_call *c);
int sim_ec2_authorize_run(struct sim_ec2_call *c);
int sim_ec2_revoke_run(struct sim_ec2_call *c);
int sim_ec2_create_sg_parse(struct sim_ec2_call *c);
int sim_ec2_create_sg_run(struct sim_ec2_call *c);
int sim_ec2_delete_sg_parse(struct sim_ec2_call *c);
int sim_ec2_delete_sg_run(struct sim_ec2_call *c);
int sim_ec2_tags_parse(struct sim_ec2_call *c);
int sim_ec2_untags_parse(struct sim_ec2_call *c);
int sim_ec2_tags_run(struct sim_ec2_call *c);
int sim_ec2_untags_run(struct sim_ec2_call *c);

/* Describe...: parse and run of each kind, ec2_describe.c. */
int sim_ec2_enis_parse(struct sim_ec2_call *c);
int sim_ec2_enis_run(struct sim_ec2_call *c);
int sim_ec2_instances_parse(struct sim_ec2_call *c);
int sim_ec2_instances_run(struct sim_ec2_call *c);
int sim_ec2_itypes_parse(struct sim_ec2_call *c);
int sim_ec2_itypes_run(struct sim_ec2_call *c);
int sim_ec2_subnets_parse(struct sim_ec2_call *c);
int sim_ec2_subnets_run(struct sim_ec2_call *c);
int sim_ec2_vpcs_parse(struct sim_ec2_call *c);
int sim_ec2_vpcs_run(struct sim_ec2_call *c);
int sim_ec2_sgs_parse(struct sim_ec2_call *c);
int sim_ec2_sgs_run(struct sim_ec2_call *c);
int sim_ec2_assocs_parse(struct sim_ec2_call *c);
int sim_ec2_assocs_run(struct sim_ec2_call *c);

/** sim_ec2_id() - "<prefix>-" and hex digits, else Invalid...Malformed. @what: "NetworkInterfaceID". */
int sim_ec2_id(const char *id, const char *prefix, const char *what, struct sim_fail *f);
int sim_ec2_eni_param(struct sim_ec2_call *c, struct sim_eni **ret_eni);
int sim_ec2_groups_param(struct sim_ec2_call *c);
void sim_ec2_return_true(struct sim_ec2_call *c);
/** sim_ec2_tag_specs() - TagSpecification.N for the kind @type, into c->a.tags. */
int sim_ec2_tag_specs(struct sim_ec2_call *c, const char *type);
/** sim_ec2_token_param() - ClientToken, into c->a.client_token; NULL when there is none. */
int sim_ec2_token_param(struct sim_ec2_call *c);
/**
 * sim_ec2_token_check() - Return: 1 = the token was used for this very request, *ret_eni is its ENI; 0 = new; -EPROTO.
 * @ret_hash: of the request, for sim_ec2_token_keep().
 */
int sim_ec2_token_check(struct sim_ec2_call *c, char ret_hash[65], struct sim_eni **ret_eni);
int sim_ec2_token_keep(struct sim_ec2_call *c, const char *hash, const struct sim_eni *e);

/* ec2_xml.c: the insides of one item. */
void sim_ec2_xml_eni(struct vw_buf *b, const struct sim_world *w, const struct sim_eni *e);
void sim_ec2_xml_instance(struct vw_buf *b, struct sim_world *w, const struct sim_instance *i);
void sim_ec2_xml_itype(struct vw_buf *b, const struct sim_itype *t);
void sim_ec2_xml_subnet(struct vw_buf *b, const struct sim_world *w, const struct sim_subnet *s);
void sim_ec2_xml_vpc(struct vw_buf *b, const struct sim_world *w, const struct sim_vpc *v);
/** sim_ec2_xml_association() - of a branch that has a trunk. */
void sim_ec2_xml_association(struct vw_buf *b, const struct sim_eni *e);
void sim_ec2_xml_tags(struct vw_buf *b, const struct sim_tags *t);
void sim_ec2_xml_rule(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g, const struct sim_sg_rule *r);
void sim_ec2_xml_sg(struct vw_buf *b, const struct sim_world *w, const struct sim_sg *g);
