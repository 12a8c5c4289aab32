/*
 * Reader of fixtures. The state of a run is a list of Kubernetes objects, each owned; a step edits the list. Shorthands
 * ("pods", "nodes", "namespaces") are written out as the objects that an API server would show.
 */
#include "tests/policy/fixture.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <string.h>

#define FX_FILE_MAX (8u << 20)
#define FX_OBJECTS 4096

struct fx_file {
	struct vw_json *json;
	const char *path;
};

struct fx_run {
	const struct fx_file *file;
	const struct vw_json *the_case;
	struct vw_json *obj[FX_OBJECTS];
	size_t n_obj;
	unsigned int n_pods;            /* ever made: numbers addresses */
	struct fx_refusal refuse[FX_REFUSALS];
	size_t n_refuse;
	struct fx_end end[FX_ENDS];
	size_t n_end;
	struct fx_expect *expect;
	size_t n_expect;
	const struct vw_json *names;
};

static int bad(struct vw_err *err, const struct fx_run *r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int bad(struct vw_err *err, const struct fx_run *r, const char *fmt, ...)
{
	char why[300];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return vw_err_set(err, EINVAL, 0, "%s: case %s: %s", r->file->path, vw_json_string(vw_json_get(r->the_case, "name")), why);
}

static int parse(const char *text, size_t len, const char *path, struct fx_file **ret, struct vw_err *err)
{
	const struct vw_json_limits lim = { .max_bytes = FX_FILE_MAX, .max_depth = 64 };
	struct fx_file *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	f->path = path;
	r = vw_json_parse(text, len, &lim, path, &f->json, err);
	if (r == 0 && (!vw_json_string(vw_json_get(f->json, "suite")) || vw_json_len(vw_json_get(f->json, "cases")) == 0))
		r = vw_err_set(err, EINVAL, 0, "%s: no suite or no cases", path);
	if (r < 0) {
		fx_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

int fx_parse(const char *text, struct fx_file **ret, struct vw_err *err)
{
	return parse(text, strlen(text), "a fixture", ret, err);
}

int fx_open(const char *path, struct fx_file **ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT_MAX(FX_FILE_MAX);
	int r = vw_read_file(path, FX_FILE_MAX, &text, err);

	return r < 0 ? r : parse(text.data, text.len, path, ret, err);
}

void fx_close(struct fx_file *f)
{
	if (f)
		vw_json_free(f->json);
	free(f);
}

const char *fx_suite(const struct fx_file *f)
{
	return vw_json_string(vw_json_get(f->json, "suite"));
}

static const struct vw_json *case_at(const struct fx_file *f, size_t i)
{
	return vw_json_at(vw_json_get(f->json, "cases"), i);
}

size_t fx_n_cases(const struct fx_file *f)
{
	return vw_json_len(vw_json_get(f->json, "cases"));
}

const char *fx_case_name(const struct fx_file *f, size_t i)
{
	return vw_json_string(vw_json_get(case_at(f, i), "name"));
}

bool fx_has_family(const struct fx_file *f, size_t i, int family)
{
	int64_t only = 0;
	struct vw_err err;

	vw_json_get_int(case_at(f, i), "family", 4, 6, &only, &err);
	return only == 0 || only == (family ? 6 : 4);
}

size_t fx_n_steps(const struct fx_file *f, size_t i)
{
	return vw_json_len(vw_json_get(case_at(f, i), "steps"));
}

static const char *str_or(const char *s, const char *otherwise)
{
	return s ? s : otherwise;
}

static const char *obj_ns(const struct vw_json *obj)
{
	return str_or(vw_json_string(vw_json_get(vw_json_get(obj, "metadata"), "namespace")), "");
}

static const char *obj_name(const struct vw_json *obj)
{
	return str_or(vw_json_string(vw_json_get(vw_json_get(obj, "metadata"), "name")), "");
}

static const char *obj_kind(const struct vw_json *obj)
{
	return str_or(vw_json_string(vw_json_get(obj, "kind")), "");
}

/** find() - by kind, namespace ("" for what has none) and name. Return: index or n_obj. */
static size_t find(const struct fx_run *r, const char *kind, const char *ns, const char *name)
{
	size_t i;

	for (i = 0; i < r->n_obj; i++) {
		if (strcmp(obj_kind(r->obj[i]), kind) == 0 && strcmp(obj_ns(r->obj[i]), ns) == 0 &&
		    strcmp(obj_name(r->obj[i]), name) == 0)
			break;
	}
	return i;
}

static int put(struct fx_run *r, struct vw_json *take_obj, struct vw_err *err)
{
	size_t i = take_obj ? find(r, obj_kind(take_obj), obj_ns(take_obj), obj_name(take_obj)) : 0;

	if (!take_obj || i == FX_OBJECTS) {
		vw_json_free(take_obj);
		return bad(err, r, "out of memory, or more than %d objects", FX_OBJECTS);
	}
	if (i < r->n_obj)
		vw_json_free(r->obj[i]);
	else
		r->n_obj++;
	r->obj[i] = take_obj;
	return 0;
}

/** put_text() - the same, from its JSON text. */
static int put_text(struct fx_run *r, const struct vw_buf *text, struct vw_err *err)
{
	struct vw_json *obj = NULL;

	if (vw_buf_err(text) < 0 || vw_json_parse(text->data, text->len, NULL, "an object of the fixture", &obj, err) < 0)
		return bad(err, r, "cannot be written out: %s", vw_buf_str(text));
	return put(r, obj, err);
}

/** print() - @j, or @otherwise when it is not there. */
static void print(struct vw_buf *b, const struct vw_json *j, const char *otherwise)
{
	if (vw_json_is_null(j))
		vw_buf_puts(b, otherwise);
	else
		vw_json_print(j, 0, b);
}

/** split() - "ns/name" into two arrays of FX_NAME. */
static int split(const char *text, char ns[FX_NAME], char name[FX_NAME])
{
	const char *slash = strchr(text, '/');

	if (!slash || (size_t)(slash - text) >= FX_NAME)
		return -EINVAL;
	memcpy(ns, text, (size_t)(slash - text));
	ns[slash - text] = 0;
	return vw_fmt(name, FX_NAME, "%s", slash + 1) < 0 ? -EINVAL : 0;
}

int fx_port_parse(const char *text, struct fx_port *ret)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} known[] = { { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "SCTP", IPPROTO_SCTP }, { "ICMP", IPPROTO_ICMP } };
	const char *slash = strchr(text, '/'), *proto = slash ? slash + 1 : text;
	char port[8] = "0";
	uint64_t n;

	if (slash && (size_t)(slash - text) >= sizeof(port))
		return -EINVAL;
	if (slash) {
		memcpy(port, text, (size_t)(slash - text));
		port[slash - text] = 0;
	}
	if (vw_parse_u64(port, 0, 65535, &n) < 0)
		return -EINVAL;
	ret->port = (uint16_t)n;
	for (size_t i = 0; i < VW_ARRAY_SIZE(known); i++) {
		if (strcmp(proto, known[i].name) == 0) {
			ret->proto = known[i].proto;
			return 0;
		}
	}
	if (vw_parse_u64(proto, 0, 255, &n) < 0)
		return -EINVAL;
	ret->proto = (uint8_t)n;
	return 0;
}

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "TCP" : proto == IPPROTO_UDP ? "UDP" : "SCTP";
}

