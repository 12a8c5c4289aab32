// SPDX-License-Identifier: Apache-2.0
/*
 * What aws-node has for a pod, in main: `<address> dev <veth> scope link`; rules `512: to <address> lookup main` and, behind a secondary
 * ENI, `1536: from <address> lookup <ENI's table>`. Ours at 512 comes behind theirs, so theirs decides as long as it is there; marks
 * send what a pod sends the same way as theirs. ENIs' tables have the same numbers, so routes in them only change hands.
 */
#include "daemon/migrate_priv.h"

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "lib/net/rule.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX (4 * 1024 * 1024)
#define HASH_LEN 11             /* hex digits of a pod's hash in the name of its host veth */

void migrate_job_done(struct migrate_job *j)
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
	struct migrate_job *j = arg;
	struct store_attachment *grown = reallocarray(j->known, j->n_known + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	j->known = grown;
	j->known[j->n_known++] = *row;
	if (row->slot < NP_SLOTS)
		j->used[row->slot] = true;
	return 0;
}

int migrate_job_open(struct migrate_job *j, const struct vwired_config *cfg, struct vw_err *err)
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

int migrate_link(struct migrate_job *j, const struct store_attachment *k, struct vw_link *ret, struct vw_err *err)
{
	int r = vw_link_get(&j->nl, k->adopted.ifindex ? k->adopted.ifindex : VW_IFINDEX_BASE + k->slot, ret, err);

	return r == 0 && strcmp(ret->name, k->host_ifname) ? vw_err_set(err, ENODEV, 0, "interface %s is gone", k->host_ifname) : r;
}

int migrate_commit(struct migrate_job *j, struct vw_err *err)
{
	int r = vw_nl_commit(&j->nl, &j->batch, err);

	vw_nl_batch_reset(&j->batch);
	return r;
}

void migrate_rest_until(uint64_t until_ms)
{
	uint64_t now = vw_mono_ms();

	if (now >= until_ms)
		return;
	vw_info("waiting: addresses of pods that have just ended may not be given to others yet", "s=%llu",
		(unsigned long long)(until_ms - now + 999) / 1000);
	for (; now < until_ms; now = vw_mono_ms()) {
		const struct timespec left = { .tv_sec = (time_t)((until_ms - now) / 1000),
					       .tv_nsec = (long)((until_ms - now) % 1000) * 1000000 };

		(void)nanosleep(&left, NULL);
	}
}

size_t migrate_families(uint8_t ret[2])
{
	ret[0] = AF_INET;
	ret[1] = AF_INET6;
	return access("/proc/sys/net/ipv6", F_OK) == 0 ? 2 : 1;
}

/* --- from aws-node */

static int read_allocs(struct migrate_job *j, const char *path, struct vw_err *err)
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

static bool has_addr(const struct store_attachment *k, const struct vw_ip *ip)
{
	return vw_ip_eq(&k->addr, ip) || vw_ip_eq(&k->addr6, ip);
}

static bool claims(const struct store_attachment *k, const struct aws_alloc *a)
{
	return !strcmp(k->key.container_id, a->key.container_id) || has_addr(k, &a->addr);
}

static const struct store_attachment *known(const struct migrate_job *j, const struct aws_alloc *a)
{
	for (size_t i = 0; i < j->n_known; i++)
		if (claims(&j->known[i], a))
			return &j->known[i];
	return NULL;
}

/*
 * Rows of other pods with @a's address or name: of a former --from-aws-node that was given up, after which aws-node went on, or its checkpoint
 * is an old one. The interface tells: a pod without one has ended.
 */
static int set_stale_aside(struct migrate_job *j, const struct aws_alloc *a, struct vw_err *err)
{
	char ip[VW_IP_STRLEN];
	size_t i = 0;

	while (i < j->n_known) {
		const struct store_attachment k = j->known[i];
		struct vw_link l;
		int r;

		if (!claims(&k, a) || (!strcmp(k.key.container_id, a->key.container_id) && has_addr(&k, &a->addr))) {
			i++;
			continue;
		}
		r = migrate_link(j, &k, &l, err);
		if (r == 0)
			return vw_err_set(err, EEXIST, 0, "address %s or container %.80s is another pod's of vpcwire's; nothing was changed",
					  vw_ip_str(&a->addr, ip), a->key.container_id);
		if (r != -ENODEV)
			return r;
		if (k.slot < NP_SLOTS)
			j->used[k.slot] = false;
		j->known[i] = j->known[--j->n_known];
		j->known[j->n_known] = k;
		j->n_stale++;
	}
	return 0;
}

