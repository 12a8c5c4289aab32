/*
 * The oracle's judgement. A new flow meets, at each end that is a pod: the Admin tier in order of priority; then, if any
 * NetworkPolicy isolates the pod in that direction, the union of their rules, whose word is final; else the Baseline tier; else
 * the default. Everything is asked again for each packet.
 */
#include "lib/base/cleanup.h"
#include "tests/policy/oracle_model.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *label_of(const struct o_labels *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].key == key)
			return l->v[i].value;
	}
	return NULL;
}

static bool req_holds(const struct o_req *q, const struct o_labels *l)
{
	const char *value = label_of(l, q->key);
	bool in = false;

	if (q->op == O_EXISTS || q->op == O_NOT_EXISTS)
		return (value != NULL) == (q->op == O_EXISTS);
	for (size_t i = 0; i < q->n_value; i++)
		in |= value == q->value[i];
	return in == (q->op == O_IN);           /* NotIn holds, too, where the key is missing */
}

static bool selects(const struct o_selector *s, const struct o_labels *l)
{
	for (size_t i = 0; i < s->n_req; i++) {
		if (!req_holds(&s->req[i], l))
			return false;
	}
	return true;
}

static const struct o_labels *ns_labels(const struct oracle *o, const char *ns)
{
	for (size_t i = 0; i < o->n_ns; i++) {
		if (o->ns[i].name == ns)
			return &o->ns[i].labels;
	}
	return NULL;            /* not reached: oracle_new() has made one for each pod */
}

static bool has_ip(const struct vw_ip *list, size_t n, const struct vw_ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (vw_ip_eq(&list[i], ip))
			return true;
	}
	return false;
}

/**
 * is_pod_ip() - the peer is this pod. A pod that is over has given its address back; one in the host's network has none of its
 * own: what comes from there is the node (we choose, for NetworkPolicy; ClusterNetworkPolicy says so).
 */
static bool is_pod_ip(const struct o_pod *p, const struct vw_ip *ip)
{
	return !p->over && !p->host_network && has_ip(p->ip, p->n_ip, ip);
}

static bool in_any(const struct vw_cidr *c, size_t n, const struct vw_ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (vw_cidr_has(&c[i], ip))
			return true;
	}
	return false;
}

/** domain_matches() - "*.x.y" stands for at least one more label; anything else for itself alone. */
static bool domain_matches(const char *pattern, const char *name)
{
	size_t n = strlen(name), p;

	if (n && name[n - 1] == '.')
		n--;
	if (pattern[0] != '*')
		return strlen(pattern) == n && strncasecmp(pattern, name, n) == 0;
	p = strlen(pattern + 1);
	return n > p && strncasecmp(pattern + 1, name + n - p, p) == 0;
}

struct packet {
	const struct oracle *o;
	const struct oracle_query *q;
	const struct o_pod *subject;
	uint64_t names;         /* of q->names those by which it has come so far: bits */
};

static bool pod_peer(const struct packet *k, const struct o_policy *pol, const struct o_peer *p, const struct o_pod *pod)
{
	if (!is_pod_ip(pod, &k->q->peer))
		return false;
	if (p->own_ns ? pod->ns != pol->ns : !selects(&p->ns, ns_labels(k->o, pod->ns)))
		return false;
	return selects(&p->pod, &pod->labels);
}

static bool has_named(const struct o_pod *pod, const struct o_port *p, uint8_t proto, uint16_t port)
{
	for (size_t i = 0; i < pod->n_port; i++) {
		const struct o_pod_port *c = &pod->port[i];

		if (c->name == p->name && c->proto == proto && c->port == port && (p->proto == 0 || p->proto == proto))
			return true;
	}
	return false;
}

/**
 * port_matches() - @pod: whose names count: the pod that is sent to, NULL when that is none. Names mean nothing for peers that
 * are addresses.
 */
