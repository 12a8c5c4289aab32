/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct sim_cloud;
struct sim_instance;
struct sim_loop;
struct sim_world;
struct vw_err;
struct vw_json;

/**
 * DOC: the control plane as one object
 *
 * world + EC2, STS, IMDS, container-credential endpoints + control socket, on a loop. `vpcwire-sim serve` is
 * a thin main around it; the lab uses the same object and hands it sockets that live in the fabric's
 * namespace.
 */
enum sim_endpoint { SIM_EP_EC2, SIM_EP_STS, SIM_EP_CREDS, SIM_EP_IMDS };

/**
 * sim_cloud_new() - build the world from a configuration (docs/SIM.md).
 * @config: borrowed; NULL = one VPC 10.0.0.0/16 with two subnets, one security group, no instances.
 * Fails (EINVAL) naming the key that is wrong. No socket is opened.
 */
int sim_cloud_new(struct sim_loop *loop, const struct vw_json *config, struct sim_cloud **ret_cloud,
		  struct vw_err *err);
/** sim_cloud_free() - closes all sockets; frees the world. Accepts NULL. */
void sim_cloud_free(struct sim_cloud *c);
struct sim_world *sim_cloud_world(struct sim_cloud *c);

/**
 * sim_cloud_listen() - serve @ep on a bound, listening socket of any network namespace.
 * @take_fd: owned by the cloud from here, also on failure.
 * @imds_of: for SIM_EP_IMDS: the instance that is answered for; NULL: the one whose ENI holds the client's
 * address.
 */
int sim_cloud_listen(struct sim_cloud *c, enum sim_endpoint ep, int take_fd, struct sim_instance *imds_of,
		     struct vw_err *err);
/** sim_listen_tcp() - a CLOEXEC non-blocking listening socket "a.b.c.d:port" or "[x::y]:port" in the caller's
 * namespace. */
int sim_listen_tcp(const char *addr_port, int *ret_fd, struct vw_err *err);
/** sim_listen_port() - the port a socket is bound to. */
unsigned int sim_listen_port(int fd);

/**
 * struct sim_ctl_cmd - a command of the control socket ({"cmd": NAME, ...} -> {"ok": true, ...}),
 * docs/SIM.md.
 * @fn: @args is the whole request; members of the answer are set into @reply. Return: 0, or -errno with @err
 * filled.
 * @keys: the members a request may have besides "cmd", separated by blanks; NULL: not checked.
 */
struct sim_ctl_cmd {
	const char *name;
	int (*fn)(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err);
	const char *keys;
};

/** sim_cloud_control() - open the control socket (mode 0600) at @path; unlinked by sim_cloud_free(). */
int sim_cloud_control(struct sim_cloud *c, const char *path, struct vw_err *err);
/** sim_cloud_commands() - add a table (borrowed, @n rows) of further commands, e.g. the lab's. Names must be
 * new. */
int sim_cloud_commands(struct sim_cloud *c, const struct sim_ctl_cmd *cmds, size_t n, void *arg);
