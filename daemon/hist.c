#include "daemon/hist.h"

static const uint64_t bounds_us[HIST_BOUNDS] = {
	100,    250,    500,    1000,    2500,    5000,    10000,    25000,    50000,
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 120000000,
};

uint64_t hist_bound_us(unsigned int i)
{
	return bounds_us[i];
}

void hist_add(struct hist *h, uint64_t us)
{
	unsigned int i = 0;

	while (i < HIST_BOUNDS && us > bounds_us[i])
		i++;
	h->n[i]++;
	h->sum_us += us;
}

uint64_t hist_count(const struct hist *h)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i <= HIST_BOUNDS; i++)
		n += h->n[i];
	return n;
}
