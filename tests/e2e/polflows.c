/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of flows between two pods, each packet of which is waited for.
 *
 *   polflows GATEWAY-MAC FLOWS OWN4 OTHER4 OWN6 OTHER6
 *
 * Runs in a pod's network namespace and speaks Ethernet on eth0 (the namespace's own stack must be mute: input drops all but ICMPv6).
 * Asks FLOWS flows of OTHER, a quarter each of TCP and UDP over IPv4 and IPv6, and answers what OTHER asks: one packet there, one back
 * with the same number, round after round. TCP begins with SYN and SYN+ACK and goes on with sequence numbers that fit. Beside them go
 * packets that policy is to deny: to another port, from a port that a server would have, in mid-stream and at the beginning; with
 * FLOWS 0 also to the port that others are allowed.
 *
 * Says "ready", and begins when stdin has a byte. After each round a line "ROUND LOST LEAKED STRAYS FIRED": packets without answer, packets that arrived but should have been denied,
 * that the receiver had no room for, and packets sent that must not arrive. Ends with its parent, or when stdin does.
 */
#include "lib/base/cleanup.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define PORT_SERVED 8080
#define PORT_DENIED 9090
#define PORT_FIRST 10000        /* flows' own */
#define PORT_STRANGER 40000     /* from here on: of who may not ask */
#define KINDS 4
#define FLOWS_MAX 20000
#define WINDOW 256              /* packets under way: the queue of a veth has 1,000 */
#define PATIENCE_MS 10000       /* no answer to anything for so long: what is under way is lost */
#define DENIED_EACH 64          /* flows for each volley of denied packets */
#define RCVBUF (64 << 20)

#define TCP_SYN 0x02
#define TCP_PSH_ACK 0x18
#define TCP_SYN_ACK 0x12

struct end {
	struct vw_ip ip[2];     /* IPv4, IPv6 */
};

/* one packet, as it is sent or was received */
struct packet {
	uint8_t kind;           /* bit 0: UDP, bit 1: IPv6 */
	uint8_t tcp;            /* flags */
	uint16_t sport, dport;
	uint64_t number;        /* payload */
};

struct flows {
	int fd;
	struct sockaddr_ll to;
	struct vw_mac gateway, own_mac;
	struct end own, other;
	unsigned int n;
	uint64_t *answered;     /* by flow: the last number that came back */
	uint64_t round, under_way, lost, leaked, strays, fired;
};

static bool is_udp(uint8_t kind)
{
	return kind & 1;
}

static bool is6(uint8_t kind)
{
	return kind & 2;
}

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t sum(uint32_t s, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		s += get16(b + i);
	return s;
}

static uint16_t sum_end(uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~(s + (s >> 16));
}

/* --- bytes */

static size_t l4_make(uint8_t *l4, const struct packet *p)
{
	size_t header = is_udp(p->kind) ? 8 : 20;

	put16(l4, p->sport);
	put16(l4 + 2, p->dport);
	if (is_udp(p->kind)) {
		put16(l4 + 4, (uint16_t)(header + sizeof(p->number)));
	} else {
		/* the other end has sent as much as we have, and each SYN counts one */
		put16(l4 + 6, (uint16_t)(p->number ? 1 + 8 * (p->number - 1) : 0));
		put16(l4 + 10, (uint16_t)(p->number ? 1 + 8 * (p->number - 1) : p->tcp == TCP_SYN_ACK));
		l4[12] = 5 << 4;
		l4[13] = p->tcp;
		put16(l4 + 14, 0xffff);
	}
	memcpy(l4 + header, &p->number, sizeof(p->number));
	return header + sizeof(p->number);
}

static size_t packet_make(const struct flows *f, const struct packet *p, uint8_t b[128])
{
	const unsigned int v6 = is6(p->kind), alen = v6 ? 16 : 4;
	uint8_t *ip = b + ETH_HLEN, *l4 = ip + (v6 ? 40 : 20), *addr = ip + (v6 ? 8 : 12);
	const uint8_t proto = is_udp(p->kind) ? IPPROTO_UDP : IPPROTO_TCP;
	size_t len;

	memset(b, 0, 128);
	memcpy(b, f->gateway.b, ETH_ALEN);
	memcpy(b + ETH_ALEN, f->own_mac.b, ETH_ALEN);
	put16(b + 12, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	memcpy(addr, f->own.ip[v6].b, alen);
	memcpy(addr + alen, f->other.ip[v6].b, alen);
	len = l4_make(l4, p);
	put16(l4 + (is_udp(p->kind) ? 6 : 16), sum_end(sum(sum(proto + (uint32_t)len, addr, 2 * alen), l4, len)));
	if (v6) {
		ip[0] = 6 << 4;
		put16(ip + 4, (uint16_t)len);
		ip[6] = proto;
		ip[7] = 64;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, (uint16_t)(20 + len));
		ip[8] = 64;
		ip[9] = proto;
		put16(ip + 10, sum_end(sum(0, ip, 20)));
	}
	return (size_t)(l4 - b) + len;
}

