/* The pool: choice, states, orphans, restarts; and 60,000 random steps with the invariants recounted. */
#include "ipam/pool.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text, &c), 0);
	return c;
}

static struct vw_ip ip(const char *text)
{
	struct vw_ip a;

	assert_int_equal(vw_ip_parse(text, &a), 0);
	return a;
}

static void sane(const struct ipam_pool *p)
{
	struct vw_err err;

	if (ipam_pool_check(p, &err) < 0)
		fail_msg("pool: %s", err.msg);
}

static struct ipam_eni eni(const char *id, unsigned int number)
{
	struct ipam_eni e = { .number = number, .device = number, .primary = number == 0, .usable = true,
			      .state = IPAM_ENI_READY, .max_slots = 9 };

	assert_true(vw_fmt(e.id, sizeof(e.id), "%s", id) > 0);
	return e;
}

static void put(struct ipam_pool *p, const char *id, unsigned int number)
{
	struct ipam_eni e = eni(id, number);

	assert_int_equal(ipam_pool_eni_put(p, &e), 0);
}

static int slot(struct ipam_pool *p, const char *eni_id, const char *text)
{
	struct vw_cidr c = cidr(text);
	int r = ipam_pool_slot_add(p, eni_id, &c);

	sane(p);
	return r;
}

static int unslot(struct ipam_pool *p, const char *text)
{
	struct vw_cidr c = cidr(text);
	int r = ipam_pool_slot_del(p, &c);

	sane(p);
	return r;
}

static struct ipam_addr take(struct ipam_pool *p, const char *key, uint64_t now)
{
	struct ipam_addr a = { 0 };

	assert_int_equal(ipam_pool_assign(p, key, now, &a), 0);
	assert_int_equal(a.state, IPAM_ASSIGNED);
	assert_string_equal(a.key, key);
	sane(p);
	return a;
}

static void give(struct ipam_pool *p, const char *key, uint64_t now, uint64_t cooldown)
{
	assert_int_equal(ipam_pool_release(p, key, now, cooldown, NULL), 0);
	sane(p);
}

static void is_ip(const struct ipam_addr *a, const char *want)
{
	char text[VW_IP_STRLEN];

	assert_string_equal(vw_ip_str(&a->ip, text), want);
}

static void test_empty(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_addr a;
	struct ipam_stats st;

	assert_int_equal(ipam_pool_assign(p, "c/eth0", 1, &a), -EAGAIN);
	assert_int_equal(ipam_pool_release(p, "c/eth0", 1, 0, NULL), -ENOENT);
	assert_false(ipam_pool_by_key(p, "c/eth0", &a));
	assert_true(ipam_pool_next_free_ms(p) == IPAM_NEVER);
	assert_int_equal(ipam_pool_free_number(p), 1);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.total, 0);
	sane(p);
}

/* A second interface on another network card if that has an address, else on another ENI, else wherever there is one. */
static void test_a_further_interface_is_elsewhere(void **state)
{
	static const char *const want[] = { "eni-0", "eni-card1", "eni-1", "eni-0" };
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_eni other_card = eni("eni-card1", 2);
	struct vw_ip others[4];
	struct ipam_addr a;

	other_card.card = 1;
	put(p, "eni-0", 0);
	put(p, "eni-1", 1);
	assert_int_equal(ipam_pool_eni_put(p, &other_card), 0);
	assert_int_equal(slot(p, "eni-0", "10.0.0.0/28"), 0);
	assert_int_equal(slot(p, "eni-1", "10.0.1.4/32"), 0);
	assert_int_equal(slot(p, "eni-card1", "10.0.2.4/32"), 0);
	for (size_t i = 0; i < 4; i++) {
		char key[] = "c/net0";

		key[5] = (char)('0' + i);
		assert_int_equal(ipam_pool_assign_beside(p, key, others, i, 1, &a), 0);
		assert_string_equal(a.eni->id, want[i]);
		others[i] = a.ip;
		sane(p);
	}
}

