/*
 * Files and objects. A file is read into a new list of objects first; objects that the file had before
 * and that come again unchanged take the place of the new ones; room is made for everything that is to be
 * linked; and only then, when nothing can fail any more, the old ones that are left go out of the table
 * and the new ones in. For each kind and name the table has the object of the file that sorts last, which
 * points to the others.
 */
#include "netpolicy-bpf/user/np_world_priv.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NP_API  "policy.networking.k8s.io/"
#define AWS_API "networking.k8s.aws/"

static const struct kind_info {
	const char *name, *version, *also; /* @also: another version of the same shape */
	size_t size;
	bool namespaced;
	int (*read)(struct np_reader *r, const struct vw_json *json, struct np_object *o);
} kinds[NP_KINDS] = {
	[NP_KIND_POD] = {"Pod", "v1", NULL, sizeof(struct np_pod), true, np_read_pod},
	[NP_KIND_NAMESPACE] = {"Namespace", "v1", NULL, sizeof(struct np_ns), false, np_read_namespace},
	[NP_KIND_NODE] = {"Node", "v1", NULL, sizeof(struct np_node), false, np_read_node},
	[NP_KIND_SERVICE] = {"Service", "v1", NULL, sizeof(struct np_service), true, np_read_service},
	[NP_KIND_SLICE] = {"EndpointSlice", "discovery.k8s.io/v1", NULL, sizeof(struct np_slice), true,
			   np_read_slice},
	[NP_KIND_NETWORKPOLICY] = {"NetworkPolicy", "networking.k8s.io/v1", NULL, sizeof(struct np_policy),
				   true, np_read_networkpolicy},
	[NP_KIND_APPLICATION] = {"ApplicationNetworkPolicy", AWS_API "v1alpha1", NULL,
				 sizeof(struct np_policy), true, np_read_networkpolicy},
	[NP_KIND_ENDPOINT] = {"PolicyEndpoint", AWS_API "v1alpha1", NULL, sizeof(struct np_policy), true,
			      np_read_endpoint},
	[NP_KIND_CLUSTER] = {"ClusterNetworkPolicy", NP_API "v1alpha2", NP_API "v1beta1",
			     sizeof(struct np_policy), false, np_read_cluster},
	[NP_KIND_CLUSTER_AWS] = {"ClusterNetworkPolicy", AWS_API "v1alpha1", NULL, sizeof(struct np_policy),
				 false, np_read_cluster},
	[NP_KIND_ADMIN] = {"AdminNetworkPolicy", NP_API "v1alpha1", NULL, sizeof(struct np_policy), false,
			   np_read_cluster},
	[NP_KIND_BASELINE] = {"BaselineAdminNetworkPolicy", NP_API "v1alpha1", NULL, sizeof(struct np_policy),
			      false, np_read_cluster},
};

const char *np_kind_name(enum np_kind kind)
{
	return kinds[kind].name;
}

static struct np_owned *owned(const struct np_object *o)
{
	return o->priv;
}

/* --- objects */

static struct np_object *object_new(enum np_kind kind)
{
	struct np_owned *own = calloc(1, sizeof(*own) + kinds[kind].size);
	struct np_object *o = (struct np_object *)(own + 1);

	if (!own)
		return NULL;
	own->refs = 1;
	o->kind = kind;
	o->priv = own;
	return o;
}

static uint64_t key_hash(const struct np_object *o)
{
	return np_mix(o->ns->hash ^ np_mix(o->name->hash + o->kind));
}

static bool has_key(const void *p, const void *key)
{
	const struct np_object *a = p, *b = key;

	return a->kind == b->kind && a->ns == b->ns && a->name == b->name;
}

struct np_object *np_world_head(const struct np_world *w, const struct np_object *like)
{
	return np_table_find(&w->by_name, key_hash(like), has_key, like);
}

