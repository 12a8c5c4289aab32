/*
 * The flow table beside a model: random flows come, are used, and are swept away, with everything that the table promises looked at
 * on the way. What a program does under the group's lock is done here by the same functions. NP_SEED chooses another run.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "netpolicy-bpf/user/np_ct.h"

#include "tests/unit/netns_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 3u
#define KEYS 3000u              /* more than there are places */
#define SLOTS 8u
#define STEPS 400000
#define START 1000u             /* tick */
#define QUIET (np_ct_timeout_s[NP_CT_UDP][NP_CT_NEW] + 1)       /* ticks: longer than that many seconds */

struct model {
	bool live;
	uint32_t last;
};

struct world {
	struct np_ct_maps m;
	struct np_conf conf;
	struct np_slot slots[NP_SLOTS];
	struct np_rt rt[NP_SLOTS];
	struct np_ct_stats st;
	struct model model[KEYS];
	uint64_t random;
	uint32_t now;
	unsigned int live;
};

static uint64_t chance(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static struct world *world_new(unsigned int groups)
{
	const char *seed = getenv("NP_SEED");
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	if (!seed || vw_parse_u64(seed, 1, UINT64_MAX, &w->random) < 0)
		w->random = 1;
	w->now = START;
	w->m = (struct np_ct_maps){ .groups = groups, .conf = &w->conf, .rt = w->rt, .slots = w->slots, .fqdn4 = -1, .fqdn6 = -1 };
	w->m.ct = calloc(groups, sizeof(*w->m.ct));
	assert_non_null(w->m.ct);
	for (int i = 0; i < NP_CT_KEYS; i++)
		w->conf.ct_key[i] = (uint32_t)chance(w);
	for (unsigned int s = 0; s < SLOTS; s++)
		w->slots[s].flags = NP_SLOT_USED;
	return w;
}

static void world_free(struct world *w)
{
	free(w->m.ct);
	free(w);
}

/** flow_of() - the @n-th flow: half of them IPv6, all of UDP. */
static struct np_flow flow_of(unsigned int n)
{
	struct np_flow f = { .slot = n % SLOTS, .proto = IPPROTO_UDP, .rport = 53, .lport = (uint16_t)(n / SLOTS) };

	f.remote.family = n & 8 ? AF_INET6 : AF_INET;
	f.remote.b[0] = 10;
	f.remote.b[3] = (uint8_t)(n >> 4);
	if (n & 8)
		f.remote.b[15] = (uint8_t)n;
	return f;
}

static struct np_ct_key key_of(const struct np_flow *f)
{
	struct np_ct_key k = { .id = NP_CT_ID(f->slot, f->gen, f->proto, htons(f->rport), htons(f->lport),
					      (f->remote.family == AF_INET6 ? NP_CT_ID_IP6 : 0) | (f->post ? NP_CT_ID_POST : 0)) };

	memcpy(k.ip, f->remote.b, f->remote.family == AF_INET6 ? 16 : 4);
	return k;
}

/**
 * insert_as() - as the programs; @locked: the way of kernels without atomic exchange, and the group is the caller's.
 * Return: 1 = made, 0 = it is there, -1 = no room.
 */
static int insert_as(struct np_ct_maps *m, const struct np_flow *f, uint32_t now, bool locked)
{
	const bool ip6 = f->remote.family == AF_INET6;
	const struct np_ct_key k = key_of(f);
	const uint64_t hash = np_ct_hash(m->conf->ct_key, &k, ip6);
	struct np_ct_group *g = &m->ct[np_ct_group_of(hash, m->groups)];
	uint32_t place;

	if (np_ct_search(g, &k, hash, ip6, NP_CT_STEPS))
		return 0;
	place = locked ? np_ct_take_locked(g, &k, hash, ip6) : np_ct_take(g, &k, hash, ip6);
	if (place >= NP_CT_GROUP_FLOWS)
		return place == NP_CT_THERE ? 0 : -1;
	g->entry[place].ct = (struct np_ct){ .last = now, .start = now };
	g->entry[place].key.ip[0] = k.ip[0];
	g->entry[place].key.ip[1] = k.ip[1];
	__atomic_store_n(&g->entry[place].key.id, k.id, __ATOMIC_RELEASE);
	__atomic_fetch_add(&m->rt[f->slot].ct_used, 1, __ATOMIC_RELAXED);
	return 1;
}

static int insert(struct np_ct_maps *m, const struct np_flow *f, uint32_t now)
{
	return insert_as(m, f, now, now % 2);
}

static struct np_ct_entry *entry_of(const struct np_ct_maps *m, const struct np_flow *f)
{
	const bool ip6 = f->remote.family == AF_INET6;
	const struct np_ct_key k = key_of(f);
	const uint64_t hash = np_ct_hash(m->conf->ct_key, &k, ip6);

	return np_ct_search(&m->ct[np_ct_group_of(hash, m->groups)], &k, hash, ip6, NP_CT_STEPS);
}

/* --- what must hold whenever nobody writes */

struct sums {
	unsigned int taken, live;
	unsigned int passed[GROUPS][NP_CT_BUCKETS];
};

static void add_up(const struct np_ct_maps *m, unsigned int group, unsigned int place, struct sums *s)
{
	const struct np_ct_entry *e = &m->ct[group].entry[place];
	struct np_ct_key k = e->key;
	unsigned int bucket, probes = 0;
	uint64_t hash;

	s->taken++;
	s->live += !!(k.id & NP_CT_ID_LIVE);
	assert_true(!(k.id & NP_CT_ID_LIVE) == !!(k.id & NP_CT_ID_DEAD));
	k.id = (k.id & ~NP_CT_ID_DEAD) | NP_CT_ID_LIVE;
	hash = np_ct_hash(m->conf->ct_key, &k, !!(k.id & NP_CT_ID_IP6));
	assert_int_equal(np_ct_group_of(hash, m->groups), group);
	assert_int_equal(m->ct[group].tags[place / NP_CT_WAYS] >> 8 * (place % NP_CT_WAYS) & 0xff, np_ct_tag(hash));
	for (bucket = NP_CT_BUCKET(hash); bucket != place / NP_CT_WAYS; bucket = NP_CT_NEXT(bucket, hash)) {
		s->passed[group][bucket]++;
		assert_true(++probes < NP_CT_PROBES);
	}
}

/** check_table() - each entry is where its key says, with its tag, and each bucket knows how many went on. Return: places taken. */
static unsigned int check_table(const struct np_ct_maps *m, unsigned int live)
{
	struct sums s = { 0 };

	assert_true(m->groups <= GROUPS);
	for (unsigned int g = 0; g < m->groups; g++)
		for (unsigned int place = 0; place < NP_CT_GROUP_FLOWS; place++)
			if (m->ct[g].tags[place / NP_CT_WAYS] >> 8 * (place % NP_CT_WAYS) & 0xff)
				add_up(m, g, place, &s);
	for (unsigned int g = 0; g < m->groups; g++)
		for (unsigned int b = 0; b < NP_CT_BUCKETS; b++)
			assert_int_equal(m->ct[g].tags[b] >> 56, s.passed[g][b]);
	assert_int_equal(s.live, live);
	return s.taken;
}

/** no_room() - is it so? All places that the flow may have are taken. */
static bool no_room(const struct np_ct_maps *m, const struct np_flow *f)
{
	const struct np_ct_key k = key_of(f);
	const uint64_t hash = np_ct_hash(m->conf->ct_key, &k, f->remote.family == AF_INET6);
	const struct np_ct_group *g = &m->ct[np_ct_group_of(hash, m->groups)];
	unsigned int bucket = NP_CT_BUCKET(hash);

	for (unsigned int i = 0; i < NP_CT_PROBES; i++, bucket = NP_CT_NEXT(bucket, hash))
		for (unsigned int way = 0; way < NP_CT_WAYS; way++)
			if (!(g->tags[bucket] >> 8 * way & 0xff))
				return false;
	return true;
}

/* --- the model */

static void come(struct world *w, unsigned int n)
{
	const struct np_flow f = flow_of(n);
	struct model *is = &w->model[n];
	int r = insert(&w->m, &f, w->now);

	if (is->live) {
		assert_int_equal(r, 0);
		return;
	}
	if (r < 0) {
		assert_true(no_room(&w->m, &f));
		return;
	}
	assert_int_equal(r, 1);
	*is = (struct model){ .live = true, .last = w->now };
	w->live++;
}

static void use(struct world *w, unsigned int n)
{
	const struct np_flow f = flow_of(n);
	struct np_ct_entry *e = entry_of(&w->m, &f);

	assert_int_equal(!!e, w->model[n].live);
	if (e) {
		assert_int_equal(e->ct.last, w->model[n].last);
		e->ct.last = w->model[n].last = w->now;
	}
}

static void count_ended(void *arg, const struct np_flow *f)
{
	(*(unsigned int *)arg)++;
}

static void sweep(struct world *w)
{
	unsigned int ended = 0, before = w->live;
	struct vw_err err;

	ok(np_ct_sweep(&w->m, w->now, count_ended, &ended, &w->st, &err));
	for (unsigned int n = 0; n < KEYS; n++) {
		struct model *is = &w->model[n];

		if (is->live && ((uint64_t)(w->now - is->last) << NP_TICK_SHIFT) / 1000000000u > QUIET - 1) {
			is->live = false;
			w->live--;
		}
	}
	assert_int_equal(ended, before - w->live);
	assert_int_equal(w->st.expired, ended);
	assert_int_equal(w->st.flows4 + w->st.flows6, before);
	for (unsigned int n = 0; n < KEYS; n++) {
		const struct np_flow f = flow_of(n);

		assert_int_equal(!!entry_of(&w->m, &f), w->model[n].live);
	}
	for (unsigned int s = 0, sum = 0; s < SLOTS; s++) {
		sum += w->rt[s].ct_used;
		assert_int_equal(w->st.flows[s], w->rt[s].ct_used);
		if (s == SLOTS - 1)
			assert_int_equal(sum, w->live);
	}
	assert_true(check_table(&w->m, w->live) >= w->live);
}

static void test_beside_a_model(void **state)
{
	struct world *w = world_new(GROUPS);
	struct np_flow f;

	for (unsigned int i = 0; i < STEPS; i++) {
		const uint64_t what = chance(w) % 1000;
		/* now few flows, now more than there is room for */
		const unsigned int n = (unsigned int)(chance(w) % (i / 50000 % 2 ? KEYS : KEYS / 4));

		if (what < 400) {
			come(w, n);
		} else if (what < 960) {
			use(w, n);
		} else if (what < 970) {
			f = flow_of(n);
			assert_int_equal(np_ct_forget(&w->m, &f), w->model[n].live);
			w->live -= w->model[n].live;
			w->model[n].live = false;
		} else if (what < 997) {
			w->now++;
		} else {
			sweep(w);
		}
	}
	w->now += QUIET;
	sweep(w);
	assert_int_equal(w->live, 0);
	w->now += 2;
	sweep(w);
	for (unsigned int g = 0; g < GROUPS; g++)       /* nothing is left of all that, not a number */
		for (unsigned int b = 0; b < NP_CT_BUCKETS; b++)
			assert_int_equal(w->m.ct[g].tags[b], 0);
	world_free(w);
}

/* A place is not given away while somebody may hold what was there. */
static void test_the_dead_rest(void **state)
{
	struct world *w = world_new(1);
	const struct np_flow f = flow_of(7);
	struct np_ct_entry *held;
	struct vw_err err;

	assert_int_equal(insert(&w->m, &f, w->now), 1);
	held = entry_of(&w->m, &f);
	w->slots[f.slot].gen++;                 /* its pod is gone */
	ok(np_ct_sweep(&w->m, w->now, NULL, NULL, &w->st, &err));
	assert_int_equal(w->st.orphaned, 1);
	w->slots[f.slot].gen--;
	assert_null(entry_of(&w->m, &f));
	for (unsigned int n = 0; n < 300; n++)
		if (n != 7) {
			const struct np_flow other = flow_of(n);

			(void)insert(&w->m, &other, w->now);
			assert_ptr_not_equal(entry_of(&w->m, &other), held);
		}
	held->ct.last = w->now;                 /* a packet that was under way: nobody's harm */
	assert_int_equal(insert(&w->m, &f, w->now), 1);
	assert_ptr_not_equal(entry_of(&w->m, &f), held);
	ok(np_ct_sweep(&w->m, w->now + 1, NULL, NULL, &w->st, &err));
	assert_int_equal(w->st.resting, 1);
	ok(np_ct_sweep(&w->m, w->now + 2, NULL, NULL, &w->st, &err));
	assert_int_equal(w->st.resting, 0);
	assert_int_equal(held->key.id, 0);
	assert_int_equal(check_table(&w->m, 300), 300);
	world_free(w);
}

/** made() - an entry of UDP flow @n, in @state; @ret_place: its NP_CT_PLACE(). */
static struct np_ct_entry *made(struct world *w, unsigned int n, bool post, enum np_ct_state state, uint32_t *ret_place)
{
	struct np_flow f = flow_of(n);
	struct np_ct_entry *e;

	f.post = post;
	assert_int_equal(insert(&w->m, &f, w->now), 1);
	e = entry_of(&w->m, &f);
	*ret_place = NP_CT_PLACE(0, e - w->m.ct[0].entry);
	e->ct.state = state;
	e->ct.flags = post ? NP_CT_EGRESS | NP_CT_POST : NP_CT_EGRESS | NP_CT_VIP;
	return e;
}

/** after() - is @e still there when @seconds have passed since @w->now and both are swept? */
static bool after(struct world *w, uint32_t seconds, const struct np_ct_entry *e)
{
	struct vw_err err;

	ok(np_ct_sweep(&w->m, w->now + seconds, NULL, NULL, &w->st, &err));
	return e->key.id & NP_CT_ID_LIVE;
}

/* The entry behind a service's address is there for answers as long as the pod's own, however long the pod says nothing. */
static void test_the_two_of_a_service_hold_each_other(void **state)
{
	const uint32_t quiet = np_ct_timeout_s[NP_CT_UDP][NP_CT_ESTABLISHED], denied = np_ct_timeout_s[NP_CT_UDP][NP_CT_DENIED];

	(void)state;
	for (int linked = 0; linked < 2; linked++) {
		struct world *w = world_new(1);
		struct np_ct_entry *own, *behind;
		uint32_t at, at_behind;

		own = made(w, 7, false, NP_CT_ESTABLISHED, &at);
		behind = made(w, 8, true, NP_CT_ESTABLISHED, &at_behind);
		if (linked) {
			own->ct.link = NP_CT_LINK(at_behind, 0);
			behind->ct.link = NP_CT_LINK(at, 0);
		}
		own->ct.last = w->now + quiet;          /* answers */
		assert_int_equal(after(w, quiet + 10, behind), linked);
		assert_true(own->key.id & NP_CT_ID_LIVE);
		behind->ct.state = NP_CT_DENIED;
		own->ct.last = w->now;
		assert_int_equal(after(w, quiet + 10, own), linked);
		assert_int_equal(after(w, denied + 10, own), false);
		assert_int_equal(after(w, 2 * denied, behind), false);
		world_free(w);
	}
}

/* Full: nobody loses an entry, and that begins late. */
static void test_full(void **state)
{
	struct world *w = world_new(GROUPS);
	unsigned int first = 0;

	for (unsigned int n = 0; n < KEYS; n++) {
		come(w, n);
		if (!first && !w->model[n].live)
			first = w->live;
	}
	assert_true(first > GROUPS * NP_CT_GROUP_FLOWS * 7 / 10);
	assert_true(w->live > GROUPS * NP_CT_GROUP_FLOWS * 98 / 100);
	sweep(w);
	for (unsigned int n = 0; n < KEYS; n++)
		use(w, n);
	world_free(w);
}

/* What is between two entries of a slot's former pod and the next one's is the generation; nonsense in the table harms nobody. */
static void test_orphans_and_nonsense(void **state)
{
	struct world *w = world_new(1);
	struct np_flow a = flow_of(1), b = flow_of(1);
	struct vw_err err;

	assert_int_equal(insert(&w->m, &a, w->now), 1);
	w->slots[1].gen = b.gen = 1;
	assert_int_equal(insert(&w->m, &b, w->now), 1);
	ok(np_ct_sweep(&w->m, w->now, NULL, NULL, &w->st, &err));
	assert_int_equal(w->st.orphaned, 1);
	assert_null(entry_of(&w->m, &a));
	assert_non_null(entry_of(&w->m, &b));
	for (unsigned int i = 0; i < sizeof(*w->m.ct) / 8; i++)
		((uint64_t *)w->m.ct)[i] = chance(w);
	for (int i = 0; i < 4; i++)
		ok(np_ct_sweep(&w->m, w->now += 30000, NULL, NULL, &w->st, &err));
	world_free(w);
}

/* --- many at once */

#define THREADS 4

struct crowd {
	struct world *w;
	pthread_mutex_t lock[GROUPS];
	pthread_barrier_t start;
	unsigned int made[THREADS], none[THREADS];
	bool locked, stop;
};

struct one {
	struct crowd *c;
	unsigned int number;
};

/* the same flows in the same order, so that they meet */
static void *maker(void *arg)
{
	const struct one *one = arg;
	struct crowd *c = one->c;
	struct np_ct_maps *m = &c->w->m;

	pthread_barrier_wait(&c->start);
	for (unsigned int n = 0; n < 700; n++) {
		const struct np_flow f = flow_of(n);
		const struct np_ct_key k = key_of(&f);
		const unsigned int g = np_ct_group_of(np_ct_hash(m->conf->ct_key, &k, f.remote.family == AF_INET6), m->groups);
		int r;

		if (c->locked)
			pthread_mutex_lock(&c->lock[g]);
		r = insert_as(m, &f, START, c->locked);
		if (c->locked)
			pthread_mutex_unlock(&c->lock[g]);
		c->made[one->number] += r > 0;
		c->none[one->number] += r < 0;
	}
	return NULL;
}

/** killer() - takes away entries of another pod, without the locks, in the same words of tags. */
static void *killer(void *arg)
{
	struct crowd *c = arg;
	uint32_t now = START;
	struct vw_err err;
	static struct np_ct_stats st;

	pthread_barrier_wait(&c->start);
	do {
		now = now < START + 20 ? now + 1 : now;         /* never so late that the others' expire */
		if (np_ct_sweep(&c->w->m, now, NULL, NULL, &st, &err) < 0)
			abort();
	} while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

static void many_at_once(bool locked)
{
	for (int round = 0; round < 30; round++) {
		struct world *w = world_new(GROUPS);
		struct crowd c = { .w = w, .locked = locked, .lock = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER } };
		struct one one[THREADS];
		pthread_t t[THREADS], k;
		unsigned int made = 0;

		assert_int_equal(pthread_barrier_init(&c.start, NULL, THREADS + 1), 0);
		for (unsigned int n = 0; n < 200; n++) {        /* of a pod that is gone */
			struct np_flow f = flow_of(n);

			f.gen = 9;
			assert_int_equal(insert(&w->m, &f, START), 1);
		}
		assert_int_equal(pthread_create(&k, NULL, killer, &c), 0);
		for (unsigned int i = 0; i < THREADS; i++) {
			one[i] = (struct one){ &c, i };
			assert_int_equal(pthread_create(&t[i], NULL, maker, &one[i]), 0);
		}
		for (unsigned int i = 0; i < THREADS; i++) {
			pthread_join(t[i], NULL);
			made += c.made[i];
		}
		__atomic_store_n(&c.stop, true, __ATOMIC_RELEASE);
		pthread_join(k, NULL);
		pthread_barrier_destroy(&c.start);
		for (unsigned int i = 0; i < THREADS; i++)
			assert_int_equal(c.none[i], 0);
		/*
		 * Without lock, a flow may have been taken for another that was being made (its next packet makes it), or made twice
		 * while the sweep freed a place.
		 */
		assert_in_range(made, locked ? 700 : 690, locked ? 700 : 710);
		assert_in_range(check_table(&w->m, made), made, made + 200);
		for (unsigned int n = 0; n < 700; n++) {
			const struct np_flow f = flow_of(n);

			assert_in_range(insert(&w->m, &f, START), 0, !locked);
			assert_non_null(entry_of(&w->m, &f));
		}
		world_free(w);
	}
}

static void test_many_at_once(void **state)
{
	many_at_once(false);
}

static void test_many_under_locks(void **state)
{
	many_at_once(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside_a_model),
		cmocka_unit_test(test_the_dead_rest),
		cmocka_unit_test(test_the_two_of_a_service_hold_each_other),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_orphans_and_nonsense),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_many_under_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
