/* daemon/xml.c: what is refused, and typed reads that keep the first failure. */
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static struct xml_doc *parse(const char *text)
{
	struct xml_doc *d = NULL;
	struct vw_err err;

	assert_int_equal(xml_parse(text, strlen(text), "test", &d, &err), 0);
	return d;
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"hello",
		"<a>",
		"<a><b></a></b>",
		"<a/><b/>",
		"<a>&amp</a>",
		"<a>&unknown;</a>",
		"<?xml version=\"1.0\"?><!DOCTYPE a><a/>",
		"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
		"<a>\x01</a>",
		"<a>\xff</a>",
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++) {
		struct xml_doc *d = NULL;
		struct vw_err err = { 0 };

		assert_int_equal(xml_parse(bad[i], strlen(bad[i]), "the answer", &d, &err), -EBADMSG);
		assert_null(d);
		assert_non_null(strstr(err.msg, "the answer: "));
	}
}

/* Any proper part of a document is refused: an answer that was cut short is never taken for a short one. */
static void test_cut_short(void **state)
{
	static const char text[] = "<r><set><item><id>1</id></item><item><id>2</id></item></set></r>";

	for (size_t len = 0; len < strlen(text); len++) {
		struct xml_doc *d = NULL;
		struct vw_err err;

		assert_int_equal(xml_parse(text, len, "test", &d, &err), -EBADMSG);
	}
}

static void test_depth(void **state)
{
	for (unsigned int depth = 60; depth < 70; depth++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		vw_auto_xml struct xml_doc *d = NULL;
		struct vw_err err;

		for (unsigned int i = 0; i < depth; i++)
			vw_buf_puts(&b, "<a>");
		vw_buf_puts(&b, "<b/>x");
		for (unsigned int i = 0; i < depth; i++)
			vw_buf_puts(&b, "</a>");
		assert_int_equal(xml_parse(b.data, b.len, "test", &d, &err), depth < 64 ? 0 : -EBADMSG);
	}
}

static void test_walk(void **state)
{
	vw_auto_xml struct xml_doc *d =
		parse("<?xml version=\"1.0\"?>\n<r xmlns=\"urn:x\"> <!-- c --> <item>1</item><other/>\n"
		      "<item>a&amp;b&#33;</item><e></e><cd><![CDATA[<x>]]></cd><m>x<y/></m></r>");
	const struct xml_node *r = xml_root(d), *i = xml_child(r, "item");

	assert_string_equal(xml_name(r), "r");
	assert_string_equal(xml_text(i), "1");
	i = xml_next(i);
	assert_string_equal(xml_text(i), "a&b!");
	assert_null(xml_next(i));
	assert_string_equal(xml_text(xml_child(r, "e")), "");
	assert_string_equal(xml_text(xml_child(r, "other")), "");
	assert_string_equal(xml_text(xml_child(r, "cd")), "<x>");
	assert_null(xml_text(xml_child(r, "m")));
	assert_null(xml_text(r));
	assert_null(xml_child(r, "absent"));
	assert_null(xml_child(NULL, "x"));
	assert_null(xml_text(NULL));
	assert_null(xml_next(NULL));
}

static void test_typed(void **state)
{
	vw_auto_xml struct xml_doc *d =
		parse("<r><s>abc</s><n>42</n><t>true</t><f>false</f><ip>10.0.0.1</ip><c>10.0.0.16/28</c>"
		      "<mac>02:00:00:00:00:01</mac><e/></r>");
	const struct xml_node *r = xml_root(d);
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	char s[4] = "";
	uint32_t n = 0;
	bool t = false, f = true;
	struct vw_ip ip;
	struct vw_cidr c;
	struct vw_mac mac;

	assert_true(xml_str(&in, r, "s", XML_NEED, s, sizeof(s)));
	assert_string_equal(s, "abc");
	assert_true(xml_u32(&in, r, "n", XML_NEED, 42, &n));
	assert_int_equal(n, 42);
	assert_true(xml_bool(&in, r, "t", XML_NEED, &t) && t);
	assert_true(xml_bool(&in, r, "f", XML_NEED, &f) && !f);
	assert_true(xml_ip(&in, r, "ip", XML_NEED, &ip) && vw_ip4_u32(&ip) == 0x0a000001);
	assert_true(xml_cidr(&in, r, "c", XML_NEED, &c) && c.len == 28);
	assert_true(xml_mac(&in, r, "mac", XML_NEED, &mac) && mac.b[0] == 2 && mac.b[5] == 1);
	/* absent or empty, and not needed: the output stays */
	assert_false(xml_u32(&in, r, "absent", XML_MAY, 42, &n));
	assert_false(xml_u32(&in, r, "e", XML_MAY, 42, &n));
	assert_int_equal(n, 42);
	assert_int_equal(in.r, 0);
}

static void test_first_failure(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "<r/>", "in <r>: <n> is missing" },
		{ "<r><n/></r>", "in <r>: <n> is missing" },
		{ "<r><n>43</n></r>", "in <r>: <n> is '43', not a number in range" },
		{ "<r><n>-1</n></r>", "in <r>: <n> is '-1', not a number in range" },
		{ "<r><n>4 2</n></r>", "in <r>: <n> is '4 2', not a number in range" },
		{ "<r><n><x/></n></r>", "in <r>: <n> holds elements where text is wanted" },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++) {
		vw_auto_xml struct xml_doc *d = parse(cases[i].text);
		struct vw_err err = { 0 };
		struct xml_in in = { .err = &err };
		uint32_t n = 7;
		char s[8] = "kept";

		assert_false(xml_u32(&in, xml_root(d), "n", XML_NEED, 42, &n));
		assert_int_equal(n, 7);
		assert_int_equal(in.r, -EBADMSG);
		/* later reads do nothing and do not touch the message */
		assert_false(xml_str(&in, xml_root(d), "other", XML_NEED, s, sizeof(s)));
		assert_string_equal(s, "kept");
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void test_bad_values(void **state)
{
	vw_auto_xml struct xml_doc *d =
		parse("<r><s>abcd</s><b>True</b><ip>10.0.0</ip><c>10.0.0.0/33</c><m>02:00</m></r>");
	const struct xml_node *r = xml_root(d);
	struct vw_err err;
	char s[4];
	bool b;
	struct vw_ip ip;
	struct vw_cidr c;
	struct vw_mac mac;

#define BAD(read)                                                                                            \
	do {                                                                                                 \
		struct xml_in in = { .err = &err };                                                          \
		assert_false(read);                                                                          \
		assert_int_equal(in.r, -EBADMSG);                                                            \
	} while (0)
	BAD(xml_str(&in, r, "s", XML_MAY, s, sizeof(s)));
	BAD(xml_bool(&in, r, "b", XML_MAY, &b));
	BAD(xml_ip(&in, r, "ip", XML_MAY, &ip));
	BAD(xml_cidr(&in, r, "c", XML_MAY, &c));
	BAD(xml_mac(&in, r, "m", XML_MAY, &mac));
#undef BAD
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_depth),      cmocka_unit_test(test_walk),
		cmocka_unit_test(test_typed),      cmocka_unit_test(test_first_failure),
		cmocka_unit_test(test_bad_values),
	};

	xml_init_process();
	return cmocka_run_group_tests_name("xml", tests, NULL, NULL);
}
