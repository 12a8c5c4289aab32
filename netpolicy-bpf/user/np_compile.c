/*
 * From a world to an image, in one pass: who the node's pods are and which policies select them; the
 * atoms of those policies; what each thing and each region satisfies; classes; blobs. Policies that
 * select no pod of this node are never looked at twice.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- memory */

int np_oom(struct np_build *b)
{
	return vw_err_set(b->err, ENOMEM, 0, "no memory to compile network policies");
}

const char *np_text(struct np_build *b, const char *fmt, ...)
{
	va_list ap;
	char buf[512], *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	text = np_mem_alloc(&b->mem, 1, (size_t)n + 1);
	if (!text)
		return NULL;
	if ((size_t)n < sizeof(buf)) {
		memcpy(text, buf, (size_t)n + 1);
		return text;
	}
	va_start(ap, fmt);
	(void)vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

int np_grow(void *v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 8;
	void *array, *grown;

	if (n < *cap)
		return 0;
	memcpy(&array, v, sizeof(array)); /* a pointer of whatever type */
	grown = reallocarray(array, more, size);
	if (!grown)
		return -ENOMEM;
	memcpy(v, &grown, sizeof(grown));
	*cap = more;
	return 0;
}

static void build_free(struct np_build *b)
{
	for (size_t i = 0; i < b->img->n_blob; i++) {
		np_terms_done(&b->made[i].e.terms[0]);
		np_terms_done(&b->made[i].e.terms[1]);
		free(b->made[i].row_meaning[0]);
		free(b->made[i].row_meaning[1]);
	}
	np_table_done(&b->atom_by_key);
	np_table_done(&b->port_atom_by_key);
	np_table_done(&b->weight_by_class);
	np_table_done(&b->peer_by_ip);
	np_table_done(&b->peer_by_who);
	np_table_done(&b->rec_by_hash);
	np_table_done(&b->blob_by_terms);
	np_rows_done(&b->rows);
	np_rows_done(&b->port_rows);
	np_terms_done(&b->cached);
	free(b->atom);
	free(b->port_atom);
	free(b->named);
	free(b->class_of_row);
	free(b->class_key);
	free(b->atom_classes);
	free(b->port_class_key);
	free(b->port_class_sum);
	free(b->port_atom_classes);
	free(b->weight);
	free(b->rec);
	free(b->wanted);
	for (size_t i = 0; b->owner && i < b->img->n_peer; i++)
		free(b->owner[i].who);
	free(b->owner);
	for (size_t i = 0; i < b->n_who; i++)
		np_who_done(&b->who[i]);
	free(b->who);
	free(b->bare);
	free(b->made);
	np_mem_done(&b->mem, NULL);
	free(b);
}

struct np_image *np_image_free(struct np_image *img)
{
	if (!img)
		return NULL;
	build_free(img->priv);
	for (size_t i = 0; i < img->n_blob; i++)
		free(img->blob[i].line);
	free(img->peer);
	free(img->cidr);
	free(img->port);
	free(img->blob);
	free(img->subject);
	free(img->rule);
	free(img);
	return NULL;
}

/* --- configuration */

static void *copy_of(struct np_build *b, const void *v, size_t n, size_t size)
{
	void *p = np_mem_alloc(&b->mem, n + 1, size);

	if (p && n)
		memcpy(p, v, n * size);
	return p;
}

static int take_conf(struct np_build *b, const struct np_compile_conf *conf)
{
	b->node_name = np_text(b, "%s", conf->node_name ? conf->node_name : "");
	b->node_ip = copy_of(b, conf->node_ip, conf->n_node_ip, sizeof(*conf->node_ip));
	b->resolver = copy_of(b, conf->resolver, conf->n_resolver, sizeof(*conf->resolver));
	b->service_cidr = copy_of(b, conf->service_cidr, conf->n_service_cidr, sizeof(*conf->service_cidr));
	if (!b->node_name || !b->node_ip || !b->resolver || !b->service_cidr)
		return np_oom(b);
	b->n_node_ip = conf->n_node_ip;
	b->n_resolver = conf->n_resolver;
	b->n_service_cidr = conf->n_service_cidr;
	for (size_t i = 0; i < b->n_service_cidr; i++)
		b->service_cidr[i] = vw_cidr_masked(&b->service_cidr[i]);
	b->strict = conf->strict;
	return 0;
}

/* --- subjects */

/* Pods of one shape have one effective policy, but for PolicyEndpoints, which name pods. */
static bool named_by_endpoint(const struct np_policies *p)
{
	for (unsigned int i = 0; i < p->n; i++)
		if (p->v[i]->o.kind == NP_KIND_ENDPOINT)
			return true;
	return false;
}

static int effective_of(struct np_build *b, const struct np_who *who, struct np_effective *ret,
			bool *ret_named)
{
	struct np_policies policies;
	int r = np_policies_of(b, who, &policies);

	r = r < 0 ? r : np_effective_of(b, who, &policies, ret);
	*ret_named = named_by_endpoint(&policies);
	free(policies.v);
	return r;
}

int np_subject_blob(struct np_build *b, const struct np_who *who, unsigned int *ret)
{
	struct np_effective e;
	bool named;
	int r = effective_of(b, who, &e, &named);

	/* rules that no pod had before get their ids */
	r = r < 0 ? r : np_rules_number(b, NULL);
	return r < 0 ? r : np_blob_get(b, &e, ret);
}

struct twin {
	const struct np_shape *shape;
	bool done;
	size_t at;
};

static bool is_twin(const void *p, const void *key)
{
	const struct twin *a = p, *b = key;

	return a->shape == b->shape && a->done == b->done;
}

struct subjects {
	struct np_effective *e; /* by subject */
	size_t *like;           /* the subject whose it is */
	struct twin *twin;
	struct np_table twins;
	bool endpoints;
};

/* The effective policy of each pod; replicas have their first one's. */
static int find_effective(struct np_build *b, struct subjects *s)
{
	for (size_t i = 0; i < b->n_who; i++) {
		struct twin *t = &s->twin[i], *first;
		uint64_t hash;
		bool named;
		int r;

		*t = (struct twin){b->who[i].shape, b->who[i].done, i};
		hash = np_mix((uintptr_t)t->shape + t->done);
		first = s->endpoints ? NULL : np_table_find(&s->twins, hash, is_twin, t);
		s->like[i] = first ? first->at : i;
		if (first)
			continue;
		r = effective_of(b, &b->who[i], &s->e[i], &named);
		if (r < 0)
			return r;
		if (np_table_add(&s->twins, hash, t) < 0)
			return np_oom(b);
	}
	return 0;
}

static int make_blobs(struct np_build *b, struct subjects *s)
{
	struct np_image *img = b->img;

	img->subject = reallocarray(NULL, b->n_who + 1, sizeof(*img->subject));
	b->cap_subject = b->n_who + 1;
	if (!img->subject)
		return np_oom(b);
	for (size_t i = 0; i < b->n_who; i++) {
		unsigned int blob;
		int r = 0;

		if (s->like[i] == i)
			r = np_blob_get(b, &s->e[i], &blob);
		else
			blob = img->subject[s->like[i]].blob;
		if (r < 0)
			return r;
		img->subject[img->n_subject++] = (struct np_subject){b->who[i].slot, blob};
	}
	return 0;
}

static int compile(struct np_build *b, struct subjects *s, const struct np_image *prev)
{
	int r = np_things_find(b);

	r = r < 0 ? r : find_effective(b, s);
	r = r < 0 ? r : np_things_judge(b);
	r = r < 0 ? r : np_regions_make(b);
	r = r < 0 ? r : np_peers_make(b, prev);
	r = r < 0 ? r : np_ports_make(b, prev);
	r = r < 0 ? r : np_rules_number(b, prev);
	return r < 0 ? r : make_blobs(b, s);
}

static int build(struct np_build *b, const struct np_compile_conf *conf, const struct np_local *local,
		 size_t n_local, const struct np_image *prev)
{
	struct subjects s = {.endpoints = np_world_list(b->w, NP_KIND_ENDPOINT)->n > 0};
	int r = take_conf(b, conf);

	r = r < 0 ? r : np_subjects_index(b);
	for (size_t i = 0; r == 0 && i < n_local; i++)
		r = np_who_add(b, &local[i]);
	s.e = calloc(n_local + 1, sizeof(*s.e));
	s.like = calloc(n_local + 1, sizeof(*s.like));
	s.twin = calloc(n_local + 1, sizeof(*s.twin));
	if (!s.e || !s.like || !s.twin)
		r = np_oom(b);
	r = r < 0 ? r : compile(b, &s, prev);
	for (size_t i = 0; s.e && i < n_local; i++) {
		np_terms_done(&s.e[i].terms[0]);
		np_terms_done(&s.e[i].terms[1]);
	}
	free(s.e);
	free(s.like);
	free(s.twin);
	np_table_done(&s.twins);
	return r;
}

int np_compile(const struct np_world *w, const struct np_compile_conf *conf, const struct np_local *local,
	       size_t n_local, const struct np_image *prev, struct np_image **ret, struct vw_err *err)
{
	struct np_image *img = calloc(1, sizeof(*img));
	struct np_build *b = calloc(1, sizeof(*b));
	int r;

	if (!img || !b) {
		free(img);
		free(b);
		return vw_err_set(err, ENOMEM, 0, "no memory to compile network policies");
	}
	img->priv = b;
	*b = (struct np_build){
		.img = img, .w = w, .gen = np_world_gen(w), .seed = np_hash_seed(), .err = err};
	r = build(b, conf, local, n_local, prev);
	if (r < 0) {
		np_image_free(img);
		return r;
	}
	b->frozen = true;
	b->err = NULL;
	*ret = img;
	return 0;
}
