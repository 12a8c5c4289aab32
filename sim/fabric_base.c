// SPDX-License-Identifier: Apache-2.0
/*
 * The part of the fabric that does not change: sysctls, the routers' and endpoints' addresses, the two
 * networks outside the VPC, and the filter.
 *
 * The routes are the single truth about addresses. From them follow, in the kernel, without a copy of ours:
 *   - delivery: a /32 or /28 route to the ENI that has it; a blackhole for the rest of the VPC;
 *   - ARP: proxy_arp answers for exactly those addresses that are routed to another interface, and local ones
 *     (routers);
 *   - EC2's source check: "fib saddr . iif oif missing" is true unless the source is routed to where the
 *     packet came from.
 * So one address more is one route more, and nftables only holds what is per ENI.
 */
#include "sim/fabric_priv.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/net/sysctl.h"
#include "lib/net/view/nft.h"

#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

/* An element with a counter is made for an interface by the first packet of its that is dropped. */
static const char filter_text[] =
	"table " FAB_TABLE " {\n"
	"	set unchecked { type ifname; }\n"
	"	set macs { type ifname . ether_addr; }\n"
	"	set spoofed { type ifname; size 65535; flags dynamic; counter; }\n"
	"	set unassigned { type ifname; size 65535; flags dynamic; counter; }\n"
	"	set unmapped { type ifname; size 65535; flags dynamic; counter; }\n"
	"	set unsolicited { type ifname; size 65535; flags dynamic; counter; }\n"
	"	set denied_in { type ifname; size 65535; flags dynamic; counter; }\n"
	"	set denied_out { type ifname; size 65535; flags dynamic; counter; }\n"
	"	map sg_in { type ifname : verdict; }\n"
	"	map sg_out { type ifname : verdict; }\n"
	"	set mapped { type ipv4_addr; }\n"
	"	map public { type ipv4_addr : ipv4_addr; }\n"
	"	map private { type ipv4_addr : ipv4_addr; }\n"
	"	chain check {\n"
	"		type filter hook prerouting priority raw; policy accept;\n"
	"		iifname \"lo\" accept\n"
	"		iifname \"eni*\" iifname . ether saddr != @macs add @spoofed { iifname } drop\n"
	"		ip6 saddr fe80::/10 accept\n"
	"		ip6 daddr { fe80::/10, ff00::/8 } accept\n"
	"		iifname != @unchecked fib saddr . iif oif missing add @spoofed { iifname } drop\n"
	"		fib daddr type != local fib daddr oif missing add @unassigned { iifname } drop\n"
	"	}\n"
	"	chain security_groups {\n"
	"		type filter hook forward priority filter - 10; policy accept;\n"
	"		ct state established,related accept\n"
	"		iifname vmap @sg_out\n"
	"		oifname vmap @sg_in\n"
	"	}\n"
	"	chain from_internet {\n"
	"		type nat hook prerouting priority dstnat; policy accept;\n"
	"		iifname \"igw\" dnat ip to ip daddr map @private\n"
	"	}\n"
	"	chain to_internet {\n"
	"		type nat hook postrouting priority srcnat; policy accept;\n"
	"		oifname \"igw\" snat ip to ip saddr map @public\n"
	"	}\n"
	"	chain internet_gateway {\n"
	"		type filter hook forward priority filter; policy accept;\n"
	"		oifname \"igw\" iifname != \"igw\" ip saddr != @mapped "
	"add @unmapped { iifname } drop\n"
	"		iifname \"igw\" meta nfproto ipv4 ct status & (snat|dnat) == 0 "
	"add @unsolicited { iifname } drop\n"
	"	}\n"
	"}\n";

/**
 * struct place - a network outside the VPC: a namespace with one host in it and a route back for everything.
 */
struct place {
	enum sim_place id;
	const char *ifname;             /* of the fabric's end; the other is "vpc" */
	const char *v4, *v6;
	const char *dst4, *dst6;
};

static const struct place places[] = {
	{ SIM_PLACE_INTERNET, "igw", SIM_FABRIC_INTERNET, SIM_FABRIC_INTERNET6, "0.0.0.0/0", "::/0" },
	{
		SIM_PLACE_PEERED, "peer", SIM_FABRIC_PEERED, SIM_FABRIC_PEERED6,
		"192.168.100.0/24", "fd00:db8:100::/64",
	},
};

