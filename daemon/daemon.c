/*
 * Putting the daemon together. Order matters: the socket's lock first, so that a second daemon touches nothing; then store and
 * kernel are restored and tombstones replayed. Requests wait in the backlog until the loop runs, so none is ever answered
 * from a half-restored state. The cloud is asked last and in the background.
 */
#include "daemon/daemon.h"

#include "daemon/cloud.h"
#include "daemon/creds.h"
#include "daemon/denied.h"
#include "daemon/discover.h"
#include "daemon/drain.h"
#include "daemon/drift.h"
#include "daemon/egress.h"
#include "daemon/events.h"
#include "daemon/grow.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "daemon/monitor.h"
#include "daemon/page.h"
#include "daemon/placement.h"
#include "daemon/policy.h"
#include "daemon/programs.h"
#include "daemon/ranges.h"
#include "daemon/rpc_server.h"
#include "daemon/serve.h"
#include "daemon/sgp.h"
#include "daemon/stale.h"
#include "daemon/store.h"
#include "daemon/sweep.h"
#include "daemon/trim.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A round holds the lock that every DEL needs, for some 20 ms and 0.3 more for each link: so a burst of DELs goes first, as a whole.
 * Nobody waits for a link to be gone, or says so: daemon_links_awaited().
 */
#define REAP_DELAY_MS 10
#define REAP_LATEST_MS 100
#define REAP_RETRY_MS 1000
#define FREE_ROUTES_RETRY_MS 1000
#define RELOAD_DELAY_MS 200     /* after the last change of the file */
#define CREDS_DEADLINE_MS 30000
#define TRIM_DELAY_MS 5000              /* after a call to EC2: longer than the calls of one growth lie apart */

/* --- one turn's worth of changes */

static void on_pool_timer(void *arg)
{
	struct daemon *d = arg;
	uint64_t next, now = vw_mono_ms();

	/* also when nothing is planned yet: a cool-down that is over and stays would fire its timer for ever */
	ipam_pool_advance(d->pool, now);
	serve_waiters(d);
	if (d->ready)
		grow_plan(d);
	/* the planner may have found out that nothing can come: those who wait in vain hear it now */
	serve_waiters(d);
	if (eni_gone_unused(d))
		discover_start(d);
	store_tidy(d->store, now);
	next = ipam_pool_next_free_ms(d->pool);
	if (next != IPAM_NEVER)
		loop_timer_set(d->cool_timer, next > now ? next - now : 0);
}

void daemon_pool_changed(struct daemon *d)
{
	if (!loop_timer_active(d->pool_timer))
		loop_timer_set(d->pool_timer, 0);
}

static void on_cool_timer(void *arg)
{
	daemon_pool_changed(arg);
}

/* --- reaping: the delete waits for RCU grace periods under RTNL, so a worker does it */

struct reap_job {
	struct daemon *d;
	int r;
	struct vw_err err, ct;
};

static void reap_work(void *arg)
{
	struct reap_job *j = arg;

	j->r = hostnet_reap_work(j->d->hostnet, &j->ct, &j->err);
}

static void reap_at(struct daemon *d, uint64_t at_ms)
{
	uint64_t now = vw_mono_ms();

	if (at_ms < d->reap_not_before_ms)
		at_ms = d->reap_not_before_ms;
	loop_timer_set(d->reap_timer, at_ms > now ? at_ms - now : 0);
}

static void reap_done(void *arg)
{
	struct reap_job *j = arg;
	struct daemon *d = j->d;

	hostnet_reap_end(d->hostnet, j->r, attach_reaped, d);
	if (j->ct.eno)
		vw_warn("connections of stopped pods could not be forgotten, ignoring", "err=\"%s\"", j->ct.msg);
	if (j->r < 0)
		vw_error("links of stopped pods could not be deleted, retrying", "err=\"%s\"", j->err.msg);
	d->reap_not_before_ms = j->r < 0 ? vw_mono_ms() + REAP_RETRY_MS : 0;
	if (!d->stopping && hostnet_dying(d->hostnet) > 0)
		reap_at(d, vw_mono_ms() + REAP_DELAY_MS);
	if (!d->stopping)
		daemon_pool_changed(d);
	free(j);
}

