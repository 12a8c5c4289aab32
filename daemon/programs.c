/*
 * Filters are replaced in place: one commit for each link, so that one that refuses does not keep the others from it, and a
 * packet meets the old program or the new one, never none.
 */
#include "daemon/programs.h"

#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/sgp.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/tc.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TO_WIRE "vpcwire_to_wire"

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

/* what leaves by a device behind which services may be: an ENI, a branch's interface */
static struct vw_filter wire_filter(struct daemon *d, unsigned int ifindex, const char *ifname)
{
	return (struct vw_filter){
		.ifindex = ifindex,
		.dir = VW_TC_EGRESS,
		.prog_fd = np_to_wire_fd(d->np),
		.name = TO_WIRE,
		.dev = ifname,
	};
}

static void pod_filters(struct daemon *d, const struct attachment *a, struct vw_filter f[2])
{
	f[0] = (struct vw_filter){ .dir = VW_TC_INGRESS, .prog_fd = np_from_pod_fd(d->np), .name = "vpcwire_from_pod" };
	f[1] = (struct vw_filter){ .dir = VW_TC_EGRESS, .prog_fd = np_to_pod_fd(d->np), .name = "vpcwire_to_pod" };
	for (int i = 0; i < 2; i++) {
		f[i].ifindex = attach_ifindex(a);
		f[i].dev = a->host_ifname;
	}
}

/* Return: 1 = ours hangs there by tcx, in the place of the former if that did, 0 = neither does, -errno */
static int swap_tcx(const struct vw_filter *f, const int *formers, unsigned int n, struct vw_err *err)
{
	uint32_t id;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < n; i++) {
		r = vw_bpf_prog_id(formers[i], &id, err);
		if (r == 0)
			r = vw_bpf_tcx_has(f->ifindex, f->dir, id, err);
		if (r > 0)
			r = vw_bpf_tcx_replace(f->ifindex, f->dir, f->prog_fd, formers[i], err) < 0 ? -err->eno : 1;
	}
	if (r == -EINVAL || r == -ENODEV)       /* a kernel without tcx; a link that has gone */
		return 0;
	if (r == 0 && vw_bpf_prog_id(f->prog_fd, &id, err) == 0)
		return vw_bpf_tcx_has(f->ifindex, f->dir, id, err) == 1;
	return r;
}

/*
 * On a link that carries traffic already. To make a clsact there the kernel puts the link to rest (qdisc_graft(), dev_deactivate()): what it
 * is to send in these 10 to 30 ms is lost. tcx does not; a kernel without it (before 6.6) has no other way.
 */
static int attach_busy(struct daemon *d, const struct vw_filter *f, struct vw_err *err)
{
	int r = vw_bpf_tcx_attach(f->ifindex, f->dir, f->prog_fd, err);

	if (r == -EINVAL)
		return attach(d, f, 1, err);
	return r == -ENODEV || r == -EEXIST ? 0 : r;
}

static bool any_adopted(const struct daemon *d)
{
	const struct attachment *a, *tmp;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (a->adopted.ifindex)
			return true;
	return false;
}

void programs_attach_eni(struct daemon *d, const struct eni *e)
{
	const struct vw_filter f = wire_filter(d, e->ifindex, e->ifname);
	struct np_formers formers;
	struct vw_err err;
	int r = np_formers_open(d->np, &formers, &err);

	if (r == 0)
		r = swap_tcx(&f, formers.to_wire, formers.n_to_wire, &err);
	if (r == 0)             /* pods that were taken over use the ENI */
		r = any_adopted(d) ? attach_busy(d, &f, &err) : attach(d, &f, 1, &err);
	np_formers_close(&formers);
	if (r < 0)
		vw_error("the eBPF program could not be attached to an ENI: egress to services behind it is not judged",
			 "eni=%s ifname=%s err=\"%s\"", e->row.id, e->ifname, err.msg);
}

int programs_attach_branch(struct daemon *d, const struct hostnet_branch *b, struct vw_err *err)
{
	const struct vw_filter f = wire_filter(d, b->ifindex, b->ifname);

	return attach(d, &f, 1, err);
}

