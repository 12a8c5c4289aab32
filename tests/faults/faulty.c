/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before the libraries of vpcwired or the plugin (LD_PRELOAD): one call fails, chosen by its kind and its number since it was
 * armed. Who drives it shares a page with it (struct page in the file that VPCWIRE_FAULTY names). A failure is made as the kernel makes it:
 *
 *   memory   malloc() and its kin; map: mmap()
 *   open     open(), openat(); socket: whatever else gives a new fd
 *   write    writing, truncating, renaming, removing; sync: fsync(), fdatasync()
 *   send     to a netlink or unix socket; recv: from a netlink socket. With ENOBUFS what had come is lost, as the kernel loses it
 *   dump     the answer to a netlink dump says that it is not whole (NLM_F_DUMP_INTR)
 *   refuse   the kernel does not do what one message of route netlink asks, and says so
 *   bpf      bpf()
 *
 * With no error to make, the program dies there, as by kill -9.
 *
 * Allocations are so many, nearly all of them on the same ways, that they can be counted by way as well. A call path is where in a library
 * the allocation is made, and the innermost calls in the program itself that lead there (return addresses, each relative to its library, so
 * that it is the same in each life). What is between the two, and libc, is left out: what matters is what the program makes of it. A place that
 * comes again (recursion) counts once, so that a deeper document has no other paths.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

enum kind { NONE, MEMORY, MAP, OPEN, SOCKET, WRITE, SYNC, SEND, RECV, DUMP, REFUSE, BPF, KINDS };

#define BYTES      (256 * 1024)
#define PATHS      (1u << 15)
#define FRAMES_MAX 64           /* faulty.py asks for fewer */

/* how many allocations came by one call path; 0 = the place is free */
struct path {
	_Atomic uint64_t hash, n;
};

/**
 * struct page - @armed: count. @want, @nth, @error: the @nth call of that kind since it was armed fails so; NONE = none. @times: so many from
 * then on. @fired: how many have. @seen: calls of each kind. @loud: say where, on stderr.
 * @path: only allocations of that call path count for @nth; 0 = all; @on_path: how many there were. @frames: so many calls of the
 * program itself make a path. @count_paths: enter each allocation in @paths, an open-addressing table; @lost: no room there.
 */
struct page {
	_Atomic uint32_t armed, want, nth, times, error, fired, loud, frames, count_paths, lost, on_path, unused;
	_Atomic uint64_t path;
	_Atomic uint32_t seen[KINDS];
	struct path paths[PATHS];
};

static struct page *page;
static uintptr_t self, libc, program;   /* where this library, libc and the program begin */
static _Thread_local bool inside;
static _Thread_local char copy[BYTES];

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

/* REAL(f) - the libraries' own; looked up at each call, which costs nothing here */
#define REAL(f) ((__typeof__(&f))real(#f))

static void *real(const char *name)
{
	void *f;
	bool was = inside;

	inside = true;
	f = dlsym(RTLD_NEXT, name);
	inside = was;
	return f;
}

static uintptr_t start_of(const void *where)
{
	struct dl_find_object o;

	return _dl_find_object((void *)where, &o) == 0 ? (uintptr_t)o.dlfo_map_start : 0;
}

