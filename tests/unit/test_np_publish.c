/*
 * The publisher beside maps in plain memory. Between any two system calls of a switch, a packet judged by the maps must get
 * what the image in force says; after it, what the new one says. The same when a call fails, and after a death at any call.
 */
#include "tests/unit/cm.h"

#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_publish.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ADDR 48
#define N_CIDR 12
#define N_SLOT 10
#define N_PORT 8
#define DROPPED 0xffffffffu
#define MAP_MAX 256
#define DNS_MAX 64

/* --- images at random */

static uint64_t rng = 1;

static unsigned int rnd(unsigned int n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(rng >> 33) % n;
}

static struct vw_ip addr(unsigned int i)
{
	struct vw_ip ip = { .family = i % 3 == 2 ? AF_INET6 : AF_INET };

	if (ip.family == AF_INET) {
		ip.b[0] = 10;
		ip.b[1] = (uint8_t)(i % 4);
		ip.b[2] = (uint8_t)(i % 8 * 16);
		ip.b[3] = (uint8_t)i;
	} else {
		ip.b[0] = 0xfd;
		ip.b[1] = (uint8_t)(i % 4);
		ip.b[15] = (uint8_t)i;
	}
	return ip;
}

static struct vw_cidr cidr(unsigned int i)
{
	static const char *const text[N_CIDR] = { "0.0.0.0/0",    "::/0",      "10.0.0.0/8",  "10.1.0.0/16", "10.1.16.0/20", "10.2.0.0/15",
						  "10.0.0.12/32", "fd00::/8",  "fd01::/16",   "fd02::5/128", "10.3.112.0/24", "10.0.0.0/9" };
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text[i], &c), 0);
	return c;
}

static const uint16_t ports[N_PORT] = { 0, 1, 53, 80, 81, 443, 8080, 65535 };

static void make_blob(struct np_image_blob *b, unsigned int n_class, unsigned int n_pcls, uint64_t meaning)
{
	unsigned int row_lines = (n_class + 31) / 32, col_lines = (n_pcls + 31) / 32, mtx_lines[NP_DIRS], at = 1;
	struct np_blob head = { .magic = NP_BLOB_MAGIC, .n_class = (__u16)n_class, .n_port_class = (__u16)n_pcls };
	unsigned int nrow[NP_DIRS];

	for (int d = 0; d < NP_DIRS; d++) {
		nrow[d] = 1 + rnd(4);
		head.dir[d].ncol = 1 + rnd(4);
		mtx_lines[d] = (nrow[d] * head.dir[d].ncol + 15) / 16;
		head.dir[d].row = at;
		head.dir[d].col = at += row_lines;
		at += col_lines;
	}
	for (int d = 0; d < NP_DIRS; d++) {     /* matrices come last */
		head.dir[d].mtx = at;
		at += mtx_lines[d];
	}
	b->n_lines = at;
	b->line = calloc(at, sizeof(*b->line));
	assert_non_null(b->line);
	memcpy(b->line, &head, sizeof(head));
	for (int d = 0; d < NP_DIRS; d++) {
		for (unsigned int i = 0; i < n_class; i++)
			b->line[head.dir[d].row + i / 32].h[i % 32] = (__u16)rnd(nrow[d]);
		for (unsigned int i = 0; i < n_pcls; i++)
			b->line[head.dir[d].col + i / 32].h[i % 32] = (__u16)rnd(head.dir[d].ncol);
		for (unsigned int i = 0; i < nrow[d] * head.dir[d].ncol; i++)
			b->line[head.dir[d].mtx + i / 16].w[i % 16] = NP_VERDICT(rnd(2), 1 + rnd(1000));
	}
	b->meaning = b->hash = meaning;
}

static uint64_t meanings = 1;

static struct np_image *image(unsigned int n_subject)
{
	static struct np_rule no_rule[1];
	struct np_image *img = calloc(1, sizeof(*img));

	assert_non_null(img);
	img->n_class = 1 + rnd(60);
	img->n_port_class = 1 + rnd(5);
	img->peer = calloc(N_ADDR, sizeof(*img->peer));
	img->cidr = calloc(N_CIDR, sizeof(*img->cidr));
	img->port = calloc(NP_PORT_PROTOS, sizeof(*img->port));
	img->n_blob = 1 + rnd(4);
	img->blob = calloc(img->n_blob + 1, sizeof(*img->blob));        /* and room for one more */
	img->subject = calloc(N_SLOT, sizeof(*img->subject));
	img->rule = no_rule;
	img->n_rule = 1;
	for (unsigned int i = 0; i < N_ADDR; i++) {
		struct np_peer *p = &img->peer[img->n_peer];

		if (rnd(3) == 0)
			continue;
		p->ip = addr(i);
		p->cls = (uint16_t)rnd(img->n_class);
		img->n_peer++;
	}
	for (unsigned int i = 0; i < N_CIDR; i++)
		if (i < 2 || rnd(2))
			img->cidr[img->n_cidr++] = (struct np_cidr){ cidr(i), (uint16_t)rnd(img->n_class), 0 };
	for (int proto = 0; proto < NP_PORT_PROTOS; proto++)
		for (int i = 0; i < 65536; i++)
			img->port[proto][i] = (uint16_t)((unsigned int)i % img->n_port_class);
	for (unsigned int i = 0; i < img->n_blob; i++)
		make_blob(&img->blob[i], img->n_class, img->n_port_class, ++meanings);
	for (unsigned int i = 0; i < n_subject; i++)
		img->subject[img->n_subject++] = (struct np_subject){ i, rnd(img->n_blob) };
	return img;
}

