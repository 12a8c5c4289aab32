// SPDX-License-Identifier: Apache-2.0
/*
 * Links: building RTM_NEWLINK and friends, reading them back, and waiting for an ENI to appear.
 * vw_link_wait_mac() subscribes before it lists, so a link that comes in between is seen by one or the other;
 * when events are lost (ENOBUFS) it lists again.
 */
#include "lib/net/link.h"

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool name_ok(struct vw_nl_batch *b, const char *name)
{
	if (name && name[0] && strlen(name) < IFNAMSIZ)
		return true;
	(void)vw_nl_sour(b, EINVAL, "'%s' is no interface name (1 to %d bytes)", name ? name : "",
			 IFNAMSIZ - 1);
	return false;
}

static void put_mac(struct nlmsghdr *nlh, const struct vw_mac *mac)
{
	if (!vw_mac_is_zero(mac))
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(mac->b), mac->b);
}

static void put_end(struct nlmsghdr *nlh, const struct vw_link_end *end)
{
	mnl_attr_put_strz(nlh, IFLA_IFNAME, end->name);
	put_mac(nlh, &end->mac);
	if (end->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, end->mtu);
	if (end->group)
		mnl_attr_put_u32(nlh, IFLA_GROUP, end->group);
	/*
	 * By default the kernel makes a queue of each kind for every possible CPU, each with its own folder in sysfs
	 * (veth_get_num_queues()). veth has no use for them without XDP, and on 96 CPUs a pair costs 3.5 ms instead of 0.7.
	 */
	mnl_attr_put_u32(nlh, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(nlh, IFLA_NUM_RX_QUEUES, 1);
}

int vw_link_add_veth(struct vw_nl_batch *b, const struct vw_link_end *host, const struct vw_link_end *peer)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)host->ifindex };
	struct ifinfomsg peer_ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)peer->ifindex };
	struct nlattr *info, *data, *veth;
	struct nlmsghdr *nlh;

	if (!name_ok(b, host->name) || !name_ok(b, peer->name))
		return -EINVAL;
	if (peer->up)
		return vw_nl_sour(b, EINVAL, "the peer of a new veth cannot be up at once");
	if (host->up)
		ifi.ifi_flags = ifi.ifi_change = IFF_UP;
	nlh = vw_nl_begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	put_end(nlh, host);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	veth = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(peer_ifi)), &peer_ifi, sizeof(peer_ifi));
	put_end(nlh, peer);
	/* 0 is stdin, never a namespace: a caller's struct of zeros means "here" as well */
	if (peer->netns_fd > 0)
		mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)peer->netns_fd);
	mnl_attr_nest_end(nlh, veth);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return vw_nl_end(b, nlh, "creating veth %s with peer %s", host->name, peer->name);
}

/* A new link of a kind that has options; the caller puts those between begin_kind() and end_kind(). */
struct new_link {
	struct nlmsghdr *nlh;
	struct nlattr *info, *data;
};

static int begin_new(struct vw_nl_batch *b, const char *name, struct new_link *ret)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };

	if (!name_ok(b, name))
		return -EINVAL;
	ret->nlh = vw_nl_begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	if (!ret->nlh)
		return -b->sour_eno;
	mnl_attr_put_strz(ret->nlh, IFLA_IFNAME, name);
	return 0;
}

