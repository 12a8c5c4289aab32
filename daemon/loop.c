/*
 * The event loop: libuv behind functions of our own, so that no other file of the daemon knows it.
 *
 * libuv frees nothing by itself: a handle must be closed, and its memory may go only in the close callback. Every
 * handle here is therefore the first member of a heap object whose close callback frees it.
 */
#include "daemon/loop.h"

#include "lib/base/err.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* what an exit handler looks at, which cannot be taken back: it stays when the loop goes */
struct at_exit {
	bool running;
};

struct loop {
	uv_loop_t uv;
	struct at_exit *at_exit;
	struct loop_timer *rest;        /* loop_rest() */
	uint64_t rest_ms;
	void (*rest_fn)(void *arg);
	void *rest_arg;
	unsigned int n_jobs;
	struct loop_timer *ended;       /* closed by loop_free(), freed last */
};

struct loop_fd {
	uv_poll_t uv;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_timer {
	uv_timer_t uv;
	void (*fn)(void *arg);
	void *arg;
	struct loop_timer *next_ended;
};

struct loop_signal_watch {
	uv_signal_t uv;
	void (*fn)(int signo, void *arg);
	void *arg;
};

struct loop_path {
	uv_fs_event_t uv;
	void (*fn)(void *arg);
	void *arg;
	char *name;
};

struct loop_work {
	uv_work_t uv;
	struct loop *loop;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void close_free(uv_handle_t *h)
{
	if (uv_handle_get_type(h) == UV_FS_EVENT)
		free(((struct loop_path *)h)->name);
	free(h);
}

/*
 * Libraries end the program when they have no memory (libnftables, jansson). libuv's destructor then waits for all jobs, whatever they wait
 * for, so that a daemon which serves nobody any more would keep its socket from the next one.
 */
static void leave(int status, void *arg)
{
	const struct at_exit *x = arg;

	if (x->running)
		_exit(status);
}

static int watch_exit(struct loop *l)
{
	struct at_exit *x = calloc(1, sizeof(*x));

	if (!x || on_exit(leave, x) != 0) {
		free(x);
		return -ENOMEM;
	}
	l->at_exit = x;
	return 0;
}

int loop_new(struct loop **ret_loop, struct vw_err *err)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return vw_err_set(err, ENOMEM, 0, "no memory for the event loop");
	r = uv_loop_init(&l->uv);
	if (r == 0) {
		r = watch_exit(l);
		if (r < 0)
			uv_loop_close(&l->uv);
	}
	if (r < 0) {
		free(l);
		return vw_err_sys(err, r, 0, "starting the event loop");
	}
	*ret_loop = l;
	return 0;
}

/* jobs that are still under way end after the timers are closed, and what takes their results in may look at one, or set it, in vain */
static void close_keep(uv_handle_t *h)
{
	struct loop *l = (struct loop *)h->loop;
	struct loop_timer *t = (struct loop_timer *)h;

	t->next_ended = l->ended;
	l->ended = t;
}

static void close_walk(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, uv_handle_get_type(h) == UV_TIMER ? close_keep : close_free);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	l->rest = NULL;         /* it is closed with the others, and jobs end after that */
	uv_walk(&l->uv, close_walk, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	uv_loop_close(&l->uv);
	for (struct loop_timer *t = l->ended, *next; t; t = next) {
		next = t->next_ended;
		free(t);
	}
	free(l);
}

int loop_run(struct loop *l, struct vw_err *err)
{
	int r;

	l->at_exit->running = true;
	r = uv_run(&l->uv, UV_RUN_DEFAULT);
	l->at_exit->running = false;
	return r < 0 ? vw_err_sys(err, r, 0, "event loop") : 0;
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct loop_fd *w = (struct loop_fd *)h;

	(void)status;           /* an error shows again at the reader's own read() */
	(void)events;
	w->fn(w->arg);
}

int loop_fd_watch(struct loop *l, int fd, void (*fn)(void *arg), void *arg, struct loop_fd **ret_watch)
{
	struct loop_fd *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = uv_poll_init(&l->uv, &w->uv, fd);
	if (r < 0) {
		free(w);
		return r;
	}
	w->fn = fn;
	w->arg = arg;
	r = uv_poll_start(&w->uv, UV_READABLE | UV_DISCONNECT, on_poll);
	if (r < 0) {
		uv_close((uv_handle_t *)&w->uv, close_free);
		return r;
	}
	*ret_watch = w;
	return 0;
}

void loop_fd_pause(struct loop_fd *w)
{
	(void)uv_poll_stop(&w->uv);
}

void loop_fd_resume(struct loop_fd *w)
{
	/* it refuses a descriptor that another handle watches only, and there is room for this one from before */
	(void)uv_poll_start(&w->uv, UV_READABLE | UV_DISCONNECT, on_poll);
}

void loop_fd_unwatch(struct loop_fd *w)
{
	if (!w)
		return;
	uv_poll_stop(&w->uv);
	uv_close((uv_handle_t *)&w->uv, close_free);
}

static void on_timer(uv_timer_t *h)
{
	struct loop_timer *t = (struct loop_timer *)h;

	t->fn(t->arg);
}

int loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg, struct loop_timer **ret_timer)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	uv_timer_init(&l->uv, &t->uv);
	t->fn = fn;
	t->arg = arg;
	*ret_timer = t;
	return 0;
}

