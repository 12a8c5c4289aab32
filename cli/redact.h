#pragma once

#include <stddef.h>

struct vw_buf;

/**
 * redact() - append @text to @out with "(removed)" in place of what could be a secret: the value behind a name like password, token, secret,
 * authorization or credential; AWS access key ids; words that look like AWS secret keys, JSON web tokens, or are very long.
 * What only looks like one goes too: a bug report can do without it.
 */
void redact(const char *text, size_t len, struct vw_buf *out);
