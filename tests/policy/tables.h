#pragma once

#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_world.h"
#include "tests/policy/run.h"

/**
 * DOC: a cluster, compiled: an image for each node that has pods
 */
#define TABLES_NODES 16
#define TABLES_PODS 128

/**
 * struct tables_node - @local[i] has slot i; its texts are borrowed from the objects that were loaded. @prev: the image before, which
 * a publisher may still hold.
 */
struct tables_node {
	char name[FX_NAME];
	struct np_image *img, *prev;
	struct np_local local[TABLES_PODS];
	char pod[TABLES_PODS][2 * FX_NAME];
	size_t n_local;
	struct vw_ip ip[8];
	size_t n_ip;
};

struct tables {
	struct np_world *w;
	struct tables_node node[TABLES_NODES];
	size_t n_node;
	bool strict;
};

struct tables *tables_new(void);
void tables_free(struct tables *t);
int tables_load(struct tables *t, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err);
/** tables_find() - the node, and the slot of the pod "ns/name" there. NULL: it is not. */
const struct tables_node *tables_find(const struct tables *t, const char *node, const char *pod, unsigned int *ret_slot);
const struct np_image_blob *tables_blob(const struct np_image *img, unsigned int slot, unsigned int *ret_blob);
/** tables_names() - bits of the blob's patterns that fit one of the names. */
uint64_t tables_names(const struct np_image_blob *b, const char *const *names, size_t n);

/** tables_refuse() - struct px.refuse: a world of its own, @ctx is not used. */
int tables_refuse(void *ctx, const struct vw_json *obj, struct vw_err *err);

struct px px_tables(void);
void px_tables_done(struct px *x);
