/*
 * The cluster-wide kinds. They say the same in four dialects; what differs is in a table. Limits are
 * those of the CRDs (network-policy-api apis/v1alpha1, v1alpha2; amazon-network-policy-controller-k8s
 * api/v1alpha1).
 *
 * A peer or protocol that is empty or unknown fails closed, as the API demands: the rule, when it
 * accepts, matches nothing, and else it becomes "deny all". Two that are known at once are what the API
 * server would not have taken, and refused.
 */
#include "netpolicy-bpf/user/np_read.h"

#include "lib/base/err.h"

#include <errno.h>
#include <string.h>

/* @accept: how NP_ACCEPT is called. @ports: the member with ports. @domain_pass: domain names with Pass. */
static const struct dialect {
	const char *accept, *ports;
	unsigned int max_rules, max_peers;
	bool tiers, priority, pass, nodes, domain_pass;
} dialects[NP_KINDS] = {
	[NP_KIND_CLUSTER] = {"Accept", "protocols", 25, 25, true, true, true, true, false},
	[NP_KIND_CLUSTER_AWS] = {"Accept", "ports", 100, 100, true, true, true, false, true},
	[NP_KIND_ADMIN] = {"Allow", "ports", 100, 100, false, true, true, true, false},
	[NP_KIND_BASELINE] = {"Allow", "ports", 100, 100, false, false, false, true, false},
};
#define MAX_NETWORKS 25

/* The one member of a union. Return: its index in @keys; -EINVAL: there are several; -ENOENT: none that
 * we know. */
static int which(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		 const char *const *keys)
{
	const struct vw_json *value;
	const char *key, *first = NULL;
	int found = -ENOENT;
	void *iter = NULL;

	while ((key = vw_json_each(json, &iter, &value))) {
		if (vw_json_is_null(value))
			continue;
		if (first)
			return np_bad(r, at, NULL, "%.40s stands beside %.40s: only one may", key, first);
		first = key;
		for (int i = 0; keys[i]; i++)
			if (!strcmp(keys[i], key))
				found = i;
	}
	return found;
}

/* --- subject and peers */

/* {namespaceSelector, podSelector} */
static int read_pods(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_selector *spaces, struct np_selector *pods)
{
	static const char *const known[] = {"namespaceSelector", "podSelector", NULL};
	const struct np_at spaces_at = {at, "namespaceSelector", -1}, pods_at = {at, "podSelector", -1};
	const struct vw_json *spaces_json, *pods_json;
	int bad = np_only(r, at, json, known);

	bad = bad < 0 ? bad : np_get_obj(r, at, json, "namespaceSelector", &spaces_json);
	bad = bad < 0 ? bad : np_get_obj(r, at, json, "podSelector", &pods_json);
	if (bad >= 0 && !pods_json)
		return np_bad(r, at, "podSelector", "is missing");
	if (bad >= 0 && spaces_json)
		bad = np_read_selector(r, &spaces_at, spaces_json, spaces);
	return bad < 0 ? bad : np_read_selector(r, &pods_at, pods_json, pods);
}

static int read_subject(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
			struct np_policy *p)
{
	static const char *const known[] = {"namespaces", "pods", NULL};
	const struct np_at here = {at, "subject", -1}, spaces_at = {&here, "namespaces", -1},
			   pods_at = {&here, "pods", -1};
	const struct vw_json *json, *value;
	int one, bad = np_get_obj(r, at, spec, "subject", &json);

	if (bad < 0)
		return bad;
	one = which(r, &here, json, known);
	if (one == -ENOENT)
		return np_bad(r, &here, NULL, "wanted namespaces or pods");
	if (one < 0)
		return one;
	bad = np_get_obj(r, &here, json, known[one], &value);
	if (bad < 0)
		return bad;
	return one == 0 ? np_read_selector(r, &spaces_at, value, &p->spaces)
			: read_pods(r, &pods_at, value, &p->spaces, &p->pods);
}

