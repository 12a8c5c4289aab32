/* daemon/creds.c and creds_fetch.c: which source, what is accepted from it, and when a set is replaced. */
#include "daemon/creds.h"
#include "daemon/http.h"
#include "daemon/imds.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"
#include "tests/unit/scripted_http.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LATER "2099-01-01T00:00:00Z"
#define KEYS(id, expires)                                                                                    \
	"{\"AccessKeyId\":\"" id                                                                             \
	"\",\"SecretAccessKey\":\"s3cr3t\",\"Token\":\"t0k3n\",\"Expiration\":\"" expires "\"}"

static uint64_t soon(void)
{
	return vw_mono_ms() + 30000;
}

struct fixture {
	struct scripted_http *srv;
	struct http *http;
	struct imds *imds;
};

static void start(struct fixture *f, const struct scripted_step *steps, size_t n)
{
	const struct http_options opt = { 0 };
	struct vw_err err;

	f->srv = scripted_start(steps, n);
	assert_int_equal(http_new(&opt, &f->http, &err), 0);
	assert_int_equal(imds_new(scripted_url(f->srv), f->http, &f->imds, &err), 0);
}

static void stop(struct fixture *f)
{
	imds_free(f->imds);
	http_free(f->http);
	scripted_stop(f->srv);
}

static struct creds *new_creds(struct fixture *f, const struct creds_options *opt)
{
	struct creds *c = NULL;
	struct vw_err err;

	assert_int_equal(creds_new(opt, f->http, f->imds, &c, &err), 0);
	return c;
}

static void test_uri_allowed(void **state)
{
	static const char *const yes[] = {
		"http://169.254.170.2/v2/x",
		"http://169.254.170.23/v1/credentials",
		"http://[fd00:ec2::23]/v1/credentials",
		"http://127.0.0.1:8080/",
		"http://127.1.2.3/",
		"http://[::1]:9/",
		"http://localhost/x",
		"https://creds.example/x",
	};
	static const char *const no[] = {
		"http://169.254.169.254/",
		"http://169.254.170.3/",
		"http://10.0.0.1/",
		"http://example.org/",
		"http://[fd00:ec2::24]/",
		"http://127.0.0.1@evil.example/",
		"http://localhost.evil.example/",
		"ftp://127.0.0.1/",
		"127.0.0.1",
		"",
		"http://0177.0.0.1.evil.example/",
		"http://[::ffff:10.0.0.1]/",
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(yes); i++)
		assert_true(creds_uri_allowed(yes[i]));
	for (size_t i = 0; i < VW_ARRAY_SIZE(no); i++)
		assert_false(creds_uri_allowed(no[i]));
}

static void test_choice(void **state)
{
	static const struct {
		struct creds_options opt;
		int r;
		enum creds_source source;
	} cases[] = {
		{ { .access_key_id = "A",
		    .secret_access_key = "s",
		    .role_arn = "r",
		    .web_identity_token_file = "f",
		    .region = "x" },
		  0,
		  CREDS_ENV },
		{ { .access_key_id = "",
		    .secret_access_key = "",
		    .role_arn = "r",
		    .web_identity_token_file = "f",
		    .region = "x",
		    .container_full_uri = "http://127.0.0.1/" },
		  0,
		  CREDS_WEB_IDENTITY },
		{ { .container_full_uri = "http://127.0.0.1/" }, 0, CREDS_CONTAINER },
		{ { .container_relative_uri = "/v2/credentials/x" }, 0, CREDS_CONTAINER },
		{ { 0 }, 0, CREDS_INSTANCE_ROLE },
		{ { .access_key_id = "A" }, -EINVAL, 0 },
		{ { .secret_access_key = "s" }, -EINVAL, 0 },
		{ { .access_key_id = "A", .secret_access_key = "s\nX: y" }, -EINVAL, 0 },
		{ { .access_key_id = "A", .secret_access_key = "s", .session_token = "t\r" }, -EINVAL, 0 },
		{ { .role_arn = "r" }, -EINVAL, 0 },
		{ { .web_identity_token_file = "f", .region = "x" }, -EINVAL, 0 },
		{ { .role_arn = "r", .web_identity_token_file = "f" }, -EINVAL, 0 },
		{ { .container_full_uri = "http://10.0.0.1/" }, -EINVAL, 0 },
		{ { .container_relative_uri = "@evil.example/" }, -EINVAL, 0 },
		{ { .container_full_uri = "http://127.0.0.1/", .container_token = "x\r\nHost: y" },
		  -EINVAL,
		  0 },
		{ { .no_instance_role = true }, -EINVAL, 0 },
	};
	struct fixture f;

	start(&f, NULL, 0);
	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		struct creds *c = NULL;
		struct vw_err err = { 0 };

		assert_int_equal(creds_new(&cases[i].opt, f.http, f.imds, &c, &err), cases[i].r);
		if (cases[i].r == 0)
			assert_int_equal(creds_source(c), cases[i].source);
		else
			assert_int_equal(err.cni, VW_CNI_INVALID_CONFIG);
		creds_free(c);
	}
	assert_int_equal(scripted_n(f.srv), 0);
	stop(&f);
}

