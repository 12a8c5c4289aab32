// SPDX-License-Identifier: Apache-2.0
/*
 * Branch ENIs by tag: the loader (pins taken over, half sets replaced, whose tag is whose), br_from_pod by BPF_PROG_TEST_RUN, and both
 * programs with frames between real links, for a test run cannot be given a frame whose tag the kernel has taken off already.
 */
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/br_loader.h"
#include "tests/bpf/bpf_fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static const struct vw_mac branch_mac = {{0x02, 0, 0, 0, 0, 0x07}};

/* "host" <-> "pod": the container's link. "trunk" <-> "wire": what the VPC sees. */
struct links {
	struct vw_nl nl;
	unsigned int host, pod, trunk, wire;
};

static unsigned int make_pair(struct vw_nl *nl, const char *a, const char *b, unsigned int *ret_peer)
{
	vw_auto_nl_batch struct vw_nl_batch batch = VW_NL_BATCH_INIT;
	struct vw_link_end near = {.name = a, .netns_fd = -1, .up = true}, far = {.name = b, .netns_fd = -1};
	struct vw_link_set up = {.name = b, .what = VW_LINK_UP};
	struct vw_err err;

	vw_link_add_veth(&batch, &near, &far);
	vw_link_set(&batch, &up);
	ok(vw_nl_commit(nl, &batch, &err));
	*ret_peer = if_nametoindex(b);
	return if_nametoindex(a);
}

static void hang(struct vw_nl *nl, unsigned int ifindex, int prog_fd)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_filter f = {.ifindex = ifindex, .dir = VW_TC_INGRESS, .prog_fd = prog_fd, .name = "br"};
	struct vw_err err;

	vw_clsact_add(&b, ifindex, NULL);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	vw_filter_replace(&b, &f);
	ok(vw_nl_commit(nl, &b, &err));
}

static void links_make(struct links *l)
{
	struct vw_err err;

	l->nl = (struct vw_nl)VW_NL_INIT;
	ok(vw_nl_open(&l->nl, &err));
	l->host = make_pair(&l->nl, "host", "pod", &l->pod);
	l->trunk = make_pair(&l->nl, "trunk", "wire", &l->wire);
}

static void links_done(struct links *l)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err err;

	vw_link_del(&b, l->host);
	vw_link_del(&b, l->trunk);
	ok(vw_nl_commit(&l->nl, &b, &err));
	vw_nl_close(&l->nl);
}

static struct br *open_new(struct bpf_fixture *f)
{
	struct vw_err err;
	struct br *br;

	ok(br_unpin(f->dir, &err));
	ok(br_open(f->dir, &br, &err));
	return br;
}

/* --- the loader */

static void pins_are_taken_over(void **state)
{
	BPF_OR_SKIP(state);
	struct br *first = open_new(f), *second;
	struct br_branch b = {.trunk = 5, .vlan = 7, .ifindex = 9, .mac = branch_mac}, found;
	uint32_t id, again;

	ok(br_publish(first, &b, &err));
	ok(vw_bpf_prog_id(br_from_pod_fd(first), &id, &err));
	br_close(first);
	ok(br_open(f->dir, &second, &err));
	ok(vw_bpf_prog_id(br_from_pod_fd(second), &again, &err));
	assert_int_equal(id, again);
	assert_int_equal(br_find(second, 5, 7, &found, &err), 1);
	assert_int_equal(found.ifindex, 9);
	assert_true(vw_mac_eq(&found.mac, &branch_mac));
	br_close(second);
}

/* Whoever was killed while pinning left some: their maps are not those of the programs that are loaded now. */
static void half_a_set_is_replaced(void **state)
{
	BPF_OR_SKIP(state);
	struct br *br = open_new(f);
	struct br_branch b = {.trunk = 5, .vlan = 7, .ifindex = 9, .mac = branch_mac}, found;
	char path[256];

	ok(br_publish(br, &b, &err));
	(void)snprintf(path, sizeof(path), "%s", br_from_trunk_path(br));
	br_close(br);
	assert_int_equal(unlink(path), 0);
	ok(br_open(f->dir, &br, &err));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(br_find(br, 5, 7, &found, &err), 0);
	br_close(br);
}