static bool packet_read(const uint8_t *b, size_t len, struct packet *p)
{
	const bool v6 = len > ETH_HLEN && b[ETH_HLEN] >> 4 == 6;
	const uint8_t *ip = b + ETH_HLEN, *l4 = ip + (v6 ? 40 : 20);
	size_t header;
	uint8_t proto;

	if ((size_t)(l4 - b) + 8 + sizeof(p->number) > len)
		return false;
	if (get16(b + 12) != ETHERTYPE_IP && get16(b + 12) != ETHERTYPE_IPV6)
		return false;
	proto = v6 ? ip[6] : ip[9];
	if (proto != IPPROTO_UDP && proto != IPPROTO_TCP)
		return false;
	*p = (struct packet){ .kind = (uint8_t)((proto == IPPROTO_UDP) | v6 << 1), .sport = get16(l4), .dport = get16(l4 + 2) };
	header = is_udp(p->kind) ? 8 : 20;
	if ((size_t)(l4 - b) + header + sizeof(p->number) > len)
		return false;
	p->tcp = is_udp(p->kind) ? 0 : l4[13];
	memcpy(&p->number, l4 + header, sizeof(p->number));
	return true;
}

/* --- sending and receiving */

static void transmit(struct flows *f, const struct packet *p)
{
	uint8_t b[128];
	size_t len = packet_make(f, p, b);

	/* EAGAIN, ENOBUFS: not sent, so nothing was dropped that should have passed */
	while (sendto(f->fd, b, len, 0, (const struct sockaddr *)&f->to, sizeof(f->to)) < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		struct pollfd out = { .fd = f->fd, .events = POLLOUT };

		(void)poll(&out, 1, 10);
	}
}

static void answer(struct flows *f, const struct packet *p)
{
	struct packet back = *p;

	back.sport = p->dport;
	back.dport = p->sport;
	if (!is_udp(p->kind))
		back.tcp = p->tcp == TCP_SYN ? TCP_SYN_ACK : TCP_PSH_ACK;
	transmit(f, &back);
}

static void receive(struct flows *f, const struct packet *p)
{
	unsigned int i = (unsigned int)(p->dport - PORT_FIRST) * KINDS + p->kind;

	if (p->dport == PORT_SERVED && p->sport >= PORT_FIRST && p->sport < PORT_STRANGER) {
		answer(f, p);
	} else if (p->sport == PORT_SERVED && p->dport >= PORT_FIRST && p->dport < PORT_STRANGER && i < f->n) {
		if (f->answered[i] < p->number + 1 && p->number == f->round) {
			f->answered[i] = p->number + 1;
			f->under_way--;
		}
	} else {
		f->leaked++;
	}
}

