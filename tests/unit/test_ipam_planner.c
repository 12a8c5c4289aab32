/*
 * The planner: order of growth, limits, what is under way, exhausted subnets, causes, shrinking; and a node
 * lived through at random against a small EC2 with scarce subnets, checking after every step what must never
 * happen.
 */
#include "ipam/planner.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include "tests/unit/cm.h"

#include <stdio.h>
#include <string.h>

/* ---- a node to plan for ---- */

struct node {
	struct ipam_pool *p;
	struct ipam_plan_in in;
	struct ipam_subnet subnets[2];
	struct ipam_inflight fly[8];
	struct ipam_plan plan;
	unsigned int pods;
};

static void node_init(struct node *n, enum ipam_mode mode)
{
	memset(n, 0, sizeof(*n));
	n->p = ipam_pool_new();
	assert_non_null(n->p);
	n->in.targets = (struct ipam_targets){ .mode = mode, .warm_eni = 1, .warm_prefix = 1 };
	n->in.limits = (struct ipam_limits){ .max_enis = 3, .slots_per_eni = 9 };
	n->in.subnets = n->subnets;
	n->in.n_subnets = 2;
	n->in.inflight = n->fly;
	memcpy(n->subnets[0].id, "subnet-a", 9);
	memcpy(n->subnets[1].id, "subnet-b", 9);
	n->subnets[0].free4 = n->subnets[1].free4 = IPAM_FREE4_UNKNOWN;
	n->subnets[0].create = true;
	ipam_pool_advance(n->p, 1000000);
}

static void add_eni(struct node *n, unsigned int number, const char *subnet)
{
	struct ipam_eni e = { .number = number, .primary = number == 0, .usable = true, .state = IPAM_ENI_READY,
			      .max_slots = 9 };

	assert_true(vw_fmt(e.id, sizeof(e.id), "eni-%u", number) > 0);
	assert_true(vw_fmt(e.subnet_id, sizeof(e.subnet_id), "%s", subnet) > 0);
	assert_int_equal(ipam_pool_eni_put(n->p, &e), 0);
}

/* @n_slots more slots for ENI @number, from a range of its own */
static void add_slots(struct node *n, unsigned int number, unsigned int from, unsigned int n_slots, unsigned int len)
{
	char id[16];

	assert_true(vw_fmt(id, sizeof(id), "eni-%u", number) > 0);
	for (unsigned int i = from; i < from + n_slots; i++) {
		struct vw_ip ip = vw_ip4(0x0a000000 + (number << 16) + (len == 32 ? 0x8000 + i : i * 16));
		struct vw_cidr c = vw_cidr_of(&ip, len);

		assert_int_equal(ipam_pool_slot_add(n->p, id, &c), 0);
	}
}

static void add_pods(struct node *n, unsigned int pods)
{
	struct ipam_addr a;
	char key[16];

	for (unsigned int i = 0; i < pods; i++) {
		assert_true(vw_fmt(key, sizeof(key), "pod-%u", n->pods++) > 0);
		assert_int_equal(ipam_pool_assign(n->p, key, 0, &a), 0);
	}
}

static void plan(struct node *n, size_t want_actions)
{
	ipam_plan(n->p, &n->in, &n->plan);
	assert_int_equal(n->plan.n, want_actions);
}

static void is_action(const struct node *n, size_t i, enum ipam_act act, const char *eni, const char *subnet,
		      unsigned int prefixes, unsigned int addrs)
{
	const struct ipam_action *a = &n->plan.v[i];

	assert_string_equal(ipam_act_str(a->act), ipam_act_str(act));
	assert_string_equal(a->eni_id, eni);
	if (subnet)
		assert_string_equal(a->subnet_id, subnet);
	assert_int_equal(a->n_prefixes, prefixes);
	assert_int_equal(a->n_addrs, addrs);
}

