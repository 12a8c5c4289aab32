/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Debian's archives call that musl's libc has not: they are compiled for glibc, with _FORTIFY_SOURCE, and ask for the variants that
 * know how much room there is (Linux Standard Base 5.0, Core, "Interfaces for libc"). All else that libjansson.a calls means the same to
 * both libraries: strings, allocations, FILE and struct lconv that only pass through, numbers that are the kernel's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));
char *__strncpy_chk(char *to, const char *from, size_t n, size_t room);

int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *fmt, va_list ap)
{
	if (size > room)
		abort();
	return vsnprintf(to, size, fmt, ap);
}

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = __vsnprintf_chk(to, size, flag, room, fmt, ap);
	va_end(ap);
	return n;
}

char *__strncpy_chk(char *to, const char *from, size_t n, size_t room)
{
	size_t len = strnlen(from, n);

	if (n > room)
		abort();
	memcpy(to, from, len);
	memset(to + len, 0, n - len);
	return to;
}
