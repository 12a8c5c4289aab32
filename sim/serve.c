/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `vpcwire-sim serve`: the control plane alone, on ordinary sockets; needs no rights. When everything
 * listens, one JSON line with the endpoints goes to stdout. SIGINT and SIGTERM end it; so does the parent's
 * death with --tied.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cloud.h"
#include "sim/cmd.h"
#include "sim/loop.h"
#include "sim/model.h"

#define MAX_CONFIG (4 * 1024 * 1024)

struct serve {
	const char *config, *listen, *control;
	bool tied;
	struct sim_loop *loop;
	struct sim_cloud *cloud;
	struct vw_json *urls;       /* of the endpoints that are there once */
	struct vw_json *imds, *ids; /* by name of instance: URL, id */
	char host[64];              /* listening address without the port */
	int sigfd;
};

static int usage(FILE *f, int status)
{
	fputs("Usage: vpcwire-sim serve [--config FILE] [--listen ADDR:PORT] [--control SOCKET] [--tied]\n"
	      "EC2, STS, container credentials and, on a port for each instance, IMDS; no root needed.\n"
	      "  --config FILE       the VPC, its instances and credentials (docs/SIM.md)\n"
	      "  --listen ADDR:PORT  of EC2 (default 127.0.0.1:0 = any port); the others take any port of ADDR\n"
	      "  --control SOCKET    control socket for `vpcwire-sim ctl`\n"
	      "  --tied              end when the parent process ends\n",
	      f);
	return status;
}

/* Listen on host:port and note "http://host:port<path>" under @name in @into. */
static int open_endpoint(struct serve *s, enum sim_endpoint ep, const char *addr, struct sim_instance *inst,
			 const char *name, const char *path, struct vw_json *into, struct vw_err *err)
{
	char url[160];
	unsigned int port;
	int fd = -EBADF, r = sim_listen_tcp(addr, &fd, err);

	if (r < 0)
		return r;
	port = sim_listen_port(fd);
	r = sim_cloud_listen(s->cloud, ep, fd, inst, err);
	if (r < 0)
		return r;
	if (vw_fmt(url, sizeof(url), "http://%s:%u%s", s->host, port, path) < 0 ||
	    vw_json_set_str(into, name, url) < 0)
		return vw_err_sys(err, ENOMEM, 0, "listing the endpoints");
	return 0;
}

