/*
 * CHECK: the kernel against what the daemon stored and against what ADD reported. Asked for object by object,
 * nothing dumped but one pod's own addresses and routes; the first difference is the answer.
 *
 * Plugins chained after us may change what they are for: `tuning` sets another MAC (and with that this kernel
 * drops the permanent neighbour), others add routes and addresses. The final result, which CHECK gets as
 * prevResult, tells: a MAC or MTU is right if it is the daemon's or the one in the result.
 */
#include "plugins/vpcwire/wire.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"
#include "lib/net/addr.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#define CHECK_MS 10000

#define differs(err, ...) vw_err_set((err), ENODEV, VW_CNI_CHECK_FAILED, __VA_ARGS__)

/* What an absent object makes of a query's failure: a difference, not an accident. */
static int absent_or(struct vw_err *err, int r, const char *what, const char *where)
{
	if (r == -ENODEV || r == -ENOENT || r == -ESRCH)
		return differs(err, "%s is missing %s", what, where);
	return r;
}

struct expected {
	const struct vw_rpc_wiring *w;
	const struct vw_cni_iface *pod; /* in prevResult */
	bool other_mac;                 /* a chained plugin changed it, and says so */
};

static int check_prev(const struct vw_cni_call *call, const struct vw_cni_result *prev, struct expected *e,
		      struct vw_err *err)
{
	size_t index = 0;

	for (; index < prev->n_ifaces; index++) {
		const struct vw_cni_iface *i = &prev->ifaces[index];

		if (!strcmp(i->name, call->env.ifname) && i->sandbox && *i->sandbox)
			break;
	}
	if (index == prev->n_ifaces)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "prevResult has no interface %s with a sandbox", call->env.ifname);
	e->pod = &prev->ifaces[index];
	for (unsigned int a = 0; a < e->w->n_addr; a++) {
		char text[VW_CIDR_STRLEN];
		bool found = false;

		for (size_t i = 0; i < prev->n_ips; i++)
			found |= prev->ips[i].iface == (int)index &&
				 vw_ip_eq(&prev->ips[i].address.ip, &e->w->addr[a].ip);
		if (!found)
			return differs(err, "vpcwired gave %s the address %s, prevResult does not have it",
				       call->env.ifname, vw_cidr_str(&e->w->addr[a], text));
	}
	return 0;
}

static int check_up_and_mtu(const struct vw_link *link, const struct expected *e, const char *where,
			    struct vw_err *err)
{
	if (!(link->flags & IFF_UP))
		return differs(err, "interface %s %s is down", link->name, where);
	if (link->mtu != e->w->mtu && link->mtu != e->pod->mtu)
		return differs(err, "interface %s %s has MTU %u, not %u", link->name, where, link->mtu,
			       e->w->mtu);
	return 0;
}

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
	if (w->attach == VW_ATTACH_TCX) {
		r = vw_bpf_tcx_has(w->host_ifindex, dir, id, err);
		return r == 0 ? differs(err, "%s is missing on %s", which, w->host_ifname) : r < 0 ? r : 0;
	}
	r = vw_filter_get(nl, &f, &info, err);
	if (r < 0)
		return absent_or(err, r, which, w->host_ifname);
	if (info.prog_id != id || !info.direct_action)
		return differs(err, "%s on %s is another program (id %u, not %u)", which, w->host_ifname,
			       info.prog_id, id);
	return 0;
}

