/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that knows libmicrohttpd. Each daemon runs with its own epoll fd (external mode), which the
 * loop watches; after every MHD_run() its next timeout becomes a timer of ours. Connections are taken by us
 * (acceptor.h) and given to it: it would wait for a descriptor by asking again and again.
 *
 * A request: uri callback makes it -> body chunks are collected -> handler fills resp -> answered at once, or
 * the connection is suspended. A suspended one is woken by its timer, or by the client closing (watched on a
 * duplicate of the socket, because libmicrohttpd does not look at suspended connections), and is then
 * answered or dropped.
 */
#include "sim/http.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "sim/acceptor.h"
#include "sim/loop.h"

#define IDLE_TIMEOUT_S  60
#define MAX_CONNECTIONS 512

struct request {
	TAILQ_ENTRY(request) link;
	struct sim_http *h;
	struct MHD_Connection *conn;
	char *target;
	struct vw_buf body;
	bool started, too_big, handled, suspended, drop;
	struct sim_http_resp resp;
	struct sim_timer timer;
	int watch_fd;
};

TAILQ_HEAD(requests, request);

struct sim_http {
	struct sim_loop *loop;
	struct MHD_Daemon *d;
	int listen_fd, epfd;
	struct sim_acceptor acceptor;
	unsigned int n_conns;
	sim_http_fn *fn;
	void *arg;
	struct requests requests;
	struct sim_timer timer;
	bool running;
	bool ttl_set;           /* some answer had one of its own */
};

static void run(void *arg)
{
	struct sim_http *h = arg;
	MHD_UNSIGNED_LONG_LONG ms;

	if (h->running)
		return;
	h->running = true;
	MHD_run(h->d);
	h->running = false;
	if (MHD_get_timeout(h->d, &ms) == MHD_YES)
		sim_timer_set(h->loop, &h->timer, ms, run, h);
	else
		sim_timer_clear(&h->timer);
}

static void ready(void *arg, uint32_t events)
{
	run(arg);
}

/* The target is signed as it was sent, so it is kept before libmicrohttpd decodes it. The result becomes
 * *con_cls. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->h = cls;
	q->conn = conn;
	q->watch_fd = -EBADF;
	q->body.max = SIM_HTTP_MAX_BODY;
	q->target = strdup(uri);
	TAILQ_INSERT_TAIL(&q->h->requests, q, link);
	return q;
}

static void unwatch(struct request *q)
{
	sim_timer_clear(&q->timer);
	if (q->watch_fd >= 0)
		sim_loop_unwatch(q->h->loop, q->watch_fd);
	vw_close_fd(&q->watch_fd);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
			 enum MHD_RequestTerminationCode why)
{
	struct request *q = *con_cls;

	if (!q)
		return;
	unwatch(q);
	TAILQ_REMOVE(&q->h->requests, q, link);
	vw_buf_done(&q->body);
	vw_buf_done(&q->resp.body);
	free(q->target);
	free(q);
	*con_cls = NULL;
}

static void resume(struct request *q)
{
	unwatch(q);
	q->suspended = false;
	MHD_resume_connection(q->conn);
	/* not from here: this may be inside a callback of the loop that goes on using q */
	sim_timer_set(q->h->loop, &q->h->timer, 0, run, q->h);
}

static void on_delay(void *arg)
{
	resume(arg);
}

static void on_client_gone(void *arg, uint32_t events)
{
	struct request *q = arg;

	q->drop = true;
	resume(q);
}

static enum MHD_Result suspend(struct request *q)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(q->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info ? fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (fd < 0 || sim_loop_watch(q->h->loop, fd, EPOLLRDHUP, on_client_gone, q) < 0) {
		vw_close_fd(&fd);
		return MHD_NO;
	}
	q->watch_fd = fd;
	q->suspended = true;
	MHD_suspend_connection(q->conn);
	if (q->resp.end != SIM_HTTP_HANG)
		sim_timer_set(q->h->loop, &q->timer, q->resp.delay_ms, on_delay, q);
	return MHD_YES;
}

