/*
 * The account: EC2's buckets, subnets and limits. A subnet is a row of addresses in blocks of 16; EC2 gives single
 * addresses from wherever it looked last and a /28 only where all 16 are free, so singles that come and go break
 * blocks as they do in AWS.
 */
#include "tests/bench/fleet/world.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK 16
#define OTHERS (UINT32_MAX - 1)         /* load balancers, databases: not ours */
#define OTHERS_PERMILLE 10
#define ADDRS_PER_NODE 160              /* subnets are large enough for this, on average */

/* EC2 API reference, "Request throttling": 100 at once for these; refilled by 10 a second, reads by 20. Latencies:
   what the reference measures for create and attach together is "up to 10 s". */
static const struct {
	const char *name;
	double per_s;
	uint64_t min_ms, max_ms;
} actions[] = {
	[FLEET_ASSIGN] = { "AssignPrivateIpAddresses", 10, 300, 700 },
	[FLEET_UNASSIGN] = { "UnassignPrivateIpAddresses", 10, 300, 700 },
	[FLEET_CREATE] = { "CreateNetworkInterface", 10, 500, 1500 },
	[FLEET_ATTACH] = { "AttachNetworkInterface", 10, 500, 1500 },
	[FLEET_MODIFY] = { "ModifyNetworkInterfaceAttribute", 10, 150, 400 },
	[FLEET_DETACH] = { "DetachNetworkInterface", 10, 300, 800 },
	[FLEET_DELETE] = { "DeleteNetworkInterface", 10, 300, 800 },
	[FLEET_TAG] = { "CreateTags", 10, 150, 400 },
	[FLEET_DESCRIBE_ENIS] = { "DescribeNetworkInterfaces", 20, 100, 300 },
	[FLEET_DESCRIBE_SUBNETS] = { "DescribeSubnets", 20, 100, 300 },
	[FLEET_DESCRIBE_INSTANCES] = { "DescribeInstances", 20, 100, 300 },
	[FLEET_DESCRIBE_TYPES] = { "DescribeInstanceTypes", 20, 100, 300 },
};

#define BUCKET_SIZE 100

const char *fleet_action_str(enum fleet_action a)
{
	return actions[a].name;
}

int account_init(struct world *w)
{
	uint64_t rng = w->opts->seed ^ 0x5eed5;

	w->n_subnets = (uint32_t)((uint64_t)w->n_nodes * ADDRS_PER_NODE / WORLD_SUBNET) + 1;
	w->n_addrs = w->n_subnets * WORLD_SUBNET;
	w->owner = calloc(w->n_addrs, sizeof(*w->owner));
	w->pod_of = calloc(w->n_addrs, sizeof(*w->pod_of));
	w->near = calloc(w->n_subnets, sizeof(*w->near));
	if (!w->owner || !w->pod_of || !w->near)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_addrs / 1000 * OTHERS_PERMILLE; i++)
		w->owner[world_random(&rng) % w->n_addrs] = OTHERS;
	for (enum fleet_action a = 0; a < FLEET_ACTIONS_; a++)
		w->buckets[a] = (struct world_bucket){ BUCKET_SIZE, BUCKET_SIZE, actions[a].per_s, 0 };
	return 0;
}

bool account_call(struct world *w, enum fleet_action a)
{
	struct world_bucket *b = &w->buckets[a];
	bool measured = w->now_ms >= w->measure_from_ms;

	b->tokens += (double)(w->now_ms - b->at_ms) * b->per_s / 1000;
	if (b->tokens > b->size)
		b->tokens = b->size;
	b->at_ms = w->now_ms;
	w->res->calls[a] += measured;
	if (b->tokens < 1) {
		w->res->throttled[a] += measured;
		return false;
	}
	b->tokens -= 1;
	return true;
}

uint64_t account_latency(struct world *w, enum fleet_action a)
{
	return world_between(&w->rng, actions[a].min_ms, actions[a].max_ms);
}

static bool block_free(const struct world *w, uint32_t base)
{
	for (uint32_t i = base; i < base + BLOCK; i++)
		if (w->owner[i])
			return false;
	return true;
}

