/*
 * hostnet on a node of two ENIs, in namespaces of its own, with real packets:
 *
 *   pod (10.0.1.30, slot 5) -- node -- eth0 10.0.1.10 -- f0 \
 *                                   -- eth1 10.0.1.20 -- f1 - fabric (10.0.1.1; has 10.0.9.9, 203.0.113.10, 192.168.100.10)
 *
 * The fabric tells by which link a datagram came and with which source: that is what the rules, marks and NAT are for.
 * The node has the real eBPF program where it can be loaded; the mark comes from it.
 */
#include "daemon/hostnet.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/net/tc.h"
#include "lib/net/view/nft.h"
#include "lib/rpc/rpc.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/unit/netns_fixture.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#define POD_SLOT 5
#define POD_IFINDEX (VW_IFINDEX_BASE + POD_SLOT)

struct node {
	int home, fabric, pod;          /* namespaces: the node is "home", where the test runs */
	struct hostnet *hn;
	struct np *np;
	struct vw_nl nl;
	unsigned int f0, f1;            /* the fabric's ends */
	struct hostnet_eni eni[2];
	char bpf_dir[64];
};

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

static unsigned int index_of(struct vw_nl *nl, const char *name)
{
	struct vw_link l;
	struct vw_err err;

	ok(vw_link_get_name(nl, name, &l, &err));
	return l.ifindex;
}

static void commit(struct vw_nl *nl, struct vw_nl_batch *b)
{
	struct vw_err err;

	ok(vw_nl_commit(nl, b, &err));
	vw_nl_batch_reset(b);
}

/* --- building */

static void build_fabric(struct node *n)
{
	static const char *const own[] = { "10.0.1.1/32", "10.0.9.9/32", "203.0.113.10/32", "192.168.100.10/32" };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl there = VW_NL_INIT;
	struct vw_err err;

	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "eth0" },
			       &(struct vw_link_end){ .name = "f0", .netns_fd = n->fabric });
	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "eth1" },
			       &(struct vw_link_end){ .name = "f1", .netns_fd = n->fabric });
	commit(&n->nl, &b);
	ok(vw_nl_open_at(&there, n->fabric, &err));
	n->f0 = index_of(&there, "f0");
	n->f1 = index_of(&there, "f1");
	(void)vw_link_set_up(&b, 1, "lo");
	(void)vw_link_set_up(&b, n->f0, "f0");
	(void)vw_link_set_up(&b, n->f1, "f1");
	for (size_t i = 0; i < VW_ARRAY_SIZE(own); i++)
		(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = 1, .addr = cidr(own[i]) });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.0.1.10/32"), .scope = RT_SCOPE_LINK, .ifindex = n->f0 });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.0.1.20/32"), .scope = RT_SCOPE_LINK, .ifindex = n->f1 });
	/* the router sends by MAC of the ENI that owns the address; here: by its address */
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.0.1.30/32"), .via = ip("10.0.1.20"), .onlink = true,
						   .ifindex = n->f1 });
	commit(&there, &b);
}

static void build_node(struct node *n)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	unsigned int eth0 = index_of(&n->nl, "eth0");

	/* what the image's own network setup does for the first ENI, and wrongly for the second */
	(void)vw_link_set_up(&b, eth0, "eth0");
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = eth0, .addr = cidr("10.0.1.10/24") });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .via = ip("10.0.1.1"), .ifindex = eth0,
						   .protocol = RTPROT_DHCP });
	commit(&n->nl, &b);
	n->eni[0] = (struct hostnet_eni){ .id = "eni-primary", .ifname = "eth0", .ifindex = eth0, .mtu = 9001,
					  .addr = cidr("10.0.1.10/24"), .gateway = ip("10.0.1.1") };
	n->eni[1] = (struct hostnet_eni){ .id = "eni-second", .ifname = "eth1", .ifindex = index_of(&n->nl, "eth1"),
					  .number = 1, .table = hostnet_eni_table(0, 1), .mtu = 9001,
					  .addr = cidr("10.0.1.20/24"), .gateway = ip("10.0.1.1") };
}

