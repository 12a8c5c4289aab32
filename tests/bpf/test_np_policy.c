/*
 * Policy in the datapath, packet by packet: who may talk to whom on which port, and everything that was ever used to get a packet past
 * such a judgement. Each case for IPv4 and IPv6.
 */
#include "tests/bpf/np_rig.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

static void test_verdicts(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 1);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, DNS), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, WEB + 1), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, OTHER), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, UDP, WEB));
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, SCTP, WEB), .sctp_chunk = 1);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, SCTP_PORT), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(FOE, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(STRANGER, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, OUT(COUSIN, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, IN(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, IN(COUSIN, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_INGRESS, IN(FRIEND, UDP, DNS));
		EXPECT(r, NP_DROP_INGRESS, IN(FOE, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, TCP, WEB), .flags = SYN);
		/* rules without ports are for every protocol, those with ports for theirs alone */
		EXPECT(r, PASS, OUT(PING, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(8, 0) : ICMP(128, 0));
		EXPECT(r, PASS, OUT(PING, IPPROTO_GRE, 0), .payload = 16);
		EXPECT(r, PASS, OUT(PING, TCP, 1), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(8, 0) : ICMP(128, 0));
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, IPPROTO_GRE, 0), .payload = 16);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, 136 /* UDP-Lite */, 0), .payload = 16);
		EXPECT(r, NP_DROP_INGRESS, IN(FRIEND, IPPROTO_GRE, 0), .payload = 16);
	}
}

/* Without a policy nothing is judged or remembered; the guard of addresses stays. */
static void test_policy_off(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_slot(r, SLOT_A)->pub = 0;
		EXPECT(r, PASS, OUT(FOE, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, OUT(FOE, TCP, WEB), .raw = true, .payload = 3);
		EXPECT(r, PASS, IN(FOE, TCP, OTHER), .flags = SYN);
		EXPECT(r, r->family == 4 ? NP_DROP_SPOOF4 : NP_DROP_SPOOF6, .hook = FROM_POD, .slot = SLOT_A, .src = POD_B, .dst = FRIEND, .proto = UDP);
		assert_int_equal(rig_flows(r), 0);
		EXPECT(r, NP_DROP_NO_SLOT, .hook = TO_POD, .slot = SLOT_GONE, .src = FRIEND, .dst = POD_B, .proto = TCP, .flags = SYN);
	}
}

/* A11: under a policy the guard comes first. */
static void test_spoof(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, r->family == 4 ? NP_DROP_SPOOF4 : NP_DROP_SPOOF6, .hook = FROM_POD, .slot = SLOT_A, .src = POD_B, .dst = FRIEND,
		       .proto = TCP, .dport = WEB, .flags = SYN);
		assert_int_equal(rig_flows(r), 0);
	}
}

/* A1: "ports" in IPv4 options are no ports. */
static void test_options(void **state)
{
	static const uint8_t fake[] = { 0x94, 4, WEB, WEB, 0, WEB, 0, WEB }, nops[40] = { [0 ... 39] = 1 };
	static const uint8_t lsrr[] = { 131, 7, 4, 10, 9, 0, 2 }, ssrr[] = { 1, 137, 7, 4, 10, 9, 0, 2 }, bad[] = { 7, 1, 0, 0 };
	static const uint8_t end[] = { 0, 131, 7, 4 }, stamp[] = { 68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
	const struct {
		const uint8_t *o;
		unsigned int n;
		int allowed;
	} rows[] = {
		{ fake, sizeof(fake), PASS }, { nops, 40, PASS }, { nops, 8, PASS }, { end, 4, PASS }, { stamp, 13, PASS },
		{ lsrr, 7, NP_DROP_SOURCE_ROUTE }, { ssrr, 8, NP_DROP_SOURCE_ROUTE }, { bad, 4, NP_DROP_SOURCE_ROUTE },
	};

	RIG_OR_SKIP(state);
	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		EXPECT(r, rows[i].allowed, OUT(FRIEND, TCP, WEB), .flags = SYN, .options = rows[i].o, .n_options = rows[i].n);
		EXPECT(r, rows[i].allowed == PASS ? NP_DROP_EGRESS : rows[i].allowed,
		       OUT(FRIEND, TCP, OTHER), .flags = SYN, .options = rows[i].o, .n_options = rows[i].n);
		EXPECT(r, rows[i].allowed == PASS ? NP_DROP_INGRESS : rows[i].allowed,
		       IN(FRIEND, TCP, OTHER), .flags = SYN, .options = rows[i].o, .n_options = rows[i].n);
	}
	assert_int_equal(rig_flows(r), 1);
}

