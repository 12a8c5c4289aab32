// SPDX-License-Identifier: Apache-2.0
/*
 * What a lab's VPC holds and where it answers: instances from the configuration, more up to --nodes, and the
 * sockets of every endpoint, opened in the namespaces where nodes expect them.
 */
#include "sim/lab_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/netns.h"
#include "sim/cloud.h"
#include "sim/http.h"
#include "sim/model.h"
#include "sim/ops.h"

#include <string.h>
#include <sys/queue.h>

#define ROLE "vpcwire-node"
#define PUBLIC_BASE 0xc633640au         /* 198.51.100.10 (TEST-NET-2): public addresses of nodes */

static int run_instance(struct sim_world *w, const struct lab_opts *opts, unsigned int index,
			struct vw_err *err)
{
	struct sim_subnet *subnet = TAILQ_FIRST(&w->subnets);
	const struct sim_itype *type = sim_itype_find(w, opts->instance_type);
	struct sim_fail fail = { 0 };
	struct sim_instance *inst;
	struct sim_run run = { 0 };
	unsigned int n_subnets = 0;
	struct sim_subnet *s;
	char name[32];

	TAILQ_FOREACH(s, &w->subnets, link)
		n_subnets++;
	if (!n_subnets)
		return vw_err_set(err, EINVAL, 0, "the configuration has no subnet to put a node in");
	if (!type)
		return vw_err_set(err, EINVAL, 0, "unknown instance type '%s'", opts->instance_type);
	for (unsigned int i = index % n_subnets; i; i--)
		subnet = TAILQ_NEXT(subnet, link);      /* a node per zone in turn */
	if (vw_fmt(name, sizeof(name), "node-%u", index + 1) < 0)
		return -EINVAL;
	run.name = name;
	run.type = type;
	run.eni.subnet = subnet;
	run.eni.description = "Primary network interface";
	run.eni.v6.n_addrs = opts->ipv6 && subnet->v6.ip.family ? 1 : 0;
	run.public_ip = vw_ip4(PUBLIC_BASE + index);
	run.role = ROLE;
	if (sim_instance_run(w, &run, &inst, &fail) < 0)
		return vw_err_set(err, EINVAL, 0, "starting %s: %s: %s", name, fail.code, fail.msg);
	return 0;
}

static int load_config(const struct lab_opts *opts, struct vw_json **ret_config, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int r;

	*ret_config = NULL;
	if (!opts->config) {
		*ret_config = vw_json_new_object();
		return *ret_config ? 0 : vw_err_set(err, ENOMEM, 0, "out of memory");
	}
	r = vw_read_file(opts->config, 1 << 20, &text, err);
	return r < 0 ? r : vw_json_parse(vw_buf_str(&text), text.len, NULL, opts->config, ret_config, err);
}

/** ensure_role() - the role of our nodes, unless the configuration says itself what it may do. */
static int ensure_role(struct vw_json *config, struct vw_err *err)
{
	const struct vw_json *roles = vw_json_get(config, "roles");
	struct vw_json *ours = vw_json_new_object(), *all;

	for (size_t i = 0; i < vw_json_len(roles); i++) {
		const char *name = vw_json_string(vw_json_get(vw_json_at(roles, i), "name"));

		if (name && !strcmp(name, ROLE)) {
			vw_json_free(ours);
			return 0;
		}
	}
	all = roles ? vw_json_copy(roles) : vw_json_new_array();
	vw_json_set_str(ours, "name", ROLE);
	if (!all || vw_json_append(all, ours) < 0) {
		vw_json_free(all);
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	}
	return vw_json_set(config, "roles", all) < 0 ? vw_err_set(err, ENOMEM, 0, "out of memory") : 0;
}

