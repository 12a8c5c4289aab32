/*
 * Packets to services, judged behind the service's address by to_wire and to_pod for the pod that sent them; verdicts by domain
 * name; what user space is told. Each case for IPv4 and IPv6.
 */
#include "tests/bpf/np_rig.h"

#include <bpf/bpf.h>
#include <string.h>

#define PENDING_A (NP_MARK_PENDING | SLOT_A << NP_MARK_SLOT_SHIFT)
#define OTHERS_BITS (RIG_MARK_IN & ~(NP_MARK_PENDING | NP_MARK_SLOT_MASK | NP_MARK_ENI_MASK))

/** to_vip() - pod A sends to the service; the packet as it is then, before DNAT. */
static void to_vip(struct rig *r, uint8_t proto, unsigned int flags)
{
	r->mark_in = RIG_MARK_IN;
	EXPECT(r, PASS, OUT(VIP, proto, OTHER), .flags = flags);
	assert_int_equal(r->mark, OTHERS_BITS | 9 | PENDING_A);
	r->mark_in = r->mark;
	r->from = VETH(SLOT_A);
}

/** behind() - the same packet on its way out, after DNAT to @peer. */
#define BEHIND(r, want, peer, p, port, ...) \
	do { \
		EXPECT(r, want, .hook = TO_WIRE, .src = POD_A, .dst = (peer), .proto = (p), .sport = 40000, .dport = (port), __VA_ARGS__); \
		if ((want) == PASS) \
			assert_int_equal((r)->mark, OTHERS_BITS | 9); \
	} while (0)

static void test_behind_the_address(void **state)
{
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		to_vip(r, TCP, SYN);
		assert_true(rig_ct(r, SLOT_A, VIP, TCP, OTHER, 40000, &ct));
		assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_VIP);
		/* the service's port is none that the policy knows; the container's is */
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = SYN);
		assert_true(rig_ct(r, SLOT_A, FRIEND, TCP, WEB, 40000, &ct));
		assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_POST);
		assert_int_equal(ct.rule, RULE_WEB_OUT);
		EXPECT(r, PASS, OUT_ANSWER(VIP, TCP, OTHER), .flags = SYN | ACK);
		to_vip(r, TCP, ACK);
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = ACK);
		assert_true(rig_ct(r, SLOT_A, FRIEND, TCP, WEB, 40000, &ct));
		assert_int_equal(ct.state, NP_CT_ESTABLISHED);          /* although it sees no answer */
		to_vip(r, UDP, 0);
		BEHIND(r, NP_DROP_EGRESS, FRIEND, UDP, WEB, .payload = 1);
		BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
		BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
		to_vip(r, TCP, SYN);
		BEHIND(r, NP_DROP_EGRESS, FOE, TCP, WEB, .flags = SYN);
		BEHIND(r, NP_DROP_EGRESS, STRANGER, TCP, WEB, .flags = SYN);
		/* nobody answers for the service here: then it is an address like others */
		BEHIND(r, NP_DROP_EGRESS, VIP, TCP, OTHER, .flags = SYN);
		rig_set(r, NP_EGRESS, VIP, PORT_OTHER, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
		rig_publish(r, SLOT_A, 1);
		BEHIND(r, PASS, VIP, TCP, OTHER, .flags = SYN);
	}
}

/* A port of the own node may lead to any pod: the node itself may be reached, and where it hands on is judged as behind a service. */
static void test_behind_the_own_node(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, NP_DROP_EGRESS, OUT(NODE, TCP, OTHER), .flags = SYN);
		rig_set(r, NP_EGRESS, NODE, PORT_OTHER, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
		rig_publish(r, SLOT_A, 1);
		for (int i = 0; i < 2; i++) {
			EXPECT(r, PASS, OUT(NODE, TCP, OTHER), .flags = i ? ACK : SYN);
			assert_int_equal(r->mark, OTHERS_BITS | 9 | PENDING_A);
			r->mark_in = r->mark;
			r->from = VETH(SLOT_A);
			BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = i ? ACK : SYN);
			BEHIND(r, NP_DROP_EGRESS, FOE, TCP, WEB, .flags = i ? ACK : SYN);
			r->mark_in = RIG_MARK_IN;
		}
	}
}

