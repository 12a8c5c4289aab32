/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service: session tokens, lag, the tree, role credentials.
 *
 * A change of an instance's ENIs makes a snapshot that waits for its time; when it is published, it and every
 * older one are gone. A token names its instance and its end, and is signed, so none has to be remembered.
 */
#include "sim/imds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/fail.h"
#include "sim/http.h"
#include "sim/imds_tree.h"
#include "sim/service.h"

#define MAX_HIDDEN  32
#define MAX_TTL_S   21600
#define CREDENTIALS "meta-data/iam/security-credentials/"

struct pending {
	TAILQ_ENTRY(pending) link;
	struct view *view;
	struct sim_tree tree;
	struct sim_timer timer;
};

TAILQ_HEAD(pendings, pending);

struct view {
	TAILQ_ENTRY(view) link;
	const struct sim_instance *inst;
	struct sim_tree tree;
	struct pendings pendings;
};

TAILQ_HEAD(views, view);

struct sim_imds {
	struct sim_world *w;
	struct sim_observer obs;
	struct views views;
	unsigned int lag_ms, hop_limit;
	char *hidden[MAX_HIDDEN];
	size_t n_hidden;
};

static struct view *view_of(struct sim_imds *m, const struct sim_instance *inst)
{
	struct view *v;

	TAILQ_FOREACH(v, &m->views, link)
		if (v->inst == inst)
			return v;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->inst = inst;
	TAILQ_INIT(&v->pendings);
	TAILQ_INSERT_TAIL(&m->views, v, link);
	return v;
}

static void drop(struct view *v, struct pending *p)
{
	sim_timer_clear(&p->timer);
	TAILQ_REMOVE(&v->pendings, p, link);
	sim_tree_done(&p->tree);
	free(p);
}

static void publish(void *arg)
{
	struct pending *p = arg;
	struct view *v = p->view;

	while (TAILQ_FIRST(&v->pendings) != p)
		drop(v, TAILQ_FIRST(&v->pendings));
	sim_tree_done(&v->tree);
	v->tree = p->tree;
	p->tree = (struct sim_tree){ 0 };
	drop(v, p);
}

static void snapshot(struct sim_imds *m, const struct sim_instance *inst, const struct sim_eni *without,
		     unsigned int lag_ms)
{
	struct view *v = inst ? view_of(m, inst) : NULL;
	struct pending *p;

	if (!v)
		return;
	p = calloc(1, sizeof(*p));
	if (!p || sim_tree_build(m->w, inst, without, &p->tree) < 0) {
		free(p);
		return;
	}
	p->view = v;
	TAILQ_INSERT_TAIL(&v->pendings, p, link);
	if (lag_ms)
		sim_timer_set(m->w->loop, &p->timer, lag_ms, publish, p);
	else
		publish(p);
}

static void on_instance(void *arg, const struct sim_instance *inst)
{
	/* an instance knows itself from its first instruction */
	snapshot(arg, inst, NULL, 0);
}

static void on_eni(void *arg, const struct sim_eni *e)
{
	struct sim_imds *m = arg;

	snapshot(m, e->att.instance, NULL, m->lag_ms);
}

/* The attachment is still there in the callback, but must not be in the snapshot. */
static void on_detached(void *arg, const struct sim_eni *e)
{
	struct sim_imds *m = arg;

	snapshot(m, e->att.instance, e, m->lag_ms);
}

int sim_imds_new(struct sim_world *w, struct sim_imds **ret_imds)
{
	struct sim_imds *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->w = w;
	TAILQ_INIT(&m->views);
	m->obs = (struct sim_observer){
		.arg = m,
		.instance_added = on_instance,
		.instance_terminated = on_instance,
		.eni_attached = on_eni,
		.eni_detached = on_detached,
		.eni_addresses_changed = on_eni,
		.eni_groups_changed = on_eni,
	};
	sim_world_observe(w, &m->obs);
	*ret_imds = m;
	return 0;
}

