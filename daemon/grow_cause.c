/* Why there is no address: what ADD and STATUS say when the pool cannot grow, or grows but has met an obstacle. */
#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/grow.h"
#include "daemon/grow6.h"
#include "daemon/grow_apply.h"
#include "daemon/grow_state.h"
#include "daemon/placement.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"

#include <errno.h>

#define WHY_LEN 384

static bool cause_is_trouble(const struct daemon *d, struct vw_err *ret_err)
{
	if (!d->trouble.eno)
		return false;
	*ret_err = d->trouble;
	ret_err->cni = VW_CNI_TRY_AGAIN;
	vw_err_wrap(ret_err, "no free address, and the pool cannot grow");
	return true;
}

bool grow_cause(const struct daemon *d, uint64_t *ret_until_ms, struct vw_err *ret_err)
{
	struct ipam_why why;
	char text[WHY_LEN];

	if (ret_until_ms)
		*ret_until_ms = 0;
	if (!d->discovered)
		return cause_is_trouble(d, ret_err);
	if (grow6_cause(d, ret_until_ms, ret_err))
		return true;
	if (!d->cfg->enable_ipv4)
		return false;
	grow_ask_why(d, &why);
	if (why.cause == IPAM_CAUSE_NONE || why.cause == IPAM_CAUSE_UNDER_WAY)
		return false;
	/* what the planner does not know yet is not known because of that */
	if (why.cause == IPAM_CAUSE_NO_LIMITS && placement(d)->why.eno) {
		*ret_err = placement(d)->why;
		ret_err->cni = VW_CNI_TRY_AGAIN;
		vw_err_wrap(ret_err, "no free address, and nowhere to create an ENI");
		return true;
	}
	if (why.cause == IPAM_CAUSE_NO_LIMITS && cause_is_trouble(d, ret_err))
		return true;
	if (ret_until_ms && why.cause != IPAM_CAUSE_DENIED)
		*ret_until_ms = why.until_ms;
	vw_err_set(ret_err, EAGAIN, VW_CNI_TRY_AGAIN, "no free address: %s",
		   ipam_why_text(&why, vw_mono_ms(), text, sizeof(text)));
	return true;
}

/* a call under way has failed before and tries again by itself */
static bool held_up(const struct daemon *d, struct ipam_why *ret_why)
{
	struct ec2_held held;

	if (!d->cloud->ec2 || !ec2_held(d->cloud->ec2, &held))
		return false;
	*ret_why = grow_why(held.action, &held.err, held.again_ms);
	return true;
}

/* what failed the last time is under way again, to find out whether it still does */
static bool tried_again(struct daemon *d, struct ipam_why *ret_why)
{
	const struct grow *g = d->grow;

	for (size_t i = 0; i < g->n_jobs; i++) {
		const struct grow_job *j = g->jobs[i];
		const struct ipam_why *why = j->kind == GROW_ASSIGN6 ? &g->block6 : &g->blocks[grow_act(j)];
		const struct ipam_subnet *s = grow_job_subnet(d, j);

		if (!grow_brings(j))
			continue;
		*ret_why = *why;
		if (why->cause != IPAM_CAUSE_NONE)
			return true;
		if (j->kind == GROW_ASSIGN6 || !s || !(j->n_prefixes ? s->no_prefix_until_ms : s->no_addr_until_ms))
			continue;
		*ret_why = (struct ipam_why){ .cause = IPAM_CAUSE_SUBNET_EXHAUSTED };
		(void)VW_COPY(ret_why->what, s->id);
		return true;
	}
	return false;
}

bool grow_met(struct daemon *d, struct vw_err *ret_err)
{
	uint64_t now = vw_mono_ms();
	struct ipam_why why;
	char text[WHY_LEN];

	if (!grow_in_flight(d) || (!held_up(d, &why) && !tried_again(d, &why)))
		return false;
	ipam_why_text(&why, now, text, sizeof(text));
	vw_err_set(ret_err, EAGAIN, VW_CNI_TRY_AGAIN, "no free address: %s%s", text,
		   why.until_ms > now ? "" : " (being tried again)");
	return true;
}
