#pragma once

#include "lib/base/ip.h"

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: packets, made by hand
 *
 * Ethernet frames of a flow, as its ends would send them. Checksums are zero: nothing here is received by a kernel.
 */
struct pkt {
	uint8_t b[256];
	size_t len;
};

/** struct pkt_flow - @proto: IPPROTO_*. @sport: of the opener; for ICMP echo the identifier. Ports in host order. */
struct pkt_flow {
	struct vw_ip src, dst;
	uint8_t proto;
	uint16_t sport, dport;
};

/**
 * enum pkt_dress - what stands around the payload and may not matter. PKT_OPTIONS: IPv4 options, IPv6 hop-by-hop and destination
 * options. PKT_FIRST: the first of several fragments. PKT_LONG: bytes behind the transport's header.
 */
enum pkt_dress { PKT_PLAIN, PKT_OPTIONS, PKT_FIRST, PKT_LONG, PKT_DRESSES };

/**
 * enum pkt_turn - which packet of the flow: PKT_OPEN: SYN, INIT, echo request, first datagram. PKT_ANSWER: the other way: SYN ACK,
 * INIT ACK, echo reply. PKT_MORE: the opener's next: ACK, COOKIE ECHO, another of the same.
 */
enum pkt_turn { PKT_OPEN, PKT_ANSWER, PKT_MORE };

void pkt_make(const struct pkt_flow *f, enum pkt_turn turn, enum pkt_dress dress, struct pkt *ret);