static void on_reap_timer(void *arg)
{
	struct daemon *d = arg;
	struct reap_job *j = calloc(1, sizeof(*j));

	d->reap_since_ms = 0;
	if (!j) {
		loop_timer_set(d->reap_timer, REAP_RETRY_MS);
		return;
	}
	j->d = d;
	if (hostnet_reap_begin(d->hostnet) <= 0) {
		free(j);        /* none, or a round is under way, whose end looks again */
		return;
	}
	if (loop_job(d->loop, reap_work, reap_done, j) < 0) {
		hostnet_reap_end(d->hostnet, -ENOMEM, NULL, NULL);
		free(j);
		loop_timer_set(d->reap_timer, REAP_RETRY_MS);
	}
}

void daemon_links_dying(struct daemon *d)
{
	uint64_t now = vw_mono_ms(), latest;

	if (!d->reap_since_ms)
		d->reap_since_ms = now;
	latest = d->reap_since_ms + REAP_LATEST_MS;
	reap_at(d, now + REAP_DELAY_MS < latest ? now + REAP_DELAY_MS : latest);
}

void daemon_links_awaited(struct daemon *d)
{
	reap_at(d, vw_mono_ms());
}

/* --- credentials */

struct creds_job {
	struct daemon *d;
	int r;
	struct vw_err err;
};

static void creds_work(void *arg)
{
	struct creds_job *j = arg;

	j->r = creds_refresh(j->d->cloud->creds, vw_mono_ms() + CREDS_DEADLINE_MS, &j->err);
}

static void creds_done(void *arg)
{
	struct creds_job *j = arg;

	if (j->r < 0)
		vw_warn("credentials could not be refreshed, going on with the present ones", "err=\"%s\"", j->err.msg);
	daemon_creds_schedule(j->d);
	free(j);
}

static void on_creds_timer(void *arg)
{
	struct daemon *d = arg;
	struct creds_job *j = calloc(1, sizeof(*j));

	if (!j || (j->d = d, loop_job(d->loop, creds_work, creds_done, j)) < 0) {
		free(j);
		loop_timer_set(d->creds_timer, 10000);
	}
}

void daemon_creds_schedule(struct daemon *d)
{
	int64_t due, now = vw_unix_s();

	if (d->stopping || !d->cloud->creds)
		return;
	due = creds_refresh_due_s(d->cloud->creds);
	if (due)
		loop_timer_set(d->creds_timer, due > now ? (uint64_t)(due - now) * 1000 : 1000);
}

/* --- configuration */

/* where no pod has such an address it must not be looked for in the VPC */
static int egress_routes(struct daemon *d, struct vw_err *err)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct vw_cidr ranges[2];
	size_t n = 0;

	for (size_t i = 0; i < 2; i++)
		if (egress_used(d, families[i]))
			ranges[n++] = egress_range(families[i]);
	return hostnet_free_set(d->hostnet, "egress", ranges, n, err);
}

/* what is there beside what is wanted is known for certain only when all of that has been said */
static void on_free_routes_timer(void *arg)
{
	struct daemon *d = arg;
	struct vw_err err;
	bool all = true;

	for (size_t i = 0; i < d->enis.n; i++)
		all &= eni_free_routes(d, &d->enis.v[i]);
	if (!all)
		return;         /* it has set the timer */
	if (egress_routes(d, &err) < 0 || hostnet_free_prune(d->hostnet, &err) < 0) {
		vw_warn("routes of free addresses could not be put in order, retrying", "err=\"%s\"", err.msg);
		daemon_free_routes_failed(d);
	}
}

