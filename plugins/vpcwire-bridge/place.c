// SPDX-License-Identifier: Apache-2.0
/* The namespace that a bridge is in, and the sockets into it. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/netns.h"

#include <errno.h>
#include <fcntl.h>

void br_place_done(struct br_place *p)
{
	vw_nl_close(&p->nft);
	vw_nl_close(&p->nl);
	vw_nl_close(&p->host);
	vw_close_fd(&p->fd);
	vw_close_fd(&p->host_fd);
}

static int open_sockets(void *arg, struct vw_err *err)
{
	struct br_place *p = arg;

	return vw_nl_open(&p->nl, err) < 0 || vw_nftnl_open(&p->nft, err) < 0 ? -err->eno : 0;
}

/* @path: "" = the host. @id: NULL = any namespace; another one than this is as good as none. */
static int open_there(const char *path, const struct vw_netns_id *id, struct br_place *p, struct vw_err *err)
{
	struct vw_netns_id found;

	p->host_fd = vw_netns_open_self(err);
	if (p->host_fd < 0 || vw_nl_open(&p->host, err) < 0)
		return -err->eno;
	p->fd = *path ? vw_netns_open(path, err) : vw_netns_open_self(err);
	if (p->fd < 0)
		return -err->eno;
	if (vw_netns_id(p->fd, &found, err) < 0)
		return -err->eno;
	if (id && (found.dev != id->dev || found.ino != id->ino)) {
		vw_close_fd(&p->fd);
		return vw_err_set(err, ENOENT, VW_CNI_INVALID_NETNS, "'%s' is another namespace now", path);
	}
	return *path ? vw_netns_run(p->fd, open_sockets, p, err) : open_sockets(p, err);
}

int br_place_open(const char *path, struct br_place *ret, struct vw_err *err)
{
	struct br_place p = BR_PLACE_INIT;

	if (open_there(path, NULL, &p, err) < 0) {
		br_place_done(&p);
		err->cni = VW_CNI_INVALID_CONFIG;
		return *path ? vw_err_wrap(err, "key 'bridgeNetNSPath'") : -err->eno;
	}
	*ret = p;
	return 0;
}

int br_place_of(const struct eni_state *br, struct br_place *ret, struct vw_err *err)
{
	struct br_place p = BR_PLACE_INIT;

	if (open_there(br->netns, *br->netns ? &br->netns_id : NULL, &p, err) < 0 &&
	    (p.host.fd < 0 || (err->eno != ENOENT && err->eno != ENOTDIR && err->eno != EINVAL))) {
		br_place_done(&p);
		return -err->eno;
	}
	*ret = p;
	return 0;
}
