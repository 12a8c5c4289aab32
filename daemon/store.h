#pragma once

#include "lib/base/ip.h"
#include "lib/rpc/rpc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_buf;

/**
 * DOC: what the daemon must remember across a restart
 *
 * SQLite in <run_dir>/state.db. The folder is a tmpfs and containers do not survive a boot, so nothing needs an
 * fsync (synchronous=OFF; WAL, so that kill -9 at any instant leaves the last committed state). The boot id is stored:
 * another one drops attachments, cooling addresses and intents. Times are CLOCK_BOOTTIME milliseconds.
 * A file of a later schema is used as it is if that says so (meta "schema_min"); one that is damaged or of another schema is moved aside (state.db.bad-<unix time>), never deleted; the daemon then
 * re-learns attachments from the kernel.
 * Used only by the loop's thread.
 */
struct store;

#define STORE_SCHEMA 5         /* 2 to 4 are brought up to date */

/**
 * struct store_branch - a pod's branch ENI (sgp.h). @vlan: 0 = the pod has none. @ip4, @ip6: from the annotation, family 0 = none (not
 * stored: the attachment's own). @gw4: its subnet's router. @trunk: interface index. @eni_id: not stored here.
 */
struct store_branch {
	char eni_id[32];
	struct vw_mac mac;
	struct vw_ip ip4, ip6, gw4;
	unsigned int vlan, trunk;
	bool strict;
};

/**
 * struct store_adopted - a host veth that others made (migrate.h): @ifindex is not VW_IFINDEX_BASE + slot. 0 = it is ours.
 * @mac: of its node end.
 */
struct store_adopted {
	unsigned int ifindex, mtu;
	struct vw_mac mac;
};

/** struct store_attachment - @addr: IPv4, @addr6: IPv6; at least one of them, the other with family 0. */
struct store_attachment {
	struct vw_attach_key key;
	char network[VW_ID_MAX];
	char netns[VW_PATH_MAX];
	char pod_namespace[VW_ID_MAX], pod_name[VW_ID_MAX], pod_uid[VW_ID_MAX];
	struct vw_ip addr, addr6;
	unsigned int slot;
	char host_ifname[IFNAMSIZ];
	char eni_id[32];
	uint64_t created_ms;
	struct store_branch branch;
	struct store_adopted adopted;
};

/**
 * struct store_eni - an ENI as it was last known; lets a restarted daemon serve before IMDS has answered.
 * @number: our own small number of it, fwmark and rule priority (0: primary). @slots: /32s and /28s, owned by the row.
 * @block6: the /80 that pods get IPv6 addresses from, family 0 = none. @ip6: an IPv6 address of its own, likewise.
 */
struct store_eni {
	char id[32];
	char attachment_id[40];
	struct vw_mac mac;
	unsigned int number, device, card;
	bool primary;
	char subnet_id[32];
	struct vw_cidr subnet;
	struct vw_ip primary_ip, ip6;
	struct vw_cidr block6;
	struct vw_cidr *slots;
	size_t n_slots;
};

/** struct store_intent - an EC2 call that was decided; written before the call is sent, gone when its result is in. */
struct store_intent {
	char token[65];
	char kind[16];                  /* "create-eni" */
	char subnet_id[32];
	unsigned int n_prefixes, n_addrs;
	uint64_t created_unix;        /* seconds; part of what EC2 is sent */
};

/**
 * store_open() - open or create.
 * @boot_id: of this boot. @ret_note: "" or one sentence for the log: what was found damaged or dropped and why.
 */
int store_open(const char *path, const char *boot_id, struct store **ret_store, struct vw_buf *ret_note,
	       struct vw_err *err);
void store_close(struct store *s);
/**
 * store_tidy() - fold a log that has grown long into the file, 1 ms in some 200 writes, and drop cool-downs that are over, when all are
 * or a few thousand have been written since: best done while nobody waits.
 */
void store_tidy(struct store *s, uint64_t now_ms);

/** store_adopting() - before the first attachment with an adopted interface is recorded: earlier schemas cannot use the file. */
int store_adopting(struct store *s, struct vw_err *err);
/** store_attach_put() - insert or replace; ends its addresses' cooling, if any, in the same transaction. */
int store_attach_put(struct store *s, const struct store_attachment *a, struct vw_err *err);
/** store_attach_del() - delete @a's row; its addresses cool until @cool_until_ms (0: not) in the same transaction. */
int store_attach_del(struct store *s, const struct store_attachment *a, uint64_t cool_until_ms, struct vw_err *err);
int store_attach_each(struct store *s, int (*fn)(const struct store_attachment *a, void *arg), void *arg,
		      struct vw_err *err);
/** store_cooling_each() - addresses that cool; those past @now_ms are deleted on the way. */
int store_cooling_each(struct store *s, uint64_t now_ms, int (*fn)(const struct vw_ip *ip, uint64_t until_ms, void *arg),
		       void *arg, struct vw_err *err);
int store_eni_put(struct store *s, const struct store_eni *e, struct vw_err *err);
int store_eni_del(struct store *s, const char *id, struct vw_err *err);
int store_eni_each(struct store *s, int (*fn)(const struct store_eni *e, void *arg), void *arg, struct vw_err *err);
int store_intent_put(struct store *s, const struct store_intent *i, struct vw_err *err);
int store_intent_del(struct store *s, const char *token, struct vw_err *err);
int store_intent_each(struct store *s, int (*fn)(const struct store_intent *i, void *arg), void *arg,
		      struct vw_err *err);
/** store_meta_get() - append the text of @key to @ret_value. Return: 1, 0 when absent, -errno. */
int store_meta_get(struct store *s, const char *key, struct vw_buf *ret_value, struct vw_err *err);
int store_meta_put(struct store *s, const char *key, const char *value, struct vw_err *err);
