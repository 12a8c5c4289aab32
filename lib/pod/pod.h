// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_cni_call;
struct vw_cni_iface;
struct vw_cni_result;
struct vw_err;
struct vw_link;
struct vw_netns_id;
struct vw_nl;

/**
 * DOC: a container's network namespace
 *
 * What every plugin of ours makes of an interface that is in a container's namespace already (a veth's end, an ENI, a
 * branch ENI), and how CHECK looks at it again. Whoever calls has opened @nl in the container's namespace; what is
 * written to sysctls goes where the calling thread is, so it has entered that namespace too.
 *
 * A container that has a default route already (an earlier interface) gets the new interface's routes in a table of
 * their own, vw_pod_table(), with a rule for what comes from its addresses. Main stays as it was.
 */
#define VW_POD_RULE_PRIORITY 1536

/** vw_pod_table() - the routing table of a container's second and further interfaces. */
static inline uint32_t vw_pod_table(unsigned int ifindex)
{
	return 1000 + ifindex;
}

/**
 * struct vw_pod_net - what an interface is given. All borrowed.
 * @addr:   @n_addr of them, host bits set; the subnet's length makes the kernel add a connected route.
 * @hidden: for each address, whether CNI results leave it out (it is for the way out only); NULL = none.
 * @gw:     @n_gw default gateways, at most one for each family. One that is in no subnet of @addr gets a host route.
 * @gw_mac: permanent neighbour entry of every gateway; NULL = asked by ARP and neighbour discovery.
 * @block_metadata: the instance metadata service is unreachable from the container (blackholes in table main).
 */
struct vw_pod_net {
	const char *ifname;
	unsigned int ifindex;
	const struct vw_cidr *addr;
	size_t n_addr;
	const bool *hidden;
	const struct vw_ip *gw;
	size_t n_gw;
	const struct vw_mac *gw_mac;
	bool block_metadata;
};

/**
 * vw_pod_configure() - loopback and interface up, addresses (IPv6 without duplicate address detection), routes, neighbours.
 * IPv6 is switched on where the container is given any (runtimes switch it off: Docker does). The metadata service is
 * blocked before the interface comes up.
 * @ret_second: another interface has the default route. Return: 0, -errno; what was done until then stays.
 */
int vw_pod_configure(struct vw_nl *nl, const struct vw_pod_net *net, bool *ret_second, struct vw_err *err);
/** vw_pod_enable_ipv6() - switch it on for one interface. Return: 0, -EAFNOSUPPORT (its MTU, code 7, or the kernel's doing), -errno. */
int vw_pod_enable_ipv6(struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err);

/* --- CHECK: the first difference is the answer, with code VW_CNI_CHECK_FAILED */

/**
 * struct vw_pod_expect - how the interface has to look.
 * @mac, @mtu: as we made it; in the container a smaller MTU will do, for plugins that change it and do not say so. @reported: what the final result (prevResult) says of it: a plugin chained after us may have
 * changed MAC and MTU, and then says so there. @other_mac: set by vw_pod_check(): one did.
 */
struct vw_pod_expect {
	const struct vw_pod_net *net;
	struct vw_mac mac;
	unsigned int mtu;
	const struct vw_cni_iface *reported;
	bool other_mac;
};

#define vw_differs(err, ...) vw_err_set((err), ENODEV, VW_CNI_CHECK_FAILED, __VA_ARGS__)

/** vw_absent_or() - what an absent object makes of a query's failure @r: a difference, not an accident. Return: @r or that. */
int vw_absent_or(struct vw_err *err, int r, const char *what, const char *where);
/**
 * vw_pod_reported() - the container's interface in a prevResult, and that it has every address of @e->net that is not hidden.
 * Fails with VW_CNI_INVALID_CONFIG when there is no such interface. @by: who gave the addresses, for the message.
 */
int vw_pod_reported(const struct vw_cni_result *prev, const char *by, struct vw_pod_expect *e, struct vw_err *err);
/** vw_pod_check_link() - up, and with exactly the right MTU. @where: "in the pod", "on the node". */
int vw_pod_check_link(const struct vw_link *link, const struct vw_pod_expect *e, const char *where, struct vw_err *err);
/** vw_pod_check() - MAC, MTU, addresses, routes, neighbours, blackholes of @link, which is @e->net's interface. */
int vw_pod_check(struct vw_nl *nl, const struct vw_link *link, struct vw_pod_expect *e, struct vw_err *err);

/* --- a call as such */

/** vw_call_deadline() - absolute, for the whole call: the configured time, or @max_ms if that is less. */
uint64_t vw_call_deadline(const struct vw_cni_call *call, unsigned int max_ms);
/**
 * vw_pod_may_live() - whether a container that a runtime does not list may be alive all the same: its interface is up in the very
 * namespace that ADD saw, or nobody can tell. A runtime's empty list (CRI-O at boot, `cnitool gc`) must take nothing from it.
 */
bool vw_pod_may_live(const char *netns, const struct vw_netns_id *id, const char *ifname);
/** vw_call_refuse_taken_name() - CNI_IFNAME is in the container (@pod) already: VW_CNI_INTERFACE_EXISTS. */
int vw_call_refuse_taken_name(const struct vw_cni_call *call, struct vw_nl *pod, struct vw_err *err);
/** vw_call_refuse_own_netns() - CNI_NETNS is the namespace that the plugin runs in: code 8, unless CNI_NETNS_OVERRIDE. */
int vw_call_refuse_own_netns(const struct vw_cni_call *call, int netns_fd, struct vw_err *err);
#define VW_CALL_NETNS_MAX 512   /* bytes of CNI_NETNS, with NUL */
/**
 * vw_call_open_netns() - CNI_NETNS, which is a network namespace, not the plugin's own, and shorter than VW_CALL_NETNS_MAX.
 * Return: fd that the caller closes, -errno.
 */
int vw_call_open_netns(const struct vw_cni_call *call, struct vw_err *err);
/** vw_call_refuse_ipam() - of a plugin that delegates to nobody; @instead: the key that has the addresses. VW_CNI_UNSUPPORTED_FIELD. */
int vw_call_refuse_ipam(const struct vw_cni_call *call, const char *name, const char *instead, struct vw_err *err);
/** vw_call_refuse_to_be_ipam() - somebody else's configuration names plugin @name as its "ipam": VW_CNI_UNSUPPORTED_FIELD. */
int vw_call_refuse_to_be_ipam(const struct vw_cni_call *call, const char *name, struct vw_err *err);
