/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the control socket: what a test may ask of the cloud, and do to it behind everybody's back. */
#include "sim/control_cmds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/cloud.h"
#include "sim/config.h"
#include "sim/config_net.h"
#include "sim/config_util.h"
#include "sim/ec2.h"
#include "sim/imds.h"
#include "sim/service.h"
#include "sim/state_json.h"

static int no_memory(struct vw_err *err)
{
	return vw_err_sys(err, ENOMEM, 0, "answering");
}

static int failed(const struct sim_fail *f, struct vw_err *err)
{
	return vw_err_set(err, EINVAL, 0, "%s: %s", f->code, f->msg);
}

static int need_text(const struct vw_json *args, const char *key, const char **ret, struct vw_err *err)
{
	int r = vw_json_get_str(args, key, ret, err);

	return r == 0 ? vw_err_set(err, EINVAL, 0, "the command needs '%s'", key) : r;
}

static int need_uint(const struct vw_json *args, const char *key, unsigned int max, unsigned int *ret,
		     struct vw_err *err)
{
	int r = sim_cfg_uint(args, key, max, ret, err);

	return r == 0 ? vw_err_set(err, EINVAL, 0, "the command needs '%s'", key) : r;
}

static int need_eni(struct sim_service *s, const struct vw_json *args, struct sim_eni **ret,
		    struct vw_err *err)
{
	const char *id = NULL;

	if (need_text(args, "eni", &id, err) < 0)
		return -EINVAL;
	*ret = sim_eni_find(s->w, id);
	return *ret ? 0 : vw_err_set(err, ENOENT, 0, "there is no ENI '%s'", id);
}

static int need_instance(struct sim_service *s, const struct vw_json *args, struct sim_instance **ret,
			 struct vw_err *err)
{
	const char *id = NULL;

	if (need_text(args, "instance", &id, err) < 0)
		return -EINVAL;
	*ret = sim_instance_find(s->w, id);
	return *ret ? 0 : vw_err_set(err, ENOENT, 0, "there is no instance '%s'", id);
}

/* The first one where none is named. */
static int get_subnet(struct sim_service *s, const struct vw_json *args, struct sim_subnet **ret,
		      struct vw_err *err)
{
	const char *name = "";

	if (vw_json_get_str(args, "subnet", &name, err) < 0)
		return -EINVAL;
	*ret = sim_cfg_subnet(s->w, name);
	return *ret ? 0 : vw_err_set(err, ENOENT, 0, "there is no subnet '%s'", name);
}

static int set(struct vw_json *reply, const char *key, struct vw_json *take_value, struct vw_err *err)
{
	return vw_json_set(reply, key, take_value) < 0 ? no_memory(err) : 0;
}

static int do_state(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	return set(reply, "state", sim_state_json(s->w), err);
}

static struct vw_json *changes_json(const struct sim_changes *c)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();

	if (vw_json_set_int(j, "created", c->created) < 0 || vw_json_set_int(j, "attached", c->attached) < 0 ||
	    vw_json_set_int(j, "detached", c->detached) < 0 || vw_json_set_int(j, "deleted", c->deleted) < 0)
		return NULL;
	return VW_TAKE_PTR(j);
}

static int do_counters(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	int r = set(reply, "counters", sim_counters_json(&s->faults), err);

	return r < 0 ? r : set(reply, "enis", changes_json(&s->w->changes), err);
}

static int do_reset_counters(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	sim_counters_reset(&s->faults);
	return 0;
}

static bool is_action(const char *name)
{
	static const char *const others[] = { "*",
					      "IMDS",
					      "IMDSToken",
					      "ContainerCredentials",
					      "AssumeRoleWithWebIdentity",
					      "GetCallerIdentity" };
	size_t i;

	for (i = 0; i < VW_ARRAY_SIZE(others); i++)
		if (strcmp(others[i], name) == 0)
			return true;
	return sim_ec2_action_find(name) != NULL;
}

