/* Sets of bits: the 64 x 64 transposition (Hacker's Delight 7-3, in 64 bits) and rows that are kept once. */
#include "netpolicy-bpf/user/np_compile.h"

#include <errno.h>
#include <stdlib.h>

void np_bits_transpose(uint64_t m[64])
{
	uint64_t mask = 0x00000000ffffffffull;

	for (unsigned int j = 32; j; j >>= 1, mask ^= mask << j) {
		for (unsigned int k = 0; k < 64; k = (k + j + 1) & ~j) {
			uint64_t t = (m[k] >> j ^ m[k + j]) & mask;

			m[k] ^= t << j;
			m[k + j] ^= t;
		}
	}
}

static uint64_t hash_row(const struct np_rows *r, const uint64_t *row)
{
	uint64_t h = r->words;

	for (size_t i = 0; i < r->words; i++)
		h = (h ^ row[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
	return np_mix(h);
}

static int grow_slots(struct np_rows *r)
{
	size_t n = r->n_slot ? 2 * r->n_slot : 64;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++) {
		size_t at = r->hash[i] & (n - 1);

		while (slot[at])
			at = (at + 1) & (n - 1);
		slot[at] = (uint32_t)i + 1;
	}
	free(r->slot);
	r->slot = slot;
	r->n_slot = n;
	return 0;
}

static int grow_rows(struct np_rows *r)
{
	size_t cap = r->cap ? 2 * r->cap : 64, bytes;
	uint64_t *v, *hash;

	if (__builtin_mul_overflow(cap * sizeof(*v), r->words ? r->words : 1, &bytes))
		return -ENOMEM;
	v = realloc(r->v, bytes);
	if (!v)
		return -ENOMEM;
	r->v = v;
	hash = reallocarray(r->hash, cap, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	r->hash = hash;
	r->cap = cap;
	return 0;
}

uint32_t np_rows_find(const struct np_rows *r, const uint64_t *row)
{
	uint64_t hash = hash_row(r, row);

	for (size_t at = hash & (r->n_slot - 1); r->slot[at]; at = (at + 1) & (r->n_slot - 1)) {
		uint32_t i = r->slot[at] - 1;

		if (r->hash[i] == hash && !memcmp(np_row(r, i), row, r->words * sizeof(*row)))
			return i;
	}
	return NP_NONE;
}

int np_rows_get(struct np_rows *r, const uint64_t *row, uint32_t *ret)
{
	uint64_t hash;
	size_t at;

	*ret = np_rows_find(r, row);
	if (*ret != NP_NONE)
		return 0;
	if (r->n == r->cap && grow_rows(r) < 0)
		return -ENOMEM;
	if (2 * (r->n + 1) > r->n_slot && grow_slots(r) < 0)
		return -ENOMEM;
	hash = hash_row(r, row);
	at = hash & (r->n_slot - 1);
	while (r->slot[at])
		at = (at + 1) & (r->n_slot - 1);
	if (r->words)
		memcpy(r->v + r->n * r->words, row, r->words * sizeof(*row));
	r->hash[r->n] = hash;
	*ret = (uint32_t)r->n++;
	r->slot[at] = *ret + 1;
	return 0;
}

int np_rows_init(struct np_rows *r, size_t words, bool empty)
{
	uint64_t *none = calloc(words ? words : 1, sizeof(*none));
	uint32_t zero;
	int e;

	*r = (struct np_rows){.words = words};
	e = none ? grow_slots(r) : -ENOMEM;
	if (e == 0 && empty)
		e = np_rows_get(r, none, &zero);
	free(none);
	return e;
}

void np_rows_done(struct np_rows *r)
{
	free(r->v);
	free(r->hash);
	free(r->slot);
	*r = (struct np_rows){0};
}
