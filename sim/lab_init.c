// SPDX-License-Identifier: Apache-2.0
/*
 * The lab's init: pid 1 of its PID namespace, whose network namespace is the fabric.
 *
 * starting: mounts, world, a holder per node, fabric, endpoints, daemons; then "ready" to the outer process.
 * ready:    waits for "serving" (all daemons answer). A daemon that ends before that ends the lab.
 * serving:  daemons may come and go; "keep" unties the lab from the outer process.
 * stopping: the outer end closed, SIGTERM, or a part that must live has ended: daemons get SIGTERM and
 *           STOP_MS, then everything else is killed and this process ends.
 */
#include "sim/lab_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cloud.h"
#include "sim/cmd.h"
#include "sim/http.h"
#include "sim/lab_cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#define STOP_MS 3000
#define DAEMON_CONFIG LAB_STATE "/vpcwired.json"         /* what every node starts with */

static void say(struct lab *lab, const char *key, const char *text)
{
	vw_auto_json struct vw_json *msg = vw_json_new_object();
	struct vw_err err;

	if (lab->life_fd < 0)
		return;
	vw_json_set_str(msg, key, text);
	lab_send(lab->life_fd, msg, NULL, 0, &err);     /* it is gone: then there is nobody to tell */
}

/**
 * say_ready() - with the nodes, for the outer process to run the command in the first and wait for all
 * daemons.
 */
static void say_ready(struct lab *lab)
{
	vw_auto_json struct vw_json *msg = vw_json_new_object();
	struct vw_err err;

	vw_json_set_str(msg, "ready", lab->id);
	vw_json_set(msg, "nodes", lab_nodes_json(lab));
	lab_send(lab->life_fd, msg, NULL, 0, &err);
}

static void stopped(void *arg)
{
	struct lab *lab = arg;

	sim_loop_stop(lab->loop);
}

static void stop(struct lab *lab)
{
	bool any = false;

	if (lab->stopping)
		return;
	lab->stopping = true;
	for (size_t i = 0; i < lab->n_nodes; i++)
		if (lab->nodes[i].daemon.pid)
			any |= kill(lab->nodes[i].daemon.pid, SIGTERM) == 0;
	sim_timer_set(lab->loop, &lab->stop_timer, any ? STOP_MS : 0, stopped, lab);
}

void lab_fail(struct lab *lab, const char *why)
{
	if (lab->stopping)
		return;
	say(lab, "error", why);
	lab->result = 1;
	stop(lab);
}

static void on_child(struct lab *lab, pid_t pid, int status)
{
	char why[160];
	bool any = false;

	for (size_t i = 0; i < lab->n_nodes; i++) {
		if (lab->nodes[i].holder != pid || lab->stopping)
			continue;
		if (vw_fmt(why, sizeof(why), "node %s ended (status %d)", lab->nodes[i].name,
			   lab_exit_status(status)) >= 0)
			lab_fail(lab, why);
	}
	if (!lab_daemon_ended(lab, pid, status) || !lab->stopping)
		return;
	for (size_t i = 0; i < lab->n_nodes; i++)
		any |= lab->nodes[i].daemon.pid != 0;
	if (!any)
		sim_loop_stop(lab->loop);
}

