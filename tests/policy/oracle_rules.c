/*
 * The oracle's reader, second half: policies. Four shapes of rule lead to one struct o_rule: NetworkPolicy (from, to, ports),
 * ClusterNetworkPolicy v1alpha2 (protocols), and the older cluster-wide shape of AdminNetworkPolicy, BaselineAdminNetworkPolicy
 * and AWS's ClusterNetworkPolicy (ports with portNumber, portRange, namedPort). PolicyEndpoint has no rules but addresses with ports;
 * each is a rule here.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "tests/policy/oracle_model.h"

#include <ctype.h>
#include <string.h>

#define PORTS_ALL_LO 0
#define PORTS_ALL_HI 65535

/** bad_key() - fail at a member, or at element @i of it. */
#define bad_key(r, key, ...) ((void)o_enter(r, key, 0), o_fail(r, __VA_ARGS__))
#define bad_item(r, key, i, ...) ((void)o_enter(r, key, 0), (void)o_enter(r, NULL, (long)(i)), o_fail(r, __VA_ARGS__))

static int number(struct o_reader *r, const struct vw_json *obj, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	struct vw_err ignored = { 0 };
	int got = vw_json_get_int(obj, key, min, max, ret, &ignored);

	return got < 0 ? bad_key(r, key, "not a number from %lld to %lld", (long long)min, (long long)max) : got;
}

static int read_cidr(struct o_reader *r, const char *text, struct vw_cidr *ret)
{
	if (!text || !strchr(text, '/') || vw_cidr_parse(text, ret) < 0)
		return o_fail(r, "'%s' is not a CIDR", text ? text : "");
	*ret = vw_cidr_masked(ret);     /* 10.1.2.3/8 is legal and means 10.0.0.0/8 */
	return 0;
}

static int read_cidrs(struct o_reader *r, const struct vw_json *obj, const char *key, struct vw_cidr **ret, size_t *ret_n)
{
	const struct vw_json *list = vw_json_get(obj, key);

	*ret = o_alloc(r->o, vw_json_len(list), sizeof(**ret));
	for (size_t i = 0; i < vw_json_len(list); i++) {
		size_t mark = o_enter(r, key, 0), at = o_enter(r, NULL, (long)i);

		if (read_cidr(r, vw_json_string(vw_json_at(list, i)), &(*ret)[(*ret_n)++]) < 0)
			return -EINVAL;
		o_leave(r, at);
		o_leave(r, mark);
	}
	return 0;
}

/** read_block() - cidr and what is cut out of it. */
static int read_block(struct o_reader *r, const struct vw_json *block, struct o_peer *ret)
{
	size_t mark = o_enter(r, "cidr", 0);

	ret->kind = O_PEER_IPBLOCK;
	ret->cidr = o_alloc(r->o, 1, sizeof(*ret->cidr));
	ret->n_cidr = 1;
	if (read_cidr(r, vw_json_string(vw_json_get(block, "cidr")), ret->cidr) < 0)
		return -EINVAL;
	o_leave(r, mark);
	if (read_cidrs(r, block, "except", &ret->except, &ret->n_except) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ret->n_except; i++) {
		if (!vw_cidr_covers(ret->cidr, &ret->except[i]))
			return bad_item(r, "except", i, "not inside cidr");
	}
	return 0;
}

static int read_ipblock(struct o_reader *r, const struct vw_json *block, struct o_peer *ret)
{
	size_t mark = o_enter(r, "ipBlock", 0);

	if (read_block(r, block, ret) < 0)
		return -EINVAL;
	o_leave(r, mark);
	return 0;
}

/** domain() - as it is kept; NULL: not a domain name. */
static const char *domain(struct o_reader *r, const char *text)
{
	char lower[256];
	size_t n;

	if (!text || strlen(text) >= sizeof(lower) || (strchr(text, '*') && strncmp(text, "*.", 2) != 0) || strchr(text + 1, '*'))
		return NULL;
	for (n = 0; text[n]; n++)
		lower[n] = (char)tolower((unsigned char)text[n]);
	if (n && lower[n - 1] == '.')
		n--;
	lower[n] = 0;
	return o_intern(r->o, lower);
}

