#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the flow table, from user space
 *
 * The programs make entries and keep them up to date; they never delete one for its age. np_ct_sweep() does: it reads both
 * tables in batches and deletes what has been quiet for longer than its state's timeout, and what belongs to a slot that
 * is empty or has another pod by now. An entry is looked at again right before it is deleted, so one that has just been used stays. The same pass
 * drops what DNS answers taught and that has expired, unless a flow still relies on it.
 *
 * Thread-safe: it uses nothing but the maps, so a worker may run it (200,000 entries take some 70 ms).
 */

/** enum np_ct_class - which timeouts apply. */
enum np_ct_class { NP_CT_TCP, NP_CT_UDP, NP_CT_SCTP, NP_CT_OTHER, NP_CT_CLASSES };

/** np_ct_timeout_s - seconds by class and enum np_ct_state. Sources: RFC 5382 (TCP), nf_conntrack's defaults (others). */
extern const uint32_t np_ct_timeout_s[NP_CT_CLASSES][NP_CT_STATES];

/** struct np_ct_maps - borrowed; fds of the maps of that name, @rt and @slots their mappings. */
struct np_ct_maps {
	int ct4, ct6, fqdn4, fqdn6;
	struct np_rt *rt;
	const struct np_slot *slots;
};

/** struct np_flow - one entry, for people and flow logs. Ports in host order; for ICMP see struct np_ct4_key. */
struct np_flow {
	unsigned int slot;
	uint8_t gen;            /* of the slot */
	uint8_t proto;
	struct vw_ip remote;
	uint16_t rport, lport;
	struct np_ct ct;
};

/** struct np_ct_stats - what a sweep saw. @flows: by slot, live ones. */
struct np_ct_stats {
	unsigned int flows4, flows6, expired, orphaned, fqdn, fqdn_expired;
	uint32_t flows[NP_SLOTS];
};

/**
 * np_ct_sweep() - @now: np_tick(). @ended: called for each flow that is deleted; NULL is fine.
 * Return: 0, -ENOMEM, -errno of a map.
 */
int np_ct_sweep(const struct np_ct_maps *m, uint32_t now, void (*ended)(void *arg, const struct np_flow *f), void *arg,
		struct np_ct_stats *ret, struct vw_err *err);
/** np_ct_each() - every flow once, as far as the tables hold still; @fn returns nonzero to end it. */
int np_ct_each(const struct np_ct_maps *m, int (*fn)(void *arg, const struct np_flow *f), void *arg, struct vw_err *err);
