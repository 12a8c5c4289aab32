/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes on a netlink socket, into every reader of lib/net and of the daemon's view. The first byte chooses who asks, the second how
 * true the datagrams are (below); each is two bytes of length and as many bytes. recvmsg() is this program's own.
 *
 * Each question is put twice, with other bytes behind what has been received: an answer that is not the same has been read from there.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/addrlabel.h"
#include "lib/net/ct.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/nftnl.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"
#include "lib/net/tc.h"
#include "lib/net/view/nft.h"
#include "lib/net/view/view.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRUE_SEQ (1u << 0)      /* messages answer the request that was sent last */
#define TRUE_LEN (1u << 1)      /* a message that says to be longer than its datagram ends with it */
#define WHO_NFT 18              /* the others: one(), many(), viewed(), then heard() and batch() */
#define WHO_MONITOR 19
#define WHO_BATCH 20
#define WHO_MAX 22            /* and chains_listed() */
#define STRANGER (1u << 2)      /* the first datagram is from another process */

/** struct wire - what is still to come, and the request that waits. @filler: behind each datagram. @patient: who reads would wait for more. */
static struct wire {
	const uint8_t *at, *end;
	uint32_t seq, portid;
	unsigned int how, n;
	uint8_t filler;
	bool patient;
} wire;

static void must(bool yes)
{
	if (!yes)
		abort();
}

static void mend(uint8_t *buf, size_t n)
{
	for (size_t at = 0; at + sizeof(struct nlmsghdr) <= n;) {
		struct nlmsghdr nlh;

		memcpy(&nlh, buf + at, sizeof(nlh));
		if (wire.how & TRUE_SEQ) {
			nlh.nlmsg_seq = wire.seq;
			nlh.nlmsg_pid = wire.portid;
		}
		if (wire.how & TRUE_LEN && (nlh.nlmsg_len < sizeof(nlh) || nlh.nlmsg_len > n - at))
			nlh.nlmsg_len = (uint32_t)(n - at);
		memcpy(buf + at, &nlh, sizeof(nlh));
		if (nlh.nlmsg_len < sizeof(nlh) || nlh.nlmsg_len > n - at)
			break;
		at += NLMSG_ALIGN(nlh.nlmsg_len);
	}
}

/* libnl looks how long a datagram is before it takes it */
static ssize_t take(void *buf, size_t room, int flags, int *ret_flags)
{
	size_t n, len;

	if (wire.end - wire.at < 2) {
		errno = wire.patient ? ECONNRESET : EAGAIN;
		return -1;
	}
	n = (size_t)(wire.at[0] | wire.at[1] << 8);
	if (n > (size_t)(wire.end - wire.at) - 2)
		n = (size_t)(wire.end - wire.at) - 2;
	len = n < room ? n : room;
	*ret_flags = len < n ? MSG_TRUNC : 0;
	if (room)
		memset(buf, wire.filler, room);
	if (len) {
		memcpy(buf, wire.at + 2, len);
		mend(buf, len);
	}
	if (!(flags & MSG_PEEK)) {
		wire.at += 2 + n;
		wire.n++;
	}
	return (ssize_t)(flags & MSG_TRUNC ? n : len);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	const struct sockaddr_nl from = { .nl_family = AF_NETLINK, .nl_pid = wire.how & STRANGER && !wire.n ? 4711 : 0 };

	if (msg->msg_namelen >= sizeof(from)) {
		memcpy(msg->msg_name, &from, sizeof(from));
		msg->msg_namelen = sizeof(from);
	}
	msg->msg_controllen = 0;
	return take(msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags, &msg->msg_flags);
}

ssize_t recvfrom(int fd, void *buf, size_t room, int flags, struct sockaddr *addr, socklen_t *len)
{
	const struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	int ignored;

	if (addr && *len >= sizeof(from))
		memcpy(addr, &from, sizeof(from));
	return take(buf, room, flags, &ignored);
}

static void asked(const void *buf, size_t len)
{
	struct nlmsghdr nlh;

	must(len >= sizeof(nlh));
	memcpy(&nlh, buf, sizeof(nlh));
	wire.seq = nlh.nlmsg_seq;
	wire.portid = nlh.nlmsg_pid;
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, socklen_t addr_len)
{
	asked(buf, len);
	return (ssize_t)len;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	asked(msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len);
	return (ssize_t)msg->msg_iov[0].iov_len;
}