void daemon_free_routes_failed(struct daemon *d)
{
	if (!d->stopping)
		loop_timer_set(d->free_routes_timer, FREE_ROUTES_RETRY_MS);
}

int daemon_nat_apply(struct daemon *d, struct vw_err *err)
{
	struct hostnet_nat nat = {
		.vpc = d->node.vpc_cidrs,
		.n_vpc = d->node.n_vpc_cidrs,
		.excluded = d->cfg->exclude_snat_cidrs,
		.n_excluded = d->cfg->n_exclude_snat_cidrs,
		.external_snat = d->cfg->external_snat,
		.nodeport = d->cfg->node_port_support,
		.random = (enum hostnet_snat_random)d->cfg->randomize_snat,
		.egress4 = egress_used(d, AF_INET),
	};
	int r;

	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].row.primary) {
			(void)VW_COPY(nat.primary_ifname, d->enis.v[i].ifname);
			nat.primary_addr = d->enis.v[i].row.primary_ip;
			if (egress_used(d, AF_INET6))
				nat.primary_addr6 = d->enis.v[i].row.ip6;
		}
	if (!nat.primary_ifname[0])
		return vw_err_set(err, ENODEV, 0, "the link of the primary ENI has not been found");
	r = hostnet_nat_apply(d->hostnet, &nat, err);
	return r < 0 ? r : egress_routes(d, err);
}

/* rules and forwarding of the families that pods have */
static int apply_hostnet(struct daemon *d, struct vw_err *err)
{
	int r = hostnet_init(d->hostnet, d->cfg->connmark, err);

	return r == 0 && (d->cfg->enable_ipv6 || d->cfg->v6_egress) ? hostnet_init6(d->hostnet, err) : r;
}

void daemon_config_refuse(struct daemon *d, const struct vw_err *why)
{
	d->config_refused = *why;
	vw_error("the configuration is not valid, the running one stays in force", "err=\"%s\"", why->msg);
}

void daemon_config_apply(struct daemon *d, struct vwired_config *take_fresh)
{
	struct vwired_config *old = d->cfg;
	struct vw_err err;

	d->cfg = take_fresh;
	d->config_loads++;
	d->config_file = access(d->config_path, F_OK) == 0;
	d->config_refused = (struct vw_err){ 0 };
	vw_log_level_set(d->cfg->log_level);
	if (apply_hostnet(d, &err) < 0 || (d->discovered && daemon_nat_apply(d, &err) < 0))
		vw_error("rules and NAT could not be set up as the new configuration asks", "err=\"%s\"", err.msg);
	policy_config_changed(d, old);
	sgp_config_changed(d);
	metrics_config_changed(d, old);
	page_config_changed(d, old);
	drift_config_changed(d);
	vwired_config_free(old);
	vw_info("configuration reloaded", "file=%s", d->config_path);
	placement_config_changed(d);
	sweep_schedule(d);
	/* which ENIs are ours, and whether EC2 may be asked, may have changed */
	discover_start(d);
	daemon_pool_changed(d);
}

/* what the open socket, pins, store and the cloud's clients stand on, and what pods have, cannot change under them */
static int check_kept(const struct daemon *d, const struct vwired_config *fresh, struct vw_err *err)
{
	const char *key = NULL;

	if (strcmp(fresh->run_dir, d->cfg->run_dir))
		key = "run_dir";
	else if (strcmp(fresh->bpf_dir, d->cfg->bpf_dir))
		key = "bpf_dir";
	else if (fresh->system_calls != d->cfg->system_calls)
		key = "system_calls";
	else if (fresh->enable_ipv4 != d->cfg->enable_ipv4)
		key = "enable_ipv4";
	else if (fresh->enable_ipv6 != d->cfg->enable_ipv6)
		key = "enable_ipv6";
	else if (strcmp(fresh->region, d->cfg->region))
		key = "region";
	else if (strcmp(fresh->endpoint_ec2, d->cfg->endpoint_ec2))
		key = "endpoint_ec2";
	else if (strcmp(fresh->endpoint_imds, d->cfg->endpoint_imds))
		key = "endpoint_imds";
	else if (strcmp(fresh->endpoint_sts, d->cfg->endpoint_sts))
		key = "endpoint_sts";
	return key ? vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s changes only with a restart", d->config_path, key) : 0;
}

