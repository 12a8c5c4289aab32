// SPDX-License-Identifier: Apache-2.0
/*
 * One kind's state:
 *
 *   LIST --last page, files of others removed--> WATCH --ends--> WATCH ...
 *     ^ 404 of an optional kind: none, asked again later              |
 *     +------- 410, an event that is not understood, a full disk -----+
 *
 * A request that fails is tried again after a wait that doubles with each failure, and is spread, so that the nodes of a cluster do not come
 * back to a restarted API server in one moment. A watch goes on from its version after a failure, too.
 */
#include "feed/watch.h"

#include "feed/folder.h"
#include "feed/http.h"
#include "feed/kinds.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 500                        /* what kubectl asks for */
#define ANSWER_MAX_BYTES (64 * 1024 * 1024)
#define LIST_LIMIT_S 60
#define WATCH_S 300                     /* client-go: 5 to 10 minutes */
#define WATCH_GRACE_S 30
#define ABSENT_RETRIES 64               /* an optional kind that is not there: after so many times retry_ms */
#define MAX_DOUBLINGS 6

struct feed_watch {
	const struct feed_kind *kind;
	const struct feed_options *opt;
	struct feed_http *http;
	struct feed_call call;
	bool watching, busy, listed, absent, again;     /* again: this request's data say that a list is needed */
	uint64_t due_ms, begun_ms;                      /* of the next request, of this one */
	uint64_t heard_ms;
	unsigned int failures;
	char why[192];                                  /* of the last failure, until it is heard again */
	struct vw_buf in;
	struct feed_names seen;
	char version[128], next[2048];                  /* resourceVersion; the list's `continue`, "" on its first page */
};

static void list_anew(struct feed_watch *w)
{
	w->watching = false;
	w->next[0] = 0;
	feed_names_done(&w->seen);
}

static void heard(struct feed_watch *w)
{
	w->heard_ms = vw_mono_ms();
	w->why[0] = 0;
}

static void fail(struct feed_watch *w, const char *why)
{
	uint64_t ms = w->opt->retry_ms << w->failures;

	if (w->failures < MAX_DOUBLINGS)
		w->failures++;
	ms += (uint64_t)random() % (ms / 2 + 1);
	w->due_ms = vw_mono_ms() + ms;
	(void)!vw_fmt(w->why, sizeof(w->why), "%s: %.140s", w->kind->name, why);
	vw_warn("the API server does not say what there is, retrying", "kind=%s retry_ms=%llu err=\"%s\"", w->kind->name, (unsigned long long)ms, why);
}

static void fail_status(struct feed_watch *w, long status)
{
	char text[64];

	fail(w, vw_fmt(text, sizeof(text), "HTTP status %ld", status) < 0 ? "an HTTP status" : text);
}

/* 0, -errno: what could not be written */
static int put(struct feed_watch *w, const struct vw_json *obj, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT_MAX(FEED_FILE_MAX_BYTES);
	char file[256];
	int r = feed_kind_take(w->kind, obj, file, &text, err);

	if (r == -EINVAL) {
		vw_warn("an object is left out, ignoring it", "err=\"%s\"", err->msg);
		return 0;
	}
	if (r < 0)
		return r;
	r = feed_folder_put(w->opt->dir, file, vw_buf_str(&text), text.len, err);
	if (r < 0)
		return r;
	if (r)
		vw_debug("written", "file=%s", file);
	return w->watching ? 0 : feed_names_add(&w->seen, file) < 0 ? vw_err_set(err, ENOMEM, 0, "remembering '%s'", file) : 0;
}

static int drop(struct feed_watch *w, const struct vw_json *obj, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT_MAX(FEED_FILE_MAX_BYTES);
	char file[256];
	int r = feed_kind_take(w->kind, obj, file, &text, err);

	if (r == -EINVAL)
		return 0;
	if (r == 0)
		r = feed_folder_remove(w->opt->dir, file, err);
	return r < 0 ? r : 0;
}

static int take_version(struct feed_watch *w, const struct vw_json *meta, struct vw_err *err)
{
	const char *v = vw_json_string(vw_json_get(meta, "resourceVersion"));

	if (!v || !*v || VW_COPY(w->version, v) < 0)
		return vw_err_set(err, EBADMSG, 0, "an answer without resourceVersion");
	return 0;
}

