/*
 * A node's life at random against a small EC2 whose subnets others have cut into pieces: after every step what must never
 * happen is checked, at the end that the node comes to rest and asks for nothing in a steady hour.
 */
#include "ipam/planner.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "tests/unit/ipam_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFE_PODS 120
#define LIFE_SUBNETS 2

struct life {
	struct node n;
	uint64_t seed, now;
	uint8_t blocks[LIFE_SUBNETS][16];       /* per /28 of a subnet: 0 free, 1 a prefix, 2 cut up */
	bool singles[LIFE_SUBNETS][256];
	struct {
		struct ipam_action a;
		unsigned int number;
	} jobs[4];
	unsigned int n_enis;
	bool has[LIFE_PODS];
	unsigned int waits, calls;
};

static unsigned int rnd(struct life *l, unsigned int n)
{
	l->seed = l->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned int)(l->seed >> 33) % n;
}

/* Others use these subnets too: what they leave is in pieces, and few of them hold a /28. */
static void others_move_in(struct life *l)
{
	for (unsigned int s = 0; s < LIFE_SUBNETS; s++) {
		for (unsigned int b = 0; b < 16; b++) {
			if (rnd(l, 4) == 0)
				continue;
			l->blocks[s][b] = 2;
			for (unsigned int i = 0; i < 16; i++)
				l->singles[s][b * 16 + i] = i == 0 || rnd(l, 2);
		}
	}
}

static struct vw_cidr take_prefix(struct life *l, unsigned int s)
{
	for (unsigned int b = 0; b < 16; b++) {
		if (!l->blocks[s][b]) {
			struct vw_ip ip = vw_ip4(0x0a000000 + s * 256 + b * 16);

			l->blocks[s][b] = 1;
			return vw_cidr_of(&ip, 28);
		}
	}
	return (struct vw_cidr){ 0 };
}

/* EC2 scatters single addresses, so that they cut up blocks */
static struct vw_cidr take_single(struct life *l, unsigned int s)
{
	unsigned int start = rnd(l, 256);

	for (unsigned int k = 0; k < 256; k++) {
		unsigned int i = (start + k) % 256;

		if (l->blocks[s][i / 16] != 1 && !l->singles[s][i]) {
			struct vw_ip ip = vw_ip4(0x0a000000 + s * 256 + i);

			l->singles[s][i] = true;
			l->blocks[s][i / 16] = 2;
			return vw_cidr_host(&ip);
		}
	}
	return (struct vw_cidr){ 0 };
}

static void put_back(struct life *l, const struct vw_cidr *c)
{
	unsigned int at = vw_ip4_u32(&c->ip) - 0x0a000000, s = at / 256, i = at % 256;

	l->singles[s][i] = false;
	for (unsigned int k = i / 16 * 16; c->len == 32 && k < i / 16 * 16 + 16; k++)
		if (l->singles[s][k])
			return;
	l->blocks[s][i / 16] = 0;
}

static int count_slot(const struct ipam_slot *s, void *arg)
{
	struct life *l = arg;

	put_back(l, &s->cidr);
	return 0;
}

/* Carry out a job's growth; EC2 gives all or nothing. */
static void grow_job(struct life *l, const struct ipam_action *a, const char *eni_id)
{
	unsigned int s = !strcmp(a->subnet_id, "subnet-b"), want = a->n_prefixes + a->n_addrs, got = 0;
	struct vw_cidr c[64];

	assert_true(want <= 64);
	while (got < want) {
		c[got] = a->n_prefixes ? take_prefix(l, s) : take_single(l, s);
		if (!c[got].ip.family)
			break;
		got++;
	}
	if (got < want) {
		while (got--)
			put_back(l, &c[got]);
		if (a->n_prefixes)
			l->n.subnets[s].no_prefix_until_ms = l->now + 5000;
		else
			l->n.subnets[s].no_addr_until_ms = l->now + 3000;
		return;
	}
	if (!eni_id[0]) {
		int number = ipam_pool_free_number(l->n.p);
		struct ipam_eni e = { .number = (unsigned int)number, .usable = true, .state = IPAM_ENI_READY,
				      .max_slots = 9, .created_ms = l->now };

		assert_true(vw_fmt(e.id, sizeof(e.id), "eni-x%u", l->n_enis++) > 0);
		memcpy(e.subnet_id, a->subnet_id, sizeof(e.subnet_id));
		assert_int_equal(ipam_pool_eni_put(l->n.p, &e), 0);
		for (unsigned int i = 0; i < got; i++)
			assert_int_equal(ipam_pool_slot_add(l->n.p, e.id, &c[i]), 0);
		return;
	}
	for (unsigned int i = 0; i < got; i++)
		assert_int_equal(ipam_pool_slot_add(l->n.p, eni_id, &c[i]), 0);
}

