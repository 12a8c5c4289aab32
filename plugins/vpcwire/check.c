/*
 * CHECK: the kernel against what the daemon stored and against what ADD reported. The node's half is looked at
 * here, the pod's by lib/pod; the first difference is the answer.
 */
#include "plugins/vpcwire/wire.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/net/tc.h"
#include "lib/pod/pod.h"

#include <string.h>

#define CHECK_MS 10000

struct expected {
	const struct vw_rpc_wiring *w;
	struct vw_pod_net net;
	struct vw_pod_expect pod;
	const struct vw_cni_wish *wish;
};

static int check_filter(struct vw_nl *nl, const struct expected *e, enum vw_tc_dir dir, const char *pin,
			struct vw_err *err)
{
	vw_auto_close int prog = -EBADF;
	const struct vw_rpc_wiring *w = e->w;
	struct vw_filter f = {.ifindex = w->host_ifindex, .dir = dir, .prog_fd = -1, .dev = w->host_ifname};
	const char *which = dir == VW_TC_INGRESS ? "the policy filter for what leaves the pod"
						 : "the policy filter for what enters the pod";
	struct vw_filter_info info = {0};
	uint32_t id;
	int r;

	if (!pin[0])
		return 0;
	prog = vw_bpf_pin_open(pin, err);
	if (prog < 0 || vw_bpf_prog_id(prog, &id, err) < 0)
		return -err->eno;
	if (w->attach == VW_ATTACH_TCX || w->adopted) {
		r = vw_bpf_tcx_has(w->host_ifindex, dir, id, err);
		if (r == 1)
			return 0;
		if (!w->adopted)        /* those hang by clsact where the kernel has no tcx */
			return r == 0 ? vw_differs(err, "%s is missing on %s", which, w->host_ifname) : r;
	}
	r = vw_filter_get(nl, &f, &info, err);
	if (r < 0)
		return vw_absent_or(err, r, which, w->host_ifname);
	if (info.prog_id != id || !info.direct_action)
		return vw_differs(err, "%s on %s is another program (id %u, not %u)", which, w->host_ifname,
			       info.prog_id, id);
	return 0;
}

static int check_rate(struct vw_nl *nl, const struct vw_cni_rate *rate, unsigned int ifindex, const char *dev,
		      const char *where, struct vw_err *err)
{
	struct vw_tbf want = tbf_of(rate, 0, ifindex, dev);
	uint64_t bytes_per_s;
	int r;

	if (!rate->bits_per_s)
		return 0;
	r = vw_tbf_get(nl, ifindex, dev, &bytes_per_s, err);
	if (r < 0)
		return vw_absent_or(err, r, "the bandwidth limit", where);
	if (bytes_per_s != want.bytes_per_s)
		return vw_differs(err, "the bandwidth limit %s is %llu bytes a second, not %llu", where,
				  (unsigned long long)bytes_per_s, (unsigned long long)want.bytes_per_s);
	return 0;
}

static int check_route_apart(struct vw_nl *nl, const struct vw_rpc_wiring *w, const struct vw_cidr *addr, struct vw_err *err)
{
	vw_auto_free struct vw_route *routes = NULL;
	char text[VW_CIDR_STRLEN];
	int n = vw_route_list(nl, addr->ip.family, w->pods_table, w->host_ifindex, 0, &routes, err);

	for (int i = 0; i < n; i++)
		if (vw_cidr_eq(&routes[i].dst, addr))
			return 0;
	return n < 0 ? n : vw_differs(err, "the node's route to %s in table %u by %s is missing", vw_cidr_str(addr, text), w->pods_table,
				      w->host_ifname);
}

