/*
 * Two images have classes of their own, so addresses are compared by the pair of classes that they are
 * of, in the one and in the other, and ports likewise; each pair of pairs is looked up once for each pair
 * of blobs. Pairs of peers for which the same ports differ in the same way are told of together.
 */
#include "netpolicy-bpf/user/np_diff.h"

#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_compile.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

struct member {
	uint16_t a, b; /* classes */
	struct np_diff_peer peer;
};

struct run {
	uint16_t a, b; /* port classes */
	struct np_diff_port port;
};

struct subject {
	unsigned int a, b, slot; /* blobs */
};

/* From @from to @to of a sorted array: one pair of classes. */
struct pair {
	size_t from, to;
};

struct pairs {
	struct pair *v;
	size_t n, cap;
};

struct work {
	const struct np_image *old, *fresh;
	struct np_diff *d;
	size_t max, cap_change;
	struct member *member;
	struct run *run;
	struct subject *subject;
	size_t n_member, cap_member, n_run, cap_run, n_subject;
	struct pairs peers, ports;
	struct how *how;
	struct cell *cell;
};

/* How a pair of peers differs: equal ones differ alike. 0 = not. */
struct how {
	uint64_t sum;
	size_t pair;
};

struct cell {
	uint32_t from, to;
	size_t pair;
};

/* --- who and what there is in either */

static int add_member(struct work *w, uint16_t a, uint16_t b, const struct vw_cidr *cidr, const char *who)
{
	if (np_grow(&w->member, w->n_member, &w->cap_member, sizeof(*w->member)) < 0)
		return -ENOMEM;
	w->member[w->n_member++] = (struct member){a, b, {*cidr, who}};
	return 0;
}

static uint16_t class_in(const struct np_image *img, const struct vw_cidr *cidr)
{
	const struct np_peer *p =
		cidr->len == vw_ip_bits(&cidr->ip) ? np_image_find_peer(img, &cidr->ip) : NULL;

	return p ? p->cls : np_image_find_cidr(img, cidr)->cls;
}

/* @other: those that it has too have been taken already. */
static int add_members(struct work *w, const struct np_image *img, const struct np_image *other)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < img->n_peer; i++) {
		struct vw_cidr host = vw_cidr_host(&img->peer[i].ip);

		if (!other || !np_image_find_peer(other, &img->peer[i].ip))
			r = add_member(w, class_in(w->old, &host), class_in(w->fresh, &host), &host,
				       img->peer[i].who);
	}
	for (size_t i = 0; r == 0 && i < img->n_cidr; i++) {
		const struct vw_cidr *c = &img->cidr[i].cidr;

		if (!other || !vw_cidr_eq(&np_image_find_cidr(other, c)->cidr, c))
			r = add_member(w, class_in(w->old, c), class_in(w->fresh, c), c, "");
	}
	return r;
}

static int add_runs(struct work *w)
{
	static const uint8_t protos[NP_PORT_PROTOS] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	uint32_t first;

	if (np_grow(&w->run, w->n_run, &w->cap_run, sizeof(*w->run)) < 0)
		return -ENOMEM;
	w->run[w->n_run++] = (struct run){0, 0, {0, 0, 0}};
	for (int p = 0; p < NP_PORT_PROTOS; p++) {
		const uint16_t *a = w->old->port[p], *b = w->fresh->port[p];

		for (uint32_t i = first = 0; i <= 65535; i++) {
			if (i < 65535 && a[i + 1] == a[first] && b[i + 1] == b[first])
				continue;
			if (np_grow(&w->run, w->n_run, &w->cap_run, sizeof(*w->run)) < 0)
				return -ENOMEM;
			w->run[w->n_run++] =
				(struct run){a[first], b[first], {protos[p], (uint16_t)first, (uint16_t)i}};
			first = i + 1;
		}
	}
	return 0;
}

static int add_subjects(struct work *w)
{
	w->subject = reallocarray(NULL, w->fresh->n_subject + 1, sizeof(*w->subject));
	if (!w->subject)
		return -ENOMEM;
	for (size_t i = 0; i < w->fresh->n_subject; i++)
		for (size_t k = 0; k < w->old->n_subject; k++)
			if (w->old->subject[k].slot == w->fresh->subject[i].slot)
				w->subject[w->n_subject++] =
					(struct subject){w->old->subject[k].blob, w->fresh->subject[i].blob,
							 w->fresh->subject[i].slot};
	return 0;
}