static int check_list(struct np_reader *r, const struct np_at *at, const char *key,
		      const struct vw_json *list, size_t max)
{
	if (!vw_json_len(list))
		return np_bad(r, at, key, "is missing or empty");
	if (vw_json_len(list) > max)
		return np_bad(r, at, key, "has %zu entries, at most %zu may be", vw_json_len(list), max);
	return 0;
}

/* networks, domainNames: a peer for each text */
static int read_texts(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      const char *key, unsigned int place, struct np_policy_rule *rule)
{
	const struct vw_json *list;
	int bad = np_get_list(r, at, json, key, &list);

	bad = bad < 0 ? bad : check_list(r, at, key, list, MAX_NETWORKS);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};
		struct np_peer_rule *p = &rule->peer[rule->n_peer++];
		const char *text = vw_json_string(vw_json_at(list, i));

		p->at = place;
		p->sub = (unsigned int)i;
		if (!strcmp(key, "domainNames")) {
			p->type = NP_PEER_DOMAIN;
			bad = np_read_domain(r, &here, list, i, &p->domain);
		} else {
			p->type = NP_PEER_CIDR;
			bad = np_read_cidr(r, &here, NULL, text ? text : "", &p->cidr);
		}
	}
	return bad;
}

static int check_domains(struct np_reader *r, const struct np_at *at, const struct dialect *d,
			 const struct np_policy_rule *rule)
{
	if (rule->verb == NP_ACCEPT || (rule->verb == NP_PASS && d->domain_pass))
		return 0;
	return np_bad(r, at, "domainNames", "only a rule that says %s%s may have them", d->accept,
		      d->domain_pass ? " or Pass" : "");
}

/* Return: 1 = read, 0 = unknown (fails closed), -errno. */
static int read_peer(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     const struct dialect *d, enum np_dir dir, unsigned int place,
		     struct np_policy_rule *rule)
{
	static const char *const known[] = {"namespaces", "pods", "networks", "domainNames", "nodes", NULL};
	const struct np_at spaces_at = {at, "namespaces", -1}, pods_at = {at, "pods", -1},
			   nodes_at = {at, "nodes", -1};
	int one = which(r, at, json, known), bad;
	const struct vw_json *value;
	struct np_peer_rule *p;

	if (one == -ENOENT || (one > 1 && dir == NP_INGRESS) || (one == 4 && !d->nodes))
		return 0;
	if (one < 0)
		return one;
	if (one == 2 || one == 3) {
		bad = one == 3 ? check_domains(r, at, d, rule) : 0;
		bad = bad < 0 ? bad : read_texts(r, at, json, known[one], place, rule);
		return bad < 0 ? bad : 1;
	}
	bad = np_get_obj(r, at, json, known[one], &value);
	if (bad < 0)
		return bad;
	p = &rule->peer[rule->n_peer++];
	*p = (struct np_peer_rule){.type = one == 4 ? NP_PEER_NODES : NP_PEER_PODS, .at = place};
	if (one == 0)
		bad = np_read_selector(r, &spaces_at, value, &p->spaces);
	else if (one == 1)
		bad = read_pods(r, &pods_at, value, &p->spaces, &p->pods);
	else
		bad = np_read_selector(r, &nodes_at, value, &p->pods);
	return bad < 0 ? bad : 1;
}

/* --- ports */

/* {number} or {range: {start, end}} */
static int read_port_v2(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			struct np_port_rule *ret)
{
	static const char *const known[] = {"number", "range", NULL}, *const ends[] = {"start", "end", NULL};
	const struct np_at range_at = {at, "range", -1};
	int one = which(r, at, json, known), bad;
	int64_t first = 0, last = 0;
	const struct vw_json *range;

	if (one < 0)
		return one;
	if (one == 0) {
		bad = np_get_int(r, at, json, "number", 1, 65535, &first);
		last = first;
	} else {
		bad = np_get_obj(r, at, json, "range", &range);
		bad = bad < 0 ? bad : np_only(r, &range_at, range, ends);
		bad = bad < 0 ? bad : np_get_int(r, &range_at, range, "start", 1, 65535, &first);
		bad = bad < 0 ? bad : np_get_int(r, &range_at, range, "end", 1, 65535, &last);
		if (bad >= 0 && (!first || first >= last))
			return np_bad(r, &range_at, NULL, "start must be below end");
	}
	ret->first = (uint16_t)first;
	ret->last = (uint16_t)last;
	return bad < 0 ? bad : 0;
}

