/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: general settings, roles and credentials, rate limits, instances. The network part is
 * config_net.c. */
#include "sim/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/cidrs.h"
#include "sim/config_net.h"
#include "sim/config_util.h"
#include "sim/ec2.h"
#include "sim/imds.h"
#include "sim/ops.h"
#include "sim/service.h"

static int deny_list(const struct vw_json *j, struct sim_role *role, struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	int r = vw_json_get_arr(j, "deny", &arr, err);
	size_t i;

	if (r <= 0)
		return r;
	if (vw_json_len(arr) > SIM_MAX_DENY)
		return vw_err_set(err, EINVAL, 0, "'deny' has more than %d entries", SIM_MAX_DENY);
	role->n_deny = 0;
	for (i = 0; i < vw_json_len(arr); i++) {
		const char *action = vw_json_string(vw_json_at(arr, i));

		if (!action || (strcmp(action, "*") != 0 && !sim_ec2_action_find(action)) ||
		    vw_fmt(role->deny[role->n_deny], sizeof(role->deny[0]), "%s", action) < 0)
			return vw_err_set(err, EINVAL, 0, "'deny': '%s' is no action",
					  action ? action : "(no text)");
		role->n_deny++;
	}
	return 0;
}

static int role(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_service *s = arg;
	char name[64] = "";
	struct sim_role *r;

	if (sim_cfg_keys(j, "name lifetime_s deny", where, err) < 0 ||
	    sim_cfg_text(j, "name", name, sizeof(name), err) < 0)
		return -EINVAL;
	if (!name[0])
		return vw_err_set(err, EINVAL, 0, "a role needs 'name'");
	r = sim_role_add(&s->creds, name);
	if (!r)
		return vw_err_sys(err, ENOMEM, 0, "adding a role");
	if (sim_cfg_uint(j, "lifetime_s", 7 * 86400, &r->lifetime_s, err) < 0)
		return -EINVAL;
	return deny_list(j, r, err);
}

static const char credential_keys[] = "access_key secret_key session_token expires_in_s role user deny";
static const char instance_keys[] = "name id type subnet private_ip public_ip role security_groups tags "
				    "ipv4_prefixes ipv4_secondaries ipv6_addresses";
static const char config_keys[] =
	"region account scattered attach_delay_ms detach_delay_ms imds_lag_ms imds_hop_limit max_clock_skew_s vpcs subnets "
	"security_groups instance_types instances roles credentials container_credentials "
	"web_identity_tokens buckets";

static int credential(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_service *s = arg;
	char key[32] = "", secret[64] = "", token[128] = "", name[64] = "", user[64] = "sim";
	unsigned int expires = 0;
	struct sim_role *r;

	if (sim_cfg_keys(j, credential_keys, where, err) < 0 ||
	    sim_cfg_text(j, "access_key", key, sizeof(key), err) < 0 ||
	    sim_cfg_text(j, "secret_key", secret, sizeof(secret), err) < 0 ||
	    sim_cfg_text(j, "session_token", token, sizeof(token), err) < 0 ||
	    sim_cfg_text(j, "role", name, sizeof(name), err) < 0 ||
	    sim_cfg_text(j, "user", user, sizeof(user), err) < 0 ||
	    sim_cfg_uint(j, "expires_in_s", 7 * 86400, &expires, err) < 0)
		return -EINVAL;
	if (!key[0] || !secret[0])
		return vw_err_set(err, EINVAL, 0, "credentials need 'access_key' and 'secret_key'");
	/* rights belong to the key unless it is a role's */
	r = sim_role_add(&s->creds, name[0] ? name : key);
	if (!r ||
	    !sim_cred_add(&s->creds, key, secret, token, expires ? sim_now(s->w) + expires : 0, r, user))
		return vw_err_sys(err, ENOMEM, 0, "adding credentials");
	return deny_list(j, r, err);
}

int sim_config_web_id(struct sim_service *s, const struct vw_json *j, struct vw_err *err)
{
	struct sim_web_id *w;
	const char *token = NULL;
	char name[64] = "";
	bool expired = false;

	if (vw_json_get_str(j, "token", &token, err) < 0 ||
	    sim_cfg_text(j, "role", name, sizeof(name), err) < 0 ||
	    vw_json_get_bool(j, "expired", &expired, err) < 0)
		return -EINVAL;
	if (!token || !*token || !name[0])
		return vw_err_set(err, EINVAL, 0, "a web identity token needs 'token' and 'role'");
	TAILQ_FOREACH(w, &s->web_ids, link)
		if (strcmp(w->token, token) == 0)
			break;
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w || !(w->token = strdup(token))) {
			free(w);
			return vw_err_sys(err, ENOMEM, 0, "adding a web identity token");
		}
		TAILQ_INSERT_TAIL(&s->web_ids, w, link);
	}
	w->expired = expired;
	memcpy(w->role, name, sizeof(w->role));
	return sim_role_add(&s->creds, name) ? 0 : vw_err_sys(err, ENOMEM, 0, "adding a role");
}