static bool port_matches(const struct packet *k, const struct o_rule *rule, const struct o_pod *pod)
{
	const struct oracle_query *q = k->q;
	bool ports = q->proto == IPPROTO_TCP || q->proto == IPPROTO_UDP || q->proto == IPPROTO_SCTP;

	if (rule->n_port == 0)
		return true;            /* everything, also ICMP and protocols without ports */
	for (size_t i = 0; ports && i < rule->n_port; i++) {
		const struct o_port *p = &rule->port[i];

		if (p->kind == O_PORT_RANGE ? p->proto == q->proto && q->port >= p->lo && q->port <= p->hi :
					      pod && has_named(pod, p, q->proto, q->port))
			return true;
	}
	return false;
}

/** peer_matches() - @p, and a port of the rule at the same time, because a named port depends on who the peer is. */
static bool peer_matches(const struct packet *k, const struct o_policy *pol, const struct o_rule *rule, const struct o_peer *p)
{
	const struct vw_ip *ip = &k->q->peer;
	const struct o_pod *self = k->q->dir == ORACLE_INGRESS ? k->subject : NULL;

	switch (p->kind) {
	case O_PEER_PODS:
		for (size_t i = 0; i < k->o->n_pod; i++) {
			const struct o_pod *pod = &k->o->pod[i];

			if (pod_peer(k, pol, p, pod) && port_matches(k, rule, self ? self : pod))
				return true;
		}
		return false;
	case O_PEER_IPBLOCK:
		return in_any(p->cidr, p->n_cidr, ip) && !in_any(p->except, p->n_except, ip) && port_matches(k, rule, self);
	case O_PEER_NETWORKS:
		return in_any(p->cidr, p->n_cidr, ip) && port_matches(k, rule, self);
	case O_PEER_NODES:
		for (size_t i = 0; i < k->o->n_node; i++) {
			const struct o_node *n = &k->o->node[i];

			if (has_ip(n->ip, n->n_ip, ip) && selects(&p->pod, &n->labels) && port_matches(k, rule, self))
				return true;
		}
		return false;
	case O_PEER_DOMAINS:
		for (size_t i = 0; i < p->n_domain; i++) {
			for (size_t n = 0; n < k->q->n_names; n++) {
				if (k->names >> n & 1 && domain_matches(p->domain[i], k->q->names[n]) && port_matches(k, rule, self))
					return true;
			}
		}
		return false;
	case O_PEER_UNKNOWN:
		break;
	}
	return false;
}

static bool rule_matches(const struct packet *k, const struct o_policy *pol, const struct o_rule *rule)
{
	if (rule->closed)
		return rule->action != O_ALLOW;         /* fail closed; the caller makes a Deny of it */
	if (rule->n_peer == 0) {
		const struct o_pod *named = k->q->dir == ORACLE_INGRESS ? k->subject : NULL;

		if (port_matches(k, rule, named))
			return true;
		/* "to" is missing: names still mean the ports of whatever pod is sent to */
		for (size_t i = 0; k->q->dir == ORACLE_EGRESS && i < k->o->n_pod; i++) {
			if (is_pod_ip(&k->o->pod[i], &k->q->peer) && port_matches(k, rule, &k->o->pod[i]))
				return true;
		}
		return false;
	}
	for (size_t i = 0; i < rule->n_peer; i++) {
		if (peer_matches(k, pol, rule, &rule->peer[i]))
			return true;
	}
	return false;
}

/** is_part_subject() - @pol is a PolicyEndpoint: some part of its policy lists the pod, and that policy itself is not there. */
static bool is_part_subject(const struct packet *k, const struct o_policy *pol)
{
	bool listed = false;

	for (size_t i = 0; i < k->o->n_policy; i++) {
		const struct o_policy *p = &k->o->policy[i];

		if (!p->of_name && p->kind == pol->of_kind && p->ns == pol->of_ns && p->name == pol->of_name)
			return false;
		if (p->of_name != pol->of_name || p->of_ns != pol->of_ns || p->of_kind != pol->of_kind)
			continue;
		for (size_t m = 0; m < p->n_member; m++)
			listed |= p->member[m].ns == k->subject->ns && p->member[m].name == k->subject->name;
	}
	return listed;
}

