#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"
#include "netpolicy-bpf/user/np_world.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: what the compiler makes of the cluster's objects, for one node
 *
 * np_compile() is pure: no I/O, no clock, no kernel. It takes the world (np_world.h: namespaces, pods,
 * nodes, services, policies) and the node's own pods (subjects), and makes an image: classes of peers,
 * classes of ports, and for each distinct effective policy one blob. An image says everything with
 * numbers of its own (class 7, blob 2); np_publish.h writes it into maps. Walking an image
 * (np_image_judge()) is what the eBPF programs do, in user space.
 */

/**
 * struct np_rule - what a rule id stands for. Id 0 is "no policy isolates the pod in this direction". Ids
 * of rules that are no more stand empty (@key 0) until they are needed, so that an id in conntrack or in
 * an event is not read as another rule's. Each direction of each distinct effective policy that isolates
 * has one more, for its default deny, with @path "" and @policy the isolating policies' names, separated
 * by commas (cut to fit). Two more belong to no policy: @kind "own-node" (egress to the pod's own node,
 * which no NetworkPolicy forbids) and @kind "strict" (the default in strict mode).
 * @kind: "NetworkPolicy", "ClusterNetworkPolicy", ...; @policy: "ns/name" or "name"; @name: the rule's
 * own name, or "".
 * @path: where it stands in the object: "spec.ingress[0]". All texts are owned by the image.
 */
struct np_rule {
	enum np_tier tier;
	enum np_dir dir;
	enum np_action action;
	const char *kind, *policy, *name, *path, *file;
	uint64_t key; /* the same for the same rule of the same policy in every image: counters follow it */
};

/**
 * struct np_peer - an address that is found by hash: a pod's, a node's, a service's, or a /32 or /128 of
 * a policy. One address has one ident, and keeps it as long as it is known: a pod's two families may be
 * in different classes (an ipBlock covers one of them), and moving an address to another ident could not
 * be done in one generation alone.
 * @who: "ns/pod", "node/NAME", "service/ns/name", "" = only a policy knows the address: for people.
 */
struct np_peer {
	struct vw_ip ip;
	uint16_t cls, flags; /* NP_IDENT_* */
	const char *who;
};

/**
 * struct np_cidr - an entry for the tries; the class of addresses whose longest match it is and that are
 * no peer's.
 */
struct np_cidr {
	struct vw_cidr cidr;
	uint16_t cls, flags;
};

/**
 * struct np_image_blob - an effective policy, with offsets from its own first line; the publisher adds
 * where it lies.
 * @line[0] is struct np_blob. Chains' line numbers (NP_VERDICT_ARG of NP_CHAIN) and dir[].row, col, mtx
 * are relative too until np_blob_relocate().
 * @hash: of the content. @meaning: of the effective policy independent of numbers: equal in two images =
 * same action for every (peer, port) there, whatever rule says so; a pod whose @meaning changes gets a
 * new revision.
 * @fqdn: patterns (lower case, "*.example.com" or "example.com"), bit n of np_fqdn.names = fqdn[n].
 * @fqdn_key: of the list; line[0]'s fqdn_set is made of it, never 0 when there are patterns, and differs
 * where the lists of an image differ.
 */
struct np_image_blob {
	struct np_line *line;
	uint32_t n_lines;
	uint64_t hash, meaning, fqdn_key;
	const char **fqdn;
	unsigned int n_fqdn;
};

/** struct np_subject - a pod of this node and the blob that it gets. */
struct np_subject {
	unsigned int slot;
	unsigned int blob;
};

struct np_image {
	struct np_peer *peer;
	size_t n_peer;
	struct np_cidr *cidr; /* 0.0.0.0/0 and ::/0 always among them */
	size_t n_cidr;
	uint16_t (*port)[65536]; /* [NP_PORT_PROTOS] */
	unsigned int n_class, n_port_class;
	struct np_image_blob *blob;
	unsigned int n_blob;
	struct np_subject *subject;
	size_t n_subject;
	struct np_rule *rule; /* by rule id */
	unsigned int n_rule;
	/* ... private members of the compiler behind a pointer */
	void *priv;
};

/**
 * struct np_local - a pod of this node, from its ADD. The Pod object of the same namespace and name gives
 * labels and named ports; when the ADD brought no name, the Pod object that has one of the addresses
 * does, and gives namespace and name too. A pod without a Pod object has no labels and is in namespace
 * @ns. The ADD decides whose the addresses are, also as a peer.
 */
struct np_local {
	unsigned int slot;
	const char *ns, *name; /* "" outside Kubernetes: never selected by a policy */
	struct vw_ip ip4, ip6; /* family 0 = none */
};

