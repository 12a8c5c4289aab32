/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's state: allocation, alignment, fragmentation, limits, events, and invariants under random
 * operations. */
#include "sim/ops.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/cloud.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/cm.h"

static const char config[] =
	"{\"vpcs\":[{\"cidr\":\"10.0.0.0/16\",\"ipv6_cidrs\":[\"2001:db8::/56\"]}],"
	"\"subnets\":[{\"id\":\"subnet-0a\",\"cidr\":\"10.0.0.0/25\",\"ipv6\":\"2001:db8::/64\"},"
	"{\"id\":\"subnet-0b\",\"cidr\":\"10.0.1.0/27\"},{\"id\":\"subnet-0c\",\"cidr\":\"10.0.2.0/28\"}],"
	"\"instances\":[{\"name\":\"n1\",\"type\":\"m5.large\",\"subnet\":\"subnet-0a\"},"
	"{\"name\":\"n2\",\"type\":\"t3.nano\",\"subnet\":\"subnet-0a\"}]}";

struct fixture {
	struct sim_loop *loop;
	struct sim_cloud *cloud;
	struct sim_world *w;
	struct sim_subnet *a, *b, *c;
	struct sim_observer obs;
	struct vw_buf events; /* one letter each */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	vw_auto_json struct vw_json *j = NULL;
	struct vw_err err = { 0 };

	assert_non_null(f);
	assert_int_equal(vw_json_parse(config, strlen(config), NULL, "config", &j, &err), 0);
	assert_int_equal(sim_loop_new(&f->loop), 0);
	if (sim_cloud_new(f->loop, j, &f->cloud, &err) < 0)
		fail_msg("%s", err.msg);
	f->w = sim_cloud_world(f->cloud);
	f->a = sim_subnet_find(f->w, "subnet-0a");
	f->b = sim_subnet_find(f->w, "subnet-0b");
	f->c = sim_subnet_find(f->w, "subnet-0c");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vw_buf_done(&f->events);
	sim_cloud_free(f->cloud);
	sim_loop_free(f->loop);
	free(f);
	return 0;
}

static struct vw_cidr cidr(const char *text)
{
	struct vw_cidr c;

	assert_int_equal(vw_cidr_parse(text, &c), 0);
	return c;
}

static struct sim_eni *create(struct fixture *f, struct sim_subnet *s, unsigned int addrs,
			      unsigned int prefixes)
{
	struct sim_create c = { .subnet = s, .v4 = { .n_addrs = addrs, .n_prefixes = prefixes } };
	struct sim_fail why;
	struct sim_eni *e;

	if (sim_eni_create(f->w, &c, &e, &why) < 0)
		fail_msg("%s: %s", why.code, why.msg);
	return e;
}

/* Everything that must hold at any time: the map of each subnet says exactly what the ENIs' lists say. */
static void assert_sane(struct fixture *f)
{
	const struct sim_eni *e, *o;
	struct sim_subnet *s;
	size_t i, k, used, taken;

	TAILQ_FOREACH(s, &f->w->subnets, link) {
		taken = used = 0;
		for (i = 0; i < s->n_use; i++)
			taken += s->use[i] == SIM_USE_ADDRESS || s->use[i] == SIM_USE_PREFIX;
		TAILQ_FOREACH(e, &f->w->enis, link) {
			for (i = 0; e->subnet == s && i < e->v4.n; i++) {
				const struct vw_cidr *c = &e->v4.v[i];
				size_t at = vw_ip4_u32(&c->ip) - vw_ip4_u32(&s->v4.ip);

				assert_true(vw_cidr_covers(&s->v4, c) && vw_cidr_is_masked(c));
				assert_int_equal(s->use[at],
						 sim_eni_is_prefix(c) ? SIM_USE_PREFIX : SIM_USE_ADDRESS);
				used += sim_eni_is_prefix(c) ? 16 : 1;
			}
		}
		assert_int_equal(used, taken);
	}
	TAILQ_FOREACH(e, &f->w->enis, link) {
		assert_true(e->v4.n >= 1 && !sim_eni_is_prefix(&e->v4.v[0]));
		for (o = TAILQ_NEXT(e, link); o; o = TAILQ_NEXT(o, link)) {
			assert_string_not_equal(e->id, o->id);
			assert_false(vw_mac_eq(&e->mac, &o->mac));
			for (i = 0; i < e->v6.n; i++)
				for (k = 0; k < o->v6.n; k++)
					assert_false(vw_cidr_overlaps(&e->v6.v[i], &o->v6.v[k]));
		}
	}
}

