/* Address value types: strict parsing, canonical printing, arithmetic over byte borders. */
#include "lib/base/ip.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>

static void ip_text(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"FE80::1", "fe80::1"},
		{"2001:db8:0:0:0:0:0:5", "2001:db8::5"},
		{"::", "::"},
		{"::ffff:10.0.0.1", "::ffff:10.0.0.1"},
		{"", NULL},
		{"10.0.0", NULL},
		{"10.0.0.256", NULL},
		{"10.0.0.01", NULL},
		{" 10.0.0.1", NULL},
		{"10.0.0.1 ", NULL},
		{"10.0.0.1/32", NULL},
		{"fe80::1%eth0", NULL},
		{":::", NULL},
		{"1::2::3", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_ip ip, before;
		char text[VW_IP_STRLEN];

		memset(&ip, 0xa5, sizeof(ip));
		before = ip;
		if (rows[i].out) {
			assert_int_equal(vw_ip_parse(rows[i].in, &ip), 0);
			assert_string_equal(vw_ip_str(&ip, text), rows[i].out);
		} else {
			assert_int_equal(vw_ip_parse(rows[i].in, &ip), -EINVAL);
			assert_memory_equal(&ip, &before, sizeof(ip));
		}
	}
}

static void none_prints_empty(void **state)
{
	struct vw_ip none = {0};
	struct vw_cidr nowhere = {0};
	char text[VW_CIDR_STRLEN] = "x", ip[VW_IP_STRLEN] = "x";

	assert_string_equal(vw_ip_str(&none, ip), "");
	assert_string_equal(vw_cidr_str(&nowhere, text), "");
	assert_int_equal(vw_ip_bits(&none), 0);
}

static void cidr_text(void **state)
{
	static const struct {
		const char *in, *out, *masked;
	} rows[] = {
		{"10.1.2.3/8", "10.1.2.3/8", "10.0.0.0/8"},
		{"10.1.2.3", "10.1.2.3/32", "10.1.2.3/32"},
		{"10.1.2.3/0", "10.1.2.3/0", "0.0.0.0/0"},
		{"10.1.2.255/28", "10.1.2.255/28", "10.1.2.240/28"},
		{"2001:db8::ffff/80", "2001:db8::ffff/80", "2001:db8::/80"},
		{"::1", "::1/128", "::1/128"},
		{"10.1.2.3/33", NULL, NULL},
		{"::/129", NULL, NULL},
		{"10.1.2.3/", NULL, NULL},
		{"10.1.2.3/-1", NULL, NULL},
		{"10.1.2.3/08", NULL, NULL},
		{"10.1.2.3/8 ", NULL, NULL},
		{"10.1.2.3/8/8", NULL, NULL},
		{"/8", NULL, NULL},
		{"10.1.2.3/4294967304", NULL, NULL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/64", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_cidr c, before, m;
		char text[VW_CIDR_STRLEN];

		memset(&c, 0xa5, sizeof(c));
		before = c;
		if (!rows[i].out) {
			assert_int_equal(vw_cidr_parse(rows[i].in, &c), -EINVAL);
			assert_memory_equal(&c, &before, sizeof(c));
			continue;
		}
		assert_int_equal(vw_cidr_parse(rows[i].in, &c), 0);
		assert_string_equal(vw_cidr_str(&c, text), rows[i].out);
		m = vw_cidr_masked(&c);
		assert_string_equal(vw_cidr_str(&m, text), rows[i].masked);
		assert_true(vw_cidr_is_masked(&m));
		assert_int_equal(vw_cidr_is_masked(&c), !strcmp(rows[i].out, rows[i].masked));
	}
}

static void mac_text(void **state)
{
	static const char *const bad[] = {"",
					  "02:00:00:00:00",
					  "02:00:00:00:00:0g",
					  "02-00-00-00-00-01",
					  "02:00:00:00:00:011",
					  "2:0:0:0:0:1",
					  "020000000001"};
	struct vw_mac m, before;
	char text[VW_MAC_STRLEN];

	assert_int_equal(vw_mac_parse("02:AB:cd:00:0f:F0", &m), 0);
	assert_string_equal(vw_mac_str(&m, text), "02:ab:cd:00:0f:f0");
	assert_false(vw_mac_is_zero(&m));
	before = m;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vw_mac_parse(bad[i], &m), -EINVAL);
		assert_true(vw_mac_eq(&m, &before));
	}
	assert_int_equal(vw_mac_parse("00:00:00:00:00:00", &m), 0);
	assert_true(vw_mac_is_zero(&m));
}

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text, &c), 0);
	return c;
}

static void membership(void **state)
{
	static const struct {
		const char *a, *b;
		int covers, overlaps;
	} rows[] = {
		{"10.0.0.0/8", "10.1.0.0/16", 1, 1},
		{"10.1.0.0/16", "10.0.0.0/8", 0, 1},
		{"10.0.0.0/9", "10.128.0.0/9", 0, 0},
		{"0.0.0.0/0", "1.2.3.4/32", 1, 1},
		{"0.0.0.0/0", "::/0", 0, 0},
		{"10.1.2.3/24", "10.1.2.0/24", 1, 1},
		{"2001:db8::/32", "2001:db8:ffff::/48", 1, 1},
		{"2001:db8::/32", "2001:db9::/48", 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_cidr a = cidr(rows[i].a), b = cidr(rows[i].b);

		assert_int_equal(vw_cidr_covers(&a, &b), rows[i].covers);
		assert_int_equal(vw_cidr_overlaps(&a, &b), rows[i].overlaps);
		assert_int_equal(vw_cidr_overlaps(&b, &a), rows[i].overlaps);
	}
}

static void arithmetic(void **state)
{
	static const struct {
		const char *ip;
		uint64_t n;
		const char *want;
	} rows[] = {
		{"10.0.0.255", 1, "10.0.1.0"},
		{"10.0.0.0", 65536, "10.1.0.0"},
		{"255.255.255.255", 1, "0.0.0.0"},
		{"2001:db8::ffff:ffff", 1, "2001:db8::1:0:0"},
		{"::", UINT64_MAX, "::ffff:ffff:ffff:ffff"},
		{"::ffff:ffff:ffff:ffff", 1, "0:0:0:1::"},
		{"10.0.0.7", 0, "10.0.0.7"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vw_ip ip, sum, want;

		assert_int_equal(vw_ip_parse(rows[i].ip, &ip), 0);
		assert_int_equal(vw_ip_parse(rows[i].want, &want), 0);
		sum = vw_ip_add(&ip, rows[i].n);
		assert_true(vw_ip_eq(&sum, &want));
	}
}

static void order_and_numbers(void **state)
{
	static const char *const sorted[] = {"0.0.0.0", "9.255.0.0", "10.0.0.1", "::1", "2001:db8::1"};
	struct vw_ip v6;

	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 5; j++) {
			struct vw_ip a, b;
			int c;

			vw_ip_parse(sorted[i], &a);
			vw_ip_parse(sorted[j], &b);
			c = vw_ip_cmp(&a, &b);
			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
		}
	}
	v6 = vw_ip4(0x0a000001);
	assert_int_equal(vw_ip4_u32(&v6), 0x0a000001);
	vw_ip_parse("::1", &v6);
	assert_int_equal(vw_ip4_u32(&v6), 0);
	assert_int_equal(vw_cidr_host(&v6).len, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_text),           cmocka_unit_test(none_prints_empty),
		cmocka_unit_test(cidr_text),         cmocka_unit_test(mac_text),
		cmocka_unit_test(membership),        cmocka_unit_test(arithmetic),
		cmocka_unit_test(order_and_numbers),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
