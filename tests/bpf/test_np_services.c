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
		assert_true(rig_ct_behind(r, FRIEND, WEB, &ct));
		assert_int_equal(ct.flags, NP_CT_EGRESS | NP_CT_POST);
		assert_int_equal(ct.rule, RULE_WEB_OUT);
		EXPECT(r, PASS, OUT_ANSWER(VIP, TCP, OTHER), .flags = SYN | ACK);
		to_vip(r, TCP, ACK);
		BEHIND(r, PASS, FRIEND, TCP, WEB, .flags = ACK);
		assert_true(rig_ct_behind(r, FRIEND, WEB, &ct));
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

/* --- nobody translates: no proxy, no endpoint, a stale entry */

/** struct kind - of packets. @flags: by family. */
struct kind {
	uint8_t proto;
	unsigned int flags[2];
	uint8_t chunk;
};

static const struct kind kinds[] = {
	{ UDP, { 0 }, 0 },
	{ TCP, { SYN, SYN }, 0 },
	{ TCP, { ACK, ACK }, 0 },
	{ SCTP, { 0 }, 1 },
	{ SCTP, { 0 }, 0 },
	{ IPPROTO_ICMP, { ICMP(8, 0), ICMP(128, 0) }, 0 },
};
#define TO_VIP(k) \
	.src = POD_A, .dst = VIP, .proto = (k)->proto, .sport = 40000, .dport = OTHER, .flags = (k)->flags[r->family == 6], \
	.sctp_chunk = (k)->chunk
#define FROM_VIP(k) \
	.hook = TO_POD, .slot = SLOT_A, .src = VIP, .dst = POD_A, .proto = (k)->proto, .flags = ACK, \
	.sport = (k)->proto == IPPROTO_ICMP ? 40000 : OTHER, .dport = 40000, .sctp_chunk = 3

static bool vip_flow(struct rig *r, const struct kind *k, struct np_ct *ct)
{
	return rig_ct(r, SLOT_A, VIP, k->proto, k->proto == IPPROTO_ICMP ? NP_CT_ECHO_OUT : OTHER, 40000, ct);
}

/** untranslated() - a packet for the service that is still for it at @hook: in slot B's veth, if that is a pod's. */
static int untranslated(struct rig *r, const struct kind *k, enum hook hook)
{
	r->mark_in = RIG_MARK_IN;
	EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, TO_VIP(k));
	assert_int_equal(r->mark, OTHERS_BITS | 9 | PENDING_A);
	r->mark_in = r->mark;
	r->from = VETH(SLOT_A);
	return rig_send(r, &(struct spec){ .hook = hook, .slot = hook == TO_POD ? SLOT_B : SLOT_A, TO_VIP(k) });
}

/** answered() - by whomever: the flow at the pod is an established one. */
static void answered(struct rig *r, const struct kind *k)
{
	struct spec s = { FROM_VIP(k) };

	if (k->proto == IPPROTO_ICMP)
		s.flags = r->family == 4 ? ICMP(0, 0) : ICMP(129, 0);
	else if (k->proto == TCP && k->flags[0] == SYN)
		s.flags = SYN | ACK;
	r->mark_in = RIG_MARK_IN;
	r->from = WIRE;
	assert_int_equal(rig_send(r, &s), PASS);
	assert_int_equal(rig_send(r, &s), PASS);
}

static const enum hook post_hooks[] = { TO_WIRE, AT_NODE, TO_POD };

