// SPDX-License-Identifier: Apache-2.0
/* CHECK: the container's interface against what ADD remembered and against prevResult. */
#include "plugins/vpcwire-eni/eni.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"

static int check_link(struct vw_nl *nl, const struct eni_state *st, unsigned int outer, struct vw_pod_expect *e, struct vw_err *err)
{
	struct vw_link link;
	int r;

	if (st->iface != ENI_IFACE_VLAN)
		return guest_check(nl, st, outer, e, err);
	r = vw_link_get_name(nl, st->key.ifname, &link, err);
	if (r < 0)
		return vw_absent_or(err, r, st->key.ifname, "in the pod");
	if (st->vlan && link.peer_ifindex != outer)
		return vw_differs(err, "interface %s in the pod is not the other end of %s", link.name, st->host_name);
	if (!st->vlan && !eni_alias_is_of(link.alias, &st->key))
		return vw_differs(err, "interface %s in the pod is not the ENI that it was given (alias \"%.100s\")", link.name,
				  link.alias);
	if (st->stay_down)
		return vw_mac_eq(&link.mac, &st->mac)
			       ? 0
			       : vw_differs(err, "interface %s in the pod has another MAC address than its ENI", link.name);
	return vw_pod_check(nl, &link, e, err);
}

int eni_check(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result prev = VW_CNI_RESULT_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT, host = VW_NL_INIT;
	vw_auto_close int netns_fd = -EBADF;
	struct vw_attach_key key = {0};
	struct vw_pod_expect e = {0};
	struct vw_pod_net net;
	unsigned int outer = 0;
	struct eni_state st;
	int r;

	if (!call->conf.prev_result)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "CHECK needs prevResult, the configuration has none");
	if (vw_cni_result_parse(call->conf.prev_result, call->conf.version, &prev, err) < 0)
		return -err->eno;
	netns_fd = vw_call_open_netns(call, err);
	if (netns_fd < 0)
		return netns_fd;
	eni_key_of(call, &key);
	r = eni_state_read(eni_conf_state_dir(call), &key, &st, err);
	if (r < 0)
		return r;
	if (r == 0 || st.orphaned)
		return vw_err_set(err, ENOENT, VW_CNI_UNKNOWN_CONTAINER, "container %.64s has no ENI as %s", key.container_id,
				  key.ifname);
	net = eni_net_of(&st, 0);
	e = (struct vw_pod_expect){.net = &net, .mac = st.mac, .mtu = st.mtu};
	if (vw_pod_reported(&prev, PLUGIN_NAME, &e, err) < 0)
		return -err->eno;
	if (st.vlan && (vw_nl_open(&host, err) < 0 || branch_check(&host, eni_conf_bpf_dir(call), &st, &outer, err) < 0))
		return -err->eno;
	if (vw_netns_enter(netns_fd, err) < 0 || vw_nl_open(&nl, err) < 0)
		return -err->eno;
	return check_link(&nl, &st, outer, &e, err);
}
