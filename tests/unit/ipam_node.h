#pragma once

/* A node to plan for: a pool, two subnets, room for actions under way. For the planner's tests. */

#include "ipam/planner.h"

#include "tests/unit/cm.h"

struct node {
	struct ipam_pool *p;
	struct ipam_plan_in in;
	struct ipam_subnet subnets[2];
	struct ipam_inflight fly[8];
	struct ipam_plan plan;
	unsigned int pods;
};

/** node_init() - three ENIs of nine slots allowed, new ones in "subnet-a"; WARM_ENI and WARM_PREFIX 1. */
void node_init(struct node *n, enum ipam_mode mode);
void node_done(struct node *n);
/** node_add_eni() - "eni-<number>", ready; 0 is the primary. */
void node_add_eni(struct node *n, unsigned int number, const char *subnet);
