// SPDX-License-Identifier: Apache-2.0
/* Questions about a call that every plugin asks. */
#include "lib/pod/pod.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/net/netns.h"

#include <string.h>

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

int vw_call_open_netns(const struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;

	if (strlen(call->env.netns) >= VW_CALL_NETNS_MAX)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_ENV, "CNI_NETNS is longer than %d bytes", VW_CALL_NETNS_MAX - 1);
	fd = vw_netns_open(call->env.netns, err);
	if (fd < 0 || vw_call_refuse_own_netns(call, fd, err) < 0)
		return -err->eno;
	return VW_TAKE_FD(fd);
}

int vw_call_refuse_to_be_ipam(const struct vw_cni_call *call, const char *name, struct vw_err *err)
{
	if (strcmp(call->conf.ipam, name) || !*call->conf.type || !strcmp(call->conf.type, name))
		return 0;
	return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
			  "unsupported field: ipam.type is \"%s\" in a configuration of '%.80s'\n%s wires what it gives "
			  "addresses to, it serves no other plugin",
			  name, call->conf.type, name);
}
