/*
 * from_pod, the real program, by BPF_PROG_TEST_RUN: a table of packets, each with the verdict, the mark and the one drop
 * counter that must move. The context's interface is a real veth, since the program knows the slot by its index.
 */
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/net/link.h"
#include "lib/net/sysctl.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/bpf/bpf_fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define MARK_IN 0xabcd0085u     /* of what is above the low 7 bits, only the bits for services go */
#define PASS (-1)

enum { SLOT_V4 = 5, SLOT_BOTH = 6, SLOT_EMPTY = 7, SLOT_V6 = 8, SLOT_LAST = NP_SLOTS - 1 };
#define ETH0_INDEX 42           /* an interface outside the slots' range */
#define PAST_INDEX (NP_IFINDEX_BASE + NP_SLOTS)

struct pkt {
	uint8_t b[512];
	size_t len;
};

static void add(struct pkt *p, const void *data, size_t len)
{
	assert_true(p->len + len <= sizeof(p->b));
	memcpy(p->b + p->len, data, len);
	p->len += len;
}

static struct pkt eth(uint16_t proto)
{
	struct ethhdr h = { .h_dest = { 2, 0, 0, 0, 0, 1 }, .h_source = { 2, 0, 0, 0, 0, 2 }, .h_proto = htons(proto) };
	struct pkt p = { 0 };

	add(&p, &h, sizeof(h));
	return p;
}

/** ip4() - UDP from @src with @options bytes of NOPs and @payload bytes. */
static struct pkt ip4(const char *src, unsigned int options, unsigned int payload)
{
	uint8_t fill[256];
	struct pkt p = eth(ETH_P_IP);
	struct iphdr h = { .version = 4, .ihl = 5 + options / 4, .ttl = 64, .protocol = 17,
			   .tot_len = htons(sizeof(h) + options + payload) };

	memset(fill, 1, sizeof(fill));
	assert_int_equal(inet_pton(AF_INET, src, &h.saddr), 1);
	h.daddr = htonl(0x0a000909);
	add(&p, &h, sizeof(h));
	add(&p, fill, options + payload);
	return p;
}

static struct pkt ip6(const char *src, uint8_t next, uint8_t hops, const void *payload, size_t len)
{
	struct pkt p = eth(ETH_P_IPV6);
	struct ipv6hdr h = { .version = 6, .nexthdr = next, .hop_limit = hops, .payload_len = htons((uint16_t)len) };

	assert_int_equal(inet_pton(AF_INET6, src, &h.saddr), 1);
	h.daddr.s6_addr[0] = 0x20;
	add(&p, &h, sizeof(h));
	add(&p, payload, len);
	return p;
}

static struct pkt icmp6(const char *src, uint8_t hops, uint8_t type)
{
	const uint8_t body[24] = { type };

	return ip6(src, 58, hops, body, sizeof(body));
}

static struct pkt arp(const char *sender, uint16_t hrd, uint16_t pro, uint8_t hln, uint8_t pln)
{
	struct pkt p = eth(ETH_P_ARP);
	uint8_t b[28] = { (uint8_t)(hrd >> 8), (uint8_t)hrd, (uint8_t)(pro >> 8), (uint8_t)pro, hln, pln, 0, 1 };

	assert_int_equal(inet_pton(AF_INET, sender, b + 14), 1);
	add(&p, b, sizeof(b));
	return p;
}

static struct pkt cut(struct pkt p, size_t len)
{
	assert_true(len <= p.len);
	p.len = len;
	return p;
}

/** with() - @p with one byte changed: offsets from the start of the frame. */
static struct pkt with(struct pkt p, size_t at, uint8_t value)
{
	assert_true(at < p.len);
	p.b[at] = value;
	return p;
}

static struct pkt tagged(struct pkt inner, uint16_t tpid)
{
	struct pkt p = eth(tpid);
	uint8_t tci[4] = { 0, 100, inner.b[12], inner.b[13] };

	add(&p, tci, sizeof(tci));
	add(&p, inner.b + ETH_HLEN, inner.len - ETH_HLEN);
	return p;
}

#define IP(field) (ETH_HLEN + offsetof(struct iphdr, field))
#define V4 "10.0.1.30"
#define OTHER4 "10.0.1.31"
#define V6 "2001:db8::30"
#define SLOT(n) (NP_IFINDEX_BASE + (n))
#define ARP_OK 1, 0x0800, 6, 4