/* That the pod may send to a service does not mean that it may send to that address. */
static void test_nobody_translates(void **state)
{
	struct np_ct ct;
	int got;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (size_t i = 0; i < VW_ARRAY_SIZE(kinds) * VW_ARRAY_SIZE(post_hooks); i++) {
			const struct kind *k = &kinds[i % VW_ARRAY_SIZE(kinds)];
			const enum hook hook = post_hooks[i / VW_ARRAY_SIZE(kinds)];

			rig_reset(r);
			/* in mid-stream nobody may guess that the pod answers: it was let through as one that asks */
			for (int port = 0; port < PORT_MAX; port++)
				rig_set(r, NP_INGRESS, VIP, port, NP_VERDICT(NP_ALLOW, RULE_ALL));
			rig_publish(r, SLOT_A, 1);
			rig_slot(r, SLOT_A)->pickup_until = np_tick() + 100;
			for (unsigned int n = 1; n <= 4; n++) {
				if (n == 3)
					answered(r, k);
				got = untranslated(r, k, hook);
				if (got != NP_DROP_EGRESS)
					fail_msg("IPv%d, hook %d, protocol %d, packet %u: %s", r->family, hook, k->proto, n, rig_verdict(got));
				assert_true(vip_flow(r, k, &ct));
				assert_int_equal(ct.flags & ~NP_CT_PICKUP, NP_CT_EGRESS | NP_CT_VIP);
				assert_true(ct.state != NP_CT_DENIED);
				assert_int_equal(NP_CT_PKTS(ct.sum[NP_EGRESS]), n);
				assert_int_equal(rig_flows(r), 1);
			}
			rig_slot(r, SLOT_A)->pickup_until = 0;
		}
	}
}

