/* The CNI library by itself: environment, CNI_ARGS, configuration, results of every version, errors. */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/conf.h"
#include "lib/cni/env.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/cni/wish.h"
#include "lib/json/json.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>

/* --- environment */

static void environments(void **state)
{
	static const struct {
		const char *env[8];
		int code;
		const char *why;
	} rows[] = {
		{{"CNI_COMMAND=ADD", "CNI_CONTAINERID=c", "CNI_NETNS=/n", "CNI_IFNAME=eth0", "CNI_PATH=/p"},
		 0,
		 NULL},
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=eth0", "CNI_PATH=/p"}, 0, NULL},
		{{"CNI_COMMAND=VERSION"}, 0, NULL},
		{{"X=1"}, 0, NULL},
		{{"CNI_COMMAND="}, 0, NULL},
		{{"CNI_COMMAND=STATUS"}, 4, "[CNI_PATH]"},
		{{"CNI_COMMAND=GC"}, 4, "[CNI_PATH]"},
		{{"CNI_COMMAND=ADD"}, 4, "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing"},
		{{"CNI_COMMAND=CHECK", "CNI_CONTAINERID=c", "CNI_IFNAME=e", "CNI_PATH=/p"}, 4, "[CNI_NETNS]"},
		{{"CNI_COMMAND=add"}, 4, "unknown CNI_COMMAND: add"},
		{{"CNI_COMMAND"}, 0, NULL}, /* no '=': not a variable */
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=a/b", "CNI_IFNAME=eth0", "CNI_PATH=/p"},
		 4,
		 "containerID"},
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=sixteen.bytes.00", "CNI_PATH=/p"},
		 4,
		 "too long"},
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=..", "CNI_PATH=/p"}, 4, ". or .."},
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=a b", "CNI_PATH=/p"}, 4, "whitespace"},
		{{"CNI_COMMAND=ADD", "CNI_CONTAINERID=c", "CNI_IFNAME=eth%d", "CNI_NETNS=/n", "CNI_PATH=/p"}, 4, "contains %"},
		{{"CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=eth%d", "CNI_PATH=/p"}, 0, NULL},
		{{"CNI_COMMANDS=ADD"}, 0, NULL},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_cni_env env, before;
		struct vw_err err = {0};
		int r;

		memset(&env, 0xa5, sizeof(env));
		before = env;
		r = vw_cni_env_parse((char *const *)(uintptr_t)rows[i].env, &env, &err);
		assert_int_equal(r, rows[i].code ? -EINVAL : 0);
		if (!rows[i].code)
			continue;
		assert_memory_equal(&env, &before, sizeof(env));
		assert_int_equal(err.cni, rows[i].code);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("row %zu: %s", i, err.msg);
	}
}

static void environment_values(void **state)
{
	const char *const envp[] = {
		"CNI_COMMAND=ADD", "CNI_CONTAINERID=c", "CNI_NETNS=/n=1",          "CNI_IFNAME=eth0",
		"CNI_PATH=/p",     "CNI_ARGS=A=B",      "CNI_NETNS_OVERRIDE=TRUE", NULL};
	struct vw_cni_env env;
	struct vw_err err;

	assert_int_equal(vw_cni_env_parse((char *const *)(uintptr_t)envp, &env, &err), 0);
	assert_int_equal(env.cmd, VW_CNI_CMD_ADD);
	assert_string_equal(env.netns, "/n=1");
	assert_string_equal(env.args, "A=B");
	assert_true(env.netns_override);
	assert_int_equal(vw_cni_cmd_since(VW_CNI_CMD_CHECK), VW_CNI_0_4_0);
	assert_int_equal(vw_cni_cmd_since(VW_CNI_CMD_GC), VW_CNI_1_1_0);
}

