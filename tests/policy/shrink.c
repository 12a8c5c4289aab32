/*
 * Greedy: whole objects first, then every member and element inside those that are left, until nothing more can go.
 */
#include "tests/policy/shrink.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <string.h>

#define TRIES 4000              /* clusters loaded; each takes well under a millisecond without a kernel */

struct shrinking {
	const struct px *a, *b;
	const struct fw_query *q;
	bool strict;
	struct vw_json **obj;
	size_t n;
	unsigned int tries;
};

/** differ() - the two executors take the cluster and disagree about the question. */
static bool differ(struct shrinking *s)
{
	const struct vw_json *const *objs = (const struct vw_json *const *)s->obj;
	const struct px_half h = fw_half(s->q);
	struct vw_err err = { 0 };
	char why[128];
	int x, y;

	if (s->tries++ > TRIES || s->a->load(s->a->ctx, objs, s->n, s->strict, &err) < 0 || s->b->load(s->b->ctx, objs, s->n, s->strict, &err) < 0)
		return false;
	x = s->a->judge(s->a->ctx, &h, why, &err);
	y = s->b->judge(s->b->ctx, &h, why, &err);
	return x >= 0 && y >= 0 && x != y;
}

static void drop_objects(struct shrinking *s)
{
	for (size_t i = 0; i < s->n;) {
		struct vw_json *gone = s->obj[i];

		memmove(&s->obj[i], &s->obj[i + 1], (s->n - i - 1) * sizeof(*s->obj));
		s->n--;
		if (differ(s)) {
			vw_json_free(gone);
			continue;
		}
		memmove(&s->obj[i + 1], &s->obj[i], (s->n - i) * sizeof(*s->obj));
		s->obj[i++] = gone;
		s->n++;
	}
}

/** keep() - members without which the question would be another: who is who, and where. */
static bool keep(const char *key)
{
	static const char *const keys[] = { "apiVersion", "kind", "metadata", "name", "namespace", "spec", "nodeName", "status" };

	for (size_t i = 0; i < VW_ARRAY_SIZE(keys); i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

/** without() - a copy that lacks the @n-th member or element, counted from the outside in. *n reaches 0 when it was there. */
static struct vw_json *without(const struct vw_json *j, size_t *n)
{
	const struct vw_json *value;
	struct vw_json *copy;
	void *iter = NULL;
	const char *key;

	if (vw_json_type(j) == VW_JSON_ARRAY) {
		copy = vw_json_new_array();
		for (size_t i = 0; i < vw_json_len(j); i++) {
			if (*n == 0 || --*n > 0)
				vw_json_append(copy, without(vw_json_at(j, i), n));
		}
		return copy;
	}
	if (vw_json_type(j) != VW_JSON_OBJECT)
		return vw_json_copy(j);
	copy = vw_json_new_object();
	while ((key = vw_json_each(j, &iter, &value))) {
		if (strcmp(key, "status") == 0)
			vw_json_set(copy, key, vw_json_copy(value));
		else if (keep(key) || *n == 0 || --*n > 0)
			vw_json_set(copy, key, without(value, n));
	}
	return copy;
}

static void thin_objects(struct shrinking *s)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t at = 1;;) {
			size_t n = at;
			struct vw_json *whole = s->obj[i];

			s->obj[i] = without(whole, &n);
			if (n > 0) {            /* so many it has not */
				vw_json_free(s->obj[i]);
				s->obj[i] = whole;
				break;
			}
			if (differ(s)) {
				vw_json_free(whole);
			} else {
				vw_json_free(s->obj[i]);
				s->obj[i] = whole;
				at++;
			}
		}
	}
}

static bool has_text(const struct vw_json *j, const char *text)
{
	const struct vw_json *value;
	void *iter = NULL;

	if (vw_json_string(j))
		return strcmp(vw_json_string(j), text) == 0;
	if (vw_json_type(j) == VW_JSON_ARRAY) {
		for (size_t i = 0; i < vw_json_len(j); i++) {
			if (has_text(vw_json_at(j, i), text))
				return true;
		}
	} else if (vw_json_type(j) == VW_JSON_OBJECT) {
		while (vw_json_each(j, &iter, &value)) {
			if (has_text(value, text))
				return true;
		}
	}
	return false;
}

/** peer_end() - what a fixture calls the other end now: a pod or node that is still there, or an address. */
static void peer_end(const struct shrinking *s, char end[FX_NAME])
{
	const char *name = strchr(s->q->peer_pod, '/');
	char ip[VW_IP_STRLEN];

	(void)snprintf(end, FX_NAME, "out/peer");
	vw_ip_str(&s->q->peer, ip);
	for (size_t i = 0; i < s->n; i++) {
		const char *kind = vw_json_string(vw_json_get(s->obj[i], "kind"));
		const struct vw_json *status = vw_json_get(s->obj[i], "status");

		if (!kind || !has_text(status, ip))
			continue;
		if (strcmp(kind, "Pod") == 0 && name && has_text(vw_json_get(s->obj[i], "metadata"), name + 1))
			(void)snprintf(end, FX_NAME, "%s", s->q->peer_pod);
		if (strcmp(kind, "Node") == 0)
			(void)snprintf(end, FX_NAME, "%s/%s", s->q->node_local || s->q->egress ? "node" : "snat",
				       vw_json_string(vw_json_get(vw_json_get(s->obj[i], "metadata"), "name")));
	}
}