/* A3: the protocol is behind the extension headers, and the ports are where it begins. */
static void test_extension_headers(void **state)
{
	static const uint8_t hop[] = { 0, 255 }, dst[] = { 60, 255 }, all[] = { 0, 60, 43, 60, 255 }, ah[] = { 51, 255 };
	static const uint8_t eight[] = { 60, 60, 60, 60, 60, 60, 60, 60, 255 }, nine[] = { 60, 60, 60, 60, 60, 60, 60, 60, 60, 255 };
	static const uint8_t *const chains[] = { hop, dst, all, eight, ah };
	struct pkt p;

	RIG_OR_SKIP(state);
	r->family = 6;
	for (size_t i = 0; i < VW_ARRAY_SIZE(chains); i++) {
		rig_reset(r);
		/* the third byte of an AH says nothing about its length, the second does: 8 bytes as here are (0 + 2) * 4 */
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS), .ext = chains[i]);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, UDP, WEB), .ext = chains[i]);
		EXPECT(r, NP_DROP_EGRESS, OUT(FOE, UDP, DNS), .ext = chains[i]);
		EXPECT(r, NP_DROP_INGRESS, IN(FRIEND, TCP, OTHER), .flags = 0, .ext = chains[i]);
		assert_int_equal(rig_flows(r), 1);
	}
	EXPECT(r, NP_DROP_HEADERS, OUT(FRIEND, UDP, DNS), .ext = nine);
	EXPECT(r, NP_DROP_HEADERS, OUT(PING, UDP, DNS), .ext = nine);
	EXPECT(r, NP_DROP_SOURCE_ROUTE, OUT(FRIEND, TCP, WEB), .flags = SYN, .ext = all);       /* flags: segments left */
	EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, 59 /* nothing follows */, 0), .payload = 8);
	p = pkt_of(6, &(struct spec){ .src = POD_A, .dst = FRIEND, .proto = UDP, .dport = DNS, .ext = dst });
	p.b[ETH_HLEN + 40 + 1] = 1;     /* 16 bytes, all that there is */
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &p), NP_DROP_L4);
	p.b[ETH_HLEN + 40 + 1] = 2;     /* more than there is */
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &p), NP_DROP_HEADERS);
	p.b[ETH_HLEN + 40 + 1] = 255;
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &p), NP_DROP_HEADERS);
}

/* A5: what cannot be read is not passed. */
static void test_short(void **state)
{
	static const uint8_t protos[] = { TCP, UDP, SCTP, IPPROTO_ICMP };

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (size_t i = 0; i < VW_ARRAY_SIZE(protos); i++) {
			for (unsigned int n = 0; n < 8; n++) {
				EXPECT(r, NP_DROP_L4, OUT(PING, protos[i], 0), .raw = true, .payload = n);
				EXPECT(r, NP_DROP_L4, IN(PING, protos[i], 0), .raw = true, .payload = n);
			}
		}
		EXPECT(r, NP_DROP_L4, OUT(PING, TCP, 0), .raw = true, .payload = 19);
		EXPECT(r, NP_DROP_L4, OUT(PING, SCTP, 0), .raw = true, .payload = 11);
		EXPECT(r, PASS, OUT(PING, SCTP, 0), .raw = true, .payload = 12);
		assert_int_equal(rig_flows(r), 1);
	}
}

