/*
 * Blobs. For each direction: classes with equal sets of the policy's atoms are one kind of peer, port
 * classes likewise; for each pair of kinds the terms that both meet are walked in order, once, here, and
 * the verdict goes into a cell. Kinds whose cells are all alike become one row.
 *
 * Domain names make a cell a chain: what is decided if the address is known by one of these names, if by
 * one of those, else. A Pass by names puts the rest of the walk, narrowed to those names, in front of
 * what follows. Names are patterns, and two patterns have either nothing in common, or all that the
 * narrower one has.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_WORK    ((uint64_t)1 << 31)
#define ALL_NAMES   UINT64_MAX
#define MAX_ENTRIES 1024 /* of a chain before it is shortened */

struct chains {
	struct np_chain *v;         /* whole lines */
	size_t n, cap;              /* entries */
	struct np_table by_content; /* first entry + 1 */
	const struct np_line *base;
};

/* One direction of one blob. */
struct work {
	struct np_build *b;
	const struct np_terms *terms;
	struct np_image_blob *blob;
	uint32_t tier_end[NP_TIER_DEFAULT + 2]; /* first term behind the tier */
	/* atoms of the terms, each once: local numbers */
	uint32_t *peer_atom, *port_atom, *local_peer, *local_port;
	size_t n_peer_atom, n_port_atom;
	struct np_rows peer_kinds, port_kinds; /* sets of local atoms */
	uint16_t *row, *col;                   /* by class: kind, then row of the matrix */
	struct np_rows cells;                  /* rows of the matrix, two verdicts a word */
	uint64_t *col_terms;                   /* by kind of port: set of terms */
	size_t term_words;
	struct chains *chains;
	struct np_chain chain[MAX_ENTRIES];
	unsigned int n_chain;
};

/* --- names */

/* @a's names are all @b's too. */
static bool narrower(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	if (!strcmp(a, b))
		return true;
	/* "*.x" has at least one label before "x": the dot is part of the tail */
	return b[0] == '*' && n > m - 1 && !strcmp(a + n - (m - 1), b + 1);
}

/* The names that are in both: of each pair of patterns the narrower, if they meet. */
static uint64_t both_names(const struct np_image_blob *blob, uint64_t a, uint64_t b)
{
	uint64_t ret = 0;

	if (a == ALL_NAMES)
		return b;
	for (uint64_t m = a; m; m &= m - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(m);

		for (uint64_t k = b; k; k &= k - 1) {
			unsigned int j = (unsigned int)__builtin_ctzll(k);

			if (narrower(blob->fqdn[i], blob->fqdn[j]))
				ret |= 1ull << i;
			else if (narrower(blob->fqdn[j], blob->fqdn[i]))
				ret |= 1ull << j;
		}
	}
	return ret;
}

static uint64_t names_of(const struct np_image_blob *blob, const struct np_policy_rule *rule)
{
	uint64_t ret = 0;

	for (unsigned int i = 0; i < rule->n_peer; i++)
		for (unsigned int k = 0; rule->peer[i].type == NP_PEER_DOMAIN && k < blob->n_fqdn; k++)
			if (!strcmp(blob->fqdn[k], rule->peer[i].domain->s))
				ret |= 1ull << k;
	return ret;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The patterns of all terms, sorted, each once. */
static int collect_names(struct np_build *b, const struct np_effective *e, struct np_image_blob *blob)
{
	const char **v = NULL;
	size_t n = 0, cap = 0, kept = 0;
	int r = 0;

	for (unsigned int i = 0; i < e->terms[NP_EGRESS].n; i++) {
		const struct np_policy_rule *rule = e->terms[NP_EGRESS].v[i].domains;

		for (unsigned int k = 0; rule && r == 0 && k < rule->n_peer; k++) {
			if (rule->peer[k].type != NP_PEER_DOMAIN)
				continue;
			if (np_grow(&v, n, &cap, sizeof(*v)) < 0)
				r = np_oom(b);
			else
				v[n++] = rule->peer[k].domain->s;
		}
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), by_text);
	for (size_t i = 0; i < n; i++)
		if (!kept || strcmp(v[kept - 1], v[i]) != 0)
			v[kept++] = v[i];
	if (r == 0 && kept > NP_FQDN_NAMES)
		r = vw_err_set(b->err, E2BIG, 0,
			       "the policies of one pod name %zu domains, at most %d may be", kept,
			       NP_FQDN_NAMES);
	if (r == 0 && kept) {
		blob->fqdn = np_mem_alloc(&b->mem, kept, sizeof(*blob->fqdn));
		for (size_t i = 0; r == 0 && i < kept; i++) {
			if (blob->fqdn)
				blob->fqdn[i] = np_text(b, "%s", v[i]);
			if (!blob->fqdn || !blob->fqdn[i])
				r = np_oom(b);
		}
		blob->n_fqdn = (unsigned int)kept;
	}
	free(v);
	return r;
}

