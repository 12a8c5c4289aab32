/*
 * Pods that come, change and go without compiling again. An image knows what its classes satisfy, so a
 * new pod is of a class if what it satisfies is what some class does; otherwise nothing is changed and
 * the caller compiles. Everything is worked out, and room is made, before anything is written.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int again(struct np_build *b, const char *why)
{
	return vw_err_set(b->err, EAGAIN, 0, "%s: the policies have to be compiled again", why);
}

static int begin(struct np_image *img, const struct np_world *w, struct vw_err *err)
{
	struct np_build *b = img->priv;

	b->err = err;
	b->w = w;
	return np_world_gen(w) == b->gen ? 0
					 : again(b, "policies, namespaces, nodes or services have changed");
}

/* --- subjects */

static void set_subject(struct np_image *img, unsigned int slot, unsigned int blob)
{
	for (size_t i = 0; i < img->n_subject; i++)
		if (img->subject[i].slot == slot) {
			img->subject[i].blob = blob;
			return;
		}
	img->subject[img->n_subject++] = (struct np_subject){slot, blob};
}

static void set_who(struct np_build *b, const struct np_who *who)
{
	for (size_t i = 0; i < b->n_who; i++)
		if (b->who[i].slot == who->slot) {
			np_who_done(&b->who[i]);
			b->who[i] = *who;
			return;
		}
	b->who[b->n_who++] = *who;
}

int np_image_add_subject(struct np_image *img, const struct np_world *w, const struct np_local *pod,
			 unsigned int *ret_blob, struct vw_err *err)
{
	struct np_build *b = img->priv;
	struct np_who who;
	unsigned int blob;
	int r = begin(img, w, err);

	if (r == 0 && (np_grow(&b->who, b->n_who, &b->cap_who, sizeof(*b->who)) < 0 ||
		       np_grow(&img->subject, img->n_subject, &b->cap_subject, sizeof(*img->subject)) < 0))
		r = np_oom(b);
	r = r < 0 ? r : np_who_is(b, pod, &who);
	if (r < 0)
		return r;
	r = np_subject_blob(b, &who, &blob);
	if (r < 0) {
		np_who_done(&who);
		/* full: blobs that no pod has any more go when all is compiled again */
		return r == -EAGAIN || r == -E2BIG ? again(b, "the pod's policies tell more apart, or make "
							      "more tables, than there are")
						   : r;
	}
	set_subject(img, who.slot, blob);
	set_who(b, &who);
	*ret_blob = blob;
	return 0;
}

void np_image_drop_subject(struct np_image *img, unsigned int slot)
{
	struct np_build *b = img->priv;

	for (size_t i = 0; i < img->n_subject; i++)
		if (img->subject[i].slot == slot)
			img->subject[i--] = img->subject[--img->n_subject];
	for (size_t i = 0; i < b->n_who; i++)
		if (b->who[i].slot == slot) {
			np_who_done(&b->who[i]);
			b->who[i--] = b->who[--b->n_who];
		}
}

/* --- peers */

/* What an address is to become: the pod's, or whoever's it is without the pod. */
struct plan {
	struct vw_ip ip;
	uint16_t cls, base, flags;
	bool pods, gone;
};

struct work {
	struct np_build *b;
	char who[600];
	struct plan plan[NP_PEER_CHANGES];
	size_t n;
	uint64_t *thing; /* row of the pod, NULL: it is none */
	uint64_t *both;
};

/* What pods of this shape satisfy. A replica of one that was there is known. */
static void row_of_shape(const struct np_build *b, const struct np_shape *shape, uint64_t *row)
{
	uint32_t thing = shape->id < b->n_thing_of_shape ? b->thing_of_shape[shape->id] : NP_NONE;

	if (thing != NP_NONE && b->thing[thing].serial == shape->serial) {
		if (b->rows.words)
			memcpy(row, np_row(&b->rows, b->thing[thing].row), b->rows.words * sizeof(*row));
		return;
	}
	for (size_t i = 0; i < b->n_atom; i++)
		if (np_atom_has_shape(&b->atom[i], shape))
			np_bit_set(row, i);
}

static int class_of(const struct work *w, const uint64_t *thing, uint32_t region, uint16_t *ret)
{
	const struct np_build *b = w->b;
	uint32_t row = b->region[region].row;

	if (thing) {
		for (size_t i = 0; i < b->rows.words; i++)
			w->both[i] = thing[i] | np_row(&b->rows, b->region[region].row)[i];
		row = np_rows_find(&b->rows, w->both);
	}
	if (row >= b->n_class_of_row || b->class_of_row[row] == NP_NONE)
		return -EAGAIN;
	*ret = (uint16_t)b->class_of_row[row];
	return 0;
}

