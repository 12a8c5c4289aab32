// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/eni/eni.h"
#include "lib/eni/state.h"
#include "plugins/vpcwire-eni/eni_conf.h"

struct br;
struct vw_cni_call;
struct vw_err;
struct vw_link;
struct vw_nl;
struct vw_pod_expect;
struct vw_pod_net;

#define PLUGIN_NAME "vpcwire-eni"

/* --- branch.c: a branch ENI, by the tag of its trunk */

/** branch_name() - of the interface on the host that stands for a branch: "<trunk>.<vlan>", as VLAN devices are called. */
void branch_name(const struct vw_link *trunk, unsigned int vlan, char ret[IFNAMSIZ]);
/** branch_make() - the interface of @st, born in the container's namespace. Nothing is left of a failure. */
int branch_make(struct br *br, struct vw_nl *host, const struct eni_state *st, const struct vw_link *trunk, int pod_netns_fd,
		struct vw_err *err);
/** branch_remove() - and what was published of it. Gone is no error. */
int branch_remove(struct vw_nl *host, const char *bpf_dir, const struct eni_state *st, struct vw_err *err);
/** branch_check() - the host's half; @ret_ifindex: of the interface there. */
int branch_check(struct vw_nl *host, const char *bpf_dir, const struct eni_state *st, unsigned int *ret_ifindex, struct vw_err *err);
/** branch_is_free() - nobody has the tag. Fails with VW_CNI_NOT_AVAILABLE and names who has. */
int branch_is_free(struct vw_nl *host, const struct eni_conf *conf, const struct vw_link *trunk, struct vw_err *err);

/* --- guest.c: what a microVM has of a branch ENI, in the container: ENI_IFACE_TAP, ENI_IFACE_MACVTAP */

/** guest_refuse_taken_names() - of the links beside CNI_IFNAME: VW_CNI_TRY_AGAIN. Of ENI_IFACE_VLAN there are none. */
int guest_refuse_taken_names(struct vw_nl *pod, const struct eni_state *st, struct vw_err *err);
/**
 * guest_make() - after branch_make(), on its inner end; all is up. The calling thread is in the container's namespace, and so is
 * @pod. What was done until a failure stays, for guest_remove() and branch_remove().
 */
int guest_make(struct vw_nl *pod, const struct eni_state *st, int64_t uid, int64_t gid, struct vw_err *err);
/** guest_check() - @outer: index of the pair's end on the host. @e: changed. */
int guest_check(struct vw_nl *pod, const struct eni_state *st, unsigned int outer, struct vw_pod_expect *e, struct vw_err *err);
/** guest_remove() - what does not go with the pair. @netns: CNI_NETNS, "" = none. Gone is no error, nor is ENI_IFACE_VLAN. */
int guest_remove(const struct eni_state *st, const char *netns, struct vw_err *err);

/** give_back() - what ADD made goes: a whole ENI to the host (eni_give_back()), a branch away; and the attachment's file. */
int give_back(const struct vw_cni_call *call, struct vw_nl *host, int host_netns_fd, const struct eni_state *st, const char *netns,
	      struct vw_err *err);

/* --- the verbs */

struct vw_pod_net eni_net_of(const struct eni_state *st, unsigned int ifindex);
/** eni_key_of() - of the call. */
void eni_key_of(const struct vw_cni_call *call, struct vw_attach_key *ret);

int eni_add(struct vw_cni_call *call, struct vw_err *err);
int eni_check(struct vw_cni_call *call, struct vw_err *err);
int eni_del(struct vw_cni_call *call, struct vw_err *err);
int eni_status(struct vw_cni_call *call, struct vw_err *err);
int eni_gc(struct vw_cni_call *call, struct vw_err *err);
void eni_undo(struct vw_cni_call *call);
