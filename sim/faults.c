/* SPDX-License-Identifier: Apache-2.0 */
/* Scripted faults, counters and token buckets: small lists, looked through on every request. */
#include "sim/faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "lib/json/json.h"
#include "sim/fail.h"
#include "sim/http.h"

#define MAX_FAULTS   256
#define MAX_COUNTERS 1024
#define MAX_ANSWERS  64

static const char *const kinds[] = { "error", "hang", "close", "truncate", "delay", "body", "stale" };

void sim_faults_init(struct sim_faults *s)
{
	*s = (struct sim_faults){ .next_id = 1 };
	TAILQ_INIT(&s->faults);
	TAILQ_INIT(&s->counters);
	TAILQ_INIT(&s->buckets);
	TAILQ_INIT(&s->answers);
}

static void answer_drop(struct sim_faults *s, struct sim_answer *a)
{
	TAILQ_REMOVE(&s->answers, a, link);
	vw_buf_done(&a->body);
	free(a);
}

static struct sim_answer *answer_find(struct sim_faults *s, const char *form, size_t len, char ret_key[VW_SHA256_HEXLEN])
{
	struct sim_answer *a;

	vw_sha256_hex(form, len, ret_key);
	TAILQ_FOREACH(a, &s->answers, link)
		if (!strcmp(a->key, ret_key))
			return a;
	return NULL;
}

void sim_answer_keep(struct sim_faults *s, const char *form, size_t len, const struct vw_buf *answer)
{
	char key[VW_SHA256_HEXLEN];
	struct sim_answer *a = answer_find(s, form, len, key), *last;
	unsigned int n = 0;

	if (a)
		answer_drop(s, a);
	TAILQ_FOREACH(last, &s->answers, link)
		if (++n == MAX_ANSWERS) {
			answer_drop(s, last);
			break;
		}
	a = calloc(1, sizeof(*a));
	if (!a)
		return;
	(void)VW_COPY(a->key, key);
	vw_buf_add(&a->body, vw_buf_str(answer), answer->len);
	TAILQ_INSERT_HEAD(&s->answers, a, link);
}

int sim_answer_old(struct sim_faults *s, const char *form, size_t len, struct vw_buf *answer)
{
	char key[VW_SHA256_HEXLEN];
	const struct sim_answer *a = answer_find(s, form, len, key);

	if (!a)
		return -ENOENT;
	vw_buf_reset(answer);
	vw_buf_add(answer, vw_buf_str(&a->body), a->body.len);
	return 0;
}

void sim_faults_done(struct sim_faults *s)
{
	struct sim_bucket *b;

	sim_fault_clear(s, 0);
	sim_counters_reset(s);
	while (!TAILQ_EMPTY(&s->answers))
		answer_drop(s, TAILQ_FIRST(&s->answers));
	while ((b = TAILQ_FIRST(&s->buckets))) {
		TAILQ_REMOVE(&s->buckets, b, link);
		free(b);
	}
}

