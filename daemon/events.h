#pragma once

#include <stddef.h>

struct daemon;
struct events;
struct rpc_conn;
struct vw_err;
struct vw_json;

/**
 * DOC: what has happened
 *
 * The last EVENTS_KEPT lines of the log, those that the log level drops included, and connections that policy denied; each with a number
 * that only grows. Operators read them from a number on, and may wait for the next (vpcwirectl events).
 */
#define EVENTS_KEPT 512

/* errors and warnings have a ring of their own beside it, so that neither denied connections nor the news of a busy node push them out */
#define ERRORS_KEPT 16

/** events_new() - hears the log from now on. Before there are worker threads that log. */
int events_new(struct daemon *d, struct events **ret, struct vw_err *err);
/** events_free() - when they are gone. NULL is fine. */
void events_free(struct events *e);

/**
 * events_add() - @kind: "denied", or a log level. @text: "key=value ...", cut off when long. Any thread. @e: NULL is fine: nobody keeps any.
 */
void events_add(struct events *e, const char *kind, const char *text, size_t len);
/** events_json() - those behind number @after: {next, lost, events: [{seq, ts, kind, text}]}. NULL = no memory. */
struct vw_json *events_json(struct events *e, unsigned long long after);
/**
 * events_errors_json() - the last errors and warnings, the latest first: [{ts, kind, text, times, todo}]. What is said again and again is one of
 * them, @times of it since it began, ts of the last. todo: advice_todo(), left out where there is none. NULL = no memory.
 */
struct vw_json *events_errors_json(struct events *e);
/**
 * events_query() - query "events". @args: after (a number, default 0: all that are kept), wait_ms (for one if there is none; default 0).
 * Answers @conn, now or later. Return: 0, -errno: nothing has been answered.
 */
int events_query(struct daemon *d, struct rpc_conn *conn, const struct vw_json *args, struct vw_err *err);
