/* SPDX-License-Identifier: Apache-2.0 */
/* `vpcwire-sim ctl`: one request to a control socket, its answer on stdout. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cmd.h"

#define MAX_ANSWER (64 * 1024 * 1024)

static int usage(FILE *f, int status)
{
	fputs("Usage: vpcwire-sim ctl [--socket] SOCKET CMD [KEY=VALUE...]\n"
	      "       vpcwire-sim ctl [--socket] SOCKET '{\"cmd\": CMD, ...}'\n"
	      "A VALUE that is JSON (a number, true, an object, ...) is sent as such, anything else as text.\n"
	      "`ctl SOCKET help` lists the commands; docs/SIM.md explains them.\n",
	      f);
	return status;
}

static int add_pair(struct vw_json *req, const char *pair, struct vw_err *err)
{
	vw_auto_free char *key = strndup(pair, strcspn(pair, "="));
	const char *value = pair + strcspn(pair, "=");
	struct vw_json *j = NULL;
	struct vw_err ignored;

	if (*value != '=' || !key)
		return vw_err_set(err, EINVAL, 0, "'%s' is not KEY=VALUE", pair);
	value++;
	if (vw_json_parse(value, strlen(value), NULL, key, &j, &ignored) < 0)
		j = vw_json_new_string(value);
	return vw_json_set(req, key, j) < 0 ? vw_err_sys(err, ENOMEM, 0, "building the request") : 0;
}

static int connect_to(const char *path, struct vw_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	vw_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (vw_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the path '%s' is too long for a socket", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return vw_err_sys(err, errno, 0, "connecting to the simulator at '%s'", path);
	return VW_TAKE_FD(fd);
}

static int exchange(int fd, const char *text, size_t len, struct vw_buf *answer, struct vw_err *err)
{
	char chunk[8192];
	ssize_t n;

	for (; len; text += n, len -= (size_t)n) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0)
			return vw_err_sys(err, errno, 0, "asking the simulator");
	}
	while (!answer->len || answer->data[answer->len - 1] != '\n') {
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return vw_err_set(err, n < 0 ? errno : EPIPE, 0,
					  "the simulator went away before it answered");
		vw_buf_add(answer, chunk, (size_t)n);
		if (vw_buf_err(answer) < 0)
			return vw_err_sys(err, vw_buf_err(answer), 0, "reading the answer");
	}
	return 0;
}

/* The request as text: given whole, or built from a command and its pairs. */
static int build(int argc, char **argv, struct vw_buf *text, struct vw_err *err)
{
	vw_auto_json struct vw_json *req = NULL;
	int i, r = 0;

	if (argv[0][0] == '{')
		r = vw_json_parse(argv[0], strlen(argv[0]), NULL, "the request", &req, err);
	else if (!(req = vw_json_new_object()) || vw_json_set_str(req, "cmd", argv[0]) < 0)
		r = vw_err_sys(err, ENOMEM, 0, "building the request");
	for (i = 1; i < argc && r == 0; i++)
		r = add_pair(req, argv[i], err);
	if (r < 0)
		return r;
	/* printed again, so that it is one line whatever was given */
	if (vw_json_print(req, 0, text) < 0)
		return vw_err_sys(err, ENOMEM, 0, "building the request");
	vw_buf_putc(text, '\n');
	return 0;
}

static int run(const char *socket_path, int argc, char **argv, bool *ret_ok, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	vw_auto_buf struct vw_buf text = VW_BUF_INIT, answer = VW_BUF_INIT_MAX(MAX_ANSWER),
				  pretty = VW_BUF_INIT;
	struct vw_json_limits lim = { .max_bytes = MAX_ANSWER, .max_depth = 64 };
	vw_auto_close int fd = connect_to(socket_path, err);
	int r;

	if (fd < 0)
		return fd;
	r = build(argc, argv, &text, err);
	if (r == 0)
		r = exchange(fd, vw_buf_str(&text), text.len, &answer, err);
	if (r == 0)
		r = vw_json_parse(vw_buf_str(&answer), answer.len, &lim, "the answer", &reply, err);
	if (r == 0 && vw_json_get_bool(reply, "ok", ret_ok, err) <= 0)
		r = vw_err_set(err, EBADMSG, 0, "the answer has no 'ok'");
	if (r < 0)
		return r;
	if (vw_json_print(reply, 2, &pretty) < 0)
		return vw_err_sys(err, ENOMEM, 0, "printing the answer");
	puts(vw_buf_str(&pretty));
	return 0;
}

int sim_cmd_ctl(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL;
	struct vw_err err = { 0 };
	bool ok = false;
	int o;

	while ((o = getopt_long(argc, argv, "+", longs, NULL)) >= 0) {
		if (o == 'h')
			return usage(stdout, 0);
		if (o != 's')
			return usage(stderr, 2);
		path = optarg;
	}
	if (!path && optind < argc)
		path = argv[optind++];
	if (!path || optind == argc)
		return usage(stderr, 2);
	if (run(path, argc - optind, argv + optind, &ok, &err) < 0) {
		fprintf(stderr, "vpcwire-sim ctl: %s\n", err.msg);
		return 1;
	}
	return ok ? 0 : 1;
}
