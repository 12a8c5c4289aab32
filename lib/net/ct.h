#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: connection tracking of the calling thread's network namespace
 *
 * An entry outlives the pod that it is about, and what still matches it (a retransmission, a client of a node port) is
 * translated to the pod's address, whoever has that now. So the entries go with the pod.
 */

/**
 * vw_ct_purge() - delete every entry in which one of @ips sent or is who answers, translated or not.
 * In a long table up to VW_CT_FILTERED addresses are looked for by the kernel (two walks over all namespaces' table for each,
 * no copies; 5.8 and up); more, an older kernel, or a namespace with few entries, is one dump that is looked through here. One
 * without any asks nothing.
 * Return: how many were deleted (those that went meanwhile do not count), -EINVAL or -EPROTONOSUPPORT (a kernel without
 * nf_conntrack_netlink), -errno.
 */
int vw_ct_purge(const struct vw_ip *ips, size_t n, struct vw_err *err);
/** vw_ct_purge_if() - the same for all addresses of which @gone says so: one dump. */
int vw_ct_purge_if(bool (*gone)(const struct vw_ip *ip, const void *arg), const void *arg, struct vw_err *err);

/**
 * vw_ct_purge_to() - delete every entry that was sent to @port of @dst by protocol @proto (IPPROTO_*): flows that began before the port led
 * anywhere, or elsewhere. One dump. Return: as vw_ct_purge().
 */
int vw_ct_purge_to(const struct vw_ip *dst, uint8_t proto, uint16_t port, struct vw_err *err);

#define VW_CT_FILTERED 4
#define VW_CT_FEW 1000          /* entries that are copied sooner than the table is walked twice (13 ms for 2^18 buckets) */