static int read_domains(struct o_reader *r, const struct vw_json *list, struct o_peer *ret)
{
	ret->kind = O_PEER_DOMAINS;
	ret->domain = o_alloc(r->o, vw_json_len(list), sizeof(*ret->domain));
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const char *d = domain(r, vw_json_string(vw_json_at(list, i)));

		if (!d)
			return bad_item(r, "domainNames", i, "not a domain name");
		ret->domain[ret->n_domain++] = d;
	}
	return 0;
}

/** read_np_peer() - {podSelector, namespaceSelector} or {ipBlock} or, AWS, {domainNames}. */
static int read_np_peer(struct o_reader *r, const struct vw_json *p, enum oracle_dir dir, bool aws, struct o_peer *ret)
{
	const struct vw_json *block = vw_json_get(p, "ipBlock"), *domains = vw_json_get(p, "domainNames");

	if (o_read_selector(r, p, "podSelector", &ret->pod) < 0 || o_read_selector(r, p, "namespaceSelector", &ret->ns) < 0)
		return -EINVAL;
	if (vw_json_is_null(block) && ret->pod.given == false && ret->ns.given == false) {
		if (aws && dir == ORACLE_EGRESS && vw_json_len(domains))
			return read_domains(r, domains, ret);
		return o_fail(r, "a peer needs podSelector, namespaceSelector or ipBlock");
	}
	if (!vw_json_is_null(block)) {
		if (ret->pod.given || ret->ns.given)
			return o_fail(r, "ipBlock stands alone");
		return read_ipblock(r, block, ret);
	}
	ret->kind = O_PEER_PODS;
	ret->own_ns = !ret->ns.given;
	return 0;
}

static int read_pods(struct o_reader *r, const struct vw_json *obj, struct o_selector *ns, struct o_selector *pod)
{
	size_t mark = o_enter(r, "pods", 0);

	if (o_read_selector(r, obj, "namespaceSelector", ns) < 0 || o_read_selector(r, obj, "podSelector", pod) < 0)
		return -EINVAL;
	o_leave(r, mark);
	return 0;
}

/**
 * read_cluster_peer() - exactly one of namespaces, pods; egress: nodes, networks, domainNames too. None of them: unknown.
 * @aws: has no nodes, and domainNames for Pass as well.
 */
static int read_cluster_peer(struct o_reader *r, const struct vw_json *p, enum oracle_dir dir, enum o_action action, bool aws,
			     struct o_peer *ret)
{
	const struct vw_json *pods = vw_json_get(p, "pods"), *networks = vw_json_get(p, "networks");
	const struct vw_json *domains = vw_json_get(p, "domainNames"), *nodes = aws ? NULL : vw_json_get(p, "nodes");
	bool egress = dir == ORACLE_EGRESS;
	int n = !vw_json_is_null(vw_json_get(p, "namespaces")) + !vw_json_is_null(pods);

	if (egress)
		n += !vw_json_is_null(nodes) + !vw_json_is_null(networks) + !vw_json_is_null(domains);
	ret->kind = O_PEER_UNKNOWN;
	if (n > 1)
		return o_fail(r, "a peer has exactly one field");
	if (n == 0)
		return 0;
	if (egress && !vw_json_is_null(networks)) {
		ret->kind = O_PEER_NETWORKS;
		return read_cidrs(r, p, "networks", &ret->cidr, &ret->n_cidr);
	}
	if (egress && !vw_json_is_null(domains)) {
		if (action != O_ALLOW && !(aws && action == O_PASS))
			return bad_key(r, "domainNames", aws ? "not for Deny" : "for Accept alone");
		return read_domains(r, domains, ret);
	}
	if (egress && !vw_json_is_null(nodes)) {
		ret->kind = O_PEER_NODES;
		return o_read_selector(r, p, "nodes", &ret->pod);
	}
	ret->kind = O_PEER_PODS;
	if (!vw_json_is_null(pods))
		return read_pods(r, pods, &ret->ns, &ret->pod);
	return o_read_selector(r, p, "namespaces", &ret->ns);
}

