#include "tests/policy/probe.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/net/netns.h"
#include "tests/policy/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 4000        /* nobody waits for it unless something is wrong */
#define SPORT_FIRST 36000       /* no fixture serves them */
#define SPORTS 24000
#define TABLE (2 * PROBES_MAX)
#define BATCH 64
#define INIT 1
#define INIT_ACK 2

enum sock_kind { SOCK_WATCHED, SOCK_LISTENS, SOCK_ANSWERED, SOCK_UDP, SOCK_RAW_ALL, SOCK_PROBE };

/** struct sock - what epoll knows. @port: of a server. @probe: of a client. */
struct sock {
	enum sock_kind kind;
	int fd, family;
	const struct net_place *at;
	uint8_t proto;
	uint16_t port;
	struct probe *probe;
	void (*fn)(void *arg);
	void *arg;
	struct sock *next;
};

struct prober {
	int epoll, home;
	const struct net_place *at;     /* where the thread is; NULL = home */
	struct sock *server;
	struct sock client[PROBES_MAX];
	struct probe *v;
	size_t n, pending;
	uint32_t run, sport;
	uint32_t table[TABLE];          /* index + 1 of the probe, by what the programs see */
};

static int go(struct prober *p, const struct net_place *at, struct vw_err *err)
{
	if (p->at != at && setns(at ? at->ns : p->home, CLONE_NEWNET) < 0)
		return vw_err_set(err, errno, 0, "entering a namespace");
	p->at = at;
	return 0;
}

static socklen_t sockaddr_of(const struct vw_ip *ip, uint16_t port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ip->family == AF_INET) {
		struct sockaddr_in *a = (struct sockaddr_in *)ret;

		a->sin_family = AF_INET;
		a->sin_port = htons(port);
		memcpy(&a->sin_addr, ip->b, 4);
		return sizeof(*a);
	}
	((struct sockaddr_in6 *)ret)->sin6_family = AF_INET6;
	((struct sockaddr_in6 *)ret)->sin6_port = htons(port);
	memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, ip->b, 16);
	return sizeof(struct sockaddr_in6);
}

static int add_sock(struct prober *p, struct sock *s, struct vw_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? vw_err_set(err, errno, 0, "epoll") : 0;
}

static void end_probe(struct prober *p, struct probe *q, enum probe_got got, const char *why)
{
	if (q->got != PROBE_PENDING)
		return;
	q->got = got;
	q->why = why;
	vw_close_fd(&q->fd);
	p->pending--;
}

static uint32_t token_of(const struct prober *p, const struct probe *q)
{
	return p->run << 16 | (uint32_t)(q - p->v + 1);
}

static struct probe *probe_of(const struct prober *p, uint32_t token)
{
	size_t i = (token & 0xffff) - 1u;

	return token >> 16 == (p->run & 0xffff) && i < p->n ? &p->v[i] : NULL;
}

/* --- what the programs say */

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

struct seen {
	struct vw_ip src, dst;
	uint16_t sport, dport;
	uint8_t proto;
};

static struct seen seen_of(const struct probe *q)
{
	bool ports = has_ports(q->proto);

	return (struct seen){ q->seen, q->real, ports ? q->sport : 0, ports ? q->real_port : 0, q->proto };
}

static bool same_seen(const struct seen *a, const struct seen *b)
{
	return a->proto == b->proto && a->sport == b->sport && a->dport == b->dport && vw_ip_eq(&a->src, &b->src) && vw_ip_eq(&a->dst, &b->dst);
}

static uint32_t hash_of(const struct seen *s)
{
	uint32_t h = 2166136261u ^ s->proto;

	for (int i = 0; i < 16; i++)
		h = ((h ^ s->src.b[i]) * 16777619u ^ s->dst.b[i]) * 16777619u;
	return (h ^ s->sport) * 16777619u ^ s->dport * 2654435761u;
}

static void remember(struct prober *p, const struct probe *q)
{
	const struct seen s = seen_of(q);
	uint32_t i = hash_of(&s);

	while (p->table[i % TABLE])
		i++;
	p->table[i % TABLE] = (uint32_t)(q - p->v + 1);
}

