#pragma once

#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: sysctls of the calling thread's network namespace
 *
 * /proc/sys/net shows the namespace of the thread that opens it, so these follow setns. Failures name
 * the path.
 */

/** vw_sysctl_set() - e.g. ("net/ipv4/ip_forward", "1"). Return: 0, -ENOENT, -EROFS, -errno. */
int vw_sysctl_set(const char *key, const char *value, struct vw_err *err);
/** vw_sysctl_get() - value without the final newline. Return: 0, -ENOENT, -ENAMETOOLONG, -errno. */
int vw_sysctl_get(const char *key, char *buf, size_t size, struct vw_err *err);

/**
 * vw_sysctl_if_set() - net/ipv4/conf/<ifname>/<key> or net/ipv6/conf/...
 * @ifname: an interface, "all" or "default"; dots in it are fine, slashes are refused (-EINVAL).
 */
int vw_sysctl_if_set(uint8_t family, const char *ifname, const char *key, const char *value,
		     struct vw_err *err);
int vw_sysctl_if_get(uint8_t family, const char *ifname, const char *key, char *buf, size_t size,
		     struct vw_err *err);