/** is_port_name() - an IANA service name: 1..15 of a-z, 0-9, '-', with a letter, no '-' at the ends or twice. */
static bool is_port_name(const char *s)
{
	size_t n = strlen(s);
	bool letter = false;

	for (size_t i = 0; i < n; i++) {
		if (s[i] >= 'a' && s[i] <= 'z')
			letter = true;
		else if (s[i] == '-' ? (i == 0 || i == n - 1 || s[i + 1] == '-') : !(s[i] >= '0' && s[i] <= '9'))
			return false;
	}
	return letter && n <= 15;
}

static int read_np_port(struct o_reader *r, const struct vw_json *p, struct o_port *ret)
{
	const char *text = vw_json_string(vw_json_get(p, "port"));
	int64_t lo = PORTS_ALL_LO, hi = PORTS_ALL_HI;
	int has_port, has_end;

	if (o_read_proto(r, vw_json_string(vw_json_get(p, "protocol")), &ret->proto) < 0)
		return -EINVAL;
	has_end = number(r, p, "endPort", 1, 65535, &hi);
	if (has_end < 0)
		return -EINVAL;
	if (text) {
		if (has_end)
			return o_fail(r, "endPort needs a numeric port");
		if (!is_port_name(text))
			return o_fail(r, "'%s' is not the name of a port", text);
		ret->kind = O_PORT_NAMED;
		ret->name = o_intern(r->o, text);
		return 0;
	}
	has_port = number(r, p, "port", 1, 65535, &lo);
	if (has_port < 0)
		return -EINVAL;
	if (has_end && !has_port)
		return o_fail(r, "endPort needs port");
	if (has_end && hi < lo)
		return o_fail(r, "endPort is below port");
	ret->kind = O_PORT_RANGE;
	ret->lo = (uint16_t)lo;
	ret->hi = (uint16_t)(has_end ? hi : has_port ? lo : PORTS_ALL_HI);
	return 0;
}

/** read_old_port() - v1alpha1 and AWS: portNumber {protocol, port}, portRange {protocol, start, end}, namedPort. */
static int read_old_port(struct o_reader *r, const struct vw_json *p, struct o_port *ret, bool *closed)
{
	const struct vw_json *one = vw_json_get(p, "portNumber"), *range = vw_json_get(p, "portRange");
	const char *name = vw_json_string(vw_json_get(p, "namedPort"));
	const struct vw_json *in = vw_json_is_null(one) ? range : one;
	int64_t lo = 0, hi = 0;

	if (name) {
		*ret = (struct o_port){ .kind = O_PORT_NAMED, .name = o_intern(r->o, name) };
		return 0;
	}
	if (vw_json_is_null(in)) {
		*closed = true;
		return 0;
	}
	ret->kind = O_PORT_RANGE;
	if (o_read_proto(r, vw_json_string(vw_json_get(in, "protocol")), &ret->proto) < 0)
		return -EINVAL;
	if (in == one) {
		if (number(r, in, "port", 1, 65535, &lo) <= 0)
			return bad_key(r, "portNumber", "port is not 1..65535");
		hi = lo;
	} else if (number(r, in, "start", 1, 65535, &lo) <= 0 || number(r, in, "end", 1, 65535, &hi) <= 0 || hi < lo) {
		return o_fail(r, "portRange wants start and end, in order");
	}
	ret->lo = (uint16_t)lo;
	ret->hi = (uint16_t)hi;
	return 0;
}

