/*
 * Two token requests: one as any, to see that there is an answer at all, and one whose answers must have a TTL of 2. The floor is set
 * after the connection is there, because the handshake's packets need not have the same TTL.
 */
#include "daemon/imds_hops.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 1000          /* it is a hop away: what has not come by then does not come */
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

struct endpoint {
	struct vw_ip ip;
	uint16_t port;
};

/* "http://1.2.3.4", "http://[::1]:8080/" */
static int parse(const char *url, struct endpoint *ret)
{
	static const char scheme[] = "http://";
	char host[VW_IP_STRLEN], port[8];
	const char *at = url + strlen(scheme), *end;
	uint64_t number = 80;
	bool bracket;

	if (strncmp(url, scheme, strlen(scheme)) != 0)
		return -EINVAL;
	bracket = *at == '[';
	at += bracket;
	end = at + strcspn(at, bracket ? "]" : ":/");
	if (vw_fmt(host, sizeof(host), "%.*s", (int)(end - at), at) < 0 || vw_ip_parse(host, &ret->ip) < 0 || (bracket && *end != ']'))
		return -EINVAL;
	end += bracket;
	if (*end == ':') {
		if (vw_fmt(port, sizeof(port), "%.*s", (int)strcspn(end + 1, "/"), end + 1) < 0 || vw_parse_u64(port, 1, 65535, &number) < 0)
			return -EINVAL;
		end += strcspn(end, "/");
	}
	ret->port = (uint16_t)number;
	return *end == 0 || *end == '/' ? 0 : -EINVAL;
}

static int wait_for(int fd, short what, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = what };
	int r = poll(&p, 1, vw_deadline_left(deadline_ms));

	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

static int open_to(const struct endpoint *e, uint64_t deadline_ms)
{
	vw_auto_close int fd = socket(e->ip.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(e->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };
	bool four = e->ip.family == AF_INET;
	int r, failed = 0;
	socklen_t len = sizeof(failed);

	if (fd < 0)
		return -errno;
	memcpy(four ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, e->ip.b, four ? 4 : 16);
	r = four ? connect(fd, (struct sockaddr *)&in, sizeof(in)) : connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	if (r < 0 && errno != EINPROGRESS)
		return -errno;
	r = wait_for(fd, POLLOUT, deadline_ms);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0 || failed)
		return failed ? -failed : -errno;
	return VW_TAKE_FD(fd);
}

/* Return: 1 = answered, with packets of at least that TTL, 0 = not, -errno */
static int answers(const struct endpoint *e, int ttl, uint64_t deadline_ms)
{
	static const char request[] = "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-ec2-metadata-token-ttl-seconds: 1\r\n"
				      "Content-Length: 0\r\nConnection: close\r\n\r\n";
	vw_auto_close int fd = open_to(e, deadline_ms);
	uint64_t until = vw_mono_ms() + ANSWER_MS;
	bool four = e->ip.family == AF_INET;
	char answer[16];
	int r;

	if (fd < 0)
		return fd;
	if (ttl && setsockopt(fd, four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_MINTTL : IPV6_MINHOPCOUNT, &ttl, sizeof(ttl)) < 0)
		return -errno;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
		return -EIO;
	r = wait_for(fd, POLLIN, ttl && until < deadline_ms ? until : deadline_ms);
	if (r < 0)
		return r == -ETIMEDOUT ? 0 : r;
	return read(fd, answer, sizeof(answer)) > 0 ? 1 : -EIO;
}

int imds_hops(const char *endpoint, uint64_t deadline_ms, struct vw_err *err)
{
	struct endpoint e;
	int r = parse(endpoint, &e);

	if (r < 0)
		return vw_err_set(err, EINVAL, 0, "'%.100s' is no http URL with an address", endpoint);
	r = answers(&e, 0, deadline_ms);
	if (r == 1)
		r = answers(&e, 2, deadline_ms);
	else if (r == 0)
		r = -ETIMEDOUT;
	if (r < 0)
		return vw_err_sys(err, -r, 0, "asking %.100s for a token", endpoint);
	return r + 1;
}