static void begin_kind(struct new_link *n, const char *kind)
{
	n->info = mnl_attr_nest_start(n->nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(n->nlh, IFLA_INFO_KIND, kind);
	n->data = mnl_attr_nest_start(n->nlh, IFLA_INFO_DATA);
}

static void end_kind(struct new_link *n)
{
	mnl_attr_nest_end(n->nlh, n->data);
	mnl_attr_nest_end(n->nlh, n->info);
}

int vw_link_add_bridge(struct vw_nl_batch *b, const char *name, const struct vw_mac *mac, unsigned int mtu)
{
	struct new_link n;
	int r = begin_new(b, name, &n);

	if (r < 0)
		return r;
	put_mac(n.nlh, mac);
	if (mtu)
		mnl_attr_put_u32(n.nlh, IFLA_MTU, mtu);
	begin_kind(&n, "bridge");
	mnl_attr_put_u8(n.nlh, IFLA_BR_MCAST_SNOOPING, 0);
	end_kind(&n);
	return vw_nl_end(b, n.nlh, "creating bridge %s", name);
}

int vw_link_add_macvtap(struct vw_nl_batch *b, const char *name, unsigned int parent)
{
	struct new_link n;
	int r = begin_new(b, name, &n);

	if (r < 0)
		return r;
	mnl_attr_put_u32(n.nlh, IFLA_LINK, parent);
	begin_kind(&n, "macvtap");
	mnl_attr_put_u32(n.nlh, IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
	end_kind(&n);
	return vw_nl_end(b, n.nlh, "creating macvtap %s", name);
}

int vw_link_hairpin(struct vw_nl_batch *b, unsigned int ifindex, const char *name)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex };
	struct nlattr *info, *data;
	struct nlmsghdr *nlh;
	char dev[16];

	if (!ifindex)
		return vw_nl_sour(b, EINVAL, "a port in hairpin mode needs its index");
	nlh = vw_nl_begin(b, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(nlh, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return vw_nl_end(b, nlh, "setting hairpin mode of port %s", vw_dev_name(name, ifindex, dev));
}

/** set_what() - the name of a change, for messages. */
static const char *set_what(unsigned int what)
{
	static const struct {
		unsigned int bit;
		const char *text;
	} names[] = {
		{VW_LINK_NETNS, "moving"},
		{VW_LINK_NAME, "renaming"},
		{VW_LINK_UP, "bringing up"},
		{VW_LINK_DOWN, "bringing down"},
		{VW_LINK_MASTER, "enslaving"},
		{VW_LINK_MTU, "setting the MTU of"},
		{VW_LINK_MAC, "setting the MAC of"},
		{VW_LINK_GROUP, "setting the group of"},
		{VW_LINK_ALIAS, "setting the alias of"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (what & names[i].bit)
			return names[i].text;
	return "changing";
}

static bool set_ok(struct vw_nl_batch *b, const struct vw_link_set *set)
{
	const char *wrong = NULL;

	if (!set->ifindex && !name_ok(b, set->name))
		return false;
	if ((set->what & VW_LINK_NAME) && !name_ok(b, set->new_name))
		return false;
	if ((set->what & VW_LINK_NAME) && !set->ifindex)
		wrong = "renaming a link needs its index";
	else if ((set->what & VW_LINK_ALIAS) && strlen(set->alias) >= VW_IFALIAS_MAX)
		wrong = "an alias has at most 255 bytes";
	else if ((set->what & VW_LINK_UP) && (set->what & VW_LINK_DOWN))
		wrong = "a link cannot be set up and down at once";
	if (wrong)
		(void)vw_nl_sour(b, EINVAL, "%s", wrong);
	return !wrong;
}

int vw_link_set(struct vw_nl_batch *b, const struct vw_link_set *set)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)set->ifindex };
	struct nlmsghdr *nlh;
	char dev[16];

	if (!set_ok(b, set))
		return -EINVAL;
	if (set->what & (VW_LINK_UP | VW_LINK_DOWN))
		ifi.ifi_change = IFF_UP;
	if (set->what & VW_LINK_UP)
		ifi.ifi_flags = IFF_UP;
	nlh = vw_nl_begin(b, RTM_SETLINK, 0, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	if (!set->ifindex)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, set->name);
	else if (set->what & VW_LINK_NAME)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, set->new_name);
	if (set->what & VW_LINK_MTU)
		mnl_attr_put_u32(nlh, IFLA_MTU, set->mtu);
	if (set->what & VW_LINK_MAC)
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(set->mac.b), set->mac.b);
	if (set->what & VW_LINK_GROUP)
		mnl_attr_put_u32(nlh, IFLA_GROUP, set->group);
	if (set->what & VW_LINK_MASTER)
		mnl_attr_put_u32(nlh, IFLA_MASTER, set->master);
	if (set->what & VW_LINK_ALIAS)
		mnl_attr_put_str(nlh, IFLA_IFALIAS, set->alias);
	if (set->what & VW_LINK_NETNS)
		mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)set->netns_fd);
	return vw_nl_end(b, nlh, "%s link %s", set_what(set->what),
			 vw_dev_name(set->name, set->ifindex, dev));
}

int vw_link_set_up(struct vw_nl_batch *b, unsigned int ifindex, const char *name)
{
	return vw_link_set(b, &(struct vw_link_set){ .ifindex = ifindex, .name = name, .what = VW_LINK_UP });
}