/** build_pod() - as the plugin does it. */
static void build_pod(struct node *n)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl there = VW_NL_INIT;
	struct vw_link_end host = { .name = "eni0123456789a", .ifindex = POD_IFINDEX, .up = true, .group = VW_GROUP_PODS,
				    .mac = { { 2, 0, 0, 0, 0, 1 } } };
	struct vw_filter f = { .ifindex = POD_IFINDEX, .name = "vpcwire_from_pod", .prog_fd = np_from_pod_fd(n->np) };
	struct vw_route gw = { .dst = cidr("169.254.1.1/32"), .scope = RT_SCOPE_LINK };
	struct vw_err err;
	unsigned int eth0;

	ok(np_slot_publish(n->np, POD_SLOT, &(struct np_pod_conf){ .ip4 = ip("10.0.1.30"), .eni = 1 }, &err));
	(void)vw_link_add_veth(&b, &host, &(struct vw_link_end){ .name = "eth0", .netns_fd = n->pod });
	(void)vw_clsact_add(&b, POD_IFINDEX, host.name);
	(void)vw_filter_replace(&b, &f);
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD_IFINDEX, .what = VW_LINK_ALIAS,
						     .alias = HOSTNET_ALIAS_PREFIX "c0ffee/eth0" });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.0.1.30/32"), .table = HOSTNET_TABLE_PODS,
						   .scope = RT_SCOPE_LINK, .ifindex = POD_IFINDEX });
	commit(&n->nl, &b);
	ok(vw_nl_open_at(&there, n->pod, &err));
	eth0 = index_of(&there, "eth0");
	gw.ifindex = eth0;
	(void)vw_link_set_up(&b, eth0, "eth0");
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = eth0, .addr = cidr("10.0.1.30/32") });
	(void)vw_route_add(&b, &gw);
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .via = ip("169.254.1.1"), .ifindex = eth0 });
	(void)vw_neigh_replace(&b, &(struct vw_neigh){ .ifindex = eth0, .ip = ip("169.254.1.1"), .mac = host.mac });
	commit(&there, &b);
}

static int private_node(void **state)
{
	struct vw_err err;
	struct node *n;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		print_message("# skip: making namespaces needs root\n");
		*state = NULL;
		return 0;
	}
	n = calloc(1, sizeof(*n));
	assert_non_null(n);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(n->bpf_dir, sizeof(n->bpf_dir), "/tmp/vpcwire-test-hostnet-XXXXXX");
	assert_non_null(mkdtemp(n->bpf_dir));
	assert_int_equal(mount("bpf", n->bpf_dir, "bpf", 0, NULL), 0);
	n->home = ok(vw_netns_open_self(&err));
	n->fabric = netns_new();
	n->pod = netns_new();
	ok(vw_nl_open(&n->nl, &err));
	ok(hostnet_new(&n->hn, &err));
	ok(np_open(n->bpf_dir, NULL, &n->np, &err));
	build_fabric(n);
	build_node(n);
	*state = n;
	return 0;
}

static int node_gone(void **state)
{
	struct node *n = *state;

	if (!n)
		return 0;
	hostnet_free(n->hn);
	np_close(n->np);
	vw_nl_close(&n->nl);
	close(n->pod);
	close(n->fabric);
	close(n->home);
	umount2(n->bpf_dir, MNT_DETACH);
	rmdir(n->bpf_dir);
	free(n);
	return 0;
}

static struct hostnet_nat nat_conf(const struct vw_cidr *vpc, const struct vw_cidr *excluded)
{
	struct hostnet_nat nat = { .primary_ifname = "eth0", .primary_addr = ip("10.0.1.10"), .vpc = vpc, .n_vpc = 1,
				   .excluded = excluded, .n_excluded = excluded ? 1 : 0, .nodeport = true };

	return nat;
}

static void setup_all(struct node *n)
{
	const struct vw_cidr vpc = cidr("10.0.0.0/16"), excluded = cidr("192.168.0.0/16");
	struct hostnet_nat nat = nat_conf(&vpc, &excluded);
	struct vw_err err;

	ok(hostnet_init(n->hn, 0, &err));
	ok(hostnet_eni_setup(n->hn, &n->eni[0], &err));
	ok(hostnet_eni_setup(n->hn, &n->eni[1], &err));
	ok(hostnet_nat_apply(n->hn, &nat, &err));
}

/* --- looking */

/** count() - rules of ours. */
static int our_rules(struct node *n)
{
	struct vw_rule *rules = NULL;
	struct vw_err err;
	int ours = 0, total = ok(vw_rule_list(&n->nl, AF_INET, &rules, &err));

	for (int i = 0; i < total; i++)
		ours += rules[i].protocol == VW_RTPROT;
	free(rules);
	return ours;
}

static int routes_in(struct node *n, uint32_t table, unsigned int ifindex)
{
	struct vw_route *routes = NULL;
	struct vw_err err;
	int count = ok(vw_route_list(&n->nl, AF_INET, table, ifindex, 0, &routes, &err));

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

/* --- packets */

struct got {
	char from[VW_IP_STRLEN];
	unsigned int ifindex;
	char text[32];
	struct sockaddr_in peer;
	struct in_pktinfo info;
};

static int udp_here(void *arg, struct vw_err *err)
{
	const struct sockaddr_in *addr = arg;
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return vw_err_sys(err, errno, 0, "udp socket");
	return fd;
}

static struct sockaddr_in at(const char *addr, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct vw_ip a = ip(addr);

	memcpy(&sa.sin_addr, a.b, 4);
	return sa;
}

static int udp_in(int ns, const char *addr, uint16_t port)
{
	struct sockaddr_in sa = at(addr, port);
	struct vw_err err;

	return ok(vw_netns_run(ns, udp_here, &sa, &err));
}

static void send_to(int fd, const struct sockaddr_in *to, const char *text)
{
	assert_int_equal(sendto(fd, text, strlen(text), 0, (const struct sockaddr *)to, sizeof(*to)), strlen(text));
}

/** receive() - the next datagram, its sender and the interface it came by; fails the test when none comes. */
static struct got receive(int fd)
{
	char control[128];
	struct got g = { 0 };
	struct iovec iov = { .iov_base = g.text, .iov_len = sizeof(g.text) - 1 };
	struct msghdr msg = { .msg_name = &g.peer, .msg_namelen = sizeof(g.peer), .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = sizeof(control) };
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, 10000) != 1)
		fail_msg("no datagram came");
	assert_true(recvmsg(fd, &msg, 0) >= 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			memcpy(&g.info, CMSG_DATA(c), sizeof(g.info));
	g.ifindex = (unsigned int)g.info.ipi_ifindex;
	inet_ntop(AF_INET, &g.peer.sin_addr, g.from, sizeof(g.from));
	return g;
}

