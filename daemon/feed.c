#include "daemon/feed.h"

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "lib/rpc/feed_state.h"

#include <errno.h>
#include <inttypes.h>

/* what a former boot wrote was heard before this machine was started: all of its time, then */
static uint64_t silent_s(const struct vw_feed_state *st, uint64_t now_ms)
{
	uint64_t ms = vw_feed_age_ms(st->heard_ms, now_ms);

	return (ms == UINT64_MAX ? now_ms : ms) / 1000;
}

static struct vw_json *state_json(const struct vw_feed_state *st, uint64_t now_ms)
{
	struct vw_json *o = vw_json_new_object();

	return vw_json_whole(o, vw_json_set_bool(o, "runs", vw_feed_runs(st, now_ms)) < 0 || vw_json_set_bool(o, "listed", st->listed) < 0 ||
				vw_json_set_int(o, "heard_s", (int64_t)silent_s(st, now_ms)) < 0 || vw_json_set_str(o, "why", *st->why ? st->why : NULL) < 0);
}

bool feed_look(const struct daemon *d, struct vw_json **ret_json, struct vw_err *err)
{
	uint64_t now = vw_mono_ms();
	struct vw_feed_state st;
	struct vw_err why;
	char text[320];
	int r = vw_feed_state_read(d->cfg->policy_dir, &st, &why);

	*ret_json = r < 0 ? NULL : state_json(&st, now);
	if (r == -ENOENT)
		return false;
	if (r < 0)
		vw_err_set(err, -r, 0, "vpcwire-feed's state cannot be read: %s", why.msg);
	else if (vw_feed_explain(&st, now, text, sizeof(text)))
		vw_err_set(err, ETIMEDOUT, 0, "%s", text);
	else
		return false;
	return true;
}

void feed_metrics(const struct daemon *d, struct vw_buf *b)
{
	static const char *const families[][2] = {
		{ "vpcwire_feed_up", "1 while vpcwire-feed runs; without one there is no value here." },
		{ "vpcwire_feed_listed", "1 when the whole list of each kind has been in policy_dir since it started." },
		{ "vpcwire_feed_silence_seconds", "How long ago the API server was last heard, of the kind for which that is longest." },
	};
	uint64_t now = vw_mono_ms(), values[VW_ARRAY_SIZE(families)] = { 0 };
	struct vw_feed_state st;
	struct vw_err err;
	bool there = vw_feed_state_read(d->cfg->policy_dir, &st, &err) == 0;

	if (there) {
		values[0] = vw_feed_runs(&st, now);
		values[1] = st.listed;
		values[2] = silent_s(&st, now);
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(families); i++) {
		vw_buf_printf(b, "# HELP %s %s\n# TYPE %s gauge\n", families[i][0], families[i][1], families[i][0]);
		if (there)
			vw_buf_printf(b, "%s %" PRIu64 "\n", families[i][0], values[i]);
	}
}
