// SPDX-License-Identifier: Apache-2.0
/*
 * The packet fabric as an observer of the world: life, nodes, and what to do about each change. The kernel
 * objects are in fabric_base.c (what is fixed) and fabric_eni.c (what is per ENI).
 */
#include "sim/fabric_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/net/sysctl.h"
#include "lib/net/view/nft.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

const char *sim_place_str(enum sim_place p)
{
	static const char *const names[SIM_N_PLACES] = {
		[SIM_PLACE_FABRIC] = "fabric",
		[SIM_PLACE_INTERNET] = "internet",
		[SIM_PLACE_PEERED] = "peered",
	};

	return names[p];
}

struct fab_node *fab_node_of(struct sim_fabric *f, const struct sim_instance *inst)
{
	struct fab_node *node;

	TAILQ_FOREACH(node, &f->nodes, link)
		if (node->inst == inst)
			return node;
	return NULL;
}

/** report_failure() - the first failure while starting goes to the caller; later ones can only be logged. */
static void report_failure(struct sim_fabric *f, const struct sim_eni *eni, int r, const struct vw_err *err)
{
	if (r >= 0)
		return;
	if (!f->start_err) {
		vw_error("the fabric could not follow a change", "eni=%s err=\"%s\"", eni->id, err->msg);
	} else if (f->start_result >= 0) {
		f->start_result = r;
		*f->start_err = *err;
	}
}

/** follow_groups() - after whatever may change who may talk to whom. */
static void follow_groups(struct sim_fabric *f, const struct sim_eni *eni)
{
	struct vw_err err;

	report_failure(f, eni, fab_sg_sync(f, &err), &err);
}

static void plug_branch(struct sim_fabric *f, const struct sim_eni *branch)
{
	struct fab_eni *trunk = fab_eni_find(f, branch->trunk);
	struct vw_err err;

	if (trunk && !fab_eni_find(f, branch))
		report_failure(f, branch, fab_branch_attach(f, trunk, branch, &err), &err);
}

static void on_attached(void *arg, const struct sim_eni *eni)
{
	struct sim_fabric *f = arg;
	struct fab_node *node = fab_node_of(f, eni->att.instance);
	const struct sim_eni *branch;
	struct vw_err err;

	if (!node)
		return;
	report_failure(f, eni, fab_eni_attach(f, node, eni, &err), &err);
	TAILQ_FOREACH(branch, &f->world->enis, link)
		if (branch->trunk == eni)
			plug_branch(f, branch);
	follow_groups(f, eni);
}

static void on_associated(void *arg, const struct sim_eni *branch)
{
	plug_branch(arg, branch);
	follow_groups(arg, branch);
}

static void on_detached(void *arg, const struct sim_eni *eni)
{
	struct sim_fabric *f = arg;
	struct fab_eni *fe = fab_eni_find(f, eni);
	struct vw_err err;

	if (fe)
		report_failure(f, eni, fab_eni_detach(f, fe, &err), &err);
	follow_groups(f, eni);
}

static void on_changed(void *arg, const struct sim_eni *eni)
{
	struct sim_fabric *f = arg;
	struct fab_eni *fe = fab_eni_find(f, eni);
	struct vw_err err;

	if (fe)
		report_failure(f, eni, fab_eni_sync(f, fe, &err), &err);
	follow_groups(f, eni);
}

static void on_sg_changed(void *arg, const struct sim_sg *sg)
{
	struct sim_fabric *f = arg;
	struct vw_err err;

	if (fab_sg_sync(f, &err) < 0)
		vw_error("the fabric could not follow a change", "sg=%s err=\"%s\"", sg->id, err.msg);
}

int sim_fabric_new(struct sim_world *w, struct sim_fabric **ret_fabric, struct vw_err *err)
{
	struct sim_fabric *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	f->world = w;
	f->nl = (struct vw_nl)VW_NL_INIT;
	for (size_t i = 0; i < SIM_N_PLACES; i++)
		f->netns[i] = -EBADF;
	TAILQ_INIT(&f->nodes);
	TAILQ_INIT(&f->enis);
	f->observer = (struct sim_observer){
		.arg = f,
		.eni_attached = on_attached,
		.eni_detached = on_detached,
		.eni_associated = on_associated,
		.eni_disassociated = on_detached,
		.eni_addresses_changed = on_changed,
		.eni_source_dest_check_changed = on_changed,
		.eni_groups_changed = on_changed,
		.sg_changed = on_sg_changed,
	};
	r = f->netns[SIM_PLACE_FABRIC] = vw_netns_open_self(err);
	if (r >= 0)
		r = vw_nl_open(&f->nl, err);
	if (r >= 0)
		r = fab_base_setup(f, err);
	if (r < 0) {
		sim_fabric_free(f);
		return vw_err_wrap(err, "building the packet fabric");
	}
	*ret_fabric = f;
	return 0;
}

