// SPDX-License-Identifier: Apache-2.0
/* timer -> one request, in a worker -> when they have changed: NAT, store -> timer. A request that fails changes nothing; a survey tells of that. */
#include "daemon/ranges.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/imds.h"
#include "daemon/loop.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 10000

struct ranges_job {
	struct daemon *d;
	struct imds *imds;
	struct vw_mac mac;
	struct vw_cidr v[IMDS_MAX_CIDRS];
	size_t n;
	int r;
};

static void work(void *arg)
{
	struct ranges_job *j = arg;
	struct vw_err err;

	j->r = imds_vpc_ranges(j->imds, &j->mac, vw_mono_ms() + DEADLINE_MS, j->v, &j->n, &err);
	if (j->r < 0)
		vw_debug("the ranges of the VPC could not be asked for, going on with those that are known", "err=\"%s\"", err.msg);
}

static void take(struct daemon *d, const struct ranges_job *j)
{
	const struct node before = d->node;
	struct vw_err err;

	if (j->r < 0 || !node_take_ranges(&d->node, j->v, j->n))
		return;
	if (daemon_nat_apply(d, &err) < 0) {
		vw_error("NAT could not be set up for the VPC's ranges, those before stay, retrying", "err=\"%s\"", err.msg);
		d->node = before;       /* so that they are new again a minute later */
		return;
	}
	vw_info("the VPC has other ranges than before", "n=%zu", j->n);
	if (node_save(d->store, &d->node, &err) < 0)
		vw_warn("the node's identity could not be recorded, ignoring", "err=\"%s\"", err.msg);
}

static void done(void *arg)
{
	struct ranges_job *j = arg;
	struct daemon *d = j->d;

	if (!d->stopping) {
		take(d, j);
		ranges_later(d);
	}
	free(j);
}

void ranges_later(struct daemon *d)
{
	loop_timer_set(d->ranges_timer, RANGES_MS);
}

void ranges_ask(void *daemon)
{
	struct daemon *d = daemon;
	struct ranges_job *j = calloc(1, sizeof(*j));

	if (!j) {
		ranges_later(d);
		return;
	}
	*j = (struct ranges_job){ .d = d, .imds = d->cloud->imds, .mac = d->node.primary_mac };
	if (loop_job(d->loop, work, done, j) < 0) {
		free(j);
		ranges_later(d);
	}
}
