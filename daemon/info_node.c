/* What an operator is told of the node beside its state: what is wrong, and what to do about it. */
#include "daemon/advice.h"
#include "daemon/confine.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/feed.h"
#include "daemon/info.h"
#include "daemon/placement.h"
#include "daemon/policy.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>

/* each message once, the gravest first; those that say the same are often one cause seen from two sides */
static int add_trouble(struct vw_json *arr, const char *what)
{
	struct vw_json *o;

	if (!what || !*what)
		return 0;
	for (size_t i = 0; i < vw_json_len(arr); i++)
		if (!strcmp(vw_json_string(vw_json_get(vw_json_at(arr, i), "what")), what))
			return 0;
	o = vw_json_new_object();
	if (vw_json_set_str(o, "what", what) < 0 || vw_json_set_str(o, "todo", advice_todo(what)) < 0) {
		vw_json_free(o);
		return -ENOMEM;
	}
	return vw_json_append(arr, o);
}

/* @feed: NULL: there is none of it */
static int add_troubles(struct daemon *d, struct vw_json *root, const struct vw_rpc_status *st, const struct vw_err *feed)
{
	const struct place *p = placement(d);
	struct vw_json *arr = vw_json_new_array();
	struct vw_err orphaned, refused;

	vw_err_set(&refused, EINVAL, 0, "the configuration is not valid, the running one stays in force: %s", d->config_refused.msg);
	if ((st->cni && add_trouble(arr, st->msg) < 0) || (info_orphaned(d, &orphaned) && add_trouble(arr, orphaned.msg) < 0) ||
	    (d->trouble.eno && add_trouble(arr, d->trouble.msg) < 0) || (p->why.eno && add_trouble(arr, p->why.msg) < 0) ||
	    (d->config_refused.eno && add_trouble(arr, refused.msg) < 0) || (feed && add_trouble(arr, feed->msg) < 0)) {
		vw_json_free(arr);
		return -ENOMEM;
	}
	return vw_json_set(root, "troubles", arr);
}

int info_query_node(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object(), *feed = NULL;
	bool with_pods = true, feed_ails;
	struct vw_rpc_status st;
	struct vw_err why;

	if (vw_json_get_bool(args, "pods", &with_pods, err) < 0)
		return -err->eno;
	info_status(d, &st);
	feed_ails = feed_look(d, &feed, &why);
	if (info_fill(d, root, true, with_pods) < 0 || vw_json_set_int(root, "cni", st.cni) < 0 ||
	    vw_json_set_str(root, "why", st.cni ? st.msg : NULL) < 0 ||
	    vw_json_set(root, "confinement", confine_json(d->cfg->system_calls)) < 0 || add_troubles(d, root, &st, feed_ails ? &why : NULL) < 0 ||
	    vw_json_set(root, "policy", policy_brief(d)) < 0 || vw_json_set(root, "errors", events_errors_json(d->events)) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the node's state");
	if (feed && vw_json_set(root, "feed", VW_TAKE_PTR(feed)) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the node's state");
	*ret = VW_TAKE_PTR(root);
	return 0;
}