static void finish_job(struct life *l, unsigned int i)
{
	const struct ipam_action a = l->jobs[i].a;
	bool fails = !rnd(l, 8);

	l->jobs[i] = l->jobs[--l->n.in.n_inflight];
	l->n.fly[i] = l->n.fly[l->n.in.n_inflight];
	if (fails && a.act != IPAM_ACT_UNASSIGN && a.act != IPAM_ACT_REMOVE_ENI) {
		l->n.in.blocks[a.act] = (struct ipam_why){ IPAM_CAUSE_THROTTLED, l->now + 1 + rnd(l, 2000), "x" };
		return;
	}
	if (a.act == IPAM_ACT_UNASSIGN) {
		for (size_t k = 0; k < a.n_cidrs; k++) {
			if (fails) {
				assert_int_equal(ipam_pool_slot_retire(l->n.p, &a.cidrs[k], false), 0);
				continue;
			}
			assert_int_equal(ipam_pool_slot_del(l->n.p, &a.cidrs[k]), 0);
			put_back(l, &a.cidrs[k]);
		}
	} else if (a.act == IPAM_ACT_REMOVE_ENI) {
		if (fails) {
			assert_int_equal(ipam_pool_eni_state(l->n.p, a.eni_id, IPAM_ENI_READY), 0);
			return;
		}
		(void)ipam_pool_slot_each(l->n.p, a.eni_id, count_slot, l);
		assert_int_equal(ipam_pool_eni_del(l->n.p, a.eni_id), 0);
	} else {
		grow_job(l, &a, a.eni_id);
	}
}

static void start_job(struct life *l, const struct ipam_action *a)
{
	const struct ipam_eni *e = a->eni_id[0] ? ipam_pool_eni(l->n.p, a->eni_id) : NULL;
	struct ipam_inflight *f;

	if (l->n.in.n_inflight == VW_ARRAY_SIZE(l->jobs))
		return;
	if (a->act == IPAM_ACT_UNASSIGN)
		for (size_t k = 0; k < a->n_cidrs; k++)
			assert_int_equal(ipam_pool_slot_retire(l->n.p, &a->cidrs[k], true), 0);     /* nothing in use */
	if (a->act == IPAM_ACT_REMOVE_ENI) {
		assert_false(e->primary);
		assert_true(l->now - e->created_ms >= l->n.in.limits.eni_min_age_ms);
		assert_int_equal(ipam_pool_eni_state(l->n.p, a->eni_id, IPAM_ENI_REMOVING), 0);
	}
	if (a->act == IPAM_ACT_UNASSIGN || a->act == IPAM_ACT_REMOVE_ENI) {
		/* after giving back, nothing may be short at once */
		struct ipam_plan_in in = l->n.in;

		in.n_inflight = 0;
		in.shrink = false;
		ipam_plan(l->n.p, &in, &l->n.plan);
		assert_int_equal(l->n.plan.n, 0);
		l->n.in.last_shrink_ms = l->now;
	}
	f = &l->n.fly[l->n.in.n_inflight];
	*f = (struct ipam_inflight){ .act = a->act, .n_prefixes = a->n_prefixes, .n_addrs = a->n_addrs };
	memcpy(f->eni_id, a->eni_id, sizeof(f->eni_id));
	memcpy(f->subnet_id, a->subnet_id, sizeof(f->subnet_id));
	l->jobs[l->n.in.n_inflight++].a = *a;
	l->calls++;
}

/* What no plan may ever say. */
static void check_plan(struct life *l)
{
	const struct ipam_plan *p = &l->n.plan;
	struct ipam_stats st;
	unsigned int enis = 0;

	ipam_pool_stats(l->n.p, &st);
	for (size_t i = 0; i < l->n.in.n_inflight; i++)
		enis += l->n.fly[i].act == IPAM_ACT_CREATE_ENI;
	for (size_t i = 0; i < p->n; i++) {
		const struct ipam_action *a = &p->v[i];
		const struct ipam_eni *e = a->eni_id[0] ? ipam_pool_eni(l->n.p, a->eni_id) : NULL;

		if (a->act == IPAM_ACT_CREATE_ENI) {
			enis++;
			assert_true(a->n_prefixes + a->n_addrs <= 9);
			assert_true(a->n_prefixes + a->n_addrs > 0);
			continue;
		}
		assert_non_null(e);
		for (size_t k = 0; k < l->n.in.n_inflight; k++)
			assert_string_not_equal(l->n.fly[k].eni_id, a->eni_id);
		assert_true(e->n.prefixes + e->n.singles + a->n_prefixes + a->n_addrs <= e->max_slots);
	}
	if (p->n && p->v[0].act == IPAM_ACT_CREATE_ENI)
		assert_true(st.enis + enis <= l->n.in.limits.max_enis);
	assert_true(p->unmet == 0 || p->why.cause != IPAM_CAUSE_NONE);
	/* someone waits: then something is done, comes, cools down to a known end, or is refused for a reason */
	if (l->n.in.waiting)
		assert_true(p->n || l->n.in.n_inflight || p->unmet || st.available);
}

