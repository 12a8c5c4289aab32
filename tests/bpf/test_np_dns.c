/*
 * Names learnt from DNS answers on their way into the pod: what is learnt, for how long, from whom, and what of an answer that is made
 * to mislead. Whatever it is, the pod gets it unchanged. Each case with the answer in IPv4 and in IPv6.
 */
#include "lib/base/parse.h"
#include "tests/bpf/np_rig.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <string.h>

#define QR 0x8000
#define A 1
#define CNAME 5
#define AAAA 28
#define TXT 16

/** struct msg - a DNS message. */
struct msg {
	uint8_t b[1900];
	size_t len;
};

static void put16(struct msg *m, size_t at, uint16_t v)
{
	m->b[at] = (uint8_t)(v >> 8);
	m->b[at + 1] = (uint8_t)v;
}

static void add16(struct msg *m, uint16_t v)
{
	put16(m, m->len, v);
	m->len += 2;
}

static void add_name(struct msg *m, const char *name)
{
	uint8_t wire[256];
	size_t n = rig_dns_name(name, wire);

	assert_true(m->len + n <= sizeof(m->b));
	memcpy(m->b + m->len, wire, n);
	m->len += n;
}

static struct msg answer(const char *qname, uint16_t qtype)
{
	struct msg m = { .len = 12 };

	put16(&m, 0, 0xbeef);
	put16(&m, 2, QR | 0x0180);
	put16(&m, 4, 1);
	add_name(&m, qname);
	add16(&m, qtype);
	add16(&m, 1);
	return m;
}

/** add_owner() - @owner: a name, or "@12": a pointer to offset 12. */
static void add_owner(struct msg *m, const char *owner)
{
	uint64_t at = 0;

	if (owner[0] != '@') {
		add_name(m, owner);
		return;
	}
	assert_int_equal(vw_parse_u64(owner + 1, 0, 0x3fff, &at), 0);
	add16(m, (uint16_t)(0xc000 | at));
}

static void add_head(struct msg *m, const char *owner, uint16_t type, uint32_t ttl, uint16_t size)
{
	add_owner(m, owner);
	add16(m, type);
	add16(m, 1);
	add16(m, (uint16_t)(ttl >> 16));
	add16(m, (uint16_t)ttl);
	add16(m, size);
	put16(m, 6, (uint16_t)((m->b[6] << 8 | m->b[7]) + 1));
}

static void add_a(struct msg *m, const char *owner, uint32_t ttl, const uint8_t *ip)
{
	add_head(m, owner, A, ttl, 4);
	memcpy(m->b + m->len, ip, 4);
	m->len += 4;
}

static void add_aaaa(struct msg *m, const char *owner, uint32_t ttl, const uint8_t *ip)
{
	add_head(m, owner, AAAA, ttl, 16);
	memcpy(m->b + m->len, ip, 16);
	m->len += 16;
}

/** add_cname() - Return: where the target's name stands. */
static size_t add_cname(struct msg *m, const char *owner, uint32_t ttl, const char *target)
{
	size_t at;

	add_head(m, owner, CNAME, ttl, 0);
	at = m->len;
	add_owner(m, target);
	put16(m, at - 2, (uint16_t)(m->len - at));
	return at;
}

/* --- the pod asks, and is answered */

static void ask(struct rig *r)
{
	EXPECT(r, PASS, OUT(RESOLVER, UDP, DNS));
}

static void deliver(struct rig *r, const struct msg *m)
{
	EXPECT(r, PASS, OUT_ANSWER(RESOLVER, UDP, DNS), .data = m->b, .n_data = m->len);
}

/** known() - by which names, now; *ret_until the latest end. */
static uint64_t known4(struct rig *r, const uint8_t *ip, uint32_t *ret_until)
{
	struct np_fqdn4_key k = { .set = 1 };
	uint64_t names = 0;
	struct np_fqdn f;

	memcpy(&k.ip, ip, 4);
	*ret_until = 0;
	if (bpf_map_lookup_elem(np_map_fd(r->np, NP_M_FQDN4), &k, &f) < 0)
		return 0;
	for (int i = 0; i < NP_FQDN_ENDS; i++) {
		if ((int32_t)(f.expires[i] - np_tick()) < 0)
			continue;
		names |= f.names[i];
		if (f.names[i] && f.expires[i] > *ret_until)
			*ret_until = f.expires[i];
	}
	return names;
}

