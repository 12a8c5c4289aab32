/*
 * What flow logs take of a worker: FLOWS flows of PODS pods that all had packets in both directions, told every round. The programs in
 * the kernel count in any case, so this is all that the log costs. Rows {"name","unit","median"} on lines of their own.
 */
#include "daemon/flowlog.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 200000u
#define PODS 200u
#define ROUNDS 9

static double cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double round_ms(struct flowlog *f, struct np_flow *flow, const struct flowlog_who *who, uint64_t news)
{
	static const struct flowlog_rule rules[] = { { 0 }, { "NetworkPolicy", "default/among", "spec.egress[0]" } };
	double began = cpu_ms();

	if (flowlog_begin(f, "123456789012", who, PODS, rules, VW_ARRAY_SIZE(rules)) < 0)
		exit(1);
	for (unsigned int i = 0; i < FLOWS; i++) {
		for (int dir = 0; dir < NP_DIRS; dir++)
			flow[i].ct.sum[dir] += news;
		(void)flowlog_live(f, &flow[i]);
	}
	flowlog_write(f);
	flowlog_end(f);
	return cpu_ms() - began;
}

int main(void)
{
	struct flowlog_conf conf = { .files = 1, .sample = 1, .max_bytes = 64 << 20 };
	vw_auto_free struct np_flow *flow = calloc(FLOWS, sizeof(*flow));
	char dir[] = "/tmp/vw-flowlogbench-XXXXXX", path[FLOWLOG_PATH_MAX + 4];
	struct flowlog_who who[PODS];
	double busy[ROUNDS], quiet[ROUNDS];
	struct flowlog *f;
	struct vw_err err;

	if (!flow || !mkdtemp(dir))
		return 1;
	(void)snprintf(conf.path, sizeof(conf.path), "%s/log", dir);
	(void)snprintf(conf.state, sizeof(conf.state), "%s/state", dir);
	for (unsigned int i = 0; i < PODS; i++)
		who[i] = (struct flowlog_who){ .slot = i, .ip4 = { .family = AF_INET, .b = { 10, 0, 1, (uint8_t)i } }, .eni = "eni-0123456789abcdef0",
					       .space = "default", .pod = "web-5d9c7b8f6-abcde" };
	for (unsigned int i = 0; i < FLOWS; i++)
		flow[i] = (struct np_flow){ .slot = i % PODS, .place = i, .proto = IPPROTO_TCP, .rport = 443, .lport = (uint16_t)i,
					    .remote = { .family = AF_INET, .b = { 10, 9, (uint8_t)(i >> 8), (uint8_t)i } },
					    .ct = { .rule = 1, .start = np_tick(), .last = np_tick() } };
	if (flowlog_new(&conf, 1, FLOWS, &f, &err) < 0) {
		fprintf(stderr, "flowlogbench: %s\n", err.msg);
		return 1;
	}
	for (int i = 0; i < ROUNDS; i++) {
		busy[i] = round_ms(f, flow, who, NP_CT_SUM(3, 1000));
		quiet[i] = round_ms(f, flow, who, 0);
	}
	qsort(busy, ROUNDS, sizeof(busy[0]), by_value);
	qsort(quiet, ROUNDS, sizeof(quiet[0]), by_value);
	printf("{\"name\":\"a record\",\"unit\":\"ns\",\"median\":%.0f}\n", busy[ROUNDS / 2] * 1e6 / (2 * FLOWS));
	printf("{\"name\":\"a flow without news\",\"unit\":\"ns\",\"median\":%.1f}\n", quiet[ROUNDS / 2] * 1e6 / FLOWS);
	flowlog_free(f);
	flowlog_forget(conf.state);
	(void)unlink(conf.path);
	(void)snprintf(path, sizeof(path), "%s.1", conf.path);
	(void)unlink(path);
	(void)rmdir(dir);
	return 0;
}
