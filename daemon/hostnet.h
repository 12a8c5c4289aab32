#pragma once

#include "lib/base/ip.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the node's own network
 *
 * Rules, one routing table per secondary ENI, one nftables table, and the host side of pods that go. The
 * number of rules
 * does not depend on pods: their addresses are routes in one table (priority 512), and which ENI a pod
 * leaves by
 * is a number that its eBPF program puts into the low 7 bits of the packet mark.
 *
 *   512     lookup pods table
 *   1024    fwmark 0x80/0x80 lookup main      NodePort replies, and what is SNATed, leave by the primary ENI
 *   1536+n  fwmark n/0x7f lookup ENI n's table
 *
 * IPv6 has the same. So there are two rules and one for each secondary ENI. What the node's own sockets send from an
 * address of ENI n gets mark n in the nftables table.
 *
 * Everything made carries rtm_protocol VW_RTPROT or is inside the tables `ip vpcwire` and `ip6 vpcwire`; only such
 * things are deleted, with two exceptions on secondary ENIs, which are ours whole: foreign IPv4 addresses and their
 * routes in main.
 * Every function converges: run it again, or over a half-made state, and the result is the same. All
 * work in the calling
 * thread's network namespace, and none waits for anything but the kernel.
 */

#define HOSTNET_TABLE_PODS 22103        /* 0x5657 */
#define HOSTNET_GROUP_DYING 0x56570d1e  /* IFLA_GROUP of host veths that wait to be deleted; of others: VW_GROUP_PODS */
#define HOSTNET_MARK_PRIMARY 0x80       /* default; AWS_VPC_K8S_CNI_CONNMARK changes it */
#define HOSTNET_MARK_ENI_MASK 0x7f
#define HOSTNET_ENI_MAX 127             /* what HOSTNET_MARK_ENI_MASK can tell apart */
#define HOSTNET_PRIO_PODS 512
#define HOSTNET_PRIO_PRIMARY 1024
#define HOSTNET_PRIO_ENI 1536           /* + n */
/* of branch ENIs (sgp.h); 100, 10 and 20 are aws-node's */
#define HOSTNET_TABLE_BRANCH 100        /* + vlan */
#define HOSTNET_PRIO_LINK_LOCAL 9       /* IPv6, before strict pods' */
#define HOSTNET_PRIO_STRICT 10
#define HOSTNET_PRIO_LOCAL 20           /* of the local table, where strict pods' rules stand before it */
#define HOSTNET_PRIO_STANDARD 1664      /* behind HOSTNET_PRIO_ENI + HOSTNET_ENI_MAX */
#define HOSTNET_NFT_TABLE "vpcwire"
#define HOSTNET_ROUTER6 "fe80:ec2::1"   /* the VPC router on every link (VPC User Guide; aws-node uses it too) */
#define HOSTNET_GATEWAY6 "fe80::1"      /* of pods: each host veth has it */
/* addresses for the way out in the family that a pod does not have: + its slot. Nobody else's; seen on the node only. */
#define HOSTNET_EGRESS4 "169.254.176.0/20"      /* beside aws-node's 169.254.172.0/22 and AWS's own (169.254.169 to 171) */
#define HOSTNET_EGRESS6 "fd00::ac:0/116"        /* aws-node's fd00::ac:00/118, four times as large */
#define HOSTNET_LABEL_ENI 22103         /* of secondary ENIs' own IPv6 addresses, in the policy table for choosing sources */
#define HOSTNET_METRIC_FREE 65535       /* of the routes that make free addresses unreachable: behind any pod's */
#define HOSTNET_ALIAS_PREFIX "vpcwire:" /* ifalias of a pod's host veth: "vpcwire:<container id>/<ifname>" */

struct hostnet;

/** hostnet_new() - sockets and memory only; changes nothing. @ret_hn belongs to the caller. */
int hostnet_new(struct hostnet **ret_hn, struct vw_err *err);
/** hostnet_free() - leaves the kernel as it is. Accepts NULL. Return: NULL. */
struct hostnet *hostnet_free(struct hostnet *hn);
/** hostnet_port() - the port id of what it asks of the kernel, as events have it. */
uint32_t hostnet_port(const struct hostnet *hn);

