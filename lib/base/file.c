/*
 * Whole-file reads with a cap and atomic replacement. A replacement goes through "<name>.tmp.<pid>" in the
 * same folder: exclusive create, write, fsync, rename, fsync of the folder; whatever fails, the temp file is
 * unlinked. Its writer holds a lock on it, so that the file of one who was killed can be told from that of one who is at work.
 */
#include "lib/base/file.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TEMP ".tmp."
#define TRIES 8

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

static int put_temp(int dir, const char *tmp, const char *name, const void *data, size_t len, unsigned int mode)
{
	vw_auto_close int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	/* a file system without locks (NFS) has no vw_tidy_temps() either */
	while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	r = write_all(fd, data, len);
	if (r < 0)
		return r;
	/* The umask does not decide who reads our state. */
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	return renameat(dir, tmp, dir, name) < 0 ? -errno : 0;
}

int vw_replace_file(const char *path, const void *data, size_t len, unsigned int mode, struct vw_err *err)
{
	const char *name = NULL;
	vw_auto_close int dir = open_parent(path, &name);
	char tmp[NAME_MAX + 1];
	int r = -ENOENT;

	if (dir < 0)
		return vw_err_sys(err, dir, 0, "opening the folder of '%s'", path);
	if (vw_fmt(tmp, sizeof(tmp), "%s" TEMP "%d", name, (int)getpid()) < 0)
		return vw_err_sys(err, ENAMETOOLONG, 0, "replacing '%s'", path);
	/* Left by a process that had our pid and was killed in the middle: nothing else has that name. */
	(void)unlinkat(dir, tmp, 0);
	/* who tidies up may take it for a dead one's between its making and its lock */
	for (int i = 0; i < TRIES && (r = put_temp(dir, tmp, name, data, len, mode)) == -ENOENT; i++)
		;
	if (r < 0) {
		(void)unlinkat(dir, tmp, 0);
		return vw_err_sys(err, r, 0, "writing '%s'", path);
	}
	/* The new content is in place either way; what may be lost without this is only its durability. */
	if (fsync(dir) < 0 && errno != EINVAL)
		return vw_err_sys(err, errno, 0, "syncing the folder of '%s'", path);
	return 0;
}

/* "<name>.tmp.<pid>", of a certain @name or of any */
static bool is_temp(const char *file, const char *name)
{
	const char *at = strstr(file, TEMP), *next;
	size_t len;

	while (at && (next = strstr(at + 1, TEMP)))
		at = next;
	len = at ? (size_t)(at - file) : 0;
	if (!len || (name && (strlen(name) != len || memcmp(file, name, len))))
		return false;
	at += strlen(TEMP);
	return *at && strspn(at, "0123456789") == strlen(at);
}

static bool tidy_one(int dir, const char *file)
{
	vw_auto_close int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir, file, 0) == 0;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

int vw_tidy_temps(const char *dir, const char *name)
{
	vw_auto(close_dir) DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		if (is_temp(e->d_name, name))
			n += tidy_one(dirfd(d), e->d_name);
	return n;
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
