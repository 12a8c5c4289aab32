// SPDX-License-Identifier: Apache-2.0
/* Conntrack entries of addresses that are not in use any more, against the real kernel: which go, and that the others stay. */
#include "lib/net/ct.h"

#include "lib/base/cleanup.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/view/nft.h"
#include "tests/unit/netns_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>

#define LO_IFINDEX 1

/* conntrack works in a namespace from the first rule on that asks it; 172.20.0.5 is a service of 10.1.0.1 */
static const char ruleset[] = "table ip t {\n chain out {\n  type nat hook output priority -100\n"
			      "  ip daddr 172.20.0.5 udp dport 53 dnat to 10.1.0.1:7000\n }\n"
			      " chain f {\n  type filter hook input priority 0\n  ct state new accept\n }\n}\n"
			      "table ip6 t {\n chain f {\n  type filter hook input priority 0\n  ct state new accept\n }\n}\n";

static struct vw_ip ip(const char *text)
{
	struct vw_ip out;

	assert_int_equal(vw_ip_parse(text, &out), 0);
	return out;
}

static socklen_t address(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
	const struct vw_ip a = ip(text);

	*ret = (struct sockaddr_storage){ .ss_family = a.family };
	if (a.family == AF_INET) {
		((struct sockaddr_in *)ret)->sin_port = htons(port);
		memcpy(&((struct sockaddr_in *)ret)->sin_addr, a.b, 4);
		return sizeof(struct sockaddr_in);
	}
	((struct sockaddr_in6 *)ret)->sin6_port = htons(port);
	memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, a.b, 16);
	return sizeof(struct sockaddr_in6);
}

/** talk() - one datagram, and with it an entry; nobody listens, which the kernel's refusal does not undo. */
static void talk(const char *from, const char *to, uint16_t port)
{
	struct sockaddr_storage src, dst;
	const socklen_t len = address(from, 0, &src);
	vw_auto_close int fd = socket(src.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&src, len), 0);
	(void)address(to, port, &dst);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&dst, len), 1);
}

static bool any(const struct vw_ip *a, const void *arg)
{
	return true;
}

/**
 * wait_usable() - until datagrams from @from reach @to: the kernel gives an IPv6 address its route from a work queue, some time after
 * it was added, and what is sent before goes astray.
 */
static void wait_usable(const char *from, const char *to)
{
	struct sockaddr_storage a;
	const socklen_t len = address(to, 9, &a);
	vw_auto_close int fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct vw_err err;
	int tries = 0;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	do
		talk(from, to, 9);
	while (poll(&p, 1, 20) == 0 && ++tries < 500);
	assert_true(tries < 500);
	ok(vw_ct_purge_if(any, NULL, &err));
}

static int setup(void **state)
{
	static const char *const own[] = { "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "172.20.0.5", "fd00::1", "fd00::2" };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	netns_private(state);
	if (!*state)
		return 0;
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_set_up(&b, LO_IFINDEX, "lo");
	for (size_t i = 0; i < VW_ARRAY_SIZE(own); i++) {
		const struct vw_ip a = ip(own[i]);

		(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = LO_IFINDEX, .addr = vw_cidr_host(&a), .flags = VW_ADDR_NODAD });
	}
	ok(vw_nl_commit(&nl, &b, &err));
	ok(vw_nft_run(ruleset, &err));
	wait_usable("fd00::1", "fd00::2");
	return 0;
}

static int purge(const char *const *text, size_t n)
{
	struct vw_ip ips[8];
	struct vw_err err;

	for (size_t i = 0; i < n; i++)
		ips[i] = ip(text[i]);
	return ok(vw_ct_purge(ips, n, &err));
}

static void talk_all(void)
{
	talk("10.1.0.1", "10.1.0.2", 1000);     /* it asked */
	talk("10.1.0.3", "10.1.0.1", 1000);     /* it was asked */
	talk("10.1.0.4", "172.20.0.5", 53);     /* it was asked as a service */
	talk("10.1.0.3", "10.1.0.4", 1000);     /* not about it */
	talk("fd00::1", "fd00::2", 1000);
}

static void test_what_is_about_an_address_goes(void **state)
{
	struct vw_err err;

	NETNS_OR_SKIP(state);
	talk_all();
	assert_int_equal(purge((const char *[]){ "10.1.0.9" }, 1), 0);
	assert_int_equal(purge((const char *[]){ "10.1.0.1" }, 1), 3);
	assert_int_equal(purge((const char *[]){ "10.1.0.1" }, 1), 0);
	assert_int_equal(purge((const char *[]){ "fd00::2" }, 1), 1);
	assert_int_equal(ok(vw_ct_purge_if(any, NULL, &err)), 1);
}

/* A service's door is what the client sent to, whatever that was translated to. */
static void test_what_was_sent_to_a_port_goes(void **state)
{
	const struct vw_ip door = ip("172.20.0.5"), door6 = ip("fd00::2");
	struct vw_err err;

	NETNS_OR_SKIP(state);
	talk_all();
	talk("10.1.0.4", "172.20.0.5", 54);
	assert_int_equal(ok(vw_ct_purge_to(&door, IPPROTO_TCP, 53, &err)), 0);
	assert_int_equal(ok(vw_ct_purge_to(&door, IPPROTO_UDP, 53, &err)), 1);
	assert_int_equal(ok(vw_ct_purge_to(&door, IPPROTO_UDP, 53, &err)), 0);
	assert_int_equal(ok(vw_ct_purge_to(&door6, IPPROTO_UDP, 1000, &err)), 1);
	assert_int_equal(ok(vw_ct_purge_if(any, NULL, &err)), 4);
}

static void test_many_addresses_are_one_dump(void **state)
{
	struct vw_err err;

	NETNS_OR_SKIP(state);
	assert_true(6 > VW_CT_FILTERED);
	talk_all();
	assert_int_equal(purge((const char *[]){ "10.1.0.9", "10.1.0.1", "10.1.0.10", "10.1.0.11", "10.1.0.12", "fd00::1" }, 6), 4);
	assert_int_equal(ok(vw_ct_purge_if(any, NULL, &err)), 1);
	assert_int_equal(purge(NULL, 0), 0);
}

/* more than one answer of the kernel, and more than one chunk of a batch */
static void test_a_long_table(void **state)
{
	struct vw_err err;

	NETNS_OR_SKIP(state);
	for (uint16_t port = 1; port <= 2000; port++)
		talk("10.1.0.1", "10.1.0.2", port);
	talk("10.1.0.3", "10.1.0.4", 1);
	assert_int_equal(purge((const char *[]){ "10.1.0.2" }, 1), 2000);
	assert_int_equal(ok(vw_ct_purge_if(any, NULL, &err)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_about_an_address_goes),
		cmocka_unit_test(test_what_was_sent_to_a_port_goes),
		cmocka_unit_test(test_many_addresses_are_one_dump),
		cmocka_unit_test(test_a_long_table),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
