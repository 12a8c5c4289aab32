// SPDX-License-Identifier: Apache-2.0
/*
 * A node's vpcwired: started in the node's namespaces with the endpoints of the simulated cloud, its log in
 * the node's run dir. It is not restarted by itself: tests kill it and want to see what is left. States: not
 * running -> running -> (asked to end, or dies) -> not running; with @again set it goes straight back to
 * running.
 */
#include "sim/lab_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "sim/cloud.h"
#include "sim/model.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define TAIL_BYTES 3000
#define BPF_DIR "/sys/fs/bpf/vpcwire"

void lab_socket_path(const char *run_dir, char buf[LAB_PATH_LEN])
{
	if (vw_fmt(buf, LAB_PATH_LEN, "%s/vpcwired.sock", run_dir) < 0)
		buf[0] = '\0';
}

void lab_log_path(const char *run_dir, char buf[LAB_PATH_LEN])
{
	if (vw_fmt(buf, LAB_PATH_LEN, "%s/vpcwired.log", run_dir) < 0)
		buf[0] = '\0';
}

int lab_daemon_start(struct lab *lab, struct lab_node *node, struct vw_err *err)
{
	struct sim_spawn s = SIM_SPAWN_INIT;
	vw_auto_close int log = -EBADF, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char path[LAB_PATH_LEN * 2], log_path[LAB_PATH_LEN], region[64], calls[64];
	const char *filter = getenv("VPCWIRE_SYSTEM_CALLS");
	const char *argv[] = {
		"vpcwired", "--config", LAB_DAEMON_CONFIG, "--run-dir", node->run_dir,
		"--bpf-dir", BPF_DIR, NULL,
	};
	const char *envp[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"AWS_ENDPOINT_URL_EC2=http://" SIM_FABRIC_API ":8080",
		"AWS_ENDPOINT_URL_STS=http://" SIM_FABRIC_API ":8081",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://" SIM_FABRIC_IMDS,
		region,
		calls,
		lab->opts.verbose ? "AWS_VPC_K8S_CNI_LOGLEVEL=DEBUG" : "LANG=C",
		lab->opts.prefix_delegation ? "ENABLE_PREFIX_DELEGATION=true" : "LC_ALL=C",
		lab->opts.ipv6 ? "ENABLE_IPv6=true" : NULL,
		NULL,
	};
	pid_t pid;

	lab_log_path(node->run_dir, log_path);
	log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || null < 0)
		return vw_err_sys(err, errno, 0, "opening %s", log_path);
	if (vw_fmt(path, sizeof(path), "%s/vpcwired", lab->bin_dir) < 0 ||
	    vw_fmt(region, sizeof(region), "AWS_REGION=%s", sim_cloud_world(lab->cloud)->region) < 0 ||
	    vw_fmt(calls, sizeof(calls), "VPCWIRE_SYSTEM_CALLS=%s", filter ? filter : "") < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the programs' folder has too long a name");
	s.path = path;
	s.argv = argv;
	s.envp = envp;
	s.ns = &node->ns;
	s.stdio[0] = null;
	s.stdio[1] = log;
	s.stdio[2] = log;
	s.cwd = "/";
	s.die_with_us = true;
	s.new_session = true;
	pid = sim_spawn(&s, err);
	if (pid < 0)
		return vw_err_wrap(err, "starting vpcwired of %s (--no-daemon does without)", node->name);
	node->daemon.pid = pid;
	node->daemon.again = node->daemon.asked = false;
	node->daemon.starts++;
	return 0;
}

void lab_daemon_tail(const struct lab_node *node, struct vw_buf *out)
{
	char path[LAB_PATH_LEN], tail[TAIL_BYTES + 1], *start = tail;
	vw_auto_close int fd = -EBADF;
	off_t size;
	ssize_t n;

	lab_log_path(node->run_dir, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	n = size <= 0 ? 0 : pread(fd, tail, TAIL_BYTES, size > TAIL_BYTES ? size - TAIL_BYTES : 0);
	if (n <= 0) {
		vw_buf_puts(out, "(its log is empty)");
		return;
	}
	tail[n] = '\0';
	if (size > TAIL_BYTES && strchr(tail, '\n'))
		start = strchr(tail, '\n') + 1;
	vw_buf_puts(out, start);
}

/** died() - nobody asked for it: the end of a lab that is being built, a warning in one that stands. */
static void died(struct lab *lab, struct lab_node *node, int status)
{
	vw_auto_buf struct vw_buf why = VW_BUF_INIT;

	if (lab->serving) {
		vw_warn("vpcwired has ended; 'vpcwire-sim daemon' starts it again", "node=%s status=%d",
			node->name, lab_exit_status(status));
		return;
	}
	vw_buf_printf(&why, "vpcwired of %s ended with status %d; the end of its log:\n", node->name,
		      lab_exit_status(status));
	lab_daemon_tail(node, &why);
	lab_fail(lab, vw_buf_str(&why));
}

bool lab_daemon_ended(struct lab *lab, pid_t pid, int status)
{
	struct lab_node *node = NULL;
	struct lab_daemon *d;
	struct vw_err err;

	for (size_t i = 0; i < lab->n_nodes; i++)
		if (lab->nodes[i].daemon.pid == pid)
			node = &lab->nodes[i];
	if (!node)
		return false;
	d = &node->daemon;
	d->pid = 0;
	d->last_status = status;
	if (lab->stopping)
		return true;
	if (!d->asked)
		died(lab, node, status);
	else if (d->again && lab_daemon_start(lab, node, &err) < 0)
		vw_error("could not start vpcwired again", "node=%s err=\"%s\"", node->name, err.msg);
	return true;
}
