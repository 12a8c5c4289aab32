/*
 * Explaining a verdict: by the objects, by the compiled image, and by the kernel's maps as they are now; all three must agree.
 */
#include "daemon/daemon.h"
#include "daemon/policy_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_explain.h"
#include "netpolicy-bpf/user/np_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define END_TEXT 640

/** struct end - one end of the connection in question. @a: its attachment when it is a pod of this node. @node: this node itself. */
struct end {
	char text[END_TEXT];
	const struct attachment *a;
	struct vw_ip ip4, ip6;
	bool node;
};

/** struct question - @name: a domain name that @to is known by, "" = none. */
struct question {
	struct end from, to;
	uint8_t proto;
	uint16_t port;
	char name[256];
	char port_text[32];
	int family;
};

/* --- what is asked */

static const struct attachment *attachment_of(const struct daemon *d, const char *ns, const char *name, const struct vw_ip *ip)
{
	const struct attachment *a;

	for (a = d->attach.by_key; a; a = a->hh.next)
		if (!a->superseded && (ip ? vw_ip_eq(&a->addr, ip) || vw_ip_eq(&a->addr6, ip)
					  : !strcmp(a->pod_namespace, ns) && !strcmp(a->pod_name, name)))
			return a;
	return NULL;
}

static int end_by_name(const struct daemon *d, const char *text, struct end *ret, struct vw_err *err)
{
	const char *slash = strchr(text, '/');
	const struct np_pod *pod;
	char ns[256];

	if (!slash || vw_fmt(ns, sizeof(ns), "%.*s", (int)(slash - text), text) < 0)
		return vw_err_set(err, EINVAL, 0, "'%.128s' is neither NAMESPACE/POD nor an address nor 'node'", text);
	ret->a = attachment_of(d, ns, slash + 1, NULL);
	if (ret->a) {
		ret->ip4 = ret->a->addr;
		ret->ip6 = ret->a->addr6;
		return 0;
	}
	pod = (const struct np_pod *)np_world_find(d->policy->world, NP_KIND_POD, ns, slash + 1);
	if (!pod)
		return vw_err_set(err, ENOENT, 0, "there is no pod %.128s: not on this node, and no Pod object in policy_dir", text);
	ret->ip4 = pod->ip4;
	ret->ip6 = pod->ip6;
	return 0;
}

static int end_of(const struct daemon *d, const struct vw_json *args, const char *key, struct end *ret, struct vw_err *err)
{
	const char *text = NULL;
	struct vw_ip ip;
	int r = vw_json_get_str(args, key, &text, err);

	if (r < 0)
		return r;
	if (r == 0 || vw_fmt(ret->text, sizeof(ret->text), "%s", text) < 0)
		return vw_err_set(err, EINVAL, 0, "argument '%s' is missing or too long", key);
	if (!strcmp(text, "node")) {
		ret->node = true;
		for (size_t i = 0; i < d->enis.n; i++)
			if (d->enis.v[i].row.primary) {
				ret->ip4 = d->enis.v[i].row.primary_ip;
				ret->ip6 = d->enis.v[i].row.ip6;
			}
		return 0;
	}
	if (vw_ip_parse(text, &ip) < 0)
		return end_by_name(d, text, ret, err);
	ret->a = attachment_of(d, NULL, NULL, &ip);
	*(ip.family == AF_INET ? &ret->ip4 : &ret->ip6) = ip;
	return 0;
}

