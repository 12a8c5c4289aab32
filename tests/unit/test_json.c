/* The JSON fence: caps, strictness, keys of any case, lenient numbers, messages, ownership. */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct vw_json *parse(const char *text)
{
	struct vw_json *j = NULL;
	struct vw_err err = {0};

	if (vw_json_parse(text, strlen(text), NULL, "text", &j, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return j;
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "text is empty"},
		{" \n", "text is empty"},
		{"{", "line 1"},
		{"{} x", "line 1"},
		{"{}{}", "line 1"},
		{"{\"a\":1,\"a\":2}", "duplicate"},
		{"{'a':1}", "line 1"},
		{"[1,]", "line 1"},
		{"nul", "line 1"},
		{"\"\\ud800\"", "line 1"},
		{"\"\xff\"", "line"},
		{"[99999999999999999999]", "too big"},
		{"01", "line 1"},
		{"[[[[1]]]]", "deeper than 3"},
		{"{\"a\":[[{\"b\":1}]]}", "deeper than 3"},
		{"\"0123456789012345678901234567890\"", "larger than 32"},
	};
	static const struct vw_json_limits lim = {.max_bytes = 32, .max_depth = 3};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_json *j = (struct vw_json *)(uintptr_t)1;
		struct vw_err err = {0};

		assert_int_equal(vw_json_parse(rows[i].text, strlen(rows[i].text), &lim, "text", &j, &err),
				 -EBADMSG);
		assert_int_equal(err.cni, VW_CNI_DECODE);
		assert_ptr_equal(j, (void *)1);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("%s: %s", rows[i].text, err.msg);
	}
}

static void depth_counts_brackets_outside_strings(void **state)
{
	static const struct vw_json_limits lim = {.max_depth = 2};
	static const char *const ok[] = {"[[1],[2],[[]]]", "[\"[[[[\"]", "[\"\\\"[[[\"]", "{\"[[[\":[]}"};
	struct vw_err err;

	for (size_t i = 0; i < 4; i++) {
		vw_auto_json struct vw_json *j = NULL;

		assert_int_equal(vw_json_parse(ok[i], strlen(ok[i]), &lim, "t", &j, &err),
				 i == 0 ? -EBADMSG : 0);
	}
}

static void not_nul_terminated(void **state)
{
	vw_auto_json struct vw_json *j = NULL;
	char *heap = malloc(2);
	struct vw_err err;

	memcpy(heap, "{}", 2);
	assert_int_equal(vw_json_parse(heap, 2, NULL, "t", &j, &err), 0);
	memcpy(heap, "  ", 2);
	assert_int_equal(vw_json_parse(heap, 2, NULL, "t", &j, &err), -EBADMSG);
	free(heap);
}

static void keys_of_any_case(void **state)
{
	vw_auto_json struct vw_json *j = parse("{\"HostPort\":1,\"hostport\":2,\"VLANID\":3}");
	struct vw_err err;
	int64_t n = 0;

	assert_int_equal(vw_json_get_int(j, "hostport", 0, 9, &n, &err), 1);
	assert_int_equal(n, 2);
	assert_int_equal(vw_json_get_int(j, "HOSTPORT", 0, 9, &n, &err), 1);
	assert_int_equal(n, 1); /* the first in the text */
	assert_int_equal(vw_json_get_int(j, "vlanId", 0, 9, &n, &err), 1);
	assert_int_equal(n, 3);
	assert_null(vw_json_get(j, "vlan"));
	assert_null(vw_json_get(NULL, "x"));
	assert_int_equal(vw_json_del(j, "hostPORT"), 2);
	assert_int_equal(vw_json_len(j), 1);
}

static void integers(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t want;
		const char *why;
	} rows[] = {
		{"{\"mtu\":9001}", 1, 9001, NULL},
		{"{\"mtu\":\"9001\"}", 1, 9001, NULL},
		{"{\"mtu\":null}", 0, -7, NULL},
		{"{}", 0, -7, NULL},
		{"{\"mtu\":\"-0\"}", 1, 0, NULL},
		{"{\"mtu\":-1}", -EINVAL, -7, "is -1"},
		{"{\"mtu\":65536}", -EINVAL, -7, "from 0 to 65535"},
		{"{\"mtu\":\"\"}", -EINVAL, -7, "string \"\""},
		{"{\"mtu\":\"9001x\"}", -EINVAL, -7, "9001x"},
		{"{\"mtu\":9001.0}", -EINVAL, -7, "9001"},
		{"{\"mtu\":true}", -EINVAL, -7, "true"},
		{"{\"mtu\":[]}", -EINVAL, -7, "array"},
		{"{\"mtu\":{}}", -EINVAL, -7, "object"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vw_auto_json struct vw_json *j = parse(rows[i].text);
		struct vw_err err = {0};
		int64_t v = -7;

		assert_int_equal(vw_json_get_int(j, "mtu", 0, 65535, &v, &err), rows[i].r);
		assert_true(v == rows[i].want);
		if (rows[i].why) {
			assert_int_equal(err.cni, VW_CNI_INVALID_CONFIG);
			assert_non_null(strstr(err.msg, "'mtu'"));
			assert_non_null(strstr(err.msg, rows[i].why));
		} else {
			assert_int_equal(err.eno, 0);
		}
	}
}

