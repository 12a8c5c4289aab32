#pragma once

#include "tests/bench/fleet/fleet.h"

/* The simulated world from the inside: event queue, account, kubelet, metrics. */

#define WORLD_MAX_ENIS 4        /* m5.xlarge: 4 ENIs of 15 addresses, one of them the ENI's own */
#define WORLD_SLOTS 14
#define WORLD_SUBNET 32768u     /* addresses: a /17 */
#define WORLD_COOLDOWN_MS 30000
#define WORLD_NONE UINT32_MAX

struct world;
struct ours;
struct awsnode;

/** struct world_slot - what EC2 assigned: @base is an address's number, of a /28 its first. */
struct world_slot {
	uint32_t base;
	bool prefix;
};

struct world_eni {
	bool exists, attached;
	unsigned int n_slots;
	uint32_t own;           /* its own address */
	struct world_slot slots[WORLD_SLOTS];
};

struct world_node {
	uint32_t id, subnet;
	bool up;
	struct world_eni enis[WORLD_MAX_ENIS];
	unsigned int pods, waiting;
	struct ours *ours;
	struct awsnode *aws;
};

enum pod_state { POD_COMING, POD_WAITING, POD_RUNNING, POD_GONE };

/** struct world_pod - @attempt: of kubelet, so that late events of an earlier one are known as such. */
struct world_pod {
	uint32_t node, addr;
	enum pod_state state;
	unsigned int attempt;
	uint64_t create_ms, delete_ms, first_add_ms;
};

struct world_bucket {
	double tokens, size, per_s;
	uint64_t at_ms;
};

typedef void world_fn(struct world *w, uint32_t who, uint32_t what);

struct world_event {
	uint64_t at_ms, seq;
	world_fn *fn;
	uint32_t who, what;
};

struct world {
	const struct fleet_opts *opts;
	struct fleet_result *res;
	uint64_t now_ms, end_ms, measure_from_ms;
	uint64_t rng;                   /* latencies, jitter; the trace has its own */

	struct world_event *heap;
	size_t n_heap, cap_heap;
	uint64_t seq;

	struct world_bucket buckets[FLEET_ACTIONS_];
	uint32_t n_addrs;
	uint32_t *owner;                /* per address: node + 1, 0 = free; OTHERS */
	uint32_t *pod_of;               /* per address: pod + 1 */
	uint64_t *freed_ms;             /* the model's: when each address was last unassigned */
	uint32_t *near;                 /* per subnet: where EC2 looks next */
	uint32_t n_subnets;

	struct world_node *nodes;
	uint32_t n_nodes;
	struct world_pod *pods;
	uint32_t n_pods, cap_pods;
	uint32_t *waits_ms;
	uint32_t n_waits;
	double idle_sum, enis_sum, frag_sum;
	bool failed;                    /* out of memory */
};

/* --- time and chance */
void world_at(struct world *w, uint64_t at_ms, world_fn *fn, uint32_t who, uint32_t what);
uint64_t world_random(uint64_t *rng);
/** world_between() - evenly in [lo, hi]. */
uint64_t world_between(uint64_t *rng, uint64_t lo, uint64_t hi);

/* --- the account (account.c) */
int account_init(struct world *w);
/** account_call() - one request arrives. Return: false when it is throttled. */
bool account_call(struct world *w, enum fleet_action a);
/** account_latency() - how long the answer takes. */
uint64_t account_latency(struct world *w, enum fleet_action a);
/** account_add() - EC2 carries out what asks for @n slots on ENI @e. Return: 0; -ENOSPC: subnet; nothing is done. */
int account_add(struct world *w, struct world_node *n, unsigned int e, unsigned int count, bool prefix);
/** account_remove() - slot @i of ENI @e goes back to the subnet. */
void account_remove(struct world *w, struct world_node *n, unsigned int e, unsigned int i);
/** account_eni() - make ENI number @e. Return: 0, -ENOSPC. */
int account_eni(struct world *w, struct world_node *n, unsigned int e);
void account_eni_gone(struct world *w, struct world_node *n, unsigned int e);
/** account_fragmentation() - share of free addresses outside wholly free /28s. */
double account_fragmentation(const struct world *w);

/* --- pods (world.c) */
/** pod_got() - @pod has address @addr now. */
void pod_got(struct world *w, uint32_t pod, uint32_t addr);
/** pod_failed() - its ADD failed; kubelet comes again. */
void pod_failed(struct world *w, uint32_t pod);
void world_violation(struct world *w);

/* --- the trace (trace.c) */
int trace_make(struct world *w);
int trace_pod(struct world *w, uint32_t node, uint64_t create_ms, uint64_t delete_ms);

/* --- the two algorithms; node_up() and node_down() are called by the trace's events */
int ours_init(struct world *w);
void ours_up(struct world *w, uint32_t node, uint32_t unused);
void ours_add(struct world *w, uint32_t pod);
/** ours_del() - @pod was running or waiting. */
void ours_del(struct world *w, uint32_t pod);
void ours_done(struct world *w);

int aws_init(struct world *w);
void aws_up(struct world *w, uint32_t node, uint32_t unused);
void aws_add(struct world *w, uint32_t pod);
void aws_del(struct world *w, uint32_t pod);
void aws_done(struct world *w);
/** world_up(), world_down() - a node starts; ends, with its ENIs. */
void world_up(struct world *w, uint32_t node, uint32_t unused);
void world_down(struct world *w, uint32_t node, uint32_t unused);
