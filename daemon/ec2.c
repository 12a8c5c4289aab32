/*
 * One query from the first try to the last. Each try ends in a struct outcome: what it was (enum ec2_fail),
 * and whether the request may have been carried out although nobody said so. next_step() is the whole retry
 * policy of ec2.h: it looks at the outcome and at what has been tried before, and says whether to go on and
 * after which wait.
 */
#include "daemon/ec2.h"

#include "daemon/backoff.h"
#include "daemon/creds.h"
#include "daemon/ec2_priv.h"
#include "daemon/http.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API_VERSION "2016-11-15"
#define RETRY_BASE_MS 200
#define THROTTLED_BASE_MS 1000
#define RETRY_MAX_MS 20000
#define SKEW_MIN_S 60 /* a smaller difference is no reason for a refusal: signatures hold for 5 minutes */

struct ec2 {
	struct http *http;
	struct creds *creds;
	char *endpoint, *region, *instance_id;
	struct ec2_rate change, read;
	struct ec2_clock clock;
	pthread_mutex_t lock; /* all below */
	struct ec2_bucket buckets[EC2_N_ACTIONS];
	struct ec2_counters counters;
	int64_t skew_s;
	struct {
		unsigned int calls;     /* between their first failure and their end */
		struct ec2_error err;
		uint64_t again_ms;
	} held[EC2_N_ACTIONS];
};

static const char *const action_names[EC2_N_ACTIONS] = {
	[EC2_CREATE_NETWORK_INTERFACE] = "CreateNetworkInterface",
	[EC2_ATTACH_NETWORK_INTERFACE] = "AttachNetworkInterface",
	[EC2_MODIFY_NETWORK_INTERFACE_ATTRIBUTE] = "ModifyNetworkInterfaceAttribute",
	[EC2_DETACH_NETWORK_INTERFACE] = "DetachNetworkInterface",
	[EC2_DELETE_NETWORK_INTERFACE] = "DeleteNetworkInterface",
	[EC2_ASSIGN_PRIVATE_IP_ADDRESSES] = "AssignPrivateIpAddresses",
	[EC2_UNASSIGN_PRIVATE_IP_ADDRESSES] = "UnassignPrivateIpAddresses",
	[EC2_ASSIGN_IPV6_ADDRESSES] = "AssignIpv6Addresses",
	[EC2_UNASSIGN_IPV6_ADDRESSES] = "UnassignIpv6Addresses",
	[EC2_CREATE_TAGS] = "CreateTags",
	[EC2_DESCRIBE_NETWORK_INTERFACES] = "DescribeNetworkInterfaces",
	[EC2_DESCRIBE_INSTANCE_TYPES] = "DescribeInstanceTypes",
	[EC2_DESCRIBE_SUBNETS] = "DescribeSubnets",
	[EC2_DESCRIBE_VPCS] = "DescribeVpcs",
};

const char *ec2_action_name(enum ec2_action a)
{
	return action_names[a];
}

/* ---- life ---- */

static uint64_t real_now(void *arg)
{
	return vw_mono_ms();
}

static void real_wait(void *arg, uint64_t ms)
{
	(void)http_wait(arg, ms);
}

static uint32_t real_random(void *arg)
{
	return backoff_random();
}

const char *ec2_endpoint_env(void)
{
	static const char *const names[] = { "AWS_ENDPOINT_URL_EC2", "AWS_EC2_ENDPOINT", "AWS_ENDPOINT_URL" };

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		const char *v = getenv(names[i]);

		if (v && v[0])
			return v;
	}
	return NULL;
}

static struct ec2_rate rate_or(struct ec2_rate rate, struct ec2_rate def)
{
	return rate.burst >= 1 && rate.per_s > 0 ? rate : def;
}

static int make_endpoint(struct ec2 *e, const struct ec2_options *opt, struct vw_err *err)
{
	char host[256];
	bool https;
	int r;

	if (opt->endpoint && opt->endpoint[0])
		r = asprintf(&e->endpoint, "%s", opt->endpoint);
	else
		r = asprintf(&e->endpoint, "https://ec2.%s.%s", opt->region,
			     opt->domain ? opt->domain : "amazonaws.com");
	if (r < 0) {
		e->endpoint = NULL;
		return vw_err_sys(err, ENOMEM, 0, "making an EC2 client");
	}
	if (http_url_host(e->endpoint, host, sizeof(host), &https) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "the EC2 endpoint '%.100s' is not an http or https URL", e->endpoint);
	return 0;
}

