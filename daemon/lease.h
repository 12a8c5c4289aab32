// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"

struct daemon;
struct vw_err;
struct vw_rpc_req;

/**
 * struct lease - the addresses of an ADD under way, family 0 where it gets none; both are on the one ENI.
 * @eni_id: the pool's or the ENI table's text, valid until their next change.
 */
struct lease {
	struct vw_ip ip4, ip6;
	const char *eni_id;
};

/**
 * lease_take() - addresses of the families that this node's pods get: those that @req wants, else what pool and /80 give.
 * @key: whose they are in the pool. Return: 0; -EAGAIN: none is there, growth may bring some;
 * -EBUSY: what its former pod left is being forgotten, try again after the reap; -EADDRNOTAVAIL, -EADDRINUSE,
 * -EAFNOSUPPORT: a wanted one cannot be had, and why. Nothing is taken on failure.
 */
int lease_take(struct daemon *d, const struct vw_rpc_req *req, const char *key, struct lease *ret, struct vw_err *err);
/** lease_end() - give both back at once: they were never used. */
void lease_end(struct daemon *d, const char *key, const struct lease *l);
