/*
 * What a packet costs in the policy programs: BPF_PROG_TEST_RUN of the real ones beside an empty program that varies the packet in
 * the same way. The two take turns; each round's figure is the kernel's own average over many runs, and what is printed is the
 * median of the rounds, as JSON rows {"name","unit","ours","floor","rounds"}. It runs before all other work on one processor
 * (SCHED_FIFO), because a task that comes in between empties the caches; what other processors do to shared ones it cannot help.
 *
 * The tables are those of a node with 10,000 peers: each has an ident and a class of its own, and the pod's blob a row number for
 * each class. What differs between "10 policies" and "10,000 policies" is how many rows and columns of verdicts there are: 10 by 4,
 * or 10,000 by 40.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include "np_bench.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLOT 5
#define PEERS 10000u
#define REV 1
#define BLOB_LINE 8
#define ROUNDS_MAX 200
#define FRESH_FLOWS 40000       /* new ones in a round: a sixth of np_ct */
#define PAUSE_US 2000           /* between rounds, for whoever waits for this processor */

struct bench_conf {
	uint32_t peers, ports, egress, seed;
};

struct bench {
	struct np_bench *skel;
	struct np_line *arena, *ports;
	struct np_ident *idents;
	struct np_slot *slots;
	struct np_conf *conf;
	struct np_rt *rt;
	struct np_ct_group *ct;
	struct bench_conf *vary;
	unsigned int rounds;
	unsigned int rows;              /* printed */
	const char *only;               /* rows with this in their name; NULL = all */
};

struct frame {
	uint8_t b[128];
	uint32_t len;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map_mem(const struct bpf_map *map)
{
	size_t bytes = ((size_t)bpf_map__max_entries(map) * ((bpf_map__value_size(map) + 7) & ~7u) + 4095) & ~4095ul;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (mem == MAP_FAILED)
		die("mapping a map");
	return mem;
}

/* --- the node */

static void peer_ip(int family, uint32_t n, uint8_t ip[16])
{
	static const uint8_t net4[2] = { 10, 9 }, net6[2] = { 0xfd, 9 };
	const unsigned int size = family == 4 ? 4 : 16;
	uint16_t host = htons((uint16_t)(n + 256));     /* as in np_bench.bpf.c */

	memset(ip, 0, 16);
	memcpy(ip, family == 4 ? net4 : net6, 2);
	memcpy(ip + size - 2, &host, 2);
}

static void write_peers(struct bench *b)
{
	const int map4 = bpf_map__fd(b->skel->maps.np_ip4), map6 = bpf_map__fd(b->skel->maps.np_ip6);
	uint8_t ip[16];

	for (uint32_t n = 0; n < PEERS; n++) {
		uint32_t ident = n + 1;

		b->idents[ident].cls[0] = (uint16_t)(n + 1);
		peer_ip(4, n, ip);
		if (bpf_map_update_elem(map4, ip, &ident, BPF_ANY) < 0)
			die("np_ip4");
		peer_ip(6, n, ip);
		if (bpf_map_update_elem(map6, ip, &ident, BPF_ANY) < 0)
			die("np_ip6");
	}
}

/** write_policy() - @rows kinds of peers and @cols kinds of ports; every verdict allows, by one of @rules rules. */
static void write_policy(struct bench *b, uint32_t rows, uint32_t cols, uint32_t rules)
{
	struct np_blob *blob = (struct np_blob *)&b->arena[BLOB_LINE];
	const uint32_t row_lines = (PEERS + 1 + 31) / 32, col_lines = (cols + 31) / 32, mtx_lines = (rows * cols + 15) / 16;
	uint32_t next = BLOB_LINE + 1;

	if (next + NP_DIRS * (row_lines + col_lines + mtx_lines) > NP_ARENA_LINES / 2)
		die("the blob is too large");
	*blob = (struct np_blob){ .magic = NP_BLOB_MAGIC, .n_class = PEERS + 1, .n_port_class = (uint16_t)cols };
	for (int dir = 0; dir < NP_DIRS; dir++) {
		blob->dir[dir] = (struct np_blob_dir){ .row = next, .col = next + row_lines, .mtx = next + row_lines + col_lines,
						       .ncol = cols };
		for (uint32_t c = 0; c <= PEERS; c++)
			b->arena[next + c / 32].h[c % 32] = (uint16_t)(c % rows);
		for (uint32_t c = 0; c < cols; c++)
			b->arena[next + row_lines + c / 32].h[c % 32] = (uint16_t)c;
		for (uint32_t c = 0; c < rows * cols; c++)
			b->arena[next + row_lines + col_lines + c / 16].w[c % 16] = NP_VERDICT(NP_ALLOW, 1 + c % rules);
		next += row_lines + col_lines + mtx_lines;
	}
	for (uint32_t port = 0; port < 65536; port++)
		b->ports[NP_PORT_LINE(0, NP_PORT_TCP, port)].h[port % 32] = (uint16_t)(port % cols);
	b->slots[SLOT].pub = BLOB_LINE | (uint64_t)REV << NP_PUB_REV_SHIFT;
}

static void write_slot(struct bench *b)
{
	struct np_slot *s = &b->slots[SLOT];

	s->ip4 = htonl(0x0a000105);
	s->ip6[0] = 0xfd;
	s->ip6[15] = 5;
	s->eni = 2;
	s->gen = 1;
	s->flags = NP_SLOT_USED | NP_SLOT_IP4 | NP_SLOT_IP6;
	b->conf->ct_quota = UINT32_MAX;
	b->conf->ct_groups = bpf_map__max_entries(b->skel->maps.np_ct);
	for (int i = 0; i < NP_CT_KEYS; i++)    /* the same in each run, so that runs can be compared */
		b->conf->ct_key[i] = 0x9e3779b9u * (uint32_t)(i + 1);
}

/* --- packets */

static struct frame frame_of(int family, int egress, uint8_t tcp_flags)
{
	const uint32_t head = family == 4 ? 20 : 40, size = family == 4 ? 4 : 16, src = ETH_HLEN + (family == 4 ? 12 : 8);
	struct ethhdr eth = { .h_proto = htons(family == 4 ? ETH_P_IP : ETH_P_IPV6) };
	struct frame f = { .len = ETH_HLEN + head + 20 };
	uint8_t pod[16] = { 10, 0, 1, 5 }, peer[16];
	uint8_t *l4 = f.b + ETH_HLEN + head;

