#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: route netlink
 *
 * A socket (struct vw_nl) and batches of requests (struct vw_nl_batch). Builders (link.h, addr.h,
 * route.h, ...)
 * append one message each and give it a name for people ("adding route 10.0.0.5/32 dev eni12ab table 22103").
 * vw_nl_commit() sends the whole batch in one sendmsg, waits for the answer to each message, and says which
 * took effect, so that a caller undoes exactly what was done.
 *
 * Nothing is believed that did not come from the kernel (sender 0), to us (portid), in answer to a
 * request of ours
 * (sequence number), and in full (no truncation). The kernel's extended-ack text ends up in vw_err.
 * Waits are bounded.
 */

/**
 * struct vw_nl - a route-netlink socket. It stays in the namespace in which it was opened, wherever its
 * owner goes.
 * @timeout_ms: how long one commit or query may wait for the kernel; 5000 after opening, the owner may
 * change it.
 */
struct vw_nl {
	int fd;
	uint32_t portid;
	uint32_t seq;
	int timeout_ms;
};

#define VW_NL_INIT { .fd = -1 }
#define vw_auto_nl __attribute__((cleanup(vw_nl_close)))

/** vw_nl_open() - in the calling thread's network namespace. Return: 0, -errno. */
int vw_nl_open(struct vw_nl *nl, struct vw_err *err);
/**
 * vw_nl_open_at() - in the namespace behind @netns_fd (setns there and back; see vw_netns_run() for its
 * one hazard).
 * @netns_fd: borrowed; -1 = the current one. Return: 0, -errno.
 */
int vw_nl_open_at(struct vw_nl *nl, int netns_fd, struct vw_err *err);
/** vw_nl_close() - accepts a VW_NL_INIT or closed one; errno is kept. */
void vw_nl_close(struct vw_nl *nl);

enum vw_nl_outcome {
	VW_NL_NOT_SENT,         /* not sent, or its answer never came (then it may have happened) */
	VW_NL_DONE,             /* took effect */
	VW_NL_WAS_SO,           /* failed with an error that vw_nl_tolerate() allowed: nothing changed */
	VW_NL_FAILED,           /* refused: nothing changed (of several changes in one RTM_SETLINK the kernel keeps those before the refused one) */
};

enum vw_nl_tolerate {
	VW_NL_OK_EXISTS = 1 << 0,       /* EEXIST */
	VW_NL_OK_GONE = 1 << 1,         /* ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL: what a delete of nothing answers */
	VW_NL_OK_NO_IPV6 = 1 << 2,      /* EAFNOSUPPORT: kernel or interface (MTU below 1280) without IPv6 */
};

/**
 * struct vw_nl_op - one message of a batch.
 * @what:    what it does, for people, e.g. "adding route 10.0.0.5/32 dev eni12ab table 22103".
 * @eno:     positive errno when @outcome is VW_NL_FAILED or VW_NL_WAS_SO.
 */
struct vw_nl_op {
	size_t off, len;
	unsigned int tolerate;
	bool quiet;             /* answered only when refused: of transactions of nftables */
	enum vw_nl_outcome outcome;
	int eno;
	char what[120];
};

/**
 * struct vw_nl_batch - requests that go together. Start with VW_NL_BATCH_INIT, end with vw_nl_batch_done().
 * Out of memory or a builder given nonsense (an address without family, a name that is too long) makes
 * the batch sour:
 * further builders do nothing and vw_nl_commit() fails with the first such cause, before anything is sent.
 * So the results of builders need no check.
 * The first messages stand in the struct itself, so that a short batch allocates nothing: it is not to be copied.
 */
struct vw_nl_batch {
	char *buf;
	size_t len, cap;
	struct vw_nl_op *ops;
	size_t n, cap_ops;
	int sour_eno;
	char sour[160];
	struct vw_nl_op first_ops[12];
	_Alignas(8) char first[4096];
};

#define VW_NL_BATCH_INIT { 0 }
#define vw_auto_nl_batch __attribute__((cleanup(vw_nl_batch_done)))

/**
 * The most messages in one sendmsg: more acknowledgements than this may overrun the socket's receive
 * buffer.
 */
#define VW_NL_BATCH_CHUNK 128

void vw_nl_batch_done(struct vw_nl_batch *b);
/** vw_nl_batch_reset() - empty for reuse; keeps the memory. */
void vw_nl_batch_reset(struct vw_nl_batch *b);

/**
 * vw_nl_tolerate() - let the message appended last fail in the ways @tolerate (enum vw_nl_tolerate)
 * names.
 */
void vw_nl_tolerate(struct vw_nl_batch *b, unsigned int tolerate);

/**
 * vw_nl_commit() - send, collect an acknowledgement for each message, fill ops[].outcome.
 * One sendmsg for up to VW_NL_BATCH_CHUNK messages; larger batches go in chunks, and nothing is sent
 * after a chunk with a
 * failure in it. Inside a chunk the kernel carries on after a failed message.
 * The batch is not emptied: look at its outcomes, then vw_nl_batch_reset() or _done().
 * Return: 0 when every message was DONE or WAS_SO (an empty batch too), else -errno of the first
 * failure, with its name and
 * the kernel's own explanation in @err.
 */
int vw_nl_commit(struct vw_nl *nl, struct vw_nl_batch *b, struct vw_err *err);

/** vw_nl_op_done() - whether the @i-th message (builders return this index) took effect. */
bool vw_nl_op_done(const struct vw_nl_batch *b, int i);