static void test_awss_own_addresses(void **state)
{
	struct fixture *f = *state;
	static const char *const own[] = { "10.0.2.0", "10.0.2.1", "10.0.2.2", "10.0.2.3", "10.0.2.15" };
	struct vw_cidr c;
	size_t i;

	assert_int_equal(sim_subnet_available(f->c), 11);
	for (i = 0; i < VW_ARRAY_SIZE(own); i++) {
		c = cidr(own[i]);
		assert_int_equal(sim_alloc_take(f->w, f->c, &c), -EPERM);
	}
	for (i = 0; i < 11; i++)
		assert_int_equal(sim_alloc_pick(f->w, f->c, AF_INET, false, &c), 0);
	assert_int_equal(sim_alloc_pick(f->w, f->c, AF_INET, false, &c), -ENOSPC);
	c = cidr("10.0.2.9");
	sim_alloc_give(f->c, &c);
	c = cidr("10.0.2.1");
	assert_int_equal(sim_alloc_pick(f->w, f->c, AF_INET, false, &c), 0);
	assert_int_equal(vw_ip4_u32(&c.ip) & 255, 9);
}

static void test_prefixes_need_a_whole_aligned_block(void **state)
{
	struct fixture *f = *state;
	struct vw_cidr c, p = cidr("10.0.1.16/28");

	/* 10.0.1.0/27: the first block holds .0-.3, the second .31 */
	assert_int_equal(sim_subnet_free_prefixes(f->b), 0);
	assert_int_equal(sim_alloc_pick(f->w, f->b, AF_INET, true, &c), -ENOSPC);
	assert_int_equal(sim_alloc_take(f->w, f->b, &p), -EPERM);
	assert_int_equal(sim_subnet_free_prefixes(f->a), 6);
	p = cidr("10.0.0.32/28");
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), 0);
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), -EADDRINUSE);
	c = cidr("10.0.0.40");
	assert_int_equal(sim_alloc_take(f->w, f->a, &c), -EADDRINUSE);
	sim_alloc_give(f->a, &p);
	assert_int_equal(sim_alloc_take(f->w, f->a, &c), 0);
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), -EADDRINUSE);
	p = cidr("10.0.0.40/28");
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), -EINVAL);
	p = cidr("10.0.0.32/27");
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), -EINVAL);
	p = cidr("10.9.0.0/28");
	assert_int_equal(sim_alloc_take(f->w, f->a, &p), -ERANGE);
}

static void test_fragmentation(void **state)
{
	struct fixture *f = *state;
	size_t free_before = sim_subnet_available(f->a), blocks = sim_subnet_free_prefixes(f->a), keep;
	unsigned int held;

	for (keep = 0; keep <= blocks; keep++) {
		for (held = 1; held <= 16; held += 5) {
			sim_subnet_fragment(f->a, keep, held);
			assert_int_equal(sim_subnet_free_prefixes(f->a), keep);
			assert_int_equal(sim_subnet_available(f->a), free_before - (blocks - keep) * held);
		}
	}
	sim_subnet_unfragment(f->a);
	assert_int_equal(sim_subnet_available(f->a), free_before);
	assert_int_equal(sim_subnet_free_prefixes(f->a), blocks);
}