static void on_signal(void *arg, uint32_t events)
{
	struct lab *lab = arg;
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(lab->signal_fd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			stop(lab);
	/* As pid 1 we also inherit what others leave behind. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		on_child(lab, pid, status);
}

/** detach() - live on without the outer process: its streams are not ours to keep open. */
static void detach(struct lab *lab)
{
	vw_auto_close int log = open(LAB_STATE "/lab.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	vw_auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
	    prctl(PR_SET_PDEATHSIG, 0) < 0) {
		lab_fail(lab, "the lab could not be put into the background");
		return;
	}
	lab->kept = true;
	say(lab, "kept", lab->id);
}

static void on_life(void *arg, uint32_t events)
{
	vw_auto_json struct vw_json *msg = NULL;
	struct lab *lab = arg;
	const char *word;
	struct vw_err err;

	if (lab_recv(lab->life_fd, &msg, NULL, 0, &err) <= 0) {
		sim_loop_unwatch(lab->loop, lab->life_fd);
		vw_close_fd(&lab->life_fd);
		if (!lab->kept)
			stop(lab);
		return;
	}
	word = vw_json_string(vw_json_get(msg, "say"));
	if (word && !strcmp(word, "serving"))
		lab->serving = true;
	if (word && !strcmp(word, "keep"))
		detach(lab);
}

static int mounts(struct vw_err *err)
{
	const char *keep[] = { lab_dir() };
	int r = lab_mount_private(err);

	if (r >= 0)
		r = lab_mount_proc(err);
	if (r >= 0)
		r = lab_mount_run(keep, 1, err);
	if (r >= 0)
		r = lab_mount_sys(err);
	return r < 0 ? r : vw_mkdir_p(LAB_STATE, 0700, err);
}

static int watch(struct lab *lab, struct vw_err *err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return vw_err_sys(err, errno, 0, "blocking signals");
	lab->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (lab->signal_fd < 0)
		return vw_err_sys(err, errno, 0, "making a signalfd");
	r = sim_loop_new(&lab->loop);
	if (r >= 0)
		r = sim_loop_watch(lab->loop, lab->signal_fd, EPOLLIN, on_signal, lab);
	if (r >= 0)
		r = sim_loop_watch(lab->loop, lab->life_fd, EPOLLIN, on_life, lab);
	return r < 0 ? vw_err_sys(err, -r, 0, "making the loop") : 0;
}

static int start_holder(struct lab *lab, struct lab_node *node, struct vw_err *err)
{
	struct sim_spawn s = SIM_SPAWN_INIT;
	const char *argv[] = {
		"vpcwire-sim", "lab-node", lab->id, node->name, node->run_dir, lab->bin_dir, DAEMON_CONFIG, NULL,
	};
	vw_auto_json struct vw_json *report = NULL;
	int pair[2], r;

	r = vw_mkdir_p(node->run_dir, 0700, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return vw_err_sys(err, errno, 0, "making a socket pair");
	node->holder_fd = pair[0];
	s.path = lab->self;
	s.argv = argv;
	s.pass_fd = pair[1];
	s.die_with_us = true;
	s.new_session = true;
	r = sim_spawn(&s, err);
	close(pair[1]);
	if (r < 0)
		return r;
	node->holder = r;
	r = lab_recv(node->holder_fd, &report, NULL, 0, err);
	if (r == 0)
		return vw_err_set(err, ECHILD, 0, "its holder ended without a word");
	if (r > 0 && vw_json_get(report, "error"))
		return vw_err_set(err, EIO, 0, "%s", vw_json_string(vw_json_get(report, "error")));
	return r < 0 ? r : sim_nsfds_of(node->holder, &node->ns, err);
}

static int start_nodes(struct lab *lab, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < lab->n_nodes; i++) {
		r = start_holder(lab, &lab->nodes[i], err);
		if (r >= 0)
			r = sim_fabric_add_node(lab->fabric, lab->nodes[i].inst,
						lab->nodes[i].ns.fd[SIM_NS_NET], err);
		if (r < 0)
			return vw_err_wrap(err, "making node %s", lab->nodes[i].name);
	}
	r = sim_fabric_start(lab->fabric, err);
	for (size_t i = 0; r >= 0 && i < lab->n_nodes; i++)
		r = sim_fabric_dhcp(lab->fabric, lab->nodes[i].inst, err);
	return r;
}

/** wait_go() - nothing is made before the registry says who we are: whatever dies after that can be found. */
static int wait_go(struct lab *lab, struct vw_err *err)
{
	vw_auto_json struct vw_json *msg = NULL;
	int r = lab_recv(lab->life_fd, &msg, NULL, 0, err);

	return r == 0 ? vw_err_set(err, ECONNRESET, 0, "the outer process is gone") : r;
}

static int start(struct lab *lab, struct vw_err *err)
{
	vw_auto_buf struct vw_buf config = VW_BUF_INIT;
	int r = wait_go(lab, err);

	/* The configurations may lie below /run, which mounts() covers. */
	if (r >= 0 && lab->opts.daemon_config)
		r = vw_read_file(lab->opts.daemon_config, 1 << 20, &config, err);
	else
		vw_buf_puts(&config, "{}\n");
	if (r >= 0)
		r = watch(lab, err);
	if (r >= 0)
		r = lab_world_setup(lab, err);
	if (r >= 0)
		r = mounts(err);
	if (r >= 0)
		r = vw_replace_file(DAEMON_CONFIG, vw_buf_str(&config), config.len, 0600, err);
	if (r >= 0)
		r = sim_fabric_new(sim_cloud_world(lab->cloud), &lab->fabric, err);
	if (r >= 0)
		r = sim_nsfds_of(getpid(), &lab->ns, err);
	if (r >= 0)
		r = start_nodes(lab, err);
	if (r >= 0)
		r = lab_endpoints(lab, err);
	if (r >= 0)
		r = lab_serve_start(lab, err);
	for (size_t i = 0; r >= 0 && !lab->opts.no_daemon && i < lab->n_nodes; i++)
		r = lab_daemon_start(lab, &lab->nodes[i], err);
	return r;
}

/**
 * end_all() - every other process of the PID namespace, so that the cgroups they were in can go. The kernel
 * would do it after us, but then nobody is left to remove them from a kept lab.
 */
static void end_all(struct lab *lab)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	lab_cgroup_remove(lab->id);
}

static void done(struct lab *lab)
{
	end_all(lab);
	for (size_t i = 0; i < SIM_N_PLACES; i++)
		for (size_t k = 0; k < 2; k++)
			sim_http_free(lab->whoami[i][k]);
	lab_serve_stop(lab);
	sim_fabric_free(lab->fabric);
	sim_cloud_free(lab->cloud);
	for (size_t i = 0; i < lab->n_nodes; i++) {
		sim_nsfds_close(&lab->nodes[i].ns);
		vw_close_fd(&lab->nodes[i].holder_fd);
	}
	free(lab->nodes);
	sim_nsfds_close(&lab->ns);
	if (lab->loop)
		sim_timer_clear(&lab->stop_timer);
	sim_loop_free(lab->loop);
	vw_close_fd(&lab->signal_fd);
	lab_registry_remove(lab->id);
	vw_close_fd(&lab->life_fd);             /* last: it tells the outer process that all is done */
}

/* argv: lab-init ID and the options of `lab`; fd 3: the outer process. */
int sim_cmd_lab_init(int argc, char **argv)
{
	struct lab lab = { .life_fd = LAB_PASSED_FD, .signal_fd = -EBADF, .exec_fd = -EBADF };
	struct vw_err err = { 0 };
	char *slash;
	int r;

	lab.ns = (struct sim_nsfds)SIM_NSFDS_INIT;
	if (argc < 2 || getpid() != 1 || fcntl(LAB_PASSED_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    vw_fmt(lab.id, sizeof(lab.id), "%s", argv[1]) < 0) {
		fprintf(stderr, "vpcwire-sim lab-init: only for use by 'vpcwire-sim lab'\n");
		return 2;
	}
	argv[1] = argv[0];
	r = lab_opts_parse(argc - 1, argv + 1, &lab.opts, &err);
	if (r >= 0)
		r = sim_self_path(lab.self, sizeof(lab.self), &err);
	if (r >= 0) {
		memcpy(lab.bin_dir, lab.self, sizeof(lab.bin_dir));
		slash = strrchr(lab.bin_dir, '/');
		slash[slash == lab.bin_dir] = '\0';
		if (lab.opts.verbose)
			vw_log_level_set(VW_LOG_DEBUG);
		r = start(&lab, &err);
	}
	if (r < 0) {
		say(&lab, "error", err.msg);
		done(&lab);
		return 1;
	}
	say_ready(&lab);
	r = sim_loop_run(lab.loop);
	done(&lab);
	return r < 0 ? 1 : lab.result;
}