int vw_link_no_ll6(struct vw_nl_batch *b, unsigned int ifindex, const char *name)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex };
	struct nlattr *spec, *inet6;
	struct nlmsghdr *nlh;
	char dev[16];
	int r;

	if (!ifindex && !name_ok(b, name))
		return -EINVAL;
	nlh = vw_nl_begin(b, RTM_SETLINK, 0, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	if (!ifindex)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(nlh, AF_INET6);
	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, spec);
	r = vw_nl_end(b, nlh, "setting addr_gen_mode of link %s", vw_dev_name(name, ifindex, dev));
	vw_nl_tolerate(b, VW_NL_OK_NO_IPV6);
	return r;
}

int vw_link_del(struct vw_nl_batch *b, unsigned int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex };
	struct nlmsghdr *nlh;

	if (!ifindex)
		return vw_nl_sour(b, EINVAL, "deleting a link needs its index");
	nlh = vw_nl_begin(b, RTM_DELLINK, 0, &ifi, sizeof(ifi));
	return nlh ? vw_nl_end(b, nlh, "deleting link #%u", ifindex) : -b->sour_eno;
}

int vw_link_del_name(struct vw_nl_batch *b, const char *name)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nlmsghdr *nlh;

	if (!name_ok(b, name))
		return -EINVAL;
	nlh = vw_nl_begin(b, RTM_DELLINK, 0, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return vw_nl_end(b, nlh, "deleting link %s", name);
}

int vw_link_del_group(struct vw_nl_batch *b, unsigned int group)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nlmsghdr *nlh;

	if (!group)
		return vw_nl_sour(b, EINVAL, "refusing to delete the group of all links");
	nlh = vw_nl_begin(b, RTM_DELLINK, 0, &ifi, sizeof(ifi));
	if (!nlh)
		return -b->sour_eno;
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	return vw_nl_end(b, nlh, "deleting links of group %u", group);
}

/* --- reading */

static void parse_info(const struct nlattr *info, struct vw_link *l)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			vw_nl_get_str(attr, l->kind, sizeof(l->kind));
	}
}

/* programs in several modes have no IFLA_XDP_PROG_ID of all, but one each (rtnl_xdp_fill(), net/core/rtnetlink.c) */
static void parse_xdp(const struct nlattr *xdp, struct vw_link *l)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, xdp)
	{
		unsigned int type = mnl_attr_get_type(attr);

		if (type >= IFLA_XDP_PROG_ID && type <= IFLA_XDP_HW_PROG_ID && vw_nl_get_u32(attr))
			l->xdp_prog = vw_nl_get_u32(attr);
	}
}

static void parse_attr(const struct nlattr *attr, struct vw_link *l)
{
	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		vw_nl_get_str(attr, l->name, sizeof(l->name));
		break;
	case IFLA_IFALIAS:
		vw_nl_get_str(attr, l->alias, sizeof(l->alias));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(l->mac.b))
			memcpy(l->mac.b, mnl_attr_get_payload(attr), sizeof(l->mac.b));
		break;
	case IFLA_MTU:
		l->mtu = vw_nl_get_u32(attr);
		break;
	case IFLA_GROUP:
		l->group = vw_nl_get_u32(attr);
		break;
	case IFLA_MASTER:
		l->master = vw_nl_get_u32(attr);
		break;
	case IFLA_LINK:
		l->peer_ifindex = vw_nl_get_u32(attr);
		break;
	case IFLA_LINK_NETNSID:
		l->peer_netnsid = (int)vw_nl_get_u32(attr);
		break;
	case IFLA_OPERSTATE:
		if (mnl_attr_get_payload_len(attr) >= 1)
			l->operstate = mnl_attr_get_u8(attr);
		break;
	case IFLA_LINKINFO:
		parse_info(attr, l);
		break;
	case IFLA_XDP:
		parse_xdp(attr, l);
		break;
	}
}

int vw_link_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct vw_link *l = item;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return 0;
	/* AF_BRIDGE messages of the same type tell about bridge ports and lack most of this. */
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC ||
	    ifi->ifi_index <= 0)
		return 0;
	l->ifindex = (unsigned int)ifi->ifi_index;
	l->flags = ifi->ifi_flags;
	l->peer_netnsid = -1;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) parse_attr(attr, l);
	return 1;
}

static struct nlmsghdr *get_request(void *buf, unsigned int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return nlh;
}

int vw_link_get(struct vw_nl *nl, unsigned int ifindex, struct vw_link *ret_link, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[128] = {0};
	char what[48];

	(void)snprintf(what, sizeof(what), "looking up link #%u", ifindex);
	return vw_nl_ask(nl, get_request(buf, ifindex), vw_link_parse, ret_link, sizeof(*ret_link), NULL,
			 what, err);
}

