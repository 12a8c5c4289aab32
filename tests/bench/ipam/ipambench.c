/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the daemon's own half of an ADD and a DEL takes: an address from the pool and back, in memory and with the
 * row in the store, on a node that holds 5,000 addresses of which nine in ten are taken. Pods come and go at random; what
 * they leave cools down for 30 s of the bench's own time, so the cooling list and the store's tables are as full as on
 * a node that churns.
 *
 * Beside it, on the same pods: what aws-node does for each of them (its whole checkpoint as JSON into a temporary file,
 * fsync, rename; pkg/ipamd/datastore/checkpoint.go), written here in C, and the least that any store must do (one
 * write() of the row). All files are in the folder given, which should be a tmpfs as the daemon's own is.
 *
 * The times are the thread's processor time: on a tmpfs nothing waits, so it is what a clock on the wall shows too, but for the
 * moments in which the machine does something else.
 *
 * Prints rows of build/bench.json as a JSON array.
 */
#include "daemon/store.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENIS 7
#define SLOTS 49                        /* m5.24xlarge: 50 addresses per ENI, one of them its own */
#define PREFIXES 313
#define ADDRS (PREFIXES * IPAM_PREFIX4_ADDRS)
#define PODS (ADDRS * 9 / 10)
#define COOLDOWN_MS 30000
#define STEP_MS 120                     /* of the bench's time between two DELs: some 250 addresses cool */
#define ID_LEN 72
#define PEER_ROUNDS 200
#define FLOOR_ROUNDS 10000

enum what { W_CLOCK, W_ASSIGN, W_RELEASE, W_ASSIGN_STORED, W_RELEASE_STORED, W_PEER, W_WRITE, W_COUNT };

struct bench {
	const char *dir;
	struct ipam_pool *pool;
	struct store *store;
	uint64_t rng, serial, now_ms;
	struct store_attachment *pods;  /* those that run */
	uint32_t *ns[W_COUNT];
	size_t n[W_COUNT], cap;
};

/* --- time and chance */

