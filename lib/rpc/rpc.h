#pragma once

#include "lib/base/ip.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_buf;
struct vw_err;
struct vw_json;

/**
 * DOC: plugin <-> daemon
 *
 * A SOCK_SEQPACKET socket, one JSON object per packet, at most VW_RPC_MAX bytes, root peers only (SO_PEERCRED on
 * both sides). One request, one reply, then close. Every request carries {"op":..., "vmin":1, "vmax":1}; the daemon
 * answers with the highest version both speak in "v". A failure is {"v":1,"error":{"errno":N,"cni":N,"msg":"..."}}.
 * docs/RPC.md shows every message.
 * The answer to a query may be larger than a packet: then it comes as a sealed memfd beside {"v":1,"large":true}.
 */
#define VW_RPC_MAX (64 * 1024)
#define VW_RPC_VERSION_MIN 1
#ifndef VW_RPC_VERSION_MAX      /* the upgrade's test builds a release with another one */
#define VW_RPC_VERSION_MAX 1
#endif
#define VW_RPC_DEFAULT_SOCKET "/run/vpcwire/vpcwired.sock"

#define VW_ID_MAX 320           /* container id, network name, pod name and namespace: with NUL */
#define VW_PATH_MAX 512         /* netns path, pin path: with NUL */
#define VW_QUERY_MAX 32         /* name of a query: with NUL */
#define VW_RPC_LARGE_MAX (64 * 1024 * 1024) /* bytes of an answer that comes as a memfd */

enum vw_rpc_op { VW_RPC_ADD, VW_RPC_DEL, VW_RPC_CHECK, VW_RPC_STATUS, VW_RPC_GC, VW_RPC_INFO, VW_RPC_QUERY, VW_RPC_DRAIN };

/** struct vw_attach_key - one attachment: a container's one interface. */
struct vw_attach_key {
	char container_id[VW_ID_MAX];
	char ifname[IFNAMSIZ];
};

/** vw_attach_key_eq() - both name the same attachment. */
bool vw_attach_key_eq(const struct vw_attach_key *a, const struct vw_attach_key *b);

#define VW_ATTACH_FILE_MAX 192  /* name of a file about an attachment, with NUL */

/**
 * vw_attach_file() - a file name that no other attachment has: readable, and with a hash for ids too long for a name.
 * Ends in ".json". Neither "." nor a temp file's.
 */
void vw_attach_file(const struct vw_attach_key *key, char ret[VW_ATTACH_FILE_MAX]);
/** vw_attach_is_file() - whether a name in such a folder is one of these (a temp file's is not). */
bool vw_attach_is_file(const char *name);

enum vw_attach_mode { VW_ATTACH_CLSACT, VW_ATTACH_TCX };

/**
 * struct vw_rpc_req - a request of any kind; what a kind does not use is zero.
 * @key:         ADD, DEL, CHECK.
 * @netns:       ADD, CHECK: path of the pod's namespace. DEL: the same or "".
 * @network:     the conflist's name. ADD, DEL, GC.
 * @pod_*:       from CNI_ARGS, "" outside Kubernetes. ADD.
 * @deadline_ms: how long the caller waits; the daemon gives up a little earlier. ADD.
 * @want:        ADD: addresses that the attachment is to have, @n_want of them, at most one of each family. @want_optional: any
 *               others will do as well.
 * @mtu, @attach: ADD: what the plugin's configuration says instead of the daemon's: 0 = nothing, @own_attach false = nothing.
 * @failed:      DEL: an ADD undoes itself (the address was never used: no cool-down).
 * @valid:       GC: attachments that live, @n_valid of them; NULL with @valid_unknown when the runtime sent none.
 * @off:         DRAIN: no longer.
 * @what, @args: QUERY: what an operator asks ("policy-status") and an object with the particulars, or NULL. Encoding borrows
 *               @args; decoding makes the caller its owner (vw_rpc_req_done()).
 */
