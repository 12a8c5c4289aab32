/*
 * The fence around jansson: a struct vw_json is a json_t under another name. What is added to jansson: caps
 * that are tested on the text before anything is allocated for it, keys without regard to case, typed getters
 * whose messages name the key, and strings that are never refused for a byte that is not UTF-8.
 */
#include "lib/json/json.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>

#define DEFAULT_MAX_BYTES ((size_t)1024 * 1024)
#define DEFAULT_MAX_DEPTH 64u

static json_t *unwrap(const struct vw_json *j)
{
	return (json_t *)(uintptr_t)j;
}

static struct vw_json *wrap(json_t *j)
{
	return (struct vw_json *)j;
}

/*
 * jansson would seed its hash from /dev/urandom at the first object: three system calls in a process that
 * lives for two milliseconds. The kernel has already handed us 16 random bytes. Later calls change nothing.
 */
static void seed_hash(void)
{
	const unsigned char *random = (const unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
	uint32_t seed = 0;

	if (random)
		memcpy(&seed, random + 11, sizeof(seed));
	json_object_seed(seed | 1); /* 0 would mean /dev/urandom */
}

/* jansson's parser says of a failed allocation what it says of a wrong character, or nothing: whether there was one is noted here */
static _Thread_local bool no_memory;
static json_malloc_t jansson_malloc;

static void *noted_malloc(size_t n)
{
	void *p = jansson_malloc(n);

	no_memory |= !p;
	return p;
}

/* before there is a second thread, or anything that jansson has allocated */
__attribute__((constructor)) static void note_allocations(void)
{
	json_free_t jansson_free;

	json_get_alloc_funcs(&jansson_malloc, &jansson_free);
	json_set_alloc_funcs(noted_malloc, jansson_free);
}

static void prepare(void)
{
	seed_hash();
	no_memory = false;
}

void vw_json_free(struct vw_json *j)
{
	int saved = errno;

	json_decref(unwrap(j));
	errno = saved;
}

/* The deepest nesting of brackets outside strings: an upper bound of what the parser would recurse into. */
static unsigned int depth_of(const char *text, size_t len)
{
	unsigned int depth = 0, deepest = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > deepest)
				deepest = depth;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return deepest;
}

static bool is_blank(const char *text, size_t len)
{
	while (len && strchr(" \t\r\n", text[len - 1]) && text[len - 1])
		len--;
	return len == 0;
}

int vw_json_parse(const char *text, size_t len, const struct vw_json_limits *lim, const char *what,
		  struct vw_json **ret_json, struct vw_err *err)
{
	size_t max_bytes = lim && lim->max_bytes ? lim->max_bytes : DEFAULT_MAX_BYTES;
	unsigned int max_depth = lim && lim->max_depth ? lim->max_depth : DEFAULT_MAX_DEPTH;
	json_error_t why;
	json_t *j;

	if (len > max_bytes)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is larger than %zu bytes", what,
				  max_bytes);
	if (depth_of(text, len) > max_depth)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is nested deeper than %u levels", what,
				  max_depth);
	if (is_blank(text, len))
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is empty", what);
	prepare();
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (no_memory) {
		json_decref(j);
		return vw_err_set(err, ENOMEM, 0, "no memory to read %s", what);
	}
	if (!j)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is not valid JSON: line %d, column %d: %s",
				  what, why.line, why.column, why.text);
	*ret_json = wrap(j);
	return 0;
}

/* Only for a message: counted for each object, it would make a long concatenation quadratic. */
static int lines_in(const char *text, size_t len)
{
	int lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

int vw_json_parse_next(const char *text, size_t len, size_t *pos, const struct vw_json_limits *lim, const char *what,
		       struct vw_json **ret_json, struct vw_err *err)
{
	size_t max_bytes = lim && lim->max_bytes ? lim->max_bytes : DEFAULT_MAX_BYTES;
	unsigned int max_depth = lim && lim->max_depth ? lim->max_depth : DEFAULT_MAX_DEPTH;
	json_error_t why;
	json_t *j;

	if (len > max_bytes)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is larger than %zu bytes", what, max_bytes);
	if (*pos == 0 && depth_of(text, len) > max_depth)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is nested deeper than %u levels", what, max_depth);
	if (is_blank(text + *pos, len - *pos))
		return 0;
	prepare();
	j = json_loadb(text + *pos, len - *pos, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &why);
	if (no_memory) {
		json_decref(j);
		return vw_err_set(err, ENOMEM, 0, "no memory to read %s", what);
	}
	if (!j)
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s is not valid JSON: line %d: %s", what,
				  why.line + lines_in(text, *pos), why.text);
	if (!json_is_object(j)) {
		json_decref(j);
		return vw_err_set(err, EBADMSG, VW_CNI_DECODE, "%s: line %d: wanted an object", what,
				  lines_in(text, *pos) + 1);
	}
	*pos += (size_t)why.position;
	*ret_json = wrap(j);
	return 1;
}

