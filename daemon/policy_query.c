/* What operators ask about policy: status. */
#include "daemon/daemon.h"
#include "daemon/flowlog.h"
#include "daemon/policy_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_events.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int set_new(struct vw_json *j, const char *key, struct vw_json *take_value, int failed)
{
	if (failed) {
		vw_json_free(take_value);
		return -1;
	}
	return vw_json_set(j, key, take_value);
}

static int append_new(struct vw_json *arr, struct vw_json *take_value, int failed)
{
	if (failed) {
		vw_json_free(take_value);
		return -1;
	}
	return vw_json_append(arr, take_value);
}

static int put_objects(struct vw_json *root, const struct policy *p)
{
	struct vw_json *o = vw_json_new_object();
	int failed = 0;

	for (int k = 0; k < NP_KINDS; k++)
		if (np_world_list(p->world, (enum np_kind)k)->n)
			failed |= vw_json_set_int(o, np_kind_name((enum np_kind)k), (int64_t)np_world_list(p->world, (enum np_kind)k)->n);
	return set_new(root, "objects", o, failed);
}

static int put_refused(struct vw_json *root, const struct policy *p)
{
	struct vw_json *refused = vw_json_new_array();
	int failed = 0;

	for (const struct policy_file *f = p->files; f; f = f->hh.next) {
		struct vw_json *o;
		int bad;

		if (!f->why.eno)
			continue;
		o = vw_json_new_object();
		bad = vw_json_set_str(o, "file", f->name);
		bad |= vw_json_set_str(o, "object", f->object);
		bad |= vw_json_set_str(o, "path", f->place);
		bad |= vw_json_set_str(o, "reason", f->reason ? f->reason : f->why.msg);
		failed |= append_new(refused, o, bad);
	}
	return set_new(root, "refused", refused, failed);
}

/* what is odd about files that are taken */
static int put_warnings(struct vw_json *root, const struct policy *p)
{
	struct vw_json *warnings = vw_json_new_array();
	const struct np_note *note;
	size_t n;
	int failed = 0;

	note = np_world_notes(p->world, &n);
	for (size_t i = 0; i < n; i++) {
		struct vw_json *o;
		int bad;

		if (note[i].refused)
			continue;
		o = vw_json_new_object();
		bad = vw_json_set_str(o, "file", note[i].file);
		bad |= vw_json_set_str(o, "object", *note[i].object ? note[i].object : NULL);
		bad |= vw_json_set_str(o, "path", *note[i].path ? note[i].path : NULL);
		bad |= vw_json_set_str(o, "text", note[i].text);
		failed |= append_new(warnings, o, bad);
	}
	return set_new(root, "warnings", warnings, failed);
}

static unsigned int map_uses(struct policy *p, struct policy_map_use ret[POLICY_MAPS])
{
	struct np *np = p->d->np;
	struct np_publish_use use;
	unsigned int rules = 0;

	np_publish_use(p->pub, &use);
	for (unsigned int i = 1; p->image && i < p->image->n_rule; i++)
		rules += p->image->rule[i].key != 0;
	const struct policy_map_use v[] = {
		{ "np_slots", p->d->attach.n, NP_SLOTS },
		{ "np_arena", use.lines, use.lines_max },
		{ "np_idents", use.idents, NP_IDENTS - 1 },
		{ "np_ip4", use.addrs4, np_map_max(np, NP_M_IP4) },
		{ "np_ip6", use.addrs6, np_map_max(np, NP_M_IP6) },
		{ "np_cidr4", use.cidrs4, np_map_max(np, NP_M_CIDR4) },
		{ "np_cidr6", use.cidrs6, np_map_max(np, NP_M_CIDR6) },
		{ "np_counts", rules, NP_RULES - 1 },
		{ "np_ct", p->ct_stats.flows4 + p->ct_stats.flows6, np_map_max(np, NP_M_CT) * NP_CT_GROUP_FLOWS },
		{ "np_fqdn", p->ct_stats.fqdn, np_map_max(np, NP_M_FQDN4) + np_map_max(np, NP_M_FQDN6) },
	};

	_Static_assert(VW_ARRAY_SIZE(v) == POLICY_MAPS, "a map more or less: see policy.h");
	memcpy(ret, v, sizeof(v));
	return POLICY_MAPS;
}

