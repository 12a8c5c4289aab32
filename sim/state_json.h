/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct sim_world;
struct vw_json;

/** sim_state_json() - the whole world (docs/SIM.md, "state"). NULL = ENOMEM. */
struct vw_json *sim_state_json(struct sim_world *w);
