/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct sim_sg;
struct sim_subnet;
struct sim_vpc;
struct sim_world;
struct vw_err;
struct vw_json;

/** sim_config_net() - types, VPCs, subnets, groups of a configuration (NULL or without "vpcs": the default
 * ones). */
int sim_config_net(struct sim_world *w, const struct vw_json *j, struct vw_err *err);
/** sim_config_sgs() - "security_groups", with their rules. config_sg.c */
int sim_config_sgs(struct sim_world *w, const struct vw_json *j, struct vw_err *err);
/** sim_cfg_vpc() - by id or Name tag; "" = the first. NULL if there is none. */
struct sim_vpc *sim_cfg_vpc(struct sim_world *w, const char *want);
/** sim_cfg_fragment() - true, false or {"free_prefixes": n, "held_per_block": n}. */
int sim_cfg_fragment(struct sim_subnet *s, const struct vw_json *j, struct vw_err *err);
/** sim_cfg_subnet() - by id or Name tag; "" = the first. NULL if there is none. */
struct sim_subnet *sim_cfg_subnet(struct sim_world *w, const char *want);
/** sim_cfg_sg() - by id or name. */
struct sim_sg *sim_cfg_sg(struct sim_world *w, const char *want);
