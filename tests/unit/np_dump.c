#include "tests/unit/np_dump.h"

#include "lib/base/buf.h"

#include <stdlib.h>
#include <string.h>

static void ips(struct vw_buf *out, const struct vw_ip *ip, unsigned int n)
{
	char text[VW_IP_STRLEN];

	for (unsigned int i = 0; i < n; i++)
		vw_buf_printf(out, " %s", vw_ip_str(&ip[i], text));
}

static void labels(struct vw_buf *out, const struct np_label *const *v, unsigned int n)
{
	vw_buf_putc(out, '{');
	for (unsigned int i = 0; i < n; i++)
		vw_buf_printf(out, "%s%s=%s", i ? "," : "", v[i]->key->s, v[i]->value->s);
	vw_buf_putc(out, '}');
}

static void selector(struct vw_buf *out, const struct np_selector *s)
{
	static const char *const ops[] = { " in ", " notin ", " exists", " absent" };

	vw_buf_putc(out, '{');
	for (unsigned int i = 0; i < s->n; i++) {
		const struct np_req *q = &s->req[i];

		vw_buf_printf(out, "%s%s%s", i ? "," : "", q->key->s, ops[q->op]);
		for (unsigned int k = 0; k < q->n_label; k++)
			vw_buf_printf(out, "%s%s", k ? "|" : "", q->label[k]->value->s);
	}
	vw_buf_putc(out, '}');
}

static void peer(struct vw_buf *out, const struct np_peer_rule *p)
{
	char text[VW_CIDR_STRLEN];

	switch (p->type) {
	case NP_PEER_PODS:
		if (p->own_ns)
			vw_buf_puts(out, "own");
		else
			selector(out, &p->spaces);
		selector(out, &p->pods);
		break;
	case NP_PEER_CIDR:
		vw_buf_puts(out, vw_cidr_str(&p->cidr, text));
		for (unsigned int i = 0; i < p->n_except; i++)
			vw_buf_printf(out, "!%s", vw_cidr_str(&p->except[i], text));
		break;
	case NP_PEER_NODES:
		vw_buf_puts(out, "nodes");
		selector(out, &p->pods);
		break;
	case NP_PEER_DOMAIN:
		vw_buf_puts(out, p->domain->s);
		break;
	}
	vw_buf_printf(out, "@%u", p->at);
	if (p->sub)
		vw_buf_printf(out, ".%u", p->sub);
}

static void rule(struct vw_buf *out, const char *dir, const struct np_policy_rule *r)
{
	static const char *const verbs[] = { "accept", "deny", "pass" }, *const protos[] = { "tcp", "udp", "sctp", "any" };

	vw_buf_printf(out, "; %s[%u] %s%s%s", dir, r->at, verbs[r->verb], r->name->len ? " " : "", r->name->s);
	vw_buf_puts(out, r->any_peer ? " *" : "");
	for (unsigned int i = 0; i < r->n_peer; i++) {
		vw_buf_putc(out, ' ');
		peer(out, &r->peer[i]);
	}
	vw_buf_puts(out, r->any_port ? " :*" : " :");
	for (unsigned int i = 0; i < r->n_port; i++) {
		const struct np_port_rule *p = &r->port[i];

		vw_buf_printf(out, "%s%s/", i ? "," : "", protos[p->proto]);
		if (p->name)
			vw_buf_puts(out, p->name->s);
		else if (p->first == p->last)
			vw_buf_printf(out, "%u", p->first);
		else
			vw_buf_printf(out, "%u-%u", p->first, p->last);
	}
}

static void policy(struct vw_buf *out, const struct np_policy *p)
{
	static const char *const tiers[] = { "none", "admin", "np", "baseline" };

	vw_buf_printf(out, " %s %d %s%s", tiers[p->tier], p->priority, p->isolates[NP_INGRESS] ? "I" : "", p->isolates[NP_EGRESS] ? "E" : "");
	if (p->o.kind == NP_KIND_ENDPOINT) {
		vw_buf_printf(out, " of %s/%s:", p->ref_ns->s, p->ref_name->s);
		for (unsigned int i = 0; i < p->n_member; i++)
			vw_buf_printf(out, " %s/%s", p->member[i].ns->s, p->member[i].name->s);
	} else {
		vw_buf_putc(out, ' ');
		if (p->space)
			vw_buf_puts(out, p->space->name->s);
		else
			selector(out, &p->spaces);
		selector(out, &p->pods);
	}
	for (unsigned int i = 0; i < p->n_rule[NP_INGRESS]; i++)
		rule(out, "in", &p->rule[NP_INGRESS][i]);
	for (unsigned int i = 0; i < p->n_rule[NP_EGRESS]; i++)
		rule(out, "eg", &p->rule[NP_EGRESS][i]);
}

static void pod(struct vw_buf *out, const struct np_pod *p)
{
	static const char *const protos[] = { "tcp", "udp", "sctp" };

	vw_buf_putc(out, ' ');
	labels(out, p->shape->label, p->shape->n_label);
	for (unsigned int i = 0; i < p->shape->n_port; i++)
		vw_buf_printf(out, " %s=%s/%u", p->shape->port[i].name->s, protos[p->shape->port[i].proto], p->shape->port[i].port);
	ips(out, &p->ip4, p->ip4.family != 0);
	ips(out, &p->ip6, p->ip6.family != 0);
	vw_buf_printf(out, "%s%s%s%s%s", p->node->len ? " on " : "", p->node->s, p->host_network ? " host" : "", p->done ? " done" : "",
		      p->created ? " dated" : "");
}

void np_dump(struct vw_buf *out, const struct np_object *o)
{
	vw_buf_printf(out, "%s %s%s%s", np_kind_name(o->kind), o->ns->s, o->ns->len ? "/" : "", o->name->s);
	switch (o->kind) {
	case NP_KIND_POD:
		pod(out, (const struct np_pod *)o);
		break;
	case NP_KIND_NAMESPACE:
		vw_buf_putc(out, ' ');
		labels(out, ((const struct np_ns *)o)->labels.v, ((const struct np_ns *)o)->labels.n);
		break;
	case NP_KIND_NODE:
		vw_buf_putc(out, ' ');
		labels(out, ((const struct np_node *)o)->labels.v, ((const struct np_node *)o)->labels.n);
		ips(out, ((const struct np_node *)o)->ip, ((const struct np_node *)o)->n_ip);
		break;
	case NP_KIND_SERVICE:
		vw_buf_putc(out, ' ');
		labels(out, ((const struct np_service *)o)->selector.v, ((const struct np_service *)o)->selector.n);
		ips(out, ((const struct np_service *)o)->ip, ((const struct np_service *)o)->n_ip);
		vw_buf_puts(out, ((const struct np_service *)o)->node_ports ? " nodeports" : "");
		break;
	case NP_KIND_SLICE:
		vw_buf_printf(out, " of %s", ((const struct np_slice *)o)->service->s);
		ips(out, ((const struct np_slice *)o)->ip, ((const struct np_slice *)o)->n_ip);
		break;
	default:
		policy(out, (const struct np_policy *)o);
	}
}

void np_dump_notes(struct vw_buf *out, struct np_world *w)
{
	const struct np_note *v;
	size_t n;

	v = np_world_notes(w, &n);
	for (size_t i = 0; i < n; i++)
		vw_buf_printf(out, "%s %s: %s: %s: %s\n", v[i].refused ? "REFUSED" : "warning", v[i].file, v[i].object, v[i].path, v[i].text);
}
