#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the daemon's hold on the eBPF side
 *
 * Programs and maps are pinned under <bpf_dir>/v<NP_ABI>/, so that the plugin can attach them and pods
 * keep working while
 * the daemon is away. A pinned map is reused only if type, key, value and size are as expected, and what
 * is read from
 * it is checked like any other foreign input. A program that differs from ours is replaced under the
 * same path.
 */
struct np;

/** enum np_map - the maps. What they hold: np_policy.h and np_abi.h. M: mapped memory. S: its size may be chosen. */
enum np_map {
	NP_M_SLOTS,     /* M struct np_slot */
	NP_M_ARENA,     /* M struct np_line */
	NP_M_IDENTS,    /* M struct np_ident */
	NP_M_PORTS,     /* M struct np_line */
	NP_M_CONF,      /* M struct np_conf, one */
	NP_M_RT,        /* M struct np_rt */
	NP_M_CLOCK,
	NP_M_JOURNAL,   /* M struct np_journal */
	NP_M_RULE_KEYS, /* M __u64 */
	NP_M_DROPS,     /* per CPU */
	NP_M_STATS,     /* per CPU */
	NP_M_COUNTS,    /* per CPU struct np_count */
	NP_M_IP4,       /* S */
	NP_M_IP6,       /* S */
	NP_M_CIDR4,     /* S */
	NP_M_CIDR6,     /* S */
	NP_M_CT,        /* M struct np_ct_group; S */
	NP_M_CT_LOCKS,  /* as many as NP_M_CT */
	NP_M_FRAG,      /* S */
	NP_M_FQDN4,     /* S */
	NP_M_FQDN6,     /* S */
	NP_M_DNS,       /* S */
	NP_M_EVENTS,    /* S, bytes: a power of 2, at least a page */
	NP_M_TAILS,
	NP_M_SCRATCH,
	NP_M_DNS_WORK,
	NP_M_ADOPTED,
	NP_MAPS,
};

/**
 * struct np_sizes - entries of maps marked S by enum np_map; 0 = as in np_policy.h. @ct_locks: flows are opened under locks although
 * the kernel could do without (Linux 5.12): for tests.
 */
struct np_sizes {
	unsigned int max[NP_MAPS];
	bool ct_locks;
};

/**
 * np_open() - load, or take over what is pinned.
 * @bpf_dir: on a bpf file system, created if need be. @sizes: NULL = all as in np_policy.h. A pinned map of another size is
 * replaced by an empty one. A new np_conf gets defaults: no flags, a random key.
 * Return: 0; -EINVAL: not on a bpf file system (the message says what
 * to mount), or a size for a map that has none to choose; -EPERM; -EOPNOTSUPP: the kernel refused the programs or a map (the
 * message says what it lacks, or its last words); -errno.
 */
int np_open(const char *bpf_dir, const struct np_sizes *sizes, struct np **ret_np, struct vw_err *err);
/** np_close() - pins stay. Accepts NULL. Return: NULL. */
struct np *np_close(struct np *np);
/**
 * np_unpin() - remove all that np_open() pinned under @bpf_dir, of any version; absent is fine. For
 * removal of vpcwire.
 */
int np_unpin(const char *bpf_dir, struct vw_err *err);
/**
 * np_unpin_former() - remove what another version (NP_ABI) pinned under @bpf_dir, and replaced programs of this one, once no link has
 * them any more: their maps go with them.
 */
int np_unpin_former(const char *bpf_dir, struct vw_err *err);

/**
 * np_from_pod_path(), np_to_pod_path(), np_to_wire_path() - where the program for the host veth's ingress, the host veth's
 * egress, an ENI's egress is pinned. Owned by @np.
 */
const char *np_from_pod_path(const struct np *np);
const char *np_to_pod_path(const struct np *np);
const char *np_to_wire_path(const struct np *np);
/** np_from_pod_fd(), ... - the same as an fd, owned by @np: to attach it to the links that exist. */
int np_from_pod_fd(const struct np *np);
int np_to_pod_fd(const struct np *np);
int np_to_wire_fd(const struct np *np);
/** np_at_node_fd() - for netfilter's input: a socket filter; @family: 4 or 6. Owned by @np. */
int np_at_node_fd(const struct np *np, int family);
/**
 * np_replaced() - a pinned program or a map was replaced (first start, upgrade): attach all programs again to every
 * living link.
 */
bool np_replaced(const struct np *np);


