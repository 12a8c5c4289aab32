/*
 * The fleet bench: every trace with vpcwire and with the model beside it, as JSON on stdout. plot.py draws it.
 */
#include "tests/bench/fleet/fleet.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
	const char *name;
	enum fleet_algo algo;
	struct ipam_targets targets;
};

/* each pair is the same address mode; the model's targets are aws-node's own defaults and what its docs advise */
static const struct side sides[] = {
	{ "vpcwire", FLEET_OURS, { .mode = IPAM_MODE_ADDRS, .adaptive = true } },
	{ "aws-node", FLEET_AWSNODE, { .mode = IPAM_MODE_ADDRS, .warm_eni = 1 } },
	{ "aws-node-warm-ip-5", FLEET_AWSNODE, { .mode = IPAM_MODE_ADDRS, .warm_ip = 5, .minimum_ip = 10 } },
	{ "vpcwire-prefix", FLEET_OURS, { .mode = IPAM_MODE_PREFIXES, .adaptive = true } },
	{ "aws-node-prefix", FLEET_AWSNODE, { .mode = IPAM_MODE_PREFIXES, .warm_prefix = 1 } },
};

static void print_calls(const struct fleet_result *r)
{
	const char *sep = "";

	printf("\"actions\": {");
	for (enum fleet_action a = 0; a < FLEET_ACTIONS_; a++) {
		if (!r->calls[a])
			continue;
		printf("%s\"%s\": [%" PRIu64 ", %" PRIu64 "]", sep, fleet_action_str(a), r->calls[a], r->throttled[a]);
		sep = ", ";
	}
	printf("}");
}

static void print_run(const struct side *s, const struct fleet_opts *o, const struct fleet_result *r, const char *sep)
{
	printf("%s\n  {\"side\": \"%s\", \"trace\": \"%s\", \"nodes\": %u, \"seed\": %" PRIu64 ", \"pods_per_s\": %u,\n"
	       "   \"pods\": %u, \"calls\": %" PRIu64 ", \"calls_per_pod\": %.4f, \"throttled_share\": %.4f,\n"
	       "   \"wait_ms\": {\"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f, \"mean\": %.1f}, \"waited\": %u, \"never\": %u,\n"
	       "   \"idle_per_node\": %.2f, \"idle_per_node_max\": %.2f, \"enis_per_node\": %.2f,"
	       " \"fragmentation\": %.4f, \"violations\": %u,\n   ",
	       sep, s->name, fleet_trace_str(o->trace), o->nodes, o->seed, o->pods_per_s, r->pods, r->n_calls,
	       r->calls_per_pod, r->throttled_share, r->wait_p50_ms, r->wait_p99_ms, r->wait_max_ms, r->wait_mean_ms,
	       r->waited, r->never, r->idle, r->idle_max, r->enis, r->fragmentation, r->violations);
	print_calls(r);
	printf(",\n   \"every_ms\": %d, \"samples\": [", FLEET_SAMPLE_MS);
	for (size_t i = 0; i < r->n_samples; i++)
		printf("%s[%u, %u, %u, %u, %" PRIu64 ", %" PRIu64 "]", i ? ", " : "", r->samples[i].pods,
		       r->samples[i].waiting, r->samples[i].idle, r->samples[i].enis, r->samples[i].calls,
		       r->samples[i].throttled);
	printf("]}");
}

struct args {
	uint64_t nodes, seed, rate;
	const char *trace, *side;
};

static int parse_args(int argc, char **argv, struct args *a)
{
	static const struct option longopts[] = {
		{ "nodes", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' },
		{ "rate", required_argument, NULL, 'r' }, { "trace", required_argument, NULL, 't' },
		{ "side", required_argument, NULL, 'i' }, { 0 },
	};
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		if (c == 'n')
			r = vw_parse_u64(optarg, 1, 5000, &a->nodes);
		else if (c == 's')
			r = vw_parse_u64(optarg, 0, UINT64_MAX, &a->seed);
		else if (c == 'r')
			r = vw_parse_u64(optarg, 1, 100000, &a->rate);
		else if (c == 't')
			a->trace = optarg;
		else if (c == 'i')
			a->side = optarg;
		else
			r = -1;
	}
	return optind < argc ? -1 : r;
}

int main(int argc, char **argv)
{
	struct args a = { .nodes = 1000, .seed = 1, .rate = 250 };
	vw_auto_free struct fleet_result *r = calloc(1, sizeof(*r));
	const char *sep = "";
	struct vw_err err;

	if (!r || parse_args(argc, argv, &a) < 0) {
		fprintf(stderr, "usage: fleet [--nodes 1..5000] [--seed N] [--rate PODS_PER_S]"
				" [--trace steady|wave|zero|replace] [--side vpcwire|aws-node|...]\n");
		return 2;
	}
	printf("{\"runs\": [");
	for (enum fleet_trace t = 0; t < FLEET_TRACES_; t++) {
		for (size_t i = 0; i < VW_ARRAY_SIZE(sides); i++) {
			struct fleet_opts o = { .algo = sides[i].algo, .trace = t, .targets = sides[i].targets,
						.nodes = (unsigned int)a.nodes, .pods_per_s = (unsigned int)a.rate,
						.seed = a.seed };

			if ((a.trace && strcmp(a.trace, fleet_trace_str(t))) || (a.side && strcmp(a.side, sides[i].name)))
				continue;
			if (fleet_run(&o, r, &err) < 0) {
				fprintf(stderr, "fleet: %s\n", err.msg);
				return 1;
			}
			print_run(&sides[i], &o, r, sep);
			sep = ",";
		}
	}
	printf("\n]}\n");
	return 0;
}