/* Somebody else has the address, as np_compile() would say: a node, or another pod that is there and not
 * older. */
static bool is_taken(const struct work *w, const struct np_peer *peer, const struct np_pod *pod)
{
	const struct np_build *b = w->b;
	const struct np_owner *o = &b->owner[peer - b->img->peer];
	const struct np_pod *other;
	char ns[300];
	const char *slash = strchr(peer->who, '/');

	if (!o->hash)
		return !strncmp(peer->who, "node/", 5);
	if (!strcmp(peer->who, w->who) || !slash || (size_t)(slash - peer->who) >= sizeof(ns))
		return false;
	memcpy(ns, peer->who, (size_t)(slash - peer->who));
	ns[slash - peer->who] = 0;
	for (size_t i = 0; i < b->n_who; i++)
		if (!strcmp(b->who[i].ns, ns) && !strcmp(b->who[i].pod_name, slash + 1))
			return true;
	other = (const struct np_pod *)np_world_find(b->w, NP_KIND_POD, ns, slash + 1);
	return other && !other->done && !other->host_network &&
	       (vw_ip_eq(&other->ip4, &peer->ip) || vw_ip_eq(&other->ip6, &peer->ip)) && pod &&
	       other->created >= pod->created;
}

static int plan_address(struct work *w, const struct vw_ip *ip, const struct np_pod *pod,
			const struct np_shape *shape)
{
	struct np_build *b = w->b;
	const struct np_peer *now = np_image_find_peer(b->img, ip);
	struct plan *p = &w->plan[w->n];
	uint32_t region;

	if (!ip->family)
		return 0;
	b->rivals = b->rivals || (now && strcmp(now->who, w->who) != 0);
	if (now && is_taken(w, now, pod))
		return 0;
	region = np_region_of(b, ip);
	*p = (struct plan){.ip = *ip, .base = b->region[np_outer_region(b, region)].cls, .pods = true};
	p->flags = now ? now->flags & NP_IDENT_VIP : 0;
	if ((shape && np_is_dns_shape(b->w, shape)) || np_is_resolver(b, ip))
		p->flags |= NP_IDENT_RESOLVER;
	if (class_of(w, w->thing, region, &p->cls) < 0)
		return again(b, "a pod satisfies what none did before");
	w->n++;
	return 0;
}

/* Another pod says that it has the address, and has not got it yet because this one had. */
static bool has_rival(const struct work *w, const struct vw_ip *ip)
{
	const struct np_list *pods = np_world_list(w->b->w, NP_KIND_POD);
	char who[600];

	for (size_t i = 0; w->b->rivals && i < pods->n; i++) {
		const struct np_pod *pod = (const struct np_pod *)pods->v[i];

		if (pod->done || pod->host_network || (!vw_ip_eq(&pod->ip4, ip) && !vw_ip_eq(&pod->ip6, ip)))
			continue;
		(void)snprintf(who, sizeof(who), "%s/%s", pod->o.ns->s, pod->o.name->s);
		if (strcmp(who, w->who) != 0)
			return true;
	}
	return false;
}

/* An address that was the pod's. */
static int plan_old(struct work *w, const struct np_peer *peer)
{
	struct np_build *b = w->b;
	uint32_t region = np_region_of(b, &peer->ip);
	struct plan *p = &w->plan[w->n];

	for (size_t i = 0; i < w->n; i++)
		if (vw_ip_eq(&w->plan[i].ip, &peer->ip))
			return 0;
	if (has_rival(w, &peer->ip))
		return again(b, "a pod's address was claimed by another too");
	*p = (struct plan){.ip = peer->ip, .base = b->region[np_outer_region(b, region)].cls};
	p->flags = (peer->flags & NP_IDENT_VIP) | b->region[region].flags |
		   (np_is_resolver(b, &peer->ip) ? NP_IDENT_RESOLVER : 0);
	/* a rule, a service or the configuration names the address itself */
	p->gone = b->region[region].at != NP_NONE && !p->flags;
	if (class_of(w, NULL, region, &p->cls) < 0)
		return again(b, "an address is nobody's, which none was before");
	w->n++;
	return 0;
}

static bool is_as_planned(const struct np_build *b, const struct plan *p, const char *who)
{
	const struct np_peer *now = np_image_find_peer(b->img, &p->ip);

	if (!now)
		return p->gone;
	return !p->gone && now->cls == p->cls && now->flags == p->flags &&
	       !strcmp(now->who, p->pods ? who : "");
}

