// SPDX-License-Identifier: Apache-2.0
/* `vpcwire-sim exec` and `vpcwire-sim daemon`: clients of a running lab, from outside it or from inside. */
#include "sim/lab.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "sim/cmd.h"

#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ACTION_MS 30000

static const struct option options[] = {
	{ "lab", required_argument, NULL, 'l' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/** parse() - [--lab ID]. Return: 0 with optind at the first argument, 1 = help printed, -errno. */
static int parse(int argc, char **argv, const char *help, int min_args, char ret_id[LAB_ID_LEN],
		 struct vw_err *err)
{
	const char *lab = NULL;
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return 1;
		}
		if (opt != 'l')
			return vw_err_set(err, EINVAL, 0, "see --help");
		lab = optarg;
	}
	if (argc - optind < min_args)
		return vw_err_set(err, EINVAL, 0, "too few arguments; see --help");
	return lab_find(lab, ret_id, err);
}

/** wait_for() - pass signals on until the child has ended. Return: its exit status. */
static int wait_for(pid_t pid, const sigset_t *set)
{
	int status, sig;

	for (;;) {
		siginfo_t si;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return lab_exit_status(status);
		sig = sigwaitinfo(set, &si);
		/* From the terminal, the child has got it as well. */
		if (sig > 0 && sig != SIGCHLD && si.si_code != SI_KERNEL)
			kill(pid, sig);
	}
}

int sim_cmd_exec(int argc, char **argv)
{
	static const char help[] =
		"vpcwire-sim exec [--lab ID] NODE [--] CMD...\n"
		"Run CMD in the namespaces of a lab's node, or of 'internet', 'peered' or 'fabric'. Its\n"
		"exit status is ours.\n";
	struct vw_err err = { 0 };
	char id[LAB_ID_LEN];
	sigset_t set;
	int r = parse(argc, argv, help, 2, id, &err), cmd;
	pid_t pid;

	if (r > 0)
		return 0;
	if (r >= 0) {
		cmd = optind + 1;
		cmd += !strcmp(argv[cmd], "--");
		if (cmd >= argc)
			r = vw_err_set(&err, EINVAL, 0, "no command; see --help");
	}
	if (r < 0) {
		fprintf(stderr, "vpcwire-sim exec: %s\n", err.msg);
		return 125;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = lab_run(id, argv[optind], (const char *const *)&argv[cmd], &err);
	if (pid < 0) {
		fprintf(stderr, "vpcwire-sim exec: %s\n", err.msg);
		return pid == -ENOENT ? 127 : 125;
	}
	return wait_for(pid, &set);
}

static int daemon_ask(const char *id, const char *node, const char *action, struct vw_json **ret_reply,
		      struct vw_err *err)
{
	vw_auto_json struct vw_json *ask = vw_json_new_object(), *reply = NULL;
	vw_auto_close int fd = -EBADF;
	char path[LAB_PATH_LEN];
	int r;

	lab_path(id, ".exec", path);
	fd = lab_connect(path, err);
	if (fd < 0)
		return fd;
	vw_json_set_str(ask, "node", node);
	vw_json_set_str(ask, "action", action);
	r = lab_send(fd, ask, NULL, 0, err);
	if (r >= 0)
		r = lab_recv(fd, &reply, NULL, 0, err);
	if (r <= 0)
		return r < 0 ? r : vw_err_set(err, ECONNRESET, 0, "lab %s ended", id);
	if (vw_json_get(reply, "error"))
		return vw_err_set(err, EINVAL, 0, "%s", vw_json_string(vw_json_get(reply, "error")));
	*ret_reply = VW_TAKE_PTR(reply);
	return 0;
}

/** settled() - the daemon is where @action wanted it, as far as processes go. */
static bool settled(const struct vw_json *st, const char *action, int64_t starts_before)
{
	const char *state = vw_json_string(vw_json_get(st, "state"));
	struct vw_err err;
	int64_t starts = 0;

	vw_json_get_int(st, "starts", 0, INT64_MAX, &starts, &err);
	if (!strcmp(action, "stop") || !strcmp(action, "kill"))
		return state && !strcmp(state, "stopped");
	if (!strcmp(action, "restart"))
		return state && !strcmp(state, "running") && starts > starts_before;
	return !strcmp(action, "status") || (state && !strcmp(state, "running"));
}

static int wait_serving(const char *id, const char *node, const struct vw_json *st, uint64_t deadline,
			struct vw_err *err)
{
	vw_auto(sim_nsfds_close) struct sim_nsfds ns = SIM_NSFDS_INIT;
	vw_auto_json struct vw_json *info = NULL;
	int r = lab_enter_info(id, node, &ns, &info, err);

	if (r < 0)
		return r;
	/* The socket's path is the node's. This process is at its end, so it may as well move there. */
	if (setns(ns.fd[SIM_NS_MNT], CLONE_NEWNS) < 0)
		return vw_err_sys(err, errno, 0, "entering the node's mount namespace");
	return lab_daemon_wait(vw_json_string(vw_json_get(st, "socket")), deadline, -1, err);
}

static int act(const char *id, const char *node, const char *action, struct vw_json **ret_st,
	       struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + ACTION_MS;
	vw_auto_json struct vw_json *st = NULL;
	int64_t starts = 0;
	int r = daemon_ask(id, node, "status", &st, err);

	if (r >= 0)
		r = vw_json_get_int(st, "starts", 0, INT64_MAX, &starts, err);
	vw_json_freep(&st);
	if (r >= 0)
		r = daemon_ask(id, node, action, &st, err);
	while (r >= 0 && !settled(st, action, starts)) {
		if (vw_mono_ms() >= deadline)
			return vw_err_set(err, ETIMEDOUT, 0, "vpcwired of %s did not %s within %d s", node,
					  action, ACTION_MS / 1000);
		poll(NULL, 0, 10);      /* the lab has no way to call us back */
		vw_json_freep(&st);
		r = daemon_ask(id, node, "status", &st, err);
	}
	if (r >= 0 && (!strcmp(action, "start") || !strcmp(action, "restart")))
		r = wait_serving(id, node, st, deadline, err);
	if (r >= 0)
		*ret_st = VW_TAKE_PTR(st);
	return r;
}

int sim_cmd_daemon(int argc, char **argv)
{
	static const char help[] =
		"vpcwire-sim daemon [--lab ID] NODE start|stop|kill|restart|status\n"
		"Control a node's vpcwired. start and restart return when it serves, stop (SIGTERM) and\n"
		"kill (SIGKILL) when it is gone. Prints its state and pid (as the lab numbers it).\n";
	vw_auto_json struct vw_json *st = NULL;
	struct vw_err err = { 0 };
	char id[LAB_ID_LEN];
	int64_t pid = 0;
	int r = parse(argc, argv, help, 2, id, &err);

	if (r > 0)
		return 0;
	if (r >= 0)
		r = act(id, argv[optind], argv[optind + 1], &st, &err);
	if (r >= 0)
		r = vw_json_get_int(st, "pid", 0, INT64_MAX, &pid, &err);
	if (r < 0) {
		fprintf(stderr, "vpcwire-sim daemon: %s\n", err.msg);
		return 1;
	}
	printf("%s %lld\n", vw_json_string(vw_json_get(st, "state")), (long long)pid);
	return 0;
}
