/*
 * YAML to JSON values. libyaml's events are put together on a stack of open containers, never by
 * recursion, so depth is a number that is compared. A value with an anchor is copied where its alias
 * stands; what an alias may copy is bounded for the whole text, so that a few lines of nested aliases
 * cannot fill the memory.
 */
#include "lib/yaml/yaml.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <yaml.h>

#define DEFAULT_MAX_BYTES ((size_t)1024 * 1024)
#define DEFAULT_MAX_DEPTH 64u
#define DEPTH_CAP         128u
#define TAG_PREFIX        "tag:yaml.org,2002:"
#define TEXT_UNIT         64 /* a text costs one more for each so many bytes */

/* An open mapping or sequence. @key: the key whose value comes next (a mapping). @merge: what << said,
 * until the end. */
struct frame {
	struct vw_json *value;
	struct vw_json *merge;
	char *key;
	char *anchor;
	bool is_map, merging;
};

/* A finished value that has a name; it stands in the document, which owns it. */
struct anchor {
	char *name;
	const struct vw_json *value;
};

struct vw_yaml {
	yaml_parser_t parser;
	const char *what;
	unsigned int max_depth;
	size_t copied;
	struct frame stack[DEPTH_CAP];
	unsigned int depth;
	struct vw_json *root;
	struct anchor *anchor;
	size_t n_anchor;
	struct vw_json *merged; /* finished merges: anchors may point into them */
	bool ended;
};

static int bad(const struct vw_yaml *y, const yaml_mark_t *at, const char *why, struct vw_err *err)
{
	return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is not valid YAML: line %zu: %s", y->what,
			  at->line + 1, why);
}

static int no_memory(const struct vw_yaml *y, struct vw_err *err)
{
	return vw_err_set(err, ENOMEM, 0, "no memory for %s", y->what);
}

int vw_yaml_new(const char *text, size_t len, const struct vw_json_limits *lim, const char *what,
		struct vw_yaml **ret_yaml, struct vw_err *err)
{
	size_t max_bytes = lim && lim->max_bytes ? lim->max_bytes : DEFAULT_MAX_BYTES;
	struct vw_yaml *y;

	if (len > max_bytes)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is larger than %zu bytes", what,
				  max_bytes);
	y = calloc(1, sizeof(*y));
	if (!y || !yaml_parser_initialize(&y->parser)) {
		free(y);
		return vw_err_set(err, ENOMEM, 0, "no memory for %s", what);
	}
	y->what = what;
	y->max_depth = lim && lim->max_depth ? lim->max_depth : DEFAULT_MAX_DEPTH;
	if (y->max_depth > DEPTH_CAP)
		y->max_depth = DEPTH_CAP;
	yaml_parser_set_input_string(&y->parser, (const unsigned char *)text, len);
	*ret_yaml = y;
	return 0;
}

static void frame_done(struct frame *f)
{
	vw_json_free(f->merge);
	free(f->key);
	free(f->anchor);
	*f = (struct frame){0};
}

/* Forget the document that is being made, finished or not. */
static void drop_document(struct vw_yaml *y)
{
	while (y->depth)
		frame_done(&y->stack[--y->depth]);
	for (size_t i = 0; i < y->n_anchor; i++)
		free(y->anchor[i].name);
	free(y->anchor);
	y->anchor = NULL;
	y->n_anchor = 0;
	vw_json_free(y->merged);
	vw_json_free(y->root);
	y->root = y->merged = NULL;
}

struct vw_yaml *vw_yaml_free(struct vw_yaml *y)
{
	if (y) {
		drop_document(y);
		yaml_parser_delete(&y->parser);
		free(y);
	}
	return NULL;
}

/* --- scalars */

static bool is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(text, *list))
			return true;
	return false;
}

/* Whole numbers as YAML 1.1 and 1.2 write them. */
static bool whole_number(const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	uint64_t magnitude, oct = 0;

	if (!strncmp(digits, "0x", 2)) {
		if (vw_parse_hex(digits, INT64_MAX, &magnitude) < 0)
			return false;
	} else if (digits[0] == '0' && digits[1]) {
		digits += digits[1] == 'o' ? 2 : 1;
		if (!*digits)
			return false;
		for (; *digits; digits++) {
			if (*digits < '0' || *digits > '7' || oct > INT64_MAX / 8)
				return false;
			oct = oct * 8 + (uint64_t)(*digits - '0');
		}
		magnitude = oct;
	} else if (vw_parse_u64(digits, 0, INT64_MAX, &magnitude) < 0) {
		return false;
	}
	*ret = *text == '-' ? -(int64_t)magnitude : (int64_t)magnitude;
	return true;
}

