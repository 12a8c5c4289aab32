#pragma once

#include <stddef.h>

struct archive_file;
struct vw_err;

/**
 * DOC: a tar archive, by libarchive
 *
 * Its types stay in archive.c. Nothing has the final name before archive_end() has succeeded.
 */

/** archive_begin() - @path: "x.tar.gz". Mode 0600. Return: 0, -errno. */
int archive_begin(const char *path, struct archive_file **ret, struct vw_err *err);
/** archive_add() - a file of @len bytes under @name. Return: 0, -errno. */
int archive_add(struct archive_file *a, const char *name, const void *data, size_t len, struct vw_err *err);
/** archive_end() - finish and give it its name. archive_drop() - as if it had not been begun. Both free; NULL is fine. */
int archive_end(struct archive_file *take_a, struct vw_err *err);
void archive_drop(struct archive_file *take_a);
