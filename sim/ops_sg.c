/* SPDX-License-Identifier: Apache-2.0 */
/* Security groups and their rules. EC2 knows allowing rules only; a group without any lets nothing pass. */
#include "sim/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/parse.h"
#include "sim/cidrs.h"

#define MAX_RULES 1000

void sim_sg_free(struct sim_sg *g)
{
	sim_tags_done(&g->tags);
	free(g->rules);
	free(g);
}

static bool same(const struct sim_sg_rule *a, const struct sim_sg_rule *b)
{
	return a->egress == b->egress && a->proto == b->proto && a->from == b->from && a->to == b->to && a->ref == b->ref &&
	       (a->ref || vw_cidr_eq(&a->cidr, &b->cidr));
}

static struct sim_sg_rule *find(struct sim_sg *g, const struct sim_sg_rule *rule)
{
	for (size_t i = 0; i < g->n_rules; i++)
		if (same(&g->rules[i], rule))
			return &g->rules[i];
	return NULL;
}

int sim_sg_authorize(struct sim_world *w, struct sim_sg *g, const struct sim_sg_rule *rules, size_t n, struct sim_fail *f)
{
	struct sim_sg_rule *grown;

	for (size_t i = 0; i < n; i++) {
		bool twice = find(g, &rules[i]);

		for (size_t k = 0; k < i; k++)
			twice |= same(&rules[i], &rules[k]);
		if (twice)
			return sim_fail(f, "InvalidPermission.Duplicate", "the specified rule already exists");
	}
	if (g->n_rules + n > MAX_RULES)
		return sim_fail(f, "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.");
	grown = reallocarray(g->rules, g->n_rules + n + !n, sizeof(*grown));
	if (!grown)
		return sim_fail_nomem(f);
	g->rules = grown;
	for (size_t i = 0; i < n; i++) {
		g->rules[g->n_rules] = rules[i];
		sim_make_id(w, "sgr", g->rules[g->n_rules++].id);
	}
	sim_notify_sg(w, g);
	return 0;
}

int sim_sg_revoke(struct sim_world *w, struct sim_sg *g, const struct sim_sg_rule *rules, size_t n, struct sim_fail *f)
{
	for (size_t i = 0; i < n; i++)
		if (!find(g, &rules[i]))
			return sim_fail(f, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
	for (size_t i = 0; i < n; i++) {
		struct sim_sg_rule *r = find(g, &rules[i]);

		if (r)
			*r = g->rules[--g->n_rules];
	}
	sim_notify_sg(w, g);
	return 0;
}

int sim_sg_open(struct sim_world *w, struct sim_sg *g, bool egress, struct sim_fail *f)
{
	struct sim_sg_rule all[2] = {{.egress = egress, .proto = -1, .from = -1, .to = -1},
				     {.egress = egress, .proto = -1, .from = -1, .to = -1}};

	all[0].cidr.ip.family = AF_INET;
	all[1].cidr.ip.family = AF_INET6;
	return sim_sg_authorize(w, g, all, 2, f);
}

int sim_sg_create(struct sim_world *w, struct sim_vpc *vpc, const char *name, const char *description,
		  const struct sim_tags *tags, struct sim_sg **ret_sg, struct sim_fail *f)
{
	struct sim_sg *g;

	TAILQ_FOREACH(g, &w->sgs, link)
		if (g->vpc == vpc && strcmp(g->name, name) == 0)
			return sim_fail(f, "InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc->id);
	g = calloc(1, sizeof(*g));
	if (!g)
		return sim_fail_nomem(f);
	g->vpc = vpc;
	sim_make_id(w, "sg", g->id);
	if (vw_fmt(g->name, sizeof(g->name), "%s", name) < 0 ||
	    vw_fmt(g->description, sizeof(g->description), "%s", description) < 0) {
		sim_sg_free(g);
		return sim_fail(f, "InvalidParameterValue", "The name or the description of a security group is too long");
	}
	if (sim_tags_set_all(&g->tags, tags) < 0 || sim_sg_open(w, g, true, f) < 0) {
		sim_sg_free(g);
		return sim_fail_nomem(f);
	}
	TAILQ_INSERT_TAIL(&w->sgs, g, link);
	*ret_sg = g;
	return 0;
}

/* An ENI has it, or a rule of another group names it. */
static bool in_use(const struct sim_world *w, const struct sim_sg *g)
{
	const struct sim_eni *e;
	const struct sim_sg *o;

	TAILQ_FOREACH(e, &w->enis, link)
		for (size_t i = 0; i < e->n_groups; i++)
			if (e->groups[i] == g)
				return true;
	TAILQ_FOREACH(o, &w->sgs, link)
		for (size_t i = 0; i < o->n_rules; i++)
			if (o != g && o->rules[i].ref == g)
				return true;
	return false;
}

int sim_sg_delete(struct sim_world *w, struct sim_sg *g, struct sim_fail *f)
{
	if (in_use(w, g))
		return sim_fail(f, "DependencyViolation", "resource %s has a dependent object", g->id);
	TAILQ_REMOVE(&w->sgs, g, link);
	sim_sg_free(g);
	return 0;
}
