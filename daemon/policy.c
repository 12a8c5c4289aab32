/*
 * The feed: folder -> world -> image -> maps.
 *
 * A change in the folder is looked at SETTLE_MS later, so that a file written in pieces is read once. What changed is taken
 * into the world file by file; then the image follows: by single map writes when only pods have changed and their classes are
 * there, else by compiling. After a switch a worker waits for the barrier (some 10 ms); changes that come meanwhile are
 * applied together when it is done.
 *
 * A file is refused when it does not parse or is not valid; also when the image that it leads to cannot be had (too many
 * classes, no room): then those that changed are tried by halves, and what cannot be had is taken back. What it
 * held before stays in force, over a restart too: policy_kept.c.
 */
#include "daemon/policy.h"

#include "daemon/daemon.h"
#include "daemon/loop.h"
#include "daemon/policy_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"
#include "lib/net/addr.h"
#include "netpolicy-bpf/user/np_events.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_world.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_MS 2
#define TIDY_MS 1000            /* after a pod went: one barrier for many */
#define PICKUP_S 30
#define NODE_IPS 256

bool policy_enabled(const struct daemon *d)
{
	return d->cfg->network_policy != CONFIG_POLICY_OFF;
}

/* --- what the compiler is told */

/* never leaves a host, or a link */
static bool stays_here(const struct vw_ip *ip)
{
	struct in6_addr in6;

	if (ip->family == AF_INET)
		return ip->b[0] == 127;
	memcpy(&in6, ip->b, sizeof(in6));
	return IN6_IS_ADDR_LINKLOCAL(&in6) || IN6_IS_ADDR_LOOPBACK(&in6);
}

/* addresses of this node itself, on all links */
static size_t node_ips(struct daemon *d, struct vw_ip ret[NODE_IPS])
{
	vw_auto_free struct vw_addr *all = NULL;
	struct vw_err err;
	size_t n = 0;
	int total = vw_addr_list(&d->nl, 0, 0, &all, &err);

	if (total < 0)
		vw_warn("the node's own addresses could not be listed, policies take them for strangers", "err=\"%s\"", err.msg);
	for (int i = 0; i < total && n < NODE_IPS; i++)
		if (!stays_here(&all[i].addr.ip))
			ret[n++] = all[i].addr.ip;
	return n;
}

/* docs/CONFIG.md, node_name. Return: valid until @host or the world changes */
static const char *own_node(const struct policy *p, char host[HOST_NAME_MAX + 1])
{
	host[0] = 0;
	(void)gethostname(host, HOST_NAME_MAX);
	host[HOST_NAME_MAX] = 0;
	return *p->d->cfg->node_name ? p->d->cfg->node_name : np_world_own_node(p->world, p->d->node.instance_id, host);
}

static struct np_local local_of(const struct attachment *a)
{
	return (struct np_local){
		.slot = a->slot, .ns = a->pod_namespace, .name = a->pod_name, .ip4 = a->addr, .ip6 = a->addr6,
	};
}

/* @extra: a pod whose ADD is under way, NULL = none */
static int locals(const struct daemon *d, const struct attachment *extra, struct np_local **ret, size_t *ret_n)
{
	struct np_local *v = calloc(d->attach.n + 1, sizeof(*v));
	struct attachment *a, *tmp;
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (!a->superseded)
			v[n++] = local_of(a);
	if (extra)
		v[n++] = local_of(extra);
	*ret = v;
	*ret_n = n;
	return 0;
}

