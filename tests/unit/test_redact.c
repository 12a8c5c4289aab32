/* What a bug report may not show, and what it must go on showing. */
#include "cli/redact.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
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
		{ "{\"token\" :\n \"a\", \"n\": 1}", "{\"token\" :\n \"(removed)\", \"n\": 1}" },
		{ "msg=\"{\\\"token\\\":\\n\\\"a\\\"}\" n=1", "msg=\"{\\\"token\\\":\\n\\\"(removed)\\\"}\" n=1" },
		{ "{\"secrets\": [\n\"a]\", {\"b\": \"c\"}\n], \"n\": 1}", "{\"secrets\": \"(removed)\", \"n\": 1}" },
		{ "{\"token of mine\": 7}", "{\"token of mine\": \"(removed)\"}" },
		{ "id=AKIAIOSFODNN7EXAMPLE key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "id=(removed) key=(removed)" },
		{ "GET https://me:pw@host/a@b", "GET https://(removed)@host/a@b" },
		/* which of it is whose value cannot be said: a name in what goes takes its own with it */
		{ "password:a\":[b\nprivate_key: Bearer c]d\nn=1", "password:(removed)\nn=1" },
		{ "password:a\":[b\nhttps://me]:pw@host", "password:(removed)@host" },
		{ "{\"part\": \"credentials\", \"what\": \"role\"}", "{\"part\": \"credentials\", \"what\": \"role\"}" },
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

/* a key is what it says, not how it is written; values of any type */
static void json_stays_json(void **state)
{
	static const char in[] = "{\"to\\u006ben\": {\"a\": [1, \"x\"]}, \"secret\": true, \"password\": null, \"body\": \"{\\\"db \\\\\\\" passwd\\\": \\\"x\\\", \\\"n\\\": 1}\", "
				 "\"n\": [1.5, false, \"Authorization: Bearer x\"]}";
	static const char out[] = "{\"token\":\"(removed)\",\"secret\":\"(removed)\",\"password\":null,\"body\":\"{\\\"db \\\\\\\" passwd\\\":\\\"(removed)\\\",\\\"n\\\":1}\","
				  "\"n\":[1.5,false,\"Authorization: (removed)\"]}";
	vw_auto_json struct vw_json *j = NULL, *clean = NULL;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;

	(void)state;
	assert_int_equal(vw_json_parse(in, sizeof(in) - 1, NULL, "it", &j, &err), 0);
	clean = redact_json(j);
	assert_int_equal(vw_json_print(clean, 0, &b), 0);
	assert_string_equal(vw_buf_str(&b), out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(redacts), cmocka_unit_test(long_words_go), cmocka_unit_test(json_stays_json) };

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
