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
#define LIST_MAX 1000           /* pods, peers and ports that are named of a change; the rest is counted */

static const char *action_text(enum np_action a)
{
	static const char *const texts[] = { [NP_DENY] = "DENY", [NP_ALLOW] = "ALLOW", [NP_CHAIN] = "BY-NAME" };

	return texts[a];
}

static void pod_text(const struct daemon *d, const struct np_diff_change *c, size_t i, struct vw_buf *b)
{
	const struct attachment *a = d->attach.by_key;

	while (a && a->slot != c->slot[i])
		a = a->hh.next;
	if (a && *a->pod_name)
		vw_buf_printf(b, "%s/%s", a->pod_namespace, a->pod_name);
	else
		vw_buf_printf(b, "slot %u", c->slot[i]);
}

static void peer_text(const struct daemon *d, const struct np_diff_change *c, size_t i, struct vw_buf *b)
{
	const struct np_diff_peer *p = &c->peer[i];
	char cidr[VW_CIDR_STRLEN];

	(void)d;
	vw_buf_puts(b, p->who && *p->who ? p->who : vw_cidr_str(&p->cidr, cidr));
}

static void port_text(const struct daemon *d, const struct np_diff_change *c, size_t i, struct vw_buf *b)
{
	const struct np_diff_port *p = &c->port[i];
	char proto[POLICY_PROTO_LEN];

	(void)d;
	policy_proto_name(p->proto, proto);
	if (!p->proto)
		vw_buf_puts(b, "without ports");
	else if (p->first == p->last)
		vw_buf_printf(b, "%u/%s", p->first, proto);
	else
		vw_buf_printf(b, "%u-%u/%s", p->first, p->last, proto);
}

typedef void text_fn(const struct daemon *d, const struct np_diff_change *c, size_t i, struct vw_buf *b);

/* @key: [...], n_@key: how many there are */
static int put_list(struct vw_json *j, const char *key, const struct daemon *d, const struct np_diff_change *c, size_t n, text_fn *text)
{
	struct vw_json *arr = vw_json_new_array();
	char count[16];
	int failed = vw_fmt(count, sizeof(count), "n_%s", key) < 0;

	for (size_t i = 0; i < n && i < LIST_MAX; i++) {
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;

		text(d, c, i, &b);
		failed |= vw_json_append(arr, vw_json_new_string(vw_buf_str(&b)));
	}
	failed |= vw_json_set_int(j, count, (int64_t)n);
	return vw_json_set(j, key, arr) | failed;
}

static struct vw_json *change_json(const struct daemon *d, const struct np_diff_change *c)
{
	vw_auto_buf struct vw_buf why = VW_BUF_INIT;
	const struct np_rule *r = c->to_rule ? c->to_rule : c->from_rule;
	struct vw_json *j = vw_json_new_object();
	int failed = put_list(j, "pods", d, c, c->n_slot, pod_text);

	failed |= put_list(j, "peers", d, c, c->n_peer, peer_text);
	failed |= put_list(j, "ports", d, c, c->n_port, port_text);
	if (r)
		vw_buf_printf(&why, "%s%s %s%s%s", c->to_rule ? "" : "no longer ", r->kind, r->policy, *r->path ? " " : "", r->path);
	failed |= vw_json_set_str(j, "dir", c->dir == NP_EGRESS ? "egress" : "ingress");
	failed |= vw_json_set_str(j, "before", action_text(c->from));
	failed |= vw_json_set_str(j, "after", action_text(c->to));
	failed |= vw_json_set_str(j, "because", vw_buf_str(&why));
	if (!failed)
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

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* of the files before @i */
static bool is_named_before(const struct vw_json *files, size_t i, const char *name)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(base_name(vw_json_string(vw_json_at(files, k))), name))
			return true;
	return false;
}

/* a file of policy_dir of the same name is replaced, as copying it there would do */
static int try_file(struct policy *p, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	const char *name = base_name(path);
	int r;

	if (path[0] != '/' || !vw_k8s_is_manifest(name))
		return vw_err_set(err, EINVAL, 0, "'%.256s' is no absolute path of a *.json, *.yaml or *.yml file", path);
	r = vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &text, err);
	return r < 0 ? r : np_world_take(p->world, name, vw_buf_str(&text), text.len, err);
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

		if (!path)
			r = vw_err_set(err, EINVAL, 0, "'with' has something that is no path");
		else if (is_named_before(files, i, base_name(path)))
			r = vw_err_set(err, EINVAL, 0, "'with' has two files that are named %.200s: policy_dir would have one of them", base_name(path));
		else
			r = try_file(p, path, err);
	}
	if (r == 0)
		r = policy_compile(p, NULL, &fresh, err);
	if (r == 0)
		r = answer(d, fresh, ret, err);
	np_image_free(fresh);
	np_world_restore(p->world);
	return r;
}
