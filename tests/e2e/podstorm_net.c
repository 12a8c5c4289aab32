/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of a storm: what a new pod sends and sees, the flood that it is met with, and who collects what gets out. */
#include "tests/e2e/podstorm.h"

#include "lib/base/cleanup.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BATCH 64
#define RAW_EACH_TURN 16

union storm_to {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static union storm_to to_of(const struct vw_ip *ip, uint16_t port)
{
	union storm_to to = { 0 };

	if (ip->family == AF_INET) {
		to.in.sin_family = AF_INET;
		to.in.sin_port = htons(port);
		memcpy(&to.in.sin_addr, ip->b, 4);
	} else {
		to.in6.sin6_family = AF_INET6;
		to.in6.sin6_port = htons(port);
		memcpy(&to.in6.sin6_addr, ip->b, 16);
	}
	return to;
}

static socklen_t len_of(const union storm_to *to)
{
	return to->sa.sa_family == AF_INET ? sizeof(to->in) : sizeof(to->in6);
}

static int udp_socket(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* --- a new pod */

struct frame {
	struct ether_header eth;
	union {
		struct {
			struct iphdr ip;
			struct udphdr udp;
		} v4;
		struct {
			struct ip6_hdr ip;
			struct udphdr udp;
		} v6;
	};
} __attribute__((packed));

struct pod {
	const struct storm *s;
	int packet, udp4, udp6;         /* @packet sends frames and sees all that arrives */
	int ifindex;
	size_t turn;
	struct storm_report seen;
};

static uint16_t sum16(const void *data, size_t len)
{
	const uint8_t *b = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~(sum + (sum >> 16)));
}

/* to the broadcast address: nobody has told us the node's, and the node takes it for its own all the same */
static size_t frame_make(struct frame *f, const struct vw_ip *src, const struct vw_ip *dst)
{
	const struct udphdr udp = { .source = htons(1), .dest = htons(STORM_DENIED_OUT), .len = htons(sizeof(udp)) };

	memset(f, 0, sizeof(*f));
	memset(f->eth.ether_dhost, 0xff, ETH_ALEN);
	f->eth.ether_shost[0] = 2;
	if (src->family == AF_INET) {
		f->eth.ether_type = htons(ETHERTYPE_IP);
		f->v4.ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
					   .tot_len = htons(sizeof(f->v4.ip) + sizeof(udp)) };
		memcpy(&f->v4.ip.saddr, src->b, 4);
		memcpy(&f->v4.ip.daddr, dst->b, 4);
		f->v4.ip.check = sum16(&f->v4.ip, sizeof(f->v4.ip));
		f->v4.udp = udp;
		return sizeof(f->eth) + sizeof(f->v4);
	}
	f->eth.ether_type = htons(ETHERTYPE_IPV6);
	f->v6.ip.ip6_flow = htonl(6u << 28);
	f->v6.ip.ip6_plen = htons(sizeof(udp));
	f->v6.ip.ip6_nxt = IPPROTO_UDP;
	f->v6.ip.ip6_hops = 64;
	memcpy(&f->v6.ip.ip6_src, src->b, 16);
	memcpy(&f->v6.ip.ip6_dst, dst->b, 16);
	f->v6.udp = udp;
	return sizeof(f->eth) + sizeof(f->v6);
}

static void raw_send(struct pod *p, const struct vw_ip *src, const struct vw_ip *dst)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_ifindex = p->ifindex, .sll_halen = ETH_ALEN };
	struct frame f;
	size_t len = frame_make(&f, src, dst);

	memset(ll.sll_addr, 0xff, ETH_ALEN);
	if (sendto(p->packet, &f, len, MSG_DONTWAIT, (struct sockaddr *)&ll, sizeof(ll)) == (ssize_t)len)
		p->seen.raw++;
}

