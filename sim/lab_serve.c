// SPDX-License-Identifier: Apache-2.0
/*
 * What a running lab answers: namespaces and environment of a node on the .exec socket (one request, one
 * answer, close), and further commands on the simulator's control socket: nodes, daemon, fabric.
 */
#include "sim/lab_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"
#include "sim/cloud.h"
#include "sim/model.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

struct lab_node *lab_node_find(struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->n_nodes; i++)
		if (!strcmp(lab->nodes[i].name, name))
			return &lab->nodes[i];
	return NULL;
}

struct vw_json *lab_nodes_json(const struct lab *lab)
{
	struct vw_json *list = vw_json_new_array();

	for (size_t i = 0; i < lab->n_nodes; i++) {
		const struct lab_node *node = &lab->nodes[i];
		struct vw_json *o = vw_json_new_object();
		char netns[64], socket[LAB_PATH_LEN];

		if (vw_fmt(netns, sizeof(netns), "/proc/%d/ns/net", (int)node->holder) < 0)
			netns[0] = '\0';
		lab_socket_path(node->run_dir, socket);
		vw_json_set_str(o, "name", node->name);
		vw_json_set_str(o, "netns", netns);
		vw_json_set_int(o, "pid", node->holder);
		vw_json_set_str(o, "run_dir", node->run_dir);
		vw_json_set_str(o, "socket", socket);
		vw_json_set_str(o, "instance_id", node->inst->id);
		vw_json_set_str(o, "address", node->address);
		vw_json_append(list, o);
	}
	return list;
}

/** env_json() - the variables of a program in @node (NULL: in a place). */
static struct vw_json *env_json(const struct lab *lab, const struct lab_node *node)
{
	vw_auto_json struct vw_json *nodes = lab_nodes_json(lab);
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct vw_json *env = vw_json_new_object();
	char path[LAB_PATH_LEN];

