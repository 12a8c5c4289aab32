/* lib/net against the real kernel, in a namespace of its own: everything made is read back, every error is looked at. */
#include "lib/net/addr.h"
#include "lib/net/addrlabel.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/conf6.h"
#include "lib/net/sysctl.h"
#include "lib/net/tc.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "tests/unit/netns_fixture.h"

#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr out;

	assert_int_equal(vw_cidr_parse(text, &out), 0);
	return out;
}

static struct vw_ip ip(const char *text)
{
	return cidr(text).ip;
}

#define PAIR(h, p) \
	&(struct vw_link_end){ .name = (h), .up = true }, \
	&(struct vw_link_end){ .name = (p) }

static void commit(struct vw_nl *nl, struct vw_nl_batch *b)
{
	struct vw_err err;

	ok(vw_nl_commit(nl, b, &err));
	for (size_t i = 0; i < b->n; i++)
		assert_int_equal(b->ops[i].outcome, VW_NL_DONE);
	vw_nl_batch_reset(b);
}

static void drop_link(struct vw_nl *nl, const char *name)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	(void)vw_link_del_name(&b, name);
	commit(nl, &b);
}

/* What the plugin does: everything given at creation, the peer born in another namespace. */
static void test_veth_into_netns(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT, pod = VW_NL_INIT;
	vw_auto_close int ns = -EBADF;
	struct vw_link_end host = { .name = "eni0123456789a", .ifindex = 0x20000007, .mac = { { 2, 0, 0, 0, 0, 7 } },
				    .mtu = 9001, .group = 5, .up = true };
	struct vw_link_end peer = { .name = "eth0", .mac = { { 2, 0, 0, 0, 0, 8 } }, .mtu = 9001 };
	unsigned int index;
	struct vw_link l, p;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	peer.netns_fd = ns = netns_new();
	ok(vw_nl_open(&nl, &err));
	ok(vw_nl_open_at(&pod, ns, &err));
	(void)vw_link_add_veth(&b, &host, &peer);
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = 0x20000007, .what = VW_LINK_ALIAS,
						     .alias = "vpcwire:abc/eth0" });
	commit(&nl, &b);
	ok(vw_link_get(&nl, 0x20000007, &l, &err));
	assert_string_equal(l.name, "eni0123456789a");
	assert_string_equal(l.kind, "veth");
	assert_string_equal(l.alias, "vpcwire:abc/eth0");
	assert_memory_equal(l.mac.b, host.mac.b, 6);
	assert_int_equal(l.mtu, 9001);
	assert_int_equal(l.group, 5);
	assert_true(l.flags & IFF_UP);
	assert_true(l.peer_netnsid >= 0);
	ok(vw_link_get_name(&pod, "eth0", &p, &err));
	assert_int_equal(p.ifindex, l.peer_ifindex);
	assert_memory_equal(p.mac.b, peer.mac.b, 6);
	assert_int_equal(p.mtu, 9001);
	assert_false(p.flags & IFF_UP);
	assert_int_equal(vw_link_get_name(&nl, "eth0", &p, &err), -ENODEV);
	/* of the socket's namespace, not of the thread's */
	ok(vw_link_index(&pod, "eth0", &index, &err));
	assert_int_equal(index, p.ifindex);
	index = 1;
	assert_int_equal(vw_link_index(&nl, "eth0", &index, &err), -ENODEV);
	assert_string_equal(err.msg, "looking up link eth0: No such device");
	assert_int_equal(vw_link_index(&nl, "a name too long!", &index, &err), -EINVAL);
	assert_int_equal(vw_link_index(&nl, "", &index, &err), -EINVAL);
	assert_int_equal(index, 1);

	/* once more: the name, then the index is taken; nothing changes */
	(void)vw_link_add_veth(&b, &host, &peer);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "creating veth eni0123456789a with peer eth0"));
	vw_nl_batch_reset(&b);
	host.name = "eniother";
	peer.name = "eth9";
	(void)vw_link_add_veth(&b, &host, &peer);
	assert_true(vw_nl_commit(&nl, &b, &err) < 0);
	assert_int_equal(vw_link_get_name(&pod, "eth9", &p, &err), -ENODEV);
	drop_link(&nl, "eni0123456789a");
	assert_int_equal(vw_link_get_name(&pod, "eth0", &p, &err), -ENODEV);
}

