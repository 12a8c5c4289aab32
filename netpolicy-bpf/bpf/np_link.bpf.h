/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/bpf/np_ct.bpf.h"

/*
 * A flow to a service has two entries: the pod's, with the service's address (NP_CT_VIP), and the one behind that address, which knows
 * where it goes (NP_CT_ID_POST). Each packet is judged by the second one; answers come from the service's address, so they find the
 * first. The two are linked by the packets that pass from from_pod to where their destination is the real one: skb->hash has the place
 * of the first entry, and nobody on the way changes it. A link that is lost (there was no room for an entry) says nothing: answers then
 * pass as the pod's own entry says, as they do when nothing was translated.
 */

#define NP_CT_ID_POD (0x0fffull | 0xffull << 16 | 0xffull << 24 | NP_CT_ID_LIVE | NP_CT_ID_IP6) /* slot, protocol, gen, family */

/**
 * ct_is_at() - a live entry of the same pod, protocol and family as @id, at the place that @link names, or NULL. @post: NP_CT_ID_POST, or
 * 0 for the pod's own.
 */
static __always_inline struct np_ct_entry *ct_is_at(__u32 link, __u64 id, __u64 post)
{
	struct np_ct_entry *e = link ? ct_at(NP_CT_LINK_PLACE(link)) : NULL;

	return e && !((READ_ONCE(e->key.id) ^ id) & NP_CT_ID_POD) && (e->key.id & NP_CT_ID_POST) == post ? e : NULL;
}

/** ct_behind() - the entry behind the service's address of @ct, which is @id's and at @self; NULL = not known. */
static __always_inline struct np_ct_entry *ct_behind(const struct np_ct *ct, __u64 id, __u32 self)
{
	struct np_ct_entry *e = ct_is_at(READ_ONCE(ct->link), id, NP_CT_ID_POST);

	return e && READ_ONCE(e->ct.link) == self ? e : NULL;
}

/** ct_allows() - policy in force allows @ct; not what was but kept or audited. */
static __always_inline int ct_allows(const struct np_ct *ct, const struct np_side *s)
{
	return ct->state != NP_CT_DENIED && ct->rev[NP_EGRESS] == rev_of(s) && !(ct->flags & NP_CT_AUDIT);
}

/**
 * ct_link() - a packet behind a service's address was judged: the pod's entry learns that. @handle: skb->hash. @key: of the packet.
 * @self: NP_CT_LINK() of its own entry, or 0. @passed: the packet did.
 */
static __always_inline void ct_link(__u32 handle, const struct np_ct_key *key, __u32 self, const struct np_side *s, int passed)
{
	struct np_ct_entry *own = self ? ct_at(NP_CT_LINK_PLACE(self)) : NULL;
	struct np_ct_entry *e = ct_is_at(handle, key->id, 0);
	const int named = e && e->ct.flags & NP_CT_VIP;

	if (e && named) {
		handle = NP_CT_LINK(NP_CT_LINK_PLACE(handle), 0);
		if (own)
			WRITE_ONCE(e->ct.link, self);
		WRITE_ONCE(e->ct.rev[NP_INGRESS], passed && (!own || ct_allows(&own->ct, s)) ? rev_of(s) : ~rev_of(s));
	}
	/* if it never names an entry of the pod, somebody changes it on the way: then its flow's packets are common ones all the same */
	if (own && (named || !own->ct.link))
		WRITE_ONCE(own->ct.link, handle);
}