static void test_assign_is_idempotent(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_addr a, b, untouched;

	put(p, "eni-0", 0);
	assert_int_equal(slot(p, "eni-0", "10.0.0.4/32"), 0);
	a = take(p, "c/eth0", 1);
	is_ip(&a, "10.0.0.4");
	assert_string_equal(a.eni->id, "eni-0");
	assert_int_equal(ipam_pool_assign(p, "c/eth0", 2, &b), 1);
	assert_true(vw_ip_eq(&a.ip, &b.ip));
	memset(&b, 0x5a, sizeof(b));
	memset(&untouched, 0x5a, sizeof(untouched));
	assert_int_equal(ipam_pool_assign(p, "c/eth1", 2, &b), -EAGAIN);
	assert_memory_equal(&b, &untouched, sizeof(b));
	give(p, "c/eth0", 3, 0);
	assert_int_equal(ipam_pool_release(p, "c/eth0", 3, 0, NULL), -ENOENT);
}

static void test_bad_keys(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	char key[IPAM_KEY_MAX + 1];
	struct ipam_addr a;
	struct vw_ip other = ip("10.9.9.9");

	put(p, "eni-0", 0);
	slot(p, "eni-0", "10.0.0.4/32");
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	assert_int_equal(ipam_pool_assign(p, key, 1, &a), -EINVAL);
	assert_int_equal(ipam_pool_assign(p, "", 1, &a), -EINVAL);
	assert_int_equal(ipam_pool_restore(p, key, &other), -EINVAL);
	assert_false(ipam_pool_by_ip(p, &other, &a));
	sane(p);
	key[IPAM_KEY_MAX - 1] = '\0';
	take(p, key, 1);
}

static void test_packing(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	char key[32];
	struct ipam_addr a;

	put(p, "eni-0", 0);
	put(p, "eni-1", 1);
	put(p, "eni-2", 2);
	slot(p, "eni-2", "10.0.2.0/28");
	slot(p, "eni-1", "10.0.1.0/28");
	slot(p, "eni-1", "10.0.1.16/28");
	/* no ENI has pods: the lowest number; its first prefix is filled before the second is begun */
	for (int i = 0; i < 17; i++) {
		assert_true(vw_fmt(key, sizeof(key), "a%d", i) > 0);
		a = take(p, key, 1);
		assert_string_equal(a.eni->id, "eni-1");
	}
	is_ip(&a, "10.0.1.16");
	/* a hole in the fuller prefix is filled before the emptier prefix grows */
	give(p, "a3", 2, 0);
	a = take(p, "b", 2);
	is_ip(&a, "10.0.1.3");
	/* the primary ENI cannot be given back: it goes first although it is empty */
	slot(p, "eni-0", "10.0.0.4/32");
	a = take(p, "c", 3);
	is_ip(&a, "10.0.0.4");
	/* single addresses after begun prefixes, before wholly free ones */
	slot(p, "eni-2", "10.0.2.200/32");
	for (int i = 0; i < 15; i++) {
		assert_true(vw_fmt(key, sizeof(key), "d%d", i) > 0);
		a = take(p, key, 4);
		assert_string_equal(a.eni->id, "eni-1");
	}
	a = take(p, "e", 5);
	is_ip(&a, "10.0.2.200");
	a = take(p, "f", 5);
	is_ip(&a, "10.0.2.0");
}

static void test_least_recently_used(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	static const char *const keys[] = { "a", "b", "c" };
	struct ipam_addr a;

	put(p, "eni-0", 0);
	slot(p, "eni-0", "10.0.0.4/32");
	slot(p, "eni-0", "10.0.0.5/32");
	slot(p, "eni-0", "10.0.0.6/32");
	for (int i = 0; i < 3; i++)
		take(p, keys[i], 1);
	give(p, "b", 10, 100);
	give(p, "c", 11, 100);
	give(p, "a", 12, 0);
	a = take(p, "d", 13);
	is_ip(&a, "10.0.0.4");
	assert_int_equal(ipam_pool_assign(p, "e", 109, &a), -EAGAIN);
	assert_true(ipam_pool_next_free_ms(p) == 110);
	give(p, "d", 109, 0);
	/* .5 and .6 have cooled down since, but .4 has been free for longer than they */
	a = take(p, "e", 111);
	is_ip(&a, "10.0.0.4");
	a = take(p, "f", 111);
	is_ip(&a, "10.0.0.5");
	a = take(p, "g", 111);
	is_ip(&a, "10.0.0.6");
}

