/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before vpcwired's libraries (LD_PRELOAD): counts what its loop's thread allocates from the moment that it has read a request of a
 * plugin until it sends the answer. The last request's figures stand in the file that VPCWIRE_ALLOCS names (struct page).
 *
 * Only the thread that reads a request counts, so workers do not disturb it. The daemon has one SOCK_SEQPACKET kind of peer.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/** struct page - @requests: how many have been answered. @calls, @bytes: allocated for the last one; a realloc counts as one call. */
struct page {
	uint64_t requests, calls, bytes;
};

static struct page *page;
static __thread bool counting;
static __thread uint64_t calls, bytes;

/* glibc's own names: dlsym() allocates itself */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

__attribute__((constructor)) static void allocs_init(void)
{
	const char *path = getenv("VPCWIRE_ALLOCS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		page = p;
}

static void count(size_t n)
{
	if (!counting)
		return;
	calls++;
	bytes += n;
}

void *malloc(size_t n)
{
	count(n);
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	count(n * size);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	count(n);
	return __libc_realloc(p, n);
}

static bool is_plugins(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);

	if (page && got > 0 && is_plugins(fd)) {
		counting = true;
		calls = bytes = 0;
	}
	return got;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (counting && is_plugins(fd)) {
		counting = false;
		page->calls = calls;
		page->bytes = bytes;
		page->requests++;
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}