static int text_into(const struct vw_json *j, const char *key, char *to, size_t size, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(j, key, &s, err);

	if (r <= 0)
		return r;
	if (vw_fmt(to, size, "%s", s) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is too long", key);
	return 1;
}

static int number(const struct vw_json *j, const char *key, int64_t max, unsigned int *ret,
		  struct vw_err *err)
{
	int64_t v;
	int r = vw_json_get_int(j, key, 0, max, &v, err);

	if (r == 1)
		*ret = (unsigned int)v;
	return r;
}

static int fault_parse(const struct vw_json *j, struct sim_fault *x, struct vw_err *err)
{
	unsigned int nth = 1, status = 0, k;
	const char *kind = NULL;

	x->times = 1;
	if (text_into(j, "action", x->action, sizeof(x->action), err) < 0 ||
	    text_into(j, "path", x->path, sizeof(x->path), err) < 0 ||
	    text_into(j, "code", x->code, sizeof(x->code), err) < 0 ||
	    text_into(j, "message", x->message, sizeof(x->message), err) < 0 ||
	    vw_json_get_str(j, "kind", &kind, err) < 0 || number(j, "nth", 1000000, &nth, err) < 0 ||
	    number(j, "times", 1000000, &x->times, err) < 0 || number(j, "status", 599, &status, err) < 0 ||
	    number(j, "bytes", 1 << 20, &x->bytes, err) < 0 ||
	    number(j, "delay_ms", 3600000, &x->delay_ms, err) < 0)
		return -EINVAL;
	if (!x->action[0])
		return vw_err_set(
			err, EINVAL, 0,
			"a fault needs 'action', e.g. \"CreateNetworkInterface\", \"IMDS\" or \"*\"");
	for (k = 0; k < VW_ARRAY_SIZE(kinds); k++)
		if (strcmp(kind ? kind : "error", kinds[k]) == 0)
			break;
	if (k == VW_ARRAY_SIZE(kinds))
		return vw_err_set(err, EINVAL, 0,
				  "fault kind '%s' is none of error, hang, close, truncate, delay, body, stale",
				  kind);
	x->kind = (enum sim_fault_kind)k;
	if ((x->kind == SIM_FAULT_ERROR || x->kind == SIM_FAULT_STALE) && !x->code[0] &&
	    vw_fmt(x->code, sizeof(x->code), "InternalError") < 0)
		return -EINVAL;
	x->skip = nth ? nth - 1 : 0;
	x->status = (int)status;
	return 0;
}

int sim_fault_add(struct sim_faults *s, const struct vw_json *j, struct vw_err *err)
{
	struct sim_fault *o, *x = calloc(1, sizeof(*x));
	unsigned int n = 0;

	if (!x)
		return vw_err_sys(err, ENOMEM, 0, "adding a fault");
	TAILQ_FOREACH(o, &s->faults, link)
		n++;
	if (n >= MAX_FAULTS) {
		free(x);
		return vw_err_set(err, ENOSPC, 0, "there are already %u faults: clear some", n);
	}
	if (fault_parse(j, x, err) < 0) {
		free(x);
		return -err->eno;
	}
	x->id = s->next_id++;
	TAILQ_INSERT_TAIL(&s->faults, x, link);
	return (int)x->id;
}

unsigned int sim_fault_clear(struct sim_faults *s, unsigned int id)
{
	struct sim_fault *x, *next;
	unsigned int n = 0;

	for (x = TAILQ_FIRST(&s->faults); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (id && x->id != id)
			continue;
		TAILQ_REMOVE(&s->faults, x, link);
		free(x);
		n++;
	}
	return n;
}

static bool is_ec2(const char *action)
{
	return strncmp(action, "IMDS", 4) != 0 && strcmp(action, "ContainerCredentials") != 0 &&
	       strcmp(action, "AssumeRoleWithWebIdentity") != 0 && strcmp(action, "GetCallerIdentity") != 0;
}

bool sim_fault_hit(struct sim_faults *s, const char *action, const char *target, struct sim_fault *ret_fault)
{
	struct sim_fault *x;

	TAILQ_FOREACH(x, &s->faults, link) {
		if (strcmp(x->action, action) != 0 && !(strcmp(x->action, "*") == 0 && is_ec2(action)))
			continue;
		if (x->path[0] && !strstr(target, x->path))
			continue;
		if (x->skip) {
			x->skip--;
			continue;
		}
		x->hits++;
		*ret_fault = *x;
		if (x->times && x->hits >= x->times) {
			TAILQ_REMOVE(&s->faults, x, link);
			free(x);
		}
		return true;
	}
	return false;
}

bool sim_fault_is_before(const struct sim_fault *x)
{
	return x->kind == SIM_FAULT_ERROR || x->kind == SIM_FAULT_BODY;
}

int sim_fault_fail(const struct sim_fault *x, struct sim_fail *f)
{
	int r = sim_fail(f, x->code, "%s",
			 x->message[0] ? x->message : "Scripted by the simulator's operator.");

	if (x->status)
		f->status = x->status;
	return r;
}

void sim_fault_apply(const struct sim_fault *x, struct sim_http_resp *resp)
{
	/* any kind may be late as well */
	resp->delay_ms = x->delay_ms;
	switch (x->kind) {
	case SIM_FAULT_HANG:
		resp->end = SIM_HTTP_HANG;
		break;
	case SIM_FAULT_CLOSE:
		resp->end = SIM_HTTP_CLOSE;
		break;
	case SIM_FAULT_TRUNCATE:
		if (x->bytes < resp->body.len)
			resp->body.len = x->bytes;
		break;
	case SIM_FAULT_BODY:
		vw_buf_reset(&resp->body);
		vw_buf_puts(&resp->body, x->message);
		resp->status = x->status ? x->status : 500;
		resp->type = "text/plain";
		break;
	case SIM_FAULT_ERROR:
	case SIM_FAULT_DELAY:
	case SIM_FAULT_STALE:
		break;
	}
}

static struct sim_counter *counter(struct sim_faults *s, const char *action, const char *code)
{
	struct sim_counter *c;
	unsigned int n = 0;

	TAILQ_FOREACH(c, &s->counters, link) {
		if (strcmp(c->action, action) == 0 && strcmp(c->code, code) == 0)
			return c;
		n++;
	}
	/* names of unknown actions come from outside: bounded */
	c = n < MAX_COUNTERS ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	if (vw_fmt(c->action, sizeof(c->action), "%s", action) < 0 ||
	    vw_fmt(c->code, sizeof(c->code), "%s", code) < 0) {
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->counters, c, link);
	return c;
}

void sim_count(struct sim_faults *s, const char *action, const char *code)
{
	struct sim_counter *c = counter(s, action, code ? code : "");

	if (c)
		c->n++;
}

uint64_t sim_counted(const struct sim_faults *s, const char *action)
{
	const struct sim_counter *c;

	TAILQ_FOREACH(c, &s->counters, link)
		if (!c->code[0] && strcmp(c->action, action) == 0)
			return c->n;
	return 0;
}

void sim_counters_reset(struct sim_faults *s)
{
	struct sim_counter *c;

	while ((c = TAILQ_FIRST(&s->counters))) {
		TAILQ_REMOVE(&s->counters, c, link);
		free(c);
	}
}

static int counter_json(const struct sim_faults *s, const struct sim_counter *c, struct vw_json *all)
{
	vw_auto_json struct vw_json *errors = vw_json_new_object();
	struct vw_json *row = vw_json_new_object();
	const struct sim_counter *e;

	if (!errors || vw_json_set_int(row, "calls", (int64_t)c->n) < 0) {
		vw_json_free(row);
		return -ENOMEM;
	}
	TAILQ_FOREACH(e, &s->counters, link)
		if (e->code[0] && strcmp(e->action, c->action) == 0)
			vw_json_set_int(errors, e->code, (int64_t)e->n);
	if (vw_json_len(errors) && vw_json_set(row, "errors", VW_TAKE_PTR(errors)) < 0) {
		vw_json_free(row);
		return -ENOMEM;
	}
	return vw_json_set(all, c->action, row);
}

struct vw_json *sim_counters_json(const struct sim_faults *s)
{
	vw_auto_json struct vw_json *all = vw_json_new_object();
	const struct sim_counter *c;

	TAILQ_FOREACH(c, &s->counters, link)
		if (!c->code[0] && (!all || counter_json(s, c, all) < 0))
			return NULL;
	return VW_TAKE_PTR(all);
}

struct vw_json *sim_faults_json(const struct sim_faults *s)
{
	vw_auto_json struct vw_json *all = vw_json_new_array();
	const struct sim_fault *x;

	TAILQ_FOREACH(x, &s->faults, link) {
		struct vw_json *j = vw_json_new_object();

		if (vw_json_set_int(j, "id", x->id) < 0 || vw_json_set_str(j, "action", x->action) < 0 ||
		    vw_json_set_str(j, "kind", kinds[x->kind]) < 0 ||
		    vw_json_set_str(j, "code", x->code[0] ? x->code : NULL) < 0 ||
		    vw_json_set_str(j, "path", x->path[0] ? x->path : NULL) < 0 ||
		    vw_json_set_int(j, "skip", x->skip) < 0 || vw_json_set_int(j, "times", x->times) < 0 ||
		    vw_json_set_int(j, "hits", x->hits) < 0) {
			vw_json_free(j);
			return NULL;
		}
		if (vw_json_append(all, j) < 0)
			return NULL;
	}
	return VW_TAKE_PTR(all);
}

static struct sim_bucket *bucket_find(struct sim_faults *s, const char *action)
{
	struct sim_bucket *b;

	TAILQ_FOREACH(b, &s->buckets, link)
		if (strcmp(b->action, action) == 0)
			return b;
	return NULL;
}

int sim_bucket_set(struct sim_faults *s, const char *action, unsigned int size, unsigned int refill_per_s)
{
	struct sim_bucket *b = bucket_find(s, action);

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		if (vw_fmt(b->action, sizeof(b->action), "%s", action) < 0) {
			free(b);
			return -EINVAL;
		}
		TAILQ_INSERT_TAIL(&s->buckets, b, link);
	}
	b->size = size;
	b->refill_per_s = refill_per_s;
	b->tokens = size;
	b->at_ms = vw_mono_ms();
	return 0;
}

bool sim_bucket_take(struct sim_faults *s, const char *action)
{
	struct sim_bucket *b = bucket_find(s, action), *any = bucket_find(s, "*");
	uint64_t now = vw_mono_ms();

	if (!b && any && sim_bucket_set(s, action, any->size, any->refill_per_s) == 0)
		b = bucket_find(s, action);
	if (!b || !b->size)
		return true;
	b->tokens += (double)(now - b->at_ms) * b->refill_per_s / 1000.0;
	if (b->tokens > b->size)
		b->tokens = b->size;
	b->at_ms = now;
	if (b->tokens < 1.0)
		return false;
	b->tokens -= 1.0;
	return true;
}