static void test_cooldowns_of_unequal_length(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_addr a;
	struct ipam_stats st;

	put(p, "eni-0", 0);
	slot(p, "eni-0", "10.0.0.0/28");
	take(p, "a", 1);
	take(p, "b", 1);
	give(p, "a", 10, 1000);
	give(p, "b", 20, 10);
	assert_true(ipam_pool_next_free_ms(p) == 30);
	ipam_pool_advance(p, 30);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.cooling, 1);
	assert_int_equal(st.available, 15);
	assert_int_equal(st.free_prefixes, 0);
	ipam_pool_advance(p, 5);        /* the clock does not go back */
	assert_true(ipam_pool_now(p) == 30);
	ipam_pool_advance(p, 1010);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.free_prefixes, 1);
	assert_true(ipam_pool_by_ip(p, &(struct vw_ip){ .family = AF_INET, .b = { 10 } }, &a));
	assert_int_equal(a.state, IPAM_FREE);
	sane(p);
}

static void test_states_of_enis(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_eni e = eni("eni-1", 1), again;
	struct ipam_addr a;
	struct ipam_stats st;

	e.state = IPAM_ENI_ATTACHING;
	assert_int_equal(ipam_pool_eni_put(p, &e), 0);
	slot(p, "eni-1", "10.0.1.0/28");
	ipam_pool_stats(p, &st);
	assert_int_equal(st.pending, 16);
	assert_int_equal(st.available, 0);
	assert_int_equal(ipam_pool_assign(p, "a", 1, &a), -EAGAIN);
	assert_int_equal(ipam_pool_eni_state(p, "eni-1", IPAM_ENI_READY), 0);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.available, 16);
	assert_int_equal(st.slots_free, 8);
	take(p, "a", 1);
	assert_int_equal(ipam_pool_eni_state(p, "eni-1", IPAM_ENI_REMOVING), -EBUSY);
	give(p, "a", 2, 10);
	assert_int_equal(ipam_pool_eni_state(p, "eni-1", IPAM_ENI_REMOVING), -EBUSY);
	ipam_pool_advance(p, 12);
	assert_int_equal(ipam_pool_eni_state(p, "eni-1", IPAM_ENI_REMOVING), 0);
	assert_int_equal(ipam_pool_assign(p, "a", 13, &a), -EAGAIN);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.unusable, 16);
	assert_int_equal(st.prefixes, 0);
	/* a new description keeps the slots; numbers stay unique */
	again = e;
	again.number = 5;
	again.state = IPAM_ENI_READY;
	assert_int_equal(ipam_pool_eni_put(p, &again), 0);
	assert_null(ipam_pool_eni_by_number(p, 1));
	assert_int_equal(ipam_pool_eni_by_number(p, 5)->n.prefixes, 1);
	e = eni("eni-2", 5);
	assert_int_equal(ipam_pool_eni_put(p, &e), -EEXIST);
	e.number = IPAM_NUMBER_MAX + 1;
	assert_int_equal(ipam_pool_eni_put(p, &e), -EINVAL);
	again.usable = false;
	assert_int_equal(ipam_pool_eni_put(p, &again), 0);
	assert_int_equal(ipam_pool_assign(p, "a", 14, &a), -EAGAIN);
	sane(p);
	assert_int_equal(ipam_pool_eni_del(p, "eni-1"), 0);
	assert_int_equal(ipam_pool_eni_del(p, "eni-1"), -ENOENT);
	sane(p);
}

