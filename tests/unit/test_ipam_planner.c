/* The planner: order of growth, limits, what is under way, exhausted subnets, causes, shrinking. */
#include "ipam/planner.h"

#include "ipam/pause.h"

#include "lib/base/parse.h"
#include "tests/unit/ipam_node.h"

#include <string.h>

/* @n_slots more slots for ENI @number, from a range of its own */
static void add_slots(struct node *n, unsigned int number, unsigned int from, unsigned int n_slots,
		      unsigned int len)
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

/* ---- growth ---- */

static void test_first_slots_then_enis(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 7, 32);
	add_pods(&n, 7);
	plan(&n, 2);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", NULL, 0, 2);
	is_action(&n, 1, IPAM_ACT_CREATE_ENI, "", NULL, 0, 1);
}

static void test_busy_enis_are_waited_for(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 9);
	node_add_eni(&n, 1, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
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

/* an ENI's slots may hold /28s again in two minutes: demand does not fill them with single addresses */
static void test_no_prefixes_left_for_demand(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	node_add_eni(&n, 0, "subnet-a");
	n.in.targets.adaptive = true;
	n.in.targets.warm = (struct ipam_warm){ .low = 8, .fill = 16, .keep = 31, .spare = 16 };
	n.subnets[0].no_prefix_until_ms = 1060000;
	n.in.waiting = 1;
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 5);
}

static void test_no_addresses_left(void **state)
{
	NODE(IPAM_MODE_PREFIXES);
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS] = (struct ipam_why){ IPAM_CAUSE_THROTTLED, 1003500, "Rate exceeded" };
	n.in.blocks[IPAM_ACT_CREATE_ENI] = (struct ipam_why){ IPAM_CAUSE_DENIED, 1060000, "ec2:Create" };
	plan(&n, 0);
	assert_true(n.plan.again_ms == 1003500);
	why_is(&n, IPAM_CAUSE_THROTTLED, "EC2 throttles: Rate exceeded (next try in 4 s)");
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS].cause = IPAM_CAUSE_NONE;
	plan(&n, 1);
	add_slots(&n, 0, 0, 9, 32);
	add_pods(&n, 9);
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_DENIED, "a permission is missing: ec2:Create (next try in 60 s)");
	ipam_pool_advance(n.p, 1060000);
	plan(&n, 1);
	n.in.disabled = true;
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_DISABLED, "provisioning of ENIs and addresses is switched off");
}

/* two ENIs have room, and both are needed; while EC2 throttles, the second waits for what becomes of the first */
static void test_one_call_finds_out_whether_ec2_still_throttles(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	node_add_eni(&n, 0, "subnet-a");
	node_add_eni(&n, 1, "subnet-a");
	n.in.targets.warm_ip = 15;
	plan(&n, 2);
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS] = (struct ipam_why){ IPAM_CAUSE_THROTTLED, 1, "Rate exceeded" };
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_ASSIGN_ADDRS, "eni-0", "subnet-a", 0, 9);
	/* another cause is no reason for that */
	n.in.blocks[IPAM_ACT_ASSIGN_ADDRS].cause = IPAM_CAUSE_EC2;
	plan(&n, 2);
}

/* the same of new ENIs, of which a burst needs several */
static void test_one_new_eni_finds_out_whether_ec2_still_throttles(void **state)
{
	NODE(IPAM_MODE_ADDRS);
	n.in.limits.max_enis = 6;
	n.in.waiting = 20;
	n.in.targets.warm_ip = 1;
	plan(&n, 3);
	n.in.blocks[IPAM_ACT_CREATE_ENI] = (struct ipam_why){ IPAM_CAUSE_THROTTLED, 1, "ec2:CreateNetworkInterface" };
	plan(&n, 1);
	is_action(&n, 0, IPAM_ACT_CREATE_ENI, "", "subnet-a", 0, 9);
	assert_int_equal(n.plan.unmet, 0);
	fly(&n, IPAM_ACT_CREATE_ENI, "", 0, 9);
	plan(&n, 0);
	why_is(&n, IPAM_CAUSE_UNDER_WAY, NULL);
	/* what there is no place for is not waited for */
	n.in.limits.max_enis = 2;
	plan(&n, 0);
	assert_int_equal(n.plan.unmet, 3);
	n.in.limits.max_enis = 6;
	n.in.blocks[IPAM_ACT_CREATE_ENI].cause = IPAM_CAUSE_NONE;
	plan(&n, 2);
}

static void test_pauses(void **state)
{
	uint64_t pause = 0, ms;

	/* who waits comes again soon, who has addresses for ten minutes leaves the account to others for some of them */
	for (int i = 0; i < 10; i++) {
		ms = ipam_pause_next(&pause, true, 0, UINT64_MAX / 10 * (unsigned int)i);
		assert_true(ms >= IPAM_PAUSE_MIN_MS / 4 && ms <= IPAM_PAUSE_WAITING_MS);
		ms = ipam_pause_next(&pause, true, 600000, UINT64_MAX / 10 * (unsigned int)i);
		assert_true(ms >= IPAM_PAUSE_LASTS_MAX_MS / 2 && ms <= IPAM_PAUSE_LASTS_MAX_MS);
		ms = ipam_pause_next(&pause, true, IPAM_NEVER, UINT64_MAX / 10 * (unsigned int)i);
		assert_true(ms >= IPAM_PAUSE_LASTS_MAX_MS / 2 && ms <= IPAM_PAUSE_LASTS_MAX_MS);
	}
	assert_int_equal(pause, IPAM_PAUSE_MAX_MS);
	/* and when an ADD waits after all, not for that long */
	assert_true(ipam_pause_hurry(1300000, 1000000, UINT64_MAX) < 1000000 + IPAM_PAUSE_WAITING_MS);
	assert_true(ipam_pause_hurry(1300000, 1000000, 0) >= 1000000);
	assert_int_equal(ipam_pause_hurry(1009000, 1000000, UINT64_MAX), 1009000);
	assert_int_equal(ipam_pause_hurry(5, 1000000, UINT64_MAX), 5);
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
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
	node_add_eni(&n, 1, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
	node_add_eni(&n, 1, "subnet-a");
	node_add_eni(&n, 2, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
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
	node_add_eni(&n, 0, "subnet-a");
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
		cmocka_unit_test(test_no_prefixes_left_for_demand),
		cmocka_unit_test(test_no_addresses_left),
		cmocka_unit_test(test_stale_figures_only_order_subnets),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_one_call_finds_out_whether_ec2_still_throttles),
		cmocka_unit_test(test_one_new_eni_finds_out_whether_ec2_still_throttles),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_blocked_eni),
		cmocka_unit_test(test_an_available_address_needs_no_cause),
		cmocka_unit_test(test_shrink_by_address),
		cmocka_unit_test(test_whole_eni_goes),
		cmocka_unit_test(test_free_prefixes_go),
		cmocka_unit_test(test_other_modes_slots_go),
	};

	return cmocka_run_group_tests_name("ipam_planner", tests, NULL, NULL);
}
