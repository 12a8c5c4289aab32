/*
 * The daemon's protocol: every message there and back, what decoders refuse, a client against servers that
 * behave badly, the lock, tombstones. Servers run in a thread on sockets in a folder of their own.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"
#include "tests/unit/cm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FAR_MS 20000 /* a deadline that no healthy run comes near */

static struct vw_ip ip(const char *text)
{
	struct vw_ip v;

	assert_int_equal(vw_ip_parse(text, &v), 0);
	return v;
}

/* --- messages */

static struct vw_rpc_req sample_add(void)
{
	struct vw_rpc_req r = {
		.op = VW_RPC_ADD,
		.vmin = 1,
		.vmax = 1,
		.key = {"c1-abc", "eth0"},
		.netns = "/var/run/netns/x",
		.network = "vpc",
		.pod_namespace = "ns",
		.pod_name = "pod-0",
		.pod_uid = "u",
		.deadline_ms = 30000,
	};

	return r;
}

static void requests_survive(void **state)
{
	static const enum vw_rpc_op ops[] = {VW_RPC_ADD, VW_RPC_DEL, VW_RPC_CHECK, VW_RPC_STATUS,
					     VW_RPC_INFO};

	for (size_t i = 0; i < VW_ARRAY_SIZE(ops); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		struct vw_rpc_req in = sample_add(), out;
		struct vw_err err;

		in.op = ops[i];
		if (ops[i] == VW_RPC_ADD) {
			assert_int_equal(vw_ip_parse("10.0.0.7", &in.want[0]), 0);
			assert_int_equal(vw_ip_parse("2001:db8::7", &in.want[1]), 0);
			in.n_want = 2;
			in.want_optional = true;
			in.mtu = 1400;
			in.own_attach = true;
			in.attach = VW_ATTACH_TCX;
		}
		in.failed = ops[i] == VW_RPC_DEL;
		assert_int_equal(vw_rpc_req_encode(&in, &b, &err), 0);
		memset(&out, 0xff, sizeof(out));
		assert_int_equal(vw_rpc_req_decode(vw_buf_str(&b), b.len, &out, &err), 0);
		assert_memory_equal(&in, &out, sizeof(in));
	}
}

static void gc_lists_survive(void **state)
{
	static const struct {
		size_t n;
		bool unknown;
	} rows[] = {{0, true}, {0, false}, {2, false}, {800, false}};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		struct vw_rpc_req in = {.op = VW_RPC_GC, .network = "vpc"}, out = {0};
		struct vw_err err;

		in.valid_unknown = rows[i].unknown;
		in.n_valid = rows[i].n;
		in.valid = calloc(rows[i].n + 1, sizeof(*in.valid));
		for (size_t k = 0; k < rows[i].n; k++) {
			snprintf(in.valid[k].container_id, VW_ID_MAX, "%064zx", k);
			snprintf(in.valid[k].ifname, IFNAMSIZ, "eth%zu", k % 10);
		}
		assert_int_equal(vw_rpc_req_encode(&in, &b, &err), 0);
		assert_int_equal(vw_rpc_req_decode(vw_buf_str(&b), b.len, &out, &err), 0);
		assert_int_equal(out.n_valid, in.n_valid);
		assert_int_equal(out.valid_unknown, in.valid_unknown);
		if (in.n_valid)
			assert_memory_equal(in.valid, out.valid, in.n_valid * sizeof(*in.valid));
		vw_rpc_req_done(&in);
		vw_rpc_req_done(&out);
		vw_rpc_req_done(&out);
	}
}

static void too_large_a_list_is_refused(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_rpc_req in = {.op = VW_RPC_GC, .n_valid = 1000};
	struct vw_err err;

	in.valid = calloc(in.n_valid, sizeof(*in.valid));
	for (size_t k = 0; k < in.n_valid; k++) {
		snprintf(in.valid[k].container_id, VW_ID_MAX, "%064zx", k);
		snprintf(in.valid[k].ifname, IFNAMSIZ, "eth0");
	}
	assert_int_equal(vw_rpc_req_encode(&in, &b, &err), -EMSGSIZE);
	vw_rpc_req_done(&in);
}

