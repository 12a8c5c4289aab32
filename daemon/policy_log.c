/*
 * The verdict log: events of the programs, as JSON lines. What an event has as numbers (slot, rule, address) is named by the
 * attachments and by the image in force; a rule's id is not given to another rule while there are unused ones, so an event
 * from just before a switch is named rightly as well.
 */
#include "daemon/daemon.h"
#include "daemon/denied.h"
#include "daemon/loop.h"
#include "daemon/policy_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_events.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX_BYTES (16 * 1024 * 1024)
#define WHO_MAX 320
#define QNAME_MAX 256

/** struct policy_log - @suppressed: what each slot's counter was at its last event. @bytes: of the file. */
struct policy_log {
	char path[VW_PATH_MAX];
	int fd;
	uint64_t bytes;
	struct policy_log_stats stats;
	uint32_t suppressed[NP_SLOTS];
};

/* --- the file */

static int log_open(struct policy_log *l, struct vw_err *err)
{
	struct stat st;

	l->fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return vw_err_sys(err, errno, 0, "opening policy_log '%s'", l->path);
	l->bytes = (uint64_t)st.st_size;
	return 0;
}

static void log_rotate(struct policy_log *l)
{
	char old[VW_PATH_MAX + 2];
	struct vw_err err;

	if (vw_fmt(old, sizeof(old), "%s.1", l->path) < 0 || rename(l->path, old) < 0)
		vw_warn("policy_log could not be renamed, it goes on growing", "err=\"%s\"", strerror(errno));
	vw_close_fd(&l->fd);
	if (log_open(l, &err) < 0)
		vw_error("verdicts are not logged any more", "err=\"%s\"", err.msg);
}

static void log_write(struct policy_log *l, struct vw_json *take_line)
{
	vw_auto_json struct vw_json *line = take_line;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	if (line && vw_json_print(line, 0, &b) == 0)
		vw_buf_putc(&b, '\n');
	/* one write a line, so that readers never see half of one */
	if (!b.len || vw_buf_err(&b) < 0 || l->fd < 0 || write(l->fd, vw_buf_str(&b), b.len) != (ssize_t)b.len) {
		l->stats.lost++;
		return;
	}
	l->stats.written++;
	l->bytes += b.len;
	if (l->bytes >= LOG_MAX_BYTES)
		log_rotate(l);
}

/* --- names for numbers */

static const char *const tiers[] = { [NP_TIER_NONE] = "None", [NP_TIER_ADMIN] = "Admin", [NP_TIER_NETWORKPOLICY] = "NetworkPolicy",
				     [NP_TIER_BASELINE] = "Baseline", [NP_TIER_DEFAULT] = "Default" };

const char *policy_tier_name(unsigned int tier)
{
	return tier < VW_ARRAY_SIZE(tiers) ? tiers[tier] : "";
}

void policy_proto_name(uint8_t proto, char ret[POLICY_PROTO_LEN])
{
	static const struct {
		uint8_t proto;
		const char *name;
	} known[] = { { IPPROTO_TCP, "TCP" }, { IPPROTO_UDP, "UDP" }, { IPPROTO_SCTP, "SCTP" },
		      { IPPROTO_ICMP, "ICMP" }, { IPPROTO_ICMPV6, "ICMPv6" } };

	for (size_t i = 0; i < VW_ARRAY_SIZE(known); i++)
		if (known[i].proto == proto) {
			(void)!vw_fmt(ret, POLICY_PROTO_LEN, "%s", known[i].name);
			return;
		}
	(void)!vw_fmt(ret, POLICY_PROTO_LEN, "%u", proto);
}

static void pod_name(const struct daemon *d, unsigned int slot, char ret[WHO_MAX])
{
	const struct attachment *a;

	ret[0] = 0;
	for (a = d->attach.by_key; a; a = a->hh.next)
		if (a->slot == slot && a->pod_name[0]) {
			(void)!vw_fmt(ret, WHO_MAX, "%s/%s", a->pod_namespace, a->pod_name);
			return;
		}
}

static struct vw_ip ip_of(uint8_t family, const uint8_t b[16])
{
	struct vw_ip ip = { .family = family == 4 ? AF_INET : AF_INET6 };

	memcpy(ip.b, b, family == 4 ? 4 : 16);
	return ip;
}

