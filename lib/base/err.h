#pragma once

#include <stdarg.h>

/**
 * DOC: errors
 *
 * A function that can fail for one reason returns -errno. A function that can fail for several takes a
 * struct vw_err as its last parameter (never NULL), which it fills on failure only. The struct lives on the
 * caller's stack, so reporting ENOMEM cannot itself fail. Whoever stops an error logs it, once; code in lib/ and
 * ipam/ neither logs above debug nor prints nor exits.
 */

/* Result codes of the CNI specification 1.1.0 (SPEC.md, section "Error"). 100 and up are ours. */
enum vw_cni_code {
	VW_CNI_OK = 0,                  /* "not chosen": the edge derives the code from eno */
	VW_CNI_INCOMPATIBLE_VERSION = 1,
	VW_CNI_UNSUPPORTED_FIELD = 2,   /* msg must hold key and value */
	VW_CNI_UNKNOWN_CONTAINER = 3,
	VW_CNI_INVALID_ENV = 4,         /* msg must name the variables */
	VW_CNI_IO = 5,
	VW_CNI_DECODE = 6,
	VW_CNI_INVALID_CONFIG = 7,
	VW_CNI_INVALID_NETNS = 8,       /* libcni's library code */
	VW_CNI_TRY_AGAIN = 11,
	VW_CNI_NOT_AVAILABLE = 50,      /* STATUS: ADD cannot be served */
	VW_CNI_LIMITED = 51,            /* STATUS: nor do existing pods have full connectivity */
	VW_CNI_INTERFACE_EXISTS = 100,
	VW_CNI_KERNEL = 101,            /* a netlink or other kernel operation failed */
	VW_CNI_DAEMON = 102,            /* the daemon answered something we cannot use */
	VW_CNI_CHECK_FAILED = 103,      /* kernel and store differ; msg names the first difference */
};

/**
 * struct vw_err - why something failed.
 * @eno: positive errno, never 0 on failure.
 * @cni: enum vw_cni_code, 0 where the cause has no code of its own.
 * @msg: one sentence for a person: what, where, what to do. NUL-terminated, truncated at the end if too long.
 */
struct vw_err {
	int eno;
	int cni;
	char msg[512];
};

/**
 * vw_err_set() - fill @err with a complete sentence.
 * @eno: errno value, either sign; 0 is taken as EINVAL.
 * @cni: enum vw_cni_code or 0.
 * Return: -eno, so that `return vw_err_set(...)` is one line.
 */
int vw_err_set(struct vw_err *err, int eno, int cni, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** vw_err_text() - what a positive errno means, in glibc's words whatever libc there is; NULL: no such errno is known. */
const char *vw_err_text(int eno);

/** vw_err_sys() - like vw_err_set(), and appends ": <vw_err_text(eno)>". */
int vw_err_sys(struct vw_err *err, int eno, int cni, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/**
 * vw_err_wrap() - put "<context>: " before the message of a filled @err.
 * Return: -err->eno.
 */
int vw_err_wrap(struct vw_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * vw_err_gather() - one more of several failures: the first one's code stays, the messages are joined, each behind "<what>: ".
 * @all: starts as zeros.
 */
void vw_err_gather(struct vw_err *all, const struct vw_err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** vw_err_cni() - the CNI code for @err: its own, or derived from eno (EAGAIN, ETIMEDOUT -> 11, EIO -> 5, ...). */
int vw_err_cni(const struct vw_err *err);
