// SPDX-License-Identifier: Apache-2.0
/* Questions about a call that every plugin asks. */
#include "lib/pod/pod.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"

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

int vw_call_refuse_taken_name(const struct vw_cni_call *call, struct vw_nl *pod, struct vw_err *err)
{
	struct vw_link link;
	int r = vw_link_get_name(pod, call->env.ifname, &link, err);

	if (r == -ENODEV)
		return 0;
	return r < 0 ? r
		     : vw_err_set(err, EEXIST, VW_CNI_INTERFACE_EXISTS, "interface %s already exists in '%s'; it was left as it is",
				  call->env.ifname, call->env.netns);
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

int vw_call_refuse_ipam(const struct vw_cni_call *call, const char *name, const char *instead, struct vw_err *err)
{
	if (!*call->conf.ipam)
		return 0;
	return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
			  "unsupported field: ipam.type is \"%.80s\"\n%s delegates to nobody: addresses stand in %s", call->conf.ipam, name, instead);
}

bool vw_pod_may_live(const char *netns, const struct vw_netns_id *id, const char *ifname)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_close int fd = -EBADF;
	struct vw_netns_id found;
	struct vw_link link;
	struct vw_err err;
	int r;

	fd = vw_netns_open(netns, &err);
	if (fd < 0)
		return err.eno != ENOENT && err.eno != ENOTDIR && err.eno != EINVAL;
	if (vw_netns_id(fd, &found, &err) < 0)
		return true;
	if (found.dev != id->dev || found.ino != id->ino)
		return false;
	r = vw_nl_open_at(&nl, fd, &err);
	if (r == 0)
		r = vw_link_get_name(&nl, ifname, &link, &err);
	return r == 0 ? link.flags & IFF_UP : r != -ENODEV;
}