static void fly(struct node *n, enum ipam_act act, const char *eni, unsigned int prefixes, unsigned int addrs)
{
	struct ipam_inflight *f = &n->fly[n->in.n_inflight++];

	*f = (struct ipam_inflight){ .act = act, .n_prefixes = prefixes, .n_addrs = addrs };
	assert_true(vw_fmt(f->eni_id, sizeof(f->eni_id), "%s", eni) >= 0);
}

static void why_is(struct node *n, enum ipam_cause cause, const char *text)
{
	struct ipam_why why;
	char buf[256];

	ipam_plan_why(n->p, &n->in, &why);
	assert_string_equal(ipam_cause_str(why.cause), ipam_cause_str(cause));
	if (text)
		assert_string_equal(ipam_why_text(&why, ipam_pool_now(n->p), buf, sizeof(buf)), text);
}

#define NODE(mode) \
	struct node n __attribute__((cleanup(node_done))); \
	node_init(&n, mode)

static void node_done(struct node *n)
{
	ipam_pool_free(n->p);
}

/* ---- growth ---- */

static void test_first_slots_then_enis(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	add_eni(&n, 0, "subnet-a");
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 9);
	add_slots(&n, 0, 0, 9, 32);
	plan(&n, 0);
	add_pods(&n, 1);
	plan(&n, 1);    /* 8 < 9: aws-node asks for a whole ENI too */
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-a", 0, 9);
	fly(&n, IPAM_ACT_CREATE_ENI, "", 0, 9);
	plan(&n, 0);
	/* a burst: 30 wait, 8 + 9 are there or coming, one more ENI may be had */
	n.in.waiting = 30;
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-a", 0, 9);
	assert_int_equal(n.plan.unmet, 30 + 9 - 8 - 9 - 9);
	assert_int_equal(n.plan.why.cause, IPAM_CAUSE_ENI_LIMIT);
}

static void test_prefixes_for_a_burst(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	add_eni(&n, 0, "subnet-a");
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_PREFIXES, "eni-0", "subnet-a", 1, 0);
	n.in.waiting = 200;
	plan(&n, 2);    /* 216 addresses: 14 prefixes, 9 fit on the ENI */
	is_action(&n, 0, IPAM_ACT_ASSIGN_PREFIXES, "eni-0", "subnet-a", 9, 0);
	is_action(&n, 1, IPAM_ACT_CREATE_ENI, "", "subnet-a", 5, 0);
	assert_int_equal(n.plan.unmet, 0);
	n.in.limits.max_pods = 110;
	n.in.waiting = 20;
	add_slots(&n, 0, 0, 6, 28);
	add_pods(&n, 96);
	plan(&n, 1);    /* 110 pods: 14 more addresses, one prefix; 6 of those who wait get none */
	is_action(&n, 0, IPAM_ACT_ASSIGN_PREFIXES, "eni-0", "subnet-a", 1, 0);
	assert_int_equal(n.plan.unmet, 6);
	assert_int_equal(n.plan.why.cause, IPAM_CAUSE_MAX_PODS);
}

static void test_warm_ip_counts_addresses(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.in.targets.warm_ip = 3;
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 7, 32);
	add_pods(&n, 7);
	plan(&n, 2);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", NULL, 0, 2);
	is_action(&n, 1, IPAM_ACT_CREATE_ENI, "", NULL, 0, 1);
}

static void test_busy_enis_are_waited_for(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	add_eni(&n, 0, "subnet-a");
	fly(&n, IPAM_ACT_ASSIGN_PREFIXES, "eni-0", 1, 0);
	n.in.waiting = 60;
	plan(&n, 0);    /* eight more fit on eni-0 when its call is over */
	assert_int_equal(n.plan.unmet, 0);
	why_is(&n, IPAM_CAUSE_UNDER_WAY, "more addresses are on their way");
	n.in.waiting = 150;
	plan(&n, 1);    /* 166 - 16 - 8 * 16 = 22 */
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", NULL, 2, 0);
	fly(&n, IPAM_ACT_CREATE_ENI, "", 2, 0);
	plan(&n, 0);
	n.in.waiting = 250;
	plan(&n, 0);    /* the coming ENI has room for seven more */
	n.in.n_inflight = 0;
	assert_int_equal(ipam_pool_eni_state(n.p, "eni-0", IPAM_ENI_ATTACHING), 0);
	n.in.waiting = 60;
	plan(&n, 0);
}