uint16_t fx_service_port(uint16_t port)
{
	return (uint16_t)(port > 64000 ? port - 1000 : port + 1000);
}

struct served {
	char name[FX_NAME];
	struct fx_port at;
};

/** read_ports() - list of "name=80/TCP", or "80/TCP", which is then called serve-80-tcp. Return: how many, -EINVAL. */
static int read_ports(struct fx_run *r, const struct vw_json *list, struct served ret[FX_ON], struct vw_err *err)
{
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const char *text = str_or(vw_json_string(vw_json_at(list, i)), ""), *eq = strchr(text, '=');

		if (i == FX_ON || fx_port_parse(eq ? eq + 1 : text, &ret[i].at) < 0 || ret[i].at.port == 0)
			return bad(err, r, "'%s' is not a port, or there are more than %d", text, FX_ON);
		if (eq)
			(void)snprintf(ret[i].name, FX_NAME, "%.*s", (int)(eq - text), text);
		else
			(void)snprintf(ret[i].name, FX_NAME, "serve-%u-%s", ret[i].at.port,
				       ret[i].at.proto == IPPROTO_TCP ? "tcp" : ret[i].at.proto == IPPROTO_UDP ? "udp" : "sctp");
	}
	return (int)vw_json_len(list);
}

/** add_service() - ns/s-<pod>: an address of each family, each port 1000 above the pod's; and a slice for each family. */
static int add_service(struct fx_run *r, const char *ns, const char *pod, unsigned int n, const struct vw_json *ips,
		       const struct served *ports, int n_ports, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"s-%s\"},", ns, pod);
	vw_buf_printf(&b, "\"spec\":{\"clusterIP\":\"172.20.%u.%u\",\"clusterIPs\":[\"172.20.%u.%u\",\"fd20::%x\"],\"ports\":[",
		      n / 250, n % 250 + 1, n / 250, n % 250 + 1, n + 1);
	for (int i = 0; i < n_ports; i++)
		vw_buf_printf(&b, "%s{\"name\":\"%s\",\"port\":%u,\"targetPort\":%u,\"protocol\":\"%s\"}", i ? "," : "", ports[i].name,
			      fx_service_port(ports[i].at.port), ports[i].at.port, proto_name(ports[i].at.proto));
	vw_buf_puts(&b, "]}}");
	if (put_text(r, &b, err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < vw_json_len(ips); i++) {
		const char *ip = vw_json_string(vw_json_at(ips, i)), *family = strchr(ip, ':') ? "IPv6" : "IPv4";

		vw_buf_reset(&b);
		vw_buf_printf(&b, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"namespace\":\"%s\","
				  "\"name\":\"s-%s-v%c\",\"labels\":{\"kubernetes.io/service-name\":\"s-%s\"}},\"addressType\":\"%s\","
				  "\"endpoints\":[{\"addresses\":[\"%s\"]}],\"ports\":[",
			      ns, pod, family[3], pod, family, ip);
		for (int k = 0; k < n_ports; k++)
			vw_buf_printf(&b, "%s{\"name\":\"%s\",\"port\":%u,\"protocol\":\"%s\"}", k ? "," : "", ports[k].name,
				      ports[k].at.port, proto_name(ports[k].at.proto));
		vw_buf_puts(&b, "]}");
		if (put_text(r, &b, err) < 0)
			return -EINVAL;
	}
	return 0;
}

