/* The retry policy of daemon/ec2.c: throttling, credentials, clocks, cancelling, and all of it from several
 * threads. */
#include "daemon/creds.h"
#include "daemon/ec2.h"
#include "daemon/http.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"
#include "tests/unit/ec2_fixture.h"
#include "tests/unit/scripted_http.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void test_throttled(void **state)
{
	static const struct scripted_step steps[] = {
		{ 503, EC2_FX_ERROR("RequestLimitExceeded", "slow") },
		{ 200, EC2_FX_OK("CreateTags") },
		{ 503, EC2_FX_ERROR("RequestLimitExceeded", "slow") },
	};
	static const struct ec2_kv tag = { "k", "v" };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_create_tags(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &tag, 1, &err), 0);
	/* one wait for the back-off, during which the emptied bucket got its token back */
	assert_in_range(f.waits[0], 1000, 1000);
	assert_true(f.n_waits <= 2);
	f.n_waits = 0;
	f.now += 20000;
	/* no time for another try: what EC2 said is what is reported, and nothing is left unknown */
	assert_int_equal(ec2_create_tags(f.ec2, ec2_fx_in(&f, 500), "eni-1", &tag, 1, &err), -EAGAIN);
	assert_int_equal(err.kind, EC2_THROTTLED);
	assert_string_equal(err.code, "RequestLimitExceeded");
	assert_int_equal(err.http_status, 503);
	assert_false(err.unknown);
	assert_int_equal(f.n_waits, 0);
	/* the bucket is empty: the next caller does not even ask */
	assert_int_equal(ec2_create_tags(f.ec2, ec2_fx_in(&f, 500), "eni-1", &tag, 1, &err), -EAGAIN);
	assert_int_equal(err.kind, EC2_THROTTLED);
	assert_string_equal(err.code, "");
	assert_non_null(strstr(err.why.msg, "this node's own limit"));
	assert_int_equal(ec2_fx_counted(&f, "CreateTags", "RequestLimitExceeded"), 2);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

/* Who waits for growth can be told what a call under way has met, and no longer than that. */
static void test_held(void **state)
{
	static const struct scripted_step steps[] = {
		{ 503, EC2_FX_ERROR("RequestLimitExceeded", "slow") },
		{ 200, "<AttachNetworkInterfaceResponse><attachmentId>eni-attach-1</attachmentId></AttachNetworkInterfaceResponse>" },
		{ 500, EC2_FX_ERROR("InternalError", "x") },
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
		{ 200, "<AttachNetworkInterfaceResponse><attachmentId>eni-attach-1</attachmentId></AttachNetworkInterfaceResponse>" },
	};
	char attachment[EC2_ID_LEN];
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_false(ec2_held(f.ec2, &f.held));
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 30000), "eni-1", 1, 0, attachment, &err), 0);
	assert_true(f.is_held);
	assert_string_equal(f.held.action, "AttachNetworkInterface");
	assert_int_equal(f.held.err.kind, EC2_THROTTLED);
	assert_in_range(f.held.again_ms, f.now - 2000, f.now);
	assert_false(ec2_held(f.ec2, &f.held));
	/* giving back is not what anybody waits for */
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_false(f.is_held);
	/* the action's bucket was emptied: the next call waits for its token, and EC2 has refused it nothing */
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 30000), "eni-1", 1, 0, attachment, &err), 0);
	assert_true(f.is_held);
	assert_int_equal(f.held.err.kind, EC2_THROTTLED);
	assert_string_equal(f.held.err.code, "");
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

/* The client's own bucket: burst at once, then at its rate, per action. */
static void test_own_rate(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
		{ 200, EC2_FX_OK("DetachNetworkInterface") },
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
	};
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys,
			  (struct ec2_rate){ .burst = 2, .per_s = 4 });
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-2", &err), 0);
	assert_int_equal(ec2_detach(f.ec2, ec2_fx_in(&f, 30000), "eni-attach-1", true, &err), 0);
	assert_int_equal(f.n_waits, 0);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-3", &err), 0);
	assert_int_equal(f.n_waits, 1);
	assert_in_range(f.waits[0], 250, 251);
	ec2_fx_expect_form(
		&f, 2,
		"Action=DetachNetworkInterface&Version=2016-11-15&AttachmentId=eni-attach-1&Force=true");
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

