#pragma once

#include "daemon/cards.h"
#include "daemon/foreign.h"
#include "daemon/store.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

struct daemon;
struct hostnet_eni;
struct vw_err;

/**
 * DOC: the node's ENIs
 *
 * What the daemon knows of each ENI that serves pods, kept in step with pool, store and kernel by eni_learn() and
 * eni_forget(). Numbers: 0 is the primary, others the lowest free of 1..ENI_MAX_NUMBER; the number is the fwmark that
 * pods' programs set and the rule priority, and stays the same as long as the ENI lives.
 */
#define ENI_MAX_NUMBER 126      /* of 0x7f: 127 is left out, so that a mark of all ones stays recognisable as foreign */
#define ENI_MAX (ENI_MAX_NUMBER + 1)    /* ENIs of one node: 15 on most types, 60 and more on those with several cards */

/**
 * struct eni - one of them.
 * @row:     what the store keeps; row.slots is owned here.
 * @ifindex: 0 while its link has not been seen.
 * @wired:   address, table and rules are set up.
 * @at_ec2:  EC2 showed it attached when last asked.
 * @gone:    detached, by the word of two witnesses, and kept only because pods use it; or EC2 is at it. @unrouted: its link is gone too, and its
 *           rules and table with it: another ENI may have its device index. @gone_asked: no pod uses it any more, and a survey
 *           was asked for to forget it.
 * @lost_ms: when its link went away, 0 = it has not.
 * @grown_ms: when it last got addresses: for a while after that EC2 may not show them yet. @recalled_ms: when the store told of it,
 * which does not say how new that is.
 * @left_alone: it is not ours any more (a tag, say); pods that are there stay, no new ones come.
 */
struct eni {
	struct store_eni row;
	char ifname[IFNAMSIZ];
	unsigned int ifindex;
	bool wired, at_ec2, left_alone, gone, unrouted, gone_asked;
	uint64_t lost_ms, grown_ms, recalled_ms;
};

/** struct eni_table - @foreign: ENIs that are not ours to use. @unmanaged: what is taken by them. @n_unmanaged: of them, on cards in use. */
struct eni_table {
	struct eni v[ENI_MAX];
	size_t n;
	struct foreign foreign;
	unsigned int n_unmanaged;
	struct vw_mac trunk_mac; /* zero = none, or not known yet */
	struct cards unmanaged;
};

/** struct eni_link - a link of the node, for matching by MAC. */
struct eni_link {
	struct vw_mac mac;
	char ifname[IFNAMSIZ];
	unsigned int ifindex;
};

/**
 * eni_learn() - take in what is known to be true of an ENI: new ones get a number, a place in pool and store; its kernel side
 * is set up when @link is given; slots are added. Slots that are known but not in @facts stay: see eni_drop_slots().
 * @facts: number is ignored. @link: NULL when the link has not appeared.
 * Return: 0, 1 (slots of @facts were left out because another ENI has them, as far as we know), -errno.
 */
int eni_learn(struct daemon *d, const struct store_eni *facts, const struct eni_link *link, struct vw_err *err);
/**
 * eni_given() - EC2 has just given @cidr to ENI @id. So no other has it, nor this one a part of it: where we thought so it is taken
 * out, and what pods use of it is theirs on the new ENI once that is learnt.
 */
void eni_given(struct daemon *d, const char *id, const struct vw_cidr *cidr);
/** eni_restore() - like eni_learn() for a row of the store: its number is kept. */
int eni_restore(struct daemon *d, const struct store_eni *row, const struct eni_link *link, struct vw_err *err);
/**
 * eni_drop_slots() - forget slots of @id that are not among @keep; addresses of them that pods have stay theirs (orphaned, with a
 * warning).
 */
void eni_drop_slots(struct daemon *d, const char *id, const struct vw_cidr *keep, size_t n_keep);
/** eni_drop_block6() - forget the /80 of @id, unless an address of it is in use (it stays, with a warning). */
void eni_drop_block6(struct daemon *d, const char *id);
/** eni_serves() - pods may get addresses of it: ours to use, and, with custom networking, not the primary. */
bool eni_serves(const struct daemon *d, const struct eni *e);
/** eni_for_v6() - whose /80 a pod without IPv4 gets its address from: the lowest number that has one; NULL when none. */
const struct eni *eni_for_v6(const struct daemon *d);
/**
 * eni_save() - record @e. Slots that EC2 is being asked to take back are left out: a daemon that dies meanwhile must not serve
 * them in its next life before EC2 has said that they are still there.
 */
int eni_save(struct daemon *d, const struct eni *e, struct vw_err *err);
/**
 * eni_free_routes() - see hostnet_free_set(): what the ENI has for pods, less slots that EC2 is being asked to take back, and
 * nothing of one that is being removed or left alone. eni_save() calls it; others where only the state changes. @e: NULL is fine.
 * Return: whether they are in the kernel; else daemon_free_routes_failed() sees to it.
 */
bool eni_free_routes(struct daemon *d, const struct eni *e);
/** eni_forget() - remove an ENI that is gone. Return: 0, -EBUSY while pods use it. */
int eni_forget(struct daemon *d, const char *id, struct vw_err *err);
/** eni_refresh() - whether each serves pods follows from configuration, placement and time; tell the pool again. */
void eni_refresh(struct daemon *d);
/** eni_relink() - the link of @e is now @link: it is set up. NULL: it is gone, and no address of it is given out until it is back. */
int eni_relink(struct daemon *d, struct eni *e, const struct eni_link *link, struct vw_err *err);
/** eni_gone() - @id is detached, or being detached, and pods may use it: it gives out nothing more, and goes when the last of them does. */
void eni_gone(struct daemon *d, const char *id);
/** eni_gone_unused() - Return: the last pod of an ENI that is gone has left: a survey is due. Says so once for each. */
bool eni_gone_unused(struct daemon *d);
/** eni_keep() - what was about to be removed (IPAM_ENI_REMOVING) stays, and serves if it can. */
void eni_keep(struct daemon *d, const char *id);
/** eni_leave_alone() - @id is not ours any more: forget it, or while pods use it, give it no new ones. */
void eni_leave_alone(struct daemon *d, const char *id);
/** eni_by_id() - NULL when unknown. */
struct eni *eni_by_id(struct daemon *d, const char *id);
/** eni_hostnet() - @e as the host network wants it. */
void eni_hostnet(const struct daemon *d, const struct eni *e, struct hostnet_eni *ret);
void eni_table_done(struct daemon *d);
