#pragma once

struct vw_buf;
struct vw_err;

/**
 * vw_nft_run() - run nft commands in the calling thread's network namespace, as one transaction: all or
 * nothing.
 * @text: what `nft -f` takes. To replace a table: "table ip x\ndelete table ip x\ntable ip x { ... }".
 * Return: 0, -EINVAL (nft's own message, shortened, is in @err), -ENOMEM.
 */
int vw_nft_run(const char *text, struct vw_err *err);
/**
 * vw_nft_query() - run a read-only command, e.g. "list table ip vpcwire", and append its JSON
 * (libnftables-json(5)) to @out.
 * Return: 0, -ENOENT (no such table), -EINVAL, -ENOMEM.
 */
int vw_nft_query(const char *text, struct vw_buf *out, struct vw_err *err);

/**
 * DOC: who changes nftables
 * Every transaction in the current network namespace, ours too; what it was about is not told.
 */
#define VW_NFT_BY_LEN 16        /* TASK_COMM_LEN */

struct vw_nft_watch;

/** vw_nft_watch_new() - Return: 0, -errno (a kernel without nftables). */
int vw_nft_watch_new(struct vw_nft_watch **ret_watch, struct vw_err *err);
/** vw_nft_watch_free() - NULL is fine. Return: NULL. */
struct vw_nft_watch *vw_nft_watch_free(struct vw_nft_watch *w);
/** vw_nft_watch_fd() - non-blocking; poll for input. Owned by @w. */
int vw_nft_watch_fd(const struct vw_nft_watch *w);
/**
 * vw_nft_watch_read() - one transaction, or several of which the kernel has lost count. @by: who made it ("nft"), "" = unknown.
 * Return: 1, 0 (none has arrived), -errno.
 */
int vw_nft_watch_read(struct vw_nft_watch *w, char by[VW_NFT_BY_LEN], struct vw_err *err);