static int on_event(struct feed_watch *w, const char *line, size_t len, struct vw_err *err)
{
	const struct vw_json_limits lim = { .max_bytes = ANSWER_MAX_BYTES };
	vw_auto_json struct vw_json *event = NULL;
	const struct vw_json *obj;
	const char *type;
	int r = vw_json_parse(line, len, &lim, "an event", &event, err);

	if (r < 0)
		return r;
	type = vw_json_string(vw_json_get(event, "type"));
	obj = vw_json_get(event, "object");
	if (!type || vw_json_type(obj) != VW_JSON_OBJECT)
		return vw_err_set(err, EBADMSG, 0, "an event without type or object");
	if (!strcmp(type, "ERROR")) {
		const char *msg = vw_json_string(vw_json_get(obj, "message"));

		return vw_err_set(err, vw_json_int(vw_json_get(obj, "code")) == 410 ? ESTALE : EPROTO, 0, "the watch says: %.128s", msg ? msg : "nothing");
	}
	if (!strcmp(type, "ADDED") || !strcmp(type, "MODIFIED"))
		r = put(w, obj, err);
	else if (!strcmp(type, "DELETED"))
		r = drop(w, obj, err);
	else if (strcmp(type, "BOOKMARK"))
		r = vw_err_set(err, EBADMSG, 0, "an event of type '%.32s'", type);
	/* the version only moves on when what it stands for is in the folder */
	return r < 0 ? r : take_version(w, vw_json_get(obj, "metadata"), err);
}

/* a watch that is accepted is a word, though nothing may come for a while; a list is one when it is understood */
static void on_begin(void *arg)
{
	struct feed_watch *w = arg;

	if (w->watching)
		heard(w);
}

static bool on_data(void *arg, const char *part, size_t len)
{
	struct feed_watch *w = arg;
	struct vw_err err;
	const char *start, *end;
	size_t rest;

	vw_buf_add(&w->in, part, len);
	if (vw_buf_err(&w->in) < 0)
		return false;
	if (!w->watching)
		return true;
	start = w->in.data;
	while ((end = memchr(start, '\n', (size_t)(w->in.data + w->in.len - start)))) {
		int r = end == start ? 0 : on_event(w, start, (size_t)(end - start), &err);

		if (r < 0) {
			w->again = true;
			/* forgotten versions are daily business: no failure */
			if (r == -ESTALE)
				vw_info("the watch begins anew", "kind=%s err=\"%s\"", w->kind->name, err.msg);
			else
				fail(w, err.msg);
			return false;
		}
		w->failures = 0;
		heard(w);
		start = end + 1;
	}
	rest = (size_t)(w->in.data + w->in.len - start);
	memmove(w->in.data, start, rest);
	w->in.len = rest;
	w->in.data[rest] = 0;
	return true;
}

static int on_page(struct feed_watch *w, struct vw_err *err)
{
	const struct vw_json_limits lim = { .max_bytes = ANSWER_MAX_BYTES };
	vw_auto_json struct vw_json *list = NULL;
	const struct vw_json *meta, *items;
	const char *next;
	int r = vw_json_parse(vw_buf_str(&w->in), w->in.len, &lim, "the list", &list, err);

	if (r < 0)
		return r;
	meta = vw_json_get(list, "metadata");
	items = vw_json_get(list, "items");
	if (!vw_json_is_null(items) && vw_json_type(items) != VW_JSON_ARRAY)
		return vw_err_set(err, EBADMSG, 0, "a list whose items are none");
	for (size_t i = 0; r == 0 && i < vw_json_len(items); i++)
		r = vw_json_type(vw_json_at(items, i)) == VW_JSON_OBJECT ? put(w, vw_json_at(items, i), err) :
									   vw_err_set(err, EBADMSG, 0, "a list whose items are none");
	if (r == 0)
		r = take_version(w, meta, err);
	if (r < 0)
		return r;
	next = vw_json_string(vw_json_get(meta, "continue"));
	if (next && *next)
		return VW_COPY(w->next, next) < 0 ? vw_err_set(err, EBADMSG, 0, "a `continue` of %zu bytes", strlen(next)) : 0;
	r = feed_folder_sweep(w->opt->dir, w->kind->name, &w->seen, err);
	if (r < 0)
		return r;
	list_anew(w);
	w->watching = w->listed = true;
	return 0;
}