enum vw_json_type vw_json_type(const struct vw_json *j)
{
	if (!j)
		return VW_JSON_NULL;
	switch (json_typeof(unwrap(j))) {
	case JSON_OBJECT:
		return VW_JSON_OBJECT;
	case JSON_ARRAY:
		return VW_JSON_ARRAY;
	case JSON_STRING:
		return VW_JSON_STRING;
	case JSON_INTEGER:
		return VW_JSON_INT;
	case JSON_REAL:
		return VW_JSON_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return VW_JSON_BOOL;
	case JSON_NULL:
		break;
	}
	return VW_JSON_NULL;
}

bool vw_json_is_null(const struct vw_json *j)
{
	return vw_json_type(j) == VW_JSON_NULL;
}

const struct vw_json *vw_json_get(const struct vw_json *j, const char *key)
{
	json_t *obj = unwrap(j), *value;
	const char *k;

	value = json_object_get(obj, key); /* NULL for a NULL or another type */
	if (value)
		return wrap(value);
	json_object_foreach(obj, k, value)
	{
		if (!strcasecmp(k, key))
			return wrap(value);
	}
	return NULL;
}

bool vw_json_has(const struct vw_json *j, const char *key)
{
	return json_object_get(unwrap(j), key) != NULL;
}

size_t vw_json_len(const struct vw_json *j)
{
	switch (vw_json_type(j)) {
	case VW_JSON_ARRAY:
		return json_array_size(unwrap(j));
	case VW_JSON_OBJECT:
		return json_object_size(unwrap(j));
	default:
		return 0;
	}
}

const struct vw_json *vw_json_at(const struct vw_json *j, size_t i)
{
	return wrap(json_array_get(unwrap(j), i));
}

const char *vw_json_string(const struct vw_json *j)
{
	return json_string_value(unwrap(j));
}

int64_t vw_json_int(const struct vw_json *j)
{
	return json_is_true(unwrap(j)) ? 1 : json_integer_value(unwrap(j));
}

const char *vw_json_each(const struct vw_json *obj, void **iter, const struct vw_json **ret_value)
{
	json_t *o = unwrap(obj);

	*iter = *iter ? json_object_iter_next(o, *iter) : json_object_iter(o);
	if (!*iter)
		return NULL;
	*ret_value = wrap(json_object_iter_value(*iter));
	return json_object_iter_key(*iter);
}

/* "key 'mtu' is "x", but <wanted> is wanted": what a person needs to mend the file. */
static int wrong(const struct vw_json *found, const char *key, const char *wanted, struct vw_err *err)
{
	json_t *f = unwrap(found);
	char quoted[80];

	switch (vw_json_type(found)) {
	case VW_JSON_STRING:
		snprintf(quoted, sizeof(quoted), "the string \"%.48s\"", json_string_value(f));
		break;
	case VW_JSON_INT:
		snprintf(quoted, sizeof(quoted), "%" JSON_INTEGER_FORMAT, json_integer_value(f));
		break;
	case VW_JSON_REAL:
		snprintf(quoted, sizeof(quoted), "%g", json_real_value(f));
		break;
	case VW_JSON_BOOL:
		snprintf(quoted, sizeof(quoted), "%s", json_is_true(f) ? "true" : "false");
		break;
	case VW_JSON_ARRAY:
		snprintf(quoted, sizeof(quoted), "an array");
		break;
	case VW_JSON_OBJECT:
		snprintf(quoted, sizeof(quoted), "an object");
		break;
	case VW_JSON_NULL:
		snprintf(quoted, sizeof(quoted), "null");
		break;
	}
	return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "key '%s' is %s, but %s is wanted", key, quoted,
			  wanted);
}

int vw_json_get_str(const struct vw_json *obj, const char *key, const char **ret, struct vw_err *err)
{
	const struct vw_json *v = vw_json_get(obj, key);

	if (vw_json_is_null(v))
		return 0;
	if (vw_json_type(v) != VW_JSON_STRING)
		return wrong(v, key, "a string", err);
	*ret = vw_json_string(v);
	return 1;
}

