// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/spawn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vw_err;
struct vw_json;

/**
 * DOC: the lab, what its processes share
 *
 * `vpcwire-sim lab` is the *outer* process: it starts the lab's *init* (`lab-init`, pid 1 of a PID namespace,
 * the simulated VPC and the parent of everything in it), waits until it serves, runs the command, and ends
 * the lab. Each node has a *holder* (`lab-node`), whose namespaces are the node. A socket pair ties outer and
 * init together: when the outer's end closes, the init ends, and with it, by the kernel's hand, everything in
 * its PID namespace.
 *
 * On the machine a lab leaves nothing but LAB_DIR/<id>.json (who it is), .control (the simulator's control
 * socket) and .exec (the namespaces, for `vpcwire-sim exec`). Everything else lies on a tmpfs inside the
 * lab's mount namespace.
 */
#define LAB_DIR "/run/vpcwire-lab"
#define LAB_STATE "/run/lab"            /* inside the lab: node folders */
#define LAB_ID_LEN 16
#define LAB_MAX_NODES 64
#define LAB_MSG_MAX (64 * 1024)
#define LAB_PATH_LEN 256
#define LAB_CONF_DIR "/etc/cni/net.d"
#define LAB_CONFLIST LAB_CONF_DIR "/10-vpcwire.conflist"
#define LAB_CNI_BIN "/opt/cni/bin"
#define LAB_DEBIAN_CNI "/usr/lib/cni"
#define LAB_DAEMON_CONFIG "/etc/vpcwire/vpcwired.json"

/** struct lab_opts - the command line. Strings point into argv. @cmd: NULL = none given. */
struct lab_opts {
	unsigned int n_nodes;
	const char *instance_type;
	bool prefix_delegation, ipv6, no_daemon, keep, cleanup, verbose;
	const char *config, *daemon_config;
	char **cmd;
};

/** lab_opts_parse() - of `lab` and `lab-init`. Return: 0, 1 = help was printed, -EINVAL. */
int lab_opts_parse(int argc, char **argv, struct lab_opts *ret_opts, struct vw_err *err);

/* --- lab_registry.c: which labs there are */
/** struct lab_entry - one lab. A process is its pid (in the registry's namespace) and when it started. */
struct lab_entry {
	char id[LAB_ID_LEN];
	pid_t outer, init;
	uint64_t outer_start, init_start;
};

/** lab_dir() - LAB_DIR, or VPCWIRE_LAB_DIR (absolute): labs of tests that must not meet others. */
const char *lab_dir(void);
/** lab_path() - <lab_dir()>/<id><suffix>. */
void lab_path(const char *id, const char *suffix, char buf[LAB_PATH_LEN]);
/** lab_start_time() - field 22 of /proc/<pid>/stat. Return: 0, -ESRCH. */
int lab_start_time(pid_t pid, uint64_t *ret_start);
int lab_registry_write(const struct lab_entry *e, struct vw_err *err);
/** lab_registry_remove() - every file of the lab; and LAB_DIR when it was the last. */
void lab_registry_remove(const char *id);
/** lab_find() - @wanted, else VPCWIRE_LAB, else the only one there is. Return: 0, -ENOENT, -EINVAL. */
int lab_find(const char *wanted, char ret_id[LAB_ID_LEN], struct vw_err *err);
/**
 * lab_cleanup() - end labs whose outer process is gone and remove what they left. Return: how many, -errno.
 */
int lab_cleanup(struct vw_err *err);

/* --- lab_client.c: talking to a running lab */
/**
 * lab_enter_info() - ask a lab for a node's (or a place's) namespaces and environment.
 * @ret_ns: the caller closes. @ret_info: {"env": {...}, ...}, the caller frees.
 */
int lab_enter_info(const char *id, const char *node, struct sim_nsfds *ret_ns, struct vw_json **ret_info,
		   struct vw_err *err);
/** lab_run() - start @argv in a node with the lab's environment. Return: pid, -errno. */
pid_t lab_run(const char *id, const char *node, const char *const *argv, struct vw_err *err);
/** lab_exit_status() - of waitpid(): the exit code, or 128 + signal. */
int lab_exit_status(int status);
/**
 * lab_daemon_wait() - until the daemon behind @socket_path answers STATUS with success.
 * @wake_fd: readable ends the wait early (-ECANCELED); -1 = none.
 */
int lab_daemon_wait(const char *socket_path, uint64_t deadline_ms, int wake_fd, struct vw_err *err);

/**
 * lab_send(), lab_recv() - one JSON object as one packet. lab_recv(): 1, 0 at the end of the stream, -errno.
 */
int lab_send(int fd, const struct vw_json *msg, const int *fds, size_t n_fds, struct vw_err *err);
int lab_recv(int fd, struct vw_json **ret_msg, int *fds, size_t n_fds, struct vw_err *err);
/** lab_bind() - a listening SOCK_SEQPACKET socket, nonblocking, mode 0600. lab_connect() - to one. Return: fd, -errno. */
int lab_bind(const char *path, struct vw_err *err);
int lab_connect(const char *path, struct vw_err *err);
