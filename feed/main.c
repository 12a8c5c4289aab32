// SPDX-License-Identifier: Apache-2.0
/*
 * vpcwire-feed: what vpcwired reads in policy_dir, kept as the cluster's API server has it. A program of its own, so that the daemon has no way
 * to the API server and this one none to the kernel: it needs a folder to write to, and to list and watch what kinds.c names.
 */
#include "feed/folder.h"
#include "feed/http.h"
#include "feed/kinds.h"
#include "feed/watch.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/rpc/feed_state.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define MAX_KINDS 32
#define IDLE_MS 60000

static const char usage[] =
	"usage: vpcwire-feed [OPTIONS]\n\n"
	"Writes Kubernetes objects from the API server into files that vpcwired reads, and follows their changes.\n\n"
	"  --dir DIR          where to (/run/vpcwire/policy.d)\n"
	"  --server URL       the API server (in a pod: the cluster's own)\n"
	"  --token-file FILE  service account's token (with --server: none, else " ACCOUNT "/token)\n"
	"  --ca-file FILE     who signs the server's certificate (likewise)\n"
	"  --kinds A,B,...    what to follow; --help-kinds lists all\n"
	"  --once             end when all has been listed\n"
	"  --wait SECONDS     with --once: end with status 1 when it has not by then\n"
	"  --probe WHAT       look at the one that runs: alive (it goes on), ready (it hears the API server too); status 1 and a sentence when not\n"
	"  --retry-ms N       first wait after a failure (1000)\n"
	"  --log-level LEVEL  error, warn, info, debug\n"
	"  --version, --help\n";

struct feed {
	struct feed_server server;
	struct feed_options opt;
	const struct feed_kind *kind[MAX_KINDS];
	struct feed_watch *watch[MAX_KINDS];
	size_t n;
	struct feed_http *http;
	bool once;
	uint64_t deadline_ms;   /* UINT64_MAX: none */
	struct vw_feed_state said;
	char url[300];
};

static int fail(const char *what)
{
	fprintf(stderr, "vpcwire-feed: %s\n", what);
	return 2;
}

static int list_kinds(void)
{
	size_t n;
	const struct feed_kind *k = feed_kinds(&n);

	for (size_t i = 0; i < n; i++)
		printf("%-30s %s %s%s\n", k[i].name, k[i].version, k[i].kind, k[i].by_default ? "" : " (not by default)");
	return 0;
}

/* @list: NULL = those by default */
static int choose(struct feed *f, const char *list, struct vw_err *err)
{
	size_t n, found;
	const struct feed_kind *k = feed_kinds(&n);

	for (size_t i = 0; !list && i < n; i++)
		if (k[i].by_default)
			f->kind[f->n++] = &k[i];
	while (list && *list) {
		size_t len = strcspn(list, ",");

		for (found = 0; found < n; found++)
			if (strlen(k[found].name) == len && !strncmp(k[found].name, list, len))
				break;
		if (found == n)
			return vw_err_set(err, EINVAL, 0, "--kinds has '%.*s', wanted what --help-kinds lists", (int)len, list);
		if (f->n == MAX_KINDS)
			return vw_err_set(err, EINVAL, 0, "--kinds has more than %d", MAX_KINDS);
		f->kind[f->n++] = &k[found];
		list += len + (list[len] == ',');
	}
	return f->n ? 0 : vw_err_set(err, EINVAL, 0, "--kinds names none, wanted what --help-kinds lists");
}