static void other_getters(void **state)
{
	vw_auto_json struct vw_json *j =
		parse("{\"s\":\"x\",\"b\":true,\"bs\":\"FALSE\",\"o\":{\"k\":1},\"a\":[1,2],\"n\":null}");
	const struct vw_json *sub = NULL;
	const char *s = "keep";
	struct vw_err err;
	bool b = false;

	assert_int_equal(vw_json_get_str(j, "b", &s, &err), -EINVAL);
	assert_int_equal(vw_json_get_str(j, "n", &s, &err), 0);
	assert_string_equal(s, "keep");
	assert_int_equal(vw_json_get_str(j, "s", &s, &err), 1);
	assert_string_equal(s, "x");
	assert_int_equal(vw_json_get_bool(j, "s", &b, &err), -EINVAL);
	assert_false(b);
	assert_int_equal(vw_json_get_bool(j, "b", &b, &err), 1);
	assert_true(b);
	assert_int_equal(vw_json_get_bool(j, "bs", &b, &err), 1);
	assert_false(b);
	assert_int_equal(vw_json_get_obj(j, "a", &sub, &err), -EINVAL);
	assert_null(sub);
	assert_int_equal(vw_json_get_obj(j, "o", &sub, &err), 1);
	assert_int_equal(vw_json_len(sub), 1);
	assert_int_equal(vw_json_get_arr(j, "o", &sub, &err), -EINVAL);
	assert_int_equal(vw_json_get_arr(j, "a", &sub, &err), 1);
	assert_int_equal(vw_json_len(sub), 2);
	assert_non_null(vw_json_at(sub, 1));
	assert_null(vw_json_at(sub, 2));
	assert_int_equal(vw_json_len(NULL), 0);
	assert_int_equal(vw_json_int(vw_json_at(vw_json_get(j, "a"), 1)), 2);
	assert_int_equal(vw_json_int(vw_json_get(j, "b")), 1);
	assert_int_equal(vw_json_int(vw_json_get(j, "s")), 0);
	assert_int_equal(vw_json_int(NULL), 0);
	assert_true(vw_json_has(j, "a"));
	assert_false(vw_json_has(j, "A"));
}

static void walk_keeps_order(void **state)
{
	vw_auto_json struct vw_json *j = parse("{\"z\":1,\"a\":2,\"m\":3}");
	const struct vw_json *v;
	char seen[8] = "";
	void *it = NULL;
	const char *k;

	for (size_t n = 0; (k = vw_json_each(j, &it, &v)); n++)
		seen[n] = k[0];
	assert_string_equal(seen, "zam");
}

static void build_and_print(void **state)
{
	vw_auto_json struct vw_json *o = vw_json_new_object(), *copy = NULL;
	struct vw_json *a = vw_json_new_array();
	vw_auto_buf struct vw_buf b = VW_BUF_INIT, tiny = VW_BUF_INIT_MAX(4);

	assert_int_equal(vw_json_append(a, vw_json_new_int(-1)), 0);
	assert_int_equal(vw_json_append(a, vw_json_new_null()), 0);
	assert_int_equal(vw_json_append(a, NULL), -ENOMEM);
	assert_int_equal(vw_json_set_str(o, "s", "q\"\n"), 0);
	assert_int_equal(vw_json_set_str(o, "left out", NULL), 0);
	assert_int_equal(vw_json_set_bool(o, "b", false), 0);
	assert_int_equal(vw_json_set(o, "a", a), 0);
	assert_int_equal(vw_json_set(o, "none", NULL), -ENOMEM);
	assert_int_equal(vw_json_set_str(o, "bad",
					 "\xff"
					 "a\xc3"),
			 0);
	assert_int_equal(vw_json_print(o, 0, &b), 0);
	assert_string_equal(vw_buf_str(&b),
			    "{\"s\":\"q\\\"\\n\",\"b\":false,\"a\":[-1,null],\"bad\":\"?a?\"}");
	copy = vw_json_copy(o);
	assert_int_equal(vw_json_del(o, "s"), 1);
	assert_non_null(vw_json_get(copy, "s"));
	assert_int_equal(vw_json_print(o, 0, &tiny), -EFBIG);
	assert_int_equal(vw_json_print(o, 0, &tiny), -EFBIG);
}

static void concatenations(void **state)
{
	static const char text[] = "{\"a\": \"\u00e9}\"}\n\n{\"b\": [1]}{\"c\": 2}\n ";
	static const struct vw_json_limits lim = { .max_bytes = 64, .max_depth = 2 };
	struct vw_json *left = NULL;
	size_t pos = 0, n = 0;
	struct vw_err err;

	for (;; n++) {
		vw_auto_json struct vw_json *j = NULL;
		int r = vw_json_parse_next(text, strlen(text), &pos, &lim, "t", &j, &err);

		assert_true(r >= 0);
		if (r == 0)
			break;
		assert_non_null(vw_json_get(j, (const char *[]){ "a", "b", "c" }[n]));
	}
	assert_int_equal(n, 3);
	pos = 0;
	assert_int_equal(vw_json_parse_next("{}\n{]", 6, &pos, NULL, "t", &left, &err), 1);
	vw_json_free(left);
	left = NULL;
	assert_int_equal(vw_json_parse_next("{}\n{]", 6, &pos, NULL, "t", &left, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "line 2"));
	pos = 0;
	assert_int_equal(vw_json_parse_next("[]", 2, &pos, NULL, "t", &left, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "wanted an object"));
	assert_int_equal(vw_json_parse_next("[[[]]]", 6, &pos, &lim, "t", &left, &err), -EBADMSG);
	assert_int_equal(vw_json_parse_next(" \n", 2, &pos, NULL, "t", &left, &err), 0);
	assert_null(left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(depth_counts_brackets_outside_strings),
		cmocka_unit_test(concatenations),
		cmocka_unit_test(not_nul_terminated),
		cmocka_unit_test(keys_of_any_case),
		cmocka_unit_test(integers),
		cmocka_unit_test(other_getters),
		cmocka_unit_test(walk_keeps_order),
		cmocka_unit_test(build_and_print),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
