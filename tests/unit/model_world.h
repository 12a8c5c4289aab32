#pragma once

/*
 * A world for the whole daemon in one process: the real attachments, pool, planner, jobs, survey and store, on doubles of what
 * lies outside of them: loop, socket, kernel, IMDS and EC2. Time stands still unless world_advance() moves it. Chance comes
 * from one seed. Any call of a double may be the daemon's last (world.crash_in): it then never returns.
 */

#include "daemon/cloud.h"
#include "daemon/daemon.h"
#include "daemon/rpc_server.h"
#include "lib/net/view/view.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "tests/unit/cm.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#define WORLD_TIMERS 640
#define WORLD_JOBS 64
#define WORLD_ENIS 16
#define WORLD_MAX_ENIS 4        /* of the instance type */
#define WORLD_SLOTS 6           /* per ENI */
#define WORLD_EVENTS 8          /* of links, that the daemon has not heard of yet */
#define WORLD_ADDRS4 4096       /* 10.0.0.0/20 */
#define WORLD_ADDRS6 262144     /* others, as they are seen: more than a walk has ADDs */
#define WORLD_ADDRS (WORLD_ADDRS4 + WORLD_ADDRS6)

struct loop_timer {
	void (*fn)(void *arg);
	void *arg;
	uint64_t due;
	bool used, set;
};

struct world_job {
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
	bool worked;
};

/** struct world_veth - a pod's host end. @alive: its netns is there. @begun: the present round of the reaper is about it. */
struct world_veth {
	bool exists, dying, alive, begun, route;
	char name[IFNAMSIZ];
	char owner[VW_ID_MAX + IFNAMSIZ + 1];
	struct vw_ip addr[2];
	unsigned int n_addr;
};

/** struct world_eni - one of EC2's. @behind: something was done to it behind the daemon's back. */
struct world_eni {
	bool exists, attached, primary;
	char id[32], attachment[32], token[EC2_TOKEN_MAX + 1];
	unsigned int device, serial;
	struct vw_cidr slots[WORLD_SLOTS];
	struct vw_cidr block6;  /* its /80; family 0 = none */
	size_t n_slots;
};

struct world {
	uint64_t seed, now;
	bool dead;              /* the daemon is gone; its last words change nothing */
	bool faults;            /* EC2 and IMDS fail now and then */
	bool full;              /* EC2 has no address left */
	bool ranged;            /* this life has set up NAT with the VPC's ranges */
	bool ghosts;            /* requests that are on the wire when the daemon dies arrive */
	unsigned int crash_in;  /* die at the how manyth call of a double; 0 = live */
	jmp_buf die;
	struct store *store;    /* that is open */
	struct loop_timer timers[WORLD_TIMERS];
	struct world_job jobs[WORLD_JOBS];
	size_t n_jobs;
	const struct rpc_server_ops *rpc;
	void *rpc_arg;
	void (*heard)(void *arg, struct rpc_conn *conn);        /* an answer has come */
	void *heard_arg;
	void (*link_event)(const struct vw_event *ev, void *arg);
	void *link_arg;
	struct vw_event events[WORLD_EVENTS];
	size_t n_events;
	struct world_veth veth[NP_SLOTS];
	struct np_pod_conf np[NP_SLOTS];
	bool np_used[NP_SLOTS];
	struct world_eni enis[WORLD_ENIS], imds[WORLD_ENIS];    /* @imds: as IMDS shows them, maybe old */
	unsigned int n_made;
	unsigned int n_blocks6;         /* made so far; none is given twice */
	bool taken[WORLD_ADDRS4];       /* at EC2 */
	struct vw_ip seen6[WORLD_ADDRS6];
	unsigned int n_seen6, hash6[2 * WORLD_ADDRS6];  /* of these: 1 + index */
	/* by address: connections of a former pod are tracked; the daemon's list says so, its present round is about it */
	bool tracked[WORLD_ADDRS], stale[WORLD_ADDRS], purging[WORLD_ADDRS];
	unsigned int n_stale, n_purging;
	jmp_buf ghost;
	unsigned int ghost_calls;
	bool is_ghost;
	uint64_t points;        /* passed so far */
	uint64_t calls, commits_unheard, surveys_half;
};

/** struct rpc_conn - what a request came to. */
struct rpc_conn {
	bool open, answered;
	int cni;                /* of an error; 0 = success */
	char msg[256];
	bool have_wiring;
	struct vw_rpc_wiring w;
};

/** world_begin() - the one world of this process: empty kernel, a primary ENI without addresses. */
struct world *world_begin(uint64_t seed);
void world_end(void);
unsigned int world_rnd(struct world *w, unsigned int n);
/** world_index() - of an address that a pod may have, 0..WORLD_ADDRS-1. world_address() - the reverse. */
unsigned int world_index(const struct vw_ip *ip);
struct vw_ip world_address(const struct world *w, unsigned int index);
/** world_point() - one of the places where the daemon may die. */
void world_point(struct world *w);
/** world_say() - a line for MODEL_LOG=1. */
void world_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** world_turn() - fire timers that are due, in order. */
void world_turn(struct world *w);
/** world_advance() - let @ms pass, firing timers when they are due. */
void world_advance(struct world *w, uint64_t ms);
/** world_next_timer() - when the next one is due, UINT64_MAX = none. */
uint64_t world_next_timer(const struct world *w);
/** world_job_step() - carry one job, chosen by chance, a step on: the work, or what follows it. false: none is there. */
bool world_job_step(struct world *w);
/** world_link() - the link of @e comes or goes; the daemon hears of it with the next world_events(). */
void world_link(struct world *w, const struct world_eni *e, bool gone);
void world_events(struct world *w);
/** world_forget_loop() - timers and jobs went with the process. */
void world_forget_loop(struct world *w);
/** world_ghosts() - of each job (@work) that had not begun, the first call is carried out, and nobody hears of it. */
void world_ghosts(struct world *w, void (*work)(void *arg));
/** world_imds_refresh() - IMDS catches up. */
void world_imds_refresh(struct world *w);
struct world_eni *world_eni(struct world *w, const char *id);
bool world_eni_has(const struct world_eni *e, const struct vw_cidr *c);
/** world_take_slot() - EC2 takes slot @i of @e away by itself. */
void world_take_slot(struct world *w, struct world_eni *e, size_t i);
/** world_give_slot() - EC2 gives @e one that is free by itself. */
void world_give_slot(struct world *w, struct world_eni *e, const struct vw_cidr *c);
/** world_detach() - and deletes it. */
void world_detach(struct world *w, struct world_eni *e);
struct world *world_now(void);