struct row {
	const char *what;
	unsigned int ifindex;
	struct pkt p;
	int verdict;            /* PASS or the drop reason */
	unsigned int eni;
};

/** run() - the program over one packet. Return: its verdict; *ret_mark as it left it. */
static int run(int prog, unsigned int ifindex, const struct pkt *p, uint32_t *ret_mark)
{
	struct __sk_buff in = { .ifindex = ifindex, .mark = MARK_IN }, out = { 0 };
	uint8_t data[600];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)p->len, .data_out = data,
		    .data_size_out = sizeof(data), .ctx_in = &in, .ctx_size_in = sizeof(in), .ctx_out = &out,
		    .ctx_size_out = sizeof(out));
	int r = bpf_prog_test_run_opts(prog, &opts);

	if (r < 0)
		fail_msg("test_run of %zu bytes on #%u: %s", p->len, ifindex, strerror(-r));
	assert_int_equal(opts.data_size_out, p->len);           /* it looks, it does not touch */
	assert_memory_equal(data, p->b, p->len);
	*ret_mark = out.mark;
	return (int)opts.retval;
}

static void check_row(struct np *np, const struct row *row)
{
	uint64_t before[NP_DROP_MAX], after[NP_DROP_MAX];
	struct vw_err err;
	uint32_t mark;
	int r;

	ok(np_drops(np, before, &err));
	r = run(np_from_pod_fd(np), row->ifindex, &row->p, &mark);
	ok(np_drops(np, after, &err));
	for (int i = 0; i < NP_DROP_MAX; i++)
		if (after[i] - before[i] != (i == row->verdict))
			fail_msg("%s: counter %s moved by %lu", row->what, np_drop_name((unsigned int)i),
				 (unsigned long)(after[i] - before[i]));
	if (row->verdict == PASS) {
		if (r != TC_ACT_UNSPEC)
			fail_msg("%s: verdict %d, not a pass", row->what, r);
		if (mark != ((MARK_IN & ~(NP_MARK_ENI_MASK | NP_MARK_PENDING | NP_MARK_SLOT_MASK)) | row->eni))
			fail_msg("%s: mark %#x", row->what, mark);
	} else if (r != TC_ACT_SHOT) {
		fail_msg("%s: verdict %d, not a drop", row->what, r);
	}
}

/** wait_counter() - until @reason has moved from @before; packets between veths arrive when softirqs run. */
static void wait_counter(struct np *np, const char *what, int reason, const uint64_t *before)
{
	uint64_t deadline = vw_mono_ms() + 10000, now[NP_DROP_MAX];
	struct vw_err err;

	do {
		ok(np_drops(np, now, &err));
		if (vw_deadline_left(deadline) == 0)
			fail_msg("%s: was not counted as %s", what, np_drop_name((unsigned int)reason));
		(void)poll(NULL, 0, 1);
	} while (now[reason] == before[reason]);
	for (int i = 0; i < NP_DROP_MAX; i++)
		assert_int_equal(now[i] - before[i], i == reason);
}

/** check_live() - the same by a real frame from the pod's end: BPF_PROG_TEST_RUN refuses frames without an IP header. */
static void check_live(struct np *np, const struct row *row)
{
	vw_auto_close int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("pod0"), .sll_halen = 6 };
	uint64_t before[NP_DROP_MAX];
	struct vw_err err;

	assert_true(fd >= 0 && to.sll_ifindex > 0);
	ok(np_drops(np, before, &err));
	if (sendto(fd, row->p.b, row->p.len, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)row->p.len)
		fail_msg("%s: sending: %s", row->what, strerror(errno));
	wait_counter(np, row->what, row->verdict, before);
}

