/*
 * Packets nobody would send, into the programs as they are loaded. Each is also read by a parser that shares nothing with theirs but
 * the RFCs: without conntrack (no entry has room) both must come to the same verdict. With conntrack, over a policy that never
 * allows some peers, none of theirs may ever pass. The seed is fixed; NP_FUZZ_SEED and NP_FUZZ_PACKETS take others.
 *
 * Seeds: well-formed packets of every kind, and tests/bpf/corpus/packets.txt, frames that once were, or could have been, taken for
 * something else.
 */
#include "lib/base/parse.h"
#include "tests/bpf/np_rig.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <string.h>

#define PACKETS 150000
#define CORPUS "tests/bpf/corpus/packets.txt"
#define CORPUS_MAX 64
#define EITHER 2                /* depends on what came before */

struct fuzz {
	struct rig *r;
	uint64_t x;
	struct pkt corpus[CORPUS_MAX];
	size_t n_corpus;
	uint64_t packets;
};

static uint32_t rnd(struct fuzz *f, uint32_t below)
{
	f->x ^= f->x << 13;
	f->x ^= f->x >> 7;
	f->x ^= f->x << 17;
	return (uint32_t)((f->x >> 16) % below);
}

static uint64_t env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t v;

	return text && vw_parse_u64(text, 1, UINT64_MAX, &v) == 0 ? v : otherwise;
}

/* --- packets */

static int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static void load_corpus(struct fuzz *f)
{
	FILE *in = fopen(CORPUS, "re");
	char line[4096];

	if (!in)
		fail_msg("%s: %s (run it in the source folder)", CORPUS, strerror(errno));
	while (fgets(line, sizeof(line), in)) {
		struct pkt *p = &f->corpus[f->n_corpus];
		if (line[0] == '#' || line[0] == '\n')
			continue;
		assert_true(f->n_corpus < CORPUS_MAX);
		for (const char *at = line; nibble(at[0]) >= 0 && nibble(at[1]) >= 0; at += 2)
			p->b[p->len++] = (uint8_t)(nibble(at[0]) << 4 | nibble(at[1]));
		assert_true(p->len >= ETH_HLEN);
		f->n_corpus++;
	}
	(void)fclose(in);
	assert_true(f->n_corpus > 10);
}

static struct pkt seed_packet(struct fuzz *f, bool outwards)
{
	static const uint8_t protos[] = { TCP, TCP, UDP, UDP, SCTP, IPPROTO_ICMP, IPPROTO_ICMP, IPPROTO_GRE, 59 };
	static const uint8_t kinds[] = { 0, 43, 44, 51, 60, 255 }, types[] = { 0, 1, 2, 3, 5, 8, 11, 13, 14, 128, 129, 133, 135, 143 };
	static const uint16_t ports[] = { WEB, DNS, SCTP_PORT, OTHER, 1, 65535 };
	uint8_t options[40], ext[11];
	struct spec s = { .src = outwards ? POD_A : rnd(f, POD_A), .dst = outwards ? rnd(f, POD_A) : POD_A };

	if (rnd(f, 4) == 0 && f->n_corpus)
		return f->corpus[rnd(f, (uint32_t)f->n_corpus)];
	s.proto = protos[rnd(f, sizeof(protos))];
	s.sport = (uint16_t)rnd(f, 65536);
	s.dport = ports[rnd(f, VW_ARRAY_SIZE(ports))];
	s.flags = s.proto == IPPROTO_ICMP ? (unsigned int)ICMP(types[rnd(f, sizeof(types))], 0) : rnd(f, 64);
	s.payload = rnd(f, 100);
	s.hops = rnd(f, 4) ? 64 : 255;
	if (rnd(f, 4) == 0) {
		s.options = options;
		s.n_options = rnd(f, 41);
		for (unsigned int i = 0; i < s.n_options; i++)
			options[i] = (uint8_t)(rnd(f, 3) ? 1 : rnd(f, 256));
		s.ext = ext;
		for (size_t i = 0; i < sizeof(ext) - 1; i++)
			ext[i] = kinds[rnd(f, sizeof(kinds))];
		ext[sizeof(ext) - 1] = 255;
	}
	if (rnd(f, 8) == 0) {
		s.more = rnd(f, 2);
		s.frag = (uint16_t)(rnd(f, 3) * 8);
		s.frag_id = rnd(f, 1u << 30);
		s.raw = rnd(f, 2);
	}
	s.sctp_chunk = (uint8_t)rnd(f, 16);
	return pkt_of(f->r->family, &s);
}

