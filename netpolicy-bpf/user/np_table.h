#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct np_table - a set of pointers, found by hash: open addressing, linear probing, deletion by
 * shifting back. The caller hashes and compares. All zero is an empty one.
 */
struct np_table {
	struct np_table_slot {
		uint64_t hash;
		void *p; /* NULL = empty */
	} * slot;
	size_t cap, n; /* @cap: power of two */
};

void np_table_done(struct np_table *t);
/** np_table_reserve() - the next @more np_table_add() cannot fail. Return: 0, -ENOMEM. */
int np_table_reserve(struct np_table *t, size_t more);
int np_table_add(struct np_table *t, uint64_t hash, void *p);
/** np_table_find() - the first of @hash for which @eq(p, key). NULL: none. */
void *np_table_find(const struct np_table *t, uint64_t hash, bool (*eq)(const void *p, const void *key),
		    const void *key);
/** np_table_del() - @p must be in it. */
void np_table_del(struct np_table *t, uint64_t hash, const void *p);

/** np_hash() - 64 bits of @len bytes. */
uint64_t np_hash(uint64_t seed, const void *data, size_t len);
/** np_hash_seed() - random for each process: who chooses labels and names cannot choose collisions. */
uint64_t np_hash_seed(void);

/** np_mix() - a bijection that spreads the bits of @v. */
static inline uint64_t np_mix(uint64_t v)
{
	v = (v ^ v >> 32) * 0xd6e8feb86659fd93ull;
	v = (v ^ v >> 32) * 0xd6e8feb86659fd93ull;
	return v ^ v >> 32;
}
