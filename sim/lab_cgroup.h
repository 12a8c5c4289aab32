// SPDX-License-Identifier: Apache-2.0
#pragma once

struct vw_err;

/**
 * lab_cgroup_cover() - in the calling process's mount namespace, put a new cgroup of this node's own at the
 * mount point of every cgroup hierarchy below /sys/fs/cgroup (v1, v2 or both). Hierarchies that cannot be
 * written stay. Return: 0, -errno.
 */
int lab_cgroup_cover(const char *id, const char *node, struct vw_err *err);
/** lab_cgroup_remove() - what lab @id's nodes had. All its processes must have ended. */
void lab_cgroup_remove(const char *id);
