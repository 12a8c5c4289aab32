/* daemon/imds.c: the token's life, absent things, tries, and the parsers of lists. */
#include "daemon/http.h"
#include "daemon/imds.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"
#include "tests/unit/scripted_http.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct fixture {
	struct scripted_http *srv;
	struct http *http;
	struct imds *m;
};

static void start(struct fixture *f, const struct scripted_step *steps, size_t n)
{
	const struct http_options opt = { 0 };
	struct vw_err err;

	f->srv = scripted_start(steps, n);
	assert_int_equal(http_new(&opt, &f->http, &err), 0);
	assert_int_equal(imds_new(scripted_url(f->srv), f->http, &f->m, &err), 0);
}

static void stop(struct fixture *f)
{
	imds_free(f->m);
	http_free(f->http);
	scripted_stop(f->srv);
}

static uint64_t soon(void)
{
	return vw_mono_ms() + 30000;
}

static void expect_start(struct fixture *f, size_t i, const char *line)
{
	const char *got = scripted_request(f->srv, i);

	assert_non_null(got);
	assert_memory_equal(got, line, strlen(line));
}

static void test_token(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, "TOKEN1" }, { 200, "i-0123456789abcdef0" }, { 200, "m5.large\n" }, { 401, "" },
		{ 200, "TOKEN2" }, { 200, "eu-north-1" },          { 404, "" },
	};
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct fixture f;
	struct vw_err err;
	char v[64];

	start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(imds_get(f.m, "meta-data/instance-id", soon(), &text, &err), 1);
	assert_string_equal(vw_buf_str(&text), "i-0123456789abcdef0");
	expect_start(&f, 0, "PUT /latest/api/token HTTP/1.1\r\n");
	assert_string_equal(scripted_header(f.srv, 0, "X-aws-ec2-metadata-token-ttl-seconds", v, sizeof(v)),
			    "21600");
	expect_start(&f, 1, "GET /latest/meta-data/instance-id HTTP/1.1\r\n");
	assert_string_equal(scripted_header(f.srv, 1, "X-aws-ec2-metadata-token", v, sizeof(v)), "TOKEN1");

	assert_int_equal(imds_get(f.m, "meta-data/instance-type", soon(), &text, &err), 1);
	assert_string_equal(vw_buf_str(&text), "m5.large\n");
	assert_string_equal(scripted_header(f.srv, 2, "X-aws-ec2-metadata-token", v, sizeof(v)), "TOKEN1");

	assert_int_equal(imds_get(f.m, "meta-data/placement/region", soon(), &text, &err), 1);
	assert_string_equal(vw_buf_str(&text), "eu-north-1");
	expect_start(&f, 4, "PUT /latest/api/token ");
	assert_string_equal(scripted_header(f.srv, 5, "X-aws-ec2-metadata-token", v, sizeof(v)), "TOKEN2");

	assert_int_equal(imds_get(f.m, "meta-data/absent", soon(), &text, &err), 0);
	assert_int_equal(scripted_n(f.srv), 7);
	assert_int_equal(scripted_connections(f.srv), 1);
	stop(&f);
}

static void test_token_refused(void **state)
{
	static const struct scripted_step steps[] = {
		{ 403, "" }, { 404, "" }, { 200, "" }, { 200, "T" }, { 401, "" }, { 200, "U" }, { 401, "" },
	};
	static const struct {
		int r;
		const char *message;
	} want[] = {
		{ -EACCES, "instance metadata meta-data/mac: the service is switched off for this instance "
			   "(403); set its HttpEndpoint "
			   "to enabled" },
		{ -EIO, "instance metadata meta-data/mac: no session token: the service answered 404; "
			"version 2 is needed" },
		{ -EBADMSG, "instance metadata meta-data/mac: the session token is not usable (0 bytes)" },
		{ -EACCES, "instance metadata meta-data/mac: the service answered 401" },
	};
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct fixture f;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	for (size_t i = 0; i < VW_ARRAY_SIZE(want); i++) {
		struct vw_err err = { 0 };

		assert_int_equal(imds_get(f.m, "meta-data/mac", soon(), &text, &err), want[i].r);
		assert_string_equal(err.msg, want[i].message);
	}
	assert_int_equal(scripted_n(f.srv), VW_ARRAY_SIZE(steps));
	stop(&f);
}

static void test_tries(void **state)
{
	static const struct scripted_step steps[] = {
		{ 500, "" },  { .how = SCRIPTED_DROP },
		{ 200, "T" },               /* the token, third time */
		{ 503, "" },  { 200, "v" }, /* a value, second time */
		{ 503, "" },  { 503, "" },
		{ 503, "" }, /* never */
	};
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct fixture f;
	struct vw_err err;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(imds_get(f.m, "meta-data/mac", soon(), &text, &err), 1);
	assert_string_equal(vw_buf_str(&text), "v");
	assert_int_equal(imds_get(f.m, "meta-data/mac", soon(), &text, &err), -EIO);
	assert_string_equal(err.msg, "instance metadata meta-data/mac: the service answered 503");
	assert_int_equal(scripted_n(f.srv), VW_ARRAY_SIZE(steps));
	stop(&f);
}