void loop_timer_set(struct loop_timer *t, uint64_t ms)
{
	/* the loop's clock is that of its last turn; work done since would make the timer fire early */
	uv_update_time(t->uv.loop);
	uv_timer_start(&t->uv, on_timer, ms, 0);
}

void loop_timer_stop(struct loop_timer *t)
{
	uv_timer_stop(&t->uv);
}

int loop_timer_active(const struct loop_timer *t)
{
	return uv_is_active((const uv_handle_t *)&t->uv);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t && !uv_is_closing((uv_handle_t *)&t->uv))
		uv_close((uv_handle_t *)&t->uv, close_free);
}

static void on_signal(uv_signal_t *h, int signo)
{
	struct loop_signal_watch *w = (struct loop_signal_watch *)h;

	w->fn(signo, w->arg);
}

int loop_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	struct loop_signal_watch *w = calloc(1, sizeof(*w));
	sigset_t held;
	int r;

	if (!w)
		return -ENOMEM;
	r = uv_signal_init(&l->uv, &w->uv);
	if (r < 0) {
		free(w);
		return r;
	}
	w->fn = fn;
	w->arg = arg;
	r = uv_signal_start(&w->uv, on_signal, signo);
	if (r == 0) {
		sigemptyset(&held);
		sigaddset(&held, signo);
		r = -pthread_sigmask(SIG_UNBLOCK, &held, NULL);
	}
	return r;
}

static void job_work(uv_work_t *req)
{
	struct loop_work *w = (struct loop_work *)req;

	w->work(w->arg);
}

static void job_done(uv_work_t *req, int status)
{
	struct loop_work *w = (struct loop_work *)req;

	(void)status;           /* jobs are never cancelled */
	w->done(w->arg);
	w->loop->n_jobs--;
	if (w->loop->rest && !loop_timer_active(w->loop->rest))
		loop_timer_set(w->loop->rest, w->loop->rest_ms);
	free(w);
}

int loop_job(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct loop_work *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->work = work;
	w->done = done;
	w->arg = arg;
	r = uv_queue_work(&l->uv, &w->uv, job_work, job_done);
	if (r < 0)
		free(w);
	else
		l->n_jobs++;
	return r;
}

static void on_rest(void *arg)
{
	struct loop *l = arg;

	if (l->n_jobs)
		loop_timer_set(l->rest, l->rest_ms);
	else
		l->rest_fn(l->rest_arg);
}

int loop_rest(struct loop *l, uint64_t ms, void (*fn)(void *arg), void *arg)
{
	l->rest_ms = ms;
	l->rest_fn = fn;
	l->rest_arg = arg;
	return loop_timer_new(l, on_rest, l, &l->rest);
}

static void on_path(uv_fs_event_t *h, const char *filename, int events, int status)
{
	struct loop_path *p = (struct loop_path *)h;

	(void)events;
	/* without a name the kernel does not know what it was (its queue overflowed) */
	if (status == 0 && (p->name ? filename && strcmp(filename, p->name) == 0 : !filename || *filename != '.'))
		p->fn(p->arg);
}

/* @name: NULL = everything in the folder */
static int watch(struct loop *l, const char *dir, const char *name, void (*fn)(void *arg), void *arg)
{
	struct loop_path *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	if (name && !(p->name = strdup(name))) {
		free(p);
		return -ENOMEM;
	}
	p->fn = fn;
	p->arg = arg;
	r = uv_fs_event_init(&l->uv, &p->uv);
	if (r < 0) {
		free(p->name);
		free(p);
		return r;
	}
	r = uv_fs_event_start(&p->uv, on_path, dir, 0);
	if (r < 0)
		uv_close((uv_handle_t *)&p->uv, close_free);
	return r;
}

int loop_path_watch(struct loop *l, const char *path, void (*fn)(void *arg), void *arg, struct vw_err *err)
{
	char *dir_copy = strdup(path), *name_copy = strdup(path);
	int r = -ENOMEM;

	/* the folder, not the file: editors and ConfigMaps replace files by rename */
	if (dir_copy && name_copy)
		r = watch(l, dirname(dir_copy), basename(name_copy), fn, arg);
	free(dir_copy);
	free(name_copy);
	return r < 0 ? vw_err_sys(err, r, 0, "watching '%s' for changes", path) : 0;
}

int loop_dir_watch(struct loop *l, const char *dir, void (*fn)(void *arg), void *arg, struct vw_err *err)
{
	int r = watch(l, dir, NULL, fn, arg);

	return r < 0 ? vw_err_sys(err, r, 0, "watching '%s' for changes", dir) : 0;
}