/* Marks that are not ours are left alone, whatever bits they have. */
static void test_foreign_marks(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int marks[] = { 0, 0x4000, NP_MARK_SLOT_MASK, PENDING_A, NP_MARK_PENDING | NP_MARK_SLOT_MASK, 0xffffffff };

		for (size_t i = 0; i < VW_ARRAY_SIZE(marks); i++) {
			for (int from = 0; from < 3; from++) {
				r->from = from == 0 ? 0 : from == 1 ? WIRE : VETH(SLOT_B);
				r->mark_in = marks[i];
				EXPECT(r, PASS, .hook = TO_WIRE, .src = POD_A, .dst = FOE, .proto = TCP, .dport = WEB, .flags = SYN);
				assert_int_equal(r->mark, marks[i]);
			}
		}
		assert_int_equal(rig_flows(r), 0);
		/* without the pending bit a pod's packet was judged already */
		r->from = VETH(SLOT_A);
		r->mark_in = SLOT_A << NP_MARK_SLOT_SHIFT;
		EXPECT(r, PASS, .hook = TO_WIRE, .src = POD_A, .dst = FOE, .proto = TCP, .dport = WEB, .flags = SYN);
	}
}

/* Into another pod of this node: the sender's egress and the receiver's ingress. */
static void test_into_another_pod(void **state)
{
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (int b_has_policy = 0; b_has_policy < 2; b_has_policy++) {
			rig_reset(r);
			if (b_has_policy)
				rig_publish(r, SLOT_B, 1);
			rig_publish(r, SLOT_A, 1);
			to_vip(r, TCP, SYN);
			/* pod B's class is that of PING: all goes */
			for (int i = 0; i < 2; i++) {
				EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_B, .src = POD_A, .dst = POD_B, .proto = TCP, .sport = 40000,
				       .dport = WEB, .flags = i ? ACK : SYN);
				assert_int_equal(r->mark, OTHERS_BITS | 9);
			}
			assert_true(rig_ct(r, SLOT_A, POD_B, TCP, WEB, 40000, &ct));
			assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_POST);
			assert_int_equal(rig_ct(r, SLOT_B, POD_A, TCP, 40000, WEB, &ct), b_has_policy);
			/* the sender may not */
			for (int port = 0; port < PORT_MAX; port++)
				rig_set(r, NP_EGRESS, PING, port, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
			rig_publish(r, SLOT_A, 2);
			EXPECT(r, NP_DROP_EGRESS, .hook = TO_POD, .slot = SLOT_B, .src = POD_A, .dst = POD_B, .proto = TCP,
			       .sport = 40001, .dport = WEB, .flags = SYN);
			EXPECT(r, NP_DROP_REVOKED, .hook = TO_POD, .slot = SLOT_B, .src = POD_A, .dst = POD_B, .proto = TCP,
			       .sport = 40000, .dport = WEB, .flags = ACK);
		}
		/* the receiver may not */
		rig_reset(r);
		for (int port = 0; port < PORT_MAX; port++)
			rig_set(r, NP_INGRESS, PING, port, NP_VERDICT(NP_DENY, RULE_DENY_IN));
		rig_publish(r, SLOT_B, 1);
		rig_publish(r, SLOT_A, 1);
		to_vip(r, TCP, SYN);
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_B, .src = POD_A, .dst = POD_B, .proto = TCP, .sport = 40000,
		       .dport = WEB, .flags = SYN);
	}
}

/* The service is the pod itself: the packet comes back with the node's address, and its answer may go. */
static void test_hairpin(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		to_vip(r, TCP, SYN);
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = SYN);
		EXPECT(r, PASS, IN_ANSWER(NODE, TCP, OTHER), .flags = SYN | ACK);
		r->from = WIRE;
		r->mark_in = 0;
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = NODE, .dst = POD_A, .proto = TCP, .sport = 50001,
		       .dport = OTHER, .flags = SYN);
		/* on the wire towards itself: odd, but its own */
		to_vip(r, TCP, SYN);
		BEHIND(r, PASS, POD_A, TCP, OTHER, .flags = SYN);
	}
}

/* The sender's policy was switched off, or the sender is gone, while its packet was under way. */
static void test_sender_changes(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		to_vip(r, TCP, SYN);
		rig_slot(r, SLOT_A)->pub = 0;
		BEHIND(r, PASS, FOE, TCP, WEB, .flags = SYN);
		EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_B, .src = POD_A, .dst = POD_B, .proto = TCP, .dport = WEB, .flags = SYN);
		assert_int_equal(r->mark, OTHERS_BITS | 9);
	}
}

