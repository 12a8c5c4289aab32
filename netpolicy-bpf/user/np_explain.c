/*
 * The plain way: for one packet, each policy that selects the pod, each rule, each peer. Nothing is
 * prepared and nothing is remembered, so this is also what the compiler is compared with.
 */
#include "netpolicy-bpf/user/np_explain.h"

#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_compile.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* Whose the peer's address is. */
struct peer {
	struct vw_ip ip;
	const struct np_shape *shape;
	const struct np_node *node;
	bool own_node;
};

/* Names of the peer, of which only those in @of still count after a Pass by name. */
struct names {
	const char *const *v;
	size_t n;
	uint64_t of;
};

struct work {
	struct np_build *b;
	const struct np_explain_query *q;
	const struct np_who *who;
	struct np_policies policies;
	struct peer peer;
	struct np_explain *e;
	size_t cap_step;
};

bool np_domain_matches(const char *pattern, const char *name)
{
	size_t n = strlen(name), m = strlen(pattern);

	if (pattern[0] != '*')
		return !strcmp(pattern, name);
	return n > m - 1 && !strcmp(name + n - (m - 1), pattern + 1);
}

/* --- the peer */

static bool is_of_node(const struct np_node *node, const struct vw_ip *ip)
{
	for (unsigned int i = 0; i < node->n_ip; i++)
		if (vw_ip_eq(&node->ip[i], ip))
			return true;
	return false;
}

/* In the order of np_compile_peers.c. Return: it is a node's. */
static bool find_node(struct work *w, const struct vw_ip *ip)
{
	const struct np_list *nodes = np_world_list(w->b->w, NP_KIND_NODE);
	const struct np_node *other = NULL;

	for (size_t i = 0; i < nodes->n; i++) {
		const struct np_node *node = (const struct np_node *)nodes->v[i];

		if (!is_of_node(node, ip))
			continue;
		if (!strcmp(node->o.name->s, w->b->node_name)) {
			w->peer.node = node;
			w->peer.own_node = true;
			return true;
		}
		other = other ? other : node;
	}
	for (size_t i = 0; i < w->b->n_node_ip; i++)
		if (vw_ip_eq(&w->b->node_ip[i], ip)) {
			w->peer.own_node = true;
			return true;
		}
	w->peer.node = other;
	return other;
}

static bool is_local(const struct np_build *b, const struct np_pod *pod)
{
	for (size_t i = 0; i < b->n_who; i++)
		if (!strcmp(b->who[i].ns, pod->o.ns->s) && !strcmp(b->who[i].pod_name, pod->o.name->s))
			return true;
	return false;
}

static int find_peer(struct work *w, const struct vw_ip *ip)
{
	const struct np_list *pods = np_world_list(w->b->w, NP_KIND_POD);
	const struct np_pod *found = NULL;

	w->peer = (struct peer){.ip = *ip};
	if (find_node(w, ip))
		return 0;
	for (size_t i = 0; i < w->b->n_who; i++) {
		struct np_who now;

		if (!vw_ip_eq(&w->b->who[i].ip4, ip) && !vw_ip_eq(&w->b->who[i].ip6, ip))
			continue;
		if (np_who_now(w->b, &w->b->who[i], &now) < 0)
			return -ENOMEM;
		w->peer.shape = now.done ? NULL : now.shape;
		np_who_done(&now);
		return 0;
	}
	for (size_t i = 0; i < pods->n; i++) {
		const struct np_pod *pod = (const struct np_pod *)pods->v[i];

		if (pod->host_network || pod->done || is_local(w->b, pod) ||
		    (!vw_ip_eq(&pod->ip4, ip) && !vw_ip_eq(&pod->ip6, ip)))
			continue;
		if (!found || pod->created > found->created)
			found = pod;
	}
	w->peer.shape = found ? found->shape : NULL;
	return 0;
}

/* --- one rule */

