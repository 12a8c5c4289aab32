#pragma once

struct daemon;
struct vw_err;
struct vw_json;

/**
 * DOC: what operators ask
 *
 * Each query has a name and an object of arguments; its answer is one JSON value. vpcwirectl prints them; docs/RPC.md
 * shows their shapes. A query changes nothing.
 */

/**
 * query_answer() - @args: NULL or an object, borrowed. *ret_result is the caller's.
 * Return: 0; -EINVAL: no such query, or its arguments are wrong (the message says which); -ENOENT: it asks for something
 * that is not there; -errno.
 */
int query_answer(struct daemon *d, const char *what, const struct vw_json *args, struct vw_json **ret_result,
		 struct vw_err *err);