/* without a daemon. Return: 1 and an fd that the caller closes, 0 = nothing can be had under that name, -ENAMETOOLONG */
static int pinned(const char *bpf_dir, const char *pin, int *ret_fd, struct vw_err *err)
{
	char path[VW_PATH_MAX];
	int fd;

	if (vw_fmt(path, sizeof(path), "%s/v%d/%s", bpf_dir, NP_ABI, pin) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%s' is too long", bpf_dir);
	fd = vw_bpf_obj_open(path);
	if (fd < 0)
		return 0;
	*ret_fd = fd;
	return 1;
}

static int detach_tcx(const char *bpf_dir, const char *pin, unsigned int ifindex, enum vw_tc_dir dir, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	int r = pinned(bpf_dir, pin, &fd, err);

	return r <= 0 ? r : vw_bpf_tcx_detach(ifindex, dir, fd, err);
}

int programs_detach(const char *bpf_dir, struct vw_nl *nl, const struct vw_link *link, bool busy, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_filter f = { .ifindex = link->ifindex, .dir = VW_TC_EGRESS, .dev = link->name };
	struct vw_filter_info info;
	int in, out, r;

	if (detach_tcx(bpf_dir, NP_PROG_TO_WIRE, link->ifindex, VW_TC_EGRESS, err) < 0)
		return -err->eno;
	r = vw_filter_get(nl, &f, &info, err);
	if (r == -ENOENT || r == -ENODEV || (r == 0 && strcmp(info.name, TO_WIRE)))
		return 0;
	in = r < 0 ? r : vw_filter_count(nl, link->ifindex, VW_TC_INGRESS, err);
	out = in < 0 ? in : vw_filter_count(nl, link->ifindex, VW_TC_EGRESS, err);
	if (out < 0)
		return out;
	if (in == 0 && out == 1 && !busy)
		vw_clsact_del(&b, link->ifindex, link->name);
	else
		vw_filter_del(&b, &f);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(nl, &b, err);
}

/* the clsact stays, empty: see attach_busy() */
int programs_detach_pod(const char *bpf_dir, struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	if (detach_tcx(bpf_dir, NP_PROG_FROM_POD, ifindex, VW_TC_INGRESS, err) < 0 ||
	    detach_tcx(bpf_dir, NP_PROG_TO_POD, ifindex, VW_TC_EGRESS, err) < 0)
		return -err->eno;
	for (int dir = VW_TC_INGRESS; dir <= VW_TC_EGRESS; dir++) {
		const struct vw_filter f = { .ifindex = ifindex, .dir = dir, .dev = ifname };
		struct vw_filter_info info;

		if (vw_filter_get(nl, &f, &info, err) < 0 || strncmp(info.name, "vpcwire_", strlen("vpcwire_")))
			continue;
		vw_filter_del(&b, &f);
		vw_nl_tolerate(&b, VW_NL_OK_GONE);
	}
	return vw_nl_commit(nl, &b, err);
}

int programs_judge_pod(const char *bpf_dir, struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err)
{
	static const char *const pins[] = { [VW_TC_INGRESS] = NP_PROG_FROM_POD, [VW_TC_EGRESS] = NP_PROG_TO_POD };

	for (int dir = VW_TC_INGRESS; dir <= VW_TC_EGRESS; dir++) {
		const struct vw_filter f = { .ifindex = ifindex, .dir = dir, .dev = ifname };
		vw_auto_close int fd = -EBADF;
		struct vw_filter_info info = { 0 };
		uint32_t id;
		int r = pinned(bpf_dir, pins[dir], &fd, err);

		if (r <= 0)
			return r;
		r = vw_bpf_prog_id(fd, &id, err);
		if (r == 0 && vw_bpf_tcx_has(ifindex, dir, id, err) == 1)
			continue;
		if (r == 0)
			r = vw_filter_get(nl, &f, &info, err);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r < 0 || info.prog_id != id)
			return 0;
	}
	return 1;
}

/* --- repair */

/* @ret: by which way it hangs there, left alone if it does not. Return: 1, 0, -errno (-ENODEV: the link has gone) */
static int hangs(struct daemon *d, const struct vw_filter *f, enum attach_hung *ret, struct vw_err *err)
{
	struct vw_filter_info info;
	uint32_t id;
	int r = vw_bpf_prog_id(f->prog_fd, &id, err);

	if (r == 0)
		r = vw_filter_get(&d->nl, f, &info, err);
	if (r == 0 && info.prog_id == id && info.direct_action) {
		*ret = ATTACH_HUNG_CLSACT;
		return 1;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	/* the setting may have been another one when the pod started; a kernel without tcx has none there */
	if (vw_bpf_tcx_has(f->ifindex, f->dir, id, err) != 1)
		return 0;
	*ret = ATTACH_HUNG_TCX;
	return 1;
}

int programs_repair(struct daemon *d, const struct vw_filter *f, enum attach_hung *hung, const struct hostnet_truth *t, struct vw_err *err)
{
	char what[160];
	int r = hangs(d, f, hung, err);

	if (r)
		return r < 0 && r != -ENODEV ? r : 0;
	(void)snprintf(what, sizeof(what), "program %s on %s is missing", f->name, f->dev);
	if (!t->found(HOSTNET_FILTER, what, t->arg))
		return 0;
	if (*hung == ATTACH_HUNG_UNKNOWN)
		*hung = d->cfg->attach == VW_ATTACH_TCX ? ATTACH_HUNG_TCX : ATTACH_HUNG_CLSACT;
	r = *hung == ATTACH_HUNG_TCX ? attach_busy(d, f, err) : attach(d, f, 1, err);
	return r == -ENODEV ? 0 : r;
}

int programs_repair_pod(struct daemon *d, const struct attachment *a, enum attach_hung *hung, const struct hostnet_truth *t,
			struct vw_err *err)
{
	struct vw_filter f[2];
	int r = 0;

	pod_filters(d, a, f);
	if (a->adopted.ifindex && *hung == ATTACH_HUNG_UNKNOWN)
		*hung = ATTACH_HUNG_TCX;
	for (int i = 0; r == 0 && i < 2; i++)
		r = programs_repair(d, &f[i], hung, t, err);
	return r;
}

unsigned int programs_look_tcx(struct daemon *d, void (*missing)(struct daemon *d, const struct attachment *a))
{
	struct attachment *a, *tmp;
	unsigned int n = 0;
	struct vw_err err;
	uint32_t id[2];

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		const unsigned int link = attach_ifindex(a);

		if (a->hung != ATTACH_HUNG_TCX || a->superseded)
			continue;
		if (n++ == 0 && (vw_bpf_prog_id(np_from_pod_fd(d->np), &id[0], &err) < 0 || vw_bpf_prog_id(np_to_pod_fd(d->np), &id[1], &err) < 0))
			return n;
		if (vw_bpf_tcx_has(link, VW_TC_INGRESS, id[0], &err) == 0 || vw_bpf_tcx_has(link, VW_TC_EGRESS, id[1], &err) == 0)
			missing(d, a);
	}
	return n;
}

