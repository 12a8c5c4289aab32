#pragma once

#include "daemon/store.h"
#include "lib/base/hash.h"
#include "lib/rpc/rpc.h"
#include "netpolicy-bpf/abi/np_abi.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct hostnet_pod;
struct hostnet_scan;
struct vw_err;

/**
 * DOC: attachments
 *
 * An attachment is a container's interface with an address of the pool, a pod slot and a veth. This module owns the
 * table of attachments and of slots, and keeps four places in step: the pool (who has the address), the eBPF map (what
 * the slot may send), the store (what survives a restart) and the kernel (route and veth). Claiming goes pool -> map ->
 * store -> answer; releasing is the reverse. What fails half-way is undone before the error is returned.
 */

#define ATTACH_MAC_HEAD 0xee50  /* how MACs of veths begin: 12 bits */

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_DYING /* its veth waits to be reaped */ };

/**
 * struct attachment - what the daemon works with; the store's row has more (netns, pod uid). A node may have 737 of them, so
 * names take the room that they need: all point into @text.
 * @key_text: "<container id>/<ifname>", also the pool's key. @network: "" when it was adopted from the kernel.
 * @adopted: its host veth was made by others. @branch: its branch ENI, whose addresses are @addr and @addr6: the pool knows nothing of them.
 * @branch_ends: indexes of the pair of interfaces that stands for it, as sgp_repair() last saw them.
 * @mtu, @hung: how the plugin wires its veth; 0, ATTACH_HUNG_UNKNOWN after a restart, until a comparison has found it out (drift.h).
 * @superseded: a newer sandbox of the same pod has taken its veth's name.
 */
struct attachment {
	UT_hash_handle hh;      /* by key_text */
	const char *key_text, *container_id, *ifname, *network, *pod_namespace, *pod_name;
	struct vw_ip addr, addr6;
	unsigned int slot;
	uint64_t created_ms;
	unsigned int mtu;
	enum attach_hung { ATTACH_HUNG_UNKNOWN, ATTACH_HUNG_CLSACT, ATTACH_HUNG_TCX } hung;
	bool superseded;
	char host_ifname[IFNAMSIZ];
	char eni_id[32];
	struct store_branch branch;
	unsigned int branch_ends[2];
	struct store_adopted adopted;
	char text[];
};

struct attach_table {
	struct attachment *by_key;
	uint8_t slot[NP_SLOTS];     /* enum slot_state */
	unsigned int next_slot;
	unsigned int n;
};

/**
 * attach_add() - the answer to ADD.
 * Return: 0 with *ret_w filled; -EAGAIN: no address is free now, ask again when the pool has changed; -EBUSY: the veth's
 * name or every slot is held by links that are being deleted, ask again after the reap; other -errno: @err is final.
 */
int attach_add(struct daemon *d, const struct vw_rpc_req *req, struct vw_rpc_wiring *ret_w, struct vw_err *err);
/** attach_row() - key, addresses, slot and age of @a; what only the store has is empty. */
struct store_attachment attach_row(const struct attachment *a);
/** attach_host_side() - its veth and its addresses. */
void attach_host_side(const struct attachment *a, struct hostnet_pod *ret);
/** attach_owner() - "<container id>/<ifname>", as the plugin writes it into the veth's alias behind HOSTNET_ALIAS_PREFIX. */
#define ATTACH_OWNER_MAX 256
void attach_owner(const struct attachment *a, char ret[ATTACH_OWNER_MAX]);
/** attach_ifindex() - of its host veth. attach_by_ifindex() - NULL: no pod's. */
unsigned int attach_ifindex(const struct attachment *a);
const struct attachment *attach_by_ifindex(const struct daemon *d, unsigned int ifindex);
/** attach_by_text() - by key_text, as the pool has it. NULL: there is none. */
struct attachment *attach_by_text(const struct daemon *d, const char *text);
/** attach_known() - @key has an attachment. */
bool attach_known(const struct daemon *d, const struct vw_attach_key *key);
/** attach_del() - release @key. Unknown is success. @failed: an ADD undoes itself, the address need not cool. */
int attach_del(struct daemon *d, const struct vw_attach_key *key, bool failed, struct vw_err *err);
/** attach_wiring() - how a known attachment is wired. Return: 0, -ENOENT. */
int attach_wiring(struct daemon *d, const struct vw_attach_key *key, struct vw_rpc_wiring *ret_w, struct vw_err *err);
/**
 * attach_gc() - release what belongs to @req->network and is not in @req->valid; what is not listed but whose network
 * namespace still has its interface up is kept and named in the log (a runtime's empty list at boot must not free
 * addresses in use).
 */
int attach_gc(struct daemon *d, const struct vw_rpc_req *req, struct vw_err *err);
/**
 * attach_restore() - after a start, with what @scan found in the kernel: rows of the store, cooling addresses, then veths of ours that the store does not
 * know (adopted from the kernel), then what is left of those whose attachment is gone (reaped).
 */
int attach_restore(struct daemon *d, const struct hostnet_scan *scan, struct vw_err *err);
/** attach_reaped() - the veth with this index is gone: its slot is free. For hostnet_reap_end(). */
void attach_reaped(unsigned int ifindex, void *daemon);
/** attach_republish() - write every slot to the eBPF map again, e.g. when the ENIs behind the addresses are known. */
void attach_republish(struct daemon *d);
void attach_table_done(struct daemon *d);
