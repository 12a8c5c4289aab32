#pragma once

#include "daemon/ec2.h"

#include <stdint.h>

/**
 * DOC: network cards
 *
 * An instance has one network card or several; each takes so many ENIs, at device indexes of its own. Card 0
 * is filled first. With ENABLE_MULTI_NIC off the daemon knows card 0 only.
 */
#define CARDS_MAX_DEVICES 64

/** struct cards - @enis: how many ENIs each card takes. @taken: bit per device index that is taken or about
 * to be. */
struct cards {
	uint32_t n;
	uint32_t enis[EC2_MAX_CARDS];
	uint64_t taken[EC2_MAX_CARDS];
};

/** cards_take() - something is at @device of @card; what lies outside is ignored. */
void cards_take(struct cards *c, uint32_t card, uint32_t device);
/** cards_pick() - the first free place. Return: 0, -ENOSPC when every card is full. */
int cards_pick(const struct cards *c, uint32_t *ret_card, uint32_t *ret_device);
/** cards_total() - ENIs on all cards. */
uint32_t cards_total(const struct cards *c);
