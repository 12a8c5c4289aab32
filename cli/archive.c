#include "cli/archive.h"

#include "lib/base/clock.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct archive_file {
	struct archive *a;
	int fd;
	char path[1024], part[1048];
};

static int failed(struct archive_file *a, struct vw_err *err)
{
	const char *why = archive_error_string(a->a);

	return vw_err_set(err, archive_errno(a->a) > 0 ? archive_errno(a->a) : EIO, 0, "writing %s: %s", a->path, why ? why : "no memory");
}

/* what a killed one has left would be in the way of nobody, but stay for ever */
static void tidy(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[1024] = ".";

	if (!slash || vw_fmt(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path) > 0)
		(void)vw_tidy_temps(folder, slash ? slash + 1 : path);
}

int archive_begin(const char *path, struct archive_file **ret, struct vw_err *err)
{
	struct archive_file *a = calloc(1, sizeof(*a));
	int r = 0;

	if (!a)
		return vw_err_set(err, ENOMEM, 0, "no memory for an archive");
	a->fd = -EBADF;
	if (vw_fmt(a->path, sizeof(a->path), "%s", path) < 0 || vw_fmt(a->part, sizeof(a->part), "%s.tmp.%d", path, (int)getpid()) < 0)
		r = vw_err_set(err, ENAMETOOLONG, 0, "'%.100s...' is too long", path);
	if (r == 0)
		tidy(path);
	if (r == 0 && (a->fd = open(a->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
		r = vw_err_sys(err, errno, 0, "making %s", a->part);
	/* who tidies up sees by it that its writer lives */
	if (r == 0)
		(void)flock(a->fd, LOCK_EX | LOCK_NB);
	if (r == 0 && !(a->a = archive_write_new()))
		r = vw_err_set(err, ENOMEM, 0, "no memory for an archive");
	if (r == 0 && (archive_write_add_filter_gzip(a->a) != ARCHIVE_OK || archive_write_set_format_pax_restricted(a->a) != ARCHIVE_OK ||
		       archive_write_open_fd(a->a, a->fd) != ARCHIVE_OK))
		r = failed(a, err);
	if (r < 0) {
		archive_drop(a);
		return r;
	}
	*ret = a;
	return 0;
}

int archive_add(struct archive_file *a, const char *name, const void *data, size_t len, struct vw_err *err)
{
	struct archive_entry *e = archive_entry_new();
	bool fine;

	if (!e)
		return vw_err_set(err, ENOMEM, 0, "no memory for %s", name);
	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_mtime(e, vw_unix_s(), 0);
	fine = archive_write_header(a->a, e) == ARCHIVE_OK && archive_write_data(a->a, data, len) == (la_ssize_t)len;
	archive_entry_free(e);
	return fine ? 0 : failed(a, err);
}

int archive_end(struct archive_file *a, struct vw_err *err)
{
	int r = 0;

	if (archive_write_close(a->a) != ARCHIVE_OK)
		r = failed(a, err);
	if (r == 0 && rename(a->part, a->path) < 0)
		r = vw_err_sys(err, errno, 0, "renaming %s", a->part);
	if (r < 0) {
		archive_drop(a);
		return r;
	}
	archive_write_free(a->a);
	vw_close_fd(&a->fd);
	free(a);
	return 0;
}

void archive_drop(struct archive_file *a)
{
	if (!a)
		return;
	if (a->a)
		archive_write_free(a->a);
	if (a->fd >= 0)
		(void)unlink(a->part);
	vw_close_fd(&a->fd);
	free(a);
}