static const char *peer_name(const struct policy *p, const struct vw_ip *ip)
{
	const struct np_peer *peer = p->image ? np_image_find_peer(p->image, ip) : NULL;

	return peer && peer->who && *peer->who ? peer->who : NULL;
}

/* wire format -> "www.example.com" */
static void qname_text(const uint8_t *q, size_t len, char ret[QNAME_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < len && q[i] && i + q[i] < len && n + q[i] + 2 < QNAME_MAX; i += 1u + q[i]) {
		if (n)
			ret[n++] = '.';
		memcpy(ret + n, q + i + 1, q[i]);
		n += q[i];
	}
	ret[n] = 0;
}

/* the program's clock -> the calendar's */
static void time_text(uint64_t mono_ns, char ret[40])
{
	struct timespec mono, real;
	int64_t ns;
	time_t s;
	struct tm tm;

	(void)clock_gettime(CLOCK_MONOTONIC, &mono);
	(void)clock_gettime(CLOCK_REALTIME, &real);
	ns = (int64_t)real.tv_sec * 1000000000 + real.tv_nsec - ((int64_t)mono.tv_sec * 1000000000 + mono.tv_nsec) + (int64_t)mono_ns;
	s = (time_t)(ns / 1000000000);
	if (!gmtime_r(&s, &tm) ||
	    vw_fmt(ret, 40, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		   tm.tm_sec, (int)(ns % 1000000000 / 1000)) < 0)
		ret[0] = 0;
}

static uint32_t newly_suppressed(struct policy_log *l, unsigned int slot, uint32_t now)
{
	uint32_t n = now - l->suppressed[slot];

	l->suppressed[slot] = now;
	return n;
}

/* --- events */

static int put_rule(struct vw_json *j, const struct policy *p, const struct np_event *e)
{
	uint32_t id = NP_VERDICT_ARG(e->verdict);
	const struct np_rule *r = p->image && id < p->image->n_rule && p->image->rule[id].key ? &p->image->rule[id] : NULL;
	char why[1024];
	int failed = 0;

	if (!id || !r)
		return vw_json_set_str(j, "tier", policy_tier_name(NP_TIER_DEFAULT)) |
		       vw_json_set_str(j, "reason", id ? "a rule of a policy that is gone" : "no policy selects the pod");
	failed |= vw_json_set_str(j, "tier", policy_tier_name(r->tier));
	failed |= vw_json_set_str(j, "kind", r->kind);
	failed |= vw_json_set_str(j, "policy", r->policy);
	failed |= vw_json_set_str(j, "rule", *r->path ? r->path : NULL);
	failed |= vw_json_set_str(j, "rule_name", *r->name ? r->name : NULL);
	if (!*r->path && NP_VERDICT_ACTION(e->verdict) == NP_DENY &&
	    vw_fmt(why, sizeof(why), "no rule matches; isolated by %s", r->policy) > 0)
		failed |= vw_json_set_str(j, "reason", why);
	return failed;
}

static void on_verdict(void *arg, const struct np_event *e)
{
	struct policy *p = arg;
	const struct vw_ip pod = ip_of(e->family, e->ip_pod), peer = ip_of(e->family, e->ip_peer);
	bool denied = NP_VERDICT_ACTION(e->verdict) == NP_DENY, out = e->dir == NP_EGRESS, ports;
	uint32_t suppressed = newly_suppressed(p->log, e->slot, e->suppressed);
	char when[40], proto[POLICY_PROTO_LEN], pod_text[VW_IP_STRLEN], peer_text[VW_IP_STRLEN], who[WHO_MAX];
	struct vw_json *j = vw_json_new_object();
	int failed = 0;

	policy_flows_denied(p, e, suppressed);
	if (denied)
		p->log->stats.denied++;
	else
		p->log->stats.allowed++;
	time_text(e->ns, when);
	policy_proto_name(e->proto, proto);
	pod_name(p->d, e->slot, who);
	ports = e->proto == IPPROTO_TCP || e->proto == IPPROTO_UDP || e->proto == IPPROTO_SCTP;
	failed |= vw_json_set_str(j, "ts", when);
	failed |= vw_json_set_str(j, "verdict", denied ? (e->flags & NP_EVENT_AUDIT ? "AUDIT" : "DENY") : "ALLOW");
	failed |= vw_json_set_str(j, "dir", out ? "egress" : "ingress");
	failed |= vw_json_set_str(j, "pod", *who ? who : NULL);
	failed |= vw_json_set_str(j, "peer", peer_name(p, &peer));
	failed |= vw_json_set_str(j, "proto", proto);
	failed |= vw_json_set_str(j, "src", vw_ip_str(out ? &pod : &peer, out ? pod_text : peer_text));
	failed |= vw_json_set_str(j, "dst", vw_ip_str(out ? &peer : &pod, out ? peer_text : pod_text));
	if (ports) {
		failed |= vw_json_set_int(j, "sport", ntohs(out ? e->port_pod : e->port_peer));
		failed |= vw_json_set_int(j, "dport", ntohs(out ? e->port_peer : e->port_pod));
	}
	failed |= vw_json_set_int(j, "bytes", e->len);
	failed |= put_rule(j, p, e);
	if (denied && e->reason < NP_DROP_MAX)
		failed |= vw_json_set_str(j, "drop", np_drop_name(e->reason));
	if (e->flags & NP_EVENT_POST_DNAT)
		failed |= vw_json_set_bool(j, "behind_service", true);
	if (suppressed)
		failed |= vw_json_set_int(j, "suppressed", suppressed);
	failed |= vw_json_set_int(j, "generation", (int64_t)p->generation);
	if (denied && !failed)
		denied_heard(p->d, j);
	if (failed) {
		vw_json_free(j);
		j = NULL;
	}
	log_write(p->log, j);
}