/* Padding behind the IP packet is none of it, however much it looks like ports. */
static void test_padding(void **state)
{
	struct pkt p;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		p = pkt_of(r->family, &(struct spec){ .src = POD_A, .dst = FRIEND, .proto = TCP, .dport = WEB, .flags = SYN });
		if (r->family == 4)
			p.b[ETH_HLEN + 3] = 20;
		else
			p.b[ETH_HLEN + 5] = 0;
		assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &p), NP_DROP_L4);
	}
}

/* A2: later fragments have no ports; they go where the first one went. */
static void test_fragments(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		/* out of order: not yet known */
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, UDP, 0), .raw = true, .payload = 64, .frag = 72, .frag_id = 7);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS), .payload = 64, .more = true, .frag_id = 7);
		EXPECT(r, PASS, OUT(FRIEND, UDP, 0), .raw = true, .payload = 64, .frag = 72, .more = true, .frag_id = 7);
		EXPECT(r, PASS, OUT(FRIEND, UDP, 0), .raw = true, .payload = 8, .frag = 136, .frag_id = 7);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, UDP, 0), .raw = true, .payload = 64, .frag = 72, .frag_id = 8);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, TCP, 0), .raw = true, .payload = 64, .frag = 72, .frag_id = 7);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FOE, UDP, 0), .raw = true, .payload = 64, .frag = 72, .frag_id = 7);
		/* of a datagram that was not let through, with bytes that look like allowed ports */
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, UDP, WEB), .payload = 64, .more = true, .frag_id = 9);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, UDP, DNS), .payload = 64, .frag = 72, .frag_id = 9);
		/* the other way they are others */
		EXPECT(r, NP_DROP_FRAGMENT, .hook = TO_POD, .slot = SLOT_A, .src = FRIEND, .dst = POD_A, .proto = UDP, .raw = true, .payload = 8,
		       .frag = 72, .frag_id = 7);
		EXPECT(r, NP_DROP_L4, OUT(FRIEND, TCP, WEB), .raw = true, .payload = 8, .more = true, .frag_id = 10);
		/* one that would write over the first: RFC 1858, 3128, 5722 */
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN, .payload = 4, .more = true, .frag_id = 11);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, TCP, 0), .raw = true, .payload = 64, .frag = 8, .frag_id = 11);
		EXPECT(r, NP_DROP_FRAGMENT, OUT(FRIEND, TCP, 0), .raw = true, .payload = 64, .frag = 16, .frag_id = 11);
		EXPECT(r, PASS, OUT(FRIEND, TCP, 0), .raw = true, .payload = 64, .frag = 24, .frag_id = 11);
		/* the same number for another datagram later: what the last first one said counts */
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS), .payload = 16, .more = true, .frag_id = 7);
		EXPECT(r, PASS, OUT(FRIEND, UDP, 0), .raw = true, .payload = 8, .frag = 24, .frag_id = 7);
	}
}

