/*
 * PolicyEndpoint (networking.k8s.aws/v1alpha1): what EKS's controller makes of a NetworkPolicy, with
 * selectors resolved to addresses. A policy may lie in several of them (chunks); each is read alone, and
 * the compiler takes all of one policyRef together. Entries with the same ports become one rule: they say
 * the same of different addresses, often of a thousand.
 */
#include "netpolicy-bpf/user/np_read.h"

#include "lib/base/err.h"
#include "lib/k8s/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An entry of ingress or egress, before entries with the same ports are put together. */
struct entry {
	struct np_peer_rule peer;
	struct np_port_rule *port;
	unsigned int n_port;
};

static int read_port(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_port_rule *ret)
{
	int64_t first = 0, last = 0;
	int bad = np_read_proto(r, at, json, &ret->proto), port, end;

	if (bad < 0)
		return bad;
	port = np_get_int(r, at, json, "port", 1, 65535, &first);
	end = port < 0 ? port : np_get_int(r, at, json, "endPort", 1, 65535, &last);
	if (end < 0)
		return end;
	if (end && !port)
		return np_bad(r, at, "endPort", "stands without a port");
	if (end && last < first)
		return np_bad(r, at, "endPort", "%lld is below port %lld", (long long)last, (long long)first);
	ret->first = (uint16_t)first;
	ret->last = (uint16_t)(end ? last : port ? first : 65535);
	return 0;
}

static int by_port(const void *a, const void *b)
{
	const struct np_port_rule *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto - y->proto;
	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

static int read_ports(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      struct entry *e)
{
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, json, "ports", &list);

	e->port = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*e->port));
	if (bad >= 0 && !e->port)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "ports", (long)i};

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_port(r, &here, item, &e->port[e->n_port++]);
	}
	if (e->n_port > 1)
		qsort(e->port, e->n_port, sizeof(*e->port), by_port);
	return bad;
}

static int read_peer(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_peer_rule *peer)
{
	const struct vw_json *list;
	const char *text = "", *domain = "";
	int bad = np_get_text(r, at, json, "cidr", &text);

	bad = bad < 0 ? bad : np_get_text(r, at, json, "domainName", &domain);
	if (bad < 0)
		return bad;
	if (*domain && *text)
		return np_bad(r, at, "domainName", "stands beside cidr");
	if (*domain) {
		peer->type = NP_PEER_DOMAIN;
		return np_read_domain_text(r, at, "domainName", domain, &peer->domain);
	}
	if (strchr(text, '/'))
		return np_read_ipblock(r, at, json, peer);
	/* the controller writes pods without a length */
	peer->type = NP_PEER_CIDR;
	if (vw_cidr_parse(text, &peer->cidr) < 0)
		return np_bad(r, at, "cidr", "\"%.64s\" is neither an address nor a CIDR", text);
	bad = np_get_list(r, at, json, "except", &list);
	if (bad >= 0 && vw_json_len(list))
		return np_bad(r, at, "except", "stands beside a single address");
	return bad;
}

static int by_ports(const void *a, const void *b)
{
	const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;

	if (x->n_port != y->n_port)
		return x->n_port < y->n_port ? -1 : 1;
	for (unsigned int i = 0; i < x->n_port; i++) {
		int d = by_port(&x->port[i], &y->port[i]);

		if (d)
			return d;
	}
	return x->peer.at < y->peer.at ? -1 : x->peer.at > y->peer.at;
}

static bool same_ports(const struct entry *a, const struct entry *b)
{
	if (a->n_port != b->n_port)
		return false;
	for (unsigned int i = 0; i < a->n_port; i++)
		if (by_port(&a->port[i], &b->port[i]) != 0)
			return false;
	return true;
}

/* Rules of the entries, which are sorted by ports. */
static int make_rules(struct np_reader *r, struct entry *const *sorted, size_t n, enum np_dir dir,
		      struct np_policy *p)
{
	struct np_peer_rule *peer = np_mem_alloc(r->mem, n, sizeof(*peer));

	p->rule[dir] = np_mem_alloc(r->mem, n, sizeof(*p->rule[dir]));
	if (!peer || !p->rule[dir])
		return np_no_memory(r);
	for (size_t i = 0; i < n; i++) {
		struct np_policy_rule *rule;

		if (i == 0 || !same_ports(sorted[i - 1], sorted[i])) {
			rule = &p->rule[dir][p->n_rule[dir]++];
			*rule = (struct np_policy_rule){.verb = NP_ACCEPT,
							.at = sorted[i]->peer.at,
							.any_port = !sorted[i]->n_port,
							.name = p->o.name,
							.peer = &peer[i],
							.port = sorted[i]->port,
							.n_port = sorted[i]->n_port};
		}
		rule = &p->rule[dir][p->n_rule[dir] - 1];
		peer[i] = sorted[i]->peer;
		rule->n_peer++;
	}
	return 0;
}

