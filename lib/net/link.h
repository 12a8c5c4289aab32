#pragma once

#include "lib/base/ip.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

#define VW_IFALIAS_MAX 256      /* IFALIASZ, linux/if.h: 255 bytes and NUL */

/**
 * struct vw_link - a network interface as the kernel reports it.
 * @flags:        IFF_* (net/if.h).
 * @peer_ifindex: IFLA_LINK: of a veth the other end's index in its own namespace; 0 = none.
 * @peer_netnsid: IFLA_LINK_NETNSID; -1 = the same namespace or unknown.
 * @kind:         "veth", "bridge", ...; "" for lo and hardware.
 * @alias:        IFLA_IFALIAS, "" = none.
 * @xdp_prog:     id of an XDP program that hangs there, in whatever mode (one of them when there are several); 0 = none.
 */
struct vw_link {
	unsigned int ifindex;
	char name[IFNAMSIZ];
	unsigned int flags;
	struct vw_mac mac;
	unsigned int mtu;
	unsigned int group;
	unsigned int master;
	unsigned int peer_ifindex;
	int peer_netnsid;
	uint8_t operstate;
	char kind[16];
	char alias[VW_IFALIAS_MAX];
	uint32_t xdp_prog;
};

/**
 * struct vw_link_end - one end of a new veth pair. Zero = the kernel chooses.
 * @netns_fd: where this end is born; -1 = where the socket lives. Only honoured for the peer.
 * @up:       not for the peer: the kernel refuses it there (ENOTCONN: its peer does not exist yet).
 */
struct vw_link_end {
	const char *name;
	unsigned int ifindex;
	struct vw_mac mac;
	unsigned int mtu;
	unsigned int group;
	int netns_fd;
	bool up;
};

/**
 * vw_link_add_veth() - append one RTM_NEWLINK that makes a pair, nothing moved, nothing renamed.
 * Errors to expect at commit: EEXIST (a name is taken), EBUSY (an ifindex is taken).
 * IFLA_IFALIAS is not honoured at creation: follow with vw_link_set(). Return: index of the operation,
 * -errno (sour).
 */
int vw_link_add_veth(struct vw_nl_batch *b, const struct vw_link_end *host, const struct vw_link_end *peer);

/** vw_link_add_bridge() - down, without multicast snooping. @mac, @mtu: pinned: they do not follow the ports. EEXIST. */
int vw_link_add_bridge(struct vw_nl_batch *b, const char *name, const struct vw_mac *mac, unsigned int mtu);
/**
 * vw_link_add_macvtap() - down, in passthru mode: all that @parent (an index) receives is its own, and it has its MAC. It goes with
 * @parent. Errors to expect at commit: EOPNOTSUPP (no macvtap in the kernel), EEXIST, EINVAL (@parent has a macvlan already).
 */
int vw_link_add_macvtap(struct vw_nl_batch *b, const char *name, unsigned int parent);
/**
 * vw_link_hairpin() - frames may leave by the bridge's port by which they came: where br_netfilter translates addresses of frames,
 * what a container sends to a port of its own is such a one.
 */
int vw_link_hairpin(struct vw_nl_batch *b, unsigned int ifindex, const char *name);

enum vw_link_set_what {
	VW_LINK_UP = 1 << 0,            /* IFF_UP */
	VW_LINK_DOWN = 1 << 1,
	VW_LINK_MTU = 1 << 2,
	VW_LINK_MAC = 1 << 3,
	VW_LINK_GROUP = 1 << 4,
	VW_LINK_ALIAS = 1 << 5,
	VW_LINK_NAME = 1 << 6,
	VW_LINK_NETNS = 1 << 7,
	VW_LINK_MASTER = 1 << 8,        /* 0 = leave the bridge */
};

/**
 * struct vw_link_set - a change to a link. @ifindex or, where 0, @name says which.
 * @what: enum vw_link_set_what; only the fields it names are looked at.
 */
struct vw_link_set {
	unsigned int ifindex;
	const char *name;
	unsigned int what;
	unsigned int mtu;
	struct vw_mac mac;
	unsigned int group;
	unsigned int master;
	const char *alias;
	const char *new_name;
	int netns_fd;
};

int vw_link_set(struct vw_nl_batch *b, const struct vw_link_set *set);
/** vw_link_set_up() - by index; @name is for messages only and may be NULL. */
int vw_link_set_up(struct vw_nl_batch *b, unsigned int ifindex, const char *name);
/**
 * vw_link_no_ll6() - no IPv6 link-local address of its own (addr_gen_mode none); before it is up. By index, or where 0 by @name.
 * One without IPv6 has none anyway: no error. A message of its own, for the kernel would refuse all of one that asks for more.
 */
int vw_link_no_ll6(struct vw_nl_batch *b, unsigned int ifindex, const char *name);

int vw_link_del(struct vw_nl_batch *b, unsigned int ifindex);
int vw_link_del_name(struct vw_nl_batch *b, const char *name);
/**
 * vw_link_del_group() - every link of the namespace that has this IFLA_GROUP, in one go (16 ms for one
 * veth, ~50 ms for 100).
 * @group: not 0, which is every link's default. ENODEV when there is none: vw_nl_tolerate(VW_NL_OK_GONE).
 */
int vw_link_del_group(struct vw_nl_batch *b, unsigned int group);

/** vw_link_get(), vw_link_get_name() - one RTM_GETLINK, no dump. Return: 0, -ENODEV, -errno. */
int vw_link_get(struct vw_nl *nl, unsigned int ifindex, struct vw_link *ret_link, struct vw_err *err);
int vw_link_get_name(struct vw_nl *nl, const char *name, struct vw_link *ret_link, struct vw_err *err);

/**
 * vw_link_index() - the index of link @name, in the namespace of @nl. By ioctl: unlike RTM_GETLINK it does not wait for RTNL, for which
 * others may stand in line. Return: 0, -ENODEV, -EINVAL (no interface's name), -errno.
 */
int vw_link_index(struct vw_nl *nl, const char *name, unsigned int *ret_ifindex, struct vw_err *err);

/** vw_link_list() - every link of the namespace. @ret_links: the caller frees. Return: how many, -errno. */
int vw_link_list(struct vw_nl *nl, struct vw_link **ret_links, struct vw_err *err);

/**
 * vw_link_is_device() - a network card, or a veth, which stands for one in a lab: not a bridge, bond, VLAN or macvlan, which may
 * have taken over the MAC of the card below it.
 */
bool vw_link_is_device(const struct vw_link *l);

/**
 * vw_link_wait_mac() - the link with hardware address @mac, now or when it appears (an ENI being attached).
 * Subscribes, then lists, then waits for events, so that none is missed. Ignores veths' dying twins
 * (links that go away).
 * @netns_fd:    namespace to look in, -1 = current.
 * @deadline_ms: vw_mono_ms() scale. Return: 0, -ETIMEDOUT, -errno.
 */
int vw_link_wait_mac(int netns_fd, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_link *ret_link,
		     struct vw_err *err);