static void test_a_failed_request_changes_nothing(void **state)
{
	struct fixture *f = *state;
	size_t free_before = sim_subnet_available(f->a), n = 0;
	struct sim_create c = { .subnet = f->a, .v4 = { .n_prefixes = 6 }, .v6 = { .n_addrs = 3 } };
	struct sim_cidrs given = { 0 };
	struct sim_want want = { .n_addrs = 2 };
	struct vw_cidr x = cidr("10.0.0.100"), y = cidr("10.0.0.2");
	struct sim_eni *e, *i;
	struct sim_fail why;

	TAILQ_FOREACH(i, &f->w->enis, link)
		n++;
	sim_subnet_fragment(f->a, 5, 1);
	assert_int_equal(sim_eni_create(f->w, &c, &e, &why), -EPROTO);
	assert_string_equal(why.code, "InsufficientCidrBlocks");
	sim_subnet_unfragment(f->a);
	assert_int_equal(sim_subnet_available(f->a), free_before);
	e = create(f, f->a, 0, 0);
	assert_int_equal(sim_cidrs_add(&want.list, &x), 0);
	assert_int_equal(sim_cidrs_add(&want.list, &y), 0);
	assert_int_equal(sim_eni_assign(e, AF_INET, &want, &given, &why), -EPROTO);
	assert_int_equal(e->v4.n, 1);
	assert_int_equal(given.n, 0);
	assert_int_equal(sim_subnet_available(f->a), free_before - 1);
	assert_int_equal(sim_eni_delete(e, &why), 0);
	TAILQ_FOREACH(i, &f->w->enis, link)
		n--;
	assert_int_equal(n, 0);
	assert_sane(f);
	sim_cidrs_done(&want.list);
}

static void note(struct fixture *f, char c)
{
	vw_buf_putc(&f->events, c);
}

static void on_instance(void *arg, const struct sim_instance *i)
{
	note(arg, i->terminated ? 'X' : 'I');
}

static void on_created(void *arg, const struct sim_eni *e)
{
	assert_true(e->v4.n >= 1 && e->seq);
	note(arg, 'C');
}

static void on_attached(void *arg, const struct sim_eni *e)
{
	assert_int_equal(e->att.state, SIM_ATT_ATTACHED);
	note(arg, 'A');
}

static void on_detached(void *arg, const struct sim_eni *e)
{
	assert_non_null(e->att.instance);
	note(arg, 'D');
}

static void on_deleted(void *arg, const struct sim_eni *e)
{
	assert_int_equal(e->att.state, SIM_ATT_NONE);
	note(arg, 'E');
}

static void on_addresses(void *arg, const struct sim_eni *e)
{
	note(arg, 'a');
}

static void on_check(void *arg, const struct sim_eni *e)
{
	note(arg, e->source_dest_check ? '1' : '0');
}

static void observe(struct fixture *f)
{
	f->obs = (struct sim_observer){
		.arg = f,
		.instance_added = on_instance,
		.instance_terminated = on_instance,
		.eni_created = on_created,
		.eni_attached = on_attached,
		.eni_detached = on_detached,
		.eni_deleted = on_deleted,
		.eni_addresses_changed = on_addresses,
		.eni_source_dest_check_changed = on_check,
	};
	sim_world_observe(f->w, &f->obs);
}

static void assert_events(struct fixture *f, const char *want)
{
	assert_string_equal(vw_buf_str(&f->events), want);
	vw_buf_reset(&f->events);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	struct sim_instance *n1 = sim_instance_find(f->w, "n1");
	struct sim_want one = { .n_prefixes = 1 };
	struct sim_cidrs given = { 0 };
	struct sim_fail why;
	struct sim_eni *e;

	observe(f);
	assert_events(f, "IICACA");
	e = create(f, f->a, 1, 0);
	assert_events(f, "C");
	assert_int_equal(sim_eni_attach(e, n1, 0, 1, &why), 0);
	assert_events(f, "A");
	assert_int_equal(sim_eni_assign(e, AF_INET, &one, &given, &why), 0);
	assert_int_equal(sim_eni_unassign(e, AF_INET, &given, &why), 0);
	assert_events(f, "aa");
	assert_int_equal(sim_eni_unassign(e, AF_INET, &given, &why), -EPROTO);
	sim_eni_set_source_dest_check(e, false);
	sim_eni_set_source_dest_check(e, false);
	assert_events(f, "0");
	assert_int_equal(sim_eni_detach(e, false, &why), 0);
	assert_int_equal(sim_eni_delete(e, &why), 0);
	assert_events(f, "DE");
	sim_instance_terminate(f->w, n1);
	assert_events(f, "DEX");
	sim_world_unobserve(f->w, &f->obs);
	create(f, f->a, 0, 0);
	assert_events(f, "");
	assert_sane(f);
	sim_cidrs_done(&given);
}