/** world_get() - of the case's world, or else of the file's. */
static const struct vw_json *world_get(const struct fx_run *r, const char *key)
{
	const struct vw_json *v = vw_json_get(vw_json_get(r->the_case, "world"), key);

	return v ? v : vw_json_get(vw_json_get(r->file->json, "world"), key);
}

static struct vw_json *pod_ips(const struct vw_json *given, unsigned int n)
{
	struct vw_json *ips = vw_json_is_null(given) ? vw_json_new_array() : vw_json_copy(given);
	char text[VW_IP_STRLEN];

	if (vw_json_is_null(given)) {
		(void)snprintf(text, sizeof(text), "10.9.%u.%u", n / 200, n % 200 + 10);
		vw_json_append(ips, vw_json_new_string(text));
		(void)snprintf(text, sizeof(text), "fd09::%x", n + 10);
		vw_json_append(ips, vw_json_new_string(text));
	}
	return ips;
}

static int add_pod(struct fx_run *r, const char *full, const struct vw_json *p, struct vw_err *err)
{
	const struct vw_json *given = vw_json_get(p, "ports");
	vw_auto_json struct vw_json *ips = pod_ips(vw_json_get(p, "ip"), r->n_pods);
	vw_auto_buf struct vw_buf b = VW_BUF_INIT, labels = VW_BUF_INIT;
	struct served ports[FX_ON];
	char ns[FX_NAME], name[FX_NAME];
	unsigned int n = r->n_pods++;
	bool host = false;
	int n_ports = read_ports(r, vw_json_is_null(given) ? world_get(r, "serve") : given, ports, err);

	if (n_ports < 0)
		return n_ports;
	if (split(full, ns, name) < 0 || vw_json_get_bool(p, "hostNetwork", &host, err) < 0)
		return bad(err, r, "'%s' is not a pod", full);
	vw_buf_printf(&labels, "{\"pod\":\"%s\"}", name);
	vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\",\"labels\":", ns, name);
	print(&b, vw_json_get(p, "labels"), vw_buf_str(&labels));
	vw_buf_printf(&b, "},\"spec\":{\"nodeName\":\"%s\",\"hostNetwork\":%s,\"containers\":[{\"name\":\"c\",\"ports\":[",
		      str_or(vw_json_string(vw_json_get(p, "node")), "n1"), host ? "true" : "false");
	for (int i = 0; i < n_ports; i++)
		vw_buf_printf(&b, "%s{\"name\":\"%s\",\"containerPort\":%u,\"protocol\":\"%s\"}", i ? "," : "", ports[i].name,
			      ports[i].at.port, proto_name(ports[i].at.proto));
	vw_buf_printf(&b, "]}]},\"status\":{\"phase\":\"%s\"", str_or(vw_json_string(vw_json_get(p, "phase")), "Running"));
	for (size_t i = 0; i < vw_json_len(ips); i++) {
		const char *ip = str_or(vw_json_string(vw_json_at(ips, i)), "");

		if (i == 0)
			vw_buf_printf(&b, ",\"podIP\":\"%s\",\"podIPs\":[", ip);
		vw_buf_printf(&b, "%s{\"ip\":\"%s\"}", i ? "," : "", ip);
	}
	vw_buf_puts(&b, vw_json_len(ips) ? "]}}" : "}}");
	if (put_text(r, &b, err) < 0)
		return -EINVAL;
	if (host || n_ports == 0 || vw_json_is_null(world_get(r, "services")))
		return 0;
	return add_service(r, ns, name, n, ips, ports, n_ports, err);
}