static struct vw_ip event_ip(uint8_t family, const uint8_t b[16])
{
	struct vw_ip ip = { .family = family == 4 ? AF_INET : AF_INET6 };

	memcpy(ip.b, b, family == 4 ? 4 : 16);
	return ip;
}

void prober_denied(struct prober *p, const struct np_event *e)
{
	const struct vw_ip pod = event_ip(e->family, e->ip_pod), peer = event_ip(e->family, e->ip_peer);
	bool out = e->dir == NP_EGRESS, ports = has_ports(e->proto);
	const struct seen s = { out ? pod : peer, out ? peer : pod, ports ? ntohs(out ? e->port_pod : e->port_peer) : 0,
				ports ? ntohs(out ? e->port_peer : e->port_pod) : 0, e->proto };

	if (NP_VERDICT_ACTION(e->verdict) != NP_DENY)
		return;
	for (uint32_t i = hash_of(&s); p->table[i % TABLE]; i++) {
		struct probe *q = &p->v[p->table[i % TABLE] - 1];
		const struct seen of = seen_of(q);

		if (!same_seen(&s, &of))
			continue;
		if (q->got == PROBE_PASSED) {
			q->got = PROBE_WRONG;
			q->why = "it was answered, and dropped";
		}
		q->dir = (enum np_dir)e->dir;
		end_probe(p, q, PROBE_DENIED, NULL);
		return;
	}
}

/* --- packets of protocols without sockets */

/* RFC 9260, appendix A: reflected CRC-32C */
static uint32_t crc32c(const uint8_t *b, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= b[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void put32(uint8_t *b, uint32_t v)
{
	v = htonl(v);
	memcpy(b, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *b)
{
	uint32_t v;

	memcpy(&v, b, sizeof(v));
	return ntohl(v);
}

/* both forms are 32 bytes: SCTP header and INIT chunk, or a GRE header that says nothing, and the same places behind it */
#define RAW_LEN 32
#define AT_CHUNK 12
#define AT_TOKEN 16
#define AT_ID 28

static void make_raw(uint8_t b[RAW_LEN], uint8_t proto, uint16_t sport, uint16_t dport, uint8_t chunk, uint32_t token, uint32_t id)
{
	uint32_t crc;

	memset(b, 0, RAW_LEN);
	b[AT_CHUNK] = chunk;
	put32(b + AT_TOKEN, token);
	put32(b + AT_ID, id);
	if (proto != IPPROTO_SCTP)
		return;
	put32(b, (uint32_t)sport << 16 | dport);
	put32(b + 4, chunk == INIT_ACK ? token : 0);
	b[AT_CHUNK + 3] = 20;
	put32(b + AT_TOKEN + 4, 65536);
	put32(b + AT_TOKEN + 8, 1 << 16 | 1);
	crc = htole32(crc32c(b, RAW_LEN));
	memcpy(b + 8, &crc, sizeof(crc));
}

/* as the answer to what came to @src, or from there of one's own accord */
static int send_from(int fd, const struct vw_ip *src, const struct vw_ip *dst, const uint8_t *b, size_t len)
{
	union {
		char b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control = { 0 };
	struct sockaddr_storage to;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)b, .iov_len = len };
	struct msghdr msg = { .msg_name = &to, .msg_namelen = sockaddr_of(dst, 0, &to), .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.b };
	struct cmsghdr *c = &control.align;

	if (src->family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, src->b, 4);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		msg.msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, src->b, 16);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		msg.msg_controllen = CMSG_SPACE(sizeof(info));
	}
	return sendmsg(fd, &msg, 0) < 0 ? -errno : 0;
}

/* --- servers */

static struct sock *server_of(const struct prober *p, const struct net_place *at, int family, uint8_t proto, uint16_t port)
{
	struct sock *s = p->server;

	while (s && (s->at != at || s->proto != proto || s->port != port || (s->family && s->family != family)))
		s = s->next;
	return s;
}

