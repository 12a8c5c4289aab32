#pragma once

#include "daemon/grow_job.h"
#include "daemon/grow_state.h"

/* Results of jobs into pool, store and kernel; run by the loop's thread only. See grow.h. */
void grow_failed(struct daemon *d, const struct grow_job *j);
void grow_created(struct daemon *d, const struct grow_job *j);
void grow_assigned(struct daemon *d, const struct grow_job *j);
void grow_unassigned(struct daemon *d, const struct grow_job *j);
/** grow_tied() - failed: the next survey does it again, soon. */
void grow_tied(struct daemon *d, const struct grow_job *j);
void grow_deleted(struct daemon *d, const struct grow_job *j);
/** grow_job_subnet() - the state of the subnet that a growing job draws on, or NULL. */
struct ipam_subnet *grow_job_subnet(struct daemon *d, const struct grow_job *j);
/** grow_why() - the planner's words for the failure of EC2's action @api, to be tried again at @until_ms. */
struct ipam_why grow_why(const char *api, const struct ec2_error *e, uint64_t until_ms);
/** grow_hurry() - while ADDs wait, what was throttled is tried again soon, however long it was left alone for. */
void grow_hurry(struct daemon *d, uint64_t now);
/** grow_next_pause() - double *@pause_ms within bounds. Return: a random part of it. */
uint64_t grow_next_pause(struct grow *g, uint64_t *pause_ms);
