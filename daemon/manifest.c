/*
 * ENIConfigs and the Node, from Kubernetes objects. Node labels and annotations name the ENIConfig in
 * aws-node's order: the label vpc.amazonaws.com/externalEniConfig, the annotation, the label, "default".
 */
#include "daemon/manifest.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"
#include "lib/rpc/rpc.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENICONFIGS 1024
#define EXTERNAL_LABEL "vpc.amazonaws.com/externalEniConfig"

/* --- one object */

static int take_group(struct manifest_eniconfig *c, const struct vw_json *v, struct vw_err *err)
{
	const char *id = vw_json_string(v);

	if (c->n_groups == EC2_MAX_GROUPS)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "spec.securityGroups has more than %d entries", EC2_MAX_GROUPS);
	if (!id || strncmp(id, "sg-", 3) || vw_fmt(c->groups[c->n_groups], EC2_ID_LEN, "%s", id) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "spec.securityGroups has '%.64s', wanted ids like sg-0123abcd",
				  id ? id : "something that is not a string");
	c->n_groups++;
	return 0;
}

static int read_eniconfig(const struct vw_json *obj, struct manifest_eniconfig *c, struct vw_err *err)
{
	const struct vw_json *spec = vw_json_get(obj, "spec"), *groups = vw_json_get(spec, "securityGroups");
	const char *subnet = vw_k8s_text(spec, "subnet");
	int r = 0;

	if (strncmp(subnet, "subnet-", 7) || vw_fmt(c->subnet, sizeof(c->subnet), "%s", subnet) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "spec.subnet is '%.64s', wanted an id like subnet-0123abcd", subnet);
	if (!vw_json_is_null(groups) && vw_json_type(groups) != VW_JSON_ARRAY)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "spec.securityGroups is not a list");
	for (size_t i = 0; r == 0 && i < vw_json_len(groups); i++)
		r = take_group(c, vw_json_at(groups, i), err);
	return r;
}

static int add_eniconfig(struct manifests *m, const struct vw_json *obj, const char *name, const char *file,
			 struct vw_err *err)
{
	struct manifest_eniconfig c = {0}, *grown;

	if (!*name || vw_fmt(c.name, sizeof(c.name), "%s", name) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "an ENIConfig without a usable metadata.name");
	(void)!vw_fmt(c.file, sizeof(c.file), "%.*s", (int)sizeof(c.file) - 1, file);
	if (read_eniconfig(obj, &c, err) < 0)
		return vw_err_wrap(err, "ENIConfig %.64s", name);
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].name, name))
			return vw_err_set(err, EEXIST, VW_CNI_INVALID_CONFIG,
					  "ENIConfig %.64s is there twice, the first in %.64s", name,
					  m->v[i].file);
	if (m->n == MAX_ENICONFIGS)
		return vw_err_set(err, E2BIG, VW_CNI_INVALID_CONFIG, "more than %d ENIConfigs",
				  MAX_ENICONFIGS);
	grown = reallocarray(m->v, m->n + 1, sizeof(*grown));
	if (!grown)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu ENIConfigs", m->n + 1);
	m->v = grown;
	m->v[m->n++] = c;
	return 0;
}

/* 0 = not ours; the greater, the surer */
static unsigned int node_fit(const struct vw_json *obj, const char *name, const struct manifest_want *w)
{
	if (w->node_name[0])
		return !strcmp(name, w->node_name) ? 3 : 0;
	if (vw_k8s_is_instance(vw_k8s_text(vw_json_get(obj, "spec"), "providerID"), w->instance_id))
		return 2;
	return *name && !strcmp(name, w->host_name) ? 1 : 0;
}

