/* Pod, Namespace, Node, Service, EndpointSlice: what policies need of them, leniently; the rest is passed
 * over. */
#include "netpolicy-bpf/user/np_read.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"

#include <errno.h>
#include <string.h>

#define MAX_PORTS 1000 /* of one pod */

static int read_ip(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
		   struct vw_ip *ret)
{
	if (vw_ip_parse(text, ret) < 0)
		return np_bad(r, at, key, "\"%.64s\" is no address", text);
	return 0;
}

/* --- Pod */

struct ports {
	struct np_named_port *v;
	unsigned int n, cap;
};

static int read_container_port(struct np_reader *r, const struct np_at *at, const struct vw_json *json,
			       struct ports *ports)
{
	struct np_named_port port = {0};
	const char *name = "";
	int64_t number = 0;
	int bad = np_get_text(r, at, json, "name", &name);

	bad = bad < 0 ? bad : np_get_int(r, at, json, "containerPort", 1, 65535, &number);
	bad = bad < 0 ? bad : np_read_proto(r, at, json, &port.proto);
	if (bad < 0 || !*name || !number)
		return bad;
	port.port = (uint16_t)number;
	port.name = np_keep_str(r, name);
	if (!port.name)
		return np_no_memory(r);
	for (unsigned int i = 0; i < ports->n; i++)
		if (ports->v[i].name == port.name && ports->v[i].proto == port.proto)
			return 0;
	if (ports->n == MAX_PORTS)
		return np_bad(r, at, NULL, "the pod has more than %d named ports", MAX_PORTS);
	if (ports->n == ports->cap) {
		struct np_named_port *grown =
			np_mem_alloc(r->mem, ports->cap ? 2 * ports->cap : 4, sizeof(*grown));

		if (!grown)
			return np_no_memory(r);
		if (ports->n)
			memcpy(grown, ports->v, ports->n * sizeof(*grown));
		ports->v = grown;
		ports->cap = ports->cap ? 2 * ports->cap : 4;
	}
	ports->v[ports->n++] = port;
	return 0;
}

/* @restartable: only containers that run beside the others (init containers with restartPolicy Always). */
static int read_containers(struct np_reader *r, const struct np_at *at, const struct vw_json *spec,
			   const char *key, bool restartable, struct ports *ports)
{
	const struct vw_json *list, *container, *port_list, *port;
	int bad = np_get_list(r, at, spec, key, &list);

	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, key, (long)i};

		bad = np_item(r, &here, list, i, &container);
		if (bad < 0)
			return bad;
		if (restartable && strcmp(vw_k8s_text(container, "restartPolicy"), "Always") != 0)
			continue;
		bad = np_get_list(r, &here, container, "ports", &port_list);
		for (size_t k = 0; bad >= 0 && k < vw_json_len(port_list); k++) {
			const struct np_at there = {&here, "ports", (long)k};

			bad = np_item(r, &there, port_list, k, &port);
			bad = bad < 0 ? bad : read_container_port(r, &there, port, ports);
		}
	}
	return bad;
}

static int take_pod_ip(struct np_reader *r, const struct np_at *at, const char *key, const char *text,
		       struct np_pod *pod)
{
	struct vw_ip ip;
	int bad = *text ? read_ip(r, at, key, text, &ip) : 0;

	if (bad < 0 || !*text)
		return bad;
	if (ip.family == AF_INET && !pod->ip4.family)
		pod->ip4 = ip;
	else if (ip.family == AF_INET6 && !pod->ip6.family)
		pod->ip6 = ip;
	return 0;
}

static int read_pod_ips(struct np_reader *r, const struct np_at *at, const struct vw_json *status,
			struct np_pod *pod)
{
	const struct vw_json *list, *item;
	const char *text = "";
	int bad = np_get_list(r, at, status, "podIPs", &list);

	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {at, "podIPs", (long)i};

		text = "";
		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : np_get_text(r, &here, item, "ip", &text);
		bad = bad < 0 ? bad : take_pod_ip(r, &here, "ip", text, pod);
	}
	text = "";
	bad = bad < 0 ? bad : np_get_text(r, at, status, "podIP", &text);
	return bad < 0 ? bad : take_pod_ip(r, at, "podIP", text, pod);
}