static int setup(void **state)
{
	static const unsigned int indexes[] = { SLOT(SLOT_V4), SLOT(SLOT_BOTH), SLOT(SLOT_EMPTY), SLOT(SLOT_LAST),
						ETH0_INDEX, PAST_INDEX, SLOT(SLOT_V6) };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct np_pod_conf both = { .eni = 127 }, v4 = { .eni = 9 };
	char name[16], peer[16];
	struct vw_err err;
	struct bpf_fixture *f;

	if (bpf_fixture_setup(state) < 0 || !*state)
		return 0;
	f = *state;
	ok(np_open(f->dir, NULL, &f->np, &err));
	/* no router solicitations and the like among the frames that are counted */
	(void)vw_sysctl_if_set(AF_INET6, "default", "disable_ipv6", "1", &err);
	ok(vw_nl_open(&nl, &err));
	for (size_t i = 0; i < VW_ARRAY_SIZE(indexes); i++) {
		(void)snprintf(name, sizeof(name), "eni%zu", i);
		(void)snprintf(peer, sizeof(peer), "pod%zu", i);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = name, .ifindex = indexes[i] },
				       &(struct vw_link_end){ .name = peer });
	}
	(void)vw_clsact_add(&b, indexes[0], "eni0");
	(void)vw_filter_replace(&b, &(struct vw_filter){ .ifindex = indexes[0], .name = "from_pod",
							 .prog_fd = np_from_pod_fd(f->np) });
	(void)vw_link_set_up(&b, indexes[0], "eni0");
	(void)vw_link_set(&b, &(struct vw_link_set){ .name = "pod0", .what = VW_LINK_UP });
	ok(vw_nl_commit(&nl, &b, &err));
	assert_int_equal(vw_ip_parse(V4, &v4.ip4), 0);
	both.ip4 = v4.ip4;
	assert_int_equal(vw_ip_parse(V6, &both.ip6), 0);
	ok(np_slot_publish(f->np, SLOT_V4, &v4, &err));
	ok(np_slot_publish(f->np, SLOT_BOTH, &both, &err));
	both.ip4 = (struct vw_ip){ 0 };
	both.eni = 0;
	ok(np_slot_publish(f->np, SLOT_V6, &both, &err));
	v4.eni = 0;
	ok(np_slot_publish(f->np, SLOT_LAST, &v4, &err));
	return 0;
}

static int done(void **state)
{
	struct bpf_fixture *f = *state;

	if (f)
		np_close(f->np);
	return bpf_fixture_done(state);
}

static void test_ip4(void **state)
{
	BPF_OR_SKIP(state);
	const struct row rows[] = {
		{ "own address", SLOT(SLOT_V4), ip4(V4, 0, 8), PASS, 9 },
		{ "own address, other slot", SLOT(SLOT_BOTH), ip4(V4, 0, 8), PASS, 127 },
		{ "primary ENI clears the low bits", SLOT(SLOT_LAST), ip4(V4, 0, 8), PASS, 0 },
		{ "no payload", SLOT(SLOT_V4), ip4(V4, 0, 0), PASS, 9 },
		{ "trailing padding of a short frame", SLOT(SLOT_V4), with(ip4(V4, 0, 26), IP(tot_len) + 1, 28), PASS, 9 },
		{ "options", SLOT(SLOT_V4), ip4(V4, 8, 8), PASS, 9 },
		{ "most options", SLOT(SLOT_V4), ip4(V4, 40, 8), PASS, 9 },
		{ "later fragment", SLOT(SLOT_V4), with(ip4(V4, 0, 8), IP(frag_off) + 1, 185), PASS, 9 },
		{ "another pod's address", SLOT(SLOT_V4), ip4(OTHER4, 0, 8), NP_DROP_SPOOF4 },
		{ "spoof with options", SLOT(SLOT_V4), ip4(OTHER4, 8, 8), NP_DROP_SPOOF4 },
		{ "pod without IPv4", SLOT(SLOT_V6), ip4(V4, 0, 8), NP_DROP_SPOOF4 },
		{ "0.0.0.0, pod without IPv4", SLOT(SLOT_V6), ip4("0.0.0.0", 0, 8), NP_DROP_SPOOF4 },
		{ "0.0.0.0", SLOT(SLOT_V4), ip4("0.0.0.0", 0, 8), NP_DROP_SPOOF4 },
		{ "loopback", SLOT(SLOT_V4), ip4("127.0.0.1", 0, 8), NP_DROP_SPOOF4 },
		{ "half the options", SLOT(SLOT_V4), cut(ip4(V4, 8, 8), ETH_HLEN + 24), NP_DROP_TRUNCATED },
		{ "less than its length", SLOT(SLOT_V4), cut(ip4(V4, 0, 8), ETH_HLEN + 27), NP_DROP_TRUNCATED },
		{ "length below its header", SLOT(SLOT_V4), with(ip4(V4, 8, 8), IP(tot_len) + 1, 27), NP_DROP_MALFORMED },
		{ "length 0", SLOT(SLOT_V4), with(ip4(V4, 0, 8), IP(tot_len) + 1, 0), NP_DROP_MALFORMED },
		{ "header length 4", SLOT(SLOT_V4), with(ip4(V4, 0, 8), ETH_HLEN, 0x44), NP_DROP_MALFORMED },
		{ "version 6 under 0x0800", SLOT(SLOT_V4), with(ip4(V4, 0, 8), ETH_HLEN, 0x65), NP_DROP_MALFORMED },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++)
		check_row(f->np, &rows[i]);
}

