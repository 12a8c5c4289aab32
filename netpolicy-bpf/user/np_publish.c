// SPDX-License-Identifier: Apache-2.0
/*
 * The publisher. Its table of entries mirrors np_ip4, np_ip6, np_cidr4 and np_cidr6: each entry has one address or prefix
 * and one ident; what class an entry has in either generation stands in the ident's own (mapped) cell and nowhere else.
 *
 *   entry:  LIVE (the image has it) -> GOING (it has not; neutral in the new generation) --barrier--> out of the map,
 *           its ident RESTS --next barrier--> free. A reader that found the ident just before the entry was deleted still finds
 *           the neutral class in it.
 */
#include "netpolicy-bpf/user/np_publish_priv.h"

#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_image.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HALF_LINES (NP_ARENA_LINES / 2)
#define LINE_FIRST 2
#define PORT_BYTES (NP_PORT_PROTOS * NP_PORT_LINES_EACH * sizeof(struct np_line))

static const struct {
	const char *name;
	unsigned int max;
} maps[MAPS] = {
	[MAP_IP4] = { "np_ip4", NP_IPS },
	[MAP_IP6] = { "np_ip6", NP_IPS },
	[MAP_CIDR4] = { "np_cidr4", NP_CIDRS },
	[MAP_CIDR6] = { "np_cidr6", NP_CIDRS },
};

/* --- entries */

static enum map map_of(const struct key *k)
{
	if (k->len == HOST_LEN)
		return k->ip.family == AF_INET ? MAP_IP4 : MAP_IP6;
	return k->ip.family == AF_INET ? MAP_CIDR4 : MAP_CIDR6;
}

static struct key host_key(const struct vw_ip *ip)
{
	return (struct key){ *ip, HOST_LEN };
}

static struct key cidr_key(const struct vw_cidr *c)
{
	return (struct key){ c->ip, c->len };
}

static struct entry *find(const struct np_publish *p, const struct key *k)
{
	struct entry *e;

	HASH_FIND(hh, p->entries, k, sizeof(*k), e);
	return e;
}

static const char *key_str(const struct key *k, char buf[VW_CIDR_STRLEN])
{
	const struct vw_cidr c = { k->ip, k->len };

	return k->len == HOST_LEN ? vw_ip_str(&k->ip, buf) : vw_cidr_str(&c, buf);
}

static int entry_new(struct np_publish *p, const struct key *k, uint32_t ident, struct entry **ret)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->key = *k;
	e->ident = ident;
	HASH_ADD(hh, p->entries, key, sizeof(e->key), e);
	if (!e->hh.tbl) {       /* uthash found no memory */
		free(e);
		return -ENOMEM;
	}
	p->n[map_of(k)]++;
	if (k->len != HOST_LEN)
		p->n_len[k->ip.family == AF_INET6][k->len]++;
	*ret = e;
	return 0;
}

static void entry_drop(struct np_publish *p, struct entry *e)
{
	p->n[map_of(&e->key)]--;
	if (e->key.len != HOST_LEN)
		p->n_len[e->key.ip.family == AF_INET6][e->key.len]--;
	HASH_DEL(p->entries, e);
	free(e);
}

