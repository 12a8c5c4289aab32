/* Port classes: from the first port of each protocol to the last, where the set of atoms changes, another
 * class may begin. */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_SET_BYTES ((size_t)64 << 20)

/* At @port (65536 = behind the last), @atom begins (@add 1) or has ended (-1). */
struct edge {
	uint32_t port, atom;
	int add;
};

/* Ports with one row. */
struct run {
	uint32_t proto, first, last, row;
};

struct runs {
	struct run *v;
	size_t n, cap;
};

static int by_port(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->port < y->port ? -1 : x->port > y->port;
}

static int add_run(struct np_build *b, struct runs *runs, uint32_t proto, uint32_t first, uint32_t end,
		   const uint64_t *now)
{
	struct run *last = runs->n ? &runs->v[runs->n - 1] : NULL;
	uint32_t row;

	if (first == end)
		return 0;
	if (np_rows_get(&b->port_rows, now, &row) < 0)
		return np_oom(b);
	if (last && last->proto == proto && last->row == row) {
		last->last = end - 1;
		return 0;
	}
	if (np_grow(&runs->v, runs->n, &runs->cap, sizeof(*runs->v)) < 0)
		return np_oom(b);
	runs->v[runs->n++] = (struct run){proto, first, end - 1, row};
	return 0;
}

static int sweep(struct np_build *b, uint32_t proto, struct edge *edge, uint64_t *now, struct runs *runs)
{
	uint32_t port = 0;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < b->n_port_atom; i++)
		for (unsigned int k = 0; k < b->port_atom[i].n; k++) {
			const struct np_range *g = &b->port_atom[i].range[k];

			if (g->proto != proto)
				continue;
			edge[n++] = (struct edge){g->first, (uint32_t)i, 1};
			edge[n++] = (struct edge){(uint32_t)g->last + 1, (uint32_t)i, -1};
		}
	qsort(edge, n, sizeof(*edge), by_port);
	memset(now, 0, b->port_rows.words * sizeof(*now));
	/* ranges of an atom neither overlap nor touch, so a bit is set or cleared, never counted */
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = add_run(b, runs, proto, port, edge[i].port, now);
		port = edge[i].port;
		now[edge[i].atom / 64] ^= 1ull << (edge[i].atom % 64);
	}
	return r < 0 ? r : add_run(b, runs, proto, port, 65536, now);
}

/* A function of the ports alone, additive over ranges: of two that touch it is that of both as one. */
static uint64_t range_weight(uint32_t proto, uint32_t first, uint32_t last)
{
	return np_mix((proto << 20) + last + 2) - np_mix((proto << 20) + first + 1);
}

static uint64_t key_of(const struct np_build *b, uint32_t row)
{
	const uint64_t *bits = np_row(&b->port_rows, row);
	uint64_t key = 0;

	for (size_t x = 0; x < b->port_rows.words; x++)
		for (uint64_t m = bits[x]; m; m &= m - 1)
			key += np_mix(b->port_atom[64 * x + (size_t)__builtin_ctzll(m)].key);
	return key;
}

static int number(struct np_build *b, const struct np_image *prev, uint32_t **ret_class,
		  uint32_t **ret_row_of)
{
	const struct np_build *old = prev ? prev->priv : NULL;
	size_t n = b->port_rows.n, end;
	uint64_t *key = reallocarray(NULL, n, sizeof(*key));
	uint32_t *cls = reallocarray(NULL, n, sizeof(*cls)), *row_of;

	*ret_class = cls;
	for (size_t i = 0; key && i < n; i++)
		key[i] = key_of(b, (uint32_t)i);
	/* row 0 is that of no atom at all: what has no ports */
	end = key && cls ? np_number(key, n, old ? old->port_class_key : NULL, prev ? prev->n_port_class : 0,
				     0, cls)
			 : 0;
	b->port_class_key = reallocarray(NULL, end + 1, sizeof(*b->port_class_key));
	b->port_class_sum = calloc(end + 1, sizeof(*b->port_class_sum));
	*ret_row_of = row_of = reallocarray(NULL, end + 1, sizeof(*row_of));
	if (!end || !b->port_class_key || !b->port_class_sum || !row_of) {
		free(key);
		return np_oom(b);
	}
	for (size_t c = 0; c < end; c++) {
		row_of[c] = NP_NONE;
		b->port_class_key[c] = NP_HOLE;
	}
	for (size_t i = 0; i < n; i++) {
		row_of[cls[i]] = (uint32_t)i;
		b->port_class_key[cls[i]] = key[i];
	}
	b->img->n_port_class = (unsigned int)end;
	free(key);
	return 0;
}

static int fill(struct np_build *b, const struct runs *runs, const uint32_t *cls, const uint32_t *row_of)
{
	struct np_image *img = b->img;
	size_t bytes;

	img->port = malloc(NP_PORT_PROTOS * sizeof(*img->port));
	b->port_class_words = np_words(img->n_port_class);
	if (__builtin_mul_overflow(b->n_port_atom, b->port_class_words * sizeof(uint64_t), &bytes) ||
	    bytes > MAX_SET_BYTES)
		return vw_err_set(b->err, E2BIG, 0,
				  "%zu lists of ports and %u classes of ports are too many together",
				  b->n_port_atom, img->n_port_class);
	b->port_atom_classes = calloc(1, bytes + sizeof(uint64_t));
	if (!img->port || !b->port_atom_classes)
		return np_oom(b);
	for (size_t i = 0; i < runs->n; i++) {
		const struct run *u = &runs->v[i];

		for (uint32_t p = u->first; p <= u->last; p++)
			img->port[u->proto][p] = (uint16_t)cls[u->row];
		b->port_class_sum[cls[u->row]] += range_weight(u->proto, u->first, u->last);
	}
	b->port_class_sum[0] += np_mix(NP_PORT_PROTOS << 20); /* and all that has no ports */
	np_sets_by_atom(&b->port_rows, row_of, img->n_port_class, b->n_port_atom, b->port_atom_classes,
			b->port_class_words);
	return 0;
}

int np_ports_make(struct np_build *b, const struct np_image *prev)
{
	uint32_t *cls = NULL, *row_of = NULL;
	struct runs runs = {0};
	struct edge *edge;
	uint64_t *now;
	size_t n = 0;
	int r = np_rows_init(&b->port_rows, np_words(b->n_port_atom), true) < 0 ? np_oom(b) : 0;

	for (size_t i = 0; i < b->n_port_atom; i++)
		n += 2 * b->port_atom[i].n;
	edge = reallocarray(NULL, n + 1, sizeof(*edge));
	now = calloc(b->port_rows.words + 1, sizeof(*now));
	if (!edge || !now)
		r = np_oom(b);
	for (uint32_t proto = 0; r == 0 && proto < NP_PORT_PROTOS; proto++)
		r = sweep(b, proto, edge, now, &runs);
	if (r == 0 && b->port_rows.n > NP_CLASSES)
		r = vw_err_set(b->err, E2BIG, 0,
			       "policies tell %zu classes of ports apart, at most %u may be", b->port_rows.n,
			       NP_CLASSES);
	r = r < 0 ? r : number(b, prev, &cls, &row_of);
	r = r < 0 ? r : fill(b, &runs, cls, row_of);
	free(edge);
	free(now);
	free(runs.v);
	free(cls);
	free(row_of);
	return r;
}