static struct np_image *image_done(struct np_image *img)
{
	if (!img)
		return NULL;
	for (unsigned int i = 0; i < img->n_blob; i++)
		free(img->blob[i].line);
	free(img->peer);
	free(img->cidr);
	free(img->port);
	free(img->blob);
	free(img->subject);
	free(img);
	return NULL;
}

static const struct np_cidr *image_cidr(const struct np_image *img, const struct vw_ip *ip)
{
	const struct np_cidr *best = NULL;

	for (size_t i = 0; i < img->n_cidr; i++)
		if (vw_cidr_has(&img->cidr[i].cidr, ip) && (!best || img->cidr[i].cidr.len > best->cidr.len))
			best = &img->cidr[i];
	return best;
}

static uint16_t image_class(const struct np_image *img, const struct vw_ip *ip)
{
	for (size_t i = 0; i < img->n_peer; i++)
		if (vw_ip_eq(&img->peer[i].ip, ip))
			return img->peer[i].cls;
	return image_cidr(img, ip)->cls;
}

static uint32_t blob_verdict(const struct np_line *head_line, const struct np_line *at, enum np_dir dir, unsigned int cls,
			     unsigned int pcls)
{
	const struct np_blob *b = (const struct np_blob *)head_line;
	const struct np_blob_dir *d = &b->dir[dir];
	unsigned int row = at[d->row + cls / 32].h[cls % 32], col = at[d->col + pcls / 32].h[pcls % 32], cell = row * d->ncol + col;

	return at[d->mtx + cell / 16].w[cell % 16];
}

/* what @img says, from its own structures */
static uint32_t say(const struct np_image *img, unsigned int slot, enum np_dir dir, const struct vw_ip *ip, uint16_t port)
{
	for (size_t i = 0; i < img->n_subject; i++)
		if (img->subject[i].slot == slot) {
			const struct np_line *l = img->blob[img->subject[i].blob].line;

			return blob_verdict(l, l, dir, image_class(img, ip), img->port[NP_PORT_TCP][port]);
		}
	return 0;
}

/* --- maps in memory */

struct fake {
	struct np_line *arena, *ports;
	struct np_ident *idents;
	struct np_slot *slots;
	struct np_journal *journal;
	uint64_t *keys;
	struct {
		struct vw_ip ip;
		uint8_t len;
		uint32_t ident;
	} map[MAP_MAX];
	unsigned int n_map;
	struct {
		struct np_dns_key key;
		struct np_dns_names names;
	} dns[DNS_MAX];
	unsigned int n_dns;
	unsigned int calls, fail_at, die_at;
	jmp_buf dead;
	const struct np_image *in_force;
	bool watch;
	pthread_rwlock_t lock;
};

static uint32_t fake_ident(const struct fake *f, const struct vw_ip *ip)
{
	uint32_t ident = 0;
	int best = -1;

	for (unsigned int i = 0; i < f->n_map; i++) {
		const struct vw_cidr c = { f->map[i].ip, f->map[i].len };

		if (f->map[i].len == 255 ? vw_ip_eq(&f->map[i].ip, ip) : vw_cidr_has(&c, ip))
			if ((int)f->map[i].len > best) {
				best = f->map[i].len;
				ident = f->map[i].ident;
			}
	}
	return ident;
}

/* as the programs do it */
static uint32_t packet(struct fake *f, unsigned int slot, enum np_dir dir, const struct vw_ip *ip, uint16_t port, uint64_t *ret_pub)
{
	uint64_t pub = __atomic_load_n(&f->slots[slot].pub, __ATOMIC_ACQUIRE);
	const struct np_line *head = &f->arena[pub & NP_PUB_LINE_MASK];
	const struct np_blob *b = (const struct np_blob *)head;
	unsigned int parity = !!(pub & NP_PUB_PARITY), cls, pcls;
	uint64_t cell;
	struct np_ident id;

	if (ret_pub)
		*ret_pub = pub;
	if (b->magic != NP_BLOB_MAGIC)
		return DROPPED;
	pthread_rwlock_rdlock(&f->lock);
	cell = __atomic_load_n((uint64_t *)&f->idents[fake_ident(f, ip)], __ATOMIC_ACQUIRE);
	pthread_rwlock_unlock(&f->lock);
	memcpy(&id, &cell, sizeof(id));
	cls = id.cls[parity];
	pcls = f->ports[NP_PORT_LINE(parity, NP_PORT_TCP, port)].h[port % 32];
	if (cls >= b->n_class || pcls >= b->n_port_class)
		return DROPPED;
	return blob_verdict(head, f->arena, dir, cls, pcls);
}

