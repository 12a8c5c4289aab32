/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control socket: accept -> collect a line -> run the command -> queue the answer -> write it as the client
 * reads. A client whose line is too long, or that does not read its answers, is dropped.
 */
#include "sim/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/acceptor.h"
#include "sim/cloud.h"
#include "sim/config_util.h"
#include "sim/loop.h"

#define MAX_CLIENTS 32
#define MAX_TABLES  8
#define MAX_UNREAD  (16 * 1024 * 1024)

struct client {
	TAILQ_ENTRY(client) link;
	struct sim_control *c;
	int fd;
	struct vw_buf in, out;
	size_t sent;
};

TAILQ_HEAD(clients, client);

struct table {
	const struct sim_ctl_cmd *cmds;
	size_t n;
	void *arg;
};

struct sim_control {
	struct sim_loop *loop;
	int fd;
	struct sim_acceptor acceptor;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct clients clients;
	size_t n_clients;
	struct table tables[MAX_TABLES];
	size_t n_tables;
};

int sim_control_new(struct sim_loop *loop, struct sim_control **ret_ctl)
{
	struct sim_control *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->fd = -EBADF;
	TAILQ_INIT(&c->clients);
	*ret_ctl = c;
	return 0;
}

static const struct sim_ctl_cmd *find(const struct sim_control *c, const char *name, void **ret_arg)
{
	size_t t, i;

	for (t = 0; t < c->n_tables; t++) {
		for (i = 0; i < c->tables[t].n; i++) {
			if (strcmp(c->tables[t].cmds[i].name, name) == 0) {
				*ret_arg = c->tables[t].arg;
				return &c->tables[t].cmds[i];
			}
		}
	}
	return NULL;
}

int sim_control_add(struct sim_control *c, const struct sim_ctl_cmd *cmds, size_t n, void *arg)
{
	void *other;
	size_t i;

	for (i = 0; i < n; i++)
		if (find(c, cmds[i].name, &other))
			return -EEXIST;
	if (c->n_tables == MAX_TABLES)
		return -ENOMEM;
	c->tables[c->n_tables++] = (struct table){ cmds, n, arg };
	return 0;
}

static void client_free(struct client *k)
{
	sim_loop_unwatch(k->c->loop, k->fd);
	vw_close_fd(&k->fd);
	TAILQ_REMOVE(&k->c->clients, k, link);
	k->c->n_clients--;
	sim_acceptor_resume(&k->c->acceptor);
	vw_buf_done(&k->in);
	vw_buf_done(&k->out);
	free(k);
}

static int list_commands(const struct sim_control *c, struct vw_json *reply)
{
	struct vw_json *names = vw_json_new_array();
	size_t t, i;

	for (t = 0; t < c->n_tables; t++)
		for (i = 0; i < c->tables[t].n; i++)
			if (vw_json_append(names, vw_json_new_string(c->tables[t].cmds[i].name)) < 0) {
				vw_json_free(names);
				return -ENOMEM;
			}
	return vw_json_set(reply, "commands", names);
}

static int check_keys(const struct sim_ctl_cmd *cmd, const struct vw_json *args, struct vw_err *err)
{
	char keys[512];

	if (vw_fmt(keys, sizeof(keys), "cmd %s", cmd->keys) < 0)
		return vw_err_set(err, EINVAL, 0, "the command '%s' knows too many keys", cmd->name);
	return sim_cfg_keys(args, keys, cmd->name, err);
}

static int execute(struct sim_control *c, const char *text, size_t len, struct vw_json *reply,
		   struct vw_err *err)
{
	vw_auto_json struct vw_json *args = NULL;
	const struct sim_ctl_cmd *cmd;
	const char *name = NULL;
	void *arg;
	int r = vw_json_parse(text, len, NULL, "the request", &args, err);

	if (r < 0)
		return r;
	if (vw_json_type(args) != VW_JSON_OBJECT || vw_json_get_str(args, "cmd", &name, err) <= 0)
		return vw_err_set(err, EINVAL, 0, "a request is an object with the text member 'cmd'");
	if (strcmp(name, "help") == 0)
		return list_commands(c, reply);
	cmd = find(c, name, &arg);
	if (!cmd)
		return vw_err_set(err, EINVAL, 0, "there is no command '%s'; 'help' lists them", name);
	/* a misspelt member would be ignored, and a test pass for nothing */
	if (cmd->keys && check_keys(cmd, args, err) < 0)
		return -EINVAL;
	return cmd->fn(arg, args, reply, err);
}

