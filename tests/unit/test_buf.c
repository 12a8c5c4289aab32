/* struct vw_buf: growth, cap, stickiness of errors, percent-encoding. */
#include "lib/base/buf.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void grows(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	assert_string_equal(vw_buf_str(&b), "");
	for (int i = 0; i < 5000; i++) {
		vw_buf_putc(&b, (char)('a' + i % 26));
		assert_int_equal(b.len, i + 1);
		assert_int_equal(strlen(vw_buf_str(&b)), i + 1);
		assert_true(b.cap > b.len);
	}
	vw_buf_reset(&b);
	assert_string_equal(vw_buf_str(&b), "");
	assert_int_equal(vw_buf_err(&b), 0);
}

static void prints_past_the_small_buffer(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char big[1000];

	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	vw_buf_printf(&b, "%d:%s:%d", 1, big, 2);
	assert_int_equal(b.len, 999 + 4);
	assert_memory_equal(b.data, "1:yy", 4);
	assert_string_equal(b.data + b.len - 3, "y:2");
}

static void cap_turns_sour(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(5);

	vw_buf_puts(&b, "12345");
	assert_int_equal(vw_buf_err(&b), 0);
	vw_buf_putc(&b, '6');
	assert_int_equal(vw_buf_err(&b), -EFBIG);
	vw_buf_printf(&b, "%s", "");
	assert_string_equal(vw_buf_str(&b), "12345");
	assert_null(vw_buf_take(&b));
	vw_buf_reset(&b);
	vw_buf_puts(&b, "ok");
	assert_int_equal(vw_buf_err(&b), 0);
}

static void absurd_length_is_enomem(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	vw_buf_puts(&b, "x");
	vw_buf_add(&b, "x", SIZE_MAX - 1);
	assert_int_equal(vw_buf_err(&b), -ENOMEM);
	assert_string_equal(vw_buf_str(&b), "x");
}

static void take(void **state)
{
	struct vw_buf b = VW_BUF_INIT;
	char *s = vw_buf_take(&b);

	assert_non_null(s);
	assert_string_equal(s, "");
	free(s);
	vw_buf_puts(&b, "abc");
	s = vw_buf_take(&b);
	assert_string_equal(s, "abc");
	free(s);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	vw_buf_done(&b);
	vw_buf_done(&b);
}

static void url(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", ""},
		{"AZaz09-_.~", "AZaz09-_.~"},
		{"a b/c=d&e+f*", "a%20b%2Fc%3Dd%26e%2Bf%2A"},
		{"\xc3\xa4\x01", "%C3%A4%01"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		vw_buf_url(&b, rows[i].in);
		assert_string_equal(vw_buf_str(&b), rows[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),          cmocka_unit_test(prints_past_the_small_buffer),
		cmocka_unit_test(cap_turns_sour), cmocka_unit_test(absurd_length_is_enomem),
		cmocka_unit_test(take),           cmocka_unit_test(url),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
