// SPDX-License-Identifier: Apache-2.0
/* Sysctls of IPv6 as route netlink tells them: a link's IFLA_AF_SPEC has all of net.ipv6.conf in one array. */
#include "lib/net/conf6.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_LEN 64
#define ANSWER_LEN 4096 /* without statistics a link takes 1.5 KiB */

static const struct nlattr *nested(const struct nlattr *attr, uint16_t type)
{
	const struct nlattr *at;

	if (attr)
		mnl_attr_for_each_nested(at, attr)
			if (mnl_attr_get_type(at) == type)
				return at;
	return NULL;
}

static void conf_of(const struct nlmsghdr *nlh, struct vw_conf6 *ret)
{
	const struct nlattr *at, *conf = NULL;
	const int32_t *v;

	mnl_attr_for_each(at, nlh, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(at) == IFLA_AF_SPEC)
			conf = nested(nested(at, AF_INET6), IFLA_INET6_CONF);
	if (!conf || mnl_attr_get_payload_len(conf) <= DEVCONF_ACCEPT_DAD * sizeof(*v))
		return;
	v = mnl_attr_get_payload(conf);
	*ret = (struct vw_conf6){ .known = true, .accept_ra = v[DEVCONF_ACCEPT_RA], .accept_dad = v[DEVCONF_ACCEPT_DAD],
				  .disable_ipv6 = v[DEVCONF_DISABLE_IPV6] };
}

/* No acknowledgement is asked for: each is answered once, by the link or by an error. */
static int ask(struct vw_nl *nl, const unsigned int *ifindex, size_t n, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_CONF6_CHUNK * REQUEST_LEN] = { 0 };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf + len);
		struct ifinfomsg *ifi;

		nlh->nlmsg_type = RTM_GETLINK;
		nlh->nlmsg_flags = NLM_F_REQUEST;
		nlh->nlmsg_seq = ++nl->seq;
		ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
		ifi->ifi_index = (int)ifindex[i];
		mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		len += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	if (sendto(nl->fd, buf, len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return vw_err_sys(err, errno, 0, "asking for IPv6 settings of %zu interfaces", n);
	return 0;
}

/* Return: answers among the datagrams that there are, -errno */
static int take(struct vw_nl *nl, uint32_t first, size_t n, struct vw_conf6 *ret, uint64_t deadline, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[VW_CONF6_CHUNK][ANSWER_LEN];
	struct sockaddr_nl from[VW_CONF6_CHUNK] = { 0 };
	struct iovec iov[VW_CONF6_CHUNK];
	struct mmsghdr msgs[VW_CONF6_CHUNK] = { 0 };
	struct pollfd pfd = { .fd = nl->fd, .events = POLLIN };
	int got, answers = 0;

	for (size_t i = 0; i < n; i++) {
		iov[i] = (struct iovec){ buf[i], ANSWER_LEN };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	got = recvmmsg(nl->fd, msgs, (unsigned int)n, MSG_DONTWAIT, NULL);
	if (got < 0 && errno == EAGAIN) {
		int left = vw_deadline_left(deadline);

		if (left == 0)
			return vw_err_set(err, ETIMEDOUT, 0, "the kernel did not tell the IPv6 settings of interfaces in time");
		return poll(&pfd, 1, left) < 0 && errno != EINTR ? vw_err_sys(err, errno, 0, "waiting on a netlink socket") : 0;
	}
	if (got < 0)
		return errno == EINTR ? 0 : vw_err_sys(err, errno, 0, "reading IPv6 settings of interfaces");
	for (int m = 0; m < got; m++) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf[m];
		int len = (int)msgs[m].msg_len;

		if (from[m].nl_pid || len < (int)sizeof(*nlh) || nlh->nlmsg_pid != nl->portid || nlh->nlmsg_seq - first >= n)
			continue;
		answers++;
		/* one that was too long is an answer as well: of what is not known */
		if (mnl_nlmsg_ok(nlh, len) && nlh->nlmsg_type == RTM_NEWLINK && mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct ifinfomsg))
			conf_of(nlh, &ret[nlh->nlmsg_seq - first]);
	}
	return answers;
}

int vw_conf6_get(struct vw_nl *nl, const unsigned int *ifindex, size_t n, struct vw_conf6 *ret, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + (uint64_t)nl->timeout_ms;

	memset(ret, 0, n * sizeof(*ret));
	for (size_t at = 0; at < n; at += VW_CONF6_CHUNK) {
		size_t chunk = n - at < VW_CONF6_CHUNK ? n - at : VW_CONF6_CHUNK;
		uint32_t first = nl->seq + 1;

		if (ask(nl, ifindex + at, chunk, err) < 0)
			return -err->eno;
		for (size_t got = 0; got < chunk;) {
			int r = take(nl, first, chunk, ret + at, deadline, err);

			if (r < 0)
				return r;
			got += (size_t)r;
		}
	}
	return 0;
}
