#pragma once

struct loop;
struct vw_buf;
struct vw_err;
struct vw_rpc_req;

/**
 * DOC: the daemon's socket
 *
 * Accepts root peers, reads one request per connection, hands it to @handle. The handler answers at once or later, with
 * exactly one rpc_conn_reply() or rpc_conn_fail() per connection; if the peer goes away before (a runtime kills a slow
 * plugin with SIGKILL), @gone is called instead and the connection must not be used again.
 * At most RPC_SERVER_MAX_CONNS at once, and as many as there are descriptors; further ones wait in the kernel's backlog (acceptor.h). A peer that connects and says nothing
 * is dropped after RPC_SERVER_SILENCE_MS.
 */
#define RPC_SERVER_MAX_CONNS 512
#define RPC_SERVER_SILENCE_MS 5000

struct rpc_server;
struct rpc_conn;

struct rpc_server_ops {
	/* @req is borrowed for the length of the call */
	void (*handle)(struct rpc_conn *conn, const struct vw_rpc_req *req, void *arg);
	void (*gone)(struct rpc_conn *conn, void *arg);
};

/** rpc_server_new() - listen on @socket_path (see vw_rpc_listen()); accepts from the loop's next turn on. */
int rpc_server_new(struct loop *loop, const char *socket_path, const struct rpc_server_ops *ops, void *arg,
		   struct rpc_server **ret_server, struct vw_err *err);
/** rpc_server_free() - closes the socket and every connection; unanswered peers see the end of the connection. */
void rpc_server_free(struct rpc_server *s);

/** rpc_conn_version() - of the protocol, in which this peer is to be answered. */
unsigned int rpc_conn_version(const struct rpc_conn *conn);
/** rpc_conn_reply() - send @message and close. @conn is gone afterwards. Return: 0; -errno: the peer did not get it. */
int rpc_conn_reply(struct rpc_conn *conn, const struct vw_buf *message);
/** rpc_conn_fail() - send @failure as an error reply and close. */
void rpc_conn_fail(struct rpc_conn *conn, const struct vw_err *failure);