static int open_server(struct sock *s, int family)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(s->port) };
	int type = s->proto == IPPROTO_TCP ? SOCK_STREAM : s->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_RAW, one = 1;

	if (type == SOCK_RAW)
		s->family = family;
	s->kind = type == SOCK_STREAM ? SOCK_LISTENS : type == SOCK_DGRAM ? SOCK_UDP : SOCK_RAW_ALL;
	s->fd = socket(type == SOCK_RAW ? family : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, type == SOCK_RAW ? s->proto : 0);
	if (s->fd < 0 || (type != SOCK_STREAM && !(type == SOCK_RAW && family == AF_INET) &&
			  setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) < 0))
		return -errno;
	if (type != SOCK_RAW && bind(s->fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return type == SOCK_STREAM && listen(s->fd, 1024) < 0 ? -errno : 0;
}

/** need_server() - who answers at @at; both families, but for raw sockets. */
static int need_server(struct prober *p, const struct net_place *at, int family, uint8_t proto, uint16_t port, struct sock **ret, struct vw_err *err)
{
	struct sock *s = server_of(p, at, family, proto, has_ports(proto) && proto != IPPROTO_SCTP ? port : 0);
	int r = s ? 0 : go(p, at, err);

	if (ret)
		*ret = s;
	if (s || r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	*s = (struct sock){ .fd = -EBADF, .at = at, .proto = proto, .port = has_ports(proto) && proto != IPPROTO_SCTP ? port : 0, .next = p->server };
	p->server = s;
	if (ret)
		*ret = s;
	r = open_server(s, family);
	return r < 0 ? vw_err_set(err, -r, 0, "serving protocol %u port %u", proto, port) : add_sock(p, s, err);
}

static void on_connection(struct prober *p, const struct sock *s)
{
	const struct linger now = { .l_onoff = 1 };
	struct sock *conn = calloc(1, sizeof(*conn));
	struct vw_err err;

	if (!conn)
		return;
	*conn = (struct sock){ .kind = SOCK_ANSWERED, .fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), .at = s->at };
	if (conn->fd < 0 || setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0 ||
	    send(conn->fd, &s->at->id, sizeof(s->at->id), MSG_NOSIGNAL) < 0 || add_sock(p, conn, &err) < 0) {
		vw_close_fd(&conn->fd);
		free(conn);
	}
}

static void on_datagram(const struct sock *s)
{
	char control[256];
	struct sockaddr_storage from;
	uint32_t b[2];
	struct iovec iov = { .iov_base = &b[1], .iov_len = sizeof(b[1]) };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };

	if (recvmsg(s->fd, &msg, 0) != sizeof(b[1]))
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memset(CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_ifindex), 0, sizeof(unsigned int));
	/* from the address that was asked */
	b[0] = s->at->id;
	iov = (struct iovec){ .iov_base = b, .iov_len = sizeof(b) };
	(void)!sendmsg(s->fd, &msg, 0);
}

/* Return: the payload's length. @ret_dst: to whom it came. */
static ssize_t read_raw(const struct sock *s, uint8_t b[256], size_t *ret_at, struct vw_ip *ret_src, struct vw_ip *ret_dst)
{
	union {
		char b[256];
		struct cmsghdr align;
	} control;
	struct sockaddr_storage from;
	struct iovec iov = { .iov_base = b, .iov_len = 256 };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.b,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->fd, &msg, 0);

	*ret_src = *ret_dst = (struct vw_ip){ .family = (uint8_t)s->family };
	*ret_at = s->family == AF_INET && n > 20 ? (b[0] & 15) * 4u : 0;
	if (s->family == AF_INET) {
		memcpy(ret_src->b, b + 12, 4);
		memcpy(ret_dst->b, b + 16, 4);
		return n;
	}
	memcpy(ret_src->b, &((const struct sockaddr_in6 *)&from)->sin6_addr, 16);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_type == IPV6_PKTINFO)
			memcpy(ret_dst->b, CMSG_DATA(c), 16);
	return n;
}

static void answer_with(struct prober *p, uint32_t token, uint32_t id)
{
	struct probe *q = probe_of(p, token);

	if (q)
		end_probe(p, q, id == q->dst->id ? PROBE_PASSED : PROBE_WRONG, "somebody else has answered");
}