static int by_member(const void *x, const void *y)
{
	const struct member *p = x, *q = y;
	int d = p->a != q->a ? p->a - q->a : p->b - q->b;

	d = d ? d : vw_ip_cmp(&p->peer.cidr.ip, &q->peer.cidr.ip);
	return d ? d : p->peer.cidr.len - q->peer.cidr.len;
}

static int by_place(const void *x, const void *y)
{
	const struct member *p = x, *q = y;
	int d = vw_ip_cmp(&p->peer.cidr.ip, &q->peer.cidr.ip);

	return d ? d : p->peer.cidr.len - q->peer.cidr.len;
}

/* A prefix of one image that longer ones of the other fill: nobody is left in it. */
static int drop_filled(struct work *w)
{
	struct open {
		size_t at;
		unsigned __int128 filled; /* of 2^bits addresses: all of them wrap to 0 */
		bool any;
	} open[260];
	bool *filled = calloc(w->n_member + 1, sizeof(*filled));
	size_t depth = 0, kept = 0;

	if (!filled)
		return -ENOMEM;
	qsort(w->member, w->n_member, sizeof(*w->member), by_place);
	for (size_t i = 0; i <= w->n_member; i++) {
		const struct vw_cidr *c = i < w->n_member ? &w->member[i].peer.cidr : NULL;

		while (depth && (!c || !vw_cidr_covers(&w->member[open[depth - 1].at].peer.cidr, c))) {
			const struct open *o = &open[--depth];
			const struct vw_cidr *of = &w->member[o->at].peer.cidr;
			unsigned int host_bits = vw_ip_bits(&of->ip) - of->len;
			unsigned __int128 size = host_bits == 128 ? 0 : (unsigned __int128)1 << host_bits;

			filled[o->at] = o->any && o->filled == size;
			if (depth) {
				open[depth - 1].filled += size;
				open[depth - 1].any = true;
			}
		}
		if (c)
			open[depth++] = (struct open){i, 0, false};
	}
	for (size_t i = 0; i < w->n_member; i++)
		if (!filled[i])
			w->member[kept++] = w->member[i];
	w->n_member = kept;
	free(filled);
	return 0;
}

static int by_run(const void *x, const void *y)
{
	const struct run *p = x, *q = y;
	int d = p->a != q->a ? p->a - q->a : p->b - q->b;

	d = d ? d : p->port.proto - q->port.proto;
	return d ? d : p->port.first - q->port.first;
}

static int by_subject(const void *x, const void *y)
{
	const struct subject *p = x, *q = y;

	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return p->slot < q->slot ? -1 : p->slot > q->slot;
}

static int add_pair(struct pairs *p, size_t from, size_t to)
{
	if (np_grow(&p->v, p->n, &p->cap, sizeof(*p->v)) < 0)
		return -ENOMEM;
	p->v[p->n++] = (struct pair){from, to};
	return 0;
}

static int find_pairs(struct work *w)
{
	int r = 0;

	qsort(w->member, w->n_member, sizeof(*w->member), by_member);
	qsort(w->run, w->n_run, sizeof(*w->run), by_run);
	qsort(w->subject, w->n_subject, sizeof(*w->subject), by_subject);
	for (size_t i = 0, from = 0; r == 0 && i < w->n_member; i++)
		if (i + 1 == w->n_member || w->member[i + 1].a != w->member[from].a ||
		    w->member[i + 1].b != w->member[from].b) {
			r = add_pair(&w->peers, from, i + 1);
			from = i + 1;
		}
	for (size_t i = 0, from = 0; r == 0 && i < w->n_run; i++)
		if (i + 1 == w->n_run || w->run[i + 1].a != w->run[from].a ||
		    w->run[i + 1].b != w->run[from].b) {
			r = add_pair(&w->ports, from, i + 1);
			from = i + 1;
		}
	w->how = reallocarray(NULL, w->peers.n + 1, sizeof(*w->how));
	w->cell = reallocarray(NULL, w->ports.n + 1, sizeof(*w->cell));
	return r < 0 || !w->how || !w->cell ? -ENOMEM : 0;
}