/* Where there is no IPv6 (an MTU below 1280; a kernel without it answers alike) nothing has to be done, and that is no failure. */
static void test_no_link_local_addresses(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link_end wide = { .name = "va", .netns_fd = -1 }, narrow = { .name = "vb", .mtu = 1279, .netns_fd = -1 };
	const enum vw_nl_outcome wanted[] = { VW_NL_DONE, VW_NL_WAS_SO, VW_NL_DONE, VW_NL_DONE };
	struct vw_addr *addrs = NULL;
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, &wide, &narrow);
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	(void)vw_link_no_ll6(&b, l.ifindex, NULL);
	(void)vw_link_no_ll6(&b, 0, "vb");
	(void)vw_link_set_up(&b, l.ifindex, NULL);
	(void)vw_link_set(&b, &(struct vw_link_set){ .name = "vb", .what = VW_LINK_UP });
	ok(vw_nl_commit(&nl, &b, &err));
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(b.ops[i].outcome, wanted[i]);
	vw_nl_batch_reset(&b);
	assert_int_equal(ok(vw_addr_list(&nl, l.ifindex, AF_INET6, &addrs, &err)), 0);
	drop_link(&nl, "va");
}

static bool no_memory;

/* of lib/net too: it is asked for when a list grows */
void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (no_memory || __builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* A list that found no memory is not in the way of the next one: the kernel answers EBUSY while a dump is not read to its end. */
static void test_a_dump_without_memory(void **state)
{
	enum { PAIRS = 40 };    /* several datagrams */
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link *links = NULL;
	char h[IFNAMSIZ], p[IFNAMSIZ];
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	for (int i = 0; i < PAIRS; i++) {
		snprintf(h, sizeof(h), "ma%d", i);
		snprintf(p, sizeof(p), "mb%d", i);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = h, .group = 78 }, &(struct vw_link_end){ .name = p });
	}
	commit(&nl, &b);
	no_memory = true;
	assert_int_equal(vw_link_list(&nl, &links, &err), -ENOMEM);
	no_memory = false;
	assert_null(links);
	assert_in_range(ok(vw_link_list(&nl, &links, &err)), 2 * PAIRS + 1, 1000);
	free(links);
	(void)vw_link_del_group(&b, 78);
	commit(&nl, &b);
}

static void test_link_changes(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link_set set = { 0 };
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	set = (struct vw_link_set){ .ifindex = l.ifindex, .mtu = 1400, .group = 77, .mac = { { 2, 1, 1, 1, 1, 1 } },
				    .what = VW_LINK_MTU | VW_LINK_GROUP | VW_LINK_MAC | VW_LINK_DOWN };
	(void)vw_link_set(&b, &set);
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = l.ifindex, .what = VW_LINK_NAME, .new_name = "vc" });
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "vc", &l, &err));
	assert_int_equal(l.mtu, 1400);
	assert_int_equal(l.group, 77);
	assert_memory_equal(l.mac.b, set.mac.b, 6);
	assert_false(l.flags & IFF_UP);
	(void)vw_link_del_group(&b, 77);
	commit(&nl, &b);
	assert_int_equal(vw_link_get_name(&nl, "vc", &l, &err), -ENODEV);
	(void)vw_link_del_group(&b, 77);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	ok(vw_nl_commit(&nl, &b, &err));
	assert_int_equal(b.ops[0].outcome, VW_NL_WAS_SO);
	assert_int_equal(b.ops[0].eno, ENODEV);
}

