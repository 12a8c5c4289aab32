// SPDX-License-Identifier: Apache-2.0
/* CHECK: the container, its end on the bridge, its ports and the bridge against what ADD remembered and against prevResult. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <string.h>

struct job {
	struct eni_state st, br;
	struct br_names names;
	struct br_place place;
	struct vw_pod_net net;
	struct vw_pod_expect expect;
};

static int check_end(struct job *job, const struct vw_link *bridge, struct vw_err *err)
{
	char name[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_link end;
	struct vw_mac mac;
	int r;

	br_host_end(&job->st.key, name, alias, &mac);
	r = vw_link_get_name(&job->place.nl, name, &end, err);
	if (r < 0)
		return vw_absent_or(err, r, name, "at the bridge");
	if (strcmp(end.alias, alias))
		return vw_differs(err, "link %s at the bridge is not this container's (alias \"%.100s\")", name, end.alias);
	if (end.master != bridge->ifindex)
		return vw_differs(err, "link %s is no port of bridge %s", name, bridge->name);
	return vw_pod_check_link(&end, &job->expect, "at the bridge", err);
}

static int check_route(struct job *job, const struct vw_link *bridge, const struct vw_ip *ip, struct vw_err *err)
{
	struct vw_route_query q = {.dst = *ip};
	char text[VW_IP_STRLEN];
	struct vw_route found;
	int r = vw_route_lookup(&job->place.nl, &q, &found, err);

	if (r == 0 && found.ifindex == bridge->ifindex)
		return 0;
	return vw_differs(err, "the route to %s does not lead to bridge %s", vw_ip_str(ip, text), bridge->name);
}

static int check_outside(struct job *job, struct vw_err *err)
{
	struct vw_link bridge;
	int r = br_is_whole(&job->place, &job->br, &bridge, err);

	if (r <= 0)
		return -err->eno;
	if (check_end(job, &bridge, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < job->st.addrs.n; i++) {
		if (check_route(job, &bridge, &job->st.addrs.v[i].ip, err) < 0)
			return -err->eno;
	}
	return br_nat_check(&job->place.nft, &job->br, &job->st, err);
}

static int check_inside(struct job *job, int netns_fd, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	struct vw_link link;
	int r;

	if (vw_netns_enter(netns_fd, err) < 0 || vw_nl_open(&nl, err) < 0)
		return -err->eno;
	if (job->st.stay_down)
		return br_tap_check(&nl, &job->st, err);
	r = vw_link_get_name(&nl, job->st.key.ifname, &link, err);
	return r < 0 ? vw_absent_or(err, r, job->st.key.ifname, "in the pod") : vw_pod_check(&nl, &link, &job->expect, err);
}

static int read_files(const struct vw_cni_call *call, struct job *job, struct vw_err *err)
{
	const char *dir = br_conf_state_dir(call);
	struct vw_attach_key key = {0};
	int r;

	br_key_of(call, &key);
	r = eni_state_read(dir, &key, &job->st, err);
	if (r < 0)
		return r;
	if (r > 0)
		r = br_read(dir, &job->st.mac, &job->br, err);
	if (r < 0)
		return r;
	if (r == 0 || job->br.orphaned)
		return vw_err_set(err, ENOENT, VW_CNI_UNKNOWN_CONTAINER, "container %.64s is not on a bridge as %s", key.container_id,
				  key.ifname);
	br_names_of(&job->br.mac, &job->names);
	return 0;
}

static int check_all(const struct vw_cni_call *call, struct job *job, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result prev = VW_CNI_RESULT_INIT;
	vw_auto_close int netns_fd = -EBADF;

	if (!call->conf.prev_result)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "CHECK needs prevResult, the configuration has none");
	if (vw_cni_result_parse(call->conf.prev_result, call->conf.version, &prev, err) < 0)
		return -err->eno;
	netns_fd = vw_call_open_netns(call, err);
	if (netns_fd < 0 || read_files(call, job, err) < 0)
		return -err->eno;
	job->net = br_net_of(&job->st, &job->names.mac, 0);
	job->expect = (struct vw_pod_expect){.net = &job->net, .mac = job->st.pod_mac, .mtu = job->st.mtu};
	if (vw_pod_reported(&prev, PLUGIN_NAME, &job->expect, err) < 0 || br_place_of(&job->br, &job->place, err) < 0 ||
	    check_outside(job, err) < 0)
		return -err->eno;
	return check_inside(job, netns_fd, err);
}

int br_check(struct vw_cni_call *call, struct vw_err *err)
{
	struct job job = {.place = BR_PLACE_INIT};
	int r = check_all(call, &job, err);

	br_place_done(&job.place);
	return r;
}
