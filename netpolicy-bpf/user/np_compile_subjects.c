/* This node's pods: who they are to policies, and which policies select them, in order of precedence. */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

/* --- policies by namespace */

/* EKS's controller made it of a policy that is here itself, and says more exactly what is meant. */
static bool is_made_of_known(const struct np_build *b, const struct np_policy *p)
{
	return p->o.kind == NP_KIND_ENDPOINT &&
	       np_world_find(b->w, p->ref_kind, p->ref_ns->s, p->ref_name->s);
}

static const enum np_kind of_namespaces[] = {NP_KIND_NETWORKPOLICY, NP_KIND_APPLICATION, NP_KIND_ENDPOINT};
static const enum np_kind of_cluster[] = {NP_KIND_CLUSTER, NP_KIND_CLUSTER_AWS, NP_KIND_ADMIN,
					  NP_KIND_BASELINE};
#define KINDS(a) (sizeof(a) / sizeof((a)[0]))

static const struct np_policy *policy_at(const struct np_build *b, enum np_kind kind, size_t i)
{
	return (const struct np_policy *)np_world_list(b->w, kind)->v[i];
}

int np_subjects_index(struct np_build *b)
{
	const struct np_names *names = np_world_names(b->w);
	size_t n = 0;

	b->n_of_space = b->n_space = names->space_ids.next;
	b->n_shape_id = names->shape_ids.next;
	for (size_t k = 0; k < KINDS(of_namespaces); k++)
		n += np_world_list(b->w, of_namespaces[k])->n;
	b->of_space = np_mem_alloc(&b->mem, n + 1, sizeof(*b->of_space));
	b->of_space_first = np_mem_alloc(&b->mem, b->n_of_space + 2, sizeof(*b->of_space_first));
	if (!b->of_space || !b->of_space_first)
		return np_oom(b);
	for (size_t k = 0; k < KINDS(of_namespaces); k++)
		for (size_t i = 0; i < np_world_list(b->w, of_namespaces[k])->n; i++)
			b->of_space_first[policy_at(b, of_namespaces[k], i)->space->id + 2]++;
	for (size_t i = 2; i < b->n_of_space + 2; i++)
		b->of_space_first[i] += b->of_space_first[i - 1];
	for (size_t k = 0; k < KINDS(of_namespaces); k++)
		for (size_t i = 0; i < np_world_list(b->w, of_namespaces[k])->n; i++) {
			const struct np_policy *p = policy_at(b, of_namespaces[k], i);

			b->of_space[b->of_space_first[p->space->id + 1]++] = p;
		}
	return 0;
}

/* --- who a pod is */

static bool has_ip(const struct np_pod *pod, const struct np_local *l)
{
	return (l->ip4.family && vw_ip_eq(&pod->ip4, &l->ip4)) ||
	       (l->ip6.family && vw_ip_eq(&pod->ip6, &l->ip6));
}

/* The object of a pod whose ADD brought no name. */
static const struct np_pod *find_by_ip(const struct np_build *b, const struct np_local *l)
{
	const struct np_list *pods = np_world_list(b->w, NP_KIND_POD);

	for (size_t i = 0; i < pods->n; i++) {
		const struct np_pod *pod = (const struct np_pod *)pods->v[i];

		if (!pod->host_network && !pod->done && has_ip(pod, l))
			return pod;
	}
	return NULL;
}

static struct np_bare *bare_new(struct np_build *b, const char *ns)
{
	struct np_str *name = np_mem_alloc(&b->mem, 1, sizeof(*name) + strlen(ns) + 1);
	struct np_bare *bare = np_mem_alloc(&b->mem, 1, sizeof(*bare));

	if (!name || !bare || np_grow(&b->bare, b->n_bare, &b->cap_bare, sizeof(struct np_bare *)) < 0)
		return NULL;
	memcpy(name->s, ns, strlen(ns) + 1);
	name->len = strlen(ns);
	bare->name = name;
	bare->space.name = name;
	bare->space.id = (uint32_t)b->n_space++;
	bare->implied.value = name;
	bare->shape.id = (uint32_t)b->n_shape_id++;
	bare->shape.serial = UINT64_MAX - b->n_bare;
	b->bare[b->n_bare++] = bare;
	return bare;
}

/* Namespace and nothing else is known of the pod. */
static const struct np_shape *bare_shape(struct np_build *b, const char *ns)
{
	const struct np_names *names = np_world_names(b->w);
	const struct np_label *implied = np_label_find(names, NP_METADATA_NAME, ns);
	struct np_bare *bare = NULL;

	for (size_t i = 0; i < b->n_bare && !bare; i++)
		if (!strcmp(b->bare[i]->name->s, ns))
			bare = b->bare[i];
	if (!bare)
		bare = bare_new(b, ns);
	if (!bare)
		return NULL;
	/* where no object is in the namespace only selectors over all namespaces can mean it */
	bare->implied.key = np_str_find(names, NP_METADATA_NAME);
	bare->space.implied = implied ? implied : &bare->implied;
	bare->shape.space = np_space_find(names, ns);
	if (!bare->shape.space)
		bare->shape.space = &bare->space;
	return &bare->shape;
}

