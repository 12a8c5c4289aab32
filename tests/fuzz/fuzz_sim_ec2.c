/* SPDX-License-Identifier: Apache-2.0 */
/* EC2 requests, from the form to the answer, on a small VPC: whatever is asked, the state stays consistent.
 */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/cloud.h"
#include "sim/ec2.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
	"{\"vpcs\":[{\"id\":\"vpc-0a\",\"cidr\":\"10.0.0.0/16\",\"ipv6_cidrs\":[\"2001:db8::/56\"]}],"
	"\"subnets\":[{\"id\":\"subnet-0a\",\"cidr\":\"10.0.0.0/26\",\"ipv6\":\"2001:db8::/64\"}],"
	"\"security_groups\":[{\"id\":\"sg-0a\",\"name\":\"a\"}],"
	"\"instances\":[{\"name\":\"n\",\"id\":\"i-0a\",\"type\":\"t3.medium\",\"ipv4_secondaries\":1}]}";

static struct sim_cloud *cloud_new(struct sim_loop *loop)
{
	struct vw_json *j = NULL;
	struct vw_err err = { 0 };
	struct sim_cloud *c;

	if (vw_json_parse(config, strlen(config), NULL, "config", &j, &err) < 0 ||
	    sim_cloud_new(loop, j, &c, &err) < 0)
		abort();
	vw_json_free(j);
	return c;
}

/* The map of addresses says what the ENIs' lists say. */
static void check(struct sim_world *w)
{
	struct sim_subnet *s = TAILQ_FIRST(&w->subnets);
	size_t i, taken = 0, used = 0;
	const struct sim_eni *e;

	for (i = 0; i < s->n_use; i++)
		taken += s->use[i] == SIM_USE_ADDRESS || s->use[i] == SIM_USE_PREFIX;
	TAILQ_FOREACH(e, &w->enis, link)
		for (i = 0; i < e->v4.n; i++)
			used += sim_eni_is_prefix(&e->v4.v[i]) ? 16 : 1;
	if (taken != used)
		abort();
}

static void run(struct sim_service *s, const char *body, size_t len)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT;
	struct sim_ec2_call c = { .s = s, .w = s->w, .out = &out };
	const struct sim_ec2_action *act;
	const char *name;
	int r;

	if (sim_params_parse(body, len, &c.params, &c.f) < 0)
		return;
	name = sim_param(&c.params, "Action");
	act = name ? sim_ec2_action_find(name) : NULL;
	c.a.source_dest_check = c.a.delete_on_termination = -1;
	if (act) {
		r = act->parse(&c);
		if (r == 0)
			r = act->run(&c);
		if (r > 0 || (r < 0 && (!c.f.code[0] || !c.f.msg[0] || !c.f.status)))
			abort();
	}
	sim_ec2_args_done(&c.a);
	sim_params_done(&c.params);
}

/* Several requests, one a line, on the same state: what one leaves is what the next finds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;
	struct sim_service s = { 0 };
	struct sim_cloud *cloud;
	struct sim_token *t;
	struct sim_loop *loop;

	if (sim_loop_new(&loop) < 0)
		abort();
	cloud = cloud_new(loop);
	s.w = sim_cloud_world(cloud);
	TAILQ_INIT(&s.tokens);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		nl = nl ? nl : end;
		run(&s, p, (size_t)(nl - p));
		check(s.w);
		p = nl + 1;
	}
	while ((t = TAILQ_FIRST(&s.tokens))) {
		TAILQ_REMOVE(&s.tokens, t, link);
		free(t);
	}
	sim_cloud_free(cloud);
	sim_loop_free(loop);
	return 0;
}
