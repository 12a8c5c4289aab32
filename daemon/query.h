#pragma once

struct daemon;
struct rpc_conn;
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
/**
 * query_begin() - of the few queries whose answer must be waited for (later.h).
 * Return: 1 = @conn is or will be answered; 0 = @what is none of them; -errno: it is not, @err says why.
 */
int query_begin(struct daemon *d, struct rpc_conn *conn, const char *what, const struct vw_json *args, struct vw_err *err);
