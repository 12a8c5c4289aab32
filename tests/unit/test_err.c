/* struct vw_err: sign of errno, truncation, wrapping, and the CNI code an errno stands for. */
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>

static void set_takes_either_sign(void **state)
{
	static const struct {
		int in, want;
	} rows[] = {{ENOENT, ENOENT}, {-ENOENT, ENOENT}, {0, EINVAL}};
	struct vw_err err;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(vw_err_set(&err, rows[i].in, 7, "a %d", 5), -rows[i].want);
		assert_int_equal(err.eno, rows[i].want);
		assert_int_equal(err.cni, 7);
		assert_string_equal(err.msg, "a 5");
	}
}

static void sys_appends_reason(void **state)
{
	struct vw_err err;

	assert_int_equal(vw_err_sys(&err, -ENOENT, 0, "opening '%s'", "x"), -ENOENT);
	assert_string_equal(err.msg, "opening 'x': No such file or directory");
	vw_err_sys(&err, 4000, 0, "odd");
	assert_string_equal(err.msg, "odd: errno 4000");
}

/* A program that is linked with musl says the same as one with glibc. */
static void texts_are_those_of_glibc(void **state)
{
	for (int e = 0; e < 200; e++) {
		const char *text = vw_err_text(e), *want = strerrordesc_np(e);

		if (want)
			assert_string_equal(text, want);
		else
			assert_null(text);
	}
}

static void wrap_keeps_errno_and_code(void **state)
{
	struct vw_err err;

	vw_err_set(&err, ENODEV, 11, "inner");
	assert_int_equal(vw_err_wrap(&err, "outer %d", 1), -ENODEV);
	assert_string_equal(err.msg, "outer 1: inner");
	assert_int_equal(err.eno, ENODEV);
	assert_int_equal(err.cni, 11);
}

static void arguments_may_be_the_message(void **state)
{
	struct vw_err err;

	vw_err_set(&err, EIO, 0, "inner");
	vw_err_set(&err, EIO, 0, "outer (%s)", err.msg);
	assert_string_equal(err.msg, "outer (inner)");
	vw_err_wrap(&err, "again %s", err.msg);
	assert_string_equal(err.msg, "again outer (inner): outer (inner)");
}

static void long_messages_lose_their_end(void **state)
{
	char big[2000];
	struct vw_err err;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	vw_err_sys(&err, EIO, 0, "%s", big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	vw_err_wrap(&err, "context");
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_memory_equal(err.msg, "context: xxx", 12);
}

static void codes(void **state)
{
	static const struct {
		int eno, cni, want;
	} rows[] = {
		{EINVAL, 4, 4}, {EAGAIN, 0, 11},  {ETIMEDOUT, 0, 11}, {EIO, 0, 5},        {EBADMSG, 0, 6},
		{EINVAL, 0, 7}, {EEXIST, 0, 100}, {EPROTO, 0, 102},   {ENETDOWN, 0, 101},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_err err = {.eno = rows[i].eno, .cni = rows[i].cni};

		assert_int_equal(vw_err_cni(&err), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_takes_either_sign),
		cmocka_unit_test(sys_appends_reason),
		cmocka_unit_test(texts_are_those_of_glibc),
		cmocka_unit_test(wrap_keeps_errno_and_code),
		cmocka_unit_test(arguments_may_be_the_message),
		cmocka_unit_test(long_messages_lose_their_end),
		cmocka_unit_test(codes),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
