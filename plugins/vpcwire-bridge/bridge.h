// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/eni/state.h"
#include "lib/net/link.h"
#include "lib/net/nftnl.h"
#include "lib/net/nl.h"
#include "plugins/vpcwire-bridge/bridge_conf.h"

struct eni_link;
struct vw_cni_call;
struct vw_err;
struct vw_pod_net;

/**
 * DOC: a bridge
 *
 * One for each ENI, in the namespace that the first ADD named (the host's, or bridgeNetNSPath). Containers hang on its
 * ports and are routed. Everything of it can be told from its ENI's MAC:
 *
 *   link      vbr<MAC>, alias "vpcwire-bridge:<MAC>"
 *   rules     1499  lookup C                    the containers' host routes, for whoever looks
 *             1500  iif vbr<MAC> lookup T       out by the ENI, whatever the host's own way is
 *             1500  from <ENI's address> lookup T
 *   tables    C = 0x57000000 + 2h, T = C + 1; h = 22 bits of the MAC's hash
 *   nftables  inet vpcwire-vbr<MAC>
 *
 * Rules and routes carry protocol VW_RTPROT_BRIDGE. A file of the bridge (struct eni_state under <stateDir>/bridges) is written
 * before anything is made and removed when all is gone; it belongs to whoever holds the bridge's lock.
 */
#define PLUGIN_NAME  "vpcwire-bridge"
#define BR_PRIO_PODS 1499
#define BR_PRIO_ENI  1500
#define BR_NAME_MAX  48                 /* of an nftables table: "vpcwire-" and an interface's name */
#define BR_DYING     0x56575742u        /* IFLA_GROUP of host ends that wait for their delete: "VWWB" */

/** struct br_names - what a bridge's objects are called. */
struct br_names {
	char bridge[IFNAMSIZ];
	char alias[VW_IFALIAS_MAX];
	char nft[BR_NAME_MAX];
	struct vw_mac mac;      /* of the bridge: what containers know as their gateway's */
	uint32_t table_pods, table_eni;
};
void br_names_of(const struct vw_mac *eni, struct br_names *ret);
/** br_host_end() - name and alias of an attachment's end on the bridge; its MAC inside the container. */
void br_host_end(const struct vw_attach_key *key, char ret_name[IFNAMSIZ], char ret_alias[VW_IFALIAS_MAX], struct vw_mac *ret_mac);
/** br_key() - under which a bridge is remembered. */
void br_key(const struct vw_mac *eni, struct vw_attach_key *ret);

/* --- lock.c */

/** br_lock() - wait until nobody else works on the bridge of this ENI. Return: fd, the lock as long as it is open; -errno. */
int br_lock(const char *state_dir, const struct vw_mac *eni, struct vw_err *err);

/* --- place.c: where a bridge is */

/**
 * struct br_place - the namespaces and sockets of one call.
 * @host_fd, @host: the calling thread's own. @fd, @nl, @nft: the bridge's; @fd < 0: that namespace is gone.
 */
struct br_place {
	int host_fd, fd;
	struct vw_nl host, nl, nft;
};
#define BR_PLACE_INIT { .host_fd = -EBADF, .fd = -EBADF, .host = VW_NL_INIT, .nl = VW_NL_INIT, .nft = VW_NL_INIT }
void br_place_done(struct br_place *p);
/** br_place_open() - @path: "" = the host. Fails when it is no namespace (VW_CNI_INVALID_CONFIG). */
int br_place_open(const char *path, struct br_place *ret, struct vw_err *err);
/** br_place_of() - of a bridge that is remembered; one whose namespace is gone is no error. */
int br_place_of(const struct eni_state *br, struct br_place *ret, struct vw_err *err);

/* --- make.c: the bridge itself. In the bridge's namespace, under its lock. */

/**
 * br_make() - everything of the bridge whose file is written; the ENI is in the namespace. Repeatable.
 * @newcomer: whoever comes next; its ports and addresses are not among those that are put back.
 */
int br_make(struct br_place *p, const char *state_dir, const struct eni_state *br, const struct vw_attach_key *newcomer,
	    struct vw_err *err);
/**
 * br_unmake() - everything of it away and the ENI back to where it was; then the file. Repeatable.
 */
