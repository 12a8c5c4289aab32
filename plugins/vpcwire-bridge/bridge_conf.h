// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"
#include "lib/eni/state.h"

#include <net/if.h>
#include <stdbool.h>

struct vw_cni_call;
struct vw_err;

/** DOC: the keys of AWS's vpc-bridge in L3 mode: docs/CNI-BRIDGE.md. What the runtime sent is checked here, and only here. */

#define BR_STATE_DIR "/run/vpcwire/bridge"

/**
 * struct br_conf - what to do.
 * @state_dir: borrowed from the configuration.
 * @eni_name, @eni_mac: the ENI; at least one is given, the MAC wins.
 * @netns:     where the bridge is; "" = the host.
 * @eni:       addresses of the ENI, none = those that it has. @gw: routers, @n_gw of them, at most one for each family.
 * @pod:       addresses of the container.
 * @mtu:       0 = the ENI's.
 * @tap:       the container gets a tap, which @tap_owner may open (-1 = root alone), and whoever does has address and gateway.
 */
struct br_conf {
	const char *state_dir;
	char eni_name[IFNAMSIZ];
	struct vw_mac eni_mac;
	char netns[VW_PATH_MAX];
	struct eni_addrs eni, pod;
	struct vw_ip gw[2];
	size_t n_gw;
	struct eni_cidrs vpc;
	struct eni_ports ports;
	unsigned int mtu;
	bool tap;
	int64_t tap_owner;
};

/** br_conf_parse() - Fails with VW_CNI_INVALID_CONFIG or VW_CNI_UNSUPPORTED_FIELD, and names key, value and what is wanted. */
int br_conf_parse(const struct vw_cni_call *call, struct br_conf *ret, struct vw_err *err);
/** br_conf_state_dir() - the folder alone, for verbs that need no more; the built-in one where the key makes no sense. */
const char *br_conf_state_dir(const struct vw_cni_call *call);