static int do_fault(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	const char *action = NULL;
	int id;

	if (need_text(args, "action", &action, err) < 0)
		return -EINVAL;
	/* a misspelt name would make a fault that never strikes, and a test that passes for nothing */
	if (!is_action(action))
		return vw_err_set(err, EINVAL, 0, "there is no action '%s'", action);
	id = sim_fault_add(&s->faults, args, err);
	return id < 0 ? id : set(reply, "id", vw_json_new_int(id), err);
}

static int do_faults(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	return set(reply, "faults", sim_faults_json(&s->faults), err);
}

static int do_clear_faults(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	unsigned int id = 0;

	if (sim_cfg_uint(args, "id", UINT32_MAX, &id, err) < 0)
		return -EINVAL;
	return set(reply, "cleared", vw_json_new_int(sim_fault_clear(&s->faults, id)), err);
}

static int do_imds_lag(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	unsigned int ms = 0;

	if (need_uint(args, "ms", 3600000, &ms, err) < 0)
		return -EINVAL;
	sim_imds_lag(s->imds, ms);
	return 0;
}

static int do_imds_hide(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	const char *path = NULL;
	int r;

	if (need_text(args, "path", &path, err) < 0)
		return -EINVAL;
	r = sim_imds_hide(s->imds, path);
	return r < 0 ? vw_err_sys(err, r, 0, "hiding '%s'", path) : 0;
}

static int do_imds_show(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	sim_imds_unhide(s->imds);
	return 0;
}

static int do_delays(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;

	if (sim_cfg_uint(args, "attach_ms", 3600000, &s->w->attach_delay_ms, err) < 0 ||
	    sim_cfg_uint(args, "detach_ms", 3600000, &s->w->detach_delay_ms, err) < 0)
		return -EINVAL;
	return 0;
}

static int do_detach_eni(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_fail f;
	struct sim_eni *e;

	if (need_eni(arg, args, &e, err) < 0)
		return -err->eno;
	return sim_eni_detach(e, true, &f) < 0 ? failed(&f, err) : 0;
}

static int do_delete_eni(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_fail f;
	struct sim_eni *e;

	if (need_eni(arg, args, &e, err) < 0)
		return -err->eno;
	if (e->att.state != SIM_ATT_NONE && sim_eni_detach(e, true, &f) < 0)
		return failed(&f, err);
	return sim_eni_delete(e, &f) < 0 ? failed(&f, err) : 0;
}

static int do_unassign(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_cidrs list = { 0 };
	struct vw_cidr c;
	const char *text = NULL;
	struct sim_fail f;
	struct sim_eni *e;
	int r;

	if (need_eni(arg, args, &e, err) < 0 || need_text(args, "cidr", &text, err) < 0)
		return -err->eno;
	if (vw_cidr_parse(text, &c) < 0)
		return vw_err_set(err, EINVAL, 0, "'%s' is neither an address nor a prefix", text);
	if (sim_cidrs_add(&list, &c) < 0)
		return no_memory(err);
	r = sim_eni_unassign(e, c.ip.family, &list, &f);
	sim_cidrs_done(&list);
	return r < 0 ? failed(&f, err) : 0;
}

static int do_fragment(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	struct sim_subnet *sn;

	if (get_subnet(s, args, &sn, err) < 0)
		return -err->eno;
	if (sim_cfg_fragment(sn, args, err) < 0)
		return -EINVAL;
	if (set(reply, "available", vw_json_new_int((int64_t)sim_subnet_available(sn)), err) < 0)
		return -ENOMEM;
	return set(reply, "free_prefixes", vw_json_new_int((int64_t)sim_subnet_free_prefixes(sn)), err);
}

static int do_unfragment(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	struct sim_subnet *sn;

	if (get_subnet(s, args, &sn, err) < 0)
		return -err->eno;
	sim_subnet_unfragment(sn);
	return 0;
}

