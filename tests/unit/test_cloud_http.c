/* daemon/http.c and daemon/sigv4.c against a scripted server: signatures, failures and what is known after
 * them. */
#include "daemon/http.h"
#include "daemon/secret.h"
#include "daemon/sigv4.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"
#include "tests/unit/scripted_http.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct http *new_http(size_t max_body)
{
	const struct http_options opt = { .max_body = max_body };
	struct http *h = NULL;
	struct vw_err err;

	assert_int_equal(http_new(&opt, &h, &err), 0);
	return h;
}

static uint64_t soon(void)
{
	return vw_mono_ms() + 30000;
}

/* The example that AWS publishes ("post-vanilla" of its Signature Version 4 test suite). */
static void test_sigv4_vector(void **state)
{
	struct secret key = { 0 };
	struct http_sign sign = {
		.key_id = "AKIDEXAMPLE",
		.secret_key = &key,
		.region = "us-east-1",
		.service = "service",
	};
	vw_auto_buf struct vw_buf auth = VW_BUF_INIT;
	char date[SIGV4_DATE_LEN];
	int64_t t;

	assert_int_equal(secret_set(&key, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40), 0);
	assert_int_equal(vw_parse_time("2015-08-30T12:36:00Z", &t), 0);
	assert_int_equal(sigv4_sign(&sign, "example.amazonaws.com", NULL, 0, NULL, 0, t, date, &auth), 0);
	assert_string_equal(date, "20150830T123600Z");
	assert_string_equal(
		vw_buf_str(&auth),
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
		"SignedHeaders=host;x-amz-date, "
		"Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	secret_done(&key);
}

struct signing {
	struct secret key, token;
	struct http_header type;
	struct http_sign sign;
	struct http_request req;
};

static void signing_init(struct signing *s, const char *url)
{
	*s = (struct signing){ .type = { .name = "Content-Type",
					 .value = "application/x-www-form-urlencoded; charset=utf-8" } };
	assert_int_equal(secret_set(&s->key, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40), 0);
	assert_int_equal(secret_set(&s->token, "IQoJb3//to+ken==", 16), 0);
	s->sign = (struct http_sign){
		.key_id = "AKIDEXAMPLE",
		.secret_key = &s->key,
		.token = &s->token,
		.region = "eu-north-1",
		.service = "ec2",
	};
	s->req = (struct http_request){
		.method = "POST",
		.url = url,
		.headers = &s->type,
		.n_headers = 1,
		.body = "Action=A&Version=1",
		.body_len = 18,
		.sign = &s->sign,
		.deadline_ms = soon(),
	};
}

static void signing_done(struct signing *s)
{
	secret_done(&s->key);
	secret_done(&s->token);
}

/* What sigv4.c makes of the request that was received, at the time that it was signed. */
static void expect_signature(struct scripted_http *srv, size_t i, const struct signing *s)
{
	vw_auto_buf struct vw_buf auth = VW_BUF_INIT;
	char got[1024], host[128], amz[64], iso[32], date[SIGV4_DATE_LEN];
	struct http_header headers[2] = {
		s->type,
		{ .name = "X-Amz-Security-Token", .secret = &s->token },
	};
	int64_t t;

	scripted_header(srv, i, "X-Amz-Date", amz, sizeof(amz));
	assert_int_equal(strlen(amz), SIGV4_DATE_LEN - 1);
	assert_true(vw_fmt(iso, sizeof(iso), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", amz, amz + 4, amz + 6, amz + 9,
			   amz + 11, amz + 13) > 0);
	assert_int_equal(vw_parse_time(iso, &t), 0);
	scripted_header(srv, i, "Host", host, sizeof(host));
	assert_int_equal(sigv4_sign(&s->sign, host, headers, 2, s->req.body, s->req.body_len, t, date, &auth),
			 0);
	assert_string_equal(scripted_header(srv, i, "Authorization", got, sizeof(got)), vw_buf_str(&auth));
	assert_non_null(strstr(got, "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"));
	assert_string_equal(scripted_header(srv, i, "X-Amz-Security-Token", got, sizeof(got)),
			    "IQoJb3//to+ken==");
}

/* libcurl's signature and ours are the same for the same second, and each header is sent once. */
static void test_signatures_agree(void **state)
{
	static const struct scripted_step steps[] = { { .status = 200, .body = "a" },
						      { .status = 200, .body = "b" } };
	struct scripted_http *srv = scripted_start(steps, 2);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	char amz[64];
	const char *first;
	struct signing s;
	struct vw_err err;

	signing_init(&s, scripted_url(srv));
	assert_int_equal(http_do(h, &s.req, &resp, &err), 0);
	expect_signature(srv, 0, &s);
	s.sign.skew_s = 7200;
	assert_int_equal(http_do(h, &s.req, &resp, &err), 0);
	expect_signature(srv, 1, &s);
	for (size_t i = 0; i < 2; i++) {
		first = strcasestr(scripted_request(srv, i), "\r\nX-Amz-Date:");
		assert_non_null(first);
		assert_null(strcasestr(first + 2, "\r\nX-Amz-Date:"));
		assert_non_null(strstr(scripted_request(srv, i), "\r\n\r\nAction=A&Version=1"));
	}
	/* the second is two hours ahead of the first */
	assert_string_not_equal(scripted_header(srv, 0, "X-Amz-Date", amz, sizeof(amz)),
				scripted_header(srv, 1, "X-Amz-Date", (char[64]){ 0 }, 64));
	assert_int_equal(scripted_connections(srv), 1);
	signing_done(&s);
	http_free(h);
	scripted_stop(srv);
}

static void test_answers(void **state)
{
	static const struct scripted_step steps[] = {
		{ .status = 302,
		  .headers = "Location: http://127.0.0.1:1/\r\nDate: Mon, 23 Nov 2026 20:00:01 GMT\r\n",
		  .body = "moved" },
		{ .status = 503, .body = "" },
		{ .status = 200, .body = "0123456789" },
		{ .status = 200, .body = "01234567890" },
	};
	struct scripted_http *srv = scripted_start(steps, 4);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(10);
	struct http_request req = { .method = "GET", .url = scripted_url(srv), .deadline_ms = soon() };
	struct vw_err err;

	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_int_equal(resp.status, 302);
	assert_string_equal(vw_buf_str(&resp.body), "moved");
	assert_int_equal(resp.date_unix, 1795464001);
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_int_equal(resp.status, 503);
	assert_int_equal(resp.body.len, 0);
	assert_int_equal(resp.date_unix, 0);
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_int_equal(resp.body.len, 10);
	assert_int_equal(http_do(h, &req, &resp, &err), -EFBIG);
	assert_int_equal(resp.fail, HTTP_TOO_BIG);
	assert_non_null(strstr(err.msg, "larger than 10 bytes"));
	http_free(h);
	scripted_stop(srv);
}

static void test_no_answer(void **state)
{
	static const struct scripted_step steps[] = {
		{ .how = SCRIPTED_CUT, .status = 200, .body = "0123456789" },
		{ .how = SCRIPTED_HANG },
		{ .how = SCRIPTED_DROP },
	};
	struct scripted_http *srv = scripted_start(steps, 3);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = { .method = "GET", .url = scripted_url(srv), .deadline_ms = soon() };
	char closed[64];
	struct vw_err err;

	assert_true(http_do(h, &req, &resp, &err) < 0);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_true(resp.sent);
	assert_int_equal(resp.status, 200);
	req.deadline_ms = vw_mono_ms() + 200;
	assert_int_equal(http_do(h, &req, &resp, &err), -ETIMEDOUT);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_true(resp.sent);
	req.deadline_ms = soon();
	assert_true(http_do(h, &req, &resp, &err) < 0);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_true(resp.sent);
	assert_int_equal(resp.status, 0);
	assert_true(vw_fmt(closed, sizeof(closed), "%s", scripted_url(srv)) > 0);
	scripted_stop(srv);

	req.url = closed; /* nobody listens there any more */
	assert_int_equal(http_do(h, &req, &resp, &err), -ECONNREFUSED);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_false(resp.sent);
	req.deadline_ms = vw_mono_ms() - 1;
	assert_int_equal(http_do(h, &req, &resp, &err), -ETIMEDOUT);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_false(resp.sent);
	http_free(h);
}

/* A kept connection that the server closes on the next request: repeated by libcurl, but not where that is
 * forbidden. */
static void test_sent_once(void **state)
{
	static const struct scripted_step steps[] = {
		{ .status = 200, .body = "first" },
		{ .how = SCRIPTED_DROP },
		{ .status = 200, .body = "repeated" },
		{ .status = 200, .body = "again" },
		{ .how = SCRIPTED_DROP },
	};
	struct scripted_http *srv = scripted_start(steps, 5);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = {
		.method = "POST", .url = scripted_url(srv), .body = "x", .body_len = 1, .deadline_ms = soon()
	};
	struct vw_err err;

	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_string_equal(vw_buf_str(&resp.body), "repeated");
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	req.once = true;
	assert_true(http_do(h, &req, &resp, &err) < 0);
	assert_int_equal(resp.fail, HTTP_NO_ANSWER);
	assert_true(resp.sent);
	assert_int_equal(scripted_n(srv), 5);
	http_free(h);
	scripted_stop(srv);
}

struct canceller {
	struct http *h;
	struct scripted_http *srv;
};

static void *cancel_when_asked(void *arg)
{
	struct canceller *c = arg;

	scripted_wait(c->srv, 1);
	http_cancel(c->h);
	return NULL;
}

static void test_cancel(void **state)
{
	static const struct scripted_step steps[] = { { .how = SCRIPTED_HANG } };
	struct scripted_http *srv = scripted_start(steps, 1);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = { .method = "GET", .url = scripted_url(srv), .deadline_ms = soon() };
	struct canceller c = { h, srv };
	struct vw_err err;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, cancel_when_asked, &c), 0);
	assert_int_equal(http_do(h, &req, &resp, &err), -ECANCELED);
	assert_int_equal(resp.fail, HTTP_CANCELLED);
	assert_true(resp.sent);
	pthread_join(t, NULL);
	assert_int_equal(http_do(h, &req, &resp, &err), -ECANCELED);
	assert_false(resp.sent);
	assert_int_equal(http_wait(h, 60000), -ECANCELED);
	http_free(h);
	scripted_stop(srv);
}

