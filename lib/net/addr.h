#pragma once

#include "lib/base/ip.h"

#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

enum vw_addr_flags {
	VW_ADDR_NODAD = 1 << 0,         /* IPv6: usable at once */
	VW_ADDR_NOPREFIXROUTE = 1 << 1, /* no subnet route in table main */
	VW_ADDR_SECONDARY = 1 << 2,     /* read only */
	VW_ADDR_TENTATIVE = 1 << 3,     /* read only */
	VW_ADDR_PERMANENT = 1 << 4,     /* read only */
};

/**
 * struct vw_addr - an interface's address.
 * @addr:  address with its subnet's length, host bits set.
 * @scope: RT_SCOPE_* (linux/rtnetlink.h); 0 = universe.
 * @flags: enum vw_addr_flags.
 * @dev:   interface name, for messages only; borrowed, may be NULL. NULL in what is read.
 */
struct vw_addr {
	unsigned int ifindex;
	struct vw_cidr addr;
	uint8_t scope;
	unsigned int flags;
	const char *dev;
};

/**
 * vw_addr_add() - EEXIST when there. vw_addr_replace() - as it should be, whatever was there.
 * vw_addr_del() - EADDRNOTAVAIL.
 */
int vw_addr_add(struct vw_nl_batch *b, const struct vw_addr *addr);
int vw_addr_replace(struct vw_nl_batch *b, const struct vw_addr *addr);
int vw_addr_del(struct vw_nl_batch *b, const struct vw_addr *addr);

/**
 * vw_addr_list() - the addresses of one interface, filtered by the kernel; with @ifindex 0 of all, without listing the links
 * (which costs the kernel a look at every pod's namespace for each of them; getifaddrs() does so).
 * @family: AF_INET, AF_INET6, 0 = both.
 * @ret_addrs: array that the caller frees, NULL when empty. Return: how many, -errno.
 */
int vw_addr_list(struct vw_nl *nl, unsigned int ifindex, uint8_t family, struct vw_addr **ret_addrs,
		 struct vw_err *err);
