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
