/* What there is to tell about files: refusals, warnings of readers, objects that are not in force, ties. */
#include "netpolicy-bpf/user/np_world_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One allocation: object, path, why, one after the other. */
static int said_set(struct np_said *s, const char *object, const char *path, const char *why)
{
	size_t n_object = strlen(object) + 1, n_path = strlen(path) + 1, n_why = strlen(why) + 1;

	s->text = malloc(n_object + n_path + n_why);
	if (!s->text)
		return -1;
	memcpy(s->text, object, n_object);
	memcpy(s->text + n_object, path, n_path);
	memcpy(s->text + n_object + n_path, why, n_why);
	s->object = s->text;
	s->path = s->text + n_object;
	s->why = s->text + n_object + n_path;
	return 0;
}

int np_said_set(struct np_said *s, const struct np_object *obj, const char *path, const char *why)
{
	char object[400] = "";

	if (obj && obj->ns && obj->name)
		(void)snprintf(object, sizeof(object), "%s %s%s%s", np_kind_name(obj->kind), obj->ns->s,
			       obj->ns->len ? "/" : "", obj->name->s);
	return said_set(s, object, path, why);
}

int np_said_copy(struct np_said *s, const struct np_said *from)
{
	*s = (struct np_said){0};
	return from->text ? said_set(s, from->object, from->path, from->why) : 0;
}

void np_said_done(struct np_said *s)
{
	free(s->text);
	*s = (struct np_said){0};
}

void np_notes_done(struct np_world *w)
{
	for (size_t i = 0; i < w->n_made; i++)
		np_said_done(&w->made[i]);
	free(w->made);
	free(w->note);
	w->made = NULL;
	w->note = NULL;
	w->n_made = w->n_note = 0;
}

/* Without memory a note is left out: it says something, it decides nothing. */
static void add(struct np_world *w, const char *file, const struct np_said *s, bool refused)
{
	struct np_note *grown = reallocarray(w->note, w->n_note + 1, sizeof(*grown));

	if (!grown)
		return;
	w->note = grown;
	w->note[w->n_note++] = (struct np_note){file, s->object, s->path, s->why, refused};
}

static void make(struct np_world *w, const struct np_object *obj, const char *why)
{
	struct np_said *grown = reallocarray(w->made, w->n_made + 1, sizeof(*grown));

	if (!grown)
		return;
	w->made = grown;
	if (np_said_set(&w->made[w->n_made], obj, obj->path, why) == 0)
		add(w, obj->file, &w->made[w->n_made++], false);
}

#define MAX_SHADOWED 100 /* for each file: who drops a whole dump beside another need not hear of every pod  \
			  */

static void add_shadowed(struct np_world *w, const struct np_file *f)
{
	char why[400];
	size_t n = 0;

	for (size_t i = 0; i < f->n && n < MAX_SHADOWED; i++) {
		const struct np_object *head = np_world_head(w, f->obj[i]);

		if (head == f->obj[i])
			continue;
		n++;
		(void)snprintf(why, sizeof(why),
			       "not in force: the same object stands in %.300s, which sorts after this file",
			       head->file);
		make(w, f->obj[i], why);
	}
}

static int by_precedence(const void *a, const void *b)
{
	const struct np_policy *x = *(const struct np_policy *const *)a,
			       *y = *(const struct np_policy *const *)b;

	if (x->tier != y->tier)
		return (int)x->tier - (int)y->tier;
	if (x->priority != y->priority)
		return x->priority - y->priority;
	return strcmp(x->o.name->s, y->o.name->s);
}

/* Policies of one tier and priority: the API leaves their order open. */
static void add_ties(struct np_world *w)
{
	static const enum np_kind kinds[] = {NP_KIND_CLUSTER, NP_KIND_CLUSTER_AWS, NP_KIND_ADMIN};
	const struct np_policy **v;
	size_t n = 0;
	char why[400];

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		n += w->list[kinds[k]].n;
	v = reallocarray(NULL, n + 1, sizeof(*v));
	if (!v)
		return;
	n = 0;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (size_t i = 0; i < w->list[kinds[k]].n; i++)
			v[n++] = (const struct np_policy *)w->list[kinds[k]].v[i];
	qsort(v, n, sizeof(*v), by_precedence);
	for (size_t i = 1; i < n; i++) {
		if (v[i]->tier != v[i - 1]->tier || v[i]->priority != v[i - 1]->priority)
			continue;
		(void)snprintf(why, sizeof(why),
			       "has the tier and priority of %.260s: their order is the order of their names",
			       v[i - 1]->o.name->s);
		make(w, &v[i]->o, why);
	}
	free(v);
}

static int by_file(const void *a, const void *b)
{
	const struct np_note *x = a, *y = b;
	int d = strcmp(x->file, y->file);

	return d ? d : (int)y->refused - (int)x->refused;
}

const struct np_note *np_world_notes(struct np_world *w, size_t *ret_n)
{
	if (w->notes_stale) {
		np_notes_done(w);
		for (size_t i = 0; i < w->files.n; i++) {
			const struct np_file *f = w->files.v[i];

			if (f->refused.text)
				add(w, f->name, &f->refused, true);
			for (size_t k = 0; k < f->n_warning; k++)
				add(w, f->name, &f->warning[k], false);
			add_shadowed(w, f);
		}
		add_ties(w);
		if (w->n_note > 1)
			qsort(w->note, w->n_note, sizeof(*w->note), by_file);
		w->notes_stale = false;
	}
	*ret_n = w->n_note;
	return w->note;
}
