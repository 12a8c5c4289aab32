// SPDX-License-Identifier: Apache-2.0
/*
 * find -> spawn -> wait for its end and its output, whichever comes later -> judge.
 *
 * stdin is a memfd, so nothing has to be written while output is read. A delegate's children may keep its stdout open
 * (the dhcp plugin's daemon once did): its own end is what counts, then what is in the pipe is taken.
 */
#include "lib/cni/delegate.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define UNDO_MS 5000 /* a DEL that undoes, after the ADD has used up its time */

static int find(const char *cni_path, const char *type, char ret[PATH_MAX], struct vw_err *err)
{
	struct stat st;

	if (strchr(type, '/') || !strcmp(type, ".") || !strcmp(type, ".."))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "'%.100s' is no name of a plugin", type);
	for (const char *p = cni_path;; p++) {
		size_t len = strcspn(p, ":");

		if (len && vw_fmt(ret, PATH_MAX, "%.*s/%s", (int)len, p, type) > 0 && stat(ret, &st) == 0 &&
		    S_ISREG(st.st_mode) && access(ret, X_OK) == 0)
			return 0;
		p += len;
		if (!*p)
			return vw_err_set(err, ENOENT, VW_CNI_INVALID_CONFIG,
					  "failed to find plugin '%.100s' in path\nCNI_PATH is \"%.200s\"",
					  type, cni_path);
	}
}

