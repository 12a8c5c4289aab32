/*
 * Classes: the rows that some address has, numbered. A class that the image before had too (it satisfies
 * the same) keeps its number, so that little has to be written. And what meanings are made of: how many
 * addresses, in sum, are in which class.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define USED          (NP_NONE - 1)
#define MAX_SET_BYTES ((size_t)64 << 20)

int np_class_use(struct np_build *b, uint32_t row)
{
	if (!b->class_of_row) {
		b->class_of_row = reallocarray(NULL, b->rows.n, sizeof(*b->class_of_row));
		if (!b->class_of_row)
			return np_oom(b);
		b->n_class_of_row = b->rows.n;
		memset(b->class_of_row, 0xff, b->rows.n * sizeof(*b->class_of_row));
	}
	b->class_of_row[row] = USED;
	return 0;
}

/* --- numbers */

/* Of the atoms that a row satisfies, in no order. */
static uint64_t key_of_row(const struct np_rows *rows, uint32_t row, const void *atoms, size_t size,
			   size_t key_at)
{
	const uint64_t *bits = np_row(rows, row);
	uint64_t key = 0, k;

	for (size_t x = 0; x < rows->words; x++)
		for (uint64_t m = bits[x]; m; m &= m - 1) {
			const char *atom = (const char *)atoms + (64 * x + (size_t)__builtin_ctzll(m)) * size;

			memcpy(&k, atom + key_at, sizeof(k));
			key += np_mix(k);
		}
	return key;
}

struct key_is {
	const uint64_t *key;
	uint64_t want;
};

static bool has_key(const void *p, const void *key)
{
	const struct key_is *k = key;

	return k->key[(uintptr_t)p - 1] == k->want;
}

/*
 * Numbers for @n keys, those of @old where it has them, else the lowest that are free. @first: the key at
 * 0, if not NP_NONE, gets number 0. Return: how many numbers, holes included; 0 = no memory.
 */
size_t np_number(const uint64_t *key, size_t n, const uint64_t *old, size_t n_old, uint32_t zero,
		 uint32_t *ret)
{
	struct np_table known = {0};
	size_t end = n_old < 2 * n + 64 ? n_old : 0, next = 0;
	uint8_t *taken = calloc(n + end + 1, 1);

	if (!taken || np_table_reserve(&known, end) < 0) {
		free(taken);
		np_table_done(&known);
		return 0;
	}
	for (size_t i = 0; i < end; i++)
		if (old[i] != NP_HOLE)
			(void)np_table_add(&known, np_mix(old[i]), (void *)(i + 1));
	for (size_t i = 0; i < n; i++) {
		uintptr_t at = (uintptr_t)np_table_find(&known, np_mix(key[i]), has_key,
							&(struct key_is){old, key[i]});

		ret[i] = NP_NONE;
		if (i == zero)
			at = 1;
		else if (at == 1 && zero != NP_NONE)
			at = 0;
		if (at && !taken[at - 1]) {
			ret[i] = (uint32_t)at - 1;
			taken[at - 1] = 1;
		}
	}
	if (zero != NP_NONE)
		taken[0] = 1;
	end = 0;
	for (size_t i = 0; i < n; i++) {
		while (ret[i] == NP_NONE && taken[next])
			next++;
		if (ret[i] == NP_NONE) {
			ret[i] = (uint32_t)next;
			taken[next] = 1;
		}
		end = ret[i] + 1 > end ? ret[i] + 1 : end;
	}
	free(taken);
	np_table_done(&known);
	return end;
}

/* sets[atom] gets bit c for each class c whose row has the atom. @row_of: NP_NONE for holes. */
void np_sets_by_atom(const struct np_rows *rows, const uint32_t *row_of, size_t n_class, size_t n_atom,
		     uint64_t *sets, size_t words)
{
	for (size_t x = 0; x < words; x++) {
		for (size_t k = 0; k < rows->words; k++) {
			uint64_t m[64], some = 0;

			for (size_t i = 0; i < 64; i++) {
				size_t c = 64 * x + i;

				m[i] = c < n_class && row_of[c] != NP_NONE ? np_row(rows, row_of[c])[k] : 0;
				some |= m[i];
			}
			if (!some)
				continue;
			np_bits_transpose(m);
			for (size_t i = 0; i < 64 && 64 * k + i < n_atom; i++)
				sets[(64 * k + i) * words + x] = m[i];
		}
	}
}

