#pragma once

#include <stddef.h>

struct vw_err;
struct vw_buf;

/** vw_read_fd() - append everything up to EOF to @buf, which caps it (buf->max). Retries EINTR. Return: 0, -errno, -EFBIG. */
int vw_read_fd(int fd, struct vw_buf *buf);
/** vw_read_file() - a whole file of at most @max bytes. Return: 0, -errno, -EFBIG; @err names the path. */
int vw_read_file(const char *path, size_t max, struct vw_buf *buf, struct vw_err *err);
/**
 * vw_replace_file() - atomically: temp file in the same folder (O_EXCL), write, fsync, rename, fsync of the folder.
 * @mode: e.g. 0600. Return: 0, -errno; on failure the old file is as it was and no temp file stays.
 */
int vw_replace_file(const char *path, const void *data, size_t len, unsigned int mode, struct vw_err *err);
/**
 * vw_tidy_temps() - remove from @dir the temp files that vw_replace_file() could not, because its process was killed.
 * @name: of the file that was to be replaced, a last component; NULL = of any. One whose writer lives stays.
 * Return: how many; a folder that is not there, or not readable, has none.
 */
int vw_tidy_temps(const char *dir, const char *name);
/** vw_write_once() - write all of @text to an existing file in one write(2) (sysctls, /proc). Return: 0, -errno. */
int vw_write_once(const char *path, const char *text);
/** vw_mkdir_p() - with parents. Return: 0 (also if it was there), -errno. */
int vw_mkdir_p(const char *path, unsigned int mode, struct vw_err *err);
