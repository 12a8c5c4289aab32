// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stdint.h>

struct vw_cni_args;
struct vw_cni_conf;
struct vw_err;

/**
 * DOC: what a runtime asks for one attachment
 *
 * Three places can say the same thing; the first one that does wins: "runtimeConfig" (capabilities, which the plugin has to
 * act on or refuse), "args"."cni" (hints, which never fail an ADD), CNI_ARGS.
 * Source: containernetworking/cni CONVENTIONS.md. "dns" is taken in with the configuration (conf.h): every plugin passes it on.
 */

/** enum vw_cni_cap - capabilities that a plugin acts on. */
enum vw_cni_cap {
	VW_CNI_CAP_IPS = 1 << 0,
	VW_CNI_CAP_MAC = 1 << 1,
	VW_CNI_CAP_BANDWIDTH = 1 << 2,
	VW_CNI_CAP_PORT_MAPPINGS = 1 << 3,
};

/** struct vw_cni_rate - a limit. @bits_per_s: 0 = none. @burst_bits: 0 = not said. */
struct vw_cni_rate {
	uint64_t bits_per_s, burst_bits;
};

#define VW_CNI_RATE_MIN_BITS 1000       /* Kubernetes' own floor: pkg/util/bandwidth, minRsrc */

/**
 * struct vw_cni_wish - what is asked for.
 * @ip:          addresses, at most one of each family, @n_ip of them. @ip_optional: any others will do as well.
 * @mac:         of the container's interface, when @has_mac.
 * @to_pod, @from_pod: "ingress" and "egress" of the bandwidth capability. A burst of 2^32 - 1 bits or more is what runtimes
 *               send for "none given" (containerd, CRI-O) and is 0 here.
 */
struct vw_cni_wish {
	struct vw_ip ip[2];
	unsigned int n_ip;
	bool ip_optional;
	bool has_mac;
	struct vw_mac mac;
	struct vw_cni_rate to_pod, from_pod;
};

/**
 * vw_cni_wish_parse() - collect and check.
 * @caps: enum vw_cni_cap of the plugin. A capability that it has not, and that asks for something, fails with
 * VW_CNI_UNSUPPORTED_FIELD and names key and value; so do those that none of our plugins has (ipRanges, deviceID,
 * infinibandGUID) and an address more than the plugin gives. Malformed values in runtimeConfig fail with
 * VW_CNI_INVALID_CONFIG, in CNI_ARGS with VW_CNI_INVALID_ENV; in "args" they are ignored.
 */
int vw_cni_wish_parse(const struct vw_cni_conf *conf, const struct vw_cni_args *args, unsigned int caps,
		      struct vw_cni_wish *ret_wish, struct vw_err *err);
