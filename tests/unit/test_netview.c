/* lib/net/view against the real kernel, in a namespace of its own: dumps, the monitor, nftables. */
#include "lib/net/view/nft.h"
#include "lib/net/view/view.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/net/sysctl.h"
#include "lib/net/tc.h"
#include "tests/unit/netns_fixture.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr out;

	assert_int_equal(vw_cidr_parse(text, &out), 0);
	return out;
}

/** world() - va/vb, an address, a route in a table, a rule: one of each kind that the view shows. */
static unsigned int world(struct vw_nl *nl)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link l;
	struct vw_err err;

	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "va", .ifindex = 0x20000003, .up = true },
			       &(struct vw_link_end){ .name = "vb", .ifindex = 0x20000004 });
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = 0x20000003, .what = VW_LINK_ALIAS, .alias = "vpcwire:x/y" });
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = 0x20000003, .addr = cidr("10.0.1.7/24") });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.7.0.5/32"), .table = 22103, .scope = RT_SCOPE_LINK,
						   .ifindex = 0x20000003 });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .via = cidr("10.0.1.1").ip, .table = 3,
						   .ifindex = 0x20000003 });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f,
						 .table = 3 });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 32765, .from = cidr("10.0.1.7/32"),
						 .table = 3 });
	ok(vw_nl_commit(nl, &b, &err));
	ok(vw_link_get(nl, 0x20000003, &l, &err));
	return l.ifindex;
}

static void unmake(struct vw_nl *nl)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err err;

	(void)vw_link_del_name(&b, "va");
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .table = 3 });
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 32765, .table = 3 });
	ok(vw_nl_commit(nl, &b, &err));
}

/* The view (libnl) and lib/net (libmnl) must tell the same story about the same objects. */
static void test_dumps(void **state)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_free struct vw_link *links = NULL;
	vw_auto_free struct vw_addr *addrs = NULL;
	vw_auto_free struct vw_route *routes = NULL, *all = NULL, *direct = NULL;
	vw_auto_free struct vw_rule *rules = NULL, *direct_rules = NULL;
	struct vw_view *v = NULL;
	struct vw_link one;
	unsigned int ifindex;
	struct vw_err err;
	int n, found = 0;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	ifindex = world(&nl);
	ok(vw_view_new(&v, &err));

	n = ok(vw_view_links(v, &links, &err));
	assert_int_equal(n, 3);
	ok(vw_link_get(&nl, ifindex, &one, &err));
	for (int i = 0; i < n; i++)
		found += links[i].ifindex == ifindex && strcmp(links[i].name, one.name) == 0 &&
			 strcmp(links[i].kind, "veth") == 0 && strcmp(links[i].alias, "vpcwire:x/y") == 0 &&
			 vw_mac_eq(&links[i].mac, &one.mac) && links[i].mtu == one.mtu &&
			 links[i].peer_ifindex == one.peer_ifindex && links[i].peer_netnsid == one.peer_netnsid;
	assert_int_equal(found, 1);

	n = ok(vw_view_addrs(v, AF_INET, &addrs, &err));
	assert_int_equal(n, 1);
	assert_true(vw_cidr_eq(&addrs[0].addr, &(struct vw_cidr){ vw_ip4(0x0a000107), 24 }));
	assert_int_equal(addrs[0].ifindex, ifindex);

	assert_int_equal(ok(vw_view_routes(v, AF_INET, 22103, &routes, &err)), 1);
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 22103, 0, 0, &direct, &err)), 1);
	assert_memory_equal(&routes[0], &direct[0], sizeof(routes[0]));
	free(routes);
	free(direct);
	assert_int_equal(ok(vw_view_routes(v, AF_INET, 3, &routes, &err)), 1);
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 3, 0, 0, &direct, &err)), 1);
	assert_memory_equal(&routes[0], &direct[0], sizeof(routes[0]));
	assert_true(ok(vw_view_routes(v, 0, 0, &all, &err)) > 2);

	n = ok(vw_view_rules(v, AF_INET, &rules, &err));
	assert_int_equal(n, ok(vw_rule_list(&nl, AF_INET, &direct_rules, &err)));
	for (int i = 0; i < n; i++)
		assert_true(vw_rule_eq(&rules[i], &direct_rules[i]));
	v = vw_view_free(v);
	unmake(&nl);
}

