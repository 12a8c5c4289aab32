#pragma once

#include <stdint.h>

struct vw_err;

/**
 * DOC: the daemon's event loop
 *
 * A thin fence around libuv. One thread runs the loop and owns all state; loop_job() hands blocking work (EC2, IMDS,
 * group deletes) to a small thread pool and brings the result back to the loop's thread.
 */
struct loop;
struct loop_fd;
struct loop_timer;

/** loop_new() - Return: 0, -ENOMEM or what the kernel says. */
int loop_new(struct loop **ret_loop, struct vw_err *err);
/**
 * loop_free() - close what is still open, wait for running jobs (their @done is called), free. NULL is fine. Timers can still be named by these
 * @done; they do not fire any more.
 */
void loop_free(struct loop *l);
/** loop_run() - until loop_stop(). Who calls exit() meanwhile, a library without memory, ends the process at once: jobs are not waited for. */
int loop_run(struct loop *l, struct vw_err *err);
void loop_stop(struct loop *l);

/**
 * loop_fd_watch() - call @fn when @fd is readable (or has hung up).
 * @fd: borrowed; must stay open until loop_fd_unwatch(). Return: 0, -errno.
 */
int loop_fd_watch(struct loop *l, int fd, void (*fn)(void *arg), void *arg, struct loop_fd **ret_watch);
/** loop_fd_pause() - do not call @fn until loop_fd_resume(); neither can fail, for nothing is allocated. */
void loop_fd_pause(struct loop_fd *w);
void loop_fd_resume(struct loop_fd *w);
/** loop_fd_unwatch() - stop; frees the watch. May be called from its own @fn. NULL is fine. */
void loop_fd_unwatch(struct loop_fd *w);

/** loop_timer_new() - a stopped one-shot timer. */
int loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg, struct loop_timer **ret_timer);
/** loop_timer_set() - fire once @ms from now; replaces an earlier setting. */
void loop_timer_set(struct loop_timer *t, uint64_t ms);
void loop_timer_stop(struct loop_timer *t);
/** loop_timer_active() - nonzero while it is set and has not fired. */
int loop_timer_active(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/**
 * loop_signal() - call @fn in the loop for each @signo. Lives until loop_free().
 * One that the caller's thread has blocked is let in from now on: it was held until somebody hears it.
 */
int loop_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg);

/**
 * loop_job() - run @work(arg) on a worker thread, then @done(arg) in the loop.
 * @work touches nothing but @arg and what is documented as thread-safe. Return: 0, -ENOMEM (neither is called).
 */
int loop_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/** loop_rest() - call @fn some @ms after a job has ended and when none runs; once for all jobs in that time. */
int loop_rest(struct loop *l, uint64_t ms, void (*fn)(void *arg), void *arg);

/** loop_path_watch() - call @fn when the file @path is changed or replaced (its folder is watched). */
int loop_path_watch(struct loop *l, const char *path, void (*fn)(void *arg), void *arg, struct vw_err *err);
/** loop_dir_watch() - call @fn when something in @dir changes whose name does not begin with a dot. Stays until the loop ends, also when the folder goes. */
int loop_dir_watch(struct loop *l, const char *dir, void (*fn)(void *arg), void *arg, struct vw_err *err);