/* --- comparing */

static uint32_t cell_of(const struct np_image_blob *b, enum np_dir dir, uint16_t cls, uint16_t port_cls)
{
	const struct np_blob_dir *d = &((const struct np_blob *)b->line)->dir[dir];

	return b->line[d->mtx].w[b->line[d->row].h[cls] * d->ncol + b->line[d->col].h[port_cls]];
}

/* The cells of one pair of peers that differ, into w->cell. */
static size_t compare(struct work *w, const struct np_image_blob *a, const struct np_image_blob *b,
		      enum np_dir dir, size_t pair)
{
	const struct member *m = &w->member[w->peers.v[pair].from];
	size_t n = 0;

	for (size_t i = 0; i < w->ports.n; i++) {
		const struct run *u = &w->run[w->ports.v[i].from];
		uint32_t from = cell_of(a, dir, m->a, u->a), to = cell_of(b, dir, m->b, u->b);

		if (np_cell_meaning(a, from) != np_cell_meaning(b, to))
			w->cell[n++] = (struct cell){from, to, i};
	}
	return n;
}

static int by_how(const void *x, const void *y)
{
	const struct how *p = x, *q = y;

	if (p->sum != q->sum)
		return p->sum < q->sum ? -1 : 1;
	return p->pair < q->pair ? -1 : p->pair > q->pair;
}

static int by_cell(const void *x, const void *y)
{
	const struct cell *p = x, *q = y;

	if (p->from != q->from)
		return p->from < q->from ? -1 : 1;
	if (p->to != q->to)
		return p->to < q->to ? -1 : 1;
	return p->pair < q->pair ? -1 : p->pair > q->pair;
}

/* --- telling */

static const struct np_rule *rule_of(const struct np_image *img, uint32_t verdict)
{
	return NP_VERDICT_ACTION(verdict) == NP_CHAIN || !NP_VERDICT_ARG(verdict)
		       ? NULL
		       : &img->rule[NP_VERDICT_ARG(verdict)];
}

static int by_port(const void *x, const void *y)
{
	const struct np_diff_port *p = x, *q = y;

	return p->proto != q->proto ? p->proto - q->proto : p->first - q->first;
}

static int put_ports(struct work *w, struct np_diff_change *c, const struct cell *cell, size_t n)
{
	size_t total = 0, kept = 0;

	for (size_t i = 0; i < n; i++)
		total += w->ports.v[cell[i].pair].to - w->ports.v[cell[i].pair].from;
	c->port = np_mem_alloc(w->d->mem, total, sizeof(*c->port));
	if (!c->port)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t k = w->ports.v[cell[i].pair].from; k < w->ports.v[cell[i].pair].to; k++)
			c->port[c->n_port++] = w->run[k].port;
	qsort(c->port, c->n_port, sizeof(*c->port), by_port);
	for (size_t i = 0; i < c->n_port; i++) {
		struct np_diff_port *last = kept ? &c->port[kept - 1] : NULL;

		if (last && last->proto == c->port[i].proto && last->last + 1 == c->port[i].first)
			last->last = c->port[i].last;
		else
			c->port[kept++] = c->port[i];
	}
	c->n_port = kept;
	return 0;
}

static int put_peers(struct work *w, struct np_diff_change *c, const struct how *how, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += w->peers.v[how[i].pair].to - w->peers.v[how[i].pair].from;
	c->peer = np_mem_alloc(w->d->mem, total, sizeof(*c->peer));
	if (!c->peer)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t k = w->peers.v[how[i].pair].from; k < w->peers.v[how[i].pair].to; k++)
			c->peer[c->n_peer++] = w->member[k].peer;
	return 0;
}

