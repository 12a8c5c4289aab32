/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct sim_control;
struct sim_ctl_cmd;
struct sim_loop;
struct vw_err;

/**
 * DOC: the control socket
 *
 * A unix stream socket, one JSON object a line in each direction, answers in the order of the requests:
 * {"cmd": NAME, ...} -> {"ok": true, ...} or {"ok": false, "error": "..."}.
 */
#define SIM_CTL_MAX_LINE (256 * 1024)

int sim_control_new(struct sim_loop *loop, struct sim_control **ret_ctl);
/** sim_control_add() - a table of commands (borrowed). Return: 0, -EEXIST (a name is taken), -ENOMEM. */
int sim_control_add(struct sim_control *c, const struct sim_ctl_cmd *cmds, size_t n, void *arg);
/** sim_control_listen() - mode 0600. Refuses (EADDRINUSE) when somebody answers at @path, else replaces it.
 */
int sim_control_listen(struct sim_control *c, const char *path, struct vw_err *err);
void sim_control_free(struct sim_control *c);
