/*
 * Whole-file reads with a cap and atomic replacement. A replacement goes through "<name>.tmp.<pid>" in the
 * same folder: exclusive create, write, fsync, rename, fsync of the folder; whatever fails, the temp file is
 * unlinked.
 */
#include "lib/base/file.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int vw_read_fd(int fd, struct vw_buf *buf)
{
	char chunk[16384];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return vw_buf_err(buf);
		vw_buf_add(buf, chunk, (size_t)n);
		if (vw_buf_err(buf))
			return vw_buf_err(buf);
	}
}

int vw_read_file(const char *path, size_t max, struct vw_buf *buf, struct vw_err *err)
{
	vw_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	vw_auto_buf struct vw_buf got = VW_BUF_INIT_MAX(max);
	int r;

	if (fd < 0)
		return vw_err_sys(err, errno, 0, "opening '%s'", path);
	r = vw_read_fd(fd, &got);
	if (r == -EFBIG)
		return vw_err_set(err, EFBIG, 0, "'%s' is larger than %zu bytes", path, max);
	if (r < 0)
		return vw_err_sys(err, r, 0, "reading '%s'", path);
	vw_buf_add(buf, vw_buf_str(&got), got.len);
	if (vw_buf_err(buf))
		return vw_err_sys(err, vw_buf_err(buf), 0, "reading '%s'", path);
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The folder of @path, opened; *ret_name is the last component, inside @path. */
static int open_parent(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd;

	if (!slash) {
		fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else {
		if (vw_fmt(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path) < 0)
			return -ENAMETOOLONG;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	*ret_name = slash ? slash + 1 : path;
	return fd;
}

static int fill_temp(int dir, const char *tmp, const void *data, size_t len, unsigned int mode)
{
	vw_auto_close int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r < 0)
		return r;
	/* The umask does not decide who reads our state. */
	return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int vw_replace_file(const char *path, const void *data, size_t len, unsigned int mode, struct vw_err *err)
{
	const char *name = NULL;
	vw_auto_close int dir = open_parent(path, &name);
	char tmp[NAME_MAX + 1];
	int r;

	if (dir < 0)
		return vw_err_sys(err, dir, 0, "opening the folder of '%s'", path);
	if (vw_fmt(tmp, sizeof(tmp), "%s.tmp.%d", name, (int)getpid()) < 0)
		return vw_err_sys(err, ENAMETOOLONG, 0, "replacing '%s'", path);
	/* Left by a process that had our pid and was killed in the middle: nothing else has that name. */
	(void)unlinkat(dir, tmp, 0);
	r = fill_temp(dir, tmp, data, len, mode);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dir, tmp, 0);
		return vw_err_sys(err, r, 0, "writing '%s'", path);
	}
	/* The new content is in place either way; what may be lost without this is only its durability. */
	if (fsync(dir) < 0 && errno != EINVAL)
		return vw_err_sys(err, errno, 0, "syncing the folder of '%s'", path);
	return 0;
}

int vw_write_once(const char *path, const char *text)
{
	vw_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int vw_mkdir_p(const char *path, unsigned int mode, struct vw_err *err)
{
	char part[PATH_MAX];
	struct stat st;
	int r = vw_fmt(part, sizeof(part), "%s", path);

	if (r < 0 || !part[0])
		return vw_err_sys(err, r < 0 ? r : EINVAL, 0, "creating folder '%s'", path);
	for (char *p = part + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return vw_err_sys(err, errno, 0, "creating folder '%s'", part);
		*p = c;
		if (!c)
			break;
	}
	if (stat(path, &st) < 0)
		return vw_err_sys(err, errno, 0, "creating folder '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return vw_err_sys(err, ENOTDIR, 0, "creating folder '%s'", path);
	return 0;
}