static int check_host(struct vw_nl *nl, const struct expected *e, struct vw_err *err)
{
	const struct vw_rpc_wiring *w = e->w;
	struct vw_link link;
	int r = vw_link_get_name(nl, w->host_ifname, &link, err);

	if (r < 0)
		return absent_or(err, r, w->host_ifname, "on the node");
	if (link.ifindex != w->host_ifindex)
		return differs(err, "interface %s on the node has index %u, not %u", link.name, link.ifindex,
			       w->host_ifindex);
	if (!vw_mac_eq(&link.mac, &w->host_mac))
		return differs(err, "interface %s on the node has another MAC address than it was given",
			       link.name);
	if (check_up_and_mtu(&link, e, "on the node", err) < 0)
		return -err->eno;
	for (unsigned int i = 0; i < w->n_addr; i++) {
		struct vw_route_query q = {.dst = w->addr[i].ip};
		char text[VW_IP_STRLEN];
		struct vw_route route;

		r = vw_route_lookup(nl, &q, &route, err);
		if (r < 0 || route.table != w->pods_table || route.ifindex != w->host_ifindex)
			return differs(err, "the node's route to %s in table %u by %s is missing",
				       vw_ip_str(&w->addr[i].ip, text), w->pods_table, w->host_ifname);
	}
	if (check_filter(nl, e, VW_TC_INGRESS, w->pin_from_pod, err) < 0 ||
	    check_filter(nl, e, VW_TC_EGRESS, w->pin_to_pod, err) < 0)
		return -err->eno;
	return 0;
}

static int check_mac(const struct vw_link *link, struct expected *e, struct vw_err *err)
{
	struct vw_mac reported;
	char text[VW_MAC_STRLEN];

	if (vw_mac_eq(&link->mac, &e->w->pod_mac))
		return 0;
	if (e->pod->mac && vw_mac_parse(e->pod->mac, &reported) == 0 && vw_mac_eq(&link->mac, &reported)) {
		e->other_mac = true;
		return 0;
	}
	return differs(
		err,
		"interface %s in the pod has MAC address %s, which neither vpcwired nor prevResult knows",
		link->name, vw_mac_str(&link->mac, text));
}

static int check_address(struct vw_nl *nl, const struct vw_link *link, const struct vw_cidr *want,
			 struct vw_err *err)
{
	vw_auto_free struct vw_addr *addrs = NULL;
	char text[VW_CIDR_STRLEN];
	int n = vw_addr_list(nl, link->ifindex, want->ip.family, &addrs, err);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (vw_cidr_eq(&addrs[i].addr, want))
			return 0;
	}
	return differs(err, "address %s is missing on %s in the pod", vw_cidr_str(want, text), link->name);
}

struct found_routes {
	bool to_gw, by_gw;
};

static int find_routes(struct vw_nl *nl, const struct vw_link *link, uint32_t table, const struct vw_ip *gw,
		       struct found_routes *ret, struct vw_err *err)
{
	vw_auto_free struct vw_route *routes = NULL;
	struct found_routes found = {0};
	struct vw_cidr to_gw = vw_cidr_host(gw);
	int n = vw_route_list(nl, gw->family, table, link->ifindex, 0, &routes, err);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		found.to_gw |= vw_cidr_eq(&routes[i].dst, &to_gw);
		found.by_gw |= routes[i].dst.len == 0 && vw_ip_eq(&routes[i].via, gw);
	}
	*ret = found;
	return 0;
}

/* In main, or, for a pod's second interface, in its own table with a rule that leads there. */
static int check_routes(struct vw_nl *nl, const struct vw_link *link, const struct vw_cidr *addr,
			const struct vw_ip *gw, struct vw_err *err)
{
	struct vw_route_query from_it = {.dst = *gw, .src = addr->ip};
	struct found_routes found;
	char text[VW_IP_STRLEN];
	struct vw_route route;

	if (find_routes(nl, link, RT_TABLE_MAIN, gw, &found, err) < 0)
		return -err->eno;
	if (!found.by_gw) {
		if (find_routes(nl, link, pod_table_of(link->ifindex), gw, &found, err) < 0)
			return -err->eno;
		found.by_gw &=
			vw_route_lookup(nl, &from_it, &route, err) == 0 && route.ifindex == link->ifindex;
	}
	if (!found.by_gw)
		return differs(err, "the default route of %s by %s is missing in the pod", link->name,
			       vw_ip_str(gw, text));
	if (!found.to_gw)
		return differs(err, "the route to the gateway %s by %s is missing in the pod",
			       vw_ip_str(gw, text), link->name);
	return 0;
}