static int add_node(struct manifests *m, const struct vw_json *obj, const char *name,
		    const struct manifest_want *w, struct vw_err *err)
{
	const struct vw_json *meta = vw_json_get(obj, "metadata");
	const struct vw_json *labels = vw_json_get(meta, "labels"),
			     *annotations = vw_json_get(meta, "annotations");
	const struct {
		const struct vw_json *in;
		const char *what, *key;
	} places[] = {
		{labels, "label", EXTERNAL_LABEL},
		{annotations, "annotation", w->annotation},
		{labels, "label", w->label},
	};
	unsigned int fit = node_fit(obj, name, w);

	if (!fit || fit < m->fit)
		return 0;
	if (fit == m->fit)
		return vw_err_set(err, EEXIST, VW_CNI_INVALID_CONFIG,
				  "this node's Node is there twice: %.64s and %.64s", m->node_name, name);
	m->fit = fit;
	m->node_config[0] = m->node_from[0] = 0;
	(void)!vw_fmt(m->node_name, sizeof(m->node_name), "%.*s", MANIFEST_NAME_MAX - 1, name);
	for (size_t i = 0; i < VW_ARRAY_SIZE(places); i++) {
		const char *value = vw_k8s_text(places[i].in, places[i].key);

		if (!*value)
			continue;
		if (vw_fmt(m->node_config, sizeof(m->node_config), "%s", value) < 0)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
					  "%s %.64s of Node %.64s is too long", places[i].what, places[i].key,
					  name);
		(void)!vw_fmt(m->node_from, sizeof(m->node_from), "%s %s", places[i].what, places[i].key);
		break;
	}
	return 0;
}

struct taking {
	struct manifests *m;
	const struct manifest_want *want;
	const char *file;
};

static int take_object(void *arg, const struct vw_k8s_object *obj, struct vw_err *err)
{
	const struct taking *t = arg;
	const char *name = vw_k8s_text(vw_json_get(obj->json, "metadata"), "name");

	if (!strcmp(obj->kind, "ENIConfig") && vw_k8s_is_group(obj->version, "crd.k8s.amazonaws.com")) {
		if (add_eniconfig(t->m, obj->json, name, t->file, err) < 0)
			return vw_err_wrap(err, "%s", t->file);
	} else if (!strcmp(obj->kind, "Node") && !strcmp(obj->version, "v1")) {
		if (add_node(t->m, obj->json, name, t->want, err) < 0)
			return vw_err_wrap(err, "%s", t->file);
	}
	return 0;
}

int manifests_take(struct manifests *m, const struct manifest_want *want, const char *text, size_t len,
		   const char *file, struct vw_err *err)
{
	struct taking t = {m, want, file};

	return vw_k8s_walk(file, text, len, take_object, &t, err);
}

/* --- the folder */

static int is_manifest(const struct dirent *e)
{
	return vw_k8s_is_manifest(e->d_name);
}

static int take_file(struct manifests *m, const struct manifest_want *want, const char *dir, const char *name,
		     struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char path[VW_PATH_MAX];
	int r;

	if (vw_fmt(path, sizeof(path), "%s/%s", dir, name) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "the path of %.64s is too long",
				  name);
	r = vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &text, err);
	return r < 0 ? r : manifests_take(m, want, vw_buf_str(&text), text.len, path, err);
}

int manifests_read(const char *dir, const struct manifest_want *want, struct manifests *ret,
		   struct vw_err *err)
{
	struct manifests m = {0};
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_manifest, alphasort), r = 0;

	if (n < 0)
		return vw_err_sys(err, errno, VW_CNI_INVALID_CONFIG, "reading policy_dir '%s'", dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = take_file(&m, want, dir, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	if (r < 0)
		manifests_done(&m);
	else
		*ret = m;
	return r;
}

void manifests_done(struct manifests *m)
{
	free(m->v);
	*m = (struct manifests){0};
}

const struct manifest_eniconfig *manifests_eniconfig(const struct manifests *m, struct vw_err *err)
{
	const char *name = m->node_config[0] ? m->node_config : "default";

	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].name, name))
			return &m->v[i];
	if (m->node_config[0])
		vw_err_set(err, ENOENT, VW_CNI_INVALID_CONFIG,
			   "there is no ENIConfig '%.64s', which %.128s of Node %.64s names", name,
			   m->node_from, m->node_name);
	else if (m->fit)
		vw_err_set(err, ENOENT, VW_CNI_INVALID_CONFIG,
			   "Node %.64s names no ENIConfig, and there is none called 'default'", m->node_name);
	else
		vw_err_set(err, ENOENT, VW_CNI_INVALID_CONFIG,
			   "policy_dir has neither this node's Node nor an ENIConfig 'default'");
	return NULL;
}