static int collect_nodes(struct lab *lab, struct vw_err *err)
{
	struct sim_world *w = sim_cloud_world(lab->cloud);
	struct sim_instance *inst;
	size_t n = 0;

	TAILQ_FOREACH(inst, &w->instances, link)
		n++;
	if (n > LAB_MAX_NODES)
		return vw_err_set(err, EINVAL, 0, "%zu nodes are more than a lab holds (%d)", n,
				  LAB_MAX_NODES);
	lab->nodes = calloc(n, sizeof(*lab->nodes));
	if (!lab->nodes)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	TAILQ_FOREACH(inst, &w->instances, link) {
		struct lab_node *node = &lab->nodes[lab->n_nodes++];

		node->inst = inst;
		vw_ip_str(&inst->primary->v4.v[0].ip, node->address);
		node->ns = (struct sim_nsfds)SIM_NSFDS_INIT;
		node->holder_fd = -EBADF;
		if (vw_fmt(node->name, sizeof(node->name), "%s", inst->name) < 0 || strchr(inst->name, '/') ||
		    vw_fmt(node->run_dir, sizeof(node->run_dir), LAB_STATE "/%s", inst->name) < 0)
			return vw_err_set(err, EINVAL, 0, "'%s' cannot be the name of a node", inst->name);
	}
	return 0;
}

int lab_world_setup(struct lab *lab, struct vw_err *err)
{
	vw_auto_json struct vw_json *config = NULL;
	struct sim_instance *inst;
	struct sim_world *w;
	unsigned int n = 0;
	int r = load_config(&lab->opts, &config, err);

	if (r >= 0)
		r = ensure_role(config, err);
	if (r >= 0)
		r = sim_cloud_new(lab->loop, config, &lab->cloud, err);
	if (r < 0)
		return r;
	w = sim_cloud_world(lab->cloud);
	TAILQ_FOREACH(inst, &w->instances, link)
		n++;
	for (; r >= 0 && n < lab->opts.n_nodes; n++)
		r = run_instance(w, &lab->opts, n, err);
	return r < 0 ? r : collect_nodes(lab, err);
}

static void answer_whoami(void *arg, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	vw_auto_json struct vw_json *body = vw_json_new_object();
	char client[VW_IP_STRLEN];

	vw_json_set_str(body, "client", vw_ip_str(&req->peer, client));
	vw_json_set_str(body, "network", arg);
	resp->type = "application/json";
	vw_json_print(body, 0, &resp->body);
	vw_buf_putc(&resp->body, '\n');
}

struct listen_call {
	const char *addr;
	int fd;
};

static int listen_there(void *arg, struct vw_err *err)
{
	struct listen_call *call = arg;

	return sim_listen_tcp(call->addr, &call->fd, err);
}

static int whoami(struct lab *lab, enum sim_place place, size_t which, const char *addr, struct vw_err *err)
{
	struct listen_call call = { .addr = addr, .fd = -EBADF };
	int r = vw_netns_run(sim_fabric_netns(lab->fabric, place), listen_there, &call, err);

	if (r < 0)
		return r;
	r = sim_http_new(lab->loop, call.fd, answer_whoami, (void *)sim_place_str(place),
			 &lab->whoami[place][which]);
	return r < 0 ? vw_err_sys(err, -r, 0, "serving whoami on %s", addr) : 0;
}

int lab_endpoints(struct lab *lab, struct vw_err *err)
{
	static const struct {
		enum sim_endpoint ep;
		const char *addr;
	} eps[] = {
		{ SIM_EP_EC2, SIM_FABRIC_API ":8080" },
		{ SIM_EP_STS, SIM_FABRIC_API ":8081" },
		{ SIM_EP_CREDS, SIM_FABRIC_API ":8082" },
		{ SIM_EP_IMDS, SIM_FABRIC_IMDS ":80" },
	};
	char path[LAB_PATH_LEN];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < VW_ARRAY_SIZE(eps); i++) {
		int fd = -EBADF;

		r = sim_listen_tcp(eps[i].addr, &fd, err);
		if (r >= 0)
			r = sim_cloud_listen(lab->cloud, eps[i].ep, fd, NULL, err);
	}
	if (r >= 0)
		r = whoami(lab, SIM_PLACE_INTERNET, 0, SIM_FABRIC_INTERNET ":80", err);
	if (r >= 0)
		r = whoami(lab, SIM_PLACE_INTERNET, 1, "[" SIM_FABRIC_INTERNET6 "]:80", err);
	if (r >= 0)
		r = whoami(lab, SIM_PLACE_PEERED, 0, SIM_FABRIC_PEERED ":80", err);
	if (r >= 0)
		r = whoami(lab, SIM_PLACE_PEERED, 1, "[" SIM_FABRIC_PEERED6 "]:80", err);
	lab_path(lab->id, ".control", path);
	return r < 0 ? r : sim_cloud_control(lab->cloud, path, err);
}
