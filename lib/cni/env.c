/* The environment of a plugin: which verb, for which attachment, and Kubernetes' CNI_ARGS. */
#include "lib/cni/env.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

_Static_assert(VW_CNI_CMD_VERSION == 6, "command tables below");

static const char *const cmd_names[] = {"", "ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"};

#define BIT(cmd)         (1u << VW_CNI_CMD_##cmd)
#define EVERY_ATTACHMENT (BIT(ADD) | BIT(DEL) | BIT(CHECK))

const char *vw_cni_cmd_str(enum vw_cni_cmd cmd)
{
	return cmd_names[cmd];
}

enum vw_cni_version vw_cni_cmd_since(enum vw_cni_cmd cmd)
{
	switch (cmd) {
	case VW_CNI_CMD_CHECK:
		return VW_CNI_0_4_0;
	case VW_CNI_CMD_STATUS:
	case VW_CNI_CMD_GC:
		return VW_CNI_1_1_0;
	default:
		return VW_CNI_0_1_0;
	}
}

static int find_cmd(const char *name, enum vw_cni_cmd *ret_cmd, struct vw_err *err)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(cmd_names); i++) {
		if (!strcmp(name, cmd_names[i])) {
			*ret_cmd = (enum vw_cni_cmd)i;
			return 0;
		}
	}
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV, "unknown CNI_COMMAND: %.100s", name);
}

static int check_ids(const struct vw_cni_env *env, struct vw_err *err)
{
	size_t len = strlen(env->ifname);

	if (strlen(env->container_id) >= VW_CNI_ARG_MAX)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "CNI_CONTAINERID is too long\nat most %d bytes are supported",
				  VW_CNI_ARG_MAX - 1);
	if (!vw_is_name(env->container_id))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "invalid characters in containerID\nCNI_CONTAINERID is \"%s\"",
				  env->container_id);
	if (len > 15)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "interface name is too long\nCNI_IFNAME \"%.200s\" has %zu bytes, at most "
				  "15 are allowed",
				  env->ifname, len);
	if (!strcmp(env->ifname, ".") || !strcmp(env->ifname, ".."))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "interface name is . or ..\nCNI_IFNAME is \"%s\"", env->ifname);
	if (!vw_is_ifname(env->ifname))
		return vw_err_set(
			err, EINVAL, VW_CNI_INVALID_ENV,
			"interface name contains / or : or whitespace characters\nCNI_IFNAME is \"%s\"",
			env->ifname);
	/* the kernel would make a link of another name: dev_alloc_name(). DEL and CHECK find none of it. */
	if (env->cmd == VW_CNI_CMD_ADD && strchr(env->ifname, '%'))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "interface name contains %%, which stands for a number\nCNI_IFNAME is \"%s\"", env->ifname);
	return 0;
}

int vw_cni_env_parse(char *const envp[], struct vw_cni_env *ret_env, struct vw_err *err)
{
	struct vw_cni_env env = {0};
	const char *cmd = "", *override = "";
	const struct {
		const char *name;
		const char **value;
		unsigned int needed_by;
	} vars[] = {
		{"CNI_COMMAND", &cmd, 0},
		{"CNI_CONTAINERID", &env.container_id, EVERY_ATTACHMENT},
		{"CNI_NETNS", &env.netns, BIT(ADD) | BIT(CHECK)},
		{"CNI_IFNAME", &env.ifname, EVERY_ATTACHMENT},
		{"CNI_ARGS", &env.args, 0},
		{"CNI_PATH", &env.path, EVERY_ATTACHMENT | BIT(STATUS) | BIT(GC)},
		{"CNI_NETNS_OVERRIDE", &override, 0},
	};
	vw_auto_buf struct vw_buf missing = VW_BUF_INIT;

	for (size_t i = 0; i < VW_ARRAY_SIZE(vars); i++)
		*vars[i].value = "";
	for (; envp && *envp; envp++) {
		size_t name_len = strcspn(*envp, "=");

		if (strncmp(*envp, "CNI_", 4))
			continue;
		for (size_t i = 0; i < VW_ARRAY_SIZE(vars); i++) {
			if (strlen(vars[i].name) == name_len && !memcmp(*envp, vars[i].name, name_len) &&
			    (*envp)[name_len])
				*vars[i].value = *envp + name_len + 1;
		}
	}
	if (find_cmd(cmd, &env.cmd, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < VW_ARRAY_SIZE(vars); i++) {
		if (vars[i].needed_by & (1u << env.cmd) && !**vars[i].value)
			vw_buf_printf(&missing, "%s%s", missing.len ? "," : "", vars[i].name);
	}
	if (missing.len)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV, "required env variables [%s] missing",
				  vw_buf_str(&missing));
	if ((EVERY_ATTACHMENT & (1u << env.cmd)) && check_ids(&env, err) < 0)
		return -err->eno;
	env.netns_override = !strcmp(override, "1") || !strcasecmp(override, "true");
	*ret_env = env;
	return 0;
}

