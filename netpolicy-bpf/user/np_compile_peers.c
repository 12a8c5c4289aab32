/*
 * Addresses, and whose they are. Asked in this order, and the first answer stays: this node (the kernel
 * says so), other nodes (a pod that has a node's address uses the host's network), this node's pods as
 * their ADDs say, other pods (of two with one address the one that was made later), services, single
 * addresses that rules name.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Of img->peer's entries, while classes have no numbers yet. @pod: whose address it is, if a younger pod
 * may take it. */
struct found {
	uint32_t thing, row, base; /* @base: the region it would be of */
	const struct np_pod *pod;
};

struct pair {
	uint32_t thing, region, row;
};

struct work {
	struct np_build *b;
	struct found *found;   /* beside img->peer */
	struct np_table pairs; /* rows of thing and region -> row of both */
	struct np_mem mem;
	uint64_t *both;
	uint8_t *is_local; /* by index of the Pod: its addresses are its ADD's */
};

/* --- the table of addresses */

static uint64_t hash_ip(const struct np_build *b, const struct vw_ip *ip)
{
	return np_ip_hash(b->seed, ip);
}

struct ip_key {
	const struct np_image *img;
	const struct vw_ip *ip;
};

static bool is_ip(const void *p, const void *key)
{
	const struct ip_key *k = key;

	return vw_ip_eq(&k->img->peer[(uintptr_t)p - 1].ip, k->ip);
}

const struct np_peer *np_image_find_peer(const struct np_image *img, const struct vw_ip *ip)
{
	const struct np_build *b = img->priv;
	uintptr_t at =
		(uintptr_t)np_table_find(&b->peer_by_ip, hash_ip(b, ip), is_ip, &(struct ip_key){img, ip});

	return at ? &img->peer[at - 1] : NULL;
}

int np_peer_reserve(struct np_build *b, size_t more)
{
	size_t n = b->img->n_peer + more - 1;

	while (n >= b->cap_peer)
		if (np_grow(&b->img->peer, b->cap_peer, &b->cap_peer, sizeof(*b->img->peer)) < 0)
			return np_oom(b);
	while (n >= b->cap_owner)
		if (np_grow(&b->owner, b->cap_owner, &b->cap_owner, sizeof(*b->owner)) < 0)
			return np_oom(b);
	if (np_table_reserve(&b->peer_by_ip, more) < 0 || np_table_reserve(&b->peer_by_who, more) < 0)
		return np_oom(b);
	return 0;
}

int np_peer_add(struct np_build *b, const struct vw_ip *ip, const char *who, struct np_peer **ret)
{
	struct np_image *img = b->img;

	if (np_peer_reserve(b, 1) < 0)
		return -ENOMEM;
	(void)np_table_add(&b->peer_by_ip, hash_ip(b, ip), (void *)(img->n_peer + 1));
	b->owner[img->n_peer] = (struct np_owner){0};
	*ret = &img->peer[img->n_peer++];
	**ret = (struct np_peer){.ip = *ip, .who = who};
	return 0;
}

static uint64_t hash_who(const struct np_build *b, const char *who, size_t len)
{
	uint64_t hash = np_hash(b->seed, who, len);

	return hash ? hash : 1;
}

void np_peer_set_pod(struct np_build *b, struct np_peer *peer, const char *who, char *take_who)
{
	size_t at = (size_t)(peer - b->img->peer);
	struct np_owner *o = &b->owner[at];

	if (o->hash)
		np_table_del(&b->peer_by_who, o->hash, (void *)(at + 1));
	free(o->who);
	*o = (struct np_owner){who ? hash_who(b, who, strlen(who)) : 0, take_who};
	peer->who = who ? who : "";
	if (who)
		(void)np_table_add(&b->peer_by_who, o->hash, (void *)(at + 1)); /* reserved with the peer */
}

void np_peer_del(struct np_build *b, struct np_peer *peer)
{
	struct np_image *img = b->img;
	size_t at = (size_t)(peer - img->peer), last = img->n_peer - 1;

	np_peer_set_pod(b, peer, NULL, NULL);
	np_table_del(&b->peer_by_ip, hash_ip(b, &peer->ip), (void *)(at + 1));
	if (at != last) {
		/* two go, one comes: no table grows */
		np_table_del(&b->peer_by_ip, hash_ip(b, &img->peer[last].ip), (void *)(last + 1));
		(void)np_table_add(&b->peer_by_ip, hash_ip(b, &img->peer[last].ip), (void *)(at + 1));
		if (b->owner[last].hash) {
			np_table_del(&b->peer_by_who, b->owner[last].hash, (void *)(last + 1));
			(void)np_table_add(&b->peer_by_who, b->owner[last].hash, (void *)(at + 1));
		}
		img->peer[at] = img->peer[last];
		b->owner[at] = b->owner[last];
	}
	img->n_peer--;
}