static uint32_t find_block(struct world *w, uint32_t subnet)
{
	uint32_t blocks = WORLD_SUBNET / BLOCK, from = (uint32_t)(world_random(&w->rng) % blocks);

	for (uint32_t i = 0; i < blocks; i++) {
		uint32_t base = subnet * WORLD_SUBNET + (from + i) % blocks * BLOCK;

		if (block_free(w, base))
			return base;
	}
	return WORLD_NONE;
}

/* EC2 goes round its subnet: an address that was given back is not the next one given out */
static uint32_t find_single(struct world *w, uint32_t subnet)
{
	for (uint32_t i = 0; i < WORLD_SUBNET; i++) {
		uint32_t at = (w->near[subnet] + i) % WORLD_SUBNET;

		if (!w->owner[subnet * WORLD_SUBNET + at]) {
			w->near[subnet] = at + 1;
			return subnet * WORLD_SUBNET + at;
		}
	}
	return WORLD_NONE;
}

static void take(struct world *w, uint32_t node, uint32_t base, uint32_t n)
{
	for (uint32_t i = base; i < base + n; i++) {
		if (w->owner[i])
			world_violation(w);
		w->owner[i] = node + 1;
	}
}

static void give(struct world *w, uint32_t node, uint32_t base, uint32_t n)
{
	for (uint32_t i = base; i < base + n; i++) {
		/* given back while a pod has it, or not ours to give */
		if (w->owner[i] != node + 1 || w->pod_of[i])
			world_violation(w);
		w->owner[i] = 0;
	}
}

int account_add(struct world *w, struct world_node *n, unsigned int e, unsigned int count, bool prefix)
{
	struct world_eni *eni = &n->enis[e];
	unsigned int had = eni->n_slots;

	if (!eni->exists || had + count > WORLD_SLOTS) {
		world_violation(w);
		return -ENOSPC;
	}
	for (unsigned int i = 0; i < count; i++) {
		uint32_t base = prefix ? find_block(w, n->subnet) : find_single(w, n->subnet);

		if (base == WORLD_NONE) {
			while (eni->n_slots > had)
				account_remove(w, n, e, eni->n_slots - 1);
			return -ENOSPC;
		}
		take(w, n->id, base, prefix ? BLOCK : 1);
		eni->slots[eni->n_slots++] = (struct world_slot){ base, prefix };
	}
	return 0;
}

void account_remove(struct world *w, struct world_node *n, unsigned int e, unsigned int i)
{
	struct world_eni *eni = &n->enis[e];

	give(w, n->id, eni->slots[i].base, eni->slots[i].prefix ? BLOCK : 1);
	eni->slots[i] = eni->slots[--eni->n_slots];
}

int account_eni(struct world *w, struct world_node *n, unsigned int e)
{
	uint32_t own = find_single(w, n->subnet);

	if (e >= WORLD_MAX_ENIS || n->enis[e].exists) {
		world_violation(w);
		return -ENOSPC;
	}
	if (own == WORLD_NONE)
		return -ENOSPC;
	take(w, n->id, own, 1);
	n->enis[e] = (struct world_eni){ .exists = true, .own = own };
	return 0;
}

void account_eni_gone(struct world *w, struct world_node *n, unsigned int e)
{
	struct world_eni *eni = &n->enis[e];

	if (!eni->exists)
		return;
	while (eni->n_slots)
		account_remove(w, n, e, eni->n_slots - 1);
	give(w, n->id, eni->own, 1);
	eni->exists = eni->attached = false;
}

double account_fragmentation(const struct world *w)
{
	uint64_t n_free = 0, whole = 0;

	for (uint32_t base = 0; base < w->n_addrs; base += BLOCK) {
		uint32_t n = 0;

		for (uint32_t i = base; i < base + BLOCK; i++)
			n += !w->owner[i];
		n_free += n;
		whole += n == BLOCK ? BLOCK : 0;
	}
	return n_free ? 1 - (double)whole / (double)n_free : 0;
}