static int host_link(struct migrate_job *j, size_t i, struct vw_err *err)
{
	const struct aws_alloc *a = &j->allocs[i];
	char text[2 * VW_ID_MAX], hex[VW_SHA1_HEXLEN], name[IFNAMSIZ];
	int n = vw_fmt(text, sizeof(text), "%s.%s", a->pod_namespace, a->pod_name), r;

	if (n < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the name of pod %.60s is too long", a->pod_name);
	vw_sha1_hex(text, (size_t)n, hex);
	if (vw_fmt(name, sizeof(name), "%s%.*s", j->cfg->veth_prefix, HASH_LEN, hex) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "veth_prefix '%s' is too long", j->cfg->veth_prefix);
	r = vw_link_get_name(&j->nl, name, &j->links[i], err);
	if (r == -ENODEV || (r == 0 && strcmp(j->links[i].kind, "veth"))) {
		j->links[i].ifindex = 0;
		return 0;
	}
	return r;
}

/*
 * Pods with security groups of their own are not in the checkpoint: aws-node has their addresses from an annotation. Each has a VLAN of the
 * trunk, vlan.eth.<id>, and in strict mode a host veth that begins with "vlan". Ours have an alias.
 */
static int no_branches(struct migrate_job *j, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	int n = vw_link_list(&j->nl, &links, err);

	for (int i = 0; i < n; i++) {
		const char *name = links[i].name;

		if (strncmp(name, "vlan", 4) || !strncmp(links[i].alias, "vpcwire", strlen("vpcwire")))
			continue;
		if (!strncmp(name, "vlan.eth.", strlen("vlan.eth.")) || (!strcmp(links[i].kind, "veth") && strlen(name) == 4 + HASH_LEN))
			return vw_err_set(err, EOPNOTSUPP, 0, "interface %s is of a pod with security groups of its own (ENABLE_POD_ENI): such pods "
					  "cannot be taken over, delete them first; nothing was changed", name);
	}
	return n < 0 ? n : 0;
}

/* what the daemon would not know how to give addresses to */
static int check_family(const struct migrate_job *j, const struct aws_alloc *a, struct vw_err *err)
{
	bool four = a->addr.family == AF_INET;

	if (four ? j->cfg->enable_ipv4 : j->cfg->enable_ipv6)
		return 0;
	return vw_err_set(err, EOPNOTSUPP, 0, "pod %.60s/%.60s has an %s address, and %s is false in vpcwired's settings (aws-node's %s): "
			  "set it as aws-node has it; nothing was changed", a->pod_namespace, a->pod_name, four ? "IPv4" : "IPv6",
			  four ? "enable_ipv4" : "enable_ipv6", four ? "ENABLE_IPv4" : "ENABLE_IPv6");
}

/* one of those that are to come. Return: 1 = it is new, 0 = it is known or has no interface, -errno */
static int check_one(struct migrate_job *j, size_t i, struct vw_err *err)
{
	const struct aws_alloc *a = &j->allocs[i];

	if (check_family(j, a, err) < 0 || host_link(j, i, err) < 0 || set_stale_aside(j, a, err) < 0)
		return -err->eno;
	return !known(j, a) && j->links[i].ifindex;
}

/* all that can be known before anything is changed */
static int check_from(struct migrate_job *j, struct vw_err *err)
{
	size_t n = 0;
	int r = no_branches(j, err);

	j->links = calloc(j->n + 1, sizeof(*j->links));
	if (r == 0 && !j->links)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu links", j->n);
	for (size_t i = 0; r >= 0 && i < j->n; i++) {
		r = check_one(j, i, err);
		n += r > 0;
	}
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		n -= n && !j->used[s];
	if (r >= 0 && n)
		return vw_err_set(err, ENOSPC, 0, "there are not enough pod slots (%u) for all pods", NP_SLOTS);
	return r < 0 ? r : 0;
}

static unsigned int next_slot(struct migrate_job *j)
{
	unsigned int s = 0;

	while (j->used[s])
		s++;
	j->used[s] = true;
	return s;
}

static int record(struct migrate_job *j, size_t i, struct vw_err *err)
{
	const struct aws_alloc *a = &j->allocs[i];
	const struct vw_link *l = &j->links[i];
	struct store_attachment row = {
		.key = a->key, .slot = next_slot(j), .created_ms = vw_mono_ms(),
		.adopted = { .ifindex = l->ifindex, .mtu = l->mtu, .mac = l->mac },
	};

	*(a->addr.family == AF_INET ? &row.addr : &row.addr6) = a->addr;
	(void)VW_COPY(row.host_ifname, l->name);
	memcpy(row.pod_namespace, a->pod_namespace, sizeof(row.pod_namespace));
	memcpy(row.pod_name, a->pod_name, sizeof(row.pod_name));
	return store_attach_put(j->store, &row, err);
}

/* ours from here on: nftables and a start know it by group and alias */
static void mark(struct migrate_job *j, size_t i)
{
	char alias[VW_IFALIAS_MAX];

	snprintf(alias, sizeof(alias), HOSTNET_ALIAS_PREFIX "%.230s/%s", j->allocs[i].key.container_id, j->allocs[i].key.ifname);
	(void)vw_link_set(&j->batch, &(struct vw_link_set){ .ifindex = j->links[i].ifindex, .name = j->links[i].name,
							    .what = VW_LINK_ALIAS | VW_LINK_GROUP, .alias = alias, .group = VW_GROUP_PODS });
	vw_nl_tolerate(&j->batch, VW_NL_OK_GONE);
}

static int take_over(struct migrate_job *j, struct vw_err *err)
{
	int r = j->n ? store_adopting(j->store, err) : 0;

	for (size_t i = 0; r == 0 && i < j->n_stale; i++)
		r = store_attach_del(j->store, &j->known[j->n_known + i], 0, err);
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
	return r == 0 ? migrate_commit(j, err) : r;
}

/* aws-node keeps in memory alone which addresses rest; but it wrote the file when the last of their pods ended, or later */
static int rest(const struct migrate_job *j, const char *path, struct vw_err *err)
{
	struct stat st;
	int64_t since;

	if (stat(path, &st) < 0)
		return vw_err_sys(err, errno, 0, "looking up '%s'", path);
	since = vw_unix_s() - st.st_mtime - 1;  /* whole seconds, the end of one and the beginning of the other */
	if (since < 0)
		since = 0;
	if ((uint64_t)since < j->cfg->ip_cooldown_s)
		migrate_rest_until(vw_mono_ms() + (j->cfg->ip_cooldown_s - (uint64_t)since) * 1000);
	return 0;
}

int migrate_from(const struct vwired_config *cfg, const char *path, struct migrate_report *ret, struct vw_err *err)
{
	struct migrate_job j = MIGRATE_JOB_INIT;
	int r;

	*ret = (struct migrate_report){ 0 };
	j.report = ret;
	r = migrate_job_open(&j, cfg, err);
	if (r == 0)
		r = read_allocs(&j, path, err);
	if (r == 0)
		r = check_from(&j, err);
	if (r == 0)
		r = rest(&j, path, err);
	if (r == 0)
		r = take_over(&j, err);
	migrate_job_done(&j);
	return r;
}

/* --- what routes a pod's packets */

static bool is_ours(uint8_t protocol)
{
	return protocol == VW_RTPROT;
}

bool migrate_has_route(const struct vw_route *v, int n, const struct vw_route *pod)
{
	for (int i = 0; i < n; i++)
		if (vw_cidr_eq(&v[i].dst, &pod->dst) && v[i].ifindex == pod->ifindex && v[i].type == RTN_UNICAST)
			return true;
	return false;
}

static bool is_host(const struct vw_cidr *c)
{
	return c->ip.family && c->len == vw_ip_bits(&c->ip);
}

/* one rule of aws-node's for each pod, and one for each secondary ENI */
static bool is_theirs(const struct vw_rule *r)
{
	if (is_ours(r->protocol))
		return false;
	return (r->priority == HOSTNET_PRIO_PODS && is_host(&r->to) && r->table == RT_TABLE_MAIN) ||
	       (r->priority == MIGRATE_PRIO_FROM && is_host(&r->from) && !r->fwmask) ||
	       (r->priority == MIGRATE_PRIO_ENI && is_host(&r->from));
}

static int list(struct vw_nl *nl, uint32_t table, uint8_t protocol, struct vw_route **ret, int *ret_n, struct vw_err *err)
{
	uint8_t families[2];
	size_t n_families = migrate_families(families);

	for (size_t f = 0; f < n_families; f++) {
		vw_auto_free struct vw_route *some = NULL;
		int n = vw_route_list(nl, families[f], table, 0, protocol, &some, err);
		struct vw_route *grown = n <= 0 ? NULL : reallocarray(*ret, (size_t)(*ret_n + n), sizeof(*grown));

		if (n < 0)
			return n;
		if (n > 0 && !grown)
			return vw_err_set(err, ENOMEM, 0, "no memory for %d routes", n);
		if (n == 0)
			continue;
		*ret = grown;
		memcpy(grown + *ret_n, some, (size_t)n * sizeof(*grown));
		*ret_n += n;
	}
	return 0;
}

int migrate_routes(struct vw_nl *nl, struct migrate_routes *ret, struct vw_err *err)
{
	int r = list(nl, RT_TABLE_MAIN, 0, &ret->theirs, &ret->n_theirs, err);

	return r == 0 ? list(nl, HOSTNET_TABLE_PODS, VW_RTPROT, &ret->ours, &ret->n_ours, err) : r;
}

void migrate_routes_done(struct migrate_routes *r)
{
	free(r->theirs);
	free(r->ours);
}

static bool may_be_pods(struct vw_nl *nl, const struct vw_route *r)
{
	struct vw_link l;
	struct vw_err gone;

	/* IPv6 knows no scopes of routes */
	return !is_ours(r->protocol) && is_host(&r->dst) && !r->via.family && (r->scope == RT_SCOPE_LINK || r->dst.ip.family == AF_INET6) &&
	       vw_link_get(nl, r->ifindex, &l, &gone) == 0 && !strcmp(l.kind, "veth") && l.group == VW_GROUP_PODS;
}

static int drop_routes(struct migrate_job *j, size_t *ret_n, struct vw_err *err)
{
	struct migrate_routes v = { 0 };
	char text[VW_ROUTE_STRLEN];
	int r = migrate_routes(&j->nl, &v, err);

	for (int i = 0; r == 0 && i < v.n_theirs; i++) {
		if (!may_be_pods(&j->nl, &v.theirs[i]))
			continue;
		if (!migrate_has_route(v.ours, v.n_ours, &v.theirs[i]))
			r = vw_err_set(err, EBUSY, 0, "only aws-node's route leads to a pod (%s): does vpcwired serve? Nothing was changed",
				       vw_route_str(&v.theirs[i], text));
		(void)vw_route_del(&j->batch, &v.theirs[i]);
		vw_nl_tolerate(&j->batch, VW_NL_OK_GONE);
		(*ret_n)++;
	}
	migrate_routes_done(&v);
	return r;
}

static int drop_rules(struct migrate_job *j, uint8_t family, size_t *ret_n, struct vw_err *err)
{
	vw_auto_free struct vw_rule *rules = NULL;
	int n = vw_rule_list(&j->nl, family, &rules, err);

	for (int i = 0; i < n; i++) {
		if (!is_theirs(&rules[i]))
			continue;
		(void)vw_rule_del(&j->batch, &rules[i]);
		vw_nl_tolerate(&j->batch, VW_NL_OK_GONE);
		(*ret_n)++;
	}
	return n < 0 ? n : 0;
}

int migrate_from_done(const struct vwired_config *cfg, struct migrate_report *ret, struct vw_err *err)
{
	struct migrate_job j = MIGRATE_JOB_INIT;
	struct migrate_report n = { 0 };
	uint8_t families[2];
	size_t n_families = migrate_families(families);
	int r = vw_nl_open(&j.nl, err);

	if (r == 0)
		r = drop_routes(&j, &n.done, err);
	for (size_t f = 0; r == 0 && f < n_families; f++)
		r = drop_rules(&j, families[f], &n.done, err);
	if (r == 0)
		r = migrate_npa_find(cfg->bpf_dir, &j.nl, &j.batch, &n.filters, err);
	if (r == 0)
		r = migrate_commit(&j, err);
	if (r == 0)
		r = migrate_npa_unpin(&n.pins, err);
	if (r == 0)
		*ret = n;
	migrate_job_done(&j);
	return r;
}
