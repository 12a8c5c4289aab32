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
 * The programs make entries of np_ct (np_ct.h of the ABI) and keep them up to date; they never take one away. np_ct_sweep() does: what
 * has been quiet for longer than its state's timeout, and what belongs to a slot that is empty or has another pod by now, dies; a
 * later sweep frees its place. An entry is looked at again right before it dies, so one that has just been used stays. The same pass
 * drops what DNS answers taught and that has expired, unless a flow still relies on it.
 *
 * One process at a time, but any thread of it: it uses nothing but the maps, so a worker may sweep (200,000 entries: some 10 ms).
 */

/** enum np_ct_class - which timeouts apply. */
enum np_ct_class { NP_CT_TCP, NP_CT_UDP, NP_CT_SCTP, NP_CT_OTHER, NP_CT_CLASSES };

/** np_ct_timeout_s - seconds by class and enum np_ct_state. Sources: RFC 5382 (TCP), nf_conntrack's defaults (others). */
extern const uint32_t np_ct_timeout_s[NP_CT_CLASSES][NP_CT_STATES];

/** struct np_ct_maps - borrowed: mappings of the maps of that name, @ct has @groups; fds of np_fqdn4, np_fqdn6, or below 0: none. */
struct np_ct_maps {
	struct np_ct_group *ct;
	unsigned int groups;
	const struct np_conf *conf;
	struct np_rt *rt;
	const struct np_slot *slots;
	int fqdn4, fqdn6;
};

/**
 * struct np_flow - one entry, for people and flow logs. Ports in host order; for ICMP see struct np_ct_key. @place: in the table, when it
 * was read there. @post: as it is behind a service's address.
 */
struct np_flow {
	unsigned int slot, place;
	uint8_t gen;            /* of the slot */
	uint8_t proto;
	struct vw_ip remote;
	uint16_t rport, lport;
	bool post;
	struct np_ct ct;
};

/** struct np_ct_stats - what a sweep saw. @resting: places of dead entries. @flows: by slot, live ones. */
struct np_ct_stats {
	unsigned int flows4, flows6, resting, expired, orphaned, fqdn, fqdn_expired;
	uint32_t flows[NP_SLOTS];
};

/** np_ct_maps_of() - of a loaded @np. */
struct np;
struct np_ct_maps np_ct_maps_of(const struct np *np);
/**
 * np_ct_sweep() - @now: np_tick(). @ended: called for each flow that dies; NULL is fine.
 * Return: 0, -ENOMEM, -errno of a map.
 */
int np_ct_sweep(const struct np_ct_maps *m, uint32_t now, void (*ended)(void *arg, const struct np_flow *f), void *arg,
		struct np_ct_stats *ret, struct vw_err *err);
/** np_ct_each() - every live flow once, as far as the table holds still. @fn returns nonzero to end it. Return: what @fn did, or 0. */
int np_ct_each(const struct np_ct_maps *m, int (*fn)(void *arg, const struct np_flow *f), void *arg);
/** np_ct_get() - the entry of slot, gen, proto, remote, ports and post of @f into @f->ct. Return: it is there. */
bool np_ct_get(const struct np_ct_maps *m, struct np_flow *f);
/** np_ct_forget() - that entry goes, and its place is free at once: no packet may be under way. Return: it was there. */
bool np_ct_forget(const struct np_ct_maps *m, const struct np_flow *f);
/** np_ct_clear() - so do all. */
void np_ct_clear(const struct np_ct_maps *m);
