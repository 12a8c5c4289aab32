/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane put together: world, service, endpoints, control socket. */
#include "sim/cloud.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/config.h"
#include "sim/control.h"
#include "sim/control_cmds.h"
#include "sim/http.h"
#include "sim/imds.h"
#include "sim/service.h"

struct endpoint {
	TAILQ_ENTRY(endpoint) link;
	struct sim_cloud *c;
	enum sim_endpoint kind;
	struct sim_instance *imds_of;
	struct sim_http *http;
};

TAILQ_HEAD(endpoints, endpoint);

struct sim_cloud {
	struct sim_loop *loop;
	struct sim_service s;
	struct endpoints endpoints;
	struct sim_control *ctl;
};

int sim_cloud_new(struct sim_loop *loop, const struct vw_json *config, struct sim_cloud **ret_cloud,
		  struct vw_err *err)
{
	struct sim_cloud *c = calloc(1, sizeof(*c));
	const struct sim_ctl_cmd *cmds;
	size_t n;
	int r;

	if (!c)
		return vw_err_sys(err, ENOMEM, 0, "making the cloud");
	c->loop = loop;
	TAILQ_INIT(&c->endpoints);
	TAILQ_INIT(&c->s.tokens);
	TAILQ_INIT(&c->s.web_ids);
	sim_faults_init(&c->s.faults);
	r = sim_world_new(loop, &c->s.w);
	sim_creds_init(&c->s.creds, c->s.w);
	if (r == 0)
		r = sim_imds_new(c->s.w, &c->s.imds);
	if (r == 0)
		r = sim_control_new(loop, &c->ctl);
	if (r < 0) {
		vw_err_sys(err, r, 0, "making the cloud");
	} else {
		cmds = sim_control_cmds(&n);
		r = sim_control_add(c->ctl, cmds, n, &c->s);
		r = r < 0 ? vw_err_sys(err, r, 0, "making the cloud") : sim_config_apply(&c->s, config, err);
	}
	if (r < 0) {
		sim_cloud_free(c);
		return r;
	}
	*ret_cloud = c;
	return 0;
}

void sim_cloud_free(struct sim_cloud *c)
{
	struct endpoint *e;
	struct sim_token *t;
	struct sim_web_id *w;

	if (!c)
		return;
	while ((e = TAILQ_FIRST(&c->endpoints))) {
		TAILQ_REMOVE(&c->endpoints, e, link);
		sim_http_free(e->http);
		free(e);
	}
	sim_control_free(c->ctl);
	sim_imds_free(c->s.imds);
	while ((t = TAILQ_FIRST(&c->s.tokens))) {
		TAILQ_REMOVE(&c->s.tokens, t, link);
		free(t);
	}
	while ((w = TAILQ_FIRST(&c->s.web_ids))) {
		TAILQ_REMOVE(&c->s.web_ids, w, link);
		free(w->token);
		free(w);
	}
	sim_faults_done(&c->s.faults);
	sim_creds_done(&c->s.creds);
	sim_world_free(c->s.w);
	free(c);
}

struct sim_world *sim_cloud_world(struct sim_cloud *c)
{
	return c->s.w;
}

/* By the cloud's clock, not the machine's: clients find out from it that theirs is wrong. */
static void add_date(struct sim_service *s, struct sim_http_resp *resp)
{
	struct sim_http_header *h = &resp->headers[resp->n_headers];
	time_t t = (time_t)sim_now(s->w);
	struct tm tm;

	if (resp->n_headers == VW_ARRAY_SIZE(resp->headers) || !gmtime_r(&t, &tm) ||
	    !strftime(h->value, sizeof(h->value), "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return;
	h->name = "Date";
	resp->n_headers++;
}

static void dispatch(void *arg, const struct sim_http_req *req, struct sim_http_resp *resp)
{
	struct endpoint *e = arg;
	struct sim_service *s = &e->c->s;

	switch (e->kind) {
	case SIM_EP_EC2:
		sim_ec2_handle(s, req, resp);
		break;
	case SIM_EP_STS:
		sim_sts_handle(s, req, resp);
		break;
	case SIM_EP_CREDS:
		sim_ccreds_handle(s, req, resp);
		break;
	case SIM_EP_IMDS:
		sim_imds_handle(s, e->imds_of ? e->imds_of : sim_instance_by_addr(s->w, &req->peer), req,
				resp);
		break;
	}
	add_date(s, resp);
}

int sim_cloud_listen(struct sim_cloud *c, enum sim_endpoint ep, int take_fd, struct sim_instance *imds_of,
		     struct vw_err *err)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	int r;

	if (!e) {
		vw_close_fd(&take_fd);
		return vw_err_sys(err, ENOMEM, 0, "opening an endpoint");
	}
	e->c = c;
	e->kind = ep;
	e->imds_of = imds_of;
	r = sim_http_new(c->loop, take_fd, dispatch, e, &e->http);
	if (r < 0) {
		free(e);
		return vw_err_sys(err, r, 0, "opening an endpoint");
	}
	TAILQ_INSERT_TAIL(&c->endpoints, e, link);
	return 0;
}

/* "a.b.c.d:port", "[x::y]:port" */
static int parse_addr(const char *text, struct vw_ip *ret_ip, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	char host[VW_IP_STRLEN];
	bool brackets = text[0] == '[';
	uint64_t port;

	if (!colon || vw_parse_u64(colon + 1, 0, 65535, &port) < 0)
		return -EINVAL;
	if (vw_fmt(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * brackets, text + brackets) < 0 ||
	    (brackets && colon[-1] != ']') || vw_ip_parse(host, ret_ip) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int sim_listen_tcp(const char *addr_port, int *ret_fd, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct vw_ip ip;
	uint16_t port;
	int one = 1, r;

	if (parse_addr(addr_port, &ip, &port) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is not ADDRESS:PORT", addr_port);
	fd = socket(ip.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return vw_err_sys(err, errno, 0, "making a socket for '%s'", addr_port);
	memcpy(&a4.sin_addr, ip.b, 4);
	memcpy(&a6.sin6_addr, ip.b, 16);
	a4.sin_port = a6.sin6_port = htons(port);
	r = ip.family == AF_INET ? bind(fd, (const struct sockaddr *)&a4, sizeof(a4))
				 : bind(fd, (const struct sockaddr *)&a6, sizeof(a6));
	if (r < 0 || listen(fd, 128) < 0)
		return vw_err_sys(err, errno, 0, "listening on '%s'", addr_port);
	*ret_fd = VW_TAKE_FD(fd);
	return 0;
}

unsigned int sim_listen_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET ? ((const struct sockaddr_in *)(const void *)&sa)->sin_port
					     : ((const struct sockaddr_in6 *)(const void *)&sa)->sin6_port);
}

int sim_cloud_control(struct sim_cloud *c, const char *path, struct vw_err *err)
{
	return sim_control_listen(c->ctl, path, err);
}

int sim_cloud_commands(struct sim_cloud *c, const struct sim_ctl_cmd *cmds, size_t n, void *arg)
{
	return sim_control_add(c->ctl, cmds, n, arg);
}