static void test_environment(void **state)
{
	struct creds_options opt = { 0 };

	assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "AKIA", 1), 0);
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "abc", 1), 0);
	assert_int_equal(unsetenv("AWS_ENDPOINT_URL_STS"), 0);
	assert_int_equal(setenv("AWS_ENDPOINT_URL", "http://x", 1), 0);
	assert_int_equal(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
	opt.region = "eu-north-1";
	creds_options_env(&opt);
	assert_string_equal(opt.access_key_id, "AKIA");
	assert_string_equal(opt.secret_access_key, "abc");
	assert_string_equal(opt.sts_endpoint, "http://x");
	assert_string_equal(opt.region, "eu-north-1");
	assert_true(opt.no_instance_role);
	assert_int_equal(setenv("AWS_ENDPOINT_URL_STS", "http://y", 1), 0);
	creds_options_env(&opt);
	assert_string_equal(opt.sts_endpoint, "http://y");
}

static void test_env_keys(void **state)
{
	const struct creds_options opt = { .access_key_id = "AKIA",
					   .secret_access_key = "abc",
					   .session_token = "tok" };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;

	start(&f, NULL, 0);
	c = new_creds(&f, &opt);
	assert_false(creds_have_valid(c));
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "AKIA");
	assert_string_equal(set.secret_key.text, "abc");
	assert_string_equal(set.token.text, "tok");
	assert_int_equal(set.expires_unix, 0);
	assert_int_equal(creds_refresh_due_s(c), 0);
	creds_free(c);
	stop(&f);
}

/* The set is fetched once; a refusal of just that set makes the next get fetch again. */
static void test_instance_role(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, "T" },         { 200, "node-role\n" },        { 200, KEYS("ASIA1", LATER) },
		{ 200, "node-role" }, { 200, KEYS("ASIA2", LATER) },
	};
	const struct creds_options opt = { 0 };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;
	int64_t expires;
	uint64_t first;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	c = new_creds(&f, &opt);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIA1");
	assert_int_equal(vw_parse_time(LATER, &expires), 0);
	assert_int_equal(set.expires_unix, expires);
	first = set.generation;
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_int_equal(scripted_n(f.srv), 3);
	assert_memory_equal(scripted_request(f.srv, 2),
			    "GET /latest/meta-data/iam/security-credentials/node-role ", 57);
	assert_true(creds_refresh_due_s(c) <= expires - 600 && creds_refresh_due_s(c) >= expires - 900);

	creds_reject(c, first);
	assert_false(creds_have_valid(c));
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIA2");
	creds_reject(c, first); /* late news about the old set */
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_int_equal(scripted_n(f.srv), 5);
	creds_free(c);
	stop(&f);
}

static void test_no_role(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, "T" },
		{ 404, "" },
		{ 200, "r" },
		{ 200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot assume the role "
		       "r\"}" },
	};
	const struct creds_options opt = { 0 };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	c = new_creds(&f, &opt);
	assert_int_equal(creds_get(c, soon(), &set, &err), -EACCES);
	assert_string_equal(err.msg, "credentials from the instance's role: the instance has no role; attach "
				     "an instance profile to it");
	assert_int_equal(creds_get(c, soon(), &set, &err), -EACCES);
	assert_non_null(strstr(err.msg, "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role r"));
	creds_free(c);
	stop(&f);
}

/* A failed refresh leaves the old set in use, and is due again soon. */
static void test_failed_refresh(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, KEYS("ASIA1", LATER) },
		{ 403, "no" },
		{ 200, KEYS("ASIA2", LATER) },
	};
	struct creds_options opt = { 0 };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.container_full_uri = scripted_url(f.srv);
	c = new_creds(&f, &opt);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_int_equal(creds_refresh(c, soon(), &err), -EACCES);
	assert_string_equal(
		err.msg, "credentials from the container credentials endpoint: the service answered 403: no");
	assert_true(creds_refresh_due_s(c) >= vw_unix_s() + 14 && creds_refresh_due_s(c) <= vw_unix_s() + 31);
	assert_true(creds_have_valid(c));
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIA1");
	assert_int_equal(creds_refresh(c, soon(), &err), 0);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIA2");
	assert_int_equal(scripted_n(f.srv), 3);
	creds_free(c);
	stop(&f);
}