static void own_arguments(void **state)
{
	static const char *const own[] = {"BranchVlanID", "IPAddresses", NULL};
	struct vw_cni_args args;
	struct vw_err err;
	char value[12];

	assert_int_equal(vw_cni_args_parse("K8S_POD_NAME=p;BranchVlanID=7;IPAddresses=10.0.0.1/24", own, &args, &err), 0);
	assert_int_equal(vw_cni_arg(&args, "BranchVlanID", value, sizeof(value), &err), 1);
	assert_string_equal(value, "7");
	assert_int_equal(vw_cni_arg(&args, "BranchVlan", value, sizeof(value), &err), 0);
	assert_string_equal(value, "");
	assert_int_equal(vw_cni_arg(&args, "IPAddresses", value, sizeof(value), &err), 1);
	assert_int_equal(vw_cni_arg(&args, "IPAddresses", value, 11, &err), -EINVAL);
	assert_int_equal(err.cni, VW_CNI_INVALID_ENV);
	assert_int_equal(vw_cni_args_parse("BranchVlanID=7", NULL, &args, &err), -EINVAL);
	assert_int_equal(vw_cni_args_parse("", own, &args, &err), 0);
	assert_int_equal(vw_cni_arg(&args, "BranchVlanID", value, sizeof(value), &err), 0);
}