/** struct said - what a reader made of it: its return value and a hash over what it filled. */
struct said {
	int r;
	uint64_t hash;
};

static struct said said_of(int r, const void *list, size_t each, size_t n, const struct vw_err *err)
{
	struct said s = { .r = r, .hash = 14695981039346656037u };
	const uint8_t *bytes = list;

	must(r >= 0 || err->msg[0]);
	for (size_t i = 0; r >= 0 && i < each * n; i++)
		s.hash = (s.hash ^ bytes[i]) * 1099511628211u;
	return s;
}

/* texts end where they end: behind that is whatever libnl's or our own copying left */
static void tidy_link(struct vw_link *l)
{
	must(strnlen(l->name, sizeof(l->name)) < sizeof(l->name) && strnlen(l->kind, sizeof(l->kind)) < sizeof(l->kind) &&
	     strnlen(l->alias, sizeof(l->alias)) < sizeof(l->alias));
}

static bool some_are_gone(const struct vw_ip *ip, const void *arg)
{
	return ip->b[0] & 1;
}

static void event(const struct vw_event *ev, void *arg)
{
	uint64_t *hash = arg;

	if (ev->kind == VW_EVENT_LINK)
		tidy_link((struct vw_link *)&ev->link);
	*hash = *hash * 31 + (uint64_t)ev->kind * 2 + ev->gone;
}

static struct vw_nl nl = VW_NL_INIT;
static uint64_t events;
static struct vw_monitor *monitor;
static struct vw_nft_watch *watch;

static struct said one(unsigned int who)
{
	const struct vw_filter filter = { .ifindex = 3 };
	const struct vw_route_query q = { .dst = { AF_INET, { 10, 0, 0, 1 } } };
	const struct vw_nftnl_set set = { .table = "t", .name = "s", .key_len = 8, .data_len = 8 };
	const struct vw_nftnl_elem elem = { .key = { 1 } };
	struct vw_filter_info info = { 0 };
	struct vw_nftnl_elem got = { 0 };
	struct vw_route route = { 0 };
	struct vw_neigh neigh = { 0 };
	struct vw_link link = { 0 };
	struct vw_err err = { 0 };
	uint64_t rate = 0;
	int r;

	switch (who) {
	case 0:
		r = vw_link_get(&nl, 3, &link, &err);
		if (r == 0)
			tidy_link(&link);
		return said_of(r, &link, sizeof(link), 1, &err);
	case 1:
		r = vw_route_lookup(&nl, &q, &route, &err);
		return said_of(r, &route, sizeof(route), 1, &err);
	case 2:
		r = vw_neigh_get(&nl, 3, &q.dst, &neigh, &err);
		return said_of(r, &neigh, sizeof(neigh), 1, &err);
	case 3:
		r = vw_filter_get(&nl, &filter, &info, &err);
		return said_of(r, &info, sizeof(info), 1, &err);
	case 4:
		r = vw_tbf_get(&nl, 3, NULL, &rate, &err);
		return said_of(r, &rate, sizeof(rate), 1, &err);
	case 5:
		r = vw_nftnl_elem_get(&nl, &set, &elem, &got, &err);
		return said_of(r, &got, sizeof(got), 1, &err);
	default:
		r = vw_filter_count(&nl, 3, VW_TC_INGRESS, &err);
		return said_of(r, NULL, 0, 0, &err);
	}
}

/* @list is malloc'ed by who reads; NULL when there is nothing */
static struct said listed(int r, void *list, size_t each, const struct vw_err *err)
{
	struct said s = said_of(r, list, each, r > 0 ? (size_t)r : 0, err);

	free(list);
	return s;
}

static struct said many(unsigned int who)
{
	const struct vw_ip ip = { AF_INET, { 10, 0, 0, 1 } };
	struct vw_addrlabel *labels = NULL;
	struct vw_route *routes = NULL;
	struct vw_rule *rules = NULL;
	struct vw_addr *addrs = NULL;
	struct vw_link *links = NULL;
	struct vw_err err = { 0 };
	int r;

