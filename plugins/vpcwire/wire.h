#pragma once

#include "lib/cni/env.h"
#include "lib/cni/result.h"
#include "lib/cni/wish.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"
#include "lib/rpc/rpc.h"

#include <stdint.h>

struct vw_cni_call;
struct vw_err;
struct vw_json;

#define PLUGIN_NAME "vpcwire"

/** socket_of() - the daemon's socket: configured or built in. */
const char *socket_of(const struct vw_cni_call *call);
/** request_of() - a request about the call's own attachment; only the key and the network are filled in. */
void request_of(const struct vw_cni_call *call, enum vw_rpc_op op, struct vw_rpc_req *ret_req);
/** alias_of() - the mark of our host veths, "vpcwire:<container id>/<ifname>"; of the id at most 230 bytes, to fit. */
void alias_of(const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX]);
/** apply_overrides() - what the network says of MTU and attachment, and the runtime of the MAC, wins over the daemon. */
void apply_overrides(const struct vw_cni_call *call, struct vw_rpc_wiring *w);

#define ALIAS_PREFIX "vpcwire:"

/* --- the verbs, for struct vw_cni_plugin */
int vpcwire_add(struct vw_cni_call *call, struct vw_err *err);
int vpcwire_del(struct vw_cni_call *call, struct vw_err *err);
int vpcwire_check(struct vw_cni_call *call, struct vw_err *err);
int vpcwire_status(struct vw_cni_call *call, struct vw_err *err);
int vpcwire_gc(struct vw_cni_call *call, struct vw_err *err);
void vpcwire_undo(struct vw_cni_call *call);

/**
 * struct wiring_job - an attachment being made or looked at.
 * @host: socket in the node's namespace. @pod: in the pod's.
 * @routes: @n_routes more destinations, each with the pod's gateway; borrowed.
 * @to_pod, @from_pod: how fast, at most.
 * @made: the link is ours and did not exist before: what a failure has to take away.
 * @second: the pod had a default route already: see lib/pod/pod.h.
 */
struct wiring_job {
	const struct vw_rpc_wiring *w;
	struct vw_attach_key key;
	const char *netns_path;
	int netns_fd;
	const struct vw_cni_route *routes;
	size_t n_routes;
	struct vw_cni_rate to_pod, from_pod;
	struct vw_nl host, pod;
	bool made, second;
};

/** net_of() - what the pod's end of a wiring is given; borrows from @w. Its index is for the caller to fill in. */
struct vw_pod_net net_of(const char *ifname, const struct vw_rpc_wiring *w);

/**
 * wire() - make the pair, the host's half and the pod's half. The process is in the pod's namespace afterwards.
 * @job->host is open. Fails with VW_CNI_INTERFACE_EXISTS when the pod has an interface of that name, which is not
 * touched.
 */
int wire(struct wiring_job *job, struct vw_err *err);
/**
 * tbf_of() - a rate as a token bucket for interface @ifindex whose MTU is @mtu. A burst that was not said is 10 ms or two frames,
 * and one that was said is at least a frame: nothing would get through.
 */
struct vw_tbf tbf_of(const struct vw_cni_rate *rate, unsigned int mtu, unsigned int ifindex, const char *dev);

/**
 * struct delegated - what the configured "ipam" plugin said. @active: it was asked and has to be told of a failure.
 * @result borrows from @json.
 */
struct delegated {
	struct vw_json *json;
	struct vw_cni_result result;
	bool active;
};

/** is_delegated() - another plugin chooses the addresses. */
bool is_delegated(const struct vw_cni_call *call);
/** ipam_choose() - ask it; its addresses become @call->wish. @ret starts zeroed; the caller frees both parts, also on failure. */
int ipam_choose(struct vw_cni_call *call, struct delegated *ret, struct vw_err *err);
/** ipam_forward() - the other verbs; nothing happens when nothing is delegated. In the node's namespace. */
int ipam_forward(const struct vw_cni_call *call, enum vw_cni_cmd cmd, unsigned int max_ms, struct vw_err *err);
/** ipam_undo() - its DEL, for an ADD that failed. In the node's namespace. */
void ipam_undo(const struct vw_cni_call *call);

/** interface_exists() - the pod has an interface of that name already: the error. */
int interface_exists(const struct wiring_job *job, struct vw_err *err);
/** unwire() - take the link away if wire() made it; routes and filters go with it. */
void unwire(struct wiring_job *job);