static void arguments(void **state)
{
	static const struct {
		const char *text, *ns, *name, *uid;
	} rows[] = {
		{"", "", "", ""},
		{"K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c;K8S_POD_INFRA_CONTAINER_ID=d", "a", "b",
		 "c"},
		{"X=1;IgnoreUnknown=1;K8S_POD_NAME=b", "", "b", ""},
		{"IgnoreUnknown=TRUE;X=", "", "", ""},
		{"K8S_POD_NAME=;K8S_POD_NAMESPACE=a", "a", "", ""},
		{"X=1", NULL, NULL, NULL},
		{"A==B;IgnoreUnknown=1", NULL, NULL, NULL},
		{"K8S_POD_NAME", NULL, NULL, NULL},
		{"K8S_POD_NAME=a;", NULL, NULL, NULL},
		{";", NULL, NULL, NULL},
		{"IgnoreUnknown=x", NULL, NULL, NULL},
		{"k8s_pod_name=a", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_cni_args args, before;
		struct vw_err err;

		memset(&args, 0xa5, sizeof(args));
		before = args;
		if (rows[i].ns) {
			assert_int_equal(vw_cni_args_parse(rows[i].text, NULL, &args, &err), 0);
			assert_string_equal(args.pod_namespace, rows[i].ns);
			assert_string_equal(args.pod_name, rows[i].name);
			assert_string_equal(args.pod_uid, rows[i].uid);
		} else {
			assert_int_equal(vw_cni_args_parse(rows[i].text, NULL, &args, &err), -EINVAL);
			assert_int_equal(err.cni, VW_CNI_INVALID_ENV);
			assert_memory_equal(&args, &before, sizeof(args));
		}
	}
}

static void long_arguments(void **state)
{
	char text[1000] = "K8S_POD_NAME=";
	struct vw_cni_args args;
	struct vw_err err;

	memset(text + strlen(text), 'x', 400);
	assert_int_equal(vw_cni_args_parse(text, NULL, &args, &err), -EINVAL);
	memset(text, 'x', sizeof(text) - 2);
	text[500] = '=';
	assert_int_equal(vw_cni_args_parse(text, NULL, &args, &err),
			 -EINVAL); /* an unknown key too long to quote */
}

/* --- configuration */

static void good_conf(void **state)
{
	static const char text[] = "{\"CniVersion\":\"0.4.0\",\"NAME\":\"vpc\",\"type\":\"vpcwire\",\"mtu\":"
				   "\"1450\",\"socket\":\"/s\","
				   "\"attach\":\"tcx\",\"timeout_ms\":\"500\",\"log_level\":\"DEBUG\",\"log_"
				   "file\":\"/l\",\"dns\":{},"
				   "\"prevResult\":null,\"other\":[{}]}";
	struct vw_cni_conf c;
	struct vw_err err;

	assert_int_equal(vw_cni_conf_parse(text, strlen(text), false, &c, &err), 0);
	assert_int_equal(c.version, VW_CNI_0_4_0);
	assert_string_equal(c.name, "vpc");
	assert_string_equal(c.socket, "/s");
	assert_string_equal(c.log_file, "/l");
	assert_int_equal(c.mtu, 1450);
	assert_int_equal(c.timeout_ms, 500);
	assert_int_equal(c.attach, VW_CNI_ATTACH_TCX);
	assert_int_equal(c.log_level, VW_LOG_DEBUG);
	assert_non_null(c.dns);
	assert_null(c.prev_result);
	vw_cni_conf_done(&c);
	vw_cni_conf_done(&c);
}

static void names_of_aws_node(void **state)
{
	static const struct {
		const char *text, *file;
		enum vw_log_level level;
	} rows[] = {
		{"{\"name\":\"v\",\"pluginLogFile\":\"/a\",\"pluginLogLevel\":\"DEBUG\"}", "/a", VW_LOG_DEBUG},
		{"{\"name\":\"v\",\"pluginLogFile\":\"/a\",\"pluginLogLevel\":\"Fatal\"}", "/a", VW_LOG_INFO},
		{"{\"name\":\"v\",\"pluginLogFile\":\"stderr\",\"pluginLogLevel\":5}", NULL, VW_LOG_INFO},
		{"{\"name\":\"v\",\"pluginLogFile\":\"/a\",\"log_file\":\"/l\",\"pluginLogLevel\":\"DEBUG\",\"log_level\":\"error\"}", "/l",
		 VW_LOG_ERROR},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_cni_conf c;
		struct vw_err err;

		assert_int_equal(vw_cni_conf_parse(rows[i].text, strlen(rows[i].text), false, &c, &err), 0);
		if (rows[i].file)
			assert_string_equal(c.log_file, rows[i].file);
		else
			assert_null(c.log_file);
		assert_int_equal(c.log_level, rows[i].level);
		vw_cni_conf_done(&c);
	}
}

static void defaults(void **state)
{
	struct vw_cni_conf c;
	struct vw_err err;

	assert_int_equal(vw_cni_conf_parse("{\"name\":\"v\"}", 12, false, &c, &err), 0);
	assert_int_equal(c.version, VW_CNI_0_1_0);
	assert_null(c.socket);
	assert_null(c.log_file);
	assert_int_equal(c.mtu, 0);
	assert_int_equal(c.timeout_ms, VW_CNI_TIMEOUT_MS_DEFAULT);
	assert_int_equal(c.attach, VW_CNI_ATTACH_DEFAULT);
	vw_cni_conf_done(&c);
}

static void bad_conf(void **state)
{
	static const struct {
		const char *text;
		int code;
		bool ok_when_tolerant;
	} rows[] = {
		{"", 6, false},
		{"[]", 6, false},
		{"{\"cniVersion\":5,\"name\":\"v\"}", 6, false},
		{"{\"cniVersion\":\"2.0.0\",\"name\":\"v\"}", 1, false},
		{"{\"cniVersion\":\"1.1.0\"}", 7, false},
		{"{\"name\":5}", 7, false},
		{"{\"name\":\"a/b\"}", 7, false},
		{"{\"name\":\"v\",\"type\":5}", 7, false},
		{"{\"name\":\"v\",\"mtu\":\"x\"}", 7, true},
		{"{\"name\":\"v\",\"mtu\":575}", 7, true},
		{"{\"name\":\"v\",\"timeout_ms\":99}", 7, true},
		{"{\"name\":\"v\",\"attach\":\"x\"}", 7, true},
		{"{\"name\":\"v\",\"socket\":\"x\"}", 7, true},
		{"{\"name\":\"v\",\"log_level\":\"x\"}", 7, true},
		{"{\"name\":\"v\",\"log_file\":5}", 7, true},
		{"{\"name\":\"v\",\"dns\":[]}", 7, true},
		{"{\"name\":\"v\",\"ipam\":[]}", 7, true},
		{"{\"name\":\"v\",\"ipam\":{\"type\":5}}", 7, true},
		{"{\"name\":\"v\",\"runtimeConfig\":{\"dns\":[]}}", 7, true},
		{"{\"name\":\"v\",\"runtimeConfig\":{\"dns\":{\"servers\":[5]}}}", 7, true},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_cni_conf c, before;
		struct vw_err err;

		memset(&c, 0xa5, sizeof(c));
		before = c;
		assert_true(vw_cni_conf_parse(rows[i].text, strlen(rows[i].text), false, &c, &err) < 0);
		assert_int_equal(err.cni, rows[i].code);
		assert_memory_equal(&c, &before, sizeof(c));
		assert_int_equal(vw_cni_conf_parse(rows[i].text, strlen(rows[i].text), true, &c, &err) == 0,
				 rows[i].ok_when_tolerant);
		if (rows[i].ok_when_tolerant)
			vw_cni_conf_done(&c);
	}
}

static void dns_of_network_and_runtime(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"{\"name\":\"v\"}", NULL},
		{"{\"name\":\"v\",\"dns\":{\"domain\":\"d\"},\"runtimeConfig\":{}}", "{\"domain\":\"d\"}"},
		{"{\"name\":\"v\",\"dns\":{\"domain\":\"d\",\"nameservers\":[\"a\"]},\"runtimeConfig\":{\"dns\":{\"Servers\":[\"b\"],"
		 "\"searches\":[]}}}",
		 "{\"domain\":\"d\",\"nameservers\":[\"b\"]}"},
		{"{\"name\":\"v\",\"DNS\":{\"NameServers\":[\"a\"]},\"runtimeConfig\":{\"dns\":{\"servers\":[\"b\"],\"searches\":[\"s\"],"
		 "\"options\":[\"o\"]}}}",
		 "{\"nameservers\":[\"b\"],\"search\":[\"s\"],\"options\":[\"o\"]}"},
		{"{\"name\":\"v\",\"runtimeConfig\":{\"dns\":{\"servers\":null}}}", NULL},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		struct vw_cni_conf c;
		struct vw_err err;

		assert_int_equal(vw_cni_conf_parse(rows[i].text, strlen(rows[i].text), false, &c, &err), 0);
		assert_int_equal(c.dns != NULL, rows[i].want != NULL);
		if (c.dns) {
			assert_int_equal(vw_json_print(c.dns, 0, &b), 0);
			assert_string_equal(vw_buf_str(&b), rows[i].want);
		}
		vw_cni_conf_done(&c);
	}
}