#define KEYS(id)                                                                                             \
	"{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"k\",\"Token\":\"tok-" id                          \
	"\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"

static void test_expired(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, KEYS("ASIA1") },
		{ 400, EC2_FX_ERROR("ExpiredToken", "old") },
		{ 200, KEYS("ASIA2") },
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
		{ 400, EC2_FX_ERROR("ExpiredToken", "old") },
		{ 200, KEYS("ASIA3") },
		{ 400, EC2_FX_ERROR("ExpiredToken", "old") },
		/* EC2 says this of expired tokens as well; the clocks agree, so it is not the clock */
		{ 400, EC2_FX_ERROR("RequestExpired", "Request has expired.") },
		{ 200, KEYS("ASIA4") },
		{ 400, EC2_FX_ERROR("RequestExpired", "Request has expired.") },
		/* no credentials at all */
		{ 400, EC2_FX_ERROR("ExpiredToken", "old") },
		{ 403, "go away" },
	};
	const struct creds_options keys = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;
	char v[512];

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys, (struct ec2_rate){ 0 });
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_string_equal(scripted_header(f.srv, 1, "X-Amz-Security-Token", v, sizeof(v)), "tok-ASIA1");
	assert_string_equal(scripted_header(f.srv, 3, "X-Amz-Security-Token", v, sizeof(v)), "tok-ASIA2");
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EKEYEXPIRED);
	assert_int_equal(err.kind, EC2_EXPIRED_CREDS);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EKEYEXPIRED);
	assert_int_equal(err.kind, EC2_EXPIRED_CREDS);
	assert_string_equal(err.code, "RequestExpired");
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EACCES);
	assert_int_equal(err.kind, EC2_NO_CREDS);
	assert_non_null(
		strstr(err.why.msg, "the container credentials endpoint: the service answered 403: go away"));
	assert_int_equal(f.n_waits, 0);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static int64_t signed_at(struct ec2_fixture *f, size_t i)
{
	char amz[64], iso[32];
	int64_t t;

	scripted_header(f->srv, i, "X-Amz-Date", amz, sizeof(amz));
	assert_true(vw_fmt(iso, sizeof(iso), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", amz, amz + 4, amz + 6, amz + 9,
			   amz + 11, amz + 13) > 0);
	assert_int_equal(vw_parse_time(iso, &t), 0);
	return t;
}

/* Keys that were replaced, and a clock that is wrong, look alike: the answer's Date tells them apart. */
static void test_auth_failure(void **state)
{
	static const char date[] = "Date: Fri, 01 Jan 2027 00:00:00 GMT\r\n";
	static const struct scripted_step steps[] = {
		{ 200, KEYS("ASIA1") },
		{ 401, EC2_FX_ERROR("AuthFailure", "AWS was not able to validate the provided access credentials") },
		{ 200, KEYS("ASIA2") },
		{ 200, EC2_FX_OK("DeleteNetworkInterface") },
		{ 401, EC2_FX_ERROR("AuthFailure", "AWS was not able to validate the provided access credentials"), date },
		{ 200, EC2_FX_OK("DeleteNetworkInterface"), date },
		{ 403, EC2_FX_ERROR("InvalidClientTokenId", "The security token included in the request is invalid.") },
		{ 200, KEYS("ASIA3") },
		{ 403, EC2_FX_ERROR("InvalidClientTokenId", "The security token included in the request is invalid.") },
	};
	const struct creds_options keys = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;
	char v[512];

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys, (struct ec2_rate){ 0 });
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_string_equal(scripted_header(f.srv, 3, "X-Amz-Security-Token", v, sizeof(v)), "tok-ASIA2");
	assert_int_equal(ec2_clock_skew_s(f.ec2), 0);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_int_not_equal(ec2_clock_skew_s(f.ec2), 0);
	assert_string_equal(scripted_header(f.srv, 5, "X-Amz-Security-Token", v, sizeof(v)), "tok-ASIA2");
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EKEYEXPIRED);
	assert_int_equal(err.kind, EC2_EXPIRED_CREDS);
	assert_string_equal(err.why.msg, "DeleteNetworkInterface: EC2 does not accept the credentials any more, also after fetching them "
					 "again (InvalidClientTokenId); renew what is in the environment, or look at the source that "
					 "hands them out: The security token included in the request is invalid.");
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

