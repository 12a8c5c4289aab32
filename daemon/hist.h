#pragma once

#include <stdint.h>

/**
 * struct hist - how long something took, in the buckets that Prometheus calls a histogram. Zeroes are an empty one.
 * @n: by bucket, not cumulative; the last one holds what is longer than every bound.
 */
#define HIST_BOUNDS 18
struct hist {
	uint64_t n[HIST_BOUNDS + 1];
	uint64_t sum_us;
};

/** hist_bound_us() - upper bound of bucket @i, which is part of it; 100 us to 120 s (kubelet's patience). */
uint64_t hist_bound_us(unsigned int i);
void hist_add(struct hist *h, uint64_t us);
/** hist_count() - of all buckets. */
uint64_t hist_count(const struct hist *h);
