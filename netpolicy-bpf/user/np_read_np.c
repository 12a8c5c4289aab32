/*
 * NetworkPolicy (networking.k8s.io/v1) and ApplicationNetworkPolicy (networking.k8s.aws/v1alpha1: the
 * same, and domain names in egress). Checked as the API server does (pkg/apis/networking/validation), and
 * a field that we do not know is refused: a policy that is understood in part is not enforced in part.
 */
#include "netpolicy-bpf/user/np_read.h"

#include "lib/base/err.h"

#include <errno.h>
#include <string.h>

static int read_port(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_port_rule *ret)
{
	static const char *const known[] = {"protocol", "port", "endPort", NULL};
	const struct vw_json *port = vw_json_get(json, "port");
	int64_t first = 0, last = 0;
	int bad = np_only(r, at, json, known), found;

	bad = bad < 0 ? bad : np_read_proto(r, at, json, &ret->proto);
	if (bad < 0)
		return bad;
	found = np_get_int(r, at, json, "endPort", 1, 65535, &last);
	if (found < 0)
		return found;
	if (vw_json_type(port) == VW_JSON_STRING) {
		if (found)
			return np_bad(r, at, "endPort", "stands beside a named port");
		bad = np_check_port_name(r, at, "port", vw_json_string(port));
		ret->name = bad < 0 ? NULL : np_keep_str(r, vw_json_string(port));
		return bad < 0 ? bad : ret->name ? 0 : np_no_memory(r);
	}
	bad = np_get_int(r, at, json, "port", 1, 65535, &first);
	if (bad < 0)
		return bad;
	if (!bad && found)
		return np_bad(r, at, "endPort", "stands without a port");
	if (found && last < first)
		return np_bad(r, at, "endPort", "%lld is below port %lld", (long long)last, (long long)first);
	ret->first = (uint16_t)first;
	ret->last = (uint16_t)(found ? last : bad ? first : 65535);
	return 0;
}

static int read_ports(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      struct np_policy_rule *rule)
{
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, json, "ports", &list);

	rule->any_port = !vw_json_len(list);
	rule->port = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*rule->port));
	if (bad >= 0 && !rule->port)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "ports", (long)i};

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_port(r, &here, item, &rule->port[rule->n_port++]);
	}
	return bad;
}

static int read_pods_peer(struct np_reader *r, const struct np_at *at, const struct vw_json *pods,
			  const struct vw_json *spaces, struct np_peer_rule *ret)
{
	const struct np_at pods_at = {at, "podSelector", -1}, spaces_at = {at, "namespaceSelector", -1};
	int bad = 0;

	ret->type = NP_PEER_PODS;
	ret->own_ns = !spaces;
	if (pods)
		bad = np_read_selector(r, &pods_at, pods, &ret->pods);
	if (bad >= 0 && spaces)
		bad = np_read_selector(r, &spaces_at, spaces, &ret->spaces);
	return bad;
}

static int read_ipblock_peer(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			     struct np_peer_rule *ret)
{
	static const char *const known[] = {"cidr", "except", NULL};
	const struct np_at here = {at, "ipBlock", -1};
	int bad = np_only(r, &here, json, known);

	return bad < 0 ? bad : np_read_ipblock(r, &here, json, ret);
}

/* @room: how many more peers @rule can hold; a list of domains takes one for each. */
static int read_domains(struct np_reader *r, const struct np_at *at, const struct vw_json *list,
			unsigned int place, struct np_policy_rule *rule)
{
	int bad = 0;

	if (!vw_json_len(list))
		return np_bad(r, at, "domainNames", "is empty");
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "domainNames", (long)i};
		struct np_peer_rule *p = &rule->peer[rule->n_peer++];

		*p = (struct np_peer_rule){.type = NP_PEER_DOMAIN, .at = place, .sub = (unsigned int)i};
		bad = np_read_domain(r, &here, list, i, &p->domain);
	}
	return bad;
}

static int read_peer(struct np_reader *r, const struct np_at *at, const struct vw_json *json, bool domains,
		     unsigned int place, struct np_policy_rule *rule)
{
	static const char *const known[] = {"podSelector", "namespaceSelector", "ipBlock", NULL};
	static const char *const known_aws[] = {"podSelector", "namespaceSelector", "ipBlock", "domainNames",
						NULL};
	const struct vw_json *pods, *spaces, *block, *names = NULL;
	struct np_peer_rule *p;
	int bad = np_only(r, at, json, domains ? known_aws : known);

	bad = bad < 0 ? bad : np_get_obj(r, at, json, "podSelector", &pods);
	bad = bad < 0 ? bad : np_get_obj(r, at, json, "namespaceSelector", &spaces);
	bad = bad < 0 ? bad : np_get_obj(r, at, json, "ipBlock", &block);
	if (bad >= 0 && domains)
		bad = np_get_list(r, at, json, "domainNames", &names);
	if (bad < 0)
		return bad;
	if (!pods && !spaces && !block && !names)
		return np_bad(r, at, NULL, "a peer without podSelector, namespaceSelector%s",
			      domains ? ", ipBlock or domainNames" : " or ipBlock");
	if ((block || names) && (pods || spaces || (block && names)))
		return np_bad(r, at, NULL, "%s stands beside another kind of peer",
			      block ? "ipBlock" : "domainNames");
	if (names)
		return read_domains(r, at, names, place, rule);
	p = &rule->peer[rule->n_peer++];
	p->at = place;
	return block ? read_ipblock_peer(r, at, block, p) : read_pods_peer(r, at, pods, spaces, p);
}