/* -1 is the system's own; connections outlive an answer */
static void set_ttl(const struct request *q)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(q->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	int ttl = q->resp.ttl ? (int)q->resp.ttl : -1;

	if (info && setsockopt(info->connect_fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) < 0 && errno != ENOPROTOOPT)
		(void)setsockopt(info->connect_fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
}

static enum MHD_Result answer(struct request *q)
{
	struct sim_http_resp *a = &q->resp;
	struct MHD_Response *r;
	enum MHD_Result ok;
	size_t i, len = a->body.len;

	if (vw_buf_err(&a->body) < 0) {
		a->status = 500;
		len = 0;
	}
	r = MHD_create_response_from_buffer(len, a->body.data, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	if (a->type)
		MHD_add_response_header(r, "Content-Type", a->type);
	MHD_add_response_header(r, "Server", "vpcwire-sim");
	for (i = 0; i < a->n_headers; i++)
		MHD_add_response_header(r, a->headers[i].name, a->headers[i].value);
	q->h->ttl_set |= a->ttl != 0;
	if (q->h->ttl_set)
		set_ttl(q);
	ok = MHD_queue_response(q->conn, (unsigned int)a->status, r);
	MHD_destroy_response(r);
	return ok;
}

static struct vw_ip peer_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct vw_ip ip = { 0 };

	if (!info || !info->client_addr)
		return ip;
	ip.family = (uint8_t)info->client_addr->sa_family;
	if (ip.family == AF_INET)
		memcpy(ip.b, &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr, 4);
	else if (ip.family == AF_INET6)
		memcpy(ip.b, &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr, 16);
	return ip;
}

static void handle(struct request *q, const char *method)
{
	struct sim_http_req req = {
		.method = method,
		.target = q->target,
		.body = vw_buf_str(&q->body),
		.body_len = q->body.len,
		.peer = peer_of(q->conn),
		.conn = q->conn,
	};

	q->handled = true;
	q->resp.status = 200;
	if (q->too_big || vw_buf_err(&q->body) < 0)
		q->resp.status = 413;
	else
		q->h->fn(q->h->arg, &req, &q->resp);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				  const char *version, const char *data, size_t *data_size, void **con_cls)
{
	struct request *q = *con_cls;

	if (!q || !q->target)
		return MHD_NO;
	if (*data_size) {
		vw_buf_add(&q->body, data, *data_size);
		q->too_big |= vw_buf_err(&q->body) < 0;
		*data_size = 0;
		return MHD_YES;
	}
	if (q->handled)
		return q->drop || q->resp.end != SIM_HTTP_ANSWER ? MHD_NO : answer(q);
	/* the first call comes after the headers and before the body */
	if (!q->started) {
		q->started = true;
		return MHD_YES;
	}
	handle(q, method);
	if (q->resp.end == SIM_HTTP_ANSWER && !q->resp.delay_ms)
		return answer(q);
	if (q->resp.end == SIM_HTTP_CLOSE && !q->resp.delay_ms)
		return MHD_NO;
	return suspend(q);
}

const char *sim_http_header(const struct sim_http_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **socket_context, enum MHD_ConnectionNotificationCode what)
{
	struct sim_http *h = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		h->n_conns++;
		return;
	}
	h->n_conns--;
	sim_acceptor_resume(&h->acceptor);
}

static bool has_place(void *arg)
{
	const struct sim_http *h = arg;

	return h->n_conns < MAX_CONNECTIONS;
}

static void on_accepted(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg)
{
	struct sim_http *h = arg;

	/* closes it itself where it cannot take it */
	if (MHD_add_connection(h->d, take_fd, sa, len) != MHD_YES)
		vw_warn("no memory for an HTTP connection, dropping it");
	run(h);
}

static const struct vw_accept_ops accepting = { has_place, on_accepted };

int sim_http_new(struct sim_loop *loop, int take_fd, sim_http_fn *fn, void *arg, struct sim_http **ret_http)
{
	struct sim_http *h = calloc(1, sizeof(*h));
	const union MHD_DaemonInfo *info;
	int r;

	if (!h) {
		vw_close_fd(&take_fd);
		return -ENOMEM;
	}
	h->listen_fd = take_fd;
	h->loop = loop;
	h->fn = fn;
	h->arg = arg;
	TAILQ_INIT(&h->requests);
	h->d = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, h,
				MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)IDLE_TIMEOUT_S, MHD_OPTION_END);
	if (!h->d) {
		vw_close_fd(&h->listen_fd);
		free(h);
		return -EIO;
	}
	info = MHD_get_daemon_info(h->d, MHD_DAEMON_INFO_EPOLL_FD);
	h->epfd = info ? info->epoll_fd : -EBADF;
	r = sim_loop_watch(loop, h->epfd, EPOLLIN, ready, h);
	if (r == 0)
		r = sim_acceptor_start(&h->acceptor, loop, h->listen_fd, "HTTP", &accepting, h);
	if (r < 0) {
		sim_http_free(h);
		return r;
	}
	run(h);
	*ret_http = h;
	return 0;
}

void sim_http_free(struct sim_http *h)
{
	struct request *q;

	if (!h)
		return;
	sim_acceptor_stop(&h->acceptor);
	vw_close_fd(&h->listen_fd);
	sim_loop_unwatch(h->loop, h->epfd);
	sim_timer_clear(&h->timer);
	/* MHD_stop_daemon() wants no connection suspended */
	TAILQ_FOREACH(q, &h->requests, link) {
		unwatch(q);
		q->drop = true;
		if (q->suspended)
			MHD_resume_connection(q->conn);
	}
	h->running = true;
	MHD_run(h->d);
	MHD_stop_daemon(h->d);
	free(h);
}