static int idents_push(struct idents *v, uint32_t ident)
{
	if (v->n == v->room) {
		size_t room = v->room ? 2 * v->room : 256;
		uint32_t *grown = reallocarray(v->v, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		v->v = grown;
		v->room = room;
	}
	v->v[v->n++] = ident;
	return 0;
}

static int ident_take(struct np_publish *p, uint32_t *ret)
{
	if (p->free.n)
		*ret = p->free.v[--p->free.n];
	else if (p->next_ident < NP_IDENTS)
		*ret = p->next_ident++;
	else
		return -ENOSPC;
	return 0;
}

/** ident_store() - both classes and the flags at once. */
static void ident_store(struct np_publish *p, uint32_t ident, const struct np_ident *v)
{
	uint64_t cell;

	memcpy(&cell, v, sizeof(cell));
	__atomic_store_n((uint64_t *)&p->io.idents[ident], cell, __ATOMIC_RELEASE);
}

struct np_ident np_publish_ident(const struct np_publish *p, uint32_t ident)
{
	uint64_t cell = __atomic_load_n((uint64_t *)&p->io.idents[ident], __ATOMIC_RELAXED);
	struct np_ident v;

	memcpy(&v, &cell, sizeof(v));
	return v;
}

/**
 * longest() - the prefix that covers @ip and is shorter than @shorter_than; NULL when none does. @all: also one that is
 * GOING, which is still in the map.
 */
static const struct entry *longest(const struct np_publish *p, const struct vw_ip *ip, unsigned int shorter_than, bool all)
{
	unsigned int v6 = ip->family == AF_INET6;

	for (int len = (int)(v6 ? 128 : 32); len >= 0; len--) {
		const struct vw_cidr host = vw_cidr_of(ip, (unsigned int)len), c = vw_cidr_masked(&host);
		const struct key k = cidr_key(&c);
		const struct entry *e;

		if (!p->n_len[v6][len] || (unsigned int)len >= shorter_than)
			continue;
		e = find(p, &k);
		if (e && (all || !e->going))
			return e;
	}
	return NULL;
}

/** neutral() - the class that @k's address would have in generation @parity without @k, and that prefix's flags. */
static struct np_ident neutral(const struct np_publish *p, const struct key *k, bool all)
{
	const struct entry *e = longest(p, &k->ip, k->len, all);

	return e ? np_publish_ident(p, e->ident) : (struct np_ident){ 0 };
}

/* --- start */

static int adopt(struct np_publish *p, const struct key *k, uint32_t ident)
{
	struct entry *e;

	if (ident == 0 || ident >= NP_IDENTS)
		return -EBADMSG;
	if (ident >= p->next_ident)
		p->next_ident = ident + 1;
	return entry_new(p, k, ident, &e);
}

static int adopt_addr(void *arg, const struct vw_ip *ip, uint32_t ident)
{
	const struct key k = host_key(ip);

	return adopt(arg, &k, ident);
}

static int adopt_cidr(void *arg, const struct vw_cidr *c, uint32_t ident)
{
	const struct key k = cidr_key(c);

	return adopt(arg, &k, ident);
}

/** free_unused() - idents below the highest that no entry has; also finds two entries with one ident. */
static int free_unused(struct np_publish *p, struct vw_err *err)
{
	uint8_t *used = calloc(p->next_ident, 1);
	struct entry *e, *tmp;
	char text[VW_CIDR_STRLEN];
	int r = 0;

	if (!used)
		return vw_err_set(err, ENOMEM, 0, "no memory for %u idents", p->next_ident);
	HASH_ITER(hh, p->entries, e, tmp) {
		if (used[e->ident]++)
			r = vw_err_set(err, EBADMSG, 0, "%s holds %s with ident %u, which another entry has: remove the pins",
				       maps[map_of(&e->key)].name, key_str(&e->key, text), e->ident);
	}
	for (uint32_t i = 1; r == 0 && i < p->next_ident; i++)
		if (!used[i] && idents_push(&p->free, i) < 0)
			r = vw_err_set(err, ENOMEM, 0, "no memory for idents");
	free(used);
	return r;
}

/** due() - what slot @s is judged by once a switch that a crash cut short is complete. */
static uint64_t due(const struct np_publish *p, unsigned int s)
{
	const bool begun = p->io.journal[NP_JOURNAL_HEAD].next == 1;

	return begun && p->io.journal[s].next ? p->io.journal[s].next : p->io.slots[s].pub;
}

/** pubs_check() - they lead into the arena, and all of them into one generation: @ret_parity. Nothing is changed before that is known. */
static int pubs_check(const struct np_publish *p, unsigned int *ret_parity, struct vw_err *err)
{
	bool used[2] = { 0 };

	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		const uint64_t pub = due(p, s), line = pub & NP_PUB_LINE_MASK;

		if (!line)
			continue;
		if (line >= NP_ARENA_LINES)
			return vw_err_set(err, EBADMSG, 0, "np_slots[%u] points to line %u of the arena: remove the pins and start again", s,
					  (unsigned int)line);
		used[!!(pub & NP_PUB_PARITY)] = true;
	}
	if (used[0] && used[1])
		return vw_err_set(err, EBADMSG, 0, "np_slots holds two generations of policy at once: remove the pins and start again");
	*ret_parity = used[1];
	return 0;
}

