/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/model.h"

/** sim_itypes_add() - add or (same name) replace a type. Return: 0, -ENOMEM. */
int sim_itypes_add(struct sim_world *w, const struct sim_itype *t);
/** sim_itypes_builtin() - a selection of real types. */
int sim_itypes_builtin(struct sim_world *w);
