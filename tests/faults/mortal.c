/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before vpcwired's own libraries (LD_PRELOAD): the process dies, as by kill -9, at one point of its life that is chosen by
 * its name and number, and its clock can be put forward. A point is a change of the store, before it is made; a request to EC2, before it is sent; and
 * the answer to one, which EC2 has carried out, before it is read. Who drives it shares a page with it (struct page in the
 * file that VPCWIRE_MORTAL names). A change of the store is the end of a transaction, or a statement that is none's; with @fine it is
 * each write to its files, of which SQLite promises that the last one makes it all or nothing.
 *
 * CLOCK_BOOTTIME is put forward: it is what the daemon plans by, and what a suspended machine comes back with. CLOCK_REALTIME is moved by
 * itself, either way, as by a person or by NTP. libuv, libcurl and waits on conditions have CLOCK_MONOTONIC, which nothing moves.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EC2_PORT 8080
#define FDS      1024
#define NAME     48
#define TRACE    1024

/**
 * struct page - @want, @nth: where to die, "" = nowhere. @seen: how often that was passed. @n, @trace: what was passed at all. @fine: see
 * above.
 */
struct page {
	char want[NAME];
	_Atomic uint32_t nth, seen;
	_Atomic int64_t forward_ms, calendar_s;
	_Atomic uint32_t fine;
	_Atomic uint32_t n;
	char trace[TRACE][NAME];
};

static struct page *page;
static char asked[FDS][NAME]; /* the action that went out by this socket and whose answer has not been read; one thread at a time has it */
static ssize_t (*real_pwrite)(int fd, const void *buf, size_t n, off_t at);
static ssize_t (*real_send)(int fd, const void *buf, size_t n, int flags);
static ssize_t (*real_recv)(int fd, void *buf, size_t n, int flags);
static int (*real_clock)(clockid_t id, struct timespec *ts);
static int (*real_step)(void *statement);
static int (*in_autocommit)(void *db);
static void *(*db_of)(void *statement);
static int (*is_read_only)(void *statement);
static const char *(*sql_of)(void *statement);

__attribute__((constructor)) static void mortal_init(void)
{
	const char *path = getenv("VPCWIRE_MORTAL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
	real_send = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
	real_recv = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
	real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	real_step = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step");
	in_autocommit = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_get_autocommit");
	db_of = (void *(*)(void *))dlsym(RTLD_NEXT, "sqlite3_db_handle");
	is_read_only = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_stmt_readonly");
	sql_of = (const char *(*)(void *))dlsym(RTLD_NEXT, "sqlite3_sql");
	if (p == MAP_FAILED || !real_pwrite || !real_send || !real_recv || !real_clock || !real_step || !in_autocommit || !db_of ||
	    !is_read_only || !sql_of) {
		static const char why[] = "mortal: VPCWIRE_MORTAL names no page\n";

		(void)!write(2, why, sizeof(why) - 1);
		_exit(125);
	}
	close(fd);
	page = p;
	unsetenv("LD_PRELOAD"); /* what the daemon starts lives on */
}

static void point(const char *what, const char *which)
{
	char name[NAME];
	uint32_t n = atomic_fetch_add(&page->n, 1);

	snprintf(name, sizeof(name), "%s%.36s", what, which);
	if (n < TRACE)
		memcpy(page->trace[n], name, sizeof(name));
	if (strcmp(name, page->want) != 0 || atomic_fetch_add(&page->seen, 1) + 1 != atomic_load(&page->nth))
		return;
	raise(SIGKILL); /* tgkill(): kill() is not among the calls that vpcwired may make */
	for (;;)
		pause();
}

static bool is_store(int fd)
{
	char link[32], path[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return strstr(path, "/state.db") != NULL;
}

static bool is_ec2(int fd)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);

	return fd >= 0 && fd < FDS && getpeername(fd, (struct sockaddr *)&to, &len) == 0 && to.sin_family == AF_INET &&
	       to.sin_port == htons(EC2_PORT);
}

/* "Action" of a request whose body is in the same buffer; libcurl sends head and short body as one */
static void action(const char *buf, size_t n, char ret[NAME])
{
	const char *p = memmem(buf, n, "Action=", 7);
	size_t len = 0;

	for (p = p ? p + 7 : buf + n; p + len < buf + n && len < NAME - 1 && p[len] != '&'; len++)
		ret[len] = p[len];
	ret[len] = '\0';
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at)
{
	if (atomic_load(&page->fine) && is_store(fd))
		point("a write to the store's files", "");
	return real_pwrite(fd, buf, n, at);
}

/* a statement in a transaction changes nothing yet; its end does */
static bool is_change(void *statement)
{
	const char *sql = sql_of(statement);

	if (!sql) /* SQLite's own, within another */
		return false;
	if (strncmp(sql, "COMMIT", 6) == 0)
		return true;
	return !is_read_only(statement) && in_autocommit(db_of(statement)) && strncmp(sql, "BEGIN", 5) != 0;
}

int sqlite3_step(void *statement);
int sqlite3_step(void *statement)
{
	if (!atomic_load(&page->fine) && is_change(statement))
		point("before ", sql_of(statement));
	return real_step(statement);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	char which[NAME];

	if (n > 5 && memcmp(buf, "POST ", 5) == 0 && is_ec2(fd)) {
		action(buf, n, which);
		point("before ", which);
		memcpy(asked[fd], which, sizeof(which));
	}
	return real_send(fd, buf, n, flags);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	ssize_t got = real_recv(fd, buf, n, flags);
	char which[NAME];

	if (got > 0 && fd < FDS && asked[fd][0] && is_ec2(fd)) {
		memcpy(which, asked[fd], sizeof(which));
		asked[fd][0] = '\0';
		point("behind ", which);
	}
	return got;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = real_clock ? real_clock(id, ts) : (int)syscall(SYS_clock_gettime, id, ts);
	int64_t ms;

	if (r == 0 && id == CLOCK_REALTIME && page)
		ts->tv_sec += atomic_load(&page->calendar_s);
	if (r != 0 || id != CLOCK_BOOTTIME || !page)
		return r;
	ms = atomic_load(&page->forward_ms);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += ms % 1000 * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}
