// SPDX-License-Identifier: Apache-2.0
/*
 * Sweeping: batches of BATCH entries are copied out, judged, and the dead ones deleted one by one after a second look.
 * A batch that is too small for one bucket of the hash is refused by the kernel with ENOSPC and doubled.
 */
#include "netpolicy-bpf/user/np_ct.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <uthash.h>

#define BATCH 4096u
#define BATCH_MAX 65536u
#define NAME_REST_TICKS 300     /* how long an expired name stays without a flow: the next answer most likely brings it again */

const uint32_t np_ct_timeout_s[NP_CT_CLASSES][NP_CT_STATES] = {
	/*
	 * new, replied, established, closing, closed, denied (struct np_ct says why 5 minutes). TCP established: RFC 5382 asks for
	 * 2 h 4 min at least; EC2's own is 5 days.
	 */
	[NP_CT_TCP] = { 30, 60, 8 * 3600, 60, 10, 300 },
	[NP_CT_UDP] = { 30, 60, 180, 30, 30, 300 },
	[NP_CT_SCTP] = { 30, 60, 3600, 30, 10, 300 },
	[NP_CT_OTHER] = { 30, 30, 60, 30, 30, 300 },
};

static enum np_ct_class class_of(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return NP_CT_TCP;
	case IPPROTO_UDP:
		return NP_CT_UDP;
	case IPPROTO_SCTP:
		return NP_CT_SCTP;
	default:
		return NP_CT_OTHER;
	}
}

static bool expired(const struct np_flow *f, uint32_t now)
{
	unsigned int state = f->ct.state < NP_CT_STATES ? f->ct.state : NP_CT_NEW;
	/* unsigned: a tick that the kernel wrote while we were reading the clock is "very old" unless told apart */
	int32_t age = (int32_t)(now - f->ct.last);
	uint64_t seconds = age > 0 ? ((uint64_t)age << NP_TICK_SHIFT) / 1000000000u : 0;

	return seconds > np_ct_timeout_s[class_of(f->proto)][state];
}

/* --- any hash map, in batches */

struct walk {
	int fd;
	size_t key_size, value_size;
	int (*fn)(void *arg, const void *key, const void *value);
	void *arg;
};

static int walk_batches(const struct walk *w, __u32 size, char *keys, char *values)
{
	bool first = true, last = false;
	char pos[64];           /* of a hash map: a bucket's number; the size of a key elsewhere */

	while (!last) {
		__u32 n = size;
		int r = bpf_map_lookup_batch(w->fd, first ? NULL : pos, pos, keys, values, &n, NULL);

		if (r < 0 && errno != ENOENT)
			return -errno;
		last = r < 0;
		first = false;
		for (__u32 i = 0; i < n; i++) {
			r = w->fn(w->arg, keys + i * w->key_size, values + i * w->value_size);
			if (r)
				return r;
		}
	}
	return 0;
}

static int walk(const struct walk *w)
{
	int r = -ENOSPC;

	for (__u32 size = BATCH; r == -ENOSPC && size <= BATCH_MAX; size *= 2) {
		vw_auto_free char *keys = calloc(size, w->key_size), *values = calloc(size, w->value_size);

		r = keys && values ? walk_batches(w, size, keys, values) : -ENOMEM;
	}
	return r;
}

/* --- flows */

static struct np_flow flow4(const struct np_ct4_key *k, const struct np_ct *v)
{
	struct np_flow f = { .slot = k->slot, .gen = k->gen, .proto = k->proto, .rport = ntohs(k->rport), .lport = ntohs(k->lport), .ct = *v };

	f.remote.family = AF_INET;
	memcpy(f.remote.b, &k->remote, sizeof(k->remote));
	return f;
}

static struct np_flow flow6(const struct np_ct6_key *k, const struct np_ct *v)
{
	struct np_flow f = { .slot = k->slot, .gen = k->gen, .proto = k->proto, .rport = ntohs(k->rport), .lport = ntohs(k->lport), .ct = *v };

	f.remote.family = AF_INET6;
	memcpy(f.remote.b, k->remote, sizeof(k->remote));
	return f;
}

struct each {
	int (*fn)(void *arg, const struct np_flow *f);
	void *arg;
};

static int each4(void *arg, const void *key, const void *value)
{
	const struct each *e = arg;
	const struct np_flow f = flow4(key, value);

	return e->fn(e->arg, &f);
}

static int each6(void *arg, const void *key, const void *value)
{
	const struct each *e = arg;
	const struct np_flow f = flow6(key, value);

	return e->fn(e->arg, &f);
}

int np_ct_each(const struct np_ct_maps *m, int (*fn)(void *arg, const struct np_flow *f), void *arg, struct vw_err *err)
{
	struct each e = { fn, arg };
	const struct walk w4 = { m->ct4, sizeof(struct np_ct4_key), sizeof(struct np_ct), each4, &e };
	const struct walk w6 = { m->ct6, sizeof(struct np_ct6_key), sizeof(struct np_ct), each6, &e };
	int r = walk(&w4);

	if (r == 0)
		r = walk(&w6);
	return r < 0 ? vw_err_sys(err, r, 0, "reading the flow tables np_ct4 and np_ct6") : r;
}