static void test_failed_batch_is_exact(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link l;
	struct vw_err err;
	int up, addr, no_dev, route, again;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	up = vw_link_set_up(&b, l.ifindex, "va");
	addr = vw_addr_add(&b, &(struct vw_addr){ .ifindex = l.ifindex, .addr = cidr("10.1.0.1/24"), .dev = "va" });
	no_dev = vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.9.0.0/16"), .ifindex = 4711, .dev = "gone0" });
	route = vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.2.0.0/16"), .via = ip("10.1.0.9"),
						     .ifindex = l.ifindex, .dev = "va" });
	again = vw_addr_add(&b, &(struct vw_addr){ .ifindex = l.ifindex, .addr = cidr("10.1.0.1/24"), .dev = "va" });
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ENODEV);
	assert_int_equal(err.eno, ENODEV);
	assert_int_equal(err.cni, VW_CNI_KERNEL);
	assert_non_null(strstr(err.msg, "adding route 10.9.0.0/16 dev gone0"));
	assert_true(vw_nl_op_done(&b, up));
	assert_true(vw_nl_op_done(&b, addr));
	assert_false(vw_nl_op_done(&b, no_dev));
	assert_int_equal(b.ops[no_dev].outcome, VW_NL_FAILED);
	assert_true(vw_nl_op_done(&b, route));                  /* the kernel carries on after a failure */
	assert_false(vw_nl_op_done(&b, again));
	assert_int_equal(b.ops[again].outcome, VW_NL_WAS_SO);
	assert_false(vw_nl_op_done(&b, 99));
	assert_false(vw_nl_op_done(&b, -EINVAL));

	/* the kernel's own explanation comes through */
	vw_nl_batch_reset(&b);
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.3.0.0/16"), .via = ip("172.16.0.1"),
						   .ifindex = l.ifindex, .dev = "va" });
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ENETUNREACH);
	assert_non_null(strstr(err.msg, "gateway"));
	drop_link(&nl, "va");
}

static void test_many_messages(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_free struct vw_route *routes = NULL;
	struct vw_route r = { .dst = cidr("10.0.0.0/32"), .table = 22103, .scope = RT_SCOPE_LINK };
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	r.ifindex = l.ifindex;
	for (unsigned int i = 0; i < 1000; i++) {
		r.dst.ip = vw_ip4(0x0a000000 + i);
		(void)vw_route_replace(&b, &r);
	}
	commit(&nl, &b);
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 22103, 0, 0, &routes, &err)), 1000);
	assert_int_equal(vw_ip4_u32(&routes[999].dst.ip), 0x0a000000 + 999);

	/* a failure in the first chunk: what follows is not sent */
	for (unsigned int i = 0; i < 300; i++) {
		r.dst.ip = vw_ip4(0x0b000000 + i);
		r.ifindex = i == 100 ? 4711 : l.ifindex;
		(void)vw_route_add(&b, &r);
	}
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ENODEV);
	assert_int_equal(b.ops[99].outcome, VW_NL_DONE);
	assert_int_equal(b.ops[100].outcome, VW_NL_FAILED);
	assert_int_equal(b.ops[101].outcome, VW_NL_DONE);
	assert_int_equal(b.ops[VW_NL_BATCH_CHUNK].outcome, VW_NL_NOT_SENT);
	assert_int_equal(b.ops[299].outcome, VW_NL_NOT_SENT);
	drop_link(&nl, "va");
}

static void test_addresses(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_free struct vw_addr *addrs = NULL;
	vw_auto_free struct vw_route *routes = NULL;
	struct vw_addr a4 = { .addr = cidr("10.0.1.7/24"), .flags = VW_ADDR_NOPREFIXROUTE };
	struct vw_addr a6 = { .addr = cidr("2001:db8::7/64"), .flags = VW_ADDR_NODAD };
	struct vw_link l;
	struct vw_err err;
	int n_all, ours = 0;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	(void)vw_link_no_ll6(&b, l.ifindex, NULL);
	a4.ifindex = a6.ifindex = l.ifindex;
	(void)vw_addr_add(&b, &a4);
	(void)vw_addr_add(&b, &a6);
	commit(&nl, &b);
	assert_int_equal(ok(vw_addr_list(&nl, l.ifindex, AF_INET, &addrs, &err)), 1);
	assert_true(vw_cidr_eq(&addrs[0].addr, &a4.addr));
	assert_true(addrs[0].flags & VW_ADDR_NOPREFIXROUTE);
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 0, l.ifindex, 0, &routes, &err)), 0);   /* no subnet route */
	assert_null(routes);
	free(addrs);
	addrs = NULL;
	assert_int_equal(ok(vw_addr_list(&nl, l.ifindex, AF_INET6, &addrs, &err)), 1);
	assert_true(vw_cidr_eq(&addrs[0].addr, &a6.addr));
	assert_false(addrs[0].flags & VW_ADDR_TENTATIVE);
	free(addrs);
	addrs = NULL;
	n_all = ok(vw_addr_list(&nl, 0, 0, &addrs, &err));      /* of all links */
	for (int i = 0; i < n_all; i++)
		ours += vw_cidr_eq(&addrs[i].addr, &a4.addr) || vw_cidr_eq(&addrs[i].addr, &a6.addr);
	assert_int_equal(ours, 2);
	free(addrs);
	addrs = NULL;
	(void)vw_addr_replace(&b, &a4);                         /* again: fine */
	(void)vw_addr_del(&b, &a4);
	commit(&nl, &b);
	assert_int_equal(ok(vw_addr_list(&nl, l.ifindex, AF_INET, &addrs, &err)), 0);
	(void)vw_addr_del(&b, &a4);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EADDRNOTAVAIL);
	drop_link(&nl, "va");
}