/* Signed again with the server's time, which is kept; refused again, the clock is named. */
static void test_skew(void **state)
{
	static const char date[] = "Date: Fri, 01 Jan 2027 00:00:00 GMT\r\n";
	static const struct scripted_step steps[] = {
		{ 400, EC2_FX_ERROR("RequestExpired", "x"), date },
		{ 200, EC2_FX_OK("DeleteNetworkInterface"), date },
		{ 200, EC2_FX_OK("DeleteNetworkInterface"), date },
		{ 400, EC2_FX_ERROR("RequestExpired", "x"), "Date: Sat, 01 Jan 2028 00:00:00 GMT\r\n" },
		{ 400, EC2_FX_ERROR("RequestExpired", "x"), "Date: Sat, 01 Jan 2028 00:00:00 GMT\r\n" },
		{ 400, EC2_FX_ERROR("RequestExpired", "x"), "Date: Sat, 01 Jan 2028 00:00:00 GMT\r\n" },
	};
	struct ec2_error err;
	struct ec2_fixture f;
	int64_t server;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(vw_parse_time("2027-01-01T00:00:00Z", &server), 0);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_in_range(signed_at(&f, 0), vw_unix_s() - 30, vw_unix_s());
	assert_in_range(signed_at(&f, 1), server, server + 30);
	assert_in_range(ec2_clock_skew_s(f.ec2), server - vw_unix_s() - 30, server - vw_unix_s() + 30);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_in_range(signed_at(&f, 2), server, server + 30);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EACCES);
	assert_int_equal(err.kind, EC2_CLOCK_SKEW);
	assert_non_null(strstr(err.why.msg, "set this machine's clock"));
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_endpoint_env(void **state)
{
	static const char *const names[] = { "AWS_ENDPOINT_URL", "AWS_EC2_ENDPOINT", "AWS_ENDPOINT_URL_EC2" };

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++)
		assert_int_equal(unsetenv(names[i]), 0);
	assert_null(ec2_endpoint_env());
	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) { /* from the weakest to the strongest */
		assert_int_equal(setenv(names[i], names[i], 1), 0);
		assert_string_equal(ec2_endpoint_env(), names[i]);
	}
	assert_int_equal(setenv("AWS_ENDPOINT_URL_EC2", "", 1), 0);
	assert_string_equal(ec2_endpoint_env(), "AWS_EC2_ENDPOINT");
}

/* No time for the bucket's next token: what EC2 said is reported, not that we kept quiet afterwards. */
static void test_own_rate_after_failure(void **state)
{
	static const struct scripted_step steps[] = { { 500, EC2_FX_ERROR("InternalError", "x") } };
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };
	struct ec2_fixture f;
	struct ec2_error err;

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys,
			  (struct ec2_rate){ .burst = 1, .per_s = 0.01 });
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EAGAIN);
	assert_int_equal(err.kind, EC2_TRANSIENT);
	assert_string_equal(err.code, "InternalError");
	assert_true(err.unknown);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

/*
 * What was wrong with the first try is put right for the second, and only the bucket holds that up: it is not
 * said to be refused before it was sent.
 */
static void test_own_rate_after_cure(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, KEYS("ASIA1") },
		{ 400, EC2_FX_ERROR("RequestExpired", "Request has expired.") },
		{ 200, KEYS("ASIA2") },
		{ 200, "<AttachNetworkInterfaceResponse><attachmentId>eni-attach-1</attachmentId></AttachNetworkInterfaceResponse>" },
		{ 400, EC2_FX_ERROR("ExpiredToken", "old") },
	};
	const struct creds_options keys = { 0 };
	char attachment[EC2_ID_LEN];
	struct ec2_fixture f;
	struct ec2_error err;

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys, (struct ec2_rate){ .burst = 1, .per_s = 0.1 });
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 30000), "eni-1", 1, 0, attachment, &err), 0);
	assert_true(f.is_held);
	assert_int_equal(f.held.err.kind, EC2_THROTTLED);
	assert_string_equal(f.held.err.code, "");
	assert_non_null(strstr(f.held.err.why.msg, "this node's own limit"));
	/* nor if there is no time for it at all */
	f.now += 10000;
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 5000), "eni-1", 1, 0, attachment, &err), -EAGAIN);
	assert_int_equal(err.kind, EC2_THROTTLED);
	assert_string_equal(err.code, "");
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_cancelled(void **state)
{
	struct ec2_fixture f;
	struct ec2_error err;

	ec2_fx_start(&f, NULL, 0);
	http_cancel(f.http);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -ECANCELED);
	assert_int_equal(err.kind, EC2_CANCELLED);
	assert_false(err.unknown);
	ec2_fx_stop(&f, 0);
}

