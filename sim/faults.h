/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/buf.h"

struct sim_fail;
struct sim_http_resp;
struct vw_err;
struct vw_json;

/**
 * DOC: scripted faults, call counters, request-rate limits
 *
 * All three are keyed by action: EC2 and STS by their action names, the metadata service as "IMDS" (and
 * "IMDSToken" for the PUT), container credentials as "ContainerCredentials". "*" is any EC2 action.
 */
enum sim_fault_kind {
	SIM_FAULT_ERROR,    /* refuse with code, before anything is changed */
	SIM_FAULT_HANG,     /* do it, never answer */
	SIM_FAULT_CLOSE,    /* do it, close the connection without an answer */
	SIM_FAULT_TRUNCATE, /* do it, answer only the first `bytes` */
	SIM_FAULT_DELAY,    /* do it, answer delay_ms later */
	SIM_FAULT_BODY,     /* do not do it, answer `status` with `message` as the raw body */
	SIM_FAULT_STALE,    /* answer what the same request got before the fault was there; `code` when there was none */
};

struct sim_fault {
	TAILQ_ENTRY(sim_fault) link;
	unsigned int id;
	enum sim_fault_kind kind;
	char action[64];
	char path[128];     /* IMDS: only targets that contain this */
	unsigned int skip;  /* calls still to let through */
	unsigned int times; /* still to hit; 0 = for ever */
	unsigned int hits;
	char code[64], message[256];
	int status; /* 0 = what the code has */
	unsigned int bytes, delay_ms;
};

struct sim_counter {
	TAILQ_ENTRY(sim_counter) link;
	char action[64], code[64]; /* code "" = all calls of the action */
	uint64_t n;
};

struct sim_bucket {
	TAILQ_ENTRY(sim_bucket) link;
	char action[64];
	unsigned int size, refill_per_s; /* size 0: no limit */
	double tokens;
	uint64_t at_ms;
};

/** struct sim_answer - what a read was answered last. @key: hash of the request. */
struct sim_answer {
	TAILQ_ENTRY(sim_answer) link;
	char key[72];
	struct vw_buf body;
};

TAILQ_HEAD(sim_answer_list, sim_answer);
TAILQ_HEAD(sim_fault_list, sim_fault);
TAILQ_HEAD(sim_counter_list, sim_counter);
TAILQ_HEAD(sim_bucket_list, sim_bucket);

struct sim_faults {
	struct sim_fault_list faults;
	struct sim_counter_list counters;
	struct sim_bucket_list buckets;
	struct sim_answer_list answers; /* latest first */
	unsigned int next_id;
};

void sim_faults_init(struct sim_faults *s);
void sim_faults_done(struct sim_faults *s);

/** sim_fault_add() - from JSON (docs/SIM.md, "fault"). Return: its id, -errno. */
int sim_fault_add(struct sim_faults *s, const struct vw_json *j, struct vw_err *err);
/** sim_fault_clear() - @id 0: all. Return: how many. */
unsigned int sim_fault_clear(struct sim_faults *s, unsigned int id);
/**
 * sim_fault_hit() - count this call against the faults for it.
 * Return: true and a copy in *ret_fault if one strikes.
 */
bool sim_fault_hit(struct sim_faults *s, const char *action, const char *target, struct sim_fault *ret_fault);
/** sim_fault_is_before() - the fault stands in for the call (error, body): it is not to be done. */
bool sim_fault_is_before(const struct sim_fault *x);
/** sim_fault_fail() - the error of a SIM_FAULT_ERROR. Return: -EPROTO. */
int sim_fault_fail(const struct sim_fault *x, struct sim_fail *f);
/** sim_fault_apply() - what a fault does to a finished answer (hang, close, truncate, delay, body). */
void sim_fault_apply(const struct sim_fault *x, struct sim_http_resp *resp);

/** sim_answer_keep() - the answer to a read, asked with @form (its parameters); the oldest of too many is forgotten. */
void sim_answer_keep(struct sim_faults *s, const char *form, size_t len, const struct vw_buf *answer);
/** sim_answer_old() - put into @answer what was answered to @form last. Return: 0, -ENOENT (nothing was). */
int sim_answer_old(struct sim_faults *s, const char *form, size_t len, struct vw_buf *answer);

/** sim_count() - one call of @action; with @code: one that was refused so. */
void sim_count(struct sim_faults *s, const char *action, const char *code);
uint64_t sim_counted(const struct sim_faults *s, const char *action);
void sim_counters_reset(struct sim_faults *s);
/** sim_counters_json() - {"CreateTags": {"calls": 2, "errors": {"UnauthorizedOperation": 1}}, ...} NULL =
 * ENOMEM. */
struct vw_json *sim_counters_json(const struct sim_faults *s);
struct vw_json *sim_faults_json(const struct sim_faults *s);

/** sim_bucket_set() - @action "*" = every EC2 action without a bucket of its own (each has its own level). */
int sim_bucket_set(struct sim_faults *s, const char *action, unsigned int size, unsigned int refill_per_s);
/** sim_bucket_take() - Return: false = throttle this call. */
bool sim_bucket_take(struct sim_faults *s, const char *action);
