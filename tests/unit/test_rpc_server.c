/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's socket when as many are connected as it takes, when there is no memory, no descriptor. Server and peers in one thread. */
#include "daemon/loop.h"
#include "daemon/rpc_server.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"
#include "tests/unit/loop_turn.h"
#include "tests/unit/scarce.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 20000       /* only a test that fails waits for it */

static bool no_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

struct world {
	struct loop *loop;
	struct rpc_server *server;
	struct rpc_conn *held[RPC_SERVER_MAX_CONNS + 1];
	size_t n_held, wanted;
	char dir[32], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct vw_buf reply;
};

static void hold(struct rpc_conn *conn, const struct vw_rpc_req *req, void *arg)
{
	struct world *w = arg;

	w->held[w->n_held++] = conn;
	if (w->n_held == w->wanted)
		loop_stop(w->loop);
}

static void gone(struct rpc_conn *conn, void *arg)
{
	fail_msg("a peer went away");
}

static void too_long(void *arg)
{
	loop_stop(arg);
}

/* until @n requests have been handed over; -> whether they were */
static bool hears(struct world *w, size_t n)
{
	struct loop_timer *patience;
	struct vw_err err;

	w->wanted = n;
	if (w->n_held >= n)
		return true;
	assert_int_equal(loop_timer_new(w->loop, too_long, w->loop, &patience), 0);
	loop_timer_set(patience, PATIENCE_MS);
	assert_int_equal(loop_run(w->loop, &err), 0);
	loop_timer_free(patience);
	return w->n_held >= n;
}

static int peer(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static void ask_by(const struct world *w, int fd)
{
	static const char question[] = "{\"op\":\"info\",\"vmin\":1,\"vmax\":1}";
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	memcpy(to.sun_path, w->path, sizeof(to.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, question, sizeof(question) - 1, 0), sizeof(question) - 1);
}

static int ask(const struct world *w)
{
	int fd = peer();

	ask_by(w, fd);
	return fd;
}

static const struct rpc_server_ops ops = { hold, gone };

static void begin(struct world *w)
{
	struct vw_err err;

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/vw-rpc-server-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	vw_buf_puts(&w->reply, "{}");
	assert_int_equal(loop_new(&w->loop, &err), 0);
	assert_int_equal(rpc_server_new(w->loop, w->path, &ops, w, &w->server, &err), 0);
}

/* those from @first on are answered */
static void end(struct world *w, size_t first)
{
	char lock[sizeof(w->path) + 8];

	for (size_t i = first; i < w->n_held; i++)
		assert_int_equal(rpc_conn_reply(w->held[i], &w->reply), 0);
	rpc_server_free(w->server);
	loop_free(w->loop);
	(void)snprintf(lock, sizeof(lock), "%s.lock", w->path);
	(void)unlink(lock);
	(void)unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	vw_buf_done(&w->reply);
}

static void test_full_and_without_memory(void **state)
{
	struct rlimit files = { 3 * RPC_SERVER_MAX_CONNS, 3 * RPC_SERVER_MAX_CONNS };
	int peers[RPC_SERVER_MAX_CONNS + 1];
	struct world w = { .reply = VW_BUF_INIT };
	struct rlimit was;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	files.rlim_max = was.rlim_max;
	if (was.rlim_max < files.rlim_cur)
		skip();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	begin(&w);
	for (size_t i = 0; i < RPC_SERVER_MAX_CONNS; i++) {
		peers[i] = ask(&w);
		assert_true(hears(&w, i + 1));
	}
	/* one more waits, and the server has seen that it does */
	peers[RPC_SERVER_MAX_CONNS] = ask(&w);
	loop_turn(w.loop);
	loop_turn(w.loop);
	assert_int_equal(w.n_held, RPC_SERVER_MAX_CONNS);
	no_memory = true;
	assert_int_equal(rpc_conn_reply(w.held[0], &w.reply), 0);
	no_memory = false;
	assert_true(hears(&w, RPC_SERVER_MAX_CONNS + 1));

	end(&w, 1);
	for (size_t i = 0; i < VW_ARRAY_SIZE(peers); i++)
		close(peers[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

/* who connects then waits, the loop does not spin over it, and it is heard when a descriptor is there, whoever gave it back */
static void test_no_descriptor_is_left(void **state)
{
	struct world w = { .reply = VW_BUF_INIT };
	int first, second, third, spare;
	struct rlimit was;

	begin(&w);
	first = ask(&w);
	assert_true(hears(&w, 1));
	second = peer();
	third = peer();
	spare = peer();
	scarce_begin(&was);
	ask_by(&w, second);
	scarce_turns(loop_turn, w.loop);
	assert_int_equal(w.n_held, 1);
	assert_int_equal(rpc_conn_reply(w.held[0], &w.reply), 0);
	assert_true(hears(&w, 2));

	ask_by(&w, third);
	scarce_turns(loop_turn, w.loop);
	assert_int_equal(w.n_held, 2);
	close(spare);
	assert_true(hears(&w, 3));
	scarce_end(&was);
	end(&w, 1);
	close(first);
	close(second);
	close(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_full_and_without_memory), cmocka_unit_test(test_no_descriptor_is_left) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