static bool same_labels(const struct np_labels *a, const struct np_labels *b)
{
	return a->n == b->n && (a->n == 0 || !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

static bool same_ips(const struct vw_ip *a, unsigned int n_a, const struct vw_ip *b, unsigned int n_b)
{
	return n_a == n_b && (n_a == 0 || !memcmp(a, b, n_a * sizeof(*a)));
}

/* Two of one kind and name, and nothing that a policy can tell is different. */
static bool is_same(const struct np_object *x, const struct np_object *y)
{
	switch (x->kind) {
	case NP_KIND_POD: {
		const struct np_pod *a = (const struct np_pod *)x, *b = (const struct np_pod *)y;

		return a->shape == b->shape && a->node == b->node && vw_ip_eq(&a->ip4, &b->ip4) &&
		       vw_ip_eq(&a->ip6, &b->ip6) && a->created == b->created &&
		       a->host_network == b->host_network && a->done == b->done;
	}
	case NP_KIND_NAMESPACE:
		return same_labels(&((const struct np_ns *)x)->labels, &((const struct np_ns *)y)->labels);
	case NP_KIND_NODE: {
		const struct np_node *a = (const struct np_node *)x, *b = (const struct np_node *)y;

		return a->provider == b->provider && same_labels(&a->labels, &b->labels) && same_ips(a->ip, a->n_ip, b->ip, b->n_ip);
	}
	case NP_KIND_SERVICE: {
		const struct np_service *a = (const struct np_service *)x, *b = (const struct np_service *)y;

		return same_labels(&a->selector, &b->selector) && same_ips(a->ip, a->n_ip, b->ip, b->n_ip) &&
		       a->node_ports == b->node_ports;
	}
	case NP_KIND_SLICE: {
		const struct np_slice *a = (const struct np_slice *)x, *b = (const struct np_slice *)y;

		return a->service == b->service && same_ips(a->ip, a->n_ip, b->ip, b->n_ip);
	}
	default:
		return !memcmp(owned(x)->digest, owned(y)->digest, sizeof(owned(x)->digest));
	}
}

/* --- what changed */

static void note_pod(struct np_world *w, const struct np_object *o)
{
	for (size_t i = 0; i < w->n_changed; i++)
		if (w->changed[i][0] == o->ns && w->changed[i][1] == o->name)
			return;
	if (w->n_changed == NP_CHANGES_MAX) {
		w->many = true;
		return;
	}
	w->changed[w->n_changed][0] = np_str_get(&w->names, o->ns->s, o->ns->len);
	w->changed[w->n_changed][1] = np_str_get(&w->names, o->name->s, o->name->len);
	w->n_changed++;
}

static void forget_names(struct np_world *w, const struct np_str *v[][2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		np_str_put(&w->names, v[i][0]);
		np_str_put(&w->names, v[i][1]);
	}
}

/* Something else is in force under the name of @o than before. */
static void note_change(struct np_world *w, const struct np_object *o)
{
	if (o->kind == NP_KIND_POD) {
		if (!w->many)
			note_pod(w, o);
		return;
	}
	/* endpoints come and go all day long; only those that answer DNS are part of any policy */
	if (o->kind == NP_KIND_SLICE && (strcmp(o->ns->s, "kube-system") != 0 ||
					 strcmp(((const struct np_slice *)o)->service->s, "kube-dns") != 0))
		return;
	w->rules = true;
	w->gen = ++w->gens;
}

bool np_world_changes(struct np_world *w, struct np_changes *ret_changes)
{
	bool any = w->rules || w->many || w->n_changed;

	forget_names(w, w->told, w->n_told);
	memcpy(w->told, w->changed, w->n_changed * sizeof(w->told[0]));
	w->n_told = w->n_changed;
	for (size_t i = 0; i < w->n_told; i++)
		w->told_name[i] = (struct np_pod_name){w->told[i][0]->s, w->told[i][1]->s};
	*ret_changes = (struct np_changes){w->rules, w->many, w->told_name, w->n_told};
	w->rules = w->many = false;
	w->n_changed = 0;
	w->saved.told = w->saved.there;
	return any;
}

/* --- in force */

static void list_add(struct np_list *l, struct np_object *o)
{
	o->index = l->n;
	l->v[l->n++] = o;
}

static void list_del(struct np_list *l, struct np_object *o)
{
	l->v[o->index] = l->v[--l->n];
	l->v[o->index]->index = o->index;
}

static int list_reserve(struct np_list *l, size_t more)
{
	size_t cap = l->cap ? l->cap : 16;
	struct np_object **grown;

	while (cap < l->n + more)
		cap *= 2;
	if (cap == l->cap)
		return 0;
	grown = reallocarray(l->v, cap, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->v = grown;
	l->cap = cap;
	return 0;
}

static void set_in_force(struct np_world *w, struct np_object *o, bool yes)
{
	if (yes)
		list_add(&w->list[o->kind], o);
	else
		list_del(&w->list[o->kind], o);
	if (o->kind == NP_KIND_NAMESPACE)
		((struct np_ns *)o)->space->object = yes ? (const struct np_ns *)o : NULL;
	note_change(w, o);
}

/* Room for it has been made. */
static void link_object(struct np_world *w, struct np_object *o)
{
	struct np_object *head = np_world_head(w, o), **at = &head;
	uint64_t hash = key_hash(o);

	while (*at && strcmp((*at)->file, o->file) > 0)
		at = &(*at)->shadows;
	o->shadows = *at;
	owned(o)->linked = true;
	if (at != &head) {
		*at = o;
		return;
	}
	if (head) {
		np_table_del(&w->by_name, hash, head);
		set_in_force(w, head, false);
	}
	(void)np_table_add(&w->by_name, hash, o);
	set_in_force(w, o, true);
}

static void unlink_object(struct np_world *w, struct np_object *o)
{
	struct np_object *head = np_world_head(w, o), **at = &head;
	uint64_t hash = key_hash(o);

	while (*at != o)
		at = &(*at)->shadows;
	owned(o)->linked = false;
	if (at != &head) {
		*at = o->shadows;
		return;
	}
	np_table_del(&w->by_name, hash, o);
	set_in_force(w, o, false);
	if (o->shadows) {
		(void)np_table_add(&w->by_name, hash, o->shadows);
		set_in_force(w, o->shadows, true);
	}
	o->shadows = NULL;
}

/* --- files */

/* Out with what @old has and @fresh has not (@kept), in with the rest. Nothing here can fail. */
static void exchange(struct np_world *w, const struct np_file *old, const struct np_file *fresh)
{
	for (size_t i = 0; old && i < old->n; i++)
		if (!owned(old->obj[i])->kept)
			unlink_object(w, old->obj[i]);
	for (size_t i = 0; fresh && i < fresh->n; i++) {
		if (!owned(fresh->obj[i])->linked)
			link_object(w, fresh->obj[i]);
		owned(fresh->obj[i])->kept = false;
	}
	w->notes_stale = true;
}

static int reserve_for(struct np_world *w, const struct np_file *fresh)
{
	size_t n[NP_KINDS] = {0};
	int r = np_table_reserve(&w->by_name, fresh->n);

	for (size_t i = 0; i < fresh->n; i++)
		n[fresh->obj[i]->kind]++;
	for (int k = 0; k < NP_KINDS; k++)
		if (n[k] && list_reserve(&w->list[k], n[k]) < 0)
			r = -ENOMEM;
	return r;
}

/* The object of @file under @like's name, or NULL. */
static struct np_object *of_file(const struct np_world *w, const struct np_object *like)
{
	struct np_object *o = np_world_head(w, like);

	while (o && strcmp(o->file, like->file) != 0)
		o = o->shadows;
	return o;
}

static void set_path(struct np_object *o, char *take_path)
{
	owned(o)->path = take_path;
	o->path = take_path;
}

/* For np_world_restore(). Return: @o's path is kept; without memory the new one stays, it only says where. */
static bool keep_path(struct np_world *w, struct np_object *o, const char *fresh)
{
	struct np_saved *s = &w->saved;
	struct np_moved *grown;

	if (!s->there || !strcmp(o->path, fresh))
		return false;
	if (s->n_moved == s->cap_moved) {
		grown = reallocarray(s->moved, s->cap_moved ? 2 * s->cap_moved : 16, sizeof(*grown));
		if (!grown)
			return false;
		s->moved = grown;
		s->cap_moved = s->cap_moved ? 2 * s->cap_moved : 16;
	}
	owned(o)->refs++;
	s->moved[s->n_moved++] = (struct np_moved){o, owned(o)->path};
	return true;
}

/* Where nothing changed, the structure that everybody knows stays; only its place in the file may be
 * another. */
static void keep_known(struct np_world *w, struct np_file *fresh)
{
	for (size_t i = 0; i < fresh->n; i++) {
		struct np_object *o = fresh->obj[i], *known = of_file(w, o);

		if (!known || !is_same(known, o))
			continue;
		if (!keep_path(w, known, o->path))
			free(owned(known)->path);
		set_path(known, VW_TAKE_PTR(owned(o)->path));
		owned(known)->refs++;
		owned(known)->kept = true;
		np_object_put(w, o);
		fresh->obj[i] = known;
	}
}

/* @fresh takes the place of the file of its name. Return: 0, -ENOMEM with everything as it was. */
static int put_file(struct np_world *w, struct np_file *fresh)
{
	bool there;
	size_t at = np_file_place(&w->files, fresh->name, &there);
	struct np_file *old = there ? w->files.v[at] : NULL;

	if (reserve_for(w, fresh) < 0 || np_files_reserve(&w->files) < 0)
		return -ENOMEM;
	keep_known(w, fresh);
	exchange(w, old, fresh);
	if (there) {
		w->files.v[at] = fresh;
		np_file_free(w, old);
	} else {
		np_files_insert(&w->files, fresh);
	}
	return 0;
}

/* --- reading a file */

struct taking {
	struct np_world *w;
	struct np_file *file;
	struct np_table seen; /* its objects */
	struct np_reader reader;
	char base[VW_K8S_PATH_MAX]; /* of paths: the object's place in the file */
	bool failed;                /* at an object, not as text */
};

static void on_warning(void *arg, const struct np_object *obj, const char *path, const char *text)
{
	struct taking *t = arg;
	struct np_file *f = t->file;
	struct np_said *grown;
	char full[VW_K8S_PATH_MAX + 260];

	if (f->n_warning == 1000) /* a file that says the same a million times is told of once */
		return;
	if (f->n_warning == f->cap_warning) {
		grown = reallocarray(f->warning, f->cap_warning ? 2 * f->cap_warning : 4, sizeof(*grown));
		if (!grown)
			return;
		f->warning = grown;
		f->cap_warning = f->cap_warning ? 2 * f->cap_warning : 4;
	}
	(void)snprintf(full, sizeof(full), "%s%s%s", t->base, *t->base && *path ? "." : "", path);
	f->warning[f->n_warning] = (struct np_said){0};
	if (np_said_set(&f->warning[f->n_warning], obj, full, text) == 0)
		f->n_warning++;
}

static int add_object(struct taking *t, struct np_object *o, const struct np_at *meta)
{
	struct np_file *f = t->file;
	struct np_object **grown;
	const struct np_object *twin = np_table_find(&t->seen, key_hash(o), has_key, o);

	if (twin)
		return np_bad(&t->reader, meta, "name", "this object stands in the file twice, first at %s",
			      *twin->path ? twin->path : "its start");
	if (f->n == f->cap) {
		grown = reallocarray(f->obj, f->cap ? 2 * f->cap : 16, sizeof(struct np_object *));
		if (!grown)
			return np_no_memory(&t->reader);
		f->obj = grown;
		f->cap = f->cap ? 2 * f->cap : 16;
	}
	if (np_table_add(&t->seen, key_hash(o), o) < 0)
		return np_no_memory(&t->reader);
	f->obj[f->n++] = o;
	return 0;
}

static int read_identity(struct taking *t, const struct vw_json *json, struct np_object *o)
{
	const struct np_at meta = {NULL, "metadata", -1};
	const char *name = "", *ns = kinds[o->kind].namespaced ? "default" : "";
	const struct vw_json *metadata;
	struct np_reader *r = &t->reader;
	const struct np_str *file;
	int bad = np_get_obj(r, NULL, json, "metadata", &metadata);

	bad = bad < 0 ? bad : np_get_text(r, &meta, metadata, "name", &name);
	if (bad >= 0 && kinds[o->kind].namespaced)
		bad = np_get_text(r, &meta, metadata, "namespace", &ns);
	if (bad < 0)
		return bad;
	if (!np_is_dns_name(name, 253))
		return np_bad(r, &meta, "name", "\"%.64s\" is no name of an object", name);
	if (kinds[o->kind].namespaced && (!np_is_dns_name(ns, 63) || strchr(ns, '.')))
		return np_bad(r, &meta, "namespace", "\"%.64s\" is no name of a namespace", ns);
	o->name = np_keep_str(r, name);
	o->ns = np_keep_str(r, ns);
	file = np_keep_str(r, t->file->name);
	set_path(o, strdup(t->base));
	if (!o->name || !o->ns || !file || !o->path)
		return np_no_memory(r);
	o->file = file->s;
	o->serial = ++t->w->serial;
	return add_object(t, o, &meta);
}

static void add_digest(uint64_t digest[2], uint64_t v)
{
	digest[0] = np_mix(digest[0] ^ v) + 1;
	digest[1] = np_mix(digest[1] + v) ^ digest[0];
}

static void add_text(uint64_t digest[2], const char *text)
{
	size_t len = strlen(text);

	digest[0] = np_hash(digest[0], text, len);
	digest[1] = np_hash(digest[1], text, len);
}

/* What a policy says, to know it again when the file is read the next time: types, keys and values in
 * order. */
static void add_json(uint64_t digest[2], const struct vw_json *json)
{
	enum vw_json_type type = vw_json_type(json);
	const struct vw_json *value;
	const char *key;
	void *iter = NULL;

	add_digest(digest, (uint64_t)type << 32 | vw_json_len(json));
	switch (type) {
	case VW_JSON_OBJECT:
		while ((key = vw_json_each(json, &iter, &value))) {
			add_text(digest, key);
			add_json(digest, value);
		}
		break;
	case VW_JSON_ARRAY:
		for (size_t i = 0; i < vw_json_len(json); i++)
			add_json(digest, vw_json_at(json, i));
		break;
	case VW_JSON_STRING:
		add_text(digest, vw_json_string(json));
		break;
	default: /* no reader takes a number that is not whole */
		add_digest(digest, (uint64_t)vw_json_int(json));
	}
}

static void set_digest(const struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	uint64_t *digest = owned(o)->digest;

	digest[0] = 1;
	digest[1] = r->names->seed;
	add_json(digest, vw_json_get(json, "spec"));
}

static int read_object(struct taking *t, const struct vw_json *json, enum np_kind kind)
{
	struct np_object *o = object_new(kind);
	struct np_reader *r = &t->reader;
	int bad;

	if (!o)
		return np_no_memory(r);
	r->mem = &owned(o)->mem;
	r->obj = o;
	bad = read_identity(t, json, o);
	if (bad < 0) { /* nobody has it yet */
		r->obj = NULL;
		np_object_put(t->w, o);
		return bad;
	}
	bad = kinds[kind].read(r, json, o);
	if (bad >= 0 && kind >= NP_KIND_NETWORKPOLICY)
		set_digest(r, json, o);
	return bad;
}

static int on_object(void *arg, const struct vw_k8s_object *obj, struct vw_err *err)
{
	struct taking *t = arg;
	const char *other = NULL;

	(void)!VW_COPY(t->base, obj->path);
	for (int k = 0; k < NP_KINDS; k++) {
		const char *slash = strchr(kinds[k].version, '/');

		if (strcmp(kinds[k].name, obj->kind) != 0)
			continue;
		if (!strcmp(kinds[k].version, obj->version) ||
		    (kinds[k].also && !strcmp(kinds[k].also, obj->version))) {
			int r = read_object(t, obj->json, (enum np_kind)k);

			t->failed = r < 0;
			return r;
		}
		if (slash && !strncmp(kinds[k].version, obj->version, (size_t)(slash - kinds[k].version) + 1))
			other = kinds[k].version;
	}
	if (other) {
		t->reader.obj = NULL;
		np_warn(&t->reader, NULL, "apiVersion",
			"a %.40s of version %.64s is not known here (%s is) and not in force", obj->kind,
			obj->version, other);
	}
	return 0;
}

/* Remember why the file is as it was, and make the sentence of it. */
static void refuse(struct np_world *w, struct taking *t, const char *file, struct vw_err *err)
{
	struct np_file *old = np_file_find(&w->files, file);
	char path[VW_K8S_PATH_MAX + 260] = "";

	if (!old && np_files_reserve(&w->files) == 0) {
		old = np_file_new(file);
		if (old)
			np_files_insert(&w->files, old);
	}
	if (t->failed)
		(void)snprintf(path, sizeof(path), "%s%s%s", t->base,
			       *t->base && t->reader.path[0] ? "." : "", t->reader.path);
	if (old) {
		np_said_done(&old->refused);
		(void)np_said_set(&old->refused, t->reader.obj, path, err->msg);
	}
	w->notes_stale = true;
	if (!t->failed)
		return;
	if (path[0])
		vw_err_wrap(err, "%s: %.200s", file, path);
	else
		vw_err_wrap(err, "%s", file);
}

int np_world_take(struct np_world *w, const char *file, const char *text, size_t len, struct vw_err *err)
{
	struct taking t = {.w = w, .file = np_file_new(file)};
	int r;

	if (!t.file)
		return vw_err_set(err, ENOMEM, 0, "no memory for %s", file);
	t.reader = (struct np_reader){.names = &w->names, .warn = on_warning, .arg = &t, .err = err};
	r = vw_k8s_walk(file, text, len, on_object, &t, err);
	if (r == 0 && put_file(w, t.file) < 0)
		r = vw_err_set(err, ENOMEM, 0, "no memory for %s", file);
	if (r < 0) {
		refuse(w, &t, file, err);
		np_file_free(w, t.file);
	}
	np_table_done(&t.seen);
	return r < 0 ? r : 0;
}

void np_world_drop(struct np_world *w, const char *file)
{
	bool there;
	size_t at = np_file_place(&w->files, file, &there);
	struct np_file *f = there ? w->files.v[at] : NULL;

	if (!f)
		return;
	exchange(w, f, NULL);
	np_files_remove(&w->files, at);
	np_file_free(w, f);
}

/* --- trying */

/* @back: to where they stood, the last move first. */
static void moved_done(struct np_world *w, bool back)
{
	struct np_saved *s = &w->saved;

	for (size_t i = s->n_moved; i-- > 0;) {
		struct np_moved *m = &s->moved[i];
		char *out = m->path;

		if (back) {
			out = owned(m->obj)->path;
			set_path(m->obj, m->path);
		}
		free(out);
		np_object_put(w, m->obj);
	}
	free(s->moved);
	s->moved = NULL;
	s->n_moved = s->cap_moved = 0;
}

void np_world_forget(struct np_world *w)
{
	np_files_done(w, &w->saved.files);
	moved_done(w, false);
	w->saved = (struct np_saved){0};
}

int np_world_save(struct np_world *w)
{
	struct np_saved *s = &w->saved;

	np_world_forget(w);
	for (size_t i = 0; i < w->files.n; i++) {
		struct np_file *c = np_files_reserve(&s->files) == 0 ? np_file_copy(w, w->files.v[i]) : NULL;

		if (!c) {
			np_files_done(w, &s->files);
			return -ENOMEM;
		}
		s->files.v[s->files.n++] = c;
	}
	*s = (struct np_saved){.files = s->files, .there = true, .rules = w->rules, .many = w->many,
			       .n_changed = w->n_changed, .gen = w->gen};
	return 0;
}

void np_world_restore(struct np_world *w)
{
	struct np_saved *s = &w->saved;

	if (!s->there)
		return;
	for (size_t i = 0; i < s->files.n; i++)
		for (size_t k = 0; k < s->files.v[i]->n; k++)
			owned(s->files.v[i]->obj[k])->kept = true;
	/* the table and the lists have held all of this before and have not become smaller: linking needs
	 * no memory */
	for (size_t i = 0; i < w->files.n; i++)
		exchange(w, w->files.v[i], NULL);
	for (size_t i = 0; i < s->files.n; i++)
		exchange(w, NULL, s->files.v[i]);
	np_files_done(w, &w->files);
	w->files = s->files;
	w->notes_stale = true;  /* they point to the files that are gone */
	if (s->told) {
		forget_names(w, w->changed, w->n_changed);
		s->rules = true;
		s->n_changed = 0;
	} else {
		forget_names(w, w->changed + s->n_changed, w->n_changed - s->n_changed);
	}
	w->rules = s->rules;
	w->many = s->many;
	w->n_changed = s->n_changed;
	w->gen = s->gen;
	moved_done(w, true);
	*s = (struct np_saved){0};
}

/* --- the whole */

struct np_world *np_world_new(void)
{
	struct np_world *w = calloc(1, sizeof(*w));

	if (w)
		w->names.seed = np_hash_seed();
	return w;
}

struct np_world *np_world_free(struct np_world *w)
{
	if (!w)
		return NULL;
	np_files_done(w, &w->files);
	np_world_forget(w);
	forget_names(w, w->changed, w->n_changed);
	forget_names(w, w->told, w->n_told);
	np_notes_done(w);
	for (int k = 0; k < NP_KINDS; k++)
		free(w->list[k].v);
	np_table_done(&w->by_name);
	np_names_done(&w->names);
	free(w);
	return NULL;
}

const struct np_list *np_world_list(const struct np_world *w, enum np_kind kind)
{
	return &w->list[kind];
}

const char *np_world_own_node(const struct np_world *w, const char *instance_id, const char *host_name)
{
	const struct np_list *nodes = np_world_list(w, NP_KIND_NODE);

	for (size_t i = 0; i < nodes->n; i++) {
		const struct np_node *node = (const struct np_node *)nodes->v[i];

		if (vw_k8s_is_instance(node->provider->s, instance_id))
			return node->o.name->s;
	}
	return host_name;
}

const struct np_object *np_world_find(const struct np_world *w, enum np_kind kind, const char *ns,
				      const char *name)
{
	struct np_object like = {
		.kind = kind, .ns = np_str_find(&w->names, ns), .name = np_str_find(&w->names, name)};

	return like.ns && like.name ? np_world_head(w, &like) : NULL;
}

uint64_t np_world_gen(const struct np_world *w)
{
	return w->gen;
}

const struct np_names *np_world_names(const struct np_world *w)
{
	return &w->names;
}
