#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: the only place where text becomes a number
 * All take the whole text: no leading blanks, no sign where unsigned, no trailing bytes.
 */

/** vw_parse_u64() - decimal digits, @min..@max inclusive. Return: 0, -EINVAL (not a number), -ERANGE. */
int vw_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/** vw_parse_i64() - as above with an optional '-'. */
int vw_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret_value);
/** vw_parse_hex() - hex digits with or without 0x. */
int vw_parse_hex(const char *text, uint64_t max, uint64_t *ret_value);
/** vw_parse_bool() - true/false, 1/0, yes/no, on/off, any case (Go's ParseBool and more). Return: 0, -EINVAL. */
int vw_parse_bool(const char *text, bool *ret_value);
/**
 * vw_parse_time() - ISO 8601 UTC "2026-11-23T20:01:02Z" (fraction of a second ignored, as AWS sends both).
 * @ret_unix: seconds since the epoch. Return: 0, -EINVAL.
 */
int vw_parse_time(const char *text, int64_t *ret_unix);

/**
 * vw_is_name() - a container id or network name as CNI has it: letter or digit, then letters, digits, '_', '.', '-'.
 * Source: containernetworking/cni pkg/utils/utils.go.
 */
bool vw_is_name(const char *text);
/** vw_is_ifname() - what the kernel takes (dev_valid_name()): 1..15 bytes, not "." or "..", no '/', ':', blanks. */
bool vw_is_ifname(const char *text);

/** vw_fmt() - snprintf that fails instead of truncating. Return: length, -ENAMETOOLONG (buf = ""). */
int vw_fmt(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4), warn_unused_result));

/**
 * VW_COPY() - text into the array @dst, whose size the compiler knows; @src may be an array of another size. Text that does
 * not fit leaves "" (never a cut name that means something else). Return: length, -ENAMETOOLONG.
 */
#define VW_COPY(dst, src) \
	({ \
		_Static_assert(!__builtin_types_compatible_p(__typeof__(dst), __typeof__(&(dst)[0])), "VW_COPY() wants an array"); \
		int vw_copied_ = vw_fmt((dst), sizeof(dst), "%s", (src)); \
		vw_copied_; \
	})
