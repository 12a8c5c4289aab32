/*
 * An ADD: ready? -> attach_add() -> answer. -EAGAIN (no address) and -EBUSY (its name or slot is being reaped) make a
 * waiter. A waiter fails early, with the cause, when the planner has nothing under way, can start nothing and no address
 * cools down in time: a runtime that waits for nothing holds up its other pods.
 */
#include "daemon/serve.h"

#include "daemon/daemon.h"
#include "daemon/drain.h"
#include "daemon/grow.h"
#include "daemon/info.h"
#include "daemon/query.h"
#include "daemon/loop.h"
#include "daemon/rpc_server.h"
#include "ipam/pool.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <stdlib.h>

#define WAITERS_MAX 512         /* RPC_SERVER_MAX_CONNS: each holds a connection */
#define ANSWER_MARGIN_MS 250    /* the daemon gives up this long before its peer does */

struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct daemon *d;
	struct rpc_conn *conn;
	struct vw_rpc_req req;
	bool hungry;            /* for an address; otherwise for a name or slot that is being reaped */
	bool was_hungry;
	uint64_t since_us, deadline_ms;
	struct loop_timer *timer;
};

static void set_hungry(struct waiter *w, bool hungry)
{
	w->d->n_hungry += (unsigned int)hungry - (unsigned int)w->hungry;
	w->hungry = hungry;
	w->was_hungry |= hungry;
}

static void waiter_free(struct waiter *w)
{
	set_hungry(w, false);
	TAILQ_REMOVE(&w->d->waiters, w, entry);
	w->d->n_waiters--;
	loop_timer_free(w->timer);
	free(w);
}

/* < 0: the peer has not heard of it */
static int answer_wiring(struct rpc_conn *conn, const struct vw_rpc_wiring *w)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	int r = vw_rpc_wiring_encode(rpc_conn_version(conn), w, &b, &err);

	if (r == 0)
		return rpc_conn_reply(conn, &b);
	rpc_conn_fail(conn, &err);
	return r;
}

/* of an attachment that nobody has heard of nothing may be left */
static void answer_add(struct daemon *d, struct rpc_conn *conn, const struct vw_attach_key *key, const struct vw_rpc_wiring *w)
{
	struct vw_err err;

	if (answer_wiring(conn, w) < 0 && !w->existing && attach_del(d, key, true, &err) < 0)
		vw_warn("an ADD that got no answer could not be undone; its DEL will do it", "container_id=%s ifname=%s err=\"%s\"",
			key->container_id, key->ifname, err.msg);
}

static void answer_ok(struct rpc_conn *conn)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;

	if (vw_rpc_ok_encode(rpc_conn_version(conn), &b, &err) < 0)
		rpc_conn_fail(conn, &err);
	else
		rpc_conn_reply(conn, &b);
}

static int not_ready(const struct daemon *d, struct vw_err *err)
{
	return vw_err_set(err, EAGAIN, VW_CNI_TRY_AGAIN, "vpcwired does not know its node yet%s%s",
			  d->trouble.eno ? ": " : ", it has just started", d->trouble.eno ? d->trouble.msg : "");
}

static int add_try(struct daemon *d, const struct vw_rpc_req *req, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	if (d->draining && !attach_known(d, &req->key))
		return drain_refuse(err);
	return d->ready ? attach_add(d, req, ret_w, err) : not_ready(d, err);
}

/* nothing that is under way or will happen in time can help this waiter */
static bool hopeless(struct daemon *d, const struct waiter *w, int r, struct vw_err *err)
{
	uint64_t cools, until;
	struct vw_err cause;

	if (r != -EAGAIN || !d->ready || !grow_cause(d, &until, &cause) || (until && until < w->deadline_ms))
		return false;
	cools = ipam_pool_next_free_ms(d->pool);
	if (cools < w->deadline_ms)
		return false;
	*err = cause;
	return true;
}

static unsigned long long waited_ms(const struct waiter *w)
{
	return (vw_mono_us() - w->since_us) / 1000;
}

/* its answer can be given now */
static void serve_waiter(struct waiter *w, const struct vw_rpc_wiring *wiring)
{
	if (w->was_hungry)
		metrics_took(w->d, METRIC_ADD_WAIT, w->since_us);
	metrics_took(w->d, METRIC_ADD, w->since_us);
	answer_add(w->d, w->conn, &w->req.key, wiring);
	waiter_free(w);
}

