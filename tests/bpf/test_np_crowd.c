/*
 * The flow table as programs fill it: by both ways to make an entry, by several processors at once, and beside user space, which
 * must find the same entries and leave nothing behind. What the table promises beyond that: tests/unit/test_np_ct.c.
 */
#include "netpolicy-bpf/user/np_ct.h"
#include "tests/bpf/np_rig.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <string.h>

#define SENDERS 3
#define FLOWS 900u              /* of RIG_GROUPS * NP_CT_GROUP_FLOWS places: half */
#define FIRST_PORT 2000u

struct crowd {
	struct rig *r;
	struct pkt first;
	pthread_barrier_t start;
	int failed;
};

/* all send the same first packets in the same order, so that they meet */
static void *sender(void *arg)
{
	struct crowd *c = arg;
	const size_t sport = ETH_HLEN + (c->r->family == 4 ? 20 : 40);
	struct pkt p = c->first;

	pthread_barrier_wait(&c->start);
	for (unsigned int n = 0; n < FLOWS; n++) {
		struct __sk_buff ctx = { .ifindex = VETH(SLOT_A), .ingress_ifindex = VETH(SLOT_A) };
		const uint16_t port = htons((uint16_t)(FIRST_PORT + n));
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p.b, .data_size_in = (__u32)p.len, .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx));

		memcpy(p.b + sport, &port, sizeof(port));
		if (bpf_prog_test_run_opts(np_from_pod_fd(c->r->np), &opts) < 0 || (int)opts.retval != TC_ACT_UNSPEC)
			__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/** check_empty() - all of slot A die and are swept away. */
static void check_empty(struct rig *r, unsigned int flows)
{
	const struct np_ct_maps m = np_ct_maps_of(r->np);
	static struct np_ct_stats st;
	struct vw_err err;

	ok(np_slot_clear(r->np, SLOT_A, &err));
	ok(np_ct_sweep(&m, np_tick(), NULL, NULL, &st, &err));
	assert_int_equal(st.orphaned, flows);
	assert_int_equal(rig_rt(r, SLOT_A)->ct_used, 0);
	assert_int_equal(rig_flows(r), 0);
	ok(np_ct_sweep(&m, np_tick() + 10, NULL, NULL, &st, &err));
	assert_int_equal(st.resting, 0);
	for (unsigned int g = 0; g < m.groups; g++)
		for (unsigned int b = 0; b < NP_CT_BUCKETS; b++)
			assert_int_equal(m.ct[g].tags[b], 0);
}

static void test_several_processors(void **state)
{
	const struct spec first = { .hook = FROM_POD, .slot = SLOT_A, .src = POD_A, .dst = PING, .proto = IPPROTO_UDP, .dport = DNS };

	RIG_OR_SKIP(state);
	BOTH_FAMILIES(r)
	{
		struct crowd c = { .r = r, .first = pkt_of(r->family, &first) };
		pthread_t t[SENDERS];
		unsigned int missing = 0;
		uint64_t full;

		rig_reset(r);
		rig_conf(r)->ct_quota = 100000;
		full = rig_stat(r, NP_STAT_CT_FULL);
		assert_int_equal(pthread_barrier_init(&c.start, NULL, SENDERS), 0);
		for (int i = 0; i < SENDERS; i++)
			assert_int_equal(pthread_create(&t[i], NULL, sender, &c), 0);
		for (int i = 0; i < SENDERS; i++)
			pthread_join(t[i], NULL);
		pthread_barrier_destroy(&c.start);
		assert_int_equal(c.failed, 0);
		assert_int_equal(rig_stat(r, NP_STAT_CT_FULL), full);
		for (unsigned int n = 0; n < FLOWS; n++) {
			struct np_ct ct;

			missing += !rig_ct(r, SLOT_A, PING, IPPROTO_UDP, DNS, (uint16_t)(FIRST_PORT + n), &ct);
		}
		/* all sent each three times, so that one that was not made at once is there; none is there twice */
		assert_int_equal(missing, 0);
		assert_int_equal(rig_flows(r), FLOWS);
		assert_int_equal(rig_rt(r, SLOT_A)->ct_used, FLOWS);
		check_empty(r, FLOWS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several_processors),
	};
	int r = cmocka_run_group_tests_name("exchange", tests, rig_setup, rig_done);

	return cmocka_run_group_tests_name("locks", tests, rig_setup_locked, rig_done) || r;
}
