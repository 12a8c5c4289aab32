#pragma once

#include "daemon/flowlog.h"

/** DOC: inside flowlog*.c only */

/** struct flowlog_file - @bytes: that it has. @fd: between flowlog_file_open() and _close(). @faults: by enum flowlog_fault. */
struct flowlog_file {
	char path[FLOWLOG_PATH_MAX];
	uint64_t bytes, max_bytes, faults[FLOWLOG_FAULTS];
	unsigned int files;
	int fd;
};

/** flowlog_file_open() - for some writes: who renames or deletes the file in between gets a new one. Return: 0, -errno. */
int flowlog_file_open(struct flowlog_file *f, struct vw_err *err);
void flowlog_file_close(struct flowlog_file *f);
/**
 * flowlog_file_write() - whole lines, all or none of them; before they would make it longer than @max_bytes, the file becomes @path.1.
 * Return: 0, -errno.
 */
int flowlog_file_write(struct flowlog_file *f, const char *lines, size_t len, struct vw_err *err);
