// SPDX-License-Identifier: Apache-2.0
/*
 * After each nftables transaction, of whatever tool (iptables-nft too), the kernel says NFT_MSG_NEWGEN, in a datagram of its own.
 * The many others, one for each rule and element, are dropped by a socket filter: kube-proxy writes thousands at a time.
 */
#include "lib/base/err.h"
#include "lib/net/view/convert.h"
#include "lib/net/view/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NEWGEN ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)

struct vw_nft_watch {
	struct nl_sock *sk;
};

struct vw_nft_watch *vw_nft_watch_free(struct vw_nft_watch *w)
{
	if (w)
		nl_socket_free(w->sk);
	free(w);
	return NULL;
}

static int only_transactions(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(NEWGEN), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -NLE_FAILURE : 0;
}

int vw_nft_watch_new(struct vw_nft_watch **ret_watch, struct vw_err *err)
{
	struct vw_nft_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return vw_err_set(err, ENOMEM, 0, "out of memory for a watch of nftables");
	w->sk = nl_socket_alloc();
	r = w->sk ? nl_connect(w->sk, NETLINK_NETFILTER) : -NLE_NOMEM;
	if (r == 0)
		r = only_transactions(nl_socket_get_fd(w->sk));
	if (r == 0)
		r = nl_socket_add_membership(w->sk, NFNLGRP_NFTABLES);
	if (r == 0)
		r = nl_socket_set_nonblocking(w->sk);
	if (r < 0) {
		vw_nft_watch_free(w);
		return vw_libnl_err(err, r, "subscribing to changes of nftables");
	}
	*ret_watch = w;
	return 0;
}

int vw_nft_watch_fd(const struct vw_nft_watch *w)
{
	return nl_socket_get_fd(w->sk);
}

static void who(struct nlmsghdr *nlh, char *by, size_t size)
{
	const struct nlattr *name = nlmsg_find_attr(nlh, sizeof(struct nfgenmsg), NFTA_GEN_PROC_NAME);

	(void)snprintf(by, size, "%.*s", name ? nla_len(name) : 0, name ? (const char *)nla_data(name) : "");
}

int vw_nft_watch_read(struct vw_nft_watch *w, char by[VW_NFT_BY_LEN], struct vw_err *err)
{
	_Alignas(struct nlmsghdr) char buf[512];
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
	struct sockaddr_nl from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(nl_socket_get_fd(w->sk), buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);

	by[0] = 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno == ENOBUFS)
		return 1;
	if (n < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "reading changes of nftables");
	if (from.nl_pid == 0 && nlmsg_ok(nlh, (int)n))
		who(nlh, by, VW_NFT_BY_LEN);
	return from.nl_pid == 0;
}