static void test_slots_refused(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();

	put(p, "eni-0", 0);
	put(p, "eni-1", 1);
	assert_int_equal(slot(p, "eni-9", "10.0.0.0/28"), -ENOENT);
	assert_int_equal(slot(p, "eni-0", "10.0.0.1/28"), -EINVAL);
	assert_int_equal(slot(p, "eni-0", "10.0.0.0/24"), -EINVAL);
	assert_int_equal(slot(p, "eni-0", "2001:db8::/80"), -EAFNOSUPPORT);
	assert_int_equal(slot(p, "eni-0", "10.0.0.0/28"), 0);
	assert_int_equal(slot(p, "eni-0", "10.0.0.0/28"), 1);
	assert_int_equal(slot(p, "eni-1", "10.0.0.0/28"), -EEXIST);
	assert_int_equal(slot(p, "eni-0", "10.0.0.7/32"), -EEXIST);
	assert_int_equal(slot(p, "eni-0", "10.0.0.16/32"), 0);
	assert_int_equal(slot(p, "eni-0", "10.0.0.16/28"), -EEXIST);
	assert_int_equal(unslot(p, "10.0.0.32/28"), -ENOENT);
}

static void test_orphans_are_kept_and_adopted(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct ipam_addr a;
	struct ipam_stats st;

	put(p, "eni-0", 0);
	slot(p, "eni-0", "10.0.0.0/28");
	take(p, "a", 1);
	take(p, "b", 1);
	take(p, "c", 1);
	give(p, "b", 1, 100);
	assert_int_equal(unslot(p, "10.0.0.0/28"), 0);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.total, 0);
	assert_int_equal(st.assigned, 2);
	assert_int_equal(st.orphaned, 2);
	assert_int_equal(st.orphaned_cooling, 1);
	assert_true(ipam_pool_by_key(p, "a", &a));
	assert_true(a.orphaned);
	assert_string_equal(a.eni->id, "eni-0");
	assert_int_equal(ipam_pool_assign(p, "a", 2, &a), 1);
	assert_int_equal(ipam_pool_assign(p, "d", 2, &a), -EAGAIN);
	/* it comes back, as single addresses on another ENI */
	put(p, "eni-1", 1);
	assert_int_equal(slot(p, "eni-1", "10.0.0.0/32"), 0);
	assert_int_equal(slot(p, "eni-1", "10.0.0.1/32"), 0);
	assert_true(ipam_pool_by_key(p, "a", &a));
	assert_false(a.orphaned);
	assert_string_equal(a.eni->id, "eni-1");
	assert_int_equal(ipam_pool_assign(p, "d", 3, &a), -EAGAIN);     /* 10.0.0.1 still cools */
	a = take(p, "d", 101);
	is_ip(&a, "10.0.0.1");
	/* c stays an orphan, loses its ENI, and is forgotten when it is released */
	assert_int_equal(ipam_pool_eni_del(p, "eni-0"), 0);
	sane(p);
	assert_true(ipam_pool_by_key(p, "c", &a));
	assert_null(a.eni);
	is_ip(&a, "10.0.0.2");
	assert_int_equal(ipam_pool_release(p, "c", 102, 0, &a), 0);
	assert_true(a.orphaned);
	assert_false(ipam_pool_by_ip(p, &a.ip, &a));
	sane(p);
}

static void test_restore_in_any_order(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct vw_ip a4 = ip("10.0.0.4"), a5 = ip("10.0.0.5"), a6 = ip("10.0.0.6"), v6 = ip("fd00::1");
	struct ipam_addr a;
	struct ipam_stats st;

	ipam_pool_advance(p, 1000);
	assert_int_equal(ipam_pool_restore(p, "a", &a4), 0);
	assert_int_equal(ipam_pool_restore(p, "a", &a4), 1);
	assert_int_equal(ipam_pool_restore(p, "a", &a5), -EEXIST);
	assert_int_equal(ipam_pool_restore(p, "b", &a4), -EEXIST);
	assert_int_equal(ipam_pool_restore(p, "b", &v6), -EAFNOSUPPORT);
	assert_int_equal(ipam_pool_restore_cooling(p, &a5, 2000), 0);
	assert_int_equal(ipam_pool_restore_cooling(p, &a5, 3000), 0);
	assert_int_equal(ipam_pool_restore_cooling(p, &a6, 1000), 1);
	assert_int_equal(ipam_pool_restore_cooling(p, &a4, 2000), -EEXIST);
	sane(p);
	put(p, "eni-0", 0);
	assert_int_equal(slot(p, "eni-0", "10.0.0.0/28"), 0);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.orphaned + st.orphaned_cooling, 0);
	assert_int_equal(st.available, 14);
	assert_int_equal(ipam_pool_restore(p, "c", &a6), 0);
	assert_true(ipam_pool_by_ip(p, &a6, &a));
	assert_string_equal(a.key, "c");
	for (unsigned int i = 0; i < 13; i++) {
		char key[8];

		assert_true(vw_fmt(key, sizeof(key), "k%u", i) > 0);
		take(p, key, 2999);
	}
	assert_int_equal(ipam_pool_assign(p, "last", 2999, &a), -EAGAIN);
	a = take(p, "last", 3000);
	assert_true(vw_ip_eq(&a.ip, &a5));
}