static int add_namespace(struct fx_run *r, const char *name, const struct vw_json *labels, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\",\"labels\":", name);
	print(&b, labels, "{}");
	vw_buf_puts(&b, "}}");
	return put_text(r, &b, err);
}

static int add_node(struct fx_run *r, const char *name, const struct vw_json *node, struct vw_err *err)
{
	const struct vw_json *ips = vw_json_get(node, "ip");
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":", name);
	print(&b, vw_json_get(node, "labels"), "{}");
	vw_buf_printf(&b, "},\"status\":{\"addresses\":[{\"type\":\"Hostname\",\"address\":\"%s\"}", name);
	for (size_t i = 0; i < vw_json_len(ips); i++)
		vw_buf_printf(&b, ",{\"type\":\"InternalIP\",\"address\":\"%s\"}", str_or(vw_json_string(vw_json_at(ips, i)), ""));
	vw_buf_puts(&b, "]}}");
	return put_text(r, &b, err);
}

static int each_of(struct fx_run *r, const struct vw_json *members,
		   int (*add)(struct fx_run *r, const char *name, const struct vw_json *value, struct vw_err *err), struct vw_err *err)
{
	const struct vw_json *value;
	void *iter = NULL;
	const char *key;

	while (!vw_json_is_null(members) && (key = vw_json_each(members, &iter, &value))) {
		if (add(r, key, value, err) < 0)
			return -EINVAL;
	}
	return 0;
}

/** target() - index of "Kind/name" or "Kind/ns/name". */
static size_t target(const struct fx_run *r, const char *what)
{
	char kind[FX_NAME], rest[FX_NAME], ns[FX_NAME], name[FX_NAME];

	if (split(what, kind, rest) < 0)
		return r->n_obj;
	if (split(rest, ns, name) < 0)
		return find(r, kind, "", rest);
	return find(r, kind, ns, name);
}

static int relabel(struct fx_run *r, const char *what, const struct vw_json *labels, struct vw_err *err)
{
	size_t i = target(r, what);
	struct vw_json *obj, *meta;

	if (i == r->n_obj)
		return bad(err, r, "there is no %s to label", what);
	obj = vw_json_copy(r->obj[i]);
	meta = vw_json_copy(vw_json_get(obj, "metadata"));
	vw_json_set(meta, "labels", vw_json_copy(labels));
	vw_json_set(obj, "metadata", meta);
	return put(r, obj, err);
}

