#pragma once

#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_world.h"
#include "tests/policy/run.h"

/**
 * DOC: a cluster, compiled: an image for each node that has pods
 *
 * One world for all that is ever loaded, whose one file is replaced, and images that are made with their predecessor at hand: nothing is
 * fresh but the first.
 */
#define TABLES_NODES 16
#define TABLES_PODS 128

/**
 * struct tables_node - slot i, when @pod[i] is not empty, is the pod "ns/name" @pod[i]; it keeps the slot as long as it is there.
 * @prev: the image before, which a publisher may still hold.
 */
struct tables_node {
	char name[FX_NAME];
	struct np_image *img, *prev;
	struct np_local local[TABLES_PODS];
	char pod[TABLES_PODS][2 * FX_NAME];
	char ns[TABLES_PODS][FX_NAME];
	bool seen[TABLES_PODS], fresh[TABLES_PODS];
	size_t n_slot;          /* none is used from here on */
	struct vw_ip ip[8];
	size_t n_ip;
};

/**
 * struct tables_follower - who puts into force what has changed. Each may be NULL. @image: all anew, slots too. Else one by one:
 * @subject: the slot, maybe a new one, has blob @blob. @gone: the slot is empty. @peer. @done: that was all for this node.
 * Return: 0, -errno; @subject: -ENOSPC: compile.
 */
struct tables_follower {
	void *ctx;
	int (*image)(void *ctx, const struct tables_node *n, struct vw_err *err);
	int (*subject)(void *ctx, const struct tables_node *n, unsigned int slot, unsigned int blob, struct vw_err *err);
	int (*gone)(void *ctx, const struct tables_node *n, unsigned int slot, struct vw_err *err);
	int (*peer)(void *ctx, const struct tables_node *n, const struct np_peer_change *c, struct vw_err *err);
	int (*done)(void *ctx, const struct tables_node *n, struct vw_err *err);
};

struct tables {
	struct np_world *w;
	struct tables_node node[TABLES_NODES];
	size_t n_node;
	bool strict;
	bool by_changes;        /* where only pods have changed, do not compile */
	struct tables_follower follower;
	unsigned long compiled, followed;
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

/** px_tables() - executor 2. px_changes(): it does not compile again where only pods have changed. px_tables_done(): of both. */
struct px px_tables(void);
struct px px_changes(void);
void px_tables_done(struct px *x);
