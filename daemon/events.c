/*
 * A ring behind a lock, because workers log too. Who waits for the next event is woken through an eventfd, in the loop's thread.
 */
#include "daemon/events.h"

#include "daemon/advice.h"
#include "daemon/daemon.h"
#include "daemon/later.h"
#include "daemon/loop.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/json/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 400
#define WAIT_MAX_MS 600000
#define FOLLOWERS_MAX 32        /* each holds a connection */

struct event {
	struct timespec at;
	unsigned int times;     /* of an error */
	char kind[8];
	char text[TEXT_MAX];
};

struct follower {
	TAILQ_ENTRY(follower) entry;
	struct events *e;
	struct later *later;
	struct loop_timer *timer;
	uint64_t after;
};

/**
 * struct events - @next: number of the next one; those before next - EVENTS_KEPT are gone. Numbers begin with 1. @error: the latest first, @n_error of
 * them. @followers: the loop's.
 */
struct events {
	struct daemon *d;
	pthread_mutex_t lock;           /* ring, error, next, n_followers */
	struct event ring[EVENTS_KEPT], error[ERRORS_KEPT];
	unsigned int n_error;
	uint64_t next;
	unsigned int n_followers;
	int fd;
	struct loop_fd *watch;
	TAILQ_HEAD(, follower) followers;
};

/* behind the lock */
static void error_add(struct events *e, const struct event *ev)
{
	unsigned int i, times = 1;

	for (i = 0; i < e->n_error && strcmp(e->error[i].text, ev->text) != 0; i++)
		;
	if (i < e->n_error)
		times += e->error[i].times;
	else if (e->n_error < ERRORS_KEPT)
		e->n_error++;
	else
		i--;
	memmove(&e->error[1], &e->error[0], i * sizeof(e->error[0]));
	e->error[0] = *ev;
	e->error[0].times = times;
}

void events_add(struct events *e, const char *kind, const char *text, size_t len)
{
	static const uint64_t one = 1;
	struct event *ev;
	bool wake;

	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	ev = &e->ring[e->next++ % EVENTS_KEPT];
	(void)clock_gettime(CLOCK_REALTIME, &ev->at);
	(void)snprintf(ev->kind, sizeof(ev->kind), "%s", kind);
	len = len < TEXT_MAX ? len : TEXT_MAX - 1;
	memcpy(ev->text, text, len);
	ev->text[len] = 0;
	if (!strcmp(ev->kind, "error") || !strcmp(ev->kind, "warn"))
		error_add(e, ev);
	wake = e->n_followers;
	pthread_mutex_unlock(&e->lock);
	if (wake)
		(void)!write(e->fd, &one, sizeof(one));
}

/* "level=info msg=..." is a kind and a text */
static void on_log(void *arg, enum vw_log_level level, const char *line, size_t len)
{
	static const char *const kinds[] = { "error", "warn", "info", "debug" };
	const char *text = memchr(line, ' ', len);

	if (text)
		events_add(arg, kinds[level], text + 1, len - (size_t)(text + 1 - line));
}

/* --- answers */

/* {ts, kind, text}; @failed: then nothing but an end of it */
static struct vw_json *event_json(struct vw_json *take_o, const struct event *ev, bool failed)
{
	char when[VW_TIME_STRLEN + 8], s[VW_TIME_STRLEN];

	/* 2026-11-23T20:01:02Z, with milliseconds */
	(void)snprintf(when, sizeof(when), "%.19s.%03dZ", vw_time_str(ev->at.tv_sec, s), (int)(ev->at.tv_nsec / 1000000));
	if (!failed && vw_json_set_str(take_o, "ts", when) == 0 && vw_json_set_str(take_o, "kind", ev->kind) == 0 &&
	    vw_json_set_str(take_o, "text", ev->text) == 0)
		return take_o;
	vw_json_free(take_o);
	return NULL;
}

static struct vw_json *numbered_json(uint64_t seq, const struct event *ev)
{
	struct vw_json *o = vw_json_new_object();

	return event_json(o, ev, vw_json_set_int(o, "seq", (int64_t)seq) < 0);
}

struct vw_json *events_errors_json(struct events *e)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	if (e)
		pthread_mutex_lock(&e->lock);
	for (unsigned int i = 0; e && i < e->n_error && !failed; i++) {
		const struct event *ev = &e->error[i];
		struct vw_json *o = vw_json_new_object();
		bool bad = vw_json_set_int(o, "times", ev->times) < 0 || vw_json_set_str(o, "todo", advice_todo(ev->text)) < 0;

		failed |= vw_json_append(arr, event_json(o, ev, bad));
	}
	if (e)
		pthread_mutex_unlock(&e->lock);
	if (!failed)
		return arr;
	vw_json_free(arr);
	return NULL;
}

