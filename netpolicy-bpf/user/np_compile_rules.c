/*
 * Rules and their ids. A rule keeps its id from image to image; an id that is free again waits, empty,
 * for as long as there are others, because flows in conntrack may still name it.
 */
#include "netpolicy-bpf/user/np_compile.h"

#include "lib/base/err.h"

#include <errno.h>
#include <stdlib.h>

static const enum np_action actions[] = {[NP_ACCEPT] = NP_ALLOW, [NP_REFUSE] = NP_DENY, [NP_PASS] = NP_DENY};

static uint64_t hash_text(uint64_t h, const char *text)
{
	return np_hash(h, text, strlen(text));
}

/* The same in every image and every process. Never 0. */
static uint64_t rule_key(const struct np_rule *r)
{
	uint64_t h = hash_text(r->tier * 4u + r->dir, r->kind);

	h = hash_text(h, r->policy);
	h = hash_text(h, r->path);
	if (!strcmp(r->kind, np_kind_name(NP_KIND_ENDPOINT)))
		h = hash_text(h, r->name);
	return h ? h : 1;
}

static int add_rec(struct np_build *b, const struct np_rule *rule, const struct np_policy_rule *of,
		   uint64_t hash, uint32_t *ret)
{
	if (np_grow(&b->rec, b->n_rec, &b->cap_rec, sizeof(*b->rec)) < 0 ||
	    np_table_add(&b->rec_by_hash, hash, (void *)(b->n_rec + 1)) < 0)
		return np_oom(b);
	b->rec[b->n_rec] = (struct np_rule_rec){*rule, of, NP_NONE, NP_NONE, 0, hash};
	b->rec[b->n_rec].rule.key = rule_key(rule);
	*ret = (uint32_t)b->n_rec++;
	return 0;
}

struct rec_key {
	const struct np_build *b;
	const struct np_policy_rule *of;
	const struct np_rule *rule;
};

static bool is_rec_of(const void *p, const void *key)
{
	const struct rec_key *k = key;

	return k->b->rec[(uintptr_t)p - 1].of == k->of;
}

int np_rec_get(struct np_build *b, const struct np_policy *policy, const struct np_policy_rule *rule,
	       enum np_dir dir, uint32_t *ret)
{
	const struct np_str *ns = policy->ref_ns ? policy->ref_ns : policy->o.ns;
	const struct np_str *name = policy->ref_name ? policy->ref_name : policy->o.name;
	uint64_t hash = np_mix((uintptr_t)rule);
	void *found = np_table_find(&b->rec_by_hash, hash, is_rec_of, &(struct rec_key){b, rule, NULL});
	struct np_rule r = {.tier = policy->tier,
			    .dir = dir,
			    .action = actions[rule->verb],
			    .kind = np_kind_name(policy->o.kind)};

	if (found) {
		*ret = (uint32_t)((uintptr_t)found - 1);
		return 0;
	}
	r.policy = np_text(b, "%s%s%s", ns->s, ns->len ? "/" : "", name->s);
	r.name = np_text(b, "%s", rule->name->s);
	r.path = np_text(b, "spec.%s[%u]", dir == NP_INGRESS ? "ingress" : "egress", rule->at);
	r.file = np_text(b, "%s", policy->o.file);
	if (!r.policy || !r.name || !r.path || !r.file)
		return np_oom(b);
	return add_rec(b, &r, rule, hash, ret);
}

static bool is_rec_like(const void *p, const void *key)
{
	const struct rec_key *k = key;
	const struct np_rule_rec *rec = &k->b->rec[(uintptr_t)p - 1];
	const struct np_rule *a = &rec->rule, *r = k->rule;

	return !rec->of && a->tier == r->tier && a->dir == r->dir && !strcmp(a->kind, r->kind) &&
	       !strcmp(a->policy, r->policy);
}

