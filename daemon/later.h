#pragma once

#include <sys/queue.h>

struct daemon;
struct rpc_conn;
struct vw_err;
struct vw_json;

/**
 * DOC: queries that are answered later
 *
 * Some answers have to be waited for: EC2's word, the next event. The connection waits in a struct later, in the loop's thread,
 * until exactly one later_answer(), later_fail() or later_forget(), which also frees it. When the asker has gone meanwhile, or the daemon ends, the answer
 * goes nowhere; nobody who waits for a worker needs to know.
 */
struct later {
	TAILQ_ENTRY(later) entry;
	struct daemon *d;
	struct rpc_conn *conn;
	void (*gone)(void *arg);
	void *arg;
};
TAILQ_HEAD(later_list, later);

/** later_new() - @gone: the asker has gone; it must later_fail() or later_answer() then, or when it is done. May be NULL. NULL: no memory. */
struct later *later_new(struct daemon *d, struct rpc_conn *conn, void (*gone)(void *arg), void *arg);
/** later_answer() - @take_result: NULL when there was no memory for it. */
void later_answer(struct later *take_l, struct vw_json *take_result);
void later_fail(struct later *take_l, const struct vw_err *err);
/** later_forget() - the connection is the caller's again. */
void later_forget(struct later *take_l);

/** later_gone() - @conn is no more. later_done() - nor is any other. */
void later_gone(struct daemon *d, const struct rpc_conn *conn);
void later_done(struct daemon *d);