/** complete_switch() - one that a crash cut short; afterwards all pubs are of one parity, which pubs_check() has said. */
static void complete_switch(struct np_publish *p)
{
	for (unsigned int s = 0; s < NP_SLOTS; s++) {
		struct np_journal *j = &p->io.journal[s];
		const uint64_t pub = due(p, s);

		if (pub != p->io.slots[s].pub)
			__atomic_store_n(&p->io.slots[s].pub, pub, __ATOMIC_RELEASE);
		if (j->rev > p->last_rev)
			p->last_rev = j->rev;
	}
	p->io.journal[NP_JOURNAL_HEAD].next = 0;
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		p->io.journal[s].next = p->io.slots[s].pub;
}

/** adopt_all() - what the maps hold besides pubs; they are only read. */
static int adopt_all(struct np_publish *p, struct vw_err *err)
{
	const struct np_pub_io *io = &p->io;
	int r = io->each_addr(io->arg, adopt_addr, p);

	if (r == 0)
		r = io->each_cidr(io->arg, adopt_cidr, p);
	if (r == 0)
		r = io->each_dns(io->arg, np_publish_adopt_name, p);
	if (r < 0)
		return vw_err_set(err, r, 0, "reading the addresses in the policy maps%s",
				  r == -EBADMSG ? ": an ident out of range; remove the pins and start again" : "");
	return free_unused(p, err);
}

int np_publish_new(const struct np_pub_io *io, struct np_publish **ret, struct vw_err *err)
{
	struct np_publish *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	p->io = *io;
	p->next_ident = 1;
	/* what is in the half in force is known to nobody now; it is full until the next image */
	p->line[0] = p->line[1] = NP_ARENA_LINES;
	r = pubs_check(p, &p->parity, err);
	if (r == 0)
		r = adopt_all(p, err);
	if (r < 0) {
		np_publish_free(p);
		return r;
	}
	/* last: who refuses the maps has changed nothing in them */
	complete_switch(p);
	p->unsettled = true;    /* packets may be under way that saw what the former process had just written */
	*ret = p;
	return 0;
}

struct np_publish *np_publish_free(struct np_publish *p)
{
	struct entry *e, *tmp;
	struct dns *d, *d_tmp;

	if (!p)
		return NULL;
	HASH_ITER(hh, p->dns, d, d_tmp) {
		HASH_DEL(p->dns, d);
		free(d);
	}
	HASH_ITER(hh, p->entries, e, tmp) {
		HASH_DEL(p->entries, e);
		free(e);
	}
	free(p->free.v);
	free(p->rests.v);
	free(p->blob_line);
	free(p->next_line);
	free(p->carry);
	free(p);
	return NULL;
}

/* --- an image: what is new, then everybody's class */

static int map_set(struct np_publish *p, const struct key *k, uint32_t ident)
{
	const struct vw_cidr c = { k->ip, k->len };

	return k->len == HOST_LEN ? p->io.addr_set(p->io.arg, &k->ip, ident) : p->io.cidr_set(p->io.arg, &c, ident);
}

static int map_del(struct np_publish *p, const struct key *k)
{
	const struct vw_cidr c = { k->ip, k->len };

	return k->len == HOST_LEN ? p->io.addr_del(p->io.arg, &k->ip) : p->io.cidr_del(p->io.arg, &c);
}