static void check_all(struct fake *f, const struct np_image *img, const char *when)
{
	for (size_t s = 0; s < img->n_subject; s++)
		for (unsigned int a = 0; a < N_ADDR; a++) {
			const struct vw_ip ip = addr(a);
			enum np_dir dir = (enum np_dir)((a + s) % 2);
			uint16_t port = ports[(a + s) % N_PORT];
			uint32_t got = packet(f, img->subject[s].slot, dir, &ip, port, NULL),
				 want = say(img, img->subject[s].slot, dir, &ip, port);

			if (got != want)
				fail_msg("%s (call %u): slot %u, address %u, port %u: %#x, wanted %#x", when, f->calls,
					 img->subject[s].slot, a, port, got, want);
		}
}

/* every system call passes here */
static int call(struct fake *f)
{
	if (f->watch && f->in_force)
		check_all(f, f->in_force, "between calls");
	f->calls++;
	if (f->calls == f->die_at)
		longjmp(f->dead, 1);
	return f->calls == f->fail_at ? -ENOMEM : 0;
}

static int set(struct fake *f, const struct vw_ip *ip, uint8_t len, uint32_t ident)
{
	unsigned int i;
	int r = call(f);

	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&f->lock);
	for (i = 0; i < f->n_map; i++)
		if (f->map[i].len == len && vw_ip_eq(&f->map[i].ip, ip))
			break;
	assert_true(i < MAP_MAX);
	f->map[i].ip = *ip;
	f->map[i].len = len;
	f->map[i].ident = ident;
	if (i == f->n_map)
		f->n_map++;
	pthread_rwlock_unlock(&f->lock);
	return 0;
}

static int unset(struct fake *f, const struct vw_ip *ip, uint8_t len)
{
	int r = call(f);

	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&f->lock);
	for (unsigned int i = 0; i < f->n_map; i++)
		if (f->map[i].len == len && vw_ip_eq(&f->map[i].ip, ip)) {
			f->map[i] = f->map[--f->n_map];
			break;
		}
	pthread_rwlock_unlock(&f->lock);
	return 0;
}

static int addr_set(void *arg, const struct vw_ip *ip, uint32_t ident) { return set(arg, ip, 255, ident); }
static int addr_del(void *arg, const struct vw_ip *ip) { return unset(arg, ip, 255); }
static int cidr_set(void *arg, const struct vw_cidr *c, uint32_t ident) { return set(arg, &c->ip, c->len, ident); }
static int cidr_del(void *arg, const struct vw_cidr *c) { return unset(arg, &c->ip, c->len); }
static int rule_clear(void *arg, uint32_t rule) { return 0; }

static int dns_set(void *arg, const struct np_dns_key *key, const struct np_dns_names *names)
{
	struct fake *f = arg;
	unsigned int i = 0;
	int r = call(f);

	if (r < 0)
		return r;
	while (i < f->n_dns && memcmp(&f->dns[i].key, key, sizeof(*key)) != 0)
		i++;
	assert_true(i < DNS_MAX);
	f->n_dns += i == f->n_dns;
	f->dns[i].key = *key;
	f->dns[i].names = *names;
	return 0;
}

static int dns_del(void *arg, const struct np_dns_key *key)
{
	struct fake *f = arg;
	int r = call(f);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < f->n_dns; i++)
		if (memcmp(&f->dns[i].key, key, sizeof(*key)) == 0) {
			f->dns[i] = f->dns[--f->n_dns];
			break;
		}
	return 0;
}

static int each_dns(void *arg, int (*fn)(void *fn_arg, const struct np_dns_key *key, const struct np_dns_names *names), void *fn_arg)
{
	struct fake *f = arg;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < f->n_dns; i++)
		r = fn(fn_arg, &f->dns[i].key, &f->dns[i].names);
	return r;
}

static int ident_of(void *arg, const struct vw_ip *ip, uint32_t *ret)
{
	*ret = fake_ident(arg, ip);
	return *ret ? 0 : -ENOENT;
}

static int barrier(void *arg) { return call(arg); }

static int each_addr(void *arg, int (*fn)(void *fn_arg, const struct vw_ip *ip, uint32_t ident), void *fn_arg)
{
	struct fake *f = arg;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < f->n_map; i++)
		if (f->map[i].len == 255)
			r = fn(fn_arg, &f->map[i].ip, f->map[i].ident);
	return r;
}

