#pragma once

/*
 * The compiler from the inside: for np_compile*.c, np_image*.c, np_explain*.c and np_diff*.c alone.
 *
 * An *atom* is the set of peers of one rule, a *port atom* its set of ports. *Things* are what selectors
 * tell apart: shapes of pods (sorted by namespace, so that a namespace is a range), nodes, this node. A
 * *region* is a prefix without the longer prefixes in it: what CIDRs tell apart. Thing and region each
 * have a *row*, the set of atoms that they satisfy; an address has the union of the rows of its thing and
 * of its region; addresses with equal rows are one class. Rows are kept once (np_rows), so that comparing
 * rows is comparing numbers.
 *
 * An effective policy is a list of *terms* in order of precedence (atom, port atom, verb). A blob is made
 * of it: classes with equal sets of its atoms are one row of the matrix, port classes likewise one
 * column, and each cell is walked once, here.
 */

#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_read.h"

#include <string.h>

#define NP_NONE UINT32_MAX
#define NP_ANY  (UINT32_MAX - 1)

/* --- bits: np_compile_rows.c */

static inline size_t np_words(size_t bits)
{
	return (bits + 63) / 64;
}

static inline bool np_bit(const uint64_t *b, size_t i)
{
	return b[i / 64] >> (i % 64) & 1;
}

static inline void np_bit_set(uint64_t *b, size_t i)
{
	b[i / 64] |= 1ull << (i % 64);
}

/** np_bits_transpose() - @m[i] bit k becomes @m[k] bit i. */
void np_bits_transpose(uint64_t m[64]);

/** struct np_rows - sets of @words words, each kept once. Numbers stay. */
struct np_rows {
	size_t words, n, cap;
	uint64_t *v, *hash;
	uint32_t *slot; /* open addressing: number + 1 */
	size_t n_slot;
};
/** np_rows_init() - @empty: the empty set is number 0. */
int np_rows_init(struct np_rows *r, size_t words, bool empty);
void np_rows_done(struct np_rows *r);
/** np_rows_get() - number of @row, made if need be. Return: 0, -ENOMEM. */
int np_rows_get(struct np_rows *r, const uint64_t *row, uint32_t *ret);
/** np_rows_find() - NP_NONE when there is none. */
uint32_t np_rows_find(const struct np_rows *r, const uint64_t *row);

static inline const uint64_t *np_row(const struct np_rows *r, uint32_t i)
{
	return r->v + i * r->words;
}

/* --- what there is */

/**
 * struct np_atom - peers of a rule, domains aside. @space: what own_ns means there. @name: only pods on
 * which this named port of
 * @proto is @port count. @own_node: this node's addresses, no rule.
 * @bits: things; of them only words @lo to @hi (excluded) are there. @key: hash of its content.
 */
struct np_atom {
	const struct np_policy_rule *rule;
	const struct np_space *space;
	const struct np_str *name;
	uint16_t port;
	uint8_t proto;
	bool own_node;
	uint64_t key;
	size_t lo, hi;
	uint64_t *bits;
};

/** struct np_port_atom - ranges sorted, neither overlapping nor touching. @key: hash of them. */
struct np_port_atom {
	struct np_range {
		uint8_t proto;
		uint16_t first, last;
	} * range;
	unsigned int n;
	uint64_t key;
};

/**
 * struct np_term - what a packet must meet, and what then. @peer, @port: atoms, or NP_ANY. @rule: index
 * of a struct np_rule_rec.
 * @domains: and the address must be known by a name of this rule's. @tier: enum np_tier, @verb: enum
 * np_verb.
 */
struct np_term {
	uint32_t peer, port, rule;
	uint8_t verb, tier;
	const struct np_policy_rule *domains;
};

struct np_terms {
	struct np_term *v;
	unsigned int n, cap;
};

/**
 * struct np_rule_rec - a rule of the image. @of: in which object it stands; NULL: in none. @id: NP_NONE
 * until it has one.
 * @first, @n: its terms among the cached ones; NP_NONE: they depend on the subject.
 */
struct np_rule_rec {
	struct np_rule rule;
	const struct np_policy_rule *of;
	uint32_t id, first, n;
	uint64_t hash;
};