static uint64_t known6(struct rig *r, const uint8_t *ip)
{
	struct np_fqdn6_key k = { .set = 1 };
	uint64_t names = 0;
	struct np_fqdn f;

	memcpy(k.ip, ip, 16);
	if (bpf_map_lookup_elem(np_map_fd(r->np, NP_M_FQDN6), &k, &f) < 0)
		return 0;
	for (int i = 0; i < NP_FQDN_ENDS; i++)
		names |= f.names[i];
	return names;
}

static unsigned int fqdns(struct rig *r)
{
	uint8_t key[32], next[32];
	unsigned int n = 0;

	for (int m = NP_M_FQDN4; m <= NP_M_FQDN6; m++)
		for (void *k = NULL; bpf_map_get_next_key(np_map_fd(r->np, m), k, next) == 0; n++, k = key)
			memcpy(key, next, sizeof(key));
	return n;
}

/** secs() - ticks in seconds. */
static double secs(uint32_t ticks)
{
	return (double)((uint64_t)ticks << NP_TICK_SHIFT) / 1e9;
}

static void patterns(struct rig *r)
{
	rig_pattern(r, "www.example.com", 0);
	rig_pattern(r, "*.example.org", 1);
	rig_pattern(r, "example.org", 2);
	rig_pattern(r, "*.deep.example.org", 3);
}

#define BEGIN(state) \
	struct msg m; \
	uint32_t until; \
	RIG_OR_SKIP(state)
#define EACH_FAMILY(r) BOTH_FAMILIES(r) if ((patterns(r), ask(r), 1))

/* The point of it: the pod's first packet to what it was told passes. */
static void test_first_packet(void **state)
{
	BEGIN(state);
	(void)until;
	EACH_FAMILY(r)
	{
		EXPECT(r, NP_DROP_EGRESS, OUT(NAMED, TCP, WEB), .flags = SYN);
		m = answer("www.example.com", r->family == 4 ? A : AAAA);
		if (r->family == 4)
			add_a(&m, "@12", 300, rig_ip(4, NAMED));
		else
			add_aaaa(&m, "@12", 300, rig_ip(6, NAMED));
		deliver(r, &m);
		EXPECT(r, PASS, OUT(NAMED, TCP, WEB), .flags = SYN);
		EXPECT(r, NP_DROP_EGRESS, OUT(NAMED, UDP, DNS));        /* the rule's port only */
	}
}

static void test_how_it_is_written(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 }, ip6[16] = { 0x20, 1, 0xd, 0xb8 };

	BEGIN(state);
	EACH_FAMILY(r)
	{
		uint64_t before = rig_stat(r, NP_STAT_DNS_ANSWERS);

		/* as CoreDNS writes it, without compression; as some clients ask, in any case (draft-vixie-dnsext-dns0x20) */
		m = answer("wWw.eXample.COM", A);
		add_a(&m, "WWW.example.com", 300, ip);
		add_aaaa(&m, "www.EXAMPLE.com", 300, ip6);
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), 1);
		assert_int_equal(known6(r, ip6), 1);
		assert_int_equal(fqdns(r), 2);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_ANSWERS), before + 1);
		/* a pointer into the middle of a name, and one to a pointer */
		rig_reset(r);
		patterns(r);
		ask(r);
		m = answer("www.example.com", A);
		add_head(&m, "x", TXT, 300, 6);
		memcpy(m.b + m.len, "\3www\300\20", 6);         /* www + example.com of the question */
		m.len += 6;
		add_a(&m, "@40", 300, ip);
		m.b[m.len - 16] = 0xc0;
		m.b[m.len - 15] = (uint8_t)(m.len - 16 - 6);
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), 1);
	}
}