__attribute__((constructor)) static void faulty_init(void)
{
	const char *path = getenv("VPCWIRE_FAULTY");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : (void *)syscall(SYS_mmap, NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *first[4];

	if (p == MAP_FAILED) {
		static const char why[] = "faulty: VPCWIRE_FAULTY names no page\n";

		(void)!write(2, why, sizeof(why) - 1);
		_exit(125);
	}
	(void)backtrace(first, 4);      /* loads a library, now and not in the middle of a failure */
	syscall(SYS_close, fd);
	page = p;
	self = start_of(&page);
	libc = start_of((const void *)__libc_malloc);
	program = start_of((const void *)getauxval(AT_PHDR));
	unsetenv("LD_PRELOAD");
}

/* --- call paths */

struct walk {
	uint32_t most, n;
	uint64_t library, at[FRAMES_MAX];
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;      /* 2^64 / golden ratio */
	return h ^ h >> 29;
}

/* a number that is the same in each life. A library is known by its size: its name would have to be read. */
static uint64_t place_of(const void *pc, uintptr_t *ret_library)
{
	struct dl_find_object o = { 0 };

	if (_dl_find_object((void *)pc, &o) < 0)
		return 1;
	*ret_library = (uintptr_t)o.dlfo_map_start;
	return mix((uintptr_t)o.dlfo_map_end - *ret_library, (uintptr_t)pc - *ret_library);
}

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	uintptr_t library = 0;
	uint64_t place = place_of((const void *)_Unwind_GetIP(context), &library);

	if (library == program) {
		for (uint32_t i = 0; i < w->n; i++) {
			if (w->at[i] == place)
				return _URC_NO_REASON;
		}
		w->at[w->n++] = place;
		return w->n < w->most && w->n < FRAMES_MAX ? _URC_NO_REASON : _URC_NORMAL_STOP;
	}
	if (!w->library && library != self && library != libc)
		w->library = place;
	return _URC_NO_REASON;
}

/* the upper 16 bits tell who called, so that all but a few are known not to be meant without a look at the stack */
static uint64_t path_of(const void *caller)
{
	struct walk w = { .most = atomic_load(&page->frames) };
	uintptr_t library = 0;
	uint64_t h;

	_Unwind_Backtrace(on_frame, &w);
	h = w.library;
	for (uint32_t i = 0; i < w.n; i++)
		h = mix(h, w.at[i]);
	return (place_of(caller, &library) & 0xffff000000000000u) | h >> 16;
}

static void enter(uint64_t path)
{
	for (uint32_t i = 0; i < PATHS; i++) {
		struct path *p = &page->paths[(path + i) % PATHS];
		uint64_t was = 0;

		if (!atomic_compare_exchange_strong(&p->hash, &was, path) && was != path)
			continue;
		atomic_fetch_add(&p->n, 1);
		return;
	}
	atomic_fetch_add(&page->lost, 1);
}

/* --- which call fails */

static bool fail(void)
{
	void *at[24];

	atomic_fetch_add(&page->fired, 1);
	if (atomic_load(&page->loud)) {
		inside = true;
		backtrace_symbols_fd(at, backtrace(at, 24), 2);
		inside = false;
	}
	if (!atomic_load(&page->error))
		raise(SIGKILL); /* tgkill(): kill() is not among the calls that vpcwired may make */
	errno = (int)atomic_load(&page->error);
	return true;
}

static bool is_meant(uint32_t n)
{
	uint32_t nth = atomic_load(&page->nth);

	return n >= nth && n < nth + atomic_load(&page->times);
}

static bool hit(enum kind kind)
{
	uint32_t n;

	if (!page || inside || !atomic_load(&page->armed))
		return false;
	n = atomic_fetch_add(&page->seen[kind], 1) + 1;
	return kind == atomic_load(&page->want) && is_meant(n) && fail();
}

static bool hit_memory(const void *caller)
{
	uintptr_t library = 0;
	uint64_t path;
	bool found;

	if (!page || inside || !atomic_load(&page->armed))
		return false;
	path = atomic_load(&page->path);
	if (!path && !atomic_load(&page->count_paths))
		return hit(MEMORY);
	if (atomic_load(&page->count_paths)) {
		inside = true;
		atomic_fetch_add(&page->seen[MEMORY], 1);
		enter(path_of(caller));
		inside = false;
		return false;
	}
	if ((place_of(caller, &library) ^ path) >> 48)
		return false;
	inside = true;
	found = path_of(caller) == path;
	inside = false;
	return found && is_meant(atomic_fetch_add(&page->on_path, 1) + 1) && fail();
}

/* --- memory */