/* What JSON would take as a number that is not whole; NULL when @text is no such thing. */
static struct vw_json *real_number(const char *text)
{
	struct vw_json *j = NULL;
	struct vw_err ignored;

	if (strspn(text, "+-.0123456789eE") != strlen(text) || !strpbrk(text, "0123456789"))
		return NULL;
	if (vw_json_parse(text, strlen(text), NULL, "", &j, &ignored) < 0)
		return NULL;
	if (vw_json_type(j) == VW_JSON_REAL)
		return j;
	vw_json_free(j);
	return NULL;
}

/* @want: what a tag says that it is, or NULL. NULL is returned for what does not fit the tag. */
static struct vw_json *typed_scalar(const char *text, const char *want)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const truths[] = {"true", "True", "TRUE", "yes", "Yes",
					     "YES",  "on",   "On",   "ON",  NULL};
	static const char *const lies[] = {"false", "False", "FALSE", "no",  "No",
					   "NO",    "off",   "Off",   "OFF", NULL};
	struct vw_json *real;
	int64_t n;

	if ((!want || !strcmp(want, "null")) && is_one_of(text, nulls))
		return vw_json_new_null();
	if ((!want || !strcmp(want, "bool")) && is_one_of(text, truths))
		return vw_json_new_bool(true);
	if ((!want || !strcmp(want, "bool")) && is_one_of(text, lies))
		return vw_json_new_bool(false);
	if ((!want || !strcmp(want, "int") || !strcmp(want, "float")) && whole_number(text, &n))
		return vw_json_new_int(n);
	if ((!want || !strcmp(want, "float")) && (real = real_number(text)))
		return real;
	return want && strcmp(want, "str") != 0 ? NULL : vw_json_new_string(text);
}

static int make_scalar(struct vw_yaml *y, const yaml_event_t *e, struct vw_json **ret, struct vw_err *err)
{
	const char *text = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag,
		   *want = NULL;

	if (strlen(text) != e->data.scalar.length)
		return bad(y, &e->start_mark, "a NUL character in a text", err);
	if (tag && !strncmp(tag, TAG_PREFIX, sizeof(TAG_PREFIX) - 1))
		want = tag + sizeof(TAG_PREFIX) - 1;
	else if (tag && strcmp(tag, "!") != 0)
		return bad(y, &e->start_mark, "a tag of its own kind", err);
	else if (tag || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		want = "str";
	*ret = typed_scalar(text, want);
	if (!*ret)
		return bad(y, &e->start_mark, "a value that is not what its tag says", err);
	return 0;
}

/* --- containers */

static int remember(struct vw_yaml *y, char *take_name, const struct vw_json *value, struct vw_err *err)
{
	struct anchor *grown;

	for (size_t i = 0; i < y->n_anchor; i++) {
		if (!strcmp(y->anchor[i].name,
			    take_name)) { /* a name given again means the new value from here on */
			y->anchor[i].value = value;
			free(take_name);
			return 0;
		}
	}
	if (y->n_anchor >= VW_YAML_MAX_COPIED / 64) {
		free(take_name);
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s has more than %d anchors", y->what,
				  VW_YAML_MAX_COPIED / 64);
	}
	grown = reallocarray(y->anchor, y->n_anchor + 1, sizeof(*grown));
	if (!grown) {
		free(take_name);
		return no_memory(y, err);
	}
	y->anchor = grown;
	y->anchor[y->n_anchor++] = (struct anchor){take_name, value};
	return 0;
}

/* Put a value where it belongs; the tree owns it from then on, also when this fails. */
static int place(struct vw_yaml *y, struct vw_json *take_value, const yaml_mark_t *at, struct vw_err *err)
{
	struct frame *f = y->depth ? &y->stack[y->depth - 1] : NULL;
	int r;

	if (!f) {
		y->root = take_value;
		return 0;
	}
	if (!f->is_map) {
		r = vw_json_append(f->value, take_value);
	} else if (f->merging) {
		f->merging = false;
		if (!f->merge)
			f->merge = vw_json_new_array();
		r = vw_json_append(f->merge, take_value);
	} else {
		r = vw_json_set(f->value, f->key, take_value);
	}
	free(f->key);
	f->key = NULL;
	return r < 0 ? no_memory(y, err) : 0;
}

