#pragma once

#include "lib/base/cleanup.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/bpf/bpf_fixture.h"

#include <netinet/in.h>

/**
 * DOC: the real programs under BPF_PROG_TEST_RUN, with two pods, some peers and a policy
 *
 * Who is who has an address of both families, so that each test runs for both. The tables are written by the rig itself, from a
 * matrix of (who, kind of port): what the compiler makes of manifests is tested elsewhere.
 */

enum who {
	STRANGER,       /* known by 0.0.0.0/0 and ::/0 alone; class 0 */
	FRIEND,         /* web both ways, DNS and SCTP to it */
	FOE,            /* nothing */
	PING,           /* everything: its rules name no ports */
	NAMED,          /* by domain name: bit 0 may, bit 1 may not */
	VIP,            /* a service's address */
	NODE,           /* an address of this node, of no special class */
	RESOLVER,       /* DNS to it, and its answers are believed */
	COUSIN,         /* class of FRIEND by prefix; no address of its own */
	POD_A, POD_B,   /* what the slots are; as peers everything goes */
	WHO_MAX,
};
#define WHO_CLASSES COUSIN      /* STRANGER .. RESOLVER have a class of their own number */

enum port { PORT_NONE, PORT_WEB, PORT_DNS, PORT_SCTP, PORT_OTHER, PORT_MAX };
#define WEB 80
#define DNS 53
#define SCTP_PORT 9
#define OTHER 443               /* a port class of its own that nobody may use */

enum { SLOT_A = 10, SLOT_B = 11, SLOT_GONE = 12 };
#define RIG_MARK_IN 0xa0c00085u /* of each packet: bits of others, which must stay, and of ours, which must not */
#define VETH(slot) (NP_IFINDEX_BASE + (slot))
#define ENI_INDEX 42            /* an ENI */
#define RIG_GROUPS 4            /* of np_ct */
#define RIG_FQDNS 256           /* of np_fqdn4, np_fqdn6 */
#define WIRE 43                 /* where packets from outside come in */

/* rules of the rig's policy */
enum rule { RULE_NONE, RULE_WEB_IN, RULE_WEB_OUT, RULE_DENY_IN, RULE_DENY_OUT, RULE_ALL, RULE_NAME_MAY, RULE_NAME_MAY_NOT };

enum hook { FROM_POD, TO_POD, TO_WIRE, AT_NODE };
#define PASS (-1)               /* else an enum np_drop */

struct pkt {
	uint8_t b[2048];
	size_t len;
};

/**
 * struct spec - a packet. @proto: IPPROTO_*. @flags: of TCP; ICMP: type << 8 | code. @sport: ICMP: identifier. @payload: bytes behind
 * the L4 header. @data: bytes before these. @options: IPv4, padded to words. @ext: IPv6 extension headers, chained, ended by 0: kinds, 8 bytes each.
 * @frag: offset in bytes, @more: fragments. @inner: what an ICMP error quotes. @raw: no L4 header at all, only the payload.
 */
struct spec {
	enum hook hook;         /* for rig_send() */
	unsigned int slot;
	enum who src, dst;
	uint8_t proto;
	uint16_t sport, dport;
	unsigned int flags;
	unsigned int payload;
	const uint8_t *data;
	size_t n_data;
	uint8_t hops;
	const uint8_t *options;
	unsigned int n_options;
	const uint8_t *ext;
	uint16_t frag;
	bool more, has_frag;
	uint32_t frag_id;
	const struct pkt *inner;
	bool raw;
	uint8_t sctp_chunk;
};
#define SYN 0x02
#define ACK 0x10
#define FIN 0x01
#define RST 0x04
#define ICMP(type, code) ((type) << 8 | (code))

/** pkt_of() - as a frame. */
struct pkt pkt_of(int family, const struct spec *s);
struct pkt pkt_cut(struct pkt p, size_t len);

struct rig {
	struct bpf_fixture *fix;
	struct np *np;
	int family;             /* of the packets to come */
	unsigned int mark_in;   /* of the next packet */
	unsigned int from;      /* ingress_ifindex of what comes to a pod or the wire: WIRE, 0 = this node, VETH() */
	uint32_t mark;          /* as the last one was left */
	uint32_t parity, rev;
	uint64_t ns;            /* test_run's duration of the last one */
	struct np_event event[64];
	struct np_event_dns dns[16];
	unsigned int n_event, n_dns;
	void *ring;
};

/** rig_setup(), rig_done() - for cmocka: *state is a struct rig, NULL without root. */
int rig_setup(void **state);
/** rig_setup_locked() - programs as on a kernel before 5.12: struct np_sizes. */
int rig_setup_locked(void **state);
int rig_done(void **state);
/** rig_reset() - both slots anew under the policy, rev 1, no flows, no events, default configuration. */
void rig_reset(struct rig *r);

