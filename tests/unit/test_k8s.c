/* Kubernetes objects of a file: where each stands, what its kind is, and what is no object. */
#include "lib/k8s/objects.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int note(void *arg, const struct vw_k8s_object *obj, struct vw_err *err)
{
	struct vw_buf *out = arg;

	if (!strcmp(obj->kind, "Stop"))
		return vw_err_set(err, ECANCELED, 0, "stopped at %s", obj->path);
	vw_buf_printf(out, "%s%s/%s:%s", out->len ? " " : "", obj->version, obj->kind, obj->path);
	return 0;
}

static void test_walk(void **state)
{
	static const struct {
		const char *file, *text, *want;
	} rows[] = {
		{ "x.json", "", "" },
		{ "x.json", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", "v1/Pod:" },
		{ "x.json", "{\"kind\":\"Pod\"} {\"kind\":\"Node\",\"apiVersion\":\"v1\"}", "/Pod: v1/Node:[1]" },
		{ "x.json", "{\"kind\":\"List\",\"items\":[{\"kind\":\"A\"},{\"kind\":\"B\",\"apiVersion\":\"b/v1\"}]}",
		  "/A:items[0] b/v1/B:items[1]" },
		{ "x.json", "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[{},{\"kind\":\"Other\"}]}",
		  "v1/Pod:items[0] /Other:items[1]" },
		{ "x.json", "{\"kind\":\"A\"}{\"kind\":\"List\",\"items\":[{\"kind\":\"CList\",\"items\":[{}]}]}",
		  "/A: /C:[1].items[0].items[0]" },
		{ "x.json", "{\"kind\":\"List\",\"items\":[]}", "" },
		{ "x.yaml", "kind: A\n---\nkind: BList\nitems:\n- {}\n- {}\n---\n---\nkind: C\n", "/A: /B:[1].items[0] /B:[1].items[1] /C:[2]" },
		{ "x.yml", "{\"kind\":\"A\"}", "/A:" },
		{ "x.json", "{}", "error: x.json: an object without 'kind'" },
		{ "x.json", "{\"kind\":\"List\"}", "error: x.json: a list of objects without 'items'" },
		{ "x.json", "{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":3}]}",
		  "error: x.json: items[0]: a list of objects without 'items'" },
		{ "x.json", "{\"kind\":\"A\"}{\"kind\":\"List\",\"items\":[null]}", "error: x.json: [1].items[0]: wanted an object" },
		{ "x.yaml", "kind: A\n---\n- 1\n", "error: x.yaml: [1]: wanted an object" },
		{ "x.yaml", "just text", "error: x.yaml: wanted an object" },
		{ "x.json", "{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":["
			    "{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":[]}]}]}]}]}",
		  "error: x.json: items[0].items[0].items[0].items[0]: too many lists in lists" },
		{ "x.json", "{\"kind\":\"A\"}\n{\n\"kind\"\n", "error: x.json is not valid JSON: line 4: " },
		{ "x.json", "{\"kind\":\"A\"}\n7\n", "error: x.json is not valid JSON: line 2: " },
		{ "x.json", "{\"kind\":\"List\",\"items\":[{\"kind\":\"A\"},{\"kind\":\"Stop\"}]}", "error: stopped at items[1]" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_buf out = VW_BUF_INIT;
		struct vw_err err = { 0 };

		if (vw_k8s_walk(rows[i].file, rows[i].text, strlen(rows[i].text), note, &out, &err) < 0) {
			vw_buf_reset(&out);
			vw_buf_printf(&out, "error: %s", err.msg);
		}
		if (strncmp(vw_buf_str(&out), rows[i].want, strlen(rows[i].want)) != 0 || (!rows[i].want[0] && out.len))
			fail_msg("%s\n-> '%s'\nnot '%s'", rows[i].text, vw_buf_str(&out), rows[i].want);
		vw_buf_done(&out);
	}
}

static void test_names(void **state)
{
	static const char *const yes[] = { "a.json", "a.yaml", "a.yml", "a.b.json" };
	static const char *const no[] = { "", ".json", ".a.json", "a.jsonx", "json", "a.yaml~", "a.json.swp", ".yml" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(vw_k8s_is_manifest(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(vw_k8s_is_manifest(no[i]));
	assert_true(vw_k8s_is_group("a.b/v1", "a.b"));
	assert_false(vw_k8s_is_group("a.b", "a.b"));
	assert_false(vw_k8s_is_group("a.bc/v1", "a.b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("k8s", tests, NULL, NULL);
}