static const struct vw_monitor_want everything = {
	.kinds = VW_EVENT_BIT(VW_EVENT_LINK) | VW_EVENT_BIT(VW_EVENT_ADDR) | VW_EVENT_BIT(VW_EVENT_ROUTE) |
		 VW_EVENT_BIT(VW_EVENT_RULE),
};

struct seen {
	int link_new, link_gone, route_new, route_gone, rule_new, rule_gone, lost, high;
};

static void note(const struct vw_event *ev, void *arg)
{
	struct seen *s = arg;

	if (ev->kind == VW_EVENT_LOST)
		s->lost++;
	s->high += ev->kind == VW_EVENT_LINK && ev->link.ifindex >= 0x20000000;
	if (ev->kind == VW_EVENT_LINK && strcmp(ev->link.name, "va") == 0)
		*(ev->gone ? &s->link_gone : &s->link_new) += 1;
	if (ev->kind == VW_EVENT_ROUTE && ev->route.table == 22103)
		*(ev->gone ? &s->route_gone : &s->route_new) += 1;
	if (ev->kind == VW_EVENT_RULE && ev->rule.priority == 1537)
		*(ev->gone ? &s->rule_gone : &s->rule_new) += 1;
}

static void test_monitor(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_monitor *m = NULL;
	struct seen s = { 0 };
	struct vw_err err;
	struct pollfd pfd = { .events = POLLIN };

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	ok(vw_monitor_new(&everything, note, &s, &m, &err));
	assert_int_equal(ok(vw_monitor_read(m, &err)), 0);      /* does not block */
	world(&nl);
	/* the route goes by itself, so that its event does not depend on how the kernel reports a dying link */
	(void)vw_route_del(&b, &(struct vw_route){ .dst = cidr("10.7.0.5/32"), .table = 22103 });
	ok(vw_nl_commit(&nl, &b, &err));
	unmake(&nl);
	pfd.fd = vw_monitor_fd(m);
	while (!s.link_gone || !s.rule_gone || !s.route_gone) {
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		ok(vw_monitor_read(m, &err));
	}
	assert_true(s.link_new > 0);
	assert_int_equal(s.route_new, 1);
	assert_int_equal(s.route_gone, 1);
	assert_int_equal(s.rule_new, 1);
	assert_int_equal(s.lost, 0);
	vw_monitor_free(m);
}

static void test_monitor_says_when_events_are_lost(void **state)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_monitor *m = NULL;
	struct seen s = { 0 };
	struct vw_err err;
	int small = 1;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	ok(vw_monitor_new(&everything, note, &s, &m, &err));
	assert_int_equal(setsockopt(vw_monitor_fd(m), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small)), 0);
	for (int i = 0; i < 4; i++) {
		world(&nl);
		unmake(&nl);
	}
	while (ok(vw_monitor_read(m, &err)) > 0)
		;
	assert_true(s.lost > 0);
	vw_monitor_free(m);
}

/* Links of pods are the most of all events, and nobody's business; another kind than asked for does not come at all. */
static void test_monitor_hears_only_what_it_wants(void **state)
{
	static const struct vw_monitor_want odd = { .links_below = 48 },
					    want = { .kinds = VW_EVENT_BIT(VW_EVENT_LINK), .links_below = 0x20000000 };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_monitor *m = NULL;
	struct seen s = { 0 };
	struct vw_err err;
	struct pollfd pfd = { .events = POLLIN };

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	assert_int_equal(vw_monitor_new(&odd, note, &s, &m, &err), -EINVAL);
	ok(vw_monitor_new(&want, note, &s, &m, &err));
	world(&nl);                                             /* va has index 0x20000003 */
	unmake(&nl);
	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "va", .ifindex = 0x1fffffff },
			       &(struct vw_link_end){ .name = "vb" });
	ok(vw_nl_commit(&nl, &b, &err));
	vw_nl_batch_reset(&b);
	(void)vw_link_del_name(&b, "va");
	ok(vw_nl_commit(&nl, &b, &err));
	pfd.fd = vw_monitor_fd(m);
	while (!s.link_gone) {                                  /* events come in order */
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		ok(vw_monitor_read(m, &err));
	}
	assert_int_equal(s.link_gone, 1);
	assert_int_equal(s.high, 0);
	assert_int_equal(s.route_new + s.route_gone + s.rule_new + s.rule_gone + s.lost, 0);
	vw_monitor_free(m);
}

