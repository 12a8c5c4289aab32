#pragma once

#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: the daemon's view of the kernel
 *
 * Dumps as plain arrays and a monitor of changes, over libnl-route-3. A dump that the kernel marks as
 * interrupted is
 * thrown away and taken again, at most VW_VIEW_TRIES times: nothing is ever decided on an incomplete list.
 */
#define VW_VIEW_TRIES 8

struct vw_view;

/** vw_view_new() - in the calling thread's network namespace, where it stays. One of whose dumps failed is of no use any more. Return: 0, -errno. */
int vw_view_new(struct vw_view **ret_view, struct vw_err *err);
/** vw_view_free() - accepts NULL. Return: NULL. */
struct vw_view *vw_view_free(struct vw_view *v);

/*
 * Each: @ret is an array that the caller frees, NULL when empty. Return: how many, -EINTR (interrupted
 * VW_VIEW_TRIES
 * times), -errno. @family 0 = IPv4 and IPv6; @table 0 = all tables.
 */
int vw_view_links(struct vw_view *v, struct vw_link **ret, struct vw_err *err);
int vw_view_addrs(struct vw_view *v, uint8_t family, struct vw_addr **ret, struct vw_err *err);
int vw_view_routes(struct vw_view *v, uint8_t family, uint32_t table, struct vw_route **ret,
		   struct vw_err *err);
int vw_view_rules(struct vw_view *v, uint8_t family, struct vw_rule **ret, struct vw_err *err);

enum vw_event_kind {
	VW_EVENT_LINK,
	VW_EVENT_ADDR,
	VW_EVENT_ROUTE,
	VW_EVENT_RULE,
	VW_EVENT_TC,            /* qdiscs and filters of an interface */
	VW_EVENT_SYSCTL,        /* forwarding, rp_filter: RTM_NEWNETCONF tells of no others */
	VW_EVENT_LOST,          /* events were dropped: take a full view again */
};

/**
 * struct vw_event - something appeared or changed (@gone false) or went away. The member that @kind
 * names is set.
 * @ifindex: of VW_EVENT_TC and VW_EVENT_SYSCTL; for the latter -1 is "all", -2 "default".
 */
struct vw_event {
	enum vw_event_kind kind;
	bool gone;
	union {
		struct vw_link link;
		struct vw_addr addr;
		struct vw_route route;
		struct vw_rule rule;
		int ifindex;
	};
};

struct vw_monitor;

#define VW_EVENT_BIT(kind) (1u << (kind))

/**
 * struct vw_monitor_want - what to hear of.
 * @kinds:       VW_EVENT_BIT() of each; VW_EVENT_LOST always comes.
 * @links_below: a power of two: links with this index or a higher one, and their addresses, are left out, by the kernel, before
 *               anybody is woken for them; 0 = all links.
 * @losses:      only what can be a loss: of addresses, rules, routes, qdiscs and filters that they went or were replaced, of
 *               routes only those of VW_RTPROT or in another's place; of links that @links_below leaves out that they were put
 *               down, changed (@as_made), lost a link-local address ...::1, or a sysctl of theirs changed.
 * @as_made:     with @losses, of links that @links_below leaves out: what they are made with, the group in which they are deleted. Those that have
 *               something else come as well. All of them, or @group 0 = not looked at. @mac: its first 12 bits, 0xee50 = ee:5*.
 * @own:         port ids (struct vw_nl) whose doing is left out; 0 = none.
 */
struct vw_monitor_want {
	unsigned int kinds;
	unsigned int links_below;
	bool losses;
	struct {
		uint32_t group, dying, mtu;
		uint16_t mac;
	} as_made;
	uint32_t own[2];
};

/**
 * vw_monitor_new() - subscribe to changes in the current namespace, IPv4 and IPv6.
 * @fn: called from vw_monitor_read() only. @arg: handed to it.
 * Return: 0, -EINVAL (@want), -errno.
 */
int vw_monitor_new(const struct vw_monitor_want *want, void (*fn)(const struct vw_event *ev, void *arg), void *arg,
		   struct vw_monitor **ret_monitor, struct vw_err *err);
struct vw_monitor *vw_monitor_free(struct vw_monitor *m);
/** vw_monitor_fd() - non-blocking; poll for input. Owned by @m. */
int vw_monitor_fd(const struct vw_monitor *m);
/**
 * vw_monitor_read() - hand over what has arrived (bounded: call again when still readable). Return:
 * events, -errno.
 */
int vw_monitor_read(struct vw_monitor *m, struct vw_err *err);
