#include "lib/rpc/check.h"

#include "lib/json/json.h"

#include <stdarg.h>
#include <stdio.h>

#define WHAT_LEN 640

int vw_check(struct vw_json *checks, const char *part, bool ok, const char *todo, const char *fmt, ...)
{
	struct vw_json *o = vw_json_new_object();
	char what[WHAT_LEN];
	va_list ap;
	int failed;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	failed = vw_json_set_str(o, "part", part) | vw_json_set_bool(o, "ok", ok) | vw_json_set_str(o, "what", what) |
		 vw_json_set_str(o, "todo", ok ? NULL : todo);
	if (failed) {
		vw_json_free(o);
		o = NULL;
	}
	return vw_json_append(checks, o);
}
