/* Flow logs: what stands in a record, how much of a flow is told when, and what becomes of it when the file cannot be written. */
#include "daemon/flowlog.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/unit/cm.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACES 2000
#define TABLE 77
#define SLOT 5
#define GEN 3

struct world {
	char dir[64];
	struct flowlog_conf conf;
	struct flowlog *f;
	struct np_flow flow[PLACES];
	unsigned int n_flow;
};

static struct vw_ip ip(const char *text)
{
	struct vw_ip a;

	assert_int_equal(vw_ip_parse(text, &a), 0);
	return a;
}

static struct world world_new(void)
{
	struct world w = { .dir = "/tmp/vw-flowlog-XXXXXX" };

	assert_non_null(mkdtemp(w.dir));
	w.conf = (struct flowlog_conf){ .files = 2, .sample = 1, .max_bytes = 1 << 20 };
	(void)snprintf(w.conf.path, sizeof(w.conf.path), "%s/log", w.dir);
	(void)snprintf(w.conf.state, sizeof(w.conf.state), "%s/state", w.dir);
	return w;
}

static void world_done(struct world *w)
{
	static const char *const names[] = { "log", "log.1", "log.2", "log.3", "state" };
	char path[128];

	w->f = flowlog_free(w->f);
	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(w->dir), 0);
}

static void start(struct world *w, uint32_t table, int want)
{
	struct vw_err err;

	assert_int_equal(flowlog_new(&w->conf, table, PLACES, &w->f, &err), want);
	if (want == 0) {
		for (unsigned int i = 0; i < w->n_flow; i++)
			(void)flowlog_adopt(w->f, &w->flow[i]);
		flowlog_adopted(w->f);
	}
}

static struct np_flow *flow_add(struct world *w, const char *remote, uint8_t proto, uint16_t rport, uint16_t lport)
{
	struct np_flow *f = &w->flow[w->n_flow];

	*f = (struct np_flow){ .slot = SLOT, .gen = GEN, .place = w->n_flow++, .proto = proto, .remote = ip(remote), .rport = rport, .lport = lport };
	f->ct.rule = 2;
	f->ct.start = f->ct.last = np_tick();
	return f;
}

/* one sweep; @dying: flows from this one on end in it */
static void pass(struct world *w, unsigned int dying)
{
	const struct flowlog_who who = { SLOT, GEN, ip("10.0.0.5"), ip("fd00::5"), "eni-1", "shop", "web-\"1\"" };
	const struct flowlog_rule rules[] = { { 0 }, { "Admin", "nodes", "spec.egress[0]" }, { "NetworkPolicy", "shop/web", NULL } };

	assert_int_equal(flowlog_begin(w->f, "123456789012", &who, 1, rules, 3), 0);
	for (unsigned int i = dying; i < w->n_flow; i++)
		flowlog_ended(w->f, &w->flow[i]);
	if (dying < w->n_flow)
		w->n_flow = dying;
	assert_true(flowlog_is_due(w->f));
	for (unsigned int i = 0; i < w->n_flow; i++)
		(void)flowlog_live(w->f, &w->flow[i]);
	flowlog_write(w->f);
	flowlog_end(w->f);
}

/* every line of a file, parsed; the file is emptied */
struct lines {
	struct vw_json *v[2 * PLACES];
	unsigned int n;
};

static void lines_read(const char *path, struct lines *l)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	size_t pos = 0;

	l->n = 0;
	if (vw_read_file(path, 4 << 20, &b, &err) < 0)
		return;
	assert_true(b.len == 0 || vw_buf_str(&b)[b.len - 1] == '\n');
	while (l->n < VW_ARRAY_SIZE(l->v) && vw_json_parse_next(vw_buf_str(&b), b.len, &pos, NULL, "a record", &l->v[l->n], &err) == 1)
		l->n++;
	assert_int_equal(truncate(path, 0), 0);
}

static void lines_done(struct lines *l)
{
	for (unsigned int i = 0; i < l->n; i++)
		vw_json_free(l->v[i]);
	l->n = 0;
}

static const char *str(const struct vw_json *j, const char *key)
{
	const char *s = NULL;
	struct vw_err err;

	return vw_json_get_str(j, key, &s, &err) >= 0 && s ? s : "";
}

static int64_t num(const struct vw_json *j, const char *key)
{
	int64_t v = -1;
	struct vw_err err;

	(void)vw_json_get_int(j, key, INT64_MIN, INT64_MAX, &v, &err);
	return v;
}

