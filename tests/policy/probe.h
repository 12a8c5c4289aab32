#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stddef.h>

struct net_place;
struct vw_err;

/**
 * DOC: connections, many at once
 *
 * A probe opens a flow from one namespace to another: TCP by a connection on which the other end says who it is, UDP by a
 * datagram and its answer, ICMP by an echo, SCTP (of which the kernel has no sockets) by INIT and INIT ACK, any other protocol by a packet
 * and its answer. Servers are started where and when they are needed. A probe has passed when the right end has answered, and is
 * denied when the programs have said so (prober_denied()): nothing is concluded from time that passes.
 */

enum probe_got { PROBE_PENDING, PROBE_PASSED, PROBE_DENIED, PROBE_WRONG };

/**
 * struct probe - @from: source address, @to, @port: where it is sent. @seen, @real, @real_port: source and destination as the programs see
 * them when they judge, behind NAT. @got: what came of it, @why: of PROBE_WRONG. @dir: of PROBE_DENIED, who.
 */
struct probe {
	const struct net_place *src, *dst;
	struct vw_ip from, to, seen, real;
	uint16_t port, real_port;
	uint8_t proto;
	enum probe_got got;
	enum np_dir dir;
	const char *why;
	/* the prober's own */
	int fd;
	uint16_t sport;
};
#define PROBES_MAX 16384

struct prober;
int prober_new(struct prober **ret, struct vw_err *err);
void prober_free(struct prober *p);
/** prober_watch() - call @fn whenever @fd can be read. */
int prober_watch(struct prober *p, int fd, void (*fn)(void *arg), void *arg, struct vw_err *err);
/** prober_run() - all of them, @v sorted by src; those that nothing is known of in the end are PROBE_WRONG. */
int prober_run(struct prober *p, struct probe *v, size_t n, struct vw_err *err);
/** prober_denied() - an event of the programs. */
void prober_denied(struct prober *p, const struct np_event *e);