static void test_routes(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_free struct vw_route *routes = NULL;
	struct vw_route pod = { .dst = cidr("10.7.0.5/32"), .table = 22103, .scope = RT_SCOPE_LINK };
	struct vw_route gw = { .dst = cidr("169.254.1.1/32"), .scope = RT_SCOPE_LINK };
	struct vw_route def = { .dst = cidr("0.0.0.0/0"), .via = ip("169.254.1.1") };
	struct vw_route hole = { .dst = cidr("10.66.0.0/16"), .type = RTN_BLACKHOLE };
	struct vw_route onlink = { .dst = cidr("10.77.0.0/16"), .via = ip("172.31.0.1"), .onlink = true };
	struct vw_route got;
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 22103, 0, 0, &routes, &err)), 0);       /* no such table yet */
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = 22103 });
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	pod.ifindex = gw.ifindex = def.ifindex = onlink.ifindex = l.ifindex;
	(void)vw_route_add(&b, &pod);
	(void)vw_route_add(&b, &gw);
	(void)vw_route_add(&b, &def);
	(void)vw_route_add(&b, &hole);
	(void)vw_route_add(&b, &onlink);
	commit(&nl, &b);

	ok(vw_route_lookup(&nl, &(struct vw_route_query){ .dst = ip("10.7.0.5") }, &got, &err));
	assert_true(vw_cidr_eq(&got.dst, &pod.dst));
	assert_int_equal(got.table, 22103);
	assert_int_equal(got.ifindex, l.ifindex);
	assert_int_equal(got.protocol, VW_RTPROT);
	ok(vw_route_lookup(&nl, &(struct vw_route_query){ .dst = ip("8.8.8.8") }, &got, &err));
	assert_int_equal(got.dst.len, 0);
	assert_true(vw_ip_eq(&got.via, &def.via));
	assert_int_equal(got.table, RT_TABLE_MAIN);
	ok(vw_route_lookup(&nl, &(struct vw_route_query){ .dst = ip("10.77.1.1") }, &got, &err));
	assert_true(got.onlink);
	assert_true(vw_route_lookup(&nl, &(struct vw_route_query){ .dst = ip("10.66.1.1") }, &got, &err) < 0);

	(void)vw_route_add(&b, &pod);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EEXIST);
	vw_nl_batch_reset(&b);
	(void)vw_route_replace(&b, &pod);
	(void)vw_route_del(&b, &(struct vw_route){ .dst = pod.dst, .table = 22103 });
	commit(&nl, &b);
	(void)vw_route_del(&b, &pod);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ESRCH);
	assert_int_equal(ok(vw_route_list(&nl, AF_INET, 0, 0, VW_RTPROT, &routes, &err)), 4);
	vw_nl_batch_reset(&b);
	(void)vw_route_del(&b, &hole);
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = 22103 });
	commit(&nl, &b);
	drop_link(&nl, "va");
}