/* "80/tcp", "80", "icmp", "47" would be a port: protocols go by name */
static int port_of(const struct vw_json *args, struct question *q, struct vw_err *err)
{
	static const struct {
		const char *name;
		uint8_t proto;
		bool ports;
	} protos[] = { { "tcp", IPPROTO_TCP, true },      { "udp", IPPROTO_UDP, true },       { "sctp", IPPROTO_SCTP, true },
		       { "icmp", IPPROTO_ICMP, false },   { "icmpv6", IPPROTO_ICMPV6, false } };
	const char *text = "icmp", *proto;
	char number[16] = "";
	uint64_t port = 0;

	if (vw_json_get_str(args, "port", &text, err) < 0)
		return -err->eno;
	proto = strchr(text, '/');
	if (proto)
		(void)!vw_fmt(number, sizeof(number), "%.*s", (int)(proto - text), text);
	else if (text[0] >= '0' && text[0] <= '9')
		(void)!vw_fmt(number, sizeof(number), "%s", text);
	proto = proto ? proto + 1 : *number ? "tcp" : text;
	for (size_t i = 0; i < VW_ARRAY_SIZE(protos); i++) {
		if (strcasecmp(protos[i].name, proto) != 0)
			continue;
		if (protos[i].ports ? vw_parse_u64(number, 1, 65535, &port) < 0 : *number != 0)
			break;
		q->proto = protos[i].proto;
		q->port = (uint16_t)port;
		return vw_fmt(q->port_text, sizeof(q->port_text), "%s", text) < 0 ? -EINVAL : 0;
	}
	return vw_err_set(err, EINVAL, 0, "'%.32s' is no port: wanted 80/tcp, 53/udp, 9/sctp, icmp or icmpv6", text);
}

static int ask(const struct daemon *d, const struct vw_json *args, struct question *q, struct vw_err *err)
{
	const char *name = "";
	int r = end_of(d, args, "from", &q->from, err);

	if (r == 0)
		r = end_of(d, args, "to", &q->to, err);
	if (r == 0)
		r = port_of(args, q, err);
	if (r == 0)
		r = vw_json_get_str(args, "name", &name, err);
	if (r < 0)
		return r;
	if (vw_fmt(q->name, sizeof(q->name), "%s", name) < 0)
		return vw_err_set(err, EINVAL, 0, "the domain name is too long");
	for (char *c = q->name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (q->from.ip4.family && q->to.ip4.family)
		q->family = AF_INET;
	else if (q->from.ip6.family && q->to.ip6.family)
		q->family = AF_INET6;
	else
		return vw_err_set(err, EINVAL, 0, "%.128s and %.128s have no address of the same family", q->from.text, q->to.text);
	if (!q->from.a && !q->to.a)
		return vw_err_set(err, ENOENT, 0, "neither %.128s nor %.128s is a pod of this node: ask on the node of one of them",
				  q->from.text, q->to.text);
	return 0;
}

/* --- what is answered */

static const char *action_text(enum np_action a)
{
	return a == NP_DENY ? "DENY" : "ALLOW";
}

static struct vw_json *walk_json(const struct np_explain *e)
{
	static const char *const verbs[] = { [NP_ACCEPT] = "accepts it", [NP_REFUSE] = "denies it", [NP_PASS] = "passes it to the next tier" };
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < e->n_step; i++) {
		const struct np_explain_step *s = &e->step[i];
		const struct np_object *o = &s->policy->o;
		struct vw_json *j = vw_json_new_object();
		char name[2 * VW_ID_MAX];
		int bad = vw_fmt(name, sizeof(name), "%s%s%s", o->ns->s, *o->ns->s ? "/" : "", o->name->s) < 0;

		bad |= vw_json_set_str(j, "tier", policy_tier_name(s->tier));
		bad |= vw_json_set_str(j, "kind", np_kind_name(o->kind));
		bad |= vw_json_set_str(j, "policy", name);
		bad |= vw_json_set_str(j, "rule", s->path);
		bad |= vw_json_set_str(j, "outcome", verbs[s->verb]);
		if (s->by_name)
			bad |= vw_json_set_bool(j, "by_name", true);
		if (bad) {
			vw_json_free(j);
			j = NULL;
		}
		failed |= vw_json_append(arr, j);
	}
	if (!failed)
		return arr;
	vw_json_free(arr);
	return NULL;
}

