#pragma once

#include "daemon/attach.h"

#include <stdbool.h>

struct daemon;
struct eni;
struct hostnet_branch;
struct hostnet_truth;
struct vw_err;
struct vw_filter;
struct vw_link;
struct vw_nl;

/**
 * DOC: eBPF programs on links that exist
 *
 * The plugin attaches the pinned programs to a veth when it makes it. Here is what the daemon attaches itself: to_wire on its
 * ENIs and on branches' interfaces, all of them anew after an upgrade has replaced the pins, and what somebody has taken away.
 */

/** programs_attach_eni() - to_wire on the ENI's way out. A link that refuses is logged: services behind it are not judged. */
void programs_attach_eni(struct daemon *d, const struct eni *e);
/**
 * programs_attach_branch() - the same on the way out of a branch's interface, by which its pod reaches services' endpoints: before it is
 * up. Return: 0, -errno.
 */
int programs_attach_branch(struct daemon *d, const struct hostnet_branch *b, struct vw_err *err);
/**
 * programs_judge_node() - after a start, once policies are in force: what DNAT gives to sockets of this node is judged, by netfilter
 * (hostnet_judge_apply()). A kernel that cannot is logged.
 */
void programs_judge_node(struct daemon *d);
/** programs_renew() - after a start: the pods that live run the programs that are pinned now. Nothing to do mostly. */
void programs_renew(struct daemon *d);
/** programs_detach() - for removal: to_wire off @link, and its clsact if nothing else is on it and it is not @busy. Return: 0, -errno. */
int programs_detach(const char *bpf_dir, struct vw_nl *nl, const struct vw_link *link, bool busy, struct vw_err *err);
/**
 * programs_detach_pod() - ours off the veth of a pod that goes on running, whichever way they hang there. Return: 0, -errno.
 */
int programs_detach_pod(const char *bpf_dir, struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err);
/** programs_judge_pod() - ours hang on both sides of this link, either way. Without a daemon. Return: 1, 0, -errno. */
int programs_judge_pod(const char *bpf_dir, struct vw_nl *nl, unsigned int ifindex, const char *ifname, struct vw_err *err);
/**
 * programs_repair() - like hostnet_repair(), for one program. @hung: how it should hang, corrected to how it does. A link that has gone is no
 * failure.
 */
int programs_repair(struct daemon *d, const struct vw_filter *f, enum attach_hung *hung, const struct hostnet_truth *t, struct vw_err *err);
/**
 * programs_repair_pod(), programs_repair_enis() - like hostnet_repair(), for the programs on the two sides of a pod's veth, and on
 * ENIs. By whichever way a program hangs there, clsact or tcx, it is there. @hung: how it should hang, corrected to how it does.
 * Return: 0, -errno.
 */
int programs_repair_pod(struct daemon *d, const struct attachment *a, enum attach_hung *hung, const struct hostnet_truth *t,
			struct vw_err *err);
int programs_repair_enis(struct daemon *d, const struct hostnet_truth *t, struct vw_err *err);
/** programs_repair_branch() - the same for to_wire on a branch's interface; one that is not there is no failure. */
int programs_repair_branch(struct daemon *d, const struct hostnet_branch *b, const struct hostnet_truth *t, struct vw_err *err);
/**
 * programs_look_tcx() - @missing for each pod whose programs should hang by tcx and one does not; the kernel has no event for that.
 * Two system calls of 0.25 us for each such pod. Return: how many pods' programs hang, or should, by tcx.
 */
unsigned int programs_look_tcx(struct daemon *d, void (*missing)(struct daemon *d, const struct attachment *a));