static int do_delete_subnet(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	struct sim_instance *inst;
	struct sim_subnet *sn;
	struct sim_eni *e;

	if (get_subnet(s, args, &sn, err) < 0)
		return -err->eno;
	TAILQ_FOREACH(inst, &s->w->instances, link)
		if (inst->subnet == sn)
			return vw_err_set(err, EBUSY, 0, "the subnet '%s' has dependencies: %s", sn->id, inst->id);
	TAILQ_FOREACH(e, &s->w->enis, link)
		if (e->subnet == sn)
			return vw_err_set(err, EBUSY, 0, "the subnet '%s' has dependencies: %s", sn->id, e->id);
	sim_subnet_delete(s->w, sn);
	return 0;
}

static int do_expire(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	const char *role = NULL;

	if (vw_json_get_str(args, "role", &role, err) < 0)
		return -EINVAL;
	return set(reply, "expired", vw_json_new_int(sim_creds_expire(&s->creds, role)), err);
}

static int do_bucket(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	unsigned int size = 0, refill = 0;
	const char *action = NULL;

	if (need_text(args, "action", &action, err) < 0 || need_uint(args, "size", 1000000, &size, err) < 0 ||
	    sim_cfg_uint(args, "refill_per_s", 1000000, &refill, err) < 0)
		return -EINVAL;
	if (strcmp(action, "*") != 0 && !sim_ec2_action_find(action))
		return vw_err_set(err, EINVAL, 0, "there is no action '%s'", action);
	return sim_bucket_set(&s->faults, action, size, refill) < 0 ? no_memory(err) : 0;
}

static int do_clock(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	int64_t offset = 0;

	if (vw_json_get_int(args, "offset_s", -1000000000, 1000000000, &offset, err) < 0)
		return -EINVAL;
	s->w->clock_offset_s = offset;
	return set(reply, "now", vw_json_new_int(sim_now(s->w)), err);
}

static int do_run_instance(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_instance *inst;
	int r = sim_config_instance(arg, args, &inst, err);

	return r < 0 ? r : set(reply, "instance", vw_json_new_string(inst->id), err);
}

static int do_terminate(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	struct sim_service *s = arg;
	struct sim_instance *inst;

	if (need_instance(s, args, &inst, err) < 0)
		return -err->eno;
	sim_instance_terminate(s->w, inst);
	return 0;
}

static int do_web_identity(void *arg, const struct vw_json *args, struct vw_json *reply, struct vw_err *err)
{
	return sim_config_web_id(arg, args, err);
}

static const struct sim_ctl_cmd cmds[] = {
	{ "bucket", do_bucket, "action size refill_per_s" },
	{ "clear-faults", do_clear_faults, "id" },
	{ "clock", do_clock, "offset_s" },
	{ "counters", do_counters, "" },
	{ "delays", do_delays, "attach_ms detach_ms" },
	{ "delete-eni", do_delete_eni, "eni" },
	{ "delete-subnet", do_delete_subnet, "subnet" },
	{ "detach-eni", do_detach_eni, "eni" },
	{ "expire-credentials", do_expire, "role" },
	{ "fault", do_fault, "action path kind nth times code message status bytes delay_ms" },
	{ "faults", do_faults, "" },
	{ "fragment", do_fragment, "subnet free_prefixes held_per_block" },
	{ "imds-hide", do_imds_hide, "path" },
	{ "imds-lag", do_imds_lag, "ms" },
	{ "imds-show", do_imds_show, "" },
	{ "reset-counters", do_reset_counters, "" },
	{ "run-instance", do_run_instance,
	  "name id type subnet private_ip public_ip role security_groups tags ipv4_prefixes "
	  "ipv4_secondaries ipv6_addresses" },
	{ "state", do_state, "" },
	{ "terminate-instance", do_terminate, "instance" },
	{ "unassign", do_unassign, "eni cidr" },
	{ "unfragment", do_unfragment, "subnet" },
	{ "web-identity", do_web_identity, "token role expired" },
};

const struct sim_ctl_cmd *sim_control_cmds(size_t *ret_n)
{
	*ret_n = VW_ARRAY_SIZE(cmds);
	return cmds;
}