static void fail_waiter(struct waiter *w, const struct vw_err *err)
{
	vw_warn("no address for a pod", "container_id=%s pod=%s/%s dur_ms=%llu err=\"%s\"", w->req.key.container_id,
		w->req.pod_namespace, w->req.pod_name, waited_ms(w), err->msg);
	grow_demand(w->d, GROW_WITHDRAWN);
	metrics_add_failed(w->d, err);
	rpc_conn_fail(w->conn, err);
	waiter_free(w);
}

static void on_deadline(void *arg)
{
	struct waiter *w = arg;
	struct daemon *d = w->d;
	struct vw_rpc_wiring wiring;
	struct vw_err err, cause;
	int r = add_try(d, &w->req, &wiring, &err);

	if (r == 0) {
		serve_waiter(w, &wiring);
		return;
	}
	if (r == -EAGAIN && d->ready) {
		/* where a pause has just ended: what failed before it is begun anew, and not forgotten for a turn of the loop */
		grow_plan(d);
		if (grow_cause(d, NULL, &cause) || grow_met(d, &cause))
			err = cause;
		else
			vw_err_set(&err, EAGAIN, VW_CNI_TRY_AGAIN,
				   "no free address after %llu ms of waiting; the pool is growing (changes at EC2 under way: %zu), retry",
				   waited_ms(w), grow_in_flight(d));
	}
	fail_waiter(w, &err);
}

void serve_waiters(struct daemon *d)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&d->waiters); w; w = next) {
		struct vw_rpc_wiring wiring;
		struct vw_err err;
		int r = add_try(d, &w->req, &wiring, &err);

		next = TAILQ_NEXT(w, entry);
		if (r == 0) {
			vw_debug("an ADD got its address after waiting", "container_id=%s dur_ms=%llu",
				 w->req.key.container_id, waited_ms(w));
			serve_waiter(w, &wiring);
		} else if ((r != -EAGAIN && r != -EBUSY) || hopeless(d, w, r, &err)) {
			fail_waiter(w, &err);
		} else {
			set_hungry(w, r == -EAGAIN);
		}
	}
}

static void wait_for_address(struct daemon *d, struct rpc_conn *conn, const struct vw_rpc_req *req,
			     uint64_t since_us, const struct vw_err *why)
{
	uint64_t wait_ms = d->cfg->add_wait_ms;
	struct waiter *w;

	if (req->deadline_ms && req->deadline_ms < wait_ms + ANSWER_MARGIN_MS)
		wait_ms = req->deadline_ms > ANSWER_MARGIN_MS ? req->deadline_ms - ANSWER_MARGIN_MS : 0;
	w = d->n_waiters < WAITERS_MAX && wait_ms ? calloc(1, sizeof(*w)) : NULL;
	if (!w || loop_timer_new(d->loop, on_deadline, w, &w->timer) < 0) {
		free(w);
		metrics_add_failed(d, why);
		rpc_conn_fail(conn, why);
		return;
	}
	w->d = d;
	w->conn = conn;
	w->req = *req;
	w->req.valid = NULL;
	w->since_us = since_us;
	w->deadline_ms = since_us / 1000 + wait_ms;
	loop_timer_set(w->timer, wait_ms);
	TAILQ_INSERT_TAIL(&d->waiters, w, entry);
	d->n_waiters++;
	grow_demand(d, GROW_ARRIVED);
	set_hungry(w, why->eno == EAGAIN);
	daemon_pool_changed(d);
}

static void handle_add(struct daemon *d, struct rpc_conn *conn, const struct vw_rpc_req *req)
{
	bool known = attach_known(d, &req->key);
	uint64_t since_us = vw_mono_us();
	struct vw_rpc_wiring w;
	struct vw_err err;
	int r;

	d->metrics.add_requests++;
	/* those who wait come first: a newcomer must not take the address that has just become free */
	r = d->n_hungry && d->ready && !known ?
		    vw_err_set(&err, EAGAIN, VW_CNI_TRY_AGAIN, "%u ADDs wait for an address already", d->n_hungry) :
		    add_try(d, req, &w, &err);
	if (r == 0) {
		metrics_took(d, METRIC_ADD, since_us);
		answer_add(d, conn, &req->key, &w);
		if (!known)
			grow_demand(d, GROW_ARRIVED);
		daemon_pool_changed(d);
	} else if (r == -EAGAIN || r == -EBUSY) {
		d->metrics.no_address += r == -EAGAIN && d->ready;
		wait_for_address(d, conn, req, since_us, &err);
	} else {
		metrics_add_failed(d, &err);
		vw_error("ADD failed", "container_id=%s ifname=%s err=\"%s\"", req->key.container_id, req->key.ifname, err.msg);
		rpc_conn_fail(conn, &err);
	}
}

