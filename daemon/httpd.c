/*
 * The only file of the daemon that knows libmicrohttpd. It runs with its own epoll fd (external mode), which the loop
 * watches; after every MHD_run() its next timeout becomes a timer of ours. Connections are taken by us (acceptor.h) and given to it: it
 * would wait for a descriptor by asking again and again.
 */
#include "daemon/httpd.h"

#include "daemon/acceptor.h"
#include "daemon/loop.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define IDLE_TIMEOUT_S 30
#define MAX_CONNECTIONS 16
#define BODY_MAX (8u * 1024 * 1024)
#define UNIX_PREFIX "unix:"
#define POLICY "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct httpd {
	struct loop *loop;
	struct MHD_Daemon *mhd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	int listen_fd;
	struct acceptor *acceptor;
	unsigned int n_conns;
	const struct httpd_page *pages;
	size_t n;
	void *arg;
	char unix_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* --- addresses */

struct endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} u;
	socklen_t len;
};

static int bad_address(const char *text, struct vw_err *err)
{
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
			  "'%.80s' is not an address to listen on, wanted one like 127.0.0.1:61678, [::1]:61678 or unix:/run/x.sock", text);
}

static int parse_unix(const char *path, struct endpoint *ret)
{
	ret->u.un.sun_family = AF_UNIX;
	if (path[0] != '/' || vw_fmt(ret->u.un.sun_path, sizeof(ret->u.un.sun_path), "%s", path) < 0)
		return -EINVAL;
	ret->len = sizeof(ret->u.un);
	return 0;
}

/* "1.2.3.4" and 80, "[::1]" and 80 */
static int parse_inet(const char *text, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';
	char host[VW_IP_STRLEN];
	struct vw_ip ip;
	uint64_t port;
	int n;

	if (!colon || vw_parse_u64(colon + 1, 1, 65535, &port) < 0 || (bracket && colon[-1] != ']'))
		return -EINVAL;
	n = (int)(colon - text) - 2 * bracket;
	if (n <= 0 || vw_fmt(host, sizeof(host), "%.*s", n, text + bracket) < 0 || vw_ip_parse(host, &ip) < 0 ||
	    bracket != (ip.family == AF_INET6))
		return -EINVAL;
	if (ip.family == AF_INET) {
		ret->u.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
		memcpy(&ret->u.in.sin_addr, ip.b, 4);
		ret->len = sizeof(ret->u.in);
	} else {
		ret->u.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
		memcpy(&ret->u.in6.sin6_addr, ip.b, 16);
		ret->len = sizeof(ret->u.in6);
	}
	return 0;
}

static int parse_address(const char *text, struct endpoint *ret, struct vw_err *err)
{
	size_t prefix = strlen(UNIX_PREFIX);
	int r;

	*ret = (struct endpoint){ 0 };
	r = strncmp(text, UNIX_PREFIX, prefix) ? parse_inet(text, ret) : parse_unix(text + prefix, ret);
	return r < 0 ? bad_address(text, err) : 0;
}

int httpd_check_address(const char *address, struct vw_err *err)
{
	struct endpoint e;

	return *address ? parse_address(address, &e, err) : 0;
}

/* one that a killed daemon left; a file that is something else stays, and bind() says that it is in the way */
static void remove_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
}

static int listen_on(const char *address, struct httpd *h, struct vw_err *err)
{
	struct endpoint e;
	vw_auto_close int fd = -EBADF;
	int one = 1, r = parse_address(address, &e, err);

	if (r < 0)
		return r;
	fd = socket(e.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vw_err_sys(err, errno, 0, "no socket to listen on %s", address);
	if (e.u.sa.sa_family == AF_UNIX) {
		remove_socket(e.u.un.sun_path);
	} else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) {
		return vw_err_sys(err, errno, 0, "SO_REUSEADDR on %s", address);
	}
	/* the mode of the fd is that of the file which bind() makes */
	if (fchmod(fd, 0600) < 0 || bind(fd, &e.u.sa, e.len) < 0 || listen(fd, MAX_CONNECTIONS) < 0)
		return vw_err_sys(err, errno, 0, "cannot listen on %s", address);
	if (e.u.sa.sa_family == AF_UNIX)
		(void)VW_COPY(h->unix_path, e.u.un.sun_path);
	h->listen_fd = VW_TAKE_FD(fd);
	return 0;
}

/* --- requests */

/* what a client on this machine writes: an address, "localhost", or nothing (HTTP/1.0, unix sockets) */
static bool host_allowed(struct MHD_Connection *conn)
{
	const char *host = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	char name[VW_IP_STRLEN + 2];
	struct vw_ip ip;
	size_t n;

	if (!host || !*host)
		return true;
	if (host[0] == '[') {
		n = strcspn(++host, "]");
	} else {
		n = strcspn(host, ":");
	}
	if (vw_fmt(name, sizeof(name), "%.*s", (int)n, host) < 0)
		return false;
	return !strcmp(name, "localhost") || vw_ip_parse(name, &ip) == 0;
}