/** answer() - from the address that @g was sent to, which is not what the kernel would choose by itself. */
static void answer(int fd, const struct got *g)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = { 0 };
	struct sockaddr_in peer = g->peer;
	struct iovec iov = { .iov_base = (char[]){ "answer" }, .iov_len = 6 };
	struct msghdr msg = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = sizeof(control) };
	struct in_pktinfo info = { .ipi_spec_dst = g->info.ipi_addr };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	assert_int_equal(sendmsg(fd, &msg, 0), 6);
}

/**
 * exchange() - @client sends to @to, the fabric's @server gets it by @ifindex from @source, and its answer comes back.
 */
static void exchange(int client, int server, const char *to, uint16_t port, const char *source, unsigned int ifindex)
{
	struct sockaddr_in dst = at(to, port);
	struct got g;

	send_to(client, &dst, to);
	g = receive(server);
	assert_string_equal(g.text, to);
	if (strcmp(g.from, source) != 0 || g.ifindex != ifindex)
		fail_msg("to %s: came from %s by #%u, not from %s by #%u", to, g.from, g.ifindex, source, ifindex);
	answer(server, &g);
	g = receive(client);
	assert_string_equal(g.text, "answer");
	assert_string_equal(g.from, to);
}

/* --- tests */

#define NODE_OR_SKIP(state) \
	struct node *n = *(state); \
	__attribute__((unused)) struct vw_err err = { 0 }; \
	if (!n) \
		skip()

static void test_converges_over_a_mess(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_addr *addrs = NULL;
	unsigned int eth1;
	int rules;

	NODE_OR_SKIP(state);
	eth1 = n->eni[1].ifindex;
	/* DHCP on the second ENI; leftovers of an ENI with our number, table and address; a rule that is not ours */
	(void)vw_link_set_up(&b, eth1, "eth1");
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = eth1, .addr = cidr("10.0.1.99/24") });
	(void)vw_addr_add(&b, &(struct vw_addr){ .ifindex = eth1, .addr = cidr("10.0.1.20/24") });      /* a secondary of it */
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .via = ip("10.0.1.1"), .ifindex = eth1,
						   .priority = 100, .protocol = RTPROT_DHCP });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.9.0.0/16"), .table = 2, .scope = RT_SCOPE_LINK,
						   .ifindex = n->eni[0].ifindex });
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .table = 2, .scope = RT_SCOPE_LINK,
						   .ifindex = n->eni[0].ifindex });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f,
						 .table = 9 });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 32765, .from = cidr("10.0.1.20/32"),
						 .table = 9 });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = 77 });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f,
						 .table = 88, .protocol = RTPROT_STATIC });
	commit(&n->nl, &b);
	expect_stale(n, "net.ipv4.conf.all.forwarding is 0");
	setup_all(n);
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	rules = our_rules(n);
	assert_int_equal(rules, 3);
	assert_int_equal(routes_in(n, 2, 0), 2);
	assert_int_equal(routes_in(n, RT_TABLE_MAIN, eth1), 0);
	assert_int_equal(ok(vw_addr_list(&n->nl, eth1, AF_INET, &addrs, &err)), 1);
	assert_true(vw_cidr_eq(&addrs[0].addr, &n->eni[1].addr));
	free(addrs);
	setup_all(n);                                           /* and once more: nothing changes */
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	assert_int_equal(our_rules(n), rules);
	assert_int_equal(routes_in(n, 2, 0), 2);
	/* the foreign rule is still there; it goes now, since it would catch the pod's packets */
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f,
						 .table = 88, .protocol = RTPROT_STATIC });
	commit(&n->nl, &b);
}

