/* Two clocks: boot time for everything that is measured or waited for, wall time for what others read. */
#include "lib/base/clock.h"

#include <limits.h>
#include <time.h>

uint64_t vw_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts); /* cannot fail: valid clock, valid pointer */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t vw_mono_ms(void)
{
	return vw_mono_us() / 1000;
}

int64_t vw_unix_s(void)
{
	return (int64_t)time(NULL);
}

int vw_deadline_left(uint64_t deadline_ms)
{
	uint64_t now = vw_mono_ms();

	if (deadline_ms <= now)
		return 0;
	return deadline_ms - now > INT_MAX ? INT_MAX : (int)(deadline_ms - now);
}

const char *vw_time_str(int64_t unix_s, char buf[VW_TIME_STRLEN])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(buf, VW_TIME_STRLEN, "%Y-%m-%dT%H:%M:%SZ", &tm))
		buf[0] = '\0';
	return buf;
}
