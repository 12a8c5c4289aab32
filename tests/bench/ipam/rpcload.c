/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods for a daemon, asked for as the plugin asks (lib/rpc) but without wiring them: the daemon's own half of ADD and DEL.
 *
 *   rpcload SOCKET PODS PAIRS PER_SECOND
 *
 * ADDs PODS pods and says so, then PAIRS times stops one at random and starts another, at most PER_SECOND times a second,
 * and says so after every 5,000 ("pairs N"); after each such line it waits for one on stdin, so that the caller can look
 * at the daemon. At the end it prints how long the requests took (microseconds, p50 and p99) and leaves the pods where
 * they are.
 *
 *   rpcload SOCKET
 *
 * Asks for one pod until it gets it, without rest, and prints when that was (CLOCK_MONOTONIC, ns): for a daemon that starts.
 */
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPORT_EVERY 5000
#define DEADLINE_MS 30000
#define FIRST_POD 0xf1f1f1f1u

struct load {
	const char *socket;
	uint64_t n_pods, pairs, per_s;
	uint64_t rng, serial;
	uint64_t *pods;                 /* serials of those that run */
	uint32_t *add_ns, *del_ns;
	size_t n;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t chance(struct load *l)
{
	l->rng = l->rng * 6364136223846793005u + 1442695040888963407u;
	return l->rng >> 33;
}

static int call(struct load *l, enum vw_rpc_op op, uint64_t serial, uint32_t *ret_ns, struct vw_err *err)
{
	struct vw_rpc_req req = { .op = op, .vmin = VW_RPC_VERSION_MIN, .vmax = VW_RPC_VERSION_MAX, .deadline_ms = DEADLINE_MS };
	struct vw_json *reply = NULL;
	unsigned long long id = serial;
	uint64_t start;
	int r;

	(void)!vw_fmt(req.key.container_id, sizeof(req.key.container_id), "%064llx", id);
	(void)VW_COPY(req.key.ifname, "eth0");
	(void)!vw_fmt(req.netns, sizeof(req.netns), "/run/netns/cni-00000000-0000-0000-0000-%012llx", id);
	(void)VW_COPY(req.network, "vpcwire");
	(void)VW_COPY(req.pod_namespace, "default");
	(void)!vw_fmt(req.pod_name, sizeof(req.pod_name), "web-5d4f8c7b9-%05llx", id);
	(void)!vw_fmt(req.pod_uid, sizeof(req.pod_uid), "00000000-0000-0000-0000-%012llx", id);
	start = now_ns();
	r = vw_rpc_call(l->socket, &req, vw_mono_ms() + DEADLINE_MS, &reply, err);
	if (ret_ns)
		*ret_ns = (uint32_t)(now_ns() - start);
	vw_json_free(reply);
	return r;
}

static int checkpoint(const char *what, uint64_t n)
{
	char line[16];

	printf("%s %llu\n", what, (unsigned long long)n);
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) ? 0 : -1;
}

static void pace(const struct load *l, uint64_t since_ns, uint64_t done)
{
	uint64_t due = since_ns + done * 1000000000u / l->per_s;
	const struct timespec at = { .tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u) };

	if (due > now_ns())
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static int run(struct load *l, struct vw_err *err)
{
	uint64_t since;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < l->n_pods; i++)
		r = call(l, VW_RPC_ADD, l->pods[i] = ++l->serial, NULL, err);
	if (r < 0 || checkpoint("pods", l->n_pods) < 0)
		return r;
	since = now_ns();
	for (uint64_t k = 1; k <= l->pairs; k++, l->n++) {
		uint64_t i = chance(l) % l->n_pods;

		r = call(l, VW_RPC_DEL, l->pods[i], &l->del_ns[l->n], err);
		if (r == 0)
			r = call(l, VW_RPC_ADD, l->pods[i] = ++l->serial, &l->add_ns[l->n], err);
		if (r < 0)
			return r;
		pace(l, since, k);
		if (k % REPORT_EVERY == 0) {
			uint64_t before = now_ns();

			if (checkpoint("pairs", k) < 0)
				return 0;
			since += now_ns() - before;
		}
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(const char *what, uint32_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), by_value);
	if (n)
		printf("%s %.1f %.1f\n", what, ns[(n - 1) / 2] / 1000.0, ns[(n - 1) * 99 / 100] / 1000.0);
}

/* as often as can be, for as long as an answer may take */
static int first(struct load *l, struct vw_err *err)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	uint64_t deadline_ms = vw_mono_ms() + DEADLINE_MS;
	int r;

	while ((r = call(l, VW_RPC_ADD, FIRST_POD, NULL, err)) < 0 && vw_mono_ms() < deadline_ms)
		(void)nanosleep(&nap, NULL);
	if (r == 0)
		printf("%llu\n", (unsigned long long)now_ns());
	else
		fprintf(stderr, "rpcload: %s\n", err->msg);
	return r;
}

int main(int argc, char **argv)
{
	struct load l = { .rng = 1 };
	struct vw_err err;
	int r;

	if (argc == 2) {
		l.socket = argv[1];
		return first(&l, &err) < 0;
	}
	if (argc != 5 || vw_parse_u64(argv[2], 1, 100000, &l.n_pods) < 0 || vw_parse_u64(argv[3], 0, 10000000, &l.pairs) < 0 ||
	    vw_parse_u64(argv[4], 1, 1000000, &l.per_s) < 0) {
		fprintf(stderr, "usage: rpcload SOCKET [PODS PAIRS PER_SECOND]\n");
		return 2;
	}
	l.socket = argv[1];
	l.pods = calloc(l.n_pods, sizeof(*l.pods));
	l.add_ns = calloc(l.pairs + 1, sizeof(*l.add_ns));
	l.del_ns = calloc(l.pairs + 1, sizeof(*l.del_ns));
	r = l.pods && l.add_ns && l.del_ns ? run(&l, &err) : vw_err_set(&err, ENOMEM, 0, "no memory");
	if (r < 0)
		fprintf(stderr, "rpcload: after %zu pairs: %s\n", l.n, err.msg);
	print_times("add_us", l.add_ns, l.n);
	print_times("del_us", l.del_ns, l.n);
	free(l.pods);
	free(l.add_ns);
	free(l.del_ns);
	return r < 0;
}