int ec2_new(const struct ec2_options *opt, struct http *http, struct creds *creds, struct ec2 **ret_ec2,
	    struct vw_err *err)
{
	struct ec2 *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return vw_err_sys(err, ENOMEM, 0, "making an EC2 client");
	pthread_mutex_init(&e->lock, NULL);
	e->http = http;
	e->creds = creds;
	e->change = rate_or(opt->change, (struct ec2_rate)EC2_RATE_CHANGE);
	e->read = rate_or(opt->read, (struct ec2_rate)EC2_RATE_READ);
	e->clock = opt->clock;
	if (!e->clock.now_ms)
		e->clock = (struct ec2_clock){ http, real_now, real_wait, real_random };
	e->region = strdup(opt->region ? opt->region : "");
	e->instance_id = strdup(opt->instance_id ? opt->instance_id : "");
	if (!e->region || !e->instance_id)
		r = vw_err_sys(err, ENOMEM, 0, "making an EC2 client");
	else if (!e->region[0] || strlen(e->region) > 60)
		r = vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
			       "the EC2 client needs the name of a region");
	else
		r = make_endpoint(e, opt, err);
	if (r < 0) {
		ec2_free(e);
		return r;
	}
	*ret_ec2 = e;
	return 0;
}

void ec2_free(struct ec2 *e)
{
	if (!e)
		return;
	free(e->endpoint);
	free(e->region);
	free(e->instance_id);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

const char *ec2_instance_id(const struct ec2 *e)
{
	return e->instance_id;
}

size_t ec2_counters(struct ec2 *e, struct ec2_counter *ret, size_t max)
{
	size_t n;

	pthread_mutex_lock(&e->lock);
	n = e->counters.n;
	if (max)
		memcpy(ret, e->counters.v, (n < max ? n : max) * sizeof(*ret));
	pthread_mutex_unlock(&e->lock);
	return n;
}

int64_t ec2_clock_skew_s(struct ec2 *e)
{
	int64_t skew;

	pthread_mutex_lock(&e->lock);
	skew = e->skew_s;
	pthread_mutex_unlock(&e->lock);
	return skew;
}

bool ec2_held(struct ec2 *e, struct ec2_held *ret)
{
	static const enum ec2_action growth[] = {
		EC2_CREATE_NETWORK_INTERFACE, EC2_ATTACH_NETWORK_INTERFACE, EC2_ASSIGN_PRIVATE_IP_ADDRESSES,
		EC2_ASSIGN_IPV6_ADDRESSES,    EC2_DESCRIBE_SUBNETS,	    EC2_DESCRIBE_NETWORK_INTERFACES,
	};
	bool found = false;

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < VW_ARRAY_SIZE(growth) && !found; i++) {
		found = e->held[growth[i]].calls != 0;
		if (found)
			*ret = (struct ec2_held){
				.action = ec2_action_name(growth[i]),
				.err = e->held[growth[i]].err,
				.again_ms = e->held[growth[i]].again_ms,
			};
	}
	pthread_mutex_unlock(&e->lock);
	return found;
}

/* ---- queries ---- */

void ec2_query_done(struct ec2_query *q)
{
	vw_buf_done(&q->form);
}

void ec2_param(struct ec2_query *q, const char *name, const char *value)
{
	vw_buf_printf(&q->form, "&%s=", name);
	vw_buf_url(&q->form, value);
}

void ec2_param_u32(struct ec2_query *q, const char *name, uint32_t value)
{
	vw_buf_printf(&q->form, "&%s=%u", name, value);
}

void ec2_param_nth(struct ec2_query *q, const char *list, size_t i, const char *member, const char *value)
{
	vw_buf_printf(&q->form, "&%s.%zu%s=", list, i + 1, member);
	vw_buf_url(&q->form, value);
}

