/* Waits between tries, spread by chance so that nodes that failed together do not come back together. */
#include "daemon/backoff.h"

#include <sys/random.h>

uint32_t backoff_random(void)
{
	uint32_t v = 0;

	/* fails only before the kernel's pool is ready at boot, where any spread will do */
	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v))
		v = UINT32_MAX / 2;
	return v;
}

uint64_t backoff_ms(unsigned int tries, uint64_t base_ms, uint64_t max_ms, uint32_t random)
{
	uint64_t cap = base_ms;

	for (unsigned int i = 1; i < tries && cap < max_ms; i++)
		cap *= 2;
	if (cap > max_ms)
		cap = max_ms;
	return cap * random / UINT32_MAX;
}

struct timespec backoff_until(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}
