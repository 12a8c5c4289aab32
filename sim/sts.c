/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STS (AssumeRoleWithWebIdentity, GetCallerIdentity) and the container credential endpoint (EKS Pod Identity,
 * ECS). Unlike EC2, STS ignores parameters that it does not know.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "sim/fail.h"
#include "sim/http.h"
#include "sim/params.h"
#include "sim/service.h"
#include "sim/xml_out.h"

#define XMLNS "https://sts.amazonaws.com/doc/2011-06-15/"

static const struct sim_web_id *web_id_find(struct sim_service *s, const char *token)
{
	const struct sim_web_id *w;

	TAILQ_FOREACH(w, &s->web_ids, link)
		if (strcmp(w->token, token) == 0)
			return w;
	return NULL;
}

/* "arn:aws:iam::123456789012:role/NAME" -> NAME; NULL if it is not a role of this account. */
static const char *role_of_arn(const struct sim_service *s, const char *arn)
{
	char start[64];
	int n = snprintf(start, sizeof(start), "arn:aws:iam::%s:role/", s->w->account);

	return strncmp(arn, start, (size_t)n) == 0 ? arn + n : NULL;
}

static void xml_credentials(struct vw_buf *b, const struct sim_cred *k)
{
	char until[VW_TIME_STRLEN];

	sim_xml_open(b, "Credentials");
	sim_xml_text(b, "AccessKeyId", k->access_key);
	sim_xml_text(b, "SecretAccessKey", k->secret);
	sim_xml_text(b, "SessionToken", k->token);
	sim_xml_text(b, "Expiration", vw_time_str(k->expires, until));
	sim_xml_close(b, "Credentials");
}

static void xml_arn(struct vw_buf *b, const struct sim_service *s, const struct sim_cred *k)
{
	char arn[256];

	if (k->token[0])
		snprintf(arn, sizeof(arn), "arn:aws:sts::%s:assumed-role/%s/%s", s->w->account, k->role->name,
			 k->session);
	else
		snprintf(arn, sizeof(arn), "arn:aws:iam::%s:user/%s", s->w->account, k->session);
	sim_xml_text(b, "Arn", arn);
}

/* The request's own parameters, checked for form only. */
static int web_id_params(const struct sim_params *p, const char **ret_arn, const char **ret_session,
			 const char **ret_token, unsigned int *ret_duration, struct sim_fail *f)
{
	struct sim_fail why;
	int r = sim_param_need(p, "RoleArn", ret_arn, &why);

	if (r == 0)
		r = sim_param_need(p, "RoleSessionName", ret_session, &why);
	if (r == 0)
		r = sim_param_need(p, "WebIdentityToken", ret_token, &why);
	if (r < 0)
		return sim_fail(f, "ValidationError", "%s", why.msg);
	if (strlen(*ret_session) < 2 || strlen(*ret_session) > 64)
		return sim_fail(f, "ValidationError",
				"1 validation error detected: Value '%.80s' at 'roleSessionName' failed to "
				"satisfy constraint: Member must have length between 2 and 64",
				*ret_session);
	*ret_duration = 3600;
	r = sim_param_uint(p, "DurationSeconds", 900, 43200, ret_duration, &why);
	return r < 0 ? sim_fail(f, "ValidationError",
				"1 validation error detected: Value at 'durationSeconds' failed to satisfy "
				"constraint: Member must have value between 900 and 43200")
		     : 0;
}