static void bad_requests(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "empty"},
		{"[]", "not a JSON object"},
		{"{}", "'op'"},
		{"{\"op\":\"sing\"}", "'op'"},
		{"{\"op\":1}", "'op'"},
		{"{\"op\":\"add\",\"vmin\":2,\"vmax\":3}", "versions 2 to 3"},
		{"{\"op\":\"future\",\"vmin\":2,\"vmax\":3}", "versions 2 to 3"},
		{"{\"op\":\"add\",\"ifname\":\"eth0\"}", "container id"},
		{"{\"op\":\"del\",\"container_id\":\"a\"}", "interface name"},
		{"{\"op\":\"add\",\"container_id\":\"../x\",\"ifname\":\"eth0\"}", "container id"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"sixteen.bytes.00\"}",
		 "'ifname' is longer"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"a b\"}", "interface name"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"e\",\"deadline_ms\":-1}",
		 "deadline_ms"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"e\",\"want\":[\"x\"]}", "entry 0 of 'want'"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"e\",\"want\":[\"10.0.0.1\",\"10.0.0.2\"]}",
		 "entry 1 of 'want'"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"e\",\"want\":[1,2,3]}", "more than two"},
		{"{\"op\":\"add\",\"container_id\":\"a\",\"ifname\":\"e\",\"want\":5}", "'want'"},
		{"{\"op\":\"gc\",\"valid\":[1]}", "entry 0"},
		{"{\"op\":\"gc\",\"valid\":[\"a/e\",\"a\"]}", "entry 1"},
		{"{\"op\":\"gc\",\"valid\":[\"/eth0\"]}", "entry 0"},
		{"{\"op\":\"gc\",\"valid\":{}}", "'valid'"},
		{"{\"op\":\"gc\",\"valid\":[\"a/sixteen.bytes.00\"]}", "too long"},
		{"{\"op\":\"gc\",\"x\":[[[[[[[[[]]]]]]]]]}", "deeper"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_rpc_req req, before;
		struct vw_err err = {0};

		memset(&req, 0xa5, sizeof(req));
		before = req;
		assert_true(vw_rpc_req_decode(rows[i].text, strlen(rows[i].text), &req, &err) < 0);
		assert_memory_equal(&req, &before, sizeof(req));
		if (!strstr(err.msg, rows[i].why))
			fail_msg("%s: %s", rows[i].text, err.msg);
	}
}

static struct vw_rpc_wiring sample_wiring(void)
{
	struct vw_rpc_wiring w = {
		.existing = true,
		.n_addr = 2,
		.mtu = 9001,
		.host_ifname = "eni0123456789a",
		.host_ifindex = VW_IFINDEX_BASE + 7,
		.host_mac = {{2, 0, 0, 0, 0, 1}},
		.pod_mac = {{2, 0, 0, 0, 0, 2}},
		.slot = 7,
		.pods_table = 22103,
		.eni_id = "eni-0abc",
		.eni_ifname = "eth1",
		.attach = VW_ATTACH_TCX,
		.pin_from_pod = "/sys/fs/bpf/x",
	};

	w.addr[0] = vw_cidr_host(&(struct vw_ip){.family = 2, .b = {10, 0, 0, 5}});
	w.gateway[0] = ip("169.254.1.1");
	w.addr[1] = vw_cidr_host(&(struct vw_ip){.family = 10, .b = {0x20, 1}});
	w.gateway[1] = ip("fe80::1");
	w.egress[1] = true;
	return w;
}

static void wirings_survive(void **state)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *j = NULL;
	struct vw_rpc_wiring in = sample_wiring(), out;
	struct vw_err err;

	assert_int_equal(vw_rpc_wiring_encode(VW_RPC_VERSION_MAX, &in, &b, &err), 0);
	assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&b), b.len, &j, &err), 0);
	memset(&out, 0, sizeof(out));
	assert_int_equal(vw_rpc_wiring_decode(j, &out, &err), 0);
	assert_memory_equal(&in, &out, sizeof(in));
}

