/*
 * vpcwire, the CNI plugin: one exec per pod and verb. DEL, STATUS and GC are questions to the daemon and
 * stand here; ADD and CHECK have files of their own.
 */
#include "lib/cni/main.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "plugins/vpcwire/wire.h"

#include <stdint.h>
#include <string.h>

#define DEL_MS    10000
#define STATUS_MS 5000
#define GC_MS     30000

const char *socket_of(const struct vw_cni_call *call)
{
	return call->conf.socket ? call->conf.socket : VW_RPC_DEFAULT_SOCKET;
}

void request_of(const struct vw_cni_call *call, enum vw_rpc_op op, struct vw_rpc_req *ret_req)
{
	_Static_assert(VW_CNI_ARG_MAX <= VW_ID_MAX, "what lib/cni lets through fits into a request");
	memset(ret_req, 0, sizeof(*ret_req));
	ret_req->op = op;
	snprintf(ret_req->key.container_id, sizeof(ret_req->key.container_id), "%s", call->env.container_id);
	snprintf(ret_req->key.ifname, sizeof(ret_req->key.ifname), "%s", call->env.ifname);
	snprintf(ret_req->network, sizeof(ret_req->network), "%s", call->conf.name);
}

void alias_of(const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX])
{
	_Static_assert(sizeof(ALIAS_PREFIX) + 230 + 1 + IFNAMSIZ - 1 <= VW_IFALIAS_MAX, "the alias fits");
	snprintf(ret, VW_IFALIAS_MAX, ALIAS_PREFIX "%.230s/%s", key->container_id, key->ifname);
}

void apply_overrides(const struct vw_cni_call *call, struct vw_rpc_wiring *w)
{
	if (call->conf.mtu)
		w->mtu = call->conf.mtu;
	if (call->wish.has_mac)
		w->pod_mac = call->wish.mac;
	if (call->conf.attach == VW_CNI_ATTACH_CLSACT)
		w->attach = VW_ATTACH_CLSACT;
	else if (call->conf.attach == VW_CNI_ATTACH_TCX)
		w->attach = VW_ATTACH_TCX;
}

static int ask(const struct vw_cni_call *call, const struct vw_rpc_req *req, uint64_t deadline_ms,
	       struct vw_json **ret_reply, struct vw_err *err)
{
	return vw_rpc_call(socket_of(call), req, deadline_ms, ret_reply, err);
}

/* --- DEL */

/*
 * No daemon to do it, and a namespace that outlives its container: delete the pair, if it carries our mark.
 * Nothing here can fail the DEL; the tombstone makes the daemon clean up whatever is left.
 */
static void remove_link(const struct vw_cni_call *call, int netns_fd, const struct vw_attach_key *key)
{
	vw_auto_nl struct vw_nl host = VW_NL_INIT, pod = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char alias[VW_IFALIAS_MAX];
	struct vw_link in_pod, on_host;
	struct vw_err ignored;

	if (netns_fd < 0 || vw_nl_open(&host, &ignored) < 0 || vw_nl_open_at(&pod, netns_fd, &ignored) < 0 ||
	    vw_link_get_name(&pod, call->env.ifname, &in_pod, &ignored) < 0 || !in_pod.peer_ifindex ||
	    vw_link_get(&host, in_pod.peer_ifindex, &on_host, &ignored) < 0)
		return;
	alias_of(key, alias);
	if (strcmp(alias, on_host.alias))
		return;
	vw_link_del(&b, on_host.ifindex);
	(void)vw_nl_commit(&host, &b, &ignored);
}