static void test_patterns(void **state)
{
	static const struct {
		const char *name;
		uint64_t names;
	} rows[] = {
		{ "www.example.com", 1 }, { "WWW.Example.Com", 1 }, { "example.com", 0 }, { "a.www.example.com", 0 },
		{ "ww.example.com", 0 }, { "wwww.example.com", 0 }, { "www.example.co", 0 }, { "www.example.com.evil.net", 0 },
		{ "example.org", 4 }, { "a.example.org", 2 }, { "a.b.c.example.org", 2 }, { "anexample.org", 0 },
		{ "deep.example.org", 2 }, { "x.deep.example.org", 2 | 8 }, { "org", 0 },
		{ "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.example.org", 2 },
	};
	static const uint8_t ip[] = { 192, 0, 2, 1 };

	BEGIN(state);
	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		EACH_FAMILY(r)
		{
			m = answer(rows[i].name, A);
			add_a(&m, "@12", 300, ip);
			deliver(r, &m);
			if (known4(r, ip, &until) != rows[i].names)
				fail_msg("%s: names %#lx", rows[i].name, (unsigned long)known4(r, ip, &until));
		}
	}
	/* the empty name, and the longest that there can be */
	r->family = 4;
	rig_reset(r);
	patterns(r);
	ask(r);
	m = answer("", A);
	add_a(&m, "@12", 300, ip);
	deliver(r, &m);
	assert_int_equal(fqdns(r), 0);
	m = answer("123456789012345678901234567890123456789012345678901234567890.123456789012345678901234567890123456789012345678"
		   "901234567890.123456789012345678901234567890123456789012345678901234567890.1234567890123456789012345678901234"
		   "567890123456789012345678.example.org", A);
	assert_int_equal(m.len, 12 + 255 + 4);
	add_a(&m, "@12", 300, ip);
	deliver(r, &m);
	assert_int_equal(known4(r, ip, &until), 2);
}

static void test_aliases(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 }, other[] = { 192, 0, 2, 2 }, ip6[16] = { 0x20, 1, 0xd, 0xb8 };
	char at[32];

	BEGIN(state);
	EACH_FAMILY(r)
	{
		m = answer("www.example.com", A);
		(void)add_cname(&m, "@12", 500, "a.cdn.net");
		(void)snprintf(at, sizeof(at), "@%zu", add_cname(&m, "a.cdn.net", 60, "b.cdn.net"));
		add_a(&m, at, 300, ip);
		add_aaaa(&m, "B.cdn.net", 300, ip6);
		add_a(&m, "c.cdn.net", 300, other);             /* nobody said so */
		add_a(&m, "@12", 300, other);                   /* the alias itself has no address: RFC 1034, 3.6.2 */
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), 1);
		/* the shortest of the chain counts */
		assert_true(secs(until - np_tick()) >= 60 && secs(until - np_tick()) < 60 + 4);
		assert_int_equal(known6(r, ip6), 1);
		assert_int_equal(known4(r, other, &until), 0);
	}
}

static void test_times(void **state)
{
	static const struct {
		uint32_t ttl;
		double least;
	} rows[] = { { 300, 300 }, { 31, 31 }, { 5, 30 }, { 0, 30 }, { 86400, 86400 }, { 0x7fffffff, 604800 }, { 0x80000000, 30 } };
	static const uint8_t ip[] = { 192, 0, 2, 1 };

	BEGIN(state);
	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		EACH_FAMILY(r)
		{
			m = answer("www.example.com", A);
			add_a(&m, "@12", rows[i].ttl, ip);
			deliver(r, &m);
			assert_int_equal(known4(r, ip, &until), 1);
			if (secs(until - np_tick()) < rows[i].least || secs(until - np_tick()) > rows[i].least + 4)
				fail_msg("TTL %u: %f s", rows[i].ttl, secs(until - np_tick()));
		}
	}
}

/* An address may be known by many names, each for its own time; what there is no room for is joined, never lost. */
static void test_many_names(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 };
	struct np_fqdn4_key k = { .set = 1 };
	struct np_fqdn f;
	char name[32];

	BEGIN(state);
	EACH_FAMILY(r)
	{
		uint64_t all = 0;

		for (unsigned int i = 0; i < 8; i++) {
			(void)snprintf(name, sizeof(name), "n%u.example.net", i);
			rig_pattern(r, name, 10 + i);
			m = answer(name, A);
			add_a(&m, "@12", 100 * (1 + i % 5), ip);
			deliver(r, &m);
			all |= 1ull << (10 + i);
			assert_int_equal(known4(r, ip, &until), all);
		}
		assert_true(secs(until - np_tick()) >= 500);
		memcpy(&k.ip, ip, 4);
		assert_int_equal(bpf_map_lookup_elem(np_map_fd(r->np, NP_M_FQDN4), &k, &f), 0);
		for (int i = 0; i < NP_FQDN_ENDS; i++)          /* the name with 100 s is good for as long at least */
			if (f.names[i] & 1 << 10)
				assert_true(secs(f.expires[i] - np_tick()) >= 100);
		/* a shorter answer takes nothing away, a longer one adds */
		m = answer("www.example.com", A);
		add_a(&m, "@12", 1000, ip);
		deliver(r, &m);
		m.len = 12;
		m = answer("www.example.com", A);
		add_a(&m, "@12", 10, ip);
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), all | 1);
		assert_true(secs(until - np_tick()) >= 1000);
		/* what is over makes room */
		for (int i = 0; i < NP_FQDN_ENDS; i++)
			f.expires[i] = np_tick() - RIG_OVER;
		assert_int_equal(bpf_map_update_elem(np_map_fd(r->np, NP_M_FQDN4), &k, &f, BPF_F_LOCK), 0);
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), 1);
	}
}