static void test_retire(void **state)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	struct vw_cidr c = cidr("10.0.0.0/28"), one = cidr("10.0.0.16/32"), other = cidr("10.0.9.0/28");
	struct ipam_addr a;
	struct ipam_slot s;
	struct ipam_stats st;

	put(p, "eni-0", 0);
	slot(p, "eni-0", "10.0.0.0/28");
	slot(p, "eni-0", "10.0.0.16/32");
	assert_int_equal(ipam_pool_slot_retire(p, &one, true), 0);
	take(p, "a", 1);
	assert_int_equal(ipam_pool_slot_retire(p, &c, true), -EBUSY);
	give(p, "a", 1, 0);
	assert_int_equal(ipam_pool_slot_retire(p, &c, true), 0);
	sane(p);
	assert_true(ipam_pool_slot(p, &c, &s));
	assert_true(s.retiring);
	ipam_pool_stats(p, &st);
	assert_int_equal(st.available, 0);
	assert_int_equal(st.unusable, 17);
	assert_int_equal(ipam_pool_assign(p, "b", 2, &a), -EAGAIN);
	/* restoring does not ask: what a pod has, it has */
	assert_int_equal(ipam_pool_restore(p, "r", &one.ip), 0);
	sane(p);
	assert_int_equal(ipam_pool_slot_retire(p, &c, false), 0);
	take(p, "b", 2);
	assert_int_equal(ipam_pool_slot_retire(p, &other, true), -ENOENT);
}

/* ---- random steps, against a plain model: for each address who has it, or until when it cools ---- */

#define N_IPS 96        /* 10.0.0.0 - 10.0.0.95 */
#define N_KEYS 80
#define N_ENIS 4

struct model {
	int key_of[N_IPS];      /* -1: nobody */
	int ip_of[N_KEYS];      /* -1: none */
	uint64_t until[N_IPS];
	uint64_t now, seed;
};

static unsigned int rnd(struct model *m, unsigned int n)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned int)(m->seed >> 33) % n;
}

static unsigned int ip_index(const struct vw_ip *a)
{
	unsigned int i = vw_ip4_u32(a) - 0x0a000000;

	assert_true(i < N_IPS);
	return i;
}

static struct vw_cidr random_cidr(struct model *m)
{
	struct vw_ip a = vw_ip4(0x0a000000 + rnd(m, N_IPS));
	struct vw_cidr c = rnd(m, 3) ? vw_cidr_of(&a, IPAM_PREFIX4_LEN) : vw_cidr_host(&a);

	return vw_cidr_masked(&c);
}

static const char *random_eni(struct model *m, unsigned int *ret_number)
{
	static const char *const ids[N_ENIS] = { "eni-0", "eni-1", "eni-2", "eni-3" };
	unsigned int n = rnd(m, N_ENIS);

	if (ret_number)
		*ret_number = n;
	return ids[n];
}

