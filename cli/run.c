#include "cli/run.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static int find(const char *name, char ret[256])
{
	static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };

	for (size_t i = 0; i < VW_ARRAY_SIZE(folders); i++)
		if (vw_fmt(ret, 256, "%s/%s", folders[i], name) > 0 && access(ret, X_OK) == 0)
			return 0;
	return -ENOENT;
}

static int start(const char *path, const char *const *argv, int out, pid_t *ret)
{
	char plain[] = "LC_ALL=C", *const env[] = { plain, NULL };
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, out, 2);
	if (r == 0)
		r = posix_spawn(ret, path, &fa, NULL, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

/* Return: 0 = it has closed its output, -ETIMEDOUT, -errno */
static int collect(int fd, uint64_t deadline_ms, struct vw_buf *out)
{
	char chunk[65536];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int r = poll(&p, 1, vw_deadline_left(deadline_ms));
		ssize_t n;

		if (r == 0)
			return -ETIMEDOUT;
		n = r < 0 ? -1 : read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0)
			vw_buf_add(out, chunk, (size_t)n);
	}
}

int run_program(const char *const *argv, uint64_t deadline_ms, struct vw_buf *out, struct vw_err *err)
{
	vw_auto_close int from = -EBADF, to = -EBADF;
	int fds[2], r, status;
	char path[256];
	pid_t pid;

	if (find(argv[0], path) < 0)
		return vw_err_set(err, ENOENT, 0, "%s is not installed", argv[0]);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return vw_err_sys(err, errno, 0, "a pipe for %s", argv[0]);
	from = fds[0];
	to = fds[1];
	r = start(path, argv, to, &pid);
	vw_close_fd(&to);
	if (r < 0)
		return vw_err_sys(err, -r, 0, "starting %s", path);
	r = collect(from, deadline_ms, out);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return vw_err_sys(err, -r, 0, "%s", argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
