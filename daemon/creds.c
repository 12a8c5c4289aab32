/*
 * The cache: one set under a mutex, and a flag for the one thread that is fetching. Fetching itself
 * (creds_fetch.c) happens without the mutex, on settings that never change.
 *
 * A set is valid until it expires by this machine's clock, or for five minutes after it was fetched,
 * whichever is later: if our clock is wrong, or the metadata service hands out a set past its date (it
 * extends such sets during an outage), the service that is called is the judge, and says so through
 * creds_reject().
 */
#include "daemon/creds.h"

#include "daemon/backoff.h"
#include "daemon/creds_fetch.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRESH_MS (5 * 60 * 1000)
#define REFRESH_AHEAD_S 600 /* and up to 300 more by chance, so that a cluster's nodes spread out */
#define REFRESH_SPREAD_S 300
#define REFRESH_RETRY_S 15
#define REFRESH_RETRY_MAX_S 300

struct creds {
	struct creds_fetch *fetch;
	unsigned int refresh_ahead_s;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t done;
	struct creds_set set;
	bool have, rejected, fetching;
	uint64_t fetched_ms;
	int64_t refresh_due_s;
	unsigned int failures;
	uint64_t n_fetches; /* ended ones, good and bad: a waiter sees by it that its wait is over */
	struct vw_err last_err;
};

void creds_set_done(struct creds_set *s)
{
	secret_done(&s->secret_key);
	secret_done(&s->token);
	*s = (struct creds_set){ 0 };
}

static int set_copy(struct creds_set *to, const struct creds_set *from)
{
	struct creds_set copy = { .expires_unix = from->expires_unix, .generation = from->generation };

	memcpy(copy.key_id, from->key_id, sizeof(copy.key_id));
	if (secret_copy(&copy.secret_key, &from->secret_key) < 0 ||
	    secret_copy(&copy.token, &from->token) < 0) {
		creds_set_done(&copy);
		return -ENOMEM;
	}
	creds_set_done(to);
	*to = copy;
	return 0;
}

int creds_new(const struct creds_options *opt, struct http *http, struct imds *imds, struct creds **ret_creds,
	      struct vw_err *err)
{
	struct creds *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int r;

	if (!c)
		return vw_err_sys(err, ENOMEM, 0, "making a credentials cache");
	r = creds_fetch_new(opt, http, imds, &c->fetch, err);
	if (r < 0) {
		free(c);
		return r;
	}
	c->refresh_ahead_s = opt->refresh_ahead_s;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->done, &attr);
	pthread_condattr_destroy(&attr);
	*ret_creds = c;
	return 0;
}

void creds_free(struct creds *c)
{
	if (!c)
		return;
	creds_set_done(&c->set);
	creds_fetch_free(c->fetch);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

enum creds_source creds_source(const struct creds *c)
{
	return creds_fetch_source(c->fetch);
}

static bool is_valid(const struct creds *c)
{
	if (!c->have || c->rejected)
		return false;
	return c->set.expires_unix == 0 || vw_unix_s() < c->set.expires_unix ||
	       vw_mono_ms() < c->fetched_ms + FRESH_MS;
}

static int64_t refresh_due(const struct creds *c)
{
	int64_t now = vw_unix_s(), left = c->set.expires_unix - now, ahead = c->refresh_ahead_s;

	if (c->set.expires_unix == 0)
		return 0;
	if (!ahead)
		ahead = REFRESH_AHEAD_S + backoff_random() % REFRESH_SPREAD_S;
	if (ahead > left / 2) /* a short-lived set: at half its life */
		ahead = left / 2;
	return left > 0 ? c->set.expires_unix - ahead : now + REFRESH_RETRY_S;
}

/* Called with the mutex held and c->fetching set; gives it up for the time of the I/O. */
static int fetch_locked(struct creds *c, uint64_t deadline_ms, struct vw_err *err)
{
	struct creds_set set = { 0 };
	int r;

	pthread_mutex_unlock(&c->lock);
	r = creds_fetch_run(c->fetch, deadline_ms, &set, err);
	pthread_mutex_lock(&c->lock);
	if (r == 0) {
		set.generation = c->set.generation + 1;
		creds_set_done(&c->set);
		c->set = set;
		c->have = true;
		c->rejected = false;
		c->fetched_ms = vw_mono_ms();
		c->failures = 0;
		c->refresh_due_s = refresh_due(c);
	} else {
		uint64_t ms = backoff_ms(++c->failures, REFRESH_RETRY_S * 1000, REFRESH_RETRY_MAX_S * 1000,
					 backoff_random());

		c->last_err = *err;
		c->refresh_due_s = vw_unix_s() + REFRESH_RETRY_S + (int64_t)(ms / 1000);
	}
	c->fetching = false;
	c->n_fetches++;
	pthread_cond_broadcast(&c->done);
	return r;
}

/* With the mutex held: until the thread that is fetching is done, or the deadline. */
static int wait_locked(struct creds *c, uint64_t deadline_ms)
{
	uint64_t before = c->n_fetches;
	struct timespec until = backoff_until((uint64_t)vw_deadline_left(deadline_ms));
	int r = 0;

	while (c->n_fetches == before && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&c->done, &c->lock, &until);
	return c->n_fetches == before ? -ETIMEDOUT : 0;
}

/* With the mutex held: fetch, or share in the fetch that is under way. */
static int renew_locked(struct creds *c, uint64_t deadline_ms, struct vw_err *err)
{
	unsigned int failures = c->failures;

	if (!c->fetching) {
		c->fetching = true;
		return fetch_locked(c, deadline_ms, err);
	}
	if (wait_locked(c, deadline_ms) < 0)
		return vw_err_set(err, ETIMEDOUT, 0, "credentials from %s are still being fetched",
				  creds_source_name(creds_source(c)));
	if (c->failures > failures) {
		*err = c->last_err;
		return -err->eno;
	}
	return 0;
}

int creds_get(struct creds *c, uint64_t deadline_ms, struct creds_set *ret_set, struct vw_err *err)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (!is_valid(c))
		r = renew_locked(c, deadline_ms, err);
	if (r == 0 && set_copy(ret_set, &c->set) < 0)
		r = vw_err_sys(err, ENOMEM, 0, "copying credentials");
	pthread_mutex_unlock(&c->lock);
	return r;
}

int creds_refresh(struct creds *c, uint64_t deadline_ms, struct vw_err *err)
{
	int r;

	pthread_mutex_lock(&c->lock);
	r = renew_locked(c, deadline_ms, err);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int64_t creds_refresh_due_s(struct creds *c)
{
	int64_t due;

	pthread_mutex_lock(&c->lock);
	due = c->refresh_due_s;
	pthread_mutex_unlock(&c->lock);
	return due;
}

void creds_reject(struct creds *c, uint64_t generation)
{
	pthread_mutex_lock(&c->lock);
	if (c->have && c->set.generation == generation)
		c->rejected = true;
	pthread_mutex_unlock(&c->lock);
}

bool creds_have_valid(struct creds *c)
{
	bool valid;

	pthread_mutex_lock(&c->lock);
	valid = is_valid(c);
	pthread_mutex_unlock(&c->lock);
	return valid;
}
