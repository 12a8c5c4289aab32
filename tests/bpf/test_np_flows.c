/*
 * Conntrack in the datapath: what an entry lets through and what it does not, flows before and after a change of policy, flows in
 * mid-stream, errors about them. Each case for IPv4 and IPv6.
 */
#include "tests/bpf/np_rig.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <string.h>

#define ECHO(r) ((r)->family == 4 ? ICMP(8, 0) : ICMP(128, 0))
#define ECHO_REPLY(r) ((r)->family == 4 ? ICMP(0, 0) : ICMP(129, 0))

/** ct_of() - pod A's flow with @peer that opened towards @port. */
static struct np_ct ct_of(struct rig *r, enum np_dir dir, enum who peer, uint8_t proto, uint16_t port)
{
	struct np_ct ct;

	if (!rig_ct(r, SLOT_A, peer, proto, dir == NP_EGRESS ? port : 50000, dir == NP_EGRESS ? 40000 : port, &ct))
		fail_msg("IPv%d: no entry for port %u", r->family, port);
	return ct;
}

static void open_out(struct rig *r)
{
	EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
	EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN | ACK);
	EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
}

static void open_in(struct rig *r)
{
	EXPECT(r, PASS, IN(FRIEND, TCP, WEB), .flags = SYN);
	EXPECT(r, PASS, IN_ANSWER(FRIEND, TCP, WEB), .flags = SYN | ACK);
	EXPECT(r, PASS, IN(FRIEND, TCP, WEB), .flags = ACK);
}

static void test_tcp_states(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN | ACK);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_NEW);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, NP_CT_EGRESS);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN | ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_REPLIED);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_ESTABLISHED);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK, .payload = 100);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK | FIN);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_CLOSING);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = RST);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_CLOSED);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = SYN);           /* the same port again */
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_NEW);
		open_in(r);
		assert_int_equal(ct_of(r, NP_INGRESS, FRIEND, TCP, WEB).flags, 0);
		assert_int_equal(rig_flows(r), 2);
		assert_int_equal(rig_rt(r, SLOT_A)->ct_used, 2);
		/* neither other ports nor other peers profit */
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB + 1), .flags = ACK);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FOE, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, UDP, WEB));
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = FRIEND, .dst = POD_A, .proto = TCP, .sport = WEB,
		       .dport = 40001, .flags = ACK);
	}
}

/* without the programs that are jumped to, what is not decided at once is dropped */
static void jumps(struct rig *r, bool on)
{
	static uint32_t id[NP_TAILS];
	const int fd = np_map_fd(r->np, NP_M_TAILS);

	for (uint32_t i = 0; i < NP_TAILS; i++) {
		int prog = -1;

		if (on) {
			prog = bpf_prog_get_fd_by_id(id[i]);
			assert_true(prog >= 0);
			assert_int_equal(bpf_map_update_elem(fd, &i, &prog, BPF_ANY), 0);
			close(prog);
		} else {
			assert_int_equal(bpf_map_lookup_elem(fd, &i, &id[i]), 0);
			assert_int_equal(bpf_map_delete_elem(fd, &i), 0);
		}
	}
}

/* A stream of UDP whose other side has said one thing: only what changes the flow's state goes the long way. */
static void test_a_stream_is_decided_at_once(void **state)
{
	RIG_OR_SKIP(state);

	BOTH_FAMILIES(r)
	{
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		jumps(r, false);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_REPLIED);
		EXPECT(r, NP_DROP_TAIL, OUT(FRIEND, UDP, DNS));
		jumps(r, true);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_ESTABLISHED);
	}
}

static void test_udp_and_others(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_NEW);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_REPLIED);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_REPLIED);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, UDP, DNS).state, NP_CT_ESTABLISHED);
		/* tunnels and the like: one flow for each peer and protocol */
		rig_set(r, NP_INGRESS, PING, PORT_NONE, NP_VERDICT(NP_DENY, RULE_DENY_IN));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(PING, IPPROTO_GRE, 0), .payload = 8);
		EXPECT(r, PASS, OUT(PING, IPPROTO_GRE, 0), .payload = 8);
		EXPECT(r, PASS, OUT_ANSWER(PING, IPPROTO_GRE, 0), .payload = 8);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(PING, IPPROTO_ESP, 0), .payload = 8);
	}
}

