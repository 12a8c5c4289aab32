// SPDX-License-Identifier: Apache-2.0
/*
 * Starting programs in namespaces: clone, set the child up, exec. The child tells why it could not through a
 * pipe that exec closes, so that the parent knows at once. Between clone and exec only async-signal-safe
 * calls are made.
 */
#include "sim/spawn.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const struct {
	const char *name;
	int flag;
} kinds[SIM_N_NS] = {
	[SIM_NS_NET] = { "net", CLONE_NEWNET },
	[SIM_NS_MNT] = { "mnt", CLONE_NEWNS },
	[SIM_NS_UTS] = { "uts", CLONE_NEWUTS },
	[SIM_NS_PID] = { "pid", CLONE_NEWPID },
};

void sim_nsfds_close(struct sim_nsfds *ns)
{
	for (size_t i = 0; i < SIM_N_NS; i++)
		vw_close_fd(&ns->fd[i]);
}

int sim_nsfds_of(pid_t pid, struct sim_nsfds *ret_ns, struct vw_err *err)
{
	struct sim_nsfds ns = SIM_NSFDS_INIT;

	for (size_t i = 0; i < SIM_N_NS; i++) {
		char path[64];
		int r = vw_fmt(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kinds[i].name);

		ns.fd[i] = r < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		if (ns.fd[i] < 0) {
			r = vw_err_sys(err, errno, 0, "opening %s", path);
			sim_nsfds_close(&ns);
			return r;
		}
	}
	*ret_ns = ns;
	return 0;
}

int sim_self_path(char *buf, size_t size, struct vw_err *err)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);

	if (n < 0 || (size_t)n >= size - 1)
		return vw_err_sys(err, n < 0 ? errno : ENAMETOOLONG, 0, "finding the running program's path");
	buf[n] = '\0';
	return 0;
}

/** enter() - the mount namespace last: the others' fds are open already, and so is what stdio needs. */
static int enter(const struct sim_nsfds *ns)
{
	static const enum sim_ns order[] = { SIM_NS_UTS, SIM_NS_NET, SIM_NS_MNT };

	for (size_t i = 0; ns && i < VW_ARRAY_SIZE(order); i++)
		if (ns->fd[order[i]] >= 0 && setns(ns->fd[order[i]], kinds[order[i]].flag) < 0)
			return -errno;
	return 0;
}

/** place() - make @from fd @to, without close-on-exec. */
static int place(int from, int to)
{
	if (from < 0)
		return 0;
	if (from == to)
		return fcntl(to, F_SETFD, 0) < 0 ? -errno : 0;
	return dup2(from, to) < 0 ? -errno : 0;
}

static int prepare(const struct sim_spawn *s)
{
	sigset_t none;
	int fds[4] = { s->stdio[0], s->stdio[1], s->stdio[2], s->pass_fd };
	int r;

	if (s->die_with_us && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (s->new_session && setsid() < 0)
		return -errno;
	/* Out of the way of 0..3 first: one may be where another has to go. */
	for (size_t i = 0; i < VW_ARRAY_SIZE(fds); i++) {
		if (fds[i] < 0 || fds[i] == (int)i)
			continue;
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
		if (fds[i] < 0)
			return -errno;
	}
	r = enter(s->ns);
	for (size_t i = 0; r >= 0 && i < VW_ARRAY_SIZE(fds); i++)
		r = place(fds[i], (int)i);
	if (r < 0)
		return r;
	if (s->cwd && chdir(s->cwd) < 0 && chdir("/") < 0)
		return -errno;
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static void __attribute__((noreturn)) child(const struct sim_spawn *s, int report_fd)
{
	int fd = fcntl(report_fd, F_DUPFD_CLOEXEC, 20); /* above what prepare() places and moves */
	int r = prepare(s);

	if (r >= 0) {
		if (s->envp)
			environ = (char **)s->envp;     /* its PATH, too, is the one to search */
		execvp(s->path, (char *const *)s->argv);
		r = -errno;
	}
	if (write(fd, &r, sizeof(r)) < 0)
		_exit(126);
	_exit(127);
}

static pid_t fork_into(const struct sim_spawn *s)
{
	vw_auto_close int home = -EBADF;
	pid_t pid;
	int saved;

	if (s->new_ns)
		return (pid_t)syscall(SYS_clone, (unsigned long)s->new_ns | SIGCHLD, 0, 0, 0, 0);
	if (!s->ns || s->ns->fd[SIM_NS_PID] < 0)
		return fork();
	home = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(s->ns->fd[SIM_NS_PID], CLONE_NEWPID) < 0)
		return -1;
	pid = fork();
	saved = errno;
	if (pid && setns(home, CLONE_NEWPID) < 0)
		abort();        /* later children would land in a namespace that may be dying */
	errno = saved;
	return pid;
}

pid_t sim_spawn(const struct sim_spawn *s, struct vw_err *err)
{
	int report[2], failure = 0;
	vw_auto_close int rd = -EBADF;
	ssize_t n;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return vw_err_sys(err, errno, 0, "making a pipe");
	rd = report[0];
	pid = fork_into(s);
	if (pid == 0)
		child(s, report[1]);
	close(report[1]);
	if (pid < 0)
		return vw_err_sys(err, errno, 0, "starting a process for %s", s->path);
	do {
		n = read(rd, &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(failure))
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return vw_err_sys(err, -failure, 0, "executing %s", s->path);
}