static void drop(struct fx_run *r, size_t i)
{
	vw_json_free(r->obj[i]);
	memmove(&r->obj[i], &r->obj[i + 1], (--r->n_obj - i) * sizeof(r->obj[0]));
}

/** delete() - a namespace takes along what is in it. */
static int delete(struct fx_run *r, const char *what, struct vw_err *err)
{
	size_t i = target(r, what);
	char kind[FX_NAME], name[FX_NAME];

	if (i == r->n_obj || split(what, kind, name) < 0)
		return bad(err, r, "there is no %s to delete", what);
	drop(r, i);
	for (i = 0; strcmp(kind, "Namespace") == 0 && i < r->n_obj; i++) {
		if (strcmp(obj_ns(r->obj[i]), name) == 0)
			drop(r, i--);
	}
	return 0;
}

static int act(struct fx_run *r, const struct vw_json *a, struct vw_err *err)
{
	const struct vw_json *apply = vw_json_get(a, "apply"), *refuse = vw_json_get(a, "refuse"), *list = vw_json_get(a, "delete");
	const char *one = vw_json_string(list), *at = vw_json_string(vw_json_get(a, "at"));

	if (!vw_json_is_null(apply) && put(r, vw_json_copy(apply), err) < 0)
		return -EINVAL;
	if (one && delete(r, one, err) < 0)
		return -EINVAL;
	for (size_t i = 0; !one && i < vw_json_len(list); i++) {
		if (delete(r, str_or(vw_json_string(vw_json_at(list, i)), ""), err) < 0)
			return -EINVAL;
	}
	if (!vw_json_is_null(refuse)) {
		if (r->n_refuse == FX_REFUSALS || !at)
			return bad(err, r, "a refusal without \"at\", or more than %d", FX_REFUSALS);
		r->refuse[r->n_refuse++] = (struct fx_refusal){ refuse, at };
	}
	if (each_of(r, vw_json_get(a, "namespaces"), add_namespace, err) < 0 || each_of(r, vw_json_get(a, "nodes"), add_node, err) < 0 ||
	    each_of(r, vw_json_get(a, "pods"), add_pod, err) < 0)
		return -EINVAL;
	return each_of(r, vw_json_get(a, "labels"), relabel, err);
}

int fx_start(const struct fx_file *f, size_t i, struct fx_run **ret, struct vw_err *err)
{
	struct fx_run *r = calloc(1, sizeof(*r));
	const struct vw_json *objects, *nodes;
	int bad_world;

	if (!r)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	r->file = f;
	r->the_case = case_at(f, i);
	objects = world_get(r, "objects");
	nodes = world_get(r, "nodes");
	bad_world = each_of(r, nodes, add_node, err) < 0 || each_of(r, world_get(r, "namespaces"), add_namespace, err) < 0 ||
		    each_of(r, world_get(r, "pods"), add_pod, err) < 0;
	for (size_t k = 0; !bad_world && k < vw_json_len(objects); k++)
		bad_world = put(r, vw_json_copy(vw_json_at(objects, k)), err) < 0;
	if (!bad_world && !fx_case_name(f, i))
		bad_world = bad(err, r, "has no name") < 0;
	if (bad_world) {
		fx_stop(r);
		return -EINVAL;
	}
	*ret = r;
	return 0;
}

void fx_stop(struct fx_run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_obj; i++)
		vw_json_free(r->obj[i]);
	free(r->expect);
	free(r);
}

bool fx_strict(const struct fx_run *r)
{
	struct vw_err err;
	bool strict = false;

	vw_json_get_bool(r->the_case, "strict", &strict, &err);
	return strict;
}

static void end_ip(struct vw_ip ip[2], const char *text)
{
	struct vw_ip a;

	if (text && vw_ip_parse(text, &a) == 0 && !ip[a.family == AF_INET6].family)
		ip[a.family == AF_INET6] = a;
}

