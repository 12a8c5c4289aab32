#include "daemon/metrics.h"

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/drift.h"
#include "daemon/ec2.h"
#include "daemon/feed.h"
#include "daemon/grow.h"
#include "daemon/grow_state.h"
#include "daemon/httpd.h"
#include "daemon/policy.h"
#include "ipam/planner.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/json/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- counting */

void metrics_took(struct daemon *d, enum metric_stage stage, uint64_t since_us)
{
	hist_add(&d->metrics.took[stage], vw_mono_us() - since_us);
}

void metrics_add_failed(struct daemon *d, const struct vw_err *err)
{
	int code = vw_err_cni(err);

	d->metrics.add_failed[code > 0 && code < METRIC_CODES ? code : 0]++;
}

/* --- the text format */

static void family(struct vw_buf *b, const char *name, const char *type, const char *help)
{
	vw_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void plain(struct vw_buf *b, const char *name, const char *type, uint64_t value, const char *help)
{
	family(b, name, type, help);
	vw_buf_printf(b, "%s %" PRIu64 "\n", name, value);
}

/* label values may hold anything: backslash, quote and newline are escaped */
static void label(struct vw_buf *b, const char *before, const char *key, const char *value)
{
	vw_buf_printf(b, "%s%s=\"", before, key);
	for (const char *c = value; *c; c++) {
		if (*c == '\n') {
			vw_buf_puts(b, "\\n");
			continue;
		}
		if (*c == '\\' || *c == '"')
			vw_buf_putc(b, '\\');
		vw_buf_putc(b, *c);
	}
	vw_buf_putc(b, '"');
}

static void labelled(struct vw_buf *b, const char *name, const char *key, const char *label_value, uint64_t value)
{
	vw_buf_puts(b, name);
	label(b, "{", key, label_value);
	vw_buf_printf(b, "} %" PRIu64 "\n", value);
}

/* seconds, exactly */
static void seconds(struct vw_buf *b, uint64_t us)
{
	vw_buf_printf(b, "%" PRIu64 ".%06u", us / 1000000, (unsigned int)(us % 1000000));
}

static void histogram(struct vw_buf *b, const char *name, const char *stage, const struct hist *h)
{
	char stage_label[64] = "";
	uint64_t n = 0;

	if (stage)
		(void)snprintf(stage_label, sizeof(stage_label), "stage=\"%s\"", stage);
	for (unsigned int i = 0; i < HIST_BOUNDS; i++) {
		n += h->n[i];
		vw_buf_printf(b, "%s_bucket{%s%sle=\"", name, stage_label, stage ? "," : "");
		seconds(b, hist_bound_us(i));
		vw_buf_printf(b, "\"} %" PRIu64 "\n", n);
	}
	n = hist_count(h);
	vw_buf_printf(b, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, stage_label, stage ? "," : "", n);
	vw_buf_printf(b, "%s_sum%s%s%s ", name, stage ? "{" : "", stage_label, stage ? "}" : "");
	seconds(b, h->sum_us);
	vw_buf_printf(b, "\n%s_count%s%s%s %" PRIu64 "\n", name, stage ? "{" : "", stage_label, stage ? "}" : "", n);
}

/* --- requests */

static void print_requests(const struct daemon *d, struct vw_buf *b)
{
	static const char *const stages[] = { [METRIC_ADD] = "all", [METRIC_ADD_WAIT] = "wait", [METRIC_ADD_POLICY] = "policy",
					      [METRIC_ADD_STORE] = "store" };
	const struct metrics *m = &d->metrics;

	plain(b, "awscni_add_ip_req_count", "counter", m->add_requests, "ADD requests, those of pods that are known already included.");
	family(b, "awscni_del_ip_req_count", "counter", "DEL requests by reason.");
	labelled(b, "awscni_del_ip_req_count", "reason", "PodDeleted", m->dels - m->undone);
	labelled(b, "awscni_del_ip_req_count", "reason", "SetupNSFailed", m->undone);
	plain(b, "awscni_no_available_ip_addresses", "counter", m->no_address, "ADDs that found no free address at first.");
	family(b, "vpcwire_add_failures_total", "counter", "ADDs that failed, by the CNI result code that the runtime was given.");
	for (unsigned int i = 0; i < METRIC_CODES; i++) {
		char code[8];

		if (!m->add_failed[i])
			continue;
		(void)snprintf(code, sizeof(code), "%u", i);
		labelled(b, "vpcwire_add_failures_total", "code", i ? code : "other", m->add_failed[i]);
	}
	plain(b, "vpcwire_del_failures_total", "counter", m->del_failed, "DELs that failed; the runtime tries them again.");
	plain(b, "vpcwire_gc_requests_total", "counter", m->gcs, "GC requests.");
	family(b, "vpcwire_add_duration_seconds", "histogram",
	       "ADDs that succeeded, in the daemon: all of it, waiting for an address, policy, the record.");
	for (unsigned int i = 0; i < VW_ARRAY_SIZE(stages); i++)
		histogram(b, "vpcwire_add_duration_seconds", stages[i], &m->took[i]);
	family(b, "vpcwire_del_duration_seconds", "histogram", "DELs that succeeded, in the daemon.");
	histogram(b, "vpcwire_del_duration_seconds", NULL, &m->took[METRIC_DEL]);
	plain(b, "vpcwire_pods_waiting", "gauge", d->n_waiters, "ADDs that wait now, for an address or for a name to be reaped.");
	plain(b, "vpcwire_pods", "gauge", d->attach.n, "Attachments of pods.");
}

/* --- the pool */

static int print_slot(const struct ipam_slot *s, void *buf)
{
	char text[VW_CIDR_STRLEN];

	if (s->prefix)
		labelled(buf, "awscni_assigned_ip_per_cidr", "cidr", vw_cidr_str(&s->cidr, text), s->assigned);
	return 0;
}

static void print_pool(struct daemon *d, struct vw_buf *b)
{
	static const char name[] = "vpcwire_addresses";
	unsigned int max_enis, max_addrs;
	struct ipam_stats s;

	ipam_pool_advance(d->pool, vw_mono_ms());
	ipam_pool_stats(d->pool, &s);
	grow_limits(d, &max_enis, &max_addrs);
	plain(b, "awscni_eni_max", "gauge", max_enis, "ENIs that this node may have.");
	plain(b, "awscni_ip_max", "gauge", max_addrs, "IPv4 addresses for pods that this node may have.");
	plain(b, "awscni_eni_allocated", "gauge", s.enis, "ENIs in the pool.");
	plain(b, "awscni_total_ip_addresses", "gauge", s.total, "IPv4 addresses that the node holds for pods.");
	plain(b, "awscni_assigned_ip_addresses", "gauge", s.assigned, "IPv4 addresses that pods have.");
	plain(b, "awscni_total_ipv4_prefixes", "gauge", s.prefixes, "IPv4 /28 prefixes that the node holds.");
	family(b, "awscni_assigned_ip_per_eni", "gauge", "IPv4 addresses that pods have, by ENI.");
	for (const struct ipam_eni *e = NULL; (e = ipam_pool_eni_next(d->pool, e));)
		labelled(b, "awscni_assigned_ip_per_eni", "eni", e->id, e->n.assigned);
	family(b, "awscni_assigned_ip_per_cidr", "gauge", "IPv4 addresses that pods have, by prefix.");
	for (const struct ipam_eni *e = NULL; (e = ipam_pool_eni_next(d->pool, e));)
		(void)ipam_pool_slot_each(d->pool, e->id, print_slot, b);
	family(b, name, "gauge", "IPv4 addresses by state; they add up to the total, but for those that EC2 took away from their pods.");
	labelled(b, name, "state", "assigned", s.assigned - s.orphaned);
	labelled(b, name, "state", "cooling", s.cooling);
	labelled(b, name, "state", "available", s.available);
	labelled(b, name, "state", "pending", s.pending);
	labelled(b, name, "state", "unusable", s.unusable);
	labelled(b, name, "state", "taken_away", s.orphaned + s.orphaned_cooling);
	plain(b, "vpcwire_free_prefixes", "gauge", s.free_prefixes, "IPv4 /28 prefixes of which no address is in use.");
	plain(b, "vpcwire_changes_under_way", "gauge", grow_in_flight(d), "Changes at EC2 under way that bring addresses.");
}

/* --- EC2 */

/* vpcwirectl doctor asks whether it may: being told so is no failure */
static bool succeeded(const struct ec2_counter *c)
{
	return !strcmp(c->code, "ok") || !strcmp(c->code, "DryRunOperation");
}

/* rows come as (action, code); aws-node's names want them by action alone */
static void print_by_action(struct vw_buf *b, const char *name, const struct ec2_counter *c, size_t n, bool failed)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t sum = 0;
		bool first = true;

		for (size_t k = 0; k < n; k++) {
			if (strcmp(c[k].action, c[i].action))
				continue;
			first &= k >= i;
			if (!failed || !succeeded(&c[k]))
				sum += c[k].n;
		}
		if (first)
			labelled(b, name, "fn", c[i].action, sum);
	}
}

