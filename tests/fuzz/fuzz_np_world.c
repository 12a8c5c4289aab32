/*
 * Kubernetes objects as policies read them: whatever the text, all of it is taken, in the ranges that the compiler relies on, or nothing is
 * and there is a sentence why not. The first byte says JSON or YAML; the world also has objects of another file, and goes back after a trial.
 */
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_world.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char other[] = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"a\",\"labels\":{\"pod\":\"a\"}}}"
			    "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"p\"},\"spec\":{}}";

static void must(bool yes)
{
	if (!yes)
		abort();
}

static void check_peer(const struct np_peer_rule *p)
{
	if (p->type == NP_PEER_DOMAIN)
		must(p->domain && p->domain->len);
	if (p->type != NP_PEER_CIDR)
		return;
	must(vw_cidr_is_masked(&p->cidr));
	for (unsigned int i = 0; i < p->n_except; i++) {
		must(vw_cidr_is_masked(&p->except[i]) && vw_cidr_covers(&p->cidr, &p->except[i]) && p->except[i].len > p->cidr.len);
		must(i == 0 || !vw_cidr_overlaps(&p->except[i - 1], &p->except[i]));
	}
}

static void check_policy(const struct np_policy *p)
{
	for (int d = 0; d < NP_DIRS; d++) {
		for (unsigned int i = 0; i < p->n_rule[d]; i++) {
			const struct np_policy_rule *r = &p->rule[d][i];

			must(r->name != NULL);
			must(p->tier != NP_TIER_NETWORKPOLICY || r->verb == NP_ACCEPT);
			for (unsigned int k = 0; k < r->n_peer; k++)
				check_peer(&r->peer[k]);
			for (unsigned int k = 0; k < r->n_port; k++)
				must(r->port[k].name ? r->port[k].proto <= NP_PORT_PROTOS
						     : r->port[k].proto < NP_PORT_PROTOS && r->port[k].first <= r->port[k].last);
		}
	}
}

static size_t check_all(const struct np_world *w)
{
	size_t n = 0;

	for (int k = 0; k < NP_KINDS; k++) {
		const struct np_list *l = np_world_list(w, (enum np_kind)k);

		n += l->n;
		for (size_t i = 0; i < l->n; i++) {
			must(l->v[i]->name->len && np_world_find(w, (enum np_kind)k, l->v[i]->ns->s, l->v[i]->name->s) == l->v[i]);
			if (k >= NP_KIND_NETWORKPOLICY)
				check_policy((const struct np_policy *)l->v[i]);
		}
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct np_world *w = np_world_new();
	struct vw_err err = { 0 };
	struct np_changes c;
	const char *file;
	size_t n, notes;

	if (!size || !w) {
		np_world_free(w);
		return 0;
	}
	file = data[0] == 'y' ? "m.yaml" : "m.json";
	must(np_world_take(w, "b.json", other, sizeof(other) - 1, &err) == 0);
	n = check_all(w);
	must(np_world_save(w) == 0);
	if (np_world_take(w, file, (const char *)data + 1, size - 1, &err) < 0)
		must(err.msg[0] && check_all(w) == n);
	check_all(w);
	(void)np_world_notes(w, &notes);
	(void)np_world_take(w, file, (const char *)data + 1, size - 1, &err);
	np_world_restore(w);
	must(check_all(w) == n);
	(void)np_world_take(w, "a.yaml", (const char *)data + 1, size - 1, &err);
	(void)np_world_take(w, file, (const char *)data + 1, size - 1, &err);
	(void)np_world_notes(w, &notes);
	np_world_drop(w, file);
	np_world_drop(w, "a.yaml");
	must(check_all(w) == n);
	np_world_changes(w, &c);
	np_world_free(w);
	return 0;
}
