// SPDX-License-Identifier: Apache-2.0
/*
 * `vpcwire-sim lab`, the outer process: start the init, wait for it and for every daemon, run the command in
 * the first node, end the lab. It waits on one epoll fd: signals (also SIGCHLD) and the socket to the init,
 * whose end of stream means that the lab is gone. However this process ends, its end of that socket closes,
 * and the init ends.
 */
#include "sim/lab.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cmd.h"
#include "sim/lab_cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define READY_MS 60000          /* bounds on waiting, not expectations: a lab is up in well under a second */
#define SERVING_MS 60000
#define CMD_GRACE_MS 3000
#define INIT_GRACE_MS 10000

/**
 * struct outer - @cmd: 0 when none runs. @signo: asked to end. @lost: the lab ended before it was asked to.
 */
struct outer {
	struct lab_opts opts;
	struct lab_entry entry;
	int life_fd, signal_fd, epoll_fd;
	pid_t cmd;
	int cmd_status, init_status;
	int signo;
	bool init_gone, lost, told, ready, kept;
	struct vw_json *nodes;
	struct vw_err err;
};

static void on_message(struct outer *o)
{
	vw_auto_json struct vw_json *msg = NULL;
	const char *text;
	struct vw_err err;

	if (lab_recv(o->life_fd, &msg, NULL, 0, &err) <= 0) {
		epoll_ctl(o->epoll_fd, EPOLL_CTL_DEL, o->life_fd, NULL);
		vw_close_fd(&o->life_fd);
		if (!o->lost)
			vw_err_set(&o->err, EIO, 0, "the lab's init ended unexpectedly");
		o->lost = true;
		return;
	}
	text = vw_json_string(vw_json_get(msg, "error"));
	if (text) {
		vw_err_set(&o->err, EIO, 0, "the lab failed");
		/* Printed here: with a daemon's log in it, it is longer than an error may be. */
		fprintf(stderr, "vpcwire-sim lab: %s\n", text);
		o->told = true;
		o->lost = true;
	}
	o->kept |= vw_json_get(msg, "kept") != NULL;
	if (vw_json_get(msg, "ready")) {
		o->ready = true;
		o->nodes = vw_json_copy(vw_json_get(msg, "nodes"));
	}
}

static void on_signals(struct outer *o)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(o->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		o->signo = (int)si.ssi_signo;
		/* From the terminal, the command has got it as well. */
		if (o->cmd && si.ssi_code != SI_KERNEL)
			kill(o->cmd, o->signo);
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == o->entry.init) {
			o->init_gone = true;
			o->init_status = status;
		}
		if (pid != o->cmd)
			continue;
		o->cmd = 0;
		o->cmd_status = status;
	}
}

/**
 * turn() - wait at most until @deadline_ms (0: for ever) for something and note it. Return: false when time
 * is up.
 */
static bool turn(struct outer *o, uint64_t deadline_ms)
{
	struct epoll_event ev[2];
	int n = epoll_wait(o->epoll_fd, ev, 2, deadline_ms ? vw_deadline_left(deadline_ms) : -1);

	for (int i = 0; i < n; i++) {
		if (ev[i].data.fd == o->signal_fd)
			on_signals(o);
		else
			on_message(o);
	}
	return n != 0;
}

static int outer_setup(struct outer *o, struct vw_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	uint8_t random[4];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return vw_err_sys(err, errno, 0, "blocking signals");
	o->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = o->signal_fd;
	if (o->signal_fd < 0 || o->epoll_fd < 0 ||
	    epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, o->signal_fd, &ev) < 0)
		return vw_err_sys(err, errno, 0, "watching signals");
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return vw_err_sys(err, errno, 0, "choosing an id");
	o->entry.outer = getpid();
	if (vw_fmt(o->entry.id, sizeof(o->entry.id), "%02x%02x%02x%02x", random[0], random[1], random[2],
		   random[3]) < 0 ||
	    lab_start_time(o->entry.outer, &o->entry.outer_start) < 0)
		return vw_err_set(err, EIO, 0, "reading /proc/self/stat");
	return 0;
}

