// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

struct vw_err;

/**
 * DOC: the folder
 *
 * One file per object, KIND_NAMESPACE_NAME.json, where KIND is feed's own word for it (kinds.h): none of the three has "_" in it, so a
 * name says whose it is, and files of others, whose names begin with no KIND_, are never touched. The folder itself is the memory:
 * what is in force is what is in the files, also after a restart.
 */
#define FEED_FILE_MAX_BYTES (16 * 1024 * 1024)

/**
 * struct feed_names - a set of file names: what a list from the API server had. Start with { 0 }, end with feed_names_done().
 */
struct feed_names {
	struct feed_name *v;
};

int feed_names_add(struct feed_names *s, const char *name);     /* 0, -ENOMEM */
void feed_names_done(struct feed_names *s);

/**
 * feed_file_name() - the file of an object.
 * @ns: "" of objects without namespace. Names too long for a file become their SHA-256.
 * Return: 0; -EINVAL: @ns or @name has letters that no name in Kubernetes has (it comes from outside, and becomes a path).
 */
int feed_file_name(const char *kind, const char *ns, const char *name, char ret_file[256]);

/** feed_folder_put() - make @file say @text, by rename. Return: 1 written, 0 it said so already, -errno (the file is as it was). */
int feed_folder_put(const char *dir, const char *file, const char *text, size_t len, struct vw_err *err);
/** feed_folder_remove() - Return: 1 removed, 0 there was none, -errno. */
int feed_folder_remove(const char *dir, const char *file, struct vw_err *err);
/** feed_folder_sweep() - remove what is of @kind and not among @stay. Return: how many; -errno: perhaps not all. */
int feed_folder_sweep(const char *dir, const char *kind, const struct feed_names *stay, struct vw_err *err);
