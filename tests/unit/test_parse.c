/* Numbers, booleans and times: the whole text or nothing, and nothing written on failure. */
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static void u64(void **state)
{
	static const struct {
		const char *in;
		uint64_t min, max;
		int r;
		uint64_t want;
	} rows[] = {
		{"0", 0, 9, 0, 0},
		{"007", 0, 9, 0, 7},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
		{"10", 0, 9, -ERANGE, 0},
		{"1", 2, 9, -ERANGE, 0},
		{"", 0, 9, -EINVAL, 0},
		{" 1", 0, 9, -EINVAL, 0},
		{"1 ", 0, 9, -EINVAL, 0},
		{"+1", 0, 9, -EINVAL, 0},
		{"-1", 0, 9, -EINVAL, 0},
		{"0x1", 0, 9, -EINVAL, 0},
		{"1.0", 0, 9, -EINVAL, 0},
		{"99999999999999999999999x", 0, 9, -EINVAL, 0},
		{"1e1", 0, 99, -EINVAL, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = 4711;

		assert_int_equal(vw_parse_u64(rows[i].in, rows[i].min, rows[i].max, &v), rows[i].r);
		assert_true(v == (rows[i].r ? 4711 : rows[i].want));
	}
}

static void i64(void **state)
{
	static const struct {
		const char *in;
		int64_t min, max;
		int r;
		int64_t want;
	} rows[] = {
		{"-5", -9, 9, 0, -5},
		{"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
		{"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
		{"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
		{"-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0},
		{"-", -9, 9, -EINVAL, 0},
		{"--1", -9, 9, -EINVAL, 0},
		{"-0", -9, 9, 0, 0},
		{"-10", -9, 9, -ERANGE, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t v = 4711;

		assert_int_equal(vw_parse_i64(rows[i].in, rows[i].min, rows[i].max, &v), rows[i].r);
		assert_true(v == (rows[i].r ? 4711 : rows[i].want));
	}
}

static void hex(void **state)
{
	static const struct {
		const char *in;
		uint64_t max;
		int r;
		uint64_t want;
	} rows[] = {
		{"ff", 255, 0, 255},
		{"0xFF", 255, 0, 255},
		{"0x100", 255, -ERANGE, 0},
		{"0x", 255, -EINVAL, 0},
		{"", 255, -EINVAL, 0},
		{"fg", 255, -EINVAL, 0},
		{"ffffffffffffffff", UINT64_MAX, 0, UINT64_MAX},
		{"10000000000000000", UINT64_MAX, -ERANGE, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = 4711;

		assert_int_equal(vw_parse_hex(rows[i].in, rows[i].max, &v), rows[i].r);
		assert_true(v == (rows[i].r ? 4711 : rows[i].want));
	}
}

static void booleans(void **state)
{
	static const struct {
		const char *in;
		int want;
	} rows[] = {
		{"true", 1}, {"TRUE", 1},  {"1", 1},     {"t", 1},      {"yes", 1},
		{"on", 1},   {"false", 0}, {"False", 0}, {"0", 0},      {"no", 0},
		{"off", 0},  {"", -1},     {"2", -1},    {"truee", -1}, {" true", -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int before = 0; before < 2; before++) {
			bool v = before;

			assert_int_equal(vw_parse_bool(rows[i].in, &v), rows[i].want < 0 ? -EINVAL : 0);
			assert_int_equal(v, rows[i].want < 0 ? before : rows[i].want);
		}
	}
}

static void times(void **state)
{
	static const struct {
		const char *in;
		int64_t want;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-23T20:01:02Z", 1795464062},
		{"2026-11-23T20:01:02.123Z", 1795464062},
		{"2000-02-29T23:59:59Z", 951868799},
		{"2038-01-19T03:14:08Z", 2147483648},
		{"2100-02-29T00:00:00Z", -1},
		{"2026-02-29T00:00:00Z", -1},
		{"2026-13-01T00:00:00Z", -1},
		{"2026-00-01T00:00:00Z", -1},
		{"2026-01-00T00:00:00Z", -1},
		{"2026-01-01T24:00:00Z", -1},
		{"2026-01-01T00:60:00Z", -1},
		{"2026-01-01T00:00:00", -1},
		{"2026-01-01T00:00:00+01:00", -1},
		{"2026-01-01 00:00:00Z", -1},
		{"2026-1-1T00:00:00Z", -1},
		{"2026-01-01T00:00:00.Z", -1},
		{"", -1},
		{"2026-01-01T00:00:00ZZ", -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t v = 4711;
		char back[VW_TIME_STRLEN];

		assert_int_equal(vw_parse_time(rows[i].in, &v), rows[i].want < 0 ? -EINVAL : 0);
		assert_true(v == (rows[i].want < 0 ? 4711 : rows[i].want));
		if (rows[i].want >= 0 && strlen(rows[i].in) == 20)
			assert_string_equal(vw_time_str(v, back), rows[i].in);
	}
}

static void fmt(void **state)
{
	char small[4] = "zzz";

	assert_int_equal(vw_fmt(small, sizeof(small), "%d", 123), 3);
	assert_string_equal(small, "123");
	assert_int_equal(vw_fmt(small, sizeof(small), "%d", 1234), -ENAMETOOLONG);
	assert_string_equal(small, "");
}

static void deadlines(void **state)
{
	uint64_t now = vw_mono_ms();
	int left;

	assert_int_equal(vw_deadline_left(0), 0);
	assert_int_equal(vw_deadline_left(now), 0);
	assert_int_equal(vw_deadline_left(UINT64_MAX), INT_MAX);
	left = vw_deadline_left(now + 3600000);
	assert_true(left > 0 && left <= 3600000);
	assert_true(vw_mono_us() / 1000 >= now);
}

static void names(void **state)
{
	static const struct {
		const char *in;
		bool name, ifname;
	} rows[] = {
		{"eth0", true, true},
		{"a", true, true},
		{"a-b_c.d", true, true},
		{"0a", true, true},
		{"", false, false},
		{".", false, false},
		{"..", false, false},
		{"-a", false, true},
		{"_a", false, true},
		{"a/b", false, false},
		{"a:b", false, false},
		{"a b", false, false},
		{"a\tb", false, false},
		{"exactly15bytes0", true, true},
		{"sixteen.bytes.00", true, false},
		{"\xc3\xa4", false, true},
		{"a\xa0", false, false},
		{"a\n", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(vw_is_name(rows[i].in), rows[i].name);
		assert_int_equal(vw_is_ifname(rows[i].in), rows[i].ifname);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(u64),       cmocka_unit_test(i64),   cmocka_unit_test(hex),
		cmocka_unit_test(booleans),  cmocka_unit_test(times), cmocka_unit_test(fmt),
		cmocka_unit_test(deadlines), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