static void test_a_record(void **state)
{
	static struct world w;
	static struct lines l;
	struct np_flow *f;

	(void)state;
	w = world_new();
	start(&w, TABLE, 0);
	f = flow_add(&w, "192.0.2.1", IPPROTO_TCP, 443, 40000);
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(3, 300);
	f->ct.sum[NP_INGRESS] = NP_CT_SUM(2, 3000);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 2);
	for (unsigned int i = 0; i < 2; i++) {
		const bool out = i == NP_EGRESS;

		assert_int_equal(num(l.v[i], "version"), 2);
		assert_string_equal(str(l.v[i], "account-id"), "123456789012");
		assert_string_equal(str(l.v[i], "interface-id"), "eni-1");
		assert_string_equal(str(l.v[i], "srcaddr"), out ? "10.0.0.5" : "192.0.2.1");
		assert_string_equal(str(l.v[i], "dstaddr"), out ? "192.0.2.1" : "10.0.0.5");
		assert_int_equal(num(l.v[i], "srcport"), out ? 40000 : 443);
		assert_int_equal(num(l.v[i], "dstport"), out ? 443 : 40000);
		assert_int_equal(num(l.v[i], "protocol"), 6);
		assert_int_equal(num(l.v[i], "packets"), out ? 3 : 2);
		assert_int_equal(num(l.v[i], "bytes"), out ? 300 : 3000);
		assert_true(num(l.v[i], "start") <= num(l.v[i], "end"));
		assert_string_equal(str(l.v[i], "action"), "ACCEPT");
		assert_string_equal(str(l.v[i], "log-status"), "OK");
		assert_string_equal(str(l.v[i], "flow-direction"), out ? "egress" : "ingress");
		assert_string_equal(str(l.v[i], "namespace"), "shop");
		assert_string_equal(str(l.v[i], "pod"), "web-\"1\"");
		assert_string_equal(str(l.v[i], "policy"), "shop/web");
		assert_string_equal(str(l.v[i], "tier"), "NetworkPolicy");
	}
	lines_done(&l);
	/* what is new, and in which direction it is new */
	f->ct.sum[NP_EGRESS] += NP_CT_SUM(1, 52);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 1);
	assert_int_equal(num(l.v[0], "packets"), 1);
	assert_int_equal(num(l.v[0], "bytes"), 52);
	lines_done(&l);
	/* ICMP has no ports; IPv6; what has another entry by the service's address is told by that */
	f = flow_add(&w, "fd00::9", IPPROTO_ICMPV6, NP_CT_ECHO_OUT, 77);
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(1, 104);
	f = flow_add(&w, "192.0.2.2", IPPROTO_UDP, 53, 1);
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(1, 60);
	f->ct.flags = NP_CT_POST;
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 1);
	assert_string_equal(str(l.v[0], "srcaddr"), "fd00::5");
	assert_int_equal(num(l.v[0], "srcport"), 0);
	assert_int_equal(num(l.v[0], "dstport"), 0);
	assert_int_equal(num(l.v[0], "protocol"), IPPROTO_ICMPV6);
	lines_done(&l);
	world_done(&w);
}

static void test_the_end_and_the_next_one(void **state)
{
	static struct world w;
	static struct lines l;
	struct np_flow *f;

	(void)state;
	w = world_new();
	start(&w, TABLE, 0);
	f = flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, 40000);
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(10, 1000);
	pass(&w, UINT32_MAX);
	f->ct.sum[NP_EGRESS] += NP_CT_SUM(5, 500);
	pass(&w, 0);
	f = flow_add(&w, "192.0.2.9", IPPROTO_UDP, 53, 40000);          /* in the place of the former */
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(2, 200);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 3);
	assert_int_equal(num(l.v[0], "packets"), 10);
	assert_int_equal(num(l.v[1], "packets"), 5);
	assert_string_equal(str(l.v[2], "dstaddr"), "192.0.2.9");
	assert_int_equal(num(l.v[2], "packets"), 2);
	lines_done(&l);
	world_done(&w);
}