/* --- wishes */

static int wish_of(const char *members, const char *args, unsigned int caps, struct vw_cni_wish *ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_cni_args a = {0};
	struct vw_cni_conf c;
	int r;

	vw_buf_printf(&b, "{\"name\":\"v\"%s%s}", *members ? "," : "", members);
	assert_int_equal(vw_cni_conf_parse(vw_buf_str(&b), b.len, false, &c, err), 0);
	assert_int_equal(vw_cni_args_parse(args, NULL, &a, err), 0);
	r = vw_cni_wish_parse(&c, &a, caps, ret, err);
	vw_cni_conf_done(&c);
	return r;
}

#define EVERYTHING (VW_CNI_CAP_IPS | VW_CNI_CAP_MAC | VW_CNI_CAP_BANDWIDTH | VW_CNI_CAP_PORT_MAPPINGS)

static void wishes(void **state)
{
	static const struct {
		const char *members, *args;
		const char *ip4, *ip6, *mac;
		bool optional;
	} rows[] = {
		{"", "", "", "", "", false},
		{"\"runtimeConfig\":null,\"args\":null", "", "", "", "", false},
		{"\"runtimeConfig\":{\"ips\":[\"10.0.0.1/24\",\"2001:db8::1\"],\"mac\":\"02:00:00:00:00:01\"}", "IP=10.0.0.9;MAC=x", "10.0.0.1",
		 "2001:db8::1", "02:00:00:00:00:01", false},
		{"\"runtimeConfig\":{\"ips\":[]},\"args\":{\"cni\":{\"ips\":[\"10.0.0.2\"]}}", "IP=10.0.0.9", "10.0.0.2", "", "", true},
		{"\"args\":{\"cni\":{\"ips\":[\"bad\",5,\"10.0.0.2\",\"10.0.0.3\"],\"mac\":\"bad\"}}", "MAC=02:00:00:00:00:02", "10.0.0.2", "",
		 "02:00:00:00:00:02", true},
		{"\"args\":{\"cni\":[]}", "IP=2001:db8::1,10.0.0.9", "10.0.0.9", "2001:db8::1", "", false},
		{"\"args\":[]", "IP=10.0.0.9/8", "10.0.0.9", "", "", false},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		char ip[VW_IP_STRLEN], mac[VW_MAC_STRLEN];
		const char *ip4 = "", *ip6 = "";
		struct vw_cni_wish w;
		struct vw_err err;
		char ip2[VW_IP_STRLEN];

		assert_int_equal(wish_of(rows[i].members, rows[i].args, EVERYTHING, &w, &err), 0);
		for (unsigned int k = 0; k < w.n_ip; k++) {
			if (w.ip[k].family == AF_INET)
				ip4 = vw_ip_str(&w.ip[k], ip);
			else
				ip6 = vw_ip_str(&w.ip[k], ip2);
		}
		assert_string_equal(ip4, rows[i].ip4);
		assert_string_equal(ip6, rows[i].ip6);
		assert_int_equal(w.ip_optional, rows[i].optional);
		assert_string_equal(w.has_mac ? vw_mac_str(&w.mac, mac) : "", rows[i].mac);
	}
}

