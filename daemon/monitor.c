/* From the kernel's events to those who hear of them: see the table below. */
#include "daemon/monitor.h"

#include "daemon/daemon.h"
#include "daemon/drift.h"
#include "daemon/eni_watch.h"
#include "daemon/hostnet.h"
#include "daemon/loop.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/net/view/nft.h"
#include "lib/net/view/view.h"
#include "lib/rpc/rpc.h"

#include <stdlib.h>

/* who hears of what, in this order */
static const struct {
	enum vw_event_kind kind;
	void (*fn)(struct daemon *d, const struct vw_event *ev);
} hearers[] = {
	{ VW_EVENT_LINK, eni_watch },
	{ VW_EVENT_LOST, eni_watch },
	{ VW_EVENT_LINK, drift_heard },
	{ VW_EVENT_ADDR, drift_heard },
	{ VW_EVENT_ROUTE, drift_heard },
	{ VW_EVENT_RULE, drift_heard },
	{ VW_EVENT_TC, drift_heard },
	{ VW_EVENT_SYSCTL, drift_heard },
	{ VW_EVENT_LOST, drift_heard },
};

struct monitor {
	struct daemon *d;
	struct vw_monitor *vw;
	struct loop_fd *watch;
	struct vw_nft_watch *nft;
	struct loop_fd *nft_watch;
};

static void on_event(const struct vw_event *ev, void *arg)
{
	struct monitor *m = arg;

	for (size_t i = 0; i < VW_ARRAY_SIZE(hearers); i++)
		if (hearers[i].kind == ev->kind)
			hearers[i].fn(m->d, ev);
}

static void on_readable(void *arg)
{
	struct monitor *m = arg;
	struct vw_err err;

	/* bounded; what is left makes the socket readable again at once */
	if (vw_monitor_read(m->vw, &err) >= 0)
		return;
	vw_error("changes in the kernel are not heard of any more", "err=\"%s\"", err.msg);
	loop_fd_unwatch(m->watch);
	m->watch = NULL;
}

static void on_nft(void *arg)
{
	struct monitor *m = arg;
	char by[VW_NFT_BY_LEN];
	struct vw_err err;
	int r;

	while ((r = vw_nft_watch_read(m->nft, by, &err)) > 0)
		drift_heard_nft(m->d, by);
	if (r == 0)
		return;
	vw_error("changes of nftables are not heard of any more", "err=\"%s\"", err.msg);
	loop_fd_unwatch(m->nft_watch);
	m->nft_watch = NULL;
}

static int watch(struct monitor *m, int fd, void (*fn)(void *arg), struct loop_fd **ret, struct vw_err *err)
{
	return loop_fd_watch(m->d->loop, fd, fn, m, ret) < 0 ? vw_err_set(err, ENOMEM, 0, "no memory for a monitor of the kernel") : 0;
}

static int watch_nft(struct monitor *m, struct vw_err *err)
{
	int r = vw_nft_watch_new(&m->nft, err);

	return r < 0 ? r : watch(m, vw_nft_watch_fd(m->nft), on_nft, &m->nft_watch, err);
}

int monitor_new(struct daemon *d, struct monitor **ret_monitor, struct vw_err *err)
{
	struct vw_monitor_want want = {
		.links_below = VW_IFINDEX_BASE, .losses = true, .own = { d->nl.portid, hostnet_port(d->hostnet) },
		/* pods whose plugin is configured with another MTU are heard of more often than needed */
		.as_made = { .group = VW_GROUP_PODS, .dying = HOSTNET_GROUP_DYING, .mtu = d->cfg->pod_mtu, .mac = ATTACH_MAC_HEAD },
	};
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return vw_err_set(err, ENOMEM, 0, "no memory for a monitor of the kernel");
	m->d = d;
	for (size_t i = 0; i < VW_ARRAY_SIZE(hearers); i++)
		want.kinds |= VW_EVENT_BIT(hearers[i].kind);
	r = vw_monitor_new(&want, on_event, m, &m->vw, err);
	if (r == 0)
		r = watch(m, vw_monitor_fd(m->vw), on_readable, &m->watch, err);
	if (r == 0)
		r = watch_nft(m, err);
	if (r < 0) {
		monitor_free(m);
		return r;
	}
	*ret_monitor = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	loop_fd_unwatch(m->watch);
	loop_fd_unwatch(m->nft_watch);
	vw_nft_watch_free(m->nft);
	vw_monitor_free(m->vw);
	free(m);
}