/* Believed is only a resolver that the pod has asked, and only for pods whose policy names domains. */
static void test_who_is_believed(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 };
	struct np_blob *b;

	BEGIN(state);
	(void)until;
	EACH_FAMILY(r)
	{
		m = answer("www.example.com", A);
		add_a(&m, "@12", 300, ip);
		EXPECT(r, PASS, OUT(FRIEND, UDP, DNS));                 /* may be asked, is not believed */
		EXPECT(r, PASS, OUT_ANSWER(FRIEND, UDP, DNS), .data = m.b, .n_data = m.len);
		EXPECT(r, NP_DROP_INGRESS, .hook = TO_POD, .slot = SLOT_A, .src = RESOLVER, .dst = POD_A, .proto = UDP, .sport = DNS,
		       .dport = 40001, .data = m.b, .n_data = m.len);   /* nobody asked */
		assert_int_equal(fqdns(r), 0);
		/* a "resolver" that asks the pod first, from port 53 */
		rig_set(r, NP_INGRESS, RESOLVER, PORT_NONE, NP_VERDICT(NP_ALLOW, RULE_WEB_IN));
		rig_publish(r, SLOT_A, 1);
		for (int i = 0; i < 4; i++)
			EXPECT(r, PASS, .hook = TO_POD, .slot = SLOT_A, .src = RESOLVER, .dst = POD_A, .proto = UDP, .sport = DNS,
			       .dport = 40002, .data = m.b, .n_data = m.len);
		assert_int_equal(fqdns(r), 0);
		b = (struct np_blob *)np_map_mem(r->np, NP_M_ARENA) + (rig_slot(r, SLOT_A)->pub & NP_PUB_LINE_MASK);
		b->fqdn_set = 0;
		deliver(r, &m);
		b->fqdn_set = 2;                                        /* another policy's names */
		deliver(r, &m);
		assert_int_equal(fqdns(r), 0);
		b->fqdn_set = 1;
		for (int i = 0; i < 6; i++) {                           /* first answer, and of an established flow */
			ask(r);
			deliver(r, &m);
			assert_int_equal(fqdns(r), 1);
		}
	}
}

static void test_no_answers(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 };
	static const uint16_t flags[] = { 0x0100, QR | 3, QR | 2, QR | 0x2800 };

	BEGIN(state);
	(void)until;
	EACH_FAMILY(r)
	{
		uint64_t broken = rig_stat(r, NP_STAT_DNS_BROKEN);

		for (size_t i = 0; i < VW_ARRAY_SIZE(flags); i++) {
			m = answer("www.example.com", A);
			add_a(&m, "@12", 300, ip);
			put16(&m, 2, flags[i]);
			deliver(r, &m);
		}
		m = answer("www.example.com", AAAA);                    /* no such record */
		deliver(r, &m);
		m = answer("www.example.com", A);
		add_head(&m, "@12", A, 300, 5);                         /* an address of 5 bytes */
		m.len += 5;
		add_a(&m, "@12", 300, ip);
		put16(&m, m.len - 12, 3);                               /* of class CHAOS */
		deliver(r, &m);
		assert_int_equal(fqdns(r), 0);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_BROKEN), broken);
	}
}

