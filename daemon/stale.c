// SPDX-License-Identifier: Apache-2.0
/* The sweep after a start works on copies: what is ours, and which of it pods have. Nothing is given out meanwhile. */
#include "daemon/stale.h"

#include "daemon/daemon.h"
#include "daemon/egress.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "ipam/pool.h"
#include "lib/base/log.h"

#include <stdlib.h>
#include <sys/socket.h>

struct sweep_job {
	struct daemon *d;
	struct vw_cidr *ours;
	size_t n_ours;
	struct vw_ip *used;     /* sorted */
	size_t n_used;
	int r;
	struct vw_err err;
};

static int by_ip(const void *a, const void *b)
{
	return vw_ip_cmp(a, b);
}

static bool unused(const struct vw_ip *ip, const void *arg)
{
	const struct sweep_job *j = arg;

	for (size_t i = 0; i < j->n_ours; i++)
		if (vw_cidr_has(&j->ours[i], ip))
			return !bsearch(ip, j->used, j->n_used, sizeof(*j->used), by_ip);
	return false;
}

static void job_free(struct sweep_job *j)
{
	if (j) {
		free(j->ours);
		free(j->used);
	}
	free(j);
}

/* one that was given back a moment before the daemon died; its slot has left the node, and may come back */
static int add_cooling(const struct ipam_addr *a, void *arg)
{
	struct sweep_job *j = arg;

	if (a->state == IPAM_COOLING && a->orphaned)
		j->ours[j->n_ours++] = vw_cidr_host(&a->ip);
	return 0;
}

/* number 0 of a /80 may be the ENI's own (eni.c), and is no pod's */
static void add_eni(struct sweep_job *j, const struct store_eni *row)
{
	for (size_t k = 0; k < row->n_slots; k++)
		j->ours[j->n_ours++] = row->slots[k];
	if (!row->block6.ip.family)
		return;
	j->ours[j->n_ours++] = row->block6;
	j->used[j->n_used++] = row->block6.ip;
}

static struct sweep_job *job_new(struct daemon *d)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct sweep_job *j = calloc(1, sizeof(*j));
	struct attachment *a, *tmp;
	size_t n = 2 + 2 * d->attach.n;
	struct ipam_stats st;

	if (!j)
		return NULL;
	j->d = d;
	ipam_pool_stats(d->pool, &st);
	n += st.orphaned_cooling;
	for (size_t i = 0; i < d->enis.n; i++)
		n += d->enis.v[i].row.n_slots + 1;
	j->ours = calloc(n, sizeof(*j->ours));
	j->used = calloc(2 * d->attach.n + d->enis.n + 1, sizeof(*j->used));
	if (!j->ours || !j->used) {
		job_free(j);
		return NULL;
	}
	for (size_t i = 0; i < d->enis.n; i++)
		add_eni(j, &d->enis.v[i].row);
	(void)ipam_pool_each(d->pool, add_cooling, j);
	for (size_t i = 0; i < 2; i++)
		if (egress_used(d, families[i]))
			j->ours[j->n_ours++] = egress_range(families[i]);
	HASH_ITER(hh, d->attach.by_key, a, tmp) {
		/* put down when it was replaced; its DEL will not come this way again, and its slot may have left the node */
		if (a->superseded && a->addr.family)
			j->ours[j->n_ours++] = vw_cidr_host(&a->addr);
		else if (a->addr.family)
			j->used[j->n_used++] = a->addr;
		if (a->superseded && a->addr6.family)
			j->ours[j->n_ours++] = vw_cidr_host(&a->addr6);
		else if (a->addr6.family)
			j->used[j->n_used++] = a->addr6;
	}
	qsort(j->used, j->n_used, sizeof(*j->used), by_ip);
	return j;
}

static void sweep_work(void *arg)
{
	struct sweep_job *j = arg;

	j->r = hostnet_purge(unused, j, &j->err);
}

static void sweep_done(void *arg)
{
	struct sweep_job *j = arg;
	struct daemon *d = j->d;

	d->all_stale = false;
	if (j->r < 0)
		vw_warn("connections of former pods could not be forgotten, ignoring", "err=\"%s\"", j->err.msg);
	else if (j->r > 0)
		vw_info("connections of former pods are forgotten", "n=%d", j->r);
	job_free(j);
	if (!d->stopping)
		daemon_pool_changed(d);
}

void stale_sweep(struct daemon *d)
{
	struct sweep_job *j = job_new(d);

	d->all_stale = true;
	if (j && loop_job(d->loop, sweep_work, sweep_done, j) == 0)
		return;
	vw_warn("no memory to forget connections of former pods, ignoring");
	d->all_stale = false;
	job_free(j);
}

bool stale_address(struct daemon *d, const struct vw_ip *ip)
{
	if (!d->all_stale && !hostnet_is_stale(d->hostnet, ip))
		return false;
	daemon_links_awaited(d);
	return true;
}