	if (family == 6) {
		memset(pod, 0, sizeof(pod));
		pod[0] = 0xfd;
		pod[15] = 5;
	}
	peer_ip(family, 0, peer);
	memcpy(f.b, &eth, sizeof(eth));
	if (family == 4) {
		struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = 6, .tot_len = htons(40) };

		memcpy(f.b + ETH_HLEN, &ip, sizeof(ip));
	} else {
		struct ipv6hdr ip = { .version = 6, .nexthdr = 6, .hop_limit = 64, .payload_len = htons(20) };

		memcpy(f.b + ETH_HLEN, &ip, sizeof(ip));
	}
	memcpy(f.b + src, egress ? pod : peer, size);
	memcpy(f.b + src + size, egress ? peer : pod, size);
	/* the pod's port is what varies, 10000 and up; the peer's is 8080 */
	const uint16_t pod_port = htons(10000), peer_port = htons(8080);

	memcpy(l4 + (egress ? 0 : 2), &pod_port, 2);
	memcpy(l4 + (egress ? 2 : 0), &peer_port, 2);
	l4[12] = 5 << 4;
	l4[13] = tcp_flags;
	return f;
}

/** run() - Return: nanoseconds a run, by the kernel's own average over @repeat. */
static double run(int prog, const struct frame *f, uint32_t repeat, int want)
{
	struct __sk_buff ctx = { .ifindex = NP_IFINDEX_BASE + SLOT, .ingress_ifindex = 1 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b, .data_size_in = f->len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .repeat = (int)repeat);

	if (bpf_prog_test_run_opts(prog, &opts) < 0)
		die("BPF_PROG_TEST_RUN");
	if ((int)opts.retval != want) {
		fprintf(stderr, "policy_bench: verdict %d, not %d\n", (int)opts.retval, want);
		exit(1);
	}
	return opts.duration;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/**
 * struct task - @ours beside @floor, taking turns. @fresh: forget all flows before each round of ours. @established: they are there before.
 * @service: and go to a service, behind which they were let through.
 */
struct task {
	const char *name;
	const struct bpf_program *ours, *floor;
	struct frame frame;
	uint32_t repeat;
	uint32_t peers, ports;
	bool fresh, established, service;
	int egress;
};

static void forget_flows(struct bench *b)
{
	memset(b->ct, 0, bpf_map__max_entries(b->skel->maps.np_ct) * sizeof(*b->ct));
	b->rt[SLOT].ct_used = 0;
}

static double measure(struct bench *b, const struct task *t, double *ret_floor)
{
	double ours[ROUNDS_MAX], floor[ROUNDS_MAX];

	for (unsigned int i = 0; i < b->rounds; i++) {
		*b->vary = (struct bench_conf){ .peers = t->peers, .ports = t->ports, .egress = (uint32_t)t->egress, .seed = 7 + i };
		floor[i] = run(bpf_program__fd(t->floor), &t->frame, t->repeat, -1);
		if (t->fresh)
			forget_flows(b);
		ours[i] = run(bpf_program__fd(t->ours), &t->frame, t->repeat, -1);
		(void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE_US * 1000 }, NULL);
	}
	*ret_floor = median(floor, b->rounds);
	return median(ours, b->rounds);
}