static void test_keep_behind_the_address(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_conf(r)->flags = NP_CONF_KEEP;
		to_vip(r, TCP, SYN);
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = SYN);
		to_vip(r, TCP, ACK);
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = ACK);
		rig_set(r, NP_EGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
		rig_publish(r, SLOT_A, 2);
		to_vip(r, TCP, ACK);
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = ACK);
		to_vip(r, TCP, SYN);
		BEHIND(r, NP_DROP_EGRESS, FRIEND, TCP, WEB, .flags = SYN);
		rig_conf(r)->flags = 0;
		to_vip(r, TCP, ACK);
		BEHIND(r, NP_DROP_REVOKED, FRIEND, TCP, WEB, .flags = ACK);
	}
}

/* Conntrack of the host puts fragments together and takes them apart again; later ones have the mark as well. */
static void test_fragments_behind_the_address(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		to_vip(r, UDP, 0);
		BEHIND(r, NP_DROP_FRAGMENT, FRIEND, UDP, 0, .raw = true, .payload = 16, .frag = 24, .frag_id = 5);
		BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 16, .more = true, .frag_id = 5);
		BEHIND(r, PASS, FRIEND, UDP, 0, .raw = true, .payload = 16, .frag = 24, .frag_id = 5);
	}
}

/* --- names */

#define NAMED_WEB OUT(NAMED, TCP, WEB), .flags = SYN

static void test_names(void **state)
{
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		uint32_t now = np_tick();

		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		rig_name(r, NAMED, 4, now + 100);               /* a name that no entry knows */
		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		rig_name(r, NAMED, 2, now + 100);
		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		rig_events(r);
		assert_int_equal(r->n_event, 3);
		assert_int_equal(NP_VERDICT_ARG(r->event[0].verdict), RULE_DENY_OUT);
		assert_int_equal(NP_VERDICT_ARG(r->event[2].verdict), RULE_NAME_MAY_NOT);
		rig_name(r, NAMED, 3, now + 100);               /* both: the first entry decides */
		EXPECT(r, PASS, NAMED_WEB);
		assert_true(rig_ct(r, SLOT_A, NAMED, TCP, WEB, 40000, &ct));
		assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_CHAIN);
		assert_int_equal(ct.rule, RULE_NAME_MAY);
		EXPECT(r, PASS, OUT_ANSWER(NAMED, TCP, WEB), .flags = SYN | ACK);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		/* its time is over: for new flows, not for this one, whatever else changes */
		rig_name(r, NAMED, 3, now - 1);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		rig_publish(r, SLOT_A, 2);
		EXPECT(r, PASS, OUT_ANSWER(NAMED, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		assert_true(rig_ct(r, SLOT_A, NAMED, TCP, WEB, 40000, &ct));
		assert_int_equal(ct.rev, 2);
		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		/* nobody knows the name any more */
		rig_name(r, NAMED, 0, now - 1);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		rig_publish(r, SLOT_A, 3);
		EXPECT(r, NP_DROP_REVOKED, OUT(NAMED, TCP, WEB), .flags = ACK);
	}
}

/* An address may be known by several names that end at different times. */
static void test_names_end_apart(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		struct np_fqdn f = { .names = { 2, 0, 1, 0 }, .expires = { np_tick() + 100, 0, np_tick() - 1, 0 } };
		struct np_fqdn4_key k4 = { .set = 1 };
		struct np_fqdn6_key k6 = { .set = 1 };

		memcpy(&k4.ip, rig_ip(4, NAMED), 4);
		memcpy(k6.ip, rig_ip(6, NAMED), 16);
		assert_int_equal(bpf_map_update_elem(np_map_fd(r->np, NP_M_FQDN4), &k4, &f, BPF_ANY), 0);
		assert_int_equal(bpf_map_update_elem(np_map_fd(r->np, NP_M_FQDN6), &k6, &f, BPF_ANY), 0);
		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		rig_events(r);
		assert_int_equal(NP_VERDICT_ARG(r->event[0].verdict), RULE_NAME_MAY_NOT);
	}
}

/* --- what user space is told */