struct who_key {
	const struct np_build *b;
	const char *who;
	const struct np_peer *but;
};

static bool is_of_pod(const void *p, const void *key)
{
	const struct who_key *k = key;
	const struct np_peer *peer = &k->b->img->peer[(uintptr_t)p - 1];

	return peer != k->but && !strcmp(peer->who, k->who);
}

struct np_peer *np_peer_of_pod(const struct np_build *b, const char *who, const struct np_peer *but)
{
	uintptr_t at = (uintptr_t)np_table_find(&b->peer_by_who, hash_who(b, who, strlen(who)), is_of_pod,
						&(struct who_key){b, who, but});

	return at ? &b->img->peer[at - 1] : NULL;
}

/* --- who there is */

static struct found *find(struct work *w, const struct vw_ip *ip)
{
	const struct np_peer *p = np_image_find_peer(w->b->img, ip);

	return p ? &w->found[p - w->b->img->peer] : NULL;
}

/* w->found has room for all that there can be. */
static int add(struct work *w, const struct vw_ip *ip, const char *who, uint32_t thing,
	       const struct np_pod *pod, uint16_t flags)
{
	struct np_peer *peer;
	int r;

	if (!who)
		return np_oom(w->b);
	r = np_peer_add(w->b, ip, who, &peer);
	if (r < 0)
		return r;
	peer->flags = flags;
	w->found[peer - w->b->img->peer] = (struct found){.thing = thing, .pod = pod};
	return 0;
}

static int add_pod(struct work *w, const struct vw_ip *ip, const char *who, uint32_t thing,
		   const struct np_pod *pod)
{
	int r = add(w, ip, who, thing, pod, 0);

	if (r == 0)
		np_peer_set_pod(w->b, &w->b->img->peer[w->b->img->n_peer - 1], who, NULL);
	return r;
}

static int add_flags(struct work *w, const struct vw_ip *ip, const char *who, uint16_t flags)
{
	const struct np_peer *p = np_image_find_peer(w->b->img, ip);

	if (!p)
		return add(w, ip, who, NP_NONE, NULL, flags);
	w->b->img->peer[p - w->b->img->peer].flags |= flags;
	return 0;
}

static int add_node(struct work *w, size_t thing, uint16_t flags)
{
	const struct np_node *n = w->b->thing[thing].node;
	int r = 0;

	for (unsigned int k = 0; r == 0 && k < n->n_ip; k++)
		if (!find(w, &n->ip[k]))
			r = add(w, &n->ip[k], np_text(w->b, "node/%s", n->o.name->s), (uint32_t)thing, NULL,
				flags);
	return r;
}

static int add_nodes(struct work *w)
{
	struct np_build *b = w->b;
	size_t last = b->n_thing - 1;
	int r = 0;

	for (size_t i = b->n_shape; r == 0 && i < last; i++)
		if (!strcmp(b->thing[i].node->o.name->s, b->node_name))
			r = add_node(w, i, NP_IDENT_OWN_NODE);
	for (size_t i = 0; r == 0 && i < b->n_node_ip; i++)
		if (!find(w, &b->node_ip[i]))
			r = add(w, &b->node_ip[i], np_text(b, "node/%s", b->node_name), (uint32_t)last, NULL,
				NP_IDENT_OWN_NODE);
	for (size_t i = b->n_shape; r == 0 && i < last; i++)
		r = add_node(w, i, 0);
	return r;
}

static int add_local(struct work *w, const struct np_who *who)
{
	const struct np_build *b = w->b;
	uint32_t thing = who->shape && !who->done ? b->thing_of_shape[who->shape->id] : NP_NONE;
	const struct vw_ip *ips[] = {&who->ip4, &who->ip6};
	int r = 0;

	if (who->pod)
		w->is_local[who->pod->o.index] = 1;
	for (int i = 0; r == 0 && i < 2; i++)
		if (ips[i]->family && !find(w, ips[i]))
			r = add_pod(w, ips[i],
				    np_text(w->b, "%s%s%s", who->ns, *who->ns ? "/" : "", who->pod_name),
				    thing, NULL);
	return r;
}