static void step_assign(struct ipam_pool *p, struct model *m, unsigned int k, const char *key)
{
	struct ipam_addr a;
	struct ipam_stats st;
	int r;

	ipam_pool_advance(p, m->now);
	ipam_pool_stats(p, &st);
	r = ipam_pool_assign(p, key, m->now, &a);
	if (m->ip_of[k] >= 0) {
		assert_int_equal(r, 1);
		assert_int_equal(ip_index(&a.ip), m->ip_of[k]);
		return;
	}
	assert_int_equal(r, st.available ? 0 : -EAGAIN);
	if (r < 0)
		return;
	assert_int_equal(m->key_of[ip_index(&a.ip)], -1);               /* no address twice */
	assert_true(m->until[ip_index(&a.ip)] <= m->now);               /* none inside its cool-down */
	m->key_of[ip_index(&a.ip)] = (int)k;
	m->ip_of[k] = (int)ip_index(&a.ip);
}

static void step_release(struct ipam_pool *p, struct model *m, unsigned int k, const char *key)
{
	uint64_t cooldown = rnd(m, 4) ? rnd(m, 300) : 0;
	struct ipam_addr a;
	int r = ipam_pool_release(p, key, m->now, cooldown, &a);

	assert_int_equal(r, m->ip_of[k] >= 0 ? 0 : -ENOENT);
	if (r < 0)
		return;
	assert_int_equal(ip_index(&a.ip), m->ip_of[k]);
	m->until[m->ip_of[k]] = cooldown ? m->now + cooldown : 0;
	m->key_of[m->ip_of[k]] = -1;
	m->ip_of[k] = -1;
}

static void step_restore(struct ipam_pool *p, struct model *m, unsigned int k, const char *key)
{
	struct vw_ip a = vw_ip4(0x0a000000 + rnd(m, N_IPS));
	unsigned int i = ip_index(&a);
	int r;

	if (rnd(m, 2)) {
		uint64_t until = m->now + rnd(m, 200);

		ipam_pool_advance(p, m->now);
		r = ipam_pool_restore_cooling(p, &a, until);
		assert_int_equal(r, until <= m->now ? 1 : m->key_of[i] >= 0 ? -EEXIST : 0);
		if (r == 0)
			m->until[i] = until;
		return;
	}
	r = ipam_pool_restore(p, key, &a);
	if (m->ip_of[k] >= 0)
		assert_int_equal(r, m->ip_of[k] == (int)i ? 1 : -EEXIST);
	else
		assert_int_equal(r, m->key_of[i] >= 0 ? -EEXIST : 0);
	if (r == 0) {
		m->ip_of[k] = (int)i;
		m->key_of[i] = (int)k;
		m->until[i] = 0;
	}
}

static void step_cloud(struct ipam_pool *p, struct model *m)
{
	struct vw_cidr c = random_cidr(m);
	unsigned int number;
	const char *id = random_eni(m, &number);
	struct ipam_eni e = eni(id, number);

	switch (rnd(m, 8)) {
	case 0:
		e.state = (enum ipam_eni_state)rnd(m, 3);
		e.usable = rnd(m, 8) != 0;
		(void)ipam_pool_eni_put(p, &e);
		break;
	case 1:
		if (!rnd(m, 6))
			(void)ipam_pool_eni_del(p, id);
		break;
	case 2:
		(void)ipam_pool_slot_del(p, &c);
		break;
	case 3:
		(void)ipam_pool_slot_retire(p, &c, rnd(m, 2));
		break;
	case 4:
		(void)ipam_pool_eni_state(p, id, IPAM_ENI_READY);
		break;
	default:
		(void)ipam_pool_slot_add(p, id, &c);
		break;
	}
}

static int compare(const struct ipam_addr *a, void *arg)
{
	struct model *m = arg;
	unsigned int i = ip_index(&a->ip);
	char key[16];

	if (a->state == IPAM_ASSIGNED) {
		assert_true(m->key_of[i] >= 0);
		assert_true(vw_fmt(key, sizeof(key), "k%d/eth0", m->key_of[i]) > 0);
		assert_string_equal(a->key, key);
		m->ip_of[m->key_of[i]] += N_IPS;        /* seen; taken off again below */
	} else {
		assert_int_equal(m->key_of[i], -1);
		if (a->state == IPAM_COOLING)
			assert_true(m->until[i] == a->until_ms);
		else
			assert_true(m->until[i] <= m->now);
	}
	return 0;
}

