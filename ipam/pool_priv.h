#pragma once

/* The pool from the inside: for pool.c, pool_view.c and pool_check.c alone. */

#include "ipam/pool.h"

#include "lib/base/hash.h"

#include <sys/queue.h>

TAILQ_HEAD(ipam_addr_list, ipam_maddr);
TAILQ_HEAD(ipam_slot_list, ipam_mslot);

/** struct ipam_maddr - cidr of @slot plus @index. @link: in slot->free or pool->cooling, by @state. */
struct ipam_maddr {
	struct ipam_mslot *slot;
	TAILQ_ENTRY(ipam_maddr) link;
	uint64_t until_ms;
	struct ipam_holder *holder;
	uint8_t state;          /* enum ipam_addr_state */
	uint8_t index;
};

struct ipam_holder {
	UT_hash_handle hh;
	struct ipam_maddr *addr;
	char key[];
};

#define IPAM_RANK_NONE 0xff
#define IPAM_RANK_SINGLE 1
#define IPAM_RANKS (IPAM_RANK_SINGLE + 2 * IPAM_PREFIX4_ADDRS + 1)

/**
 * struct ipam_mslot - one CIDR.
 * @live: EC2 has it on @eni. Otherwise it is only kept for its addresses in use (orphans), and @eni is where
 * it was.
 * @n:    addresses by state.
 * @rank: the list of eni->ranked that it is in while it can give an address; see rank_of().
 */
struct ipam_mslot {
	UT_hash_handle hh;
	struct vw_cidr cidr;
	bool live, retiring;
	uint8_t n_addrs, rank;
	unsigned int n[3];
	struct ipam_meni *eni;
	TAILQ_ENTRY(ipam_mslot) link;           /* eni->slots, or pool->gone */
	TAILQ_ENTRY(ipam_mslot) rank_link;
	struct ipam_addr_list free;
	struct ipam_maddr addrs[];
};

struct ipam_meni {
	struct ipam_eni pub;                    /* first: handed out as const struct ipam_eni * */
	struct ipam_slot_list slots;
	struct ipam_slot_list ranked[IPAM_RANKS];
	uint64_t ranks;                         /* which lists of ranked are not empty */
};

struct ipam_pool {
	struct ipam_meni *enis[IPAM_MAX_ENIS];  /* by number */
	struct ipam_mslot *slots;               /* by CIDR, with those that are gone */
	struct ipam_holder *holders;            /* by key */
	struct ipam_addr_list cooling;          /* by until_ms */
	struct ipam_slot_list gone;
	unsigned int orphaned, orphaned_cooling;
	uint64_t now_ms;
	uint64_t steps;
};

static inline bool ipam_mslot_is_prefix(const struct ipam_mslot *s)
{
	return s->n_addrs > 1;
}

/** ipam_mslot_rank() - where a slot of this content belongs; shared with the checker. */
uint8_t ipam_mslot_rank(const struct ipam_mslot *s);

/** The records behind the public lookups; NULL when there is none. Gone slots are found too. */
struct ipam_mslot *ipam_mslot_find(const struct ipam_pool *p, const struct vw_cidr *cidr);
struct ipam_meni *ipam_meni_find(const struct ipam_pool *p, const char *id);
struct ipam_holder *ipam_holder_find(const struct ipam_pool *p, const char *key);
struct ipam_maddr *ipam_maddr_find(const struct ipam_pool *p, const struct vw_ip *ip);
/** ipam_prefix_of() - the /28 that @ip lies in. ipam_maddr_ip() - the address of a record. */
struct vw_cidr ipam_prefix_of(const struct vw_ip *ip);
struct vw_ip ipam_maddr_ip(const struct ipam_maddr *a);
void ipam_maddr_snapshot(const struct ipam_maddr *a, struct ipam_addr *ret);
