/* What a bug report may not show, and what it must go on showing. */
#include "cli/redact.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "tests/unit/cm.h"

#include <string.h>

static void redacts(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "key AKIAIOSFODNN7EXAMPLE used", "key (removed) used" },
		{ "ASIAIOSFODNN7EXAMPLE", "(removed)" },
		{ "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPL" },
		{ "x wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY y", "x (removed) y" },
		{ "sha1 0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33", "sha1 0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33" },
		{ "container 4f1c0f9bb1d64a4c9e0a5b7e2ad1f1b24f1c0f9bb1d64a4c9e0a5b7e2ad1f1b2 runs",
		  "container 4f1c0f9bb1d64a4c9e0a5b7e2ad1f1b24f1c0f9bb1d64a4c9e0a5b7e2ad1f1b2 runs" },
		{ "bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMzQ1Njc4OTAifQ.e30.abc", "bearer (removed)" },
		{ "{\"db_password\": \"hunter2\", \"n\": 1}", "{\"db_password\": \"(removed)\", \"n\": 1}" },
		{ "{\"Token\":\"a \\\" b\",\"n\":1}", "{\"Token\":\"(removed)\",\"n\":1}" },
		{ "AWS_SESSION_TOKEN=abc next=1", "AWS_SESSION_TOKEN=(removed) next=1" },
		{ "Authorization: Bearer abc def\nnext: 1", "Authorization: (removed)\nnext: 1" },
		{ "secret", "secret" },
		{ "secret:", "secret:" },
		{ "route 10.0.1.17/32 dev eni1a2b3c4d5e6 table 22103", "route 10.0.1.17/32 dev eni1a2b3c4d5e6 table 22103" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		redact(cases[i].in, strlen(cases[i].in), &b);
		assert_string_equal(vw_buf_str(&b), cases[i].out);
	}
}

/* a session token, in whatever place */
static void long_words_go(void **state)
{
	char text[401];
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = "aB3/"[i % 4];
	text[sizeof(text) - 1] = 0;
	redact(text, sizeof(text) - 1, &b);
	assert_string_equal(vw_buf_str(&b), "(removed)");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(redacts), cmocka_unit_test(long_words_go) };

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
