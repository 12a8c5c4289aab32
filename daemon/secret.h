#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * struct secret - a key or token. There is no function that formats one; it is shown to nobody but the wire.
 * @text: NUL-terminated, owned, NULL when there is none; overwritten before it is freed.
 */
struct secret {
	char *text;
	size_t len;
};

#define vw_auto_secret __attribute__((cleanup(secret_done)))

/**
 * secret_set() - replace what @s holds by a copy of @len bytes. Return: 0, -ENOMEM, -EINVAL (a NUL or line
 * break inside).
 */
int secret_set(struct secret *s, const char *text, size_t len);
/** secret_copy() - @to holds a copy of @from. Return: 0, -ENOMEM. */
int secret_copy(struct secret *to, const struct secret *from);
/** secret_done() - overwrite and free; accepts an empty one. */
void secret_done(struct secret *s);
static inline bool secret_is_set(const struct secret *s)
{
	return s->len > 0;
}