void sim_imds_free(struct sim_imds *m)
{
	struct view *v;

	if (!m)
		return;
	sim_world_unobserve(m->w, &m->obs);
	while ((v = TAILQ_FIRST(&m->views))) {
		while (!TAILQ_EMPTY(&v->pendings))
			drop(v, TAILQ_FIRST(&v->pendings));
		TAILQ_REMOVE(&m->views, v, link);
		sim_tree_done(&v->tree);
		free(v);
	}
	sim_imds_unhide(m);
	free(m);
}

void sim_imds_hop_limit(struct sim_imds *m, unsigned int hops)
{
	m->hop_limit = hops;
}

void sim_imds_lag(struct sim_imds *m, unsigned int lag_ms)
{
	struct view *v;

	m->lag_ms = lag_ms;
	if (lag_ms)
		return;
	TAILQ_FOREACH(v, &m->views, link)
		if (!TAILQ_EMPTY(&v->pendings))
			publish(TAILQ_LAST(&v->pendings, pendings));
}

int sim_imds_hide(struct sim_imds *m, const char *part)
{
	if (m->n_hidden == MAX_HIDDEN)
		return -ENOSPC;
	m->hidden[m->n_hidden] = strdup(part);
	if (!m->hidden[m->n_hidden])
		return -ENOMEM;
	m->n_hidden++;
	return 0;
}

void sim_imds_unhide(struct sim_imds *m)
{
	while (m->n_hidden)
		free(m->hidden[--m->n_hidden]);
}

/* "AQAE<end>-<mac of instance and end>" */
static void token_make(const struct sim_instance *inst, int64_t end, char ret_token[96])
{
	char text[96], hex[VW_SHA256_HEXLEN];
	int n = snprintf(text, sizeof(text), "imds/%s/%lld", inst->id, (long long)end);

	vw_sha256_hex(text, (size_t)n, hex);
	snprintf(ret_token, 96, "AQAE%llx-%.40s==", (unsigned long long)end, hex);
}

static bool token_ok(const struct sim_service *s, const struct sim_instance *inst, const char *token)
{
	char want[96], end[32];
	uint64_t t;

	if (!token || strncmp(token, "AQAE", 4) != 0 ||
	    vw_fmt(end, sizeof(end), "%.*s", (int)strcspn(token + 4, "-"), token + 4) < 0)
		return false;
	if (vw_parse_hex(end, INT64_MAX, &t) < 0 || (int64_t)t <= sim_now(s->w))
		return false;
	token_make(inst, (int64_t)t, want);
	return strcmp(want, token) == 0;
}

static void status(struct sim_http_resp *resp, int code, const char *text)
{
	resp->status = code;
	resp->type = "text/html";
	vw_buf_reset(&resp->body);
	vw_buf_printf(&resp->body,
		      "<html><head><title>%d - %s</title></head><body><h1>%d - %s</h1></body></html>\n", code,
		      text, code, text);
}

static void put_token(struct sim_service *s, const struct sim_instance *inst, const struct sim_http_req *req,
		      struct sim_http_resp *resp)
{
	const char *ttl = sim_http_header(req, "X-aws-ec2-metadata-token-ttl-seconds");
	char token[96];
	uint64_t n;

	/* a request that came through a proxy must not get a token: that is what version 2 is for */
	if (sim_http_header(req, "X-Forwarded-For")) {
		status(resp, 403, "Forbidden");
		return;
	}
	if (!ttl || vw_parse_u64(ttl, 1, MAX_TTL_S, &n) < 0) {
		status(resp, 400, "Bad Request");
		return;
	}
	token_make(inst, sim_now(s->w) + (int64_t)n, token);
	vw_buf_puts(&resp->body, token);
	resp->headers[resp->n_headers].name = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds";
	snprintf(resp->headers[resp->n_headers++].value, 128, "%s", ttl);
}

static int role_credentials(struct sim_service *s, const struct sim_instance *inst, const char *role,
			    struct vw_buf *out)
{
	const struct sim_role *r = sim_role_find(&s->creds, role);
	char until[VW_TIME_STRLEN], now[VW_TIME_STRLEN];
	const struct sim_cred *k;

