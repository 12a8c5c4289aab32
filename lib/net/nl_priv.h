#pragma once

#include "lib/base/ip.h"
#include "lib/net/nl.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

/**
 * DOC: inside lib/net only: what builders and readers share
 */

/* Room that vw_nl_begin() guarantees for one message. Every builder's attributes are bounded well below it.
 */
#define VW_NL_MSG_MAX 2048
/* The largest datagram the kernel composes for a dump (netlink_dump() caps min_dump_alloc at 32 KiB). */
#define VW_NL_RECV_SIZE  (32 * 1024)
#define VW_NL_DUMP_TRIES 8

/**
 * vw_nl_begin() - reserve room for one message with its family header (@hdr_len bytes at @hdr).
 * NLM_F_REQUEST | NLM_F_ACK are added to @flags. Return: the message to append attributes to, NULL when sour.
 */
struct nlmsghdr *vw_nl_begin(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const void *hdr,
			     size_t hdr_len);
/** vw_nl_end() - the message is complete; name it. Return: its index. */
int vw_nl_end(struct vw_nl_batch *b, const struct nlmsghdr *nlh, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** vw_nl_sour() - make the batch unusable with a reason. Return: -eno. */
int vw_nl_sour(struct vw_nl_batch *b, int eno, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * vw_nl_commit_whole() - as vw_nl_commit(), but one sendmsg whatever the size: for what the kernel takes as a whole, its first
 * message standing for all. Few of its messages may ask for an answer (VW_NL_BATCH_CHUNK).
 */
int vw_nl_commit_whole(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err);

/** vw_nl_ok() - a whole message of the @n bytes left. mnl_nlmsg_ok() alone takes a length of 2^31 and more for a negative one, and passes it. */
static inline bool vw_nl_ok(const struct nlmsghdr *nlh, int n)
{
	return mnl_nlmsg_ok(nlh, n) && nlh->nlmsg_len <= (uint32_t)n;
}

void vw_nl_put_ip(struct nlmsghdr *nlh, uint16_t type, const struct vw_ip *ip);
/** vw_nl_get_ip() - Return: false when the attribute's size does not fit @family. */
bool vw_nl_get_ip(const struct nlattr *attr, uint8_t family, struct vw_ip *ret_ip);
/** vw_nl_get_u32() - 0 when the attribute is too short. */
uint32_t vw_nl_get_u32(const struct nlattr *attr);
/** vw_nl_get_str() - copy a string attribute, whatever its termination, into @buf. */
void vw_nl_get_str(const struct nlattr *attr, char *buf, size_t size);

/**
 * vw_nl_parse_fn - turn one message into one item of the caller's type.
 * @item: zeroed. Return: 1 = keep, 0 = not wanted.
 */
typedef int (*vw_nl_parse_fn)(const struct nlmsghdr *nlh, void *item, const void *arg);

/**
 * vw_nl_ask() - send the request @req (built in a buffer of the caller, REQUEST and ACK are added to its flags) and read
 * its one answer. Return: 0 with @item filled, -ENOENT when the kernel answered with nothing that @parse
 * kept, -errno.
 */
int vw_nl_ask(struct vw_nl *nl, struct nlmsghdr *req, vw_nl_parse_fn parse, void *item, size_t item_size,
	      const void *arg, const char *what, struct vw_err *err);
/**
 * vw_nl_dump() - send @req with NLM_F_DUMP and collect every item; an interrupted dump is taken again.
 * @ret_items: malloc'ed array, NULL when empty. Return: how many, -EINTR, -errno.
 */
int vw_nl_dump(struct vw_nl *nl, struct nlmsghdr *req, vw_nl_parse_fn parse, size_t item_size,
	       const void *arg, const char *what, void **ret_items, struct vw_err *err);

/** vw_nl_recv() - one datagram from the kernel, whole. Return: its length, -ETIMEDOUT, -errno. */
int vw_nl_recv(struct vw_nl *nl, void *buf, size_t size, uint64_t deadline_ms, struct vw_err *err);
/** vw_nl_socket() - open a socket of @protocol (NETLINK_*) subscribed to @groups (RTMGRP_*), in the current namespace. */
int vw_nl_socket(struct vw_nl *nl, int protocol, uint32_t groups, struct vw_err *err);

/** vw_link_parse() - RTM_NEWLINK and RTM_DELLINK -> struct vw_link. Safe on any bytes that vw_nl_ok() passed. */
int vw_link_parse(const struct nlmsghdr *nlh, void *item, const void *arg);

/** vw_dev_name() - @name, or "#12" into @buf when there is none. For messages. */
const char *vw_dev_name(const char *name, unsigned int ifindex, char buf[16]);
