/* What other manifests would change: they are tried on the world, compiled, compared with what is in force, and taken back. */
#include "daemon/daemon.h"
#include "daemon/policy_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/k8s/objects.h"
#include "netpolicy-bpf/user/np_diff.h"
#include "netpolicy-bpf/user/np_world.h"

#include <errno.h>
#include <string.h>

#define CHANGES_MAX 200
#define LIST_MAX 8              /* pods, peers and ports that are named of a change; the rest is counted */

static const char *action_text(enum np_action a)
{
	static const char *const texts[] = { [NP_DENY] = "DENY", [NP_ALLOW] = "ALLOW", [NP_CHAIN] = "BY-NAME" };

	return texts[a];
}

static void pod_text(const struct daemon *d, unsigned int slot, struct vw_buf *b)
{
	const struct attachment *a = d->attach.by_key;

	while (a && a->slot != slot)
		a = a->hh.next;
	if (a && *a->pod_name)
		vw_buf_printf(b, "%s/%s", a->pod_namespace, a->pod_name);
	else
		vw_buf_printf(b, "slot %u", slot);
}

static void peer_text(const struct np_diff_peer *p, struct vw_buf *b)
{
	char cidr[VW_CIDR_STRLEN];

	vw_buf_puts(b, p->who && *p->who ? p->who : vw_cidr_str(&p->cidr, cidr));
}

static void port_text(const struct np_diff_port *p, struct vw_buf *b)
{
	char proto[POLICY_PROTO_LEN];

	policy_proto_name(p->proto, proto);
	if (!p->proto)
		vw_buf_puts(b, "without ports");
	else if (p->first == p->last)
		vw_buf_printf(b, "%u/%s", p->first, proto);
	else
		vw_buf_printf(b, "%u-%u/%s", p->first, p->last, proto);
}

/* "a, b and 3 more" */
static void join(struct vw_buf *b, size_t i, size_t n)
{
	if (i + 1 == LIST_MAX && n > LIST_MAX)
		vw_buf_printf(b, " and %zu more", n - LIST_MAX);
	else if (i + 1 < n && i + 1 < LIST_MAX)
		vw_buf_puts(b, ", ");
}

static struct vw_json *change_json(const struct daemon *d, const struct np_diff_change *c)
{
	vw_auto_buf struct vw_buf pods = VW_BUF_INIT, peers = VW_BUF_INIT, ports = VW_BUF_INIT, why = VW_BUF_INIT;
	const struct np_rule *r = c->to_rule ? c->to_rule : c->from_rule;
	struct vw_json *j = vw_json_new_object();

	for (size_t i = 0; i < c->n_slot && i < LIST_MAX; i++) {
		pod_text(d, c->slot[i], &pods);
		join(&pods, i, c->n_slot);
	}
	for (size_t i = 0; i < c->n_peer && i < LIST_MAX; i++) {
		peer_text(&c->peer[i], &peers);
		join(&peers, i, c->n_peer);
	}
	for (size_t i = 0; i < c->n_port && i < LIST_MAX; i++) {
		port_text(&c->port[i], &ports);
		join(&ports, i, c->n_port);
	}
	if (r)
		vw_buf_printf(&why, "%s%s %s%s%s", c->to_rule ? "" : "no longer ", r->kind, r->policy, *r->path ? " " : "", r->path);
	if ((vw_json_set_str(j, "pod", vw_buf_str(&pods)) | vw_json_set_str(j, "dir", c->dir == NP_EGRESS ? "egress" : "ingress") |
	     vw_json_set_str(j, "peer", vw_buf_str(&peers)) | vw_json_set_str(j, "port", vw_buf_str(&ports)) |
	     vw_json_set_str(j, "before", action_text(c->from)) | vw_json_set_str(j, "after", action_text(c->to)) |
	     vw_json_set_str(j, "because", vw_buf_str(&why))) == 0)
		return j;
	vw_json_free(j);
	return NULL;
}

static int answer(const struct daemon *d, const struct np_image *fresh, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();
	struct vw_json *changes = vw_json_new_array();
	struct np_diff diff;
	int failed = 0, r = np_diff(d->policy->image, fresh, CHANGES_MAX, &diff, err);

	if (r < 0) {
		vw_json_free(changes);
		return r;
	}
	for (size_t i = 0; i < diff.n_change; i++)
		failed |= vw_json_append(changes, change_json(d, &diff.change[i]));
	failed |= vw_json_set(root, "changes", changes);
	failed |= vw_json_set_bool(root, "cut", diff.cut);
	np_diff_done(&diff);
	if (failed)
		return vw_err_set(err, ENOMEM, 0, "no memory for the answer");
	*ret = VW_TAKE_PTR(root);
	return 0;
}

/* a file of policy_dir of the same name is replaced, as copying it there would do */
static int try_file(struct policy *p, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	const char *name = strrchr(path, '/');
	int r;

	if (path[0] != '/' || !name || !vw_k8s_is_manifest(name + 1))
		return vw_err_set(err, EINVAL, 0, "'%.256s' is no absolute path of a *.json, *.yaml or *.yml file", path);
	r = vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &text, err);
	return r < 0 ? r : np_world_take(p->world, name + 1, vw_buf_str(&text), text.len, err);
}

int policy_query_simulate(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	const struct vw_json *files = vw_json_get(args, "with");
	struct policy *p = d->policy;
	struct np_image *fresh = NULL;
	int r = 0;

	if (!p->image)
		return vw_err_set(err, ENOENT, 0, "network policy is switched off");
	if (!vw_json_len(files))
		return vw_err_set(err, EINVAL, 0, "argument 'with' is missing: a list of files");
	if (np_world_save(p->world) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory to try manifests");
	for (size_t i = 0; r == 0 && i < vw_json_len(files); i++) {
		const char *path = vw_json_string(vw_json_at(files, i));

		r = path ? try_file(p, path, err) : vw_err_set(err, EINVAL, 0, "'with' has something that is no path");
	}
	if (r == 0)
		r = policy_compile(p, NULL, &fresh, err);
	if (r == 0)
		r = answer(d, fresh, ret, err);
	np_image_free(fresh);
	np_world_restore(p->world);
	return r;
}
