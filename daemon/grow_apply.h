#pragma once

#include "daemon/grow_job.h"

/* Results of jobs into pool, store and kernel; run by the loop's thread only. See grow.h. */
void grow_failed(struct daemon *d, const struct grow_job *j);
void grow_created(struct daemon *d, const struct grow_job *j);
void grow_assigned(struct daemon *d, const struct grow_job *j);
void grow_unassigned(struct daemon *d, const struct grow_job *j);
void grow_deleted(struct daemon *d, const struct grow_job *j);
