/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct sim_world;

/**
 * DOC: credentials that the endpoints accept
 *
 * Long-lived keys come from the configuration; sets with a session token are issued for a role by IMDS, by
 * the container endpoint and by STS. Sets that ran out are kept for an hour, so that using one is "expired",
 * not "unknown".
 */
#define SIM_MAX_DENY 32

/** struct sim_role - an IAM role, or the rights of a long-lived key. */
struct sim_role {
	TAILQ_ENTRY(sim_role) link;
	char name[64];
	unsigned int lifetime_s;     /* of the sets issued */
	char deny[SIM_MAX_DENY][64]; /* actions it may not call; "*" = none at all */
	unsigned int n_deny;
};

struct sim_cred {
	TAILQ_ENTRY(sim_cred) link;
	char access_key[32], secret[64];
	char token[128]; /* "" = long-lived */
	int64_t expires; /* 0 = never */
	const struct sim_role *role;
	char session[80]; /* role session name; user name of a long-lived key */
};

TAILQ_HEAD(sim_role_list, sim_role);
TAILQ_HEAD(sim_cred_list, sim_cred);

struct sim_creds {
	struct sim_world *w;
	struct sim_role_list roles;
	struct sim_cred_list list;
	unsigned int max_skew_s; /* signatures older or newer than this are refused */
};

void sim_creds_init(struct sim_creds *c, struct sim_world *w);
void sim_creds_done(struct sim_creds *c);

struct sim_role *sim_role_find(struct sim_creds *c, const char *name);
/** sim_role_add() - existing one, or a new one with a lifetime of 6 hours. NULL = ENOMEM or name too long. */
struct sim_role *sim_role_add(struct sim_creds *c, const char *name);
bool sim_role_may(const struct sim_role *r, const char *action);

/** sim_cred_add() - a long-lived key, or with @token and @expires a set known beforehand. NULL = ENOMEM, too
 * long. */
struct sim_cred *sim_cred_add(struct sim_creds *c, const char *access_key, const char *secret,
			      const char *token, int64_t expires, const struct sim_role *role,
			      const char *session);
/** sim_cred_issue() - a new set for @role. NULL = ENOMEM. */
struct sim_cred *sim_cred_issue(struct sim_creds *c, const struct sim_role *role, const char *session,
				unsigned int lifetime_s);
/**
 * sim_cred_current() - what IMDS and the container endpoint answer: the newest set of @role and @session, or
 * a new one when that has less than a quarter of its life (at most 5 minutes) left.
 */
struct sim_cred *sim_cred_current(struct sim_creds *c, const struct sim_role *role, const char *session);
struct sim_cred *sim_cred_find(struct sim_creds *c, const char *access_key);
/** sim_creds_expire() - all issued sets (of @role; NULL: of any) run out now. Return: how many. */
unsigned int sim_creds_expire(struct sim_creds *c, const char *role);
