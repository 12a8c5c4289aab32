// SPDX-License-Identifier: Apache-2.0
/*
 * One container on a bridge: the pair is made with the container's end in its namespace, the other end is a port of the bridge.
 * Containers have host addresses and a gateway, so what they say to each other is routed, and translated back where a port was
 * mapped; where br_netfilter is loaded, the kernel translates and switches it instead, with the same result. Ports are taken before
 * the interface is there: an ADD that cannot have one makes nothing.
 */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/ct.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

struct job {
	const struct eni_state *br, *st;
	struct br_names names;
};

/* --- connections with a past */

/* A client that goes on sending to a port which was nobody's has an entry without translation, and would keep it. */
static int forget_ports(const struct job *job, struct vw_err *err)
{
	for (size_t i = 0; i < job->st->ports.n; i++) {
		const struct eni_port *p = &job->st->ports.v[i];

		if (p->proto != IPPROTO_UDP)
			continue;
		for (size_t a = 0; a < job->br->addrs.n; a++) {
			const struct vw_ip *at = &job->br->addrs.v[a].ip;

			if (p->at.family && !vw_ip_eq(&p->at, at))
				continue;
			if (vw_ct_purge_to(at, p->proto, p->host, err) < 0)
				return -err->eno;
		}
	}
	return 0;
}

static int no_conntrack(int r)
{
	return r == -EINVAL || r == -EPROTONOSUPPORT ? 0 : r;   /* a kernel without it remembers no connections */
}

static int forget_before_add(void *arg, struct vw_err *err)
{
	return no_conntrack(forget_ports(arg, err));
}

static int forget_addresses(void *arg, struct vw_err *err)
{
	const struct eni_state *st = arg;
	struct vw_ip ips[ENI_MAX_ADDRS];
	int r;

	for (size_t i = 0; i < st->addrs.n; i++)
		ips[i] = st->addrs.v[i].ip;
	r = no_conntrack(vw_ct_purge(ips, st->addrs.n, err));
	return r < 0 ? r : 0;
}

/* --- ADD */

static int take_ports(struct br_place *p, struct job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	int r;

	vw_nftnl_begin(&b);
	br_nat_add(&b, job->br, job->st);
	r = vw_nftnl_commit(&p->nft, &b, err);
	if (r == -EEXIST)
		err->cni = VW_CNI_TRY_AGAIN;
	return r < 0 ? r : vw_netns_run(p->fd, forget_before_add, job, err);
}

static int make_pair(struct br_place *p, const struct job *job, int pod_netns, struct vw_link *ret, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_end host = {.name = job->st->host_name, .mtu = job->st->mtu, .netns_fd = -1};
	struct vw_link_end peer = {.name = job->st->key.ifname, .mtu = job->st->mtu, .mac = job->st->pod_mac, .netns_fd = pod_netns};
	char tap_peer[IFNAMSIZ], tap_bridge[IFNAMSIZ];
	int r;

	if (job->st->stay_down) {
		br_tap_names(&job->st->key, tap_peer, tap_bridge);
		peer.name = tap_peer;
		peer.mac = (struct vw_mac){{0}};        /* the MAC is the microVM's */
	}
	vw_link_add_veth(&b, &host, &peer);
	r = vw_nl_commit(&p->nl, &b, err);
	if (r < 0)
		return r;
	return vw_link_get_name(&p->nl, job->st->host_name, ret, err);
}

static int join(struct br_place *p, const struct job *job, const struct vw_link *end, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char name[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_link_set set = {.ifindex = end->ifindex, .name = end->name, .alias = alias};
	struct vw_link bridge;
	struct vw_mac mac;

	if (vw_link_get_name(&p->nl, job->names.bridge, &bridge, err) < 0)
		return -err->eno;
	br_host_end(&job->st->key, name, alias, &mac);
	set.master = bridge.ifindex;
	set.what = VW_LINK_ALIAS | VW_LINK_MASTER;
	vw_link_set(&b, &set);
	vw_link_no_ll6(&b, end->ifindex, end->name);
	if (!job->st->stay_down)        /* the bridge before a tap would learn the guest's MAC from its own broadcasts, at the wrong port */
		vw_link_hairpin(&b, end->ifindex, end->name);
	vw_link_set_up(&b, end->ifindex, end->name);
	for (size_t i = 0; i < job->st->addrs.n; i++) {
		struct vw_route route = {
			.dst = vw_cidr_host(&job->st->addrs.v[i].ip),
			.table = job->names.table_pods,
			.protocol = VW_RTPROT_BRIDGE,
			.ifindex = bridge.ifindex,
			.dev = bridge.name,
		};

		route.scope = route.dst.ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
		vw_route_add(&b, &route);
	}
	return vw_nl_commit(&p->nl, &b, err);
}

int br_attach(struct br_place *p, const struct eni_state *br, const struct eni_state *st, int pod_netns, struct vw_link *ret_end,
	      struct vw_err *err)
{
	struct job job = {.br = br, .st = st};

	br_names_of(&br->mac, &job.names);
	if (take_ports(p, &job, err) < 0 || make_pair(p, &job, pod_netns, ret_end, err) < 0)
		return -err->eno;
	return join(p, &job, ret_end, err);
}

/* --- DEL */

static void drop_routes(const struct job *job, struct vw_nl_batch *b)
{
	for (size_t i = 0; i < job->st->addrs.n; i++) {
		struct vw_route route = {.dst = vw_cidr_host(&job->st->addrs.v[i].ip), .table = job->names.table_pods,
					 .protocol = VW_RTPROT_BRIDGE};

		vw_route_del(b, &route);
		vw_nl_tolerate(b, VW_NL_OK_GONE);
	}
}

/*
 * An end without an alias is of an ADD that was killed in between: nobody else gives that name. It is not put down, for that
 * would wait for RCU, under the lock; nothing leads to it any more.
 */
static int put_down(struct br_place *p, const struct job *job, struct vw_nl_batch *b, struct vw_err *err)
{
	char name[IFNAMSIZ], alias[VW_IFALIAS_MAX];
	struct vw_link_set set = {.what = VW_LINK_GROUP, .group = BR_DYING};
	struct vw_link end;
	struct vw_mac mac;
	int r;

	br_host_end(&job->st->key, name, alias, &mac);
	r = vw_link_get_name(&p->nl, name, &end, err);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	if (strcmp(end.kind, "veth") || (end.alias[0] && strcmp(end.alias, alias)))
		return 0;
	set.ifindex = end.ifindex;
	set.name = end.name;
	vw_link_set(b, &set);
	vw_nl_tolerate(b, VW_NL_OK_GONE);
	return 0;
}

int br_detach(struct br_place *p, const struct eni_state *br, const struct eni_state *st, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct job job = {.br = br, .st = st};

	br_names_of(&br->mac, &job.names);
	if (br_nat_remove(&p->nft, br, st, err) < 0 || put_down(p, &job, &b, err) < 0)
		return -err->eno;
	drop_routes(&job, &b);
	return vw_nl_commit(&p->nl, &b, err);
}

int br_forget(struct br_place *p, const struct eni_state *st, struct vw_err *err)
{
	struct eni_state one = *st;

	return p->fd < 0 ? 0 : vw_netns_run(p->fd, forget_addresses, &one, err);
}