void ec2_param_filter(struct ec2_query *q, size_t i, const char *name, const char *value)
{
	ec2_param_nth(q, "Filter", i, ".Name", name);
	ec2_param_nth(q, "Filter", i, ".Value.1", value);
}

void ec2_param_tags(struct ec2_query *q, const char *prefix, const struct ec2_kv *tags, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ec2_param_nth(q, prefix, i, ".Key", tags[i].key);
		ec2_param_nth(q, prefix, i, ".Value", tags[i].value);
	}
}

/* ---- one try ---- */

/**
 * struct outcome - of one try; the sentence is in the caller's struct ec2_error.
 * @again: worth trying again as it is. @unknown: may have been carried out.
 */
struct outcome {
	enum ec2_fail kind;
	bool again;
	bool unknown;
	int64_t date_unix;
	uint64_t generation; /* of the credentials used */
};

struct call {
	struct ec2 *e;
	struct ec2_query *q;
	uint64_t deadline_ms;
	const char *body;
	size_t body_len;
	void (*parse)(struct xml_in *in, const struct xml_node *root, void *ret);
	void *ret;
	struct ec2_error *err;
	unsigned int tries;
	bool refreshed, resigned, maybe_done, held;
};

static void fail(struct call *c, struct outcome *o, enum ec2_fail kind, bool again, const char *detail)
{
	o->kind = kind;
	o->again = again;
	(void)ec2_error_fill(c->err, kind, c->q->action, detail);
}

/* It failed and is tried again @wait_ms from now: who waits for it can be told why. */
static void hold(struct call *c, uint64_t wait_ms)
{
	struct ec2 *e = c->e;

	pthread_mutex_lock(&e->lock);
	e->held[c->q->action].calls += !c->held;
	e->held[c->q->action].err = *c->err;
	e->held[c->q->action].again_ms = e->clock.now_ms(e->clock.arg) + wait_ms;
	pthread_mutex_unlock(&e->lock);
	c->held = true;
}

static void let_go(struct call *c)
{
	pthread_mutex_lock(&c->e->lock);
	c->e->held[c->q->action].calls -= c->held;
	pthread_mutex_unlock(&c->e->lock);
}

static void forget_answer(struct ec2_error *err)
{
	err->code[0] = 0;
	err->request_id[0] = 0;
	err->http_status = 0;
}

/* Until the action's bucket has a token. False (with the outcome) if that is after the deadline. */
static bool meter(struct call *c, struct outcome *o)
{
	struct ec2 *e = c->e;
	const struct ec2_rate *rate = ec2_action_is_read(c->q->action) ? &e->read : &e->change;
	uint64_t now, wait;

	for (;;) {
		now = e->clock.now_ms(e->clock.arg);
		pthread_mutex_lock(&e->lock);
		wait = ec2_bucket_take(&e->buckets[c->q->action], rate, now);
		pthread_mutex_unlock(&e->lock);
		if (!wait)
			return true;
		/* fresh credentials, or the server's time, were not refused yet: only the rate is in the way */
		if (!c->tries || c->err->kind == EC2_CLOCK_SKEW || c->err->kind == EC2_EXPIRED_CREDS) {
			forget_answer(c->err);
			(void)ec2_error_fill(c->err, EC2_THROTTLED, c->q->action,
					     "this node's own limit for the action, before asking EC2");
		}
		if (now + wait >= c->deadline_ms)
			break;
		hold(c, wait);
		e->clock.wait_ms(e->clock.arg, wait);
		if (http_is_cancelled(e->http)) {
			fail(c, o, EC2_CANCELLED, false, "");
			return false;
		}
	}
	o->kind = c->err->kind; /* what EC2 said before is what the caller should read */
	return false;
}

static void transport_failed(struct call *c, struct outcome *o, const struct http_response *resp,
			     const struct vw_err *why)
{
	c->err->http_status = resp->status;
	switch (resp->fail) {
	case HTTP_CANCELLED:
		fail(c, o, EC2_CANCELLED, false, "");
		break;
	case HTTP_TOO_BIG:
		fail(c, o, EC2_PROTOCOL, false, why->msg);
		break;
	default:
		fail(c, o, why->eno == EINVAL ? EC2_INVALID : EC2_TRANSIENT, why->eno != EINVAL, why->msg);
		break;
	}
	o->unknown = resp->sent;
}