static bool is_subject(const struct packet *k, const struct o_policy *pol)
{
	const struct o_pod *s = k->subject;

	if (s->over || s->host_network)
		return false;
	if (pol->tier == ORACLE_NP ? pol->ns != s->ns : !selects(&pol->subject_ns, ns_labels(k->o, s->ns)))
		return false;
	return pol->of_name ? is_part_subject(k, pol) : selects(&pol->subject_pod, &s->labels);
}

static bool is_own_node(const struct packet *k)
{
	for (size_t i = 0; i < k->o->n_node; i++) {
		const struct o_node *n = &k->o->node[i];

		if (n->name == k->subject->node && has_ip(n->ip, n->n_ip, &k->q->peer))
			return true;
	}
	return false;
}

static struct oracle_verdict said(bool allow, const struct o_policy *pol, int rule)
{
	return (struct oracle_verdict){ .allow = allow, .tier = pol->tier, .kind = pol->kind, .policy = pol->full, .rule = rule };
}

/** narrow() - @rule passes: when it does so by name alone, what comes after sees no other names. */
static void narrow(struct packet *k, const struct o_policy *pol, const struct o_rule *rule)
{
	uint64_t by = 0;

	for (size_t i = 0; i < rule->n_peer; i++) {
		const struct o_peer *p = &rule->peer[i];

		if (p->kind != O_PEER_DOMAINS && peer_matches(k, pol, rule, p))
			return;
		for (size_t d = 0; d < p->n_domain; d++)
			for (size_t n = 0; n < k->q->n_names; n++)
				by |= (uint64_t)domain_matches(p->domain[d], k->q->names[n]) << n;
	}
	k->names &= by;
}

/** ranked_tier() - Admin or Baseline: the first rule that matches. Return: it has decided; a Pass has not. */
static bool ranked_tier(struct packet *k, enum oracle_tier tier, struct oracle_verdict *ret)
{
	for (size_t i = 0; i < k->o->n_policy; i++) {
		const struct o_policy *pol = &k->o->policy[i];

		if (pol->tier != tier || !is_subject(k, pol))
			continue;
		for (size_t n = 0; n < pol->n_rule[k->q->dir]; n++) {
			const struct o_rule *rule = &pol->rule[k->q->dir][n];

			if (!rule_matches(k, pol, rule))
				continue;
			if (rule->action == O_PASS && !rule->closed) {
				narrow(k, pol, rule);
				return false;
			}
			*ret = said(rule->action == O_ALLOW, pol, (int)n);
			return true;
		}
	}
	return false;
}

/** np_tier() - the union of all that isolate the pod. Return: one does, so it is decided. */
static bool np_tier(const struct packet *k, struct oracle_verdict *ret)
{
	bool isolated = false;

	for (size_t i = 0; i < k->o->n_policy; i++) {
		const struct o_policy *pol = &k->o->policy[i];

		if (pol->tier != ORACLE_NP || !pol->isolates[k->q->dir] || !is_subject(k, pol))
			continue;
		if (!isolated)
			*ret = said(false, pol, -1);
		isolated = true;
		for (size_t n = 0; n < pol->n_rule[k->q->dir]; n++) {
			if (rule_matches(k, pol, &pol->rule[k->q->dir][n])) {
				*ret = said(true, pol, (int)n);
				return true;
			}
		}
	}
	/* traffic to the pod's own node is always allowed; what the node itself sends, oracle_judge() has let through */
	if (isolated && k->q->dir == ORACLE_EGRESS && is_own_node(k))
		*ret = (struct oracle_verdict){ .allow = true, .tier = ORACLE_NP, .rule = -1 };
	return isolated;
}