/* What DNS answers teach is kept by this number: the same list has the same, another list of the image
 * another. */
static uint32_t fqdn_set(const struct np_image *img, struct np_image_blob *blob)
{
	uint32_t set;
	unsigned int i;

	if (!blob->n_fqdn)
		return 0;
	blob->fqdn_key = 1;
	for (i = 0; i < blob->n_fqdn; i++)
		blob->fqdn_key = np_hash(blob->fqdn_key, blob->fqdn[i], strlen(blob->fqdn[i]));
	for (i = 0; i < img->n_blob; i++)
		if (img->blob[i].fqdn_key == blob->fqdn_key)
			return ((const struct np_blob *)img->blob[i].line)->fqdn_set;
	set = (uint32_t)blob->fqdn_key ? (uint32_t)blob->fqdn_key : 1;
	for (i = 0; i < img->n_blob; i++)
		if (((const struct np_blob *)img->blob[i].line)->fqdn_set == set) {
			set = set + 1 ? set + 1 : 1;
			i = UINT32_MAX; /* from the start */
		}
	return set;
}

/* --- walking */

static uint32_t verdict_of(const struct work *w, const struct np_term *t)
{
	uint32_t id = t->rule == NP_NONE ? 0 : w->b->rec[t->rule].id;

	return NP_VERDICT(t->verb == NP_ACCEPT ? NP_ALLOW : NP_DENY, id);
}

static void put_entry(struct work *w, uint64_t names, uint32_t verdict)
{
	if (w->n_chain < MAX_ENTRIES)
		w->chain[w->n_chain] = (struct np_chain){.names = names, .verdict = verdict};
	w->n_chain++;
}

/*
 * Entries for what the terms @list (of which the port must meet too) decide from the @from-th term on,
 * for addresses known by
 * @names. The last term of all always decides.
 */
static void walk(struct work *w, const uint32_t *list, size_t n, const uint64_t *met, uint32_t from,
		 uint64_t names)
{
	for (size_t i = 0; i < n; i++) {
		const struct np_term *t = &w->terms->v[list[i]];
		uint64_t only;

		if (list[i] < from || !np_bit(met, list[i]))
			continue;
		if (!t->domains) {
			if (t->verb != NP_PASS) {
				put_entry(w, names == ALL_NAMES ? 0 : names, verdict_of(w, t));
				return;
			}
			from = w->tier_end[t->tier];
			continue;
		}
		only = both_names(w->blob, names, names_of(w->blob, t->domains));
		if (!only || w->n_chain > MAX_ENTRIES)
			continue;
		if (t->verb == NP_PASS)
			walk(w, list, n, met, w->tier_end[t->tier], only);
		else
			put_entry(w, only, verdict_of(w, t));
	}
}

/* Neighbours that say the same become one; @loose: with the same action, and the first one's rule for
 * both. */
static void join_entries(struct work *w, bool loose)
{
	struct np_chain *v = w->chain;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < w->n_chain; i++) {
		struct np_chain *last = kept ? &v[kept - 1] : NULL;

		if (last && last->names && v[i].names &&
		    (loose ? NP_VERDICT_ACTION(last->verdict) == NP_VERDICT_ACTION(v[i].verdict)
			   : last->verdict == v[i].verdict))
			last->names |= v[i].names;
		else
			v[kept++] = v[i];
	}
	w->n_chain = kept;
}

static bool is_same_end(const struct np_chain *last, const struct np_chain *end)
{
	uint32_t action = NP_VERDICT_ACTION(end->verdict);

	return last->verdict == end->verdict ||
	       (action == NP_ALLOW && NP_VERDICT_ACTION(last->verdict) == action);
}

