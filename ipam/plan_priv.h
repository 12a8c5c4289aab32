#pragma once

/* The planner from the inside: for planner.c and shrink.c alone. */

#include "ipam/planner.h"

/**
 * struct ipam_work - a plan that is being made.
 * @fig:  figures that growth already decided on does not change; the shortage left is @left (addresses).
 * @warm_left: of the shortage, what nobody waits for. @enis: attached or about to be, of all kinds. @why: the
 * first obstacle met.
 */
struct ipam_work {
	const struct ipam_pool *p;
	const struct ipam_plan_in *in;
	struct ipam_plan *plan;
	struct ipam_figures fig;
	uint64_t now_ms;
	long left, warm_left;
	unsigned int enis;
	struct ipam_why why;
};

/** ipam_work_action() - the next action to fill in, zeroed, or NULL when the plan is full. */
struct ipam_action *ipam_work_action(struct ipam_work *w, enum ipam_act act);
/** ipam_work_again() - plan again at @at_ms at the latest. */
void ipam_work_again(struct ipam_work *w, uint64_t at_ms);
/** ipam_work_subnet() - the state of a subnet, NULL when nothing is known of it. */
const struct ipam_subnet *ipam_work_subnet(const struct ipam_work *w, const char *id);
/** ipam_work_spare() - addresses that the free slots of attached ENIs have room for, those of @except left out. */
unsigned int ipam_work_spare(const struct ipam_work *w, const struct ipam_eni *except);
/** ipam_work_shrink() - the shrinking half; called when nothing is short, waits or is under way. */
void ipam_work_shrink(struct ipam_work *w);
