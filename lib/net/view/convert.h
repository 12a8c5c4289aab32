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

/** vw_libnl_err() - a negative libnl code into @err. Return: -errno. */
int vw_libnl_err(struct vw_err *err, int code, const char *what);
/** vw_libnl_from_kernel() - NL_CB_MSG_IN, before anything is parsed: skip what another process sent to our port. */
int vw_libnl_from_kernel(struct nl_msg *msg, void *arg);
