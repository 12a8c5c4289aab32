/* Lists of checks, as explain and doctor have them. */
#include "cli/cli.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#include <stdio.h>

const char *cli_or_dash(const char *s)
{
	return *s ? s : "-";
}

unsigned int cli_checks_bad(const struct vw_json *checks)
{
	unsigned int n = 0;

	for (size_t i = 0; i < vw_json_len(checks); i++)
		n += !cli_bool(vw_json_at(checks, i), "ok");
	return n;
}

void cli_print_checks(const struct vw_json *checks, const char *bad)
{
	for (size_t i = 0; i < vw_json_len(checks); i++) {
		const struct vw_json *c = vw_json_at(checks, i);
		bool ok = cli_bool(c, "ok");

		printf("  %-8s %-18s %s\n", ok ? "ok" : bad, cli_str(c, "part"), cli_str(c, "what"));
		if (*cli_str(c, "todo"))
			printf("  %-8s -> %s\n", "", cli_str(c, "todo"));
	}
}