/* An IMDS port for every instance that has none yet. */
static int open_instances(struct serve *s, struct vw_err *err)
{
	struct sim_world *w = sim_cloud_world(s->cloud);
	struct sim_instance *i;
	char any[80];
	int r = 0;

	if (vw_fmt(any, sizeof(any), "%s:0", s->host) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is too long", s->listen);
	TAILQ_FOREACH(i, &w->instances, link) {
		if (r < 0 || vw_json_get(s->imds, i->name))
			continue;
		r = open_endpoint(s, SIM_EP_IMDS, any, i, i->name, "", s->imds, err);
		if (r == 0 && vw_json_set_str(s->ids, i->name, i->id) < 0)
			r = vw_err_sys(err, ENOMEM, 0, "listing the instances");
	}
	return r;
}

static int open_all(struct serve *s, struct vw_err *err)
{
	const char *colon = strrchr(s->listen, ':');
	char any[80];
	int r;

	if (vw_fmt(s->host, sizeof(s->host), "%.*s", (int)(colon - s->listen), s->listen) < 0 ||
	    vw_fmt(any, sizeof(any), "%s:0", s->host) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is not ADDRESS:PORT", s->listen);
	r = open_endpoint(s, SIM_EP_EC2, s->listen, NULL, "ec2", "", s->urls, err);
	if (r == 0)
		r = open_endpoint(s, SIM_EP_STS, any, NULL, "sts", "", s->urls, err);
	if (r == 0)
		r = open_endpoint(s, SIM_EP_CREDS, any, NULL, "credentials", "/v1/credentials", s->urls, err);
	return r == 0 ? open_instances(s, err) : r;
}

/* The endpoints, as members of @into. */
static int list_endpoints(const struct serve *s, struct vw_json *into, struct vw_err *err)
{
	static const char *const once[] = { "ec2", "sts", "credentials" };
	size_t i;
	int r = 0;

	for (i = 0; i < VW_ARRAY_SIZE(once); i++)
		r |= vw_json_set(into, once[i], vw_json_copy(vw_json_get(s->urls, once[i])));
	r |= vw_json_set(into, "imds", vw_json_copy(s->imds));
	r |= vw_json_set(into, "instances", vw_json_copy(s->ids));
	r |= vw_json_set_str(into, "region", sim_cloud_world(s->cloud)->region);
	r |= vw_json_set_str(into, "control", s->control);
	return r ? vw_err_sys(err, ENOMEM, 0, "listing the endpoints") : 0;
}

static int do_endpoints(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	int r = open_instances(arg, err);

	return r < 0 ? r : list_endpoints(arg, reply, err);
}

static const struct sim_ctl_cmd commands[] = {
	{ "endpoints", do_endpoints, "" },
};

static void on_signal(void *arg, uint32_t events)
{
	struct serve *s = arg;

	sim_loop_stop(s->loop);
}

static int catch_signals(struct serve *s, struct vw_err *err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    (s->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return vw_err_sys(err, errno, 0, "catching signals");
	r = sim_loop_watch(s->loop, s->sigfd, EPOLLIN, on_signal, s);
	return r < 0 ? vw_err_sys(err, r, 0, "catching signals") : 0;
}

static int read_config(const char *path, struct vw_json **ret_config, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int r;

	if (!path)
		return 0;
	r = vw_read_file(path, MAX_CONFIG, &text, err);
	return r < 0 ? r : vw_json_parse(vw_buf_str(&text), text.len, NULL, path, ret_config, err);
}

static int print_ready(const struct serve *s, struct vw_err *err)
{
	vw_auto_json struct vw_json *all = vw_json_new_object();
	vw_auto_buf struct vw_buf line = VW_BUF_INIT;
	int r = list_endpoints(s, all, err);

	if (r < 0)
		return r;
	if (vw_json_print(all, 0, &line) < 0)
		return vw_err_sys(err, ENOMEM, 0, "listing the endpoints");
	puts(vw_buf_str(&line));
	return fflush(stdout) == 0 ? 0 : vw_err_sys(err, errno, 0, "writing to stdout");
}

static int serve(struct serve *s, struct vw_err *err)
{
	vw_auto_json struct vw_json *config = NULL;
	int r = read_config(s->config, &config, err);

	if (r < 0)
		return r;
	r = sim_loop_new(&s->loop);
	s->urls = vw_json_new_object();
	s->imds = vw_json_new_object();
	s->ids = vw_json_new_object();
	if (r < 0 || !s->urls || !s->imds || !s->ids)
		return vw_err_sys(err, ENOMEM, 0, "starting");
	r = catch_signals(s, err);
	if (r == 0)
		r = sim_cloud_new(s->loop, config, &s->cloud, err);
	if (r == 0)
		r = open_all(s, err);
	if (r == 0 && sim_cloud_commands(s->cloud, commands, VW_ARRAY_SIZE(commands), s) < 0)
		r = vw_err_sys(err, ENOMEM, 0, "starting");
	if (r == 0 && s->control)
		r = sim_cloud_control(s->cloud, s->control, err);
	if (r == 0)
		r = print_ready(s, err);
	if (r < 0)
		return r;
	r = sim_loop_run(s->loop);
	return r < 0 ? vw_err_sys(err, r, 0, "running the event loop") : 0;
}

static int options(struct serve *s, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },  { "listen", required_argument, NULL, 'l' },
		{ "control", required_argument, NULL, 'x' }, { "tied", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },          { 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (o) {
		case 'c':
			s->config = optarg;
			break;
		case 'l':
			s->listen = optarg;
			break;
		case 'x':
			s->control = optarg;
			break;
		case 't':
			s->tied = true;
			break;
		case 'h':
			return usage(stdout, 1);
		default:
			return usage(stderr, -1);
		}
	}
	return optind == argc && strchr(s->listen, ':') ? 0 : usage(stderr, -1);
}

int sim_cmd_serve(int argc, char **argv)
{
	struct serve s = { .listen = "127.0.0.1:0", .sigfd = -EBADF };
	struct vw_err err = { 0 };
	int r = options(&s, argc, argv);

	if (r)
		return r < 0 ? 2 : 0;
	if (s.tied && prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return 1;
	r = serve(&s, &err);
	sim_cloud_free(s.cloud);
	vw_json_free(s.urls);
	vw_json_free(s.imds);
	vw_json_free(s.ids);
	sim_loop_free(s.loop);
	vw_close_fd(&s.sigfd);
	if (r < 0)
		fprintf(stderr, "vpcwire-sim: %s\n", err.msg);
	return r < 0 ? 1 : 0;
}