void np_who_done(struct np_who *who)
{
	free(who->ns);
	free(who->pod_name);
	*who = (struct np_who){0};
}

int np_who_is(struct np_build *b, const struct np_local *local, struct np_who *ret)
{
	const struct np_names *names = np_world_names(b->w);
	struct np_who who = {.slot = local->slot, .ip4 = local->ip4, .ip6 = local->ip6};
	bool named = *local->name;

	who.pod = named ? (const struct np_pod *)np_world_find(b->w, NP_KIND_POD, local->ns, local->name)
			: find_by_ip(b, local);
	who.ns = strdup(who.pod ? who.pod->o.ns->s : local->ns);
	who.pod_name = strdup(who.pod ? who.pod->o.name->s : local->name);
	if (!who.ns || !who.pod_name) {
		np_who_done(&who);
		return np_oom(b);
	}
	/* an object that has ended, with other addresses, is of a pod of this name before */
	who.done = who.pod && who.pod->done && has_ip(who.pod, local);
	who.name = np_str_find(names, who.pod_name);
	if (who.pod)
		who.shape = who.pod->shape;
	else if (*who.ns && *who.pod_name)
		who.shape = bare_shape(b, who.ns);
	if (!who.shape && *who.ns && *who.pod_name) {
		np_who_done(&who);
		return np_oom(b);
	}
	*ret = who;
	return 0;
}

int np_who_now(struct np_build *b, const struct np_who *then, struct np_who *ret)
{
	const struct np_local local = {then->slot, then->ns, then->pod_name, then->ip4, then->ip6};

	return np_who_is(b, &local, ret);
}

int np_who_add(struct np_build *b, const struct np_local *local)
{
	struct np_who who;
	int r = np_who_is(b, local, &who);

	if (r < 0)
		return r;
	if (np_grow(&b->who, b->n_who, &b->cap_who, sizeof(*b->who)) < 0) {
		np_who_done(&who);
		return np_oom(b);
	}
	b->who[b->n_who++] = who;
	return 0;
}

/* --- policies of a pod */

static int by_precedence(const void *a, const void *b)
{
	const struct np_policy *x = *(const struct np_policy *const *)a,
			       *y = *(const struct np_policy *const *)b;
	int d;

	if (x->tier != y->tier)
		return (int)x->tier - (int)y->tier;
	if (x->priority != y->priority)
		return x->priority - y->priority;
	d = strcmp((x->ref_name ? x->ref_name : x->o.name)->s, (y->ref_name ? y->ref_name : y->o.name)->s);
	d = d ? d : (int)x->o.kind - (int)y->o.kind;
	return d ? d : strcmp(x->o.name->s, y->o.name->s);
}

static int add_policy(struct np_build *b, struct np_policies *ps, const struct np_policy *p)
{
	size_t cap = ps->cap;

	if (np_grow(&ps->v, ps->n, &cap, sizeof(*ps->v)) < 0)
		return np_oom(b);
	ps->cap = (unsigned int)cap;
	ps->v[ps->n++] = p;
	return 0;
}

static bool same_policy(const struct np_policy *a, const struct np_policy *b)
{
	return a->ref_name == b->ref_name && a->ref_ns == b->ref_ns && a->ref_kind == b->ref_kind;
}

/* All parts of the policy that @part, which selects the pod, is one of. */
static int add_parts(struct np_build *b, struct np_policies *ps, const struct np_policy *part, size_t from,
		     size_t to)
{
	int r = 0;

	for (unsigned int i = 0; i < ps->n; i++)
		if (ps->v[i]->o.kind == NP_KIND_ENDPOINT && same_policy(ps->v[i], part))
			return 0;
	for (size_t i = from; r == 0 && i < to; i++)
		if (b->of_space[i]->o.kind == NP_KIND_ENDPOINT && same_policy(b->of_space[i], part))
			r = add_policy(b, ps, b->of_space[i]);
	return r;
}

int np_policies_of(struct np_build *b, const struct np_who *who, struct np_policies *ret)
{
	const struct np_shape *s = who->shape;
	size_t from, to;
	int r = 0;

	*ret = (struct np_policies){0};
	if (!s || who->done)
		return 0;
	from = s->space->id < b->n_of_space ? b->of_space_first[s->space->id] : 0;
	to = s->space->id < b->n_of_space ? b->of_space_first[s->space->id + 1] : 0;
	for (size_t i = from; r == 0 && i < to; i++) {
		const struct np_policy *p = b->of_space[i];

		if (!np_policy_selects(p, s, who->name) || is_made_of_known(b, p))
			continue;
		r = p->o.kind == NP_KIND_ENDPOINT ? add_parts(b, ret, p, from, to) : add_policy(b, ret, p);
	}
	for (size_t k = 0; k < KINDS(of_cluster); k++)
		for (size_t i = 0; r == 0 && i < np_world_list(b->w, of_cluster[k])->n; i++)
			if (np_policy_selects(policy_at(b, of_cluster[k], i), s, who->name))
				r = add_policy(b, ret, policy_at(b, of_cluster[k], i));
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_precedence);
	return r;
}
