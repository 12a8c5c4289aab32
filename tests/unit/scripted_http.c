/* See scripted_http.h. One thread polls all connections; the list of requests is behind a mutex. */
#include "tests/unit/scripted_http.h"

#include "lib/base/buf.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNS 16

struct conn {
	int fd;
	struct vw_buf in;
};

struct scripted_http {
	const struct scripted_step *steps;
	size_t n_steps;
	int listen_fd, stop_fd;
	char url[64];
	pthread_t thread;
	struct conn conns[MAX_CONNS];
	size_t n_conns;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t more;
	char *requests[SCRIPTED_MAX_REQUESTS];
	size_t n_requests, n_accepted;
};

static void send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

/* Length of the whole request at the start of @b, 0 if it is not all there. */
static size_t request_len(const struct vw_buf *b)
{
	const char *end = b->len ? strstr(b->data, "\r\n\r\n") : NULL, *cl;
	uint64_t body = 0;
	size_t head;

	if (!end)
		return 0;
	head = (size_t)(end - b->data) + 4;
	cl = strcasestr(b->data, "\r\nContent-Length: ");
	if (cl && cl < end) {
		char text[16] = "";

		cl += strlen("\r\nContent-Length: ");
		memcpy(text, cl, strcspn(cl, "\r") < sizeof(text) ? strcspn(cl, "\r") : 0);
		if (vw_parse_u64(text, 0, 1 << 20, &body) < 0)
			abort();
	}
	return b->len >= head + body ? head + body : 0;
}

/* False when the connection is over. */
static bool answer(struct scripted_http *s, struct conn *c, size_t index)
{
	static const struct scripted_step beyond = { .status = 599, .body = "beyond the script" };
	const struct scripted_step *step = index < s->n_steps ? &s->steps[index] : &beyond;
	size_t len = step->body ? strlen(step->body) : 0;
	struct vw_buf out = VW_BUF_INIT;

	if (step->how == SCRIPTED_DROP)
		return false;
	if (step->how == SCRIPTED_HANG)
		return true;
	vw_buf_printf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", step->status, len,
		      step->headers ? step->headers : "");
	vw_buf_add(&out, step->body ? step->body : "", step->how == SCRIPTED_CUT ? len / 2 : len);
	send_all(c->fd, out.data, out.len);
	vw_buf_done(&out);
	return step->how != SCRIPTED_CUT;
}

static bool serve(struct scripted_http *s, struct conn *c)
{
	char buf[4096];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
	size_t len, index;

	if (n <= 0)
		return false;
	vw_buf_add(&c->in, buf, (size_t)n);
	len = request_len(&c->in);
	if (!len)
		return true;
	pthread_mutex_lock(&s->lock);
	index = s->n_requests;
	if (index < SCRIPTED_MAX_REQUESTS) {
		s->requests[index] = strndup(c->in.data, len);
		s->n_requests++;
	}
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	vw_buf_reset(&c->in); /* clients here do not send the next request before the answer */
	return answer(s, c, index);
}

static void drop_conn(struct scripted_http *s, size_t i)
{
	close(s->conns[i].fd);
	vw_buf_done(&s->conns[i].in);
	s->conns[i] = s->conns[--s->n_conns];
}

static void accept_conn(struct scripted_http *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->n_conns == MAX_CONNS) {
		close(fd);
		return;
	}
	s->conns[s->n_conns++] = (struct conn){ .fd = fd };
	pthread_mutex_lock(&s->lock);
	s->n_accepted++;
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct scripted_http *s = arg;

	for (;;) {
		struct pollfd p[MAX_CONNS + 2] = { { s->stop_fd, POLLIN, 0 }, { s->listen_fd, POLLIN, 0 } };
		size_t n = s->n_conns;

		for (size_t i = 0; i < n; i++)
			p[i + 2] = (struct pollfd){ s->conns[i].fd, POLLIN, 0 };
		if (poll(p, (nfds_t)n + 2, -1) < 0)
			continue;
		if (p[0].revents)
			break;
		for (size_t i = n; i-- > 0;) {
			if (p[i + 2].revents && !serve(s, &s->conns[i]))
				drop_conn(s, i);
		}
		if (p[1].revents)
			accept_conn(s);
	}
	while (s->n_conns)
		drop_conn(s, 0);
	return NULL;
}

struct scripted_http *scripted_start(const struct scripted_step *steps, size_t n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct scripted_http *s = calloc(1, sizeof(*s));
	socklen_t len = sizeof(a);

	assert_non_null(s);
	s->steps = steps;
	s->n_steps = n;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->stop_fd >= 0 && s->listen_fd >= 0);
	assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->listen_fd, 16), 0);
	assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&a, &len), 0);
	assert_true(vw_fmt(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(a.sin_port)) > 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
	return s;
}

void scripted_stop(struct scripted_http *s)
{
	const uint64_t one = 1;

	assert_int_equal(write(s->stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(s->thread, NULL);
	close(s->stop_fd);
	close(s->listen_fd);
	for (size_t i = 0; i < s->n_requests; i++)
		free(s->requests[i]);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *scripted_url(const struct scripted_http *s)
{
	return s->url;
}

size_t scripted_n(struct scripted_http *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n_requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t scripted_connections(struct scripted_http *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n_accepted;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const char *scripted_request(struct scripted_http *s, size_t i)
{
	const char *text;

	pthread_mutex_lock(&s->lock);
	text = i < s->n_requests ? s->requests[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return text;
}

const char *scripted_header(struct scripted_http *s, size_t i, const char *name, char *ret, size_t size)
{
	const char *text = scripted_request(s, i), *end, *p;
	char key[64];

	assert_non_null(text);
	end = strstr(text, "\r\n\r\n");
	assert_true(vw_fmt(key, sizeof(key), "\r\n%s: ", name) > 0);
	p = strcasestr(text, key);
	ret[0] = 0;
	if (p && p < end) {
		p += strlen(key);
		assert_true(vw_fmt(ret, size, "%.*s", (int)strcspn(p, "\r"), p) >= 0);
	}
	return ret;
}

void scripted_wait(struct scripted_http *s, size_t n)
{
	pthread_mutex_lock(&s->lock);
	while (s->n_requests < n)
		pthread_cond_wait(&s->more, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
