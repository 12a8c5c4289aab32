// SPDX-License-Identifier: Apache-2.0
/*
 * Which system calls vpcwired may make. Three filters, of which the strictest counts: a short one of calls that libraries try first and do
 * without (refused without a line in the kernel's log), the list for a start, the list for serving. Most calls are allowed whatever
 * their arguments, which Linux 5.11 remembers in a bitmap: they cost nothing.
 *
 * The lists were found by strace over tests/e2e, tests/faults and tests/conformance and are held by the same tests, which run with `kill`;
 * besides what was seen they have what other releases of the same libraries and arm64 use in its place (openat2 for openat, ppoll for poll).
 * Names that an architecture does not have are left out there.
 */
#include "daemon/confine.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* a build with sanitizers looks for leaks from a process of its own that stops the threads of this one */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char *const serving[] = {
	/* files: settings, manifests, credentials, sysctls, the store */
	"access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fallocate", "fchmod", "fchmodat", "fchown", "fchownat",
	"fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "lseek", "lstat", "mkdir",
	"mkdirat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv",
	"rename", "renameat", "renameat2", "rmdir", "stat", "statfs", "statx", "unlink", "unlinkat", "utimensat", "write", "writev",
	/* waiting */
	"clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
	"eventfd2", "gettimeofday", "inotify_add_watch", "inotify_init1", "inotify_rm_watch", "nanosleep", "pipe2", "poll", "ppoll", "pselect6",
	"restart_syscall", "select", "timerfd_create", "timerfd_gettime", "timerfd_settime",
	/* sockets; their families are below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "ioctl", "listen", "recvfrom", "recvmmsg",
	"recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
	/* memory; mmap and mprotect are below */
	"brk", "madvise", "memfd_create", "mremap", "munmap", "mlock", "munlock",
	/* threads, signals, itself */
	"capget", "exit", "exit_group", "futex", "get_robust_list", "getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom",
	"getresgid", "getresuid", "getrusage", "gettid", "getuid", "membarrier", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sched_getaffinity", "sched_yield", "set_robust_list", "sigaltstack", "sysinfo", "tgkill", "times", "uname",
	/* what it is for */
	"bpf",
};

/* libbpf asks for and raises the limit of locked memory when it loads for the first time; the next filter is loaded */
static const char *const only_start[] = { "prlimit64", "getrlimit", "setrlimit", "seccomp" };

/* the leak check of a build with sanitizers */
static const char *const sanitized[] = { "clone", "personality", "pipe", "prctl", "process_vm_readv", "ptrace", "wait4", "prlimit64",
					 "arch_prctl", "set_tid_address", "kill", "getpgrp", "getpgid", "getrlimit", "mincore", "getdents" };

/* tried by libc and libuv first: their other ways can be judged by their arguments, these cannot. The lists let them through to this one. */
static const char *const tried_first[] = { "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register" };

/* allowed where one argument is as wanted: (argument & mask) == value */
static const struct {
	const char *name;
	unsigned int arg;
	uint64_t mask, value;
	bool only_start;
} judged[] = {
	{ "socket", 0, UINT32_MAX, AF_UNIX },
	{ "socket", 0, UINT32_MAX, AF_INET },
	{ "socket", 0, UINT32_MAX, AF_INET6 },
	{ "socket", 0, UINT32_MAX, AF_NETLINK },
	{ "socketpair", 0, UINT32_MAX, AF_UNIX },
	/* threads, no processes */
	{ "clone", 0, CLONE_THREAD, CLONE_THREAD },
	/* no memory that is both written and run; libraries may be loaded */
	{ "mmap", 2, PROT_EXEC, 0 },
	{ "mmap", 2, PROT_WRITE, 0 },
	{ "mprotect", 2, PROT_EXEC, 0 },
	{ "prctl", 0, UINT32_MAX, PR_SET_NAME },
	{ "prctl", 0, UINT32_MAX, PR_GET_DUMPABLE },
	{ "prctl", 0, UINT32_MAX, PR_GET_SECCOMP },
	{ "prctl", 0, UINT32_MAX, PR_GET_NO_NEW_PRIVS },
	{ "prctl", 0, UINT32_MAX, PR_CAPBSET_READ },
	{ "prctl", 0, UINT32_MAX, 0x53564d41 /* PR_SET_VMA, Linux 5.17: names of arenas, by newer libc */ },
	{ "prctl", 0, UINT32_MAX, PR_SET_SECCOMP, true },
	{ "prctl", 0, UINT32_MAX, PR_SET_NO_NEW_PRIVS, true },
};

static void release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static uint32_t otherwise(enum config_calls mode)
{
	switch (mode) {
	case CONFIG_CALLS_KILL:
		return SCMP_ACT_KILL_PROCESS;
	case CONFIG_CALLS_LOG:
		return SCMP_ACT_LOG;
	default:
		return SCMP_ACT_ERRNO(ENOSYS);
	}
}

