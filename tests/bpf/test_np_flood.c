/*
 * Policies change under a flood of packets, through the real compiler, publisher and programs: no packet may be judged by a mix of
 * two policies, and none by the former one after the change is said to be applied.
 *
 * Two policies take turns. Under both the pod's friend may open connections and its foe may not, though the compiler gives
 * them other classes, ports other port classes, and rules other places each time; the fickle peer may under one of them only.
 */
#include <stdio.h>

#include "tests/bpf/bpf_fixture.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_publish.h"
#include "netpolicy-bpf/user/np_world.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define FLIPS 1000
#define SLOT 10

static const struct {
	const char *name, *labels;
	uint8_t ip[4];
} peers[] = {
	{ "friend", "{\"role\":\"friend\",\"n\":\"1\"}", { 10, 0, 1, 1 } },
	{ "foe", "{\"role\":\"foe\",\"n\":\"1\"}", { 10, 0, 1, 2 } },
	{ "fickle", "{\"role\":\"fickle\",\"n\":\"2\"}", { 10, 0, 1, 3 } },
};
enum { FRIEND_PEER, FOE_PEER, FICKLE_PEER, PEERS };
static const uint8_t pod_ip[4] = { 10, 0, 0, 5 };

static void take(struct np_world *w, const char *file, const char *text)
{
	struct vw_err err;

	if (np_world_take(w, file, text, strlen(text), &err) < 0)
		fail_msg("%s", err.msg);
}

static void pod(struct np_world *w, const char *name, const char *labels, const uint8_t ip[4])
{
	char file[64], text[1024];

	assert_true(vw_fmt(file, sizeof(file), "pod-%s.json", name) > 0);
	assert_true(vw_fmt(text, sizeof(text),
			   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"%s\",\"labels\":%s},"
			   "\"spec\":{\"containers\":[{\"name\":\"c\"}]},"
			   "\"status\":{\"phase\":\"Running\",\"podIP\":\"%u.%u.%u.%u\"}}",
			   name, labels, ip[0], ip[1], ip[2], ip[3]) > 0);
	take(w, file, text);
}

/* @n makes each round's policy another one: other CIDRs, other ports, other order, so that all numbers change */
static void policy(struct np_world *w, bool fickle, unsigned int n)
{
	char text[4096];

	assert_true(vw_fmt(text, sizeof(text),
			   "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"p\"},"
			   "\"spec\":{\"podSelector\":{\"matchLabels\":{\"role\":\"server\"}},\"ingress\":["
			   "{\"from\":[{\"ipBlock\":{\"cidr\":\"192.%u.0.0/16\"}}],\"ports\":[{\"port\":%u,\"endPort\":%u}]},"
			   "%s"
			   "{\"from\":[{\"podSelector\":{\"matchLabels\":{\"role\":\"friend\"}}}],\"ports\":[{\"port\":80}]},"
			   "{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.%u.0/24\"}}],\"ports\":[{\"port\":%u}]}]}}",
			   n % 200, 1 + n % 70, 80 + n % 77,
			   fickle ? "{\"from\":[{\"podSelector\":{\"matchLabels\":{\"role\":\"fickle\"}}}],\"ports\":[{\"port\":80}]}," : "",
			   2 + n % 200, 1000 + n % 500) > 0);
	take(w, "policy.json", text);
}

static struct np_image *image(const struct np_world *w, const struct np_image *prev)
{
	const struct np_compile_conf conf = { .node_name = "n" };
	struct np_local local = { .slot = SLOT, .ns = "x", .name = "server", .ip4 = { .family = AF_INET } };
	struct np_image *img;
	struct vw_err err;

	memcpy(local.ip4.b, pod_ip, 4);
	if (np_compile(w, &conf, &local, 1, prev, &img, &err) < 0)
		fail_msg("%s", err.msg);
	return img;
}

/* --- packets: a new flow each time, so that no packet rides on a former verdict */

struct frame {
	uint8_t b[54];
};

static struct frame syn(const uint8_t src[4], uint16_t sport)
{
	struct frame f = { { [12] = 0x08, [13] = 0, [14] = 0x45, [17] = 40, [22] = 64, [23] = IPPROTO_TCP, [46] = 0x50, [47] = 0x02 } };

	memcpy(f.b + 26, src, 4);
	memcpy(f.b + 30, pod_ip, 4);
	f.b[34] = (uint8_t)(sport >> 8);
	f.b[35] = (uint8_t)sport;
	f.b[37] = 80;
	return f;
}

