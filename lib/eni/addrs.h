// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stddef.h>

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
