#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"
#include "netpolicy-bpf/user/np_names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the cluster's objects, as typed structures, keyed by the file that they stand in
 *
 * np_world_take() reads a file's objects and puts them in the place of all that the file held before, or
 * changes nothing and says where and why not. What kinds there are and what is refused: docs/POLICY.md.
 * Kinds that are not ours are passed over.
 *
 * The same object may stand in several files: the one in the file whose name sorts last is in force, as
 * in other .d folders, whatever came first; the others wait and are named in np_world_notes(). Twice in
 * one file is refused.
 *
 * Objects that come again unchanged stay the same structures, and only changes that a policy can tell
 * count as changes. Everything is owned by the world and good until the next np_world_take(),
 * np_world_drop() or np_world_restore().
 */
struct np_world;

struct np_world *np_world_new(void);
struct np_world *np_world_free(struct np_world *w);

/**
 * np_world_take() - the content of @file (its name decides JSON or YAML, sorts it among the others, and
 * stands in messages).
 * Return: 0; -EBADMSG, -EINVAL, -ENOMEM with "FILE: PATH: reason" in @err, and nothing changed but
 * np_world_notes().
 */
int np_world_take(struct np_world *w, const char *file, const char *text, size_t len, struct vw_err *err);
/** np_world_drop() - @file is gone, with its objects and what was said of it. */
void np_world_drop(struct np_world *w, const char *file);

/**
 * struct np_note - something to tell about a file: for `policy status`.
 * @refused: the file as it is now is not in force (what it held before is). Else a warning: it is in
 * force, but ...
 * @path: where, as jq would name it ("items[3].spec.ingress[0].ports[1].endPort"), or "". @object:
 * "NetworkPolicy ns/name", or "".
 */
struct np_note {
	const char *file, *object, *path, *text;
	bool refused;
};
/** np_world_notes() - those of now, by file. */
const struct np_note *np_world_notes(struct np_world *w, size_t *ret_n);

/** struct np_pod_name - of a pod that changed. */
struct np_pod_name {
	const char *ns, *name;
};
/**
 * struct np_changes - since the last np_world_changes(). @rules: anything but pods: compile again. Else
 * @pod: those that came, changed or went; @many: more than NP_CHANGES_MAX did, compile again.
 */
#define NP_CHANGES_MAX 256
struct np_changes {
	bool rules, many;
	const struct np_pod_name *pod;
	size_t n_pod;
};
/**
 * np_world_changes() - and start anew. @ret_changes: good until the next call on @w. Return: something
 * changed.
 */
bool np_world_changes(struct np_world *w, struct np_changes *ret_changes);

/**
 * np_world_save() - remember all of it, to try files (np_world_take(), np_world_drop()) and go back with
 * np_world_restore(), which also frees the memory of it. One at a time. When np_world_changes() was called meanwhile,
 * everything counts as changed after np_world_restore(). Return: 0, -ENOMEM. Objects that were there are the same
 * structures again afterwards.
 */
int np_world_save(struct np_world *w);
void np_world_restore(struct np_world *w);
/** np_world_forget() - what was tried stays: frees what np_world_save() remembered. */
void np_world_forget(struct np_world *w);

/* --- objects */

enum np_kind {
	NP_KIND_POD,
	NP_KIND_NAMESPACE,
	NP_KIND_NODE,
	NP_KIND_SERVICE,
	NP_KIND_SLICE,         /* EndpointSlice */
	NP_KIND_NETWORKPOLICY, /* this and all that follow are struct np_policy */
	NP_KIND_APPLICATION,   /* ApplicationNetworkPolicy, networking.k8s.aws */
	NP_KIND_ENDPOINT,      /* PolicyEndpoint, networking.k8s.aws */
	NP_KIND_CLUSTER,       /* ClusterNetworkPolicy, policy.networking.k8s.io/v1alpha2 */
	NP_KIND_CLUSTER_AWS,   /* ClusterNetworkPolicy, networking.k8s.aws */
	NP_KIND_ADMIN,         /* AdminNetworkPolicy, v1alpha1 */
	NP_KIND_BASELINE,      /* BaselineAdminNetworkPolicy, v1alpha1 */
	NP_KINDS
};
/** np_kind_name() - "NetworkPolicy". */
const char *np_kind_name(enum np_kind kind);