/* The environment as it came, but for the command. Return: NULL when out of memory; free the array alone. */
static char **environment(char *const envp[], const char *command)
{
	static const char name[] = "CNI_COMMAND=";
	size_t n = 0;
	char **copy;

	while (envp && envp[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = strncmp(envp[i], name, sizeof(name) - 1) ? envp[i]
								   : (char *)(uintptr_t)command;
	return copy;
}

static int make_stdin(const struct vw_buf *in, struct vw_err *err)
{
	vw_auto_close int fd = memfd_create("cni-config", MFD_CLOEXEC);
	const char *p = vw_buf_str(in);
	size_t left = in->len;

	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_IO, "making the delegate's stdin");
	while (left) {
		ssize_t n = write(fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vw_err_sys(err, n < 0 ? errno : EIO, VW_CNI_IO, "writing the delegate's stdin");
		p += n;
		left -= (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return vw_err_sys(err, errno, VW_CNI_IO, "rewinding the delegate's stdin");
	return VW_TAKE_FD(fd);
}

static int spawn(const char *path, char *const envp[], int in, int out, pid_t *ret_pid, struct vw_err *err)
{
	char *argv[] = {(char *)(uintptr_t)path, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return vw_err_sys(err, r, 0, "starting '%s'", path);
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&fa);
		return vw_err_sys(err, r, 0, "starting '%s'", path);
	}
	/* a runtime that ignores it has handed that on: then the kernel keeps no status for us */
	(void)signal(SIGCHLD, SIG_DFL);
	/* a group of its own: when its time is up, its children go with it */
	r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	if (!r)
		r = posix_spawn(ret_pid, path, &fa, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return r ? vw_err_sys(err, r, VW_CNI_IO, "starting '%s'", path) : 0;
}

/* What is there, without waiting for more. Return: 1 = may go on, 0 = end of file, -EFBIG, -ENOMEM. */
static int drain(int fd, struct vw_buf *out)
{
	char chunk[16384];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : 1;
		vw_buf_add(out, chunk, (size_t)n);
		if (vw_buf_err(out))
			return vw_buf_err(out);
	}
}

/* Until it has ended, or must be. Return: 0, -ETIMEDOUT, -EFBIG, -ENOMEM. */
static int follow(int pidfd, int fd, uint64_t deadline_ms, struct vw_buf *out)
{
	struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

	for (;;) {
		int r = poll(p, VW_ARRAY_SIZE(p), vw_deadline_left(deadline_ms));

		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0)
			continue; /* EINTR; anything else the deadline ends */
		r = p[0].revents ? drain(fd, out) : 1;
		if (r < 0)
			return r;
		if (r == 0)
			p[0].fd = -1;
		if (p[1].revents || (r == 0 && pidfd < 0))
			return 0;
	}
}

/* Return: wait status, -errno. Kernels before 5.3 have no pidfd: there its closing of stdout is taken for its end. */
static int wait_for(pid_t pid, int fd, uint64_t deadline_ms, struct vw_buf *out)
{
	vw_auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int r = follow(pidfd, fd, deadline_ms, out), status = 0;

	if (r < 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (r == 0)
		r = drain(fd, out);
	return r < 0 ? r : status;
}

/* Its own words and code, or the best that can be said when it has none. */
static int judge(const char *type, int status, const struct vw_buf *out, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = NULL;
	const char *msg = "", *details = "";
	struct vw_err ignored;
	int64_t code = 0;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return vw_err_set(err, ECHILD, VW_CNI_TRY_AGAIN, "plugin '%s' was killed by signal %d", type,
				  WTERMSIG(status));
	if (vw_json_parse(vw_buf_str(out), out->len, NULL, "the error", &j, &ignored) < 0 ||
	    vw_json_get_int(j, "code", 1, INT_MAX, &code, &ignored) <= 0 ||
	    vw_json_get_str(j, "msg", &msg, &ignored) < 0 || vw_json_get_str(j, "details", &details, &ignored) < 0)
		return vw_err_set(err, ECHILD, VW_CNI_IO, "plugin '%s' failed with status %d and no error object",
				  type, WEXITSTATUS(status));
	return vw_err_set(err, ECHILD, (int)code, "plugin '%s': %.300s%s%.150s", type, msg, *details ? "\n" : "",
			  details);
}

int vw_cni_delegate(const struct vw_cni_call *call, enum vw_cni_cmd cmd, const char *type, uint64_t deadline_ms,
		    struct vw_buf *ret_out, struct vw_err *err)
{
	vw_auto_close int in = -EBADF, out = -EBADF, out_write = -EBADF;
	vw_auto_free char **envp = NULL;
	char path[PATH_MAX], command[32];
	int fds[2], status;
	pid_t pid;

	if (find(call->env.path, type, path, err) < 0)
		return -err->eno;
	in = make_stdin(call->in, err);
	if (in < 0)
		return in;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return vw_err_sys(err, errno, VW_CNI_IO, "making a pipe");
	out = fds[0];
	out_write = fds[1];
	snprintf(command, sizeof(command), "CNI_COMMAND=%s", vw_cni_cmd_str(cmd));
	envp = environment(call->envp, command);
	if (!envp || fcntl(out, F_SETFL, O_NONBLOCK) < 0)
		return vw_err_sys(err, ENOMEM, 0, "running plugin '%s'", type);
	if (spawn(path, envp, in, out_write, &pid, err) < 0)
		return -err->eno;
	vw_close_fd(&out_write);
	status = wait_for(pid, out, deadline_ms, ret_out);
	if (status == -ETIMEDOUT)
		return vw_err_set(err, ETIMEDOUT, VW_CNI_TRY_AGAIN, "plugin '%s' did not end in time and was killed",
				  type);
	if (status < 0)
		return vw_err_sys(err, status, VW_CNI_IO, "reading what plugin '%s' prints", type);
	return judge(type, status, ret_out, err);
}

int vw_cni_ipam_add(const struct vw_cni_call *call, uint64_t deadline_ms, struct vw_json **ret_json,
		    struct vw_cni_result *ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT_MAX(VW_CNI_CONF_MAX_BYTES), ignored_out = VW_BUF_INIT;
	vw_auto_json struct vw_json *j = NULL;
	struct vw_err ignored;
	char what[128];

	snprintf(what, sizeof(what), "the result of plugin '%.80s'", call->conf.ipam);
	if (vw_cni_delegate(call, VW_CNI_CMD_ADD, call->conf.ipam, deadline_ms, &out, err) == 0 &&
	    vw_json_parse(vw_buf_str(&out), out.len, NULL, what, &j, err) == 0 &&
	    vw_cni_result_parse_of(what, j, call->conf.version, ret, err) == 0) {
		*ret_json = VW_TAKE_PTR(j);
		return 0;
	}
	(void)vw_cni_delegate(call, VW_CNI_CMD_DEL, call->conf.ipam, vw_mono_ms() + UNDO_MS, &ignored_out, &ignored);
	return -err->eno;
}