int policy_compile(struct policy *p, const struct attachment *extra, struct np_image **ret, struct vw_err *err)
{
	vw_auto_free struct np_local *local = NULL;
	const struct vwired_config *cfg = p->d->cfg;
	struct vw_ip ips[NODE_IPS], resolvers[CONFIG_MAX_NETS];
	char host[HOST_NAME_MAX + 1];
	const struct np_compile_conf conf = {
		.node_name = own_node(p, host),
		.node_ip = ips,
		.n_node_ip = node_ips(p->d, ips),
		.service_cidr = cfg->service_cidrs.v,
		.n_service_cidr = cfg->service_cidrs.n,
		.resolver = resolvers,
		.n_resolver = cfg->dns_resolvers.n,
		.strict = cfg->network_policy == CONFIG_POLICY_STRICT,
	};
	size_t n;

	for (size_t i = 0; i < cfg->dns_resolvers.n; i++)
		resolvers[i] = cfg->dns_resolvers.v[i].ip;
	if (locals(p->d, extra, &local, &n) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for %u pods", p->d->attach.n);
	return np_compile(p->world, &conf, local, n, p->image, ret, err);
}

/* --- the barrier, and what waits for it */

static void apply(struct policy *p);
static void settle(struct policy *p);

static void settle_work(void *arg)
{
	struct policy *p = arg;

	p->settle_r = np_publish_wait(p->pub);
}

static void settle_done(void *arg)
{
	struct policy *p = arg;
	struct vw_err err;

	p->settling = false;
	if (p->d->stopping)
		return;
	if (p->generation != p->settling_generation) {
		/* an ADD could not wait and made another image: the barrier was for the one before */
		settle(p);
		return;
	}
	if (p->settle_r < 0 || np_publish_settle(p->pub, &err) < 0) {
		/* nothing is freed before it works; what is in force is in force */
		vw_error("policy could not be confirmed, retrying", "err=\"%s\"",
			 p->settle_r < 0 ? strerror(-p->settle_r) : err.msg);
	} else {
		p->applied = p->settling_generation;
		if (p->changed_ms)
			p->apply_ms = vw_mono_ms() - p->changed_ms;
		p->changed_ms = 0;
		vw_debug("policy applied", "generation=%llu dur_ms=%llu", (unsigned long long)p->applied,
			 (unsigned long long)p->apply_ms);
	}
	if (np_publish_unsettled(p->pub))
		loop_timer_set(p->tidy, TIDY_MS);
	if (p->again)
		apply(p);
}

static void settle(struct policy *p)
{
	p->settling = true;
	p->settling_generation = p->generation;
	if (loop_job(p->d->loop, settle_work, settle_done, p) < 0) {
		p->settling = false;
		vw_warn("no memory for a worker, confirming policy in the loop");
		settle_work(p);
		settle_done(p);
	}
}

/* addresses of pods that went: their places are free after the barrier */
static void on_tidy(void *arg)
{
	struct policy *p = arg;

	if (!p->settling && p->image && !p->d->stopping)
		settle(p);
}

/* --- an image */

static int publish(struct policy *p, struct np_image *take_img, struct vw_err *err)
{
	int r = np_publish_image(p->pub, take_img, err);

	if (r < 0) {
		np_image_free(take_img);
		return r;
	}
	np_image_free(p->image);
	p->image = take_img;
	p->generation++;
	p->failed = (struct vw_err){ 0 };
	return 0;
}

/** rebuild() - compile and publish. While a worker waits for the barrier of the last switch this waits for it, too. */
static int rebuild(struct policy *p, const struct attachment *extra, struct vw_err *err)
{
	struct np_image *img = NULL;
	struct np_changes all;
	int r = policy_compile(p, extra, &img, err);

	if (r == 0)
		r = publish(p, img, err);
	if (r < 0) {
		p->failed = *err;
		return r;
	}
	(void)np_world_changes(p->world, &all);
	return 0;
}

static struct attachment *local_by_name(const struct daemon *d, const char *ns, const char *name, struct attachment *after)
{
	struct attachment *a = after ? after->hh.next : d->attach.by_key;

	for (; a; a = a->hh.next)
		if (!a->superseded && !strcmp(a->pod_name, name) && !strcmp(a->pod_namespace, ns))
			return a;
	return NULL;
}

static int peer_changed(struct policy *p, const char *ns, const char *name, struct vw_err *err)
{
	struct np_peer_change change[NP_PEER_CHANGES];
	size_t n = 0;
	int r = np_image_add_peer(p->image, p->world, ns, name, change, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = np_publish_peer(p->pub, &change[i], err);
	if (r == 0 && n)
		np_publish_judge_again(p->pub);
	return r;
}

static int subject_changed(struct policy *p, const struct attachment *a, struct vw_err *err)
{
	const struct np_local local = local_of(a);
	unsigned int blob;
	int r = np_image_add_subject(p->image, p->world, &local, &blob, err);

	return r < 0 ? r : np_publish_subject(p->pub, a->slot, blob, err);
}

static int pods_changed(struct policy *p, const struct np_changes *ch, struct vw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ch->n_pod; i++) {
		struct attachment *a = NULL;

		while (r == 0 && (a = local_by_name(p->d, ch->pod[i].ns, ch->pod[i].name, a)))
			r = subject_changed(p, a, err);
		if (r == 0)
			r = peer_changed(p, ch->pod[i].ns, ch->pod[i].name, err);
	}
	return r;
}

/* --- the folder */

static void take_all(struct policy *p, struct policy_file **v, int n)
{
	struct vw_err err;

	for (int i = 0; i < n; i++) {
		if (policy_file_take(p, v[i], &err) < 0)
			policy_file_refuse(p, v[i], &err);
		else
			v[i]->why = (struct vw_err){ 0 };
	}
}

/** follow() - the image follows the world. */
static int follow(struct policy *p, struct vw_err *err)
{
	struct np_changes ch;
	int r;

	if (!np_world_changes(p->world, &ch) && p->image && !p->failed.eno)
		return 0;
	if (p->image && !ch.rules && !ch.many && !p->failed.eno) {
		r = pods_changed(p, &ch, err);
		if (r == 0)
			p->generation++;
		if (r != -EAGAIN && r != -ENOSPC)
			return r;
	}
	return rebuild(p, NULL, err);
}

/*
 * The files that changed do not go together with the rest: find those that do, half by half, so that one among a thousand is
 * found in ten steps. Those that did not parse are told of already.
 */
static void find_refused(struct policy *p, struct policy_file **v, int n)
{
	struct vw_err err;
	int r = 0;

	if (!n)
		return;
	if (np_world_save(p->world) < 0) {
		for (int i = 0; i < n; i++)
			policy_file_unread(p, v[i]);
		return;
	}
	for (int i = 0; r == 0 && i < n; i++)
		if (!v[i]->why.eno)
			r = policy_file_take(p, v[i], &err);
	if (r == 0)
		r = rebuild(p, NULL, &err);
	if (r == 0) {
		np_world_forget(p->world);
		return;
	}
	np_world_restore(p->world);
	if (n == 1) {
		policy_file_refuse(p, v[0], &err);
		return;
	}
	find_refused(p, v, n / 2);
	find_refused(p, v + n / 2, n - n / 2);
}

/* after the barrier was asked for, which takes longer */
static void keep(struct policy *p, struct policy_file **v, int n)
{
	for (int i = 0; i < n; i++) {
		if (!v[i]->why.eno)
			policy_kept_put(p, v[i], &v[i]->text);
		vw_buf_done(&v[i]->text);
	}
}

static void apply(struct policy *p)
{
	struct policy_file **changed = NULL;
	uint64_t before = p->generation;
	struct vw_err err;
	int n;

	p->again = false;
	n = policy_folder_look(p, &changed);
	if (n < 0) {
		vw_error("policy_dir cannot be read, retrying", "policy_dir=%s err=\"%s\"", p->watched, strerror(-n));
		loop_timer_set(p->scan, POLICY_RETRY_MS);
		free(changed);
		return;
	}
	if (!p->recalled)
		policy_kept_recall(p);
	p->recalled = true;
	policy_folder_drop_gone(p);           /* for good, whatever becomes of the others */
	if (np_world_save(p->world) < 0) {
		for (int i = 0; i < n; i++)
			policy_file_unread(p, changed[i]);
		free(changed);
		return;
	}
	take_all(p, changed, n);
	if (follow(p, &err) == 0) {
		np_world_forget(p->world);
	} else {
		vw_error("policy as the folder has it cannot be had; looking for the file", "err=\"%s\"", err.msg);
		np_world_restore(p->world);
		find_refused(p, changed, n);
		if (rebuild(p, NULL, &err) < 0) {
			vw_error("policy could not be made", "err=\"%s\"", err.msg);
			if (policy_will_pass(err.eno))
				loop_timer_set(p->scan, POLICY_RETRY_MS);
		}
	}
	if (p->generation != before)
		settle(p);
	else if (!p->settling)
		p->changed_ms = 0;
	keep(p, changed, n);
	free(changed);
}

static void on_scan(void *arg)
{
	struct policy *p = arg;

	if (p->settling)
		p->again = true;
	else
		apply(p);
}

static void on_folder(void *arg)
{
	struct policy *p = arg;

	if (!p->started || !policy_enabled(p->d))
		return;
	if (!p->changed_ms)
		p->changed_ms = vw_mono_ms();
	if (!loop_timer_active(p->scan))
		loop_timer_set(p->scan, SETTLE_MS);
}

static void on_say(void *arg)
{
	struct policy *p = arg;
	struct policy_file *f, *tmp;

	HASH_ITER(hh, p->files, f, tmp)
		if (f->why.eno && !f->said) {
			f->said = true;
			vw_error("a manifest is refused; what it held before stays in force", "err=\"%s\"", f->why.msg);
		}
}

/* --- pods */

int policy_admit(struct daemon *d, const struct attachment *a, struct vw_err *err)
{
	struct policy *p = d->policy;
	int r;

	if (!policy_enabled(d))
		return 0;
	r = p->image ? subject_changed(p, a, err) : -EAGAIN;
	if (r == 0)
		r = peer_changed(p, a->pod_namespace, a->pod_name, err);
	if (r == -EAGAIN || r == -ENOSPC) {
		/* a kind of pod, or of policy, that the image has not: all is compiled again, with this pod */
		r = rebuild(p, a, err);
		if (r == 0 && !p->settling)
			settle(p);
	}
	if (r < 0)
		return vw_err_wrap(err, "network policy of pod %s/%s", a->pod_namespace, a->pod_name);
	return 0;
}

void policy_dismiss(struct daemon *d, const struct attachment *a)
{
	struct policy *p = d->policy;
	struct vw_err err;

	/* at the daemon's end pods live on, under the policy that they have */
	if (d->stopping || !policy_enabled(d) || !p->image)
		return;
	policy_flows_gone(p, a);
	np_image_drop_subject(p->image, a->slot);
	if (a->pod_name[0] && peer_changed(p, a->pod_namespace, a->pod_name, &err) < 0 && !loop_timer_active(p->scan))
		loop_timer_set(p->scan, SETTLE_MS);
	if (np_publish_unsettled(p->pub) && !loop_timer_active(p->tidy))
		loop_timer_set(p->tidy, TIDY_MS);
}

/* --- settings */

static void write_conf(struct policy *p)
{
	struct np_conf *c = np_map_mem(p->d->np, NP_M_CONF);
	const struct vwired_config *cfg = p->d->cfg;
	uint32_t flags = (cfg->policy_audit ? NP_CONF_AUDIT : 0) | (cfg->policy_flows == CONFIG_FLOWS_KEEP ? NP_CONF_KEEP : 0) |
			 (cfg->policy_node_ip ? NP_CONF_NODE_IP : 0) | (cfg->policy_log_allow ? NP_CONF_LOG_ALLOW : 0);

	__atomic_store_n(&c->event_rate, cfg->policy_log_rate, __ATOMIC_RELAXED);
	__atomic_store_n(&c->event_burst, 2 * cfg->policy_log_rate, __ATOMIC_RELAXED);
	__atomic_store_n(&c->flags, flags, __ATOMIC_RELEASE);
}

static int watch(struct policy *p, struct vw_err *err)
{
	const char *dir = p->d->cfg->policy_dir;

	if (!strcmp(p->watched, dir))
		return 0;
	(void)VW_COPY(p->watched, dir);
	p->recalled = false;
	/* the folder may be filled by somebody who comes later */
	if (vw_mkdir_p(dir, 0755, err) < 0 || loop_dir_watch(p->d->loop, dir, on_folder, p, err) < 0)
		return vw_err_wrap(err, "watching policy_dir");
	return 0;
}

/* the compiler may have been told something else before */
static void anew(struct policy *p)
{
	struct vw_err err;

	if (rebuild(p, NULL, &err) < 0)
		vw_error("the former policy stays in force", "err=\"%s\"", err.msg);
	else if (!p->settling)
		settle(p);
}

void policy_config_changed(struct daemon *d, const struct vwired_config *old)
{
	struct policy *p = d->policy;
	struct vw_err err;

	if (!p->started)
		return;
	write_conf(p);
	policy_flows_tune(p);
	if (watch(p, &err) < 0)
		vw_error("policy_dir is not watched", "err=\"%s\"", err.msg);
	if (!policy_enabled(d)) {
		if (old->network_policy != CONFIG_POLICY_OFF) {
			np_publish_off(p->pub);
			p->image = np_image_free(p->image);
			vw_warn("network policy was switched off: pods are not judged");
		}
		return;
	}
	anew(p);        /* whatever it was */
	loop_timer_set(p->scan, SETTLE_MS);
}

void policy_instance_known(struct daemon *d)
{
	struct policy *p = d->policy;

	/* an image that was made before may take this node's Node for another's */
	if (p->started && policy_enabled(d) && !*d->cfg->node_name)
		anew(p);
}

/* --- life */

static int prepare(struct policy *p, struct vw_err *err)
{
	struct daemon *d = p->d;
	const struct np_pub_io io = np_publish_io(d->np);

	if (loop_timer_new(d->loop, on_scan, p, &p->scan) < 0 || loop_timer_new(d->loop, on_say, p, &p->say) < 0 ||
	    loop_timer_new(d->loop, on_tidy, p, &p->tidy) < 0 || !(p->world = np_world_new()))
		return vw_err_set(err, ENOMEM, 0, "no memory for network policy");
	if (policy_flows_new(p, err) < 0)
		return -err->eno;
	return np_publish_new(&io, &p->pub, err);
}

int policy_new(struct daemon *d, struct policy **ret, struct vw_err *err)
{
	struct policy *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return vw_err_set(err, ENOMEM, 0, "no memory for network policy");
	p->d = d;
	r = prepare(p, err);
	if (r < 0) {
		policy_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

/* pods that ran before this daemon, or before policy, have flows that no table knows */
static void pick_up(struct daemon *d)
{
	struct attachment *a, *tmp;
	struct vw_err err;

	HASH_ITER(hh, d->attach.by_key, a, tmp)
		if (!a->superseded)
			(void)np_slot_pickup(d->np, a->slot, PICKUP_S, &err);
}

int policy_start(struct daemon *d, struct vw_err *err)
{
	struct policy *p = d->policy;
	bool fresh = !np_map_kept(d->np, NP_M_CT);
	int r;

	p->started = true;
	write_conf(p);
	r = policy_log_new(p, err);
	if (r == 0)
		r = watch(p, err);
	if (r < 0)
		return r;
	policy_flows_start(p);
	if (!policy_enabled(d)) {
		np_publish_off(p->pub);
		return 0;
	}
	if (fresh)
		pick_up(d);
	apply(p);
	if (!p->image)
		return vw_err_set(err, p->failed.eno ? p->failed.eno : EINVAL, 0, "network policy: %s", p->failed.msg);
	return 0;
}

void policy_free(struct policy *p)
{
	struct policy_file *f, *tmp;

	if (!p)
		return;
	policy_flows_free(p);
	policy_log_free(p);
	if (p->world)
		HASH_ITER(hh, p->files, f, tmp)
			policy_file_drop(p, f);
	np_image_free(p->image);
	np_publish_free(p->pub);
	np_world_free(p->world);
	free(p);
}