/**
 * struct np_object - what all begin with. @ns: "" for what belongs to no namespace. @file, @path: where
 * it stands.
 * @serial: never given again: the same number is the same content.
 */
struct np_object {
	enum np_kind kind;
	const struct np_str *ns, *name;
	const char *file, *path;
	uint64_t serial;
	struct np_object *shadows; /* the same object in a file that sorts before: not in force */
	size_t index;              /* in np_world_list() */
	void *priv;
};

/** struct np_list - the objects of one kind that are in force, in no order. */
struct np_list {
	struct np_object **v;
	size_t n, cap;
};
const struct np_list *np_world_list(const struct np_world *w, enum np_kind kind);
/**
 * np_world_own_node() - the name of this node's Node: of the one whose providerID is that of @instance_id ("" = unknown), else
 * @host_name, whether there is a Node of that name or not. The text is the world's, or @host_name itself.
 */
const char *np_world_own_node(const struct np_world *w, const char *instance_id, const char *host_name);
/** np_world_find() - one that is in force, or NULL. @ns: "" for what belongs to no namespace. */
const struct np_object *np_world_find(const struct np_world *w, enum np_kind kind, const char *ns,
				      const char *name);
/** np_world_gen() - changes with every change but of pods, never the same again. */
uint64_t np_world_gen(const struct np_world *w);
/** np_world_names() - what objects are made of: ids and look-ups. */
const struct np_names *np_world_names(const struct np_world *w);

/**
 * struct np_pod - @ip4, @ip6: status.podIPs, family 0 = none. @done: phase Succeeded or Failed. @created:
 * seconds since the epoch.
 */
struct np_pod {
	struct np_object o;
	const struct np_shape *shape;
	const struct np_str *node;
	struct vw_ip ip4, ip6;
	int64_t created;
	bool host_network, done;
};

/** struct np_labels - sorted by key, each key once. */
struct np_labels {
	const struct np_label **v;
	unsigned int n;
};

/** struct np_ns - a Namespace; @labels with the implied one. */
struct np_ns {
	struct np_object o;
	struct np_space *space;
	struct np_labels labels;
};

/** struct np_node - @ip: status.addresses that are addresses. @provider: spec.providerID, "" = none. */
struct np_node {
	struct np_object o;
	const struct np_str *provider;
	struct np_labels labels;
	struct vw_ip *ip;
	unsigned int n_ip;
};

/**
 * struct np_service - @ip: cluster, external and load balancer addresses. @selector: of its pods; none:
 * @labels.n = 0.
 */
struct np_service {
	struct np_object o;
	struct np_labels selector;
	struct vw_ip *ip;
	unsigned int n_ip;
	bool node_ports;
};

/** struct np_slice - an EndpointSlice: addresses behind @service, a Service of the same namespace. */
struct np_slice {
	struct np_object o;
	const struct np_str *service;
	struct vw_ip *ip;
	unsigned int n_ip;
};

/* --- policies: all kinds in one form */

enum np_tier { NP_TIER_NONE, NP_TIER_ADMIN, NP_TIER_NETWORKPOLICY, NP_TIER_BASELINE, NP_TIER_DEFAULT };

/**
 * struct np_selector - all of @req; none: everything. NP_OP_IN: one of @label (all of @key);
 * NP_OP_NOT_IN: none of them.
 */
