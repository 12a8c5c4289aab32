// SPDX-License-Identifier: Apache-2.0
/* What is left by a daemon that is not to start again: looked for by our marks alone, except for the ENIs, which the store names. */
#include "daemon/cleanup.h"

#include "daemon/config.h"
#include "daemon/eni.h"
#include "daemon/hostnet.h"
#include "daemon/programs.h"
#include "daemon/store.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/sysctl.h"
#include "lib/rpc/rpc.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct cleaning {
	const struct vwired_config *cfg;
	char socket[VW_PATH_MAX];
	struct hostnet *hn;
	struct hostnet_scan scan;
	bool keep_pods;
	struct vw_err *err;     /* for what the store calls back */
};

static int no_pods(const struct cleaning *c, struct vw_err *err)
{
	const struct hostnet_found *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->scan.n_pods; i++)
		if (!c->scan.pods[i].dying && c->scan.pods[i].owner[0]) {
			first = first ? first : &c->scan.pods[i];
			n++;
		}
	if (!first)
		return 0;
	return vw_err_set(err, EBUSY, 0, "%zu pods have interfaces of ours (%s of %.80s): delete them first (kubectl drain); nothing was changed",
			  n, first->pod.ifname, first->owner);
}

/*
 * What a comparison has put on the link of a pod with IPv6 that aws-node made: the pods' gateway, which it has only as a neighbour entry in
 * the pod, and a setting that it makes with each link.
 */
static int as_aws_node_made(const struct hostnet_pod *p, struct vw_nl_batch *b, struct vw_err *err)
{
	struct vw_addr gateway = { .ifindex = p->ifindex, .dev = p->ifname };
	bool six = false;
	int r;

	for (unsigned int i = 0; i < p->n_addr; i++)
		six |= p->addr[i].ip.family == AF_INET6;
	if (!p->adopted || !six)
		return 0;
	(void)vw_cidr_parse(HOSTNET_GATEWAY6 "/64", &gateway.addr);
	(void)vw_addr_del(b, &gateway);
	vw_nl_tolerate(b, VW_NL_OK_GONE);
	r = vw_sysctl_if_set(AF_INET6, p->ifname, "forwarding", "0", err);
	return r == -ENOENT ? 0 : r;
}

/* the programs first, so that nothing is judged by maps that nobody keeps up any more */
static int let_go_of_pods(struct cleaning *c, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	int r = vw_nl_open(&nl, err);

	for (size_t i = 0; r == 0 && i < c->scan.n_pods; i++) {
		const struct hostnet_pod *p = &c->scan.pods[i].pod;

		if (c->scan.pods[i].dying)
			continue;
		r = programs_detach_pod(c->cfg->bpf_dir, &nl, p->ifindex, p->ifname, err);
		if (r == 0)
			r = as_aws_node_made(p, &b, err);
		(void)vw_link_set(&b, &(struct vw_link_set){ .ifindex = p->ifindex, .name = p->ifname, .what = VW_LINK_ALIAS | VW_LINK_GROUP,
							     .alias = "", .group = 0 });
		vw_nl_tolerate(&b, VW_NL_OK_GONE);
	}
	return r == 0 ? vw_nl_commit(&nl, &b, err) : r;
}

/* half-made links, and those that waited to be reaped */
static int remove_links(struct cleaning *c, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->scan.n_pods; i++)
		if (!c->scan.pods[i].dying)
			r = hostnet_pod_forget(c->hn, &c->scan.pods[i].pod, err);
	return r < 0 ? r : hostnet_reap(c->hn, NULL, NULL, err);
}

static int remove_filters(struct cleaning *c, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_open(&nl, err);

	for (size_t i = 0; r == 0 && i < c->scan.n_devices; i++)
		r = programs_detach(c->cfg->bpf_dir, &nl, &c->scan.devices[i], c->keep_pods, err);
	return r;
}