/* In IPv6 the header of the fragment names what follows there, which may be one more extension header. */
static void test_fragments6(void **state)
{
	static const uint8_t dst[] = { 60, 255 };
	struct pkt first, later;

	RIG_OR_SKIP(state);
	r->family = 6;
	EXPECT(r, PASS, OUT(FRIEND, UDP, DNS), .payload = 8, .has_frag = true);         /* a fragment that is all: RFC 6946 */
	EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, UDP, WEB), .payload = 8, .has_frag = true);
	EXPECT(r, PASS, OUT(FRIEND, UDP, DNS), .payload = 56, .more = true, .frag_id = 3, .ext = dst);
	EXPECT(r, PASS, OUT(FRIEND, UDP, 0), .raw = true, .payload = 8, .frag = 64, .frag_id = 3, .ext = dst);
	/* fragment header, destination options, UDP */
	first = pkt_of(6, &(struct spec){ .src = POD_A, .dst = FRIEND, .proto = UDP, .dport = DNS, .sport = 1, .payload = 48,
					  .ext = (const uint8_t[]){ 44, 60, 255 }, .frag_id = 4 });
	first.b[ETH_HLEN + 40 + 3] |= 1;        /* more to come */
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &first), PASS);
	later = pkt_of(6, &(struct spec){ .src = POD_A, .dst = FRIEND, .proto = 60, .raw = true, .payload = 16, .frag = 64, .frag_id = 4 });
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &later), PASS);
	/* two fragment headers */
	first = pkt_of(6, &(struct spec){ .src = POD_A, .dst = FRIEND, .proto = UDP, .dport = DNS, .payload = 48,
					  .ext = (const uint8_t[]){ 44, 44, 255 }, .frag_id = 5 });
	first.b[ETH_HLEN + 40 + 3] |= 1;
	first.b[ETH_HLEN + 48 + 3] |= 1;
	assert_int_equal(rig_run(r, FROM_POD, SLOT_A, &first), NP_DROP_HEADERS);
}

/* Between pod A and an address of its link. Return: as rig_run(). */
static int icmp6_on_link(struct rig *r, enum hook hook, const char *link, uint8_t type, uint8_t hops)
{
	const enum who src = hook == FROM_POD ? POD_A : FOE, dst = hook == FROM_POD ? FOE : POD_A;
	struct pkt p = pkt_of(6, &(struct spec){ .src = src, .dst = dst, .proto = IPPROTO_ICMPV6, .flags = ICMP(type, 0), .hops = hops, .payload = 24 });

	assert_int_equal(inet_pton(AF_INET6, link, p.b + ETH_HLEN + (hook == FROM_POD ? 24 : 8)), 1);
	return rig_run(r, hook, SLOT_A, &p);
}

/* A4: neighbour discovery and listeners on this link always; the rest of ICMP, and these types to and from elsewhere, by the policy. */
static void test_icmp6(void **state)
{
	static const struct {
		uint8_t type, hops;
		bool always;
	} rows[] = {
		{ 133, 255, true }, { 134, 255, true }, { 135, 255, true }, { 136, 255, true }, { 137, 255, true },
		{ 130, 1, true }, { 131, 1, true }, { 132, 1, true }, { 143, 1, true },
		{ 133, 64, false }, { 135, 254, false }, { 143, 64, false }, { 128, 255, false }, { 129, 255, false },
		{ 138, 255, false }, { 139, 255, false }, { 1, 255, false }, { 144, 1, false },
	};

	RIG_OR_SKIP(state);
	r->family = 6;
	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		EXPECT(r, NP_DROP_EGRESS, OUT(FOE, IPPROTO_ICMPV6, 0), .flags = ICMP(rows[i].type, 0), .hops = rows[i].hops, .payload = 24);
		EXPECT(r, NP_DROP_INGRESS, IN(FOE, IPPROTO_ICMPV6, 0), .flags = ICMP(rows[i].type, 0), .hops = rows[i].hops, .payload = 24);
		assert_int_equal(icmp6_on_link(r, FROM_POD, "fe80::1", rows[i].type, rows[i].hops), rows[i].always ? PASS : NP_DROP_EGRESS);
		assert_int_equal(icmp6_on_link(r, FROM_POD, "ff02::1:ff00:1", rows[i].type, rows[i].hops), rows[i].always ? PASS : NP_DROP_EGRESS);
		assert_int_equal(icmp6_on_link(r, FROM_POD, "ff05::2", rows[i].type, rows[i].hops), NP_DROP_EGRESS);
		assert_int_equal(icmp6_on_link(r, TO_POD, "fe80::1", rows[i].type, rows[i].hops), rows[i].always ? PASS : NP_DROP_INGRESS);
	}
	assert_int_equal(rig_flows(r), 0);
	/* in IPv4 the same protocol number is nothing special, nor is ICMP in IPv6 */
	r->family = 4;
	EXPECT(r, NP_DROP_EGRESS, OUT(FOE, IPPROTO_ICMPV6, 0), .flags = ICMP(135, 0), .hops = 255, .payload = 24);
}

