#pragma once

#include "lib/base/ip.h"

#include <stddef.h>

struct vw_err;

/**
 * DOC: a small network of namespaces
 *
 * A fabric that routes each address to whoever has it; nodes on it, pods behind nodes, a host outside, and for each node one
 * behind it whose packets leave with the node's address as source. All is made when it is first asked for, stays, and vanishes with the process;
 * who has which address is changed as often as need be. No link has a subnet: each end of one knows the other as
 * 169.254.0.2 and fe80::2, and permanently by its MAC, so that no packet waits for a neighbour.
 */
struct net;

/** struct net_place - one namespace. @ns: its fd. @up: its link towards the fabric. @id: its number, from 0. */
struct net_place {
	int ns;
	unsigned int up, id;
};
#define NET_PLACES 192

/** net_new() - Return: 0, -EPERM (not root), -errno. */
int net_new(struct net **ret, struct vw_err *err);
void net_free(struct net *n);
/** net_node(), net_snat(), net_pod(), net_outside() - @node: index. Return: 0, -errno. @ret is owned by @n. */
int net_node(struct net *n, unsigned int node, struct net_place **ret, struct vw_err *err);
int net_snat(struct net *n, unsigned int node, struct net_place **ret, struct vw_err *err);
int net_outside(struct net *n, struct net_place **ret, struct vw_err *err);
/** net_pod() - the pod's link on its node has index @ifindex. @ret_new: it was just made, nothing is attached. */
int net_pod(struct net *n, unsigned int node, unsigned int slot, unsigned int ifindex, struct net_place **ret, bool *ret_new,
	    struct vw_err *err);
/** net_snat_ip() - what the host behind the node sends from: the node's nftables turn it into the node's address. */
struct vw_ip net_snat_ip(unsigned int node, int family);

/** net_put() - @ip is now @p's (a pod's, a node's, or the outside's), and no longer who had it. */
int net_put(struct net *n, struct net_place *p, const struct vw_ip *ip, struct vw_err *err);
/** net_forget() - the node's connection tracking is empty. */
int net_forget(struct net *n, unsigned int node, struct vw_err *err);
/** net_wait() - until all links that were made can carry packets, and all addresses that were put receive them. */
int net_wait(struct net *n, struct vw_err *err);
/** net_nft() - run nft commands on a node, unless they are those that it was given last. */
int net_nft(struct net *n, unsigned int node, const char *text, struct vw_err *err);