/* Where policy lets it send to the address itself, that is a flow of its own, and the one to the service stays what it was. */
static void test_nobody_translates_but_it_may(void **state)
{
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (size_t i = 0; i < VW_ARRAY_SIZE(kinds) * VW_ARRAY_SIZE(post_hooks); i++) {
			const struct kind *k = &kinds[i % VW_ARRAY_SIZE(kinds)];
			const enum hook hook = post_hooks[i / VW_ARRAY_SIZE(kinds)];
			const bool opens = k->flags[0] == SYN || k->chunk == 1;

			rig_reset(r);
			for (int port = 0; port < PORT_MAX; port++)
				rig_set(r, NP_EGRESS, VIP, port, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
			rig_publish(r, SLOT_A, 1);
			for (unsigned int n = 1; n <= 3; n++)
				assert_int_equal(untranslated(r, k, hook), PASS);
			assert_int_equal(rig_flows(r), 2);
			/* and it may no longer, but for flows that are kept */
			for (int port = 0; port < PORT_MAX; port++)
				rig_set(r, NP_EGRESS, VIP, port, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
			rig_publish(r, SLOT_A, 2);
			rig_conf(r)->flags = NP_CONF_KEEP;
			assert_int_equal(untranslated(r, k, hook), opens ? NP_DROP_EGRESS : PASS);
			rig_conf(r)->flags = 0;
			assert_int_equal(untranslated(r, k, hook), opens ? NP_DROP_EGRESS : NP_DROP_REVOKED);
			assert_int_equal(untranslated(r, k, hook), opens ? NP_DROP_EGRESS : NP_DROP_REVOKED);
			assert_true(vip_flow(r, k, &ct));
			assert_int_equal(ct.flags & ~NP_CT_PICKUP, NP_CT_EGRESS | NP_CT_VIP);
			assert_true(ct.state != NP_CT_DENIED);
		}
		/* from then on somebody translates */
		r->mark_in = RIG_MARK_IN;
		to_vip(r, UDP, 0);
		BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
		BEHIND(r, NP_DROP_EGRESS, FOE, UDP, DNS, .payload = 1);
	}
}

/* ICMP errors about a flow to a service are let through as the flow is: for now. */
static void test_errors_behind_the_address(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int unreachable = r->family == 4 ? ICMP(3, 3) : ICMP(1, 4);
		const struct spec answer = { OUT_ANSWER(VIP, UDP, OTHER) }, real = { OUT_ANSWER(FRIEND, UDP, DNS) };
		const struct pkt got = pkt_of(r->family, &answer), got_real = pkt_of(r->family, &real);
		const uint64_t before = rig_stat(r, NP_STAT_RELATED);

		to_vip(r, UDP, 0);
		BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
		r->mark_in = RIG_MARK_IN;
		EXPECT(r, PASS, OUT(VIP, IPPROTO_ICMP, 0), .flags = unreachable, .inner = &got);
		assert_int_equal(r->mark, OTHERS_BITS | 9 | PENDING_A);
		r->mark_in = r->mark;
		BEHIND(r, NP_DROP_EGRESS, VIP, IPPROTO_ICMP, 0, .flags = unreachable, .inner = &got);
		BEHIND(r, PASS, FRIEND, IPPROTO_ICMP, 0, .flags = unreachable, .inner = &got_real);
		assert_int_equal(rig_stat(r, NP_STAT_RELATED), before + 2);
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
			assert_true(rig_ct_behind(r, POD_B, WEB, &ct));
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

/* --- answers of a service: they come from its address, and are judged by where it is */

static void friend_may(struct rig *r, uint32_t rev, bool may)
{
	rig_set(r, NP_EGRESS, FRIEND, PORT_DNS, may ? NP_VERDICT(NP_ALLOW, RULE_WEB_OUT) : NP_VERDICT(NP_DENY, RULE_DENY_OUT));
	rig_publish(r, SLOT_A, rev);
}

#define ANSWER OUT_ANSWER(VIP, UDP, OTHER), .payload = 1

/** asked() - a flow to FRIEND through the service that was answered; linked. */
static void asked(struct rig *r, struct np_ct **own, struct np_ct **behind)
{
	r->mark_in = RIG_MARK_IN;
	to_vip(r, UDP, 0);
	BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
	rig_link(r, FRIEND, UDP, DNS, own, behind);
	for (int i = 0; i < 3; i++)
		EXPECT(r, PASS, ANSWER);
	assert_int_equal((*own)->rev[NP_INGRESS], 1);
}

static void test_answers_end_with_the_permission(void **state)
{
	struct np_ct *own, *behind;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const struct np_event *e = r->event;
		uint64_t sum;

		asked(r, &own, &behind);
		friend_may(r, 2, true);
		EXPECT(r, PASS, ANSWER);
		assert_int_equal(behind->rev[NP_EGRESS], 2);
		assert_int_equal(own->rev[NP_INGRESS], 2);
		sum = own->sum[NP_INGRESS];
		friend_may(r, 3, false);
		for (int i = 0; i < 3; i++)
			EXPECT(r, NP_DROP_REVOKED, ANSWER);
		EXPECT(r, NP_DROP_REVOKED, ANSWER, .more = true, .frag_id = 9);
		EXPECT(r, NP_DROP_REVOKED, OUT_ANSWER(VIP, UDP, 0), .raw = true, .payload = 16, .frag = 24, .frag_id = 9);
		assert_int_equal(own->sum[NP_INGRESS], sum);            /* what was dropped does not count */
		assert_int_equal(behind->state, NP_CT_DENIED);
		assert_true(own->state != NP_CT_DENIED);
		rig_events(r);
		assert_int_equal(r->n_event, 5);
		assert_int_equal(e->dir, NP_EGRESS);
		assert_int_equal(e->flags, NP_EVENT_POST_DNAT);
		assert_int_equal(ntohs(e->port_peer), DNS);
		assert_int_equal(ntohs(e->port_pod), 40000);
		assert_memory_equal(e->ip_peer, rig_ip(r->family, FRIEND), r->family == 4 ? 4 : 16);
		/* what the pod sends is judged as ever, and changes nothing about it */
		r->mark_in = RIG_MARK_IN;
		to_vip(r, UDP, 0);
		BEHIND(r, NP_DROP_REVOKED, FRIEND, UDP, DNS, .payload = 1);
		EXPECT(r, NP_DROP_REVOKED, ANSWER);
		friend_may(r, 4, true);
		for (int i = 0; i < 3; i++)
			EXPECT(r, PASS, ANSWER);
		assert_int_equal(own->rev[NP_INGRESS], 4);
	}
}

/* The pod's packet comes first: its own entry is of the new revision then, and answers still are not. */
static void test_answers_wait_for_their_own_word(void **state)
{
	struct np_ct *own, *behind;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		asked(r, &own, &behind);
		friend_may(r, 2, false);
		r->mark_in = RIG_MARK_IN;
		to_vip(r, UDP, 0);
		assert_int_equal(own->rev[NP_EGRESS], 2);
		EXPECT(r, NP_DROP_REVOKED, ANSWER);
		BEHIND(r, NP_DROP_REVOKED, FRIEND, UDP, DNS, .payload = 1);
		EXPECT(r, NP_DROP_REVOKED, ANSWER);
		/* the service has another endpoint from now on, which may be reached */
		BEHIND(r, PASS, PING, UDP, DNS, .payload = 1);
		rig_link(r, PING, UDP, DNS, &own, &behind);
		EXPECT(r, PASS, ANSWER);
	}
}

