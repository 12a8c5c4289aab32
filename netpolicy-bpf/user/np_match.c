/* Who is selected: the plain way, one pod and one selector at a time. The compiler does the same with
 * whole sets. */
#include "netpolicy-bpf/user/np_world.h"

#include <stdlib.h>
#include <string.h>

static bool has(const struct np_req *q, const struct np_label *const *label, unsigned int n_label)
{
	for (unsigned int i = 0; i < n_label; i++) {
		if (label[i]->key != q->key)
			continue;
		if (q->op == NP_OP_EXISTS || q->op == NP_OP_ABSENT)
			return true;
		for (unsigned int k = 0; k < q->n_label; k++)
			if (q->label[k] == label[i])
				return true;
		return false;
	}
	return false;
}

bool np_selects(const struct np_selector *s, const struct np_label *const *label, unsigned int n_label)
{
	for (unsigned int i = 0; i < s->n; i++) {
		bool wanted = s->req[i].op == NP_OP_IN || s->req[i].op == NP_OP_EXISTS;

		if (has(&s->req[i], label, n_label) != wanted)
			return false;
	}
	return true;
}

bool np_selects_space(const struct np_selector *s, const struct np_space *space)
{
	if (space->object)
		return np_selects(s, space->object->labels.v, space->object->labels.n);
	return np_selects(s, &space->implied, 1);
}

struct member_key {
	const char *ns, *name;
};

static int by_member(const void *key, const void *p)
{
	const struct member_key *k = key;
	const struct np_member *m = p;
	int d = strcmp(k->name, m->name->s);

	return d ? d : strcmp(k->ns, m->ns->s);
}

bool np_policy_selects(const struct np_policy *p, const struct np_shape *shape, const struct np_str *name)
{
	const struct member_key key = {shape->space->name->s, name ? name->s : ""};

	if (p->o.kind == NP_KIND_ENDPOINT)
		return p->n_member && bsearch(&key, p->member, p->n_member, sizeof(*p->member), by_member);
	if (p->space ? p->space != shape->space : !np_selects_space(&p->spaces, shape->space))
		return false;
	return np_selects(&p->pods, shape->label, shape->n_label);
}

unsigned int np_shape_port(const struct np_shape *shape, const struct np_str *name, unsigned int proto)
{
	for (unsigned int i = 0; i < shape->n_port; i++)
		if (shape->port[i].name == name && shape->port[i].proto == proto)
			return shape->port[i].port;
	return 0;
}
