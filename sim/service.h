/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "sim/creds.h"
#include "sim/faults.h"
#include "sim/model.h"

struct sim_http_req;
struct sim_http_resp;
struct sim_imds;

/** struct sim_token - a ClientToken that was used: the same request again gives the same ENI. */
struct sim_token {
	TAILQ_ENTRY(sim_token) link;
	char token[80], hash[65], eni[SIM_ID_LEN];
};

/** struct sim_web_id - a web identity token (IRSA) that STS accepts, for one role. */
struct sim_web_id {
	TAILQ_ENTRY(sim_web_id) link;
	char *token;
	char role[64];
	bool expired;
};

TAILQ_HEAD(sim_token_list, sim_token);
TAILQ_HEAD(sim_web_id_list, sim_web_id);

/** struct sim_service - what the endpoints share besides the world. */
struct sim_service {
	struct sim_world *w;
	struct sim_creds creds;
	struct sim_faults faults;
	struct sim_token_list tokens;
	struct sim_web_id_list web_ids;
	struct sim_imds *imds;
	char ccreds_token[512]; /* Authorization that the container endpoint wants; "" = none */
	char ccreds_role[64];
	uint64_t request_seq;
};

/** sim_request_id() - a new UUID-like id. */
#define SIM_REQUEST_ID_LEN 40
void sim_request_id(struct sim_service *s, char ret_id[SIM_REQUEST_ID_LEN]);

/** sim_authenticate() - SigV4 of an HTTP request. Return: 0, -EPROTO. */
struct sim_fail;
int sim_authenticate(struct sim_service *s, const struct sim_http_req *req, const char *service,
		     const struct sim_cred **ret_cred, struct sim_fail *f);

/* Handlers, one per endpoint. */
void sim_ec2_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp);
void sim_sts_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp);
void sim_ccreds_handle(struct sim_service *s, const struct sim_http_req *req, struct sim_http_resp *resp);
/** @inst: who asks; NULL: not known, 404 for everything. */
void sim_imds_handle(struct sim_service *s, struct sim_instance *inst, const struct sim_http_req *req,
		     struct sim_http_resp *resp);