struct vw_rpc_req {
	enum vw_rpc_op op;
	unsigned int vmin, vmax;
	struct vw_attach_key key;
	char netns[VW_PATH_MAX];
	char network[VW_ID_MAX];
	char pod_namespace[VW_ID_MAX], pod_name[VW_ID_MAX], pod_uid[VW_ID_MAX];
	unsigned int deadline_ms;
	struct vw_ip want[2];
	unsigned int n_want;
	bool want_optional;
	unsigned int mtu;
	bool own_attach;
	enum vw_attach_mode attach;
	bool failed;
	struct vw_attach_key *valid;
	size_t n_valid;
	bool valid_unknown;
	bool off;
	char what[VW_QUERY_MAX];
	struct vw_json *args;
};

/**
 * struct vw_rpc_wiring - how an attachment is wired: the answer to ADD and CHECK.
 * @existing:     the key had this address before the request.
 * @addr:         host prefixes (/32, /128), IPv4 first, @n_addr of them (1 or 2).
 * @egress:       per address: it is only for the way out in a family that the pod does not have otherwise, and not in the result.
 * @gateway:      per address: 169.254.1.1 or fe80::1, reached on-link through a permanent neighbour @host_mac.
 * @mtu:          of both ends.
 * @host_ifname, @host_ifindex, @host_mac, @pod_mac: given at creation. The index is VW_IFINDEX_BASE + slot, so that
 *                programs know the slot from skb->ifindex before the link exists.
 * @slot:         pod slot, 0-based.
 * @pods_table:   routing table that the pod's host routes go into. @apart: one of its own, where only packets of its branch ENI look.
 * @adopted:      others made the interfaces: @pod_mac is not the one that the pod has.
 * @eni_id, @eni_ifname: where its traffic leaves. For people.
 * @pin_from_pod, @pin_to_pod: pinned programs for the host end's ingress and egress; "" = none.
 */
struct vw_rpc_wiring {
	bool existing;
	struct vw_cidr addr[2];
	bool egress[2];
	struct vw_ip gateway[2];
	unsigned int n_addr;
	unsigned int mtu;
	char host_ifname[IFNAMSIZ];
	unsigned int host_ifindex;
	struct vw_mac host_mac, pod_mac;
	unsigned int slot;
	unsigned int pods_table;
	bool apart;
	bool adopted;
	char eni_id[32];
	char eni_ifname[IFNAMSIZ];
	enum vw_attach_mode attach;
	char pin_from_pod[VW_PATH_MAX], pin_to_pod[VW_PATH_MAX];
};

#define VW_IFINDEX_BASE 0x20000000u     /* far above what the kernel hands out by counting from 1 */
#define VW_GROUP_PODS 0x56570001u       /* IFLA_GROUP of every pod's host end: how nftables knows them */

/** struct vw_rpc_status - the answer to STATUS. @cni: 0, 50 or 51; @msg: the cause and what to do. */
struct vw_rpc_status {
	int cni;
	char msg[512];
};

/* --- messages: struct <-> JSON. Decoding checks lengths, ranges and required keys and names what is wrong. */
int vw_rpc_req_encode(const struct vw_rpc_req *req, struct vw_buf *buf, struct vw_err *err);
/** vw_rpc_req_decode() - @ret_req->valid and @args are owned by the caller: vw_rpc_req_done(). */
int vw_rpc_req_decode(const char *text, size_t len, struct vw_rpc_req *ret_req, struct vw_err *err);
void vw_rpc_req_done(struct vw_rpc_req *req);
/** vw_rpc_version_of() - of a decoded request: the highest version that both speak, in which it is answered. The encoders' @v. */
unsigned int vw_rpc_version_of(const struct vw_rpc_req *req);
int vw_rpc_wiring_encode(unsigned int v, const struct vw_rpc_wiring *w, struct vw_buf *buf, struct vw_err *err);
int vw_rpc_wiring_decode(const struct vw_json *reply, struct vw_rpc_wiring *ret_w, struct vw_err *err);
int vw_rpc_status_encode(unsigned int v, const struct vw_rpc_status *st, struct vw_buf *buf, struct vw_err *err);
int vw_rpc_status_decode(const struct vw_json *reply, struct vw_rpc_status *ret_st, struct vw_err *err);
/** vw_rpc_ok_encode() - the empty success (DEL, GC). vw_rpc_error_encode() - a failure. */
int vw_rpc_ok_encode(unsigned int v, struct vw_buf *buf, struct vw_err *err);
int vw_rpc_error_encode(unsigned int v, const struct vw_err *failure, struct vw_buf *buf, struct vw_err *err);
/** vw_rpc_result_encode() - {"v":1,"result":...}: the answer to a query, of up to VW_RPC_LARGE_MAX bytes. */
int vw_rpc_result_encode(unsigned int v, struct vw_json *take_result, struct vw_buf *buf, struct vw_err *err);
/**
 * vw_rpc_reply_decode() - a reply of any kind.
 * Return: 0 and the object in @ret_reply (free it); a reply that holds "error" is returned as that error; -EPROTO for
 * what is no reply or of a version that we do not speak.
 */
