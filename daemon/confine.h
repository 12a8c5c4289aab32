#pragma once

#include "daemon/config.h"

struct vw_err;
struct vw_json;

/**
 * DOC: least privilege
 *
 * What vpcwired gives up, in this order, all of it for good:
 *   1. confine_process(), first thing in main(): core dumps, ptrace by others, new privileges, and every capability that the table
 *      in confine.c does not list, out of all sets;
 *   2. confine_calls(CONFINE_START), once the settings are read: system calls that neither a start nor serving makes;
 *   3. confine_calls(CONFINE_SERVING), before the first request is served: those that only a start makes.
 * confine_calls.c has the lists. A reload of the settings does most of what a start does, so the second list is a little shorter only.
 *
 * A call that is not listed fails with ENOSYS, "this kernel does not have it", for which libc has other ways: a new release of a
 * library then costs a line in the kernel's log, not the node's pods. Tests run with `kill`, so that none goes unnoticed.
 */

/** enum confine_phase - see above. */
enum confine_phase { CONFINE_START, CONFINE_SERVING };

/**
 * confine_process() - give up what no phase needs. Call with a single thread.
 * Return: 0; -EPERM when a capability is missing that the daemon cannot do without, named in @err; -errno.
 */
int confine_process(struct vw_err *err);

/**
 * confine_calls() - filter the system calls of all threads, there are and to come.
 * @mode: CONFIG_CALLS_OFF does nothing. Phases in order, each once.
 * Return: 0; -errno when the kernel has no such filters (then nothing is filtered), -ENOMEM.
 */
int confine_calls(enum config_calls mode, enum confine_phase phase, struct vw_err *err);

/** enum confine_arch - what a filter is made for: this machine, or one by name. */
enum confine_arch { CONFINE_NATIVE, CONFINE_X86_64, CONFINE_AARCH64 };

/** confine_calls_print() - for tests: write the filter, as BPF instructions of the kernel's struct sock_filter, to @fd. */
int confine_calls_print(enum config_calls mode, enum confine_phase phase, enum confine_arch arch, int fd, struct vw_err *err);

/**
 * confine_json() - what this process may do, as the kernel says at this moment:
 * {"capabilities": [{"name", "why"}], "capabilities_to_gain": N, "no_new_privileges": bool, "dumpable": bool, "system_calls": text}.
 * "why" is null for one that should not be there. "system_calls": what becomes of those that are not listed, "refused", "killed", "logged" or
 * "allowed". @mode: of the settings; "allowed" whatever it is where the kernel filters none.
 * Return: a new object, NULL without memory.
 */
struct vw_json *confine_json(enum config_calls mode);