/* test_run wants a link of that index */
static void make_veth(void)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err err;

	if (vw_nl_open(&nl, &err) < 0)
		fail_msg("%s", err.msg);
	(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = "host", .ifindex = NP_IFINDEX_BASE + SLOT },
			       &(struct vw_link_end){ .name = "pod" });
	if (vw_nl_commit(&nl, &b, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Return: 1, 0, -1 = it could not be run */
static int passes(int prog_fd, const uint8_t src[4], uint16_t sport)
{
	struct frame f = syn(src, sport);
	struct __sk_buff ctx = { .ifindex = NP_IFINDEX_BASE + SLOT, .ingress_ifindex = 43 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &f, .data_size_in = sizeof(f), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx));

	if (bpf_prog_test_run_opts(prog_fd, &opts) < 0)
		return -1;
	return opts.retval != 2;        /* TC_ACT_SHOT */
}

/**
 * struct flood - @phase: even: the fickle peer is denied, odd: allowed; raised before a switch begins (+1: either will do) and when
 * it is applied (+1).
 */
struct flood {
	int prog_fd;
	atomic_uint phase;
	atomic_bool stop;
	atomic_ulong packets, mixed, stale, failed;
};

/* phases: 0 denied for sure, 1 becoming allowed, 2 allowed for sure, 3 becoming denied */
static void *pour(void *arg)
{
	struct flood *f = arg;
	uint16_t sport = 1;

	while (!atomic_load(&f->stop)) {
		unsigned int before = atomic_load(&f->phase) % 4, after;
		int got;

		sport++;
		if (passes(f->prog_fd, peers[FRIEND_PEER].ip, sport) != 1 || passes(f->prog_fd, peers[FOE_PEER].ip, sport) != 0)
			atomic_fetch_add(&f->mixed, 1);
		before = atomic_load(&f->phase) % 4;
		got = passes(f->prog_fd, peers[FICKLE_PEER].ip, sport);
		after = atomic_load(&f->phase) % 4;
		if (got < 0)
			atomic_fetch_add(&f->failed, 1);
		else if (before == after && ((before == 0 && got) || (before == 2 && !got)))
			atomic_fetch_add(&f->stale, 1);
		atomic_fetch_add(&f->packets, 3);
	}
	return NULL;
}

static void test_flood(void **state)
{
	const struct np_pod_conf conf = { .ip4 = { .family = AF_INET, .b = { 10, 0, 0, 5 } } };
	/* a small table: most flows are judged packet by packet, so the tables are asked each time */
	const struct np_sizes sizes = { .max = { [NP_M_CT] = 1 } };
	struct np_world *w = np_world_new();
	struct np_image *img, *next;
	struct np_publish *pub;
	struct flood flood = { 0 };
	struct np_pub_io io;
	pthread_t thread;

	BPF_OR_SKIP(state);
	assert_non_null(w);
	if (np_open(f->dir, &sizes, &f->np, &err) < 0)
		fail_msg("%s", err.msg);
	make_veth();
	io = np_publish_io(f->np);
	if (np_publish_new(&io, &pub, &err) < 0)
		fail_msg("%s", err.msg);
	pod(w, "server", "{\"role\":\"server\"}", pod_ip);
	for (int i = 0; i < PEERS; i++)
		pod(w, peers[i].name, peers[i].labels, peers[i].ip);
	policy(w, false, 0);
	img = image(w, NULL);
	if (np_publish_image(pub, img, &err) < 0 || np_slot_publish(f->np, SLOT, &conf, &err) < 0)
		fail_msg("%s", err.msg);
	flood.prog_fd = np_to_pod_fd(f->np);
	assert_int_equal(pthread_create(&thread, NULL, pour, &flood), 0);
	for (unsigned int i = 1; i <= FLIPS; i++) {
		policy(w, i % 2, i);
		next = image(w, img);
		atomic_fetch_add(&flood.phase, 1);
		if (np_publish_image(pub, next, &err) < 0)
			fail_msg("%s", err.msg);
		np_image_free(img);
		img = next;
		assert_int_equal(np_publish_wait(pub), 0);
		atomic_fetch_add(&flood.phase, 1);      /* applied */
		if (np_publish_settle(pub, &err) < 0)
			fail_msg("%s", err.msg);
	}
	atomic_store(&flood.stop, true);
	pthread_join(thread, NULL);
	print_message("# %u changes under %lu packets\n", FLIPS, atomic_load(&flood.packets));
	assert_true(atomic_load(&flood.packets) > 10 * FLIPS);
	assert_int_equal(atomic_load(&flood.failed), 0);
	assert_int_equal(atomic_load(&flood.mixed), 0);
	assert_int_equal(atomic_load(&flood.stale), 0);
	np_publish_free(pub);
	np_image_free(img);
	np_world_free(w);
	f->np = np_close(f->np);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flood, bpf_fixture_setup, bpf_fixture_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