static int read_name(struct np_reader *r, const struct np_at *at, const struct vw_json *json, const char *key,
		     struct np_port_rule *ret)
{
	const char *name = "";
	int bad = np_get_text(r, at, json, key, &name);

	bad = bad < 0 ? bad : np_check_port_name(r, at, key, name);
	if (bad < 0)
		return bad;
	ret->name = np_keep_str(r, name);
	ret->proto = NP_PORT_PROTOS;
	return ret->name ? 0 : np_no_memory(r);
}

/* v1alpha2: {tcp: {destinationPort}}, ..., {destinationNamedPort}. Return: 1, 0 = unknown, -errno. */
static int read_protocol(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			 struct np_port_rule *ret)
{
	static const char *const known[] = {[NP_PORT_TCP] = "tcp",
					    [NP_PORT_UDP] = "udp",
					    [NP_PORT_SCTP] = "sctp",
					    [NP_PORT_PROTOS] = "destinationNamedPort",
					    NULL};
	static const char *const in_proto[] = {"destinationPort", NULL};
	int one = which(r, at, json, known), bad;
	const struct vw_json *proto, *port;

	if (one == -ENOENT)
		return 0;
	if (one < 0)
		return one;
	if (one == NP_PORT_PROTOS) {
		bad = read_name(r, at, json, known[one], ret);
	} else {
		const struct np_at here = {at, known[one], -1}, port_at = {&here, "destinationPort", -1};

		ret->proto = (uint8_t)one;
		bad = np_get_obj(r, at, json, known[one], &proto);
		one = bad < 0 ? bad
			      : which(r, &here, proto, in_proto); /* a match by something else: unknown */
		if (one < 0)
			return one == -ENOENT ? 0 : one;
		bad = np_get_obj(r, &here, proto, "destinationPort", &port);
		bad = bad < 0 ? bad : read_port_v2(r, &port_at, port, ret);
	}
	return bad == -ENOENT ? 0 : bad < 0 ? bad : 1;
}

/* v1alpha1: {portNumber: {protocol, port}}, {portRange: {protocol, start, end}}, {namedPort}. Return: 1,
 * 0 = unknown, -errno. */
static int read_port_v1(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			struct np_port_rule *ret)
{
	static const char *const known[] = {"portNumber", "portRange", "namedPort", NULL};
	static const char *const in_number[] = {"protocol", "port", NULL}, *const in_range[] = {"protocol",
												"start",
												"end", NULL};
	int one = which(r, at, json, known), bad;
	const struct vw_json *value;
	int64_t first = 0, last = 0;

	if (one == -ENOENT)
		return 0;
	if (one < 0)
		return one;
	if (one == 2) {
		bad = read_name(r, at, json, known[one], ret);
	} else {
		const struct np_at here = {at, known[one], -1};

		bad = np_get_obj(r, at, json, known[one], &value);
		bad = bad < 0 ? bad : np_only(r, &here, value, one == 0 ? in_number : in_range);
		bad = bad < 0 ? bad : np_read_proto(r, &here, value, &ret->proto);
		bad = bad < 0 ? bad
			      : np_get_int(r, &here, value, one == 0 ? "port" : "start", 1, 65535, &first);
		last = first;
		if (bad >= 0 && one == 1)
			bad = np_get_int(r, &here, value, "end", 1, 65535, &last);
		if (bad >= 0 && (!first || (one == 1 && first >= last)))
			return np_bad(r, &here, NULL, one == 0 ? "wanted a port" : "start must be below end");
		ret->first = (uint16_t)first;
		ret->last = (uint16_t)last;
	}
	return bad < 0 ? bad : 1;
}

