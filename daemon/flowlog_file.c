// SPDX-License-Identifier: Apache-2.0
/* The file of flow logs: whole lines only, so many bytes of them, and some former files: path.1 is the youngest. */
#include "daemon/flowlog_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int flowlog_file_open(struct flowlog_file *f, struct vw_err *err)
{
	struct stat st;

	f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (f->fd >= 0 && fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode)) {
		f->bytes = (uint64_t)st.st_size;
		return 0;
	}
	if (f->fd >= 0)
		errno = EINVAL;
	f->faults[FLOWLOG_OPEN]++;
	(void)vw_err_sys(err, errno, 0, "opening flow_log '%s'", f->path);
	flowlog_file_close(f);
	return -err->eno;
}

void flowlog_file_close(struct flowlog_file *f)
{
	vw_close_fd(&f->fd);
}

/* path.3 -> path.4, ..., path -> path.1; the last one is replaced, and with it goes what is too old */
static int rotate(struct flowlog_file *f, struct vw_err *err)
{
	char from[FLOWLOG_PATH_MAX + 16], to[FLOWLOG_PATH_MAX + 16];

	for (unsigned int i = f->files; i > 0; i--) {
		(void)!vw_fmt(to, sizeof(to), "%s.%u", f->path, i);
		if (i == 1)
			(void)!vw_fmt(from, sizeof(from), "%s", f->path);
		else
			(void)!vw_fmt(from, sizeof(from), "%s.%u", f->path, i - 1);
		if (rename(from, to) == 0 || errno == ENOENT)
			continue;
		f->faults[FLOWLOG_ROTATE]++;
		return vw_err_sys(err, errno, 0, "renaming flow_log '%s' to '%s'", from, to);
	}
	flowlog_file_close(f);
	return flowlog_file_open(f, err);
}

int flowlog_file_write(struct flowlog_file *f, const char *lines, size_t len, struct vw_err *err)
{
	size_t done = 0;

	if (f->bytes && f->bytes + len > f->max_bytes) {
		int r = rotate(f, err);

		if (r < 0)
			return r;
	}
	while (done < len) {
		ssize_t n = write(f->fd, lines + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r;

			f->faults[FLOWLOG_WRITE]++;
			r = vw_err_sys(err, errno, 0, "writing flow_log '%s'", f->path);

			/* no half lines */
			if (done && ftruncate(f->fd, (off_t)f->bytes) < 0)
				f->bytes += done;
			return r;
		}
		done += (size_t)n;
	}
	f->bytes += len;
	return 0;
}