static bool is_in_block(const struct np_peer_rule *p, const struct vw_ip *ip)
{
	if (!vw_cidr_has(&p->cidr, ip))
		return false;
	for (unsigned int i = 0; i < p->n_except; i++)
		if (vw_cidr_has(&p->except[i], ip))
			return false;
	return true;
}

static bool is_pods(const struct work *w, const struct np_policy *policy, const struct np_peer_rule *p)
{
	const struct np_shape *s = w->peer.shape;

	if (!s || (p->own_ns ? strcmp(s->space->name->s, policy->o.ns->s) != 0
			     : !np_selects_space(&p->spaces, s->space)))
		return false;
	return np_selects(&p->pods, s->label, s->n_label);
}

/* @ret_names: those of @names that match a domain. */
static bool is_peer(const struct work *w, const struct np_policy *policy, const struct np_peer_rule *p,
		    const struct names *names, uint64_t *ret_names)
{
	*ret_names = 0;
	switch (p->type) {
	case NP_PEER_PODS:
		return is_pods(w, policy, p);
	case NP_PEER_CIDR:
		return is_in_block(p, &w->peer.ip);
	case NP_PEER_NODES:
		return w->peer.node && np_selects(&p->pods, w->peer.node->labels.v, w->peer.node->labels.n);
	case NP_PEER_DOMAIN:
		for (size_t i = 0; i < names->n; i++)
			if (names->of >> i & 1 && np_domain_matches(p->domain->s, names->v[i]))
				*ret_names |= 1ull << i;
		return *ret_names;
	}
	return false;
}

static int proto_of(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return NP_PORT_TCP;
	case IPPROTO_UDP:
		return NP_PORT_UDP;
	case IPPROTO_SCTP:
		return NP_PORT_SCTP;
	default:
		return -1;
	}
}

/* @pods: the peer matches as a pod; only then has it named ports. */
static bool is_port(const struct work *w, const struct np_policy_rule *rule, bool pods)
{
	const struct np_shape *named = w->q->dir == NP_INGRESS ? w->who->shape : pods ? w->peer.shape : NULL;
	int proto = proto_of(w->q->proto);

	if (rule->any_port)
		return true;
	for (unsigned int i = 0; proto >= 0 && i < rule->n_port; i++) {
		const struct np_port_rule *p = &rule->port[i];

		if (!p->name && p->proto == proto && w->q->port >= p->first && w->q->port <= p->last)
			return true;
		if (p->name && named && (p->proto == proto || p->proto == NP_PORT_PROTOS) && w->q->port &&
		    np_shape_port(named, p->name, (unsigned int)proto) == w->q->port)
			return true;
	}
	return false;
}

static int add_step(struct work *w, const struct np_policy *policy, const struct np_policy_rule *rule,
		    const struct np_peer_rule *p)
{
	const char *dir = w->q->dir == NP_INGRESS ? "ingress" : "egress",
		   *list = w->q->dir == NP_INGRESS ? "from" : "to";
	struct np_explain_step *s;

	if (np_grow(&w->e->step, w->e->n_step, &w->cap_step, sizeof(*w->e->step)) < 0)
		return -ENOMEM;
	s = &w->e->step[w->e->n_step++];
	*s = (struct np_explain_step){
		.policy = policy, .rule = rule, .tier = policy->tier, .verb = rule->verb};
	s->by_name = p && p->type == NP_PEER_DOMAIN;
	if (policy->o.kind == NP_KIND_ENDPOINT)
		(void)snprintf(s->path, sizeof(s->path), "spec.%s[%u]", dir, p ? p->at : rule->at);
	else if (!p)
		(void)snprintf(s->path, sizeof(s->path), "spec.%s[%u]", dir, rule->at);
	else
		(void)snprintf(s->path, sizeof(s->path), "spec.%s[%u].%s[%u]", dir, rule->at, list, p->at);
	return 0;
}