static struct vw_json *policies_json(const struct np_explain *e)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < e->n_policy; i++) {
		const struct np_explain_policy *p = &e->policy[i];
		struct vw_json *j = vw_json_new_object();
		char name[2 * VW_ID_MAX];
		int bad = vw_fmt(name, sizeof(name), "%s%s%s", p->ns, *p->ns ? "/" : "", p->name) < 0;

		bad |= vw_json_set_str(j, "tier", policy_tier_name(p->tier));
		bad |= vw_json_set_str(j, "kind", p->kind);
		bad |= vw_json_set_str(j, "policy", name);
		bad |= vw_json_set_str(j, "file", p->file);
		bad |= vw_json_set_bool(j, "counts", p->counts);
		if (bad) {
			vw_json_free(j);
			j = NULL;
		}
		failed |= vw_json_append(arr, j);
	}
	if (!failed)
		return arr;
	vw_json_free(arr);
	return NULL;
}

static const char *reason_of(const struct np_explain *e)
{
	if (e->own_node)
		return "traffic between a pod and its own node is always allowed to NetworkPolicies";
	if (e->n_step && e->tier != NP_TIER_DEFAULT)
		return NULL;
	if (e->isolated)
		return "policies isolate the pod in this direction and no rule of theirs matches";
	return "no policy selects the pod in this direction";
}

static uint64_t names_of(const struct np_image_blob *b, const char *name)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; *name && i < b->n_fqdn; i++)
		if (np_domain_matches(b->fqdn[i], name))
			bits |= 1ull << i;
	return bits;
}

/* what the kernel's maps say of the same packet; @ret_same: the action is the same */
static const char *kernel_says(struct policy *p, const struct question *q, const struct np_explain *e, const struct np_explain_query *x,
			       bool *ret_same)
{
	struct np_lookup l = {
		.slot = x->slot, .dir = x->dir, .peer = x->peer, .proto = q->proto, .port = q->port,
		.names = names_of(&p->image->blob[e->blob], q->name),
	};
	int r = np_publish_look(p->pub, &l);

	*ret_same = false;
	if (r < 0)
		return r == -EBADMSG ? "the tables in the kernel are damaged: restart vpcwired" : "the tables in the kernel cannot be read";
	if (l.off)
		return "no policy is in force";
	/* what the node itself sends is not looked up at all */
	*ret_same = x->node_local || (NP_VERDICT_ACTION(l.verdict) == NP_DENY) == (NP_VERDICT_ACTION(e->verdict) == NP_DENY);
	return x->node_local ? "ALLOW" : action_text((enum np_action)NP_VERDICT_ACTION(l.verdict));
}

static struct vw_json *note(const char *text)
{
	struct vw_json *j = vw_json_new_object();

	if (vw_json_set_str(j, "note", text) == 0)
		return j;
	vw_json_free(j);
	return NULL;
}

static int put_rule(struct vw_json *j, const struct np_explain *e)
{
	const struct np_rule *r = e->rule;

	if (!r)
		return 0;
	return vw_json_set_str(j, "kind", r->kind) | vw_json_set_str(j, "policy", r->policy) |
	       vw_json_set_str(j, "rule", *r->path ? r->path : NULL) | vw_json_set_str(j, "rule_name", *r->name ? r->name : NULL) |
	       vw_json_set_str(j, "file", *r->file ? r->file : NULL);
}

/* one direction, for the pod at @subject; *ret_deny: it is denied there. *ret_odd: something disagrees */
static int explain_end(struct daemon *d, const struct question *q, const struct end *subject, const struct end *peer, enum np_dir dir,
		       struct vw_json **ret, bool *ret_deny, const char **ret_odd, struct vw_err *err)
{
	const char *name = q->name, *kernel;
	const struct np_explain_query x = {
		.slot = subject->a->slot, .dir = dir, .peer = q->family == AF_INET ? peer->ip4 : peer->ip6, .proto = q->proto,
		.port = q->port, .name = &name, .n_name = *q->name != 0, .node_local = peer->node && dir == NP_INGRESS,
	};
	struct vw_json *j = vw_json_new_object();
	struct np_explain e;
	char pod[2 * VW_ID_MAX];
	int failed, r = np_explain(d->policy->image, d->policy->world, &x, &e, err);
	bool same;