static void replan(struct life *l)
{
	struct ipam_plan plan;
	struct vw_err err;

	ipam_pool_advance(l->n.p, l->now);
	ipam_plan(l->n.p, &l->n.in, &l->n.plan);
	check_plan(l);
	plan = l->n.plan;
	for (size_t i = 0; i < plan.n; i++)
		start_job(l, &plan.v[i]);
	if (ipam_pool_check(l->n.p, &err) < 0)
		fail_msg("pool: %s", err.msg);
}

static void life_step(struct life *l, unsigned int want_pods)
{
	unsigned int running = 0, pod = rnd(l, LIFE_PODS);
	struct ipam_addr a;
	char key[16];

	for (unsigned int i = 0; i < LIFE_PODS; i++)
		running += l->has[i];
	assert_true(vw_fmt(key, sizeof(key), "pod-%u", pod) > 0);
	l->now += rnd(l, 400);
	l->n.in.waiting = 0;
	if (!l->has[pod] && running < want_pods) {
		int r = ipam_pool_assign(l->n.p, key, l->now, &a);

		l->has[pod] = r == 0;
		l->n.in.waiting = r == -EAGAIN;
		l->waits += r == -EAGAIN;
	} else if (l->has[pod] && running > want_pods) {
		assert_int_equal(ipam_pool_release(l->n.p, key, l->now, 3000, NULL), 0);
		l->has[pod] = false;
	}
	if (l->n.in.n_inflight && !rnd(l, 3))
		finish_job(l, rnd(l, (unsigned int)l->n.in.n_inflight));
	replan(l);
}

/* With nothing happening any more the node comes to rest, and stays there: no call in a steady hour. */
static void come_to_rest(struct life *l)
{
	unsigned int calls;

	l->n.in.waiting = 0;
	for (int i = 0; i < 600; i++) {
		l->now += 1000;
		while (l->n.in.n_inflight)
			finish_job(l, 0);
		replan(l);
	}
	while (l->n.in.n_inflight)
		finish_job(l, 0);
	memset(l->n.in.blocks, 0, sizeof(l->n.in.blocks));
	replan(l);
	calls = l->calls;
	for (int i = 0; i < 360 && !l->n.plan.unmet; i++) {
		l->now += 10000;
		replan(l);
	}
	assert_int_equal(l->calls, calls);
}

static void live(enum ipam_mode mode, struct ipam_targets targets, uint64_t seed)
{
	struct life *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	node_init(&l->n, mode);
	l->seed = seed;
	l->now = 2000000;
	targets.mode = mode;
	l->n.in.targets = targets;
	l->n.in.shrink = true;
	l->n.in.limits = (struct ipam_limits){ .max_enis = 8, .slots_per_eni = 9, .max_pods = LIFE_PODS,
					       .eni_min_age_ms = 60000, .shrink_interval_ms = 2000 };
	l->n.subnets[1].create = true;
	others_move_in(l);
	node_add_eni(&l->n, 0, "subnet-a");
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int want = round % 2 ? rnd(l, 10) : 20 + rnd(l, 40);

		for (int i = 0; i < 1500; i++)
			life_step(l, want);
	}
	come_to_rest(l);
	assert_true(l->calls > 3);
	node_done(&l->n);
	free(l);
}

static void test_lives(void **state)
{
	static const struct ipam_targets targets[] = {
		{ .warm_eni = 1, .warm_prefix = 1 },
		{ .warm_eni = 0, .warm_prefix = 0 },
		{ .warm_ip = 5 },
		{ .warm_ip = 3, .minimum_ip = 20 },
		{ .minimum_ip = 12 },
		{ .warm_eni = 2, .warm_prefix = 3 },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(targets); i++) {
		for (uint64_t seed = 1; seed <= 2; seed++) {
			print_message("life %zu, seed %llu\n", i, (unsigned long long)(seed * 7919 + i));
			live(IPAM_MODE_ADDRS, targets[i], seed * 7919 + i);
			live(IPAM_MODE_PREFIXES, targets[i], seed * 7919 + i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests_name("ipam_life", tests, NULL, NULL);
}
