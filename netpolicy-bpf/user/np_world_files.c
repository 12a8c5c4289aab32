/* Files: containers of objects, sorted by name. */
#include "netpolicy-bpf/user/np_world_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct np_owned *owned(const struct np_object *o)
{
	return o->priv;
}

void np_object_put(struct np_world *w, struct np_object *o)
{
	struct np_owned *own;

	if (!o)
		return;
	own = owned(o);
	if (--own->refs)
		return;
	np_mem_done(&own->mem, &w->names);
	free(own->path);
	free(own);
}

struct np_file *np_file_new(const char *name)
{
	struct np_file *f = calloc(1, sizeof(*f));

	if (f)
		f->name = strdup(name);
	if (f && !f->name) {
		free(f);
		return NULL;
	}
	return f;
}

static void warnings_done(struct np_file *f)
{
	for (size_t i = 0; i < f->n_warning; i++)
		np_said_done(&f->warning[i]);
	free(f->warning);
	f->warning = NULL;
	f->n_warning = f->cap_warning = 0;
}

/* Its objects must be out of the table. */
void np_file_free(struct np_world *w, struct np_file *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		np_object_put(w, f->obj[i]);
	warnings_done(f);
	np_said_done(&f->refused);
	free(f->obj);
	free(f->name);
	free(f);
}

/* Where @name is, or would be. */
size_t np_file_place(const struct np_files *fs, const char *name, bool *ret_there)
{
	size_t lo = 0, hi = fs->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int d = strcmp(fs->v[mid]->name, name);

		if (d == 0) {
			*ret_there = true;
			return mid;
		}
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_there = false;
	return lo;
}

struct np_file *np_file_find(const struct np_files *fs, const char *name)
{
	bool there;
	size_t at = np_file_place(fs, name, &there);

	return there ? fs->v[at] : NULL;
}

int np_files_reserve(struct np_files *fs)
{
	struct np_file **grown;

	if (fs->n < fs->cap)
		return 0;
	grown = reallocarray(fs->v, fs->cap ? 2 * fs->cap : 16, sizeof(struct np_file *));
	if (!grown)
		return -ENOMEM;
	fs->v = grown;
	fs->cap = fs->cap ? 2 * fs->cap : 16;
	return 0;
}

void np_files_insert(struct np_files *fs, struct np_file *f)
{
	bool there;
	size_t at = np_file_place(fs, f->name, &there);

	memmove(fs->v + at + 1, fs->v + at, (fs->n - at) * sizeof(struct np_file *));
	fs->v[at] = f;
	fs->n++;
}

void np_files_remove(struct np_files *fs, size_t at)
{
	memmove(fs->v + at, fs->v + at + 1, (--fs->n - at) * sizeof(struct np_file *));
}

void np_files_done(struct np_world *w, struct np_files *fs)
{
	for (size_t i = 0; i < fs->n; i++)
		np_file_free(w, fs->v[i]);
	free(fs->v);
	*fs = (struct np_files){0};
}

struct np_file *np_file_copy(struct np_world *w, const struct np_file *f)
{
	struct np_file *c = np_file_new(f->name);

	if (!c)
		return NULL;
	c->obj = reallocarray(NULL, f->n + 1, sizeof(struct np_object *));
	c->warning = reallocarray(NULL, f->n_warning + 1, sizeof(*c->warning));
	if (!c->obj || !c->warning || np_said_copy(&c->refused, &f->refused) < 0) {
		np_file_free(w, c);
		return NULL;
	}
	c->cap = f->n + 1;
	c->cap_warning = f->n_warning + 1;
	for (; c->n < f->n; c->n++) {
		c->obj[c->n] = f->obj[c->n];
		owned(c->obj[c->n])->refs++;
	}
	for (; c->n_warning < f->n_warning; c->n_warning++) {
		if (np_said_copy(&c->warning[c->n_warning], &f->warning[c->n_warning]) < 0) {
			np_file_free(w, c);
			return NULL;
		}
	}
	return c;
}