/** read_protocol() - v1alpha2: tcp|udp|sctp {destinationPort {number | range {start, end}}} or destinationNamedPort. */
static int read_protocol(struct o_reader *r, const struct vw_json *p, struct o_port *ret, bool *closed)
{
	static const struct {
		const char *key;
		uint8_t proto;
	} known[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP } };
	const char *name = vw_json_string(vw_json_get(p, "destinationNamedPort"));

	if (name) {
		*ret = (struct o_port){ .kind = O_PORT_NAMED, .name = o_intern(r->o, name) };
		return 0;
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(known); i++) {
		const struct vw_json *in = vw_json_get(p, known[i].key), *port, *range;
		int64_t lo = PORTS_ALL_LO, hi = PORTS_ALL_HI;

		if (vw_json_is_null(in))
			continue;
		port = vw_json_get(in, "destinationPort");
		range = vw_json_get(port, "range");
		if (!vw_json_is_null(range)) {
			if (number(r, range, "start", 1, 65535, &lo) <= 0 || number(r, range, "end", 1, 65535, &hi) <= 0 || lo >= hi)
				return o_fail(r, "range wants start below end");
		} else if (!vw_json_is_null(port)) {
			if (number(r, port, "number", 1, 65535, &lo) <= 0)
				return o_fail(r, "destinationPort wants number or range");
			hi = lo;
		}
		*ret = (struct o_port){ .proto = known[i].proto, .lo = (uint16_t)lo, .hi = (uint16_t)hi };
		return 0;
	}
	*closed = true;
	return 0;
}

static int read_action(struct o_reader *r, const struct vw_json *rule, enum o_action *ret)
{
	const char *text = vw_json_string(vw_json_get(rule, "action"));

	if (text && (strcmp(text, "Accept") == 0 || strcmp(text, "Allow") == 0))
		*ret = O_ALLOW;
	else if (text && strcmp(text, "Deny") == 0)
		*ret = O_DENY;
	else if (text && strcmp(text, "Pass") == 0)
		*ret = O_PASS;
	else
		return bad_key(r, "action", "'%s' is none of Accept, Deny, Pass", text ? text : "");
	return 0;
}

struct shape {
	bool np, aws;                   /* NetworkPolicy's rules; of AWS's kinds */
	const char *ports;              /* key of a rule's list of ports */
};

static int read_rule(struct o_reader *r, const struct vw_json *j, enum oracle_dir dir, const struct shape *s, struct o_rule *ret)
{
	const char *side = dir == ORACLE_INGRESS ? "from" : "to";
	const struct vw_json *peers = vw_json_get(j, side), *ports = vw_json_get(j, s->ports);

	if (vw_json_type(j) != VW_JSON_OBJECT)
		return o_fail(r, "a rule is an object");
	if (!s->np && read_action(r, j, &ret->action) < 0)
		return -EINVAL;
	if (!s->np && vw_json_len(peers) == 0)
		return bad_key(r, side, "needs at least one peer");
	ret->peer = o_alloc(r->o, vw_json_len(peers), sizeof(*ret->peer));
	ret->port = o_alloc(r->o, vw_json_len(ports), sizeof(*ret->port));
	for (size_t i = 0; i < vw_json_len(peers); i++) {
		size_t mark = o_enter(r, side, 0), at = o_enter(r, NULL, (long)i);
		struct o_peer *p = &ret->peer[ret->n_peer++];
		int bad = s->np ? read_np_peer(r, vw_json_at(peers, i), dir, s->aws, p) :
				  read_cluster_peer(r, vw_json_at(peers, i), dir, ret->action, s->aws, p);

		if (bad < 0)
			return bad;
		ret->closed |= !s->np && p->kind == O_PEER_UNKNOWN;
		o_leave(r, at);
		o_leave(r, mark);
	}
	for (size_t i = 0; i < vw_json_len(ports); i++) {
		size_t mark = o_enter(r, s->ports, 0), at = o_enter(r, NULL, (long)i);
		struct o_port *p = &ret->port[ret->n_port++];
		const struct vw_json *e = vw_json_at(ports, i);
		int bad = s->np ? read_np_port(r, e, p) :
			  strcmp(s->ports, "ports") == 0 ? read_old_port(r, e, p, &ret->closed) :
							   read_protocol(r, e, p, &ret->closed);

		if (bad < 0)
			return bad;
		o_leave(r, at);
		o_leave(r, mark);
	}
	return 0;
}

