// SPDX-License-Identifier: Apache-2.0
/*
 * What aws-node has for a pod, in main: `<address> dev <veth> scope link`; rules `512: to <address> lookup main` and, behind a secondary
 * ENI, `1536: from <address> lookup <ENI's table>`. Ours at 512 comes behind theirs, so theirs decides as long as it is there; marks
 * send what a pod sends the same way as theirs. ENIs' tables have the same numbers, so routes in them only change hands.
 */
#include "daemon/migrate.h"

#include "daemon/aws_ipam.h"
#include "daemon/cleanup.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/egress.h"
#include "daemon/hostnet.h"
#include "daemon/store.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "netpolicy-bpf/abi/np_abi.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRIO_FROM 1536          /* aws-node's, of which each pod behind a secondary ENI has one */
#define PRIO_ENI 32765          /* from <address of secondary ENI> */
#define FILE_MAX (4 * 1024 * 1024)

struct job {
	const struct vwired_config *cfg;
	struct vw_nl nl;
	struct vw_nl_batch batch;
	struct store *store;
	int lock, listening;
	struct aws_alloc *allocs;
	size_t n;
	struct vw_link *links;          /* of @allocs; ifindex 0: it has none */
	bool used[NP_SLOTS];
	struct store_attachment *known;
	size_t n_known;
	struct migrate_report *report;
};

static void job_done(struct job *j)
{
	vw_nl_batch_done(&j->batch);
	vw_nl_close(&j->nl);
	store_close(j->store);
	vw_close_fd(&j->listening);
	vw_close_fd(&j->lock);
	free(j->allocs);
	free(j->links);
	free(j->known);
}