static void test_attach_delay(void **state)
{
	struct fixture *f = *state;
	struct sim_instance *n1 = sim_instance_find(f->w, "n1");
	struct sim_eni *e = create(f, f->a, 0, 0), *gone = create(f, f->a, 0, 0);
	uint64_t deadline = vw_mono_ms() + 20000;
	struct sim_fail why;

	observe(f);
	vw_buf_reset(&f->events);
	f->w->attach_delay_ms = 1;
	assert_int_equal(sim_eni_attach(e, n1, 0, 1, &why), 0);
	assert_int_equal(e->att.state, SIM_ATT_ATTACHING);
	assert_ptr_equal(sim_eni_at(f->w, n1, 0, 1), e);
	assert_events(f, "");
	while (e->att.state == SIM_ATT_ATTACHING && vw_mono_ms() < deadline)
		assert_int_equal(sim_loop_once(f->loop, 1000), 0);
	assert_events(f, "A");
	/* forced off while attaching: nobody ever saw it attached, and the timer is gone */
	f->w->attach_delay_ms = 3600000;
	assert_int_equal(sim_eni_attach(gone, n1, 0, 2, &why), 0);
	assert_int_equal(sim_eni_detach(gone, false, &why), -EPROTO);
	assert_int_equal(sim_eni_detach(gone, true, &why), 0);
	assert_false(sim_timer_running(&gone->timer));
	assert_int_equal(sim_eni_delete(gone, &why), 0);
	assert_events(f, "E");
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct sim_instance *n2 = sim_instance_find(f->w, "n2"); /* t3.nano: 2 ENIs, 2 addresses */
	struct sim_eni *big = create(f, f->a, 2, 0), *e = create(f, f->a, 0, 0),
		       *more = create(f, f->a, 0, 0);
	struct sim_want two = { .n_prefixes = 2 }, one = { .n_prefixes = 1 };
	struct sim_cidrs given = { 0 };
	struct sim_fail why;

	assert_int_equal(sim_eni_attach(big, n2, 0, 1, &why), -EPROTO);
	assert_string_equal(why.code, "PrivateIpAddressLimitExceeded");
	assert_int_equal(sim_eni_attach(e, n2, 0, 1, &why), 0);
	assert_int_equal(sim_eni_attach(more, n2, 0, 2, &why), -EPROTO);
	assert_string_equal(why.code, "AttachmentLimitExceeded");
	assert_int_equal(sim_eni_assign(e, AF_INET, &two, &given, &why), -EPROTO);
	assert_string_equal(why.code, "PrivateIpAddressLimitExceeded");
	assert_int_equal(sim_eni_assign(e, AF_INET, &one, &given, &why), 0);
	assert_int_equal(sim_eni_assign(e, AF_INET, &one, &given, &why), -EPROTO);
	assert_sane(f);
	sim_cidrs_done(&given);
}

static void test_who_has_an_address(void **state)
{
	struct fixture *f = *state;
	struct sim_instance *n1 = sim_instance_find(f->w, "n1");
	struct sim_eni *e = create(f, f->a, 0, 1);
	struct vw_ip in = vw_ip_add(&e->v4.v[1].ip, 7), no = cidr("10.0.0.120").ip;
	struct sim_fail why;

	assert_ptr_equal(sim_eni_by_addr(f->w, &in), e);
	assert_null(sim_instance_by_addr(f->w, &in));
	assert_null(sim_eni_by_addr(f->w, &no));
	assert_int_equal(sim_eni_attach(e, n1, 0, 1, &why), 0);
	assert_ptr_equal(sim_instance_by_addr(f->w, &in), n1);
	assert_ptr_equal(sim_eni_by_mac(f->w, &e->mac), e);
}

