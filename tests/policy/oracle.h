#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_json;

/**
 * DOC: the oracle
 *
 * What network policy means, written down once more and as plainly as possible: no classes, no tables, no merging. It reads
 * the cluster's objects (JSON) by itself and asks, for each packet, each policy in turn. It shares no code with the compiler
 * or its reader of manifests, so that a mistake would have to be made twice to go unseen.
 *
 * Sources: the types and comments of kubernetes networking/v1 and policy.networking.k8s.io v1alpha1 and v1alpha2. Where
 * these leave a choice, docs/POLICY.md says what this project chose; the choices are marked "we choose" in oracle.c.
 *
 * Kinds that it knows: Namespace, Node, Pod, Service, EndpointSlice, NetworkPolicy, ClusterNetworkPolicy (v1alpha2, and the
 * shape of networking.k8s.aws/v1alpha1), AdminNetworkPolicy, BaselineAdminNetworkPolicy, ApplicationNetworkPolicy. Others are
 * passed over.
 */
struct oracle;

enum oracle_dir { ORACLE_INGRESS, ORACLE_EGRESS };
enum oracle_tier { ORACLE_NONE, ORACLE_ADMIN, ORACLE_NP, ORACLE_BASELINE, ORACLE_DEFAULT };

/** struct oracle_conf - @strict: what no policy isolates is denied. */
struct oracle_conf {
	bool strict;
};

/**
 * oracle_new() - @objs: @n objects, borrowed during the call alone. An object that the API server would refuse fails with
 * -EINVAL and its name, the JSON path and the reason in @err. Return: 0 with *ret (oracle_free()); -EINVAL; -ENOMEM.
 */
int oracle_new(const struct vw_json *const *objs, size_t n, const struct oracle_conf *conf, struct oracle **ret,
	       struct vw_err *err);
void oracle_free(struct oracle *o);

/** oracle_pod() - index of the pod "ns/name". Return: -ENOENT when there is none. */
int oracle_pod(const struct oracle *o, const char *name);

/**
 * struct oracle_query - one end of a packet that would open a flow.
 * @pod: whose policies are asked. @peer: the other end; for egress to a service the real one, after DNAT. @proto: IPPROTO_*.
 * @port: destination's, host order, for TCP, UDP and SCTP. @node_local: ingress that the pod's own node itself sends.
 * @names: domain names by which DNS has shown @peer to the pod.
 */
struct oracle_query {
	int pod;
	enum oracle_dir dir;
	struct vw_ip peer;
	uint8_t proto;
	uint16_t port;
	bool node_local;
	const char *const *names;
	size_t n_names;
};

/**
 * struct oracle_verdict - @tier: which decided. @kind, @policy ("ns/name" or "name"), @rule: its index, -1 for the default
 * deny of an isolated pod. Borrowed from the oracle; NULL and -1 where no policy decided.
 */
struct oracle_verdict {
	bool allow;
	enum oracle_tier tier;
	const char *kind, *policy;
	int rule;
};

void oracle_judge(const struct oracle *o, const struct oracle_query *q, struct oracle_verdict *ret);

/** struct oracle_backend - a real destination behind a service's address and port. */
struct oracle_backend {
	struct vw_ip ip;
	uint16_t port;
};

/**
 * oracle_backends() - where kube-proxy may send a packet for @vip and @port. Endpoints come from the service's EndpointSlices,
 * or, when it has none, from its selector. Return: how many in @ret (at most @max); -ENOENT: not a service's address and port.
 */
int oracle_backends(const struct oracle *o, const struct vw_ip *vip, uint8_t proto, uint16_t port, struct oracle_backend *ret,
		    int max);