static void handle_status(struct daemon *d, struct rpc_conn *conn)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_rpc_status st = { 0 };
	struct vw_err err;

	info_status(d, &st);
	if (vw_rpc_status_encode(rpc_conn_version(conn), &st, &b, &err) < 0)
		rpc_conn_fail(conn, &err);
	else
		rpc_conn_reply(conn, &b);
}

static void handle_info(struct daemon *d, struct rpc_conn *conn)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(VW_RPC_MAX);
	struct vw_err err;

	if (info_print(d, rpc_conn_version(conn), &b, &err) < 0)
		rpc_conn_fail(conn, &err);
	else
		rpc_conn_reply(conn, &b);
}

static void handle_query(struct daemon *d, struct rpc_conn *conn, const struct vw_rpc_req *req)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(VW_RPC_LARGE_MAX);
	struct vw_json *result = NULL;
	struct vw_err err;
	int r = query_begin(d, conn, req->what, req->args, &err);

	if (r > 0)
		return;
	if (r < 0 || query_answer(d, req->what, req->args, &result, &err) < 0 ||
	    vw_rpc_result_encode(rpc_conn_version(conn), result, &b, &err) < 0)
		rpc_conn_fail(conn, &err);
	else
		rpc_conn_reply(conn, &b);
}

static int handle_del(struct daemon *d, const struct vw_rpc_req *req, struct vw_err *err)
{
	uint64_t since_us = vw_mono_us();
	int r = attach_del(d, &req->key, req->failed, err);

	d->metrics.dels++;
	d->metrics.undone += req->failed;
	if (r == 0)
		metrics_took(d, METRIC_DEL, since_us);
	else
		d->metrics.del_failed++;
	return r;
}

static void serve_handle(struct rpc_conn *conn, const struct vw_rpc_req *req, void *arg)
{
	struct daemon *d = arg;
	struct vw_rpc_wiring w;
	struct vw_err err;
	int r = 0;

	switch (req->op) {
	case VW_RPC_ADD:
		handle_add(d, conn, req);
		return;
	case VW_RPC_STATUS:
		handle_status(d, conn);
		return;
	case VW_RPC_INFO:
		handle_info(d, conn);
		return;
	case VW_RPC_QUERY:
		handle_query(d, conn, req);
		return;
	case VW_RPC_CHECK:
		r = attach_wiring(d, &req->key, &w, &err);
		if (r == 0) {
			(void)answer_wiring(conn, &w);
			return;
		}
		break;
	case VW_RPC_DEL:
		r = handle_del(d, req, &err);
		break;
	case VW_RPC_DRAIN:
		r = drain_set(d, !req->off, &err);
		break;
	case VW_RPC_GC:
		d->metrics.gcs++;
		r = attach_gc(d, req, &err);
		break;
	}
	if (r < 0) {
		vw_warn("a request failed", "op=%d container_id=%s err=\"%s\"", (int)req->op, req->key.container_id, err.msg);
		rpc_conn_fail(conn, &err);
		return;
	}
	answer_ok(conn);
	daemon_pool_changed(d);
}

static void serve_gone(struct rpc_conn *conn, void *arg)
{
	struct daemon *d = arg;
	struct waiter *w;

	TAILQ_FOREACH(w, &d->waiters, entry)
		if (w->conn == conn) {
			grow_demand(d, GROW_WITHDRAWN);
			waiter_free(w);
			return;
		}
	later_gone(d, conn);
}

const struct rpc_server_ops serve_ops = { .handle = serve_handle, .gone = serve_gone };

void serve_done(struct daemon *d)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&d->waiters)))
		waiter_free(w);
}
