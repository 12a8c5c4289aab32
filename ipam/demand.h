#pragma once

#include "ipam/targets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: demand: how many addresses to keep ready when nobody said how many
 *
 * An estimator of what pods will ask for before more addresses can be had. It is fed with ADDs, DELs and how long
 * growth took, each with its time, and yields the warm target that the planner works with when the operator set
 * none. Pure and deterministic: no clock, and the same events give the same figures however often it is asked.
 *
 *   recent  arrivals, each counting half after 30 s. Its rate times the time that growth takes is what will come
 *           before help does.
 *   surge   arrivals too, each counting half after 3 minutes: what a deployment brings.
 *   burst   the highest that surge has been, half of it forgotten in two hours: what came once comes again (the
 *           next deployment, the job of the next hour), so the second wave finds its addresses ready.
 *   left    departures, half of them forgotten in two minutes: what was scaled down is often scaled up again.
 *   lead    how long growth took of late. It rises at once and falls slowly, so a throttled account makes for
 *           larger and fewer requests.
 *
 * A new node starts with a burst remembered (IPAM_DEMAND_FIRST), because new nodes are there to be filled.
 */

/**
 * struct ipam_demand - the whole state. Set up by ipam_demand_init() or ipam_demand_parse().
 * @at_ms: as of when the decaying figures hold.
 */
struct ipam_demand {
	uint64_t at_ms;
	double recent, surge, burst, left;
	double lead_ms;
};

#define IPAM_DEMAND_FIRST 16.0          /* addresses: what a node of which nothing is known expects */
#define IPAM_DEMAND_FLOOR 3.0           /* addresses: never less, or the first pod of a quiet node waits */
#define IPAM_DEMAND_BAND 8.0            /* addresses: what lies at least between fill and keep, or chance makes calls */
#define IPAM_DEMAND_RECENT_HALF_MS 30000
#define IPAM_DEMAND_SURGE_HALF_MS 180000
#define IPAM_DEMAND_BURST_HALF_MS 7200000
#define IPAM_DEMAND_LEFT_HALF_MS 120000
#define IPAM_DEMAND_LEAD_FIRST_MS 10000 /* what create and attach take, at most, as a rule */
#define IPAM_DEMAND_LEAD_MIN_MS 10000
#define IPAM_DEMAND_LEAD_MAX_MS 120000
#define IPAM_DEMAND_MAX 4096            /* addresses: no target is larger, whatever was counted */

/** ipam_demand_init() - a node of which nothing is known. */
void ipam_demand_init(struct ipam_demand *d, uint64_t now_ms);
/** ipam_demand_arrive() - a pod asks for an address: once per ADD, at its first try. */
void ipam_demand_arrive(struct ipam_demand *d, uint64_t now_ms);
/** ipam_demand_withdraw() - that ADD failed in the end; it comes again, as a new arrival, or not at all. */
void ipam_demand_withdraw(struct ipam_demand *d, uint64_t now_ms);
/** ipam_demand_leave() - a pod gave its address back. */
void ipam_demand_leave(struct ipam_demand *d, uint64_t now_ms);
/** ipam_demand_grew() - growth brought addresses, @took_ms after it had been decided on. */
void ipam_demand_grew(struct ipam_demand *d, uint64_t now_ms, uint64_t took_ms);

/**
 * ipam_demand_warm() - the target, in addresses.
 * @capacity: addresses that the node can ever hold, or pods that may run there, whichever is less; 0 = not known. What
 * a burst is expected to be is at most half of it.
 */
struct ipam_warm ipam_demand_warm(const struct ipam_demand *d, uint64_t now_ms, enum ipam_mode mode,
				  unsigned int capacity);
/** ipam_demand_lasts_ms() - how long @avail addresses last at the present rate; IPAM_NEVER when no pods come. */
uint64_t ipam_demand_lasts_ms(const struct ipam_demand *d, uint64_t now_ms, unsigned int avail);
/**
 * ipam_demand_falls_ms() - when the target's @keep will be below @avail if nothing happens until then, so that a
 * shrink is planned in time without polling. Return: @now_ms if it is; IPAM_NEVER if it never will be.
 */
uint64_t ipam_demand_falls_ms(const struct ipam_demand *d, uint64_t now_ms, enum ipam_mode mode,
			      unsigned int capacity, unsigned int avail);

#define IPAM_DEMAND_TEXT 128

/** ipam_demand_print() - the state as text for the store; thousandths are kept. @buf: returned. */
const char *ipam_demand_print(const struct ipam_demand *d, char buf[IPAM_DEMAND_TEXT]);
/**
 * ipam_demand_parse() - the reverse.
 * @now_ms: a state from the future (another boot's clock) is taken as of now.
 * Return: 0, -EINVAL (not such a text, or figures that cannot be; @d is left alone).
 */
int ipam_demand_parse(struct ipam_demand *d, const char *text, uint64_t now_ms);