static int check_host(struct vw_nl *nl, const struct expected *e, struct vw_err *err)
{
	const struct vw_rpc_wiring *w = e->w;
	struct vw_link link;
	int r = vw_link_get_name(nl, w->host_ifname, &link, err);

	if (r < 0)
		return vw_absent_or(err, r, w->host_ifname, "on the node");
	if (link.ifindex != w->host_ifindex)
		return vw_differs(err, "interface %s on the node has index %u, not %u", link.name, link.ifindex,
			       w->host_ifindex);
	if (!vw_mac_eq(&link.mac, &w->host_mac))
		return vw_differs(err, "interface %s on the node has another MAC address than it was given",
			       link.name);
	if (vw_pod_check_link(&link, &e->pod, "on the node", err) < 0)
		return -err->eno;
	for (unsigned int i = 0; i < w->n_addr; i++) {
		struct vw_route_query q = {.dst = w->addr[i].ip};
		char text[VW_IP_STRLEN];
		struct vw_route route;

		if (w->apart) {
			if (check_route_apart(nl, w, &w->addr[i], err) < 0)
				return -err->eno;
			continue;
		}
		r = vw_route_lookup(nl, &q, &route, err);
		if (r < 0 || route.table != w->pods_table || route.ifindex != w->host_ifindex)
			return vw_differs(err, "the node's route to %s in table %u by %s is missing",
				       vw_ip_str(&w->addr[i].ip, text), w->pods_table, w->host_ifname);
	}
	if (check_filter(nl, e, VW_TC_INGRESS, w->pin_from_pod, err) < 0 ||
	    check_filter(nl, e, VW_TC_EGRESS, w->pin_to_pod, err) < 0)
		return -err->eno;
	return check_rate(nl, &e->wish->to_pod, w->host_ifindex, w->host_ifname, "on the node", err);
}

static int check_pod(struct vw_nl *nl, struct expected *e, struct vw_err *err)
{
	struct vw_link link;
	int r = vw_link_get_name(nl, e->net.ifname, &link, err);

	if (r < 0)
		return vw_absent_or(err, r, e->net.ifname, "in the pod");
	if (link.peer_ifindex != e->w->host_ifindex)
		return vw_differs(err, "interface %s in the pod is not the other end of %s", link.name,
				  e->w->host_ifname);
	e->net.ifindex = link.ifindex;
	if (e->w->adopted)      /* whatever those gave it who made it */
		e->pod.mac = link.mac;
	if (vw_pod_check(nl, &link, &e->pod, err) < 0)
		return -err->eno;
	return check_rate(nl, &e->wish->from_pod, link.ifindex, link.name, "in the pod", err);
}

static int ask(const struct vw_cni_call *call, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;

	request_of(call, VW_RPC_CHECK, &req);
	if (vw_rpc_call(socket_of(call), &req, vw_call_deadline(call, CHECK_MS), &reply, err) < 0)
		return -err->eno;
	return vw_rpc_wiring_decode(reply, ret_w, err);
}

int vpcwire_check(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result prev = VW_CNI_RESULT_INIT;
	vw_auto_nl struct vw_nl host = VW_NL_INIT, pod = VW_NL_INIT;
	vw_auto_close int netns_fd = -EBADF;
	struct vw_rpc_wiring w;
	struct expected e = {.w = &w, .wish = &call->wish};

	if (!call->conf.prev_result)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "CHECK needs prevResult, the configuration has none");
	if (vw_cni_result_parse(call->conf.prev_result, call->conf.version, &prev, err) < 0)
		return -err->eno;
	netns_fd = vw_call_open_netns(call, err);
	if (netns_fd < 0)
		return netns_fd;
	/* while we are in the node's namespace */
	if (ask(call, &w, err) < 0 || ipam_forward(call, VW_CNI_CMD_CHECK, CHECK_MS, err) < 0)
		return -err->eno;
	apply_overrides(call, &w);
	e.net = net_of(call->env.ifname, &w);
	e.pod = (struct vw_pod_expect){.net = &e.net, .mac = w.pod_mac, .mtu = w.mtu};
	if (vw_pod_reported(&prev, "vpcwired", &e.pod, err) < 0)
		return -err->eno;
	if (vw_nl_open(&host, err) < 0 || check_host(&host, &e, err) < 0)
		return -err->eno;
	if (vw_netns_enter(netns_fd, err) < 0 || vw_nl_open(&pod, err) < 0)
		return -err->eno;
	return check_pod(&pod, &e, err);
}
