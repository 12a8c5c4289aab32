#pragma once

#include "tests/policy/run.h"

/**
 * DOC: random clusters
 *
 * Small ones, made of few words (labels, ports, names, neighbouring addresses), so that selectors, ranges and prefixes meet
 * often: at their edges most of all. The same seed makes the same cluster and the same questions.
 */
#define FW_PODS 24
#define FW_NODES 3
#define FW_ADDRS 96

struct fw_pod {
	char ns[16], full[48], node[24];
	struct vw_ip ip[2];             /* family 0 = has none of that family */
	struct vw_ip vip[2];            /* of its own service; family 0 = none */
	struct fx_port served[6];
	size_t n_served;
	bool host, over;
	bool gone;                      /* for now: fuzz_churn() */
};

struct fuzz_world {
	struct vw_json *objs, *away;    /* arrays of Kubernetes objects, and of pods that are gone for now; owned */
	struct fw_pod pod[FW_PODS];
	size_t n_pod;
	struct vw_ip node_ip[FW_NODES][2];
	size_t n_node;
	struct vw_ip addr[FW_ADDRS];    /* worth asking about, pods' and nodes' among them */
	size_t n_addr;
	bool strict;
};

/** fuzz_world_new() - Return: 0, -ENOMEM. */
int fuzz_world_new(uint64_t seed, struct fuzz_world *ret);
void fuzz_world_done(struct fuzz_world *w);
/** fw_load() - the cluster as it is now becomes that of @x. */
int fw_load(const struct px *x, const struct fuzz_world *w, struct vw_err *err);
/** fuzz_churn() - some pods go, come back or get other labels; all else stays. Return: 0, -ENOMEM. */
int fuzz_churn(struct fuzz_world *w, uint64_t *rng);

/**
 * struct fw_query - a question that points nowhere: it can be asked again when the cluster has become smaller. @peer_pod, @pod:
 * "ns/name", "" = the peer is no pod.
 */
struct fw_query {
	char pod[48], node[24], peer_pod[48];
	bool egress, node_local, by_service;
	struct vw_ip self, peer, vip;
	uint16_t port, vip_port;
	uint8_t proto;
	const char *names[2];
	size_t n_names;
};
/** fuzz_query() - Return: false: this cluster has nobody to ask. */
bool fuzz_query(const struct fuzz_world *w, uint64_t *rng, struct fw_query *ret);
/** fw_half() - what executors are asked; borrows from @q. */
struct px_half fw_half(const struct fw_query *q);

/** fw_random(), fw_below() - a step of a generator of 64 bits. @state: any. */
uint64_t fw_random(uint64_t *state);
unsigned int fw_below(uint64_t *state, unsigned int n);