/* --- the sweep */

/** struct relied - an address that a live flow was let through to by its name. */
struct relied {
	struct vw_ip ip;
	UT_hash_handle hh;
};

struct sweep {
	const struct np_ct_maps *m;
	uint32_t now;
	void (*ended)(void *arg, const struct np_flow *f);
	void *arg;
	struct np_ct_stats *st;
	int fd;
	struct relied *relied;
};

static int rely(struct sweep *s, const struct vw_ip *ip)
{
	struct relied *r;

	HASH_FIND(hh, s->relied, ip, sizeof(*ip), r);
	if (r)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ip = *ip;
	HASH_ADD(hh, s->relied, ip, sizeof(r->ip), r);
	return 0;
}

static int consider(struct sweep *s, const void *key, const struct np_flow *f)
{
	bool orphan = f->slot >= NP_SLOTS || !(s->m->slots[f->slot].flags & NP_SLOT_USED) || s->m->slots[f->slot].gen != f->gen;
	struct np_ct again;

	if (!orphan && !expired(f, s->now)) {
		s->st->flows[f->slot]++;
		return f->ct.flags & NP_CT_CHAIN ? rely(s, &f->remote) : 0;
	}
	/* a packet may have come since the batch was copied */
	if (bpf_map_lookup_elem(s->fd, key, &again) < 0 || (!orphan && again.last != f->ct.last))
		return 0;
	if (bpf_map_delete_elem(s->fd, key) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (f->slot < NP_SLOTS)
		__atomic_fetch_sub(&s->m->rt[f->slot].ct_used, 1, __ATOMIC_RELAXED);
	if (orphan)
		s->st->orphaned++;
	else
		s->st->expired++;
	if (s->ended)
		s->ended(s->arg, f);
	return 0;
}

static int sweep4(void *arg, const void *key, const void *value)
{
	struct sweep *s = arg;
	const struct np_flow f = flow4(key, value);

	s->st->flows4++;
	return consider(s, key, &f);
}

static int sweep6(void *arg, const void *key, const void *value)
{
	struct sweep *s = arg;
	const struct np_flow f = flow6(key, value);

	s->st->flows6++;
	return consider(s, key, &f);
}

/* --- names. What has expired lets no new flow through, but a flow that it let through is judged by it again */

static int sweep_name(struct sweep *s, const void *key, const struct vw_ip *ip, const struct np_fqdn *v)
{
	const struct relied *r;

	s->st->fqdn++;
	for (int i = 0; i < NP_FQDN_ENDS; i++)
		if (v->names[i] && (int32_t)(s->now - v->expires[i]) <= NAME_REST_TICKS)
			return 0;
	HASH_FIND(hh, s->relied, ip, sizeof(*ip), r);
	if (r)
		return 0;
	s->st->fqdn_expired++;
	return bpf_map_delete_elem(s->fd, key) < 0 && errno != ENOENT ? -errno : 0;
}

static int sweep_name4(void *arg, const void *key, const void *value)
{
	const struct np_fqdn4_key *k = key;
	struct vw_ip ip = { .family = AF_INET };

	memcpy(ip.b, &k->ip, sizeof(k->ip));
	return sweep_name(arg, key, &ip, value);
}

static int sweep_name6(void *arg, const void *key, const void *value)
{
	const struct np_fqdn6_key *k = key;
	struct vw_ip ip = { .family = AF_INET6 };

	memcpy(ip.b, k->ip, sizeof(k->ip));
	return sweep_name(arg, key, &ip, value);
}

int np_ct_sweep(const struct np_ct_maps *m, uint32_t now, void (*ended)(void *arg, const struct np_flow *f), void *arg,
		struct np_ct_stats *ret, struct vw_err *err)
{
	struct sweep s = { .m = m, .now = now, .ended = ended, .arg = arg, .st = ret };
	struct relied *rel, *tmp;
	int r = 0;

	const struct walk all[] = {
		{ m->ct4, sizeof(struct np_ct4_key), sizeof(struct np_ct), sweep4, &s },
		{ m->ct6, sizeof(struct np_ct6_key), sizeof(struct np_ct), sweep6, &s },
		{ m->fqdn4, sizeof(struct np_fqdn4_key), sizeof(struct np_fqdn), sweep_name4, &s },
		{ m->fqdn6, sizeof(struct np_fqdn6_key), sizeof(struct np_fqdn), sweep_name6, &s },
	};

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(all); i++) {
		s.fd = all[i].fd;
		r = walk(&all[i]);
	}
	HASH_ITER(hh, s.relied, rel, tmp) {
		HASH_DEL(s.relied, rel);
		free(rel);
	}
	return r < 0 ? vw_err_sys(err, r, 0, "sweeping the flow tables") : 0;
}