static int read_peers(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		      const char *key, bool domains, struct np_policy_rule *rule)
{
	const struct vw_json *list, *item;
	size_t room = 0;
	int bad = np_get_list(r, at, json, key, &list);

	for (size_t i = 0; i < vw_json_len(list); i++)
		room += 1 + vw_json_len(vw_json_get(vw_json_at(list, i), "domainNames"));
	rule->any_peer = !vw_json_len(list);
	rule->peer = np_mem_alloc(r->mem, room, sizeof(*rule->peer));
	if (bad >= 0 && !rule->peer)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_peer(r, &here, item, domains, (unsigned int)i, rule);
	}
	return bad;
}

/* A domain name has addresses, not pods: no named port is known of it. */
static int check_named_ports(struct np_reader *r, const struct np_at *at, const struct np_policy_rule *rule)
{
	bool named = false, elsewhere = false;

	for (unsigned int i = 0; i < rule->n_port; i++)
		named = named || rule->port[i].name;
	for (unsigned int i = 0; i < rule->n_peer; i++)
		elsewhere = elsewhere || rule->peer[i].type != NP_PEER_PODS;
	if (named && elsewhere)
		np_warn(r, at, "ports",
			"a named port is not known of ipBlock and domainNames: it matches pods alone");
	return 0;
}

static int read_rules(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
		      enum np_dir dir, bool domains, struct np_policy *p)
{
	static const char *const known[NP_DIRS][3] = {{"from", "ports", NULL}, {"to", "ports", NULL}};
	const char *key = dir == NP_INGRESS ? "ingress" : "egress";
	const struct vw_json *list, *item;
	int bad = np_get_list(r, at, spec, key, &list);

	p->rule[dir] = np_mem_alloc(r->mem, vw_json_len(list), sizeof(*p->rule[dir]));
	if (bad >= 0 && !p->rule[dir])
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};
		struct np_policy_rule *rule = &p->rule[dir][p->n_rule[dir]++];

		rule->verb = NP_ACCEPT;
		rule->at = (unsigned int)i;
		rule->name = np_keep_str(r, "");
		if (!rule->name)
			return np_no_memory(r);
		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : np_only(r, &here, item, known[dir]);
		bad = bad < 0 ? bad
			      : read_peers(r, &here, item, known[dir][0], domains && dir == NP_EGRESS, rule);
		bad = bad < 0 ? bad : read_ports(r, &here, item, rule);
		bad = bad < 0 ? bad : check_named_ports(r, &here, rule);
	}
	return bad;
}

/* Missing: Ingress, and Egress when there are egress rules. */
static int read_types(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
		      struct np_policy *p)
{
	const struct vw_json *list;
	int bad = np_get_list(r, at, spec, "policyTypes", &list);

	if (bad >= 0 && !vw_json_len(list)) {
		p->isolates[NP_INGRESS] = true;
		p->isolates[NP_EGRESS] = p->n_rule[NP_EGRESS] > 0;
	}
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "policyTypes", (long)i};
		const char *type = vw_json_string(vw_json_at(list, i));

		if (!type || (strcmp(type, "Ingress") != 0 && strcmp(type, "Egress") != 0))
			return np_bad(r, &here, NULL, "is \"%.64s\", wanted Ingress or Egress",
				      type ? type : "no text");
		if (i >= NP_DIRS)
			return np_bad(r, at, "policyTypes", "has more than two entries");
		p->isolates[!strcmp(type, "Egress") ? NP_EGRESS : NP_INGRESS] = true;
	}
	return bad;
}

int np_read_networkpolicy(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	static const char *const known[] = {"podSelector", "policyTypes", "ingress", "egress", NULL};
	const struct np_at at = {NULL, "spec", -1}, pods_at = {&at, "podSelector", -1};
	bool domains = o->kind == NP_KIND_APPLICATION;
	struct np_policy *p = (struct np_policy *)o;
	const struct vw_json *spec, *pods = NULL;
	int bad = np_get_obj(r, NULL, json, "spec", &spec);

	bad = bad < 0 ? bad : np_only(r, &at, spec, known);
	bad = bad < 0 ? bad : np_get_obj(r, &at, spec, "podSelector", &pods);
	if (bad >= 0 && pods)
		bad = np_read_selector(r, &pods_at, pods, &p->pods);
	bad = bad < 0 ? bad : read_rules(r, &at, spec, NP_INGRESS, domains, p);
	bad = bad < 0 ? bad : read_rules(r, &at, spec, NP_EGRESS, domains, p);
	bad = bad < 0 ? bad : read_types(r, &at, spec, p);
	if (bad < 0)
		return bad;
	p->tier = NP_TIER_NETWORKPOLICY;
	p->space = np_keep_space(r, o->ns->s);
	return p->space ? 0 : np_no_memory(r);
}
