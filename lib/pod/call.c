// SPDX-License-Identifier: Apache-2.0
/* Questions about a call that every plugin asks. */
#include "lib/pod/pod.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/net/netns.h"

uint64_t vw_call_deadline(const struct vw_cni_call *call, unsigned int max_ms)
{
	return call->start_ms + (call->conf.timeout_ms < max_ms ? call->conf.timeout_ms : max_ms);
}

int vw_call_refuse_own_netns(const struct vw_cni_call *call, int netns_fd, struct vw_err *err)
{
	vw_auto_close int own = -EBADF;
	int same;

	if (call->env.netns_override)
		return 0;
	own = vw_netns_open_self(err);
	if (own < 0)
		return own;
	same = vw_netns_same(own, netns_fd, err);
	if (same <= 0)
		return same;
	return vw_err_set(
		err, EINVAL, VW_CNI_INVALID_NETNS,
		"plugin's netns and netns from CNI_NETNS should not be the same\nCNI_NETNS is \"%s\"",
		call->env.netns);
}