/**
 * hostnet_init() - ip_forward, lo up, the rules at 512 and 1024 (also for IPv6 where the kernel has it, so that pods of a
 * former configuration live on), and 169.254.1.1 on lo, so that the pods' gateway answers ARP where the permanent neighbour entry was
 * lost (a plugin that changes the pod's MAC makes the kernel drop it).
 * @mark_primary: one bit above HOSTNET_MARK_ENI_MASK; 0 = HOSTNET_MARK_PRIMARY. With another than before, call
 *                hostnet_nat_apply() again too.
 */
int hostnet_init(struct hostnet *hn, uint32_t mark_primary, struct vw_err *err);
/**
 * hostnet_init6() - after hostnet_init(), on a node whose pods have IPv6: IPv6 on and forwarding. A kernel that forwards takes no
 * router advertisements and forgets the routes it has from them unless accept_ra is 2, so that comes first, for every
 * interface that has it at 1. Return: 0, -ENOSYS (no IPv6 in this kernel), -errno.
 */
int hostnet_init6(struct hostnet *hn, struct vw_err *err);
/**
 * hostnet_down() - take away all rules, routes and the nftables table that carry our mark. For removal
 * of vpcwire.
 */
int hostnet_down(struct hostnet *hn, struct vw_err *err);

/**
 * struct hostnet_eni - an ENI that is attached.
 * @number:  n of the marks and rules, 1..HOSTNET_ENI_MAX, unique on the node and stable while attached;
 * 0 = primary ENI.
 * @table:   its routing table (hostnet_eni_table()); ignored for the primary, which uses main.
 * @addr:    primary private address with the subnet's prefix length.
 * @gateway: the subnet router, base + 1 in a VPC.
 * @mtu:     0 = leave alone.
 * @ipv6:    pods with IPv6 may leave by it. @addr6: an IPv6 address of its own, family 0 = none.
 */
struct hostnet_eni {
	char id[32];
	char ifname[IFNAMSIZ];
	unsigned int ifindex;
	unsigned int number;
	uint32_t table;
	struct vw_cidr addr;
	struct vw_ip gateway;
	unsigned int mtu;
	bool ipv6;
	struct vw_ip addr6;
};

/** hostnet_eni_table() - aws-node's numbers: card 0, device N -> N + 1; card c > 0 -> 10000 + N + 100 * c. */
uint32_t hostnet_eni_table(unsigned int card, unsigned int device);

/**
 * hostnet_eni_setup() - make the node able to send by this ENI.
 * Primary: up, MTU, loose rp_filter; its address and routes belong to the operating system. Secondary:
 * also the address
 * without a subnet route, table (gateway on link, default through it), rule 1536 + n, mark n for what the node sends from
 * its address (in the nftables table, from the first hostnet_nat_apply() on), and nothing in main.
 * Loose rp_filter, because a packet for a pod may enter by an ENI that the answer will not leave by.
 * With @ipv6: on the primary, router advertisements go on being taken; on others they are not (they would put a second
 * default route into main), the router is HOSTNET_ROUTER6, and the link-local address is used without DAD (a MAC is
 * EC2's word, and packets would wait a second).
 */
int hostnet_eni_setup(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);
/**
 * hostnet_eni_remove() - rules and table; the interface may be gone already. The primary is refused
 * (-EINVAL).
 */
int hostnet_eni_remove(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);

/** hostnet_eni_bare() - like hostnet_eni_remove(), and the addresses that _setup() put on the interface (its index 0: on none). */
int hostnet_eni_bare(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);

enum hostnet_snat_random { HOSTNET_SNAT_PRNG, HOSTNET_SNAT_HASHRANDOM, HOSTNET_SNAT_NONE };

/**
 * struct hostnet_nat - what the tables `ip vpcwire` and, after hostnet_init6(), `ip6 vpcwire` are made from.
 * @primary_ifname, @primary_addr: where traffic that leaves the VPC goes out and the source it gets.
 * @vpc, @excluded: IPv4 networks that are reached with the pod's own address (VPC CIDRs; aws-node's
 * EXCLUDE_SNAT_CIDRS).
 *                  May overlap. Borrowed.
 * @external_snat:  nothing is SNATed or sent by the primary ENI for leaving the VPC
 * (AWS_VPC_K8S_CNI_EXTERNALSNAT).
 * @egress4:        pods may have an address of HOSTNET_EGRESS4; what they send leaves by the primary ENI under its address,
 *                  wherever to.
 * @primary_addr6:  the same for HOSTNET_EGRESS6, under this address; family 0 = no.
 * @nodeport:       connections that arrive on the primary ENI for a local address are answered by it.
 */