/*
 * The last entries go when the end says the same; when it allows, whatever rule does: a flow that needs
 * no name must not wait for one. Then neighbours are joined.
 */
static void shorten(struct work *w)
{
	struct np_chain *v = w->chain;

	while (w->n_chain > 1 && is_same_end(&v[w->n_chain - 2], &v[w->n_chain - 1])) {
		v[w->n_chain - 2] = v[w->n_chain - 1];
		w->n_chain--;
	}
	join_entries(w, false);
	if (w->n_chain > NP_CHAIN_MAX)
		join_entries(w, true);
}

struct chain_key {
	const struct chains *chains;
	const struct np_chain *v;
	unsigned int n;
};

static bool is_chain(const void *p, const void *key)
{
	const struct chain_key *k = key;
	size_t at = (uintptr_t)p - 1;

	return at + k->n <= k->chains->n && !memcmp(&k->chains->v[at], k->v, k->n * sizeof(*k->v));
}

/* Where the chain stands, in lines from the first chain's. */
static int keep_chain(struct work *w, uint32_t *ret_line)
{
	struct chains *c = w->chains;
	uint64_t hash = np_hash(3, w->chain, w->n_chain * sizeof(*w->chain));
	void *found =
		np_table_find(&c->by_content, hash, is_chain, &(struct chain_key){c, w->chain, w->n_chain});
	size_t lines = (w->n_chain + 3) / 4, at = c->n;

	if (found) {
		*ret_line = (uint32_t)(((uintptr_t)found - 1) / 4);
		return 0;
	}
	while (c->n + 4 * lines > c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct np_chain *grown = reallocarray(c->v, cap, sizeof(*grown));

		if (!grown)
			return np_oom(w->b);
		c->v = grown;
		c->cap = cap;
	}
	if (np_table_add(&c->by_content, hash, (void *)(at + 1)) < 0)
		return np_oom(w->b);
	memset(c->v + at, 0, 4 * lines * sizeof(*c->v));
	memcpy(c->v + at, w->chain, w->n_chain * sizeof(*w->chain));
	c->n += 4 * lines;
	*ret_line = (uint32_t)(at / 4);
	return 0;
}

static int judge_cell(struct work *w, const uint32_t *list, size_t n, const uint64_t *met, uint32_t *ret)
{
	uint32_t line = 0;
	int r;

	w->n_chain = 0;
	walk(w, list, n, met, 0, ALL_NAMES);
	if (w->n_chain <= MAX_ENTRIES)
		shorten(w);
	if (w->n_chain > NP_CHAIN_MAX)
		return vw_err_set(
			w->b->err, E2BIG, 0,
			"rules with domain names of one pod say in turn yes and no more than %d times",
			NP_CHAIN_MAX - 1);
	if (w->n_chain == 1) {
		*ret = w->chain[0].verdict;
		return 0;
	}
	r = keep_chain(w, &line);
	*ret = NP_VERDICT(NP_CHAIN, line);
	return r;
}

/* --- kinds */

/* Local numbers for the atoms that @terms have. */
static int number_atoms(struct work *w)
{
	const struct np_build *b = w->b;

	w->peer_atom = reallocarray(NULL, w->terms->n + 1, sizeof(*w->peer_atom));
	w->port_atom = reallocarray(NULL, w->terms->n + 1, sizeof(*w->port_atom));
	w->local_peer = malloc((b->n_atom + 1) * sizeof(*w->local_peer));
	w->local_port = malloc((b->n_port_atom + 1) * sizeof(*w->local_port));
	if (!w->peer_atom || !w->port_atom || !w->local_peer || !w->local_port)
		return np_oom(w->b);
	memset(w->local_peer, 0xff, b->n_atom * sizeof(*w->local_peer));
	memset(w->local_port, 0xff, b->n_port_atom * sizeof(*w->local_port));
	for (unsigned int i = 0; i < w->terms->n; i++) {
		uint32_t peer = w->terms->v[i].peer, port = w->terms->v[i].port;

		if (peer < b->n_atom && w->local_peer[peer] == NP_NONE) {
			w->local_peer[peer] = (uint32_t)w->n_peer_atom;
			w->peer_atom[w->n_peer_atom++] = peer;
		}
		if (port < b->n_port_atom && w->local_port[port] == NP_NONE) {
			w->local_port[port] = (uint32_t)w->n_port_atom;
			w->port_atom[w->n_port_atom++] = port;
		}
	}
	return 0;
}