/**
 * struct np_formers - programs that other builds have left pinned and links may still have: as fds. A replaced program stays pinned, as
 * <name>_f<id>, until np_unpin_former(): tcx exchanges a program only for one that is held, and a start may be killed before it has.
 */
#define NP_FORMERS_MAX 32
struct np_formers {
	int from_pod[NP_FORMERS_MAX], to_pod[NP_FORMERS_MAX], to_wire[NP_FORMERS_MAX];
	unsigned int n_from_pod, n_to_pod, n_to_wire;
};
/** np_formers_open() - those of this and of any other version. @ret_formers: np_formers_close() ends it, after a failure too. */
int np_formers_open(const struct np *np, struct np_formers *ret_formers, struct vw_err *err);
void np_formers_close(struct np_formers *formers);

/** np_map_name() - "np_slots", ...: name of the map and of its pin. */
const char *np_map_name(enum np_map map);
/** np_map_fd() - owned by @np. */
int np_map_fd(const struct np *np, enum np_map map);
/** np_map_max() - entries that it can have (np_events: bytes). */
unsigned int np_map_max(const struct np *np, enum np_map map);
/** np_map_kept() - its content is what an earlier process left; else it was made, empty, by np_open(). */
bool np_map_kept(const struct np *np, enum np_map map);
/**
 * np_map_mem() - the mapped memory of a map marked M: an array of the structure that enum np_map names, shared with the
 * programs, valid until np_close(). NULL for others.
 */
void *np_map_mem(const struct np *np, enum np_map map);

/** np_tick() - what the programs take for now: CLOCK_MONOTONIC ns >> NP_TICK_SHIFT. */
uint32_t np_tick(void);

/** struct np_pod_conf - a slot's content. @ip4, @ip6: family 0 = none; at least one is set. @eni: 0..127. */
struct np_pod_conf {
	struct vw_ip ip4, ip6;
	unsigned int eni;
};

/**
 * np_slot_publish() - before the veth with ifindex NP_IFINDEX_BASE + @slot exists. Published again with the same content it
 * changes nothing; with another one the slot is empty in between. The policy in force (np_slot.pub) is not touched: a slot
 * that was cleared has none until the publisher says so. -EINVAL, -ERANGE.
 */
int np_slot_publish(struct np *np, unsigned int slot, const struct np_pod_conf *pod, struct vw_err *err);
/** np_slot_clear() - from here on every packet of that veth is dropped, those under way too unless its policy lets them through. */
int np_slot_clear(struct np *np, unsigned int slot, struct vw_err *err);
/** np_slot_get() - Return: 1 = in use, 0 = empty, -EBADMSG = holds nonsense, -errno. */
int np_slot_get(struct np *np, unsigned int slot, struct np_pod_conf *ret_pod, struct vw_err *err);
/**
 * np_adopt() - the host veth with index @ifindex, which others made, is slot @slot's. np_disown() - no more. np_adopted_end() - none but those that
 * @keep says so of. Return: 0, -ERANGE, -errno.
 */
int np_adopt(struct np *np, unsigned int ifindex, unsigned int slot, struct vw_err *err);
int np_disown(struct np *np, unsigned int ifindex, struct vw_err *err);
int np_adopted_end(struct np *np, bool (*keep)(unsigned int ifindex, unsigned int slot, void *arg), void *arg, struct vw_err *err);
/** np_slot_pickup() - for @seconds from now flows of @slot that are under way may be picked up in mid-stream; 0 = no more. */
int np_slot_pickup(struct np *np, unsigned int slot, unsigned int seconds, struct vw_err *err);

/** np_drops() - packets dropped since the map was made, all CPUs, by enum np_drop. */
int np_drops(struct np *np, uint64_t ret_drops[NP_DROP_MAX], struct vw_err *err);
/** np_drop_name() - "no_slot", "truncated", ...: for metrics; NULL when out of range. */
const char *np_drop_name(unsigned int reason);
/** np_stats() - what happened since the map was made, all CPUs, by enum np_stat. */
int np_stats(struct np *np, uint64_t ret_stats[NP_STAT_MAX], struct vw_err *err);
/** np_stat_name() - "ct_full", ...: for metrics; NULL when out of range. */
const char *np_stat_name(unsigned int stat);
/** np_rule_count() - packets and bytes that were judged by rule @id, all CPUs. Return: 0, -ERANGE, -ENOMEM, -errno. */
int np_rule_count(struct np *np, unsigned int id, struct np_count *ret);
