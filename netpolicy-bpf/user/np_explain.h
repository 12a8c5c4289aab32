#pragma once

#include "netpolicy-bpf/user/np_image.h"

/**
 * DOC: why a verdict is what it is
 *
 * np_explain() judges one packet twice: by the objects, the plain way (every policy, rule and peer looked
 * at, nothing of the compiler's but how a selector is read), and by the image, as the eBPF programs do;
 * and says whether the two agree. They must.
 */

/**
 * struct np_explain_query - as struct np_query, for a pod of this node. @name: names that DNS gives
 * @peer, lower case.
 */
struct np_explain_query {
	unsigned int slot;
	enum np_dir dir;
	struct vw_ip peer;
	uint8_t proto;
	uint16_t port;
	const char *const *name;
	size_t n_name;
	bool node_local;
};

/** struct np_explain_policy - one that selects the pod. @counts: it has a say in this direction. */
struct np_explain_policy {
	const char *kind, *ns, *name, *file;
	enum np_tier tier;
	int priority;
	bool counts;
};

/**
 * struct np_explain_step - a rule that the packet meets, in the order of the walk; the last one decides,
 * unless nothing did.
 * @path: of the peer that matches, "spec.ingress[0].from[1]", or of the rule when all peers do.
 * @by_name: matches by the domain name @name alone.
 */
struct np_explain_step {
	const struct np_policy *policy;
	const struct np_policy_rule *rule;
	enum np_tier tier;
	enum np_verb verb;
	char path[96];
	bool by_name;
};

/**
 * struct np_explain - @action, @tier: by the objects; @tier NP_TIER_DEFAULT: nothing decided (@isolated:
 * by which policies, then NP_TIER_NETWORKPOLICY). @own_node: allowed because it goes to, or comes from,
 * the pod's own node.
 * @verdict, @rule, @cls, @port_cls, @row, @col, @blob: by the image. @agree: both say the same action.
 * @who: whose address the peer is ("ns/pod", "node/NAME", "" = nobody's); @cidr: the prefix that then
 * gives its class. Texts of policies are the world's, the others the image's.
 */
struct np_explain {
	struct np_explain_policy *policy;
	size_t n_policy;
	struct np_explain_step *step;
	size_t n_step;
	enum np_action action;
	enum np_tier tier;
	bool own_node, isolated;
	uint32_t verdict;
	const struct np_rule *rule; /* NULL: id 0 */
	uint16_t cls, port_cls, row;
	uint32_t col, blob;
	uint16_t peer_flags; /* NP_IDENT_* */
	bool agree;
	const char *who;
	struct vw_cidr cidr;
};

/**
 * np_explain() - Return: 0 with *ret (np_explain_done()); -ENOENT: no such slot in the image; -ESTALE: @w
 * has changed; -ENOMEM.
 */
int np_explain(const struct np_image *img, const struct np_world *w, const struct np_explain_query *q,
	       struct np_explain *ret, struct vw_err *err);
void np_explain_done(struct np_explain *e);

/**
 * np_domain_matches() - @name, lower case and without the last dot, is one that @pattern means ("*.a.b":
 * not "a.b").
 */
bool np_domain_matches(const char *pattern, const char *name);