static void same_as_model(struct ipam_pool *p, struct model *m)
{
	sane(p);
	ipam_pool_advance(p, m->now);
	assert_int_equal(ipam_pool_each(p, compare, m), 0);
	for (int k = 0; k < N_KEYS; k++) {
		if (m->ip_of[k] >= 0) {
			assert_true(m->ip_of[k] >= N_IPS);      /* none lost */
			m->ip_of[k] -= N_IPS;
		}
	}
}

static void test_random_steps(void **state)
{
	static const uint64_t seeds[] = { 1, 20261123, 0x5eed };

	for (size_t s = 0; s < VW_ARRAY_SIZE(seeds); s++) {
		ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
		struct model m = { .seed = seeds[s] };

		print_message("random steps: seed %llu\n", (unsigned long long)seeds[s]);
		memset(m.key_of, -1, sizeof(m.key_of));
		memset(m.ip_of, -1, sizeof(m.ip_of));
		for (int i = 0; i < 20000; i++) {
			unsigned int k = rnd(&m, N_KEYS), what = rnd(&m, 100);
			char key[16];

			assert_true(vw_fmt(key, sizeof(key), "k%u/eth0", k) > 0);
			m.now += rnd(&m, 20);
			if (what < 40)
				step_assign(p, &m, k, key);
			else if (what < 75)
				step_release(p, &m, k, key);
			else if (what < 78)
				step_restore(p, &m, k, key);
			else
				step_cloud(p, &m);
			if (i % 8 == 0)
				same_as_model(p, &m);
		}
		same_as_model(p, &m);
	}
}

/* Cost by counting: the same bound on the turns of inner loops per operation at 16 addresses as at 4096. */
static uint64_t steps_per_op(unsigned int prefixes)
{
	ipam_auto_pool struct ipam_pool *p = ipam_pool_new();
	unsigned int n = prefixes * IPAM_PREFIX4_ADDRS;
	uint64_t before;

	for (unsigned int i = 0; i < prefixes; i++) {
		struct ipam_eni e = eni("eni-x", i / 16);
		struct vw_ip a = vw_ip4(0x0a000000 + i * IPAM_PREFIX4_ADDRS);
		struct vw_cidr c = vw_cidr_of(&a, IPAM_PREFIX4_LEN);

		assert_true(vw_fmt(e.id, sizeof(e.id), "eni-%u", i / 16) > 0);
		assert_int_equal(ipam_pool_eni_put(p, &e), 0);
		assert_int_equal(ipam_pool_slot_add(p, e.id, &c), 0);
	}
	before = ipam_pool_steps(p);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < n; i++) {
			struct ipam_addr a;
			char key[16];

			assert_true(vw_fmt(key, sizeof(key), "k%u", i) > 0);
			assert_int_equal(ipam_pool_assign(p, key, round * 100000 + i, &a), 0);
		}
		for (unsigned int i = 0; i < n; i++) {
			char key[16];

			assert_true(vw_fmt(key, sizeof(key), "k%u", i) > 0);
			assert_int_equal(ipam_pool_release(p, key, round * 100000 + n + i, 30000, NULL), 0);
		}
	}
	sane(p);
	return (ipam_pool_steps(p) - before) / (4 * n);
}

static void test_cost_does_not_grow(void **state)
{
	assert_true(steps_per_op(1) <= IPAM_MAX_ENIS);
	assert_true(steps_per_op(256) <= IPAM_MAX_ENIS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_a_further_interface_is_elsewhere),
		cmocka_unit_test(test_assign_is_idempotent),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_packing),
		cmocka_unit_test(test_least_recently_used),
		cmocka_unit_test(test_cooldowns_of_unequal_length),
		cmocka_unit_test(test_states_of_enis),
		cmocka_unit_test(test_slots_refused),
		cmocka_unit_test(test_orphans_are_kept_and_adopted),
		cmocka_unit_test(test_restore_in_any_order),
		cmocka_unit_test(test_retire),
		cmocka_unit_test(test_random_steps),
		cmocka_unit_test(test_cost_does_not_grow),
	};

	return cmocka_run_group_tests_name("ipam_pool", tests, NULL, NULL);
}