/**
 * struct np_thing - @shape: of pods; @node; neither: this node where no Node object has its address.
 * @serial: the shape's.
 */
struct np_thing {
	const struct np_shape *shape;
	const struct np_node *node;
	uint64_t serial;
	uint32_t row;
};

/**
 * struct np_region - by family, address, length. @up: the longest prefix around it, or NP_NONE. @at: in
 * img->cidr, or NP_NONE: a host.
 */
struct np_region {
	struct vw_cidr cidr;
	uint32_t up, row, at;
	uint16_t cls, flags;
};

/**
 * struct np_weight - addresses in class @cls that would be in @base if nobody knew them; @sum: of their
 * hashes.
 */
struct np_weight {
	uint16_t cls, base;
	uint64_t sum;
};

/** struct np_named - a named port that some pod has. */
struct np_named {
	const struct np_str *name;
	uint16_t port;
	uint8_t proto;
};

/**
 * struct np_who - a local pod. @pod: its object, if there is one. @shape: NULL = outside Kubernetes.
 * @name: interned, or NULL.
 * @done: its Pod has ended: not selected, no peer.
 */
struct np_who {
	unsigned int slot;
	char *ns, *pod_name;
	struct vw_ip ip4, ip6;
	const struct np_pod *pod;
	const struct np_shape *shape;
	const struct np_str *name;
	bool done;
};

/**
 * struct np_bare - the shape of pods without an object: of namespace @name, with no labels. @space, @implied: stand in
 * while no object of the world is in the namespace. What @shape points to is good until the world changes: objects
 * that have it come and go without the image being made again.
 */
struct np_bare {
	struct np_shape shape;
	struct np_space space;
	struct np_label implied;
	const struct np_str *name;
};

/** struct np_policies - of one subject, in order: tiers, in them precedence. */
struct np_policies {
	const struct np_policy **v;
	unsigned int n, cap;
};

/** struct np_effective - an effective policy. Equal ones have one blob. */
struct np_effective {
	struct np_terms terms[NP_DIRS];
	uint32_t flags; /* NP_BLOB_* */
	uint64_t hash;
};

/** struct np_made - what a blob was made of. @row_meaning: of each row of its matrices. */
struct np_made {
	struct np_effective e;
	uint64_t *row_meaning[NP_DIRS];
	unsigned int n_row[NP_DIRS];
};

/** struct np_build - image->priv: what was told apart, kept for pods that come later. */
struct np_build {
	struct np_image *img;
	const struct np_world *w;
	uint64_t gen; /* np_world_gen() */
	uint64_t seed;
	struct np_mem mem;
	struct vw_err *err;
	bool frozen; /* the image is made: what needs new atoms is -EAGAIN */

	const char *node_name;
	bool strict;
	struct vw_ip *node_ip, *resolver;
	size_t n_node_ip, n_resolver;
	struct vw_cidr *service_cidr;
	size_t n_service_cidr;

	struct np_atom *atom;
	size_t n_atom, cap_atom;
	struct np_table atom_by_key;
	struct np_port_atom *port_atom;
	size_t n_port_atom, cap_port_atom;
	struct np_table port_atom_by_key;
	struct np_named *named; /* that some pod has, sorted */
	size_t n_named;
	bool has_named;
	const struct np_str **wanted; /* names that rules of egress have */
	size_t n_wanted, cap_wanted;

	struct np_thing *thing; /* shapes, nodes, this node */
	size_t n_shape, n_thing;
	uint32_t *thing_of_shape; /* by id, NP_NONE */
	size_t n_shape_id, n_thing_of_shape;
	uint32_t *space_first; /* by id of the space: its shapes are those up to the next's */
	size_t n_space;
	struct np_region *region;
	size_t n_region;
	struct np_rows rows, port_rows;
	uint32_t *class_of_row; /* NP_NONE */
	size_t n_class_of_row;
	uint64_t *class_key;    /* by class: of what it satisfies, to know it again */
	uint64_t *atom_classes; /* by atom: set of classes, @class_words each */
	size_t class_words;
	uint64_t *port_class_key, *port_class_sum;
	uint64_t *port_atom_classes;
	size_t port_class_words;
	struct np_weight *weight;
	size_t n_weight, cap_weight;
	struct np_table weight_by_class;

