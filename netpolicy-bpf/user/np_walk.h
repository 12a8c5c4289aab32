#pragma once

#include <linux/types.h>
#include <stddef.h>

/**
 * struct np_walk - all of a hash map. @fn: for each entry, which is a copy; what it returns other than 0 ends the walk. It may
 * delete what it is given. @lock: values have a bpf_spin_lock and are copied under it.
 */
struct np_walk {
	int fd;
	size_t key_size, value_size;
	int (*fn)(void *arg, const void *key, const void *value);
	void *arg;
	_Bool lock;
};

/** np_walk() - in batches: 32,768 entries are some ten system calls. Return: 0, -errno, or what @fn returned. */
int np_walk(const struct np_walk *w);