static void on_dns(void *arg, const struct np_event_dns *e)
{
	struct policy *p = arg;
	const struct vw_ip resolver = ip_of(e->family, e->ip_resolver);
	uint32_t suppressed = newly_suppressed(p->log, e->slot, e->suppressed);
	char when[40], name[QNAME_MAX], ip[VW_IP_STRLEN], who[WHO_MAX];
	struct vw_json *j = vw_json_new_object();
	int failed = 0;

	time_text(e->ns, when);
	qname_text(e->qname, e->qlen, name);
	pod_name(p->d, e->slot, who);
	failed |= vw_json_set_str(j, "ts", when);
	failed |= vw_json_set_str(j, "verdict", "DNS");
	failed |= vw_json_set_str(j, "pod", *who ? who : NULL);
	failed |= vw_json_set_str(j, "resolver", vw_ip_str(&resolver, ip));
	failed |= vw_json_set_str(j, "name", name);
	failed |= vw_json_set_str(j, "outcome", np_stat_name(e->what));
	failed |= vw_json_set_int(j, "addresses", e->n_addr);
	if (suppressed)
		failed |= vw_json_set_int(j, "suppressed", suppressed);
	if (failed) {
		vw_json_free(j);
		j = NULL;
	}
	log_write(p->log, j);
}

static void on_events(void *arg)
{
	struct policy *p = arg;

	(void)np_events_read(p->events);
}

/* --- life */

int policy_log_new(struct policy *p, struct vw_err *err)
{
	static const struct np_events_ops ops = { .verdict = on_verdict, .dns = on_dns };
	const struct vwired_config *cfg = p->d->cfg;
	struct policy_log *l = calloc(1, sizeof(*l));
	const struct np_rt *rt = np_map_mem(p->d->np, NP_M_RT);
	int r;

	if (!l)
		return vw_err_set(err, ENOMEM, 0, "no memory for the verdict log");
	p->log = l;
	l->fd = -EBADF;
	for (unsigned int s = 0; s < NP_SLOTS; s++)
		l->suppressed[s] = rt[s].suppressed;
	if ((cfg->policy_log[0] ? vw_fmt(l->path, sizeof(l->path), "%s", cfg->policy_log)
				: vw_fmt(l->path, sizeof(l->path), "%s/policy.jsonl", cfg->run_dir)) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the path of policy_log is too long");
	if (log_open(l, err) < 0)
		return -err->eno;
	r = np_events_new(np_map_fd(p->d->np, NP_M_EVENTS), &ops, p, &p->events, err);
	if (r < 0)
		return r;
	if (loop_fd_watch(p->d->loop, np_events_fd(p->events), on_events, p, &p->events_watch) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory to watch the policy events");
	return 0;
}

void policy_log_free(struct policy *p)
{
	p->events = np_events_free(p->events);
	if (p->log)
		vw_close_fd(&p->log->fd);
	free(p->log);
	p->log = NULL;
}

struct policy_log_stats policy_log_stats(const struct policy *p)
{
	return p->log ? p->log->stats : (struct policy_log_stats){ 0 };
}
