// SPDX-License-Identifier: Apache-2.0
/* The folder of pins on a bpf file system: made, written to, removed. */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int np_dir_make(struct np *np, const char *bpf_dir, struct vw_err *err)
{
	int r = vw_bpffs_require(bpf_dir, err);

	if (r < 0)
		return r;
	if (vw_fmt(np->dir, sizeof(np->dir), "%s/v%d", bpf_dir, NP_ABI) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%s' is too long", bpf_dir);
	return vw_mkdir_p(np->dir, 0700, err);
}

/* --- removal */

/** empty_version_dir() - unlink the pins in one v<N> folder: regular names only, which is all that bpffs has. @stays: but for formers. */
static int empty_version_dir(int parent, const char *name, bool stays)
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
		if (e->d_name[0] != '.' && (!stays || np_is_former(e->d_name)) && unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	closedir(dir);
	if (r == 0 && !stays && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

bool np_is_version(const char *name)
{
	uint64_t v;

	return name[0] == 'v' && vw_parse_u64(name + 1, 0, 1000000, &v) == 0;
}

/** empty_versions() - all v<N> folders in @bpf_dir, of @keep's only the formers (-1: none is kept). Return: 0, -errno. */
static int empty_versions(const char *bpf_dir, int keep, struct vw_err *err)
{
	char kept[16] = "";
	DIR *dir;
	int r = vw_bpffs_require(bpf_dir, err);

	if (r < 0)
		return r;
	if (keep >= 0)
		(void)!vw_fmt(kept, sizeof(kept), "v%d", keep);
	dir = opendir(bpf_dir);
	if (!dir)
		return vw_err_sys(err, errno, 0, "opening '%s'", bpf_dir);
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (np_is_version(e->d_name))
			r = empty_version_dir(dirfd(dir), e->d_name, strcmp(e->d_name, kept) == 0);
	closedir(dir);
	return r < 0 ? vw_err_sys(err, r, 0, "removing the pins in '%s'", bpf_dir) : 0;
}

int np_unpin_former(const char *bpf_dir, struct vw_err *err)
{
	return empty_versions(bpf_dir, NP_ABI, err);
}

int np_unpin(const char *bpf_dir, struct vw_err *err)
{
	int r;

	if (access(bpf_dir, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = empty_versions(bpf_dir, -1, err);
	if (r == 0 && rmdir(bpf_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		r = vw_err_sys(err, errno, 0, "removing the pins in '%s'", bpf_dir);
	return r;
}
