/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in instance types. Source: EC2 User Guide, "Maximum IP addresses per network interface"; VPC CNI
 * limits.go. */
#include "sim/itypes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* name, ENIs, IPv4 and IPv6 per ENI, cards, ENIs per card, vCPU, MiB, branch ENIs, nitro, metal, trunking */
static const struct sim_itype builtin[] = {
	{ "t2.micro", 2, 2, 2, 1, { 2 }, 1, 1024, 0, false, false, false },
	{ "m4.large", 2, 10, 10, 1, { 2 }, 2, 8192, 0, false, false, false },
	{ "t3.nano", 2, 2, 2, 1, { 2 }, 2, 512, 0, true, false, false },
	{ "t3.micro", 2, 2, 2, 1, { 2 }, 2, 1024, 0, true, false, false },
	{ "t3.small", 3, 4, 4, 1, { 3 }, 2, 2048, 0, true, false, false },
	{ "t3.medium", 3, 6, 6, 1, { 3 }, 2, 4096, 0, true, false, false },
	{ "t3.large", 3, 12, 12, 1, { 3 }, 2, 8192, 0, true, false, false },
	{ "t3.xlarge", 4, 15, 15, 1, { 4 }, 4, 16384, 0, true, false, false },
	{ "m5.large", 3, 10, 10, 1, { 3 }, 2, 8192, 9, true, false, true },
	{ "m5.xlarge", 4, 15, 15, 1, { 4 }, 4, 16384, 18, true, false, true },
	{ "m5.2xlarge", 4, 15, 15, 1, { 4 }, 8, 32768, 38, true, false, true },
	{ "m5.4xlarge", 8, 30, 30, 1, { 8 }, 16, 65536, 54, true, false, true },
	{ "m5.24xlarge", 15, 50, 50, 1, { 15 }, 96, 393216, 107, true, false, true },
	{ "m5.metal", 15, 50, 50, 1, { 15 }, 96, 393216, 107, true, true, true },
	{ "c5.large", 3, 10, 10, 1, { 3 }, 2, 4096, 9, true, false, true },
	{ "c5.xlarge", 4, 15, 15, 1, { 4 }, 4, 8192, 18, true, false, true },
	{ "c5.4xlarge", 8, 30, 30, 1, { 8 }, 16, 32768, 54, true, false, true },
	{ "c5n.18xlarge", 15, 50, 50, 1, { 15 }, 72, 196608, 120, true, false, true },
	{ "r5.large", 3, 10, 10, 1, { 3 }, 2, 16384, 9, true, false, true },
	{ "c6in.32xlarge", 16, 50, 50, 2, { 8, 8 }, 128, 262144, 108, true, false, true },
	{ "p4d.24xlarge", 60, 50, 50, 4, { 15, 15, 15, 15 }, 96, 1179648, 42, true, false, true },
};

int sim_itypes_add(struct sim_world *w, const struct sim_itype *t)
{
	struct sim_itype *v;
	size_t i;

	for (i = 0; i < w->n_itypes; i++) {
		if (strcmp(w->itypes[i].name, t->name) == 0) {
			w->itypes[i] = *t;
			return 0;
		}
	}
	v = realloc(w->itypes, (w->n_itypes + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	w->itypes = v;
	v[w->n_itypes++] = *t;
	return 0;
}

int sim_itypes_builtin(struct sim_world *w)
{
	size_t i;
	int r = 0;

	for (i = 0; i < VW_ARRAY_SIZE(builtin) && r == 0; i++)
		r = sim_itypes_add(w, &builtin[i]);
	return r;
}