/* "ns/name", without printf: there are ten thousand of them. */
static const char *pod_text(struct np_build *b, const struct np_pod *pod)
{
	size_t n = pod->o.ns->len, m = pod->o.name->len;
	char *text = np_mem_alloc(&b->mem, 1, n + m + 2);

	if (text) {
		memcpy(text, pod->o.ns->s, n);
		text[n] = '/';
		memcpy(text + n + 1, pod->o.name->s, m);
	}
	return text;
}

static int add_pod_ip(struct work *w, const struct np_pod *pod, const struct vw_ip *ip, const char **who)
{
	struct np_build *b = w->b;
	struct found *f;

	if (!ip->family)
		return 0;
	f = find(w, ip);
	b->rivals = b->rivals || f;
	if (f && (!f->pod || f->pod->created >= pod->created)) /* without dates: the first */
		return 0;
	if (!*who)
		*who = pod_text(b, pod);
	if (!f)
		return add_pod(w, ip, *who, b->thing_of_shape[pod->shape->id], pod);
	if (!*who)
		return np_oom(b);
	f->pod = pod;
	f->thing = b->thing_of_shape[pod->shape->id];
	np_peer_set_pod(b, &b->img->peer[f - w->found], *who, NULL);
	return 0;
}

static int add_pods(struct work *w)
{
	const struct np_list *pods = np_world_list(w->b->w, NP_KIND_POD);
	int r = 0;

	for (size_t i = 0; r == 0 && i < pods->n; i++) {
		const struct np_pod *pod = (const struct np_pod *)pods->v[i];
		const char *who = NULL;

		if (pod->host_network || pod->done || w->is_local[i])
			continue;
		r = add_pod_ip(w, pod, &pod->ip4, &who);
		r = r < 0 ? r : add_pod_ip(w, pod, &pod->ip6, &who);
	}
	return r;
}

static bool is_kube_dns(const struct np_object *o)
{
	return !strcmp(o->ns->s, "kube-system") && !strcmp(o->name->s, "kube-dns");
}

static bool is_dns_slice(const struct np_slice *s)
{
	return !strcmp(s->o.ns->s, "kube-system") && !strcmp(s->service->s, "kube-dns");
}

/* This node's Node says that it is its own; one that only the kernel has may be a service's (IPVS, a DNS cache). */
static bool is_own_nodes(struct work *w, const struct vw_ip *ip)
{
	const struct np_build *b = w->b;
	const struct found *f = find(w, ip);

	return f && f->thing < b->n_thing - 1 && b->thing[f->thing].node && !strcmp(b->thing[f->thing].node->o.name->s, b->node_name);
}

static int add_services(struct work *w)
{
	const struct np_list *services = np_world_list(w->b->w, NP_KIND_SERVICE);
	int r = 0;

	for (size_t i = 0; r == 0 && i < services->n; i++) {
		const struct np_service *s = (const struct np_service *)services->v[i];
		uint16_t dns = is_kube_dns(&s->o) ? NP_IDENT_RESOLVER : 0;

		/* to the own node's address go more than the service's packets: it is judged, and its ports behind DNAT too */
		for (unsigned int k = 0; r == 0 && k < s->n_ip; k++)
			r = add_flags(w, &s->ip[k], np_text(w->b, "service/%s/%s", s->o.ns->s, s->o.name->s),
				      is_own_nodes(w, &s->ip[k]) ? dns : NP_IDENT_VIP | dns);
	}
	return r;
}

static const struct np_service *find_dns(const struct np_world *w)
{
	return (const struct np_service *)np_world_find(w, NP_KIND_SERVICE, "kube-system", "kube-dns");
}

static bool is_selected_by(const struct np_service *s, const struct np_shape *shape)
{
	if (!s->selector.n || shape->space->name != s->o.ns)
		return false;
	for (unsigned int i = 0; i < s->selector.n; i++) {
		bool has = false;

		for (unsigned int k = 0; k < shape->n_label && !has; k++)
			has = shape->label[k] == s->selector.v[i];
		if (!has)
			return false;
	}
	return true;
}

/* Pods that the Service kube-dns selects answer too, whether or not their EndpointSlice is known. */
bool np_is_dns_shape(const struct np_world *w, const struct np_shape *shape)
{
	const struct np_service *s = find_dns(w);

	return s && is_selected_by(s, shape);
}