/* the cluster's own, as each pod is told of it */
static int find_server(struct feed *f, struct vw_err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	bool six = host && strchr(host, ':');

	if (f->server.url)
		return 0;
	if (!host || !port)
		return vw_err_set(err, EINVAL, 0, "this is no pod of a cluster (no KUBERNETES_SERVICE_HOST and _PORT): wanted --server");
	if (vw_fmt(f->url, sizeof(f->url), "https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port) < 0)
		return vw_err_set(err, EINVAL, 0, "KUBERNETES_SERVICE_HOST is too long");
	f->server.url = f->url;
	if (!f->server.token_file)
		f->server.token_file = ACCOUNT "/token";
	if (!f->server.ca_file)
		f->server.ca_file = ACCOUNT "/ca.crt";
	return 0;
}

static int start(struct feed *f, struct vw_err *err)
{
	int r = vw_mkdir_p(f->opt.dir, 0755, err);

	if (r < 0)
		return r;
	vw_tidy_temps(f->opt.dir, NULL);
	if (feed_http_init_process() < 0)
		return vw_err_set(err, ENOMEM, 0, "starting libcurl");
	r = feed_http_new(&f->server, &f->http, err);
	for (size_t i = 0; r == 0 && i < f->n; i++)
		r = feed_watch_new(f->kind[i], &f->opt, f->http, &f->watch[i], err);
	return r;
}

static bool all_listed(const struct feed *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!feed_watch_listed(f->watch[i]))
			return false;
	return true;
}

/* what is known of the API server, for the daemon and for probes; -> when it is due again */
static uint64_t tell(struct feed *f)
{
	struct vw_feed_state st = { .written_ms = vw_mono_ms(), .heard_ms = UINT64_MAX, .listed = all_listed(f) };
	uint64_t due = f->said.written_ms + VW_FEED_STATE_EVERY_MS;
	struct vw_err err;

	for (size_t i = 0; i < f->n; i++) {
		uint64_t heard = feed_watch_heard_ms(f->watch[i]);

		if (heard >= st.heard_ms)
			continue;
		st.heard_ms = heard;
		(void)VW_COPY(st.why, feed_watch_why(f->watch[i]));
	}
	if (f->said.written_ms && st.written_ms < due && st.listed == f->said.listed && !strcmp(st.why, f->said.why))
		return due;
	if (vw_feed_state_write(f->opt.dir, &st, &err) < 0)
		vw_warn("the feed's state cannot be written, retrying", "retry_ms=%d err=\"%s\"", VW_FEED_STATE_EVERY_MS, err.msg);
	f->said = st;
	return st.written_ms + VW_FEED_STATE_EVERY_MS;
}

/* returns with --once only, or when there is no memory */
static int follow(struct feed *f, struct vw_err *err)
{
	bool said = false;
	int r = 0;

	while (r == 0) {
		uint64_t now = vw_mono_ms(), next = f->deadline_ms < now + IDLE_MS ? f->deadline_ms : now + IDLE_MS;

		for (size_t i = 0; i < f->n; i++) {
			uint64_t due = feed_watch_step(f->watch[i], now);

			next = due < next ? due : next;
		}
		/* one that comes and goes leaves no state: it would look like one that has died */
		if (!f->once) {
			uint64_t due = tell(f);

			next = due < next ? due : next;
		}
		r = feed_http_wait(f->http, next > now ? (int)(next - now) : 0, err);
		if (r == 0 && !said && all_listed(f)) {
			vw_info("all is listed", "kinds=%zu dir=%s", f->n, f->opt.dir);
			said = true;
		}
		if (r == 0 && f->once && said)
			return 0;
		if (r == 0 && vw_mono_ms() >= f->deadline_ms)
			return vw_err_set(err, ETIMEDOUT, 0, "not all could be listed in time");
	}
	return r;
}

static int probe(const struct feed *f, const char *what)
{
	struct vw_feed_state st;
	uint64_t now = vw_mono_ms();
	bool ready = !strcmp(what, "ready");
	char why[320];
	struct vw_err err;

	if (!ready && strcmp(what, "alive"))
		return fail("--probe wants alive or ready");
	if (vw_feed_state_read(f->opt.dir, &st, &err) < 0)
		(void)VW_COPY(why, err.msg);
	else if (ready && vw_feed_runs(&st, now) && !st.listed)
		(void)!vw_fmt(why, sizeof(why), "not all is listed yet%s%s", *st.why ? ": " : "", st.why);
	else if (!(ready || !vw_feed_runs(&st, now)) || !vw_feed_explain(&st, now, why, sizeof(why)))
		return 0;
	fprintf(stderr, "vpcwire-feed: %s\n", why);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },     { "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' }, { "ca-file", required_argument, NULL, 'c' },
		{ "kinds", required_argument, NULL, 'k' },   { "help-kinds", no_argument, NULL, 'K' },
		{ "once", no_argument, NULL, 'o' },          { "wait", required_argument, NULL, 'w' },
		{ "probe", required_argument, NULL, 'p' },
		{ "retry-ms", required_argument, NULL, 'r' }, { "log-level", required_argument, NULL, 'l' },
		{ "version", no_argument, NULL, 'v' },       { "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct feed f = { .opt = { .dir = "/run/vpcwire/policy.d", .retry_ms = 1000 }, .deadline_ms = UINT64_MAX };
	const char *kinds = NULL, *probed = NULL;
	enum vw_log_level level;
	struct vw_err err;
	uint64_t wait_s = 0;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			f.opt.dir = optarg;
			break;
		case 's':
			f.server.url = optarg;
			break;
		case 't':
			f.server.token_file = optarg;
			break;
		case 'c':
			f.server.ca_file = optarg;
			break;
		case 'k':
			kinds = optarg;
			break;
		case 'K':
			return list_kinds();
		case 'o':
			f.once = true;
			break;
		case 'w':
			if (vw_parse_u64(optarg, 1, 86400, &wait_s) < 0)
				return fail("--wait wants seconds, 1 to 86400");
			break;
		case 'p':
			probed = optarg;
			break;
		case 'r':
			if (vw_parse_u64(optarg, 1, 600000, &f.opt.retry_ms) < 0)
				return fail("--retry-ms wants milliseconds, 1 to 600000");
			break;
		case 'l':
			if (vw_log_level_parse(optarg, &level) < 0)
				return fail("--log-level wants error, warn, info or debug");
			vw_log_level_set(level);
			break;
		case 'v':
			printf("vpcwire-feed %s\n", VW_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || (wait_s && !f.once))
		return fail(optind < argc ? "no arguments are wanted, only options" : "--wait needs --once");
	if (probed)
		return probe(&f, probed);
	if (choose(&f, kinds, &err) < 0 || find_server(&f, &err) < 0)
		return fail(err.msg);
	if (wait_s)
		f.deadline_ms = vw_mono_ms() + wait_s * 1000;
	srandom((unsigned int)(vw_mono_ms() ^ (uint64_t)getpid()));
	r = start(&f, &err);
	if (r == 0)
		r = follow(&f, &err);
	if (r < 0)
		vw_error("vpcwire-feed ends", "err=\"%s\"", err.msg);
	feed_http_free(f.http);
	for (size_t i = 0; i < f.n; i++)
		feed_watch_free(f.watch[i]);
	return r < 0 ? 1 : 0;
}