/* A small generator, the same numbers in every run. */
static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

static struct sim_eni *nth(struct fixture *f, uint32_t n)
{
	struct sim_eni *e;
	uint32_t count = 0;

	TAILQ_FOREACH(e, &f->w->enis, link)
		count++;
	n %= count;
	TAILQ_FOREACH(e, &f->w->enis, link)
		if (n-- == 0)
			break;
	return e;
}

static void step(struct fixture *f, uint32_t *seed)
{
	struct sim_instance *i = sim_instance_find(f->w, next(seed) & 1 ? "n1" : "n2");
	struct sim_eni *e = nth(f, next(seed));
	struct sim_want want = { 0 };
	struct sim_create c = { .subnet = next(seed) % 3 ? f->a : f->b };
	struct sim_cidrs list = { 0 }, *l;
	int family = next(seed) % 3 ? AF_INET : AF_INET6;
	struct sim_fail why;

	switch (next(seed) % 7) {
	case 0:
		c.v4.n_addrs = next(seed) % 3;
		c.v6.n_addrs = c.subnet == f->a ? next(seed) % 3 : 0;
		(void)sim_eni_create(f->w, &c, &e, &why);
		break;
	case 1:
		(void)sim_eni_attach(e, i, 0, next(seed) % 4, &why);
		break;
	case 2:
		(void)sim_eni_detach(e, next(seed) & 1, &why);
		break;
	case 3:
		(void)sim_eni_delete(e, &why);
		break;
	case 4:
		want.n_prefixes = next(seed) % 3;
		(void)sim_eni_assign(e, family, &want, &list, &why);
		break;
	case 5:
		want.n_addrs = next(seed) % 4;
		(void)sim_eni_assign(e, family, &want, &list, &why);
		break;
	default:
		l = family == AF_INET ? &e->v4 : &e->v6;
		if (l->n && sim_cidrs_add(&list, &l->v[next(seed) % l->n]) == 0)
			(void)sim_eni_unassign(e, family, &list, &why);
	}
	sim_cidrs_done(&list);
}

static void test_random_operations(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 20261123;
	int i;

	for (i = 0; i < 5000; i++) {
		f->w->scattered = i & 64;
		step(f, &seed);
		assert_sane(f);
	}
}

struct timers {
	struct sim_loop *loop;
	struct sim_timer t[4];
	char order[8];
	size_t n;
};

static void fire(struct timers *t, char c)
{
	t->order[t->n++] = c;
}

static void on_b(void *arg)
{
	fire(arg, 'b');
}

static void on_a(void *arg)
{
	struct timers *t = arg;

	fire(t, 'a');
	sim_timer_clear(&t->t[2]);                    /* due in this very round */
	sim_timer_set(t->loop, &t->t[3], 0, on_b, t); /* and a new one */
}

static void test_timers(void **state)
{
	struct timers t = { 0 };
	uint64_t deadline = vw_mono_ms() + 20000;

	assert_int_equal(sim_loop_new(&t.loop), 0);
	sim_timer_set(t.loop, &t.t[0], 1, on_a, &t);
	sim_timer_set(t.loop, &t.t[1], 1, on_b, &t);
	sim_timer_set(t.loop, &t.t[2], 1, on_b, &t);
	while (t.n < 3 && vw_mono_ms() < deadline)
		assert_int_equal(sim_loop_once(t.loop, 1000), 0);
	assert_string_equal(t.order, "abb");
	assert_false(sim_timer_running(&t.t[2]));
	sim_loop_free(t.loop);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_awss_own_addresses),
		T(test_prefixes_need_a_whole_aligned_block),
		T(test_fragmentation),
		T(test_a_failed_request_changes_nothing),
		T(test_events),
		T(test_attach_delay),
		T(test_limits),
		T(test_who_has_an_address),
		T(test_random_operations),
		cmocka_unit_test(test_timers),
	};

	return cmocka_run_group_tests_name("sim_state", tests, NULL, NULL);
}
