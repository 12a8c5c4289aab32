/* SPDX-License-Identifier: Apache-2.0 */
/* SigV4, the receiving side: AWS's published vectors, and what a verifier must refuse. */
#include "sim/sigv4.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "sim/cloud.h"
#include "sim/fail.h"
#include "sim/loop.h"
#include "sim/model.h"

#include <string.h>
#include <strings.h>

#include "tests/unit/cm.h"

#define SECRET      "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define MAX_HEADERS 8

struct header {
	const char *name, *value;
};

static const char *lookup(void *arg, const char *name)
{
	const struct header *h;

	for (h = arg; h->name; h++)
		if (strcasecmp(h->name, name) == 0)
			return h->value;
	return NULL;
}

/* Of the aws-sig-v4-test-suite (region us-east-1, service "service") and the IAM guide's ListUsers example.
 */
static const struct vector {
	const char *name, *method, *target, *body, *service, *signed_headers, *signature;
	struct header headers[MAX_HEADERS];
} vectors[] = {
	{ "get-vanilla",
	  "GET",
	  "/",
	  "",
	  "service",
	  "host;x-amz-date",
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	  { { "Host", "example.amazonaws.com" } } },
	{ "get-vanilla-query-order-key-case",
	  "GET",
	  "/?Param2=value2&Param1=value1",
	  "",
	  "service",
	  "host;x-amz-date",
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	  { { "Host", "example.amazonaws.com" } } },
	{ "get-utf8",
	  "GET",
	  "/\xe1\x88\xb4",
	  "",
	  "service",
	  "host;x-amz-date",
	  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
	  { { "Host", "example.amazonaws.com" } } },
	{ "get-header-value-trim",
	  "GET",
	  "/",
	  "",
	  "service",
	  "host;my-header1;my-header2;x-amz-date",
	  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
	  { { "Host", "example.amazonaws.com" },
	    { "My-Header1", " value1" },
	    { "My-Header2", " \"a   b   c\"" } } },
	{ "post-vanilla",
	  "POST",
	  "/",
	  "",
	  "service",
	  "host;x-amz-date",
	  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	  { { "Host", "example.amazonaws.com" } } },
	{ "post-x-www-form-urlencoded",
	  "POST",
	  "/",
	  "Param1=value1",
	  "service",
	  "content-type;host;x-amz-date",
	  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
	  { { "Host", "example.amazonaws.com" }, { "Content-Type", "application/x-www-form-urlencoded" } } },
	{ "ListUsers",
	  "GET",
	  "/?Action=ListUsers&Version=2010-05-08",
	  "",
	  "iam",
	  "content-type;host;x-amz-date",
	  "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
	  { { "Host", "iam.amazonaws.com" },
	    { "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" } } },
};

static void test_vectors(void **state)
{
	size_t i, n;

	for (i = 0; i < VW_ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct sim_sig_scope scope = { "20150830", "us-east-1", "" };
		struct header h[MAX_HEADERS + 2] = { { "X-Amz-Date", "20150830T123600Z" } };
		struct sim_sig_req req = { v->method, v->target, v->body, strlen(v->body), lookup, h };
		char hex[65] = "";

		for (n = 0; v->headers[n].name; n++)
			h[n + 1] = v->headers[n];
		assert_true(vw_fmt(scope.service, sizeof(scope.service), "%s", v->service) > 0);
		assert_int_equal(
			sim_sigv4_sign(&req, SECRET, "20150830T123600Z", &scope, v->signed_headers, hex), 0);
		if (strcmp(hex, v->signature) != 0)
			fail_msg("%s: %s, not %s", v->name, hex, v->signature);
	}
}

/* "x-amz-date" and "x-amz-date=" sort by name, not as whole strings; an empty value still gets its '='. */
static void test_query_order(void **state)
{
	struct sim_sig_scope scope = { "20150830", "us-east-1", "service" };
	struct header h[] = { { "Host", "example.amazonaws.com" },
			      { "X-Amz-Date", "20150830T123600Z" },
			      { NULL, NULL } };
	static const char *const same[] = { "/?a=2&a-b=1&c", "/?c=&a-b=1&a=2", "/?a-b=1&c&a=2" };
	char want[65], got[65];
	size_t i;

	for (i = 0; i < VW_ARRAY_SIZE(same); i++) {
		struct sim_sig_req req = { "GET", same[i], "", 0, lookup, h };

		assert_int_equal(sim_sigv4_sign(&req, SECRET, "20150830T123600Z", &scope, "host;x-amz-date",
						i ? got : want),
				 0);
		if (i)
			assert_string_equal(got, want);
	}
}

struct fixture {
	struct sim_loop *loop;
	struct sim_cloud *cloud;
	struct sim_creds creds;
	struct sim_cred *session;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct vw_err err = { 0 };
	const struct sim_role *role;