	vw_json_print(nodes, 0, &text);
	lab_path(lab->id, ".control", path);
	vw_json_set_str(env, "VPCWIRE_LAB", lab->id);
	vw_json_set_str(env, "VPCWIRE_CONTROL", path);
	vw_json_set_str(env, "VPCWIRE_SIM_CONTROL", path);
	vw_json_set_str(env, "VPCWIRE_NODES", vw_buf_str(&text));
	vw_json_set_str(env, "AWS_ENDPOINT_URL_EC2", "http://" SIM_FABRIC_API ":8080");
	vw_json_set_str(env, "AWS_ENDPOINT_URL_STS", "http://" SIM_FABRIC_API ":8081");
	/* Debian 12's botocore joins this and the path as they are: without the slash it asks "169.254.169.254latest" */
	vw_json_set_str(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://" SIM_FABRIC_IMDS "/");
	vw_json_set_str(env, "AWS_REGION", sim_cloud_world(lab->cloud)->region);
	vw_json_set_str(env, "AWS_DEFAULT_REGION", sim_cloud_world(lab->cloud)->region);
	if (!node)
		return env;
	lab_socket_path(node->run_dir, path);
	vw_json_set_str(env, "VPCWIRE_NODE", node->name);
	vw_json_set_str(env, "VPCWIRE_SOCKET", path);
	vw_json_set_str(env, "CNI_PATH", LAB_CNI_BIN ":" LAB_DEBIAN_CNI);
	vw_json_set_str(env, "NETCONFPATH", "/etc/cni/net.d");
	return env;
}

/** where() - the namespaces behind a name. Return: false when there is nothing of that name. */
static bool where(struct lab *lab, const char *name, struct sim_nsfds *ret_ns, struct lab_node **ret_node)
{
	struct lab_node *node = lab_node_find(lab, name);

	*ret_node = node;
	*ret_ns = lab->ns;
	if (node) {
		*ret_ns = node->ns;
		return true;
	}
	for (unsigned int p = 0; p < SIM_N_PLACES; p++) {
		if (strcmp(sim_place_str(p), name) != 0)
			continue;
		ret_ns->fd[SIM_NS_NET] = sim_fabric_netns(lab->fabric, p);
		return true;
	}
	return false;
}

static int cmd_nodes(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	return vw_json_set(reply, "nodes", lab_nodes_json(arg)) < 0
		       ? vw_err_set(err, ENOMEM, 0, "out of memory")
		       : 0;
}

static int cmd_fabric(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct lab *lab = arg;

	return sim_fabric_report(lab->fabric, reply, err);
}

static int end_daemon(struct lab_daemon *d, int sig, bool again)
{
	if (!d->pid)
		return 0;
	d->asked = true;
	d->again = again;
	return kill(d->pid, sig) < 0 && errno != ESRCH ? -errno : 0;
}

static int act(struct lab *lab, struct lab_node *node, const char *action, struct vw_err *err)
{
	struct lab_daemon *d = &node->daemon;

	if (!strcmp(action, "status"))
		return 0;
	if (!strcmp(action, "start") || (!strcmp(action, "restart") && !d->pid)) {
		if (!d->pid)
			return lab_daemon_start(lab, node, err);
		d->again = d->asked;    /* one that is ending is started when it has ended */
		return 0;
	}
	if (!strcmp(action, "stop"))
		return end_daemon(d, SIGTERM, false);
	if (!strcmp(action, "restart"))
		return end_daemon(d, SIGTERM, true);
	if (!strcmp(action, "kill"))
		return end_daemon(d, SIGKILL, false);
	return vw_err_set(err, EINVAL, 0, "'%s' is not one of start, stop, kill, restart, status", action);
}

static int cmd_daemon(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct lab *lab = arg;
	const char *name = vw_json_string(vw_json_get(args, "node")), *action = "status";
	struct lab_node *node = name ? lab_node_find(lab, name) : NULL;
	char socket[LAB_PATH_LEN];
	int r;

	if (!node)
		return vw_err_set(err, ENOENT, 0, "no node '%s'", name ? name : "");
	r = vw_json_get_str(args, "action", &action, err);
	if (r >= 0)
		r = act(lab, node, action, err);
	if (r < 0)
		return r;
	lab_socket_path(node->run_dir, socket);
	vw_json_set_str(reply, "state",
			!node->daemon.pid    ? "stopped"
			: node->daemon.asked ? "ending"
					     : "running");
	vw_json_set_int(reply, "pid", node->daemon.pid);
	vw_json_set_int(reply, "starts", node->daemon.starts);
	vw_json_set_int(reply, "last_status", lab_exit_status(node->daemon.last_status));
	vw_json_set_str(reply, "socket", socket);
	return 0;
}

static void answer(struct lab *lab, int conn)
{
	vw_auto_json struct vw_json *ask = NULL, *reply = vw_json_new_object();
	struct lab_node *node;
	struct sim_nsfds ns;
	const char *name;
	struct vw_err err;
	char text[128];

	if (lab_recv(conn, &ask, NULL, 0, &err) <= 0)
		return;
	if (vw_json_get(ask, "action")) {
		if (cmd_daemon(lab, ask, reply, &err) < 0)
			vw_json_set_str(reply, "error", err.msg);
		lab_send(conn, reply, NULL, 0, &err);
		return;
	}
	name = vw_json_string(vw_json_get(ask, "node"));
	if (!name || !where(lab, name, &ns, &node)) {
		if (vw_fmt(text, sizeof(text),
			   "lab %s has no node '%.40s' (nor is it internet, peered or fabric)", lab->id,
			   name ? name : "") >= 0)
			vw_json_set_str(reply, "error", text);
		lab_send(conn, reply, NULL, 0, &err);
		return;
	}
	vw_json_set(reply, "env", env_json(lab, node));
	vw_json_set_str(reply, "bin_dir", lab->bin_dir);
	if (lab_send(conn, reply, ns.fd, SIM_N_NS, &err) < 0)
		vw_debug("an exec client went away", "err=\"%s\"", err.msg);
}

static void on_exec(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg)
{
	struct timeval limit = { .tv_sec = 1 };
	vw_auto_close int conn = take_fd;

	/* A client sends its request together with connecting; one that does not is not waited for long. */
	if (!vw_rpc_peer_is_root(conn) || fcntl(conn, F_SETFL, 0) < 0 ||
	    setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return;
	answer(arg, conn);
}

static const struct vw_accept_ops accepting = { .take = on_exec };

static const struct sim_ctl_cmd commands[] = {
	{ "nodes", cmd_nodes },
	{ "daemon", cmd_daemon },
	{ "fabric", cmd_fabric },
};

int lab_serve_start(struct lab *lab, struct vw_err *err)
{
	char path[LAB_PATH_LEN];
	int r = sim_cloud_commands(lab->cloud, commands, VW_ARRAY_SIZE(commands), lab);

	if (r < 0)
		return vw_err_sys(err, -r, 0, "adding the lab's commands");
	lab_path(lab->id, ".exec", path);
	lab->exec_fd = lab_bind(path, err);
	if (lab->exec_fd < 0)
		return lab->exec_fd;
	r = sim_acceptor_start(&lab->exec_acceptor, lab->loop, lab->exec_fd, "the exec socket", &accepting, lab);
	return r < 0 ? vw_err_sys(err, -r, 0, "watching the exec socket") : 0;
}

void lab_serve_stop(struct lab *lab)
{
	if (lab->exec_fd < 0)
		return;
	sim_acceptor_stop(&lab->exec_acceptor);
	vw_close_fd(&lab->exec_fd);
}
