/*
 * Filters are replaced in place: one commit for each link, so that one that refuses does not keep the others from it, and a
 * packet meets the old program or the new one, never none.
 */
#include "daemon/programs.h"

#include "daemon/daemon.h"
#include "lib/base/log.h"
#include "lib/net/link.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/np_loader.h"

/* @dirs filters on the link's clsact; a link that has gone is no failure */
static int attach(struct daemon *d, const struct vw_filter *f, unsigned int n, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	vw_clsact_add(&b, f->ifindex, f->dev);
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS | VW_NL_OK_GONE);
	for (unsigned int i = 0; i < n; i++) {
		vw_filter_replace(&b, &f[i]);
		vw_nl_tolerate(&b, VW_NL_OK_GONE);
	}
	return vw_nl_commit(&d->nl, &b, err);
}

void programs_attach_eni(struct daemon *d, const struct eni *e)
{
	const struct vw_filter f = {
		.ifindex = e->ifindex,
		.dir = VW_TC_EGRESS,
		.prog_fd = np_to_wire_fd(d->np),
		.name = "vpcwire_to_wire",
		.dev = e->ifname,
	};
	struct vw_err err;

	if (attach(d, &f, 1, &err) < 0)
		vw_error("the eBPF program could not be attached to an ENI: egress to services behind it is not judged",
			 "eni=%s ifname=%s err=\"%s\"", e->row.id, e->ifname, err.msg);
}

void programs_renew(struct daemon *d)
{
	struct attachment *a, *tmp;
	struct vw_err err;

	if (!np_replaced(d->np))
		return;
	if (d->cfg->attach == VW_ATTACH_TCX && d->attach.n) {
		/* NEEDSWORK: tcx replaces only by the old program's fd, which is gone with its pin; keep it open across the swap */
		vw_warn("pods attached by tcx keep the former eBPF program until they are restarted");
		return;
	}
	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		struct vw_filter f[] = {
			{ .dir = VW_TC_INGRESS, .prog_fd = np_from_pod_fd(d->np), .name = "vpcwire_from_pod" },
			{ .dir = VW_TC_EGRESS, .prog_fd = np_to_pod_fd(d->np), .name = "vpcwire_to_pod" },
		};

		if (a->superseded)
			continue;
		for (int i = 0; i < 2; i++) {
			f[i].ifindex = VW_IFINDEX_BASE + a->slot;
			f[i].dev = a->host_ifname;
		}
		if (attach(d, f, 2, &err) < 0)
			vw_error("the new eBPF programs could not be attached to a living pod", "container_id=%s err=\"%s\"",
				 a->container_id, err.msg);
	}
}