/*
 * For each of @n_class classes the kind that it is: @sets are the atoms' sets of classes, @words each;
 * @atom the local ones. 64 classes at a time, turned around.
 */
static int find_kinds(struct np_build *b, const uint64_t *sets, size_t words, const uint32_t *atom,
		      size_t n_atom, size_t n_class, struct np_rows *kinds, uint16_t *ret)
{
	size_t kw = np_words(n_atom);
	uint64_t *row = calloc(64 * (kw + 1), sizeof(*row));
	uint32_t kind;

	if (!row || np_rows_init(kinds, kw, false) < 0) {
		free(row);
		return np_oom(b);
	}
	for (size_t x = 0; x < words; x++) {
		for (size_t k = 0; k < kw; k++) {
			uint64_t m[64], some = 0;

			for (size_t i = 0; i < 64; i++) {
				m[i] = 64 * k + i < n_atom ? sets[atom[64 * k + i] * words + x] : 0;
				some |= m[i];
			}
			if (some)
				np_bits_transpose(m);
			for (size_t i = 0; i < 64; i++)
				row[i * kw + k] = m[i];
		}
		for (size_t i = 0; i < 64 && 64 * x + i < n_class; i++) {
			if (np_rows_get(kinds, row + i * kw, &kind) < 0) {
				free(row);
				return np_oom(b);
			}
			ret[64 * x + i] = (uint16_t)kind; /* as many kinds as classes at most */
		}
	}
	free(row);
	return 0;
}

/* For each kind of port the set of terms that it meets. */
static int meet_ports(struct work *w)
{
	size_t n = w->port_kinds.n;

	w->term_words = np_words(w->terms->n);
	w->col_terms = calloc(n * w->term_words + 1, sizeof(*w->col_terms));
	if (!w->col_terms)
		return np_oom(w->b);
	for (size_t k = 0; k < n; k++)
		for (unsigned int i = 0; i < w->terms->n; i++) {
			uint32_t port = w->terms->v[i].port;

			if (port == NP_ANY ||
			    np_bit(np_row(&w->port_kinds, (uint32_t)k), w->local_port[port]))
				np_bit_set(w->col_terms + k * w->term_words, i);
		}
	return 0;
}

static int fill_matrix(struct work *w)
{
	size_t n_row = w->peer_kinds.n, n_col = w->port_kinds.n, words = (n_col + 1) / 2;
	uint32_t *list = reallocarray(NULL, w->terms->n + 1, sizeof(*list)),
		 *cell = calloc(2 * words + 1, sizeof(*cell));
	uint32_t *row_of = reallocarray(NULL, n_row, sizeof(*row_of));
	int r = list && cell && row_of && np_rows_init(&w->cells, words, false) == 0 ? 0 : np_oom(w->b);

	if (r == 0 && (uint64_t)n_row * (n_col + w->terms->n) > MAX_WORK)
		r = vw_err_set(w->b->err, E2BIG, 0,
			       "the policies of one pod tell %zu kinds of peers and %zu kinds of ports "
			       "apart: too many",
			       n_row, n_col);
	for (size_t k = 0; r == 0 && k < n_row; k++) {
		const uint64_t *has = np_row(&w->peer_kinds, (uint32_t)k);
		size_t n = 0;

		for (unsigned int i = 0; i < w->terms->n; i++)
			if (w->terms->v[i].peer == NP_ANY || np_bit(has, w->local_peer[w->terms->v[i].peer]))
				list[n++] = i;
		for (size_t c = 0; r == 0 && c < n_col; c++)
			r = judge_cell(w, list, n, w->col_terms + c * w->term_words, &cell[c]);
		if (r == 0 && np_rows_get(&w->cells, (const uint64_t *)cell, &row_of[k]) < 0)
			r = np_oom(w->b);
		if (r == 0 && w->cells.n * n_col / NP_LINE_WORDS > NP_ARENA_LINES / 2)
			r = vw_err_set(w->b->err, E2BIG, 0,
				       "the policies of one pod make a table of more than %u lines",
				       NP_ARENA_LINES / 2);
	}
	for (unsigned int i = 0; r == 0 && i < w->b->img->n_class; i++)
		w->row[i] = (uint16_t)row_of[w->row[i]];
	free(list);
	free(cell);
	free(row_of);
	return r;
}