static void report(struct bench *b, const char *name, double ours, double floor)
{
	printf("%s\n {\"name\": \"%s\", \"unit\": \"ns\", \"ours\": %.0f, \"floor\": %.0f, \"rounds\": %u}", b->rows++ ? "," : "", name,
	       ours, floor, b->rounds);
	fflush(stdout);
}

/** establish() - the flows of @t, so that what is measured later are packets of established ones. */
static void establish(struct bench *b, const struct task *t, int family)
{
	struct frame syn = frame_of(family, t->egress, 2), ack = frame_of(family, t->egress, 0x10);
	const int prog = bpf_program__fd(t->ours);

	forget_flows(b);
	for (int pass = 0; pass < 2; pass++) {
		*b->vary = (struct bench_conf){ .peers = t->peers, .ports = t->ports, .egress = (uint32_t)t->egress, .seed = 99 };
		(void)run(prog, pass ? &ack : &syn, 20 * t->peers * t->ports, -1);
		if (!pass)      /* in mid-stream they count as established at once */
			forget_flows(b);
	}
}

/** to_service() - all flows that there are. */
static void to_service(struct bench *b)
{
	for (unsigned int g = 0; g < b->conf->ct_groups; g++)
		for (unsigned int i = 0; i < NP_CT_GROUP_FLOWS; i++) {
			struct np_ct *ct = &b->ct[g].entry[i].ct;

			ct->flags |= NP_CT_VIP;
			ct->link = NP_CT_LINK(0, 0);
		}
}

/** bench() - @t under @name, if that is asked for. */
static void bench(struct bench *b, const struct task *t, int family, const char *name)
{
	double ours, floor;

	if (b->only && !strstr(name, b->only))
		return;
	if (t->established)
		establish(b, t, family);
	if (t->service)
		to_service(b);
	if (!t->established)
		forget_flows(b);
	ours = measure(b, t, &floor);
	report(b, name, ours, floor);
}

static void bench_established(struct bench *b, int family)
{
	struct np_bench *s = b->skel;
	char name[96];

	for (int egress = 1; egress >= 0; egress--) {
		const struct bpf_program *single = egress ? s->progs.from_pod : s->progs.to_pod;
		const struct bpf_program *varied = egress ? (family == 4 ? s->progs.from_pod_4 : s->progs.from_pod_6) :
							    (family == 4 ? s->progs.to_pod_4 : s->progs.to_pod_6);
		struct task t = { .ours = single, .floor = s->progs.nothing, .frame = frame_of(family, egress, 0x10),
				  .repeat = 200000, .peers = 1, .ports = 1, .egress = egress, .established = true };
		const char *way = egress ? "from pod" : "to pod";

		(void)!vw_fmt(name, sizeof(name), "established flow, %s, IPv%d, 1 flow", way, family);
		bench(b, &t, family, name);
		if (egress) {
			t.service = true;
			(void)!vw_fmt(name, sizeof(name), "established flow, %s to a service, IPv%d, 1 flow", way, family);
			bench(b, &t, family, name);
			t.service = false;
		}
		t.ours = varied;
		t.floor = family == 4 ? s->progs.nothing_4 : s->progs.nothing_6;
		t.peers = 100;
		t.ports = 100;
		(void)!vw_fmt(name, sizeof(name), "established flow, %s, IPv%d, 10,000 flows", way, family);
		bench(b, &t, family, name);
	}
}