static uint64_t chance(struct bench *b)
{
	/* splitmix64 (Steele, Lea, Flood 2014): the same pods every time */
	uint64_t z = (b->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void took(struct bench *b, enum what w, uint64_t since_ns)
{
	uint64_t ns = now_ns() - since_ns;

	if (b->n[w] < b->cap)
		b->ns[w][b->n[w]++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const struct bench *b, enum what w, unsigned int p)
{
	return b->n[w] ? b->ns[w][(b->n[w] - 1) * p / 100] / 1000.0 : 0;
}

/* --- pods */

/* as a runtime and kubelet name them */
static void name_pod(struct bench *b, struct store_attachment *row)
{
	unsigned long long id = ++b->serial, x = chance(b), y = chance(b);

	*row = (struct store_attachment){ .slot = (unsigned int)b->serial, .created_ms = b->now_ms };
	(void)!vw_fmt(row->key.container_id, sizeof(row->key.container_id), "%016llx%016llx%016llx%016llx", x, y, x ^ y, id);
	(void)VW_COPY(row->key.ifname, "eth0");
	(void)VW_COPY(row->network, "vpcwire");
	(void)!vw_fmt(row->netns, sizeof(row->netns), "/run/netns/cni-%016llx-%016llx", x, id);
	(void)VW_COPY(row->pod_namespace, "default");
	(void)!vw_fmt(row->pod_name, sizeof(row->pod_name), "web-5d4f8c7b9-%05llx", id);
	(void)!vw_fmt(row->pod_uid, sizeof(row->pod_uid), "%016llx-%016llx", y, id);
	(void)!vw_fmt(row->host_ifname, sizeof(row->host_ifname), "eni%011llx", id);
}

static void key_of(const struct store_attachment *row, char key[ID_LEN])
{
	(void)!vw_fmt(key, ID_LEN, "%.64s/%.4s", row->key.container_id, row->key.ifname);
}

static int add(struct bench *b, size_t i, enum what timed, struct vw_err *err)
{
	struct store_attachment row;
	struct ipam_addr a;
	char key[ID_LEN];
	uint64_t start;
	int r;

	name_pod(b, &row);
	key_of(&row, key);
	start = now_ns();
	r = ipam_pool_assign(b->pool, key, b->now_ms, &a);
	if (timed == W_ASSIGN)
		took(b, timed, start);
	if (r != 0)
		return vw_err_set(err, r < 0 ? -r : EEXIST, 0, "assigning an address");
	row.addr = a.ip;
	(void)VW_COPY(row.eni_id, a.eni->id);
	if (timed != W_ASSIGN)
		r = store_attach_put(b->store, &row, err);
	if (timed == W_ASSIGN_STORED)
		took(b, timed, start);
	b->pods[i] = row;
	return r;
}

static int del(struct bench *b, size_t i, enum what timed, struct vw_err *err)
{
	char key[ID_LEN];
	uint64_t start;
	int r = 0;

	key_of(&b->pods[i], key);
	start = now_ns();
	if (timed == W_RELEASE_STORED)
		r = store_attach_del(b->store, &b->pods[i], b->now_ms + COOLDOWN_MS, err);
	if (r == 0 && ipam_pool_release(b->pool, key, b->now_ms, COOLDOWN_MS, NULL) < 0)
		r = vw_err_set(err, ENOENT, 0, "releasing an address");
	took(b, timed, start);
	return r;
}

static int churn(struct bench *b, bool stored, struct vw_err *err)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < b->cap; k++) {
		size_t i = chance(b) % PODS;

		/* as the daemon does between two requests */
		if (stored)
			store_tidy(b->store, b->now_ms);
		b->now_ms += STEP_MS;
		r = del(b, i, stored ? W_RELEASE_STORED : W_RELEASE, err);
		if (r == 0)
			r = add(b, i, stored ? W_ASSIGN_STORED : W_ASSIGN, err);
	}
	return r;
}

static int fill(struct bench *b, bool stored, struct vw_err *err)
{
	char path[512];
	int r = 0;

	b->pool = ipam_pool_new();
	if (!b->pool)
		return vw_err_set(err, ENOMEM, 0, "no memory for a pool");
	for (unsigned int p = 0; r == 0 && p < PREFIXES; p++) {
		struct ipam_eni eni = { .number = p / SLOTS, .device = p / SLOTS, .max_slots = SLOTS, .primary = p < SLOTS,
					.usable = true, .state = IPAM_ENI_READY };
		struct vw_ip ip = vw_ip4(0x0a000000 + p * IPAM_PREFIX4_ADDRS);
		struct vw_cidr c = vw_cidr_of(&ip, IPAM_PREFIX4_LEN);

		(void)!vw_fmt(eni.id, sizeof(eni.id), "eni-%017x", eni.number);
		r = ipam_pool_eni_put(b->pool, &eni);
		if (r == 0)
			r = ipam_pool_slot_add(b->pool, eni.id, &c);
	}
	if (r < 0)
		return vw_err_set(err, -r, 0, "filling a pool");
	if (stored) {
		vw_auto_buf struct vw_buf note = VW_BUF_INIT;

		(void)!vw_fmt(path, sizeof(path), "%s/state.db", b->dir);
		r = store_open(path, "bench", &b->store, &note, err);
	}
	for (size_t i = 0; r == 0 && i < PODS; i++)
		r = add(b, i, stored ? W_ASSIGN_STORED : W_ASSIGN, err);
	b->n[stored ? W_ASSIGN_STORED : W_ASSIGN] = 0;
	return r;
}

static void drain(struct bench *b)
{
	store_close(b->store);
	ipam_pool_free(b->pool);
	b->store = NULL;
	b->pool = NULL;
}

/* --- the peer and the floors */

/* one allocation of "vpc-cni-ipam/1" */
static void peer_entry(const struct store_attachment *row, const char *sep, struct vw_buf *json)
{
	char ip[VW_IP_STRLEN];

	vw_buf_printf(json,
		      "%s{\"networkName\":\"aws-cni\",\"containerID\":\"%s\",\"ifName\":\"%s\",\"ipv4\":\"%s\","
		      "\"allocationTimestamp\":%llu,\"metadata\":{\"k8sPodNamespace\":\"%s\",\"k8sPodName\":\"%s\","
		      "\"interfacesCount\":1}}",
		      sep, row->key.container_id, row->key.ifname, vw_ip_str(&row->addr, ip),
		      (unsigned long long)row->created_ms, row->pod_namespace, row->pod_name);
}

static int write_file(const char *path, const char *to, const struct vw_buf *b)
{
	vw_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, vw_buf_str(b), b->len) != (ssize_t)b->len || fsync(fd) < 0 || rename(path, to) < 0)
		return -errno;
	return 0;
}

