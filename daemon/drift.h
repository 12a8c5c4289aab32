#pragma once

#include "daemon/hostnet.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct drift;
struct vw_err;
struct vw_event;
struct vw_json;

/**
 * DOC: what others remove is put back
 *
 * systemd-networkd, `nft flush ruleset`, a person: events of the kernel say which kinds of objects may miss something (monitor.h);
 * within DRIFT_DELAY_MS they are compared with what should be there (hostnet_repair(), programs.h), and what is missing is
 * restored. It compares states, so our own changes are no drift, whoever made the event.
 *
 * Of two things the kernel tells nobody: sysctls of IPv6 other than forwarding, and programs that are detached from tcx. Nodes with
 * IPv6 look for the former every DRIFT_LOOK_MS, in two system calls, those with pods on tcx for the latter (programs.h). On others
 * nothing runs without events.
 *
 * Somebody who removes the same thing again and again is not fought: after DRIFT_PATIENCE times it is restored ever more
 * rarely, and said so in the log, in STATUS and in the query "drift", until it is left alone for a while.
 */
#define DRIFT_DELAY_MS 20               /* the rest of a burst: what flushes rules deletes them one by one */
#define DRIFT_LOOK_MS 800               /* with DRIFT_DELAY_MS and the comparison within a second */
#define DRIFT_PATIENCE 10               /* times within DRIFT_QUIET_MS of one another */
#define DRIFT_QUIET_MS 60000
#define DRIFT_RARELY_MS 300000          /* at least this often */

/** drift_new() - before anything is heard. The first comparison comes by itself: what was removed while no daemon ran. */
int drift_new(struct daemon *d, struct drift **ret_drift, struct vw_err *err);
void drift_free(struct drift *dr);

/** drift_heard() - a hearer of monitor.h. */
void drift_heard(struct daemon *d, const struct vw_event *ev);
/** drift_heard_nft() - somebody has changed nftables. @by: the name of the program, "" = unknown. */
void drift_heard_nft(struct daemon *d, const char *by);
/** drift_look_too() - there is a pod on tcx. */
void drift_look_too(struct daemon *d);
/** drift_config_changed() - compare everything: it may have been switched on. */
void drift_config_changed(struct daemon *d);

/** drift_contested() - Return: somebody keeps removing what is ours; @err says what. */
bool drift_contested(struct daemon *d, struct vw_err *err);
/** drift_restored() - objects of @kind put back since the start. */
uint64_t drift_restored(const struct daemon *d, enum hostnet_kind kind);
/** drift_query() - the query "drift": what was restored, by kind, and what is contested. */
int drift_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