static int router_sysctls(void *arg, struct vw_err *err)
{
	static const char *const on[][2] = {
		{ "net/ipv4/ip_forward", "1" },
		{ "net/ipv4/conf/all/rp_filter", "0" },         /* the filter does it, and counts */
		{ "net/ipv4/conf/default/rp_filter", "0" },
		{ "net/ipv4/conf/all/send_redirects", "0" },
		{ "net/ipv4/conf/default/send_redirects", "0" },
		{ "net/ipv4/conf/default/accept_redirects", "0" },
		{ "net/ipv6/conf/all/disable_ipv6", "0" },
		{ "net/ipv6/conf/default/disable_ipv6", "0" },
		{ "net/ipv6/conf/all/forwarding", "1" },
		{ "net/ipv6/conf/default/accept_dad", "0" },
		{ "net/ipv6/conf/default/accept_ra", "0" },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(on); i++) {
		int r = vw_sysctl_set(on[i][0], on[i][1], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/** host_addr() - make @text a /32 or /128 of interface @ifindex. */
static void host_addr(struct vw_nl_batch *b, unsigned int ifindex, const char *text)
{
	struct vw_addr a = { .ifindex = ifindex, .flags = VW_ADDR_NODAD, .dev = text };

	(void)vw_cidr_parse(text, &a.addr);     /* constants; one that is wrong turns the batch sour */
	vw_addr_add(b, &a);
}

static int new_netns(struct vw_err *err)
{
	vw_auto_close int home = vw_netns_open_self(err);
	vw_auto_close int made = -EBADF;
	int r;

	if (home < 0)
		return home;
	if (unshare(CLONE_NEWNET) < 0)
		return vw_err_sys(err, errno, 0, "making a network namespace");
	made = vw_netns_open_self(err);
	r = vw_netns_enter(home, err);
	if (r < 0)
		abort();        /* nothing that follows may run on the wrong network */
	return made < 0 ? made : VW_TAKE_FD(made);
}

static void via(struct vw_nl_batch *b, unsigned int ifindex, const char *dst, const char *gateway,
		const struct vw_mac *mac)
{
	struct vw_route route = { .ifindex = ifindex, .onlink = true };
	struct vw_neigh neigh = { .ifindex = ifindex, .mac = *mac };

	(void)vw_cidr_parse(dst, &route.dst);
	(void)vw_ip_parse(gateway, &route.via);
	neigh.ip = route.via;
	vw_neigh_replace(b, &neigh);
	vw_route_add(b, &route);
}

static int place_far_end(int netns_fd, const struct place *p, const struct vw_mac *fabric_mac,
			 struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	unsigned int ifindex = FAB_IFINDEX_PLACE + p->id;
	int r = vw_nl_open_at(&nl, netns_fd, err);

	if (r < 0)
		return r;
	vw_link_set_up(&b, 1, "lo");
	vw_link_set_up(&b, ifindex, "vpc");
	host_addr(&b, ifindex, p->v4);
	host_addr(&b, ifindex, p->v6);
	via(&b, ifindex, "0.0.0.0/0", "169.254.0.1", fabric_mac);
	via(&b, ifindex, "::/0", SIM_FABRIC_ROUTER6, fabric_mac);
	return vw_nl_commit(&nl, &b, err);
}

static int place_setup(struct sim_fabric *f, const struct place *p, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	unsigned int ifindex = FAB_IFINDEX_PLACE + p->id;
	struct vw_link_end near = {
		.name = p->ifname, .ifindex = ifindex, .mtu = SIM_FABRIC_MTU, .netns_fd = -1, .up = true,
		.mac = { { 0x02, 0x56, 0x50, 0x43, 0x00, p->id } },
	};
	struct vw_link_end far = {
		.name = "vpc", .ifindex = ifindex, .mtu = SIM_FABRIC_MTU,
		.mac = { { 0x02, 0x56, 0x50, 0x43, 0x01, p->id } },
	};
	int r;

	far.netns_fd = f->netns[p->id] = new_netns(err);
	if (far.netns_fd < 0)
		return far.netns_fd;
	r = vw_netns_run(far.netns_fd, router_sysctls, NULL, err);
	if (r < 0)
		return r;
	vw_link_add_veth(&b, &near, &far);
	r = vw_nl_commit(&f->nl, &b, err);
	if (r < 0)
		return r;
	r = place_far_end(far.netns_fd, p, &near.mac, err);
	if (r < 0)
		return r;
	vw_nl_batch_reset(&b);
	via(&b, ifindex, p->dst4, p->v4, &far.mac);
	via(&b, ifindex, p->dst6, p->v6, &far.mac);
	return vw_nl_commit(&f->nl, &b, err);
}

static void blackhole(struct vw_nl_batch *b, const struct sim_cidrs *cidrs)
{
	for (size_t i = 0; i < cidrs->n; i++) {
		struct vw_route route = { .dst = vw_cidr_masked(&cidrs->v[i]), .type = RTN_BLACKHOLE };

		vw_route_replace(b, &route);
	}
}

int fab_base_setup(struct sim_fabric *f, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct sim_vpc *vpc;
	const struct sim_subnet *subnet;
	int r = router_sysctls(NULL, err);

	if (r < 0)
		return r;
	/* In here, not for the networks outside: those have permanent neighbours only. */
	r = vw_sysctl_set("net/ipv4/conf/default/proxy_arp", "1", err);
	if (r < 0)
		return r;
	vw_link_set_up(&b, 1, "lo");
	host_addr(&b, 1, SIM_FABRIC_IMDS);
	host_addr(&b, 1, SIM_FABRIC_API);
	host_addr(&b, 1, SIM_FABRIC_ERRORS6);
	TAILQ_FOREACH(vpc, &f->world->vpcs, link) {
		blackhole(&b, &vpc->v4);
		blackhole(&b, &vpc->v6);
	}
	TAILQ_FOREACH(subnet, &f->world->subnets, link) {
		struct vw_ip router = sim_subnet_router(subnet);
		struct vw_addr a = { .ifindex = 1, .addr = vw_cidr_host(&router), .dev = "lo" };

		vw_addr_add(&b, &a);
	}
	r = vw_nl_commit(&f->nl, &b, err);
	for (size_t i = 0; r >= 0 && i < VW_ARRAY_SIZE(places); i++)
		r = place_setup(f, &places[i], err);
	return r < 0 ? r : vw_nft_run(filter_text, err);
}
