#pragma once

#include <stdint.h>

/** vw_mono_ms(), vw_mono_us() - CLOCK_BOOTTIME: never goes back, also counts suspend. */
uint64_t vw_mono_ms(void);
uint64_t vw_mono_us(void);
/** vw_unix_s() - CLOCK_REALTIME seconds. Only for what leaves the machine (signatures, tags, logs). */
int64_t vw_unix_s(void);
/** vw_deadline_left() - milliseconds from now to @deadline_ms (vw_mono_ms scale), 0 when past, capped at INT_MAX. */
int vw_deadline_left(uint64_t deadline_ms);

#define VW_TIME_STRLEN 32
/** vw_time_str() - "2026-11-23T20:01:02Z" into @buf, which is returned. */
const char *vw_time_str(int64_t unix_s, char buf[VW_TIME_STRLEN]);
