#pragma once

#include <stddef.h>
#include <stdint.h>

/** vw_fnv1a() - FNV-1a, 64 bits: names and shares that stay the same from release to release, not a defence. @h: VW_FNV1A, or what came before. */
#define VW_FNV1A 0xcbf29ce484222325u
static inline uint64_t vw_fnv1a(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}