static void on_raw(struct prober *p, const struct sock *s)
{
	struct vw_ip src, dst;
	uint8_t b[256], back[RAW_LEN];
	size_t at;
	ssize_t n = read_raw(s, b, &at, &src, &dst);
	uint32_t token, ports;

	if (n != (ssize_t)(at + RAW_LEN))
		return;
	token = get32(b + at + AT_TOKEN);
	ports = get32(b + at);
	if (b[at + AT_CHUNK] == INIT_ACK) {
		answer_with(p, token, get32(b + at + AT_ID));
		return;
	}
	make_raw(back, s->proto, (uint16_t)ports, (uint16_t)(ports >> 16), INIT_ACK, token, s->at->id);
	(void)send_from(s->fd, &dst, &src, back, sizeof(back));
}

/* --- clients */

static void on_answer(struct prober *p, const struct sock *s)
{
	struct probe *q = s->probe;
	uint32_t b[16] = { 0 };
	int eno = 0;
	socklen_t len = sizeof(eno);
	ssize_t n = recv(q->fd, b, sizeof(b), 0);

	if (n < 0) {
		if (errno == EAGAIN)
			return;
		eno = errno;
		(void)getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &eno, &len);
		end_probe(p, q, PROBE_WRONG, strerrordesc_np(eno ? eno : errno));
		return;
	}
	if (q->proto == IPPROTO_TCP && n == sizeof(b[0]))
		end_probe(p, q, b[0] == q->dst->id ? PROBE_PASSED : PROBE_WRONG, "somebody else has answered");
	else if (q->proto == IPPROTO_UDP && n == 2 * sizeof(b[0]))
		answer_with(p, b[1], b[0]);
	else if (!has_ports(q->proto) && n == 3 * sizeof(b[0]))
		answer_with(p, b[2], q->dst->id);
	else
		end_probe(p, q, PROBE_WRONG, "the answer is not what was asked for");
}

