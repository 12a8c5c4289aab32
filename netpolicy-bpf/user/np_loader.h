#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_abi.h"

#include <stdbool.h>
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

/**
 * np_open() - load, or take over what is pinned.
 * @bpf_dir: on a bpf file system, created if need be. Return: 0; -EINVAL: not on a bpf file system (the
 * message says what
 * to mount); -EPERM; -EOPNOTSUPP: the kernel refused the program (its last words are in @err); -errno.
 */
int np_open(const char *bpf_dir, struct np **ret_np, struct vw_err *err);
/** np_close() - pins stay. Accepts NULL. Return: NULL. */
struct np *np_close(struct np *np);
/**
 * np_unpin() - remove all that np_open() pinned under @bpf_dir, of any version; absent is fine. For
 * removal of vpcwire.
 */
int np_unpin(const char *bpf_dir, struct vw_err *err);

/** np_from_pod_path() - where the program for the host veth's ingress is pinned. Owned by @np. */
const char *np_from_pod_path(const struct np *np);
/** np_from_pod_fd() - the same as an fd, owned by @np: to attach it to the veths that exist. */
int np_from_pod_fd(const struct np *np);
/**
 * np_replaced() - the pinned program or a map was replaced (first start, upgrade): attach again to every
 * living veth.
 */
bool np_replaced(const struct np *np);

/** struct np_pod_conf - a slot's content. @ip4, @ip6: family 0 = none; at least one is set. @eni: 0..127. */
struct np_pod_conf {
	struct vw_ip ip4, ip6;
	unsigned int eni;
};

/**
 * np_slot_publish() - before the veth with ifindex NP_IFINDEX_BASE + @slot exists. -EINVAL, -ERANGE,
 * -errno.
 */
int np_slot_publish(struct np *np, unsigned int slot, const struct np_pod_conf *pod, struct vw_err *err);
/** np_slot_clear() - from here on every packet of that veth is dropped. */
int np_slot_clear(struct np *np, unsigned int slot, struct vw_err *err);
/** np_slot_get() - Return: 1 = in use, 0 = empty, -EBADMSG = holds nonsense, -errno. */
int np_slot_get(struct np *np, unsigned int slot, struct np_pod_conf *ret_pod, struct vw_err *err);

/** np_drops() - packets dropped since the map was made, all CPUs, by enum np_drop. */
int np_drops(struct np *np, uint64_t ret_drops[NP_DROP_MAX], struct vw_err *err);
/** np_drop_name() - "no_slot", "truncated", ...: for metrics; NULL when out of range. */
const char *np_drop_name(unsigned int reason);
