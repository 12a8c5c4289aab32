/* Our 22 functions of libmnl against the library: the same calls make, and read, the same bytes. */
#include "tests/unit/cm.h"

#include <dlfcn.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

/* The library's own, found beside ours, which the program is linked with. */
#define FUNCTIONS(f)                                                                                         \
	f(mnl_attr_get_type) f(mnl_attr_get_payload_len) f(mnl_attr_get_payload) f(mnl_attr_ok)              \
		f(mnl_attr_next) f(mnl_attr_get_u8) f(mnl_attr_get_u32) f(mnl_attr_put) f(mnl_attr_put_u8)   \
			f(mnl_attr_put_u32) f(mnl_attr_put_str) f(mnl_attr_put_strz) f(mnl_attr_nest_start)  \
				f(mnl_attr_nest_end) f(mnl_nlmsg_put_header) f(mnl_nlmsg_put_extra_header)   \
					f(mnl_nlmsg_get_payload) f(mnl_nlmsg_get_payload_len)                \
						f(mnl_nlmsg_get_payload_offset)                              \
							f(mnl_nlmsg_get_payload_tail) f(mnl_nlmsg_ok)        \
								f(mnl_nlmsg_next)

struct api {
#define MEMBER(name) __typeof__(name) *name;
	FUNCTIONS(MEMBER)
};

static const struct api ours = {
#define OURS(name) .name = name,
	FUNCTIONS(OURS)};

static struct api theirs(void)
{
	struct api api;
	void *lib = dlopen("libmnl.so.0", RTLD_NOW | RTLD_LOCAL);
	unsigned int differ = 0;

	if (!lib)
		skip();
#define THEIRS(name)                                                                                         \
	api.name = (__typeof__(api.name))(uintptr_t)dlsym(lib, #name);                                       \
	assert_non_null(api.name);                                                                           \
	differ += api.name != ours.name;
	FUNCTIONS(THEIRS)
	assert_int_equal(differ,
			 22); /* else the test would compare the library with itself, or ours with ours */
	return api;
}

static size_t build(const struct api *m, char *buf)
{
	struct nlmsghdr *nlh = m->mnl_nlmsg_put_header(buf);
	struct nlattr *outer, *inner;

	nlh->nlmsg_type = RTM_NEWLINK;
	memset(m->mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg)), 7, sizeof(struct ifinfomsg));
	memset(m->mnl_nlmsg_put_extra_header(nlh, 5), 9, 5);
	for (size_t len = 0; len < 9; len++)
		m->mnl_attr_put(nlh, (uint16_t)(100 + len), len, "abcdefghi");
	m->mnl_attr_put_u8(nlh, 1, 0xab);
	m->mnl_attr_put_u32(nlh, 2, 0x01020304);
	m->mnl_attr_put_str(nlh, 3, "four");
	m->mnl_attr_put_strz(nlh, 4, "four");
	m->mnl_attr_put_strz(nlh, 5, "");
	outer = m->mnl_attr_nest_start(nlh, 6);
	inner = m->mnl_attr_nest_start(nlh, 7);
	m->mnl_attr_put_u8(nlh, 8, 1);
	m->mnl_attr_nest_end(nlh, inner);
	m->mnl_attr_nest_end(nlh, outer);
	inner = m->mnl_attr_nest_start(nlh, 9);
	m->mnl_attr_nest_end(nlh, inner);
	return nlh->nlmsg_len;
}

static void messages_are_the_same(void **state)
{
	struct api lib = theirs();
	char a[1024], b[1024];
	size_t len;

	/* libmnl before 1.0.5 leaves padding as it was; ours is to clear it */
	memset(a, 0x55, sizeof(a));
	memset(b, 0, sizeof(b));
	len = build(&ours, a);
	assert_int_equal(build(&lib, b), len);
	assert_memory_equal(a, b, len);
}

/* Every answer about a message and what is in it, as text. */
static void read_back(const struct api *m, const char *buf, int len, char *out, size_t size)
{
	const struct nlmsghdr *nlh = (const void *)buf;
	size_t n = 0;
	int left = len;

	for (; m->mnl_nlmsg_ok(nlh, left) && left > 0; nlh = m->mnl_nlmsg_next(nlh, &left)) {
		const struct nlattr *attr =
			m->mnl_nlmsg_get_payload_offset(nlh, sizeof(struct ifinfomsg) + 5);
		const char *tail = m->mnl_nlmsg_get_payload_tail(nlh);

		n += (size_t)snprintf(out + n, size - n, "msg %d %zu %d|",
				      (int)((char *)m->mnl_nlmsg_get_payload(nlh) - buf),
				      m->mnl_nlmsg_get_payload_len(nlh), (int)(tail - buf));
		for (; m->mnl_attr_ok(attr, (int)(tail - (const char *)attr));
		     attr = m->mnl_attr_next(attr)) {
			uint16_t bytes = m->mnl_attr_get_payload_len(attr);

			n += (size_t)snprintf(out + n, size - n, "%u/%u@%d", m->mnl_attr_get_type(attr),
					      bytes, (int)((char *)m->mnl_attr_get_payload(attr) - buf));
			if (bytes >= 1)
				n += (size_t)snprintf(out + n, size - n, "=%u", m->mnl_attr_get_u8(attr));
			if (bytes >= 4)
				n += (size_t)snprintf(out + n, size - n, "=%u", m->mnl_attr_get_u32(attr));
		}
	}
	snprintf(out + n, size - n, "left %d", left);
}

static void reading_is_the_same(void **state)
{
	struct api lib = theirs();
	char buf[2048] __attribute__((aligned(8))) = {0}, a[4096], b[4096];
	size_t len = build(&ours, buf);

	memcpy(buf + len, buf, len); /* two messages in a row */
	for (int cut = 0; cut <= (int)(2 * len); cut++) {
		read_back(&ours, buf, cut, a, sizeof(a));
		read_back(&lib, buf, cut, b, sizeof(b));
		assert_string_equal(a, b);
	}
	assert_non_null(strstr(a, "msg 16"));
	assert_non_null(strstr(a, "2/4@"));
}

static void lengths_that_lie(void **state)
{
	static const struct {
		uint32_t msg_len;
		uint16_t attr_len;
	} rows[] = {
		{0, 0},          {15, 3},  {16, 4},  {17, 5}, {UINT32_MAX, UINT16_MAX},
		{0x80000000, 8}, {64, 64}, {65, 65},
	};
	struct api lib = theirs();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int len = -4; len < 80; len++) {
			struct nlmsghdr nlh = {.nlmsg_len = rows[i].msg_len};
			struct nlattr attr = {.nla_len = rows[i].attr_len,
					      .nla_type = NLA_F_NESTED | NLA_F_NET_BYTEORDER | 5};

			assert_int_equal(ours.mnl_nlmsg_ok(&nlh, len), lib.mnl_nlmsg_ok(&nlh, len));
			assert_int_equal(ours.mnl_attr_ok(&attr, len), lib.mnl_attr_ok(&attr, len));
			assert_int_equal(ours.mnl_attr_get_type(&attr), lib.mnl_attr_get_type(&attr));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_the_same),
		cmocka_unit_test(reading_is_the_same),
		cmocka_unit_test(lengths_that_lie),
	};

	return cmocka_run_group_tests_name("mnl", tests, NULL, NULL);
}
