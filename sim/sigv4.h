/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sim/creds.h"

struct sim_fail;

/**
 * DOC: AWS Signature Version 4, the receiving side
 *
 * Source: IAM User Guide, "Create a signed AWS API request"; test vectors of the aws-sig-v4-test-suite.
 */
struct sim_sig_req {
	const char *method;
	const char *target; /* path and query as sent */
	const char *body;
	size_t body_len;
	const char *(*header)(void *arg, const char *name); /* NULL if absent */
	void *arg;
};

struct sim_sig_scope {
	char date[9]; /* yyyymmdd */
	char region[32], service[32];
};

/**
 * sim_sigv4_sign() - the signature a client with @secret must have computed.
 * @signed_headers: "host;x-amz-date", lower case, in order. @amz_date: "20150830T123600Z".
 * Return: 0, -EINVAL (a signed header is absent), -ENOMEM.
 */
int sim_sigv4_sign(const struct sim_sig_req *req, const char *secret, const char *amz_date,
		   const struct sim_sig_scope *scope, const char *signed_headers, char ret_hex[65]);

/**
 * sim_sigv4_verify() - who signed @req.
 * @service: "ec2" or "sts"; decides which error codes are used (EC2: AuthFailure, RequestExpired; STS:
 *	InvalidClientTokenId, ExpiredToken).
 * Return: 0, -EPROTO with the error in @f.
 */
int sim_sigv4_verify(const struct sim_sig_req *req, struct sim_creds *creds, const char *service,
		     const struct sim_cred **ret_cred, struct sim_fail *f);
