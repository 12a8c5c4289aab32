/*
 * Keys and tokens: heap strings that are overwritten when they go. explicit_bzero() because a memset() before
 * free() is dead code to the compiler.
 */
#include "daemon/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void secret_done(struct secret *s)
{
	if (s->text)
		explicit_bzero(s->text, s->len);
	free(s->text);
	*s = (struct secret){ 0 };
}

int secret_set(struct secret *s, const char *text, size_t len)
{
	char *copy;

	/* a line break in a token would let its source write headers of its own */
	if (memchr(text, 0, len) || memchr(text, '\n', len) || memchr(text, '\r', len))
		return -EINVAL;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = 0;
	secret_done(s);
	*s = (struct secret){ .text = copy, .len = len };
	return 0;
}

int secret_copy(struct secret *to, const struct secret *from)
{
	if (from->text)
		return secret_set(to, from->text, from->len);
	secret_done(to);
	return 0;
}
