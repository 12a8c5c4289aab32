// SPDX-License-Identifier: Apache-2.0
/* Sysctls by path, so that interface names with dots need no escaping. */
#include "lib/net/sysctl.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define SYSCTL_PATH_MAX 256

static int sysctl_path(const char *key, char path[SYSCTL_PATH_MAX], struct vw_err *err)
{
	if (strstr(key, "..") || vw_fmt(path, SYSCTL_PATH_MAX, "/proc/sys/%s", key) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%s' is no name of a sysctl", key);
	return 0;
}

int vw_sysctl_set(const char *key, const char *value, struct vw_err *err)
{
	char path[SYSCTL_PATH_MAX];
	int r = sysctl_path(key, path, err);

	if (r < 0)
		return r;
	r = vw_write_once(path, value);
	if (r < 0)
		return vw_err_sys(err, r, VW_CNI_KERNEL, "writing '%s' to %s", value, path);
	return 0;
}

int vw_sysctl_get(const char *key, char *buf, size_t size, struct vw_err *err)
{
	char path[SYSCTL_PATH_MAX];
	vw_auto_close int fd = -EBADF;
	ssize_t n;
	int r = sysctl_path(key, path, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size);
	if (n < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "reading %s", path);
	if ((size_t)n >= size)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_KERNEL,
				  "the value of %s is longer than %zu bytes", path, size - 1);
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return 0;
}

static int if_key(uint8_t family, const char *ifname, const char *key, char out[SYSCTL_PATH_MAX],
		  struct vw_err *err)
{
	if (!ifname[0] || strchr(ifname, '/') || strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%s' is no name of an interface", ifname);
	if (vw_fmt(out, SYSCTL_PATH_MAX, "net/%s/conf/%s/%s", family == AF_INET6 ? "ipv6" : "ipv4", ifname,
		   key) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_KERNEL, "'%s' is no name of a sysctl", key);
	return 0;
}

int vw_sysctl_if_set(uint8_t family, const char *ifname, const char *key, const char *value,
		     struct vw_err *err)
{
	char full[SYSCTL_PATH_MAX];
	int r = if_key(family, ifname, key, full, err);

	return r < 0 ? r : vw_sysctl_set(full, value, err);
}

int vw_sysctl_if_get(uint8_t family, const char *ifname, const char *key, char *buf, size_t size,
		     struct vw_err *err)
{
	char full[SYSCTL_PATH_MAX];
	int r = if_key(family, ifname, key, full, err);

	return r < 0 ? r : vw_sysctl_get(full, buf, size, err);
}
