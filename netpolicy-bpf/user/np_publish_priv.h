#pragma once

#include "netpolicy-bpf/user/np_publish.h"
#include "lib/base/hash.h"


/* What the files of the publisher share; nobody else includes this. */

struct np_image_blob;

#define HOST_LEN 255            /* of an entry in a hash map: longer than any prefix */

enum map { MAP_IP4, MAP_IP6, MAP_CIDR4, MAP_CIDR6, MAPS };
/** struct key - @len: of the prefix, HOST_LEN for an address. */
struct key {
	struct vw_ip ip;
	uint8_t len;
};

/** struct entry - @seen: by the image that is being written (its round). */
struct entry {
	struct key key;
	uint32_t ident;
	uint64_t seen;
	bool going;
	UT_hash_handle hh;
};

/** struct dns - an entry of np_dns. @names: as it will be after the round @seen. */
struct dns {
	struct np_dns_key key;
	struct np_dns_names names;
	uint64_t seen;
	UT_hash_handle hh;
};

/** struct carry - pods that had list @from have @to now. @bits[i]: patterns of @to that all names of @from's i-th match; @any: there are some. */
struct carry {
	uint32_t from, to;
	bool any;
	uint64_t bits[NP_FQDN_NAMES];
};

struct idents {
	uint32_t *v;
	size_t n, room;
};

struct np_publish {
	struct np_pub_io io;
	struct entry *entries;
	struct dns *dns;
	unsigned int n[MAPS];
	unsigned int n_len[2][129];     /* how many prefixes of each length, IPv4 and IPv6: what a longest match must try */
	struct idents free, rests;
	uint32_t next_ident;            /* never used so far */
	unsigned int parity;            /* in force */
	bool unsettled;
	uint32_t line[2];               /* next free line of each half */
	uint32_t last_rev;
	uint64_t round;
	struct np_image *img;           /* in force, borrowed */
	uint32_t *blob_line;            /* of its blobs, 0 = not written */
	unsigned int n_blob_line;
	uint32_t *next_line;            /* the same of an image that is being written */
	struct carry *carry;            /* of the switches since the last settling */
	size_t n_carry, carry_room;
};

/** np_publish_ident() - both classes and the flags as they are now. */
struct np_ident np_publish_ident(const struct np_publish *p, uint32_t ident);

/* --- np_publish_names.c: np_dns */
int np_publish_adopt_name(void *publish, const struct np_dns_key *key, const struct np_dns_names *names);
/** np_publish_add_names() - the patterns of a blob of the image of this round. */
int np_publish_add_names(struct np_publish *p, const struct np_image_blob *b, struct vw_err *err);
/** np_publish_name_bit() - which bit @pattern has in @set. Return: it, -ENOENT. */
int np_publish_name_bit(const struct np_publish *p, uint32_t set, const char *pattern);
/** np_publish_drop_names() - those that no blob of this round has. Return: 0, -errno. */
int np_publish_drop_names(struct np_publish *p);

/* --- np_publish_learnt.c: np_fqdn4, np_fqdn6 */
/** np_publish_keep_learnt() - the pod in @slot will have @to: notes from which list to which. Before its pub is written. */
int np_publish_keep_learnt(struct np_publish *p, unsigned int slot, const struct np_image_blob *to);
/** np_publish_copy_learnt() - what was learnt by the lists that were noted. Return: 0, -errno. */
int np_publish_copy_learnt(struct np_publish *p);