static void test_rules(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_rule *rules = NULL;
	struct vw_rule mark = { .family = AF_INET, .priority = 1024, .fwmark = 0x80, .fwmask = 0x80, .table = 254 };
	struct vw_rule from = { .family = AF_INET, .priority = 32765, .from = cidr("10.0.1.9/32"), .table = 22104 };
	struct vw_rule iif = { .family = AF_INET6, .priority = 7, .iif = "eth9", .to = cidr("2001:db8::/32"), .table = 9 };
	struct vw_err err;
	int n, found = 0;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_rule_add(&b, &mark);
	(void)vw_rule_add(&b, &from);
	(void)vw_rule_add(&b, &iif);
	commit(&nl, &b);
	mark.protocol = from.protocol = iif.protocol = VW_RTPROT;
	n = ok(vw_rule_list(&nl, AF_INET, &rules, &err));
	for (int i = 0; i < n; i++)
		found += vw_rule_eq(&rules[i], &mark) || vw_rule_eq(&rules[i], &from);
	assert_int_equal(found, 2);
	assert_int_equal(n, 5);                                 /* and local, main, default */
	free(rules);
	n = ok(vw_rule_list(&nl, AF_INET6, &rules, &err));
	for (int i = found = 0; i < n; i++)
		found += vw_rule_eq(&rules[i], &iif);
	assert_int_equal(found, 1);
	free(rules);
	(void)vw_rule_add(&b, &mark);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EEXIST);
	vw_nl_batch_reset(&b);
	/* the tag guards: a rule of the same shape made by someone else is not ours to delete */
	mark.protocol = RTPROT_BOOT;
	(void)vw_rule_del(&b, &mark);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ENOENT);
	vw_nl_batch_reset(&b);
	mark.protocol = VW_RTPROT;
	(void)vw_rule_del(&b, &mark);
	(void)vw_rule_del(&b, &from);
	(void)vw_rule_del(&b, &iif);
	commit(&nl, &b);
}

static void test_address_labels(void **state)
{
	struct vw_addrlabel want = { .prefix = cidr("2001:db8::/128"), .ifindex = 1, .label = 22103, .dev = "lo" };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_addrlabel *labels = NULL;
	struct vw_err err;
	int n, before, found = 0;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	before = ok(vw_addrlabel_list(&nl, &labels, &err));
	assert_true(before > 0);                /* the kernel's own */
	free(labels);
	(void)vw_addrlabel_set(&b, &want);
	(void)vw_addrlabel_set(&b, &want);
	ok(vw_nl_commit(&nl, &b, &err));
	vw_nl_batch_reset(&b);
	n = ok(vw_addrlabel_list(&nl, &labels, &err));
	assert_int_equal(n, before + 1);
	for (int i = 0; i < n; i++)
		found += labels[i].label == want.label && labels[i].ifindex == 1 && vw_cidr_eq(&labels[i].prefix, &want.prefix);
	assert_int_equal(found, 1);
	free(labels);
	(void)vw_addrlabel_del(&b, &want);
	(void)vw_addrlabel_del(&b, &want);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	ok(vw_nl_commit(&nl, &b, &err));
	vw_nl_batch_reset(&b);
	assert_int_equal(ok(vw_addrlabel_list(&nl, &labels, &err)), before);
	free(labels);
	want.prefix = cidr("2001:db8::1/64");
	(void)vw_addrlabel_set(&b, &want);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EINVAL);
}

static void test_neighbours(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_neigh n = { .ip = ip("169.254.1.1"), .mac = { { 2, 9, 9, 9, 9, 9 } } }, got;
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	n.ifindex = l.ifindex;
	assert_int_equal(vw_neigh_get(&nl, l.ifindex, &n.ip, &got, &err), -ENOENT);
	(void)vw_neigh_replace(&b, &n);
	commit(&nl, &b);
	ok(vw_neigh_get(&nl, l.ifindex, &n.ip, &got, &err));
	assert_true(got.permanent);
	assert_memory_equal(got.mac.b, n.mac.b, 6);
	(void)vw_neigh_del(&b, &n);
	commit(&nl, &b);
	drop_link(&nl, "va");
}

