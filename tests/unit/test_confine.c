// SPDX-License-Identifier: Apache-2.0
/*
 * The filters of system calls, read back as the instructions that the kernel would run and run here, for both architectures; and, in
 * a process of its own, what the kernel makes of them. Capabilities need root: tests/e2e/test_confine.py.
 */
#include "daemon/confine.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REFUSED (SECCOMP_RET_ERRNO | ENOSYS)
#define STEPS 4096

struct filter {
	struct sock_filter code[4096];
	size_t n;
};

static void read_filter(struct filter *f, enum config_calls mode, enum confine_phase phase, enum confine_arch arch)
{
	vw_auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
	struct vw_err err;
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(confine_calls_print(mode, phase, arch, fd, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n = read(fd, f->code, sizeof(f->code));
	assert_true(n > 0 && (size_t)n < sizeof(f->code) && n % (ssize_t)sizeof(f->code[0]) == 0);
	f->n = (size_t)n / sizeof(f->code[0]);
}

static uint32_t load(const struct seccomp_data *data, uint32_t at)
{
	uint32_t v;

	assert_true(at % 4 == 0 && at + 4 <= sizeof(*data));
	memcpy(&v, (const char *)data + at, 4);
	return v;
}

static bool jumps(const struct sock_filter *i, uint32_t a)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a == i->k;
	case BPF_JGT:
		return a > i->k;
	case BPF_JGE:
		return a >= i->k;
	default:
		assert_int_equal(BPF_OP(i->code), BPF_JSET);
		return a & i->k;
	}
}

/* what of classic BPF libseccomp uses */
static uint32_t verdict(const struct filter *f, const struct seccomp_data *data)
{
	uint32_t a = 0;
	size_t at = 0;

	for (int steps = 0; steps < STEPS; steps++) {
		const struct sock_filter *i = &f->code[at++];

		assert_true(at <= f->n);
		if (i->code == (BPF_RET | BPF_K))
			return i->k;
		if (i->code == (BPF_LD | BPF_W | BPF_ABS))
			a = load(data, i->k);
		else if (i->code == (BPF_ALU | BPF_AND | BPF_K))
			a &= i->k;
		else if (i->code == (BPF_JMP | BPF_JA))
			at += i->k;
		else {
			assert_int_equal(BPF_CLASS(i->code), BPF_JMP);
			at += jumps(i, a) ? i->jt : i->jf;
		}
	}
	fail_msg("the filter does not end");
	return 0;
}

static uint32_t asked(const struct filter *f, uint32_t arch, int nr, uint64_t a0, uint64_t a2)
{
	struct seccomp_data data = { .nr = nr, .arch = arch, .args = { a0, 0, a2 } };

	return verdict(f, &data);
}

struct call {
	const char *what;
	int nr[2];      /* x86-64, arm64 (asm-generic/unistd.h); -1 = has none */
	uint64_t a0, a2;
	bool start, serving;
};

static const struct call calls[] = {
	{ "read", { 0, 63 }, 0, 0, true, true },
	{ "openat", { 257, 56 }, 0, 0, true, true },
	{ "open", { 2, -1 }, 0, 0, true, true },
	{ "bpf", { 321, 280 }, 0, 0, true, true },
	{ "epoll_wait", { 232, -1 }, 0, 0, true, true },
	{ "epoll_pwait", { 281, 22 }, 0, 0, true, true },
	{ "socket AF_NETLINK", { 41, 198 }, AF_NETLINK, 0, true, true },
	{ "socket AF_INET6", { 41, 198 }, AF_INET6, 0, true, true },
	{ "socket AF_PACKET", { 41, 198 }, AF_PACKET, 0, false, false },
	{ "socket AF_VSOCK", { 41, 198 }, AF_VSOCK, 0, false, false },
	{ "clone of a thread", { 56, 220 }, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, true, true },
	{ "mmap rw", { 9, 222 }, 0, PROT_READ | PROT_WRITE, true, true },
	{ "mmap rx", { 9, 222 }, 0, PROT_READ | PROT_EXEC, true, true },
	{ "mmap rwx", { 9, 222 }, 0, PROT_READ | PROT_WRITE | PROT_EXEC, false, false },
	{ "mprotect r", { 10, 226 }, 0, PROT_READ, true, true },
	{ "mprotect rx", { 10, 226 }, 0, PROT_READ | PROT_EXEC, false, false },
	{ "prctl PR_SET_NAME", { 157, 167 }, PR_SET_NAME, 0, true, true },
	{ "execve", { 59, 221 }, 0, 0, false, false },
	{ "execveat", { 322, 281 }, 0, 0, false, false },
	{ "setns", { 308, 268 }, 0, 0, false, false },
	{ "unshare", { 272, 97 }, 0, 0, false, false },
	{ "mount", { 165, 40 }, 0, 0, false, false },
	{ "init_module", { 175, 105 }, 0, 0, false, false },
	{ "capset", { 126, 91 }, 0, 0, false, false },
	{ "setuid", { 105, 146 }, 0, 0, false, false },
	{ "process_vm_writev", { 311, 271 }, 0, 0, false, false },
	{ "fork", { 57, -1 }, 0, 0, false, false },
	{ "a call of 2040", { 900, 900 }, 0, 0, false, false },
#if !defined(__SANITIZE_ADDRESS__) /* confine_calls.c: the leak check */
	{ "clone of a process", { 56, 220 }, SIGCHLD, 0, false, false },
	{ "ptrace", { 101, 117 }, 0, 0, false, false },
	{ "prctl PR_SET_DUMPABLE", { 157, 167 }, PR_SET_DUMPABLE, 0, false, false },
	{ "prlimit64", { 302, 261 }, 0, 0, true, false },
#endif
	{ "seccomp", { 317, 277 }, 0, 0, true, false },
};

