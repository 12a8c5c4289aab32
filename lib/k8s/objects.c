/* Walks what kubectl prints: documents, in them lists, in those objects. */
#include "lib/k8s/objects.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/yaml/yaml.h"

#include <errno.h>
#include <string.h>

#define MAX_LISTS 4 /* lists in lists */

static const struct vw_json_limits limits = {.max_bytes = VW_K8S_FILE_MAX_BYTES};

struct walk {
	const char *file;
	int (*fn)(void *arg, const struct vw_k8s_object *obj, struct vw_err *err);
	void *arg;
	char path[VW_K8S_PATH_MAX];
};

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

static bool is_yaml(const char *name)
{
	return ends_in(name, ".yaml") || ends_in(name, ".yml");
}

bool vw_k8s_is_manifest(const char *name)
{
	return name[0] != '.' && (ends_in(name, ".json") || is_yaml(name));
}

const char *vw_k8s_text(const struct vw_json *obj, const char *key)
{
	const char *t = vw_json_string(vw_json_get(obj, key));

	return t ? t : "";
}

bool vw_k8s_is_instance(const char *provider_id, const char *instance_id)
{
	const char *last = strrchr(provider_id, '/');

	return last && *instance_id && !strcmp(last + 1, instance_id);
}

bool vw_k8s_is_group(const char *version, const char *group)
{
	size_t n = strlen(group);

	return !strncmp(version, group, n) && version[n] == '/';
}

static int refuse(const struct walk *w, const char *why, struct vw_err *err)
{
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "%s: %s%s%s", w->file, w->path,
			  w->path[0] ? ": " : "", why);
}

static int walk_object(struct walk *w, const struct vw_json *json, const char *kind, const char *version,
		       unsigned int lists, struct vw_err *err);

static int walk_list(struct walk *w, const struct vw_json *list, const char *kind, const char *version,
		     unsigned int lists, struct vw_err *err)
{
	const struct vw_json *items = vw_json_get(list, "items");
	size_t before = strlen(w->path);
	char of[VW_K8S_PATH_MAX];
	int r = 0;

	if (vw_json_type(items) != VW_JSON_ARRAY)
		return refuse(w, "a list of objects without 'items'", err);
	if (lists == MAX_LISTS)
		return refuse(w, "too many lists in lists", err);
	if (vw_fmt(of, sizeof(of), "%.*s", (int)strlen(kind) - 4, kind) < 0)
		return 0; /* no kind that anybody knows */
	for (size_t i = 0; r == 0 && i < vw_json_len(items); i++) {
		if (vw_fmt(w->path + before, sizeof(w->path) - before, "%sitems[%zu]", before ? "." : "", i) <
		    0)
			return refuse(w, "too many lists in lists", err);
		r = walk_object(w, vw_json_at(items, i), of, version, lists + 1, err);
	}
	w->path[before] = 0;
	return r;
}

/* @kind, @version: what the list says that its items are, "" where each says so itself */
static int walk_object(struct walk *w, const struct vw_json *json, const char *kind, const char *version,
		       unsigned int lists, struct vw_err *err)
{
	if (vw_json_type(json) != VW_JSON_OBJECT)
		return refuse(w, "wanted an object", err);
	if (*vw_k8s_text(json, "kind")) {
		kind = vw_k8s_text(json, "kind");
		version = vw_k8s_text(json, "apiVersion");
	}
	if (!*kind)
		return refuse(w, "an object without 'kind'", err);
	if (!strcmp(kind, "List") || ends_in(kind, "List"))
		return walk_list(w, json, kind, version, lists, err);
	return w->fn(w->arg, &(struct vw_k8s_object){json, kind, version, w->path}, err);
}

static int walk_document(struct walk *w, const struct vw_json *json, size_t number, struct vw_err *err)
{
	w->path[0] = 0;
	if (number && vw_fmt(w->path, sizeof(w->path), "[%zu]", number) < 0)
		return refuse(w, "too many documents", err);
	return walk_object(w, json, "", "", 0, err);
}

static int walk_json(struct walk *w, const char *text, size_t len, struct vw_err *err)
{
	size_t pos = 0;

	for (size_t number = 0;; number++) {
		vw_auto_json struct vw_json *json = NULL;
		int r = vw_json_parse_next(text, len, &pos, &limits, w->file, &json, err);

		if (r > 0)
			r = walk_document(w, json, number, err) ?: 1;
		if (r <= 0)
			return r;
	}
}

static void free_yaml(struct vw_yaml **y)
{
	*y = vw_yaml_free(*y);
}

static int walk_yaml(struct walk *w, const char *text, size_t len, struct vw_err *err)
{
	vw_auto(free_yaml) struct vw_yaml *y = NULL;
	int r = vw_yaml_new(text, len, &limits, w->file, &y, err);

	if (r < 0)
		return r;
	for (size_t number = 0;; number++) {
		vw_auto_json struct vw_json *json = NULL;

		r = vw_yaml_next(y, &json, err);
		if (r > 0)
			r = walk_document(w, json, number, err) ?: 1;
		if (r <= 0)
			return r;
	}
}

int vw_k8s_walk(const char *file, const char *text, size_t len,
		int (*fn)(void *arg, const struct vw_k8s_object *obj, struct vw_err *err), void *arg,
		struct vw_err *err)
{
	struct walk w = {.file = file, .fn = fn, .arg = arg};

	return is_yaml(file) ? walk_yaml(&w, text, len, err) : walk_json(&w, text, len, err);
}
