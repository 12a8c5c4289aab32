/* Symptoms and remedies: each row finds itself, and docs/OPERATIONS.md is what the table prints. */
#include "daemon/advice.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "tests/unit/cm.h"

#include <string.h>

static void test_words_of_a_message_find_its_row(void **state)
{
	const struct advice *a = advice_of("no free address: EC2 throttles: ec2:AttachNetworkInterface (next try in 3 s)");

	(void)state;
	assert_non_null(a);
	assert_string_equal(a->says, "no free address: EC2 throttles: ec2:");
	assert_null(advice_of(NULL));
	assert_null(advice_of(""));
	assert_null(advice_todo("all is well"));
}

/* no row hides behind one before it */
static void test_each_row_of_the_page_finds_itself(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	unsigned int n = 0;

	(void)state;
	assert_int_equal(advice_print_docs(&b), 0);
	for (char *at = b.data; (at = strstr(at, "\n| `")); n++) {
		char *end = strchr(at + 4, '`');
		const struct advice *a;

		assert_non_null(end);
		*end = 0;
		a = advice_of(at + 4);
		assert_non_null(a);
		assert_string_equal(a->says, at + 4);
		assert_null(strchr(a->is, '|'));
		assert_null(strchr(a->todo, '|'));
		at = end + 1;
	}
	assert_true(n > 12);
}

static void test_the_page_is_up_to_date(void **state)
{
	vw_auto_buf struct vw_buf want = VW_BUF_INIT, have = VW_BUF_INIT;
	struct vw_err err;

	(void)state;
	assert_int_equal(advice_print_docs(&want), 0);
	if (vw_read_file("docs/OPERATIONS.md", 1 << 20, &have, &err) < 0)
		fail_msg("%s (run from the top of the repository)", err.msg);
	if (!strstr(vw_buf_str(&have), vw_buf_str(&want)))
		fail_msg("docs/OPERATIONS.md has not the table of daemon/advice.c: run `make docs`");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_of_a_message_find_its_row),
		cmocka_unit_test(test_each_row_of_the_page_finds_itself),
		cmocka_unit_test(test_the_page_is_up_to_date),
	};

	return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
