/* The daemon's HTTP server over a unix socket, loop and client in one thread; addresses; buckets of durations. */
#include "daemon/hist.h"
#include "daemon/httpd.h"
#include "daemon/loop.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"
#include "tests/unit/loop_turn.h"
#include "tests/unit/scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* one character more than sun_path holds */
#define LONG_PATH \
	"unix:/01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"

static void test_addresses(void **state)
{
	static const char *const good[] = { "", "127.0.0.1:61678", "0.0.0.0:1", "[::1]:65535", "[fd00::a]:80", "unix:/run/x.sock" };
	static const char *const bad[] = { "61678", ":61678", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
					   "::1:80", "[::1]", "[127.0.0.1]:80", "[::1:80", "localhost:80", "unix:", "unix:x.sock",
					   "127.0.0.1:80 ", "127.0.0.1:+80", "[]:80", "[:80", "]:80",
					   LONG_PATH };
	struct vw_err err;

	for (size_t i = 0; i < VW_ARRAY_SIZE(good); i++)
		assert_int_equal(httpd_check_address(good[i], &err), 0);
	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++) {
		assert_int_equal(httpd_check_address(bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "wanted one like"));
	}
}

/* --- over a socket */

struct rig {
	char dir[32], path[64], address[80];
	struct loop *loop;
	struct httpd *httpd;
	int fd;
	struct vw_buf got;
	int prints;
};

static int print_page(void *arg, struct vw_buf *body, struct vw_err *err)
{
	struct rig *r = arg;

	r->prints++;
	vw_buf_puts(body, "the page\n");
	return 0;
}

static int print_nothing(void *arg, struct vw_buf *body, struct vw_err *err)
{
	return vw_err_set(err, ENOMEM, 0, "no memory");
}

static const struct httpd_page pages[] = { { "/page", "text/plain", print_page }, { "/broken", "text/plain", print_nothing } };

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vw_err err;

	assert_non_null(r);
	(void)VW_COPY(r->dir, "/tmp/vwhttpdXXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_true(vw_fmt(r->path, sizeof(r->path), "%s/sock", r->dir) > 0);
	assert_true(vw_fmt(r->address, sizeof(r->address), "unix:%s", r->path) > 0);
	assert_int_equal(loop_new(&r->loop, &err), 0);
	assert_int_equal(httpd_new(r->loop, r->address, pages, VW_ARRAY_SIZE(pages), r, &r->httpd, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	httpd_free(r->httpd);
	assert_int_equal(access(r->path, F_OK), -1);    /* the socket goes with it */
	loop_free(r->loop);
	assert_int_equal(rmdir(r->dir), 0);
	vw_buf_done(&r->got);
	free(r);
	return 0;
}

static void on_readable(void *arg)
{
	struct rig *r = arg;
	char buf[4096];
	ssize_t n = read(r->fd, buf, sizeof(buf));

	if (n > 0)
		vw_buf_add(&r->got, buf, (size_t)n);
	else
		loop_stop(r->loop);
}

static void new_client(struct rig *r)
{
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
}

static void say(struct rig *r, const char *request, size_t len)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)VW_COPY(un.sun_path, r->path);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(send(r->fd, request, len, 0), (ssize_t)len);
}

/* what comes back until the server closes */
static const char *hear(struct rig *r)
{
	struct loop_fd *watch;
	struct vw_err err;

	vw_buf_reset(&r->got);
	assert_int_equal(loop_fd_watch(r->loop, r->fd, on_readable, r, &watch), 0);
	assert_int_equal(loop_run(r->loop, &err), 0);
	loop_fd_unwatch(watch);
	close(r->fd);
	return vw_buf_str(&r->got);
}

static const char *ask(struct rig *r, const char *request, size_t len)
{
	new_client(r);
	say(r, request, len);
	return hear(r);
}

static const char *get(struct rig *r, const char *head)
{
	char request[512];
	int n = vw_fmt(request, sizeof(request), "%s\r\nConnection: close\r\n\r\n", head);

	assert_true(n > 0);
	return ask(r, request, (size_t)n);
}

#define assert_starts(text, start) assert_memory_equal(text, start, strlen(start))

