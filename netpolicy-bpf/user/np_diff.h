#pragma once

#include "netpolicy-bpf/user/np_image.h"

struct np_mem;

/**
 * DOC: what would be different
 *
 * np_diff() compares two images of one node: for which of its pods, which peers and which ports the
 * action is another. For `policy simulate`: compile what would be (np_world_save(), np_world_take(),
 * np_compile(), np_world_restore()), and ask.
 */

/**
 * struct np_diff_peer - an address (full length; @who as in struct np_peer), or a prefix: what of it is
 * nobody's.
 */
struct np_diff_peer {
	struct vw_cidr cidr;
	const char *who;
};

/** struct np_diff_port - @proto: IPPROTO_TCP, _UDP, _SCTP, or 0: all that has no ports (ICMP and others). */
struct np_diff_port {
	uint8_t proto;
	uint16_t first, last;
};

/**
 * struct np_diff_change - for each pod of @slot, each of @peer and each of @port the same: @from becomes
 * @to. NP_CHAIN: it depends on the names that DNS gives the peer. @from_rule, @to_rule: which rule says
 * so; NULL: none does, or names decide.
 */
struct np_diff_change {
	enum np_dir dir;
	enum np_action from, to;
	const struct np_rule *from_rule, *to_rule;
	unsigned int *slot;
	struct np_diff_peer *peer;
	struct np_diff_port *port;
	size_t n_slot, n_peer, n_port;
};

/** struct np_diff - @cut: there are more changes than were wanted. Texts and rules are the images'. */
struct np_diff {
	struct np_diff_change *change;
	size_t n_change;
	bool cut;
	struct np_mem *mem;
};

/**
 * np_diff() - at most @max changes. Pods that only one image has are passed over. Return: 0
 * (np_diff_done()), -ENOMEM.
 */
int np_diff(const struct np_image *old, const struct np_image *fresh, size_t max, struct np_diff *ret,
	    struct vw_err *err);
void np_diff_done(struct np_diff *d);