/* SCTP is not TCP: it opens by INIT, and flags at TCP's place say nothing. */
static void test_sctp(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, PASS, OUT(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 1);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 2);
		EXPECT(r, PASS, OUT(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 10);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, SCTP, SCTP_PORT).state, NP_CT_ESTABLISHED);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 1);       /* it opens the other way */
		EXPECT(r, PASS, OUT(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 7);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, SCTP, SCTP_PORT).state, NP_CT_CLOSING);
		EXPECT(r, PASS, OUT(FRIEND, SCTP, SCTP_PORT), .sctp_chunk = 6);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, SCTP, SCTP_PORT).state, NP_CT_CLOSED);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, SCTP, WEB), .sctp_chunk = 1);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, SCTP_PORT), .flags = SYN);
	}
}

/* Whoever opens something is judged, whatever entry there is. */
static void test_syn_is_always_judged(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		open_out(r);
		/* the peer, from the port that the pod talks to, to the port that it talks from */
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		/* the address is another's now, and the old flow's entry is still there */
		rig_move(r, FRIEND, FOE);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		rig_move(r, FRIEND, FRIEND);
		/* a SYN that may, against a living flow: it passes and does not turn it around */
		rig_set(r, NP_INGRESS, FRIEND, PORT_NONE, NP_VERDICT(NP_ALLOW, RULE_WEB_IN));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, NP_CT_EGRESS);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_ESTABLISHED);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = RST);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN);    /* a dead one's place is free */
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, 0);
	}
}

/* A rule's packets: those in its counter and those of its flows. */
static void test_counters(void **state)
{
	struct np_count web, deny, before_web, before_deny;
	struct np_ct ct;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const uint64_t head = r->family == 4 ? 40 : 60;

		before_web = rig_count(r, RULE_WEB_OUT);
		before_deny = rig_count(r, RULE_DENY_OUT);
		open_out(r);
		for (int i = 0; i < 10; i++)
			EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK, .payload = 100);
		for (int i = 0; i < 5; i++)
			EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK, .payload = 1000);
		for (int i = 0; i < 3; i++)
			EXPECT(r, NP_DROP_EGRESS, OUT(FOE, TCP, WEB), .flags = SYN, .payload = 7);
		web = rig_count(r, RULE_WEB_OUT);
		deny = rig_count(r, RULE_DENY_OUT);
		ct = ct_of(r, NP_EGRESS, FRIEND, TCP, WEB);
		assert_int_equal(ct.rule, RULE_WEB_OUT);
		/* the rule judged the SYN; the flow has all */
		assert_int_equal(web.pkts - before_web.pkts, 1);
		assert_int_equal(web.bytes - before_web.bytes, head);
		assert_int_equal(NP_CT_PKTS(ct.sum[NP_EGRESS]), 1 + 1 + 10);
		assert_int_equal(NP_CT_BYTES(ct.sum[NP_EGRESS]), 12 * head + 10 * 100);
		assert_int_equal(NP_CT_PKTS(ct.sum[NP_INGRESS]), 6);
		assert_int_equal(NP_CT_BYTES(ct.sum[NP_INGRESS]), 6 * head + 5 * 1000);
		assert_int_equal(deny.pkts - before_deny.pkts, 3);
		assert_int_equal(deny.bytes - before_deny.bytes, 3 * (head + 7));
	}
}

/* A new generation without a new revision costs established flows nothing. */
static void test_parity(void **state)
{
	uint64_t before;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		open_out(r);
		before = rig_stat(r, NP_STAT_REJUDGED);
		for (int i = 0; i < 4; i++) {
			rig_publish(r, SLOT_A, 1);
			EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
			EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
			EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
			EXPECT(r, NP_DROP_EGRESS, OUT(FOE, UDP, DNS));
		}
		assert_int_equal(rig_stat(r, NP_STAT_REJUDGED), before);
		rig_publish(r, SLOT_A, 2);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(rig_stat(r, NP_STAT_REJUDGED), before + 1);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).rev[NP_EGRESS], 2);
	}
}