static void bad_wirings(void **state)
{
	static const struct {
		const char *key, *value, *why;
	} rows[] = {
		{"mtu", NULL, "mtu"},
		{"mtu", "65536", "mtu"},
		{"host_ifname", NULL, "host_ifname"},
		{"host_ifname", "\"a/b\"", "host_ifname"},
		{"host_ifindex", "0", "host_ifindex"},
		{"host_mac", "\"x\"", "host_mac"},
		{"pod_mac", "\"00:00:00:00:00:00\"", "pod_mac"},
		{"pods_table", "0", "pods_table"},
		{"attach", "\"xdp\"", "attach"},
		{"addresses", NULL, "one or two"},
		{"addresses", "[]", "one or two"},
		{"addresses", "[1]", "not usable"},
		{"addresses", "[{\"address\":\"10.0.0.5/24\",\"gateway\":\"169.254.1.1\"}]", "not usable"},
		{"addresses", "[{\"address\":\"10.0.0.5/32\",\"gateway\":\"fe80::1\"}]", "not usable"},
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		vw_auto_json struct vw_json *j = NULL;
		struct vw_rpc_wiring in = sample_wiring(), out, before;
		struct vw_json *value = NULL;
		struct vw_err err = {0};

		assert_int_equal(vw_rpc_wiring_encode(VW_RPC_VERSION_MAX, &in, &b, &err), 0);
		assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&b), b.len, &j, &err), 0);
		vw_json_del(j, rows[i].key);
		if (rows[i].value) {
			assert_int_equal(
				vw_json_parse(rows[i].value, strlen(rows[i].value), NULL, "v", &value, &err),
				0);
			assert_int_equal(vw_json_set(j, rows[i].key, value), 0);
		}
		memset(&out, 0xa5, sizeof(out));
		before = out;
		assert_true(vw_rpc_wiring_decode(j, &out, &err) < 0);
		assert_memory_equal(&out, &before, sizeof(out));
		assert_int_equal(err.cni, VW_CNI_DAEMON);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("row %zu: %s", i, err.msg);
	}
}

static void replies(void **state)
{
	vw_auto_buf struct vw_buf ok = VW_BUF_INIT, bad = VW_BUF_INIT, st = VW_BUF_INIT;
	vw_auto_json struct vw_json *j = NULL, *k = NULL;
	struct vw_err why = {.eno = EAGAIN, .cni = 11, .msg = "no \"address\" left"}, err = {0};
	struct vw_rpc_status in = {.cni = 50, .msg = "pool empty"}, out;

	assert_int_equal(vw_rpc_ok_encode(VW_RPC_VERSION_MAX, &ok, &err), 0);
	assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&ok), ok.len, &j, &err), 0);
	assert_int_equal(vw_rpc_status_decode(j, &out, &err), -EINVAL);
	assert_int_equal(vw_rpc_status_encode(VW_RPC_VERSION_MAX, &in, &st, &err), 0);
	assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&st), st.len, &k, &err), 0);
	assert_int_equal(vw_rpc_status_decode(k, &out, &err), 0);
	assert_int_equal(out.cni, 50);
	assert_string_equal(out.msg, "pool empty");
	assert_int_equal(vw_rpc_error_encode(VW_RPC_VERSION_MAX, &why, &bad, &err), 0);
	assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&bad), bad.len, &j, &err), -EAGAIN);
	assert_int_equal(err.cni, 11);
	assert_string_equal(err.msg, why.msg);
}

static void bad_replies(void **state)
{
	static const char *const rows[] = {"",
					   "{",
					   "[]",
					   "{}",
					   "{\"v\":0}",
					   "{\"v\":2}",
					   "{\"v\":\"x\"}",
					   "{\"v\":1,\"error\":1}",
					   "{\"v\":1,\"error\":{\"errno\":0}}",
					   "{\"v\":1,\"error\":{\"msg\":1}}"};

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		struct vw_json *j = NULL;
		struct vw_err err = {0};

		assert_int_equal(vw_rpc_reply_decode(rows[i], strlen(rows[i]), &j, &err), -EPROTO);
		assert_int_equal(err.cni, VW_CNI_DAEMON);
		assert_null(j);
	}
}