static int remove_eni(const struct store_eni *row, void *arg)
{
	struct cleaning *c = arg;
	struct hostnet_eni e = {
		.number = row->number, .table = hostnet_eni_table(row->card, row->device), .addr = vw_cidr_of(&row->primary_ip, row->subnet.len),
		.addr6 = row->ip6.family ? row->ip6 : row->block6.ip,
	};

	if (row->primary)
		return 0;
	(void)VW_COPY(e.id, row->id);
	for (size_t i = 0; i < c->scan.n_devices; i++)
		if (vw_mac_eq(&c->scan.devices[i].mac, &row->mac)) {
			e.ifindex = c->scan.devices[i].ifindex;
			(void)VW_COPY(e.ifname, c->scan.devices[i].name);
		}
	return hostnet_eni_bare(c->hn, &e, c->err) < 0 ? -c->err->eno : 0;
}

/* addresses of ours on secondary ENIs: nothing but the store tells them from those of others */
static int remove_enis(struct cleaning *c, struct vw_err *err)
{
	vw_auto_buf struct vw_buf note = VW_BUF_INIT;
	char path[VW_PATH_MAX];
	struct store *s;
	int r;

	if (vw_fmt(path, sizeof(path), "%s/state.db", c->cfg->run_dir) < 0 || access(path, F_OK) < 0)
		return 0;
	r = store_open(path, "", &s, &note, err);
	if (r < 0)
		return r;
	r = store_eni_each(s, remove_eni, c, err);
	store_close(s);
	return r;
}

static int forget(const struct vw_rpc_req *del, void *arg)
{
	return 0;
}

static int remove_files(struct cleaning *c, struct vw_err *err)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm", "tombstones", "vpcwired.sock", "vpcwired.sock.lock" };
	char path[VW_PATH_MAX];
	int r = vw_tombstone_replay(c->socket, forget, NULL, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < VW_ARRAY_SIZE(names); i++)
		if (vw_fmt(path, sizeof(path), "%s/%s", c->cfg->run_dir, names[i]) < 0 || (remove(path) < 0 && errno != ENOENT))
			return vw_err_sys(err, errno, 0, "removing '%s' of '%s'", names[i], c->cfg->run_dir);
	return 0;
}

static int clean(struct cleaning *c, struct vw_err *err)
{
	int r = hostnet_new(&c->hn, err);

	if (r == 0)
		r = hostnet_scan(c->hn, &c->scan, err);
	if (r == 0)
		r = c->keep_pods ? let_go_of_pods(c, err) : no_pods(c, err);
	if (r == 0 && !c->keep_pods)
		r = remove_links(c, err);
	if (r >= 0)
		r = remove_filters(c, err);
	if (r == 0 && !c->keep_pods)
		r = remove_enis(c, err);
	if (r == 0)
		r = hostnet_down(c->hn, err);
	if (r == 0)
		r = np_unpin(c->cfg->bpf_dir, err);
	return r == 0 ? remove_files(c, err) : r;
}

static int clean_up(const struct vwired_config *cfg, bool keep_pods, struct vw_err *err)
{
	struct cleaning c = { .cfg = cfg, .keep_pods = keep_pods, .err = err };
	vw_auto_close int lock = -EBADF, listening = -EBADF;
	int r = 0;

	if (vw_fmt(c.socket, sizeof(c.socket), "%s/vpcwired.sock", cfg->run_dir) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "run_dir '%s' is too long", cfg->run_dir);
	/* plugins find a daemon that does not answer, not one that is gone: they leave no tombstone meanwhile */
	if (access(cfg->run_dir, F_OK) == 0)
		r = listening = vw_rpc_listen(c.socket, &lock, err);
	if (r >= 0)
		r = clean(&c, err);
	hostnet_scan_done(&c.scan);
	hostnet_free(c.hn);
	return r;
}

int cleanup(const struct vwired_config *cfg, struct vw_err *err)
{
	return clean_up(cfg, false, err);
}

int cleanup_but_pods(const struct vwired_config *cfg, struct vw_err *err)
{
	return clean_up(cfg, true, err);
}