/* The note outlives the daemon as the table does; a table of another id has nothing to do with it. */
static void test_restart(void **state)
{
	static struct world w;
	static struct lines l;
	struct np_flow *f;

	(void)state;
	w = world_new();
	f = flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, 40000);
	f->ct.sum[NP_EGRESS] = NP_CT_SUM(100, 10000);
	start(&w, TABLE, 0);                    /* the log was off until now: what was before is not told */
	f->ct.sum[NP_EGRESS] += NP_CT_SUM(1, 100);
	pass(&w, UINT32_MAX);
	f->ct.sum[NP_EGRESS] += NP_CT_SUM(2, 200);
	w.f = flowlog_free(w.f);
	f->ct.sum[NP_EGRESS] += NP_CT_SUM(4, 400);
	start(&w, TABLE, 1);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 2);
	assert_int_equal(num(l.v[0], "packets"), 1);
	assert_int_equal(num(l.v[1], "packets"), 6);
	assert_int_equal(num(l.v[1], "bytes"), 600);
	lines_done(&l);
	w.f = flowlog_free(w.f);
	start(&w, TABLE + 1, 0);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 1);
	assert_string_equal(str(l.v[0], "log-status"), "NODATA");
	lines_done(&l);
	flowlog_forget(w.conf.state);
	assert_int_equal(access(w.conf.state, F_OK), -1);
	world_done(&w);
}

static struct np_event denial(uint16_t port)
{
	struct np_event e = { .ns = (uint64_t)np_tick() << NP_TICK_SHIFT, .verdict = NP_VERDICT(NP_DENY, 1), .len = 60, .slot = SLOT,
			      .kind = NP_EVENT_VERDICT, .dir = NP_EGRESS, .family = 4, .proto = IPPROTO_TCP, .reason = NP_DROP_EGRESS,
			      .ip_peer = { 192, 0, 2, 7 }, .port_pod = htons(40000), .port_peer = htons(port) };

	return e;
}

static void test_denied_and_statuses(void **state)
{
	static struct world w;
	static struct lines l;
	struct np_event e = denial(443);
	unsigned int refused = 0;

	(void)state;
	w = world_new();
	start(&w, TABLE, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(flowlog_denied(w.f, &e, GEN), 0);
	pass(&w, UINT32_MAX);
	pass(&w, UINT32_MAX);
	flowlog_skipped(w.f, "eni-1");
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	assert_int_equal(l.n, 3);
	assert_string_equal(str(l.v[0], "action"), "REJECT");
	assert_string_equal(str(l.v[0], "policy"), "nodes");
	assert_string_equal(str(l.v[0], "rule"), "spec.egress[0]");
	assert_string_equal(str(l.v[0], "dstaddr"), "192.0.2.7");
	assert_int_equal(num(l.v[0], "srcport"), 40000);
	assert_int_equal(num(l.v[0], "dstport"), 443);
	assert_int_equal(num(l.v[0], "packets"), 3);
	assert_int_equal(num(l.v[0], "bytes"), 180);
	assert_string_equal(str(l.v[1], "log-status"), "NODATA");
	assert_string_equal(str(l.v[1], "srcaddr"), "");
	assert_int_equal(num(l.v[1], "packets"), -1);
	assert_string_equal(str(l.v[2], "log-status"), "SKIPDATA");
	assert_string_equal(str(l.v[2], "interface-id"), "eni-1");
	lines_done(&l);
	/* so many different ones and no more */
	for (unsigned int port = 0; port < 10000; port++) {
		e = denial((uint16_t)port);
		refused += flowlog_denied(w.f, &e, GEN) < 0;
	}
	assert_int_equal(refused, 10000 - 8192);
	assert_int_equal(flowlog_stats(w.f).left_out, refused);
	world_done(&w);
}

static unsigned int count(const char *path, const char *suffix)
{
	static struct lines l;
	char name[FLOWLOG_PATH_MAX + 8];
	unsigned int n;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	lines_read(name, &l);
	n = l.n;
	lines_done(&l);
	return n;
}

static int64_t packets_of(const char *path)
{
	static struct lines l;
	int64_t n = 0;

	lines_read(path, &l);
	for (unsigned int i = 0; i < l.n; i++)
		if (!strcmp(str(l.v[i], "log-status"), "OK"))
			n += num(l.v[i], "packets");
	lines_done(&l);
	return n;
}

static void test_rotation(void **state)
{
	static struct world w;
	char path[FLOWLOG_PATH_MAX + 8];
	struct stat st;

	(void)state;
	w = world_new();
	w.conf.max_bytes = 100 * 1024;
	start(&w, TABLE, 0);
	for (int i = 0; i < 200; i++)
		(void)flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, (uint16_t)i);
	for (int round = 0; round < 3; round++) {       /* 3 x 200 records of some 350 bytes: more than two files' worth */
		for (unsigned int i = 0; i < w.n_flow; i++)
			w.flow[i].ct.sum[NP_EGRESS] += NP_CT_SUM(1, 100);
		pass(&w, UINT32_MAX);
		assert_int_equal(stat(w.conf.path, &st), 0);
		assert_true((uint64_t)st.st_size <= w.conf.max_bytes);
	}
	(void)snprintf(path, sizeof(path), "%s.3", w.conf.path);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count(w.conf.path, "") + count(w.conf.path, ".1") + count(w.conf.path, ".2"), 600);
	world_done(&w);
}

