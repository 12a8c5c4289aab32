/* Kubernetes objects: which ENIConfig a node gets, what is passed over, what is refused and how it is said. */
#include "daemon/manifest.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "k8s.amazonaws.com/eniConfig"
#define ENICONFIG(name, subnet) \
	"{\"apiVersion\":\"crd.k8s.amazonaws.com/v1alpha1\",\"kind\":\"ENIConfig\",\"metadata\":{\"name\":\"" name \
	"\"},\"spec\":{\"subnet\":\"" subnet "\",\"securityGroups\":[\"sg-1\",\"sg-2\"]}}"
#define NODE(name, labels, annotations, provider) \
	"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name "\",\"labels\":{" labels \
	"},\"annotations\":{" annotations "}},\"spec\":{\"providerID\":\"" provider "\"}}"

static const struct manifest_want want = { .node_name = "", .instance_id = "i-1", .host_name = "host1", .annotation = KEY, .label = KEY };

static void manifests_donep(struct manifests *m)
{
	manifests_done(m);
}
#define auto_manifests __attribute__((cleanup(manifests_donep))) struct manifests

static void take(struct manifests *m, const struct manifest_want *w, const char *text)
{
	struct vw_err err = { 0 };

	if (manifests_take(m, w, text, strlen(text), "x.json", &err) < 0)
		fail_msg("%s: %s", text, err.msg);
}

