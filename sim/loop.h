/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/**
 * DOC: the simulator's one loop
 *
 * Everything in vpcwire-sim (endpoints, state, fabric, lab) runs on one thread, in one epoll loop. Callbacks
 * may add and delete watches and timers, also their own. Times are CLOCK_BOOTTIME milliseconds
 * (vw_mono_ms()).
 */
struct sim_loop;

/** sim_fd_fn - @events are epoll's (EPOLLIN, ...). */
typedef void sim_fd_fn(void *arg, uint32_t events);
typedef void sim_timer_fn(void *arg);

/**
 * struct sim_timer - one shot, embedded in its owner, all zero when idle.
 * sim_timer_set() on a running timer moves it. Clear it before its owner is freed.
 */
struct sim_timer {
	TAILQ_ENTRY(sim_timer) link;
	uint64_t at_ms;
	sim_timer_fn *fn;
	void *arg;
	struct sim_loop *loop; /* NULL when idle */
};

/** sim_loop_new() - Return: 0, -errno. */
int sim_loop_new(struct sim_loop **ret_loop);
/** sim_loop_free() - drops all watches and timers; their fds stay open (they are their owners'). Accepts
 * NULL. */
void sim_loop_free(struct sim_loop *loop);

/** sim_loop_watch() - call @fn when @fd (borrowed) has @events. Watching the fd again replaces. Return: 0,
 * -errno. */
int sim_loop_watch(struct sim_loop *loop, int fd, uint32_t events, sim_fd_fn *fn, void *arg);
/** sim_loop_unwatch() - before the fd is closed. Nothing happens if it was not watched. */
void sim_loop_unwatch(struct sim_loop *loop, int fd);

/** sim_timer_set() - @fn is called once, from the loop, never from here, @delay_ms from now. Equal times: in
 * order of setting. */
void sim_timer_set(struct sim_loop *loop, struct sim_timer *t, uint64_t delay_ms, sim_timer_fn *fn,
		   void *arg);
void sim_timer_clear(struct sim_timer *t);
static inline bool sim_timer_running(const struct sim_timer *t)
{
	return t->loop;
}

/** sim_loop_run() - until sim_loop_stop(). Return: 0, -errno of epoll_wait. */
int sim_loop_run(struct sim_loop *loop);
/** sim_loop_once() - wait at most @timeout_ms (-1: no limit) and dispatch what is ready. Return: 0, -errno.
 */
int sim_loop_once(struct sim_loop *loop, int timeout_ms);
void sim_loop_stop(struct sim_loop *loop);
