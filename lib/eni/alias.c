// SPDX-License-Identifier: Apache-2.0
/* An interface keeps its alias wherever it goes, also when its namespace dies: so it tells whose it was and what it was called. */
#include "lib/eni/eni.h"

#include "lib/base/parse.h"
#include "lib/eni/state.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "vpcwire-eni:"

/* ":<container id>/<ifname>", of the id what fits */
static void tail_of(const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX])
{
	_Static_assert(sizeof(PREFIX) - 1 + IFNAMSIZ - 1 + 1 + 200 + 1 + IFNAMSIZ <= VW_IFALIAS_MAX, "the alias fits");
	snprintf(ret, VW_IFALIAS_MAX, ":%.200s/%s", key->container_id, key->ifname);
}

void eni_alias_make(const char *host_name, const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX])
{
	char tail[VW_IFALIAS_MAX];

	tail_of(key, tail);
	snprintf(ret, VW_IFALIAS_MAX, PREFIX "%.15s%.220s", host_name, tail);
}

bool eni_alias_host_name(const char *alias, char ret[IFNAMSIZ])
{
	const char *name = alias + strlen(PREFIX);
	char text[IFNAMSIZ];

	/* a name has no ':' (dev_valid_name()), so the first one ends it */
	if (strncmp(alias, PREFIX, strlen(PREFIX)) || !strchr(name, ':'))
		return false;
	if (vw_fmt(text, sizeof(text), "%.*s", (int)strcspn(name, ":"), name) <= 0 || !vw_is_ifname(text))
		return false;
	memcpy(ret, text, sizeof(text));
	return true;
}

bool eni_alias_is_of(const char *alias, const struct vw_attach_key *key)
{
	char name[IFNAMSIZ], tail[VW_IFALIAS_MAX];

	tail_of(key, tail);
	return eni_alias_host_name(alias, name) && !strcmp(alias + strlen(PREFIX) + strlen(name), tail);
}