enum np_op { NP_OP_IN, NP_OP_NOT_IN, NP_OP_EXISTS, NP_OP_ABSENT };
struct np_selector {
	struct np_req {
		enum np_op op;
		const struct np_str *key;
		const struct np_label **label;
		unsigned int n_label;
	} * req;
	unsigned int n;
};

/**
 * struct np_peer_rule - one element of from or to. @at, @sub: its place: "from[at]",
 * "to[at].networks[sub]". NP_PEER_PODS: pods that @pods selects of the policy's own namespace (@own_ns)
 * or of those that @spaces selects. NP_PEER_CIDR: addresses of @cidr (host bits clear) that are in none
 * of @except (each within it, none within another). NP_PEER_NODES: addresses of nodes that @pods selects.
 * NP_PEER_DOMAIN: @domain, lower case, without the last dot.
 */
enum np_peer_type { NP_PEER_PODS, NP_PEER_CIDR, NP_PEER_NODES, NP_PEER_DOMAIN };
struct np_peer_rule {
	enum np_peer_type type;
	unsigned int at, sub;
	bool own_ns;
	struct np_selector spaces, pods;
	struct vw_cidr cidr, *except;
	unsigned int n_except;
	const struct np_str *domain;
};

/**
 * struct np_port_rule - @name: a named port, of @proto or, NP_PORT_PROTOS, of any; else @first to @last
 * of @proto.
 */
struct np_port_rule {
	const struct np_str *name;
	uint16_t first, last;
	uint8_t proto; /* enum np_port_proto */
};

/**
 * struct np_policy_rule - @at: "spec.ingress[at]". @any_peer: all, whatever is in @peer; @any_port: all
 * protocols and ports.
 * @closed: it has a peer or protocol that we do not know: NP_ACCEPT then matches nothing, the others have
 * become "deny all".
 * @name: the rule's own name, or the PolicyEndpoint's that it stands in, or "".
 */
enum np_verb { NP_ACCEPT, NP_REFUSE, NP_PASS };
struct np_policy_rule {
	enum np_verb verb;
	unsigned int at;
	bool any_peer, any_port, closed;
	const struct np_str *name;
	struct np_peer_rule *peer;
	struct np_port_rule *port;
	unsigned int n_peer, n_port;
};

/**
 * struct np_policy - @tier, @priority: in which order. NP_TIER_NETWORKPOLICY: @isolates says for which
 * directions it counts; in the other tiers a direction without rules is left alone. Whom it is for: pods
 * that @pods selects, of namespace @space, or, NULL, of those that @spaces selects. A PolicyEndpoint: the
 * pods in
 * @member (by np_member order), and it is part of the policy @ref_ns/@ref_name: all parts together are
 * one policy.
 */
struct np_policy {
	struct np_object o;
	enum np_tier tier;
	int priority;
	bool isolates[NP_DIRS];
	struct np_space *space;
	struct np_selector spaces, pods;
	struct np_member {
		const struct np_str *ns, *name;
	} * member;
	unsigned int n_member;
	const struct np_str *ref_ns, *ref_name;
	enum np_kind ref_kind;
	struct np_policy_rule *rule[NP_DIRS];
	unsigned int n_rule[NP_DIRS];
};

/* --- who is selected */

/** np_selects() - @label: any order, each key once. */
bool np_selects(const struct np_selector *s, const struct np_label *const *label, unsigned int n_label);
/** np_selects_space() - by the namespace's labels, of which one is always there. */
bool np_selects_space(const struct np_selector *s, const struct np_space *space);
/** np_policy_selects() - a pod of @shape; @name: of the pod, for PolicyEndpoints; NULL: it has none. */
bool np_policy_selects(const struct np_policy *p, const struct np_shape *shape, const struct np_str *name);
/**
 * np_shape_port() - what a named port means on a pod. @proto: enum np_port_proto. Return: 1 to 65535, 0 =
 * it has none.
 */
unsigned int np_shape_port(const struct np_shape *shape, const struct np_str *name, unsigned int proto);
