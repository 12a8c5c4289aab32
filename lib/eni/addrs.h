// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_cni_result;
struct vw_err;
struct vw_json;

#define ENI_MAX_ADDRS 64                /* an ENI has at most 50 IPv4 and as many IPv6 addresses (m5.24xlarge) */

/** struct eni_addrs - addresses of both families with their subnets' lengths, and at most one gateway for each family. */
struct eni_addrs {
	struct vw_cidr v[ENI_MAX_ADDRS];
	size_t n;
	struct vw_ip gw[2];
	size_t n_gw;
};

/** eni_addrs_parse() - two lists of texts, as they stand in a configuration or a state file; NULL = none. */
int eni_addrs_parse(const struct vw_json *addrs, const struct vw_json *gateways, struct eni_addrs *ret, struct vw_err *err);
/** eni_addrs_add() - one more, as it stands in a configuration. */
int eni_addrs_add(struct eni_addrs *a, const char *text, struct vw_err *err);
/** eni_addrs_report() - append to a result: every address, of interface @iface, with its gateway; and the default @routes. Return: 0, -ENOMEM. */
int eni_addrs_report(const struct eni_addrs *a, int iface, bool routes, struct vw_cni_result *r);

/** struct eni_cidrs - networks, host bits cleared. */
#define ENI_MAX_CIDRS 64
struct eni_cidrs {
	struct vw_cidr v[ENI_MAX_CIDRS];
	size_t n;
};
/** eni_cidrs_parse() - a list of texts; NULL = none. @masked: host bits are cleared, else kept. */
int eni_cidrs_parse(const struct vw_json *list, bool masked, struct eni_cidrs *ret, struct vw_err *err);

/**
 * struct eni_port - a port of the ENI that leads to one of the container. @proto: IPPROTO_*. Ports in host byte order.
 * @at: the ENI's address; family 0 = each of them.
 */
struct eni_port {
	uint8_t proto;
	uint16_t host, pod;
	struct vw_ip at;
};
#define ENI_MAX_PORTS 128
struct eni_ports {
	struct eni_port v[ENI_MAX_PORTS];
	size_t n;
};
/** eni_proto_parse() - "tcp", "udp", "sctp", in any letter case. Return: 0, -EINVAL. */
int eni_proto_parse(const char *text, uint8_t *ret);
const char *eni_proto_str(uint8_t proto);
