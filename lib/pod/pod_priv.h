// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>

struct vw_pod_net;

/** DOC: between configure.c and check.c */

/** vw_pod_metadata() - addresses of the instance metadata service, IPv4 and IPv6. */
#define VW_POD_METADATA 2
const struct vw_cidr *vw_pod_metadata(size_t i);
/** vw_pod_gw_is_near() - @gw is in the subnet of one of the addresses: the kernel has a connected route to it. */
bool vw_pod_gw_is_near(const struct vw_pod_net *net, const struct vw_ip *gw);
