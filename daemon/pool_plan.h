#pragma once

struct daemon;
struct vw_err;
struct vw_json;

/**
 * pool_plan_query() - query "pool-plan": what the planner would do now, and why. It is the planner itself that is asked, with what it is
 * asked with after every change; nothing is begun.
 */
int pool_plan_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