static int read_rules(struct o_reader *r, const struct vw_json *spec, const struct shape *s, struct o_policy *p)
{
	static const char *const key[] = { [ORACLE_INGRESS] = "ingress", [ORACLE_EGRESS] = "egress" };

	for (int d = 0; d < 2; d++) {
		const struct vw_json *list = vw_json_get(spec, key[d]);

		if (!vw_json_is_null(list) && vw_json_type(list) != VW_JSON_ARRAY)
			return o_fail(r, "%s is not a list", key[d]);
		p->rule[d] = o_alloc(r->o, vw_json_len(list), sizeof(*p->rule[d]));
		for (size_t i = 0; i < vw_json_len(list); i++) {
			size_t mark = o_enter(r, key[d], 0), at = o_enter(r, NULL, (long)i);

			if (read_rule(r, vw_json_at(list, i), (enum oracle_dir)d, s, &p->rule[d][p->n_rule[d]++]) < 0)
				return -EINVAL;
			o_leave(r, at);
			o_leave(r, mark);
		}
	}
	return 0;
}

static int read_np(struct o_reader *r, const struct vw_json *spec, bool aws, struct o_policy *p)
{
	const struct shape s = { .np = true, .aws = aws, .ports = "ports" };
	const struct vw_json *types = vw_json_get(spec, "policyTypes");

	p->tier = ORACLE_NP;
	if (o_read_selector(r, spec, "podSelector", &p->subject_pod) < 0 || read_rules(r, spec, &s, p) < 0)
		return -EINVAL;
	if (vw_json_len(types) == 0) {
		/* "Egress will be set if the policy has any egress rules" */
		p->isolates[ORACLE_INGRESS] = true;
		p->isolates[ORACLE_EGRESS] = p->n_rule[ORACLE_EGRESS] > 0;
		return 0;
	}
	for (size_t i = 0; i < vw_json_len(types); i++) {
		const char *t = vw_json_string(vw_json_at(types, i));

		if (t && strcmp(t, "Ingress") == 0)
			p->isolates[ORACLE_INGRESS] = true;
		else if (t && strcmp(t, "Egress") == 0)
			p->isolates[ORACLE_EGRESS] = true;
		else
			return bad_item(r, "policyTypes", i, "'%s' is neither Ingress nor Egress", t ? t : "");
	}
	return 0;
}

static int read_cluster(struct o_reader *r, const struct vw_json *spec, const struct shape *s, bool ranked, struct o_policy *p)
{
	const struct vw_json *subject = vw_json_get(spec, "subject"), *pods = vw_json_get(subject, "pods");
	bool by_ns = !vw_json_is_null(vw_json_get(subject, "namespaces"));
	int64_t priority = INT32_MAX;   /* BaselineAdminNetworkPolicy has none; we choose: after those that have one */
	size_t mark;

	if (ranked && number(r, spec, "priority", 0, 1000, &priority) < 0)
		return -EINVAL;
	if (ranked && priority == INT32_MAX)
		return bad_key(r, "priority", "missing");
	p->priority = (long)priority;
	if (by_ns == !vw_json_is_null(pods))
		return bad_key(r, "subject", "wants namespaces or pods");
	mark = o_enter(r, "subject", 0);
	if (by_ns ? o_read_selector(r, subject, "namespaces", &p->subject_ns) < 0 :
		    read_pods(r, pods, &p->subject_ns, &p->subject_pod) < 0)
		return -EINVAL;
	o_leave(r, mark);
	return read_rules(r, spec, s, p);
}

/* --- PolicyEndpoint: of a policy whose selectors somebody else has resolved */

/** read_endpoint_peer() - one address without a length, a block, or, of egress, a domain's name. */
static int read_endpoint_peer(struct o_reader *r, const struct vw_json *e, enum oracle_dir dir, struct o_peer *ret)
{
	const char *cidr = vw_json_string(vw_json_get(e, "cidr")), *name = vw_json_string(vw_json_get(e, "domainName"));

	if (!name && cidr && strchr(cidr, '/'))
		return read_block(r, e, ret);
	if (!name) {
		ret->kind = O_PEER_NETWORKS;
		ret->cidr = o_alloc(r->o, 1, sizeof(*ret->cidr));
		ret->n_cidr = 1;
		if (!cidr || vw_cidr_parse(cidr, ret->cidr) < 0)
			return bad_key(r, "cidr", "neither an address nor a block");
		return vw_json_len(vw_json_get(e, "except")) ? bad_key(r, "except", "of a single address") : 0;
	}
	ret->kind = O_PEER_DOMAINS;
	ret->domain = o_alloc(r->o, 1, sizeof(*ret->domain));
	ret->n_domain = 1;
	ret->domain[0] = domain(r, name);
	if (cidr || dir == ORACLE_INGRESS || !ret->domain[0])
		return bad_key(r, "domainName", "not a domain name, or beside cidr, or of ingress");
	return 0;
}