static int take_key(struct vw_yaml *y, struct frame *f, const yaml_event_t *e, struct vw_err *err)
{
	const char *key = (const char *)e->data.scalar.value;

	if (strlen(key) != e->data.scalar.length)
		return bad(y, &e->start_mark, "a NUL character in a key", err);
	if (vw_json_has(f->value, key))
		return bad(y, &e->start_mark, "a key that stands there twice", err);
	f->merging = !strcmp(key, "<<") && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	f->key = strdup(key);
	return f->key ? 0 : no_memory(y, err);
}

static int on_scalar(struct vw_yaml *y, const yaml_event_t *e, struct vw_err *err)
{
	struct frame *f = y->depth ? &y->stack[y->depth - 1] : NULL;
	struct vw_json *value;
	char *name;
	int r;

	if (f && f->is_map && !f->key)
		return take_key(y, f, e, err);
	r = make_scalar(y, e, &value, err);
	if (r < 0)
		return r;
	r = place(y, value, &e->start_mark, err);
	if (r < 0 || !e->data.scalar.anchor)
		return r;
	name = strdup((const char *)e->data.scalar.anchor);
	return name ? remember(y, name, value, err) : no_memory(y, err);
}

static int on_open(struct vw_yaml *y, const yaml_event_t *e, bool is_map, struct vw_err *err)
{
	const char *anchor =
		(const char *)(is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor);
	const char *tag = (const char *)(is_map ? e->data.mapping_start.tag : e->data.sequence_start.tag);
	struct frame *up = y->depth ? &y->stack[y->depth - 1] : NULL, *f;
	struct vw_json *value;
	int r;

	if (up && up->is_map && !up->key)
		return bad(y, &e->start_mark, "a key that is not a text", err);
	if (tag && strcmp(tag, is_map ? TAG_PREFIX "map" : TAG_PREFIX "seq") != 0)
		return bad(y, &e->start_mark, "a tag of its own kind", err);
	if (y->depth >= y->max_depth)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is nested deeper than %u levels", y->what,
				  y->max_depth);
	value = is_map ? vw_json_new_object() : vw_json_new_array();
	r = place(y, value, &e->start_mark, err);
	if (r < 0)
		return r;
	if (!value)
		return no_memory(y, err);
	f = &y->stack[y->depth++];
	*f = (struct frame){.value = value, .is_map = is_map};
	if (anchor) {
		f->anchor = strdup(anchor);
		if (!f->anchor)
			return no_memory(y, err);
	}
	return 0;
}

/* How many values @j is, long texts being several, and how deep; stops counting past @cap. */
static size_t weigh(const struct vw_json *j, size_t cap, unsigned int depth, unsigned int *deepest)
{
	const struct vw_json *value;
	const char *key;
	void *iter = NULL;
	size_t n = 1;

	if (depth > *deepest)
		*deepest = depth;
	if (vw_json_type(j) == VW_JSON_STRING)
		n += strlen(vw_json_string(j)) / TEXT_UNIT;
	else if (vw_json_type(j) == VW_JSON_ARRAY)
		for (size_t i = 0; i < vw_json_len(j) && n <= cap; i++)
			n += weigh(vw_json_at(j, i), cap - n, depth + 1, deepest);
	else if (vw_json_type(j) == VW_JSON_OBJECT)
		while (n <= cap && (key = vw_json_each(j, &iter, &value)))
			n += weigh(value, cap - n, depth + 1, deepest) + strlen(key) / TEXT_UNIT;
	return n;
}

/* @key: what is copied with it, "" if nothing */
static int copy_of(struct vw_yaml *y, const char *key, const struct vw_json *value, const yaml_mark_t *at,
		   struct vw_json **ret, struct vw_err *err)
{
	unsigned int deepest = 0;

	y->copied += weigh(value, VW_YAML_MAX_COPIED - y->copied, 0, &deepest) + strlen(key) / TEXT_UNIT;
	if (y->copied > VW_YAML_MAX_COPIED)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE,
				  "%s: line %zu: aliases copy more than %d values", y->what, at->line + 1,
				  VW_YAML_MAX_COPIED);
	if (y->depth + deepest > y->max_depth)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE,
				  "%s: line %zu: an alias nests deeper than %u levels", y->what, at->line + 1,
				  y->max_depth);
	*ret = vw_json_copy(value);
	return *ret ? 0 : no_memory(y, err);
}