/* --- sockets */

struct place {
	char dir[64], sock[96];
	int listen_fd, lock_fd;
	pthread_t thread;
	const char *answer; /* NULL: hang up without one */
	bool as_daemon;     /* answers through vw_rpc_send(), as the daemon does */
	size_t answer_len;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	*state = p;
	p->listen_fd = p->lock_fd = -EBADF;
	snprintf(p->dir, sizeof(p->dir), "/tmp/vw-test-rpc.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->sock, sizeof(p->sock), "%s/s", p->dir);
	return 0;
}

static void empty_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char sub[600];

	while (d && (e = readdir(d))) {
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		unlink(sub);
	}
	if (d)
		closedir(d);
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char sub[128];

	vw_close_fd(&p->listen_fd);
	vw_close_fd(&p->lock_fd);
	snprintf(sub, sizeof(sub), "%s/tombstones", p->dir);
	empty_folder(sub);
	rmdir(sub);
	empty_folder(p->dir);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void *serve_one(void *arg)
{
	struct place *p = arg;
	vw_auto_close int fd = -EBADF;
	char packet[VW_RPC_MAX];

	fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || recv(fd, packet, sizeof(packet), 0) <= 0)
		return NULL;
	if (p->answer && p->as_daemon) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		vw_buf_add(&b, p->answer, p->answer_len);
		(void)vw_rpc_send(fd, &b);
	} else if (p->answer) {
		(void)!send(fd, p->answer, p->answer_len, MSG_NOSIGNAL);
	}
	return NULL;
}

static void start(struct place *p, const char *answer, size_t len)
{
	struct vw_err err;

	p->listen_fd = vw_rpc_listen(p->sock, &p->lock_fd, &err);
	if (p->listen_fd < 0)
		fail_msg("%s", err.msg);
	/* the helper's fd does not block; a thread that serves one call wants one that does */
	assert_int_equal(fcntl(p->listen_fd, F_SETFL, 0), 0);
	p->answer = answer;
	p->answer_len = len;
	assert_int_equal(pthread_create(&p->thread, NULL, serve_one, p), 0);
}

static int call(struct place *p, unsigned int ms, struct vw_json **ret, struct vw_err *err)
{
	struct vw_rpc_req req = sample_add();

	return vw_rpc_call(p->sock, &req, vw_mono_ms() + ms, ret, err);
}

static void call_answered(void **state)
{
	struct place *p = *state;
	vw_auto_json struct vw_json *j = NULL;
	struct vw_err err;

	start(p, "{\"v\":1,\"x\":5}", 13);
	assert_int_equal(call(p, FAR_MS, &j, &err), 0);
	assert_non_null(vw_json_get(j, "x"));
	pthread_join(p->thread, NULL);
}

static void call_nobody(void **state)
{
	struct place *p = *state;
	struct vw_json *j = NULL;
	struct vw_err err;
	int lock;

	assert_int_equal(call(p, FAR_MS, &j, &err), -ECONNREFUSED); /* no file */
	assert_int_equal(err.cni, VW_CNI_TRY_AGAIN);
	assert_non_null(strstr(err.msg, "is vpcwired running?"));
	close(vw_rpc_listen(p->sock, &lock, &err));
	close(lock);
	assert_int_equal(call(p, FAR_MS, &j, &err), -ECONNREFUSED); /* a stale file */
	assert_null(j);
}

static void call_hung_up_on(void **state)
{
	struct place *p = *state;
	struct vw_json *j = NULL;
	struct vw_err err;

	start(p, NULL, 0);
	assert_int_equal(call(p, FAR_MS, &j, &err), -ECONNRESET);
	assert_int_equal(err.cni, VW_CNI_TRY_AGAIN);
	pthread_join(p->thread, NULL);
}

/* a daemon that ends with the request in its hands, and the one that follows it */
static void *serve_by_two(void *arg)
{
	struct place *p = arg;
	const char *answer = p->answer;
	struct vw_err err;

	p->answer = NULL;
	serve_one(p);
	vw_close_fd(&p->listen_fd);
	vw_close_fd(&p->lock_fd);
	p->answer = answer;
	p->listen_fd = vw_rpc_listen(p->sock, &p->lock_fd, &err);
	return p->listen_fd >= 0 && fcntl(p->listen_fd, F_SETFL, 0) == 0 ? serve_one(p) : NULL;
}

