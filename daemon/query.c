/* The table of queries. */
#include "daemon/query.h"

#include "daemon/daemon.h"
#include "daemon/denied.h"
#include "daemon/doctor.h"
#include "daemon/drift.h"
#include "daemon/events.h"
#include "daemon/explain.h"
#include "daemon/info.h"
#include "daemon/policy.h"
#include "daemon/pool_plan.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <string.h>

static const struct {
	const char *what;
	int (*answer)(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
} queries[] = {
	{ "node", info_query_node },
	{ "pod", explain_query_pod },
	{ "pool-plan", pool_plan_query },
	{ "policy-status", policy_query_status },
	{ "policy-explain", policy_query_explain },
	{ "policy-simulate", policy_query_simulate },
	{ "drift", drift_query },
	{ "denied", denied_query },
	{ "metrics", metrics_query },
};

static const struct {
	const char *what;
	int (*begin)(struct daemon *d, struct rpc_conn *conn, const struct vw_json *args, struct vw_err *err);
} slow_queries[] = {
	{ "doctor", doctor_query },
	{ "events", events_query },
};

int query_answer(struct daemon *d, const char *what, const struct vw_json *args, struct vw_json **ret_result,
		 struct vw_err *err)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(queries); i++)
		if (!strcmp(queries[i].what, what))
			return queries[i].answer(d, args, ret_result, err);
	return vw_err_set(err, EINVAL, 0, "this vpcwired knows no query '%.31s': install vpcwirectl of the same release", what);
}

int query_begin(struct daemon *d, struct rpc_conn *conn, const char *what, const struct vw_json *args, struct vw_err *err)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(slow_queries); i++)
		if (!strcmp(slow_queries[i].what, what)) {
			int r = slow_queries[i].begin(d, conn, args, err);

			return r < 0 ? r : 1;
		}
	return 0;
}
