// SPDX-License-Identifier: Apache-2.0
/* IPv6 of the node, against the real kernel: forwarding that keeps router advertisements, rules and tables of ENIs, repair. */
#include "daemon/hostnet.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/net/view/nft.h"
#include "tests/unit/netns_fixture.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define ADDR6 "2001:db8::20"

struct node {
	struct vw_nl nl;
	struct hostnet *hn;
	struct hostnet_eni eni[2];
};

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text, &c), 0);
	return c;
}

static void commit(struct vw_nl *nl, struct vw_nl_batch *b)
{
	struct vw_err err;

	ok(vw_nl_commit(nl, b, &err));
	vw_nl_batch_reset(b);
}

static struct hostnet_eni make_eni(struct node *n, unsigned int number)
{
	struct hostnet_eni e = { .id = "eni-test", .number = number, .table = hostnet_eni_table(0, number), .ipv6 = true };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char peer[IFNAMSIZ];
	struct vw_link link;
	struct vw_err err;

	assert_true(vw_fmt(e.ifname, sizeof(e.ifname), "eth%u", number) > 0);
	assert_true(vw_fmt(peer, sizeof(peer), "vpc%u", number) > 0);
	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = e.ifname, .netns_fd = -1 },
			       &(struct vw_link_end){ .name = peer, .netns_fd = -1 });
	(void)vw_link_set(&b, &(struct vw_link_set){ .name = peer, .what = VW_LINK_UP });
	commit(&n->nl, &b);
	ok(vw_link_get_name(&n->nl, e.ifname, &link, &err));
	e.ifindex = link.ifindex;
	e.addr = number ? cidr("10.0.0.20/24") : cidr("10.0.0.10/24");
	assert_int_equal(vw_ip_parse("10.0.0.1", &e.gateway), 0);
	return e;
}

static int setup(void **state)
{
	struct vw_err err;
	struct node *n;

	if (access("/proc/sys/net/ipv6", F_OK) < 0 || unshare(CLONE_NEWNET) < 0) {
		print_message("# skip: needs root and a kernel with IPv6\n");
		*state = NULL;
		return 0;
	}
	n = calloc(1, sizeof(*n));
	assert_non_null(n);
	*state = n;
	ok(vw_nl_open(&n->nl, &err));
	ok(hostnet_new(&n->hn, &err));
	n->eni[0] = make_eni(n, 0);
	n->eni[1] = make_eni(n, 1);
	assert_int_equal(vw_ip_parse(ADDR6, &n->eni[1].addr6), 0);
	return 0;
}

/* the next test's unshare() leaves this one's namespace behind */
static int teardown(void **state)
{
	struct node *n = *state;

	if (!n)
		return 0;
	hostnet_free(n->hn);
	vw_nl_close(&n->nl);
	free(n);
	return 0;
}

#define NODE_OR_SKIP(state) \
	struct node *n = *(state); \
	struct vw_err err = { 0 }; \
	(void)err; \
	if (!n) \
		skip()

static void set_all_up(struct node *n)
{
	const struct vw_cidr vpc = cidr("10.0.0.0/16");
	struct hostnet_nat nat = { .primary_ifname = "eth0", .primary_addr = n->eni[0].addr.ip, .vpc = &vpc, .n_vpc = 1 };
	struct vw_err err;

	ok(hostnet_init(n->hn, 0, &err));
	ok(hostnet_init6(n->hn, &err));
	ok(hostnet_eni_setup(n->hn, &n->eni[0], &err));
	ok(hostnet_eni_setup(n->hn, &n->eni[1], &err));
	ok(hostnet_nat_apply(n->hn, &nat, &err));
}

static void assert_sysctl(const char *ifname, const char *key, const char *want)
{
	char value[8];
	struct vw_err err;

	ok(vw_sysctl_if_get(AF_INET6, ifname, key, value, sizeof(value), &err));
	assert_string_equal(value, want);
}

/** assert_rules() - @want is "priority:table " of each of our IPv6 rules, in the kernel's order. */
static void assert_rules(struct node *n, const char *want)
{
	vw_auto_free struct vw_rule *rules = NULL;
	char text[128] = "";
	size_t len = 0;
	struct vw_err err;
	int count = ok(vw_rule_list(&n->nl, AF_INET6, &rules, &err));

	for (int i = 0; i < count; i++)
		if (rules[i].protocol == VW_RTPROT)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%u:%u ", rules[i].priority, rules[i].table);
	assert_string_equal(text, want);
}

/** assert_nft() - the listing holds @word; NULL: there is nothing to list. */
static void assert_nft(struct node *n, const char *listing, const char *word)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT;
	struct vw_err err;

	if (!word)
		assert_int_equal(vw_nft_query(listing, &out, &err), -ENOENT);
	else
		ok(vw_nft_query(listing, &out, &err));
	if (word && !strstr(vw_buf_str(&out), word))
		fail_msg("%s has no %s: %s", listing, word, vw_buf_str(&out));
}

static int routes_in(struct node *n, uint32_t table, unsigned int ifindex)
{
	struct vw_route *routes = NULL;
	struct vw_err err;
	int count = ok(vw_route_list(&n->nl, AF_INET6, table, ifindex, 0, &routes, &err));

	free(routes);
	return count;
}

static void expect_stale(struct node *n, const char *words)
{
	struct vw_err err = { 0 };

	assert_int_equal(hostnet_verify(n->hn, n->eni, 2, &err), -ESTALE);
	if (!strstr(err.msg, words))
		fail_msg("'%s' does not say '%s'", err.msg, words);
}

