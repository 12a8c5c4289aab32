/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2 endpoint: form body -> action -> faults -> signature -> rights -> rate limit -> parser -> DryRun ->
 * runner -> XML.
 *
 * A fault of the kinds hang, close, truncate and delay strikes after the runner, so the change is made and
 * the client cannot know; error and body strike instead of it.
 */
#include "sim/ec2.h"

#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/crypto/crypto.h"
#include "sim/cidrs.h"
#include "sim/http.h"
#include "sim/sigv4.h"
#include "sim/xml_out.h"

#define XMLNS "http://ec2.amazonaws.com/doc/2016-11-15/"

static const struct sim_ec2_action actions[] = {
	{ "AssignIpv6Addresses", sim_ec2_assign6_parse, sim_ec2_assign6_run },
	{ "AssignPrivateIpAddresses", sim_ec2_assign4_parse, sim_ec2_assign4_run },
	{ "AssociateTrunkInterface", sim_ec2_associate_parse, sim_ec2_associate_run },
	{ "AttachNetworkInterface", sim_ec2_attach_parse, sim_ec2_attach_run },
	{ "AuthorizeSecurityGroupEgress", sim_ec2_egress_parse, sim_ec2_authorize_run },
	{ "AuthorizeSecurityGroupIngress", sim_ec2_ingress_parse, sim_ec2_authorize_run },
	{ "CreateNetworkInterface", sim_ec2_create_parse, sim_ec2_create_run },
	{ "CreateSecurityGroup", sim_ec2_create_sg_parse, sim_ec2_create_sg_run },
	{ "CreateTags", sim_ec2_tags_parse, sim_ec2_tags_run },
	{ "DeleteNetworkInterface", sim_ec2_delete_parse, sim_ec2_delete_run },
	{ "DeleteSecurityGroup", sim_ec2_delete_sg_parse, sim_ec2_delete_sg_run },
	{ "DeleteTags", sim_ec2_untags_parse, sim_ec2_untags_run },
	{ "DescribeInstanceTypes", sim_ec2_itypes_parse, sim_ec2_itypes_run },
	{ "DescribeInstances", sim_ec2_instances_parse, sim_ec2_instances_run },
	{ "DescribeNetworkInterfaces", sim_ec2_enis_parse, sim_ec2_enis_run },
	{ "DescribeSecurityGroups", sim_ec2_sgs_parse, sim_ec2_sgs_run },
	{ "DescribeSubnets", sim_ec2_subnets_parse, sim_ec2_subnets_run },
	{ "DescribeTrunkInterfaceAssociations", sim_ec2_assocs_parse, sim_ec2_assocs_run },
	{ "DescribeVpcs", sim_ec2_vpcs_parse, sim_ec2_vpcs_run },
	{ "DetachNetworkInterface", sim_ec2_detach_parse, sim_ec2_detach_run },
	{ "DisassociateTrunkInterface", sim_ec2_disassociate_parse, sim_ec2_disassociate_run },
	{ "ModifyNetworkInterfaceAttribute", sim_ec2_modify_parse, sim_ec2_modify_run },
	{ "RevokeSecurityGroupEgress", sim_ec2_egress_parse, sim_ec2_revoke_run },
	{ "RevokeSecurityGroupIngress", sim_ec2_ingress_parse, sim_ec2_revoke_run },
	{ "UnassignIpv6Addresses", sim_ec2_unassign6_parse, sim_ec2_unassign6_run },
	{ "UnassignPrivateIpAddresses", sim_ec2_unassign4_parse, sim_ec2_unassign4_run },
};