/* Return: 1 = the packet meets the rule; *ret_names: by these names alone, 0 = whatever the names. */
static int meets(struct work *w, const struct np_policy *policy, const struct np_policy_rule *rule,
		 const struct names *names, uint64_t *ret_names)
{
	const struct np_peer_rule *named = NULL;
	uint64_t of;

	*ret_names = 0;
	if (rule->any_peer)
		return is_port(w, rule, true) ? add_step(w, policy, rule, NULL) ?: 1 : 0;
	for (unsigned int i = 0; i < rule->n_peer; i++) {
		const struct np_peer_rule *p = &rule->peer[i];

		if (!is_peer(w, policy, p, names, &of) || !is_port(w, rule, p->type == NP_PEER_PODS))
			continue;
		if (p->type != NP_PEER_DOMAIN) {
			*ret_names = 0;
			return add_step(w, policy, rule, p) ?: 1;
		}
		named = named ? named : p;
		*ret_names |= of;
	}
	return named ? add_step(w, policy, rule, named) ?: 1 : 0;
}

/* --- tiers */

/* Return: 1 = decided, 0 = the tier says nothing (or Pass), -ENOMEM. @names is narrowed by a Pass by name. */
static int walk_tier(struct work *w, enum np_tier tier, struct names *names)
{
	for (unsigned int i = 0; i < w->policies.n; i++) {
		const struct np_policy *p = w->policies.v[i];

		if (p->tier != tier || (tier == NP_TIER_NETWORKPOLICY && !p->isolates[w->q->dir]))
			continue;
		for (unsigned int k = 0; k < p->n_rule[w->q->dir]; k++) {
			const struct np_policy_rule *rule = &p->rule[w->q->dir][k];
			uint64_t of;
			int r = meets(w, p, rule, names, &of);

			if (r < 0)
				return r;
			if (r == 0)
				continue;
			if (rule->verb == NP_PASS) {
				names->of = of ? of : names->of;
				return 0;
			}
			w->e->action = rule->verb == NP_ACCEPT ? NP_ALLOW : NP_DENY;
			w->e->tier = tier;
			return 1;
		}
	}
	return 0;
}

static bool is_isolated(const struct work *w)
{
	for (unsigned int i = 0; i < w->policies.n; i++)
		if (w->policies.v[i]->tier == NP_TIER_NETWORKPOLICY && w->policies.v[i]->isolates[w->q->dir])
			return true;
	return false;
}

static int walk(struct work *w)
{
	struct names names = {w->q->name, w->q->n_name, UINT64_MAX};
	struct np_explain *e = w->e;
	bool own_node = w->q->dir == NP_EGRESS && w->peer.own_node;
	int r;

	e->isolated = is_isolated(w);
	if (w->q->dir == NP_INGRESS && w->q->node_local) {
		e->own_node = true;
		e->action = NP_ALLOW;
		e->tier = NP_TIER_NETWORKPOLICY;
		return 0;
	}
	r = walk_tier(w, NP_TIER_ADMIN, &names);
	if (r)
		return r < 0 ? r : 0;
	if (!e->isolated) {
		r = walk_tier(w, NP_TIER_BASELINE, &names);
		if (r)
			return r < 0 ? r : 0;
	}
	e->tier = e->isolated ? NP_TIER_NETWORKPOLICY : NP_TIER_DEFAULT;
	e->own_node = own_node && (e->isolated || w->b->strict);
	e->action = NP_ALLOW;
	if (e->own_node)
		return 0;
	if (e->isolated) {
		r = walk_tier(w, NP_TIER_NETWORKPOLICY, &names);
		if (r)
			return r < 0 ? r : 0;
		e->action = NP_DENY;
	} else if (w->b->strict) {
		e->action = NP_DENY;
	}
	return 0;
}

/* --- the image's side */