/* --- losses: what is heard is written down, "route- " for one that went */

#define POD 0x20000003
#define HEARD 512

static void write_down(const struct vw_event *ev, void *arg)
{
	static const char *const names[] = { "link", "addr", "route", "rule", "tc", "sysctl", "lost" };
	char *heard = arg;
	size_t len = strlen(heard);

	assert_true(snprintf(heard + len, HEARD - len, "%s%s ", names[ev->kind], ev->gone ? "-" : "") < (int)(HEARD - len));
}

struct losses {
	struct vw_nl nl;        /* its doing is heard */
	struct vw_monitor *m;
	char heard[HEARD];
};

/* all that has been heard until now; the rule that ends it comes in order */
static const char *so_far(struct losses *l)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rule end = { .family = AF_INET, .priority = 999, .table = 3 };
	struct pollfd pfd = { .fd = vw_monitor_fd(l->m), .events = POLLIN };
	struct vw_err err;
	char *last;

	(void)vw_rule_add(&b, &end);
	(void)vw_rule_del(&b, &end);
	ok(vw_nl_commit(&l->nl, &b, &err));
	while (!(last = strstr(l->heard, "rule- "))) {
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		ok(vw_monitor_read(l->m, &err));
	}
	*last = 0;
	return l->heard;
}

static void do_one(struct losses *l, struct vw_nl_batch *b)
{
	struct vw_err err;

	l->heard[0] = 0;
	ok(vw_nl_commit(&l->nl, b, &err));
	vw_nl_batch_reset(b);
}

#define EXPECT(l, b, words) \
	do { \
		do_one((l), (b)); \
		assert_string_equal(so_far(l), (words)); \
	} while (0)

static void losses_new(struct losses *l, uint32_t own)
{
	const struct vw_monitor_want want = {
		.kinds = VW_EVENT_BIT(VW_EVENT_LINK) | VW_EVENT_BIT(VW_EVENT_ADDR) | VW_EVENT_BIT(VW_EVENT_ROUTE) |
			 VW_EVENT_BIT(VW_EVENT_RULE) | VW_EVENT_BIT(VW_EVENT_TC) | VW_EVENT_BIT(VW_EVENT_SYSCTL),
		.links_below = 0x20000000, .losses = true, .own = { own },
	};
	struct vw_err err;

	ok(vw_monitor_new(&want, write_down, l->heard, &l->m, &err));
}

static void test_monitor_hears_losses_alone(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_route ours = { .dst = cidr("10.7.0.5/32"), .table = 22103, .scope = RT_SCOPE_LINK, .ifindex = POD },
			      theirs = { .dst = cidr("10.7.0.6/32"), .table = 22103, .scope = RT_SCOPE_LINK, .ifindex = POD,
					 .protocol = RTPROT_STATIC };
	struct losses l = { .nl = VW_NL_INIT };
	struct vw_route instead = theirs;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&l.nl, &err));
	losses_new(&l, 0);
	(void)world(&l.nl);                                     /* what an ADD makes */
	assert_string_equal(so_far(&l), "");
	(void)vw_clsact_add(&b, POD, "va");
	EXPECT(&l, &b, "");
	(void)vw_clsact_del(&b, POD, "va");
	EXPECT(&l, &b, "tc- ");
	(void)vw_route_add(&b, &theirs);
	(void)vw_route_del(&b, &theirs);
	EXPECT(&l, &b, "");                                     /* somebody else's */
	(void)vw_route_del(&b, &ours);
	EXPECT(&l, &b, "route- ");
	(void)vw_route_replace(&b, &ours);
	EXPECT(&l, &b, "");
	instead.dst = ours.dst;
	(void)vw_route_replace(&b, &instead);
	EXPECT(&l, &b, "route ");
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD, .what = VW_LINK_MTU, .mtu = 1400 });
	EXPECT(&l, &b, "");
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD, .what = VW_LINK_DOWN });
	EXPECT(&l, &b, "link ");
	ok(vw_sysctl_if_set(AF_INET, "va", "forwarding", "1", &err));
	EXPECT(&l, &b, "sysctl ");
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = 1, .addr = cidr("169.254.1.1/32") });
	EXPECT(&l, &b, "");
	(void)vw_addr_del(&b, &(struct vw_addr){ .ifindex = 1, .addr = cidr("169.254.1.1/32") });
	EXPECT(&l, &b, "addr- ");
	l.heard[0] = 0;
	unmake(&l.nl);                                          /* a pod that goes, then the rules */
	assert_string_equal(so_far(&l), "");
	vw_monitor_free(l.m);
	vw_nl_close(&l.nl);
}