static int on_alias(struct vw_yaml *y, const yaml_event_t *e, struct vw_err *err)
{
	struct frame *f = y->depth ? &y->stack[y->depth - 1] : NULL;
	struct vw_json *copy;
	int r;

	if (f && f->is_map && !f->key)
		return bad(y, &e->start_mark, "an alias as a key", err);
	for (size_t i = 0; i < y->n_anchor; i++) {
		if (strcmp(y->anchor[i].name, (const char *)e->data.alias.anchor) != 0)
			continue;
		r = copy_of(y, "", y->anchor[i].value, &e->start_mark, &copy, err);
		return r < 0 ? r : place(y, copy, &e->start_mark, err);
	}
	return bad(y, &e->start_mark, "an alias of nothing that stands before it", err);
}

/* Members of @from that @f has not. A list is taken from its first to its last. */
static int merge_into(struct vw_yaml *y, struct frame *f, const struct vw_json *from, const yaml_mark_t *at,
		      struct vw_err *err)
{
	const struct vw_json *value;
	const char *key;
	void *iter = NULL;
	int r = 0;

	if (vw_json_type(from) == VW_JSON_ARRAY) {
		for (size_t i = 0; r == 0 && i < vw_json_len(from); i++)
			r = vw_json_type(vw_json_at(from, i)) == VW_JSON_OBJECT
				    ? merge_into(y, f, vw_json_at(from, i), at, err)
				    : bad(y, at, "<< with something that is not a mapping", err);
		return r;
	}
	if (vw_json_type(from) != VW_JSON_OBJECT)
		return bad(y, at, "<< with something that is not a mapping", err);
	while (r == 0 && (key = vw_json_each(from, &iter, &value))) {
		struct vw_json *copy;

		if (vw_json_has(f->value, key))
			continue;
		r = copy_of(y, key, value, at, &copy, err);
		if (r == 0 && vw_json_set(f->value, key, copy) < 0)
			r = no_memory(y, err);
	}
	return r;
}

static int on_close(struct vw_yaml *y, const yaml_event_t *e, struct vw_err *err)
{
	struct frame *f = &y->stack[y->depth - 1];
	int r = 0;

	for (size_t i = 0; r == 0 && i < vw_json_len(f->merge); i++)
		r = merge_into(y, f, vw_json_at(f->merge, i), &e->start_mark, err);
	if (r == 0 && f->anchor)
		r = remember(y, VW_TAKE_PTR(f->anchor), f->value, err);
	if (r == 0 && f->merge) {
		if (!y->merged)
			y->merged = vw_json_new_array();
		r = vw_json_append(y->merged, VW_TAKE_PTR(f->merge)) < 0 ? no_memory(y, err) : 0;
	}
	frame_done(f);
	y->depth--;
	return r;
}

/* --- documents */

/* Return: 1 = a document is finished, 0 = go on, -errno. */
static int on_event(struct vw_yaml *y, const yaml_event_t *e, struct vw_err *err)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(y, e, err);
	case YAML_MAPPING_START_EVENT:
		return on_open(y, e, true, err);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(y, e, false, err);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return on_close(y, e, err);
	case YAML_ALIAS_EVENT:
		return on_alias(y, e, err);
	case YAML_DOCUMENT_END_EVENT:
		return 1;
	case YAML_STREAM_END_EVENT:
		y->ended = true;
		return 1;
	default:
		return 0;
	}
}

static int next_event(struct vw_yaml *y, struct vw_err *err)
{
	yaml_event_t e;
	int r;

	if (!yaml_parser_parse(&y->parser, &e)) {
		if (y->parser.error == YAML_MEMORY_ERROR)
			return no_memory(y, err);
		return bad(y, &y->parser.problem_mark, y->parser.problem ? y->parser.problem : "not readable",
			   err);
	}
	r = on_event(y, &e, err);
	yaml_event_delete(&e);
	return r;
}

int vw_yaml_next(struct vw_yaml *y, struct vw_json **ret_json, struct vw_err *err)
{
	while (!y->ended) {
		int r;

		do
			r = next_event(y, err);
		while (r == 0);
		if (r < 0) {
			drop_document(y);
			y->ended = true;
			return r;
		}
		if (!vw_json_is_null(y->root)) {
			*ret_json = VW_TAKE_PTR(y->root);
			drop_document(y);
			return 1;
		}
		drop_document(y);
	}
	return 0;
}
