#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;

/** struct vw_conf6 - of net.ipv6.conf.<interface>. @known: there is such an interface, and it has IPv6. */
struct vw_conf6 {
	bool known;
	int32_t accept_ra, accept_dad, disable_ipv6;
};

/**
 * vw_conf6_get() - of @n interfaces, asked for and answered together: two system calls for each VW_CONF6_CHUNK of them, where
 * sysctl files would take three each. @ret: @n of them, in the order of @ifindex. Return: 0, -errno.
 */
#define VW_CONF6_CHUNK 8
int vw_conf6_get(struct vw_nl *nl, const unsigned int *ifindex, size_t n, struct vw_conf6 *ret, struct vw_err *err);
