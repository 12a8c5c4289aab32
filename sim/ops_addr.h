/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/ops.h"

/* Shared by ops_addr.c and ops_eni.c only. */

/** sim_check_limits() - slots per ENI of an instance type. */
int sim_check_limits(const struct sim_itype *t, size_t n_v4, size_t n_v6, struct sim_fail *f);
/** sim_eni_take() - put what @want asks for into the ENI's list, all or nothing; observers of @e are not
 * told. */
int sim_eni_take(struct sim_eni *e, int family, const struct sim_want *want, struct sim_fail *f);
