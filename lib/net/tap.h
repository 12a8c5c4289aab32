#pragma once

#include <stdint.h>

struct vw_err;

/**
 * vw_tap_add() - a tap that stays when nobody has it open, in the calling thread's network namespace: whole frames, each behind a
 * virtio-net header, as VMMs open it (Firecracker: devices/src/virtio/net/tap.rs). Delete it like any link.
 * @owner, @group: the user and the group who may open it, both where both are given (tun_not_capable(), drivers/net/tun.c);
 *                 -1 = not given; neither: root alone. Whoever has CAP_NET_ADMIN over the namespace always may.
 * Return: 0; -EBUSY (somebody has it open); -ENOENT, -ENODEV, -ENXIO (no tun driver, or no /dev/net/tun; the message says so); -errno.
 */
int vw_tap_add(const char *ifname, int64_t owner, int64_t group, struct vw_err *err);