static void test_identity(void **state)
{
	static const struct scripted_step good[] = {
		{ 200, "T" },          { 200, "i-0aa" }, { 200, "c5.large" },          { 200, "eu-north-1a" },
		{ 200, "eu-north-1" }, { 404, "" },      { 200, "02:00:00:00:00:09" }, { 200, "10.0.1.4" },
	};
	static const struct scripted_step lacking[] = { { 200, "T" }, { 200, "i-0aa" }, { 404, "" } };
	struct imds_identity id;
	struct fixture f;
	struct vw_err err;

	start(&f, good, VW_ARRAY_SIZE(good));
	assert_int_equal(imds_identity(f.m, soon(), &id, &err), 0);
	assert_string_equal(id.instance_id, "i-0aa");
	assert_string_equal(id.instance_type, "c5.large");
	assert_string_equal(id.az, "eu-north-1a");
	assert_string_equal(id.region, "eu-north-1");
	assert_string_equal(id.domain, "amazonaws.com");
	assert_int_equal(id.primary_mac.b[5], 9);
	assert_int_equal(vw_ip4_u32(&id.local_ipv4), 0x0a000104);
	stop(&f);
	start(&f, lacking, VW_ARRAY_SIZE(lacking));
	assert_int_equal(imds_identity(f.m, soon(), &id, &err), -ENODATA);
	assert_non_null(strstr(err.msg, "an EC2 metadata service?"));
	stop(&f);
}

static void test_eni(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, "T" },
		{ 200, "02:00:00:00:00:01/\n02:00:00:00:00:02/\n" },
		{ 200, "eni-0bb" },
		{ 200, "1" },
		{ 404, "" },
		{ 200, "subnet-0cc" },
		{ 200, "vpc-0dd" },
		{ 200, "123456789012" },
		{ 200, "10.0.1.0/24" },
		{ 200, "2600:1::/64" },
		{ 200, "10.0.0.0/16\n100.64.0.0/16" },
		{ 404, "" },
		{ 200, "10.0.1.5\n10.0.1.6" },
		{ 200, "2600:1::5" },
		{ 200, "10.0.1.16/28" },
		{ 404, "" },
		{ 200, "sg-1\nsg-2\n" },
		/* the second one has gone in between */
		{ 404, "" },
	};
	struct vw_mac macs[IMDS_MAX_MACS];
	struct imds_eni e;
	struct fixture f;
	struct vw_err err;
	size_t n;

	start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(imds_macs(f.m, soon(), macs, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(imds_eni(f.m, &macs[0], soon(), &e, &err), 1);
	expect_start(&f, 2, "GET /latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/interface-id ");
	assert_string_equal(e.id, "eni-0bb");
	assert_true(vw_mac_eq(&e.mac, &macs[0]));
	assert_int_equal(e.device, 1);
	assert_int_equal(e.card, 0);
	assert_string_equal(e.subnet_id, "subnet-0cc");
	assert_string_equal(e.vpc_id, "vpc-0dd");
	assert_string_equal(e.owner_id, "123456789012");
	assert_int_equal(e.subnet4.len, 24);
	assert_int_equal(e.n_subnet6, 1);
	assert_int_equal(e.n_vpc4, 2);
	assert_int_equal(e.n_vpc6, 0);
	assert_int_equal(e.n_ipv4, 2);
	assert_int_equal(vw_ip4_u32(&e.ipv4[1]), 0x0a000106);
	assert_int_equal(e.n_ipv6, 1);
	assert_int_equal(e.n_prefix4, 1);
	assert_int_equal(e.prefix4[0].len, 28);
	assert_int_equal(e.n_prefix6, 0);
	assert_int_equal(e.n_groups, 2);
	assert_string_equal(e.groups[1], "sg-2");
	assert_int_equal(imds_eni(f.m, &macs[1], soon(), &e, &err), 0);
	assert_int_equal(scripted_n(f.srv), VW_ARRAY_SIZE(steps));
	stop(&f);
}

/* What cannot be right is refused, with its name. */
static void test_bad_enis(void **state)
{
	static const struct {
		struct scripted_step steps[8];
		const char *message;
	} cases[] = {
		{ { { 200, "T" }, { 200, "eni-1" }, { 200, "x" } },
		  "device-number: 'x' is not a small number" },
		{ { { 200, "T" }, { 200, "eni-1" }, { 200, "256" } },
		  "device-number: '256' is not a small number" },
		{ { { 200, "T" }, { 200, "\n" } }, "interface-id is empty" },
		{ { { 200, "T" },
		    { 200, "eni-1" },
		    { 200, "1" },
		    { 404, "" },
		    { 200, "s" },
		    { 200, "v" },
		    { 404, "" },
		    { 200, "10.0.0.1/24" } },
		  "subnet-ipv4-cidr-block: '10.0.0.1/24' is not an IPv4 block" },
		{ { { 200, "T" },
		    { 200, "eni-0123456789012345678901234567890123456789012345678901234567890123456789" } },
		  "interface-id: a line of 74 characters" },
	};
	const struct vw_mac mac = { { 2 } };

	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		struct imds_eni e;
		struct fixture f;
		struct vw_err err = { 0 };

		start(&f, cases[i].steps, VW_ARRAY_SIZE(cases[i].steps));
		assert_int_equal(imds_eni(f.m, &mac, soon(), &e, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, cases[i].message));
		stop(&f);
	}
}