static int peer(struct bench *b, struct vw_err *err)
{
	char tmp[512], path[512];
	int r = 0;

	(void)!vw_fmt(path, sizeof(path), "%s/ipam.json", b->dir);
	(void)!vw_fmt(tmp, sizeof(tmp), "%s/ipam.json.tmp", b->dir);
	for (unsigned int k = 0; r == 0 && k < PEER_ROUNDS; k++) {
		vw_auto_buf struct vw_buf json = VW_BUF_INIT;
		uint64_t start = now_ns();

		vw_buf_puts(&json, "{\"version\":\"vpc-cni-ipam/1\",\"allocations\":[");
		for (size_t i = 0; i < PODS; i++)
			peer_entry(&b->pods[i], i ? "," : "", &json);
		vw_buf_puts(&json, "]}");
		r = vw_buf_err(&json) < 0 ? -ENOMEM : write_file(tmp, path, &json);
		took(b, W_PEER, start);
	}
	return r < 0 ? vw_err_set(err, -r, 0, "writing '%s'", path) : 0;
}

static int floors(struct bench *b, struct vw_err *err)
{
	vw_auto_buf struct vw_buf row = VW_BUF_INIT;
	char path[512];
	vw_auto_close int fd = -EBADF;

	(void)!vw_fmt(path, sizeof(path), "%s/rows", b->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return vw_err_sys(err, errno, 0, "creating '%s'", path);
	peer_entry(&b->pods[0], "", &row);
	for (unsigned int k = 0; k < FLOOR_ROUNDS; k++) {
		uint64_t start = now_ns();

		took(b, W_CLOCK, start);
		start = now_ns();
		if (write(fd, vw_buf_str(&row), row.len) < 0)
			return vw_err_sys(err, errno, 0, "writing '%s'", path);
		took(b, W_WRITE, start);
	}
	return 0;
}

/* --- result */

static const struct {
	const char *name;
	enum what ours, floor;
	bool peer;
} rows[] = {
	{ "assign, 5,000 addresses, in memory", W_ASSIGN, W_CLOCK, false },
	{ "release, 5,000 addresses, in memory", W_RELEASE, W_CLOCK, false },
	{ "assign, 5,000 addresses, stored", W_ASSIGN_STORED, W_WRITE, true },
	{ "release, 5,000 addresses, stored", W_RELEASE_STORED, W_WRITE, true },
};

static void print_rows(const struct bench *b)
{
	static const unsigned int ps[] = { 50, 99 };
	const char *sep = "[";

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < VW_ARRAY_SIZE(ps); k++, sep = ",") {
			printf("%s\n {\"name\": \"%s, p%u\", \"unit\": \"us\", \"ours\": %.2f, ", sep, rows[i].name, ps[k],
			       percentile_us(b, rows[i].ours, ps[k]));
			if (rows[i].peer)
				printf("\"peer\": %.2f, \"peer_name\": \"aws-node's checkpoint (modelled)\", ",
				       percentile_us(b, W_PEER, ps[k]));
			else
				printf("\"peer\": null, \"peer_name\": \"\", ");
			printf("\"floor\": %.2f}", percentile_us(b, rows[i].floor, ps[k]));
		}
	}
	printf("\n]\n");
}

static int run(struct bench *b, struct vw_err *err)
{
	int r = 0;

	b->pods = calloc(PODS, sizeof(*b->pods));
	for (enum what w = 0; w < W_COUNT; w++) {
		b->ns[w] = calloc(b->cap, sizeof(*b->ns[w]));
		if (!b->ns[w] || !b->pods)
			return vw_err_set(err, ENOMEM, 0, "no memory for the figures");
	}
	for (int stored = 0; r == 0 && stored < 2; stored++) {
		r = fill(b, stored, err);
		if (r == 0)
			r = churn(b, stored, err);
		drain(b);
	}
	if (r == 0)
		r = floors(b, err);
	if (r == 0)
		r = peer(b, err);
	for (enum what w = 0; w < W_COUNT; w++)
		qsort(b->ns[w], b->n[w], sizeof(*b->ns[w]), by_value);
	return r;
}

int main(int argc, char **argv)
{
	struct bench b = { .rng = 1, .cap = FLOOR_ROUNDS, .now_ms = 1000 };
	uint64_t rounds = 20000;
	struct vw_err err;
	int r;

	if (argc < 2 || argc > 3 || (argc == 3 && vw_parse_u64(argv[2], 1, 10000000, &rounds) < 0)) {
		fprintf(stderr, "usage: ipambench FOLDER [ROUNDS]    (FOLDER: an empty one of the caller's, on a tmpfs)\n");
		return 2;
	}
	b.dir = argv[1];
	b.cap = rounds > FLOOR_ROUNDS ? rounds : FLOOR_ROUNDS;
	r = run(&b, &err);
	if (r < 0)
		fprintf(stderr, "ipambench: %s\n", err.msg);
	else
		print_rows(&b);
	for (enum what w = 0; w < W_COUNT; w++)
		free(b.ns[w]);
	free(b.pods);
	return r < 0;
}