/** load_pass() - the smallest classifier: "return TC_ACT_OK". */
static int load_pass(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.insns = (uint64_t)(uintptr_t)insns,
		.insn_cnt = 2,
		.license = (uint64_t)(uintptr_t)"GPL",
	};

	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static void test_filters(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_close int prog = -EBADF, other = -EBADF;
	struct vw_filter f = { .name = "vpcwire_from_pod", .dev = "va" };
	struct vw_filter_info info, swapped;
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	prog = load_pass();
	other = load_pass();
	if (prog < 0 || other < 0) {
		print_message("# skip: no bpf(2)\n");
		skip();
	}
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	f.ifindex = l.ifindex;
	f.prog_fd = prog;
	assert_int_equal(vw_filter_get(&nl, &f, &info, &err), -ENOENT);         /* no qdisc */
	(void)vw_clsact_add(&b, l.ifindex, "va");
	commit(&nl, &b);
	assert_int_equal(vw_filter_get(&nl, &f, &info, &err), -ENOENT);         /* no filter */
	(void)vw_filter_replace(&b, &f);
	commit(&nl, &b);
	ok(vw_filter_get(&nl, &f, &info, &err));
	assert_string_equal(info.name, "vpcwire_from_pod");
	assert_true(info.direct_action);
	assert_true(info.prog_id > 0);
	f.prog_fd = other;
	(void)vw_filter_replace(&b, &f);
	commit(&nl, &b);
	ok(vw_filter_get(&nl, &f, &swapped, &err));
	assert_int_not_equal(swapped.prog_id, info.prog_id);
	f.dir = VW_TC_EGRESS;
	assert_int_equal(vw_filter_get(&nl, &f, &info, &err), -ENOENT);
	f.dir = VW_TC_INGRESS;
	(void)vw_filter_del(&b, &f);
	(void)vw_clsact_del(&b, l.ifindex, "va");
	commit(&nl, &b);
	(void)vw_clsact_add(&b, 4711, "gone0");
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "gone0"));
	f.ifindex = 4711;
	assert_int_equal(vw_filter_get(&nl, &f, &info, &err), -ENODEV);
	drop_link(&nl, "va");
}

static void test_token_bucket(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_tbf tbf = { .bytes_per_s = 125, .burst_bytes = 3000, .queue_bytes = 6000, .dev = "va" };
	uint64_t rate = 0;
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	tbf.ifindex = l.ifindex;
	assert_int_equal(vw_tbf_get(&nl, l.ifindex, "va", &rate, &err), -ENOENT);
	(void)vw_tbf_add(&b, &tbf);
	commit(&nl, &b);
	ok(vw_tbf_get(&nl, l.ifindex, "va", &rate, &err));
	assert_int_equal(rate, 125);
	(void)vw_tbf_add(&b, &tbf);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EEXIST);
	vw_nl_batch_reset(&b);
	drop_link(&nl, "va");

	(void)vw_link_add_veth(&b, PAIR("va", "vb"));
	commit(&nl, &b);
	ok(vw_link_get_name(&nl, "va", &l, &err));
	tbf.ifindex = l.ifindex;
	tbf.bytes_per_s = UINT64_C(12500000000);
	(void)vw_tbf_add(&b, &tbf);
	commit(&nl, &b);
	ok(vw_tbf_get(&nl, l.ifindex, "va", &rate, &err));
	assert_true(rate == tbf.bytes_per_s);
	assert_int_equal(vw_tbf_get(&nl, 4711, "gone0", &rate, &err), -ENODEV);
	tbf.bytes_per_s = 0;
	(void)vw_tbf_add(&b, &tbf);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EINVAL);
	vw_nl_batch_reset(&b);
	drop_link(&nl, "va");
}

static int lo_is_up(void *arg, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link lo;
	int r = vw_nl_open(&nl, err);

	if (r == 0)
		r = vw_link_get_name(&nl, "lo", &lo, err);
	return r < 0 ? r : (lo.flags & IFF_UP) != 0;
}

static void test_namespaces(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl there = VW_NL_INIT;
	vw_auto_close int ns = -EBADF, self = -EBADF, again = -EBADF;
	char value[8];
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ns = netns_new();
	self = ok(vw_netns_open_self(&err));
	assert_int_equal(vw_netns_same(self, ns, &err), 0);
	ok(vw_nl_open_at(&there, ns, &err));
	again = ok(vw_netns_open_self(&err));
	assert_int_equal(vw_netns_same(self, again, &err), 1);  /* opening did not move us */
	(void)vw_link_set(&b, &(struct vw_link_set){ .name = "lo", .what = VW_LINK_UP });
	commit(&there, &b);
	assert_int_equal(ok(vw_netns_run(ns, lo_is_up, NULL, &err)), 1);
	assert_int_equal(ok(lo_is_up(NULL, &err)), 0);

	ok(vw_sysctl_set("net/ipv4/ip_forward", "1", &err));
	ok(vw_sysctl_get("net/ipv4/ip_forward", value, sizeof(value), &err));
	assert_string_equal(value, "1");
	ok(vw_sysctl_if_set(AF_INET, "lo", "rp_filter", "2", &err));
	ok(vw_sysctl_if_get(AF_INET, "lo", "rp_filter", value, sizeof(value), &err));
	assert_string_equal(value, "2");
	assert_int_equal(vw_sysctl_if_set(AF_INET, "nope0", "rp_filter", "2", &err), -ENOENT);
	assert_int_equal(vw_sysctl_if_set(AF_INET, "lo", "rp_filter", "many", &err), -EINVAL);
}

