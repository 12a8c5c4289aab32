#include "lib/rpc/feed_state.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define MAX_BYTES 4096
#define PATH_MAX_BYTES 1100

static int path_of(char path[PATH_MAX_BYTES], const char *dir, struct vw_err *err)
{
	return vw_fmt(path, PATH_MAX_BYTES, "%s/" VW_FEED_STATE, dir) < 0 ? vw_err_set(err, ENAMETOOLONG, 0, "'%.64s': the path is too long", dir) : 0;
}

int vw_feed_state_print(const struct vw_feed_state *st, struct vw_buf *buf, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();

	if (vw_json_set_int(j, "written_ms", (int64_t)st->written_ms) < 0 || vw_json_set_int(j, "heard_ms", (int64_t)st->heard_ms) < 0 ||
	    vw_json_set_bool(j, "listed", st->listed) < 0 || vw_json_set_str(j, "why", st->why) < 0 || vw_json_print(j, 0, buf) < 0 || vw_buf_err(buf) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the feed's state");
	return 0;
}

int vw_feed_state_write(const char *dir, const struct vw_feed_state *st, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char path[PATH_MAX_BYTES];

	if (vw_feed_state_print(st, &b, err) < 0)
		return -err->eno;
	return path_of(path, dir, err) < 0 ? -err->eno : vw_replace_file(path, vw_buf_str(&b), b.len, 0644, err);
}

int vw_feed_state_parse(const char *text, size_t len, struct vw_feed_state *ret, struct vw_err *err)
{
	const struct vw_json_limits lim = { .max_bytes = MAX_BYTES };
	vw_auto_json struct vw_json *j = NULL;
	struct vw_feed_state st = { 0 };
	int64_t written = -1, heard = -1;
	const char *why = NULL;

	if (vw_json_parse(text, len, &lim, "the feed's state", &j, err) < 0 || vw_json_get_int(j, "written_ms", 0, INT64_MAX, &written, err) < 0 ||
	    vw_json_get_int(j, "heard_ms", 0, INT64_MAX, &heard, err) < 0 || vw_json_get_bool(j, "listed", &st.listed, err) < 0 ||
	    vw_json_get_str(j, "why", &why, err) < 0)
		return -err->eno;
	if (written < 0 || heard < 0 || !why || VW_COPY(st.why, why) < 0)
		return vw_err_set(err, EBADMSG, 0, "it is not what vpcwire-feed writes: wanted written_ms, heard_ms, listed, why");
	st.written_ms = (uint64_t)written;
	st.heard_ms = (uint64_t)heard;
	*ret = st;
	return 0;
}

int vw_feed_state_read(const char *dir, struct vw_feed_state *ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char path[PATH_MAX_BYTES];

	if (path_of(path, dir, err) < 0 || vw_read_file(path, MAX_BYTES, &b, err) < 0)
		return -err->eno;
	return vw_feed_state_parse(vw_buf_str(&b), b.len, ret, err) < 0 ? vw_err_wrap(err, "%s", path) : 0;
}

uint64_t vw_feed_age_ms(uint64_t ms, uint64_t now_ms)
{
	return ms <= now_ms ? now_ms - ms : UINT64_MAX;
}

bool vw_feed_runs(const struct vw_feed_state *st, uint64_t now_ms)
{
	return vw_feed_age_ms(st->written_ms, now_ms) < VW_FEED_DEAD_MS;
}

bool vw_feed_hears(const struct vw_feed_state *st, uint64_t now_ms)
{
	return vw_feed_age_ms(st->heard_ms, now_ms) < (*st->why ? VW_FEED_FAILING_MS : VW_FEED_SILENT_MS);
}

bool vw_feed_explain(const struct vw_feed_state *st, uint64_t now_ms, char *ret, size_t size)
{
	uint64_t written = vw_feed_age_ms(st->written_ms, now_ms), heard = vw_feed_age_ms(st->heard_ms, now_ms);

	if (!vw_feed_runs(st, now_ms) && written == UINT64_MAX)
		(void)!vw_fmt(ret, size, "vpcwire-feed does not run: not since this machine was started");
	else if (!vw_feed_runs(st, now_ms))
		(void)!vw_fmt(ret, size, "vpcwire-feed does not run: not for %llu s", (unsigned long long)written / 1000);
	else if (!vw_feed_hears(st, now_ms))
		(void)!vw_fmt(ret, size, "the API server has not been heard for %llu s: %s", (unsigned long long)heard / 1000,
			      *st->why ? st->why : "its watches are open and silent");
	else
		return false;
	return true;
}
