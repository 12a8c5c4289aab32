/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: long-lived keys, and sets issued for roles. See creds.h. */
#include "sim/creds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/model.h"

#define KEEP_EXPIRED_S     3600
#define DEFAULT_LIFETIME_S (6 * 3600)

void sim_creds_init(struct sim_creds *c, struct sim_world *w)
{
	*c = (struct sim_creds){ .w = w, .max_skew_s = 300 };
	TAILQ_INIT(&c->roles);
	TAILQ_INIT(&c->list);
}

void sim_creds_done(struct sim_creds *c)
{
	struct sim_role *r;
	struct sim_cred *k;

	while ((k = TAILQ_FIRST(&c->list))) {
		TAILQ_REMOVE(&c->list, k, link);
		free(k);
	}
	while ((r = TAILQ_FIRST(&c->roles))) {
		TAILQ_REMOVE(&c->roles, r, link);
		free(r);
	}
}

struct sim_role *sim_role_find(struct sim_creds *c, const char *name)
{
	struct sim_role *r;

	TAILQ_FOREACH(r, &c->roles, link)
		if (strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

struct sim_role *sim_role_add(struct sim_creds *c, const char *name)
{
	struct sim_role *r = sim_role_find(c, name);

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r || vw_fmt(r->name, sizeof(r->name), "%s", name) < 0) {
		free(r);
		return NULL;
	}
	r->lifetime_s = DEFAULT_LIFETIME_S;
	TAILQ_INSERT_TAIL(&c->roles, r, link);
	return r;
}

bool sim_role_may(const struct sim_role *r, const char *action)
{
	unsigned int i;

	for (i = 0; i < r->n_deny; i++)
		if (strcmp(r->deny[i], "*") == 0 || strcmp(r->deny[i], action) == 0)
			return false;
	return true;
}

struct sim_cred *sim_cred_add(struct sim_creds *c, const char *access_key, const char *secret,
			      const char *token, int64_t expires, const struct sim_role *role,
			      const char *session)
{
	struct sim_cred *k = calloc(1, sizeof(*k));

	if (!k || vw_fmt(k->access_key, sizeof(k->access_key), "%s", access_key) < 0 ||
	    vw_fmt(k->secret, sizeof(k->secret), "%s", secret) < 0 ||
	    vw_fmt(k->token, sizeof(k->token), "%s", token) < 0 ||
	    vw_fmt(k->session, sizeof(k->session), "%s", session) < 0) {
		free(k);
		return NULL;
	}
	k->expires = expires;
	k->role = role;
	TAILQ_INSERT_TAIL(&c->list, k, link);
	return k;
}

static void prune(struct sim_creds *c)
{
	struct sim_cred *k, *next;

	for (k = TAILQ_FIRST(&c->list); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->expires && k->expires + KEEP_EXPIRED_S < sim_now(c->w)) {
			TAILQ_REMOVE(&c->list, k, link);
			free(k);
		}
	}
}

struct sim_cred *sim_cred_issue(struct sim_creds *c, const struct sim_role *role, const char *session,
				unsigned int lifetime_s)
{
	char seed[200], hex[VW_SHA256_HEXLEN], key[32], secret[64], token[128];
	int n, i;

	prune(c);
	n = snprintf(seed, sizeof(seed), "%s/%s/%llu/%lld", role->name, session,
		     (unsigned long long)c->w->id_next++, (long long)sim_now(c->w));
	vw_sha256_hex(seed, (size_t)n, hex);
	for (i = 0; i < 16; i++)
		hex[i] = (char)(hex[i] >= 'a' ? hex[i] - 'a' + 'A' : hex[i]);
	snprintf(key, sizeof(key), "ASIA%.16s", hex);
	snprintf(secret, sizeof(secret), "%.40s", hex + 20);
	/* characters that need percent-encoding somewhere, as real tokens have */
	snprintf(token, sizeof(token), "FwoGZXIvYXdzE+%.40s/%.16s==", hex + 8, hex + 48);
	return sim_cred_add(c, key, secret, token, sim_now(c->w) + lifetime_s, role, session);
}

struct sim_cred *sim_cred_current(struct sim_creds *c, const struct sim_role *role, const char *session)
{
	unsigned int margin = role->lifetime_s / 4 < 300 ? role->lifetime_s / 4 : 300;
	struct sim_cred *k;

	TAILQ_FOREACH_REVERSE(k, &c->list, sim_cred_list, link)
	if (k->role == role && k->token[0] && strcmp(k->session, session) == 0)
		break;
	if (k && k->expires > sim_now(c->w) + margin)
		return k;
	return sim_cred_issue(c, role, session, role->lifetime_s);
}

struct sim_cred *sim_cred_find(struct sim_creds *c, const char *access_key)
{
	struct sim_cred *k;

	TAILQ_FOREACH(k, &c->list, link)
		if (strcmp(k->access_key, access_key) == 0)
			return k;
	return NULL;
}

unsigned int sim_creds_expire(struct sim_creds *c, const char *role)
{
	struct sim_cred *k;
	unsigned int n = 0;

	TAILQ_FOREACH(k, &c->list, link) {
		if (!k->token[0] || (role && strcmp(k->role->name, role) != 0) ||
		    (k->expires && k->expires <= sim_now(c->w)))
			continue;
		k->expires = sim_now(c->w) - 1;
		n++;
	}
	return n;
}
