#pragma once

#include "daemon/policy.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "netpolicy-bpf/user/np_ct.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_publish.h"

#include <sys/stat.h>

/* What the files of policy share; nobody else includes this. */

struct dirent;
struct loop_fd;
struct loop_timer;
struct np_events;
struct np_world;
struct policy_log;
struct flowlog;
struct policy_gone;

/**
 * struct policy_file - a manifest of the folder. @st: what it was like when it was read last. @why: eno 0 = taken; else
 * refused, and the world still has what it held before; @object, @place, @reason: the same in parts, NULL where there is none. @text: as it was taken in the pass under way, until it is in force.
 * @seen: in the pass under way.
 */
struct policy_file {
	char *name;
	struct stat st;
	struct vw_err why;
	char *object, *place, *reason;
	struct vw_buf text;
	bool seen, said;
	UT_hash_handle hh;
};

/**
 * struct policy - @image: in force. @generation: images put into force, counting from the start of the daemon; @applied: the
 * last of them that no packet can escape. @changed_ms: when the change that is being applied was noticed, 0 = none.
 * @failed: why the last image could not be made or published, eno 0 = it could.
 * @flowlog: NULL = it is off; @flowlog_said: that it cannot be had was logged. @logging: the sweep under way tells it. @gone: pods that went since
 * the last sweep, @going: since the one before that, while it runs. @flow_loss: flows that had no entry so far.
 * @recalled: policy_kept_recall() was called for @watched. @settling: a worker waits for the barrier; @again: and something has changed since.
 */
struct policy {
	struct daemon *d;
	struct np_world *world;
	struct np_image *image;
	struct np_publish *pub;
	struct policy_file *files;
	char watched[VW_PATH_MAX];
	uint64_t generation, applied, settling_generation;
	uint64_t changed_ms, apply_ms;
	struct vw_err failed;
	bool started, settling, again, recalled;
	int settle_r;
	struct loop_timer *scan, *say, *sweep, *tidy;
	bool sweeping;
	struct np_ct_maps ct;
	struct np_ct_stats ct_stats, ct_next;
	struct vw_err ct_err;
	struct np_events *events;
	struct loop_fd *events_watch;
	struct policy_log *log;
	struct flowlog *flowlog;
	char flowlog_path[VW_PATH_MAX];
	bool flowlog_said, logging, flow_loss_known;
	uint64_t flow_loss;
	struct policy_gone *gone, *going;
};

/** policy_enabled() - network_policy is not "off". */
bool policy_enabled(const struct daemon *d);

/** policy_compile() - the world as it is, with this node's pods; @extra: one more whose ADD is under way, or NULL. */
int policy_compile(struct policy *p, const struct attachment *extra, struct np_image **ret, struct vw_err *err);

/* --- policy_folder.c: the files of policy_dir */
#define POLICY_RETRY_MS 1000
/** policy_will_pass() - an errno that says nothing of the file: no memory, no descriptor, interrupted. */
bool policy_will_pass(int eno);
/**
 * policy_folder_look() - mark the files that are there. Return: how many are new or have changed, listed in *ret_changed, which the caller
 * frees; -errno, with nothing listed and nothing lost: the next look finds them again.
 */
int policy_folder_look(struct policy *p, struct policy_file ***ret_changed);
/** policy_folder_drop_gone() - out of the world with the files that were not marked. */
void policy_folder_drop_gone(struct policy *p);
/** policy_file_take() - into the world. f->st is what was there before it was read: whoever writes meanwhile is read again. */
int policy_file_take(struct policy *p, struct policy_file *f, struct vw_err *err);
/** policy_file_refuse() - for @why; one that will pass is read again in a moment. */
void policy_file_refuse(struct policy *p, struct policy_file *f, const struct vw_err *why);
/** policy_file_unread() - read it again in a moment, whether it changes or not: what was wrong was not in it. */
void policy_file_unread(struct policy *p, struct policy_file *f);
void policy_file_drop(struct policy *p, struct policy_file *f);
/** policy_is_manifest() - for scandir(). */
int policy_is_manifest(const struct dirent *e);

/* --- policy_kept.c: what files held when they were last in force */
/** policy_kept_recall() - into the world, for files that have changed since: before they are read. */
void policy_kept_recall(struct policy *p);
/** policy_kept_put() - @text is what @f holds, and in force. */
void policy_kept_put(struct policy *p, const struct policy_file *f, const struct vw_buf *text);
/** policy_kept_drop() - the file is no more. */
void policy_kept_drop(const struct policy *p, const char *name);

/* --- policy_flows.c: sweeps of the flow table, and flow logs */
int policy_flows_new(struct policy *p, struct vw_err *err);
void policy_flows_start(struct policy *p);
void policy_flows_free(struct policy *p);
/** policy_flows_tune() - the settings may be others. */
void policy_flows_tune(struct policy *p);
/** policy_flows_denied() - an event; @suppressed: so many of its pod's were left out before it. */
void policy_flows_denied(struct policy *p, const struct np_event *e, uint32_t suppressed);
/** policy_flows_gone() - before @a is forgotten. */
void policy_flows_gone(struct policy *p, const struct attachment *a);

/* --- policy_log.c: the verdict log */
int policy_log_new(struct policy *p, struct vw_err *err);
void policy_log_free(struct policy *p);
/** struct policy_log_stats - @written: lines; @lost: that could not be written. */
struct policy_log_stats {
	uint64_t written, lost, denied, allowed;
};
struct policy_log_stats policy_log_stats(const struct policy *p);
/** policy_tier_name() - "Admin", ...; "" when out of range. */
const char *policy_tier_name(unsigned int tier);
/** policy_proto_name() - "TCP", or a number. */
#define POLICY_PROTO_LEN 8
void policy_proto_name(uint8_t proto, char ret[POLICY_PROTO_LEN]);
