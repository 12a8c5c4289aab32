// SPDX-License-Identifier: Apache-2.0
/* Network namespaces: open and verify, compare, enter, visit. */
#include "lib/net/netns.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define RETURN_TRIES 10 /* the kernel allocates for a setns(), and may be short of memory for a moment */

int vw_netns_open(const char *path, struct vw_err *err)
{
	/* O_NONBLOCK: a FIFO in the place of a namespace must not hang the runtime. */
	vw_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_INVALID_NETNS, "opening network namespace '%s'", path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_NETNS, "'%s' is not a network namespace", path);
	return VW_TAKE_FD(fd);
}

int vw_netns_open_self(struct vw_err *err)
{
	return vw_netns_open("/proc/thread-self/ns/net", err);
}

int vw_netns_id(int netns_fd, struct vw_netns_id *ret_id, struct vw_err *err)
{
	struct stat st;

	if (fstat(netns_fd, &st) < 0)
		return vw_err_sys(err, errno, VW_CNI_INVALID_NETNS, "identifying a network namespace");
	*ret_id = (struct vw_netns_id){ .dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

int vw_netns_same(int a_fd, int b_fd, struct vw_err *err)
{
	struct vw_netns_id a = { 0 }, b = { 0 };
	int r = vw_netns_id(a_fd, &a, err);

	if (r < 0)
		return r;
	r = vw_netns_id(b_fd, &b, err);
	if (r < 0)
		return r;
	return a.dev == b.dev && a.ino == b.ino;
}

int vw_netns_enter(int netns_fd, struct vw_err *err)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return vw_err_sys(err, errno, VW_CNI_INVALID_NETNS, "entering a network namespace");
	return 0;
}

int vw_netns_run(int netns_fd, int (*fn)(void *arg, struct vw_err *err), void *arg, struct vw_err *err)
{
	vw_auto_close int home = vw_netns_open_self(err);
	int r;

	if (home < 0)
		return home;
	r = vw_netns_enter(netns_fd, err);
	if (r < 0)
		return r;
	r = fn(arg, err);
	for (int tries = 0; setns(home, CLONE_NEWNET) < 0; tries++) {
		if (tries == RETURN_TRIES)
			abort();
	}
	return r;
}