/** add() - @k comes into its map, neutral in both generations. */
static int add(struct np_publish *p, const struct key *k, struct entry **ret, struct vw_err *err)
{
	struct np_ident v = neutral(p, k, true);
	char text[VW_CIDR_STRLEN];
	uint32_t ident;
	int r;

	if (p->n[map_of(k)] >= maps[map_of(k)].max)
		return vw_err_set(err, E2BIG, 0, "%s is full: %u entries, no room for %s", maps[map_of(k)].name,
				  maps[map_of(k)].max, key_str(k, text));
	r = ident_take(p, &ident);
	if (r < 0)
		return vw_err_set(err, E2BIG, 0, "no ident is left of %u for %s", NP_IDENTS, key_str(k, text));
	ident_store(p, ident, &v);
	r = entry_new(p, k, ident, ret);
	if (r == 0) {
		r = map_set(p, k, ident);
		if (r < 0)
			entry_drop(p, *ret);
	}
	if (r < 0) {
		(void)idents_push(&p->free, ident);
		return vw_err_sys(err, r, 0, "writing %s to %s", key_str(k, text), maps[map_of(k)].name);
	}
	return 0;
}

static int want(struct np_publish *p, const struct key *k, struct vw_err *err)
{
	struct entry *e = find(p, k);
	int r = e ? 0 : add(p, k, &e, err);

	if (r == 0)
		e->seen = p->round;
	return r;
}

/** check_room() - before anything is written. What goes with the former image is still there: add() says no to that. */
static int check_room(const struct np_image *img, struct vw_err *err)
{
	size_t n[MAPS] = { 0 };
	uint64_t lines = 0;

	for (size_t i = 0; i < img->n_peer; i++) {
		const struct key k = host_key(&img->peer[i].ip);

		n[map_of(&k)]++;
	}
	for (size_t i = 0; i < img->n_cidr; i++) {
		const struct key k = cidr_key(&img->cidr[i].cidr);

		n[map_of(&k)]++;
	}
	for (int m = 0; m < MAPS; m++)
		if (n[m] > maps[m].max)
			return vw_err_set(err, E2BIG, 0, "policy needs %zu entries in %s, which holds %u", n[m], maps[m].name,
					  maps[m].max);
	for (unsigned int b = 0; b < img->n_blob; b++)
		lines += img->blob[b].n_lines;
	if (lines > HALF_LINES - LINE_FIRST)
		return vw_err_set(err, E2BIG, 0, "the pods' compiled policies need %llu lines of the arena, a generation has %u",
				  (unsigned long long)lines, HALF_LINES - LINE_FIRST);
	return 0;
}

static int add_new(struct np_publish *p, const struct np_image *img, struct vw_err *err)
{
	int r = 0;

	/* prefixes first, shortest first does not matter: each is neutral by what is there when it comes */
	for (size_t i = 0; r == 0 && i < img->n_cidr; i++) {
		const struct key k = cidr_key(&img->cidr[i].cidr);

		r = want(p, &k, err);
	}
	for (size_t i = 0; r == 0 && i < img->n_peer; i++) {
		const struct key k = host_key(&img->peer[i].ip);

		r = want(p, &k, err);
	}
	return r;
}

static void set_class(struct np_publish *p, const struct key *k, unsigned int parity, uint16_t cls, uint16_t flags)
{
	const struct entry *e = find(p, k);
	struct np_ident v = np_publish_ident(p, e->ident);

	v.cls[parity] = cls;
	v.flags = flags;
	ident_store(p, e->ident, &v);
}

/** set_classes() - of all idents for generation @parity. Those of entries that the image has not become neutral in it. */
static void set_classes(struct np_publish *p, const struct np_image *img, unsigned int parity)
{
	struct entry *e, *tmp;

	for (size_t i = 0; i < img->n_cidr; i++) {
		const struct key k = cidr_key(&img->cidr[i].cidr);

		set_class(p, &k, parity, img->cidr[i].cls, img->cidr[i].flags);
	}
	for (size_t i = 0; i < img->n_peer; i++) {
		const struct key k = host_key(&img->peer[i].ip);

		set_class(p, &k, parity, img->peer[i].cls, img->peer[i].flags);
	}
	HASH_ITER(hh, p->entries, e, tmp)
		e->going = e->seen != p->round;
	HASH_ITER(hh, p->entries, e, tmp)
		if (e->going) {
			struct np_ident v = neutral(p, &e->key, false);

			set_class(p, &e->key, parity, v.cls[parity], v.flags);
		}
}

/* --- an image: ports, blobs, pubs */

