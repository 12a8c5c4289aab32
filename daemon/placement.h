#pragma once

#include "daemon/place.h"

#include <stdbool.h>

struct daemon;
struct placement;
struct survey;
struct vwired_config;
struct vw_err;

/**
 * DOC: placement, carried out
 *
 * Keeps the answers that place.h decides from: EC2's list of subnets, asked for once in the first survey and
 * again only when a subnet turned out to be short or an unknown one is named (at most once in
 * subnet_retry_s), and the objects in policy_dir, read again when the folder changes. Whatever is invalid is
 * logged once and leaves what was there before.
 */
int placement_new(struct daemon *d, struct placement **ret_placement, struct vw_err *err);
void placement_free(struct placement *p);
/** placement() - the present choice. */
const struct place *placement(const struct daemon *d);

/** placement_eni_config() - the name of the ENIConfig that new ENIs are made by; NULL: none (no custom networking, or it is not there). */
const char *placement_eni_config(const struct daemon *d);

/** placement_wants_subnets() - the next survey should ask for the subnets. */
bool placement_wants_subnets(const struct daemon *d);
/** placement_surveyed() - take in a survey; the node's identity has been taken already. */
void placement_surveyed(struct daemon *d, struct survey *s);
/** placement_config_changed() - read and choose again. */
void placement_config_changed(struct daemon *d);
/**
 * placement_verify() - a new configuration names a subnet that is not known: ask EC2.
 * Return: true when it will be applied or refused later (@fresh is taken); false: nothing to ask, the caller
 * goes on.
 */
bool placement_verify(struct daemon *d, struct vwired_config *fresh);
/** placement_subnet_short() - EC2 said that a subnet has no prefix or address left. */
void placement_subnet_short(struct daemon *d);
/** placement_subnet_gone() - EC2 said that a subnet does not exist. */
void placement_subnet_gone(struct daemon *d, const char *id, const struct vw_err *why);
/** placement_took() - see place_took(). */
void placement_took(struct daemon *d, const char *id, unsigned int n);
