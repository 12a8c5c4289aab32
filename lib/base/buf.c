/*
 * A growing byte string. Errors stick (eno), so that a writer appends freely and asks once at the end. The
 * capacity doubles; it always has room for the closing NUL.
 */
#include "lib/base/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vw_buf_done(struct vw_buf *b)
{
	int saved = errno;

	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
	b->eno = 0;
	errno = saved;
}

void vw_buf_reset(struct vw_buf *b)
{
	b->len = 0;
	b->eno = 0;
	if (b->data)
		b->data[0] = '\0';
}

/* Makes room for @more bytes and the NUL; false when the buffer is, or has just turned, sour. */
static bool reserve(struct vw_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 64;
	char *data;

	if (b->eno)
		return false;
	if (more > SIZE_MAX / 2 - b->len) {
		b->eno = ENOMEM;
		return false;
	}
	if (b->max && b->len + more > b->max) {
		b->eno = EFBIG;
		return false;
	}
	if (b->data && b->cap > b->len + more)
		return true;
	while (cap <= b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->eno = ENOMEM;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void vw_buf_add(struct vw_buf *b, const void *data, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void vw_buf_puts(struct vw_buf *b, const char *s)
{
	vw_buf_add(b, s, strlen(s));
}

void vw_buf_putc(struct vw_buf *b, char c)
{
	vw_buf_add(b, &c, 1);
}

void vw_buf_vprintf(struct vw_buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0) {
		b->eno = b->eno ? b->eno : ENOMEM;
	} else if ((size_t)n < sizeof(small)) {
		vw_buf_add(b, small, (size_t)n);
	} else if (reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void vw_buf_printf(struct vw_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vw_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

int vw_buf_err(const struct vw_buf *b)
{
	return -b->eno;
}

const char *vw_buf_str(const struct vw_buf *b)
{
	return b->data ? b->data : "";
}

char *vw_buf_take(struct vw_buf *b)
{
	char *s;

	if (!reserve(b, 0)) /* an empty buffer gives "" and not NULL */
		return NULL;
	b->data[b->len] = '\0';
	s = b->data;
	b->data = NULL;
	b->len = b->cap = 0;
	return s;
}

void vw_buf_url(struct vw_buf *b, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '_' || c == '.' || c == '~') {
			vw_buf_putc(b, (char)c);
		} else {
			const char esc[3] = {'%', hex[c >> 4], hex[c & 15]};

			vw_buf_add(b, esc, sizeof(esc));
		}
	}
}