	size_t cap_peer;
	struct np_table peer_by_ip, peer_by_who; /* index + 1; the latter has pods alone */
	struct np_owner {
		uint64_t hash; /* of who, 0 = no pod */
		char *who;     /* what is to be freed of it */
	} * owner;             /* beside img->peer */
	size_t cap_owner;
	bool rivals; /* some address is claimed by more than who has it */

	struct np_rule_rec *rec;
	size_t n_rec, cap_rec;
	struct np_table rec_by_hash; /* index + 1 */
	struct np_terms cached;
	size_t cap_rule;

	struct np_who *who;
	size_t n_who, cap_who;
	size_t cap_subject;
	const struct np_policy **of_space; /* policies of namespaces, by id of the space */
	uint32_t *of_space_first;
	size_t n_of_space;
	struct np_bare **bare; /* one for each namespace */
	size_t n_bare, cap_bare;

	struct np_made *made; /* by blob */
	size_t cap_made, cap_blob;
	struct np_table blob_by_terms; /* index + 1 */
	uint32_t lines;
};

/** np_text() - a text that lives as long as the image. NULL without memory. */
const char *np_text(struct np_build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int np_oom(struct np_build *b);
/** np_grow() - room for one more in @*v of @size each. Return: 0, -ENOMEM. */
int np_grow(void *v, size_t n, size_t *cap, size_t size);

/* --- np_compile_atoms.c */

/**
 * np_atom_get() - of the peers of @rule; NP_ANY, or NP_NONE when it has none. @name: see struct np_atom.
 * Return: 0, -EAGAIN, -ENOMEM.
 */
int np_atom_get(struct np_build *b, const struct np_policy_rule *rule, const struct np_space *space,
		const struct np_named *named, uint32_t *ret);
int np_atom_own_node(struct np_build *b, uint32_t *ret);
/** np_port_atom_get() - @range is put in order. NP_NONE when there is none. */
int np_port_atom_get(struct np_build *b, struct np_range *range, unsigned int n, uint32_t *ret);
/** np_atom_has_shape(), np_atom_has_node() - the plain way. */
bool np_atom_has_shape(const struct np_atom *a, const struct np_shape *shape);
bool np_atom_has_node(const struct np_atom *a, const struct np_node *node);

/* --- np_compile_terms.c */

void np_terms_done(struct np_terms *t);
/** np_effective_of() - of @who, selected by @p. Return: 0, -EAGAIN, -E2BIG, -ENOMEM. */
int np_effective_of(struct np_build *b, const struct np_who *who, const struct np_policies *p,
		    struct np_effective *ret);
/** np_has_new_port() - @shape has a named port that rules name with a number that no pod had. */
bool np_has_new_port(const struct np_build *b, const struct np_shape *shape);
bool np_effective_same(const struct np_effective *a, const struct np_effective *b);

/* --- np_compile_rules.c */

/** np_rec_get() - the record of @rule of @policy in direction @dir. */
int np_rec_get(struct np_build *b, const struct np_policy *policy, const struct np_policy_rule *rule,
	       enum np_dir dir, uint32_t *ret);
/** np_rec_other() - of what stands in no object: @rule without key, its texts are copied. */
int np_rec_other(struct np_build *b, const struct np_rule *rule, uint32_t *ret);
/**
 * np_rules_number() - ids for all records that have none, those of @prev where it had them; fills
 * img->rule.
 */
int np_rules_number(struct np_build *b, const struct np_image *prev);

/* --- np_compile_things.c, np_compile_regions.c, np_compile_classes.c, np_compile_ports.c: in this order */

int np_things_find(struct np_build *b);
int np_things_judge(struct np_build *b);
int np_regions_make(struct np_build *b);
uint64_t np_ip_hash(uint64_t seed, const struct vw_ip *ip);
/** np_region_of() - the region of an address: never NP_NONE. */
uint32_t np_region_of(const struct np_build *b, const struct vw_ip *ip);
/** np_peers_make() - img->peer and img->cidr, with their classes. */
int np_peers_make(struct np_build *b, const struct np_image *prev);
/** np_peer_reserve() - the next @more np_peer_add() cannot fail. */
int np_peer_reserve(struct np_build *b, size_t more);
int np_peer_add(struct np_build *b, const struct vw_ip *ip, const char *who, struct np_peer **ret);
/**
 * np_peer_set_pod() - the address is that of pod @who ("ns/name"; NULL: of none). @take_who: to be freed
 * with it, or NULL.
 */
void np_peer_set_pod(struct np_build *b, struct np_peer *peer, const char *who, char *take_who);
void np_peer_del(struct np_build *b, struct np_peer *peer);
/** np_peer_of_pod() - an address of pod @who that is not @but, or NULL. */
struct np_peer *np_peer_of_pod(const struct np_build *b, const char *who, const struct np_peer *but);
bool np_is_resolver(const struct np_build *b, const struct vw_ip *ip);
/** np_outer_region() - the region that an address would be of if nobody knew it. */
uint32_t np_outer_region(const struct np_build *b, uint32_t region);
/** np_is_dns_shape() - the Service kube-system/kube-dns selects such pods. */
bool np_is_dns_shape(const struct np_world *w, const struct np_shape *shape);

/** np_class_use() - some address has this row. np_classes_number() - classes of the rows that are used. */
int np_class_use(struct np_build *b, uint32_t row);
int np_classes_number(struct np_build *b, const struct np_image *prev);
/** np_number() - see np_compile_classes.c. NP_HOLE: the key of a number that is not used. */
#define NP_HOLE UINT64_MAX
size_t np_number(const uint64_t *key, size_t n, const uint64_t *old, size_t n_old, uint32_t zero,
		 uint32_t *ret);
void np_sets_by_atom(const struct np_rows *rows, const uint32_t *row_of, size_t n_class, size_t n_atom,
		     uint64_t *sets, size_t words);
/**
 * np_weight_add() - addresses have come to class @cls (@sum of np_peer_weight(); its negative: they have
 * gone).
 */
#define NP_NO_CLASS UINT16_MAX
int np_weight_add(struct np_build *b, uint16_t cls, uint16_t base, uint64_t sum);
uint64_t np_peer_weight(const struct vw_ip *ip);
uint64_t np_cidr_weight(const struct vw_cidr *cidr);
int np_ports_make(struct np_build *b, const struct np_image *prev);

/* --- np_compile_blob.c */

/**
 * np_blob_get() - the blob of @e, which is taken over: one that there is, or a new one at the end.
 * Return: 0, -E2BIG, -ENOMEM.
 */
int np_blob_get(struct np_build *b, struct np_effective *e, unsigned int *ret);

/* --- np_compile_meaning.c */

/**
 * np_cell_meaning() - of a cell of @blob's matrices: equal = the same action, whatever names the peer
 * has.
 */
uint64_t np_cell_meaning(const struct np_image_blob *blob, uint32_t verdict);
/** np_meaning_make() - of the blob at the end of img->blob, of everything. */
int np_meaning_make(struct np_build *b);
/** np_meaning_add() - of all blobs: addresses (@sum) have come to class @cls, or, its negative, gone. */
void np_meaning_add(struct np_build *b, uint16_t cls, uint16_t base, uint64_t sum);

/* --- np_compile_subjects.c */

int np_subjects_index(struct np_build *b);
/** np_who_is() - who a local pod is. */
int np_who_is(struct np_build *b, const struct np_local *local, struct np_who *ret);
/** np_who_now() - the same again, for the Pod's object may be another one by now. Both: np_who_done(). */
int np_who_now(struct np_build *b, const struct np_who *then, struct np_who *ret);
int np_who_add(struct np_build *b, const struct np_local *local);
/** np_policies_of() - in order. The caller frees ret->v, also on failure. */
int np_policies_of(struct np_build *b, const struct np_who *who, struct np_policies *ret);
void np_who_done(struct np_who *who);
/** np_subject_blob() - the blob of @who. */
int np_subject_blob(struct np_build *b, const struct np_who *who, unsigned int *ret);