static void test_verify_names_what_is_missing(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	NODE_OR_SKIP(state);
	setup_all(n);
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f,
						 .table = 2 });
	commit(&n->nl, &b);
	expect_stale(n, "rule 1537: fwmark 0x1/0x7f lookup 2 is missing");
	ok(hostnet_eni_setup(n->hn, &n->eni[1], &err));
	(void)vw_route_del(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .table = 2 });
	commit(&n->nl, &b);
	expect_stale(n, "route default via 10.0.1.1 dev eth1 table 2 of eni-second");
	ok(hostnet_eni_setup(n->hn, &n->eni[1], &err));
	ok(vw_nft_run("delete table ip vpcwire\n", &err));
	expect_stale(n, "nftables table ip vpcwire is missing");
	setup_all(n);
	ok(vw_nft_run("flush chain ip vpcwire source\ndelete chain ip vpcwire source\n", &err));
	expect_stale(n, "chain source");
	setup_all(n);
	ok(vw_nft_run("add element ip vpcwire vpc { 192.0.2.0/24 }\n", &err));
	expect_stale(n, "ip vpcwire is not as");
	setup_all(n);
	ok(vw_sysctl_set("net/ipv4/ip_forward", "0", &err));
	expect_stale(n, "net.ipv4.conf.all.forwarding is 0");
	setup_all(n);
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = n->eni[1].ifindex, .what = VW_LINK_DOWN });
	commit(&n->nl, &b);
	expect_stale(n, "eth1 of eni-second is down");
	setup_all(n);
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
}

/* --- repair: what is found is written down, and restored unless it begins with `not` */

struct findings {
	char text[1024];
	const char *not;
};

static bool find(enum hostnet_kind kind, const char *what, void *arg)
{
	struct findings *f = arg;
	size_t len = strlen(f->text);

	(void)snprintf(f->text + len, sizeof(f->text) - len, "%s: %s\n", hostnet_kind_name(kind), what);
	return !f->not || strncmp(what, f->not, strlen(f->not)) != 0;
}

static const char *repair(struct node *n, struct findings *f)
{
	const struct hostnet_truth t = { .enis = n->eni, .n_enis = 2, .found = find, .arg = f };
	struct vw_err err = { 0 };

	f->text[0] = 0;
	ok(hostnet_repair(n->hn, HOSTNET_ALL, &t, &err));
	return f->text;
}

static void test_repair_restores_what_is_missing_and_no_more(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rule foreign = { .family = AF_INET, .priority = 700, .table = 77, .protocol = RTPROT_STATIC };
	const struct vw_route beside = { .dst = cidr("198.51.100.0/24"), .table = 2, .scope = RT_SCOPE_LINK, .protocol = RTPROT_STATIC };
	struct vw_route route;
	struct findings f = { 0 };

	NODE_OR_SKIP(state);
	setup_all(n);
	assert_string_equal(repair(n, &f), "");
	route = beside;
	route.ifindex = n->eni[1].ifindex;
	(void)vw_rule_add(&b, &foreign);
	(void)vw_route_add(&b, &route);
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 1537, .fwmark = 1, .fwmask = 0x7f, .table = 2 });
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = HOSTNET_TABLE_PODS });
	(void)vw_route_del(&b, &(struct vw_route){ .dst = cidr("0.0.0.0/0"), .table = 2 });
	commit(&n->nl, &b);
	ok(vw_nft_run("flush chain ip vpcwire source\n", &err));
	ok(vw_sysctl_if_set(AF_INET, "eth1", "rp_filter", "1", &err));
	/* one is held back: it is said, and stays away */
	f.not = "rule 512";
	assert_string_equal(repair(n, &f), "sysctl: net.ipv4.conf.eth1.rp_filter is 1\n"
					   "route: route default via 10.0.1.1 dev eth1 table 2 of eni-second is missing\n"
					   "rule: rule 512: lookup 22103 is missing\n"
					   "rule: rule 1537: fwmark 0x1/0x7f lookup 2 is missing\n"
					   "nft: nftables table ip vpcwire is not as vpcwired made it\n");
	f.not = NULL;
	assert_string_equal(repair(n, &f), "rule: rule 512: lookup 22103 is missing\n");
	assert_string_equal(repair(n, &f), "");
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	assert_int_equal(our_rules(n), 3);
	assert_int_equal(routes_in(n, 2, 0), 3);
	/* somebody has put a rule of ours back: there it is, whoever made it */
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = HOSTNET_TABLE_PODS });
	(void)vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = HOSTNET_TABLE_PODS, .protocol = RTPROT_BOOT });
	commit(&n->nl, &b);
	assert_string_equal(repair(n, &f), "");
	(void)vw_rule_del(&b, &foreign);                        /* fails if it is not there any more */
	(void)vw_route_del(&b, &route);
	(void)vw_rule_del(&b, &(struct vw_rule){ .family = AF_INET, .priority = 512, .table = HOSTNET_TABLE_PODS, .protocol = RTPROT_BOOT });
	commit(&n->nl, &b);
	setup_all(n);
}