static void print_names(const struct shrinking *s, const char *end, struct vw_buf *b)
{
	if (!s->q->n_names)
		return;
	vw_buf_printf(b, "\"names\":{\"%s\":[", end);
	for (size_t i = 0; i < s->q->n_names; i++)
		vw_buf_printf(b, "%s\"%s\"", i ? "," : "", s->q->names[i]);
	vw_buf_puts(b, "]},");
}

/** wanted() - what @a says of the whole way: the other end, when it is a pod, has a word in it too. */
static int wanted(const struct shrinking *s, const char *end, struct vw_err *err)
{
	struct px_half h = fw_half(s->q), other = h;
	char why[128];
	int r = s->a->judge(s->a->ctx, &h, why, err);

	if (r <= 0 || strcmp(end, s->q->peer_pod) != 0)
		return r;
	other.pod = s->q->peer_pod;
	other.egress = !h.egress;
	other.self = h.peer;
	other.peer = h.self;
	other.vip = (struct vw_ip){ 0 };
	other.n_names = 0;
	return s->a->judge(s->a->ctx, &other, why, err);
}

static int print_fixture(const struct shrinking *s, const char *name, struct vw_buf *b, struct vw_err *err)
{
	const bool ports = s->q->proto == IPPROTO_TCP || s->q->proto == IPPROTO_UDP || s->q->proto == IPPROTO_SCTP;
	const char *row[2] = { "--", "--" };
	char end[FX_NAME], ip[VW_IP_STRLEN], on[16];
	int want;

	peer_end(s, end);
	want = wanted(s, end, err);
	if (want < 0)
		return want;
	if (ports)
		(void)snprintf(on, sizeof(on), "%u/%s", s->q->port, s->q->proto == IPPROTO_TCP ? "TCP" : s->q->proto == IPPROTO_UDP ? "UDP" : "SCTP");
	else if (s->q->proto == IPPROTO_ICMP || s->q->proto == IPPROTO_ICMPV6)
		(void)snprintf(on, sizeof(on), "ICMP");
	else
		(void)snprintf(on, sizeof(on), "%u", s->q->proto);
	row[s->q->egress ? 0 : 1] = s->q->egress ? (want ? "-." : "-X") : want ? ".-" : "X-";
	vw_buf_printf(b, "{\"suite\":\"fuzz\",\"source\":\"%s\",\"world\":{\"nodes\":{},\"outside\":{\"peer\":[\"%s\"]},\"objects\":[\n", name,
		      vw_ip_str(&s->q->peer, ip));
	for (size_t i = 0; i < s->n; i++) {
		vw_buf_puts(b, i ? ",\n" : "");
		vw_json_print(s->obj[i], 0, b);
	}
	vw_buf_printf(b, "\n]},\"cases\":[{\"name\":\"%s\",\"strict\":%s,\"family\":%d,\"ends\":[\"%s\",\"%s\"],\"steps\":[{", name,
		      s->strict ? "true" : "false", s->q->peer.family == AF_INET6 ? 6 : 4, s->q->pod, end);
	print_names(s, end, b);
	vw_buf_printf(b, "\"expect\":[{\"on\":[\"%s\"],\"rows\":[\"%s\",\"%s\"]}]}]}]}\n", on, row[0], row[1]);
	return vw_buf_err(b);
}

int shrink(const struct px *a, const struct px *b, const struct fuzz_world *w, const struct fw_query *q, const char *name,
	   struct vw_buf *ret_fixture, struct vw_err *err)
{
	struct shrinking s = { .a = a, .b = b, .q = q, .strict = w->strict, .n = vw_json_len(w->objs) };
	size_t before = 0;
	int r;

	s.obj = calloc(s.n + 1, sizeof(*s.obj));
	if (!s.obj)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t i = 0; i < s.n; i++)
		s.obj[i] = vw_json_copy(vw_json_at(w->objs, i));
	while (s.n != before) {
		before = s.n;
		drop_objects(&s);
	}
	thin_objects(&s);
	s.tries = 0;
	r = differ(&s) ? 0 : vw_err_set(err, EAGAIN, 0, "it does not happen again");
	if (r == 0)
		r = print_fixture(&s, name, ret_fixture, err);
	for (size_t i = 0; i < s.n; i++)
		vw_json_free(s.obj[i]);
	free(s.obj);
	return r;
}
