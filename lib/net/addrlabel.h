// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

/**
 * struct vw_addrlabel - a label of the IPv6 policy table (RFC 6724): a source is preferred whose label is the destination's.
 * @prefix:  IPv6, masked. @ifindex: only for addresses of this interface (as a destination: reached by it), 0 = any.
 * @label:   any number but 0xffffffff; the kernel's own are below 100.
 * @dev: name of @ifindex, for messages only; borrowed, may be NULL. NULL in what is read.
 */
struct vw_addrlabel {
	struct vw_cidr prefix;
	unsigned int ifindex;
	uint32_t label;
	const char *dev;
};

/** vw_addrlabel_set() - add, or change the label of this prefix and interface. */
int vw_addrlabel_set(struct vw_nl_batch *b, const struct vw_addrlabel *l);
/** vw_addrlabel_del() - ESRCH when there is none. */
int vw_addrlabel_del(struct vw_nl_batch *b, const struct vw_addrlabel *l);
/** vw_addrlabel_list() - all. @ret: the caller frees, NULL when empty. Return: how many, -errno. */
int vw_addrlabel_list(struct vw_nl *nl, struct vw_addrlabel **ret, struct vw_err *err);