/** bench_new() - @tracked: with an entry for each; else the slot has its quota, and each packet is judged alone. */
static void bench_new(struct bench *b, int family, const char *what, bool tracked)
{
	struct np_bench *s = b->skel;
	const struct task t = { .repeat = tracked ? FRESH_FLOWS : 200000, .peers = PEERS, .ports = 50000, .fresh = tracked, .egress = 1,
				.ours = family == 4 ? s->progs.from_pod_4 : s->progs.from_pod_6,
				.floor = family == 4 ? s->progs.nothing_4 : s->progs.nothing_6, .frame = frame_of(family, 1, 2) };
	char name[96];

	b->conf->ct_quota = tracked ? UINT32_MAX : 0;
	(void)!vw_fmt(name, sizeof(name), "new flow %s, 10,000 peers, %s, IPv%d", tracked ? "judged and tracked" : "judged", what, family);
	bench(b, &t, family, name);
}

/* as in np_bench.bpf.c */
struct model_prefix {
	uint32_t len, ip;
};
struct model_ports {
	struct {
		uint16_t first, last;
		uint32_t proto;
	} slot[24];
};
struct model_rule {
	uint32_t label;
	uint16_t port, proto;
};

/** write_models() - each peer may be asked at 12 ports, the last of which is the one that is asked for; each has a label of its own. */
static void write_models(struct bench *b)
{
	const int peers = bpf_map__fd(b->skel->maps.model_peers), labels = bpf_map__fd(b->skel->maps.model_labels),
		  rules = bpf_map__fd(b->skel->maps.model_rules);
	struct model_ports ports = { 0 };
	uint32_t yes = 1;

	for (unsigned int i = 0; i < 12; i++) {
		ports.slot[i].first = ports.slot[i].last = (uint16_t)(8069 + i);
		ports.slot[i].proto = 6;
	}
	for (uint32_t n = 0; n < PEERS; n++) {
		struct model_prefix prefix = { .len = 32 };
		const struct model_rule rule = { n + 1, 8080, 6 };
		const uint32_t label = n + 1;
		uint8_t ip[16];

		peer_ip(4, n, ip);
		memcpy(&prefix.ip, ip, sizeof(prefix.ip));
		if (bpf_map_update_elem(peers, &prefix, &ports, BPF_ANY) < 0 || bpf_map_update_elem(labels, &prefix, &label, BPF_ANY) < 0 ||
		    bpf_map_update_elem(rules, &rule, &yes, BPF_ANY) < 0)
			die("the models' maps");
	}
}

/** bench_models() - a new flow judged by us, and by the two other layouts, each beside the empty program. */
static void bench_models(struct bench *b)
{
	struct np_bench *s = b->skel;
	const struct {
		const char *name;
		const struct bpf_program *prog;
	} models[] = { { "per-pod LPM, 24 port slots", s->progs.model_lpm_ports }, { "label LPM", s->progs.model_lpm_labels } };

	b->conf->ct_quota = 0;
	for (size_t i = 0; i < VW_ARRAY_SIZE(models); i++) {
		struct task t = { .repeat = 200000, .peers = PEERS, .ports = 50000, .egress = 1, .ours = s->progs.from_pod_4,
				  .floor = s->progs.nothing_4, .frame = frame_of(4, 1, 2) };
		double ours, model, floor;
		char name[96];

		(void)!vw_fmt(name, sizeof(name), "new flow judged, beside %s", models[i].name);
		if (b->only && !strstr(name, b->only))
			continue;
		ours = measure(b, &t, &floor);
		t.ours = models[i].prog;
		model = measure(b, &t, &floor);
		printf("%s\n {\"name\": \"%s\", \"unit\": \"ns\", \"ours\": %.0f, \"peer\": %.0f, \"peer_name\": \"%s\", \"floor\": %.0f, \"rounds\": %u}",
		       b->rows++ ? "," : "", name, ours, model, models[i].name, floor, b->rounds);
	}
}