static void write_ports(struct np_publish *p, const struct np_image *img, unsigned int parity)
{
	void *at = &p->io.ports[NP_PORT_LINE(parity, 0, 0)];

	_Static_assert(PORT_BYTES == NP_PORT_PROTOS * 65536 * sizeof(uint16_t), "one half word a port");
	if (memcmp(at, img->port, PORT_BYTES) != 0)
		memcpy(at, img->port, PORT_BYTES);
}

static void write_rules(struct np_publish *p, const struct np_image *img)
{
	for (uint32_t i = 1; i < img->n_rule && i < NP_RULES; i++)
		if (p->io.rule_keys[i] != img->rule[i].key) {
			(void)p->io.rule_clear(p->io.arg, i);
			p->io.rule_keys[i] = img->rule[i].key;
		}
}

/** blob_write() - into the free lines of a half. Return: its line; 0: no room. */
static uint32_t blob_write(struct np_publish *p, const struct np_image_blob *b, unsigned int parity)
{
	uint32_t at = p->line[parity], end = (parity + 1) * HALF_LINES;

	if (at > end || b->n_lines > end - at)
		return 0;
	np_blob_relocate(b, at, &p->io.arena[at]);
	p->line[parity] = at + b->n_lines;
	return at;
}

static int write_blobs(struct np_publish *p, const struct np_image *img, unsigned int parity, uint32_t *ret_line,
		       struct vw_err *err)
{
	p->line[parity] = parity ? HALF_LINES : LINE_FIRST;
	for (unsigned int b = 0; b < img->n_blob; b++) {
		ret_line[b] = blob_write(p, &img->blob[b], parity);
		if (!ret_line[b])
			return vw_err_set(err, E2BIG, 0, "the arena has no room for the policies of %u kinds of pods", img->n_blob);
	}
	return 0;
}

static uint64_t make_pub(struct np_publish *p, unsigned int slot, uint32_t line, uint64_t meaning, unsigned int parity)
{
	struct np_journal *j = &p->io.journal[slot];
	uint64_t pub = p->io.slots[slot].pub;

	/* a slot that had no policy or pod, or another one, gets a revision that no flow in the table has */
	if (!(pub & NP_PUB_LINE_MASK) || ((pub & NP_PUB_LINE_MASK) == NP_LINE_NONE && line != NP_LINE_NONE) ||
	    j->meaning[!!(pub & NP_PUB_PARITY)] != meaning)
		j->rev = ++p->last_rev;
	j->meaning[parity] = meaning;
	return (uint64_t)j->rev << NP_PUB_REV_SHIFT | (parity ? NP_PUB_PARITY : 0) | line;
}

/** switch_over() - the moment of truth: one store a pod. */
static void switch_over(struct np_publish *p, const struct np_image *img, unsigned int parity, const uint32_t *line)
{
	struct np_journal *j = p->io.journal;
	bool known[NP_SLOTS] = { false };

	for (size_t i = 0; i < img->n_subject; i++) {
		const struct np_subject *s = &img->subject[i];

		known[s->slot] = true;
		j[s->slot].next = make_pub(p, s->slot, line[s->blob], img->blob[s->blob].meaning, parity);
	}
	/* a pod in force that the image does not know must not keep lines that will be written again: nothing passes */
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (!known[s])
			j[s].next = p->io.slots[s].pub ? make_pub(p, s, NP_LINE_NONE, 0, parity) : 0;
	__atomic_store_n(&j[NP_JOURNAL_HEAD].next, 1, __ATOMIC_RELEASE);
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		if (j[s].next)
			__atomic_store_n(&p->io.slots[s].pub, j[s].next, __ATOMIC_RELEASE);
	__atomic_store_n(&j[NP_JOURNAL_HEAD].next, 0, __ATOMIC_RELEASE);
}

static int settle_first(struct np_publish *p, struct vw_err *err)
{
	int r = np_publish_wait(p);

	if (r < 0)
		return vw_err_sys(err, r, 0, "waiting for packets under way (membarrier)");
	return np_publish_settle(p, err);
}