static void a_map_of_another_shape_is_replaced(void **state)
{
	BPF_OR_SKIP(state);
	struct br *br = open_new(f);
	char path[256];
	int other;

	br_close(br);
	other = bpf_map_create(BPF_MAP_TYPE_HASH, "br_in", 4, 4, 16, NULL);
	assert_true(other >= 0);
	(void)snprintf(path, sizeof(path), "%s/branch%d/%s", f->dir, BR_ABI, BR_MAP_IN);
	ok(vw_bpf_obj_pin(other, path, &err));
	close(other);
	ok(br_open(f->dir, &br, &err));
	struct br_branch b = {.trunk = 5, .vlan = 7, .ifindex = 9, .mac = branch_mac};
	ok(br_publish(br, &b, &err));
	br_close(br);
}

static void a_tag_is_of_one_interface(void **state)
{
	BPF_OR_SKIP(state);
	struct br *br = open_new(f);
	struct br_branch mine = {.trunk = 5, .vlan = 7, .ifindex = 9, .mac = branch_mac}, theirs = mine, found;

	theirs.ifindex = 10;
	ok(br_publish(br, &mine, &err));
	ok(br_publish(br, &mine, &err));
	assert_int_equal(br_publish(br, &theirs, &err), -EEXIST);
	ok(br_withdraw(br, &theirs, &err)); /* takes nothing that is another's */
	assert_int_equal(br_find(br, 5, 7, &found, &err), 1);
	assert_int_equal(found.ifindex, 9);
	ok(br_withdraw(br, &mine, &err));
	ok(br_withdraw(br, &mine, &err));
	assert_int_equal(br_find(br, 5, 7, &found, &err), 0);
	ok(br_publish(br, &theirs, &err));
	br_close(br);
}

static void nonsense_is_refused(void **state)
{
	BPF_OR_SKIP(state);
	static const struct br_branch bad[] = {
		{.trunk = 0, .vlan = 7, .ifindex = 9}, {.trunk = 5, .vlan = 0, .ifindex = 9},
		{.trunk = 5, .vlan = 4095, .ifindex = 9}, {.trunk = 5, .vlan = 7, .ifindex = 0}};
	struct br *br = open_new(f);

	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++)
		assert_int_equal(br_publish(br, &bad[i], &err), -EINVAL);
	br_close(br);
	assert_int_equal(br_open("relative", &br, &err), -EINVAL);
	assert_int_equal(br_open("/tmp", &br, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "bpf file system"));
}

/* --- br_from_pod, one frame at a time */

static int judge(int prog_fd, unsigned int ifindex, const void *frame, size_t len)
{
	struct __sk_buff ctx = {.ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(prog_fd, &opts), 0);
	return (int)opts.retval;
}

static void from_pod_judges(void **state)
{
	BPF_OR_SKIP(state);
	struct br *br = open_new(f);
	struct links l;
	uint64_t drops[BR_DROP_MAX];
	uint8_t plain[64] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x07, 0x08, 0x00};
	uint8_t tagged[64] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x07, 0x81, 0x00, 0, 9, 0x08, 0x00};
	uint8_t foreign[64] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x08, 0x08, 0x00};

	links_make(&l);
	assert_int_equal(judge(br_from_pod_fd(br), l.host, plain, sizeof(plain)), TC_ACT_SHOT);
	struct br_branch b = {.trunk = l.trunk, .vlan = 7, .ifindex = l.host, .mac = branch_mac};
	ok(br_publish(br, &b, &err));
	assert_int_equal(judge(br_from_pod_fd(br), l.host, plain, sizeof(plain)), TC_ACT_REDIRECT);
	assert_int_equal(judge(br_from_pod_fd(br), l.host, tagged, sizeof(tagged)), TC_ACT_SHOT);
	assert_int_equal(judge(br_from_pod_fd(br), l.host, foreign, sizeof(foreign)), TC_ACT_SHOT);
	assert_int_equal(judge(br_from_pod_fd(br), l.trunk, plain, sizeof(plain)), TC_ACT_SHOT);
	ok(br_withdraw(br, &b, &err));
	assert_int_equal(judge(br_from_pod_fd(br), l.host, plain, sizeof(plain)), TC_ACT_SHOT);
	/* the trunk's own frames are none of br_from_trunk's business */
	assert_int_equal(judge(br_from_trunk_fd(br), l.trunk, plain, sizeof(plain)), TC_ACT_UNSPEC);
	ok(br_drops(br, drops, &err));
	assert_int_equal(drops[BR_DROP_UNKNOWN], 3);
	assert_int_equal(drops[BR_DROP_TAGGED], 1);
	assert_int_equal(drops[BR_DROP_MAC], 1);
	for (unsigned int i = 0; i < BR_DROP_MAX; i++)
		assert_non_null(br_drop_name(i));
	assert_null(br_drop_name(BR_DROP_MAX));
	links_done(&l);
	br_close(br);
}

