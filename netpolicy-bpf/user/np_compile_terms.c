/*
 * Effective policies. A rule becomes up to three kinds of terms: its peers with its numbered ports; for
 * each number that a named port has on pods somewhere, those pods with that number (egress; for ingress
 * the name is resolved on the subject itself); and its domain names, which depend on what DNS has said.
 * Terms of a rule that mean the same for every subject are made once.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_TERMS 65536 /* of one subject and direction */

void np_terms_done(struct np_terms *t)
{
	free(t->v);
	*t = (struct np_terms){0};
}

static int add_term(struct np_build *b, struct np_terms *t, const struct np_term *term)
{
	size_t cap = t->cap;

	if (t->n == MAX_TERMS)
		return vw_err_set(b->err, E2BIG, 0, "the policies of one pod have more than %u rules",
				  MAX_TERMS);
	if (np_grow(&t->v, t->n, &cap, sizeof(*t->v)) < 0)
		return np_oom(b);
	t->cap = (unsigned int)cap;
	t->v[t->n++] = *term;
	return 0;
}

/* --- named ports */

static int by_named(const void *a, const void *b)
{
	const struct np_named *x = a, *y = b;

	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	return x->proto != y->proto ? x->proto - y->proto : x->port - y->port;
}

/* All that pods have, once: only needed when some rule of egress names one. */
static int find_named(struct np_build *b)
{
	struct np_named *v;
	size_t n = 0, kept = 0;

	if (b->has_named)
		return 0;
	if (b->frozen) /* the shapes of then may be gone */
		return -EAGAIN;
	for (size_t i = 0; i < b->n_shape; i++)
		n += b->thing[i].shape->n_port;
	v = reallocarray(NULL, n + 1, sizeof(*v));
	if (!v)
		return np_oom(b);
	n = 0;
	for (size_t i = 0; i < b->n_shape; i++) {
		const struct np_shape *s = b->thing[i].shape;

		for (unsigned int k = 0; k < s->n_port; k++)
			v[n++] = (struct np_named){s->port[k].name, s->port[k].port, s->port[k].proto};
	}
	qsort(v, n, sizeof(*v), by_named);
	for (size_t i = 0; i < n; i++)
		if (!kept || by_named(&v[kept - 1], &v[i]) != 0)
			v[kept++] = v[i];
	b->named = v;
	b->n_named = kept;
	b->has_named = true;
	return 0;
}

/* A pod that comes later and has it with another number makes a new term. */
static int want_name(struct np_build *b, const struct np_str *name)
{
	for (size_t i = 0; i < b->n_wanted; i++)
		if (b->wanted[i] == name)
			return 0;
	if (np_grow(&b->wanted, b->n_wanted, &b->cap_wanted, sizeof(*b->wanted)) < 0)
		return np_oom(b);
	b->wanted[b->n_wanted++] = name;
	return 0;
}

bool np_has_new_port(const struct np_build *b, const struct np_shape *shape)
{
	for (unsigned int i = 0; b->has_named && i < shape->n_port; i++) {
		const struct np_named port = {shape->port[i].name, shape->port[i].port, shape->port[i].proto};

		for (size_t k = 0; k < b->n_wanted; k++)
			if (b->wanted[k] == port.name &&
			    !bsearch(&port, b->named, b->n_named, sizeof(port), by_named))
				return true;
	}
	return false;
}