static void test_ip6(void **state)
{
	BPF_OR_SKIP(state);
	const uint8_t udp[16] = { 0 };
	const struct row rows[] = {
		{ "own address", SLOT(SLOT_BOTH), ip6(V6, 17, 64, udp, 16), PASS, 127 },
		{ "no payload", SLOT(SLOT_BOTH), ip6(V6, 59, 64, udp, 0), PASS, 127 },
		{ "own address, pod without IPv4", SLOT(SLOT_V6), ip6(V6, 17, 64, udp, 16), PASS, 0 },
		{ "another's, pod without IPv4", SLOT(SLOT_V6), ip6("2001:db8::31", 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "solicitation, pod without IPv4", SLOT(SLOT_V6), icmp6("fe80::2", 255, 135), PASS, 0 },
		{ "last bit differs", SLOT(SLOT_BOTH), ip6("2001:db8::31", 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "first bits differ", SLOT(SLOT_BOTH), ip6("3001:db8::30", 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "middle differs", SLOT(SLOT_BOTH), ip6("2001:db8:0:1::30", 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "v4-mapped", SLOT(SLOT_BOTH), ip6("::ffff:" V4, 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "pod without IPv6", SLOT(SLOT_V4), ip6(V6, 17, 64, udp, 16), NP_DROP_SPOOF6 },
		{ "pod without IPv6, link-local", SLOT(SLOT_V4), icmp6("fe80::2", 255, 135), NP_DROP_LOCAL6 },
		{ "solicitation, link-local", SLOT(SLOT_BOTH), icmp6("fe80::2", 255, 135), PASS, 127 },
		{ "advertisement, link-local", SLOT(SLOT_BOTH), icmp6("febf::2", 255, 136), PASS, 127 },
		{ "duplicate address detection", SLOT(SLOT_BOTH), icmp6("::", 255, 135), PASS, 127 },
		{ "forwarded solicitation", SLOT(SLOT_BOTH), icmp6("fe80::2", 254, 135), NP_DROP_LOCAL6 },
		{ "router advertisement", SLOT(SLOT_BOTH), icmp6("fe80::2", 255, 134), NP_DROP_LOCAL6 },
		{ "redirect", SLOT(SLOT_BOTH), icmp6("fe80::2", 255, 137), NP_DROP_LOCAL6 },
		{ "UDP, link-local", SLOT(SLOT_BOTH), ip6("fe80::2", 17, 255, udp, 16), NP_DROP_LOCAL6 },
		{ "behind hop-by-hop, link-local", SLOT(SLOT_BOTH), ip6("fe80::2", 0, 255, udp, 16), NP_DROP_LOCAL6 },
		{ "link-local, cut before the type", SLOT(SLOT_BOTH), ip6("fe80::2", 58, 255, udp, 0), NP_DROP_LOCAL6 },
		{ "site-local is not link-local", SLOT(SLOT_BOTH), icmp6("fec0::2", 255, 135), NP_DROP_SPOOF6 },
		{ "less than its length", SLOT(SLOT_BOTH), cut(ip6(V6, 17, 64, udp, 16), ETH_HLEN + 55),
		  NP_DROP_TRUNCATED },
		{ "version 4 under 0x86dd", SLOT(SLOT_BOTH), with(ip6(V6, 17, 64, udp, 16), ETH_HLEN, 0x45),
		  NP_DROP_MALFORMED },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++)
		check_row(f->np, &rows[i]);
}

static void test_arp(void **state)
{
	BPF_OR_SKIP(state);
	const struct row rows[] = {
		{ "own address", SLOT(SLOT_V4), arp(V4, ARP_OK), PASS, 9 },
		{ "probe", SLOT(SLOT_V4), arp("0.0.0.0", ARP_OK), PASS, 9 },
		{ "pod without IPv4", SLOT(SLOT_V6), arp(V4, ARP_OK), NP_DROP_SPOOF_ARP },
		{ "another's address", SLOT(SLOT_V4), arp(OTHER4, ARP_OK), NP_DROP_SPOOF_ARP },
		{ "the gateway's", SLOT(SLOT_V4), arp("169.254.1.1", ARP_OK), NP_DROP_SPOOF_ARP },
		{ "cut", SLOT(SLOT_V4), cut(arp(V4, ARP_OK), ETH_HLEN + 27), NP_DROP_TRUNCATED },
		{ "not Ethernet", SLOT(SLOT_V4), arp(V4, 6, 0x0800, 6, 4), NP_DROP_MALFORMED },
		{ "not IPv4", SLOT(SLOT_V4), arp(V4, 1, 0x86dd, 6, 4), NP_DROP_MALFORMED },
		{ "long MACs", SLOT(SLOT_V4), arp(V4, 1, 0x0800, 8, 4), NP_DROP_MALFORMED },
		{ "long addresses", SLOT(SLOT_V4), arp(V4, 1, 0x0800, 6, 16), NP_DROP_MALFORMED },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++)
		check_row(f->np, &rows[i]);
}

static void test_slots_and_other_frames(void **state)
{
	BPF_OR_SKIP(state);
	const struct row rows[] = {
		{ "empty slot", SLOT(SLOT_EMPTY), ip4(V4, 0, 8), NP_DROP_NO_SLOT },
		{ "index below the range", ETH0_INDEX, ip4(V4, 0, 8), NP_DROP_NO_SLOT },
		{ "index past the range", PAST_INDEX, ip4(V4, 0, 8), NP_DROP_NO_SLOT },
		{ "VLAN tag", SLOT(SLOT_V4), tagged(ip4(V4, 0, 8), ETH_P_8021Q), NP_DROP_VLAN },
		{ "service VLAN tag", SLOT(SLOT_V4), tagged(ip4(V4, 0, 8), ETH_P_8021AD), NP_DROP_VLAN },
		{ "MPLS", SLOT(SLOT_V4), tagged(ip4(V4, 0, 8), ETH_P_MPLS_UC), NP_DROP_ETHERTYPE },
		{ "LLDP", SLOT(SLOT_V4), eth(0x88cc), NP_DROP_ETHERTYPE },
		{ "802.3 length", SLOT(SLOT_V4), eth(100), NP_DROP_ETHERTYPE },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++)
		check_row(f->np, &rows[i]);
}

static void test_live_frames(void **state)
{
	BPF_OR_SKIP(state);
	const struct row rows[] = {
		{ "no IPv4 header at all", 0, cut(ip4(V4, 0, 8), ETH_HLEN), NP_DROP_TRUNCATED },
		{ "half an IPv4 header", 0, cut(ip4(V4, 0, 8), ETH_HLEN + 19), NP_DROP_TRUNCATED },
		{ "no IPv6 header at all", 0, eth(ETH_P_IPV6), NP_DROP_TRUNCATED },
		{ "half an IPv6 header", 0, cut(icmp6(V6, 64, 128), ETH_HLEN + 39), NP_DROP_TRUNCATED },
		{ "no ARP at all", 0, eth(ETH_P_ARP), NP_DROP_TRUNCATED },
		{ "VLAN tag, moved into the skb by the kernel", 0, tagged(ip4(V4, 0, 8), ETH_P_8021Q), NP_DROP_VLAN },
		{ "spoof", 0, ip4(OTHER4, 0, 8), NP_DROP_SPOOF4 },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++)
		check_live(f->np, &rows[i]);
}

static void test_clear_and_publish_again(void **state)
{
	const struct row passes = { "published", SLOT(SLOT_EMPTY), ip4(V4, 0, 8), PASS, 3 };
	const struct row dropped = { "cleared", SLOT(SLOT_EMPTY), ip4(V4, 0, 8), NP_DROP_NO_SLOT };
	struct np_pod_conf pod = { .eni = 3 };

	BPF_OR_SKIP(state);
	assert_int_equal(vw_ip_parse(V4, &pod.ip4), 0);
	ok(np_slot_publish(f->np, SLOT_EMPTY, &pod, &err));
	check_row(f->np, &passes);
	ok(np_slot_clear(f->np, SLOT_EMPTY, &err));
	check_row(f->np, &dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip4),
		cmocka_unit_test(test_ip6),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_slots_and_other_frames),
		cmocka_unit_test(test_live_frames),
		cmocka_unit_test(test_clear_and_publish_again),
	};

	return cmocka_run_group_tests(tests, setup, done);
}