static void call_again_while_away(void **state)
{
	struct place *p = *state;
	vw_auto_json struct vw_json *j = NULL;
	struct vw_rpc_req req = sample_add();
	uint64_t began = vw_mono_ms();
	struct vw_err err;

	assert_int_equal(vw_rpc_call_again(p->sock, &req, vw_mono_ms() + FAR_MS, 50, &j, &err), -ECONNREFUSED);
	assert_true(vw_mono_ms() - began >= 50);
	/* what the caller has no time for is not waited for */
	assert_int_equal(vw_rpc_call_again(p->sock, &req, vw_mono_ms() + 50, FAR_MS, &j, &err), -ECONNREFUSED);
	assert_null(j);
	p->listen_fd = vw_rpc_listen(p->sock, &p->lock_fd, &err);
	assert_true(p->listen_fd >= 0 && fcntl(p->listen_fd, F_SETFL, 0) == 0);
	p->answer = "{\"v\":1,\"x\":5}";
	p->answer_len = strlen(p->answer);
	assert_int_equal(pthread_create(&p->thread, NULL, serve_by_two, p), 0);
	assert_int_equal(vw_rpc_call_again(p->sock, &req, vw_mono_ms() + FAR_MS, FAR_MS, &j, &err), 0);
	assert_non_null(vw_json_get(j, "x"));
	pthread_join(p->thread, NULL);
}

/* an older peer is answered in its version, a newer one in ours */
static void versions_are_agreed_on(void **state)
{
	static const struct {
		unsigned int vmax, v;
	} rows[] = { { VW_RPC_VERSION_MAX, VW_RPC_VERSION_MAX }, { VW_RPC_VERSION_MAX + 1, VW_RPC_VERSION_MAX },
		     { VW_RPC_VERSION_MIN, VW_RPC_VERSION_MIN } };

	for (size_t i = 0; i < VW_ARRAY_SIZE(rows); i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		struct vw_rpc_req req = sample_add(), got;
		struct vw_err err;

		req.vmax = rows[i].vmax;
		assert_int_equal(vw_rpc_req_encode(&req, &b, &err), 0);
		assert_int_equal(vw_rpc_req_decode(vw_buf_str(&b), b.len, &got, &err), 0);
		assert_int_equal(vw_rpc_version_of(&got), rows[i].v);
		vw_rpc_req_done(&got);
	}
	{
		vw_auto_buf struct vw_buf answer = VW_BUF_INIT;
		struct vw_err err;

		assert_int_equal(vw_rpc_ok_encode(7, &answer, &err), 0);
		assert_string_equal(vw_buf_str(&answer), "{\"v\":7}");
	}
}

static void call_too_large_an_answer(void **state)
{
	struct place *p = *state;
	struct vw_json *j = NULL;
	struct vw_err err;
	static char big[VW_RPC_MAX + 10];

	memset(big, ' ', sizeof(big));
	memcpy(big, "{\"v\":1}", 7);
	start(p, big, sizeof(big));
	assert_int_equal(call(p, FAR_MS, &j, &err), -EPROTO);
	pthread_join(p->thread, NULL);
}

/* what is too large for a packet comes as a memfd, and nobody but the reader's patience limits it */
static void call_large_answers(void **state)
{
	static const size_t sizes[] = { VW_RPC_MAX, VW_RPC_MAX + 1, 5 * 1024 * 1024 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		vw_auto_json struct vw_json *j = NULL;
		struct place *p = *state;
		char *big = malloc(sizes[i]);
		struct vw_err err;
		int r;

		assert_non_null(big);
		memset(big, ' ', sizes[i]);
		memcpy(big, "{\"v\":1,\"result\":7", 18);
		big[sizes[i] - 1] = '}';
		p->as_daemon = true;
		start(p, big, sizes[i]);
		r = call(p, FAR_MS, &j, &err);
		if (r < 0)
			fail_msg("%zu bytes: %s", sizes[i], err.msg);
		assert_non_null(vw_json_get(j, "result"));
		pthread_join(p->thread, NULL);
		free(big);
		vw_close_fd(&p->listen_fd);
		vw_close_fd(&p->lock_fd);
	}
}