int vw_rpc_reply_decode(const char *text, size_t len, struct vw_json **ret_reply, struct vw_err *err);

/* --- client */
/**
 * vw_rpc_call() - connect, send @req, wait for the reply, close.
 * @deadline_ms: absolute, vw_mono_ms() scale, for everything together.
 * @ret_reply:   the decoded reply object (free it); a reply that holds "error" becomes @err with its errno and code.
 * Tells apart: daemon absent (ENOENT, ECONNREFUSED -> eno ECONNREFUSED, code 11, "is vpcwired running?"), busy or too
 * slow (ETIMEDOUT, 11), not ours (EPERM, EPROTO, 102). Where the daemon itself says ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT or EPERM
 * (EC2 refused, a netlink request was not answered), errno is EREMOTEIO instead; its code and message stay.
 */
int vw_rpc_call(const char *socket_path, const struct vw_rpc_req *req, uint64_t deadline_ms,
		struct vw_json **ret_reply, struct vw_err *err);
/**
 * vw_rpc_call_again() - vw_rpc_call() for a request that may be made twice (the daemon answers an ADD of the same key alike): one
 * that finds no daemon, or none that lives to answer it, is made again until one has been away for @away_ms. What an upgrade takes.
 */
int vw_rpc_call_again(const char *socket_path, const struct vw_rpc_req *req, uint64_t deadline_ms, unsigned int away_ms,
		      struct vw_json **ret_reply, struct vw_err *err);

/* --- server */
/**
 * vw_rpc_listen() - bind and listen. Takes "<path>.lock" (flock, held while the returned *ret_lock_fd is open) first, so
 * that a second daemon fails with EADDRINUSE and never steals the socket. Mode 0600.
 * Return: the listening fd (non-blocking), -errno.
 */
int vw_rpc_listen(const char *socket_path, int *ret_lock_fd, struct vw_err *err);
/** vw_rpc_peer_is_root() - SO_PEERCRED of a connected fd: root, or (for tests without root) our own user. */
bool vw_rpc_peer_is_root(int fd);

/**
 * vw_rpc_send() - one reply, as a packet or, when it is too large for one, as a memfd.
 * Never blocks: a packet goes into an empty socket buffer. Return: 0, -errno (-EPIPE, -ECONNRESET: the peer has gone).
 */
int vw_rpc_send(int fd, const struct vw_buf *message);

/* --- tombstones: DELs that found no daemon, kept in <dir of the socket>/tombstones/ until it starts */
int vw_tombstone_write(const char *socket_path, const struct vw_rpc_req *del, struct vw_err *err);
/** vw_tombstone_exists() - Return: 1, 0, -errno. */
int vw_tombstone_exists(const char *socket_path, const struct vw_attach_key *key, struct vw_err *err);
/** vw_tombstone_remove() - the DEL reached a daemon after all. Return: 1, 0 when there was none, -errno. */
int vw_tombstone_remove(const char *socket_path, const struct vw_attach_key *key, struct vw_err *err);
/**
 * vw_tombstone_replay() - call @fn for each; a file goes when @fn returns 0 or is unreadable as a request.
 * Return: how many were handed to @fn, -errno.
 */
int vw_tombstone_replay(const char *socket_path, int (*fn)(const struct vw_rpc_req *del, void *arg), void *arg,
			struct vw_err *err);