static void forbid_web(struct rig *r, uint32_t rev)
{
	rig_set(r, NP_EGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
	rig_set(r, NP_INGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_DENY, RULE_DENY_IN));
	rig_publish(r, SLOT_A, rev);
}

static void allow_web(struct rig *r, uint32_t rev)
{
	rig_set(r, NP_EGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
	rig_set(r, NP_INGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_ALLOW, RULE_WEB_IN));
	rig_publish(r, SLOT_A, rev);
}

/* A6: a change of policy holds for flows that live, in both directions. */
static void test_revoke(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (int answer_first = 0; answer_first < 2; answer_first++) {
			rig_reset(r);
			open_out(r);
			open_in(r);
			forbid_web(r, 2);
			for (int i = 0; i < 4; i++) {
				if ((i ^ answer_first) & 1) {
					EXPECT(r, NP_DROP_REVOKED, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
					EXPECT(r, NP_DROP_REVOKED, IN_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
				} else {
					EXPECT(r, NP_DROP_REVOKED, OUT(FRIEND, TCP, WEB), .flags = ACK);
					EXPECT(r, NP_DROP_REVOKED, IN(FRIEND, TCP, WEB), .flags = ACK);
				}
			}
			assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_DENIED);
			assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).rule, RULE_DENY_OUT);
			assert_int_equal(ct_of(r, NP_INGRESS, FRIEND, TCP, WEB).rule, RULE_DENY_IN);
			EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, WEB), .flags = SYN);
			allow_web(r, 3);                                /* it was a mistake: nothing is lost */
			EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
			EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
			EXPECT(r, PASS, IN(FRIEND, TCP, WEB), .flags = ACK);
			assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_ESTABLISHED);
			assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).rule, RULE_WEB_OUT);
		}
	}
}

/* What was cut in one direction does not come back as something that the other end began. */
static void test_revoked_stays_cut(void **state)
{
	static const uint8_t protos[] = { TCP, UDP, SCTP };

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		for (size_t i = 0; i < VW_ARRAY_SIZE(protos); i++) {
			rig_reset(r);
			EXPECT(r, PASS, IN(PING, protos[i], WEB), .flags = SYN, .sctp_chunk = 1);
			EXPECT(r, PASS, IN_ANSWER(PING, protos[i], WEB), .flags = SYN | ACK, .sctp_chunk = 2);
			EXPECT(r, PASS, IN(PING, protos[i], WEB), .flags = ACK);
			for (int port = 0; port < PORT_MAX; port++)
				rig_set(r, NP_INGRESS, PING, port, NP_VERDICT(NP_DENY, RULE_DENY_IN));
			rig_publish(r, SLOT_A, 2);
			/* egress to the peer is allowed, but this is an answer */
			EXPECT(r, NP_DROP_REVOKED, IN_ANSWER(PING, protos[i], WEB), .flags = ACK);
			EXPECT(r, NP_DROP_REVOKED, IN(PING, protos[i], WEB), .flags = ACK);
			EXPECT(r, NP_DROP_REVOKED, IN_ANSWER(PING, protos[i], WEB), .flags = ACK | RST);
			/* while a new one that way is fine */
			if (protos[i] != UDP)
				EXPECT(r, PASS, IN_ANSWER(PING, protos[i], WEB), .flags = SYN, .sctp_chunk = 1);
		}
	}
}

static void test_keep(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_conf(r)->flags = NP_CONF_KEEP;
		open_out(r);
		forbid_web(r, 2);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_EGRESS, OUT(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = FRIEND, .proto = TCP, .sport = 40001,
		       .dport = WEB, .flags = SYN);
		rig_conf(r)->flags = 0;                 /* and back: then they are judged after all */
		EXPECT(r, NP_DROP_REVOKED, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
	}
}

