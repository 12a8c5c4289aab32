#pragma once

#include "lib/net/view/view.h"

struct nl_msg;
struct nl_object;

/**
 * DOC: inside lib/net/view: libnl objects -> our structs
 * Each: @item zeroed. Return: 1 = filled, 0 = of no interest (bridge port data, cached routes, other families).
 */
int vw_conv_link(struct nl_object *obj, void *item);
int vw_conv_addr(struct nl_object *obj, void *item);
int vw_conv_route(struct nl_object *obj, void *item);
int vw_conv_rule(struct nl_object *obj, void *item);

/**
 * vw_libnl_parse() - nl_msg_parse(), for messages whose attributes nobody has looked at yet.
 * A route with a next hop that libnl (3.7: rtnl_route_parse(), parse_multipath()) would read beyond is refused before.
 * Return: 0, -NLE_MSG_TOOSHORT, what nl_msg_parse() returns.
 */
int vw_libnl_parse(struct nl_msg *msg, void (*cb)(struct nl_object *obj, void *arg), void *arg);

/** vw_libnl_err() - a negative libnl code into @err. Return: -errno. */
int vw_libnl_err(struct vw_err *err, int code, const char *what);
/** vw_libnl_from_kernel() - NL_CB_MSG_IN, before anything is parsed: skip what another process sent to our port. */
int vw_libnl_from_kernel(struct nl_msg *msg, void *arg);
