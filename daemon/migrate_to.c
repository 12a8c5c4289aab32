// SPDX-License-Identifier: Apache-2.0
/* The way back: aws-node's routes, rules and checkpoint beside ours; then ours away. What stands where is in migrate.c. */
#include "daemon/migrate_priv.h"

#include "daemon/cleanup.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/egress.h"
#include "daemon/hostnet.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/net/rule.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

/* --- to aws-node */

/* aws-node gives IPv6 addresses of the primary ENI's prefix alone, and drops others when it reads its checkpoint */
static int note_primary(const struct store_eni *e, void *arg)
{
	struct vw_cidr *ret = arg;

	if (e->primary)
		*ret = e->block6;
	return 0;
}

/* why aws-node would not know what to do with it; NULL: it would */
static const char *no_pod_of_theirs(const struct store_attachment *k, const struct vw_cidr *block6)
{
	if (k->branch.vlan)
		return "it has a branch ENI";
	if (strcmp(k->key.ifname, "eth0"))
		return "it has several interfaces";
	if (!k->pod_name[0])
		return "it is no pod's";
	if (egress_is(&k->addr) || egress_is(&k->addr6))
		return "its way out in the other family is vpcwire's, which aws-node does by an interface of its own";
	if (k->addr.family && k->addr6.family)
		return "it has IPv4 and IPv6";
	if (k->addr6.family && !(block6->ip.family && vw_cidr_has(block6, &k->addr6)))
		return "its IPv6 address is not of the primary ENI's prefix";
	return NULL;
}

/* of pods that the kernel has and the store has not: aws-node would give their addresses to others */
static int check_routes(struct migrate_job *j, struct vw_err *err)
{
	struct migrate_routes v = { 0 };
	char text[VW_ROUTE_STRLEN];
	int r = migrate_routes(&j->nl, &v, err);

	for (int i = 0; r == 0 && i < v.n_ours; i++) {
		size_t k = 0;

		while (k < j->n && !vw_ip_eq(&j->allocs[k].addr, &v.ours[i].dst.ip))
			k++;
		if (k == j->n && v.ours[i].type == RTN_UNICAST)
			r = vw_err_set(err, EBUSY, 0, "a pod has a route of vpcwire's (%s) and is not in '%s/state.db': start vpcwired, which looks for it "
				       "in the kernel, stop it, and try again; nothing was changed", vw_route_str(&v.ours[i], text), j->cfg->run_dir);
	}
	migrate_routes_done(&v);
	return r;
}

static int check_to(struct migrate_job *j, struct vw_err *err)
{
	struct vw_cidr block6 = { 0 };
	int r = store_eni_each(j->store, note_primary, &block6, err);

	j->links = calloc(j->n_known + 1, sizeof(*j->links));
	j->allocs = calloc(j->n_known + 1, sizeof(*j->allocs));
	if (r == 0 && (!j->links || !j->allocs))
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu pods", j->n_known);
	for (size_t i = 0; r == 0 && i < j->n_known; i++) {
		const struct store_attachment *k = &j->known[i];
		struct aws_alloc *a = &j->allocs[j->n];
		const char *why = no_pod_of_theirs(k, &block6);

		r = migrate_link(j, k, &j->links[j->n], err);
		if (r == -ENODEV) {
			j->report->gone++;
			r = 0;
			continue;
		}
		if (r == 0 && why)
			return vw_err_set(err, EOPNOTSUPP, 0, "container %.80s (%s) cannot be aws-node's: %s; delete it first; nothing was changed",
					  k->key.container_id, k->key.ifname, why);
		a->key = k->key;
		a->addr = k->addr.family ? k->addr : k->addr6;
		memcpy(a->pod_namespace, k->pod_namespace, sizeof(a->pod_namespace));
		memcpy(a->pod_name, k->pod_name, sizeof(a->pod_name));
		j->n++;
	}
	return r == 0 ? check_routes(j, err) : r;
}

static int last_to_rest(const struct vw_ip *ip, uint64_t until_ms, void *arg)
{
	uint64_t *last = arg;

	*last = until_ms > *last ? until_ms : *last;
	return 0;
}

/* its clock does not know how long those of ours have rested; nor does ours, of pods that ended while no daemon ran */
static int rest(struct migrate_job *j, struct vw_err *err)
{
	uint64_t until_ms = j->report->gone ? vw_mono_ms() + (uint64_t)j->cfg->ip_cooldown_s * 1000 : 0;
	int r = store_cooling_each(j->store, vw_mono_ms(), last_to_rest, &until_ms, err);

	if (r == 0)
		migrate_rest_until(until_ms);
	return r;
}

static bool eni_has(const struct store_eni *e, const struct vw_ip *ip)
{
	for (size_t i = 0; i < e->n_slots; i++)
		if (vw_cidr_has(&e->slots[i], ip))
			return true;
	return false;
}

struct put {
	struct migrate_job *j;
	struct vw_err *err;
};

