// SPDX-License-Identifier: Apache-2.0
/*
 * Unreachable routes for what ENIs have for pods and no pod has: one for each address, prefix and block, in the pods table,
 * behind any pod's own (longer prefix, or better metric). hostnet keeps the list of what is in the kernel, so that saying the
 * same again costs nothing; each says which ENI it belongs to.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct vw_route hostnet_free_route(const struct vw_cidr *cidr)
{
	return (struct vw_route){
		.dst = *cidr,
		.table = HOSTNET_TABLE_PODS,
		.protocol = VW_RTPROT,
		.type = RTN_UNREACHABLE,
		.priority = HOSTNET_METRIC_FREE,
	};
}

static struct hostnet_free *find(struct hostnet *hn, const struct vw_cidr *cidr)
{
	for (size_t i = 0; i < hn->n_frees; i++)
		if (vw_cidr_eq(&hn->frees[i].cidr, cidr))
			return &hn->frees[i];
	return NULL;
}

static int note(struct hostnet *hn, const struct vw_cidr *cidr, const char *owner, struct vw_err *err)
{
	struct hostnet_free *f = reallocarray(hn->frees, hn->n_frees + 1, sizeof(*f));

	if (!f)
		return vw_err_set(err, ENOMEM, 0, "no memory for the routes of free addresses");
	hn->frees = f;
	f[hn->n_frees] = (struct hostnet_free){ .cidr = *cidr };
	(void)!vw_fmt(f[hn->n_frees++].owner, sizeof(f->owner), "%s", owner);
	return 0;
}

static int load_family(struct hostnet *hn, uint8_t family, struct vw_err *err)
{
	vw_auto_free struct vw_route *have = NULL;
	int n = vw_route_list(&hn->nl, family, HOSTNET_TABLE_PODS, 0, VW_RTPROT, &have, err);

	for (int i = 0; i < n; i++)
		if (have[i].type == RTN_UNREACHABLE && note(hn, &have[i].dst, "", err) < 0)
			return -err->eno;
	return n < 0 ? n : 0;
}

static int load(struct hostnet *hn, struct vw_err *err)
{
	int r;

	if (hn->frees_known)
		return 0;
	hn->n_frees = 0;
	r = load_family(hn, AF_INET, err);
	if (r == 0 && hostnet_have_ipv6())
		r = load_family(hn, AF_INET6, err);
	hn->frees_known = r == 0;
	return r;
}

static bool wanted(const struct vw_cidr *cidr, const struct vw_cidr *slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (vw_cidr_eq(&slots[i], cidr))
			return true;
	return false;
}

static void put_del(struct hostnet *hn, size_t i)
{
	const struct vw_route r = hostnet_free_route(&hn->frees[i].cidr);

	(void)vw_route_del(&hn->batch, &r);
	vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);
	hn->frees[i] = hn->frees[--hn->n_frees];
}

/** commit() - on failure the list is read from the kernel again, the next time. */
static int commit(struct hostnet *hn, struct vw_err *err)
{
	int r = hn->batch.n || hn->batch.sour_eno ? hostnet_commit(hn, err) : 0;

	if (r < 0)
		hn->frees_known = false;
	return r;
}

int hostnet_free_set(struct hostnet *hn, const char *eni_id, const struct vw_cidr *slots, size_t n, struct vw_err *err)
{
	int r = load(hn, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct vw_route route = hostnet_free_route(&slots[i]);
		struct hostnet_free *f = find(hn, &slots[i]);

		if (f) {
			(void)!vw_fmt(f->owner, sizeof(f->owner), "%s", eni_id);
			continue;
		}
		(void)vw_route_replace(&hn->batch, &route);
		if (note(hn, &slots[i], eni_id, err) < 0) {
			vw_nl_batch_reset(&hn->batch);
			hn->frees_known = false;
			return -err->eno;
		}
	}
	for (size_t i = hn->n_frees; i-- > 0;)
		if (!strcmp(hn->frees[i].owner, eni_id) && !wanted(&hn->frees[i].cidr, slots, n))
			put_del(hn, i);
	return commit(hn, err);
}

int hostnet_free_prune(struct hostnet *hn, struct vw_err *err)
{
	int r = load(hn, err);

	for (size_t i = hn->n_frees; r == 0 && i-- > 0;)
		if (!hn->frees[i].owner[0])
			put_del(hn, i);
	return r < 0 ? r : commit(hn, err);
}
