#pragma once

#include "tests/unit/model_world.h"

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** DOC: what the property test believes: who was told which address, and when each was given back. See test_model.c. */
#define BOXES 80
#define PODS 60                 /* fewer than containers: two may be sandboxes of one pod */
#define COOL_MS 30000
#define BASE 0x0a000000u

/* a walk leaves memory behind where the daemon dies in the middle of a function; that is no leak of the daemon's */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

enum box_state { BOX_NONE, BOX_ASKING, BOX_HAS, BOX_LIMBO /* the daemon died over it */ };

/** struct box - a container. @tomb: its DEL waits as a tombstone. @unheard: it has an address that nobody was told. */
struct box {
	enum box_state state;
	struct vw_attach_key key;
	unsigned int gen, addr, slot;
	bool superseded, tomb, unheard, undo;
	struct rpc_conn conn;
};

struct model {
	struct world *w;
	struct daemon *d;
	char dir[64], config[96], socket[96];
	struct box box[BOXES];
	struct box *holder[WORLD_ADDRS];
	uint64_t freed[WORLD_ADDRS];    /* when last given back by a pod that used it */
	bool prefixes;
	bool behind;                    /* EC2 took something away by itself */
	unsigned int want;
	uint64_t n_add, n_del, n_crash, n_fail, n_wait, n_calm;
};

/** key_of() - the pool's key of @b's attachment. */
void key_of(const struct box *b, char *ret, size_t size);
/** check_books() - store, memory, eBPF map and model say the same. */
void check_books(struct model *m);
