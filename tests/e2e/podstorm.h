/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the files of podstorm share; nobody else includes this. */

/* UDP ports. _OUT: what a new pod sends to the collector; _IN: what the flood sends to it. */
enum storm_port { STORM_DENIED_OUT = 7777, STORM_DENIED_IN = 7778, STORM_ALLOWED_OUT = 7779, STORM_ALLOWED_IN = 7780 };

#define STORM_NETS 64           /* CIDRs that pods may get their IPv4 address from */
#define STORM_ADDRS 1024        /* addresses in them */
#define STORM_AHEAD 4           /* IPv6 addresses that are flooded: the next pod's, and those behind it */

/**
 * struct storm_books - shared by all processes of the storm. @next6: the IPv6 address of the pod that starts next is
 * @base6 + @next6. @collected_*: packets that the collector got from new pods. @flooded: datagrams sent.
 */
struct storm_books {
	volatile uint64_t next6;
	volatile uint64_t collected_denied, collected_allowed;
	volatile uint64_t flooded;
	volatile bool stop;
};

/** struct storm - @addr: where pods may come up, @n_addr of them. @base6: family 0 = no IPv6. */
struct storm {
	struct vw_ip addr[STORM_ADDRS];
	size_t n_addr;
	struct vw_ip base6;
	struct vw_ip collector, collector6;
	struct storm_books *books;
};

/**
 * struct storm_report - what a new pod saw from before it had a link until after its DEL. @raw, @udp: packets that it could send to
 * the port that is denied, past the kernel's stack and by it. @denied_in, @allowed_in: of the flood. @answered: the collector's.
 */
struct storm_report {
	uint64_t raw, udp, denied_in, allowed_in, answered4, answered6;
};

/**
 * storm_pod() - the life of a process in a network namespace that gets its link only later. Says "r" on @fd when it is ready; sends its
 * report when packets that are allowed have passed both ways, goes on, and sends another and returns when @fd has a byte or ends.
 */
void storm_pod(const struct storm *s, int fd);
/** storm_flood() - in the namespace of another pod: to every address where a pod may come up, until books->stop. */
void storm_flood(const struct storm *s);
/** storm_collect() - likewise: receives what new pods send, answers what is allowed. Says "r" on @fd when it listens. */
void storm_collect(const struct storm *s, int fd);
