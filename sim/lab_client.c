// SPDX-License-Identifier: Apache-2.0
/*
 * Talking to a running lab: messages with file descriptors over a SEQPACKET socket, and starting programs in
 * its nodes. The socket hands out the namespaces themselves, so no pid has to mean the same inside and
 * outside.
 */
#include "sim/lab.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#define LAB_MAX_FDS SIM_N_NS
#define ANSWER_S 20             /* how long a lab may take to answer */

static int unix_socket(const char *path, int flags, struct sockaddr_un *ret_sa, struct vw_err *err)
{
	int fd;

	*ret_sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (vw_fmt(ret_sa->sun_path, sizeof(ret_sa->sun_path), "%s", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "socket path '%s' is too long", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	return fd < 0 ? vw_err_sys(err, errno, 0, "making a socket") : fd;
}

int lab_bind(const char *path, struct vw_err *err)
{
	struct sockaddr_un sa;
	vw_auto_close int fd = unix_socket(path, SOCK_NONBLOCK, &sa, err);
	mode_t old;
	int r;

	if (fd < 0)
		return fd;
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (r < 0 || listen(fd, 32) < 0)
		return vw_err_sys(err, errno, 0, "listening on %s", path);
	return VW_TAKE_FD(fd);
}

int lab_connect(const char *path, struct vw_err *err)
{
	struct timeval limit = { .tv_sec = ANSWER_S };
	struct sockaddr_un sa;
	vw_auto_close int fd = unix_socket(path, 0, &sa, err);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return vw_err_sys(err, errno, 0, "setting a time limit on a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return vw_err_sys(err, errno, 0, "connecting to the lab at %s", path);
	return VW_TAKE_FD(fd);
}

int lab_send(int fd, const struct vw_json *msg, const int *fds, size_t n_fds, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT_MAX(LAB_MSG_MAX);
	union {
		char buf[CMSG_SPACE(LAB_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (!msg || vw_json_print(msg, 0, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "the message is too long");
	iov = (struct iovec){ .iov_base = text.data, .iov_len = text.len };
	if (n_fds) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do {
		n = sendmsg(fd, &mh, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? vw_err_sys(err, errno, 0, "sending a message of the lab") : 0;
}

/** take_fds() - what came with a message; too few or too many are closed and refused. */
static int take_fds(struct msghdr *mh, int *fds, size_t n_fds)
{
	size_t got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < n_fds)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	return got == n_fds ? 0 : -EPROTO;
}

int lab_recv(int fd, struct vw_json **ret_msg, int *fds, size_t n_fds, struct vw_err *err)
{
	vw_auto_free char *text = malloc(LAB_MSG_MAX);
	union {
		char buf[CMSG_SPACE(LAB_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = LAB_MSG_MAX };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;
	int r;

	if (!text)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	do {
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return vw_err_sys(err, errno == EAGAIN ? ETIMEDOUT : errno, 0,
				  "waiting for the lab's answer");
	if (n == 0)
		return 0;
	for (size_t i = 0; i < n_fds; i++)
		fds[i] = -1;
	r = vw_json_parse(text, (size_t)n, NULL, "the lab's message", ret_msg, err);
	if (take_fds(&mh, fds, n_fds) < 0 && r >= 0 && n_fds && !vw_json_get(*ret_msg, "error")) {
		vw_json_freep(ret_msg);
		r = vw_err_set(err, EPROTO, 0, "the lab's answer came without its namespaces");
	}
	if (r >= 0)
		return 1;
	for (size_t i = 0; i < n_fds; i++)
		vw_close_fd(&fds[i]);
	return r;
}

int lab_enter_info(const char *id, const char *node, struct sim_nsfds *ret_ns, struct vw_json **ret_info,
		   struct vw_err *err)
{
	vw_auto_json struct vw_json *ask = vw_json_new_object(), *info = NULL;
	vw_auto_close int fd = -EBADF;
	struct sim_nsfds ns = SIM_NSFDS_INIT;
	const char *failure = NULL;
	char path[LAB_PATH_LEN];
	int r;

	lab_path(id, ".exec", path);
	fd = lab_connect(path, err);
	if (fd < 0)
		return fd;
	vw_json_set_str(ask, "node", node);
	r = lab_send(fd, ask, NULL, 0, err);
	if (r >= 0)
		r = lab_recv(fd, &info, ns.fd, SIM_N_NS, err);
	if (r < 0)
		return r;
	if (r == 0)
		return vw_err_set(err, ECONNRESET, 0, "lab %s ended", id);
	if (vw_json_get_str(info, "error", &failure, err) > 0) {
		sim_nsfds_close(&ns);
		return vw_err_set(err, ENOENT, 0, "%s", failure);
	}
	*ret_ns = ns;
	*ret_info = VW_TAKE_PTR(info);
	return 0;
}

/** dropped() - variables of the caller's that make no sense in the lab: it has no way to a proxy. */
static bool dropped(const char *entry)
{
	static const char *const names[] = {
		"http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy",
	};
	size_t len = strcspn(entry, "=");

	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++)
		if (len == strlen(names[i]) && strncasecmp(entry, names[i], len) == 0)
			return true;
	return false;
}

static bool overridden(const char *entry, const struct vw_json *env)
{
	char name[128];

	return vw_fmt(name, sizeof(name), "%.*s", (int)strcspn(entry, "="), entry) >= 0 &&
	       vw_json_get(env, name);
}

static void env_free(char ***envp)
{
	for (size_t i = 0; *envp && (*envp)[i]; i++)
		free((*envp)[i]);
	free(*envp);
	*envp = NULL;
}

/** env_build() - the caller's environment with the lab's on top, and the lab's programs first in PATH. */
static char **env_build(const struct vw_json *info)
{
	const struct vw_json *env = vw_json_get(info, "env"), *value;
	const char *bin = vw_json_string(vw_json_get(info, "bin_dir")), *path = getenv("PATH"), *key;
	vw_auto(env_free) char **out = NULL;
	size_t n = 0, cap = vw_json_len(env) + 2;
	void *iter = NULL;

	for (char **e = environ; *e; e++)
		cap++;
	out = calloc(cap, sizeof(*out));
	if (!out)
		return NULL;
	for (char **e = environ; *e; e++) {
		if (dropped(*e) || overridden(*e, env) || (bin && !strncmp(*e, "PATH=", 5)))
			continue;
		out[n] = strdup(*e);
		if (!out[n++])
			return NULL;
	}
	while ((key = vw_json_each(env, &iter, &value)))
		if (asprintf(&out[n++], "%s=%s", key, vw_json_string(value) ? vw_json_string(value) : "") < 0)
			return NULL;
	if (bin && asprintf(&out[n++], "PATH=%s:%s", bin, path ? path : "/usr/sbin:/usr/bin:/sbin:/bin") < 0)
		return NULL;
	return VW_TAKE_PTR(out);
}

pid_t lab_run(const char *id, const char *node, const char *const *argv, struct vw_err *err)
{
	vw_auto_json struct vw_json *info = NULL;
	vw_auto(sim_nsfds_close) struct sim_nsfds ns = SIM_NSFDS_INIT;
	vw_auto(env_free) char **envp = NULL;
	vw_auto_free char *cwd = getcwd(NULL, 0);
	struct sim_spawn s = SIM_SPAWN_INIT;
	int r = lab_enter_info(id, node, &ns, &info, err);

	if (r < 0)
		return r;
	envp = env_build(info);
	if (!envp)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	s.path = argv[0];
	s.argv = argv;
	s.envp = (const char *const *)envp;
	s.ns = &ns;
	s.cwd = cwd ? cwd : "/";
	s.die_with_us = true;
	return sim_spawn(&s, err);
}

int lab_exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int lab_daemon_wait(const char *socket_path, uint64_t deadline_ms, int wake_fd, struct vw_err *err)
{
	struct vw_rpc_req req = {
		.op = VW_RPC_STATUS, .vmin = VW_RPC_VERSION_MIN, .vmax = VW_RPC_VERSION_MAX,
	};

	for (;;) {
		struct pollfd p = { .fd = wake_fd, .events = POLLIN };
		vw_auto_json struct vw_json *reply = NULL;
		struct vw_rpc_status st = { 0 };
		uint64_t now = vw_mono_ms(), until = now + 1000 < deadline_ms ? now + 1000 : deadline_ms;
		int r = vw_rpc_call(socket_path, &req, until, &reply, err);

		if (r >= 0)
			r = vw_rpc_status_decode(reply, &st, err);
		if (r >= 0 && st.cni == 0)
			return 0;
		if (r >= 0)
			vw_err_set(err, EAGAIN, st.cni, "%s", st.msg);
		if (vw_mono_ms() >= deadline_ms)
			return vw_err_wrap(err, "not serving in time");
		/* There is nothing to wait on in a daemon that does not listen yet: look again shortly. */
		if (poll(&p, 1, 20) > 0)
			return vw_err_set(err, ECANCELED, 0, "interrupted");
	}
}