static int read_endpoint_rule(struct o_reader *r, const struct vw_json *e, enum oracle_dir dir, struct o_rule *ret)
{
	const struct vw_json *ports = vw_json_get(e, "ports");

	ret->peer = o_alloc(r->o, 1, sizeof(*ret->peer));
	ret->n_peer = 1;
	ret->port = o_alloc(r->o, vw_json_len(ports), sizeof(*ret->port));
	if (read_endpoint_peer(r, e, dir, ret->peer) < 0)
		return -EINVAL;
	for (size_t i = 0; i < vw_json_len(ports); i++) {
		size_t mark = o_enter(r, "ports", 0), at = o_enter(r, NULL, (long)i);
		const struct vw_json *p = vw_json_at(ports, i);

		if (vw_json_string(vw_json_get(p, "port")))
			return bad_key(r, "port", "names are resolved here");
		if (read_np_port(r, p, &ret->port[ret->n_port++]) < 0)
			return -EINVAL;
		o_leave(r, at);
		o_leave(r, mark);
	}
	return 0;
}

static int read_members(struct o_reader *r, const struct vw_json *spec, struct o_policy *p)
{
	const struct vw_json *list = vw_json_get(spec, "podSelectorEndpoints");

	p->member = o_alloc(r->o, vw_json_len(list), sizeof(*p->member));
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const struct vw_json *m = vw_json_at(list, i);
		const char *ns = vw_json_string(vw_json_get(m, "namespace")), *name = vw_json_string(vw_json_get(m, "name"));

		if (!ns || !*ns || !name || !*name)
			return bad_item(r, "podSelectorEndpoints", i, "a pod has a namespace and a name");
		p->member[p->n_member++] = (struct o_member){ o_intern(r->o, ns), o_intern(r->o, name) };
	}
	return 0;
}

/** owner_kind() - of ApplicationNetworkPolicies the controller makes them too; only the owner says so. */
static const char *owner_kind(const struct vw_json *meta)
{
	const struct vw_json *owners = vw_json_get(meta, "ownerReferences");

	for (size_t i = 0; i < vw_json_len(owners); i++) {
		const char *kind = vw_json_string(vw_json_get(vw_json_at(owners, i), "kind"));

		if (kind && strcmp(kind, "ApplicationNetworkPolicy") == 0)
			return "ApplicationNetworkPolicy";
	}
	return "NetworkPolicy";
}