/** rig_publish() - the policy is written into the half of the other parity, then put into force for @slot as revision @rev. */
void rig_publish(struct rig *r, unsigned int slot, uint32_t rev);
/** rig_set() - one cell of the policy to be published: @verdict for @who and @port in direction @dir. */
void rig_set(struct rig *r, enum np_dir dir, enum who who, enum port port, uint32_t verdict);

/** rig_run() - Return: PASS, or the reason that was counted. Fails when verdict and counters disagree, or the frame changed. */
int rig_run(struct rig *r, enum hook hook, unsigned int slot, const struct pkt *p);
/** rig_send() - rig_run() of pkt_of(). */
int rig_send(struct rig *r, const struct spec *s);

struct np_conf *rig_conf(struct rig *r);
struct np_slot *rig_slot(struct rig *r, unsigned int slot);
struct np_rt *rig_rt(struct rig *r, unsigned int slot);
/** rig_ct() - the entry of the flow between @slot and @peer. Return: it exists. */
bool rig_ct(struct rig *r, unsigned int slot, enum who peer, uint8_t proto, uint16_t rport, uint16_t lport, struct np_ct *ret);
/** rig_ct_behind() - of pod A's from its port 40000 by TCP, as it is behind a service's address. */
bool rig_ct_behind(struct rig *r, enum who peer, uint16_t rport, struct np_ct *ret);
/**
 * rig_link() - pod A's flow from port 40000 to VIP's port OTHER, and what it is behind that, to @peer: linked, as a packet does that goes
 * from one program to the other (test_run takes no skb->hash along). @ret, @ret_behind: the entries themselves.
 */
void rig_link(struct rig *r, enum who peer, uint8_t proto, uint16_t rport, struct np_ct **ret, struct np_ct **ret_behind);
unsigned int rig_flows(struct rig *r);
/** rig_move() - the address of @who becomes another's, as when a pod goes and the next is given its address. */
void rig_move(struct rig *r, enum who who, enum who to);
uint64_t rig_stat(struct rig *r, enum np_stat stat);
struct np_count rig_count(struct rig *r, enum rule rule);
/** rig_events() - read what is in the ring into r->event, r->dns, from the start. */
void rig_events(struct rig *r);
/** RIG_OVER - so many ticks before np_tick() are over for the programs too: their clock may be a third of a second behind (np_base.bpf.h). */
#define RIG_OVER 2
/** rig_name() - make @who known by @names to set 1 until tick @expires. */
void rig_name(struct rig *r, enum who who, uint64_t names, uint32_t expires);
/** rig_pattern() - names of set 1 that match @pattern ("www.example.com", "*.example.com") are bit @bit. */
void rig_pattern(struct rig *r, const char *pattern, unsigned int bit);
/** rig_dns_name() - wire format. Return: bytes, the root's 0 included. */
size_t rig_dns_name(const char *name, uint8_t wire[256]);
const uint8_t *rig_ip(int family, enum who who);

#define RIG_OR_SKIP(state) \
	struct rig *r = *(state); \
	if (!r) \
		skip(); \
	r->family = 4; \
	rig_reset(r)

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP
#define SCTP IPPROTO_SCTP

#define BOTH_FAMILIES(r) for (int family_ = 4; family_ <= 6 && ((r)->family = family_, rig_reset(r), 1); family_ += 2)

/** EXPECT() - a packet and what must become of it. */
#define EXPECT(r, want, ...) \
	do { \
		int got_ = rig_send(r, &(struct spec){ __VA_ARGS__ }); \
		if (got_ != (want)) \
			fail_msg("IPv%d line %d: %s, not %s: " #__VA_ARGS__, (r)->family, __LINE__, rig_verdict(got_), \
				 rig_verdict(want)); \
	} while (0)
/* what pod A sends to @peer, and what it is sent by it: protocol and port of who is to answer */
#define OUT(peer, p, port) .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = (peer), .proto = (p), .sport = 40000, .dport = (port)
#define IN(peer, p, port) .hook = TO_POD, .slot = SLOT_A, .src = (peer), .dst = POD_A, .proto = (p), .sport = 50000, .dport = (port)
/* and the answers to these */
#define OUT_ANSWER(peer, p, port) \
	.hook = TO_POD, .slot = SLOT_A, .src = (peer), .dst = POD_A, .proto = (p), .sport = (port), .dport = 40000
#define IN_ANSWER(peer, p, port) \
	.hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = (peer), .proto = (p), .sport = (port), .dport = 50000
const char *rig_verdict(int v);
