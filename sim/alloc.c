/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free addresses of a subnet. States of an IPv4 address: see enum sim_use; what is given back returns to FREE
 * or to the reservation it came from (s->rsv).
 */
#include "sim/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sim/ops.h"

#define BLOCK 16U /* addresses of a /28 */

int sim_subnet_init_use(struct sim_subnet *s)
{
	size_t i;

	s->n_use = (size_t)1 << (32 - s->v4.len);
	s->use = calloc(s->n_use, 1);
	s->rsv = calloc(s->n_use, 1);
	if (!s->use || !s->rsv)
		return -ENOMEM;
	for (i = 0; i < 4 && i < s->n_use; i++)
		s->use[i] = SIM_USE_RESERVED;
	s->use[s->n_use - 1] = SIM_USE_RESERVED;
	return 0;
}

/* Index range of @c in the subnet's map. */
static void range(const struct sim_subnet *s, const struct vw_cidr *c, size_t *ret_first, size_t *ret_n)
{
	*ret_first = vw_ip4_u32(&c->ip) - vw_ip4_u32(&s->v4.ip);
	*ret_n = (size_t)1 << (32 - c->len);
}

int sim_subnet_reserve(struct sim_subnet *s, const struct vw_cidr *c, bool for_prefixes)
{
	uint8_t kind = for_prefixes ? SIM_USE_RSV_PREFIX : SIM_USE_RSV_EXPLICIT;
	size_t first, n, i;

	if (!vw_cidr_covers(&s->v4, c))
		return -ERANGE;
	range(s, c, &first, &n);
	for (i = first; i < first + n; i++)
		if (s->rsv[i] || (s->use[i] != SIM_USE_FREE && s->use[i] != SIM_USE_RESERVED))
			return -EADDRINUSE;
	for (i = first; i < first + n; i++) {
		if (s->use[i] == SIM_USE_FREE) {
			s->use[i] = kind;
			s->rsv[i] = kind;
		}
	}
	return 0;
}

static bool block_is(const struct sim_subnet *s, size_t first, uint8_t use)
{
	size_t i;

	if (first + BLOCK > s->n_use)
		return false;
	for (i = first; i < first + BLOCK; i++)
		if (s->use[i] != use)
			return false;
	return true;
}

static struct vw_cidr at(const struct sim_subnet *s, size_t i, unsigned int len)
{
	struct vw_ip ip = vw_ip_add(&s->v4.ip, i);

	return vw_cidr_of(&ip, len);
}

/* Where the search begins: lowest first, or anywhere as EC2 does. */
static size_t start(struct sim_world *w, size_t n)
{
	/* Knuth's multiplicative hash: well spread and the same in every run */
	return w->scattered ? (size_t)((w->id_next++ * 2654435761U) % n) : 0;
}

static int pick4(struct sim_world *w, struct sim_subnet *s, struct vw_cidr *ret_cidr)
{
	size_t i, from = start(w, s->n_use);

	for (i = 0; i < s->n_use; i++) {
		size_t k = (from + i) % s->n_use;

		if (s->use[k] != SIM_USE_FREE)
			continue;
		s->use[k] = SIM_USE_ADDRESS;
		*ret_cidr = at(s, k, 32);
		return 0;
	}
	return -ENOSPC;
}

static int pick4_prefix(struct sim_world *w, struct sim_subnet *s, uint8_t use, struct vw_cidr *ret_cidr)
{
	size_t i, n = s->n_use / BLOCK, from = n ? start(w, n) : 0;

	for (i = 0; i < n; i++) {
		size_t k = (from + i) % n * BLOCK;

		if (!block_is(s, k, use))
			continue;
		memset(s->use + k, SIM_USE_PREFIX, BLOCK);
		*ret_cidr = at(s, k, SIM_V4_PREFIX_LEN);
		return 0;
	}
	return -ENOSPC;
}

static bool v6_is_free(struct sim_world *w, const struct vw_cidr *c)
{
	struct sim_eni *e;
	size_t i;

	TAILQ_FOREACH(e, &w->enis, link)
		for (i = 0; i < e->v6.n; i++)
			if (vw_cidr_overlaps(&e->v6.v[i], c))
				return false;
	return true;
}

/*
 * Single addresses come from the first /80, ascending, never one twice while others are free; prefixes are
 * the /80s after it. The caller must put what it picked into an ENI's list before it picks again.
 */
