/*
 * What placement needs from outside: subnets from EC2 (in a worker), manifests from a folder (here; small,
 * local, and only with custom networking). Every change ends in update(): choose, tell the pool which ENIs
 * serve pods, plan.
 */
#include "daemon/placement.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/loop.h"
#include "daemon/manifest.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUBNETS_DEADLINE_MS 30000
#define SETTLE_MS           50 /* a folder is filled file by file */
#define FOLDER_RETRY_MS     10000

/**
 * struct placement - @looked_for: the named subnet that EC2 was asked about last, so that a wrong name is one
 * question.
 * @pending: a configuration that waits for EC2's word on its subnet. @watched: the folder under watch, "" =
 * none.
 */
struct placement {
	struct place place;
	struct manifests manifests;
	struct vwired_config *pending;
	bool asking;
	uint64_t asked_ms;
	char looked_for[EC2_ID_LEN];
	char watched[VW_PATH_MAX];
	struct loop_timer *reread, *refresh;
	char said[sizeof(((struct vw_err *)0)->msg)]; /* the last complaint, not to be repeated */
};

const struct place *placement(const struct daemon *d)
{
	return &d->placement->place;
}

const char *placement_eni_config(const struct daemon *d)
{
	const struct manifest_eniconfig *c;
	struct vw_err err;

	c = d->cfg->custom_networking ? manifests_eniconfig(&d->placement->manifests, &err) : NULL;
	return c ? c->name : NULL;
}

static void say_once(struct placement *p, const char *what, const struct vw_err *why)
{
	if (!strcmp(p->said, why->msg))
		return;
	memcpy(p->said, why->msg, sizeof(p->said));
	vw_error(what, "err=\"%s\"", why->msg);
}

static void read_manifests(struct daemon *d);

static bool may_ask(const struct daemon *d)
{
	return d->cloud->ec2 && d->node.vpc_id[0] && !d->cfg->imds_only && !d->stopping;
}

static void ask(struct daemon *d);

/* the subnet that configuration or ENIConfig names, "" = none */
static const char *named_subnet(const struct daemon *d, const struct vwired_config *cfg)
{
	const struct manifest_eniconfig *c;
	struct vw_err err;

	if (!cfg->custom_networking)
		return cfg->subnet_id;
	c = manifests_eniconfig(&d->placement->manifests, &err);
	return c ? c->subnet : "";
}

static void update(struct daemon *d)
{
	struct placement *p = d->placement;
	const char *named = named_subnet(d, d->cfg);

	if (!d->discovered && !d->node.instance_id[0])
		return;
	place_choose(&p->place, d->cfg, &d->node, &p->manifests);
	eni_refresh(d);
	daemon_pool_changed(d);
	/* younger than our list, perhaps: look before it is called wrong */
	if (*named && p->place.asked && !place_known(&p->place, named) && strcmp(p->looked_for, named) &&
	    may_ask(d)) {
		(void)!vw_fmt(p->looked_for, sizeof(p->looked_for), "%s", named);
		ask(d);
		return;
	}
	if (p->place.why.eno)
		say_once(p, "there is nowhere to create ENIs", &p->place.why);
	else
		p->said[0] = 0;
}

/* --- subnets */

struct subnets_job {
	struct daemon *d;
	struct ec2 *ec2;
	char vpc_id[IMDS_ID_LEN], zone[IMDS_ID_LEN];
	int r;
	struct ec2_subnets found;
	struct ec2_error err;
};

static void subnets_work(void *arg)
{
	struct subnets_job *j = arg;

	j->r = cloud_subnets(j->ec2, vw_mono_ms() + SUBNETS_DEADLINE_MS, j->vpc_id, j->zone, &j->found,
			     &j->err);
}

/* only a clear "there is none" refuses a configuration; when EC2 does not answer, its creation of ENIs will
 * tell */
static void decide_pending(struct daemon *d)
{
	struct placement *p = d->placement;
	struct vwired_config *fresh = p->pending;
	struct vw_err err;

	p->pending = NULL;
	if (!fresh)
		return;
	if (p->place.asked && !place_known(&p->place, fresh->subnet_id)) {
		vw_err_set(&err, ENOENT, VW_CNI_INVALID_CONFIG,
			   "%s: subnet_id is '%s', which does not exist in the VPC and zone of this node", d->config_path,
			   fresh->subnet_id);
		vwired_config_free(fresh);
		daemon_config_refuse(d, &err);
		return;
	}
	daemon_config_apply(d, fresh);
}

static void subnets_done(void *arg)
{
	struct subnets_job *j = arg;
	struct daemon *d = j->d;
	struct placement *p = d->placement;

	p->asking = false;
	if (j->r == 0)
		place_know(&p->place, &j->found);
	else if (!d->stopping)
		vw_warn("the subnets could not be listed, going on with what is known", "err=\"%s\"",
			j->err.why.msg);
	ec2_subnets_done(&j->found);
	free(j);
	if (d->stopping)
		return;
	decide_pending(d);
	update(d);
}

static void ask(struct daemon *d)
{
	struct placement *p = d->placement;
	struct subnets_job *j;

	if (p->asking || !may_ask(d))
		return;
	j = calloc(1, sizeof(*j));
	if (!j)
		return;
	j->d = d;
	j->ec2 = d->cloud->ec2;
	memcpy(j->vpc_id, d->node.vpc_id, sizeof(j->vpc_id));
	memcpy(j->zone, d->node.zone, sizeof(j->zone));
	p->asked_ms = vw_mono_ms();
	if (loop_job(d->loop, subnets_work, subnets_done, j) < 0)
		free(j);
	else
		p->asking = true;
}