static int each_cidr(void *arg, int (*fn)(void *fn_arg, const struct vw_cidr *c, uint32_t ident), void *fn_arg)
{
	struct fake *f = arg;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < f->n_map; i++)
		if (f->map[i].len != 255) {
			const struct vw_cidr c = { f->map[i].ip, f->map[i].len };

			r = fn(fn_arg, &c, f->map[i].ident);
		}
	return r;
}

static void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->arena = aligned_alloc(64, NP_ARENA_LINES * sizeof(*f->arena));
	f->ports = aligned_alloc(64, NP_PORT_LINES * sizeof(*f->ports));
	f->idents = calloc(NP_IDENTS, sizeof(*f->idents));
	f->slots = calloc(NP_SLOTS, sizeof(*f->slots));
	f->journal = calloc(NP_SLOTS + 1, sizeof(*f->journal));
	f->keys = calloc(NP_RULES, sizeof(*f->keys));
	assert_true(f->arena && f->ports && f->idents && f->slots && f->journal && f->keys);
	memset(f->arena, 0, NP_ARENA_LINES * sizeof(*f->arena));
	memset(f->ports, 0, NP_PORT_LINES * sizeof(*f->ports));
	pthread_rwlock_init(&f->lock, NULL);
}

static void fake_done(struct fake *f)
{
	free(f->arena);
	free(f->ports);
	free(f->idents);
	free(f->slots);
	free(f->journal);
	free(f->keys);
	pthread_rwlock_destroy(&f->lock);
}

static const __u64 dns_key[2] = { 0x1234567, 0x89abcdef };

static struct np_publish *open_on(struct fake *f)
{
	const struct np_pub_io io = {
		.arena = f->arena, .ports = f->ports, .idents = f->idents, .slots = f->slots, .journal = f->journal, .rule_keys = f->keys,
		.addr_set = addr_set, .addr_del = addr_del, .cidr_set = cidr_set, .cidr_del = cidr_del, .each_addr = each_addr,
		.each_cidr = each_cidr, .dns_key = dns_key, .dns_set = dns_set, .dns_del = dns_del, .each_dns = each_dns, .ident_of = ident_of, .rule_clear = rule_clear, .barrier = barrier, .arg = f,
	};
	struct np_publish *p;
	struct vw_err err;

	if (np_publish_new(&io, &p, &err) < 0)
		fail_msg("np_publish_new: %s", err.msg);
	return p;
}

static void must_publish(struct np_publish *p, struct fake *f, struct np_image *img)
{
	struct vw_err err;

	if (np_publish_image(p, img, &err) < 0)
		fail_msg("np_publish_image: %s", err.msg);
	f->in_force = img;
	check_all(f, img, "after the switch");
}

static void must_settle(struct np_publish *p, struct fake *f)
{
	struct vw_err err;

	assert_int_equal(np_publish_wait(p), 0);
	if (np_publish_settle(p, &err) < 0)
		fail_msg("np_publish_settle: %s", err.msg);
	check_all(f, f->in_force, "settled");
}

/* --- tests */

static void test_packets_see_one_image(void **state)
{
	struct np_image *old = NULL;
	struct np_publish *p;
	struct fake f;

	rng = 7;
	fake_init(&f);
	f.watch = true;
	p = open_on(&f);
	for (int round = 0; round < 150; round++) {
		struct np_image *img = image(N_SLOT);

		must_publish(p, &f, img);
		image_done(old);
		old = img;
		if (rnd(3))     /* otherwise the next image waits for the barrier itself */
			must_settle(p, &f);
		if (round % 10 == 0) {
			must_settle(p, &f);
			assert_int_equal(f.n_map, img->n_peer + img->n_cidr);
		}
	}
	np_publish_free(p);
	image_done(old);
	fake_done(&f);
}

static void test_a_call_fails(void **state)
{
	struct np_image *old, *img;
	struct np_publish *p;
	struct vw_err err;
	struct fake f;
	unsigned int failed = 0;

	rng = 8;
	fake_init(&f);
	f.watch = true;
	p = open_on(&f);
	old = image(N_SLOT);
	must_publish(p, &f, old);
	for (unsigned int k = 0; k < 240; k++) {
		img = image(N_SLOT);
		f.calls = 0;
		f.fail_at = 1 + k % 24;
		if (np_publish_image(p, img, &err) < 0) {
			failed++;
			assert_int_equal(err.eno, ENOMEM);
			check_all(&f, old, "after a failure");
			image_done(img);
			continue;
		}
		f.fail_at = 0;
		f.in_force = img;
		check_all(&f, img, "after a switch");
		image_done(old);
		old = img;
	}
	assert_true(failed > 100);
	f.fail_at = 0;
	must_settle(p, &f);
	np_publish_free(p);
	image_done(old);
	fake_done(&f);
}

