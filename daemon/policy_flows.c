// SPDX-License-Identifier: Apache-2.0
/*
 * Sweeps of the flow table, and what flow logs need of a sweep: names for its numbers before it, records of what died in it, and at the
 * end of an interval of what lives. A pod that goes is remembered until the sweep that takes its flows away.
 */
#include "daemon/daemon.h"
#include "daemon/flowlog.h"
#include "daemon/loop.h"
#include "daemon/policy_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_MS 30000
#define STATE_FILE "flowlog.state"

/** struct policy_gone - a pod that was here; its flows die in the next sweep. */
struct policy_gone {
	struct flowlog_who who;
	struct policy_gone *next;
	char eni[32], text[];
};

static const char *eni_of(const struct attachment *a)
{
	return a->branch.vlan ? a->branch.eni_id : a->eni_id;
}

static uint8_t gen_of(const struct policy *p, unsigned int slot)
{
	return p->ct.slots[slot % NP_SLOTS].gen;
}

/* --- the log as it is configured */

static int conf_of(const struct vwired_config *cfg, struct flowlog_conf *ret, struct vw_err *err)
{
	*ret = (struct flowlog_conf){ .interval_s = cfg->flow_log_interval_s, .files = cfg->flow_log_files, .sample = cfg->flow_log_sample,
				      .max_bytes = (uint64_t)cfg->flow_log_max_mib << 20 };
	if (vw_fmt(ret->path, sizeof(ret->path), "%s", cfg->flow_log) < 0 || vw_fmt(ret->state, sizeof(ret->state), "%s/" STATE_FILE, cfg->run_dir) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the path of flow_log or run_dir is too long");
	return 0;
}

static int log_open(struct policy *p, struct vw_err *err)
{
	struct flowlog_conf conf;
	uint32_t table;
	int r = conf_of(p->d->cfg, &conf, err);

	if (r < 0)
		return r;
	r = vw_bpf_map_id(np_map_fd(p->d->np, NP_M_CT), &table);
	if (r < 0)
		return vw_err_sys(err, r, 0, "looking at the flow table");
	r = flowlog_new(&conf, table, p->ct.groups * NP_CT_GROUP_FLOWS, &p->flowlog, err);
	if (r < 0)
		return r;
	if (r == 0) {
		(void)np_ct_each(&p->ct, flowlog_adopt, p->flowlog);
		flowlog_adopted(p->flowlog);
	} else {
		flowlog_skipped(p->flowlog, NULL);      /* what was denied meanwhile */
	}
	(void)VW_COPY(p->flowlog_path, conf.path);
	return 0;
}

void policy_flows_tune(struct policy *p)
{
	const bool want = p->d->cfg->flow_log[0] && policy_enabled(p->d);
	struct flowlog_conf conf;
	struct vw_err err;

	if (p->sweeping)
		return;         /* its end comes here again */
	if (p->flowlog && (!want || strcmp(p->flowlog_path, p->d->cfg->flow_log)))
		p->flowlog = flowlog_free(p->flowlog);
	if (conf_of(p->d->cfg, &conf, &err) == 0) {
		if (!want)
			flowlog_forget(conf.state);
		else if (p->flowlog)
			flowlog_tune(p->flowlog, &conf);
	}
	if (want && !p->flowlog && log_open(p, &err) < 0) {
		if (!p->flowlog_said)
			vw_error("flow logs cannot be written, there are none; retrying", "err=\"%s\"", err.msg);
		p->flowlog_said = true;
	} else {
		p->flowlog_said = false;
	}
}

/* --- what it is told */

void policy_flows_denied(struct policy *p, const struct np_event *e, uint32_t suppressed)
{
	bool skipped = suppressed != 0;

	if (!p->flowlog || e->slot >= NP_SLOTS)
		return;
	if (NP_VERDICT_ACTION(e->verdict) == NP_DENY && !(e->flags & NP_EVENT_AUDIT))
		skipped |= flowlog_denied(p->flowlog, e, gen_of(p, e->slot)) < 0;
	if (skipped)
		for (const struct attachment *a = p->d->attach.by_key; a; a = a->hh.next)
			if (a->slot == e->slot)
				flowlog_skipped(p->flowlog, eni_of(a));
}

void policy_flows_gone(struct policy *p, const struct attachment *a)
{
	size_t space = strlen(a->pod_namespace) + 1, pod = strlen(a->pod_name) + 1;
	struct policy_gone *g;

	if (!p->flowlog)
		return;
	g = calloc(1, sizeof(*g) + space + pod);
	if (!g) {
		flowlog_skipped(p->flowlog, eni_of(a));
		return;
	}
	(void)VW_COPY(g->eni, eni_of(a));
	memcpy(g->text, a->pod_namespace, space);
	memcpy(g->text + space, a->pod_name, pod);
	g->who = (struct flowlog_who){ a->slot, gen_of(p, a->slot), a->addr, a->addr6, g->eni, g->text, g->text + space };
	g->next = p->gone;
	p->gone = g;
}

static void gone_free(struct policy_gone **list)
{
	while (*list) {
		struct policy_gone *g = *list;

		*list = g->next;
		free(g);
	}
}

/* --- names for numbers */

static void rules_of(const struct policy *p, struct flowlog_rule *rules)
{
	for (unsigned int i = 1; p->image && i < p->image->n_rule; i++) {
		const struct np_rule *r = &p->image->rule[i];

		if (r->key)
			rules[i] = (struct flowlog_rule){ policy_tier_name(r->tier), r->policy, *r->path ? r->path : NULL };
	}
}

/* a table that was full, or events without room: flows that left no trace */
static void look_for_loss(struct policy *p)
{
	static const enum np_stat of[] = { NP_STAT_CT_FULL, NP_STAT_CT_QUOTA, NP_STAT_EVENT_LOST };
	uint64_t stats[NP_STAT_MAX], sum = 0;
	struct vw_err err;

	if (np_stats(p->d->np, stats, &err) < 0)
		return;
	for (size_t i = 0; i < VW_ARRAY_SIZE(of); i++)
		sum += stats[of[i]];
	if (p->flow_loss_known && sum != p->flow_loss)
		flowlog_skipped(p->flowlog, NULL);
	p->flow_loss = sum;
	p->flow_loss_known = true;
}

static int begin(struct policy *p)
{
	const size_t n_rule = p->image ? p->image->n_rule : 0;
	vw_auto_free struct flowlog_rule *rules = calloc(n_rule + 1, sizeof(*rules));
	vw_auto_free struct flowlog_who *who = NULL;
	size_t n = p->d->attach.n;

	for (const struct policy_gone *g = p->gone; g; g = g->next)
		n++;
	who = calloc(n + 1, sizeof(*who));
	if (!who || !rules)
		return -ENOMEM;
	n = 0;
	for (const struct policy_gone *g = p->gone; g; g = g->next)
		who[n++] = g->who;
	for (const struct attachment *a = p->d->attach.by_key; a; a = a->hh.next)
		who[n++] = (struct flowlog_who){ a->slot, gen_of(p, a->slot), a->addr, a->addr6, eni_of(a), a->pod_namespace, a->pod_name };
	rules_of(p, rules);
	look_for_loss(p);
	return flowlog_begin(p->flowlog, p->d->account, who, n, rules, n_rule);
}

/* --- the sweep */

static void sweep_work(void *arg)
{
	struct policy *p = arg;

	p->ct_err.eno = 0;
	(void)np_ct_sweep(&p->ct, np_tick(), p->logging ? flowlog_ended : NULL, p->flowlog, &p->ct_next, &p->ct_err);
	if (!p->logging)
		return;
	if (flowlog_is_due(p->flowlog))
		(void)np_ct_each(&p->ct, flowlog_live, p->flowlog);
	flowlog_write(p->flowlog);
}

static void again(struct policy *p)
{
	uint64_t ms = p->flowlog ? flowlog_due_ms(p->flowlog) : SWEEP_MS;

	if (!p->d->stopping)
		loop_timer_set(p->sweep, ms < SWEEP_MS ? ms : SWEEP_MS);
}

static void sweep_done(void *arg)
{
	struct policy *p = arg;

	p->sweeping = false;
	if (p->logging) {
		flowlog_end(p->flowlog);
		gone_free(&p->going);
		p->logging = false;
	}
	if (p->ct_err.eno)
		vw_warn("the flow table could not be swept, retrying", "err=\"%s\"", p->ct_err.msg);
	else
		p->ct_stats = p->ct_next;
	policy_flows_tune(p);
	again(p);
}

static void on_sweep(void *arg)
{
	struct policy *p = arg;

	if (!policy_enabled(p->d) || p->sweeping) {
		again(p);
		return;
	}
	policy_flows_tune(p);
	/* without memory the flows wait for another sweep, so that none ends untold */
	if (p->flowlog && begin(p) < 0) {
		vw_warn("no memory for flow logs, retrying");
		loop_timer_set(p->sweep, 1000);
		return;
	}
	p->logging = p->flowlog != NULL;
	if (p->logging) {
		p->going = p->gone;
		p->gone = NULL;
	}
	if (loop_job(p->d->loop, sweep_work, sweep_done, p) == 0) {
		p->sweeping = true;
		return;
	}
	if (p->logging)
		flowlog_end(p->flowlog);
	p->logging = false;
	p->gone = p->gone ? p->gone : p->going;
	p->going = NULL;
	loop_timer_set(p->sweep, SWEEP_MS);
}

int policy_flows_new(struct policy *p, struct vw_err *err)
{
	p->ct = np_ct_maps_of(p->d->np);
	return loop_timer_new(p->d->loop, on_sweep, p, &p->sweep) < 0 ? vw_err_set(err, ENOMEM, 0, "no memory for sweeps of the flow table") : 0;
}

void policy_flows_start(struct policy *p)
{
	policy_flows_tune(p);
	again(p);
}

void policy_flows_free(struct policy *p)
{
	p->flowlog = flowlog_free(p->flowlog);
	gone_free(&p->gone);
	gone_free(&p->going);
}