/* What cannot be read is delivered, counted and told, and teaches nothing beyond where it broke. */
static void test_broken(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 };

	BEGIN(state);
	(void)until;
	EACH_FAMILY(r)
	{
		for (int how = 0; how < 12; how++) {
			uint64_t broken = rig_stat(r, NP_STAT_DNS_BROKEN);
			size_t owner;

			m = answer("www.example.com", A);
			owner = m.len;
			add_a(&m, "@12", 300, ip);
			switch (how) {
			case 0: put16(&m, owner, (uint16_t)(0xc000 | owner)); break;            /* to itself */
			case 1: put16(&m, owner, (uint16_t)(0xc000 | (owner + 2))); break;      /* forwards */
			case 2: put16(&m, owner, 0xffff); break;                                /* beyond the end */
			case 3: m.b[owner] = 0x40; break;                                       /* a kind of label that is none */
			case 4: m.b[owner] = 63; break;                                         /* a label beyond the end */
			case 5: put16(&m, owner + 10, 200); break;                              /* an address beyond the end */
			case 6: m.len = owner + 1; break;                                       /* half a pointer */
			case 7: m.len = owner + 8; break;                                       /* half a record */
			case 8: put16(&m, 4, 2); break;                                         /* two questions */
			case 9: put16(&m, 4, 0); break;
			case 10: m.b[12] = 0xc0; break;                                         /* a question by reference */
			default: m.len = 20; break;                                             /* half a question */
			}
			deliver(r, &m);
			if (rig_stat(r, NP_STAT_DNS_BROKEN) != broken + 1)
				fail_msg("IPv%d: case %d is not counted as broken", r->family, how);
		}
		assert_int_equal(fqdns(r), 0);
		rig_events(r);
		assert_int_equal(r->n_dns, 12);
		assert_int_equal(r->dns[0].what, NP_STAT_DNS_BROKEN);
		assert_int_equal(r->dns[0].slot, SLOT_A);
		assert_int_equal(r->dns[0].set, 1);
		assert_int_equal(r->dns[0].family, r->family);
		assert_int_equal(r->dns[0].qlen, 17);
		assert_memory_equal(r->dns[0].qname, "\3www\7example\3com", 17);
		assert_memory_equal(r->dns[0].ip_resolver, rig_ip(r->family, RESOLVER), r->family == 4 ? 4 : 16);
		/* pointers to pointers, as many as there is room for, all backwards: that is a name */
		m = answer("www.example.com", A);
		add_head(&m, "x", TXT, 300, 60);
		for (size_t i = 0, first = m.len; i < 60; i += 2, m.len += 2)
			put16(&m, m.len, (uint16_t)(0xc000 | (i ? first + i - 2 : 12)));
		add_a(&m, "@12", 300, ip);
		put16(&m, m.len - 16, (uint16_t)(0xc000 | (m.len - 16 - 2)));
		deliver(r, &m);
		assert_int_equal(fqdns(r), 1);
	}
}

static void test_what_cannot_be_read(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 };

	BEGIN(state);
	EACH_FAMILY(r)
	{
		uint64_t cut = rig_stat(r, NP_STAT_DNS_TRUNCATED), lng = rig_stat(r, NP_STAT_DNS_TOO_LONG), tcp = rig_stat(r, NP_STAT_DNS_TCP);

		/* cut short by the server: what is there counts, and the pod will ask again by TCP */
		m = answer("www.example.com", A);
		add_a(&m, "@12", 300, ip);
		put16(&m, 2, QR | 0x0200);
		deliver(r, &m);
		assert_int_equal(known4(r, ip, &until), 1);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_TRUNCATED), cut + 1);
		/* in fragments */
		EXPECT(r, PASS, OUT_ANSWER(RESOLVER, UDP, DNS), .data = m.b, .n_data = m.len, .more = true, .frag_id = 1);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_TOO_LONG), lng + 1);
		/* by TCP: told once for each connection */
		rig_set(r, NP_EGRESS, RESOLVER, PORT_NONE, NP_VERDICT(NP_ALLOW, RULE_WEB_OUT));
		rig_publish(r, SLOT_A, 1);
		EXPECT(r, PASS, OUT(RESOLVER, TCP, DNS), .flags = SYN);
		EXPECT(r, PASS, OUT_ANSWER(RESOLVER, TCP, DNS), .flags = SYN | ACK);
		EXPECT(r, PASS, OUT(RESOLVER, TCP, DNS), .flags = ACK);
		EXPECT(r, PASS, OUT_ANSWER(RESOLVER, TCP, DNS), .flags = ACK, .data = m.b, .n_data = m.len);
		EXPECT(r, PASS, OUT_ANSWER(RESOLVER, TCP, DNS), .flags = ACK | FIN);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_TCP), tcp + 1);
		rig_events(r);
		assert_int_equal(r->n_dns, 3);
		assert_int_equal(r->dns[0].what, NP_STAT_DNS_TRUNCATED);
		assert_int_equal(r->dns[0].n_addr, 1);
		assert_int_equal(r->dns[0].names, 1);
		assert_int_equal(r->dns[1].what, NP_STAT_DNS_TOO_LONG);
		assert_int_equal(r->dns[2].what, NP_STAT_DNS_TCP);
		/* as it should be: told only if somebody wants to know */
		put16(&m, 2, QR);
		deliver(r, &m);
		rig_conf(r)->flags = NP_CONF_LOG_DNS;
		deliver(r, &m);
		rig_events(r);
		assert_int_equal(r->n_dns, 1);
		assert_int_equal(r->dns[0].what, NP_STAT_DNS_ANSWERS);
	}
}