static int remember(const struct store_attachment *row, void *arg)
{
	struct job *j = arg;
	struct store_attachment *grown = reallocarray(j->known, j->n_known + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	j->known = grown;
	j->known[j->n_known++] = *row;
	if (row->slot < NP_SLOTS)
		j->used[row->slot] = true;
	return 0;
}

/* the lock, so that no vpcwired runs, and its store */
static int job_open(struct job *j, const struct vwired_config *cfg, struct vw_err *err)
{
	vw_auto_buf struct vw_buf boot = VW_BUF_INIT_MAX(64), note = VW_BUF_INIT;
	char socket[VW_PATH_MAX], path[VW_PATH_MAX];
	int r = vw_nl_open(&j->nl, err);

	j->cfg = cfg;
	if (vw_fmt(socket, sizeof(socket), "%s/vpcwired.sock", cfg->run_dir) < 0 || vw_fmt(path, sizeof(path), "%s/state.db", cfg->run_dir) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "run_dir '%s' is too long", cfg->run_dir);
	if (r == 0)
		r = vw_mkdir_p(cfg->run_dir, 0755, err);
	if (r == 0)
		r = j->listening = vw_rpc_listen(socket, &j->lock, err);
	if (r >= 0)
		r = daemon_boot_id(&boot, err);
	if (r == 0)
		r = store_open(path, vw_buf_str(&boot), &j->store, &note, err);
	if (r == 0)
		r = store_attach_each(j->store, remember, j, err);
	return r == -ENOMEM ? vw_err_set(err, ENOMEM, 0, "no memory for the pods of '%s'", path) : r;
}

#define JOB_INIT { .nl = VW_NL_INIT, .batch = VW_NL_BATCH_INIT, .lock = -EBADF, .listening = -EBADF }

static int commit(struct job *j, struct vw_err *err)
{
	int r = vw_nl_commit(&j->nl, &j->batch, err);

	vw_nl_batch_reset(&j->batch);
	return r;
}

/* --- from aws-node */

static int read_allocs(struct job *j, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char other[VW_PATH_MAX];
	const char *dot = strrchr(path, '.');
	int r = vw_read_file(path, FILE_MAX, &b, err);

	if (r < 0)
		return r;
	/* pods on further network cards */
	if (dot && vw_fmt(other, sizeof(other), "%.*s-nic-1%s", (int)(dot - path), path, dot) > 0 && access(other, F_OK) == 0)
		return vw_err_set(err, EOPNOTSUPP, 0, "'%s' is there: pods on several network cards cannot be taken over", other);
	r = aws_ipam_parse(vw_buf_str(&b), b.len, &j->allocs, &j->n, err);
	return r < 0 ? vw_err_wrap(err, "'%s'", path) : 0;
}

static const struct store_attachment *known(const struct job *j, const struct aws_alloc *a)
{
	for (size_t i = 0; i < j->n_known; i++)
		if (!strcmp(j->known[i].key.container_id, a->key.container_id) || vw_ip_eq(&j->known[i].addr, &a->addr))
			return &j->known[i];
	return NULL;
}

static int host_link(struct job *j, size_t i, struct vw_err *err)
{
	const struct aws_alloc *a = &j->allocs[i];
	char text[2 * VW_ID_MAX], hex[VW_SHA1_HEXLEN], name[IFNAMSIZ];
	int n = vw_fmt(text, sizeof(text), "%s.%s", a->pod_namespace, a->pod_name), r;

	if (n < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the name of pod %.60s is too long", a->pod_name);
	vw_sha1_hex(text, (size_t)n, hex);
	if (vw_fmt(name, sizeof(name), "%s%.11s", j->cfg->veth_prefix, hex) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "veth_prefix '%s' is too long", j->cfg->veth_prefix);
	r = vw_link_get_name(&j->nl, name, &j->links[i], err);
	if (r == -ENODEV || (r == 0 && strcmp(j->links[i].kind, "veth"))) {
		j->links[i].ifindex = 0;
		return 0;
	}
	return r;
}

/* of those that are to come, all that can be known before anything is changed */
static int check_from(struct job *j, struct vw_err *err)
{
	const struct store_attachment *k;
	char ip[VW_IP_STRLEN];
	size_t n = 0;

	j->links = calloc(j->n + 1, sizeof(*j->links));
	if (!j->links)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu links", j->n);
	for (size_t i = 0; i < j->n; i++) {
		const struct aws_alloc *a = &j->allocs[i];

		if (host_link(j, i, err) < 0)
			return -err->eno;
		k = known(j, a);
		if (k && (strcmp(k->key.container_id, a->key.container_id) || !vw_ip_eq(&k->addr, &a->addr)))
			return vw_err_set(err, EEXIST, 0, "address %s or container %.80s is another pod's of vpcwire's; nothing was changed",
					  vw_ip_str(&a->addr, ip), a->key.container_id);
		n += !k && j->links[i].ifindex;
	}
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		n -= n && !j->used[s];
	return n ? vw_err_set(err, ENOSPC, 0, "there are not enough pod slots (%u) for all pods", NP_SLOTS) : 0;
}

static unsigned int next_slot(struct job *j)
{
	unsigned int s = 0;

	while (j->used[s])
		s++;
	j->used[s] = true;
	return s;
}

static int record(struct job *j, size_t i, struct vw_err *err)
{
	const struct aws_alloc *a = &j->allocs[i];
	const struct vw_link *l = &j->links[i];
	struct store_attachment row = {
		.key = a->key, .addr = a->addr, .slot = next_slot(j), .created_ms = vw_mono_ms(),
		.adopted = { .ifindex = l->ifindex, .mtu = l->mtu, .mac = l->mac },
	};

	(void)VW_COPY(row.host_ifname, l->name);
	memcpy(row.pod_namespace, a->pod_namespace, sizeof(row.pod_namespace));
	memcpy(row.pod_name, a->pod_name, sizeof(row.pod_name));
	return store_attach_put(j->store, &row, err);
}

/* ours from here on: nftables and a start know it by group and alias */
static void mark(struct job *j, size_t i)
{
	char alias[VW_IFALIAS_MAX];

	snprintf(alias, sizeof(alias), HOSTNET_ALIAS_PREFIX "%.230s/%s", j->allocs[i].key.container_id, j->allocs[i].key.ifname);
	(void)vw_link_set(&j->batch, &(struct vw_link_set){ .ifindex = j->links[i].ifindex, .name = j->links[i].name,
							    .what = VW_LINK_ALIAS | VW_LINK_GROUP, .alias = alias, .group = VW_GROUP_PODS });
	vw_nl_tolerate(&j->batch, VW_NL_OK_GONE);
}

static int take_over(struct job *j, struct vw_err *err)
{
	int r = j->n ? store_adopting(j->store, err) : 0;

	for (size_t i = 0; r == 0 && i < j->n; i++) {
		const struct store_attachment *k = known(j, &j->allocs[i]);

		if (!j->links[i].ifindex) {
			j->report->gone++;
			continue;
		}
		j->report->known += k != NULL;
		j->report->done += k == NULL;
		r = k ? 0 : record(j, i, err);
		if (r == 0)
			mark(j, i);
	}
	return r == 0 ? commit(j, err) : r;
}

int migrate_from(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err)
{
	struct job j = JOB_INIT;
	int r;

	*ret = (struct migrate_report){ 0 };
	j.report = ret;
	r = job_open(&j, cfg, err);
	if (r == 0)
		r = read_allocs(&j, path, err);
	if (r == 0)
		r = check_from(&j, err);
	if (r == 0)
		r = take_over(&j, err);
	job_done(&j);
	return r;
}

/* --- what routes a pod's packets */

static bool is_ours(uint8_t protocol)
{
	return protocol == VW_RTPROT;
}

static bool has_route(const struct vw_route *v, int n, const struct vw_route *pod)
{
	for (int i = 0; i < n; i++)
		if (vw_cidr_eq(&v[i].dst, &pod->dst) && v[i].ifindex == pod->ifindex && v[i].type == RTN_UNICAST)
			return true;
	return false;
}

static bool is_pod_rule(const struct vw_rule *r)
{
	return !is_ours(r->protocol) && ((r->priority == HOSTNET_PRIO_PODS && r->to.len == 32 && r->table == RT_TABLE_MAIN) ||
					 (r->priority == PRIO_FROM && r->from.len == 32 && !r->fwmask));
}

/* @theirs: to pods, in main, by links; @ours: in the pods table */
static int pod_routes(struct vw_nl *nl, struct vw_route **theirs, int *n_theirs, struct vw_route **ours, int *n_ours, struct vw_err *err)
{
	*n_theirs = vw_route_list(nl, AF_INET, RT_TABLE_MAIN, 0, 0, theirs, err);
	*n_ours = *n_theirs < 0 ? *n_theirs : vw_route_list(nl, AF_INET, HOSTNET_TABLE_PODS, 0, VW_RTPROT, ours, err);
	return *n_ours < 0 ? *n_ours : 0;
}

static bool may_be_pods(struct vw_nl *nl, const struct vw_route *r)
{
	struct vw_link l;
	struct vw_err gone;

	return !is_ours(r->protocol) && r->dst.len == 32 && !r->via.family && r->scope == RT_SCOPE_LINK &&
	       vw_link_get(nl, r->ifindex, &l, &gone) == 0 && !strcmp(l.kind, "veth") && l.group == VW_GROUP_PODS;
}

int migrate_from_done(struct migrate_report *ret, struct vw_err *err)
{
	struct job j = JOB_INIT;
	vw_auto_free struct vw_route *theirs = NULL, *ours = NULL;
	vw_auto_free struct vw_rule *rules = NULL;
	char text[VW_ROUTE_STRLEN];
	int n_theirs = 0, n_ours = 0, n_rules = 0, r = vw_nl_open(&j.nl, err);

	*ret = (struct migrate_report){ 0 };
	if (r == 0)
		r = pod_routes(&j.nl, &theirs, &n_theirs, &ours, &n_ours, err);
	if (r == 0)
		r = n_rules = vw_rule_list(&j.nl, AF_INET, &rules, err);
	for (int i = 0; r >= 0 && i < n_theirs; i++) {
		if (!may_be_pods(&j.nl, &theirs[i]))
			continue;
		if (!has_route(ours, n_ours, &theirs[i]))
			r = vw_err_set(err, EBUSY, 0, "only aws-node's route leads to a pod (%s): does vpcwired serve? Nothing was changed",
				       vw_route_str(&theirs[i], text));
		(void)vw_route_del(&j.batch, &theirs[i]);
		vw_nl_tolerate(&j.batch, VW_NL_OK_GONE);
		ret->done++;
	}
	for (int i = 0; r >= 0 && i < n_rules; i++) {
		if (!is_pod_rule(&rules[i]) && (rules[i].priority != PRIO_ENI || rules[i].from.len != 32 || is_ours(rules[i].protocol)))
			continue;
		(void)vw_rule_del(&j.batch, &rules[i]);
		vw_nl_tolerate(&j.batch, VW_NL_OK_GONE);
		ret->done++;
	}
	if (r >= 0)
		r = commit(&j, err);
	job_done(&j);
	return r < 0 ? r : 0;
}

/* --- to aws-node */

static int check_to(struct job *j, struct vw_err *err)
{
	j->links = calloc(j->n_known + 1, sizeof(*j->links));
	j->allocs = calloc(j->n_known + 1, sizeof(*j->allocs));
	if (!j->links || !j->allocs)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu pods", j->n_known);
	for (size_t i = 0; i < j->n_known; i++) {
		const struct store_attachment *k = &j->known[i];
		struct aws_alloc *a = &j->allocs[j->n];
		unsigned int index = k->adopted.ifindex ? k->adopted.ifindex : VW_IFINDEX_BASE + k->slot;
		int r = vw_link_get(&j->nl, index, &j->links[j->n], err);

		if (r == -ENODEV || (r == 0 && strcmp(j->links[j->n].name, k->host_ifname))) {
			j->report->gone++;
			continue;
		}
		if (r < 0)
			return r;
		if (!k->addr.family || egress_is(&k->addr) || (k->addr6.family && !egress_is(&k->addr6)) || k->branch.vlan ||
		    strcmp(k->key.ifname, "eth0") || !k->pod_name[0])
			return vw_err_set(err, EOPNOTSUPP, 0, "container %.80s (%s) cannot be aws-node's: it has IPv6, several interfaces, a branch "
					  "ENI, or is no pod's; delete it first; nothing was changed", k->key.container_id, k->key.ifname);
		a->key = k->key;
		a->addr = k->addr;
		memcpy(a->pod_namespace, k->pod_namespace, sizeof(a->pod_namespace));
		memcpy(a->pod_name, k->pod_name, sizeof(a->pod_name));
		j->n++;
	}
	return 0;
}

static bool eni_has(const struct store_eni *e, const struct vw_ip *ip)
{
	for (size_t i = 0; i < e->n_slots; i++)
		if (vw_cidr_has(&e->slots[i], ip))
			return true;
	return false;
}

/* rules of pods behind this ENI, and its routes change hands */
static int put_eni(const struct store_eni *e, void *arg)
{
	struct job *j = arg;
	uint32_t table = hostnet_eni_table(e->card, e->device);
	vw_auto_free struct vw_route *routes = NULL;
	struct vw_err err;
	int n;

	if (e->primary)
		return 0;
	for (size_t i = 0; i < j->n; i++)
		if (eni_has(e, &j->allocs[i].addr)) {
			(void)vw_rule_add(&j->batch, &(struct vw_rule){ .family = AF_INET, .protocol = RTPROT_BOOT, .priority = PRIO_FROM,
									.from = vw_cidr_host(&j->allocs[i].addr), .table = table });
			vw_nl_tolerate(&j->batch, VW_NL_OK_EXISTS);
		}
	n = vw_route_list(&j->nl, AF_INET, table, 0, VW_RTPROT, &routes, &err);
	for (int i = 0; i < n; i++) {
		routes[i].protocol = RTPROT_STATIC;
		(void)vw_route_replace(&j->batch, &routes[i]);
	}
	return n < 0 ? n : 0;
}

static int put_pods(struct job *j, struct vw_err *err)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct vw_cidr addr = vw_cidr_host(&j->allocs[i].addr);

		(void)vw_route_replace(&j->batch, &(struct vw_route){ .dst = addr, .table = RT_TABLE_MAIN, .protocol = RTPROT_BOOT,
								      .scope = RT_SCOPE_LINK, .ifindex = j->links[i].ifindex, .dev = j->links[i].name });
		(void)vw_rule_add(&j->batch, &(struct vw_rule){ .family = AF_INET, .protocol = RTPROT_BOOT, .priority = HOSTNET_PRIO_PODS,
								.to = addr, .table = RT_TABLE_MAIN });
		vw_nl_tolerate(&j->batch, VW_NL_OK_EXISTS);
	}
	if (store_eni_each(j->store, put_eni, j, err) < 0)
		return vw_err_wrap(err, "the ENIs' routes and rules");
	return commit(j, err);
}

