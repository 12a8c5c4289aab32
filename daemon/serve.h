#pragma once

struct daemon;
struct rpc_conn;
struct rpc_server_ops;

/**
 * DOC: requests
 *
 * What the socket's peers ask for. Everything is answered at once, but an ADD that finds no address, or whose veth's name
 * is still being deleted: it becomes a waiter and is tried again, in order of arrival, whenever the pool changes, until its
 * deadline or until it is plain that nothing will come.
 */
extern const struct rpc_server_ops serve_ops;

/** serve_waiters() - try every waiter again; answers those that are served or hopeless. */
void serve_waiters(struct daemon *d);
/** serve_done() - drop what waits, at the end. */
void serve_done(struct daemon *d);