static void mutate(struct fuzz *f, struct pkt *p)
{
	for (uint32_t n = rnd(f, 5); n; n--) {
		/* most of what matters stands at the beginning */
		size_t at = 12 + rnd(f, rnd(f, 3) ? 60 : (uint32_t)p->len);

		if (at >= p->len)
			continue;
		switch (rnd(f, 4)) {
		case 0:
			p->b[at] ^= (uint8_t)(1 << rnd(f, 8));
			break;
		case 1:
			p->b[at] = (uint8_t)rnd(f, 256);
			break;
		case 2:
			p->b[at] = (uint8_t)(p->b[at] + rnd(f, 3) - 1);
			break;
		default:
			p->b[at] = rnd(f, 2) ? 0 : 255;
		}
	}
	if (rnd(f, 8) == 0 && p->len > ETH_HLEN + 40)
		p->len = ETH_HLEN + 40 + rnd(f, (uint32_t)(p->len - ETH_HLEN - 40));
}

/* --- the other parser: bytes to the question that the policy answers. -1 = refused, EITHER = needs what came before */

struct asked {
	int family;
	uint8_t src[16], dst[16];
	uint8_t proto, hops;
	uint16_t sport, dport;
	bool always;
	const uint8_t *at;      /* what is not read yet */
	size_t left;
};

static uint16_t be16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static int read_options4(const uint8_t *o, size_t n)
{
	while (n) {
		if (*o == 0)
			return 0;
		if (*o == 1) {
			o++;
			n--;
			continue;
		}
		/* a last option may be cut off by the header's end, as long as its own length says how far it meant to go */
		if (*o == 131 || *o == 137 || n < 2 || o[1] < 2)
			return -1;
		if (o[1] >= n)
			return 0;
		n -= o[1];
		o += o[1];
	}
	return 0;
}

static int read4(struct asked *q, const uint8_t *b, size_t len)
{
	size_t head, total;
	uint16_t frag;

	if (len < 20)
		return -1;
	head = (b[0] & 15) * 4u;
	total = be16(b + 2);
	if (b[0] >> 4 != 4 || head < 20 || total < head || total > len)
		return -1;
	memcpy(q->src, b + 12, 4);
	memcpy(q->dst, b + 16, 4);
	q->hops = b[8];
	q->proto = b[9];
	q->at = b + head;
	q->left = total - head;
	if (read_options4(b + 20, head - 20) < 0)
		return -1;
	frag = be16(b + 6);
	return frag & 0x1fff ? EITHER : 0;
}

static int read6(struct asked *q, const uint8_t *b, size_t len)
{
	uint8_t next;
	size_t n = 0;
	bool fragment = false;

	if (len < 40 || b[0] >> 4 != 6 || be16(b + 4) > len - 40)
		return -1;
	memcpy(q->src, b + 8, 16);
	memcpy(q->dst, b + 24, 16);
	q->hops = b[7];
	q->at = b + 40;
	q->left = be16(b + 4);
	for (next = b[6]; next == 0 || next == 43 || next == 44 || next == 51 || next == 60; n++) {
		size_t size;

		if (n == 8 || q->left < 8)
			return -1;
		if (next == 43 && q->at[3])
			return -1;
		size = next == 44 ? 8 : next == 51 ? (q->at[1] + 2u) * 4 : (q->at[1] + 1u) * 8;
		if (next == 44 && fragment)     /* a fragment in a fragment */
			return -1;
		if (next == 44 && (be16(q->at + 2) & 0xfff9)) {
			fragment = true;
			if (be16(q->at + 2) & 0xfff8)
				return EITHER;
		}
		next = q->at[0];
		if (size > q->left)
			return -1;
		q->at += size;
		q->left -= size;
	}
	q->proto = next;
	return 0;
}

static bool of_link(const uint8_t ip[16])
{
	return (ip[0] == 0xfe && ip[1] >= 0x80 && ip[1] <= 0xbf) || (ip[0] == 0xff && (ip[1] & 15) == 2);
}