/* the link is put up by us if we are first: nobody says that a pod waits until it is told */
static void raw_turn(struct pod *p)
{
	struct ifreq ifr = { .ifr_name = "eth0" };

	if (!p->ifindex) {
		if (ioctl(p->udp4, SIOCGIFINDEX, &ifr) < 0)
			return;
		p->ifindex = ifr.ifr_ifindex;
		ifr.ifr_flags = IFF_UP;
		(void)ioctl(p->udp4, SIOCSIFFLAGS, &ifr);
	}
	for (int i = 0; i < RAW_EACH_TURN && p->s->n_addr; i++)
		raw_send(p, &p->s->addr[p->turn++ % p->s->n_addr], &p->s->collector);
	if (p->s->base6.family) {
		struct vw_ip own = vw_ip_add(&p->s->base6, p->s->books->next6);

		raw_send(p, &own, &p->s->collector6);
	}
}

static void udp_send(struct pod *p, int fd, const struct vw_ip *to_ip)
{
	union storm_to to;

	if (fd < 0 || !to_ip->family)
		return;
	to = to_of(to_ip, STORM_DENIED_OUT);
	if (sendto(fd, "x", 1, 0, &to.sa, len_of(&to)) == 1)
		p->seen.udp++;
	to = to_of(to_ip, STORM_ALLOWED_OUT);
	(void)sendto(fd, "x", 1, 0, &to.sa, len_of(&to));
}

static void answers(int fd, uint64_t *n)
{
	char byte;

	while (fd >= 0 && recv(fd, &byte, 1, 0) > 0)
		++*n;
}

/* IPv4 without options, IPv6 without extension headers: as the flood sends it */
static void seen_packet(struct pod *p, const uint8_t *b, size_t len)
{
	size_t at = len >= sizeof(struct iphdr) && b[0] >> 4 == 4 ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
	uint16_t port;

	if (len < at + sizeof(struct udphdr) || b[at == sizeof(struct iphdr) ? 9 : 6] != IPPROTO_UDP)
		return;
	memcpy(&port, b + at + 2, sizeof(port));
	if (port == htons(STORM_DENIED_IN))
		p->seen.denied_in++;
	else if (port == htons(STORM_ALLOWED_IN))
		p->seen.allowed_in++;
}

static void sniff(struct pod *p)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	uint8_t b[256];
	ssize_t n;

	while ((n = recvfrom(p->packet, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&from, &len)) > 0) {
		if (from.sll_pkttype != PACKET_OUTGOING && (size_t)n > ETH_HLEN)
			seen_packet(p, b + ETH_HLEN, (size_t)n - ETH_HLEN);
		len = sizeof(from);
	}
}

static bool proven(const struct pod *p)
{
	return p->seen.allowed_in && p->seen.answered4 && (p->seen.answered6 || !p->s->base6.family) && p->seen.raw && p->seen.udp;
}

void storm_pod(const struct storm *s, int fd)
{
	struct pod p = { .s = s, .packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), .udp4 = udp_socket(AF_INET),
			 .udp6 = udp_socket(AF_INET6) };
	const int on = 1;
	bool told = false;
	char byte;

	if (p.packet < 0 || p.udp4 < 0 || setsockopt(p.packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    write(fd, "r", 1) != 1)
		return;
	while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		raw_turn(&p);
		udp_send(&p, p.udp4, &s->collector);
		udp_send(&p, p.udp6, &s->collector6);
		answers(p.udp4, &p.seen.answered4);
		answers(p.udp6, &p.seen.answered6);
		sniff(&p);
		if (!told && proven(&p)) {
			told = true;
			(void)write(fd, &p.seen, sizeof(p.seen));
		}
	}
	sniff(&p);
	(void)write(fd, &p.seen, sizeof(p.seen));
}

/* --- the flood */

struct salvo {
	struct mmsghdr msg[BATCH];
	struct iovec iov;
	union storm_to to[BATCH];
	unsigned int n;
};