static int one_line(struct client *k, const char *text, size_t len)
{
	vw_auto_json struct vw_json *reply = vw_json_new_object();
	struct vw_err err = { 0 };
	int r;

	if (!reply || vw_json_set_bool(reply, "ok", true) < 0)
		return -ENOMEM;
	r = execute(k->c, text, len, reply, &err);
	if (r < 0 &&
	    (vw_json_set_bool(reply, "ok", false) < 0 || vw_json_set_str(reply, "error", err.msg) < 0))
		return -ENOMEM;
	if (vw_json_print(reply, 0, &k->out) < 0)
		return -ENOMEM;
	vw_buf_putc(&k->out, '\n');
	return vw_buf_err(&k->out);
}

static int run_lines(struct client *k)
{
	char *start = k->in.data, *nl;
	size_t rest;
	int r = 0;

	while (r == 0 && k->in.len && (nl = memchr(start, '\n', k->in.len - (size_t)(start - k->in.data)))) {
		if (nl > start)
			r = one_line(k, start, (size_t)(nl - start));
		start = nl + 1;
	}
	if (r < 0 || !k->in.len)
		return r;
	rest = k->in.len - (size_t)(start - k->in.data);
	memmove(k->in.data, start, rest);
	k->in.data[rest] = '\0';
	k->in.len = rest;
	return rest >= SIM_CTL_MAX_LINE ? -EFBIG : 0;
}

/* Return: 0 = go on, -errno = the client is gone or misbehaves. */
static int flush(struct client *k)
{
	while (k->sent < k->out.len) {
		ssize_t n =
			send(k->fd, k->out.data + k->sent, k->out.len - k->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return k->out.len - k->sent > MAX_UNREAD ? -EFBIG : 0;
		if (n < 0)
			return -errno;
		k->sent += (size_t)n;
	}
	vw_buf_reset(&k->out);
	k->sent = 0;
	return 0;
}

static int receive(struct client *k)
{
	char chunk[4096];
	ssize_t n = recv(k->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	vw_buf_add(&k->in, chunk, (size_t)n);
	return vw_buf_err(&k->in) < 0 ? vw_buf_err(&k->in) : run_lines(k);
}

static void on_client(void *arg, uint32_t events)
{
	struct client *k = arg;
	int r = 0;

	if (events & EPOLLIN)
		r = receive(k);
	else if (events & (EPOLLHUP | EPOLLERR))
		r = -ECONNRESET;
	if (r == 0)
		r = flush(k);
	if (r == 0)
		r = sim_loop_watch(k->c->loop, k->fd, EPOLLIN | (k->out.len ? EPOLLOUT : 0U), on_client, k);
	if (r < 0)
		client_free(k);
}

static bool has_place(void *arg)
{
	const struct sim_control *c = arg;

	return c->n_clients < MAX_CLIENTS;
}

static void on_accepted(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg)
{
	struct sim_control *c = arg;
	vw_auto_close int fd = take_fd;
	struct client *k = calloc(1, sizeof(*k));

	if (!k || sim_loop_watch(c->loop, fd, EPOLLIN, on_client, k) < 0) {
		free(k);
		return;
	}
	k->c = c;
	k->fd = VW_TAKE_FD(fd);
	TAILQ_INSERT_TAIL(&c->clients, k, link);
	c->n_clients++;
}

static const struct vw_accept_ops accepting = { has_place, on_accepted };

/* A socket file without anybody behind it is left over from a crash. */
static bool somebody_answers(const struct sockaddr_un *sa)
{
	vw_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
}

int sim_control_listen(struct sim_control *c, const char *path, struct vw_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	vw_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t old;
	int r;

	if (fd < 0)
		return vw_err_sys(err, errno, 0, "making the control socket");
	if (vw_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the path of the control socket '%s' is too long",
				  path);
	if (somebody_answers(&sa))
		return vw_err_set(err, EADDRINUSE, 0, "another simulator answers at '%s'", path);
	unlink(path);
	old = umask(0177);
	r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0 ? -errno : 0;
	umask(old);
	if (r == 0)
		r = sim_acceptor_start(&c->acceptor, c->loop, fd, "the control socket", &accepting, c);
	if (r < 0)
		return vw_err_sys(err, r, 0, "opening the control socket '%s'", path);
	memcpy(c->path, sa.sun_path, sizeof(c->path));
	c->fd = VW_TAKE_FD(fd);
	return 0;
}

void sim_control_free(struct sim_control *c)
{
	if (!c)
		return;
	sim_acceptor_stop(&c->acceptor);
	while (!TAILQ_EMPTY(&c->clients))
		client_free(TAILQ_FIRST(&c->clients));
	if (c->fd >= 0)
		unlink(c->path);
	vw_close_fd(&c->fd);
	free(c);
}