static void queries_survive(void **state)
{
	static const char *const bad[] = {
		"{\"op\":\"query\"}",
		"{\"op\":\"query\",\"what\":7}",
		"{\"op\":\"query\",\"what\":\"a-name-of-a-query-that-is-far-too-long\"}",
		"{\"op\":\"query\",\"what\":\"policy-status\",\"args\":[]}",
	};
	struct vw_rpc_req req = { .op = VW_RPC_QUERY, .what = "policy-explain" }, got;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT, result = VW_BUF_INIT;
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_err err;

	req.args = vw_json_new_object();
	assert_int_equal(vw_json_set_str(req.args, "from", "a/b"), 0);
	assert_int_equal(vw_rpc_req_encode(&req, &b, &err), 0);
	assert_int_equal(vw_rpc_req_decode(vw_buf_str(&b), b.len, &got, &err), 0);
	assert_int_equal(got.op, VW_RPC_QUERY);
	assert_string_equal(got.what, "policy-explain");
	assert_string_equal(vw_json_string(vw_json_get(got.args, "from")), "a/b");
	vw_rpc_req_done(&got);
	vw_rpc_req_done(&req);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(vw_rpc_req_decode(bad[i], strlen(bad[i]), &got, &err) < 0);
	assert_int_equal(vw_rpc_result_encode(VW_RPC_VERSION_MAX, vw_json_new_int(7), &result, &err), 0);
	assert_int_equal(vw_rpc_reply_decode(vw_buf_str(&result), result.len, &reply, &err), 0);
	assert_non_null(vw_json_get(reply, "result"));
	assert_true(vw_rpc_result_encode(VW_RPC_VERSION_MAX, NULL, &result, &err) < 0);
}

static void call_not_answered(void **state)
{
	struct place *p = *state;
	struct vw_json *j = NULL;
	struct vw_err err;

	/* Nobody accepts: the request sits in the backlog. */
	p->listen_fd = vw_rpc_listen(p->sock, &p->lock_fd, &err);
	assert_true(p->listen_fd >= 0);
	assert_int_equal(call(p, 30, &j, &err), -ETIMEDOUT);
	assert_int_equal(err.cni, VW_CNI_TRY_AGAIN);
	assert_int_equal(call(p, 0, &j, &err), -ETIMEDOUT);
}

static void call_wrong_kind_of_socket(void **state)
{
	struct place *p = *state;
	struct vw_json *j = NULL;
	struct vw_err err;

	assert_int_equal(vw_replace_file(p->sock, "", 0, 0600, &err), 0);
	assert_int_equal(call(p, FAR_MS, &j, &err), -ECONNREFUSED);
	{
		char longer[200];
		struct vw_rpc_req req = sample_add();

		memset(longer, 'x', sizeof(longer) - 1);
		longer[sizeof(longer) - 1] = '\0';
		assert_int_equal(vw_rpc_call(longer, &req, vw_mono_ms() + FAR_MS, &j, &err), -ENAMETOOLONG);
	}
}

