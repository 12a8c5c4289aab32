/*
 * ADD: namespace -> address from the daemon -> wiring -> result. What fails is undone in reverse: link, then
 * address. An attachment that the daemon already had, and whose interface is there, belongs to an earlier ADD
 * that succeeded: it is reported as a mistake of the caller and stays as it is.
 */
#include "plugins/vpcwire/wire.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"
#include "lib/net/netns.h"

#include <string.h>

#define UNDO_MS 2000 /* telling the daemon that an ADD failed: after this its own GC finds out */
#define AWAY_MS 10000 /* an upgrade, or a crash: one second, as the unit has it; a DaemonSet's pod is replaced in a few */

/*
 * Gives the address back: it was never used, so it need not cool down. A daemon that cannot be reached gets a
 * tombstone: the runtime's own DEL comes later, but not from every runtime.
 */
static void give_back(struct vw_cni_call *call)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;
	struct vw_err ignored;

	request_of(call, VW_RPC_DEL, &req);
	req.failed = true;
	if (vw_rpc_call(socket_of(call), &req, vw_mono_ms() + UNDO_MS, &reply, &ignored) < 0)
		(void)vw_tombstone_write(socket_of(call), &req, &ignored);
}

/* The result could not be written. We are back in the node's namespace when there is a delegate to tell. */
void vpcwire_undo(struct vw_cni_call *call)
{
	give_back(call);
	ipam_undo(call);
}

/*
 * A DEL of this container that never reached the daemon is made up for first. Left to the daemon's next
 * start, it would take away what this ADD is about to make: some runtimes use a container's id again.
 */
static int settle_del(struct vw_cni_call *call, uint64_t deadline_ms, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;
	int r;

	request_of(call, VW_RPC_DEL, &req);
	r = vw_tombstone_exists(socket_of(call), &req.key, err);
	if (r <= 0)
		return r;
	if (vw_rpc_call_again(socket_of(call), &req, deadline_ms, AWAY_MS, &reply, err) < 0)
		return -err->eno;
	r = vw_tombstone_remove(socket_of(call), &req.key, err);
	return r < 0 ? r : 0;
}

static int reserve(struct vw_cni_call *call, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	uint64_t deadline = vw_call_deadline(call, UINT32_MAX);
	bool existing = false;
	struct vw_rpc_req req;
	struct vw_err ignored;

	if (settle_del(call, deadline, err) < 0)
		return -err->eno;
	request_of(call, VW_RPC_ADD, &req);
	req.deadline_ms = (unsigned int)vw_deadline_left(deadline);
	req.n_want = call->wish.n_ip;
	req.want_optional = call->wish.ip_optional;
	memcpy(req.want, call->wish.ip, sizeof(req.want));
	req.mtu = call->conf.mtu;
	req.own_attach = call->conf.attach != VW_CNI_ATTACH_DEFAULT;
	req.attach = call->conf.attach == VW_CNI_ATTACH_TCX ? VW_ATTACH_TCX : VW_ATTACH_CLSACT;
	_Static_assert(VW_CALL_NETNS_MAX <= VW_PATH_MAX, "what was opened fits");
	snprintf(req.netns, sizeof(req.netns), "%s", call->env.netns);
	snprintf(req.pod_namespace, sizeof(req.pod_namespace), "%s", call->args.pod_namespace);
	snprintf(req.pod_name, sizeof(req.pod_name), "%s", call->args.pod_name);
	snprintf(req.pod_uid, sizeof(req.pod_uid), "%s", call->args.pod_uid);
	if (vw_rpc_call_again(socket_of(call), &req, deadline, AWAY_MS, &reply, err) < 0)
		return -err->eno;
	if (vw_rpc_wiring_decode(reply, ret_w, err) == 0)
		return 0;
	(void)vw_json_get_bool(reply, "existing", &existing, &ignored);
	if (!existing)
		give_back(call);
	return -err->eno;
}

static int add_ours(const struct vw_cni_call *call, const struct wiring_job *job, struct vw_cni_result *r,
		    char host_mac[VW_MAC_STRLEN], char pod_mac[VW_MAC_STRLEN])
{
	const struct vw_rpc_wiring *w = job->w;
	struct vw_cni_iface host = {
		.name = w->host_ifname, .mac = vw_mac_str(&w->host_mac, host_mac), .mtu = w->mtu};
	struct vw_cni_iface pod = {
		.name = call->env.ifname,
		.mac = vw_mac_str(&w->pod_mac, pod_mac),
		.mtu = w->mtu,
		.sandbox = call->env.netns,
	};
	int index;

	if (vw_cni_result_add_iface(r, &host) < 0)
		return -ENOMEM;
	index = vw_cni_result_add_iface(r, &pod);
	if (index < 0)
		return index;
	for (unsigned int i = 0; i < w->n_addr; i++) {
		struct vw_cni_ip ip = {.address = w->addr[i], .gateway = w->gateway[i], .iface = index};
		struct vw_cni_route route = {.gw = w->gateway[i]};

		/* it would be taken for an address of the pod: kubelet reports them all */
		if (w->egress[i])
			continue;
		route.dst.ip.family = w->gateway[i].family;
		if (vw_cni_result_add_ip(r, &ip) < 0 ||
		    (!job->second && vw_cni_result_add_route(r, &route) < 0))
			return -ENOMEM;
	}
	for (size_t i = 0; i < job->n_routes; i++) {
		if (vw_cni_result_add_route(r, &job->routes[i]) < 0)
			return -ENOMEM;
	}
	if (call->conf.dns)
		r->dns = call->conf.dns;
	return 0;
}