const struct sim_ec2_action *sim_ec2_action_find(const char *name)
{
	size_t i;

	for (i = 0; i < VW_ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

void sim_request_id(struct sim_service *s, char ret_id[SIM_REQUEST_ID_LEN])
{
	char hex[VW_SHA1_HEXLEN];
	uint64_t seq = ++s->request_seq;

	vw_sha1_hex(&seq, sizeof(seq), hex);
	snprintf(ret_id, SIM_REQUEST_ID_LEN, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

static const char *header_of(void *arg, const char *name)
{
	return sim_http_header(arg, name);
}

int sim_authenticate(struct sim_service *s, const struct sim_http_req *req, const char *service,
		     const struct sim_cred **ret_cred, struct sim_fail *f)
{
	struct sim_http_req copy = *req;
	struct sim_sig_req sig = {
		.method = req->method,
		.target = req->target,
		.body = req->body,
		.body_len = req->body_len,
		.header = header_of,
		.arg = &copy,
	};

	return sim_sigv4_verify(&sig, &s->creds, service, ret_cred, f);
}

/* Everything between the name of the action and its runner. */
static int admit(struct sim_ec2_call *c, const struct sim_ec2_action *act, const struct sim_http_req *req)
{
	const struct sim_cred *cred;
	bool dry_run = false;
	const char *version, *odd;
	int r = sim_authenticate(c->s, req, "ec2", &cred, &c->f);

	if (r < 0)
		return r;
	if (!sim_bucket_take(&c->s->faults, act->name))
		return sim_fail(&c->f, "RequestLimitExceeded", "Request limit exceeded.");
	r = sim_param_need(&c->params, "Version", &version, &c->f);
	if (r == 0)
		r = sim_param_bool(&c->params, "DryRun", &dry_run, &c->f);
	if (r >= 0)
		r = act->parse(c);
	if (r < 0)
		return r;
	odd = sim_params_unused(&c->params);
	if (odd)
		return sim_fail(&c->f, "UnknownParameter", "The parameter %.100s is not recognized", odd);
	if (!sim_role_may(cred->role, act->name))
		return sim_fail(&c->f, "UnauthorizedOperation",
				"You are not authorized to perform this operation.");
	if (dry_run)
		return sim_fail(&c->f, "DryRunOperation",
				"Request would have succeeded, but DryRun flag is set.");
	return 0;
}

static void write_error(struct vw_buf *b, const struct sim_fail *f, const char *request_id)
{
	vw_buf_reset(b);
	sim_xml_begin(b, "Response", NULL);
	sim_xml_open(b, "Errors");
	sim_xml_open(b, "Error");
	sim_xml_text(b, "Code", f->code);
	sim_xml_text(b, "Message", f->msg);
	sim_xml_close(b, "Error");
	sim_xml_close(b, "Errors");
	sim_xml_text(b, "RequestID", request_id);
	sim_xml_close(b, "Response");
}

static int run(struct sim_ec2_call *c, const struct sim_ec2_action *act, const char *request_id)
{
	char root[96];
	int r;

	snprintf(root, sizeof(root), "%sResponse", act->name);
	sim_xml_begin(c->out, root, XMLNS);
	sim_xml_text(c->out, "requestId", request_id);
	r = act->run(c);
	sim_xml_close(c->out, root);
	return r;
}

/* Parse the form, find the action. @ret_name: for the counters, also of actions that do not exist. */
static int find_action(struct sim_ec2_call *c, const struct sim_http_req *req,
		       const struct sim_ec2_action **ret_act, const char **ret_name)
{
	const char *query = strchr(req->target, '?');
	int r;

	/* GET with the parameters in the query is part of the Query API */
	if (strcmp(req->method, "GET") == 0)
		r = sim_params_parse(query ? query + 1 : "", query ? strlen(query + 1) : 0, &c->params,
				     &c->f);
	else if (strcmp(req->method, "POST") == 0)
		r = sim_params_parse(req->body, req->body_len, &c->params, &c->f);
	else
		r = sim_fail(&c->f, "InvalidRequest", "The method %s is not supported", req->method);
	if (r == 0)
		r = sim_param_need(&c->params, "Action", ret_name, &c->f);
	if (r < 0)
		return r;
	*ret_act = sim_ec2_action_find(*ret_name);
	if (!*ret_act)
		return sim_fail(&c->f, "InvalidAction", "The action %.64s is not valid for this web service.",
				*ret_name);
	return 0;
}

void sim_ec2_args_done(struct sim_ec2_args *a)
{
	sim_cidrs_done(&a->create.v4.list);
	sim_cidrs_done(&a->create.v6.list);
	sim_cidrs_done(&a->list);
	sim_tags_done(&a->tags);
	sim_filters_done(&a->filters);
}

/* EC2 is eventually consistent: a read may show what was */
static int stale(struct sim_ec2_call *c, const struct sim_http_req *req, const struct sim_fault *x)
{
	return sim_answer_old(&c->s->faults, req->body, req->body_len, c->out) < 0 ? sim_fault_fail(x, &c->f) : 0;
}

void sim_ec2_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	struct sim_ec2_call c = { .s = s, .w = s->w, .out = &resp->body };
	const struct sim_ec2_action *act = NULL;
	const char *name = "-";
	char id[SIM_REQUEST_ID_LEN];
	struct sim_fault x;
	bool fault = false;
	int r;

	sim_request_id(s, id);
	resp->type = "text/xml;charset=UTF-8";
	c.a.source_dest_check = c.a.delete_on_termination = -1;
	r = find_action(&c, req, &act, &name);
	sim_count(&s->faults, name, NULL);
	if (r == 0) {
		fault = sim_fault_hit(&s->faults, name, req->target, &x);
		if (fault && sim_fault_is_before(&x))
			r = sim_fault_fail(&x, &c.f);
	}
	if (r == 0)
		r = admit(&c, act, req);
	if (r == 0 && fault && x.kind == SIM_FAULT_STALE)
		r = stale(&c, req, &x);
	else if (r == 0)
		r = run(&c, act, id);
	if (r == 0 && !fault && strncmp(name, "Describe", 8) == 0)
		sim_answer_keep(&s->faults, req->body, req->body_len, c.out);
	if (r < 0) {
		sim_count(&s->faults, name, c.f.code);
		resp->status = c.f.status;
		write_error(c.out, &c.f, id);
	}
	if (fault)
		sim_fault_apply(&x, resp);
	sim_ec2_args_done(&c.a);
	sim_params_done(&c.params);
}