struct hostnet_nat {
	char primary_ifname[IFNAMSIZ];
	struct vw_ip primary_addr;
	const struct vw_cidr *vpc, *excluded;
	size_t n_vpc, n_excluded;
	bool external_snat;
	bool nodeport;
	bool egress4;
	struct vw_ip primary_addr6;
	enum hostnet_snat_random random;
};

/** hostnet_nat_apply() - replace the tables in one transaction; connections keep their NAT. @nat is copied. */
int hostnet_nat_apply(struct hostnet *hn, const struct hostnet_nat *nat, struct vw_err *err);
/**
 * hostnet_judge_apply() - replace the table `inet vpcwire` in one transaction: what pods send to sockets of this node by a service's
 * address is judged by these programs (np_at_node_fd()). @prog4_fd, @prog6_fd: borrowed until hostnet_free().
 * Return: 0, -ENOENT: the kernel has no xt_bpf or no nft_compat, -errno.
 */
int hostnet_judge_apply(struct hostnet *hn, int prog4_fd, int prog6_fd, struct vw_err *err);

/* --- addresses that no pod has */

/**
 * hostnet_free_set() - the addresses, prefixes and blocks that ENI @eni_id has for pods; where no pod has one, it is
 * unreachable (route in the pods table). Else packets for it would go by main back to the VPC, which sends them here again, and
 * conntrack would take notes of them for the next owner.
 * Replaces what was said of @eni_id before; @n 0 before somebody else may get them. Unchanged: no kernel call.
 */
int hostnet_free_set(struct hostnet *hn, const char *eni_id, const struct vw_cidr *slots, size_t n, struct vw_err *err);
/** hostnet_free_prune() - after a start, or after a set that failed: remove what was left and nobody has said again. */
int hostnet_free_prune(struct hostnet *hn, struct vw_err *err);

/* --- pods that go */

/**
 * struct hostnet_pod - the host side of an attachment. @addr: host prefixes, @n_addr of them, which have routes in @table
 * (0: HOSTNET_TABLE_PODS). @mac, @mtu: of the veth, zero = not known, left as they are. @adopted: others made the link, so its index is
 * below VW_IFINDEX_BASE.
 */
struct hostnet_pod {
	bool adopted;
	unsigned int ifindex;
	uint32_t table;
	char ifname[IFNAMSIZ];
	struct vw_cidr addr[2];
	unsigned int n_addr;
	struct vw_mac mac;
	unsigned int mtu;
};

/**
 * hostnet_pod_forget() - delete its routes and put its host veth into the dying group: ~0.1 ms, no RCU wait.
 * Anything that is gone already is fine. The link goes with the next round of the reaper, and so do the tracked connections
 * of its addresses; until then its name and slot are taken, and its addresses stale.
 * Return: 1 = the link now waits for the reaper, 0 = there was no link, -errno.
 */
int hostnet_pod_forget(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err);

/** hostnet_pod_route() - its routes in the pods table, for a link that others made. Return: 0, -errno. */
int hostnet_pod_route(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err);
/** hostnet_link_forget() - a link of ours that is no pod's: into the dying group likewise, with what hangs on it. */
int hostnet_link_forget(struct hostnet *hn, unsigned int ifindex, const char *ifname, struct vw_err *err);

/** hostnet_dying() - how much waits for the reaper: links and addresses (what it is at included). */
size_t hostnet_dying(const struct hostnet *hn);
/** hostnet_is_dying() - a link with this name (NULL: none) or index (0: none) waits: reap before making one. */
bool hostnet_is_dying(const struct hostnet *hn, const char *ifname, unsigned int ifindex);
/** hostnet_is_stale() - connections of a former owner may still be tracked: reap before a pod gets it. */
bool hostnet_is_stale(const struct hostnet *hn, const struct vw_ip *ip);

