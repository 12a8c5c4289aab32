/* Settings: defaults, file, environment, what is refused and how it is said; docs/CONFIG.md is what the table prints. */
#include "daemon/config.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>

struct var {
	const char *name, *value;
};

/* getenv(3) takes no argument of ours, so the test's environment stands here. */
static const struct var *env;

static char *test_getenv(const char *name)
{
	for (const struct var *v = env; v && v->name; v++)
		if (!strcmp(v->name, name))
			return (char *)(uintptr_t)v->value;
	return NULL;
}

static int parse(const char *text, const struct var *vars, struct vwired_config **ret, struct vw_err *err)
{
	env = vars;
	return vwired_config_parse(text, strlen(text), "test.json", test_getenv, ret, err);
}

static struct vwired_config *good(const char *text, const struct var *vars)
{
	struct vwired_config *c = NULL;
	struct vw_err err = { 0 };

	if (parse(text, vars, &c, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	assert_non_null(c);
	return c;
}

static void config_freep(struct vwired_config **c)
{
	vwired_config_free(*c);
}
#define auto_config __attribute__((cleanup(config_freep))) struct vwired_config

static void test_defaults(void **state)
{
	auto_config *c = good("{}", NULL);

	assert_string_equal(c->run_dir, "/run/vpcwire");
	assert_int_equal(c->log_level, VW_LOG_INFO);
	assert_false(c->prefix_delegation);
	assert_int_equal(c->warm_eni_target, 1);
	assert_int_equal(c->warm_prefix_target, 1);
	assert_int_equal(c->warm_ip_target + c->minimum_ip_target + c->max_eni + c->max_pods, 0);
	assert_int_equal(c->ip_cooldown_s, 30);
	assert_true(c->enable_ipv4);
	assert_false(c->enable_ipv6);
	assert_int_equal(c->eni_mtu, 9001);
	assert_int_equal(c->pod_mtu, 9001);
	assert_string_equal(c->veth_prefix, "eni");
	assert_true(c->node_port_support);
	assert_int_equal(c->connmark, 0x80);
	assert_int_equal(c->randomize_snat, CONFIG_SNAT_PRNG);
}

static void test_file(void **state)
{
	auto_config *c = good("{\"Prefix_Delegation\": \"true\", \"warm_ip_target\": \"7\", \"eni_mtu\": 1500, \"log_level\": \"DEBUG\","
			      " \"exclude_snat_cidrs\": [\"192.168.0.0/16\", \"172.16.0.0/12\"], \"connmark\": \"0x100\","
			      " \"security_groups\": [\"sg-1\"], \"additional_eni_tags\": {\"team\": \"net\"}, \"max_pods\": null}", NULL);

	assert_true(c->prefix_delegation);
	assert_int_equal(c->warm_ip_target, 7);
	assert_int_equal(c->pod_mtu, 1500);
	assert_int_equal(c->log_level, VW_LOG_DEBUG);
	assert_int_equal(c->n_exclude_snat_cidrs, 2);
	assert_int_equal(c->exclude_snat_cidrs[1].len, 12);
	assert_int_equal(c->connmark, 0x100);
	assert_int_equal(c->n_security_groups, 1);
	assert_string_equal(c->security_groups[0], "sg-1");
	assert_int_equal(c->n_additional_eni_tags, 1);
	assert_string_equal(c->additional_eni_tags[0].value, "net");
	assert_int_equal(c->max_pods, 0);
}

/* Setting a target, even to its default, is wanting aws-node's arithmetic; null and an empty variable set nothing. */
static void test_targets_follow_demand_until_one_is_given(void **state)
{
	static const struct {
		const char *text;
		struct var vars[2];
		bool automatic;
	} rows[] = {
		{ "{}", { { 0 } }, true },
		{ "{\"max_pods\": 110, \"prefix_delegation\": true}", { { "MAX_ENI", "3" } }, true },
		{ "{\"warm_ip_target\": null}", { { "WARM_ENI_TARGET", "" } }, true },
		{ "{\"warm_eni_target\": 1}", { { 0 } }, false },
		{ "{\"WARM_IP_TARGET\": 0}", { { 0 } }, false },
		{ "{\"minimum_ip_target\": \"9\"}", { { 0 } }, false },
		{ "{}", { { "WARM_PREFIX_TARGET", "1" } }, false },
		{ "{}", { { "WARM_IP_TARGET", "2" } }, false },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		auto_config *c = good(rows[i].text, rows[i].vars);

		if (c->warm_auto != rows[i].automatic)
			fail_msg("row %zu: warm_auto is %d", i, c->warm_auto);
	}
}

static void test_environment_wins(void **state)
{
	static const struct var vars[] = {
		{ "WARM_IP_TARGET", "5" }, { "ENABLE_PREFIX_DELEGATION", "true" }, { "MAX_ENI", "-1" },
		{ "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "10.1.0.0/16 , 10.2.0.0/16," },
		{ "ADDITIONAL_ENI_TAGS", "{\"a\": \"b\"}" }, { "AWS_DEFAULT_REGION", "eu-west-1" }, { "WARM_ENI_TARGET", "" },
		{ "AWS_VPC_K8S_CNI_LOGLEVEL", "WARN" }, { "ENABLE_IPv6", "true" }, { "ENABLE_IPv4", "false" }, { 0 },
	};
	auto_config *c = good("{\"warm_ip_target\": 9, \"exclude_snat_cidrs\": [\"172.16.0.0/12\"], \"max_eni\": 4}", vars);

	assert_int_equal(c->warm_ip_target, 5);
	assert_true(c->prefix_delegation);
	assert_int_equal(c->max_eni, 0);        /* aws-node's "no limit" */
	assert_int_equal(c->n_exclude_snat_cidrs, 2);
	assert_int_equal(c->exclude_snat_cidrs[0].ip.b[1], 1);
	assert_string_equal(c->additional_eni_tags[0].key, "a");
	assert_string_equal(c->region, "eu-west-1");
	assert_int_equal(c->warm_eni_target, 1);        /* empty is not set */
	assert_int_equal(c->log_level, VW_LOG_WARN);
	assert_true(c->enable_ipv6);
	assert_false(c->enable_ipv4);
}

static void test_one_switch_brings_others(void **state)
{
	auto_config *imds = good("{\"imds_only\": true}", NULL), *off = good("{\"disable_provisioning\": true}", NULL);
	auto_config *plain = good("{}", NULL);

	assert_true(imds->disable_provisioning && imds->disable_leaked_eni_cleanup);
	assert_true(off->disable_leaked_eni_cleanup && !off->imds_only);
	assert_false(plain->disable_provisioning || plain->disable_leaked_eni_cleanup || plain->imds_only);
	assert_true(plain->manage_untagged_eni && plain->subnet_discovery);
}

/* Each names where, which key, what was found and what is wanted. */
static void test_refused(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" },     /* nothing at all: defaults */
		{ "[]", "test.json: wanted one JSON object" },
		{ "{\"warm_ip_targett\": 1}", "test.json: unknown key 'warm_ip_targett'; did you mean 'warm_ip_target'?" },
		{ "{\"mtu\": 1500}", "unknown key 'mtu'; did you mean" },
		{ "{\"warm_ip_target\": -1}", "test.json: warm_ip_target is '-1', wanted a whole number from 0 to 4096" },
		{ "{\"warm_ip_target\": 1.5}", "wanted a whole number from 0 to 4096" },
		{ "{\"warm_ip_target\": 99999999999999999999}", "test.json" },
		{ "{\"eni_mtu\": 100}", "test.json: eni_mtu is '100', wanted a whole number from 576 to 9001" },
		{ "{\"prefix_delegation\": \"maybe\"}", "test.json: prefix_delegation is 'maybe', wanted true or false" },
		{ "{\"prefix_delegation\": {}}", "prefix_delegation is '{}', wanted true or false" },
		{ "{\"log_level\": \"loud\"}", "log_level is 'loud', wanted one of: error, warn, info, debug" },
		{ "{\"log_level\": 3}", "log_level is 3, wanted a string" },
		{ "{\"exclude_snat_cidrs\": [\"10.0.0.1/8\"]}", "exclude_snat_cidrs has '10.0.0.1/8', wanted at most 64 IPv4 ranges" },
		{ "{\"exclude_snat_cidrs\": [\"fd00::/8\"]}", "exclude_snat_cidrs has 'fd00::/8'" },
		{ "{\"exclude_snat_cidrs\": [7]}", "something that is not a string" },
		{ "{\"security_groups\": [\"default\"]}", "security_groups has 'default', wanted at most 16 ids like sg-" },
		{ "{\"additional_eni_tags\": {\"x.k8s.amazonaws.com/y\": \"z\"}}", "additional_eni_tags has 'x.k8s.amazonaws.com/y'" },
		{ "{\"additional_eni_tags\": {\"n\": 1}}", "additional_eni_tags has 'n'" },
		{ "{\"additional_eni_tags\": []}", "additional_eni_tags" },
		{ "{\"connmark\": \"0x81\"}", "connmark is '0x81', wanted one bit from 0x80" },
		{ "{\"connmark\": \"0x40\"}", "connmark is '0x40', wanted one bit from 0x80" },
		{ "{\"pod_mtu\": 1500, \"eni_mtu\": 1400}", "pod_mtu is 1500, wanted 576 to eni_mtu (1400)" },
		{ "{\"veth_prefix\": \"eth\"}", "veth_prefix 'eth' is the start of other interfaces' names" },
		{ "{\"veth_prefix\": \"toolong\"}", "veth_prefix is longer than 4 characters" },
		{ "{\"veth_prefix\": \"a\\n;\"}", "is no start of an interface name" },
		{ "{\"run_dir\": \"run\"}", "must be absolute paths" },
		{ "{\"endpoint_ec2\": \"localhost:80\"}", "endpoint_ec2 is 'localhost:80', wanted http://" },
		{ "{\"enable_ipv4\": false, \"enable_ipv6\": true, \"custom_networking\": true}", "custom_networking needs enable_ipv4" },
		{ "{\"enable_ipv4\": false}", "enable_ipv4 and enable_ipv6 are both false" },
		{ "{\"enable_ipv6\": true, \"pod_mtu\": 1279}", "pod_mtu is 1279, IPv6 (enable_ipv6) needs 1280" },
		{ "{\"warm_ip_target\": 1, \"warm_ip_target\": 2}", "test.json" },
		{ "{\"warm_ip_target\": 1", "test.json" },
		{ "{\"warm_ip_target\": 20, \"max_pods\": 10}", "warm_ip_target is 20, more than max_pods (10) can use" },
		{ "{\"minimum_ip_target\": 11, \"max_pods\": 10}", "minimum_ip_target is 11, more than max_pods (10) can use" },
		{ "{\"warm_prefix_target\": 9, \"prefix_delegation\": true, \"max_pods\": 110}",
		  "warm_prefix_target is 9, more than max_pods (110) can use" },
		{ "{\"warm_eni_target\": 3, \"max_eni\": 2}", "test.json: warm_eni_target is 3, more than max_eni (2) allows" },
		{ "{\"custom_networking\": true, \"max_eni\": 1}", "max_eni is 1, but with custom_networking" },
		{ "{\"custom_networking\": true, \"subnet_id\": \"subnet-1\"}", "subnet_id is set, but with custom_networking" },
		{ "{\"custom_networking\": true, \"security_groups\": [\"sg-1\"]}", "security_groups is set, but with" },
		{ "{\"subnet_id\": \"default\"}", "subnet_id is 'default', wanted an id like subnet-0123abcd" },
		{ "{\"subnet_retry_s\": 0}", "subnet_retry_s is '0', wanted a whole number from 1 to 86400" },
		{ "{\"policy_dir\": \"policy.d\"}", "must be absolute paths" },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vwired_config *c = NULL, *untouched = NULL;
		struct vw_err err = { 0 };
		int r = parse(rows[i].text, NULL, &c, &err);

		if (!*rows[i].want) {
			assert_int_equal(r, 0);
			vwired_config_free(c);
			continue;
		}
		assert_true(r < 0);
		assert_int_equal(err.eno, -r);
		assert_ptr_equal(c, untouched);
		if (!strstr(err.msg, rows[i].want))
			fail_msg("%s: '%s', wanted '%s'", rows[i].text, err.msg, rows[i].want);
	}
}

static void test_bad_environment_names_the_variable(void **state)
{
	static const struct var warm[] = { { "WARM_IP_TARGET", "ten" }, { 0 } };
	static const struct var eni[] = { { "MAX_ENI", "-2" }, { 0 } }, both[] = { { "WARM_IP_TARGET", "9" }, { "MAX_PODS", "8" }, { 0 } };
	static const struct var tags[] = { { "ADDITIONAL_ENI_TAGS", "{" }, { 0 } };
	struct vwired_config *c = NULL;
	struct vw_err err;

	assert_true(parse("{}", warm, &c, &err) < 0);
	assert_string_equal(err.msg, "WARM_IP_TARGET: warm_ip_target is 'ten', wanted a whole number from 0 to 4096");
	assert_true(parse("{}", eni, &c, &err) < 0);
	assert_string_equal(err.msg, "MAX_ENI: max_eni is '-2', wanted a whole number from 0 to 64");
	assert_true(parse("{}", both, &c, &err) < 0);
	assert_string_equal(err.msg, "test.json: warm_ip_target is 9, more than max_pods (8) can use");
	assert_true(parse("{}", tags, &c, &err) < 0);
	assert_non_null(strstr(err.msg, "ADDITIONAL_ENI_TAGS"));
	assert_null(c);
}

static void test_lists_have_an_end(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vwired_config *c = NULL;
	struct vw_err err;

	vw_buf_puts(&b, "{\"exclude_snat_cidrs\": [");
	for (int i = 0; i < CONFIG_MAX_CIDRS + 1; i++)
		vw_buf_printf(&b, "%s\"10.%d.0.0/16\"", i ? "," : "", i);
	vw_buf_puts(&b, "]}");
	assert_true(parse(vw_buf_str(&b), NULL, &c, &err) < 0);
	assert_non_null(strstr(err.msg, "wanted at most 64"));
}

static void test_load(void **state)
{
	struct vwired_config *c = NULL;
	char path[] = "/tmp/vpcwire-test-config-XXXXXX";
	vw_auto_close int fd = mkstemp(path);
	struct vw_err err;

	assert_true(fd >= 0);
	assert_int_equal(vwired_config_load(path, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "is empty"));
	assert_int_equal(write(fd, "{\"max_pods\": 29}", 16), 16);
	assert_int_equal(vwired_config_load(path, &c, &err), 0);
	assert_int_equal(c->max_pods, 29);
	vwired_config_free(c);
	unlink(path);
	assert_int_equal(vwired_config_load(path, &c, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
}

static void test_docs_are_up_to_date(void **state)
{
	vw_auto_buf struct vw_buf want = VW_BUF_INIT, have = VW_BUF_INIT;
	struct vw_err err;

	assert_int_equal(vwired_config_print_docs(&want), 0);
	if (vw_read_file("docs/CONFIG.md", 1 << 20, &have, &err) < 0)
		fail_msg("%s (run from the top of the repository)", err.msg);
	if (strcmp(vw_buf_str(&want), vw_buf_str(&have)) != 0)
		fail_msg("docs/CONFIG.md is not what the table in daemon/config.c says: run `make docs`");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_targets_follow_demand_until_one_is_given),
		cmocka_unit_test(test_environment_wins),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_one_switch_brings_others),
		cmocka_unit_test(test_bad_environment_names_the_variable),
		cmocka_unit_test(test_lists_have_an_end),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_docs_are_up_to_date),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
