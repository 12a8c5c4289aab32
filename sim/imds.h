/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct sim_imds;
struct sim_world;

/**
 * DOC: the instance metadata tree
 *
 * What an instance sees is a snapshot of flat paths and values, taken at each change of its ENIs and
 * published
 * @lag_ms later, so IMDS is as stale against EC2 as the real one. Credentials are not part of it: they are
 * answered from the role when asked for.
 */
int sim_imds_new(struct sim_world *w, struct sim_imds **ret_imds);
void sim_imds_free(struct sim_imds *m);
/** sim_imds_lag() - for changes from now on; with 0 everything pending is published at once. */
void sim_imds_lag(struct sim_imds *m, unsigned int lag_ms);
/** sim_imds_hop_limit() - TTL of answers to token requests; 0 = the system's. */
void sim_imds_hop_limit(struct sim_imds *m, unsigned int hops);
/** sim_imds_hide() - paths that contain @part do not exist from now on. Return: 0, -ENOMEM, -ENOSPC. */
int sim_imds_hide(struct sim_imds *m, const char *part);
void sim_imds_unhide(struct sim_imds *m);