	if (r < 0) {
		vw_json_free(j);
		return r;
	}
	kernel = kernel_says(d->policy, q, &e, &x, &same);
	failed = vw_fmt(pod, sizeof(pod), "%s/%s", subject->a->pod_namespace, subject->a->pod_name) < 0;
	failed |= vw_json_set_str(j, "pod", pod);
	failed |= vw_json_set_str(j, "verdict", action_text(e.action));
	failed |= vw_json_set_str(j, "tier", policy_tier_name(e.tier));
	failed |= put_rule(j, &e);
	failed |= vw_json_set_str(j, "reason", reason_of(&e));
	failed |= vw_json_set_str(j, "peer", e.who && *e.who ? e.who : NULL);
	if (e.peer_flags & NP_IDENT_VIP && dir == NP_EGRESS)
		failed |= vw_json_set_str(j, "service", "a service's address: judged by the pod that is chosen; ask for that pod");
	failed |= vw_json_set_int(j, "class", e.cls);
	failed |= vw_json_set_int(j, "port_class", e.port_cls);
	failed |= vw_json_set_int(j, "row", e.row);
	failed |= vw_json_set_int(j, "column", e.col);
	failed |= vw_json_set_int(j, "table", e.blob);
	failed |= vw_json_set_str(j, "kernel", kernel);
	failed |= vw_json_set(j, "policies", policies_json(&e));
	failed |= vw_json_set(j, "walk", walk_json(&e));
	*ret_deny |= e.action == NP_DENY;
	if (!e.agree)
		*ret_odd = "the compiled table says something else than the objects: please report it";
	else if (!same)
		*ret_odd = "the kernel's maps say something else than the compiled table";
	np_explain_done(&e);
	if (failed) {
		vw_json_free(j);
		return vw_err_set(err, ENOMEM, 0, "no memory for an explanation");
	}
	*ret = j;
	return 0;
}

int policy_query_explain(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();
	vw_auto_free struct question *q = calloc(1, sizeof(*q));
	struct vw_json *egress = NULL, *ingress = NULL;
	const char *odd = NULL;
	bool deny = false, itself;
	int r = q ? 0 : vw_err_set(err, ENOMEM, 0, "no memory for a question");

	if (r == 0 && !d->policy->image)
		r = vw_err_set(err, ENOENT, 0, "network policy is switched off");
	if (r == 0)
		r = ask(d, args, q, err);
	if (r < 0)
		return r;
	itself = q->from.a && q->from.a == q->to.a;
	if (itself)
		egress = note("a pod reaches itself without leaving its network namespace");
	else if (q->from.a)
		r = explain_end(d, q, &q->from, &q->to, NP_EGRESS, &egress, &deny, &odd, err);
	else
		egress = note("not a pod of this node: its own node judges what it sends");
	if (r == 0 && itself)
		ingress = note("the same pod");
	else if (r == 0 && q->to.a)
		r = explain_end(d, q, &q->to, &q->from, NP_INGRESS, &ingress, &deny, &odd, err);
	else if (r == 0)
		ingress = note("not a pod of this node: whoever has the address judges what it receives");
	if (r < 0) {
		vw_json_free(egress);
		return r;
	}
	if ((vw_json_set(root, "egress", egress) | vw_json_set(root, "ingress", ingress) | vw_json_set_str(root, "from", q->from.text) |
	     vw_json_set_str(root, "to", q->to.text) | vw_json_set_str(root, "port", q->port_text) |
	     vw_json_set_str(root, "verdict", deny ? "DENY" : "ALLOW") | vw_json_set_str(root, "disagreement", odd)) != 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for an explanation");
	*ret = VW_TAKE_PTR(root);
	return 0;
}
