#pragma once

#include "lib/base/ip.h"

#include <stddef.h>

/**
 * DOC: IPv6 addresses
 *
 * One /80 per ENI holds 2^48 addresses, so that there is nothing to plan and nothing to choose: the node counts, and an
 * address is its ENI's /80 plus the next number. A number comes again only after all others, so that an address
 * rests longer than any cool-down asks; after a restart counting goes on behind the highest number that is restored, but for those
 * from 2^32 on, which nobody gets who has not asked for them.
 * In here only: no I/O, no clock, no families but IPv6.
 */
#define IPAM_V6_BLOCK_LEN 80    /* the only IPv6 prefix that EC2 delegates (EC2 User Guide, ec2-prefix-eni.html) */

struct ipam_v6;

/** ipam_v6_new() - without blocks. Return: NULL when out of memory. */
struct ipam_v6 *ipam_v6_new(void);
void ipam_v6_free(struct ipam_v6 *v);

/**
 * ipam_v6_block_put() - addresses of ENI @eni_id come from @block from now on.
 * Return: 0 (also when it was so), -EINVAL (no /80, host bits, id too long), -EEXIST (another ENI's), -EBUSY (addresses of the
 * ENI's former block are in use), -ENOSPC (too many ENIs).
 */
int ipam_v6_block_put(struct ipam_v6 *v, const char *eni_id, const struct vw_cidr *block);
/** ipam_v6_block_del() - Return: 0 (also when there was none), -EBUSY (addresses of it are in use). */
int ipam_v6_block_del(struct ipam_v6 *v, const char *eni_id);
/** ipam_v6_block() - NULL when @eni_id has none. Valid until the next change. */
const struct vw_cidr *ipam_v6_block(const struct ipam_v6 *v, const char *eni_id);
/** ipam_v6_eni() - the ENI whose block has @ip, NULL when none. Valid until the next change. */
const char *ipam_v6_eni(const struct ipam_v6 *v, const struct vw_ip *ip);
/** ipam_v6_in_use() - assigned addresses that @block covers. O(addresses). */
size_t ipam_v6_in_use(const struct ipam_v6 *v, const struct vw_cidr *block);

/** ipam_v6_assign() - the next address of @eni_id. Return: 0, -EAGAIN (the ENI has no block), -ENOMEM. */
int ipam_v6_assign(struct ipam_v6 *v, const char *eni_id, struct vw_ip *ret_ip);
/** ipam_v6_release() - unknown addresses are fine. */
void ipam_v6_release(struct ipam_v6 *v, const struct vw_ip *ip);
/**
 * ipam_v6_restore() - after a restart: @ip is in use, whether or not its block is known yet.
 * Return: 0, -EEXIST (it is already), -EAFNOSUPPORT, -ENOMEM.
 */
int ipam_v6_restore(struct ipam_v6 *v, const struct vw_ip *ip);
/** ipam_v6_restore_cooling() - after a restart: @ip was given up a short while ago; count on behind it. */
void ipam_v6_restore_cooling(struct ipam_v6 *v, const struct vw_ip *ip);