static void test_death_at_any_call(void **state)
{
	struct np_image *volatile old;
	struct np_image *volatile img = NULL;
	struct np_publish *volatile p;
	volatile unsigned int died = 0;
	struct vw_err err;
	struct fake f;

	rng = 9;
	fake_init(&f);
	p = open_on(&f);
	old = image(N_SLOT);
	must_publish(p, &f, old);
	for (volatile unsigned int k = 0; k < 160; k++) {
		img = image(N_SLOT);
		f.calls = 0;
		f.die_at = 1 + k % 40;
		f.watch = true;
		if (setjmp(f.dead) == 0) {
			if (np_publish_image(p, img, &err) < 0)
				fail_msg("%s", err.msg);
			f.in_force = img;
			image_done(old);
			old = img;
			(void)np_publish_wait(p);
			(void)np_publish_settle(p, &err);
			f.die_at = 0;
			continue;
		}
		died++;
		f.die_at = 0;
		check_all(&f, f.in_force, "dead");
		p = np_publish_free(p);
		if (f.in_force != img)
			image_done(img);
		p = open_on(&f);
		check_all(&f, f.in_force, "taken over");
		/* what the dead one had added or not yet removed goes with the next image */
		img = image(N_SLOT);
		must_publish(p, &f, img);
		image_done(old);
		old = img;
		must_settle(p, &f);
		assert_int_equal(f.n_map, img->n_peer + img->n_cidr);
	}
	assert_true(died > 80);
	np_publish_free(p);
	image_done(old);
	fake_done(&f);
}

static void test_death_in_the_switch(void **state)
{
	struct np_image *a, *b;
	struct np_publish *p;
	uint64_t before[N_SLOT];
	struct fake f;

	rng = 10;
	fake_init(&f);
	p = open_on(&f);
	a = image(N_SLOT);
	must_publish(p, &f, a);
	must_settle(p, &f);
	for (int s = 0; s < N_SLOT; s++)
		before[s] = f.slots[s].pub;
	b = image(N_SLOT);
	must_publish(p, &f, b);
	np_publish_free(p);
	/* half of the stores were made */
	for (int s = N_SLOT / 2; s < N_SLOT; s++)
		f.slots[s].pub = before[s];
	f.journal[NP_JOURNAL_HEAD].next = 1;
	p = open_on(&f);
	check_all(&f, b, "completed");
	np_publish_free(p);
	/* the journal was being written: nothing had begun */
	for (int s = 0; s < N_SLOT; s++)
		f.journal[s].next = before[s];
	p = open_on(&f);
	check_all(&f, b, "not begun");
	np_publish_free(p);
	image_done(a);
	image_done(b);
	fake_done(&f);
}

static uint32_t rev(const struct fake *f, unsigned int slot)
{
	return (uint32_t)(f->slots[slot].pub >> NP_PUB_REV_SHIFT);
}

static void test_revisions(void **state)
{
	struct np_image *a, *b, *c;
	struct np_publish *p;
	struct fake f;
	uint32_t r0, r1;

	rng = 11;
	fake_init(&f);
	p = open_on(&f);
	a = image(N_SLOT);
	must_publish(p, &f, a);
	r0 = rev(&f, 0);
	assert_int_not_equal(r0, 0);
	/* another image, the pod's policy means the same */
	b = image(N_SLOT);
	for (int s = 0; s < N_SLOT; s++)
		b->subject[s].blob = 0;
	b->blob[0].meaning = a->blob[a->subject[0].blob].meaning;
	must_publish(p, &f, b);
	assert_int_equal(rev(&f, 0), r0);
	/* also after a restart */
	np_publish_free(p);
	p = open_on(&f);
	c = image(N_SLOT);
	c->subject[0].blob = 0;
	c->subject[1].blob = 0;
	c->blob[0].meaning = b->blob[0].meaning;
	must_publish(p, &f, c);
	assert_int_equal(rev(&f, 0), r0);
	r1 = rev(&f, 1);
	/* a slot that is emptied and filled again never sees a revision of its former pod */
	f.slots[1].pub = 0;
	np_publish_free(p);
	p = open_on(&f);
	must_publish(p, &f, b);
	assert_true(rev(&f, 1) > r1);
	np_publish_free(p);
	image_done(a);
	image_done(b);
	image_done(c);
	fake_done(&f);
}

