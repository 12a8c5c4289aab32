/* Whatever a name holds, it is text: in HTML, and in an attribute in quotes of either kind. */
#include "daemon/html.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "tests/unit/cm.h"

static void texts(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ NULL, "" },
		{ "default/web-1", "default/web-1" },
		{ "<script>alert(\"x\")</script>", "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" },
		{ "it's & that", "it&#39;s &amp; that" },
		{ "a\nb\x1b\x7f", "a b  " },
		{ "caf\xc3\xa9 \xe2\x98\x83 \xf0\x9f\x90\xb3", "caf\xc3\xa9 \xe2\x98\x83 \xf0\x9f\x90\xb3" },
		/* alone, cut short at the end, cut short by something else */
		{ "\xff\x80z", "\xef\xbf\xbd\xef\xbf\xbdz" },
		{ "\xe2\x98", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xe2<", "\xef\xbf\xbd&lt;" },
		/* "/" and "<" in too long a form, a surrogate, beyond the last character */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xe0\x80\xbc", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		html_text(&b, cases[i].in);
		assert_string_equal(vw_buf_str(&b), cases[i].out);
	}
}

static void cell(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	(void)state;
	html_cell(&b, "<b>");
	assert_string_equal(vw_buf_str(&b), "<td>&lt;b&gt;</td>");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(texts), cmocka_unit_test(cell) };

	return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}
