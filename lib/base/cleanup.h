#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/**
 * DOC: scope-exit cleanup
 *
 * Every fd and pointer gets its cleanup where it is declared and starts at its null value (-EBADF, NULL).
 * Giving it away is explicit: VW_TAKE_FD(), VW_TAKE_PTR(). Cleanups accept the null value, reset to it, keep errno.
 */
static inline void vw_close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -EBADF;
	errno = saved;
}

static inline void vw_free_ptr(void *p)
{
	void **pp = p;
	int saved = errno;

	free(*pp);
	*pp = NULL;
	errno = saved;
}

static inline void vw_close_file(FILE **f)
{
	int saved = errno;

	if (*f)
		fclose(*f);
	*f = NULL;
	errno = saved;
}

#define vw_auto_close __attribute__((cleanup(vw_close_fd)))
#define vw_auto_free __attribute__((cleanup(vw_free_ptr)))
#define vw_auto_fclose __attribute__((cleanup(vw_close_file)))
#define vw_auto(fn) __attribute__((cleanup(fn)))
#define VW_TAKE_FD(fd) ({ int vw_taken_ = (fd); (fd) = -EBADF; vw_taken_; })
#define VW_TAKE_PTR(p) ({ __typeof__(p) vw_taken_ = (p); (p) = NULL; vw_taken_; })

#define VW_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
