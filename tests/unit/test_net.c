/* lib/net without a kernel: what builders put into messages, and what a batch refuses before anything is sent. */
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/sysctl.h"
#include "lib/net/tc.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/stat.h>

static struct vw_ip ip(const char *text)
{
	struct vw_ip out;

	assert_int_equal(vw_ip_parse(text, &out), 0);
	return out;
}

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr out;

	assert_int_equal(vw_cidr_parse(text, &out), 0);
	return out;
}

static const struct nlmsghdr *msg(const struct vw_nl_batch *b, size_t i)
{
	const struct nlmsghdr *nlh;

	assert_int_equal(b->sour_eno, 0);
	assert_true(i < b->n);
	nlh = (const struct nlmsghdr *)(b->buf + b->ops[i].off);
	assert_int_equal(nlh->nlmsg_len, b->ops[i].len);
	assert_true((nlh->nlmsg_flags & (NLM_F_REQUEST | NLM_F_ACK)) == (NLM_F_REQUEST | NLM_F_ACK));
	return nlh;
}

/** find() - the attribute of type @type at @offset of @nlh's payload, NULL if absent. */
static const struct nlattr *find(const struct nlmsghdr *nlh, size_t offset, int type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, offset)
		if (mnl_attr_get_type(attr) == type)
			return attr;
	return NULL;
}

static const struct nlattr *inside(const struct nlattr *nest, size_t offset, int type)
{
	const char *base = mnl_attr_get_payload(nest);
	const struct nlattr *attr;

	assert_non_null(nest);
	mnl_attr_for_each_payload((const void *)(base + offset), mnl_attr_get_payload_len(nest) - offset)
		if (mnl_attr_get_type(attr) == type)
			return attr;
	return NULL;
}

static void test_veth(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_end host = { .name = "eni0123456789a", .ifindex = 0x20000007, .mac = { { 2, 0, 0, 0, 0, 7 } },
				    .mtu = 9001, .group = 5, .up = true };
	struct vw_link_end peer = { .name = "eth0", .mac = { { 2, 0, 0, 0, 0, 8 } }, .mtu = 9001, .netns_fd = 42 };
	size_t ifi_len = sizeof(struct ifinfomsg);
	const struct ifinfomsg *ifi;
	const struct nlattr *a;
	const struct nlmsghdr *nlh;

	assert_int_equal(vw_link_add_veth(&b, &host, &peer), 0);
	nlh = msg(&b, 0);
	assert_int_equal(nlh->nlmsg_type, RTM_NEWLINK);
	assert_true(nlh->nlmsg_flags & NLM_F_EXCL);
	ifi = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(ifi->ifi_index, 0x20000007);
	assert_int_equal(ifi->ifi_flags, IFF_UP);
	assert_int_equal(ifi->ifi_change, IFF_UP);
	assert_string_equal(mnl_attr_get_str(find(nlh, ifi_len, IFLA_IFNAME)), "eni0123456789a");
	assert_int_equal(mnl_attr_get_u32(find(nlh, ifi_len, IFLA_MTU)), 9001);
	assert_int_equal(mnl_attr_get_u32(find(nlh, ifi_len, IFLA_GROUP)), 5);
	assert_null(find(nlh, ifi_len, IFLA_NET_NS_FD));
	a = inside(find(nlh, ifi_len, IFLA_LINKINFO), 0, IFLA_INFO_KIND);
	assert_string_equal(mnl_attr_get_str(a), "veth");
	a = inside(inside(find(nlh, ifi_len, IFLA_LINKINFO), 0, IFLA_INFO_DATA), 0, VETH_INFO_PEER);
	ifi = mnl_attr_get_payload(a);
	assert_int_equal(ifi->ifi_flags, 0);
	assert_string_equal(mnl_attr_get_str(inside(a, ifi_len, IFLA_IFNAME)), "eth0");
	assert_memory_equal(mnl_attr_get_payload(inside(a, ifi_len, IFLA_ADDRESS)), peer.mac.b, 6);
	assert_int_equal(mnl_attr_get_u32(inside(a, ifi_len, IFLA_NET_NS_FD)), 42);
	assert_null(inside(a, ifi_len, IFLA_GROUP));
	assert_string_equal(b.ops[0].what, "creating veth eni0123456789a with peer eth0");
}

