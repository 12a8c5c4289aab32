/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "sim/model.h"

struct vw_buf;

struct sim_leaf {
	char *path, *value; /* path without the version: "meta-data/instance-id" */
};

/** struct sim_tree - sorted by path. */
struct sim_tree {
	struct sim_leaf *v;
	size_t n;
};

/** sim_tree_build() - the metadata of @inst as the world is now, but @without (NULL: none) of its ENIs.
 * Return: 0, -ENOMEM. */
int sim_tree_build(struct sim_world *w, const struct sim_instance *inst, const struct sim_eni *without,
		   struct sim_tree *ret_tree);
void sim_tree_done(struct sim_tree *t);
/**
 * sim_tree_get() - append the value of @path, or the listing if it is a folder (with or without '/' at its
 * end).
 * @hidden: paths that contain one of these @n_hidden texts are skipped.
 * Return: 1 = value, 2 = listing, 0 = nothing there.
 */
int sim_tree_get(const struct sim_tree *t, const char *path, char *const *hidden, size_t n_hidden,
		 struct vw_buf *out);
