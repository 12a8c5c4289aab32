// SPDX-License-Identifier: Apache-2.0
/*
 * The table of kinds, and the picking of members. What counts of each: docs/POLICY.md ("Objects"), docs/CONFIG.md (custom_networking,
 * enable_pod_eni).
 */
#include "feed/kinds.h"

#include "feed/folder.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>

#define NAMES "metadata.name", "metadata.namespace", "metadata.labels", "metadata.creationTimestamp"

static const char *const policy[] = { NAMES, "spec", NULL };
static const char *const namespace[] = { NAMES, NULL };
static const char *const pod[] = { NAMES, "metadata.annotations.vpc.amazonaws.com/pod-eni", "spec.nodeName", "spec.hostNetwork",
	"spec.containers.name", "spec.containers.ports", "spec.initContainers.name", "spec.initContainers.ports",
	"spec.initContainers.restartPolicy", "status.phase", "status.podIP", "status.podIPs", NULL };
static const char *const node[] = { NAMES, "metadata.annotations", "spec.providerID", "status.addresses", NULL };
static const char *const service[] = { NAMES, "spec", "status.loadBalancer", NULL };
static const char *const slice[] = { NAMES, "addressType", "endpoints", "ports", NULL };

static const struct feed_kind kinds[] = {
	{ "namespaces", "Namespace", "v1", "/api/v1/namespaces", NULL, namespace, false, true },
	{ "pods", "Pod", "v1", "/api/v1/pods", NULL, pod, false, true },
	{ "nodes", "Node", "v1", "/api/v1/nodes", NULL, node, false, true },
	{ "services", "Service", "v1", "/api/v1/services", NULL, service, false, true },
	/* whose answers are believed when a policy names domains; the others are not looked at */
	{ "endpointslices", "EndpointSlice", "discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
	  "labelSelector=kubernetes.io%2Fservice-name%3Dkube-dns", slice, false, true },
	{ "networkpolicies", "NetworkPolicy", "networking.k8s.io/v1", "/apis/networking.k8s.io/v1/networkpolicies", NULL, policy, false, true },
	{ "clusternetworkpolicies", "ClusterNetworkPolicy", "policy.networking.k8s.io/v1alpha2",
	  "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", NULL, policy, true, true },
	{ "adminnetworkpolicies", "AdminNetworkPolicy", "policy.networking.k8s.io/v1alpha1",
	  "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies", NULL, policy, true, true },
	{ "baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy", "policy.networking.k8s.io/v1alpha1",
	  "/apis/policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies", NULL, policy, true, true },
	{ "aws-clusternetworkpolicies", "ClusterNetworkPolicy", "networking.k8s.aws/v1alpha1",
	  "/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies", NULL, policy, true, true },
	{ "aws-applicationnetworkpolicies", "ApplicationNetworkPolicy", "networking.k8s.aws/v1alpha1",
	  "/apis/networking.k8s.aws/v1alpha1/applicationnetworkpolicies", NULL, policy, true, true },
	/* made by EKS's controller of NetworkPolicies, which are here themselves */
	{ "aws-policyendpoints", "PolicyEndpoint", "networking.k8s.aws/v1alpha1", "/apis/networking.k8s.aws/v1alpha1/policyendpoints", NULL,
	  policy, true, false },
	{ "eniconfigs", "ENIConfig", "crd.k8s.amazonaws.com/v1alpha1", "/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs", NULL, policy, true,
	  true },
};

const struct feed_kind *feed_kinds(size_t *ret_n)
{
	*ret_n = VW_ARRAY_SIZE(kinds);
	return kinds;
}

enum wanted { NOT, SOME, ALL };

static enum wanted wanted(const char *const *keep, const char *path)
{
	size_t len = strlen(path);

	for (; *keep; keep++) {
		if (!strcmp(*keep, path))
			return ALL;
		if (!strncmp(*keep, path, len) && (*keep)[len] == '.')
			return SOME;
	}
	return NOT;
}

/* NULL: no memory, or deeper than any path */
static struct vw_json *pick(const struct vw_json *from, const char *const *keep, const char *path)
{
	bool array = vw_json_type(from) == VW_JSON_ARRAY;
	struct vw_json *to = array ? vw_json_new_array() : vw_json_new_object();
	const struct vw_json *value;
	char inner[256];
	const char *key;
	void *at = NULL;
	int bad = !to;

	for (size_t i = 0; array && i < vw_json_len(from); i++)
		bad |= vw_json_append(to, pick(vw_json_at(from, i), keep, path)) < 0;
	while (!array && !bad && (key = vw_json_each(from, &at, &value))) {
		enum wanted w;

		if (vw_fmt(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", key) < 0)
			continue;
		w = wanted(keep, inner);
		if (w == ALL)
			bad |= vw_json_set(to, key, vw_json_copy(value)) < 0;
		else if (w == SOME && (vw_json_type(value) == VW_JSON_OBJECT || vw_json_type(value) == VW_JSON_ARRAY))
			bad |= vw_json_set(to, key, pick(value, keep, inner)) < 0;
	}
	return vw_json_whole(to, bad);
}

/* in this very spelling, as pick() has it: vw_json_get() takes others, too */
static const struct vw_json *member(const struct vw_json *obj, const char *key)
{
	const struct vw_json *value;
	const char *name;
	void *at = NULL;

	while ((name = vw_json_each(obj, &at, &value)))
		if (!strcmp(name, key))
			return value;
	return NULL;
}

static const char *text_of(const struct vw_json *obj, const char *key)
{
	const char *s = vw_json_string(member(obj, key));

	return s ? s : "";
}

int feed_kind_take(const struct feed_kind *k, const struct vw_json *obj, char ret_file[256], struct vw_buf *ret_text, struct vw_err *err)
{
	const struct vw_json *meta = member(obj, "metadata");
	const char *ns = text_of(meta, "namespace"), *name = text_of(meta, "name");
	vw_auto_json struct vw_json *out = NULL, *kept = NULL;
	const struct vw_json *value;
	const char *key;
	void *at = NULL;
	int bad;

	if (feed_file_name(k->name, ns, name, ret_file) < 0)
		return vw_err_set(err, EINVAL, 0, "an object of kind %s has a name that is none: '%.64s' in namespace '%.64s'", k->kind, name, ns);
	kept = pick(obj, k->keep, "");
	out = vw_json_new_object();
	if (!kept || !out)
		return vw_err_set(err, ENOMEM, 0, "taking over %s %s/%s", k->kind, ns, name);
	/* items of a list do not say what they are */
	bad = vw_json_set_str(out, "apiVersion", k->version) < 0 || vw_json_set_str(out, "kind", k->kind) < 0;
	while (!bad && (key = vw_json_each(kept, &at, &value)))
		bad = vw_json_set(out, key, vw_json_copy(value)) < 0;
	if (bad || vw_json_print(out, 0, ret_text) < 0)
		return vw_err_set(err, ENOMEM, 0, "taking over %s %s/%s", k->kind, ns, name);
	vw_buf_putc(ret_text, '\n');
	return vw_buf_err(ret_text) < 0 ? vw_err_set(err, ENOMEM, 0, "taking over %s %s/%s", k->kind, ns, name) : 0;
}