static int write_allocs(struct job *j, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char folder[VW_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash && slash != path && vw_fmt(folder, sizeof(folder), "%.*s", (int)(slash - path), path) > 0 && vw_mkdir_p(folder, 0755, err) < 0)
		return -err->eno;
	if (aws_ipam_print(j->allocs, j->n, (uint64_t)vw_unix_s() * 1000000000u, &b, err) < 0)
		return -err->eno;
	return vw_replace_file(path, vw_buf_str(&b), b.len, 0600, err);
}

int migrate_to(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err)
{
	struct job j = JOB_INIT;
	int r;

	*ret = (struct migrate_report){ 0 };
	j.report = ret;
	r = job_open(&j, cfg, err);
	if (r == 0)
		r = check_to(&j, err);
	if (r == 0)
		r = put_pods(&j, err);
	if (r == 0)
		r = write_allocs(&j, path, err);
	if (r == 0)
		ret->done = j.n;
	job_done(&j);
	return r;
}

/* every pod that we have a route to has aws-node's too */
static int check_given(struct vw_nl *nl, size_t *ret_n, struct vw_err *err)
{
	vw_auto_free struct vw_route *theirs = NULL, *ours = NULL;
	int n_theirs = 0, n_ours = 0, r = pod_routes(nl, &theirs, &n_theirs, &ours, &n_ours, err);
	char text[VW_ROUTE_STRLEN];

	for (int i = 0; r == 0 && i < n_ours; i++) {
		if (ours[i].type != RTN_UNICAST)
			continue;
		(*ret_n)++;
		if (!has_route(theirs, n_theirs, &ours[i]))
			r = vw_err_set(err, EBUSY, 0, "only vpcwire's route leads to a pod (%s): vpcwired --to-aws-node comes first; nothing was "
				       "changed", vw_route_str(&ours[i], text));
	}
	return r;
}

int migrate_to_done(const struct vwired_config *cfg, struct migrate_report *ret, struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int r = vw_nl_open(&nl, err);

	*ret = (struct migrate_report){ 0 };
	if (r == 0)
		r = check_given(&nl, &ret->done, err);
	return r == 0 ? cleanup_but_pods(cfg, err) : r;
}