/* What the node itself sends is let through, and so are the answers to it. An address of the node alone is no proof. */
static void test_node(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		r->from = 0;
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = SYN);
		EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = NODE, .proto = TCP, .sport = OTHER, .dport = 50000,
		       .flags = SYN | ACK);
		EXPECT(r, NP_DROP_EGRESS, OUT(NODE, TCP, OTHER), .flags = SYN);
		r->from = WIRE;
		EXPECT(r, NP_DROP_INGRESS, IN(NODE, TCP, OTHER), .flags = SYN, .payload = 1);
		rig_conf(r)->flags = NP_CONF_NODE_IP;
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = SYN);
		EXPECT(r, NP_DROP_INGRESS, IN(FOE, TCP, OTHER), .flags = SYN);
	}
}

/* Other frames: what the node sends, and ARP. */
static void test_other_frames(void **state)
{
	struct pkt p = pkt_of(4, &(struct spec){ .src = FRIEND, .dst = POD_A, .proto = TCP, .dport = WEB, .flags = SYN });

	RIG_OR_SKIP(state);
	p.b[12] = 0x88, p.b[13] = 0xcc;
	assert_int_equal(rig_run(r, TO_POD, SLOT_A, &p), NP_DROP_ETHERTYPE);
	p.b[12] = 0x08, p.b[13] = 0x06;
	assert_int_equal(rig_run(r, TO_POD, SLOT_A, &p), PASS);
	r->from = 0;
	p.b[12] = 0x88, p.b[13] = 0xcc;
	assert_int_equal(rig_run(r, TO_POD, SLOT_A, &p), PASS);
}

/* A contradiction in the tables denies, and is counted as what it is. */
static void test_stale_tables(void **state)
{
	struct np_ident *ident;
	struct np_line *arena;
	struct np_blob *b;
	uint64_t pub;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		ident = (struct np_ident *)np_map_mem(r->np, NP_M_IDENTS) + FRIEND + 1;
		arena = np_map_mem(r->np, NP_M_ARENA);
		pub = rig_slot(r, SLOT_A)->pub;
		b = (struct np_blob *)&arena[pub & NP_PUB_LINE_MASK];
		ident->cls[r->parity] = WHO_CLASSES;
		EXPECT(r, NP_DROP_STALE, OUT(FRIEND, TCP, WEB), .flags = SYN);
		ident->cls[r->parity] = FRIEND;
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		b->n_port_class = PORT_WEB;
		EXPECT(r, NP_DROP_STALE, OUT(FRIEND, TCP, WEB), .flags = SYN);
		b->n_port_class = PORT_MAX;
		b->dir[NP_EGRESS].mtx = NP_ARENA_LINES;
		EXPECT(r, NP_DROP_STALE, OUT(FRIEND, TCP, WEB), .flags = SYN);
		b->magic = 0;
		EXPECT(r, NP_DROP_STALE, OUT(PING, TCP, WEB), .flags = SYN);
		rig_slot(r, SLOT_A)->pub = (pub & ~NP_PUB_LINE_MASK) | NP_ARENA_LINES;
		EXPECT(r, NP_DROP_STALE, IN(PING, TCP, WEB), .flags = SYN);
		rig_slot(r, SLOT_A)->pub = pub ^ NP_PUB_PARITY;         /* the other generation's classes: there are none */
		b->magic = NP_BLOB_MAGIC;
		EXPECT(r, NP_DROP_STALE, IN(PING, TCP, WEB), .flags = SYN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_policy_off),
		cmocka_unit_test(test_spoof),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_extension_headers),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_fragments6),
		cmocka_unit_test(test_icmp6),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_other_frames),
		cmocka_unit_test(test_stale_tables),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
