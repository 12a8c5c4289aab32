#pragma once

#include <stddef.h>

struct vw_err;
struct vw_json;
struct vw_json_limits;

/**
 * DOC: YAML
 *
 * A fence around libyaml that makes JSON values of documents, as kubectl does: plain scalars become what
 * YAML 1.1 calls null, booleans (true, yes, on, ... but not y and n, which are taken as texts) and whole
 * numbers (decimal, 0x, 0o, 0...); those that JSON calls a number become one; all others, and quoted
 * ones, are texts. Keys are texts. Tags other than !!str, !!int, !!float, !!bool, !!null, !!map and !!seq
 * are refused, and so are keys that stand twice. Anchors, aliases and merge keys (<<) are resolved; an
 * alias costs what it copies (texts one more for each 64 bytes), and all aliases of a text together may copy VW_YAML_MAX_COPIED values.
 */
#define VW_YAML_MAX_COPIED 65536

struct vw_yaml;

/**
 * vw_yaml_new() - a reader of @text, which is borrowed and must stay. @lim: NULL for the defaults of
 * lib/json. @what: names the text in messages, borrowed too. Return: 0, -ENOMEM, -EBADMSG (too large).
 */
int vw_yaml_new(const char *text, size_t len, const struct vw_json_limits *lim, const char *what,
		struct vw_yaml **ret_yaml, struct vw_err *err);
struct vw_yaml *vw_yaml_free(struct vw_yaml *y);

/**
 * vw_yaml_next() - the next document; empty ones are passed over. Return: 1 with *ret_json, 0 = no more,
 * -EBADMSG with the line and what is wrong, -ENOMEM.
 */
int vw_yaml_next(struct vw_yaml *y, struct vw_json **ret_json, struct vw_err *err);
