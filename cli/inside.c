/*
 * The pod's end of a pair: only this command, which is root on the node, enters the pod's namespace; the daemon never does. What it compares, and
 * how, is what the plugin's CHECK does (lib/pod).
 */
#include "cli/inside.h"

#include "cli/cli.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"
#include "lib/rpc/check.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <string.h>

#define PART "inside the pod"
#define NEW_POD "if no plugin chained after vpcwire did it, delete the pod: its controller makes a new one"

/** struct inside - @link: the pod's interface, as found. */
struct inside {
	const char *ifname;
	struct vw_rpc_wiring w;
	struct vw_link link;
};

static int wiring_of(const struct cli *c, const struct vw_json *x, struct vw_rpc_wiring *ret, struct vw_err *err)
{
	struct vw_rpc_req req = { .op = VW_RPC_CHECK };
	vw_auto_json struct vw_json *reply = NULL;

	if (vw_fmt(req.key.container_id, sizeof(req.key.container_id), "%s", cli_str(x, "container_id")) < 0 ||
	    vw_fmt(req.key.ifname, sizeof(req.key.ifname), "%s", cli_str(x, "ifname")) < 0)
		return vw_err_set(err, EPROTO, 0, "vpcwired's answer has a name that is too long");
	if (vw_rpc_call(c->socket_path, &req, vw_mono_ms() + c->timeout_ms, &reply, err) < 0)
		return -err->eno;
	return vw_rpc_wiring_decode(reply, ret, err);
}

/* in the pod's namespace */
static int compare(void *arg, struct vw_err *err)
{
	static const struct vw_cni_iface nothing = { 0 };
	struct inside *in = arg;
	const struct vw_rpc_wiring *w = &in->w;
	struct vw_pod_net net = { .ifname = in->ifname, .addr = w->addr, .n_addr = w->n_addr, .hidden = w->egress, .gw = w->gateway,
				  .n_gw = w->n_addr, .gw_mac = &w->host_mac };
	struct vw_pod_expect want = { .net = &net, .mac = w->pod_mac, .mtu = w->mtu, .reported = &nothing };
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r;

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	r = vw_link_get_name(&nl, in->ifname, &in->link, err);
	if (r < 0)
		return vw_absent_or(err, r, in->ifname, "in the pod");
	if (in->link.peer_ifindex != w->host_ifindex)
		return vw_differs(err, "interface %s in the pod is not the other end of %s", in->link.name, w->host_ifname);
	net.ifindex = in->link.ifindex;
	if (w->adopted)         /* whatever those gave it who made it */
		want.mac = in->link.mac;
	return vw_pod_check(&nl, &in->link, &want, err);
}

static int add_check(const struct cli *c, const struct vw_json *x, struct vw_json *checks)
{
	struct inside in = { .ifname = cli_str(x, "ifname") };
	const char *path = cli_str(x, "netns");
	vw_auto_close int netns = -EBADF;
	char mac[VW_MAC_STRLEN];
	struct vw_err err;
	int r;

	if (!*path)
		return vw_check(checks, PART, true, NULL, "not looked at: nobody has said where its namespace is");
	if (wiring_of(c, x, &in.w, &err) < 0)
		return vw_check(checks, PART, true, NULL, "not looked at: %s", err.msg);
	netns = vw_netns_open(path, &err);
	if (netns < 0)
		return vw_check(checks, PART, true, NULL, "not looked at: %s", err.msg);
	err.cni = 0;
	r = vw_netns_run(netns, compare, &in, &err);
	if (r < 0 && err.cni != VW_CNI_CHECK_FAILED)
		return vw_check(checks, PART, true, NULL, "not looked at: %s", err.msg);
	if (r < 0)
		return vw_check(checks, PART, false, NEW_POD, "%s", err.msg);
	return vw_check(checks, PART, true, NULL, "%s, MAC %s, MTU %u, up; addresses, routes and neighbours as it was given", in.link.name,
			vw_mac_str(&in.link.mac, mac), in.link.mtu);
}

static struct vw_json *looked_into(const struct cli *c, const struct vw_json *x)
{
	struct vw_json *copy = vw_json_copy(x), *checks = vw_json_copy(vw_json_get(x, "checks"));
	int failed = add_check(c, x, checks);

	if (vw_json_set(copy, "checks", checks) == 0 && !failed)
		return copy;
	vw_json_free(copy);
	return NULL;
}

int look_inside(const struct cli *c, struct vw_json **answer)
{
	vw_auto_json struct vw_json *fresh = vw_json_copy(*answer);
	const struct vw_json *interfaces = vw_json_get(*answer, "interfaces");
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < vw_json_len(interfaces) && !failed; i++)
		failed |= vw_json_append(arr, looked_into(c, vw_json_at(interfaces, i)));
	if (vw_json_set(fresh, "interfaces", arr) < 0 || failed)
		return -ENOMEM;
	vw_json_free(*answer);
	*answer = VW_TAKE_PTR(fresh);
	return 0;
}
