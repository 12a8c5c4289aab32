// SPDX-License-Identifier: Apache-2.0
/*
 * To see whether the pinned programs are ours they had to be loaded first, and the verifier takes longer than all the rest of a
 * start. So a start that has loaded them writes down what it loaded and where it hung: a map of one value beside the pins. The
 * next one believes it if the objects that are built in have the same bytes and every pin is the very program or map, by the
 * kernel's id, that was there then. Written last, and about ids: a start that was killed, or a pin that somebody changed, fits nothing.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_priv.h"

#include "np_node.skel.h"
#include "np_pod.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#define BUILD_MAP "np_build"

/** struct build - the map's value. @object: a hash of both objects' bytes. No padding: it is compared as memory. */
struct build {
	uint64_t object;
	uint32_t progs[NP_PROGS];
	uint32_t maps[NP_MAPS];
	uint32_t pad[(NP_PROGS + NP_MAPS) % 2];
};

_Static_assert(sizeof(struct build) == 8 + 4 * (NP_PROGS + NP_MAPS + (NP_PROGS + NP_MAPS) % 2), "no padding");

/** object_hash() - FNV-1a, eight bytes at a time: another build is to be told from this one, nobody is kept out. */
static uint64_t object_hash(uint64_t h, const char *bytes, size_t size)
{
	uint64_t word = 0;

	for (size_t i = 0; i < size; i += sizeof(word), word = 0) {
		memcpy(&word, bytes + i, size - i < sizeof(word) ? size - i : sizeof(word));
		h = (h ^ word) * 1099511628211u;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t objects_hash(void)
{
	size_t size = 0;
	const char *bytes = np_pod__elf_bytes(&size);
	uint64_t h = object_hash(14695981039346656037u, bytes, size);

	bytes = np_node__elf_bytes(&size);
	return object_hash(h, bytes, size);
}

static uint32_t prog_id(int fd, unsigned int type)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == type ? info.id : 0;
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

static int build_path(const struct np *np, char ret[NP_PATH_MAX])
{
	return vw_fmt(ret, NP_PATH_MAX, "%s/" BUILD_MAP, np->dir);
}

/** what_is() - of this build and of what @np holds. Return: false when something is missing. */
static bool what_is(const struct np *np, const struct bpf_object *obj, struct build *ret)
{
	bool all = true;

	*ret = (struct build){ .object = objects_hash() };
	for (int i = 0; i < NP_PROGS; i++)
		all &= (ret->progs[i] = prog_id(np->prog[i].fd, np_prog_type((enum np_prog)i))) != 0;
	for (int i = 0; i < NP_MAPS; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(obj, np_map_name((enum np_map)i));

		all &= map && (ret->maps[i] = map_id(bpf_map__fd(map))) != 0;
	}
	return all;
}

static bool read_build(const struct np *np, struct build *ret)
{
	struct vw_bpf_map_shape shape;
	vw_auto_close int fd = -EBADF;
	char path[NP_PATH_MAX];
	const uint32_t key = 0;

	if (build_path(np, path) < 0)
		return false;
	fd = vw_bpf_obj_open(path);
	return fd >= 0 && vw_bpf_map_shape(fd, &shape) == 0 && shape.type == BPF_MAP_TYPE_ARRAY && shape.key_size == sizeof(key) &&
	       shape.value_size == sizeof(*ret) && shape.max_entries == 1 && vw_bpf_map_get(fd, &key, ret) == 0;
}

bool np_keep_pinned(struct np *np, const struct bpf_object *obj)
{
	struct build was, is;
	bool same;

	for (int i = 0; i < NP_MAPS; i++)
		if (!np->map[i].kept)
			return false;
	for (int i = 0; i < NP_PROGS; i++)
		np->prog[i].fd = vw_bpf_obj_open(np->prog[i].path);
	same = read_build(np, &was) && what_is(np, obj, &is) && memcmp(&was, &is, sizeof(is)) == 0;
	for (int i = 0; i < NP_PROGS && !same; i++)
		vw_close_fd(&np->prog[i].fd);
	return same;
}

void np_keep_note(const struct np *np, const struct bpf_object *obj)
{
	vw_auto_close int fd = -EBADF;
	const uint32_t key = 0;
	char path[NP_PATH_MAX];
	struct build is;
	struct vw_err err;

	if (build_path(np, path) < 0 || !what_is(np, obj, &is))
		return;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, BUILD_MAP, sizeof(key), sizeof(is), 1, NULL);
	if (fd >= 0 && vw_bpf_map_set(fd, &key, &is, false) == 0)
		(void)vw_bpf_obj_pin(fd, path, &err);   /* without it the next start takes longer */
}
