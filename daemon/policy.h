#pragma once

#include "daemon/attach.h"
#include "daemon/flowlog.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct policy;
struct vw_err;
struct vw_json;
struct vwired_config;

/**
 * DOC: network policy in the daemon
 *
 * Watches policy_dir, keeps the cluster's objects (the world), compiles them with this node's pods into an image and puts it
 * into force (np_publish). A file that is refused leaves what it held before in force; an image that cannot be made or does
 * not fit leaves the former one in force, and so is every failure. What is in force is said to be applied when no packet
 * can see the former policy any more: a barrier of some milliseconds that a worker waits for.
 *
 * Pods: policy_admit() is part of ADD, before the slot is published, so that no packet of a pod goes unjudged.
 */

/** policy_new() - takes over what the maps hold. Return: 0, -ENOMEM, -EBADMSG (pins that no version wrote), -errno. */
int policy_new(struct daemon *d, struct policy **ret, struct vw_err *err);
void policy_free(struct policy *p);
/**
 * policy_start() - after attach_restore(): reads the folder and puts the first image into force. A folder that is not there
 * is an empty one. Return: 0; -errno when not even an image without the refused files could be put into force.
 */
int policy_start(struct daemon *d, struct vw_err *err);
/**
 * policy_admit() - @a gets the policy that selects it; its slot must still be empty. Return: 0; -E2BIG, -ENOMEM, ...: what
 * cannot be judged must not run (@err says why). Nothing to do when policy is off.
 */
int policy_admit(struct daemon *d, const struct attachment *a, struct vw_err *err);
/** policy_dismiss() - @a has gone (its slot is already empty): it is no subject any more, nor a peer. */
void policy_dismiss(struct daemon *d, const struct attachment *a);
/** policy_config_changed() - after a reload. @old: what was in force. */
void policy_config_changed(struct daemon *d, const struct vwired_config *old);

/** policy_instance_known() - the node's instance id was learnt, or is another than it was: it may tell which Node is this one. */
void policy_instance_known(struct daemon *d);

/**
 * struct policy_figures - for metrics. @refused: files. @failed: the last image could not be made or published.
 * @flow_log: nothing where there is none. Names are static;
 * NULL where there is none.
 */
#define POLICY_MAPS 10
struct policy_figures {
	uint64_t generation, applied;
	unsigned int refused;
	bool failed;
	struct policy_map_use {
		const char *name;
		uint64_t used, max;
	} map[POLICY_MAPS];
	unsigned int n_maps;
	struct flowlog_stats flow_log;
	const char *drop_name[NP_DROP_MAX], *stat_name[NP_STAT_MAX];
	uint64_t drops[NP_DROP_MAX], stats[NP_STAT_MAX];
};
/** struct policy_denial - packets that a rule, or (with an empty @rule) the isolation by a policy, has denied. Strings are the image's. */
struct policy_denial {
	const char *kind, *policy, *rule, *dir;
	uint64_t packets;
};
/** policy_denials() - calls @fn for each that has denied any; the strings live until the next change of policy. */
void policy_denials(struct daemon *d, void (*fn)(const struct policy_denial *x, void *arg), void *arg);
/** policy_figures_new() - Return: NULL when out of memory; end with free(). */
struct policy_figures *policy_figures_new(struct daemon *d);

/**
 * policy_brief() - {mode, generation, applied, pending, failed, refused: [{file, object, path, reason}]}, the head of policy_query_status().
 * Return: NULL = no memory.
 */
struct vw_json *policy_brief(struct daemon *d);

/* --- what operators ask (query.h); @args as vpcwirectl sends them */
int policy_query_status(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
int policy_query_explain(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
int policy_query_simulate(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
