/* Places for ENIs on network cards. A card is full by number: foreign ENIs may sit at any index. */
#include "daemon/cards.h"

#include <errno.h>

void cards_take(struct cards *c, uint32_t card, uint32_t device)
{
	if (card < EC2_MAX_CARDS && device < CARDS_MAX_DEVICES)
		c->taken[card] |= UINT64_C(1) << device;
}

int cards_pick(const struct cards *c, uint32_t *ret_card, uint32_t *ret_device)
{
	for (uint32_t card = 0; card < c->n && card < EC2_MAX_CARDS; card++) {
		if ((uint32_t)__builtin_popcountll(c->taken[card]) >= c->enis[card])
			continue;
		for (uint32_t device = 0; device < CARDS_MAX_DEVICES; device++) {
			if (c->taken[card] & UINT64_C(1) << device)
				continue;
			*ret_card = card;
			*ret_device = device;
			return 0;
		}
	}
	return -ENOSPC;
}

uint32_t cards_total(const struct cards *c)
{
	uint32_t n = 0;

	for (uint32_t card = 0; card < c->n && card < EC2_MAX_CARDS; card++)
		n += c->enis[card];
	return n;
}