static int web_id(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	int r = sim_cfg_keys(j, "token role expired", where, err);

	return r < 0 ? r : sim_config_web_id(arg, j, err);
}

static int container(struct sim_service *s, const struct vw_json *all, struct vw_err *err)
{
	const struct vw_json *j = NULL;
	int r = vw_json_get_obj(all, "container_credentials", &j, err);

	if (r <= 0)
		return r;
	if (sim_cfg_keys(j, "token role", "container_credentials", err) < 0 ||
	    sim_cfg_text(j, "token", s->ccreds_token, sizeof(s->ccreds_token), err) < 0 ||
	    sim_cfg_text(j, "role", s->ccreds_role, sizeof(s->ccreds_role), err) < 0)
		return -EINVAL;
	return !s->ccreds_role[0] || sim_role_add(&s->creds, s->ccreds_role)
		       ? 0
		       : vw_err_sys(err, ENOMEM, 0, "a role");
}

/* "aws": the buckets EC2 gives each account and region (EC2 API reference, "Request throttling"). */
static int aws_buckets(struct sim_service *s)
{
	static const char *const mutating[] = {
		"AssignIpv6Addresses",
		"AssignPrivateIpAddresses",
		"AttachNetworkInterface",
		"CreateNetworkInterface",
		"CreateTags",
		"DeleteNetworkInterface",
		"DeleteTags",
		"DetachNetworkInterface",
		"ModifyNetworkInterfaceAttribute",
		"UnassignIpv6Addresses",
		"UnassignPrivateIpAddresses",
	};
	size_t i;
	int r = sim_bucket_set(&s->faults, "*", 100, 20);

	for (i = 0; i < VW_ARRAY_SIZE(mutating) && r == 0; i++)
		r = sim_bucket_set(&s->faults, mutating[i], 100, 10);
	return r;
}

static int buckets(struct sim_service *s, const struct vw_json *all, struct vw_err *err)
{
	const struct vw_json *j = vw_json_get(all, "buckets"), *b;
	void *iter = NULL;
	const char *action;

	if (vw_json_is_null(j))
		return 0;
	if (vw_json_string(j))
		return strcmp(vw_json_string(j), "aws") == 0 && aws_buckets(s) == 0
			       ? 0
			       : vw_err_set(err, EINVAL, 0, "'buckets' is \"aws\" or an object");
	while ((action = vw_json_each(j, &iter, &b))) {
		unsigned int size = 0, refill = 0;

		if (strcmp(action, "*") != 0 && !sim_ec2_action_find(action))
			return vw_err_set(err, EINVAL, 0, "'buckets': '%s' is no action", action);
		if (sim_cfg_keys(b, "size refill_per_s", action, err) < 0 ||
		    sim_cfg_uint(b, "size", 1000000, &size, err) < 0 ||
		    sim_cfg_uint(b, "refill_per_s", 1000000, &refill, err) < 0 ||
		    sim_bucket_set(&s->faults, action, size, refill) < 0)
			return vw_err_wrap(err, "buckets");
	}
	return 0;
}

/* Names of groups -> pointers. Return: number, -EINVAL. */
static int instance_groups(struct sim_world *w, const struct vw_json *j, const struct sim_sg **ret,
			   struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	int r = vw_json_get_arr(j, "security_groups", &arr, err);
	size_t i, n = r > 0 ? vw_json_len(arr) : 0;

	if (r < 0)
		return r;
	if (n > SIM_MAX_GROUPS)
		return vw_err_set(err, EINVAL, 0, "more than %d security groups", SIM_MAX_GROUPS);
	for (i = 0; i < n; i++) {
		const char *name = vw_json_string(vw_json_at(arr, i));

		ret[i] = name ? sim_cfg_sg(w, name) : NULL;
		if (!ret[i])
			return vw_err_set(err, EINVAL, 0, "there is no security group '%s'",
					  name ? name : "(no text)");
	}
	return (int)n;
}

static int instance_parts(struct sim_world *w, const struct vw_json *j, struct sim_run *run,
			  struct vw_err *err)
{
	char type[32] = "t3.medium", in[64] = "";