static void test_attaching_eni_counts_once(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 9);
	add_eni(&n, 1, "subnet-a");
	assert_int_equal(ipam_pool_eni_state(n.p, "eni-1", IPAM_ENI_ATTACHING), 0);
	add_slots(&n, 1, 0, 9, 32);
	fly(&n, IPAM_ACT_CREATE_ENI, "eni-1", 0, 0);
	plan(&n, 0);
	n.in.waiting = 12;
	plan(&n, 1);    /* the third and last one */
	n.in.limits.max_enis = 2;
	plan(&n, 0);
	assert_int_equal(n.plan.why.cause, IPAM_CAUSE_ENI_LIMIT);
}

static void test_eni_limits(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 9);
	n.in.limits.max_eni = 1;
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_ENI_LIMIT, "all slots are in use and no ENI can be added: 1 of 1 ENIs (MAX_ENI)");
	n.in.limits.max_eni = 0;
	n.in.limits.other_enis = 2;
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_ENI_LIMIT, "all slots are in use and no ENI can be added: 3 of 3 ENIs");
	n.in.limits.other_enis = 0;
	n.in.limits.max_enis = 0;
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_NO_LIMITS, "not known yet: the instance type's limits");
	n.in.limits.max_enis = 3;
	n.subnets[0].create = false;
	why_is(&n, IPAM_CAUSE_NO_LIMITS, "not known yet: the subnet for new ENIs");
}

static void test_enis_not_for_pods(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	struct ipam_eni e = { .id = "eni-0", .primary = true, .state = IPAM_ENI_READY, .max_slots = 9 };

	assert_int_equal(ipam_pool_eni_put(n.p, &e), 0);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-a", 0, 9);
}

/* ---- what fails ---- */

static void test_no_prefixes_left(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	add_eni(&n, 0, "subnet-a");
	n.subnets[0].no_prefix_until_ms = 1060000;
	n.subnets[1].create = true;
	plan(&n, 1);    /* another subnet has some */
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-b", 1, 0);
	assert_true(n.plan.again_ms == 1060000);
	n.subnets[1].no_prefix_until_ms = 1050000;
	plan(&n, 1);    /* none has: a few single addresses */
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 4);
	assert_int_equal(n.plan.unmet, 0);
	assert_true(n.plan.again_ms == 1050000);
	n.in.waiting = 3;
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 7);
	n.in.waiting = 0;
	add_slots(&n, 0, 0, 7, 32);
	plan(&n, 0);
	/* and back, when prefixes return */
	ipam_pool_advance(n.p, 1060000);
	n.in.limits.max_enis = 1;
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_PREFIXES, "eni-0", "subnet-a", 1, 0);
}

static void test_no_addresses_left(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	add_eni(&n, 0, "subnet-a");
	n.subnets[0].no_prefix_until_ms = 1060000;
	n.subnets[0].no_addr_until_ms = 1012000;
	plan(&n, 0);
	assert_true(n.plan.unmet > 0);
	assert_true(n.plan.again_ms == 1012000);
	why_is(&n, IPAM_CAUSE_SUBNET_EXHAUSTED, "no free address in subnet subnet-a (next try in 12 s)");
	n.subnets[1].create = true;
	n.subnets[1].no_addr_until_ms = 1030000;
	why_is(&n, IPAM_CAUSE_SUBNET_EXHAUSTED, "no free address in subnet subnet-a, subnet-b (next try in 12 s)");
	ipam_pool_advance(n.p, 1012000);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 4);
	why_is(&n, IPAM_CAUSE_NONE, NULL);
}