/* --- frames between links */

static int tap(unsigned int ifindex)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	return fd;
}

static int tag_of(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		return aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci & 0xfff : 0;
	}
	return 0;
}

/* The frame that carries @mark comes within @ms: its tag; -1 when it does not. The kernel's own frames are passed over. */
static int comes(int fd, uint32_t mark, int ms)
{
	uint64_t deadline = vw_mono_ms() + (uint64_t)ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, vw_deadline_left(deadline)) > 0) {
		uint8_t frame[2048];
		char control[256];
		struct iovec iov = {frame, sizeof(frame)};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &msg, 0);

		for (ssize_t i = ETH_HLEN; i + 4 <= n; i++)
			if (!memcmp(frame + i, &mark, 4))
				return tag_of(&msg);
	}
	return -1;
}

/* An experimental ethertype, in 64 bytes; a tag where @vlan is not 0. */
static void say(int fd, const struct vw_mac *from, int vlan, uint32_t mark)
{
	uint8_t frame[64] = {0x02, 0, 0, 0, 0, 1};
	size_t at = 12;

	memcpy(frame + 6, from->b, 6);
	if (vlan) {
		frame[at] = 0x81;
		frame[at + 2] = (uint8_t)(vlan >> 8);
		frame[at + 3] = (uint8_t)vlan;
		at += 4;
	}
	frame[at] = 0x88;
	frame[at + 1] = 0xb5;
	memcpy(frame + at + 2, &mark, 4);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
}

static void frames_change_their_tag(void **state)
{
	BPF_OR_SKIP(state);
	struct br *br = open_new(f);
	struct links l;

	links_make(&l);
	hang(&l.nl, l.host, br_from_pod_fd(br));
	hang(&l.nl, l.trunk, br_from_trunk_fd(br));
	struct br_branch b = {.trunk = l.trunk, .vlan = 7, .ifindex = l.host, .mac = branch_mac};
	ok(br_publish(br, &b, &err));
	vw_auto_close int pod = tap(l.pod), wire = tap(l.wire), trunk = tap(l.trunk);

	say(pod, &branch_mac, 0, 0x1111);
	assert_int_equal(comes(wire, 0x1111, 5000), 7);
	say(wire, &branch_mac, 7, 0x2222);
	assert_int_equal(comes(pod, 0x2222, 5000), 0);
	/* another tag, and none, are left to the stack of the trunk */
	say(wire, &branch_mac, 8, 0x3333);
	say(wire, &branch_mac, 0, 0x4444);
	assert_int_equal(comes(trunk, 0x4444, 5000), 0);
	assert_int_equal(comes(pod, 0x3333, 50), -1);
	say(pod, &branch_mac, 9, 0x5555);
	say(pod, &branch_mac, 0, 0x6666);
	assert_int_equal(comes(wire, 0x6666, 5000), 7);
	ok(br_withdraw(br, &b, &err));
	say(wire, &branch_mac, 7, 0x7777);
	say(pod, &branch_mac, 0, 0x8888);
	assert_int_equal(comes(pod, 0x7777, 50), -1);
	assert_int_equal(comes(wire, 0x8888, 50), -1);
	links_done(&l);
	br_close(br);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_are_taken_over),
		cmocka_unit_test(half_a_set_is_replaced),
		cmocka_unit_test(a_map_of_another_shape_is_replaced),
		cmocka_unit_test(a_tag_is_of_one_interface),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(from_pod_judges),
		cmocka_unit_test(frames_change_their_tag),
	};

	return cmocka_run_group_tests(tests, bpf_fixture_setup, bpf_fixture_done);
}
