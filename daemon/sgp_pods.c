// SPDX-License-Identifier: Apache-2.0
/* Pods of the manifests, as far as branch ENIs go; file by file, in the order of their names. */
#include "daemon/sgp_pods.h"

#include "daemon/hostnet.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"

#include <dirent.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* @text: of the annotation; NULL = none. @wants: a container asks for a branch ENI. */
struct pod {
	char *ns, *name, *uid, *text;
	bool wants;
};

struct file {
	char name[256];
	struct timespec mtime;
	off_t size;
	ino_t ino;
	struct pod *v;
	size_t n, cap;
	bool seen;
};

struct sgp_pods {
	struct file *v;
	size_t n;
};

struct sgp_pods *sgp_pods_new(void)
{
	return calloc(1, sizeof(struct sgp_pods));
}

static void pods_done(struct file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].ns);
		free(f->v[i].name);
		free(f->v[i].uid);
		free(f->v[i].text);
	}
	free(f->v);
	f->v = NULL;
	f->n = f->cap = 0;
}

void sgp_pods_free(struct sgp_pods *p)
{
	for (size_t i = 0; p && i < p->n; i++)
		pods_done(&p->v[i]);
	if (p)
		free(p->v);
	free(p);
}

/* --- one Pod */

static bool asks(const struct vw_json *list, const char *key)
{
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const struct vw_json *set = vw_json_get(vw_json_get(vw_json_at(list, i), "resources"), key);

		if (!vw_json_is_null(vw_json_get(set, SGP_ANNOTATION)))
			return true;
	}
	return false;
}

/* aws-node looks at the first container alone */
static bool wants_branch(const struct vw_json *spec)
{
	static const char *const lists[] = {"containers", "initContainers"}, *const keys[] = {"limits", "requests"};

	for (size_t l = 0; l < VW_ARRAY_SIZE(lists); l++)
		for (size_t k = 0; k < VW_ARRAY_SIZE(keys); k++)
			if (asks(vw_json_get(spec, lists[l]), keys[k]))
				return true;
	return false;
}

static int take_pod(void *arg, const struct vw_k8s_object *obj, struct vw_err *err)
{
	const struct vw_json *meta = vw_json_get(obj->json, "metadata"), *notes = vw_json_get(meta, "annotations");
	const char *ns = vw_k8s_text(meta, "namespace"), *text = vw_k8s_text(notes, SGP_ANNOTATION);
	struct file *f = arg;
	struct pod *grown, p = {0};

	if (strcmp(obj->kind, "Pod") || strcmp(obj->version, "v1"))
		return 0;
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;

		grown = reallocarray(f->v, cap, sizeof(*grown));
		if (!grown)
			return vw_err_sys(err, ENOMEM, 0, "reading pods");
		f->v = grown;
		f->cap = cap;
	}
	p.ns = strdup(*ns ? ns : "default");
	p.name = strdup(vw_k8s_text(meta, "name"));
	p.uid = strdup(vw_k8s_text(meta, "uid"));
	p.text = *text ? strdup(text) : NULL;
	p.wants = wants_branch(vw_json_get(obj->json, "spec"));
	f->v[f->n++] = p;
	return p.ns && p.name && p.uid && (p.text || !*text) ? 0 : vw_err_sys(err, ENOMEM, 0, "reading pods");
}

/* --- files */

static struct file *file_of(struct sgp_pods *p, const char *name)
{
	struct file *grown;

	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].name, name))
			return &p->v[i];
	grown = reallocarray(p->v, p->n + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	p->v = grown;
	p->v[p->n] = (struct file){.size = -1};
	(void)VW_COPY(p->v[p->n].name, name);
	return &p->v[p->n++];
}

static int read_file(struct file *f, const char *path, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct file fresh = {0};

	if (vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &b, err) < 0)
		return -err->eno;
	if (vw_k8s_walk(f->name, vw_buf_str(&b), b.len, take_pod, &fresh, err) < 0) {
		pods_done(&fresh);
		return -err->eno;
	}
	pods_done(f);
	f->v = fresh.v;
	f->n = fresh.n;
	f->cap = fresh.cap;
	return 0;
}

static bool is_same(const struct file *f, const struct stat *st)
{
	return f->size == st->st_size && f->ino == st->st_ino && f->mtime.tv_sec == st->st_mtim.tv_sec &&
	       f->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static int look_at(struct sgp_pods *p, const char *dir, const char *name, struct vw_err *err)
{
	char path[VW_PATH_MAX + 256];
	struct file *f;
	struct stat st;

	if (vw_fmt(path, sizeof(path), "%s/%s", dir, name) < 0 || stat(path, &st) < 0)
		return 0;
	f = file_of(p, name);
	if (!f)
		return vw_err_sys(err, ENOMEM, 0, "reading pods");
	f->seen = true;
	if (is_same(f, &st))
		return 0;
	/* policy.c says so too: for a person it is enough there */
	if (read_file(f, path, err) < 0)
		vw_debug("a file keeps what it said of pods before", "file=%s err=\"%s\"", path, err->msg);
	f->size = st.st_size;
	f->ino = st.st_ino;
	f->mtime = st.st_mtim;
	return 0;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int look_again(struct sgp_pods *p, const char *dir, struct vw_err *err)
{
	vw_auto(close_dir) DIR *d = opendir(dir);
	struct dirent *e;
	size_t kept = 0;

	if (!d && errno != ENOENT)
		return vw_err_sys(err, errno, VW_CNI_TRY_AGAIN, "reading policy_dir '%s'", dir);
	for (size_t i = 0; i < p->n; i++)
		p->v[i].seen = false;
	while (d && (e = readdir(d)))
		if (vw_k8s_is_manifest(e->d_name) && look_at(p, dir, e->d_name, err) < 0)
			return -err->eno;
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].seen)
			p->v[kept++] = p->v[i];
		else
			pods_done(&p->v[i]);
	}
	p->n = kept;
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_name);
	return 0;
}