/* Who answers DNS: as configured, and what stands behind kube-dns. */
static int add_resolvers(struct work *w)
{
	struct np_build *b = w->b;
	const struct np_list *slices = np_world_list(b->w, NP_KIND_SLICE);
	const struct np_service *dns = find_dns(b->w);
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_resolver; i++)
		r = add_flags(w, &b->resolver[i], "", NP_IDENT_RESOLVER);
	for (size_t i = 0; r == 0 && i < slices->n; i++) {
		const struct np_slice *s = (const struct np_slice *)slices->v[i];

		for (unsigned int k = 0; r == 0 && is_dns_slice(s) && k < s->n_ip; k++)
			r = add_flags(w, &s->ip[k], "", NP_IDENT_RESOLVER);
	}
	for (size_t i = 0; r == 0 && dns && i < b->img->n_peer; i++) {
		uint32_t thing = w->found[i].thing;

		if (thing < b->n_shape && is_selected_by(dns, b->thing[thing].shape))
			b->img->peer[i].flags |= NP_IDENT_RESOLVER;
	}
	return r;
}

bool np_is_resolver(const struct np_build *b, const struct vw_ip *ip)
{
	const struct np_list *slices = np_world_list(b->w, NP_KIND_SLICE);

	for (size_t i = 0; i < b->n_resolver; i++)
		if (vw_ip_eq(&b->resolver[i], ip))
			return true;
	for (size_t i = 0; i < slices->n; i++) {
		const struct np_slice *s = (const struct np_slice *)slices->v[i];

		for (unsigned int k = 0; is_dns_slice(s) && k < s->n_ip; k++)
			if (vw_ip_eq(&s->ip[k], ip))
				return true;
	}
	return false;
}

static bool is_host(const struct vw_cidr *c)
{
	return c->len == vw_ip_bits(&c->ip);
}

static int add_hosts(struct work *w)
{
	struct np_build *b = w->b;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_region; i++)
		if (is_host(&b->region[i].cidr))
			r = add_flags(w, &b->region[i].cidr.ip, "", b->region[i].flags);
	return r;
}

/* --- what they satisfy */

static bool is_pair(const void *p, const void *key)
{
	const struct pair *a = p, *b = key;

	return a->thing == b->thing && a->region == b->region;
}

/* The row of both; most addresses are of few pairs. */
static int row_of_both(struct work *w, uint32_t thing, uint32_t region, uint32_t *ret)
{
	struct np_build *b = w->b;
	const struct pair want = {thing, region, 0};
	uint64_t hash = np_mix((uint64_t)thing << 32 | region);
	struct pair *p = np_table_find(&w->pairs, hash, is_pair, &want);

	if (!p) {
		p = np_mem_alloc(&w->mem, 1, sizeof(*p));
		if (!p || np_table_add(&w->pairs, hash, p) < 0)
			return np_oom(b);
		for (size_t i = 0; i < b->rows.words; i++)
			w->both[i] = np_row(&b->rows, thing)[i] | np_row(&b->rows, region)[i];
		*p = want;
		if (np_rows_get(&b->rows, w->both, &p->row) < 0)
			return np_oom(b);
	}
	*ret = p->row;
	return 0;
}

uint32_t np_outer_region(const struct np_build *b, uint32_t region)
{
	return is_host(&b->region[region].cidr) ? b->region[region].up : region;
}

static int judge_peers(struct work *w)
{
	struct np_build *b = w->b;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->img->n_peer; i++) {
		uint32_t region = np_region_of(b, &b->img->peer[i].ip), thing = w->found[i].thing;

		r = row_of_both(w, thing == NP_NONE ? 0 : b->thing[thing].row, b->region[region].row,
				&w->found[i].row);
		w->found[i].base = np_outer_region(b, region);
		/* an address in a service network is a service's unless somebody has it */
		if (thing == NP_NONE)
			b->img->peer[i].flags |= b->region[region].flags;
	}
	return r;
}

/* --- into the image */

static int add_weights(struct work *w)
{
	struct np_build *b = w->b;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->img->n_peer; i++)
		r = np_weight_add(b, b->img->peer[i].cls, b->region[w->found[i].base].cls,
				  np_peer_weight(&b->img->peer[i].ip));
	for (size_t i = 0; r == 0 && i < b->n_region; i++) {
		const struct np_region *g = &b->region[i];

		if (!is_host(&g->cidr))
			r = np_weight_add(b, g->cls, g->up == NP_NONE ? NP_NO_CLASS : b->region[g->up].cls,
					  np_cidr_weight(&g->cidr));
	}
	return r;
}