static int check_subjects(const struct np_image *img, struct vw_err *err)
{
	for (size_t i = 0; i < img->n_subject; i++)
		if (img->subject[i].slot >= NP_SLOTS || img->subject[i].blob >= img->n_blob)
			return vw_err_set(err, EINVAL, 0, "the image has a pod in slot %u with policy %u of %u",
					  img->subject[i].slot, img->subject[i].blob, img->n_blob);
	return 0;
}

/** keep_learnt() - by names that the pods' new lists have as well. */
static int keep_learnt(struct np_publish *p, const struct np_image *img, struct vw_err *err)
{
	int r = 0;

	p->n_carry = 0;
	for (size_t i = 0; r == 0 && i < img->n_subject; i++)
		r = np_publish_keep_learnt(p, img->subject[i].slot, &img->blob[img->subject[i].blob]);
	if (r == 0)
		r = np_publish_copy_learnt(p);
	return r < 0 ? vw_err_sys(err, r, 0, "copying what was learnt by domain names") : 0;
}

int np_publish_image(struct np_publish *p, struct np_image *img, struct vw_err *err)
{
	unsigned int parity = !p->parity;
	int r = check_subjects(img, err);

	if (r == 0)
		r = check_room(img, err);
	if (r == 0 && p->unsettled)
		r = settle_first(p, err);
	if (r < 0)
		return r;
	free(p->next_line);
	p->next_line = calloc(img->n_blob ? img->n_blob : 1, sizeof(*p->next_line));
	if (!p->next_line)
		return vw_err_set(err, ENOMEM, 0, "no memory for %u policies", img->n_blob);
	p->round++;
	r = add_new(p, img, err);
	for (unsigned int b = 0; r == 0 && b < img->n_blob; b++)
		r = np_publish_add_names(p, &img->blob[b], err);
	if (r == 0)
		r = write_blobs(p, img, parity, p->next_line, err);
	if (r == 0)
		r = keep_learnt(p, img, err);
	if (r < 0)
		return r;
	set_classes(p, img, parity);
	write_ports(p, img, parity);
	write_rules(p, img);
	switch_over(p, img, parity, p->next_line);
	p->parity = parity;
	p->unsettled = true;
	p->img = img;
	free(p->blob_line);
	p->blob_line = p->next_line;
	p->next_line = NULL;
	p->n_blob_line = img->n_blob;
	return 0;
}

int np_publish_wait(const struct np_publish *p)
{
	return p->io.barrier(p->io.arg);
}

int np_publish_settle(struct np_publish *p, struct vw_err *err)
{
	struct entry *e, *tmp;
	char text[VW_CIDR_STRLEN];
	int r;

	/* idents whose entries went at the last barrier: nobody can hold them any more */
	for (; p->rests.n; p->rests.n--)
		if (idents_push(&p->free, p->rests.v[p->rests.n - 1]) < 0)
			return vw_err_set(err, ENOMEM, 0, "no memory for idents");
	HASH_ITER(hh, p->entries, e, tmp) {
		if (!e->going)
			continue;
		r = map_del(p, &e->key);
		if (r == 0)
			r = idents_push(&p->rests, e->ident);
		if (r < 0)
			return vw_err_sys(err, r, 0, "removing %s from %s", key_str(&e->key, text), maps[map_of(&e->key)].name);
		entry_drop(p, e);
	}
	/* an answer may have come by the former list after it was copied */
	r = np_publish_copy_learnt(p);
	if (r < 0)
		return vw_err_sys(err, r, 0, "copying what was learnt by domain names");
	p->n_carry = 0;
	r = p->img ? np_publish_drop_names(p) : 0;
	if (r < 0)
		return vw_err_sys(err, r, 0, "removing a domain name from np_dns");
	p->unsettled = false;
	return 0;
}

bool np_publish_unsettled(const struct np_publish *p)
{
	return p->unsettled || p->rests.n;
}

/* --- one pod, one peer */

