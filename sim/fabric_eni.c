// SPDX-License-Identifier: Apache-2.0
/*
 * One attached ENI in the kernel: a veth pair, a route per address or prefix through the ENI's MAC, and its
 * entries in the filter's sets. What the kernel was told is kept in struct fab_eni; a change is the
 * difference to what the ENI says now.
 *
 * An address that moves from one ENI to another is told twice, in any order: adding replaces the other's
 * route, and removing names the interface, so that it cannot take the new owner's.
 */
#include "sim/fabric_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/route.h"
#include "lib/net/sysctl.h"
#include "lib/net/view/nft.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/**
 * link_local() - the address that a kernel derives from a MAC (RFC 4291, appendix A): next hop of all its
 * IPv6.
 */
static struct vw_ip link_local(const struct vw_mac *mac)
{
	const uint8_t *m = mac->b;

	return (struct vw_ip){
		.family = AF_INET6,
		.b = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5] },
	};
}

static struct vw_route route_to(const struct fab_eni *fe, const struct vw_cidr *dst)
{
	struct vw_route route = {
		.dst = *dst, .ifindex = fe->ifindex, .dev = fe->ifname, .onlink = true,
		.via = dst->ip.family == AF_INET ? fe->eni->v4.v[0].ip : link_local(&fe->eni->mac),
	};

	return route;
}

static bool holds(const struct vw_cidr *list, size_t n, const struct vw_cidr *c)
{
	for (size_t i = 0; i < n; i++)
		if (vw_cidr_eq(&list[i], c))
			return true;
	return false;
}

static int sync_routes(struct sim_fabric *f, struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	size_t n = fe->eni->v4.n + fe->eni->v6.n;
	vw_auto_free struct vw_cidr *want = calloc(n ? n : 1, sizeof(*want));
	int r;

	if (!want)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t i = 0; i < n; i++)
		want[i] = i < fe->eni->v4.n ? fe->eni->v4.v[i] : fe->eni->v6.v[i - fe->eni->v4.n];
	for (size_t i = 0; i < fe->n_routed; i++) {
		struct vw_route route = route_to(fe, &fe->routed[i]);

		if (holds(want, n, &fe->routed[i]))
			continue;
		vw_route_del(&b, &route);
		vw_nl_tolerate(&b, VW_NL_OK_GONE);
	}
	for (size_t i = 0; i < n; i++) {
		struct vw_route route = route_to(fe, &want[i]);

		if (!holds(fe->routed, fe->n_routed, &want[i]))
			vw_route_replace(&b, &route);
	}
	r = vw_nl_commit(&f->nl, &b, err);
	if (r < 0)
		return r;
	free(fe->routed);
	fe->routed = VW_TAKE_PTR(want);
	fe->n_routed = n;
	return 0;
}

/** nat_text() - "add" or "delete" the elements that map @private to @public. */
static void nat_text(struct vw_buf *text, const char *verb, const struct vw_ip *private,
		     const struct vw_ip *public)
{
	char a[VW_IP_STRLEN], b[VW_IP_STRLEN];

	if (!private->family)
		return;
	vw_ip_str(private, a);
	vw_ip_str(public, b);
	vw_buf_printf(text, "%s element " FAB_TABLE " mapped { %s }\n", verb, a);
	vw_buf_printf(text, "%s element " FAB_TABLE " public { %s : %s }\n", verb, a, b);
	vw_buf_printf(text, "%s element " FAB_TABLE " private { %s : %s }\n", verb, b, a);
}

