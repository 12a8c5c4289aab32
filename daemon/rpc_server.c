/*
 * A connection's life: READING (its request has not come; a timer runs) -> HELD (the handler has it; the fd is still
 * watched, only to learn that the peer went away) -> closed by a reply, by the peer, or by the timer.
 */
#include "daemon/rpc_server.h"

#include "daemon/acceptor.h"
#include "daemon/loop.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/rpc/rpc.h"

#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct rpc_conn {
	struct rpc_server *server;
	int fd;
	bool held;
	unsigned int version;           /* agreed on with its request */
	struct loop_fd *watch;
	struct loop_timer *silence;
	LIST_ENTRY(rpc_conn) entry;
};

struct rpc_server {
	struct loop *loop;
	const struct rpc_server_ops *ops;
	void *arg;
	int listen_fd, lock_fd;
	struct acceptor *acceptor;
	unsigned int n_conns;
	LIST_HEAD(, rpc_conn) conns;
	char packet[VW_RPC_MAX + 1];    /* one request at a time is read and decoded */
};

static void conn_close(struct rpc_conn *c)
{
	struct rpc_server *s = c->server;

	loop_fd_unwatch(c->watch);
	loop_timer_free(c->silence);
	close(c->fd);
	LIST_REMOVE(c, entry);
	free(c);
	s->n_conns--;
	if (s->acceptor)
		acceptor_resume(s->acceptor);
}

static int conn_send(struct rpc_conn *c, const struct vw_buf *message)
{
	int r = vw_rpc_send(c->fd, message);

	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		vw_warn("a reply could not be sent, ignoring", "err=\"%s\"", strerror(-r));
	return r;
}

unsigned int rpc_conn_version(const struct rpc_conn *conn)
{
	return conn->version;
}

int rpc_conn_reply(struct rpc_conn *conn, const struct vw_buf *message)
{
	int r = conn_send(conn, message);

	conn_close(conn);
	return r;
}

void rpc_conn_fail(struct rpc_conn *conn, const struct vw_err *failure)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;

	if (vw_rpc_error_encode(conn->version, failure, &b, &err) == 0)
		(void)conn_send(conn, &b);
	conn_close(conn);
}

static void on_silence(void *arg)
{
	struct rpc_conn *c = arg;

	vw_warn("a peer connected and sent no request, dropping it");
	conn_close(c);
}

static void conn_request(struct rpc_conn *c, ssize_t n)
{
	struct rpc_server *s = c->server;
	struct vw_rpc_req req = { 0 };
	struct vw_err err;

	loop_timer_stop(c->silence);
	c->held = true;
	if (n > VW_RPC_MAX) {
		vw_err_set(&err, EMSGSIZE, VW_CNI_DAEMON, "the request is larger than %d bytes", VW_RPC_MAX);
		rpc_conn_fail(c, &err);
		return;
	}
	if (vw_rpc_req_decode(s->packet, (size_t)n, &req, &err) < 0) {
		rpc_conn_fail(c, &err);
		return;
	}
	c->version = vw_rpc_version_of(&req);
	s->ops->handle(c, &req, s->arg);
	vw_rpc_req_done(&req);
}

static void on_readable(void *arg)
{
	struct rpc_conn *c = arg;
	struct rpc_server *s = c->server;
	/* MSG_TRUNC: the true length, so that a longer packet is told apart from one that just fits */
	ssize_t n = recv(c->fd, s->packet, sizeof(s->packet), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && !c->held) {
		conn_request(c, n);
		return;
	}
	if (c->held)            /* hung up, or says more than it should: either way nobody waits for the answer */
		s->ops->gone(c, s->arg);
	conn_close(c);
}

static int conn_new(struct rpc_server *s, int take_fd)
{
	vw_auto_close int fd = take_fd;
	struct rpc_conn *c;

	if (!vw_rpc_peer_is_root(fd)) {
		vw_warn("a peer that is not root was turned away");
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->server = s;
	c->version = VW_RPC_VERSION_MIN;
	c->fd = fd;
	if (loop_timer_new(s->loop, on_silence, c, &c->silence) < 0 ||
	    loop_fd_watch(s->loop, fd, on_readable, c, &c->watch) < 0) {
		loop_timer_free(c->silence);
		free(c);
		return -ENOMEM;
	}
	VW_TAKE_FD(fd);
	loop_timer_set(c->silence, RPC_SERVER_SILENCE_MS);
	LIST_INSERT_HEAD(&s->conns, c, entry);
	s->n_conns++;
	return 0;
}

static bool has_place(void *arg)
{
	struct rpc_server *s = arg;

	return s->n_conns < RPC_SERVER_MAX_CONNS;
}

static void on_accepted(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg)
{
	(void)sa;               /* a unix socket's peer has no name */
	(void)len;
	if (conn_new(arg, take_fd) < 0)
		vw_warn("no memory for a connection, dropping it");
}

static const struct vw_accept_ops accepting = { has_place, on_accepted };

int rpc_server_new(struct loop *loop, const char *socket_path, const struct rpc_server_ops *ops, void *arg,
		   struct rpc_server **ret_server, struct vw_err *err)
{
	struct rpc_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return vw_err_set(err, ENOMEM, 0, "no memory for the RPC server");
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	s->lock_fd = -EBADF;
	LIST_INIT(&s->conns);
	s->listen_fd = vw_rpc_listen(socket_path, &s->lock_fd, err);
	if (s->listen_fd < 0) {
		r = s->listen_fd;
		free(s);
		return r;
	}
	r = acceptor_new(loop, s->listen_fd, "the socket of plugins", &accepting, s, &s->acceptor);
	if (r < 0) {
		rpc_server_free(s);
		return vw_err_sys(err, r, 0, "watching the socket '%s'", socket_path);
	}
	*ret_server = s;
	return 0;
}

void rpc_server_free(struct rpc_server *s)
{
	struct rpc_conn *c;

	if (!s)
		return;
	acceptor_free(s->acceptor);
	s->acceptor = NULL;
	vw_close_fd(&s->listen_fd);
	while ((c = LIST_FIRST(&s->conns)))
		conn_close(c);
	vw_close_fd(&s->lock_fd);
	free(s);
}
