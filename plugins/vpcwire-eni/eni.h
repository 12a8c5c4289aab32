// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/eni/eni.h"
#include "lib/eni/state.h"
#include "plugins/vpcwire-eni/eni_conf.h"

struct vw_cni_call;
struct vw_err;
struct vw_pod_net;

#define PLUGIN_NAME "vpcwire-eni"

/* --- the verbs */

struct vw_pod_net eni_net_of(const struct eni_state *st, unsigned int ifindex);
/** eni_key_of() - of the call. */
void eni_key_of(const struct vw_cni_call *call, struct vw_attach_key *ret);

int eni_add(struct vw_cni_call *call, struct vw_err *err);
int eni_check(struct vw_cni_call *call, struct vw_err *err);
int eni_del(struct vw_cni_call *call, struct vw_err *err);
int eni_status(struct vw_cni_call *call, struct vw_err *err);
int eni_gc(struct vw_cni_call *call, struct vw_err *err);
void eni_undo(struct vw_cni_call *call);