static void listed(struct feed_watch *w, long status, const char *why)
{
	struct feed_names none = { 0 };
	struct vw_err err;

	if (!why && status == 200) {
		if (on_page(w, &err) == 0) {
			w->failures = 0;
			w->absent = false;
			heard(w);
			return;
		}
		list_anew(w);
		fail(w, err.msg);
		return;
	}
	list_anew(w);
	if (!why && status == 404 && w->kind->optional) {
		if (feed_folder_sweep(w->opt->dir, w->kind->name, &none, &err) < 0) {
			fail(w, err.msg);
			return;
		}
		if (!w->absent)
			vw_info("the cluster does not have this kind", "kind=%s", w->kind->name);
		heard(w);
		w->listed = w->absent = true;
		w->failures = 0;
		w->due_ms = vw_mono_ms() + ABSENT_RETRIES * w->opt->retry_ms;
		return;
	}
	if (why)
		fail(w, why);
	else
		fail_status(w, status);
}

static void on_end(void *arg, long status, const char *why)
{
	struct feed_watch *w = arg;
	bool quiet = w->in.len == 0;

	w->busy = false;
	if (!w->watching) {
		listed(w, status, why);
	} else if (w->again || (!why && status == 410)) {
		list_anew(w);
	} else if (why || !quiet) {
		fail(w, why ? why : "an event was cut off");
	} else if (status != 200) {
		fail_status(w, status);
	} else {
		/* in order: go on, but do not flood a server that ends them at once */
		w->failures = 0;
		w->due_ms = w->begun_ms + w->opt->retry_ms;
	}
	w->again = false;
	vw_buf_done(&w->in);
	w->in = (struct vw_buf)VW_BUF_INIT_MAX(ANSWER_MAX_BYTES);
}

uint64_t feed_watch_step(struct feed_watch *w, uint64_t now_ms)
{
	vw_auto_buf struct vw_buf path = VW_BUF_INIT;
	struct vw_err err;
	int r;

	if (w->busy)
		return UINT64_MAX;
	if (w->due_ms > now_ms)
		return w->due_ms;
	w->due_ms = 0;
	vw_buf_printf(&path, "%s?%s%s", w->kind->path, w->kind->query ? w->kind->query : "", w->kind->query ? "&" : "");
	if (w->watching) {
		vw_buf_printf(&path, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=", WATCH_S);
		vw_buf_url(&path, w->version);
	} else {
		vw_buf_printf(&path, "limit=%d", PAGE);
		if (w->next[0]) {
			vw_buf_puts(&path, "&continue=");
			vw_buf_url(&path, w->next);
		}
	}
	r = vw_buf_err(&path) < 0 ? vw_err_set(&err, ENOMEM, 0, "making a request") :
	    feed_http_get(w->http, vw_buf_str(&path), w->watching ? WATCH_S + WATCH_GRACE_S : LIST_LIMIT_S, &w->call, &err);
	if (r < 0) {
		fail(w, err.msg);
		return w->due_ms;
	}
	w->busy = true;
	w->begun_ms = now_ms;
	return UINT64_MAX;
}

int feed_watch_new(const struct feed_kind *kind, const struct feed_options *opt, struct feed_http *http, struct feed_watch **ret_watch,
		   struct vw_err *err)
{
	struct feed_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return vw_err_set(err, ENOMEM, 0, "following %s", kind->name);
	w->kind = kind;
	w->opt = opt;
	w->http = http;
	w->in = (struct vw_buf)VW_BUF_INIT_MAX(ANSWER_MAX_BYTES);
	w->heard_ms = vw_mono_ms();
	w->call = (struct feed_call){ .arg = w, .begin = on_begin, .data = on_data, .end = on_end };
	*ret_watch = w;
	return 0;
}

void feed_watch_free(struct feed_watch *w)
{
	if (!w)
		return;
	feed_names_done(&w->seen);
	vw_buf_done(&w->in);
	free(w);
}

bool feed_watch_listed(const struct feed_watch *w)
{
	return w->listed;
}

uint64_t feed_watch_heard_ms(const struct feed_watch *w)
{
	return w->heard_ms;
}

const char *feed_watch_why(const struct feed_watch *w)
{
	return w->why;
}