static void test_bad_requests(void **state)
{
	static const char *const urls[] = { "", "ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1",
					    "http://" };
	static const struct http_header bad[] = {
		{ .name = "A", .value = "x\r\nB: y" },
		{ .name = "A:", .value = "x" },
		{ .name = "A\n", .value = "x" },
		{ .name = "A", .value = "" },
	};
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = { .method = "GET", .deadline_ms = soon() };
	struct secret s = { 0 };
	struct vw_err err;

	for (size_t i = 0; i < VW_ARRAY_SIZE(urls); i++) {
		req.url = urls[i];
		assert_int_equal(http_do(h, &req, &resp, &err), -EINVAL);
	}
	req.url = "http://127.0.0.1:1/";
	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++) {
		req.headers = &bad[i];
		req.n_headers = 1;
		assert_int_equal(http_do(h, &req, &resp, &err), -EINVAL);
	}
	assert_int_equal(secret_set(&s, "a\nb", 3), -EINVAL);
	assert_int_equal(secret_set(&s, "a\0b", 3), -EINVAL);
	assert_null(s.text);
	http_free(h);
}

static void test_hosts(void **state)
{
	static const char *const local[] = {
		"localhost",       "127.0.0.1", "127.9.9.9",     "::1",
		"169.254.169.254", "fe80::1",   "fd00:ec2::254", "169.254.170.2"
	};
	static const char *const other[] = {
		"10.0.0.1", "198.18.0.10",       "169.253.0.1",           "fd00:ec3::1",
		"2600::1",  "sts.amazonaws.com", "localhost.example.org", "128.0.0.1",
		""
	};
	char host[64];
	bool https;

	for (size_t i = 0; i < VW_ARRAY_SIZE(local); i++)
		assert_true(http_host_is_local(local[i]));
	for (size_t i = 0; i < VW_ARRAY_SIZE(other); i++)
		assert_false(http_host_is_local(other[i]));
	assert_int_equal(http_url_host("http://[fd00:ec2::23]:80/v1/x", host, sizeof(host), &https), 0);
	assert_string_equal(host, "fd00:ec2::23");
	assert_false(https);
	assert_int_equal(http_url_host("https://u@ec2.eu-north-1.amazonaws.com", host, sizeof(host), &https),
			 0);
	assert_string_equal(host, "ec2.eu-north-1.amazonaws.com");
	assert_true(https);
	assert_int_equal(http_url_host("http://127.0.0.1@evil.example/", host, sizeof(host), &https), 0);
	assert_string_equal(host, "evil.example");
	assert_int_equal(http_url_host("gopher://127.0.0.1/", host, sizeof(host), &https), -EINVAL);
}