	switch (who) {
	case 0:
		r = vw_link_list(&nl, &links, &err);
		return listed(r, links, sizeof(*links), &err);
	case 1:
		r = vw_addr_list(&nl, 0, AF_INET, &addrs, &err);
		return listed(r, addrs, sizeof(*addrs), &err);
	case 2:
		r = vw_route_list(&nl, AF_INET6, 22103, 0, 86, &routes, &err);
		return listed(r, routes, sizeof(*routes), &err);
	case 3:
		r = vw_rule_list(&nl, AF_INET, &rules, &err);
		return listed(r, rules, sizeof(*rules), &err);
	case 4:
		r = vw_addrlabel_list(&nl, &labels, &err);
		return listed(r, labels, sizeof(*labels), &err);
	case 5:
		return said_of(vw_ct_purge_if(some_are_gone, NULL, &err), NULL, 0, 0, &err);
	default:
		return said_of(vw_ct_purge_to(&ip, 17, 53, &err), NULL, 0, 0, &err);
	}
}

static struct said chains_listed(void)
{
	struct vw_nftnl_chain_name *chains = NULL;
	struct vw_err err = { 0 };
	int r = vw_nftnl_chain_list(&nl, &chains, &err);

	return listed(r, chains, sizeof(*chains), &err);
}

static struct said looked(struct vw_view *view, unsigned int who)
{
	struct vw_route *routes = NULL;
	struct vw_rule *rules = NULL;
	struct vw_addr *addrs = NULL;
	struct vw_link *links = NULL;
	struct vw_err err = { 0 };
	int r;

	switch (who) {
	case 0:
		r = vw_view_links(view, &links, &err);
		return listed(r, links, sizeof(*links), &err);
	case 1:
		r = vw_view_addrs(view, AF_INET, &addrs, &err);
		return listed(r, addrs, sizeof(*addrs), &err);
	case 2:
		r = vw_view_routes(view, AF_INET, 0, &routes, &err);
		return listed(r, routes, sizeof(*routes), &err);
	default:
		r = vw_view_rules(view, AF_INET, &rules, &err);
		return listed(r, rules, sizeof(*rules), &err);
	}
}

static struct said viewed(unsigned int who)
{
	struct vw_view *view;
	struct vw_err err;
	struct said s;

	must(vw_view_new(&view, &err) == 0);    /* as the daemon: one for each look */
	s = looked(view, who);
	vw_view_free(view);
	return s;
}

static struct said heard(unsigned int who)
{
	struct vw_err err = { 0 };
	char by[VW_NFT_BY_LEN];
	int r;

	if (who == WHO_NFT && !watch)   /* who is not root hears nothing of nftables */
		return (struct said){ 0 };
	if (who == WHO_NFT) {
		r = vw_nft_watch_read(watch, by, &err);
		must(r < 0 || strnlen(by, sizeof(by)) < sizeof(by));
		return said_of(r, by, r < 0 ? 0 : strlen(by), 1, &err);
	}
	events = 0;
	r = vw_monitor_read(monitor, &err);
	return said_of(r, &events, sizeof(events), 1, &err);
}

static struct said batch(void)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err err = { 0 };
	unsigned int done = 0;
	int r;

	for (unsigned int i = 0; i < 3; i++)
		(void)vw_link_del_name(&b, "eth9");
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	r = vw_nl_commit(&nl, &b, &err);
	for (int i = 0; i < 3; i++)
		done |= (unsigned int)b.ops[i].outcome << 4 * i;
	must(r < 0 || !(done & 0x888));
	return said_of(r, &done, sizeof(done), 1, &err);
}

static void open_all(void)
{
	const struct vw_monitor_want want = { .kinds = ~0u, .losses = true, .links_below = 1u << 29 };
	struct vw_err err;

	if (nl.fd >= 0)
		return;
	must(vw_nl_open(&nl, &err) == 0 && vw_monitor_new(&want, event, &events, &monitor, &err) == 0);
	(void)vw_nft_watch_new(&watch, &err);
}

static struct said ask(const uint8_t *data, size_t size, uint8_t filler)
{
	const unsigned int who = data[0] % WHO_MAX;

	wire = (struct wire){ .at = data + 2, .end = data + size, .how = data[1], .filler = filler, .patient = who != WHO_NFT && who != WHO_MONITOR };
	if (who < 7)
		return one(who);
	if (who < 14)
		return many(who - 7);
	if (who < WHO_NFT)
		return viewed(who - 14);
	if (who <= WHO_MONITOR)
		return heard(who);
	return who == WHO_BATCH ? batch() : chains_listed();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct said a, b;

	if (size < 2)
		return 0;
	open_all();
	a = ask(data, size, 0x00);
	b = ask(data, size, 0xff);
	must(a.r == b.r && a.hash == b.hash);
	return 0;
}
