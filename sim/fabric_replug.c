// SPDX-License-Identifier: Apache-2.0
/*
 * An ENI is hardware: when the namespace that it was moved to dies, it is back in the instance's own. A veth dies with its
 * namespace instead, and takes the fabric's end along; that end's disappearance is what is seen here, and the pair is made
 * anew, its far end in the node.
 *
 * Of a real device the kernel would keep the name it had in the dead namespace, or make it "dev<index>" where the host
 * has that name already, as it has when a container called it eth0. Only the latter can be imitated: nobody can tell what the
 * dead end was called. MTU and alias are new as well. `ip link del` of an ENI, which hardware refuses, is undone alike.
 */
#include "sim/fabric_priv.h"

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/net/link.h"
#include "lib/net/view/view.h"

#include <errno.h>
#include <sys/epoll.h>

static bool is_gone(struct sim_fabric *f, const struct fab_eni *fe)
{
	struct vw_link link;
	struct vw_err ignored;

	return vw_link_get(&f->nl, fe->ifindex, &link, &ignored) == -ENODEV;
}

static void replug(struct sim_fabric *f, struct fab_eni *fe)
{
	struct fab_node *node = fab_node_of(f, fe->eni->att.instance);
	struct vw_err err;

	if (!node || !is_gone(f, fe))
		return;
	if (fab_eni_replug(f, node, fe, &err) < 0)
		vw_error("an ENI could not be put back into its node", "eni=%s err=\"%s\"", fe->eni->id, err.msg);
	else
		vw_info("an ENI is back in its node", "eni=%s ifname=%s", fe->eni->id, fe->node_ifname);
}

static void on_event(const struct vw_event *ev, void *arg)
{
	struct sim_fabric *f = arg;
	struct fab_eni *fe;

	if (ev->kind != VW_EVENT_LOST && (!ev->gone || ev->link.ifindex < FAB_IFINDEX_ENI))
		return;
	TAILQ_FOREACH(fe, &f->enis, link)
		if (ev->kind == VW_EVENT_LOST || fe->ifindex == ev->link.ifindex)
			replug(f, fe);
}

static void on_readable(void *arg, uint32_t events)
{
	struct sim_fabric *f = arg;
	struct vw_err err;

	if (vw_monitor_read(f->monitor, &err) >= 0)
		return;
	vw_error("the fabric cannot see its links any more", "err=\"%s\"", err.msg);
	sim_loop_unwatch(f->world->loop, vw_monitor_fd(f->monitor));
}

int fab_replug_start(struct sim_fabric *f, struct vw_err *err)
{
	static const struct vw_monitor_want links = {.kinds = VW_EVENT_BIT(VW_EVENT_LINK)};
	int r = vw_monitor_new(&links, on_event, f, &f->monitor, err);

	if (r < 0)
		return r;
	r = sim_loop_watch(f->world->loop, vw_monitor_fd(f->monitor), EPOLLIN, on_readable, f);
	return r < 0 ? vw_err_sys(err, r, 0, "watching the fabric's links") : 0;
}

void fab_replug_stop(struct sim_fabric *f)
{
	if (!f->monitor)
		return;
	sim_loop_unwatch(f->world->loop, vw_monitor_fd(f->monitor));
	f->monitor = vw_monitor_free(f->monitor);
}