static void fire(struct salvo *v, int fd4, int fd6, const struct storm *s)
{
	unsigned int done = 0;

	while (done < v->n) {
		int fd = v->to[done].sa.sa_family == AF_INET ? fd4 : fd6;
		unsigned int run = 1;
		int r;

		while (done + run < v->n && v->to[done + run].sa.sa_family == v->to[done].sa.sa_family)
			run++;
		r = sendmmsg(fd, &v->msg[done], run, 0);
		s->books->flooded += r > 0 ? (unsigned int)r : 0;
		done += r > 0 ? (unsigned int)r : 1;    /* one that cannot go keeps no other */
	}
	v->n = 0;
}

static void aim(struct salvo *v, const struct vw_ip *ip, uint16_t port)
{
	struct mmsghdr *m = &v->msg[v->n];

	v->to[v->n] = to_of(ip, port);
	*m = (struct mmsghdr){ .msg_hdr = { .msg_name = &v->to[v->n], .msg_namelen = len_of(&v->to[v->n]), .msg_iov = &v->iov, .msg_iovlen = 1 } };
	v->n++;
}

static void aim_both(struct salvo *v, const struct vw_ip *ip, int fd4, int fd6, const struct storm *s)
{
	aim(v, ip, STORM_DENIED_IN);
	aim(v, ip, STORM_ALLOWED_IN);
	if (v->n + 2 > BATCH)
		fire(v, fd4, fd6, s);
}

void storm_flood(const struct storm *s)
{
	char byte = 'x';
	struct salvo v = { .iov = { .iov_base = &byte, .iov_len = 1 } };
	int fd4 = udp_socket(AF_INET), fd6 = udp_socket(AF_INET6);

	while (!s->books->stop && fd4 >= 0) {
		for (size_t i = 0; i < s->n_addr; i++)
			aim_both(&v, &s->addr[i], fd4, fd6, s);
		for (uint64_t i = 0; s->base6.family && i < STORM_AHEAD; i++) {
			struct vw_ip ip = vw_ip_add(&s->base6, s->books->next6 + i);

			aim_both(&v, &ip, fd4, fd6, s);
		}
		fire(&v, fd4, fd6, s);
	}
}

/* --- the collector */

static int bound(int family, uint16_t port)
{
	struct vw_ip any = { .family = (uint8_t)family };
	union storm_to to = to_of(&any, port);
	const int on = 1;
	int fd = udp_socket(family);

	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return bind(fd, &to.sa, len_of(&to)) == 0 ? fd : -1;
}

static void collect(int fd, bool allowed, const struct storm *s)
{
	union storm_to from;
	socklen_t len = sizeof(from);
	char byte;

	while (recvfrom(fd, &byte, 1, 0, &from.sa, &len) > 0) {
		if (!allowed) {
			s->books->collected_denied++;
		} else {
			s->books->collected_allowed++;
			(void)sendto(fd, &byte, 1, 0, &from.sa, len);
		}
		len = sizeof(from);
	}
}

void storm_collect(const struct storm *s, int fd)
{
	struct pollfd on[4] = {
		{ .fd = bound(AF_INET, STORM_DENIED_OUT), .events = POLLIN },
		{ .fd = bound(AF_INET, STORM_ALLOWED_OUT), .events = POLLIN },
		{ .fd = s->base6.family ? bound(AF_INET6, STORM_DENIED_OUT) : -1, .events = POLLIN },
		{ .fd = s->base6.family ? bound(AF_INET6, STORM_ALLOWED_OUT) : -1, .events = POLLIN },
	};

	if (on[0].fd < 0 || on[1].fd < 0 || write(fd, "r", 1) != 1)
		return;
	while (!s->books->stop) {
		(void)poll(on, 4, 100);
		for (int i = 0; i < 4; i++)
			if (on[i].fd >= 0)
				collect(on[i].fd, i & 1, s);
	}
}