	if (sim_cfg_text(j, "type", type, sizeof(type), err) < 0 ||
	    sim_cfg_text(j, "subnet", in, sizeof(in), err) < 0 ||
	    sim_cfg_ip(j, "private_ip", &run->eni.primary, err) < 0 ||
	    sim_cfg_ip(j, "public_ip", &run->public_ip, err) < 0 ||
	    sim_cfg_uint(j, "ipv4_prefixes", 64, &run->eni.v4.n_prefixes, err) < 0 ||
	    sim_cfg_uint(j, "ipv4_secondaries", 64, &run->eni.v4.n_addrs, err) < 0 ||
	    sim_cfg_uint(j, "ipv6_addresses", 64, &run->eni.v6.n_addrs, err) < 0 ||
	    vw_json_get_str(j, "name", &run->name, err) < 0 ||
	    vw_json_get_str(j, "role", &run->role, err) < 0)
		return -EINVAL;
	run->type = sim_itype_find(w, type);
	run->eni.subnet = sim_cfg_subnet(w, in);
	if (!run->type)
		return vw_err_set(err, EINVAL, 0,
				  "there is no instance type '%s': describe it in 'instance_types'", type);
	if (!run->eni.subnet)
		return vw_err_set(err, EINVAL, 0, "there is no subnet '%s'", in);
	return 0;
}

int sim_config_instance(struct sim_service *s, const struct vw_json *j, struct sim_instance **ret_inst,
			struct vw_err *err)
{
	const struct sim_sg *groups[SIM_MAX_GROUPS];
	struct sim_tags tags = { 0 };
	struct sim_run run = { .tags = &tags };
	struct sim_fail f;
	char id[SIM_ID_LEN];
	int r = instance_parts(s->w, j, &run, err);

	if (r == 0)
		r = instance_groups(s->w, j, groups, err);
	if (r < 0)
		return r;
	run.eni.groups = groups;
	run.eni.n_groups = (size_t)r;
	r = sim_cfg_id(s->w, j, "i", id, err);
	run.id = id;
	if (r == 0)
		r = sim_cfg_tags(j, &tags, err);
	if (r >= 0 && run.role && !sim_role_add(&s->creds, run.role))
		r = vw_err_sys(err, ENOMEM, 0, "adding role '%s'", run.role);
	if (r >= 0) {
		r = sim_instance_run(s->w, &run, ret_inst, &f);
		if (r < 0)
			r = vw_err_set(err, EINVAL, 0, "%s: %s", f.code, f.msg);
	}
	sim_tags_done(&tags);
	return r;
}

static int instance(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_instance *inst;
	int r = sim_cfg_keys(j, instance_keys, where, err);

	return r < 0 ? r : sim_config_instance(arg, j, &inst, err);
}

static const char default_creds[] =
	"{\"credentials\":[{\"access_key\":\"AKIAVPCWIRESIM000001\",\"secret_key\":\"vpcwire-sim-secret\",\"user\":\"sim\"}]}";

static int identities(struct sim_service *s, const struct vw_json *j, struct vw_err *err)
{
	vw_auto_json struct vw_json *def = NULL;
	int r = vw_json_parse(default_creds, strlen(default_creds), NULL, "the default credentials", &def,
			      err);

	if (r == 0)
		r = sim_cfg_each(j, "roles", role, s, err);
	if (r == 0)
		r = sim_cfg_each(vw_json_get(j, "credentials") ? j : def, "credentials", credential, s, err);
	if (r == 0)
		r = sim_cfg_each(j, "web_identity_tokens", web_id, s, err);
	if (r == 0)
		r = container(s, j, err);
	return r;
}

int sim_config_apply(struct sim_service *s, const struct vw_json *j, struct vw_err *err)
{
	struct sim_world *w = s->w;
	unsigned int lag = 0, hops = 0;
	int r;

	if (vw_fmt(w->region, sizeof(w->region), "eu-central-1") < 0 ||
	    vw_fmt(w->account, sizeof(w->account), "123456789012") < 0)
		return -EINVAL;
	if (j && sim_cfg_keys(j, config_keys, "the configuration", err) < 0)
		return -EINVAL;
	if (sim_cfg_text(j, "region", w->region, sizeof(w->region), err) < 0 ||
	    sim_cfg_text(j, "account", w->account, sizeof(w->account), err) < 0 ||
	    vw_json_get_bool(j, "scattered", &w->scattered, err) < 0 ||
	    sim_cfg_uint(j, "attach_delay_ms", 600000, &w->attach_delay_ms, err) < 0 ||
	    sim_cfg_uint(j, "detach_delay_ms", 600000, &w->detach_delay_ms, err) < 0 ||
	    sim_cfg_uint(j, "imds_lag_ms", 600000, &lag, err) < 0 ||
	    sim_cfg_uint(j, "imds_hop_limit", 64, &hops, err) < 0 ||
	    sim_cfg_uint(j, "max_clock_skew_s", 86400, &s->creds.max_skew_s, err) < 0)
		return -EINVAL;
	r = sim_config_net(w, j, err);
	if (r == 0)
		r = identities(s, j, err);
	if (r == 0)
		r = buckets(s, j, err);
	if (r == 0)
		r = sim_cfg_each(j, "instances", instance, s, err);
	if (r == 0)
		sim_imds_lag(s->imds, lag);
	if (r == 0)
		sim_imds_hop_limit(s->imds, hops);
	return r;
}