int vw_json_get_int(const struct vw_json *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		    struct vw_err *err)
{
	const struct vw_json *v = vw_json_get(obj, key);
	bool is_int = false;
	char wanted[80];
	int64_t n = 0;

	if (vw_json_is_null(v))
		return 0;
	if (vw_json_type(v) == VW_JSON_INT) {
		n = json_integer_value(unwrap(v));
		is_int = true;
	} else if (vw_json_type(v) == VW_JSON_STRING) {
		is_int = vw_parse_i64(vw_json_string(v), INT64_MIN, INT64_MAX, &n) == 0;
	}
	if (!is_int || n < min || n > max) {
		snprintf(wanted, sizeof(wanted), "a whole number from %" PRId64 " to %" PRId64, min, max);
		return wrong(v, key, wanted, err);
	}
	*ret = n;
	return 1;
}

int vw_json_get_bool(const struct vw_json *obj, const char *key, bool *ret, struct vw_err *err)
{
	const struct vw_json *v = vw_json_get(obj, key);

	if (vw_json_is_null(v))
		return 0;
	if (vw_json_type(v) == VW_JSON_BOOL)
		*ret = json_is_true(unwrap(v));
	else if (vw_json_type(v) != VW_JSON_STRING || vw_parse_bool(vw_json_string(v), ret) < 0)
		return wrong(v, key, "true or false", err);
	return 1;
}

static int get_container(const struct vw_json *obj, const char *key, enum vw_json_type type,
			 const char *wanted, const struct vw_json **ret, struct vw_err *err)
{
	const struct vw_json *v = vw_json_get(obj, key);

	if (vw_json_is_null(v))
		return 0;
	if (vw_json_type(v) != type)
		return wrong(v, key, wanted, err);
	*ret = v;
	return 1;
}

int vw_json_get_obj(const struct vw_json *obj, const char *key, const struct vw_json **ret,
		    struct vw_err *err)
{
	return get_container(obj, key, VW_JSON_OBJECT, "an object", ret, err);
}

int vw_json_get_arr(const struct vw_json *obj, const char *key, const struct vw_json **ret,
		    struct vw_err *err)
{
	return get_container(obj, key, VW_JSON_ARRAY, "an array", ret, err);
}

struct vw_json *vw_json_new_object(void)
{
	seed_hash();
	return wrap(json_object());
}

struct vw_json *vw_json_new_array(void)
{
	return wrap(json_array());
}

struct vw_json *vw_json_new_string(const char *s)
{
	json_t *j = json_string(s);
	vw_auto_free char *ascii = NULL;

	if (j)
		return wrap(j);
	ascii = strdup(s);
	if (!ascii)
		return NULL;
	for (char *p = ascii; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	return wrap(json_string(ascii));
}

struct vw_json *vw_json_new_int(int64_t v)
{
	return wrap(json_integer(v));
}

struct vw_json *vw_json_new_bool(bool v)
{
	return wrap(json_boolean(v));
}

struct vw_json *vw_json_new_null(void)
{
	return wrap(json_null());
}

struct vw_json *vw_json_copy(const struct vw_json *j)
{
	return wrap(json_deep_copy(unwrap(j)));
}

int vw_json_set(struct vw_json *obj, const char *key, struct vw_json *take_value)
{
	return json_object_set_new(unwrap(obj), key, unwrap(take_value)) < 0 ? -ENOMEM : 0;
}

int vw_json_append(struct vw_json *arr, struct vw_json *take_value)
{
	return json_array_append_new(unwrap(arr), unwrap(take_value)) < 0 ? -ENOMEM : 0;
}

int vw_json_set_str(struct vw_json *obj, const char *key, const char *s)
{
	return s ? vw_json_set(obj, key, vw_json_new_string(s)) : 0;
}

int vw_json_set_int(struct vw_json *obj, const char *key, int64_t v)
{
	return vw_json_set(obj, key, vw_json_new_int(v));
}

int vw_json_set_bool(struct vw_json *obj, const char *key, bool v)
{
	return vw_json_set(obj, key, vw_json_new_bool(v));
}

int vw_json_del(struct vw_json *obj, const char *key)
{
	const char *k;
	json_t *value;
	void *next;
	int n = 0;

	json_object_foreach_safe(unwrap(obj), next, k, value)
	{
		if (!strcasecmp(k, key)) {
			json_object_del(unwrap(obj), k);
			n++;
		}
	}
	return n;
}

static int append_to_buf(const char *data, size_t len, void *arg)
{
	struct vw_buf *buf = arg;

	vw_buf_add(buf, data, len);
	return vw_buf_err(buf);
}

int vw_json_print(const struct vw_json *j, unsigned int indent, struct vw_buf *buf)
{
	size_t flags = JSON_ENCODE_ANY | (indent ? JSON_INDENT(indent) : JSON_COMPACT);

	if (vw_buf_err(buf))
		return vw_buf_err(buf);
	if (json_dump_callback(unwrap(j), append_to_buf, buf, flags) < 0)
		return vw_buf_err(buf) ? vw_buf_err(buf) : -ENOMEM;
	return 0;
}