static void rates(void **state)
{
	struct vw_cni_wish w;
	struct vw_err err;

	assert_int_equal(wish_of("\"runtimeConfig\":{\"Bandwidth\":{\"IngressRate\":\"1000\",\"ingressburst\":4294967294,\"egressRate\":"
				 "9223372036854775807,\"egressBurst\":34359738359}}", "", EVERYTHING, &w, &err), 0);
	assert_int_equal(w.to_pod.bits_per_s, 1000);
	assert_int_equal(w.to_pod.burst_bits, 4294967294);
	assert_int_equal(w.from_pod.bits_per_s, INT64_MAX);
	assert_int_equal(w.from_pod.burst_bits, 0);
}

static void wishes_that_cannot_be_met(void **state)
{
	static const struct {
		const char *members, *args;
		unsigned int caps;
		int code;
		const char *why;
	} rows[] = {
		{"\"runtimeConfig\":[]", "", EVERYTHING, 7, "runtimeConfig"},
		{"\"runtimeConfig\":{\"ips\":5}", "", EVERYTHING, 7, "ips"},
		{"\"runtimeConfig\":{\"ips\":[\"x\"]}", "", EVERYTHING, 7, "ips[0] is \"x\""},
		{"\"runtimeConfig\":{\"ips\":[\"10.0.0.1\",\"10.0.0.2\"]}", "", EVERYTHING, 2, "[\"10.0.0.1\",\"10.0.0.2\"]"},
		{"\"runtimeConfig\":{\"ips\":[\"10.0.0.1\"]}", "", 0, 2, "runtimeConfig.ips is [\"10.0.0.1\"]"},
		{"\"runtimeConfig\":{\"mac\":\"02:00:00:00:00:01\"}", "", 0, 2, "runtimeConfig.mac"},
		{"\"runtimeConfig\":{\"mac\":\"01:00:00:00:00:01\"}", "", EVERYTHING, 7, "unicast"},
		{"\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":1000}}", "", 0, 2, "runtimeConfig.bandwidth"},
		{"\"runtimeConfig\":{\"bandwidth\":[1]}", "", EVERYTHING, 7, "bandwidth"},
		{"\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":999}}", "", EVERYTHING, 7, "at least 1000"},
		{"\"runtimeConfig\":{\"bandwidth\":{\"egressBurst\":8}}", "", EVERYTHING, 7, "egressRate is not"},
		{"\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":1}]}", "", 0, 2, "portMappings is [{\"hostPort\":1}]"},
		{"\"runtimeConfig\":{\"ipRanges\":[[{}]]}", "", EVERYTHING, 2, "runtimeConfig.ipRanges"},
		{"\"runtimeConfig\":{\"deviceID\":\"0000:04:00.5\"}", "", EVERYTHING, 2, "0000:04:00.5"},
		{"", "IP=x", EVERYTHING, 4, "IP"},
		{"", "IP=10.0.0.1,10.0.0.2", EVERYTHING, 4, "IP"},
		{"", "IP=10.0.0.1", 0, 2, "IP=10.0.0.1"},
		{"", "MAC=x", EVERYTHING, 4, "MAC"},
		{"", "MAC=02:00:00:00:00:01", 0, 2, "MAC=02:00:00:00:00:01"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_cni_wish w, before;
		struct vw_err err;

		memset(&w, 0xa5, sizeof(w));
		before = w;
		assert_true(wish_of(rows[i].members, rows[i].args, rows[i].caps, &w, &err) < 0);
		assert_int_equal(err.cni, rows[i].code);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("row %zu: %s", i, err.msg);
		assert_memory_equal(&w, &before, sizeof(w));
	}
}