static int read_l4(struct asked *q)
{
	const uint8_t icmp = q->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	const size_t need = q->proto == TCP ? 20 : q->proto == SCTP ? 12 : q->proto == UDP || q->proto == icmp ? 8 : 0;

	if (q->left < need)
		return -1;
	if (q->proto == TCP || q->proto == UDP || q->proto == SCTP) {
		q->sport = be16(q->at);
		q->dport = be16(q->at + 2);
	} else if (q->proto == IPPROTO_ICMPV6 && q->family == 6) {
		uint8_t type = q->at[0];

		q->always = (of_link(q->src) || of_link(q->dst)) &&
			    ((type >= 133 && type <= 137 && q->hops == 255) ||
			     (((type >= 130 && type <= 132) || type == 143) && q->hops == 1));
	}
	return 0;
}

static enum who who_is(int family, const uint8_t *ip)
{
	for (enum who w = 0; w < WHO_MAX; w++)
		if (w != STRANGER && w != COUSIN && memcmp(ip, rig_ip(family, w), family == 4 ? 4 : 16) == 0)
			return w;
	if (memcmp(ip, family == 4 ? "\x0a\x08" : "\xfd\x08", 2) == 0)
		return COUSIN;
	return STRANGER;
}

/** may() - the rig's default policy, told in words once more. */
static bool may(bool egress, enum who peer, uint8_t proto, uint16_t port)
{
	if (peer == COUSIN)
		peer = FRIEND;
	if (peer == PING || peer == POD_A || peer == POD_B)
		return true;
	if (peer == FRIEND && proto == TCP && port == WEB)
		return true;
	if (!egress)
		return false;
	if (peer == VIP)
		return true;
	return (peer == FRIEND && ((proto == UDP && port == DNS) || (proto == SCTP && port == SCTP_PORT))) ||
	       (peer == RESOLVER && proto == UDP && port == DNS);
}

/** behind() - a service's address. */
static bool behind(enum hook hook)
{
	return hook == TO_WIRE || hook == AT_NODE;
}

/** reference() - Return: 1 = passes, 0 = dropped, EITHER. */
static int reference(struct fuzz *f, enum hook hook, const struct pkt *p)
{
	const uint16_t type = be16(p->b + 12);
	struct asked q = { .family = type == 0x0800 ? 4 : 6 };
	int r;

	if (type != 0x0800 && type != 0x86dd)
		return EITHER;
	if (hook == FROM_POD && type == 0x86dd && (p->b[ETH_HLEN + 8] == 0xfe || p->b[ETH_HLEN + 8] == 0))
		return EITHER;          /* link-local: test_np_pod */
	r = type == 0x0800 ? read4(&q, p->b + ETH_HLEN, p->len - ETH_HLEN) : read6(&q, p->b + ETH_HLEN, p->len - ETH_HLEN);
	if (r < 0)
		return 0;
	if (hook == FROM_POD && who_is(q.family, q.src) != POD_A)
		return 0;
	if (r == EITHER)
		return EITHER;
	if (behind(hook) && who_is(q.family, q.dst) == POD_A)
		return EITHER;          /* a hairpin is not even read to its end */
	if (read_l4(&q) < 0)
		return 0;
	if (q.always)
		return p->b[20] == 44 || q.proto != p->b[20] ? EITHER : 1;
	if (behind(hook))
		return who_is(q.family, q.dst) != VIP && may(true, who_is(q.family, q.dst), q.proto, q.dport);
	if (hook == FROM_POD)
		return may(true, who_is(q.family, q.dst), q.proto, q.dport);
	return may(false, who_is(q.family, q.src), q.proto, q.dport);
}

/* --- running, without the rig's counters around each packet */

static int run(struct fuzz *f, enum hook hook, const struct pkt *p)
{
	const int progs[] = { [FROM_POD] = np_from_pod_fd(f->r->np), [TO_POD] = np_to_pod_fd(f->r->np),
			      [TO_WIRE] = np_to_wire_fd(f->r->np), [AT_NODE] = np_at_node_fd(f->r->np, be16(p->b + 12) == 0x0800 ? 4 : 6) };
	struct __sk_buff in = { .ifindex = hook == TO_WIRE ? ENI_INDEX : VETH(SLOT_A), .ingress_ifindex = WIRE };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)p->len, .ctx_in = &in,
		    .ctx_size_in = sizeof(in));
	int r;

	if (behind(hook)) {
		in.mark = NP_MARK_PENDING | SLOT_A << NP_MARK_SLOT_SHIFT;
		in.ingress_ifindex = VETH(SLOT_A);
	}
	r = bpf_prog_test_run_opts(progs[hook], &opts);
	if (r < 0)
		return r == -EINVAL ? EITHER : r;       /* no IP header: the kernel itself refuses to make a packet of it */
	f->packets++;
	if (hook == AT_NODE && opts.retval <= 1)
		return !opts.retval;
	if ((int)opts.retval != TC_ACT_UNSPEC && (int)opts.retval != TC_ACT_SHOT)
		fail_msg("verdict %d", (int)opts.retval);
	return (int)opts.retval == TC_ACT_UNSPEC;
}

