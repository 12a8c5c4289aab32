/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/model.h"

/**
 * DOC: free addresses of a subnet
 *
 * IPv4: one byte per address (enum sim_use), so that /28 alignment, fragmentation and reservations are what
 * they are in EC2: a prefix needs 16 free addresses in an aligned block. The first four and the last address
 * belong to AWS. IPv6: the ENIs' own lists are the record; a subnet has room for more than any test asks.
 */

/** sim_subnet_init_use() - allocate the map of @s->v4 with AWS's own addresses reserved. Return: 0, -ENOMEM.
 */
int sim_subnet_init_use(struct sim_subnet *s);
/** sim_subnet_reserve() - a subnet CIDR reservation. Return: 0, -ERANGE (outside), -EADDRINUSE. */
int sim_subnet_reserve(struct sim_subnet *s, const struct vw_cidr *c, bool for_prefixes);

/** sim_alloc_pick() - take a free address or (@prefix) /28, /80. Return: 0, -ENOSPC. */
int sim_alloc_pick(struct sim_world *w, struct sim_subnet *s, int family, bool prefix,
		   struct vw_cidr *ret_cidr);
/**
 * sim_alloc_take() - take exactly @c.
 * Return: 0, -ERANGE (not in the subnet), -EPERM (AWS's own), -EADDRINUSE, -EINVAL (no prefix of the right
 * size).
 */
int sim_alloc_take(struct sim_world *w, struct sim_subnet *s, const struct vw_cidr *c);
void sim_alloc_give(struct sim_subnet *s, const struct vw_cidr *c);

/** sim_subnet_available() - free IPv4 addresses, as DescribeSubnets counts them. */
size_t sim_subnet_available(const struct sim_subnet *s);
/** sim_subnet_free_prefixes() - aligned blocks of 16 free addresses. */
size_t sim_subnet_free_prefixes(const struct sim_subnet *s);
/**
 * sim_subnet_fragment() - leave @free_prefixes whole /28 blocks (the first ones); in every other free block
 * @held_per_block (1..16) addresses become HELD. Undoes an earlier fragmentation first.
 */
void sim_subnet_fragment(struct sim_subnet *s, size_t free_prefixes, unsigned int held_per_block);
void sim_subnet_unfragment(struct sim_subnet *s);