static void test_who_leaves_where(void **state)
{
	vw_auto_close int client = -EBADF, server = -EBADF, host1 = -EBADF, host0 = -EBADF;

	NODE_OR_SKIP(state);
	setup_all(n);
	build_pod(n);
	server = udp_in(n->fabric, "0.0.0.0", 7777);
	client = udp_in(n->pod, "10.0.1.30", 5000);
	exchange(client, server, "10.0.9.9", 7777, "10.0.1.30", n->f1);         /* VPC: own ENI, own address */
	exchange(client, server, "203.0.113.10", 7777, "10.0.1.10", n->f0);     /* internet: primary, SNAT */
	exchange(client, server, "192.168.100.10", 7777, "10.0.1.30", n->f1);   /* excluded: like the VPC */
	host0 = udp_in(n->home, "0.0.0.0", 5001);
	exchange(host0, server, "203.0.113.10", 7777, "10.0.1.10", n->f0);
	host1 = udp_in(n->home, "10.0.1.20", 5002);
	exchange(host1, server, "10.0.9.9", 7777, "10.0.1.20", n->f1);          /* a host socket on the second ENI */
}

/* kube-proxy's part: DNAT of a ClusterIP and of a NodePort. */
static const char kube_proxy[] =
	"table ip kube {\n chain pre {\n  type nat hook prerouting priority dstnat\n"
	"  ip daddr 172.20.0.5 udp dport 53 dnat to 10.0.9.9:7777\n"
	"  ip daddr 172.20.0.6 udp dport 53 dnat to 203.0.113.10:7777\n"
	"  fib daddr type local udp dport 30000 dnat to 10.0.1.30:9000\n }\n}\n";

static void test_services(void **state)
{
	vw_auto_close int client = -EBADF, server = -EBADF, pod_server = -EBADF, outside = -EBADF;
	struct sockaddr_in to;
	struct got g;

	NODE_OR_SKIP(state);
	setup_all(n);
	ok(vw_nft_run(kube_proxy, &err));
	server = udp_in(n->fabric, "0.0.0.0", 7777);
	client = udp_in(n->pod, "10.0.1.30", 5003);
	/* decided after DNAT: a ClusterIP with its backend in the VPC keeps ENI and address... */
	to = at("172.20.0.5", 53);
	send_to(client, &to, "cluster");
	g = receive(server);
	assert_string_equal(g.from, "10.0.1.30");
	assert_int_equal(g.ifindex, n->f1);
	answer(server, &g);
	g = receive(client);
	assert_string_equal(g.from, "172.20.0.5");
	/* ...and one with its backend outside leaves by the primary, SNATed though it is DNATed already */
	to = at("172.20.0.6", 53);
	send_to(client, &to, "cluster");
	g = receive(server);
	assert_string_equal(g.from, "10.0.1.10");
	assert_int_equal(g.ifindex, n->f0);

	/* NodePort on the primary, backend on the second ENI: the answer takes the primary */
	pod_server = udp_in(n->pod, "0.0.0.0", 9000);
	outside = udp_in(n->fabric, "203.0.113.10", 6000);
	to = at("10.0.1.10", 30000);
	send_to(outside, &to, "nodeport");
	g = receive(pod_server);
	assert_string_equal(g.from, "203.0.113.10");
	answer(pod_server, &g);
	g = receive(outside);
	assert_string_equal(g.from, "10.0.1.10");
	assert_int_equal(ntohs(g.peer.sin_port), 30000);
	assert_int_equal(g.ifindex, n->f0);
	ok(vw_nft_run("delete table ip kube\n", &err));
}

/* A client outside the VPC that reaches the pod by its own address is answered by the same way, not through NAT. */
static void test_inbound_from_outside(void **state)
{
	vw_auto_close int pod_server = -EBADF, outside = -EBADF;
	struct sockaddr_in to = at("10.0.1.30", 9001);
	struct got g;

	NODE_OR_SKIP(state);
	setup_all(n);
	pod_server = udp_in(n->pod, "0.0.0.0", 9001);
	outside = udp_in(n->fabric, "203.0.113.10", 6001);
	send_to(outside, &to, "hello");
	g = receive(pod_server);
	assert_string_equal(g.from, "203.0.113.10");
	answer(pod_server, &g);
	g = receive(outside);
	assert_string_equal(g.from, "10.0.1.30");
	assert_int_equal(g.ifindex, n->f1);
}