static void test_stale_figures_only_order_subnets(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.subnets[1].create = true;
	n.subnets[0].free4 = 1;
	n.subnets[1].free4 = 5;
	plan(&n, 3);    /* five free, one of them for the ENI itself; the rest is tried further on */
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-b", 0, 4);
	n.subnets[1].create = false;
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-a", 0, 9);
}

static void test_blocks(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	add_eni(&n, 0, "subnet-a");
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS] = (struct ipam_why){ IPAM_CAUSE_THROTTLED, 1003500, "Rate exceeded" };
	n.in.blocks[IPAM_ACT_CREATE_ENI] = (struct ipam_why){ IPAM_CAUSE_DENIED, 1060000, "ec2:CreateNetworkInterface" };
	plan(&n, 0);
	assert_true(n.plan.again_ms == 1003500);
	why_is(&n, IPAM_CAUSE_THROTTLED, "EC2 throttles: Rate exceeded (next try in 4 s)");
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS].cause = IPAM_CAUSE_NONE;
	plan(&n, 1);
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 9);
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_DENIED, "a permission is missing: ec2:CreateNetworkInterface (next try in 60 s)");
	ipam_pool_advance(n.p, 1060000);
	plan(&n, 1);
	n.in.disabled = true;
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_DISABLED, "provisioning of ENIs and addresses is switched off");
}

static void test_blocked_eni(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	struct ipam_eni e = { .id = "eni-0", .subnet_id = "subnet-a", .primary = true, .usable = true,
			      .state = IPAM_ENI_READY, .max_slots = 9, .blocked_until_ms = 1005000 };

	assert_int_equal(ipam_pool_eni_put(n.p, &e), 0);
	n.in.limits.max_enis = 1;
	plan(&n, 0);
	assert_int_equal(n.plan.why.cause, IPAM_CAUSE_EC2);
	assert_true(n.plan.again_ms == 1005000);
}

static void test_an_available_address_needs_no_cause(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.in.limits.max_enis = 1;
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 8);
	plan(&n, 0);
	assert_int_equal(n.plan.unmet, 8);      /* the target is out of reach */
	why_is(&n, IPAM_CAUSE_NONE, NULL);      /* which stops nobody */
	add_pods(&n, 1);
	why_is(&n, IPAM_CAUSE_ENI_LIMIT, NULL);
	/* a warm target out of reach, while the one who waits is served by what comes */
	n.in.limits.max_enis = 2;
	fly(&n, IPAM_ACT_CREATE_ENI, "", 0, 5);
	n.in.limits.slots_per_eni = 5;
	n.in.waiting = 1;
	why_is(&n, IPAM_CAUSE_UNDER_WAY, NULL);
}

/* ---- shrinking ---- */

static void test_shrink_by_address(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.in.shrink = true;
	n.in.targets.warm_ip = 2;
	n.in.limits.shrink_interval_ms = 30000;
	add_eni(&n, 0, "subnet-a");
	add_eni(&n, 1, "subnet-a");
	add_slots(&n, 0, 0, 3, 32);
	add_pods(&n, 3);
	add_slots(&n, 1, 0, 6, 32);
	add_pods(&n, 1);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_UNASSIGN, "eni-1", NULL, 0, 0);
	assert_int_equal(n.plan.v[0].n_cidrs, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ipam_pool_slot_retire(n.p, &n.plan.v[0].cidrs[i], true), 0);
	fly(&n, IPAM_ACT_UNASSIGN, "eni-1", 0, 0);
	plan(&n, 0);
	n.in.n_inflight = 0;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ipam_pool_slot_retire(n.p, &n.plan.v[0].cidrs[i], false), 0);
	n.in.last_shrink_ms = 990000;
	plan(&n, 0);
	assert_true(n.plan.again_ms == 1020000);
	n.in.last_shrink_ms = 0;
	n.in.waiting = 1;
	plan(&n, 0);
	n.in.waiting = 0;
	n.in.shrink = false;
	plan(&n, 0);
}