/* a file that was never there means defaults; one that is gone is more likely on its way */
static int check_there(const struct daemon *d, struct vw_err *err)
{
	if (!d->config_file || access(d->config_path, F_OK) == 0 || errno != ENOENT)
		return 0;
	return vw_err_set(err, ENOENT, VW_CNI_INVALID_CONFIG, "%s is gone; {} in it means all defaults", d->config_path);
}

static void reload(struct daemon *d)
{
	struct vwired_config *fresh = NULL;
	struct vw_err err;

	if (check_there(d, &err) < 0 || vwired_config_load(d->config_path, &fresh, &err) < 0 || check_kept(d, fresh, &err) < 0) {
		vwired_config_free(fresh);
		daemon_config_refuse(d, &err);
		return;
	}
	if (!placement_verify(d, fresh))
		daemon_config_apply(d, fresh);
}

static void on_signal(int signo, void *arg)
{
	struct daemon *d = arg;

	if (signo == SIGHUP) {
		reload(d);
		return;
	}
	vw_info("stopping; pods keep their addresses and connectivity", "signal=%d", signo);
	d->stopping = true;
	cloud_cancel(d->cloud);
	loop_stop(d->loop);
}

/* an editor truncates, writes and renames: one change to a person, several events here */
static void on_config_changed(void *arg)
{
	struct daemon *d = arg;

	loop_timer_set(d->reload_timer, RELOAD_DELAY_MS);
}

static void on_reload_timer(void *arg)
{
	reload(arg);
}

static void on_retry_timer(void *arg)
{
	discover_start(arg);
}

static void on_rest(void *arg)
{
	(void)arg;
	trim_memory();
}

/* --- start */

int daemon_boot_id(struct vw_buf *b, struct vw_err *err)
{
	int r = vw_read_file("/proc/sys/kernel/random/boot_id", 64, b, err);

	while (r == 0 && b->len && b->data[b->len - 1] == '\n')
		b->data[--b->len] = 0;
	return r;
}

static int open_store(struct daemon *d, struct vw_err *err)
{
	vw_auto_buf struct vw_buf boot = VW_BUF_INIT_MAX(64), note = VW_BUF_INIT;
	char path[VW_PATH_MAX];
	int r = daemon_boot_id(&boot, err);

	if (r < 0)
		return r;
	if (vw_fmt(path, sizeof(path), "%s/state.db", d->cfg->run_dir) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "run_dir '%s' is too long", d->cfg->run_dir);
	r = store_open(path, vw_buf_str(&boot), &d->store, &note, err);
	if (r == 0 && note.len)
		vw_warn("the state store was not as it was left", "note=\"%s\"", vw_buf_str(&note));
	return r;
}

