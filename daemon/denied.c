#include "daemon/denied.h"

#include "daemon/daemon.h"
#include "daemon/events.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** struct row - @key: what is the same of all that it counts, owned; NULL = a free row. */
struct row {
	char *key;
	struct vw_json *flow;
	uint64_t count, last_ms;
};

struct denied {
	struct row v[DENIED_ROWS];
};

static const char *const members[] = { "verdict", "dir", "pod", "peer", "address", "proto", "dport", "tier", "kind", "policy", "rule", "reason" };

int denied_new(struct denied **ret, struct vw_err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : vw_err_set(err, ENOMEM, 0, "no memory for denied connections");
}

static void row_free(struct row *r)
{
	free(r->key);
	vw_json_free(r->flow);
	*r = (struct row){ 0 };
}

void denied_free(struct denied *n)
{
	for (size_t i = 0; n && i < DENIED_ROWS; i++)
		row_free(&n->v[i]);
	free(n);
}

/* the line's members that do not differ from connection to connection. The pod's own port does, and is left out */
static struct vw_json *flow_of(const struct vw_json *verdict)
{
	struct vw_json *o = vw_json_new_object();
	const char *dir = vw_json_string(vw_json_get(verdict, "dir"));
	const struct vw_json *address = vw_json_get(verdict, dir && !strcmp(dir, "egress") ? "dst" : "src");
	int failed = 0;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const struct vw_json *v = !strcmp(members[i], "address") ? address : vw_json_get(verdict, members[i]);

		if (v)
			failed |= vw_json_set(o, members[i], vw_json_copy(v));
	}
	if (!failed)
		return o;
	vw_json_free(o);
	return NULL;
}

static struct row *row_for(struct denied *n, const char *key)
{
	struct row *oldest = &n->v[0];

	for (size_t i = 0; i < DENIED_ROWS; i++) {
		if (n->v[i].key && !strcmp(n->v[i].key, key))
			return &n->v[i];
		if (!n->v[i].key || (oldest->key && n->v[i].last_ms < oldest->last_ms))
			oldest = &n->v[i];
	}
	return oldest;
}

static void tell(struct daemon *d, const struct vw_json *flow)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	const struct vw_json *v;
	void *iter = NULL;

	for (const char *k; (k = vw_json_each(flow, &iter, &v));) {
		vw_buf_printf(&b, "%s%s=", b.len ? " " : "", k);
		if (vw_json_string(v))
			vw_buf_printf(&b, "\"%s\"", vw_json_string(v));
		else
			vw_buf_printf(&b, "%lld", (long long)vw_json_int(v));
	}
	events_add(d->events, "denied", vw_buf_str(&b), b.len);
}

void denied_heard(struct daemon *d, const struct vw_json *verdict)
{
	vw_auto_buf struct vw_buf key = VW_BUF_INIT;
	vw_auto_json struct vw_json *flow = flow_of(verdict);
	struct row *r;

	if (!d->denied || !flow || vw_json_print(flow, 0, &key) < 0 || vw_buf_err(&key) < 0)
		return;
	tell(d, flow);
	r = row_for(d->denied, vw_buf_str(&key));
	if (!r->key || strcmp(r->key, vw_buf_str(&key)) != 0) {
		row_free(r);
		r->key = vw_buf_take(&key);
		r->flow = r->key ? vw_json_copy(flow) : NULL;
	}
	r->count += 1 + (uint64_t)vw_json_int(vw_json_get(verdict, "suppressed"));
	r->last_ms = vw_mono_ms();
}

static int latest_first(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;

	return (x->last_ms < y->last_ms) - (x->last_ms > y->last_ms);
}

static struct vw_json *row_json(const struct row *r, uint64_t now)
{
	struct vw_json *o = vw_json_copy(r->flow);

	if (o && vw_json_set_int(o, "count", (int64_t)r->count) == 0 && vw_json_set_int(o, "age_ms", (int64_t)(now - r->last_ms)) == 0)
		return o;
	vw_json_free(o);
	return NULL;
}

int denied_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();
	struct vw_json *arr = vw_json_new_array();
	const struct row *rows[DENIED_ROWS];
	uint64_t now = vw_mono_ms();
	size_t n = 0;
	int failed = 0;

	for (size_t i = 0; d->denied && i < DENIED_ROWS; i++)
		if (d->denied->v[i].key && now - d->denied->v[i].last_ms < DENIED_MS)
			rows[n++] = &d->denied->v[i];
	qsort(rows, n, sizeof(rows[0]), latest_first);
	for (size_t i = 0; i < n; i++)
		failed |= vw_json_append(arr, row_json(rows[i], now));
	failed |= vw_json_set_int(root, "window_ms", DENIED_MS);
	failed |= vw_json_set(root, "flows", arr);
	if (failed)
		return vw_err_set(err, ENOMEM, 0, "no memory for denied connections");
	*ret = root;
	root = NULL;
	return 0;
}