static void test_audit(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_conf(r)->flags = NP_CONF_AUDIT;
		EXPECT(r, PASS, OUT(FOE, TCP, WEB), .flags = SYN);
		rig_events(r);
		assert_int_equal(r->n_event, 1);
		assert_int_equal(r->event[0].flags, NP_EVENT_AUDIT);
		assert_int_equal(r->event[0].reason, NP_DROP_EGRESS);
		EXPECT(r, PASS, OUT_ANSWER(FOE, TCP, WEB), .flags = SYN | ACK);
		EXPECT(r, PASS, OUT(FOE, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FOE, TCP, WEB).flags, NP_CT_EGRESS | NP_CT_AUDIT);
		rig_events(r);
		assert_int_equal(r->n_event, 0);        /* once for each flow */
		open_out(r);
		forbid_web(r, 2);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, NP_CT_EGRESS | NP_CT_AUDIT);
		rig_conf(r)->flags = 0;                 /* in earnest now */
		EXPECT(r, NP_DROP_REVOKED, OUT_ANSWER(FOE, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_REVOKED, OUT(FOE, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_REVOKED, OUT(FRIEND, TCP, WEB), .flags = ACK);
		rig_conf(r)->flags = NP_CONF_AUDIT;     /* and what was cut lives again */
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
	}
}

/* Flows that were there before the policy: either end's next packet takes them up, if it could have been opened. */
static void test_pickup(void **state)
{
	struct vw_err err;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_EGRESS, IN_ANSWER(FRIEND, UDP, WEB));
		ok(np_slot_pickup(r->np, SLOT_A, 30, &err));
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, NP_CT_EGRESS | NP_CT_PICKUP);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).state, NP_CT_ESTABLISHED);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, PASS, IN_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_INGRESS, FRIEND, TCP, WEB).flags, NP_CT_PICKUP);
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS));
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, OTHER), .flags = ACK);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FOE, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = SYN);         /* opens: no middle */
		/* an answer to a ping that is under way; not the question */
		rig_set(r, NP_INGRESS, PING, PORT_NONE, NP_VERDICT(NP_DENY, RULE_DENY_IN));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, NP_DROP_INGRESS, IN(PING, IPPROTO_ICMP, 0), .flags = ECHO(r));
		EXPECT(r, PASS, IN(PING, IPPROTO_ICMP, 0), .flags = ECHO_REPLY(r));
		/* judged again, a guess may turn out to have been wrong */
		rig_set(r, NP_EGRESS, FRIEND, PORT_WEB, NP_VERDICT(NP_DENY, RULE_DENY_OUT));
		rig_set(r, NP_INGRESS, FRIEND, PORT_NONE, NP_VERDICT(NP_ALLOW, RULE_WEB_IN));
		rig_publish(r, SLOT_A, 2);
		EXPECT(r, PASS, OUT(FRIEND, TCP, WEB), .flags = ACK);
		assert_int_equal(ct_of(r, NP_EGRESS, FRIEND, TCP, WEB).flags, NP_CT_PICKUP);
		/* the time is over */
		rig_set(r, NP_INGRESS, FRIEND, PORT_NONE, NP_VERDICT(NP_DENY, RULE_DENY_IN));
		rig_publish(r, SLOT_A, 3);
		ok(np_slot_pickup(r->np, SLOT_A, 0, &err));
		rig_slot(r, SLOT_A)->pickup_until = np_tick() - RIG_OVER;
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = FRIEND, .dst = POD_A, .proto = UDP, .sport = DNS,
		       .dport = 40009);
		/* but in the direction that is allowed the middle of a flow is as good as its beginning */
		EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = PING, .proto = TCP, .sport = 40009, .dport = WEB,
		       .flags = ACK);
		EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = TCP, .sport = WEB, .dport = 40009,
		       .flags = ACK);
	}
}

/* The same identifier in the other direction is another flow (GHSA-c66w-hq56-4q97). */
static void test_echo(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		rig_set(r, NP_INGRESS, PING, PORT_NONE, NP_VERDICT(NP_DENY, RULE_DENY_IN));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 5,
		       .flags = ECHO_REPLY(r));
		EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = PING, .proto = IPPROTO_ICMP, .sport = 5,
		       .flags = ECHO(r));
		EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 5,
		       .flags = ECHO_REPLY(r));
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 5,
		       .flags = ECHO(r));
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 6,
		       .flags = ECHO_REPLY(r));
		if (r->family == 4) {   /* an address mask reply is no echo reply, nor is a timestamp */
			EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP,
			       .sport = 5, .flags = ICMP(14, 0));
			EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = PING, .proto = IPPROTO_ICMP, .sport = 5,
			       .flags = ICMP(13, 0));
			EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP, .sport = 5,
			       .flags = ICMP(14, 0));
			EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = PING, .dst = POD_A, .proto = IPPROTO_ICMP,
			       .sport = 5, .flags = ICMP(18, 0));
		}
	}
}