static int assume(struct sim_service *s, const struct sim_params *p, struct vw_buf *out, struct sim_fail *f)
{
	const char *arn, *session, *token, *name;
	const struct sim_web_id *w;
	const struct sim_cred *k;
	struct sim_role *role;
	unsigned int duration;
	int r = web_id_params(p, &arn, &session, &token, &duration, f);

	if (r < 0)
		return r;
	w = web_id_find(s, token);
	if (!w)
		return sim_fail(f, "InvalidIdentityToken",
				"No OpenIDConnect provider found in your account for this token");
	if (w->expired)
		return sim_fail(f, "ExpiredTokenException",
				"Token expired: current date/time is past its expiration");
	name = role_of_arn(s, arn);
	role = name ? sim_role_find(&s->creds, name) : NULL;
	if (!role || strcmp(w->role, name) != 0)
		return sim_fail(f, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
	k = sim_cred_issue(&s->creds, role, session, duration);
	if (!k)
		return sim_fail_nomem(f);
	sim_xml_open(out, "AssumeRoleWithWebIdentityResult");
	xml_credentials(out, k);
	sim_xml_text(out, "SubjectFromWebIdentityToken", "system:serviceaccount:kube-system:aws-node");
	sim_xml_open(out, "AssumedRoleUser");
	sim_xml_text(out, "AssumedRoleId", "AROAVPCWIRESIM0000001");
	xml_arn(out, s, k);
	sim_xml_close(out, "AssumedRoleUser");
	sim_xml_text(out, "Audience", "sts.amazonaws.com");
	sim_xml_close(out, "AssumeRoleWithWebIdentityResult");
	return 0;
}

static int identity(struct sim_service *s, const struct sim_http_req *req, struct vw_buf *out,
		    struct sim_fail *f)
{
	const struct sim_cred *k;
	int r = sim_authenticate(s, req, "sts", &k, f);

	if (r < 0)
		return r;
	sim_xml_open(out, "GetCallerIdentityResult");
	xml_arn(out, s, k);
	sim_xml_text(out, "UserId", k->token[0] ? "AROAVPCWIRESIM0000001" : "AIDAVPCWIRESIM0000001");
	sim_xml_text(out, "Account", s->w->account);
	sim_xml_close(out, "GetCallerIdentityResult");
	return 0;
}

static int run(struct sim_service *s, const struct sim_http_req *req, const struct sim_params *p,
	       const char *action, const char *id, struct vw_buf *out, struct sim_fail *f)
{
	char root[96];
	int r;

	snprintf(root, sizeof(root), "%.64sResponse", action);
	sim_xml_begin(out, root, XMLNS);
	if (strcmp(action, "AssumeRoleWithWebIdentity") == 0)
		r = assume(s, p, out, f);
	else if (strcmp(action, "GetCallerIdentity") == 0)
		r = identity(s, req, out, f);
	else
		r = sim_fail(f, "InvalidAction", "Could not find operation %.64s for version 2011-06-15",
			     action);
	sim_xml_open(out, "ResponseMetadata");
	sim_xml_text(out, "RequestId", id);
	sim_xml_close(out, "ResponseMetadata");
	sim_xml_close(out, root);
	return r;
}

static void write_error(struct vw_buf *b, const struct sim_fail *f, const char *id)
{
	vw_buf_reset(b);
	sim_xml_begin(b, "ErrorResponse", XMLNS);
	sim_xml_open(b, "Error");
	sim_xml_text(b, "Type", f->status >= 500 ? "Receiver" : "Sender");
	sim_xml_text(b, "Code", f->code);
	sim_xml_text(b, "Message", f->msg);
	sim_xml_close(b, "Error");
	sim_xml_text(b, "RequestId", id);
	sim_xml_close(b, "ErrorResponse");
}

void sim_sts_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	struct sim_params p = { 0 };
	const char *action = "-";
	char id[SIM_REQUEST_ID_LEN];
	struct sim_fail f = { 0 };
	struct sim_fault x;
	bool fault = false;
	int r;

	sim_request_id(s, id);
	resp->type = "text/xml";
	r = sim_params_parse(req->body, req->body_len, &p, &f);
	if (r == 0)
		r = sim_param_need(&p, "Action", &action, &f);
	sim_count(&s->faults, action, NULL);
	if (r == 0) {
		fault = sim_fault_hit(&s->faults, action, req->target, &x);
		if (fault && sim_fault_is_before(&x))
			r = sim_fault_fail(&x, &f);
	}
	if (r == 0)
		r = run(s, req, &p, action, id, &resp->body, &f);
	if (r < 0) {
		sim_count(&s->faults, action, f.code);
		resp->status = f.status;
		write_error(&resp->body, &f, id);
	}
	if (fault)
		sim_fault_apply(&x, resp);
	sim_params_done(&p);
}

static void ccreds(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	const struct sim_role *role = sim_role_find(&s->creds, s->ccreds_role);
	const char *auth = sim_http_header(req, "Authorization");
	char until[VW_TIME_STRLEN];
	const struct sim_cred *k;

	if (!role || strcmp(req->target, "/v1/credentials") != 0) {
		resp->status = 404;
		vw_buf_puts(&resp->body, "{\"code\":\"NotFound\",\"message\":\"No credentials here\"}");
		return;
	}
	if (s->ccreds_token[0] && (!auth || strcmp(auth, s->ccreds_token) != 0)) {
		resp->status = 401;
		vw_buf_puts(
			&resp->body,
			"{\"code\":\"AccessDenied\",\"message\":\"Authorization token is missing or wrong\"}");
		return;
	}
	k = sim_cred_current(&s->creds, role, "container");
	if (!k) {
		resp->status = 500;
		return;
	}
	vw_buf_printf(
		&resp->body,
		"{\"RoleArn\":\"arn:aws:iam::%s:role/%s\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\","
		"\"Token\":\"%s\",\"AccountId\":\"%s\",\"Expiration\":\"%s\"}",
		s->w->account, role->name, k->access_key, k->secret, k->token, s->w->account,
		vw_time_str(k->expires, until));
}

void sim_ccreds_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	static const char action[] = "ContainerCredentials";
	struct sim_fault x;
	bool fault;

	resp->type = "application/json";
	sim_count(&s->faults, action, NULL);
	fault = sim_fault_hit(&s->faults, action, req->target, &x);
	if (!fault || !sim_fault_is_before(&x)) {
		ccreds(s, req, resp);
	} else if (x.kind == SIM_FAULT_ERROR) {
		resp->status = x.status ? x.status : sim_fail_status(x.code);
		vw_buf_printf(&resp->body, "{\"code\":\"%s\",\"message\":\"scripted\"}", x.code);
	}
	if (fault)
		sim_fault_apply(&x, resp);
}