static int answer(struct vw_cni_call *call, const struct wiring_job *job, struct vw_cni_result *r,
		  struct vw_err *err)
{
	char host_mac[VW_MAC_STRLEN], pod_mac[VW_MAC_STRLEN];

	if (add_ours(call, job, r, host_mac, pod_mac) < 0)
		return vw_err_sys(err, ENOMEM, 0, "making the result");
	return vw_cni_result_print(r, call->conf.version, call->out, err);
}

/* A delegate's routes lead by the only neighbour that a pod has; the default ones are made anyway. */
static void take_routes(struct wiring_job *job, struct delegated *ipam, const struct vw_rpc_wiring *w)
{
	struct vw_cni_route *routes = ipam->result.routes;
	size_t n = 0;

	for (size_t i = 0; i < ipam->result.n_routes; i++) {
		for (unsigned int g = 0; g < w->n_addr; g++) {
			if (!routes[i].dst.len || w->gateway[g].family != routes[i].dst.ip.family)
				continue;
			routes[n] = routes[i];
			routes[n++].gw = w->gateway[g];
		}
	}
	job->routes = routes;
	job->n_routes = n;
}

static int add_to(struct vw_cni_call *call, struct wiring_job *job, struct delegated *ipam,
		  struct vw_cni_result *result, struct vw_err *err)
{
	struct vw_rpc_wiring w;
	int r;

	if (vw_nl_open(&job->host, err) < 0 || reserve(call, &w, err) < 0)
		return -err->eno;
	apply_overrides(call, &w);
	take_routes(job, ipam, &w);
	if (!call->conf.dns)
		call->conf.dns = ipam->result.dns;
	job->w = &w;
	job->to_pod = call->wish.to_pod;
	job->from_pod = call->wish.from_pod;
	r = wire(job, err);
	if (r == 0)
		r = answer(call, job, result, err);
	if (r == 0)
		return 0;
	/* An attachment of an earlier ADD, and we did not make its link: not ours to take away. */
	if (!w.existing || job->made) {
		unwire(job);
		give_back(call);
	}
	vw_buf_reset(call->out);
	return r;
}

/* Before a delegate is asked: it might take a second question about one container for a mistake, and forget the first. */
static int refuse_existing(struct wiring_job *job, struct vw_err *err)
{
	vw_auto_nl struct vw_nl pod = VW_NL_INIT;
	struct vw_err ignored;
	struct vw_link link;

	if (vw_nl_open_at(&pod, job->netns_fd, err) < 0)
		return -err->eno;
	return vw_link_get_name(&pod, job->key.ifname, &link, &ignored) == 0 ? interface_exists(job, err) : 0;
}

/* A delegate is told of a failure in the namespace that it was asked in. */
static int add_delegated(struct vw_cni_call *call, struct wiring_job *job, struct vw_cni_result *result,
			 struct vw_err *err)
{
	vw_auto_close int own = vw_netns_open_self(err);
	struct delegated ipam = {.result = VW_CNI_RESULT_INIT};
	struct vw_err lost;
	int r = own < 0 ? own : refuse_existing(job, err);

	if (r == 0)
		r = ipam_choose(call, &ipam, err);
	if (r == 0)
		r = add_to(call, job, &ipam, result, err);
	if (own >= 0 && vw_netns_enter(own, &lost) < 0)
		r = r < 0 ? r : (*err = lost, -lost.eno);
	else if (r < 0 && ipam.active)
		ipam_undo(call);
	vw_cni_result_done(&ipam.result);
	vw_json_freep(&ipam.json);
	return r;
}

int vpcwire_add(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result result = VW_CNI_RESULT_INIT;
	struct delegated nobody = {.result = VW_CNI_RESULT_INIT};
	vw_auto_close int netns_fd = -EBADF;
	struct wiring_job job = {.netns_path = call->env.netns, .host = VW_NL_INIT, .pod = VW_NL_INIT};
	struct vw_rpc_req names;
	int r;

	if (vw_call_refuse_to_be_ipam(call, PLUGIN_NAME, err) < 0)
		return -err->eno;
	netns_fd = vw_call_open_netns(call, err);
	if (netns_fd < 0)
		return netns_fd;
	/* Before anything is made: a prevResult that cannot be passed on must not cost an address. */
	if (call->conf.prev_result &&
	    vw_cni_result_parse(call->conf.prev_result, call->conf.version, &result, err) < 0)
		return -err->eno;
	request_of(call, VW_RPC_ADD, &names);
	job.key = names.key;
	job.netns_fd = netns_fd;
	r = is_delegated(call) ? add_delegated(call, &job, &result, err)
			       : add_to(call, &job, &nobody, &result, err);
	vw_nl_close(&job.pod);
	vw_nl_close(&job.host);
	return r;
}
