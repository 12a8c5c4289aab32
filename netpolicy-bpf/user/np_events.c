// SPDX-License-Identifier: Apache-2.0
/* The ring buffer's reader. What is in the ring is checked like any other foreign input. */
#include "netpolicy-bpf/user/np_events.h"

#include "lib/base/err.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct np_events {
	struct ring_buffer *ring;
	const struct np_events_ops *ops;
	void *arg;
	uint64_t strange;
};

static bool verdict_is_sane(const struct np_event *e, size_t size)
{
	return size == sizeof(*e) && e->slot < NP_SLOTS && e->dir < NP_DIRS && (e->family == 4 || e->family == 6) &&
	       NP_VERDICT_ACTION(e->verdict) <= NP_ALLOW;
}

static bool dns_is_sane(const struct np_event_dns *e, size_t size)
{
	return size == sizeof(*e) && e->slot < NP_SLOTS && (e->family == 4 || e->family == 6) && e->what < NP_STAT_MAX &&
	       e->qlen <= sizeof(e->qname);
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct np_events *ev = ctx;
	const struct np_event *e = data;

	if (size < sizeof(*e))
		ev->strange++;
	else if (e->kind == NP_EVENT_VERDICT && verdict_is_sane(e, size))
		ev->ops->verdict(ev->arg, e);
	else if (e->kind == NP_EVENT_DNS && dns_is_sane(data, size))
		ev->ops->dns(ev->arg, data);
	else
		ev->strange++;
	return 0;
}

int np_events_new(int map_fd, const struct np_events_ops *ops, void *arg, struct np_events **ret, struct vw_err *err)
{
	struct np_events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	ev->ops = ops;
	ev->arg = arg;
	ev->ring = ring_buffer__new(map_fd, on_record, ev, NULL);
	if (!ev->ring) {
		int eno = errno;

		free(ev);
		return vw_err_sys(err, eno, 0, "opening the ring buffer np_events");
	}
	*ret = ev;
	return 0;
}

struct np_events *np_events_free(struct np_events *ev)
{
	if (ev)
		ring_buffer__free(ev->ring);
	free(ev);
	return NULL;
}

int np_events_fd(const struct np_events *ev)
{
	return ring_buffer__epoll_fd(ev->ring);
}

int np_events_read(struct np_events *ev)
{
	return ring_buffer__consume(ev->ring);
}

uint64_t np_events_strange(const struct np_events *ev)
{
	return ev->strange;
}