static int fill_cidrs(struct np_build *b)
{
	struct np_image *img = b->img;
	size_t n[2] = {0};

	img->cidr = reallocarray(NULL, b->n_region, sizeof(*img->cidr));
	if (!img->cidr)
		return np_oom(b);
	for (size_t i = 0; i < b->n_region; i++) {
		struct np_region *g = &b->region[i];

		g->at = NP_NONE;
		if (is_host(&g->cidr))
			continue;
		g->at = (uint32_t)img->n_cidr;
		n[g->cidr.ip.family == AF_INET6]++;
		img->cidr[img->n_cidr++] = (struct np_cidr){g->cidr, g->cls, g->flags};
	}
	for (int f = 0; f < 2; f++)
		if (n[f] > NP_CIDRS)
			return vw_err_set(b->err, E2BIG, 0,
					  "policies name %zu IPv%d prefixes, at most %u may be", n[f],
					  f ? 6 : 4, NP_CIDRS);
	return 0;
}

static int check_limits(struct np_build *b)
{
	size_t n[2] = {0};

	for (size_t i = 0; i < b->img->n_peer; i++)
		n[b->img->peer[i].ip.family == AF_INET6]++;
	for (int f = 0; f < 2; f++)
		if (n[f] > NP_IPS)
			return vw_err_set(b->err, E2BIG, 0,
					  "%zu IPv%d addresses of pods, nodes, services and rules are known, "
					  "at most %u may be",
					  n[f], f ? 6 : 4, NP_IPS);
	return 0;
}

/* How many addresses there can be at most. */
static size_t count_addresses(const struct np_build *b)
{
	const struct np_list *pods = np_world_list(b->w, NP_KIND_POD),
			     *services = np_world_list(b->w, NP_KIND_SERVICE);
	const struct np_list *slices = np_world_list(b->w, NP_KIND_SLICE);
	size_t n = 2 * (pods->n + b->n_who) + b->n_node_ip + b->n_resolver + b->n_region;

	for (size_t i = b->n_shape; i + 1 < b->n_thing; i++)
		n += b->thing[i].node->n_ip;
	for (size_t i = 0; i < services->n; i++)
		n += ((const struct np_service *)services->v[i])->n_ip;
	for (size_t i = 0; i < slices->n; i++)
		n += ((const struct np_slice *)slices->v[i])->n_ip;
	return n;
}

static int make(struct work *w, const struct np_image *prev)
{
	struct np_build *b = w->b;
	int r = add_nodes(w);

	for (size_t i = 0; r == 0 && i < b->n_who; i++)
		r = add_local(w, &b->who[i]);
	r = r < 0 ? r : add_pods(w);
	r = r < 0 ? r : add_services(w);
	r = r < 0 ? r : add_resolvers(w);
	r = r < 0 ? r : add_hosts(w);
	r = r < 0 ? r : check_limits(b);
	r = r < 0 ? r : judge_peers(w);
	for (size_t i = 0; r == 0 && i < b->img->n_peer; i++)
		r = np_class_use(b, w->found[i].row);
	for (size_t i = 0; r == 0 && i < b->n_region; i++)
		r = np_class_use(b, b->region[i].row);
	r = r < 0 ? r : np_classes_number(b, prev);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->img->n_peer; i++)
		b->img->peer[i].cls = (uint16_t)b->class_of_row[w->found[i].row];
	for (size_t i = 0; i < b->n_region; i++)
		b->region[i].cls = (uint16_t)b->class_of_row[b->region[i].row];
	r = fill_cidrs(b);
	return r < 0 ? r : add_weights(w);
}

int np_peers_make(struct np_build *b, const struct np_image *prev)
{
	size_t n = count_addresses(b), n_pods = np_world_list(b->w, NP_KIND_POD)->n;
	struct work w = {.b = b,
			 .found = reallocarray(NULL, n + 1, sizeof(*w.found)),
			 .is_local = calloc(n_pods + 1, 1),
			 .both = calloc(b->rows.words + 1, sizeof(*w.both))};
	int r = -ENOMEM;

	if (!w.found || !w.is_local || !w.both)
		np_oom(b);
	else
		r = np_peer_reserve(b, n_pods + 64);
	r = r < 0 ? r : make(&w, prev);
	np_mem_done(&w.mem, NULL);
	np_table_done(&w.pairs);
	free(w.found);
	free(w.is_local);
	free(w.both);
	return r;
}