static void show(const struct pkt *p)
{
	for (size_t i = 0; i < p->len; i++)
		print_message("%02x", p->b[i]);
	print_message("\n");
}

static uint64_t all_drops(struct rig *r)
{
	uint64_t d[NP_DROP_MAX], sum = 0;
	struct vw_err err;

	ok(np_drops(r->np, d, &err));
	for (int i = 0; i < NP_DROP_MAX; i++)
		sum += d[i];
	return sum;
}

static struct fuzz *begin(struct rig *r)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->r = r;
	f->x = env("NP_FUZZ_SEED", 20240611);
	load_corpus(f);
	return f;
}

static void test_as_the_other_parser(void **state)
{
	uint64_t before, dropped = 0, passed = 0, rounds = env("NP_FUZZ_PACKETS", PACKETS);
	struct fuzz *f;

	RIG_OR_SKIP(state);
	f = begin(r);
	rig_conf(r)->ct_quota = 0;
	before = all_drops(r);
	for (uint64_t i = 0; i < rounds; i++) {
		enum hook hook = rnd(f, 4);
		struct pkt p;
		int want, got;

		r->family = rnd(f, 2) ? 4 : 6;
		p = seed_packet(f, hook != TO_POD);
		mutate(f, &p);
		want = reference(f, hook, &p);
		got = run(f, hook, &p);
		if (got < 0)
			fail_msg("test_run of %zu bytes: %s", p.len, strerror(-got));
		if (got == EITHER)
			continue;
		dropped += !got;
		passed += got;
		if (want != EITHER && got != want) {
			show(&p);
			fail_msg("packet %lu, hook %d: it %s, the other parser says no", (unsigned long)i, hook,
				 got ? "passes" : "is dropped");
		}
	}
	/* every drop has its reason, and there was much of both */
	assert_int_equal(all_drops(r) - before, dropped);
	assert_true(passed > rounds / 20 && dropped > rounds / 5);
	print_message("# %lu packets, %lu passed\n", (unsigned long)f->packets, (unsigned long)passed);
	free(f);
}

/* With conntrack: flows live, fragments are known, and yet nobody whom no rule allows gets through. */
static void test_never_allowed(void **state)
{
	uint64_t rounds = env("NP_FUZZ_PACKETS", PACKETS) / 3;
	struct fuzz *f;

	RIG_OR_SKIP(state);
	f = begin(r);
	rig_conf(r)->ct_quota = 100000;
	for (uint64_t i = 0; i < rounds; i++) {
		enum hook hook = rnd(f, 2) ? FROM_POD : TO_POD;
		struct asked q = { 0 };
		struct pkt p;
		enum who peer;
		bool icmp;
		int got, read;

		r->family = rnd(f, 2) ? 4 : 6;
		p = seed_packet(f, hook == FROM_POD);
		mutate(f, &p);
		got = run(f, hook, &p);
		assert_true(got >= 0);
		if (got != 1)
			continue;
		q.family = be16(p.b + 12) == 0x0800 ? 4 : 6;
		if (q.family == 6 && be16(p.b + 12) != 0x86dd)
			continue;
		read = q.family == 4 ? read4(&q, p.b + ETH_HLEN, p.len - ETH_HLEN) : read6(&q, p.b + ETH_HLEN, p.len - ETH_HLEN);
		peer = who_is(q.family, hook == FROM_POD ? q.dst : q.src);
		icmp = q.proto == (q.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		if (read < 0 || (!icmp && (peer == FOE || peer == STRANGER || peer == NODE))) {
			show(&p);
			fail_msg("packet %lu, hook %d: it passes", (unsigned long)i, hook);
		}
	}
	assert_true(rig_flows(r) > 100);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_other_parser),
		cmocka_unit_test(test_never_allowed),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_done);
}