void *malloc(size_t n)
{
	return hit_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return hit_memory(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return hit_memory(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	return hit(MAP) ? MAP_FAILED : REAL(mmap)(at, n, prot, flags, fd, off);
}

void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	return mmap(at, n, prot, flags, fd, off);
}

/* --- files */

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
	return hit(OPEN) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE_OF(last)                                                                         \
	({                                                                                    \
		va_list ap_;                                                                  \
		mode_t mode_ = 0;                                                             \
                                                                                              \
		va_start(ap_, last);                                                          \
		if (flags & (O_CREAT | __O_TMPFILE))                                          \
			mode_ = va_arg(ap_, mode_t);                                          \
		va_end(ap_);                                                                  \
		mode_;                                                                        \
	})

int open(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags, MODE_OF(flags));
}

int open64(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags | O_LARGEFILE, MODE_OF(flags));
}

int openat(int dir, const char *path, int flags, ...)
{
	return open_at(dir, path, flags, MODE_OF(flags));
}

int openat64(int dir, const char *path, int flags, ...)
{
	return open_at(dir, path, flags | O_LARGEFILE, MODE_OF(flags));
}

#define FAILING(kind, type, name, params, args)                  \
	type name params;                                        \
	type name params                                         \
	{                                                        \
		return hit(kind) ? (type)-1 : REAL(name) args;   \
	}

