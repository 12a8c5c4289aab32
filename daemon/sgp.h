// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/store.h"

#include <stdbool.h>

struct attachment;
struct daemon;
struct hostnet_branch;
struct hostnet_found;
struct hostnet_scan;
struct hostnet_truth;
struct vw_err;
struct vw_rpc_req;

/**
 * DOC: security groups of pods
 *
 * A pod whose manifest carries the annotation vpc.amazonaws.com/pod-eni has a branch ENI of its own, made and tagged by the VPC
 * resource controller. Its addresses are the annotation's, not the pool's. On the node stands an interface for the branch
 * ("vlan.eth.<vlan>", netpolicy-bpf/user/br_link.h), with a routing table of its own (100 + vlan). Two modes:
 *
 *   strict    what the pod sends leaves by its branch, and what is for it comes in by it, whoever is at the other end: the pod's
 *             route stands in its branch's table alone, rules at HOSTNET_PRIO_STRICT lead there from both interfaces, and the rule for
 *             local addresses stands behind them.
 *   standard  pods and node on one node meet directly, and what is SNATed leaves by the primary ENI; all else by the branch: a
 *             rule at HOSTNET_PRIO_STANDARD, behind those that all pods share.
 *
 * So there are two rules, or one, for each branch ENI. The pool never touches trunks and branches (place.h).
 */

/**
 * sgp_start() - after attach_restore(): the rule for local addresses where the mode wants it, and interfaces of branches away
 * that no attachment has any more.
 */
int sgp_start(struct daemon *d, struct vw_err *err);
void sgp_free(struct daemon *d);
/** sgp_config_changed() - living pods keep their mode. */
void sgp_config_changed(struct daemon *d);

/**
 * sgp_wanted() - the branch of the pod that @req is about. Return: 1 = *ret_branch is it; 0 = the pod has none, or the node does without
 * (enable_pod_eni); -ENODATA (VW_CNI_TRY_AGAIN): it is to have one that is not known yet, or the pod is not; -errno.
 */
int sgp_wanted(struct daemon *d, const struct vw_rpc_req *req, struct store_branch *ret_branch, struct vw_err *err);
/**
 * sgp_recall() - the store was lost, the pod was not: what @f's branch is, if it has one, from the kernel: the mark and name of its interfaces,
 * the maps, its table. Addresses and branch are filled into @row. Return: 1, 0 = it has none, -errno: it has one that cannot be told.
 */
int sgp_recall(struct daemon *d, const struct hostnet_scan *scan, const struct hostnet_found *f, struct store_attachment *row,
	       struct vw_err *err);
/** sgp_up() - @a's branch on the node; whatever is there of it already is fine. -EBUSY: its former interface waits for the reaper. */
int sgp_up(struct daemon *d, const struct attachment *a, struct vw_err *err);
/** sgp_down() - no frame goes either way from here on; the interface goes with the next round of the reaper. */
int sgp_down(struct daemon *d, const struct attachment *a, struct vw_err *err);
/** sgp_table() - where the pod's own routes stand: HOSTNET_TABLE_PODS, or its branch's. */
unsigned int sgp_table(const struct attachment *a);

/** sgp_branch() - @a's branch as hostnet knows it, with the index that its interface has now (0: none). Return: 0, -errno. */
int sgp_branch(struct daemon *d, const struct attachment *a, struct hostnet_branch *ret, struct vw_err *err);
/**
 * sgp_repair() - like hostnet_repair(), for what is not hostnet's: the branch's pair of interfaces, which is made anew when it has gone, the
 * programs on it and on the trunk, its tag in their maps. A trunk that was detached is nobody's loss. @ret: the branch as sgp_branch() has
 * it behind the repair. Return: 0, -errno.
 */
int sgp_repair(struct daemon *d, struct attachment *a, const struct hostnet_truth *t, struct hostnet_branch *ret, struct vw_err *err);
/** sgp_has_link(), sgp_has_table() - some branch's: its interface, the other end, its trunk; its routing table. */
bool sgp_has_link(const struct daemon *d, unsigned int ifindex);
bool sgp_has_table(const struct daemon *d, uint32_t table);