/* A kernel that begins to forward forgets advertised routes of interfaces whose accept_ra is 1. */
static void test_advertisements_survive_forwarding(void **state)
{
	NODE_OR_SKIP(state);
	ok(vw_sysctl_if_set(AF_INET6, "eth0", "accept_ra", "1", &err));
	ok(vw_sysctl_if_set(AF_INET6, "vpc0", "accept_ra", "0", &err));
	ok(hostnet_init(n->hn, 0, &err));
	assert_sysctl("all", "forwarding", "0");        /* without IPv6 pods, IPv6 of the node is left alone */
	assert_sysctl("eth0", "accept_ra", "1");
	ok(hostnet_init6(n->hn, &err));
	assert_sysctl("all", "forwarding", "1");
	assert_sysctl("eth0", "accept_ra", "2");
	assert_sysctl("vpc0", "accept_ra", "0");        /* somebody's decision */
}

static void test_a_disabled_kernel_is_enabled(void **state)
{
	NODE_OR_SKIP(state);

	ok(vw_sysctl_if_set(AF_INET6, "all", "disable_ipv6", "1", &err));
	set_all_up(n);
	assert_sysctl("eth1", "disable_ipv6", "0");
	assert_sysctl("default", "disable_ipv6", "0");
}

static void test_rules_and_tables(void **state)
{
	struct vw_route route = { 0 };
	struct vw_route_query q = { .mark = 1 };
	struct vw_ip router;

	NODE_OR_SKIP(state);
	set_all_up(n);
	set_all_up(n);                                  /* again: the same */
	assert_rules(n, "512:22103 1024:254 1537:2 ");
	assert_int_equal(routes_in(n, 2, 0), 2);
	assert_sysctl("eth1", "accept_ra", "0");
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	assert_int_equal(vw_ip_parse("2001:db8:ffff::1", &q.dst), 0);
	assert_int_equal(vw_ip_parse(HOSTNET_ROUTER6, &router), 0);
	ok(vw_route_lookup(&n->nl, &q, &route, &err));
	assert_int_equal(route.ifindex, n->eni[1].ifindex);
	assert_true(vw_ip_eq(&route.via, &router));
	/* its own address goes: so does what gives it a mark */
	assert_nft(n, "list chain ip6 vpcwire own", ADDR6);
	n->eni[1].addr6 = (struct vw_ip){ 0 };
	ok(hostnet_eni_setup(n->hn, &n->eni[1], &err));
	assert_rules(n, "512:22103 1024:254 1537:2 ");
	assert_nft(n, "list chain ip6 vpcwire own", NULL);
	assert_nft(n, "list chain ip vpcwire own", "10.0.0.20");
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
}

static void test_nothing_in_main_leads_through_a_second_eni(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	NODE_OR_SKIP(state);
	(void)vw_link_set_up(&b, n->eni[1].ifindex, "eth1");
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("2001:db8:0:1::/64"), .ifindex = n->eni[1].ifindex,
						   .protocol = RTPROT_RA });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("::/0"), .ifindex = n->eni[1].ifindex,
						   .protocol = RTPROT_RA });
	commit(&n->nl, &b);
	set_all_up(n);
	/* the link's own fe80::/64 stays; the kernel makes it some time after the link was set up, from a work queue */
	for (int tries = 0; tries < 500 && routes_in(n, RT_TABLE_MAIN, n->eni[1].ifindex) == 0; tries++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(routes_in(n, RT_TABLE_MAIN, n->eni[1].ifindex), 1);
}

static void test_what_others_remove_is_seen_and_put_back(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rule rule = { .family = AF_INET6, .protocol = VW_RTPROT, .priority = HOSTNET_PRIO_ENI + 1, .fwmark = 1,
				      .fwmask = HOSTNET_MARK_ENI_MASK, .table = 2 };

	NODE_OR_SKIP(state);
	set_all_up(n);
	(void)vw_rule_del(&b, &rule);
	commit(&n->nl, &b);
	expect_stale(n, "IPv6 rule");
	set_all_up(n);
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	(void)vw_route_del(&b, &(struct vw_route){ .dst = cidr("::/0"), .table = 2, .protocol = VW_RTPROT });
	commit(&n->nl, &b);
	expect_stale(n, "IPv6 route");
	set_all_up(n);
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	ok(vw_sysctl_if_set(AF_INET6, "all", "forwarding", "0", &err));
	expect_stale(n, "net.ipv6.conf.all.forwarding is 0");
}

static void test_remove_and_down(void **state)
{
	NODE_OR_SKIP(state);

	set_all_up(n);
	ok(hostnet_eni_remove(n->hn, &n->eni[1], &err));
	assert_rules(n, "512:22103 1024:254 ");
	assert_int_equal(routes_in(n, 2, 0), 0);
	set_all_up(n);
	ok(hostnet_down(n->hn, &err));
	assert_rules(n, "");
	assert_int_equal(routes_in(n, 2, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_advertisements_survive_forwarding),
		T(test_a_disabled_kernel_is_enabled),
		T(test_rules_and_tables),
		T(test_nothing_in_main_leads_through_a_second_eni),
		T(test_what_others_remove_is_seen_and_put_back),
		T(test_remove_and_down),
	};

	return cmocka_run_group_tests_name("hostnet6", tests, NULL, NULL);
}