/**
 * hostnet_reap() - forget the connections of stale addresses, then delete every dying link in one request (16 ms for one, ~50 ms
 * for 100: RCU waits in the kernel).
 * @reaped: called for each link that is gone now, in this thread. May be NULL. Return: how many, -errno
 * (none is forgotten).
 * Blocks; a loop that cannot afford it uses the three below: _begin here, _work in any thread, _end here.
 */
int hostnet_reap(struct hostnet *hn, void (*reaped)(unsigned int ifindex, void *arg), void *arg,
		 struct vw_err *err);
/**
 * hostnet_reap_begin() - fix which links and addresses this round is about. Return: how many (0: do not go on), -EBUSY
 * (one runs).
 */
int hostnet_reap_begin(struct hostnet *hn);
/**
 * hostnet_reap_work() - reads only what _begin has fixed: safe in a worker thread (of the same network
 * namespace).
 * @ret_ct: why connections could not be forgotten, eno 0 = they are; the round goes on and the addresses are given out.
 */
int hostnet_reap_work(const struct hostnet *hn, struct vw_err *ret_ct, struct vw_err *err);
/**
 * hostnet_reap_end() - @result: what _work returned; on failure the links wait for the next round.
 * Return: how many links are gone.
 */
int hostnet_reap_end(struct hostnet *hn, int result, void (*reaped)(unsigned int ifindex, void *arg),
		     void *arg);
/** hostnet_purge() - forget the tracked connections of all addresses of which @gone says so. Any thread. Return: how many. */
int hostnet_purge(bool (*gone)(const struct vw_ip *ip, const void *arg), const void *arg, struct vw_err *err);

/* --- branch ENIs */

/**
 * struct hostnet_branch - a pod's branch ENI on the node (sgp.h).
 * @ifname, @ifindex: the interface that stands for it; index 0 = it is not there.
 * @gw4: its subnet's router, family 0 = the pod has no IPv4 address of it. @ipv6: it has an IPv6 one.
 * @pod: the pod behind it.
 */
struct hostnet_branch {
	char id[32];
	char ifname[IFNAMSIZ];
	unsigned int ifindex;
	unsigned int vlan;
	bool strict;
	struct vw_ip gw4;
	bool ipv6;
	struct hostnet_pod pod;
};

/* ifalias of the interface: which ENI it is, behind this */
#define HOSTNET_BRANCH_ALIAS "vpcwire-branch-eni:"

/** hostnet_branch_setup() - sysctls, mark, up, table HOSTNET_TABLE_BRANCH + vlan, rules. The pod's own route is the plugin's. */
int hostnet_branch_setup(struct hostnet *hn, const struct hostnet_branch *b, struct vw_err *err);
/** hostnet_branch_remove() - the rules; the routes go with the interface. */
int hostnet_branch_remove(struct hostnet *hn, const struct hostnet_branch *b, struct vw_err *err);
/** hostnet_branch_prune() - after a start: rules of a former life's branches go, those whose table @has does not know. */
int hostnet_branch_prune(struct hostnet *hn, bool (*has)(uint32_t table, const void *arg), const void *arg, struct vw_err *err);
/**
 * hostnet_local_behind() - @behind: strict pods' packets to the node itself go by their branch, so the rule for local addresses stands
 * behind theirs, and the kernel looks for a socket only when the route is known (early demux off). false: back as it was, if it was moved.
 */
int hostnet_local_behind(struct hostnet *hn, bool behind, struct vw_err *err);

/* --- restart and truth */

/**
 * struct hostnet_found - one host veth of ours.
 * @owner: "<container id>/<ifname>" from the alias; "" = killed between creation and naming, or foreign
 * in our index range.
 * @dying: in the dying group.
 */
struct hostnet_found {
	struct hostnet_pod pod;
	struct vw_mac mac;
	bool up, dying;
	char owner[256];
};

/**
 * struct hostnet_scan - @pods: links with index >= VW_IFINDEX_BASE, and adopted ones, which carry our alias. @devices: those of the others that may be ENIs: network
 * cards, and veths, which stand for them in a lab. @orphans: routes of ours to pods without one.
 */