static void test_lists(void **state)
{
	vw_auto_buf struct vw_buf many = VW_BUF_INIT;
	struct vw_mac macs[IMDS_MAX_MACS];
	struct vw_cidr cidrs[2];
	struct vw_ip ips[2];
	struct vw_err err;
	size_t n = 9;

	assert_int_equal(imds_parse_macs("", macs, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(imds_parse_macs("02:00:00:00:00:01", macs, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(imds_parse_macs("02:00:00:00:00/", macs, &n, &err), -EBADMSG);
	assert_int_equal(n, 1);
	assert_int_equal(imds_parse_macs("/", macs, &n, &err), -EBADMSG);
	/* a p4d.24xlarge has 4 cards of 15 interfaces */
	for (unsigned int i = 0; i < 60; i++)
		vw_buf_printf(&many, "02:00:00:00:00:%02x/\n", i);
	assert_int_equal(imds_parse_macs(vw_buf_str(&many), macs, &n, &err), 0);
	assert_int_equal(n, 60);
	for (unsigned int i = 60; i <= IMDS_MAX_MACS; i++)
		vw_buf_printf(&many, "02:00:00:00:00:%02x/\n", i);
	assert_int_equal(imds_parse_macs(vw_buf_str(&many), macs, &n, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "more than 128 lines"));

	assert_int_equal(imds_parse_ips("10.0.0.1\r\n\n10.0.0.2\n", "x", AF_INET, ips, 2, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(imds_parse_ips("10.0.0.1\n10.0.0.2\n10.0.0.3", "x", AF_INET, ips, 2, &n, &err),
			 -EBADMSG);
	assert_int_equal(imds_parse_ips("::1", "x", AF_INET, ips, 2, &n, &err), -EBADMSG);
	assert_int_equal(imds_parse_ips("10.0.0.1 10.0.0.2", "x", AF_INET, ips, 2, &n, &err), -EBADMSG);
	assert_int_equal(imds_parse_ips("<html>", "x", AF_INET, ips, 2, &n, &err), -EBADMSG);

	assert_int_equal(imds_parse_cidrs("10.0.0.16/28", "x", AF_INET, cidrs, 2, &n, &err), 0);
	assert_int_equal(imds_parse_cidrs("10.0.0.17/28", "x", AF_INET, cidrs, 2, &n, &err), -EBADMSG);
	assert_int_equal(imds_parse_cidrs("10.0.0.16", "x", AF_INET, cidrs, 2, &n, &err), -EBADMSG);
	assert_int_equal(imds_parse_cidrs("2600::/80", "x", AF_INET, cidrs, 2, &n, &err), -EBADMSG);
	assert_string_equal(err.msg, "instance metadata x: '2600::/80' is not an IPv4 block");
}

static void test_endpoint(void **state)
{
	const struct http_options opt = { 0 };
	struct http *http = NULL;
	struct imds *m = NULL;
	struct vw_err err;

	assert_int_equal(http_new(&opt, &http, &err), 0);
	assert_int_equal(imds_new("http://[fd00:ec2::254]/", http, &m, &err), 0);
	imds_free(m);
	assert_int_equal(imds_new("169.254.169.254", http, &m, &err), -EINVAL);
	assert_int_equal(err.cni, VW_CNI_INVALID_CONFIG);
	assert_non_null(strstr(err.msg, "AWS_EC2_METADATA_SERVICE_ENDPOINT"));
	http_free(http);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),    cmocka_unit_test(test_token_refused),
		cmocka_unit_test(test_tries),    cmocka_unit_test(test_identity),
		cmocka_unit_test(test_eni),      cmocka_unit_test(test_lists),
		cmocka_unit_test(test_bad_enis), cmocka_unit_test(test_endpoint),
	};

	if (http_init_process() < 0)
		return 1;
	return cmocka_run_group_tests_name("imds", tests, NULL, NULL);
}