static void test_one_pod_one_peer(void **state)
{
	struct np_image *a = NULL;
	struct np_publish_use use;
	struct np_publish *p;
	struct np_peer_change peer = { 0 };
	struct vw_ip ip;
	struct vw_err err;
	struct fake f;
	unsigned int calls, n;

	rng = 12;
	fake_init(&f);
	p = open_on(&f);
	assert_int_equal(np_publish_subject(p, 3, 0, &err), -EINVAL);
	a = image(2);
	must_publish(p, &f, a);
	must_settle(p, &f);

	/* a pod of a policy that is there, and of one that was just added */
	assert_int_equal(np_publish_subject(p, 2, 0, &err), 0);
	make_blob(&a->blob[a->n_blob++], a->n_class, a->n_port_class, ++meanings);
	assert_int_equal(np_publish_subject(p, 3, a->n_blob - 1, &err), 0);
	a->subject[a->n_subject++] = (struct np_subject){ 2, 0 };
	a->subject[a->n_subject++] = (struct np_subject){ 3, a->n_blob - 1 };
	check_all(&f, a, "pods added");
	assert_int_not_equal(rev(&f, 2), rev(&f, 3));

	/* one more peer is one map write */
	ip = (struct vw_ip){ .family = AF_INET, .b = { 10, 1, 17, 200 } };
	peer.peer = (struct np_peer){ .ip = ip, .cls = (uint16_t)(a->n_class - 1) };
	calls = f.calls;
	assert_int_equal(np_publish_peer(p, &peer, &err), 0);
	assert_int_equal(f.calls, calls + 1);
	np_publish_use(p, &use);
	assert_int_equal(f.idents[fake_ident(&f, &ip)].cls[use.parity], a->n_class - 1);
	/* and a change of its class none */
	peer.peer.cls = 0;
	assert_int_equal(np_publish_peer(p, &peer, &err), 0);
	assert_int_equal(f.calls, calls + 1);
	assert_int_equal(f.idents[fake_ident(&f, &ip)].cls[use.parity], 0);
	/* gone, it is what its prefix is; the map forgets it with the next barrier, and its ident is free after another */
	must_settle(p, &f);
	must_settle(p, &f);
	assert_false(np_publish_unsettled(p));
	peer.gone = true;
	n = f.n_map;
	assert_int_equal(np_publish_peer(p, &peer, &err), 0);
	assert_true(np_publish_unsettled(p));
	assert_int_equal(f.idents[fake_ident(&f, &ip)].cls[use.parity], image_cidr(a, &ip)->cls);
	must_settle(p, &f);
	assert_int_equal(f.n_map, n - 1);
	assert_true(np_publish_unsettled(p));
	must_settle(p, &f);
	assert_false(np_publish_unsettled(p));

	/* a process that comes later does not know what is in the half in force */
	np_publish_free(p);
	p = open_on(&f);
	assert_int_equal(np_publish_subject(p, 4, 0, &err), -EINVAL);
	np_publish_free(p);
	image_done(a);
	fake_done(&f);
}

/* What np_image_add_peer() does to an image: an address has another class, and policies that tell it from others mean something else. */
static void test_flows_are_judged_again_when_a_peer_means_something_else(void **state)
{
	struct np_peer_change peer = { .peer = { .ip = { .family = AF_INET, .b = { 10, 1, 17, 201 } } } };
	struct np_image *a = NULL;
	struct np_publish *p;
	struct vw_err err;
	struct fake f;
	uint32_t was[N_SLOT];
	uint64_t gone;

	rng = 13;
	fake_init(&f);
	p = open_on(&f);
	np_publish_judge_again(p);      /* nothing is in force */
	a = image(N_SLOT);
	make_blob(&a->blob[a->n_blob++], a->n_class, a->n_port_class, ++meanings);
	for (unsigned int s = 0; s < N_SLOT; s++)
		a->subject[s].blob = s < 3 ? a->n_blob - 1 : 0;
	must_publish(p, &f, a);
	must_settle(p, &f);
	/* its slot was emptied, and the image not told yet */
	gone = f.slots[2].pub = (f.slots[2].pub & ~NP_PUB_LINE_MASK) | NP_LINE_NONE;
	for (unsigned int s = 0; s < N_SLOT; s++)
		was[s] = rev(&f, s);
	assert_int_equal(np_publish_peer(p, &peer, &err), 0);
	np_publish_judge_again(p);
	for (unsigned int s = 0; s < N_SLOT; s++)
		assert_int_equal(rev(&f, s), was[s]);
	a->blob[a->n_blob - 1].meaning = ++meanings;
	np_publish_judge_again(p);
	for (unsigned int s = 0; s < N_SLOT; s++)
		assert_int_equal(rev(&f, s) != was[s], s < 2);
	assert_int_equal(f.slots[2].pub, gone);
	/* once */
	was[0] = rev(&f, 0);
	np_publish_judge_again(p);
	assert_int_equal(rev(&f, 0), was[0]);
	np_publish_free(p);
	image_done(a);
	fake_done(&f);
}

/* which bits a queried name, or a suffix of it, has in the map */
static struct np_dns_names look_dns(const struct fake *f, uint32_t set, const char *wire, size_t len)
{
	const uint64_t hash = np_dns_hash(dns_key, (const uint8_t *)wire, (uint32_t)len);