/* The oldest file's name is taken by a folder: the log does not grow beyond its limit, that is counted, and told when it can be. */
static void test_no_rotation(void **state)
{
	static struct world w;
	char path[FLOWLOG_PATH_MAX + 8];
	struct stat st;
	int64_t n;

	(void)state;
	w = world_new();
	w.conf.max_bytes = 100 * 1024;
	start(&w, TABLE, 0);
	(void)snprintf(path, sizeof(path), "%s.2", w.conf.path);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 200; i++)
		(void)flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, (uint16_t)i);
	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < w.n_flow; i++)
			w.flow[i].ct.sum[NP_EGRESS] += NP_CT_SUM(1, 100);
		pass(&w, UINT32_MAX);
	}
	assert_int_equal(stat(w.conf.path, &st), 0);
	assert_true((uint64_t)st.st_size <= w.conf.max_bytes);
	assert_true(flowlog_stats(w.f).failing);
	assert_true(flowlog_stats(w.f).faults[FLOWLOG_ROTATE] > 0);
	assert_int_equal(flowlog_stats(w.f).faults[FLOWLOG_WRITE], 0);
	assert_int_equal(rmdir(path), 0);
	pass(&w, UINT32_MAX);
	assert_false(flowlog_stats(w.f).failing);
	n = packets_of(w.conf.path) + packets_of(path);
	(void)snprintf(path, sizeof(path), "%s.1", w.conf.path);
	assert_int_equal(n + packets_of(path), 600);
	world_done(&w);
}

/* No room: flows that live lose nothing, the file has no half lines, and the gap is told. */
static void test_full_disk(void **state)
{
	const struct rlimit small = { 4096, RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };
	static struct world w;
	static struct lines l;
	int64_t packets = 0;
	bool skipped = false;

	(void)state;
	w = world_new();
	start(&w, TABLE, 0);
	for (int i = 0; i < 100; i++)
		flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, (uint16_t)i)->ct.sum[NP_EGRESS] = NP_CT_SUM(2, 200);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	pass(&w, UINT32_MAX);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_int_equal(flowlog_stats(w.f).written, 0);
	assert_true(flowlog_stats(w.f).failing);
	assert_true(flowlog_stats(w.f).faults[FLOWLOG_WRITE] > 0);
	assert_true(flowlog_stats(w.f).lost >= 100);
	assert_int_equal(count(w.conf.path, ""), 0);
	for (unsigned int i = 0; i < w.n_flow; i++)
		w.flow[i].ct.sum[NP_EGRESS] += NP_CT_SUM(1, 100);
	pass(&w, UINT32_MAX);
	lines_read(w.conf.path, &l);
	for (unsigned int i = 0; i < l.n; i++) {
		if (!strcmp(str(l.v[i], "log-status"), "OK"))
			packets += num(l.v[i], "packets");
		skipped |= !strcmp(str(l.v[i], "log-status"), "SKIPDATA");
	}
	assert_int_equal(packets, 300);
	assert_true(skipped);
	assert_false(flowlog_stats(w.f).failing);
	assert_int_equal(flowlog_stats(w.f).written, l.n);
	lines_done(&l);
	world_done(&w);
}

static void test_sample(void **state)
{
	static struct world w;
	unsigned int first;

	(void)state;
	w = world_new();
	w.conf.sample = 10;
	start(&w, TABLE, 0);
	for (int i = 0; i < 1000; i++)
		flow_add(&w, "192.0.2.1", IPPROTO_UDP, 53, (uint16_t)i)->ct.sum[NP_EGRESS] = NP_CT_SUM(1, 100);
	pass(&w, UINT32_MAX);
	first = count(w.conf.path, "");
	assert_true(first > 50 && first < 200);
	for (unsigned int i = 0; i < w.n_flow; i++)
		w.flow[i].ct.sum[NP_EGRESS] += NP_CT_SUM(1, 100);
	pass(&w, UINT32_MAX);
	assert_int_equal(count(w.conf.path, ""), first);        /* the same flows */
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record),
		cmocka_unit_test(test_the_end_and_the_next_one),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_denied_and_statuses),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_no_rotation),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_sample),
	};

	return cmocka_run_group_tests_name("flowlog", tests, NULL, NULL);
}
