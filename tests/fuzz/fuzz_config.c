/*
 * The daemon's settings, from a file's text and, the same bytes again, from every environment variable. What is accepted
 * keeps what the rest of the daemon relies on; what is refused says why and yields nothing.
 */
#include "daemon/config.h"
#include "lib/base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *value;

static char *no_env(const char *name)
{
	(void)name;
	return NULL;
}

/* an input "NAME=value" sets one variable, any other sets none */
static char *one_env(const char *name)
{
	size_t n = strlen(name);

	return !strncmp(value, name, n) && value[n] == '=' ? value + n + 1 : NULL;
}

static void check(int r, struct vwired_config *c, const struct vw_err *err)
{
	if (r < 0) {
		if (c || !err->msg[0] || err->eno != -r)
			abort();
		return;
	}
	if (c->pod_mtu < 576 || c->pod_mtu > c->eni_mtu || c->eni_mtu > 9001 || !c->veth_prefix[0] ||
	    c->run_dir[0] != '/' || !c->connmark || (c->connmark & (c->connmark - 1)) || c->connmark < 0x80 ||
	    c->n_exclude_snat_cidrs > CONFIG_MAX_CIDRS || c->n_additional_eni_tags > CONFIG_MAX_TAGS ||
	    c->n_security_groups > CONFIG_MAX_GROUPS || c->warm_ip_target > 4096)
		abort();
	for (size_t i = 0; i < c->n_exclude_snat_cidrs; i++)
		if (!vw_cidr_is_masked(&c->exclude_snat_cidrs[i]))
			abort();
	vwired_config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vwired_config *c = NULL;
	struct vw_err err = { 0 };
	int r;

	r = vwired_config_parse((const char *)data, size, "input", no_env, &c, &err);
	check(r, c, &err);
	value = strndup((const char *)data, size);
	if (!value)
		return 0;
	c = NULL;
	err = (struct vw_err){ 0 };
	r = vwired_config_parse("{}", 2, "input", one_env, &c, &err);
	check(r, c, &err);
	free(value);
	value = NULL;
	return 0;
}
