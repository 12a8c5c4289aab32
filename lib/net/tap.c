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

int vw_tap_add(const char *ifname, int64_t owner, struct vw_err *err)
{
	vw_auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "opening /dev/net/tun");
	if (VW_COPY(ifr.ifr_name, ifname) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%.60s' is no interface name", ifname);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || (owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0) ||
	    ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "making tap %s", ifname);
	return 0;
}
