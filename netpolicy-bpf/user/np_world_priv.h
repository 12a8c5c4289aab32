#pragma once

/* The world from the inside: for np_world*.c alone. */

#include "netpolicy-bpf/user/np_read.h"

/**
 * struct np_owned - what o->priv points to; the object itself stands behind it. @refs: files that hold
 * it, saved ones too.
 * @digest: of a policy's spec, to know it again. @kept: only while a file is being replaced. @linked: it
 * is in the table.
 */
struct np_owned {
	struct np_mem mem;
	uint64_t digest[2];
	char *path;
	unsigned int refs;
	bool kept, linked;
};

/** struct np_said - a note of a file, its texts in one allocation. */
struct np_said {
	char *text;
	const char *object, *path, *why;
};

/**
 * struct np_file - @obj: its objects, in order. @refused: why its newest content is not in force; text
 * NULL: it is.
 */
struct np_file {
	char *name;
	struct np_object **obj;
	size_t n, cap;
	struct np_said *warning;
	size_t n_warning, cap_warning;
	struct np_said refused;
};

struct np_files {
	struct np_file **v; /* by name */
	size_t n, cap;
};

/** struct np_moved - an object that a trial found in another place of its file: where it stood before. */
struct np_moved {
	struct np_object *obj;
	char *path;
};

/**
 * struct np_saved - what np_world_restore() goes back to. @n_changed: of w->changed, which only grows
 * meanwhile unless @told: np_world_changes() was called.
 */
struct np_saved {
	struct np_files files;
	bool there, rules, many, told;
	size_t n_changed;
	uint64_t gen;
	struct np_moved *moved; /* in order */
	size_t n_moved, cap_moved;
};

struct np_world {
	struct np_names names;
	struct np_files files;
	struct np_saved saved;
	struct np_table by_name; /* the object of each kind and name that is in force */
	struct np_list list[NP_KINDS];
	uint64_t serial, gens, gen;
	/* since np_world_changes() */
	bool rules, many;
	const struct np_str *changed[NP_CHANGES_MAX][2];
	size_t n_changed;
	const struct np_str *told[NP_CHANGES_MAX][2];
	struct np_pod_name told_name[NP_CHANGES_MAX];
	size_t n_told;
	/* np_world_notes() */
	struct np_note *note;
	size_t n_note;
	struct np_said *made; /* texts of notes that no file has */
	size_t n_made;
	bool notes_stale;
};

struct np_object *np_world_head(const struct np_world *w, const struct np_object *like);
int np_said_set(struct np_said *s, const struct np_object *obj, const char *path, const char *why);
int np_said_copy(struct np_said *s, const struct np_said *from);
void np_said_done(struct np_said *s);
void np_notes_done(struct np_world *w);

/* np_world_files.c. What makes something returns NULL or -ENOMEM without memory. */
void np_object_put(struct np_world *w, struct np_object *o);
struct np_file *np_file_new(const char *name);
/** np_file_copy() - the same objects, counted once more. */
struct np_file *np_file_copy(struct np_world *w, const struct np_file *f);
/** np_file_free() - its objects must be out of the table, or belong to another copy too. */
void np_file_free(struct np_world *w, struct np_file *f);
/** np_file_place() - where @name is, or would be. */
size_t np_file_place(const struct np_files *fs, const char *name, bool *ret_there);
struct np_file *np_file_find(const struct np_files *fs, const char *name);
int np_files_reserve(struct np_files *fs);
void np_files_insert(struct np_files *fs, struct np_file *f);
void np_files_remove(struct np_files *fs, size_t at);
void np_files_done(struct np_world *w, struct np_files *fs);
