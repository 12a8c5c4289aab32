#pragma once

#include "lib/cni/conf.h"
#include "lib/cni/env.h"
#include "lib/cni/wish.h"

#include <stdint.h>

struct vw_buf;
struct vw_err;

/**
 * struct vw_cni_call - one invocation, checked.
 * @wish:     what this attachment is to be like. ADD and CHECK.
 * @start_ms: when it began, vw_mono_ms() scale. @out: where ADD puts its result, empty at first.
 * @in, @envp: stdin and environment as they came, for delegates.
 */
struct vw_cni_call {
	struct vw_cni_env env;
	struct vw_cni_args args;
	struct vw_cni_conf conf;
	struct vw_cni_wish wish;
	uint64_t start_ms;
	struct vw_buf *out, *in;
	char *const *envp;
};

/**
 * struct vw_cni_plugin - a plugin is its verbs. Each returns 0, or -errno with @err filled; a newline in its message
 * parts the CNI error's "msg" from its "details". None prints.
 * @about: one line; runtimes read it from stderr when they call without a command.
 * @caps:  enum vw_cni_cap, the capabilities that it acts on; others that ask for something are refused.
 * @capabilities: what `--capabilities` prints, as AWS's ECS plugins do: a JSON object; NULL = no such flag.
 * @args:  keys of the plugin's own in CNI_ARGS, NULL-terminated; NULL = none.
 * @undo:  an ADD succeeded, but its result could not be written: nobody will ever know of it. Best effort.
 */
struct vw_cni_plugin {
	const char *name;
	const char *about;
	unsigned int caps;
	const char *capabilities;
	const char *const *args;
	int (*add)(struct vw_cni_call *call, struct vw_err *err);
	int (*del)(struct vw_cni_call *call, struct vw_err *err);
	int (*check)(struct vw_cni_call *call, struct vw_err *err);
	int (*status)(struct vw_cni_call *call, struct vw_err *err);
	int (*gc)(struct vw_cni_call *call, struct vw_err *err);
	void (*undo)(struct vw_cni_call *call);
};

/**
 * vw_cni_main() - everything around the verbs: environment, stdin (bounded in size and time), versions, the one JSON
 * document on stdout, the error object, logging. Return: the exit status.
 */
int vw_cni_main(const struct vw_cni_plugin *plugin, int argc, char *const argv[], char *const envp[]);

/** vw_cni_error_print() - append the error object of the specification. */
int vw_cni_error_print(const struct vw_err *err, enum vw_cni_version version, struct vw_buf *buf);
/** vw_cni_version_print() - append the answer to VERSION. */
int vw_cni_version_print(enum vw_cni_version version, struct vw_buf *buf);