static int make_timers(struct daemon *d, struct vw_err *err)
{
	if (loop_timer_new(d->loop, on_reap_timer, d, &d->reap_timer) < 0 ||
	    loop_timer_new(d->loop, on_pool_timer, d, &d->pool_timer) < 0 ||
	    loop_timer_new(d->loop, on_cool_timer, d, &d->cool_timer) < 0 ||
	    loop_timer_new(d->loop, on_retry_timer, d, &d->retry_timer) < 0 ||
	    loop_timer_new(d->loop, on_creds_timer, d, &d->creds_timer) < 0 ||
	    loop_timer_new(d->loop, ranges_ask, d, &d->ranges_timer) < 0 ||
	    loop_timer_new(d->loop, on_free_routes_timer, d, &d->free_routes_timer) < 0 ||
	    loop_timer_new(d->loop, on_reload_timer, d, &d->reload_timer) < 0 ||
	    loop_rest(d->loop, TRIM_DELAY_MS, on_rest, d) < 0 ||
	    loop_signal(d->loop, SIGTERM, on_signal, d) < 0 || loop_signal(d->loop, SIGINT, on_signal, d) < 0 ||
	    loop_signal(d->loop, SIGHUP, on_signal, d) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for timers and signals");
	return 0;
}

static int open_local(struct daemon *d, struct vw_err *err)
{
	int r = vw_mkdir_p(d->cfg->run_dir, 0755, err);

	if (r == 0)
		r = loop_new(&d->loop, err);
	if (r == 0)
		r = make_timers(d, err);
	if (r == 0)
		r = events_new(d, &d->events, err);
	if (r == 0)
		r = denied_new(&d->denied, err);
	/* first of all the lock, so that a second daemon touches nothing; requests wait until the loop runs */
	if (r == 0)
		r = rpc_server_new(d->loop, d->socket_path, &serve_ops, d, &d->server, err);
	if (r == 0)
		r = open_store(d, err);
	if (r == 0)
		r = vw_nl_open(&d->nl, err);
	if (r == 0)
		r = np_open(d->cfg->bpf_dir, NULL, &d->np, err);
	if (r == 0)
		r = policy_new(d, &d->policy, err);
	if (r == 0)
		r = hostnet_new(&d->hostnet, err);
	if (r == 0)
		r = drift_new(d, &d->drift, err);
	/* before anything is looked at in the kernel, so that no change falls between */
	if (r == 0)
		r = monitor_new(d, &d->monitor, err);
	if (r == 0)
		r = apply_hostnet(d, err);
	return r;
}

struct restore {
	struct daemon *d;
	struct hostnet_scan scan;
};

static int restore_eni(const struct store_eni *row, void *arg)
{
	struct restore *r = arg;
	struct eni_link link = { .mac = row->mac };
	struct vw_err err;
	bool found = false;

	/* no link, no trouble: the survey looks for it again */
	for (size_t i = 0; i < r->scan.n_devices && !found; i++) {
		const struct vw_link *l = &r->scan.devices[i];

		found = vw_mac_eq(&l->mac, &row->mac);
		if (!found)
			continue;
		link.ifindex = l->ifindex;
		(void)VW_COPY(link.ifname, l->name);
	}
	if (eni_restore(r->d, row, found ? &link : NULL, &err) < 0)
		vw_warn("a recorded ENI could not be restored, the survey will look at it", "eni=%s err=\"%s\"", row->id, err.msg);
	return 0;
}

static int replay_tombstone(const struct vw_rpc_req *del, void *arg)
{
	struct daemon *d = arg;
	struct vw_err err;

	if (attach_del(d, &del->key, false, &err) < 0) {
		vw_warn("a DEL that was left while no daemon ran failed, keeping it", "container_id=%s err=\"%s\"",
			del->key.container_id, err.msg);
		return -EAGAIN;
	}
	return 0;
}

/* what the store and the kernel know; listing links and routes is what takes long, so it is done once */
static int restore_local(struct daemon *d, struct vw_err *err)
{
	struct restore local = { .d = d };
	int r = hostnet_scan(d->hostnet, &local.scan, err);

	if (r == 0)
		r = store_eni_each(d->store, restore_eni, &local, err);
	if (r == 0)
		r = foreign_restore(d, err);
	if (r == 0)
		r = attach_restore(d, &local.scan, err);
	if (r == 0)
		r = sgp_start(d, err);
	hostnet_scan_done(&local.scan);
	return r;
}

static int restore(struct daemon *d, struct vw_err *err)
{
	int r = node_load(d->store, &d->node, err);

	if (r < 0) {
		vw_warn("the recorded identity is damaged, asking IMDS", "err=\"%s\"", err->msg);
		d->node = (struct node){ 0 };
	}
	r = restore_local(d, err);
	if (r == 0)
		r = policy_start(d, err);
	if (r == 0)
		programs_judge_node(d);
	if (r == 0)
		programs_renew(d);
	if (r == 0)
		r = grow_restore(d, err);
	if (r == 0)
		r = drain_restore(d, err);
	if (r < 0)
		return r;
	r = vw_tombstone_replay(d->socket_path, replay_tombstone, d, err);
	if (r < 0)
		vw_warn("tombstones could not be read, ignoring", "err=\"%s\"", err->msg);
	if (hostnet_free_prune(d->hostnet, err) < 0)
		vw_warn("routes of former addresses could not be removed, ignoring", "err=\"%s\"", err->msg);
	stale_sweep(d);
	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].row.primary && d->enis.v[i].wired && daemon_nat_apply(d, err) == 0)
			d->ready = true;
	if (d->ready)
		vw_info("restored", "enis=%zu pods=%u", d->enis.n, d->attach.n);
	return 0;
}