struct maker {
	int ns;
};

/** make_link() - another thread: an ENI of that MAC comes. */
static void *make_link(void *arg)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct maker *m = arg;
	struct vw_link_end eni = { .name = "ens6", .mac = { { 6, 1, 2, 3, 4, 5 } } };
	struct vw_err err;

	if (vw_nl_open_at(&nl, m->ns, &err) < 0)
		return NULL;
	/* Decoys first: other links, so that the waiter has events to discard. */
	(void)vw_link_add_veth(&b, PAIR("decoy0", "decoy1"));
	(void)vw_link_add_veth(&b, &eni, &(struct vw_link_end){ .name = "fabric" });
	return vw_nl_commit(&nl, &b, &err) == 0 ? arg : NULL;
}

static void test_wait_for_mac(void **state)
{
	vw_auto_close int ns = -EBADF;
	struct maker m = { 0 };
	const struct vw_mac mac = { { 6, 1, 2, 3, 4, 5 } };
	struct vw_link l;
	struct vw_err err;
	pthread_t thread;
	void *made;

	NETNS_OR_SKIP(state);
	m.ns = ns = netns_new();
	assert_int_equal(vw_link_wait_mac(ns, &mac, vw_mono_ms(), &l, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "06:01:02:03:04:05"));
	assert_int_equal(pthread_create(&thread, NULL, make_link, &m), 0);
	ok(vw_link_wait_mac(ns, &mac, vw_mono_ms() + 20000, &l, &err));
	assert_string_equal(l.name, "ens6");
	pthread_join(thread, &made);
	assert_ptr_equal(made, &m);
	ok(vw_link_wait_mac(ns, &mac, vw_mono_ms(), &l, &err)); /* there already */
}

static void test_settings_of_ipv6_all_at_once(void **state)
{
	enum { PAIRS = VW_CONF6_CHUNK, N = 2 * PAIRS + 1 };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_conf6 got[N];
	unsigned int index[N];
	struct vw_link l;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	ok(vw_nl_open(&nl, &err));
	for (unsigned int i = 0; i < PAIRS; i++) {
		char a[16], z[16];

		snprintf(a, sizeof(a), "a%u", i);
		snprintf(z, sizeof(z), "z%u", i);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = a, .ifindex = 100 + i, .netns_fd = -1 },
				       &(struct vw_link_end){ .name = z, .ifindex = 200 + i, .netns_fd = -1 });
		index[i] = 100 + i;
		index[PAIRS + 1 + i] = 200 + i;
	}
	ok(vw_nl_commit(&nl, &b, &err));
	index[PAIRS] = 99;                      /* there is none */
	ok(vw_sysctl_if_set(AF_INET6, "a3", "accept_ra", "2", &err));
	ok(vw_sysctl_if_set(AF_INET6, "z6", "accept_dad", "0", &err));
	ok(vw_sysctl_if_set(AF_INET6, "z7", "disable_ipv6", "1", &err));
	ok(vw_conf6_get(&nl, index, N, got, &err));
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(got[i].known, i != PAIRS);
		assert_int_equal(got[i].accept_ra, i == PAIRS ? 0 : index[i] == 103 ? 2 : 1);
		assert_int_equal(got[i].accept_dad, i == PAIRS || index[i] == 206 ? 0 : 1);
		assert_int_equal(got[i].disable_ipv6, index[i] == 207);
	}
	/* nothing is left for who asks next */
	ok(vw_link_get(&nl, 103, &l, &err));
	assert_string_equal(l.name, "a3");
	ok(vw_conf6_get(&nl, index, 0, got, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_veth_into_netns),
		cmocka_unit_test(test_a_dump_without_memory),
		cmocka_unit_test(test_link_changes),
		cmocka_unit_test(test_no_link_local_addresses),
		cmocka_unit_test(test_failed_batch_is_exact),
		cmocka_unit_test(test_many_messages),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_address_labels),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_token_bucket),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_settings_of_ipv6_all_at_once),
		cmocka_unit_test(test_wait_for_mac),
	};

	return cmocka_run_group_tests(tests, netns_private, NULL);
}