/* Errors about packets of living flows pass, whoever sends them; about others they are judged. */
static void test_related(void **state)
{
	struct pkt sent, got, alien, tcp;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		const unsigned int too_big = r->family == 4 ? ICMP(3, 4) : ICMP(2, 0);
		const struct spec out = { OUT(FRIEND, UDP, DNS), .payload = 30 }, in = { OUT_ANSWER(FRIEND, UDP, DNS) };
		const struct spec other = { .src = POD_A, .dst = FRIEND, .proto = UDP, .sport = 40001, .dport = DNS };
		const struct spec theirs = { .src = POD_B, .dst = FRIEND, .proto = UDP, .sport = 40000, .dport = DNS };
		uint64_t before = rig_stat(r, NP_STAT_RELATED);

		sent = pkt_of(r->family, &out);
		got = pkt_of(r->family, &in);
		/* nothing is open yet */
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &sent);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		/* a router on the way */
		EXPECT(r, PASS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &sent);
		/* the pod's own: port unreachable about what it was sent */
		EXPECT(r, PASS, OUT(FRIEND, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(3, 3) : ICMP(1, 4), .inner = &got);
		/* only to who sent what it quotes: a pod that talks to anybody could write to everybody else */
		EXPECT(r, NP_DROP_EGRESS, OUT(STRANGER, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(3, 3) : ICMP(1, 4), .inner = &got);
		assert_int_equal(rig_stat(r, NP_STAT_RELATED), before + 2);
		/* about a packet that the pod did not send, of another flow, of another pod, or none */
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &got);
		alien = pkt_of(r->family, &other);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &alien);
		alien = pkt_of(r->family, &theirs);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &alien);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big);
		alien = pkt_cut(sent, ETH_HLEN + 20);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &alien);
		/* a redirect is no error about the flow */
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(5, 1) : ICMP(137, 0),
		       .inner = &sent);
		/* 8 bytes behind the header are all that must be quoted */
		open_out(r);
		tcp = pkt_of(r->family, &(struct spec){ OUT(FRIEND, TCP, WEB), .flags = ACK });
		tcp = pkt_cut(tcp, tcp.len - 12);
		EXPECT(r, PASS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &tcp);
		/* pings as well */
		EXPECT(r, PASS, OUT(PING, IPPROTO_ICMP, 0), .flags = ECHO(r));
		alien = pkt_of(r->family, &(struct spec){ OUT(PING, IPPROTO_ICMP, 0), .flags = ECHO(r) });
		EXPECT(r, PASS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(11, 0) : ICMP(3, 0), .inner = &alien);
		/* no entry was made for any of them, and none of a dead flow lives on by them */
		assert_int_equal(rig_flows(r), 3);
		forbid_web(r, 2);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &tcp);
		EXPECT(r, NP_DROP_REVOKED, OUT(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = too_big, .inner = &tcp);
	}
}

static void test_related_behind_headers(void **state)
{
	static const uint8_t nops[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, ext[] = { 0, 60, 255 };
	struct pkt sent;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		sent = pkt_of(r->family, &(struct spec){ OUT(FRIEND, UDP, DNS), .payload = 30, .options = nops, .n_options = 8, .ext = ext });
		EXPECT(r, PASS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(3, 4) : ICMP(2, 0), .inner = &sent);
		sent = pkt_of(r->family, &(struct spec){ OUT(FRIEND, UDP, DNS), .raw = true, .payload = 30, .frag = 64, .frag_id = 1 });
		EXPECT(r, NP_DROP_INGRESS, IN(STRANGER, IPPROTO_ICMP, 0), .flags = r->family == 4 ? ICMP(3, 4) : ICMP(2, 0),
		       .inner = &sent);
	}
}