static void test_pages(void **state)
{
	struct rig *r = *state;

	assert_starts(get(r, "GET /page HTTP/1.1\r\nHost: localhost"), "HTTP/1.1 200 ");
	assert_non_null(strstr(vw_buf_str(&r->got), "\r\n\r\nthe page\n"));
	assert_non_null(strstr(vw_buf_str(&r->got), "Content-Type: text/plain\r\n"));
	assert_starts(get(r, "HEAD /page HTTP/1.1\r\nHost: 127.0.0.1:80"), "HTTP/1.1 200 ");
	assert_null(strstr(vw_buf_str(&r->got), "the page"));
	assert_starts(get(r, "GET /page?x=1 HTTP/1.1\r\nHost: [::1]:80"), "HTTP/1.1 200 ");
	assert_int_equal(r->prints, 3);
	assert_starts(get(r, "GET /other HTTP/1.1\r\nHost: localhost"), "HTTP/1.1 404 ");
	assert_starts(get(r, "GET /broken HTTP/1.1\r\nHost: localhost"), "HTTP/1.1 500 ");
	assert_int_equal(r->prints, 3);
}

static void test_refusals(void **state)
{
	static const char *const names[] = { "attacker.example", "attacker.example:61678", "localhost.attacker.example", "127.0.0.1.nip.io",
					     "[::1", "[attacker]", "0123456789012345678901234567890123456789012345678901234567890123456789" };
	struct rig *r = *state;
	char head[256];

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++) {
		assert_true(vw_fmt(head, sizeof(head), "GET /page HTTP/1.1\r\nHost: %s", names[i]) > 0);
		/* "[::1" is read as ::1, which is harmless */
		assert_starts(get(r, head), strcmp(names[i], "[::1") ? "HTTP/1.1 403 " : "HTTP/1.1 200 ");
	}
	assert_starts(get(r, "POST /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0"), "HTTP/1.1 405 ");
	assert_non_null(strstr(vw_buf_str(&r->got), "Allow: GET, HEAD\r\n"));
	assert_starts(get(r, "PUT /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0"), "HTTP/1.1 405 ");
	assert_int_equal(r->prints, 1);
}

static void test_garbage_ends_its_connection_only(void **state)
{
	static const char junk[] = "\0\1\2 /page\r\n\r\n\r\n";
	struct rig *r = *state;

	(void)ask(r, junk, sizeof(junk) - 1);
	assert_int_equal(r->prints, 0);
	assert_starts(get(r, "GET /page HTTP/1.1\r\nHost: localhost"), "HTTP/1.1 200 ");
}

/* libmicrohttpd would ask for one in each turn of the loop */
static void test_no_descriptor_is_left(void **state)
{
	static const char request[] = "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct rig *r = *state;
	struct rlimit was;
	int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(spare >= 0);
	new_client(r);
	scarce_begin(&was);
	say(r, request, sizeof(request) - 1);
	scarce_turns(loop_turn, r->loop);
	assert_int_equal(r->prints, 0);
	close(spare);
	assert_starts(hear(r), "HTTP/1.1 200 ");
	scarce_end(&was);
}

static void test_a_socket_of_a_former_life_is_replaced(void **state)
{
	struct rig *r = *state;
	struct httpd *second = NULL;
	struct vw_err err;
	struct stat st;
	int fd;

	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(httpd_new(r->loop, r->address, pages, 1, r, &second, &err), 0);
	httpd_free(second);
	/* what is not a socket is somebody's file */
	fd = open(r->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(httpd_new(r->loop, r->address, pages, 1, r, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, r->path));
	assert_int_equal(unlink(r->path), 0);
}

/* --- durations */

static void test_buckets(void **state)
{
	struct hist h = { 0 };

	hist_add(&h, 0);
	hist_add(&h, 100);              /* a bound is part of its bucket */
	hist_add(&h, 101);
	hist_add(&h, 120000000);
	hist_add(&h, 120000001);
	assert_int_equal(h.n[0], 2);
	assert_int_equal(h.n[1], 1);
	assert_int_equal(h.n[HIST_BOUNDS - 1], 1);
	assert_int_equal(h.n[HIST_BOUNDS], 1);
	assert_int_equal(hist_count(&h), 5);
	assert_int_equal(h.sum_us, 240000202);
	for (unsigned int i = 1; i < HIST_BOUNDS; i++)
		assert_true(hist_bound_us(i) > hist_bound_us(i - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_ends_its_connection_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptor_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_socket_of_a_former_life_is_replaced, setup, teardown),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