/* what a pod's link is made with comes and goes unheard; what somebody changes of it does not */
static void test_monitor_hears_changes_of_pods_links(void **state)
{
	enum { GROUP = 0x56570001, DYING = 0x56570d1e, MTU = 9001 };
	const struct vw_monitor_want want = {
		.kinds = VW_EVENT_BIT(VW_EVENT_LINK) | VW_EVENT_BIT(VW_EVENT_ADDR) | VW_EVENT_BIT(VW_EVENT_RULE),
		.links_below = 0x20000000, .losses = true, .as_made = { .group = GROUP, .dying = DYING, .mtu = MTU, .mac = 0xee50 },
	};
	const struct vw_link_end host = { .name = "va", .ifindex = POD, .mac = { { 0xee, 0x56, 10, 0, 0, 1 } }, .mtu = MTU, .group = GROUP, .netns_fd = -1 },
				 pod = { .name = "vb", .ifindex = POD + 1, .mac = { { 0xee, 0x57, 10, 0, 0, 1 } }, .mtu = MTU, .group = GROUP, .netns_fd = -1 };
	const struct vw_addr gateway = { .ifindex = POD, .addr = cidr("fe80::1/64"), .flags = VW_ADDR_NODAD },
			     other = { .ifindex = POD, .addr = cidr("fe80::2/64"), .flags = VW_ADDR_NODAD },
			     four = { .ifindex = POD, .addr = cidr("10.7.0.1/32") };
	const struct vw_link_set changes[] = {
		{ .ifindex = POD, .what = VW_LINK_MTU, .mtu = 1400 },
		{ .ifindex = POD, .what = VW_LINK_GROUP, .group = 7 },
		{ .ifindex = POD, .what = VW_LINK_MAC, .mac = { { 0xee, 0x66, 10, 0, 0, 1 } } },
		{ .ifindex = POD, .what = VW_LINK_DOWN },
	}, back[] = {
		{ .ifindex = POD, .what = VW_LINK_MTU, .mtu = MTU },
		{ .ifindex = POD, .what = VW_LINK_GROUP, .group = GROUP },
		{ .ifindex = POD, .what = VW_LINK_MAC, .mac = { { 0xee, 0x58, 10, 0, 0, 1 } } },
		{ .ifindex = POD, .what = VW_LINK_UP },
	};
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct losses l = { .nl = VW_NL_INIT };
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&l.nl, &err));
	ok(vw_monitor_new(&want, write_down, l.heard, &l.m, &err));
	(void)vw_link_add_veth(&b, &host, &pod);
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD, .what = VW_LINK_ALIAS | VW_LINK_UP, .alias = "vpcwire:x/y" });
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD + 1, .what = VW_LINK_UP });
	(void)vw_addr_add(&b, &gateway);
	(void)vw_addr_add(&b, &other);
	(void)vw_addr_add(&b, &four);
	EXPECT(&l, &b, "");
	for (size_t i = 0; i < VW_ARRAY_SIZE(changes); i++) {
		(void)vw_link_set(&b, &changes[i]);
		l.heard[0] = 0;
		do_one(&l, &b);
		assert_non_null(strstr(so_far(&l), "link "));
		(void)vw_link_set(&b, &back[i]);
		EXPECT(&l, &b, "");
	}
	(void)vw_addr_replace(&b, &gateway);                    /* went with "down" */
	(void)vw_addr_add(&b, &other);
	EXPECT(&l, &b, "");
	(void)vw_addr_del(&b, &other);
	(void)vw_addr_del(&b, &four);
	EXPECT(&l, &b, "");
	(void)vw_addr_del(&b, &gateway);
	EXPECT(&l, &b, "addr- ");
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD, .what = VW_LINK_GROUP, .group = DYING });
	(void)vw_link_del_group(&b, DYING);
	EXPECT(&l, &b, "");
	vw_monitor_free(l.m);
	vw_nl_close(&l.nl);
}