static void test_container_token(void **state)
{
	static const struct scripted_step steps[] = {
		{ 500, "" },
		{ 200, KEYS("ASIA1", LATER) },
		{ 200, KEYS("ASIA2", LATER) },
	};
	char path[] = "/tmp/vpcwire-test-creds-XXXXXX", v[64];
	struct creds_options opt = { .container_token_file = path, .container_token = "unused" };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;
	vw_auto_close int fd = mkstemp(path);

	assert_true(fd >= 0);
	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.container_full_uri = scripted_url(f.srv);
	c = new_creds(&f, &opt);
	assert_int_equal(vw_replace_file(path, "first\n", 6, 0600, &err), 0);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(scripted_header(f.srv, 1, "Authorization", v, sizeof(v)), "first");
	assert_int_equal(vw_replace_file(path, "second", 6, 0600, &err), 0);
	assert_int_equal(creds_refresh(c, soon(), &err), 0);
	assert_string_equal(scripted_header(f.srv, 2, "Authorization", v, sizeof(v)), "second");
	assert_int_equal(vw_replace_file(path, "a\nb", 3, 0600, &err), 0);
	assert_int_equal(creds_refresh(c, soon(), &err), -EBADMSG);
	assert_int_equal(vw_replace_file(path, "\n", 1, 0600, &err), 0);
	assert_int_equal(creds_refresh(c, soon(), &err), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(creds_refresh(c, soon(), &err), -ENOENT);
	assert_int_equal(scripted_n(f.srv), 3);
	creds_free(c);
	stop(&f);
}

#define STS_OK                                                                                               \
	"<AssumeRoleWithWebIdentityResponse "                                                                \
	"xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>"              \
	"<Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>k</"                                \
	"SecretAccessKey><SessionToken>t</SessionToken>"                                                     \
	"<Expiration>" LATER                                                                                 \
	"</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define STS_ERROR(code)                                                                                      \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code                                               \
	"</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>"

static void test_web_identity(void **state)
{
	static const struct scripted_step steps[] = {
		{ 400, STS_ERROR("IDPCommunicationError") },
		{ 200, STS_OK },
		{ 403, STS_ERROR("AccessDenied") },
	};
	char path[] = "/tmp/vpcwire-test-creds-XXXXXX", v[64];
	struct creds_options opt = { .role_arn = "arn:aws:iam::1:role/a b", .web_identity_token_file = path };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;
	vw_auto_close int fd = mkstemp(path);

	assert_true(fd >= 0);
	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.sts_endpoint = scripted_url(f.srv);
	c = new_creds(&f, &opt);
	assert_int_equal(vw_replace_file(path, "eyJ.x+y\n", 8, 0600, &err), 0);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIASTS");
	assert_string_equal(set.token.text, "t");
	assert_non_null(strstr(scripted_request(f.srv, 1),
			       "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%"
			       "3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b"
			       "&RoleSessionName=vpcwired&WebIdentityToken=eyJ.x%2By"));
	assert_string_equal(scripted_header(f.srv, 1, "Authorization", v, sizeof(v)), "");
	assert_int_equal(creds_refresh(c, soon(), &err), -EACCES);
	assert_non_null(strstr(err.msg, "web identity"));
	assert_non_null(strstr(err.msg, "AccessDenied: m"));
	assert_null(strstr(err.msg, "eyJ"));
	assert_int_equal(scripted_n(f.srv), 3);
	assert_int_equal(unlink(path), 0);
	creds_free(c);
	stop(&f);
}

/* A set that is past its date by our clock is used all the same when it has just been handed out. */
static void test_expired_on_arrival(void **state)
{
	static const struct scripted_step steps[] = { { 200, KEYS("ASIAOLD", "2001-01-01T00:00:00Z") } };
	struct creds_options opt = { 0 };
	vw_auto_creds_set struct creds_set set = { 0 };
	struct fixture f;
	struct vw_err err;
	struct creds *c;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.container_full_uri = scripted_url(f.srv);
	c = new_creds(&f, &opt);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_int_equal(creds_get(c, soon(), &set, &err), 0);
	assert_string_equal(set.key_id, "ASIAOLD");
	assert_true(creds_refresh_due_s(c) <= vw_unix_s() + 15);
	assert_int_equal(scripted_n(f.srv), 1);
	creds_free(c);
	stop(&f);
}

static void test_parse_json(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ KEYS("A", LATER), 0 },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}", 0 },
		{ "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":null}",
		  0 },
		{ "{\"Code\":\"Failed\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}", -EACCES },
		{ "{\"AccessKeyId\":\"A\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"s\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"A/B\",\"SecretAccessKey\":\"s\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"A\\r\\nX\",\"SecretAccessKey\":\"s\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\\n\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"a\\nb\"}", -EBADMSG },
		{ "{\"AccessKeyId\":1,\"SecretAccessKey\":\"s\"}", -EBADMSG },
		{ "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"tomorrow\"}", -EBADMSG },
		{ "[]", -EBADMSG },
		{ "<html>", -EBADMSG },
		{ "", -EBADMSG },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		vw_auto_creds_set struct creds_set set = { 0 };
		struct vw_err err = { 0 };

		assert_int_equal(creds_parse_json(cases[i].text, strlen(cases[i].text), "x", &set, &err),
				 cases[i].r);
		assert_int_equal(cases[i].r == 0, secret_is_set(&set.secret_key));
		assert_null(strstr(err.msg, "s3cr3t"));
	}
}