/* --- rules */

static int read_action(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		       const struct dialect *d, enum np_verb *ret)
{
	const char *action = "";
	int bad = np_get_text(r, at, json, "action", &action);

	if (bad < 0)
		return bad;
	if (!strcmp(action, d->accept))
		*ret = NP_ACCEPT;
	else if (!strcmp(action, "Deny"))
		*ret = NP_REFUSE;
	else if (!strcmp(action, "Pass") && d->pass)
		*ret = NP_PASS;
	else
		return np_bad(r, at, "action", "is \"%.64s\", wanted %s%s", action, d->accept,
			      d->pass ? ", Deny or Pass" : " or Deny");
	return 0;
}

static int read_peers(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      const struct dialect *d, enum np_dir dir, struct np_policy_rule *rule)
{
	const char *key = dir == NP_INGRESS ? "from" : "to";
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, json, key, &list);

	bad = bad < 0 ? bad : check_list(r, at, key, list, d->max_peers);
	if (bad < 0)
		return bad;
	rule->peer = np_mem_alloc(r->mem, vw_json_len(list) * MAX_NETWORKS, sizeof(*rule->peer));
	if (!rule->peer)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};

		bad = np_item(r, &here, list, i, &item);
		if (bad < 0)
			return bad;
		bad = read_peer(r, &here, item, d, dir, (unsigned int)i, rule);
		if (bad == 0) {
			rule->closed = true;
			np_warn(r, &here, NULL, "a kind of peer that is not known here: the rule %s",
				rule->verb == NP_ACCEPT ? "matches nothing" : "has become \"deny all\"");
		}
	}
	return bad;
}

static int read_ports(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      const struct dialect *d, struct np_policy_rule *rule)
{
	bool v2 = !strcmp(d->ports, "protocols");
	const struct vw_json *list, *item;
	int found = np_get_list(r, at, json, d->ports, &list), bad;

	rule->any_port = found == 0;
	if (found <= 0)
		return found;
	bad = check_list(r, at, d->ports, list, d->max_peers);
	rule->port = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*rule->port));
	if (bad >= 0 && !rule->port)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, d->ports, (long)i};

		bad = np_item(r, &here, list, i, &item);
		if (bad < 0)
			return bad;
		bad = v2 ? read_protocol(r, &here, item, &rule->port[rule->n_port])
			 : read_port_v1(r, &here, item, &rule->port[rule->n_port]);
		if (bad > 0)
			rule->n_port++;
		if (bad == 0) {
			rule->closed = true;
			np_warn(r, &here, NULL, "a match that is not known here: the rule %s",
				rule->verb == NP_ACCEPT ? "matches nothing" : "has become \"deny all\"");
		}
	}
	return bad;
}

static int check_named_ports(struct np_reader *r, const struct np_at *at, const struct dialect *d,
			     const struct np_policy_rule *rule)
{
	bool named = false;

	for (unsigned int i = 0; i < rule->n_port; i++)
		named = named || rule->port[i].name;
	for (unsigned int i = 0; named && i < rule->n_peer; i++)
		if (rule->peer[i].type != NP_PEER_PODS)
			return np_bad(
				r, at, d->ports,
				"a named port stands beside networks, nodes or domainNames, which have none");
	return 0;
}