	if (!r || strcmp(role, inst->role) != 0)
		return 0;
	k = sim_cred_current(&s->creds, r, inst->id);
	if (!k)
		return -ENOMEM;
	vw_buf_printf(
		out,
		"{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  \"Type\" : \"AWS-HMAC\",\n"
		"  \"AccessKeyId\" : \"%s\",\n  \"SecretAccessKey\" : \"%s\",\n  \"Token\" : \"%s\",\n"
		"  \"Expiration\" : \"%s\"\n}",
		vw_time_str(sim_now(s->w), now), k->access_key, k->secret, k->token,
		vw_time_str(k->expires, until));
	return 1;
}

static void role_info(const struct sim_service *s, const struct sim_instance *inst, struct vw_buf *out)
{
	char now[VW_TIME_STRLEN];

	vw_buf_printf(
		out,
		"{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  \"InstanceProfileArn\" : "
		"\"arn:aws:iam::%s:instance-profile/%s\",\n  \"InstanceProfileId\" : \"AIPAVPCWIRESIM0000001\"\n}",
		vw_time_str(sim_now(s->w), now), s->w->account, inst->role);
}

/* "/latest/meta-data/mac?x" -> "meta-data/mac"; NULL unless the version is "latest" or a date. */
static const char *path_of(const char *target, char buf[256])
{
	const char *p = target + (*target == '/'), *slash = strchr(p, '/');
	size_t n = slash ? (size_t)(slash - p) : strcspn(p, "?");

	if (!(n == 6 && strncmp(p, "latest", 6) == 0) && !(n == 10 && strspn(p, "0123456789-") >= 10))
		return NULL;
	p += n;
	p += strspn(p, "/");
	if (vw_fmt(buf, 256, "%.*s", (int)strcspn(p, "?"), p) < 0)
		return NULL;
	return buf;
}

static void get(struct sim_service *s, const struct sim_instance *inst, const struct sim_http_req *req,
		struct sim_http_resp *resp)
{
	struct view *v = view_of(s->imds, inst);
	char buf[256];
	const char *path = path_of(req->target, buf);
	size_t n = sizeof(CREDENTIALS) - 1;
	int r;

	r = v && path ? sim_tree_get(&v->tree, path, s->imds->hidden, s->imds->n_hidden, &resp->body) : 0;
	if (r == 1 && strncmp(path, CREDENTIALS, n) == 0)
		r = role_credentials(s, inst, path + n, &resp->body);
	else if (r == 1 && strcmp(path, "meta-data/iam/info") == 0)
		role_info(s, inst, &resp->body);
	if (r == 0)
		status(resp, 404, "Not Found");
	else if (r < 0)
		status(resp, 500, "Internal Server Error");
}

static void serve(struct sim_service *s, struct sim_instance *inst, const struct sim_http_req *req,
		  struct sim_http_resp *resp, bool put)
{
	char buf[256];
	const char *path = path_of(req->target, buf);

	if (!inst || inst->terminated)
		status(resp, 404, "Not Found");
	else if (put && path && strcmp(path, "api/token") == 0)
		put_token(s, inst, req, resp);
	else if (put || (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0))
		status(resp, 405, "Method Not Allowed");
	else if (!token_ok(s, inst, sim_http_header(req, "X-aws-ec2-metadata-token")))
		status(resp, 401, "Unauthorized");
	else
		get(s, inst, req, resp);
}

void sim_imds_handle(struct sim_service *s, struct sim_instance *inst, const struct sim_http_req *req,
		     struct sim_http_resp *resp)
{
	bool put = strcmp(req->method, "PUT") == 0, fault;
	const char *action = put ? "IMDSToken" : "IMDS";
	struct sim_fault x;

	resp->type = "text/plain";
	resp->ttl = put ? s->imds->hop_limit : 0;
	sim_count(&s->faults, action, NULL);
	fault = sim_fault_hit(&s->faults, action, req->target, &x);
	if (!fault || !sim_fault_is_before(&x))
		serve(s, inst, req, resp, put);
	if (fault && x.kind == SIM_FAULT_ERROR)
		status(resp, x.status ? x.status : sim_fail_status(x.code), x.code);
	if (fault)
		sim_fault_apply(&x, resp);
	if (resp->status != 200) {
		char code[16];

		snprintf(code, sizeof(code), "%d", resp->status);
		sim_count(&s->faults, action, code);
	}
}