/* rules of pods behind this ENI, and its routes change hands */
static int put_eni(const struct store_eni *e, void *arg)
{
	struct put *put = arg;
	struct migrate_job *j = put->j;
	uint32_t table = hostnet_eni_table(e->card, e->device);
	vw_auto_free struct vw_route *routes = NULL;
	int n;

	if (e->primary)
		return 0;
	for (size_t i = 0; i < j->n; i++)
		if (eni_has(e, &j->allocs[i].addr)) {
			(void)vw_rule_add(&j->batch, &(struct vw_rule){ .family = AF_INET, .unmarked = true, .priority = MIGRATE_PRIO_FROM,
									.from = vw_cidr_host(&j->allocs[i].addr), .table = table });
			vw_nl_tolerate(&j->batch, VW_NL_OK_EXISTS);
		}
	n = vw_route_list(&j->nl, AF_INET, table, 0, VW_RTPROT, &routes, put->err);
	for (int i = 0; i < n; i++) {
		routes[i].protocol = RTPROT_STATIC;
		(void)vw_route_replace(&j->batch, &routes[i]);
	}
	return n < 0 ? n : 0;
}

static int put_pods(struct migrate_job *j, struct vw_err *err)
{
	struct put put = { j, err };

	for (size_t i = 0; i < j->n; i++) {
		const struct vw_cidr addr = vw_cidr_host(&j->allocs[i].addr);

		(void)vw_route_replace(&j->batch, &(struct vw_route){ .dst = addr, .table = RT_TABLE_MAIN, .protocol = RTPROT_BOOT,
								      .scope = addr.ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
								      .ifindex = j->links[i].ifindex, .dev = j->links[i].name });
		(void)vw_rule_add(&j->batch, &(struct vw_rule){ .family = addr.ip.family, .unmarked = true, .priority = HOSTNET_PRIO_PODS,
								.to = addr, .table = RT_TABLE_MAIN });
		vw_nl_tolerate(&j->batch, VW_NL_OK_EXISTS);
	}
	if (store_eni_each(j->store, put_eni, &put, err) < 0)
		return vw_err_wrap(err, "the ENIs' routes and rules");
	return migrate_commit(j, err);
}

static int write_allocs(struct migrate_job *j, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char folder[VW_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash && slash != path && vw_fmt(folder, sizeof(folder), "%.*s", (int)(slash - path), path) > 0) {
		if (vw_mkdir_p(folder, 0755, err) < 0)
			return -err->eno;
		(void)vw_tidy_temps(folder, slash + 1);
	}
	if (aws_ipam_print(j->allocs, j->n, (uint64_t)vw_unix_s() * 1000000000u, &b, err) < 0)
		return -err->eno;
	return vw_replace_file(path, vw_buf_str(&b), b.len, 0600, err);
}

int migrate_to(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err)
{
	struct migrate_job j = MIGRATE_JOB_INIT;
	int r;

	*ret = (struct migrate_report){ 0 };
	j.report = ret;
	r = migrate_job_open(&j, cfg, err);
	if (r == 0)
		r = check_to(&j, err);
	if (r == 0)
		r = rest(&j, err);
	if (r == 0)
		r = put_pods(&j, err);
	if (r == 0)
		r = write_allocs(&j, path, err);
	if (r == 0)
		ret->done = j.n;
	migrate_job_done(&j);
	return r;
}

/* every pod that we have a route to has aws-node's too */
static int check_given(struct vw_nl *nl, size_t *ret_n, struct vw_err *err)
{
	struct migrate_routes v = { 0 };
	char text[VW_ROUTE_STRLEN];
	int r = migrate_routes(nl, &v, err);

	for (int i = 0; r == 0 && i < v.n_ours; i++) {
		if (v.ours[i].type != RTN_UNICAST)
			continue;
		(*ret_n)++;
		if (!migrate_has_route(v.theirs, v.n_theirs, &v.ours[i]))
			r = vw_err_set(err, EBUSY, 0, "only vpcwire's route leads to a pod (%s): vpcwired --to-aws-node comes first; nothing was "
				       "changed", vw_route_str(&v.ours[i], text));
	}
	migrate_routes_done(&v);
	return r;
}

/* of ENIs that our rules lead to, the tables are aws-node's: else what their pods send would have no way any more */
static int check_tables(struct vw_nl *nl, struct vw_err *err)
{
	vw_auto_free struct vw_rule *rules = NULL;
	int n = vw_rule_list(nl, AF_INET, &rules, err), r = 0;

	for (int i = 0; r == 0 && i < n; i++) {
		vw_auto_free struct vw_route *ours = NULL;

		if (rules[i].protocol != VW_RTPROT || rules[i].fwmask != HOSTNET_MARK_ENI_MASK)
			continue;
		r = vw_route_list(nl, AF_INET, rules[i].table, 0, VW_RTPROT, &ours, err);
		if (r > 0)
			r = vw_err_set(err, EBUSY, 0, "only vpcwire's routes are in table %u, of a secondary ENI: vpcwired --to-aws-node comes first; "
				       "nothing was changed", rules[i].table);
	}
	return n < 0 ? n : r;
}

int migrate_to_done(const struct vwired_config *cfg, struct migrate_report *ret, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_open(&nl, err);

	*ret = (struct migrate_report){ 0 };
	if (r == 0)
		r = check_given(&nl, &ret->done, err);
	if (r == 0)
		r = check_tables(&nl, err);
	return r == 0 ? cleanup_but_pods(cfg, err) : r;
}