static void on_refresh(void *arg)
{
	ask(arg);
}

bool placement_wants_subnets(const struct daemon *d)
{
	const struct vwired_config *c = d->cfg;

	return !c->imds_only && !d->placement->place.asked &&
	       (c->custom_networking || c->subnet_id[0] || c->subnet_discovery);
}

void placement_surveyed(struct daemon *d, struct survey *s)
{
	struct placement *p = d->placement;

	if (s->subnets_ok) {
		place_know(&p->place, &s->subnets);
		p->asked_ms = vw_mono_ms();
	} else if (s->want_subnets && s->ec2_ok) {
		vw_warn("the subnets could not be listed, new ENIs go where the primary ENI is or the "
			"configuration says",
			"err=\"%s\"", s->subnets_err.why.msg);
	}
	/* which Node is ours may follow from the instance id */
	if (!d->discovered)
		read_manifests(d);
	update(d);
}

void placement_subnet_short(struct daemon *d)
{
	struct placement *p = d->placement;
	uint64_t due = p->asked_ms + d->cfg->subnet_retry_s * UINT64_C(1000), now = vw_mono_ms();

	/* with one subnet there is nothing to choose between */
	if (p->place.asked && p->place.n > 1 && !loop_timer_active(p->refresh))
		loop_timer_set(p->refresh, due > now ? due - now : 0);
}

void placement_subnet_gone(struct daemon *d, const char *id, const struct vw_err *why)
{
	vw_error("a subnet does not exist any more, no ENI is created there", "subnet=%s err=\"%s\"", id,
		 why->msg);
	place_gone(&d->placement->place, id);
	update(d);
}

void placement_took(struct daemon *d, const char *id, unsigned int n)
{
	place_took(&d->placement->place, id, n);
}

bool placement_verify(struct daemon *d, struct vwired_config *fresh)
{
	struct placement *p = d->placement;

	/* what is read last counts, also while an earlier one waits */
	vwired_config_free(p->pending);
	p->pending = NULL;
	if (!fresh->subnet_id[0] || !strcmp(fresh->subnet_id, d->cfg->subnet_id) || fresh->imds_only ||
	    place_known(&p->place, fresh->subnet_id))
		return false;
	ask(d);
	if (!p->asking)
		return false;
	p->pending = fresh;
	return true;
}

/* --- manifests */

static void on_folder(void *arg)
{
	struct daemon *d = arg;

	loop_timer_set(d->placement->reread, SETTLE_MS);
}

static void watch(struct daemon *d)
{
	struct placement *p = d->placement;
	struct vw_err err;

	if (!strcmp(p->watched, d->cfg->policy_dir))
		return;
	if (loop_dir_watch(d->loop, d->cfg->policy_dir, on_folder, d, &err) == 0)
		memcpy(p->watched, d->cfg->policy_dir, sizeof(p->watched));
	else
		loop_timer_set(p->reread, FOLDER_RETRY_MS);
}

static void read_manifests(struct daemon *d)
{
	struct placement *p = d->placement;
	char host[256] = "";
	const struct manifest_want want = {
		.node_name = d->cfg->node_name,
		.instance_id = d->node.instance_id,
		.host_name = host,
		.annotation = d->cfg->eni_config_annotation,
		.label = d->cfg->eni_config_label,
	};
	struct manifests fresh = {0};
	struct vw_err err;
	int r;

	if (!d->cfg->custom_networking)
		return;
	(void)gethostname(host, sizeof(host) - 1);
	watch(d);
	r = manifests_read(d->cfg->policy_dir, &want, &fresh, &err);
	if (r == -ENOENT || r == -ENOTDIR) {
		p->watched[0] = 0; /* the watch went with the folder */
		loop_timer_set(p->reread, FOLDER_RETRY_MS);
	}
	if (r < 0) {
		vw_error("the objects in policy_dir are not valid, the last good ones stay in force",
			 "err=\"%s\"", err.msg);
		return;
	}
	manifests_done(&p->manifests);
	p->manifests = fresh;
}

static void on_reread(void *arg)
{
	struct daemon *d = arg;

	if (d->stopping)
		return;
	read_manifests(d);
	update(d);
}

void placement_config_changed(struct daemon *d)
{
	struct placement *p = d->placement;

	p->place.n_gone = 0;
	p->looked_for[0] = p->said[0] = 0;
	read_manifests(d);
	update(d);
}

int placement_new(struct daemon *d, struct placement **ret_placement, struct vw_err *err)
{
	struct placement *p = calloc(1, sizeof(*p));

	if (!p || loop_timer_new(d->loop, on_reread, d, &p->reread) < 0 ||
	    loop_timer_new(d->loop, on_refresh, d, &p->refresh) < 0) {
		free(p);
		return vw_err_set(err, ENOMEM, 0, "no memory for placement");
	}
	*ret_placement = p;
	return 0;
}

void placement_free(struct placement *p)
{
	if (!p)
		return;
	place_done(&p->place);
	manifests_done(&p->manifests);
	vwired_config_free(p->pending);
	free(p); /* the timers went with the loop */
}
