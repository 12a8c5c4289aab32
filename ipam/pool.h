#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the pool: every address that the node holds, and who has it
 *
 * ENIs hold slots, a slot is one CIDR that EC2 assigned (a secondary address /32, or a /28 prefix), a slot
 * holds addresses. One pool serves one family (IPv4 now: a /80 of IPv6 is answered with -EAFNOSUPPORT).
 *
 *          assign                     release, cool-down > 0
 *   free ---------> assigned(key) ---------------------------> cooling(until)
 *    ^ <----------------'  release, cool-down 0                     |
 *    '--------------------------------------------------------------'  ipam_pool_advance() past until
 *
 * Time is a parameter, in milliseconds on any clock that does not go back (the daemon's is CLOCK_BOOTTIME, so
 * cool-downs survive a restart). The pool remembers the latest time it was told; what takes no time answers
 * as of then.
 *
 * Choice of an address: the primary ENI first (it can never be given back), then the ENI with the most
 * assigned addresses; on it the prefix with the most assigned addresses, then single addresses, then a wholly
 * free prefix; within these the address that has been free for longest. So prefixes and ENIs become free as
 * pods leave.
 *
 * Nothing in use is ever removed. When a slot or an ENI goes, its assigned addresses stay assigned and its
 * cooling ones go on cooling, *orphaned*: not counted in the total, gone when they become free. When a slot
 * with them is added, they are adopted in the state they are in. A restart may therefore add ENIs and restore
 * addresses in any order.
 *
 * Not thread-safe. Cost: assign O(number of ENIs), everything else O(1), but for sorted insertion of a
 * cool-down that ends before others already running.
 */
struct ipam_pool;

#define IPAM_ID_MAX 48          /* ENI and subnet ids, with NUL */
#define IPAM_KEY_MAX 352        /* container id (at most 319) + "/" + interface name, with NUL */
#define IPAM_MAX_ENIS 127       /* numbers 0..126: they travel in the low 7 bits of a packet's mark */
#define IPAM_NUMBER_MAX 126
#define IPAM_PREFIX4_LEN 28     /* EC2 User Guide, ec2-prefix-eni: an assignable IPv4 prefix is /28 */
#define IPAM_PREFIX4_ADDRS 16   /* all 16 are usable: a prefix has no network or broadcast address */
#define IPAM_NEVER UINT64_MAX

enum ipam_eni_state {
	IPAM_ENI_ATTACHING,     /* its addresses are coming, none is given out yet */
	IPAM_ENI_READY,
	IPAM_ENI_REMOVING,      /* on its way out: gives out nothing, counts for nothing */
};

/** struct ipam_counts - of one ENI, orphans not among them. addrs = free + cooling + assigned. */
struct ipam_counts {
	unsigned int addrs;
	unsigned int free;              /* of which @held are in retiring slots */
	unsigned int held;
	unsigned int cooling;
	unsigned int assigned;
	unsigned int prefixes;          /* slots with a /28 */
	unsigned int free_prefixes;     /* of these: every address free, not retiring */
	unsigned int singles;           /* slots with a /32 */
};

/**
 * struct ipam_eni - an ENI as the pool knows it.
 * @number: unique, 0..IPAM_NUMBER_MAX: fwmark and rule priority.
 * @max_slots: IPv4 addresses that the instance type allows per ENI, less the primary one.
 * @usable: gives addresses to pods (custom networking's primary and trunk ENIs do not).
 * @created_ms: when it was created or first seen; the planner leaves young ones alone.
 * @blocked_until_ms: the planner asks for nothing more on this ENI before (EC2 said it is full, a describe is
 * due).
 * @n: kept by the pool; ignored when given to it.
 */
struct ipam_eni {
	char id[IPAM_ID_MAX];
	char subnet_id[IPAM_ID_MAX];
	unsigned int number, device, card;
	unsigned int max_slots;
	bool primary, usable;
	enum ipam_eni_state state;
	uint64_t created_ms;
	uint64_t blocked_until_ms;
	struct ipam_counts n;
};

enum ipam_addr_state { IPAM_FREE, IPAM_COOLING, IPAM_ASSIGNED };

/**
 * struct ipam_addr - a snapshot of one address; pointers are the pool's and valid until its next change.
 * @slot:     the CIDR that holds it (the address itself when restored without one).
 * @key:      NULL unless assigned. @until_ms: 0 unless cooling.
 * @eni:      NULL when the ENI is gone or not yet known.
 * @orphaned: its slot is gone (or not yet known).
 */
