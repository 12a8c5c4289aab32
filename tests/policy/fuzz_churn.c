/*
 * What happens to the pods of a cluster while its policies stay: they go, come back, and get others' labels, or ones that nobody had.
 */
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "tests/policy/fuzz_world.h"

#include <errno.h>
#include <string.h>

static struct fw_pod *pod_of(struct fuzz_world *w, const struct vw_json *obj)
{
	const struct vw_json *meta = vw_json_get(obj, "metadata");
	const char *kind = vw_json_string(vw_json_get(obj, "kind")), *ns = vw_json_string(vw_json_get(meta, "namespace"));
	const char *name = vw_json_string(vw_json_get(meta, "name"));
	char full[64];

	if (!kind || !ns || !name || strcmp(kind, "Pod") != 0)
		return NULL;
	(void)snprintf(full, sizeof(full), "%s/%s", ns, name);
	for (size_t i = 0; i < w->n_pod; i++) {
		if (strcmp(w->pod[i].full, full) == 0)
			return &w->pod[i];
	}
	return NULL;
}

/** relabelled() - @obj with the labels of some object of the cluster, and sometimes one more. */
static struct vw_json *relabelled(const struct fuzz_world *w, const struct vw_json *obj, uint64_t *rng)
{
	const struct vw_json *other = vw_json_at(w->objs, fw_below(rng, (unsigned int)vw_json_len(w->objs)));
	const struct vw_json *from = vw_json_get(vw_json_get(other, "metadata"), "labels");
	struct vw_json *copy = vw_json_copy(obj), *meta = vw_json_copy(vw_json_get(obj, "metadata"));
	struct vw_json *labels = from ? vw_json_copy(from) : vw_json_new_object();

	if (fw_below(rng, 3) == 0)
		vw_json_set_str(labels, fw_below(rng, 2) ? "app" : "tier", fw_below(rng, 2) ? "a" : "never");
	vw_json_set(meta, "labels", labels);
	vw_json_set(copy, "metadata", meta);
	return copy;
}

/** is_taken() - somebody has one of its addresses by now. */
static bool is_taken(const struct fuzz_world *w, const struct fw_pod *p)
{
	for (size_t i = 0; i < w->n_pod; i++) {
		const struct fw_pod *q = &w->pod[i];

		if (q != p && !q->gone && !q->over && !q->host && ((q->ip[0].family && vw_ip_eq(&p->ip[0], &q->ip[0])) ||
								   (q->ip[1].family && vw_ip_eq(&p->ip[1], &q->ip[1]))))
			return true;
	}
	return false;
}

int fuzz_churn(struct fuzz_world *w, uint64_t *rng)
{
	struct vw_json *now = vw_json_new_array(), *away = vw_json_new_array();
	int r = now && away ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < vw_json_len(w->objs); i++) {
		const struct vw_json *obj = vw_json_at(w->objs, i);
		struct fw_pod *p = pod_of(w, obj);
		unsigned int what = p ? fw_below(rng, 10) : 10;

		if (what < 2) {
			p->gone = true;
			r = vw_json_append(away, vw_json_copy(obj));
		} else {
			r = vw_json_append(now, what < 5 ? relabelled(w, obj, rng) : vw_json_copy(obj));
		}
	}
	for (size_t i = 0; r == 0 && i < vw_json_len(w->away); i++) {
		const struct vw_json *obj = vw_json_at(w->away, i);
		struct fw_pod *p = pod_of(w, obj);
		bool back = fw_below(rng, 2) && !is_taken(w, p);

		p->gone = !back;
		r = vw_json_append(back ? now : away, vw_json_copy(obj));
	}
	vw_json_free(w->objs);
	vw_json_free(w->away);
	w->objs = now;
	w->away = away;
	return r;
}