static void test_what_is_allowed(void **state)
{
	static const uint32_t archs[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 };
	struct filter f;

	for (int arch = 0; arch < 2; arch++)
		for (int phase = CONFINE_START; phase <= CONFINE_SERVING; phase++) {
			read_filter(&f, CONFIG_CALLS_REFUSE, phase, arch == 0 ? CONFINE_X86_64 : CONFINE_AARCH64);
			for (size_t i = 0; i < VW_ARRAY_SIZE(calls); i++) {
				const struct call *c = &calls[i];
				bool wanted = phase == CONFINE_START ? c->start : c->serving;

				if (c->nr[arch] < 0)
					continue;
				if (asked(&f, archs[arch], c->nr[arch], c->a0, c->a2) != (wanted ? SECCOMP_RET_ALLOW : REFUSED))
					fail_msg("%s in phase %d, architecture %d", c->what, phase, arch);
			}
		}
}

static void test_another_architecture_is_none(void **state)
{
	struct filter f;

	read_filter(&f, CONFIG_CALLS_REFUSE, CONFINE_SERVING, CONFINE_X86_64);
	/* read() of 32-bit programs, and of the x32 ABI */
	assert_int_not_equal(asked(&f, AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_not_equal(asked(&f, AUDIT_ARCH_X86_64, 0x40000000, 0, 0), SECCOMP_RET_ALLOW);
}

static void test_modes(void **state)
{
	static const struct {
		enum config_calls mode;
		uint32_t verdict;
	} modes[] = {
		{ CONFIG_CALLS_REFUSE, REFUSED },
		{ CONFIG_CALLS_KILL, SECCOMP_RET_KILL_PROCESS },
		{ CONFIG_CALLS_LOG, SECCOMP_RET_LOG },
	};
	struct filter f;

	for (size_t i = 0; i < VW_ARRAY_SIZE(modes); i++) {
		read_filter(&f, modes[i].mode, CONFINE_SERVING, CONFINE_X86_64);
		assert_int_equal(asked(&f, AUDIT_ARCH_X86_64, 59, 0, 0), modes[i].verdict);
		assert_int_equal(asked(&f, AUDIT_ARCH_X86_64, 0, 0, 0), SECCOMP_RET_ALLOW);
	}
}

/* --- in the kernel */

static void *thread(void *arg)
{
	*(long *)arg = syscall(SYS_acct, NULL) == -1 ? errno : 0;
	return NULL;
}

/* in the child: 0 = all as it should be, else which was not */
static int confined(enum config_calls mode)
{
	long before = 0, after = 0, none = 0;
	pthread_t t[2];
	struct vw_err err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine_calls(mode, CONFINE_START, &err) < 0)
		return 1;
	if (pthread_create(&t[0], NULL, thread, &before) || pthread_join(t[0], NULL))
		return 2;       /* clone3() is refused, and libc has clone() */
	if (confine_calls(mode, CONFINE_SERVING, &err) < 0)
		return 3;
	if (pthread_create(&t[1], NULL, thread, &after) || pthread_join(t[1], NULL))
		return 4;
	if (before != ENOSYS || after != ENOSYS)
		return 5;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) != -1 || errno != ENOSYS)
		return 6;       /* that was for the start */
	none = syscall(SYS_clone3, NULL, 0) == -1 ? errno : 0;
	if (none != ENOSYS)
		return 7;
	return prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER ? 0 : 8;
}

static int ends(enum config_calls mode)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(confined(mode));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_the_kernel_refuses(void **state)
{
	int status = ends(CONFIG_CALLS_REFUSE);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_the_kernel_kills(void **state)
{
	int status = ends(CONFIG_CALLS_KILL);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_off_is_off(void **state)
{
	struct vw_err err;

	assert_int_equal(confine_calls(CONFIG_CALLS_OFF, CONFINE_START, &err), 0);
	assert_int_equal(prctl(PR_GET_SECCOMP), SECCOMP_MODE_DISABLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_allowed),      cmocka_unit_test(test_another_architecture_is_none),
		cmocka_unit_test(test_modes),                cmocka_unit_test(test_the_kernel_refuses),
		cmocka_unit_test(test_the_kernel_kills),     cmocka_unit_test(test_off_is_off),
	};

	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