static void test_answers_kept_and_audited(void **state)
{
	struct np_ct *own, *behind;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int modes[] = { NP_CONF_KEEP, NP_CONF_AUDIT };

		for (size_t i = 0; i < VW_ARRAY_SIZE(modes); i++) {
			rig_reset(r);
			asked(r, &own, &behind);
			friend_may(r, 2, false);
			rig_conf(r)->flags = modes[i];
			for (int n = 0; n < 2; n++) {
				EXPECT(r, PASS, ANSWER);
				r->mark_in = RIG_MARK_IN;
				to_vip(r, UDP, 0);
				BEHIND(r, PASS, FRIEND, UDP, DNS, .payload = 1);
			}
			rig_conf(r)->flags = 0;
			EXPECT(r, NP_DROP_REVOKED, ANSWER);
		}
	}
}

/* A link counts only while both have it: else it is of a flow that is over, and says nothing. */
static void test_links_of_others_say_nothing(void **state)
{
	struct np_ct *own, *behind;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const uint32_t wrong[] = { 0, 1, 0xffffffff, NP_CT_LINK(NP_CT_PLACE(RIG_GROUPS, 0), 0), NP_CT_LINK(NP_CT_PLACE(0, 511), 0) };

		asked(r, &own, &behind);
		friend_may(r, 2, false);
		for (size_t i = 0; i < 2 * VW_ARRAY_SIZE(wrong); i++) {
			uint32_t *link = i % 2 ? &own->link : &behind->link, was = *link;

			*link = wrong[i / 2];
			EXPECT(r, PASS, ANSWER);
			own->rev[NP_INGRESS] = 1;
			*link = was;
		}
		EXPECT(r, NP_DROP_REVOKED, ANSWER);
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
		rig_name(r, NAMED, 3, now - RIG_OVER);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		rig_publish(r, SLOT_A, 2);
		EXPECT(r, PASS, OUT_ANSWER(NAMED, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = ACK);
		assert_true(rig_ct(r, SLOT_A, NAMED, TCP, WEB, 40000, &ct));
		assert_int_equal(ct.rev[NP_INGRESS], 2);
		EXPECT(r, NP_DROP_EGRESS, NAMED_WEB);
		/* nobody knows the name any more */
		rig_name(r, NAMED, 0, now - RIG_OVER);
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
		struct np_fqdn f = { .names = { 2, 0, 1, 0 }, .expires = { np_tick() + 100, 0, np_tick() - RIG_OVER, 0 } };
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
		cmocka_unit_test(test_nobody_translates),
		cmocka_unit_test(test_nobody_translates_but_it_may),
		cmocka_unit_test(test_errors_behind_the_address),
		cmocka_unit_test(test_behind_the_own_node),
		cmocka_unit_test(test_foreign_marks),
		cmocka_unit_test(test_into_another_pod),
		cmocka_unit_test(test_hairpin),
		cmocka_unit_test(test_sender_changes),
		cmocka_unit_test(test_keep_behind_the_address),
		cmocka_unit_test(test_answers_end_with_the_permission),
		cmocka_unit_test(test_answers_wait_for_their_own_word),
		cmocka_unit_test(test_answers_kept_and_audited),
		cmocka_unit_test(test_links_of_others_say_nothing),
		cmocka_unit_test(test_fragments_behind_the_address),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_end_apart),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_allow_events),
		cmocka_unit_test(test_event_limit),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