FAILING(WRITE, ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
FAILING(WRITE, ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
FAILING(WRITE, ssize_t, pwrite64, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
FAILING(WRITE, int, ftruncate, (int fd, off_t n), (fd, n))
FAILING(WRITE, int, ftruncate64, (int fd, off_t n), (fd, n))
FAILING(WRITE, int, rename, (const char *from, const char *to), (from, to))
FAILING(WRITE, int, renameat, (int d, const char *from, int e, const char *to), (d, from, e, to))
FAILING(WRITE, int, mkdir, (const char *path, mode_t mode), (path, mode))
FAILING(WRITE, int, unlink, (const char *path), (path))
FAILING(WRITE, int, unlinkat, (int d, const char *path, int flags), (d, path, flags))
FAILING(SYNC, int, fsync, (int fd), (fd))
FAILING(SYNC, int, fdatasync, (int fd), (fd))
FAILING(SOCKET, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAILING(SOCKET, int, accept4, (int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags), (fd, sa, len, flags))
FAILING(SOCKET, int, epoll_create1, (int flags), (flags))
FAILING(SOCKET, int, eventfd, (unsigned int n, int flags), (n, flags))
FAILING(SOCKET, int, inotify_init1, (int flags), (flags))
FAILING(SOCKET, int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
FAILING(SOCKET, int, memfd_create, (const char *name, unsigned int flags), (name, flags))
FAILING(SOCKET, int, pipe2, (int fds[2], int flags), (fds, flags))

/* --- sockets */

static int option(int fd, int name)
{
	int v = -1, saved = errno;
	socklen_t len = sizeof(v);

	if (getsockopt(fd, SOL_SOCKET, name, &v, &len) < 0)
		v = -1;
	errno = saved;
	return v;
}

static bool is_netlink(int fd)
{
	return page && atomic_load(&page->armed) && option(fd, SO_DOMAIN) == AF_NETLINK;
}

/* the message that was turned into one that does nothing, whose acknowledgement is to be a refusal */
static _Atomic int refused_fd = -1;
static _Atomic uint32_t refused_seq;

static void refuse(int fd, char *buf, size_t n)
{
	for (size_t at = 0; at + sizeof(struct nlmsghdr) <= n;) {
		struct nlmsghdr *h = (struct nlmsghdr *)(buf + at);

		if (h->nlmsg_len < sizeof(*h))
			return;
		/* what asks has no acknowledgement */
		if (h->nlmsg_type >= NLMSG_MIN_TYPE && h->nlmsg_flags & NLM_F_ACK && hit(REFUSE)) {
			h->nlmsg_type = NLMSG_NOOP;
			atomic_store(&refused_seq, h->nlmsg_seq);
			atomic_store(&refused_fd, fd);
		}
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
}

static void answer(int fd, char *buf, size_t n)
{
	for (size_t at = 0; at + sizeof(struct nlmsghdr) <= n;) {
		struct nlmsghdr *h = (struct nlmsghdr *)(buf + at);

		if (h->nlmsg_len < sizeof(*h))
			return;
		if (h->nlmsg_type == NLMSG_ERROR && fd == atomic_load(&refused_fd) && h->nlmsg_seq == atomic_load(&refused_seq)) {
			((struct nlmsgerr *)NLMSG_DATA(h))->error = -(int)atomic_load(&page->error);
			atomic_store(&refused_fd, -1);
		}
		/* the end of a dump says it, if no part of it did */
		if (h->nlmsg_flags & NLM_F_MULTI && h->nlmsg_type == NLMSG_DONE && hit(DUMP))
			h->nlmsg_flags |= NLM_F_DUMP_INTR;
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
}

static ssize_t send_netlink(int fd, const struct msghdr *m, int flags)
{
	struct iovec iov = { .iov_base = copy };
	struct msghdr to = *m;

	if (hit(SEND))
		return -1;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (iov.iov_len + m->msg_iov[i].iov_len > BYTES)
			return REAL(sendmsg)(fd, m, flags);
		memcpy(copy + iov.iov_len, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
		iov.iov_len += m->msg_iov[i].iov_len;
	}
	if (option(fd, SO_PROTOCOL) == NETLINK_ROUTE)
		refuse(fd, copy, iov.iov_len);
	to.msg_iov = &iov;
	to.msg_iovlen = 1;
	return REAL(sendmsg)(fd, &to, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (is_netlink(fd))
		return send_netlink(fd, m, flags);
	if (page && atomic_load(&page->armed) && option(fd, SO_DOMAIN) == AF_UNIX && hit(SEND))
		return -1;
	return REAL(sendmsg)(fd, m, flags);
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *sa, socklen_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = n };
	struct msghdr m = { .msg_name = (void *)sa, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };

	return is_netlink(fd) ? send_netlink(fd, &m, flags) : REAL(sendto)(fd, buf, n, flags, sa, len);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return is_netlink(fd) ? sendto(fd, buf, n, flags, NULL, 0) : REAL(send)(fd, buf, n, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	bool netlink = is_netlink(fd), fail = netlink && !(flags & MSG_PEEK) && hit(RECV);
	ssize_t n;

	if (fail && errno != ENOBUFS)
		return -1;
	n = REAL(recvmsg)(fd, m, flags);
	if (fail && n >= 0) {
		errno = ENOBUFS;
		return -1;
	}
	if (netlink && n > 0 && !(flags & MSG_PEEK) && m->msg_iovlen == 1 && (size_t)n <= m->msg_iov[0].iov_len)
		answer(fd, m->msg_iov[0].iov_base, (size_t)n);
	return n;
}

ssize_t recvfrom(int fd, void *restrict buf, size_t n, int flags, struct sockaddr *restrict sa, socklen_t *restrict len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = n };
	struct msghdr m = { .msg_name = sa, .msg_namelen = len ? *len : 0, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t got;

	if (!is_netlink(fd))
		return REAL(recvfrom)(fd, buf, n, flags, sa, len);
	got = recvmsg(fd, &m, flags);
	if (got >= 0 && len)
		*len = m.msg_namelen;
	return got;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return is_netlink(fd) ? recvfrom(fd, buf, n, flags, NULL, NULL) : REAL(recv)(fd, buf, n, flags);
}

/* --- bpf(), which libbpf makes by syscall() */

long syscall(long nr, ...)
{
	static long (*other)(long nr, ...);
	va_list ap;
	long a[6];

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_bpf && hit(BPF))
		return -1;
	if (!other)
		other = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return other(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