static int check_neigh(struct vw_nl *nl, const struct vw_link *link, const struct vw_ip *gw,
		       const struct expected *e, struct vw_err *err)
{
	struct vw_neigh found;
	char text[VW_IP_STRLEN];
	int r = vw_neigh_get(nl, link->ifindex, gw, &found, err);

	/* Changing the MAC made the kernel forget it; the gateway answers ARP too. */
	if (e->other_mac && r < 0)
		return 0;
	if (r < 0)
		return r == -ENOENT
			       ? differs(err, "the neighbour entry of the gateway %s is missing in the pod",
					 vw_ip_str(gw, text))
			       : r;
	if (!e->other_mac && !found.permanent)
		return differs(err, "the neighbour entry of the gateway %s is not permanent",
			       vw_ip_str(gw, text));
	if (!vw_mac_eq(&found.mac, &e->w->host_mac))
		return differs(err, "the neighbour entry of the gateway %s has another MAC address than %s",
			       vw_ip_str(gw, text), e->w->host_ifname);
	return 0;
}

static int check_pod(struct vw_nl *nl, const struct vw_cni_call *call, struct expected *e, struct vw_err *err)
{
	const struct vw_rpc_wiring *w = e->w;
	struct vw_link link;
	int r = vw_link_get_name(nl, call->env.ifname, &link, err);

	if (r < 0)
		return absent_or(err, r, call->env.ifname, "in the pod");
	if (link.peer_ifindex != w->host_ifindex)
		return differs(err, "interface %s in the pod is not the other end of %s", link.name,
			       w->host_ifname);
	if (check_up_and_mtu(&link, e, "in the pod", err) < 0 || check_mac(&link, e, err) < 0)
		return -err->eno;
	for (unsigned int i = 0; i < w->n_addr; i++) {
		if (check_address(nl, &link, &w->addr[i], err) < 0 ||
		    check_routes(nl, &link, &w->addr[i], &w->gateway[i], err) < 0 ||
		    check_neigh(nl, &link, &w->gateway[i], e, err) < 0)
			return -err->eno;
	}
	return 0;
}

static int ask(const struct vw_cni_call *call, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;

	request_of(call, VW_RPC_CHECK, &req);
	if (vw_rpc_call(socket_of(call), &req, deadline_of(call, CHECK_MS), &reply, err) < 0)
		return -err->eno;
	return vw_rpc_wiring_decode(reply, ret_w, err);
}

int vpcwire_check(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result prev = VW_CNI_RESULT_INIT;
	vw_auto_nl struct vw_nl host = VW_NL_INIT, pod = VW_NL_INIT;
	vw_auto_close int netns_fd = -EBADF;
	struct vw_rpc_wiring w;
	struct expected e = {.w = &w};

	if (!call->conf.prev_result)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "CHECK needs prevResult, the configuration has none");
	if (vw_cni_result_parse(call->conf.prev_result, call->conf.version, &prev, err) < 0)
		return -err->eno;
	netns_fd = vw_netns_open(call->env.netns, err);
	if (netns_fd < 0 || refuse_own_netns(call, netns_fd, err) < 0)
		return -err->eno;
	if (ask(call, &w, err) < 0)
		return -err->eno;
	apply_overrides(call, &w);
	if (check_prev(call, &prev, &e, err) < 0)
		return -err->eno;
	if (vw_nl_open(&host, err) < 0 || check_host(&host, &e, err) < 0)
		return -err->eno;
	if (vw_netns_enter(netns_fd, err) < 0 || vw_nl_open(&pod, err) < 0)
		return -err->eno;
	return check_pod(&pod, call, &e, err);
}
