#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: pauses
 *
 * How long to leave an action alone after EC2 throttled it. Many nodes share the account's buckets: what they send
 * beyond the refill is wasted, and what they hold back is not. So the pause doubles with each refusal and is only
 * halved by a success: a node that was refused a minute ago starts from there, not from nothing.
 */
#define IPAM_PAUSE_MIN_MS 8000
#define IPAM_PAUSE_MAX_MS 60000
#define IPAM_PAUSE_LASTS_MAX_MS 300000  /* for who has addresses for long enough */
#define IPAM_PAUSE_WAITING_MS 10000     /* while ADDs wait */
#define IPAM_PAUSE_SHRINK_MIN_MS 120000
#define IPAM_PAUSE_SHRINK_MAX_MS 600000

/**
 * ipam_pause_next() - how long to leave an action alone after a failure.
 * @pause_ms: the cap so far, 0 at first; updated. @growth: giving back can wait much longer. @lasts_ms: how
 * long the addresses at hand will last, 0 when ADDs wait: who has time steps back, so that the next token is for a node
 * whose pods need it. @chance: 64 random bits. Return: between half of the pause and the whole of it.
 */
uint64_t ipam_pause_next(uint64_t *pause_ms, bool growth, uint64_t lasts_ms, uint64_t chance);
/**
 * ipam_pause_hurry() - ADDs wait now: whatever an action was left alone for, it is tried soon.
 * Return: the end of the pause: @until_ms, or when that is later than IPAM_PAUSE_WAITING_MS from now, a random time before.
 */
uint64_t ipam_pause_hurry(uint64_t until_ms, uint64_t now_ms, uint64_t chance);
/** ipam_pause_ease() - the action succeeded. */
void ipam_pause_ease(uint64_t *pause_ms);