struct vw_json *events_json(struct events *e, unsigned long long after)
{
	struct vw_json *root = vw_json_new_object(), *arr = vw_json_new_array();
	uint64_t first, from = after + 1;
	int failed = 0;

	pthread_mutex_lock(&e->lock);
	first = e->next > EVENTS_KEPT ? e->next - EVENTS_KEPT : 1;
	/* a number from a former life of the daemon: it begins anew */
	if (from > e->next)
		from = first;
	for (uint64_t i = from < first ? first : from; i < e->next && !failed; i++)
		failed |= vw_json_append(arr, numbered_json(i, &e->ring[i % EVENTS_KEPT]));
	failed |= vw_json_set_int(root, "next", (int64_t)e->next - 1);
	failed |= vw_json_set_int(root, "lost", after && from < first ? (int64_t)(first - from) : 0);
	pthread_mutex_unlock(&e->lock);
	failed |= vw_json_set(root, "events", arr);
	if (!failed)
		return root;
	vw_json_free(root);
	return NULL;
}

static void follower_end(struct follower *f)
{
	struct events *e = f->e;

	pthread_mutex_lock(&e->lock);
	e->n_followers--;
	pthread_mutex_unlock(&e->lock);
	TAILQ_REMOVE(&e->followers, f, entry);
	loop_timer_free(f->timer);
	later_answer(f->later, events_json(e, f->after));
	free(f);
}

static void on_follower(void *arg)      /* its time is over, or it has gone */
{
	follower_end(arg);
}

static bool has_more(struct events *e, uint64_t after)
{
	bool more;

	pthread_mutex_lock(&e->lock);
	more = after + 1 != e->next;
	pthread_mutex_unlock(&e->lock);
	return more;
}

static void on_wake(void *arg)
{
	struct events *e = arg;
	struct follower *f, *next;
	uint64_t n;

	(void)!read(e->fd, &n, sizeof(n));
	for (f = TAILQ_FIRST(&e->followers); f; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (has_more(e, f->after))
			follower_end(f);
	}
}

int events_query(struct daemon *d, struct rpc_conn *conn, const struct vw_json *args, struct vw_err *err)
{
	struct events *e = d->events;
	int64_t after = 0, wait_ms = 0;
	struct follower *f;
	struct later *now;

	if (vw_json_get_int(args, "after", 0, INT64_MAX - 1, &after, err) < 0 || vw_json_get_int(args, "wait_ms", 0, WAIT_MAX_MS, &wait_ms, err) < 0)
		return -err->eno;
	if (e->n_followers >= FOLLOWERS_MAX && wait_ms)
		return vw_err_set(err, EBUSY, 0, "%d others follow the events already", FOLLOWERS_MAX);
	if (!wait_ms || has_more(e, (uint64_t)after)) {
		now = later_new(d, conn, NULL, NULL);
		if (!now)
			return vw_err_set(err, ENOMEM, 0, "no memory for events");
		later_answer(now, events_json(e, (uint64_t)after));
		return 0;
	}
	f = calloc(1, sizeof(*f));
	if (!f || loop_timer_new(d->loop, on_follower, f, &f->timer) < 0 || !(f->later = later_new(d, conn, on_follower, f))) {
		loop_timer_free(f ? f->timer : NULL);
		free(f);
		return vw_err_set(err, ENOMEM, 0, "no memory to wait for events");
	}
	f->e = e;
	f->after = (uint64_t)after;
	loop_timer_set(f->timer, (uint64_t)wait_ms);
	TAILQ_INSERT_TAIL(&e->followers, f, entry);
	pthread_mutex_lock(&e->lock);
	e->n_followers++;
	pthread_mutex_unlock(&e->lock);
	/* one that came in between, from a worker, woke nobody */
	if (has_more(e, f->after))
		follower_end(f);
	return 0;
}

/* --- life */

int events_new(struct daemon *d, struct events **ret, struct vw_err *err)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return vw_err_set(err, ENOMEM, 0, "no memory for events");
	e->d = d;
	e->next = 1;
	TAILQ_INIT(&e->followers);
	pthread_mutex_init(&e->lock, NULL);
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->fd < 0 || loop_fd_watch(d->loop, e->fd, on_wake, e, &e->watch) < 0) {
		vw_close_fd(&e->fd);
		free(e);
		return vw_err_set(err, ENOMEM, 0, "no eventfd for events");
	}
	vw_log_hear(on_log, e);
	*ret = e;
	return 0;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	vw_log_hear(NULL, NULL);
	vw_close_fd(&e->fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}