static void test_monitor_leaves_out_what_we_do_ourselves(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl own = VW_NL_INIT;
	struct losses l = { .nl = VW_NL_INIT };
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&l.nl, &err));
	ok(vw_nl_open(&own, &err));
	(void)world(&own);
	losses_new(&l, own.portid);
	(void)vw_route_del(&b, &(struct vw_route){ .dst = cidr("10.7.0.5/32"), .table = 22103 });
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD, .what = VW_LINK_GROUP, .group = 0x56570d1e });
	ok(vw_nl_commit(&own, &b, &err));
	unmake(&own);                                           /* its rules too */
	assert_string_equal(so_far(&l), "");
	vw_monitor_free(l.m);
	vw_nl_close(&l.nl);
}

static void test_nft_watch(void **state)
{
	struct vw_nft_watch *w = NULL;
	char by[VW_NFT_BY_LEN];
	struct pollfd pfd = { .events = POLLIN };
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nft_watch_new(&w, &err));
	assert_int_equal(ok(vw_nft_watch_read(w, by, &err)), 0);
	ok(vw_nft_run("table ip a {\n set s { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }\n chain c {\n ip saddr @s drop\n }\n}\n", &err));
	pfd.fd = vw_nft_watch_fd(w);
	assert_int_equal(poll(&pfd, 1, 20000), 1);
	assert_int_equal(ok(vw_nft_watch_read(w, by, &err)), 1);        /* one, however much was in it */
	assert_string_equal(by, "test_netview");
	assert_int_equal(ok(vw_nft_watch_read(w, by, &err)), 0);
	ok(vw_nft_run("delete element ip a s { 192.0.2.1 }\n", &err));
	assert_int_equal(poll(&pfd, 1, 20000), 1);
	vw_nft_watch_free(w);
}

static void test_nft(void **state)
{
	static const char good[] = "table ip vwtest\ndelete table ip vwtest\n"
				   "table ip vwtest {\n set vpc { type ipv4_addr; flags interval; elements = { 10.0.0.0/16 } }\n"
				   " chain c {\n  type filter hook prerouting priority -90\n"
				   "  ip daddr @vpc meta mark set meta mark or 0x80\n }\n}\n";
	static const char half[] = "add chain ip vwtest extra\nadd rule ip vwtest nowhere drop\n";
	vw_auto_buf struct vw_buf out = VW_BUF_INIT;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	assert_int_equal(vw_nft_query("list table ip vwtest", &out, &err), -ENOENT);
	ok(vw_nft_run(good, &err));
	ok(vw_nft_run(good, &err));                             /* again: replaced, not doubled */
	ok(vw_nft_query("list table ip vwtest", &out, &err));
	assert_non_null(strstr(vw_buf_str(&out), "\"nftables\""));
	assert_non_null(strstr(vw_buf_str(&out), "\"10.0.0.0\""));
	assert_null(strstr(strstr(vw_buf_str(&out), "\"name\": \"c\"") + 1, "\"name\": \"c\""));

	assert_true(vw_nft_run(half, &err) < 0);                /* all or nothing */
	vw_buf_reset(&out);
	ok(vw_nft_query("list table ip vwtest", &out, &err));
	assert_null(strstr(vw_buf_str(&out), "extra"));

	assert_int_equal(vw_nft_run("add rule ip vwtest c frobnicate\n", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "syntax error"));
	assert_null(strchr(err.msg, '\n'));
	ok(vw_nft_run("delete table ip vwtest\n", &err));
	assert_int_equal(vw_nft_run("delete table ip vwtest\n", &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dumps),
		cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_monitor_says_when_events_are_lost),
		cmocka_unit_test(test_monitor_hears_only_what_it_wants),
		cmocka_unit_test(test_monitor_hears_losses_alone),
		cmocka_unit_test(test_monitor_hears_changes_of_pods_links),
		cmocka_unit_test(test_monitor_leaves_out_what_we_do_ourselves),
		cmocka_unit_test(test_nft_watch),
		cmocka_unit_test(test_nft),
	};

	return cmocka_run_group_tests(tests, netns_private, NULL);
}