static void test_external_snat_and_random(void **state)
{
	static const enum hostnet_snat_random modes[] = { HOSTNET_SNAT_PRNG, HOSTNET_SNAT_HASHRANDOM, HOSTNET_SNAT_NONE };
	static const char *const words[] = { "fully-random", "random", NULL };
	const struct vw_cidr vpc[] = { cidr("10.0.0.0/16"), cidr("10.0.9.0/24"), cidr("100.64.0.0/10") };
	struct hostnet_nat nat = nat_conf(vpc, NULL);
	vw_auto_close int client = -EBADF, server = -EBADF;

	NODE_OR_SKIP(state);
	setup_all(n);
	nat.n_vpc = 3;                                          /* overlapping networks, none excluded */
	for (size_t i = 0; i < VW_ARRAY_SIZE(modes); i++) {
		char *text = NULL;
		vw_auto_free char *keep = NULL;
		vw_auto_buf struct vw_buf out = VW_BUF_INIT;

		nat.random = modes[i];
		ok(hostnet_nat_apply(n->hn, &nat, &err));
		ok(vw_nft_query("list chain ip vpcwire source", &out, &err));
		keep = text = vw_buf_take(&out);
		assert_non_null(text);
		assert_non_null(strstr(text, "10.0.1.10"));
		if (words[i])
			assert_non_null(strstr(text, words[i]));
		else
			assert_null(strstr(text, "random"));
	}
	nat.external_snat = true;
	ok(hostnet_nat_apply(n->hn, &nat, &err));
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	server = udp_in(n->fabric, "0.0.0.0", 7777);
	client = udp_in(n->pod, "10.0.1.30", 5004);
	exchange(client, server, "203.0.113.10", 7777, "10.0.1.30", n->f1);
	/* bad input is refused, and what is there stays */
	nat.primary_ifname[0] = '"';
	assert_int_equal(hostnet_nat_apply(n->hn, &nat, &err), -EINVAL);
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	setup_all(n);
}

static void test_another_mark(void **state)
{
	const struct vw_cidr vpc = cidr("10.0.0.0/16");
	struct hostnet_nat nat = nat_conf(&vpc, NULL);
	vw_auto_close int client = -EBADF, server = -EBADF;

	NODE_OR_SKIP(state);
	setup_all(n);
	assert_int_equal(hostnet_init(n->hn, 0x40, &err), -EINVAL);     /* would be an ENI's number */
	assert_int_equal(hostnet_init(n->hn, 0x300, &err), -EINVAL);
	ok(hostnet_init(n->hn, 0x4000, &err));
	ok(hostnet_nat_apply(n->hn, &nat, &err));
	assert_int_equal(our_rules(n), 3);                              /* the rule for 0x80 is gone */
	ok(hostnet_verify(n->hn, n->eni, 2, &err));
	server = udp_in(n->fabric, "0.0.0.0", 7777);
	client = udp_in(n->pod, "10.0.1.30", 5005);
	exchange(client, server, "203.0.113.10", 7777, "10.0.1.10", n->f0);
	exchange(client, server, "10.0.9.9", 7777, "10.0.1.30", n->f1);
	setup_all(n);
	assert_int_equal(our_rules(n), 3);
}

/* What `tuning` does to a pod: another MAC, and with it the permanent entry for the gateway is gone. */
static void test_gateway_answers_arp(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_close int client = -EBADF, server = -EBADF;
	vw_auto_nl struct vw_nl there = VW_NL_INIT;
	struct vw_neigh gw = { .ip = ip("169.254.1.1") };

	NODE_OR_SKIP(state);
	setup_all(n);
	ok(vw_nl_open_at(&there, n->pod, &err));
	gw.ifindex = index_of(&there, "eth0");
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = gw.ifindex, .what = VW_LINK_MAC,
						     .mac = { { 2, 7, 7, 7, 7, 7 } } });
	(void)vw_neigh_del(&b, &gw);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	ok(vw_nl_commit(&there, &b, &err));
	server = udp_in(n->fabric, "0.0.0.0", 7777);
	client = udp_in(n->pod, "10.0.1.30", 5006);
	exchange(client, server, "10.0.9.9", 7777, "10.0.1.30", n->f1);
}

struct reaped {
	unsigned int last;
	int count;
};

static void note_reaped(unsigned int ifindex, void *arg)
{
	struct reaped *r = arg;

	r->last = ifindex;
	r->count++;
}