static void refused(struct call *c, struct outcome *o, const struct http_response *resp)
{
	char message[1024] = "";
	enum ec2_fail kind;

	c->err->http_status = resp->status;
	if (ec2_parse_error(vw_buf_str(&resp->body), resp->body.len, c->err, message, sizeof(message)) < 0) {
		(void)snprintf(c->err->code, sizeof(c->err->code), "http-%d", resp->status);
		(void)snprintf(message, sizeof(message), "an answer without an error document");
	}
	kind = ec2_fail_of(resp->status, c->err->code, message);
	fail(c, o, kind,
	     kind == EC2_THROTTLED || kind == EC2_TRANSIENT || (kind == EC2_NOT_FOUND && c->q->fresh),
	     message);
	/* "internal error" does not say how far it got */
	o->unknown = kind == EC2_TRANSIENT && resp->status >= 500;
}

static void read_answer(struct call *c, struct outcome *o, const struct http_response *resp)
{
	vw_auto_xml struct xml_doc *doc = NULL;
	struct vw_err why = { 0 };
	struct xml_in in = { .err = &why };
	const struct xml_node *root;
	char want[64];

	c->err->http_status = resp->status;
	if (xml_parse(vw_buf_str(&resp->body), resp->body.len, "the answer", &doc, &why) < 0) {
		fail(c, o, EC2_PROTOCOL, true, why.msg); /* cut short: a repetition may come through whole */
		o->unknown = true;
		return;
	}
	root = xml_root(doc);
	if (vw_fmt(want, sizeof(want), "%sResponse", ec2_action_name(c->q->action)) < 0 ||
	    strcmp(xml_name(root), want))
		(void)xml_fail(&in, root, "the answer should be <%s>", want);
	else if (c->parse)
		c->parse(&in, root, c->ret);
	if (in.r < 0) {
		fail(c, o, EC2_PROTOCOL, false, why.msg);
		o->unknown = true;
		return;
	}
	o->kind = EC2_OK;
}

static void send_once(struct call *c, struct outcome *o)
{
	static const struct http_header type = {
		.name = "Content-Type",
		.value = "application/x-www-form-urlencoded; charset=utf-8",
	};
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	vw_auto_creds_set struct creds_set keys = { 0 };
	struct ec2 *e = c->e;
	struct http_sign sign = {
		.key_id = keys.key_id,
		.secret_key = &keys.secret_key,
		.token = &keys.token,
		.region = e->region,
		.service = "ec2",
		.skew_s = ec2_clock_skew_s(e),
	};
	struct http_request req = {
		.method = "POST",
		.url = e->endpoint,
		.headers = &type,
		.n_headers = 1,
		.body = c->body,
		.body_len = c->body_len,
		.sign = &sign,
		.once = !c->q->repeat,
		.deadline_ms = c->deadline_ms,
	};
	struct vw_err why = { 0 };

	if (creds_get(e->creds, c->deadline_ms, &keys, &why) < 0) {
		fail(c, o, EC2_NO_CREDS, false, why.msg);
		return;
	}
	o->generation = keys.generation;
	if (http_do(e->http, &req, &resp, &why) < 0)
		transport_failed(c, o, &resp, &why);
	else if (resp.status == 200)
		read_answer(c, o, &resp);
	else
		refused(c, o, &resp);
	o->date_unix = resp.date_unix;
}

static const char *count_name(const struct call *c, const struct outcome *o)
{
	if (o->kind == EC2_OK)
		return "ok";
	if (c->err->code[0])
		return c->err->code;
	if (o->kind == EC2_PROTOCOL)
		return "bad-answer";
	return c->err->why.eno == ETIMEDOUT ? "timeout" : "no-answer";
}

