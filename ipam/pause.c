/* Pauses after failures; see pause.h. Pure functions, so that the fleet bench measures what the daemon does. */
#include "ipam/pause.h"

uint64_t ipam_pause_next(uint64_t *pause_ms, bool growth, uint64_t lasts_ms, uint64_t chance)
{
	uint64_t min = growth ? IPAM_PAUSE_MIN_MS : IPAM_PAUSE_SHRINK_MIN_MS;
	uint64_t max = growth ? IPAM_PAUSE_MAX_MS : IPAM_PAUSE_SHRINK_MAX_MS, ms;
	uint64_t longest = growth && lasts_ms ? IPAM_PAUSE_LASTS_MAX_MS : max;

	*pause_ms = *pause_ms ? 2 * *pause_ms : min;
	if (*pause_ms > max)
		*pause_ms = max;
	ms = lasts_ms / 2 > *pause_ms ? lasts_ms / 2 : *pause_ms;
	if (growth && !lasts_ms)
		ms = ms / 2 < IPAM_PAUSE_WAITING_MS ? ms / 2 : IPAM_PAUSE_WAITING_MS;
	if (ms > longest)
		ms = longest;
	return ms / 2 + (chance >> 33) % (ms / 2 + 1);
}

uint64_t ipam_pause_hurry(uint64_t until_ms, uint64_t now_ms, uint64_t chance)
{
	return until_ms <= now_ms + IPAM_PAUSE_WAITING_MS ? until_ms : now_ms + (chance >> 33) % IPAM_PAUSE_WAITING_MS;
}

void ipam_pause_ease(uint64_t *pause_ms)
{
	*pause_ms /= 2;
	if (*pause_ms < IPAM_PAUSE_MIN_MS)
		*pause_ms = 0;
}
