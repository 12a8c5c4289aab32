// SPDX-License-Identifier: Apache-2.0
/* nftables by netlink, against the real kernel; what came of it is read by libnftables. */
#include "lib/net/nftnl.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/net/view/nft.h"
#include "tests/unit/netns_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TABLE "vpcwire-test"

static const struct vw_nftnl_set ports = {
	TABLE, "ports", VW_NFTNL_CAT(VW_NFTNL_CAT(VW_NFTNL_IP4, VW_NFTNL_PROTO), VW_NFTNL_PORT), 12,
	VW_NFTNL_CAT(VW_NFTNL_IP4, VW_NFTNL_PORT), 8};
static const struct vw_nftnl_set hosts = {TABLE, "hosts", VW_NFTNL_IP6, 16, 0, 0};

static struct vw_nl open_nft(void)
{
	struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	ok(vw_nftnl_open(&nl, &err));
	return nl;
}

/* a socket filter that never matches */
static int no_match(void)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = VW_ARRAY_SIZE(insns),
			       .insns = (uintptr_t)insns, .license = (uintptr_t)"GPL"};
	int fd = (int)syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	assert_true(fd >= 0);
	return fd;
}

static struct vw_nftnl_elem port(uint16_t host, uint16_t pod)
{
	struct vw_nftnl_elem e = {.key = {10, 0, 0, 1, IPPROTO_TCP}, .data = {10, 0, 0, 2}};

	host = htons(host);
	pod = htons(pod);
	memcpy(e.key + 8, &host, 2);
	memcpy(e.data + 4, &pod, 2);
	return e;
}

static void add_rules(struct vw_nl_batch *b)
{
	static const uint8_t v4 = NFPROTO_IPV4, net[4] = {10, 0, 0, 0}, mask[4] = {255, 0, 0, 0}, to[4] = {10, 0, 0, 3};
	struct vw_nftnl_rule r;

	vw_nftnl_rule_begin(&r, b, TABLE, "in");
	vw_nftnl_meta(&r, NFT_META_NFPROTO, 0);
	vw_nftnl_cmp(&r, 0, &v4, 1);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, 16, 4, 0);
	vw_nftnl_meta(&r, NFT_META_L4PROTO, 1);
	vw_nftnl_payload(&r, VW_NFTNL_TRANSPORT, 2, 2, 2);
	vw_nftnl_lookup(&r, &ports, 0);
	vw_nftnl_dnat(&r, AF_INET, 0, 1);
	vw_nftnl_rule_end(&r);
	vw_nftnl_rule_begin(&r, b, TABLE, "out");
	vw_nftnl_meta(&r, NFT_META_NFPROTO, 0);
	vw_nftnl_cmp(&r, 0, &v4, 1);
	vw_nftnl_payload(&r, VW_NFTNL_NETWORK, 16, 4, 0);
	vw_nftnl_mask(&r, 0, mask, 4);
	vw_nftnl_cmp(&r, 0, net, 4);
	vw_nftnl_return(&r);
	vw_nftnl_rule_end(&r);
	vw_nftnl_rule_begin(&r, b, TABLE, "out");
	vw_nftnl_meta(&r, NFT_META_NFPROTO, 0);
	vw_nftnl_cmp(&r, 0, &v4, 1);
	vw_nftnl_load(&r, 0, to, 4);
	vw_nftnl_snat(&r, AF_INET, 0);
	vw_nftnl_rule_end(&r);
}

static void add_table(struct vw_nl_batch *b)
{
	const struct vw_nftnl_chain in = {TABLE, "in", "nat", NF_INET_PRE_ROUTING, -100};
	const struct vw_nftnl_chain out = {TABLE, "out", "nat", NF_INET_POST_ROUTING, 100};

	vw_nftnl_begin(b);
	vw_nftnl_table_del(b, TABLE);
	vw_nftnl_table_add(b, TABLE);
	vw_nftnl_set_add(b, &ports, 1);
	vw_nftnl_set_add(b, &hosts, 2);
	vw_nftnl_chain_add(b, &in);
	vw_nftnl_chain_add(b, &out);
	add_rules(b);
}