static void one_try(struct call *c, struct outcome *o)
{
	struct ec2 *e = c->e;
	uint64_t start;

	*o = (struct outcome){ 0 };
	if (!meter(c, o))
		return;
	forget_answer(c->err);
	start = e->clock.now_ms(e->clock.arg);
	send_once(c, o);
	c->tries++;
	if (o->kind == EC2_NO_CREDS)
		return;
	pthread_mutex_lock(&e->lock);
	ec2_count(&e->counters, ec2_action_name(c->q->action), count_name(c, o),
		  e->clock.now_ms(e->clock.arg) - start);
	if (o->kind == EC2_THROTTLED)
		ec2_bucket_empty(&e->buckets[c->q->action], e->clock.now_ms(e->clock.arg));
	pthread_mutex_unlock(&e->lock);
}

/* ---- all tries ---- */

static bool is_small(int64_t seconds)
{
	return seconds > -SKEW_MIN_S && seconds < SKEW_MIN_S;
}

/* Take over the server's time; false if that is what the request was signed with. */
static bool resign(struct call *c, const struct outcome *o)
{
	int64_t skew = o->date_unix - vw_unix_s();

	if (c->resigned || !o->date_unix || is_small(skew - ec2_clock_skew_s(c->e)))
		return false;
	pthread_mutex_lock(&c->e->lock);
	c->e->skew_s = is_small(skew) ? 0 : skew;
	pthread_mutex_unlock(&c->e->lock);
	c->resigned = true;
	return true;
}

static bool refresh(struct call *c, const struct outcome *o)
{
	if (c->refreshed)
		return false;
	creds_reject(c->e->creds, o->generation);
	c->refreshed = true;
	return true;
}

/* Whether there is another try, after the wait that it needs. */
static bool next_step(struct call *c, const struct outcome *o)
{
	struct ec2_clock *clock = &c->e->clock;
	uint64_t wait, now = clock->now_ms(clock->arg);

	if (c->tries >= EC2_MAX_TRIES)
		return false;
	/* RequestExpired is said of old signatures and of expired session tokens alike */
	if (o->kind == EC2_CLOCK_SKEW)
		return resign(c, o) || refresh(c, o);
	if (o->kind == EC2_EXPIRED_CREDS)
		return refresh(c, o);
	if (!o->again || (o->unknown && !c->q->repeat) || (o->kind == EC2_THROTTLED && c->q->planned))
		return false;
	wait = backoff_ms(c->tries, o->kind == EC2_THROTTLED ? THROTTLED_BASE_MS : RETRY_BASE_MS,
			  RETRY_MAX_MS, clock->random(clock->arg));
	if (now + wait >= c->deadline_ms)
		return false;
	hold(c, wait);
	clock->wait_ms(clock->arg, wait);
	return true;
}

int ec2_send(struct ec2 *e, uint64_t deadline_ms, struct ec2_query *q,
	     void (*parse)(struct xml_in *in, const struct xml_node *root, void *ret), void *ret,
	     struct ec2_error *err)
{
	vw_auto_buf struct vw_buf body = VW_BUF_INIT;
	struct call c = {
		.e = e,
		.q = q,
		.deadline_ms = deadline_ms,
		.parse = parse,
		.ret = ret,
		.err = err,
	};
	struct outcome o;

	*err = (struct ec2_error){ 0 };
	vw_buf_printf(&body, "Action=%s&Version=" API_VERSION, ec2_action_name(q->action));
	vw_buf_add(&body, vw_buf_str(&q->form), q->form.len);
	if (vw_buf_err(&q->form) || vw_buf_err(&body))
		return ec2_error_fill(err, EC2_NOMEM, q->action, "");
	c.body = vw_buf_str(&body);
	c.body_len = body.len;
	do {
		one_try(&c, &o);
		c.maybe_done |= o.unknown && !ec2_action_is_read(q->action);
	} while (o.kind != EC2_OK && next_step(&c, &o));
	let_go(&c);
	if (o.kind == EC2_OK)
		return 0;
	if (o.kind == EC2_CLOCK_SKEW && !c.resigned) /* the clock is right, so it is the credentials */
		(void)ec2_error_fill(err, EC2_EXPIRED_CREDS, q->action, "");
	err->unknown = c.maybe_done;
	return -err->why.eno;
}