static void one_server_only(void **state)
{
	struct place *p = *state;
	struct vw_err err;
	struct stat st;
	int lock = -77, fd;

	p->listen_fd = vw_rpc_listen(p->sock, &p->lock_fd, &err);
	assert_true(p->listen_fd >= 0);
	assert_int_equal(stat(p->sock, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(vw_rpc_listen(p->sock, &lock, &err), -EADDRINUSE);
	assert_int_equal(lock, -77);
	vw_close_fd(&p->listen_fd);
	vw_close_fd(&p->lock_fd);
	fd = vw_rpc_listen(p->sock, &lock, &err); /* after a kill -9: stale socket, free lock */
	assert_true(fd >= 0);
	close(fd);
	close(lock);
}

static void peer_identity(void **state)
{
	int pair[2], pipes[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(vw_rpc_peer_is_root(pair[0]));
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_false(vw_rpc_peer_is_root(pipes[0]));
	assert_false(vw_rpc_peer_is_root(-1));
	close(pair[0]);
	close(pair[1]);
	close(pipes[0]);
	close(pipes[1]);
}

/* --- tombstones */

struct seen {
	unsigned int n;
	char ids[512];
	int answer;
};

static int see(const struct vw_rpc_req *del, void *arg)
{
	struct seen *s = arg;
	size_t len = strlen(s->ids);

	assert_int_equal(del->op, VW_RPC_DEL);
	snprintf(s->ids + len, sizeof(s->ids) - len, "%.20s/%s ", del->key.container_id, del->key.ifname);
	s->n++;
	return s->answer;
}

static void tombstones(void **state)
{
	struct place *p = *state;
	struct vw_rpc_req del = {.op = VW_RPC_DEL, .key = {"c1", "eth0"}, .network = "vpc"};
	struct seen refused = {.answer = -EIO}, taken = {0};
	struct vw_err err;
	char path[200], note[200];

	assert_int_equal(vw_tombstone_replay(p->sock, see, &taken, &err), 0); /* no folder yet */
	assert_int_equal(vw_tombstone_write(p->sock, &del, &err), 0);
	assert_int_equal(vw_tombstone_write(p->sock, &del, &err), 0); /* the same again: one file */
	snprintf(del.key.ifname, IFNAMSIZ, "net1");
	assert_int_equal(vw_tombstone_write(p->sock, &del, &err), 0);
	memset(del.key.container_id, 'a', VW_ID_MAX - 1); /* two ids alike for 318 bytes */
	assert_int_equal(vw_tombstone_write(p->sock, &del, &err), 0);
	del.key.container_id[VW_ID_MAX - 2] = 'b';
	assert_int_equal(vw_tombstone_write(p->sock, &del, &err), 0);
	snprintf(path, sizeof(path), "%s/tombstones/junk.json", p->dir);
	assert_int_equal(vw_replace_file(path, "{", 1, 0600, &err), 0);
	snprintf(note, sizeof(note), "%s/tombstones/note.txt", p->dir);
	assert_int_equal(vw_replace_file(note, "x", 1, 0600, &err), 0);
	snprintf(path, sizeof(path), "%s/tombstones/half.json.tmp.1", p->dir);
	assert_int_equal(vw_replace_file(path, "{", 1, 0600, &err), 0);

	assert_int_equal(vw_tombstone_replay(p->sock, see, &refused, &err), 4);
	assert_int_equal(vw_tombstone_remove(p->sock, &del.key, &err), 1);
	assert_int_equal(vw_tombstone_remove(p->sock, &del.key, &err), 0);
	assert_int_equal(vw_tombstone_replay(p->sock, see, &taken, &err), 3);
	assert_non_null(strstr(taken.ids, "c1/eth0 "));
	assert_non_null(strstr(taken.ids, "c1/net1 "));
	assert_int_equal(vw_tombstone_replay(p->sock, see, &taken, &err), 0);
	assert_int_equal(taken.n, 3);
	assert_int_equal(access(path, F_OK), -1); /* nobody writes it any more */
	assert_int_equal(access(note, F_OK), 0);  /* what is not ours stays */
}

#define place_test(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_survive),
		cmocka_unit_test(gc_lists_survive),
		cmocka_unit_test(too_large_a_list_is_refused),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(wirings_survive),
		cmocka_unit_test(bad_wirings),
		cmocka_unit_test(replies),
		cmocka_unit_test(bad_replies),
		cmocka_unit_test(queries_survive),
		place_test(call_answered),
		place_test(call_nobody),
		place_test(call_hung_up_on),
		place_test(call_again_while_away),
		place_test(versions_are_agreed_on),
		place_test(call_too_large_an_answer),
		place_test(call_large_answers),
		place_test(call_not_answered),
		place_test(call_wrong_kind_of_socket),
		place_test(one_server_only),
		cmocka_unit_test(peer_identity),
		place_test(tombstones),
	};

	return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