static int say(struct outer *o, const char *word, struct vw_err *err)
{
	vw_auto_json struct vw_json *msg = vw_json_new_object();

	vw_json_set_str(msg, "say", word);
	return lab_send(o->life_fd, msg, NULL, 0, err);
}

static int start_init(struct outer *o, int argc, char **argv, struct vw_err *err)
{
	struct sim_spawn s = SIM_SPAWN_INIT;
	struct epoll_event ev = { .events = EPOLLIN };
	vw_auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC), theirs = -EBADF;
	vw_auto_free const char **args = calloc((size_t)argc + 3, sizeof(*args));
	char self[LAB_PATH_LEN];
	int pair[2], r = sim_self_path(self, sizeof(self), err);

	if (r < 0 || !args || null < 0)
		return r < 0 ? r : vw_err_sys(err, errno, 0, "starting the lab");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return vw_err_sys(err, errno, 0, "making a socket pair");
	o->life_fd = pair[0];
	theirs = pair[1];
	ev.data.fd = o->life_fd;
	if (epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, o->life_fd, &ev) < 0)
		return vw_err_sys(err, errno, 0, "watching the lab");
	args[0] = "vpcwire-sim";
	args[1] = "lab-init";
	args[2] = o->entry.id;
	memcpy(&args[3], &argv[1], (size_t)(argc - 1) * sizeof(*args));
	s.path = self;
	s.argv = args;
	s.new_ns = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET;
	s.stdio[0] = null;
	s.stdio[1] = 2;         /* stdout is the command's alone */
	s.pass_fd = theirs;
	s.new_session = true;
	s.die_with_us = true;
	r = sim_spawn(&s, err);
	if (r < 0)
		return r;
	o->entry.init = r;
	if (lab_start_time(r, &o->entry.init_start) < 0)
		return vw_err_set(err, ECHILD, 0, "the lab's init ended at once");
	r = lab_registry_write(&o->entry, err);
	return r < 0 ? r : say(o, "go", err);
}

static int wait_ready(struct outer *o, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + READY_MS;

	while (!o->ready) {
		if (!turn(o, deadline))
			return vw_err_set(err, ETIMEDOUT, 0, "the lab was not ready within %d s",
					  READY_MS / 1000);
		if (o->lost) {
			*err = o->err;
			return -o->err.eno;
		}
		if (o->signo)
			return vw_err_set(err, EINTR, 0, "interrupted");
	}
	return 0;
}

static int wait_daemons(struct outer *o, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + SERVING_MS;

	for (size_t i = 0; !o->opts.no_daemon && i < vw_json_len(o->nodes);) {
		const struct vw_json *node = vw_json_at(o->nodes, i);
		char path[LAB_PATH_LEN];
		int r;

		if (vw_fmt(path, sizeof(path), "/proc/%d/root%s", (int)o->entry.init,
			   vw_json_string(vw_json_get(node, "socket"))) < 0)
			return vw_err_set(err, ENAMETOOLONG, 0, "a node's name is too long");
		r = lab_daemon_wait(path, deadline, o->epoll_fd, err);
		if (r == -ECANCELED) {
			turn(o, deadline);
			if (o->lost)
				*err = o->err;
			if (o->lost || o->signo)
				return o->lost ? -o->err.eno : vw_err_set(err, EINTR, 0, "interrupted");
			continue;
		}
		if (r < 0)
			return vw_err_wrap(err, "vpcwired of %s", vw_json_string(vw_json_get(node, "name")));
		i++;
	}
	return say(o, "serving", err);
}

