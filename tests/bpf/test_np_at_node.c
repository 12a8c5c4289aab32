/*
 * Packets that DNAT gives to a socket of the pod's own node, judged at netfilter's input by at_node4, at_node6 (np_node.bpf.c): the
 * same verdicts, entries, counters and events as behind a service's address elsewhere. Each case for IPv4 and IPv6.
 */
#include "tests/bpf/np_rig.h"

#include <bpf/bpf.h>
#include <string.h>

#define PENDING_A (NP_MARK_PENDING | SLOT_A << NP_MARK_SLOT_SHIFT)

/** AT() - pod A's packet at the node, behind DNAT. */
#define AT(p, port) .hook = AT_NODE, .slot = SLOT_A, .src = POD_A, .dst = NODE, .proto = (p), .sport = 40000, .dport = (port)

static void allow(struct rig *r, enum port port, uint32_t rev)
{
	rig_set(r, NP_EGRESS, NODE, port, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
	rig_publish(r, SLOT_A, rev);
}

static void deny(struct rig *r, enum port port, uint32_t rev)
{
	rig_set(r, NP_EGRESS, NODE, port, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
	rig_publish(r, SLOT_A, rev);
}

/** pending() - from here on packets are as from_pod leaves those of pod A to a service's address. */
static void pending(struct rig *r)
{
	r->mark_in = RIG_MARK_IN & ~(NP_MARK_PENDING | NP_MARK_SLOT_MASK);
	r->mark_in |= PENDING_A;
	r->from = VETH(SLOT_A);
}

static void test_by_the_real_port(void **state)
{
	struct np_count none, one;
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, AT(UDP, DNS), .payload = 4);
		EXPECT(r, NP_DROP_EGRESS, AT(SCTP, SCTP_PORT), .sctp_chunk = 1);
		assert_int_equal(rig_flows(r), 0);
		for (int port = PORT_WEB; port <= PORT_SCTP; port++)
			allow(r, port, 1);
		none = rig_count(r, RULE_WEB_OUT);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, AT(UDP, DNS), .payload = 4);
		EXPECT(r, PASS, AT(SCTP, SCTP_PORT), .sctp_chunk = 1);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, OTHER), .flags = SYN);
		one = rig_count(r, RULE_WEB_OUT);
		assert_int_equal(one.pkts - none.pkts, 3);
		assert_true(rig_ct_behind(r, NODE, WEB, &ct));
		assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_POST);
		assert_int_equal(ct.rule, RULE_WEB_OUT);
		for (int i = 0; i < 3; i++)
			EXPECT(r, PASS, AT(TCP, WEB), .flags = ACK);
		assert_true(rig_ct_behind(r, NODE, WEB, &ct));
		assert_int_equal(ct.state, NP_CT_ESTABLISHED);
		assert_int_equal(NP_CT_PKTS(ct.sum[NP_EGRESS]), 4);
		one = rig_count(r, RULE_WEB_OUT);
		assert_int_equal(one.pkts - none.pkts, 3);              /* what follows is no new flow */
	}
}

/* How a packet is written makes no difference: options, extension headers, fragments where no conntrack joined them. */
static void test_dresses(void **state)
{
	static const uint8_t nop[4] = { 1, 1, 1, 0 }, source_route[4] = { 131, 3, 4, 0 }, ext[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, 255 };

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		allow(r, PORT_DNS, 1);
		for (int i = 0; i < 2; i++) {
			const int want = i ? NP_DROP_EGRESS : PASS;
			const uint16_t port = i ? OTHER : DNS;

			if (r->family == 4)
				EXPECT(r, want, AT(UDP, port), .options = nop, .n_options = 4, .payload = 9);
			else
				EXPECT(r, want, AT(UDP, port), .ext = ext, .payload = 9);
			EXPECT(r, want, AT(UDP, port), .payload = 16, .more = true, .frag_id = 5 + (uint32_t)i);
			EXPECT(r, i ? NP_DROP_FRAGMENT : PASS, AT(UDP, 0), .raw = true, .payload = 16, .frag = 24, .frag_id = 5 + (uint32_t)i);
		}
		if (r->family == 4)
			EXPECT(r, NP_DROP_SOURCE_ROUTE, AT(UDP, DNS), .options = source_route, .n_options = 4);
		EXPECT(r, NP_DROP_L4, AT(TCP, DNS), .raw = true, .payload = 10);
	}
}

