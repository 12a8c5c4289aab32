/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load between two places, TCP or UDP, as a stream or as questions that are answered one by one.
 *
 *   netload server PORT                              says "ready"; serves until stdin ends
 *   netload tcp|udp|tcp-rr|udp-rr ADDRESS PORT MS    JSON: {"bytes", "us", "n", "p50_ns", "p99_ns"}
 *
 * Streams count what the server has received: it answers with the number once the stream has ended. Of questions n is how many were answered,
 * and the times are from a question to its answer. A UDP question without an answer for 200 ms is asked again and does not count.
 */
#include "lib/base/cleanup.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS_MAX 30000            /* no load is longer */
#define CHUNK (128 * 1024)
#define DATAGRAM 1400
#define QUESTION 64
#define TIMES_MAX 2000000u
#define PEERS_MAX 16
#define AGAIN_MS 200
#define SENT 32                 /* datagrams between two looks at the clock */

enum { STREAM = 's', ASK = 'q', TOTAL = '?' }; /* first byte of a connection or datagram */

static char chunk[CHUNK];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_us(void)
{
	return now_ns() / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- server: one poll over the listener, the datagram socket and the connections */

struct peer {
	int fd;
	char kind;              /* 0: its first byte has not come */
	uint64_t bytes;
};

static void peer_close(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

static void peer_read(struct peer *p)
{
	ssize_t n = read(p->fd, chunk, sizeof(chunk));

	if (n > 0 && !p->kind)
		p->kind = chunk[0];
	if (n > 0 && p->kind == ASK) {
		if (write(p->fd, chunk, (size_t)n) != n)
			peer_close(p);
		return;
	}
	if (n > 0) {
		p->bytes += (uint64_t)n;
		return;
	}
	if (n == 0 && p->kind == STREAM && write(p->fd, &p->bytes, sizeof(p->bytes)) != sizeof(p->bytes))
		perror("netload: telling a client");
	peer_close(p);
}

static void datagrams(int fd, uint64_t *bytes)
{
	struct sockaddr_storage from;

	for (int i = 0; i < SENT; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, chunk, sizeof(chunk), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

		if (n <= 0)
			return;
		if (chunk[0] == ASK)
			(void)!sendto(fd, chunk, (size_t)n, 0, (struct sockaddr *)&from, len);
		else if (chunk[0] == TOTAL)
			(void)!sendto(fd, bytes, sizeof(*bytes), 0, (struct sockaddr *)&from, len);
		else
			*bytes += (uint64_t)n;
	}
}

static int listen_on(uint16_t port, int type)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), on = 1, room = 8 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		die("netload: opening a port");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (type == SOCK_STREAM && listen(fd, PEERS_MAX) < 0)
		die("netload: listening");
	return fd;
}

static void take_in(int listener, struct peer peers[PEERS_MAX])
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;

	for (int i = 0; fd >= 0 && i < PEERS_MAX; i++) {
		if (peers[i].fd >= 0)
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		peers[i] = (struct peer){ .fd = fd };
		return;
	}
	if (fd >= 0)
		close(fd);
}

static int serve(uint16_t port)
{
	struct peer peers[PEERS_MAX];
	struct pollfd fds[PEERS_MAX + 3];
	uint64_t bytes = 0;

	for (int i = 0; i < PEERS_MAX; i++)
		peers[i] = (struct peer){ .fd = -1 };
	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = listen_on(port, SOCK_STREAM), .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = listen_on(port, SOCK_DGRAM), .events = POLLIN };
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		for (int i = 0; i < PEERS_MAX; i++)
			fds[3 + i] = (struct pollfd){ .fd = peers[i].fd, .events = POLLIN };
		if (poll(fds, PEERS_MAX + 3, -1) < 0 && errno != EINTR)
			die("netload: poll");
		if (fds[0].revents)
			return 0;
		if (fds[2].revents)
			datagrams(fds[2].fd, &bytes);
		for (int i = 0; i < PEERS_MAX; i++)
			if (peers[i].fd >= 0 && fds[3 + i].revents)
				peer_read(&peers[i]);
		if (fds[1].revents)
			take_in(fds[1].fd, peers);
	}
}

/* --- client */

struct answer {
	uint64_t bytes, us, n;
	uint32_t *times;
};

