// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/eni/addrs.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/rpc/rpc.h"

struct vw_buf;
struct vw_err;

/**
 * DOC: what the plugin remembers
 *
 * One file for each attachment, in a folder on a tmpfs (neither container nor namespace survives a boot). It is written
 * before the kernel is touched and removed when everything is undone, so whatever an ADD that was killed has left can be
 * found by it. What is in there came from ourselves, but is checked like anything else that is read.
 */

/** enum eni_iface - what a branch ENI is in the container: its interface, or a microVM's way to it. */
enum eni_iface { ENI_IFACE_VLAN, ENI_IFACE_TAP, ENI_IFACE_MACVTAP };
/** eni_iface_parse() - of "vlan", "tap", "macvtap", in any letter case. Return: 0, -EINVAL. */
int eni_iface_parse(const char *text, enum eni_iface *ret);

/**
 * struct eni_kept - an ENI that stays where it is and is changed there.
 * @known: the sysctls have been read. @was_down: the interface. @added: addresses that it did not have.
 * @rp_filter, @forwarding: IPv4's. @accept_dad, @disable_ipv6, @force_forwarding: IPv6's. The kernel takes any number for each of them.
 */
struct eni_kept {
	bool known, was_down;
	int rp_filter, forwarding, accept_dad, disable_ipv6, force_forwarding;
	struct eni_cidrs added;
};

/**
 * struct eni_state - an attachment.
 * @netns, @netns_id: where the interface went; the id tells that namespace from a later one of the same path.
 * @mac:       of the ENI.
 * @host_name, @host_mtu, @host_alias: how its interface was called and set on the host.
 * @mtu:       in the container.
 * @vlan, @trunk: of a branch ENI: its tag and the interface index of its trunk; 0 for a whole ENI. @host_name is then the
 *             interface on the host that stands beside the trunk for it.
 * @iface:     of a branch ENI: what CNI_IFNAME is.
 * @stay_down: handed over unconfigured; of a bridge's container: as a tap.
 * @pod_mac:   of the interface in the container where that is not the ENI's; zero = it is.
 * @ports:     of the ENI, that lead to the container.
 * @vpc:       of a bridge: networks in which containers keep their own addresses.
 * @kept:      of a bridge: how the ENI was set up before.
 * @orphaned:  DEL succeeded, but the ENI had not come back from its dead container yet: whoever sees it again gives it
 *             its name back.
 */
struct eni_state {
	struct vw_attach_key key;
	char network[VW_ID_MAX];
	char netns[VW_PATH_MAX];
	struct vw_netns_id netns_id;
	struct vw_mac mac;
	char host_name[IFNAMSIZ];
	char host_alias[VW_IFALIAS_MAX];
	unsigned int host_mtu;
	unsigned int mtu;
	unsigned int vlan, trunk;
	enum eni_iface iface;
	struct eni_addrs addrs;
	bool stay_down, block_metadata, orphaned;
	struct vw_mac pod_mac;
	struct eni_ports ports;
	struct eni_cidrs vpc;
	struct eni_kept kept;
};

int eni_state_write(const char *dir, const struct eni_state *st, struct vw_err *err);
/** eni_state_read() - Return: 1 = found; 0 = there is none (also: one that cannot be understood); -errno. */
int eni_state_read(const char *dir, const struct vw_attach_key *key, struct eni_state *ret, struct vw_err *err);
/** eni_state_remove() - none is no error. And eni_state_tidy(). */
int eni_state_remove(const char *dir, const struct vw_attach_key *key, struct vw_err *err);
/** eni_state_tidy() - what a writer that was killed has left of the file of @key, or of any when @key is NULL. */
void eni_state_tidy(const char *dir, const struct vw_attach_key *key);
/**
 * eni_state_each() - call @fn for each attachment, until it returns other than 0.
 * Return: what @fn returned last, 0 when there are none, -errno. @fn may remove or write the file of its own state.
 */
int eni_state_each(const char *dir, int (*fn)(const struct eni_state *st, void *arg), void *arg, struct vw_err *err);

/** eni_state_encode() - append one file's text. Return: 0, -ENOMEM. */
int eni_state_encode(const struct eni_state *st, struct vw_buf *buf);
/** eni_state_decode() - one file's text. Return: 0, -errno with the reason. */
int eni_state_decode(const char *text, size_t len, struct eni_state *ret, struct vw_err *err);