static int pick6(struct sim_world *w, struct sim_subnet *s, bool prefix, struct vw_cidr *ret_cidr)
{
	uint64_t i, k, n = prefix ? 1U << (SIM_V6_PREFIX_LEN - 64) : 1U << 20;

	for (i = 1; i < n; i++) {
		struct vw_ip ip;

		k = prefix ? i << 48 : 0xff + (s->v6_next + i) % n;
		ip = vw_ip_add(&s->v6.ip, k);
		*ret_cidr = vw_cidr_of(&ip, prefix ? SIM_V6_PREFIX_LEN : 128);
		if (!v6_is_free(w, ret_cidr))
			continue;
		if (!prefix)
			s->v6_next = (s->v6_next + i) % n;
		return 0;
	}
	return -ENOSPC;
}

int sim_alloc_pick(struct sim_world *w, struct sim_subnet *s, int family, bool prefix,
		   struct vw_cidr *ret_cidr)
{
	if (family == AF_INET6)
		return s->v6.ip.family ? pick6(w, s, prefix, ret_cidr) : -ENOSPC;
	if (!prefix)
		return pick4(w, s, ret_cidr);
	if (pick4_prefix(w, s, SIM_USE_RSV_PREFIX, ret_cidr) == 0)
		return 0;
	return pick4_prefix(w, s, SIM_USE_FREE, ret_cidr);
}

static int take4(struct sim_subnet *s, const struct vw_cidr *c)
{
	bool prefix = sim_eni_is_prefix(c);
	size_t first, n, i;

	range(s, c, &first, &n);
	for (i = first; i < first + n; i++) {
		if (s->use[i] == SIM_USE_RESERVED)
			return -EPERM;
		if (s->use[i] != SIM_USE_FREE && s->use[i] != s->rsv[i])
			return -EADDRINUSE;
	}
	memset(s->use + first, prefix ? SIM_USE_PREFIX : SIM_USE_ADDRESS, n);
	return 0;
}

int sim_alloc_take(struct sim_world *w, struct sim_subnet *s, const struct vw_cidr *c)
{
	unsigned int plen = c->ip.family == AF_INET6 ? SIM_V6_PREFIX_LEN : SIM_V4_PREFIX_LEN;
	const struct vw_cidr *net = c->ip.family == AF_INET6 ? &s->v6 : &s->v4;

	if ((sim_eni_is_prefix(c) && c->len != plen) || !vw_cidr_is_masked(c))
		return -EINVAL;
	if (!net->ip.family || !vw_cidr_covers(net, c))
		return -ERANGE;
	if (c->ip.family == AF_INET)
		return take4(s, c);
	return v6_is_free(w, c) ? 0 : -EADDRINUSE;
}

void sim_alloc_give(struct sim_subnet *s, const struct vw_cidr *c)
{
	size_t first, n;

	if (c->ip.family != AF_INET)
		return;
	range(s, c, &first, &n);
	memcpy(s->use + first, s->rsv + first, n);
}

size_t sim_subnet_available(const struct sim_subnet *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n_use; i++)
		n += s->use[i] == SIM_USE_FREE || (s->rsv[i] && s->use[i] == s->rsv[i]);
	return n;
}

size_t sim_subnet_free_prefixes(const struct sim_subnet *s)
{
	size_t i, n = 0;

	for (i = 0; i + BLOCK <= s->n_use; i += BLOCK)
		n += block_is(s, i, SIM_USE_FREE) || block_is(s, i, SIM_USE_RSV_PREFIX);
	return n;
}

void sim_subnet_unfragment(struct sim_subnet *s)
{
	size_t i;

	for (i = 0; i < s->n_use; i++)
		if (s->use[i] == SIM_USE_HELD)
			s->use[i] = s->rsv[i];
}

void sim_subnet_fragment(struct sim_subnet *s, size_t free_prefixes, unsigned int held_per_block)
{
	size_t i;

	sim_subnet_unfragment(s);
	for (i = 0; i + BLOCK <= s->n_use; i += BLOCK) {
		if (!block_is(s, i, SIM_USE_FREE) && !block_is(s, i, SIM_USE_RSV_PREFIX))
			continue;
		if (free_prefixes) {
			free_prefixes--;
			continue;
		}
		/* from the end of the block, so that its low addresses stay useful */
		memset(s->use + i + BLOCK - held_per_block, SIM_USE_HELD, held_per_block);
	}
}
