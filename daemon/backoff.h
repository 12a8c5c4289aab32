#pragma once

#include <stdint.h>
#include <time.h>

/** backoff_random() - 32 bits of the kernel's randomness. */
uint32_t backoff_random(void);
/**
 * backoff_ms() - how long to wait before try number @tries + 1: "full jitter", anything from 0 to a cap that
 * doubles.
 * @tries: 1 after the first. @base_ms: cap after the first; @max_ms: it grows no further. @random: 32 random
 *         bits.
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter": of the variants measured there the one
 * with the fewest calls under contention.
 */
uint64_t backoff_ms(unsigned int tries, uint64_t base_ms, uint64_t max_ms, uint32_t random);
/** backoff_until() - @ms from now on CLOCK_MONOTONIC, as pthread_cond_timedwait() wants it. */
struct timespec backoff_until(uint64_t ms);
