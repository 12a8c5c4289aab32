#pragma once

#include "lib/cni/version.h"

#include <stdbool.h>
#include <stddef.h>

struct vw_err;

enum vw_cni_cmd {
	VW_CNI_CMD_NONE,                /* CNI_COMMAND unset or empty: somebody asks who we are */
	VW_CNI_CMD_ADD, VW_CNI_CMD_DEL, VW_CNI_CMD_CHECK, VW_CNI_CMD_STATUS, VW_CNI_CMD_GC, VW_CNI_CMD_VERSION,
};

/**
 * struct vw_cni_env - the CNI_* variables. Texts are borrowed from the environment, "" where unset.
 * @netns_override: CNI_NETNS_OVERRIDE: the plugin's own namespace may be given (libcni's skel knows it too).
 */
struct vw_cni_env {
	enum vw_cni_cmd cmd;
	const char *container_id, *netns, *ifname, *args, *path;
	bool netns_override;
};

/**
 * vw_cni_env_parse() - read and check.
 * Fails with VW_CNI_INVALID_ENV: unknown command, variables that the command needs and that are missing (all named in
 * one message), a bad container id or interface name.
 * Source: containernetworking/cni pkg/skel/skel.go, pkg/utils/utils.go: same rules, same words; and for ADD no '%' in an interface's name.
 */
int vw_cni_env_parse(char *const envp[], struct vw_cni_env *ret_env, struct vw_err *err);
const char *vw_cni_cmd_str(enum vw_cni_cmd cmd);
/** vw_cni_cmd_since() - the first version of the specification that has @cmd. */
enum vw_cni_version vw_cni_cmd_since(enum vw_cni_cmd cmd);

#define VW_CNI_ARG_MAX 320      /* an argument's value, with NUL */

/**
 * struct vw_cni_args - what Kubernetes' runtimes and podman (@ip, @mac; unchecked) say in CNI_ARGS; "" where they do not.
 * @text: all of it, for vw_cni_arg(). Borrowed.
 */
struct vw_cni_args {
	char pod_namespace[VW_CNI_ARG_MAX], pod_name[VW_CNI_ARG_MAX], pod_uid[VW_CNI_ARG_MAX];
	char ip[VW_CNI_ARG_MAX], mac[VW_CNI_ARG_MAX];
	const char *text;
};

/**
 * vw_cni_args_parse() - "K=V;K=V". A pair without exactly one '=' is an error, and so is an unknown key unless
 * IgnoreUnknown=1 (or true) stands anywhere in @text. Fails with VW_CNI_INVALID_ENV.
 * @own: further keys that the plugin knows, NULL-terminated; NULL = none.
 * Source: pkg/types/args.go, LoadArgs().
 */
int vw_cni_args_parse(const char *text, const char *const *own, struct vw_cni_args *ret_args, struct vw_err *err);
/**
 * vw_cni_arg() - the value of one of the plugin's own keys, "" when it is not there.
 * Return: 1 = found, 0 = not there, -EINVAL (VW_CNI_INVALID_ENV: longer than @size - 1).
 */
int vw_cni_arg(const struct vw_cni_args *args, const char *key, char *ret, size_t size, struct vw_err *err);
