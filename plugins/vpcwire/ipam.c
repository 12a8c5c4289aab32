// SPDX-License-Identifier: Apache-2.0
/*
 * "ipam" in the configuration: another plugin (static, host-local) chooses the addresses, out of those that this node has in
 * the VPC. The daemon still owns them: it is asked for exactly these, and refuses what it does not have or has given away.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/cni/delegate.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"
#include "plugins/vpcwire/wire.h"

#include <string.h>

#define UNDO_MS 5000

bool is_delegated(const struct vw_cni_call *call)
{
	return *call->conf.ipam && strcmp(call->conf.ipam, PLUGIN_NAME) != 0;
}

int ipam_choose(struct vw_cni_call *call, struct delegated *ret, struct vw_err *err)
{
	struct vw_cni_wish *w = &call->wish;

	if (vw_cni_ipam_add(call, vw_call_deadline(call, UINT32_MAX), &ret->json, &ret->result, err) < 0)
		return -err->eno;
	ret->active = true;
	w->n_ip = 0;
	w->ip_optional = false;
	for (size_t i = 0; i < ret->result.n_ips; i++) {
		const struct vw_ip *ip = &ret->result.ips[i].address.ip;

		if (w->n_ip == VW_ARRAY_SIZE(w->ip) || (w->n_ip && w->ip[0].family == ip->family))
			return vw_err_set(err, EOPNOTSUPP, VW_CNI_INVALID_CONFIG,
					  "plugin '%s' chose more than one address of a family", call->conf.ipam);
		w->ip[w->n_ip++] = *ip;
	}
	if (!w->n_ip)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "plugin '%s' chose no address", call->conf.ipam);
	for (size_t i = 0; i < ret->result.n_routes; i++) {
		const struct vw_cni_route *r = &ret->result.routes[i];

		if (r->has || r->mtu || r->advmss || r->priority)
			return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
					  "unsupported field: plugin '%s' wants a route with more than a destination",
					  call->conf.ipam);
	}
	return 0;
}

int ipam_forward(const struct vw_cni_call *call, enum vw_cni_cmd cmd, unsigned int max_ms, struct vw_err *err)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT_MAX(VW_CNI_CONF_MAX_BYTES);

	if (!is_delegated(call))
		return 0;
	return vw_cni_delegate(call, cmd, call->conf.ipam, vw_call_deadline(call, max_ms), &out, err);
}

void ipam_undo(const struct vw_cni_call *call)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT_MAX(VW_CNI_CONF_MAX_BYTES);
	struct vw_err ignored;

	if (is_delegated(call))
		(void)vw_cni_delegate(call, VW_CNI_CMD_DEL, call->conf.ipam, vw_mono_ms() + UNDO_MS, &out, &ignored);
}
