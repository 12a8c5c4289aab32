/* Hash set of pointers and the hash that goes with it (multiply and fold, after wyhash). */
#include "netpolicy-bpf/user/np_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define K0 0x2d358dccaa6c78a5ull
#define K1 0x8bb84b93962eacc9ull
#define K2 0x4b33a62ed433d4a3ull

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t np_hash(uint64_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = fold(seed ^ K0, len ^ K1), a, b;

	for (; len > 16; len -= 16, p += 16) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		h = fold(a ^ K1 ^ h, b ^ K2);
	}
	a = b = 0;
	if (len > 8) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, len - 8);
	} else {
		memcpy(&a, p, len);
	}
	return fold(K0 ^ h, fold(a ^ K1 ^ h, b ^ K2 ^ h));
}

uint64_t np_hash_seed(void)
{
	const unsigned char *random = (const unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
	uint64_t seed = K2;

	if (random)
		memcpy(&seed, random + 4, sizeof(seed));
	return seed;
}

void np_table_done(struct np_table *t)
{
	free(t->slot);
	*t = (struct np_table){0};
}

static void put(struct np_table_slot *slot, size_t cap, uint64_t hash, void *p)
{
	size_t i = hash & (cap - 1);

	while (slot[i].p)
		i = (i + 1) & (cap - 1);
	slot[i] = (struct np_table_slot){hash, p};
}

int np_table_reserve(struct np_table *t, size_t more)
{
	struct np_table_slot *slot;
	size_t cap = t->cap ? t->cap : 16;

	while (t->n + more > cap / 8 * 5)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	slot = calloc(cap, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slot[i].p)
			put(slot, cap, t->slot[i].hash, t->slot[i].p);
	free(t->slot);
	t->slot = slot;
	t->cap = cap;
	return 0;
}

int np_table_add(struct np_table *t, uint64_t hash, void *p)
{
	if (np_table_reserve(t, 1) < 0)
		return -ENOMEM;
	put(t->slot, t->cap, hash, p);
	t->n++;
	return 0;
}

void *np_table_find(const struct np_table *t, uint64_t hash, bool (*eq)(const void *p, const void *key),
		    const void *key)
{
	if (!t->n)
		return NULL;
	for (size_t i = hash & (t->cap - 1); t->slot[i].p; i = (i + 1) & (t->cap - 1))
		if (t->slot[i].hash == hash && eq(t->slot[i].p, key))
			return t->slot[i].p;
	return NULL;
}

void np_table_del(struct np_table *t, uint64_t hash, const void *p)
{
	size_t mask = t->cap - 1, hole = hash & mask, i;

	while (t->slot[hole].p != p)
		hole = (hole + 1) & mask;
	/* whoever stands behind the hole and could have stood in it moves up */
	for (i = (hole + 1) & mask; t->slot[i].p; i = (i + 1) & mask) {
		if (((i - t->slot[i].hash) & mask) >= ((i - hole) & mask)) {
			t->slot[hole] = t->slot[i];
			hole = i;
		}
	}
	t->slot[hole] = (struct np_table_slot){0};
	t->n--;
}