void oracle_judge(const struct oracle *o, const struct oracle_query *q, struct oracle_verdict *ret)
{
	struct packet k = { .o = o, .q = q, .subject = &o->pod[q->pod], .names = UINT64_MAX };

	if (q->dir == ORACLE_INGRESS && q->node_local) {
		*ret = (struct oracle_verdict){ .allow = true, .tier = ORACLE_NONE, .rule = -1 };
		return;
	}
	if (ranked_tier(&k, ORACLE_ADMIN, ret) || np_tier(&k, ret) || ranked_tier(&k, ORACLE_BASELINE, ret))
		return;
	*ret = (struct oracle_verdict){ .allow = !o->conf.strict || (q->dir == ORACLE_EGRESS && is_own_node(&k)),
					.tier = ORACLE_DEFAULT, .rule = -1 };
}

int oracle_pod(const struct oracle *o, const char *name)
{
	const char *slash = strchr(name, '/');

	for (size_t i = 0; slash && i < o->n_pod; i++) {
		const struct o_pod *p = &o->pod[i];

		if (strncmp(p->ns, name, (size_t)(slash - name)) == 0 && p->ns[slash - name] == 0 && strcmp(p->name, slash + 1) == 0)
			return (int)i;
	}
	return -ENOENT;
}

static int put(struct oracle_backend *ret, int n, int max, const struct vw_ip *ip, uint16_t port)
{
	if (n < max)
		ret[n++] = (struct oracle_backend){ *ip, port };
	return n;
}

/** from_slices() - Return: how many are in @ret, -1 = the service has no slice of this family. */
static int from_slices(const struct oracle *o, const struct o_svc *s, const struct o_svc_port *p, uint8_t family,
		       struct oracle_backend *ret, int max)
{
	int n = -1;

	for (size_t i = 0; i < o->n_slice; i++) {
		const struct o_slice *l = &o->slice[i];

		if (l->ns != s->ns || l->svc != s->name)
			continue;
		if (n < 0)
			n = 0;
		for (size_t k = 0; k < l->n_port; k++) {
			if (l->port[k].name != p->name || l->port[k].proto != p->proto)
				continue;
			for (size_t e = 0; e < l->n_ip; e++) {
				if (l->ip[e].family == family)
					n = put(ret, n, max, &l->ip[e], l->port[k].port);
			}
		}
	}
	return n;
}

static int from_selector(const struct oracle *o, const struct o_svc *s, const struct o_svc_port *p, uint8_t family,
			 struct oracle_backend *ret, int max)
{
	int n = 0;

	for (size_t i = 0; s->selector.n && i < o->n_pod; i++) {
		const struct o_pod *pod = &o->pod[i];
		bool fits = pod->ns == s->ns && !pod->over;
		int port = p->target_name ? -1 : p->target;

		for (size_t k = 0; k < s->selector.n; k++)
			fits &= label_of(&pod->labels, s->selector.v[k].key) == s->selector.v[k].value;
		for (size_t k = 0; p->target_name && k < pod->n_port; k++) {
			if (pod->port[k].name == p->target_name && pod->port[k].proto == p->proto)
				port = pod->port[k].port;
		}
		for (size_t k = 0; fits && port >= 0 && k < pod->n_ip; k++) {
			if (pod->ip[k].family == family)
				n = put(ret, n, max, &pod->ip[k], (uint16_t)port);
		}
	}
	return n;
}

int oracle_backends(const struct oracle *o, const struct vw_ip *vip, uint8_t proto, uint16_t port, struct oracle_backend *ret,
		    int max)
{
	for (size_t i = 0; i < o->n_svc; i++) {
		const struct o_svc *s = &o->svc[i];

		for (size_t k = 0; has_ip(s->ip, s->n_ip, vip) && k < s->n_port; k++) {
			int n;

			if (s->port[k].proto != proto || s->port[k].port != port)
				continue;
			n = from_slices(o, s, &s->port[k], vip->family, ret, max);
			return n >= 0 ? n : from_selector(o, s, &s->port[k], vip->family, ret, max);
		}
	}
	return -ENOENT;
}