/* An answer that is larger than anything EC2 sends. */
static void test_too_big(void **state)
{
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };
	const struct http_options small = { .max_body = 16 };
	static const struct scripted_step steps[] = { { 200, EC2_FX_OK("DeleteNetworkInterface") } };
	struct ec2_options eo = { .region = "eu-north-1" };
	struct ec2_fixture f;
	struct ec2_error err;
	struct http *http = NULL;
	struct ec2 *e = NULL;
	struct vw_err why;

	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys, (struct ec2_rate){ 0 });
	eo.endpoint = scripted_url(f.srv);
	assert_int_equal(http_new(&small, &http, &why), 0);
	assert_int_equal(ec2_new(&eo, http, f.creds, &e, &why), 0);
	assert_int_equal(ec2_delete_eni(e, vw_mono_ms() + 30000, "eni-1", &err), -EBADMSG);
	assert_int_equal(err.kind, EC2_PROTOCOL);
	assert_true(err.unknown);
	ec2_free(e);
	http_free(http);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

#define THREADS 4
#define CALLS 8

struct caller {
	struct ec2 *ec2;
	unsigned int good;
};

static void *call_in_thread(void *arg)
{
	struct caller *c = arg;
	struct ec2_error err;

	for (unsigned int i = 0; i < CALLS; i++)
		c->good += ec2_delete_eni(c->ec2, vw_mono_ms() + 30000, "eni-1", &err) == 0;
	return NULL;
}

/* One client, several threads: some requests fail and are repeated, all calls end well, and all are counted.
 */
static void test_threads(void **state)
{
	static struct scripted_step steps[THREADS * CALLS + 4];
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };
	struct ec2_options eo = { .region = "eu-north-1", .change = { .burst = 1000, .per_s = 1000 } };
	struct caller callers[THREADS];
	pthread_t threads[THREADS];
	struct vw_err err;
	struct ec2_fixture f;

	for (size_t i = 0; i < VW_ARRAY_SIZE(steps); i++)
		steps[i] = (struct scripted_step){ 200, EC2_FX_OK("DeleteNetworkInterface") };
	for (size_t i = 0; i < 4; i++)
		steps[i * 7] = (struct scripted_step){ 500, EC2_FX_ERROR("InternalError", "x") };
	ec2_fx_start_with(&f, steps, VW_ARRAY_SIZE(steps), &keys, (struct ec2_rate){ 0 });
	ec2_free(f.ec2);
	eo.endpoint = scripted_url(f.srv); /* with the real clock */
	assert_int_equal(ec2_new(&eo, f.http, f.creds, &f.ec2, &err), 0);
	for (size_t i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){ f.ec2, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, call_in_thread, &callers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(callers[i].good, CALLS);
	}
	assert_int_equal(ec2_fx_counted(&f, "DeleteNetworkInterface", "ok"), THREADS * CALLS);
	assert_int_equal(ec2_fx_counted(&f, "DeleteNetworkInterface", "InternalError"), 4);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_own_rate),
		cmocka_unit_test(test_own_rate_after_failure),
		cmocka_unit_test(test_own_rate_after_cure),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_auth_failure),
		cmocka_unit_test(test_skew),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_endpoint_env),
		cmocka_unit_test(test_threads),
	};

	if (http_init_process() < 0)
		return 1;
	xml_init_process();
	return cmocka_run_group_tests_name("ec2_retry", tests, NULL, NULL);
}