static int read_entries(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
			enum np_dir dir, struct np_policy *p)
{
	const char *key = dir == NP_INGRESS ? "ingress" : "egress";
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, spec, key, &list);
	size_t n = vw_json_len(list);
	struct entry *entry = np_mem_alloc(r->mem, n, sizeof(*entry)),
		     **sorted = np_mem_alloc(r->mem, n, sizeof(*sorted));

	if (bad >= 0 && (!entry || !sorted))
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < n; i++) {
		const struct np_at here = {at, key, (long)i};

		sorted[i] = &entry[i];
		entry[i].peer.at = (unsigned int)i;
		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_peer(r, &here, item, &entry[i].peer);
		if (bad >= 0 && entry[i].peer.type == NP_PEER_DOMAIN && dir == NP_INGRESS)
			return np_bad(r, &here, "domainName", "only egress may have one");
		bad = bad < 0 ? bad : read_ports(r, &here, item, &entry[i]);
	}
	if (bad < 0 || !n)
		return bad;
	qsort(sorted, n, sizeof(*sorted), by_ports);
	return make_rules(r, sorted, n, dir, p);
}

static int by_member(const void *a, const void *b)
{
	const struct np_member *x = a, *y = b;
	int d = strcmp(x->name->s, y->name->s);

	return d ? d : strcmp(x->ns->s, y->ns->s);
}

static int read_members(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
			struct np_policy *p)
{
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, spec, "podSelectorEndpoints", &list);

	p->member = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*p->member));
	if (bad >= 0 && !p->member)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "podSelectorEndpoints", (long)i};
		const char *ns = "", *name = "";
		struct np_member *m = &p->member[p->n_member++];

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : np_get_text(r, &here, item, "namespace", &ns);
		bad = bad < 0 ? bad : np_get_text(r, &here, item, "name", &name);
		if (bad >= 0 && (!*ns || !*name))
			return np_bad(r, &here, NULL, "a pod without name or namespace");
		m->ns = np_keep_str(r, ns);
		m->name = np_keep_str(r, name);
		if (!m->ns || !m->name)
			return np_no_memory(r);
	}
	if (p->n_member > 1)
		qsort(p->member, p->n_member, sizeof(*p->member), by_member);
	return bad;
}

static int read_isolation(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
			  struct np_policy *p)
{
	const struct vw_json *list;
	int bad = np_get_list(r, at, spec, "podIsolation", &list);

	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "podIsolation", (long)i};
		const char *type = vw_json_string(vw_json_at(list, i));

		if (!type || (strcmp(type, "Ingress") != 0 && strcmp(type, "Egress") != 0))
			return np_bad(r, &here, NULL, "is \"%.64s\", wanted Ingress or Egress",
				      type ? type : "no text");
		p->isolates[!strcmp(type, "Egress") ? NP_EGRESS : NP_INGRESS] = true;
	}
	return bad;
}

/* NetworkPolicy and ApplicationNetworkPolicy have names of their own; the owner says of which it is made. */
static enum np_kind owner_kind(const struct vw_json *json)
{
	const struct vw_json *owners = vw_json_get(vw_json_get(json, "metadata"), "ownerReferences");

	for (size_t i = 0; i < vw_json_len(owners); i++)
		if (!strcmp(vw_k8s_text(vw_json_at(owners, i), "kind"), np_kind_name(NP_KIND_APPLICATION)))
			return NP_KIND_APPLICATION;
	return NP_KIND_NETWORKPOLICY;
}

int np_read_endpoint(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct np_at at = {NULL, "spec", -1}, ref_at = {&at, "policyRef", -1};
	const char *ref_ns = o->ns->s, *ref_name = o->name->s;
	struct np_policy *p = (struct np_policy *)o;
	const struct vw_json *spec, *ref = NULL;
	int bad = np_get_obj(r, NULL, json, "spec", &spec);

	bad = bad < 0 ? bad : np_get_obj(r, &at, spec, "policyRef", &ref);
	bad = bad < 0 ? bad : np_get_text(r, &ref_at, ref, "namespace", &ref_ns);
	bad = bad < 0 ? bad : np_get_text(r, &ref_at, ref, "name", &ref_name);
	if (bad >= 0 && strcmp(ref_ns, o->ns->s) != 0)
		bad = np_bad(r, &ref_at, "namespace",
			     "is \"%.64s\", but this stands in \"%.64s\": a policy's PolicyEndpoints are in its own namespace",
			     ref_ns, o->ns->s);
	bad = bad < 0 ? bad : read_members(r, &at, spec, p);
	bad = bad < 0 ? bad : read_isolation(r, &at, spec, p);
	bad = bad < 0 ? bad : read_entries(r, &at, spec, NP_INGRESS, p);
	bad = bad < 0 ? bad : read_entries(r, &at, spec, NP_EGRESS, p);
	if (bad < 0)
		return bad;
	/* rules isolate even where podIsolation is silent, as in aws-network-policy-agent */
	for (int d = 0; d < NP_DIRS; d++)
		p->isolates[d] = p->isolates[d] || p->n_rule[d];
	p->tier = NP_TIER_NETWORKPOLICY;
	p->ref_ns = np_keep_str(r, ref_ns);
	p->ref_name = np_keep_str(r, ref_name);
	p->ref_kind = owner_kind(json);
	p->space = np_keep_space(r, o->ns->s);
	return p->ref_ns && p->ref_name && p->space ? 0 : np_no_memory(r);
}
