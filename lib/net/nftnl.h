#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;
struct nlmsghdr;

/**
 * DOC: nftables by netlink
 *
 * For plugins, to which libnftables would cost more start-up time than everything else together, and which exec nothing. A
 * transaction is a struct vw_nl_batch that begins with vw_nftnl_begin() and ends with vw_nftnl_commit(): all of it happens, or
 * nothing. All tables are of family "inet" (NAT in it: kernel 5.2 and up). Texts are borrowed; numbers are in host byte order,
 * keys and data of sets and packets in network byte order.
 */

/** vw_nftnl_open() - a socket in the calling thread's network namespace. */
int vw_nftnl_open(struct vw_nl *nl, struct vw_err *err);

void vw_nftnl_begin(struct vw_nl_batch *b);
/**
 * vw_nftnl_commit() - all or nothing. An empty transaction is none.
 * Return: 0, -errno of the first request that was refused, with its name and the kernel's explanation.
 */
int vw_nftnl_commit(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err);

/** vw_nftnl_table_add() - one that is there stays as it is. */
void vw_nftnl_table_add(struct vw_nl_batch *b, const char *table);
/** vw_nftnl_table_del() - with all that is in it; one that is not there is no error. */
void vw_nftnl_table_del(struct vw_nl_batch *b, const char *table);

/** struct vw_nftnl_chain - a base chain. @type: "nat", "filter". @hook: NF_INET_* (linux/netfilter.h). */
struct vw_nftnl_chain {
	const char *table, *name, *type;
	uint32_t hook;
	int32_t priority;
};
void vw_nftnl_chain_add(struct vw_nl_batch *b, const struct vw_nftnl_chain *chain);

/* nft's own numbers of data types, so that `nft list` shows them (include/datatype.h); concatenations are 6 bits each. */
#define VW_NFTNL_IP4  7u
#define VW_NFTNL_IP6  8u
#define VW_NFTNL_PROTO 12u
#define VW_NFTNL_PORT 13u
#define VW_NFTNL_CAT(a, b) (((a) << 6) | (b))
#define VW_NFTNL_KEY_MAX 40             /* bytes of a key or datum; each part of a concatenation fills whole words of 4 */

/** struct vw_nftnl_set - a hash set, or a map where @data_len is not 0. Lengths in bytes. */
struct vw_nftnl_set {
	const char *table, *name;
	uint32_t key_type, key_len;
	uint32_t data_type, data_len;
};
/** vw_nftnl_set_add() - @id: unlike any other of the transaction. */
void vw_nftnl_set_add(struct vw_nl_batch *b, const struct vw_nftnl_set *set, uint32_t id);

/** struct vw_nftnl_elem - @data: of maps only. */
struct vw_nftnl_elem {
	uint8_t key[VW_NFTNL_KEY_MAX], data[VW_NFTNL_KEY_MAX];
};
/** vw_nftnl_elem_add() - EEXIST when the key is there, whatever its datum. @what: the element's name, for messages. */
void vw_nftnl_elem_add(struct vw_nl_batch *b, const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what);
/** vw_nftnl_elem_del() - ENOENT when there is none. */
void vw_nftnl_elem_del(struct vw_nl_batch *b, const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e, const char *what);
/** vw_nftnl_elem_get() - @ret: with the datum. Return: 0, -ENOENT (also: no such set or table), -errno. */
int vw_nftnl_elem_get(struct vw_nl *nl, const struct vw_nftnl_set *set, const struct vw_nftnl_elem *e,
		      struct vw_nftnl_elem *ret, struct vw_err *err);

/**
 * struct vw_nftnl_rule - a rule in the making: vw_nftnl_rule_begin(), expressions, vw_nftnl_rule_end(). Sour batches are
 * fine: everything does nothing then.
 */
struct vw_nftnl_rule {
	struct vw_nl_batch *b;
	struct nlmsghdr *nlh;
	void *exprs;
	const char *table, *chain;
};
void vw_nftnl_rule_begin(struct vw_nftnl_rule *r, struct vw_nl_batch *b, const char *table, const char *chain);
void vw_nftnl_rule_end(struct vw_nftnl_rule *r);

/* Registers are words of 4 bytes; @reg: 0 to 15. What is loaded or compared fills whole words, the rest of the last is zero. */
enum vw_nftnl_base { VW_NFTNL_NETWORK = 1, VW_NFTNL_TRANSPORT = 2 };
void vw_nftnl_meta(struct vw_nftnl_rule *r, uint32_t key, uint32_t reg);                /* NFT_META_* */
void vw_nftnl_ct(struct vw_nftnl_rule *r, uint32_t key, uint32_t reg);                  /* NFT_CT_*; untracked: the rule ends */
void vw_nftnl_payload(struct vw_nftnl_rule *r, enum vw_nftnl_base base, uint32_t off, uint32_t len, uint32_t reg);
void vw_nftnl_cmp(struct vw_nftnl_rule *r, uint32_t reg, const void *data, uint32_t len);       /* equal, or the rule ends */
void vw_nftnl_mask(struct vw_nftnl_rule *r, uint32_t reg, const void *mask, uint32_t len);      /* reg &= mask */
/** vw_nftnl_lookup() - the rule ends where the key is not in the set; of a map, the datum goes to @reg. */
void vw_nftnl_lookup(struct vw_nftnl_rule *r, const struct vw_nftnl_set *set, uint32_t reg);
void vw_nftnl_load(struct vw_nftnl_rule *r, uint32_t reg, const void *data, uint32_t len);
/**
 * vw_nftnl_bpf() - the rule ends where @prog_fd, a socket filter (BPF_PROG_TYPE_SOCKET_FILTER), says 0. It sees the packet from its IP
 * header on. By xt_bpf (4.10) through nft_compat: a kernel that lacks either refuses with ENOENT. The rule holds the program.
 */
void vw_nftnl_bpf(struct vw_nftnl_rule *r, int prog_fd);
void vw_nftnl_return(struct vw_nftnl_rule *r);
void vw_nftnl_drop(struct vw_nftnl_rule *r);
/**
 * vw_nftnl_dnat(), vw_nftnl_snat() - @family: AF_INET, AF_INET6; address in register @addr, port of DNAT in register @port. SNAT
 * takes its ports at random, so that two flows that begin at once do not meet (random-fully).
 */
void vw_nftnl_dnat(struct vw_nftnl_rule *r, uint8_t family, uint32_t addr, uint32_t port);
void vw_nftnl_snat(struct vw_nftnl_rule *r, uint8_t family, uint32_t addr);

/** struct vw_nftnl_chain_name - @family: NFPROTO_*. Names are cut off: those of iptables have 28 characters at most. */
#define VW_NFTNL_NAME_LEN 64
struct vw_nftnl_chain_name {
	uint8_t family;
	char table[VW_NFTNL_NAME_LEN], chain[VW_NFTNL_NAME_LEN];
};
/** vw_nftnl_chain_list() - all chains of the namespace, of every family, iptables-nft's too. @ret: the caller frees, NULL when empty. Return: how many, -errno. */
int vw_nftnl_chain_list(struct vw_nl *nl, struct vw_nftnl_chain_name **ret, struct vw_err *err);

/** vw_nftnl_rule_count() - of a whole table; 0 when there is no such table. Return: how many, -errno. */
int vw_nftnl_rule_count(struct vw_nl *nl, const char *table, struct vw_err *err);
