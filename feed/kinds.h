// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct vw_buf;
struct vw_err;
struct vw_json;

/**
 * DOC: kinds
 *
 * What is asked of the API server, and what of each object is handed on. What is not in @keep is left out: environments and commands of
 * containers may hold secrets, and managedFields and conditions change all the time without meaning anything here.
 */

/**
 * struct feed_kind - a row.
 * @name: of --kinds, and the start of file names; no "_". @kind, @version: of the object. @path: below the server's address.
 * @query: more of the list's and the watch's, or NULL. @keep: members by path, arrays passed through, NULL-terminated.
 * @optional: the cluster may not have it (404). @by_default: without --kinds.
 */
struct feed_kind {
	const char *name, *kind, *version, *path, *query;
	const char *const *keep;
	bool optional, by_default;
};

/** feed_kinds() - all of them, *ret_n. */
const struct feed_kind *feed_kinds(size_t *ret_n);

/**
 * feed_kind_take() - what is handed on of @obj, an item of a list or an object of an event.
 * @ret_text: appended: one object as JSON with a newline. @ret_file: its file.
 * Return: 0; -EINVAL (it has no name that can be one), -ENOMEM.
 */
int feed_kind_take(const struct feed_kind *k, const struct vw_json *obj, char ret_file[256], struct vw_buf *ret_text, struct vw_err *err);
