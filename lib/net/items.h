#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/**
 * struct vw_items - inside lib/net: a growing array of items of one size, for what a dump brings.
 * @size: of one item, set by the owner; the rest starts at zero.
 */
struct vw_items {
	char *data;
	size_t n, cap, size;
};

/** vw_items_next() - a zeroed item behind the last; it counts once the owner has raised @n. Return: NULL = no memory. */
static inline void *vw_items_next(struct vw_items *it)
{
	if (it->n == it->cap) {
		size_t cap = it->cap ? it->cap * 2 : 32;
		char *data = reallocarray(it->data, cap, it->size);

		if (!data)
			return NULL;
		it->data = data;
		it->cap = cap;
	}
	return memset(it->data + it->n * it->size, 0, it->size);
}

/** vw_items_done() - hand the array over (NULL when empty), or with @ret NULL free it. Return: how many. */
static inline int vw_items_done(struct vw_items *it, void **ret)
{
	if (!ret || it->n == 0) {
		free(it->data);
		it->data = NULL;
	}
	if (ret)
		*ret = it->data;
	return (int)it->n;
}