/* Where entries of @name and @proto begin. */
static size_t first_named(const struct np_build *b, const struct np_str *name, uint8_t proto)
{
	const struct np_named key = {name, 0, proto};
	size_t lo = 0, hi = b->n_named;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (by_named(&b->named[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* --- rules to terms */

/* Ports with numbers, and those that are named on @shape (ingress). */
static int numbered_ports(struct np_build *b, const struct np_policy_rule *rule, const struct np_shape *shape,
			  uint32_t *ret)
{
	struct np_range *v;
	unsigned int n = 0;
	int r;

	if (rule->any_port) {
		*ret = NP_ANY;
		return 0;
	}
	v = reallocarray(NULL, (size_t)rule->n_port * NP_PORT_PROTOS + 1, sizeof(*v));
	if (!v)
		return np_oom(b);
	for (unsigned int i = 0; i < rule->n_port; i++) {
		const struct np_port_rule *p = &rule->port[i];

		if (!p->name) {
			v[n++] = (struct np_range){p->proto, p->first, p->last};
			continue;
		}
		for (uint8_t proto = 0; shape && proto < NP_PORT_PROTOS; proto++) {
			unsigned int port = p->proto == proto || p->proto == NP_PORT_PROTOS
						    ? np_shape_port(shape, p->name, proto)
						    : 0;

			if (port)
				v[n++] = (struct np_range){proto, (uint16_t)port, (uint16_t)port};
		}
	}
	r = np_port_atom_get(b, v, n, ret);
	free(v);
	return r;
}

static int add_named_terms(struct np_build *b, const struct np_policy *policy,
			   const struct np_policy_rule *rule, const struct np_port_rule *port,
			   struct np_term term, struct np_terms *out)
{
	int r = find_named(b);

	r = r < 0 ? r : want_name(b, port->name);
	for (uint8_t proto = 0; r == 0 && proto < NP_PORT_PROTOS; proto++) {
		if (port->proto != proto && port->proto != NP_PORT_PROTOS)
			continue;
		for (size_t i = first_named(b, port->name, proto);
		     r == 0 && i < b->n_named && b->named[i].name == port->name && b->named[i].proto == proto;
		     i++) {
			struct np_range range = {proto, b->named[i].port, b->named[i].port};

			r = np_atom_get(b, rule, policy->space, &b->named[i], &term.peer);
			r = r < 0 ? r : np_port_atom_get(b, &range, 1, &term.port);
			if (r == 0 && term.peer != NP_NONE)
				r = add_term(b, out, &term);
		}
	}
	return r;
}

static bool has_domains(const struct np_policy_rule *rule)
{
	for (unsigned int i = 0; i < rule->n_peer; i++)
		if (rule->peer[i].type == NP_PEER_DOMAIN)
			return true;
	return false;
}

static bool has_named_ports(const struct np_policy_rule *rule)
{
	for (unsigned int i = 0; i < rule->n_port; i++)
		if (rule->port[i].name)
			return true;
	return false;
}

/* @shape: of the subject, for ingress; else NULL. */
static int make_terms(struct np_build *b, const struct np_policy *policy, const struct np_policy_rule *rule,
		      uint32_t rec, enum np_dir dir, const struct np_shape *shape, struct np_terms *out)
{
	struct np_term term = {.rule = rec, .verb = (uint8_t)rule->verb, .tier = (uint8_t)policy->tier};
	int r = numbered_ports(b, rule, shape, &term.port);

	r = r < 0 ? r : np_atom_get(b, rule, policy->space, NULL, &term.peer);
	if (r < 0)
		return r;
	if (term.port != NP_NONE && term.peer != NP_NONE)
		r = add_term(b, out, &term);
	if (r == 0 && term.port != NP_NONE && has_domains(rule)) {
		struct np_term named = term;

		named.peer = NP_ANY;
		named.domains = rule;
		r = add_term(b, out, &named);
	}
	for (unsigned int i = 0; r == 0 && dir == NP_EGRESS && i < rule->n_port; i++)
		if (rule->port[i].name)
			r = add_named_terms(b, policy, rule, &rule->port[i], term, out);
	return r;
}

static int add_rule(struct np_build *b, const struct np_policy *policy, const struct np_policy_rule *rule,
		    enum np_dir dir, const struct np_shape *shape, struct np_terms *out)
{
	uint32_t rec, first;
	int r = np_rec_get(b, policy, rule, dir, &rec);

	if (r < 0)
		return r;
	if (dir == NP_INGRESS && has_named_ports(rule))
		return make_terms(b, policy, rule, rec, dir, shape, out);
	if (b->rec[rec].first == NP_NONE) {
		first = b->cached.n;
		r = make_terms(b, policy, rule, rec, dir, NULL, &b->cached);
		if (r < 0) {
			b->cached.n = first;
			return r;
		}
		b->rec[rec].first = first;
		b->rec[rec].n = b->cached.n - first;
	}
	for (uint32_t i = 0; r == 0 && i < b->rec[rec].n; i++)
		r = add_term(b, out, &b->cached.v[b->rec[rec].first + i]);
	return r;
}

/* --- tiers */

/* "ns/a,ns/b": the policies that isolate, each once (parts of one policy have one name), cut to fit. */
static void name_isolating(const struct np_policies *p, enum np_dir dir, struct vw_buf *out)
{
	const struct np_str *last = NULL;

	for (unsigned int i = 0; i < p->n && out->len < 1000; i++) {
		const struct np_policy *q = p->v[i];
		const struct np_str *name = q->ref_name ? q->ref_name : q->o.name;

		if (q->tier != NP_TIER_NETWORKPOLICY || !q->isolates[dir] || name == last)
			continue;
		vw_buf_printf(out, "%s%s/%s", out->len ? "," : "", q->ref_ns ? q->ref_ns->s : q->o.ns->s,
			      name->s);
		last = name;
	}
}

static int add_last(struct np_build *b, enum np_tier tier, enum np_verb verb, uint32_t rec,
		    struct np_terms *out)
{
	const struct np_term term = {
		.peer = NP_ANY, .port = NP_ANY, .rule = rec, .verb = (uint8_t)verb, .tier = (uint8_t)tier};

	return add_term(b, out, &term);
}

/* What a pod sends to its own node is no NetworkPolicy's business. */
static int add_own_node(struct np_build *b, enum np_tier tier, struct np_terms *out)
{
	const struct np_rule rule = {.tier = tier,
				     .dir = NP_EGRESS,
				     .action = NP_ALLOW,
				     .kind = "own-node",
				     .policy = "",
				     .path = ""};
	struct np_term term = {.port = NP_ANY, .verb = NP_ACCEPT, .tier = (uint8_t)tier};
	int r = np_atom_own_node(b, &term.peer);

	r = r < 0 ? r : np_rec_other(b, &rule, &term.rule);
	return r < 0 ? r : add_term(b, out, &term);
}

static int add_deny(struct np_build *b, const struct np_policies *p, enum np_dir dir, struct np_terms *out)
{
	vw_auto_buf struct vw_buf names = VW_BUF_INIT;
	struct np_rule rule = {.tier = NP_TIER_NETWORKPOLICY,
			       .dir = dir,
			       .action = NP_DENY,
			       .kind = "NetworkPolicy",
			       .path = ""};
	uint32_t rec;
	int r;

	name_isolating(p, dir, &names);
	if (vw_buf_err(&names))
		return np_oom(b);
	rule.policy = vw_buf_str(&names);
	r = np_rec_other(b, &rule, &rec);
	return r < 0 ? r : add_last(b, NP_TIER_NETWORKPOLICY, NP_REFUSE, rec, out);
}

static int add_strict(struct np_build *b, enum np_dir dir, struct np_terms *out)
{
	const struct np_rule rule = {.tier = NP_TIER_DEFAULT,
				     .dir = dir,
				     .action = NP_DENY,
				     .kind = "strict",
				     .policy = "",
				     .path = ""};
	uint32_t rec;
	int r = dir == NP_EGRESS ? add_own_node(b, NP_TIER_DEFAULT, out) : 0;

	r = r < 0 ? r : np_rec_other(b, &rule, &rec);
	return r < 0 ? r : add_last(b, NP_TIER_DEFAULT, NP_REFUSE, rec, out);
}

static int add_tier(struct np_build *b, const struct np_who *who, const struct np_policies *p,
		    enum np_tier tier, enum np_dir dir, struct np_terms *out)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < p->n; i++) {
		const struct np_policy *q = p->v[i];

		if (q->tier != tier || (tier == NP_TIER_NETWORKPOLICY && !q->isolates[dir]))
			continue;
		for (unsigned int k = 0; r == 0 && k < q->n_rule[dir]; k++)
			r = add_rule(b, q, &q->rule[dir][k], dir, dir == NP_INGRESS ? who->shape : NULL, out);
	}
	return r;
}

static int make_dir(struct np_build *b, const struct np_who *who, const struct np_policies *p,
		    enum np_dir dir, struct np_effective *ret)
{
	struct np_terms *out = &ret->terms[dir];
	bool isolated = false, other = false;
	int r;

	for (unsigned int i = 0; i < p->n; i++) {
		isolated = isolated || (p->v[i]->tier == NP_TIER_NETWORKPOLICY && p->v[i]->isolates[dir]);
		other = other || (p->v[i]->tier != NP_TIER_NETWORKPOLICY && p->v[i]->n_rule[dir]);
	}
	if (isolated || other || b->strict)
		ret->flags |= 1u << dir;
	r = add_tier(b, who, p, NP_TIER_ADMIN, dir, out);
	if (r == 0 && isolated) {
		r = dir == NP_EGRESS ? add_own_node(b, NP_TIER_NETWORKPOLICY, out) : 0;
		r = r < 0 ? r : add_tier(b, who, p, NP_TIER_NETWORKPOLICY, dir, out);
		return r < 0 ? r : add_deny(b, p, dir, out);
	}
	r = r < 0 ? r : add_tier(b, who, p, NP_TIER_BASELINE, dir, out);
	if (r < 0)
		return r;
	return b->strict ? add_strict(b, dir, out) : add_last(b, NP_TIER_DEFAULT, NP_ACCEPT, NP_NONE, out);
}

int np_effective_of(struct np_build *b, const struct np_who *who, const struct np_policies *p,
		    struct np_effective *ret)
{
	uint64_t h = 0;

	*ret = (struct np_effective){0};
	for (int d = 0; d < NP_DIRS; d++) {
		int r = make_dir(b, who, p, (enum np_dir)d, ret);

		if (r < 0) {
			np_terms_done(&ret->terms[0]);
			np_terms_done(&ret->terms[1]);
			return r;
		}
		for (unsigned int i = 0; i < ret->terms[d].n; i++) {
			const struct np_term *t = &ret->terms[d].v[i];

			h = np_mix(h ^ ((uint64_t)t->peer << 32 | t->port)) +
			    ((uint64_t)t->rule << 16 | t->verb);
		}
		h = np_mix(h + (uint64_t)d);
	}
	ret->hash = h ^ ret->flags;
	return 0;
}

bool np_effective_same(const struct np_effective *a, const struct np_effective *b)
{
	if (a->hash != b->hash || a->flags != b->flags)
		return false;
	for (int d = 0; d < NP_DIRS; d++) {
		if (a->terms[d].n != b->terms[d].n)
			return false;
		for (unsigned int i = 0; i < a->terms[d].n; i++) {
			const struct np_term *x = &a->terms[d].v[i], *y = &b->terms[d].v[i];

			if (x->peer != y->peer || x->port != y->port || x->rule != y->rule ||
			    x->verb != y->verb || x->tier != y->tier || x->domains != y->domains)
				return false;
		}
	}
	return true;
}