static int run_text(struct vw_buf *text, struct vw_err *err)
{
	if (vw_buf_err(text) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	return text->len ? vw_nft_run(vw_buf_str(text), err) : 0;
}

static int sync_filter(struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	const struct sim_eni *eni = fe->eni;
	struct vw_ip none = { 0 };
	bool public = eni->public_ip.family == AF_INET;
	const struct vw_ip *want_private = public ? &eni->v4.v[0].ip : &none;
	const struct vw_ip *want_public = public ? &eni->public_ip : &none;
	bool unchecked = !eni->source_dest_check;
	int r;

	if (!vw_ip_eq(want_private, &fe->nat_private) || !vw_ip_eq(want_public, &fe->nat_public)) {
		nat_text(&text, "delete", &fe->nat_private, &fe->nat_public);
		nat_text(&text, "add", want_private, want_public);
	}
	if (unchecked != fe->unchecked)
		vw_buf_printf(&text, "%s element " FAB_TABLE " unchecked { \"%s\" }\n",
			      unchecked ? "add" : "delete", fe->ifname);
	r = run_text(&text, err);
	if (r < 0)
		return r;
	fe->nat_private = *want_private;
	fe->nat_public = *want_public;
	fe->unchecked = unchecked;
	return 0;
}

int fab_eni_sync(struct sim_fabric *f, struct fab_eni *fe, struct vw_err *err)
{
	int r = sync_routes(f, fe, err);

	return r < 0 ? r : sync_filter(fe, err);
}

struct fab_eni *fab_eni_find(struct sim_fabric *f, const struct sim_eni *eni)
{
	struct fab_eni *fe;

	TAILQ_FOREACH(fe, &f->enis, link)
		if (fe->eni == eni)
			return fe;
	return NULL;
}

void fab_eni_free(struct fab_eni *fe)
{
	if (!fe)
		return;
	free(fe->routed);
	free(fe);
}

/**
 * make_pair() - the veth and everything of it that does not depend on the ENI's addresses beyond the primary.
 * @node: NULL = the far end stays here, with nothing to do but to be up (a branch's).
 */
static int make_pair(struct sim_fabric *f, const struct fab_node *node, struct fab_eni *fe,
		     struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct sim_eni *eni = fe->eni;
	struct vw_link_end near = {
		.name = fe->ifname, .ifindex = fe->ifindex, .mtu = SIM_FABRIC_MTU, .netns_fd = -1,
	};
	struct vw_link_end far = {
		.name = fe->node_ifname, .mtu = SIM_FABRIC_MTU, .netns_fd = node ? node->netns_fd : -1,
	};
	struct vw_link_set far_up = { .name = fe->node_ifname, .what = VW_LINK_UP };
	struct vw_link_set set = {
		.ifindex = fe->ifindex, .what = VW_LINK_ALIAS | VW_LINK_UP, .alias = eni->id,
	};
	struct vw_neigh v4 = {
		.ifindex = fe->ifindex, .ip = eni->v4.v[0].ip, .mac = eni->mac, .dev = fe->ifname,
	};
	struct vw_neigh v6 = {
		.ifindex = fe->ifindex, .ip = link_local(&eni->mac), .mac = eni->mac, .dev = fe->ifname,
	};
	struct vw_addr router = { .ifindex = fe->ifindex, .flags = VW_ADDR_NODAD, .dev = fe->ifname };
	char key[96];
	int r;

	if (node)
		far.mac = eni->mac;
	vw_link_add_veth(&b, &near, &far);
	if (!node) {
		vw_link_no_ll6(&b, 0, fe->node_ifname);
		vw_link_set(&b, &far_up);
	}
	vw_link_no_ll6(&b, fe->ifindex, fe->ifname);
	vw_link_set(&b, &set);
	vw_neigh_replace(&b, &v4);
	vw_neigh_replace(&b, &v6);
	(void)vw_cidr_parse(SIM_FABRIC_ROUTER6 "/64", &router.addr);
	vw_addr_add(&b, &router);
	r = vw_nl_commit(&f->nl, &b, err);
	if (r < 0)
		return r;
	/* arp_process() holds answers for others back by a random part of this, 0.8 s by default. */
	r = vw_fmt(key, sizeof(key), "net/ipv4/neigh/%s/proxy_delay", fe->ifname);
	return r < 0 ? vw_err_set(err, -r, 0, "interface name too long") : vw_sysctl_set(key, "0", err);
}

static int mac_element(const char *verb, const struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char mac[VW_MAC_STRLEN];

	vw_buf_printf(&text, "%s element " FAB_TABLE " macs { \"%s\" . %s }\n", verb, fe->ifname,
		      vw_mac_str(&fe->eni->mac, mac));
	return run_text(&text, err);
}

static int remove_pair(struct sim_fabric *f, const struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	vw_link_del(&b, fe->ifindex);           /* routes and neighbours go with it */
	vw_nl_tolerate(&b, VW_NL_OK_GONE);      /* the node may have deleted its end */
	return vw_nl_commit(&f->nl, &b, err);
}

static struct fab_eni *eni_new(const struct sim_eni *eni, struct fab_eni *trunk, struct vw_err *err)
{
	struct fab_eni *fe = calloc(1, sizeof(*fe));
	const struct sim_attachment *att = &eni->att;
	int r;

	if (!fe) {
		(void)vw_err_set(err, ENOMEM, 0, "out of memory");
		return NULL;
	}
	fe->eni = eni;
	fe->trunk = trunk;
	fe->ifindex = FAB_IFINDEX_ENI + eni->seq;
	r = vw_fmt(fe->ifname, sizeof(fe->ifname), "eni%u", eni->seq);
	if (r >= 0 && trunk)
		r = vw_fmt(fe->node_ifname, sizeof(fe->node_ifname), "branch%u", eni->seq);
	else if (r >= 0)
		r = vw_fmt(fe->node_ifname, sizeof(fe->node_ifname), att->card ? "eth%uc%u" : "eth%u", att->device, att->card);
	if (r >= 0)
		return fe;
	fab_eni_free(fe);
	(void)vw_err_set(err, -r, 0, "no interface name for %s", eni->id);
	return NULL;
}

static int plug(struct sim_fabric *f, const struct fab_node *node, struct fab_eni *fe, struct vw_err *err)
{
	const struct sim_instance *inst = sim_eni_instance(fe->eni);
	struct vw_err ignored;
	int r = make_pair(f, node, fe, err);

	if (r >= 0)
		r = mac_element("add", fe, err);
	if (r >= 0)
		r = fab_eni_sync(f, fe, err);
	if (r >= 0 && fe->trunk)
		r = fab_branch_hook(f, fe, err);
	TAILQ_INSERT_TAIL(&f->enis, fe, link);
	if (r < 0) {
		(void)vw_err_wrap(err, "attaching %s to %s", fe->eni->id, inst->name);
		fab_eni_detach(f, fe, &ignored);
		return r;
	}
	vw_debug("ENI attached", "eni=%s node=%s ifname=%s", fe->eni->id, inst->name, fe->node_ifname);
	return 0;
}

int fab_eni_attach(struct sim_fabric *f, const struct fab_node *node, const struct sim_eni *eni,
		   struct vw_err *err)
{
	struct fab_eni *fe = eni_new(eni, NULL, err);

	return fe ? plug(f, node, fe, err) : -err->eno;
}

int fab_branch_attach(struct sim_fabric *f, struct fab_eni *trunk, const struct sim_eni *eni, struct vw_err *err)
{
	struct fab_eni *fe = eni_new(eni, trunk, err);

	return fe ? plug(f, NULL, fe, err) : -err->eno;
}

int fab_eni_replug(struct sim_fabric *f, const struct fab_node *node, struct fab_eni *fe, struct vw_err *err)
{
	int r = vw_fmt(fe->node_ifname, sizeof(fe->node_ifname), "dev%u", fe->eni->seq);
	struct fab_eni *branch;

	if (r < 0)
		return vw_err_set(err, -r, 0, "no interface name for %s", fe->eni->id);
	/* its routes died with the link; what the filter knows goes by the name, which is the same */
	vw_free_ptr(&fe->routed);
	fe->n_routed = 0;
	r = make_pair(f, node, fe, err);
	if (r >= 0)
		r = fab_eni_sync(f, fe, err);
	TAILQ_FOREACH(branch, &f->enis, link)
		if (r >= 0 && branch->trunk == fe)
			r = fab_branch_hook(f, branch, err);
	return r;
}

int fab_eni_detach(struct sim_fabric *f, struct fab_eni *fe, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct vw_err later;
	int r = fe->trunk ? fab_branch_unhook(f, fe, err) : 0, r2;

	r2 = remove_pair(f, fe, r < 0 ? &later : err);
	r = r < 0 ? r : r2;

	nat_text(&text, "delete", &fe->nat_private, &fe->nat_public);
	if (fe->unchecked)
		vw_buf_printf(&text, "delete element " FAB_TABLE " unchecked { \"%s\" }\n", fe->ifname);
	r2 = run_text(&text, r < 0 ? &later : err);
	r = r < 0 ? r : r2;
	r2 = mac_element("delete", fe, r < 0 ? &later : err);
	r = r < 0 ? r : r2;
	TAILQ_REMOVE(&f->enis, fe, link);
	fab_eni_free(fe);
	return r;
}