/* --- the annotation */

static const struct vw_json *first_of(const struct vw_json *array)
{
	return vw_json_type(array) == VW_JSON_ARRAY && vw_json_len(array) ? vw_json_at(array, 0) : NULL;
}

static int take_addresses(const struct vw_json *o, struct store_branch *b, struct vw_err *err)
{
	const char *ip4 = vw_k8s_text(o, "privateIp"), *ip6 = vw_k8s_text(o, "ipv6Addr"), *subnet = vw_k8s_text(o, "subnetCidr");
	struct vw_cidr net;

	if (*ip4 && (vw_ip_parse(ip4, &b->ip4) < 0 || b->ip4.family != AF_INET))
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "privateIp is \"%.60s\", an IPv4 address is wanted", ip4);
	if (*ip6 && (vw_ip_parse(ip6, &b->ip6) < 0 || b->ip6.family != AF_INET6))
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "ipv6Addr is \"%.60s\", an IPv6 address is wanted", ip6);
	if (!*ip4)
		return *ip6 ? 0 : vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "there is neither privateIp nor ipv6Addr");
	if (vw_cidr_parse(subnet, &net) < 0 || net.ip.family != AF_INET || net.len < 16 || net.len > 28 || !vw_cidr_has(&net, &b->ip4))
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "subnetCidr is \"%.60s\", the subnet of %s is wanted", subnet, ip4);
	/* the subnet's router has the first address behind its base (VPC User Guide, subnet-sizing.html) */
	b->gw4 = vw_cidr_masked(&net).ip;
	b->gw4.b[3]++;
	return 0;
}

int sgp_annotation_parse(const char *text, struct store_branch *ret, struct vw_err *err)
{
	static const struct vw_json_limits limits = {16 * 1024, 8};
	vw_auto_json struct vw_json *doc = NULL;
	const struct vw_json *o;
	struct store_branch b = {0};
	int64_t vlan = 0;

	if (vw_json_parse(text, strlen(text), &limits, "annotation " SGP_ANNOTATION, &doc, err) < 0)
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "it is no JSON");
	o = first_of(doc);
	if (!o)
		return vw_err_set(err, ENODATA, VW_CNI_TRY_AGAIN, "it is an empty list");
	/* the controller writes vlanId, aws-node reads vlanID: keys match in any case */
	if (vw_json_get_int(o, "vlanId", 1, 4094, &vlan, err) <= 0)
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "vlanId is missing, or not 1 to 4094");
	b.vlan = (unsigned int)vlan;
	/* the controller uses 1 to 120 */
	if (HOSTNET_TABLE_BRANCH + b.vlan >= RT_TABLE_COMPAT && HOSTNET_TABLE_BRANCH + b.vlan <= RT_TABLE_LOCAL)
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG,
				  "vlanId is %u: its routing table would be %u, which is the kernel's own", b.vlan, HOSTNET_TABLE_BRANCH + b.vlan);
	if (vw_mac_parse(vw_k8s_text(o, "ifAddress"), &b.mac) < 0 || vw_mac_is_zero(&b.mac) || b.mac.b[0] & 1)
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "ifAddress is \"%.60s\", a MAC address is wanted",
				  vw_k8s_text(o, "ifAddress"));
	if (strncmp(vw_k8s_text(o, "eniId"), "eni-", 4) || VW_COPY(b.eni_id, vw_k8s_text(o, "eniId")) < 0)
		return vw_err_set(err, EBADMSG, VW_CNI_INVALID_CONFIG, "eniId is \"%.60s\", an id like eni-0123 is wanted",
				  vw_k8s_text(o, "eniId"));
	if (take_addresses(o, &b, err) < 0)
		return -err->eno;
	*ret = b;
	return 0;
}

/* --- the question */

static const struct pod *find(const struct sgp_pods *p, const char *ns, const char *name, const char *uid, bool *ret_former)
{
	const struct pod *found = NULL;

	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < p->v[i].n; k++) {
			const struct pod *pod = &p->v[i].v[k];

			if (strcmp(pod->name, name) || strcmp(pod->ns, ns))
				continue;
			*ret_former = *uid && *pod->uid && strcmp(pod->uid, uid);
			found = *ret_former ? NULL : pod;
		}
	}
	return found;
}

int sgp_pods_find(struct sgp_pods *p, const char *dir, const char *ns, const char *name, const char *uid, struct store_branch *ret,
		  struct vw_err *err)
{
	const struct pod *pod;
	bool former = false;

	if (look_again(p, dir, err) < 0)
		return -err->eno;
	pod = find(p, ns, name, uid, &former);
	if (!pod)
		return vw_err_set(err, ENODATA, VW_CNI_TRY_AGAIN,
				  "pod %s/%s: its manifest is not in policy_dir yet%s, so whether it has a branch ENI is not known", ns, name,
				  former ? " (only one of a former pod of that name)" : "");
	if (!pod->text)
		return pod->wants ? vw_err_set(err, ENODATA, VW_CNI_TRY_AGAIN,
					       "pod %s/%s is to have a branch ENI, but its annotation " SGP_ANNOTATION
					       " is not there yet: the VPC resource controller writes it",
					       ns, name)
				  : 0;
	if (sgp_annotation_parse(pod->text, ret, err) < 0)
		return vw_err_wrap(err, "pod %s/%s: annotation " SGP_ANNOTATION, ns, name);
	return 1;
}