static void test_revoke_and_keep(void **state)
{
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		allow(r, PORT_WEB, 1);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = ACK);
		rig_conf(r)->flags = NP_CONF_KEEP;
		deny(r, PORT_WEB, 2);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, WEB), .flags = SYN);
		rig_conf(r)->flags = 0;
		EXPECT(r, NP_DROP_REVOKED, AT(TCP, WEB), .flags = ACK);
		assert_true(rig_ct_behind(r, NODE, WEB, &ct));
		assert_int_equal(ct.state, NP_CT_DENIED);
		allow(r, PORT_WEB, 3);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = ACK);
		rig_conf(r)->flags = NP_CONF_AUDIT;
		deny(r, PORT_WEB, 4);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
	}
}

static void test_events_name_the_real_one(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, WEB), .flags = SYN, .payload = 5);
		rig_events(r);
		assert_int_equal(r->n_event, 1);
		assert_int_equal(r->event[0].flags, NP_EVENT_POST_DNAT);
		assert_int_equal(r->event[0].len, (r->family == 4 ? 40 : 60) + 5);
		assert_int_equal(r->event[0].slot, SLOT_A);
		assert_int_equal(r->event[0].dir, NP_EGRESS);
		assert_int_equal(r->event[0].port_peer, htons(WEB));
		assert_int_equal(r->event[0].verdict, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
		assert_memory_equal(r->event[0].ip_peer, rig_ip(r->family, NODE), r->family == 4 ? 4 : 16);
		assert_memory_equal(r->event[0].ip_pod, rig_ip(r->family, POD_A), r->family == 4 ? 4 : 16);
	}
}

/* What is not marked by from_pod, or came in elsewhere, is none of ours; nor is anything while the pod has no policy. */
static void test_others_are_left_alone(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int marks[] = { 0, 0x4000, NP_MARK_SLOT_MASK, SLOT_A << NP_MARK_SLOT_SHIFT, 0xffffffff };

		r->from = VETH(SLOT_A);
		for (size_t i = 0; i < VW_ARRAY_SIZE(marks); i++) {
			r->mark_in = marks[i];
			EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		}
		pending(r);
		r->from = WIRE;
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		r->from = VETH(SLOT_B);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		assert_int_equal(rig_flows(r), 0);
		pending(r);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, WEB), .flags = SYN);
		rig_slot(r, SLOT_A)->pub = 0;
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		assert_int_equal(rig_flows(r), 0);
	}
}

/* A socket filter may not look into the map of names: what only a name would allow is denied here. */
static void test_names_are_not_known(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		rig_name(r, NAMED, 1, np_tick() + 100);
		EXPECT(r, NP_DROP_EGRESS, .hook = AT_NODE, .slot = SLOT_A, .src = POD_A, .dst = NAMED, .proto = TCP, .sport = 40000,
		       .dport = WEB, .flags = SYN);
	}
}

/* Before Linux 5.12 a flow would need a lock, which a socket filter may not take: it has no entry. */
static void test_without_exchange(void **state)
{
	uint64_t full;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		pending(r);
		allow(r, PORT_WEB, 1);
		full = rig_stat(r, NP_STAT_CT_FULL);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, AT(TCP, WEB), .flags = ACK);
		assert_int_equal(rig_stat(r, NP_STAT_CT_FULL), full + 2);
		assert_int_equal(rig_flows(r), 0);
		assert_int_equal(rig_rt(r, SLOT_A)->ct_used, 0);
		deny(r, PORT_WEB, 2);
		EXPECT(r, NP_DROP_EGRESS, AT(TCP, WEB), .flags = ACK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_the_real_port),
		cmocka_unit_test(test_dresses),
		cmocka_unit_test(test_revoke_and_keep),
		cmocka_unit_test(test_events_name_the_real_one),
		cmocka_unit_test(test_others_are_left_alone),
		cmocka_unit_test(test_names_are_not_known),
	};
	const struct CMUnitTest old_kernel[] = { cmocka_unit_test(test_without_exchange) };
	int r = cmocka_run_group_tests(tests, rig_setup, rig_done);

	return cmocka_run_group_tests(old_kernel, rig_setup_locked, rig_done) || r;
}