/** listen_to() - all that is there. Return: something was. */
static bool listen_to(struct flows *f, int wait_ms)
{
	struct pollfd in[2] = { { .fd = f->fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
	bool any = false;
	struct packet p;
	uint8_t b[256], byte;
	ssize_t n;

	if (wait_ms && poll(in, 2, wait_ms) > 0 && in[1].revents && read(0, &byte, 1) <= 0)
		exit(0);
	while ((n = recv(f->fd, b, sizeof(b), MSG_DONTWAIT)) > 0) {
		any = true;
		if (packet_read(b, (size_t)n, &p))
			receive(f, &p);
	}
	return any;
}

static void wait_for_room(struct flows *f, uint64_t room)
{
	int silent_ms = 0;

	while (f->under_way > room && silent_ms < PATIENCE_MS) {
		if (listen_to(f, 100))
			silent_ms = 0;
		else
			silent_ms += 100;
	}
	if (f->under_way > room) {
		f->lost += f->under_way;
		f->under_way = 0;
	}
}

/* none of these may arrive */
static void volley(struct flows *f, unsigned int i)
{
	const uint16_t own = (uint16_t)(PORT_FIRST + i / KINDS);
	const struct packet denied[] = {
		{ .kind = (uint8_t)(i % KINDS), .tcp = TCP_SYN, .sport = own, .dport = PORT_DENIED, .number = f->round },
		{ .kind = (uint8_t)(i % KINDS), .tcp = TCP_PSH_ACK, .sport = own, .dport = PORT_DENIED, .number = f->round },
		{ .kind = (uint8_t)(i % KINDS), .tcp = TCP_SYN_ACK, .sport = PORT_SERVED, .dport = PORT_DENIED, .number = f->round },
		{ .kind = (uint8_t)(i % KINDS), .tcp = TCP_PSH_ACK, .sport = PORT_DENIED, .dport = own, .number = f->round },
		{ .kind = (uint8_t)(i % KINDS), .tcp = i & 8 ? TCP_SYN : TCP_PSH_ACK, .sport = (uint16_t)(PORT_STRANGER + i), .dport = PORT_SERVED },
	};
	const unsigned int n = f->n ? VW_ARRAY_SIZE(denied) - 1 : VW_ARRAY_SIZE(denied);

	for (unsigned int k = 0; k < n; k++)
		transmit(f, &denied[k]);
	f->fired += n;
}

static void one_round(struct flows *f)
{
	for (unsigned int i = 0; i < f->n; i++) {
		const struct packet p = { .kind = (uint8_t)(i % KINDS), .tcp = f->round ? TCP_PSH_ACK : TCP_SYN,
					  .sport = (uint16_t)(PORT_FIRST + i / KINDS), .dport = PORT_SERVED, .number = f->round };

		wait_for_room(f, WINDOW);
		f->under_way++;
		transmit(f, &p);
		if (i % DENIED_EACH < KINDS)
			volley(f, i);
	}
	wait_for_room(f, 0);
	for (unsigned int i = 0; !f->n && i < DENIED_EACH; i++)
		volley(f, i);
}

static void tell(struct flows *f)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	(void)getsockopt(f->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	f->strays += stats.tp_drops;
	printf("%llu %llu %llu %llu %llu\n", (unsigned long long)f->round, (unsigned long long)f->lost, (unsigned long long)f->leaked,
	       (unsigned long long)f->strays, (unsigned long long)f->fired);
	(void)fflush(stdout);
}

/* --- start */

static int open_socket(struct flows *f)
{
	const int on = 1, room = RCVBUF;
	struct sockaddr_ll own = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("eth0") };
	socklen_t len = sizeof(own);

	f->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (f->fd < 0 || setsockopt(f->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(f->fd, (struct sockaddr *)&own, sizeof(own)) < 0 || getsockname(f->fd, (struct sockaddr *)&own, &len) < 0)
		return -1;
	memcpy(f->own_mac.b, own.sll_addr, ETH_ALEN);
	f->to = own;
	f->to.sll_halen = ETH_ALEN;
	memcpy(f->to.sll_addr, f->gateway.b, ETH_ALEN);
	return 0;
}

static int words(struct flows *f, int argc, char **argv)
{
	uint64_t n;

	if (argc != 7 || vw_mac_parse(argv[1], &f->gateway) < 0 || vw_parse_u64(argv[2], 0, FLOWS_MAX, &n) < 0)
		return -1;
	f->n = (unsigned int)n;
	for (int i = 0; i < 2; i++)
		if (vw_ip_parse(argv[3 + 2 * i], &f->own.ip[i]) < 0 || vw_ip_parse(argv[4 + 2 * i], &f->other.ip[i]) < 0)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct flows f = { 0 };
	char go;

	if (words(&f, argc, argv) < 0) {
		fprintf(stderr, "usage: polflows GATEWAY-MAC FLOWS OWN4 OTHER4 OWN6 OTHER6\n");
		return 2;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	f.answered = calloc(f.n + 1u, sizeof(*f.answered));
	if (!f.answered || open_socket(&f) < 0) {
		perror("polflows");
		return 1;
	}
	printf("ready\n");
	(void)fflush(stdout);
	if (read(0, &go, 1) != 1)
		return 0;
	for (;; f.round++) {
		one_round(&f);
		(void)listen_to(&f, f.n ? 1 : 50);
		tell(&f);
	}
}