struct ipam_addr {
	struct vw_ip ip;
	struct vw_cidr slot;
	enum ipam_addr_state state;
	const char *key;
	uint64_t until_ms;
	const struct ipam_eni *eni;
	bool orphaned;
};

/** struct ipam_slot - a snapshot of one slot. */
struct ipam_slot {
	struct vw_cidr cidr;
	const struct ipam_eni *eni;
	unsigned int addrs, free, cooling, assigned;
	bool prefix, retiring;
};

/**
 * struct ipam_stats - figures of the whole pool.
 * total = (assigned - orphaned) + cooling + available + pending + unusable.
 */
struct ipam_stats {
	unsigned int total;             /* addresses in slots */
	unsigned int assigned;          /* with the @orphaned ones */
	unsigned int orphaned;          /* assigned, but their slot is gone */
	unsigned int cooling;
	unsigned int orphaned_cooling;  /* not in @cooling */
	unsigned int available;         /* free, on a ready ENI for pods: what assign can give now */
	unsigned int pending;           /* free on an attaching ENI for pods */
	unsigned int unusable;          /* free, but retiring, or on an ENI that goes or is not for pods */
	unsigned int prefixes, free_prefixes, singles;  /* slots on ENIs for pods that are not removing */
	unsigned int slots_free;        /* how many more slots the ready ENIs for pods can hold */
	unsigned int enis, enis_ready;
};

/** ipam_pool_new() - an empty pool. Return: NULL when out of memory. */
struct ipam_pool *ipam_pool_new(void);
void ipam_pool_free(struct ipam_pool *p);
void ipam_pool_freep(struct ipam_pool **p);
#define ipam_auto_pool __attribute__((cleanup(ipam_pool_freep)))

/** ipam_pool_advance() - it is @now_ms: end cool-downs that are over. Never goes back. */
void ipam_pool_advance(struct ipam_pool *p, uint64_t now_ms);
/** ipam_pool_now() - the latest time told. */
uint64_t ipam_pool_now(const struct ipam_pool *p);
/** ipam_pool_steps() - turns of inner loops since the pool was made: what tests bound instead of a time. */
uint64_t ipam_pool_steps(const struct ipam_pool *p);
/** ipam_pool_next_free_ms() - when the next cooling address becomes free; IPAM_NEVER when none cools. */
uint64_t ipam_pool_next_free_ms(const struct ipam_pool *p);

/* ---- ENIs ---- */

/**
 * ipam_pool_eni_put() - add @eni, or replace the description of the one with its id (slots stay).
 * Return: 0, -EEXIST (its number belongs to another), -EINVAL (no id, number too high), -EBUSY (to REMOVING
 * while addresses on it are assigned or cooling), -ENOMEM.
 */
int ipam_pool_eni_put(struct ipam_pool *p, const struct ipam_eni *eni);
/** ipam_pool_eni_state() - change the state alone. Return: 0, -ENOENT, -EBUSY as above. */
int ipam_pool_eni_state(struct ipam_pool *p, const char *id, enum ipam_eni_state state);
/** ipam_pool_eni_del() - the ENI is gone: its slots go, what is in use is orphaned. Return: 0, -ENOENT. */
int ipam_pool_eni_del(struct ipam_pool *p, const char *id);
/** ipam_pool_eni() - by id; NULL when unknown. Valid until the ENI is deleted. */
const struct ipam_eni *ipam_pool_eni(const struct ipam_pool *p, const char *id);
/** ipam_pool_eni_by_number() - NULL when no ENI has it. */
const struct ipam_eni *ipam_pool_eni_by_number(const struct ipam_pool *p, unsigned int number);
/** ipam_pool_eni_next() - walk in order of number: NULL starts, NULL ends. */
const struct ipam_eni *ipam_pool_eni_next(const struct ipam_pool *p, const struct ipam_eni *prev);
/** ipam_pool_free_number() - the lowest number from 1 up that no ENI has, or -ENOSPC. */
int ipam_pool_free_number(const struct ipam_pool *p);

/* ---- slots ---- */

/**
 * ipam_pool_slot_add() - EC2 assigned @cidr (a /32 or an aligned /28) to ENI @eni_id. Orphans in it are
 * adopted. More slots than the ENI's max_slots are accepted: EC2 knows better.
 * Return: 0, 1 (it was there already), -ENOENT (no such ENI), -EINVAL (length, host bits), -EAFNOSUPPORT
 * (IPv6),
 * -EEXIST (overlaps another slot, or belongs to another ENI), -ENOMEM.
 */
