// SPDX-License-Identifier: Apache-2.0
/* The folder of pins on a bpf file system: made, written to, removed. */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "netpolicy-bpf/user/np_priv.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static bool on_bpffs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == BPF_FS_MAGIC;
}

/** require_bpffs() - @bpf_dir or, where it is not there yet, its nearest ancestor must be on a bpf file system. */
static int require_bpffs(const char *bpf_dir, struct vw_err *err)
{
	char path[NP_PATH_MAX];
	struct stat st;
	char *slash;

	if (bpf_dir[0] != '/' || vw_fmt(path, sizeof(path), "%s", bpf_dir) < 0)
		return vw_err_set(err, EINVAL, 0, "bpf_dir '%s' must be an absolute path of less than %d bytes", bpf_dir,
				  NP_PATH_MAX);
	while (stat(path, &st) < 0) {
		slash = strrchr(path, '/');
		if (errno != ENOENT || slash == path)
			return vw_err_sys(err, errno, 0, "looking at bpf_dir '%s'", bpf_dir);
		*slash = 0;
	}
	if (!on_bpffs(path))
		return vw_err_set(err, EINVAL, 0,
				  "bpf_dir '%s' is not on a bpf file system: run 'mount -t bpf bpf /sys/fs/bpf', or choose a "
				  "folder on one",
				  bpf_dir);
	return 0;
}

int np_dir_make(struct np *np, const char *bpf_dir, struct vw_err *err)
{
	int r = require_bpffs(bpf_dir, err);

	if (r < 0)
		return r;
	if (vw_fmt(np->dir, sizeof(np->dir), "%s/v%d", bpf_dir, NP_ABI) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%s' is too long", bpf_dir);
	return vw_mkdir_p(np->dir, 0700, err);
}

int np_pin(int fd, const char *path, struct vw_err *err)
{
	char temp[NP_PATH_MAX + 8];

	/* bpffs refuses names with dots */
	if (vw_fmt(temp, sizeof(temp), "%s_new", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", path);
	if (unlink(temp) < 0 && errno != ENOENT)
		return vw_err_sys(err, errno, 0, "removing %s", temp);
	if (bpf_obj_pin(fd, temp) < 0)
		return vw_err_sys(err, errno, 0, "pinning %s", temp);
	if (rename(temp, path) < 0) {
		int eno = errno;

		(void)unlink(temp);
		return vw_err_sys(err, eno, 0, "pinning %s", path);
	}
	return 0;
}

/* --- removal */

/** empty_version_dir() - unlink the pins in one v<N> folder: regular names only, which is all that bpffs has. */
static int empty_version_dir(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	closedir(dir);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static bool is_version(const char *name)
{
	uint64_t v;

	return name[0] == 'v' && vw_parse_u64(name + 1, 0, 1000000, &v) == 0;
}

int np_unpin(const char *bpf_dir, struct vw_err *err)
{
	DIR *dir;
	int r = 0;

	if (access(bpf_dir, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = require_bpffs(bpf_dir, err);
	if (r < 0)
		return r;
	dir = opendir(bpf_dir);
	if (!dir)
		return vw_err_sys(err, errno, 0, "opening '%s'", bpf_dir);
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (is_version(e->d_name))
			r = empty_version_dir(dirfd(dir), e->d_name);
	closedir(dir);
	if (r == 0 && rmdir(bpf_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		r = -errno;
	return r < 0 ? vw_err_sys(err, r, 0, "removing the pins in '%s'", bpf_dir) : 0;
}
