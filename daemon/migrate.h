#pragma once

#include <stddef.h>

struct vw_err;
struct vwired_config;

/**
 * DOC: from aws-node to vpcwire and back, on a node whose pods go on running
 *
 *   aws-node stopped -> migrate_from() -> vpcwired started -> migrate_from_done()
 *   vpcwired stopped -> migrate_to()   -> aws-node started -> migrate_to_done()
 *
 * Each first half only adds: beside what routes a pod's packets stands, for a while, what will do so from then on. Each second half
 * checks that it stands and takes the former away. All four may be called again. docs/MIGRATION.md is for people.
 * Source of what aws-node has on a node: amazon-vpc-cni-k8s v1.23, cmd/routed-eni-cni-plugin/driver, pkg/networkutils.
 */

/**
 * struct migrate_report - for the operator. @done: pods, or objects taken away. @known: pods that were taken over before. @gone: without interface.
 * @filters, @pins: of aws-node's policy agent, taken away.
 */
struct migrate_report {
	size_t done, known, gone, filters, pins;
};

/**
 * migrate_from() - record the pods of aws-node's checkpoint @path as ours. No vpcwired runs. A pod without interface is left out, as aws-node
 * does. Waits until the file is ip_cooldown_s old: addresses that may rest are not in it. Return: 0; -EADDRINUSE (a vpcwired runs), -EBADMSG, -EOPNOTSUPP (pods that cannot be taken over: nothing was changed), -errno.
 */
int migrate_from(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err);
/**
 * migrate_from_done() - take away aws-node's rules, its routes to pods, and what its policy agent has on their interfaces and in
 * MIGRATE_NPA_PINS; vpcwired serves. iptables: deploy/migrate/aws-iptables.
 * Return: 0; -EBUSY: a pod has only aws-node's way or nothing of ours judges it (nothing was changed), -errno.
 */
#define MIGRATE_NPA_PINS "/sys/fs/bpf/globals/aws"      /* aws-ebpf-sdk-go, pkg/utils: programs/ and maps/ are in it */
int migrate_from_done(const struct vwired_config *cfg, struct migrate_report *ret, struct vw_err *err);
/**
 * migrate_to() - aws-node's rules and routes for all pods, and its checkpoint to @path. No vpcwired runs. Waits until no address rests any more,
 * since aws-node would not know. Return: 0, -EADDRINUSE,
 * -EOPNOTSUPP (pods that aws-node would not know what to do with: nothing was changed), -errno.
 */
int migrate_to(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err);
/** migrate_to_done() - all of ours off the node but the pods' interfaces; aws-node serves. Return: 0, -EBUSY as above, -errno. */
int migrate_to_done(const struct vwired_config *cfg, struct migrate_report *ret, struct vw_err *err);