static int make_sets(struct np_build *b, const uint32_t *row_of)
{
	size_t bytes;

	b->class_words = np_words(b->img->n_class);
	if (__builtin_mul_overflow(b->n_atom, b->class_words * sizeof(uint64_t), &bytes) ||
	    bytes > MAX_SET_BYTES)
		return vw_err_set(b->err, E2BIG, 0,
				  "%zu selectors of policies and %u classes of peers are too many together",
				  b->n_atom, b->img->n_class);
	b->atom_classes = calloc(1, bytes + sizeof(uint64_t));
	if (!b->atom_classes)
		return np_oom(b);
	np_sets_by_atom(&b->rows, row_of, b->img->n_class, b->n_atom, b->atom_classes, b->class_words);
	return 0;
}

int np_classes_number(struct np_build *b, const struct np_image *prev)
{
	const struct np_build *old = prev ? prev->priv : NULL;
	uint32_t *row = reallocarray(NULL, b->n_class_of_row, sizeof(*row)),
		 *cls = reallocarray(NULL, b->n_class_of_row, sizeof(*cls));
	uint64_t *key = reallocarray(NULL, b->n_class_of_row, sizeof(*key));
	uint32_t *row_of = NULL;
	size_t n = 0, end;
	int r = row && cls && key ? 0 : np_oom(b);

	for (size_t i = 0; r == 0 && i < b->n_class_of_row; i++)
		if (b->class_of_row[i] == USED) {
			key[n] = key_of_row(&b->rows, (uint32_t)i, b->atom, sizeof(*b->atom),
					    offsetof(struct np_atom, key));
			row[n++] = (uint32_t)i;
		}
	if (r < 0)
		goto out;
	if (n > NP_CLASSES) {
		r = vw_err_set(b->err, E2BIG, 0,
			       "policies tell %zu classes of peers apart, at most %u may be", n, NP_CLASSES);
		goto out;
	}
	end = np_number(key, n, old ? old->class_key : NULL, prev ? prev->n_class : 0, NP_NONE, cls);
	b->class_key = reallocarray(NULL, end + 1, sizeof(*b->class_key));
	row_of = reallocarray(NULL, end + 1, sizeof(*row_of));
	if (!end || !b->class_key || !row_of) {
		r = np_oom(b);
		goto out;
	}
	b->img->n_class = (unsigned int)end;
	for (size_t c = 0; c < end; c++) {
		row_of[c] = NP_NONE;
		b->class_key[c] = NP_HOLE;
	}
	for (size_t i = 0; i < n; i++) {
		b->class_of_row[row[i]] = cls[i];
		row_of[cls[i]] = row[i];
		b->class_key[cls[i]] = key[i];
	}
	r = make_sets(b, row_of);
out:
	free(row);
	free(cls);
	free(key);
	free(row_of);
	return r;
}

/* --- weights */

uint64_t np_peer_weight(const struct vw_ip *ip)
{
	return np_ip_hash(7, ip);
}

uint64_t np_cidr_weight(const struct vw_cidr *cidr)
{
	return np_ip_hash(8u + cidr->len, &cidr->ip);
}

struct weight_key {
	const struct np_build *b;
	uint16_t cls, base;
};

static bool is_weight(const void *p, const void *key)
{
	const struct weight_key *k = key;
	const struct np_weight *w = &k->b->weight[(uintptr_t)p - 1];

	return w->cls == k->cls && w->base == k->base;
}

int np_weight_add(struct np_build *b, uint16_t cls, uint16_t base, uint64_t sum)
{
	uint64_t hash = np_mix((uint64_t)cls << 16 | base);
	uintptr_t at;

	if (cls == base) /* like everybody around */
		return 0;
	at = (uintptr_t)np_table_find(&b->weight_by_class, hash, is_weight,
				      &(struct weight_key){b, cls, base});
	if (!at) {
		if (np_grow(&b->weight, b->n_weight, &b->cap_weight, sizeof(*b->weight)) < 0 ||
		    np_table_add(&b->weight_by_class, hash, (void *)(b->n_weight + 1)) < 0)
			return np_oom(b);
		b->weight[b->n_weight] = (struct np_weight){cls, base, 0};
		at = ++b->n_weight;
	}
	b->weight[at - 1].sum += sum;
	return 0;
}