static void print_ec2(struct daemon *d, struct vw_buf *b)
{
	struct ec2_counter c[128];
	size_t n = d->cloud->ec2 ? ec2_counters(d->cloud->ec2, c, VW_ARRAY_SIZE(c)) : 0;

	n = n < VW_ARRAY_SIZE(c) ? n : VW_ARRAY_SIZE(c);
	family(b, "awscni_ec2api_req_count", "counter", "Requests to EC2 by action.");
	print_by_action(b, "awscni_ec2api_req_count", c, n, false);
	family(b, "awscni_ec2api_error_count", "counter", "Requests to EC2 that failed, by action.");
	print_by_action(b, "awscni_ec2api_error_count", c, n, true);
	family(b, "vpcwire_ec2_requests_total", "counter", "Requests to EC2 by action and the code that they ended with.");
	for (size_t i = 0; i < n; i++) {
		vw_buf_puts(b, "vpcwire_ec2_requests_total");
		label(b, "{", "action", c[i].action);
		label(b, ",", "code", c[i].code);
		vw_buf_printf(b, "} %" PRIu64 "\n", c[i].n);
	}
	family(b, "vpcwire_ec2_request_seconds_total", "counter", "Time that these requests took.");
	for (size_t i = 0; i < n; i++) {
		vw_buf_puts(b, "vpcwire_ec2_request_seconds_total");
		label(b, "{", "action", c[i].action);
		label(b, ",", "code", c[i].code);
		vw_buf_puts(b, "} ");
		seconds(b, c[i].total_ms * 1000);
		vw_buf_putc(b, '\n');
	}
}

