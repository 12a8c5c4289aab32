/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * struct sim_fail - an EC2 (or STS) error answer.
 * @status: HTTP status, from the table of codes in fail.c; 400 for codes that are not in it.
 */
struct sim_fail {
	int status;
	char code[64];
	char msg[512];
};

/**
 * sim_fail() - fill @f.
 * @code: EC2 error code, e.g. "InvalidSubnetID.NotFound".
 * Return: -EPROTO, so that `return sim_fail(...)` is one line: the request is refused, the state unchanged.
 */
int sim_fail(struct sim_fail *f, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** sim_fail_nomem() - "InternalError", 500. */
int sim_fail_nomem(struct sim_fail *f);
int sim_fail_status(const char *code);
