/*
 * Meanings: one number for what an effective policy does to whom, such that two images agree on it when
 * every address and port gets the same action, whatever the classes are numbered and however prefixes and
 * ports are cut up by policies of other pods. It is a sum over addresses (known ones, prefixes), of those
 * alone that are treated otherwise than everybody around them: weight of the address times what its row
 * says; and what a row says is a sum over ports, weight of the ports times the action.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t hash_names(const struct np_image_blob *blob, uint64_t names)
{
	uint64_t h = 0;

	for (; names; names &= names - 1) {
		const char *text = blob->fqdn[__builtin_ctzll(names)];

		h += np_hash(5, text, strlen(text));
	}
	return h;
}

uint64_t np_cell_meaning(const struct np_image_blob *blob, uint32_t verdict)
{
	const struct np_chain *c = (const struct np_chain *)(blob->line + NP_VERDICT_ARG(verdict));
	uint64_t h = 0;

	if (NP_VERDICT_ACTION(verdict) != NP_CHAIN)
		return np_mix(NP_VERDICT_ACTION(verdict) + 1);
	for (;; c++) {
		h = np_mix(h ^ hash_names(blob, c->names)) + NP_VERDICT_ACTION(c->verdict);
		if (!c->names)
			return h;
	}
}

static const uint16_t *rows_of(const struct np_image_blob *blob, int dir)
{
	return blob->line[((const struct np_blob *)blob->line)->dir[dir].row].h;
}

/* What each row of the matrix says. */
static int make_rows(struct np_build *b, unsigned int at, int dir)
{
	const struct np_image_blob *blob = &b->img->blob[at];
	const struct np_blob *head = (const struct np_blob *)blob->line;
	const uint16_t *row = rows_of(blob, dir), *col = blob->line[head->dir[dir].col].h;
	const uint32_t *cell = blob->line[head->dir[dir].mtx].w, ncol = head->dir[dir].ncol;
	uint64_t *ports = calloc(ncol, sizeof(*ports)), *ret;
	unsigned int n = 0;

	for (unsigned int c = 0; c < head->n_class; c++)
		n = row[c] >= n ? row[c] + 1u : n;
	ret = calloc(n, sizeof(*ret));
	if (!ports || !ret) {
		free(ports);
		free(ret);
		return np_oom(b);
	}
	for (unsigned int c = 0; c < head->n_port_class; c++)
		ports[col[c]] += b->port_class_sum[c];
	for (unsigned int i = 0; i < n; i++) {
		for (uint32_t c = 0; c < ncol; c++)
			ret[i] += ports[c] * np_cell_meaning(blob, cell[i * ncol + c]);
		ret[i] = np_mix(ret[i] + (uint64_t)dir);
	}
	free(ports);
	b->made[at].row_meaning[dir] = ret;
	b->made[at].n_row[dir] = n;
	return 0;
}

static void add_weight(struct np_build *b, unsigned int at, uint16_t cls, uint16_t base, uint64_t sum)
{
	for (int d = 0; d < NP_DIRS; d++) {
		const uint16_t *row = rows_of(&b->img->blob[at], d);
		const uint64_t *says = b->made[at].row_meaning[d];

		/* by what it says: another row may say the same of actions, with other rules */
		if (base == NP_NO_CLASS || says[row[cls]] != says[row[base]])
			b->img->blob[at].meaning += sum * says[row[cls]];
	}
}

int np_meaning_make(struct np_build *b)
{
	unsigned int at = b->img->n_blob - 1;

	for (int d = 0; d < NP_DIRS; d++)
		if (make_rows(b, at, d) < 0)
			return -ENOMEM;
	b->img->blob[at].meaning = 0;
	for (size_t i = 0; i < b->n_weight; i++)
		add_weight(b, at, b->weight[i].cls, b->weight[i].base, b->weight[i].sum);
	return 0;
}

void np_meaning_add(struct np_build *b, uint16_t cls, uint16_t base, uint64_t sum)
{
	for (unsigned int i = 0; cls != base && i < b->img->n_blob; i++)
		add_weight(b, i, cls, base, sum);
}