/* Room has been made; @take_who: a text for a new entry. */
static void carry_out(struct np_build *b, const struct plan *p, char *take_who, struct np_peer_change *ret)
{
	struct np_peer *peer = (struct np_peer *)(uintptr_t)np_image_find_peer(b->img, &p->ip);
	uint64_t weight = np_peer_weight(&p->ip);

	if (peer) {
		(void)np_weight_add(b, peer->cls, p->base, 0 - weight);
		np_meaning_add(b, peer->cls, p->base, 0 - weight);
	}
	ret->gone = p->gone;
	ret->peer = (struct np_peer){.ip = p->ip, .cls = p->cls, .flags = p->flags, .who = ""};
	if (p->gone) {
		np_peer_del(b, peer);
		free(take_who);
		return;
	}
	(void)np_weight_add(b, p->cls, p->base, weight);
	np_meaning_add(b, p->cls, p->base, weight);
	if (!peer)
		(void)np_peer_add(b, &p->ip, "", &peer);
	np_peer_set_pod(b, peer, p->pods ? take_who : NULL, take_who);
	peer->cls = p->cls;
	peer->flags = p->flags;
	ret->peer = *peer;
}

static int make_room(struct np_build *b)
{
	/* each plan takes from one weight and gives to another */
	while (b->n_weight + (size_t)2 * NP_PEER_CHANGES > b->cap_weight)
		if (np_grow(&b->weight, b->cap_weight, &b->cap_weight, sizeof(*b->weight)) < 0)
			return np_oom(b);
	if (np_table_reserve(&b->weight_by_class, (size_t)2 * NP_PEER_CHANGES) < 0)
		return np_oom(b);
	return np_peer_reserve(b, NP_PEER_CHANGES);
}

/* Who the pod is now: one of this node's, by its ADD and the object as it is now; or by its object; or
 * nobody (ret->ip4, ip6). */
static int find_pod(struct np_build *b, const char *ns, const char *name, struct np_who *ret)
{
	const struct np_pod *pod = (const struct np_pod *)np_world_find(b->w, NP_KIND_POD, ns, name);

	for (size_t i = 0; i < b->n_who; i++)
		if (!strcmp(b->who[i].ns, ns) && !strcmp(b->who[i].pod_name, name))
			return np_who_now(b, &b->who[i], ret);
	*ret = (struct np_who){0};
	if (pod && !pod->done && !pod->host_network)
		*ret = (struct np_who){.ip4 = pod->ip4, .ip6 = pod->ip6, .pod = pod, .shape = pod->shape};
	return 0;
}

static int plan_pod(struct work *w, const struct np_who *who)
{
	const struct np_shape *shape = who->done ? NULL : who->shape;
	const struct np_peer *old = NULL;
	int r;

	if (shape && np_has_new_port(w->b, shape))
		return again(w->b, "a pod has a named port with a number that none had before");
	if (shape)
		row_of_shape(w->b, shape, w->thing);
	r = plan_address(w, &who->ip4, who->pod, shape);
	r = r < 0 ? r : plan_address(w, &who->ip6, who->pod, shape);
	for (int i = 0; r == 0 && i < 2; i++) {
		old = np_peer_of_pod(w->b, w->who, old);
		if (!old)
			break;
		r = plan_old(w, old);
	}
	return r;
}

static int make_plan(struct work *w, const char *ns, const char *name)
{
	struct np_who who;
	int r = find_pod(w->b, ns, name, &who);

	if (r < 0)
		return r;
	r = plan_pod(w, &who);
	np_who_done(&who);
	return r;
}

static int apply(struct work *w, struct np_peer_change ret[NP_PEER_CHANGES], size_t *ret_n)
{
	char *text[NP_PEER_CHANGES] = {NULL};
	int r = make_room(w->b);

	for (size_t i = 0; i < w->n; i++) {
		text[i] = strdup(w->who);
		if (!text[i])
			r = np_oom(w->b);
	}
	*ret_n = 0;
	for (size_t i = 0; i < w->n; i++) {
		if (r < 0 || is_as_planned(w->b, &w->plan[i], w->who))
			free(text[i]);
		else
			carry_out(w->b, &w->plan[i], text[i], &ret[(*ret_n)++]);
	}
	return r;
}

int np_image_add_peer(struct np_image *img, const struct np_world *w, const char *ns, const char *name,
		      struct np_peer_change ret[NP_PEER_CHANGES], size_t *ret_n, struct vw_err *err)
{
	struct np_build *b = img->priv;
	struct work k = {.b = b};
	int r = begin(img, w, err);

	if (r < 0)
		return r;
	(void)snprintf(k.who, sizeof(k.who), "%s%s%s", ns, *ns ? "/" : "", name);
	k.thing = calloc(2 * b->rows.words + 1, sizeof(*k.thing));
	k.both = k.thing + b->rows.words;
	r = k.thing ? make_plan(&k, ns, name) : np_oom(b);
	r = r < 0 ? r : apply(&k, ret, ret_n);
	free(k.thing);
	return r;
}
