/*
 * IPv6: a table of blocks, a hash of the addresses in use, and a counter that every assignment moves on. Numbers are
 * unique on the node and not only in a block, so that the last bytes of an address tell pods apart in logs.
 */
#include "ipam/v6.h"

#include "ipam/pool.h"
#include "lib/base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BLOCKS (IPAM_NUMBER_MAX + 1)
#define LAST_NUMBER ((UINT64_C(1) << (128 - IPAM_V6_BLOCK_LEN)) - 1)
/* No node counts as far as this: a number beyond it is one that somebody asked for. Behind it the count could come round at once, to what rests. */
#define ASKED_FOR (UINT64_C(1) << 32)

struct block {
	char eni_id[IPAM_ID_MAX];
	struct vw_cidr cidr;
};

struct used {
	struct vw_ip ip;
	UT_hash_handle hh;
};

struct ipam_v6 {
	struct block blocks[MAX_BLOCKS];
	size_t n_blocks;
	struct used *used;
	uint64_t last;          /* number given out last; 0 is never given: it is the block's own address */
};

struct ipam_v6 *ipam_v6_new(void)
{
	return calloc(1, sizeof(struct ipam_v6));
}

void ipam_v6_free(struct ipam_v6 *v)
{
	struct used *u, *tmp;

	if (!v)
		return;
	HASH_ITER(hh, v->used, u, tmp) {
		HASH_DEL(v->used, u);
		free(u);
	}
	free(v);
}

static struct block *block_of(const struct ipam_v6 *v, const char *eni_id)
{
	for (size_t i = 0; i < v->n_blocks; i++)
		if (!strcmp(v->blocks[i].eni_id, eni_id))
			return (struct block *)&v->blocks[i];
	return NULL;
}

int ipam_v6_block_put(struct ipam_v6 *v, const char *eni_id, const struct vw_cidr *block)
{
	struct block *b = block_of(v, eni_id);

	if (block->ip.family != AF_INET6 || block->len != IPAM_V6_BLOCK_LEN || !vw_cidr_is_masked(block) || !*eni_id ||
	    strlen(eni_id) >= IPAM_ID_MAX)
		return -EINVAL;
	if (b && vw_cidr_eq(&b->cidr, block))
		return 0;
	for (size_t i = 0; i < v->n_blocks; i++)
		if (vw_cidr_eq(&v->blocks[i].cidr, block))
			return -EEXIST;
	if (b && ipam_v6_in_use(v, &b->cidr))
		return -EBUSY;
	if (!b) {
		if (v->n_blocks == MAX_BLOCKS)
			return -ENOSPC;
		b = &v->blocks[v->n_blocks++];
		memcpy(b->eni_id, eni_id, strlen(eni_id) + 1);
	}
	b->cidr = *block;
	return 0;
}

int ipam_v6_block_del(struct ipam_v6 *v, const char *eni_id)
{
	struct block *b = block_of(v, eni_id);

	if (!b)
		return 0;
	if (ipam_v6_in_use(v, &b->cidr))
		return -EBUSY;
	*b = v->blocks[--v->n_blocks];
	return 0;
}

const struct vw_cidr *ipam_v6_block(const struct ipam_v6 *v, const char *eni_id)
{
	const struct block *b = block_of(v, eni_id);

	return b ? &b->cidr : NULL;
}

const char *ipam_v6_eni(const struct ipam_v6 *v, const struct vw_ip *ip)
{
	for (size_t i = 0; i < v->n_blocks; i++)
		if (vw_cidr_has(&v->blocks[i].cidr, ip))
			return v->blocks[i].eni_id;
	return NULL;
}

size_t ipam_v6_in_use(const struct ipam_v6 *v, const struct vw_cidr *block)
{
	const struct used *u, *tmp;
	size_t n = 0;

	HASH_ITER(hh, v->used, u, tmp)
		n += vw_cidr_has(block, &u->ip);
	return n;
}

static struct used *used_find(const struct ipam_v6 *v, const struct vw_ip *ip)
{
	struct used *u;

	HASH_FIND(hh, v->used, ip, sizeof(*ip), u);
	return u;
}

static int used_add(struct ipam_v6 *v, const struct vw_ip *ip)
{
	struct used *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->ip = *ip;
	HASH_ADD(hh, v->used, ip, sizeof(u->ip), u);
	if (!u->hh.tbl) {
		free(u);
		return -ENOMEM;
	}
	return 0;
}

/* the last 48 bits */
static uint64_t number_of(const struct vw_ip *ip)
{
	uint64_t n = 0;

	for (size_t i = IPAM_V6_BLOCK_LEN / 8; i < sizeof(ip->b); i++)
		n = n << 8 | ip->b[i];
	return n;
}

int ipam_v6_assign(struct ipam_v6 *v, const char *eni_id, struct vw_ip *ret_ip)
{
	const struct block *b = block_of(v, eni_id);
	uint64_t number = v->last;
	struct vw_ip ip;
	int r;

	if (!b)
		return -EAGAIN;
	/* ends: a node has fewer pods than numbers */
	do {
		number = number == LAST_NUMBER ? 1 : number + 1;
		ip = vw_ip_add(&b->cidr.ip, number);
	} while (used_find(v, &ip));
	r = used_add(v, &ip);
	if (r < 0)
		return r;
	v->last = number;
	*ret_ip = ip;
	return 0;
}

void ipam_v6_release(struct ipam_v6 *v, const struct vw_ip *ip)
{
	struct used *u = used_find(v, ip);

	if (!u)
		return;
	HASH_DEL(v->used, u);
	free(u);
}

void ipam_v6_restore_cooling(struct ipam_v6 *v, const struct vw_ip *ip)
{
	if (ip->family == AF_INET6 && number_of(ip) > v->last && number_of(ip) < ASKED_FOR)
		v->last = number_of(ip);
}

int ipam_v6_restore(struct ipam_v6 *v, const struct vw_ip *ip)
{
	int r;

	if (ip->family != AF_INET6)
		return -EAFNOSUPPORT;
	if (used_find(v, ip))
		return -EEXIST;
	r = used_add(v, ip);
	if (r == 0)
		ipam_v6_restore_cooling(v, ip);
	return r;
}
