// SPDX-License-Identifier: Apache-2.0
/*
 * nftables by libnftables. A context per call: it opens its socket in the calling thread's namespace, and calls are rare.
 * libnftables ends the process when it cannot allocate; that is its contract, and a daemon that is restarted recovers.
 */
#include "lib/net/view/nft.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <errno.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/socket.h>

static void free_ctx(struct nft_ctx **ctx)
{
	if (*ctx)
		nft_ctx_free(*ctx);
}

/**
 * failure() - libnftables reports errors as text only, the way nft(8) prints them: "/dev/stdin:1:6-9: Error: cause\n",
 * then the line with carets below it. Keep the cause of the first one; the errno is told from the kernel's own words.
 */
static int failure(struct nft_ctx *ctx, struct vw_err *err)
{
	static const struct {
		const char *text;
		int eno;
	} known[] = {
		{ "No such file or directory", ENOENT },
		{ "File exists", EEXIST },
		{ "Operation not permitted", EPERM },
		{ "Device or resource busy", EBUSY },
	};
	const char *text = nft_ctx_get_error_buffer(ctx);
	const char *cause = text ? strstr(text, "Error: ") : NULL;
	int len, eno = EINVAL;

	cause = cause ? cause + strlen("Error: ") : text && text[0] ? text : "unknown error";
	len = (int)strcspn(cause, "\n");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (memmem(cause, (size_t)len, known[i].text, strlen(known[i].text)))
			eno = known[i].eno;
	return vw_err_set(err, eno, VW_CNI_KERNEL, "nftables: %.*s", len < 300 ? len : 300, cause);
}

/* libnftables ends the process when it gets no socket; so another one is opened first, which may fail */
static int try_socket(struct vw_err *err)
{
	vw_auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	return fd < 0 ? vw_err_sys(err, errno, VW_CNI_KERNEL, "nftables: opening a netlink socket") : 0;
}

static int run_there(const char *text, unsigned int flags, struct vw_buf *out, struct vw_err *err)
{
	__attribute__((cleanup(free_ctx))) struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);

	if (!ctx || nft_ctx_buffer_output(ctx) || nft_ctx_buffer_error(ctx))
		return vw_err_set(err, ENOMEM, VW_CNI_KERNEL, "nftables: cannot set up libnftables");
	nft_ctx_output_set_flags(ctx, flags);
	if (nft_run_cmd_from_buffer(ctx, text))
		return failure(ctx, err);
	if (out)
		vw_buf_puts(out, nft_ctx_get_output_buffer(ctx));
	if (out && vw_buf_err(out))
		return vw_err_set(err, vw_buf_err(out), VW_CNI_KERNEL, "nftables: a listing too large to keep");
	return 0;
}

static int run(const char *text, unsigned int flags, struct vw_buf *out, struct vw_err *err)
{
	int r = try_socket(err);

	return r < 0 ? r : run_there(text, flags, out, err);
}

int vw_nft_run(const char *text, struct vw_err *err)
{
	return run(text, 0, NULL, err);
}

int vw_nft_query(const char *text, struct vw_buf *out, struct vw_err *err)
{
	return run(text, NFT_CTX_OUTPUT_JSON, out, err);
}
