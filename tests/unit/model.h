#pragma once

#include "tests/unit/model_world.h"

#include "lib/base/ip.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** DOC: what the property test believes: who was told which address, and when each was given back. See test_model.c. */
#define BOXES 80
#define PODS 60                 /* fewer than containers: two may be sandboxes of one pod */
#define COOL_MS 30000
#define BASE 0x0a000000u

#define NO_ADDR UINT_MAX

enum box_state { BOX_NONE, BOX_ASKING, BOX_HAS, BOX_LIMBO /* the daemon died over it */ };

/**
 * struct box - a container. @tomb: its DEL waits as a tombstone. @unheard: it has an address that nobody was told.
 * @undo: the last DEL was that of an ADD that failed. @unsure: the daemon is just being asked to release it.
 */
struct box {
	enum box_state state;
	struct vw_attach_key key;
	unsigned int gen, slot;
	unsigned int addr[2];           /* world_index(), the first family's first; NO_ADDR */
	bool superseded, tomb, unheard, undo, unsure;
	struct rpc_conn conn;
};

struct model {
	struct world *w;
	struct daemon *d;
	char dir[64], config[96], socket[96];
	struct box box[BOXES];
	struct box *holder[WORLD_ADDRS];
	uint64_t freed[WORLD_ADDRS];    /* when last given back by a pod that used it */
	bool prefixes, adaptive, ipv4, ipv6;
	unsigned int warm;              /* prefixes, by its configuration */
	bool behind;                    /* EC2 took something away by itself */
	unsigned int want;
	uint64_t n_add, n_del, n_crash, n_fail, n_wait, n_calm;
};

/** key_of() - the pool's key of @b's attachment. */
void key_of(const struct box *b, char *ret, size_t size);
/** model_setup() - a daemon on a fresh node. @settings: more of its configuration, "\"key\":value,...". */
void model_setup(struct model *m, uint64_t seed, bool prefixes, const char *settings);
/** model_configure() - for the next life. */
void model_configure(struct model *m, const char *settings);
void model_teardown(struct model *m);
/** model_died() - after a death (world.die): what is in the files at this instant is what the next life finds. */
void model_died(struct model *m);
/** model_bury() - while it is dead, the runtime deletes @b: a tombstone. */
void model_bury(struct model *m, struct box *b);
/** model_lose_store() - while it is dead, its files go. */
void model_lose_store(struct model *m);
/** model_no_row() - fails: for store_attach_each() of a store that should be empty. */
int model_no_row(const struct store_attachment *row, void *arg);
/** model_start() - the daemon, as far as before its loop runs. model_live() - start; what was uncertain is as the store has it, all else as it was. */
void model_start(struct model *m);
void model_live(struct model *m);
/** model_finish_jobs() - let all that is under way come to its end. model_run_dry() - and all that follows in @ms. */
void model_finish_jobs(struct model *m);
void model_run_dry(struct model *m, uint64_t ms);
/** model_rest() - no more faults: half an hour later all is well. model_calm() - and stays so. */
void model_rest(struct model *m);
void model_calm(struct model *m);

void model_add(struct model *m, struct box *b);
enum { DEL_NETNS_GONE = 1 << 0 /* the pod died first */, DEL_UNDO = 1 << 1 /* its ADD failed */ };
void model_del(struct model *m, struct box *b, unsigned int how);
/** model_gc() - @listed: the runtime still knows it. */
void model_gc(struct model *m, const bool listed[BOXES]);
/** model_hang_up() - the runtime loses patience with its ADD. */
void model_hang_up(struct model *m, struct box *b);
void model_netns_dies(struct model *m, const struct box *b);
void model_request(struct model *m, struct box *b, enum vw_rpc_op op, struct vw_rpc_req *ret);
void model_ask(struct model *m, struct rpc_conn *conn, const struct vw_rpc_req *req);
void model_let_go(struct model *m, struct box *b, bool cools);
/** model_hear() - the answer to an ADD. model_rivals() - @b asks, so older sandboxes of its pod may be replaced. */
void model_hear(void *arg, struct rpc_conn *conn);
void model_rivals(struct model *m, const struct box *b);
/** is_held() - the daemon has an attachment @key: its addresses as indices. */
bool is_held(const struct model *m, const char *key, unsigned int ret_addr[2]);
/** check_books() - store, memory, eBPF map and model say the same. */
void check_books(struct model *m);