int np_rec_other(struct np_build *b, const struct np_rule *rule, uint32_t *ret)
{
	uint64_t hash = rule_key(rule);
	void *found = np_table_find(&b->rec_by_hash, hash, is_rec_like, &(struct rec_key){b, NULL, rule});
	struct np_rule r = *rule;

	if (found) {
		*ret = (uint32_t)((uintptr_t)found - 1);
		return 0;
	}
	r.kind = np_text(b, "%s", rule->kind);
	r.policy = np_text(b, "%s", rule->policy);
	r.name = r.path = r.file = "";
	if (!r.kind || !r.policy)
		return np_oom(b);
	return add_rec(b, &r, NULL, hash, ret);
}

/* --- ids */

static bool has_rule_key(const void *p, const void *key)
{
	(void)p;
	(void)key;
	return true; /* a key is 64 bits of hash: the rule with the same is the same for all that it is used
			for */
}

/* img->rule with room for id @id; new entries are empty. */
static int reserve_rule(struct np_build *b, uint32_t id)
{
	static const struct np_rule empty = {.kind = "", .policy = "", .name = "", .path = "", .file = ""};
	struct np_image *img = b->img;
	size_t cap = b->cap_rule ? b->cap_rule : 64;
	struct np_rule *grown;

	while (cap <= id)
		cap *= 2;
	if (cap != b->cap_rule) {
		grown = reallocarray(img->rule, cap, sizeof(*grown));
		if (!grown)
			return np_oom(b);
		img->rule = grown;
		b->cap_rule = cap;
	}
	while (img->n_rule <= id)
		img->rule[img->n_rule++] = empty;
	return 0;
}

static int give_id(struct np_build *b, struct np_rule_rec *rec, uint32_t id)
{
	int r = reserve_rule(b, id);

	if (r < 0)
		return r;
	b->img->rule[id] = rec->rule;
	rec->id = id;
	return 0;
}

/* Those that @prev had. */
static int keep_ids(struct np_build *b, const struct np_image *prev)
{
	struct np_table known = {0};
	int r = 0;

	if (np_table_reserve(&known, prev->n_rule) < 0)
		return np_oom(b);
	for (uint32_t i = 1; i < prev->n_rule; i++)
		if (prev->rule[i].key)
			(void)np_table_add(&known, prev->rule[i].key, (void *)(uintptr_t)i);
	for (size_t i = 0; r == 0 && i < b->n_rec; i++) {
		uint32_t id =
			(uint32_t)(uintptr_t)np_table_find(&known, b->rec[i].rule.key, has_rule_key, NULL);

		if (!id || b->rec[i].id != NP_NONE || (id < b->img->n_rule && b->img->rule[id].key))
			continue;
		r = give_id(b, &b->rec[i], id);
	}
	/* the others of @prev stay empty in this image, and are free for the next */
	if (r == 0 && prev->n_rule)
		r = reserve_rule(b, prev->n_rule - 1);
	np_table_done(&known);
	return r;
}

int np_rules_number(struct np_build *b, const struct np_image *prev)
{
	struct np_image *img = b->img;
	uint32_t hole = 1;
	int r = reserve_rule(b, 0);

	if (r == 0 && prev)
		r = keep_ids(b, prev);
	for (size_t i = 0; r == 0 && i < b->n_rec; i++) {
		if (b->rec[i].id != NP_NONE)
			continue;
		if (img->n_rule < NP_RULES) {
			r = give_id(b, &b->rec[i], img->n_rule);
			continue;
		}
		/* no new ones are left: one that was empty before too */
		while (hole < img->n_rule &&
		       (img->rule[hole].key || (prev && hole < prev->n_rule && prev->rule[hole].key)))
			hole++;
		if (hole >= img->n_rule)
			return vw_err_set(b->err, E2BIG, 0,
					  "policies of this node's pods have %zu rules, at most %u may be",
					  b->n_rec, NP_RULES - 1);
		r = give_id(b, &b->rec[i], hole);
	}
	return r;
}