	for (unsigned int i = 0; i < f->n_dns; i++)
		if (f->dns[i].key.set == set && f->dns[i].key.hash == hash)
			return f->dns[i].names;
	return (struct np_dns_names){ 0 };
}
#define LOOK_DNS(f, set, wire) look_dns(f, set, wire, sizeof(wire))

static void test_domain_names(void **state)
{
	static const char *first[] = { "a.example", "*.a.example", "b.example" }, *second[] = { "*.b.example" }, *bad[] = { "a..example" };
	struct np_image *a, *b;
	struct np_publish *p;
	struct np_dns_names n;
	struct vw_err err;
	struct fake f;

	rng = 17;
	fake_init(&f);
	p = open_on(&f);
	a = image(2);
	a->blob[0].fqdn = first;
	a->blob[0].n_fqdn = 3;
	((struct np_blob *)a->blob[0].line)->fqdn_set = 7;
	must_publish(p, &f, a);
	must_settle(p, &f);
	n = LOOK_DNS(&f, 7, "\1a\7example");
	assert_true(n.exact == 1 && n.wild == 2);
	n = LOOK_DNS(&f, 7, "\1b\7example");
	assert_true(n.exact == 4 && n.wild == 0);
	assert_int_equal(f.n_dns, 2);
	/* another list is another set; what nobody asks for goes with the barrier, also after a restart */
	np_publish_free(p);
	p = open_on(&f);
	b = image(2);
	b->blob[0].fqdn = second;
	b->blob[0].n_fqdn = 1;
	((struct np_blob *)b->blob[0].line)->fqdn_set = 8;
	must_publish(p, &f, b);
	assert_int_equal(f.n_dns, 3);
	must_settle(p, &f);
	assert_int_equal(f.n_dns, 1);
	n = LOOK_DNS(&f, 8, "\1b\7example");
	assert_true(n.exact == 0 && n.wild == 1);
	a->blob[0].fqdn = bad;
	a->blob[0].n_fqdn = 1;
	assert_int_equal(np_publish_image(p, a, &err), -EINVAL);
	check_all(&f, b, "refused");
	np_publish_free(p);
	image_done(a);
	image_done(b);
	fake_done(&f);
}

/* the reader for people finds what a packet finds, and does not run astray in what is broken */
static void test_look(void **state)
{
	struct np_image *a;
	struct np_publish *p;
	struct np_blob *b;
	struct fake f;

	rng = 16;
	fake_init(&f);
	p = open_on(&f);
	a = image(3);
	must_publish(p, &f, a);
	for (unsigned int i = 0; i < N_ADDR; i++) {
		const struct vw_ip ip = addr(i);
		struct np_lookup l = { .slot = i % 3, .dir = i % 2, .peer = ip, .proto = IPPROTO_TCP, .port = ports[i % N_PORT] };

		assert_int_equal(np_publish_look(p, &l), 0);
		assert_int_equal(l.verdict, packet(&f, l.slot, l.dir, &ip, l.port, NULL));
		assert_int_equal(l.cls, image_class(a, &ip));
	}
	b = (struct np_blob *)&f.arena[f.slots[0].pub & NP_PUB_LINE_MASK];
	for (int i = 0; i < 6; i++) {
		const struct np_blob good = *b;
		struct np_lookup l = { .slot = 0, .dir = NP_INGRESS, .peer = addr(0), .proto = IPPROTO_TCP, .port = 80 };

		if (i == 0)
			b->magic = 0;
		else if (i == 1)
			b->dir[NP_INGRESS].row = NP_ARENA_LINES;
		else if (i == 2)
			b->dir[NP_INGRESS].col = 0xffffffffu;
		else if (i == 3)
			b->dir[NP_INGRESS].mtx = 0xffffffffu;
		else if (i == 4)
			b->dir[NP_INGRESS].ncol = 0;
		else
			b->n_class = 0;
		assert_int_equal(np_publish_look(p, &l), -EBADMSG);
		*b = good;
	}
	f.slots[0].pub = 0;
	assert_int_equal(np_publish_look(p, &(struct np_lookup){ .slot = 0 }), 0);
	np_publish_free(p);
	image_done(a);
	fake_done(&f);
}

static void test_a_forgotten_pod_is_shut(void **state)
{
	const struct vw_ip ip = addr(0);
	struct np_image *a, *b;
	struct np_publish *p;
	struct fake f;

	rng = 13;
	fake_init(&f);
	p = open_on(&f);
	a = image(3);
	must_publish(p, &f, a);
	b = image(2);
	must_publish(p, &f, b);
	assert_int_equal(packet(&f, 2, NP_INGRESS, &ip, 80, NULL), DROPPED);
	assert_int_not_equal(f.slots[2].pub, 0);
	np_publish_free(p);
	image_done(a);
	image_done(b);
	fake_done(&f);
}

