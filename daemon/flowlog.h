#pragma once

#include "lib/base/clock.h"
#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct np_flow;
struct vw_err;

/**
 * DOC: flow logs of pods
 *
 * Records as JSON lines with the fields of VPC flow logs, version 2, under AWS's names, and whose pod and which policy it was. A record
 * is one direction of a flow in one interval. What was let through is read from the flow table, whose entries count packets and bytes
 * anyway: so the log costs packets nothing. How much of each entry has been told already stands in a file of mapped memory beside the
 * store (@state), which outlives the daemon as the table does. What was denied has no entry; it comes from events, which are limited in
 * number: an interval in which any were left out has a record SKIPDATA for the interface, one without traffic a record NODATA.
 *
 * flowlog_begin(), _end(), _denied() belong to the loop's thread; flowlog_ended(), _write() to the worker that sweeps the table in between.
 */
struct flowlog;

#define FLOWLOG_PATH_MAX 512

/**
 * struct flowlog_conf - @path: of the file, absolute; @path.1 is the former one, up to @files of them. @state: the mapped file. @sample: one
 * of so many flows is logged, 1 = all. @interval_s: at most 60, for counters of packets in the table wrap at 2^24.
 */
struct flowlog_conf {
	char path[FLOWLOG_PATH_MAX], state[FLOWLOG_PATH_MAX];
	unsigned int interval_s, files, sample;
	uint64_t max_bytes;
};

/** struct flowlog_who - a pod. All borrowed during flowlog_begin(). @gen: struct np_slot's. */
struct flowlog_who {
	unsigned int slot;
	uint8_t gen;
	struct vw_ip ip4, ip6;
	const char *eni, *space, *pod;
};

/** struct flowlog_rule - what an id stands for; NULL = free. Borrowed likewise. */
struct flowlog_rule {
	const char *tier, *policy, *rule;
};

/**
 * flowlog_new() - @places: entries that the table has; @table: the kernel's id of it. What an earlier process noted about the same table is
 * gone on with; else what the table has counted so far is to be taken as told: flowlog_adopt() for each entry, then flowlog_adopted().
 * Return: 1 = gone on with, 0 = begun anew, -errno.
 */
int flowlog_new(const struct flowlog_conf *conf, uint32_t table, uint32_t places, struct flowlog **ret, struct vw_err *err);
/** flowlog_free() - the state stays for a next process. Accepts NULL. */
struct flowlog *flowlog_free(struct flowlog *f);
/** flowlog_forget() - the log is off: what was noted about the table is void. @state: its path. */
void flowlog_forget(const char *state);
/** flowlog_adopt() - for np_ct_each(): nothing of this entry is to be told any more. Return: 0. */
int flowlog_adopt(void *flowlog, const struct np_flow *flow);
/** flowlog_adopted() - that is done for all entries. */
void flowlog_adopted(struct flowlog *f);

/** flowlog_tune() - other limits; @path and @state are as they were. */
void flowlog_tune(struct flowlog *f, const struct flowlog_conf *conf);
/** flowlog_due_ms() - until the next interval ends; 0 = it has. */
uint64_t flowlog_due_ms(const struct flowlog *f);

/** flowlog_denied() - an event of a packet that was dropped. @gen: of its slot. Return: 0, -ENOSPC: too many different ones, -ENOMEM. */
int flowlog_denied(struct flowlog *f, const struct np_event *e, uint8_t gen);
/** flowlog_skipped() - something happened in the interval that has left no trace here. @eni: where; NULL = anywhere. */
void flowlog_skipped(struct flowlog *f, const char *eni);

/** flowlog_begin() - before a sweep. @account: "" = not known. Return: 0, -ENOMEM: nothing is logged this time. */
int flowlog_begin(struct flowlog *f, const char *account, const struct flowlog_who *who, size_t n_who, const struct flowlog_rule *rules,
		  size_t n_rules);
/** flowlog_ended() - for np_ct_sweep(): an entry dies; its last record, if any. */
void flowlog_ended(void *flowlog, const struct np_flow *flow);
/** flowlog_live() - for np_ct_each(), after the sweep, when flowlog_is_due(). Return: 0. */
int flowlog_live(void *flowlog, const struct np_flow *flow);
bool flowlog_is_due(const struct flowlog *f);
/** flowlog_write() - the end of the worker's part: what is left, in an interval's last pass also what was denied, NODATA and SKIPDATA. */
void flowlog_write(struct flowlog *f);
/**
 * flowlog_end() - back in the loop: says once that the file cannot be written, and once that it can again.
 */
void flowlog_end(struct flowlog *f);

/** what could not be done with the file */
enum flowlog_fault { FLOWLOG_OPEN, FLOWLOG_WRITE, FLOWLOG_ROTATE, FLOWLOG_FAULTS };

/**
 * struct flowlog_stats - @written: records; @lost: that could not be written when their turn came; what they say of flows that live is in later ones.
 * @left_out: packets denied that were too many different ones to remember. @faults: by enum flowlog_fault. @failing: so the last pass ended.
 */
struct flowlog_stats {
	uint64_t written, lost, left_out, faults[FLOWLOG_FAULTS];
	bool failing;
};
/** flowlog_stats() - as of the last flowlog_end(). In the loop. */
struct flowlog_stats flowlog_stats(const struct flowlog *f);
/** flowlog_fault_name() - "open", "write", "rotate". */
const char *flowlog_fault_name(enum flowlog_fault fault);