/* @tmp: memory of what only the shape needs, which counts it itself. */
static int read_shape(struct np_reader *r, struct np_mem *tmp, const struct vw_json *json,
		      const struct vw_json *spec, struct np_pod *pod)
{
	const struct np_at meta = {NULL, "metadata", -1}, at = {NULL, "spec", -1};
	struct np_mem *own = r->mem;
	struct np_labels labels = {0};
	struct ports ports = {0};
	struct np_space *space;
	int bad;

	r->mem = tmp;
	space = np_keep_space(r, pod->o.ns->s);
	bad = np_read_labels(r, &meta, vw_json_get(json, "metadata"), "labels", &labels);
	bad = bad < 0 ? bad : read_containers(r, &at, spec, "containers", false, &ports);
	bad = bad < 0 ? bad : read_containers(r, &at, spec, "initContainers", true, &ports);
	r->mem = own;
	if (bad < 0)
		return bad;
	if (space)
		pod->shape = np_keep_shape(r, space, labels.v, labels.n, ports.v, ports.n);
	return pod->shape ? 0 : np_no_memory(r);
}

int np_read_pod(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct np_at at = {NULL, "spec", -1}, meta = {NULL, "metadata", -1},
			   status_at = {NULL, "status", -1};
	struct np_pod *pod = (struct np_pod *)o;
	const struct vw_json *spec, *status;
	const char *node = "", *phase = "", *created = "";
	struct np_mem tmp = {0};
	int bad = np_get_obj(r, NULL, json, "spec", &spec);

	bad = bad < 0 ? bad : np_get_obj(r, NULL, json, "status", &status);
	bad = bad < 0 ? bad : np_get_text(r, &at, spec, "nodeName", &node);
	bad = bad < 0 ? bad : np_get_bool(r, &at, spec, "hostNetwork", &pod->host_network);
	bad = bad < 0 ? bad : np_get_text(r, &status_at, status, "phase", &phase);
	bad = bad < 0 ? bad
		      : np_get_text(r, &meta, vw_json_get(json, "metadata"), "creationTimestamp", &created);
	bad = bad < 0 ? bad : read_pod_ips(r, &status_at, status, pod);
	bad = bad < 0 ? bad : read_shape(r, &tmp, json, spec, pod);
	np_mem_done(&tmp, r->names);
	if (bad < 0)
		return bad;
	pod->done = !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
	if (*created && vw_parse_time(created, &pod->created) < 0)
		return np_bad(r, &meta, "creationTimestamp", "\"%.64s\" is no time", created);
	pod->node = np_keep_str(r, node);
	return pod->node ? 0 : np_no_memory(r);
}

/* --- Namespace, Node */

int np_read_namespace(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct np_at meta = {NULL, "metadata", -1};
	struct np_ns *ns = (struct np_ns *)o;
	struct np_labels read = {0};
	unsigned int i = 0;
	int bad = np_read_labels(r, &meta, vw_json_get(json, "metadata"), "labels", &read);

	if (bad < 0)
		return bad;
	ns->space = np_keep_space(r, o->name->s);
	ns->labels.v = np_mem_alloc(r->mem, read.n + 1, sizeof(*ns->labels.v));
	if (!ns->space || !ns->labels.v)
		return np_no_memory(r);
	/* the API server sets the implied label whatever the manifest says */
	for (; i < read.n && strcmp(read.v[i]->key->s, ns->space->implied->key->s) < 0; i++)
		ns->labels.v[ns->labels.n++] = read.v[i];
	ns->labels.v[ns->labels.n++] = ns->space->implied;
	for (; i < read.n; i++)
		if (read.v[i]->key != ns->space->implied->key)
			ns->labels.v[ns->labels.n++] = read.v[i];
	return 0;
}

struct ips {
	struct vw_ip *v;
	unsigned int n, cap;
};

static int add_ip(struct np_reader *r, struct ips *ips, const char *text)
{
	struct vw_ip ip, *grown;

	if (!text || vw_ip_parse(text, &ip) < 0)
		return 0;
	if (ips->n == ips->cap) {
		grown = np_mem_alloc(r->mem, ips->cap ? 2 * ips->cap : 2, sizeof(*grown));
		if (!grown)
			return np_no_memory(r);
		if (ips->n)
			memcpy(grown, ips->v, ips->n * sizeof(*grown));
		ips->v = grown;
		ips->cap = ips->cap ? 2 * ips->cap : 2;
	}
	ips->v[ips->n++] = ip;
	return 0;
}

