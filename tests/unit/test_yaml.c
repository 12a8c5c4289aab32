/* YAML to JSON: what scalars become, anchors and merges, documents, and what is refused before it can do harm. */
#include "lib/yaml/yaml.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All documents of @text as JSON, one after another; "error: ..." when it ends in one. */
static char *read_all(const char *text, const struct vw_json_limits *lim)
{
	struct vw_buf out = VW_BUF_INIT;
	struct vw_json *json;
	struct vw_yaml *y;
	struct vw_err err = { 0 };
	int r = vw_yaml_new(text, strlen(text), lim, "x.yaml", &y, &err);

	while (r >= 0 && (r = vw_yaml_next(y, &json, &err)) > 0) {
		if (out.len)
			vw_buf_putc(&out, '\n');
		assert_int_equal(vw_json_print(json, 0, &out), 0);
		vw_json_free(json);
	}
	if (r < 0) {
		vw_buf_reset(&out);
		vw_buf_printf(&out, "error %d: %s", r, err.msg);
	}
	if (r != -EFBIG && strncmp(err.msg, "x.yaml is larger", 16) != 0)
		vw_yaml_free(y);
	vw_buf_puts(&out, "");
	return out.data ? vw_buf_take(&out) : strdup("");
}

static void test_values(void **state)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "", "" },
		{ "# nothing\n---\n...\n", "" },
		{ "a: 1", "{\"a\":1}" },
		{ "a: [1, -2, +3, 0x1F, 0o17, 017, 0]", "{\"a\":[1,-2,3,31,15,15,0]}" },
		{ "a: [08, 1_000, 0x, 0o, '1', \"1\", 9223372036854775808]",
		  "{\"a\":[\"08\",\"1_000\",\"0x\",\"0o\",\"1\",\"1\",\"9223372036854775808\"]}" },
		{ "a: [1.5, 1e3, .5, .inf, 10.0.0.0, 10.0.0.0/8, 1.]", "{\"a\":[1.5,1000.0,\".5\",\".inf\",\"10.0.0.0\",\"10.0.0.0/8\",\"1.\"]}" },
		{ "a: [true, yes, On, false, NO, off, y, n, 'true']", "{\"a\":[true,true,true,false,false,false,\"y\",\"n\",\"true\"]}" },
		{ "a: [~, null, 'null']\nb:", "{\"a\":[null,null,\"null\"],\"b\":null}" },
		{ "80: a\ntrue: b", "{\"80\":\"a\",\"true\":\"b\"}" },
		{ "a: !!str 5\nb: !!int '5'\nc: ! 5", "{\"a\":\"5\",\"b\":5,\"c\":\"5\"}" },
		{ "a: {}\nb: []\nc: {d: {e: [{}]}}", "{\"a\":{},\"b\":[],\"c\":{\"d\":{\"e\":[{}]}}}" },
		{ "a: |\n  x\n  y\nb: >\n  x\n  y", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
		{ "a: 1\n---\nb: 2\n---\n---\nc: 3\n", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}" },
		{ "a: &x {k: [1]}\nb: *x\nc: &y 7\nd: [*y, *x]", "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":7,\"d\":[7,{\"k\":[1]}]}" },
		{ "a: &x 1\nb: &x 2\nc: *x", "{\"a\":1,\"b\":2,\"c\":2}" },
		{ "base: &b {p: 1, q: 2}\nuse:\n  <<: *b\n  q: 3", "{\"base\":{\"p\":1,\"q\":2},\"use\":{\"q\":3,\"p\":1}}" },
		{ "use:\n  q: 3\n  <<: [{q: 1, r: 2}, {r: 9, s: 4}]", "{\"use\":{\"q\":3,\"r\":2,\"s\":4}}" },
		{ "use:\n  <<: &m {r: 1}\nagain: *m", "{\"use\":{\"r\":1},\"again\":{\"r\":1}}" },
		{ "{\"json\": [1, \"two\", null, true]}", "{\"json\":[1,\"two\",null,true]}" },
		{ "%YAML 1.1\n---\na: b", "{\"a\":\"b\"}" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = read_all(rows[i].yaml, NULL);

		if (strcmp(got, rows[i].json) != 0)
			fail_msg("%s\n-> '%s'\nnot '%s'", rows[i].yaml, got, rows[i].json);
		free(got);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml, *why;
	} rows[] = {
		{ "a: [1", "x.yaml is not valid YAML: line 2: " },
		{ "a: 1\n\tb: 2", "x.yaml is not valid YAML: line 2: " },
		{ "ok: 1\n---\na: 1\na: 2", "line 4: a key that stands there twice" },
		{ "? [a]\n: 1", "a key that is not a text" },
		{ "? {a: b}\n: 1", "a key that is not a text" },
		{ "k: &k x\n*k : 1", "an alias as a key" },
		{ "a: *nothing", "an alias of nothing that stands before it" },
		{ "a: &a [*a]", "an alias of nothing that stands before it" },
		{ "a: 1\n---\nb: &x 1\n---\nc: *x", "an alias of nothing that stands before it" },
		{ "a: !!binary aGk=", "a value that is not what its tag says" },
		{ "a: !mine x", "a tag of its own kind" },
		{ "a: !mine {}", "a tag of its own kind" },
		{ "a: !!int x", "a value that is not what its tag says" },
		{ "a: \"\\0\"", "a NUL character in a text" },
		{ "\"a\\0b\": 1", "a NUL character in a key" },
		{ "<<: 5", "<< with something that is not a mapping" },
		{ "<<: [5]", "<< with something that is not a mapping" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = read_all(rows[i].yaml, NULL);

		if (!strstr(got, rows[i].why) || strncmp(got, "error -74", 9) != 0)
			fail_msg("%s\n-> '%s'\nnot '%s'", rows[i].yaml, got, rows[i].why);
		free(got);
	}
}

/* A few lines that would be 10^9 values, and nests: bounded by numbers, not by memory. */
static void test_bombs(void **state)
{
	static const struct vw_json_limits small = { .max_bytes = 100, .max_depth = 5 };
	struct vw_buf text = VW_BUF_INIT;
	char *got;

	vw_buf_puts(&text, "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
	for (int i = 1; i < 10; i++) {
		vw_buf_printf(&text, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			vw_buf_printf(&text, "%s*a%d", k ? "," : "", i - 1);
		vw_buf_puts(&text, "]\n");
	}
	got = read_all(vw_buf_str(&text), NULL);
	assert_non_null(strstr(got, "aliases copy more than 65536 values"));
	free(got);

	/* few values, but long ones: 64 kB that would be 6 MB, in texts and in keys */
	for (int key = 0; key < 2; key++) {
		vw_buf_reset(&text);
		vw_buf_puts(&text, key ? "a: &a {? '" : "a: &a '");
		for (int i = 0; i < 65536; i++)
			vw_buf_putc(&text, 'x');
		vw_buf_puts(&text, key ? "' : 1}\nb: [" : "'\nb: [");
		for (int i = 0; i < 100; i++)
			vw_buf_puts(&text, "*a, ");
		vw_buf_puts(&text, "]\n");
		got = read_all(vw_buf_str(&text), NULL);
		assert_non_null(strstr(got, "aliases copy more than 65536 values"));
		free(got);
	}

	vw_buf_reset(&text);
	vw_buf_puts(&text, "a: &a {b: {c: {d: 1}}}\ne: {f: {g: *a}}\n");
	got = read_all(vw_buf_str(&text), &small);
	assert_non_null(strstr(got, "an alias nests deeper than 5 levels"));
	free(got);

	vw_buf_reset(&text);
	for (int i = 0; i < 300; i++)
		vw_buf_putc(&text, '[');
	got = read_all(vw_buf_str(&text), NULL);
	assert_non_null(strstr(got, "x.yaml is nested deeper than 64 levels"));
	free(got);
	got = read_all("[[[[[[1]]]]]]", &small);
	assert_non_null(strstr(got, "x.yaml is nested deeper than 5 levels"));
	free(got);
	got = read_all(vw_buf_str(&text), &small);
	assert_non_null(strstr(got, "x.yaml is larger than 100 bytes"));
	free(got);
	vw_buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bombs),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
