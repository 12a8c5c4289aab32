#pragma once

#include "ipam/targets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: a fleet of nodes on one AWS account, in virtual time
 *
 * N nodes with the real pool, planner and demand estimator, or with a model of the Amazon VPC CNI, ask one simulated
 * account for addresses: per-action token buckets, shared subnets with their /28s, latencies, ENI limits. Pods
 * come and go by a trace. Time is an event queue, so an hour of 5,000 nodes takes seconds, and a run is a function
 * of its options, seed included.
 *
 * What both sides share: account, trace (the same pods on the same nodes at the same times), kubelet (an ADD that
 * failed is tried again 10 to 15 s later), instance type.
 */
enum fleet_algo { FLEET_OURS, FLEET_AWSNODE };
enum fleet_trace { FLEET_STEADY, FLEET_WAVE, FLEET_ZERO, FLEET_REPLACE, FLEET_TRACES_ };

/**
 * struct fleet_opts - a run.
 * @warm_eni.. of targets: for the model, and for ours when not adaptive.
 * @pods_per_s: how fast the scheduler places pods in a wave, all nodes together.
 */
struct fleet_opts {
	enum fleet_algo algo;
	enum fleet_trace trace;
	struct ipam_targets targets;
	unsigned int nodes;
	unsigned int pods_per_s;
	uint64_t seed;
};

enum fleet_action {
	FLEET_ASSIGN, FLEET_UNASSIGN, FLEET_CREATE, FLEET_ATTACH, FLEET_MODIFY, FLEET_DETACH, FLEET_DELETE, FLEET_TAG,
	FLEET_DESCRIBE_ENIS, FLEET_DESCRIBE_SUBNETS, FLEET_DESCRIBE_INSTANCES, FLEET_DESCRIBE_TYPES,
	FLEET_ACTIONS_,
};

#define FLEET_SAMPLE_MS 10000
#define FLEET_SAMPLES 512

/** struct fleet_sample - the fleet at one moment. @waiting: pods without an address. @calls: so far. */
struct fleet_sample {
	unsigned int pods, waiting, idle, enis;
	uint64_t calls, throttled;
};

/**
 * struct fleet_result - what came out; calls, pods and waits are those after the trace's warm-up.
 * @never: pods that were deleted before they had an address; their whole life counts as their wait.
 * @idle: addresses on nodes that no pod has (cooling ones too), mean over time per node; @enis likewise.
 * @fragmentation: mean share of the subnets' free addresses that lie in no wholly free /28.
 * @violations: address given to two, slots or ENIs beyond the limits, pool inconsistent: must be 0.
 */
struct fleet_result {
	uint64_t calls[FLEET_ACTIONS_], throttled[FLEET_ACTIONS_];
	uint64_t n_calls, n_throttled;
	unsigned int pods, never, waited;
	double calls_per_pod, throttled_share;
	double wait_p50_ms, wait_p99_ms, wait_max_ms, wait_mean_ms;
	double idle, idle_max, enis, fragmentation;
	unsigned int violations;
	struct fleet_sample samples[FLEET_SAMPLES];
	size_t n_samples;
};

/** fleet_run() - Return: 0, -ENOMEM, -EINVAL (no nodes). @ret: caller's, filled on success. */
int fleet_run(const struct fleet_opts *opts, struct fleet_result *ret, struct vw_err *err);

const char *fleet_action_str(enum fleet_action a);
const char *fleet_trace_str(enum fleet_trace t);