static int run_command(struct outer *o, struct vw_err *err)
{
	const char *shell = getenv("SHELL"),
		   *node = vw_json_string(vw_json_get(vw_json_at(o->nodes, 0), "name"));
	const char *def[] = { shell && *shell ? shell : "/bin/sh", NULL };
	uint64_t deadline = 0;

	if (!o->opts.cmd && o->opts.keep)
		return 0;
	o->cmd = lab_run(o->entry.id, node, o->opts.cmd ? (const char *const *)o->opts.cmd : def, err);
	if (o->cmd < 0) {
		o->cmd = 0;
		return vw_err_wrap(err, "running the command");
	}
	while (o->cmd) {
		if (!turn(o, deadline)) {
			kill(o->cmd, SIGKILL);
			deadline = vw_mono_ms() + CMD_GRACE_MS;
			continue;
		}
		if (deadline || !o->cmd || !(o->signo || o->lost))
			continue;       /* without a command, kill(0) would hit our own process group */
		if (o->lost)
			kill(o->cmd, SIGTERM);
		kill(o->cmd, SIGHUP);           /* what an interactive shell obeys */
		deadline = vw_mono_ms() + CMD_GRACE_MS;
	}
	if (o->lost)
		return *err = o->err, -o->err.eno;
	return 0;
}

static int keep(struct outer *o, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + READY_MS;
	int r = say(o, "keep", err);

	while (r >= 0 && !o->kept && !o->lost)
		if (!turn(o, deadline))
			return vw_err_set(err, ETIMEDOUT, 0, "the lab could not be kept");
	if (r < 0 || o->lost)
		return r < 0 ? r : (*err = o->err, -o->err.eno);
	fprintf(stderr,
		"lab %s is kept: 'vpcwire-sim exec --lab %s NODE -- CMD'; "
		"'vpcwire-sim lab --cleanup' ends it\n",
		o->entry.id, o->entry.id);
	return 0;
}

static void end_lab(struct outer *o)
{
	uint64_t deadline = vw_mono_ms() + INIT_GRACE_MS;

	if (o->life_fd >= 0)
		epoll_ctl(o->epoll_fd, EPOLL_CTL_DEL, o->life_fd, NULL);
	vw_close_fd(&o->life_fd);
	while (o->entry.init > 0 && !o->init_gone) {
		if (turn(o, deadline))
			continue;
		kill(o->entry.init, SIGKILL);
		deadline = vw_mono_ms() + INIT_GRACE_MS;
	}
	lab_cgroup_remove(o->entry.id);
	lab_registry_remove(o->entry.id);
}

/** take_terminal() - the command may have been a shell that left its own process group in the foreground. */
static void take_terminal(void)
{
	if (!isatty(0))
		return;
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(0, getpgrp());
}

int sim_cmd_lab(int argc, char **argv)
{
	struct outer o = { .life_fd = -EBADF, .signal_fd = -EBADF, .epoll_fd = -EBADF };
	struct vw_err err = { 0 };
	int r = lab_opts_parse(argc, argv, &o.opts, &err), status;

	if (r > 0)
		return 0;
	if (r >= 0 && geteuid() != 0)
		r = vw_err_set(&err, EPERM, 0, "a lab is made of namespaces: run as root");
	if (r >= 0 && o.opts.cleanup) {
		r = lab_cleanup(&err);
		if (r > 0)
			printf("%d lab%s cleaned up\n", r, r == 1 ? "" : "s");
		if (r >= 0)
			return 0;
	}
	if (r >= 0)
		r = outer_setup(&o, &err);
	if (r >= 0)
		r = start_init(&o, argc, argv, &err);
	if (r >= 0)
		r = wait_ready(&o, &err);
	if (r >= 0)
		r = wait_daemons(&o, &err);
	if (r >= 0)
		r = run_command(&o, &err);
	if (r >= 0 && o.opts.keep && !o.signo)
		r = keep(&o, &err);
	if (r < 0 && !o.signo && !o.told)
		fprintf(stderr, "vpcwire-sim lab: %s\n", err.msg);
	if (o.entry.id[0] && !(r >= 0 && o.kept))
		end_lab(&o);
	if (r >= 0 && o.init_status) {
		fprintf(stderr, "vpcwire-sim lab: its init ended with status %d\n",
			lab_exit_status(o.init_status));
		r = -EIO;
	}
	take_terminal();
	status = o.signo ? 128 + o.signo : r < 0 ? (r == -ENOENT ? 127 : 1) : lab_exit_status(o.cmd_status);
	vw_json_free(o.nodes);
	vw_close_fd(&o.life_fd);
	vw_close_fd(&o.signal_fd);
	vw_close_fd(&o.epoll_fd);
	return status;
}
