/* Which memory a life of the daemon has: a table of all blocks, by address. */
#include "tests/unit/model_heap.h"

#include "tests/unit/cm.h"

#include <dirent.h>
#include <jansson.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES (1u << 16)      /* far more than a daemon of the model has */

struct block {
	void *p;
	size_t size;
};

static struct block table[ENTRIES];
static struct heap_live live;
static int on, first_fd;
static DIR *open_dir[8];

static unsigned int home(const void *p)
{
	return (unsigned int)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 48) % ENTRIES;
}

static unsigned int find(const void *p)
{
	unsigned int i = home(p);

	while (table[i].p && table[i].p != p)
		i = (i + 1) % ENTRIES;
	return i;
}

static void *note(void *p, size_t size)
{
	unsigned int i = find(p);

	if (!on || !p)
		return p;
	if (live.blocks > ENTRIES / 2)
		abort();
	live.blocks += !table[i].p;
	live.bytes += size - (table[i].p ? table[i].size : 0);
	table[i] = (struct block){ p, size };
	return p;
}

/* linear probing: what follows and belongs further to the front moves up */
static void forget(const void *p)
{
	unsigned int hole = find(p);

	if (!p || !table[hole].p)
		return;
	live.blocks--;
	live.bytes -= table[hole].size;
	for (unsigned int i = (hole + 1) % ENTRIES; table[i].p; i = (i + 1) % ENTRIES) {
		if ((i - home(table[i].p)) % ENTRIES < (i - hole) % ENTRIES)
			continue;
		table[hole] = table[i];
		hole = i;
	}
	table[hole] = (struct block){ 0 };
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void __real_free(void *p);
DIR *__real_opendir(const char *path);
int __real_closedir(DIR *d);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);
DIR *__wrap_opendir(const char *path);
int __wrap_closedir(DIR *d);

void *__wrap_malloc(size_t size)
{
	return note(__real_malloc(size), size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return note(__real_calloc(n, size), n * size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	forget(p);      /* none of this fails in a test */
	return note(__real_reallocarray(p, n, size), n * size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return __wrap_reallocarray(p, 1, size);
}

char *__wrap_strdup(const char *s)
{
	return note(__real_strdup(s), strlen(s) + 1);
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

DIR *__wrap_opendir(const char *path)
{
	size_t i = 0;

	while (open_dir[i])
		assert_true(++i < sizeof(open_dir) / sizeof(open_dir[0]));
	open_dir[i] = __real_opendir(path);
	return open_dir[i];
}

int __wrap_closedir(DIR *d)
{
	for (size_t i = 0; i < sizeof(open_dir) / sizeof(open_dir[0]); i++)
		if (open_dir[i] == d)
			open_dir[i] = NULL;
	return __real_closedir(d);
}

void heap_begin(void)
{
	first_fd = dup(STDIN_FILENO);
	assert_true(first_fd >= 0 && close(first_fd) == 0);
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	/* thousands of lives in one process: what one has given back the next one takes, without the kernel in between */
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
	on = 1;
}

void heap_drop(void)
{
	for (size_t i = 0; i < sizeof(open_dir) / sizeof(open_dir[0]); i++) {
		if (open_dir[i])
			__real_closedir(open_dir[i]);
		open_dir[i] = NULL;
	}
	for (unsigned int i = 0; i < ENTRIES; i++) {
		__real_free(table[i].p);
		table[i] = (struct block){ 0 };
	}
	live = (struct heap_live){ 0 };
	assert_int_equal(close_range((unsigned int)first_fd, ~0U, 0), 0);
}

struct heap_live heap_live(void)
{
	return live;
}

void heap_end(void)
{
	on = 0;
	if (live.blocks)
		fail_msg("the daemon has ended and left %zu blocks of memory, %zu bytes", live.blocks, live.bytes);
}