static int make_dir(struct work *w)
{
	struct np_build *b = w->b;
	int r = number_atoms(w);

	for (unsigned int i = 0; i < w->terms->n; i++)
		for (unsigned int t = w->terms->v[i].tier; t <= NP_TIER_DEFAULT; t++)
			w->tier_end[t] = i + 1;
	w->row = calloc(b->img->n_class + 1, sizeof(*w->row));
	w->col = calloc(b->img->n_port_class + 1, sizeof(*w->col));
	if (!w->row || !w->col)
		r = np_oom(b);
	r = r < 0 ? r
		  : find_kinds(b, b->atom_classes, b->class_words, w->peer_atom, w->n_peer_atom,
			       b->img->n_class, &w->peer_kinds, w->row);
	r = r < 0 ? r
		  : find_kinds(b, b->port_atom_classes, b->port_class_words, w->port_atom, w->n_port_atom,
			       b->img->n_port_class, &w->port_kinds, w->col);
	r = r < 0 ? r : meet_ports(w);
	return r < 0 ? r : fill_matrix(w);
}

static void work_done(struct work *w)
{
	free(w->peer_atom);
	free(w->port_atom);
	free(w->local_peer);
	free(w->local_port);
	np_rows_done(&w->peer_kinds);
	np_rows_done(&w->port_kinds);
	np_rows_done(&w->cells);
	free(w->row);
	free(w->col);
	free(w->col_terms);
}

/* --- lines */

static uint32_t lines_of(size_t n, size_t each)
{
	return (uint32_t)((n * each + sizeof(struct np_line) - 1) / sizeof(struct np_line));
}

struct layout {
	struct np_line *line;
	uint32_t n;
};

/* @bytes at the end, or where the same @lines stand already since @from. */
static uint32_t put_lines(struct layout *l, uint32_t from, const void *data, size_t bytes)
{
	uint32_t lines = lines_of(bytes, 1), at;

	memcpy(l->line + l->n, data, bytes);
	if (from && !memcmp(l->line + from, l->line + l->n, lines * sizeof(*l->line))) {
		memset(l->line + l->n, 0, bytes);
		return from;
	}
	at = l->n;
	l->n += lines;
	return at;
}

/* Chains stand at @chain_line: their places in cells are not known before. */
static void put_matrix(struct layout *l, const struct work *w, uint32_t chain_line, struct np_blob_dir *d)
{
	uint32_t ncol = (uint32_t)w->port_kinds.n, *to = (uint32_t *)(l->line + l->n);

	d->ncol = ncol;
	d->mtx = l->n;
	for (size_t k = 0; k < w->cells.n; k++) {
		const uint32_t *cell = (const uint32_t *)np_row(&w->cells, (uint32_t)k);

		for (uint32_t c = 0; c < ncol; c++, to++)
			*to = NP_VERDICT_ACTION(cell[c]) == NP_CHAIN
				      ? NP_VERDICT(NP_CHAIN, chain_line + NP_VERDICT_ARG(cell[c]))
				      : cell[c];
	}
	l->n += lines_of(w->cells.n * ncol, sizeof(uint32_t));
}