static void test_whole_eni_goes(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.in.shrink = true;
	n.in.limits.eni_min_age_ms = 60000;
	add_eni(&n, 0, "subnet-a");
	add_eni(&n, 1, "subnet-a");
	add_eni(&n, 2, "subnet-a");
	add_slots(&n, 0, 0, 9, 32);
	add_slots(&n, 1, 0, 9, 32);
	add_slots(&n, 2, 0, 8, 32);
	add_pods(&n, 8);
	plan(&n, 1);    /* 18 available, one ENI's worth beyond the target */
	is_action(&n, 0, IPAM_ACT_REMOVE_ENI, "eni-2", NULL, 0, 0);
	add_pods(&n, 1);
	plan(&n, 0);
	/* cooling addresses and young ENIs stay */
	assert_int_equal(ipam_pool_release(n.p, "pod-8", 1000000, 30000, NULL), 0);
	assert_int_equal(ipam_pool_release(n.p, "pod-0", 1000000, 0, NULL), 0);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_REMOVE_ENI, "eni-2", NULL, 0, 0);
	n.in.limits.eni_min_age_ms = 2000000;
	plan(&n, 0);
	assert_true(n.plan.again_ms == 1030000);        /* pod-8's address has cooled down */
}

static void test_free_prefixes_go(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	n.in.shrink = true;
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 4, 28);
	add_pods(&n, 1);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_UNASSIGN, "eni-0", NULL, 0, 0);
	assert_int_equal(n.plan.v[0].n_cidrs, 2);
	assert_int_equal(n.plan.v[0].cidrs[0].len, 28);
	/* at a target of 0 aws-node takes the last free prefix, then asks for one, then takes it */
	n.in.targets.warm_prefix = 0;
	add_pods(&n, 15);
	plan(&n, 1);
	assert_int_equal(n.plan.v[0].n_cidrs, 2);
}

static void test_other_modes_slots_go(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	n.in.shrink = true;
	add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 5, 32);
	add_slots(&n, 0, 0, 1, 28);
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_UNASSIGN, "eni-0", NULL, 0, 0);
	assert_int_equal(n.plan.v[0].n_cidrs, 5);
	assert_int_equal(n.plan.v[0].cidrs[0].len, 32);
	n.subnets[0].no_prefix_until_ms = 1060000;
	plan(&n, 0);
	assert_true(n.plan.again_ms == 1060000);
	n.in.targets.mode = IPAM_MODE_ADDRS;
	add_slots(&n, 0, 5, 4, 32);
	plan(&n, 1);
	assert_int_equal(n.plan.v[0].n_cidrs, 1);
	assert_int_equal(n.plan.v[0].cidrs[0].len, 28);
}

/* ---- a life at random ---- */

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
	add_eni(&l->n, 0, "subnet-a");
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int want = round % 2 ? rnd(l, 10) : 20 + rnd(l, 40);

		for (int i = 0; i < 1500; i++)
			life_step(l, want);
	}
	come_to_rest(l);
	assert_true(l->calls > 3);
	ipam_pool_free(l->n.p);
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
		cmocka_unit_test(test_first_slots_then_enis),
		cmocka_unit_test(test_prefixes_for_a_burst),
		cmocka_unit_test(test_warm_ip_counts_addresses),
		cmocka_unit_test(test_busy_enis_are_waited_for),
		cmocka_unit_test(test_attaching_eni_counts_once),
		cmocka_unit_test(test_eni_limits),
		cmocka_unit_test(test_enis_not_for_pods),
		cmocka_unit_test(test_no_prefixes_left),
		cmocka_unit_test(test_no_addresses_left),
		cmocka_unit_test(test_stale_figures_only_order_subnets),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_blocked_eni),
		cmocka_unit_test(test_an_available_address_needs_no_cause),
		cmocka_unit_test(test_shrink_by_address),
		cmocka_unit_test(test_whole_eni_goes),
		cmocka_unit_test(test_free_prefixes_go),
		cmocka_unit_test(test_other_modes_slots_go),
		cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests_name("ipam_planner", tests, NULL, NULL);
}