static void attachments(void **state)
{
	static const struct {
		const char *member;
		int r;
		size_t n;
		bool unknown;
	} rows[] = {
		{"\"x\":1", 0, 0, true},
		{"\"cni.dev/valid-attachments\":null", 0, 0, true},
		{"\"cni.dev/valid-attachments\":[]", 0, 0, false},
		{"\"cni.dev/attachments\":[{\"containerID\":\"a\",\"ifname\":\"e\"}]", 0, 1, false},
		{"\"cni.dev/"
		 "valid-attachments\":[{\"ContainerId\":\"a\",\"IfName\":\"e\"},{\"containerID\":\"b\","
		 "\"ifname\":\"e\"}]",
		 0, 2, false},
		{"\"cni.dev/valid-attachments\":[],\"cni.dev/"
		 "attachments\":[{\"containerID\":\"a\",\"ifname\":\"e\"}]",
		 0, 0, false},
		{"\"cni.dev/valid-attachments\":null,\"cni.dev/"
		 "attachments\":[{\"containerID\":\"a\",\"ifname\":\"e\"}]",
		 0, 1, false},
		{"\"cni.dev/valid-attachments\":{}", -EINVAL, 0, false},
		{"\"cni.dev/valid-attachments\":[null]", -EINVAL, 0, false},
		{"\"cni.dev/valid-attachments\":[{\"containerID\":\"a\"}]", -EINVAL, 0, false},
		{"\"cni.dev/valid-attachments\":[{\"containerID\":\"a\",\"ifname\":5}]", -EINVAL, 0, false},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_free struct vw_cni_attachment *list = NULL;
		struct vw_cni_conf c;
		struct vw_err err;
		char text[400];
		bool unknown = false;
		size_t n = 77;

		snprintf(text, sizeof(text), "{\"name\":\"v\",\"cniVersion\":\"1.1.0\",%s}", rows[i].member);
		assert_int_equal(vw_cni_conf_parse(text, strlen(text), true, &c, &err), 0);
		assert_int_equal(vw_cni_conf_attachments(&c, &list, &n, &unknown, &err), rows[i].r);
		assert_int_equal(n, rows[i].r ? 77 : rows[i].n);
		assert_int_equal(unknown, rows[i].unknown);
		if (n == 2)
			assert_string_equal(list[1].container_id, "b");
		vw_cni_conf_done(&c);
	}
}

/* --- results */

static struct vw_json *json_of(const char *text)
{
	struct vw_json *j = NULL;
	struct vw_err err;

	if (vw_json_parse(text, strlen(text), NULL, "text", &j, &err) < 0)
		fail_msg("%s", err.msg);
	return j;
}

#define FULL_1_1                                                                                             \
	"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"v0\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":"  \
	"9001},"                                                                                             \
	"{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:02\",\"mtu\":9001,\"sandbox\":\"/"                      \
	"n\",\"socketPath\":\"/s\",\"pciID\":\"0:1\"}],"                                                     \
	"\"ips\":[{\"interface\":1,\"address\":\"10.0.0.5/"                                                  \
	"32\",\"gateway\":\"169.254.1.1\"},{\"interface\":1,\"address\":\"2001:db8::5/128\"}],"              \
	"\"routes\":[{\"dst\":\"0.0.0.0/"                                                                    \
	"0\",\"gw\":\"169.254.1.1\",\"mtu\":1400,\"advmss\":1360,\"priority\":7,\"table\":0,\"scope\":0},"   \
	"{\"dst\":\"::/0\"}],\"dns\":{\"nameservers\":[\"10.0.0.2\"]}}"