/** bench_peers() - what a new flow costs with so many peers: a curve. */
static void bench_peers(struct bench *b)
{
	static const unsigned int peers[] = { 10, 100, 1000, 10000 };
	struct np_bench *s = b->skel;

	b->conf->ct_quota = 0;
	for (size_t i = 0; i < VW_ARRAY_SIZE(peers); i++) {
		struct task t = { .repeat = 200000, .peers = peers[i], .ports = 50000, .egress = 1, .ours = s->progs.from_pod_4,
				  .floor = s->progs.nothing_4, .frame = frame_of(4, 1, 2) };
		char name[96];

		(void)!vw_fmt(name, sizeof(name), "new flow judged, %u of 10,000 peers in use", peers[i]);
		bench(b, &t, 4, name);
		t.ours = s->progs.model_lpm_ports;
		(void)!vw_fmt(name, sizeof(name), "per-pod LPM, %u of 10,000 peers in use", peers[i]);
		bench(b, &t, 4, name);
		t.ours = s->progs.model_lpm_labels;
		(void)!vw_fmt(name, sizeof(name), "label LPM, %u of 10,000 peers in use", peers[i]);
		bench(b, &t, 4, name);
	}
}

/** be_first() - as far as we are let. */
static void be_first(void)
{
	const struct sched_param first = { .sched_priority = 50 };
	int cpu = sched_getcpu();
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu < 0 ? 0 : cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0 || sched_setscheduler(0, SCHED_FIFO, &first) < 0)
		perror("policy_bench: measuring as one task among others");
}

static int __attribute__((format(printf, 2, 0))) quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN && !strstr(fmt, "Retrying without BTF") ? vfprintf(stderr, fmt, ap) : 0;
}

static void setup(struct bench *b)
{
	vw_auto_nl_batch struct vw_nl_batch batch = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	if (unshare(CLONE_NEWNET) < 0)
		die("policy_bench: making a network namespace needs root");
	if (vw_nl_open(&nl, &err) < 0)
		die(err.msg);
	(void)vw_link_add_veth(&batch, &(struct vw_link_end){ .name = "eni0", .ifindex = NP_IFINDEX_BASE + SLOT },
			       &(struct vw_link_end){ .name = "pod0" });
	if (vw_nl_commit(&nl, &batch, &err) < 0)
		die(err.msg);
	(void)libbpf_set_print(quiet);
	b->skel = np_bench__open_and_load();
	if (!b->skel)
		die("loading the programs");
	b->arena = map_mem(b->skel->maps.np_arena);
	b->ports = map_mem(b->skel->maps.np_ports);
	b->idents = map_mem(b->skel->maps.np_idents);
	b->slots = map_mem(b->skel->maps.np_slots);
	b->conf = map_mem(b->skel->maps.np_conf);
	b->rt = map_mem(b->skel->maps.np_rt);
	b->ct = map_mem(b->skel->maps.np_ct);
	b->vary = map_mem(b->skel->maps.np_bench);
	write_slot(b);
	write_peers(b);
	be_first();
}

int main(int argc, char **argv)
{
	struct bench b = { .rounds = 15 };
	uint64_t rounds;

	if (argc > 1) {
		if (vw_parse_u64(argv[1], 1, ROUNDS_MAX, &rounds) < 0) {
			fprintf(stderr, "usage: policy_bench [rounds, at most %d [part of the rows' names]]\n", ROUNDS_MAX);
			return 2;
		}
		b.rounds = (unsigned int)rounds;
		b.only = argv[2];
	}
	setup(&b);
	printf("[");
	write_policy(&b, 10, 4, 10);
	for (int family = 4; family <= 6; family += 2)
		bench_established(&b, family);
	for (int many = 0; many < 2; many++) {
		write_policy(&b, many ? PEERS : 10, many ? 40 : 4, many ? 10000 : 10);
		for (int i = 0; i < 4; i++)
			bench_new(&b, i & 1 ? 6 : 4, many ? "10,000 policies" : "10 policies", i > 1);
	}
	write_policy(&b, 10, 4, 10);
	write_models(&b);
	bench_models(&b);
	bench_peers(&b);
	printf("\n]\n");
	np_bench__destroy(b.skel);
	return 0;
}