void sim_fabric_free(struct sim_fabric *f)
{
	struct fab_node *node;
	struct fab_eni *fe;

	if (!f)
		return;
	fab_replug_stop(f);
	vw_free_ptr(&f->sg_text);
	vw_free_ptr(&f->sg_undo);
	if (f->observing)
		sim_world_unobserve(f->world, &f->observer);
	while ((fe = TAILQ_FIRST(&f->enis))) {
		TAILQ_REMOVE(&f->enis, fe, link);
		fab_eni_free(fe);
	}
	while ((node = TAILQ_FIRST(&f->nodes))) {
		TAILQ_REMOVE(&f->nodes, node, link);
		vw_close_fd(&node->netns_fd);
		free(node);
	}
	for (size_t i = 0; i < SIM_N_PLACES; i++)
		vw_close_fd(&f->netns[i]);
	vw_nl_close(&f->nl);
	free(f);
}

int sim_fabric_add_node(struct sim_fabric *f, const struct sim_instance *inst, int netns_fd,
			struct vw_err *err)
{
	struct fab_node *node = calloc(1, sizeof(*node));

	if (!node)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	node->inst = inst;
	node->netns_fd = fcntl(netns_fd, F_DUPFD_CLOEXEC, 3);
	if (node->netns_fd < 0) {
		free(node);
		return vw_err_sys(err, errno, 0, "keeping the namespace of node %s", inst->name);
	}
	TAILQ_INSERT_TAIL(&f->nodes, node, link);
	return 0;
}

int sim_fabric_start(struct sim_fabric *f, struct vw_err *err)
{
	if (fab_replug_start(f, err) < 0)
		return -err->eno;
	f->start_err = err;
	f->start_result = 0;
	f->observing = true;
	sim_world_observe(f->world, &f->observer);
	f->start_err = NULL;
	return f->start_result;
}

/** settled() - an image has long ended duplicate address detection when its first pod comes; here nobody waits a second for it. */
static int settled(void *ifname, struct vw_err *err)
{
	return vw_sysctl_if_set(AF_INET6, ifname, "accept_dad", "0", err);
}

static void dhcp6(struct vw_nl_batch *b, const struct sim_eni *eni, const struct vw_link *link)
{
	struct vw_route route = { .protocol = RTPROT_RA, .ifindex = link->ifindex, .dev = link->name };

	for (size_t i = 0; i < eni->v6.n; i++) {
		struct vw_addr a = {
			.ifindex = link->ifindex, .addr = eni->v6.v[i], .flags = VW_ADDR_NODAD,
			.dev = link->name,
		};

		if (sim_eni_is_prefix(&eni->v6.v[i]))
			continue;
		vw_addr_add(b, &a);
		if (route.via.family)
			continue;
		(void)vw_cidr_parse("::/0", &route.dst);
		(void)vw_ip_parse(SIM_FABRIC_ROUTER6, &route.via);
		vw_route_add(b, &route);
	}
}

int sim_fabric_dhcp(struct sim_fabric *f, const struct sim_instance *inst, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct fab_node *node = fab_node_of(f, inst);
	const struct sim_eni *eni = inst->primary;
	struct vw_route route = { .protocol = RTPROT_DHCP };
	struct vw_addr addr = { 0 };
	struct vw_link link;
	int r;

	if (!node || !eni)
		return vw_err_set(err, ENOENT, 0, "instance %s has no node or no primary ENI", inst->name);
	r = vw_nl_open_at(&nl, node->netns_fd, err);
	if (r >= 0)
		r = vw_link_get_name(&nl, "eth0", &link, err);
	if (r >= 0 && eni->v6.n)
		r = vw_netns_run(node->netns_fd, settled, link.name, err);
	if (r < 0)
		return vw_err_wrap(err, "configuring eth0 of node %s", inst->name);
	vw_link_set_up(&b, link.ifindex, link.name);
	addr.ifindex = route.ifindex = link.ifindex;
	addr.addr = vw_cidr_of(&eni->v4.v[0].ip, eni->subnet->v4.len);
	addr.dev = route.dev = link.name;
	vw_addr_add(&b, &addr);
	(void)vw_cidr_parse("0.0.0.0/0", &route.dst);
	route.via = sim_subnet_router(eni->subnet);
	route.src = eni->v4.v[0].ip;
	vw_route_add(&b, &route);
	dhcp6(&b, eni, &link);
	r = vw_nl_commit(&nl, &b, err);
	return r < 0 ? vw_err_wrap(err, "configuring eth0 of node %s", inst->name) : 0;
}

