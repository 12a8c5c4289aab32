/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends UDP packets by an interface of the current network namespace as fast as it takes them: for bench/packets.py.
 *
 * usage: blast IFNAME GATEWAY_MAC SOURCE DESTINATION PACKETS -> microseconds of processor time and packets sent, one line on stdout
 *
 * All are of one flow, 60 bytes with their Ethernet header, to port 9 (discard). The socket bypasses the qdisc: on a veth each packet has
 * then been received, and forwarded, before the next one leaves, and the kernel counts that as this thread's time (unless it was built with
 * CONFIG_IRQ_TIME_ACCOUNTING), whatever else runs on the machine.
 */
#include "lib/base/ip.h"
#include "lib/base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LEN 60

static int fail(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	return 1;
}

static unsigned short checksum(const void *data, size_t len)
{
	const unsigned char *b = data;
	unsigned int sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (unsigned int)b[i] << 8 | b[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((unsigned short)~sum);
}

static int compose(unsigned char frame[LEN], const char *gateway, const char *source, const char *destination)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .tot_len = htons(LEN - ETH_HLEN), .ttl = 64, .protocol = IPPROTO_UDP };
	struct udphdr udp = { .source = htons(40000), .dest = htons(9), .len = htons(LEN - ETH_HLEN - sizeof(ip)) };
	struct vw_ip from, to;
	struct vw_mac mac;

	if (vw_mac_parse(gateway, &mac) < 0 || vw_ip_parse(source, &from) < 0 || vw_ip_parse(destination, &to) < 0)
		return -1;
	memset(frame, 0, LEN);
	memcpy(frame, mac.b, ETH_ALEN);
	frame[12] = ETH_P_IP >> 8;
	frame[13] = ETH_P_IP & 0xff;
	ip.saddr = htonl(vw_ip4_u32(&from));
	ip.daddr = htonl(vw_ip4_u32(&to));
	ip.check = checksum(&ip, sizeof(ip));
	memcpy(frame + ETH_HLEN, &ip, sizeof(ip));
	memcpy(frame + ETH_HLEN + sizeof(ip), &udp, sizeof(udp));       /* without a checksum of its own, as IPv4 allows */
	return 0;
}

static int open_socket(const char *ifname)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname) };
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || !at.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	return fd;
}

/* the frame's source is the interface's own address */
static int own_mac(int fd, unsigned char frame[LEN])
{
	struct sockaddr_ll at;
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return -1;
	memcpy(frame + ETH_ALEN, at.sll_addr, ETH_ALEN);
	return 0;
}

static uint64_t busy_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	unsigned char frame[LEN];
	struct iovec iov = { .iov_base = frame, .iov_len = sizeof(frame) };
	struct mmsghdr batch[BATCH];
	uint64_t wanted, sent = 0, start;
	int fd;

	if (argc != 6 || vw_parse_u64(argv[5], 1, UINT32_MAX, &wanted) < 0 || compose(frame, argv[2], argv[3], argv[4]) < 0) {
		fputs("usage: blast IFNAME GATEWAY_MAC SOURCE DESTINATION PACKETS\n", stderr);
		return 2;
	}
	fd = open_socket(argv[1]);
	if (fd < 0 || own_mac(fd, frame) < 0)
		return fail(argv[1]);
	for (int i = 0; i < BATCH; i++)
		batch[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	start = busy_us();
	while (sent < wanted) {
		int n = sendmmsg(fd, batch, BATCH, 0);

		if (n < 0 && errno != ENOBUFS && errno != EINTR)
			return fail("sending");
		sent += n > 0 ? (uint64_t)n : 0;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", busy_us() - start, sent);
	close(fd);
	return 0;
}
