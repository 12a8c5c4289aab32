#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct grow;
struct ipam_warm;
struct vw_cidr;
struct vw_err;

/**
 * DOC: growing the pool
 *
 * grow_plan() asks the planner what to do and starts each action as a job; results are taken into pool, store and kernel,
 * waiters are served, and the planner is asked again. A new ENI is an intent in the store, with its ClientToken, before
 * EC2 hears of it; the same token after a crash yields the same ENI. Failures become state of the planner's input (subnet
 * without prefixes until, throttled until, ...), never a loop.
 */
int grow_new(struct daemon *d, struct grow **ret_grow, struct vw_err *err);
/** grow_save() - what should outlive the daemon goes to the store; before grow_free(). */
void grow_save(struct daemon *d);
void grow_free(struct grow *g);
/** grow_plan() - plan and start what is due. */
void grow_plan(struct daemon *d);
/**
 * grow_demand() - an ADD came (once, at its first try), failed in the end, or its pod has left. What the pool
 * keeps ready follows from it when the operator set no warm target.
 */
enum grow_demand { GROW_ARRIVED, GROW_WITHDRAWN, GROW_LEFT };
void grow_demand(struct daemon *d, enum grow_demand event);
/** grow_warm() - the target that follows demand. Return: false when the operator's targets are in force. */
bool grow_warm(const struct daemon *d, struct ipam_warm *ret_warm);
/**
 * grow_resume() - after EC2 was asked: finish the intents that an earlier life, or a failed job, left open.
 * @quiet: no change of ours was under way while it was asked.
 */
void grow_resume(struct daemon *d, bool quiet);
/** grow_restore() - while starting: an ENI that an earlier life began to remove serves nobody until EC2 has been asked. */
int grow_restore(struct daemon *d, struct vw_err *err);
/** grow_has_token() - the intent with this ClientToken is under way. */
bool grow_has_token(const struct daemon *d, const char *token);
/** grow_changes() - how many actions were started and ended so far; UINT64_MAX while one is under way. */
uint64_t grow_changes(const struct daemon *d);
/** grow_doubts() - somebody who was asked at @asked_ms shows @c, which was given back then or shortly before: see settle.h. */
bool grow_doubts(const struct daemon *d, const struct vw_cidr *c, uint64_t asked_ms);
/** grow_in_flight() - actions under way that will bring addresses. */
size_t grow_in_flight(const struct daemon *d);
/** grow_limits() - ENIs and IPv4 addresses for pods that the node may have; 0 while its limits are not known. */
void grow_limits(const struct daemon *d, unsigned int *ret_enis, unsigned int *ret_addrs);
/**
 * grow_cause() - why the pool does not grow now; for ADD and STATUS.
 * @ret_until_ms: when it is tried again, 0 = nobody knows (also for a missing permission: a retry will hardly help). May
 * be NULL. Return: true with @ret_err filled when nothing is under way and nothing can be started.
 */
bool grow_cause(const struct daemon *d, uint64_t *ret_until_ms, struct vw_err *ret_err);
/** grow_met() - growth is under way: what it has met. Return: true with @ret_err filled when something has failed so far. */
bool grow_met(struct daemon *d, struct vw_err *ret_err);