static void test_events(void **state)
{
	const struct np_event *e;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int bytes = r->family == 4 ? 4 : 16, head = r->family == 4 ? 40 : 60;

		EXPECT(r, NP_DROP_EGRESS, OUT(FOE, TCP, WEB), .flags = SYN, .payload = 5);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, UDP, DNS));
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = FOE, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 77,
		       .flags = r->family == 4 ? ICMP(8, 0) : ICMP(128, 0));
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		to_vip(r, TCP, SYN);
		BEHIND(r, NP_DROP_EGRESS, FOE, TCP, WEB, .flags = SYN);
		rig_events(r);
		assert_int_equal(r->n_event, 4);
		e = r->event;
		assert_int_equal(e->kind, NP_EVENT_VERDICT);
		assert_int_equal(e->dir, NP_EGRESS);
		assert_int_equal(e->slot, SLOT_A);
		assert_int_equal(e->rev, 1);
		assert_int_equal(e->len, head + 5);
		assert_int_equal(e->family, r->family);
		assert_int_equal(e->proto, TCP);
		assert_int_equal(e->reason, NP_DROP_EGRESS);
		assert_int_equal(e->verdict, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
		assert_int_equal(e->flags, 0);
		assert_int_equal(e->cls, FOE);
		assert_int_equal(e->port_cls, PORT_WEB);
		assert_int_equal(e->port_pod, htons(40000));
		assert_int_equal(e->port_peer, htons(WEB));
		assert_memory_equal(e->ip_pod, rig_ip(r->family, POD_A), bytes);
		assert_memory_equal(e->ip_peer, rig_ip(r->family, FOE), bytes);
		assert_true(e->ns >> NP_TICK_SHIFT <= np_tick() && e->ns >> NP_TICK_SHIFT >= np_tick() - 60);
		e++;
		assert_int_equal(e->dir, NP_INGRESS);
		assert_int_equal(e->proto, UDP);
		assert_int_equal(e->cls, STRANGER);
		assert_int_equal(e->port_cls, PORT_DNS);
		assert_int_equal(e->port_pod, htons(DNS));
		assert_int_equal(e->port_peer, htons(50000));
		assert_memory_equal(e->ip_pod, rig_ip(r->family, POD_A), bytes);
		assert_memory_equal(e->ip_peer, rig_ip(r->family, STRANGER), bytes);
		e++;
		assert_int_equal(e->port_peer, htons(r->family == 4 ? ICMP(8, 0) : ICMP(128, 0)));
		assert_int_equal(e->port_pod, htons(77));
		e++;
		assert_int_equal(e->flags, NP_EVENT_POST_DNAT);
		assert_memory_equal(e->ip_peer, rig_ip(r->family, FOE), bytes);
	}
}

static void test_allow_events(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_set(r, NP_EGRESS, FRIEND, PORT_DNS, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT) | NP_VERDICT_LOG);
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));         /* not new */
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		rig_events(r);
		assert_int_equal(r->n_event, 1);
		assert_int_equal(r->event[0].reason, NP_DROP_MAX);
		assert_int_equal(r->event[0].verdict, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT) | NP_VERDICT_LOG);
		rig_conf(r)->flags = NP_CONF_LOG_ALLOW;
		EXPECT(r, PASS, IN(FRIEND, TCP, WEB), .flags = SYN);
		rig_events(r);
		assert_int_equal(r->n_event, 1);
		assert_int_equal(r->event[0].dir, NP_INGRESS);
	}
}

/* As many as the slot has tokens for; how many there were besides is never lost. */
static void test_event_limit(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_conf(r)->event_burst = 4;
		for (int i = 0; i < 10; i++)
			EXPECT(r, NP_DROP_EGRESS, OUT(FOE, TCP, WEB), .flags = SYN);
		rig_events(r);
		assert_int_equal(r->n_event, 4);
		assert_int_equal(r->event[3].suppressed, 0);
		assert_int_equal(rig_rt(r, SLOT_A)->suppressed, 6);
		/* a second has passed: two tokens a second */
		rig_conf(r)->event_rate = 2;
		rig_rt(r, SLOT_A)->refilled -= 1024;
		for (int i = 0; i < 5; i++) {
			EXPECT(r, NP_DROP_EGRESS, OUT(FOE, TCP, WEB), .flags = SYN);
			rig_conf(r)->event_rate = 0;
		}
		rig_events(r);
		assert_int_equal(r->n_event, 2);
		assert_int_equal(r->event[0].suppressed, 6);
		assert_int_equal(rig_rt(r, SLOT_A)->suppressed, 9);
		/* another pod has its own */
		rig_publish(r, SLOT_B, 1);
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_B, .src = FOE, .dst = POD_B, .proto = UDP);
		rig_events(r);
		assert_int_equal(r->n_event, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind_the_address),
		cmocka_unit_test(test_behind_the_own_node),
		cmocka_unit_test(test_foreign_marks),
		cmocka_unit_test(test_into_another_pod),
		cmocka_unit_test(test_hairpin),
		cmocka_unit_test(test_sender_changes),
		cmocka_unit_test(test_keep_behind_the_address),
		cmocka_unit_test(test_fragments_behind_the_address),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_end_apart),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_allow_events),
		cmocka_unit_test(test_event_limit),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
