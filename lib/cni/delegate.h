// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/cni/env.h"

#include <stdint.h>

struct vw_buf;
struct vw_cni_call;
struct vw_cni_result;
struct vw_err;
struct vw_json;

/**
 * DOC: delegation
 *
 * A plugin runs another one, usually for the choice of addresses ("ipam"): found in CNI_PATH, folder by folder, with the
 * same environment and the complete configuration on stdin. Its stderr is ours. Source: SPEC.md 1.1.0, section 4.
 */

/**
 * vw_cni_delegate() - run plugin @type for @cmd.
 * @cmd:         goes into CNI_COMMAND; an ADD that is undone runs its delegate with DEL.
 * @deadline_ms: absolute, vw_mono_ms() scale; past it the delegate is killed.
 * @ret_out:     what it printed, appended; at most VW_CNI_CONF_MAX_BYTES.
 * Runs in the namespace that the caller is in: it must be the one the plugin was started in.
 * Return: 0; -errno with the delegate's own code, message and details behind "plugin 'x': ", VW_CNI_INVALID_CONFIG for a type
 * that is no plain name or is not found, VW_CNI_TRY_AGAIN when it was killed.
 */
int vw_cni_delegate(const struct vw_cni_call *call, enum vw_cni_cmd cmd, const char *type, uint64_t deadline_ms,
		    struct vw_buf *ret_out, struct vw_err *err);

/**
 * vw_cni_ipam_add() - ADD of the configured "ipam" plugin, and its result understood. One that cannot be is undone.
 * @ret: of an IPAM plugin: addresses, routes, dns; interfaces and indexes into them mean nothing there. Borrows from
 * @ret_json, which the caller frees.
 */
int vw_cni_ipam_add(const struct vw_cni_call *call, uint64_t deadline_ms, struct vw_json **ret_json,
		    struct vw_cni_result *ret, struct vw_err *err);
