// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"
#include "lib/eni/addrs.h"
#include "lib/eni/state.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

struct vw_cni_call;
struct vw_err;

/**
 * DOC: the keys of the plugin
 *
 * The network configuration has the keys of AWS's plugins: vpc-eni (eniName, eniMACAddress, eniIPAddresses, ...) and
 * ecs-eni (eni, mac, ip-addresses, ...), or, for a branch ENI, vpc-branch-eni (trunkName, branchVlanID, ...). docs/CNI-ENI.md lists them. Whatever the runtime sent is checked here, and only here.
 */
#define ENI_STATE_DIR "/run/vpcwire/eni"
#define ENI_BPF_DIR "/sys/fs/bpf/vpcwire"

/**
 * struct eni_conf - what to do with which interface.
 * @state_dir: borrowed from the configuration.
 * @eni_name, @eni_mac: the ENI's interface; "" and zero where not given, never both.
 * @vlan:      a branch ENI's tag: @eni_name, @eni_mac are its trunk's then, and @branch_mac its own; 0 = a whole ENI.
 * @bpf_dir:   where the programs are pinned that tag; borrowed.
 * @iface:     of a branch ENI. @uid, @gid: of whoever may open its tap; -1 = not given.
 * @mtu:       0 = as it is.
 * @stay_down: hand the interface over, neither up nor configured.
 */
struct eni_conf {
	const char *state_dir;
	char eni_name[IFNAMSIZ];
	struct vw_mac eni_mac;
	const char *bpf_dir;
	unsigned int vlan;
	struct vw_mac branch_mac;
	enum eni_iface iface;
	int64_t uid, gid;
	struct eni_addrs addrs;
	unsigned int mtu;
	bool stay_down, block_metadata;
};

/** eni_conf_args - keys of CNI_ARGS that a branch ENI is described by, NULL-terminated. They win over the configuration's. */
extern const char *const eni_conf_args[];

/** eni_conf_parse() - Fails with VW_CNI_INVALID_CONFIG; the message names key, value and what is wanted. */
int eni_conf_parse(const struct vw_cni_call *call, struct eni_conf *ret, struct vw_err *err);
/** eni_conf_state_dir() - the folder alone, for verbs that need no more. Falls back to the built-in one. */
const char *eni_conf_state_dir(const struct vw_cni_call *call);
/** eni_conf_bpf_dir() - likewise. */
const char *eni_conf_bpf_dir(const struct vw_cni_call *call);
/** eni_conf_mac() - the MAC alone, as far as it can be understood; zero otherwise. For DEL. */
struct vw_mac eni_conf_mac(const struct vw_cni_call *call);