	assert_non_null(f);
	assert_int_equal(sim_loop_new(&f->loop), 0);
	assert_int_equal(sim_cloud_new(f->loop, NULL, &f->cloud, &err), 0);
	sim_creds_init(&f->creds, sim_cloud_world(f->cloud));
	role = sim_role_add(&f->creds, "node");
	assert_non_null(role);
	assert_non_null(sim_cred_add(&f->creds, "AKIDEXAMPLE", SECRET, "", 0, role, "user"));
	f->session = sim_cred_issue(&f->creds, role, "session", 3600);
	assert_non_null(f->session);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sim_creds_done(&f->creds);
	sim_cloud_free(f->cloud);
	sim_loop_free(f->loop);
	free(f);
	return 0;
}

struct signer {
	const char *key, *secret, *token, *region, *service, *body;
	int64_t skew_s;
};

static void amz_date(int64_t t, char out[17])
{
	struct tm tm;
	time_t when = (time_t)t;

	gmtime_r(&when, &tm);
	assert_int_equal(strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm), 16);
}

/* Sign a POST as @s says, then verify it with @body_sent. Return: the error code, "" when it is accepted. */
static const char *verify(struct fixture *f, const struct signer *s, const char *body_sent,
			  struct sim_fail *fail)
{
	struct sim_sig_scope scope = { "", "", "" };
	char date[17], hex[65], auth[512];
	struct header h[] = { { "Host", "127.0.0.1:1234" },
			      { "X-Amz-Date", date },
			      { "Authorization", auth },
			      { s->token ? "X-Amz-Security-Token" : "-", s->token },
			      { NULL, NULL } };
	struct sim_sig_req req = { "POST", "/", s->body, strlen(s->body), lookup, h };
	const struct sim_cred *who = NULL;

	amz_date(sim_now(f->creds.w) + s->skew_s, date);
	assert_true(vw_fmt(scope.date, sizeof(scope.date), "%.8s", date) > 0);
	assert_true(vw_fmt(scope.region, sizeof(scope.region), "%s", s->region) > 0);
	assert_true(vw_fmt(scope.service, sizeof(scope.service), "%s", s->service) > 0);
	assert_int_equal(sim_sigv4_sign(&req, s->secret, date, &scope, "host;x-amz-date", hex), 0);
	assert_true(vw_fmt(auth, sizeof(auth),
			   "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, "
			   "SignedHeaders=host;x-amz-date, Signature=%s",
			   s->key, scope.date, s->region, s->service, hex) > 0);
	req.body = body_sent;
	req.body_len = strlen(body_sent);
	fail->code[0] = '\0';
	if (sim_sigv4_verify(&req, &f->creds, "ec2", &who, fail) < 0)
		return fail->code;
	assert_non_null(who);
	assert_string_equal(who->access_key, s->key);
	return "";
}

static void test_verify(void **state)
{
	struct fixture *f = *state;
	const char *k = f->session->access_key, *sec = f->session->secret, *tok = f->session->token;
	const struct {
		struct signer s;
		const char *sent, *want;
	} cases[] = {
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", 0 }, "Action=X", "" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", 290 }, "Action=X", "" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", -290 }, "Action=X", "" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", 310 },
		  "Action=X",
		  "SignatureDoesNotMatch" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", -310 },
		  "Action=X",
		  "RequestExpired" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "ec2", "Action=X", 0 },
		  "Action=Y",
		  "SignatureDoesNotMatch" },
		{ { "AKIDEXAMPLE", "other", NULL, "eu-central-1", "ec2", "Action=X", 0 },
		  "Action=X",
		  "SignatureDoesNotMatch" },
		{ { "AKIDNOBODY", SECRET, NULL, "eu-central-1", "ec2", "Action=X", 0 },
		  "Action=X",
		  "AuthFailure" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "us-east-1", "ec2", "Action=X", 0 },
		  "Action=X",
		  "SignatureDoesNotMatch" },
		{ { "AKIDEXAMPLE", SECRET, NULL, "eu-central-1", "sts", "Action=X", 0 },
		  "Action=X",
		  "SignatureDoesNotMatch" },
		{ { "AKIDEXAMPLE", SECRET, "token", "eu-central-1", "ec2", "Action=X", 0 },
		  "Action=X",
		  "AuthFailure" },
		{ { k, sec, tok, "eu-central-1", "ec2", "Action=X", 0 }, "Action=X", "" },
		{ { k, sec, NULL, "eu-central-1", "ec2", "Action=X", 0 }, "Action=X", "AuthFailure" },
		{ { k, sec, "token", "eu-central-1", "ec2", "Action=X", 0 }, "Action=X", "AuthFailure" },
	};
	struct sim_fail why;
	size_t i;

	for (i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		const char *got = verify(f, &cases[i].s, cases[i].sent, &why);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("case %zu: '%s' (%s), not '%s'", i, got, why.msg, cases[i].want);
	}
	assert_int_equal(sim_creds_expire(&f->creds, NULL), 1);
	assert_string_equal(verify(f, &cases[11].s, "Action=X", &why), "RequestExpired");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_query_order),
		cmocka_unit_test_setup_teardown(test_verify, setup, teardown),
	};

	return cmocka_run_group_tests_name("sim_sigv4", tests, NULL, NULL);
}
