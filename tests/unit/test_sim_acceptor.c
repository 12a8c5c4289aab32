/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's servers when no descriptor is left: who connects waits, the loop does not spin over it, and he is heard as soon as there is one. */
#include "sim/acceptor.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "sim/cloud.h"
#include "sim/loop.h"
#include "tests/unit/scarce.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "tests/unit/cm.h"

#define MORE_CONNECTIONS 40     /* than the control socket has places for */

struct rig {
	struct sim_loop *loop;
	struct sim_cloud *cloud;
	char dir[32];
	struct sockaddr_un control;
	struct sockaddr_in ec2;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vw_err err;
	int fd = -EBADF;

	assert_non_null(r);
	(void)VW_COPY(r->dir, "/tmp/vw-sim-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(sim_loop_new(&r->loop), 0);
	assert_int_equal(sim_cloud_new(r->loop, NULL, &r->cloud, &err), 0);
	r->control.sun_family = AF_UNIX;
	(void)snprintf(r->control.sun_path, sizeof(r->control.sun_path), "%s/s", r->dir);
	if (sim_cloud_control(r->cloud, r->control.sun_path, &err) < 0 || sim_listen_tcp("127.0.0.1:0", &fd, &err) < 0)
		fail_msg("%s", err.msg);
	r->ec2 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)sim_listen_port(fd)) };
	r->ec2.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sim_cloud_listen(r->cloud, SIM_EP_EC2, fd, NULL, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	sim_cloud_free(r->cloud);
	sim_loop_free(r->loop);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	return 0;
}

static void turn(void *loop)
{
	assert_int_equal(sim_loop_once(loop, 0), 0);
}

static void say(int fd, const void *to, socklen_t len, const char *text)
{
	assert_int_equal(connect(fd, to, len), 0);
	assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* the server's first words; the rig's own loop is what makes it speak */
static void assert_hears(struct rig *r, int fd, const char *wanted)
{
	char got[64] = "";
	ssize_t n;

	while ((n = recv(fd, got, strlen(wanted), MSG_DONTWAIT)) < 0 && errno == EAGAIN)
		assert_int_equal(sim_loop_once(r->loop, 10), 0);
	assert_int_equal(n, (ssize_t)strlen(wanted));
	assert_string_equal(got, wanted);
}

static void no_descriptor(struct rig *r, int family, const void *to, socklen_t len, const char *text, const char *answer)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit was;

	assert_true(fd >= 0 && spare >= 0);
	scarce_begin(&was);
	say(fd, to, len, text);
	scarce_turns(turn, r->loop);
	close(spare);
	assert_hears(r, fd, answer);
	scarce_end(&was);
	close(fd);
}

static void test_http(void **state)
{
	struct rig *r = *state;

	no_descriptor(r, AF_INET, &r->ec2, sizeof(r->ec2), "GET / HTTP/1.1\r\nHost: ec2\r\n\r\n", "HTTP/1.1 ");
}

static void test_control(void **state)
{
	struct rig *r = *state;

	no_descriptor(r, AF_UNIX, &r->control, sizeof(r->control), "{\"cmd\":\"help\"}\n", "{\"ok\":true");
}

/* they wait for one of the others to go */
static void test_control_without_a_place(void **state)
{
	struct rig *r = *state;
	int fd[MORE_CONNECTIONS];

	for (size_t i = 0; i < MORE_CONNECTIONS; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd[i] >= 0);
		say(fd[i], &r->control, sizeof(r->control), "{\"cmd\":\"help\"}\n");
		for (int turns = 0; turns < 10; turns++)
			turn(r->loop);
	}
	for (size_t i = 0; i < MORE_CONNECTIONS; i++) {
		assert_hears(r, fd[i], "{\"ok\":true");
		close(fd[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_without_a_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
