#pragma once

#include "lib/base/ip.h"
#include "netpolicy-bpf/abi/np_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct np_image;
struct np_peer_change;
struct vw_err;

/**
 * DOC: putting an image into force
 *
 * The publisher owns what is in the policy maps: which address has which ident, which lines of the arena are taken, which
 * generation (parity) is in force. np_publish_image() writes a whole generation where no packet looks, then switches
 * every pod to it with one store each. Until np_publish_settle() packets may still be under way that began with the former
 * one, so "applied" is said after it, and nothing of the former is freed before.
 *
 * Order of one image: domain names, what was learnt under those that stay, addresses and prefixes that are new (neutral: under the generation in force they have the class that
 * their address had without them), classes of all idents for the new parity, ports, blobs, journal, pubs; barrier;
 * then addresses and prefixes that are gone. A failure before the pubs leaves the generation in force as it was, and what
 * was added neutral. So does a crash: a publisher that starts reads the maps, completes a switch that had begun and goes on.
 *
 * Not thread-safe but for np_publish_wait().
 */

/**
 * struct np_pub_io - the maps. Pointers are to their mappings; the functions are system calls on the others, and return 0
 * or -errno. @addr_*: np_ip4, np_ip6. @cidr_*: np_cidr4, np_cidr6. Deleting what is not there is success.
 * @dns_*: np_dns; @dns_key: of np_conf, for np_dns_hash(). @fqdn_*: np_fqdn4, np_fqdn6; @fqdn_get: -ENOENT; @fqdn_set: -E2BIG when full.
 * @each_*: call @fn for each entry; what @fn returns other than 0 ends it.
 * @ident_of: of an address as the programs find it: by np_ip4 or np_ip6, else by np_cidr4 or np_cidr6; -ENOENT.
 * @rule_clear: zero the counters of a rule. @barrier: returns when no program runs that began before the call.
 */
struct np_pub_io {
	struct np_line *arena, *ports;
	struct np_ident *idents;
	struct np_slot *slots;
	struct np_journal *journal;
	uint64_t *rule_keys;
	int (*addr_set)(void *arg, const struct vw_ip *ip, uint32_t ident);
	int (*addr_del)(void *arg, const struct vw_ip *ip);
	int (*cidr_set)(void *arg, const struct vw_cidr *c, uint32_t ident);
	int (*cidr_del)(void *arg, const struct vw_cidr *c);
	int (*each_addr)(void *arg, int (*fn)(void *fn_arg, const struct vw_ip *ip, uint32_t ident), void *fn_arg);
	int (*each_cidr)(void *arg, int (*fn)(void *fn_arg, const struct vw_cidr *c, uint32_t ident), void *fn_arg);
	const __u64 *dns_key;
	int (*dns_set)(void *arg, const struct np_dns_key *key, const struct np_dns_names *names);
	int (*dns_del)(void *arg, const struct np_dns_key *key);
	int (*each_dns)(void *arg, int (*fn)(void *fn_arg, const struct np_dns_key *key, const struct np_dns_names *names), void *fn_arg);
	int (*each_fqdn)(void *arg, int (*fn)(void *fn_arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f), void *fn_arg);
	int (*fqdn_get)(void *arg, uint32_t set, const struct vw_ip *ip, struct np_fqdn *ret);
	int (*fqdn_set)(void *arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f);
	int (*ident_of)(void *arg, const struct vw_ip *ip, uint32_t *ret);
	int (*rule_clear)(void *arg, uint32_t rule);
	int (*barrier)(void *arg);
	void *arg;
};

struct np;
struct np_publish;

/** np_publish_io() - the maps of @np, which must live as long as what is returned is used. */
struct np_pub_io np_publish_io(struct np *np);

/**
 * np_publish_new() - take over what the maps hold.
 * @io: copied; what it points to must live as long. Return: 0; -EBADMSG: the maps hold what no version wrote (which map and
 * entry is in the message; remove the pins to start anew), nothing has been changed in them then; -ENOMEM; -errno of @io.
 */
int np_publish_new(const struct np_pub_io *io, struct np_publish **ret, struct vw_err *err);
struct np_publish *np_publish_free(struct np_publish *p);

/**
 * np_publish_image() - switch every subject of @img to it. A pod keeps its revision when the meaning of its blob is the one
 * that is in force for it. Waits for the barrier of a former switch if np_publish_settle() was not called since.
 * @img: borrowed until the next image is published. Return: 0; -E2BIG: it does not fit (what, how much); -errno. On failure
 * what is in force stays in force.
 */
int np_publish_image(struct np_publish *p, struct np_image *img, struct vw_err *err);
/** np_publish_wait() - the barrier alone, milliseconds; may be called on another thread while nothing else is. */
int np_publish_wait(const struct np_publish *p);
/** np_publish_settle() - after np_publish_wait(): what only the former generation had is removed. */
int np_publish_settle(struct np_publish *p, struct vw_err *err);
/** np_publish_unsettled() - what is gone may still take room: np_publish_wait() and np_publish_settle() again, until nothing does. */
bool np_publish_unsettled(const struct np_publish *p);

/**
 * np_publish_subject() - a pod gets blob @blob of the image in force (np_image_add_subject() may have just added it). For a new
 * pod before np_slot_publish(), while its slot is empty; for one that lives (its labels have changed) it is applied with the
 * next np_publish_wait(). Return: 0; -ENOSPC: the arena's half is full, compile and publish an image; -EINVAL: no image is in
 * force, or it has no such blob.
 */
int np_publish_subject(struct np_publish *p, unsigned int slot, unsigned int blob, struct vw_err *err);
/** np_publish_off() - no pod is judged any more. What was in force is forgotten; the next image is as the first. */
void np_publish_off(struct np_publish *p);
/**
 * np_publish_peer() - one change that np_image_add_peer() made to the image in force. A new address is one map write, another
 * class or flags none; one that is gone has its prefix's class at once and leaves the map with np_publish_settle().
 */
int np_publish_peer(struct np_publish *p, const struct np_peer_change *change, struct vw_err *err);
/**
 * np_publish_judge_again() - when np_publish_peer() has had all that np_image_add_peer() changed: pods to which an address means something
 * else now get a new revision, so that flows with whoever had it are judged by what it is. As in np_publish_image().
 */
void np_publish_judge_again(struct np_publish *p);

/** struct np_publish_use - how full the maps are. */
struct np_publish_use {
	unsigned int idents, addrs4, addrs6, cidrs4, cidrs6, dns;
	unsigned int lines, lines_max;          /* of the half in force */
	unsigned int parity;
	uint32_t last_rev;
	uint64_t images;                        /* published by this process */
};
void np_publish_use(const struct np_publish *p, struct np_publish_use *ret);

/** struct np_lookup - a question to the maps, and what they say. @port: host order; @names: as in struct np_query. */
struct np_lookup {
	unsigned int slot;
	enum np_dir dir;
	struct vw_ip peer;
	uint8_t proto;
	uint16_t port;
	uint64_t names;
	uint16_t cls, port_cls, row, col, flags;        /* from here on: found. @flags: NP_IDENT_* */
	uint32_t verdict;
	bool off;               /* no policy is in force for the slot */
};
/**
 * np_publish_look() - walk the maps as the programs do for a new flow, without leaving a trace in them.
 * Return: 0; -ENOENT: no ident; -EBADMSG: the maps contradict each other (the programs would drop); -errno.
 */
int np_publish_look(const struct np_publish *p, struct np_lookup *l);