/* by this machine's number, or the library's own for a call that others have: it translates. One that it does not know is not made. */
static bool named(const char *name, int *ret_nr)
{
	*ret_nr = seccomp_syscall_resolve_name(name);
	return *ret_nr != __NR_SCMP_ERROR;
}

static int add_list(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	int nr, r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		if (named(names[i], &nr))
			r = seccomp_rule_add(ctx, action, nr, 0);
	return r;
}

static int add_judged(scmp_filter_ctx ctx, enum confine_phase phase)
{
	int nr, r = 0;

	for (size_t i = 0; i < VW_ARRAY_SIZE(judged) && r == 0; i++) {
		struct scmp_arg_cmp arg = SCMP_CMP64(judged[i].arg, SCMP_CMP_MASKED_EQ, judged[i].mask, judged[i].value);

		if ((!judged[i].only_start || phase == CONFINE_START) && named(judged[i].name, &nr))
			r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &arg);
	}
	return r;
}

static int allow(scmp_filter_ctx ctx, enum confine_phase phase)
{
	int r = add_list(ctx, SCMP_ACT_ALLOW, serving, VW_ARRAY_SIZE(serving));

	if (r == 0)
		r = add_list(ctx, SCMP_ACT_ALLOW, tried_first, VW_ARRAY_SIZE(tried_first));
	if (r == 0 && phase == CONFINE_START)
		r = add_list(ctx, SCMP_ACT_ALLOW, only_start, VW_ARRAY_SIZE(only_start));
	if (r == 0 && SANITIZED)
		r = add_list(ctx, SCMP_ACT_ALLOW, sanitized, VW_ARRAY_SIZE(sanitized));
	return r < 0 ? r : add_judged(ctx, phase);
}

/** new_filter() - an empty filter for one architecture. NULL without memory. */
static scmp_filter_ctx new_filter(uint32_t action, uint32_t arch)
{
	vw_auto(release) scmp_filter_ctx ctx = seccomp_init(action);

	if (!ctx)
		return NULL;
	if (arch != seccomp_arch_native() && (seccomp_arch_add(ctx, arch) < 0 || seccomp_arch_remove(ctx, seccomp_arch_native()) < 0))
		return NULL;
	/* all threads; and search by halves instead of one by one */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) < 0 || seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1) < 0)
		return NULL;
	return VW_TAKE_PTR(ctx);
}

static uint32_t arch_of(enum confine_arch arch)
{
	return arch == CONFINE_X86_64 ? SCMP_ARCH_X86_64 : arch == CONFINE_AARCH64 ? SCMP_ARCH_AARCH64 : seccomp_arch_native();
}

static int make_list(enum config_calls mode, enum confine_phase phase, uint32_t arch, scmp_filter_ctx *ret, struct vw_err *err)
{
	vw_auto(release) scmp_filter_ctx ctx = new_filter(otherwise(mode), arch);
	int r = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1) : -ENOMEM;

	if (r == 0)
		r = allow(ctx, phase);
	if (r < 0)
		return vw_err_sys(err, r, 0, "making the list of system calls");
	*ret = VW_TAKE_PTR(ctx);
	return 0;
}

static int load_tried_first(struct vw_err *err)
{
	uint32_t arch = seccomp_arch_native();
	vw_auto(release) scmp_filter_ctx ctx = new_filter(SCMP_ACT_ALLOW, arch);
	int r = ctx ? add_list(ctx, SCMP_ACT_ERRNO(ENOSYS), tried_first, VW_ARRAY_SIZE(tried_first)) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(ctx);
	return r < 0 ? vw_err_sys(err, r, 0, "refusing system calls that have another way") : 0;
}

int confine_calls(enum config_calls mode, enum confine_phase phase, struct vw_err *err)
{
	vw_auto(release) scmp_filter_ctx ctx = NULL;
	int r;

	if (mode == CONFIG_CALLS_OFF)
		return 0;
	r = phase == CONFINE_START ? load_tried_first(err) : 0;
	if (r == 0)
		r = make_list(mode, phase, seccomp_arch_native(), &ctx, err);
	if (r < 0)
		return r;
	r = seccomp_load(ctx);
	return r < 0 ? vw_err_sys(err, r, 0, "filtering system calls") : 0;
}

int confine_calls_print(enum config_calls mode, enum confine_phase phase, enum confine_arch arch, int fd, struct vw_err *err)
{
	vw_auto(release) scmp_filter_ctx ctx = NULL;
	int r = make_list(mode, phase, arch_of(arch), &ctx, err);

	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	return r < 0 ? vw_err_sys(err, r, 0, "writing the filter") : 0;
}
