#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

/**
 * struct vw_neigh - a neighbour entry.
 * @permanent: NUD_PERMANENT; always so for what vw_neigh_replace() makes.
 * @dev: name of @ifindex, for messages only; borrowed, may be NULL.
 */
struct vw_neigh {
	unsigned int ifindex;
	struct vw_ip ip;
	struct vw_mac mac;
	bool permanent;
	const char *dev;
};

int vw_neigh_replace(struct vw_nl_batch *b, const struct vw_neigh *neigh);
/** vw_neigh_del() - ENOENT when there is none. */
int vw_neigh_del(struct vw_nl_batch *b, const struct vw_neigh *neigh);
/** vw_neigh_get() - one entry, no dump. Return: 0, -ENOENT, -errno. */
int vw_neigh_get(struct vw_nl *nl, unsigned int ifindex, const struct vw_ip *ip, struct vw_neigh *ret_neigh,
		 struct vw_err *err);