static void test_order_of_names(void **state)
{
	static const struct {
		const char *node, *config;
	} rows[] = {
		{ NODE("n", "\"vpc.amazonaws.com/externalEniConfig\":\"a\",\"" KEY "\":\"b\"", "\"" KEY "\":\"c\"", "aws:///z/i-1"), "a" },
		{ NODE("n", "\"" KEY "\":\"b\"", "\"" KEY "\":\"c\"", "aws:///z/i-1"), "c" },
		{ NODE("n", "\"" KEY "\":\"b\"", "", "aws:///z/i-1"), "b" },
		{ NODE("n", "", "", "aws:///z/i-1"), "default" },
		{ NODE("n", "\"" KEY "\":\"b\"", "", "aws:///z/i-11"), "default" },     /* another instance's node */
		{ NODE("host1", "\"" KEY "\":\"b\"", "", ""), "b" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_manifests m = { 0 };
		const struct manifest_eniconfig *c;
		struct vw_err err;

		take(&m, &want, ENICONFIG("a", "subnet-a") ENICONFIG("b", "subnet-b"));
		take(&m, &want, "{\"kind\":\"List\",\"items\":[" ENICONFIG("c", "subnet-c") "," ENICONFIG("default", "subnet-d") "]}");
		take(&m, &want, rows[i].node);
		c = manifests_eniconfig(&m, &err);
		assert_non_null(c);
		assert_string_equal(c->name, rows[i].config);
		assert_int_equal(c->n_groups, 2);
		assert_string_equal(c->groups[1], "sg-2");
	}
}

static void test_which_node(void **state)
{
	static const char nodes[] = "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"items\":["
		"{\"metadata\":{\"name\":\"host1\",\"labels\":{\"" KEY "\":\"by-host\"}}},"
		"{\"metadata\":{\"name\":\"named\",\"labels\":{\"" KEY "\":\"by-name\"}}},"
		"{\"metadata\":{\"name\":\"x\",\"labels\":{\"" KEY "\":\"by-id\"}},\"spec\":{\"providerID\":\"aws:///zone/i-1\"}}]}";
	struct manifest_want w = want;
	auto_manifests by_id = { 0 }, by_name = { 0 }, none = { 0 };
	struct vw_err err;

	take(&by_id, &w, nodes);
	assert_string_equal(by_id.node_config, "by-id");
	w.node_name = "named";
	take(&by_name, &w, nodes);
	assert_string_equal(by_name.node_config, "by-name");
	assert_null(manifests_eniconfig(&by_name, &err));
	assert_non_null(strstr(err.msg, "there is no ENIConfig 'by-name', which label " KEY " of Node named names"));
	w.node_name = "absent";
	take(&none, &w, nodes);
	assert_int_equal(none.fit, 0);
	assert_null(manifests_eniconfig(&none, &err));
	assert_non_null(strstr(err.msg, "neither this node's Node nor an ENIConfig 'default'"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "{", "x.json is not valid JSON" },
		{ "{}", "x.json: an object without 'kind'" },
		{ "[]", "wanted an object" },
		{ "{\"kind\":\"List\"}", "x.json: a list of objects without 'items'" },
		{ "{\"kind\":\"List\",\"items\":[3]}", "x.json: items[0]: wanted an object" },
		{ ENICONFIG("", "subnet-1"), "an ENIConfig without a usable metadata.name" },
		{ ENICONFIG("a", "sub-1"), "ENIConfig a: spec.subnet is 'sub-1', wanted an id like subnet-0123abcd" },
		{ ENICONFIG("a", "subnet-1") ENICONFIG("a", "subnet-2"), "ENIConfig a is there twice, the first in x.json" },
		{ "{\"apiVersion\":\"crd.k8s.amazonaws.com/v1alpha1\",\"kind\":\"ENIConfig\",\"metadata\":{\"name\":\"a\"},"
		  "\"spec\":{\"subnet\":\"subnet-1\",\"securityGroups\":[\"default\"]}}", "spec.securityGroups has 'default'" },
		{ "{\"apiVersion\":\"crd.k8s.amazonaws.com/v1alpha1\",\"kind\":\"ENIConfig\",\"metadata\":{\"name\":\"a\"},"
		  "\"spec\":{\"subnet\":\"subnet-1\",\"securityGroups\":\"sg-1\"}}", "spec.securityGroups is not a list" },
		{ NODE("host1", "", "", "") NODE("host1", "", "", ""), "this node's Node is there twice" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_manifests m = { 0 };
		struct vw_err err = { 0 };

		assert_true(manifests_take(&m, &want, rows[i].text, strlen(rows[i].text), "x.json", &err) < 0);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("%s: '%s', wanted '%s'", rows[i].text, err.msg, rows[i].why);
	}
}

static void test_others_are_passed_over(void **state)
{
	auto_manifests m = { 0 };

	take(&m, &want, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}"
			"{\"apiVersion\":\"example.com/v1\",\"kind\":\"ENIConfig\",\"metadata\":{\"name\":\"other\"}}\n");
	assert_int_equal(m.n, 0);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	assert_true(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path));
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_folder(void **state)
{
	static const char *const names[] = { "b.json", "a.yaml", "notes.txt", ".hidden.json" };
	char dir[] = "/tmp/vpcwire-test-manifest-XXXXXX", path[128];
	auto_manifests m = { 0 };
	struct vw_err err;

	assert_non_null(mkdtemp(dir));
	put(dir, "a.yaml", "---\napiVersion: crd.k8s.amazonaws.com/v1alpha1\nkind: ENIConfig\n"
			   "metadata: {name: a}\nspec: {subnet: subnet-a, securityGroups: [sg-1]}\n");
	put(dir, "b.json", NODE("host1", "\"" KEY "\":\"a\"", "", ""));
	put(dir, "notes.txt", "not JSON");
	put(dir, ".hidden.json", "not JSON");
	assert_int_equal(manifests_read(dir, &want, &m, &err), 0);
	assert_string_equal(manifests_eniconfig(&m, &err)->subnet, "subnet-a");
	/* all or nothing, and the file is named */
	put(dir, "b.json", "{");
	assert_true(manifests_read(dir, &want, &m, &err) < 0);
	assert_non_null(strstr(err.msg, "b.json is not valid JSON"));
	assert_int_equal(m.n, 1);
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(manifests_read(dir, &want, &m, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_names), cmocka_unit_test(test_which_node), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_others_are_passed_over), cmocka_unit_test(test_folder),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