static void end_vip(const struct fx_run *r, const char *ns, const char *pod, struct fx_end *e)
{
	const struct vw_json *ips, *ports;
	char name[FX_NAME + 2];
	struct vw_err err;
	size_t i;

	(void)snprintf(name, sizeof(name), "s-%s", pod);
	i = find(r, "Service", ns, name);
	if (i == r->n_obj)
		return;
	ips = vw_json_get(vw_json_get(r->obj[i], "spec"), "clusterIPs");
	for (size_t k = 0; k < vw_json_len(ips); k++)
		end_ip(e->vip, vw_json_string(vw_json_at(ips, k)));
	ports = vw_json_get(vw_json_get(r->obj[i], "spec"), "ports");
	for (size_t k = 0; k < vw_json_len(ports) && e->n_served < FX_ON; k++) {
		const struct vw_json *p = vw_json_at(ports, k);
		char text[32];
		int64_t port = 0;

		if (vw_json_get_int(p, "targetPort", 1, 65535, &port, &err) < 0)
			continue;
		(void)snprintf(text, sizeof(text), "%d/%s", (int)port, str_or(vw_json_string(vw_json_get(p, "protocol")), "TCP"));
		if (fx_port_parse(text, &e->served[e->n_served]) == 0)
			e->n_served++;
	}
}

static void pod_end(const struct fx_run *r, const char *ns, const char *name, struct fx_end *e)
{
	size_t i = find(r, "Pod", ns, name);
	const struct vw_json *spec, *status, *ips;
	struct vw_err err;
	bool host = false;
	const char *phase;

	if (i == r->n_obj)
		return;
	spec = vw_json_get(r->obj[i], "spec");
	status = vw_json_get(r->obj[i], "status");
	ips = vw_json_get(status, "podIPs");
	phase = str_or(vw_json_string(vw_json_get(status, "phase")), "");
	vw_json_get_bool(spec, "hostNetwork", &host, &err);
	e->kind = host ? FX_NODE : strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 ? FX_OUTSIDE : FX_POD;
	(void)VW_COPY(e->node, str_or(vw_json_string(vw_json_get(spec, "nodeName")), ""));
	end_ip(e->ip, vw_json_string(vw_json_get(status, "podIP")));
	for (size_t k = 0; k < vw_json_len(ips); k++)
		end_ip(e->ip, vw_json_string(vw_json_get(vw_json_at(ips, k), "ip")));
	if (e->kind == FX_POD)
		end_vip(r, ns, name, e);
}

static int look_up_end(struct fx_run *r, const char *name, struct fx_end *e, struct vw_err *err)
{
	const struct vw_json *out = world_get(r, "outside"), *known = vw_json_get(r->names, name);
	char left[FX_NAME], right[FX_NAME];

	*e = (struct fx_end){ 0 };
	if (VW_COPY(e->name, name) < 0 || split(name, left, right) < 0)
		return bad(err, r, "'%s' is not an end", name);
	for (size_t i = 0; i < vw_json_len(known) && i < VW_ARRAY_SIZE(e->names); i++)
		e->names[e->n_names++] = str_or(vw_json_string(vw_json_at(known, i)), "");
	if (strcmp(left, "out") == 0) {
		const struct vw_json *ips = vw_json_get(out, right);

		e->kind = FX_OUTSIDE;
		for (size_t i = 0; i < vw_json_len(ips); i++)
			end_ip(e->ip, vw_json_string(vw_json_at(ips, i)));
	} else if (strcmp(left, "node") == 0 || strcmp(left, "snat") == 0) {
		size_t i = find(r, "Node", "", right);
		const struct vw_json *addrs = i < r->n_obj ? vw_json_get(vw_json_get(r->obj[i], "status"), "addresses") : NULL;

		e->kind = i == r->n_obj ? FX_ABSENT : *left == 'n' ? FX_NODE : FX_SNAT;
		(void)VW_COPY(e->node, right);
		for (size_t k = 0; k < vw_json_len(addrs); k++)
			end_ip(e->ip, vw_json_string(vw_json_get(vw_json_at(addrs, k), "address")));
	} else {
		pod_end(r, left, right, e);
	}
	return 0;
}