static void make(void)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = open_nft();
	struct vw_err err;

	add_table(&b);
	ok(vw_nftnl_commit(&nl, &b, &err));
}

static void test_nft_reads_what_was_written(void **state)
{
	static const char *const words[] = {"\"family\": \"inet\"", "\"ports\"", "\"dnat\"", "\"snat\"", "\"fully-random\"", "\"return\"",
					    "\"prerouting\"", "\"postrouting\"", "\"10.0.0.3\"", "\"10.0.0.0\""};
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	make();
	ok(vw_nft_query("list table inet " TABLE, &text, &err));
	for (size_t i = 0; i < VW_ARRAY_SIZE(words); i++) {
		if (!strstr(vw_buf_str(&text), words[i]))
			fail_msg("%s is not in %s", words[i], vw_buf_str(&text));
	}
}

static void test_a_table_is_replaced_and_counted(void **state)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	nl = open_nft();
	make();
	make();
	assert_int_equal(vw_nftnl_rule_count(&nl, TABLE, &err), 3);
	assert_int_equal(vw_nftnl_rule_count(&nl, "nobody's", &err), 0);
}

/* every family's, by name */
static void test_chains_are_listed(void **state)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_free struct vw_nftnl_chain_name *v = NULL;
	struct vw_err err;
	unsigned int in = 0, out = 0, old = 0;
	int n;

	NETNS_OR_SKIP(state);
	nl = open_nft();
	ok(vw_nft_run("flush ruleset", &err));
	assert_int_equal(vw_nftnl_chain_list(&nl, &v, &err), 0);
	make();
	ok(vw_nft_run("table ip nat { chain AWS-SNAT-CHAIN-0 { }; }", &err));
	n = vw_nftnl_chain_list(&nl, &v, &err);
	for (int i = 0; i < n; i++) {
		in += v[i].family == NFPROTO_INET && !strcmp(v[i].table, TABLE) && !strcmp(v[i].chain, "in");
		out += v[i].family == NFPROTO_INET && !strcmp(v[i].table, TABLE) && !strcmp(v[i].chain, "out");
		old += v[i].family == NFPROTO_IPV4 && !strcmp(v[i].table, "nat") && !strcmp(v[i].chain, "AWS-SNAT-CHAIN-0");
	}
	assert_int_equal(n, 3);
	assert_int_equal(in + out + old, 3);
}

static void test_elements(void **state)
{
	const struct vw_nftnl_elem one = port(8080, 80), other = port(8081, 80);
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_nftnl_elem found;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	make();
	nl = open_nft();
	vw_nftnl_begin(&b);
	vw_nftnl_elem_add(&b, &ports, &one, "one");
	vw_nftnl_elem_add(&b, &hosts, &one, "host");
	ok(vw_nftnl_commit(&nl, &b, &err));
	ok(vw_nftnl_elem_get(&nl, &ports, &one, &found, &err));
	assert_memory_equal(found.data, one.data, ports.data_len);
	ok(vw_nftnl_elem_get(&nl, &hosts, &one, &found, &err));
	assert_int_equal(vw_nftnl_elem_get(&nl, &ports, &other, &found, &err), -ENOENT);
	vw_nl_batch_reset(&b);
	vw_nftnl_begin(&b);
	vw_nftnl_elem_del(&b, &ports, &one, "one");
	ok(vw_nftnl_commit(&nl, &b, &err));
	assert_int_equal(vw_nftnl_elem_get(&nl, &ports, &one, &found, &err), -ENOENT);
}

/* The third of four is refused: it is named, and none is there. */
static void test_all_or_nothing(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_nftnl_elem e[4] = {port(1, 1), port(2, 1), port(2, 2), port(3, 1)}, found;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	make();
	nl = open_nft();
	vw_nftnl_begin(&b);
	for (size_t i = 0; i < VW_ARRAY_SIZE(e); i++)
		vw_nftnl_elem_add(&b, &ports, &e[i], i == 2 ? "the third" : "another");
	assert_int_equal(vw_nftnl_commit(&nl, &b, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "the third"));
	for (size_t i = 0; i < VW_ARRAY_SIZE(e); i++)
		assert_int_equal(vw_nftnl_elem_get(&nl, &ports, &e[i], &found, &err), -ENOENT);
}

