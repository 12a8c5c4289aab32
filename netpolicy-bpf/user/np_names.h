#pragma once

#include "netpolicy-bpf/user/np_table.h"

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: what the world has once
 *
 * Equal texts, labels, namespaces and shapes of pods are one counted object each, so that pointers
 * compare and 10,000 replicas are one thing to the compiler. Ids are dense and are given again: for
 * arrays while nothing changes.
 */

struct np_ns;

/** The label that every namespace has, with its name as the value. */
#define NP_METADATA_NAME "kubernetes.io/metadata.name"

/** struct np_str - a text. */
struct np_str {
	uint32_t refs, id;
	uint64_t hash;
	size_t len;
	char s[];
};

/** struct np_label - a key with a value. */
struct np_label {
	uint32_t refs, id;
	const struct np_str *key, *value;
};

/**
 * struct np_space - a namespace that some object names. @object: the Namespace, NULL when none is known.
 * @implied: NP_METADATA_NAME=NAME, which every namespace has.
 */
struct np_space {
	uint32_t refs, id;
	const struct np_str *name;
	const struct np_label *implied;
	const struct np_ns *object;
};

/** struct np_named_port - a container port with a name. @proto: enum np_port_proto. */
struct np_named_port {
	const struct np_str *name;
	uint16_t port;
	uint8_t proto;
};

/**
 * struct np_shape - all that policies can tell of a pod: namespace, labels (each key once, by key), named
 * ports (in the order of the manifest; of two with the same name and protocol the first is what the name
 * means, as for Services).
 * @serial: never given again.
 */
struct np_shape {
	uint32_t refs, id;
	uint64_t serial, hash;
	struct np_space *space;
	unsigned int n_label, n_port;
	const struct np_label **label;
	struct np_label_id {
		uint32_t label, key;
	} * id_of; /* of each label */
	struct np_named_port *port;
};

/** struct np_ids - dense numbers: those that were given back first, then new ones. */
struct np_ids {
	uint32_t *freed;
	size_t n_freed, cap;
	uint32_t next;
};

struct np_names {
	struct np_table str, label, space, shape;
	struct np_ids str_ids, label_ids, space_ids, shape_ids;
	uint64_t serial, seed;
};

void np_names_done(struct np_names *n);

/* Each gives a counted object, or NULL without memory; _put takes NULL and gives back one count. */
const struct np_str *np_str_get(struct np_names *n, const char *text, size_t len);
void np_str_put(struct np_names *n, const struct np_str *s);
const struct np_label *np_label_get(struct np_names *n, const char *key, const char *value);
void np_label_put(struct np_names *n, const struct np_label *l);
struct np_space *np_space_get(struct np_names *n, const char *name);
void np_space_put(struct np_names *n, const struct np_space *s);

/**
 * np_shape_get() - @label, @port: borrowed; the shape counts what is in them itself. @label is sorted in
 * place; each key once.
 */
const struct np_shape *np_shape_get(struct np_names *n, struct np_space *space, const struct np_label **label,
				    unsigned int n_label, const struct np_named_port *port,
				    unsigned int n_port);
void np_shape_put(struct np_names *n, const struct np_shape *s);

/** np_str_find(), np_label_find(), np_space_find() - without making one. NULL: nobody has it. Not counted. */
const struct np_str *np_str_find(const struct np_names *n, const char *text);
const struct np_label *np_label_find(const struct np_names *n, const char *key, const char *value);
struct np_space *np_space_find(const struct np_names *n, const char *name);