int ipam_pool_slot_add(struct ipam_pool *p, const char *eni_id, const struct vw_cidr *cidr);
/**
 * ipam_pool_slot_del() - EC2 has taken @cidr away: free addresses vanish, others are orphaned.
 * Return: 0, -ENOENT.
 */
int ipam_pool_slot_del(struct ipam_pool *p, const struct vw_cidr *cidr);
/**
 * ipam_pool_slot_retire() - before asking EC2 to take a wholly free slot away: from now on it gives out
 * nothing.
 * @on: false takes that back (EC2 refused). Return: 0, -ENOENT, -EBUSY (an address in it is assigned or
 * cooling).
 */
int ipam_pool_slot_retire(struct ipam_pool *p, const struct vw_cidr *cidr, bool on);
/** ipam_pool_slot() - look one up by its exact CIDR. Return: false when there is none (or only orphans). */
bool ipam_pool_slot(const struct ipam_pool *p, const struct vw_cidr *cidr, struct ipam_slot *ret_slot);
/** ipam_pool_slot_each() - slots of ENI @eni_id, oldest first; stops at and returns @fn's first nonzero. */
int ipam_pool_slot_each(const struct ipam_pool *p, const char *eni_id,
			int (*fn)(const struct ipam_slot *slot, void *arg), void *arg);

/* ---- addresses ---- */

/**
 * ipam_pool_assign() - give @key an address.
 * @key: opaque, 1..IPAM_KEY_MAX-1 bytes. The same key again gets the address it holds.
 * Return: 0 = newly assigned, 1 = held before, -EAGAIN = none available (ipam_plan() knows why), -EINVAL =
 * bad key,
 * -ENOMEM. Nothing changes on failure.
 */
int ipam_pool_assign(struct ipam_pool *p, const char *key, uint64_t now_ms, struct ipam_addr *ret_addr);
/**
 * ipam_pool_assign_beside() - likewise, for a further interface of a container: on a network card on which it has none of the
 * @n @others if one can give an address, else on another ENI, else on any.
 */
int ipam_pool_assign_beside(struct ipam_pool *p, const char *key, const struct vw_ip *others, size_t n, uint64_t now_ms,
			    struct ipam_addr *ret_addr);
/**
 * ipam_pool_release() - take @key's address back; it cools until @now_ms + @cooldown_ms (0: free at once).
 * @ret_addr: may be NULL; the address after the change, with eni NULL and orphaned set when it is gone for
 * good.
 * Return: 0, -ENOENT (holds none: also after a second release).
 */
int ipam_pool_release(struct ipam_pool *p, const char *key, uint64_t now_ms, uint64_t cooldown_ms,
		      struct ipam_addr *ret_addr);
/**
 * ipam_pool_restore() - after a restart: @key holds @ip, whether or not a slot has it (then it is orphaned
 * for now).
 * Return: 0, 1 (so it was), -EEXIST (@ip is another key's, or @key holds another address), -EINVAL (key),
 * -EAFNOSUPPORT, -ENOMEM.
 */
int ipam_pool_restore(struct ipam_pool *p, const char *key, const struct vw_ip *ip);
/**
 * ipam_pool_restore_cooling() - after a restart: @ip must not be given out before @until_ms. In a slot or
 * not.
 * Return: 0, 1 (that time is past, nothing to do), -EEXIST (it is assigned), -ENOMEM, -EAFNOSUPPORT.
 */
int ipam_pool_restore_cooling(struct ipam_pool *p, const struct vw_ip *ip, uint64_t until_ms);

/** ipam_pool_by_key(), ipam_pool_by_ip() - look up. Return: false when there is none. */
bool ipam_pool_by_key(const struct ipam_pool *p, const char *key, struct ipam_addr *ret_addr);
bool ipam_pool_by_ip(const struct ipam_pool *p, const struct vw_ip *ip, struct ipam_addr *ret_addr);
/** ipam_pool_each() - every address, orphans last; stops at and returns @fn's first nonzero. */
int ipam_pool_each(const struct ipam_pool *p, int (*fn)(const struct ipam_addr *addr, void *arg), void *arg);
/** ipam_pool_stats() - figures as of ipam_pool_now(); O(number of ENIs). */
void ipam_pool_stats(const struct ipam_pool *p, struct ipam_stats *ret_stats);

/**
 * ipam_pool_check() - recount everything and compare with what the pool keeps; for tests, O(addresses).
 * Return: 0, or -EUCLEAN with the first contradiction in @err.
 */
int ipam_pool_check(const struct ipam_pool *p, struct vw_err *err);
