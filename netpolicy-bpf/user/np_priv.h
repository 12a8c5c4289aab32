#pragma once

#include "netpolicy-bpf/user/np_loader.h"

#include <stddef.h>

/* What the files of the loader share; nobody else includes this. */

#define NP_PATH_MAX 256
#define NP_LOGS 16             /* at least as many as there are programs */

/** enum np_prog - pinned ones; from NP_AT_NODE4 on of the object np_node, the others of np_pod. */
enum np_prog { NP_FROM_POD, NP_TO_POD, NP_TO_WIRE, NP_AT_NODE4, NP_AT_NODE6, NP_PROGS };

struct bpf_object;
struct np_pod;

struct np_map_held {
	int fd;                 /* owned by the skeleton */
	bool kept;              /* taken over from a pin */
	void *mem;              /* of mapped ones */
	size_t bytes;
	unsigned int max;
};

struct np_prog_held {
	int fd;                 /* ours */
	char path[NP_PATH_MAX];
};

struct np {
	struct np_pod *skel;
	struct np_map_held map[NP_MAPS];
	struct np_prog_held prog[NP_PROGS];
	bool replaced;
	char dir[NP_PATH_MAX];  /* <bpf_dir>/v<NP_ABI> */
};

/** np_prog_type() - enum bpf_prog_type. */
unsigned int np_prog_type(enum np_prog which);

/** np_dir_make() - np->dir, on a bpf file system. */
int np_dir_make(struct np *np, const char *bpf_dir, struct vw_err *err);

/** np_former_pin() - keep the program @fd, which is pinned at @path and about to be replaced, as a former one. */
int np_former_pin(const char *path, int fd, struct vw_err *err);
/** np_is_former() - the name of such a pin. np_is_version() - of a folder of pins, "v<NP_ABI>". */
bool np_is_former(const char *name);
bool np_is_version(const char *name);

/** np_maps_reuse() - before the object is loaded: sizes, and pinned maps that fit in the place of its own. */
int np_maps_reuse(struct np *np, struct bpf_object *obj, const struct np_sizes *sizes, struct vw_err *err);
/** np_maps_take() - after: pin what is new, map what is mapped. */
int np_maps_take(struct np *np, const struct bpf_object *obj, struct vw_err *err);
/** np_maps_lend() - after that: another object, not yet loaded, is to use the same maps, all that it has. */
int np_maps_lend(const struct np *np, struct bpf_object *obj, struct vw_err *err);
void np_maps_unmap(struct np *np);

/**
 * np_keep_pinned() - after np_maps_reuse(): take over the pinned programs without loading anything, if they are this build's with
 * these maps. Return: false when that is not known; then nothing is held. np_keep_note() - after a load: what the next one compares.
 */
bool np_keep_pinned(struct np *np, const struct bpf_object *obj);
void np_keep_note(const struct np *np, const struct bpf_object *obj);