static void results_in_every_version(void **state)
{
	static const struct {
		enum vw_cni_version v;
		const char *want;
	} rows[] = {
		{VW_CNI_1_1_0, FULL_1_1},
		{VW_CNI_1_0_0,
		 "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"v0\",\"mac\":\"02:00:00:00:00:01\"},"
		 "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:02\",\"sandbox\":\"/n\"}],"
		 "\"ips\":[{\"interface\":1,\"address\":\"10.0.0.5/"
		 "32\",\"gateway\":\"169.254.1.1\"},{\"interface\":1,\"address\":\"2001:db8::5/128\"}],"
		 "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"169.254.1.1\"},{\"dst\":\"::/"
		 "0\"}],\"dns\":{\"nameservers\":[\"10.0.0.2\"]}}"},
		{VW_CNI_0_4_0,
		 "{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"v0\",\"mac\":\"02:00:00:00:00:01\"},"
		 "{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:02\",\"sandbox\":\"/n\"}],"
		 "\"ips\":[{\"version\":\"4\",\"interface\":1,\"address\":\"10.0.0.5/"
		 "32\",\"gateway\":\"169.254.1.1\"},"
		 "{\"version\":\"6\",\"interface\":1,\"address\":\"2001:db8::5/128\"}],"
		 "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"169.254.1.1\"},{\"dst\":\"::/"
		 "0\"}],\"dns\":{\"nameservers\":[\"10.0.0.2\"]}}"},
		{VW_CNI_0_2_0,
		 "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.5/32\",\"gateway\":\"169.254.1.1\","
		 "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"169.254.1.1\"}]},\"ip6\":{\"ip\":\"2001:db8::5/"
		 "128\",\"routes\":[{\"dst\":\"::/0\"}]},"
		 "\"dns\":{\"nameservers\":[\"10.0.0.2\"]}}"},
	};
	vw_auto_json struct vw_json *j = json_of(FULL_1_1);
	vw_auto_cni_result struct vw_cni_result r = VW_CNI_RESULT_INIT;
	struct vw_err err;

	assert_int_equal(vw_cni_result_parse(j, VW_CNI_0_1_0, &r, &err), 0);
	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		assert_int_equal(vw_cni_result_print(&r, rows[i].v, &b, &err), 0);
		assert_string_equal(vw_buf_str(&b), rows[i].want);
	}
}

static void old_results_are_understood(void **state)
{
	vw_auto_json struct vw_json *j =
		json_of("{\"ip4\":{\"ip\":\"10.0.0.5/"
			"24\",\"gateway\":\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"
			"\"ip6\":{\"ip\":\"2001:db8::5/64\"}}");
	vw_auto_cni_result struct vw_cni_result r = VW_CNI_RESULT_INIT, newer = VW_CNI_RESULT_INIT;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;

	assert_int_equal(vw_cni_result_parse(j, VW_CNI_0_2_0, &r, &err), 0);
	assert_int_equal(vw_cni_result_print(&r, VW_CNI_1_1_0, &b, &err), 0);
	assert_string_equal(vw_buf_str(&b),
			    "{\"cniVersion\":\"1.1.0\",\"interfaces\":[],\"ips\":[{\"address\":\"10.0.0.5/"
			    "24\",\"gateway\":\"10.0.0.1\"},"
			    "{\"address\":\"2001:db8::5/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}");
	/* without a version of its own it has the configuration's */
	assert_int_equal(vw_cni_result_parse(j, VW_CNI_1_0_0, &newer, &err), 0);
	assert_int_equal(newer.n_ips, 0);
}

static void a_result_without_address(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_cni_result r = VW_CNI_RESULT_INIT;
	struct vw_err err;

	assert_int_equal(vw_cni_result_print(&r, VW_CNI_0_1_0, &b, &err), -EINVAL);
	assert_int_equal(b.len, 0);
	assert_int_equal(vw_cni_result_print(&r, VW_CNI_0_3_1, &b, &err), 0);
	assert_string_equal(vw_buf_str(&b), "{\"cniVersion\":\"0.3.1\",\"interfaces\":[],\"ips\":[]}");
}

