/*
 * An ENI without /80 -> job -> the ENI is learnt again with it, which makes it ready for pods. A failure stops all such calls for a
 * pause that doubles, and is what ADD and STATUS show.
 */
#include "daemon/grow6.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/grow_apply.h"
#include "daemon/grow_job.h"
#include "daemon/grow_state.h"
#include "ipam/planner.h"
#include "ipam/pool.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool under_way(const struct grow *g, const char *eni_id)
{
	for (size_t i = 0; i < g->n_jobs; i++)
		if ((g->jobs[i]->kind == GROW_ASSIGN6 || g->jobs[i]->kind == GROW_DELETE_ENI) &&
		    !strcmp(g->jobs[i]->eni_id, eni_id))
			return true;
	return false;
}

static bool wanted(const struct daemon *d, const struct eni *e)
{
	return e->wired && !e->row.block6.ip.family && eni_serves(d, e) && (d->cfg->enable_ipv4 || e->row.primary) &&
	       !under_way(d->grow, e->row.id);
}

static int start(struct daemon *d, const struct eni *e)
{
	struct grow_job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->kind = GROW_ASSIGN6;
	memcpy(j->eni_id, e->row.id, sizeof(e->row.id));
	vw_info("asking for an IPv6 prefix", "eni=%s", e->row.id);
	return grow_job_start(d, j);
}

uint64_t grow6_plan(struct daemon *d, uint64_t now_ms)
{
	uint64_t again = IPAM_NEVER;

	if (!d->cfg->enable_ipv6 || d->cfg->disable_provisioning)
		return IPAM_NEVER;
	for (size_t i = 0; i < d->enis.n; i++) {
		if (!wanted(d, &d->enis.v[i]))
			continue;
		if (d->grow->block6.until_ms > now_ms)
			again = d->grow->block6.until_ms;
		else if (start(d, &d->enis.v[i]) < 0)
			again = now_ms + 1000;
	}
	return again;
}

static void failed(struct daemon *d, const struct grow_job *j)
{
	struct grow *g = d->grow;

	g->block6 = grow_why(j->api, &j->err, vw_mono_ms() + grow_next_pause(g, &g->pause6_ms));
	/* it may have been given, or be gone: look before anything else is tried */
	g->look_again |= j->err.unknown || j->err.kind == EC2_ENI_IP_LIMIT || j->err.kind == EC2_NOT_FOUND;
	vw_error("an ENI got no IPv6 prefix, retrying later", "eni=%s kind=%s code=%s err=\"%s\"", j->eni_id,
		 ec2_fail_name(j->err.kind), j->err.code, j->err.why.msg);
	eni_refresh(d); /* its IPv4 addresses are waited for no longer than eni.c's patience */
}

void grow6_done(struct daemon *d, const struct grow_job *j)
{
	const struct eni *e = eni_by_id(d, j->eni_id);
	struct store_eni row;
	struct eni_link link;
	struct vw_err err;

	if (j->r < 0) {
		failed(d, j);
		return;
	}
	/* after an unknown outcome the answer may be empty: then nothing was assigned, and the next plan asks again */
	if (!e || !j->assigned.n)
		return;
	row = e->row;
	row.slots = NULL;       /* learning adds to those that are known */
	row.n_slots = 0;
	row.block6 = j->assigned.v[0];
	link = (struct eni_link){ .mac = row.mac, .ifindex = e->ifindex };
	memcpy(link.ifname, e->ifname, sizeof(link.ifname));
	if (eni_learn(d, &row, e->ifindex ? &link : NULL, &err) < 0) {
		vw_error("an IPv6 prefix could not be taken into use, retrying", "eni=%s err=\"%s\"", j->eni_id, err.msg);
		d->grow->look_again = true;
		return;
	}
	d->grow->block6 = (struct ipam_why){ 0 };
	d->grow->pause6_ms = 0;
	vw_info("an ENI has an IPv6 prefix", "eni=%s", j->eni_id);
}

bool grow6_cause(const struct daemon *d, uint64_t *ret_until_ms, struct vw_err *ret_err)
{
	const struct ipam_why *why = &d->grow->block6;
	const struct ipam_why off = { .cause = IPAM_CAUSE_DISABLED };
	uint64_t now = vw_mono_ms();
	char text[384];

	if (!d->cfg->enable_ipv6 || eni_for_v6(d))
		return false;
	for (size_t i = 0; i < d->grow->n_jobs; i++)
		if (d->grow->jobs[i]->kind == GROW_ASSIGN6 || d->grow->jobs[i]->kind == GROW_CREATE_ENI)
			return false;
	if (d->cfg->disable_provisioning)
		why = &off;
	else if (why->until_ms <= now)
		return false;
	if (ret_until_ms && why->cause != IPAM_CAUSE_DENIED)
		*ret_until_ms = why->until_ms;
	vw_err_set(ret_err, EAGAIN, VW_CNI_TRY_AGAIN, "no IPv6 prefix on this node's network interfaces: %s",
		   ipam_why_text(why, now, text, sizeof(text)));
	return true;
}