static int read_endpoint(struct o_reader *r, const struct vw_json *meta, const struct vw_json *spec, struct o_policy *p)
{
	static const char *const key[] = { [ORACLE_INGRESS] = "ingress", [ORACLE_EGRESS] = "egress" },
				*const type[] = { [ORACLE_INGRESS] = "Ingress", [ORACLE_EGRESS] = "Egress" };
	const struct vw_json *ref = vw_json_get(spec, "policyRef"), *types = vw_json_get(spec, "podIsolation");
	const char *ns = vw_json_string(vw_json_get(ref, "namespace")), *name = vw_json_string(vw_json_get(ref, "name"));

	p->tier = ORACLE_NP;
	if (ns && strcmp(ns, p->ns) != 0) {
		(void)o_enter(r, "policyRef", 0);
		(void)o_enter(r, "namespace", 0);
		return o_fail(r, "the policy of a PolicyEndpoint in '%s' is not in '%s'", p->ns, ns);
	}
	p->of_kind = o_intern(r->o, owner_kind(meta));
	p->of_ns = ns ? o_intern(r->o, ns) : p->ns;
	p->of_name = name ? o_intern(r->o, name) : p->name;
	if (read_members(r, spec, p) < 0)
		return -EINVAL;
	for (size_t i = 0; i < vw_json_len(types); i++) {
		const char *t = vw_json_string(vw_json_at(types, i));

		if (!t || (strcmp(t, "Ingress") != 0 && strcmp(t, "Egress") != 0))
			return bad_item(r, "podIsolation", i, "neither Ingress nor Egress");
		p->isolates[strcmp(t, type[ORACLE_EGRESS]) == 0 ? ORACLE_EGRESS : ORACLE_INGRESS] = true;
	}
	for (int d = 0; d < 2; d++) {
		const struct vw_json *list = vw_json_get(spec, key[d]);

		p->rule[d] = o_alloc(r->o, vw_json_len(list), sizeof(*p->rule[d]));
		for (size_t i = 0; i < vw_json_len(list); i++) {
			size_t mark = o_enter(r, key[d], 0), at = o_enter(r, NULL, (long)i);

			if (read_endpoint_rule(r, vw_json_at(list, i), (enum oracle_dir)d, &p->rule[d][p->n_rule[d]++]) < 0)
				return -EINVAL;
			o_leave(r, at);
			o_leave(r, mark);
		}
		p->isolates[d] |= p->n_rule[d] > 0;
	}
	return 0;
}

static bool is_api(const char *api, const char *group)
{
	size_t n = strlen(group);

	return strncmp(api, group, n) == 0 && api[n] == '/';
}

int o_read_policy(struct o_reader *r, const struct vw_json *obj, const char *kind, const char *api, struct o_policy *ret)
{
	const struct shape v2 = { .ports = "protocols" };
	const struct vw_json *meta = vw_json_get(obj, "metadata"), *spec = vw_json_get(obj, "spec");
	const char *ns = vw_json_string(vw_json_get(meta, "namespace")), *name = vw_json_string(vw_json_get(meta, "name"));
	bool aws = is_api(api, "networking.k8s.aws"), np = strcmp(kind, "NetworkPolicy") == 0 && is_api(api, "networking.k8s.io");
	bool anp = strcmp(kind, "AdminNetworkPolicy") == 0, banp = strcmp(kind, "BaselineAdminNetworkPolicy") == 0;
	bool cnp = strcmp(kind, "ClusterNetworkPolicy") == 0, app = aws && strcmp(kind, "ApplicationNetworkPolicy") == 0;
	bool endpoint = aws && strcmp(kind, "PolicyEndpoint") == 0;
	size_t mark = o_enter(r, "spec", 0);
	char full[520];

	if (!np && !anp && !banp && !cnp && !app && !endpoint)
		return 0;
	if (!ns)
		ns = "default";
	(void)snprintf(full, sizeof(full), np || app || endpoint ? "%s/%s" : "%.0s%s", ns, name);
	*ret = (struct o_policy){ .kind = o_intern(r->o, kind), .ns = o_intern(r->o, ns), .name = o_intern(r->o, name),
				  .full = o_intern(r->o, full) };
	if (vw_json_type(spec) != VW_JSON_OBJECT)
		return o_fail(r, "not an object");
	if (endpoint) {
		if (read_endpoint(r, meta, spec, ret) < 0)
			return -EINVAL;
	} else if (np || app) {
		if (read_np(r, spec, app, ret) < 0)
			return -EINVAL;
	} else {
		const char *tier = vw_json_string(vw_json_get(spec, "tier"));
		const struct shape old = { .aws = aws, .ports = "ports" };

		if (cnp && (!tier || (strcmp(tier, "Admin") != 0 && strcmp(tier, "Baseline") != 0)))
			return bad_key(r, "tier", "neither Admin nor Baseline");
		ret->tier = anp || (cnp && strcmp(tier, "Admin") == 0) ? ORACLE_ADMIN : ORACLE_BASELINE;
		if (read_cluster(r, spec, cnp && !aws ? &v2 : &old, !banp, ret) < 0)
			return -EINVAL;
	}
	o_leave(r, mark);
	return 1;
}