static void test_link_set(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_set set = { .ifindex = 9, .name = "eth1", .what = VW_LINK_UP | VW_LINK_ALIAS | VW_LINK_GROUP,
				   .alias = "vpcwire:abc/eth0", .group = 7, .mtu = 1 };
	const struct nlmsghdr *nlh;
	const struct ifinfomsg *ifi;
	const struct nlattr *a;

	assert_int_equal(vw_link_set(&b, &set), 0);
	nlh = msg(&b, 0);
	ifi = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(ifi->ifi_index, 9);
	assert_int_equal(ifi->ifi_change, IFF_UP);
	assert_null(find(nlh, sizeof(*ifi), IFLA_IFNAME));      /* with an index a name would rename */
	assert_null(find(nlh, sizeof(*ifi), IFLA_MTU));
	a = find(nlh, sizeof(*ifi), IFLA_IFALIAS);
	assert_int_equal(mnl_attr_get_payload_len(a), strlen(set.alias));
	assert_string_equal(b.ops[0].what, "bringing up link eth1");

	set = (struct vw_link_set){ .name = "eth1", .what = VW_LINK_DOWN };
	assert_int_equal(vw_link_set(&b, &set), 1);
	nlh = msg(&b, 1);
	ifi = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(ifi->ifi_flags, 0);
	assert_int_equal(ifi->ifi_change, IFF_UP);
	assert_string_equal(mnl_attr_get_str(find(nlh, sizeof(*ifi), IFLA_IFNAME)), "eth1");
}

static void test_route(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_route r = { .dst = cidr("10.0.0.5/32"), .table = 22103, .scope = RT_SCOPE_LINK, .ifindex = 12,
			      .dev = "eniaa" };
	const struct nlmsghdr *nlh;
	const struct rtmsg *rtm;

	assert_int_equal(vw_route_add(&b, &r), 0);
	nlh = msg(&b, 0);
	rtm = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(rtm->rtm_table, RT_TABLE_UNSPEC);      /* does not fit 8 bits: RTA_TABLE alone */
	assert_int_equal(rtm->rtm_protocol, VW_RTPROT);
	assert_int_equal(rtm->rtm_type, RTN_UNICAST);
	assert_int_equal(rtm->rtm_dst_len, 32);
	assert_int_equal(mnl_attr_get_u32(find(nlh, sizeof(*rtm), RTA_TABLE)), 22103);
	assert_int_equal(mnl_attr_get_u32(find(nlh, sizeof(*rtm), RTA_OIF)), 12);
	assert_memory_equal(mnl_attr_get_payload(find(nlh, sizeof(*rtm), RTA_DST)), "\x0a\0\0\5", 4);
	assert_string_equal(b.ops[0].what, "adding route 10.0.0.5/32 dev eniaa table 22103");

	r.scope = 0;
	assert_int_equal(vw_route_del(&b, &r), 1);
	rtm = mnl_nlmsg_get_payload(msg(&b, 1));
	assert_int_equal(rtm->rtm_scope, RT_SCOPE_NOWHERE);
	assert_int_equal(rtm->rtm_protocol, 0);

	r = (struct vw_route){ .dst = cidr("::/0"), .via = ip("fe80::1"), .onlink = true, .ifindex = 3 };
	assert_int_equal(vw_route_replace(&b, &r), 2);
	nlh = msg(&b, 2);
	rtm = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(rtm->rtm_family, AF_INET6);
	assert_int_equal(rtm->rtm_table, RT_TABLE_MAIN);
	assert_true(rtm->rtm_flags & RTNH_F_ONLINK);
	assert_null(find(nlh, sizeof(*rtm), RTA_DST));
	assert_int_equal(mnl_attr_get_payload_len(find(nlh, sizeof(*rtm), RTA_GATEWAY)), 16);
	assert_string_equal(b.ops[2].what, "setting route default via fe80::1 dev #3 table 254");
}