static int open_client(struct probe *q, int type, int proto)
{
	const struct linger now = { .l_onoff = 1 };
	struct sockaddr_storage from;
	socklen_t len = sockaddr_of(&q->from, q->sport, &from);
	int one = 1;

	q->fd = socket(q->from.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	if (q->fd < 0 || setsockopt(q->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (type == SOCK_STREAM && setsockopt(q->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0) ||
	    bind(q->fd, (struct sockaddr *)&from, len) < 0)
		return -errno;
	return 0;
}

static int send_client(const struct prober *p, struct probe *q)
{
	const bool six = q->from.family == AF_INET6, echo = q->proto == IPPROTO_ICMP || q->proto == IPPROTO_ICMPV6;
	struct sockaddr_storage to;
	socklen_t len = sockaddr_of(&q->to, echo ? 0 : q->port, &to);
	uint32_t b[3] = { 0 };
	int r = open_client(q, q->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, echo ? q->proto : 0);

	if (r < 0)
		return r;
	if (connect(q->fd, (struct sockaddr *)&to, len) < 0)
		return errno == EINPROGRESS ? 0 : -errno;
	if (q->proto == IPPROTO_TCP)
		return 0;
	((uint8_t *)b)[0] = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	b[2] = token_of(p, q);
	if (echo)
		return send(q->fd, b, sizeof(b), 0) < 0 ? -errno : 0;
	return send(q->fd, &b[2], sizeof(b[2]), 0) < 0 ? -errno : 0;
}

static int start(struct prober *p, struct probe *q, struct vw_err *err)
{
	const bool echo = q->proto == IPPROTO_ICMP || q->proto == IPPROTO_ICMPV6,
		   raw = !echo && q->proto != IPPROTO_TCP && q->proto != IPPROTO_UDP;
	struct sock *s = &p->client[q - p->v];
	uint8_t b[RAW_LEN];
	int r = echo ? 0 : need_server(p, q->dst, q->real.family, q->proto, q->real_port, NULL, err);

	if (r == 0 && raw)
		r = need_server(p, q->src, q->from.family, q->proto, 0, &s, err);
	if (r == 0)
		r = go(p, q->src, err);
	if (r < 0)
		return r;
	if (raw) {
		make_raw(b, q->proto, q->sport, q->port, INIT, token_of(p, q), 0);
		r = send_from(s->fd, &q->from, &q->to, b, sizeof(b));
		if (r < 0)
			end_probe(p, q, PROBE_WRONG, strerrordesc_np(-r));
		return 0;
	}
	r = send_client(p, q);
	if (r < 0) {
		end_probe(p, q, PROBE_WRONG, strerrordesc_np(-r));
		return 0;
	}
	*s = (struct sock){ .kind = SOCK_PROBE, .fd = q->fd, .probe = q };
	return add_sock(p, s, err);
}

/* --- all of it */

static void on_event(struct prober *p, struct sock *s)
{
	switch (s->kind) {
	case SOCK_WATCHED:
		s->fn(s->arg);
		break;
	case SOCK_LISTENS:
		on_connection(p, s);
		break;
	case SOCK_ANSWERED:
		vw_close_fd(&s->fd);
		free(s);
		break;
	case SOCK_UDP:
		on_datagram(s);
		break;
	case SOCK_RAW_ALL:
		on_raw(p, s);
		break;
	case SOCK_PROBE:
		/* it may have ended in this very round */
		if (s->probe->got == PROBE_PENDING)
			on_answer(p, s);
	}
}

static void pump(struct prober *p, int timeout_ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(p->epoll, ev, VW_ARRAY_SIZE(ev), timeout_ms);

	for (int i = 0; i < n; i++)
		on_event(p, ev[i].data.ptr);
}

int prober_run(struct prober *p, struct probe *v, size_t n, struct vw_err *err)
{
	uint64_t deadline;
	int r = n > PROBES_MAX ? vw_err_set(err, E2BIG, 0, "%zu probes at once", n) : 0;

	p->v = v;
	p->n = p->pending = r < 0 ? 0 : n;
	p->run++;
	memset(p->table, 0, sizeof(p->table));
	for (size_t i = 0; i < p->n; i++) {
		v[i].got = PROBE_PENDING;
		v[i].why = NULL;
		v[i].fd = -EBADF;
		v[i].sport = (uint16_t)(SPORT_FIRST + p->sport++ % SPORTS);
		remember(p, &v[i]);
	}
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		r = start(p, &v[i], err);
		if (i % BATCH == BATCH - 1)
			pump(p, 0);
	}
	deadline = vw_mono_ms() + DEADLINE_MS;
	while (r == 0 && p->pending && vw_mono_ms() < deadline)
		pump(p, 20);
	if (go(p, NULL, err) < 0)
		r = -err->eno;
	for (size_t i = 0; i < p->n; i++)
		end_probe(p, &v[i], PROBE_WRONG, "neither answered nor dropped by the programs");
	return r;
}

int prober_watch(struct prober *p, int fd, void (*fn)(void *arg), void *arg, struct vw_err *err)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	*s = (struct sock){ .kind = SOCK_WATCHED, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .fn = fn, .arg = arg, .next = p->server };
	p->server = s;
	return s->fd < 0 ? vw_err_set(err, errno, 0, "dup") : add_sock(p, s, err);
}

int prober_new(struct prober **ret, struct vw_err *err)
{
	const struct rlimit many = { 65536, 65536 };
	struct prober *p = calloc(1, sizeof(*p));

	if (!p)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	(void)setrlimit(RLIMIT_NOFILE, &many);
	p->home = vw_netns_open_self(err);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->home < 0 || p->epoll < 0) {
		prober_free(p);
		return vw_err_set(err, errno, 0, "epoll");
	}
	*ret = p;
	return 0;
}

void prober_free(struct prober *p)
{
	struct vw_err err;

	if (!p)
		return;
	(void)go(p, NULL, &err);
	while (p->server) {
		struct sock *s = p->server;

		p->server = s->next;
		vw_close_fd(&s->fd);
		free(s);
	}
	vw_close_fd(&p->epoll);
	vw_close_fd(&p->home);
	free(p);
}