int np_publish_subject(struct np_publish *p, unsigned int slot, unsigned int blob, struct vw_err *err)
{
	uint64_t pub;
	size_t carried;
	int r;

	if (!p->img || slot >= NP_SLOTS || blob >= p->img->n_blob)
		return vw_err_set(err, EINVAL, 0, "pod slot %u, policy %u: not of the image in force", slot, blob);
	if (blob >= p->n_blob_line) {
		uint32_t *grown = reallocarray(p->blob_line, p->img->n_blob, sizeof(*grown));

		if (!grown)
			return vw_err_set(err, ENOMEM, 0, "no memory for %u policies", p->img->n_blob);
		memset(grown + p->n_blob_line, 0, (p->img->n_blob - p->n_blob_line) * sizeof(*grown));
		p->blob_line = grown;
		p->n_blob_line = p->img->n_blob;
	}
	if (!p->blob_line[blob]) {
		if (np_publish_add_names(p, &p->img->blob[blob], err) < 0)
			return -err->eno;
		p->blob_line[blob] = blob_write(p, &p->img->blob[blob], p->parity);
	}
	if (!p->blob_line[blob])
		return vw_err_set(err, ENOSPC, 0, "the arena's half is full");
	carried = p->n_carry;
	r = np_publish_keep_learnt(p, slot, &p->img->blob[blob]);
	if (r == 0 && p->n_carry > carried) {
		p->unsettled = true;
		r = np_publish_copy_learnt(p);
	}
	if (r < 0)
		return vw_err_sys(err, r, 0, "copying what was learnt by domain names");
	write_rules(p, p->img);
	pub = make_pub(p, slot, p->blob_line[blob], p->img->blob[blob].meaning, p->parity);
	p->io.journal[slot].next = pub;
	__atomic_store_n(&p->io.slots[slot].pub, pub, __ATOMIC_RELEASE);
	return 0;
}

void np_publish_off(struct np_publish *p)
{
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		__atomic_store_n(&p->io.slots[s].pub, 0, __ATOMIC_RELEASE);
	p->img = NULL;
	p->unsettled = true;
}

int np_publish_peer(struct np_publish *p, const struct np_peer_change *change, struct vw_err *err)
{
	const struct key k = host_key(&change->peer.ip);
	struct entry *e = find(p, &k);
	struct np_ident v;

	if (change->gone && !e)
		return 0;
	if (!e && add(p, &k, &e, err) < 0)
		return -err->eno;
	e->going = change->gone;
	if (change->gone) {
		v = neutral(p, &k, false);
		set_class(p, &k, p->parity, v.cls[p->parity], v.flags);
		p->unsettled = true;
	} else {
		set_class(p, &k, p->parity, change->peer.cls, change->peer.flags);
	}
	return 0;
}

void np_publish_judge_again(struct np_publish *p)
{
	for (size_t i = 0; p->img && i < p->img->n_subject; i++) {
		const struct np_subject *s = &p->img->subject[i];
		const uint64_t now = p->io.slots[s->slot].pub;
		const uint32_t line = s->blob < p->n_blob_line ? p->blob_line[s->blob] : 0;
		uint64_t pub;

		if (!line || (now & NP_PUB_LINE_MASK) != line)
			continue;       /* it has gone, or is not there yet */
		pub = make_pub(p, s->slot, line, p->img->blob[s->blob].meaning, p->parity);
		if (pub == now)
			continue;
		p->io.journal[s->slot].next = pub;
		__atomic_store_n(&p->io.slots[s->slot].pub, pub, __ATOMIC_RELEASE);
	}
}

void np_publish_use(const struct np_publish *p, struct np_publish_use *ret)
{
	*ret = (struct np_publish_use){
		.idents = p->next_ident - 1 - (unsigned int)p->free.n,
		.addrs4 = p->n[MAP_IP4],
		.addrs6 = p->n[MAP_IP6],
		.cidrs4 = p->n[MAP_CIDR4],
		.cidrs6 = p->n[MAP_CIDR6],
		.dns = HASH_COUNT(p->dns),
		.lines = p->line[p->parity] < NP_ARENA_LINES ? p->line[p->parity] - p->parity * HALF_LINES : 0,
		.lines_max = HALF_LINES,
		.parity = p->parity,
		.last_rev = p->last_rev,
		.images = p->round,
	};
}