int br_unmake(struct br_place *p, const char *state_dir, const struct eni_state *br, struct vw_err *err);
/** br_is_whole() - Return: 1, 0 with @why (VW_CNI_CHECK_FAILED), -errno. @ret_bridge: the link. */
int br_is_whole(struct br_place *p, const struct eni_state *br, struct vw_link *ret_bridge, struct vw_err *why);
/** br_bridges_dir() - where the bridges' files are. */
int br_bridges_dir(const char *state_dir, char ret[VW_PATH_MAX], struct vw_err *err);

/* --- nat.c */

/** br_nat_make() - append the table to a transaction, in the place of one that is there; empty sets. */
void br_nat_make(struct vw_nl_batch *b, const struct eni_state *br);
/** br_nat_add() - append a container's elements. */
void br_nat_add(struct vw_nl_batch *b, const struct eni_state *br, const struct eni_state *st);
/** br_nat_remove() - those of a container that are there. Return: 0, -errno. */
int br_nat_remove(struct vw_nl *nft, const struct eni_state *br, const struct eni_state *st, struct vw_err *err);
/** br_nat_check() - table and elements. Return: 0, -errno with VW_CNI_CHECK_FAILED. @st: NULL = the table alone. */
int br_nat_check(struct vw_nl *nft, const struct eni_state *br, const struct eni_state *st, struct vw_err *err);

/* --- attach.c: one container on a bridge. In the bridge's namespace, under its lock. */

int br_attach(struct br_place *p, const struct eni_state *br, const struct eni_state *st, int pod_netns, struct vw_link *ret_end,
	      struct vw_err *err);
/** br_detach() - its routes and ports away; its end is among the dying, which br_reap() deletes. */
int br_detach(struct br_place *p, const struct eni_state *br, const struct eni_state *st, struct vw_err *err);
/** br_reap() - delete all that is dying in the namespace, in one request. Without the bridge's lock: others bring more meanwhile. */
int br_reap(struct br_place *p, const char *state_dir, struct vw_err *err);
/** br_forget() - the tracked connections of its addresses. Without the lock: as long as its file is there, nobody gets them. */
int br_forget(struct br_place *p, const struct eni_state *st, struct vw_err *err);

/* --- tap.c: a microVM's way in: a tap under CNI_IFNAME and the pair's inner end, on a bridge in the container */

/** br_tap_names() - of the pair's inner end and of that bridge. */
void br_tap_names(const struct vw_attach_key *key, char ret_peer[IFNAMSIZ], char ret_bridge[IFNAMSIZ]);
/** br_tap_make() - the calling thread is in the container's namespace, and so is @pod. */
int br_tap_make(struct vw_nl *pod, const struct eni_state *st, int64_t owner, struct vw_err *err);
/** br_tap_check() - likewise. */
int br_tap_check(struct vw_nl *pod, const struct eni_state *st, struct vw_err *err);
/** br_tap_remove() - from the namespace that ADD saw, if it is still there. */
int br_tap_remove(const struct eni_state *st, struct vw_err *err);

/* --- clash.c */

/** br_refuse_clashes() - an address or port of @st is another container's behind the same ENI: VW_CNI_TRY_AGAIN, and who has it. */
int br_refuse_clashes(const char *state_dir, const struct eni_state *st, struct vw_err *err);

/* --- the verbs */

/** br_read() - the bridge of an ENI. br_find() - by MAC or name, as a configuration has it. Return: 1, 0 = there is none, -errno. */
int br_read(const char *state_dir, const struct vw_mac *eni, struct eni_state *ret, struct vw_err *err);
int br_find(const struct br_conf *conf, struct eni_state *ret, struct vw_err *err);

void br_key_of(const struct vw_cni_call *call, struct vw_attach_key *ret);
struct vw_pod_net br_net_of(const struct eni_state *st, const struct vw_mac *gw_mac, unsigned int ifindex);
/**
 * br_remove() - an attachment, and with the last one its bridge. Takes the bridge's lock, unless @locked.
 * Return: 0, also when all is gone already.
 */
int br_remove(const char *state_dir, const struct eni_state *st, bool locked, struct vw_err *err);

int br_add(struct vw_cni_call *call, struct vw_err *err);
int br_check(struct vw_cni_call *call, struct vw_err *err);
int br_del(struct vw_cni_call *call, struct vw_err *err);
int br_status(struct vw_cni_call *call, struct vw_err *err);
int br_gc(struct vw_cni_call *call, struct vw_err *err);
void br_undo(struct vw_cni_call *call);
