#pragma once

#include <stdint.h>

struct vw_err;

/**
 * vw_tap_add() - a tap that stays when nobody has it open, in the calling thread's network namespace: whole frames, each behind a
 * virtio-net header, as VMMs open it (Firecracker: devices/src/virtio/net/tap.rs). Delete it like any link.
 * @owner: the user who may open it; -1 = root alone. Return: 0, -EBUSY (somebody has it open), -ENOENT (no tun driver), -errno.
 */
int vw_tap_add(const char *ifname, int64_t owner, struct vw_err *err);