static enum MHD_Result reply(struct MHD_Connection *conn, unsigned int status, const char *type, const char *body, size_t len)
{
	/* libmicrohttpd copies and does not write; its prototype has no const */
	struct MHD_Response *r = MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Content-Security-Policy", POLICY);
	MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ok = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result reply_text(struct MHD_Connection *conn, unsigned int status, const char *text)
{
	return reply(conn, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				  const char *version, const char *data, size_t *data_size, void **seen)
{
	struct httpd *h = cls;
	vw_auto_buf struct vw_buf body = VW_BUF_INIT_MAX(BODY_MAX);
	struct vw_err err;
	int r;

	/* called once after the headers, where a body would still come, and once more for the answer */
	if (!*seen) {
		*seen = h;
		return MHD_YES;
	}
	if (*data_size) {
		*data_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return reply_text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (!host_allowed(conn))
		return reply_text(conn, MHD_HTTP_FORBIDDEN, "ask by address, not by name\n");
	for (size_t i = 0; i < h->n; i++) {
		if (strcmp(url, h->pages[i].path))
			continue;
		r = h->pages[i].print(h->arg, &body, &err);
		if (r == -ENOENT)
			return reply_text(conn, MHD_HTTP_NOT_FOUND, err.msg);
		if (r < 0 || vw_buf_err(&body) < 0)
			return reply_text(conn, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
		return reply(conn, MHD_HTTP_OK, h->pages[i].type, vw_buf_str(&body), body.len);
	}
	return reply_text(conn, MHD_HTTP_NOT_FOUND, "no such page\n");
}

/* --- the loop */

static void on_connection(void *cls, struct MHD_Connection *conn, void **socket_context, enum MHD_ConnectionNotificationCode what)
{
	struct httpd *h = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		h->n_conns++;
		return;
	}
	h->n_conns--;
	if (h->acceptor)
		acceptor_resume(h->acceptor);
}

static void run(void *arg)
{
	struct httpd *h = arg;
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->mhd);
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES)
		loop_timer_set(h->timer, ms);
	else
		loop_timer_stop(h->timer);
}

static bool has_place(void *arg)
{
	struct httpd *h = arg;

	return h->n_conns < MAX_CONNECTIONS;
}

static void on_accepted(int take_fd, const struct sockaddr *sa, socklen_t len, void *arg)
{
	struct httpd *h = arg;

	/* closes it itself where it cannot take it */
	if (MHD_add_connection(h->mhd, take_fd, sa, len) != MHD_YES)
		vw_warn("no memory for an HTTP connection, dropping it");
	run(h);
}

static const struct vw_accept_ops accepting = { has_place, on_accepted };

static int start(struct httpd *h, struct vw_err *err)
{
	const union MHD_DaemonInfo *info;

	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, h, MHD_OPTION_NOTIFY_CONNECTION,
				  on_connection, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_TIMEOUT_S, MHD_OPTION_END);
	if (!h->mhd)
		return vw_err_set(err, EIO, 0, "the HTTP server could not be started");
	info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || loop_timer_new(h->loop, run, h, &h->timer) < 0 ||
	    loop_fd_watch(h->loop, info->epoll_fd, run, h, &h->watch) < 0 ||
	    acceptor_new(h->loop, h->listen_fd, "the HTTP server", &accepting, h, &h->acceptor) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the HTTP server");
	run(h);
	return 0;
}

int httpd_new(struct loop *loop, const char *address, const struct httpd_page *pages, size_t n, void *arg,
	      struct httpd **ret_httpd, struct vw_err *err)
{
	struct httpd *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return vw_err_set(err, ENOMEM, 0, "no memory for the HTTP server");
	*h = (struct httpd){ .loop = loop, .listen_fd = -EBADF, .pages = pages, .n = n, .arg = arg };
	r = listen_on(address, h, err);
	if (r == 0)
		r = start(h, err);
	if (r < 0) {
		httpd_free(h);
		return r;
	}
	*ret_httpd = h;
	return 0;
}

void httpd_serve(struct httpd **h, struct loop *loop, const char *address, bool off, const struct httpd_page *pages, size_t n, void *arg,
		 const char *advice)
{
	struct vw_err err;

	httpd_free(*h);
	*h = NULL;
	if (!off && *address && httpd_new(loop, address, pages, n, arg, h, &err) < 0)
		vw_warn(advice, "err=\"%s\"", err.msg);
}

void httpd_free(struct httpd *h)
{
	if (!h)
		return;
	acceptor_free(h->acceptor);
	h->acceptor = NULL;
	vw_close_fd(&h->listen_fd);
	loop_fd_unwatch(h->watch);
	loop_timer_free(h->timer);
	if (h->mhd)
		MHD_stop_daemon(h->mhd);
	if (*h->unix_path)
		remove_socket(h->unix_path);
	free(h);
}