static int put_maps(struct vw_json *root, struct policy *p)
{
	struct vw_json *maps = vw_json_new_array();
	struct policy_map_use use[POLICY_MAPS];
	unsigned int n = map_uses(p, use);
	int failed = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vw_json *o = vw_json_new_object();
		int bad = vw_json_set_str(o, "name", use[i].name);

		bad |= vw_json_set_int(o, "used", (int64_t)use[i].used);
		bad |= vw_json_set_int(o, "max", (int64_t)use[i].max);
		failed |= append_new(maps, o, bad);
	}
	return set_new(root, "maps", maps, failed);
}

static void read_counters(struct np *np, struct policy_figures *f)
{
	struct vw_err err;

	if (np_drops(np, f->drops, &err) == 0)
		for (unsigned int i = 0; i < NP_DROP_MAX; i++)
			f->drop_name[i] = np_drop_name(i);
	if (np_stats(np, f->stats, &err) == 0)
		for (unsigned int i = 0; i < NP_STAT_MAX; i++)
			f->stat_name[i] = np_stat_name(i);
}

struct policy_figures *policy_figures_new(struct daemon *d)
{
	struct policy_figures *f = calloc(1, sizeof(*f));
	struct policy *p = d->policy;

	if (!f)
		return NULL;
	f->generation = p->generation;
	f->applied = p->applied;
	f->failed = p->failed.eno != 0;
	for (const struct policy_file *file = p->files; file; file = file->hh.next)
		f->refused += file->why.eno != 0;
	f->n_maps = map_uses(p, f->map);
	if (p->flowlog)
		f->flow_log = flowlog_stats(p->flowlog);
	f->flow_log.failing |= p->flowlog_said;
	read_counters(d->np, f);
	return f;
}

static int put_counters(struct vw_json *root, struct policy *p)
{
	struct vw_json *drops = vw_json_new_object(), *stats = vw_json_new_object();
	struct policy_figures f = { 0 };
	int failed = 0;

	read_counters(p->d->np, &f);
	for (unsigned int i = 0; i < NP_DROP_MAX; i++)
		if (f.drops[i])
			failed |= vw_json_set_int(drops, f.drop_name[i], (int64_t)f.drops[i]);
	for (unsigned int i = 0; i < NP_STAT_MAX; i++)
		if (f.stats[i])
			failed |= vw_json_set_int(stats, f.stat_name[i], (int64_t)f.stats[i]);
	failed |= set_new(root, "drops", drops, failed);
	return set_new(root, "events", stats, failed);
}

void policy_denials(struct daemon *d, void (*fn)(const struct policy_denial *x, void *arg), void *arg)
{
	const struct np_image *image = d->policy->image;

	for (unsigned int i = 1; image && i < image->n_rule; i++) {
		const struct np_rule *r = &image->rule[i];
		struct np_count c = { 0 };

		if (!r->key || r->action != NP_DENY || np_rule_count(d->np, i, &c) < 0 || !c.pkts)
			continue;
		fn(&(struct policy_denial){ r->kind, r->policy, r->path, r->dir == NP_EGRESS ? "egress" : "ingress", c.pkts }, arg);
	}
}

static int put_rules(struct vw_json *root, const struct policy *p)
{
	struct vw_json *rules = vw_json_new_array();
	int failed = 0;

	for (unsigned int i = 1; p->image && i < p->image->n_rule; i++) {
		const struct np_rule *r = &p->image->rule[i];
		struct np_count c = { 0 };
		struct vw_json *o;
		int bad;

		if (!r->key)
			continue;
		(void)np_rule_count(p->d->np, i, &c);
		o = vw_json_new_object();
		bad = vw_json_set_int(o, "id", i);
		bad |= vw_json_set_str(o, "tier", policy_tier_name(r->tier));
		bad |= vw_json_set_str(o, "kind", r->kind);
		bad |= vw_json_set_str(o, "policy", r->policy);
		bad |= vw_json_set_str(o, "rule", r->path);
		bad |= vw_json_set_str(o, "rule_name", *r->name ? r->name : NULL);
		bad |= vw_json_set_str(o, "dir", r->dir == NP_EGRESS ? "egress" : "ingress");
		bad |= vw_json_set_str(o, "action", r->action == NP_DENY ? "deny" : "allow");
		bad |= vw_json_set_int(o, "packets", (int64_t)c.pkts);
		bad |= vw_json_set_int(o, "bytes", (int64_t)c.bytes);
		failed |= append_new(rules, o, bad);
	}
	return set_new(root, "rules", rules, failed);
}