int daemon_new(const char *config_path, struct vwired_config *take_cfg, struct daemon **ret_daemon, struct vw_err *err)
{
	struct daemon *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d) {
		vwired_config_free(take_cfg);
		return vw_err_set(err, ENOMEM, 0, "no memory for the daemon");
	}
	TAILQ_INIT(&d->waiters);
	TAILQ_INIT(&d->later);
	d->nl = (struct vw_nl)VW_NL_INIT;
	d->config_path = config_path;
	d->cfg = take_cfg;
	d->config_loads = 1;
	d->config_file = access(config_path, F_OK) == 0;
	vw_log_level_set(d->cfg->log_level);
	if (vw_fmt(d->socket_path, sizeof(d->socket_path), "%s/vpcwired.sock", d->cfg->run_dir) < 0)
		r = vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "run_dir '%s' is too long", d->cfg->run_dir);
	if (r == 0)
		r = open_local(d, err);
	if (r == 0)
		r = (d->pool = ipam_pool_new()) && (d->v6 = ipam_v6_new()) ? 0 : vw_err_set(err, ENOMEM, 0, "no memory for the pool");
	if (r == 0)
		r = cloud_new(d->cfg, &d->cloud, err);
	if (r == 0)
		r = grow_new(d, &d->grow, err);
	if (r == 0)
		r = placement_new(d, &d->placement, err);
	if (r == 0)
		r = sweep_new(d, &d->sweep, err);
	if (r == 0)
		r = restore(d, err);
	if (r < 0) {
		daemon_free(d);
		return r;
	}
	if (loop_path_watch(d->loop, config_path, on_config_changed, d, err) < 0)
		vw_info("changes of the configuration are taken in on SIGHUP only", "err=\"%s\"", err->msg);
	*ret_daemon = d;
	return 0;
}

int daemon_run(struct daemon *d, struct vw_err *err)
{
	discover_start(d);
	daemon_pool_changed(d);
	metrics_listen(d);
	page_listen(d);
	return loop_run(d->loop, err);
}

void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	d->stopping = true;
	serve_done(d);
	later_done(d);
	rpc_server_free(d->server);
	monitor_free(d->monitor);
	metrics_close(d);
	page_close(d);
	drift_free(d->drift);
	/* ends jobs under way; their results still find the store and the pool */
	loop_free(d->loop);
	events_free(d->events);
	grow_save(d);
	grow_free(d->grow);
	placement_free(d->placement);
	sweep_free(d->sweep);
	cloud_free(d->cloud);
	attach_table_done(d);
	policy_free(d->policy);
	denied_free(d->denied);
	sgp_free(d);
	eni_table_done(d);
	ipam_pool_free(d->pool);
	ipam_v6_free(d->v6);
	hostnet_free(d->hostnet);
	np_close(d->np);
	vw_nl_close(&d->nl);
	store_close(d->store);
	vwired_config_free(d->cfg);
	free(d);
}