static int dial(const struct vw_ip *ip, uint16_t port, int type)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const bool v6 = ip->family == AF_INET6;
	int fd = socket(ip->family, type | SOCK_CLOEXEC, 0), on = 1;

	memcpy(&in.sin_addr, ip->b, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, ip->b, sizeof(in6.sin6_addr));
	if (fd < 0 || connect(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in, v6 ? sizeof(in6) : sizeof(in)) < 0)
		die("netload: connecting");
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void tcp_stream(int fd, uint64_t until, struct answer *a)
{
	const uint64_t began = now_us();

	while (now_us() < until)
		if (write(fd, chunk, sizeof(chunk)) < 0)
			die("netload: sending");
	if (shutdown(fd, SHUT_WR) < 0 || read(fd, &a->bytes, sizeof(a->bytes)) != sizeof(a->bytes))
		die("netload: what has arrived");
	a->us = now_us() - began;
}

/** udp_total() - how many bytes the server has had by now. */
static uint64_t udp_total(int fd)
{
	const char ask = TOTAL;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t bytes;

	for (int i = 0; i < 50; i++) {
		(void)!send(fd, &ask, 1, 0);
		if (poll(&pfd, 1, AGAIN_MS) > 0 && recv(fd, &bytes, sizeof(bytes), 0) == sizeof(bytes))
			return bytes;
	}
	die("netload: the server does not answer");
	return 0;
}

static void udp_stream(int fd, uint64_t until, struct answer *a)
{
	const uint64_t before = udp_total(fd), began = now_us();

	while (now_us() < until)
		for (int i = 0; i < SENT; i++)
			(void)!send(fd, chunk, DATAGRAM, 0);
	a->us = now_us() - began;
	a->bytes = udp_total(fd) - before;
}

static bool answered(int fd, bool stream)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t got = 0;

	while (got < QUESTION) {
		ssize_t n;

		if (!stream && poll(&pfd, 1, AGAIN_MS) <= 0)
			return false;
		n = recv(fd, chunk + QUESTION, QUESTION - got, 0);
		if (n <= 0)
			die("netload: an answer");
		got += (size_t)n;
	}
	return true;
}

static void questions(int fd, uint64_t until, bool stream, struct answer *a)
{
	const uint64_t began = now_us();
	uint64_t at;

	while ((at = now_ns()) / 1000 < until && a->n < TIMES_MAX) {
		if (send(fd, chunk, QUESTION, 0) != QUESTION)
			die("netload: asking");
		if (answered(fd, stream))
			a->times[a->n++] = (uint32_t)(now_ns() - at);
	}
	a->us = now_us() - began;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int load(const char *what, const struct vw_ip *ip, uint16_t port, unsigned int ms)
{
	const bool stream = !strncmp(what, "tcp", 3), ask = strlen(what) > 3;
	struct answer a = { .times = calloc(TIMES_MAX, sizeof(*a.times)) };
	int fd = dial(ip, port, stream ? SOCK_STREAM : SOCK_DGRAM);
	const uint64_t until = now_us() + (uint64_t)ms * 1000;

	if (!a.times)
		die("netload");
	chunk[0] = ask ? ASK : STREAM;
	if (ask)
		questions(fd, until, stream, &a);
	else if (stream)
		tcp_stream(fd, until, &a);
	else
		udp_stream(fd, until, &a);
	qsort(a.times, a.n, sizeof(*a.times), by_value);
	printf("{\"bytes\": %llu, \"us\": %llu, \"n\": %llu, \"p50_ns\": %u, \"p99_ns\": %u}\n", (unsigned long long)a.bytes,
	       (unsigned long long)a.us, (unsigned long long)a.n, a.n ? a.times[a.n / 2] : 0, a.n ? a.times[a.n * 99 / 100] : 0);
	free(a.times);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "tcp", "udp", "tcp-rr", "udp-rr" };
	struct vw_ip ip;
	uint64_t port, ms;

	if (argc == 3 && !strcmp(argv[1], "server") && vw_parse_u64(argv[2], 1, 65535, &port) == 0)
		return serve((uint16_t)port);
	for (size_t i = 0; argc == 5 && i < VW_ARRAY_SIZE(kinds); i++)
		if (!strcmp(argv[1], kinds[i]) && vw_ip_parse(argv[2], &ip) == 0 && vw_parse_u64(argv[3], 1, 65535, &port) == 0 &&
		    vw_parse_u64(argv[4], 1, MS_MAX, &ms) == 0)
			return load(argv[1], &ip, (uint16_t)port, (unsigned int)ms);
	fprintf(stderr, "usage: netload server PORT | netload tcp|udp|tcp-rr|udp-rr ADDRESS PORT MS (at most %d)\n", MS_MAX);
	return 2;
}
