#pragma once

#include "daemon/ec2.h"
#include "daemon/grow_job.h"
#include "daemon/place.h"
#include "daemon/settle.h"
#include "ipam/demand.h"
#include "ipam/planner.h"

#include <stdbool.h>
#include <stdint.h>

struct loop_timer;

#define GROW_MAX_JOBS 16
#define GROW_MAX_SUBNETS (PLACE_MAX_SUBNETS + ENI_MAX)

/**
 * struct grow - what growing remembers between plans.
 * @jobs:       under way; the planner counts what they will bring.
 * @subnets:    state of those that were seen to be short of something.
 * @blocks:     after a failure: by kind of action, when to try again, and the cause that ADDs and STATUS show.
 * @pause_ms:   the present length of the doubling wait by kind, 0 after a success.
 * @chance:     state of the jitter.
 * @changes:    counts starts and ends of jobs, so that a survey knows whether what it saw can be out of date.
 * @demand:     what pods have asked for of late; the warm target when the operator set none. @demand_stored: as it is
 *              in the store. @wanted_ms: since when addresses have been short, 0 = they are not.
 * @look_again: a survey is due: what we believe and what EC2 says differ.
 * @given:      slots that were given back of late, which EC2 may still show.
 * @block6, @pause6_ms: the same two for a /80.
 * @resume_deletes: what EC2 said is new enough to decide about ENIs that are half removed.
 * @replan:     fires when a pause ends.
 */
struct grow {
	struct grow_job *jobs[GROW_MAX_JOBS];
	size_t n_jobs;
	struct ipam_subnet subnets[GROW_MAX_SUBNETS];
	size_t n_subnets;
	struct ipam_why blocks[IPAM_ACT_COUNT_];
	uint64_t pause_ms[IPAM_ACT_COUNT_];
	struct ipam_why block6;
	uint64_t pause6_ms;
	uint64_t chance;
	uint64_t last_shrink_ms;
	uint64_t changes;
	struct ipam_demand demand, demand_stored;
	uint64_t wanted_ms;
	struct settle given;
	bool look_again;
	bool resume_deletes;
	struct loop_timer *replan;
};

/** struct grow_input - what the planner is asked with: @in points into the other two. */
struct grow_input {
	struct ipam_plan_in in;
	struct ipam_inflight inflight[GROW_MAX_JOBS];
	struct ipam_subnet subnets[GROW_MAX_SUBNETS];
};
/** grow_input() - as things are now. Makes entries in grow->subnets for subnets of ENIs that it did not know. */
void grow_input(const struct daemon *d, struct grow_input *ret);

/** grow_subnet() - the state of subnet @id, made when there is none; NULL when too many are known. */
struct ipam_subnet *grow_subnet(struct grow *g, const char *id);
/** grow_act() - the planner's name for what @j does; not for GROW_ASSIGN6 and GROW_TIE, of which it knows nothing. */
enum ipam_act grow_act(const struct grow_job *j);
/** grow_brings() - @j will bring addresses. */
bool grow_brings(const struct grow_job *j);
/** grow_ask_why() - why nobody who waits for an IPv4 address is served; see ipam_plan_why(). */
void grow_ask_why(const struct daemon *d, struct ipam_why *ret_why);
/** grow_job_start() - run @take_j in a worker; its result comes back to grow.c. Return: 0, -EAGAIN (and @take_j is freed). */
int grow_job_start(struct daemon *d, struct grow_job *take_j);