static void test_filter(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_filter f = { .ifindex = 3, .prog_fd = 11, .name = "from_pod", .dev = "eniaa" };
	const struct nlmsghdr *nlh;
	const struct nlattr *opt;
	const struct tcmsg *tcm;

	(void)vw_clsact_add(&b, 3, "eniaa");
	assert_int_equal(vw_filter_replace(&b, &f), 1);
	nlh = msg(&b, 1);
	tcm = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(tcm->tcm_handle, VW_TC_HANDLE);
	assert_int_equal(tcm->tcm_parent, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
	assert_int_equal(tcm->tcm_info >> 16, VW_TC_PRIO);
	opt = find(nlh, sizeof(*tcm), TCA_OPTIONS);
	assert_int_equal(mnl_attr_get_u32(inside(opt, 0, TCA_BPF_FD)), 11);
	assert_int_equal(mnl_attr_get_u32(inside(opt, 0, TCA_BPF_FLAGS)), TCA_BPF_FLAG_ACT_DIRECT);
	assert_string_equal(b.ops[1].what, "attaching from_pod to ingress of eniaa");
}

static void test_large_batch_keeps_offsets(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_route r = { .dst = cidr("10.0.0.0/32"), .table = 22103, .ifindex = 1 };

	for (unsigned int i = 0; i < 1000; i++) {
		r.dst.ip = vw_ip4(0x0a000000 + i);
		assert_int_equal(vw_route_add(&b, &r), i);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		const struct nlattr *dst = find(msg(&b, i), sizeof(struct rtmsg), RTA_DST);

		r.dst.ip = vw_ip4(0x0a000000 + i);
		assert_memory_equal(mnl_attr_get_payload(dst), r.dst.ip.b, 4);
	}
}

static void test_sour(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_route r = { .dst = cidr("10.0.0.5/24"), .ifindex = 12 };
	struct vw_err err;

	assert_int_equal(vw_nl_open(&nl, &err), 0);
	assert_int_equal(vw_link_set_up(&b, 1 << 30, "nothere"), 0);
	assert_int_equal(vw_route_add(&b, &r), -EINVAL);        /* host bits set */
	assert_true(vw_link_set_up(&b, 1 << 30, NULL) < 0);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "10.0.0.5/24"));
	assert_int_equal(b.ops[0].outcome, VW_NL_NOT_SENT);
	vw_nl_batch_reset(&b);
	assert_int_equal(vw_nl_commit(&nl, &b, &err), 0);       /* nothing to do */
}

static void test_refused(void **state)
{
	static const char *const bad_names[] = { "", "sixteen-letters-", NULL };
	struct vw_link_end good = { .name = "a" }, up = { .name = "b", .up = true }, bad = { 0 };
	struct vw_addr addr = { .addr = cidr("10.0.0.1/24") };
	struct vw_nl_batch b;

#define REFUSED(call) \
	do { \
		b = (struct vw_nl_batch)VW_NL_BATCH_INIT; \
		assert_int_equal(call, -EINVAL); \
		assert_int_equal(b.sour_eno, EINVAL); \
		vw_nl_batch_done(&b); \
	} while (0)
	for (size_t i = 0; i < VW_ARRAY_SIZE(bad_names); i++) {
		bad.name = bad_names[i];
		REFUSED(vw_link_add_veth(&b, &bad, &good));
		REFUSED(vw_link_add_veth(&b, &good, &bad));
		REFUSED(vw_link_del_name(&b, bad_names[i]));
	}
	REFUSED(vw_link_add_veth(&b, &good, &up));
	REFUSED(vw_link_del_group(&b, 0));
	REFUSED(vw_link_del(&b, 0));
	REFUSED(vw_addr_add(&b, &addr));                        /* no interface */
	REFUSED(vw_rule_add(&b, &(struct vw_rule){ .family = AF_INET }));
	REFUSED(vw_neigh_replace(&b, &(struct vw_neigh){ .ifindex = 3 }));
	REFUSED(vw_filter_replace(&b, &(struct vw_filter){ .ifindex = 3, .prog_fd = -1, .name = "x" }));
	REFUSED(vw_link_set(&b, &(struct vw_link_set){ .name = "a", .what = VW_LINK_NAME, .new_name = "b" }));
}

