/* The node that the planner's tests share. */
#include "tests/unit/ipam_node.h"

#include "lib/base/parse.h"

#include <string.h>

void node_init(struct node *n, enum ipam_mode mode)
{
	memset(n, 0, sizeof(*n));
	n->p = ipam_pool_new();
	assert_non_null(n->p);
	n->in.targets = (struct ipam_targets){ .mode = mode, .warm_eni = 1, .warm_prefix = 1 };
	n->in.limits = (struct ipam_limits){ .max_enis = 3, .slots_per_eni = 9 };
	n->in.subnets = n->subnets;
	n->in.n_subnets = 2;
	n->in.inflight = n->fly;
	memcpy(n->subnets[0].id, "subnet-a", 9);
	memcpy(n->subnets[1].id, "subnet-b", 9);
	n->subnets[0].free4 = n->subnets[1].free4 = IPAM_FREE4_UNKNOWN;
	n->subnets[0].create = true;
	ipam_pool_advance(n->p, 1000000);
}

void node_add_eni(struct node *n, unsigned int number, const char *subnet)
{
	struct ipam_eni e = { .number = number, .primary = number == 0, .usable = true, .state = IPAM_ENI_READY,
			      .max_slots = 9 };

	assert_true(vw_fmt(e.id, sizeof(e.id), "eni-%u", number) > 0);
	assert_true(vw_fmt(e.subnet_id, sizeof(e.subnet_id), "%s", subnet) > 0);
	assert_int_equal(ipam_pool_eni_put(n->p, &e), 0);
}

void node_done(struct node *n)
{
	ipam_pool_free(n->p);
}