static void test_scan_forget_reap(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct hostnet_scan scan;
	struct hostnet_pod pod;
	const struct vw_ip addr = ip("10.0.1.30");
	struct reaped seen = { 0 };
	struct vw_link link;
	struct vw_err ct;

	NODE_OR_SKIP(state);
	(void)vw_route_add(&b, &(struct vw_route){ .dst = cidr("10.0.1.31/32"), .table = HOSTNET_TABLE_PODS,
						   .scope = RT_SCOPE_LINK, .ifindex = 1 });
	(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = POD_IFINDEX, .what = VW_LINK_GROUP, .group = 0 });
	commit(&n->nl, &b);
	ok(hostnet_scan(n->hn, &scan, &err));
	ok(vw_link_get(&n->nl, POD_IFINDEX, &link, &err));
	assert_int_equal(link.group, VW_GROUP_PODS);
	assert_int_equal(scan.n_pods, 1);
	assert_string_equal(scan.pods[0].owner, "c0ffee/eth0");
	assert_int_equal(scan.pods[0].pod.ifindex, POD_IFINDEX);
	assert_string_equal(scan.pods[0].pod.ifname, "eni0123456789a");
	assert_int_equal(scan.pods[0].pod.n_addr, 1);
	assert_true(vw_cidr_eq(&scan.pods[0].pod.addr[0], &(struct vw_cidr){ ip("10.0.1.30"), 32 }));
	assert_true(scan.pods[0].up);
	assert_false(scan.pods[0].dying);
	assert_int_equal(scan.n_orphans, 1);
	ok(hostnet_orphan_del(n->hn, &scan.orphans[0], &err));
	ok(hostnet_orphan_del(n->hn, &scan.orphans[0], &err));  /* gone already */
	pod = scan.pods[0].pod;
	hostnet_scan_done(&scan);

	assert_int_equal(hostnet_dying(n->hn), 0);
	assert_int_equal(ok(hostnet_pod_forget(n->hn, &pod, &err)), 1);
	assert_int_equal(routes_in(n, HOSTNET_TABLE_PODS, 0), 0);
	assert_true(hostnet_is_dying(n->hn, "eni0123456789a", 0));
	assert_true(hostnet_is_dying(n->hn, "other", POD_IFINDEX));
	assert_false(hostnet_is_dying(n->hn, "other", POD_IFINDEX + 1));
	assert_int_equal(ok(hostnet_pod_forget(n->hn, &pod, &err)), 1);         /* again: still one link */
	assert_int_equal(hostnet_dying(n->hn), 2);                              /* and its address */
	assert_true(hostnet_is_stale(n->hn, &addr));

	/* a daemon that starts now finds the dying link by its group */
	ok(hostnet_scan(n->hn, &scan, &err));
	assert_true(scan.pods[0].dying);
	hostnet_scan_done(&scan);

	/* a round that fails forgets nothing */
	assert_int_equal(hostnet_reap_begin(n->hn), 2);
	assert_int_equal(hostnet_reap_begin(n->hn), -EBUSY);
	assert_true(hostnet_is_stale(n->hn, &addr));
	assert_int_equal(hostnet_reap_end(n->hn, -EIO, note_reaped, &seen), 0);
	assert_int_equal(hostnet_dying(n->hn), 1);
	assert_int_equal(hostnet_reap_begin(n->hn), 1);
	ok(hostnet_reap_work(n->hn, &ct, &err));
	assert_int_equal(ct.eno, 0);
	assert_int_equal(hostnet_reap_end(n->hn, 0, note_reaped, &seen), 1);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.last, POD_IFINDEX);
	assert_int_equal(hostnet_dying(n->hn), 0);
	assert_false(hostnet_is_stale(n->hn, &addr));
	assert_int_equal(vw_link_get(&n->nl, POD_IFINDEX, &link, &err), -ENODEV);
	assert_int_equal(ok(hostnet_pod_forget(n->hn, &pod, &err)), 0);         /* DEL of what is gone */
	assert_int_equal(hostnet_reap(n->hn, note_reaped, &seen, &err), 0);
	pod.ifindex = n->eni[0].ifindex;
	assert_int_equal(hostnet_pod_forget(n->hn, &pod, &err), -EINVAL);       /* never an ENI */
}

static int way_to(struct node *n, const char *addr, struct vw_route *ret)
{
	struct vw_route_query q = { .dst = ip(addr) };
	struct vw_err err;

	return vw_route_lookup(&n->nl, &q, ret, &err);
}

static void test_free_addresses_are_unreachable(void **state)
{
	const struct vw_cidr slots[] = { cidr("10.0.1.16/28"), cidr("10.0.1.40/32"), cidr("10.0.1.30/32"), cidr("2001:db8:0:1::/80") };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_route found, lo = { .dst = cidr("10.0.1.30/32"), .table = HOSTNET_TABLE_PODS, .scope = RT_SCOPE_LINK, .ifindex = 1 };
	struct hostnet *next = NULL;
	struct hostnet_scan scan;

	NODE_OR_SKIP(state);
	setup_all(n);
	ok(hostnet_free_set(n->hn, "eni-second", slots, 4, &err));
	assert_int_equal(way_to(n, "10.0.1.17", &found), -EHOSTUNREACH);
	assert_int_equal(way_to(n, "10.0.1.40", &found), -EHOSTUNREACH);
	assert_int_equal(way_to(n, "2001:db8:0:1::5", &found), -EHOSTUNREACH);
	ok(way_to(n, "10.0.1.41", &found));                     /* not ours */
	/* a pod's route goes before it, is no orphan's business, and leaves it in place when it goes */
	(void)vw_route_replace(&b, &lo);
	commit(&n->nl, &b);
	ok(way_to(n, "10.0.1.30", &found));
	assert_int_equal(found.ifindex, 1);
	ok(hostnet_scan(n->hn, &scan, &err));
	assert_int_equal(scan.n_orphans, 1);
	ok(hostnet_orphan_del(n->hn, &scan.orphans[0], &err));
	hostnet_scan_done(&scan);
	assert_int_equal(way_to(n, "10.0.1.30", &found), -EHOSTUNREACH);
	/* less of it; what belongs to another ENI stays */
	ok(hostnet_free_set(n->hn, "eni-primary", &slots[1], 1, &err));
	ok(hostnet_free_set(n->hn, "eni-second", slots, 1, &err));
	assert_int_equal(routes_in(n, HOSTNET_TABLE_PODS, 0), 2);
	/* the next life says the one again and not the other */
	ok(hostnet_new(&next, &err));
	ok(hostnet_free_set(next, "eni-second", slots, 1, &err));
	assert_int_equal(routes_in(n, HOSTNET_TABLE_PODS, 0), 2);
	ok(hostnet_free_prune(next, &err));
	assert_int_equal(routes_in(n, HOSTNET_TABLE_PODS, 0), 1);
	assert_int_equal(way_to(n, "10.0.1.17", &found), -EHOSTUNREACH);
	ok(hostnet_free_set(next, "eni-second", NULL, 0, &err));
	ok(way_to(n, "10.0.1.17", &found));
	ok(hostnet_down(next, &err));
	hostnet_free(next);
	ok(hostnet_down(n->hn, &err));
	setup_all(n);
}