static void ask_image(struct work *w, unsigned int blob)
{
	const struct np_image *img = w->b->img;
	const struct np_image_blob *bl = &img->blob[blob];
	const struct np_blob_dir *d = &((const struct np_blob *)bl->line)->dir[w->q->dir];
	struct np_query q = {.blob = blob,
			     .dir = w->q->dir,
			     .peer = w->q->peer,
			     .proto = w->q->proto,
			     .port = w->q->port,
			     .node_local = w->q->node_local};
	const struct np_peer *peer = np_image_find_peer(img, &q.peer);
	struct vw_cidr host = vw_cidr_host(&q.peer);
	const struct np_cidr *cidr = np_image_find_cidr(img, &host);
	struct np_explain *e = w->e;

	for (unsigned int i = 0; i < bl->n_fqdn; i++)
		for (size_t k = 0; k < w->q->n_name; k++)
			if (np_domain_matches(bl->fqdn[i], w->q->name[k]))
				q.names |= 1ull << i;
	e->verdict = np_image_judge(img, &q, &e->cls, &e->port_cls);
	e->rule = NP_VERDICT_ARG(e->verdict) ? &img->rule[NP_VERDICT_ARG(e->verdict)] : NULL;
	e->blob = blob;
	e->row = bl->line[d->row].h[e->cls];
	e->col = bl->line[d->col].h[e->port_cls];
	e->who = peer ? peer->who : "";
	e->cidr = cidr->cidr;
	e->peer_flags = peer ? peer->flags : cidr->flags;
	e->agree = NP_VERDICT_ACTION(e->verdict) == e->action;
}

static int list_policies(struct work *w)
{
	struct np_explain *e = w->e;

	e->policy = calloc(w->policies.n + 1, sizeof(*e->policy));
	if (!e->policy)
		return -ENOMEM;
	for (unsigned int i = 0; i < w->policies.n; i++) {
		const struct np_policy *p = w->policies.v[i];

		e->policy[e->n_policy++] = (struct np_explain_policy){
			.kind = np_kind_name(p->o.kind),
			.ns = p->o.ns->s,
			.name = p->o.name->s,
			.file = p->o.file,
			.tier = p->tier,
			.priority = p->priority,
			.counts = p->tier == NP_TIER_NETWORKPOLICY ? p->isolates[w->q->dir]
								   : p->n_rule[w->q->dir] > 0};
	}
	return 0;
}

void np_explain_done(struct np_explain *e)
{
	free(e->policy);
	free(e->step);
	*e = (struct np_explain){0};
}

static int explain(struct work *w, unsigned int blob)
{
	int r = np_policies_of(w->b, w->who, &w->policies);

	r = r < 0 ? r : list_policies(w);
	r = r < 0 ? r : find_peer(w, &w->q->peer);
	r = r < 0 ? r : walk(w);
	free(w->policies.v);
	if (r == 0)
		ask_image(w, blob);
	return r;
}

int np_explain(const struct np_image *img, const struct np_world *w, const struct np_explain_query *q,
	       struct np_explain *ret, struct vw_err *err)
{
	struct np_explain e = {0};
	struct work k = {.b = img->priv, .q = q, .e = &e};
	const struct np_subject *subject = NULL;
	const struct np_who *then = NULL;
	struct np_who now;
	int r;

	if (np_world_gen(w) != k.b->gen)
		return vw_err_set(err, ESTALE, 0,
				  "the policies have changed and are not compiled yet: try again");
	for (size_t i = 0; i < img->n_subject; i++)
		if (img->subject[i].slot == q->slot)
			subject = &img->subject[i];
	for (size_t i = 0; i < k.b->n_who; i++)
		if (k.b->who[i].slot == q->slot)
			then = &k.b->who[i];
	if (!subject || !then)
		return vw_err_set(err, ENOENT, 0, "no pod in slot %u", q->slot);
	if (q->n_name > 64)
		return vw_err_set(err, E2BIG, 0, "more than 64 names");
	k.b->w = w;
	k.b->err = err;
	r = np_who_now(k.b, then, &now);
	if (r < 0)
		return r;
	k.who = &now;
	r = explain(&k, subject->blob);
	np_who_done(&now);
	if (r < 0) {
		np_explain_done(&e);
		return vw_err_set(err, ENOMEM, 0, "no memory");
	}
	*ret = e;
	return 0;
}