int programs_repair_enis(struct daemon *d, const struct hostnet_truth *t, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->enis.n; i++) {
		const struct vw_filter f = wire_filter(d, d->enis.v[i].ifindex, d->enis.v[i].ifname);
		enum attach_hung hung = ATTACH_HUNG_CLSACT;

		if (d->enis.v[i].wired)
			r = programs_repair(d, &f, &hung, t, err);
	}
	return r;
}

int programs_repair_branch(struct daemon *d, const struct hostnet_branch *b, const struct hostnet_truth *t, struct vw_err *err)
{
	const struct vw_filter f = wire_filter(d, b->ifindex, b->ifname);
	enum attach_hung hung = ATTACH_HUNG_CLSACT;

	return b->ifindex ? programs_repair(d, &f, &hung, t, err) : 0;
}

/* --- after an upgrade */

static int renew_branch(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	struct hostnet_branch b;
	int r = a->branch.vlan ? sgp_branch(d, a, &b, err) : 0;

	return r < 0 || !a->branch.vlan || !b.ifindex ? r : programs_attach_branch(d, &b, err);
}

static int renew_pod(struct daemon *d, const struct attachment *a, const struct np_formers *formers, struct vw_err *err)
{
	enum attach_hung how;
	struct vw_filter f[2];
	int in, out;

	pod_filters(d, a, f);
	in = swap_tcx(&f[0], formers->from_pod, formers->n_from_pod, err);
	out = in < 0 ? in : swap_tcx(&f[1], formers->to_pod, formers->n_to_pod, err);
	if (out < 0)
		return out;
	if (in && out)
		return 0;
	if (!a->adopted.ifindex)
		return attach(d, f, 2, err);
	in = in || hangs(d, &f[0], &how, err) == 1 ? 0 : attach_busy(d, &f[0], err);
	return in < 0 || out || hangs(d, &f[1], &how, err) == 1 ? in : attach_busy(d, &f[1], err);
}

static bool renew_pods(struct daemon *d, const struct np_formers *formers)
{
	struct attachment *a, *tmp;
	struct vw_err err;
	bool all = true;

	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		if (a->superseded || (renew_branch(d, a, &err) == 0 && renew_pod(d, a, formers, &err) == 0))
			continue;
		all = false;
		vw_error("the new eBPF programs could not be attached to a living pod, retrying at the next start",
			 "container_id=%s err=\"%s\"", a->container_id, err.msg);
	}
	return all;
}

void programs_judge_node(struct daemon *d)
{
	struct vw_err err;
	int r = hostnet_judge_apply(d->hostnet, np_at_node_fd(d->np, 4), np_at_node_fd(d->np, 6), &err);

	if (r == -ENOENT)
		vw_warn("this kernel has no xt_bpf or nft_compat: Admin and Baseline rules do not see what pods send to sockets of this node "
			"by a service's address", "err=\"%s\"", err.msg);
	else if (r < 0)
		vw_error("what pods send to sockets of this node by a service's address is not judged", "err=\"%s\"", err.msg);
}

void programs_renew(struct daemon *d)
{
	struct np_formers formers;
	struct vw_err err;
	bool done = np_formers_open(d->np, &formers, &err) == 0;

	if (!done)
		vw_warn("the eBPF programs of another version could not be looked at", "err=\"%s\"", err.msg);
	else if (np_replaced(d->np) || formers.n_from_pod || formers.n_to_pod || formers.n_to_wire || any_adopted(d))
		done = renew_pods(d, &formers);
	np_formers_close(&formers);
	if (done && np_unpin_former(d->cfg->bpf_dir, &err) < 0)
		vw_warn("the eBPF maps of another version stay in memory", "err=\"%s\"", err.msg);
}
