// SPDX-License-Identifier: Apache-2.0
/* Taps, by the tun driver: route netlink makes none. The namespace is that in which the device was opened. */
#include "lib/net/tap.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

/* A tap of nobody's is everybody's: tun_not_capable(), drivers/net/tun.c. */
static int give(int fd, int64_t owner, int64_t group)
{
	if (owner < 0 && group < 0)
		owner = 0;
	if (owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0)
		return -errno;
	return group >= 0 && ioctl(fd, TUNSETGROUP, (unsigned long)group) < 0 ? -errno : 0;
}

int vw_tap_add(const char *ifname, int64_t owner, int64_t group, struct vw_err *err)
{
	vw_auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return vw_err_sys(err, errno, VW_CNI_KERNEL,
				  "a tap cannot be made: the kernel has no tun driver, or there is no /dev/net/tun (modprobe tun)");
	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "opening /dev/net/tun");
	if (VW_COPY(ifr.ifr_name, ifname) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%.60s' is no interface name", ifname);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "making tap %s", ifname);
	r = give(fd, owner, group);
	if (r == 0 && ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		r = -errno;
	return r < 0 ? vw_err_sys(err, r, VW_CNI_KERNEL, "giving tap %s to its user", ifname) : 0;
}
