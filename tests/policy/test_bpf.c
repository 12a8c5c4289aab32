/*
 * Every fixture, both families, by the real programs.
 */
#include "lib/base/err.h"
#include "tests/policy/lab.h"

#include <errno.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct px x = { 0 };
	struct vw_err err = { 0 };
	int r = px_bpf(&x, &err);

	if (r == -EPERM) {
		printf("ok 1 - programs # skip: making namespaces needs root\n1..1\n");
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		printf("not ok 1 - programs\n# %s\n1..1\n", err.msg);
		return EXIT_FAILURE;
	}
	r = px_main(argc, argv, &x, 1);
	px_bpf_done(&x);
	return r;
}
