/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct sim_ctl_cmd;

/** sim_control_cmds() - the control plane's own commands; their argument is a struct sim_service. */
const struct sim_ctl_cmd *sim_control_cmds(size_t *ret_n);
