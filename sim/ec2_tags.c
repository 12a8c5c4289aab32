/* SPDX-License-Identifier: Apache-2.0 */
/* CreateTags and DeleteTags, on every kind of object the simulator has. */
#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "sim/cidrs.h"
#include "sim/ec2.h"
#include "sim/ec2_want.h"

#define MAX_TAGS 50 /* EC2: per resource */

int sim_ec2_tags_check(const struct sim_tags *t, struct sim_fail *f)
{
	size_t i;

	if (t->n > MAX_TAGS)
		return sim_fail(f, "TagLimitExceeded", "More than %d tags specified.", MAX_TAGS);
	for (i = 0; i < t->n; i++) {
		if (!t->v[i].key[0])
			return sim_fail(f, "InvalidParameterValue", "Tag keys cannot be empty");
		if (strncmp(t->v[i].key, "aws:", 4) == 0)
			return sim_fail(f, "InvalidParameterValue",
					"Tag keys starting with 'aws:' are reserved for internal use");
	}
	return 0;
}

static struct sim_tags *tags_of(struct sim_world *w, const char *id)
{
	struct sim_instance *i;
	struct sim_subnet *s;
	struct sim_eni *e;
	struct sim_vpc *v;
	struct sim_sg *g;

	if ((e = sim_eni_find(w, id)))
		return &e->tags;
	if ((i = sim_instance_find(w, id)) && strcmp(i->id, id) == 0)
		return &i->tags;
	if ((s = sim_subnet_find(w, id)))
		return &s->tags;
	if ((v = sim_vpc_find(w, id)))
		return &v->tags;
	if ((g = sim_sg_find(w, id)))
		return &g->tags;
	return NULL;
}

static int not_found(const char *id, struct sim_fail *f)
{
	static const struct {
		const char *prefix, *code, *what;
	} kinds[] = {
		{ "eni-", "InvalidNetworkInterfaceID.NotFound", "networkInterface ID" },
		{ "i-", "InvalidInstanceID.NotFound", "instance ID" },
		{ "subnet-", "InvalidSubnetID.NotFound", "subnet ID" },
		{ "vpc-", "InvalidVpcID.NotFound", "vpc ID" },
		{ "sg-", "InvalidGroup.NotFound", "security group" },
	};
	size_t k;

	for (k = 0; k < VW_ARRAY_SIZE(kinds); k++)
		if (strncmp(id, kinds[k].prefix, strlen(kinds[k].prefix)) == 0)
			return sim_fail(f, kinds[k].code, "The %s '%.64s' does not exist", kinds[k].what, id);
	return sim_fail(f, "InvalidID", "The ID '%.64s' is not valid", id);
}

static int resources_param(struct sim_ec2_call *c)
{
	int i, n = sim_param_list(&c->params, "ResourceId", NULL, SIM_MAX_LIST, c->a.resources, &c->f);

	if (n == 0)
		return sim_fail(&c->f, "MissingParameter",
				"The request must contain the parameter resourceIdSet");
	for (i = 0; i < n; i++)
		if (!tags_of(c->w, c->a.resources[i]))
			return not_found(c->a.resources[i], &c->f);
	c->a.n_resources = n;
	return n;
}

int sim_ec2_tags_parse(struct sim_ec2_call *c)
{
	int r = resources_param(c);

	if (r >= 0)
		r = sim_param_tags(&c->params, "Tag", &c->a.tags, &c->f);
	if (r == 0)
		return sim_fail(&c->f, "MissingParameter", "The request must contain the parameter tagSet");
	return r < 0 ? r : sim_ec2_tags_check(&c->a.tags, &c->f);
}

int sim_ec2_tags_run(struct sim_ec2_call *c)
{
	size_t k, fresh;
	int i;

	for (i = 0; i < c->a.n_resources; i++) {
		struct sim_tags *t = tags_of(c->w, c->a.resources[i]);

		for (k = fresh = 0; k < c->a.tags.n; k++)
			fresh += !sim_tags_get(t, c->a.tags.v[k].key);
		if (t->n + fresh > MAX_TAGS)
			return sim_fail(&c->f, "TagLimitExceeded",
					"The maximum number of Tags for a resource (%d) has been "
					"reached.",
					MAX_TAGS);
	}
	for (i = 0; i < c->a.n_resources; i++)
		if (sim_tags_set_all(tags_of(c->w, c->a.resources[i]), &c->a.tags) < 0)
			return sim_fail_nomem(&c->f);
	sim_ec2_return_true(c);
	return 0;
}

/* A tag without a value goes whatever its value; that is told apart when it is done. */
int sim_ec2_untags_parse(struct sim_ec2_call *c)
{
	int r = resources_param(c);

	if (r >= 0)
		r = sim_param_tags(&c->params, "Tag", &c->a.tags, &c->f);
	return r < 0 ? r : 0;
}

static void untag(struct sim_ec2_call *c, struct sim_tags *t)
{
	char key[32];
	unsigned int k;

	if (!c->a.tags.n)
		sim_tags_done(t);
	for (k = 0; k <= SIM_MAX_LIST; k++) {
		const char *name;

		if (vw_fmt(key, sizeof(key), "Tag.%u.Key", k) < 0)
			return;
		name = sim_param(&c->params, key);
		if (!name || vw_fmt(key, sizeof(key), "Tag.%u.Value", k) < 0)
			continue;
		sim_tags_unset(t, name, sim_param(&c->params, key));
	}
}

int sim_ec2_untags_run(struct sim_ec2_call *c)
{
	int i;

	for (i = 0; i < c->a.n_resources; i++)
		untag(c, tags_of(c->w, c->a.resources[i]));
	sim_ec2_return_true(c);
	return 0;
}
