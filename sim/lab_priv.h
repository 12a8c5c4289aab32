// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"
#include "sim/acceptor.h"
#include "sim/fabric.h"
#include "sim/lab.h"
#include "sim/loop.h"

struct sim_cloud;
struct sim_http;
struct sim_instance;
struct vw_buf;
struct vw_json;

/** DOC: inside the lab's init and its nodes (lab_*.c) only */

/* What sim_spawn() hands on: to the init its end of the outer's socket, to a holder its own. */
#define LAB_PASSED_FD 3

/**
 * struct lab_daemon - a node's vpcwired. @again: start it when it has ended. @asked: it ends because it was
 * told to.
 */
struct lab_daemon {
	pid_t pid;              /* 0: not running */
	bool again, asked;
	unsigned int starts;
	int last_status;        /* of waitpid() */
};

/** struct lab_node - a node. @holder: keeps the namespaces @ns alive, ends with @holder_fd. */
struct lab_node {
	char name[64];
	char run_dir[LAB_PATH_LEN];
	struct sim_instance *inst;
	char address[VW_IP_STRLEN]; /* the primary one, also when the instance has been terminated */
	pid_t holder;
	int holder_fd;
	struct sim_nsfds ns;
	struct lab_daemon daemon;
};

/** struct lab - the init's everything. */
struct lab {
	struct lab_opts opts;
	char id[LAB_ID_LEN];
	char self[LAB_PATH_LEN], bin_dir[LAB_PATH_LEN];
	struct sim_loop *loop;
	struct sim_cloud *cloud;
	struct sim_fabric *fabric;
	struct sim_http *whoami[SIM_N_PLACES][2];
	struct lab_node *nodes;
	size_t n_nodes;
	struct sim_nsfds ns;            /* the init's own, for programs in the places */
	int life_fd, signal_fd, exec_fd;
	struct sim_acceptor exec_acceptor;
	struct sim_timer stop_timer;
	bool kept, serving, stopping;
	int result;
};

/* lab_node.c */
int lab_mount_private(struct vw_err *err);
int lab_mount_proc(struct vw_err *err);
/** lab_mount_sys() - sysfs of this network namespace with a new bpffs; cgroups and tracing as they were. */
int lab_mount_sys(struct vw_err *err);
/**
 * lab_mount_run() - a new /run in which the folders @keep (below /run; the last: if it is) are what they
 * were.
 */
int lab_mount_run(const char *const *keep, size_t n, struct vw_err *err);

/* lab_daemon.c */
/** lab_socket_path() - of the daemon that has this run dir. */
void lab_socket_path(const char *run_dir, char buf[LAB_PATH_LEN]);
void lab_log_path(const char *run_dir, char buf[LAB_PATH_LEN]);
int lab_daemon_start(struct lab *lab, struct lab_node *node, struct vw_err *err);
/** lab_daemon_ended() - a child has: true when it was a daemon. Starts it again when that was asked for. */
bool lab_daemon_ended(struct lab *lab, pid_t pid, int status);
/** lab_daemon_tail() - the last lines of a daemon's log, appended to @out. */
void lab_daemon_tail(const struct lab_node *node, struct vw_buf *out);

/* lab_serve.c */
struct lab_node *lab_node_find(struct lab *lab, const char *name);
/** lab_nodes_json() - VPCWIRE_NODES. */
struct vw_json *lab_nodes_json(const struct lab *lab);
int lab_serve_start(struct lab *lab, struct vw_err *err);
void lab_serve_stop(struct lab *lab);

/* lab_world.c */
/** lab_world_setup() - the cloud, its instances and one struct lab_node for each; no namespace yet. */
int lab_world_setup(struct lab *lab, struct vw_err *err);
/** lab_endpoints() - sockets of all endpoints in the fabric, whoami services, control socket. */
int lab_endpoints(struct lab *lab, struct vw_err *err);

/* lab_init.c */
/** lab_fail() - what should live has ended: tell the outer process why, and take the lab down. */
void lab_fail(struct lab *lab, const char *why);