static int read_rule(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     const struct dialect *d, enum np_dir dir, struct np_policy_rule *rule)
{
	const char *const known[] = {"name", "action", dir == NP_INGRESS ? "from" : "to", d->ports, NULL};
	const char *name = "";
	int bad = np_only(r, at, json, known);

	bad = bad < 0 ? bad : np_get_text(r, at, json, "name", &name);
	if (bad >= 0 && strlen(name) > 100)
		return np_bad(r, at, "name", "is longer than 100 characters");
	rule->name = np_keep_str(r, name);
	if (bad >= 0 && !rule->name)
		return np_no_memory(r);
	bad = bad < 0 ? bad : read_action(r, at, json, d, &rule->verb);
	bad = bad < 0 ? bad : read_peers(r, at, json, d, dir, rule);
	bad = bad < 0 ? bad : read_ports(r, at, json, d, rule);
	bad = bad < 0 ? bad : check_named_ports(r, at, d, rule);
	if (bad < 0 || !rule->closed)
		return bad;
	rule->n_peer = rule->n_port = 0;
	rule->any_peer = rule->any_port = rule->verb != NP_ACCEPT;
	rule->verb = rule->verb == NP_ACCEPT ? NP_ACCEPT : NP_REFUSE;
	return 0;
}

static int read_rules(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
		      const struct dialect *d, enum np_dir dir, struct np_policy *p)
{
	const char *key = dir == NP_INGRESS ? "ingress" : "egress";
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, spec, key, &list);

	if (bad >= 0 && vw_json_len(list) > d->max_rules)
		return np_bad(r, at, key, "has %zu rules, at most %u may be", vw_json_len(list),
			      d->max_rules);
	p->rule[dir] = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*p->rule[dir]));
	if (bad >= 0 && !p->rule[dir])
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};
		struct np_policy_rule *rule = &p->rule[dir][p->n_rule[dir]++];

		rule->at = (unsigned int)i;
		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_rule(r, &here, item, d, dir, rule);
	}
	return bad;
}

static int read_place(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
		      const struct dialect *d, struct np_policy *p)
{
	const char *tier = p->o.kind == NP_KIND_BASELINE ? "Baseline" : "Admin";
	int64_t priority = -1;
	int found = 1;

	if (d->tiers)
		found = np_get_text(r, at, spec, "tier", &tier);
	if (found < 0)
		return found;
	if (!found || (strcmp(tier, "Admin") != 0 && strcmp(tier, "Baseline") != 0))
		return np_bad(r, at, "tier", "is \"%.64s\", wanted Admin or Baseline", found ? tier : "");
	p->tier = !strcmp(tier, "Admin") ? NP_TIER_ADMIN : NP_TIER_BASELINE;
	if (d->priority) {
		found = np_get_int(r, at, spec, "priority", 0, 1000, &priority);
		if (found < 0)
			return found;
		if (!found)
			return np_bad(r, at, "priority", "is missing");
	}
	/* a BaselineAdminNetworkPolicy has none: whatever ClusterNetworkPolicy has one comes before it */
	p->priority = d->priority ? (int)priority : 1001;
	return 0;
}

int np_read_cluster(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct dialect *d = &dialects[o->kind];
	const char *const known[] = {
		"subject", "ingress", "egress", d->priority ? "priority" : "", d->tiers ? "tier" : "", NULL};
	const struct np_at meta = {NULL, "metadata", -1}, at = {NULL, "spec", -1};
	struct np_policy *p = (struct np_policy *)o;
	const struct vw_json *spec;
	int bad = np_get_obj(r, NULL, json, "spec", &spec);

	if (bad >= 0 && !spec)
		return np_bad(r, NULL, "spec", "is missing");
	if (bad >= 0 && o->kind == NP_KIND_BASELINE && strcmp(o->name->s, "default") != 0)
		return np_bad(r, &meta, "name", "a BaselineAdminNetworkPolicy must be called \"default\"");
	bad = bad < 0 ? bad : np_only(r, &at, spec, known);
	bad = bad < 0 ? bad : read_place(r, &at, spec, d, p);
	bad = bad < 0 ? bad : read_subject(r, &at, spec, p);
	bad = bad < 0 ? bad : read_rules(r, &at, spec, d, NP_INGRESS, p);
	bad = bad < 0 ? bad : read_rules(r, &at, spec, d, NP_EGRESS, p);
	return bad < 0 ? bad : 0;
}
