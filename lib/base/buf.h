#pragma once

#include <stdarg.h>
#include <stddef.h>

/**
 * struct vw_buf - a growing byte string, always NUL-terminated for the reader.
 * Start with VW_BUF_INIT, end with vw_buf_done(). On ENOMEM or past @max the buffer turns sour: it keeps what it
 * has, ignores further appends, and vw_buf_err() says why, so that callers check once at the end.
 * @max: 0 = no cap.
 */
struct vw_buf {
	char *data;
	size_t len, cap, max;
	int eno;
};

#define VW_BUF_INIT { 0 }
#define VW_BUF_INIT_MAX(m) { .max = (m) }
#define vw_auto_buf __attribute__((cleanup(vw_buf_done)))

void vw_buf_done(struct vw_buf *b);
void vw_buf_reset(struct vw_buf *b);
void vw_buf_add(struct vw_buf *b, const void *data, size_t len);
void vw_buf_puts(struct vw_buf *b, const char *s);
void vw_buf_putc(struct vw_buf *b, char c);
void vw_buf_printf(struct vw_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vw_buf_vprintf(struct vw_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/** vw_buf_err() - 0, -ENOMEM or -EFBIG (cap reached). */
int vw_buf_err(const struct vw_buf *b);
/** vw_buf_str() - never NULL; valid until the next call on @b. */
const char *vw_buf_str(const struct vw_buf *b);
/** vw_buf_take() - hand the string to the caller, who frees it. NULL when sour. */
char *vw_buf_take(struct vw_buf *b);
/** vw_buf_url() - append @s percent-encoded (RFC 3986 unreserved characters kept), as SigV4 wants it. */
void vw_buf_url(struct vw_buf *b, const char *s);