/* Addresses of list @key: texts, or, with @member, objects with the text there; what is no address is
 * passed over. */
static int read_ips(struct np_reader *r, const struct np_at *at, const struct vw_json *obj, const char *key,
		    const char *member, struct ips *ips)
{
	const struct vw_json *list;
	int bad = np_get_list(r, at, obj, key, &list);

	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct vw_json *item = vw_json_at(list, i);

		bad = add_ip(r, ips, member ? vw_k8s_text(item, member) : vw_json_string(item));
	}
	return bad;
}

int np_read_node(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct np_at meta = {NULL, "metadata", -1}, at = {NULL, "status", -1}, spec_at = {NULL, "spec", -1};
	struct np_node *node = (struct np_node *)o;
	const struct vw_json *spec;
	const char *provider = "";
	struct ips ips = {0};
	int bad = np_read_labels(r, &meta, vw_json_get(json, "metadata"), "labels", &node->labels);

	bad = bad < 0 ? bad : np_get_obj(r, NULL, json, "spec", &spec);
	bad = bad < 0 ? bad : np_get_text(r, &spec_at, spec, "providerID", &provider);
	bad = bad < 0 ? bad : read_ips(r, &at, vw_json_get(json, "status"), "addresses", "address", &ips);
	node->ip = ips.v;
	node->n_ip = ips.n;
	if (bad < 0)
		return bad;
	node->provider = np_keep_str(r, provider);
	return node->provider ? 0 : np_no_memory(r);
}

/* --- Service, EndpointSlice */

int np_read_service(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct np_at at = {NULL, "spec", -1}, status_at = {NULL, "status", -1},
			   lb_at = {&status_at, "loadBalancer", -1};
	struct np_service *svc = (struct np_service *)o;
	const struct vw_json *spec, *status, *lb;
	const char *one = "", *type = "";
	struct ips ips = {0};
	int bad = np_get_obj(r, NULL, json, "spec", &spec);

	bad = bad < 0 ? bad : np_get_obj(r, NULL, json, "status", &status);
	bad = bad < 0 ? bad : np_get_obj(r, &status_at, status, "loadBalancer", &lb);
	bad = bad < 0 ? bad : np_get_text(r, &at, spec, "type", &type);
	bad = bad < 0 ? bad : np_get_text(r, &at, spec, "clusterIP", &one);
	bad = bad < 0 ? bad : np_read_labels(r, &at, spec, "selector", &svc->selector);
	bad = bad < 0 ? bad : read_ips(r, &at, spec, "clusterIPs", NULL, &ips);
	if (bad >= 0 && !ips.n) /* before 1.20, and in manifests written by hand; "None" is none */
		bad = add_ip(r, &ips, one);
	bad = bad < 0 ? bad : read_ips(r, &at, spec, "externalIPs", NULL, &ips);
	bad = bad < 0 ? bad : read_ips(r, &lb_at, lb, "ingress", "ip", &ips);
	svc->ip = ips.v;
	svc->n_ip = ips.n;
	svc->node_ports = !strcmp(type, "NodePort") || !strcmp(type, "LoadBalancer");
	return bad < 0 ? bad : 0;
}

int np_read_slice(struct np_reader *r, const struct vw_json *json, struct np_object *o)
{
	const struct vw_json *labels = vw_json_get(vw_json_get(json, "metadata"), "labels"), *list, *item;
	struct np_slice *slice = (struct np_slice *)o;
	struct ips ips = {0};
	int bad = np_get_list(r, NULL, json, "endpoints", &list);

	slice->service = np_keep_str(r, vw_k8s_text(labels, "kubernetes.io/service-name"));
	if (!slice->service)
		return np_no_memory(r);
	for (size_t i = 0; bad >= 0 && i < vw_json_len(list); i++) {
		const struct np_at here = {NULL, "endpoints", (long)i};

		bad = np_item(r, &here, list, i, &item);
		bad = bad < 0 ? bad : read_ips(r, &here, item, "addresses", NULL, &ips);
	}
	slice->ip = ips.v;
	slice->n_ip = ips.n;
	return bad < 0 ? bad : 0;
}