static void bad_results(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"5", "object"},
		{"{\"cniVersion\":\"7\"}", "cniVersion"},
		{"{\"ips\":{}}", "'ips'"},
		{"{\"ips\":[5]}", "ips[0]"},
		{"{\"ips\":[{\"address\":\"10.0.0.5\"}]}", "address"},
		{"{\"ips\":[{\"address\":\"10.0.0.5/33\"}]}", "address"},
		{"{\"ips\":[{\"address\":\"10.0.0.5/32\",\"gateway\":\"x\"}]}", "gateway"},
		{"{\"ips\":[{\"address\":\"10.0.0.5/32\",\"interface\":0}]}", "interface"},
		{"{\"ips\":[{\"address\":\"10.0.0.5/32\",\"interface\":-1}]}", "interface"},
		{"{\"interfaces\":[{}]}", "interfaces[0]"},
		{"{\"interfaces\":[{\"name\":\"a\",\"mtu\":-1}]}", "mtu"},
		{"{\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"x\"}]}", "routes[1]"},
		{"{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"table\":\"x\"}]}", "table"},
		{"{\"dns\":5}", "dns"},
		{"{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"x\"}}", "ip4"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_json struct vw_json *j = json_of(rows[i].text);
		struct vw_cni_result r, before;
		struct vw_err err = {0};

		memset(&r, 0xa5, sizeof(r));
		before = r;
		assert_int_equal(vw_cni_result_parse(j, VW_CNI_1_1_0, &r, &err), -EINVAL);
		assert_memory_equal(&r, &before, sizeof(r));
		assert_int_equal(err.cni, VW_CNI_INVALID_CONFIG);
		if (!strstr(err.msg, rows[i].why) || strncmp(err.msg, "prevResult: ", 12))
			fail_msg("row %zu: %s", i, err.msg);
	}
}

static void lists_grow(void **state)
{
	vw_auto_cni_result struct vw_cni_result r = VW_CNI_RESULT_INIT;

	for (int i = 0; i < 1000; i++) {
		struct vw_cni_ip ip = {.iface = i};

		assert_int_equal(vw_cni_result_add_ip(&r, &ip), i);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(r.ips[i].iface, i);
}

/* --- documents */

static void error_objects(void **state)
{
	static const struct {
		const char *msg;
		int cni, eno;
		const char *want;
	} rows[] = {
		{"plain", 7, EINVAL,
		 "{\"cniVersion\":\"0.4.0\",\"code\":7,\"msg\":\"plain\",\"details\":\"\"}"},
		{"short\nand long", 0, ETIMEDOUT,
		 "{\"cniVersion\":\"0.4.0\",\"code\":11,\"msg\":\"short\",\"details\":\"and long\"}"},
		{"\"q\" \xff", 100, EEXIST,
		 "{\"cniVersion\":\"0.4.0\",\"code\":100,\"msg\":\"\\\"q\\\" ?\",\"details\":\"\"}"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		struct vw_err err;

		vw_err_set(&err, rows[i].eno, rows[i].cni, "%s", rows[i].msg);
		assert_int_equal(vw_cni_error_print(&err, VW_CNI_0_4_0, &b), 0);
		assert_string_equal(vw_buf_str(&b), rows[i].want);
	}
}

static void versions(void **state)
{
	enum vw_cni_version v = VW_CNI_NEWEST;

	for (int i = 0; i < VW_CNI_VERSIONS; i++) {
		assert_int_equal(vw_cni_version_parse(vw_cni_version_str((enum vw_cni_version)i), &v), 0);
		assert_int_equal(v, i);
	}
	assert_int_equal(vw_cni_version_parse("", &v), 0);
	assert_int_equal(v, VW_CNI_0_1_0);
	v = VW_CNI_0_4_0;
	assert_int_equal(vw_cni_version_parse("1.1", &v), -EINVAL);
	assert_int_equal(v, VW_CNI_0_4_0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environments),
		cmocka_unit_test(environment_values),
		cmocka_unit_test(arguments),
		cmocka_unit_test(own_arguments),
		cmocka_unit_test(long_arguments),
		cmocka_unit_test(good_conf),
		cmocka_unit_test(names_of_aws_node),
		cmocka_unit_test(defaults),
		cmocka_unit_test(bad_conf),
		cmocka_unit_test(dns_of_network_and_runtime),
		cmocka_unit_test(wishes),
		cmocka_unit_test(rates),
		cmocka_unit_test(wishes_that_cannot_be_met),
		cmocka_unit_test(attachments),
		cmocka_unit_test(results_in_every_version),
		cmocka_unit_test(old_results_are_understood),
		cmocka_unit_test(a_result_without_address),
		cmocka_unit_test(bad_results),
		cmocka_unit_test(lists_grow),
		cmocka_unit_test(error_objects),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests_name("cni", tests, NULL, NULL);
}