struct hostnet_scan {
	struct hostnet_found *pods;
	size_t n_pods;
	struct vw_link *devices;
	size_t n_devices;
	struct hostnet_pod *orphans;
	size_t n_orphans;
};

/**
 * hostnet_scan() - one dump of links and one of routes; an interrupted dump is repeated, never used.
 * Links that are dying already go on the reaper's list; those that carry our alias and are in no group are put into
 * VW_GROUP_PODS. @ret_scan: hostnet_scan_done() frees.
 */
int hostnet_scan(struct hostnet *hn, struct hostnet_scan *ret_scan, struct vw_err *err);
void hostnet_scan_done(struct hostnet_scan *scan);
/** hostnet_orphan_del() - remove an orphaned route. */
int hostnet_orphan_del(struct hostnet *hn, const struct hostnet_pod *orphan, struct vw_err *err);

/**
 * enum hostnet_kind - what of ours can be missing. hostnet_kind_name(): "rule", ...
 * Links: up, MTU, group. Addresses: of secondary ENIs, of the pods' gateway.
 */
enum hostnet_kind {
	HOSTNET_SYSCTL,
	HOSTNET_LINK,
	HOSTNET_ADDRESS,
	HOSTNET_ROUTE,
	HOSTNET_RULE,
	HOSTNET_NFT,
	HOSTNET_FILTER,         /* not looked at by hostnet: see programs.h */
	HOSTNET_KINDS,
};
#define HOSTNET_BIT(kind) (1u << (kind))
#define HOSTNET_ALL (HOSTNET_BIT(HOSTNET_KINDS) - 1)

const char *hostnet_kind_name(enum hostnet_kind kind);

/**
 * struct hostnet_truth - what to compare, and who hears of differences.
 * @enis:  those that are set up; ones whose link is gone are passed over.
 * @pods:  those whose routes must be there, if they have a link.
 * @branches: with their pods, whose routes are here if they stand in the branch's table.
 * @found: something of ours is missing or was changed. @what: "rule 512: lookup 22103 is missing", also what it is known by. Return: true = put it
 *         right now.
 */
struct hostnet_truth {
	const struct hostnet_eni *enis;
	size_t n_enis;
	const struct hostnet_pod *pods;
	size_t n_pods;
	const struct hostnet_branch *branches;
	size_t n_branches;
	bool (*found)(enum hostnet_kind kind, const char *what, void *arg);
	void *arg;
};

/**
 * hostnet_repair() - compare what hostnet_init(), _init6(), _eni_setup(), _nat_apply(), _free_set(), _branch_setup(), _local_behind() and
 * the plugin made with the kernel, and restore what is missing. What others have put beside it stays; in our own nftables tables nothing does.
 * @kinds: HOSTNET_BIT() of each kind to look at. One that fails does not keep the others from being restored.
 * Return: 0, -errno of the first that failed.
 */
int hostnet_repair(struct hostnet *hn, unsigned int kinds, const struct hostnet_truth *t, struct vw_err *err);

/**
 * hostnet_sysctls_changed() - whether something has changed on @n ENIs (at most HOSTNET_ENI_MAX) that the kernel tells nobody of: of IPv6's
 * sysctls it announces forwarding alone. Two system calls for each 8 ENIs with IPv6, none for others.
 */
bool hostnet_sysctls_changed(struct hostnet *hn, const struct hostnet_eni *enis, size_t n);

/**
 * hostnet_pod_repair() - the link of one pod, its gateway's address (with IPv6), sysctls. @pod->mtu: filled in when it is zero. @owner: "<container id>/<ifname>"; a link with
 * another alias is not touched. Return: 1 = there is such a link, 0 = there is none, -errno.
 */
int hostnet_pod_repair(struct hostnet *hn, struct hostnet_pod *pod, const char *owner, const struct hostnet_truth *t,
		       struct vw_err *err);

/**
 * hostnet_verify() - is what hostnet_init(), _eni_setup() (for @enis), _nat_apply() made still there?
 * Return: 0, -ESTALE with the first difference in @err ("rule 1537: fwmark 0x1/0x7f lookup 3 is
 * missing"), -errno.
 */
int hostnet_verify(struct hostnet *hn, const struct hostnet_eni *enis, size_t n_enis, struct vw_err *err);