/* More messages than one commit of route netlink sends, as one transaction. */
static void test_a_large_transaction(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_nftnl_elem found, last = port(1000, 80);
	struct vw_err err;

	NETNS_OR_SKIP(state);
	make();
	nl = open_nft();
	vw_nftnl_begin(&b);
	for (uint16_t i = 1; i <= 1000; i++) {
		struct vw_nftnl_elem e = port(i, 80);

		vw_nftnl_elem_add(&b, &ports, &e, "one of many");
	}
	ok(vw_nftnl_commit(&nl, &b, &err));
	ok(vw_nftnl_elem_get(&nl, &ports, &last, &found, &err));
}

static void test_nonsense_is_refused_before_it_is_sent(void **state)
{
	const struct vw_nftnl_set huge = {TABLE, "huge", 0, VW_NFTNL_KEY_MAX + 1, 0, 0};
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_nftnl_elem e = port(1, 1), found;
	struct vw_nftnl_rule r;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	make();
	nl = open_nft();
	ok(vw_nftnl_commit(&nl, &b, &err));     /* nothing at all */
	vw_nftnl_begin(&b);
	ok(vw_nftnl_commit(&nl, &b, &err));     /* nothing in between */
	vw_nl_batch_reset(&b);
	vw_nftnl_begin(&b);
	vw_nftnl_elem_add(&b, &huge, &e, "huge");
	assert_int_equal(vw_nftnl_commit(&nl, &b, &err), -EINVAL);
	assert_int_equal(vw_nftnl_elem_get(&nl, &huge, &e, &found, &err), -EINVAL);
	vw_nl_batch_reset(&b);
	vw_nftnl_begin(&b);
	vw_nftnl_rule_begin(&r, &b, TABLE, "in");
	for (int i = 0; i < 100; i++)
		vw_nftnl_meta(&r, NFT_META_L4PROTO, 0);
	vw_nftnl_rule_end(&r);
	assert_int_equal(vw_nftnl_commit(&nl, &b, &err), -EMSGSIZE);
}

/* A rule that asks a program, beside one that asks what is not there: nothing of the transaction is done then. */
static void test_a_rule_asks_a_program(void **state)
{
	const struct vw_nftnl_chain in = {TABLE, "judge", "filter", NF_INET_LOCAL_IN, 99};
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_close int prog = -EBADF;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	nl = open_nft();
	prog = no_match();
	for (int bad = 0; bad < 2; bad++) {
		vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
		struct vw_nftnl_rule r;

		vw_nftnl_begin(&b);
		vw_nftnl_table_del(&b, TABLE);
		vw_nftnl_table_add(&b, TABLE);
		vw_nftnl_chain_add(&b, &in);
		for (int i = 0; i < 2; i++) {
			vw_nftnl_rule_begin(&r, &b, TABLE, "judge");
			vw_nftnl_ct(&r, NFT_CT_STATUS, 0);
			vw_nftnl_bpf(&r, bad && i ? nl.fd : prog);
			vw_nftnl_drop(&r);
			vw_nftnl_rule_end(&r);
		}
		if (bad)
			assert_true(vw_nftnl_commit(&nl, &b, &err) < 0);
		else
			ok(vw_nftnl_commit(&nl, &b, &err));
		assert_int_equal(vw_nftnl_rule_count(&nl, TABLE, &err), 2);
	}
}

/* One answer stands for all: a transaction that may not be is not waited for. */
static void test_without_permission(void **state)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	NETNS_OR_SKIP(state);
	nl = open_nft();
	add_table(&b);
	if (seteuid(65534) < 0)
		skip();
	assert_int_equal(vw_nftnl_commit(&nl, &b, &err), -EPERM);
	assert_int_equal(seteuid(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nft_reads_what_was_written),
		cmocka_unit_test(test_a_table_is_replaced_and_counted),
		cmocka_unit_test(test_chains_are_listed),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_a_large_transaction),
		cmocka_unit_test(test_nonsense_is_refused_before_it_is_sent),
		cmocka_unit_test(test_a_rule_asks_a_program),
		cmocka_unit_test(test_without_permission),
	};

	return cmocka_run_group_tests_name("nftnl", tests, netns_private, NULL);
}
