#pragma once

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct grow_job;
struct vw_err;

/**
 * DOC: a /80 for every ENI that pods with IPv6 use
 *
 * There is nothing to plan: one /80 holds more addresses than a node has pods, so that each ENI gets one when it is created, or
 * by its own call when it was made without, and keeps it.
 */

/**
 * grow6_plan() - ask for the /80s that are missing: in a dual stack for every ENI, with IPv6 alone for the primary one.
 * Return: when to look again even if nothing happens, IPAM_NEVER.
 */
uint64_t grow6_plan(struct daemon *d, uint64_t now_ms);
/** grow6_done() - take in the result of a GROW_ASSIGN6 job. */
void grow6_done(struct daemon *d, const struct grow_job *j);
/** grow6_cause() - as grow_cause(), for what IPv6 alone is to blame for: no ENI has a /80 and none is under way. */
bool grow6_cause(const struct daemon *d, uint64_t *ret_until_ms, struct vw_err *ret_err);
