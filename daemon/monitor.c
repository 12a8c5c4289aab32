/* From the kernel's events to those who hear of them: see the table below. */
#include "daemon/monitor.h"

#include "daemon/daemon.h"
#include "daemon/eni_watch.h"
#include "daemon/loop.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
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
};

struct monitor {
	struct daemon *d;
	struct vw_monitor *vw;
	struct loop_fd *watch;
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

int monitor_new(struct daemon *d, struct monitor **ret_monitor, struct vw_err *err)
{
	struct vw_monitor_want want = { .links_below = VW_IFINDEX_BASE };
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return vw_err_set(err, ENOMEM, 0, "no memory for a monitor of the kernel");
	m->d = d;
	for (size_t i = 0; i < VW_ARRAY_SIZE(hearers); i++)
		want.kinds |= VW_EVENT_BIT(hearers[i].kind);
	r = vw_monitor_new(&want, on_event, m, &m->vw, err);
	if (r == 0 && loop_fd_watch(d->loop, vw_monitor_fd(m->vw), on_readable, m, &m->watch) < 0)
		r = vw_err_set(err, ENOMEM, 0, "no memory for a monitor of the kernel");
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
	vw_monitor_free(m->vw);
	free(m);
}