/* Whether the daemon never got to say what it thinks of the request. */
static bool is_absent(const struct vw_err *err)
{
	switch (err->eno) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ETIMEDOUT:
	case EPIPE:
	case EPROTO:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static int leave_tombstone(const struct vw_cni_call *call, const struct vw_rpc_req *req, int netns_fd,
			   struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_err ignored;

	if (vw_tombstone_write(socket_of(call), req, err) < 0) {
		err->cni = VW_CNI_TRY_AGAIN;
		return vw_err_wrap(err, "vpcwired is away and the DEL could not be noted for it");
	}
	remove_link(call, netns_fd, &req->key);
	/* A daemon that started in between has read the folder before our file was in it. */
	if (ask(call, req, vw_call_deadline(call, DEL_MS), &reply, &ignored) == 0)
		(void)vw_tombstone_remove(socket_of(call), &req->key, &ignored);
	return 0;
}

/* Both are done, whatever the other says: ours in reverse order, the addresses of a delegate last. */
static int both(int ours, const struct vw_cni_call *call, enum vw_cni_cmd cmd, unsigned int max_ms, struct vw_err *err)
{
	struct vw_err theirs;

	if (ipam_forward(call, cmd, max_ms, &theirs) == 0)
		return ours;
	if (ours < 0)
		return vw_err_wrap(err, "%.200s; and", theirs.msg);
	*err = theirs;
	return -err->eno;
}

static int del_ours(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	vw_auto_close int netns_fd = -EBADF;
	struct vw_rpc_req req;
	struct vw_err gone;

	/* A namespace that is gone, or is none any more, is no reason for a DEL to fail. */
	if (call->env.netns[0])
		netns_fd = vw_netns_open(call->env.netns, &gone);
	if (netns_fd >= 0 && vw_call_refuse_own_netns(call, netns_fd, err) < 0)
		return -err->eno;
	request_of(call, VW_RPC_DEL, &req);
	if (vw_fmt(req.netns, sizeof(req.netns), "%s", call->env.netns) < 0)
		req.netns[0] = '\0';
	if (ask(call, &req, vw_call_deadline(call, DEL_MS), &reply, err) == 0)
		return 0;
	return is_absent(err) ? leave_tombstone(call, &req, netns_fd, err) : -err->eno;
}

int vpcwire_del(struct vw_cni_call *call, struct vw_err *err)
{
	return both(del_ours(call, err), call, VW_CNI_CMD_DEL, DEL_MS, err);
}

/* --- STATUS, GC */

int vpcwire_status(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;
	struct vw_rpc_status st;

	request_of(call, VW_RPC_STATUS, &req);
	if (ask(call, &req, vw_call_deadline(call, STATUS_MS), &reply, err) < 0 ||
	    vw_rpc_status_decode(reply, &st, err) < 0) {
		err->cni = VW_CNI_NOT_AVAILABLE;
		return -err->eno;
	}
	if (st.cni)
		return vw_err_set(err, EAGAIN, st.cni, "%s", st.msg);
	return ipam_forward(call, VW_CNI_CMD_STATUS, STATUS_MS, err);
}

static int gc_ours(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_free struct vw_cni_attachment *list = NULL;
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_req req;
	size_t n = 0;
	int r;

	request_of(call, VW_RPC_GC, &req);
	if (vw_cni_conf_attachments(&call->conf, &list, &n, &req.valid_unknown, err) < 0)
		return -err->eno;
	req.valid = n ? calloc(n, sizeof(*req.valid)) : NULL;
	if (n && !req.valid)
		return vw_err_sys(err, ENOMEM, 0, "listing %zu attachments", n);
	for (; req.n_valid < n; req.n_valid++) {
		struct vw_attach_key *key = &req.valid[req.n_valid];

		/* An id longer than we ever accept is of no attachment of ours. */
		if (vw_fmt(key->container_id, sizeof(key->container_id), "%s",
			   list[req.n_valid].container_id) < 0)
			break;
		snprintf(key->ifname, sizeof(key->ifname), "%s", list[req.n_valid].ifname);
	}
	r = req.n_valid < n ? vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG,
					 "a valid attachment's containerID is too long")
			    : ask(call, &req, vw_call_deadline(call, GC_MS), &reply, err);
	vw_rpc_req_done(&req);
	return r;
}

int vpcwire_gc(struct vw_cni_call *call, struct vw_err *err)
{
	return both(gc_ours(call, err), call, VW_CNI_CMD_GC, GC_MS, err);
}

int main(int argc, char *argv[], char *envp[])
{
	static const struct vw_cni_plugin plugin = {
		.name = PLUGIN_NAME,
		.about = "CNI " PLUGIN_NAME " plugin v" VW_VERSION,
		.caps = VW_CNI_CAP_IPS | VW_CNI_CAP_MAC | VW_CNI_CAP_BANDWIDTH,
		.add = vpcwire_add,
		.del = vpcwire_del,
		.check = vpcwire_check,
		.status = vpcwire_status,
		.gc = vpcwire_gc,
		.undo = vpcwire_undo,
	};

	return vw_cni_main(&plugin, argc, argv, envp);
}