/* --- the planner */

static void print_planner(const struct daemon *d, struct vw_buf *b)
{
	static const char under_way[] = "vpcwire_planner_actions_under_way", held[] = "vpcwire_planner_held_up";
	uint64_t now = vw_mono_ms();
	struct grow_input in;

	grow_input(d, &in);
	family(b, under_way, "gauge", "Changes at EC2 under way, by what the planner asked for.");
	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++) {
		uint64_t n = 0;

		for (size_t i = 0; i < in.in.n_inflight; i++)
			n += in.in.inflight[i].act == act;
		labelled(b, under_way, "action", ipam_act_str(act), n);
	}
	family(b, held, "gauge", "1 for each kind of change that is not tried for now, with why (throttled, denied, ...).");
	for (enum ipam_act act = 0; act < IPAM_ACT_COUNT_; act++) {
		const struct ipam_why *why = &in.in.blocks[act];

		if (why->cause == IPAM_CAUSE_NONE || why->until_ms <= now)
			continue;
		vw_buf_puts(b, held);
		label(b, "{", "action", ipam_act_str(act));
		label(b, ",", "cause", ipam_cause_str(why->cause));
		vw_buf_puts(b, "} 1\n");
	}
}

/* --- what others took away */

static void print_drift(const struct daemon *d, struct vw_buf *b)
{
	family(b, "vpcwire_drift_repairs_total", "counter", "Rules, routes, ... of ours that others removed or changed, and that were put back.");
	for (size_t k = 0; k < HOSTNET_KINDS; k++)
		labelled(b, "vpcwire_drift_repairs_total", "kind", hostnet_kind_name((enum hostnet_kind)k),
			 drift_restored(d, (enum hostnet_kind)k));
}

/* --- network policy */

static void print_denial(const struct policy_denial *x, void *buf)
{
	vw_buf_puts(buf, "vpcwire_policy_denied_packets_total");
	label(buf, "{", "kind", x->kind);
	label(buf, ",", "policy", x->policy);
	label(buf, ",", "rule", x->rule);
	label(buf, ",", "dir", x->dir);
	vw_buf_printf(buf, "} %" PRIu64 "\n", x->packets);
}

static void print_flow_log(struct vw_buf *b, const struct flowlog_stats *s)
{
	plain(b, "vpcwire_flow_log_failing", "gauge", s->failing, "1 while flow_log cannot be written; vpcwirectl status says why.");
	family(b, "vpcwire_flow_log_records_total", "counter",
	       "Records of the flow log: written, or not when their turn came (those of flows that live are told later, the others as SKIPDATA).");
	labelled(b, "vpcwire_flow_log_records_total", "result", "written", s->written);
	labelled(b, "vpcwire_flow_log_records_total", "result", "failed", s->lost);
	family(b, "vpcwire_flow_log_errors_total", "counter", "What could not be done with the file of the flow log.");
	for (unsigned int i = 0; i < FLOWLOG_FAULTS; i++)
		labelled(b, "vpcwire_flow_log_errors_total", "what", flowlog_fault_name(i), s->faults[i]);
	plain(b, "vpcwire_flow_log_left_out_total", "counter", s->left_out, "Denied packets that were too many different ones for the flow log (SKIPDATA).");
}