static void test_parse_sts(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ STS_OK, 0 },
		{ STS_ERROR("ExpiredTokenException"), -EACCES },
		{ "<ErrorResponse><Error/></ErrorResponse>", -EACCES },
		{ "<AssumeRoleWithWebIdentityResponse/>", -EBADMSG },
		{ "<html/>", -EBADMSG },
		{ "", -EBADMSG },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		vw_auto_creds_set struct creds_set set = { 0 };
		struct vw_err err = { 0 };

		assert_int_equal(creds_parse_sts(cases[i].text, strlen(cases[i].text), &set, &err),
				 cases[i].r);
	}
}

struct getter {
	struct creds *c;
	int r;
	char key_id[132];
};

static void *get_in_thread(void *arg)
{
	struct getter *g = arg;
	vw_auto_creds_set struct creds_set set = { 0 };
	struct vw_err err;

	g->r = creds_get(g->c, soon(), &set, &err);
	memcpy(g->key_id, set.key_id, sizeof(g->key_id));
	return NULL;
}

/* Many threads, one fetch. */
static void test_one_fetch(void **state)
{
	static const struct scripted_step steps[] = { { 200, KEYS("ASIA1", LATER) } };
	struct creds_options opt = { 0 };
	struct getter g[8];
	pthread_t t[8];
	struct fixture f;
	struct creds *c;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.container_full_uri = scripted_url(f.srv);
	c = new_creds(&f, &opt);
	for (size_t i = 0; i < 8; i++) {
		g[i] = (struct getter){ .c = c };
		assert_int_equal(pthread_create(&t[i], NULL, get_in_thread, &g[i]), 0);
	}
	for (size_t i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(g[i].r, 0);
		assert_string_equal(g[i].key_id, "ASIA1");
	}
	assert_int_equal(scripted_n(f.srv), 1);
	creds_free(c);
	stop(&f);
}

/* While one thread fetches, others wait no longer than they may. */
static void test_waiting_ends(void **state)
{
	static const struct scripted_step steps[] = { { .how = SCRIPTED_HANG } };
	struct creds_options opt = { .role_arn = "r", .web_identity_token_file = "/dev/null" };
	char path[] = "/tmp/vpcwire-test-creds-XXXXXX";
	vw_auto_creds_set struct creds_set set = { 0 };
	struct getter g = { .r = 1 };
	struct fixture f;
	struct vw_err err;
	pthread_t t;
	vw_auto_close int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(vw_replace_file(path, "token", 5, 0600, &err), 0);
	start(&f, steps, VW_ARRAY_SIZE(steps));
	opt.web_identity_token_file = path;
	opt.sts_endpoint = scripted_url(f.srv);
	g.c = new_creds(&f, &opt);
	assert_int_equal(pthread_create(&t, NULL, get_in_thread, &g), 0);
	scripted_wait(f.srv, 1); /* it has asked and gets no answer */
	assert_int_equal(creds_get(g.c, vw_mono_ms() + 1, &set, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "are still being fetched"));
	http_cancel(f.http);
	pthread_join(t, NULL);
	assert_int_equal(g.r, -ECANCELED);
	assert_int_equal(unlink(path), 0);
	creds_free(g.c);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_allowed),    cmocka_unit_test(test_choice),
		cmocka_unit_test(test_environment),    cmocka_unit_test(test_env_keys),
		cmocka_unit_test(test_instance_role),  cmocka_unit_test(test_no_role),
		cmocka_unit_test(test_failed_refresh), cmocka_unit_test(test_container_token),
		cmocka_unit_test(test_web_identity),   cmocka_unit_test(test_expired_on_arrival),
		cmocka_unit_test(test_parse_json),     cmocka_unit_test(test_parse_sts),
		cmocka_unit_test(test_one_fetch),      cmocka_unit_test(test_waiting_ends),
	};

	if (http_init_process() < 0)
		return 1;
	xml_init_process();
	return cmocka_run_group_tests_name("creds", tests, NULL, NULL);
}