static void test_too_much(void **state)
{
	struct np_image *a, *b;
	struct np_publish *p;
	struct vw_err err;
	struct fake f;

	rng = 14;
	fake_init(&f);
	p = open_on(&f);
	a = image(3);
	must_publish(p, &f, a);
	b = image(3);
	b->blob[0].n_lines = NP_ARENA_LINES / 2;
	assert_int_equal(np_publish_image(p, b, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "arena"));
	check_all(&f, a, "refused");
	b->blob[0].n_lines = 1;
	b->subject[0].slot = NP_SLOTS;
	assert_int_equal(np_publish_image(p, b, &err), -EINVAL);
	check_all(&f, a, "refused");
	np_publish_free(p);
	image_done(a);
	image_done(b);
	fake_done(&f);
}

static void test_nonsense_is_refused(void **state)
{
	struct np_publish *p = NULL;
	struct vw_err err;
	struct fake f;
	struct np_pub_io io;

	fake_init(&f);
	io = (struct np_pub_io){ .arena = f.arena, .ports = f.ports, .idents = f.idents, .slots = f.slots, .journal = f.journal,
				 .rule_keys = f.keys, .each_addr = each_addr, .each_cidr = each_cidr, .each_dns = each_dns, .barrier = barrier, .arg = &f };
	f.n_map = 1;
	f.map[0].ip = addr(0);
	f.map[0].len = 255;
	f.map[0].ident = NP_IDENTS;
	assert_int_equal(np_publish_new(&io, &p, &err), -EBADMSG);
	f.map[0].ident = 5;
	f.map[1] = f.map[0];
	f.map[1].ip = addr(1);
	f.n_map = 2;
	assert_int_equal(np_publish_new(&io, &p, &err), -EBADMSG);
	f.n_map = 1;
	f.slots[9].pub = NP_ARENA_LINES;
	assert_int_equal(np_publish_new(&io, &p, &err), -EBADMSG);
	f.slots[9].pub = 17;
	f.slots[10].pub = 18 | NP_PUB_PARITY;
	assert_int_equal(np_publish_new(&io, &p, &err), -EBADMSG);
	assert_null(p);
	fake_done(&f);
}

/* --- a reader that never waits: each verdict belongs to the image whose revision the same packet saw */

struct reader {
	struct fake *f;
	const struct np_image *img[2];
	uint32_t rev[2];
	atomic_bool stop;
	atomic_ulong packets, wrong;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	unsigned int a = 0;

	while (!atomic_load(&r->stop)) {
		const struct vw_ip ip = addr(a++ % N_ADDR);
		uint64_t pub;
		uint32_t got = packet(r->f, 0, NP_INGRESS, &ip, 80, &pub);
		uint32_t rv = (uint32_t)(pub >> NP_PUB_REV_SHIFT);
		const struct np_image *img = rv == r->rev[0] ? r->img[0] : rv == r->rev[1] ? r->img[1] : NULL;

		atomic_fetch_add(&r->packets, 1);
		if (!img || say(img, 0, NP_INGRESS, &ip, 80) != got)
			atomic_fetch_add(&r->wrong, 1);
	}
	return NULL;
}

/* each image has its addresses and prefixes from another draw, so a mix would show. As in life, the writer's barrier waits
 * for readers: here by the lock that a reader holds only inside one look-up, so the test also joins the reader's turn. */
static void test_flood(void **state)
{
	struct np_image *img[2];
	struct reader r = { 0 };
	struct np_publish *p;
	struct fake f;
	pthread_t thread;
	struct vw_err err;

	rng = 15;
	fake_init(&f);
	p = open_on(&f);
	img[0] = image(1);
	img[1] = image(1);
	r.f = &f;
	for (int i = 0; i < 2; i++) {
		/* two meanings, so two revisions, that come back in turn */
		r.img[i] = img[i];
	}
	must_publish(p, &f, img[0]);
	r.rev[0] = rev(&f, 0);
	r.rev[1] = r.rev[0] + 1;
	assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
	while (atomic_load(&r.packets) < 1000)
		;
	assert_int_equal(np_publish_image(p, img[1], &err), 0);
	while (atomic_load(&r.packets) < 20000)
		;
	assert_int_equal(np_publish_settle(p, &err), 0);
	while (atomic_load(&r.packets) < 40000)
		;
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&r.wrong), 0);
	np_publish_free(p);
	image_done(img[0]);
	image_done(img[1]);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_see_one_image), cmocka_unit_test(test_a_call_fails),
		cmocka_unit_test(test_death_at_any_call),     cmocka_unit_test(test_death_in_the_switch),
		cmocka_unit_test(test_revisions),	      cmocka_unit_test(test_one_pod_one_peer),
		cmocka_unit_test(test_flows_are_judged_again_when_a_peer_means_something_else),
		cmocka_unit_test(test_look), cmocka_unit_test(test_domain_names), cmocka_unit_test(test_a_forgotten_pod_is_shut), cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_nonsense_is_refused),   cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