int vw_link_get_name(struct vw_nl *nl, const char *name, struct vw_link *ret_link, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[128] = {0};
	struct nlmsghdr *nlh = get_request(buf, 0);
	char what[48];

	if (!name[0] || strlen(name) >= IFNAMSIZ)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%s' is no interface name", name);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	(void)snprintf(what, sizeof(what), "looking up link %s", name);
	return vw_nl_ask(nl, nlh, vw_link_parse, ret_link, sizeof(*ret_link), NULL, what, err);
}

int vw_link_index(struct vw_nl *nl, const char *name, unsigned int *ret_ifindex, struct vw_err *err)
{
	struct ifreq ifr = { 0 };

	if (!name[0] || VW_COPY(ifr.ifr_name, name) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%.60s' is no interface name", name);
	if (ioctl(nl->fd, SIOCGIFINDEX, &ifr) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "looking up link %s", name);
	*ret_ifindex = (unsigned int)ifr.ifr_ifindex;
	return 0;
}

int vw_link_list(struct vw_nl *nl, struct vw_link **ret_links, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[128] = {0};
	void *items;
	int n = vw_nl_dump(nl, get_request(buf, 0), vw_link_parse, sizeof(**ret_links), NULL, "listing links", &items, err);

	if (n >= 0)
		*ret_links = items;
	return n;
}

/* --- waiting */

bool vw_link_is_device(const struct vw_link *l)
{
	return l->kind[0] == 0 || strcmp(l->kind, "veth") == 0;
}

static bool has_mac(const struct vw_link *l, const struct vw_mac *mac)
{
	return vw_mac_eq(&l->mac, mac) && vw_link_is_device(l);
}

static int parse_wanted(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	return nlh->nlmsg_type == RTM_NEWLINK && vw_link_parse(nlh, item, NULL) && has_mac(item, arg);
}

/** find_mac() - by one dump. Return: 1, 0, -errno. */
static int find_mac(struct vw_nl *nl, const struct vw_mac *mac, struct vw_link *ret_link, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[128] = {0};
	void *items;
	int n = vw_nl_dump(nl, get_request(buf, 0), parse_wanted, sizeof(*ret_link), mac, "listing links",
			   &items, err);

	if (n > 0) {
		memcpy(ret_link, items, sizeof(*ret_link));
		free(items);
	}
	return n > 0 ? 1 : n;
}

/** next_event() - Return: 1 = it came, 0 = something else happened, -ENOBUFS = events were lost, -errno. */
static int next_event(struct vw_nl *events, const struct vw_mac *mac, uint64_t deadline_ms,
		      struct vw_link *ret_link, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_NL_RECV_SIZE];
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
	int n = vw_nl_recv(events, buf, sizeof(buf), deadline_ms, err);
	struct vw_link l;

	if (n < 0)
		return n;
	for (; vw_nl_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n)) {
		memset(&l, 0, sizeof(l));
		if (parse_wanted(nlh, &l, mac) > 0) {
			*ret_link = l;
			return 1;
		}
	}
	return 0;
}

struct wait_open {
	struct vw_nl *events, *query;
};

static int wait_open(void *arg, struct vw_err *err)
{
	const struct wait_open *w = arg;
	int r = vw_nl_socket(w->events, NETLINK_ROUTE, RTMGRP_LINK, err);

	return r < 0 ? r : vw_nl_open(w->query, err);
}

int vw_link_wait_mac(int netns_fd, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_link *ret_link,
		     struct vw_err *err)
{
	vw_auto_nl struct vw_nl events = VW_NL_INIT, query = VW_NL_INIT;
	struct wait_open w = { .events = &events, .query = &query };
	char text[VW_MAC_STRLEN];
	int r = netns_fd < 0 ? wait_open(&w, err) : vw_netns_run(netns_fd, wait_open, &w, err);

	if (r < 0)
		return r;
	r = find_mac(&query, mac, ret_link, err);
	while (r == 0) {
		r = next_event(&events, mac, deadline_ms, ret_link, err);
		if (r == -ENOBUFS)
			r = find_mac(&query, mac, ret_link, err);
	}
	if (r == -ETIMEDOUT)
		return vw_err_set(err, ETIMEDOUT, VW_CNI_TRY_AGAIN,
				  "no interface with MAC %s appeared in time", vw_mac_str(mac, text));
	return r < 0 ? r : 0;
}