/**
 * struct np_compile_conf - @node_name: this node's. @node_ip: its addresses, all links. @strict: what no
 * policy isolates is denied (aws-node's NETWORK_POLICY_ENFORCING_MODE=strict), else allowed.
 * @service_cidr: addresses in them are services' even if no Service object is known.
 */
struct np_compile_conf {
	const char *node_name;
	const struct vw_ip *node_ip;
	size_t n_node_ip;
	const struct vw_cidr *service_cidr;
	size_t n_service_cidr;
	const struct vw_ip
		*resolver; /* whose DNS answers are believed, besides the Service kube-system/kube-dns */
	size_t n_resolver;
	bool strict;
};

/**
 * np_compile() - Return: 0 with *ret (np_image_free()); -E2BIG: too many classes, rules, prefixes or
 * names (the message says which, how many there are and how many may be); -ENOMEM. @prev: the image in
 * force or NULL: numbers of classes, port classes and rules are kept where they can be, so that little
 * has to be written. An image keeps pointers into @w for np_image_add_subject() and np_image_add_peer(),
 * which check that they are still good; everything else works without @w.
 */
int np_compile(const struct np_world *w, const struct np_compile_conf *conf, const struct np_local *local,
	       size_t n_local, const struct np_image *prev, struct np_image **ret, struct vw_err *err);
struct np_image *np_image_free(struct np_image *img);

/**
 * np_image_add_subject() - a new local pod, or one whose labels have changed, without compiling again;
 * img->subject has it from then on (the slot's old entry is replaced).
 * Return: 0 with its blob in @ret_blob (its index in img->blob, maybe appended: more than before = write
 * it); -EAGAIN: its policies need classes that the image has not, or policies, namespaces, nodes or
 * services changed since: compile again.
 */
int np_image_add_subject(struct np_image *img, const struct np_world *w, const struct np_local *pod,
			 unsigned int *ret_blob, struct vw_err *err);
/** np_image_drop_subject() - the slot is empty. What was its peer entry goes with np_image_add_peer(). */
void np_image_drop_subject(struct np_image *img, unsigned int slot);

/**
 * struct np_peer_change - @gone: the address is to be forgotten (its class is its prefix's); else it is a
 * peer as said.
 */
struct np_peer_change {
	struct np_peer peer;
	bool gone;
};
#define NP_PEER_CHANGES 4 /* two families, each an old and a new address */

/**
 * np_image_add_peer() - a pod has come, changed or gone in the world, without compiling again. Local pods
 * (np_compile(),
 * np_image_add_subject()) are peers too, with their ADD's addresses.
 * @ret: the addresses that are to be written; img->peer is changed already. Nothing to write: *ret_n = 0.
 * Return: 0; -EAGAIN: it is a class of its own, or see np_image_add_subject(): compile again, nothing is
 * changed.
 */
int np_image_add_peer(struct np_image *img, const struct np_world *w, const char *ns, const char *name,
		      struct np_peer_change ret[NP_PEER_CHANGES], size_t *ret_n, struct vw_err *err);

/**
 * np_image_find_peer() - the entry of an address, NULL when none is known: then the longest prefix of
 * img->cidr decides.
 */
const struct np_peer *np_image_find_peer(const struct np_image *img, const struct vw_ip *ip);
/**
 * np_image_find_cidr() - the longest entry that covers all of @cidr (a host: its /32 or /128): never
 * NULL. What an address or prefix that is new to the maps has to say for the generation in which it was
 * not known.
 */
const struct np_cidr *np_image_find_cidr(const struct np_image *img, const struct vw_cidr *cidr);

/** np_blob_relocate() - copy a blob to @dst, as if its first line were line @at of the arena. */
void np_blob_relocate(const struct np_image_blob *b, uint32_t at, struct np_line *dst);

/**
 * struct np_query - a packet that would open a flow. @proto: IPPROTO_*; @port: destination's, host order,
 * for TCP, UDP, SCTP.
 * @peer: the other end. @names: bits of blob's fqdn that @peer is known by. @node_local: sent by this
 * node itself (ingress).
 */
struct np_query {
	unsigned int blob;
	enum np_dir dir;
	struct vw_ip peer;
	uint8_t proto;
	uint16_t port;
	uint64_t names;
	bool node_local;
};
/**
 * np_image_judge() - what the eBPF programs would say. Return: the verdict (never NP_CHAIN). @ret_cls,
 * @ret_port_cls: may be NULL. A service's address is judged as any other address: whoever wants the
 * verdict behind DNAT asks for the pod.
 */
uint32_t np_image_judge(const struct np_image *img, const struct np_query *q, uint16_t *ret_cls,
			uint16_t *ret_port_cls);
