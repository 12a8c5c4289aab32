#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_buf;

/**
 * DOC: JSON
 *
 * A thin fence around jansson: its types appear nowhere else. Keys are matched without regard to case (Go's decoder
 * does so, and containerd's go-cni sends "HostPort"); an exact match wins over another spelling. Numbers and
 * booleans are also taken from strings where a getter says "lenient" (aws-node's conflist has "mtu":"9001").
 *
 * struct vw_json is one value; objects and arrays own what is in them. vw_json_new_*() and vw_json_parse() return an
 * owned value (vw_json_free, vw_auto_json); getters return borrowed ones, valid while the owner lives.
 */
struct vw_json;

struct vw_json_limits {
	size_t max_bytes;       /* default 1 MiB */
	unsigned int max_depth; /* default 64 */
};

/**
 * vw_json_parse_next() - one object of a concatenation ("{...}\n{...}", as kubectl and jq print them).
 * @pos: where to go on; 0 at first, moved behind the object. Limits and failures as vw_json_parse(); what is not an
 * object fails too. Return: 1, 0 = nothing but blanks is left.
 */
int vw_json_parse_next(const char *text, size_t len, size_t *pos, const struct vw_json_limits *lim, const char *what,
		       struct vw_json **ret_json, struct vw_err *err);

enum vw_json_type { VW_JSON_NULL, VW_JSON_BOOL, VW_JSON_INT, VW_JSON_REAL, VW_JSON_STRING, VW_JSON_ARRAY, VW_JSON_OBJECT };

void vw_json_free(struct vw_json *j);
static inline void vw_json_freep(struct vw_json **j) { vw_json_free(*j); *j = NULL; }
#define vw_auto_json __attribute__((cleanup(vw_json_freep)))
/** vw_json_whole() - @take_j, or NULL (and it is freed) when one of the setters that filled it @failed. */
static inline struct vw_json *vw_json_whole(struct vw_json *take_j, int failed)
{
	if (!failed)
		return take_j;
	vw_json_free(take_j);
	return NULL;
}

/**
 * vw_json_parse() - one JSON value and nothing after it.
 * @lim: NULL for the defaults. The caps are tested before the text is parsed.
 * @what: names the text in messages ("network configuration on stdin").
 * Fails (EBADMSG, VW_CNI_DECODE) on bad syntax with line and column, duplicate keys, depth, size, trailing bytes.
 */
int vw_json_parse(const char *text, size_t len, const struct vw_json_limits *lim, const char *what,
		  struct vw_json **ret_json, struct vw_err *err);

enum vw_json_type vw_json_type(const struct vw_json *j);
bool vw_json_is_null(const struct vw_json *j);          /* absent (NULL) or JSON null */

/* Raw access. @j may be NULL or of another type: then nothing is found. */
const struct vw_json *vw_json_get(const struct vw_json *j, const char *key);    /* NULL if absent */
bool vw_json_has(const struct vw_json *j, const char *key);                     /* this very spelling */
size_t vw_json_len(const struct vw_json *j);                                    /* entries of array or object */
const struct vw_json *vw_json_at(const struct vw_json *j, size_t i);
const char *vw_json_string(const struct vw_json *j);                            /* NULL unless a string */
int64_t vw_json_int(const struct vw_json *j);                                   /* 0 unless a whole number; true is 1 */
/** vw_json_each() - walk an object: *iter starts NULL; returns the key, NULL at the end. */
const char *vw_json_each(const struct vw_json *obj, void **iter, const struct vw_json **ret_value);

/*
 * Typed members of an object. Absent and null are the same: 0 is returned and *ret stays as the caller set it (its
 * default). A wrong type or a value out of range fails: EINVAL, VW_CNI_INVALID_CONFIG, message names the key, what
 * was found and what is wanted. Return: 1 = found, 0 = absent, -EINVAL.
 */
int vw_json_get_str(const struct vw_json *obj, const char *key, const char **ret, struct vw_err *err);  /* borrowed */
int vw_json_get_int(const struct vw_json *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
		    struct vw_err *err);                                                                  /* lenient */
int vw_json_get_bool(const struct vw_json *obj, const char *key, bool *ret, struct vw_err *err);        /* lenient */
int vw_json_get_obj(const struct vw_json *obj, const char *key, const struct vw_json **ret, struct vw_err *err);
int vw_json_get_arr(const struct vw_json *obj, const char *key, const struct vw_json **ret, struct vw_err *err);

/* Building. The functions take ownership of @value, also on failure; a NULL @value (from ENOMEM) fails cleanly. */
struct vw_json *vw_json_new_object(void);
struct vw_json *vw_json_new_array(void);
struct vw_json *vw_json_new_string(const char *s);      /* not UTF-8: bytes above 0x7f become '?' */
struct vw_json *vw_json_new_int(int64_t v);
struct vw_json *vw_json_new_bool(bool v);
struct vw_json *vw_json_new_null(void);
struct vw_json *vw_json_copy(const struct vw_json *j);                          /* deep */
int vw_json_set(struct vw_json *obj, const char *key, struct vw_json *take_value);      /* 0, -ENOMEM */
int vw_json_append(struct vw_json *arr, struct vw_json *take_value);
int vw_json_set_str(struct vw_json *obj, const char *key, const char *s);       /* NULL s: key left out */
int vw_json_set_int(struct vw_json *obj, const char *key, int64_t v);
int vw_json_set_bool(struct vw_json *obj, const char *key, bool v);
int vw_json_del(struct vw_json *obj, const char *key);  /* every spelling; how many went */

/** vw_json_print() - append to @buf; keys in order of insertion. @indent: 0 = one line. Return: 0, -ENOMEM, -EFBIG. */
int vw_json_print(const struct vw_json *j, unsigned int indent, struct vw_buf *buf);