static void test_many_addresses(void **state)
{
	BEGIN(state);
	EACH_FAMILY(r)
	{
		uint64_t many = rig_stat(r, NP_STAT_DNS_TOO_MANY), full = rig_stat(r, NP_STAT_DNS_FULL);
		uint8_t ip[4] = { 192, 0, 2 };

		/* as many as are read, behind some aliases */
		m = answer("www.example.com", A);
		(void)add_cname(&m, "@12", 300, "a.cdn.net");
		(void)add_cname(&m, "a.cdn.net", 300, "b.cdn.net");
		for (ip[3] = 0; ip[3] < NP_DNS_ANSWERS - 2; ip[3]++)
			add_a(&m, "b.cdn.net", 300, ip);
		deliver(r, &m);
		assert_int_equal(fqdns(r), NP_DNS_ANSWERS - 2);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_TOO_MANY), many);
		add_a(&m, "b.cdn.net", 300, ip);
		deliver(r, &m);
		assert_int_equal(fqdns(r), NP_DNS_ANSWERS - 2);
		assert_int_equal(rig_stat(r, NP_STAT_DNS_TOO_MANY), many + 1);
		/* a name with hundreds of addresses, a few in each answer, until there is no room */
		for (unsigned int i = 0; i < RIG_FQDNS + 32; i += 16) {
			m = answer("www.example.com", A);
			ip[2] = (uint8_t)(10 + i / 256);
			ip[3] = (uint8_t)i;
			for (int k = 0; k < 16; k++, ip[3]++)
				add_a(&m, "@12", 300, ip);
			deliver(r, &m);
		}
		assert_int_equal(fqdns(r), RIG_FQDNS);
		assert_true(rig_stat(r, NP_STAT_DNS_FULL) > full);
		ip[2] = 10;
		ip[3] = 200;
		assert_int_equal(known4(r, ip, &until), 1);
	}
}

/* Bytes that nobody would send: delivered, whatever they are, and nothing is learnt that is not in them. */
static void test_fuzz(void **state)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 }, ip6[16] = { 0x20, 1, 0xd, 0xb8 };
	uint64_t x = 88172645463325252ull;
	struct np_fqdn4_key k4;

	BEGIN(state);
	(void)until;
	EACH_FAMILY(r)
	{
		rig_conf(r)->event_burst = 0;
		for (int i = 0; i < 5000; i++) {
			m = answer(i % 3 ? "www.example.com" : "a.example.org", A);
			(void)add_cname(&m, "@12", 300, i % 2 ? "a.cdn.net" : "@16");
			add_a(&m, i % 2 ? "a.cdn.net" : "@16", 300, ip);
			add_aaaa(&m, "@12", 300, ip6);
			for (int n = i % 6; n; n--) {
				x ^= x << 13, x ^= x >> 7, x ^= x << 17;
				m.b[(x >> 20) % m.len] = (uint8_t)(x >> 40);
			}
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			if (i % 7 == 0)
				m.len = 1 + (x >> 20) % m.len;
			deliver(r, &m);
			if (bpf_map_get_next_key(np_map_fd(r->np, NP_M_FQDN4), NULL, &k4) == 0) {
				bool there = false;

				for (size_t at = 12; at + 4 <= m.len; at++)
					there |= memcmp(m.b + at, &k4.ip, 4) == 0;
				if (!there || k4.set != 1)
					fail_msg("message %d taught an address that is not in it", i);
				assert_int_equal(bpf_map_delete_elem(np_map_fd(r->np, NP_M_FQDN4), &k4), 0);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_packet),
		cmocka_unit_test(test_how_it_is_written),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_who_is_believed),
		cmocka_unit_test(test_no_answers),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_what_cannot_be_read),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
