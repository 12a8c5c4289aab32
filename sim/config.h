/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct sim_instance;
struct sim_service;
struct vw_err;
struct vw_json;

/**
 * sim_config_apply() - build the world and the service's settings from a configuration (docs/SIM.md).
 * @j: NULL = the default VPC. Unknown keys are errors. Return: 0, -errno with @err naming the key.
 */
int sim_config_apply(struct sim_service *s, const struct vw_json *j, struct vw_err *err);

/** sim_config_instance() - one element of "instances"; also the control socket's run-instance. */
int sim_config_instance(struct sim_service *s, const struct vw_json *j, struct sim_instance **ret_inst,
			struct vw_err *err);

/** sim_config_web_id() - one element of "web_identity_tokens"; a known token is changed. */
int sim_config_web_id(struct sim_service *s, const struct vw_json *j, struct vw_err *err);
