// SPDX-License-Identifier: Apache-2.0
/* Locks are files that are flock()ed, one for each bridge: the kernel gives them up when their holder dies. They stay, empty. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static int lock(const char *state_dir, const char *name, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	char path[VW_PATH_MAX];
	int r;

	if (vw_fmt(path, sizeof(path), "%s/%s.lock", state_dir, name) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "key 'stateDir' is too long: \"%.200s\"", state_dir);
	if (vw_mkdir_p(state_dir, 0700, err) < 0)
		return -err->eno;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_IO, "opening the lock '%s'", path);
	do {
		r = flock(fd, LOCK_EX);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? vw_err_sys(err, errno, VW_CNI_IO, "locking '%s'", path) : VW_TAKE_FD(fd);
}

int br_lock(const char *state_dir, const struct vw_mac *eni, struct vw_err *err)
{
	struct br_names n;

	br_names_of(eni, &n);
	return lock(state_dir, n.bridge, err);
}

int br_reap(struct br_place *p, const char *state_dir, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_close int fd = -EBADF;

	if (p->fd < 0)
		return 0;
	fd = lock(state_dir, "reaper", err);
	if (fd < 0)
		return fd;
	vw_link_del_group(&b, BR_DYING);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	return vw_nl_commit(&p->nl, &b, err);
}