/** look_up_ends() - those that are named, or all pods in order of appearance. */
static int look_up_ends(struct fx_run *r, const struct vw_json *list, struct vw_err *err)
{
	char full[2 * FX_NAME];

	r->n_end = 0;
	for (size_t i = 0; i < vw_json_len(list); i++) {
		if (r->n_end == FX_ENDS)
			return bad(err, r, "more than %d ends", FX_ENDS);
		if (look_up_end(r, str_or(vw_json_string(vw_json_at(list, i)), ""), &r->end[r->n_end++], err) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; vw_json_len(list) == 0 && i < r->n_obj; i++) {
		if (strcmp(obj_kind(r->obj[i]), "Pod") != 0)
			continue;
		if (r->n_end == FX_ENDS)
			return bad(err, r, "more than %d pods", FX_ENDS);
		(void)snprintf(full, sizeof(full), "%s/%s", obj_ns(r->obj[i]), obj_name(r->obj[i]));
		if (look_up_end(r, full, &r->end[r->n_end++], err) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_expect(struct fx_run *r, const struct vw_json *j, struct fx_expect *e, struct vw_err *err)
{
	const struct vw_json *on = vw_json_get(j, "on"), *rows = vw_json_get(j, "rows");

	if (vw_json_len(on) == 0 || vw_json_len(on) > FX_ON || vw_json_len(rows) != r->n_end)
		return bad(err, r, "an expectation wants 1 to %d ports and %zu rows", FX_ON, r->n_end);
	for (size_t i = 0; i < vw_json_len(on); i++) {
		if (fx_port_parse(str_or(vw_json_string(vw_json_at(on, i)), ""), &e->on[e->n_on++]) < 0)
			return bad(err, r, "on[%zu] is not a port", i);
	}
	for (size_t i = 0; i < r->n_end; i++) {
		const char *row = str_or(vw_json_string(vw_json_at(rows, i)), "");

		e->row[i] = row;
		if (strlen(row) != r->n_end || strspn(row, ".X-") != r->n_end)
			return bad(err, r, "row %zu wants %zu of '.', 'X', '-'", i, r->n_end);
		for (size_t k = 0; k < r->n_end; k++) {
			if (row[k] != '-' && (r->end[i].kind == FX_ABSENT || r->end[k].kind == FX_ABSENT))
				return bad(err, r, "%s -> %s: one of them is not there", r->end[i].name, r->end[k].name);
			if (row[k] != '-' && r->end[i].kind != FX_POD && r->end[k].kind != FX_POD)
				return bad(err, r, "%s -> %s: none of them is a pod", r->end[i].name, r->end[k].name);
		}
	}
	return 0;
}

int fx_step(struct fx_run *r, size_t i, struct vw_err *err)
{
	const struct vw_json *step = vw_json_at(vw_json_get(r->the_case, "steps"), i), *todo = vw_json_get(step, "do");
	const struct vw_json *expect = vw_json_get(step, "expect"), *own = vw_json_get(r->the_case, "ends");

	r->n_refuse = 0;
	for (size_t k = 0; k < vw_json_len(todo); k++) {
		if (act(r, vw_json_at(todo, k), err) < 0)
			return -EINVAL;
	}
	r->names = vw_json_get(step, "names");
	if (look_up_ends(r, own ? own : world_get(r, "ends"), err) < 0)
		return -EINVAL;
	free(r->expect);
	r->n_expect = 0;
	r->expect = calloc(vw_json_len(expect) + 1, sizeof(*r->expect));
	if (!r->expect)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t k = 0; k < vw_json_len(expect); k++) {
		if (read_expect(r, vw_json_at(expect, k), &r->expect[r->n_expect++], err) < 0)
			return -EINVAL;
	}
	return 0;
}

const struct vw_json *const *fx_objects(const struct fx_run *r, size_t *ret_n)
{
	*ret_n = r->n_obj;
	return (const struct vw_json *const *)r->obj;
}

size_t fx_refusals(const struct fx_run *r, const struct fx_refusal **ret)
{
	*ret = r->refuse;
	return r->n_refuse;
}

const struct fx_end *fx_ends(const struct fx_run *r, size_t *ret_n)
{
	*ret_n = r->n_end;
	return r->end;
}

size_t fx_n_expects(const struct fx_run *r)
{
	return r->n_expect;
}

const struct fx_expect *fx_expect(const struct fx_run *r, size_t i)
{
	return &r->expect[i];
}