/* A full table is no reason to forget others' flows: the new one is judged packet by packet. */
static void test_no_room(void **state)
{
	const unsigned int room = RIG_GROUPS * NP_CT_GROUP_FLOWS;
	const uint16_t sent = (uint16_t)(2 * room);

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		uint64_t quota = rig_stat(r, NP_STAT_CT_QUOTA), full = rig_stat(r, NP_STAT_CT_FULL);

		rig_conf(r)->ct_quota = 1;
		open_out(r);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));
		assert_int_equal(rig_stat(r, NP_STAT_CT_QUOTA), quota + 2);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, UDP, DNS));       /* on its own it may not */
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);    /* the other one lives */
		assert_int_equal(rig_flows(r), 1);
		/* another pod has its own quota */
		rig_publish(r, SLOT_B, 1);
		EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_B, .src = FRIEND, .dst = POD_B, .proto = TCP, .dport = WEB, .flags = SYN);
		assert_int_equal(rig_flows(r), 2);
		rig_reset(r);
		rig_conf(r)->ct_quota = 100000;
		for (uint16_t i = 0; i < sent; i++)
			EXPECT(r, PASS, .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = PING, .proto = UDP,
			       .sport = (uint16_t)(1000 + i), .dport = DNS);
		/* groups fill up one after the other, the last places by the last flows */
		assert_int_equal(rig_stat(r, NP_STAT_CT_FULL) - full, sent - rig_flows(r));
		assert_int_equal(rig_rt(r, SLOT_A)->ct_used, rig_flows(r));
		assert_in_range(rig_flows(r), room - room / 50, room);
	}
}

/* The slot's next pod has none of the last one's flows. */
static void test_next_pod(void **state)
{
	struct np_pod_conf pod;
	struct vw_err err;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		open_out(r);
		assert_int_equal(ok(np_slot_get(r->np, SLOT_A, &pod, &err)), 1);
		ok(np_slot_clear(r->np, SLOT_A, &err));
		EXPECT(r, NP_DROP_NO_SLOT, OUT(FRIEND, TCP, WEB), .flags = ACK);
		EXPECT(r, NP_DROP_NO_SLOT, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
		ok(np_slot_publish(r->np, SLOT_A, &pod, &err));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, NP_DROP_INGRESS, OUT_ANSWER(FRIEND, TCP, WEB), .flags = ACK);
	}
}

/* A packet that had seen the pod's flags before its slot was emptied reads the policy after that. */
static void test_under_way_when_the_pod_goes(void **state)
{
	struct vw_err err;

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		struct np_slot seen = *rig_slot(r, SLOT_A);

		ok(np_slot_clear(r->np, SLOT_A, &err));
		seen.pub = rig_slot(r, SLOT_A)->pub;
		*rig_slot(r, SLOT_A) = seen;
		EXPECT(r, NP_DROP_STALE, OUT(FRIEND, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_STALE, IN(FRIEND, TCP, WEB), .flags = SYN);
	}
}

/* What the node opened stays open, whatever the policy becomes. */
static void test_node_flows_stay(void **state)
{
	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		r->from = 0;
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = SYN);
		EXPECT(r, PASS, IN_ANSWER(NODE, TCP, OTHER), .flags = SYN | ACK);
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = ACK);
		rig_publish(r, SLOT_A, 2);
		EXPECT(r, PASS, IN_ANSWER(NODE, TCP, OTHER), .flags = ACK);
		EXPECT(r, PASS, IN(NODE, TCP, OTHER), .flags = ACK);
		assert_int_equal(ct_of(r, NP_INGRESS, NODE, TCP, OTHER).flags, NP_CT_NODE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_states),
		cmocka_unit_test(test_a_stream_is_decided_at_once),
		cmocka_unit_test(test_udp_and_others),
		cmocka_unit_test(test_sctp),
		cmocka_unit_test(test_syn_is_always_judged),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_parity),
		cmocka_unit_test(test_revoke),
		cmocka_unit_test(test_revoked_stays_cut),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_pickup),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_related),
		cmocka_unit_test(test_related_behind_headers),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_next_pod),
		cmocka_unit_test(test_under_way_when_the_pod_goes),
		cmocka_unit_test(test_node_flows_stay),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