static bool is_own(const char *const *own, const char *key, size_t len)
{
	for (; own && *own; own++) {
		if (strlen(*own) == len && !memcmp(*own, key, len))
			return true;
	}
	return false;
}

/* One "key=value" of @len bytes. Return: 1 = known, 0 = not one of ours, -EINVAL. */
static int take_pair(const char *pair, size_t len, const char *const *own, struct vw_cni_args *args,
		     bool *ignore_unknown, struct vw_err *err)
{
	struct {
		const char *key;
		char *value;
	} known[] = {
		{"K8S_POD_NAMESPACE", args->pod_namespace},
		{"K8S_POD_NAME", args->pod_name},
		{"K8S_POD_UID", args->pod_uid},
		{"IP", args->ip},
		{"MAC", args->mac},
		{"K8S_POD_INFRA_CONTAINER_ID", NULL},
		{"IgnoreUnknown", NULL},
	};
	const char *eq = memchr(pair, '=', len);
	const char *value = eq ? eq + 1 : NULL;
	size_t value_len = eq ? len - (size_t)(value - pair) : 0;
	char word[8];

	if (!eq || memchr(value, '=', value_len))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV, "CNI_ARGS: invalid pair \"%.*s\"",
				  (int)len, pair);
	for (size_t i = 0; i < VW_ARRAY_SIZE(known); i++) {
		if (strlen(known[i].key) != (size_t)(eq - pair) ||
		    memcmp(pair, known[i].key, (size_t)(eq - pair)))
			continue;
		if (known[i].value &&
		    vw_fmt(known[i].value, VW_CNI_ARG_MAX, "%.*s", (int)value_len, value) < 0)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
					  "CNI_ARGS: the value of %s is longer than %d bytes", known[i].key,
					  VW_CNI_ARG_MAX - 1);
		if (!strcmp(known[i].key, "IgnoreUnknown") &&
		    (vw_fmt(word, sizeof(word), "%.*s", (int)value_len, value) < 0 ||
		     vw_parse_bool(word, ignore_unknown) < 0))
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
					  "CNI_ARGS: IgnoreUnknown is neither true nor false");
		return 1;
	}
	return is_own(own, pair, (size_t)(eq - pair));
}

int vw_cni_args_parse(const char *text, const char *const *own, struct vw_cni_args *ret_args, struct vw_err *err)
{
	vw_auto_buf struct vw_buf unknown = VW_BUF_INIT_MAX(300);
	struct vw_cni_args args = {.text = text};
	bool ignore_unknown = false;

	for (const char *p = text; *text; p++) {
		size_t len = strcspn(p, ";");
		int r = take_pair(p, len, own, &args, &ignore_unknown, err);

		if (r < 0)
			return r;
		if (r == 0)
			vw_buf_printf(&unknown, "%s\"%.*s\"", unknown.len ? " " : "", (int)len, p);
		p += len;
		if (!*p)
			break;
	}
	if ((unknown.len || vw_buf_err(&unknown)) && !ignore_unknown)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "CNI_ARGS: unknown args [%s] (IgnoreUnknown=1 allows them)",
				  vw_buf_str(&unknown));
	*ret_args = args;
	return 0;
}

int vw_cni_arg(const struct vw_cni_args *args, const char *key, char *ret, size_t size, struct vw_err *err)
{
	size_t key_len = strlen(key);

	*ret = '\0';
	for (const char *p = args->text ? args->text : ""; *p; p++) {
		size_t len = strcspn(p, ";");

		if (len > key_len && p[key_len] == '=' && !memcmp(p, key, key_len)) {
			if (vw_fmt(ret, size, "%.*s", (int)(len - key_len - 1), p + key_len + 1) < 0)
				return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
						  "CNI_ARGS: the value of %s is longer than %zu bytes", key, size - 1);
			return 1;
		}
		p += len;
		if (!*p)
			break;
	}
	return 0;
}