/* One change for each way in which cells of these peers, which all differ alike, are other than before. */
static int tell(struct work *w, size_t from, size_t to, enum np_dir dir, const struct how *how, size_t n_how,
		size_t n_cell)
{
	qsort(w->cell, n_cell, sizeof(*w->cell), by_cell);
	for (size_t i = 0, next; i < n_cell; i = next) {
		struct np_diff_change *c;

		for (next = i + 1; next < n_cell && w->cell[next].from == w->cell[i].from &&
				   w->cell[next].to == w->cell[i].to;)
			next++;
		if (w->d->n_change == w->max) {
			w->d->cut = true;
			return 0;
		}
		if (np_grow(&w->d->change, w->d->n_change, &w->cap_change, sizeof(*w->d->change)) < 0)
			return -ENOMEM;
		c = &w->d->change[w->d->n_change++];
		*c = (struct np_diff_change){.dir = dir,
					     .from = (enum np_action)NP_VERDICT_ACTION(w->cell[i].from),
					     .to = (enum np_action)NP_VERDICT_ACTION(w->cell[i].to),
					     .from_rule = rule_of(w->old, w->cell[i].from),
					     .to_rule = rule_of(w->fresh, w->cell[i].to)};
		c->slot = np_mem_alloc(w->d->mem, to - from, sizeof(*c->slot));
		if (!c->slot || put_ports(w, c, &w->cell[i], next - i) < 0 || put_peers(w, c, how, n_how) < 0)
			return -ENOMEM;
		for (size_t k = from; k < to; k++)
			c->slot[c->n_slot++] = w->subject[k].slot;
	}
	return 0;
}

/* Pods @from to @to, which have the same two blobs. */
static int compare_pods(struct work *w, size_t from, size_t to, enum np_dir dir)
{
	const struct np_image_blob *a = &w->old->blob[w->subject[from].a],
				   *b = &w->fresh->blob[w->subject[from].b];
	size_t n = 0, next;
	int r = 0;

	for (size_t i = 0; i < w->peers.n; i++) {
		size_t n_cell = compare(w, a, b, dir, i);

		if (n_cell)
			w->how[n++] = (struct how){np_hash(6, w->cell, n_cell * sizeof(*w->cell)), i};
	}
	qsort(w->how, n, sizeof(*w->how), by_how);
	for (size_t i = 0; r == 0 && i < n && !w->d->cut; i = next) {
		for (next = i + 1; next < n && w->how[next].sum == w->how[i].sum;)
			next++;
		r = tell(w, from, to, dir, &w->how[i], next - i, compare(w, a, b, dir, w->how[i].pair));
	}
	return r;
}

static int compare_all(struct work *w)
{
	size_t to;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->n_subject && !w->d->cut; i = to) {
		for (to = i + 1; to < w->n_subject && w->subject[to].a == w->subject[i].a &&
				 w->subject[to].b == w->subject[i].b;)
			to++;
		if (w->old->blob[w->subject[i].a].meaning == w->fresh->blob[w->subject[i].b].meaning)
			continue;
		for (int d = 0; r == 0 && d < NP_DIRS; d++)
			r = compare_pods(w, i, to, (enum np_dir)d);
	}
	return r;
}

void np_diff_done(struct np_diff *d)
{
	if (d->mem)
		np_mem_done(d->mem, NULL);
	free(d->mem);
	free(d->change);
	*d = (struct np_diff){0};
}

int np_diff(const struct np_image *old, const struct np_image *fresh, size_t max, struct np_diff *ret,
	    struct vw_err *err)
{
	struct np_diff d = {.mem = calloc(1, sizeof(*d.mem))};
	struct work w = {.old = old, .fresh = fresh, .d = &d, .max = max};
	int r = d.mem ? 0 : -ENOMEM;

	r = r < 0 ? r : add_members(&w, fresh, NULL);
	r = r < 0 ? r : add_members(&w, old, fresh);
	r = r < 0 ? r : drop_filled(&w);
	r = r < 0 ? r : add_runs(&w);
	r = r < 0 ? r : add_subjects(&w);
	r = r < 0 ? r : find_pairs(&w);
	r = r < 0 ? r : compare_all(&w);
	free(w.member);
	free(w.run);
	free(w.subject);
	free(w.peers.v);
	free(w.ports.v);
	free(w.how);
	free(w.cell);
	if (r < 0) {
		np_diff_done(&d);
		return vw_err_set(err, ENOMEM, 0, "no memory to compare policies");
	}
	*ret = d;
	return 0;
}