/* A proxy of the environment is asked for the world, and never for what is on this machine or link. */
static void test_proxy(void **state)
{
	static const struct scripted_step steps[] = { { .status = 200, .body = "proxied" },
						      { .status = 200, .body = "direct" } };
	struct scripted_http *srv = scripted_start(steps, 2);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = { .method = "GET", .url = "http://203.0.113.10/x", .deadline_ms = soon() };
	struct vw_err err;

	assert_int_equal(setenv("http_proxy", scripted_url(srv), 1), 0);
	assert_int_equal(unsetenv("no_proxy") | unsetenv("NO_PROXY"), 0);
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_memory_equal(scripted_request(srv, 0), "GET http://203.0.113.10/x HTTP/1.1\r\n", 36);
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	req.url = scripted_url(srv);
	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	assert_string_equal(vw_buf_str(&resp.body), "direct");
	assert_int_equal(unsetenv("http_proxy"), 0);
	http_free(h);
	scripted_stop(srv);
}

/* Sockets are closed when another program is started. */
static void test_close_on_exec(void **state)
{
	static const struct scripted_step steps[] = { { .status = 200, .body = "a" } };
	struct scripted_http *srv = scripted_start(steps, 1);
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	struct http *h = new_http(0);
	struct http_request req = { .method = "GET", .url = scripted_url(srv), .deadline_ms = soon() };
	struct vw_err err;
	int inet = 0;

	assert_int_equal(http_do(h, &req, &resp, &err), 0);
	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD), domain = 0;
		socklen_t len = sizeof(domain);

		if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
		    domain != AF_INET)
			continue;
		assert_true(flags & FD_CLOEXEC);
		inet++;
	}
	assert_true(inet >= 3); /* the listening one, and both ends of a connection */
	http_free(h);
	scripted_stop(srv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sigv4_vector), cmocka_unit_test(test_signatures_agree),
		cmocka_unit_test(test_answers),      cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_sent_once),    cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_proxy),        cmocka_unit_test(test_close_on_exec),
	};

	if (http_init_process() < 0)
		return 1;
	return cmocka_run_group_tests_name("cloud_http", tests, NULL, NULL);
}