int sim_fabric_netns(const struct sim_fabric *f, enum sim_place p)
{
	return f->netns[p];
}

/**
 * drops() - how many packets of @ifname the counting set @set of nft's JSON @ruleset has seen. The shape is
 * libnftables-json(5)'s: {"nftables": [{"set": {"name", "elem": [{"elem": {"val", "counter": {...}}}]}}]}.
 */
static int64_t drops(const struct vw_json *ruleset, const char *set, const char *ifname)
{
	const struct vw_json *items = vw_json_get(ruleset, "nftables");
	int64_t packets = 0;
	struct vw_err err;

	for (size_t i = 0; i < vw_json_len(items); i++) {
		const struct vw_json *s = vw_json_get(vw_json_at(items, i), "set");
		const struct vw_json *elems = vw_json_get(s, "elem");
		const char *name = vw_json_string(vw_json_get(s, "name"));

		if (!name || strcmp(name, set) != 0)
			continue;
		for (size_t k = 0; k < vw_json_len(elems); k++) {
			const struct vw_json *e = vw_json_get(vw_json_at(elems, k), "elem");
			const char *val = vw_json_string(vw_json_get(e, "val"));

			if (val && !strcmp(val, ifname))
				vw_json_get_int(vw_json_get(e, "counter"), "packets", 0, INT64_MAX, &packets,
						&err);
		}
	}
	return packets;
}

static struct vw_json *eni_report(const struct fab_eni *fe, const struct vw_json *ruleset)
{
	struct vw_json *o = vw_json_new_object();

	vw_json_set_str(o, "eni", fe->eni->id);
	vw_json_set_str(o, "node", sim_eni_instance(fe->eni)->name);
	if (fe->trunk) {
		vw_json_set_str(o, "trunk", fe->trunk->eni->id);
		vw_json_set_int(o, "vlan", fe->eni->vlan);
	} else {
		vw_json_set_str(o, "node_ifname", fe->node_ifname);
	}
	vw_json_set_str(o, "fabric_ifname", fe->ifname);
	vw_json_set_int(o, "spoofed", drops(ruleset, "spoofed", fe->ifname));
	vw_json_set_int(o, "unassigned", drops(ruleset, "unassigned", fe->ifname));
	vw_json_set_int(o, "no_public_address", drops(ruleset, "unmapped", fe->ifname));
	vw_json_set_int(o, "ingress_denied", drops(ruleset, "denied_in", fe->ifname));
	vw_json_set_int(o, "egress_denied", drops(ruleset, "denied_out", fe->ifname));
	return o;
}

int sim_fabric_report(struct sim_fabric *f, struct vw_json *reply, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_json struct vw_json *ruleset = NULL;
	struct vw_json_limits lim = { .max_bytes = 16 << 20, .max_depth = 64 };
	struct vw_json *enis;
	struct fab_eni *fe;
	int r = vw_nft_query("list table " FAB_TABLE, &text, err);

	if (r >= 0)
		r = vw_json_parse(vw_buf_str(&text), text.len, &lim, "nftables' answer", &ruleset, err);
	if (r < 0)
		return r;
	enis = vw_json_new_array();
	TAILQ_FOREACH(fe, &f->enis, link)
		vw_json_append(enis, eni_report(fe, ruleset));
	vw_json_set_int(reply, "igw_in_dropped", drops(ruleset, "unsolicited", "igw"));
	return vw_json_set(reply, "enis", enis) < 0 ? vw_err_set(err, ENOMEM, 0, "out of memory") : 0;
}
