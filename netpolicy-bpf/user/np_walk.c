// SPDX-License-Identifier: Apache-2.0
/* Batches of BATCH entries are copied out. One that is too small for a bucket of the hash is refused with ENOSPC and doubled. */
#include "netpolicy-bpf/user/np_walk.h"

#include "lib/base/cleanup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define BATCH 4096u
#define BATCH_MAX 65536u

static int walk_batches(const struct np_walk *w, __u32 size, char *keys, char *values)
{
	bool first = true, last = false;
	char pos[64];           /* of a hash map: a bucket's number; the size of a key elsewhere */
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = w->lock ? BPF_F_LOCK : 0);

	while (!last) {
		__u32 n = size;
		int r = bpf_map_lookup_batch(w->fd, first ? NULL : pos, pos, keys, values, &n, &opts);

		if (r < 0 && errno != ENOENT)
			return -errno;
		last = r < 0;
		first = false;
		for (__u32 i = 0; i < n; i++) {
			r = w->fn(w->arg, keys + i * w->key_size, values + i * w->value_size);
			if (r)
				return r;
		}
	}
	return 0;
}

int np_walk(const struct np_walk *w)
{
	int r = -ENOSPC;

	for (__u32 size = BATCH; r == -ENOSPC && size <= BATCH_MAX; size *= 2) {
		vw_auto_free char *keys = calloc(size, w->key_size), *values = calloc(size, w->value_size);

		r = keys && values ? walk_batches(w, size, keys, values) : -ENOMEM;
	}
	return r;
}