static int lay_out(struct np_build *b, struct work *w, const struct chains *chains, uint32_t flags,
		   uint32_t set, struct np_image_blob *blob)
{
	size_t rows = b->img->n_class * sizeof(uint16_t), cols = b->img->n_port_class * sizeof(uint16_t);
	size_t most = 1 + 2 * (lines_of(rows, 1) + lines_of(cols, 1)) +
		      lines_of(chains->n, sizeof(struct np_chain));
	struct layout l = {.n = 1};
	struct np_blob *head;
	uint32_t chain_line;

	for (int d = 0; d < NP_DIRS; d++)
		most += lines_of(w[d].cells.n * w[d].port_kinds.n, sizeof(uint32_t));
	if (most + b->lines > NP_ARENA_LINES / 2 - 1)
		return vw_err_set(
			b->err, E2BIG, 0,
			"the policies of this node's pods make tables of more than %u lines of 64 bytes",
			NP_ARENA_LINES / 2 - 1);
	l.line = calloc(most, sizeof(*l.line));
	if (!l.line)
		return np_oom(b);
	head = (struct np_blob *)l.line;
	*head = (struct np_blob){.magic = NP_BLOB_MAGIC,
				 .fqdn_set = set,
				 .n_class = (uint16_t)b->img->n_class,
				 .n_port_class = (uint16_t)b->img->n_port_class,
				 .flags = flags};
	head->dir[0].row = put_lines(&l, 0, w[0].row, rows);
	head->dir[1].row = put_lines(&l, head->dir[0].row, w[1].row, rows);
	head->dir[0].col = put_lines(&l, 0, w[0].col, cols);
	head->dir[1].col = put_lines(&l, head->dir[0].col, w[1].col, cols);
	chain_line = l.n;
	if (chains->n)
		(void)put_lines(&l, 0, chains->v, chains->n * sizeof(*chains->v));
	put_matrix(&l, &w[0], chain_line, &head->dir[0]);
	put_matrix(&l, &w[1], chain_line, &head->dir[1]);
	blob->line = l.line;
	blob->n_lines = l.n;
	blob->hash = np_hash(4, l.line, l.n * sizeof(*l.line));
	return 0;
}

static int make_blob(struct np_build *b, const struct np_effective *e, struct np_image_blob *blob)
{
	struct chains chains = {0};
	struct work *w = calloc(NP_DIRS, sizeof(*w));
	int r = w ? collect_names(b, e, blob) : np_oom(b);

	for (int d = 0; r == 0 && d < NP_DIRS; d++) {
		w[d].b = b;
		w[d].terms = &e->terms[d];
		w[d].blob = blob;
		w[d].chains = &chains;
		r = make_dir(&w[d]);
	}
	r = r < 0 ? r : lay_out(b, w, &chains, e->flags, fqdn_set(b->img, blob), blob);
	for (int d = 0; w && d < NP_DIRS; d++)
		work_done(&w[d]);
	free(w);
	free(chains.v);
	np_table_done(&chains.by_content);
	return r;
}

/* One with the same content, though it was made of other terms. */
static bool find_alike(const struct np_build *b, const struct np_image_blob *blob, unsigned int *ret)
{
	const struct np_image *img = b->img;

	for (unsigned int i = 0; i < img->n_blob; i++)
		if (img->blob[i].hash == blob->hash && img->blob[i].n_lines == blob->n_lines &&
		    !memcmp(img->blob[i].line, blob->line, blob->n_lines * sizeof(*blob->line))) {
			*ret = i;
			return true;
		}
	return false;
}

struct terms_key {
	const struct np_build *b;
	const struct np_effective *e;
};

static bool is_made_of(const void *p, const void *key)
{
	const struct terms_key *k = key;

	return np_effective_same(&k->b->made[(uintptr_t)p - 1].e, k->e);
}

static int add_blob(struct np_build *b, struct np_image_blob *blob, struct np_effective *e, unsigned int *ret)
{
	struct np_image *img = b->img;

	if (np_grow(&img->blob, img->n_blob, &b->cap_blob, sizeof(*img->blob)) < 0 ||
	    np_grow(&b->made, img->n_blob, &b->cap_made, sizeof(*b->made)) < 0 ||
	    np_table_add(&b->blob_by_terms, e->hash, (void *)(uintptr_t)(img->n_blob + 1)) < 0)
		return np_oom(b);
	img->blob[img->n_blob] = *blob;
	b->made[img->n_blob] = (struct np_made){.e = *e};
	*e = (struct np_effective){0};
	*ret = img->n_blob++;
	b->lines += blob->n_lines;
	blob->line = NULL;
	return np_meaning_make(b);
}

int np_blob_get(struct np_build *b, struct np_effective *e, unsigned int *ret)
{
	void *found = np_table_find(&b->blob_by_terms, e->hash, is_made_of, &(struct terms_key){b, e});
	struct np_image_blob blob = {0};
	int r = 0;

	if (found)
		*ret = (unsigned int)((uintptr_t)found - 1);
	else
		r = make_blob(b, e, &blob);
	if (r == 0 && !found && !find_alike(b, &blob, ret))
		r = add_blob(b, &blob, e, ret);
	free(blob.line);
	np_terms_done(&e->terms[0]);
	np_terms_done(&e->terms[1]);
	return r;
}
