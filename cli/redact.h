#pragma once

#include <stddef.h>

struct vw_buf;
struct vw_json;

/**
 * DOC: what is a secret
 *
 * The value behind a name like password, token, secret, authorization or credential, whatever it is; AWS access key ids; words that look like AWS
 * secret keys, JSON web tokens, or are very long; who is named in a URL. "(removed)" takes its place. What only looks like one goes too: a bug
 * report can do without it. tests/fuzz/fuzz_redact.c plants some.
 */

/** redact() - append @text to @out without secrets. Of text that is JSON as a whole redact_json() makes a better job. */
void redact(const char *text, size_t len, struct vw_buf *out);

/** redact_json() - a copy of @j without secrets, in strings that hold JSON again as well. Return: the caller's, NULL: no memory. */
struct vw_json *redact_json(const struct vw_json *j);
