#pragma once

/* Reading objects: for np_world.c and the np_read_*.c alone. */

#include "lib/json/json.h"
#include "netpolicy-bpf/user/np_world.h"

#include <stdarg.h>

/**
 * struct np_mem - the memory of one object and the counts that it holds, given back together. Only grows.
 */
struct np_mem {
	struct np_mem_chunk {
		struct np_mem_chunk *next;
		size_t used, size;
		char data[];
	} * chunk;
	struct np_held {
		enum { NP_HELD_STR, NP_HELD_LABEL, NP_HELD_SPACE, NP_HELD_SHAPE } type;
		const void *p;
	} * held;
	size_t n_held, cap_held;
};
/** np_mem_alloc() - zeroed, aligned for anything. NULL without memory. */
void *np_mem_alloc(struct np_mem *m, size_t n, size_t size);
void np_mem_done(struct np_mem *m, struct np_names *names);

/**
 * struct np_at - where we are, from the outside in; on the stack of who reads. @index: -1 = a member,
 * @key; else @key[@index].
 */
struct np_at {
	const struct np_at *up;
	const char *key;
	long index;
};

/**
 * struct np_reader - one object being read. @path: where it failed, or what a warning is of. @warn: tells
 * of what is in force but perhaps not as meant; may be NULL.
 */
struct np_reader {
	struct np_names *names;
	struct np_mem *mem;
	struct np_object *obj;
	char path[256];
	void (*warn)(void *arg, const struct np_object *obj, const char *path, const char *text);
	void *arg;
	struct vw_err *err;
};

/** np_bad() - fail at @at.@key (@key NULL: at @at) with a reason. Return: -EINVAL. */
int np_bad(struct np_reader *r, const struct np_at *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void np_warn(struct np_reader *r, const struct np_at *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int np_no_memory(struct np_reader *r);

/* Counted objects that the object being read holds. NULL without memory. */
const struct np_str *np_keep_str(struct np_reader *r, const char *text);
const struct np_label *np_keep_label(struct np_reader *r, const char *key, const char *value);
struct np_space *np_keep_space(struct np_reader *r, const char *name);
const struct np_shape *np_keep_shape(struct np_reader *r, struct np_space *space,
				     const struct np_label **label, unsigned int n_label,
				     const struct np_named_port *port, unsigned int n_port);

/*
 * Members. Absent and null are the same: 0, and *ret is NULL (or as it was). Return: 1 = found; -EINVAL =
 * of another type.
 */
int np_get_obj(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
	       const struct vw_json **ret);
int np_get_list(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		const struct vw_json **ret);
int np_get_text(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		const char **ret);
int np_get_bool(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		bool *ret);
int np_get_int(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
	       int64_t min, int64_t max, int64_t *ret);
/**
 * np_only() - no member of @obj but @keys (NULL at the end): a policy that we understand in part is not
 * one that we enforce.
 */
int np_only(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *const *keys);
/** np_item() - element @i of a list that must be an object. */
int np_item(struct np_reader *r, const struct np_at *at, const struct vw_json *list, size_t i,
	    const struct vw_json **ret);

/* Parts that several kinds share */
int np_read_labels(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		   struct np_labels *ret);
int np_read_selector(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		     struct np_selector *ret);
int np_read_cidr(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
		 struct vw_cidr *ret);
/** np_read_ipblock() - {cidr, except}; @json is of an object that holds both. */
int np_read_ipblock(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
		    struct np_peer_rule *ret);
/** np_read_proto() - member "protocol" or, absent, TCP. */
int np_read_proto(struct np_reader *r, const struct np_at *at, const struct vw_json *json, uint8_t *ret);
/** np_read_domain(), np_read_domain_text() - a pattern as NP_PEER_DOMAIN has it. */
int np_read_domain_text(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
			const struct np_str **ret);
int np_read_domain(struct np_reader *r, const struct np_at *at, const struct vw_json *list, size_t i,
		   const struct np_str **ret);
/** np_is_dns_name() - a DNS subdomain of at most @max characters: what names of objects are. */
bool np_is_dns_name(const char *text, size_t max);
int np_check_port_name(struct np_reader *r, const struct np_at *at, const char *key, const char *name);
int np_check_label(struct np_reader *r, const struct np_at *at, const char *key, const char *label_key,
		   const char *label_value);

/**
 * np_read_...() - an object's content into @o, which is zeroed and of the kind's type. Return: 0,
 * -EINVAL, -ENOMEM.
 */
int np_read_pod(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_namespace(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_node(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_service(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_slice(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_networkpolicy(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_endpoint(struct np_reader *r, const struct vw_json *json, struct np_object *o);
int np_read_cluster(struct np_reader *r, const struct vw_json *json, struct np_object *o);