static void test_many_die_at_once(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct reaped seen = { 0 };
	struct hostnet_pod pod = { 0 };
	char name[IFNAMSIZ], peer[IFNAMSIZ];

	NODE_OR_SKIP(state);
	for (unsigned int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "eni%u", i);
		(void)snprintf(peer, sizeof(peer), "peer%u", i);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = name, .ifindex = VW_IFINDEX_BASE + 100 + i },
				       &(struct vw_link_end){ .name = peer, .netns_fd = n->pod });
	}
	commit(&n->nl, &b);
	for (unsigned int i = 0; i < 50; i++) {
		pod.ifindex = VW_IFINDEX_BASE + 100 + i;
		(void)snprintf(pod.ifname, sizeof(pod.ifname), "eni%u", i);
		assert_int_equal(ok(hostnet_pod_forget(n->hn, &pod, &err)), 1);
	}
	assert_int_equal(hostnet_dying(n->hn), 50);
	assert_int_equal(ok(hostnet_reap(n->hn, note_reaped, &seen, &err)), 50);
	assert_int_equal(seen.count, 50);
	assert_int_equal(hostnet_dying(n->hn), 0);
}

static void test_eni_remove_and_down(void **state)
{
	struct vw_rule *rules = NULL;
	struct hostnet_eni bad;

	NODE_OR_SKIP(state);
	setup_all(n);
	assert_int_equal(hostnet_eni_remove(n->hn, &n->eni[0], &err), -EINVAL);
	ok(hostnet_eni_remove(n->hn, &n->eni[1], &err));
	ok(hostnet_eni_remove(n->hn, &n->eni[1], &err));
	assert_int_equal(our_rules(n), 2);
	ok(hostnet_verify(n->hn, n->eni, 1, &err));
	assert_int_equal(routes_in(n, 2, 0), 0);
	bad = n->eni[1];
	bad.table = RT_TABLE_MAIN;
	assert_int_equal(hostnet_eni_setup(n->hn, &bad, &err), -EINVAL);
	bad = n->eni[1];
	bad.number = HOSTNET_ENI_MAX + 1;
	assert_int_equal(hostnet_eni_setup(n->hn, &bad, &err), -EINVAL);
	bad = n->eni[1];
	(void)snprintf(bad.ifname, sizeof(bad.ifname), "gone0");
	bad.ifindex = 4711;
	assert_int_equal(hostnet_eni_setup(n->hn, &bad, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "eni-second"));
	setup_all(n);
	ok(hostnet_down(n->hn, &err));
	ok(hostnet_down(n->hn, &err));
	assert_int_equal(our_rules(n), 0);
	assert_int_equal(ok(vw_rule_list(&n->nl, AF_INET, &rules, &err)), 3);
	free(rules);
	assert_int_equal(routes_in(n, 2, 0), 0);
	expect_stale(n, "address 169.254.1.1/32 of lo is missing");
}

static void test_table_numbers(void **state)
{
	assert_int_equal(hostnet_eni_table(0, 1), 2);
	assert_int_equal(hostnet_eni_table(0, 14), 15);
	assert_int_equal(hostnet_eni_table(1, 3), 10103);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_numbers),
		cmocka_unit_test(test_converges_over_a_mess),
		cmocka_unit_test(test_verify_names_what_is_missing),
		cmocka_unit_test(test_repair_restores_what_is_missing_and_no_more),
		cmocka_unit_test(test_who_leaves_where),        /* makes the pod for those below */
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_inbound_from_outside),
		cmocka_unit_test(test_external_snat_and_random),
		cmocka_unit_test(test_another_mark),
		cmocka_unit_test(test_gateway_answers_arp),
		cmocka_unit_test(test_scan_forget_reap),
		cmocka_unit_test(test_free_addresses_are_unreachable),
		cmocka_unit_test(test_many_die_at_once),
		cmocka_unit_test(test_eni_remove_and_down),
	};

	return cmocka_run_group_tests(tests, private_node, node_gone);
}
