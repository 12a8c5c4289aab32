/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's event loop: one epoll instance, one timerfd for the earliest of a sorted list of timers.
 *
 * A watch is an array entry indexed by its fd. The epoll key also carries the entry's generation, so an event
 * that was fetched before its fd was closed and reused within the same batch is dropped.
 */
#include "sim/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

#define BATCH 32

TAILQ_HEAD(sim_timers, sim_timer);

struct watch {
	sim_fd_fn *fn;
	void *arg;
	uint32_t gen;
	bool used;
};

struct sim_loop {
	int epfd, tfd;
	struct watch *w;
	size_t n_w;
	uint32_t gen;
	struct sim_timers timers;
	bool stop;
};

static void timers_run(void *arg, uint32_t events);

int sim_loop_new(struct sim_loop **ret_loop)
{
	struct sim_loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	TAILQ_INIT(&l->timers);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->tfd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	r = l->epfd < 0 || l->tfd < 0 ? -errno : sim_loop_watch(l, l->tfd, EPOLLIN, timers_run, l);
	if (r < 0) {
		sim_loop_free(l);
		return r;
	}
	*ret_loop = l;
	return 0;
}

void sim_loop_free(struct sim_loop *loop)
{
	struct sim_timer *t;

	if (!loop)
		return;
	while ((t = TAILQ_FIRST(&loop->timers)))
		sim_timer_clear(t);
	vw_close_fd(&loop->epfd);
	vw_close_fd(&loop->tfd);
	free(loop->w);
	free(loop);
}

static int grow(struct sim_loop *l, size_t fd)
{
	size_t n = l->n_w ? l->n_w : 64;
	struct watch *w;

	if (fd < l->n_w)
		return 0;
	while (n <= fd)
		n *= 2;
	w = realloc(l->w, n * sizeof(*w));
	if (!w)
		return -ENOMEM;
	memset(w + l->n_w, 0, (n - l->n_w) * sizeof(*w));
	l->w = w;
	l->n_w = n;
	return 0;
}

int sim_loop_watch(struct sim_loop *loop, int fd, uint32_t events, sim_fd_fn *fn, void *arg)
{
	struct epoll_event ev = { .events = events };
	struct watch *w;
	int op, r;

	if (fd < 0)
		return -EBADF;
	r = grow(loop, (size_t)fd);
	if (r < 0)
		return r;
	w = &loop->w[fd];
	op = w->used ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	ev.data.u64 = (uint64_t)++loop->gen << 32 | (uint32_t)fd;
	if (epoll_ctl(loop->epfd, op, fd, &ev) < 0)
		return -errno;
	*w = (struct watch){ fn, arg, loop->gen, true };
	return 0;
}

void sim_loop_unwatch(struct sim_loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->n_w || !loop->w[fd].used)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, fd, NULL);
	loop->w[fd].used = false;
}

/* The timerfd is absolute, so a wake-up that comes late or early only costs one more look at the list. */
static void timers_arm(struct sim_loop *l)
{
	struct sim_timer *t = TAILQ_FIRST(&l->timers);
	struct itimerspec its = { 0 };

	if (t) {
		its.it_value.tv_sec = (time_t)(t->at_ms / 1000);
		its.it_value.tv_nsec = (long)(t->at_ms % 1000) * 1000000;
		if (!t->at_ms)
			its.it_value.tv_nsec = 1;
	}
	timerfd_settime(l->tfd, TFD_TIMER_ABSTIME, &its, NULL);
}

void sim_timer_clear(struct sim_timer *t)
{
	struct sim_loop *l = t->loop;

	if (!l)
		return;
	TAILQ_REMOVE(&l->timers, t, link);
	t->loop = NULL;
	timers_arm(l);
}

void sim_timer_set(struct sim_loop *loop, struct sim_timer *t, uint64_t delay_ms, sim_timer_fn *fn, void *arg)
{
	struct sim_timer *o;

	sim_timer_clear(t);
	t->at_ms = vw_mono_ms() + delay_ms;
	t->fn = fn;
	t->arg = arg;
	t->loop = loop;
	TAILQ_FOREACH_REVERSE(o, &loop->timers, sim_timers, link)
	if (o->at_ms <= t->at_ms)
		break;
	if (o)
		TAILQ_INSERT_AFTER(&loop->timers, o, t, link);
	else
		TAILQ_INSERT_HEAD(&loop->timers, t, link);
	timers_arm(loop);
}

static void timers_run(void *arg, uint32_t events)
{
	struct sim_loop *l = arg;
	uint64_t n, now = vw_mono_ms();
	struct sim_timer *t;

	if (read(l->tfd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return;
	/* Timers set by callbacks have at_ms >= now; with delay 0 they still run in this round, in order. */
	while ((t = TAILQ_FIRST(&l->timers)) && t->at_ms <= now) {
		TAILQ_REMOVE(&l->timers, t, link);
		t->loop = NULL;
		t->fn(t->arg);
	}
	timers_arm(l);
}

int sim_loop_once(struct sim_loop *loop, int timeout_ms)
{
	struct epoll_event ev[BATCH];
	int i, n = epoll_wait(loop->epfd, ev, BATCH, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (i = 0; i < n; i++) {
		uint32_t fd = (uint32_t)ev[i].data.u64, gen = (uint32_t)(ev[i].data.u64 >> 32);
		struct watch w = loop->w[fd];

		if (w.used && w.gen == gen)
			w.fn(w.arg, ev[i].events);
	}
	return 0;
}

int sim_loop_run(struct sim_loop *loop)
{
	int r = 0;

	loop->stop = false;
	while (!loop->stop && r == 0)
		r = sim_loop_once(loop, -1);
	return r;
}

void sim_loop_stop(struct sim_loop *loop)
{
	loop->stop = true;
}