static void print_policy(struct daemon *d, struct vw_buf *b)
{
	struct policy_figures *f = policy_figures_new(d);

	if (!f)
		return;
	plain(b, "vpcwire_policy_generation", "gauge", f->generation, "Policy images put into force since the daemon started.");
	plain(b, "vpcwire_policy_applied_generation", "gauge", f->applied, "The last of them that no packet can escape.");
	plain(b, "vpcwire_policy_refused_manifests", "gauge", f->refused,
	      "Files of policy_dir that are refused; what they held before stays in force. vpcwirectl policy status says why.");
	plain(b, "vpcwire_policy_failed", "gauge", f->failed, "1 when the last image could not be made or published.");
	family(b, "vpcwire_policy_map_entries", "gauge", "Entries in use of the maps of network policy.");
	for (unsigned int i = 0; i < f->n_maps; i++)
		labelled(b, "vpcwire_policy_map_entries", "map", f->map[i].name, f->map[i].used);
	family(b, "vpcwire_policy_map_entries_max", "gauge", "Entries that these maps can hold.");
	for (unsigned int i = 0; i < f->n_maps; i++)
		labelled(b, "vpcwire_policy_map_entries_max", "map", f->map[i].name, f->map[i].max);
	family(b, "vpcwire_dropped_packets_total", "counter", "Packets of pods that were dropped, by reason.");
	for (unsigned int i = 0; i < NP_DROP_MAX; i++)
		if (f->drop_name[i])
			labelled(b, "vpcwire_dropped_packets_total", "reason", f->drop_name[i], f->drops[i]);
	family(b, "vpcwire_policy_events_total", "counter", "What happened in the datapath, by kind.");
	for (unsigned int i = 0; i < NP_STAT_MAX; i++)
		if (f->stat_name[i])
			labelled(b, "vpcwire_policy_events_total", "event", f->stat_name[i], f->stats[i]);
	print_flow_log(b, &f->flow_log);
	family(b, "vpcwire_policy_denied_packets_total", "counter", "Packets that a policy denied: by a rule, or, without one, because nothing allows them.");
	policy_denials(d, print_denial, b);
	free(f);
}

/* --- the page */

static int print_page(void *daemon, struct vw_buf *b, struct vw_err *err)
{
	struct daemon *d = daemon;

	family(b, "awscni_build_info", "gauge", "1, with the version as label.");
	labelled(b, "awscni_build_info", "version", VW_VERSION, 1);
	plain(b, "vpcwire_ready", "gauge", d->ready, "1 when ADDs are served.");
	plain(b, "vpcwire_trouble", "gauge", d->trouble.eno != 0, "1 when IMDS or EC2 could not be heard; vpcwired's log says why.");
	plain(b, "vpcwire_draining", "gauge", d->draining, "1 while the node takes no new pods (vpcwirectl drain).");
	print_requests(d, b);
	print_pool(d, b);
	print_ec2(d, b);
	print_planner(d, b);
	print_drift(d, b);
	print_policy(d, b);
	feed_metrics(d, b);
	return vw_buf_err(b) < 0 ? vw_err_set(err, ENOMEM, 0, "no memory for the metrics") : 0;
}

int metrics_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *o = vw_json_new_object();
	int r = print_page(d, &b, err);

	(void)args;
	if (r < 0)
		return r;
	if (vw_json_set_str(o, "text", vw_buf_str(&b)) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the metrics");
	*ret = VW_TAKE_PTR(o);
	return 0;
}

static const struct httpd_page pages[] = {
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", print_page },
};

void metrics_listen(struct daemon *d)
{
	httpd_serve(&d->httpd, d->loop, d->cfg->metrics_address, d->cfg->disable_metrics, pages, VW_ARRAY_SIZE(pages), d,
		    "no metrics: set metrics_address to a free one, or disable_metrics");
}

void metrics_config_changed(struct daemon *d, const struct vwired_config *old)
{
	if (strcmp(old->metrics_address, d->cfg->metrics_address) || old->disable_metrics != d->cfg->disable_metrics)
		metrics_listen(d);
}

void metrics_close(struct daemon *d)
{
	httpd_free(d->httpd);
	d->httpd = NULL;
}