static void test_netns_open(void **state)
{
	char dir[] = "/tmp/vpcwire-test-net-XXXXXX", fifo[64];
	struct vw_err err;
	int fd;

	fd = vw_netns_open("/proc/self/ns/net", &err);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(vw_netns_open("/proc/self/ns/mnt", &err), -EINVAL);
	assert_int_equal(err.cni, VW_CNI_INVALID_NETNS);
	assert_int_equal(vw_netns_open("/dev/null", &err), -EINVAL);
	assert_int_equal(vw_netns_open("/nowhere/at/all", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/at/all"));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(vw_netns_open(fifo, &err), -EINVAL);   /* and did not hang */
	unlink(fifo);
	rmdir(dir);
}

static void test_sysctl_names(void **state)
{
	struct vw_err err;
	char buf[32], tiny[2];

	assert_int_equal(vw_sysctl_get("net/ipv4/ip_forward", buf, sizeof(buf), &err), 0);
	assert_true(strcmp(buf, "0") == 0 || strcmp(buf, "1") == 0);
	assert_int_equal(vw_sysctl_get("net/ipv4/ip_local_port_range", tiny, sizeof(tiny), &err), -ENAMETOOLONG);
	assert_int_equal(vw_sysctl_get("net/ipv4/nothing_of_the_kind", buf, sizeof(buf), &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/proc/sys/net/ipv4/nothing_of_the_kind"));
	assert_int_equal(vw_sysctl_get("../../etc/passwd", buf, sizeof(buf), &err), -EINVAL);
	assert_int_equal(vw_sysctl_if_get(AF_INET, "../lo", "forwarding", buf, sizeof(buf), &err), -EINVAL);
	assert_int_equal(vw_sysctl_if_get(AF_INET, "..", "forwarding", buf, sizeof(buf), &err), -EINVAL);
	assert_int_equal(vw_sysctl_if_get(AF_INET, "lo", "forwarding", buf, sizeof(buf), &err), 0);
}

static void test_rule_eq(void **state)
{
	const struct vw_rule base = { .family = AF_INET, .protocol = 86, .priority = 1024, .fwmark = 0x80,
				      .fwmask = 0x80, .table = 254 };
	struct vw_rule other = base;
	char text[VW_RULE_STRLEN];

	assert_true(vw_rule_eq(&base, &other));
	other.fwmask = 0xff;
	assert_false(vw_rule_eq(&base, &other));
	other = base;
	other.from = cidr("10.0.0.1/32");
	assert_false(vw_rule_eq(&base, &other));
	assert_string_equal(vw_rule_str(&base, text), "1024: fwmark 0x80/0x80 lookup 254");
	assert_string_equal(vw_rule_str(&other, text), "1024: from 10.0.0.1/32 fwmark 0x80/0x80 lookup 254");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_veth),
		cmocka_unit_test(test_link_set),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_large_batch_keeps_offsets),
		cmocka_unit_test(test_sour),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_netns_open),
		cmocka_unit_test(test_sysctl_names),
		cmocka_unit_test(test_rule_eq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
