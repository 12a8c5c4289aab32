#pragma once

#include "tests/policy/oracle.h"

/**
 * DOC: the objects as the oracle keeps them
 * All memory hangs off struct oracle and goes with it. Texts are interned: equal texts are one pointer, so a label is compared
 * by comparing pointers.
 */

struct o_label {
	const char *key, *value;
};

struct o_labels {
	struct o_label *v;
	size_t n;
};

enum o_op { O_IN, O_NOT_IN, O_EXISTS, O_NOT_EXISTS };

struct o_req {
	const char *key;
	enum o_op op;
	const char **value;
	size_t n_value;
};

/** struct o_selector - all requirements must hold; none = matches everything. @given: it was there at all. */
struct o_selector {
	bool given;
	struct o_req *req;
	size_t n_req;
};

struct o_ns {
	const char *name;
	struct o_labels labels;
};

struct o_pod_port {
	const char *name;
	uint8_t proto;
	uint16_t port;
};

#define O_IPS 8
struct o_pod {
	const char *ns, *name, *node;
	struct o_labels labels;
	struct vw_ip ip[O_IPS];
	size_t n_ip;
	struct o_pod_port *port;
	size_t n_port;
	bool host_network;
	bool over;                      /* Succeeded or Failed */
};

struct o_node {
	const char *name;
	struct o_labels labels;
	struct vw_ip ip[O_IPS];
	size_t n_ip;
};

struct o_svc_port {
	const char *name;
	uint8_t proto;
	uint16_t port, target;
	const char *target_name;        /* NULL: @target counts */
};

struct o_svc {
	const char *ns, *name;
	struct vw_ip ip[O_IPS];
	size_t n_ip;
	struct o_svc_port *port;
	size_t n_port;
	struct o_labels selector;
};

struct o_slice {
	const char *ns, *svc;
	struct o_svc_port *port;        /* name, proto, port */
	size_t n_port;
	struct vw_ip *ip;
	size_t n_ip;
};

enum o_port_kind { O_PORT_RANGE, O_PORT_NAMED };

/** struct o_port - @proto: IPPROTO_*, 0 = the named port's own. A range of 0..65535 is "all ports of the protocol". */
struct o_port {
	enum o_port_kind kind;
	uint8_t proto;
	uint16_t lo, hi;
	const char *name;
};

enum o_peer_kind { O_PEER_PODS, O_PEER_IPBLOCK, O_PEER_NODES, O_PEER_NETWORKS, O_PEER_DOMAINS, O_PEER_UNKNOWN };

/**
 * struct o_peer - @own_ns: pods of the policy's namespace alone; else of namespaces that match @ns. @cidr: the block (one) or
 * the networks; @except: cut out of the block. @domain: lower case, without the last dot.
 */
struct o_peer {
	enum o_peer_kind kind;
	bool own_ns;
	struct o_selector ns, pod;
	struct vw_cidr *cidr, *except;
	size_t n_cidr, n_except;
	const char **domain;
	size_t n_domain;
};

enum o_action { O_ALLOW, O_DENY, O_PASS };

/** struct o_rule - @n_peer == 0: everyone. @n_port == 0: everything. @closed: has a peer that nobody knows. */
struct o_rule {
	enum o_action action;
	struct o_peer *peer;
	size_t n_peer;
	struct o_port *port;
	size_t n_port;
	bool closed;
};

/** struct o_member - a pod that a PolicyEndpoint lists. */
struct o_member {
	const char *ns, *name;
};

/** struct o_policy - @of_*: PolicyEndpoint: the policy that it is a part of; its subjects are @member of all parts. */
struct o_policy {
	const char *kind, *ns, *name, *full;
	enum oracle_tier tier;
	long priority;
	struct o_selector subject_ns, subject_pod;
	const char *of_kind, *of_ns, *of_name;
	struct o_member *member;
	size_t n_member;
	bool isolates[2];               /* NetworkPolicy: is in policyTypes. By enum oracle_dir */
	struct o_rule *rule[2];
	size_t n_rule[2];
};

struct o_chunk;

struct oracle {
	struct oracle_conf conf;
	struct o_ns *ns;
	struct o_pod *pod;
	struct o_node *node;
	struct o_svc *svc;
	struct o_slice *slice;
	struct o_policy *policy;        /* in order of tier, priority, name */
	size_t n_ns, n_pod, n_node, n_svc, n_slice, n_policy;
	struct o_chunk *chunks;
	const char **interned;          /* open addressing, a power of two */
	size_t n_interned, cap_interned;
};

/** o_alloc() - zeroed; goes with the oracle. NULL on ENOMEM. */
void *o_alloc(struct oracle *o, size_t n, size_t size);
/** o_intern() - the one copy of a text. NULL on ENOMEM. */
const char *o_intern(struct oracle *o, const char *text);

/** o_read_rules() - the rules of a policy of any kind: oracle_rules.c. */
struct o_reader {
	struct oracle *o;
	struct vw_err *err;
	const char *what;               /* "NetworkPolicy x/name" */
	char path[256];                 /* where the reader stands */
};
int o_fail(struct o_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** o_enter() - go down to ".key" or "[i]". Return: what to hand to o_leave(). */
size_t o_enter(struct o_reader *r, const char *key, long index);
void o_leave(struct o_reader *r, size_t mark);
int o_read_selector(struct o_reader *r, const struct vw_json *parent, const char *key, struct o_selector *ret);
int o_read_labels(struct o_reader *r, const struct vw_json *obj, struct o_labels *ret);
int o_read_policy(struct o_reader *r, const struct vw_json *obj, const char *kind, const char *api, struct o_policy *ret);
int o_read_proto(struct o_reader *r, const char *text, uint8_t *ret);