static int put_pods(struct vw_json *root, const struct policy *p)
{
	struct vw_json *pods = vw_json_new_array();
	const struct np_rt *rt = np_map_mem(p->d->np, NP_M_RT);
	int failed = 0;

	for (size_t i = 0; p->image && i < p->image->n_subject; i++) {
		const struct np_subject *s = &p->image->subject[i];
		const struct np_blob *b = (const struct np_blob *)p->image->blob[s->blob].line;
		const struct attachment *a = p->d->attach.by_key;
		struct vw_json *o;
		char name[2 * VW_ID_MAX], ip[VW_IP_STRLEN];
		int bad;

		while (a && a->slot != s->slot)
			a = a->hh.next;
		if (!a)
			continue;
		o = vw_json_new_object();
		bad = vw_fmt(name, sizeof(name), "%s/%s", a->pod_namespace, a->pod_name) < 0;
		bad |= vw_json_set_int(o, "slot", s->slot);
		bad |= vw_json_set_str(o, "pod", a->pod_name[0] ? name : NULL);
		bad |= vw_json_set_str(o, "address", a->addr.family ? vw_ip_str(&a->addr, ip) : NULL);
		bad |= vw_json_set_str(o, "address6", a->addr6.family ? vw_ip_str(&a->addr6, ip) : NULL);
		bad |= vw_json_set_bool(o, "isolated_ingress", b->flags & NP_BLOB_ISOLATED_IN);
		bad |= vw_json_set_bool(o, "isolated_egress", b->flags & NP_BLOB_ISOLATED_EG);
		bad |= vw_json_set_int(o, "table", s->blob);
		bad |= vw_json_set_int(o, "flows", rt[s->slot].ct_used);
		bad |= vw_json_set_int(o, "events_suppressed", rt[s->slot].suppressed);
		failed |= append_new(pods, o, bad);
	}
	return set_new(root, "pods", pods, failed);
}

/* what is in force, and what is not */
static int put_head(struct vw_json *root, const struct policy *p)
{
	static const char *const modes[] = { "standard", "strict", "off" };

	return vw_json_set_str(root, "mode", modes[p->d->cfg->network_policy]) | vw_json_set_int(root, "generation", (int64_t)p->generation) |
	       vw_json_set_int(root, "applied", (int64_t)p->applied) |
	       vw_json_set_bool(root, "pending", p->settling || p->again || p->changed_ms) |
	       vw_json_set_str(root, "failed", p->failed.eno ? p->failed.msg : NULL) | put_refused(root, p);
}

struct vw_json *policy_brief(struct daemon *d)
{
	struct vw_json *root = vw_json_new_object();

	if (put_head(root, d->policy) == 0)
		return root;
	vw_json_free(root);
	return NULL;
}

int policy_query_status(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();
	struct policy *p = d->policy;
	const struct policy_log_stats log = policy_log_stats(p);
	int failed = put_head(root, p);

	failed |= vw_json_set_bool(root, "audit", d->cfg->policy_audit);
	failed |= vw_json_set_str(root, "flows_of_changed_policies", d->cfg->policy_flows == CONFIG_FLOWS_KEEP ? "keep" : "revoke");
	failed |= vw_json_set_str(root, "policy_dir", p->watched);
	failed |= vw_json_set_int(root, "last_apply_ms", (int64_t)p->apply_ms);
	failed |= vw_json_set_int(root, "classes", p->image ? p->image->n_class : 0);
	failed |= vw_json_set_int(root, "port_classes", p->image ? p->image->n_port_class : 0);
	failed |= vw_json_set_int(root, "tables", p->image ? p->image->n_blob : 0);
	failed |= vw_json_set_int(root, "logged", (int64_t)log.written);
	failed |= vw_json_set_int(root, "log_lost", (int64_t)(log.lost + np_events_strange(p->events)));
	if (p->flowlog) {
		failed |= vw_json_set_int(root, "flow_log_written", (int64_t)flowlog_stats(p->flowlog).written);
		failed |= vw_json_set_int(root, "flow_log_lost", (int64_t)flowlog_stats(p->flowlog).lost);
	}
	failed |= put_objects(root, p);
	failed |= put_warnings(root, p);
	failed |= put_maps(root, p);
	failed |= put_counters(root, p);
	failed |= put_rules(root, p);
	failed |= put_pods(root, p);
	if (failed)
		return vw_err_set(err, ENOMEM, 0, "no memory for the state of network policy");
	*ret = VW_TAKE_PTR(root);
	return 0;
}
