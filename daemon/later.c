#include "daemon/later.h"

#include "daemon/daemon.h"
#include "daemon/rpc_server.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>

struct later *later_new(struct daemon *d, struct rpc_conn *conn, void (*gone)(void *arg), void *arg)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct later){ .d = d, .conn = conn, .gone = gone, .arg = arg };
	TAILQ_INSERT_TAIL(&d->later, l, entry);
	return l;
}

static void end(struct later *l)
{
	TAILQ_REMOVE(&l->d->later, l, entry);
	free(l);
}

void later_forget(struct later *l)
{
	end(l);
}

void later_fail(struct later *l, const struct vw_err *err)
{
	if (l->conn)
		rpc_conn_fail(l->conn, err);
	end(l);
}

void later_answer(struct later *l, struct vw_json *take_result)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT_MAX(VW_RPC_LARGE_MAX);
	struct vw_err err;

	if (!l->conn) {
		vw_json_free(take_result);
	} else if (!take_result) {
		(void)vw_err_set(&err, ENOMEM, 0, "no memory for an answer");
		rpc_conn_fail(l->conn, &err);
	} else if (vw_rpc_result_encode(rpc_conn_version(l->conn), take_result, &b, &err) < 0) {
		rpc_conn_fail(l->conn, &err);
	} else {
		rpc_conn_reply(l->conn, &b);
	}
	end(l);
}

static void lose(struct later *l)
{
	l->conn = NULL;
	if (l->gone)
		l->gone(l->arg);
}

void later_gone(struct daemon *d, const struct rpc_conn *conn)
{
	struct later *l;

	TAILQ_FOREACH(l, &d->later, entry)
		if (l->conn == conn) {
			lose(l);
			return;
		}
}

void later_done(struct daemon *d)
{
	struct later *l, *next;

	for (l = TAILQ_FIRST(&d->later); l; l = next) {
		next = TAILQ_NEXT(l, entry);
		lose(l);
	}
}
